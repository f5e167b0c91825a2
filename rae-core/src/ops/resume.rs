//! Facts that hold again because what had ended them is gone: forgotten, expired, retired or erased, or withdrawn, or held for no time.
//! Part of `maintain`.
//!
//! Only what the engine itself ended, as the audit rows tell: what somebody said to be over stays over. How it was before is in the
//! history of the fact (`facts/resume.rs`). Each is a batch of its own with an audit row, which `undo` takes back for good.

use super::change_row;
use super::changes::endings;
use crate::{
    Ctx,
    deps::Deps,
    error::{ErrorKind, Result},
    facts::{self, Key, WITHDRAWN},
    ingest::dedup_key,
    jobs::extract::{batch_id, state},
    limits::{INDEX_DELTA_PAGE, PAGE_MAX, RESUME_KEYS_MAX},
    model::{
        Claim, Memory, MemoryId, MemoryPatch, MemoryVersion, Op, Owner, PatchMode, Precondition, Scope, WriteBatch,
    },
};
use serde_json::json;
use std::collections::{BTreeSet, HashMap, HashSet};

/// Attempts against others who change the same facts at the same time.
const ATTEMPTS: usize = 8;

/// No embedder has this name: the changes come without vectors.
const NO_EMBEDDER: &str = "";

/// Gives back their validity to all facts of a scope whose successor is gone; gives how many changed. What others kept changing
/// meanwhile is left to the next time.
pub(crate) async fn resume(deps: &Deps, scope: &Scope) -> Result<u64> {
    if deps.relational.capability().read_only {
        return Ok(0);
    }
    let ctx = deps.ctx(scope)?;
    let head = deps.relational.head(&ctx).await?;
    if is_looked_at(deps, &ctx, head.seq, head.tombstone_floor).await? {
        return Ok(0);
    }
    let mut pass = Pass::default();
    let mut after = None;
    loop {
        let ctx = deps.ctx(scope)?;
        let page = deps.relational.claimed(&ctx, after, PAGE_MAX).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        let is_last = page.len() < PAGE_MAX;
        pass.settle(deps, &ctx, page).await?;
        if is_last {
            break;
        }
    }
    if !pass.is_raced {
        deps.resumed.note(scope, head.seq);
    }
    if pass.resumed > 0 {
        deps.background.nudge(scope);
    }
    Ok(pass.resumed)
}

/// The same for what has one of these claims, right after something that had was forgotten; `maintain` sees to what is left.
pub(super) async fn resume_some(deps: &Deps, ctx: &Ctx, keys: &BTreeSet<[u8; 16]>) -> Result<()> {
    let mut pass = Pass::default();
    for key in keys.iter().take(RESUME_KEYS_MAX) {
        let page = deps.relational.claims(ctx, std::slice::from_ref(key), None, PAGE_MAX).await?;
        pass.settle(deps, ctx, page).await?;
    }
    Ok(())
}

/// The keys of the claims that memories have.
pub(super) async fn keys(deps: &Deps, ctx: &Ctx, ids: &[MemoryId]) -> Result<impl Iterator<Item = [u8; 16]>> {
    let found = deps.relational.get(ctx, ids).await?;
    Ok(found.into_iter().flatten().filter_map(|m| m.claim.as_ref().map(Claim::key)))
}

/// Whether nothing was deleted since somebody looked: then nothing new names what is gone.
async fn is_looked_at(deps: &Deps, ctx: &Ctx, head: u64, floor: u64) -> Result<bool> {
    let Some(upto) = deps.resumed.upto(ctx.scope()) else { return Ok(false) };
    if upto == head {
        return Ok(true);
    }
    // More than a page is read no sooner than the claims are.
    if upto < floor || upto > head || head - upto > INDEX_DELTA_PAGE as u64 {
        return Ok(false);
    }
    let changes = deps.relational.changes_since(ctx, upto, head, INDEX_DELTA_PAGE, NO_EMBEDDER).await?;
    let is_all = changes.upto >= head && changes.deletes.is_empty();
    if is_all {
        deps.resumed.note(ctx.scope(), head);
    }
    Ok(is_all)
}

#[derive(Default)]
struct Pass {
    resumed: u64,
    /// Whether others kept changing something that was to be written.
    is_raced: bool,
    /// The versions in which the engine ended something; read where it is needed.
    endings: Option<HashSet<(MemoryId, u32)>>,
}

/// What became of one fact.
enum Settled {
    /// It stays as it is.
    Left,
    Resumed,
    Raced,
}

impl Pass {
    async fn settle(&mut self, deps: &Deps, ctx: &Ctx, page: Vec<Memory>) -> Result<()> {
        let named: Vec<MemoryId> = page.iter().filter_map(|m| m.superseded_by).collect();
        let gone = gone(deps, ctx, &named).await?;
        for memory in page.iter().filter(|m| m.superseded_by.is_some_and(|by| gone.contains_key(&by))) {
            ctx.check()?;
            match self.one(deps, ctx, memory).await? {
                Settled::Left => {}
                Settled::Resumed => self.resumed += 1,
                Settled::Raced => self.is_raced = true,
            }
        }
        Ok(())
    }

