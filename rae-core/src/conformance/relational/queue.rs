//! Jobs of all scopes: turns of the tenants, schedules, lists and numbers.

use crate::{
    conformance::fixtures::{Rig, put},
    limits::JOB_ATTEMPTS_MAX,
    model::{JobKind, JobScan, JobState, Lease, NewJob, Op, Outcome, Precondition, Schedule, Scope},
    ports::{ManualClock, RelationalStore},
};
use serde_json::json;
use std::{collections::BTreeSet, time::Duration};
use uuid::Uuid;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Schedule = Schedule { kind: JobKind::Maintain, every: Duration::from_secs(3_600) };

async fn lease_due(rig: &Rig<'_>, limit: usize) -> Vec<(Scope, Lease)> {
    rig.store.lease_due(rig.now(), MINUTE, limit, &JobKind::ALL).await.unwrap()
}

async fn schedule(rig: &Rig<'_>) -> u64 {
    rig.store.schedule(rig.now(), &[HOUR]).await.unwrap()
}

/// Fails the due jobs of the rig's store until there are none.
async fn fail_all(rig: &Rig<'_>) {
    for _ in 0..JOB_ATTEMPTS_MAX {
        for (scope, lease) in lease_due(rig, 100).await {
            let held = vec![Precondition::LeaseHeld(lease.job.id, lease.fence)];
            let retry = Op::RetryJob { id: lease.job.id, run_at: rig.now(), error: "unavailable".into() };
            rig.at(scope.tenant(), scope.project()).try_apply(held, vec![retry]).await.unwrap();
        }
    }
}

/// Whoever takes jobs of all tenants gets those of each in turn, however many one of them has queued before.
pub async fn tenants_take_turns(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let (loud, quiet, late) = (rig.at("loud", "p"), rig.at("quiet", "p"), rig.at("late", "q"));
    for _ in 0..12 {
        loud.enqueue(rig.now()).await;
    }
    let first = quiet.enqueue(rig.now()).await;
    clock.advance_seconds(1);
    let taken = lease_due(&rig, 2).await;
    let tenants: BTreeSet<_> = taken.iter().map(|(scope, _)| scope.tenant().to_owned()).collect();
    assert_eq!(tenants.len(), 2, "both have a turn before one has two");
    assert!(taken.iter().any(|(scope, lease)| scope == quiet.ctx.scope() && lease.job.id == first));
    for _ in 0..3 {
        late.enqueue(rig.now()).await;
    }
    clock.advance_seconds(1);
    // One at a time, as workers do: the others come at every second turn at the latest.
    let mut order = Vec::new();
    for _ in 0..6 {
        let mut one = lease_due(&rig, 1).await;
        assert_eq!(one.len(), 1);
        order.push(one.remove(0).0.tenant().to_owned());
    }
    assert_eq!(order, ["late", "loud", "late", "loud", "late", "loud"]);
}

/// A lease from among all is the same as one of the scope: counted, fenced, held by one, in its own scope.
pub async fn a_lease_of_any_scope_is_fenced(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let other = rig.at("acme", "ledger");
    let id = other.enqueue(rig.now()).await;
    let mut taken = lease_due(&rig, 5).await;
    assert_eq!(taken.len(), 1);
    let (scope, first) = taken.remove(0);
    assert_eq!((&scope, first.job.id, first.job.attempts), (other.ctx.scope(), id, 1));
    assert_eq!(first.until, rig.now().saturating_add_seconds(60));
    assert!(lease_due(&rig, 5).await.is_empty());
    assert_eq!(store.lease(&other.ctx, rig.now(), MINUTE, 5).await.unwrap(), []);
    clock.advance_seconds(61);
    let second = lease_due(&rig, 5).await.remove(0).1;
    assert_eq!(second.job.attempts, 2);
    let finish = |lease: &Lease| {
        let held = vec![Precondition::LeaseHeld(lease.job.id, lease.fence)];
        (held, vec![Op::FinishJob { id: lease.job.id }])
    };
    let (held, ops) = finish(&first);
    assert_eq!(other.try_apply(held, ops).await.unwrap_err().code(), "lease_lost");
    let (held, ops) = finish(&second);
    other.try_apply(held, ops).await.unwrap();
    clock.advance_seconds(61);
    assert!(lease_due(&rig, 5).await.is_empty());
}

/// Kinds that were not asked for stay, so that an old worker leaves the jobs of a new one alone.
pub async fn only_the_kinds_asked_for_are_taken(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    rig.enqueue(rig.now()).await;
    let of = async |kinds: &[JobKind]| store.lease_due(rig.now(), MINUTE, 5, kinds).await.unwrap().len();
    assert_eq!(of(&[]).await, 0);
    assert_eq!(of(&[JobKind::Maintain]).await, 0);
    assert_eq!(of(&[JobKind::Embed]).await, 1);
}

