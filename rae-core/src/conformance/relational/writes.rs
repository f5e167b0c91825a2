//! `apply`: all or nothing, preconditions, numbers, places in a session.

use crate::{
    conformance::fixtures::{
        EMBEDDER, Rig, content_patch, importance_patch, key, kind_of, patch_op, put, unit, vector_row,
    },
    error::ErrorKind,
    model::{Audit, Memory, MemoryPatch, Op, Outcome, PatchMode, Precondition, SegmentRow},
    ports::{ManualClock, RelationalStore},
};
use serde_json::json;

/// Every field comes back; the store gives `seq` and the place in the session.
pub async fn a_memory_reads_back_as_it_was_put(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let memory = rig.full_memory();
    let outcome = rig.run(put(memory.clone())).await;
    assert_eq!(outcome, Outcome::Put { id: memory.id, version: 1, merged: false, replayed: false });
    let expected = Memory { seq: 1, seq_in_session: Some(0), ..memory };
    assert_eq!(rig.live(expected.id).await, expected);
    assert_eq!(rig.all(None).await, std::slice::from_ref(&expected));
    assert_eq!(rig.changes(0).await.puts[0].memory, expected);
}

/// Answers stand where their ids stood, twice when asked twice.
pub async fn get_keeps_the_order_asked(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let (a, b) = (rig.put(rig.memory("a")).await, rig.put(rig.memory("b")).await);
    let asked = [b.id, rig.id(), a.id, b.id];
    let found = store.get(&rig.ctx, &asked).await.unwrap();
    assert_eq!(found, [Some(b.clone()), None, Some(a), Some(b)]);
    assert_eq!(store.get(&rig.ctx, &[]).await.unwrap(), []);
}

/// An op that fails takes the ops before and after it along.
pub async fn a_failing_op_in_the_middle_writes_nothing(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let old = rig.put_with_vector(rig.statement("old"), unit(1)).await;
    let before = rig.snapshot().await;
    let ops = vec![
        put(rig.statement("new")),
        put(rig.statement("old")),
        Op::RecordAccess { counts: vec![(old.id, 1, rig.now())] },
        Op::DeleteMemory { id: old.id },
        patch_op(rig.id(), content_patch("nobody"), PatchMode::NewVersion),
        put(rig.memory("after")),
    ];
    assert_eq!(kind_of(rig.try_apply(vec![], ops).await), ErrorKind::NotFound);
    assert_eq!(rig.snapshot().await, before);
}

/// One precondition of three that does not hold is enough.
pub async fn a_failing_precondition_writes_nothing(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let a = rig.put(rig.memory("a")).await;
    let before = rig.snapshot().await;
    let conditions =
        vec![Precondition::VersionIs(a.id, 1), Precondition::VersionIs(a.id, 2), Precondition::Absent(rig.id())];
    let ops = vec![put(rig.memory("b")), Op::DeleteMemory { id: a.id }];
    assert_eq!(kind_of(rig.try_apply(conditions, ops).await), ErrorKind::Conflict);
    assert_eq!(rig.snapshot().await, before);
}

/// `VersionIs` follows the version.
pub async fn version_is_holds_for_that_version_only(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let a = rig.put(rig.memory("a")).await;
    let patch = || vec![patch_op(a.id, content_patch("b"), PatchMode::NewVersion)];
    rig.try_apply(vec![Precondition::VersionIs(a.id, 1)], patch()).await.unwrap();
    let again = rig.try_apply(vec![Precondition::VersionIs(a.id, 1)], patch()).await;
    assert_eq!(kind_of(again), ErrorKind::Conflict);
    assert_eq!(rig.live(a.id).await.version, 2);
    rig.try_apply(vec![Precondition::VersionIs(a.id, 2)], patch()).await.unwrap();
}

/// `VersionIs` of what is not live is NotFound, also once it was.
pub async fn version_is_of_a_missing_memory_is_not_found(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let never = rig.try_apply(vec![Precondition::VersionIs(rig.id(), 1)], vec![]).await;
    assert_eq!(kind_of(never), ErrorKind::NotFound);
    let a = rig.put(rig.memory("a")).await;
    rig.delete(a.id).await;
    let gone = rig.try_apply(vec![Precondition::VersionIs(a.id, 1)], vec![]).await;
    assert_eq!(kind_of(gone), ErrorKind::NotFound);
}

