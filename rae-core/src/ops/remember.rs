//! `remember`: parse, embed, commit. No model call; about a millisecond.

use crate::{
    builder::Enrich,
    cost::Embedded,
    deps::Deps,
    error::{Error, Result},
    ingest::{NewMemory, request_hash},
    jobs::{embed_debt, extract},
    limits::{BATCH_ITEMS_MAX, TRANSACTION_BYTES_MAX, TRANSACTION_ITEMS_MAX},
    model::{Idempotency, Layer, Memory, MemoryId, Op, Outcome, Precondition, Scope, VectorRow},
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashSet};

/// What became of a write.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// The memory that holds the text now: an older one when it merged.
    pub id: MemoryId,
    /// Its version.
    pub version: u32,
    /// Whether the text was there already, so that its witness count grew instead.
    pub merged: bool,
    /// What could not be done at once: `dense` (no vector yet, owed as a job, or the vector server is away and gets it later); `capacity`: newer ones filled its layer, it is gone again.
    pub degraded: Vec<String>,
}

/// One memory with what its write needs beside it.
pub(super) struct Item {
    pub memory: Memory,
    pub idempotency: Option<Idempotency>,
    pub infer: bool,
}

/// What else goes into the transaction of a memory.
#[derive(Default)]
pub(super) struct Along {
    pub preconditions: Vec<Precondition>,
    pub ops: Vec<Op>,
}

pub(crate) async fn remember(deps: &Deps, scope: &Scope, new: NewMemory) -> Result<Receipt> {
    let receipts = remember_many(deps, scope, vec![new]).await?;
    receipts.into_iter().next().ok_or_else(|| Error::internal("a write gave no receipt"))
}

pub(crate) async fn remember_many(deps: &Deps, scope: &Scope, items: Vec<NewMemory>) -> Result<Vec<Receipt>> {
    let ctx = deps.ctx(scope)?;
    let items = parse(deps, scope, items)?;
    let mut receipts = Vec::with_capacity(items.len());
    let mut rest = items.into_iter().peekable();
    while rest.peek().is_some() {
        let chunk = next_chunk(&mut rest);
        match commit(deps, &ctx, chunk, Along::default()).await {
            Ok(mut done) => receipts.append(&mut done),
            Err(error) if receipts.is_empty() => return Err(error),
            Err(error) => return Err(with_prefix(error, &receipts)),
        }
        deps.background.nudge(scope);
    }
    Ok(receipts)
}

fn check_count(items: usize) -> Result<()> {
    if items <= BATCH_ITEMS_MAX {
        return Ok(());
    }
    Err(Error::invalid(format!("{items} items in one call; at most {BATCH_ITEMS_MAX} are allowed")))
}

fn at_item(error: Error, i: usize, several: bool) -> Error {
    if several {
        error.with_context("item", i.to_string()).with_details(serde_json::json!({ "item": i }))
    } else {
        error
    }
}

/// Whether every item would be taken, as far as that can be said without a store.
#[cfg(feature = "remote")]
pub(crate) fn check_items(items: &[NewMemory]) -> Result<()> {
    check_count(items.len())?;
    let (scope, epoch) = (Scope::default(), crate::model::Timestamp::from_micros(0)?);
    for (i, new) in items.iter().enumerate() {
        let checked = new.clone().into_memory(&scope, MemoryId(uuid::Uuid::nil()), epoch);
        checked.map_err(|e| at_item(e, i, items.len() > 1))?;
    }
    Ok(())
}

/// Stores one memory, with more in the same transaction.
pub(super) async fn remember_with(deps: &Deps, scope: &Scope, item: Item, along: Along) -> Result<Receipt> {
    let receipts = commit(deps, &deps.ctx(scope)?, vec![item], along).await?;
    deps.background.nudge(scope);
    receipts.into_iter().next().ok_or_else(|| Error::internal("a write gave no receipt"))
}

/// Checks every item before anything is written.
pub(super) fn parse(deps: &Deps, scope: &Scope, items: Vec<NewMemory>) -> Result<Vec<Item>> {
    check_count(items.len())?;
    let now = deps.clock.now();
    let several = items.len() > 1;
    let parse_one = |(i, new): (usize, NewMemory)| -> Result<Item> {
        let idempotency = match &new.idempotency_key {
            Some(key) => Some(Idempotency { verb: "remember", key: key.clone(), body_hash: request_hash(&new)? }),
            None => None,
        };
        let infer = new.infer || deps.enrich != Enrich::Off;
        let memory = new.into_memory(scope, MemoryId(uuid::Uuid::nil()), now).map_err(|e| at_item(e, i, several))?;
        Ok(Item { memory, idempotency, infer })
    };
    let mut items: Vec<Item> = items.into_iter().enumerate().map(parse_one).collect::<Result<_>>()?;
    // Ids last: what is refused takes none. Each surface refuses some mistakes before they come here, and all must go on with
    // the same ids where a seed makes them.
    items.iter_mut().for_each(|item| item.memory.id = deps.ids.next(now));
    Ok(items)
}

/// The items of the next transaction: bounded in number and in bytes.
fn next_chunk(rest: &mut std::iter::Peekable<std::vec::IntoIter<Item>>) -> Vec<Item> {
    let (mut chunk, mut bytes) = (Vec::new(), 0);
    while let Some(item) = rest.peek() {
        bytes += item.memory.content.len();
        if !chunk.is_empty() && (chunk.len() == TRANSACTION_ITEMS_MAX || bytes > TRANSACTION_BYTES_MAX) {
            break;
        }
        chunk.extend(rest.next());
    }
    chunk
}