/// A job whose workers die without a word is laid aside whoever asks next.
pub async fn a_job_that_kills_the_workers_of_all_is_a_dead_letter(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    rig.enqueue(rig.now()).await;
    let mut attempts = 0;
    for _ in 0..JOB_ATTEMPTS_MAX + 3 {
        attempts += lease_due(&rig, 10).await.len();
        clock.advance_seconds(61);
    }
    assert_eq!(attempts, usize::try_from(JOB_ATTEMPTS_MAX).unwrap());
    assert_eq!(store.jobs(&rig.ctx, 10).await.unwrap()[0].state, JobState::Dead);
}

/// A dead letter that is requeued has all its attempts before it; what is not dead is left alone.
pub async fn a_dead_letter_is_requeued(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let id = rig.enqueue(rig.now()).await;
    assert_eq!(rig.run(Op::RequeueJob { id }).await, Outcome::Skipped);
    fail_all(&rig).await;
    assert!(lease_due(&rig, 5).await.is_empty());
    assert_eq!(rig.at("default", "other").run(Op::RequeueJob { id }).await, Outcome::Skipped);
    assert_eq!(rig.at("other", "default").run(Op::RequeueJob { id }).await, Outcome::Skipped);
    assert_eq!(rig.run(Op::RequeueJob { id }).await, Outcome::Done);
    assert_eq!(rig.run(Op::RequeueJob { id }).await, Outcome::Skipped);
    assert_eq!(rig.run(Op::RequeueJob { id: Uuid::from_u128(7) }).await, Outcome::Skipped);
    clock.advance_seconds(1);
    let taken = lease_due(&rig, 5).await;
    assert_eq!((taken.len(), taken[0].1.job.id, taken[0].1.job.attempts), (1, id, 1));
}

/// Pages join to the whole list, by state, of one scope or of all; a scope sees its own alone.
pub async fn jobs_are_listed_in_pages(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let other = rig.at("acme", "default");
    let mut all = Vec::new();
    for n in 0..7 {
        let whose = if n % 3 == 0 { &other } else { &rig };
        all.push((whose.ctx.scope().clone(), whose.enqueue(rig.now().saturating_add_seconds(100)).await));
    }
    let dead = rig.enqueue(rig.now()).await;
    fail_all(&rig).await;
    all.push((rig.ctx.scope().clone(), dead));
    let collect = async |of_all: bool, state| {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let scan = JobScan { state, after, limit: 3 };
            let page = if of_all { store.all_jobs(&scan).await } else { store.job_page(&rig.ctx, &scan).await };
            let page = page.unwrap();
            let Some(last) = page.last() else { return found };
            assert!(page.len() <= 3 && page.iter().all(|e| Some(e.no) > after));
            after = Some(last.no);
            found.extend(page.into_iter().map(|entry| (entry.scope, entry.id)));
        }
    };
    assert_eq!(collect(true, None).await, all);
    let own: Vec<_> = all.iter().filter(|(scope, _)| scope == rig.ctx.scope()).cloned().collect();
    assert_eq!(collect(false, None).await, own);
    assert_eq!(collect(false, Some(JobState::Dead)).await, [(rig.ctx.scope().clone(), dead)]);
    assert_eq!(collect(true, Some(JobState::Queued)).await, all[..7]);
    let entry =
        store.all_jobs(&JobScan { state: Some(JobState::Dead), after: None, limit: 5 }).await.unwrap().remove(0);
    assert_eq!((entry.kind.as_str(), entry.attempts, entry.run_at), ("embed", JOB_ATTEMPTS_MAX, rig.now()));
    assert_eq!((entry.state, entry.last_error.as_deref()), (JobState::Dead, Some("unavailable")));
}

/// Due, later, running and dead, by kind, and the age of the oldest that is due.
pub async fn the_queue_is_counted(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    assert_eq!(store.job_stats(rig.now()).await.unwrap(), crate::model::JobStats::default());
    let other = rig.at("acme", "default");
    rig.enqueue(rig.now()).await;
    fail_all(&rig).await;
    other.enqueue(rig.now()).await;
    assert_eq!(lease_due(&rig, 1).await.len(), 1);
    other.enqueue(rig.now().saturating_add_seconds(500)).await;
    rig.enqueue(rig.now()).await;
    other.enqueue(rig.now().saturating_add_seconds(10)).await;
    let job = NewJob { id: rig.uuid(), kind: JobKind::Maintain, payload: json!({}), run_at: rig.now() };
    rig.run(Op::EnqueueJob { job }).await;
    clock.advance_seconds(30);
    let stats = store.job_stats(rig.now()).await.unwrap();
    let depths: Vec<_> = stats.depths.iter().map(|d| (d.kind.as_str(), d.due, d.later, d.running, d.dead)).collect();
    assert_eq!(depths, [("embed", 2, 1, 1, 1), ("maintain", 1, 0, 0, 0)]);
    assert_eq!(stats.oldest_due, Duration::from_secs(30));
}

