//! The reference store keeps every rule of the public suite, bare and behind the guard; and the suites of the other ports can be met,
//! by the plainest adapters there are.

#![allow(clippy::unwrap_used)] // helpers of tests, not of the engine

#[path = "conformance_reference/plain.rs"]
mod plain;

use rae_core::{
    conformance::fixtures::start,
    conformance_cache, conformance_embed, conformance_relational, conformance_vector,
    embedded::memory::ReferenceStore,
    guard::{Guarded, Policy},
    ports::{CacheStore, Embedder, ManualClock, RelationalStore, VectorStore},
};
use std::{sync::Arc, time::Duration};

fn make() -> (Arc<dyn RelationalStore>, Arc<ManualClock>, ()) {
    let clock = Arc::new(ManualClock::new(start()));
    (Arc::new(ReferenceStore::new(clock.clone())), clock, ())
}

fn make_guarded() -> (Arc<dyn RelationalStore>, Arc<ManualClock>, ()) {
    let (store, clock, guard) = make();
    (Arc::new(Guarded::relational(store, Policy::default())), clock, guard)
}

conformance_relational!(reference, make());
conformance_relational!(guarded, make_guarded());

fn make_vector() -> (Arc<dyn VectorStore>, ()) {
    (Arc::new(Guarded::vector(Arc::new(plain::Vectors::default()), Policy::default())), ())
}

type Pass = Box<dyn Fn(Duration) + Send + Sync>;

fn make_cache() -> (Arc<dyn CacheStore>, Pass, ()) {
    let clock = Arc::new(ManualClock::new(start()));
    let cache = Arc::new(plain::Cache::new(clock.clone()));
    let pass: Pass = Box::new(move |time| clock.advance_seconds(i64::try_from(time.as_secs()).unwrap()));
    (Arc::new(Guarded::cache(cache, Policy::default())), pass, ())
}

fn make_embedder() -> (Arc<dyn Embedder>, ()) {
    (Arc::new(Guarded::embedder(Arc::new(plain::Words), Policy::default())), ())
}

conformance_vector!(vector, make_vector());
conformance_cache!(cache, make_cache());
conformance_embed!(embedder, make_embedder());
