//! Memories that state a relation.

use crate::{
    conformance::fixtures::{DAY, Rig, key, patch_op, put},
    error::ErrorKind,
    limits::{HISTORY_VERSIONS_MAX, PAGE_MAX},
    model::{Claim, DropTarget, Memory, MemoryId, MemoryPatch, Op, Outcome, Owner, PatchMode},
    ports::{ManualClock, RelationalStore},
};

/// A memory that states a relation with a weight; its text and its dedup key are the relation in words.
fn related(rig: &Rig<'_>, subject: &str, relation: &str, object: &str, weight: f64) -> Memory {
    let claim = Claim::new(subject, relation, object, weight).unwrap();
    Memory { claim: Some(claim.clone()), ..rig.statement(&claim.sentence()) }
}

async fn found(rig: &Rig<'_>, keys: &[(&str, &str)], limit: usize) -> Vec<MemoryId> {
    let keys: Vec<_> = keys.iter().map(|(subject, relation)| Claim::key_of(subject, relation)).collect();
    rig.store.claims(&rig.ctx, &keys, None, limit).await.unwrap().into_iter().map(|m| m.id).collect()
}

async fn listed(rig: &Rig<'_>) -> Vec<MemoryId> {
    rig.store.claimed(&rig.ctx, None, PAGE_MAX).await.unwrap().into_iter().map(|m| m.id).collect()
}

