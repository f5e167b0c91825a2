//! The life of memories over a year that passes by a manual clock, on the reference store and on SQLite.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test reports by panicking

use async_trait::async_trait;
use rae_core::{
    Builder, Embedding, ErrorKind, Kind, Layer, LifecyclePolicy, MemoryId, MemoryUpdate, NewMemory, Rae, RecallOptions,
    Result, Timestamp, WorkOptions, block_on,
    ctx::Ctx,
    embedded::{
        memory::ReferenceStore,
        sqlite::{OpenOptions, SqliteStore},
    },
    guard::{Fault, Faults, Guarded, Policy, When},
    limits::{AUDIT_ROWS_MAX, TOMBSTONES_MAX},
    model::{InfoClass, JobKind, Life, Schedule, Scope},
    ports::{Clock, EmbedRole, Embedder, ManualClock, RelationalStore},
};
use serde_json::json;
use std::{collections::BTreeMap, sync::Arc, time::Duration};

const DAY: i64 = 86_400;

/// Vectors of two numbers, from the length of the text.
#[derive(Debug)]
struct Tiny;

#[async_trait]
impl Embedder for Tiny {
    fn id(&self) -> &str {
        "tiny/2"
    }

    fn dim(&self) -> usize {
        2
    }

    async fn embed(&self, texts: &[&str], _: EmbedRole) -> Result<Vec<Option<Vec<f32>>>> {
        Ok(texts.iter().map(|text| Some(vec![1.0, text.len() as f32 / 100.0])).collect())
    }
}

struct Bench {
    mem: Rae,
    store: Arc<dyn RelationalStore>,
    clock: Arc<ManualClock>,
    faults: Arc<Faults>,
}

impl Bench {
    async fn open(on_sqlite: bool, how: impl Fn(Builder) -> Builder) -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::parse("2026-01-01").unwrap()));
        let own = || Arc::clone(&clock) as Arc<dyn Clock>;
        let store: Arc<dyn RelationalStore> = if on_sqlite {
            let options = OpenOptions { clock: own(), seed: Some(42), ..OpenOptions::default() };
            Arc::new(SqliteStore::open(options).unwrap())
        } else {
            Arc::new(ReferenceStore::new(own()))
        };
        let faults = Faults::new();
        let faulty: Arc<dyn RelationalStore> =
            Arc::new(Guarded::relational(Arc::clone(&store), Policy::default()).with_faults(Arc::clone(&faults)));
        let builder = Rae::builder().clock(own()).seed(42).relational(faulty);
        let mem = how(builder.embedding(Embedding::Custom(Arc::new(Tiny)))).open().await.unwrap();
        Self { mem, store, clock, faults }
    }

    fn ctx(&self) -> Ctx {
        Ctx::new(Scope::default())
    }

    fn pass_days(&self, days: i64) {
        self.clock.advance_seconds(days * DAY);
    }

    async fn remember(&self, new: NewMemory) -> MemoryId {
        self.mem.remember(new).await.unwrap().id
    }

    async fn maintain(&self) -> BTreeMap<String, u64> {
        self.mem.maintain(None).await.unwrap().ran
    }

    async fn lives(&self) -> Vec<Life> {
        let mut all: Vec<Life> = Vec::new();
        loop {
            let page = self.store.lives(&self.ctx(), all.last().map(|life| life.id), 1_000).await.unwrap();
            if page.is_empty() {
                return all;
            }
            all.extend(page);
        }
    }

    async fn strength(&self, id: MemoryId) -> f64 {
        self.mem.get(id).await.unwrap().strength
    }

    async fn actions(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for (_, row) in self.store.audit(&self.ctx(), 1_000).await.unwrap() {
            *counts.entry(row.action).or_default() += 1;
        }
        counts
    }
}

fn said(layer: Layer, session: &str, text: String) -> NewMemory {
    NewMemory { layer: Some(layer), session_id: Some(session.to_owned()), ..NewMemory::new(text) }
}

fn k(k: i64) -> RecallOptions {
    RecallOptions { k, ..RecallOptions::default() }
}

