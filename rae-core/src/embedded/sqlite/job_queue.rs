//! Jobs of all scopes: turns of the tenants, schedules, lists and numbers.

use super::{
    errors::Res,
    jobs::{COLUMNS, decode, state},
    row::{Id, Micros, int, page, uint},
    worker::write,
};
use crate::{
    limits::{JOB_ATTEMPTS_MAX, SCHEDULE_PAGE},
    model::{JobDepth, JobEntry, JobKind, JobScan, JobState, JobStats, Lease, Schedule, Scope, Timestamp},
};
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::time::Duration;

/// What can run at ?1.
const DUE: &str = "state = 'queued' AND run_at <= ?1 AND ifnull(lease_until <= ?1, 1)";

fn named(row: &Row<'_>, first: usize) -> Res<Scope> {
    Ok(Scope::new(row.get::<_, String>(first)?, row.get::<_, String>(first + 1)?)?)
}

pub(super) fn is_any_due(conn: &Connection, now: Timestamp) -> Res<bool> {
    Ok(conn.prepare_cached(&format!("SELECT 1 FROM jobs WHERE {DUE}"))?.exists([now.micros()])?)
}

/// Takes due jobs, a tenant after the other, and lays those aside that were taken as often as is allowed without a word.
pub(super) fn lease_due(
    conn: &Connection,
    now: Timestamp,
    duration: Duration,
    limit: usize,
    kinds: &[JobKind],
) -> Res<Vec<(Scope, Lease)>> {
    let limit = usize::try_from(page(limit)?).unwrap_or_default();
    let kinds = serde_json::to_string(kinds)?;
    let until = now.saturating_add(duration);
    write(conn, |conn| {
        conn.prepare_cached(
            "UPDATE jobs SET state = 'dead', lease_until = NULL, \
             last_error = ifnull(last_error, 'every lease of the job ran out') \
             WHERE lease_until <= ?1 AND state = 'queued' AND attempts >= ?2",
        )?
        .execute(params![now.micros(), JOB_ATTEMPTS_MAX])?;
        // One look into the index for each scope, however many jobs it has.
        let mut next = conn.prepare_cached(&format!(
            "SELECT j.jid, s.tenant, s.project FROM scopes s JOIN jobs j ON j.jid = (SELECT jid FROM jobs \
             WHERE scope = s.sid AND {DUE} AND kind IN (SELECT value FROM json_each(?2)) ORDER BY run_at, jid LIMIT 1) \
             LEFT JOIN job_turns t ON t.tenant = s.tenant ORDER BY ifnull(t.served, 0), j.run_at, j.jid LIMIT 1"
        ))?;
        let mut take = conn.prepare_cached(&format!(
            "UPDATE jobs SET attempts = attempts + 1, fence = fence + 1, lease_until = ?2 WHERE jid = ?1 \
             RETURNING {COLUMNS}, fence"
        ))?;
        let mut serve = conn.prepare_cached(
            "INSERT INTO job_turns (tenant, served) SELECT ?1, ifnull(max(served), 0) + 1 FROM job_turns WHERE true \
             ON CONFLICT (tenant) DO UPDATE SET served = excluded.served",
        )?;
        let mut leases = Vec::new();
        while leases.len() < limit {
            let found =
                next.query_row(params![now.micros(), kinds], |r| Ok((r.get::<_, i64>(0)?, named(r, 1)))).optional()?;
            let Some((jid, scope)) = found else { break };
            let scope = scope?;
            serve.execute([scope.tenant()])?;
            let lease = |r: &Row<'_>| Ok(Lease { job: decode(r)?, fence: uint(r, 7)?, until });
            leases.push((scope, take.query_row([jid, until.micros()], lease)?));
        }
        Ok(leases)
    })
}

pub(super) fn schedule(conn: &Connection, now: Timestamp, schedules: &[Schedule]) -> Res<u64> {
    write(conn, |conn| schedules.iter().map(|schedule| schedule_one(conn, now, schedule)).sum())
}

