//! An answer that was paid for and is not used up yet: kept where answers are, for the next attempt of the job that asked. It goes
//! with an erasure of what it was asked about, as they do. Losing it costs money, never a fact.

use super::answers::{Listed, epoch, list};
use crate::{ctx::Ctx, deps::Deps, error::Result, limits::ANSWER_SECONDS_MAX, model::MemoryId};
use std::time::Duration;

const TTL: Duration = Duration::from_secs(ANSWER_SECONDS_MAX);

/// The place of an answer about one memory, with a `mark` of all that the answer depends on.
#[derive(Debug)]
pub(crate) struct Unfinished<'a> {
    source: MemoryId,
    mark: &'a [u8],
}

impl<'a> Unfinished<'a> {
    pub fn of(source: MemoryId, mark: &'a [u8]) -> Self {
        Self { source, mark }
    }

    fn key(&self, epoch: u64) -> String {
        let mut hash = blake3::Hasher::new();
        hash.update(&epoch.to_le_bytes()).update(self.source.0.as_bytes()).update(self.mark);
        format!("answers:unfinished:{}", hash.finalize().to_hex())
    }

    /// The answer, where it is kept and nothing was erased in the project since. A cache that fails is as one that is empty.
    pub async fn find(&self, deps: &Deps, ctx: &Ctx) -> Option<String> {
        let epoch = epoch(deps, ctx).await.ok()?;
        let bytes = deps.cache.get(ctx, &self.key(epoch)).await.ok()??;
        String::from_utf8(bytes.to_vec()).ok()
    }

    pub async fn keep(&self, deps: &Deps, ctx: &Ctx, answer: &str) {
        if let Err(error) = self.put(deps, ctx, answer).await {
            tracing::debug!(kind = error.kind().name(), "an answer that is not used up was not kept");
        }
    }

    async fn put(&self, deps: &Deps, ctx: &Ctx, answer: &str) -> Result<()> {
        let key = self.key(epoch(deps, ctx).await?);
        // First into the list: what is kept must be found by `forget`.
        let listed = Listed { key: key.clone(), near: None, sources: vec![self.source] };
        list(deps, ctx, listed, TTL).await?;
        deps.cache.put(ctx, &key, answer.as_bytes().into(), TTL).await?;
        // Whoever forgot it before it was in the list did not find it there.
        if deps.relational.get(ctx, &[self.source]).await?.iter().all(Option::is_none) {
            deps.cache.remove(ctx, &key).await?;
        }
        Ok(())
    }

    /// Takes it out: it is used up.
    pub async fn end(&self, deps: &Deps, ctx: &Ctx) {
        let ended = match epoch(deps, ctx).await {
            Ok(epoch) => deps.cache.remove(ctx, &self.key(epoch)).await,
            Err(error) => Err(error),
        };
        if let Err(error) = ended {
            tracing::debug!(kind = error.kind().name(), "an answer that is used up stays until its time is over");
        }
    }
}
