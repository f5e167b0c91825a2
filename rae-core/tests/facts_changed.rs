//! What becomes of facts, and of all else that was made from a memory, when the memory is changed.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)] // a test reports by panicking

mod common;

use common::{Bench, on_every_store, time, turn};
use rae_core::{
    AuditOptions, Enrich, EventType, Forget, Kind, ListOptions, Memory, MemoryId, MemoryUpdate, NewEvent, NewMemory,
    NewRelation, Rae, RecallOptions, ReflectOptions, SessionEnd, SessionOutcome, block_on,
    model::{InfoClass, TrustLevel},
};

async fn tell(b: &Bench, at: &str, content: &str) -> MemoryId {
    let new = NewMemory { infer: true, ..turn("s", "Ada", at, content) };
    let id = b.mem.remember(new).await.unwrap().id;
    b.mem.maintain(None).await.unwrap();
    id
}

async fn change(b: &Bench, id: MemoryId, update: MemoryUpdate) {
    b.mem.update(id, update).await.unwrap();
    b.mem.maintain(None).await.unwrap();
}

fn content(text: &str) -> MemoryUpdate {
    MemoryUpdate { content: Some(text.to_owned()), ..MemoryUpdate::default() }
}

async fn facts(mem: &Rae) -> Vec<Memory> {
    let page = mem.list(ListOptions { limit: 1_000, ..ListOptions::default() }).await.unwrap();
    page.items.into_iter().filter(|m| m.kind == Kind::Fact).collect()
}

/// What holds: its words and since when.
async fn holds(b: &Bench) -> Vec<(String, String)> {
    let day = |t: rae_core::Timestamp| t.to_string().chars().take(10).collect::<String>();
    let all = facts(&b.mem).await.into_iter().filter(|m| m.valid_to.is_none());
    let mut all: Vec<_> = all.map(|m| (m.content, day(m.valid_from.unwrap()))).collect();
    all.sort();
    all
}

fn is(content: &str, from: &str) -> (String, String) {
    (content.to_owned(), from.to_owned())
}

#[test]
fn a_corrected_memory_takes_back_what_it_no_longer_says_and_is_read_anew() {
    on_every_store(|b| {
        block_on(async {
            tell(b, "2025-01-01", "I live in Bergen.").await;
            let id = tell(b, "2025-02-01", "I live in Oslo. I like tea.").await;
            let oslo = facts(&b.mem).await.into_iter().find(|m| m.content.contains("Oslo")).unwrap();
            change(b, id, content("I live in Rome. I like tea.")).await;
            assert_eq!(holds(b).await, [is("Ada likes tea.", "2025-02-01"), is("Ada lives in Rome.", "2025-02-01")]);
            assert!(b.mem.audit(AuditOptions::default()).await.unwrap().findings.is_empty());
            // What it had ended holds again where nothing else is said.
            change(b, id, content("I like tea.")).await;
            assert_eq!(holds(b).await, [is("Ada likes tea.", "2025-02-01"), is("Ada lives in Bergen.", "2025-01-01")]);
            // Said once more it is read once more, and doing it again changes nothing.
            change(b, id, content("I live in Oslo. I like tea.")).await;
            assert_eq!(holds(b).await, [is("Ada likes tea.", "2025-02-01"), is("Ada lives in Oslo.", "2025-02-01")]);
            let before = facts(&b.mem).await;
            change(b, id, MemoryUpdate { valid_from: Some(Some(time("2025-02-01"))), ..MemoryUpdate::default() }).await;
            assert_eq!(facts(&b.mem).await, before);
            // It is the same one, and its history tells that it was away.
            let again = b.mem.get(oslo.id).await.unwrap();
            assert_eq!((again.version, again.metadata.contains_key("withdrawn")), (3, false));
            let history = b.mem.history(oslo.id).await.unwrap();
            let ends: Vec<_> = history.iter().map(|v| v.memory.valid_to.is_some()).collect();
            assert_eq!(ends, [false, true, false]);
        });
    });
}

