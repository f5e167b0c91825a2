//! `verify_erasure`: whether anything of what a receipt of `forget` names is still there, place by place.
//!
//! The receipt has keyed hashes of ids; every id that a place holds is hashed with the store's key and looked for among them. Nothing
//! is changed, but that the log is truncated where that was still due.

mod names;
mod texts;

use super::{
    chat::answers_of,
    export::{Line, io_error},
    forget::ever_repeats,
    import::Lines,
};
use crate::{
    ctx::Ctx,
    deps::Deps,
    error::{Error, Result},
    jobs::index_sync,
    limits::{AUDIT_PAGE, PAGE_MAX, RECEIPT_IDS_MAX},
    model::{Cursor, KeptIds, KeyedIds, Memory, MemoryId, MemoryVersion, RecordKind, Scan, Scope, Timestamp},
    reflect::is_fixed,
};
use names::Name;
pub(super) use names::{FIELD as NAME_FIELD, name_hash};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    collections::{BTreeSet, HashSet},
    path::{Path, PathBuf},
};
use texts::Texts;

/// Stored runs that are read at once: one may have some megabytes.
const RUN_PAGE: usize = 4;
/// Memories that a note names at most.
const HOLDERS_NAMED: usize = 3;

/// Where a check of an erasure looks beside the project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErasureOptions {
    /// Export files of this machine.
    pub exports: Vec<PathBuf>,
    /// Texts that somebody knows were erased, at most 16 of 4 to 1,000 bytes: they are looked for, whatever their case, in memories, history,
    /// stored sets and runs, jobs and the exports. They are neither stored nor logged.
    pub texts: Vec<String>,
    /// Whether they are looked for in the raw bytes of the store's file, too, which has all tenants and projects. Default: yes.
    pub file: bool,
}

impl Default for ErasureOptions {
    fn default() -> Self {
        Self { exports: Vec::new(), texts: Vec::new(), file: true }
    }
}

/// What one place holds of what was to be erased.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErasurePlace {
    /// Which: `memories`, `history`, `vectors`, `access`, `words`, `segments`, `idempotency`, `jobs`, `cache`, `log`, `export <path>`,
    /// those of texts: `text in memories`, `text in history`, `text in jobs`, `text in records`, `text in export <path>`, `text in file <name>`;
    /// `names` for the erasure of a session or user; those that keep bare ids: `references`, `batches`, `evaluations`, `changes`, `tombstones`, and what is new: `made again`.
    pub place: String,
    /// How many of the ids were found there.
    pub found: u64,
    /// `clean`; `found`: it must not be there; `kept`: bare ids that the engine keeps on purpose, nothing to read.
    pub state: String,
    /// What it means and what to do, where it is not clean.
    pub note: Option<String>,
}

/// What a check of a receipt found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErasureReport {
    /// Whether no place holds what must not be there.
    pub clean: bool,
    /// Ids that the receipt names.
    pub ids: u64,
    /// Whether the receipt says that it is of this store and project; those of older versions do not say.
    pub bound: bool,
    /// Place by place.
    pub places: Vec<ErasurePlace>,
}

impl ErasureReport {
    fn add(&mut self, place: &str, found: u64, note: &str) {
        self.put(place, found, "found", note);
    }

    /// A place that keeps bare ids on purpose.
    fn add_kept(&mut self, place: &str, found: u64, note: &str) {
        self.put(place, found, "kept", note);
    }

    fn put(&mut self, place: &str, found: u64, state: &str, note: &str) {
        self.clean &= found == 0 || state == "kept";
        let state = if found == 0 { "clean" } else { state };
        let note = (found > 0).then(|| note.to_owned());
        self.places.push(ErasurePlace { place: place.to_owned(), found, state: state.to_owned(), note });
    }
}

/// The hash by which a receipt tells its store and project.
pub(super) fn project_hash(key: &[u8; 32], scope: &Scope) -> String {
    let mut hash = blake3::Hasher::new_keyed(key);
    for part in [scope.tenant(), scope.project()] {
        hash.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
    }
    hash.finalize().to_hex().to_string()
}

