//! The truth.

use crate::{
    ctx::Ctx,
    error::Result,
    model::{
        ApiKey, Applied, Audit, Budget, BudgetLevel, Changes, CostQuery, CostRow, Funds, Head, Job, JobEntry, JobKind,
        JobScan, JobStats, KeptIds, KeyId, KeyedIds, Lease, LedgerRow, LedgerScan, LevelFunds, Life, Limits, Memory,
        MemoryId, MemoryVersion, Owner, Record, RecordKind, Scan, Schedule, Scope, SegmentRow, StoreStats, Tenant,
        Timestamp, VectorPoint, WriteBatch,
    },
};
use async_trait::async_trait;
use std::{collections::HashSet, fmt::Debug, sync::Arc, time::Duration};

/// What an adapter can do; the engine and the conformance suite branch on this, never on a backend's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RelationalCapability {
    /// What was acknowledged survives `kill -9` and reopening.
    pub durable: bool,
    /// Several processes may have it open at once.
    pub multi_process: bool,
    /// Opened without the right to write: `apply` gives PermissionDenied.
    pub read_only: bool,
}

impl RelationalCapability {
    /// A writable store with these two properties.
    pub const fn new(durable: bool, multi_process: bool) -> Self {
        Self { durable, multi_process, read_only: false }
    }

    /// The same, opened read-only.
    pub const fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }
}

/// The relational store: one write door and small reads by subject. All reads and writes see only `ctx.scope()`.
///
/// Rules every adapter keeps (the conformance suite tries them):
/// - `apply` is all or nothing, exactly-once per batch id for 24 h, and durable when it returns if the capability says so.
/// - Each op that changes what a reader of the scope can see (put, merge, patch, delete, vector) takes the next number of the
///   scope's change log; numbers become visible in order.
/// - Reading or deleting what is missing is no error: `None`, empty, `existed: false`.
#[async_trait]
pub trait RelationalStore:
    MemoryRead + IndexRead + JobRead + LedgerRead + AdminRead + Debug + Send + Sync + 'static
{
    /// What this adapter can do.
    fn capability(&self) -> RelationalCapability;

    /// Applies a batch in one transaction.
    async fn apply(&self, ctx: &Ctx, batch: WriteBatch) -> Result<Applied>;

    /// Housekeeping that is not a change: forgets batch ids, idempotency keys and tombstones that are due, returns free
    /// pages, truncates the write-ahead log. Gives whether nothing is left in the log (a reader may hold it back).
    async fn checkpoint(&self, ctx: &Ctx, now: Timestamp) -> Result<bool>;

    /// Checks the store's own consistency; a list of findings, empty when sound.
    async fn verify(&self, ctx: &Ctx) -> Result<Vec<String>>;

    /// Writes a consistent copy to a new file while the store stays in use. Unsupported where there is no such thing.
    async fn backup(&self, ctx: &Ctx, target: &std::path::Path) -> Result<()>;

    /// How often the raw bytes of each file of the store have any of `needles`, whatever the case of ASCII letters, in pages that are
    /// free, too; by the names of the files.
    /// Empty where the store has no files of its own.
    async fn find_bytes(&self, ctx: &Ctx, _needles: &[Vec<u8>]) -> Result<Vec<(String, u64)>> {
        ctx.check().map(|()| Vec::new())
    }

    /// Finishes what is queued and releases everything. Later calls give Unavailable. Closing twice is fine.
    async fn close(&self) -> Result<()>;
}

/// Reading memories.
#[async_trait]
pub trait MemoryRead {
    /// Live memories by id, in the order asked, `None` where there is none. Expired ones are live until they are purged.
    async fn get(&self, ctx: &Ctx, ids: &[MemoryId]) -> Result<Vec<Option<Memory>>>;

    /// Live memories by their `dedup_key`, in the order asked, `None` where there is none. Ended ones keep theirs, and expired ones
    /// are live until they are purged.
    async fn keyed(&self, ctx: &Ctx, keys: &[[u8; 32]]) -> Result<Vec<Option<Memory>>>;

    /// One page in id order.
    async fn scan(&self, ctx: &Ctx, scan: &Scan) -> Result<Vec<Memory>>;

    /// Older versions and the present one, oldest first; empty when the memory is not live.
    async fn history(&self, ctx: &Ctx, id: MemoryId) -> Result<Vec<MemoryVersion>>;

    /// Ids of all live memories that match: what a search may return.
    async fn matching(&self, ctx: &Ctx, filter: &crate::model::Filter) -> Result<Arc<HashSet<MemoryId>>>;

