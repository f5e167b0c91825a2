//! Facts that are owed: memories that asked for enrichment. Their `Extract` job commits with them.
//!
//! Each fact is a batch of its own, under the lease and under the versions of what it changes. Doing the job again changes nothing: a
//! fact that has the memory among its sources is known to have been read from it.

mod again;
mod anew;
mod ask;
mod forgotten;
mod revive;
mod weigh;

pub(crate) use anew::anew;
pub(crate) use forgotten::{
    dropped as forgotten_dropped, is_noted as is_forgotten_of, noted as forgotten_noted, trim as trim_forgotten,
    undone_noted,
};
pub(crate) use revive::is_revived;
pub(crate) use weigh::{is_of_oneself, is_said_of_oneself, me};

use super::{embed_debt, runner::Held};
use crate::{
    builder::Enrich,
    ctx::Ctx,
    deps::Deps,
    error::{Error, ErrorKind, Result},
    facts::{self, By, Change, Decision, Draft, Resumed, Said, Skipped},
    ingest::{content_hash, dedup_key},
    lexical::{is_generic, mark},
    limits::PAGE_MAX,
    model::{
        Audit, CLAIM_SESSION, Claim, Job, JobKind, Kind, Layer, Memory, MemoryId, MemoryPatch, NewJob, Op, Owner,
        PatchMode, Precondition, Provenance, Timestamp, VectorRow,
    },
    ops::change_row,
};
use serde_json::{Map, Value, json};
use std::{borrow::Cow, collections::BTreeMap};
use uuid::Uuid;

/// Attempts against others who write facts of the same subject at the same time.
const ATTEMPTS: usize = 32;

/// The job that reads facts from `ids`. Its payload is ids only.
pub(crate) fn job(deps: &Deps, ids: &[MemoryId]) -> Op {
    let now = deps.clock.now();
    let payload = json!({ "ids": ids });
    Op::EnqueueJob { job: NewJob { id: deps.ids.next_uuid(now), kind: JobKind::Extract, payload, run_at: now } }
}

/// The job that reads a memory once more, as it was changed. `is_weighed`: what it says counts more or less than it did.
pub(crate) fn job_again(deps: &Deps, id: MemoryId, is_weighed: bool) -> Op {
    let now = deps.clock.now();
    let payload = json!({ "ids": [id], "again": true, "weighed": is_weighed });
    Op::EnqueueJob { job: NewJob { id: deps.ids.next_uuid(now), kind: JobKind::Extract, payload, run_at: now } }
}

