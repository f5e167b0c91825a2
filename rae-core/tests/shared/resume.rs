//! What holds again when what ended it is gone, on any store: the file that includes this says on which.

use crate::common::{Bench, on_every_store, time, turn};
use rae_core::{
    AuditOptions, ChangesOptions, ErrorKind, Forget, ForgetScope, Kind, ListOptions, Memory, MemoryId, MemoryUpdate,
    NeighborsOptions, NewMemory, NewRelation, RecallOptions, block_on,
};

/// "Ada says" something in a session of its own on a day, and it is read.
async fn tell(b: &Bench, at: &str, text: &str) -> MemoryId {
    tell_for(b, at, text, None).await
}

async fn tell_for(b: &Bench, at: &str, text: &str, ttl: Option<f64>) -> MemoryId {
    let id = b.mem.remember(NewMemory { infer: true, ttl, ..turn(at, "Ada", at, text) }).await.unwrap().id;
    b.mem.maintain(None).await.unwrap();
    id
}

async fn facts(b: &Bench) -> Vec<Memory> {
    let page = b.mem.list(ListOptions { limit: 1_000, ..ListOptions::default() }).await.unwrap();
    page.items.into_iter().filter(|m| m.claim.is_some()).collect()
}

/// Every fact: the place, and until which day.
async fn told(b: &Bench) -> Vec<(String, Option<String>)> {
    let day = |t: rae_core::Timestamp| t.to_string().chars().take(10).collect::<String>();
    facts(b).await.into_iter().map(|m| (m.claim.unwrap().object, m.valid_to.map(day))).collect()
}

fn is(object: &str, to: Option<&str>) -> (String, Option<String>) {
    (object.to_owned(), to.map(str::to_owned))
}

async fn lives(b: &Bench, as_of: Option<&str>) -> Vec<String> {
    let options = RecallOptions { kinds: Some(vec![Kind::Fact]), as_of: as_of.map(time), ..RecallOptions::default() };
    let hits = b.mem.recall("Where does Ada live?", options).await.unwrap().hits;
    hits.into_iter().map(|hit| hit.content).collect()
}

async fn resumed(b: &Bench) -> Option<u64> {
    b.mem.maintain(None).await.unwrap().ran.get("resumed").copied()
}

async fn actions(b: &Bench) -> Vec<(String, uuid::Uuid)> {
    let page = b.mem.changes(ChangesOptions::default()).await.unwrap();
    page.items.into_iter().map(|change| (change.action, change.id)).collect()
}

#[test]
fn a_fact_holds_again_at_once_when_the_turn_that_ended_it_is_forgotten() {
    on_every_store(|b| {
        block_on(async {
            tell(b, "2025-01-01", "I live in Oslo.").await;
            let bergen = tell(b, "2025-06-01", "I moved to Bergen.").await;
            assert_eq!(lives(b, None).await, ["Ada lives in Bergen."]);
            b.mem.forget(Forget::Id(bergen)).await.unwrap();
            assert_eq!(told(b).await, [is("Oslo", None)]);
            assert_eq!(resumed(b).await, None, "nothing is left to do");
            for as_of in [None, Some("2025-03-01"), Some("2025-09-01")] {
                assert_eq!(lives(b, as_of).await, ["Ada lives in Oslo."], "{as_of:?}");
            }
            assert_eq!(lives(b, Some("2024-03-01")).await, Vec::<String>::new());
            let near = b.mem.neighbors("Ada", NeighborsOptions::default()).await.unwrap();
            let names: Vec<_> = near.neighbors.iter().map(|n| n.name.as_str()).collect();
            assert_eq!(names, ["Oslo"]);
            let oslo = facts(b).await.remove(0);
            assert_eq!((oslo.superseded_by, oslo.version, oslo.dedup_key.is_some()), (None, 3, true));
            assert_eq!(actions(b).await[1].0, "resume");
            // It merges with what is said of it later.
            tell(b, "2025-07-01", "I live in Oslo.").await;
            assert_eq!(facts(b).await[0].witness_count, 2);
        });
    });
}