#[test]
fn a_withdrawn_fact_can_be_taken_back() {
    on_every_store(|b| {
        block_on(async {
            let id = tell(b, "2025-02-01", "I live in Oslo.").await;
            change(b, id, content("Nothing to see here today.")).await;
            assert_eq!(holds(b).await, []);
            let change =
                b.mem.changes(Default::default()).await.unwrap().items.into_iter().find(|c| c.undoable).unwrap();
            assert_eq!(change.action, "facts");
            b.mem.undo(change.id).await.unwrap();
            assert_eq!(holds(b).await, [is("Ada lives in Oslo.", "2025-02-01")]);
        });
    });
}

#[test]
fn a_fact_that_others_say_loses_a_source_and_one_of_a_turn_that_is_over_ends_with_it() {
    on_every_store(|b| {
        block_on(async {
            tell(b, "2025-01-01", "I like tea.").await;
            let again = tell(b, "2025-02-01", "I really like tea! I live in Oslo.").await;
            let relation = NewRelation {
                source_id: Some(again),
                confidence: Some(0.8),
                ..NewRelation::new("Ada", "knows", "Bob")
            };
            b.mem.relate(relation).await.unwrap();
            let until = Some(Some(time("2025-06-01")));
            change(b, again, MemoryUpdate { content: Some("I live in Oslo.".to_owned()), ..MemoryUpdate::default() })
                .await;
            change(b, again, MemoryUpdate { valid_to: until, ..MemoryUpdate::default() }).await;
            let all = facts(&b.mem).await;
            let of = |text: &str| all.iter().find(|m| m.content.contains(text)).unwrap();
            assert_eq!(
                (of("tea").witness_count, of("tea").provenance.derived_from.len(), of("tea").valid_to),
                (1, 1, None)
            );
            assert_eq!(of("Oslo").valid_to, Some(time("2025-06-01")));
            // What somebody related himself is his.
            assert_eq!(of("knows").version, 1);
        });
    });
}

#[test]
fn a_class_that_goes_up_and_a_life_that_gets_shorter_take_along_what_was_made_from_it_at_once() {
    on_every_store(|b| {
        block_on(async {
            let id = tell(b, "2025-01-01", "I live in Oslo. I work at Acme. I like tea.").await;
            let other = tell(b, "2025-01-02", "I like tea.").await;
            let update = MemoryUpdate {
                info_class: Some(InfoClass::Restricted),
                ttl: Some(Some(60.0)),
                trust_level: Some(Some(TrustLevel::Low)),
                ..MemoryUpdate::default()
            };
            let all = |mem: &Rae| {
                let mem = mem.clone();
                async move { mem.list(ListOptions { limit: 100, ..ListOptions::default() }).await.unwrap().items }
            };
            assert!(all(&b.mem).await.iter().any(|m| m.kind == Kind::EntitySummary));
            b.mem.update(id, update).await.unwrap();
            let source = b.mem.get(id).await.unwrap();
            for memory in all(&b.mem).await.into_iter().filter(|m| m.id != other) {
                assert_eq!(memory.info_class, InfoClass::Restricted, "{}", memory.content);
                let lives_on = memory.content == "Ada likes tea.";
                assert_eq!(memory.expires_at, source.expires_at.filter(|_| !lives_on), "{}", memory.content);
                let follows = memory.id == id || (memory.kind == Kind::Fact && !lives_on);
                assert_eq!(memory.trust_level == Some(TrustLevel::Low), follows, "{}", memory.content);
            }
            let change = b.mem.changes(Default::default()).await.unwrap().items.remove(0);
            assert_eq!((change.action.as_str(), change.undoable), ("derived", true));
        });
    });
}

#[test]
fn a_store_that_reads_all_reads_a_memory_that_says_something_only_now() {
    block_on(async {
        let mem = Rae::builder().enrich(Enrich::Rules).open().await.unwrap();
        let id = mem.remember(turn("s", "Ada", "2025-01-01", "What a day it was yesterday.")).await.unwrap().id;
        mem.maintain(None).await.unwrap();
        mem.update(id, content("I live in Oslo.")).await.unwrap();
        mem.maintain(None).await.unwrap();
        assert_eq!(facts(&mem).await.len(), 1);
    });
}

