//! The reference store keeps every rule of the public suite, and the guard bends none.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)] // a test reports by panicking

use rae_core::{
    conformance::fixtures::start,
    conformance_embed, conformance_relational, conformance_vector,
    embedded::{
        memory::ReferenceStore,
        vector::{MemoryVectors, VectorsConfig},
    },
    guard::{Guarded, Policy},
    ports::{Embedder, ManualClock, RelationalStore, VectorFeed, VectorStore},
    providers::StaticEmbedder,
};
use std::sync::Arc;

fn make() -> (Arc<dyn RelationalStore>, Arc<ManualClock>, ()) {
    let clock = Arc::new(ManualClock::new(start()));
    (Arc::new(ReferenceStore::new(clock.clone())), clock, ())
}

fn make_guarded() -> (Arc<dyn RelationalStore>, Arc<ManualClock>, ()) {
    let (store, clock, ()) = make();
    (Arc::new(Guarded::relational(store, Policy::default())), clock, ())
}

fn make_vector() -> (Arc<dyn VectorStore>, ()) {
    (Arc::new(Guarded::vector(Arc::new(MemoryVectors::new(VectorsConfig::default())), Policy::default())), ())
}

fn make_outbox() -> (Arc<dyn VectorStore>, ()) {
    (Arc::new(MemoryVectors::new(VectorsConfig { feed: VectorFeed::Outbox, ..VectorsConfig::default() })), ())
}

fn make_embedder() -> (Arc<dyn Embedder>, ()) {
    (Arc::new(Guarded::embedder(Arc::new(StaticEmbedder::builtin().unwrap()), Policy::default())), ())
}

conformance_relational!(reference, make());
conformance_relational!(guarded, make_guarded());
conformance_vector!(vector, make_vector());
conformance_vector!(outbox, make_outbox());
conformance_embed!(embedder, make_embedder());
