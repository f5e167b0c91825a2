//! The verbs, as their users meet them, on every embedded store.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)] // a test reports by panicking

mod common;
#[path = "shared/import.rs"]
mod import;
#[path = "shared/resume.rs"]
mod resume;
#[path = "shared/verbs.rs"]
mod scenarios;
