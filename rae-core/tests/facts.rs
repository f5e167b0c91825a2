//! Facts that are read from what was said, as their users meet them, on every embedded store.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)] // a test reports by panicking

mod common;

use common::{Bench, on_every_store, time, turn};
use rae_core::{
    AuditKind, AuditOptions, ContextOptions, Forget, ForgetScope, Kind, ListOptions, Memory, MemoryId, MemoryUpdate,
    NewMemory, Rae, RecallOptions, WorkOptions, block_on,
    model::{JobKind, TrustLevel},
};

fn said(at: &str, content: &str) -> NewMemory {
    NewMemory { infer: true, ..turn("s", "Ada", at, content) }
}

/// Remembers and reads.
async fn tell(b: &Bench, new: NewMemory) -> MemoryId {
    let receipt = b.mem.remember(new).await.unwrap();
    assert!(receipt.degraded.is_empty(), "{:?}", receipt.degraded);
    b.mem.maintain(None).await.unwrap();
    receipt.id
}

async fn facts(mem: &Rae) -> Vec<Memory> {
    let page = mem.list(ListOptions { limit: 1_000, ..ListOptions::default() }).await.unwrap();
    page.items.into_iter().filter(|m| m.kind == Kind::Fact).collect()
}

/// Every fact: its words, from when and until when it holds.
async fn told(b: &Bench) -> Vec<(String, String, Option<String>)> {
    let day = |t: rae_core::Timestamp| t.to_string().chars().take(10).collect::<String>();
    let mut all: Vec<_> = facts(&b.mem)
        .await
        .into_iter()
        .map(|m| {
            let (from, to) = (day(m.valid_from.unwrap()), m.valid_to.map(day));
            (m.content, from, to)
        })
        .collect();
    all.sort();
    all
}

fn is(content: &str, from: &str, to: Option<&str>) -> (String, String, Option<String>) {
    (content.to_owned(), from.to_owned(), to.map(str::to_owned))
}

#[test]
fn a_later_fact_replaces_an_earlier_one_and_as_of_still_finds_it() {
    on_every_store(|b| {
        block_on(async {
            let source = tell(b, said("2025-01-01", "I live in Oslo.")).await;
            let first = facts(&b.mem).await.remove(0);
            assert_eq!(first.provenance.derived_from, [source]);
            assert_eq!((first.kind, first.layer.as_str(), first.witness_count), (Kind::Fact, "semantic", 1));
            let claim = first.claim.clone().unwrap();
            assert_eq!(
                (claim.subject.as_str(), claim.relation.as_str(), claim.object.as_str()),
                ("Ada", "lives_in", "Oslo")
            );
            tell(b, said("2025-06-01", "I now live in Bergen.")).await;
            assert_eq!(
                told(b).await,
                [
                    is("Ada lives in Bergen.", "2025-06-01", None),
                    is("Ada lives in Oslo.", "2025-01-01", Some("2025-06-01"))
                ]
            );
            let old = b.mem.get(first.id).await.unwrap();
            let new = facts(&b.mem).await.into_iter().find(|m| m.id != old.id).unwrap();
            assert_eq!((old.superseded_by, old.version), (Some(new.id), 2));
            assert_eq!(b.mem.history(old.id).await.unwrap().len(), 2);
            let kinds = Some(vec![Kind::Fact]);
            let now = RecallOptions { kinds: kinds.clone(), ..RecallOptions::default() };
            let then = RecallOptions { kinds, as_of: Some(time("2025-03-01")), ..RecallOptions::default() };
            for (options, content) in [(now, "Ada lives in Bergen."), (then, "Ada lives in Oslo.")] {
                let hits = b.mem.recall("Where does Ada live?", options).await.unwrap().hits;
                assert_eq!(hits.iter().map(|h| h.content.as_str()).collect::<Vec<_>>(), [content]);
            }
        });
    });
}

