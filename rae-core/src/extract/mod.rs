//! What a text speaks of, by rules and statistics: keywords, statements of three parts, names of one thing. Pure: no model, no I/O, no
//! clock, and the same answer for the same text. docs/ml.md says what the rules cannot do.

mod entities;
mod keywords;
mod triples;
mod words;

pub use entities::{Cluster, resolve_entities, similarity};
pub use keywords::{Keyword, keywords};
pub use triples::{Triple, triples};
pub(crate) use triples::{sentences, words as pieces};
pub(crate) use words::{DENIALS, SUPPOSES};
