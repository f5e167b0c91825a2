//! The embedded store: one SQLite file, or memory.
//!
//! One writer thread owns the only writing connection and joins batches that wait together into one transaction (group
//! commit); a few reader threads own read-only connections. A store in memory has one connection, which the writer
//! thread uses for reading too. Several processes may have one file open; writers take turns.
//!
//! - A full queue makes callers wait for room without blocking their executor.
//! - `Timeout` from `apply` means that nothing was written: a batch that the writer has begun is answered however long
//!   it takes.
//! - Dropping the future of `apply` leaves open whether the batch is written; applying it again under its id is safe.
//! - After a `fork` the child's calls give Unsupported (`forked`): threads do not survive it. Open the store in the
//!   child.

mod admin;
mod apply;
mod budgets;
mod costs;
mod erase;
mod errors;
mod fork;
mod index;
mod job_queue;
mod jobs;
mod keys;
mod ledger;
mod life;
mod open;
mod prefilter;
mod put;
mod queue;
mod raw;
mod read;
mod records;
mod row;
mod schema;
#[cfg(test)]
mod tests;
mod worker;

pub use fork::{after_fork_in_child, after_fork_in_parent, before_fork};

use crate::{
    ctx::Ctx,
    error::{Error, ErrorKind, Result},
    limits::{READ_QUEUE_MAX, READERS, SQLITE_BUSY_MILLIS, TOMBSTONES_MAX, WRITE_QUEUE_MAX},
    model::{
        ApiKey, Applied, Audit, Budget, BudgetLevel, Changes, CostQuery, CostRow, Filter, Funds, Head, Job, JobEntry,
        JobKind, JobScan, JobStats, KeptIds, KeyId, KeyedIds, Lease, LedgerRow, LedgerScan, LevelFunds, Life, Limits,
        Memory, MemoryId, MemoryVersion, Owner, Record, RecordKind, Scan, Schedule, Scope, SegmentRow, StoreStats,
        Tenant, Timestamp, VectorPoint, WriteBatch,
    },
    ports::{
        AdminRead, Clock, IndexRead, JobRead, LedgerRead, MemoryRead, RelationalCapability, RelationalStore,
        SystemClock,
    },
};
use async_trait::async_trait;
use errors::{Res, closed, read_only};
use futures::{
    FutureExt,
    channel::oneshot,
    future::{BoxFuture, Either, Shared, select},
};
use futures_timer::Delay;
use parking_lot::Mutex;
use queue::Queue;
use rusqlite::Connection;
use std::{
    collections::HashSet,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};
use uuid::Uuid;
use worker::{ApplyTask, Task, Worker, WriterTask, answer, snapshot, task};

/// When an acknowledged write is safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// It survives a power failure: each commit waits for the disk. The default.
    #[default]
    Full,
    /// It survives the end of the process (`kill -9` too); a power failure may take the last commits, never the store.
    Normal,
}

/// Whether a store may be opened without the right to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReadOnly {
    /// Writable where the file and its folder allow it, else read-only. The default.
    #[default]
    Auto,
    /// Always read-only, also where writing would be allowed. The store must exist.
    Always,
    /// Writable, or an error.
    Never,
}

/// How to open a [`SqliteStore`].
#[derive(Debug, Clone)]
pub struct OpenOptions {
    /// The file, which is made where there is none (its folder must exist). `None`, the default, or `:memory:` is a
    /// store in memory that goes with its handle. Nothing in the path has a special meaning: `?`, `%` and `file:` are
    /// plain names.
    pub path: Option<PathBuf>,
    /// When an acknowledged write is safe.
    pub durability: Durability,
    /// Says when batch ids, idempotency keys and leases run out. The default is the system's clock.
    pub clock: Arc<dyn Clock>,
    /// Whether it may be read-only.
    pub read_only: ReadOnly,
    /// For tests: the store's id and its receipt key follow from it. `None`, the default, takes them from the system.
    pub seed: Option<u64>,
    /// How long to wait for a lock of another process before a call is Unavailable (`busy`); 10 s by default.
    pub busy_timeout: Duration,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            path: None,
            durability: Durability::default(),
            clock: Arc::new(SystemClock),
            read_only: ReadOnly::default(),
            seed: None,
            busy_timeout: Duration::from_millis(SQLITE_BUSY_MILLIS),
        }
    }
}

