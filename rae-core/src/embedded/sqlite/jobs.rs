//! Jobs as rows: queueing, leases with fencing numbers, dead letters.

use super::{
    apply::{ScopeRow, holds},
    errors::Res,
    row::{Id, Micros, int, page, uint},
    worker::write,
};
use crate::{
    error::Error,
    limits::JOB_ATTEMPTS_MAX,
    model::{Job, JobState, Lease, NewJob, Scope, Timestamp},
};
use rusqlite::{Connection, Row, params, types::Type};
use std::time::Duration;
use uuid::Uuid;

const QUEUED: &str = JobState::Queued.as_str();
const DEAD: &str = JobState::Dead.as_str();

pub(super) fn is_held(conn: &Connection, sid: i64, id: Uuid, fence: u64, now: Timestamp) -> Res<bool> {
    let sql = "SELECT 1 FROM jobs WHERE scope = ?1 AND id = ?2 AND fence = ?3 AND lease_until > ?4";
    Ok(conn.prepare_cached(sql)?.exists(params![sid, Id(id), int(fence), now.micros()])?)
}

pub(super) fn enqueue(conn: &Connection, sid: i64, job: &NewJob) -> Res<()> {
    let kind = serde_json::to_value(job.kind)?;
    let payload = serde_json::to_string(&job.payload)?;
    let written = conn
        .prepare_cached(
            "INSERT INTO jobs (scope, id, kind, payload, state, run_at) VALUES (?1, ?2, ?3, ?4, 'queued', ?5) \
             ON CONFLICT DO NOTHING",
        )?
        .execute(params![sid, Id(job.id), kind.as_str(), payload, job.run_at.micros()])?;
    holds(written == 1, "exists", || format!("there is a job {} already", job.id))?;
    Ok(())
}

pub(super) fn finish(conn: &Connection, sid: i64, id: Uuid) -> Res<bool> {
    Ok(conn.prepare_cached("DELETE FROM jobs WHERE scope = ?1 AND id = ?2")?.execute(params![sid, Id(id)])? > 0)
}

pub(super) fn retry(conn: &Connection, sid: i64, id: Uuid, run_at: Timestamp, error: &str) -> Res<bool> {
    let sql = "UPDATE jobs SET lease_until = NULL, run_at = ?3, last_error = ?4, \
               state = CASE WHEN attempts >= ?5 THEN 'dead' ELSE state END WHERE scope = ?1 AND id = ?2";
    let params = params![sid, Id(id), run_at.micros(), error, JOB_ATTEMPTS_MAX];
    Ok(conn.prepare_cached(sql)?.execute(params)? > 0)
}

/// Lays a job aside as a dead letter.
pub(super) fn bury(conn: &Connection, sid: i64, id: Uuid, error: &str) -> Res<bool> {
    let sql = "UPDATE jobs SET lease_until = NULL, last_error = ?3, state = 'dead' WHERE scope = ?1 AND id = ?2";
    Ok(conn.prepare_cached(sql)?.execute(params![sid, Id(id), error])? > 0)
}

/// Gives a job back without counting the attempt.
pub(super) fn park(conn: &Connection, sid: i64, id: Uuid, run_at: Timestamp, error: &str) -> Res<bool> {
    let sql = "UPDATE jobs SET lease_until = NULL, run_at = ?3, last_error = ?4, attempts = max(attempts - 1, 0) \
               WHERE scope = ?1 AND id = ?2";
    Ok(conn.prepare_cached(sql)?.execute(params![sid, Id(id), run_at.micros(), error])? > 0)
}

/// Takes a dead letter back into the queue.
pub(super) fn requeue(conn: &Connection, sid: i64, id: Uuid, run_at: Timestamp) -> Res<bool> {
    let sql =
        "UPDATE jobs SET state = 'queued', attempts = 0, run_at = ?3 WHERE scope = ?1 AND id = ?2 AND state = 'dead'";
    Ok(conn.prepare_cached(sql)?.execute(params![sid, Id(id), run_at.micros()])? > 0)
}

