//! Stores that live in the process: SQLite for the truth, vectors in memory, and the reference store for tests.

pub mod cache;
pub mod memory;
#[cfg(feature = "embedded")]
pub mod sqlite;
pub mod vector;
