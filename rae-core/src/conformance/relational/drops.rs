//! Erasing a session, a user, a project, a tenant.

use super::scopes::LOOKALIKES;
use crate::{
    conformance::fixtures::{EMBEDDER, Rig, Snapshot, content_patch, key, patch_op, put, put_with_vector, unit},
    model::{Audit, DropTarget, Idempotency, JobKind, Memory, NewJob, Op, Outcome, PatchMode},
    ports::{ManualClock, RelationalStore},
};
use serde_json::json;

fn keyed(memory: Memory) -> Op {
    let idempotency = Some(Idempotency { verb: "remember", key: "k".into(), body_hash: key("body") });
    Op::PutMemory { memory: Box::new(memory), vector: None, idempotency }
}

/// Turns of two sessions and two users, with everything that can hang on a memory.
async fn fill(rig: &Rig<'_>) {
    for (session, user) in [("s", "u"), ("s", "U"), ("S", "u"), ("s ", "%")] {
        let turn = Memory { user_id: Some(user.into()), ..rig.turn(session, session) };
        let id = turn.id;
        rig.apply(vec![
            put_with_vector(turn, EMBEDDER, unit(1)),
            patch_op(id, content_patch("revised"), PatchMode::NewVersion),
            Op::RecordAccess { counts: vec![(id, 1, rig.now())] },
        ])
        .await;
    }
    rig.put(rig.statement("neither")).await;
    rig.run(keyed(rig.memory("keyed"))).await;
    rig.enqueue(rig.now()).await;
}

async fn fill_all<'a>(rig: &Rig<'a>) -> Vec<(Rig<'a>, Snapshot)> {
    let mut filled = Vec::new();
    for (tenant, project) in LOOKALIKES {
        let there = rig.at(tenant, project);
        fill(&there).await;
        let snapshot = there.snapshot().await;
        filled.push((there, snapshot));
    }
    filled
}

