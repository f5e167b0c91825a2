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

/// The relations that were made.
async fn made(mem: &Rae) -> Vec<crate::Memory> {
    let options = crate::RelationsOptions { relation: Some("same_as".into()), ..crate::RelationsOptions::default() };
    mem.relations(options).await.unwrap().items
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
