//! What the engine changed by itself, and taking it back, as its users meet it, on every embedded store.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)] // a test reports by panicking

mod common;

use common::{Bench, on_every_store, time, turn};
use rae_core::{
    AuditOptions, AutomaticChange, ChangesOptions, ErrorKind, EventType, Forget, ForgetScope, Kind, Layer, ListOptions,
    Memory, MemoryId, MemoryUpdate, NewEvent, NewMemory, NewRelation, Rae, RecallOptions, ReflectOptions, SessionEnd,
    SessionOutcome, block_on, ports::Clock,
};

async fn changes(mem: &Rae) -> Vec<AutomaticChange> {
    mem.changes(ChangesOptions::default()).await.unwrap().items
}

async fn all(mem: &Rae) -> Vec<Memory> {
    mem.list(ListOptions { limit: 1_000, ..ListOptions::default() }).await.unwrap().items
}

fn fact(text: &str) -> NewMemory {
    NewMemory { kind: Some(Kind::Fact), ..NewMemory::new(text) }
}

const FIX: AuditOptions = AuditOptions { limit: 100, fix: true };

#[test]
fn an_audit_that_fixes_deletes_nothing_and_finds_nothing_to_fix_the_second_time() {
    on_every_store(|b| {
        block_on(async {
            let mem = &b.mem;
            for text in ["The code is 4711.", "the code is 4711", "THE CODE IS 4711!"] {
                mem.remember(fact(text)).await.unwrap();
            }
            for (city, from) in [("Oslo", "2025-01-01"), ("Rome", "2025-03-01")] {
                let relation = NewRelation::new("Ada", "lives_in", city);
                mem.relate(NewRelation { valid_from: Some(time(from)), ..relation }).await.unwrap();
            }
            let dry = mem.audit(AuditOptions::default()).await.unwrap();
            let report = mem.audit(FIX).await.unwrap();
            let said = |audit: &rae_core::Audit| audit.findings.iter().map(|f| f.automatic.clone()).collect::<Vec<_>>();
            assert_eq!((said(&report), report.fixed), (said(&dry), 2));
            assert!(report.findings.iter().all(|f| f.change.is_some()), "{report:#?}");
            assert_eq!(mem.audit(FIX).await.unwrap().findings, []);
            let now = all(mem).await;
            assert_eq!((now.len(), now.iter().filter(|m| m.superseded_by.is_some()).count()), (5, 3));
            assert_eq!(now[0].witness_count, 3);
            b.clock.advance_seconds(1);
            let hits = mem.recall("What is the code?", RecallOptions::default()).await.unwrap().hits;
            assert_eq!(hits.iter().filter(|h| h.content.to_lowercase().contains("4711")).count(), 1);
        });
    });
}

#[test]
fn what_is_protected_is_left_alone_by_a_fix() {
    on_every_store(|b| {
        block_on(async {
            for text in ["The code is 4711.", "the code is 4711"] {
                b.mem.remember(NewMemory { tags: vec!["pinned".into()], ..fact(text) }).await.unwrap();
            }
            let report = b.mem.audit(FIX).await.unwrap();
            assert_eq!((report.findings.len(), report.fixed, report.findings[0].automatic.clone()), (1, 0, None));
        });
    });
}

#[test]
fn undoing_every_change_newest_first_brings_back_what_was() {
    on_every_store(|b| {
        block_on(async {
            let mem = &b.mem;
            for (at, text) in [
                ("2025-01-01", "I live in Oslo."),
                ("2025-02-01", "I live in Oslo."),
                ("2025-06-01", "I moved to Bergen."),
                ("2025-03-01", "I live in Rome."),
            ] {
                mem.remember(NewMemory { infer: true, ..turn(at, "Ada", at, text) }).await.unwrap();
                mem.maintain(None).await.unwrap();
            }
            let made = changes(mem).await;
            assert_eq!(made.iter().filter(|c| c.action == "facts" && c.undoable).count(), 4, "{made:#?}");
            for change in made.iter().filter(|c| c.undoable) {
                let undone = mem.undo(change.id).await.unwrap();
                assert!(!undone.replayed && undone.ids == change.ids, "{undone:?}");
                let again = mem.undo(change.id).await.unwrap();
                assert_eq!((again.replayed, again.id), (true, undone.id));
            }
            let now = time("2026-01-02");
            let holds: Vec<Memory> =
                all(mem).await.into_iter().filter(|m| m.kind == Kind::Fact && !m.is_over(now)).collect();
            assert_eq!(holds, [], "no fact was known before");
        });
    });
}

