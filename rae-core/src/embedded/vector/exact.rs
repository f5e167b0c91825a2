//! The vectors of one space and the scan over them.

use super::distance::{Kernel, Query, quantise, row};
use crate::{
    model::{MemoryId, VectorHit},
    ports::Watermark,
};
use rustc_hash::FxHashMap;
use std::{cmp::Ordering, collections::HashSet, ops::Range};
use uuid::Uuid;

/// Rows scored between two looks at the threshold.
const BLOCK: usize = 256;
/// A filter that names less than one row in so many is walked; with a larger one every row is scanned.
const SMALL_FILTER: usize = 16;
/// Dead slots are cleared away once they are more than one in so many, and more than [`DEAD_MIN`].
const DEAD_SHARE: usize = 5;
const DEAD_MIN: usize = 64;

/// The vectors of one space. Slots are dense and only grow: a replaced or deleted vector leaves a dead slot behind until
/// [`Rows::reorder`] clears it away, so that "newer than the graph" is a range of slots.
#[derive(Debug, Default)]
pub(super) struct Rows {
    dim: usize,
    ids: Vec<MemoryId>,
    /// Step of each row (see [`quantise`]). NaN marks a dead slot: no comparison lets it into an answer.
    steps: Vec<f32>,
    hi: Vec<i8>,
    lo: Vec<i8>,
    slots: FxHashMap<MemoryId, u32>,
    /// Sequence of the store that these rows are up to.
    pub(super) watermark: Watermark,
}

/// The slots that a search may answer with.
#[derive(Debug)]
pub(super) enum Pool<'a> {
    /// The live ones of a range; only those of the set where there is one. The set is asked about rows that score well
    /// enough, not about every row: a look-up costs as much as some twenty rows of the scan.
    Range(Range<u32>, Option<&'a HashSet<MemoryId>>),
    /// These live ones, ascending.
    Slots(Vec<u32>),
}

impl Pool<'_> {
    /// How many slots there are to look at.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Range(range, _) => range.len(),
            Self::Slots(slots) => slots.len(),
        }
    }
}

#[cfg(feature = "embedded")]
impl Pool<'_> {
    /// At most how many of them may be in an answer.
    pub(super) fn kept(&self) -> usize {
        match self {
            Self::Range(range, only) => only.map_or(range.len(), |only| only.len().min(range.len())),
            Self::Slots(slots) => slots.len(),
        }
    }

    /// Whether `slot`, which holds `id`, is one of them.
    pub(super) fn holds(&self, slot: u32, id: MemoryId) -> bool {
        match self {
            Self::Range(range, only) => range.contains(&slot) && only.is_none_or(|only| only.contains(&id)),
            Self::Slots(slots) => slots.binary_search(&slot).is_ok(),
        }
    }

    /// Those of the pool that are `from` or later.
    pub(super) fn tail(&self, from: u32) -> Self {
        match self {
            Self::Range(range, only) => Self::Range(range.start.max(from)..range.end.max(from), *only),
            Self::Slots(slots) => Self::Slots(slots[slots.partition_point(|slot| *slot < from)..].to_vec()),
        }
    }
}

impl Rows {
    pub(super) fn new(dim: usize) -> Self {
        Self { dim, ..Self::default() }
    }

    /// Vectors that a search can find.
    pub(super) fn live(&self) -> usize {
        self.slots.len()
    }

