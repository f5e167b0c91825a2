//! Random batches on the adapter and on the reference store: after each, all reads agree.

use super::random_money::{MoneyMaker, assert_same_money, assert_within_limits};
use crate::{
    conformance::fixtures::{DAY, EMBEDDER, OTHER_EMBEDDER, Rig, key, memory, object, start, unit, vector_row},
    ctx::Ctx,
    embedded::memory::ReferenceStore,
    error::Result,
    model::{
        Applied, Claim, DropTarget, IdGenerator, Idempotency, JobKind, Layer, Memory, MemoryId, MemoryPatch, NewJob,
        Op, Outcome, PatchMode, Precondition, Provenance, Scope, SegmentRow, Timestamp, WriteBatch,
    },
    ports::{ManualClock, RelationalStore},
};
use fastrand::Rng;
use serde_json::json;
use std::{sync::Arc, time::Duration};

/// Seeds of [`random_batches_agree_with_the_reference_store`].
const SEEDS: u64 = 64;
/// Steps of one seed.
const STEPS: usize = 24;

/// One step of a random run. Times are absolute; a replay sets the clock to `now` first.
#[derive(Debug, Clone)]
pub struct Step {
    /// When.
    pub now: Timestamp,
    /// Where.
    pub scope: Scope,
    /// What.
    pub action: Action,
}

/// What a step does.
#[derive(Debug, Clone)]
pub enum Action {
    /// Applies a batch, sometimes one that was applied before.
    Apply(WriteBatch),
    /// Takes all due jobs for a minute.
    Lease,
    /// Finishes the lease that was taken as the n-th (counting round), or gives it back.
    Settle {
        /// Which lease.
        nth: usize,
        /// Whether it is finished, tried again or parked.
        end: End,
    },
    /// Housekeeping.
    Checkpoint,
}

/// How the job of a lease goes on.
#[derive(Debug, Clone, Copy)]
pub enum End {
    /// Done.
    Finish,
    /// Tried again.
    Retry,
    /// Laid aside.
    Bury,
    /// Parked.
    Park,
}

struct Maker {
    rng: Rng,
    ids: IdGenerator,
    now: Timestamp,
    scopes: [Scope; 3],
    /// Ids that were put somewhere, and a few that never are.
    known: Vec<MemoryId>,
    money: MoneyMaker,
    /// For claims alone, so that the rest of a seed stays what it was before there were any.
    claims: Rng,
}

const SESSIONS: [&str; 3] = ["s", "S", "s%"];

impl Maker {
    fn one_in(&mut self, n: u32) -> bool {
        self.rng.u32(..n) == 0
    }

    fn pick_id(&mut self) -> MemoryId {
        // Rather a recent one, so that most patches and deletions find their memory.
        let reach = self.known.len().min(12);
        let back = self.rng.usize(..reach) + 1;
        self.known[self.known.len() - back]
    }

    fn time(&mut self) -> Option<Timestamp> {
        let seconds = self.rng.i64(-3..3) * DAY;
        (!self.one_in(3)).then(|| self.now.saturating_add_seconds(seconds))
    }

    /// Few names and relations, so that keys are shared.
    fn claim(&mut self) -> Option<Claim> {
        let rng = &mut self.claims;
        let (subject, object) = (SESSIONS[rng.usize(..3)], SESSIONS[rng.usize(..3)]);
        let relation = if rng.bool() { "knows" } else { "works at" };
        let weight = f64::from(rng.u32(1..5)) / 3.0;
        rng.bool().then(|| Claim::new(subject, relation, object, weight).unwrap())
    }

    fn memory(&mut self, scope: &Scope) -> Memory {
        let id = if self.one_in(12) { self.pick_id() } else { self.ids.next(self.now) };
        self.known.push(id);
        let text = format!("text {}", self.rng.u32(..8));
        let derived_from = if self.one_in(3) { vec![self.pick_id()] } else { Vec::new() };
        let claim = self.claim();
        Memory {
            claim,
            layer: Layer::ALL[self.rng.usize(..5)],
            session_id: (!self.one_in(2)).then(|| SESSIONS[self.rng.usize(..3)].to_owned()),
            user_id: (!self.one_in(2)).then(|| SESSIONS[self.rng.usize(..3)].to_owned()),
            dedup_key: self.one_in(2).then(|| key(&text)),
            tags: (0..self.rng.usize(..3)).map(|_| SESSIONS[self.rng.usize(..3)].to_owned()).collect(),
            metadata: object(json!({"n": self.rng.u32(..4)})),
            importance: self.rng.f64(),
            confidence: self.rng.f64(),
            provenance: Provenance { derived_from, sources: vec![text.clone()] },
            occurred_at: self.time(),
            expires_at: self.time(),
            ..memory(scope, id, self.now, &text)
        }
    }

