//! Giving facts back their validity, seen from inside: pages, housekeeping, what is looked at.

use super::{housekeep, resume::resume};
use crate::{
    ListOptions, MemoryUpdate, NewMemory, Rae, Timestamp, block_on,
    limits::PAGE_MAX,
    model::{Claim, Kind, Memory, Op},
    ports::{Clock, ManualClock},
};
use std::sync::Arc;

async fn open() -> (Rae, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(Timestamp::parse("2026-01-01").unwrap()));
    let mem = Rae::builder().clock(Arc::clone(&clock) as Arc<dyn Clock>).seed(42).open().await.unwrap();
    (mem, clock)
}

/// "Ada says" something on a day, which is read; it lives an hour if `is_brief`.
async fn tell(mem: &Rae, at: &str, text: &str, is_brief: bool) {
    let new = NewMemory {
        infer: true,
        session_id: Some(at.into()),
        speaker: Some("Ada".into()),
        occurred_at: Some(Timestamp::parse(at).unwrap()),
        ttl: is_brief.then_some(3_600.0),
        ..NewMemory::new(text)
    };
    mem.remember(new).await.unwrap();
    mem.maintain(None).await.unwrap();
}

async fn oslo(mem: &Rae) -> Memory {
    let filter = serde_json::json!({ "object": "oslo" });
    let page = mem.list(ListOptions { filter: Some(filter), ..ListOptions::default() }).await.unwrap();
    page.items.into_iter().next().unwrap()
}

#[test]
fn housekeeping_gives_back_what_is_behind_more_than_a_page_of_relations() {
    block_on(async {
        let (mem, clock) = open().await;
        let (deps, scope) = mem.parts();
        let now = deps.clock.now();
        let relation = |n: usize| {
            let claim = Claim::new(&format!("s{n}"), "knows", "Bob", 1.0).unwrap();
            let new = NewMemory { kind: Some(Kind::Fact), ..NewMemory::new(claim.sentence()) };
            let memory = new.into_memory(scope, deps.ids.next(now), now).unwrap();
            let memory = Box::new(Memory { claim: Some(claim), ..memory });
            Op::PutMemory { memory, vector: None, idempotency: None }
        };
        let ctx = deps.ctx(scope).unwrap();
        deps.relational.apply(&ctx, deps.batch((0..=PAGE_MAX).map(relation).collect())).await.unwrap();
        tell(&mem, "2025-01-01", "I live in Oslo.", false).await;
        tell(&mem, "2025-06-01", "I moved to Bergen.", true).await;
        assert!(oslo(&mem).await.valid_to.is_some());
        clock.advance_seconds(3_601);
        housekeep(deps, scope, deps.clock.now()).await.unwrap();
        let again = oslo(&mem).await;
        assert_eq!((again.valid_to, again.superseded_by), (None, None));
    });
}

#[test]
fn what_was_looked_at_is_looked_at_again_after_a_deletion_alone() {
    block_on(async {
        let (mem, clock) = open().await;
        let (deps, scope) = mem.parts();
        tell(&mem, "2025-01-01", "I live in Oslo.", false).await;
        tell(&mem, "2025-06-01", "I moved to Bergen.", true).await;
        let head = async || deps.relational.head(&deps.ctx(scope).unwrap()).await.unwrap().seq;
        assert_eq!(deps.resumed.upto(scope), Some(head().await));
        // A write moves the mark without a look at the relations.
        mem.update(oslo(&mem).await.id, MemoryUpdate { importance: Some(0.1), ..MemoryUpdate::default() })
            .await
            .unwrap();
        assert_eq!(resume(deps, scope).await.unwrap(), 0);
        assert_eq!(deps.resumed.upto(scope), Some(head().await));
        clock.advance_seconds(3_601);
        assert_eq!(mem.maintain(None).await.unwrap().ran.get("resumed"), Some(&1));
        // Another process, which knows of no look.
        deps.resumed.note(scope, 0);
        let before = head().await;
        assert_eq!((resume(deps, scope).await.unwrap(), head().await), (0, before));
        assert_eq!(deps.resumed.upto(scope), Some(before));
    });
}
