//! `audit`, `embed` and `vector`, as their users meet them, on every embedded store.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)] // a test reports by panicking

mod common;

use common::{Bench, on_every_store, time, turn};
use rae_core::{
    Audit, AuditFinding, AuditKind, AuditOptions, EmbedRole, ErrorKind, Kind, Layer, MemoryId, MemoryUpdate, NewMemory,
    block_on,
};

async fn say(b: &Bench, new: NewMemory) -> MemoryId {
    b.mem.remember(new).await.unwrap().id
}

fn fact(text: &str) -> NewMemory {
    NewMemory { kind: Some(Kind::Fact), ..NewMemory::new(text) }
}

async fn audit(b: &Bench) -> Audit {
    b.mem.audit(AuditOptions::default()).await.unwrap()
}

fn told(audit: &Audit) -> Vec<(AuditKind, Vec<MemoryId>)> {
    audit.findings.iter().map(|f| (f.kind, f.ids.clone())).collect()
}

#[test]
fn an_empty_or_clean_project_has_no_findings() {
    on_every_store(|b| {
        block_on(async {
            assert_eq!(audit(b).await, Audit::default());
            for i in 0..250 {
                say(b, fact(&format!("Ada likes dish number {i}."))).await;
                say(b, turn("s", "Ada", &format!("2025-01-01T00:{:02}:{:02}Z", i / 60, i % 60), "Yes!")).await;
            }
            assert_eq!(audit(b).await, Audit { checked: 500, ..Audit::default() });
        });
    });
}

#[test]
fn statements_that_differ_in_case_and_punctuation_are_duplicates() {
    on_every_store(|b| {
        block_on(async {
            let first = say(b, fact("Water boils at 100 degrees.")).await;
            say(b, fact("Water boils at 90 degrees.")).await;
            let second = say(b, fact("water  boils at 100 degrees")).await;
            let third = say(b, NewMemory::new("Water boils, at 100 degrees!")).await;
            let found = audit(b).await;
            assert_eq!(told(&found), [(AuditKind::Duplicate, vec![first, second, third])]);
            assert_eq!((found.checked, found.truncated), (4, false));
            assert!(found.findings[0].fix.contains("forget(id)"));
            b.mem.forget(rae_core::Forget::Id(second)).await.unwrap();
            b.mem.forget(rae_core::Forget::Id(third)).await.unwrap();
            assert!(audit(b).await.findings.is_empty());
        });
    });
}

#[test]
fn users_agents_and_passing_layers_keep_their_own_and_lasting_layers_do_not() {
    on_every_store(|b| {
        block_on(async {
            let tea = || NewMemory::new("I like green tea.");
            say(b, NewMemory { user_id: Some("ada".into()), ..tea() }).await;
            say(b, NewMemory { user_id: Some("bob".into()), ..tea() }).await;
            say(b, NewMemory { agent_id: Some("bot".into()), ..tea() }).await;
            say(b, NewMemory { layer: Some(Layer::Working), ..tea() }).await;
            say(b, NewMemory { layer: Some(Layer::Sensory), ..tea() }).await;
            let semantic = say(b, tea()).await;
            assert!(audit(b).await.findings.is_empty());
            let reflective = say(b, NewMemory { layer: Some(Layer::Reflective), ..tea() }).await;
            let found = audit(b).await;
            assert_eq!(told(&found), [(AuditKind::Duplicate, vec![semantic, reflective])]);
            assert!(found.findings[0].message.contains("layers"));
        });
    });
}

#[test]
fn turns_are_duplicates_only_at_the_same_time_of_the_same_session_and_speaker() {
    on_every_store(|b| {
        block_on(async {
            let at = "2025-01-01T08:00:00Z";
            let first = say(b, turn("s1", "Ada", at, "Good morning!")).await;
            say(b, turn("s2", "Ada", at, "good morning")).await;
            say(b, turn("s1", "Ben", at, "good morning")).await;
            say(b, turn("s1", "Ada", "2025-01-01T09:00:00Z", "good morning")).await;
            say(b, NewMemory { occurred_at: None, ..turn("s1", "Ada", at, "good morning") }).await;
            say(b, NewMemory { occurred_at: None, ..turn("s1", "Ada", at, "good morning") }).await;
            let again = say(b, turn("s1", "Ada", at, "good morning...")).await;
            assert_eq!(told(&audit(b).await), [(AuditKind::Duplicate, vec![first, again])]);
        });
    });
}