#[test]
fn facts_of_the_past_come_in_any_order_to_the_same_end() {
    let turns = [
        said("2025-01-01", "I live in Oslo."),
        said("2025-03-01", "I live in Rome."),
        said("2025-06-01", "I live in Bergen."),
    ];
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0], [2, 0, 1], [0, 2, 1], [1, 0, 2]] {
        on_every_store(|b| {
            block_on(async {
                for i in order {
                    tell(b, turns[i].clone()).await;
                }
                assert_eq!(
                    told(b).await,
                    [
                        is("Ada lives in Bergen.", "2025-06-01", None),
                        is("Ada lives in Oslo.", "2025-01-01", Some("2025-03-01")),
                        is("Ada lives in Rome.", "2025-03-01", Some("2025-06-01")),
                    ],
                    "{order:?}"
                );
            });
        });
    }
}

#[test]
fn a_fact_said_again_merges_and_reading_again_changes_nothing() {
    on_every_store(|b| {
        block_on(async {
            tell(b, said("2025-02-01", "I like tea.")).await;
            tell(b, said("2025-01-01", "I really like tea!")).await;
            let before = facts(&b.mem).await;
            assert_eq!(told(b).await, [is("Ada likes tea.", "2025-01-01", None)]);
            assert_eq!((before[0].witness_count, before[0].provenance.derived_from.len()), (2, 2));
            // The same turn once more merges, and is read once more.
            let again = b.mem.remember(said("2025-01-01", "I really like tea!")).await.unwrap();
            assert!(again.merged && b.mem.stats().await.unwrap().jobs.queued > 0);
            b.mem.maintain(None).await.unwrap();
            assert_eq!(facts(&b.mem).await, before);
            assert_eq!(b.mem.stats().await.unwrap().jobs.queued, 0);
        });
    });
}

#[test]
fn what_was_first_said_without_enrichment_is_read_when_it_is_asked_for() {
    on_every_store(|b| {
        block_on(async {
            let turn = said("2025-01-01", "I live in Oslo.");
            tell(b, NewMemory { infer: false, ..turn.clone() }).await;
            assert_eq!(told(b).await.len(), 0);
            assert!(b.mem.remember(turn).await.unwrap().merged);
            b.mem.maintain(None).await.unwrap();
            assert_eq!(told(b).await.len(), 1);
        });
    });
}

#[test]
fn an_end_closes_a_fact_and_values_of_one_instant_stand_beside_each_other() {
    on_every_store(|b| {
        block_on(async {
            tell(b, said("2025-01-01", "I work at Acme.")).await;
            tell(b, said("2025-05-01", "I no longer work at Acme.")).await;
            tell(b, said("2025-07-01", "I live in Oslo.")).await;
            tell(b, NewMemory { session_id: Some("t".into()), ..said("2025-07-01", "I live in Rome.") }).await;
            assert_eq!(
                told(b).await,
                [
                    is("Ada lives in Oslo.", "2025-07-01", None),
                    is("Ada lives in Rome.", "2025-07-01", None),
                    is("Ada works at Acme.", "2025-01-01", Some("2025-05-01")),
                ]
            );
            tell(b, said("2025-08-01", "My wedding is on 3 September.")).await;
            tell(b, NewMemory { session_id: Some("t".into()), ..said("2025-08-01", "My wedding is on 4 September.") })
                .await;
            let found = b.mem.audit(AuditOptions::default()).await.unwrap().findings;
            let kinds: Vec<_> = found.iter().map(|f| (f.kind, f.ids.len())).collect();
            assert_eq!(kinds, [(AuditKind::Contradiction, 2); 2], "{found:?}");
        });
    });
}

