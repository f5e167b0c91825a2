//! Tests of the index as a whole.

mod filters;
mod golden;
mod order;
mod search;
mod segments;
mod speakers;

use super::*;
use crate::model::{InfoClass, Kind, Layer, Memory, MemoryId, Provenance, Scope, Timestamp};
use uuid::Uuid;

fn id(n: u128) -> MemoryId {
    MemoryId(Uuid::from_u128(n))
}

fn time(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000).unwrap()
}

fn memory(n: u128, content: &str) -> Memory {
    Memory {
        id: id(n),
        scope: Scope::default(),
        layer: Layer::Episodic,
        kind: Kind::Conversation,
        content: content.into(),
        role: None,
        speaker: None,
        session_id: None,
        agent_id: None,
        user_id: None,
        tags: Vec::new(),
        metadata: serde_json::Map::new(),
        importance: 0.5,
        strength: 1.0,
        confidence: 1.0,
        trust_level: None,
        info_class: InfoClass::Internal,
        provenance: Provenance::default(),
        created_at: time(0),
        updated_at: time(0),
        occurred_at: None,
        valid_from: None,
        valid_to: None,
        superseded_by: None,
        expires_at: None,
        version: 1,
        seq: 1,
        seq_in_session: None,
        content_hash: [0; 32],
        dedup_key: None,
        witness_count: 1,
        claim: None,
    }
}

/// A turn of session `session` at place `n`.
fn turn(n: u128, session: &str, role: &str, content: &str) -> Memory {
    let seq_in_session = Some(u32::try_from(n).unwrap());
    Memory { session_id: Some(session.into()), role: Some(role.into()), seq_in_session, ..memory(n, content) }
}

fn index_of(memories: &[Memory]) -> ScopeIndex {
    let mut index = ScopeIndex::new();
    memories.iter().for_each(|m| index.put(LexDoc::from_memory(m)));
    index
}

fn found(index: &ScopeIndex, query: &str) -> Vec<u128> {
    let hits = index.search(&index.resolve(query), None, 10);
    hits.into_iter().map(|(slot, _)| index.id_of(slot).unwrap().0.as_u128()).collect()
}