#[test]
fn a_fact_that_was_withdrawn_ends_nothing_when_the_one_behind_it_is_forgotten() {
    on_every_store(|b| {
        block_on(async {
            tell(b, "2025-03-11", "I live in Berlin.").await;
            let dublin = tell(b, "2025-04-26", "I live in Dublin.").await;
            let vienna = tell(b, "2025-09-12", "I live in Vienna.").await;
            change(b, dublin, content("Hello there.")).await;
            b.mem.forget(Forget::Id(vienna)).await.unwrap();
            b.mem.maintain(None).await.unwrap();
            assert_eq!(holds(b).await, [is("Ada lives in Berlin.", "2025-03-11")]);
        });
    });
}

#[test]
fn an_end_that_is_taken_back_or_moved_is_so_for_what_has_it_from_there() {
    on_every_store(|b| {
        block_on(async {
            let ends = |id| async move { b.mem.get(id).await.unwrap().expires_at };
            let ttl = |ttl| MemoryUpdate { ttl: Some(ttl), ..MemoryUpdate::default() };
            let id = tell(b, "2025-01-01", "I live in Oslo. I like tea.").await;
            let all = facts(&b.mem).await;
            let (oslo, tea) = (all.first().unwrap().id, all.last().unwrap().id);
            change(b, id, ttl(Some(60.0))).await;
            assert!(ends(oslo).await.is_some() && ends(tea).await.is_some());
            // Somebody's own end is not touched.
            change(b, tea, ttl(Some(30.0))).await;
            let own = ends(tea).await;
            for longer in [Some(90.0), None] {
                change(b, id, ttl(longer)).await;
                assert_eq!(ends(oslo).await, ends(id).await);
                assert_eq!(ends(tea).await, own);
            }
        });
    });
}

#[test]
fn a_lesson_of_many_sessions_outlives_an_event_that_is_given_an_end_and_loses_what_it_quotes_of_it() {
    on_every_store(|b| {
        block_on(async {
            let mut answers = Vec::new();
            for session in ["a", "b", "c"] {
                for (what, text) in
                    [(EventType::ToolCall, "pay(1)"), (EventType::ToolResponse, "Error: order 4711 of 'ada' declined")]
                {
                    let metadata = serde_json::json!({ "tool": "pay" }).as_object().cloned();
                    let event = NewEvent { metadata, ..NewEvent::new(what, text) };
                    answers.push(b.mem.log_event(session, event).await.unwrap().id);
                }
                b.mem.end_session(session, SessionEnd::new(SessionOutcome::Failure)).await.unwrap();
                b.mem.reflect(ReflectOptions::default()).await.unwrap();
            }
            let lesson = || async {
                let page = b.mem.reflections(Default::default()).await.unwrap();
                page.items.into_iter().find(|m| m.kind == Kind::Lesson).unwrap()
            };
            assert!(lesson().await.content.contains("4711"), "{}", lesson().await.content);
            let ttl = MemoryUpdate { ttl: Some(Some(1.0)), ..MemoryUpdate::default() };
            // All that say so but the events of one session.
            for id in answers.iter().skip(2) {
                b.mem.update(*id, ttl.clone()).await.unwrap();
                assert_eq!(lesson().await.expires_at, None);
            }
            b.clock.advance_seconds(2);
            b.mem.maintain(None).await.unwrap();
            let left = lesson().await;
            assert_eq!(left.metadata["count"], 3);
            assert!(!left.content.contains("4711"), "{}", left.content);
            // With the last of them it goes.
            for id in answers.iter().take(2) {
                b.mem.update(*id, ttl.clone()).await.unwrap();
            }
            assert!(lesson().await.expires_at.is_some());
        });
    });
}

