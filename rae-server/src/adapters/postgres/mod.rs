//! The relational store on a PostgreSQL server, 13 or newer, through tokio-postgres.
//!
//! - **Exactly once.** A batch is one transaction. If the connection breaks, or the call's deadline passes while the
//!   commit is under way, it stays open whether the batch was written: applying it again under its id is safe. Transactions
//!   that lose to others (deadlock, serialization) begin again, a bounded number of times.
//! - **Group commit.** Writers of one scope come one after the other. Batches that only put memories and wait for their turn share
//!   one transaction; where that fails each is applied alone, so one that is refused takes no other with it. One whose caller is
//!   told before the commit that its time is over is not written; later it is as with any deadline during a commit.
//! - **Heartbeats.** A batch that only prolongs a lease locks the row of its job and waits for no writer of the scope.
//! - **Order.** A writer locks the row of its scope until it commits, so the numbers of a scope become visible in order.
//!   Scopes do not wait for each other. A batch that erases a project or tenant locks the tenant's scopes in the order of
//!   their numbers; one that changes the store's embedder waits for all writers. Whoever touches the money of a tenant also
//!   holds the tenant's row, as all its projects spend from one budget.
//! - **Two walls.** Every statement names its scope, and row-level security hides the rows of other tenants from the role
//!   `rae_app`, which every transaction takes together with its tenant. What concerns all tenants (the list of scopes,
//!   dropping the vectors of former embedders, housekeeping, a key by its id, the list of tenants, who spent the most) goes through functions that run with the rights of the
//!   schema's owner, named in the migration. The second wall is against mistakes of this adapter: who can run SQL of his
//!   own as the server's user can name any tenant.
//! - **Runtime.** Calls run as tasks of the Tokio runtime the store was opened in, whatever executor polls them; it must
//!   have worker threads. A caller who goes away leaves its call to finish by itself.
//! - **Time.** Batch ids, idempotency keys, leases and reservations run out by the database's clock, which all replicas share, unless the
//!   settings give a clock. With the database's clock, `lease` does not look at the `now` it is given.
//! - **Poolers.** A pooler that gives each transaction another connection must keep prepared statements (PgBouncer 1.21 or
//!   newer does); nothing else of a session is used.
//! - **Backups** are PostgreSQL's: `pg_dump`, or its archive of the log.

mod admin;
mod apply;
mod budgets;
mod bulk;
mod costs;
mod erase;
mod errors;
mod group;
mod index;
mod jobs;
mod keys;
mod ledger;
mod life;
mod prefilter;
mod put;
mod read;
mod records;
mod row;
mod schema;
mod session;
mod settings;
mod tls;

pub use schema::migrate;
pub use session::PoolState;
pub use settings::{PgVariables, PostgresSettings, Tls};

use apply::{apply, apply_beat, beats, joins};
use async_trait::async_trait;
use errors::no_schema;
use group::Group;
use rae_core::{
    Ctx, Error, Result,
    model::{
        ApiKey, Applied, Audit, Budget, BudgetLevel, Changes, CostQuery, CostRow, Filter, Funds, Head, Job, JobEntry,
        JobKind, JobScan, JobStats, KeptIds, KeyId, KeyedIds, Lease, LedgerRow, LedgerScan, LevelFunds, Life, Limits,
        Memory, MemoryId, MemoryVersion, Owner, Record, RecordKind, Scan, Schedule, Scope, SegmentRow, StoreStats,
        Tenant, Timestamp, VectorPoint, WriteBatch,
    },
    ports::{AdminRead, IndexRead, JobRead, LedgerRead, MemoryRead, RelationalCapability, RelationalStore},
};
use session::{Core, Mode, boxed};
use std::{collections::HashSet, fmt, path::Path, sync::Arc, time::Duration};
use uuid::Uuid;

/// The relational store in a PostgreSQL database. See the module's documentation.
pub struct PostgresStore {
    core: Arc<Core>,
    group: Arc<Group>,
    uuid: Uuid,
    receipt_key: [u8; 32],
    shown: String,
}

