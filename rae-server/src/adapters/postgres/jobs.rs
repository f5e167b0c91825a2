//! Jobs as rows: queueing, leases with fencing numbers, dead letters.

use super::{
    apply::{ScopeRow, holds},
    errors::Res,
    row::{int, page, text_opt, time, uint, version},
    session::Tx,
};
use rae_core::{
    Error,
    limits::{JOB_ATTEMPTS_MAX, SCHEDULE_PAGE},
    model::{Job, JobDepth, JobEntry, JobKind, JobScan, JobState, JobStats, Lease, NewJob, Schedule, Scope, Timestamp},
};
use std::time::Duration;
use tokio_postgres::Row;
use uuid::Uuid;

/// The columns of `jobs j` that [`decode`] reads.
macro_rules! job_columns {
    () => {
        "j.id, j.kind, j.payload, j.state, j.attempts, j.run_at, j.last_error"
    };
}

pub(super) async fn is_held(tx: &Tx, sid: i64, id: Uuid, fence: u64, now: Timestamp) -> Res<bool> {
    // Nobody takes the job over while the batch is under way.
    let sql = "SELECT 1 FROM rae.jobs WHERE scope = $1 AND id = $2 AND fence = $3 AND lease_until > $4 FOR UPDATE";
    Ok(tx.query_opt(sql, &[&sid, &id, &int(fence), &now.micros()]).await?.is_some())
}

pub(super) async fn enqueue(tx: &Tx, row: &ScopeRow, job: &NewJob) -> Res<()> {
    let payload = serde_json::to_string(&job.payload)?;
    let sql = "INSERT INTO rae.jobs (tid, scope, id, kind, payload, state, run_at) \
               VALUES ($1, $2, $3, $4, $5, 'queued', $6) ON CONFLICT DO NOTHING";
    let run_at = job.run_at.micros();
    let written = tx.execute(sql, &[&row.tid, &row.sid, &job.id, &job.kind.as_str(), &payload, &run_at]).await?;
    holds(written == 1, "exists", || format!("there is a job {} already", job.id))?;
    Ok(())
}

pub(super) async fn finish(tx: &Tx, sid: i64, id: Uuid) -> Res<bool> {
    Ok(tx.execute("DELETE FROM rae.jobs WHERE scope = $1 AND id = $2", &[&sid, &id]).await? > 0)
}

pub(super) async fn retry(tx: &Tx, sid: i64, id: Uuid, run_at: Timestamp, error: &str) -> Res<bool> {
    let sql = "UPDATE rae.jobs SET lease_until = NULL, run_at = $3, last_error = $4, \
               state = CASE WHEN attempts >= $5 THEN 'dead' ELSE state END WHERE scope = $1 AND id = $2";
    let most = i64::from(JOB_ATTEMPTS_MAX);
    Ok(tx.execute(sql, &[&sid, &id, &run_at.micros(), &error.as_bytes(), &most]).await? > 0)
}

/// Lays a job aside as a dead letter.
pub(super) async fn bury(tx: &Tx, sid: i64, id: Uuid, error: &str) -> Res<bool> {
    let sql = "UPDATE rae.jobs SET lease_until = NULL, last_error = $3, state = 'dead' WHERE scope = $1 AND id = $2";
    Ok(tx.execute(sql, &[&sid, &id, &error.as_bytes()]).await? > 0)
}

/// Gives a job back without counting the attempt.
pub(super) async fn park(tx: &Tx, sid: i64, id: Uuid, run_at: Timestamp, error: &str) -> Res<bool> {
    let sql = "UPDATE rae.jobs SET lease_until = NULL, run_at = $3, last_error = $4, attempts = greatest(attempts - 1, 0) \
               WHERE scope = $1 AND id = $2";
    Ok(tx.execute(sql, &[&sid, &id, &run_at.micros(), &error.as_bytes()]).await? > 0)
}

/// Takes a dead letter back into the queue.
pub(super) async fn requeue(tx: &Tx, sid: i64, id: Uuid, run_at: Timestamp) -> Res<bool> {
    let sql = "UPDATE rae.jobs SET state = 'queued', attempts = 0, run_at = $3 \
               WHERE scope = $1 AND id = $2 AND state = 'dead'";
    Ok(tx.execute(sql, &[&sid, &id, &run_at.micros()]).await? > 0)
}

