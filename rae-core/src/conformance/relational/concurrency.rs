//! Many callers at once, and closing.

use crate::{
    conformance::{
        block_on,
        fixtures::{EMBEDDER, Rig, importance_patch, patch_op, put},
    },
    error::{ErrorKind, Result},
    model::{BudgetLevel, Changes, CostQuery, Filter, LedgerScan, Limits, Op, PatchMode, Precondition, Scan},
    ports::{ManualClock, RelationalStore},
};
use futures::future::join_all;
use std::{collections::BTreeSet, path::Path, thread, time::Duration};

const THREADS: usize = 8;

pub(super) fn on_threads<T: Send>(work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = (0..THREADS).map(|i| scope.spawn(move || work(i))).collect();
        threads.into_iter().map(|t| t.join().expect("a writer must not panic")).collect()
    })
}

/// Nothing is lost, numbers have no gaps, places in the session neither.
pub async fn writes_from_many_threads_lose_nothing(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let applied = on_threads(|i| {
        let one = |j| block_on(rig.apply(vec![put(rig.turn("s", &format!("{i} {j}"))), put(rig.turn("s", "second"))]));
        (0..20).map(one).collect::<Vec<_>>()
    });
    let writes = (THREADS * 20 * 2) as u64;
    let all = rig.all(None).await;
    let seqs: BTreeSet<_> = all.iter().map(|m| m.seq).collect();
    assert_eq!(seqs, (1..=writes).collect());
    let places: BTreeSet<_> = all.iter().filter_map(|m| m.seq_in_session).map(u64::from).collect();
    assert_eq!(places, (0..writes).collect());
    // Each batch took two numbers of its own, next to each other.
    let spans: BTreeSet<_> = applied.into_iter().flatten().map(|a| (a.seq_before, a.seq)).collect();
    assert_eq!(spans, (0..writes / 2).map(|i| (i * 2, i * 2 + 2)).collect());
}

/// Interleaved futures of one thread lose nothing either.
pub async fn writes_of_many_tasks_lose_nothing(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    join_all((0..50).map(|i| rig.put(rig.memory(&format!("{i}"))))).await;
    let seqs: Vec<_> = rig.changes(0).await.puts.iter().map(|c| c.memory.seq).collect();
    assert_eq!(seqs, (1..=50).collect::<Vec<_>>());
}

/// The same statement from many threads is one memory with as many witnesses.
pub async fn racing_statements_merge(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    on_threads(|_| (0..10).for_each(|_| drop(block_on(rig.apply(vec![put(rig.statement("the same"))])))));
    let all = rig.all(None).await;
    assert_eq!((all.len(), all[0].witness_count), (1, 10 * 8));
}

/// Of those who expect the same version one wins; the others learn of it, and a loop of retries loses no step.
pub async fn racing_updates_lose_no_step(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let a = rig.put(rig.memory("a")).await;
    on_threads(|_| {
        for _ in 0..5 {
            loop {
                let version = block_on(rig.live(a.id)).version;
                let ops = vec![patch_op(a.id, importance_patch(0.5), PatchMode::NewVersion)];
                match block_on(rig.try_apply(vec![Precondition::VersionIs(a.id, version)], ops)) {
                    Ok(_) => break,
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict),
                }
            }
        }
    });
    assert_eq!(rig.live(a.id).await.version, 1 + 5 * 8);
    assert_eq!(store.history(&rig.ctx, a.id).await.unwrap().len(), 1 + 5 * 8);
}

/// The same batch from many threads is applied once, and all get the same answer.
pub async fn a_batch_raced_with_itself_is_applied_once(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let batch = rig.batch(vec![put(rig.memory("a")), put(rig.memory("b"))]);
    let answers = on_threads(|_| block_on(store.apply(&rig.ctx, batch.clone())).unwrap());
    assert!(answers.iter().all(|a| *a == answers[0]));
    assert_eq!((rig.all(None).await.len(), rig.seq().await), (2, 2));
}

/// No job has two holders.
pub async fn racing_leases_share_no_job(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    for _ in 0..40 {
        rig.enqueue(rig.now()).await;
    }
    let taken = on_threads(|_| {
        let one = |_| block_on(store.lease(&rig.ctx, rig.now(), Duration::from_secs(60), 2)).unwrap();
        (0..5).flat_map(one).map(|lease| lease.job.id).collect::<Vec<_>>()
    });
    let all: Vec<_> = taken.into_iter().flatten().collect();
    assert_eq!((all.len(), all.iter().collect::<BTreeSet<_>>().len()), (40, 40));
}

