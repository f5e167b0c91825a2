//! Importance, strength and confidence in a change, and what was merged: feedback, persons and statements move them beside it.

use super::Merged;
use crate::model::{Memory, MemoryPatch};
use serde::{Deserialize, Serialize};

/// Numbers that feedback moves in place, as a change left them.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Numbers {
    importance: f64,
    strength: f64,
    confidence: f64,
}

/// Their names as fields of a patch.
pub(super) const NUMBERS: &[&str] = &["importance", "strength", "confidence"];

impl Numbers {
    pub fn of(memory: &Memory) -> Self {
        Self { importance: memory.importance, strength: memory.strength, confidence: memory.confidence }
    }

    /// Takes out of a patch what is not as this left it: somebody moved it since, and it stays.
    pub fn keep_moved(left: Option<Self>, patch: &mut MemoryPatch, present: &Memory) {
        let now = Self::of(present);
        let moved =
            |number: fn(&Self) -> f64| left.is_none_or(|left| number(&left).to_bits() != number(&now).to_bits());
        if moved(|n| n.importance) {
            patch.importance = None;
        }
        if moved(|n| n.strength) {
            patch.strength = None;
        }
        if moved(|n| n.confidence) {
            patch.confidence = None;
        }
    }
}

/// Without the source that was merged into it; `None` where that is no longer there.
pub(super) fn unmerged(memory: &Memory, merged: &Merged) -> Option<MemoryPatch> {
    let mut provenance = memory.provenance.clone();
    let sources = &mut provenance.derived_from;
    let at = sources.iter().position(|id| *id == merged.source)?;
    sources.remove(at);
    let mut patch = MemoryPatch {
        provenance: Some(provenance),
        witness_count: Some(memory.witness_count.saturating_sub(1).max(1)),
        importance: Some(merged.importance),
        confidence: Some(merged.confidence),
        ..MemoryPatch::default()
    };
    Numbers::keep_moved(merged.left, &mut patch, memory);
    Some(patch)
}

#[cfg(test)]
mod tests {
    use super::{super::Row, *};
    use crate::{
        ingest::NewMemory,
        model::{MemoryId, Scope, Timestamp},
    };
    use serde_json::json;
    use uuid::Uuid;

    #[test]
    fn a_row_of_a_version_that_did_not_note_numbers_leaves_them_as_they_are() {
        let id = MemoryId(Uuid::nil());
        let old = json!({ "change": Uuid::nil(), "changed": [
            { "id": id, "from_version": 1, "fields": ["confidence"], "witness_count": 1 }] });
        let row: Row = serde_json::from_value(old).unwrap();
        let new = NewMemory::new("The mill is red.");
        let memory = new.into_memory(&Scope::default(), id, Timestamp::from_micros(0).unwrap()).unwrap();
        let mut patch = MemoryPatch { confidence: Some(0.5), valid_to: Some(None), ..MemoryPatch::default() };
        Numbers::keep_moved(row.changed[0].left, &mut patch, &memory);
        assert_eq!((patch.confidence, patch.valid_to), (None, Some(None)));
        let mut patch = MemoryPatch { confidence: Some(0.5), ..MemoryPatch::default() };
        Numbers::keep_moved(Some(Numbers::of(&memory)), &mut patch, &memory);
        assert_eq!(patch.confidence, Some(0.5));
    }
}
