//! `sync_vectors`: brings a vector server to what the memories say, now.

use crate::{
    deps::Deps,
    error::Result,
    jobs::{feeder::feed, vector_sync::Mode},
};
use serde::Serialize;

/// What bringing the vectors up to date did, over all tenants and projects.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct VectorSync {
    /// Changes written.
    pub changes: u64,
    /// Points that an overtaken write had spoiled, written again.
    pub repaired: u64,
    /// Changes still to be written.
    pub behind: u64,
    /// Scopes where something was applied too lately to be settled.
    pub unsettled: u64,
}

pub(crate) async fn sync_vectors(deps: &Deps, limit: u64) -> Result<VectorSync> {
    let mut done = VectorSync::default();
    for scope in deps.relational.scopes().await? {
        let progress = feed(deps, &scope, limit.saturating_sub(done.changes), Mode::OnDemand).await?;
        done.changes += progress.changes;
        done.repaired += progress.repaired;
        done.behind += progress.behind;
        done.unsettled += u64::from(progress.settle_in.is_some());
    }
    Ok(done)
}
