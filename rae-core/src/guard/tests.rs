use super::*;
use crate::{
    conformance::fixtures::{Rig, importance_patch, patch_op, put, start},
    embedded::memory::ReferenceStore,
    model::{Op, PatchMode, Scope, Usage},
    ports::{Charge, EmbedRole, Embedder, LlmFailure, ManualClock, MemoryRead, PaidEmbedder, RelationalStore},
};
use async_trait::async_trait;
use futures::{FutureExt, executor::block_on, future::join_all};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

type Seen = (&'static str, &'static str, Result<(), ErrorKind>);

#[derive(Debug, Default)]
struct Log(Mutex<Vec<Seen>>);

impl Observer for Log {
    fn observed(&self, port: &'static str, operation: &'static str, outcome: Result<(), ErrorKind>, seconds: f64) {
        assert!(seconds >= 0.0);
        self.0.lock().push((port, operation, outcome));
    }
}

struct Bench {
    clock: Arc<ManualClock>,
    bare: Arc<ReferenceStore>,
    faults: Arc<Faults>,
    log: Arc<Log>,
    guarded: Guarded<dyn RelationalStore>,
}

fn quick() -> Policy {
    let backoff = Backoff { first: Duration::from_micros(10), longest: Duration::from_millis(1) };
    Policy { backoff, ..Policy::default() }
}

fn bench(policy: Policy) -> Bench {
    let clock = Arc::new(ManualClock::new(start()));
    let bare = Arc::new(ReferenceStore::new(clock.clone()));
    let (faults, log) = (Faults::new(), Arc::new(Log::default()));
    let guarded = Guarded::relational(bare.clone(), policy).with_faults(faults.clone()).with_observer(log.clone());
    Bench { clock, bare, faults, log, guarded }
}

fn fail(kind: ErrorKind, temporary: bool, when: When) -> Fault {
    Fault::Fail { kind, temporary, when }
}

#[test]
fn a_temporary_failure_is_repeated_and_observed_once() {
    let b = bench(quick());
    b.faults.on("head", 1, fail(ErrorKind::Unavailable, true, When::Before));
    b.faults.on("head", 2, fail(ErrorKind::RateLimited, true, When::After));
    let rig = Rig::new(&b.guarded, &b.clock);
    block_on(rig.head());
    assert_eq!(b.faults.calls("head"), 3);
    assert_eq!(*b.log.0.lock(), [("relational", "head", Ok(()))]);
}

#[test]
fn attempts_end_and_the_error_says_where_it_was() {
    let b = bench(quick());
    (1..9).for_each(|n| b.faults.on("head", n, fail(ErrorKind::Unavailable, true, When::Before)));
    let error = block_on(b.guarded.inner_head()).unwrap_err();
    assert_eq!((error.kind(), error.operation(), b.faults.calls("head")), (ErrorKind::Unavailable, Some("head"), 3));
    assert_eq!(error.context(), [("port", "relational".to_owned()), ("attempts", "3".to_owned())]);
    assert_eq!(*b.log.0.lock(), [("relational", "head", Err(ErrorKind::Unavailable))]);
}

impl Guarded<dyn RelationalStore> {
    async fn inner_head(&self) -> Result<crate::model::Head> {
        crate::ports::IndexRead::head(self, &Ctx::new(Scope::default())).await
    }
}

