//! What a session teaches: events to a verdict (`evaluate`), a verdict to lessons and strategies (`lesson`), and a summary
//! (`summary`). Pure: no I/O, no clock, no model; the same answer for the same events.

mod error_text;
mod evaluate;
mod event;
mod failing;
mod lesson;
mod summary;

use evaluate::Way;

pub(crate) use evaluate::evaluate;
pub(crate) use event::{END, Event};
pub(crate) use lesson::{Draft, drafts, fixed_id, ids, summary_id};

#[cfg(test)]
mod tests;
