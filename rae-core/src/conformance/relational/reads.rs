//! Reading memories, access data and numbers.

use crate::{
    conformance::fixtures::{DAY, EMBEDDER, Rig, filter, object, put, put_with_vector, unit},
    error::ErrorKind,
    limits::PAGE_MAX,
    model::{Audit, Claim, Cursor, Filter, Kind, Layer, Memory, Op, Provenance, Scan, TrustLevel},
    ports::{ManualClock, RelationalStore},
};
use serde_json::{Value, json};
use std::collections::HashSet;

/// In id order whatever the order of writing, in pages of any size, after any cursor.
pub async fn scan_pages_in_id_order(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let mut memories: Vec<_> = (0..40).map(|i| rig.memory(&format!("{i}"))).collect();
    memories.reverse();
    memories.swap(3, 30);
    rig.apply(memories.iter().cloned().map(put).collect()).await;
    memories.sort_by_key(|m| m.id);
    for limit in [1, 7, 39, 40, 41, PAGE_MAX] {
        let (mut joined, mut after) = (Vec::new(), None);
        loop {
            let page = store.scan(&rig.ctx, &Scan { filter: None, after, limit }).await.unwrap();
            assert!(page.len() <= limit);
            let Some(last) = page.last() else { break };
            after = Some(Cursor(last.id));
            joined.extend(page.into_iter().map(|m| m.id));
        }
        assert_eq!(joined, memories.iter().map(|m| m.id).collect::<Vec<_>>(), "pages of {limit}");
    }
    let unknown = Some(Cursor(rig.id()));
    assert!(store.scan(&rig.ctx, &Scan { filter: None, after: unknown, limit: 5 }).await.unwrap().is_empty());
}

fn corpus(rig: &Rig<'_>) -> Vec<Memory> {
    let pick = |list: &[&str], i: usize| list.get(i % (list.len() + 1)).map(|t| (*t).to_owned());
    (0..60)
        .map(|i| {
            let n = i64::try_from(i).unwrap();
            let time = |every: usize| (i % every == 0).then(|| rig.now().saturating_add_seconds(n * DAY));
            Memory {
                layer: Layer::ALL[i % 5],
                kind: Kind::ALL[i % Kind::ALL.len()],
                role: pick(&["user", "assistant", "User"], i),
                speaker: pick(&["Ada", "ada", "A%", "A_a", "á", "a\u{301}"], i),
                session_id: pick(&["s1", "s10", "s%"], i),
                agent_id: pick(&["x", "X"], i),
                user_id: pick(&["u", "u'; --", "\"u\""], i),
                tags: (0..i % 4).map(|t| format!("t{t}")).collect(),
                metadata: object(
                    json!({"n": i, "deep": {"list": [i % 3, "x"], "flag": i % 2 == 0}, "s": format!("v{}", i % 7)}),
                ),
                importance: (i % 11) as f64 / 10.0,
                trust_level: TrustLevel::ALL.get(i % 6).copied(),
                provenance: Provenance {
                    sources: pick(&["web", "mail"], i).into_iter().collect(),
                    derived_from: vec![],
                },
                occurred_at: time(2),
                valid_from: time(3),
                valid_to: time(5),
                expires_at: time(7),
                witness_count: u32::try_from(i % 5 + 1).unwrap(),
                claim: (i % 3 > 0).then(|| {
                    let (subject, object) = (["Ada", "ADA ", "Zoë", "A%"][i % 4], ["Acme", "acme", "B"][i % 5 % 3]);
                    Claim::new(subject, ["knows", "works_at"][i % 2], object, 1.0).unwrap()
                }),
                ..rig.memory(&format!("content {} 100% _done_ [a-z]* {i}", i % 9))
            }
        })
        .collect()
}