impl OpenOptions {
    /// Defaults for a file.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self { path: Some(path.into()), ..Self::default() }
    }
}

/// The relational store in one SQLite file, or in memory. See the module's documentation.
pub struct SqliteStore {
    path: Option<PathBuf>,
    uuid: Uuid,
    receipt_key: [u8; 32],
    clock: Arc<dyn Clock>,
    /// The process that opened it: its threads live nowhere else.
    pid: u32,
    /// `None` when it is read-only.
    writes: Option<Arc<Queue<WriterTask>>>,
    /// `None` in memory, where the writer reads.
    reads: Option<Arc<Queue<Task>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Ready when the threads have released everything.
    ended: Shared<BoxFuture<'static, ()>>,
}

impl SqliteStore {
    /// Opens a store, making or migrating it where needed. Blocks on the disk.
    ///
    /// Errors: InvalidInput (`invalid_path`) for a folder, a missing parent folder or a path that names no file;
    /// NotFound (`no_store`) when it must be read-only and there is none; Corrupt (`not_a_store`) for a file that is
    /// something else, which is left as it is; Unsupported (`newer_schema`, `no_wal`); PermissionDenied
    /// (`no_permission`, `read_only`); Unavailable (`disk_full`, `busy`, `io_error`).
    pub fn open(options: OpenOptions) -> Result<Self> {
        let _inside = fork::enter();
        let path = open::resolve(options.path.as_deref())?;
        let opened = match &path {
            None => open::in_memory(&options)?,
            Some(path) => open::in_file(path, &options, READERS)?,
        };
        let first = opened.writer.as_ref().or(opened.readers.first());
        let first = first.ok_or_else(|| Error::internal("a store has at least one connection"))?;
        let (uuid, receipt_key) = schema::identity(first)?;
        let reads = (!opened.readers.is_empty()).then(|| Arc::new(Queue::new(READ_QUEUE_MAX)));
        let writes = opened.writer.is_some().then(|| Arc::new(Queue::new(WRITE_QUEUE_MAX)));
        let (threads, ended) = start(opened, path.as_deref(), reads.as_ref(), writes.as_ref(), &options.clock)
            // Readers that were started already must not wait for ever.
            .inspect_err(|_| reads.iter().for_each(|reads| reads.close()))?;
        let (clock, pid, threads) = (options.clock, std::process::id(), Mutex::new(threads));
        Ok(Self { path, uuid, receipt_key, clock, pid, writes, reads, threads, ended })
    }

    /// The clock that decides what ran out.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Fails in a child of the process that opened the store. Must come before any lock: in a child nobody may be left
    /// to release it.
    fn at_home(&self) -> Result<()> {
        if std::process::id() == self.pid {
            return Ok(());
        }
        let message = "the store was opened before this process was forked; open it again in the child";
        Err(Error::unsupported(message).with_code("forked"))
    }

    fn writes(&self) -> Result<&Queue<WriterTask>> {
        self.writes.as_deref().ok_or_else(read_only)
    }

    /// Runs `work` in one read transaction on a reader.
    async fn read<T: Send + 'static>(
        &self,
        ctx: &Ctx,
        work: impl FnOnce(&Connection) -> Res<T> + Send + 'static,
    ) -> Result<T> {
        self.at_home()?;
        let (task, reply) = task(ctx, move |conn| snapshot(conn, work));
        match &self.reads {
            Some(reads) => reads.push(ctx, task).await?,
            None => self.writes()?.push(ctx, WriterTask::Run(task)).await?,
        }
        let Some(left) = ctx.remaining() else { return answer(reply).await };
        // A read that nobody waits for any more does no harm.
        match select(Box::pin(answer(reply)), Delay::new(left)).await {
            Either::Left((result, _)) => result,
            Either::Right(_) => Err(Error::new(ErrorKind::Timeout, "the deadline of the call has passed")),
        }
    }

    /// Runs `work` on the writer, outside the group commit.
    async fn write<T: Send + 'static>(
        &self,
        ctx: &Ctx,
        work: impl FnOnce(&Connection) -> Res<T> + Send + 'static,
    ) -> Result<T> {
        self.at_home()?;
        let (task, reply) = task(ctx, work);
        self.writes()?.push(ctx, WriterTask::Run(task)).await?;
        answer(reply).await
    }

    fn close_queues(&self) {
        if let Some(writes) = &self.writes {
            writes.close();
        }
        if let Some(reads) = &self.reads {
            reads.close();
        }
    }

    fn join(&self) {
        let threads = std::mem::take(&mut *self.threads.lock());
        for thread in threads {
            // A thread catches the panics of its tasks; if it died all the same there is nothing left to release.
            let _ = thread.join();
        }
    }
}

