//! Running jobs: take one, keep its lease alive, do it, finish it. Loops over ports; whoever calls brings the executor.
//!
//! A job's writes and its end are one batch under its lease, or are such that doing them again changes nothing: a worker that
//! dies at any point repeats at most the job it had in hand.

use super::{embed_debt, extract};
use crate::{
    cost::Embedded,
    ctx::Ctx,
    deps::Deps,
    error::{Error, ErrorKind, Result},
    guard::within,
    limits::{EMBED_BATCH_MAX, JOB_ATTEMPTS_MAX, JOB_RETRY_SECONDS_MAX, JOB_SECONDS_MAX},
    model::{JobKind, Lease, Op, Precondition, Schedule, Scope, Timestamp, WriteBatch},
    ops,
};
use futures::{
    FutureExt,
    future::{Either, Fuse, select},
};
use futures_timer::Delay;
use parking_lot::Mutex;
use std::{
    collections::BTreeMap,
    panic::AssertUnwindSafe,
    pin::{Pin, pin},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};
use uuid::Uuid;

/// Beats within the length of a lease: two may be lost.
const BEATS: u32 = 3;
/// How often schedules are looked at.
const SCHEDULE_LOOK: Duration = Duration::from_secs(10);
/// Longest wait after the store did not answer.
const STORE_WAIT_MAX: Duration = Duration::from_secs(30);

/// How jobs are run.
#[derive(Debug, Clone)]
pub struct WorkOptions {
    /// How long a job stays taken after the last sign of life of its worker. 60 s.
    pub lease: Duration,
    /// How long to wait when nothing was due. 1 s.
    pub poll: Duration,
    /// Wait before the second attempt, 30 s; each further wait is twice as long, up to `limits::JOB_RETRY_SECONDS_MAX`, and
    /// between half of that and all of it.
    pub retry_delay: Duration,
    /// Work that comes again. Every worker looks at all of it; a period brings one job, however many look.
    pub schedules: Vec<Schedule>,
    /// End after so many jobs. `None`, the default, goes on.
    pub max_jobs: Option<u64>,
}

impl Default for WorkOptions {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(60),
            poll: Duration::from_secs(1),
            retry_delay: Duration::from_secs(30),
            schedules: Vec::new(),
            max_jobs: None,
        }
    }
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobResult {
    /// Done.
    Done,
    /// Failed; tried again later.
    Retried,
    /// Stopped by the budget; goes on when that begins anew, and no attempt is used up.
    Parked,
    /// Failed for the last time: a dead letter.
    Dead,
    /// The lease was lost on the way: another worker has the job.
    Lost,
}

impl JobResult {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Done, Self::Retried, Self::Parked, Self::Dead, Self::Lost];

    /// The name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Retried => "retried",
            Self::Parked => "parked",
            Self::Dead => "dead",
            Self::Lost => "lost",
        }
    }
}

/// One attempt of a job.
#[derive(Debug, Clone)]
pub struct JobRun {
    /// Whose it was.
    pub scope: Scope,
    /// The job.
    pub id: Uuid,
    /// What it does.
    pub kind: JobKind,
    /// Attempts so far, this one included.
    pub attempts: u32,
    /// How it ended.
    pub result: JobResult,
    /// What it failed of.
    pub error: Option<ErrorKind>,
    /// How long it took.
    pub took: Duration,
    /// How the stored sets of questions were answered; of an `Evaluate` job alone.
    pub evaluated: Vec<ops::EvaluationScore>,
    /// Changes that it made.
    pub(crate) changes: u64,
    /// Memories that no facts were read from, by reason.
    pub(crate) kept_out: BTreeMap<&'static str, u64>,
}

/// Takes one due job of any tenant and runs it.
pub(crate) async fn run_one(deps: &Deps, options: &WorkOptions) -> Result<Option<JobRun>> {
    let now = deps.clock.now();
    let leases = deps.relational.lease_due(now, options.lease, 1, &JobKind::ALL).await?;
    let Some((scope, lease)) = leases.into_iter().next() else { return Ok(None) };
    let deps = Deps { timeout: Some(Duration::from_secs(JOB_SECONDS_MAX)), ..deps.clone() };
    run_leased(&deps, &scope, lease, options).await.map(Some)
}