#[test]
fn a_fact_of_several_memories_is_read_anew_from_the_others_where_its_start_was_of_the_one_that_changed() {
    on_every_store(|b| {
        block_on(async {
            let first = tell(b, "2025-03-01", "I live in Lima.").await;
            let again = tell(b, "2025-07-01", "I live in Lima. I like tea.").await;
            let tea = facts(&b.mem).await.into_iter().find(|m| m.content.contains("tea")).unwrap();
            b.mem.forget(Forget::Id(tea.id)).await.unwrap();
            change(b, first, content("I live in Oslo.")).await;
            // Nothing else of the other one is read once more.
            assert_eq!(holds(b).await, [is("Ada lives in Lima.", "2025-07-01")]);
            let oslo = facts(&b.mem).await.into_iter().find(|m| m.content.contains("Oslo")).unwrap();
            assert_eq!((oslo.valid_from, oslo.valid_to), (Some(time("2025-03-01")), Some(time("2025-07-01"))));
            let withdrawn = b.mem.changes(Default::default()).await.unwrap().items;
            assert!(withdrawn.iter().any(|c| c.action == "facts" && c.undoable));
            assert!(b.mem.audit(AuditOptions::default()).await.unwrap().findings.is_empty());
            // Moved, it begins and ends others when it is said to; the other one stays among its sources.
            change(b, first, content("I live in Lima.")).await;
            assert_eq!(holds(b).await, [is("Ada lives in Lima.", "2025-03-01")]);
            let moved = MemoryUpdate { occurred_at: Some(Some(time("2025-06-01"))), ..MemoryUpdate::default() };
            change(b, first, moved).await;
            assert_eq!(holds(b).await, [is("Ada lives in Lima.", "2025-06-01")]);
            let lima = facts(&b.mem).await.into_iter().find(|m| m.valid_to.is_none()).unwrap();
            assert_eq!(lima.provenance.derived_from.len(), 2);
            let before = facts(&b.mem).await;
            change(b, again, content("I live in Lima! I like tea.")).await;
            let is_tea = |m: &Memory| m.content.contains("tea");
            assert_eq!(facts(&b.mem).await.into_iter().filter(|m| !is_tea(m)).collect::<Vec<_>>(), before);
        });
    });
}

#[test]
fn no_date_stays_that_only_an_erased_memory_gave() {
    on_every_store(|b| {
        block_on(async {
            tell(b, "2025-01-01", "I live in Rome. I work at Acme.").await;
            let first = tell(b, "2025-03-01", "I live in Lima.").await;
            tell(b, "2025-07-01", "I live in Lima.").await;
            let left = tell(b, "2025-08-01", "I left Acme.").await;
            for id in [first, left] {
                b.mem.forget(Forget::Id(id)).await.unwrap();
            }
            b.mem.maintain(None).await.unwrap();
            let holds = holds(b).await;
            assert_eq!(holds, [is("Ada lives in Lima.", "2025-07-01"), is("Ada works at Acme.", "2025-01-01")]);
            let rome = facts(&b.mem).await.into_iter().find(|m| m.content.contains("Rome")).unwrap();
            assert_eq!(rome.valid_to, Some(time("2025-07-01")));
        });
    });
}

#[test]
fn words_that_are_trusted_less_than_they_were_end_no_more_what_they_had_ended() {
    on_every_store(|b| {
        block_on(async {
            let trust = |level| MemoryUpdate { trust_level: Some(Some(level)), ..MemoryUpdate::default() };
            let oslo = tell(b, "2025-01-01", "I live in Oslo.").await;
            change(b, oslo, trust(TrustLevel::High)).await;
            let rome = tell(b, "2025-02-01", "I live in Rome.").await;
            change(b, rome, trust(TrustLevel::High)).await;
            let (both, last) = ([is("Ada lives in Oslo.", "2025-01-01"), is("Ada lives in Rome.", "2025-02-01")], 1);
            assert_eq!(holds(b).await, both.get(last..).unwrap());
            change(b, rome, trust(TrustLevel::Low)).await;
            assert_eq!(holds(b).await, both);
            let before = facts(&b.mem).await;
            change(b, rome, trust(TrustLevel::Low)).await;
            assert_eq!(facts(&b.mem).await, before, "the same once more changes nothing");
        });
    });
}

/// All facts, those that hold no longer too: what is said, since when, and whether it holds.
async fn all(b: &Bench) -> Vec<(String, String, bool)> {
    let day = |t: rae_core::Timestamp| t.to_string().chars().take(10).collect::<String>();
    let said = |m: Memory| (m.content, day(m.valid_from.unwrap()), m.valid_to.is_none());
    let mut all: Vec<_> = facts(&b.mem).await.into_iter().map(said).collect();
    all.sort();
    all
}

