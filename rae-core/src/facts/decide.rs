//! What a fact changes: it is merged with the same one, ends another, or stands beside it. Nothing is deleted; what is over keeps its
//! time, so that `as_of` and `history` still show it.

use super::Draft;
use crate::{
    limits::SOURCES_MAX,
    model::{Claim, Memory, MemoryId, Timestamp, TrustLevel},
};
use std::collections::HashMap;

/// In the metadata of a fact whose source says it no longer: it is as if it had never been read.
pub(crate) const WITHDRAWN: &str = "withdrawn";

/// In the metadata of a fact that was withdrawn and that its source says again: a [`Revived`](super::Revived).
pub(crate) const REVIVED: &str = "revived";

/// What replaced a fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    /// The fact that is about to be written.
    New,
    /// One that is there.
    Old(MemoryId),
}

/// A change to a fact that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub id: MemoryId,
    /// The version that was looked at.
    pub version: u32,
    /// It held earlier than was known.
    pub from: Option<Timestamp>,
    /// Until when it held.
    pub to: Option<Timestamp>,
    /// What replaced it.
    pub by: Option<By>,
    /// Whether the source is noted on it: it was said again, or its end was said.
    pub is_sourced: bool,
    /// Sources that speak of a later time, and go with the fact that resumes it.
    pub gone: Vec<MemoryId>,
}

/// A fact to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Put {
    /// From when it holds.
    pub from: Timestamp,
    /// Until when, where a later one is known.
    pub to: Option<Timestamp>,
    /// That later one.
    pub by: Option<MemoryId>,
    /// The same fact, said before: this one merges into it.
    pub into: Option<MemoryId>,
}

/// A fact that was said again after what came between was: it holds anew from then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Resumed {
    /// The fact that it was part of.
    pub of: MemoryId,
    /// From when it holds again.
    pub from: Timestamp,
    /// Until when, as it was.
    pub to: Option<Timestamp>,
    /// What replaced it then.
    pub by: Option<MemoryId>,
    /// The memories that say so.
    pub sources: Vec<MemoryId>,
}

/// What a draft changes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Decision {
    pub put: Option<Put>,
    pub changes: Vec<Change>,
    /// Where the new fact lies between two times at which another was said. It ends where that one begins again.
    pub resumed: Option<Resumed>,
}

/// Decides what `draft`, said in `source`, changes among `known`: the facts of its subject and attribute. `heard` has the times of their
/// sources, `weights` says which may end which. `is_single`: whether the attribute has one value at a time. `None` where nothing is left to do, so that deciding again after it was done changes nothing. In whichever order
/// statements come, the same facts hold at the same times.
pub(crate) fn decide(
    draft: &Draft,
    source: MemoryId,
    known: &[Memory],
    heard: &Heard,
    (is_single, weights): (bool, &Weights),
) -> Option<Decision> {
    let value = Claim::name_key(&draft.object);
    let facts: Vec<Fact<'_>> = known.iter().filter_map(|memory| Fact::of(memory, &value, weights)).collect();
    let mut from_here = facts.iter().filter(|f| f.is_same && f.memory.provenance.derived_from.contains(&source));
    // A fact that ended before this was said, or begins after it, does not say it.
    if from_here.any(|f| draft.is_end || f.covers(draft.from) || f.covers(draft.latest)) {
        return None;
    }
    let decision =
        if draft.is_end { ended(draft, &facts) } else { stated_anew(draft, source, &facts, (heard, is_single)) };
    Some(decision).filter(|d| *d != Decision::default())
}

/// When memories were said.
pub(crate) type Heard = HashMap<MemoryId, Timestamp>;

/// How much the words behind a fact count against those behind another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Weight {
    /// How far they are trusted. What nobody marked counts more than what is marked as little trusted.
    trust: u8,
    /// Whether somebody said it of himself.
    is_own: bool,
}

impl Weight {
    pub fn new(trust: Option<TrustLevel>, is_own: bool) -> Self {
        let trust = match trust {
            Some(TrustLevel::Unverified) => 0,
            Some(TrustLevel::Low) => 1,
            None => 2,
            Some(TrustLevel::Medium) => 3,
            Some(TrustLevel::High) => 4,
        };
        Self { trust, is_own }
    }

    /// Of what several said: the most that one of them counts.
    pub fn with(self, other: Self) -> Self {
        Self { trust: self.trust.max(other.trust), is_own: self.is_own || other.is_own }
    }

    /// Whether these words may end what the others say.
    fn ends(self, other: Self) -> bool {
        self.trust >= other.trust && (self.is_own || !other.is_own)
    }
}

impl Default for Weight {
    fn default() -> Self {
        Self::new(None, false)
    }
}

/// What the draft and the known facts count.
#[derive(Debug, Clone, Default)]
pub(crate) struct Weights {
    pub draft: Weight,
    pub facts: HashMap<MemoryId, Weight>,
}

/// A fact that is there, as far as it matters here.
#[derive(Debug, Clone, Copy)]
struct Fact<'a> {
    memory: &'a Memory,
    from: Timestamp,
    to: Option<Timestamp>,
    is_same: bool,
    weight: Weight,
    /// Whether the draft may end it, and whether it may end what the draft says.
    gives_way: bool,
    is_in_the_way: bool,
}