/// What the jobs of a scope did: changes by kind of job, and what facts were not read from, by reason.
type Ran = (BTreeMap<JobKind, u64>, BTreeMap<&'static str, u64>);

/// Runs the due jobs of one scope.
pub(crate) async fn run_scope(deps: &Deps, scope: &Scope) -> Result<Ran> {
    let (ctx, options, mut changes) = (deps.ctx(scope)?, WorkOptions::default(), BTreeMap::new());
    let mut kept_out = BTreeMap::new();
    loop {
        let leases = deps.relational.lease(&ctx, deps.clock.now(), options.lease, 1).await?;
        let Some(lease) = leases.into_iter().next() else { return Ok((changes, kept_out)) };
        let run = run_leased(deps, scope, lease, &options).await?;
        *changes.entry(run.kind).or_default() += run.changes;
        for (reason, count) in run.kept_out {
            *kept_out.entry(reason).or_default() += count;
        }
    }
}

/// Runs jobs until `stop` is ready, and then ends the one in hand. Gives how many were run.
pub(crate) async fn work(
    deps: &Deps,
    options: &WorkOptions,
    stop: impl Future<Output = ()> + Send,
    mut told: impl FnMut(&JobRun) + Send,
) -> Result<u64> {
    let mut stop = pin!(stop.fuse());
    let (mut jobs, mut failures, mut looked) = (0, 0, None::<Instant>);
    // A read-only store has nothing to do here.
    let most = if deps.relational.capability().read_only { Some(0) } else { options.max_jobs };
    while most.is_none_or(|most| jobs < most) && !has_ended(&mut stop) {
        if looked.is_none_or(|at| at.elapsed() >= SCHEDULE_LOOK.min(shortest(options))) {
            looked = Some(Instant::now());
            if let Err(error) = deps.relational.schedule(deps.clock.now(), &options.schedules).await {
                tracing::warn!(kind = error.kind().name(), code = error.code(), "schedules could not be looked at");
            }
        }
        let wait = match run_one(deps, options).await {
            Ok(Some(run)) => {
                (jobs, failures) = (jobs + 1, 0);
                told(&run);
                continue;
            }
            Ok(None) => {
                failures = 0;
                options.poll
            }
            Err(error) if matches!(error.code(), "closed" | "embedder_changed") => return Err(error),
            Err(error) => {
                tracing::warn!(kind = error.kind().name(), code = error.code(), "no job could be taken");
                failures = 16.min(failures + 1);
                options.poll.saturating_mul(1 << failures).min(STORE_WAIT_MAX)
            }
        };
        // A share of the wait by chance, so that workers do not ask in step.
        let wait = spread(wait, deps.ids.next_uuid(deps.clock.now()).as_bytes());
        select(&mut stop, Delay::new(wait)).await;
    }
    Ok(jobs)
}

fn has_ended(stop: &mut Pin<&mut Fuse<impl Future<Output = ()>>>) -> bool {
    use futures::future::FusedFuture;
    stop.is_terminated() || stop.as_mut().now_or_never().is_some()
}

fn shortest(options: &WorkOptions) -> Duration {
    options.schedules.iter().map(|s| s.every).min().unwrap_or(SCHEDULE_LOOK).max(options.poll)
}

/// Between half of `wait` and all of it, by the bytes given: the same bytes, the same wait.
fn spread(wait: Duration, seed: &[u8]) -> Duration {
    let [byte, ..] = *blake3::hash(seed).as_bytes();
    wait / 2 + (wait / 2).mul_f64(f64::from(byte) / 255.0)
}

/// A lease and the clock of the store that gave it: ours may be another.
pub(super) struct Held<'a> {
    pub(super) deps: &'a Deps,
    ctx: Ctx,
    lease: &'a Lease,
    length: Duration,
    since: Instant,
    /// Changes written so far.
    changes: AtomicU64,
    evaluated: Mutex<Vec<ops::EvaluationScore>>,
    /// What facts were not read from, by reason.
    pub(super) kept_out: Mutex<BTreeMap<&'static str, u64>>,
}

