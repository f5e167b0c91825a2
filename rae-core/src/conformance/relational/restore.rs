//! Import: memories as they were.

use crate::{
    conformance::fixtures::{EMBEDDER, Rig, content_patch, kind_of, put, unit, vector_row},
    error::ErrorKind,
    model::{Memory, MemoryPatch, MemoryVersion, Op, Outcome, Timestamp, subject_key},
    ports::{ManualClock, RelationalStore},
};

fn restore(memory: Memory) -> Op {
    Op::RestoreMemory { memory: Box::new(memory), vector: None, history: Vec::new(), access: None }
}

/// Version, times, history, access data and vector come back; only `seq` is the store's.
pub async fn a_memory_is_restored_as_it_was(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let long_ago = Timestamp::parse("2020-02-29T12:00:00.000001Z").unwrap();
    let replaced = Timestamp::parse("2021-03-01T00:00:00Z").unwrap();
    let old = Memory { created_at: long_ago, updated_at: long_ago, seq_in_session: Some(5), ..rig.full_memory() };
    let memory = Memory { content: "as it is".into(), version: 2, updated_at: replaced, ..old.clone() };
    let op = Op::RestoreMemory {
        memory: Box::new(memory.clone()),
        vector: Some(vector_row(EMBEDDER, unit(3))),
        history: vec![MemoryVersion { memory: old.clone(), replaced_at: Some(replaced) }],
        access: Some((7, replaced)),
    };
    let outcome = rig.run(op).await;
    assert_eq!(outcome, Outcome::Put { id: memory.id, version: 2, merged: false, replayed: false });
    let expected = Memory { seq: 1, ..memory };
    assert_eq!(rig.live(expected.id).await, expected);
    let history = store.history(&rig.ctx, expected.id).await.unwrap();
    assert_eq!(history.len(), 2);
    assert_eq!(Memory { seq: old.seq, ..history[0].memory.clone() }, old);
    assert_eq!((history[0].replaced_at, history[1].replaced_at), (Some(replaced), None));
    assert_eq!(store.access(&rig.ctx, &[expected.id]).await.unwrap(), [(7, Some(replaced))]);
    assert_eq!(rig.changes(0).await.puts[0].vector, Some(unit(3)));
}

/// An import run twice changes nothing the second time.
pub async fn restoring_the_same_version_again_changes_nothing(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let memory = Memory { version: 3, ..rig.full_memory() };
    rig.run(restore(memory.clone())).await;
    let before = rig.snapshot().await;
    let other = Memory { content: "not looked at".into(), ..memory.clone() };
    let outcome = rig.run(restore(other)).await;
    assert_eq!(outcome, Outcome::Put { id: memory.id, version: 3, merged: false, replayed: true });
    assert_eq!(rig.snapshot().await, before);
}

/// A live memory of another version is not overwritten.
pub async fn restoring_another_version_is_a_conflict(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let a = rig.put(rig.memory("a")).await;
    rig.patch(a.id, content_patch("b")).await;
    let before = rig.snapshot().await;
    for version in [1, 3] {
        let ops = vec![put(rig.memory("with it")), restore(Memory { version, ..a.clone() })];
        assert_eq!(kind_of(rig.try_apply(vec![], ops).await), ErrorKind::Conflict);
    }
    assert_eq!(rig.snapshot().await, before);
}

/// The same statement under another id is absorbed by the live one.
pub async fn a_restored_statement_merges(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let first = rig.put(rig.statement("a")).await;
    let outcome = rig.run(restore(Memory { tags: vec!["new".into()], ..rig.statement("a") })).await;
    assert_eq!(outcome, Outcome::Put { id: first.id, version: 1, merged: true, replayed: false });
    let merged = rig.live(first.id).await;
    assert_eq!((merged.witness_count, merged.tags), (2, vec!["new".to_owned()]));
}

