//! From the engine's answers to JSON. Most serialise as they are; a memory is flattened to the names that all surfaces show.

use crate::{
    error::{Error, Result},
    model::{JobState, Memory, MemoryVersion},
    ops::Page,
};
use serde::Serialize;
use serde_json::{Value, json};

/// A value whose own JSON is what surfaces show.
pub(super) fn plain<T: Serialize + ?Sized>(value: &T) -> Result<Value> {
    serde_json::to_value(value).map_err(|e| Error::internal("an answer could not be written as JSON").with_source(e))
}

/// What `requeue_job` answers.
pub(super) fn requeued(id: uuid::Uuid) -> Value {
    json!({ "id": id, "state": JobState::Queued.as_str() })
}

/// A memory: scope and provenance flattened, the hash as hexadecimal digits, no inner keys.
pub fn memory(m: &Memory) -> Result<Value> {
    let mut value = plain(m)?;
    if let Some(map) = value.as_object_mut() {
        for inner in ["scope", "provenance", "dedup_key"] {
            map.remove(inner);
        }
        map.insert("tenant".into(), m.scope.tenant().into());
        map.insert("project".into(), m.scope.project().into());
        map.insert("sources".into(), plain(&m.provenance.sources)?);
        map.insert("derived_from".into(), plain(&m.provenance.derived_from)?);
        map.insert("content_hash".into(), blake3::Hash::from_bytes(m.content_hash).to_hex().as_str().into());
    }
    Ok(value)
}

/// A memory as it was, or is.
pub fn version(v: &MemoryVersion) -> Result<Value> {
    let mut value = memory(&v.memory)?;
    if let Some(map) = value.as_object_mut() {
        map.insert("replaced_at".into(), plain(&v.replaced_at)?);
    }
    Ok(value)
}

pub(super) fn versions(versions: &[MemoryVersion]) -> Result<Value> {
    versions.iter().map(version).collect()
}

pub(super) fn page(page: &Page) -> Result<Value> {
    let items: Value = page.items.iter().map(memory).collect::<Result<_>>()?;
    Ok(json!({ "items": items, "next_cursor": page.next_cursor }))
}

/// A memory from what [`memory`] made of it.
#[cfg(feature = "remote")]
pub(crate) fn read_memory(mut value: Value) -> Result<Memory, serde_json::Error> {
    use serde::de::Error as _;
    if let Some(map) = value.as_object_mut() {
        let mut take = |name: &str| map.remove(name).unwrap_or_default();
        let scope = json!({ "tenant": take("tenant"), "project": take("project") });
        let provenance = json!({ "sources": take("sources"), "derived_from": take("derived_from") });
        let hash = take("content_hash").as_str().and_then(|hash| blake3::Hash::from_hex(hash).ok());
        let hash = hash.ok_or_else(|| serde_json::Error::custom("content_hash is not a hash"))?;
        let more = [("scope", scope), ("provenance", provenance), ("content_hash", json!(hash.as_bytes()))];
        map.extend(more.map(|(name, value)| (name.to_owned(), value)));
    }
    serde_json::from_value(value)
}

/// A memory as it was, or is, from what [`version`] made of it.
#[cfg(feature = "remote")]
pub(crate) fn read_version(mut value: Value) -> Result<MemoryVersion, serde_json::Error> {
    let replaced_at = value.get_mut("replaced_at").map(Value::take).unwrap_or_default();
    Ok(MemoryVersion { memory: read_memory(value)?, replaced_at: serde_json::from_value(replaced_at)? })
}

/// A change as the arguments of `update`: what stays is absent, what is cleared is null.
#[cfg(feature = "remote")]
pub(crate) fn changes(update: &crate::ingest::MemoryUpdate) -> Result<serde_json::Map<String, Value>> {
    let mut value = plain(update)?;
    let Some(map) = value.as_object_mut() else { return Err(Error::internal("a change is not an object")) };
    macro_rules! drop_absent {
        ($($field:ident)+) => { $(if update.$field.is_none() { map.remove(stringify!($field)); })+ };
    }
    drop_absent!(content kind layer role speaker occurred_at tags metadata importance confidence ttl source trust_level
        info_class valid_from valid_to superseded_by expected_version);
    Ok(std::mem::take(map))
}