/// `SeqIs` sees what makes no version: a merge, a change in place, a vector. What is not live is NotFound.
pub async fn seq_is_holds_until_anything_touches_the_memory(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let first = rig.put(rig.statement("a")).await;
    let vector = vector_row(EMBEDDER, unit(3));
    let weaker = MemoryPatch { strength: Some(0.5), ..MemoryPatch::default() };
    let touches = [
        put(rig.statement("a")),
        patch_op(first.id, weaker, PatchMode::InPlace),
        Op::PutVector { id: first.id, version: 1, vector },
        patch_op(first.id, content_patch("b"), PatchMode::NewVersion),
    ];
    for touch in touches {
        let seen = rig.live(first.id).await.seq;
        let is_so = || vec![Precondition::SeqIs(first.id, seen)];
        rig.try_apply(is_so(), vec![]).await.unwrap();
        // What happens to another one does not count.
        rig.put(rig.memory("beside")).await;
        rig.try_apply(is_so(), vec![touch]).await.unwrap();
        let refused = rig.try_apply(is_so(), vec![put(rig.memory("lost"))]).await.unwrap_err();
        assert_eq!((refused.kind(), refused.code()), (ErrorKind::Conflict, "version_changed"));
    }
    assert_eq!(rig.all(None).await.len(), 5);
    let last = rig.live(first.id).await.seq;
    rig.delete(first.id).await;
    for (id, seq) in [(first.id, last), (rig.id(), 1)] {
        assert_eq!(kind_of(rig.try_apply(vec![Precondition::SeqIs(id, seq)], vec![]).await), ErrorKind::NotFound);
    }
}

/// `Absent` asks about live memories only.
pub async fn absent_refuses_a_live_id_only(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let a = rig.put(rig.memory("a")).await;
    assert_eq!(kind_of(rig.try_apply(vec![Precondition::Absent(a.id)], vec![]).await), ErrorKind::Conflict);
    rig.delete(a.id).await;
    rig.try_apply(vec![Precondition::Absent(a.id), Precondition::Absent(rig.id())], vec![]).await.unwrap();
}

/// A key is found and taken while a memory has it, whatever became of that memory short of its deletion; in its own scope alone.
pub async fn a_key_is_taken_while_its_memory_lives(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let (one, other) = (key("one"), key("other"));
    let free = || vec![Precondition::KeyFree(one)];
    assert_eq!(store.keyed(&rig.ctx, &[one, other]).await.unwrap(), [None, None]);
    let with_key = |memory: Memory| Memory { dedup_key: Some(one), ..memory };
    let first = with_key(rig.memory("first"));
    rig.try_apply(free(), vec![put(first.clone())]).await.unwrap();
    let refused = rig.try_apply(free(), vec![put(with_key(rig.memory("second")))]).await.unwrap_err();
    assert_eq!((refused.kind(), refused.code()), (ErrorKind::Conflict, "exists"));
    rig.try_apply(vec![Precondition::KeyFree(other)], vec![]).await.unwrap();
    let found = store.keyed(&rig.ctx, &[other, one, one]).await.unwrap();
    let live = Some(rig.live(first.id).await);
    assert_eq!(found, [None, live.clone(), live]);
    // One that ended keeps its key.
    let ended = MemoryPatch { valid_to: Some(Some(rig.now())), ..MemoryPatch::default() };
    rig.patch(first.id, ended).await;
    assert_eq!(kind_of(rig.try_apply(free(), vec![]).await), ErrorKind::Conflict);
    assert_eq!(store.keyed(&rig.ctx, &[one]).await.unwrap()[0].as_ref().unwrap().version, 2);
    // The same key elsewhere is another one.
    let there = rig.at("elsewhere", "p");
    assert_eq!(store.keyed(&there.ctx, &[one]).await.unwrap(), [None]);
    there.try_apply(free(), vec![]).await.unwrap();
    rig.delete(first.id).await;
    assert_eq!(store.keyed(&rig.ctx, &[one]).await.unwrap(), [None]);
    rig.try_apply(free(), vec![put(with_key(rig.memory("third")))]).await.unwrap();
    assert_eq!(rig.all(None).await.len(), 1);
}

