//! The graph's verbs over a store: freshness, time, snapshots, erasure, bounds.

use super::{EntitiesOptions, NeighborsOptions, PathOptions, SubgraphOptions};
use crate::{
    Forget, MemoryUpdate, NewMemory, NewRelation, Rae, RecallOptions, Timestamp, block_on,
    jobs::graph_sync,
    model::{Claim, Kind, MemoryId, Op, Outcome, Scope},
    ports::{Clock, ManualClock},
};
use std::{collections::BTreeSet, sync::Arc};

struct World {
    mem: Rae,
    clock: Arc<ManualClock>,
}

impl World {
    async fn new() -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::parse("2026-01-01").unwrap()));
        let mem = Rae::builder().clock(Arc::clone(&clock) as Arc<dyn Clock>).open().await.unwrap();
        Self { mem, clock }
    }

    /// A relation, and an hour.
    async fn relate(&self, subject: &str, relation: &str, object: &str, from: Option<&str>) -> MemoryId {
        let id = relate(&self.mem, subject, relation, object, from).await;
        self.hour();
        id
    }

    fn hour(&self) {
        self.clock.advance_seconds(3_600);
    }

    async fn around(&self, entity: &str, options: NeighborsOptions) -> Vec<String> {
        self.mem.neighbors(entity, options).await.unwrap().neighbors.into_iter().map(|n| n.name).collect()
    }
}

async fn relate(mem: &Rae, subject: &str, relation: &str, object: &str, from: Option<&str>) -> MemoryId {
    let (deps, scope) = mem.parts();
    let ctx = deps.ctx(scope).unwrap();
    let now = deps.clock.now();
    let claim = Claim::new(subject, relation, object, 1.0).unwrap();
    let valid_from = from.map(|t| Timestamp::parse(t).unwrap());
    let new = NewMemory { kind: Some(Kind::Fact), valid_from, ..NewMemory::new(claim.sentence()) };
    let mut memory = new.into_memory(scope, deps.ids.next(now), now).unwrap();
    memory.claim = Some(claim);
    let op = Op::PutMemory { memory: Box::new(memory), vector: None, idempotency: None };
    let applied = deps.relational.apply(&ctx, deps.batch(vec![op])).await.unwrap();
    match applied.outcomes.as_slice() {
        [Outcome::Put { id, .. }] => *id,
        other => panic!("a put had the outcome {other:?}"),
    }
}

fn at(time: &str) -> NeighborsOptions {
    NeighborsOptions { at: Some(Timestamp::parse(time).unwrap()), ..NeighborsOptions::default() }
}

fn then(label: &str) -> NeighborsOptions {
    NeighborsOptions { snapshot: Some(label.into()), ..NeighborsOptions::default() }
}

#[test]
fn a_question_sees_every_change_that_was_committed_before_it() {
    block_on(async {
        let world = World::new().await;
        let none = world.mem.neighbors("Ada", NeighborsOptions::default()).await.unwrap();
        assert_eq!((none.entity, none.neighbors.len()), (None, 0));
        let acme = world.relate("Ada", "works_at", "Acme", None).await;
        assert_eq!(world.around("ada", NeighborsOptions::default()).await, ["Acme"]);
        world.relate("Acme", "located_in", "Oslo", None).await;
        let far = NeighborsOptions { depth: 2, ..NeighborsOptions::default() };
        assert_eq!(world.around("Ada", far).await, ["Acme", "Oslo"]);
        let path = world.mem.path("Oslo", "Ada", PathOptions::default()).await.unwrap().unwrap();
        assert_eq!((path.entities.join(" "), path.cost), ("Oslo Acme Ada".to_owned(), 2.0));
        let unsure = MemoryUpdate { confidence: Some(0.5), ..MemoryUpdate::default() };
        world.mem.update(acme, unsure).await.unwrap();
        assert_eq!(world.mem.path("Oslo", "Ada", PathOptions::default()).await.unwrap().unwrap().cost, 3.0);
        world.mem.forget(Forget::Id(acme)).await.unwrap();
        assert_eq!(world.mem.path("Oslo", "Ada", PathOptions::default()).await.unwrap(), None);
        // Another project knows nothing of it.
        let other = world.mem.with_scope(Scope::new("default", "other").unwrap());
        assert!(other.entities(EntitiesOptions::default()).await.unwrap().items.is_empty());
        world.mem.forget(Forget::Scope(super::ForgetScope::Project, "default".into())).await.unwrap();
        assert!(world.mem.entities(EntitiesOptions::default()).await.unwrap().items.is_empty());
    });
}

