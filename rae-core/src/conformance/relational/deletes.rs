//! Deletion and trimming.

use crate::{
    conformance::fixtures::{
        EMBEDDER, Rig, content_patch, filter, importance_patch, patch_op, put, put_with_vector, unit, vector_row,
    },
    model::{DropTarget, Layer, Memory, MemoryId, Op, Outcome, PatchMode, Provenance, SegmentRow},
    ports::{ManualClock, RelationalStore},
};
use serde_json::json;

/// No read finds anything of it; only a tombstone is left.
pub async fn a_deleted_memory_leaves_no_row(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let parent = rig.id();
    let provenance = Provenance { derived_from: vec![parent], sources: vec![] };
    let memory = Memory { provenance, expires_at: Some(rig.now()), ..rig.turn("s", "secret") };
    let id = memory.id;
    rig.apply(vec![
        put_with_vector(memory, EMBEDDER, unit(1)),
        patch_op(id, content_patch("secret, revised"), PatchMode::NewVersion),
        Op::RecordAccess { counts: vec![(id, 3, rig.now())] },
        Op::PutSegment { row: SegmentRow { from_seq: 0, to_seq: 2, ids: vec![id], data: b"secret".to_vec() } },
    ])
    .await;
    assert!(rig.delete(id).await);
    assert_eq!(rig.get(id).await, None);
    assert_eq!(store.history(&rig.ctx, id).await.unwrap(), []);
    assert_eq!(store.access(&rig.ctx, &[id]).await.unwrap(), [(0, None)]);
    assert!(store.matching(&rig.ctx, &filter(&json!({}))).await.unwrap().is_empty());
    assert!(store.derived_from(&rig.ctx, &[parent], 10).await.unwrap().is_empty());
    let snapshot = rig.snapshot().await;
    assert_eq!(snapshot.changes.deletes, [(3, id)]);
    let changes = crate::model::Changes::default();
    assert!(crate::conformance::fixtures::Snapshot { changes, ..snapshot }.is_empty());
}

/// Deleting twice, or what never was, is no error and no change.
pub async fn deleting_what_is_missing_changes_nothing(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let a = rig.put(rig.memory("a")).await;
    assert!(!rig.delete(rig.id()).await);
    assert!(rig.delete(a.id).await);
    let before = rig.snapshot().await;
    assert!(!rig.delete(a.id).await);
    assert_eq!(rig.snapshot().await, before);
}

/// Also when the id is put again, and when its scope is erased: the number never falls.
pub async fn the_last_deletion_of_an_id_is_known_for_ever(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let last = async |id: MemoryId| store.last_deletion(&rig.ctx, id).await.unwrap();
    let memory = rig.memory("a");
    let id = memory.id;
    assert_eq!(last(id).await, 0, "there is no scope");
    rig.apply(vec![put(memory.clone()), put(rig.memory("b"))]).await;
    assert_eq!(last(id).await, 0, "it lives");
    rig.delete(id).await;
    assert_eq!((last(id).await, last(rig.id()).await), (3, 0));
    assert_eq!(store.last_deletion(&rig.at("default", "other").ctx, id).await.unwrap(), 0);
    // Within one batch, and alone in it.
    rig.apply(vec![put(memory.clone()), Op::DeleteMemory { id }]).await;
    assert_eq!((last(id).await, rig.seq().await), (5, 5));
    rig.run(put(memory)).await;
    assert_eq!(last(id).await, 5, "it came back");
    rig.erase(DropTarget::Project("default".into())).await;
    let floor = rig.head().await.tombstone_floor;
    assert!(last(id).await == floor && last(rig.id()).await == floor && floor > 5, "what is below it is not known");
    rig.erase(DropTarget::Tenant).await;
    let (before, floor) = (floor, rig.head().await.tombstone_floor);
    assert!(last(id).await == floor && floor > before, "the erasure of what is empty is one, too");
    let again = rig.memory("again");
    rig.apply(vec![put(again.clone()), Op::DeleteMemory { id: again.id }]).await;
    assert_eq!((last(again.id).await, last(id).await), (floor + 2, floor));
}

/// One that was given more time since it was looked up stays, and so does one without an end.
pub async fn only_what_has_expired_is_deleted_as_expired(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let now = rig.now();
    let ends = |text: &str, seconds: Option<i64>| {
        let mut memory = rig.memory(text);
        memory.expires_at = seconds.map(|seconds| now.saturating_add_seconds(seconds));
        memory
    };
    let (due, later, never) = (
        rig.put(ends("due", Some(5))).await,
        rig.put(ends("later", Some(6))).await,
        rig.put(ends("never", None)).await,
    );
    let now = now.saturating_add_seconds(5);
    for (id, gone) in [(due.id, true), (due.id, false), (later.id, false), (never.id, false), (rig.id(), false)] {
        assert_eq!(rig.run(Op::DeleteExpired { id, now }).await, Outcome::Deleted { existed: gone });
    }
    assert!(rig.get(due.id).await.is_none() && rig.get(later.id).await.is_some() && rig.get(never.id).await.is_some());
}