    /// At most `limit` live memories whose time to live is over at `now`, oldest expiry first.
    async fn expired(&self, ctx: &Ctx, now: Timestamp, limit: usize) -> Result<Vec<MemoryId>>;

    /// At most `limit` live memories derived from any of `ids` (provenance.derived_from), in id order.
    async fn derived_from(&self, ctx: &Ctx, ids: &[MemoryId], limit: usize) -> Result<Vec<Memory>>;

    /// Live memories of which an older version that is kept names any of `ids` in its provenance.derived_from, in id order, each with
    /// the numbers of those versions, rising. No index has what older versions name: this goes through the whole history of the
    /// scope once, however many ids there are, and past that of other scopes.
    async fn once_derived_from(&self, ctx: &Ctx, ids: &[MemoryId]) -> Result<Vec<(MemoryId, Vec<u32>)>>;

    /// At most `limit` live memories with a claim that has one of these keys ([`Claim::key`](crate::model::Claim::key)), of any owner
    /// or of this one, in id order.
    async fn claims(&self, ctx: &Ctx, keys: &[[u8; 16]], owner: Option<&Owner>, limit: usize) -> Result<Vec<Memory>>;

    /// At most `limit` live memories with a claim, with `id > after`, in id order.
    async fn claimed(&self, ctx: &Ctx, after: Option<MemoryId>, limit: usize) -> Result<Vec<Memory>>;
    /// At most `limit` live memories with `id > after`, in id order, as the lifecycle sees them: without texts.
    async fn lives(&self, ctx: &Ctx, after: Option<MemoryId>, limit: usize) -> Result<Vec<Life>>;

    /// Access data (count, last) by id, in the order asked; zero and `None` where there is none.
    async fn access(&self, ctx: &Ctx, ids: &[MemoryId]) -> Result<Vec<(u64, Option<Timestamp>)>>;
}

/// Reading what the derived indexes are made of.
#[async_trait]
pub trait IndexRead {
    /// Where the scope's change log stands.
    async fn head(&self, ctx: &Ctx) -> Result<Head>;

    /// The number of the last deletion of an id, as far as it is known: at least the floor of the tombstones, below which it is not.
    /// It stays when the id is put again, never falls, and is 0 in a scope where nothing was deleted.
    async fn last_deletion(&self, ctx: &Ctx, id: MemoryId) -> Result<u64>;

    /// Changes in `(after, upto]` (`upto` beyond the head means the head), at most `limit` puts and deletes together; `upto` of the
    /// answer says how far it reaches, so that the caller goes on from there. Vectors are those of `embedder`.
    async fn changes_since(&self, ctx: &Ctx, after: u64, upto: u64, limit: usize, embedder: &str) -> Result<Changes>;

    /// The stored segments, by ascending `from_seq`.
    async fn segments(&self, ctx: &Ctx) -> Result<Vec<SegmentRow>>;

    /// A page of vectors of live memories under `embedder`, of memories with `seq > after`, by ascending seq; with the seq of each.
    async fn vectors(&self, ctx: &Ctx, embedder: &str, after: u64, limit: usize) -> Result<Vec<(u64, VectorPoint)>>;

    /// Vectors of live memories under `embedder`, in the order asked, `None` where there is none.
    async fn vectors_of(&self, ctx: &Ctx, embedder: &str, ids: &[MemoryId]) -> Result<Vec<Option<Vec<f32>>>>;

    /// At most `limit` live memories without a vector under `embedder`, with `id > after`, in id order.
    async fn without_vector(
        &self,
        ctx: &Ctx,
        embedder: &str,
        after: Option<MemoryId>,
        limit: usize,
    ) -> Result<Vec<Memory>>;
}

/// Reading and taking jobs.
#[async_trait]
pub trait JobRead {
    /// Takes at most `limit` due jobs for `duration`. Jobs whose lease ran out are due again; attempts count.
    async fn lease(&self, ctx: &Ctx, now: Timestamp, duration: Duration, limit: usize) -> Result<Vec<Lease>>;