#[test]
fn undoing_a_merge_takes_the_source_out_again() {
    on_every_store(|b| {
        block_on(async {
            let mem = &b.mem;
            let mut sources = Vec::new();
            for at in ["2025-01-01", "2025-02-01"] {
                let new = NewMemory { infer: true, ..turn(at, "Ada", at, "I live in Oslo.") };
                sources.push(mem.remember(new).await.unwrap().id);
                mem.maintain(None).await.unwrap();
            }
            let fact = |all: Vec<Memory>| all.into_iter().find(|m| m.kind == Kind::Fact).unwrap();
            let merged = fact(all(mem).await);
            assert_eq!((merged.witness_count, merged.provenance.derived_from.len()), (2, 2));
            mem.undo(changes(mem).await[0].id).await.unwrap();
            let before = fact(all(mem).await);
            assert_eq!((before.witness_count, &before.provenance.derived_from[..]), (1, &sources[..1]));
        });
    });
}

#[test]
fn of_many_who_undo_at_once_one_does_it_and_the_others_are_told_so() {
    on_every_store(|b| {
        let mem = &b.mem;
        let id = block_on(async {
            mem.remember(fact("The code is 4711.")).await.unwrap();
            mem.remember(fact("the code is 4711")).await.unwrap();
            mem.audit(FIX).await.unwrap().findings[0].change.unwrap()
        });
        let done: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| block_on(mem.undo(id)).unwrap())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(done.iter().all(|undone| undone.id == done[0].id), "{done:?}");
        block_on(async {
            let undoings = changes(mem).await.into_iter().filter(|c| c.action == "undo").count();
            assert_eq!((undoings, all(mem).await.iter().all(|m| m.superseded_by.is_none())), (1, true));
        });
    });
}

#[test]
fn what_somebody_changed_or_deleted_since_is_not_overruled() {
    on_every_store(|b| {
        block_on(async {
            let mem = &b.mem;
            let a = mem.remember(fact("The code is 4711.")).await.unwrap().id;
            let c = mem.remember(fact("the code is 4711")).await.unwrap().id;
            let id = mem.audit(FIX).await.unwrap().findings[0].change.unwrap();
            // Said again, it has a witness more.
            mem.remember(fact("The code is 4711.")).await.unwrap();
            let refused = mem.undo(id).await.unwrap_err();
            assert_eq!((refused.kind(), refused.code()), (ErrorKind::Conflict, "changed_since"));
            mem.forget(rae_core::Forget::Id(a)).await.unwrap();
            assert_eq!(mem.undo(id).await.unwrap_err().code(), "changed_since");
            assert_eq!(mem.get(c).await.unwrap().superseded_by, Some(a));
        });
    });
}

/// A session with a call that fails, and what is learnt from it.
async fn fails(b: &Bench, session: &str) {
    fails_with(b, session, "Error: timeout after 3 s").await;
}

async fn fails_with(b: &Bench, session: &str, error: &str) {
    for (what, text) in [(EventType::ToolCall, "search(days=30)"), (EventType::ToolResponse, error)] {
        let metadata = serde_json::json!({ "tool": "search" }).as_object().cloned();
        b.mem.log_event(session, NewEvent { metadata, ..NewEvent::new(what, text) }).await.unwrap();
    }
    b.mem.end_session(session, SessionEnd::new(SessionOutcome::Failure)).await.unwrap();
    b.clock.advance_seconds(60);
    let one = ReflectOptions { session_id: Some(session.into()), ..ReflectOptions::default() };
    b.mem.reflect(one).await.unwrap();
}

