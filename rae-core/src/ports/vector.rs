//! Nearest neighbours. Derived, rebuildable, allowed to lag.

use crate::{
    ctx::Ctx,
    error::Result,
    model::{MemoryId, VectorFilter, VectorHit, VectorPoint},
};
use async_trait::async_trait;
use std::fmt::Debug;

/// The vectors of one embedder; cosine over unit vectors. Each scope (of the `Ctx`) of a collection is a space of its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Collection {
    /// Whose memories these are: the same for every process on one relational store, another one for any other store, so that
    /// two of them never meet on one vector server.
    pub store: String,
    /// Embedder id: `name@revision/dim`.
    pub embedder: String,
    /// Dimension of every vector in it.
    pub dim: usize,
}

/// Who brings new vectors in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VectorFeed {
    /// In process: whoever reads brings it up to the store's head first, by `watermark` and `changes_since`.
    Reader,
    /// Elsewhere, shared by processes and apt to fail by itself: a job follows the change log, which is the outbox. It reads
    /// the memories as they are, and the watermark kept beside the vectors says how far it came.
    Outbox,
}

/// How far a scope's vectors follow its change log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Watermark {
    /// Every change up to here was written.
    pub applied: u64,
    /// Every change up to here was looked at again after no older write could still be under way. Only for
    /// [`VectorFeed::Outbox`].
    pub settled: u64,
}

impl Watermark {
    /// Applied up to `seq`, nothing settled.
    pub const fn at(seq: u64) -> Self {
        Self { applied: seq, settled: 0 }
    }
}

/// What an adapter can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct VectorCapability {
    /// Who feeds it.
    pub feed: VectorFeed,
    /// Whether answers are exact for every size and filter.
    pub exact: bool,
    /// Whether readers see a write as a whole or not at all.
    pub whole_writes: bool,
}

impl VectorCapability {
    /// Of these two, with whole writes.
    pub const fn new(feed: VectorFeed, exact: bool) -> Self {
        Self { feed, exact, whole_writes: true }
    }

    /// The same where a reader may see a part of a write.
    pub const fn without_whole_writes(mut self) -> Self {
        self.whole_writes = false;
        self
    }
}

/// A vector store. Rules the conformance suite tries: wrong dimension, NaN, infinite or all-zero vectors are InvalidInput and
/// nothing is stored; an id upserted again is replaced; deleting what is missing is fine; `k = 0` is empty; answers come by
/// falling cosine, then ascending id; an unknown scope is empty.
#[async_trait]
pub trait VectorStore: Debug + Send + Sync + 'static {
    /// What this adapter can do.
    fn capability(&self) -> VectorCapability;

    /// Makes the collection where there is none. Idempotent.
    async fn ensure(&self, ctx: &Ctx, collection: &Collection) -> Result<()>;

    /// Puts points and removes ids, and sets the scope's watermark where one is given: in one step for readers where the
    /// adapter has whole writes, else the watermark last, once all the rest can be found.
    async fn write(
        &self,
        ctx: &Ctx,
        collection: &Collection,
        upsert: Vec<VectorPoint>,
        delete: &[MemoryId],
        watermark: Option<Watermark>,
    ) -> Result<()>;

    /// The `k` nearest to `vector`.
    async fn query(
        &self,
        ctx: &Ctx,
        collection: &Collection,
        vector: &[f32],
        filter: &VectorFilter,
        k: usize,
    ) -> Result<Vec<VectorHit>>;

    /// Cosines of given memories in the order asked, `None` without a vector.
    async fn score(
        &self,
        ctx: &Ctx,
        collection: &Collection,
        vector: &[f32],
        ids: &[MemoryId],
    ) -> Result<Vec<Option<f32>>>;

    /// The last watermark written for the scope; zeros at first.
    async fn watermark(&self, ctx: &Ctx, collection: &Collection) -> Result<Watermark>;

    /// Everything up to `head` was written: an adapter that keeps derived files may take them up again, in its own time.
    /// Files from after `head` belong to a store that was restored from a backup since: they are discarded.
    async fn loaded(&self, ctx: &Ctx, collection: &Collection, head: u64) -> Result<()>;

    /// Leaves no bytes of deleted vectors in derived files or graphs. Erasure calls it.
    async fn purge(&self, ctx: &Ctx, collection: &Collection) -> Result<()>;

    /// Frees the scope's memory; derived files may stay. For [`VectorFeed::Reader`] the watermark is 0 afterwards.
    async fn release(&self, ctx: &Ctx, collection: &Collection) -> Result<()>;

    /// Forgets the whole scope, watermark and derived files too.
    async fn drop_scope(&self, ctx: &Ctx, collection: &Collection) -> Result<()>;

    /// Persists what helps the next start and releases everything. Closing twice is fine.
    async fn close(&self) -> Result<()>;
}
