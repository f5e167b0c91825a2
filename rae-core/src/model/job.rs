//! Background work as rows of the relational store, so that a job commits with its cause.

use super::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What a job does. Its payload holds ids, never content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum JobKind {
    /// Compute the vectors of memories that were stored without one.
    Embed,
}

impl JobKind {
    /// The name in the store and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Embed => "embed",
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