#[test]
fn a_fact_holds_again_when_what_ended_it_expired_or_was_erased_with_its_session() {
    on_every_store(|b| {
        block_on(async {
            tell(b, "2025-01-01", "I live in Oslo.").await;
            tell_for(b, "2025-06-01", "I moved to Bergen.", Some(3_600.0)).await;
            assert_eq!(told(b).await, [is("Oslo", Some("2025-06-01")), is("Bergen", None)]);
            b.clock.advance_seconds(3_601);
            assert_eq!(resumed(b).await, Some(1));
            assert_eq!(told(b).await, [is("Oslo", None)]);
            tell(b, "2025-07-01", "I moved to Rome.").await;
            b.mem.forget(Forget::Scope(ForgetScope::Session, "2025-07-01".into())).await.unwrap();
            assert_eq!(told(b).await, [is("Oslo", None)]);
        });
    });
}

#[test]
fn of_a_chain_the_next_one_ends_the_first_whatever_the_order_they_were_said_in() {
    let said =
        [("2025-01-01", "I live in Oslo."), ("2025-03-01", "I moved to Rome."), ("2025-06-01", "I moved to Bergen.")];
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0], [2, 0, 1], [0, 2, 1], [1, 0, 2]] {
        on_every_store(|b| {
            block_on(async {
                let mut turns = [MemoryId(uuid::Uuid::nil()); 3];
                for i in order {
                    turns[i] = tell(b, said[i].0, said[i].1).await;
                }
                let sorted = |mut all: Vec<_>| {
                    all.sort();
                    all
                };
                b.mem.forget(Forget::Id(turns[1])).await.unwrap();
                let (oslo, bergen) = (is("Oslo", Some("2025-06-01")), is("Bergen", None));
                assert_eq!(sorted(told(b).await), [bergen, oslo], "{order:?}");
                b.mem.forget(Forget::Id(turns[2])).await.unwrap();
                assert_eq!(told(b).await, [is("Oslo", None)], "{order:?}");
            });
        });
    }
}

#[test]
fn an_end_that_somebody_gave_stays_and_so_does_that_of_a_relation() {
    on_every_store(|b| {
        block_on(async {
            tell(b, "2025-01-01", "I live in Oslo.").await;
            let oslo = facts(b).await.remove(0).id;
            let other = b.mem.remember(NewMemory::new("Ada told me that she moved.")).await.unwrap().id;
            let end = MemoryUpdate {
                valid_to: Some(Some(time("2025-05-01"))),
                superseded_by: Some(Some(other)),
                ..MemoryUpdate::default()
            };
            b.mem.update(oslo, end.clone()).await.unwrap();
            let acme = b.mem.relate(NewRelation::new("Ada", "works_at", "Acme")).await.unwrap().id;
            b.mem.update(acme, end).await.unwrap();
            // One whose end somebody moved since.
            tell(b, "2025-02-01", "My email is ada@acme.com.").await;
            let later = tell(b, "2025-03-01", "My email is ada@home.org.").await;
            let email = facts(b).await.into_iter().find(|m| m.superseded_by.is_some() && m.id != oslo && m.id != acme);
            let email = email.unwrap().id;
            let moved = MemoryUpdate { valid_to: Some(Some(time("2025-02-15"))), ..MemoryUpdate::default() };
            b.mem.update(email, moved).await.unwrap();
            for gone in [other, later] {
                b.mem.forget(Forget::Id(gone)).await.unwrap();
            }
            assert_eq!(resumed(b).await, None);
            let over = [
                is("Oslo", Some("2025-05-01")),
                is("Acme", Some("2025-05-01")),
                is("ada@acme.com", Some("2025-02-15")),
            ];
            assert_eq!(told(b).await, over);
            assert!(!actions(b).await.iter().any(|(action, _)| action == "resume"));
        });
    });
}

#[test]
fn a_relation_that_a_fix_ended_holds_again() {
    on_every_store(|b| {
        block_on(async {
            let mut ids = Vec::new();
            for (city, from) in [("Oslo", "2025-01-01"), ("Rome", "2025-03-01")] {
                let relation =
                    NewRelation { valid_from: Some(time(from)), ..NewRelation::new("Ada", "lives_in", city) };
                ids.push(b.mem.relate(relation).await.unwrap().id);
            }
            let fix = AuditOptions { fix: true, ..AuditOptions::default() };
            b.mem.audit(fix).await.unwrap();
            assert_eq!(told(b).await, [is("Oslo", Some("2025-03-01")), is("Rome", None)]);
            b.mem.forget(Forget::Id(ids[1])).await.unwrap();
            assert_eq!(told(b).await, [is("Oslo", None)]);
            // A fix finds nothing that refers to what is gone.
            assert_eq!(b.mem.audit(fix).await.unwrap().findings, []);
        });
    });
}