/// A reader never sees half a batch, and a follower of the log misses nothing.
pub async fn readers_see_whole_batches(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    on_threads(|i| {
        if i < 3 {
            let pair = |j| vec![put(rig.memory(&format!("{i} {j}"))), put(rig.memory("second"))];
            (0..20).for_each(|j| drop(block_on(rig.apply(pair(j)))));
            return;
        }
        let (mut upto, mut seen) = (0, 0);
        while upto < 120 {
            let Changes { puts, upto: reached, .. } = block_on(rig.changes(upto));
            assert_eq!(reached % 2, 0, "half a batch is visible");
            assert!(puts.iter().map(|c| c.memory.seq).eq(upto + 1..=reached), "a number is missing");
            seen += puts.len();
            upto = reached;
            thread::yield_now();
        }
        assert_eq!(seen, 120);
    });
    assert_eq!(rig.seq().await, 120);
}

/// Closing twice is fine; later calls give Unavailable, every one of them.
pub async fn a_closed_store_is_unavailable(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    rig.put(rig.memory("a")).await;
    let batch = rig.batch(vec![put(rig.memory("b"))]);
    store.close().await.unwrap();
    store.close().await.unwrap();
    let (ctx, now, id) = (&rig.ctx, rig.now(), rig.id());
    let mut errors = Vec::new();
    fn check<T>(errors: &mut Vec<ErrorKind>, result: Result<T>) {
        errors.extend(result.err().map(|e| e.kind()));
    }
    let filter = Filter::And(vec![]);
    let scan = Scan { filter: None, after: None, limit: 1 };
    check(&mut errors, store.apply(ctx, batch).await);
    check(&mut errors, store.checkpoint(ctx, now).await);
    check(&mut errors, store.verify(ctx).await);
    check(&mut errors, store.backup(ctx, Path::new("/nowhere/at/all")).await);
    check(&mut errors, store.get(ctx, &[id]).await);
    check(&mut errors, store.scan(ctx, &scan).await);
    check(&mut errors, store.history(ctx, id).await);
    check(&mut errors, store.matching(ctx, &filter).await);
    check(&mut errors, store.expired(ctx, now, 1).await);
    check(&mut errors, store.derived_from(ctx, &[id], 1).await);
    check(&mut errors, store.once_derived_from(ctx, &[id]).await);
    check(&mut errors, store.access(ctx, &[id]).await);
    check(&mut errors, store.head(ctx).await);
    check(&mut errors, store.changes_since(ctx, 0, 1, 1, EMBEDDER).await);
    check(&mut errors, store.segments(ctx).await);
    check(&mut errors, store.vectors(ctx, EMBEDDER, 0, 1).await);
    check(&mut errors, store.without_vector(ctx, EMBEDDER, None, 1).await);
    check(&mut errors, store.lease(ctx, now, Duration::from_secs(1), 1).await);
    check(&mut errors, store.jobs(ctx, 1).await);
    check(&mut errors, store.stats(ctx).await);
    check(&mut errors, store.scopes().await);
    check(&mut errors, store.audit(ctx, 1).await);
    check(&mut errors, store.receipt_key().await);
    check(&mut errors, store.budget(ctx, BudgetLevel::Tenant).await);
    check(&mut errors, store.funds(ctx, &Limits::NONE).await);
    check(&mut errors, store.top_funds(&Limits::NONE, 1).await);
    let level = BudgetLevel::Tenant;
    check(
        &mut errors,
        store.costs(ctx, &CostQuery { level, group_by: vec![], since: None, until: None, limit: 1 }).await,
    );
    check(
        &mut errors,
        store.ledger(ctx, &LedgerScan { level, since: None, until: None, before: None, limit: 1 }).await,
    );
    assert_eq!(errors, [ErrorKind::Unavailable; 28]);
}

/// A sound store has no findings, however it came to be.
pub async fn a_sound_store_has_no_findings(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let a = rig.put(rig.statement("a")).await;
    rig.patch(a.id, importance_patch(0.9)).await;
    let b = rig.put(rig.turn("s", "b")).await;
    rig.run(Op::DeleteMemory { id: b.id }).await;
    assert_eq!(store.verify(&rig.ctx).await.unwrap(), Vec::<String>::new());
    assert_eq!(store.verify(&rig.at("never", "seen").ctx).await.unwrap(), Vec::<String>::new());
}
