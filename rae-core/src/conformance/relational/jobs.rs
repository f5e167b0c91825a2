//! Jobs, leases, dead letters.

use crate::{
    conformance::fixtures::{Rig, importance_patch, kind_of, patch_op, put},
    error::ErrorKind,
    limits::JOB_ATTEMPTS_MAX,
    model::{JobKind, JobState, Lease, NewJob, Op, PatchMode, Precondition},
    ports::{ManualClock, RelationalStore},
};
use serde_json::json;
use std::{collections::BTreeSet, time::Duration};
use uuid::Uuid;

const MINUTE: Duration = Duration::from_secs(60);

async fn lease(rig: &Rig<'_>, limit: usize) -> Vec<Lease> {
    rig.store.lease(&rig.ctx, rig.now(), MINUTE, limit).await.unwrap()
}

async fn lease_one(rig: &Rig<'_>) -> Lease {
    let mut leases = lease(rig, 10).await;
    assert_eq!(leases.len(), 1, "one job must be due");
    leases.remove(0)
}

fn held(lease: &Lease) -> Vec<Precondition> {
    vec![Precondition::LeaseHeld(lease.job.id, lease.fence)]
}

async fn finish(rig: &Rig<'_>, lease: &Lease) -> crate::Result<crate::model::Applied> {
    rig.try_apply(held(lease), vec![Op::FinishJob { id: lease.job.id }]).await
}

/// Not before its time, with its payload, its first attempt counted.
pub async fn a_job_is_leased_when_it_is_due(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let run_at = rig.now().saturating_add_seconds(30);
    let payload = json!({"ids": ["a", "b"], "n": u64::MAX, "text": "\0é", "none": null});
    let id = rig.uuid();
    rig.run(Op::EnqueueJob { job: NewJob { id, kind: JobKind::Embed, payload: payload.clone(), run_at } }).await;
    clock.advance_seconds(29);
    assert_eq!(lease(&rig, 10).await, []);
    clock.advance_seconds(1);
    let taken = lease_one(&rig).await;
    assert_eq!((taken.job.id, taken.job.kind, taken.job.payload.clone()), (id, JobKind::Embed, payload));
    assert_eq!((taken.job.state, taken.job.attempts, taken.job.run_at), (JobState::Queued, 1, run_at));
    assert_eq!((taken.job.last_error.clone(), taken.until), (None, rig.now().saturating_add_seconds(60)));
    assert_eq!(store.jobs(&rig.ctx, 10).await.unwrap(), [taken.job]);
}

/// One holder at a time; when the lease runs out the job is due again, with a greater number and one attempt more.
pub async fn a_lease_that_runs_out_makes_the_job_due_again(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    rig.enqueue(rig.now()).await;
    let first = lease_one(&rig).await;
    clock.advance_seconds(59);
    assert_eq!(lease(&rig, 10).await, []);
    clock.advance_seconds(2);
    let second = lease_one(&rig).await;
    assert_eq!((second.job.id, second.job.attempts), (first.job.id, 2));
    assert!(second.fence > first.fence);
}

/// Whoever lost the lease can finish nothing, nor write anything under it.
pub async fn finishing_needs_the_lease(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    rig.enqueue(rig.now()).await;
    let first = lease_one(&rig).await;
    let wrong = [
        Lease { fence: first.fence + 1, ..first.clone() },
        Lease { job: crate::model::Job { id: Uuid::from_u128(5), ..first.job.clone() }, ..first.clone() },
    ];
    for lease in wrong {
        assert_eq!(kind_of(finish(&rig, &lease).await), ErrorKind::Conflict);
    }
    clock.advance_seconds(61);
    assert_eq!(kind_of(finish(&rig, &first).await), ErrorKind::Conflict, "the lease ran out");
    let second = lease_one(&rig).await;
    let under_the_old_lease = rig.try_apply(held(&first), vec![put(rig.memory("late"))]).await;
    assert_eq!(kind_of(under_the_old_lease), ErrorKind::Conflict);
    assert!(rig.all(None).await.is_empty());
    finish(&rig, &second).await.unwrap();
    assert_eq!(store.jobs(&rig.ctx, 10).await.unwrap(), []);
    assert_eq!(kind_of(finish(&rig, &second).await), ErrorKind::Conflict, "a finished job has no lease");
}

