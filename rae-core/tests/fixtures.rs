//! Stores that earlier versions wrote, opened by this one: one for each schema, for ever.

#![allow(clippy::unwrap_used, clippy::panic)] // a test reports by panicking

mod fixture_support;

use fixture_support::{READ_AT, SCOPES, builder, clock, ctx, scoped, store, told, told_of_money};
use rae_core::{
    Claim, Forget, Memory, MemoryId, MemoryUpdate, NewMemory, Rae, RecallOptions, block_on,
    embedded::sqlite::{OpenOptions, SqliteStore},
    eval::{Label, Question},
    model::{IdGenerator, MemoryPatch, Op, Outcome, PatchMode, Scope, WriteBatch},
    ports::{Clock, IndexRead, ManualClock, MemoryRead, RelationalStore},
};
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// The schemas that were released. A new one gets a fixture (`examples/make_fixture.rs`); none is ever made again.
const SCHEMAS: [&str; 4] = ["schema-1", "schema-2", "schema-3", "schema-4"];
/// Those that know money.
const WITH_MONEY: [&str; 2] = ["schema-3", "schema-4"];
/// Those that know claims.
const WITH_CLAIMS: [&str; 1] = ["schema-4"];

struct Fixture {
    path: PathBuf,
    golden: Vec<Value>,
    clock: Arc<ManualClock>,
    _folder: tempfile::TempDir,
}

fn fixture(name: &str) -> Fixture {
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agent.rae");
    std::fs::copy(place.join(format!("{name}.rae.bin")), &path).unwrap();
    let golden = std::fs::read_to_string(place.join(format!("{name}.json"))).unwrap();
    Fixture { path, golden: serde_json::from_str(&golden).unwrap(), clock: clock(READ_AT), _folder: folder }
}

impl Fixture {
    async fn open(&self) -> Rae {
        builder(&self.path, &self.clock, true).open().await.unwrap()
    }

    async fn assert_golden(&self, mem: &Rae) {
        for (scope, wanted) in SCOPES.iter().zip(&self.golden) {
            let given = told(&scoped(mem, *scope)).await;
            for (part, wanted) in wanted.as_object().unwrap() {
                assert_eq!(given[part], *wanted, "{part} of {scope:?}");
            }
        }
    }

    /// The id of the memory with this text.
    fn id(&self, text: &str) -> MemoryId {
        let memories = self.golden[0]["memories"].as_array().unwrap();
        let found = memories.iter().find(|m| m["content"] == text).unwrap();
        found["id"].as_str().unwrap().parse().unwrap()
    }
}

#[test]
fn every_released_schema_is_there() {
    let now = block_on(async {
        let mem = Rae::builder().open().await.unwrap();
        mem.stats().await.unwrap().schema_version
    });
    assert_eq!(SCHEMAS.len(), usize::try_from(now).unwrap(), "a schema has no fixture: see examples/make_fixture.rs");
}

#[test]
fn a_store_of_every_schema_reads_as_it_did() {
    for name in SCHEMAS {
        let f = fixture(name);
        block_on(async {
            let mem = f.open().await;
            f.assert_golden(&mem).await;
            let findings = mem.doctor().await.unwrap();
            assert!(findings.iter().all(|f| f.level != "error"), "{findings:?}");
            mem.close().await.unwrap();
            // Opening and reading wrote nothing that is seen at the next opening.
            let mem = f.open().await;
            f.assert_golden(&mem).await;
            mem.close().await.unwrap();
        });
    }
}