impl PostgresStore {
    /// Opens the store of a database that [`migrate`] prepared. Must be called inside a Tokio runtime.
    ///
    /// Errors: Unsupported (`no_schema`: migrate first; `newer_schema`; `no_runtime`), PermissionDenied, NotFound
    /// (`no_database`), Unavailable.
    pub async fn open(settings: PostgresSettings) -> Result<Self> {
        let core = Arc::new(Core::new(&settings)?);
        let opened = core.run_for_all(|tx| {
            boxed(async move {
                let version: Option<i32> = match tx.query_one("SELECT max(version) FROM rae.schema_version", &[]).await
                {
                    Ok(row) => row.try_get(0)?,
                    Err(fault) => return Err(fault),
                };
                schema::check(version.ok_or_else(no_schema)?)?;
                let row = tx.query_one("SELECT store_uuid, receipt_key FROM rae.meta", &[]).await?;
                let key = row::array(&row, 1)?;
                let key = key.ok_or_else(|| Error::corrupt("the store lacks its receipt key; restore a backup"))?;
                Ok((row.try_get::<_, Uuid>(0)?, key))
            })
        });
        let (uuid, receipt_key) = opened.await?;
        Ok(Self { core, group: Arc::default(), uuid, receipt_key, shown: format!("{settings:?}") })
    }

    /// The store's own id, made with it. A copy of the database has the same one.
    pub fn store_uuid(&self) -> Uuid {
        self.uuid
    }

    /// The store's connections at this moment.
    pub fn pool(&self) -> PoolState {
        self.core.pool_state()
    }

    /// Whether the database answers and this store's schema is there.
    pub async fn ping(&self) -> Result<()> {
        self.core
            .run_for_all(|tx| boxed(async move { tx.query_one("SELECT 1 FROM rae.meta", &[]).await.map(|_| ()) }))
            .await
    }

    /// Prolongs leases, without a turn in the scope. `None` where the batch must go the way of all others.
    async fn beat(&self, ctx: &Ctx, batch: Arc<WriteBatch>) -> Result<Option<Applied>> {
        let (core, own) = (Arc::clone(&self.core), ctx.clone());
        let work = async move {
            core.again(&own, Mode::Write, move |tx| {
                let batch = Arc::clone(&batch);
                boxed(async move { apply_beat(tx, &batch).await })
            })
            .await
        };
        self.core.task(ctx, Mode::Write, work).await
    }
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore").field("uuid", &self.uuid).field("settings", &self.shown).finish_non_exhaustive()
    }
}

#[async_trait]
impl RelationalStore for PostgresStore {
    fn capability(&self) -> RelationalCapability {
        RelationalCapability::new(true, true)
    }

    async fn apply(&self, ctx: &Ctx, batch: WriteBatch) -> Result<Applied> {
        let (batch, own) = (Arc::new(batch), ctx.clone());
        if joins(&batch)
            && let Some(applied) = self.group.apply(&self.core, ctx, Arc::clone(&batch)).await
        {
            return applied;
        }
        if beats(&batch)
            && let Some(applied) = self.beat(ctx, Arc::clone(&batch)).await?
        {
            return Ok(applied);
        }
        let spends = batch.ops.iter().any(ledger::touches_money);
        self.core
            .run_again(ctx, Mode::Write, spends, move |tx| {
                let (batch, ctx) = (Arc::clone(&batch), own.clone());
                boxed(async move { apply(tx, &ctx, &batch).await })
            })
            .await
    }

    async fn checkpoint(&self, ctx: &Ctx, now: Timestamp) -> Result<bool> {
        self.core.run_again(ctx, Mode::LongWrite, false, move |tx| boxed(admin::checkpoint(tx, now))).await?;
        // What a deleted row leaves in PostgreSQL's files and log goes by its own vacuum and archive, not by this call.
        Ok(true)
    }

    async fn verify(&self, ctx: &Ctx) -> Result<Vec<String>> {
        self.core.run(ctx, Mode::LongRead, |tx| boxed(admin::verify(tx))).await
    }

    async fn backup(&self, ctx: &Ctx, _target: &Path) -> Result<()> {
        ctx.check()?;
        self.ping().await?;
        let text = "a PostgreSQL store is backed up by PostgreSQL: use pg_dump, or archive its log";
        Err(Error::unsupported(text).with_code("use_pg_dump"))
    }

    async fn close(&self) -> Result<()> {
        self.core.close().await;
        Ok(())
    }
}

#[async_trait]
impl MemoryRead for PostgresStore {
    async fn get(&self, ctx: &Ctx, ids: &[MemoryId]) -> Result<Vec<Option<Memory>>> {
        let ids = ids.to_vec();
        self.core.run(ctx, Mode::Read, move |tx| boxed(async move { read::get(tx, &ids).await })).await
    }