#[test]
fn the_graph_that_follows_changes_is_the_one_read_anew() {
    block_on(async {
        let world = World::new().await;
        let (deps, scope) = world.mem.parts();
        let ctx = deps.ctx(scope).unwrap();
        let mut random = fastrand::Rng::with_seed(7);
        let mut ids: BTreeSet<MemoryId> = BTreeSet::new();
        for round in 0..60 {
            for _ in 0..random.usize(..4) {
                let name = |random: &mut fastrand::Rng| format!("n{}", random.u8(..6));
                let (a, b) = (name(&mut random), name(&mut random));
                ids.insert(relate(&world.mem, &a, "knows", &b, None).await);
            }
            if round % 3 == 0 && !ids.is_empty() {
                let id = ids.iter().nth(random.usize(..ids.len())).copied().unwrap();
                ids.remove(&id);
                world.mem.forget(Forget::Id(id)).await.unwrap();
            }
            if let Some(&id) = ids.iter().nth(random.usize(..40)) {
                let end = Some(Some(deps.clock.now().saturating_add_seconds(round)));
                world.mem.update(id, MemoryUpdate { valid_to: end, ..MemoryUpdate::default() }).await.unwrap();
            }
            let followed = graph_sync::fresh(deps, &ctx).await.unwrap();
            let graph = followed.followed.read().graph.clone();
            deps.graphs.remove(scope);
            let anew = graph_sync::fresh(deps, &ctx).await.unwrap();
            assert_eq!(graph, anew.followed.read().graph);
            world.hour();
        }
    });
}

#[test]
fn a_time_is_asked_of_what_held_then_and_a_snapshot_of_what_was_known_then() {
    block_on(async {
        let world = World::new().await;
        let acme = world.relate("Ada", "works_at", "Acme", Some("2020-01-01")).await;
        let wrong = world.relate("Ada", "likes", "tea", None).await;
        let first = world.mem.snapshot("first").await.unwrap();
        assert_eq!((first.label.as_str(), first.at), ("first", world.clock.now()));
        world.hour();
        // Known later: it ended long ago, and another job came after it.
        let end = Some(Some(Timestamp::parse("2022-01-01").unwrap()));
        world.mem.update(acme, MemoryUpdate { valid_to: end, ..MemoryUpdate::default() }).await.unwrap();
        world.relate("Ada", "works_at", "Globex", Some("2022-01-01")).await;
        world.hour();
        assert_eq!(world.around("Ada", NeighborsOptions::default()).await, ["Globex", "tea"]);
        assert_eq!(world.around("Ada", at("2021-01-01")).await, ["Acme"]);
        assert_eq!(world.around("Ada", then("first")).await, ["Acme", "tea"]);
        let believed = NeighborsOptions { snapshot: Some("first".into()), ..at("2025-01-01") };
        assert_eq!(world.around("Ada", believed).await, ["Acme"]);
        let later = world.mem.snapshot("second").await.unwrap();
        assert_eq!(world.around("Ada", then("second")).await, ["Globex", "tea"]);
        assert_eq!(world.mem.snapshots().await.unwrap(), [first.clone(), later]);
        // What is erased is in no answer.
        world.mem.forget(Forget::Id(wrong)).await.unwrap();
        assert_eq!(world.around("Ada", then("first")).await, ["Acme"]);
        let taken = world.mem.snapshot("first").await.unwrap_err();
        assert_eq!((taken.code(), taken.details().unwrap()["id"].as_str().is_some()), ("snapshot_exists", true));
        let unknown = world.mem.neighbors("Ada", then("third")).await.unwrap_err();
        assert_eq!(unknown.code(), "snapshot_not_found");
        // Its memory is the snapshot: without it the name is free.
        world.mem.forget(Forget::Id(first.id)).await.unwrap();
        assert_eq!(world.mem.neighbors("Ada", then("first")).await.unwrap_err().code(), "snapshot_not_found");
        world.mem.snapshot("first").await.unwrap();
    });
}

