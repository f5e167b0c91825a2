//! From a question to a ranking: candidates, score parts, their sum, the token budget. Pure: the index and the cosines are
//! arguments, nothing here does I/O or reads a clock.
//!
//! The formula and where its weights come from: docs/concepts/recall.md. Read `by_words`, `candidates` and `rank` in that order.

mod candidates;
mod pack;
mod score;

pub(crate) use candidates::{Query, by_words, candidates, list_len};
pub(crate) use pack::{Packed, Packer, Section};
pub(crate) use score::{Ranked, rank};
pub use score::{Signals, Weights};
