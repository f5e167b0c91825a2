//! The PostgreSQL store keeps every rule of the public suite, on a real server.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test reports by panicking

mod support;

rae_core::conformance_relational!(postgres, support::postgres::store(), support::block_on);