#[test]
fn a_replacement_can_be_taken_back_and_stays_so() {
    on_every_store(|b| {
        block_on(async {
            tell(b, said("2025-01-01", "I live in Oslo.")).await;
            let wrong = said("2025-06-01", "I live in Bergen.");
            let source = tell(b, wrong.clone()).await;
            let all = facts(&b.mem).await;
            let (old, new) = (all[0].id, all[1].id);
            let undo = MemoryUpdate { superseded_by: Some(None), valid_to: Some(None), ..MemoryUpdate::default() };
            b.mem.update(old, undo).await.unwrap();
            // Read again before the new one goes: what somebody took back is not done again.
            b.mem.remember(wrong).await.unwrap();
            b.mem.maintain(None).await.unwrap();
            assert_eq!(b.mem.get(old).await.unwrap().valid_to, None);
            b.mem.forget(Forget::Id(new)).await.unwrap();
            assert_eq!(told(b).await, [is("Ada lives in Oslo.", "2025-01-01", None)]);
            assert!(b.mem.get(source).await.is_ok(), "what was said stays");
            // The fact can be said again: it merges.
            tell(b, said("2025-07-01", "I live in Oslo.")).await;
            assert_eq!(b.mem.get(old).await.unwrap().witness_count, 2);
        });
    });
}

#[test]
fn what_was_read_from_a_memory_goes_with_it_and_users_are_never_compared() {
    on_every_store(|b| {
        block_on(async {
            let of = |user: &str, at, text| NewMemory { user_id: Some(user.into()), ..said(at, text) };
            let source = tell(b, of("u", "2025-01-01", "I live in Oslo.")).await;
            tell(b, of("v", "2025-06-01", "I live in Bergen.")).await;
            assert!(told(b).await.iter().all(|(_, _, to)| to.is_none()));
            b.mem.forget(Forget::Id(source)).await.unwrap();
            assert_eq!(told(b).await, [is("Ada lives in Bergen.", "2025-06-01", None)]);
        });
    });
}

#[test]
fn junk_gives_nothing_and_recalled_memories_are_not_news() {
    on_every_store(|b| {
        block_on(async {
            let block = "<memory source=\"rae\">\n- I live in Oslo.\n</memory>";
            for text in
                ["ok thanks", block, "You are a helpful assistant. My name is Ada.", "# CLAUDE.md\nI live in Oslo."]
            {
                tell(b, said("2025-01-01", text)).await;
            }
            tell(b, NewMemory { role: Some("assistant".into()), ..said("2025-01-01", "I live in Oslo.") }).await;
            assert_eq!(told(b).await.len(), 0);
            tell(b, said("2025-01-02", &format!("{block} I like tea."))).await;
            assert_eq!(told(b).await, [is("Ada likes tea.", "2025-01-02", None)]);
        });
    });
}

#[test]
fn workers_that_race_end_as_one_alone() {
    let turns = |mem: Rae| async move {
        for i in 0..24 {
            let (place, tea) = (format!("I live in Town{}.", ["a", "b", "c"][i % 3]), format!("I like tea{}.", i % 2));
            for text in [place, tea] {
                let at = format!("2025-01-{:02}", i + 1);
                mem.remember(NewMemory { speaker: Some("Ada".into()), ..said(&at, &text) }).await.unwrap();
            }
        }
    };
    let folder = tempfile::tempdir().unwrap();
    let open = |name: &str| block_on(Rae::builder().path(folder.path().join(name)).open()).unwrap();
    let (alone, many) = (open("alone.rae"), open("many.rae"));
    block_on(turns(alone.clone()));
    block_on(turns(many.clone()));
    block_on(alone.maintain(None)).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let mem = many.clone();
            scope.spawn(move || {
                while let Some(run) = block_on(mem.run_due_job(&WorkOptions::default())).unwrap() {
                    assert_eq!((run.kind, run.error), (JobKind::Extract, None));
                }
            });
        }
    });
    let shown = |mem: &Rae| {
        let mut all: Vec<_> = block_on(facts(mem)).into_iter().map(|m| (m.content, m.valid_from, m.valid_to)).collect();
        all.sort();
        all
    };
    // A place that was lived in again and again is one fact each time; nothing overlaps, and the last one holds.
    let (expected, found) = (shown(&alone), shown(&many));
    let open_ended = |all: &[(String, Option<rae_core::Timestamp>, Option<rae_core::Timestamp>)]| {
        all.iter().filter(|(_, _, to)| to.is_none()).map(|(text, ..)| text.clone()).collect::<Vec<_>>()
    };
    assert_eq!(open_ended(&expected), ["Ada likes tea0.", "Ada likes tea1.", "Ada lives in Townc."]);
    assert_eq!(expected, found);
    block_on(alone.close()).unwrap();
    block_on(many.close()).unwrap();
}