async fn find(b: &Bench, words: &str) -> Memory {
    facts(&b.mem).await.into_iter().find(|m| m.content.contains(words)).unwrap()
}

#[test]
fn a_fact_that_somebody_forgot_is_never_read_again_from_the_same_memory() {
    on_every_store(|b| {
        block_on(async {
            let id = tell(b, "2025-02-01", "I live in Oslo.").await;
            b.mem.forget(Forget::Id(find(b, "Oslo").await.id)).await.unwrap();
            for text in ["I live in Oslo!", "I LIVE IN Oslo", "Well, I live in Oslo, and I like tea."] {
                change(b, id, content(text)).await;
            }
            assert_eq!(holds(b).await, [is("Ada likes tea.", "2025-02-01")]);
            // Nor at another time, nor behind another statement.
            let moved = MemoryUpdate { occurred_at: Some(Some(time("2025-03-01"))), ..MemoryUpdate::default() };
            change(b, id, moved).await;
            change(b, id, content("I live in Rome.")).await;
            assert_eq!(holds(b).await, [is("Ada lives in Rome.", "2025-03-01")]);
            change(b, id, content("I live in Oslo.")).await;
            assert_eq!(holds(b).await, []);
            // Another memory may say it.
            tell(b, "2025-06-01", "I live in Oslo.").await;
            assert_eq!(holds(b).await, [is("Ada lives in Oslo.", "2025-06-01")]);
        });
    });
}

#[test]
fn facts_that_a_filter_forgets_stay_away_and_what_goes_with_its_source_or_only_ended_a_fact_does_not() {
    on_every_store(|b| {
        block_on(async {
            let said = tell(b, "2025-01-01", "I work at Acme. I like tea.").await;
            let left = tell(b, "2025-06-01", "I left Acme. I like cake.").await;
            b.mem.forget(Forget::Filter(serde_json::json!({ "kind": "fact" }))).await.unwrap();
            change(b, said, content("I work at Acme! I like tea! I live in Oslo!")).await;
            assert_eq!(all(b).await, [("Ada lives in Oslo.".to_owned(), "2025-01-01".to_owned(), true)]);
            // It never said so before.
            change(b, left, content("I work at Acme.")).await;
            assert!(holds(b).await.contains(&is("Ada works at Acme.", "2025-06-01")));
            // The same words in a new memory are another memory's.
            b.mem.forget(Forget::Id(said)).await.unwrap();
            tell(b, "2025-01-01", "I work at Acme. I like tea.").await;
            let expected = [is("Ada likes tea.", "2025-01-01"), is("Ada works at Acme.", "2025-01-01")];
            assert_eq!(holds(b).await, expected);
        });
    });
}

#[test]
fn a_fact_that_was_undone_stays_away_whatever_its_memory_says_in_between() {
    on_every_store(|b| {
        block_on(async {
            let id = tell(b, "2025-02-01", "I live in Oslo.").await;
            let newest = async || b.mem.changes(Default::default()).await.unwrap().items.remove(0);
            b.mem.undo(newest().await.id).await.unwrap();
            for text in ["I live in Oslo!", "Nothing to see here.", "I live in Rome.", "I live in Oslo."] {
                change(b, id, content(text)).await;
            }
            let rome = ("Ada lives in Rome.".to_owned(), "2025-02-01".to_owned(), false);
            assert_eq!(all(b).await, [("Ada lives in Oslo.".to_owned(), "2025-02-01".to_owned(), false), rome]);
            // One that was withdrawn, said again and then undone, too.
            change(b, id, content("I live in Rome!")).await;
            assert_eq!(holds(b).await, [is("Ada lives in Rome.", "2025-02-01")]);
            let again = newest().await;
            b.mem.undo(again.id).await.unwrap();
            assert_eq!(holds(b).await, []);
            for text in ["I live in Rome.", "Nothing to see here.", "I live in Rome!"] {
                change(b, id, content(text)).await;
            }
            assert_eq!(holds(b).await, []);
        });
    });
}

