//! `changes` and `undo`: what the engine changed by itself, and taking it back.
//!
//! A change is a batch, and its id is that of the batch, or follows from the one memory that it adds. The audit row in it says what it added and changed, so that
//! there is no change without a row. Undoing is one batch too, under the versions that the change left: who changed
//! something since then is not overruled.

mod fades;
mod keys;
mod numbers;
mod taken_back;

pub(crate) use fades::Faded;

use crate::{
    ctx::Ctx,
    deps::Deps,
    error::{Error, ErrorKind, Result},
    facts::WITHDRAWN,
    jobs::embed_debt,
    limits::{AUDIT_PAGE, AUDIT_ROWS_MAX},
    model::{
        Audit, Memory, MemoryId, MemoryPatch, MemoryVersion, Op, PatchMode, Precondition, Scope, Timestamp, VectorRow,
        WriteBatch, key_of_ended,
    },
};
use numbers::{NUMBERS, Numbers, unmerged};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use uuid::Uuid;

/// Attempts of `undo` against others who touch the same memories at the same time.
const ATTEMPTS: usize = 8;

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
    /// What happened: `facts`, `derived`, `reflect`, `audit_fix`, `resume`, `joined`, `parted`, `fade`, `undo`, and what cannot be
    /// undone: `communities`, `forget_faded`, `retire`, `expire`, `trim`, `capacity`, `forget`.
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
    /// Strengths that moved in place.
    #[serde(default)]
    faded: Vec<Faded>,
    undone: Option<Uuid>,
    /// The memory that facts were read from, and whether it says them no longer.
    #[serde(default, skip_serializing)]
    source: Value,
    #[serde(default, skip_serializing)]
    withdrawn: Value,
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
    /// What it left; rows of versions before this one do not say.
    #[serde(default)]
    left: Option<Numbers>,
}

/// What was said again and merged into a memory, without a version.
#[derive(Debug, Serialize, Deserialize)]
struct Merged {
    id: MemoryId,
    source: MemoryId,
    importance: f64,
    confidence: f64,
    /// What it left; rows of versions before this one do not say.
    #[serde(default)]
    left: Option<Numbers>,
}