    /// Takes at most `limit` due jobs of `kinds`, of any scope, for `duration`. Tenants with due jobs take turns: the one that
    /// was served longest ago comes first, whatever the others have queued. Each job is then run in its own scope.
    async fn lease_due(
        &self,
        now: Timestamp,
        duration: Duration,
        limit: usize,
        kinds: &[JobKind],
    ) -> Result<Vec<(Scope, Lease)>>;
    /// Queues one job for each scope with memories whose period of a schedule is over, at most `limits::SCHEDULE_PAGE` for each
    /// schedule; gives how many. Whoever calls and however often, a period brings one job, and periods that nobody called in
    /// bring one together. No job is queued beside one of the same kind that waits; a dead letter of that kind is replaced. Jobs that are
    /// about something of the project (their payload says what) count as neither.
    async fn schedule(&self, now: Timestamp, schedules: &[Schedule]) -> Result<u64>;
    /// Jobs of the scope, dead letters too, oldest first.
    async fn jobs(&self, ctx: &Ctx, limit: usize) -> Result<Vec<Job>>;
    /// A page of the jobs of the scope.
    async fn job_page(&self, ctx: &Ctx, scan: &JobScan) -> Result<Vec<JobEntry>>;
    /// A page of the jobs of all scopes, for the operator.
    async fn all_jobs(&self, scan: &JobScan) -> Result<Vec<JobEntry>>;
    /// Numbers about the jobs of all scopes.
    async fn job_stats(&self, now: Timestamp) -> Result<JobStats>;
}

/// Reading budgets and what was spent. Days and months are those of the store's own clock.
#[async_trait]
pub trait LedgerRead {
    /// What was set for the call's tenant or project; nothing set where there is no budget.
    async fn budget(&self, ctx: &Ctx, level: BudgetLevel) -> Result<Budget>;

    /// Limits and spending of the call's tenant and project now. `defaults` are the tenant's where it set none. What ran out
    /// counts as held until somebody ends it: the next reserve, or maintenance.
    async fn funds(&self, ctx: &Ctx, defaults: &Limits) -> Result<Funds>;

    /// Funds of the tenants that spent the most this month, the greatest spending in dollars first, then by name: for metrics.
    /// At most `limit`, 1 to `limits::PAGE_MAX`; tenants that spent and hold nothing are left out.
    async fn top_funds(&self, defaults: &Limits, limit: usize) -> Result<Vec<(String, LevelFunds)>>;

    /// Sums of the ledger in the order of their keys, at most `query.limit`. Rows are dated by their reserve. Without groups there
    /// is one sum, also of nothing.
    async fn costs(&self, ctx: &Ctx, query: &CostQuery) -> Result<Vec<CostRow>>;

    /// A page of the ledger, the row that was booked last first.
    async fn ledger(&self, ctx: &Ctx, scan: &LedgerScan) -> Result<Vec<LedgerRow>>;
}

/// Numbers and records about the store itself.
#[async_trait]
pub trait AdminRead {
    /// Numbers about the scope and the store.
    async fn stats(&self, ctx: &Ctx) -> Result<StoreStats>;

    /// All scopes with live memories or a change log, for whole-store work (maintenance, re-embedding), in name order.
    async fn scopes(&self) -> Result<Vec<Scope>>;

    /// The newest audit rows of the scope.
    async fn audit(&self, ctx: &Ctx, limit: usize) -> Result<Vec<(Timestamp, Audit)>>;

    /// A page of the audit rows of the scope, newest first, those with a number below `before`. A number is opaque; it grows with each
    /// row of a scope and stays with it.
    async fn audit_page(&self, ctx: &Ctx, before: Option<u64>, limit: usize) -> Result<Vec<(u64, Timestamp, Audit)>>;

    /// A document of the scope by its kind and name.
    async fn record(&self, ctx: &Ctx, kind: RecordKind, name: &str) -> Result<Option<Record>>;

    /// At most `limit` documents of a kind with a name after `after`, in the order of their bytes.
    async fn records(&self, ctx: &Ctx, kind: RecordKind, after: Option<&str>, limit: usize) -> Result<Vec<Record>>;

    /// The key that keyed hashes in receipts use; made when the store was made, and never shown.
    async fn receipt_key(&self) -> Result<[u8; 32]>;

    /// How many of the ids that the scope keeps for a day, in receipts of idempotency keys and in what batches answered, are `wanted`.
    async fn find_kept(&self, ctx: &Ctx, wanted: &KeyedIds) -> Result<KeptIds>;

    /// A key by its id, whosever it is: who shows a key has not said for which tenant.
    async fn key(&self, id: KeyId) -> Result<Option<ApiKey>>;

    /// Whether this store has ever had a key. It stays so when all of them are gone.
    async fn has_had_keys(&self) -> Result<bool>;

    /// At most `limit` keys of the call's tenant with `id > after`, in id order; revoked and expired ones too.
    async fn keys(&self, ctx: &Ctx, after: Option<KeyId>, limit: usize) -> Result<Vec<ApiKey>>;

    /// The call's tenant, where it is registered or has live memories.
    async fn tenant(&self, ctx: &Ctx) -> Result<Option<Tenant>>;

    /// At most `limit` such tenants with a name after `after`, in the order of their bytes.
    async fn tenants(&self, after: Option<&str>, limit: usize) -> Result<Vec<Tenant>>;
}
