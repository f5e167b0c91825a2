//! Strings as numbers.

use rustc_hash::FxHashMap;
use std::sync::Arc;

/// Stands for "none" in a column of numbers.
pub(super) const NONE: u32 = u32::MAX;

/// A number as a 32-bit column value. What is counted here (slots, pieces, terms) runs out of memory long before it runs out of
/// numbers: a piece costs more than 100 bytes.
pub(super) fn id32(n: usize) -> u32 {
    debug_assert!(u32::try_from(n).is_ok_and(|n| n != NONE));
    u32::try_from(n).unwrap_or(NONE)
}

/// Each different string once, numbered in the order of first sight.
#[derive(Debug, Default)]
pub(super) struct Names {
    ids: FxHashMap<Arc<str>, u32>,
    list: Vec<Arc<str>>,
}

impl Names {
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// All names, by number.
    pub(super) fn all(&self) -> impl Iterator<Item = &str> {
        self.list.iter().map(|n| &**n)
    }

    pub(super) fn intern(&mut self, name: &str) -> u32 {
        if let Some(&id) = self.ids.get(name) {
            return id;
        }
        let id = id32(self.list.len());
        let name: Arc<str> = name.into();
        self.list.push(Arc::clone(&name));
        self.ids.insert(name, id);
        id
    }

    /// As [`Names::intern`], with [`NONE`] for none.
    pub(super) fn intern_opt(&mut self, name: Option<&str>) -> u32 {
        name.map_or(NONE, |n| self.intern(n))
    }

    pub(super) fn get(&self, name: &str) -> Option<u32> {
        self.ids.get(name).copied()
    }

    pub(super) fn name(&self, id: u32) -> Option<&str> {
        self.list.get(id as usize).map(|n| &**n)
    }

    /// Forgets the names that `keep` refuses and numbers the others anew, in the same order. Gives the new number of each old one.
    pub(super) fn compact(&mut self, keep: impl Fn(u32) -> bool) -> Vec<u32> {
        let mut moved = Vec::with_capacity(self.list.len());
        let mut list = Vec::new();
        for (old, name) in std::mem::take(&mut self.list).into_iter().enumerate() {
            moved.push(if keep(id32(old)) {
                list.push(name);
                id32(list.len() - 1)
            } else {
                NONE
            });
        }
        self.list = list;
        self.ids = self.list.iter().enumerate().map(|(id, name)| (Arc::clone(name), id32(id))).collect();
        moved
    }
}
