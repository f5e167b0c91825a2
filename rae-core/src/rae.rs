//! The handle: each verb is one line into `ops`.

use crate::{
    Result,
    builder::{Builder, guarded},
    deps::{CacheStats, Deps},
    error::{Error, ErrorKind},
    ingest::{MemoryUpdate, NewMemory},
    jobs::feeder::VectorFeedStats,
    model::{Memory, MemoryId, MemoryVersion, Scope, Timestamp},
    ops::{
        self, Audit, AuditOptions, Context, ContextOptions, Exported, Finding, Forget, Forgotten, Hits, Imported,
        ListOptions, Maintained, Page, RecallOptions, Receipt, Reembedded, Stats, VectorSync,
    },
    ports::{EmbedRole, Embedder},
};
use std::{
    path::Path,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

/// An open memory of one tenant and project. Cheap to clone; clones share the store. Close it, or drop the last clone.
///
/// The futures run on any executor; where there is none, [`crate::block_on`] does.
///
/// ```
/// # rae_core::block_on(async {
/// let mem = rae_core::Rae::builder().open().await?; // in memory; .path("agent.rae") for a file
/// mem.remember(rae_core::NewMemory { speaker: Some("Ada".into()), ..rae_core::NewMemory::new("I adopted a puppy.") }).await?;
/// let hits = mem.recall("Which animal did Ada get?", rae_core::RecallOptions::default()).await?;
/// assert_eq!(hits.hits[0].content, "I adopted a puppy.");
/// mem.close().await
/// # }).unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct Rae {
    deps: Deps,
    scope: Scope,
}

