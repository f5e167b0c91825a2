//! Brings a scope's indexes up to the store's head. Every read goes through [`fresh`] first: a recall sees each commit that
//! finished before it began, whichever process made it.

use crate::{
    ctx::Ctx,
    deps::Deps,
    error::{Error, Result},
    indexes::ScopeState,
    lexical::{LexDoc, ScopeIndex, segment},
    limits::{INDEX_DELTA_PAGE, SEGMENT_CHANGES_MIN},
    model::{Changes, Head, Op, Outcome, SegmentRow, VectorPoint},
    ports::Collection,
};
use std::sync::{Arc, atomic::Ordering};

/// The scope's index, containing everything that was committed before the call.
pub(crate) async fn fresh(deps: &Deps, ctx: &Ctx) -> Result<Arc<ScopeState>> {
    let head = deps.relational.head(ctx).await?;
    let collection = deps.collection();
    check_embedder(&head, &collection)?;
    let (state, evicted) = deps.indexes.get_or_create(ctx.scope());
    if let Some(scope) = evicted {
        deps.vectors.release(&deps.ctx(&scope)?, &collection).await?;
    }
    if is_fresh(deps, ctx, &state, &head, &collection).await? {
        return Ok(state);
    }
    catch_up(deps, ctx, &state, &head, &collection).await?;
    Ok(state)
}

/// Brings the indexes to `head`; one caller at a time, the others wait and find it done.
async fn catch_up(deps: &Deps, ctx: &Ctx, state: &ScopeState, head: &Head, collection: &Collection) -> Result<()> {
    let _only_one = state.catching_up.lock().await;
    if is_fresh(deps, ctx, state, head, collection).await? {
        return Ok(());
    }
    let applied = state.index.read().applied_seq();
    if applied < head.tombstone_floor && applied > 0 {
        // The tombstones between are gone: what was deleted meanwhile cannot be known, so start over.
        *state.index.write() = ScopeIndex::new();
        state.segmented.store(0, Ordering::Release);
        deps.vectors.drop_scope(ctx, collection).await?;
    }
    if state.index.read().applied_seq() == 0 {
        load_segments(deps, ctx, state, collection).await?;
    }
    if deps.vectors.watermark(ctx, collection).await? == 0 {
        load_vectors(deps, ctx, collection, head.seq).await?;
    }
    apply_changes(deps, ctx, state, collection, head.seq).await
}

async fn is_fresh(deps: &Deps, ctx: &Ctx, state: &ScopeState, head: &Head, collection: &Collection) -> Result<bool> {
    let applied = state.index.read().applied_seq();
    Ok(applied >= head.seq && deps.vectors.watermark(ctx, collection).await? >= head.seq)
}

/// Conflict when the store was re-embedded by another process since this one opened it.
pub(crate) fn check_embedder(head: &Head, collection: &Collection) -> Result<()> {
    match &head.embedder {
        Some((id, _)) if *id != collection.embedder => Err(Error::conflict(format!(
            "the store's embedder is now {id}, this handle was opened with {}: open the store again with {id}, or call reembed",
            collection.embedder
        ))
        .with_code("embedder_changed")),
        _ => Ok(()),
    }
}

/// Fills an empty index from the stored segments, and the holes between them from the change log.
async fn load_segments(deps: &Deps, ctx: &Ctx, state: &ScopeState, collection: &Collection) -> Result<()> {
    let mut reached = 0;
    for row in deps.relational.segments(ctx).await? {
        ctx.check()?;
        if row.from_seq < reached {
            continue; // covered already by an earlier one
        }
        if row.from_seq > reached {
            apply_range(deps, ctx, state, collection, reached, row.from_seq).await?;
        }
        let loaded = {
            let mut index = state.index.write();
            let loaded = index.load(&row.data);
            if loaded.is_ok() {
                index.set_applied_seq(row.to_seq);
            }
            loaded
        };
        if let Err(error) = loaded {
            // A segment is derived: the change log has it all, only slower.
            tracing::warn!(%error, from = row.from_seq, to = row.to_seq, "unreadable index segment, reading the memories instead");
            apply_range(deps, ctx, state, collection, row.from_seq, row.to_seq).await?;
        }
        reached = row.to_seq;
    }
    state.segmented.store(reached, Ordering::Release);
    Ok(())
}