pub(crate) async fn verify_erasure(
    deps: &Deps,
    scope: &Scope,
    receipt: &Value,
    options: &ErasureOptions,
) -> Result<ErasureReport> {
    let (exports, texts) = (&options.exports, Texts::of(&options.texts)?);
    let key = deps.relational.receipt_key().await?;
    // The whole answer of `forget` will do.
    let receipt = receipt.get("receipt").unwrap_or(receipt);
    let (named, bound) = read_receipt(receipt, key, scope)?;
    let (at, name) = (receipt_time(receipt), Name::of(receipt, key, scope)?);
    let mut report = ErasureReport { clean: true, ids: named.len() as u64, bound, places: Vec::new() };
    let ctx = deps.ctx(scope)?;
    let Seen { live, again, bears_name } = memories(deps, scope, (&named, at, name.as_ref()), &mut report).await?;
    // What lies elsewhere under an id that was made again belongs to the new memory.
    let wanted = named.without(&again);
    let known = tombstones(deps, &ctx, &wanted).await?;
    // Ids are known again where a memory or a tombstone tells them: what can only be asked about by id is asked about these.
    let ids: Vec<MemoryId> = known.iter().chain(&live).copied().collect::<BTreeSet<_>>().into_iter().collect();
    derived(deps, &ctx, &ids, &wanted, &mut report).await?;
    let KeptIds { receipts, batches } = deps.relational.find_kept(&ctx, &wanted).await?;
    report.add("idempotency", receipts, "a receipt of a write names it; forget it again");
    jobs(deps, &ctx, &wanted, &mut report).await?;
    if let Some(name) = &name {
        names::check(deps, &ctx, name, bears_name, &mut report).await?;
    }
    let (runs, rows) = (evaluations(deps, &ctx, &wanted).await?, audit_rows(deps, &ctx, &wanted).await?);
    let cached = answers_of(deps, &ctx, &wanted).await?;
    report.add("cache", cached, "answers that it was part of are there until their time is over; forget it again");
    let emptied = deps.relational.checkpoint(&ctx, deps.clock.now()).await?;
    report.add("log", u64::from(!emptied), "a reader keeps the log from being truncated; check again later");
    for path in exports {
        let found = export(path, (&named, at))?;
        report.add(&format!("export {}", path.display()), found, "remove the file, or export anew");
    }
    if let Some(texts) = &texts {
        texts::check(deps, scope, (texts, exports, options.file), &mut report).await?;
    }
    report.add_kept("batches", batches, "answers of writes, bare ids; they go after a day");
    report.add_kept(
        "evaluations",
        runs,
        "hits of stored runs, bare ids; they go with the set, or as later runs take their place",
    );
    report.add_kept("changes", rows, "audit rows of automatic changes, bare ids; the newest 10,000 rows stay");
    report.add_kept("tombstones", known.len() as u64, "bare ids, by which other readers learn of the deletion");
    Ok(report)
}

/// The ids of a receipt, and whether it is known to be of this project.
fn read_receipt(receipt: &Value, key: [u8; 32], scope: &Scope) -> Result<(KeyedIds, bool)> {
    let bad =
        |what: &str| Err(Error::invalid(format!("this is not a receipt of forget: {what}")).with_code("not_a_receipt"));
    if receipt.get("version").and_then(Value::as_u64) != Some(1) {
        return bad("its version is not 1");
    }
    let Some(listed) = receipt.get("ids_keyed_blake3").and_then(Value::as_array) else {
        return bad("it has no ids_keyed_blake3");
    };
    let bound = match receipt.get("project_keyed_blake3") {
        None => false,
        Some(hash) if hash.as_str() == Some(project_hash(&key, scope).as_str()) => true,
        Some(_) => {
            let text = "this receipt is of another store or project; check it there";
            return Err(Error::invalid(text).with_code("other_project"));
        }
    };
    if listed.len() > RECEIPT_IDS_MAX {
        return bad(&format!("it names more than {RECEIPT_IDS_MAX} ids"));
    }
    let mut hashes = HashSet::with_capacity(listed.len());
    for hash in listed {
        let Some(hash) = hash.as_str().and_then(|hex| blake3::Hash::from_hex(hex).ok()) else {
            return bad("an id's hash is not 64 hexadecimal digits");
        };
        hashes.insert(*hash.as_bytes());
    }
    // A session or user may have had no memories, but jobs that name it.
    if hashes.is_empty() && receipt.get(NAME_FIELD).is_none() {
        let text =
            "this receipt names no ids, so there is nothing to look for: that of a whole project or tenant lists none";
        return Err(Error::invalid(text).with_code("no_ids"));
    }
    Ok((KeyedIds::new(key, hashes), bound))
}

/// When the erasure was; `None` where the receipt does not say.
fn receipt_time(receipt: &Value) -> Option<Timestamp> {
    serde_json::from_value(receipt.get("at")?.clone()).ok()
}

/// Whether a memory was made after an erasure under an id that follows from its subject: no leftover, as an import keeps the
/// time at which a memory was made.
fn is_made_again(memory: &Memory, at: Option<Timestamp>) -> bool {
    is_fixed(memory.id) && at.is_some_and(|at| memory.created_at > at)
}

