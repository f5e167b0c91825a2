//! What is worth scoring.

use crate::{
    lexical::{DocFilter, ResolvedQuery, ScopeIndex, Slot, SpeakerRef, is_first_person},
    model::{MemoryId, VectorHit},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
};

/// Up to this many memories everything is scored: the formula then has no approximation in it at all.
const SCORE_ALL_MAX: usize = 2_000;
/// Best of each list taken as candidates past that, before the k of the call widens it.
const LIST_MIN: usize = 200;

/// A question, resolved against one state of one scope's index. Not to be kept: its numbers mean nothing to another state.
#[derive(Debug)]
pub(crate) struct Query {
    pub resolved: ResolvedQuery,
    /// The one speaker the question names, when it names exactly one.
    pub speaker: Option<SpeakerRef>,
    pub first_person: bool,
    /// Memories near in the graph to what the question names; none where the graph has no weight.
    pub near: BTreeMap<MemoryId, f64>,
}

impl Query {
    pub fn new(index: &ScopeIndex, text: &str) -> Self {
        let mut named = index.speakers_named(text);
        Self {
            resolved: index.resolve(text),
            speaker: if named.len() == 1 { named.pop() } else { None },
            first_person: is_first_person(text),
            near: BTreeMap::new(),
        }
    }

    /// The same, knowing what is near in the graph.
    pub fn near(self, near: BTreeMap<MemoryId, f64>) -> Self {
        Self { near, ..self }
    }
}

/// How long each list of a search has to be for `k` hits.
pub(crate) fn list_len(k: usize) -> usize {
    LIST_MIN.max(2 * k)
}

/// Candidates by words.
#[derive(Debug)]
pub(crate) struct ByWords {
    /// The best by words and their neighbours, or all that are allowed in a small scope.
    ids: BTreeSet<MemoryId>,
    /// Whether `ids` is everything there is.
    is_all: bool,
    /// The best word score of all that are allowed: the formula's divisor.
    pub best: f32,
    /// What may be returned; `None` when all live memories may.
    pub only: Option<Arc<HashSet<MemoryId>>>,
}

/// Collects candidates by words. A memory whose neighbours hold the question's words can be the answer with none of them in
/// its own text, hence the neighbours.
pub(crate) fn by_words(index: &ScopeIndex, query: &Query, filter: &DocFilter, k: usize) -> ByWords {
    let allowed = index.allowed(filter);
    let found = index.search(&query.resolved, allowed.as_ref(), list_len(k));
    let best = found.first().map_or(0.0, |&(_, score)| score);
    let is_all = allowed.as_ref().map_or(index.len(), |set| set.len()) <= SCORE_ALL_MAX;
    let ids = if is_all {
        match &allowed {
            Some(set) => set.iter().filter_map(|slot| index.id_of(slot)).collect(),
            None => index.slots().filter_map(|slot| index.id_of(slot)).collect(),
        }
    } else {
        let is_allowed = |slot: Slot| allowed.as_ref().is_none_or(|set| set.contains(slot));
        with_neighbours(index, found.iter().map(|&(slot, _)| slot), &is_allowed)
    };
    ByWords { ids, is_all, best, only: allowed.map(|set| Arc::new(index.ids(&set))) }
}

/// The ids to score, ascending: the candidates by words, the nearest by meaning and their neighbours, what is near in the graph.
pub(crate) fn candidates(
    index: &ScopeIndex,
    words: ByWords,
    dense: &[VectorHit],
    graph: &BTreeMap<MemoryId, f64>,
    filter: &DocFilter,
) -> Vec<MemoryId> {
    let mut ids = words.ids;
    if !words.is_all {
        let matcher = index.matcher(filter);
        let near = dense.iter().filter_map(|hit| index.slot_of(hit.id)).filter(|&slot| matcher.allows(slot));
        ids.append(&mut with_neighbours(index, near, &|slot| matcher.allows(slot)));
        ids.extend(graph.keys().filter(|id| index.slot_of(**id).is_some_and(|slot| matcher.allows(slot))));
    }
    ids.into_iter().collect()
}

fn with_neighbours(
    index: &ScopeIndex,
    slots: impl Iterator<Item = Slot>,
    allowed: &dyn Fn(Slot) -> bool,
) -> BTreeSet<MemoryId> {
    let mut ids = BTreeSet::new();
    for slot in slots {
        ids.extend(index.id_of(slot));
        ids.extend(index.neighbours(slot).filter(|&near| allowed(near)).filter_map(|near| index.id_of(near)));
    }
    ids
}
