//! From the engine's answers to JSON. Most serialise as they are; a memory is flattened to the names that all surfaces show.

use crate::{
    error::{Error, Result},
    model::{Memory, MemoryVersion},
    ops::Page,
};
use serde::Serialize;
use serde_json::{Value, json};

/// A value whose own JSON is what surfaces show.
pub(super) fn plain<T: Serialize + ?Sized>(value: &T) -> Result<Value> {
    serde_json::to_value(value).map_err(|e| Error::internal("an answer could not be written as JSON").with_source(e))
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