/// Of many who write under a free key at the same time, one does.
pub async fn racing_writes_under_a_free_key_make_one(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let writes = (0..16).map(|n| {
        let memory = Memory { dedup_key: Some(key("one")), ..rig.memory(&format!("writer {n}")) };
        rig.try_apply(vec![Precondition::KeyFree(key("one"))], vec![put(memory)])
    });
    let done = futures::future::join_all(writes).await;
    assert_eq!(done.iter().filter(|done| done.is_ok()).count(), 1);
    assert!(done.iter().filter_map(|done| done.as_ref().err()).all(|error| error.code() == "exists"));
    assert_eq!(rig.all(None).await.len(), 1);
}

/// `EmbedderIs` names its refusal, also while there is no embedder.
pub async fn embedder_is_refuses_another_embedder(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let mine = || vec![Precondition::EmbedderIs(EMBEDDER.into())];
    assert_eq!(kind_of(rig.try_apply(mine(), vec![]).await), ErrorKind::Conflict);
    rig.run(Op::SetEmbedder { embedder: EMBEDDER.into(), dim: 4 }).await;
    rig.try_apply(mine(), vec![]).await.unwrap();
    rig.run(Op::SetEmbedder { embedder: "other@1/4".into(), dim: 4 }).await;
    let refused = rig.try_apply(mine(), vec![put(rig.memory("a"))]).await.unwrap_err();
    assert_eq!((refused.kind(), refused.code()), (ErrorKind::Conflict, "embedder_changed"));
    assert!(rig.all(None).await.is_empty());
}

/// Within a batch, what one op did is there for the next.
pub async fn ops_see_the_ops_before_them(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let (a, b) = (rig.memory("a"), rig.memory("b"));
    let ops = vec![
        put(a.clone()),
        patch_op(a.id, content_patch("a, revised"), PatchMode::NewVersion),
        Op::PutVector { id: a.id, version: 1, vector: vector_row(EMBEDDER, unit(1)) },
        Op::PutVector { id: a.id, version: 2, vector: vector_row(EMBEDDER, unit(2)) },
        put(b.clone()),
        Op::DeleteMemory { id: b.id },
        Op::DeleteMemory { id: b.id },
    ];
    let outcomes = rig.apply(ops).await.outcomes;
    assert_eq!(outcomes[1..4], [Outcome::Patched { version: 2 }, Outcome::Skipped, Outcome::Done]);
    assert_eq!(outcomes[5..], [Outcome::Deleted { existed: true }, Outcome::Deleted { existed: false }]);
    assert_eq!(rig.live(a.id).await.content, "a, revised");
    assert_eq!(rig.get(b.id).await, None);
}

/// Preconditions are about the state before the batch, not after its ops.
pub async fn preconditions_see_the_state_before_the_batch(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let a = rig.memory("a");
    rig.try_apply(vec![Precondition::Absent(a.id)], vec![put(a.clone())]).await.unwrap();
    let ops = vec![patch_op(a.id, content_patch("b"), PatchMode::NewVersion), Op::DeleteMemory { id: a.id }];
    rig.try_apply(vec![Precondition::VersionIs(a.id, 1)], ops).await.unwrap();
    assert_eq!(rig.get(a.id).await, None);
}

/// Ids are never overwritten by a put.
pub async fn a_live_id_is_not_put_twice(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let a = rig.put(rig.memory("a")).await;
    let twin = Memory { id: a.id, ..rig.statement("b") };
    assert_eq!(kind_of(rig.try_apply(vec![], vec![put(twin)]).await), ErrorKind::Conflict);
    assert_eq!(rig.all(None).await, [a]);
}