#[test]
fn a_store_may_be_opened_to_read_facts_from_all_that_it_is_told() {
    block_on(async {
        let mem = Rae::builder().enrich(rae_core::Enrich::Rules).open().await.unwrap();
        mem.remember(turn("s", "Ada", "2025-01-01", "I live in Oslo.")).await.unwrap();
        let ran = mem.maintain(None).await.unwrap().ran;
        assert_eq!((ran.get("facts"), facts(&mem).await.len()), (Some(&1), 1));
        mem.close().await.unwrap();
    });
}

#[test]
fn who_speaks_without_a_name_is_somebody_else_in_every_session() {
    on_every_store(|b| {
        block_on(async {
            let nameless = |session: &str, at: &str, content: &str| NewMemory {
                speaker: None,
                session_id: Some(session.to_owned()),
                ..said(at, content)
            };
            tell(b, nameless("ada", "2025-01-01", "I live in Oslo. I'm allergic to peanuts. Max lives in Lima.")).await;
            tell(b, nameless("bob", "2025-02-01", "I live in Rome. My name is Bob. Max lives in Kyoto.")).await;
            tell(b, nameless("ada", "2025-03-01", "I now live in Bergen.")).await;
            assert_eq!(
                told(b).await,
                [
                    is("Bob same as user of bob", "2025-02-01", None),
                    is("Max lives in Kyoto.", "2025-02-01", None),
                    is("Max lives in Lima.", "2025-01-01", None),
                    is("user of ada is allergic to peanuts.", "2025-01-01", None),
                    is("user of ada lives in Bergen.", "2025-03-01", None),
                    is("user of ada lives in Oslo.", "2025-01-01", Some("2025-03-01")),
                    is("user of bob is named Bob.", "2025-02-01", None),
                    is("user of bob lives in Rome.", "2025-02-01", None),
                ]
            );
            let filter = Some(serde_json::json!({ "metadata.session_id": "bob" }));
            let of_bob = b.mem.list(ListOptions { filter, ..ListOptions::default() }).await.unwrap().items;
            assert_eq!(of_bob.len(), 4);
            let names = |near: rae_core::Neighborhood| near.neighbors.into_iter().map(|n| n.name).collect::<Vec<_>>();
            let near = b.mem.neighbors("user of ada", Default::default()).await.unwrap();
            assert_eq!(names(near), ["Bergen", "peanuts"]);
            // No summary of the project tells of one, no audit holds one against another, and no context gives one to another.
            let kinds = |m: &Memory| m.kind == Kind::EntitySummary;
            let all = b.mem.list(ListOptions { limit: 1_000, ..ListOptions::default() }).await.unwrap().items;
            assert!(!all.iter().any(kinds), "{all:?}");
            let audit = b.mem.audit(AuditOptions::default()).await.unwrap();
            assert!(audit.findings.is_empty(), "{audit:?}");
            let asked = ContextOptions { session_id: Some("ada".to_owned()), ..ContextOptions::default() };
            let context = b.mem.context(Some("Where does the user live?"), asked).await.unwrap();
            assert!(context.text.contains("Bergen") && !context.text.contains("user of bob"), "{}", context.text);
            // Of two who are called alike nobody is the other.
            tell(b, nameless("cy", "2025-04-01", "My name is Bob.")).await;
            let is_joined =
                |(content, _, to): &(String, String, Option<String>)| content.contains("same as") && to.is_none();
            assert!(!told(b).await.iter().any(is_joined));
        });
    });
}