/// What an `Extract` job does before its end; gives how many facts it wrote or changed.
pub(super) async fn run(held: &Held<'_>, ctx: &Ctx, job: &Job) -> Result<u64> {
    let ids: Vec<MemoryId> = match job.payload.get("ids") {
        Some(ids) => serde_json::from_value(ids.clone())
            .map_err(|e| Error::corrupt("the payload of an extract job is not a list of ids").with_source(e))?,
        None => Vec::new(),
    };
    let only = anew::only(job);
    let is_weighed = job.payload.get("weighed") == Some(&Value::Bool(true));
    // The words are those that a model has read.
    let is_asked = held.deps.enrich == Enrich::Model && only.is_none() && !is_weighed;
    if is_asked && ids.len() > 1 {
        return ask::split(held, job, &ids).await.map(|()| 0);
    }
    let is_changed = job.payload.get("again") == Some(&Value::Bool(true));
    let is_again = is_changed || only.is_some();
    let is_meant = |d: &&Draft| only.is_none_or(|only| anew::of(&d.subject, &d.relation, &d.object) == only);
    let (mut changed, mut skipped) = (0, BTreeMap::<&'static str, Vec<MemoryId>>::new());
    for page in ids.chunks(PAGE_MAX) {
        let now = held.deps.clock.now();
        for (id, memory) in page.iter().zip(held.deps.relational.get(ctx, page).await?) {
            let memory = memory.filter(|m| !m.is_expired(now));
            if let Some(memory) = memory.as_ref().filter(|_| is_changed) {
                changed += again::withdraw(held, ctx, memory, is_weighed).await?;
            }
            let memory = memory.filter(|m| m.superseded_by.is_none() && !(is_again && m.is_over(now)));
            let drafts = memory.as_ref().ok_or(Skipped::Gone).and_then(read);
            match (memory, drafts) {
                (Some(memory), Ok(drafts)) => {
                    for draft in drafts.iter().filter(is_meant) {
                        changed += u64::from(settle(held, ctx, &memory, &Read::by_rules(draft)).await?);
                    }
                    if is_asked {
                        changed += ask::ask(held, ctx, job, &memory).await?;
                    }
                }
                (_, Err(why)) => skipped.entry(why.as_str()).or_default().push(*id),
                (None, Ok(_)) => {}
            }
        }
    }
    if !skipped.is_empty() {
        let count = |(reason, ids): (&&'static str, &Vec<MemoryId>)| (*reason, ids.len() as u64);
        held.kept_out.lock().extend(skipped.iter().map(count));
        let audit = Audit { action: "facts".to_owned(), details: json!({ "skipped": skipped }) };
        held.apply_if(Vec::new(), vec![Op::Audit(audit)]).await?;
    }
    Ok(changed)
}

/// A fact as it was read, and what is known of its attribute.
struct Read<'d> {
    draft: &'d Draft,
    /// Whether the attribute has one value at a time.
    is_single: bool,
    /// The prompt by which a model read it.
    by: Option<&'static str>,
    /// Facts that it contradicts, where nothing says which holds.
    against: Vec<MemoryId>,
}

impl<'d> Read<'d> {
    fn by_rules(draft: &'d Draft) -> Self {
        Self { draft, is_single: facts::is_single(&draft.relation), by: None, against: Vec::new() }
    }
}

/// The facts that a memory states, by the rules.
fn read(memory: &Memory) -> Result<Vec<Draft>, Skipped> {
    let text = fits(memory)?;
    facts::drafts(&said(memory, &text))
}

/// Who speaks by name: "user" is a role.
fn speaker(memory: &Memory) -> Option<&str> {
    memory.speaker.as_deref().filter(|speaker| !is_generic(speaker))
}

fn said<'m>(memory: &'m Memory, text: &'m str) -> Said<'m> {
    Said {
        text,
        speaker: speaker(memory),
        role: memory.role.as_deref(),
        user: memory.user_id.as_deref(),
        session: memory.session_id.as_deref(),
        sources: &memory.provenance.sources,
        at: memory.event_time(),
    }
}

/// What facts may be read from: the text without what this engine put into it.
fn fits(memory: &Memory) -> Result<Cow<'_, str>, Skipped> {
    if memory.claim.is_some() || !memory.provenance.derived_from.is_empty() {
        return Err(Skipped::Derived);
    }
    if !matches!(memory.kind, Kind::Conversation | Kind::Text | Kind::Fact) {
        return Err(Skipped::Kind);
    }
    // What this engine put into a prompt is not news.
    let said = mark::without_blocks(&memory.content);
    let text = if said == memory.content.trim() { Cow::Borrowed(memory.content.as_str()) } else { Cow::Owned(said) };
    if text.trim().is_empty() {
        return Err(Skipped::Recalled);
    }
    Ok(text)
}

/// The session that facts from this memory stay in: nobody knows whether who speaks there without a name is the same as elsewhere.
fn session_of(source: &Memory) -> Option<&str> {
    let is_nameless = speaker(source).is_none() && source.user_id.is_none();
    source.session_id.as_deref().filter(|_| is_nameless)
}

/// Whether a fact may be held against what this memory says. Facts of different users, agents or nameless speakers never are.
fn is_comparable(fact: &Memory, source: &Memory) -> bool {
    fact.user_id == source.user_id && fact.agent_id == source.agent_id && fact.claim_session() == session_of(source)
}

/// Brings one draft together with what is known; whether anything changed.
async fn settle(held: &Held<'_>, ctx: &Ctx, source: &Memory, read: &Read<'_>) -> Result<bool> {
    let draft = read.draft;
    let key = Claim::key_of(&draft.subject, &draft.relation);
    let (mut changed, mut last) = (false, None);
    for attempt in 0..ATTEMPTS {
        let now = held.deps.clock.now();
        let mut known = held.deps.relational.claims(ctx, &[key], Some(&Owner::of(source)), PAGE_MAX).await?;
        // Past a page not all of them can be compared: what is written would not be seen again.
        if known.len() == PAGE_MAX {
            *held.kept_out.lock().entry("many").or_default() += 1;
            return Ok(changed);
        }
        known.retain(|m| is_comparable(m, source) && !m.is_expired(now));
        let (heard, weights) = weigh::weigh(held.deps, ctx, source, read, &known).await?;
        let Some(decision) = facts::decide(draft, source.id, &known, &heard, (read.is_single, &weights)) else {
            return Ok(changed);
        };
        // Looked at behind what is known: who forgot one of these since has noted it.
        if revive::is_undone(draft, source.id, &known)
            || forgotten::is_forgotten(held.deps, ctx, source.id, draft).await?
        {
            return Ok(changed);
        }
        let state = state(source, &key, &known);
        // The same state twice: what was written from it is gone again, and its name is used up.
        let salt = (last == Some(state)).then(|| held.deps.ids.next_uuid(now));
        last = Some(state);
        let batch = batch_id(state, salt);
        match write(held, ctx, source, read, &known, (decision, batch)).await {
            Ok(()) => changed = true,
            Err(error) if error.kind() == ErrorKind::Conflict && is_race(&error) && attempt + 1 < ATTEMPTS => {}
            Err(error) => return Err(error),
        }
    }
    Err(Error::conflict("others kept changing the same facts; the job is tried again"))
}

