//! Writes a store with every feature and what must be read from it:
//! `cargo run --profile ci -p rae-core --example make_fixture -- rae-core/tests/fixtures/schema-1`
//!
//! It makes `schema-1.rae.bin`, `schema-1.json` and, about money, `schema-1.money.json`. A fixture that was released is never made again: when the schema
//! changes, make one of the new number beside it.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // a tool for developers

#[path = "../tests/fixture_support/mod.rs"]
mod fixture_support;

use fixture_support::{READ_AT, SCOPES, builder, clock, ctx, scoped, store, told, told_of_money};
use rae_core::{
    Forget, Kind, Layer, MemoryUpdate, NewMemory, Rae, RecallOptions, Timestamp, block_on,
    lexical::{LexDoc, segment},
    model::{
        Amount, Booking, BudgetChange, BudgetLevel, CallLabel, CallStatus, Claim, IdGenerator, InfoClass, Limits,
        MemoryPatch, NewReservation, Op, PatchMode, Scan, Scope, SegmentRow, Settlement, Share, TokenUsage, TrustLevel,
        Usd, WriteBatch,
    },
    ports::{Clock, IndexRead, ManualClock, MemoryRead, RelationalStore},
};
use serde_json::json;
use std::{path::Path, sync::Arc, time::Duration};

fn time(text: &str) -> Option<Timestamp> {
    Some(Timestamp::parse(text).unwrap())
}

/// A memory with every field that a caller can set.
fn full() -> NewMemory {
    NewMemory {
        kind: Some(Kind::Lesson),
        role: Some("assistant".into()),
        speaker: Some("Ada Löwe".into()),
        session_id: Some("s-1".into()),
        agent_id: Some("agent".into()),
        user_id: Some("user %".into()),
        occurred_at: time("2025-05-08T13:56:00.25Z"),
        tags: vec!["wheel".into(), "Rad".into()],
        metadata: json!({"n": 3, "deep": {"list": [1, "two", null, 0.1, true]}, "": 18_446_744_073_709_551_615_u64})
            .as_object()
            .cloned(),
        importance: Some(1.0 / 3.0),
        confidence: Some(0.75),
        source: Some("mail".into()),
        trust_level: Some(TrustLevel::Low),
        info_class: Some(InfoClass::Restricted),
        valid_from: time("2020-01-01"),
        valid_to: time("2099-01-01"),
        ..NewMemory::new("Oil the mill’s wheel each month.\nDas Mühlrad, 水車, 🎡 \0 \u{202e}!")
    }
}

async fn write(mem: &Rae, clock: &ManualClock) {
    mem.remember(full()).await.unwrap();
    for layer in Layer::ALL {
        let text = format!("A {layer} note on the mill.");
        mem.remember(NewMemory { layer: Some(layer), session_id: Some("s-2".into()), ..NewMemory::new(text) })
            .await
            .unwrap();
    }
    for kind in Kind::ALL {
        mem.remember(NewMemory { kind: Some(*kind), ..NewMemory::new(format!("The mill as {kind}.")) }).await.unwrap();
    }
    // Merged twice, with history, with feedback, recalled, superseded.
    let said = |tag: &str, importance| NewMemory {
        tags: vec![tag.into()],
        importance: Some(importance),
        source: Some(tag.into()),
        valid_from: time("2020-01-01"),
        ..NewMemory::new("The mill has two wheels.")
    };
    let old = mem.remember(said("wheel", 0.2)).await.unwrap().id;
    mem.remember(said("count", 0.9)).await.unwrap();
    mem.feedback(old, false).await.unwrap();
    clock.advance_seconds(60);
    let update = MemoryUpdate { tags: Some(vec!["wheel".into(), "old".into()]), ..MemoryUpdate::default() };
    mem.update(old, update).await.unwrap();
    let three = NewMemory { valid_from: time("2023-01-01"), ..NewMemory::new("The mill has three wheels.") };
    let new = mem.remember(three).await.unwrap().id;
    clock.advance_seconds(60);
    let ended =
        MemoryUpdate { valid_to: Some(time("2023-01-01")), superseded_by: Some(Some(new)), ..MemoryUpdate::default() };
    mem.update(old, ended).await.unwrap();
    mem.recall("How many wheels has the mill?", RecallOptions { k: 3, ..RecallOptions::default() }).await.unwrap();
    // A tombstone, one that will have expired, an idempotency key, a vector that is owed.
    let gone = mem.remember(NewMemory::new("The mill's safe opens with 4711.")).await.unwrap().id;
    mem.forget(Forget::Id(gone)).await.unwrap();
    mem.remember(NewMemory { ttl: Some(3_600.0), ..NewMemory::new("The mill is closed for an hour.") }).await.unwrap();
    let keyed = NewMemory { idempotency_key: Some("key-1".into()), ..NewMemory::new("The mill opens at nine.") };
    mem.remember(keyed).await.unwrap();
    mem.remember(NewMemory::new("The mill's debts are owed to the bank.")).await.unwrap();
}