#[test]
fn no_recall_finds_a_snapshot_and_an_export_brings_it_along() {
    block_on(async {
        let world = World::new().await;
        world.relate("Ada", "works_at", "Acme", None).await;
        let taken = world.mem.snapshot("before the merger").await.unwrap();
        let recall = |options| world.mem.recall("snapshot of the knowledge graph before the merger", options);
        for options in [
            RecallOptions::default(),
            RecallOptions { as_of: Some(taken.at), ..RecallOptions::default() },
            RecallOptions { tags: Some(vec!["rae:snapshot".into()]), ..RecallOptions::default() },
        ] {
            assert!(recall(options).await.unwrap().hits.iter().all(|hit| hit.id != taken.id));
        }
        world.hour();
        world.relate("Bob", "works_at", "Acme", None).await;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("all.jsonl");
        world.mem.export(&file).await.unwrap();
        let copy = World::new().await;
        copy.clock.advance_seconds(86_400);
        copy.mem.import(&file).await.unwrap();
        assert_eq!(copy.mem.snapshots().await.unwrap(), [taken]);
        assert_eq!(copy.around("Acme", then("before the merger")).await, ["Ada"]);
        assert_eq!(copy.around("Acme", NeighborsOptions::default()).await, ["Ada", "Bob"]);
        copy.mem.maintain(None).await.unwrap();
        assert_eq!(copy.mem.snapshots().await.unwrap().len(), 1);
    });
}

#[test]
fn numbers_and_names_out_of_their_bounds_are_refused() {
    block_on(async {
        let world = World::new().await;
        let long = "x".repeat(201);
        for (depth, limit) in [(0, 1), (6, 1), (-1, 1), (1, 0), (1, 1_001), (i64::MAX, 1), (1, i64::MIN)] {
            let options = NeighborsOptions { depth, limit, ..NeighborsOptions::default() };
            assert!(world.mem.neighbors("Ada", options).await.is_err(), "{depth} {limit}");
        }
        for name in ["", " ", long.as_str()] {
            assert!(world.mem.neighbors(name, NeighborsOptions::default()).await.is_err());
            assert!(world.mem.path("Ada", name, PathOptions::default()).await.is_err());
            assert!(world.mem.subgraph(&[name.to_owned()], SubgraphOptions::default()).await.is_err());
        }
        let names = |n: usize| vec!["Ada".to_owned(); n];
        assert!(world.mem.subgraph(&names(0), SubgraphOptions::default()).await.is_err());
        assert!(world.mem.subgraph(&names(101), SubgraphOptions::default()).await.is_err());
        assert!(world.mem.subgraph(&names(100), SubgraphOptions::default()).await.is_ok());
        let relation = NeighborsOptions { relation: Some("2x".into()), ..NeighborsOptions::default() };
        assert!(world.mem.neighbors("Ada", relation).await.is_err());
        for bad in ["", " ", "a\nb"] {
            assert!(world.mem.snapshot(bad).await.is_err());
            assert!(world.mem.neighbors("Ada", then(bad)).await.is_err());
        }
        let cursor = EntitiesOptions { cursor: Some("x".into()), ..EntitiesOptions::default() };
        assert_eq!(world.mem.entities(cursor).await.unwrap_err().code(), "invalid_cursor");
        let query = EntitiesOptions { query: Some(" ".into()), ..EntitiesOptions::default() };
        assert!(world.mem.entities(query).await.is_err());
    });
}

#[test]
fn a_summary_of_a_community_names_nobody_whom_only_a_private_relation_names_and_leaves_what_callers_tagged() {
    block_on(async {
        let world = World::new().await;
        // So many strong ones that the private one would not be told, but would be named.
        for a in 1..=6 {
            for b in a + 1..=6 {
                world.relate(&format!("P{a}"), "knows", &format!("P{b}"), None).await;
            }
        }
        let private = world.relate("P1", "allergic_to", "Penicillin", None).await;
        let class = crate::MemoryUpdate { info_class: Some(crate::model::InfoClass::Restricted), ..Default::default() };
        world.mem.update(private, class).await.unwrap();
        let own = crate::NewMemory {
            kind: Some(crate::model::Kind::EntitySummary),
            tags: vec!["rae:community".to_owned()],
            ..crate::NewMemory::new("My own summary of the team.")
        };
        let own = world.mem.remember(own).await.unwrap().id;
        assert_eq!(world.mem.maintain(None).await.unwrap().ran.get("communities"), Some(&1));
        let told = world.mem.list(crate::ListOptions::default()).await.unwrap().items;
        let told: Vec<_> = told.into_iter().filter(|m| m.content.contains("belong together")).collect();
        assert_eq!(told.len(), 1);
        assert!(told[0].content.starts_with("P1, P2, P3, P4, P5"), "{}", told[0].content);
        assert!(!format!("{:?}", told[0]).contains("Penicillin"), "{:?}", told[0]);
        assert!(world.mem.get(own).await.is_ok());
    });
}

