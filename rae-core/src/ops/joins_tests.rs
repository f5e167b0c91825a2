//! Joins that `maintain` makes: when, whose, how they are undone. And the weight of the graph in a recall.

use super::{EntitiesOptions, RecallOptions};
use crate::{
    Forget, MemoryUpdate, NewMemory, NewRelation, Rae, Timestamp, block_on,
    model::MemoryId,
    ports::{Clock, ManualClock},
};
use std::sync::Arc;

async fn open() -> (Rae, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(Timestamp::parse("2026-01-01").unwrap()));
    (Rae::builder().clock(Arc::clone(&clock) as Arc<dyn Clock>).open().await.unwrap(), clock)
}

async fn relate(mem: &Rae, subject: &str, relation: &str, object: &str) -> MemoryId {
    mem.relate(NewRelation::new(subject, relation, object)).await.unwrap().id
}

/// Names of entities with their aliases.
async fn entities(mem: &Rae) -> Vec<String> {
    let page = mem.entities(EntitiesOptions::default()).await.unwrap();
    page.items
        .into_iter()
        .filter(|e| !e.aliases.is_empty())
        .map(|e| format!("{}={}", e.name, e.aliases.join("=")))
        .collect()
}

async fn joined(mem: &Rae) -> u64 {
    mem.maintain(None).await.unwrap().ran.get("joined").copied().unwrap_or(0)
}

/// The relations that were made and have no end.
async fn made(mem: &Rae) -> Vec<crate::Memory> {
    let options = crate::RelationsOptions { relation: Some("same_as".into()), ..crate::RelationsOptions::default() };
    mem.relations(options).await.unwrap().items.into_iter().filter(|relation| relation.valid_to.is_none()).collect()
}

#[test]
fn maintain_joins_what_is_sure_once_and_what_was_ended_never_again() {
    block_on(async {
        let (mem, clock) = open().await;
        relate(&mem, "Ada", "likes", "U.S.A.").await;
        relate(&mem, "Bob", "visited", "USA").await;
        relate(&mem, "Eve", "visited", "USSR").await;
        assert_eq!(joined(&mem).await, 1);
        assert_eq!(entities(&mem).await, ["U.S.A.=USA"]);
        assert_eq!(joined(&mem).await, 0);
        let made = made(&mem).await;
        assert_eq!(
            (made.len(), made[0].tags.as_slice(), made[0].provenance.derived_from.len()),
            (1, &["rae:joined".to_owned()][..], 2)
        );
        clock.advance_seconds(60);
        let end = MemoryUpdate { valid_to: Some(Some(clock.now())), ..MemoryUpdate::default() };
        mem.update(made[0].id, end).await.unwrap();
        clock.advance_seconds(60);
        assert_eq!((joined(&mem).await, entities(&mem).await.len()), (0, 0));
    });
}

#[test]
fn a_join_goes_with_any_memory_that_shows_it() {
    block_on(async {
        let (mem, _) = open().await;
        let first = relate(&mem, "Ada", "likes", "U.S.A.").await;
        relate(&mem, "Bob", "visited", "USA").await;
        joined(&mem).await;
        mem.forget(Forget::Id(first)).await.unwrap();
        assert_eq!(made(&mem).await, []);
        // A text that states it, too.
        let said = mem.remember(NewMemory::new("We met Robert, also known as Bob.")).await.unwrap().id;
        relate(&mem, "Robert", "likes", "tea").await;
        assert_eq!(joined(&mem).await, 1);
        assert_eq!(made(&mem).await[0].provenance.derived_from, [said]);
        mem.forget(Forget::Id(said)).await.unwrap();
        assert_eq!((made(&mem).await, joined(&mem).await), (Vec::new(), 0));
    });
}

#[test]
fn names_of_two_users_are_not_joined_and_are_parted_when_they_become_so() {
    block_on(async {
        let (mem, _) = open().await;
        let of = |user: &str, text: &str| NewMemory {
            user_id: Some(user.into()),
            speaker: Some(user.into()),
            infer: true,
            ..NewMemory::new(text)
        };
        mem.remember(of("u1", "I live in Baden-Baden.")).await.unwrap();
        mem.remember(of("u2", "I live in Baden Baden.")).await.unwrap();
        assert_eq!(joined(&mem).await, 0);
        let (mem, _) = open().await;
        mem.remember(of("u1", "I live in Baden-Baden.")).await.unwrap();
        mem.remember(of("u1", "I visited Baden Baden.")).await.unwrap();
        assert_eq!(joined(&mem).await, 1, "{:?}", mem.relations(crate::RelationsOptions::default()).await);
        assert_eq!(made(&mem).await[0].user_id.as_deref(), Some("u1"));
        mem.remember(of("u2", "I live in Baden Baden.")).await.unwrap();
        mem.maintain(None).await.unwrap();
        assert_eq!(made(&mem).await, []);
    });
}

