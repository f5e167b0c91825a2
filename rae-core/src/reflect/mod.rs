//! What a session teaches: events to steps (`steps`), these to a verdict (`evaluate`), a verdict to lessons and strategies
//! (`lesson`), and a summary (`summary`). Pure: no I/O, no clock, no model; the same answer for the same events.

mod about;
mod bucket;
mod call;
mod consolidate;
mod draft;
mod endings;
mod error_text;
mod evaluate;
mod event;
mod failing;
mod figures;
mod insight;
mod joined;
mod lesson;
mod mask;
mod model;
mod origin;
mod quote;
mod said_by;
mod spoken;
mod steps;
mod subject;
mod summary;
mod telling;
mod told;
mod verbs;
mod words;

use evaluate::Way;

pub(crate) use about::{is_about, is_summary, names_tool, repeats};
pub(crate) use bucket::{Bucket, week};
pub(crate) use consolidate::Statements;
pub(crate) use draft::Draft;
pub(crate) use error_text::normalised;
pub(crate) use evaluate::{Verdict, evaluate};
pub(crate) use event::{Cited, END, Event, Owner, cut};
pub(crate) use insight::{has_failed, insight_request, insights, is_due, read_insight, told};
pub(crate) use joined::{Joined, check_counts, has_own_words, joined, keep_origin};
pub(crate) use lesson::{drafts, is_of_nobody, is_of_one, lesson_subjects, subjects};
pub(crate) use model::{Answer, Said, chosen, read as read_answer, repair, request as model_request};
pub(crate) use quote::{bare, has_quotes, quotes_any};
pub(crate) use said_by::is_said_by;
pub(crate) use subject::{Subject, fixed_id, is_fixed};
pub(crate) use told::{asked, counted, explained, is_of_model, is_unexplained, model_failed, was_asked};
pub(crate) use words::sentence;

#[cfg(test)]
mod outputs_tests;
#[cfg(test)]
mod shapes_tests;
#[cfg(test)]
mod tests;
