//! A memory as reflection would have it, and how it is written.

use super::{
    event::{Cited, Owner},
    lesson::SUMMARY_IMPORTANCE,
    quote::quoted_events,
    subject::Subject,
};
use crate::{
    limits::SOURCES_MAX,
    model::{InfoClass, Kind, Layer, Memory, MemoryId, MemoryPatch, Provenance, Scope, Timestamp, TrustLevel},
};
use serde_json::{Map, Value};
use std::time::Duration;

/// A memory as it should be: new, or a change of the one that is about the same.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    pub subject: Subject,
    pub kind: Kind,
    pub content: String,
    pub metadata: Map<String, Value>,
    pub importance: f64,
    pub confidence: f64,
    pub sources: Vec<Cited>,
    pub info_class: InfoClass,
    pub owner: Owner,
    /// The words that the memory has now, where they are still those of its numbers.
    pub replaces: Option<String>,
    /// Whether it only moves numbers because of what went well: nobody needs to hear of it.
    pub is_quiet: bool,
}

/// Whether a memory held for no time: what made it was undone. What happens since is learnt all the same.
pub(super) fn is_undone(memory: &Memory) -> bool {
    matches!(memory.kind, Kind::Lesson | Kind::Strategy)
        && memory.valid_to.is_some_and(|end| end <= memory.valid_start().saturating_add(Duration::from_micros(1)))
}

impl Draft {
    /// Whether it may be written over a memory that is over: what was undone is there again when it happens again.
    pub fn revives(&self, old: &Memory) -> bool {
        is_undone(old) && !self.sources.is_empty()
    }

    /// A reflection of this text on these events, of a class and of whom they all are.
    pub fn reflection(
        subject: Subject,
        content: String,
        metadata: Map<String, Value>,
        sources: Vec<Cited>,
        (info_class, owner): (InfoClass, Owner),
    ) -> Self {
        let (kind, replaces) = (Kind::Reflection, None);
        let (importance, confidence) = (SUMMARY_IMPORTANCE, 1.0);
        let is_quiet = false;
        Self {
            subject,
            kind,
            content,
            metadata,
            importance,
            confidence,
            sources,
            info_class,
            owner,
            replaces,
            is_quiet,
        }
    }

    /// What a user says again and again, as knowledge: the newest wording. Words that somebody changed stay.
    pub fn statement(
        subject: Subject,
        content: String,
        metadata: Map<String, Value>,
        sources: Vec<Cited>,
        whose: (InfoClass, Owner),
    ) -> Self {
        Self { kind: Kind::Fact, ..Self::reflection(subject, content, metadata, sources, whose) }
    }

    /// Whether it quotes what it was made from, and is written anew each time.
    fn quotes(&self) -> bool {
        matches!(self.kind, Kind::Reflection | Kind::Fact)
    }

    /// What it was made from, as it was read: it may be written only while that is there unchanged.
    pub fn cited(&self) -> impl Iterator<Item = &Cited> {
        self.sources.iter().take(SOURCES_MAX)
    }

    /// When the first of what it quotes is to be gone. Lessons quote nothing that is to be gone.
    fn expires_at(&self) -> Option<Timestamp> {
        let quoted = self.sources.iter().filter(|_| self.quotes());
        quoted.filter_map(|source| source.expires_at).min()
    }

    /// How far a session was looked at, noted in a summary that somebody ended: what was counted is not counted again, and nothing
    /// else of it moves. `None` where the draft notes no such place, or the memory has it.
    pub fn mark_alone(&self, old: &Memory) -> Option<MemoryPatch> {
        let upto = self.metadata.get("upto").filter(|upto| old.metadata.get("upto") != Some(*upto))?;
        let mut metadata = old.metadata.clone();
        metadata.insert("upto".to_owned(), upto.clone());
        Some(MemoryPatch { metadata: Some(metadata), ..MemoryPatch::default() })
    }

    /// Whether it says anything that the memory does not.
    pub fn is_news(&self, old: Option<&Memory>) -> bool {
        old.is_none_or(|old| {
            old.metadata != self.metadata || (self.kind == Kind::Reflection && old.content != self.content)
        })
    }

    /// The memory, where there is none yet.
    pub fn into_memory(self, id: MemoryId, scope: &Scope, now: Timestamp) -> Memory {
        let (sources, expires_at) = (self.sources_after(&[]), self.expires_at());
        Memory {
            id,
            scope: scope.clone(),
            layer: if self.kind == Kind::Fact { Layer::Semantic } else { Layer::Reflective },
            kind: self.kind,
            content_hash: *blake3::hash(self.content.as_bytes()).as_bytes(),
            content: self.content,
            role: None,
            speaker: None,
            session_id: None,
            agent_id: self.owner.agent_id,
            user_id: self.owner.user_id,
            tags: Vec::new(),
            metadata: self.metadata,
            importance: self.importance,
            strength: 1.0,
            confidence: self.confidence,
            // It repeats what tools and strangers said.
            trust_level: Some(TrustLevel::Low),
            info_class: self.info_class,
            provenance: Provenance { derived_from: sources, sources: Vec::new() },
            created_at: now,
            updated_at: now,
            occurred_at: None,
            valid_from: None,
            valid_to: None,
            superseded_by: None,
            expires_at,
            version: 1,
            seq: 0,
            seq_in_session: None,
            claim: None,
            dedup_key: Some(self.subject.key),
            witness_count: 1,
        }
    }

    /// What changes of the memory that is there. Words that somebody changed stay as they are.
    pub fn into_patch(self, old: &Memory) -> MemoryPatch {
        let (quotes, expires_at) = (self.quotes(), self.quotes().then(|| self.expires_at()));
        let derived_from = match quotes {
            // A summary is written anew, from these events.
            true => self.sources_after(&[]),
            false => self.sources_after(&old.provenance.derived_from),
        };
        let provenance = Provenance { derived_from, sources: old.provenance.sources.clone() };
        let valid_to = self.revives(old).then_some(None);
        let said = old.metadata.get("consolidated").and_then(Value::as_str);
        let is_ours = self.replaces.as_deref().or(said).is_none_or(|words| words == old.content);
        let content = Some(self.content).filter(|content| is_ours && *content != old.content);
        MemoryPatch {
            content_hash: content.as_ref().map(|content| *blake3::hash(content.as_bytes()).as_bytes()),
            content,
            metadata: Some(self.metadata),
            importance: (!quotes).then_some(self.importance),
            confidence: (!quotes).then_some(self.confidence),
            info_class: Some(self.info_class.max(old.info_class)),
            provenance: Some(provenance),
            expires_at,
            valid_to,
            ..MemoryPatch::default()
        }
    }

    fn sources_after(&self, old: &[MemoryId]) -> Vec<MemoryId> {
        let mut sources = old.to_vec();
        for Cited { id, .. } in &self.sources {
            if sources.len() < SOURCES_MAX && !sources.contains(id) {
                sources.push(*id);
            }
        }
        // What it quotes it cites, so that the quote goes with the event: others make room, the newest first.
        let quoted = quoted_events(&self.metadata);
        for id in quoted.iter().filter(|id| !sources.contains(id)).copied().collect::<Vec<_>>() {
            if sources.len() == SOURCES_MAX {
                let Some(place) = sources.iter().rposition(|id| !quoted.contains(id)) else { break };
                sources.remove(place);
            }
            sources.push(id);
        }
        sources.truncate(SOURCES_MAX);
        sources
    }
}
