//! Facts that a model reads, where the store is opened so: after the rules, whose facts stand whatever it says.

use super::{Read, fits, forgotten::is_forgotten, is_comparable, me, said, settle};
use crate::{
    ctx::Ctx,
    deps::Deps,
    error::{Error, ErrorKind, Result},
    facts::{self, Draft, Reading, Verdict},
    jobs::runner::Held,
    limits::PAGE_MAX,
    model::{Audit, ChatRequest, Claim, Job, JobKind, Memory, MemoryId, NewJob, Op, Owner},
    ops::{LlmOptions, UNREADABLE, Unfinished, llm},
};
use serde_json::json;
use std::{sync::Arc, time::Duration};
use uuid::Uuid;

/// How long it is known that a model has read a memory.
const READ_FOR: Duration = Duration::from_secs(7 * 24 * 3_600);

/// A job for each memory: what was paid for one is not paid again because another failed.
pub(super) async fn split(held: &Held<'_>, job: &Job, ids: &[MemoryId]) -> Result<()> {
    let run_at = held.deps.clock.now();
    let own = |id: &MemoryId| Op::EnqueueJob {
        job: NewJob { id: part(job.id, id), kind: JobKind::Extract, payload: json!({ "ids": [id] }), run_at },
    };
    match held.apply_as(part(job.id, &MemoryId(job.id)), Vec::new(), ids.iter().map(own).collect()).await {
        Err(error) if error.kind() == ErrorKind::Conflict && error.code() == "exists" => Ok(()),
        done => done,
    }
}

/// The same id for the same part of a job.
fn part(job: Uuid, id: &MemoryId) -> Uuid {
    let mut bytes = [0; 16];
    let hash = blake3::hash(&[job.as_bytes().as_slice(), id.0.as_bytes().as_slice()].concat());
    bytes.iter_mut().zip(hash.as_bytes()).for_each(|(to, from)| *to = *from);
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}

/// Reads the facts of one memory; gives how many it wrote or changed. An answer that was read is kept until all that follows from it
/// is written: where the model cannot be asked what a fact does to others, the next attempt pays for that alone.
pub(super) async fn ask(held: &Held<'_>, ctx: &Ctx, job: &Job, memory: &Memory) -> Result<u64> {
    let Some(model) = held.deps.model.as_deref() else { return Ok(0) };
    let Ok(text) = fits(memory) else { return Ok(0) };
    // What is said again comes here again. A cache that fails is as one that is empty: then it is read, and paid for, again.
    let (key, mark) = (format!("facts:{}", memory.id), mark_of(model, memory));
    if held.deps.cache.get(ctx, &key).await.ok().flatten().is_some_and(|known| *known == mark) {
        return Ok(0);
    }
    // Quotations and texts to work on are not shown to a model either.
    let Ok(own) = facts::own_words(&said(memory, &text)) else { return Ok(0) };
    let said = said(memory, &own);
    let unfinished = Unfinished::of(memory.id, &mark);
    let known = match &job.last_error {
        Some(_) => unfinished.find(held.deps, ctx).await.and_then(|answer| facts::read(&answer, &said).ok()),
        None => None,
    };
    let (reading, paid) = match known {
        Some(reading) => (reading, None),
        None => {
            let request = facts::request(model, &said);
            let (reading, answer) = answered(held.deps, ctx, request, |answer| facts::read(answer, &said)).await?;
            (reading, Some(answer))
        }
    };
    let settled = settle_all(held, ctx, memory, (&reading, paid.is_some())).await;
    match (&settled, &paid) {
        (Err(_), Some(answer)) => unfinished.keep(held.deps, ctx, answer).await,
        (Ok(_), None) => unfinished.end(held.deps, ctx).await,
        _ => {}
    }
    let changed = settled?;
    if let Err(error) = held.deps.cache.put(ctx, &key, Arc::from(mark.as_slice()), READ_FOR).await {
        tracing::debug!(kind = error.kind().name(), "that a memory was read could not be noted");
    }
    Ok(changed)
}