    /// Slots, live and dead. Fits: [`Rows::has_room`] is asked before rows are put.
    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.ids.len()).unwrap_or(u32::MAX)
    }

    /// Whether `more` rows can be numbered.
    pub(super) fn has_room(&self, more: usize) -> bool {
        u32::try_from(self.ids.len().saturating_add(more)).is_ok_and(|n| n < u32::MAX)
    }

    /// Memory in bytes.
    pub(super) fn bytes(&self) -> usize {
        // A hash map of power-of-two size holds key, value and one control byte for each of 8/7 of its capacity.
        let entry = size_of::<(MemoryId, u32)>() + 1;
        self.hi.capacity()
            + self.lo.capacity()
            + self.steps.capacity() * size_of::<f32>()
            + self.ids.capacity() * size_of::<MemoryId>()
            + self.slots.capacity() * 8 / 7 * entry
    }

    /// Puts a vector of unit length, in place of an older one of that id.
    pub(super) fn put(&mut self, id: MemoryId, unit: &[f32]) {
        self.remove(id);
        let slot = self.len();
        self.steps.push(quantise(unit, &mut self.hi, &mut self.lo));
        self.ids.push(id);
        self.slots.insert(id, slot);
    }

    /// Removes a vector; a missing one is fine. Its bytes are wiped at once: deleted means gone.
    pub(super) fn remove(&mut self, id: MemoryId) {
        let Some(slot) = self.slots.remove(&id) else { return };
        let at = slot as usize;
        self.steps[at] = f32::NAN;
        self.ids[at] = MemoryId(Uuid::nil());
        let bytes = at * self.dim..(at + 1) * self.dim;
        self.hi[bytes.clone()].fill(0);
        self.lo[bytes].fill(0);
    }

    /// Whether so many slots are dead that they should be cleared away.
    pub(super) fn is_sparse(&self) -> bool {
        let dead = self.ids.len() - self.slots.len();
        dead > DEAD_MIN && dead * DEAD_SHARE > self.ids.len()
    }

    /// Live slots, ascending.
    pub(super) fn live_slots(&self) -> Vec<u32> {
        (0..self.len()).filter(|slot| self.is_live(*slot)).collect()
    }

    /// Keeps the live slots named by `order`, in that order. Gives old slot -> new slot, `u32::MAX` for none.
    pub(super) fn reorder(&mut self, order: &[u32]) -> Vec<u32> {
        let mut map = vec![u32::MAX; self.ids.len()];
        let mut next = Self::new(self.dim);
        next.watermark = self.watermark;
        next.hi.reserve_exact(order.len() * self.dim);
        next.lo.reserve_exact(order.len() * self.dim);
        for (new, old) in (0u32..).zip(order) {
            let at = *old as usize;
            map[at] = new;
            next.hi.extend_from_slice(row(&self.hi, *old, self.dim));
            next.lo.extend_from_slice(row(&self.lo, *old, self.dim));
            next.steps.push(self.steps[at]);
            next.ids.push(self.ids[at]);
            next.slots.insert(self.ids[at], new);
        }
        *self = next;
        map
    }

    /// Slot of a memory.
    pub(super) fn slot(&self, id: MemoryId) -> Option<u32> {
        self.slots.get(&id).copied()
    }

    /// Memory in a live slot.
    pub(super) fn id(&self, slot: u32) -> MemoryId {
        self.ids[slot as usize]
    }

    /// Whether the slot holds a vector.
    pub(super) fn is_live(&self, slot: u32) -> bool {
        self.steps.get(slot as usize).is_some_and(|step| !step.is_nan())
    }

    /// High plane and step of a slot.
    #[cfg(feature = "embedded")]
    pub(super) fn coarse(&self, slot: u32) -> (&[i8], f32) {
        (row(&self.hi, slot, self.dim), self.steps[slot as usize])
    }

    /// The slots that `only` leaves.
    pub(super) fn pool<'a>(&self, only: Option<&'a HashSet<MemoryId>>) -> Pool<'a> {
        match only {
            Some(only) if only.len().saturating_mul(SMALL_FILTER) <= self.ids.len() => {
                let mut slots: Vec<u32> = only.iter().filter_map(|id| self.slot(*id)).collect();
                slots.sort_unstable();
                Pool::Slots(slots)
            }
            only => Pool::Range(0..self.len(), only),
        }
    }

    /// Cosine of a live slot, from all 16 bits.
    pub(super) fn cosine(&self, kernel: Kernel, query: &Query, slot: u32) -> f32 {
        let sum = kernel.full(&query.unit, row(&self.hi, slot, self.dim), row(&self.lo, slot, self.dim));
        // Adding zero turns -0.0 into 0.0: the two must tie.
        (sum * self.steps[slot as usize]).clamp(-1.0, 1.0) + 0.0
    }

    /// The `k` nearest of the pool: a first pass over the high plane, then the best of it again with all 16 bits.
    pub(super) fn search(&self, query: &Query, k: usize, pool: &Pool<'_>) -> Vec<VectorHit> {
        self.rescore(query, k, self.first_pass(query, first_pass_len(k), pool))
    }

    /// The `keep` best slots of the pool by the high plane alone; all of them where there are no more.
    pub(super) fn first_pass(&self, query: &Query, keep: usize, pool: &Pool<'_>) -> Vec<u32> {
        if pool.len() <= keep {
            return match pool {
                Pool::Range(range, only) => {
                    let named = |slot: &u32| only.is_none_or(|only| only.contains(&self.id(*slot)));
                    range.clone().filter(|slot| self.is_live(*slot)).filter(named).collect()
                }
                Pool::Slots(slots) => slots.clone(),
            };
        }
        let kernel = Kernel::best();
        let mut best = Best::new(keep, &self.ids);
        let mut dots = [0i32; BLOCK];
        match pool {
            Pool::Range(range, only) => {
                best.only = *only;
                for start in range.clone().step_by(BLOCK) {
                    let rows = start as usize..(range.end as usize).min(start as usize + BLOCK);
                    let dots = &mut dots[..rows.len()];
                    kernel.dots(&query.coarse, &self.hi[rows.start * self.dim..rows.end * self.dim], dots);
                    for ((slot, dot), step) in (start..).zip(&*dots).zip(&self.steps[rows]) {
                        best.offer(*dot as f32 * step, slot);
                    }
                }
            }
            Pool::Slots(slots) => {
                for slots in slots.chunks(BLOCK) {
                    kernel.dots_at(&query.coarse, &self.hi, slots, &mut dots[..slots.len()]);
                    for (slot, dot) in slots.iter().zip(&dots) {
                        best.offer(*dot as f32 * self.steps[*slot as usize], *slot);
                    }
                }
            }
        }
        best.finish()
    }

    /// The `k` nearest of `slots` by all 16 bits; falling cosine, then ascending id.
    pub(super) fn rescore(&self, query: &Query, k: usize, slots: Vec<u32>) -> Vec<VectorHit> {
        let kernel = Kernel::best();
        let hit = |slot: u32| VectorHit { id: self.id(slot), cosine: self.cosine(kernel, query, slot) };
        let mut hits: Vec<VectorHit> = slots.into_iter().map(hit).collect();
        hits.sort_unstable_by(|a, b| b.cosine.total_cmp(&a.cosine).then(a.id.cmp(&b.id)));
        hits.truncate(k);
        hits
    }
}

