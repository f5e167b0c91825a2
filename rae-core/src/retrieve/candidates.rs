//! What is worth scoring.

use crate::{
    lexical::{DocFilter, ResolvedQuery, ScopeIndex, Slot, SlotSet, SpeakerRef, is_first_person},
    model::{MemoryId, VectorHit},
};
use std::collections::BTreeSet;

/// Up to this many memories everything is scored: the formula then has no approximation in it at all.
const SCORE_ALL_MAX: usize = 2_000;
/// Best of each list taken as candidates past that, before the k of the call widens it.
const LIST_MIN: usize = 200;

/// A question, resolved against one scope's index.
#[derive(Debug)]
pub(crate) struct Query {
    pub resolved: ResolvedQuery,
    /// The one speaker the question names, when it names exactly one.
    pub speaker: Option<SpeakerRef>,
    pub first_person: bool,
    /// Memories that may be returned; `None` when all live ones may.
    pub allowed: Option<SlotSet>,
}

impl Query {
    pub fn new(index: &ScopeIndex, text: &str, filter: &DocFilter) -> Self {
        let mut named = index.speakers_named(text);
        Self {
            resolved: index.resolve(text),
            speaker: if named.len() == 1 { named.pop() } else { None },
            first_person: is_first_person(text),
            allowed: index.allowed(filter),
        }
    }
}

/// How long each list of a search has to be for `k` hits.
pub(crate) fn list_len(k: usize) -> usize {
    LIST_MIN.max(2 * k)
}

/// The memories to score, in id order, and the best word score of all that are allowed (the formula's divisor).
pub(crate) fn candidates(index: &ScopeIndex, query: &Query, dense: &[VectorHit], k: usize) -> (Vec<MemoryId>, f32) {
    let lexical = index.search(&query.resolved, query.allowed.as_ref(), list_len(k));
    let best_words = lexical.first().map_or(0.0, |&(_, score)| score);
    let is_allowed = |slot: Slot| query.allowed.as_ref().is_none_or(|set| set.contains(slot));
    let slots: BTreeSet<Slot> = if index.len() <= SCORE_ALL_MAX {
        index.slots().filter(|&slot| is_allowed(slot)).collect()
    } else {
        // A memory whose neighbours hold the query's words can be the answer with none of them in its own text.
        let found = lexical.iter().map(|&(slot, _)| slot).chain(dense.iter().filter_map(|hit| index.slot_of(hit.id)));
        let found: BTreeSet<Slot> = found.filter(|&slot| is_allowed(slot)).collect();
        let near = found.iter().flat_map(|&slot| index.neighbours(slot)).filter(|&slot| is_allowed(slot));
        let near: Vec<Slot> = near.collect();
        found.into_iter().chain(near).collect()
    };
    let mut ids: Vec<MemoryId> = slots.into_iter().map(|slot| index.id_of(slot)).collect();
    ids.sort_unstable();
    (ids, best_words)
}