/// What happens on one day.
async fn live_a_day(b: &Bench, day: i64) {
    let mut items: Vec<_> = (0..5)
        .map(|n| NewMemory { layer: Some(Layer::Sensory), ..NewMemory::new(format!("noise {n} of day {day}")) })
        .collect();
    items.extend((0..3).map(|n| said(Layer::Working, &format!("task {}", day / 40), format!("step {n} of day {day}"))));
    items.extend(
        (0..2).map(|n| said(Layer::Episodic, &format!("talk {day}"), format!("line {n} about lamp {}", day % 7))),
    );
    items.push(NewMemory::new(format!("Lamp {} is in room {}.", day % 30, day % 30)));
    if day % 10 == 0 {
        items.push(NewMemory {
            kind: Some(Kind::Lesson),
            ..NewMemory::new(format!("Check lamp {day} before the others."))
        });
    }
    b.mem.remember_many(items).await.unwrap();
    let hits = b.mem.recall(&format!("where is lamp {}", day % 5), k(3)).await.unwrap().hits;
    if let Some(best) = hits.first() {
        b.mem.feedback(best.id, day % 3 != 0).await.unwrap();
    }
}

/// Everything that a later run could see of a year. Memories go by their places in the order of ids: what the background thread
/// writes takes ids of its own between them, when it comes to it.
type Year = (Vec<Life>, Vec<(Option<usize>, f64)>, BTreeMap<String, usize>);

async fn live_a_year(b: &Bench) -> Year {
    for day in 0..365 {
        live_a_day(b, day).await;
        b.pass_days(1);
        b.maintain().await;
        if day % 30 == 29 {
            let lives = b.lives().await;
            assert!(
                lives.iter().all(|life| (0.0..=1.0).contains(&life.strength) && (0.0..=1.0).contains(&life.importance))
            );
            let of = |layer| lives.iter().filter(|life| life.layer == layer).count();
            // A day's noise is gone after a day, a week's steps after a week; the rest is nobody's to delete.
            assert_eq!(of(Layer::Sensory), 0);
            assert!(of(Layer::Working) <= 3 * 7);
            assert_eq!(of(Layer::Episodic) as i64, 2 * (day + 1));
            assert_eq!(of(Layer::Semantic), 30);
            assert_eq!(of(Layer::Reflective) as i64, day / 10 + 1);
            let ctx = b.ctx();
            assert!(b.store.verify(&ctx).await.unwrap().is_empty());
            assert!(b.store.jobs(&ctx, 1_000).await.unwrap().is_empty());
            assert!(b.store.segments(&ctx).await.unwrap().len() <= 2);
            let head = b.store.head(&ctx).await.unwrap();
            let changes = b.store.changes_since(&ctx, 0, head.seq, 1_000, "tiny/2").await.unwrap();
            assert!(changes.deletes.len() <= TOMBSTONES_MAX);
            assert!(b.actions().await.values().sum::<usize>() <= AUDIT_ROWS_MAX.min(1_000));
            // No change of a number makes a version.
            assert_eq!(b.store.history(&ctx, lives[0].id).await.unwrap().len(), 1);
        }
    }
    let hits = b.mem.recall("where is lamp 3", k(20)).await.unwrap().hits;
    let mut lives = b.lives().await;
    let place = |id: MemoryId| lives.iter().position(|life| life.id == id);
    let hits = hits.into_iter().map(|hit| (place(hit.id), hit.score)).collect();
    let nobody = MemoryId(uuid::Uuid::nil());
    lives.iter_mut().for_each(|life| life.id = nobody);
    (lives, hits, b.actions().await)
}

#[test]
fn a_year_of_use_stays_within_bounds_and_passes_the_same_way_again() {
    block_on(async {
        let mut years = Vec::new();
        for on_sqlite in [true, true, false] {
            let b = Bench::open(on_sqlite, |builder| builder).await;
            years.push(live_a_year(&b).await);
            b.mem.close().await.unwrap();
        }
        assert_eq!(years[0], years[1], "the same year again");
        assert_eq!(years[0], years[2], "the same year on the other store");
        let lives = &years[0].0;
        let old: Vec<_> = lives.iter().filter(|life| life.layer == Layer::Episodic && life.access_count == 0).collect();
        assert!(old[0].strength <= 0.1 && old[old.len() - 1].strength == 1.0);
        assert!(lives.iter().filter(|life| life.kind == Kind::Lesson).all(|life| life.strength > 0.5));
    });
}