    fn patch(&mut self) -> Op {
        let text = format!("text {}", self.rng.u32(..8));
        let patch = MemoryPatch {
            content: self.one_in(2).then(|| text.clone()),
            dedup_key: self.one_in(4).then(|| Some(key(&text))),
            layer: self.one_in(4).then(|| Layer::ALL[self.rng.usize(..5)]),
            importance: self.one_in(2).then(|| self.rng.f64()),
            expires_at: self.one_in(3).then(|| self.time()),
            superseded_by: self.one_in(4).then(|| Some(self.pick_id())),
            claim: (self.claims.u32(..4) == 0).then(|| self.claim()),
            ..MemoryPatch::default()
        };
        let mode = if self.one_in(3) { PatchMode::InPlace } else { PatchMode::NewVersion };
        let vector = match self.rng.u32(..4) {
            0 => Some(None),
            1 => Some(Some(vector_row(EMBEDDER, unit(self.rng.u16(..1_000))))),
            _ => None,
        };
        Op::PatchMemory { id: self.pick_id(), patch: Box::new(patch), mode, vector }
    }

    fn put(&mut self, scope: &Scope) -> Op {
        let memory = self.memory(scope);
        // A vector only where nothing can merge: what a merge does with a vector is the adapter's choice.
        let vector = memory.dedup_key.is_none().then(|| vector_row(EMBEDDER, unit(self.rng.u16(..1_000))));
        let idempotency = self.one_in(3).then(|| {
            let (name, body) = (self.rng.u32(..6), self.rng.u32(..8) / 7);
            Idempotency { verb: "remember", key: format!("k{name}"), body_hash: key(&format!("{body}")) }
        });
        Op::PutMemory { memory: Box::new(memory), vector: vector.filter(|_| self.rng.bool()), idempotency }
    }

    fn op(&mut self, scope: &Scope) -> Op {
        match self.rng.u32(..40) {
            0..=15 => self.put(scope),
            16..=21 => self.patch(),
            22..=25 => Op::DeleteMemory { id: self.pick_id() },
            26..=28 => {
                let embedder = if self.one_in(3) { OTHER_EMBEDDER } else { EMBEDDER };
                let (n, version) = (self.rng.u16(..1_000), self.rng.u32(1..4));
                Op::PutVector { id: self.pick_id(), version, vector: vector_row(embedder, unit(n)) }
            }
            29..=30 => Op::RecordAccess { counts: (0..3).map(|n| (self.pick_id(), n + 1, self.now)).collect() },
            31..=32 => {
                let (from_seq, length) = (self.rng.u64(..20), self.rng.u64(1..20));
                let row = SegmentRow {
                    from_seq,
                    to_seq: from_seq + length,
                    ids: vec![self.pick_id()],
                    data: vec![self.rng.u8(..)],
                };
                Op::PutSegment { row }
            }
            33 => {
                let session_id = self.rng.bool().then(|| SESSIONS[self.rng.usize(..3)].to_owned());
                Op::TrimLayer { layer: Layer::ALL[self.rng.usize(..5)], session_id, keep: self.rng.usize(..4) }
            }
            34 => {
                let name = SESSIONS[self.rng.usize(..3)].to_owned();
                Op::DropScope {
                    target: if self.rng.bool() { DropTarget::Session(name) } else { DropTarget::User(name) },
                }
            }
            35 => {
                let embedder = if self.rng.bool() { OTHER_EMBEDDER } else { EMBEDDER };
                Op::SetEmbedder { embedder: embedder.to_owned(), dim: 4 }
            }
            36 => {
                let version = self.rng.u32(1..4);
                let memory = Memory { version, ..self.memory(scope) };
                let access = self.rng.bool().then_some((self.rng.u64(..9), self.now));
                Op::RestoreMemory { memory: Box::new(memory), vector: None, history: Vec::new(), access }
            }
            _ => {
                let run_at = self.now.saturating_add_seconds(self.rng.i64(-10..10));
                let job =
                    NewJob { id: self.ids.next_uuid(self.now), kind: JobKind::Embed, payload: json!({"n": 1}), run_at };
                Op::EnqueueJob { job }
            }
        }
    }

    fn batch(&mut self, scope: &Scope) -> WriteBatch {
        let preconditions = match self.rng.u32(..12) {
            0 => vec![Precondition::VersionIs(self.pick_id(), self.rng.u32(1..3))],
            1 => vec![Precondition::Absent(self.pick_id())],
            2 => vec![Precondition::EmbedderIs(EMBEDDER.to_owned())],
            _ => Vec::new(),
        };
        let mut ops: Vec<_> = (0..self.rng.usize(1..7)).map(|_| self.op(scope)).collect();
        ops.extend(self.money.ops(&self.ids, self.now));
        WriteBatch { id: self.ids.next_uuid(self.now), now: self.now, preconditions, ops }
    }
}