/// Put, merge, patch, number, vector, delete: one number each, and the memory carries its own.
pub async fn each_visible_change_takes_the_next_number(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let a = rig.statement("a");
    let id = a.id;
    let changes = [
        put(a),
        put(rig.statement("a")),
        patch_op(id, MemoryPatch { tags: Some(vec!["t".into()]), ..MemoryPatch::default() }, PatchMode::NewVersion),
        patch_op(id, importance_patch(0.9), PatchMode::InPlace),
        Op::PutVector { id, version: 2, vector: vector_row(EMBEDDER, unit(1)) },
    ];
    for (op, seq) in changes.into_iter().zip(1..) {
        let applied = rig.apply(vec![op]).await;
        assert_eq!((applied.seq_before, applied.seq), (seq - 1, seq));
        assert_eq!(rig.live(id).await.seq, seq);
        assert_eq!(rig.seq().await, seq);
    }
    rig.delete(id).await;
    assert_eq!(rig.seq().await, 6);
    assert_eq!(rig.changes(0).await.deletes, [(6, id)]);
}

/// Access data, audit rows, jobs, segments and what does nothing take no number.
pub async fn what_readers_do_not_see_takes_no_number(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let a = rig.put(rig.memory("a")).await;
    let row = SegmentRow { from_seq: 0, to_seq: 1, ids: vec![a.id], data: vec![1] };
    let ops = vec![
        Op::RecordAccess { counts: vec![(a.id, 1, rig.now())] },
        Op::Audit(Audit { action: "test".into(), details: json!({}) }),
        Op::PutSegment { row },
        Op::DeleteMemory { id: rig.id() },
        Op::PutVector { id: a.id, version: 7, vector: vector_row(EMBEDDER, unit(1)) },
    ];
    let applied = rig.apply(ops).await;
    assert_eq!((applied.seq_before, applied.seq), (1, 1));
    rig.enqueue(rig.now()).await;
    assert_eq!(rig.seq().await, 1);
    assert_eq!(rig.live(a.id).await.seq, 1);
}

/// From 0, per session, in the order of commit, whatever the layer; none without a session.
pub async fn places_in_a_session_are_given_at_commit(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    // The ids are made in another order than the memories are written.
    let (first, second) = (rig.turn("s", "written second"), rig.turn("s", "written first"));
    let other = Memory { layer: crate::model::Layer::Working, ..rig.turn("s", "another layer") };
    let ops = [second.clone(), rig.turn("S", "another session"), first.clone(), rig.memory("none"), other.clone()];
    rig.apply(ops.iter().cloned().map(put).collect()).await;
    rig.put(Memory { seq_in_session: Some(77), ..rig.turn("S", "the store decides") }).await;
    let mut places = Vec::new();
    for m in rig.all(None).await {
        places.push((m.content, m.seq_in_session));
    }
    places.sort();
    let expected = [
        ("another layer", Some(2)),
        ("another session", Some(0)),
        ("none", None),
        ("the store decides", Some(1)),
        ("written first", Some(0)),
        ("written second", Some(1)),
    ];
    assert_eq!(places, expected.map(|(text, place)| (text.to_owned(), place)));
}

/// A batch without ops is applied and changes nothing.
pub async fn an_empty_batch_is_applied(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    rig.put(rig.memory("a")).await;
    let applied = rig.apply(vec![]).await;
    assert_eq!((applied.seq_before, applied.seq, applied.outcomes), (1, 1, vec![]));
}

/// The largest transaction goes through whole, and not at all when its last op fails.
pub async fn a_batch_of_a_thousand_is_one_transaction(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let ops = |n: usize| (0..n).map(|i| put(rig.turn("s", &format!("turn {i}")))).collect::<Vec<_>>();
    let mut failing = ops(999);
    failing.push(patch_op(rig.id(), importance_patch(0.1), PatchMode::InPlace));
    assert_eq!(kind_of(rig.try_apply(vec![], failing).await), ErrorKind::NotFound);
    assert_eq!(rig.seq().await, 0);
    let applied = rig.apply(ops(1_000)).await;
    assert_eq!((applied.seq_before, applied.seq, applied.outcomes.len()), (0, 1_000, 1_000));
    let all = rig.all(None).await;
    assert_eq!(all.len(), 1_000);
    assert!(all.iter().zip(0u32..).all(|(m, i)| m.seq_in_session == Some(i) && m.seq == u64::from(i) + 1));
}
