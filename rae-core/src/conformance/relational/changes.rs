//! The change log.

use crate::{
    conformance::fixtures::{
        EMBEDDER, OTHER_EMBEDDER, Rig, content_patch, importance_patch, patch_op, put, put_with_vector, unit,
    },
    limits::TOMBSTONES_MAX,
    model::{Changes, Layer, MemoryId, Op, PatchMode},
    ports::{ManualClock, RelationalStore},
};

/// Nothing ever happened there.
pub async fn an_unknown_scope_has_no_changes(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock).at("never", "seen");
    let head = rig.head().await;
    assert_eq!((head.seq, head.tombstone_floor, head.embedder), (0, 0, None));
    assert_eq!(rig.changes(0).await, Changes::default());
    assert!(rig.snapshot().await.is_empty());
}

/// Ten memories, some changed, some deleted.
async fn history(rig: &Rig<'_>) -> Vec<MemoryId> {
    let memories: Vec<_> = (0..10).map(|i| rig.memory(&format!("m{i}"))).collect();
    let ids: Vec<_> = memories.iter().map(|m| m.id).collect();
    rig.apply(memories.into_iter().map(put).collect()).await;
    for i in [3, 7, 3] {
        rig.run(patch_op(ids[i], importance_patch(0.9), PatchMode::InPlace)).await;
    }
    rig.patch(ids[5], content_patch("m5, revised")).await;
    for i in [0, 7] {
        rig.delete(ids[i]).await;
    }
    ids
}

/// A memory changed twice comes once, at its last change; a deleted one as a deletion alone.
pub async fn a_memory_changed_twice_comes_once(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let ids = history(&rig).await;
    let changes = rig.changes(0).await;
    let puts: Vec<_> = changes.puts.iter().map(|c| (c.memory.seq, c.memory.id)).collect();
    let untouched = [1, 2, 4, 6, 8, 9].map(|i| (i as u64 + 1, ids[i]));
    assert_eq!(puts, untouched.into_iter().chain([(13, ids[3]), (14, ids[5])]).collect::<Vec<_>>());
    assert_eq!(changes.deletes, [(15, ids[0]), (16, ids[7])]);
    assert_eq!(changes.upto, 16);
    for change in &changes.puts {
        assert_eq!(rig.live(change.memory.id).await, change.memory);
    }
}

/// A reader that goes on from `upto` sees every change once, whatever the size of its pages.
pub async fn pages_join_to_the_whole_log(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    history(&rig).await;
    let whole = rig.changes(0).await;
    for limit in [1, 2, 3, 5, 9, 10, 11, 1_000] {
        let mut joined = Changes::default();
        loop {
            let page = store.changes_since(&rig.ctx, joined.upto, u64::MAX, limit, EMBEDDER).await.unwrap();
            assert!(page.puts.len() + page.deletes.len() <= limit, "puts and deletes count together");
            let seqs = page.puts.iter().map(|c| c.memory.seq).chain(page.deletes.iter().map(|d| d.0));
            assert!(seqs.into_iter().all(|seq| seq > joined.upto && seq <= page.upto));
            let stands = page.upto == joined.upto;
            joined.puts.extend(page.puts);
            joined.deletes.extend(page.deletes);
            joined.upto = page.upto;
            if stands {
                break;
            }
        }
        assert_eq!(joined, whole, "pages of {limit}");
    }
}

/// `(after, upto]`, and past the head means the head.
pub async fn upto_bounds_the_answer(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let ids = history(&rig).await;
    let page = async |after, upto| store.changes_since(&rig.ctx, after, upto, 100, EMBEDDER).await.unwrap();
    let some = page(2, 9).await;
    assert_eq!(some.puts.iter().map(|c| c.memory.id).collect::<Vec<_>>(), [ids[2], ids[4], ids[6], ids[8]]);
    assert_eq!((some.deletes, some.upto), (vec![], 9));
    assert_eq!(page(15, 100).await, Changes { deletes: vec![(16, ids[7])], upto: 16, puts: vec![] });
    assert_eq!(page(16, u64::MAX).await, Changes { upto: 16, ..Changes::default() });
    assert_eq!(page(5, 5).await, Changes { upto: 5, ..Changes::default() });
    let numbers_without_a_memory = page(10, 12).await;
    assert_eq!(numbers_without_a_memory, Changes { upto: 12, ..Changes::default() });
}

