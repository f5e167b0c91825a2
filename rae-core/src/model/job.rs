//! Background work as rows of the relational store, so that a job commits with its cause.

use super::{Scope, Timestamp};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use uuid::Uuid;

/// What a job does. Its payload holds ids, never content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum JobKind {
    /// Compute the vectors of memories that were stored without one.
    Embed,
    /// Read facts from memories that asked for enrichment.
    Extract,
    /// Housekeeping of one project: purge what expired, store segments of the index, truncate the log.
    Maintain,
    /// Run the stored sets of questions of one project and keep how they were answered.
    Evaluate,
    /// Learn from a session that ended, or from all sessions of one project that have news.
    Reflect,
}

impl JobKind {
    /// All of them: what this build can run. A worker takes no job of a newer build.
    pub const ALL: [Self; 5] = [Self::Embed, Self::Extract, Self::Maintain, Self::Evaluate, Self::Reflect];

    /// The name in the store and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Embed => "embed",
            Self::Extract => "extract",
            Self::Maintain => "maintain",
            Self::Evaluate => "evaluate",
            Self::Reflect => "reflect",
        }
    }
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Waiting, or leased until the lease runs out.
    Queued,
    /// Failed as often as is allowed; kept to be looked at and requeued.
    Dead,
}

impl JobState {
    /// The name in the store and in listings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Dead => "dead",
        }
    }
}

/// A stored job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Opaque id.
    pub id: Uuid,
    /// What it does.
    pub kind: JobKind,
    /// Ids and numbers it needs, as JSON.
    pub payload: serde_json::Value,
    /// Where it stands.
    pub state: JobState,
    /// Attempts begun.
    pub attempts: u32,
    /// Not before.
    pub run_at: Timestamp,
    /// The last failure, without content.
    pub last_error: Option<String>,
}

/// A job taken for some time. `fence` grows with each lease: whoever lost it can finish nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Lease {
    /// The job.
    pub job: Job,
    /// Fencing number.
    pub fence: u64,
    /// When the lease runs out.
    pub until: Timestamp,
}

/// One page of jobs, oldest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobScan {
    /// Only those in this state.
    pub state: Option<JobState>,
    /// Only those after this number: the `no` of the last entry of the page before.
    pub after: Option<u64>,
    /// At most so many, 1 to `limits::PAGE_MAX`.
    pub limit: usize,
}

/// A job as it is listed: everything but its payload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobEntry {
    /// Number in the order of queueing, over the whole store; 0 where a server told of it.
    #[serde(skip)]
    pub no: u64,
    /// Whose it is; the default scope where a server told of it.
    #[serde(skip)]
    pub scope: Scope,
    /// Opaque id.
    pub id: Uuid,
    /// Name of what it does. Text, as a store may hold jobs of a newer build.
    pub kind: String,
    /// Where it stands.
    pub state: JobState,
    /// Attempts begun.
    pub attempts: u32,
    /// Not before.
    pub run_at: Timestamp,
    /// The last failure, without content.
    pub last_error: Option<String>,
}

/// How many jobs of a kind there are, over all tenants.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct JobDepth {
    /// Name of the kind.
    pub kind: String,
    /// Could run now.
    pub due: u64,
    /// Wait for their time: the next attempt after a failure.
    pub later: u64,
    /// Are leased.
    pub running: u64,
    /// Failed as often as is allowed.
    pub dead: u64,
}

/// The queue of the whole store in numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct JobStats {
    /// By kind, in the order of names.
    pub depths: Vec<JobDepth>,
    /// For how long the oldest due job could have run; zero where none is due.
    pub oldest_due: Duration,
}

/// Work that comes again for each project that holds memories.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// What is queued.
    pub kind: JobKind,
    /// Once in so long.
    pub every: Duration,
}

impl Schedule {
    /// The period in microseconds, at least one.
    pub fn micros(&self) -> i64 {
        i64::try_from(self.every.as_micros()).unwrap_or(i64::MAX).max(1)
    }

    /// The end of the period that `now` lies in. Periods of a project begin at `offset` microseconds, so that not all
    /// projects are due at one instant.
    pub fn next(&self, now: Timestamp, offset: u64) -> Timestamp {
        let every = self.micros();
        let offset = i64::try_from(offset % every.unsigned_abs()).unwrap_or_default();
        let into = now.micros().saturating_sub(offset).rem_euclid(every);
        let next = now.micros().saturating_add(every - into);
        Timestamp::from_micros(next).unwrap_or(now)
    }

    /// Where the periods of a project begin: anywhere, but always at the same place.
    pub fn offset(&self, scope: &Scope) -> u64 {
        let mut hash = blake3::Hasher::new();
        for part in [self.kind.as_str(), scope.tenant(), scope.project()] {
            hash.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
        }
        let mut first = [0; 8];
        first.iter_mut().zip(hash.finalize().as_bytes()).for_each(|(to, from)| *to = *from);
        u64::from_le_bytes(first)
    }

    /// Id of the job of the period that ends at `due`: the same whoever queues it.
    pub fn job_id(&self, scope: &Scope, due: Timestamp) -> Uuid {
        let seed = [self.offset(scope).to_le_bytes(), due.micros().to_le_bytes()].concat();
        let mut bytes = [0; 16];
        bytes.iter_mut().zip(blake3::hash(&seed).as_bytes()).for_each(|(to, from)| *to = *from);
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }
}