#[test]
fn two_values_for_one_thing_are_a_contradiction_until_one_is_ended() {
    on_every_store(|b| {
        block_on(async {
            let porto = say(b, fact("Ada lives in Porto.")).await;
            say(b, fact("Ada likes tea.")).await;
            say(b, fact("Ada likes coffee.")).await;
            let ghent = say(b, NewMemory::new("Ada lives in Ghent.")).await;
            let not = say(b, fact("Ada does not like tea.")).await;
            let found = audit(b).await;
            assert_eq!(found.findings.len(), 2);
            assert_eq!(told(&found)[0], (AuditKind::Contradiction, vec![porto, ghent]));
            assert_eq!(found.findings[1].ids[1], not);
            for word in ["Ada", "Porto", "tea"] {
                assert!(
                    found.findings.iter().all(|f| !f.message.contains(word) && !f.fix.contains(word)),
                    "content leaks"
                );
            }
            let ended = MemoryUpdate { superseded_by: Some(Some(ghent)), ..MemoryUpdate::default() };
            b.mem.update(porto, ended).await.unwrap();
            assert_eq!(audit(b).await.findings.len(), 1);
        });
    });
}

#[test]
fn what_held_at_different_times_is_no_contradiction() {
    on_every_store(|b| {
        block_on(async {
            let office = |town: &str, from: &str, to: Option<&str>| NewMemory {
                valid_from: Some(time(from)),
                valid_to: to.map(time),
                ..fact(&format!("The office is in {town}."))
            };
            say(b, office("Gdansk", "2020-01-01", Some("2023-01-01"))).await;
            let warsaw = say(b, office("Warsaw", "2023-01-01", None)).await;
            assert!(audit(b).await.findings.is_empty());
            let lodz = say(b, office("Lodz", "2024-01-01", Some("2025-01-01"))).await;
            assert_eq!(told(&audit(b).await), [(AuditKind::Contradiction, vec![warsaw, lodz])]);
        });
    });
}

#[test]
fn a_series_of_readings_is_no_contradiction() {
    on_every_store(|b| {
        block_on(async {
            for level in 0..8 {
                say(b, fact(&format!("The water level is {level}.5"))).await;
            }
            assert_eq!(audit(b).await.findings.len(), 1);
            say(b, fact("The water level is 9.5")).await;
            assert!(audit(b).await.findings.is_empty());
        });
    });
}

/// An export whose memories are changed: what no verb makes yet.
async fn reimported(b: &Bench, change: impl Fn(&mut serde_json::Value)) {
    let path = b.folder.path().join("dump.jsonl");
    b.mem.export(&path).await.unwrap();
    b.mem.forget(rae_core::Forget::Scope(rae_core::ForgetScope::Project, "default".into())).await.unwrap();
    let lines = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<String> = lines
        .lines()
        .map(|line| {
            let mut line: serde_json::Value = serde_json::from_str(line).unwrap();
            if let Some(memory) = line.get_mut("memory") {
                change(memory);
            }
            line.to_string()
        })
        .collect();
    std::fs::write(&path, lines.join("\n") + "\n").unwrap();
    b.mem.import(&path).await.unwrap();
}

#[test]
fn a_memory_that_outlived_its_sources_is_an_orphan() {
    on_every_store(|b| {
        block_on(async {
            let source = say(b, NewMemory { ttl: Some(60.0), ..fact("Kit lost a key on Monday.") }).await;
            let other = say(b, fact("Kit lost a key on Friday.")).await;
            let lesson = say(b, fact("Kit loses keys.")).await;
            let both = say(b, fact("Kit lost two keys.")).await;
            reimported(b, |memory| {
                let id = memory["id"].as_str().unwrap().to_owned();
                if id == lesson.to_string() {
                    memory["provenance"] = serde_json::json!({ "derived_from": [source] });
                } else if id == both.to_string() {
                    memory["provenance"] = serde_json::json!({ "derived_from": [source, other] });
                }
            })
            .await;
            assert!(audit(b).await.findings.is_empty());
            b.clock.advance_seconds(61);
            let found = audit(b).await;
            assert_eq!((told(&found), found.checked), (vec![(AuditKind::Orphan, vec![lesson])], 3));
            assert!(found.findings[0].fix.contains(&format!("forget(\"{lesson}\")")));
            b.mem.maintain(None).await.unwrap();
            assert_eq!(told(&audit(b).await), [(AuditKind::Orphan, vec![lesson])]);
        });
    });
}

#[test]
fn a_successor_that_is_gone_is_named() {
    on_every_store(|b| {
        block_on(async {
            let old = say(b, fact("The office is in Gdansk.")).await;
            let new = say(b, fact("The office is in Warsaw.")).await;
            let by = |id| MemoryUpdate { superseded_by: Some(id), ..MemoryUpdate::default() };
            b.mem.update(old, by(Some(new))).await.unwrap();
            assert!(audit(b).await.findings.is_empty());
            b.mem.forget(rae_core::Forget::Id(new)).await.unwrap();
            let found = audit(b).await;
            assert_eq!(told(&found), [(AuditKind::Orphan, vec![old])]);
            assert!(found.findings[0].message.contains(&new.to_string()));
            b.mem.update(old, by(None)).await.unwrap();
            assert!(audit(b).await.findings.is_empty());
        });
    });
}