/// Fills the vectors of a scope up to `head`.
async fn load_vectors(deps: &Deps, ctx: &Ctx, collection: &Collection, head: u64) -> Result<()> {
    let mut after = 0;
    loop {
        ctx.check()?;
        let page = deps.relational.vectors(ctx, &collection.embedder, after, INDEX_DELTA_PAGE).await?;
        let Some((last, _)) = page.last() else { break };
        after = *last;
        let points = page.into_iter().map(|(_, point)| point).collect();
        deps.vectors.write(ctx, collection, points, &[], None).await?;
    }
    // What came after `head` was read early; it comes again with the changes and replaces itself.
    deps.vectors.write(ctx, collection, Vec::new(), &[], Some(head)).await?;
    deps.vectors.loaded(ctx, collection, head).await
}

/// Applies the change log from where the index stands up to `head`.
async fn apply_changes(deps: &Deps, ctx: &Ctx, state: &ScopeState, collection: &Collection, head: u64) -> Result<()> {
    let applied = state.index.read().applied_seq();
    let vectors_at = deps.vectors.watermark(ctx, collection).await?;
    // The vectors may lag behind the words (another scope state was evicted and rebuilt); both are fed from the older place.
    apply_range(deps, ctx, state, collection, applied.min(vectors_at), head).await
}

async fn apply_range(deps: &Deps, ctx: &Ctx, state: &ScopeState, coll: &Collection, from: u64, to: u64) -> Result<()> {
    let mut after = from;
    while after < to {
        ctx.check()?;
        let changes = deps.relational.changes_since(ctx, after, to, INDEX_DELTA_PAGE, &coll.embedder).await?;
        if changes.upto <= after {
            return Err(Error::internal("the change log does not move on"));
        }
        after = changes.upto;
        apply_page(deps, ctx, state, coll, changes).await?;
    }
    Ok(())
}

async fn apply_page(
    deps: &Deps,
    ctx: &Ctx,
    state: &ScopeState,
    collection: &Collection,
    changes: Changes,
) -> Result<()> {
    // Analysis is the slow part and needs no lock.
    let docs: Vec<LexDoc> = changes.puts.iter().map(|c| LexDoc::from_memory(&c.memory)).collect();
    let mut removed: Vec<_> = changes.deletes.iter().map(|(_, id)| *id).collect();
    let mut points = Vec::with_capacity(changes.puts.len());
    for changed in changes.puts {
        match changed.vector {
            Some(vector) => points.push(VectorPoint { id: changed.memory.id, vector }),
            // A new version without a vector yet must not be found by the old one's.
            None => removed.push(changed.memory.id),
        }
    }
    {
        let mut index = state.index.write();
        for doc in docs {
            index.put(doc);
        }
        for (_, id) in &changes.deletes {
            index.remove(*id);
        }
        let applied = index.applied_seq().max(changes.upto);
        index.set_applied_seq(applied);
    }
    // Before the vectors were loaded as a whole, a part of them must not pass for all.
    let loaded = deps.vectors.watermark(ctx, collection).await?;
    let watermark = (loaded > 0).then_some(loaded.max(changes.upto));
    deps.vectors.write(ctx, collection, points, &removed, watermark).await
}

/// Writes what the index has beyond the stored segments as a segment, once it is much.
pub(crate) async fn flush_segment(deps: &Deps, ctx: &Ctx, state: &ScopeState) -> Result<()> {
    loop {
        let (from, docs) = {
            let index = state.index.read();
            let from = state.segmented();
            let pending = usize::try_from(index.applied_seq().saturating_sub(from)).unwrap_or(usize::MAX);
            if pending < SEGMENT_CHANGES_MIN || deps.relational.capability().read_only {
                return Ok(());
            }
            let upto = index.applied_seq().min(from + 2 * SEGMENT_CHANGES_MIN as u64);
            (from, (upto, index.docs_between(from, upto)))
        };
        let (upto, docs) = docs;
        let mut ids: Vec<_> = docs.iter().map(|d| d.id).collect();
        ids.sort_unstable();
        let data = segment::encode(&docs)?;
        let row = SegmentRow { from_seq: from, to_seq: upto, ids, data };
        let applied = deps.relational.apply(ctx, deps.batch(vec![Op::PutSegment { row }])).await?;
        if applied.outcomes.first() == Some(&Outcome::Skipped) {
            return Ok(()); // something in it was deleted meanwhile: the next round sees it
        }
        state.segmented.store(upto, Ordering::Release);
    }
}
