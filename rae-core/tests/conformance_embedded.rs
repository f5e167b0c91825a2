//! The embedded adapters keep every rule of the public suite.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)] // a test reports by panicking

use rae_core::{
    conformance::fixtures::start,
    conformance_cache, conformance_embed, conformance_relational, conformance_vector,
    embedded::{
        cache::MemoryCache,
        sqlite::{OpenOptions, SqliteStore},
        vector::{MemoryVectors, VectorsConfig},
    },
    ports::{CacheStore, Clock, Embedder, ManualClock, RelationalStore, VectorStore},
    providers::StaticEmbedder,
};
use std::{sync::Arc, time::Duration};
use tempfile::TempDir;

type Relational = (Arc<dyn RelationalStore>, Arc<ManualClock>, TempDir);

fn sqlite(on_disk: bool) -> Relational {
    let clock = Arc::new(ManualClock::new(start()));
    let folder = tempfile::tempdir().unwrap();
    let options = OpenOptions {
        path: on_disk.then(|| folder.path().join("agent.rae")),
        clock: Arc::clone(&clock) as Arc<dyn Clock>,
        ..OpenOptions::default()
    };
    (Arc::new(SqliteStore::open(options).unwrap()), clock, folder)
}

fn vectors() -> (Arc<dyn VectorStore>, ()) {
    (Arc::new(MemoryVectors::new(VectorsConfig::default())), ())
}

fn cache() -> (Arc<dyn CacheStore>, Box<dyn Fn(Duration) + Send + Sync>, ()) {
    // The cache counts by the monotonic clock: time passes by passing.
    (Arc::new(MemoryCache::default()), Box::new(std::thread::sleep), ())
}

conformance_relational!(sqlite_file, sqlite(true));
conformance_relational!(sqlite_in_memory, sqlite(false));
conformance_vector!(memory_vectors, vectors());
conformance_cache!(memory_cache, cache());
conformance_embed!(static_table, (Arc::new(StaticEmbedder::builtin().unwrap()) as Arc<dyn Embedder>, ()));