type Started = (Vec<JoinHandle<()>>, Shared<BoxFuture<'static, ()>>);

/// Starts the threads; the future is ready when the last of them is at its end.
fn start(
    opened: open::Opened,
    path: Option<&Path>,
    reads: Option<&Arc<Queue<Task>>>,
    writes: Option<&Arc<Queue<WriterTask>>>,
    clock: &Arc<dyn Clock>,
) -> Result<Started> {
    let mut readers = Vec::new();
    if let Some(reads) = reads {
        for (n, conn) in opened.readers.into_iter().enumerate() {
            let frozen = path.filter(|_| opened.immutable).map(open::frozen).transpose()?;
            let worker = Worker::new(conn, frozen)?;
            readers.push(worker::reader(&format!("rae-read-{n}"), worker, Arc::clone(reads))?);
        }
    }
    let (end, ended) = oneshot::channel::<()>();
    let ended = ended.map(|_| ()).boxed().shared();
    let last = match (opened.writer, writes) {
        (Some(conn), Some(writes)) => {
            let finish = move |conn: &Connection| {
                // What cannot be emptied now is emptied by the next one who opens the file.
                let _ = admin::empty_log(conn);
                drop(end);
            };
            let (worker, queue) = (Worker::new(conn, None)?, Arc::clone(writes));
            worker::writer("rae-write", worker, queue, Arc::clone(clock), readers, finish)?
        }
        _ => worker::waiter("rae-close", readers, move || drop(end))?,
    };
    Ok((vec![last], ended))
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").field("path", &self.path).field("uuid", &self.uuid).finish_non_exhaustive()
    }
}

impl Drop for SqliteStore {
    /// Does what `close` does, blocking until what is queued is written.
    fn drop(&mut self) {
        if self.at_home().is_ok() {
            self.close_queues();
            self.join();
        }
    }
}

#[async_trait]
impl RelationalStore for SqliteStore {
    fn capability(&self) -> RelationalCapability {
        let on_disk = self.path.is_some();
        let capability = RelationalCapability::new(on_disk, on_disk);
        if self.writes.is_none() { capability.read_only() } else { capability }
    }

    async fn apply(&self, ctx: &Ctx, batch: WriteBatch) -> Result<Applied> {
        self.at_home()?;
        let (reply, result) = oneshot::channel();
        let task = ApplyTask { ctx: ctx.clone(), batch, reply };
        self.writes()?.push(ctx, WriterTask::Apply(Box::new(task))).await?;
        answer(result).await
    }

    async fn checkpoint(&self, ctx: &Ctx, now: Timestamp) -> Result<bool> {
        self.write(ctx, move |conn| admin::checkpoint(conn, now, TOMBSTONES_MAX)).await
    }

    async fn verify(&self, ctx: &Ctx) -> Result<Vec<String>> {
        let now = self.clock.now();
        self.read(ctx, move |conn| admin::verify(conn, now)).await
    }

    async fn backup(&self, ctx: &Ctx, target: &Path) -> Result<()> {
        let target =
            std::path::absolute(target).map_err(|e| errors::from_io(e, "the path of the backup cannot be used"))?;
        let (source, own) = (self.path.clone(), ctx.clone());
        self.read(ctx, move |conn| admin::backup(conn, &own, source.as_deref(), &target)).await
    }

    async fn find_bytes(&self, ctx: &Ctx, needles: &[Vec<u8>]) -> Result<Vec<(String, u64)>> {
        let Some(path) = self.path.clone() else { return Ok(Vec::new()) };
        let needles = needles.to_vec();
        self.read(ctx, move |_| Ok(raw::find(&path, &needles)?)).await
    }

    async fn close(&self) -> Result<()> {
        self.at_home()?;
        self.close_queues();
        self.ended.clone().await;
        self.join();
        Ok(())
    }
}

