//! The caller's words for a memory, and the checks that turn them into one.

use super::fingerprint::{content_hash, dedup_key};
use crate::{
    error::{Error, Result},
    limits::{
        CONTENT_BYTES_MAX, METADATA_BYTES_MAX, METADATA_DEPTH_MAX, NAME_BYTES_MAX, QUERY_BYTES_MAX, ROLE_BYTES_MAX,
        SOURCES_MAX, TAG_BYTES_MAX, TAGS_MAX, TTL_SECONDS_MAX,
    },
    model::{
        Claim, InfoClass, Kind, Layer, Memory, MemoryId, MemoryPatch, Provenance, Scope, Timestamp, TrustLevel,
        is_subject_key,
    },
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What `remember` takes (contract.md section 2). Only `content` is needed; everything else has a default by kind and layer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NewMemory {
    /// The text: 1 byte to 1 MiB, not only white space.
    pub content: String,
    /// Default: `conversation` when session, speaker or role is given, else `text`.
    pub kind: Option<Kind>,
    /// Default: by kind.
    pub layer: Option<Layer>,
    /// `user`, `assistant`, `system`, `tool` or your own.
    pub role: Option<String>,
    /// Who said it.
    pub speaker: Option<String>,
    /// Session it belongs to.
    pub session_id: Option<String>,
    /// Agent it belongs to.
    pub agent_id: Option<String>,
    /// User it belongs to.
    pub user_id: Option<String>,
    /// When it happened.
    pub occurred_at: Option<Timestamp>,
    /// Labels.
    pub tags: Vec<String>,
    /// A JSON object of your own.
    pub metadata: Option<Map<String, Value>>,
    /// 0 to 1; default: the layer's.
    pub importance: Option<f64>,
    /// 0 to 1; default 1.
    pub confidence: Option<f64>,
    /// Seconds to live from now; default: the layer's.
    pub ttl: Option<f64>,
    /// Name of the source.
    pub source: Option<String>,
    /// Trust in the source.
    pub trust_level: Option<TrustLevel>,
    /// Default `internal`.
    pub info_class: Option<InfoClass>,
    /// From when it holds; default `occurred_at`, else now.
    pub valid_from: Option<Timestamp>,
    /// Until when it holds (exclusive); default open.
    pub valid_to: Option<Timestamp>,
    /// Reads facts from the text, as a job: by rules and without a model, when `maintain` or a worker runs.
    pub infer: bool,
    /// Makes the write safe to repeat for 24 h.
    pub idempotency_key: Option<String>,
}

impl NewMemory {
    /// A memory of this text and all defaults.
    pub fn new(content: impl Into<String>) -> Self {
        Self { content: content.into(), ..Self::default() }
    }

    /// Checks everything and gives the memory to store.
    pub fn into_memory(self, scope: &Scope, id: MemoryId, now: Timestamp) -> Result<Memory> {
        check_content(&self.content)?;
        for (what, value) in [
            ("speaker", &self.speaker),
            ("session_id", &self.session_id),
            ("agent_id", &self.agent_id),
            ("user_id", &self.user_id),
            ("source", &self.source),
            ("idempotency_key", &self.idempotency_key),
        ] {
            check_name(what, value.as_deref(), NAME_BYTES_MAX)?;
        }
        check_name("role", self.role.as_deref(), ROLE_BYTES_MAX)?;
        let tags = check_tags(self.tags)?;
        let metadata = self.metadata.unwrap_or_default();
        check_metadata(&metadata)?;
        check_validity(self.valid_from, self.valid_to)?;
        let is_turn = self.session_id.is_some() || self.speaker.is_some() || self.role.is_some();
        let kind = self.kind.unwrap_or(if is_turn { Kind::Conversation } else { Kind::Text });
        let layer = self.layer.unwrap_or(kind.default_layer());
        let policy = layer.policy();
        let ttl = self.ttl.map(check_ttl).transpose()?.or(policy.ttl_seconds);
        let mut memory = Memory {
            id,
            scope: scope.clone(),
            layer,
            kind,
            content_hash: content_hash(&self.content),
            content: self.content,
            role: self.role,
            speaker: self.speaker,
            session_id: self.session_id,
            agent_id: self.agent_id,
            user_id: self.user_id,
            tags,
            metadata,
            importance: unit_interval("importance", self.importance)?.unwrap_or(policy.default_importance),
            strength: 1.0,
            confidence: unit_interval("confidence", self.confidence)?.unwrap_or(1.0),
            trust_level: self.trust_level,
            info_class: self.info_class.unwrap_or(InfoClass::Internal),
            provenance: Provenance { derived_from: Vec::new(), sources: self.source.into_iter().collect() },
            created_at: now,
            updated_at: now,
            occurred_at: self.occurred_at,
            valid_from: self.valid_from,
            valid_to: self.valid_to,
            superseded_by: None,
            expires_at: ttl.map(|t| now.saturating_add_seconds(t)),
            version: 1,
            seq: 0,
            seq_in_session: None,
            dedup_key: None,
            witness_count: 1,
            claim: None,
        };
        // A statement about the past alone must not swallow the same one about now.
        memory.dedup_key = if memory.merges_at(now) { dedup_key(&memory) } else { None };
        Ok(memory)
    }
}

/// What `update` takes: `None` leaves a field as it is; an inner `None` clears it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)] // the names and meanings are those of `NewMemory`
pub struct MemoryUpdate {
    pub content: Option<String>,
    pub kind: Option<Kind>,
    pub layer: Option<Layer>,
    #[serde(with = "double")]
    pub role: Option<Option<String>>,
    #[serde(with = "double")]
    pub speaker: Option<Option<String>>,
    #[serde(with = "double")]
    pub occurred_at: Option<Option<Timestamp>>,
    pub tags: Option<Vec<String>>,
    pub metadata: Option<Map<String, Value>>,
    pub importance: Option<f64>,
    pub confidence: Option<f64>,
    /// Seconds to live from now; an inner `None` lifts the limit.
    #[serde(with = "double")]
    pub ttl: Option<Option<f64>>,
    #[serde(with = "double")]
    pub source: Option<Option<String>>,
    #[serde(with = "double")]
    pub trust_level: Option<Option<TrustLevel>>,
    pub info_class: Option<InfoClass>,
    #[serde(with = "double")]
    pub valid_from: Option<Option<Timestamp>>,
    #[serde(with = "double")]
    pub valid_to: Option<Option<Timestamp>>,
    #[serde(with = "double")]
    pub superseded_by: Option<Option<MemoryId>>,
    /// Fails with Conflict unless the memory has this version.
    pub expected_version: Option<u32>,
}

/// JSON `null` as "clear", absence as "leave".
mod double {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<T: Serialize, S: Serializer>(value: &Option<Option<T>>, s: S) -> Result<S::Ok, S::Error> {
        value.as_ref().and_then(Option::as_ref).serialize(s)
    }

    pub fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(d: D) -> Result<Option<Option<T>>, D::Error> {
        Option::<T>::deserialize(d).map(Some)
    }
}

impl MemoryUpdate {
    /// Checks everything against the memory as it stands and gives the patch; InvalidInput when nothing would change.
    pub fn into_patch(self, current: &Memory, now: Timestamp) -> Result<MemoryPatch> {
        if (Self { expected_version: None, ..self.clone() }) == Self::default() {
            return Err(Error::invalid("update needs at least one field to change"));
        }
        for (what, value) in [("speaker", &self.speaker), ("source", &self.source)] {
            check_name(what, value.as_ref().and_then(|v| v.as_deref()), NAME_BYTES_MAX)?;
        }
        check_name("role", self.role.as_ref().and_then(|v| v.as_deref()), ROLE_BYTES_MAX)?;
        if let Some(metadata) = &self.metadata {
            check_metadata(metadata)?;
        }
        if let Some(content) = &self.content {
            check_content(content)?;
            // The words would say one thing and the graph another.
            if current.claim.is_some() && *content != current.content {
                let text = "the text of a relation says what its claim says; forget it and relate what holds instead";
                return Err(Error::invalid(text).with_code("claim_text"));
            }
        }
        check_validity(self.valid_from.unwrap_or(current.valid_from), self.valid_to.unwrap_or(current.valid_to))?;
        check_superseded(self.superseded_by.flatten(), current.id)?;
        let ttl = self.ttl.map(|t| t.map(check_ttl).transpose()).transpose()?;
        let mut patch = MemoryPatch {
            content_hash: self.content.as_deref().map(content_hash),
            content: self.content,
            kind: self.kind,
            layer: self.layer,
            role: self.role,
            speaker: self.speaker,
            occurred_at: self.occurred_at,
            tags: self.tags.map(check_tags).transpose()?,
            metadata: self.metadata,
            importance: unit_interval("importance", self.importance)?,
            confidence: unit_interval("confidence", self.confidence)?,
            expires_at: ttl.map(|t| t.map(|t| now.saturating_add_seconds(t))),
            provenance: self.source.map(|source| Provenance {
                derived_from: current.provenance.derived_from.clone(),
                sources: source.into_iter().collect(),
            }),
            trust_level: self.trust_level,
            info_class: self.info_class,
            valid_from: self.valid_from,
            valid_to: self.valid_to,
            superseded_by: self.superseded_by,
            ..MemoryPatch::default()
        };
        let mut next = current.clone();
        patch.apply_to(&mut next);
        // What no longer holds must not swallow the same statement said again. What is found by its subject stays so.
        let key = match current.dedup_key.filter(is_subject_key) {
            Some(key) => Some(key),
            None if next.merges_at(now) => dedup_key(&next),
            None => None,
        };
        if key != current.dedup_key {
            patch.dedup_key = Some(key);
        }
        Ok(patch)
    }
}

/// A memory from an export, held to the limits of a new one. What can be computed is computed again, not believed.
pub(crate) fn check_imported(memory: &mut Memory, scope: &Scope, now: Timestamp) -> Result<()> {
    check_content(&memory.content)?;
    for (what, value) in [
        ("speaker", &memory.speaker),
        ("session_id", &memory.session_id),
        ("agent_id", &memory.agent_id),
        ("user_id", &memory.user_id),
    ] {
        check_name(what, value.as_deref(), NAME_BYTES_MAX)?;
    }
    check_name("role", memory.role.as_deref(), ROLE_BYTES_MAX)?;
    for source in &memory.provenance.sources {
        check_name("source", Some(source), NAME_BYTES_MAX)?;
    }
    if memory.provenance.sources.len() > SOURCES_MAX || memory.provenance.derived_from.len() > SOURCES_MAX {
        return Err(Error::invalid(format!("a memory has at most {SOURCES_MAX} sources of each sort")));
    }
    memory.tags = check_tags(std::mem::take(&mut memory.tags))?;
    check_metadata(&memory.metadata)?;
    check_validity(memory.valid_from, memory.valid_to)?;
    check_superseded(memory.superseded_by, memory.id)?;
    unit_interval("importance", Some(memory.importance))?;
    unit_interval("strength", Some(memory.strength))?;
    unit_interval("confidence", Some(memory.confidence))?;
    if memory.version == 0 || memory.witness_count == 0 {
        return Err(Error::invalid("version and witness_count start at 1"));
    }
    if let Some(claim) = &memory.claim {
        memory.claim = Some(Claim::new(&claim.subject, &claim.relation, &claim.object, claim.weight)?);
    }
    memory.scope = scope.clone();
    memory.content_hash = content_hash(&memory.content);
    // A statement that was over when it was exported had no key, and must not get one now. One that is past by now merges
    // with nothing either.
    let merges = memory.dedup_key.is_some() && memory.merges_at(now) && !memory.is_expired(now);
    // Nothing but the key says of what subject it is.
    let subject = memory.dedup_key.filter(|key| is_subject_key(key) && !memory.is_expired(now));
    let key = |memory: &Memory| match &memory.claim {
        // That of a fact that was read says nothing of when it holds.
        Some(_) => dedup_key(&Memory { valid_from: None, valid_to: None, ..memory.clone() })
            .filter(|timeless| memory.dedup_key == Some(*timeless))
            .or_else(|| dedup_key(memory)),
        None => dedup_key(memory),
    };
    memory.dedup_key = subject.or_else(|| if merges { key(memory) } else { None });
    Ok(())
}

fn check_content(content: &str) -> Result<()> {
    if content.len() > CONTENT_BYTES_MAX {
        return Err(Error::invalid(format!(
            "content has {} bytes; one memory holds at most {CONTENT_BYTES_MAX} (1 MiB): split it into several",
            content.len()
        ))
        .with_code("content_too_long"));
    }
    if content.trim().is_empty() {
        return Err(Error::invalid("content must not be empty").with_code("content_empty"));
    }
    Ok(())
}

/// The query of `recall` and `context`: not empty, at most 64 KiB.
pub fn check_query(query: &str) -> Result<()> {
    if query.len() > QUERY_BYTES_MAX {
        return Err(Error::invalid(format!("query has {} bytes; at most {QUERY_BYTES_MAX} are allowed", query.len())));
    }
    if query.trim().is_empty() {
        return Err(Error::invalid("query must not be empty"));
    }
    Ok(())
}

/// A name such as a session id: not empty, bounded, without control characters.
pub fn event_name(what: &str, value: Option<&str>) -> Result<()> {
    check_name(what, value, NAME_BYTES_MAX)
}

fn check_name(what: &str, value: Option<&str>, most: usize) -> Result<()> {
    match value {
        None => Ok(()),
        Some(v) if v.trim().is_empty() => {
            Err(Error::invalid(format!("{what} must not be empty; leave it out instead")))
        }
        Some(v) if v.len() > most => {
            Err(Error::invalid(format!("{what} has {} bytes; at most {most} are allowed", v.len())))
        }
        Some(v) if v.chars().any(char::is_control) => {
            Err(Error::invalid(format!("{what} must not contain control characters")))
        }
        Some(_) => Ok(()),
    }
}

/// Tags without doubles; InvalidInput past the bounds.
pub fn check_tags(tags: Vec<String>) -> Result<Vec<String>> {
    let mut out: Vec<String> = Vec::with_capacity(tags.len().min(TAGS_MAX));
    for tag in tags {
        check_name("a tag", Some(&tag), TAG_BYTES_MAX)?;
        if !out.contains(&tag) {
            if out.len() == TAGS_MAX {
                return Err(Error::invalid(format!("a memory has at most {TAGS_MAX} tags")));
            }
            out.push(tag);
        }
    }
    Ok(out)
}

/// Metadata inside its bounds of bytes and depth.
fn check_metadata(metadata: &Map<String, Value>) -> Result<()> {
    fn walk<'a>(values: impl Iterator<Item = &'a Value>, depth: usize) -> Result<()> {
        if depth > METADATA_DEPTH_MAX {
            return Err(Error::invalid(format!("metadata may be at most {METADATA_DEPTH_MAX} levels deep")));
        }
        for value in values {
            match value {
                Value::Array(list) => walk(list.iter(), depth + 1)?,
                Value::Object(map) => walk(map.values(), depth + 1)?,
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
            }
        }
        Ok(())
    }
    if metadata.is_empty() {
        return Ok(());
    }
    walk(metadata.values(), 1)?;
    let mut bytes = ByteCount(0);
    serde_json::to_writer(&mut bytes, metadata).map_err(|e| Error::invalid("metadata is not JSON").with_source(e))?;
    if bytes.0 > METADATA_BYTES_MAX {
        return Err(Error::invalid(format!(
            "metadata has {} bytes of JSON; at most {METADATA_BYTES_MAX} are allowed",
            bytes.0
        )));
    }
    Ok(())
}

