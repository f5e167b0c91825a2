//! Which memories were recalled how often: counted in a bounded buffer, written as one batch now and then. Losing the
//! buffer loses counts, never a memory.

use crate::{
    limits::ACCESS_BUFFER_MAX,
    model::{MemoryId, Scope, Timestamp},
};
use parking_lot::Mutex;
use std::collections::HashMap;

type Counts = HashMap<MemoryId, (u32, Timestamp)>;

/// The counts of one scope, as `Op::RecordAccess` takes them.
pub(crate) type ScopeCounts = (Scope, Vec<(MemoryId, u32, Timestamp)>);

#[derive(Debug, Default)]
pub(crate) struct AccessBuffer {
    counts: Mutex<HashMap<Scope, Counts>>,
}

impl AccessBuffer {
    /// Counts one recall of each id. Past the bound new ids are not counted until the next flush.
    pub fn count(&self, scope: &Scope, ids: impl Iterator<Item = MemoryId>, now: Timestamp) {
        let mut counts = self.counts.lock();
        let mut room = ACCESS_BUFFER_MAX.saturating_sub(counts.values().map(HashMap::len).sum());
        let scope_counts = match counts.get_mut(scope) {
            Some(found) => found,
            None => counts.entry(scope.clone()).or_default(),
        };
        for id in ids {
            match scope_counts.get_mut(&id) {
                Some(entry) => *entry = (entry.0.saturating_add(1), now),
                None if room > 0 => {
                    scope_counts.insert(id, (1, now));
                    room -= 1;
                }
                None => {}
            }
        }
    }

    /// Whether a flush is worth a write.
    pub fn is_worth_flushing(&self) -> bool {
        self.counts.lock().values().map(HashMap::len).sum::<usize>() >= ACCESS_BUFFER_MAX / 4
    }

    /// Takes everything out, in a deterministic order.
    pub fn take(&self) -> Vec<ScopeCounts> {
        let taken = std::mem::take(&mut *self.counts.lock());
        let mut scopes: Vec<ScopeCounts> = taken
            .into_iter()
            .map(|(scope, counts)| {
                let mut list: Vec<_> = counts.into_iter().map(|(id, (n, at))| (id, n, at)).collect();
                list.sort_unstable_by_key(|entry| entry.0);
                (scope, list)
            })
            .collect();
        scopes.sort_by(|a, b| a.0.cmp(&b.0));
        scopes
    }
}
