//! Brings a scope's indexes up to the store's head. Every read goes through [`fresh`] first: a recall sees each commit that
//! finished before it began, whichever process made it.

use crate::{
    ctx::Ctx,
    deps::Deps,
    error::{Error, Result},
    indexes::ScopeState,
    lexical::{LexDoc, ScopeIndex, segment},
    limits::{INDEX_DELTA_PAGE, SEGMENT_CHANGES, SEGMENTS_PER_BLOCK},
    model::{Changes, Head, MemoryId, Op, Outcome, SegmentRow, VectorPoint},
    ports::{Collection, VectorFeed, Watermark},
};
use std::sync::Arc;

/// The scope's index, containing everything that was committed before the call.
pub(crate) async fn fresh(deps: &Deps, ctx: &Ctx) -> Result<Arc<ScopeState>> {
    let head = deps.relational.head(ctx).await?;
    let collection = deps.collection();
    check_embedder(&head, &collection)?;
    let (state, evicted) = deps.indexes.get_or_create(ctx.scope());
    if let Some(scope) = evicted.filter(|_| lie_here(deps)) {
        deps.vectors.release(&deps.ctx(&scope)?, &collection).await?;
    }
    if is_fresh(deps, ctx, &state, &head, &collection).await? {
        return Ok(state);
    }
    catch_up(deps, ctx, &state, &head, &collection).await?;
    if state.overlay.lock().is_behind() {
        deps.feeder.nudge(ctx.scope());
    }
    Ok(state)
}

/// Whether the vectors lie in this process, so that a reader feeds them.
fn lie_here(deps: &Deps) -> bool {
    deps.vectors.capability().feed == VectorFeed::Reader
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
        state.coverage.lock().clear();
        if lie_here(deps) {
            deps.vectors.drop_scope(ctx, collection).await?;
        }
        state.overlay.lock().reset();
    }
    if state.index.read().applied_seq() == 0 {
        load_segments(deps, ctx, state, collection).await?;
    }
    if !lie_here(deps) {
        rebase(deps, ctx, state, collection, head).await?;
    } else if deps.vectors.watermark(ctx, collection).await?.applied == 0 {
        load_vectors(deps, ctx, collection, head.seq).await?;
    }
    apply_changes(deps, ctx, state, collection, head.seq).await
}

/// Asks the vector server, now and then, how far it is. One that does not answer holds nobody up.
async fn rebase(deps: &Deps, ctx: &Ctx, state: &ScopeState, collection: &Collection, head: &Head) -> Result<()> {
    if !state.overlay.lock().is_due() {
        return Ok(());
    }
    let mark = deps.vectors.watermark(ctx, collection).await;
    deps.feeder.note(&mark);
    match mark {
        Ok(mark) => state.overlay.lock().rebase(mark.applied, head.seq),
        Err(error) => {
            tracing::debug!(%error, "the vector server did not say how far it is");
            ctx.check()?;
            state.overlay.lock().unreachable(head.seq);
        }
    }
    Ok(())
}

/// Up to which change the vectors are known: by the store in the process, or by the overlay of a server.
async fn vectors_at(deps: &Deps, ctx: &Ctx, state: &ScopeState, collection: &Collection) -> Result<u64> {
    if lie_here(deps) {
        Ok(deps.vectors.watermark(ctx, collection).await?.applied)
    } else {
        Ok(state.overlay.lock().upto())
    }
}

async fn is_fresh(deps: &Deps, ctx: &Ctx, state: &ScopeState, head: &Head, collection: &Collection) -> Result<bool> {
    let applied = state.index.read().applied_seq();
    if !lie_here(deps) && state.overlay.lock().is_due() {
        return Ok(false);
    }
    Ok(applied >= head.seq && vectors_at(deps, ctx, state, collection).await? >= head.seq)
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
        } else {
            state.coverage.lock().add(row.from_seq, row.to_seq);
        }
        reached = row.to_seq;
    }
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
    deps.vectors.write(ctx, collection, Vec::new(), &[], Some(Watermark::at(head))).await?;
    deps.vectors.loaded(ctx, collection, head).await
}

