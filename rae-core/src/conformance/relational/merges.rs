//! Statements said again.

use crate::{
    conformance::fixtures::{Rig, object, put},
    limits::TAGS_MAX,
    model::{Memory, Outcome, Provenance},
    ports::{ManualClock, RelationalStore},
};
use serde_json::json;

/// The first id, text, metadata and version stay; the rest is what `Memory::absorb` says; the number moves.
pub async fn the_same_statement_merges(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let first = Memory {
        tags: vec!["a".into(), "b".into()],
        metadata: object(json!({"from": "first"})),
        importance: 0.3,
        confidence: 0.9,
        provenance: Provenance { sources: vec!["web".into()], derived_from: vec![rig.id()] },
        ..rig.statement("Water is wet")
    };
    let first = rig.put(first).await;
    clock.advance_seconds(60);
    let second = Memory {
        content: "water is WET".into(),
        tags: vec!["c".into(), "b".into()],
        metadata: object(json!({"from": "second"})),
        importance: 0.7,
        confidence: 0.1,
        provenance: Provenance { sources: vec!["mail".into(), "web".into()], derived_from: vec![rig.id()] },
        ..rig.statement("Water is wet")
    };
    let outcome = rig.run(put(second.clone())).await;
    assert_eq!(outcome, Outcome::Put { id: first.id, version: 1, merged: true, replayed: false });
    let mut expected = Memory { seq: 2, ..first.clone() };
    expected.absorb(&second);
    assert_eq!(rig.all(None).await, [expected.clone()]);
    assert_eq!(rig.get(second.id).await, None);
    let changes = rig.changes(1).await;
    assert_eq!(changes.puts.len(), 1, "a merge is a change");
    assert_eq!(changes.puts[0].memory, expected);
    assert_eq!(store.history(&rig.ctx, first.id).await.unwrap().len(), 1, "a merge makes no version");
}

/// Ten times in one batch is one memory with ten witnesses.
pub async fn statements_merge_within_a_batch(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let ops = (0..10).map(|i| put(Memory { tags: vec![format!("t{i}")], ..rig.statement("a") })).collect();
    let applied = rig.apply(ops).await;
    let all = rig.all(None).await;
    assert_eq!((all.len(), all[0].witness_count, all[0].tags.len()), (1, 10, 10));
    let merged =
        applied.outcomes.iter().filter(|o| matches!(o, Outcome::Put { id, merged: true, .. } if *id == all[0].id));
    assert_eq!(merged.count(), 9);
    assert_eq!((applied.seq, all[0].seq), (10, 10));
}

/// Tags join up to the bound; the first ones stay.
pub async fn merged_tags_stop_at_the_bound(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let tags = |from: usize| (from..from + TAGS_MAX - 4).map(|i| format!("t{i}")).collect::<Vec<_>>();
    rig.put(Memory { tags: tags(0), ..rig.statement("a") }).await;
    let merged = rig.put(Memory { tags: tags(100), ..rig.statement("a") }).await;
    let expected: Vec<_> = tags(0).into_iter().chain(tags(100)).take(TAGS_MAX).collect();
    assert_eq!(merged.tags, expected);
}

/// Events and other memories without a key are as many as were put.
pub async fn memories_without_a_key_stay_apart(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let turns = (0..3).map(|_| put(rig.turn("s", "yes"))).collect();
    let applied = rig.apply(turns).await;
    assert!(applied.outcomes.iter().all(|o| matches!(o, Outcome::Put { merged: false, .. })));
    assert_eq!(rig.all(None).await.len(), 3);
}

/// A turn with a key (same session, speaker, time and text) is the same event: it keeps its place.
pub async fn a_turn_with_a_key_merges_and_keeps_its_place(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let turn = || Memory { dedup_key: rig.statement("s Ada noon yes").dedup_key, ..rig.turn("s", "yes") };
    rig.put(rig.turn("s", "before")).await;
    let first = rig.put(turn()).await;
    rig.put(rig.turn("s", "after")).await;
    let merged = rig.put(turn()).await;
    assert_eq!((merged.id, merged.seq_in_session, merged.witness_count), (first.id, Some(1), 2));
    let next = rig.put(rig.turn("s", "next")).await;
    assert_eq!(next.seq_in_session, Some(3), "a merge takes no place in the session");
}

/// A statement forgotten and said again is a new memory.
pub async fn a_deleted_memory_frees_its_text(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let first = rig.put(rig.statement("a")).await;
    rig.put(rig.statement("a")).await;
    rig.delete(first.id).await;
    let again = rig.statement("a");
    let outcome = rig.run(put(again.clone())).await;
    assert_eq!(outcome, Outcome::Put { id: again.id, version: 1, merged: false, replayed: false });
    assert_eq!(rig.live(again.id).await.witness_count, 1);
}

/// The same words in another project or tenant are another memory.
pub async fn statements_of_other_scopes_do_not_merge(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    for (tenant, project) in [("a", "p"), ("a", "q"), ("b", "p")] {
        let there = rig.at(tenant, project);
        let stored = there.put(there.statement("the same")).await;
        assert_eq!((stored.witness_count, stored.seq), (1, 1));
    }
}

/// Memories that differ in a byte of their key stay apart, whatever the bytes.
pub async fn keys_are_compared_byte_for_byte(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let mut keys = vec![[0u8; 32], [0xff; 32], [b'%'; 32]];
    keys.extend((0..32).map(|i| {
        let mut bytes = [0u8; 32];
        bytes[i] = 1;
        bytes
    }));
    let ops = keys.iter().map(|k| put(Memory { dedup_key: Some(*k), ..rig.memory("x") })).collect();
    rig.apply(ops).await;
    assert_eq!(rig.all(None).await.len(), keys.len());
}
