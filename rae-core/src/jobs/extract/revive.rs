//! A fact that its source stopped saying and says again: it is the same one, so that corrections to and fro leave one fact for each value.
//! What somebody undid is left as it is.

use crate::{
    facts::{self, Again, Draft, REVIVED, WITHDRAWN},
    model::{Claim, Memory, MemoryId, MemoryPatch, Op, PatchMode, Timestamp},
};
use serde_json::json;

/// Whether somebody took this back as read from this memory: it held for no time, and not because the memory says it no longer.
pub(super) fn is_undone(draft: &Draft, source: MemoryId, known: &[Memory]) -> bool {
    let value = Claim::name_key(&draft.object);
    let is_it = |m: &Memory| {
        facts::is_void(m)
            && !m.metadata.contains_key(WITHDRAWN)
            && m.provenance.derived_from.contains(&source)
            && m.claim.as_ref().is_some_and(|claim| Claim::name_key(&claim.object) == value)
    };
    !draft.is_end && known.iter().any(is_it)
}

/// The fact that was withdrawn and is in the same words as one that is about to be written, read from the same memory.
pub(super) fn withdrawn<'k>(known: &'k [Memory], new: &Memory, source: MemoryId) -> Option<&'k Memory> {
    let is_it = |m: &&Memory| {
        m.metadata.contains_key(WITHDRAWN)
            && m.content == new.content
            && m.claim.as_ref().map(|c| (&c.subject, &c.object)) == new.claim.as_ref().map(|c| (&c.subject, &c.object))
            && m.provenance.derived_from.contains(&source)
    };
    known.iter().filter(is_it).min_by_key(|m| m.id)
}

/// What makes of a withdrawn fact the new one. Its history tells that it was away.
pub(super) fn revived(old: &Memory, new: Memory, now: Timestamp) -> Op {
    let mut metadata = old.metadata.clone();
    metadata.remove(WITHDRAWN);
    metadata.remove("prompt");
    metadata.extend(new.metadata);
    let again = Again { at: now, version: old.version.saturating_add(1) };
    metadata.insert(REVIVED.to_owned(), json!(again));
    let patch = MemoryPatch {
        dedup_key: Some(new.dedup_key),
        metadata: Some(metadata),
        strength: Some(new.strength),
        confidence: Some(new.confidence),
        trust_level: Some(new.trust_level),
        info_class: Some(old.info_class.max(new.info_class)),
        provenance: Some(new.provenance),
        occurred_at: Some(new.occurred_at),
        valid_from: Some(new.valid_from),
        valid_to: Some(new.valid_to),
        superseded_by: Some(new.superseded_by),
        expires_at: Some(new.expires_at),
        witness_count: Some(new.witness_count),
        ..MemoryPatch::default()
    };
    Op::PatchMemory { id: old.id, patch: Box::new(patch), mode: PatchMode::NewVersion, vector: None }
}

/// Whether a fact was withdrawn once and is said again. Of its older versions some may be of other memories.
pub(crate) fn is_revived(fact: &Memory) -> bool {
    fact.claim.is_some() && fact.metadata.contains_key(REVIVED)
}