pub(super) async fn extend(tx: &Tx, sid: i64, id: Uuid, until: Timestamp) -> Res<bool> {
    let sql = "UPDATE rae.jobs SET lease_until = $3 WHERE scope = $1 AND id = $2";
    Ok(tx.execute(sql, &[&sid, &id, &until.micros()]).await? > 0)
}

fn state(row: &Row, column: usize) -> Res<JobState> {
    match row.try_get(column)? {
        "queued" => Ok(JobState::Queued),
        "dead" => Ok(JobState::Dead),
        _ => Err(Error::corrupt("a job has an unknown state").into()),
    }
}

fn decode(row: &Row) -> Res<Job> {
    let state = state(row, 3)?;
    let kind: String = row.try_get(1)?;
    Ok(Job {
        id: row.try_get(0)?,
        kind: serde_json::from_value(kind.into())?,
        payload: serde_json::from_str(row.try_get(2)?)?,
        state,
        attempts: version(row, 4)?,
        run_at: time(row, 5)?,
        last_error: text_opt(row, 6)?,
    })
}

/// Jobs of the scope, oldest first.
pub(super) async fn list(tx: &Tx, limit: usize) -> Res<Vec<Job>> {
    let limit = page(limit)?;
    let Some(row) = ScopeRow::find(tx).await? else { return Ok(Vec::new()) };
    let sql = concat!("SELECT ", job_columns!(), " FROM rae.jobs j WHERE j.scope = $1 ORDER BY j.jid LIMIT $2");
    tx.query(sql, &[&row.sid, &limit]).await?.iter().map(decode).collect()
}

/// Takes due jobs, and lays those aside that were taken as often as is allowed without a word. Jobs that another one is
/// taking at the moment are passed by.
pub(super) async fn lease(tx: &Tx, now: Timestamp, duration: Duration, limit: usize) -> Res<Vec<Lease>> {
    let limit = page(limit)?;
    let Some(row) = ScopeRow::find(tx).await? else { return Ok(Vec::new()) };
    let most = i64::from(JOB_ATTEMPTS_MAX);
    let dead = "UPDATE rae.jobs SET state = 'dead', lease_until = NULL, \
                last_error = coalesce(last_error, 'every lease of the job ran out'::bytea) WHERE jid IN \
                (SELECT jid FROM rae.jobs WHERE scope = $1 AND state = 'queued' AND run_at <= $2 \
                AND coalesce(lease_until <= $2, true) AND attempts >= $3 FOR UPDATE SKIP LOCKED)";
    tx.execute(dead, &[&row.sid, &now.micros(), &most]).await?;
    let until = now.saturating_add(duration);
    let take = concat!(
        "WITH due AS (SELECT jid, run_at FROM rae.jobs WHERE scope = $1 AND state = 'queued' AND run_at <= $2 \
         AND coalesce(lease_until <= $2, true) AND attempts < $3 ORDER BY run_at, jid LIMIT $4 FOR UPDATE SKIP LOCKED), \
         taken AS (UPDATE rae.jobs j SET attempts = j.attempts + 1, fence = j.fence + 1, lease_until = $5 FROM due \
         WHERE j.jid = due.jid RETURNING ",
        job_columns!(),
        ", j.fence, j.jid) SELECT * FROM taken ORDER BY run_at, jid"
    );
    let rows = tx.query(take, &[&row.sid, &now.micros(), &most, &limit, &until.micros()]).await?;
    rows.iter().map(|row| Ok(Lease { job: decode(row)?, fence: uint(row, 7)?, until })).collect()
}

/// Takes due jobs of all tenants by the door `lease_due`; gives their scopes, ids and fencing numbers.
pub(super) async fn lease_due(
    tx: &Tx,
    now: Timestamp,
    until: Timestamp,
    limit: usize,
    kinds: &[JobKind],
) -> Res<Vec<(Scope, Uuid, u64)>> {
    let (limit, most) = (page(limit)?, i64::from(JOB_ATTEMPTS_MAX));
    let kinds: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
    let sql = "SELECT of_tenant, of_project, job, number FROM rae.lease_due($1, $2, $3, $4, $5)";
    let rows = tx.query(sql, &[&now.micros(), &until.micros(), &most, &limit, &kinds]).await?;
    rows.iter().map(|row| Ok((scope(row, 0)?, row.try_get(2)?, uint(row, 3)?))).collect()
}