/// A segment of the word index: the engine writes one only after thousands of changes.
async fn write_segment(path: &Path, clock: &Arc<ManualClock>) {
    let store = store(path, clock);
    let ctx = rae_core::Ctx::new(Scope::default());
    let to_seq = store.head(&ctx).await.unwrap().seq;
    let memories = store.scan(&ctx, &Scan { filter: None, after: None, limit: 1_000 }).await.unwrap();
    let docs: Vec<LexDoc> = memories.iter().map(LexDoc::from_memory).collect();
    let ids = docs.iter().map(|d| d.id).collect();
    let row = SegmentRow { from_seq: 0, to_seq, ids, data: segment::encode(&docs).unwrap() };
    let (ids, now) = (IdGenerator::seeded(77), clock.now());
    let batch = WriteBatch { id: ids.next_uuid(now), now, preconditions: vec![], ops: vec![Op::PutSegment { row }] };
    store.apply(&ctx, batch).await.unwrap();
    store.close().await.unwrap();
}

/// Budgets, ends of every kind, and two calls under way, one of them sent.
async fn spend(path: &Path, clock: &Arc<ManualClock>) {
    let (store, ids) = (store(path, clock), IdGenerator::seeded(78));
    for scope in SCOPES {
        let ctx = ctx(scope);
        let apply = async |ops: Vec<Op>| {
            let now = clock.now();
            let batch = WriteBatch { id: ids.next_uuid(now), now, preconditions: vec![], ops };
            store.apply(&ctx, batch).await.unwrap();
            clock.advance_seconds(1);
        };
        let tenant = BudgetChange {
            limits: [Some(Some(20_000_000)), Some(None), None, Some(Some(5_000_000))],
            warning_threshold: Some(Some(Share::new(0.9).unwrap())),
        };
        let project = BudgetChange { limits: [None, Some(Some(500_000_000)), None, None], ..BudgetChange::default() };
        apply(vec![Op::SetBudget { level: BudgetLevel::Tenant, change: tenant }]).await;
        apply(vec![Op::SetBudget { level: BudgetLevel::Project, change: project }]).await;
        let label = |user: Option<&str>| CallLabel {
            provider: "openai".into(),
            model: "small %".into(),
            operation: "chat".into(),
            user_id: user.map(str::to_owned),
            request_id: user.map(|_| "request-1".into()),
        };
        let usage = TokenUsage { input_tokens: 900, cached_input_tokens: 100, output_tokens: 90, reasoning_tokens: 9 };
        let (defaults, cost) = (Limits::NONE, Usd::from_micros(1_234));
        for (n, status) in CallStatus::ALL.into_iter().enumerate() {
            let error = (status == CallStatus::Failed).then(|| "rate_limited".to_owned());
            let (estimated, saved) = (n % 2 == 1, Usd::from_micros(if status == CallStatus::Cached { 77 } else { 0 }));
            let settlement = Settlement { status, usage, estimated, cost, saved, error };
            let id = ids.next_uuid(clock.now());
            if status == CallStatus::Cached {
                let booking = Booking { id, label: label(None), settlement };
                apply(vec![Op::Book { booking: Box::new(booking) }]).await;
                continue;
            }
            let (amount, hold) = (Amount { usd: Usd::from_micros(5_000), tokens: 2_000 }, Duration::from_secs(600));
            let new =
                NewReservation { id, amount, hold, defaults, label: label(Some("user %")), attempt: n as u32 + 1 };
            apply(vec![Op::Reserve { reservation: Box::new(new) }]).await;
            apply(vec![Op::Settle { id, settlement: Box::new(settlement), defaults }]).await;
        }
        for is_sent in [false, true] {
            let (id, amount) = (ids.next_uuid(clock.now()), Amount { usd: Usd::from_micros(700), tokens: 70 });
            let (hold, label) = (Duration::from_secs(3_600), label(Some("user %")));
            let new = NewReservation { id, amount, hold, defaults, label, attempt: 1 };
            apply(vec![Op::Reserve { reservation: Box::new(new) }]).await;
            if is_sent {
                apply(vec![Op::MarkSent { id }]).await;
            }
        }
    }
    store.close().await.unwrap();
}