impl Row {
    fn ids(&self) -> Vec<MemoryId> {
        let changed = self.added.iter().map(|a| a.id).chain(self.changed.iter().map(|c| c.id));
        // What was said again may have changed as well.
        let merged = self.merged.iter().map(|m| m.id).filter(|id| self.changed.iter().all(|c| c.id != *id));
        changed.chain(merged).chain(self.faded.iter().map(|faded| faded.0)).collect()
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
                    let mut after = into.clone();
                    after.absorb(memory);
                    let left = Some(Numbers::of(&after));
                    row.merged = Some(Merged { id: into.id, source, importance, confidence, left });
                }
                None => {
                    let Memory { id, version, witness_count, .. } = **memory;
                    row.added.push(Added { id, version, witness_count });
                }
            },
            Op::PatchMemory { id, patch, mode: PatchMode::NewVersion, .. } => {
                let Some(old) = known.iter().find(|m| m.id == *id) else { continue };
                let fields = patch.moved().into_iter().map(str::to_owned).collect();
                let mut after = Memory::clone(old);
                patch.apply_to(&mut after);
                // What was withdrawn and is read again is as new.
                let is_withdrawn = |m: &Memory| m.metadata.contains_key(WITHDRAWN);
                if action == "facts" && is_withdrawn(old) && !is_withdrawn(&after) {
                    let (version, witness_count) = (old.version.saturating_add(1), after.witness_count);
                    row.added.push(Added { id: *id, version, witness_count });
                    continue;
                }
                let (witness_count, left) = (after.witness_count, Some(Numbers::of(&after)));
                row.changed.push(Changed { id: *id, from_version: old.version, fields, witness_count, left });
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

/// A change with where its row stands. Of a fade the row has no strengths, as there may be many: [`whole`] reads them.
struct Known {
    no: u64,
    at: Timestamp,
    action: String,
    id: Uuid,
    row: Row,
    undoable: bool,
    undone_by: Option<Uuid>,
}

/// Every change that is known, newest first, with what undid it.
async fn known(deps: &Deps, ctx: &Ctx) -> Result<Vec<Known>> {
    let (mut out, mut undone) = (Vec::new(), HashMap::new());
    let (mut before, mut seen) = (None, 0);
    while seen < AUDIT_ROWS_MAX {
        let page = deps.relational.audit_page(ctx, before, AUDIT_PAGE).await?;
        let Some((last, ..)) = page.last() else { break };
        before = Some(*last);
        seen += page.len();
        for (no, at, audit) in page {
            // Rows of other versions tell less.
            let Ok(mut row) = serde_json::from_value::<Row>(audit.details) else { continue };
            let Some(id) = row.change else { continue };
            if let Some(of) = row.undone {
                undone.insert(of, id);
            }
            let undoable = !row.ids().is_empty();
            row.faded = Vec::new();
            // One batch may have several rows: what undid it undid those that can be undone.
            let undone_by = undone.get(&id).copied().filter(|_| undoable);
            out.push(Known { no, at, action: audit.action, id, row, undoable, undone_by });
        }
    }
    Ok(out)
}

/// The whole row of a change.
async fn whole(deps: &Deps, ctx: &Ctx, known: Known) -> Result<Row> {
    if !known.row.ids().is_empty() || !known.undoable {
        return Ok(known.row);
    }
    let page = deps.relational.audit_page(ctx, Some(known.no.saturating_add(1)), 1).await?;
    let row = page.into_iter().next().filter(|(no, ..)| *no == known.no);
    let row = row.and_then(|(.., audit)| serde_json::from_value::<Row>(audit.details).ok());
    row.filter(|row| row.change == Some(known.id)).ok_or_else(no_such_change)
}

fn no_such_change() -> Error {
    Error::not_found("there is no such change; the oldest are forgotten by maintain").with_code("no_such_change")
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
    let ctx = deps.ctx(scope)?;
    let mut all = known(deps, &ctx).await?;
    if let Some((after, last)) = after {
        // One that was trimmed meanwhile was the oldest: nothing is behind it.
        let at = all.iter().position(|one| one.id == after && one.action == last).map_or(all.len(), |at| at + 1);
        all.drain(..at);
    }
    let more = all.len() > limit;
    let mut items = Vec::with_capacity(limit.min(all.len()));
    for one in all.into_iter().take(limit) {
        let (id, at, action, undone_by) = (one.id, one.at, one.action.clone(), one.undone_by);
        let undoable = one.undoable && undone_by.is_none();
        // Trimmed between the two looks, it is as good as not there.
        let ids = whole(deps, &ctx, one).await.map_or_else(|_| Vec::new(), |row| row.ids());
        items.push(AutomaticChange { id, at, action, undoable: undoable && !ids.is_empty(), ids, undone_by });
    }
    let next_cursor = items.last().filter(|_| more).map(|change| format!("{}:{}", change.id, change.action));
    Ok(ChangePage { items, next_cursor })
}

pub(crate) async fn undo(deps: &Deps, scope: &Scope, id: Uuid) -> Result<Undone> {
    let ctx = deps.ctx(scope)?;
    let Found { id: target, row, action, undone, taken } = find(deps, &ctx, id).await?;
    if let Some((by, ids)) = undone {
        return Ok(Undone { id: by, undone: id, ids, replayed: true });
    }
    let mut ids = row.ids();
    if ids.is_empty() {
        return Err(final_change(&action));
    }
    // Applied once, whoever calls: the second gets the answer of the first.
    let batch = undo_id(target);
    let is_fade = !row.faded.is_empty();
    let notes = taken_back::noted(deps, &ctx, taken).await?;
    for _ in 0..ATTEMPTS {
        let planned = match is_fade {
            true => fades::plan(deps, &ctx, (target, &row), batch).await.map(|ops| (Vec::new(), ops)),
            false => plan(deps, &ctx, (target, &row), batch).await,
        };
        let (preconditions, mut ops) = match planned {
            Ok(plan) => plan,
            Err(error) => return raced(deps, &ctx, id, error).await,
        };
        ops.extend(notes.clone());
        let (raised, keys) = (fades::raised(&ops), keys::given_back(&ops));
        let write = WriteBatch { id: batch, ..deps.batch_if(preconditions, ops) };
        match deps.relational.apply(&ctx, write).await {
            Ok(applied) => {
                if is_fade {
                    ids = fades::given_back(&raised, &applied);
                }
                deps.background.nudge(scope);
                return Ok(Undone { id: batch, undone: id, ids, replayed: false });
            }
            // Touched between the look and the write: whether that is in the way the next look says.
            Err(error) if error.kind() == ErrorKind::NotFound || error.code() == "version_changed" => {}
            Err(error) if error.code() == "duplicate" => {
                let error = keys::said_elsewhere(deps, &ctx, &keys).await?;
                return raced(deps, &ctx, id, error).await;
            }
            Err(error) => return raced(deps, &ctx, id, error).await,
        }
    }
    raced(deps, &ctx, id, changed_since()).await
}

/// Why a change of which only a number is known stays.
fn final_change(action: &str) -> Error {
    let text = match action {
        "communities" => {
            "this change cannot be undone: summaries of the graph follow from its relations; change or end these"
        }
        "fade" => "this change cannot be undone: it was made by a version that kept no strengths; feedback raises them",
        _ => "this change cannot be undone: what it deleted is gone for good",
    };
    Error::conflict(text).with_code("not_undoable")
}

/// A change to take back.
struct Found {
    id: Uuid,
    row: Row,
    action: String,
    /// What took it back already, and what is as before by that.
    undone: Option<(Uuid, Vec<MemoryId>)>,
    /// What was read from a memory and is not to be read again, or is.
    taken: Option<taken_back::Taken>,
}

/// The change to take back, and what took it back already. Where that was itself taken back, the last of them is the
/// one.
async fn find(deps: &Deps, ctx: &Ctx, id: Uuid) -> Result<Found> {
    let mut all: HashMap<Uuid, Known> = HashMap::new();
    for one in known(deps, ctx).await? {
        // Of several rows of one batch the one that can be undone counts.
        if one.undoable || !all.contains_key(&one.id) {
            all.insert(one.id, one);
        }
    }
    let by_of = |id: Uuid| all.get(&id).and_then(|one| one.undone_by);
    let mut target = id;
    while let Some(again) = by_of(target).and_then(by_of) {
        target = again;
    }
    let taken = taken_back::taken(&all, target);
    let one = all.remove(&target).ok_or_else(no_such_change)?;
    let (action, by) = (one.action.clone(), one.undone_by);
    let row = whole(deps, ctx, one).await?;
    let mut undone = None;
    if let Some(by) = by {
        // Strengths that were not as they were left did not come back.
        let ids = match all.remove(&by) {
            Some(undoing) if !row.faded.is_empty() => whole(deps, ctx, undoing).await?.ids(),
            _ => row.ids(),
        };
        undone = Some((by, ids));
    }
    Ok(Found { id: target, row, action, undone, taken })
}

/// What failed because somebody undid it at the same time did not fail.
async fn raced(deps: &Deps, ctx: &Ctx, id: Uuid, error: Error) -> Result<Undone> {
    match find(deps, ctx, id).await {
        Ok(Found { undone: Some((by, ids)), .. }) => Ok(Undone { id: by, undone: id, ids, replayed: true }),
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
    following("rae undo of a change", change)
}

/// The id of the change that does nothing but add this memory: it follows from it.
pub(crate) fn change_of(memory: MemoryId) -> Uuid {
    following("rae change that adds a memory", memory.0)
}

fn following(what: &str, from: Uuid) -> Uuid {
    let mut bytes = [0; 16];
    let hash = blake3::derive_key(what, from.as_bytes());
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
        // What was merged into it in the same change has added a witness.
        let merged = u32::from(row.merged.as_ref().is_some_and(|merged| merged.id == changed.id));
        let memory = present(deps, ctx, changed.id, changed.witness_count.saturating_add(merged)).await?;
        let fields: Vec<&str> = changed.fields.iter().map(String::as_str).collect();
        let said: Vec<&str> = fields.iter().copied().filter(|field| !NUMBERS.contains(field)).collect();
        unchanged(deps, ctx, &memory, changed.from_version.saturating_add(1), &said).await?;
        let old = version(deps, ctx, &memory, changed.from_version).await?;
        sources.extend(sources_of(deps, ctx, &old).await?);
        let mut patch = kept_marks(MemoryPatch::back_to(&old, &fields), &memory);
        Numbers::keep_moved(changed.left, &mut patch, &memory);
        back.push((memory, patch));
    }
    if let Some(merged) = &row.merged {
        let memory = live(deps, ctx, merged.id).await?;
        let patch = unmerged(&memory, merged).ok_or_else(changed_since)?;
        match back.iter_mut().find(|(same, _)| same.id == memory.id) {
            Some((_, also)) => {
                (also.provenance, also.witness_count) = (patch.provenance, patch.witness_count);
                also.importance = patch.importance.or(also.importance);
                also.confidence = patch.confidence.or(also.confidence);
            }
            None => back.push((memory, patch)),
        }
    }
    let back_ids: BTreeSet<MemoryId> = back.iter().map(|(memory, _)| memory.id).collect();
    let still_there = sources.into_iter().filter(|(id, _)| !back_ids.contains(id));
    let mut preconditions: Vec<Precondition> =
        still_there.map(|(id, version)| Precondition::VersionIs(id, version)).collect();
    keys::free_first(&mut back);
    keys::name_none_that_is_gone(deps, ctx, &mut back).await?;
    let mut ops = Vec::new();
    for (memory, patch) in &back {
        // Tags, sources and witnesses are written whole: what a merge added since must not be lost.
        preconditions.push(Precondition::SeqIs(memory.id, memory.seq));
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

/// The versions in which the engine itself said that a memory is superseded, as far back as the audit rows go. What somebody undid of
/// what held again (`resume`) is that one's word.
pub(super) async fn endings(deps: &Deps, ctx: &Ctx) -> Result<HashSet<(MemoryId, u32)>> {
    let all = known(deps, ctx).await?;
    let undone: HashMap<Uuid, (&str, Option<Uuid>)> =
        all.iter().map(|known| (known.id, (known.action.as_str(), known.row.undone))).collect();
    let mut endings = HashSet::new();
    for Known { id, row, .. } in &all {
        let (mut of, mut undos) = (*id, 0);
        while let Some((_, Some(before))) = undone.get(&of) {
            (of, undos) = (*before, undos + 1);
        }
        let is_ours = match undone.get(&of) {
            Some(("facts" | "audit_fix", _)) => true,
            Some(("resume", _)) => undos % 2 == 0,
            _ => false,
        };
        if is_ours {
            let ended = row.changed.iter().filter(|c| c.fields.iter().any(|field| field == "superseded_by"));
            endings.extend(ended.map(|c| (c.id, c.from_version.saturating_add(1))));
            endings.extend(row.added.iter().map(|added| (added.id, added.version)));
        }
    }
    Ok(endings)
}
