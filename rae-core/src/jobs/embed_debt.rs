//! Vectors that are owed: memories whose embedding failed when they were written. Their `Embed` job commits with them.

use crate::{
    cost::{self, Embedded},
    ctx::Ctx,
    deps::Deps,
    error::{Error, ErrorKind, Result},
    guard::within,
    ingest::normalise_vector,
    lexical::embed_text,
    limits::EMBED_BATCH_MAX,
    model::{Job, JobKind, Memory, MemoryId, NewJob, Op, Timestamp, VectorRow},
    ports::{EmbedRole, Embedder},
};
use serde_json::Value;
use std::time::Duration;

/// How long a job waits for a budget that does not say when it begins anew.
const PARKED: Duration = Duration::from_secs(3_600);
/// How long it waits at least.
const PARKED_MIN: Duration = Duration::from_secs(30);

/// The job that pays for `ids`, for which there was no vector as of `failed`. Its payload is ids only.
pub(crate) fn job(deps: &Deps, ids: &[MemoryId], failed: &Error) -> Op {
    let now = deps.clock.now();
    let payload = serde_json::json!({ "ids": ids });
    let run_at = parked_until(failed, now).unwrap_or(now);
    Op::EnqueueJob { job: NewJob { id: deps.ids.next_uuid(now), kind: JobKind::Embed, payload, run_at } }
}

/// When what failed for want of money can be tried again: when the budget begins anew. `None` for other failures.
pub(crate) fn parked_until(failed: &Error, now: Timestamp) -> Option<Timestamp> {
    (failed.kind() == ErrorKind::BudgetExceeded).then(|| {
        let resets_at = failed.details().and_then(|details| details.get("resets_at")).and_then(Value::as_str);
        let resets_at = resets_at.and_then(|text| Timestamp::parse(text).ok());
        // Never at once: whoever runs what is due would come back without end.
        resets_at.unwrap_or_else(|| now.saturating_add(PARKED)).max(now.saturating_add(PARKED_MIN))
    })
}

/// The memories whose vectors an `Embed` job owes.
pub(super) fn ids(job: &Job) -> Result<Vec<MemoryId>> {
    match job.payload.get("ids") {
        Some(ids) => serde_json::from_value(ids.clone())
            .map_err(|e| Error::corrupt("the payload of an embed job is not a list of ids").with_source(e)),
        None => Ok(Vec::new()),
    }
}

/// Those of `ids` that are still there and whose vector is owed. What an earlier attempt computed may have cost money; then it is not
/// computed again.
pub(super) async fn owed(deps: &Deps, ctx: &Ctx, embedder: &dyn Embedder, ids: &[MemoryId]) -> Result<Vec<Memory>> {
    let stored = match embedder.paid() {
        Some(_) => deps.relational.vectors_of(ctx, embedder.id(), ids).await?,
        None => vec![None; ids.len()],
    };
    let live = deps.relational.get(ctx, ids).await?.into_iter().zip(stored);
    Ok(live.filter(|(_, vector)| vector.is_none()).filter_map(|(memory, _)| memory).collect())
}

/// How many of the first of these are embedded before anything is written: what one request takes, where each costs money.
pub(super) fn at_once(embedder: &dyn Embedder, memories: &[Memory]) -> usize {
    let Some(paid) = embedder.paid() else { return memories.len() };
    let texts: Vec<_> = memories.iter().map(embed_text).collect();
    let texts: Vec<&str> = texts.iter().map(AsRef::as_ref).collect();
    paid.in_one_request(&texts).clamp(1, memories.len().max(1))
}

/// `PutVector` ops for memories that have one.
pub(crate) fn puts(
    embedder: &dyn Embedder,
    memories: &[Memory],
    vectors: Vec<Option<Vec<f32>>>,
) -> impl Iterator<Item = Op> {
    memories.iter().zip(vectors).filter_map(|(memory, vector)| {
        let vector = VectorRow { embedder: embedder.id().to_owned(), vector: vector? };
        Some(Op::PutVector { id: memory.id, version: memory.version, vector })
    })
}

/// Unit vectors of memories, `None` where a text has nothing the embedder knows.
pub(crate) async fn embed_documents(deps: &Deps, ctx: &Ctx, embedder: &dyn Embedder, memories: &[Memory]) -> Embedded {
    let texts: Vec<_> = memories.iter().map(embed_text).collect();
    let texts: Vec<&str> = texts.iter().map(AsRef::as_ref).collect();
    embed_some(deps, ctx, embedder, &texts, EmbedRole::Document).await
}

/// Unit vectors of all texts.
pub(crate) async fn embed_texts(
    deps: &Deps,
    ctx: &Ctx,
    embedder: &dyn Embedder,
    texts: &[&str],
    role: EmbedRole,
) -> Result<Vec<Option<Vec<f32>>>> {
    let Embedded { vectors, failed } = embed_some(deps, ctx, embedder, texts, role).await;
    failed.map_or(Ok(vectors), Err)
}

/// Unit vectors of texts, a batch at a time, up to the first that fails.
async fn embed_some(deps: &Deps, ctx: &Ctx, embedder: &dyn Embedder, texts: &[&str], role: EmbedRole) -> Embedded {
    let mut out = Vec::with_capacity(texts.len());
    for page in texts.chunks(EMBED_BATCH_MAX) {
        let Embedded { vectors, failed } = match embedder.paid() {
            Some(paid) => cost::embed(deps, ctx, paid, page, role).await,
            None => free(ctx, embedder, page, role).await,
        };
        for vector in vectors {
            match normalise_vector(vector, embedder.dim()) {
                Ok(vector) => out.push(vector),
                Err(error) => return Embedded { vectors: out, failed: Some(error) },
            }
        }
        if failed.is_some() {
            return Embedded { vectors: out, failed };
        }
    }
    Embedded { vectors: out, failed: None }
}

/// One batch of an embedder that costs nothing. The deadline of the call ends one that does not answer; the guard's own limits know
/// nothing of it.
async fn free(ctx: &Ctx, embedder: &dyn Embedder, texts: &[&str], role: EmbedRole) -> Embedded {
    let embedded = within(ctx.remaining(), embedder.embed(texts, role)).await;
    let embedded = embedded.and_then(|vectors| {
        if vectors.len() == texts.len() {
            return Ok(vectors);
        }
        let (given, asked) = (vectors.len(), texts.len());
        Err(Error::invalid(format!("the embedder gave {given} vectors for {asked} texts; it must give one each")))
    });
    match embedded {
        Ok(vectors) => Embedded { vectors, failed: None },
        Err(error) => Embedded { vectors: Vec::new(), failed: Some(error) },
    }
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