/// Applies the change log from where the index stands up to `head`.
async fn apply_changes(deps: &Deps, ctx: &Ctx, state: &ScopeState, collection: &Collection, head: u64) -> Result<()> {
    let applied = state.index.read().applied_seq();
    let vectors_at = vectors_at(deps, ctx, state, collection).await?;
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
        let from = std::mem::replace(&mut after, changes.upto);
        apply_page(deps, ctx, state, coll, from, changes).await?;
    }
    Ok(())
}

async fn apply_page(
    deps: &Deps,
    ctx: &Ctx,
    state: &ScopeState,
    collection: &Collection,
    from: u64,
    changes: Changes,
) -> Result<()> {
    // Analysis is the slow part and needs no lock.
    let docs: Vec<LexDoc> = changes.puts.iter().map(|c| LexDoc::from_memory(&c.memory)).collect();
    {
        let mut index = state.index.write();
        for doc in docs {
            index.put(doc);
        }
        for (_, id) in &changes.deletes {
            let held = index.slot_of(*id).and_then(|slot| index.meta(slot)).map(|meta| meta.seq());
            if let Some(seq) = held {
                state.coverage.lock().remove_holding(seq);
            }
            index.remove(*id);
        }
        let applied = index.applied_seq().max(changes.upto);
        index.set_applied_seq(applied);
    }
    if !lie_here(deps) {
        let gone = changes.deletes.into_iter().map(|(seq, id)| (seq, id, None));
        let put = changes.puts.into_iter().map(|c| (c.memory.seq, c.memory.id, c.vector));
        state.overlay.lock().absorb(from, changes.upto, put.chain(gone));
        return Ok(());
    }
    let (points, removed, upto) = split(changes);
    // Before the vectors were loaded as a whole, a part of them must not pass for all.
    let loaded = deps.vectors.watermark(ctx, collection).await?.applied;
    let watermark = (loaded > 0).then(|| Watermark::at(loaded.max(upto)));
    deps.vectors.write(ctx, collection, points, &removed, watermark).await
}

/// Points to put, ids to remove, and up to which change.
pub(crate) fn split(changes: Changes) -> (Vec<VectorPoint>, Vec<MemoryId>, u64) {
    let mut points = Vec::with_capacity(changes.puts.len());
    let mut removed: Vec<MemoryId> = changes.deletes.into_iter().map(|(_, id)| id).collect();
    for changed in changes.puts {
        match changed.vector {
            Some(vector) => points.push(VectorPoint { id: changed.memory.id, vector }),
            // A new version without a vector yet must not be found by the old one's.
            None => removed.push(changed.memory.id),
        }
    }
    (points, removed, changes.upto)
}

/// Stores what the index knows and the segments do not, in ranges on a fixed grid; joins the small ones of a full block.
pub(crate) async fn flush_segments(deps: &Deps, ctx: &Ctx, state: &ScopeState) -> Result<()> {
    if deps.relational.capability().read_only {
        return Ok(());
    }
    loop {
        let (from, to, docs) = {
            let index = state.index.read();
            let next = state.coverage.lock().next_to_write(index.applied_seq(), SEGMENT_CHANGES, SEGMENTS_PER_BLOCK);
            let Some((from, to)) = next else { return Ok(()) };
            (from, to, index.docs_between(from, to))
        };
        let mut ids: Vec<_> = docs.iter().map(|d| d.id).collect();
        ids.sort_unstable();
        let row = SegmentRow { from_seq: from, to_seq: to, ids, data: segment::encode(&docs)? };
        let applied = deps.relational.apply(ctx, deps.batch(vec![Op::PutSegment { row }])).await?;
        if applied.outcomes.first() == Some(&Outcome::Skipped) {
            return Ok(()); // something in it was deleted meanwhile: the next round knows
        }
        state.coverage.lock().add(from, to);
    }
}