async fn untouched(filled: &[(Rig<'_>, Snapshot)], but: impl Fn(&Rig<'_>) -> bool) {
    for (there, before) in filled.iter().filter(|(there, _)| !but(there)) {
        assert_eq!(there.snapshot().await, *before, "{:?} must not be touched", there.ctx);
    }
}

/// The memories of that session of this project, byte for byte the name, and the jobs that name it; nothing else.
pub async fn erasing_a_session_leaves_everything_else(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let filled = fill_all(&rig).await;
    let there = rig.at("a", "b");
    for session in ["s", "S", "s\\"] {
        let (id, payload) = (there.uuid(), DropTarget::job_of(session));
        let job = NewJob { id, kind: JobKind::Reflect, payload, run_at: there.now() };
        there.apply(vec![Op::EnqueueJob { job }]).await;
    }
    let seq = there.seq().await;
    assert_eq!(there.erase(DropTarget::Session("s".into())).await, (2, vec!["b".to_owned()]));
    let left = there.all(None).await;
    assert_eq!(left.len(), 4);
    assert!(left.iter().all(|m| m.session_id.as_deref() != Some("s")));
    assert_eq!((there.seq().await, there.changes(seq).await.deletes.len()), (seq + 2, 2), "readers hear of each");
    untouched(&filled, |r| r.ctx.scope() == there.ctx.scope()).await;
    let jobs = store.jobs(&there.ctx, 10).await.unwrap();
    assert_eq!(jobs.len(), 3);
    assert!(jobs.iter().all(|job| job.payload != DropTarget::job_of("s")));
}

/// The memories of that user of this project, whatever the session.
pub async fn erasing_a_user_leaves_everything_else(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let filled = fill_all(&rig).await;
    let there = rig.at("%", "%");
    let seq = there.seq().await;
    assert_eq!(there.erase(DropTarget::User("%".into())).await.0, 1);
    assert_eq!(there.erase(DropTarget::User("u".into())).await.0, 2);
    let users: Vec<_> = there.all(None).await.into_iter().map(|m| m.user_id).collect();
    assert_eq!(users, [Some("U".to_owned()), None, None]);
    assert_eq!((there.seq().await, there.changes(seq).await.deletes.len()), (seq + 3, 3));
    untouched(&filled, |r| r.ctx.scope() == there.ctx.scope()).await;
}

/// Nothing of the project is left but numbers; every reader learns that it must rebuild.
pub async fn erasing_a_project_leaves_nothing_of_it(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let filled = fill_all(&rig).await;
    let (there, caller) = (rig.at("a", "b"), rig.at("a", "bc"));
    let before = there.snapshot().await;
    // Any project of the tenant may be named.
    let (memories, projects) = caller.erase(DropTarget::Project("b".into())).await;
    assert_eq!((memories, projects), (6, vec!["b".to_owned()]));
    let after = there.snapshot().await;
    assert!(after.is_empty(), "{after:?}");
    for memory in &before.memories {
        assert_eq!(there.get(memory.id).await, None);
        assert_eq!(store.history(&there.ctx, memory.id).await.unwrap(), []);
        assert_eq!(store.access(&there.ctx, &[memory.id]).await.unwrap(), [(0, None)]);
    }
    assert!(after.head.tombstone_floor > before.head.seq && after.head.tombstone_floor <= after.head.seq);
    let outcome = there.run(keyed(there.memory("keyed"))).await;
    assert!(matches!(outcome, Outcome::Put { replayed: false, .. }), "keys go with the project");
    untouched(&filled, |r| r.ctx.scope() == there.ctx.scope()).await;
}

/// All projects of the tenant and no other one's.
pub async fn erasing_a_tenant_leaves_the_others(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let filled = fill_all(&rig).await;
    let (memories, mut projects) = rig.at("a", "a new project").erase(DropTarget::Tenant).await;
    projects.retain(|p| p != "a new project");
    projects.sort();
    let own: Vec<_> = filled.iter().filter(|(r, _)| r.ctx.scope().tenant() == "a").collect();
    let mut expected: Vec<_> = own.iter().map(|(r, _)| r.ctx.scope().project().to_owned()).collect();
    expected.sort();
    assert_eq!((memories, projects), (6 * own.len() as u64, expected));
    for (there, before) in own {
        let after = there.snapshot().await;
        assert!(after.is_empty());
        assert!(after.head.tombstone_floor > before.head.seq);
    }
    untouched(&filled, |r| r.ctx.scope().tenant() == "a").await;
}

/// Erasing what is not there is fine and zero.
pub async fn erasing_nothing_is_fine(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    fill(&rig).await;
    let before = rig.snapshot().await;
    for target in [
        DropTarget::Session("%".into()),
        DropTarget::Session(String::new()),
        DropTarget::User("nobody".into()),
        DropTarget::Project("nowhere".into()),
    ] {
        assert_eq!(rig.erase(target).await.0, 0);
    }
    assert_eq!(rig.at("empty", "tenant").erase(DropTarget::Tenant).await.0, 0);
    assert_eq!(rig.snapshot().await, before);
}

/// Numbers go on from where they were, so that no reader takes the new life for the old one.
pub async fn numbers_go_on_after_an_erasure(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    fill(&rig).await;
    for target in [DropTarget::Project("default".into()), DropTarget::Tenant] {
        let before = rig.seq().await;
        rig.erase(target).await;
        let erased = rig.head().await;
        let fresh = rig.put(rig.turn("s", "a new life")).await;
        assert_eq!(fresh.seq, erased.seq + 1);
        assert!(fresh.seq > before + 1 && erased.tombstone_floor > before);
        assert_eq!(fresh.seq_in_session, Some(0));
        let changes = rig.changes(erased.tombstone_floor).await;
        assert_eq!((changes.puts.len(), changes.deletes), (1, vec![]));
        assert_eq!(store.verify(&rig.ctx).await.unwrap(), Vec::<String>::new());
    }
}

/// What follows in the same batch is of the new life: the audit row of the erasure stays.
pub async fn ops_after_an_erasure_stay(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    fill(&rig).await;
    let audit = Audit { action: "erase".into(), details: json!({"memories": 6}) };
    let drop = Op::DropScope { target: DropTarget::Project("default".into()) };
    let fresh = rig.memory("fresh");
    rig.apply(vec![put(rig.memory("old")), drop, Op::Audit(audit.clone()), put(fresh.clone())]).await;
    assert_eq!(store.audit(&rig.ctx, 1).await.unwrap()[0].1, audit);
    assert_eq!(rig.all(None).await.into_iter().map(|m| m.id).collect::<Vec<_>>(), [fresh.id]);
}

/// A late retry of a batch from before the erasure brings nothing back, and a retried erasure erases nothing new.
pub async fn retries_across_an_erasure_write_nothing(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let write = rig.batch(vec![put(rig.memory("secret"))]);
    let written = store.apply(&rig.ctx, write.clone()).await.unwrap();
    let erase = rig.batch(vec![Op::DropScope { target: DropTarget::Project("default".into()) }]);
    let erased = store.apply(&rig.ctx, erase.clone()).await.unwrap();
    assert_eq!(store.apply(&rig.ctx, write).await.unwrap(), written);
    assert!(rig.all(None).await.is_empty());
    rig.put(rig.memory("new")).await;
    assert_eq!(store.apply(&rig.ctx, erase).await.unwrap(), erased);
    assert_eq!(rig.all(None).await.len(), 1);
}
