//! What the lifecycle reads and changes.

use crate::{
    conformance::fixtures::{Rig, content_patch, importance_patch, key, put},
    model::{
        Audit, Idempotency, InfoClass, KeptIds, KeyedIds, Kind, Layer, Life, LifeStamp, Memory, MemoryId, Op, Outcome,
    },
    ports::{ManualClock, RelationalStore},
};
use serde_json::json;

async fn life(rig: &Rig<'_>, memory: &Memory) -> Life {
    let all = rig.store.lives(&rig.ctx, None, 1_000).await.unwrap();
    all.into_iter().find(|life| life.id == memory.id).unwrap()
}

/// Everything that decides how it ages, and no more of a page than was asked for.
pub async fn lives_come_in_id_order_with_what_decides(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    assert_eq!(store.lives(&rig.ctx, None, 10).await.unwrap(), []);
    let full = rig.put(rig.full_memory()).await;
    let mut plain = rig.memory("plain");
    (plain.dedup_key, plain.layer) = (Some(key("plain")), Layer::Semantic);
    rig.put(plain.clone()).await;
    rig.put(Memory { id: rig.id(), ..plain.clone() }).await;
    clock.advance_seconds(5);
    rig.patch(plain.id, content_patch("plain, revised")).await;
    rig.run(Op::RecordAccess { counts: vec![(full.id, 3, rig.now())] }).await;
    let found = life(&rig, &full).await;
    let expected = Life {
        id: full.id,
        seq: rig.live(full.id).await.seq,
        layer: full.layer,
        kind: Kind::EntitySummary,
        info_class: InfoClass::Restricted,
        session_id: full.session_id.clone(),
        tags: vec!["b".into(), "a".into()],
        importance: full.importance,
        strength: 0.25,
        created_at: full.created_at,
        updated_at: full.updated_at,
        witness_count: 3,
        access_count: 3,
        last_access: Some(rig.now()),
    };
    assert_eq!(found, expected);
    let found = life(&rig, &plain).await;
    assert_eq!((found.witness_count, found.access_count, found.last_access, &found.tags[..]), (2, 0, None, &[][..]));
    assert_eq!((found.created_at, found.updated_at), (plain.created_at, rig.now()));
    let first = store.lives(&rig.ctx, None, 1).await.unwrap();
    let second = store.lives(&rig.ctx, Some(first[0].id), 1).await.unwrap();
    assert!(first[0].id < second[0].id);
    assert_eq!(store.lives(&rig.ctx, Some(second[0].id), 1).await.unwrap(), []);
    assert_eq!(store.lives(&rig.at("default", "other").ctx, None, 10).await.unwrap(), []);
    assert!(store.lives(&rig.ctx, None, 0).await.is_err());
}

/// A number moves, and nothing else but the place in the change log; never upwards, and never under somebody's hands.
pub async fn strength_fades_only_where_nobody_touched_it(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let memory = rig.put(rig.memory("a")).await;
    let other = rig.put(rig.memory("b")).await;
    let before = rig.live(memory.id).await;
    clock.advance_seconds(5);
    let stamp = life(&rig, &memory).await.stamp();
    let fade = |stamp, strength| rig.run(Op::Fade { stamp, strength });
    assert_eq!(fade(stamp, 0.5).await, Outcome::Done);
    let faded = rig.live(memory.id).await;
    assert_eq!(faded, Memory { strength: 0.5, seq: before.seq + 2, ..before });
    assert_eq!(store.history(&rig.ctx, memory.id).await.unwrap().len(), 1);
    // The same again: its number is another one now, and it is as weak already.
    assert_eq!(fade(stamp, 0.4).await, Outcome::Skipped);
    let stamp = life(&rig, &memory).await.stamp();
    assert_eq!(fade(stamp, 0.5).await, Outcome::Skipped);
    assert_eq!(fade(stamp, 0.9).await, Outcome::Skipped);
    rig.patch(memory.id, importance_patch(0.9)).await;
    assert_eq!(fade(stamp, 0.1).await, Outcome::Skipped);
    let stamp = life(&rig, &memory).await.stamp();
    rig.run(Op::RecordAccess { counts: vec![(memory.id, 0, rig.now())] }).await;
    assert_eq!(fade(stamp, 0.1).await, Outcome::Skipped);
    assert_eq!(fade(LifeStamp { id: rig.id(), ..stamp }, 0.1).await, Outcome::Skipped);
    let elsewhere = rig.at("default", "other");
    let stamp = life(&rig, &memory).await.stamp();
    assert_eq!(stamp.last_access, Some(rig.now()));
    assert_eq!(elsewhere.run(Op::Fade { stamp, strength: 0.1 }).await, Outcome::Skipped);
    assert_eq!(fade(stamp, 0.1).await, Outcome::Done);
    assert_eq!(rig.live(other.id).await.strength, other.strength);
}