#[test]
fn maintain_keeps_a_summary_of_each_community_and_writes_nothing_where_nothing_changed() {
    block_on(async {
        let world = World::new().await;
        let mut ids = Vec::new();
        for (team, firm) in [(["Ada", "Bob", "Eve"], "Acme"), (["Kim", "Lee", "Max"], "Globex")] {
            for name in team {
                ids.push(world.relate(name, "works_at", firm, None).await);
                ids.push(world.relate(name, "knows", team[0], None).await);
            }
        }
        world.relate("Eve", "met", "Kim", None).await;
        let summaries = || async {
            let options = crate::ListOptions {
                filter: Some(serde_json::json!({ "kind": "entity-summary" })),
                ..crate::ListOptions::default()
            };
            world.mem.list(options).await.unwrap().items
        };
        assert_eq!(world.mem.maintain(None).await.unwrap().ran.get("communities"), Some(&2));
        let first = summaries().await;
        assert_eq!(first.len(), 2);
        assert!(first[0].content.starts_with("Ada, Acme, Eve and Bob belong together."), "{}", first[0].content);
        assert!(first[0].content.contains(" Bob works at Acme."));
        assert!(first.iter().all(|m| m.provenance.derived_from.iter().all(|id| ids.contains(id))));
        world.hour();
        assert_eq!(world.mem.maintain(None).await.unwrap().ran.get("communities"), None);
        assert_eq!(summaries().await, first);
        // It repeats what each relation says, so it goes with any of them at once.
        let gone = world.mem.forget(Forget::Id(ids[2])).await.unwrap();
        assert_eq!((gone.deleted, gone.derived), (1, 1));
        assert_eq!(summaries().await.len(), 1);
        assert_eq!(world.mem.maintain(None).await.unwrap().ran.get("communities"), Some(&1));
        assert!(summaries().await.iter().all(|m| !m.content.contains("Bob works at Acme")));
        // What not everybody may read is in no summary.
        let update =
            crate::MemoryUpdate { info_class: Some(crate::model::InfoClass::Restricted), ..Default::default() };
        assert!(summaries().await.iter().any(|m| m.content.contains("Lee works at Globex")));
        world.mem.update(ids[8], update).await.unwrap();
        world.mem.maintain(None).await.unwrap();
        assert_eq!(summaries().await.len(), 2);
        assert!(summaries().await.iter().all(|m| !m.content.contains("Lee works at Globex")));
        for id in ids {
            world.mem.forget(Forget::Id(id)).await.unwrap();
        }
        world.mem.maintain(None).await.unwrap();
        assert!(summaries().await.is_empty());
    });
}

#[test]
fn a_snapshot_has_the_strength_that_was_known_then() {
    block_on(async {
        let world = World::new().await;
        let said = |weight: f64, confidence: f64| NewRelation {
            weight: Some(weight),
            confidence: Some(confidence),
            valid_from: Some(Timestamp::parse("2024-01-01").unwrap()),
            ..NewRelation::new("Ada", "knows", "Bob")
        };
        let told = [("a", said(1.0, 0.5)), ("b", said(4.0, 0.5)), ("c", said(4.0, 0.5)), ("d", said(2.0, 1.0))];
        for (n, (label, relation)) in told.into_iter().enumerate() {
            let receipt = world.mem.relate(relation).await.unwrap();
            assert_eq!((receipt.merged, receipt.version), (n > 0, [1, 2, 2, 3][n]));
            world.mem.snapshot(label).await.unwrap();
            world.hour();
        }
        for (label, cost) in [(Some("a"), 2.0), (Some("b"), 0.5), (Some("c"), 0.5), (Some("d"), 0.25), (None, 0.25)] {
            let snapshot = label.map(str::to_owned);
            let near = NeighborsOptions { snapshot: snapshot.clone(), ..NeighborsOptions::default() };
            let near = world.mem.neighbors("Ada", near).await.unwrap().neighbors;
            assert_eq!(near[0].strength, 1.0 / cost, "{label:?}");
            let path = world.mem.path("Bob", "Ada", PathOptions { snapshot, at: None }).await.unwrap().unwrap();
            assert_eq!(path.cost, cost, "{label:?}");
        }
    });
}
