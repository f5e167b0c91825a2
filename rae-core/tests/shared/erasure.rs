//! The check of a receipt of `forget`: clean after an erasure, and it finds what was planted. For any relational store.

#![allow(clippy::unwrap_used)] // a test reports by panicking

use crate::common::{Bench, on_every_store};
use rae_core::{
    ChangesOptions, ErasureOptions, ErasureReport, ErrorKind, EventType, Forget, ForgetScope, Kind, ListOptions,
    MemoryId, MemoryUpdate, NewEvent, NewMemory, RecallOptions, ReflectOptions, SessionEnd, SessionOutcome, block_on,
    eval::{Label, Question},
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

/// A summary that grew by an event and was taken back: an older version alone quotes it. Gives the event and the summary.
async fn grown_and_undone(b: &Bench) -> (MemoryId, MemoryId) {
    let reflect = async || {
        let one = ReflectOptions { session_id: Some("s".into()), ..ReflectOptions::default() };
        b.mem.reflect(one).await.unwrap();
        b.clock.advance_seconds(60);
    };
    b.mem.log_event("s", NewEvent::new(EventType::UserInput, "The garden is green.")).await.unwrap();
    reflect().await;
    let event = NewEvent::new(EventType::UserInput, "The vault word is heliotrope.");
    let event = b.mem.log_event("s", event).await.unwrap().id;
    reflect().await;
    let change = b.mem.changes(ChangesOptions::default()).await.unwrap().items[0].id;
    b.mem.undo(change).await.unwrap();
    b.clock.advance_seconds(60);
    let all = b.mem.list(ListOptions { limit: 100, ..ListOptions::default() }).await.unwrap().items;
    let summary = all.into_iter().find(|memory| memory.kind == Kind::Reflection).unwrap();
    assert!(!summary.content.contains("heliotrope") && !summary.provenance.derived_from.contains(&event));
    (event, summary.id)
}

async fn versions(b: &Bench, id: MemoryId) -> Vec<(u32, bool)> {
    let history = b.mem.history(id).await.unwrap();
    history.iter().map(|v| (v.memory.version, v.memory.content.contains("heliotrope"))).collect()
}

#[test]
fn an_older_version_that_quotes_what_is_forgotten_goes_with_it_and_the_present_one_stays() {
    on_every_store(|b| {
        block_on(async {
            let (event, summary) = grown_and_undone(b).await;
            assert_eq!(versions(b, summary).await, [(1, false), (2, true), (3, false)]);
            let present = b.mem.get(summary).await.unwrap();
            let gone = b.mem.forget(Forget::Id(event)).await.unwrap();
            assert_eq!((gone.deleted, gone.derived, gone.pending.len()), (1, 0, 0));
            assert_eq!(versions(b, summary).await, [(1, false), (3, false)]);
            assert_eq!(b.mem.get(summary).await.unwrap(), present);
            let report = b.mem.verify_erasure(&gone.receipt, &[]).await.unwrap();
            assert!(report.clean, "{report:?}");
            // What would go back to it is refused.
            let undone = b.mem.changes(ChangesOptions::default()).await.unwrap().items;
            let undoing = undone.iter().find(|change| change.action == "undo").unwrap();
            let refused = b.mem.undo(undoing.id).await.unwrap_err();
            assert_eq!((refused.kind(), refused.code()), (ErrorKind::Conflict, "not_undoable"));
            for file in ["agent.rae", "agent.rae-wal"].map(|name| b.folder.path().join(name)) {
                let bytes = std::fs::read(&file).unwrap_or_default();
                assert!(!bytes.windows(10).any(|w| w == b"heliotrope"), "{file:?} still has it");
            }
        });
    });
}

#[test]
fn what_was_known_while_an_erased_version_held_is_not_told_by_another_one() {
    on_every_store(|b| {
        block_on(async {
            let (event, summary) = grown_and_undone(b).await;
            let history = b.mem.history(summary).await.unwrap();
            b.mem.forget(Forget::Id(event)).await.unwrap();
            let told = async |at| {
                let options = RecallOptions { known_at: Some(at), ..RecallOptions::default() };
                let hits = b.mem.recall("What is green?", options).await.unwrap().hits;
                hits.into_iter().find(|hit| hit.id == summary).map(|hit| hit.content)
            };
            let wanted = [Some(history[0].memory.content.clone()), None, Some(history[2].memory.content.clone())];
            for (version, wanted) in history.iter().zip(wanted) {
                assert_eq!(told(version.memory.updated_at).await, wanted, "version {}", version.memory.version);
            }
        });
    });
}

#[test]
fn an_older_version_that_repeats_what_was_erased_is_found_in_history_and_in_exports() {
    on_every_store(|b| {
        block_on(async {
            let (event, summary) = grown_and_undone(b).await;
            let whole = b.folder.path().join("whole.jsonl");
            b.mem.export(&whole).await.unwrap();
            let receipt = b.mem.forget(Forget::Id(event)).await.unwrap().receipt;
            b.mem.forget(Forget::Id(summary)).await.unwrap();
            // The summary comes back with its history, as an erasure of before versions were looked at left it.
            let text = std::fs::read_to_string(&whole).unwrap();
            let is_event = |line: &&str| {
                let line: Value = serde_json::from_str(line).unwrap();
                line["memory"]["id"].as_str().is_some_and(|id| id == event.to_string())
            };
            let kept = |line: &str| match serde_json::from_str::<Value>(line).unwrap() {
                mut end if end["end"] == true => {
                    end["memories"] = json!(end["memories"].as_u64().unwrap() - 1);
                    end.to_string()
                }
                _ => line.to_owned(),
            };
            let lines: Vec<String> = text.lines().filter(|line| !is_event(line)).map(kept).collect();
            let part = b.folder.path().join("part.jsonl");
            std::fs::write(&part, lines.join("\n") + "\n").unwrap();
            b.mem.import(&part).await.unwrap();
            let report = b.mem.verify_erasure(&receipt, std::slice::from_ref(&part)).await.unwrap();
            let export = format!("export {}", part.display());
            assert_eq!(found(&report), [("history", 1), (&export, 1)]);
            let note = report.places.iter().find(|p| p.place == "history").and_then(|p| p.note.clone()).unwrap();
            assert!(note.contains(&summary.to_string()), "{note}");
            // Forgotten again by its id it is clean, though there is no such memory.
            b.mem.forget(Forget::Id(event)).await.unwrap();
            assert_eq!(found(&b.mem.verify_erasure(&receipt, &[]).await.unwrap()), []);
            assert_eq!(versions(b, summary).await, [(1, false), (3, false)]);
        });
    });
}

/// What ends a session owes a job, which names the session.
async fn ended(b: &Bench, session: &str) {
    b.mem.log_event(session, NewEvent::new(EventType::UserInput, "The vault opens at nine.")).await.unwrap();
    b.mem.end_session(session, SessionEnd::new(SessionOutcome::Success)).await.unwrap();
}

/// Stores how a question was answered within a session and for a user, which its run says.
async fn asked(b: &Bench, session: Option<&str>, user: Option<&str>) {
    let question = Question { query: "When does the vault open?".into(), relevant: vec![Label::Text("nine".into())] };
    b.mem.set_questions("vault", vec![question]).await.unwrap();
    let (session_id, user_id) = (session.map(str::to_owned), user.map(str::to_owned));
    b.mem.run_questions("vault", RecallOptions { session_id, user_id, ..RecallOptions::default() }).await.unwrap();
}

#[test]
fn a_job_or_a_stored_run_that_names_an_erased_session_or_user_is_found() {
    on_every_store(|b| {
        block_on(async {
            let forget =
                async |scope, name: &str| b.mem.forget(Forget::Scope(scope, name.to_owned())).await.unwrap().receipt;
            let check = async |receipt: &Value| b.mem.verify_erasure(receipt, &[]).await.unwrap();
            ended(b, "s-4711").await;
            let receipt = forget(ForgetScope::Session, "s-4711").await;
            assert!(!receipt.to_string().contains("4711"), "{receipt}");
            let report = check(&receipt).await;
            assert!(report.clean && report.places.iter().any(|place| place.place == "names"), "{report:?}");
            // What another one owes is not it, and a word of the same spelling elsewhere neither.
            ended(b, "other").await;
            asked(b, Some("other"), Some("s-4711")).await;
            assert!(check(&receipt).await.clean);
            asked(b, Some("s-4711"), None).await;
            assert_eq!(found(&check(&receipt).await), [("names", 1)]);
            // A receipt of before names were hashed says nothing of them.
            let mut old = receipt.clone();
            old.as_object_mut().unwrap().remove("name_keyed_blake3");
            let report = check(&old).await;
            assert!(report.clean && report.places.iter().all(|place| place.place != "names"), "{report:?}");
            // The session lives again: who names it now does so by right.
            b.clock.advance_seconds(60);
            ended(b, "s-4711").await;
            let report = check(&receipt).await;
            let names = report.places.iter().find(|place| place.place == "names").unwrap();
            assert_eq!((report.clean, names.found, names.state.as_str()), (true, 2, "kept"));
            // Without its memories, whose erasure by a filter leaves its job, it does not.
            b.mem.forget(Forget::Filter(json!({ "session_id": "s-4711" }))).await.unwrap();
            assert_eq!(found(&check(&receipt).await), [("names", 2)]);
            // Nobody of this name was here, but a run says it.
            asked(b, None, Some("u-0815")).await;
            let receipt = forget(ForgetScope::User, "u-0815").await;
            let report = check(&receipt).await;
            assert_eq!((report.ids, found(&report)), (0, vec![("names", 1)]));
        });
    });
}

fn looking_for(texts: &[&str]) -> ErasureOptions {
    ErasureOptions { texts: texts.iter().map(|text| (*text).to_owned()).collect(), ..ErasureOptions::default() }
}

#[test]
fn texts_that_were_erased_are_found_wherever_they_still_are() {
    on_every_store(|b| {
        block_on(async {
            let (receipt, before) = erase(b).await;
            let whole =
                ErasureOptions { exports: vec![before.clone()], ..looking_for(&["vault opens", "\"quoted\"\nline"]) };
            let check = async |options: &ErasureOptions| b.mem.verify_erasure_with(&receipt, options).await.unwrap();
            let report = check(&whole).await;
            let export = format!("text in export {}", before.display());
            let told = format!("export {}", before.display());
            assert_eq!(found(&report), [(told.as_str(), 1), (export.as_str(), 1)], "{report:?}");
            assert!(!serde_json::to_string(&report).unwrap().contains("vault opens"));
            let files =
                |report: &ErasureReport| report.places.iter().filter(|p| p.place.starts_with("text in file")).count();
            assert_eq!(files(&report) > 0, b.name == "sqlite file");
            assert_eq!(files(&check(&ErasureOptions { file: false, ..whole.clone() }).await), 0);
            // Somebody else said it, now and before, and a run was asked for it.
            let metadata = json!({ "note": "a \"quoted\"\nline" }).as_object().cloned();
            let other = NewMemory { metadata, ..NewMemory::new("They say the vault opens late.") };
            let id = b.mem.remember(other).await.unwrap().id;
            let changed = MemoryUpdate { content: Some("They say nothing.".into()), ..MemoryUpdate::default() };
            b.mem.update(id, changed).await.unwrap();
            asked(b, None, None).await;
            let report = check(&looking_for(&["vault opens", "\"quoted\"\nline", "VAULTS"])).await;
            let inside: Vec<_> = found(&report).into_iter().filter(|(place, _)| !place.contains("file")).collect();
            assert_eq!(inside, [("text in memories", 1), ("text in history", 1)]);
            let in_file = found(&report).iter().any(|(place, n)| *place == "text in file agent.rae" && *n > 0);
            let in_log = found(&report).iter().any(|(place, n)| *place == "text in file agent.rae-wal" && *n > 0);
            assert_eq!(in_file || in_log, b.name == "sqlite file", "{report:?}");
            let report = check(&looking_for(&["does the vault"])).await;
            assert!(found(&report).iter().any(|(place, _)| *place == "text in records"), "{report:?}");
            for wrong in [vec!["abc"], vec!["x"; 17], vec!["\u{e9}"], vec![&*"x".repeat(1_001)]] {
                let error = b.mem.verify_erasure_with(&receipt, &looking_for(&wrong)).await.unwrap_err();
                assert_eq!((error.kind(), error.code()), (ErrorKind::InvalidInput, "invalid_texts"));
            }
            assert!(check(&looking_for(&["four"; 16])).await.clean);
        });
    });
}

#[test]
fn what_was_erased_is_found_in_small_and_in_capital_letters_too() {
    on_every_store(|b| {
        block_on(async {
            let said = "Account of Zanzibärix FROZEN";
            let id = b.mem.remember(NewMemory::new(said)).await.unwrap().id;
            // What a lesson would keep of it.
            let copy = b.mem.remember(NewMemory::new("somebody saw: account of zanzibärix frozen")).await.unwrap().id;
            let receipt = b.mem.forget(Forget::Id(id)).await.unwrap().receipt;
            let check = async |text: &str| b.mem.verify_erasure_with(&receipt, &looking_for(&[text])).await.unwrap();
            for text in [said, "account of zanzibärix frozen", "ACCOUNT OF ZANZIBÄRIX FROZEN"] {
                let report = check(text).await;
                assert!(!report.clean && found(&report).contains(&("text in memories", 1)), "{text}: {report:?}");
                let in_file = found(&report).iter().any(|(place, _)| place.starts_with("text in file"));
                assert_eq!(in_file, b.name == "sqlite file", "{text}: {report:?}");
            }
            b.mem.forget(Forget::Id(copy)).await.unwrap();
            let report = check(said).await;
            assert!(report.clean, "{report:?}");
        });
    });
}
