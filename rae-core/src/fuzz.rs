//! Doors to parsers that are private, for `rae-core/fuzz` and `tests/fuzz.rs`. Feature `fuzz`; no part of the public API.

pub use crate::providers::{static_table::StaticTable, wordpiece::WordPiece};

/// Reads a manifest of a graph snapshot and writes it again; `None` when it is refused.
pub fn rewrite_manifest(text: &str) -> Option<String> {
    crate::embedded::vector::rewrite_manifest(text)
}

/// A manifest that is accepted.
pub fn some_manifest() -> String {
    crate::embedded::vector::some_manifest()
}