#[test]
fn an_end_or_a_source_that_was_undone_is_not_noted_again_unless_the_undoing_is_undone() {
    on_every_store(|b| {
        block_on(async {
            tell(b, "2025-01-01", "I work at Acme. I like tea.").await;
            let left = tell(b, "2025-06-01", "I like cake. I left Acme. I love tea.").await;
            let state = async || {
                let (acme, tea) = (find(b, "Acme").await, find(b, "tea").await);
                (acme.valid_to.is_some(), tea.provenance.derived_from.len())
            };
            assert_eq!(state().await, (true, 2));
            let items = b.mem.changes(Default::default()).await.unwrap().items;
            let made: Vec<_> = items.into_iter().filter(|c| c.undoable).take(2).collect();
            for change in &made {
                b.mem.undo(change.id).await.unwrap();
            }
            assert_eq!(state().await, (false, 1));
            change(b, left, content("I like cake. I left Acme! I love tea!")).await;
            assert_eq!(state().await, (false, 1));
            for change in made {
                let undone = b.mem.changes(Default::default()).await.unwrap().items;
                let undone = undone.into_iter().find(|c| c.id == change.id).unwrap().undone_by.unwrap();
                b.mem.undo(undone).await.unwrap();
            }
            assert_eq!(state().await, (true, 2));
            change(b, left, content("I like cake.")).await;
            assert_eq!(state().await, (false, 1));
            change(b, left, content("I like cake. I left Acme. I love tea.")).await;
            assert_eq!(state().await, (true, 2));
        });
    });
}

#[test]
fn corrections_to_and_fro_leave_one_fact_for_each_value_and_its_history() {
    on_every_store(|b| {
        block_on(async {
            tell(b, "2025-01-01", "I live in Lima.").await;
            let id = tell(b, "2025-02-01", "I live in Oslo.").await;
            for n in 0..12 {
                let city = ["Rome", "Bergen", "Oslo"].into_iter().cycle().nth(n).unwrap();
                b.clock.advance_seconds(60);
                change(b, id, content(&format!("I live in {city}."))).await;
            }
            let is_so = |city: &str, holds| (format!("Ada lives in {city}."), "2025-02-01".to_owned(), holds);
            let mut expected = vec![is_so("Bergen", false), is_so("Oslo", true), is_so("Rome", false)];
            expected.insert(1, ("Ada lives in Lima.".to_owned(), "2025-01-01".to_owned(), false));
            assert_eq!(all(b).await, expected);
            let [lima, oslo] = [find(b, "Lima").await, find(b, "Oslo").await];
            assert_eq!((lima.valid_to, lima.superseded_by), (Some(time("2025-02-01")), Some(oslo.id)));
            // When it was away, it was away.
            let history = b.mem.history(oslo.id).await.unwrap();
            let held: Vec<bool> = history.iter().map(|v| v.memory.valid_to.is_none()).collect();
            assert_eq!(held, [true, false, true, false, true, false, true, false, true]);
            let away = history.iter().find(|v| v.memory.valid_to.is_some()).unwrap().memory.updated_at;
            let then = RecallOptions { known_at: Some(away), as_of: Some(time("2025-03-01")), ..Default::default() };
            let then = b.mem.recall("Where does Ada live?", then).await.unwrap();
            assert!(then.hits.iter().all(|hit| hit.id != oslo.id));
            assert!(b.mem.audit(AuditOptions::default()).await.unwrap().findings.is_empty());
        });
    });
}