/// Puts only: every number from 1 to the head, none twice.
pub async fn numbers_have_no_gaps(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    for batch in [1, 7, 30] {
        rig.apply((0..batch).map(|i| put(rig.memory(&format!("{i}")))).collect()).await;
    }
    let seqs: Vec<_> = rig.changes(0).await.puts.iter().map(|c| c.memory.seq).collect();
    assert_eq!(seqs, (1..=38).collect::<Vec<_>>());
}

/// Each memory comes with its vector of the embedder asked for, or none.
pub async fn changes_carry_the_vector_asked_for(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    rig.apply(vec![
        put_with_vector(rig.memory("a"), EMBEDDER, unit(1)),
        put_with_vector(rig.memory("b"), OTHER_EMBEDDER, unit(2)),
        put(rig.memory("c")),
    ])
    .await;
    for (embedder, expected) in [
        (EMBEDDER, [Some(unit(1)), None, None]),
        (OTHER_EMBEDDER, [None, Some(unit(2)), None]),
        ("unknown@1/4", [None, None, None]),
    ] {
        let changes = store.changes_since(&rig.ctx, 0, u64::MAX, 10, embedder).await.unwrap();
        assert_eq!(changes.puts.into_iter().map(|c| c.vector).collect::<Vec<_>>(), expected);
    }
}

/// Put, deleted and put again is one put.
pub async fn an_id_put_again_comes_as_a_put_alone(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let a = rig.put(rig.memory("a")).await;
    rig.delete(a.id).await;
    rig.put(a.clone()).await;
    let changes = rig.changes(0).await;
    assert_eq!((changes.puts.len(), changes.deletes, changes.upto), (1, vec![], 3));
    rig.delete(a.id).await;
    assert_eq!(rig.changes(0).await.deletes, [(4, a.id)]);
}

/// Housekeeping changes nothing that a reader sees, and few tombstones all stay.
pub async fn housekeeping_changes_nothing_a_reader_sees(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    history(&rig).await;
    rig.enqueue(rig.now()).await;
    let before = rig.snapshot().await;
    store.checkpoint(&rig.ctx, rig.now()).await.unwrap();
    assert_eq!(rig.snapshot().await, before);
    assert_eq!(store.verify(&rig.ctx).await.unwrap(), Vec::<String>::new());
}

/// Past the bound the oldest tombstones go with the next housekeeping, and the floor says so: whoever stands at the floor or above
/// misses nothing.
pub async fn old_tombstones_go_and_raise_the_floor(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let excess = 10;
    let mut left = TOMBSTONES_MAX + excess;
    while left > 0 {
        let n = left.min(990);
        let mut ops: Vec<_> = (0..n).map(|_| put(rig.memory("x"))).collect();
        ops.push(Op::TrimLayer { layer: Layer::Semantic, session_id: None, keep: 0 });
        rig.apply(ops).await;
        left -= n;
    }
    let before = rig.head().await;
    store.checkpoint(&rig.ctx, rig.now()).await.unwrap();
    let head = rig.head().await;
    assert_eq!(head.seq, before.seq);
    assert!(head.tombstone_floor > 0 && head.tombstone_floor < head.seq, "floor {}", head.tombstone_floor);
    let (mut after, mut kept) = (head.tombstone_floor, 0);
    while after < head.seq {
        let page = store.changes_since(&rig.ctx, after, u64::MAX, 1_000, EMBEDDER).await.unwrap();
        assert!(page.upto > after);
        (after, kept) = (page.upto, kept + page.deletes.len());
    }
    assert!((TOMBSTONES_MAX - excess..=TOMBSTONES_MAX).contains(&kept), "{kept} tombstones are kept");
}
