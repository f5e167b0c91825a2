//! What `audit` may mend by itself: what follows from the memories alone, and can be taken back. Pure.

use super::{Compared, SlotValue, agree, claim_value, compared};
use crate::model::{Claim, InfoClass, Memory, MemoryId, MemoryPatch, Provenance, Timestamp, TrustLevel, key_of_ended};
use std::collections::HashSet;

/// A memory of a finding.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    /// As it is now.
    pub memory: Memory,
    /// Recalls that returned it.
    pub uses: u64,
    /// Whether a tag or its kind says that it is to be left as it is.
    pub is_protected: bool,
    /// Whether somebody said it of himself.
    pub is_own: bool,
}

/// What is changed of which memory.
pub(crate) type Patches = Vec<(MemoryId, MemoryPatch)>;

/// Duplicates: one stays and the others give way to it. What is protected stays in any case, then what holds and lives
/// longest, what holds first, what is nobody's derivation, what was used and said most, the oldest. What another session said stays: it
/// would be lost with the one that stays when that one's session is erased. `None` where that would lose
/// anything: another class or trust, or a time at which only the one that goes held.
pub(crate) fn duplicates(found: &[Found], now: Timestamp) -> Option<(MemoryId, Patches)> {
    let text = |m: &Memory| compared(m, now).find(|c| matches!(c, Compared::Text(_))).map(|c| c.key());
    let first = text(&found.first()?.memory)?;
    let of = |m: &Memory| -> (InfoClass, Option<TrustLevel>) { (m.info_class, m.trust_level) };
    let same = |f: &Found| {
        text(&f.memory) == Some(first) && of(&f.memory) == found.first().map_or(of(&f.memory), |f| of(&f.memory))
    };
    if !found.iter().all(same) {
        return None;
    }
    let keeper = found.iter().max_by_key(|f| {
        let m = &f.memory;
        let end = |at: Option<Timestamp>| at.map_or(i64::MAX, Timestamp::micros);
        let (to, lives) = (end(m.valid_to), end(m.expires_at));
        let used = f.uses.saturating_add(u64::from(m.witness_count));
        let from = std::cmp::Reverse(m.valid_start());
        (f.is_protected, to, lives, from, m.provenance.derived_from.is_empty(), used, std::cmp::Reverse(m.id))
    })?;
    let kept = &keeper.memory;
    let gives_way = |f: &&Found| {
        let m = &f.memory;
        let outlives = |a: Option<Timestamp>, b: Option<Timestamp>| a.is_some_and(|a| b.is_none_or(|b| b > a));
        let is_lost = outlives(kept.valid_to, m.valid_to)
            || outlives(kept.expires_at, m.expires_at)
            || kept.valid_start() > m.valid_start()
            || kept.session_id != m.session_id;
        // Who erases the sources of the one that stays must not take along what somebody said beside them.
        let is_own = m.provenance.derived_from.is_empty() && !kept.provenance.derived_from.is_empty();
        m.id != kept.id && !f.is_protected && !is_lost && !is_own
    };
    let losers: Vec<&Memory> = found.iter().filter(gives_way).map(|f| &f.memory).collect();
    if losers.is_empty() {
        return None;
    }
    let mut joined = kept.clone();
    for loser in &losers {
        joined.absorb(loser);
    }
    let witnesses = losers.iter().fold(kept.witness_count, |sum, m| sum.saturating_add(m.witness_count));
    let mut provenance = joined.provenance.clone();
    if kept.provenance.derived_from.is_empty() {
        // And what nobody derived is not made to go with somebody's source.
        provenance.derived_from.clear();
    }
    let keeps = MemoryPatch {
        tags: (joined.tags != kept.tags).then_some(joined.tags),
        provenance: (provenance != kept.provenance).then_some(provenance),
        importance: (joined.importance > kept.importance).then_some(joined.importance),
        confidence: (joined.confidence > kept.confidence).then_some(joined.confidence),
        witness_count: Some(witnesses),
        ..MemoryPatch::default()
    };
    let gives = |m: &Memory| MemoryPatch {
        superseded_by: Some(Some(kept.id)),
        valid_to: over(m, now).map(Some),
        dedup_key: key_of_ended(m),
        ..MemoryPatch::default()
    };
    let patches = losers.iter().map(|m| (m.id, gives(m))).chain([(kept.id, keeps)]).collect();
    Some((kept.id, patches))
}

