//! The reference store keeps every rule of the public suite.

use rae_core::{
    conformance::fixtures::start,
    conformance_relational,
    embedded::memory::ReferenceStore,
    ports::{ManualClock, RelationalStore},
};
use std::sync::Arc;

fn make() -> (Arc<dyn RelationalStore>, Arc<ManualClock>, ()) {
    let clock = Arc::new(ManualClock::new(start()));
    (Arc::new(ReferenceStore::new(clock.clone())), clock, ())
}

conformance_relational!(reference, make());
