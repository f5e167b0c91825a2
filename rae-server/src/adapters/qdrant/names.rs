//! What things are called on the server. Tenant, project and memory ids become hashes there: two of them never meet, whatever
//! signs their names hold, and the names of tenants lie in no second place.

use rae_core::{
    model::{MemoryId, Scope},
    ports::Collection,
};
use serde_json::{Value, json};
use uuid::Uuid;

/// Payload field of the tenant: the partition key.
pub(super) const TENANT: &str = "tenant";
/// Payload field of tenant and project together.
pub(super) const SCOPE: &str = "scope";
/// Payload field of the memory's id.
pub(super) const MEMORY: &str = "memory";
/// Longest part of an embedder's name in that of its collection.
const READABLE: usize = 40;

/// One scope's names.
#[derive(Debug)]
pub(super) struct Names {
    tenant: String,
    scope: String,
    key: [u8; 32],
}

impl Names {
    pub fn of(scope: &Scope) -> Self {
        let key = hash("scope", &[scope.tenant().as_bytes(), scope.project().as_bytes()]);
        Self { tenant: hex(&hash("tenant", &[scope.tenant().as_bytes()])), scope: hex(&key), key }
    }

    /// The point of a memory.
    pub fn point(&self, id: MemoryId) -> Uuid {
        uuid(&hash("point", &[&self.key, id.0.as_bytes()]))
    }

    /// The point that holds the watermark.
    pub fn mark(&self) -> Uuid {
        uuid(&hash("mark", &[&self.key]))
    }

    /// What is stored beside a vector.
    pub fn payload(&self, id: MemoryId) -> Value {
        json!({ TENANT: self.tenant, SCOPE: self.scope, MEMORY: id.0.to_string() })
    }

    /// What is stored beside the watermark, which is in no scope: no search finds it.
    pub fn mark_payload(&self, applied: u64, settled: u64) -> Value {
        // As text: the server's whole numbers have a sign.
        json!({ TENANT: self.tenant, "applied": applied.to_string(), "settled": settled.to_string() })
    }

    /// The filter for the scope, and for these points where given. Equality alone.
    pub fn filter(&self, points: Option<&[Uuid]>) -> Value {
        let mut must = vec![
            json!({ "key": TENANT, "match": { "value": self.tenant } }),
            json!({ "key": SCOPE, "match": { "value": self.scope } }),
        ];
        must.extend(points.map(|points| json!({ "has_id": points })));
        json!({ "must": must })
    }
}

/// A collection's name: readable, of safe signs, and different for different stores, embedders and dimensions.
pub(super) fn collection(prefix: &str, of: &Collection) -> String {
    let model = of.embedder.split(['/', '@']).next().unwrap_or_default();
    let safe = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c.to_ascii_lowercase() } else { '_' };
    let readable: String = model.chars().take(READABLE).map(safe).collect();
    let dim = of.dim.to_string();
    let hash = hex(&hash("collection", &[of.store.as_bytes(), of.embedder.as_bytes(), dim.as_bytes()]));
    format!("{prefix}_{readable}_{dim}_{hash}")
}

/// Each part is preceded by its length, so that no two lists of parts join to the same bytes.
fn hash(what: &str, parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("rae 2026 names on a vector server");
    for part in std::iter::once(&what.as_bytes()).chain(parts) {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
    }
    *hasher.finalize().as_bytes()
}

fn hex(hash: &[u8; 32]) -> String {
    hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

fn uuid(hash: &[u8; 32]) -> Uuid {
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(hash).for_each(|(to, from)| *to = *from);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test reports by panicking
mod tests {
    use super::*;

    fn names(tenant: &str, project: &str) -> Names {
        Names::of(&Scope::new(tenant, project).unwrap())
    }

    #[test]
    fn one_memory_id_is_another_point_in_every_scope_and_names_do_not_run_together() {
        let id = MemoryId(Uuid::from_u128(7));
        let scopes = [("ab", "c"), ("a", "bc"), ("A", "bc"), ("a*", "bc"), ("a", "bc ")];
        let points: std::collections::BTreeSet<_> = scopes.iter().map(|(t, p)| names(t, p).point(id)).collect();
        assert_eq!(points.len(), scopes.len());
        assert_eq!(names("a", "x").tenant, names("a", "y").tenant);
        assert_ne!(names("a", "x").mark(), names("a", "y").mark());
        assert_eq!(names("a", "b").point(id), names("a", "b").point(id), "the same for every process");
    }

    #[test]
    fn a_collection_has_a_safe_name_of_its_own() {
        let of = |store: &str, embedder: &str, dim| Collection { store: store.into(), embedder: embedder.into(), dim };
        let name = collection("rae", &of("s", "../Mini LM:é*@1/4", 4));
        assert!(name.starts_with("rae_") && name.len() < 120, "{name}");
        assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-'), "{name}");
        let others = [of("t", "m@1/4", 4), of("s", "m@2/4", 4), of("s", "m@1/8", 8), of("s", "m@1/4", 4)];
        let names: std::collections::BTreeSet<_> = others.iter().map(|of| collection("rae", of)).collect();
        assert_eq!(names.len(), others.len());
        let long = "x".repeat(5_000);
        assert!(collection("rae", &of("s", &long, 4)).len() < 120);
    }
}