#[async_trait]
impl MemoryRead for SqliteStore {
    async fn get(&self, ctx: &Ctx, ids: &[MemoryId]) -> Result<Vec<Option<Memory>>> {
        let (scope, ids) = (ctx.scope().clone(), ids.to_vec());
        self.read(ctx, move |conn| read::get(conn, &scope, &ids)).await
    }

    async fn keyed(&self, ctx: &Ctx, keys: &[[u8; 32]]) -> Result<Vec<Option<Memory>>> {
        let (scope, keys) = (ctx.scope().clone(), keys.to_vec());
        self.read(ctx, move |conn| read::keyed(conn, &scope, &keys)).await
    }

    async fn scan(&self, ctx: &Ctx, scan: &Scan) -> Result<Vec<Memory>> {
        let (scope, scan) = (ctx.scope().clone(), scan.clone());
        self.read(ctx, move |conn| read::scan(conn, &scope, &scan)).await
    }

    async fn history(&self, ctx: &Ctx, id: MemoryId) -> Result<Vec<MemoryVersion>> {
        let scope = ctx.scope().clone();
        self.read(ctx, move |conn| read::history(conn, &scope, id)).await
    }

    async fn matching(&self, ctx: &Ctx, filter: &Filter) -> Result<Arc<HashSet<MemoryId>>> {
        let (scope, filter) = (ctx.scope().clone(), filter.clone());
        self.read(ctx, move |conn| read::matching(conn, &scope, &filter)).await.map(Arc::new)
    }

    async fn expired(&self, ctx: &Ctx, now: Timestamp, limit: usize) -> Result<Vec<MemoryId>> {
        let scope = ctx.scope().clone();
        self.read(ctx, move |conn| read::expired(conn, &scope, now, limit)).await
    }

    async fn derived_from(&self, ctx: &Ctx, ids: &[MemoryId], limit: usize) -> Result<Vec<Memory>> {
        let (scope, ids) = (ctx.scope().clone(), ids.to_vec());
        self.read(ctx, move |conn| read::derived_from(conn, &scope, &ids, limit)).await
    }

    async fn once_derived_from(&self, ctx: &Ctx, ids: &[MemoryId]) -> Result<Vec<(MemoryId, Vec<u32>)>> {
        let (scope, ids) = (ctx.scope().clone(), ids.iter().copied().collect());
        self.read(ctx, move |conn| read::once_derived_from(conn, &scope, &ids)).await
    }
    async fn claims(&self, ctx: &Ctx, keys: &[[u8; 16]], owner: Option<&Owner>, limit: usize) -> Result<Vec<Memory>> {
        let (scope, keys, owner) = (ctx.scope().clone(), keys.to_vec(), owner.cloned());
        self.read(ctx, move |conn| read::claims(conn, &scope, &keys, owner.as_ref(), limit)).await
    }

    async fn claimed(&self, ctx: &Ctx, after: Option<MemoryId>, limit: usize) -> Result<Vec<Memory>> {
        let scope = ctx.scope().clone();
        self.read(ctx, move |conn| read::claimed(conn, &scope, after, limit)).await
    }

    async fn lives(&self, ctx: &Ctx, after: Option<MemoryId>, limit: usize) -> Result<Vec<Life>> {
        let scope = ctx.scope().clone();
        self.read(ctx, move |conn| life::lives(conn, &scope, after, limit)).await
    }

    async fn access(&self, ctx: &Ctx, ids: &[MemoryId]) -> Result<Vec<(u64, Option<Timestamp>)>> {
        let (scope, ids) = (ctx.scope().clone(), ids.to_vec());
        self.read(ctx, move |conn| read::access(conn, &scope, &ids)).await
    }
}

#[async_trait]
impl IndexRead for SqliteStore {
    async fn head(&self, ctx: &Ctx) -> Result<Head> {
        let scope = ctx.scope().clone();
        self.read(ctx, move |conn| index::head(conn, &scope)).await
    }

    async fn last_deletion(&self, ctx: &Ctx, id: MemoryId) -> Result<u64> {
        let scope = ctx.scope().clone();
        self.read(ctx, move |conn| index::last_deletion(conn, &scope, id)).await
    }

    async fn changes_since(&self, ctx: &Ctx, after: u64, upto: u64, limit: usize, embedder: &str) -> Result<Changes> {
        let (scope, embedder) = (ctx.scope().clone(), embedder.to_owned());
        self.read(ctx, move |conn| index::changes_since(conn, &scope, (after, upto), limit, &embedder)).await
    }

