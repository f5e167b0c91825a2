//! Batch ids and idempotency keys.

use crate::{
    conformance::fixtures::{DAY, Rig, importance_patch, key, kind_of, patch_op, put},
    error::ErrorKind,
    model::{Audit, Idempotency, Memory, Op, Outcome, PatchMode, Precondition, WriteBatch},
    ports::{ManualClock, RelationalStore},
};
use serde_json::json;

fn keyed(memory: Memory, verb: &'static str, name: &str, body: &str) -> Op {
    let idempotency = Some(Idempotency { verb, key: name.to_owned(), body_hash: key(body) });
    Op::PutMemory { memory: Box::new(memory), vector: None, idempotency }
}

fn note() -> Op {
    Op::Audit(Audit { action: "note".into(), details: json!({"n": 1}) })
}

/// A retry gets the stored answer and writes nothing, even after other writes.
pub async fn a_batch_applied_twice_writes_once(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let batch = rig.batch(vec![put(rig.statement("a")), put(rig.statement("a")), put(rig.turn("s", "b"))]);
    let first = store.apply(&rig.ctx, batch.clone()).await.unwrap();
    rig.put(rig.memory("between")).await;
    let before = rig.snapshot().await;
    assert_eq!(store.apply(&rig.ctx, batch).await.unwrap(), first);
    assert_eq!(rig.snapshot().await, before);
}

/// What makes the batch impossible now does not matter once it was applied.
pub async fn a_retry_is_answered_before_preconditions_are_checked(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let a = rig.put(rig.memory("a")).await;
    let ops = vec![patch_op(a.id, importance_patch(0.9), PatchMode::NewVersion)];
    let batch = WriteBatch { preconditions: vec![Precondition::VersionIs(a.id, 1)], ..rig.batch(ops) };
    let first = store.apply(&rig.ctx, batch.clone()).await.unwrap();
    assert_eq!(store.apply(&rig.ctx, batch.clone()).await.unwrap(), first);
    rig.delete(a.id).await;
    assert_eq!(store.apply(&rig.ctx, batch).await.unwrap(), first);
    assert_eq!(rig.get(a.id).await, None);
}

/// A batch id of one scope says nothing in another.
pub async fn a_batch_id_counts_per_scope(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let other = rig.at("default", "other");
    let batch = rig.batch(vec![put(rig.memory("a"))]);
    store.apply(&rig.ctx, batch.clone()).await.unwrap();
    let twin = WriteBatch { ops: vec![put(other.memory("b"))], ..batch };
    store.apply(&other.ctx, twin).await.unwrap();
    assert_eq!(other.all(None).await.len(), 1);
}

/// A batch that failed leaves no trace: its id may be used again.
pub async fn a_failed_batch_may_be_tried_again(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let a = rig.memory("a");
    let ops =
        vec![patch_op(a.id, importance_patch(0.9), PatchMode::InPlace), keyed(rig.memory("b"), "remember", "k", "b")];
    let batch = rig.batch(ops);
    assert_eq!(kind_of(store.apply(&rig.ctx, batch.clone()).await), ErrorKind::NotFound);
    rig.put(a.clone()).await;
    let applied = store.apply(&rig.ctx, batch).await.unwrap();
    assert!(matches!(applied.outcomes[1], Outcome::Put { replayed: false, .. }));
    assert_eq!(rig.live(a.id).await.importance, 0.9);
}

/// Kept for 24 h, housekeeping or not; forgotten after.
pub async fn a_batch_id_is_remembered_for_a_day(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let batch = rig.batch(vec![note()]);
    store.apply(&rig.ctx, batch.clone()).await.unwrap();
    clock.advance_seconds(DAY - 1);
    store.checkpoint(&rig.ctx, rig.now()).await.unwrap();
    store.apply(&rig.ctx, batch.clone()).await.unwrap();
    assert_eq!(store.audit(&rig.ctx, 10).await.unwrap().len(), 1);
    clock.advance_seconds(2);
    store.checkpoint(&rig.ctx, rig.now()).await.unwrap();
    store.apply(&rig.ctx, WriteBatch { now: rig.now(), ..batch }).await.unwrap();
    assert_eq!(store.audit(&rig.ctx, 10).await.unwrap().len(), 2);
}

/// The same key and body: the stored receipt, nothing written.
pub async fn a_key_gives_the_same_receipt_again(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let a = rig.memory("a");
    let first = rig.run(keyed(a.clone(), "remember", "k", "a")).await;
    assert_eq!(first, Outcome::Put { id: a.id, version: 1, merged: false, replayed: false });
    let before = rig.snapshot().await;
    let again = rig.run(keyed(rig.memory("a"), "remember", "k", "a")).await;
    assert_eq!(again, Outcome::Put { id: a.id, version: 1, merged: false, replayed: true });
    assert_eq!(rig.snapshot().await, before);
}

