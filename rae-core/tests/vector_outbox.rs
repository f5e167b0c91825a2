//! Vectors on a server that the outbox feeds: what recall sees while the server lags, fails, lies or was emptied, and that it
//! holds the truth in the end. The server is the in-process store behind injected faults.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)] // a test reports by panicking

use async_trait::async_trait;
use rae_core::{
    Builder, Ctx, Error, Forget, ForgetScope, MemoryId, MemoryUpdate, NewMemory, Rae, RecallOptions, Result, block_on,
    embedded::{
        memory::ReferenceStore,
        vector::{MemoryVectors, VectorsConfig},
    },
    limits::{OVERLAY_CHANGES_MAX, VECTOR_SYNC_PAGE},
    model::{Scope, VectorFilter, VectorHit, VectorPoint},
    ports::{Collection, RelationalStore, SystemClock, VectorCapability, VectorFeed, VectorStore, Watermark},
};
use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// Longer than any step takes, shorter than a test may.
const SETTLE: Duration = Duration::from_millis(400);
const PATIENCE: Duration = Duration::from_secs(60);

/// A server that may be away or stand still, and that the test can look into.
#[derive(Debug)]
struct Server {
    inner: MemoryVectors,
    away: AtomicBool,
    frozen: AtomicBool,
    /// Whether, once a scope is emptied, a write lands that did not see it and claims what is gone.
    claims: AtomicBool,
    writes: AtomicU64,
    collection: Mutex<Option<Collection>>,
}

impl Server {
    fn new() -> Arc<Self> {
        let config = VectorsConfig { feed: VectorFeed::Outbox, ..VectorsConfig::default() };
        Arc::new(Self {
            inner: MemoryVectors::new(config),
            away: AtomicBool::new(false),
            frozen: AtomicBool::new(false),
            claims: AtomicBool::new(false),
            writes: AtomicU64::new(0),
            collection: Mutex::default(),
        })
    }

    fn check(&self, collection: &Collection) -> Result<()> {
        *self.collection.lock().unwrap() = Some(collection.clone());
        if self.away.load(Ordering::SeqCst) { Err(Error::unavailable("the server is away")) } else { Ok(()) }
    }

    fn collection(&self) -> Collection {
        self.collection.lock().unwrap().clone().unwrap()
    }

    /// Whether it holds a vector of a memory, asked behind everyone's back.
    fn holds(&self, scope: &Scope, id: MemoryId) -> bool {
        self.score(scope, id).is_some()
    }

    fn score(&self, scope: &Scope, id: MemoryId) -> Option<f32> {
        let collection = self.collection();
        let mut axis = vec![0.0; collection.dim];
        axis[0] = 1.0;
        block_on(self.inner.score(&Ctx::new(scope.clone()), &collection, &axis, &[id])).unwrap()[0]
    }

    fn mark(&self, scope: &Scope) -> Watermark {
        block_on(self.inner.watermark(&Ctx::new(scope.clone()), &self.collection())).unwrap()
    }

    /// A write that was under way for long lands now.
    fn land(&self, scope: &Scope, id: MemoryId) {
        let collection = self.collection();
        let mut vector = vec![0.0; collection.dim];
        vector[0] = 1.0;
        let points = vec![VectorPoint { id, vector }];
        block_on(self.inner.write(&Ctx::new(scope.clone()), &collection, points, &[], None)).unwrap();
    }
}

#[async_trait]
impl VectorStore for Server {
    fn capability(&self) -> VectorCapability {
        self.inner.capability()
    }

    async fn ensure(&self, ctx: &Ctx, collection: &Collection) -> Result<()> {
        self.check(collection)?;
        self.inner.ensure(ctx, collection).await
    }

    async fn write(
        &self,
        ctx: &Ctx,
        collection: &Collection,
        upsert: Vec<VectorPoint>,
        delete: &[MemoryId],
        watermark: Option<Watermark>,
    ) -> Result<()> {
        self.check(collection)?;
        if self.frozen.load(Ordering::SeqCst) {
            return Err(Error::unavailable("the server takes no writes"));
        }
        self.writes.fetch_add(1, Ordering::SeqCst);
        self.inner.write(ctx, collection, upsert, delete, watermark).await
    }

    async fn query(
        &self,
        ctx: &Ctx,
        collection: &Collection,
        vector: &[f32],
        filter: &VectorFilter,
        k: usize,
    ) -> Result<Vec<VectorHit>> {
        self.check(collection)?;
        self.inner.query(ctx, collection, vector, filter, k).await
    }