/// A period brings one job, however often it is looked at; periods in which nobody looked bring one together.
pub async fn a_period_brings_one_job(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    rig.apply(vec![put(rig.memory("a"))]).await;
    assert_eq!(schedule(&rig).await, 0, "the first period is not over");
    for hours in [1, 1, 10, 1] {
        clock.advance_seconds(3_600 * hours);
        assert_eq!((schedule(&rig).await, schedule(&rig).await), (1, 0));
        let taken = lease_due(&rig, 10).await;
        assert_eq!(taken.len(), 1);
        let lease = &taken[0].1;
        assert_eq!((lease.job.kind, &lease.job.payload), (JobKind::Maintain, &json!({})));
        let held = vec![Precondition::LeaseHeld(lease.job.id, lease.fence)];
        rig.try_apply(held, vec![Op::FinishJob { id: lease.job.id }]).await.unwrap();
        assert_eq!(schedule(&rig).await, 0);
    }
}

/// No job is queued beside one that waits, and a dead one gives way to the next period's.
pub async fn scheduled_jobs_do_not_pile_up(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    rig.apply(vec![put(rig.memory("a"))]).await;
    schedule(&rig).await;
    for queued in [1, 0, 0] {
        clock.advance_seconds(3_600);
        assert_eq!(schedule(&rig).await, queued);
    }
    fail_all(&rig).await;
    let dead = store.jobs(&rig.ctx, 10).await.unwrap();
    assert_eq!((dead.len(), dead[0].state), (1, JobState::Dead));
    clock.advance_seconds(3_600);
    assert_eq!(schedule(&rig).await, 1);
    let jobs = store.jobs(&rig.ctx, 10).await.unwrap();
    assert_eq!((jobs.len(), jobs[0].state), (1, JobState::Queued));
    assert_ne!(jobs[0].id, dead[0].id);
}

/// A job about something of its own, waiting or dead, neither stands in for a scheduled one nor gives way to it.
pub async fn a_schedule_leaves_jobs_about_something_alone(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    rig.apply(vec![put(rig.memory("a"))]).await;
    schedule(&rig).await;
    let about = |run_at| {
        let (id, payload) = (rig.id().0, json!({ "session_id": "s" }));
        Op::EnqueueJob { job: NewJob { id, kind: JobKind::Maintain, payload, run_at } }
    };
    rig.apply(vec![about(rig.now())]).await;
    fail_all(&rig).await;
    rig.apply(vec![about(rig.now().saturating_add(Duration::from_secs(864_000)))]).await;
    clock.advance_seconds(3_600);
    assert_eq!((schedule(&rig).await, schedule(&rig).await), (1, 0));
    let jobs = store.jobs(&rig.ctx, 10).await.unwrap();
    let states: Vec<_> = jobs.iter().map(|job| (job.state, job.payload == json!({}))).collect();
    assert_eq!(states, [(JobState::Dead, false), (JobState::Queued, false), (JobState::Queued, true)]);
}

/// Each project with memories has its own; what was erased has none.
pub async fn each_scope_with_memories_is_scheduled(store: &dyn RelationalStore, clock: &ManualClock) {
    let rig = Rig::new(store, clock);
    let (one, two, empty) = (rig.at("a", "p"), rig.at("b", "p"), rig.at("c", "p"));
    for scope in [&one, &two] {
        scope.apply(vec![put(scope.memory("x"))]).await;
    }
    empty.enqueue(rig.now().saturating_add_seconds(1_000_000)).await;
    schedule(&rig).await;
    clock.advance_seconds(3_600);
    assert_eq!(schedule(&rig).await, 2);
    let scopes: BTreeSet<_> = lease_due(&rig, 10).await.into_iter().map(|(scope, _)| scope).collect();
    assert_eq!(scopes, [one.ctx.scope().clone(), two.ctx.scope().clone()].into_iter().collect());
    two.run(Op::DropScope { target: crate::model::DropTarget::Tenant }).await;
    one.run(Op::DropScope { target: crate::model::DropTarget::Tenant }).await;
    clock.advance_seconds(3_600);
    assert_eq!(schedule(&rig).await, 0);
    assert!(lease_due(&rig, 10).await.is_empty());
}
