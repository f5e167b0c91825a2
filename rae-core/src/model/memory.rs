//! The memory itself, its older versions and the change that leads from one to the next.

use super::{Claim, Layer, MemoryId, Scope, Timestamp, subject::is_subject_key};
use crate::{
    error::{Error, Result},
    limits::{SOURCES_MAX, TAGS_MAX},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::{fmt, str::FromStr};

/// The key in the metadata of a relation that a nameless speaker states.
pub const CLAIM_SESSION: &str = "session_id";

/// A closed set of names with parsing and printing, all spelled once.
macro_rules! names {
    ($(#[$doc:meta])* $name:ident, $what:literal, { $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[repr(u8)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $text)] $variant),+ }
        impl $name {
            /// Every value.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];
            /// The name on every surface.
            pub const fn as_str(self) -> &'static str { match self { $(Self::$variant => $text),+ } }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(self.as_str()) }
        }
        impl FromStr for $name {
            type Err = Error;
            fn from_str(text: &str) -> Result<Self> {
                Self::ALL.iter().copied().find(|v| v.as_str() == text).ok_or_else(|| {
                    let known: Vec<_> = Self::ALL.iter().map(|v| v.as_str()).collect();
                    Error::invalid(format!(concat!($what, " must be one of {}"), known.join(", ")))
                })
            }
        }
    };
}

pub(super) use names;

names! {
    /// What sort of thing a memory is.
    Kind, "kind", {
        /// Plain text; the default.
        Text = "text",
        /// A statement of fact.
        Fact = "fact",
        /// One turn of a conversation: an event.
        Conversation = "conversation",
        /// A document or a part of one.
        Document = "document",
        /// Source code.
        Code = "code",
        /// A reference to an image.
        ImageRef = "image-ref",
        /// A reflection over other memories.
        Reflection = "reflection",
        /// What went wrong, why, and a rule.
        Lesson = "lesson",
        /// A way to do something that works.
        Strategy = "strategy",
        /// A summary of an entity.
        EntitySummary = "entity-summary",
    }
}

names! {
    /// Who may see a memory, by class of information.
    InfoClass, "info_class", {
        /// For anybody.
        Public = "public",
        /// For the organisation; the default.
        Internal = "internal",
        /// For named groups.
        Confidential = "confidential",
        /// For named persons.
        Restricted = "restricted",
    }
}

names! {
    /// How far the source of a memory is trusted.
    TrustLevel, "trust_level", {
        /// Not checked, or from a stranger.
        Unverified = "unverified",
        /// Weak.
        Low = "low",
        /// Fair.
        Medium = "medium",
        /// Strong.
        High = "high",
    }
}

impl Kind {
    /// The layer of this kind where the caller names none (contract.md section 2).
    pub const fn default_layer(self) -> Layer {
        match self {
            Self::Conversation => Layer::Episodic,
            Self::Reflection | Self::Lesson | Self::Strategy => Layer::Reflective,
            Self::Text | Self::Fact | Self::Document | Self::Code | Self::ImageRef | Self::EntitySummary => {
                Layer::Semantic
            }
        }
    }

    /// Whether the same text written again is the same statement and merges.
    pub const fn is_statement(self) -> bool {
        matches!(self, Self::Text | Self::Fact | Self::Document | Self::Lesson | Self::Strategy)
    }
}

/// Where a memory came from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// Memories it was derived from. Erasure cascades along these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub derived_from: Vec<MemoryId>,
    /// Names of sources given by callers; joined when statements merge.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<String>,
}

/// One memory, as stored: one row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// Opaque id.
    pub id: MemoryId,
    /// Tenant and project.
    pub scope: Scope,
    /// Layer.
    pub layer: Layer,
    /// Kind.
    pub kind: Kind,
    /// The text, whole: 1 byte to 1 MiB of UTF-8.
    pub content: String,
    /// `user`, `assistant`, `system`, `tool` or a name of the caller's own.
    pub role: Option<String>,
    /// Who said it.
    pub speaker: Option<String>,
    /// Session it belongs to.
    pub session_id: Option<String>,
    /// Agent it belongs to.
    pub agent_id: Option<String>,
    /// User it belongs to.
    pub user_id: Option<String>,
    /// Labels, without doubles, in the order they came.
    pub tags: Vec<String>,
    /// The caller's own JSON object.
    pub metadata: Map<String, Value>,
    /// How much it matters, 0 to 1.
    pub importance: f64,
    /// How vivid it is, 0 to 1; feedback and decay move it.
    pub strength: f64,
    /// How sure it is, 0 to 1.
    pub confidence: f64,
    /// Trust in its source.
    pub trust_level: Option<TrustLevel>,
    /// Class of information.
    pub info_class: InfoClass,
    /// Where it came from.
    pub provenance: Provenance,
    /// When it was first stored (transaction time).
    pub created_at: Timestamp,
    /// When its present version was stored (transaction time).
    pub updated_at: Timestamp,
    /// When it happened.
    pub occurred_at: Option<Timestamp>,
    /// From when it holds; `occurred_at`, else `created_at`, where none is given.
    pub valid_from: Option<Timestamp>,
    /// Until when it holds (exclusive).
    pub valid_to: Option<Timestamp>,
    /// The memory that replaced it.
    pub superseded_by: Option<MemoryId>,
    /// When it ceases to exist.
    pub expires_at: Option<Timestamp>,
    /// 1 at first, one more with each update.
    pub version: u32,
    /// Number of the change that last touched it, within its scope. Assigned by `apply`.
    pub seq: u64,
    /// Its place in the session, from 0. Assigned by `apply`.
    pub seq_in_session: Option<u32>,
    /// BLAKE3 of the content.
    pub content_hash: [u8; 32],
    /// What makes it the same as another; none when it never merges. Unique over live rows of the scope.
    pub dedup_key: Option<[u8; 32]>,
    /// How often it was said.
    pub witness_count: u32,
    /// The relation that it states, where it is one: an edge of the knowledge graph.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<Claim>,
}