    async fn score(
        &self,
        ctx: &Ctx,
        collection: &Collection,
        vector: &[f32],
        ids: &[MemoryId],
    ) -> Result<Vec<Option<f32>>> {
        self.check(collection)?;
        self.inner.score(ctx, collection, vector, ids).await
    }

    async fn watermark(&self, ctx: &Ctx, collection: &Collection) -> Result<Watermark> {
        self.check(collection)?;
        self.inner.watermark(ctx, collection).await
    }

    async fn loaded(&self, _: &Ctx, _: &Collection, _: u64) -> Result<()> {
        panic!("for readers' stores only")
    }

    async fn purge(&self, _: &Ctx, _: &Collection) -> Result<()> {
        panic!("for readers' stores only")
    }

    async fn release(&self, _: &Ctx, _: &Collection) -> Result<()> {
        panic!("for readers' stores only")
    }

    async fn drop_scope(&self, ctx: &Ctx, collection: &Collection) -> Result<()> {
        self.check(collection)?;
        let before = self.inner.watermark(ctx, collection).await?;
        self.inner.drop_scope(ctx, collection).await?;
        if self.claims.swap(false, Ordering::SeqCst) {
            self.inner.write(ctx, collection, Vec::new(), &[], Some(before)).await?;
        }
        Ok(())
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

fn truth() -> Arc<dyn RelationalStore> {
    Arc::new(ReferenceStore::new(Arc::new(SystemClock)))
}

fn process(truth: &Arc<dyn RelationalStore>, server: &Arc<Server>) -> Builder {
    let server = Arc::clone(server) as Arc<dyn VectorStore>;
    Rae::builder().relational(Arc::clone(truth)).vectors(server).vector_settle(SETTLE)
}

/// A process on the truth and the server.
fn open(truth: &Arc<dyn RelationalStore>, server: &Arc<Server>) -> Rae {
    block_on(process(truth, server).open()).unwrap()
}

/// One that feeds the server only when it is told to.
fn open_without_feeder(truth: &Arc<dyn RelationalStore>, server: &Arc<Server>) -> Rae {
    block_on(process(truth, server).vector_feeder(false).open()).unwrap()
}

fn remember(mem: &Rae, text: &str) -> MemoryId {
    block_on(mem.remember(NewMemory::new(text))).unwrap().id
}

/// Ids found, and what was degraded.
fn recall(mem: &Rae, query: &str) -> (Vec<MemoryId>, Vec<String>) {
    let hits = block_on(mem.recall(query, RecallOptions::default())).unwrap();
    (hits.hits.iter().map(|hit| hit.id).collect(), hits.degraded)
}

/// The cosine that a recall saw of a memory.
fn dense(mem: &Rae, query: &str, id: MemoryId) -> f64 {
    let hits = block_on(mem.recall(query, RecallOptions::default())).unwrap().hits;
    serde_json::to_value(hits.iter().find(|hit| hit.id == id).unwrap().signals).unwrap()["dense"].as_f64().unwrap()
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn is_settled(mem: &Rae) -> bool {
    let sync = block_on(mem.sync_vectors(u64::MAX)).unwrap();
    sync.behind == 0 && sync.unsettled == 0
}

#[test]
fn every_process_finds_a_memory_by_meaning_before_the_server_has_it() {
    let (truth, server) = (truth(), Server::new());
    let (one, two) = (open(&truth, &server), open(&truth, &server));
    server.frozen.store(true, Ordering::SeqCst);
    let id = remember(&one, "My dog is called Rex.");
    let old = remember(&one, "The harbour was closed on Monday.");
    for mem in [&one, &two] {
        let (found, degraded) = recall(mem, "puppy");
        assert!(found.contains(&id) && degraded.is_empty(), "{degraded:?}");
        assert!(dense(mem, "puppy", id) > 0.1, "by meaning: no word is shared");
    }
    // An update and a deletion count at once too.
    let update = MemoryUpdate { content: Some("My cat is called Tom.".into()), ..MemoryUpdate::default() };
    let before = dense(&two, "kitten", id);
    block_on(one.update(id, update)).unwrap();
    assert!(dense(&two, "kitten", id) > before);
    block_on(one.forget(Forget::Id(old))).unwrap();
    assert!(!recall(&two, "harbour").0.contains(&old));
    assert!(!server.holds(one.scope(), id), "the server still has nothing");
    server.frozen.store(false, Ordering::SeqCst);
    until("the server has it", || server.holds(one.scope(), id) && !server.holds(one.scope(), old));
    assert!(dense(&two, "kitten", id) > before);
}

#[test]
fn a_server_that_is_away_costs_the_dense_part_and_learns_everything_later() {
    let (truth, server) = (truth(), Server::new());
    server.away.store(true, Ordering::SeqCst);
    let mem = open(&truth, &server);
    let receipt = block_on(mem.remember(NewMemory::new("My dog is called Rex."))).unwrap();
    assert_eq!(receipt.degraded, ["dense"]);
    let gone = remember(&mem, "Rex likes the harbour.");
    let (found, degraded) = recall(&mem, "Rex");
    assert_eq!((found.len(), degraded), (2, vec!["dense".to_owned()]));
    let forgotten = block_on(mem.forget(Forget::Id(gone))).unwrap();
    assert_eq!((forgotten.deleted, forgotten.pending), (1, vec!["vectors".to_owned()]));
    assert!(mem.vector_feed().failing);
    server.away.store(false, Ordering::SeqCst);
    until("it was fed", || !mem.vector_feed().failing && server.holds(mem.scope(), receipt.id));
    until("recall asks it again", || recall(&mem, "Rex").1.is_empty());
    assert!(!server.holds(mem.scope(), gone));
    assert!(block_on(mem.remember(NewMemory::new("Rex sleeps."))).unwrap().degraded.is_empty());
    let forgotten = block_on(mem.forget(Forget::Id(receipt.id))).unwrap();
    assert!(forgotten.pending.is_empty() && !server.holds(mem.scope(), receipt.id));
}

#[test]
fn a_write_that_lands_after_a_newer_one_is_never_seen_and_does_not_stay() {
    let (truth, server) = (truth(), Server::new());
    let mem = open(&truth, &server);
    let gone = remember(&mem, "My dog is called Rex.");
    let kept = remember(&mem, "The harbour was closed on Monday.");
    until("both are there", || server.holds(mem.scope(), gone) && server.holds(mem.scope(), kept));
    let right = server.score(mem.scope(), kept);
    block_on(mem.forget(Forget::Id(gone))).unwrap();
    assert!(!server.holds(mem.scope(), gone));
    // Both were on their way since before the deletion.
    server.land(mem.scope(), gone);
    server.land(mem.scope(), kept);
    assert!(!recall(&mem, "dog").0.contains(&gone));
    until("it settles", || is_settled(&mem));
    assert!(!server.holds(mem.scope(), gone));
    assert_eq!(server.score(mem.scope(), kept), right);
    let before = server.writes.load(Ordering::SeqCst);
    block_on(mem.sync_vectors(u64::MAX)).unwrap();
    assert_eq!(server.writes.load(Ordering::SeqCst), before, "what is settled is not written again");
}

#[test]
fn an_erased_project_leaves_nothing_on_the_server_even_where_a_late_write_lands() {
    let (truth, server) = (truth(), Server::new());
    let mem = open(&truth, &server);
    let ids: Vec<_> = (0..5).map(|n| remember(&mem, &format!("Boat {n} left the quay."))).collect();
    until("they are there", || ids.iter().all(|id| server.holds(mem.scope(), *id)));
    until("it settles", || is_settled(&mem));
    let forgotten = block_on(mem.forget(Forget::Scope(ForgetScope::Project, "default".into()))).unwrap();
    assert!(forgotten.pending.is_empty() && ids.iter().all(|id| !server.holds(mem.scope(), *id)));
    server.land(mem.scope(), ids[0]);
    let new = remember(&mem, "A new boat.");
    until("it settles", || is_settled(&mem));
    assert!(ids.iter().all(|id| !server.holds(mem.scope(), *id)));
    assert!(server.holds(mem.scope(), new));
}

#[test]
fn a_server_that_was_emptied_or_is_ahead_of_a_restored_truth_is_written_anew() {
    let (truth, server) = (truth(), Server::new());
    let mem = open(&truth, &server);
    let id = remember(&mem, "My dog is called Rex.");
    until("it is there", || server.holds(mem.scope(), id));
    let (ctx, collection) = (Ctx::new(mem.scope().clone()), server.collection());
    block_on(server.inner.drop_scope(&ctx, &collection)).unwrap();
    block_on(mem.sync_vectors(u64::MAX)).unwrap();
    assert!(server.holds(mem.scope(), id));
    // Points and a watermark of a time that is no more.
    let ghost = remember(&mem, "Never said.");
    block_on(mem.forget(Forget::Id(ghost))).unwrap();
    server.land(mem.scope(), ghost);
    let ahead = Watermark { applied: 1_000_000, settled: 1_000_000 };
    block_on(server.inner.write(&ctx, &collection, Vec::new(), &[], Some(ahead))).unwrap();
    until("it was written anew", || {
        block_on(mem.sync_vectors(u64::MAX)).unwrap();
        !server.holds(mem.scope(), ghost)
    });
    assert!(server.holds(mem.scope(), id));
}

#[test]
fn a_run_that_writes_a_scope_anew_leaves_it_to_another_and_lets_nothing_claim_what_is_gone() {
    let (truth, server) = (truth(), Server::new());
    let mem = open_without_feeder(&truth, &server);
    let gone = remember(&mem, "My dog is called Rex.");
    block_on(mem.sync_vectors(u64::MAX)).unwrap();
    server.away.store(true, Ordering::SeqCst);
    let forgotten = block_on(mem.forget(Forget::Scope(ForgetScope::Project, "default".into()))).unwrap();
    assert_eq!(forgotten.pending, ["vectors"]);
    assert!(server.holds(mem.scope(), gone));
    server.away.store(false, Ordering::SeqCst);
    let kept = remember(&mem, "The harbour was closed on Monday.");
    server.claims.store(true, Ordering::SeqCst);
    let sync = block_on(mem.sync_vectors(u64::MAX)).unwrap();
    assert!(sync.behind > 0 && sync.unsettled == 1, "{sync:?}");
    assert_eq!(server.mark(mem.scope()), Watermark::default());
    until("it was written anew, and again", || is_settled(&mem));
    assert!(server.holds(mem.scope(), kept) && !server.holds(mem.scope(), gone));
    let mark = server.mark(mem.scope());
    assert!(mark.applied > 0 && mark.settled == mark.applied);
}

#[test]
fn a_run_settles_no_more_than_it_may_and_the_next_goes_on_at_once() {
    let (truth, server) = (truth(), Server::new());
    let mem = open_without_feeder(&truth, &server);
    let many = (0..3 * VECTOR_SYNC_PAGE).map(|n| NewMemory::new(format!("Note number {n} about the tide.")));
    block_on(mem.remember_many(many.collect())).unwrap();
    assert_eq!(server.writes.load(Ordering::SeqCst), 0, "without a feeder nobody writes by himself");
    block_on(mem.sync_vectors(u64::MAX)).unwrap();
    until("a part settles", || {
        block_on(mem.sync_vectors(1)).unwrap();
        server.mark(mem.scope()).settled > 0
    });
    let part = server.mark(mem.scope());
    assert!(part.settled < part.applied, "{part:?}");
    // No settling time lies between: what was applied before the first part settled is due.
    block_on(mem.sync_vectors(1)).unwrap();
    assert!(server.mark(mem.scope()).settled > part.settled);
    until("all settles", || is_settled(&mem));
    assert_eq!(server.mark(mem.scope()), Watermark { applied: part.applied, settled: part.applied });
}

#[test]
fn a_lag_too_long_for_the_process_is_said_and_ends() {
    let (truth, server) = (truth(), Server::new());
    server.frozen.store(true, Ordering::SeqCst);
    let mem = open(&truth, &server);
    let first = remember(&mem, "My dog is called Rex.");
    let many = (0..=OVERLAY_CHANGES_MAX).map(|n| NewMemory::new(format!("Note number {n} about the tide.")));
    block_on(mem.remember_many(many.collect())).unwrap();
    let last = remember(&mem, "The cat is called Tom.");
    let (found, degraded) = recall(&mem, "cat");
    assert_eq!(degraded, ["dense"]);
    assert!(found.contains(&last));
    server.frozen.store(false, Ordering::SeqCst);
    until("it caught up", || recall(&mem, "dog").1.is_empty());
    assert!(server.holds(mem.scope(), first));
}

#[test]
fn scopes_are_fed_apart_and_each_to_its_end() {
    let (truth, server) = (truth(), Server::new());
    let mem = open(&truth, &server);
    let scopes: Vec<Scope> = (0..6).map(|n| Scope::new(format!("t{}", n % 3), format!("p{n}")).unwrap()).collect();
    let mut wanted = BTreeSet::new();
    for (n, scope) in scopes.iter().enumerate() {
        let handle = mem.with_scope(scope.clone());
        (0..=n).for_each(|i| {
            wanted.insert((n, remember(&handle, &format!("Boat {i} of harbour {n}."))));
        });
    }
    block_on(mem.sync_vectors(u64::MAX)).unwrap();
    let all: BTreeSet<_> = wanted.iter().map(|(_, id)| *id).collect();
    let held = |n: usize| all.iter().filter(|id| server.holds(&scopes[n], **id)).count();
    assert_eq!((0..6).map(held).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
    assert!(wanted.iter().all(|(n, id)| server.holds(&scopes[*n], *id)));
    block_on(mem.close()).unwrap();
}