impl Held<'_> {
    /// The store's time, as far as it is known here: a little early.
    fn now(&self) -> Timestamp {
        let since = self.since.elapsed().as_micros();
        let micros = since as i64 - self.length.as_micros() as i64;
        Timestamp::from_micros(self.lease.until.micros().saturating_add(micros)).unwrap_or(self.lease.until)
    }

    /// Writes under the lease.
    async fn apply(&self, ops: Vec<Op>) -> Result<()> {
        self.apply_if(Vec::new(), ops).await
    }

    /// The same, where more must hold.
    pub(super) async fn apply_if(&self, mut preconditions: Vec<Precondition>, ops: Vec<Op>) -> Result<()> {
        preconditions.push(Precondition::LeaseHeld(self.lease.job.id, self.lease.fence));
        self.deps.relational.apply(&self.ctx, self.deps.batch_if(preconditions, ops)).await.map(|_| ())
    }

    /// What prolongs the lease.
    fn extension(&self) -> Op {
        Op::ExtendLease { id: self.lease.job.id, until: self.now().saturating_add(self.length) }
    }

    /// The same under an id of the caller's: what was applied under it already is not applied again.
    pub(super) async fn apply_as(&self, id: Uuid, mut held: Vec<Precondition>, ops: Vec<Op>) -> Result<()> {
        held.push(Precondition::LeaseHeld(self.lease.job.id, self.lease.fence));
        let batch = WriteBatch { id, ..self.deps.batch_if(held, ops) };
        self.deps.relational.apply(&self.ctx, batch).await.map(|_| ())
    }

    /// Prolongs the lease again and again; ends when it is lost.
    async fn beat(&self) {
        loop {
            Delay::new(self.length / BEATS).await;
            match self.apply(vec![self.extension()]).await {
                Err(error) if is_lost(&error) => return,
                Err(error) => tracing::warn!(kind = error.kind().name(), "a lease could not be prolonged"),
                Ok(()) => {}
            }
        }
    }
}

fn is_lost(error: &Error) -> bool {
    error.code() == "lease_lost"
}

async fn run_leased(deps: &Deps, scope: &Scope, lease: Lease, options: &WorkOptions) -> Result<JobRun> {
    let since = Instant::now();
    let held = Held {
        deps,
        ctx: Ctx::new(scope.clone()),
        lease: &lease,
        length: options.lease,
        since,
        changes: AtomicU64::new(0),
        evaluated: Mutex::default(),
        kept_out: Mutex::default(),
    };
    let limit = deps.timeout.unwrap_or(Duration::from_secs(JOB_SECONDS_MAX));
    // A job that panics must not take down whoever runs it.
    let work = AssertUnwindSafe(within(Some(limit), attempt(&held, scope))).catch_unwind();
    let ended = match select(pin!(work), pin!(held.beat())).await {
        Either::Left((Ok(ended), _)) => ended,
        Either::Left((Err(_), _)) => Err(Error::internal("the job panicked")),
        Either::Right(((), _)) => Err(Error::conflict("the lease was lost").with_code("lease_lost")),
    };
    let mut run = JobRun {
        scope: scope.clone(),
        id: lease.job.id,
        kind: lease.job.kind,
        attempts: lease.job.attempts,
        result: JobResult::Done,
        error: ended.as_ref().err().map(Error::kind),
        took: since.elapsed(),
        changes: held.changes.load(Ordering::Relaxed),
        evaluated: std::mem::take(&mut held.evaluated.lock()),
        kept_out: std::mem::take(&mut held.kept_out.lock()),
    };
    let Err(error) = ended else { return Ok(run) };
    run.result = if is_lost(&error) { JobResult::Lost } else { give_back(&held, &error, options).await? };
    tracing::warn!(
        job = %run.id, kind = run.kind.as_str(), attempts = run.attempts, result = run.result.as_str(),
        error = error.kind().name(), code = error.code(), "a job did not come to its end"
    );
    // Whoever opened the store with an embedder that it has left can pay no debt: the next attempt is another one's.
    if error.code() == "embedder_changed" { Err(error) } else { Ok(run) }
}

