//! Everything a verb needs, plugged together by the builder.

use crate::{
    access::AccessBuffer,
    builder::Enrich,
    cost::Desk,
    ctx::Ctx,
    embedded::vector::MemoryVectors,
    error::{Error, ErrorKind, Result},
    graphs::Graphs,
    guard::Observer,
    indexes::Indexes,
    jobs::{background::Background, feeder::Feeder},
    lifecycle::LifecyclePolicy,
    model::{IdGenerator, Op, Precondition, Scope, Timestamp, WriteBatch},
    ports::{CacheStore, Clock, Collection, Embedder, RelationalStore, Reranker, TokenCounter, VectorStore},
};
use parking_lot::{Mutex, RwLock};
use std::{
    collections::HashMap,
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// What a verb is given: the open store, and how long the call may take.
#[derive(Debug, Clone)]
pub(crate) struct Deps {
    pub shared: Arc<Shared>,
    /// Bound on the time of one call.
    pub timeout: Option<Duration>,
}

impl Deref for Deps {
    type Target = Shared;
    fn deref(&self) -> &Shared {
        &self.shared
    }
}

/// Ports, clock and in-memory state of one open store. Shared by every handle on it.
#[derive(Debug)]
pub(crate) struct Shared {
    pub relational: Arc<dyn RelationalStore>,
    pub vectors: Arc<dyn VectorStore>,
    pub cache: Arc<dyn CacheStore>,
    /// Swapped by `reembed`, hence the lock; taken for a clone only.
    pub embedder: RwLock<Arc<dyn Embedder>>,
    pub tokens: Arc<dyn TokenCounter>,
    pub reranker: Option<Arc<dyn Reranker>>,
    /// The vectors, where they are in this process: for their size alone.
    pub in_process: Option<Arc<MemoryVectors>>,
    /// For what is guarded after opening.
    pub observer: Arc<dyn Observer>,
    pub clock: Arc<dyn Clock>,
    pub ids: IdGenerator,
    pub indexes: Indexes,
    /// The graphs of relations in memory.
    pub graphs: Graphs,
    pub access: AccessBuffer,
    pub background: Background,
    /// Feeds a vector server, where there is one.
    pub feeder: Feeder,
    /// Whose memories these are, for what is kept elsewhere.
    pub store: String,
    pub lookups: Lookups,
    /// Lookups in the cache of responses.
    pub answers: AnswerLookups,
    /// How model calls are paid for.
    pub desk: Desk,
    /// What becomes of memories as they age, and when jobs last saw to that, by scope.
    pub lifecycle: LifecyclePolicy,
    pub lived: Lived,
    /// Up to which change of a scope nothing waits to hold again.
    pub resumed: Resumed,
    /// The model that background work may ask, where there is one.
    pub model: Option<String>,
    /// After how many changes of a project a reflection is queued.
    pub reflect_after: Option<u64>,
    /// Whether all that is remembered is enriched.
    pub enrich: Enrich,
    pub closed: AtomicBool,
    /// When a job last asked for what the whole store needs once in a while.
    pub checkpointed: Mutex<Option<Instant>>,
}

/// How often jobs forget what is due and truncate the log, whatever the number of projects.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(60);

/// When jobs of this process last looked at the ages of a scope's memories. Forgetting it costs a look.
#[derive(Debug, Default)]
pub(crate) struct Lived(Mutex<HashMap<Scope, Timestamp>>);

/// Age is counted in days: a job that comes more often looks at it once in so long, in seconds.
const LIVED_EVERY: i64 = 20 * 3_600;
/// Scopes that are noted.
const LIVED_SCOPES: usize = 10_000;

impl Lived {
    /// Whether it is time for a job to look at the scope.
    pub fn is_due(&self, scope: &Scope, now: Timestamp) -> bool {
        self.0.lock().get(scope).is_none_or(|at| at.saturating_add_seconds(LIVED_EVERY) <= now || *at > now)
    }

    /// Notes that it was done.
    pub fn note(&self, scope: &Scope, now: Timestamp) {
        let mut lived = self.0.lock();
        if lived.len() >= LIVED_SCOPES {
            lived.clear();
        }
        lived.insert(scope.clone(), now);
    }
}

/// Up to which change of a scope it is known that no fact names a successor which is gone. Forgetting it costs a look.
#[derive(Debug, Default)]
pub(crate) struct Resumed(Mutex<HashMap<Scope, u64>>);

impl Resumed {
    /// The change; `None` where nobody looked yet.
    pub fn upto(&self, scope: &Scope) -> Option<u64> {
        self.0.lock().get(scope).copied()
    }

    /// Notes that it was looked at.
    pub fn note(&self, scope: &Scope, upto: u64) {
        let mut resumed = self.0.lock();
        if resumed.len() >= LIVED_SCOPES {
            resumed.clear();
        }
        resumed.insert(scope.clone(), upto);
    }
}

/// Lookups of query vectors in the cache, counted.
#[derive(Debug, Default)]
pub(crate) struct Lookups {
    hits: AtomicU64,
    misses: AtomicU64,
}

impl Lookups {
    pub fn count(&self, hit: bool) {
        let counter = if hit { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub fn stats(&self) -> CacheStats {
        CacheStats { hits: self.hits.load(Ordering::Relaxed), misses: self.misses.load(Ordering::Relaxed) }
    }
}

/// Lookups in the caches of recall since the store was opened. A vector of the built-in embedder takes less time than a
/// lookup: it is neither cached nor counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Lookups that found what they looked for.
    pub hits: u64,
    /// Lookups that did not.
    pub misses: u64,
}

impl CacheStats {
    /// Hits in proportion to lookups, 0 to 1; `None` before the first lookup.
    pub fn hit_ratio(self) -> Option<f64> {
        let lookups = self.hits + self.misses;
        (lookups > 0).then(|| self.hits as f64 / lookups as f64)
    }
}

/// Lookups in the cache of responses, counted.
#[derive(Debug, Default)]
pub(crate) struct AnswerLookups {
    exact: AtomicU64,
    near: AtomicU64,
    misses: AtomicU64,
}

impl AnswerLookups {
    /// Counts one: what was found, and whether it was the same request.
    pub fn count(&self, found: Option<bool>) {
        let counter = match found {
            Some(true) => &self.exact,
            Some(false) => &self.near,
            None => &self.misses,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub fn stats(&self) -> ResponseCacheStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ResponseCacheStats { exact: read(&self.exact), near: read(&self.near), misses: read(&self.misses) }
    }
}

/// Lookups in the cache of responses since the store was opened. A call that does not ask for the cache is not counted, nor one
/// whose answer would not be kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ResponseCacheStats {
    /// Lookups that found the answer to the same request.
    pub exact: u64,
    /// Lookups that found the answer to a request that was near enough.
    pub near: u64,
    /// Lookups that found nothing.
    pub misses: u64,
}

impl ResponseCacheStats {
    /// Hits of both kinds in proportion to lookups, 0 to 1; `None` before the first lookup.
    pub fn hit_ratio(self) -> Option<f64> {
        let (hits, lookups) = (self.exact + self.near, self.exact + self.near + self.misses);
        (lookups > 0).then(|| hits as f64 / lookups as f64)
    }
}

/// What the indexes in memory hold. They are derived: rebuilt from the store when they are missing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct IndexStats {
    /// Projects whose index of words is in memory; the least recently used go first.
    pub scopes: usize,
    /// Memories in those indexes.
    pub memories: u64,
    /// Pieces of their texts.
    pub pieces: u64,
    /// Bytes of vectors in this process, graphs estimated; 0 where they are kept elsewhere.
    pub vector_bytes: usize,
}

impl Shared {
    /// Whether it is time for a job to see to the whole store; says so once.
    pub fn is_checkpoint_due(&self) -> bool {
        let mut last = self.checkpointed.lock();
        let due = last.is_none_or(|at| at.elapsed() >= CHECKPOINT_EVERY);
        if due {
            *last = Some(Instant::now());
        }
        due
    }

    /// What the indexes in memory hold.
    pub fn index_stats(&self) -> IndexStats {
        let mut stats = self.indexes.stats();
        stats.vector_bytes = self.in_process.as_ref().map_or(0, |vectors| vectors.bytes());
        stats
    }
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
}

impl Shared {
    /// The embedder in use.
    pub fn embedder(&self) -> Arc<dyn Embedder> {
        Arc::clone(&self.embedder.read())
    }

    /// The collection of the embedder in use.
    pub fn collection(&self) -> Collection {
        let embedder = self.embedder();
        Collection { store: self.store.clone(), embedder: embedder.id().to_owned(), dim: embedder.dim() }
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
