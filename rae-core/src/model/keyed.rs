//! Ids of which only keyed hashes are known.

use super::MemoryId;
use std::{collections::HashSet, fmt, sync::Arc};

/// A set of ids by their hashes under a store's key: who has the set and an id can tell whether it is in it, and nobody can read an
/// id from it. Cheap to clone.
#[derive(Clone)]
pub struct KeyedIds {
    key: [u8; 32],
    hashes: Arc<HashSet<[u8; 32]>>,
}

impl KeyedIds {
    /// The ids with these hashes under `key`.
    pub fn new(key: [u8; 32], hashes: HashSet<[u8; 32]>) -> Self {
        Self { key, hashes: Arc::new(hashes) }
    }

    /// The hash of an id under `key`.
    pub fn hash(key: &[u8; 32], id: MemoryId) -> [u8; 32] {
        *blake3::keyed_hash(key, id.0.as_bytes()).as_bytes()
    }

    /// Whether the id is one of them.
    pub fn contains(&self, id: MemoryId) -> bool {
        self.hashes.contains(&Self::hash(&self.key, id))
    }

    /// The same without these ids.
    pub fn without(&self, ids: &[MemoryId]) -> Self {
        let mut hashes = HashSet::clone(&self.hashes);
        for id in ids {
            hashes.remove(&Self::hash(&self.key, *id));
        }
        Self { key: self.key, hashes: Arc::new(hashes) }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }
}

impl fmt::Debug for KeyedIds {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedIds").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// What a store keeps of ids beside memories, for a day: how often one of [`KeyedIds`] is there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KeptIds {
    /// In receipts of idempotency keys.
    pub receipts: u64,
    /// In what batches answered.
    pub batches: u64,
}