fn filters() -> Vec<Value> {
    vec![
        json!({}),
        json!({"layer": "stm"}),
        json!({"kind": {"in": ["fact", "image-ref"]}}),
        json!({"role": "user"}),
        json!({"role": null}),
        json!({"role": {"ne": null}}),
        json!({"subject": "ada"}),
        json!({"subject": {"in": ["ZOË", "a%"]}}),
        json!({"subject": {"in": ["ZOË", null]}}),
        json!({"subject": {"ne": "ada"}}),
        json!({"object": null}),
        json!({"object": {"ne": null}}),
        json!({"object": {"contains": "CM"}}),
        json!({"object": {"gt": "acme"}}),
        json!({"relation": "Works at"}),
        json!({"relation": {"nin": ["knows"]}}),
        json!({"subject": "Ada", "relation": "works_at", "object": "ACME"}),
        json!({"subject": "Ada", "relation": {"ne": "works_at"}}),
        json!({"or": [{"subject": "Ada", "relation": "knows"}, {"speaker": "Ada"}]}),
        json!({"not": {"subject": "Ada", "relation": "knows"}}),
        json!({"speaker": "Ada"}),
        json!({"speaker": "A%"}),
        json!({"speaker": "A_a"}),
        json!({"speaker": "a\u{301}"}),
        json!({"speaker": {"nin": ["Ada", "ada"]}}),
        json!({"speaker": {"gte": "a"}}),
        json!({"session_id": "s1"}),
        json!({"session_id": {"ne": "s1"}}),
        json!({"session_id": {"contains": "%"}}),
        json!({"user_id": "u'; --"}),
        json!({"user_id": "\"u\""}),
        json!({"agent_id": {"contains": "x"}}),
        json!({"tags": "t1"}),
        json!({"tags": {"contains": "t2"}}),
        json!({"tags": {"in": ["t2", "t9"]}}),
        json!({"source": "web"}),
        json!({"content": {"contains": "100%"}}),
        json!({"content": {"contains": "[a-z]*"}}),
        json!({"content": {"lt": "content 3"}}),
        json!({"importance": {"gt": 0.3, "lte": 0.7}}),
        json!({"witness_count": {"gte": 4}}),
        json!({"trust_level": {"in": ["low", "high", null]}}),
        json!({"metadata.n": {"lt": 10}}),
        json!({"metadata.n": 7}),
        json!({"metadata.deep.list": {"contains": 2}}),
        json!({"metadata.deep.flag": true}),
        json!({"metadata.s": {"in": ["v1", "v2"]}}),
        json!({"metadata.none.there": null}),
        json!({"occurred_at": {"gte": "2026-01-10", "lt": "2026-02-10T00:00:00Z"}}),
        json!({"occurred_at": null}),
        json!({"valid_from": {"lt": "2026-01-20"}}),
        json!({"valid_to": {"ne": null}}),
        json!({"expires_at": {"lte": "2026-01-30"}}),
        json!({"created_at": {"gt": "2027-01-01"}}),
        json!({"or": [{"role": "user", "layer": "semantic"}, {"not": {"tags": {"contains": "t0"}}}]}),
        json!({"and": [{"not": {"or": [{"role": null}, {"speaker": null}]}}, {"metadata.n": {"nin": [1, 2, 3]}}]}),
    ]
}

/// `matching` and `scan` agree with `Filter::matches` over everything, for every field and comparison.
pub async fn filters_mean_what_filter_matches_says(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    rig.apply(corpus(&rig).into_iter().map(put).collect()).await;
    let all = rig.all(None).await;
    assert_eq!(all.len(), 60);
    for json in filters() {
        let parsed: Filter = filter(&json);
        let expected: Vec<_> = all.iter().filter(|m| parsed.matches(m)).cloned().collect();
        assert_eq!(rig.all(Some(&parsed)).await, expected, "scan with {json}");
        let matching = store.matching(&rig.ctx, &parsed).await.unwrap();
        assert_eq!(*matching, expected.iter().map(|m| m.id).collect::<HashSet<_>>(), "matching {json}");
    }
    let other = rig.at("default", "other");
    assert!(store.matching(&other.ctx, &filter(&json!({}))).await.unwrap().is_empty());
}

/// Oldest expiry first, at its instant and not before; expired ones are live until they are deleted.
pub async fn expired_memories_come_by_their_expiry(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let now = rig.now();
    let mut ids = Vec::new();
    for seconds in [30, 10, 20, -5, 40] {
        let memory = Memory { expires_at: Some(now.saturating_add_seconds(seconds)), ..rig.memory("x") };
        ids.push(rig.put(memory).await.id);
    }
    rig.put(rig.memory("for ever")).await;
    let at = async |seconds, limit| store.expired(&rig.ctx, now.saturating_add_seconds(seconds), limit).await.unwrap();
    assert_eq!(at(-6, 10).await, []);
    assert_eq!(at(0, 10).await, [ids[3]]);
    assert_eq!(at(20, 10).await, [ids[3], ids[1], ids[2]]);
    assert_eq!(at(100, 2).await, [ids[3], ids[1]]);
    assert!(rig.get(ids[3]).await.is_some());
    rig.delete(ids[3]).await;
    assert_eq!(at(100, 10).await, [ids[1], ids[2], ids[0], ids[4]]);
}

