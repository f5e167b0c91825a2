//! The name of an erased session or user, which a receipt holds as a keyed hash: where what the store keeps still says it.

use super::{ErasureReport, RUN_PAGE};
use crate::{
    ctx::Ctx,
    deps::Deps,
    error::{Error, Result},
    limits::PAGE_MAX,
    model::{Memory, RecordKind, Scope},
};
use serde_json::Value;

/// The member of a receipt that holds the hash.
pub(in crate::ops) const FIELD: &str = "name_keyed_blake3";

/// The hash of the name of a session or user of a project.
pub(in crate::ops) fn name_hash(key: &[u8; 32], scope: &Scope, kind: &str, name: &str) -> blake3::Hash {
    let mut hash = blake3::Hasher::new_keyed(key);
    for part in [scope.tenant(), scope.project(), kind, name] {
        hash.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
    }
    hash.finalize()
}

/// The erased name as a receipt knows it.
pub(super) struct Name {
    key: [u8; 32],
    scope: Scope,
    kind: &'static str,
    hash: blake3::Hash,
}

impl Name {
    /// That of a receipt; `None` where it is of neither a session nor a user, or of a version that did not say.
    pub fn of(receipt: &Value, key: [u8; 32], scope: &Scope) -> Result<Option<Self>> {
        let Some(hash) = receipt.get(FIELD) else { return Ok(None) };
        let kind = match receipt.get("what").and_then(|what| what.get("scope")).and_then(Value::as_str) {
            Some("session") => "session",
            Some("user") => "user",
            _ => return Ok(None),
        };
        let hash = hash.as_str().and_then(|hex| blake3::Hash::from_hex(hex).ok()).ok_or_else(|| {
            let text = "this is not a receipt of forget: the hash of its name is not 64 hexadecimal digits";
            Error::invalid(text).with_code("not_a_receipt")
        })?;
        Ok(Some(Self { key, scope: scope.clone(), kind, hash }))
    }

    fn is(&self, name: &str) -> bool {
        name_hash(&self.key, &self.scope, self.kind, name) == self.hash
    }

    /// Whether a memory bears it.
    pub fn is_of(&self, memory: &Memory) -> bool {
        let name = if self.kind == "session" { &memory.session_id } else { &memory.user_id };
        name.as_deref().is_some_and(|name| self.is(name))
    }

    /// How often JSON says it where it names sessions or users: a word elsewhere may be the same by chance.
    fn times_in(&self, json: &Value, named: bool) -> u64 {
        match json {
            Value::String(text) => u64::from(named && self.is(text)),
            Value::Array(list) => list.iter().map(|item| self.times_in(item, named)).sum(),
            Value::Object(map) => {
                let names = |key: &str| key.strip_suffix("_id") == Some(self.kind);
                map.iter().map(|(key, item)| self.times_in(item, named || names(key))).sum()
            }
            _ => 0,
        }
    }
}

/// Jobs and stored documents that say it. With `again` the name is in use again since the erasure, and may be said.
pub(super) async fn check(deps: &Deps, ctx: &Ctx, name: &Name, again: bool, report: &mut ErasureReport) -> Result<()> {
    let jobs = deps.relational.jobs(ctx, PAGE_MAX).await?;
    let mut found: u64 = jobs.iter().map(|job| name.times_in(&job.payload, false)).sum();
    for kind in RecordKind::ALL {
        let mut after: Option<String> = None;
        loop {
            let page = deps.relational.records(ctx, kind, after.as_deref(), RUN_PAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.name.clone());
            found += page.iter().map(|record| name.times_in(&record.body, false)).sum::<u64>();
        }
    }
    if again {
        report.add_kept(
            "names",
            found,
            "the session or user has memories of after the erasure: it is named by their right",
        );
    } else {
        let note = "a job that waits or a stored set or run of questions names the erased session or user; run \
                    maintain, or remove the set";
        report.add("names", found, note);
    }
    Ok(())
}
