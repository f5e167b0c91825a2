//! `changes` and `undo`: what the engine changed by itself, and taking it back.
//!
//! A change is a batch, and its id is that of the batch. The audit row in it says what it added and changed, so that
//! there is no change without a row. Undoing is one batch too, under the versions that the change left: who changed
//! something since then is not overruled.

use crate::{
    ctx::Ctx,
    deps::Deps,
    error::{Error, ErrorKind, Result},
    jobs::embed_debt,
    limits::{AUDIT_ROWS_MAX, PAGE_MAX},
    model::{
        Audit, Memory, MemoryId, MemoryPatch, MemoryVersion, Op, PatchMode, Precondition, Scope, Timestamp, VectorRow,
        WriteBatch, key_of_ended,
    },
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use uuid::Uuid;

/// What `changes` takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ChangesOptions {
    /// Most changes, 1 to 1,000; default 100.
    pub limit: i64,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

impl Default for ChangesOptions {
    fn default() -> Self {
        Self { limit: 100, cursor: None }
    }
}

/// Something that the engine changed by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AutomaticChange {
    /// Opaque id, for `undo`.
    pub id: Uuid,
    /// When.
    pub at: Timestamp,
    /// What happened: `facts`, `derived`, `reflect`, `audit_fix`, `undo`, and what cannot be undone: `fade`, `forget_faded`,
    /// `retire`, `expire`, `trim`, `capacity`, `forget`.
    pub action: String,
    /// The memories that it added or changed; empty where only their number is known.
    pub ids: Vec<MemoryId>,
    /// Whether `undo` can take it back.
    pub undoable: bool,
    /// The change that took it back.
    pub undone_by: Option<Uuid>,
}

/// A page of changes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ChangePage {
    /// Newest first.
    pub items: Vec<AutomaticChange>,
    /// For the next page; `None` on the last one.
    pub next_cursor: Option<String>,
}

/// What `undo` did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undone {
    /// The id of the undoing, itself a change.
    pub id: Uuid,
    /// The change that was taken back.
    pub undone: Uuid,
    /// The memories that are as they were before it. What it added holds no longer, and stays in history.
    pub ids: Vec<MemoryId>,
    /// Whether it had been taken back already, and nothing was done.
    pub replayed: bool,
}

/// A change as its audit row tells it.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Row {
    change: Option<Uuid>,
    #[serde(default)]
    added: Vec<Added>,
    #[serde(default)]
    changed: Vec<Changed>,
    #[serde(default)]
    merged: Option<Merged>,
    undone: Option<Uuid>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Added {
    id: MemoryId,
    version: u32,
    witness_count: u32,
}

#[derive(Debug, Serialize, Deserialize)]
struct Changed {
    id: MemoryId,
    from_version: u32,
    fields: Vec<String>,
    witness_count: u32,
}

/// What was said again and merged into a memory, without a version.
#[derive(Debug, Serialize, Deserialize)]
struct Merged {
    id: MemoryId,
    source: MemoryId,
    importance: f64,
    confidence: f64,
}

impl Row {
    fn ids(&self) -> Vec<MemoryId> {
        let changed = self.changed.iter().map(|c| c.id).chain(self.merged.iter().map(|m| m.id));
        self.added.iter().map(|a| a.id).chain(changed).collect()
    }
}

/// The audit row of what the ops of a batch change, with `more`. `known` has the memories as they are. A put of
/// `merges` merges.
pub(crate) fn change_row(
    action: &str,
    batch: Uuid,
    ops: &[Op],
    known: &[&Memory],
    merges: Option<(&Memory, MemoryId)>,
    more: Value,
) -> Op {
    let mut row = Row { change: Some(batch), ..Row::default() };
    for op in ops {
        match op {
            Op::PutMemory { memory, .. } => match merges.filter(|(into, _)| into.dedup_key == memory.dedup_key) {
                Some((into, source)) => {
                    let (importance, confidence) = (into.importance, into.confidence);
                    row.merged = Some(Merged { id: into.id, source, importance, confidence });
                }
                None => {
                    let Memory { id, version, witness_count, .. } = **memory;
                    row.added.push(Added { id, version, witness_count });
                }
            },
            Op::PatchMemory { id, patch, mode: PatchMode::NewVersion, .. } => {
                let Some(old) = known.iter().find(|m| m.id == *id) else { continue };
                let fields = patch.moved().into_iter().map(str::to_owned).collect();
                let witness_count = patch.witness_count.unwrap_or(old.witness_count);
                row.changed.push(Changed { id: *id, from_version: old.version, fields, witness_count });
            }
            _ => {}
        }
    }
    let mut details = more;
    details["change"] = json!(batch);
    details["added"] = json!(row.added);
    details["changed"] = json!(row.changed);
    if let Some(merged) = row.merged {
        details["merged"] = json!(merged);
    }
    Op::Audit(Audit { action: action.to_owned(), details })
}