#[test]
fn what_holds_again_and_is_undone_does_not_come_back() {
    on_every_store(|b| {
        block_on(async {
            tell(b, "2025-01-01", "I live in Oslo.").await;
            let bergen = tell(b, "2025-06-01", "I moved to Bergen.").await;
            b.mem.forget(Forget::Id(bergen)).await.unwrap();
            let all = actions(b).await;
            let (_, id) = all.iter().find(|(action, _)| action == "resume").unwrap();
            let undone = b.mem.undo(*id).await.unwrap();
            assert_eq!(told(b).await, [is("Oslo", Some("2025-06-01"))]);
            for _ in 0..3 {
                assert_eq!(resumed(b).await, None);
            }
            assert_eq!(told(b).await, [is("Oslo", Some("2025-06-01"))]);
            // And undoing that makes it hold.
            b.mem.undo(undone.id).await.unwrap();
            assert_eq!((resumed(b).await, told(b).await), (None, vec![is("Oslo", None)]));
        });
    });
}

#[test]
fn a_thousand_rounds_of_maintain_with_nothing_new_write_nothing() {
    on_every_store(|b| {
        block_on(async {
            tell(b, "2025-01-01", "I live in Oslo.").await;
            let bergen = tell(b, "2025-06-01", "I moved to Bergen.").await;
            let oslo = facts(b).await.remove(0).id;
            // One that names what is gone for good: somebody moved its end.
            let moved = MemoryUpdate { valid_to: Some(Some(time("2025-02-15"))), ..MemoryUpdate::default() };
            b.mem.update(oslo, moved).await.unwrap();
            b.mem.forget(Forget::Id(bergen)).await.unwrap();
            b.mem.maintain(None).await.unwrap();
            let (before, rows) = (facts(b).await, actions(b).await);
            for _ in 0..1_000 {
                assert_eq!(resumed(b).await, None);
            }
            assert_eq!((facts(b).await, actions(b).await), (before, rows));
        });
    });
}

#[test]
fn what_another_memory_says_since_is_not_brought_back_by_an_undo_which_says_so() {
    on_every_store(|b| {
        block_on(async {
            let code = || NewMemory { kind: Some(Kind::Fact), ..NewMemory::new("the code is 4711!") };
            let first = b.mem.remember(NewMemory { kind: Some(Kind::Fact), ..NewMemory::new("The code is 4711.") });
            let first = first.await.unwrap().id;
            let second = b.mem.remember(code()).await.unwrap().id;
            b.mem.audit(AuditOptions { fix: true, ..AuditOptions::default() }).await.unwrap();
            let (_, fix) = actions(b).await.into_iter().find(|(action, _)| action == "audit_fix").unwrap();
            let ended = [first, second];
            let again = b.mem.remember(code()).await.unwrap().id;
            assert!(!ended.contains(&again));
            let refused = b.mem.undo(fix).await.unwrap_err();
            assert_eq!((refused.kind(), refused.code()), (ErrorKind::Conflict, "said_elsewhere"));
            assert!(refused.message().contains(&again.to_string()) && refused.context().is_empty(), "{refused:?}");
            // Forgotten, as it says, it is in nobody's way, there and back.
            b.mem.forget(Forget::Id(again)).await.unwrap();
            let undone = b.mem.undo(fix).await.unwrap();
            assert!(!undone.replayed && b.mem.get(second).await.unwrap().superseded_by.is_none());
            assert!(!b.mem.undo(undone.id).await.unwrap().replayed);
        });
    });
}

#[test]
fn what_is_over_again_by_an_undo_names_nothing_that_is_gone() {
    on_every_store(|b| {
        block_on(async {
            let oslo = tell(b, "2025-07-01", "I live in Oslo.").await;
            tell(b, "2025-06-01", "I live in Bergen.").await;
            b.mem.forget(Forget::Id(oslo)).await.unwrap();
            assert_eq!(told(b).await, [is("Bergen", None)]);
            let resume = actions(b).await.into_iter().find(|(action, _)| action == "resume").unwrap().1;
            b.mem.undo(resume).await.unwrap();
            assert_eq!(told(b).await, [is("Bergen", Some("2025-07-01"))]);
            assert_eq!(b.mem.audit(AuditOptions::default()).await.unwrap().findings, []);
            assert_eq!(
                (resumed(b).await, told(b).await),
                (None, vec![is("Bergen", Some("2025-07-01"))]),
                "it stays so"
            );
        });
    });
}