/// What the facts of one subject and attribute are, in short; `source` says whose. Any change to one of them changes it.
pub(crate) fn state(source: &Memory, key: &[u8; 16], known: &[Memory]) -> blake3::Hash {
    let mut hash = blake3::Hasher::new();
    let owner = [source.scope.tenant(), source.scope.project()].map(Some);
    let whose = [source.user_id.as_deref(), source.agent_id.as_deref()].into_iter().chain(session_of(source).map(Some));
    for part in owner.into_iter().chain(whose) {
        hash.update(&part.map_or(u64::MAX, |p| p.len() as u64).to_le_bytes());
        hash.update(part.unwrap_or_default().as_bytes());
    }
    hash.update(key);
    for memory in known {
        hash.update(memory.id.0.as_bytes());
        hash.update(&memory.seq.to_le_bytes());
    }
    hash.finalize()
}

/// A batch is applied once: of two who decided from the same state, the second writes nothing, looks again and decides anew.
pub(crate) fn batch_id(state: blake3::Hash, salt: Option<Uuid>) -> Uuid {
    let seed = [state.as_bytes().as_slice(), salt.as_ref().map_or(&[], |salt| salt.as_bytes().as_slice())].concat();
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(blake3::hash(&seed).as_bytes()).for_each(|(to, from)| *to = *from);
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}

/// Somebody else was faster with one of the facts.
fn is_race(error: &Error) -> bool {
    !matches!(error.code(), "lease_lost" | "embedder_changed")
}

async fn write(
    held: &Held<'_>,
    ctx: &Ctx,
    source: &Memory,
    read: &Read<'_>,
    known: &[Memory],
    (decision, batch): (Decision, Uuid),
) -> Result<()> {
    let deps = held.deps;
    let now = deps.clock.now();
    let find = |id: MemoryId| known.iter().find(|m| m.id == id);
    // Sources are written whole: one that a merge added since must not be lost.
    let mut preconditions: Vec<Precondition> =
        decision.changes.iter().filter_map(|c| Some(Precondition::SeqIs(c.id, find(c.id)?.seq))).collect();
    // What was forgotten meanwhile must not live on in a fact.
    preconditions.push(Precondition::VersionIs(source.id, source.version));
    let mut ops = Vec::new();
    let mut id = deps.ids.next(now);
    let resumed = decision.resumed.as_ref().and_then(|again| resumed(again, find(again.of)?, deps.ids.next(now), now));
    let mut merges = None;
    if let Some(put) = decision.put {
        // It holds no longer than what says so.
        let to = put.to.into_iter().chain(source.valid_to).min().filter(|to| *to > put.from).or(put.to);
        let mut memory = fact(source, read, id, (put.from, to), now)?;
        memory.superseded_by = put.by.or(resumed.as_ref().map(|m| m.id));
        match put.into.and_then(find) {
            Some(same) => {
                preconditions.push(Precondition::VersionIs(same.id, same.version));
                memory.dedup_key = same.dedup_key;
                merges = Some((same, source.id));
                ops.push(Op::PutMemory { memory: Box::new(memory), vector: None, idempotency: None });
            }
            None => match revive::withdrawn(known, &memory, source.id) {
                Some(old) => {
                    preconditions.push(Precondition::SeqIs(old.id, old.seq));
                    id = old.id;
                    ops.push(revive::revived(old, memory, now));
                }
                None => {
                    preconditions.push(Precondition::EmbedderIs(deps.embedder().id().to_owned()));
                    ops.extend(puts(deps, ctx, memory).await);
                }
            },
        }
    }
    for change in &decision.changes {
        let Some(old) = find(change.id) else { continue };
        let patch = Box::new(patch(change, old, source, id));
        ops.push(Op::PatchMemory { id: change.id, patch, mode: PatchMode::NewVersion, vector: None });
    }
    if let Some(memory) = resumed {
        ops.extend(puts(deps, ctx, memory).await);
    }
    let known: Vec<&Memory> = known.iter().collect();
    let mut more = json!({ "source": source.id });
    if !read.against.is_empty() {
        more["contradicts"] = json!(read.against);
    }
    ops.push(change_row("facts", batch, &ops, &known, merges, more));
    held.apply_as(batch, preconditions, ops).await
}