/// Deleted ids that a tombstone still tells.
async fn tombstones(deps: &Deps, ctx: &Ctx, wanted: &KeyedIds) -> Result<Vec<MemoryId>> {
    let (embedder, head) = (deps.embedder(), deps.relational.head(ctx).await?);
    let (mut after, mut found) = (head.tombstone_floor, Vec::new());
    while after < head.seq {
        // Changes come with their texts, so a page is short.
        let page = deps.relational.changes_since(ctx, after, head.seq, AUDIT_PAGE, embedder.id()).await?;
        found.extend(page.deletes.iter().map(|(_, id)| *id).filter(|id| wanted.contains(*id)));
        if page.upto <= after {
            break;
        }
        after = page.upto;
    }
    Ok(found)
}

/// What a look at all memories found.
#[derive(Default)]
struct Seen {
    /// Those that are there and must not.
    live: Vec<MemoryId>,
    /// Those that were made again.
    again: Vec<MemoryId>,
    /// Whether one of after the erasure bears the erased name.
    bears_name: bool,
}

/// Live memories with their versions, and what other memories say of the ids.
async fn memories(
    deps: &Deps,
    scope: &Scope,
    (wanted, at, name): (&KeyedIds, Option<Timestamp>, Option<&Name>),
    report: &mut ErasureReport,
) -> Result<Seen> {
    let (mut seen, mut versions, mut references) = (Seen::default(), 0, 0);
    let mut repeating = BTreeSet::new();
    let mut scan = Scan { filter: None, after: None, limit: AUDIT_PAGE };
    loop {
        let ctx = deps.ctx(scope)?;
        let page = deps.relational.scan(&ctx, &scan).await?;
        let Some(last) = page.last() else { break };
        scan.after = Some(Cursor(last.id));
        for memory in &page {
            let is_named = wanted.contains(memory.id);
            let is_wanted = is_named && !is_made_again(memory, at);
            if is_wanted {
                seen.live.push(memory.id);
            } else if is_named {
                seen.again.push(memory.id);
            }
            let is_later = at.is_some_and(|at| memory.created_at > at);
            seen.bears_name |= is_later && name.is_some_and(|name| name.is_of(memory));
            references += refers(memory, wanted);
            if memory.version > 1 {
                let history = deps.relational.history(&ctx, memory.id).await?;
                let repeats = ever_repeats(&history);
                for MemoryVersion { memory: old, .. } in history.iter().filter(|v| v.replaced_at.is_some()) {
                    if repeats && !is_wanted && is_of(old, wanted) {
                        repeating.insert(memory.id);
                        versions += 1;
                    } else {
                        versions += u64::from(is_wanted);
                        references += refers(old, wanted);
                    }
                }
            }
        }
    }
    report.add("memories", seen.live.len() as u64, "it is there again, perhaps from an import; forget it again");
    let of: Vec<String> = repeating.iter().take(HOLDERS_NAMED).map(MemoryId::to_string).collect();
    let note = match of.is_empty() {
        true => "older versions of it are there; forget it again".to_owned(),
        false => {
            format!("older versions that may repeat it are there, of {}; forget it again, or those", of.join(", "))
        }
    };
    report.add("history", versions, &note);
    report.add_kept("references", references, "other memories name it as their source or successor, a bare id");
    if !seen.again.is_empty() {
        let note = "made after the erasure under an id that follows from its subject";
        report.add_kept("made again", seen.again.len() as u64, note);
    }
    Ok(seen)
}

/// Whether a version was derived from one that is wanted.
fn is_of(version: &Memory, wanted: &KeyedIds) -> bool {
    version.provenance.derived_from.iter().any(|id| wanted.contains(*id))
}

/// How often a memory names others that are wanted.
fn refers(memory: &Memory, wanted: &KeyedIds) -> u64 {
    let named = memory.provenance.derived_from.iter().chain(&memory.superseded_by);
    named.filter(|id| wanted.contains(**id)).count() as u64
}

/// What is derived from memories: vectors, words, access data.
async fn derived(
    deps: &Deps,
    ctx: &Ctx,
    ids: &[MemoryId],
    wanted: &KeyedIds,
    report: &mut ErasureReport,
) -> Result<()> {
    let embedder = deps.embedder();
    let axis: Vec<f32> = (0..embedder.dim()).map(|n| if n == 0 { 1.0 } else { 0.0 }).collect();
    let (mut vectors, mut accessed) = (0, 0);
    for page in ids.chunks(PAGE_MAX) {
        let stored = deps.relational.vectors_of(ctx, embedder.id(), page).await?;
        let served = deps.vectors.score(ctx, &deps.collection(), &axis, page).await?;
        vectors += stored.iter().zip(&served).filter(|(row, point)| row.is_some() || point.is_some()).count() as u64;
        let access = deps.relational.access(ctx, page).await?;
        accessed += access.into_iter().filter(|access| *access != (0, None)).count() as u64;
    }
    report.add(
        "vectors",
        vectors,
        "a vector of it is there; forget it again, or wait until the vector server has caught up",
    );
    report.add("access", accessed, "access data of it is there; forget it again");
    let state = index_sync::fresh(deps, ctx).await?;
    let words = {
        let index = state.index.read();
        ids.iter().filter(|id| index.slot_of(**id).is_some()).count() as u64
    };
    report.add("words", words, "its words are in the index; forget it again");
    let segments = deps.relational.segments(ctx).await?;
    let held = segments.iter().flat_map(|segment| &segment.ids).filter(|id| wanted.contains(**id)).count();
    report.add("segments", held as u64, "its words are in a stored segment; forget it again");
    Ok(())
}

