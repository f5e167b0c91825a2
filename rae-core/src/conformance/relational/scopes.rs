//! Walls between tenants and projects.

use crate::{
    conformance::fixtures::{
        EMBEDDER, Rig, content_patch, filter, importance_patch, kind_of, patch_op, put, put_with_vector, unit,
        vector_row,
    },
    error::ErrorKind,
    model::{Audit, DropTarget, Memory, Op, Outcome, PatchMode, Precondition, Provenance, SegmentRow},
    ports::{ManualClock, RelationalStore},
};
use serde_json::json;
use std::time::Duration;

/// Pairs that a wildcard, a collation, a trim or a joined key would mix up.
pub(crate) const LOOKALIKES: [(&str, &str); 16] = [
    ("a", "bc"),
    ("ab", "c"),
    ("a", "b"),
    ("a", "b "),
    ("A", "b"),
    ("a", "B"),
    ("%", "%"),
    ("_", "_"),
    ("*", "?"),
    ("\u{e1}", "b"),
    ("a\u{301}", "b"),
    ("a/b", "c"),
    ("a", "b/c"),
    ("'", "\""),
    ("a:b", "c"),
    ("a", "b:c"),
];

/// The same things in each scope: ids, keys, names and jobs of its own, all with the same texts.
async fn fill(rig: &Rig<'_>) -> Memory {
    let provenance = Provenance { derived_from: vec![rig.id()], sources: vec!["web".into()] };
    let memory =
        Memory { provenance, expires_at: Some(rig.now()), user_id: Some("u".into()), ..rig.statement("the same") };
    let id = memory.id;
    rig.apply(vec![
        put_with_vector(memory, EMBEDDER, unit(1)),
        patch_op(id, content_patch("revised"), PatchMode::NewVersion),
        put(rig.turn("s", "turn")),
        Op::RecordAccess { counts: vec![(id, 1, rig.now())] },
        Op::PutSegment { row: SegmentRow { from_seq: 0, to_seq: 3, ids: vec![id], data: b"x".to_vec() } },
        Op::Audit(Audit { action: "fill".into(), details: json!({}) }),
    ])
    .await;
    rig.enqueue(rig.now()).await;
    rig.live(id).await
}

/// No read of one scope shows anything of another one.
pub async fn scopes_with_similar_names_see_only_their_own(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let mut own = Vec::new();
    for (tenant, project) in LOOKALIKES {
        let there = rig.at(tenant, project);
        let memory = fill(&there).await;
        own.push((there, memory));
    }
    let all: Vec<_> = own.iter().map(|(_, memory)| memory.id).collect();
    let parents: Vec<_> = own.iter().flat_map(|(_, m)| m.provenance.derived_from.clone()).collect();
    for (there, memory) in &own {
        let (snapshot, ctx) = (there.snapshot().await, &there.ctx);
        assert_eq!((snapshot.memories.len(), snapshot.jobs.len(), snapshot.segments.len()), (2, 1, 1), "{ctx:?}");
        assert!(snapshot.memories.iter().all(|m| m.scope == *ctx.scope()));
        assert_eq!((snapshot.head.seq, snapshot.changes.puts.len(), snapshot.stats.memories), (3, 2, 2));
        assert_eq!((snapshot.vectors[0].len(), snapshot.expired.len()), (1, 1));
        let found = store.get(ctx, &all).await.unwrap();
        assert_eq!(found.iter().flatten().collect::<Vec<_>>(), [memory]);
        let access = store.access(ctx, &all).await.unwrap();
        assert_eq!(access.iter().filter(|(count, _)| *count > 0).count(), 1);
        assert_eq!(store.derived_from(ctx, &parents, 100).await.unwrap(), std::slice::from_ref(memory));
        assert_eq!(store.matching(ctx, &filter(&json!({}))).await.unwrap().len(), 2);
        assert_eq!(store.audit(ctx, 100).await.unwrap().len(), 1);
        for id in all.iter().filter(|id| **id != memory.id) {
            assert_eq!(store.history(ctx, *id).await.unwrap(), []);
        }
    }
    assert_eq!(store.scopes().await.unwrap().len(), LOOKALIKES.len());
}

/// No write of one scope reaches a memory, job or segment of another one.
pub async fn writes_reach_their_own_scope_only(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let mine = rig.at("a", "bc");
    let memory = fill(&mine).await;
    let job = store.jobs(&mine.ctx, 1).await.unwrap()[0].id;
    let before = mine.snapshot().await;
    for (tenant, project) in LOOKALIKES.into_iter().skip(1).chain([("a", "other"), ("other", "bc")]) {
        let there = rig.at(tenant, project);
        assert!(!there.delete(memory.id).await);
        let late = Op::PutVector { id: memory.id, version: 2, vector: vector_row(EMBEDDER, unit(2)) };
        assert_eq!(there.run(late).await, Outcome::Skipped);
        there.run(Op::RecordAccess { counts: vec![(memory.id, 1, rig.now())] }).await;
        let patch = vec![patch_op(memory.id, importance_patch(0.0), PatchMode::InPlace)];
        assert_eq!(kind_of(there.try_apply(vec![], patch).await), ErrorKind::NotFound);
        let version = vec![Precondition::VersionIs(memory.id, 2)];
        assert_eq!(kind_of(there.try_apply(version, vec![]).await), ErrorKind::NotFound);
        there.try_apply(vec![Precondition::Absent(memory.id)], vec![]).await.unwrap();
        assert!(store.lease(&there.ctx, rig.now(), Duration::from_secs(60), 10).await.unwrap().is_empty());
        there.run(Op::FinishJob { id: job }).await;
        there.run(Op::TrimLayer { layer: memory.layer, session_id: None, keep: 0 }).await;
        there.erase(DropTarget::Session("s".into())).await;
        there.erase(DropTarget::User("u".into())).await;
        let row = SegmentRow { from_seq: 0, to_seq: 9, ids: vec![], data: vec![] };
        there.run(Op::PutSegment { row }).await;
        assert_eq!(mine.snapshot().await, before, "{tenant}/{project}");
    }
}

/// An id is the scope's own: an import into two projects gives two memories.
pub async fn the_same_id_in_two_scopes_is_two_memories(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let (here, there) = (rig.at("t", "p"), rig.at("t", "q"));
    let a = here.memory("here");
    let b = Memory { scope: there.ctx.scope().clone(), content: "there".into(), ..a.clone() };
    here.run(put_with_vector(a.clone(), EMBEDDER, unit(1))).await;
    there.run(put_with_vector(b.clone(), EMBEDDER, unit(2))).await;
    there.patch(b.id, content_patch("there, revised")).await;
    assert_eq!(
        (here.live(a.id).await.content, there.live(b.id).await.content),
        ("here".into(), "there, revised".into())
    );
    assert_eq!(store.vectors(&here.ctx, EMBEDDER, 0, 10).await.unwrap()[0].1.vector, unit(1));
    there.delete(b.id).await;
    assert_eq!(store.history(&here.ctx, a.id).await.unwrap().len(), 1);
    assert_eq!(here.changes(0).await.deletes, []);
}

/// A memory that names another scope than the call lands in the other one by no way.
pub async fn a_memory_never_lands_in_another_scope(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let other = rig.at("other", "other");
    let stray = other.memory("stray");
    // Refused, or filed under the scope of the call: both keep the wall.
    let _ = rig.try_apply(vec![], vec![put(stray.clone())]).await;
    assert_eq!(other.get(stray.id).await, None);
    assert!(other.all(None).await.is_empty());
    assert!(rig.all(None).await.iter().all(|m| m.scope == *rig.ctx.scope()));
}