/// The same key with another body is refused by name, and the whole batch with it.
pub async fn a_key_with_another_body_is_a_conflict(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    rig.run(keyed(rig.memory("a"), "remember", "k", "a")).await;
    let before = rig.snapshot().await;
    let ops = vec![put(rig.memory("before")), keyed(rig.memory("b"), "remember", "k", "b")];
    let refused = rig.try_apply(vec![], ops).await.unwrap_err();
    assert_eq!((refused.kind(), refused.code()), (ErrorKind::Conflict, "idempotency_key_reused"));
    assert_eq!(rig.snapshot().await, before);
}

/// Verbs, projects and tenants have keys of their own, and keys are compared byte for byte.
pub async fn keys_count_per_tenant_project_and_verb(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    rig.run(keyed(rig.memory("1"), "remember", "k", "1")).await;
    for (tenant, project, verb, name) in [
        ("default", "default", "update", "k"),
        ("default", "other", "remember", "k"),
        ("other", "default", "remember", "k"),
        ("default", "default", "remember", "K"),
        ("default", "default", "remember", "k "),
        ("default", "default", "remember", "%"),
    ] {
        let there = rig.at(tenant, project);
        let outcome = there.run(keyed(there.memory("2"), verb, name, "2")).await;
        assert!(matches!(outcome, Outcome::Put { replayed: false, .. }), "{tenant}/{project}/{verb}/{name}");
    }
}

/// Kept for 24 h, housekeeping or not; free after, also for another body.
pub async fn a_key_is_remembered_for_a_day(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    rig.run(keyed(rig.memory("a"), "remember", "k", "a")).await;
    clock.advance_seconds(DAY - 1);
    store.checkpoint(&rig.ctx, rig.now()).await.unwrap();
    let again = rig.run(keyed(rig.memory("a"), "remember", "k", "a")).await;
    assert!(matches!(again, Outcome::Put { replayed: true, .. }));
    clock.advance_seconds(2);
    let free = rig.run(keyed(rig.memory("b"), "remember", "k", "b")).await;
    assert!(matches!(free, Outcome::Put { replayed: false, .. }));
    let new = rig.run(keyed(rig.memory("b"), "remember", "k", "b")).await;
    assert!(matches!(new, Outcome::Put { replayed: true, .. }), "the key counts from its new use");
}

/// Who repeats a request gets its receipt, also when what the request asked for does not hold any more.
pub async fn a_repeated_put_is_answered_whatever_its_preconditions_say_now(
    store: &dyn RelationalStore,
    clock: &ManualClock,
) {
    let rig = Rig::new(store, clock);
    let (new, end) = (rig.memory("a"), rig.memory("end"));
    let batch = |body: &str| {
        let ops = vec![keyed(new.clone(), "remember", "k", body)];
        WriteBatch { preconditions: vec![Precondition::Absent(end.id)], ..rig.batch(ops) }
    };
    store.apply(&rig.ctx, batch("a")).await.unwrap();
    rig.put(end.clone()).await;
    let again = store.apply(&rig.ctx, batch("a")).await.unwrap();
    assert_eq!(again.outcomes, [Outcome::Put { id: new.id, version: 1, merged: false, replayed: true }]);
    assert_eq!(store.apply(&rig.ctx, batch("b")).await.unwrap_err().code(), "idempotency_key_reused");
    let other = vec![keyed(rig.memory("b"), "remember", "other", "b")];
    let other = WriteBatch { preconditions: vec![Precondition::Absent(end.id)], ..rig.batch(other) };
    assert_eq!(store.apply(&rig.ctx, other).await.unwrap_err().code(), "exists");
    assert_eq!(rig.all(None).await.len(), 2);
}

/// Two items of one call under one key are one write.
pub async fn a_key_used_twice_in_a_batch_writes_once(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let ops = vec![keyed(rig.memory("a"), "remember", "k", "a"), keyed(rig.memory("a"), "remember", "k", "a")];
    let applied = rig.apply(ops).await;
    assert!(matches!(applied.outcomes[1], Outcome::Put { replayed: true, .. }));
    assert_eq!((applied.seq, rig.all(None).await.len()), (1, 1));
}

/// The receipt of a merge says so again, and does not merge again.
pub async fn a_replayed_merge_says_merged(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let a = rig.put(rig.statement("a")).await;
    for replayed in [false, true] {
        let outcome = rig.run(keyed(rig.statement("a"), "remember", "k", "a")).await;
        assert_eq!(outcome, Outcome::Put { id: a.id, version: 1, merged: true, replayed });
    }
    assert_eq!(rig.live(a.id).await.witness_count, 2);
}

/// Receipts that name a deleted memory go with it: the same key writes anew.
pub async fn deleting_a_memory_takes_its_receipts(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let a = rig.memory("a");
    rig.run(keyed(a.clone(), "remember", "k", "a")).await;
    rig.run(keyed(rig.memory("b"), "remember", "other", "b")).await;
    rig.delete(a.id).await;
    let fresh = rig.memory("a");
    let outcome = rig.run(keyed(fresh.clone(), "remember", "k", "changed")).await;
    assert_eq!(outcome, Outcome::Put { id: fresh.id, version: 1, merged: false, replayed: false });
    let kept = rig.run(keyed(rig.memory("b"), "remember", "other", "b")).await;
    assert!(matches!(kept, Outcome::Put { replayed: true, .. }), "receipts of other memories stay");
}
