//! Vectors in the process: an exact scan over quantised rows, and a graph beside it for large, nearly unfiltered spaces.
//!
//! Every vector takes two bytes a dimension (16-bit fixed point in two planes). A query scans the high plane, keeps the
//! best `max(4k, k + 64)` and rescores those with all 16 bits against the `f32` query. The vectors are never stored here:
//! they are read again from the relational store at every open; only the graph is kept in a folder beside the store.

mod distance;
mod exact;
mod space;

#[cfg(feature = "embedded")]
mod ann;
#[cfg(feature = "embedded")]
mod builder;
#[cfg(feature = "embedded")]
mod snapshot;

#[cfg(test)]
#[cfg(feature = "embedded")]
mod ann_tests;
#[cfg(test)]
mod tests;

#[cfg(feature = "fuzz")]
pub(crate) use snapshot::{rewrite_manifest, some_manifest};

use crate::{
    ctx::Ctx,
    error::{Error, Result},
    limits::{ANN_ROWS_PER_CANDIDATE, ANN_VECTORS_MIN, DIM_MAX},
    model::{MemoryId, Scope, VectorFilter, VectorHit, VectorPoint},
    ports::{Collection, VectorCapability, VectorFeed, VectorStore, Watermark},
};
use async_trait::async_trait;
use distance::{Kernel, Query};
use parking_lot::RwLock;
use rustc_hash::FxHashMap;
use space::Space;
use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use uuid::Uuid;

/// How far from 1 a length may be before the vector is scaled again.
const UNIT_TOLERANCE: f64 = 1e-6;

/// What [`MemoryVectors`] needs to know.
#[derive(Debug, Clone)]
pub struct VectorsConfig {
    /// Folder for snapshots of the graphs (`agent.rae-index/`), made when the first one is written. `None`: graphs live
    /// in memory only. Only with feature `embedded`.
    pub index_dir: Option<PathBuf>,
    /// Identity of the relational store. A snapshot of another store is discarded.
    pub store_uuid: Uuid,
    /// Vectors of one space from which a graph is built. Default [`ANN_VECTORS_MIN`]; `usize::MAX` for never.
    pub ann_threshold: usize,
    /// Who feeds it. Default [`VectorFeed::Reader`]; with [`VectorFeed::Outbox`] it stands in for a vector server in tests.
    pub feed: VectorFeed,
}

impl Default for VectorsConfig {
    fn default() -> Self {
        Self { index_dir: None, store_uuid: Uuid::nil(), ann_threshold: ANN_VECTORS_MIN, feed: VectorFeed::Reader }
    }
}

/// A space: one embedder's vectors of one tenant and project.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    collection: Collection,
    scope: Scope,
}

/// The vector store in the process; see the module page. Readers feed it ([`VectorFeed::Reader`]), and they never block
/// each other.
///
/// Answers are those of the exact cosine but for rounding: recall@10 against an `f32` scan is above 0.999 while the scan
/// serves, about 0.99 where the graph does.
#[derive(Debug)]
pub struct MemoryVectors {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    #[cfg(feature = "embedded")]
    ann_threshold: usize,
    row_cost: usize,
    feed: VectorFeed,
    spaces: RwLock<FxHashMap<Key, Arc<Space>>>,
    closed: AtomicBool,
    #[cfg(feature = "embedded")]
    folder: Option<snapshot::Folder>,
    #[cfg(feature = "embedded")]
    worker: builder::Worker,
}

impl MemoryVectors {
    /// Empty, without touching the disk.
    pub fn new(config: VectorsConfig) -> Self {
        Self::with_row_cost(config, ANN_ROWS_PER_CANDIDATE)
    }

    /// With another idea of what the graph costs, so that tests reach it with few vectors.
    #[cfg_attr(not(feature = "embedded"), allow(unused_variables))]
    fn with_row_cost(config: VectorsConfig, row_cost: usize) -> Self {
        Self {
            inner: Arc::new(Inner {
                #[cfg(feature = "embedded")]
                ann_threshold: config.ann_threshold,
                row_cost,
                feed: config.feed,
                spaces: RwLock::default(),
                closed: AtomicBool::new(false),
                #[cfg(feature = "embedded")]
                folder: config.index_dir.map(|dir| snapshot::Folder { dir, store: config.store_uuid }),
                #[cfg(feature = "embedded")]
                worker: builder::Worker::default(),
            }),
        }
    }

