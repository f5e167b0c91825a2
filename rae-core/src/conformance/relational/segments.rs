//! Segments of the lexical index.

use crate::{
    conformance::fixtures::{Rig, put},
    model::{DropTarget, Layer, MemoryId, Op, Outcome, SegmentRow},
    ports::{ManualClock, RelationalStore},
};

async fn members(rig: &Rig<'_>, n: usize) -> Vec<MemoryId> {
    let memories: Vec<_> = (0..n).map(|i| rig.turn("s", &format!("{i}"))).collect();
    let ids = memories.iter().map(|m| m.id).collect();
    rig.apply(memories.into_iter().map(put).collect()).await;
    ids
}

fn row(from_seq: u64, to_seq: u64, ids: &[MemoryId], data: &[u8]) -> SegmentRow {
    SegmentRow { from_seq, to_seq, ids: ids.to_vec(), data: data.to_vec() }
}

async fn store_segment(rig: &Rig<'_>, row: &SegmentRow) -> Outcome {
    rig.run(Op::PutSegment { row: row.clone() }).await
}

/// By ascending start, byte for byte, with their members.
pub async fn segments_come_back_in_order(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let ids = members(&rig, 4).await;
    let bytes: Vec<u8> = (0..=255u8).cycle().take(300_000).collect();
    let (a, b, c) = (row(0, 1, &ids[..1], &[]), row(1, 3, &ids[1..3], &bytes), row(3, 4, &ids[3..], b"\0"));
    for segment in [&c, &a, &b] {
        assert_eq!(store_segment(&rig, segment).await, Outcome::Done);
    }
    assert_eq!(store.segments(&rig.ctx).await.unwrap(), [a, b, c]);
}

/// A merged segment takes the place of those it covers, and of itself.
pub async fn a_segment_replaces_those_inside_its_range(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let ids = members(&rig, 6).await;
    for segment in [
        row(0, 2, &ids[..2], b"a"),
        row(2, 3, &ids[2..3], b"b"),
        row(3, 5, &ids[3..5], b"c"),
        row(5, 6, &ids[5..], b"d"),
    ] {
        store_segment(&rig, &segment).await;
    }
    let merged = row(2, 5, &ids[2..5], b"bc");
    store_segment(&rig, &merged).await;
    let merged = row(2, 5, &ids[2..5], b"bc again");
    store_segment(&rig, &merged).await;
    assert_eq!(
        store.segments(&rig.ctx).await.unwrap(),
        [row(0, 2, &ids[..2], b"a"), merged, row(5, 6, &ids[5..], b"d")]
    );
}

/// A deleted memory takes every segment that holds it along; the others stay.
pub async fn deleting_a_member_drops_its_segments(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let ids = members(&rig, 4).await;
    let (a, b) = (row(0, 2, &ids[..2], b"a"), row(2, 4, &ids[2..], b"b"));
    store_segment(&rig, &a).await;
    store_segment(&rig, &b).await;
    rig.delete(ids[1]).await;
    assert_eq!(store.segments(&rig.ctx).await.unwrap(), [b]);
}

/// Trimming and erasing are deletions too.
pub async fn trimming_and_erasing_drop_segments(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let erasures = [
        Op::TrimLayer { layer: Layer::Episodic, session_id: None, keep: 0 },
        Op::DropScope { target: DropTarget::Session("s".into()) },
        Op::DropScope { target: DropTarget::Project("default".into()) },
        Op::DropScope { target: DropTarget::Tenant },
    ];
    for op in erasures {
        let from = rig.seq().await;
        let ids = members(&rig, 2).await;
        assert_eq!(store_segment(&rig, &row(from, from + 2, &ids, b"a")).await, Outcome::Done);
        rig.run(op).await;
        assert_eq!(store.segments(&rig.ctx).await.unwrap(), []);
    }
}

/// A segment that was being built while a member went is not stored, and replaces nothing.
pub async fn a_segment_with_a_deleted_member_is_skipped(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let ids = members(&rig, 3).await;
    let small = row(0, 1, &ids[..1], b"small");
    store_segment(&rig, &small).await;
    rig.delete(ids[2]).await;
    assert_eq!(store_segment(&rig, &row(0, 3, &ids, b"late")).await, Outcome::Skipped);
    assert_eq!(store.segments(&rig.ctx).await.unwrap(), [small]);
    assert_eq!(store_segment(&rig, &row(0, 4, &ids[..2], b"fresh")).await, Outcome::Done);
    assert_eq!(store.segments(&rig.ctx).await.unwrap().len(), 1);
}

/// It is still skipped when the member came back meanwhile: what it holds is the text that was deleted.
pub async fn a_member_that_came_back_does_not_save_an_old_segment(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let a = rig.put(rig.memory("a")).await;
    let old = row(0, 1, &[a.id], b"a");
    rig.delete(a.id).await;
    rig.put(a.clone()).await;
    assert_eq!(store_segment(&rig, &old).await, Outcome::Skipped);
    assert_eq!(store_segment(&rig, &row(0, 3, &[a.id], b"new")).await, Outcome::Done);
}

/// After an erasure of the project its tombstones are gone; the floor stands in for them.
pub async fn a_segment_from_before_an_erasure_is_skipped(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let ids = members(&rig, 3).await;
    rig.erase(DropTarget::Project("default".into())).await;
    assert_eq!(store_segment(&rig, &row(0, 3, &ids, b"late")).await, Outcome::Skipped);
    assert_eq!(store.segments(&rig.ctx).await.unwrap(), []);
}