#[test]
fn a_store_of_every_schema_has_its_segment_and_its_access_counts() {
    for name in SCHEMAS {
        let f = fixture(name);
        let store = SqliteStore::open(OpenOptions::file(&f.path)).unwrap();
        let ctx = rae_core::Ctx::new(Scope::default());
        let segments = block_on(store.segments(&ctx)).unwrap();
        assert_eq!(segments.len(), 1);
        assert!(!rae_core::lexical::segment::decode(&segments[0].data).unwrap().is_empty());
        block_on(store.close()).unwrap();
        let dump = f.path.with_extension("jsonl");
        block_on(async { f.open().await.export(&dump).await }).unwrap();
        assert!(std::fs::read_to_string(&dump).unwrap().contains(r#""access":[1,"2026-03-01T12:02:00Z"]"#));
    }
}

#[test]
fn a_store_of_every_schema_keeps_sets_of_questions() {
    for name in SCHEMAS {
        let f = fixture(name);
        block_on(async {
            let mem = f.open().await;
            let relevant = vec![Label::Text("nine".into())];
            let question = Question { query: "When does the mill open?".into(), relevant };
            mem.set_questions("mill", vec![question]).await.unwrap();
            assert_eq!(mem.question_sets().await.unwrap().len(), 1, "{name}");
            assert!(mem.run_questions("mill", RecallOptions::default()).await.unwrap().drift.is_none());
            mem.close().await.unwrap();
        });
    }
}

#[test]
fn a_store_of_every_schema_goes_on() {
    for name in SCHEMAS {
        let f = fixture(name);
        block_on(async {
            let mem = f.open().await;
            // What was promised before still holds: the key, the merge, the expiry, the debt.
            let keyed = |text: &str| NewMemory { idempotency_key: Some("key-1".into()), ..NewMemory::new(text) };
            let nine = f.id("The mill opens at nine.");
            f.clock.set(rae_core::Timestamp::parse("2026-03-02T12:01:59Z").unwrap());
            assert_eq!(mem.remember(keyed("The mill opens at nine.")).await.unwrap().id, nine);
            assert_eq!(mem.remember(keyed("Another.")).await.unwrap_err().code(), "idempotency_key_reused");
            let three = mem.remember(NewMemory::new("The  mill has three wheels.")).await.unwrap();
            assert_eq!((three.id, three.merged), (f.id("The mill has three wheels."), true));
            // The old number of wheels has ended: said now, it is a new memory.
            let two = mem.remember(NewMemory::new("The mill has two wheels.")).await.unwrap();
            assert!(!two.merged);
            let ran = mem.maintain(None).await.unwrap().ran;
            // The memory of an hour and the sensory one of a day.
            assert_eq!((ran["expired"], ran["embedded"]), (2, 1));
            let text = Some("The mill opens at ten.".into());
            let update = MemoryUpdate { content: text, ..MemoryUpdate::default() };
            assert_eq!(mem.update(nine, update).await.unwrap().version, 2);
            assert_eq!(mem.forget(Forget::Id(three.id)).await.unwrap().deleted, 1);
            let findings = mem.doctor().await.unwrap();
            assert!(findings.iter().all(|f| f.level == "ok"), "{findings:?}");
            mem.close().await.unwrap();

            let mem = f.open().await;
            assert_eq!(mem.history(nine).await.unwrap().len(), 2);
            let hits =
                mem.recall("When does the mill open?", RecallOptions { k: 100, ..RecallOptions::default() }).await;
            let texts: Vec<_> = hits.unwrap().hits.into_iter().map(|h| h.content).collect();
            assert!(texts.iter().any(|t| t.ends_with("ten.")) && !texts.iter().any(|t| t.contains("three")));
            // The other projects stood still.
            for (scope, wanted) in SCOPES.iter().zip(&f.golden).skip(1) {
                assert_eq!(told(&scoped(&mem, *scope)).await, *wanted);
            }
            mem.close().await.unwrap();
        });
    }
}

#[test]
fn money_of_every_schema_reads_as_it_did_and_goes_on() {
    for name in WITH_MONEY {
        let f = fixture(name);
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(format!("{name}.money.json"));
        let golden: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(golden).unwrap()).unwrap();
        let (store, ids) = (store(&f.path, &f.clock), IdGenerator::seeded(79));
        block_on(async {
            for (scope, wanted) in SCOPES.iter().zip(&golden) {
                assert_eq!(told_of_money(&store, &ctx(*scope)).await, *wanted, "{scope:?}");
            }
            assert_eq!(store.verify(&ctx(SCOPES[0])).await.unwrap(), Vec::<String>::new());
            // In each project one call was never sent and one was sent, and nobody said how they ended.
            for (tenant, ended) in [("default", 2), ("tenant 2", 1)] {
                let now = f.clock.now();
                let ops = vec![Op::ExpireReservations];
                let batch = WriteBatch { id: ids.next_uuid(now), now, preconditions: vec![], ops };
                let outcomes = store.apply(&ctx((tenant, "any")), batch).await.unwrap().outcomes;
                assert_eq!(outcomes, [Outcome::Expired { released: ended, booked: ended }]);
            }
            assert_eq!(store.verify(&ctx(SCOPES[0])).await.unwrap(), Vec::<String>::new());
            store.close().await.unwrap();
        });
    }
}

#[test]
fn claims_of_every_schema_are_found_and_a_store_made_before_them_gets_them() {
    for name in SCHEMAS {
        let f = fixture(name);
        let store = store(&f.path, &f.clock);
        let (ctx, key) = (ctx(SCOPES[0]), Claim::key_of("the mill", "belongs_to"));
        let ids = IdGenerator::seeded(81);
        block_on(async {
            let texts = |found: Vec<Memory>| found.into_iter().map(|m| m.content).collect::<Vec<_>>();
            let wanted: &[&str] =
                if WITH_CLAIMS.contains(&name) { &["The mill as text.", "The mill as fact."] } else { &[] };
            assert_eq!(texts(store.claimed(&ctx, None, 9).await.unwrap()), wanted, "{name}");
            assert_eq!(texts(store.claims(&ctx, &[key], None, 9).await.unwrap()), wanted, "{name}");
            let claim = Claim::new("The mill", "belongs_to", "Bob", 1.0).unwrap();
            let patch = MemoryPatch { claim: Some(Some(claim)), ..MemoryPatch::default() };
            let (id, mode, now) = (f.id("The mill as code."), PatchMode::NewVersion, f.clock.now());
            let ops = vec![Op::PatchMemory { id, patch: Box::new(patch), mode, vector: None }];
            let batch = WriteBatch { id: ids.next_uuid(now), now, preconditions: vec![], ops };
            store.apply(&ctx, batch).await.unwrap();
            let wanted: Vec<_> = wanted.iter().copied().chain(["The mill as code."]).collect();
            assert_eq!(texts(store.claims(&ctx, &[key], None, 9).await.unwrap()), wanted, "{name}");
            assert_eq!(store.verify(&ctx).await.unwrap(), Vec::<String>::new());
            store.close().await.unwrap();
        });
    }
}

#[test]
fn a_store_made_before_money_gets_it() {
    for name in SCHEMAS.iter().filter(|name| !WITH_MONEY.contains(name)) {
        let f = fixture(name);
        let store = store(&f.path, &f.clock);
        block_on(async {
            let told = told_of_money(&store, &ctx(SCOPES[0])).await;
            assert_eq!(told["funds"]["tenant"], serde_json::to_value(rae_core::model::LevelFunds::default()).unwrap());
            assert_eq!(told["levels"][0]["ledger"], serde_json::json!([]));
            assert_eq!(store.verify(&ctx(SCOPES[0])).await.unwrap(), Vec::<String>::new());
            store.close().await.unwrap();
        });
    }
}
