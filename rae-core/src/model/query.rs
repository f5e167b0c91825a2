//! What is asked of the stores and what they answer.

use super::{Filter, Layer, Memory, MemoryId};
use crate::error::{Error, Result};
use std::{collections::HashSet, sync::Arc};

/// Where a listing goes on: after this memory. Opaque to callers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor(pub MemoryId);

impl Cursor {
    /// As text for callers.
    pub fn encode(self) -> String {
        self.0.0.simple().to_string()
    }

    /// From a caller's text.
    pub fn decode(text: &str) -> Result<Self> {
        uuid::Uuid::try_parse(text).map(|u| Self(MemoryId(u))).map_err(|_| {
            Error::invalid("cursor must be a `next_cursor` of an earlier page").with_code("invalid_cursor")
        })
    }
}

/// One page of live memories of the scope, in id order (oldest first).
#[derive(Debug, Clone)]
pub struct Scan {
    /// Only what matches.
    pub filter: Option<Filter>,
    /// Go on after.
    pub after: Option<Cursor>,
    /// At most this many, 1 to `limits::PAGE_MAX`.
    pub limit: usize,
}

/// The present state of a scope's change log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Number of the last change of the scope; 0 when there was none.
    pub seq: u64,
    /// Readers that applied less than this must rebuild: older tombstones are gone.
    pub tombstone_floor: u64,
    /// The store's embedder id and dimension, once one was set.
    pub embedder: Option<(String, usize)>,
}

/// A changed memory with its vector of the store's embedder.
#[derive(Debug, Clone, PartialEq)]
pub struct Changed {
    /// The memory as it is now; its `seq` says when it changed.
    pub memory: Memory,
    /// Its vector under the embedder asked for.
    pub vector: Option<Vec<f32>>,
}

/// Changes of a scope in `(after, upto]`, as they stand now: a memory changed twice comes once, at its last change.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Changes {
    /// Live memories, by ascending `seq`.
    pub puts: Vec<Changed>,
    /// Deleted memories with the number of the change, ascending.
    pub deletes: Vec<(u64, MemoryId)>,
    /// Everything up to here is in this answer.
    pub upto: u64,
}

/// Numbers about a scope and its store.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StoreStats {
    /// Live memories of the scope.
    pub memories: u64,
    /// The same by layer, in [`Layer::ALL`] order.
    pub by_layer: [u64; Layer::ALL.len()],
    /// Vectors of the scope under the store's embedder.
    pub vectors: u64,
    /// Bytes of the whole store on disk (all tenants), or in memory.
    pub bytes: u64,
    /// Jobs queued for the scope.
    pub jobs_queued: u64,
    /// Dead letters of the scope.
    pub jobs_dead: u64,
    /// Version of the schema.
    pub schema_version: u32,
}

/// A vector of one memory, for a vector store.
#[derive(Debug, Clone, PartialEq)]
pub struct VectorPoint {
    /// Memory.
    pub id: MemoryId,
    /// Unit length, finite.
    pub vector: Vec<f32>,
}

/// What a vector search may return. Closed on purpose: an adapter filters it fully, or says so in its capability.
#[derive(Debug, Clone, Default)]
pub struct VectorFilter {
    /// Only these memories; `None` for all of the scope.
    pub only: Option<Arc<HashSet<MemoryId>>>,
}

/// One answer of a vector search.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VectorHit {
    /// Memory.
    pub id: MemoryId,
    /// Cosine, -1 to 1.
    pub cosine: f32,
}