/// The newest change of the joins.
async fn newest(mem: &Rae, action: &str) -> crate::AutomaticChange {
    let page = mem.changes(crate::ChangesOptions::default()).await.unwrap();
    page.items.into_iter().find(|change| change.action == action).unwrap()
}

#[test]
fn a_join_that_is_undone_is_not_made_again_until_that_is_undone() {
    block_on(async {
        let (mem, clock) = open().await;
        relate(&mem, "Ada", "likes", "U.S.A.").await;
        relate(&mem, "Bob", "visited", "USA").await;
        joined(&mem).await;
        let change = newest(&mem, "joined").await;
        assert_eq!((change.undoable, change.ids), (true, vec![made(&mem).await[0].id]));
        let undone = mem.undo(change.id).await.unwrap();
        clock.advance_seconds(60);
        assert_eq!((entities(&mem).await.len(), joined(&mem).await, made(&mem).await), (0, 0, vec![]));
        mem.undo(undone.id).await.unwrap();
        assert_eq!((entities(&mem).await, joined(&mem).await), (vec!["U.S.A.=USA".to_owned()], 0));
    });
}

#[test]
fn a_parting_can_be_undone_and_is_not_repeated_and_what_a_person_said_is_never_parted() {
    block_on(async {
        for is_own in [false, true] {
            let (mem, clock) = open().await;
            relate(&mem, "Ada", "likes", "U.S.A.").await;
            relate(&mem, "Bob", "visited", "USA").await;
            if is_own {
                relate(&mem, "USA", "same_as", "U.S.A.").await;
            }
            joined(&mem).await;
            let before = made(&mem).await;
            clock.advance_seconds(60);
            let user = Some("u2".to_owned());
            let new =
                NewMemory { user_id: user.clone(), speaker: user, infer: true, ..NewMemory::new("I live in USA.") };
            mem.remember(new).await.unwrap();
            let parted = joined(&mem).await;
            if is_own {
                assert_eq!((parted, made(&mem).await), (0, before));
                continue;
            }
            assert_eq!((parted, made(&mem).await), (1, vec![]));
            let change = newest(&mem, "parted").await;
            assert_eq!((change.undoable, &change.ids), (true, &vec![before[0].id]));
            mem.undo(change.id).await.unwrap();
            clock.advance_seconds(60);
            assert_eq!((joined(&mem).await, made(&mem).await.len()), (0, 1), "somebody wanted it");
        }
    });
}

#[test]
fn summaries_of_communities_are_a_change_that_is_not_undoable() {
    block_on(async {
        let (mem, _) = open().await;
        for object in ["Bob", "Eve", "Tea", "Oslo"] {
            relate(&mem, "Ada", "likes", object).await;
        }
        mem.maintain(None).await.unwrap();
        let change = newest(&mem, "communities").await;
        assert_eq!((change.undoable, change.ids.len()), (false, 0));
        let refused = mem.undo(change.id).await.unwrap_err();
        assert_eq!(refused.code(), "not_undoable");
        assert!(refused.to_string().contains("relations"), "{refused}");
    });
}

#[test]
fn a_recall_that_weighs_the_graph_finds_what_relations_of_the_named_were_read_from() {
    block_on(async {
        let (mem, _) = open().await;
        let said = mem.remember(NewMemory::new("The red boat is hers since spring.")).await.unwrap().id;
        mem.remember(NewMemory::new("Nobody has seen the lighthouse keeper.")).await.unwrap();
        let relation = NewRelation { source_id: Some(said), ..NewRelation::new("Ada", "owns", "Skua") };
        mem.relate(relation).await.unwrap();
        let ask = |weight: Option<f64>| RecallOptions { graph_weight: weight, k: 3, ..RecallOptions::default() };
        let plain = mem.recall("What does Ada sail?", ask(None)).await.unwrap();
        assert_eq!(plain, mem.recall("What does Ada sail?", ask(Some(0.0))).await.unwrap());
        let weighed = mem.recall("What does Ada sail?", ask(Some(1.0))).await.unwrap();
        let second = &weighed.hits[1];
        assert_eq!((second.id, second.signals.graph), (said, 1.0));
        assert!(weighed.hits.iter().all(|hit| (0.0..=1.0).contains(&hit.score)));
        for wrong in [-0.1, 1.1, f64::NAN] {
            assert!(mem.recall("Ada", ask(Some(wrong))).await.is_err(), "{wrong}");
        }
    });
}
