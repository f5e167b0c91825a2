//! Vectors that are owed: memories whose embedding failed when they were written. Their `Embed` job commits with them.

use crate::{
    ctx::Ctx,
    deps::Deps,
    error::Result,
    guard::within,
    ingest::normalise_vector,
    lexical::embed_text,
    limits::EMBED_BATCH_MAX,
    model::{Job, JobKind, Memory, MemoryId, NewJob, Op, VectorRow},
    ports::EmbedRole,
};

/// The job that pays for `ids`. Its payload is ids only.
pub(crate) fn job(deps: &Deps, ids: &[MemoryId]) -> Op {
    let now = deps.clock.now();
    let payload = serde_json::json!({ "ids": ids });
    Op::EnqueueJob { job: NewJob { id: deps.ids.next_uuid(now), kind: JobKind::Embed, payload, run_at: now } }
}

/// What pays an `Embed` job.
pub(super) async fn pay(deps: &Deps, ctx: &Ctx, job: &Job) -> Result<Vec<Op>> {
    let ids: Vec<MemoryId> = match job.payload.get("ids") {
        Some(ids) => serde_json::from_value(ids.clone())
            .map_err(|e| crate::Error::corrupt("the payload of an embed job is not a list of ids").with_source(e))?,
        None => Vec::new(),
    };
    let mut ops = Vec::with_capacity(ids.len());
    for page in ids.chunks(EMBED_BATCH_MAX) {
        let live: Vec<Memory> = deps.relational.get(ctx, page).await?.into_iter().flatten().collect();
        ops.extend(vectors_of(deps, ctx, &live).await?);
    }
    Ok(ops)
}

/// `PutVector` ops for memories, by the embedder in use.
async fn vectors_of(deps: &Deps, ctx: &Ctx, memories: &[Memory]) -> Result<Vec<Op>> {
    let embedder = deps.embedder();
    let mut ops = Vec::with_capacity(memories.len());
    for page in memories.chunks(EMBED_BATCH_MAX) {
        let vectors = embed_documents(ctx, &*embedder, page).await?;
        for (memory, vector) in page.iter().zip(vectors) {
            if let Some(vector) = vector {
                let vector = VectorRow { embedder: embedder.id().to_owned(), vector };
                ops.push(Op::PutVector { id: memory.id, version: memory.version, vector });
            }
        }
    }
    Ok(ops)
}

/// Unit vectors of memories, `None` where a text has nothing the embedder knows.
pub(crate) async fn embed_documents(
    ctx: &Ctx,
    embedder: &dyn crate::ports::Embedder,
    memories: &[Memory],
) -> Result<Vec<Option<Vec<f32>>>> {
    let texts: Vec<_> = memories.iter().map(embed_text).collect();
    let texts: Vec<&str> = texts.iter().map(AsRef::as_ref).collect();
    embed_texts(ctx, embedder, &texts, EmbedRole::Document).await
}

/// Unit vectors of texts, a batch at a time. The deadline of the call ends an embedder that does not answer; the guard's own
/// limits know nothing of it.
pub(crate) async fn embed_texts(
    ctx: &Ctx,
    embedder: &dyn crate::ports::Embedder,
    texts: &[&str],
    role: EmbedRole,
) -> Result<Vec<Option<Vec<f32>>>> {
    let mut out = Vec::with_capacity(texts.len());
    for page in texts.chunks(EMBED_BATCH_MAX) {
        let vectors = within(ctx.remaining(), embedder.embed(page, role)).await?;
        if vectors.len() != page.len() {
            return Err(crate::Error::invalid(format!(
                "the embedder gave {} vectors for {} texts; it must give one each",
                vectors.len(),
                page.len()
            )));
        }
        for vector in vectors {
            out.push(normalise_vector(vector, embedder.dim())?);
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use crate::{
        Embedding, ErrorKind, MemoryUpdate, NewMemory, Rae, RecallOptions, Result, block_on,
        ports::{EmbedRole, Embedder},
    };
    use async_trait::async_trait;
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        time::Duration,
    };

    /// Answers once, and never again.
    #[derive(Debug, Default)]
    struct Silent(AtomicUsize);

    #[async_trait]
    impl Embedder for Silent {
        fn id(&self) -> &str {
            "silent/2"
        }

        fn dim(&self) -> usize {
            2
        }

        async fn embed(&self, texts: &[&str], _: EmbedRole) -> Result<Vec<Option<Vec<f32>>>> {
            if self.0.fetch_add(1, Ordering::SeqCst) > 0 {
                std::future::pending::<()>().await;
            }
            Ok(vec![Some(vec![1.0, 2.0]); texts.len()])
        }
    }

    #[test]
    fn the_deadline_of_a_call_ends_an_embedder_that_never_answers() {
        block_on(async {
            let silent = Arc::new(Silent::default());
            let embedding = Embedding::Custom(Arc::clone(&silent) as Arc<dyn Embedder>);
            let mem = Rae::builder().embedding(embedding).timeout(Duration::from_millis(300)).open().await.unwrap();
            let id = mem.remember(NewMemory::new("The lamp is green.")).await.unwrap().id;
            let update = MemoryUpdate { content: Some("The lamp is red.".into()), ..MemoryUpdate::default() };
            let failed = [
                mem.remember(NewMemory::new("The lamp is blue.")).await.unwrap_err(),
                mem.update(id, update).await.unwrap_err(),
                mem.recall("green lamp", RecallOptions::default()).await.unwrap_err(),
            ];
            for error in failed {
                assert_eq!(error.kind(), ErrorKind::Timeout, "{error:?}");
            }
            // Without the deadline the guard would ask three times for each, half a minute each time.
            assert_eq!(silent.0.load(Ordering::SeqCst), 4);
            assert_eq!(mem.stats().await.unwrap().memories, 1);
            mem.close().await.unwrap();
        });
    }
}