impl Memory {
    /// The session whose nameless speaker states this relation: `metadata.session_id` of a memory with a claim. It concerns no other
    /// session.
    pub fn claim_session(&self) -> Option<&str> {
        self.claim.as_ref().and_then(|_| self.metadata.get(CLAIM_SESSION)?.as_str())
    }

    /// The instant that `since` and `until` compare: `occurred_at`, else `created_at`.
    pub fn event_time(&self) -> Timestamp {
        self.occurred_at.unwrap_or(self.created_at)
    }

    /// Start of its validity.
    pub fn valid_start(&self) -> Timestamp {
        self.valid_from.unwrap_or_else(|| self.event_time())
    }

    /// Whether its time to live is over at `now`.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|t| t <= now)
    }

    /// Whether it no longer holds at `now`: its validity ended or something superseded it.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.superseded_by.is_some() || self.valid_to.is_some_and(|t| t <= now)
    }

    /// Whether the same statement said at `now` merges into it. A claim's key says when it holds, so one that is past still takes in
    /// the same past; anything else that is over must not swallow what is said of the present.
    pub fn merges_at(&self, now: Timestamp) -> bool {
        if self.claim.is_some() { self.superseded_by.is_none() } else { !self.is_over(now) }
    }

    /// Takes in `other`, the same statement said again: id, text and metadata stay, tags and sources join, importance and
    /// confidence keep the maximum (and so does the weight of a claim), `witness_count` grows, the later expiry (or none) holds.
    pub fn absorb(&mut self, other: &Memory) {
        join(&mut self.tags, &other.tags, TAGS_MAX);
        join(&mut self.provenance.sources, &other.provenance.sources, SOURCES_MAX);
        join(&mut self.provenance.derived_from, &other.provenance.derived_from, SOURCES_MAX);
        self.importance = self.importance.max(other.importance);
        self.confidence = self.confidence.max(other.confidence);
        self.witness_count = self.witness_count.saturating_add(1);
        if let (Some(claim), Some(other)) = (&mut self.claim, &other.claim) {
            claim.absorb(other);
        }
        // Said again, it lives as long as the longer of the two was meant to.
        self.expires_at = self.expires_at.zip(other.expires_at).map(|(a, b)| a.max(b));
    }

    /// Whether its key says what it is about (the end of a session, a lesson, a summary) rather than what its text says.
    pub fn has_subject_key(&self) -> bool {
        self.dedup_key.is_some_and(|key| is_subject_key(&key))
    }

    /// How it is restored at `at` beside `held`, the live memory with its key, if anything is to change for that: what is about the same
    /// subject but says another thing, or is another's, is another memory. It comes without the key, so that neither swallows the other
    /// and `held` is the one that is found by it; so is one that no longer holds, which says that it is not to be made again.
    pub fn restored_beside(&self, held: &Memory, at: Timestamp) -> Option<Memory> {
        let of = |m: &Memory| (m.content_hash, m.user_id.clone(), m.agent_id.clone());
        let is_apart = self.id != held.id && !held.is_expired(at) && (held.is_over(at) || of(self) != of(held));
        (self.has_subject_key() && is_apart).then(|| Memory { dedup_key: None, ..self.clone() })
    }

    /// Takes in `other`, said again at `at`, as every store does; gives the state before where that goes to history. A merge makes no
    /// version but where it moves the strength of a relation, its weight or its confidence: what was known before must still be told.
    /// Where no more versions can be numbered, there is none.
    pub fn merge(&mut self, other: &Memory, at: Timestamp) -> Option<MemoryVersion> {
        let weight = |m: &Memory| m.claim.as_ref().map_or(0.0, |claim| claim.weight);
        let is_stronger = weight(other) > weight(self) || other.confidence > self.confidence;
        let next = self.version.checked_add(1).filter(|_| self.claim.is_some() && is_stronger);
        let before = next.map(|_| MemoryVersion { memory: self.clone(), replaced_at: Some(at) });
        self.absorb(other);
        if let Some(next) = next {
            (self.version, self.updated_at) = (next, at);
        }
        before
    }
}