impl Rae {
    /// Options for opening.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn new(deps: Deps, scope: Scope) -> Self {
        Self { deps, scope }
    }

    #[cfg(test)]
    pub(crate) fn parts(&self) -> (&Deps, &Scope) {
        (&self.deps, &self.scope)
    }

    /// The same store seen by another tenant or project.
    pub fn with_scope(&self, scope: Scope) -> Self {
        Self { deps: self.deps.clone(), scope }
    }

    /// The same store, where each call of this handle may take so long; `None` sets no limit.
    pub fn with_timeout(&self, timeout: Option<Duration>) -> Self {
        Self { deps: Deps { timeout, ..self.deps.clone() }, scope: self.scope.clone() }
    }

    /// How often the caches of recall had what was looked for, over all handles on this store.
    pub fn cache_stats(&self) -> CacheStats {
        self.deps.lookups.stats()
    }

    /// How vectors on a server follow the memories; zeros where the vectors lie in the process.
    pub fn vector_feed(&self) -> VectorFeedStats {
        self.deps.feeder.stats()
    }

    /// Brings a vector server to what the memories of all tenants and projects say, by at most about `limit` changes, and
    /// settles what was applied long enough ago. A thread beside the store does the same by itself, so this is for whoever
    /// wants to wait for it. Does nothing where the vectors lie in the process. Errors: those of the stores.
    pub async fn sync_vectors(&self, limit: u64) -> Result<VectorSync> {
        named("sync_vectors", ops::sync_vectors(&self.deps, limit).await)
    }

    /// Tenant and project of this handle.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Numbers per vector of the embedder in use.
    pub fn dim(&self) -> usize {
        self.deps.embedder().dim()
    }

    /// Stores a memory, durably when it returns. InvalidInput before anything is written; Conflict for an idempotency key
    /// with another body.
    pub async fn remember(&self, new: NewMemory) -> Result<Receipt> {
        named("remember", ops::remember(&self.deps, &self.scope, new).await)
    }

    /// Stores many. All are checked first; then one transaction per at most 1,000 items. When one fails later, the error's
    /// details give `committed` and the `receipts` so far.
    pub async fn remember_many(&self, items: Vec<NewMemory>) -> Result<Vec<Receipt>> {
        named("remember_many", ops::remember_many(&self.deps, &self.scope, items).await)
    }

    /// Finds memories: meaning, words, speaker, session and time together. No model call.
    pub async fn recall(&self, query: &str, options: RecallOptions) -> Result<Hits> {
        named("recall", ops::recall(&self.deps, &self.scope, query, options).await)
    }

    /// A block for a prompt under a token budget. Without a query the session's last turn is the question.
    pub async fn context(&self, query: Option<&str>, options: ContextOptions) -> Result<Context> {
        named("context", ops::context(&self.deps, &self.scope, query, options).await)
    }

    /// A memory; NotFound when there is none.
    pub async fn get(&self, id: MemoryId) -> Result<Memory> {
        named("get", ops::get(&self.deps, &self.scope, id).await)
    }

    /// A page of memories, oldest first.
    pub async fn list(&self, options: ListOptions) -> Result<Page> {
        named("list", ops::list(&self.deps, &self.scope, options).await)
    }

    /// Changes a memory: its id stays, its version grows, the old version stays in history.
    pub async fn update(&self, id: MemoryId, update: MemoryUpdate) -> Result<Receipt> {
        named("update", ops::update(&self.deps, &self.scope, id, update).await)
    }

    /// All versions, oldest first; the last one is the present.
    pub async fn history(&self, id: MemoryId) -> Result<Vec<MemoryVersion>> {
        named("history", ops::history(&self.deps, &self.scope, id).await)
    }

    /// Erases a memory, all that match a filter, or a scope.
    pub async fn forget(&self, what: Forget) -> Result<Forgotten> {
        named("forget", ops::forget(&self.deps, &self.scope, what).await)
    }

    /// Says whether a memory helped: strength moves a fifth of the way to 1 or 0, importance a tenth. Gives the memory.
    pub async fn feedback(&self, id: MemoryId, useful: bool) -> Result<Memory> {
        named("feedback", ops::feedback(&self.deps, &self.scope, id, useful).await)
    }

    /// Unit vectors of texts as given, by the embedder in use; `None` for a text with nothing it knows. InvalidInput for more
    /// than 1,000 texts or a text of more than 1 MiB; the embedder's own error where it fails.
    pub async fn embed(&self, texts: &[&str], role: EmbedRole) -> Result<Vec<Option<Vec<f32>>>> {
        named("embed", ops::embed(&self.deps, &self.scope, texts, role).await)
    }

    /// The stored vector of a memory under the embedder in use; `None` where it has none. NotFound when there is no memory.
    pub async fn vector(&self, id: MemoryId) -> Result<Option<Vec<f32>>> {
        named("vector", ops::vector(&self.deps, &self.scope, id).await)
    }

    /// Numbers about the project and its store.
    pub async fn stats(&self) -> Result<Stats> {
        named("stats", ops::stats(&self.deps, &self.scope).await)
    }

    /// Writes the project with vectors and history to a file of JSON lines. Replaces an older export, and nothing else.
    pub async fn export(&self, path: impl AsRef<Path>) -> Result<Exported> {
        named("export", ops::export(&self.deps, &self.scope, path.as_ref()).await)
    }

    /// Reads an export into this project. The file is checked whole first; reading it twice changes nothing.
    pub async fn import(&self, path: impl AsRef<Path>) -> Result<Imported> {
        named("import", ops::import(&self.deps, &self.scope, path.as_ref()).await)
    }

    /// Changes the embedding model of the whole store while it stays in use. Interrupted, it goes on at the next call.
    pub async fn reembed(&self, embedder: Arc<dyn Embedder>) -> Result<Reembedded> {
        named("reembed", ops::reembed(&self.deps, guarded(embedder)).await)
    }

    /// Runs due housekeeping now: purges what expired, pays owed vectors, truncates the log.
    pub async fn maintain(&self, now: Option<Timestamp>) -> Result<Maintained> {
        named("maintain", ops::maintain(&self.deps, &self.scope, now).await)
    }

    /// Looks for duplicates, contradictions and orphans among the project's memories, and says what to do. Changes nothing.
    pub async fn audit(&self, options: AuditOptions) -> Result<Audit> {
        named("audit", ops::audit(&self.deps, &self.scope, options).await)
    }

    /// Looks for damage and says what to do.
    pub async fn doctor(&self) -> Result<Vec<Finding>> {
        named("doctor", ops::doctor(&self.deps, &self.scope).await)
    }

    /// Writes a consistent copy of the whole store to a new file.
    pub async fn backup(&self, path: impl AsRef<Path>) -> Result<()> {
        let ctx = self.deps.ctx(&self.scope)?;
        named("backup", self.deps.relational.backup(&ctx, path.as_ref()).await)
    }

    /// Finishes what is queued and releases the file, for all clones. Closing twice is fine.
    pub async fn close(&self) -> Result<()> {
        self.deps.background.stop();
        self.deps.feeder.stop();
        // Counts are a convenience: a full disk must not keep a store from closing.
        let flushed =
            if self.deps.closed.load(Ordering::Acquire) { Ok(0) } else { ops::flush_access(&self.deps).await };
        if let Err(error) = flushed {
            tracing::warn!(%error, "access counts were not written");
        }
        if self.deps.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        self.deps.indexes.clear();
        self.deps.vectors.close().await?;
        self.deps.cache.close().await?;
        named("close", self.deps.relational.close().await)
    }
}

fn named<T>(operation: &'static str, result: Result<T>) -> Result<T> {
    result.map_err(|e| e.with_operation(operation))
}

/// The embedder of a store and the one it was opened with are two: says so, and what to do.
pub(crate) fn embedder_mismatch(stored: &str, given: &str) -> Error {
    Error::new(
        ErrorKind::Conflict,
        format!(
            "this store was embedded with {stored}, not with {given}: open it with {stored}, or re-embed it (open with \
             {stored} and call reembed, or pass reembed=true to open)"
        ),
    )
    .with_code("embedder_mismatch")
    .with_details(serde_json::json!({ "stored": stored, "given": given }))
}