/// What belongs to other memories stays.
pub async fn deleting_one_memory_leaves_the_others(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let a = rig.put_with_vector(rig.statement("a"), unit(1)).await;
    let b = rig.put_with_vector(rig.statement("b"), unit(2)).await;
    rig.patch(b.id, content_patch("b, revised")).await;
    rig.run(Op::RecordAccess { counts: vec![(a.id, 1, rig.now()), (b.id, 2, rig.now())] }).await;
    rig.delete(a.id).await;
    assert_eq!(rig.live(b.id).await.version, 2);
    assert_eq!(store.history(&rig.ctx, b.id).await.unwrap().len(), 2);
    assert_eq!(store.access(&rig.ctx, &[b.id]).await.unwrap(), [(2, Some(rig.now()))]);
    assert_eq!(store.vectors(&rig.ctx, EMBEDDER, 0, 10).await.unwrap().len(), 1);
}

/// Writes that were on their way while the memory went leave nothing behind.
pub async fn late_writes_about_a_deleted_memory_leave_nothing(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let a = rig.put(rig.memory("a")).await;
    rig.delete(a.id).await;
    rig.run(Op::RecordAccess { counts: vec![(a.id, 3, rig.now()), (rig.id(), 1, rig.now())] }).await;
    let late = Op::PutVector { id: a.id, version: 1, vector: vector_row(EMBEDDER, unit(1)) };
    assert_eq!(rig.run(late).await, Outcome::Skipped);
    assert_eq!(store.access(&rig.ctx, &[a.id]).await.unwrap(), [(0, None)]);
    assert!(store.vectors(&rig.ctx, EMBEDDER, 0, 10).await.unwrap().is_empty());
    assert_eq!(rig.seq().await, 2);
    rig.put(a.clone()).await;
    assert_eq!(store.access(&rig.ctx, &[a.id]).await.unwrap(), [(0, None)], "a memory put again starts afresh");
}

async fn trim(rig: &Rig<'_>, layer: Layer, session: Option<&str>, keep: usize) -> Vec<MemoryId> {
    let op = Op::TrimLayer { layer, session_id: session.map(str::to_owned), keep };
    let Outcome::Trimmed { mut ids } = rig.run(op).await else { panic!("a trim must give Outcome::Trimmed") };
    ids.sort_unstable();
    ids
}

async fn put_dated(rig: &Rig<'_>, memory: Memory) -> MemoryId {
    rig.clock.advance_seconds(1);
    let dated = Memory { created_at: rig.now(), updated_at: rig.now(), id: rig.id(), ..memory };
    rig.put(dated).await.id
}

/// The newest of the layer stay, the others go as if deleted, other layers are untouched; a change does not make one newer.
pub async fn trimming_keeps_the_newest_of_the_layer(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let mut ids = Vec::new();
    for i in 0..5 {
        ids.push(put_dated(&rig, Memory { layer: Layer::Sensory, ..rig.statement(&format!("s{i}")) }).await);
    }
    let other = put_dated(&rig, rig.memory("semantic")).await;
    rig.patch(ids[0], importance_patch(1.0)).await;
    rig.patch(ids[1], content_patch("revised")).await;
    let seq = rig.seq().await;
    assert_eq!(trim(&rig, Layer::Sensory, None, 2).await, ids[..3]);
    assert_eq!(rig.seq().await, seq + 3);
    let mut deleted: Vec<_> = rig.changes(seq).await.deletes.into_iter().map(|(_, id)| id).collect();
    deleted.sort_unstable();
    assert_eq!(deleted, ids[..3]);
    assert!(rig.get(other).await.is_some() && rig.get(ids[3]).await.is_some());
    assert_eq!(store.history(&rig.ctx, ids[1]).await.unwrap(), []);
    assert!(rig.changes(seq).await.puts.is_empty());
}

/// With a session, only that session counts and only that session loses.
pub async fn trimming_a_session_leaves_the_others(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let mut of = std::collections::BTreeMap::<&str, Vec<MemoryId>>::new();
    for i in 0..4 {
        for session in ["s", "S", "s%"] {
            let turn = Memory { layer: Layer::Working, ..rig.turn(session, &format!("{i}")) };
            of.entry(session).or_default().push(put_dated(&rig, turn).await);
        }
        put_dated(&rig, Memory { layer: Layer::Working, ..rig.memory("no session") }).await;
    }
    assert_eq!(trim(&rig, Layer::Working, Some("s"), 1).await, of["s"][..3]);
    assert_eq!(trim(&rig, Layer::Working, Some("%"), 0).await, []);
    assert_eq!(trim(&rig, Layer::Episodic, Some("s"), 0).await, []);
    assert_eq!(rig.all(None).await.len(), 16 - 3);
}

/// Keeping more than there is changes nothing; keeping none empties the layer.
pub async fn trimming_bounds(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    rig.apply((0..3).map(|i| put(rig.memory(&format!("{i}")))).collect()).await;
    for keep in [3, 4, usize::MAX] {
        assert_eq!(trim(&rig, Layer::Semantic, None, keep).await, []);
    }
    assert_eq!(rig.seq().await, 3);
    assert_eq!(trim(&rig, Layer::Semantic, None, 0).await.len(), 3);
    assert!(rig.all(None).await.is_empty());
}
