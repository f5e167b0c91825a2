//! Each port through the guard. What may be repeated is decided here, method by method; a method that an implementation leaves to
//! its trait's default would bypass the guard, so that is denied.

use super::{
    Guarded, Policy,
    Rule::{Closing, Long, Once, Repeatable},
};
use crate::{
    ctx::Ctx,
    error::Result,
    model::{
        ApiKey, Applied, Audit, Budget, BudgetLevel, Changes, CostQuery, CostRow, Filter, Funds, Head, Job, JobEntry,
        JobKind, JobScan, JobStats, KeptIds, KeyId, KeyedIds, Lease, LedgerRow, LedgerScan, LevelFunds, Life, Limits,
        Memory, MemoryId, MemoryVersion, Owner, Record, RecordKind, Scan, Schedule, Scope, SegmentRow, StoreStats,
        Tenant, Timestamp, Usage, VectorFilter, VectorHit, VectorPoint, WriteBatch,
    },
    ports::{
        AdminRead, CacheStore, Charge, Collection, EmbedRole, Embedder, IndexRead, JobRead, LedgerRead, LlmFailure,
        MemoryRead, PaidEmbedder, RelationalCapability, RelationalStore, Reranker, VectorCapability, VectorStore,
        Watermark,
    },
};
use async_trait::async_trait;
use parking_lot::Mutex;
use std::{collections::HashSet, path::Path, sync::Arc, time::Duration};

impl Guarded<dyn RelationalStore> {
    /// A relational store behind `policy`.
    pub fn relational(inner: Arc<dyn RelationalStore>, policy: Policy) -> Self {
        Self::wrap("relational", inner, policy)
    }
}

impl Guarded<dyn VectorStore> {
    /// A vector store behind `policy`.
    pub fn vector(inner: Arc<dyn VectorStore>, policy: Policy) -> Self {
        Self::wrap("vector", inner, policy)
    }
}

impl Guarded<dyn CacheStore> {
    /// A cache behind `policy`.
    pub fn cache(inner: Arc<dyn CacheStore>, policy: Policy) -> Self {
        Self::wrap("cache", inner, policy)
    }
}

impl Guarded<dyn Embedder> {
    /// An embedder behind `policy`. It has no `Ctx`, so the policy alone bounds it.
    pub fn embedder(inner: Arc<dyn Embedder>, policy: Policy) -> Self {
        Self::wrap("embedder", inner, policy)
    }
}