#[test]
fn what_was_forgotten_since_does_not_come_back_by_an_undo() {
    on_every_store(|b| {
        block_on(async {
            let mem = &b.mem;
            for session in ["s", "t"] {
                // A lesson that quotes what was said is made anew when that goes; this one has nothing to quote.
                fails_with(b, session, "Error: timeout").await;
            }
            let grown = changes(mem).await.into_iter().next().unwrap();
            mem.forget(Forget::Scope(ForgetScope::Session, "s".into())).await.unwrap();
            let refused = mem.undo(grown.id).await.unwrap_err();
            assert_eq!((refused.kind(), refused.code()), (ErrorKind::Conflict, "not_undoable"));
            mem.forget(Forget::Scope(ForgetScope::Session, "t".into())).await.unwrap();
            assert_eq!(all(mem).await, [], "the lesson goes with the last of its sessions");
        });
    });
}

#[test]
fn pages_of_one_change_give_each_once_and_end() {
    on_every_store(|b| {
        block_on(async {
            let mem = &b.mem;
            for n in 0..4 {
                for text in [format!("The code of door {n} is 4711."), format!("the code of door {n} is 4711")] {
                    mem.remember(fact(&text)).await.unwrap();
                }
                mem.audit(FIX).await.unwrap();
                mem.undo(changes(mem).await[0].id).await.unwrap();
            }
            let whole = changes(mem).await;
            let (mut paged, mut cursor) = (Vec::new(), None);
            for _ in 0..whole.len() {
                let page = mem.changes(ChangesOptions { limit: 1, cursor }).await.unwrap();
                paged.extend(page.items);
                cursor = page.next_cursor;
            }
            assert!(cursor.is_none() && whole.len() >= 8 && paged == whole, "{whole:#?}");
        });
    });
}

#[test]
fn numbers_go_back_only_where_nobody_moved_them_since() {
    on_every_store(|b| {
        block_on(async {
            let mem = &b.mem;
            let lesson = async || all(mem).await.into_iter().find(|m| m.kind == Kind::Lesson).unwrap();
            let undo = async || mem.undo(changes(mem).await[0].id).await.unwrap();
            fails(b, "s").await;
            let first = lesson().await;
            fails(b, "t").await;
            let grown = lesson().await;
            assert!(grown.importance > first.importance && grown.confidence > first.confidence, "{grown:?}");
            let undone = undo().await;
            let back = lesson().await;
            assert_eq!((back.importance, back.confidence), (first.importance, first.confidence));
            mem.undo(undone.id).await.unwrap();
            // Feedback moved one of the two, and it stays.
            let told = mem.feedback(grown.id, true).await.unwrap();
            undo().await;
            let back = lesson().await;
            assert_eq!((back.importance, back.confidence), (told.importance, first.confidence));
            // A person moved the other one, which is no reason to refuse.
            fails(b, "u").await;
            let update = MemoryUpdate { confidence: Some(0.125), ..MemoryUpdate::default() };
            mem.update(grown.id, update).await.unwrap();
            undo().await;
            let kept = lesson().await;
            assert_eq!((kept.importance, kept.confidence), (back.importance, 0.125));
        });
    });
}

#[test]
fn undoing_a_fade_gives_strength_back_where_nobody_touched_it() {
    on_every_store(|b| {
        block_on(async {
            let mem = &b.mem;
            let strength = async |id: MemoryId| mem.get(id).await.unwrap().strength;
            let mut ids = Vec::new();
            for text in ["The mill is red.", "The barn is blue.", "The shed is old."] {
                ids.push(
                    mem.remember(NewMemory { layer: Some(Layer::Episodic), ..NewMemory::new(text) }).await.unwrap().id,
                );
            }
            b.clock.advance_seconds(100 * 86_400);
            mem.maintain(None).await.unwrap();
            let faded = strength(ids[0]).await;
            let fade = changes(mem).await.into_iter().find(|change| change.action == "fade").unwrap();
            assert!(faded < 1.0 && fade.undoable && fade.ids.len() == 3, "{fade:?}");
            let told = mem.feedback(ids[1], true).await.unwrap().strength;
            mem.forget(Forget::Id(ids[2])).await.unwrap();
            let undone = mem.undo(fade.id).await.unwrap();
            assert_eq!((undone.ids.as_slice(), undone.replayed), (&ids[..1], false));
            assert_eq!(
                (strength(ids[0]).await, strength(ids[1]).await, mem.get(ids[0]).await.unwrap().version),
                (1.0, told, 1)
            );
            let again = mem.undo(fade.id).await.unwrap();
            assert_eq!((again.id, again.ids.as_slice(), again.replayed), (undone.id, &ids[..1], true));
            // It is a change, too, and the age is as it was.
            mem.undo(undone.id).await.unwrap();
            assert_eq!(strength(ids[0]).await, faded);
            mem.undo(fade.id).await.unwrap();
            assert_eq!(strength(ids[0]).await, 1.0);
            mem.maintain(None).await.unwrap();
            assert_eq!(strength(ids[0]).await, faded, "the next run fades again");
            // Where nothing is as it was left there is nothing to give back.
            mem.feedback(ids[0], true).await.unwrap();
            let second = changes(mem).await.into_iter().find(|change| change.action == "fade").unwrap();
            assert_eq!(mem.undo(second.id).await.unwrap_err().code(), "changed_since");
        });
    });
}