/// One that expired makes way, one that ended stays without its key.
pub async fn a_restored_statement_does_not_merge_with_what_is_past(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let soon = Some(rig.now().saturating_add_seconds(60));
    let expiring = rig.put(Memory { expires_at: soon, ..rig.statement("a") }).await;
    let ending = rig.put(Memory { valid_to: soon, ..rig.statement("b") }).await;
    clock.advance_seconds(60);
    for text in ["a", "b"] {
        let memory = rig.statement(text);
        let outcome = rig.run(restore(memory.clone())).await;
        assert_eq!(outcome, Outcome::Put { id: memory.id, version: 1, merged: false, replayed: false });
        assert_eq!(rig.live(memory.id).await.dedup_key, memory.dedup_key);
    }
    assert_eq!(store.get(&rig.ctx, &[expiring.id]).await.unwrap(), [None]);
    assert_eq!(rig.live(ending.id).await.dedup_key, None);
    assert_eq!(store.stats(&rig.ctx).await.unwrap().memories, 3);
}

/// Of one subject there is one memory, found by its key: the one that is there. Another text or owner is inserted beside it and loses
/// nothing; the same of the same owner merges, unless the one that is there is over; one that expired makes way.
pub async fn a_restored_memory_about_a_taken_subject_comes_without_the_key(
    store: &dyn RelationalStore,
    clock: &ManualClock,
) {
    let rig = Rig::new(store, clock);
    let key = subject_key("reflection", &["chat"]);
    let about = |text: &str| {
        let memory = rig.memory(text);
        Memory { dedup_key: Some(key), content_hash: *blake3::hash(text.as_bytes()).as_bytes(), ..memory }
    };
    let held = rig.put(about("here")).await;
    let others = [
        about("there"),
        Memory { user_id: Some("u".into()), ..about("here") },
        Memory { agent_id: Some("a".into()), ..about("here") },
    ];
    for other in others {
        let old = MemoryVersion { memory: Memory { content: "before".into(), ..other.clone() }, replaced_at: None };
        let memory = Memory { version: 2, ..other };
        let op = Op::RestoreMemory {
            memory: Box::new(memory.clone()),
            vector: None,
            history: vec![old],
            access: Some((3, rig.now())),
        };
        let outcome = rig.run(op.clone()).await;
        assert_eq!(outcome, Outcome::Put { id: memory.id, version: 2, merged: false, replayed: false });
        let restored = rig.live(memory.id).await;
        assert_eq!(restored, Memory { dedup_key: None, seq: restored.seq, ..memory.clone() });
        assert_eq!(store.history(&rig.ctx, memory.id).await.unwrap().len(), 2);
        // A second time changes nothing.
        let again = rig.run(op).await;
        assert_eq!(again, Outcome::Put { id: memory.id, version: 2, merged: false, replayed: true });
    }
    assert_eq!(rig.live(held.id).await, held);
    let same = rig.run(restore(about("here"))).await;
    assert_eq!(same, Outcome::Put { id: held.id, version: 1, merged: true, replayed: false });
    rig.patch(held.id, MemoryPatch { valid_to: Some(Some(rig.now())), ..MemoryPatch::default() }).await;
    let same = about("here");
    let outcome = rig.run(restore(same.clone())).await;
    assert_eq!(outcome, Outcome::Put { id: same.id, version: 1, merged: false, replayed: false });
    let keys = [rig.live(held.id).await.dedup_key, rig.live(same.id).await.dedup_key];
    assert_eq!(keys, [Some(key), None], "that it is over stays known");
    rig.patch(held.id, MemoryPatch { expires_at: Some(Some(rig.now())), ..MemoryPatch::default() }).await;
    let other = about("there");
    rig.run(restore(other.clone())).await;
    assert_eq!((rig.get(held.id).await, rig.live(other.id).await.dedup_key), (None, Some(key)));
    assert_eq!(store.verify(&rig.ctx).await.unwrap(), Vec::<String>::new());
}

/// What was deleted may be restored; readers then hear of the memory, not of the deletion.
pub async fn a_deleted_memory_may_be_restored(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let a = rig.put(rig.memory("a")).await;
    rig.delete(a.id).await;
    rig.run(restore(a.clone())).await;
    let changes = rig.changes(1).await;
    assert_eq!(changes.deletes, []);
    assert_eq!(changes.puts.iter().map(|c| c.memory.id).collect::<Vec<_>>(), [a.id]);
    assert_eq!(rig.live(a.id).await.seq, 3);
}
