//! Jobs of the reference store: leases, turns of the tenants, schedules, lists.

use super::{ReferenceStore, State, page, scope::JobRow};
use crate::{
    ctx::Ctx,
    error::Result,
    limits::SCHEDULE_PAGE,
    model::{Job, JobDepth, JobEntry, JobKind, JobScan, JobState, JobStats, Lease, NewJob, Schedule, Scope, Timestamp},
    ports::JobRead,
};
use async_trait::async_trait;
use std::{collections::BTreeMap, sync::Arc, time::Duration};

#[async_trait]
impl JobRead for ReferenceStore {
    async fn lease(&self, ctx: &Ctx, now: Timestamp, duration: Duration, limit: usize) -> Result<Vec<Lease>> {
        ctx.check()?;
        let limit = page(limit)?;
        let mut state = self.open()?;
        let Some(scope) = state.scopes.get_mut(ctx.scope()) else { return Ok(Vec::new()) };
        let scope = Arc::make_mut(scope);
        scope.jobs.iter_mut().for_each(|row| row.lay_aside(now));
        let mut due: Vec<_> = scope.jobs.iter_mut().filter(|row| row.is_due(now)).collect();
        due.sort_by_key(|row| row.job.run_at);
        Ok(due.into_iter().take(limit).map(|row| row.take(now.saturating_add(duration))).collect())
    }

    async fn lease_due(
        &self,
        now: Timestamp,
        duration: Duration,
        limit: usize,
        kinds: &[JobKind],
    ) -> Result<Vec<(Scope, Lease)>> {
        let limit = page(limit)?;
        let mut state = self.open()?;
        for scope in state.scopes.values_mut() {
            Arc::make_mut(scope).jobs.iter_mut().for_each(|row| row.lay_aside(now));
        }
        let mut leases = Vec::new();
        while leases.len() < limit {
            let due = state.scopes.iter().flat_map(|(scope, jobs)| jobs.jobs.iter().map(move |row| (scope, row)));
            let due = due.filter(|(_, row)| row.is_due(now) && kinds.contains(&row.job.kind));
            let turn = |scope: &Scope| state.turns.1.get(scope.tenant()).copied().unwrap_or_default();
            let next = due.min_by_key(|(scope, row)| (turn(scope), row.job.run_at, row.no));
            let Some((scope, no)) = next.map(|(scope, row)| (scope.clone(), row.no)) else { break };
            state.turns.0 += 1;
            let served = state.turns.0;
            state.turns.1.insert(scope.tenant().to_owned(), served);
            let jobs = state.scopes.get_mut(&scope).map(Arc::make_mut);
            let row = jobs.and_then(|jobs| jobs.jobs.iter_mut().find(|row| row.no == no));
            leases.extend(row.map(|row| (scope, row.take(now.saturating_add(duration)))));
        }
        Ok(leases)
    }

    async fn schedule(&self, now: Timestamp, schedules: &[Schedule]) -> Result<u64> {
        let mut state = self.open()?;
        let mut queued = 0;
        for schedule in schedules {
            queued += state.schedule(now, schedule);
        }
        Ok(queued)
    }

    async fn jobs(&self, ctx: &Ctx, limit: usize) -> Result<Vec<Job>> {
        let (scope, limit) = (self.read(ctx)?, page(limit)?);
        Ok(scope.jobs.iter().take(limit).map(|row| row.job.clone()).collect())
    }

    async fn job_page(&self, ctx: &Ctx, scan: &JobScan) -> Result<Vec<JobEntry>> {
        let (scope, limit) = (self.read(ctx)?, page(scan.limit)?);
        let rows = scope.jobs.iter().filter(|row| row.is_in(scan));
        Ok(rows.take(limit).map(|row| row.entry(ctx.scope())).collect())
    }

    async fn all_jobs(&self, scan: &JobScan) -> Result<Vec<JobEntry>> {
        let limit = page(scan.limit)?;
        let state = self.open()?;
        let rows = state.scopes.iter().flat_map(|(scope, jobs)| jobs.jobs.iter().map(move |row| (scope, row)));
        let mut entries: Vec<_> =
            rows.filter(|(_, row)| row.is_in(scan)).map(|(scope, row)| row.entry(scope)).collect();
        entries.sort_unstable_by_key(|entry| entry.no);
        entries.truncate(limit);
        Ok(entries)
    }

    async fn job_stats(&self, now: Timestamp) -> Result<JobStats> {
        let state = self.open()?;
        let mut depths = BTreeMap::<&str, JobDepth>::new();
        let mut oldest = now;
        for row in state.scopes.values().flat_map(|scope| &scope.jobs) {
            let kind = row.job.kind.as_str();
            let depth = depths.entry(kind).or_insert_with(|| JobDepth { kind: kind.to_owned(), ..JobDepth::default() });
            let count = match row.job.state {
                JobState::Dead => &mut depth.dead,
                JobState::Queued if row.is_leased(now) => &mut depth.running,
                JobState::Queued if row.job.run_at > now => &mut depth.later,
                JobState::Queued => {
                    oldest = oldest.min(row.job.run_at);
                    &mut depth.due
                }
            };
            *count += 1;
        }
        let age = now.micros().saturating_sub(oldest.micros()).unsigned_abs();
        Ok(JobStats { depths: depths.into_values().collect(), oldest_due: Duration::from_micros(age) })
    }
}

impl State {
    fn schedule(&mut self, now: Timestamp, schedule: &Schedule) -> u64 {
        let mut queued = 0;
        let scopes: Vec<_> = self.scopes.iter().map(|(name, scope)| (name.clone(), scope.rows.is_empty())).collect();
        for (name, is_empty) in scopes {
            if queued == SCHEDULE_PAGE as u64 {
                break;
            }
            let place = (name.clone(), schedule.kind);
            if is_empty {
                self.schedules.remove(&place);
                continue;
            }
            let next = schedule.next(now, schedule.offset(&name));
            let due = self.schedules.insert(place, next).unwrap_or(next);
            if due > now {
                // Not over yet, unless the period was made shorter: then it ends as a short one does.
                self.schedules.insert((name, schedule.kind), due.min(next));
                continue;
            }
            let Some(scope) = self.scopes.get_mut(&name).map(Arc::make_mut) else { continue };
            let (kind, whole) = (schedule.kind, serde_json::json!({}));
            let same = |row: &JobRow, state| row.job.kind == kind && row.job.state == state && row.job.payload == whole;
            if scope.jobs.iter().any(|row| same(row, JobState::Queued)) {
                continue;
            }
            scope.jobs.retain(|row| !same(row, JobState::Dead));
            let (id, payload) = (schedule.job_id(&name, due), serde_json::json!({}));
            self.jobs += 1;
            scope.jobs.push(JobRow::new(self.jobs, NewJob { id, kind: schedule.kind, payload, run_at: now }));
            queued += 1;
        }
        queued
    }
}