/// However the subject is spelt, by any of several keys, in id order and whole.
pub async fn claims_are_found_by_subject_and_relation(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    assert_eq!(found(&rig, &[("Ada", "works_at")], 10).await, []);
    let acme = rig.put(related(&rig, "Ada Löwe", "works_at", "Acme", 0.5)).await;
    let knows = rig.put(related(&rig, "Ada Löwe", "knows", "Bob", 1.0)).await;
    let initech = rig.put(related(&rig, "ADA  LÖWE", "works_at", "Initech", 1.0)).await;
    let other = rig.put(related(&rig, "Bob", "works_at", "Acme", 1.0)).await;
    rig.put(rig.statement("Ada Löwe works at Hooli")).await;
    assert_eq!(found(&rig, &[("ada löwe", "works_at")], 10).await, [acme.id, initech.id]);
    let both = [("Bob", "works_at"), ("Nobody", "knows"), ("Ada Löwe", "knows"), ("Bob", "works_at")];
    assert_eq!(found(&rig, &both, 10).await, [knows.id, other.id]);
    let all = [("Bob", "works_at"), ("Ada Löwe", "works_at")];
    assert_eq!(found(&rig, &all, 2).await, [acme.id, initech.id]);
    assert_eq!(found(&rig, &[], 10).await, []);
    let whole = store.claims(&rig.ctx, &[acme.claim.as_ref().unwrap().key()], None, 1).await.unwrap();
    assert_eq!(whole, [acme]);
    for result in [store.claims(&rig.ctx, &[], None, 0).await, store.claimed(&rig.ctx, None, 0).await] {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}

/// Of an owner only that one's count, also where others fill the page; nobody's are an owner's, too.
pub async fn claims_of_one_owner_are_found_among_those_of_others(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let name = |n: u32| Some(format!("u{n}")).filter(|_| n > 0);
    let mut all = Vec::new();
    for n in 0..6 {
        let claim = related(&rig, "User", "likes", &format!("tea {n}"), 1.0);
        all.push(rig.put(Memory { user_id: name(n / 2), agent_id: name(n % 2), ..claim }).await);
    }
    for memory in &all {
        let owner = Owner::of(memory);
        let found = store.claims(&rig.ctx, &[Claim::key_of("User", "likes")], Some(&owner), 1).await.unwrap();
        assert_eq!(found, std::slice::from_ref(memory));
    }
    let nobody = Owner { user_id: Some("u9".to_owned()), agent_id: None };
    let found = store.claims(&rig.ctx, &[Claim::key_of("User", "likes")], Some(&nobody), 1).await.unwrap();
    assert_eq!(found, []);
}

/// Pages of what has a claim join to all of it; memories without one are in none.
pub async fn claims_are_listed_in_id_order(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    assert_eq!(listed(&rig).await, []);
    let mut expected = Vec::new();
    for n in 0..40 {
        rig.put(rig.memory("no relation")).await;
        let names = [format!("s{}", n % 7), format!("o{n}")];
        expected.push(rig.put(related(&rig, &names[0], "knows", &names[1], 1.0)).await);
    }
    let (mut paged, mut after) = (Vec::new(), None);
    loop {
        let page = store.claimed(&rig.ctx, after, 7).await.unwrap();
        let Some(last) = page.last() else { break };
        assert!(page.len() <= 7);
        after = Some(last.id);
        paged.extend(page);
    }
    assert_eq!(paged, expected);
    let greatest = MemoryId(uuid::Uuid::max());
    assert_eq!(store.claimed(&rig.ctx, Some(greatest), 7).await.unwrap(), []);
    // An id that is not there, or that is the least of all, is a place like any other.
    let nil = rig.put(Memory { id: MemoryId(uuid::Uuid::nil()), ..related(&rig, "nil", "knows", "x", 1.0) }).await;
    assert_eq!(store.claimed(&rig.ctx, None, 1).await.unwrap(), std::slice::from_ref(&nil));
    assert_eq!(store.claimed(&rig.ctx, Some(nil.id), 1).await.unwrap(), [expected[0].clone()]);
}

/// It is found under what it says now, keeps what it said in its history, and goes with its memory.
pub async fn a_claim_follows_its_memory(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let plain = rig.put(rig.memory("Ada works at Acme")).await;
    let to = |claim: Option<Claim>| MemoryPatch { claim: Some(claim), ..MemoryPatch::default() };
    let acme = Claim::new("Ada", "works_at", "Acme", 1.0).unwrap();
    let owns = Claim::new("Ada", "owns", "Acme", 3.0).unwrap();
    let (works, has) = ([("Ada", "works_at")], [("Ada", "owns")]);
    assert_eq!(rig.patch(plain.id, to(Some(acme.clone()))).await, Outcome::Patched { version: 2 });
    assert_eq!((found(&rig, &works, 9).await, listed(&rig).await), (vec![plain.id], vec![plain.id]));
    rig.run(patch_op(plain.id, to(Some(owns.clone())), PatchMode::InPlace)).await;
    assert_eq!((found(&rig, &works, 9).await, found(&rig, &has, 9).await), (vec![], vec![plain.id]));
    assert_eq!(rig.live(plain.id).await.claim, Some(owns.clone()));
    rig.patch(plain.id, to(None)).await;
    assert_eq!((found(&rig, &has, 9).await, listed(&rig).await), (vec![], vec![]));
    let history = store.history(&rig.ctx, plain.id).await.unwrap();
    let said: Vec<_> = history.iter().map(|v| v.memory.claim.clone()).collect();
    assert_eq!(said, [None, Some(owns), None]);
    // A patch of something else leaves it; a deletion and an erasure take it.
    rig.patch(plain.id, to(Some(acme))).await;
    rig.patch(plain.id, MemoryPatch { importance: Some(0.1), ..MemoryPatch::default() }).await;
    assert_eq!(found(&rig, &works, 9).await, [plain.id]);
    rig.delete(plain.id).await;
    assert_eq!((found(&rig, &works, 9).await, listed(&rig).await), (vec![], vec![]));
    let restored = Memory { version: 4, ..related(&rig, "Ada", "works_at", "Acme", 1.0) };
    let id = restored.id;
    rig.run(Op::RestoreMemory { memory: Box::new(restored), vector: None, history: Vec::new(), access: None }).await;
    assert_eq!((found(&rig, &works, 9).await, listed(&rig).await), (vec![id], vec![id]));
    rig.erase(DropTarget::Project(rig.ctx.scope().project().to_owned())).await;
    assert_eq!((found(&rig, &works, 9).await, listed(&rig).await), (vec![], vec![]));
    assert_eq!(store.verify(&rig.ctx).await.unwrap(), Vec::<String>::new());
}

/// The same relation in another project or tenant is found there alone.
pub async fn claims_of_other_scopes_stay_there(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    for (tenant, project) in [("a", "p"), ("a", "q"), ("b", "p")] {
        let there = rig.at(tenant, project);
        let id = there.put(related(&there, "Ada", "works_at", "Acme", 1.0)).await.id;
        assert_eq!((found(&there, &[("Ada", "works_at")], 9).await, listed(&there).await), (vec![id], vec![id]));
    }
}

/// A merge keeps the spelling of the first and the greater weight, alone and within a batch.
pub async fn a_claim_said_again_keeps_the_greater_weight(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let with_key = |memory: Memory| Memory { dedup_key: Some(key("one")), ..memory };
    let first = rig.put(with_key(related(&rig, "Ada", "works_at", "Acme", 0.5))).await;
    for (weight, kept) in [(2.0, 2.0), (1.0, 2.0)] {
        let again = with_key(related(&rig, "ADA", "works_at", "ACME", weight));
        let merged = rig.put(again).await;
        let claim = Claim::new("Ada", "works_at", "Acme", kept).unwrap();
        assert_eq!((merged.id, merged.claim), (first.id, Some(claim)));
    }
    let ops = [1.0, 7.0, 3.0].map(|weight| put(with_key(related(&rig, "Ada", "works_at", "Acme", weight))));
    rig.apply(ops.to_vec()).await;
    let kept = rig.live(first.id).await;
    assert_eq!((kept.witness_count, kept.claim.unwrap().weight), (6, 7.0));
    assert_eq!(found(&rig, &[("Ada", "works_at")], 9).await, [first.id]);
}

/// Its key says when it holds: it takes in the same past. One that was superseded takes in nothing.
pub async fn a_claim_about_the_past_still_merges(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let past = || Memory {
        valid_from: Some(rig.now().saturating_add_seconds(-9 * DAY)),
        valid_to: Some(rig.now().saturating_add_seconds(-DAY)),
        ..related(&rig, "Ada", "works_at", "Acme", 1.0)
    };
    let first = rig.put(past()).await;
    let again = rig.put(past()).await;
    assert_eq!((again.id, again.witness_count), (first.id, 2));
    rig.patch(first.id, MemoryPatch { superseded_by: Some(Some(rig.id())), ..MemoryPatch::default() }).await;
    let new = past();
    let outcome = rig.run(put(new.clone())).await;
    assert_eq!(outcome, Outcome::Put { id: new.id, version: 1, merged: false, replayed: false });
    assert_eq!(rig.live(first.id).await.dedup_key, None);
}

/// A greater weight or confidence makes a version; the same or less makes none, and neither does a merge of what states no relation.
pub async fn a_claim_that_a_merge_makes_stronger_keeps_what_it_was(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let said = |weight: f64, confidence: f64| {
        let memory = related(&rig, "Ada", "works_at", "Acme", weight);
        Memory { confidence, dedup_key: Some(key("one")), ..memory }
    };
    let first = rig.put(said(1.0, 0.5)).await;
    let start = rig.now();
    for (weight, confidence, version) in
        [(1.0, 0.5, 1), (0.5, 0.4, 1), (3.0, 0.5, 2), (2.0, 0.5, 2), (1.0, 0.8, 3), (4.0, 0.9, 4), (4.0, 0.9, 4)]
    {
        clock.advance_seconds(60);
        let outcome = rig.run(put(said(weight, confidence))).await;
        assert_eq!(outcome, Outcome::Put { id: first.id, version, merged: true, replayed: false });
    }
    let history = store.history(&rig.ctx, first.id).await.unwrap();
    let told: Vec<_> = history
        .iter()
        .map(|v| {
            (v.memory.version, v.memory.claim.as_ref().unwrap().weight, v.memory.confidence, v.memory.witness_count)
        })
        .collect();
    assert_eq!(told, [(1, 1.0, 0.5, 3), (2, 3.0, 0.5, 5), (3, 3.0, 0.8, 6), (4, 4.0, 0.9, 8)]);
    let after = |seconds: i64| start.saturating_add_seconds(seconds);
    let times: Vec<_> = history.iter().map(|v| (v.memory.updated_at, v.replaced_at)).collect();
    let expected =
        [(start, Some(after(180))), (after(180), Some(after(300))), (after(300), Some(after(360))), (after(360), None)];
    assert_eq!(times, expected);
    let restored =
        Op::RestoreMemory { memory: Box::new(said(5.0, 0.1)), vector: None, history: Vec::new(), access: None };
    let outcome = rig.run(restored).await;
    assert_eq!(outcome, Outcome::Put { id: first.id, version: 5, merged: true, replayed: false });
    let plain = rig.put(Memory { confidence: 0.1, ..rig.statement("plain") }).await;
    let again = rig.put(Memory { confidence: 0.9, ..rig.statement("plain") }).await;
    assert_eq!((again.id, again.version, again.confidence), (plain.id, 1, 0.9));
    assert_eq!(store.verify(&rig.ctx).await.unwrap(), Vec::<String>::new());
}

/// A merge never fails for what it keeps: past the bound the oldest versions go, and past the last number there is none.
pub async fn merges_beyond_the_bound_of_history_drop_the_oldest(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let said = |n: usize| {
        let weight = 1.0 + f64::from(u32::try_from(n).unwrap()) / 100.0;
        Memory { dedup_key: Some(key("one")), ..related(&rig, "Ada", "works_at", "Acme", weight) }
    };
    rig.apply((0..HISTORY_VERSIONS_MAX + 5).map(|n| put(said(n))).collect()).await;
    let kept = rig.all(None).await.remove(0);
    let history = store.history(&rig.ctx, kept.id).await.unwrap();
    assert_eq!((history.len(), history[0].memory.version), (HISTORY_VERSIONS_MAX + 1, 5));
    assert_eq!(history[0].memory.claim.as_ref().unwrap().weight, 1.04);
    let last = Memory { version: u32::MAX, dedup_key: Some(key("two")), ..related(&rig, "Ada", "knows", "Bob", 1.0) };
    let id = last.id;
    rig.run(Op::RestoreMemory { memory: Box::new(last), vector: None, history: Vec::new(), access: None }).await;
    let again = Memory { dedup_key: Some(key("two")), ..related(&rig, "Ada", "knows", "Bob", 2.0) };
    let outcome = rig.run(put(again)).await;
    assert_eq!(outcome, Outcome::Put { id, version: u32::MAX, merged: true, replayed: false });
    assert_eq!(rig.live(id).await.claim.unwrap().weight, 2.0);
}