/// The steps of a seed: always the same ones. They stay inside tenants named after the seed, at times after those of smaller seeds.
pub fn random_ops(seed: u64) -> Vec<Step> {
    let tenant = format!("seed {seed}");
    let scope = |tenant: &str, project: &str| Scope::new(tenant, project).expect("the names of a run are valid");
    let scopes = [scope(&tenant, "p"), scope(&tenant, "P"), scope(&format!("{tenant} "), "p")];
    let days = i64::try_from(seed).unwrap_or(0).saturating_mul(100);
    let now = start().saturating_add_seconds(days * DAY);
    let ids = IdGenerator::seeded(seed);
    let known = (0..2).map(|_| ids.next(now)).collect();
    let (rng, claims, money) = (Rng::with_seed(seed), Rng::with_seed(!seed), MoneyMaker::new(seed));
    let mut maker = Maker { rng, ids, now, scopes, known, money, claims };
    let mut steps: Vec<Step> = Vec::new();
    for _ in 0..STEPS {
        // Mostly one second, sometimes past the day that keys and batch ids are kept.
        let seconds = if maker.one_in(10) { DAY + 1 } else { maker.rng.i64(0..40) };
        maker.now = maker.now.saturating_add_seconds(seconds);
        let at = if maker.one_in(3) { maker.rng.usize(..3) } else { 0 };
        let scope = maker.scopes[at].clone();
        let again = if steps.is_empty() { None } else { steps.get(maker.rng.usize(..steps.len())).cloned() };
        let action = match (maker.rng.u32(..12), again.map(|s| s.action)) {
            (0, Some(Action::Apply(batch))) => Action::Apply(batch),
            (1, _) => Action::Lease,
            (2, _) => {
                let nth = maker.rng.usize(..8);
                let end = match (maker.rng.bool(), nth % 4) {
                    (false, _) => End::Finish,
                    (true, 0 | 2) => End::Retry,
                    (true, 1) => End::Park,
                    (true, _) => End::Bury,
                };
                Action::Settle { nth, end }
            }
            (3, _) => Action::Checkpoint,
            _ => Action::Apply(maker.batch(&scope)),
        };
        // A batch that comes again may come in another scope, where its memories do not belong: then it keeps its own.
        let scope = match &action {
            Action::Apply(batch) => {
                let first = steps.iter().find(|s| matches!(&s.action, Action::Apply(b) if b.id == batch.id));
                first.map_or(scope, |s| s.scope.clone())
            }
            _ => scope,
        };
        steps.push(Step { now: maker.now, scope, action });
    }
    steps
}

/// What two adapters may say differently without breaking a rule.
fn settled(result: Result<Applied>) -> std::result::Result<Applied, crate::ErrorKind> {
    let mut applied = result.map_err(|error| error.kind())?;
    for outcome in &mut applied.outcomes {
        match outcome {
            Outcome::Trimmed { ids } => ids.sort_unstable(),
            Outcome::Dropped { memories: 0, projects } => projects.clear(),
            _ => {}
        }
    }
    Ok(applied)
}

/// Fences by job, as each store gave them: their values are the store's own.
#[derive(Debug, Default)]
struct Leases(Vec<(Scope, uuid::Uuid, u64, u64)>);

async fn replay(step: &Step, stores: [&dyn RelationalStore; 2], leases: &mut Leases) {
    let ctx = Ctx::new(step.scope.clone());
    let batch = |id, preconditions, ops| WriteBatch { id, now: step.now, preconditions, ops };
    match &step.action {
        Action::Apply(batch) => {
            let [ours, reference] = stores.map(|store| store.apply(&ctx, batch.clone()));
            let answer = settled(ours.await);
            assert_eq!(answer, settled(reference.await), "the answer to {batch:#?}");
            assert_within_limits(&batch.ops, answer.as_ref().map_or(&[], |applied| &applied.outcomes));
        }
        Action::Lease => {
            let [ours, reference] = stores.map(|store| store.lease(&ctx, step.now, Duration::from_secs(60), 1_000));
            let (mut ours, mut reference) = (ours.await.unwrap(), reference.await.unwrap());
            ours.sort_by_key(|lease| lease.job.id);
            reference.sort_by_key(|lease| lease.job.id);
            let seen =
                |leases: &[crate::model::Lease]| leases.iter().map(|l| (l.job.clone(), l.until)).collect::<Vec<_>>();
            assert_eq!(seen(&ours), seen(&reference), "leases");
            let both = ours.iter().zip(&reference);
            leases.0.extend(both.map(|(a, b)| (step.scope.clone(), a.job.id, a.fence, b.fence)));
        }
        Action::Settle { nth, end } => {
            if leases.0.is_empty() {
                return;
            }
            let (scope, id, ours, reference) = leases.0[nth % leases.0.len()].clone();
            let op = match end {
                End::Retry => Op::RetryJob { id, run_at: step.now, error: "again".to_owned() },
                End::Bury => Op::BuryJob { id, error: "hopeless".to_owned() },
                End::Park => Op::ParkJob { id, run_at: step.now, error: "wait".to_owned() },
                End::Finish => Op::FinishJob { id },
            };
            let ctx = Ctx::new(scope);
            let mut answers = Vec::new();
            for (store, fence) in stores.into_iter().zip([ours, reference]) {
                let unique = uuid::Uuid::from_u128(u128::from(step.now.micros().unsigned_abs()));
                let batch = batch(unique, vec![Precondition::LeaseHeld(id, fence)], vec![op.clone()]);
                answers.push(settled(store.apply(&ctx, batch).await));
            }
            assert_eq!(answers[0], answers[1], "settling a lease");
        }
        Action::Checkpoint => {
            for store in stores {
                store.checkpoint(&ctx, step.now).await.unwrap();
            }
        }
    }
}