pub(super) fn extend(conn: &Connection, sid: i64, id: Uuid, until: Timestamp) -> Res<bool> {
    let sql = "UPDATE jobs SET lease_until = ?3 WHERE scope = ?1 AND id = ?2";
    Ok(conn.prepare_cached(sql)?.execute(params![sid, Id(id), until.micros()])? > 0)
}

pub(super) const COLUMNS: &str = "id, kind, payload, state, attempts, run_at, last_error";

pub(super) fn state(row: &Row<'_>, column: usize) -> rusqlite::Result<JobState> {
    match row.get_ref(column)?.as_str()? {
        QUEUED => Ok(JobState::Queued),
        DEAD => Ok(JobState::Dead),
        _ => {
            let unknown = Box::new(Error::corrupt("a job has an unknown state"));
            Err(rusqlite::Error::FromSqlConversionFailure(column, Type::Text, unknown))
        }
    }
}

pub(super) fn decode(row: &Row<'_>) -> rusqlite::Result<Job> {
    let bad = |column, e| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(e));
    let state = state(row, 3)?;
    let json = |column, e: serde_json::Error| bad(column, Error::corrupt("a job does not read back").with_source(e));
    Ok(Job {
        id: row.get::<_, Id>(0)?.0,
        kind: serde_json::from_value(row.get::<_, String>(1)?.into()).map_err(|e| json(1, e))?,
        payload: serde_json::from_str(row.get_ref(2)?.as_str()?).map_err(|e| json(2, e))?,
        state,
        attempts: row.get(4)?,
        run_at: row.get::<_, Micros>(5)?.0,
        last_error: row.get(6)?,
    })
}

/// Jobs of the scope, oldest first.
pub(super) fn list(conn: &Connection, scope: &Scope, limit: usize) -> Res<Vec<Job>> {
    let limit = page(limit)?;
    let Some(row) = ScopeRow::find(conn, scope)? else { return Ok(Vec::new()) };
    let mut select =
        conn.prepare_cached(&format!("SELECT {COLUMNS} FROM jobs WHERE scope = ?1 ORDER BY jid LIMIT ?2"))?;
    Ok(select.query_map([row.sid, limit], decode)?.collect::<rusqlite::Result<_>>()?)
}

/// Takes due jobs, and lays those aside that were taken as often as is allowed without a word.
pub(super) fn lease(
    conn: &Connection,
    scope: &Scope,
    now: Timestamp,
    duration: Duration,
    limit: usize,
) -> Res<Vec<Lease>> {
    let limit = page(limit)?;
    write(conn, |conn| {
        let Some(row) = ScopeRow::find(conn, scope)? else { return Ok(Vec::new()) };
        let due = "scope = ?1 AND state = 'queued' AND run_at <= ?2 AND ifnull(lease_until <= ?2, 1)";
        conn.prepare_cached(&format!(
            "UPDATE jobs SET state = 'dead', lease_until = NULL, \
             last_error = ifnull(last_error, 'every lease of the job ran out') WHERE {due} AND attempts >= ?3"
        ))?
        .execute(params![row.sid, now.micros(), JOB_ATTEMPTS_MAX])?;
        let mut select =
            conn.prepare_cached(&format!("SELECT jid FROM jobs WHERE {due} ORDER BY run_at, jid LIMIT ?3"))?;
        let jobs = select.query_map(params![row.sid, now.micros(), limit], |r| r.get(0))?;
        let jobs = jobs.collect::<rusqlite::Result<Vec<i64>>>()?;
        let until = now.saturating_add(duration);
        let mut take = conn.prepare_cached(&format!(
            "UPDATE jobs SET attempts = attempts + 1, fence = fence + 1, lease_until = ?2 WHERE jid = ?1 \
             RETURNING {COLUMNS}, fence"
        ))?;
        let mut leases = Vec::with_capacity(jobs.len());
        for jid in jobs {
            let lease =
                take.query_row([jid, until.micros()], |r| Ok(Lease { job: decode(r)?, fence: uint(r, 7)?, until }))?;
            leases.push(lease);
        }
        Ok(leases)
    })
}
