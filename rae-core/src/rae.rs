//! The handle: each verb is one line into `ops`.

use crate::{
    Result,
    builder::{Builder, Embedding, guarded},
    deps::{CacheStats, Deps, IndexStats},
    error::{Error, ErrorKind},
    eval::{Comparison, Evaluation, Question},
    ingest::{MemoryUpdate, NewMemory, NewRelation},
    jobs::{
        feeder::VectorFeedStats,
        runner::{self, JobRun, WorkOptions},
    },
    model::{ApiKey, JobStats, KeyId, Memory, MemoryId, MemoryVersion, Scope, Tenant, Timestamp},
    ops::{
        self, Audit, AuditOptions, ChangePage, ChangesOptions, Context, ContextOptions, CreatedKey, ErasureOptions,
        ErasureReport, EvaluationRun, Exported, Finding, Forget, Forgotten, Hits, Imported, JobPage, JobsOptions,
        KeyCheck, ListOptions, Maintained, NewKey, Page, QuestionSet, RecallOptions, Receipt, Reembedded,
        RelationsOptions, Stats, Undone, VectorSync,
    },
    ports::{EmbedRole, Embedder},
};
use std::{
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use uuid::Uuid;

mod entities;
mod session;
mod spending;

pub use session::{Session, Whose};

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

    /// What the indexes in memory hold, over all handles on this store. Touches no disk.
    pub fn index_stats(&self) -> IndexStats {
        self.deps.index_stats()
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

    /// A block for a prompt under a token budget: a profile of `user_id` or of the only one who speaks in the session, lessons, memories,
    /// recent turns. Without a query the session's last turn is the question.
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

    /// Looks for whatever a receipt of [`Rae::forget`] names, in every place of the project and in these export files, and tells
    /// place by place what is there. Changes nothing. InvalidInput for what is no receipt, for that of another store or project
    /// (`other_project`), and for one that names no ids (`no_ids`).
    pub async fn verify_erasure(&self, receipt: &serde_json::Value, exports: &[PathBuf]) -> Result<ErasureReport> {
        let options = ErasureOptions { exports: exports.to_vec(), ..ErasureOptions::default() };
        self.verify_erasure_with(receipt, &options).await
    }

    /// As [`Rae::verify_erasure`], and looks for texts that somebody knows were erased as well. InvalidInput (`invalid_texts`) where there
    /// are too many of them, or one is too short or too long.
    pub async fn verify_erasure_with(
        &self,
        receipt: &serde_json::Value,
        options: &ErasureOptions,
    ) -> Result<ErasureReport> {
        named("verify_erasure", ops::verify_erasure(&self.deps, &self.scope, receipt, options).await)
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

    /// Asks every question as `recall` would and judges the hits by the labels. Changes nothing, not even what counts as use.
    /// InvalidInput for questions that cannot be judged or options that `recall` would refuse.
    pub async fn evaluate(&self, questions: &[Question], options: RecallOptions) -> Result<Evaluation> {
        named("evaluate", ops::evaluate(&self.deps, &self.scope, questions, options).await)
    }

    /// What differs between two runs over the same questions. InvalidInput where they share none, or looked at different numbers
    /// of hits.
    #[allow(clippy::unused_async, reason = "a verb like the others, for whoever calls them by name")]
    pub async fn compare_evaluations(&self, a: &Evaluation, b: &Evaluation) -> Result<Comparison> {
        named("compare_evaluations", Comparison::between(a, b))
    }

    /// Keeps a set of questions under a name, at most 1,000, in the place of the one of that name; an empty list removes it and
    /// its runs (NotFound where there is none). Workers run the stored sets by schedule.
    pub async fn set_questions(&self, name: &str, questions: Vec<Question>) -> Result<()> {
        named("set_questions", ops::set_questions(&self.deps, &self.scope, name, questions).await)
    }

    /// The stored sets of questions, by name.
    pub async fn question_sets(&self) -> Result<Vec<QuestionSet>> {
        named("question_sets", ops::question_sets(&self.deps, &self.scope).await)
    }

    /// Runs a stored set now, keeps the run and compares it with the one before. NotFound where there is no such set; Conflict
    /// (`record_changed`) where it was removed or written anew meanwhile. `k` is at most `limits::EVAL_STORED_K_MAX`.
    pub async fn run_questions(&self, name: &str, options: RecallOptions) -> Result<EvaluationRun> {
        named("run_questions", ops::run_questions(&self.deps, &self.scope, name, options).await)
    }

    /// The runs of a stored set that are kept, the newest first.
    pub async fn evaluations(&self, name: &str) -> Result<Vec<EvaluationRun>> {
        named("evaluations", ops::evaluations(&self.deps, &self.scope, name).await)
    }

    /// Stores a relation: a fact in words that carries its claim. The same with the same validity merges. NotFound where
    /// `source_id` names no memory.
    pub async fn relate(&self, new: NewRelation) -> Result<Receipt> {
        named("relate", ops::relate(&self.deps, &self.scope, new).await)
    }

    /// A page of relations, oldest first: the memories that carry them.
    pub async fn relations(&self, options: RelationsOptions) -> Result<Page> {
        named("relations", ops::relations(&self.deps, &self.scope, options).await)
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
        named("reembed", ops::reembed(&self.deps, guarded(embedder, &self.deps.observer)).await)
    }

    /// An embedder for [`Rae::reembed`], with the keys of the providers that the store was opened with. Errors as of
    /// [`Embedding::load_with`].
    pub fn load_embedder(&self, embedding: Embedding) -> Result<Arc<dyn Embedder>> {
        named("reembed", embedding.load_with(&*self.deps.desk.providers))
    }

    /// Runs due housekeeping now: purges what expired, pays owed vectors, truncates the log.
    pub async fn maintain(&self, now: Option<Timestamp>) -> Result<Maintained> {
        named("maintain", ops::maintain(&self.deps, &self.scope, now).await)
    }

    /// A page of the project's jobs, oldest first. InvalidInput for a limit or a cursor that is none.
    pub async fn jobs(&self, options: JobsOptions) -> Result<JobPage> {
        named("jobs", ops::jobs(&self.deps, Some(&self.scope), options).await)
    }

    /// The same of all tenants, for the operator.
    pub async fn all_jobs(&self, options: JobsOptions) -> Result<JobPage> {
        named("all_jobs", ops::jobs(&self.deps, None, options).await)
    }

    /// Takes a dead letter of the project back into the queue, with all its attempts before it. NotFound where there is none.
    pub async fn requeue_job(&self, id: Uuid) -> Result<()> {
        named("requeue_job", ops::requeue_job(&self.deps, &self.scope, id).await)
    }

    /// Numbers about the jobs of all tenants.
    pub async fn job_stats(&self) -> Result<JobStats> {
        named("job_stats", ops::job_stats(&self.deps).await)
    }

    /// Takes one due job of any tenant, in turn, and runs it; `None` when none is due. How a job failed is in the answer; an
    /// error is the store's.
    pub async fn run_due_job(&self, options: &WorkOptions) -> Result<Option<JobRun>> {
        named("run_due_job", runner::run_one(&self.deps, options).await)
    }

    /// Runs due jobs of all tenants until `stop` is ready, and then ends the one in hand; `told` hears of each. Waits out a
    /// store that does not answer. To stop at once, drop the future: the job in hand is run again by another worker when its
    /// lease is over. Gives how many were run; a read-only store has none. Unavailable (`closed`) once the store is closed.
    pub async fn work(
        &self,
        options: &WorkOptions,
        stop: impl Future<Output = ()> + Send,
        told: impl FnMut(&JobRun) + Send,
    ) -> Result<u64> {
        named("work", runner::work(&self.deps, options, stop, told).await)
    }

    /// Looks for duplicates, contradictions and orphans among the project's memories, and says what to do. Changes nothing, but with
    /// `fix` does what needs nobody's judgement, each as a change that [`Rae::undo`] takes back.
    pub async fn audit(&self, options: AuditOptions) -> Result<Audit> {
        named("audit", ops::audit(&self.deps, &self.scope, options).await)
    }

    /// A page of what the engine changed by itself, newest first: facts that were read, what reflection learnt, what an audit fixed,
    /// what age and capacities ended, and undoings. As far as audit rows go back.
    pub async fn changes(&self, options: ChangesOptions) -> Result<ChangePage> {
        named("changes", ops::changes(&self.deps, &self.scope, options).await)
    }

    /// Takes back a change that the engine made by itself: what it changed is as before, and what it added holds no longer. Done
    /// twice it is done once. NotFound (`no_such_change`); Conflict where one of its memories was changed or deleted since
    /// (`changed_since`) or where what it did is gone for good or follows from relations (`not_undoable`).
    pub async fn undo(&self, id: Uuid) -> Result<Undone> {
        named("undo", ops::undo(&self.deps, &self.scope, id).await)
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

    /// Makes a key of the handle's tenant, registering the tenant where it is not. The secret is in the answer and nowhere else.
    pub async fn create_key(&self, new: NewKey) -> Result<CreatedKey> {
        named("create_key", ops::create_key(&self.deps, &self.scope, new).await)
    }

    /// Revokes a key of any tenant; one that is revoked already stays as it is. NotFound where there is none.
    pub async fn revoke_key(&self, id: KeyId) -> Result<ApiKey> {
        named("revoke_key", ops::revoke_key(&self.deps, id).await)
    }

    /// A key by its id, whosever it is.
    pub async fn key(&self, id: KeyId) -> Result<Option<ApiKey>> {
        named("key", ops::key(&self.deps, id).await)
    }

    /// At most `limit` keys of the handle's tenant after one, in the order they were made; revoked and expired ones too.
    pub async fn keys(&self, after: Option<KeyId>, limit: usize) -> Result<Vec<ApiKey>> {
        named("keys", ops::keys(&self.deps, &self.scope, after, limit).await)
    }

    /// Whether this store has ever had a key. It stays so when all of them are gone.
    pub async fn has_had_keys(&self) -> Result<bool> {
        named("has_had_keys", ops::has_had_keys(&self.deps).await)
    }

    /// What tells keys of this store from everything else.
    pub async fn key_check(&self) -> Result<KeyCheck> {
        named("key_check", ops::key_check(&self.deps).await)
    }

    /// Registers the handle's tenant. Conflict (`tenant_exists`) where it is registered.
    pub async fn create_tenant(&self, label: Option<String>) -> Result<Tenant> {
        named("create_tenant", ops::create_tenant(&self.deps, &self.scope, label).await)
    }

    /// The handle's tenant. NotFound where it is neither registered nor has memories.
    pub async fn tenant(&self) -> Result<Tenant> {
        named("tenant", ops::tenant(&self.deps, &self.scope).await)
    }

    /// At most `limit` tenants with a name after `after`, in the order of their bytes.
    pub async fn tenants(&self, after: Option<&str>, limit: usize) -> Result<Vec<Tenant>> {
        named("tenants", ops::tenants(&self.deps, after, limit).await)
    }

    /// Adds to a counter of the handle's scope in the cache, which ends `ttl` after its first use; gives the sum. A cache may
    /// lose it at any time, and fails as a cache does: whoever counts goes on without.
    pub async fn count(&self, counter: &str, amount: i64, ttl: Duration) -> Result<i64> {
        let ctx = self.deps.ctx(&self.scope)?;
        named("count", self.deps.cache.add(&ctx, counter, amount, ttl).await)
    }

    /// Finishes what is queued and releases the file, for all clones. Closing twice is fine.
    pub async fn close(&self) -> Result<()> {
        self.deps.background.stop();
        self.deps.feeder.stop();
        // Counts are a convenience: a full disk must not keep a store from closing.
        let flushed = if self.deps.closed.load(Ordering::Acquire) {
            Ok(0)
        } else {
            ops::flush_access(&self.deps, &self.scope).await
        };
        if let Err(error) = flushed {
            tracing::warn!(%error, "access counts were not written");
        }
        if !self.deps.closed.load(Ordering::Acquire)
            && let Err(error) = self.settle().await
        {
            tracing::warn!(%error, "calls that were given up are booked when their time is over");
        }
        if self.deps.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        self.deps.indexes.clear();
        self.deps.graphs.clear();
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