/// Says which seed and step failed.
struct Told<'a>(u64, usize, &'a Step);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self(seed, index, step) = self;
            let text = format!("random_ops({seed}), step {index}: {step:#?}\n");
            let _ = std::io::Write::write_all(&mut std::io::stderr(), text.as_bytes());
        }
    }
}

/// 64 fixed seeds; a failure names its seed and step. After each step every read of every scope of the seed agrees.
pub async fn random_batches_agree_with_the_reference_store(store: &dyn RelationalStore, clock: &ManualClock) {
    let own = Arc::new(ManualClock::new(start()));
    let reference = ReferenceStore::new(own.clone());
    let (ours, theirs) = (Rig::new(store, clock), Rig::new(&reference, &own));
    for seed in 0..SEEDS {
        let steps = random_ops(seed);
        let mut leases = Leases::default();
        let mut scopes: Vec<_> = steps.iter().map(|step| step.scope.clone()).collect();
        scopes.sort_unstable();
        scopes.dedup();
        for (index, step) in steps.iter().enumerate() {
            let _told = Told(seed, index, step);
            clock.set(step.now);
            own.set(step.now);
            replay(step, [store, &reference], &mut leases).await;
            for scope in &scopes {
                let (tenant, project) = (scope.tenant(), scope.project());
                let (a, b) = (ours.at(tenant, project), theirs.at(tenant, project));
                assert_eq!(a.snapshot().await, b.snapshot().await, "reads of {scope:?}");
                assert_eq!(store.verify(&a.ctx).await.unwrap(), Vec::<String>::new(), "findings in {scope:?}");
            }
            let (tenant, project) = (step.scope.tenant(), step.scope.project());
            assert_same_money(&ours.at(tenant, project), &theirs.at(tenant, project)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::executor::block_on;

    #[test]
    fn the_same_seed_gives_the_same_steps() {
        let text = |seed| format!("{:?}", random_ops(seed));
        assert_eq!(text(7), text(7));
        assert_ne!(text(7), text(8));
    }

    #[test]
    fn runs_reach_both_success_and_every_kind_of_refusal() {
        let clock = Arc::new(ManualClock::new(start()));
        let store = ReferenceStore::new(clock.clone());
        let mut seen = std::collections::BTreeMap::<String, usize>::new();
        for step in (0..SEEDS).flat_map(random_ops) {
            clock.set(step.now);
            let Action::Apply(batch) = step.action else { continue };
            match block_on(store.apply(&Ctx::new(step.scope), batch)) {
                Ok(applied) => {
                    *seen.entry("ok".into()).or_default() += 1;
                    for outcome in applied.outcomes {
                        let text = format!("{outcome:?}");
                        let name = text.split([' ', '(']).next().unwrap_or_default().to_owned();
                        *seen.entry(name).or_default() += 1;
                        for flag in ["merged: true", "replayed: true", "existed: true"] {
                            *seen.entry(flag.into()).or_default() += usize::from(text.contains(flag));
                        }
                    }
                }
                Err(error) => *seen.entry(format!("{:?} {}", error.kind(), error.code())).or_default() += 1,
            }
        }
        assert!(seen["ok"] > 500, "{seen:?}");
        for (name, least) in [
            ("merged: true", 50),
            ("replayed: true", 30),
            ("existed: true", 30),
            ("Patched", 50),
            ("Skipped", 30),
            ("Funds", 100),
        ] {
            assert!(seen[name] >= least, "{name}: {seen:?}");
        }
        assert!(seen.keys().filter(|k| k.starts_with("Conflict")).count() >= 5, "{seen:?}");
        assert!(seen.keys().any(|k| k.starts_with("BudgetExceeded")), "{seen:?}");
    }
}
