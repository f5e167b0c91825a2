//! # RAE, the Reflective Agentic Memory Engine
//!
//! Long-term memory for AI agents: remember conversations and facts in one file, recall them by meaning, words, speaker, session and
//! time, without a server, an API key, a download or a model call.
//!
//! Features: `embedded` (one-file store), `static-table` (built-in embedder), `tiktoken` (token counts), `local` (all-MiniLM-L6-v2 from
//! a folder), `conformance` (the public suite for adapters). Without any of them: ports, verbs and the pure code.

pub mod ctx;
pub mod error;
pub mod guard;
pub mod limits;
pub mod model;
pub mod ports;

pub mod lexical;

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
pub mod embedded;
pub mod providers;

pub use ctx::Ctx;
pub use error::{Error, ErrorKind, Result};

/// Version of the engine, for example `0.1.0`.
pub fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}
