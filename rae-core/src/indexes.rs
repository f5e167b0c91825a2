//! The lexical indexes in memory: one a scope, the least recently used go. Only the container; `jobs::index_sync` fills it.

use crate::{lexical::ScopeIndex, limits::INDEX_SCOPES_MAX, model::Scope};
use parking_lot::{Mutex, RwLock};
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// The index of one scope and what is known about its upkeep.
#[derive(Debug)]
pub(crate) struct ScopeState {
    pub index: RwLock<ScopeIndex>,
    /// Held while the index catches up, so that two readers do not do the same work.
    pub catching_up: futures::lock::Mutex<()>,
    /// Everything up to this change is in stored segments.
    pub segmented: AtomicU64,
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
            segmented: AtomicU64::new(0),
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
}

impl ScopeState {
    pub fn segmented(&self) -> u64 {
        self.segmented.load(Ordering::Acquire)
    }
}
