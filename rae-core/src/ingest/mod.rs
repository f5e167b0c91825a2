//! From a caller's input to rows: validation, normalisation, fingerprints. Pure: no I/O, no clock of its own.

mod fingerprint;
mod input;
mod relation;
mod vector;

pub(crate) use fingerprint::{content_hash, dedup_key, request_hash};
pub use input::{MemoryUpdate, NewMemory};
pub(crate) use input::{check_imported, check_query, check_tags, event_name};
pub use relation::NewRelation;
pub(crate) use vector::normalise_vector;