    /// Memory of all spaces in bytes: rows as allocated, graphs estimated.
    pub fn bytes(&self) -> usize {
        self.inner.spaces.read().values().map(|space| space.bytes()).sum()
    }

    /// Vectors of the scope.
    pub fn len(&self, ctx: &Ctx, collection: &Collection) -> usize {
        self.inner.space(&key(ctx, collection)).map_or(0, |space| space.rows.read().live())
    }

    /// Whether the scope has no vector.
    pub fn is_empty(&self, ctx: &Ctx, collection: &Collection) -> bool {
        self.len(ctx, collection) == 0
    }

    /// Takes up the graph that an earlier run left for the scope; gives whether there was a usable one. Every node is
    /// compared with the vector the scope has now; what differs is left out. Without a graph the scan serves, so this
    /// never fails.
    #[cfg(all(test, feature = "embedded"))]
    pub fn restore(&self, ctx: &Ctx, collection: &Collection, head: u64) -> bool {
        self.inner.take_up(&key(ctx, collection), head)
    }

    /// Waits until the graphs are up to date.
    #[cfg(all(test, feature = "embedded"))]
    fn settle(&self) {
        self.inner.worker.join();
    }
}

impl Inner {
    #[cfg(feature = "embedded")]
    fn take_up(self: &Arc<Self>, key: &Key, head: u64) -> bool {
        let restored = self.restore(key, head);
        if let Some(space) = self.space(key) {
            builder::kick(self, &space);
        }
        restored
    }

    fn open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::unavailable("the vector index is closed").with_code("closed"));
        }
        Ok(())
    }

    fn space(&self, key: &Key) -> Option<Arc<Space>> {
        self.spaces.read().get(key).cloned()
    }

    fn space_or_new(&self, key: &Key) -> Arc<Space> {
        if let Some(space) = self.space(key) {
            return space;
        }
        Arc::clone(self.spaces.write().entry(key.clone()).or_insert_with(|| Arc::new(Space::new(key.clone()))))
    }

    #[cfg(not(feature = "embedded"))]
    fn remove_snapshot(&self, _key: &Key) {}

    #[cfg(not(feature = "embedded"))]
    fn purge(&self, _space: &Space) {}
}

fn key(ctx: &Ctx, collection: &Collection) -> Key {
    Key { collection: collection.clone(), scope: ctx.scope().clone() }
}

fn check_collection(collection: &Collection) -> Result<()> {
    if collection.dim == 0 || collection.dim > DIM_MAX {
        return Err(
            Error::invalid(format!("an embedder's dimension must be 1 to {DIM_MAX}")).with_code("invalid_dimension")
        );
    }
    Ok(())
}

/// The vector at unit length. InvalidInput for a wrong dimension, NaN, an infinity or all zeros.
fn unit(collection: &Collection, vector: &[f32]) -> Result<Vec<f32>> {
    check_collection(collection)?;
    if vector.len() != collection.dim {
        return Err(Error::invalid(format!("the vector has {} numbers, not {}", vector.len(), collection.dim))
            .with_code("invalid_dimension"));
    }
    if vector.iter().any(|x| !x.is_finite()) {
        return Err(Error::invalid("a vector must not hold NaN or infinity").with_code("invalid_vector"));
    }
    // In f64: the square of no f32 overflows or vanishes there.
    let norm = vector.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt();
    if norm == 0.0 {
        return Err(Error::invalid("a vector must not be all zeros: a text without one has no vector")
            .with_code("invalid_vector"));
    }
    if (norm - 1.0).abs() <= UNIT_TOLERANCE {
        return Ok(vector.to_vec());
    }
    #[allow(clippy::cast_possible_truncation)]
    Ok(vector.iter().map(|x| (f64::from(*x) / norm) as f32).collect())
}

#[async_trait]
impl VectorStore for MemoryVectors {
    fn capability(&self) -> VectorCapability {
        VectorCapability::new(self.inner.feed, false)
    }

    async fn ensure(&self, _ctx: &Ctx, collection: &Collection) -> Result<()> {
        self.inner.open()?;
        check_collection(collection)
    }

