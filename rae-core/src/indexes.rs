//! The lexical indexes in memory: one a scope, the least recently used go. Only the container; `jobs::index_sync` fills it.

use crate::{deps::IndexStats, lexical::ScopeIndex, limits::INDEX_SCOPES_MAX, model::Scope, overlay::Overlay};
use parking_lot::{Mutex, RwLock};
use std::{collections::HashMap, sync::Arc};

/// The index of one scope and what is known about its upkeep.
#[derive(Debug)]
pub(crate) struct ScopeState {
    pub index: RwLock<ScopeIndex>,
    /// Held while the index catches up, so that two readers do not do the same work.
    pub catching_up: futures::lock::Mutex<()>,
    /// Which changes are in stored segments.
    pub coverage: Mutex<Coverage>,
    /// Vectors that a vector server may not have yet.
    pub overlay: Mutex<Overlay>,
}

#[derive(Debug, Default)]
pub(crate) struct Indexes {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Counts look-ups: the clock of "least recently used".
    tick: u64,
    scopes: HashMap<Scope, Entry>,
}

#[derive(Debug)]
struct Entry {
    used: u64,
    state: Arc<ScopeState>,
}

impl Indexes {
    /// The scope's state, empty when it was not there; and the scope that had to go for it, whose vectors should go too.
    pub fn get_or_create(&self, scope: &Scope) -> (Arc<ScopeState>, Option<Scope>) {
        let mut inner = self.inner.lock();
        inner.tick += 1;
        let used = inner.tick;
        if let Some(entry) = inner.scopes.get_mut(scope) {
            entry.used = used;
            return (Arc::clone(&entry.state), None);
        }
        let mut evicted = None;
        if inner.scopes.len() >= INDEX_SCOPES_MAX {
            evicted = inner.scopes.iter().min_by_key(|(_, entry)| entry.used).map(|(scope, _)| scope.clone());
            evicted.as_ref().and_then(|scope| inner.scopes.remove(scope));
        }
        let state = Arc::new(ScopeState {
            index: RwLock::new(ScopeIndex::new()),
            catching_up: futures::lock::Mutex::new(()),
            coverage: Mutex::default(),
            overlay: Mutex::default(),
        });
        inner.scopes.insert(scope.clone(), Entry { used, state: Arc::clone(&state) });
        (state, evicted)
    }

    /// The scope's state, where it is in memory.
    pub fn get(&self, scope: &Scope) -> Option<Arc<ScopeState>> {
        self.inner.lock().scopes.get(scope).map(|entry| Arc::clone(&entry.state))
    }

    /// Forgets a scope.
    pub fn remove(&self, scope: &Scope) {
        self.inner.lock().scopes.remove(scope);
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.inner.lock().scopes.clear();
    }

    /// What is in memory.
    pub fn stats(&self) -> IndexStats {
        // Not while the container is locked: an index that is being filled is waited for.
        let states: Vec<_> = self.inner.lock().scopes.values().map(|entry| Arc::clone(&entry.state)).collect();
        let mut stats = IndexStats { scopes: states.len(), ..IndexStats::default() };
        for state in states {
            let index = state.index.read();
            stats.memories += index.len() as u64;
            stats.pieces += index.pieces();
        }
        stats
    }
}

/// Ranges `(from, to]` of the change log that stored segments cover, as far as this process knows.
#[derive(Debug, Default)]
pub(crate) struct Coverage {
    ranges: Vec<(u64, u64)>,
}

impl Coverage {
    /// A stored segment; those inside it are gone.
    pub fn add(&mut self, from: u64, to: u64) {
        self.ranges.retain(|&(f, t)| !(from <= f && t <= to));
        let at = self.ranges.partition_point(|&range| range < (from, to));
        self.ranges.insert(at, (from, to));
    }

    /// A memory of this change was deleted, and every segment that held it with it.
    pub fn remove_holding(&mut self, seq: u64) {
        self.ranges.retain(|&(from, to)| !(from < seq && seq <= to));
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.ranges.clear();
    }

    /// The next range worth writing, with `applied` changes known: a hole on the grid of `step`, or a whole block of `step *
    /// per_block` that lies in several segments.
    pub fn next_to_write(&self, applied: u64, step: u64, per_block: u64) -> Option<(u64, u64)> {
        let block = step * per_block;
        (0..applied / step).map(|i| i * step).find_map(|from| {
            let (block_from, block_to) = (from / block * block, from / block * block + block);
            if from == block_from && block_to <= applied && self.parts(block_from, block_to) != 1 {
                return Some((block_from, block_to));
            }
            self.parts(from, from + step).eq(&0).then_some((from, from + step))
        })
    }

    /// Segments that overlap a range.
    fn parts(&self, from: u64, to: u64) -> usize {
        self.ranges.iter().filter(|&&(f, t)| f < to && from < t).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_written_again_and_full_blocks_become_one_segment() {
        let mut coverage = Coverage::default();
        let mut written = Vec::new();
        for applied in [9, 10, 25, 39, 40, 45] {
            while let Some((from, to)) = coverage.next_to_write(applied, 10, 4) {
                coverage.add(from, to);
                written.push((from, to));
            }
        }
        assert_eq!(written, [(0, 10), (10, 20), (20, 30), (0, 40)]);
        coverage.remove_holding(15);
        assert_eq!(coverage.next_to_write(45, 10, 4), Some((0, 40)));
        coverage.add(0, 40);
        assert_eq!(coverage.next_to_write(49, 10, 4), None);
    }
}
