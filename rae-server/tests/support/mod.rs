//! Real servers for the tests: started when first needed, stopped and removed when the test binary ends, however it ends.
#![allow(dead_code)] // each test binary uses its part

pub mod cut;
pub mod postgres;
pub mod process;
pub mod qdrant;
pub mod redis;

use std::{future::Future, sync::OnceLock};
use tokio::runtime::{Builder, Runtime};

/// The runtime of all tests of a binary.
pub fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap())
}

/// Runs a future to its end.
pub fn block_on<F: Future>(future: F) -> F::Output {
    runtime().block_on(future)
}
