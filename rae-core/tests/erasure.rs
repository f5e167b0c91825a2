//! The check of a receipt of `forget`: clean after an erasure, and it finds what was planted.

#![allow(clippy::unwrap_used)] // a test reports by panicking

mod common;

use common::{Bench, on_every_store};
use rae_core::{
    ErasureReport, ErrorKind, Forget, ForgetScope, MemoryUpdate, NewMemory, RecallOptions, block_on,
    model::{Filter, Scope},
};
use serde_json::{Value, json};

fn found(report: &ErasureReport) -> Vec<(&str, u64)> {
    let wrong = report.places.iter().filter(|place| place.state == "found");
    wrong.map(|place| (place.place.as_str(), place.found)).collect()
}

/// Remembers, uses and changes two memories, so that every place holds something of them, and forgets one.
async fn erase(b: &Bench) -> (Value, std::path::PathBuf) {
    let new = NewMemory { idempotency_key: Some("k".into()), ..NewMemory::new("The vault opens at nine.") };
    let id = b.mem.remember(new).await.unwrap().id;
    b.mem.remember(NewMemory::new("The garden is green.")).await.unwrap();
    let changed = MemoryUpdate { content: Some("The vault opens at ten.".into()), ..MemoryUpdate::default() };
    b.mem.update(id, changed).await.unwrap();
    b.mem.recall("vault", RecallOptions::default()).await.unwrap();
    let before = b.folder.path().join("before.jsonl");
    b.mem.export(&before).await.unwrap();
    let gone = b.mem.forget(Forget::Id(id)).await.unwrap();
    assert_eq!(gone.deleted, 1);
    (gone.receipt, before)
}

#[test]
fn after_an_erasure_every_place_is_clean() {
    on_every_store(|b| {
        block_on(async {
            let (receipt, _) = erase(b).await;
            let after = b.folder.path().join("after.jsonl");
            b.mem.export(&after).await.unwrap();
            let report = b.mem.verify_erasure(&receipt, &[after]).await.unwrap();
            assert_eq!((report.clean, report.ids, report.bound, found(&report)), (true, 1, true, vec![]));
            let kept: Vec<_> = report.places.iter().filter(|place| place.state == "kept").collect();
            assert!(kept.iter().all(|place| place.note.is_some()));
            // What batches answered is forgotten after a day.
            b.clock.advance_seconds(2 * 86_400);
            b.mem.maintain(None).await.unwrap();
            let report = b.mem.verify_erasure(&receipt, &[]).await.unwrap();
            let kept: Vec<_> = report.places.iter().filter(|p| p.state == "kept").map(|p| p.place.as_str()).collect();
            assert_eq!(kept, ["tombstones"]);
        });
    });
}

#[test]
fn what_came_back_by_an_import_is_found_where_it_lies() {
    on_every_store(|b| {
        block_on(async {
            let (receipt, before) = erase(b).await;
            b.mem.import(&before).await.unwrap();
            let report = b.mem.verify_erasure(&receipt, std::slice::from_ref(&before)).await.unwrap();
            assert!(!report.clean);
            let export = format!("export {}", before.display());
            let expected = [("memories", 1), ("history", 1), ("vectors", 1), ("access", 1), ("words", 1), (&export, 1)];
            assert_eq!(found(&report), expected);
            // Forgotten again, by its old receipt too it is clean; the file still is not.
            let all = json!({ "content": { "contains": "vault" } });
            Filter::parse(&all).unwrap();
            b.mem.forget(Forget::Filter(all)).await.unwrap();
            let report = b.mem.verify_erasure(&receipt, &[before]).await.unwrap();
            assert_eq!(found(&report), [(export.as_str(), 1)]);
        });
    });
}

#[test]
fn a_check_that_could_see_nothing_is_refused() {
    on_every_store(|b| {
        block_on(async {
            let (receipt, _) = erase(b).await;
            let check = async |receipt: &Value| b.mem.verify_erasure(receipt, &[]).await;
            let refused = async |receipt: Value, code: &str| {
                let error = check(&receipt).await.unwrap_err();
                assert_eq!((error.kind(), error.code()), (ErrorKind::InvalidInput, code), "{receipt}");
            };
            let with = |field: &str, value: Value| {
                let mut other = receipt.clone();
                other[field] = value;
                other
            };
            refused(json!("no"), "not_a_receipt").await;
            refused(with("version", json!(2)), "not_a_receipt").await;
            refused(with("ids_keyed_blake3", json!(["xyz"])), "not_a_receipt").await;
            refused(with("ids_keyed_blake3", json!(7)), "not_a_receipt").await;
            refused(with("ids_keyed_blake3", json!([])), "no_ids").await;
            refused(with("project_keyed_blake3", json!("00")), "other_project").await;
            let other = b.mem.with_scope(Scope::new("default", "other").unwrap());
            let error = other.verify_erasure(&receipt, &[]).await.unwrap_err();
            assert_eq!(error.code(), "other_project");
            let gone = b.mem.forget(Forget::Scope(ForgetScope::Project, "default".into())).await.unwrap();
            refused(gone.receipt, "no_ids").await;
            let foreign = b.folder.path().join("notes.txt");
            std::fs::write(&foreign, "hello\n").unwrap();
            let error = b.mem.verify_erasure(&receipt, &[foreign]).await.unwrap_err();
            assert_eq!(error.code(), "not_an_export");
            // One of before receipts named their project is checked, and the report says what it could not know.
            let mut old = receipt.clone();
            old.as_object_mut().unwrap().remove("project_keyed_blake3");
            let report = check(&old).await.unwrap();
            assert_eq!((report.clean, report.bound), (true, false));
        });
    });
}