    async fn segments(&self, ctx: &Ctx) -> Result<Vec<SegmentRow>> {
        let scope = ctx.scope().clone();
        self.read(ctx, move |conn| index::segments(conn, &scope)).await
    }

    async fn vectors(&self, ctx: &Ctx, embedder: &str, after: u64, limit: usize) -> Result<Vec<(u64, VectorPoint)>> {
        let (scope, embedder) = (ctx.scope().clone(), embedder.to_owned());
        self.read(ctx, move |conn| index::vectors(conn, &scope, &embedder, after, limit)).await
    }

    async fn vectors_of(&self, ctx: &Ctx, embedder: &str, ids: &[MemoryId]) -> Result<Vec<Option<Vec<f32>>>> {
        let (scope, embedder, ids) = (ctx.scope().clone(), embedder.to_owned(), ids.to_vec());
        self.read(ctx, move |conn| index::vectors_of(conn, &scope, &embedder, &ids)).await
    }

    async fn without_vector(
        &self,
        ctx: &Ctx,
        embedder: &str,
        after: Option<MemoryId>,
        limit: usize,
    ) -> Result<Vec<Memory>> {
        let (scope, embedder) = (ctx.scope().clone(), embedder.to_owned());
        self.read(ctx, move |conn| index::without_vector(conn, &scope, &embedder, after, limit)).await
    }
}

#[async_trait]
impl JobRead for SqliteStore {
    async fn lease(&self, ctx: &Ctx, now: Timestamp, duration: Duration, limit: usize) -> Result<Vec<Lease>> {
        let scope = ctx.scope().clone();
        self.write(ctx, move |conn| jobs::lease(conn, &scope, now, duration, limit)).await
    }

    async fn lease_due(
        &self,
        now: Timestamp,
        duration: Duration,
        limit: usize,
        kinds: &[JobKind],
    ) -> Result<Vec<(Scope, Lease)>> {
        let (ctx, kinds) = (Ctx::new(Scope::default()), kinds.to_vec());
        // Most looks find nothing, and those need not wait for the writer.
        if !self.read(&ctx, move |conn| job_queue::is_any_due(conn, now)).await? {
            return Ok(Vec::new());
        }
        self.write(&ctx, move |conn| job_queue::lease_due(conn, now, duration, limit, &kinds)).await
    }

    async fn schedule(&self, now: Timestamp, schedules: &[Schedule]) -> Result<u64> {
        let (ctx, schedules) = (Ctx::new(Scope::default()), schedules.to_vec());
        self.write(&ctx, move |conn| job_queue::schedule(conn, now, &schedules)).await
    }

    async fn jobs(&self, ctx: &Ctx, limit: usize) -> Result<Vec<Job>> {
        let scope = ctx.scope().clone();
        self.read(ctx, move |conn| jobs::list(conn, &scope, limit)).await
    }

    async fn job_page(&self, ctx: &Ctx, scan: &JobScan) -> Result<Vec<JobEntry>> {
        let (scope, scan) = (ctx.scope().clone(), *scan);
        self.read(ctx, move |conn| job_queue::page_of(conn, Some(&scope), &scan)).await
    }

    async fn all_jobs(&self, scan: &JobScan) -> Result<Vec<JobEntry>> {
        let scan = *scan;
        self.read(&Ctx::new(Scope::default()), move |conn| job_queue::page_of(conn, None, &scan)).await
    }

    async fn job_stats(&self, now: Timestamp) -> Result<JobStats> {
        self.read(&Ctx::new(Scope::default()), move |conn| job_queue::stats(conn, now)).await
    }
}

#[async_trait]
impl LedgerRead for SqliteStore {
    async fn budget(&self, ctx: &Ctx, level: BudgetLevel) -> Result<Budget> {
        let scope = ctx.scope().clone();
        self.read(ctx, move |conn| budgets::budget(conn, &scope, level)).await
    }

    async fn funds(&self, ctx: &Ctx, defaults: &Limits) -> Result<Funds> {
        let (scope, defaults, now) = (ctx.scope().clone(), *defaults, self.clock.now());
        self.read(ctx, move |conn| budgets::funds(conn, &scope, &defaults, now)).await
    }