/// What a project holds, but for what changes by looking at it or is said of changes: its number, version and time. Summaries of
/// the graph follow from the rest and stay.
async fn held(b: &Bench) -> Vec<Memory> {
    let now = b.clock.now();
    let live = all(&b.mem).await.into_iter().filter(|m| !m.is_over(now) && m.kind != Kind::EntitySummary);
    live.map(|m| Memory { seq: 0, version: 0, updated_at: m.created_at, dedup_key: None, ..m }).collect()
}

/// Something that somebody writes, by chance.
async fn write(b: &Bench, random: &mut fastrand::Rng, n: usize) {
    let mem = &b.mem;
    match random.u8(..4) {
        0 => {
            let city = ["Oslo", "Bergen", "Rome"][random.usize(..3)];
            let at = format!("2025-0{}-01", random.u8(1..=9));
            let new = turn(&format!("t{n}"), "Ada", &at, &format!("I live in {city}."));
            mem.remember(NewMemory { infer: true, ..new }).await.unwrap();
        }
        1 => {
            let door = random.u8(..3);
            for text in [format!("The code of door {door} is 4711."), format!("the code of door {door} is 4711")] {
                mem.remember(fact(&text)).await.unwrap();
            }
        }
        2 => {
            let place = ["U.S.A.", "USA", "Baden-Baden", "Baden Baden"][random.usize(..4)];
            mem.relate(NewRelation::new(format!("Person {n}"), "visited", place)).await.unwrap();
        }
        _ => {
            let (session, text) = (format!("s{n}"), format!("Error: timeout after {n} s"));
            for (what, text) in [(EventType::ToolCall, "search(days=30)"), (EventType::ToolResponse, &text)] {
                let metadata = serde_json::json!({ "tool": "search" }).as_object().cloned();
                mem.log_event(&session, NewEvent { metadata, ..NewEvent::new(what, text) }).await.unwrap();
            }
        }
    }
}

#[test]
fn any_automatic_changes_undone_newest_first_leave_what_was() {
    let seen = std::cell::RefCell::new(std::collections::BTreeSet::new());
    for seed in 0..12 {
        on_every_store(|b| {
            block_on(async {
                let (mem, mut random) = (&b.mem, fastrand::Rng::with_seed(seed));
                for n in 0..12 {
                    write(b, &mut random, n).await;
                }
                let before = held(b).await;
                for _ in 0..8 {
                    b.clock.advance_seconds(i64::from(random.u32(..40 * 86_400)));
                    match random.u8(..3) {
                        0 => drop(mem.audit(FIX).await.unwrap()),
                        1 => drop(mem.reflect(ReflectOptions::default()).await.unwrap()),
                        _ => drop(mem.maintain(None).await.unwrap()),
                    }
                }
                let made = changes(mem).await;
                seen.borrow_mut().extend(made.iter().map(|change| change.action.clone()));
                let left: Vec<&str> = made.iter().filter(|c| !c.undoable).map(|c| c.action.as_str()).collect();
                assert!(left.iter().all(|action| *action == "communities"), "{left:?}");
                for change in made.iter().filter(|change| change.undoable) {
                    let undone = mem.undo(change.id).await;
                    assert!(undone.is_ok(), "{undone:?} {change:?}");
                }
                b.clock.advance_seconds(1);
                assert_eq!(held(b).await, before, "seed {seed}");
            });
        });
    }
    let seen: Vec<String> = seen.into_inner().into_iter().collect();
    assert_eq!(seen, ["audit_fix", "communities", "facts", "fade", "joined", "reflect"]);
}