/// Embeds and writes items in one transaction with what goes along.
pub(super) async fn commit(deps: &Deps, ctx: &crate::Ctx, chunk: Vec<Item>, along: Along) -> Result<Vec<Receipt>> {
    let embedder = deps.embedder();
    let (memories, extras): (Vec<Memory>, Vec<_>) =
        chunk.into_iter().map(|i| (i.memory, (i.idempotency, i.infer))).unzip();
    // An embedder that fails must not lose the text: it is stored, and the vector is owed.
    let Embedded { mut vectors, failed } = embed_debt::embed_documents(deps, ctx, &*embedder, &memories).await;
    let embedded = vectors.len();
    vectors.resize(memories.len(), None);
    let infer: Vec<bool> = extras.iter().map(|(_, infer)| *infer).collect();
    let ids: Vec<MemoryId> = memories.iter().map(|m| m.id).collect();
    let trims = trims(&memories);
    let mut ops: Vec<Op> = Vec::with_capacity(memories.len() + trims.len() + 1);
    for ((memory, vector), (idempotency, _)) in memories.into_iter().zip(vectors).zip(extras) {
        let vector = vector.map(|vector| VectorRow { embedder: embedder.id().to_owned(), vector });
        ops.push(Op::PutMemory { memory: Box::new(memory), vector, idempotency });
    }
    ops.extend(trims);
    if let Some(error) = failed {
        if error.kind() == crate::ErrorKind::InvalidInput {
            return Err(error);
        }
        tracing::warn!(kind = error.kind().name(), "embedding failed; the vectors are owed as a job");
        ops.push(embed_debt::job(deps, &ids[embedded..], &error));
    }
    let asked: Vec<MemoryId> = ids.iter().zip(&infer).filter(|(_, infer)| **infer).map(|(id, _)| *id).collect();
    if !asked.is_empty() {
        ops.push(extract::job(deps, &asked));
    }
    ops.extend(along.ops);
    let mut preconditions = along.preconditions;
    preconditions.push(Precondition::EmbedderIs(embedder.id().to_owned()));
    let applied = deps.relational.apply(ctx, deps.batch_if(preconditions, ops)).await?;
    super::reflect_after(deps, ctx, (applied.seq_before, applied.seq)).await;
    let mut outcomes = applied.outcomes.into_iter();
    let puts: Vec<Outcome> = outcomes.by_ref().take(ids.len()).collect();
    let trimmed: HashSet<MemoryId> =
        outcomes.filter_map(|o| if let Outcome::Trimmed { ids } = o { Some(ids) } else { None }).flatten().collect();
    if !trimmed.is_empty() {
        let details = serde_json::json!({ "deleted": trimmed.len() });
        let mut batch = deps.batch(Vec::new());
        super::count_row(&mut batch, "capacity", details);
        deps.relational.apply(ctx, batch).await?;
    }
    infer_of_old(deps, ctx, &puts, &infer).await?;
    // A vector server that is away gets the vectors later.
    let late = deps.feeder.is_failing();
    puts.into_iter().enumerate().map(|(i, put)| receipt(put, late || i >= embedded, &trimmed)).collect()
}

/// What merged may not have been read when it was first said: its id is known only now.
async fn infer_of_old(deps: &Deps, ctx: &crate::Ctx, puts: &[Outcome], infer: &[bool]) -> Result<()> {
    let merged = |(put, infer): (&Outcome, &bool)| match put {
        Outcome::Put { id, merged: true, replayed: false, .. } if *infer => Some(*id),
        _ => None,
    };
    let ids: Vec<MemoryId> = puts.iter().zip(infer).filter_map(merged).collect();
    if !ids.is_empty() {
        deps.relational.apply(ctx, deps.batch(vec![extract::job(deps, &ids)])).await?;
    }
    Ok(())
}

fn receipt(outcome: Outcome, late: bool, trimmed: &HashSet<MemoryId>) -> Result<Receipt> {
    let Outcome::Put { id, version, merged, replayed } = outcome else {
        return Err(Error::internal("a put had another outcome"));
    };
    let mut degraded = Vec::new();
    if late && !merged && !replayed {
        degraded.push("dense".to_owned());
    }
    if trimmed.contains(&id) {
        degraded.push("capacity".to_owned());
    }
    Ok(Receipt { id, version, merged, degraded })
}

/// One trim per bounded layer (and session) that the chunk writes to.
fn trims(memories: &[Memory]) -> Vec<Op> {
    let mut places: BTreeSet<(Layer, Option<&str>)> = BTreeSet::new();
    for memory in memories {
        let policy = memory.layer.policy();
        if policy.capacity.is_some() {
            let session = if policy.capacity_per_session { memory.session_id.as_deref() } else { None };
            // What belongs to no session has no session to be bounded by.
            if session.is_some() || !policy.capacity_per_session {
                places.insert((memory.layer, session));
            }
        }
    }
    let trim = |(layer, session): (Layer, Option<&str>)| {
        layer.policy().capacity.map(|keep| Op::TrimLayer { layer, session_id: session.map(str::to_owned), keep })
    };
    places.into_iter().filter_map(trim).collect()
}

/// Tells a caller how far a call came before it failed.
pub(crate) fn with_prefix(error: Error, receipts: &[Receipt]) -> Error {
    let committed = receipts.len();
    let message = format!("{} (the first {committed} items were committed)", error.message());
    Error::new(error.kind(), message)
        .with_code(error.code().to_owned())
        .with_details(serde_json::json!({ "committed": committed, "receipts": receipts }))
        .with_source(error)
}