    async fn keyed(&self, ctx: &Ctx, keys: &[[u8; 32]]) -> Result<Vec<Option<Memory>>> {
        let keys = keys.to_vec();
        self.core.run(ctx, Mode::Read, move |tx| boxed(async move { read::keyed(tx, &keys).await })).await
    }

    async fn scan(&self, ctx: &Ctx, scan: &Scan) -> Result<Vec<Memory>> {
        let scan = scan.clone();
        self.core.run(ctx, Mode::Read, move |tx| boxed(async move { read::scan(tx, &scan).await })).await
    }

    async fn history(&self, ctx: &Ctx, id: MemoryId) -> Result<Vec<MemoryVersion>> {
        self.core.run(ctx, Mode::Read, move |tx| boxed(read::history(tx, id))).await
    }

    async fn matching(&self, ctx: &Ctx, filter: &Filter) -> Result<Arc<HashSet<MemoryId>>> {
        let filter = filter.clone();
        self.core
            .run(ctx, Mode::Read, move |tx| boxed(async move { read::matching(tx, &filter).await }))
            .await
            .map(Arc::new)
    }

    async fn expired(&self, ctx: &Ctx, now: Timestamp, limit: usize) -> Result<Vec<MemoryId>> {
        self.core.run(ctx, Mode::Read, move |tx| boxed(read::expired(tx, now, limit))).await
    }

    async fn derived_from(&self, ctx: &Ctx, ids: &[MemoryId], limit: usize) -> Result<Vec<Memory>> {
        let ids = ids.to_vec();
        self.core.run(ctx, Mode::Read, move |tx| boxed(async move { read::derived_from(tx, &ids, limit).await })).await
    }

    async fn once_derived_from(&self, ctx: &Ctx, ids: &[MemoryId]) -> Result<Vec<(MemoryId, Vec<u32>)>> {
        let ids: Arc<HashSet<MemoryId>> = Arc::new(ids.iter().copied().collect());
        self.core
            .run(ctx, Mode::Read, move |tx| {
                let ids = Arc::clone(&ids);
                boxed(async move { read::once_derived_from(tx, &ids).await })
            })
            .await
    }

    async fn claims(&self, ctx: &Ctx, keys: &[[u8; 16]], owner: Option<&Owner>, limit: usize) -> Result<Vec<Memory>> {
        let (keys, owner) = (keys.to_vec(), owner.cloned());
        self.core
            .run(ctx, Mode::Read, move |tx| boxed(async move { read::claims(tx, &keys, owner.as_ref(), limit).await }))
            .await
    }

    async fn claimed(&self, ctx: &Ctx, after: Option<MemoryId>, limit: usize) -> Result<Vec<Memory>> {
        self.core.run(ctx, Mode::Read, move |tx| boxed(read::claimed(tx, after, limit))).await
    }

    async fn lives(&self, ctx: &Ctx, after: Option<MemoryId>, limit: usize) -> Result<Vec<Life>> {
        self.core.run(ctx, Mode::Read, move |tx| boxed(async move { life::lives(tx, after, limit).await })).await
    }

    async fn access(&self, ctx: &Ctx, ids: &[MemoryId]) -> Result<Vec<(u64, Option<Timestamp>)>> {
        let ids = ids.to_vec();
        self.core.run(ctx, Mode::Read, move |tx| boxed(async move { read::access(tx, &ids).await })).await
    }
}

#[async_trait]
impl IndexRead for PostgresStore {
    async fn head(&self, ctx: &Ctx) -> Result<Head> {
        self.core.run(ctx, Mode::Read, |tx| boxed(index::head(tx))).await
    }

    async fn last_deletion(&self, ctx: &Ctx, id: MemoryId) -> Result<u64> {
        self.core.run(ctx, Mode::Read, move |tx| boxed(index::last_deletion(tx, id))).await
    }

    async fn changes_since(&self, ctx: &Ctx, after: u64, upto: u64, limit: usize, embedder: &str) -> Result<Changes> {
        let embedder = embedder.to_owned();
        self.core
            .run(ctx, Mode::Read, move |tx| {
                boxed(async move { index::changes_since(tx, (after, upto), limit, &embedder).await })
            })
            .await
    }

    async fn segments(&self, ctx: &Ctx) -> Result<Vec<SegmentRow>> {
        self.core.run(ctx, Mode::Read, |tx| boxed(index::segments(tx))).await
    }