#[test]
fn the_limit_is_checked_and_shared_by_the_kinds_in_a_fixed_order() {
    on_every_store(|b| {
        block_on(async {
            for bad in [-1, 0, 1_001, i64::MAX, i64::MIN] {
                let error = b.mem.audit(AuditOptions { limit: bad, ..AuditOptions::default() }).await.unwrap_err();
                assert_eq!((error.kind(), error.code()), (ErrorKind::InvalidInput, "invalid_limit"));
            }
            for i in 0..20 {
                say(b, fact(&format!("Note {i} stands here for ever"))).await;
                say(b, fact(&format!("note {i} stands here for ever."))).await;
            }
            say(b, fact("The door code is 4711.")).await;
            say(b, fact("The door code is 4712.")).await;
            let all = audit(b).await;
            assert_eq!((all.findings.len(), all.truncated), (21, false));
            let sorted = |f: &[AuditFinding]| f.is_sorted_by_key(|f| (f.kind, f.ids[0]));
            assert!(sorted(&all.findings));
            let some = b.mem.audit(AuditOptions { limit: 5, ..AuditOptions::default() }).await.unwrap();
            assert_eq!((some.findings.len(), some.truncated, some.checked), (5, true, 42));
            assert_eq!(some.findings[..4], all.findings[..4]);
            assert_eq!(some.findings[4], all.findings[20], "one kind does not crowd out another");
            assert!(!b.mem.audit(AuditOptions { limit: 21, ..AuditOptions::default() }).await.unwrap().truncated);
        });
    });
}

#[test]
fn an_audit_sees_its_project_alone_and_changes_nothing() {
    on_every_store(|b| {
        block_on(async {
            say(b, fact("The door code is 4711.")).await;
            let other = b.mem.with_scope(rae_core::model::Scope::new("default", "other").unwrap());
            other.remember(fact("The door code is 4712.")).await.unwrap();
            let before = b.mem.stats().await.unwrap();
            assert!(audit(b).await.findings.is_empty());
            assert_eq!(b.mem.stats().await.unwrap(), before);
        });
    });
}

#[test]
fn a_text_said_too_often_for_one_finding_says_that_there_is_more() {
    on_every_store(|b| {
        block_on(async {
            for i in 0..40 {
                say(b, fact(&format!("The ferry{}leaves late.", ", ".repeat(i + 1)))).await;
            }
            let found = audit(b).await;
            assert_eq!((found.findings.len(), found.findings[0].ids.len(), found.truncated), (1, 32, true));
        });
    });
}

#[test]
fn embed_gives_the_vectors_that_remember_stores() {
    on_every_store(|b| {
        block_on(async {
            let id = say(b, fact("  Caroline adopted a puppy. ")).await;
            let texts = ["Caroline adopted a puppy.", "", " \n", "zzqqxxy"];
            let vectors = b.mem.embed(&texts, EmbedRole::Document).await.unwrap();
            assert_eq!(b.mem.vector(id).await.unwrap(), vectors[0]);
            let norm: f32 = vectors[0].as_ref().unwrap().iter().map(|x| x * x).sum();
            assert!((norm - 1.0).abs() < 1e-5);
            assert_eq!((vectors.len(), &vectors[1], &vectors[2]), (4, &None, &None));
            assert!(b.mem.embed(&[], EmbedRole::Query).await.unwrap().is_empty());
            let many = vec!["puppy"; 1_000];
            assert_eq!(b.mem.embed(&many, EmbedRole::Query).await.unwrap().len(), 1_000);
        });
    });
}

#[test]
fn embed_and_vector_refuse_what_is_too_much_or_not_there() {
    on_every_store(|b| {
        block_on(async {
            let many = vec!["x"; 1_001];
            assert_eq!(b.mem.embed(&many, EmbedRole::Query).await.unwrap_err().code(), "too_many_texts");
            let long = "x".repeat((1 << 20) + 1);
            let error = b.mem.embed(&["fine", &long], EmbedRole::Document).await.unwrap_err();
            assert_eq!((error.code(), &error.details().unwrap()["item"]), ("text_too_long", &serde_json::json!(1)));
            assert!(b.mem.embed(&[&long[1..]], EmbedRole::Document).await.is_ok());
            let gone = say(b, fact("Gone.")).await;
            b.mem.forget(rae_core::Forget::Id(gone)).await.unwrap();
            assert_eq!(b.mem.vector(gone).await.unwrap_err().kind(), ErrorKind::NotFound);
        });
    });
}