/// Does the job and ends it.
async fn attempt(held: &Held<'_>, scope: &Scope) -> Result<()> {
    let (deps, job) = (held.deps, &held.lease.job);
    let mut changes = 0;
    let (preconditions, mut ops) = match job.kind {
        JobKind::Embed => pay(held, scope).await?,
        JobKind::Extract => {
            changes = extract::run(held, &deps.ctx(scope)?, job).await?;
            deps.background.nudge(scope);
            (Vec::new(), Vec::new())
        }
        JobKind::Maintain => {
            ops::housekeep(deps, scope, deps.clock.now()).await?;
            (Vec::new(), Vec::new())
        }
        JobKind::Evaluate => {
            // Told as they come: what was asked stands, however the job ends.
            ops::evaluate_all(deps, scope, |score| held.evaluated.lock().push(score)).await?;
            (Vec::new(), Vec::new())
        }
        JobKind::Reflect => {
            changes = ops::run_reflect(deps, scope, job).await?;
            (Vec::new(), Vec::new())
        }
    };
    changes += ops.len() as u64;
    ops.push(Op::FinishJob { id: job.id });
    held.apply_if(preconditions, ops).await?;
    held.changes.fetch_add(changes, Ordering::Relaxed);
    Ok(())
}

/// Embeds what is owed. What is computed, and perhaps paid for, is written before the next is: however the job ends, at most what was
/// under way is computed again. Gives the last part, which goes with the end of the job, and what must hold for the debt to be paid.
async fn pay(held: &Held<'_>, scope: &Scope) -> Result<(Vec<Precondition>, Vec<Op>)> {
    let (deps, embedder) = (held.deps, held.deps.embedder());
    // Vectors of an embedder that the store has left would pay nothing.
    let in_use = Precondition::EmbedderIs(embedder.id().to_owned());
    let ctx = deps.ctx(scope)?;
    let ids = embed_debt::ids(&held.lease.job)?;
    let mut pages = ids.chunks(EMBED_BATCH_MAX).peekable();
    while let Some(page) = pages.next() {
        let owed = embed_debt::owed(deps, &ctx, &*embedder, page).await?;
        let mut rest = owed.as_slice();
        while !rest.is_empty() {
            let (now, later) = rest.split_at(embed_debt::at_once(&*embedder, rest));
            let Embedded { vectors, failed } = embed_debt::embed_documents(deps, &ctx, &*embedder, now).await;
            let mut ops: Vec<Op> = embed_debt::puts(&*embedder, now, vectors).collect();
            if failed.is_none() && later.is_empty() && pages.peek().is_none() {
                return Ok((vec![in_use], ops));
            }
            let changes = ops.len() as u64;
            if changes > 0 {
                ops.push(held.extension());
                held.apply_if(vec![in_use.clone()], ops).await?;
                held.changes.fetch_add(changes, Ordering::Relaxed);
            }
            if let Some(error) = failed {
                return Err(error);
            }
            rest = later;
        }
    }
    Ok((vec![in_use], Vec::new()))
}

/// Gives a job that failed back to the queue.
async fn give_back(held: &Held<'_>, error: &Error, options: &WorkOptions) -> Result<JobResult> {
    let job = &held.lease.job;
    let parked = embed_debt::parked_until(error, held.now());
    // What was paid for and could not be read is asked again by nobody but who requeues it.
    let is_hopeless = error.code() == ops::UNREADABLE;
    let op = match parked {
        // The code of a budget's refusal is our own.
        Some(run_at) => Op::ParkJob { id: job.id, run_at, error: error.code().to_owned() },
        None if is_hopeless => Op::BuryJob { id: job.id, error: error.code().to_owned() },
        None => {
            let run_at = held.now().saturating_add(retry_wait(job.id, job.attempts, options.retry_delay));
            // The kind alone: a provider's message may quote the text.
            Op::RetryJob { id: job.id, run_at, error: error.kind().name().to_owned() }
        }
    };
    match held.apply(vec![op]).await {
        Err(error) if is_lost(&error) => Ok(JobResult::Lost),
        Err(error) => Err(error),
        Ok(()) if parked.is_some() => Ok(JobResult::Parked),
        Ok(()) if is_hopeless || job.attempts >= JOB_ATTEMPTS_MAX => Ok(JobResult::Dead),
        Ok(()) => Ok(JobResult::Retried),
    }
}