/// A change that readers see, and no version.
pub async fn strength_comes_back_only_where_it_is_as_it_was_left(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let memory = rig.put(Memory { strength: 0.1 + 0.2, ..rig.memory("a") }).await;
    let restore = |id, left, strength| rig.run(Op::RestoreStrength { id, left, strength });
    assert_eq!(restore(memory.id, 0.3, 1.0).await, Outcome::Skipped, "to the last bit");
    assert_eq!(restore(rig.id(), 0.3, 1.0).await, Outcome::Skipped);
    let elsewhere = rig.at("default", "other");
    let op = Op::RestoreStrength { id: memory.id, left: 0.1 + 0.2, strength: 1.0 };
    assert_eq!(elsewhere.run(op).await, Outcome::Skipped);
    assert_eq!(rig.live(memory.id).await, memory);
    assert_eq!(restore(memory.id, 0.1 + 0.2, 0.75).await, Outcome::Done);
    assert_eq!(rig.live(memory.id).await, Memory { strength: 0.75, seq: 2, ..memory });
}

/// What was recalled or changed since it was looked up stays.
pub async fn only_what_nobody_touched_is_deleted_as_untouched(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let (idle, recalled, changed) =
        (rig.put(rig.memory("a")).await, rig.put(rig.memory("b")).await, rig.put(rig.memory("c")).await);
    let mut stamps = Vec::new();
    for memory in [&idle, &recalled, &changed] {
        stamps.push(life(&rig, memory).await.stamp());
    }
    rig.run(Op::RecordAccess { counts: vec![(recalled.id, 1, rig.now())] }).await;
    rig.patch(changed.id, content_patch("c, revised")).await;
    for (stamp, existed) in stamps.iter().zip([true, false, false]) {
        assert_eq!(rig.run(Op::DeleteUntouched { stamp: *stamp }).await, Outcome::Deleted { existed });
    }
    assert_eq!(rig.run(Op::DeleteUntouched { stamp: stamps[0] }).await, Outcome::Deleted { existed: false });
    assert!(rig.get(idle.id).await.is_none() && rig.get(recalled.id).await.is_some());
    let deleted: Vec<_> = rig.changes(0).await.deletes.into_iter().map(|(_, id)| id).collect();
    assert_eq!(deleted, [idle.id]);
    // A memory that came back under its id is another one.
    rig.apply(vec![put(idle)]).await;
    assert_eq!(rig.run(Op::DeleteUntouched { stamp: stamps[0] }).await, Outcome::Deleted { existed: false });
}

/// Ids in receipts and in what batches answered are found by their hashes under a key, those of this scope alone.
pub async fn kept_ids_are_found_by_their_hashes(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let key = [7; 32];
    let wanted = |ids: &[MemoryId]| KeyedIds::new(key, ids.iter().map(|id| KeyedIds::hash(&key, *id)).collect());
    let (a, b) = (rig.memory("a"), rig.put(rig.memory("b")).await);
    let idempotency = Some(Idempotency { verb: "remember", key: "k".into(), body_hash: [1; 32] });
    rig.run(Op::PutMemory { memory: Box::new(a.clone()), vector: None, idempotency }).await;
    let find = async |rig: &Rig<'_>, ids: &[MemoryId]| store.find_kept(&rig.ctx, &wanted(ids)).await.unwrap();
    assert_eq!(find(&rig, &[a.id]).await, KeptIds { receipts: 1, batches: 1 });
    assert_eq!(find(&rig, &[a.id, b.id, rig.id()]).await, KeptIds { receipts: 1, batches: 2 });
    assert_eq!(find(&rig, &[rig.id()]).await, KeptIds::default());
    assert_eq!(find(&rig.at("default", "other"), &[a.id, b.id]).await, KeptIds::default());
    // A receipt goes with its memory, what a batch answered after a day.
    rig.delete(a.id).await;
    assert_eq!(find(&rig, &[a.id]).await, KeptIds { receipts: 0, batches: 1 });
    clock.advance_seconds(2 * 86_400);
    store.checkpoint(&rig.ctx, rig.now()).await.unwrap();
    assert_eq!(find(&rig, &[a.id, b.id]).await, KeptIds::default());
}

/// The newest audit rows stay, and those of other projects.
pub async fn audit_rows_are_bounded(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let other = rig.at("default", "other");
    for n in 0..5 {
        clock.advance_seconds(1);
        rig.run(Op::Audit(Audit { action: "a".into(), details: json!({ "n": n }) })).await;
        other.run(Op::Audit(Audit { action: "b".into(), details: json!({ "n": n }) })).await;
    }
    assert_eq!(rig.run(Op::TrimAudit { keep: 5 }).await, Outcome::Skipped);
    assert_eq!(rig.run(Op::TrimAudit { keep: 2 }).await, Outcome::Done);
    let left: Vec<_> =
        store.audit(&rig.ctx, 10).await.unwrap().into_iter().map(|(_, row)| row.details["n"].clone()).collect();
    assert_eq!(left, [json!(4), json!(3)]);
    assert_eq!(store.audit(&other.ctx, 10).await.unwrap().len(), 5);
    assert_eq!(rig.run(Op::TrimAudit { keep: usize::MAX }).await, Outcome::Skipped);
    assert_eq!(rig.run(Op::TrimAudit { keep: 0 }).await, Outcome::Done);
    assert_eq!(store.audit(&rig.ctx, 10).await.unwrap(), []);
}
