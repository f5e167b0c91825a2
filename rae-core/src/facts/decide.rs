//! What a fact changes: it is merged with the same one, ends another, or stands beside it. Nothing is deleted; what is over keeps its
//! time, so that `as_of` and `history` still show it.

use super::Draft;
use crate::{
    limits::SOURCES_MAX,
    model::{Claim, Memory, MemoryId, Timestamp},
};
use std::collections::HashMap;

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
/// sources. `is_single`: whether the attribute has one value at a time. `None` where nothing is left to do, so that deciding again after it was done changes nothing. In whichever order
/// statements come, the same facts hold at the same times.
pub(crate) fn decide(
    draft: &Draft,
    source: MemoryId,
    known: &[Memory],
    heard: &Heard,
    is_single: bool,
) -> Option<Decision> {
    let value = Claim::name_key(&draft.object);
    let facts: Vec<Fact<'_>> = known.iter().filter_map(|memory| Fact::of(memory, &value)).collect();
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

/// A fact that is there, as far as it matters here.
#[derive(Debug, Clone, Copy)]
struct Fact<'a> {
    memory: &'a Memory,
    from: Timestamp,
    to: Option<Timestamp>,
    is_same: bool,
}

impl<'a> Fact<'a> {
    fn of(memory: &'a Memory, value: &str) -> Option<Self> {
        let claim = memory.claim.as_ref()?;
        // Somebody set it aside without saying since when.
        if memory.superseded_by.is_some() && memory.valid_to.is_none() {
            return None;
        }
        let is_same = Claim::name_key(&claim.object) == value;
        Some(Self { memory, from: memory.valid_start(), to: memory.valid_to, is_same })
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
    let closed = same().filter(|f| f.from < at && f.covers(at));
    let changes = closed.map(|f| Change { to: Some(at), is_sourced: true, ..f.change() }).collect();
    Decision { changes, ..Decision::default() }
}

fn stated_anew(draft: &Draft, source: MemoryId, facts: &[Fact<'_>], (heard, single): (&Heard, bool)) -> Decision {
    let at = instant(draft, facts.iter().filter(|f| single && !f.is_same));
    let mut put = Put { from: at, to: None, by: None, into: None };
    if let Some(same) = facts.iter().find(|f| f.is_same && f.covers(at)) {
        return said_again(same, source, None, Vec::new(), put);
    }
    let later = facts.iter().filter(|f| f.from > at && (single || f.is_same)).min_by_key(|f| (f.from, f.memory.id));
    // Those that the new one replaces. What was said of the same instant stands beside it.
    let before: Vec<&Fact<'_>> = facts.iter().filter(|f| single && !f.is_same && f.from < at && f.covers(at)).collect();
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