/// Two memories that state a relation: one that did not before, one that does so in place.
async fn state(path: &Path, clock: &Arc<ManualClock>) {
    let (store, ids) = (store(path, clock), IdGenerator::seeded(80));
    let ctx = ctx(SCOPES[0]);
    let memories = store.scan(&ctx, &Scan { filter: None, after: None, limit: 1_000 }).await.unwrap();
    for (text, mode, weight) in
        [("The mill as fact.", PatchMode::NewVersion, 2.5), ("The mill as text.", PatchMode::InPlace, 1.0 / 3.0)]
    {
        let id = memories.iter().find(|m| m.content == text).unwrap().id;
        let claim = Claim::new(" The Mill ", "belongs to", "Ada Löwe", weight).unwrap();
        let patch = MemoryPatch { claim: Some(Some(claim)), ..MemoryPatch::default() };
        let op = Op::PatchMemory { id, patch: Box::new(patch), mode, vector: None };
        let now = clock.now();
        let batch = WriteBatch { id: ids.next_uuid(now), now, preconditions: vec![], ops: vec![op] };
        store.apply(&ctx, batch).await.unwrap();
    }
    store.close().await.unwrap();
}

fn main() {
    let target = std::env::args().nth(1).unwrap_or_else(|| "schema-1".into());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fixture.rae");
    let clock = clock("2026-03-01T12:00:00Z");
    block_on(async {
        let mem = builder(&path, &clock, false).seed(1).open().await.unwrap();
        write(&scoped(&mem, SCOPES[0]), &clock).await;
        for scope in &SCOPES[1..] {
            scoped(&mem, *scope).remember(full()).await.unwrap();
        }
        mem.close().await.unwrap();
        write_segment(&path, &clock).await;
        spend(&path, &clock).await;
        state(&path, &clock).await;
    });
    std::fs::copy(&path, format!("{target}.rae.bin")).unwrap();
    clock.set(Timestamp::parse(READ_AT).unwrap());
    block_on(async {
        let mem = builder(&path, &clock, false).seed(2).open().await.unwrap();
        let mut golden = Vec::new();
        for scope in SCOPES {
            golden.push(told(&scoped(&mem, scope)).await);
        }
        let text = serde_json::to_string_pretty(&golden).unwrap();
        std::fs::write(format!("{target}.json"), text + "\n").unwrap();
        mem.close().await.unwrap();
        let (store, mut money) = (store(&path, &clock), Vec::new());
        for scope in SCOPES {
            money.push(told_of_money(&store, &ctx(scope)).await);
        }
        let text = serde_json::to_string_pretty(&money).unwrap();
        std::fs::write(format!("{target}.money.json"), text + "\n").unwrap();
        store.close().await.unwrap();
    });
    println!("wrote {target}.rae.bin, {target}.json and {target}.money.json");
}