#[test]
fn the_same_said_without_a_name_in_two_sessions_stays_two_facts_and_goes_with_its_own() {
    on_every_store(|b| {
        block_on(async {
            for session in ["s", "t"] {
                let turn = NewMemory {
                    speaker: None,
                    session_id: Some(session.to_owned()),
                    ..said("2025-01-01", "Max lives in Lima.")
                };
                tell(b, turn).await;
            }
            let before = facts(&b.mem).await;
            assert_eq!(before.iter().map(|m| m.witness_count).collect::<Vec<_>>(), [1, 1]);
            b.mem.forget(Forget::Scope(ForgetScope::Session, "s".into())).await.unwrap();
            assert_eq!(told(b).await, [is("Max lives in Lima.", "2025-01-01", None)]);
        });
    });
}

#[test]
fn a_fact_and_the_words_it_was_read_from_are_no_duplicates() {
    on_every_store(|b| {
        block_on(async {
            tell(b, NewMemory { infer: true, ..NewMemory::new("Ada lives in Oslo.") }).await;
            b.mem.remember(NewMemory::new("ada lives in OSLO")).await.unwrap();
            let audit = b.mem.audit(AuditOptions { fix: true, ..AuditOptions::default() }).await.unwrap();
            // The two texts are; the fact is left alone.
            assert_eq!(audit.findings.iter().map(|f| f.ids.len()).collect::<Vec<_>>(), [2], "{audit:?}");
            let fact = facts(&b.mem).await.remove(0);
            assert_eq!((fact.version, fact.superseded_by), (1, None));
            assert!(!audit.findings[0].ids.contains(&fact.id));
            let near = b.mem.neighbors("Ada", Default::default()).await.unwrap().neighbors;
            assert_eq!(near.into_iter().map(|n| n.name).collect::<Vec<_>>(), ["Oslo"]);
        });
    });
}

#[test]
fn little_trusted_words_and_those_of_a_third_person_end_nothing_that_somebody_said_of_himself() {
    on_every_store(|b| {
        block_on(async {
            let by = |speaker: &str, trust, at: &str, content: &str| NewMemory {
                speaker: Some(speaker.to_owned()),
                trust_level: trust,
                ..said(at, content)
            };
            let (high, low) = (Some(TrustLevel::High), Some(TrustLevel::Low));
            tell(b, by("Ada", high, "2025-01-01", "I live in Oslo.")).await;
            tell(b, by("Mallory", low, "2025-02-01", "Ada lives in Rome. Ada no longer lives in Oslo.")).await;
            tell(b, by("Bob", None, "2025-01-01", "I live in Lima.")).await;
            tell(b, by("Eve", high, "2025-02-01", "Bob lives in Kyoto.")).await;
            let beside = [
                is("Ada lives in Oslo.", "2025-01-01", None),
                is("Ada lives in Rome.", "2025-02-01", None),
                is("Bob lives in Kyoto.", "2025-02-01", None),
                is("Bob lives in Lima.", "2025-01-01", None),
            ];
            assert_eq!(told(b).await, beside);
            let audit = b.mem.audit(AuditOptions { fix: true, ..AuditOptions::default() }).await.unwrap();
            let kinds: Vec<_> = audit.findings.iter().map(|f| (f.kind, f.change)).collect();
            assert_eq!(kinds, [(AuditKind::Contradiction, None), (AuditKind::Contradiction, None)]);
            assert_eq!(told(b).await, beside);
            // What he says himself, later, ends what he said himself.
            tell(b, by("Bob", None, "2025-03-01", "I live in Paris.")).await;
            let of_bob: Vec<_> = told(b).await.into_iter().filter(|(content, ..)| content.starts_with("Bob")).collect();
            assert_eq!(of_bob[0], is("Bob lives in Kyoto.", "2025-02-01", None));
            assert_eq!(of_bob[1], is("Bob lives in Lima.", "2025-01-01", Some("2025-03-01")));
        });
    });
}

