//! Facts as they lie in a store, for the tests of what is decided about them.

use crate::model::{Claim, InfoClass, Kind, Layer, Memory, MemoryId, Provenance, Scope, Timestamp};

/// A day of May 2026.
pub(super) fn at(day: u32) -> Timestamp {
    Timestamp::parse(&format!("2026-05-{day:02}")).unwrap()
}

/// An id by its number.
pub(super) fn id(n: u128) -> MemoryId {
    MemoryId(uuid::Uuid::from_u128(n))
}

/// A fact read from the memory `100 + n`.
pub(super) fn fact(n: u128, relation: &str, object: &str, from: u32, to: Option<u32>) -> Memory {
    Memory {
        id: id(n),
        scope: Scope::default(),
        layer: Layer::Semantic,
        kind: Kind::Fact,
        content: "x".to_owned(),
        role: None,
        speaker: None,
        session_id: None,
        agent_id: None,
        user_id: None,
        tags: Vec::new(),
        metadata: serde_json::Map::new(),
        importance: 0.7,
        strength: 1.0,
        confidence: 0.9,
        trust_level: None,
        info_class: InfoClass::Internal,
        provenance: Provenance { derived_from: vec![id(100 + n)], sources: Vec::new() },
        created_at: at(20),
        updated_at: at(20),
        occurred_at: None,
        valid_from: Some(at(from)),
        valid_to: to.map(at),
        superseded_by: None,
        expires_at: None,
        version: 1,
        seq: 0,
        seq_in_session: None,
        content_hash: [0; 32],
        dedup_key: to.is_none().then_some([1; 32]),
        witness_count: 1,
        claim: Some(Claim::new("Ada", relation, object, 1.0).unwrap()),
    }
}
