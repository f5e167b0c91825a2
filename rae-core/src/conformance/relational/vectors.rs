//! Vectors of the truth.

use crate::{
    conformance::fixtures::{
        EMBEDDER, OTHER_EMBEDDER, Rig, content_patch, importance_patch, patch_op, put, put_with_vector, unit,
        vector_row,
    },
    model::{Cursor, MemoryId, Op, Outcome, PatchMode},
    ports::{ManualClock, RelationalStore},
};

async fn page(rig: &Rig<'_>, embedder: &str, after: u64, limit: usize) -> Vec<(u64, MemoryId, Vec<f32>)> {
    let page = rig.store.vectors(&rig.ctx, embedder, after, limit).await.unwrap();
    page.into_iter().map(|(seq, point)| (seq, point.id, point.vector)).collect()
}

/// By rising number, in pages, without those that have none.
pub async fn vectors_come_by_rising_number(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let mut ids = Vec::new();
    for i in 0..6 {
        let memory = rig.memory(&format!("{i}"));
        ids.push(memory.id);
        rig.run(if i == 2 { put(memory) } else { put_with_vector(memory, EMBEDDER, unit(i)) }).await;
    }
    rig.run(patch_op(ids[0], importance_patch(0.9), PatchMode::InPlace)).await;
    rig.delete(ids[4]).await;
    let expected = [(2, 1), (4, 3), (6, 5), (7, 0)].map(|(seq, i)| (seq, ids[usize::from(i)], unit(i)));
    assert_eq!(page(&rig, EMBEDDER, 0, 100).await, expected);
    let (mut joined, mut after) = (Vec::new(), 0);
    while let [row] = &page(&rig, EMBEDDER, after, 1).await[..] {
        after = row.0;
        joined.push(row.clone());
    }
    assert_eq!(joined, expected);
    assert!(page(&rig, OTHER_EMBEDDER, 0, 100).await.is_empty());
}

/// Every bit of every number comes back.
pub async fn vectors_come_back_bit_for_bit(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    for (embedder, vector) in [
        (EMBEDDER, vec![f32::MIN_POSITIVE, -0.0, 1.0, f32::from_bits(1)]),
        (EMBEDDER, vec![0.333_333_34, -0.1, 1e-38, 0.942_809]),
        ("wide@1/4096", (0..4_096).map(|i| if i == 4_095 { 1.0 } else { 0.0 }).collect()),
    ] {
        let memory = rig.memory("x");
        let id = memory.id;
        rig.apply(vec![put_with_vector(memory, embedder, vector.clone())]).await;
        let stored = rig.live(id).await;
        let found = page(&rig, embedder, stored.seq - 1, 1).await.remove(0).2;
        let bits = |v: &[f32]| v.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&found), bits(&vector));
    }
}

/// What lacks a vector under an embedder, in id order, in pages, with all its fields.
pub async fn without_vector_lists_what_lacks_one(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let memories: Vec<_> = (0..7).map(|i| rig.memory(&format!("{i}"))).collect();
    // Written in another order than the ids.
    let ops = memories.iter().rev().zip(0u16..).map(|(m, i)| match i % 3 {
        0 => put_with_vector(m.clone(), EMBEDDER, unit(i)),
        1 => put_with_vector(m.clone(), OTHER_EMBEDDER, unit(i)),
        _ => put(m.clone()),
    });
    rig.apply(ops.collect()).await;
    let all = rig.all(None).await;
    for (embedder, lacking) in
        [(EMBEDDER, vec![1, 2, 4, 5]), (OTHER_EMBEDDER, vec![0, 1, 3, 4, 6]), ("x@1/4", (0..7).collect())]
    {
        let expected: Vec<_> = lacking.into_iter().map(|i: usize| all[i].clone()).collect();
        let (mut joined, mut after) = (Vec::new(), None);
        loop {
            let page = store.without_vector(&rig.ctx, embedder, after, 2).await.unwrap();
            let Some(last) = page.last() else { break };
            assert!(page.len() <= 2);
            after = Some(last.id);
            joined.extend(page);
        }
        assert_eq!(joined, expected, "{embedder}");
    }
    // The cursor of `scan` and this one mean the same.
    let after = Cursor(all[3].id).0;
    assert_eq!(store.without_vector(&rig.ctx, "x@1/4", Some(after), 1).await.unwrap(), [all[4].clone()]);
}

/// A vector of an older text, or of no memory, is not stored.
pub async fn a_vector_of_another_version_is_skipped(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let a = rig.put(rig.memory("a")).await;
    rig.patch(a.id, content_patch("b")).await;
    let before = rig.snapshot().await;
    for (id, version) in [(a.id, 1), (a.id, 3), (rig.id(), 1)] {
        let op = Op::PutVector { id, version, vector: vector_row(EMBEDDER, unit(1)) };
        assert_eq!(rig.run(op).await, Outcome::Skipped);
    }
    assert_eq!(rig.snapshot().await, before);
    let op = Op::PutVector { id: a.id, version: 2, vector: vector_row(EMBEDDER, unit(1)) };
    assert_eq!(rig.run(op).await, Outcome::Done);
    assert_eq!(page(&rig, EMBEDDER, 2, 10).await, [(3, a.id, unit(1))]);
    assert_eq!(rig.live(a.id).await.version, 2, "a vector makes no version");
}

/// One vector per memory and embedder; another one replaces it.
pub async fn a_vector_replaces_the_one_before(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let a = rig.put_with_vector(rig.memory("a"), unit(1)).await;
    for (embedder, n) in [(OTHER_EMBEDDER, 2), (EMBEDDER, 3), (EMBEDDER, 4)] {
        rig.run(Op::PutVector { id: a.id, version: 1, vector: vector_row(embedder, unit(n)) }).await;
    }
    assert_eq!(page(&rig, EMBEDDER, 0, 10).await, [(4, a.id, unit(4))]);
    assert_eq!(page(&rig, OTHER_EMBEDDER, 0, 10).await, [(4, a.id, unit(2))]);
}

/// The head of every scope names it; the vectors of all others go, in every tenant and project.
pub async fn setting_the_embedder_drops_the_vectors_of_others(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let scopes = [rig.clone(), rig.at("default", "other"), rig.at("other", "default")];
    for there in &scopes {
        let a = there.put_with_vector(there.memory("a"), unit(1)).await;
        there.run(Op::PutVector { id: a.id, version: 1, vector: vector_row(OTHER_EMBEDDER, unit(2)) }).await;
        assert_eq!(there.head().await.embedder, None);
    }
    for (embedder, dim) in [(OTHER_EMBEDDER, 4), ("third@1/8", 8)] {
        rig.run(Op::SetEmbedder { embedder: embedder.into(), dim }).await;
        for there in &scopes {
            assert_eq!(there.head().await.embedder, Some((embedder.to_owned(), dim)));
            assert!(page(there, EMBEDDER, 0, 10).await.is_empty());
            let kept = usize::from(embedder == OTHER_EMBEDDER);
            assert_eq!(page(there, OTHER_EMBEDDER, 0, 10).await.len(), kept);
            assert_eq!(store.stats(&there.ctx).await.unwrap().vectors, kept as u64);
            assert_eq!(there.all(None).await.len(), 1);
        }
    }
}