    async fn top_funds(&self, defaults: &Limits, limit: usize) -> Result<Vec<(String, LevelFunds)>> {
        let (defaults, now) = (*defaults, self.clock.now());
        let top = move |conn: &Connection| budgets::top_funds(conn, &defaults, limit, now);
        self.read(&Ctx::new(Scope::default()), top).await
    }

    async fn costs(&self, ctx: &Ctx, query: &CostQuery) -> Result<Vec<CostRow>> {
        let (scope, query) = (ctx.scope().clone(), query.clone());
        self.read(ctx, move |conn| costs::costs(conn, &scope, &query)).await
    }

    async fn ledger(&self, ctx: &Ctx, scan: &LedgerScan) -> Result<Vec<LedgerRow>> {
        let (scope, scan) = (ctx.scope().clone(), scan.clone());
        self.read(ctx, move |conn| costs::ledger(conn, &scope, &scan)).await
    }
}

#[async_trait]
impl AdminRead for SqliteStore {
    async fn stats(&self, ctx: &Ctx) -> Result<StoreStats> {
        let (scope, path) = (ctx.scope().clone(), self.path.clone());
        self.read(ctx, move |conn| admin::stats(conn, &scope, path.as_deref())).await
    }

    async fn scopes(&self) -> Result<Vec<Scope>> {
        self.read(&Ctx::new(Scope::default()), admin::scopes).await
    }

    async fn audit(&self, ctx: &Ctx, limit: usize) -> Result<Vec<(Timestamp, Audit)>> {
        let scope = ctx.scope().clone();
        let rows = self.read(ctx, move |conn| admin::audit(conn, &scope, None, limit)).await?;
        Ok(rows.into_iter().map(|(_, at, row)| (at, row)).collect())
    }

    async fn audit_page(&self, ctx: &Ctx, before: Option<u64>, limit: usize) -> Result<Vec<(u64, Timestamp, Audit)>> {
        let scope = ctx.scope().clone();
        self.read(ctx, move |conn| admin::audit(conn, &scope, before, limit)).await
    }

    async fn record(&self, ctx: &Ctx, kind: RecordKind, name: &str) -> Result<Option<Record>> {
        let (scope, name) = (ctx.scope().clone(), name.to_owned());
        self.read(ctx, move |conn| records::record(conn, &scope, kind, &name)).await
    }

    async fn records(&self, ctx: &Ctx, kind: RecordKind, after: Option<&str>, limit: usize) -> Result<Vec<Record>> {
        let (scope, after) = (ctx.scope().clone(), after.map(str::to_owned));
        self.read(ctx, move |conn| records::records(conn, &scope, kind, after.as_deref(), limit)).await
    }

    async fn receipt_key(&self) -> Result<[u8; 32]> {
        self.at_home()?;
        // A closed store gives nothing any more, this neither.
        if self.threads.lock().is_empty() { Err(closed()) } else { Ok(self.receipt_key) }
    }

    async fn find_kept(&self, ctx: &Ctx, wanted: &KeyedIds) -> Result<KeptIds> {
        let (scope, wanted) = (ctx.scope().clone(), wanted.clone());
        self.read(ctx, move |conn| life::find_kept(conn, &scope, &wanted)).await
    }

    async fn key(&self, id: KeyId) -> Result<Option<ApiKey>> {
        self.read(&Ctx::new(Scope::default()), move |conn| keys::key(conn, id)).await
    }

    async fn has_had_keys(&self) -> Result<bool> {
        self.read(&Ctx::new(Scope::default()), keys::has_had_keys).await
    }

    async fn keys(&self, ctx: &Ctx, after: Option<KeyId>, limit: usize) -> Result<Vec<ApiKey>> {
        let scope = ctx.scope().clone();
        self.read(ctx, move |conn| keys::keys(conn, scope.tenant(), after, limit)).await
    }

    async fn tenant(&self, ctx: &Ctx) -> Result<Option<Tenant>> {
        let scope = ctx.scope().clone();
        self.read(ctx, move |conn| keys::tenant(conn, scope.tenant())).await
    }

    async fn tenants(&self, after: Option<&str>, limit: usize) -> Result<Vec<Tenant>> {
        let after = after.map(str::to_owned);
        self.read(&Ctx::new(Scope::default()), move |conn| keys::tenants(conn, after.as_deref(), limit)).await
    }
}