fn schedule_one(conn: &Connection, now: Timestamp, schedule: &Schedule) -> Res<u64> {
    const HOLDS: &str = "s.sensory + s.working + s.episodic + s.semantic + s.reflective > 0";
    let kind = schedule.kind.as_str();
    let most = i64::try_from(SCHEDULE_PAGE).unwrap_or(i64::MAX);
    let mut place = conn.prepare_cached(
        "INSERT INTO schedules (scope, kind, due_at) VALUES (?1, ?2, ?3) \
         ON CONFLICT (scope, kind) DO UPDATE SET due_at = excluded.due_at",
    )?;
    conn.prepare_cached(&format!(
        "DELETE FROM schedules WHERE kind = ?1 AND scope NOT IN (SELECT s.sid FROM scopes s WHERE {HOLDS})"
    ))?
    .execute([kind])?;
    // Scopes that are new, whose period is over, or whose period was made shorter.
    let mut select = conn.prepare_cached(&format!(
        "SELECT s.sid, s.tenant, s.project, c.due_at FROM scopes s LEFT JOIN schedules c ON c.scope = s.sid AND c.kind = ?1 \
         WHERE {HOLDS} AND (c.due_at IS NULL OR c.due_at <= ?2 OR c.due_at > ?2 + ?3) ORDER BY c.due_at, s.sid LIMIT ?4"
    ))?;
    let found = select.query_map(params![kind, now.micros(), schedule.micros(), most], |r| {
        Ok((r.get::<_, i64>(0)?, named(r, 1), r.get::<_, Option<Micros>>(3)?))
    })?;
    let found = found.collect::<rusqlite::Result<Vec<_>>>()?;
    let mut queued = 0;
    for (sid, scope, due) in found {
        let scope = scope?;
        place.execute(params![sid, kind, schedule.next(now, schedule.offset(&scope)).micros()])?;
        let Some(due) = due.map(|due| due.0).filter(|due| *due <= now) else { continue };
        // Jobs with a payload are about something of their own: they neither stand in for this one nor give way to it.
        let mut waits = conn.prepare_cached(
            "SELECT 1 FROM jobs WHERE scope = ?1 AND kind = ?2 AND state = 'queued' AND payload = '{}'",
        )?;
        if waits.exists(params![sid, kind])? {
            continue;
        }
        conn.prepare_cached("DELETE FROM jobs WHERE scope = ?1 AND kind = ?2 AND state = 'dead' AND payload = '{}'")?
            .execute(params![sid, kind])?;
        queued += conn
            .prepare_cached(
                "INSERT INTO jobs (scope, id, kind, payload, state, run_at) VALUES (?1, ?2, ?3, '{}', 'queued', ?4) \
                 ON CONFLICT DO NOTHING",
            )?
            .execute(params![sid, Id(schedule.job_id(&scope, due)), kind, now.micros()])? as u64;
    }
    Ok(queued)
}

/// A page of jobs, of one scope or of all.
pub(super) fn page_of(conn: &Connection, scope: Option<&Scope>, scan: &JobScan) -> Res<Vec<JobEntry>> {
    let limit = page(scan.limit)?;
    let of_scope = if scope.is_some() { "AND s.tenant = ?4 AND s.project = ?5" } else { "AND ?4 IS ?5" };
    let mut select = conn.prepare_cached(&format!(
        "SELECT j.jid, s.tenant, s.project, j.id, j.kind, j.state, j.attempts, j.run_at, j.last_error \
         FROM jobs j JOIN scopes s ON s.sid = j.scope \
         WHERE j.jid > ?1 AND (?2 IS NULL OR j.state = ?2) {of_scope} ORDER BY j.jid LIMIT ?3"
    ))?;
    let state_name = scan.state.map(JobState::as_str);
    let (tenant, project) = (scope.map(Scope::tenant), scope.map(Scope::project));
    let mut rows = select.query(params![int(scan.after.unwrap_or_default()), state_name, limit, tenant, project])?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        entries.push(JobEntry {
            no: uint(row, 0)?,
            scope: named(row, 1)?,
            id: row.get::<_, Id>(3)?.0,
            kind: row.get(4)?,
            state: state(row, 5)?,
            attempts: row.get(6)?,
            run_at: row.get::<_, Micros>(7)?.0,
            last_error: row.get(8)?,
        });
    }
    Ok(entries)
}

pub(super) fn stats(conn: &Connection, now: Timestamp) -> Res<JobStats> {
    let mut select = conn.prepare_cached(&format!(
        "SELECT kind, count(*) FILTER (WHERE {DUE}), count(*) FILTER (WHERE state = 'queued' AND run_at > ?1 \
         AND ifnull(lease_until <= ?1, 1)), count(*) FILTER (WHERE state = 'queued' AND lease_until > ?1), \
         count(*) FILTER (WHERE state = 'dead'), min(run_at) FILTER (WHERE {DUE}) FROM jobs GROUP BY kind ORDER BY kind"
    ))?;
    let mut stats = JobStats::default();
    let mut rows = select.query([now.micros()])?;
    while let Some(row) = rows.next()? {
        let (due, later) = (uint(row, 1)?, uint(row, 2)?);
        stats.depths.push(JobDepth { kind: row.get(0)?, due, later, running: uint(row, 3)?, dead: uint(row, 4)? });
        let oldest = row.get::<_, Option<i64>>(5)?.unwrap_or(now.micros());
        let age = now.micros().saturating_sub(oldest).unsigned_abs();
        stats.oldest_due = stats.oldest_due.max(Duration::from_micros(age));
    }
    Ok(stats)
}