impl Guarded<dyn Reranker> {
    /// A reranker behind `policy`. It has no `Ctx`, so the policy alone bounds it.
    pub fn reranker(inner: Arc<dyn Reranker>, policy: Policy) -> Self {
        Self::wrap("reranker", inner, policy)
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl RelationalStore for Guarded<dyn RelationalStore> {
    fn capability(&self) -> RelationalCapability {
        self.inner.capability()
    }

    async fn apply(&self, ctx: &Ctx, batch: WriteBatch) -> Result<Applied> {
        // Exactly-once per batch id makes it repeatable, also when it is unknown whether the last attempt committed. The batch is
        // copied only while another attempt may follow.
        let mut batch = Some(batch);
        let mut next = |last: bool| if last { batch.take() } else { batch.clone() };
        let attempt = |last| {
            let batch = next(last);
            async move {
                match batch {
                    Some(batch) => self.inner.apply(ctx, batch).await,
                    None => Err(crate::Error::internal("a batch was attempted after its last attempt")),
                }
            }
        };
        self.call(ctx, "apply", Repeatable, attempt).await
    }

    async fn checkpoint(&self, ctx: &Ctx, now: Timestamp) -> Result<bool> {
        self.call(ctx, "checkpoint", Long, |_| self.inner.checkpoint(ctx, now)).await
    }

    async fn verify(&self, ctx: &Ctx) -> Result<Vec<String>> {
        self.call(ctx, "verify", Long, |_| self.inner.verify(ctx)).await
    }

    async fn backup(&self, ctx: &Ctx, target: &Path) -> Result<()> {
        self.call(ctx, "backup", Long, |_| self.inner.backup(ctx, target)).await
    }

    async fn find_bytes(&self, ctx: &Ctx, needles: &[Vec<u8>]) -> Result<Vec<(String, u64)>> {
        self.call(ctx, "find_bytes", Long, |_| self.inner.find_bytes(ctx, needles)).await
    }

    async fn close(&self) -> Result<()> {
        self.call(None, "close", Closing, |_| self.inner.close()).await
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl MemoryRead for Guarded<dyn RelationalStore> {
    async fn get(&self, ctx: &Ctx, ids: &[MemoryId]) -> Result<Vec<Option<Memory>>> {
        self.call(ctx, "get", Repeatable, |_| self.inner.get(ctx, ids)).await
    }

    async fn keyed(&self, ctx: &Ctx, keys: &[[u8; 32]]) -> Result<Vec<Option<Memory>>> {
        self.call(ctx, "keyed", Repeatable, |_| self.inner.keyed(ctx, keys)).await
    }

    async fn scan(&self, ctx: &Ctx, scan: &Scan) -> Result<Vec<Memory>> {
        self.call(ctx, "scan", Repeatable, |_| self.inner.scan(ctx, scan)).await
    }

    async fn history(&self, ctx: &Ctx, id: MemoryId) -> Result<Vec<MemoryVersion>> {
        self.call(ctx, "history", Repeatable, |_| self.inner.history(ctx, id)).await
    }

    async fn matching(&self, ctx: &Ctx, filter: &Filter) -> Result<Arc<HashSet<MemoryId>>> {
        self.call(ctx, "matching", Repeatable, |_| self.inner.matching(ctx, filter)).await
    }

    async fn expired(&self, ctx: &Ctx, now: Timestamp, limit: usize) -> Result<Vec<MemoryId>> {
        self.call(ctx, "expired", Repeatable, |_| self.inner.expired(ctx, now, limit)).await
    }

    async fn derived_from(&self, ctx: &Ctx, ids: &[MemoryId], limit: usize) -> Result<Vec<Memory>> {
        self.call(ctx, "derived_from", Repeatable, |_| self.inner.derived_from(ctx, ids, limit)).await
    }

    async fn once_derived_from(&self, ctx: &Ctx, ids: &[MemoryId]) -> Result<Vec<(MemoryId, Vec<u32>)>> {
        self.call(ctx, "once_derived_from", Repeatable, |_| self.inner.once_derived_from(ctx, ids)).await
    }

    async fn claims(&self, ctx: &Ctx, keys: &[[u8; 16]], owner: Option<&Owner>, limit: usize) -> Result<Vec<Memory>> {
        self.call(ctx, "claims", Repeatable, |_| self.inner.claims(ctx, keys, owner, limit)).await
    }

    async fn claimed(&self, ctx: &Ctx, after: Option<MemoryId>, limit: usize) -> Result<Vec<Memory>> {
        self.call(ctx, "claimed", Repeatable, |_| self.inner.claimed(ctx, after, limit)).await
    }

    async fn lives(&self, ctx: &Ctx, after: Option<MemoryId>, limit: usize) -> Result<Vec<Life>> {
        self.call(ctx, "lives", Repeatable, |_| self.inner.lives(ctx, after, limit)).await
    }

    async fn access(&self, ctx: &Ctx, ids: &[MemoryId]) -> Result<Vec<(u64, Option<Timestamp>)>> {
        self.call(ctx, "access", Repeatable, |_| self.inner.access(ctx, ids)).await
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl IndexRead for Guarded<dyn RelationalStore> {
    async fn head(&self, ctx: &Ctx) -> Result<Head> {
        self.call(ctx, "head", Repeatable, |_| self.inner.head(ctx)).await
    }

    async fn last_deletion(&self, ctx: &Ctx, id: MemoryId) -> Result<u64> {
        self.call(ctx, "last_deletion", Repeatable, |_| self.inner.last_deletion(ctx, id)).await
    }

    async fn changes_since(&self, ctx: &Ctx, after: u64, upto: u64, limit: usize, embedder: &str) -> Result<Changes> {
        let read = |_| self.inner.changes_since(ctx, after, upto, limit, embedder);
        self.call(ctx, "changes_since", Repeatable, read).await
    }

    async fn segments(&self, ctx: &Ctx) -> Result<Vec<SegmentRow>> {
        self.call(ctx, "segments", Repeatable, |_| self.inner.segments(ctx)).await
    }

    async fn vectors(&self, ctx: &Ctx, embedder: &str, after: u64, limit: usize) -> Result<Vec<(u64, VectorPoint)>> {
        self.call(ctx, "vectors", Repeatable, |_| self.inner.vectors(ctx, embedder, after, limit)).await
    }

    async fn vectors_of(&self, ctx: &Ctx, embedder: &str, ids: &[MemoryId]) -> Result<Vec<Option<Vec<f32>>>> {
        self.call(ctx, "vectors_of", Repeatable, |_| self.inner.vectors_of(ctx, embedder, ids)).await
    }

    async fn without_vector(
        &self,
        ctx: &Ctx,
        embedder: &str,
        after: Option<MemoryId>,
        limit: usize,
    ) -> Result<Vec<Memory>> {
        self.call(ctx, "without_vector", Repeatable, |_| self.inner.without_vector(ctx, embedder, after, limit)).await
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl JobRead for Guarded<dyn RelationalStore> {
    async fn lease(&self, ctx: &Ctx, now: Timestamp, duration: Duration, limit: usize) -> Result<Vec<Lease>> {
        // A lease whose answer was lost is held until it runs out; another one would count an attempt more.
        self.call(ctx, "lease", Once, |_| self.inner.lease(ctx, now, duration, limit)).await
    }

    async fn lease_due(
        &self,
        now: Timestamp,
        duration: Duration,
        limit: usize,
        kinds: &[JobKind],
    ) -> Result<Vec<(Scope, Lease)>> {
        self.call(None, "lease_due", Once, |_| self.inner.lease_due(now, duration, limit, kinds)).await
    }

    async fn schedule(&self, now: Timestamp, schedules: &[Schedule]) -> Result<u64> {
        // What an attempt queued whose answer was lost, the next one finds queued.
        self.call(None, "schedule", Repeatable, |_| self.inner.schedule(now, schedules)).await
    }

    async fn jobs(&self, ctx: &Ctx, limit: usize) -> Result<Vec<Job>> {
        self.call(ctx, "jobs", Repeatable, |_| self.inner.jobs(ctx, limit)).await
    }

    async fn job_page(&self, ctx: &Ctx, scan: &JobScan) -> Result<Vec<JobEntry>> {
        self.call(ctx, "job_page", Repeatable, |_| self.inner.job_page(ctx, scan)).await
    }

    async fn all_jobs(&self, scan: &JobScan) -> Result<Vec<JobEntry>> {
        self.call(None, "all_jobs", Repeatable, |_| self.inner.all_jobs(scan)).await
    }

    async fn job_stats(&self, now: Timestamp) -> Result<JobStats> {
        self.call(None, "job_stats", Repeatable, |_| self.inner.job_stats(now)).await
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl LedgerRead for Guarded<dyn RelationalStore> {
    async fn budget(&self, ctx: &Ctx, level: BudgetLevel) -> Result<Budget> {
        self.call(ctx, "budget", Repeatable, |_| self.inner.budget(ctx, level)).await
    }

    async fn funds(&self, ctx: &Ctx, defaults: &Limits) -> Result<Funds> {
        self.call(ctx, "funds", Repeatable, |_| self.inner.funds(ctx, defaults)).await
    }

    async fn top_funds(&self, defaults: &Limits, limit: usize) -> Result<Vec<(String, LevelFunds)>> {
        self.call(None, "top_funds", Repeatable, |_| self.inner.top_funds(defaults, limit)).await
    }

    async fn costs(&self, ctx: &Ctx, query: &CostQuery) -> Result<Vec<CostRow>> {
        self.call(ctx, "costs", Repeatable, |_| self.inner.costs(ctx, query)).await
    }

    async fn ledger(&self, ctx: &Ctx, scan: &LedgerScan) -> Result<Vec<LedgerRow>> {
        self.call(ctx, "ledger", Repeatable, |_| self.inner.ledger(ctx, scan)).await
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl AdminRead for Guarded<dyn RelationalStore> {
    async fn stats(&self, ctx: &Ctx) -> Result<StoreStats> {
        self.call(ctx, "stats", Repeatable, |_| self.inner.stats(ctx)).await
    }

    async fn scopes(&self) -> Result<Vec<Scope>> {
        self.call(None, "scopes", Repeatable, |_| self.inner.scopes()).await
    }

    async fn audit(&self, ctx: &Ctx, limit: usize) -> Result<Vec<(Timestamp, Audit)>> {
        self.call(ctx, "audit", Repeatable, |_| self.inner.audit(ctx, limit)).await
    }

    async fn audit_page(&self, ctx: &Ctx, before: Option<u64>, limit: usize) -> Result<Vec<(u64, Timestamp, Audit)>> {
        self.call(ctx, "audit_page", Repeatable, |_| self.inner.audit_page(ctx, before, limit)).await
    }

    async fn record(&self, ctx: &Ctx, kind: RecordKind, name: &str) -> Result<Option<Record>> {
        self.call(ctx, "record", Repeatable, |_| self.inner.record(ctx, kind, name)).await
    }

    async fn records(&self, ctx: &Ctx, kind: RecordKind, after: Option<&str>, limit: usize) -> Result<Vec<Record>> {
        self.call(ctx, "records", Repeatable, |_| self.inner.records(ctx, kind, after, limit)).await
    }

    async fn receipt_key(&self) -> Result<[u8; 32]> {
        self.call(None, "receipt_key", Repeatable, |_| self.inner.receipt_key()).await
    }

    async fn find_kept(&self, ctx: &Ctx, wanted: &KeyedIds) -> Result<KeptIds> {
        self.call(ctx, "find_kept", Repeatable, |_| self.inner.find_kept(ctx, wanted)).await
    }

    async fn key(&self, id: KeyId) -> Result<Option<ApiKey>> {
        self.call(None, "key", Repeatable, |_| self.inner.key(id)).await
    }

    async fn has_had_keys(&self) -> Result<bool> {
        self.call(None, "has_had_keys", Repeatable, |_| self.inner.has_had_keys()).await
    }

    async fn keys(&self, ctx: &Ctx, after: Option<KeyId>, limit: usize) -> Result<Vec<ApiKey>> {
        self.call(ctx, "keys", Repeatable, |_| self.inner.keys(ctx, after, limit)).await
    }

    async fn tenant(&self, ctx: &Ctx) -> Result<Option<Tenant>> {
        self.call(ctx, "tenant", Repeatable, |_| self.inner.tenant(ctx)).await
    }

    async fn tenants(&self, after: Option<&str>, limit: usize) -> Result<Vec<Tenant>> {
        self.call(None, "tenants", Repeatable, |_| self.inner.tenants(after, limit)).await
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl VectorStore for Guarded<dyn VectorStore> {
    fn capability(&self) -> VectorCapability {
        self.inner.capability()
    }

    async fn ensure(&self, ctx: &Ctx, collection: &Collection) -> Result<()> {
        self.call(ctx, "ensure", Repeatable, |_| self.inner.ensure(ctx, collection)).await
    }

    async fn write(
        &self,
        ctx: &Ctx,
        collection: &Collection,
        upsert: Vec<VectorPoint>,
        delete: &[MemoryId],
        watermark: Option<Watermark>,
    ) -> Result<()> {
        let mut upsert = upsert;
        let attempt = |last: bool| {
            let points = if last { std::mem::take(&mut upsert) } else { upsert.clone() };
            self.inner.write(ctx, collection, points, delete, watermark)
        };
        self.call(ctx, "write", Repeatable, attempt).await
    }

    async fn query(
        &self,
        ctx: &Ctx,
        collection: &Collection,
        vector: &[f32],
        filter: &VectorFilter,
        k: usize,
    ) -> Result<Vec<VectorHit>> {
        self.call(ctx, "query", Repeatable, |_| self.inner.query(ctx, collection, vector, filter, k)).await
    }

    async fn score(
        &self,
        ctx: &Ctx,
        collection: &Collection,
        vector: &[f32],
        ids: &[MemoryId],
    ) -> Result<Vec<Option<f32>>> {
        self.call(ctx, "score", Repeatable, |_| self.inner.score(ctx, collection, vector, ids)).await
    }

    async fn watermark(&self, ctx: &Ctx, collection: &Collection) -> Result<Watermark> {
        self.call(ctx, "watermark", Repeatable, |_| self.inner.watermark(ctx, collection)).await
    }

    async fn loaded(&self, ctx: &Ctx, collection: &Collection, head: u64) -> Result<()> {
        self.call(ctx, "loaded", Repeatable, |_| self.inner.loaded(ctx, collection, head)).await
    }

    async fn purge(&self, ctx: &Ctx, collection: &Collection) -> Result<()> {
        self.call(ctx, "purge", Repeatable, |_| self.inner.purge(ctx, collection)).await
    }

    async fn release(&self, ctx: &Ctx, collection: &Collection) -> Result<()> {
        self.call(ctx, "release", Repeatable, |_| self.inner.release(ctx, collection)).await
    }

    async fn drop_scope(&self, ctx: &Ctx, collection: &Collection) -> Result<()> {
        self.call(ctx, "drop_scope", Repeatable, |_| self.inner.drop_scope(ctx, collection)).await
    }

    async fn close(&self) -> Result<()> {
        self.call(None, "close", Closing, |_| self.inner.close()).await
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl CacheStore for Guarded<dyn CacheStore> {
    async fn get(&self, ctx: &Ctx, key: &str) -> Result<Option<Arc<[u8]>>> {
        self.call(ctx, "get", Repeatable, |_| self.inner.get(ctx, key)).await
    }

    async fn put(&self, ctx: &Ctx, key: &str, value: Arc<[u8]>, ttl: Duration) -> Result<()> {
        self.call(ctx, "put", Repeatable, |_| self.inner.put(ctx, key, value.clone(), ttl)).await
    }

    async fn remove(&self, ctx: &Ctx, key: &str) -> Result<()> {
        self.call(ctx, "remove", Repeatable, |_| self.inner.remove(ctx, key)).await
    }

    async fn add(&self, ctx: &Ctx, key: &str, amount: i64, ttl: Duration) -> Result<i64> {
        self.call(ctx, "add", Once, |_| self.inner.add(ctx, key, amount, ttl)).await
    }

    async fn close(&self) -> Result<()> {
        self.call(None, "close", Closing, |_| self.inner.close()).await
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Embedder for Guarded<dyn Embedder> {
    fn id(&self) -> &str {
        self.inner.id()
    }

    fn dim(&self) -> usize {
        self.inner.dim()
    }

    fn is_cheap(&self) -> bool {
        self.inner.is_cheap()
    }

    fn paid(&self) -> Option<&dyn PaidEmbedder> {
        self.inner.paid().map(|_| self as &dyn PaidEmbedder)
    }

    async fn embed(&self, texts: &[&str], role: EmbedRole) -> Result<Vec<Option<Vec<f32>>>> {
        self.call(None, "embed", Repeatable, |_| self.inner.embed(texts, role)).await
    }
}

/// Only what [`Embedder::paid`] gave is asked; without an inner one there is nothing to ask, and nothing is charged.
#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl PaidEmbedder for Guarded<dyn Embedder> {
    fn provider(&self) -> &str {
        self.inner.paid().map_or("", PaidEmbedder::provider)
    }

    fn model(&self) -> &str {
        self.inner.paid().map_or("", PaidEmbedder::model)
    }

    fn in_one_request(&self, texts: &[&str]) -> usize {
        self.inner.paid().map_or(texts.len(), |paid| paid.in_one_request(texts))
    }

    fn tokens_at_most(&self, texts: &[&str]) -> u64 {
        self.inner.paid().map_or(0, |paid| paid.tokens_at_most(texts))
    }

    async fn embed_with_usage(
        &self,
        ctx: &Ctx,
        texts: &[&str],
        role: EmbedRole,
    ) -> Result<(Vec<Option<Vec<f32>>>, Usage), LlmFailure> {
        // An attempt that is cut off by its time limit was sent.
        let charge = Mutex::new(Charge::Nothing);
        let attempt = |_| async {
            let Some(paid) = self.inner.paid() else {
                return Err(crate::Error::internal("an embedder without a provider was asked for one"));
            };
            *charge.lock() = Charge::Unknown;
            paid.embed_with_usage(ctx, texts, role).await.map_err(|failure| {
                *charge.lock() = failure.charge;
                failure.error
            })
        };
        // Whoever books the attempts repeats them.
        let called = self.call(ctx, "embed", Once, attempt).await;
        called.map_err(|error| LlmFailure { error, charge: *charge.lock() })
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Reranker for Guarded<dyn Reranker> {
    fn id(&self) -> &str {
        self.inner.id()
    }

    async fn score(&self, query: &str, texts: &[&str]) -> Result<Vec<f32>> {
        self.call(None, "score", Repeatable, |_| self.inner.score(query, texts)).await
    }
}
