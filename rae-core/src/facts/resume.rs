//! What holds again when the fact that ended another one is gone: by the history of the one that was ended, and by what else is
//! known. Pure.

use super::REVIVED;
use crate::model::{Claim, Memory, MemoryId, MemoryVersion, Timestamp};
use serde::{Deserialize, Serialize};

/// How a fact stands once what ended it is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Restored {
    /// Until when it holds.
    pub to: Option<Timestamp>,
    /// What replaced it, which is there.
    pub by: Option<MemoryId>,
    /// Where `by` ends it now, or did before.
    pub key: Key,
}

/// The `dedup_key` of a fact that is restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    /// As the version before had it.
    Was(Option<[u8; 32]>),
    /// It was written as over and never had one: that of what holds.
    Anew,
    /// None: it is over.
    Over,
}

/// How the last of these versions stands when what superseded it is gone; `None` where it is to be left as it is: somebody else ended
/// it, or moved its end since, or the version before is no longer known. `is_gone` says of a memory that it is not live, `by_engine` of
/// a version that the engine wrote its end. `known` has the facts of the same subject and attribute. `is_single`: whether that has one
/// value at a time.
pub(crate) fn restore(
    history: &[MemoryVersion],
    known: &[Memory],
    is_gone: impl Fn(MemoryId) -> bool,
    by_engine: impl Fn(u32) -> bool,
    is_single: bool,
) -> Option<Restored> {
    let versions: Vec<&Memory> = history.iter().map(|v| &v.memory).collect();
    let (fact, older) = versions.split_last()?;
    fact.superseded_by.filter(|by| is_gone(*by))?;
    let before = before(fact, older, &is_gone, &by_engine)?;
    let state = match before {
        Before::Version(old) => Restored { to: old.valid_to, by: old.superseded_by, key: Key::Was(old.dedup_key) },
        Before::Open => Restored { to: None, by: None, key: Key::Anew },
    };
    // What it was before it was withdrawn says nothing of what was written anew.
    let since: Vec<&Memory> = versions.iter().copied().filter(|m| m.version >= first_version(fact)).collect();
    later(fact, &since, known, state, is_single)
}

/// What a fact was before what is gone ended it.
enum Before<'v> {
    Version(&'v Memory),
    /// It was written as over: nothing but what is gone ended it.
    Open,
}

fn before<'v>(
    fact: &'v Memory,
    older: &[&'v Memory],
    is_gone: &impl Fn(MemoryId) -> bool,
    by_engine: &impl Fn(u32) -> bool,
) -> Option<Before<'v>> {
    let (mut state, mut older) = (fact, older);
    loop {
        let Some(by) = state.superseded_by.filter(|by| is_gone(*by)) else { return Some(Before::Version(state)) };
        // Where it came to be over by that, and then.
        let (mut start, end) = (state, state.valid_to);
        let is_so = |m: &Memory| m.superseded_by == Some(by) && m.valid_to == end;
        while let Some((last, rest)) = older.split_last().filter(|(m, _)| is_so(m)) {
            (start, older) = (last, rest);
        }
        // Else it is somebody's word, or another statement moved the end.
        if !by_engine(start.version) {
            return None;
        }
        if start.version == first_version(start) {
            return Some(Before::Open);
        }
        match older.split_last() {
            Some((last, rest)) if last.version.saturating_add(1) == start.version => (state, older) = (last, rest),
            _ => return None,
        }
    }
}

/// With what is known to have begun before it ends, as `decide` would have it. `None` where the same is told by another one.
fn later(fact: &Memory, versions: &[&Memory], known: &[Memory], state: Restored, is_single: bool) -> Option<Restored> {
    let value = Claim::name_key(&fact.claim.as_ref()?.object);
    let is_same = |m: &Memory| m.claim.as_ref().is_some_and(|claim| Claim::name_key(&claim.object) == value);
    let from = fact.valid_start();
    let covers = |m: &Memory| m.valid_start() <= from && m.valid_to.is_none_or(|to| to > from);
    // Somebody set it aside without saying since when.
    let is_aside = |m: &Memory| m.superseded_by.is_some() && m.valid_to.is_none();
    let mut others = known.iter().filter(|m| m.id != fact.id && !is_aside(m) && !is_void(m));
    if others.clone().any(|m| is_same(m) && covers(m)) {
        return None;
    }
    // What ended it once and does no more was taken back; what held for no time was, too. What was withdrawn meanwhile and is said
    // again is judged by what is known since then.
    let was_taken_back = |m: &Memory| {
        let since = Revived::of(m).map(|revived| revived.at);
        let is_by =
            |version: &Memory| version.superseded_by == Some(m.id) && since.is_none_or(|at| version.updated_at >= at);
        state.by != Some(m.id) && versions.iter().any(|version| is_by(version))
    };
    let ends = |m: &&Memory| {
        let begins = m.valid_start();
        let is_within = begins > from && state.to.is_none_or(|to| begins < to);
        is_within && (is_single || is_same(m)) && !was_taken_back(m)
    };
    let next = others.by_ref().filter(ends).min_by_key(|m| (m.valid_start(), m.id));
    Some(next.map_or(state, |m| Restored { to: Some(m.valid_start()), by: Some(m.id), key: Key::Over }))
}

/// Of a fact that was withdrawn and written anew: when, and in which version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Revived {
    pub at: Timestamp,
    pub version: u32,
}

impl Revived {
    pub fn of(fact: &Memory) -> Option<Self> {
        serde_json::from_value(fact.metadata.get(REVIVED)?.clone()).ok()
    }
}

/// The version in which a fact was written, or written anew.
fn first_version(fact: &Memory) -> u32 {
    Revived::of(fact).map_or(1, |revived| revived.version)
}

/// Whether a fact held for no time: it was taken back.
pub(crate) fn is_void(fact: &Memory) -> bool {
    fact.valid_to.is_some_and(|to| to.micros() <= fact.valid_start().micros().saturating_add(1))
}

#[cfg(test)]
#[path = "resume_tests.rs"]
mod tests;