/// Adds to a batch the row of a change of which only a number is known, as what it deleted is gone.
pub(crate) fn count_row(batch: &mut WriteBatch, action: &str, mut details: Value) {
    details["change"] = json!(batch.id);
    batch.ops.push(Op::Audit(Audit { action: action.to_owned(), details }));
}

/// Every change that is known, newest first, with what undid it.
async fn known(deps: &Deps, ctx: &Ctx) -> Result<Vec<(Timestamp, String, Uuid, Row, Option<Uuid>)>> {
    let (mut out, mut undone) = (Vec::new(), HashMap::new());
    let (mut before, mut seen) = (None, 0);
    while seen < AUDIT_ROWS_MAX {
        let page = deps.relational.audit_page(ctx, before, PAGE_MAX).await?;
        let Some((last, ..)) = page.last() else { break };
        before = Some(*last);
        seen += page.len();
        for (_, at, audit) in page {
            // Rows of other versions tell less.
            let Ok(row) = serde_json::from_value::<Row>(audit.details) else { continue };
            let Some(id) = row.change else { continue };
            if let Some(of) = row.undone {
                undone.insert(of, id);
            }
            let by = undone.get(&id).copied();
            out.push((at, audit.action, id, row, by));
        }
    }
    Ok(out)
}

pub(crate) async fn changes(deps: &Deps, scope: &Scope, options: ChangesOptions) -> Result<ChangePage> {
    let limit = super::get::page_size(options.limit)?;
    let wrong = || Error::invalid("cursor must be next_cursor of the page before").with_code("invalid_cursor");
    // One batch may have several rows, each of another action.
    let read = |cursor: String| {
        let (id, action) = cursor.split_once(':').ok_or_else(wrong)?;
        Ok::<_, Error>((Uuid::try_parse(id).map_err(|_| wrong())?, action.to_owned()))
    };
    let after = options.cursor.map(read).transpose()?;
    let mut all = known(deps, &deps.ctx(scope)?).await?;
    if let Some((after, last)) = after {
        // One that was trimmed meanwhile was the oldest: nothing is behind it.
        let at =
            all.iter().position(|(_, action, id, ..)| *id == after && *action == last).map_or(all.len(), |at| at + 1);
        all.drain(..at);
    }
    let more = all.len() > limit;
    let told = |(at, action, id, row, undone_by): (Timestamp, String, Uuid, Row, Option<Uuid>)| {
        let ids = row.ids();
        AutomaticChange { id, at, action, undoable: !ids.is_empty() && undone_by.is_none(), ids, undone_by }
    };
    let items: Vec<AutomaticChange> = all.into_iter().take(limit).map(told).collect();
    let next_cursor = items.last().filter(|_| more).map(|change| format!("{}:{}", change.id, change.action));
    Ok(ChangePage { items, next_cursor })
}

pub(crate) async fn undo(deps: &Deps, scope: &Scope, id: Uuid) -> Result<Undone> {
    let ctx = deps.ctx(scope)?;
    let (target, row, undone_by) = find(deps, &ctx, id).await?;
    let ids = row.ids();
    if let Some(by) = undone_by {
        return Ok(Undone { id: by, undone: id, ids, replayed: true });
    }
    if ids.is_empty() {
        let text =
            "this change cannot be undone: what it deleted is gone for good, and strengths that fell rise by feedback";
        return Err(Error::conflict(text).with_code("not_undoable"));
    }
    // Applied once, whoever calls: the second gets the answer of the first.
    let batch = undo_id(target);
    let (preconditions, ops) = match plan(deps, &ctx, (target, &row), batch).await {
        Ok(plan) => plan,
        Err(error) => return raced(deps, &ctx, id, error).await,
    };
    let batch = WriteBatch { id: batch, ..deps.batch_if(preconditions, ops) };
    let done = batch.id;
    if let Err(error) = deps.relational.apply(&ctx, batch).await {
        let error = match error.kind() {
            ErrorKind::NotFound => gone(),
            ErrorKind::Conflict if error.code() == "version_changed" => changed_since(),
            _ => error,
        };
        return raced(deps, &ctx, id, error).await;
    }
    deps.background.nudge(scope);
    Ok(Undone { id: done, undone: id, ids, replayed: false })
}

