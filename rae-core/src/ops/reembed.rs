//! `reembed`: another embedding model, while the store stays in use.

use crate::{
    cost::{Embedded, check_embedder},
    deps::Deps,
    error::Result,
    jobs::embed_debt::{embed_documents, puts},
    limits::EMBED_BATCH_MAX,
    model::{Op, Outcome},
    ports::{Embedder, VectorFeed},
};
use serde::Serialize;
use std::sync::Arc;

/// What re-embedding did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reembedded {
    /// The embedder before.
    pub from: String,
    /// The embedder now.
    pub to: String,
    /// Vectors computed by this call, over all tenants and projects.
    pub vectors: u64,
}

/// First the new vectors beside the old ones, then the switch, then what was written in between. Interrupted before the
/// switch, the store answers as before, and the next call goes on where this one stopped.
pub(crate) async fn reembed(deps: &Deps, embedder: Arc<dyn Embedder>) -> Result<Reembedded> {
    check_embedder(deps, &*embedder)?;
    let from = deps.collection().embedder;
    let mut vectors = fill(deps, &*embedder).await?;
    let (id, dim) = (embedder.id().to_owned(), embedder.dim());
    let ctx = deps.ctx(&crate::model::Scope::default())?;
    deps.relational.apply(&ctx, deps.batch(vec![Op::SetEmbedder { embedder: id.clone(), dim }])).await?;
    let old = deps.collection();
    *deps.embedder.write() = Arc::clone(&embedder);
    deps.indexes.clear();
    for scope in deps.relational.scopes().await? {
        let ctx = deps.ctx(&scope)?;
        let dropped = deps.vectors.drop_scope(&ctx, &old).await;
        if deps.vectors.capability().feed == VectorFeed::Reader {
            dropped?;
            deps.vectors.drop_scope(&ctx, &deps.collection()).await?;
        } else if let Err(error) = dropped {
            tracing::warn!(%error, "vectors of the former embedder stay on the vector server; nothing asks for them");
        }
    }
    // A server's collection is made when it is fed.
    if deps.vectors.capability().feed == VectorFeed::Reader {
        deps.vectors.ensure(&ctx, &deps.collection()).await?;
    }
    vectors += fill(deps, &*embedder).await?;
    Ok(Reembedded { from, to: id, vectors })
}

/// Computes every vector that is missing under `embedder`.
async fn fill(deps: &Deps, embedder: &dyn Embedder) -> Result<u64> {
    let mut stored = 0;
    for scope in deps.relational.scopes().await? {
        let mut after = None;
        loop {
            // Each page has a deadline of its own: the whole may take hours.
            let ctx = deps.ctx(&scope)?;
            let page = deps.relational.without_vector(&ctx, embedder.id(), after, EMBED_BATCH_MAX).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            let Embedded { vectors, failed } = embed_documents(deps, &ctx, embedder, &page).await;
            // What was computed, and perhaps paid for, is kept, also where the rest fails.
            let ops: Vec<Op> = puts(embedder, &page, vectors).collect();
            let applied = deps.relational.apply(&ctx, deps.batch(ops)).await?;
            stored += applied.outcomes.iter().filter(|o| matches!(o, Outcome::Done)).count() as u64;
            if let Some(error) = failed {
                return Err(error);
            }
        }
    }
    Ok(stored)
}
