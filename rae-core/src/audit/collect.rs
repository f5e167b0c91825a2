//! Keys seen once and more, and the memories behind the latter.

use super::{Compared, SlotValue, agree};
use crate::{
    facts::is_void,
    limits::{AUDIT_BUCKET_MEMBERS_MAX, AUDIT_MEMBERS_MAX, AUDIT_VALUES_MAX},
    model::{Memory, MemoryId},
};
use rustc_hash::{FxHashMap, FxHashSet};

/// First round: which keys come more than once. Takes some 20 bytes a key.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    all: FxHashSet<u64>,
    repeated: FxHashSet<u64>,
}

impl Seen {
    /// Notes a key.
    pub fn note(&mut self, key: u64) {
        if !self.all.insert(key) {
            self.repeated.insert(key);
        }
    }

    /// The keys that came more than once.
    pub fn repeated(self) -> FxHashSet<u64> {
        self.repeated
    }
}

/// A memory under a key: when it holds, and what it says.
#[derive(Debug, Clone, Copy)]
struct Member {
    id: MemoryId,
    from: i64,
    to: i64,
    layer: u8,
    value: SlotValue,
}

impl Member {
    fn overlaps(&self, other: &Self) -> bool {
        self.from < other.to && other.from < self.to
    }
}

/// Memories under one key.
#[derive(Debug, Clone)]
struct Bucket {
    sort: Compared,
    members: Vec<Member>,
    has_more: bool,
    has_derived: bool,
}

/// Memories that say the same, or cannot both hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Raw {
    /// Oldest first.
    pub ids: Vec<MemoryId>,
    /// How they were compared.
    pub sort: Compared,
    /// Whether they lie in more than one layer.
    pub across_layers: bool,
    /// Whether there are more than one finding holds.
    pub has_more: bool,
    /// Whether some were made from memories: perhaps from others of these.
    pub has_derived: bool,
}

/// Second round: the memories of the repeated keys, come in the order of their ids.
#[derive(Debug, Default)]
pub(crate) struct Buckets {
    buckets: FxHashMap<u64, Bucket>,
    members: usize,
    /// Whether there were more than fit.
    pub overflowed: bool,
}

impl Buckets {
    /// Takes a memory under one of its keys.
    pub fn add(&mut self, memory: &Memory, compared: Compared) {
        // What was taken back held for no time, beside nothing.
        if is_void(memory) {
            return;
        }
        let value = match compared {
            Compared::Text(_) => SlotValue::default(),
            Compared::Value(_, value) | Compared::Denial(_, value) => value,
        };
        if self.members == AUDIT_MEMBERS_MAX {
            self.overflowed = true;
            return;
        }
        let bucket = self.buckets.entry(compared.key()).or_insert_with(|| Bucket {
            sort: compared,
            members: Vec::with_capacity(2),
            has_more: false,
            has_derived: false,
        });
        bucket.has_derived |= !memory.provenance.derived_from.is_empty();
        bucket.has_more |= bucket.members.len() == AUDIT_BUCKET_MEMBERS_MAX;
        if !bucket.has_more {
            self.members += 1;
            bucket.members.push(Member {
                id: memory.id,
                from: memory.valid_start().micros(),
                to: memory.valid_to.map_or(i64::MAX, |t| t.micros()),
                layer: memory.layer as u8,
                value,
            });
        }
    }

    /// What was found, in no order.
    pub fn findings(self) -> impl Iterator<Item = Raw> {
        self.buckets.into_values().filter_map(finding)
    }
}

fn finding(bucket: Bucket) -> Option<Raw> {
    let clash = |a: &Member, b: &Member| match bucket.sort {
        Compared::Text(_) => a.overlaps(b),
        Compared::Value(..) | Compared::Denial(..) => a.overlaps(b) && !agree(&a.value, &b.value),
    };
    let members = &bucket.members;
    let values: FxHashSet<SlotValue> = members.iter().map(|m| m.value).collect();
    // "The water level is 3.1" fifty times is a series of readings and no contradiction.
    if values.len() > AUDIT_VALUES_MAX {
        return None;
    }
    let found: Vec<&Member> = members.iter().filter(|a| members.iter().any(|b| a.id != b.id && clash(a, b))).collect();
    let first = found.first()?;
    let across_layers = found.iter().any(|m| m.layer != first.layer);
    let ids = found.iter().map(|m| m.id).collect();
    Some(Raw { ids, sort: bucket.sort, across_layers, has_more: bucket.has_more, has_derived: bucket.has_derived })
}