/// Ids in what jobs are to do.
async fn jobs(deps: &Deps, ctx: &Ctx, wanted: &KeyedIds, report: &mut ErasureReport) -> Result<()> {
    let jobs = deps.relational.jobs(ctx, PAGE_MAX).await?;
    let found = jobs.iter().map(|job| ids_in(&job.payload, wanted)).sum();
    report.add("jobs", found, "a job that waits names it, a bare id; it goes with the job: run maintain");
    if jobs.len() == PAGE_MAX {
        let note = format!("only the oldest {PAGE_MAX} jobs were looked at; run maintain and check again");
        report.put("more jobs", 1, "found", &note);
    }
    Ok(())
}

/// Ids in how stored sets of questions were answered.
async fn evaluations(deps: &Deps, ctx: &Ctx, wanted: &KeyedIds) -> Result<u64> {
    let (mut after, mut found) = (None, 0);
    loop {
        let page = deps.relational.records(ctx, RecordKind::Evaluation, after.as_deref(), RUN_PAGE).await?;
        let Some(last) = page.last() else { return Ok(found) };
        after = Some(last.name.clone());
        found += page.iter().map(|record| ids_in(&record.body, wanted)).sum::<u64>();
    }
}

/// Ids in audit rows.
async fn audit_rows(deps: &Deps, ctx: &Ctx, wanted: &KeyedIds) -> Result<u64> {
    let (mut before, mut found) = (None, 0);
    loop {
        let page = deps.relational.audit_page(ctx, before, AUDIT_PAGE).await?;
        let Some((last, ..)) = page.last() else { return Ok(found) };
        before = Some(*last);
        found += page.iter().map(|(_, _, row)| ids_in(&row.details, wanted)).sum::<u64>();
    }
}

/// Whether a memory of an export may say what its sources say, in any version.
fn line_repeats(line: &Line) -> bool {
    let present = MemoryVersion { memory: line.memory.clone(), replaced_at: None };
    ever_repeats(&line.history) || ever_repeats(&[present])
}

fn ids_in(json: &Value, wanted: &KeyedIds) -> u64 {
    match json {
        Value::String(text) => u64::from(text.parse().is_ok_and(|id: MemoryId| wanted.contains(id))),
        Value::Array(list) => list.iter().map(|item| ids_in(item, wanted)).sum(),
        Value::Object(map) => map.values().map(|item| ids_in(item, wanted)).sum(),
        _ => 0,
    }
}

/// Memories of an export file that are wanted, with their versions and what names them.
fn export(path: &Path, (wanted, at): (&KeyedIds, Option<Timestamp>)) -> Result<u64> {
    let mut lines = Lines::open(path)?;
    let header = lines.next_line()?;
    if header.is_none_or(|line| serde_json::from_str::<super::export::Header>(&line).is_err()) {
        let text = format!("{} is not a RAE export: its first line is not the header", path.display());
        return Err(Error::invalid(text).with_code("not_an_export"));
    }
    let mut found = 0;
    while let Some(text) = lines.next_line()? {
        match serde_json::from_str::<Line>(&text) {
            // What merely names it is a bare id, as in the store.
            Ok(line) => {
                let is_it = wanted.contains(line.memory.id) && !is_made_again(&line.memory, at);
                let repeats = || line.history.iter().any(|old| is_of(&old.memory, wanted)) && line_repeats(&line);
                found += u64::from(is_it || repeats());
            }
            Err(_) if serde_json::from_str::<super::export::Trailer>(&text).is_ok() => return Ok(found),
            // Ids as labels and hits, which are bare as in the store.
            Err(_) if serde_json::from_str::<super::export::RecordLine>(&text).is_ok() => {}
            Err(e) => return Err(io_error("read as an export", path, e.into())),
        }
    }
    Err(Error::invalid(format!("the export {} was cut off; what it still holds is not known", path.display())))
}
