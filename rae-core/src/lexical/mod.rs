//! Words: analysis, postings and scoring. Pure: no I/O, no clock.
//!
//! One [`ScopeIndex`] holds the pieces of all memories of one tenant and project, with their statistics. A memory becomes a
//! [`LexDoc`] (analysed outside any lock), which is `put` into the index or written into a [`segment`]. Recall resolves the query
//! once, takes the best memories by their best piece ([`ScopeIndex::search`]) and asks for the other parts of the score (passage,
//! coverage, speakers) of the candidates alone.

mod analyse;
mod compact;
mod doc;
mod filter;
mod fold;
mod index;
pub(crate) mod mark;
mod meta;
mod names;
mod passage;
mod postings;
mod search;
pub mod segment;
mod speakers;
mod stem;

pub use analyse::{analyse, folded_words, is_first_person, words_lower};
pub use doc::{Columns, LexDoc, Terms, document_text, embed_text, piece_spans};
pub use filter::{DocFilter, Matcher, SlotSet};
pub use index::ScopeIndex;
pub use meta::{DocMeta, Slot};
pub use search::{QueryTerm, ResolvedQuery};
pub use speakers::SpeakerRef;
pub(crate) use speakers::is_generic;

#[cfg(test)]
mod tests;