#[test]
fn a_fact_that_is_said_again_ends_others_again_and_is_ended_by_them() {
    on_every_store(|b| {
        block_on(async {
            let oslo = tell(b, "2025-01-01", "I live in Oslo.").await;
            let rome = tell(b, "2025-06-01", "I live in Rome.").await;
            change(b, rome, content("Nothing to see here.")).await;
            let dublin = tell(b, "2025-03-01", "I live in Dublin.").await;
            b.clock.advance_seconds(60);
            change(b, rome, content("I live in Rome.")).await;
            b.mem.forget(Forget::Id(dublin)).await.unwrap();
            assert_eq!(find(b, "Oslo").await.valid_to, Some(time("2025-06-01")));
            let dublin = tell(b, "2025-03-01", "I live in Dublin.").await;
            change(b, oslo, content("Nothing to see here.")).await;
            change(b, oslo, content("I live in Oslo.")).await;
            assert_eq!(find(b, "Oslo").await.valid_to, Some(time("2025-03-01")));
            b.mem.forget(Forget::Id(dublin)).await.unwrap();
            let ended = find(b, "Oslo").await;
            assert_eq!(
                (ended.valid_to, ended.superseded_by),
                (Some(time("2025-06-01")), Some(find(b, "Rome").await.id))
            );
            b.mem.forget(Forget::Id(rome)).await.unwrap();
            assert_eq!(holds(b).await, [is("Ada lives in Oslo.", "2025-01-01")]);
        });
    });
}

#[test]
fn a_fact_of_several_memories_that_is_said_again_keeps_no_version_of_an_erased_one() {
    on_every_store(|b| {
        block_on(async {
            let first = tell(b, "2025-03-01", "I live in Lima.").await;
            let again = tell(b, "2025-07-01", "I live in Lima.").await;
            for text in ["I live in Oslo.", "I live in Lima.", "I live in Oslo."] {
                change(b, first, content(text)).await;
            }
            assert_eq!(all(b).await.len(), 2);
            let gone = b.mem.forget(Forget::Id(first)).await.unwrap();
            b.mem.maintain(None).await.unwrap();
            assert_eq!(all(b).await, [("Ada lives in Lima.".to_owned(), "2025-07-01".to_owned(), true)]);
            let history = b.mem.history(find(b, "Lima").await.id).await.unwrap();
            assert!(history.iter().all(|v| v.memory.provenance.derived_from == [again]), "{history:?}");
            assert!(b.mem.verify_erasure(&gone.receipt, &[]).await.unwrap().clean);
        });
    });
}

#[test]
fn a_fact_that_was_read_anew_holds_again_though_its_versions_of_an_erased_memory_are_gone() {
    on_every_store(|b| {
        block_on(async {
            let first = tell(b, "2025-06-09", "I live in Rome.").await;
            tell(b, "2025-03-08", "I live in Rome.").await;
            tell(b, "2025-05-26", "I live in Rome.").await;
            change(b, first, content("I live in Oslo.")).await;
            tell(b, "2025-06-18", "I live in Lima.").await;
            b.mem.forget(Forget::Id(first)).await.unwrap();
            b.mem.maintain(None).await.unwrap();
            let rome = find(b, "Rome").await;
            assert_eq!((rome.valid_from, rome.valid_to), (Some(time("2025-03-08")), Some(time("2025-06-18"))));
            assert_eq!(holds(b).await, [is("Ada lives in Lima.", "2025-06-18")]);
        });
    });
}

#[test]
fn what_a_corrected_memory_had_ended_holds_again_until_what_else_is_known() {
    on_every_store(|b| {
        block_on(async {
            // Nobody said of Bergen that it ended.
            tell(b, "2025-03-10", "I live in Bergen.").await;
            let lima = tell(b, "2025-03-16", "I live in Lima.").await;
            tell(b, "2025-05-05", "I no longer live in Lima.").await;
            change(b, lima, content("I like tea.")).await;
            assert_eq!(holds(b).await, [is("Ada likes tea.", "2025-03-16"), is("Ada lives in Bergen.", "2025-03-10")]);
        });
    });
    on_every_store(|b| {
        block_on(async {
            // What the trusted one kept from counting ends what the trusted one had ended.
            tell(b, "2025-02-11", "I live in Lima.").await;
            let rome = NewMemory {
                infer: true,
                trust_level: Some(TrustLevel::High),
                ..turn("s", "Ada", "2025-02-23", "I live in Rome.")
            };
            let rome = b.mem.remember(rome).await.unwrap().id;
            tell(b, "2025-05-04", "I live in Oslo.").await;
            change(b, rome, content("Hello there.")).await;
            assert_eq!(holds(b).await, [is("Ada lives in Oslo.", "2025-05-04")]);
        });
    });
}