impl<'a> Fact<'a> {
    fn of(memory: &'a Memory, value: &str, weights: &Weights) -> Option<Self> {
        let claim = memory.claim.as_ref()?;
        // Somebody set it aside without saying since when.
        let is_set_aside = memory.superseded_by.is_some() && memory.valid_to.is_none();
        if is_set_aside || memory.metadata.contains_key(WITHDRAWN) {
            return None;
        }
        let is_same = Claim::name_key(&claim.object) == value;
        let weight = weights.facts.get(&memory.id).copied().unwrap_or_default();
        let (gives_way, is_in_the_way) = (weights.draft.ends(weight), weight.ends(weights.draft));
        Some(Self {
            memory,
            from: memory.valid_start(),
            to: memory.valid_to,
            is_same,
            weight,
            gives_way,
            is_in_the_way,
        })
    }

    fn covers(&self, at: Timestamp) -> bool {
        self.from <= at && self.to.is_none_or(|to| to > at)
    }

    fn change(&self) -> Change {
        let (id, version) = (self.memory.id, self.memory.version);
        Change { id, version, from: None, to: None, by: None, is_sourced: false, gone: Vec::new() }
    }

    /// What was said of it after `at`, if anything was.
    fn resumed(&self, at: Timestamp, heard: &Heard) -> Option<Resumed> {
        let of = self.memory;
        let later = |id: &&MemoryId| heard.get(*id).is_some_and(|said| *said > at && self.covers(*said));
        let sources: Vec<MemoryId> = of.provenance.derived_from.iter().filter(later).copied().collect();
        let from = sources.iter().filter_map(|id| heard.get(id)).min().copied()?;
        Some(Resumed { of: of.id, from, to: self.to, by: of.superseded_by, sources })
    }

    fn replaced(&self, at: Timestamp, by: By) -> Change {
        Change { to: Some(at), by: Some(by), ..self.change() }
    }
}

/// The instant that a draft means. "Last month" may mean any in it: then one behind what was known to hold within.
fn instant<'f>(draft: &Draft, mut others: impl Iterator<Item = &'f Fact<'f>>) -> Timestamp {
    if others.any(|f| f.from >= draft.from && f.from < draft.latest) { draft.latest } else { draft.from }
}

fn ended(draft: &Draft, facts: &[Fact<'_>]) -> Decision {
    let same = || facts.iter().filter(|f| f.is_same);
    let at = instant(draft, same());
    let closed = same().filter(|f| f.gives_way && f.from < at && f.covers(at));
    let changes = closed.map(|f| Change { to: Some(at), is_sourced: true, ..f.change() }).collect();
    Decision { changes, ..Decision::default() }
}

fn stated_anew(draft: &Draft, source: MemoryId, facts: &[Fact<'_>], (heard, single): (&Heard, bool)) -> Decision {
    let at = instant(draft, facts.iter().filter(|f| single && !f.is_same));
    let mut put = Put { from: at, to: None, by: None, into: None };
    if let Some(same) = facts.iter().find(|f| f.is_same && f.covers(at)) {
        // What it could not end while less was behind it.
        let held = |f: &&Fact<'_>| single && !f.is_same && f.gives_way && !same.weight.ends(f.weight);
        let others = facts.iter().filter(held).filter(|f| f.from < at && f.covers(at));
        let changes = others.map(|f| f.replaced(at, By::Old(same.memory.id))).collect();
        return said_again(same, source, None, changes, put);
    }
    let may_follow = |f: &&Fact<'_>| f.is_same || (single && f.is_in_the_way);
    let later = facts.iter().filter(|f| f.from > at).filter(may_follow).min_by_key(|f| (f.from, f.memory.id));
    // Those that the new one replaces. What was said of the same instant stands beside it.
    let gives_way = |f: &&Fact<'_>| single && !f.is_same && f.gives_way;
    let before: Vec<&Fact<'_>> = facts.iter().filter(gives_way).filter(|f| f.from < at && f.covers(at)).collect();
    let resumed = before.iter().filter_map(|f| f.resumed(at, heard)).min_by_key(|r| (r.from, r.of));
    if let Some(later) = later.filter(|f| f.is_same && resumed.is_none()) {
        // It held earlier than was known.
        let changes = before.iter().map(|f| f.replaced(at, By::Old(later.memory.id))).collect();
        return said_again(later, source, Some(at), changes, put);
    }
    match &resumed {
        Some(resumed) => put.to = Some(resumed.from),
        None => (put.to, put.by) = (later.map(|f| f.from), later.map(|f| f.memory.id)),
    }
    let gone = |f: &Fact<'_>| resumed.iter().filter(|r| r.of == f.memory.id).flat_map(|r| r.sources.clone()).collect();
    let changes = before.iter().map(|f| Change { gone: gone(f), ..f.replaced(at, By::New) }).collect();
    Decision { put: Some(put), changes, resumed }
}

/// The same fact once more. What is over has no key to merge by; its source is noted.
fn said_again(
    same: &Fact<'_>,
    source: MemoryId,
    from: Option<Timestamp>,
    mut changes: Vec<Change>,
    put: Put,
) -> Decision {
    let sources = &same.memory.provenance.derived_from;
    // Where no more sources can be noted, saying it again could not be told from reading it again.
    let (is_full, is_noted) = (sources.len() >= SOURCES_MAX, sources.contains(&source));
    let merges = same.memory.dedup_key.is_some() && !is_full && !is_noted;
    let is_sourced = !merges && !is_full && !is_noted;
    if from.is_some() || is_sourced {
        changes.push(Change { from, is_sourced, ..same.change() });
    }
    Decision { put: merges.then_some(Put { into: Some(same.memory.id), ..put }), changes, resumed: None }
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
