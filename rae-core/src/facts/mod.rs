//! Facts out of what was said: a subject, an attribute and a value, by rules for English. Pure: no model, no I/O, no clock.
//!
//! Made to be right when they speak, not to speak often. What is asked, supposed, planned, denied or quoted is no fact; other
//! languages give nothing. docs/concepts/facts.md says what the rules know.

mod clause;
mod dates;
mod decide;
#[rustfmt::skip]
mod framed;
mod junk;
mod model;
mod owned;
#[rustfmt::skip]
mod places;
mod read;
mod relation;
mod resume;
mod slots;
#[rustfmt::skip]
mod taken_back;
// Lists, many words a line.
#[rustfmt::skip]
mod words;

pub(crate) use decide::{By, Change, Decision, Heard, REVIVED, Resumed, WITHDRAWN, Weight, Weights, decide};
pub use junk::Skipped;
pub(crate) use model::{PROMPT, Reading, Verdict, band_request, is_decided, read, read_verdict, repair, request};
pub(crate) use read::own_words;
pub use read::{Said, drafts};
pub use relation::{is_single, sentence};
pub(crate) use resume::{Key, Revived as Again, is_void, restore};

use crate::model::Timestamp;

/// A fact as it was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// Whom or what it is about.
    pub subject: String,
    /// The attribute, such as `lives_in`.
    pub relation: String,
    /// The value.
    pub object: String,
    /// Whether the statement ends it: "I no longer live in Oslo".
    pub is_end: bool,
    /// From 0 to 1.
    pub confidence: f64,
    /// From when it holds, or until when where it ends.
    pub from: Timestamp,
    /// The latest that this may mean: "last month" is a month. Not after the statement.
    pub latest: Timestamp,
    /// Where the statement begins in the text, in bytes.
    pub start: usize,
    /// Where it ends, in bytes.
    pub end: usize,
}

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;