fn join<T: Clone + PartialEq>(into: &mut Vec<T>, from: &[T], most: usize) {
    for item in from {
        if into.len() < most && !into.contains(item) {
            into.push(item.clone());
        }
    }
}

/// An older state of a memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MemoryVersion {
    /// The memory as it was.
    pub memory: Memory,
    /// When this state was replaced; `None` for the present one.
    pub replaced_at: Option<Timestamp>,
}

/// A change to one memory: only what is `Some` moves; an inner `None` clears.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)] // the names and meanings are those of `Memory`
pub struct MemoryPatch {
    pub content: Option<String>,
    pub content_hash: Option<[u8; 32]>,
    pub dedup_key: Option<Option<[u8; 32]>>,
    pub layer: Option<Layer>,
    pub kind: Option<Kind>,
    pub role: Option<Option<String>>,
    pub speaker: Option<Option<String>>,
    pub tags: Option<Vec<String>>,
    pub metadata: Option<Map<String, Value>>,
    pub importance: Option<f64>,
    pub strength: Option<f64>,
    pub confidence: Option<f64>,
    pub trust_level: Option<Option<TrustLevel>>,
    pub info_class: Option<InfoClass>,
    pub provenance: Option<Provenance>,
    pub occurred_at: Option<Option<Timestamp>>,
    pub valid_from: Option<Option<Timestamp>>,
    pub valid_to: Option<Option<Timestamp>>,
    pub superseded_by: Option<Option<MemoryId>>,
    pub expires_at: Option<Option<Timestamp>>,
    pub claim: Option<Option<Claim>>,
    pub witness_count: Option<u32>,
}

/// What is said of every field of a patch.
macro_rules! patch_fields {
    ($($field:ident),+ $(,)?) => {
        impl MemoryPatch {
            /// Moves `memory`. Version, times and sequence are the store's business.
            pub fn apply_to(&self, memory: &mut Memory) {
                $(if let Some(v) = &self.$field { memory.$field = v.clone(); })+
            }

            /// The names of the fields that move.
            pub fn moved(&self) -> Vec<&'static str> {
                let mut moved = Vec::new();
                $(if self.$field.is_some() { moved.push(stringify!($field)); })+
                moved
            }

            /// What moves these fields back to what `old` has. Names of no field are left out.
            pub fn back_to(old: &Memory, fields: &[&str]) -> Self {
                let mut patch = Self::default();
                $(if fields.contains(&stringify!($field)) { patch.$field = Some(old.$field.clone()); })+
                patch
            }
        }
    };
}

patch_fields!(
    content,
    content_hash,
    dedup_key,
    layer,
    kind,
    role,
    speaker,
    tags,
    metadata,
    importance,
    strength,
    confidence,
    trust_level,
    info_class,
    provenance,
    occurred_at,
    valid_from,
    valid_to,
    superseded_by,
    expires_at,
    claim,
    witness_count,
);

impl MemoryPatch {
    /// Whether nothing would move.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_read_back_and_unknown_ones_name_the_known() {
        for kind in Kind::ALL {
            assert_eq!(kind.as_str().parse::<Kind>().unwrap(), *kind);
        }
        assert!("note".parse::<Kind>().unwrap_err().message().contains("image-ref"));
    }

    #[test]
    fn joining_keeps_order_drops_doubles_and_stops_at_the_bound() {
        let mut a = vec![1, 2];
        join(&mut a, &[2, 3, 4, 5], 4);
        assert_eq!(a, [1, 2, 3, 4]);
    }
}
