//! The Qdrant adapter and the service on it. Against the stand-in of tests/qdrant/standin.py, and its contract also against the
//! real server that RAE_TEST_QDRANT_URL names.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)] // a test reports by panicking

#[path = "http/support.rs"]
#[allow(dead_code)]
mod http;
mod support;

#[path = "qdrant/crash.rs"]
mod crash;
#[path = "qdrant/errors.rs"]
mod errors;

use rae_core::{conformance_vector, ports::VectorStore};
use std::sync::Arc;
use support::{block_on, qdrant};

fn make() -> (Arc<dyn VectorStore>, ()) {
    (Arc::new(qdrant::open(&qdrant::settings())), ())
}

conformance_vector!(contract, make(), block_on);