#[test]
fn a_permanent_failure_is_not_repeated() {
    let b = bench(quick());
    b.faults.on("head", 1, fail(ErrorKind::Unavailable, false, When::Before));
    assert_eq!(block_on(b.guarded.inner_head()).unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(b.faults.calls("head"), 1);
}

#[test]
fn what_must_not_happen_twice_is_not_repeated() {
    let b = bench(quick());
    let rig = Rig::new(&b.guarded, &b.clock);
    block_on(rig.enqueue(rig.now()));
    b.faults.on("lease", 1, fail(ErrorKind::Unavailable, true, When::After));
    let lease = crate::ports::JobRead::lease(&b.guarded, &rig.ctx, rig.now(), Duration::from_secs(60), 1);
    assert!(block_on(lease).is_err());
    assert_eq!(b.faults.calls("lease"), 1);
}

#[test]
fn a_retry_after_an_ambiguous_commit_writes_once() {
    let lost = [fail(ErrorKind::Unavailable, true, When::After), Fault::Hang(When::After)];
    for fault in lost {
        let b = bench(Policy { timeout: Duration::from_millis(5), ..quick() });
        b.faults.on("apply", 1, fault);
        let rig = Rig::new(&b.guarded, &b.clock);
        let applied = block_on(rig.apply(vec![put(rig.statement("a"))]));
        assert_eq!((applied.seq, b.faults.calls("apply")), (1, 2));
        let all = block_on(rig.all(None));
        assert_eq!((all.len(), all[0].witness_count), (1, 1));
    }
}

#[test]
fn no_answer_in_time_is_timeout() {
    let b = bench(Policy { timeout: Duration::from_millis(2), attempts: 2, ..quick() });
    (1..9).for_each(|n| b.faults.on("head", n, Fault::Hang(When::Before)));
    assert_eq!(block_on(b.guarded.inner_head()).unwrap_err().kind(), ErrorKind::Timeout);
    assert_eq!(b.faults.calls("head"), 2);
}

#[test]
fn a_slow_answer_in_time_is_an_answer() {
    let b = bench(quick());
    b.faults.on("head", 1, Fault::Delay(Duration::from_millis(2)));
    block_on(b.guarded.inner_head()).unwrap();
    assert_eq!(b.faults.calls("head"), 1);
}

#[test]
fn the_deadline_of_the_call_ends_a_hang_and_the_attempts() {
    let b = bench(Policy { timeout: Duration::from_secs(3_600), attempts: 1_000_000, ..quick() });
    b.faults.on("head", 1, Fault::Hang(When::Before));
    let ctx = || Ctx::new(Scope::default()).with_timeout(Duration::from_millis(5));
    let head = |ctx: &Ctx| block_on(crate::ports::IndexRead::head(&b.guarded, ctx)).unwrap_err();
    assert_eq!(head(&ctx()).kind(), ErrorKind::Timeout);
    (2..1_000_000).for_each(|n| b.faults.on("get", n - 1, fail(ErrorKind::Unavailable, true, When::Before)));
    let short = Ctx::new(Scope::default()).with_timeout(Duration::from_millis(5));
    assert!(block_on(b.guarded.get(&short, &[])).is_err());
    assert!(b.faults.calls("get") < 999_998, "the deadline must end the attempts");
    let gone = Ctx::new(Scope::default()).with_timeout(Duration::ZERO);
    assert_eq!(head(&gone).kind(), ErrorKind::Timeout);
    assert_eq!(b.faults.calls("head"), 1, "nothing is begun after the deadline");
}

#[test]
fn long_work_has_the_deadline_alone() {
    let b = bench(Policy { timeout: Duration::ZERO, ..quick() });
    b.faults.on("verify", 1, Fault::Delay(Duration::from_millis(2)));
    block_on(b.guarded.verify(&Ctx::new(Scope::default()))).unwrap();
}

#[test]
fn pauses_grow_to_a_bound_and_differ() {
    let backoff = Backoff { first: Duration::from_millis(20), longest: Duration::from_secs(1) };
    for attempt in 1..=100 {
        let whole = Duration::from_millis(20).saturating_mul(1 << (attempt - 1).min(10)).min(backoff.longest);
        let pause = backoff.pause(attempt);
        assert!(pause <= whole && pause >= whole / 2, "{attempt}: {pause:?}");
    }
    assert!((0..20).any(|_| backoff.pause(5) != backoff.pause(5)));
}

/// Counts how many are inside at once.
#[derive(Debug, Default)]
struct Crowd {
    inside: AtomicUsize,
    most: AtomicUsize,
}

#[async_trait]
impl Embedder for Crowd {
    fn id(&self) -> &str {
        "crowd@1/1"
    }

    fn dim(&self) -> usize {
        1
    }

    fn is_cheap(&self) -> bool {
        true
    }

    async fn embed(&self, texts: &[&str], _role: EmbedRole) -> Result<Vec<Option<Vec<f32>>>> {
        let inside = self.inside.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(inside, Ordering::SeqCst);
        for _ in 0..5 {
            futures::pending_once().await;
        }
        self.inside.fetch_sub(1, Ordering::SeqCst);
        Ok(texts.iter().map(|_| Some(vec![1.0])).collect())
    }
}

mod futures {
    pub use ::futures::*;

    /// Pending once, then ready.
    pub async fn pending_once() {
        let mut waited = false;
        std::future::poll_fn(|cx| {
            if std::mem::replace(&mut waited, true) {
                return std::task::Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            std::task::Poll::Pending
        })
        .await;
    }
}

#[test]
fn no_more_than_the_limit_are_inside_at_once() {
    let crowd = Arc::new(Crowd::default());
    let guarded = Guarded::embedder(crowd.clone(), Policy { concurrency: 3, ..quick() });
    assert!(guarded.is_cheap() && guarded.dim() == 1 && guarded.id() == "crowd@1/1");
    let all = block_on(join_all((0..40).map(|_| guarded.embed(&["x", "y"], EmbedRole::Query))));
    assert!(all.iter().all(|r| r.as_ref().is_ok_and(|v| v.len() == 2)));
    assert_eq!(crowd.most.load(Ordering::SeqCst), 3);
}

#[test]
fn a_caller_that_goes_away_frees_its_place_and_is_observed() {
    let b = bench(Policy { concurrency: 1, timeout: Duration::from_secs(3_600), ..quick() });
    b.faults.on("head", 1, Fault::Hang(When::Before));
    let mut hanging = Box::pin(b.guarded.inner_head());
    assert!(hanging.as_mut().now_or_never().is_none());
    drop(hanging);
    block_on(b.guarded.inner_head()).unwrap();
    assert_eq!(*b.log.0.lock(), [("relational", "head", Err(ErrorKind::Cancelled)), ("relational", "head", Ok(()))]);
}

#[test]
fn closing_gets_through_a_full_gate() {
    let b = bench(Policy { concurrency: 1, ..quick() });
    b.faults.on("head", 1, Fault::Hang(When::Before));
    let mut hanging = Box::pin(b.guarded.inner_head());
    assert!(hanging.as_mut().now_or_never().is_none());
    block_on(b.guarded.close()).unwrap();
}

/// What a remember, an update and a forget do to the store, one batch each; stops at the first error.
async fn story(rig: &Rig<'_>) -> Result<()> {
    let (a, b) = (rig.statement("a"), rig.turn("s", "b"));
    let id = a.id;
    rig.try_apply(vec![], vec![put(a), put(b.clone()), put(rig.statement("a"))]).await?;
    let version = crate::model::Precondition::VersionIs(id, 1);
    rig.try_apply(vec![version], vec![patch_op(id, importance_patch(0.9), PatchMode::NewVersion)]).await?;
    rig.try_apply(vec![], vec![Op::DeleteMemory { id: b.id }, put(rig.memory("c"))]).await?;
    Ok(())
}

#[test]
fn whichever_call_fails_each_batch_is_there_whole_or_not_at_all() {
    // The states after 0, 1, 2 and 3 batches: (change number, live memories).
    let states = [(0, 0), (3, 2), (4, 2), (6, 2)];
    for (temporary, when) in [(false, When::Before), (false, When::After), (true, When::Before), (true, When::After)] {
        for nth in 1.. {
            let b = bench(quick());
            b.faults.on_any(nth, fail(ErrorKind::Unavailable, temporary, when));
            let outcome = block_on(story(&Rig::new(&b.guarded, &b.clock)));
            let bare = Rig::new(&*b.bare, &b.clock);
            let state = (block_on(bare.seq()), block_on(bare.all(None)).len());
            let failed = usize::try_from(nth).unwrap();
            let done = match (outcome.is_ok(), when) {
                (true, _) => 3,
                (false, When::Before) => failed - 1,
                (false, When::After) => failed,
            };
            assert_eq!(state, states[done], "call {nth}, {when:?}, temporary: {temporary}");
            assert_eq!(outcome.is_ok(), temporary || failed > 3);
            assert_eq!(block_on(b.bare.verify(&bare.ctx)).unwrap(), Vec::<String>::new());
            if b.faults.total() < nth {
                break;
            }
        }
    }
}

/// A reranker that likes long texts.
#[derive(Debug)]
struct Longest;

#[async_trait]
impl crate::ports::Reranker for Longest {
    fn id(&self) -> &str {
        "longest@1"
    }

    async fn score(&self, _: &str, texts: &[&str]) -> Result<Vec<f32>> {
        Ok(texts.iter().map(|text| text.len() as f32).collect())
    }
}

#[test]
fn an_open_store_tells_its_observer_of_every_port() {
    let log = Arc::new(Log::default());
    let opened = crate::Rae::builder().observer(log.clone()).reranker(Arc::new(Longest)).open();
    block_on(async {
        let mem = opened.await.unwrap();
        mem.remember(crate::NewMemory::new("The ferry leaves at ten.")).await.unwrap();
        let options = crate::RecallOptions { rerank: true, ..crate::RecallOptions::default() };
        mem.recall("When does the ferry leave?", options).await.unwrap();
        assert_eq!(mem.index_stats().memories, 1);
        assert!(mem.index_stats().scopes == 1 && mem.index_stats().vector_bytes > 0, "{:?}", mem.index_stats());
        mem.close().await.unwrap();
    });
    let seen = log.0.lock();
    for call in
        [("relational", "apply"), ("vector", "query"), ("embedder", "embed"), ("reranker", "score"), ("cache", "close")]
    {
        assert!(
            seen.iter().any(|(port, operation, outcome)| (*port, *operation) == call && outcome.is_ok()),
            "{call:?}: {seen:?}"
        );
    }
}

/// An embedder that costs money; it answers, fails or is silent as its text says.
#[derive(Debug, Default)]
struct Paid(AtomicUsize);

#[async_trait]
impl Embedder for Paid {
    fn id(&self) -> &str {
        "paid@test/1"
    }

    fn dim(&self) -> usize {
        1
    }

    fn paid(&self) -> Option<&dyn PaidEmbedder> {
        Some(self)
    }

    async fn embed(&self, _: &[&str], _: EmbedRole) -> Result<Vec<Option<Vec<f32>>>> {
        Err(Error::internal("nobody counts this"))
    }
}

#[async_trait]
impl PaidEmbedder for Paid {
    fn provider(&self) -> &str {
        "test"
    }

    fn model(&self) -> &str {
        "paid"
    }

    fn in_one_request(&self, _: &[&str]) -> usize {
        7
    }

    fn tokens_at_most(&self, _: &[&str]) -> u64 {
        70
    }

    async fn embed_with_usage(
        &self,
        _: &Ctx,
        texts: &[&str],
        _: EmbedRole,
    ) -> std::result::Result<(Vec<Option<Vec<f32>>>, Usage), LlmFailure> {
        self.0.fetch_add(1, Ordering::SeqCst);
        let usage = Usage { input_tokens: 5, ..Usage::default() };
        match texts {
            ["free"] => Err(LlmFailure::free(Error::unavailable("full").temporary())),
            ["charged"] => Err(LlmFailure { error: Error::unavailable("odd"), charge: Charge::Usage(usage) }),
            ["silent"] => std::future::pending().await,
            _ => Ok((vec![Some(vec![1.0]); texts.len()], usage)),
        }
    }
}

#[test]
fn a_paid_attempt_is_made_once_and_what_it_may_have_cost_is_told() {
    let (inner, faults, log) = (Arc::new(Paid::default()), Faults::new(), Arc::new(Log::default()));
    let policy = Policy { timeout: Duration::from_millis(20), ..quick() };
    let guarded = Guarded::embedder(Arc::clone(&inner) as Arc<dyn Embedder>, policy);
    let guarded = guarded.with_faults(faults.clone()).with_observer(log.clone());
    let paid = guarded.paid().unwrap();
    assert_eq!((paid.provider(), paid.model()), ("test", "paid"));
    assert_eq!((paid.in_one_request(&["a"]), paid.tokens_at_most(&["a"])), (7, 70));
    let ctx = Ctx::new(Scope::default());
    let ask = |ctx: &Ctx, text: &str| block_on(paid.embed_with_usage(ctx, &[text], EmbedRole::Query));
    let charge = |ctx: &Ctx, text: &str| ask(ctx, text).unwrap_err().charge;
    assert_eq!(ask(&ctx, "a").unwrap().1.input_tokens, 5);
    assert_eq!(charge(&ctx, "free"), Charge::Nothing);
    assert_eq!(charge(&ctx, "charged"), Charge::Usage(Usage { input_tokens: 5, ..Usage::default() }));
    assert_eq!(charge(&ctx, "silent"), Charge::Unknown, "it was sent");
    faults.on("embed", 5, fail(ErrorKind::Unavailable, true, When::Before));
    faults.on("embed", 6, fail(ErrorKind::Unavailable, true, When::After));
    assert_eq!(charge(&ctx, "a"), Charge::Nothing, "it was not sent");
    assert_eq!(charge(&ctx, "a"), Charge::Unknown, "its answer was lost");
    assert_eq!(charge(&ctx.clone().with_timeout(Duration::ZERO), "a"), Charge::Nothing);
    assert_eq!(inner.0.load(Ordering::SeqCst), 5, "whoever counts the money repeats");
    let seen: Vec<_> = log.0.lock().iter().map(|(port, operation, ended)| (*port, *operation, ended.is_ok())).collect();
    assert_eq!(seen[0], ("embedder", "embed", true));
    assert_eq!(seen[1..], [("embedder", "embed", false); 6]);
    assert!(Guarded::embedder(Arc::new(Crowd::default()), quick()).paid().is_none());
}