/// Statements of different values: where each carries its claim and began to hold at another time, the earlier ends
/// where the next other value begins. `None` where that does not decide it, the later is trusted less, or it says of
/// somebody what he himself said otherwise.
pub(crate) fn contradiction(found: &[Found], now: Timestamp) -> Option<Patches> {
    let mut held: Vec<(&Found, u64, SlotValue)> = found.iter().map(value).collect::<Option<_>>()?;
    held.sort_by_key(|(f, ..)| (f.memory.valid_start(), f.memory.id));
    let key = held.first()?.1;
    let mut patches = Patches::new();
    for (at, (f, own, value)) in held.iter().enumerate() {
        let m = &f.memory;
        if *own != key {
            return None;
        }
        let Some((later, ..)) = held.iter().skip(at + 1).find(|(_, _, other)| !agree(value, other)) else { continue };
        let (from, later_own) = (later.memory.valid_start(), later.is_own);
        if m.valid_to.is_some_and(|to| to <= from) {
            continue;
        }
        // One that has not begun, or that ends before the earlier one does, decides nothing about what holds after it.
        let ends_sooner = later.memory.valid_to.is_some_and(|end| m.valid_to.is_none_or(|to| to > end));
        let is_trusted = match (later.memory.trust_level, m.trust_level) {
            (Some(later), Some(earlier)) => later >= earlier,
            (later, earlier) => later == earlier,
        };
        let is_his_own = f.is_own && !later_own;
        if is_his_own || f.is_protected || from <= m.valid_start() || from > now || ends_sooner || !is_trusted {
            return None;
        }
        let (valid_to, superseded_by) = (Some(Some(from)), Some(Some(later.memory.id)));
        patches.push((
            m.id,
            MemoryPatch { valid_to, superseded_by, dedup_key: key_of_ended(m), ..MemoryPatch::default() },
        ));
    }
    Some(patches).filter(|patches| !patches.is_empty())
}

/// The claim's value, under its key.
fn value(found: &Found) -> Option<(&Found, u64, SlotValue)> {
    let memory = &found.memory;
    let claim: &Claim = memory.claim.as_ref().filter(|_| memory.superseded_by.is_none())?;
    match claim_value(memory, claim)? {
        Compared::Value(key, value) => Some((found, key, value)),
        _ => None,
    }
}

/// A memory that refers to what is gone: the links go. What was over stays over. `None` where it is protected, or
/// nothing is gone.
pub(crate) fn orphan(found: &Found, live: &HashSet<MemoryId>, now: Timestamp) -> Option<Patches> {
    let m = &found.memory;
    let sources = &m.provenance.derived_from;
    let lost = !sources.is_empty() && !sources.iter().any(|id| live.contains(id));
    let successor = m.superseded_by.is_some_and(|by| !live.contains(&by));
    if found.is_protected || !(lost || successor) {
        return None;
    }
    let mut patch = MemoryPatch::default();
    if lost {
        patch.provenance = Some(Provenance { derived_from: Vec::new(), ..m.provenance.clone() });
    }
    if successor {
        patch.superseded_by = Some(None);
        // Nobody said that it holds again.
        patch.valid_to = over(m, now).map(Some);
    }
    Some(vec![(m.id, patch)])
}

/// When what holds still is to end: now, or as soon as it began.
fn over(m: &Memory, now: Timestamp) -> Option<Timestamp> {
    let begun = Timestamp::from_micros(m.valid_start().micros().saturating_add(1)).unwrap_or(now);
    m.valid_to.is_none_or(|to| to > now).then(|| now.max(begun))
}

#[cfg(test)]
#[path = "mend_tests.rs"]
mod tests;
