//! Named JSON documents of a project that are no memories: what a recall must never find.

use super::Timestamp;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// What a record is; names are unique within their kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RecordKind {
    /// A label of an instant, for reading the graph as it was known then.
    Snapshot,
    /// A set of questions with the answers that are right.
    Questions,
    /// How a set of questions was answered.
    Evaluation,
    /// How far reflection looked at something.
    Mark,
    /// That somebody forgot what was read from a memory.
    TakenBack,
}

impl RecordKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Snapshot, Self::Questions, Self::Evaluation, Self::Mark, Self::TakenBack];

    /// The name in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Snapshot => "snapshot",
            Self::Questions => "questions",
            Self::Evaluation => "evaluation",
            Self::Mark => "mark",
            Self::TakenBack => "taken_back",
        }
    }
}

impl std::str::FromStr for RecordKind {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let known = Self::ALL.into_iter().find(|kind| kind.as_str() == text);
        known.ok_or_else(|| Error::corrupt(format!("there is no kind of record {text:?}")))
    }
}

/// A named document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// What it is.
    pub kind: RecordKind,
    /// Its name, byte for byte.
    pub name: String,
    /// When it was last written, by the batch that did. Set by `apply`.
    pub at: Timestamp,
    /// Any JSON.
    pub body: serde_json::Value,
}
