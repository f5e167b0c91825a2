//! Jobs as rows: queueing, leases with fencing numbers, dead letters.

use super::{
    apply::{ScopeRow, holds},
    errors::Res,
    row::{int, page, text_opt, time, uint, version},
    session::Tx,
};
use rae_core::{
    Error,
    limits::JOB_ATTEMPTS_MAX,
    model::{Job, JobState, Lease, NewJob, Timestamp},
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

pub(super) async fn extend(tx: &Tx, sid: i64, id: Uuid, until: Timestamp) -> Res<bool> {
    let sql = "UPDATE rae.jobs SET lease_until = $3 WHERE scope = $1 AND id = $2";
    Ok(tx.execute(sql, &[&sid, &id, &until.micros()]).await? > 0)
}

fn decode(row: &Row) -> Res<Job> {
    let state = match row.try_get(3)? {
        "queued" => JobState::Queued,
        "dead" => JobState::Dead,
        _ => return Err(Error::corrupt("a job has an unknown state").into()),
    };
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

fn later(now: Timestamp, duration: Duration) -> Timestamp {
    let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_micros(now.micros().saturating_add(micros)).unwrap_or_else(|_| now.saturating_add_seconds(i64::MAX))
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
    let until = later(now, duration);
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
