//! `stats`: numbers.

use crate::{
    deps::Deps,
    error::Result,
    model::{Layer, Scope},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Numbers about the scope and its store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    /// Live memories.
    pub memories: u64,
    /// The same by layer; every layer is named.
    pub by_layer: BTreeMap<Layer, u64>,
    /// Memories with a vector.
    pub vectors: u64,
    /// Bytes of the whole store on disk.
    pub bytes: u64,
    /// Jobs waiting, and dead letters.
    pub jobs: Jobs,
    /// The store's embedder.
    pub embedder: EmbedderInfo,
    /// Number of the last change of the scope.
    pub seq: u64,
    /// Version of the schema.
    pub schema_version: u32,
}

/// Jobs of a scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jobs {
    /// Waiting or running.
    pub queued: u64,
    /// Failed too often.
    pub dead: u64,
}

/// An embedder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmbedderInfo {
    /// `name@revision/dim`.
    pub id: String,
    /// Dimension.
    pub dim: usize,
}

pub(crate) async fn stats(deps: &Deps, scope: &Scope) -> Result<Stats> {
    let ctx = deps.ctx(scope)?;
    let stats = deps.relational.stats(&ctx).await?;
    let head = deps.relational.head(&ctx).await?;
    let (id, dim) = head.embedder.unwrap_or_else(|| {
        let embedder = deps.embedder();
        (embedder.id().to_owned(), embedder.dim())
    });
    Ok(Stats {
        memories: stats.memories,
        by_layer: Layer::ALL.into_iter().zip(stats.by_layer).collect(),
        vectors: stats.vectors,
        bytes: stats.bytes,
        jobs: Jobs { queued: stats.jobs_queued, dead: stats.jobs_dead },
        embedder: EmbedderInfo { id, dim },
        seq: head.seq,
        schema_version: stats.schema_version,
    })
}