/// A job nobody took has no lease to hold.
pub async fn a_job_never_leased_is_not_held(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let id = rig.enqueue(rig.now()).await;
    for fence in [0, 1] {
        let result = rig.try_apply(vec![Precondition::LeaseHeld(id, fence)], vec![]).await;
        assert_eq!(kind_of(result), ErrorKind::Conflict);
    }
}

/// A retry gives the job back, not before its time, and says why; the old lease is over.
pub async fn a_retried_job_comes_later_with_its_error(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let id = rig.enqueue(rig.now()).await;
    let first = lease_one(&rig).await;
    let run_at = rig.now().saturating_add_seconds(20);
    rig.try_apply(held(&first), vec![Op::RetryJob { id, run_at, error: "no model".into() }]).await.unwrap();
    assert_eq!(kind_of(finish(&rig, &first).await), ErrorKind::Conflict);
    assert_eq!(lease(&rig, 10).await, []);
    clock.advance_seconds(20);
    let second = lease_one(&rig).await;
    assert_eq!((second.job.attempts, second.job.last_error.as_deref()), (2, Some("no model")));
    assert!(second.fence > first.fence);
}

/// A job that is parked comes at its time, with its reason, and has used up no attempt, however often it was parked; the old lease
/// is over.
pub async fn a_parked_job_uses_up_no_attempt(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let id = rig.enqueue(rig.now()).await;
    let failed = lease_one(&rig).await;
    rig.try_apply(held(&failed), vec![Op::RetryJob { id, run_at: rig.now(), error: "no model".into() }]).await.unwrap();
    for _ in 0..JOB_ATTEMPTS_MAX * 3 {
        let taken = lease_one(&rig).await;
        assert_eq!((taken.job.id, taken.job.attempts), (id, 2));
        let run_at = rig.now().saturating_add_seconds(20);
        rig.try_apply(held(&taken), vec![Op::ParkJob { id, run_at, error: "no money".into() }]).await.unwrap();
        assert_eq!(kind_of(finish(&rig, &taken).await), ErrorKind::Conflict, "the lease is over");
        let jobs = store.jobs(&rig.ctx, 10).await.unwrap();
        assert_eq!((jobs[0].state, jobs[0].attempts, jobs[0].run_at), (JobState::Queued, 1, run_at));
        assert_eq!(jobs[0].last_error.as_deref(), Some("no money"));
        clock.advance_seconds(19);
        assert_eq!(lease(&rig, 10).await, []);
        clock.advance_seconds(1);
    }
    let absent = rig.run(Op::ParkJob { id: rig.uuid(), run_at: rig.now(), error: "no money".into() }).await;
    assert_eq!(absent, crate::model::Outcome::Skipped);
}

/// After the last attempt a job is kept, not leased, and counted as dead.
pub async fn a_job_that_keeps_failing_is_a_dead_letter(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let id = rig.enqueue(rig.now()).await;
    for attempt in 1..=JOB_ATTEMPTS_MAX {
        let taken = lease_one(&rig).await;
        assert_eq!(taken.job.attempts, attempt);
        let error = format!("failure {attempt}");
        rig.try_apply(held(&taken), vec![Op::RetryJob { id, run_at: rig.now(), error }]).await.unwrap();
    }
    assert_eq!(lease(&rig, 10).await, []);
    let jobs = store.jobs(&rig.ctx, 10).await.unwrap();
    assert_eq!((jobs.len(), jobs[0].state, jobs[0].attempts), (1, JobState::Dead, JOB_ATTEMPTS_MAX));
    assert_eq!(jobs[0].last_error, Some(format!("failure {JOB_ATTEMPTS_MAX}")));
    let stats = store.stats(&rig.ctx).await.unwrap();
    assert_eq!((stats.jobs_queued, stats.jobs_dead), (0, 1));
}