fn scope(row: &Row, first: usize) -> Res<Scope> {
    Ok(Scope::new(row.try_get::<_, String>(first)?, row.try_get::<_, String>(first + 1)?)?)
}

/// A job that this caller took, as long as nobody else took it since.
pub(super) async fn taken(tx: &Tx, id: Uuid, fence: u64) -> Res<Option<Job>> {
    let Some(row) = ScopeRow::find(tx).await? else { return Ok(None) };
    let sql = concat!("SELECT ", job_columns!(), " FROM rae.jobs j WHERE j.scope = $1 AND j.id = $2 AND j.fence = $3");
    tx.query_opt(sql, &[&row.sid, &id, &int(fence)]).await?.as_ref().map(decode).transpose()
}

/// Queues what is due, of all tenants.
pub(super) async fn schedule(tx: &Tx, now: Timestamp, schedules: &[Schedule]) -> Res<u64> {
    let (mut queued, most) = (0, i64::try_from(SCHEDULE_PAGE).unwrap_or(i64::MAX));
    for schedule in schedules {
        let sql = "SELECT rae.queue_due($1, $2, $3, $4)";
        let row = tx.query_one(sql, &[&now.micros(), &schedule.kind.as_str(), &schedule.micros(), &most]).await?;
        queued += uint(&row, 0)?;
    }
    Ok(queued)
}

/// A page of the jobs of the call's scope.
pub(super) async fn page_of(tx: &Tx, scan: &JobScan) -> Res<Vec<JobEntry>> {
    let Some(row) = ScopeRow::find(tx).await? else { return Ok(Vec::new()) };
    let (after, state, limit) = bounds(scan)?;
    let sql = "SELECT jid, id, kind, state, attempts, run_at, last_error FROM rae.jobs \
               WHERE scope = $1 AND jid > $2 AND ($3::text IS NULL OR state = $3) ORDER BY jid LIMIT $4";
    let rows = tx.query(sql, &[&row.sid, &after, &state, &limit]).await?;
    rows.iter().map(|row| entry(row, 1, tx.scope.clone())).collect()
}

/// A page of the jobs of all scopes.
pub(super) async fn all_jobs(tx: &Tx, scan: &JobScan) -> Res<Vec<JobEntry>> {
    let (after, state, limit) = bounds(scan)?;
    let sql = "SELECT jid, of_tenant, of_project, id, kind, state, attempts, run_at, last_error \
               FROM rae.all_jobs($1, $2, $3) ORDER BY jid";
    let rows = tx.query(sql, &[&after, &state, &limit]).await?;
    rows.iter().map(|row| entry(row, 3, scope(row, 1)?)).collect()
}

fn bounds(scan: &JobScan) -> Res<(i64, Option<&'static str>, i64)> {
    Ok((int(scan.after.unwrap_or_default()), scan.state.map(JobState::as_str), page(scan.limit)?))
}

/// The number is the first column; the rest begins at `first`.
fn entry(row: &Row, first: usize, scope: Scope) -> Res<JobEntry> {
    Ok(JobEntry {
        no: uint(row, 0)?,
        scope,
        id: row.try_get(first)?,
        kind: row.try_get(first + 1)?,
        state: state(row, first + 2)?,
        attempts: version(row, first + 3)?,
        run_at: time(row, first + 4)?,
        last_error: text_opt(row, first + 5)?,
    })
}

pub(super) async fn stats(tx: &Tx, now: Timestamp) -> Res<JobStats> {
    let mut stats = JobStats::default();
    let sql = "SELECT of_kind, due, later, running, dead, oldest FROM rae.job_stats($1) ORDER BY of_kind";
    for row in tx.query(sql, &[&now.micros()]).await? {
        let (due, later, running, dead) = (uint(&row, 1)?, uint(&row, 2)?, uint(&row, 3)?, uint(&row, 4)?);
        stats.depths.push(JobDepth { kind: row.try_get(0)?, due, later, running, dead });
        let oldest = row.try_get::<_, Option<i64>>(5)?.unwrap_or(now.micros());
        let age = now.micros().saturating_sub(oldest).unsigned_abs();
        stats.oldest_due = stats.oldest_due.max(Duration::from_micros(age));
    }
    Ok(stats)
}