#[test]
fn maintaining_again_at_the_same_time_changes_nothing_more() {
    block_on(async {
        for on_sqlite in [true, false] {
            let b = Bench::open(on_sqlite, |builder| builder).await;
            for n in 0..20 {
                b.remember(said(Layer::Episodic, "s", format!("line {n}"))).await;
            }
            b.pass_days(100);
            assert_eq!(b.maintain().await.get("faded"), Some(&20));
            let (seq, lives) = (b.store.head(&b.ctx()).await.unwrap().seq, b.lives().await);
            for _ in 0..100 {
                assert!(!b.maintain().await.contains_key("faded"));
            }
            assert_eq!((b.store.head(&b.ctx()).await.unwrap().seq, b.lives().await), (seq, lives));
            assert_eq!(b.actions().await, BTreeMap::from([("fade".to_owned(), 1)]));
        }
    });
}

#[test]
fn a_run_that_was_cut_off_is_finished_by_the_next_and_fades_nothing_twice() {
    block_on(async {
        let texts: Vec<_> = (0..2_500).map(|n| said(Layer::Episodic, "s", format!("line {n}"))).collect();
        let mut ends = Vec::new();
        // The answer of the second page is lost for good, before or after it was written; and one run without trouble.
        for when in [Some(When::Before), Some(When::After), None] {
            let b = Bench::open(true, |builder| builder).await;
            b.mem.remember_many(texts.clone()).await.unwrap();
            b.pass_days(90);
            if let Some(when) = when {
                let second = b.faults.calls("apply") + 2;
                b.faults.on("apply", second, Fault::Fail { kind: ErrorKind::Unavailable, temporary: false, when });
                assert!(b.mem.maintain(None).await.is_err());
                let half = b.lives().await.iter().filter(|life| life.strength < 1.0).count();
                assert!(half == 1_000 || half == 2_000);
            }
            b.maintain().await;
            ends.push(b.lives().await.iter().map(|life| life.strength).collect::<Vec<_>>());
            assert_eq!(b.actions().await["fade"], 3);
        }
        assert_eq!(ends[2], vec![0.5; 2_500]);
        assert!(ends[0] == ends[2] && ends[1] == ends[2]);
    });
}

#[test]
fn recall_keeps_from_fading_and_feedback_raises() {
    block_on(async {
        let b = Bench::open(true, |builder| builder).await;
        let idle = b.remember(NewMemory { layer: Some(Layer::Episodic), ..NewMemory::new("zebra") }).await;
        let used = b.remember(NewMemory { layer: Some(Layer::Episodic), ..NewMemory::new("quokka") }).await;
        for _ in 0..18 {
            b.pass_days(10);
            b.mem.recall("quokka", k(1)).await.unwrap();
            b.maintain().await;
        }
        assert_eq!((b.strength(idle).await, b.strength(used).await), (0.25, 1.0));
        // A useful memory rises, and is in use from now on.
        b.mem.feedback(idle, true).await.unwrap();
        let raised = b.strength(idle).await;
        assert!(raised > 0.35);
        b.maintain().await;
        assert_eq!(b.strength(idle).await, raised);
        b.pass_days(365);
        b.maintain().await;
        assert!(b.strength(idle).await < raised);
        assert_eq!(b.mem.history(idle).await.unwrap().len(), 1);
    });
}

#[test]
fn of_two_equal_memories_the_faded_one_comes_second() {
    block_on(async {
        let b = Bench::open(true, |builder| builder).await;
        // Later ids win no ties, so the order says that strength did.
        let old = b.remember(said(Layer::Reflective, "a", "the lamp is green".into())).await;
        let new = b.remember(said(Layer::Reflective, "b", "the lamp is green".into())).await;
        let order = || async {
            let hits = b.mem.recall("lamp", k(2)).await.unwrap().hits;
            hits.into_iter().map(|hit| hit.id).collect::<Vec<_>>()
        };
        let before = order().await;
        b.maintain().await;
        assert_eq!(order().await, before, "nothing that is fresh is moved");
        b.mem.feedback(before[0], false).await.unwrap();
        let weaker = b.mem.get(before[0]).await.unwrap();
        assert!(weaker.strength < 1.0 && before.contains(&old) && before.contains(&new));
        assert_eq!(order().await, [before[1], before[0]]);
    });
}