/// Memories derived from any of the ids, in id order, once each.
pub async fn derived_memories_come_in_id_order(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let (a, b, c) = (rig.id(), rig.id(), rig.id());
    let from = |ids: &[crate::model::MemoryId]| Provenance { derived_from: ids.to_vec(), sources: vec![a.to_string()] };
    let memories: Vec<_> = [vec![a], vec![b, a], vec![c], vec![], vec![b]]
        .iter()
        .map(|ids| Memory { provenance: from(ids), ..rig.memory("x") })
        .collect();
    rig.apply(memories.iter().rev().cloned().map(put).collect()).await;
    let derived = async |ids: &[crate::model::MemoryId], limit| {
        let found = store.derived_from(&rig.ctx, ids, limit).await.unwrap();
        found.iter().map(|m| memories.iter().position(|known| known.id == m.id).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(derived(&[a], 10).await, [0, 1]);
    assert_eq!(derived(&[b, a, rig.id()], 10).await, [0, 1, 4]);
    assert_eq!(derived(&[a, b, c], 3).await, [0, 1, 2]);
    assert!(derived(&[rig.id()], 10).await.is_empty() && derived(&[], 10).await.is_empty());
}

/// Counts add up, the last access is the latest one even when flushes come late, and nothing else moves.
pub async fn access_adds_up_beside_the_memory(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let (a, b) = (rig.put(rig.memory("a")).await, rig.put(rig.memory("b")).await);
    let later = rig.now().saturating_add_seconds(60);
    rig.run(Op::RecordAccess { counts: vec![(a.id, 2, later), (b.id, 1, rig.now()), (a.id, 1, rig.now())] }).await;
    rig.run(Op::RecordAccess { counts: vec![(a.id, 4_000_000_000, rig.now())] }).await;
    rig.run(Op::RecordAccess { counts: vec![(a.id, 4_000_000_000, rig.now())] }).await;
    let access = store.access(&rig.ctx, &[b.id, rig.id(), a.id, b.id]).await.unwrap();
    let of_b = (1, Some(rig.now()));
    assert_eq!(access, [of_b, (0, None), (8_000_000_003, Some(later)), of_b]);
    assert_eq!(rig.all(None).await, [a, b]);
}

/// Memories, layers, vectors under the store's embedder and jobs of this scope alone.
pub async fn stats_count_the_scope(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    rig.run(Op::SetEmbedder { embedder: EMBEDDER.into(), dim: 4 }).await;
    for (layer, n) in Layer::ALL.into_iter().zip(1..) {
        rig.apply((0..n).map(|_| put(Memory { layer, ..rig.memory("x") })).collect()).await;
    }
    rig.run(put_with_vector(rig.memory("v"), EMBEDDER, unit(1))).await;
    let gone = rig.put(rig.memory("gone")).await;
    rig.delete(gone.id).await;
    rig.enqueue(rig.now()).await;
    rig.enqueue(rig.now()).await;
    let stats = store.stats(&rig.ctx).await.unwrap();
    assert_eq!((stats.memories, stats.by_layer, stats.vectors), (16, [1, 2, 3, 5, 5], 1));
    assert_eq!((stats.jobs_queued, stats.jobs_dead), (2, 0));
    let other = store.stats(&rig.at("other", "default").ctx).await.unwrap();
    assert_eq!((other.memories, other.vectors, other.jobs_queued), (0, 0, 0));
}

/// The newest first, of this scope alone, byte for byte.
pub async fn audit_rows_come_newest_first(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let mut expected = Vec::new();
    for i in 0..5 {
        clock.advance_seconds(1);
        let row = Audit { action: format!("action {i}"), details: json!({"n": i, "ids": ["a", null]}) };
        rig.run(Op::Audit(row.clone())).await;
        expected.insert(0, (rig.now(), row));
    }
    assert_eq!(store.audit(&rig.ctx, 10).await.unwrap(), expected);
    assert_eq!(store.audit(&rig.ctx, 2).await.unwrap(), expected[..2]);
    assert_eq!(store.audit(&rig.at("default", "other").ctx, 10).await.unwrap(), []);
    let (mut paged, mut before) = (Vec::new(), None);
    loop {
        let page = store.audit_page(&rig.ctx, before, 2).await.unwrap();
        let Some((number, ..)) = page.last() else { break };
        assert!(page.len() <= 2 && before.is_none_or(|before| *number < before));
        before = Some(*number);
        paged.extend(page.into_iter().map(|(_, at, row)| (at, row)));
    }
    assert_eq!(paged, expected);
    rig.run(Op::TrimAudit { keep: 1 }).await;
    let left = store.audit_page(&rig.ctx, None, 10).await.unwrap();
    assert_eq!(store.audit_page(&rig.ctx, Some(left[0].0), 10).await.unwrap(), []);
}

/// All scopes with memories or a change log, in name order; reading makes none.
pub async fn scopes_come_in_name_order(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    for (tenant, project) in [("b", "a"), ("a", "z"), ("B", "a"), ("a", "%")] {
        let there = rig.at(tenant, project);
        there.put(there.memory("x")).await;
    }
    rig.at("only", "read").snapshot().await;
    let scopes = store.scopes().await.unwrap();
    let names: Vec<_> = scopes.iter().map(|s| (s.tenant(), s.project())).collect();
    assert_eq!(names, [("B", "a"), ("a", "%"), ("a", "z"), ("b", "a")]);
}

/// No read gives more than was asked for; what no page may hold is refused or cut.
pub async fn reads_keep_their_limits(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let parent = rig.id();
    let make = |i: u16| {
        let provenance = Provenance { derived_from: vec![parent], sources: vec![] };
        let memory = Memory { provenance, expires_at: Some(rig.now()), ..rig.memory("x") };
        if i.is_multiple_of(2) { put(memory) } else { put_with_vector(memory, EMBEDDER, unit(i)) }
    };
    for _ in 0..2 {
        rig.apply((0..600).map(make).collect()).await;
    }
    for limit in [1, 5] {
        assert_eq!(store.expired(&rig.ctx, rig.now(), limit).await.unwrap().len(), limit);
        assert_eq!(store.derived_from(&rig.ctx, &[parent], limit).await.unwrap().len(), limit);
        assert_eq!(store.vectors(&rig.ctx, EMBEDDER, 0, limit).await.unwrap().len(), limit);
        assert_eq!(store.without_vector(&rig.ctx, EMBEDDER, None, limit).await.unwrap().len(), limit);
        assert_eq!(store.changes_since(&rig.ctx, 0, u64::MAX, limit, EMBEDDER).await.unwrap().puts.len(), limit);
        assert_eq!(store.scan(&rig.ctx, &Scan { filter: None, after: None, limit }).await.unwrap().len(), limit);
    }
    let scan = Scan { filter: None, after: None, limit: PAGE_MAX };
    assert_eq!(store.scan(&rig.ctx, &scan).await.unwrap().len(), PAGE_MAX);
    match store.scan(&rig.ctx, &Scan { limit: PAGE_MAX + 1, ..scan }).await {
        Ok(page) => assert_eq!(page.len(), PAGE_MAX),
        Err(error) => assert_eq!(error.kind(), ErrorKind::InvalidInput),
    }
    match store.changes_since(&rig.ctx, 0, u64::MAX, PAGE_MAX + 1, EMBEDDER).await {
        Ok(page) => assert_eq!((page.puts.len(), page.upto), (PAGE_MAX, PAGE_MAX as u64)),
        Err(error) => assert_eq!(error.kind(), ErrorKind::InvalidInput),
    }
}

/// The key of keyed hashes does not change while the store is open, and is not a blank.
pub async fn the_receipt_key_stays_the_same(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let first = store.receipt_key().await.unwrap();
    rig.put(rig.memory("a")).await;
    store.checkpoint(&rig.ctx, rig.now()).await.unwrap();
    assert_eq!(store.receipt_key().await.unwrap(), first);
    assert!(first.iter().any(|byte| *byte != first[0]), "a key of one repeated byte is no key");
}