/// The change to take back, and what took it back already. Where that was itself taken back, the last of them is the
/// one.
async fn find(deps: &Deps, ctx: &Ctx, id: Uuid) -> Result<(Uuid, Row, Option<Uuid>)> {
    let mut all: HashMap<Uuid, (Row, Option<Uuid>)> =
        known(deps, ctx).await?.into_iter().map(|(_, _, own, row, by)| (own, (row, by))).collect();
    let by_of = |id: Uuid| all.get(&id).and_then(|(_, by)| *by);
    let mut target = id;
    while let Some(again) = by_of(target).and_then(by_of) {
        target = again;
    }
    let (row, by) = all.remove(&target).ok_or_else(|| {
        Error::not_found("there is no such change; the oldest are forgotten by maintain").with_code("no_such_change")
    })?;
    Ok((target, row, by))
}

/// What failed because somebody undid it at the same time did not fail.
async fn raced(deps: &Deps, ctx: &Ctx, id: Uuid, error: Error) -> Result<Undone> {
    match find(deps, ctx, id).await {
        Ok((_, row, Some(by))) => Ok(Undone { id: by, undone: id, ids: row.ids(), replayed: true }),
        _ => Err(error),
    }
}

fn gone() -> Error {
    Error::conflict("a memory of this change was deleted since; there is nothing to go back to")
        .with_code("changed_since")
}

fn changed_since() -> Error {
    Error::conflict("a memory of this change was changed since; look at history(id) and use update(id, ...)")
        .with_code("changed_since")
}

fn undo_id(change: Uuid) -> Uuid {
    let mut bytes = [0; 16];
    let hash = blake3::derive_key("rae undo of a change", change.as_bytes());
    bytes.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}

/// What moves everything back, under the versions that the change left.
async fn plan(deps: &Deps, ctx: &Ctx, (id, row): (Uuid, &Row), batch: Uuid) -> Result<(Vec<Precondition>, Vec<Op>)> {
    let (mut back, mut sources): (Vec<(Memory, MemoryPatch)>, BTreeMap<MemoryId, u32>) = Default::default();
    for added in &row.added {
        let memory = present(deps, ctx, added.id, added.witness_count).await?;
        unchanged(deps, ctx, &memory, added.version, ADDED).await?;
        let patch = ended(&memory);
        back.push((memory, patch));
    }
    for changed in &row.changed {
        let memory = present(deps, ctx, changed.id, changed.witness_count).await?;
        let fields: Vec<&str> = changed.fields.iter().map(String::as_str).collect();
        unchanged(deps, ctx, &memory, changed.from_version.saturating_add(1), &fields).await?;
        let old = version(deps, ctx, &memory, changed.from_version).await?;
        sources.extend(sources_of(deps, ctx, &old).await?);
        let patch = kept_marks(MemoryPatch::back_to(&old, &fields), &memory);
        back.push((memory, patch));
    }
    if let Some(merged) = &row.merged {
        let memory = live(deps, ctx, merged.id).await?;
        let patch = unmerged(&memory, merged).ok_or_else(changed_since)?;
        back.push((memory, patch));
    }
    let back_ids: BTreeSet<MemoryId> = back.iter().map(|(memory, _)| memory.id).collect();
    let still_there = sources.into_iter().filter(|(id, _)| !back_ids.contains(id));
    let mut preconditions: Vec<Precondition> =
        still_there.map(|(id, version)| Precondition::VersionIs(id, version)).collect();
    let mut ops = Vec::new();
    for (memory, patch) in &back {
        preconditions.push(Precondition::VersionIs(memory.id, memory.version));
        let vector = if patch.content.is_some() {
            let embedder = deps.embedder();
            preconditions.push(Precondition::EmbedderIs(embedder.id().to_owned()));
            let mut next = memory.clone();
            patch.apply_to(&mut next);
            let embedded = embed_debt::embed_documents(deps, ctx, &*embedder, std::slice::from_ref(&next)).await;
            if let Some(error) = embedded.failed {
                ops.push(embed_debt::job(deps, &[memory.id], &error));
            }
            let row = |vector| VectorRow { embedder: embedder.id().to_owned(), vector };
            Some(embedded.vectors.into_iter().next().flatten().map(row))
        } else {
            None
        };
        let (id, patch) = (memory.id, Box::new(patch.clone()));
        ops.push(Op::PatchMemory { id, patch, mode: PatchMode::NewVersion, vector });
    }
    let known: Vec<&Memory> = back.iter().map(|(memory, _)| memory).collect();
    let audit = change_row("undo", batch, &ops, &known, None, json!({ "undone": id }));
    ops.push(audit);
    Ok((preconditions, ops))
}