#[test]
fn nothing_is_deleted_that_no_policy_names() {
    block_on(async {
        let b = Bench::open(true, |builder| builder).await;
        for layer in [Layer::Episodic, Layer::Semantic, Layer::Reflective] {
            b.remember(NewMemory { importance: Some(0.0), ..said(layer, "s", format!("only copy in {layer}")) }).await;
        }
        b.pass_days(36_500);
        b.maintain().await;
        assert_eq!(b.lives().await.len(), 3);
    });
}

#[test]
fn a_policy_forgets_retires_and_protects_with_a_row_for_each_pass() {
    block_on(async {
        let policy = LifecyclePolicy::parse(json!({
            "forget_below": 0.1, "forget_after_days": 60, "keep_class_days": {"restricted": 30},
        }))
        .unwrap();
        for on_sqlite in [true, false] {
            let b = Bench::open(on_sqlite, |builder| builder.lifecycle(policy.clone())).await;
            let weak =
                b.remember(NewMemory { importance: Some(0.1), ..said(Layer::Episodic, "s", "weak".into()) }).await;
            let tags = vec!["pinned".to_owned()];
            let pinned = b
                .remember(NewMemory { importance: Some(0.1), tags, ..said(Layer::Episodic, "s", "pinned".into()) })
                .await;
            let secret =
                b.remember(NewMemory { info_class: Some(InfoClass::Restricted), ..NewMemory::new("secret") }).await;
            b.pass_days(30);
            let ran = b.maintain().await;
            assert_eq!((ran.get("retired"), ran.get("forgotten")), (Some(&1), None));
            assert_eq!(b.mem.get(secret).await.unwrap_err().kind(), ErrorKind::NotFound);
            b.pass_days(30);
            assert_eq!(b.maintain().await.get("forgotten"), Some(&1));
            assert!(b.mem.get(weak).await.is_err());
            assert_eq!(b.strength(pinned).await, 1.0);
            let actions = b.actions().await;
            assert_eq!((actions.get("retire"), actions.get("forget_faded")), (Some(&1), Some(&1)));
        }
    });
}

#[test]
fn a_layer_that_became_too_full_without_a_write_is_trimmed() {
    block_on(async {
        let b = Bench::open(true, |builder| builder).await;
        let texts = (0..130).map(|n| said(Layer::Episodic, "s", format!("line {n}"))).collect();
        for receipt in b.mem.remember_many(texts).await.unwrap() {
            b.mem
                .update(receipt.id, MemoryUpdate { layer: Some(Layer::Working), ..MemoryUpdate::default() })
                .await
                .unwrap();
        }
        assert_eq!(b.maintain().await.get("trimmed"), Some(&30));
        assert_eq!(b.lives().await.len(), 100);
        assert_eq!(b.actions().await, BTreeMap::from([("trim".to_owned(), 1)]));
        assert!(!b.maintain().await.contains_key("trimmed"));
    });
}

#[test]
fn the_scheduled_job_does_the_same_and_looks_once_a_day() {
    block_on(async {
        for on_sqlite in [true, false] {
            let b = Bench::open(on_sqlite, |builder| builder).await;
            let id = b.remember(said(Layer::Episodic, "s", "line".into())).await;
            let schedules = [Schedule { kind: JobKind::Maintain, every: Duration::from_secs(3_600) }];
            let mut strengths = Vec::new();
            for _ in 0..10 {
                b.pass_days(18);
                b.store.schedule(b.clock.now(), &schedules).await.unwrap();
                while b.mem.run_due_job(&WorkOptions::default()).await.unwrap().is_some() {}
                strengths.push(b.strength(id).await);
                assert!(b.mem.run_due_job(&WorkOptions::default()).await.unwrap().is_none());
            }
            assert_eq!((strengths[4], strengths[9]), (0.5, 0.25));
            assert!(strengths.is_sorted_by(|a, b| a > b));
            // The same hour: no second look, so no second read of every memory.
            let looks = b.faults.calls("lives");
            b.clock.advance_seconds(3_601);
            b.store.schedule(b.clock.now(), &schedules).await.unwrap();
            while b.mem.run_due_job(&WorkOptions::default()).await.unwrap().is_some() {}
            assert_eq!(b.faults.calls("lives"), looks);
        }
    });
}

#[test]
fn a_policy_that_is_none_opens_nothing() {
    let policy = LifecyclePolicy { forget_below: Some(f64::NAN), ..LifecyclePolicy::default() };
    let error = block_on(Rae::builder().lifecycle(policy).open()).unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::InvalidInput, "lifecycle_policy"));
}
