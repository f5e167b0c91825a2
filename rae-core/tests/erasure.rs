//! Erasure on every embedded store; `rae-server` runs the same on PostgreSQL.

mod common;
#[path = "shared/erasure.rs"]
mod shared;