/// How many the first pass hands on for `k` answers.
pub(super) fn first_pass_len(k: usize) -> usize {
    k.saturating_mul(4).max(k.saturating_add(64))
}

/// The best `keep` of many: a buffer of twice as many that is halved when it is full, and a floor that rises with it.
struct Best<'a> {
    keep: usize,
    floor: f32,
    buffer: Vec<(f32, u32)>,
    ids: &'a [MemoryId],
    /// Who may be among them; anyone where there is none.
    only: Option<&'a HashSet<MemoryId>>,
}

impl<'a> Best<'a> {
    fn new(keep: usize, ids: &'a [MemoryId]) -> Self {
        let capacity = keep.saturating_mul(2).min(ids.len());
        Self { keep, floor: f32::NEG_INFINITY, buffer: Vec::with_capacity(capacity), ids, only: None }
    }

    #[inline]
    fn offer(&mut self, score: f32, slot: u32) {
        // Equal scores pass, so that among many equal vectors the smallest id wins; NaN (a dead slot) does not.
        if score >= self.floor && self.only.is_none_or(|only| only.contains(&self.ids[slot as usize])) {
            self.buffer.push((score, slot));
            if self.buffer.len() >= self.keep.saturating_mul(2) {
                self.shrink();
            }
        }
    }

    #[cold]
    fn shrink(&mut self) {
        if self.keep == 0 || self.buffer.len() <= self.keep {
            return self.buffer.truncate(self.keep);
        }
        let ids = self.ids;
        let order = |a: &(f32, u32), b: &(f32, u32)| -> Ordering {
            b.0.total_cmp(&a.0).then_with(|| ids[a.1 as usize].cmp(&ids[b.1 as usize]))
        };
        let (_, last, _) = self.buffer.select_nth_unstable_by(self.keep - 1, order);
        self.floor = last.0;
        self.buffer.truncate(self.keep);
    }

    fn finish(mut self) -> Vec<u32> {
        self.shrink();
        self.buffer.into_iter().map(|(_, slot)| slot).collect()
    }
}