/// The sources of what a memory said before, with their versions. What was forgotten since must not come back by what repeats it, nor
/// be named as a source again.
async fn sources_of(deps: &Deps, ctx: &Ctx, old: &Memory) -> Result<Vec<(MemoryId, u32)>> {
    let ids = &old.provenance.derived_from;
    let found = deps.relational.get(ctx, ids).await?;
    let now = deps.clock.now();
    let live = found.into_iter().map(|m| m.filter(|m| !m.is_expired(now)).map(|m| (m.id, m.version)));
    live.collect::<Option<Vec<_>>>().ok_or_else(|| {
        Error::conflict("this change cannot be undone: a source of what was said before it was forgotten since")
            .with_code("not_undoable")
    })
}

async fn live(deps: &Deps, ctx: &Ctx, id: MemoryId) -> Result<Memory> {
    let now = deps.clock.now();
    let memory = deps.relational.get(ctx, &[id]).await?.into_iter().next().flatten();
    memory.filter(|m| !m.is_expired(now)).ok_or_else(gone)
}

/// A memory of the change; Conflict where it was said again since.
async fn present(deps: &Deps, ctx: &Ctx, id: MemoryId, witness_count: u32) -> Result<Memory> {
    let memory = live(deps, ctx, id).await?;
    if memory.witness_count == witness_count { Ok(memory) } else { Err(changed_since()) }
}

/// What of a memory that was added must be as it was.
const ADDED: &[&str] = &[
    "content",
    "kind",
    "layer",
    "tags",
    "metadata",
    "occurred_at",
    "valid_from",
    "valid_to",
    "superseded_by",
    "expires_at",
    "claim",
];

/// Conflict where a field is not as the version that the change left has it. What others changed beside these stays,
/// and what was changed and taken back does not count.
async fn unchanged(deps: &Deps, ctx: &Ctx, memory: &Memory, left: u32, fields: &[&str]) -> Result<()> {
    if memory.version == left {
        return Ok(());
    }
    let left = version(deps, ctx, memory, left).await?;
    let of = |memory| MemoryPatch { dedup_key: None, ..MemoryPatch::back_to(memory, fields) };
    if of(memory) == of(&left) { Ok(()) } else { Err(changed_since()) }
}

async fn version(deps: &Deps, ctx: &Ctx, memory: &Memory, version: u32) -> Result<Memory> {
    let history = deps.relational.history(ctx, memory.id).await?;
    let found = history.into_iter().map(|MemoryVersion { memory, .. }| memory).find(|m| m.version == version);
    found.ok_or_else(|| {
        Error::conflict("this change cannot be undone: the version before it is forgotten").with_code("not_undoable")
    })
}

/// What was added held for no time. It stays, so that it is neither learnt again from what it was learnt from, nor
/// lost.
fn ended(memory: &Memory) -> MemoryPatch {
    let end = Timestamp::from_micros(memory.valid_start().micros().saturating_add(1)).ok();
    let valid_to = end.or_else(|| Some(memory.valid_start()));
    MemoryPatch { valid_to: Some(valid_to), dedup_key: key_of_ended(memory), ..MemoryPatch::default() }
}

/// How far a session was looked at, and what a model was asked about, is not taken back: the same would be learnt, and paid for,
/// again at once.
fn kept_marks(mut patch: MemoryPatch, present: &Memory) -> MemoryPatch {
    for mark in ["upto", "asked", "model_failed"] {
        if let (Some(old), Some(value)) = (&mut patch.metadata, present.metadata.get(mark)) {
            old.insert(mark.to_owned(), value.clone());
        }
    }
    patch
}

/// Without the source that was merged into it; `None` where that is no longer there.
fn unmerged(memory: &Memory, merged: &Merged) -> Option<MemoryPatch> {
    let mut provenance = memory.provenance.clone();
    let sources = &mut provenance.derived_from;
    let at = sources.iter().position(|id| *id == merged.source)?;
    sources.remove(at);
    Some(MemoryPatch {
        provenance: Some(provenance),
        witness_count: Some(memory.witness_count.saturating_sub(1).max(1)),
        importance: Some(merged.importance),
        confidence: Some(merged.confidence),
        ..MemoryPatch::default()
    })
}