/// Decides about and writes each fact of a reading, which is told of once.
async fn settle_all(held: &Held<'_>, ctx: &Ctx, memory: &Memory, (reading, is_new): (&Reading, bool)) -> Result<u64> {
    if reading.refused > 0 && is_new {
        let details = json!({ "source": memory.id, "refused": reading.refused });
        held.apply_if(Vec::new(), vec![Op::Audit(Audit { action: "facts".to_owned(), details })]).await?;
    }
    let mut changed = 0;
    for draft in &reading.drafts {
        let read =
            Read { draft, is_single: facts::is_single(&draft.relation), by: Some(facts::PROMPT), against: Vec::new() };
        let read = band(held, ctx, memory, read).await?;
        changed += u64::from(settle(held, ctx, memory, &read).await?);
    }
    Ok(changed)
}

/// Says of a memory's text that this model read it with these prompts; nobody can read the text from it.
fn mark_of(model: &str, memory: &Memory) -> [u8; 32] {
    let mut hash = blake3::Hasher::new();
    let (who, when) = (me(memory), memory.event_time().micros().to_le_bytes());
    let parts = [facts::PROMPT.as_bytes(), model.as_bytes(), memory.content_hash.as_slice(), who.as_bytes(), &when];
    for part in parts {
        hash.update(&(part.len() as u64).to_le_bytes()).update(part);
    }
    *hash.finalize().as_bytes()
}

/// Asks, and once more where the answer cannot be read. Gives what it says, and the answer itself.
async fn answered<T>(
    deps: &Deps,
    ctx: &Ctx,
    request: ChatRequest,
    read: impl Fn(&str) -> std::result::Result<T, String>,
) -> Result<(T, String)> {
    let options = || LlmOptions { operation: "facts".to_owned(), ..LlmOptions::default() };
    let first = llm(deps, ctx.scope(), request.clone(), options()).await?.response.message.plain_text();
    let why = match read(&first) {
        Ok(said) => return Ok((said, first)),
        Err(why) => why,
    };
    tracing::debug!(why, "a model's facts could not be read; asking once more");
    let again = llm(deps, ctx.scope(), facts::repair(request, &first, &why), options()).await?;
    let second = again.response.message.plain_text();
    match read(&second) {
        Ok(said) => Ok((said, second)),
        Err(why) => {
            tracing::warn!(why, "a model's facts could not be read");
            Err(Error::unavailable("the facts that a model read could not be read, twice").with_code(UNREADABLE))
        }
    }
}

/// Where the rules do not know whether an attribute has one value at a time and others are known, the model says what
/// the new one does to them.
async fn band<'d>(held: &Held<'_>, ctx: &Ctx, source: &Memory, mut read: Read<'d>) -> Result<Read<'d>> {
    let draft: &Draft = read.draft;
    let Some(model) = held.deps.model.as_deref().filter(|_| !facts::is_decided(&draft.relation) && !draft.is_end)
    else {
        return Ok(read);
    };
    let now = held.deps.clock.now();
    let key = Claim::key_of(&draft.subject, &draft.relation);
    let mut known = held.deps.relational.claims(ctx, &[key], Some(&Owner::of(source)), PAGE_MAX).await?;
    known.retain(|m| is_comparable(m, source) && !m.is_expired(now));
    // What was read from this memory already has been decided.
    let value = Claim::name_key(&draft.object);
    let is_same = |m: &Memory| m.claim.as_ref().is_some_and(|claim| Claim::name_key(&claim.object) == value);
    if known.iter().any(|m| is_same(m) && m.provenance.derived_from.contains(&source.id)) {
        return Ok(read);
    }
    let holds = |m: &&Memory| m.valid_start() <= draft.from && m.valid_to.is_none_or(|to| to > draft.from);
    // What was known to hold when the new one began counts, ended since or not.
    let is_known = |m: &&Memory| m.superseded_by.is_none() || m.valid_to.is_some();
    let others: Vec<&Memory> = known.iter().filter(|m| !is_same(m)).filter(is_known).filter(holds).collect();
    // What is not to be read again is not paid for.
    if others.is_empty() || is_forgotten(held.deps, ctx, source.id, draft).await? {
        return Ok(read);
    }
    match answered(held.deps, ctx, facts::band_request(model, draft, &others), facts::read_verdict).await?.0 {
        Verdict::Replaces => read.is_single = true,
        Verdict::Both => {}
        Verdict::Contradicts => read.against = others.iter().map(|m| m.id).collect(),
    }
    Ok(read)
}