    async fn vectors(&self, ctx: &Ctx, embedder: &str, after: u64, limit: usize) -> Result<Vec<(u64, VectorPoint)>> {
        let embedder = embedder.to_owned();
        self.core
            .run(ctx, Mode::Read, move |tx| boxed(async move { index::vectors(tx, &embedder, after, limit).await }))
            .await
    }

    async fn vectors_of(&self, ctx: &Ctx, embedder: &str, ids: &[MemoryId]) -> Result<Vec<Option<Vec<f32>>>> {
        let (embedder, ids) = (embedder.to_owned(), ids.to_vec());
        self.core
            .run(ctx, Mode::Read, move |tx| boxed(async move { index::vectors_of(tx, &embedder, &ids).await }))
            .await
    }

    async fn without_vector(
        &self,
        ctx: &Ctx,
        embedder: &str,
        after: Option<MemoryId>,
        limit: usize,
    ) -> Result<Vec<Memory>> {
        let embedder = embedder.to_owned();
        self.core
            .run(ctx, Mode::Read, move |tx| {
                boxed(async move { index::without_vector(tx, &embedder, after, limit).await })
            })
            .await
    }
}

#[async_trait]
impl JobRead for PostgresStore {
    async fn lease(&self, ctx: &Ctx, now: Timestamp, duration: Duration, limit: usize) -> Result<Vec<Lease>> {
        let given = self.core.has_own_clock().then_some(now);
        self.core
            .run_again(ctx, Mode::Write, false, move |tx| {
                boxed(async move { jobs::lease(tx, given.map_or_else(|| tx.now(), Ok)?, duration, limit).await })
            })
            .await
    }

    async fn lease_due(
        &self,
        now: Timestamp,
        duration: Duration,
        limit: usize,
        kinds: &[JobKind],
    ) -> Result<Vec<(Scope, Lease)>> {
        let (given, kinds) = (self.core.has_own_clock().then_some(now), kinds.to_vec());
        let taken = self.core.change_for_all(move |tx| {
            boxed(async move {
                let now = given.map_or_else(|| tx.now(), Ok)?;
                let until = now.saturating_add(duration);
                Ok((until, jobs::lease_due(tx, now, until, limit, &kinds).await?))
            })
        });
        let (until, taken) = taken.await?;
        let mut leases = Vec::with_capacity(taken.len());
        // What a job is about is for its tenant to read.
        for (scope, id, fence) in taken {
            let ctx = Ctx::new(scope.clone());
            let job = self.core.run(&ctx, Mode::Read, move |tx| boxed(jobs::taken(tx, id, fence))).await?;
            leases.extend(job.map(|job| (scope, Lease { job, fence, until })));
        }
        Ok(leases)
    }

    async fn schedule(&self, now: Timestamp, schedules: &[Schedule]) -> Result<u64> {
        let (given, schedules) = (self.core.has_own_clock().then_some(now), schedules.to_vec());
        self.core
            .change_for_all(move |tx| {
                boxed(async move { jobs::schedule(tx, given.map_or_else(|| tx.now(), Ok)?, &schedules).await })
            })
            .await
    }

    async fn jobs(&self, ctx: &Ctx, limit: usize) -> Result<Vec<Job>> {
        self.core.run(ctx, Mode::Read, move |tx| boxed(jobs::list(tx, limit))).await
    }

    async fn job_page(&self, ctx: &Ctx, scan: &JobScan) -> Result<Vec<JobEntry>> {
        let scan = *scan;
        self.core.run(ctx, Mode::Read, move |tx| boxed(async move { jobs::page_of(tx, &scan).await })).await
    }

    async fn all_jobs(&self, scan: &JobScan) -> Result<Vec<JobEntry>> {
        let scan = *scan;
        self.core.run_for_all(move |tx| boxed(async move { jobs::all_jobs(tx, &scan).await })).await
    }

    async fn job_stats(&self, now: Timestamp) -> Result<JobStats> {
        let given = self.core.has_own_clock().then_some(now);
        self.core
            .run_for_all(move |tx| boxed(async move { jobs::stats(tx, given.map_or_else(|| tx.now(), Ok)?).await }))
            .await
    }
}

#[async_trait]
impl LedgerRead for PostgresStore {
    async fn budget(&self, ctx: &Ctx, level: BudgetLevel) -> Result<Budget> {
        self.core.run(ctx, Mode::Read, move |tx| boxed(budgets::budget(tx, level))).await
    }

