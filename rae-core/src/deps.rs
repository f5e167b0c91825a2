//! Everything a verb needs, plugged together by the builder.

use crate::{
    access::AccessBuffer,
    ctx::Ctx,
    error::{Error, ErrorKind, Result},
    indexes::Indexes,
    jobs::background::Background,
    model::{IdGenerator, Op, Precondition, Scope, WriteBatch},
    ports::{CacheStore, Clock, Collection, Embedder, RelationalStore, Reranker, TokenCounter, VectorStore},
};
use parking_lot::RwLock;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// Ports, clock and in-memory state of one open store. Shared by every handle on it.
#[derive(Debug)]
pub(crate) struct Deps {
    pub relational: Arc<dyn RelationalStore>,
    pub vectors: Arc<dyn VectorStore>,
    pub cache: Arc<dyn CacheStore>,
    /// Swapped by `reembed`, hence the lock; taken for a clone only.
    pub embedder: RwLock<Arc<dyn Embedder>>,
    pub tokens: Arc<dyn TokenCounter>,
    pub reranker: Option<Arc<dyn Reranker>>,
    pub clock: Arc<dyn Clock>,
    pub ids: IdGenerator,
    pub indexes: Indexes,
    pub access: AccessBuffer,
    pub background: Background,
    /// Bound on the time of one call.
    pub timeout: Option<Duration>,
    pub closed: AtomicBool,
}

impl Deps {
    /// The context of a call; fails once the store is closed.
    pub fn ctx(&self, scope: &Scope) -> Result<Ctx> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::new(ErrorKind::Unavailable, "the store is closed; open it again").with_code("closed"));
        }
        let ctx = Ctx::new(scope.clone());
        Ok(match self.timeout {
            Some(timeout) => ctx.with_timeout(timeout),
            None => ctx,
        })
    }

    /// The embedder in use.
    pub fn embedder(&self) -> Arc<dyn Embedder> {
        Arc::clone(&self.embedder.read())
    }

    /// The collection of the embedder in use.
    pub fn collection(&self) -> Collection {
        let embedder = self.embedder();
        Collection { embedder: embedder.id().to_owned(), dim: embedder.dim() }
    }

    /// A batch of `ops`, dated now.
    pub fn batch(&self, ops: Vec<Op>) -> WriteBatch {
        let now = self.clock.now();
        WriteBatch { id: self.ids.next_uuid(now), now, preconditions: Vec::new(), ops }
    }

    /// A batch with preconditions.
    pub fn batch_if(&self, preconditions: Vec<Precondition>, ops: Vec<Op>) -> WriteBatch {
        WriteBatch { preconditions, ..self.batch(ops) }
    }
}
