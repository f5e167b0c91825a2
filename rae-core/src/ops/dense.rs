//! The part of a search that asks the vectors. Where they lie on a server, what the server may not have yet is scored here, and
//! a server that fails costs the dense part, never the answer.

use crate::{
    Ctx,
    deps::Deps,
    error::Result,
    indexes::ScopeState,
    model::{MemoryId, VectorFilter, VectorHit},
    overlay::Shadow,
    ports::{Collection, VectorFeed},
};
use std::collections::HashMap;

/// One question's dense part.
pub(super) struct Dense {
    vector: Vec<f32>,
    collection: Collection,
    /// What goes before the server's word; `None` where the vectors lie in the process.
    shadow: Option<Shadow>,
    pub nearest: Vec<VectorHit>,
}

/// The nearest to `vector`; `None` when the server failed. The flag says that not everything could be asked.
pub(super) async fn nearest(
    deps: &Deps,
    ctx: &Ctx,
    state: &ScopeState,
    vector: Vec<f32>,
    filter: &VectorFilter,
    k: usize,
) -> Result<(Option<Dense>, bool)> {
    let collection = deps.collection();
    if deps.vectors.capability().feed == VectorFeed::Reader {
        let nearest = deps.vectors.query(ctx, &collection, &vector, filter, k).await?;
        return Ok((Some(Dense { vector, collection, shadow: None, nearest }), false));
    }
    // Before the server is asked: what leaves the overlay meanwhile may not have been there yet.
    let shadow = state.overlay.lock().shadow(&vector);
    // As many more as could be struck out of its answer.
    let wanted = k + shadow.cosines.len();
    let answer = deps.vectors.query(ctx, &collection, &vector, filter, wanted).await;
    deps.feeder.note(&answer);
    match answer {
        Ok(hits) => {
            let nearest = shadow.merge(hits, filter.only.as_deref(), k);
            let partial = !shadow.complete;
            Ok((Some(Dense { vector, collection, shadow: Some(shadow), nearest }), partial))
        }
        Err(error) => {
            tracing::warn!(kind = error.kind().name(), "the vector server failed; answering by words alone");
            ctx.check()?;
            Ok((None, true))
        }
    }
}

/// Cosines of `ids` in the order asked; `None` in place of all when the server failed.
pub(super) async fn cosines(
    deps: &Deps,
    ctx: &Ctx,
    dense: &Dense,
    ids: &[MemoryId],
) -> Result<Option<Vec<Option<f32>>>> {
    let Some(shadow) = &dense.shadow else {
        return deps.vectors.score(ctx, &dense.collection, &dense.vector, ids).await.map(Some);
    };
    let mut known: HashMap<MemoryId, Option<f32>> =
        dense.nearest.iter().map(|hit| (hit.id, Some(hit.cosine))).collect();
    known.extend(&shadow.cosines);
    let asked: Vec<MemoryId> = ids.iter().copied().filter(|id| !known.contains_key(id)).collect();
    if !asked.is_empty() {
        let answer = deps.vectors.score(ctx, &dense.collection, &dense.vector, &asked).await;
        deps.feeder.note(&answer);
        match answer {
            Ok(scores) => known.extend(asked.into_iter().zip(scores)),
            Err(error) => {
                tracing::warn!(kind = error.kind().name(), "the vector server failed; answering by words alone");
                ctx.check()?;
                return Ok(None);
            }
        }
    }
    Ok(Some(ids.iter().map(|id| known.get(id).copied().flatten()).collect()))
}