    async fn funds(&self, ctx: &Ctx, defaults: &Limits) -> Result<Funds> {
        let defaults = *defaults;
        self.core
            .run(ctx, Mode::Read, move |tx| boxed(async move { budgets::funds(tx, tx.now()?, &defaults).await }))
            .await
    }

    async fn top_funds(&self, defaults: &Limits, limit: usize) -> Result<Vec<(String, LevelFunds)>> {
        let defaults = *defaults;
        self.core.run_for_all(move |tx| boxed(async move { budgets::top_funds(tx, &defaults, limit).await })).await
    }

    async fn costs(&self, ctx: &Ctx, query: &CostQuery) -> Result<Vec<CostRow>> {
        let query = query.clone();
        self.core.run(ctx, Mode::Read, move |tx| boxed(async move { costs::costs(tx, &query).await })).await
    }

    async fn ledger(&self, ctx: &Ctx, scan: &LedgerScan) -> Result<Vec<LedgerRow>> {
        let scan = scan.clone();
        self.core.run(ctx, Mode::Read, move |tx| boxed(async move { costs::ledger(tx, &scan).await })).await
    }
}

#[async_trait]
impl AdminRead for PostgresStore {
    async fn stats(&self, ctx: &Ctx) -> Result<StoreStats> {
        self.core.run(ctx, Mode::Read, |tx| boxed(admin::stats(tx))).await
    }

    async fn scopes(&self) -> Result<Vec<Scope>> {
        self.core.run_for_all(|tx| boxed(admin::scopes(tx))).await
    }

    async fn audit(&self, ctx: &Ctx, limit: usize) -> Result<Vec<(Timestamp, Audit)>> {
        let rows = self.core.run(ctx, Mode::Read, move |tx| boxed(admin::audit(tx, None, limit))).await?;
        Ok(rows.into_iter().map(|(_, at, row)| (at, row)).collect())
    }

    async fn audit_page(&self, ctx: &Ctx, before: Option<u64>, limit: usize) -> Result<Vec<(u64, Timestamp, Audit)>> {
        self.core.run(ctx, Mode::Read, move |tx| boxed(admin::audit(tx, before, limit))).await
    }

    async fn record(&self, ctx: &Ctx, kind: RecordKind, name: &str) -> Result<Option<Record>> {
        let name = name.to_owned();
        self.core.run(ctx, Mode::Read, move |tx| boxed(async move { records::record(tx, kind, &name).await })).await
    }

    async fn records(&self, ctx: &Ctx, kind: RecordKind, after: Option<&str>, limit: usize) -> Result<Vec<Record>> {
        let after = after.map(str::to_owned);
        self.core
            .run(ctx, Mode::Read, move |tx| {
                boxed(async move { records::records(tx, kind, after.as_deref(), limit).await })
            })
            .await
    }

    async fn receipt_key(&self) -> Result<[u8; 32]> {
        self.core.open()?;
        Ok(self.receipt_key)
    }

    async fn find_kept(&self, ctx: &Ctx, wanted: &KeyedIds) -> Result<KeptIds> {
        let wanted = wanted.clone();
        self.core.run(ctx, Mode::Read, move |tx| boxed(async move { life::find_kept(tx, &wanted).await })).await
    }

    async fn key(&self, id: KeyId) -> Result<Option<ApiKey>> {
        self.core.run_for_all(move |tx| boxed(keys::key(tx, id))).await
    }

    async fn has_had_keys(&self) -> Result<bool> {
        self.core.run_for_all(|tx| boxed(keys::has_had_keys(tx))).await
    }

    async fn keys(&self, ctx: &Ctx, after: Option<KeyId>, limit: usize) -> Result<Vec<ApiKey>> {
        self.core.run(ctx, Mode::Read, move |tx| boxed(keys::keys(tx, after, limit))).await
    }

    async fn tenant(&self, ctx: &Ctx) -> Result<Option<Tenant>> {
        self.core.run(ctx, Mode::Read, |tx| boxed(keys::tenant(tx))).await
    }

    async fn tenants(&self, after: Option<&str>, limit: usize) -> Result<Vec<Tenant>> {
        let after = after.map(str::to_owned);
        self.core.run_for_all(move |tx| boxed(async move { keys::tenants(tx, after.as_deref(), limit).await })).await
    }
}
