//! What a fact changes: it is merged with the same one, ends another, or stands beside it. Nothing is deleted; what is over keeps its
//! time, so that `as_of` and `history` still show it.

use super::{Draft, is_single};
use crate::limits::SOURCES_MAX;
use crate::model::{Claim, Memory, MemoryId, Timestamp};

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

/// What a draft changes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Decision {
    pub put: Option<Put>,
    pub changes: Vec<Change>,
}

/// Decides what `draft`, said in `source`, changes among `known`: the facts of its subject and attribute. `None` where nothing is left
/// to do, so that deciding again after it was done changes nothing.
pub(crate) fn decide(draft: &Draft, source: MemoryId, known: &[Memory]) -> Option<Decision> {
    let value = Claim::name_key(&draft.object);
    let facts: Vec<Fact<'_>> = known.iter().filter_map(|memory| Fact::of(memory, &value)).collect();
    let stated = facts.iter().find(|f| f.is_same && f.memory.provenance.derived_from.contains(&source));
    let decision = match stated {
        Some(_) if draft.is_end => return None,
        Some(stated) => raced(stated, &facts, is_single(&draft.relation)),
        None if draft.is_end => ended(draft, &facts),
        None => stated_anew(draft, &facts, is_single(&draft.relation)),
    };
    Some(decision).filter(|d| *d != Decision::default())
}

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

    fn overlaps(&self, other: &Self) -> bool {
        self.to.is_none_or(|to| to > other.from) && other.to.is_none_or(|to| to > self.from)
    }

    fn change(&self) -> Change {
        let (id, version) = (self.memory.id, self.memory.version);
        Change { id, version, from: None, to: None, by: None, is_sourced: false }
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
    Decision { put: None, changes }
}

fn stated_anew(draft: &Draft, facts: &[Fact<'_>], single: bool) -> Decision {
    let at = instant(draft, facts.iter().filter(|f| single && !f.is_same));
    let put = |into: Option<MemoryId>| Put { from: at, to: None, by: None, into };
    // Those that the new one replaces, or that stand beside it where both were said of the same instant.
    let before = || facts.iter().filter(|f| single && !f.is_same && f.from < at && f.covers(at));
    if let Some(same) = facts.iter().find(|f| f.is_same && f.covers(at)) {
        return said_again(same, None, Vec::new(), put(None));
    }
    let later = facts.iter().filter(|f| f.from > at && (single || f.is_same)).min_by_key(|f| (f.from, f.memory.id));
    match later {
        // It held earlier than was known.
        Some(later) if later.is_same => {
            let changes = before().map(|f| f.replaced(at, By::Old(later.memory.id))).collect();
            said_again(later, Some(at), changes, put(None))
        }
        Some(later) => Decision {
            put: Some(Put { to: Some(later.from), by: Some(later.memory.id), ..put(None) }),
            changes: before().map(|f| f.replaced(at, By::New)).collect(),
        },
        None => Decision { put: Some(put(None)), changes: before().map(|f| f.replaced(at, By::New)).collect() },
    }
}

/// The same fact once more. What is over has no key to merge by; its source is noted.
fn said_again(same: &Fact<'_>, from: Option<Timestamp>, mut changes: Vec<Change>, put: Put) -> Decision {
    // Where no more sources can be noted, saying it again could not be told from reading it again.
    let is_full = same.memory.provenance.derived_from.len() >= SOURCES_MAX;
    let merges = same.memory.dedup_key.is_some() && !is_full;
    if is_full && from.is_none() {
        return Decision { put: None, changes };
    }
    if from.is_some() || !merges {
        changes.push(Change { from, is_sourced: !merges, ..same.change() });
    }
    Decision { put: merges.then_some(Put { into: Some(same.memory.id), ..put }), changes }
}

/// Two who wrote at the same time did not see each other's fact: the earlier one ends where the later one begins. What somebody changed
/// after this fact was written is their decision, and stays.
fn raced(stated: &Fact<'_>, facts: &[Fact<'_>], single: bool) -> Decision {
    let unseen = |f: &&Fact<'_>| f.memory.version == 1 || f.memory.updated_at <= stated.memory.created_at;
    let others = facts.iter().filter(|f| single && !f.is_same && f.from != stated.from && f.overlaps(stated));
    let mut changes: Vec<Change> = Vec::new();
    for other in others.filter(unseen).filter(|_| stated.memory.version == 1) {
        let (old, new) = if other.from < stated.from { (other, stated) } else { (stated, other) };
        if !changes.iter().any(|c| c.id == old.memory.id) {
            changes.push(old.replaced(new.from, By::Old(new.memory.id)));
        }
    }
    Decision { put: None, changes }
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