/// A job that is buried is a dead letter whatever attempts it has left; the old lease is over, and requeued it is as new.
pub async fn a_buried_job_is_a_dead_letter_at_once(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let id = rig.enqueue(rig.now()).await;
    let taken = lease_one(&rig).await;
    rig.try_apply(held(&taken), vec![Op::BuryJob { id, error: "hopeless".into() }]).await.unwrap();
    assert_eq!(kind_of(finish(&rig, &taken).await), ErrorKind::Conflict, "the lease is over");
    clock.advance_seconds(86_400);
    assert_eq!(lease(&rig, 10).await, []);
    let jobs = store.jobs(&rig.ctx, 10).await.unwrap();
    assert_eq!((jobs.len(), jobs[0].state, jobs[0].attempts), (1, JobState::Dead, 1));
    assert_eq!(jobs[0].last_error.as_deref(), Some("hopeless"));
    rig.run(Op::RequeueJob { id }).await;
    assert_eq!(lease_one(&rig).await.job.attempts, 1);
    assert_eq!(rig.run(Op::BuryJob { id: rig.uuid(), error: "none".into() }).await, crate::model::Outcome::Skipped);
}

/// A job whose workers die without a word ends as a dead letter too.
pub async fn a_job_that_kills_its_workers_is_a_dead_letter(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    rig.enqueue(rig.now()).await;
    let mut attempts = 0;
    for _ in 0..JOB_ATTEMPTS_MAX + 5 {
        attempts += lease(&rig, 10).await.len();
        clock.advance_seconds(61);
    }
    assert_eq!(attempts, usize::try_from(JOB_ATTEMPTS_MAX).unwrap());
    assert_eq!(store.jobs(&rig.ctx, 10).await.unwrap()[0].state, JobState::Dead);
}

/// A heartbeat keeps the lease beyond its first end.
pub async fn an_extended_lease_holds_longer(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let id = rig.enqueue(rig.now()).await;
    let taken = lease_one(&rig).await;
    clock.advance_seconds(50);
    let until = rig.now().saturating_add_seconds(60);
    rig.try_apply(held(&taken), vec![Op::ExtendLease { id, until }]).await.unwrap();
    clock.advance_seconds(50);
    assert_eq!(lease(&rig, 10).await, []);
    finish(&rig, &taken).await.unwrap();
}

/// At most `limit` at a time; all of them in the end, each once.
pub async fn leases_keep_their_limit(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let mut expected = BTreeSet::new();
    for _ in 0..7 {
        expected.insert(rig.enqueue(rig.now()).await);
    }
    let mut taken = BTreeSet::new();
    for size in [3, 3, 1, 0] {
        let leases = lease(&rig, 3).await;
        assert_eq!(leases.len(), size);
        taken.extend(leases.into_iter().map(|l| l.job.id));
    }
    assert_eq!(taken, expected);
}

/// A job commits with its cause, and only with it.
pub async fn a_job_commits_with_its_batch(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let job = NewJob { id: rig.uuid(), kind: JobKind::Embed, payload: json!({}), run_at: rig.now() };
    let failing =
        vec![Op::EnqueueJob { job: job.clone() }, patch_op(rig.id(), importance_patch(0.1), PatchMode::InPlace)];
    assert_eq!(kind_of(rig.try_apply(vec![], failing).await), ErrorKind::NotFound);
    assert_eq!(store.jobs(&rig.ctx, 10).await.unwrap(), []);
    rig.apply(vec![put(rig.memory("a")), Op::EnqueueJob { job }]).await;
    assert_eq!(store.jobs(&rig.ctx, 10).await.unwrap().len(), 1);
}

/// Oldest first, at most `limit`, of this scope alone.
pub async fn jobs_are_listed_oldest_first(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(rig.enqueue(rig.now()).await);
        clock.advance_seconds(1);
    }
    let listed = async |limit| {
        let jobs = store.jobs(&rig.ctx, limit).await.unwrap();
        jobs.into_iter().map(|job| job.id).collect::<Vec<_>>()
    };
    assert_eq!(listed(10).await, ids);
    assert_eq!(listed(2).await, ids[..2]);
    assert_eq!(store.jobs(&rig.at("default", "other").ctx, 10).await.unwrap(), []);
}