struct ByteCount(usize);

impl std::io::Write for ByteCount {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        self.0 += buf.len();
        Ok(buf.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A number of 0 to 1.
fn unit_interval(what: &str, value: Option<f64>) -> Result<Option<f64>> {
    match value {
        Some(v) if !(0.0..=1.0).contains(&v) => Err(Error::invalid(format!("{what} must be a number from 0 to 1"))),
        _ => Ok(value),
    }
}

fn check_ttl(seconds: f64) -> Result<i64> {
    if !(seconds > 0.0 && seconds <= TTL_SECONDS_MAX as f64) {
        return Err(Error::invalid(format!("ttl must be more than 0 and at most {TTL_SECONDS_MAX} seconds")));
    }
    // In range by the check above; a fraction of a second counts as a whole one.
    Ok(seconds.ceil() as i64)
}

fn check_superseded(by: Option<MemoryId>, id: MemoryId) -> Result<()> {
    if by == Some(id) {
        return Err(Error::invalid("superseded_by must name another memory"));
    }
    Ok(())
}

fn check_validity(from: Option<Timestamp>, to: Option<Timestamp>) -> Result<()> {
    match (from, to) {
        (Some(from), Some(to)) if to <= from => Err(Error::invalid("valid_to must be later than valid_from")),
        _ => Ok(()),
    }
}
