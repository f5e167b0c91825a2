//! `snapshot` and `snapshots`: instants of the knowledge graph with a name.
//!
//! A snapshot copies nothing: what was known at an instant can be read from the memories and their history. So it is a memory that
//! says which instant a label means. As such it is exported, imported and erased with its project; as it held for a microsecond
//! that is over, no recall finds it; and its tags keep it from fading.

use super::remember::{Along, parse, remember_with};
use crate::{
    Ctx,
    deps::Deps,
    error::{Error, ErrorKind, Result},
    ingest::{NewMemory, event_name},
    limits::GRAPH_SNAPSHOTS_MAX,
    model::{Filter, Kind, Layer, Memory, MemoryId, Precondition, Scan, Scope, Timestamp, subject_key},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// What marks a snapshot.
const TAG: &str = "rae:snapshot";
/// Keeps it from fading, as the policy of ageing is by default.
const PINNED: &str = "pinned";
/// Where its metadata has the label.
const LABEL: &str = "snapshot";

/// An instant of the knowledge graph with a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The memory that holds it; `forget` of it forgets the snapshot.
    pub id: MemoryId,
    /// Its name.
    pub label: String,
    /// The instant: what was stored by then is in it.
    pub at: Timestamp,
}

pub(crate) async fn snapshot(deps: &Deps, scope: &Scope, label: &str) -> Result<Snapshot> {
    let ctx = deps.ctx(scope)?;
    event_name("label", Some(label))?;
    let all = all(deps, &ctx).await?;
    if let Some(known) = all.iter().find(|s| s.label == label) {
        return Err(taken().with_details(json!({ "id": known.id, "at": known.at })));
    }
    if all.len() >= GRAPH_SNAPSHOTS_MAX {
        let message = format!("a project has at most {GRAPH_SNAPSHOTS_MAX} snapshots; forget old ones first");
        return Err(Error::new(ErrorKind::Conflict, message).with_code("too_many_snapshots"));
    }
    let now = deps.clock.now();
    let new = NewMemory {
        kind: Some(Kind::Document),
        layer: Some(Layer::Semantic),
        tags: vec![TAG.to_owned(), PINNED.to_owned()],
        metadata: Some(Map::from_iter([(LABEL.to_owned(), Value::from(label))])),
        importance: Some(1.0),
        valid_from: Some(Timestamp::from_micros(now.micros().saturating_sub(1))?),
        valid_to: Some(now),
        ..NewMemory::new(format!("Snapshot of the knowledge graph: {label}"))
    };
    let parsed = parse(deps, scope, vec![new])?.into_iter().next();
    let mut item = parsed.ok_or_else(|| Error::internal("a snapshot was lost"))?;
    // Of two who give one label at the same time one is refused.
    let key = subject_key("snapshot", &[label]);
    item.memory.dedup_key = Some(key);
    let along = Along { preconditions: vec![Precondition::KeyFree(key)], ops: Vec::new() };
    let receipt = match remember_with(deps, scope, item, along).await {
        Err(error) if error.code() == "exists" => return Err(taken()),
        receipt => receipt?,
    };
    let held = deps.relational.get(&ctx, &[receipt.id]).await?.into_iter().next().flatten();
    held.as_ref().and_then(read).ok_or_else(|| Error::not_found("the snapshot was forgotten at once"))
}

fn taken() -> Error {
    let message = "there is a snapshot of this name; choose another one, or forget the memory that holds it";
    Error::conflict(message).with_code("snapshot_exists")
}

pub(crate) async fn snapshots(deps: &Deps, scope: &Scope) -> Result<Vec<Snapshot>> {
    all(deps, &deps.ctx(scope)?).await
}

/// The instant that a label means. NotFound for a label that is none.
pub(super) async fn instant_of(deps: &Deps, ctx: &Ctx, label: &str) -> Result<Timestamp> {
    let found = all(deps, ctx).await?.into_iter().find(|s| s.label == label);
    let message = "there is no snapshot of this name in this project; `snapshots` lists them";
    found.map(|s| s.at).ok_or_else(|| Error::not_found(message).with_code("snapshot_not_found"))
}

/// All of them, oldest first. Of two with one label, which an earlier version may have made or an import brought, the first one counts.
async fn all(deps: &Deps, ctx: &Ctx) -> Result<Vec<Snapshot>> {
    let filter = Filter::parse(&json!({ "and": [{ "kind": "document" }, { "tags": { "contains": TAG } }] }))?;
    let scan = Scan { filter: Some(filter), after: None, limit: GRAPH_SNAPSHOTS_MAX };
    let mut all: Vec<Snapshot> = Vec::new();
    for snapshot in deps.relational.scan(ctx, &scan).await?.iter().filter_map(read) {
        if all.iter().all(|known| known.label != snapshot.label) {
            all.push(snapshot);
        }
    }
    Ok(all)
}

fn read(memory: &Memory) -> Option<Snapshot> {
    let label = memory.metadata.get(LABEL)?.as_str()?.to_owned();
    Some(Snapshot { id: memory.id, label, at: memory.created_at })
}