    async fn write(
        &self,
        ctx: &Ctx,
        collection: &Collection,
        upsert: Vec<VectorPoint>,
        delete: &[MemoryId],
        watermark: Option<Watermark>,
    ) -> Result<()> {
        self.inner.open()?;
        ctx.check()?;
        check_collection(collection)?;
        let points: Vec<(MemoryId, Vec<f32>)> =
            upsert.iter().map(|p| Ok((p.id, unit(collection, &p.vector)?))).collect::<Result<_>>()?;
        let space = self.inner.space_or_new(&key(ctx, collection));
        space.write(&points, delete, watermark)?;
        #[cfg(feature = "embedded")]
        builder::kick(&self.inner, &space);
        Ok(())
    }

    async fn query(
        &self,
        ctx: &Ctx,
        collection: &Collection,
        vector: &[f32],
        filter: &VectorFilter,
        k: usize,
    ) -> Result<Vec<VectorHit>> {
        self.inner.open()?;
        ctx.check()?;
        let query = Query::new(unit(collection, vector)?);
        let Some(space) = self.inner.space(&key(ctx, collection)) else { return Ok(Vec::new()) };
        Ok(space.query(&query, filter.only.as_deref(), k, self.inner.row_cost))
    }

    async fn score(
        &self,
        ctx: &Ctx,
        collection: &Collection,
        vector: &[f32],
        ids: &[MemoryId],
    ) -> Result<Vec<Option<f32>>> {
        self.inner.open()?;
        ctx.check()?;
        let query = Query::new(unit(collection, vector)?);
        let Some(space) = self.inner.space(&key(ctx, collection)) else { return Ok(vec![None; ids.len()]) };
        let (rows, kernel) = (space.rows.read(), Kernel::best());
        Ok(ids.iter().map(|id| rows.slot(*id).map(|slot| rows.cosine(kernel, &query, slot))).collect())
    }

    async fn watermark(&self, ctx: &Ctx, collection: &Collection) -> Result<Watermark> {
        self.inner.open()?;
        Ok(self.inner.space(&key(ctx, collection)).map_or_else(Watermark::default, |space| space.rows.read().watermark))
    }

    async fn loaded(&self, ctx: &Ctx, collection: &Collection, head: u64) -> Result<()> {
        self.inner.open()?;
        #[cfg(feature = "embedded")]
        if self.inner.folder.is_some() && self.len(ctx, collection) >= self.inner.ann_threshold {
            let (inner, key) = (Arc::clone(&self.inner), key(ctx, collection));
            // Reads a file of the size of the graph; the scan serves meanwhile, and for good should no thread start.
            let thread = std::thread::Builder::new().name("rae-graph-load".into());
            if let Err(error) = thread.spawn(move || inner.take_up(&key, head)) {
                tracing::warn!(%error, "the graph of an earlier run is not taken up");
            }
        }
        #[cfg(not(feature = "embedded"))]
        let _ = (ctx, collection, head);
        Ok(())
    }

    async fn purge(&self, ctx: &Ctx, collection: &Collection) -> Result<()> {
        let key = key(ctx, collection);
        if let Some(space) = self.inner.space(&key) {
            self.inner.purge(&space);
            // A graph that had to go is built again in the background.
            #[cfg(feature = "embedded")]
            builder::kick(&self.inner, &space);
        } else {
            self.inner.remove_snapshot(&key);
        }
        Ok(())
    }

    async fn release(&self, ctx: &Ctx, collection: &Collection) -> Result<()> {
        if let Some(space) = self.inner.spaces.write().remove(&key(ctx, collection)) {
            space.leave();
        }
        Ok(())
    }

    async fn drop_scope(&self, ctx: &Ctx, collection: &Collection) -> Result<()> {
        self.inner.open()?;
        let key = key(ctx, collection);
        if let Some(space) = self.inner.spaces.write().remove(&key) {
            space.leave();
        }
        self.inner.remove_snapshot(&key);
        Ok(())
    }

    /// Stops the builder (at most one insertion, or one snapshot being written) and writes the graphs that grew.
    async fn close(&self) -> Result<()> {
        if !self.inner.closed.swap(true, Ordering::AcqRel) {
            #[cfg(feature = "embedded")]
            builder::close(&self.inner);
            self.inner.spaces.write().clear();
        }
        Ok(())
    }
}

impl Drop for MemoryVectors {
    fn drop(&mut self) {
        // The builder holds the inner part: without this it would go on for the sake of nobody.
        self.inner.closed.store(true, Ordering::Release);
    }
}