/// Writes a new fact with its vector, or owes that.
async fn puts(deps: &Deps, ctx: &Ctx, memory: Memory) -> Vec<Op> {
    let embedder = deps.embedder();
    let embedded = embed_debt::embed_documents(deps, ctx, &*embedder, std::slice::from_ref(&memory)).await;
    let row = |vector| VectorRow { embedder: embedder.id().to_owned(), vector };
    let vector = embedded.vectors.into_iter().next().flatten().map(row);
    let owed = embedded.failed.map(|error| embed_debt::job(deps, &[memory.id], &error));
    let put = Op::PutMemory { memory: Box::new(memory), vector, idempotency: None };
    [Some(put), owed].into_iter().flatten().collect()
}

/// The second part of a fact that another one parts.
fn resumed(again: &Resumed, of: &Memory, id: MemoryId, now: Timestamp) -> Option<Memory> {
    let mut memory = Memory { id, created_at: now, updated_at: now, version: 1, ..of.clone() };
    memory.provenance.derived_from.clone_from(&again.sources);
    memory.witness_count = u32::try_from(again.sources.len()).ok()?;
    (memory.valid_from, memory.valid_to) = (None, None);
    memory.superseded_by = again.by;
    memory.dedup_key = if again.to.is_none() { dedup_key(&memory) } else { None };
    (memory.valid_from, memory.valid_to) = (Some(again.from), again.to);
    Some(memory)
}

fn successor(by: By, new: MemoryId) -> MemoryId {
    match by {
        By::New => new,
        By::Old(id) => id,
    }
}

fn patch(change: &Change, old: &Memory, source: &Memory, new: MemoryId) -> MemoryPatch {
    let mut patch = MemoryPatch {
        valid_from: change.from.map(Some),
        valid_to: change.to.map(Some),
        superseded_by: change.by.map(|by| Some(successor(by, new))),
        ..MemoryPatch::default()
    };
    if change.to.is_some() {
        // What is over must not swallow the same fact said of the present.
        patch.dedup_key = Some(None);
    }
    if !change.gone.is_empty() {
        let mut provenance = old.provenance.clone();
        provenance.derived_from.retain(|id| !change.gone.contains(id));
        patch.provenance = Some(provenance);
    }
    if change.is_sourced && old.provenance.derived_from.len() < crate::limits::SOURCES_MAX {
        let mut provenance = old.provenance.clone();
        provenance.derived_from.push(source.id);
        patch.provenance = Some(provenance);
    }
    patch
}

/// The memory of a fact. It belongs to whom its source belongs, and lives no longer.
fn fact(
    source: &Memory,
    read: &Read<'_>,
    id: MemoryId,
    holds: (Timestamp, Option<Timestamp>),
    now: Timestamp,
) -> Result<Memory> {
    let draft = read.draft;
    // Who reads it sees that no rule found it.
    let mut metadata: Map<String, Value> =
        read.by.map(|prompt| ("prompt".to_owned(), json!(prompt))).into_iter().collect();
    if let Some(session) = session_of(source) {
        metadata.insert(CLAIM_SESSION.to_owned(), json!(session));
    }
    let claim = Claim::new(&draft.subject, &draft.relation, &draft.object, 1.0)?;
    let content = facts::sentence(&claim.subject, &claim.relation, &claim.object);
    let mut memory = Memory {
        id,
        scope: source.scope.clone(),
        layer: Layer::Semantic,
        kind: Kind::Fact,
        content_hash: content_hash(&content),
        content,
        role: None,
        speaker: None,
        session_id: None,
        agent_id: source.agent_id.clone(),
        user_id: source.user_id.clone(),
        tags: Vec::new(),
        metadata,
        importance: Layer::Semantic.policy().default_importance,
        strength: 1.0,
        confidence: draft.confidence * source.confidence,
        trust_level: source.trust_level,
        info_class: source.info_class,
        provenance: Provenance { derived_from: vec![source.id], sources: source.provenance.sources.clone() },
        created_at: now,
        updated_at: now,
        occurred_at: source.occurred_at,
        valid_from: None,
        valid_to: None,
        superseded_by: None,
        expires_at: source.expires_at,
        version: 1,
        seq: 0,
        seq_in_session: None,
        dedup_key: None,
        witness_count: 1,
        claim: Some(claim),
    };
    // The key says nothing of when: two who read the same fact at the same time merge.
    memory.dedup_key = if holds.1.is_none() { dedup_key(&memory) } else { None };
    (memory.valid_from, memory.valid_to) = (Some(holds.0), holds.1);
    Ok(memory)
}