    async fn one(&mut self, deps: &Deps, ctx: &Ctx, found: &Memory) -> Result<Settled> {
        let endings = match self.endings.take() {
            Some(endings) => self.endings.insert(endings),
            None => self.endings.insert(endings(deps, ctx).await?),
        };
        let Some(claim) = &found.claim else { return Ok(Settled::Left) };
        let (mut settled, mut last) = (Settled::Left, None);
        for _ in 0..ATTEMPTS {
            let now = deps.clock.now();
            // Facts of different users or agents are never compared.
            let owner = Owner::of(found);
            let mut known = deps.relational.claims(ctx, &[claim.key()], Some(&owner), PAGE_MAX).await?;
            known.retain(|m| !m.is_expired(now));
            let Some(fact) = known.iter().find(|m| m.id == found.id) else { return Ok(settled) };
            let Some((patch, preconditions)) = plan(deps, ctx, fact, &known, endings).await? else {
                return Ok(settled);
            };
            // Of two who decide from one state the second writes nothing, as where a fact is read; both look again.
            let state = state(fact, &claim.key(), &known);
            let salt = (last == Some(state)).then(|| deps.ids.next_uuid(now));
            last = Some(state);
            let id = batch_id(state, salt);
            let patch =
                Op::PatchMemory { id: fact.id, patch: Box::new(patch), mode: PatchMode::NewVersion, vector: None };
            let mut batch = WriteBatch { id, ..deps.batch_if(preconditions, vec![patch]) };
            let row = change_row("resume", id, &batch.ops, &[fact], None, json!({}));
            batch.ops.push(row);
            match deps.relational.apply(ctx, batch).await {
                Ok(_) => settled = Settled::Resumed,
                Err(error) if matches!(error.kind(), ErrorKind::Conflict | ErrorKind::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Settled::Raced)
    }
}

/// What is to be changed of a fact, and what must hold then; `None` where nothing is.
async fn plan(
    deps: &Deps,
    ctx: &Ctx,
    fact: &Memory,
    known: &[Memory],
    endings: &HashSet<(MemoryId, u32)>,
) -> Result<Option<(MemoryPatch, Vec<Precondition>)>> {
    let (Some(claim), Some(by)) = (&fact.claim, fact.superseded_by) else { return Ok(None) };
    let history = deps.relational.history(ctx, fact.id).await?;
    // Changed since it was looked up: the next look sees it.
    if history.last().is_none_or(|v| v.memory.version != fact.version) {
        return Ok(None);
    }
    let named: BTreeSet<MemoryId> = history.iter().filter_map(|v: &MemoryVersion| v.memory.superseded_by).collect();
    let gone = gone(deps, ctx, &named.into_iter().collect::<Vec<_>>()).await?;
    let by_engine = |version| endings.contains(&(fact.id, version));
    let is_single = facts::is_single(&claim.relation);
    let restored = facts::restore(&history, known, |id| gone.contains_key(&id), by_engine, is_single);
    let Some(restored) = restored else { return Ok(None) };
    let key = match restored.key {
        Key::Was(key) => key,
        Key::Anew => {
            // As where a fact is written: the key says nothing of when.
            let timeless = Memory { valid_from: None, valid_to: None, superseded_by: None, ..fact.clone() };
            dedup_key(&timeless)
        }
        Key::Over => None,
    };
    let patch = MemoryPatch {
        valid_to: Some(restored.to),
        superseded_by: Some(restored.by),
        dedup_key: Some(free(deps, ctx, fact, key).await?),
        ..MemoryPatch::default()
    };
    let is_still_so = match gone.get(&by).copied().flatten() {
        Some(version) => Precondition::VersionIs(by, version),
        None => Precondition::Absent(by),
    };
    let mut preconditions = vec![Precondition::VersionIs(fact.id, fact.version), is_still_so];
    let next = known.iter().find(|m| Some(m.id) == restored.by);
    preconditions.extend(next.map(|m| Precondition::VersionIs(m.id, m.version)));
    Ok(Some((patch, preconditions)))
}

/// The key, unless another memory came to have it: what says the same meanwhile keeps it.
async fn free(deps: &Deps, ctx: &Ctx, fact: &Memory, key: Option<[u8; 32]>) -> Result<Option<[u8; 32]>> {
    let Some(key) = key else { return Ok(None) };
    let held = deps.relational.keyed(ctx, &[key]).await?.into_iter().next().flatten();
    Ok(held.is_none_or(|m| m.id == fact.id).then_some(key))
}

/// Those of these memories that end nothing: not there, or, with the version in which it was seen, withdrawn or held for no time. What has
/// expired is there until it is purged, which comes before.
async fn gone(deps: &Deps, ctx: &Ctx, ids: &[MemoryId]) -> Result<HashMap<MemoryId, Option<u32>>> {
    let mut gone = HashMap::new();
    for page in ids.chunks(PAGE_MAX) {
        for (id, memory) in page.iter().zip(deps.relational.get(ctx, page).await?) {
            match memory {
                None => gone.insert(*id, None),
                Some(m) if m.metadata.contains_key(WITHDRAWN) || facts::is_void(&m) => {
                    gone.insert(*id, Some(m.version))
                }
                Some(_) => None,
            };
        }
    }
    Ok(gone)
}