#[test]
fn what_is_kept_out_is_told_with_its_reason() {
    on_every_store(|b| {
        block_on(async {
            for (role, content) in
                [("user", "ok"), ("user", "> I live in Quito"), ("assistant", "I live in Rome."), ("tool", "I am Bob.")]
            {
                let new = NewMemory { role: Some(role.to_owned()), ..said("2025-01-01", content) };
                b.mem.remember(new).await.unwrap();
            }
            let ran = b.mem.maintain(None).await.unwrap().ran;
            let told: Vec<_> =
                ran.iter().filter(|(name, _)| name.starts_with("kept_out")).map(|(n, c)| (n.as_str(), *c)).collect();
            assert_eq!(
                told,
                [("kept_out", 4), ("kept_out_acknowledgement", 1), ("kept_out_machine", 2), ("kept_out_quoted", 1)]
            );
            assert!(!b.mem.maintain(None).await.unwrap().ran.contains_key("kept_out"));
            let kept_out = b.mem.audit(AuditOptions::default()).await.unwrap().kept_out;
            let told: Vec<_> = kept_out.iter().map(|(reason, count)| (reason.as_str(), *count)).collect();
            assert_eq!(told, [("acknowledgement", 1), ("machine", 2), ("quoted", 1)]);
        });
    });
}

#[test]
fn a_role_is_no_name_and_tells_programs_in_any_case() {
    on_every_store(|b| {
        block_on(async {
            for session in ["a", "b"] {
                tell(b, NewMemory { infer: true, ..turn(session, "User", "2025-01-01", "I live in Oslo.") }).await;
            }
            let subjects: Vec<String> = facts(&b.mem).await.into_iter().map(|m| m.claim.unwrap().subject).collect();
            assert_eq!(subjects, ["user of a", "user of b"], "who speaks there may be two");
            let owned = NewMemory { user_id: Some("ada".to_owned()), ..said("2025-01-02", "I live in Rome.") };
            tell(b, NewMemory { speaker: Some("user".to_owned()), ..owned }).await;
            assert!(facts(&b.mem).await.iter().any(|m| m.content == "ada lives in Rome."));
            let before = facts(&b.mem).await.len();
            let answer =
                NewMemory { role: Some("Assistant".to_owned()), ..said("2025-01-03", "I am allergic to cats.") };
            tell(b, answer).await;
            assert_eq!(facts(&b.mem).await.len(), before);
        });
    });
}

#[test]
fn a_fact_holds_no_longer_than_the_memory_that_says_it() {
    on_every_store(|b| {
        block_on(async {
            let (valid_from, valid_to) = (Some(time("2020-01-01")), Some(time("2021-01-01")));
            tell(b, NewMemory { valid_from, valid_to, ..said("2020-01-01", "I live in Oslo.") }).await;
            assert_eq!(told(b).await, [is("Ada lives in Oslo.", "2020-01-01", Some("2021-01-01"))]);
        });
    });
}

#[test]
fn what_was_taken_back_is_found_at_no_time() {
    on_every_store(|b| {
        block_on(async {
            let id = tell(b, said("2020-06-01", "I live in Oslo.")).await;
            let content = Some("I live in Rome.".to_owned());
            b.mem.update(id, MemoryUpdate { content, ..MemoryUpdate::default() }).await.unwrap();
            b.mem.maintain(None).await.unwrap();
            let as_of = Some(time("2020-06-01"));
            let options = RecallOptions { kinds: Some(vec![Kind::Fact]), as_of, ..RecallOptions::default() };
            let hits = b.mem.recall("Where does Ada live?", options).await.unwrap().hits;
            assert_eq!(hits.into_iter().map(|hit| hit.content).collect::<Vec<_>>(), ["Ada lives in Rome."]);
            assert!(b.mem.audit(AuditOptions::default()).await.unwrap().findings.is_empty());
        });
    });
}