/// Twice as long after each attempt, with a share that follows from the job and the attempt.
fn retry_wait(id: Uuid, attempts: u32, first: Duration) -> Duration {
    let doubled = first.saturating_mul(1 << attempts.saturating_sub(1).min(16));
    let seed = [&id.as_bytes()[..], &attempts.to_le_bytes()].concat();
    spread(doubled.min(Duration::from_secs(JOB_RETRY_SECONDS_MAX)), &seed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Embedding, JobsOptions, NewMemory, Rae, block_on,
        model::JobState,
        ports::{Clock, EmbedRole, Embedder, ManualClock},
    };
    use async_trait::async_trait;
    use std::sync::Arc;

    #[derive(Debug, Clone, Copy)]
    enum Mood {
        Works,
        Fails,
        Panics,
    }

    /// An embedder that does as it is told.
    #[derive(Debug)]
    struct Moody(Mutex<Mood>);

    #[async_trait]
    impl Embedder for Moody {
        fn id(&self) -> &str {
            "moody/2"
        }

        fn dim(&self) -> usize {
            2
        }

        async fn embed(&self, texts: &[&str], _: EmbedRole) -> Result<Vec<Option<Vec<f32>>>> {
            let mood = *self.0.lock();
            match mood {
                Mood::Works => Ok(vec![Some(vec![1.0, 2.0]); texts.len()]),
                Mood::Fails => Err(Error::unavailable("SECRET")),
                Mood::Panics => panic!("as told"),
            }
        }
    }

    async fn open() -> (Rae, Arc<Moody>, Arc<ManualClock>) {
        let moody = Arc::new(Moody(Mutex::new(Mood::Works)));
        let clock = Arc::new(ManualClock::new(Timestamp::parse("2026-01-01").unwrap()));
        let builder = Rae::builder().embedding(Embedding::Custom(Arc::clone(&moody) as Arc<dyn Embedder>));
        let mem = builder.clock(Arc::clone(&clock) as Arc<dyn Clock>).open().await.unwrap();
        (mem, moody, clock)
    }

    /// Stores a memory whose vector is owed.
    async fn owe(mem: &Rae, moody: &Moody) {
        *moody.0.lock() = Mood::Fails;
        mem.remember(NewMemory::new("The lamp is green.")).await.unwrap();
    }

    #[test]
    fn a_job_that_fails_is_retried_laid_aside_and_done_when_it_is_requeued() {
        block_on(async {
            let (mem, moody, clock) = open().await;
            owe(&mem, &moody).await;
            let options = WorkOptions::default();
            for attempt in 1..=JOB_ATTEMPTS_MAX {
                *moody.0.lock() = if attempt % 2 == 0 { Mood::Panics } else { Mood::Fails };
                let run = mem.run_due_job(&options).await.unwrap().unwrap();
                let last = attempt == JOB_ATTEMPTS_MAX;
                assert_eq!(run.result, if last { JobResult::Dead } else { JobResult::Retried });
                assert_eq!(
                    run.error,
                    Some(if attempt % 2 == 0 { ErrorKind::Internal } else { ErrorKind::Unavailable })
                );
                assert!(mem.run_due_job(&options).await.unwrap().is_none(), "not before its time");
                clock.advance_seconds(3_600);
            }
            let dead = JobsOptions { state: Some(JobState::Dead), ..JobsOptions::default() };
            let page = mem.jobs(dead).await.unwrap();
            assert_eq!(page.items[0].last_error.as_deref(), Some("unavailable"), "the kind, and no content");
            *moody.0.lock() = Mood::Works;
            assert!(mem.run_due_job(&options).await.unwrap().is_none());
            mem.requeue_job(page.items[0].id).await.unwrap();
            let run = mem.run_due_job(&options).await.unwrap().unwrap();
            assert_eq!((run.kind, run.result, run.attempts, run.error), (JobKind::Embed, JobResult::Done, 1, None));
            assert_eq!(mem.stats().await.unwrap().vectors, 1);
            assert_eq!(mem.job_stats().await.unwrap().depths, []);
            mem.close().await.unwrap();
        });
    }

    #[test]
    fn work_ends_after_its_number_of_jobs_or_when_told() {
        block_on(async {
            let (mem, moody, _) = open().await;
            for _ in 0..3 {
                owe(&mem, &moody).await;
                mem.remember(NewMemory::new(format!("{}", Uuid::new_v4()))).await.unwrap();
            }
            *moody.0.lock() = Mood::Works;
            let queued = mem.stats().await.unwrap().jobs.queued;
            assert!(queued > 2, "{queued}");
            let mut heard = 0;
            let options = WorkOptions { max_jobs: Some(2), ..WorkOptions::default() };
            assert_eq!(mem.work(&options, std::future::pending(), |_| heard += 1).await.unwrap(), 2);
            assert_eq!(heard, 2);
            let endless = WorkOptions::default();
            assert_eq!(mem.work(&endless, std::future::ready(()), |_| ()).await.unwrap(), 0, "told before the first");
            let (tell, told) = futures::channel::oneshot::channel::<()>();
            let mut tell = Some(tell);
            let stop = async {
                let _ = told.await;
            };
            let ran = mem.work(&endless, stop, |_| drop(tell.take())).await.unwrap();
            assert_eq!(ran, 1, "the one in hand, and no other");
            mem.close().await.unwrap();
            let closed = mem.work(&endless, std::future::pending(), |_| ()).await.unwrap_err();
            assert_eq!(closed.code(), "closed");
        });
    }

    #[test]
    fn a_lease_is_prolonged_while_the_job_runs_by_the_time_of_the_store() {
        block_on(async {
            let (mem, moody, clock) = open().await;
            owe(&mem, &moody).await;
            let (deps, scope) = mem.parts();
            let length = Duration::from_millis(60);
            let leases = deps.relational.lease_due(clock.now(), length, 1, &JobKind::ALL).await.unwrap();
            let lease = &leases[0].1;
            let ctx = Ctx::new(scope.clone());
            let held = Held {
                deps,
                ctx: ctx.clone(),
                lease,
                length,
                since: Instant::now(),
                changes: AtomicU64::new(0),
                evaluated: Mutex::default(),
                kept_out: Mutex::default(),
            };
            // The store's clock stands still; the time that passes here is what the end of the lease moves by.
            let first = held.now();
            assert!(first >= clock.now() && first.saturating_add(length) >= lease.until);
            let past_the_first_end = lease.until.saturating_add(Duration::from_millis(1));
            let prolonged = async {
                while deps.relational.job_stats(past_the_first_end).await.unwrap().depths[0].running == 0 {
                    Delay::new(Duration::from_millis(5)).await;
                }
            };
            assert!(matches!(select(pin!(held.beat()), pin!(prolonged)).await, Either::Right(_)), "it was not lost");
            clock.advance_seconds(3_600);
            held.apply(Vec::new()).await.expect_err("without a heartbeat it runs out");
            assert!(matches!(select(pin!(held.beat()), Delay::new(Duration::from_secs(60))).await, Either::Left(_)));
            mem.close().await.unwrap();
        });
    }

    #[test]
    fn waits_grow_keep_their_bounds_and_replay() {
        let first = Duration::from_secs(30);
        for n in 0..50 {
            let id = Uuid::from_u128(n);
            for attempts in 1..=40 {
                let wait = retry_wait(id, attempts, first);
                let full = first.saturating_mul(1 << (attempts - 1).min(16)).min(Duration::from_secs(3_600));
                assert!(wait >= full / 2 && wait <= full, "{wait:?} of {full:?}");
                assert_eq!(wait, retry_wait(id, attempts, first));
            }
        }
        let waits: std::collections::BTreeSet<_> = (0..50).map(|n| retry_wait(Uuid::from_u128(n), 1, first)).collect();
        assert!(waits.len() > 25, "{waits:?}");
    }
}
