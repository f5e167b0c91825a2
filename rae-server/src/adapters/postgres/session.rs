//! Connections and transactions. Every transaction takes the role `rae_app` and names its tenant, for itself alone.

use super::{
    errors::{Fault, Res, closed, connection_lost, deadline_passed},
    row::millis,
    settings::PostgresSettings,
    tls::Rustls,
};
use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime, Timeouts};
use futures::{FutureExt, future::BoxFuture};
use parking_lot::Mutex;
use rae_core::{
    Ctx, Error, Result,
    model::{Scope, Timestamp},
    ports::Clock,
};
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::{
    runtime::Handle,
    sync::{Mutex as AsyncMutex, OwnedMutexGuard, Semaphore},
    time::timeout,
};
use tokio_postgres::{Row, types::ToSql};

/// Calls under way or waiting; more wait outside.
const CALLS_MAX: u32 = 1_024;
/// What the database gets to notice a deadline by itself before the connection is given up.
const GRACE: Duration = Duration::from_millis(250);
/// How often a transaction that lost to another one begins again.
const RACES_MAX: u32 = 8;

/// What a transaction is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// One state of the store, seen by all statements.
    Read,
    /// The same, for as long as it takes.
    LongRead,
    /// Each statement sees what was committed before it; the locks taken make that one state of the scope.
    Write,
    /// The same, for as long as it takes.
    LongWrite,
}

impl Mode {
    fn is_read(self) -> bool {
        matches!(self, Self::Read | Self::LongRead)
    }
}

/// The connections of a store at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PoolState {
    /// Given to a call.
    pub in_use: usize,
    /// Open and free.
    pub idle: usize,
    /// The most there may be.
    pub most: usize,
    /// Calls that wait for one.
    pub waiting: usize,
}

/// The pool, and what every call goes by.
pub(super) struct Core {
    pool: Pool,
    calls: Arc<Semaphore>,
    /// Writers of one scope wait for each other here, not at its locked row: there each of them would hold a connection. So do
    /// those who touch the money of one tenant, under its name and no project's.
    writers: Mutex<HashMap<(String, String), Arc<AsyncMutex<()>>>>,
    runtime: Handle,
    clock: Option<Arc<dyn Clock>>,
    statement_timeout: Duration,
    pool_wait: Duration,
    connect_timeout: Duration,
    pool_size: usize,
}

impl Core {
    /// Sets the pool up. Connects to nothing yet. Must be called inside a Tokio runtime, which serves every later call.
    pub fn new(settings: &PostgresSettings) -> Result<Self> {
        let runtime = Handle::try_current().map_err(|_| {
            Error::unsupported("a PostgreSQL store must be opened inside a Tokio runtime").with_code("no_runtime")
        })?;
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_config(settings.driver(), Rustls::new(settings)?, recycling);
        let pool_size = settings.pool_size.max(1);
        let pool = Pool::builder(manager).max_size(pool_size).runtime(Runtime::Tokio1).build();
        let pool = pool.map_err(|_| Error::internal("the pool of connections is set up in a wrong way"))?;
        Ok(Self {
            pool,
            calls: Arc::new(Semaphore::new(CALLS_MAX as usize)),
            writers: Mutex::default(),
            runtime,
            clock: settings.clock.clone(),
            statement_timeout: settings.statement_timeout,
            pool_wait: settings.pool_wait,
            connect_timeout: settings.connect_timeout,
            pool_size,
        })
    }

    /// The connections as they are.
    pub fn pool_state(&self) -> PoolState {
        let status = self.pool.status();
        let idle = status.available.min(status.size);
        PoolState { in_use: status.size - idle, idle, most: status.max_size, waiting: status.waiting }
    }

    /// Whether time is not the database's.
    pub fn has_own_clock(&self) -> bool {
        self.clock.is_some()
    }

    /// Fails once the store is closed.
    pub fn open(&self) -> Result<()> {
        if self.calls.is_closed() { Err(closed()) } else { Ok(()) }
    }

    /// Waits for what is under way and lets every connection go.
    pub async fn close(&self) {
        // The last one in line: whoever comes later finds it closed.
        let all = self.calls.acquire_many(CALLS_MAX).await;
        self.calls.close();
        self.pool.close();
        drop(all);
    }

    /// Runs `work` in one transaction, on the runtime of the store: a caller who goes away leaves nothing half done.
    pub async fn run<T, W>(self: &Arc<Self>, ctx: &Ctx, mode: Mode, work: W) -> Result<T>
    where
        T: Send + 'static,
        W: for<'a> FnOnce(&'a Tx) -> BoxFuture<'a, Res<T>> + Send + 'static,
    {
        let (core, ctx) = (Arc::clone(self), ctx.clone());
        let task = async move { core.bounded(&ctx, mode, core.once(&ctx, mode, Some(ctx.scope()), work)).await };
        self.spawn(task).await
    }

    /// The same for what concerns all tenants: no tenant is named, so nothing is visible but what the doors show.
    pub async fn run_for_all<T, W>(self: &Arc<Self>, work: W) -> Result<T>
    where
        T: Send + 'static,
        W: for<'a> FnOnce(&'a Tx) -> BoxFuture<'a, Res<T>> + Send + 'static,
    {
        let (core, ctx) = (Arc::clone(self), Ctx::new(Scope::default()));
        let task = async move { core.bounded(&ctx, Mode::Read, core.once(&ctx, Mode::Read, None, work)).await };
        self.spawn(task).await
    }

    /// The same for what changes the queue of all tenants, which the doors alone may.
    pub async fn change_for_all<T, W>(self: &Arc<Self>, work: W) -> Result<T>
    where
        T: Send + 'static,
        W: for<'a> FnOnce(&'a Tx) -> BoxFuture<'a, Res<T>> + Send + 'static,
    {
        let (core, ctx) = (Arc::clone(self), Ctx::new(Scope::default()));
        let task = async move { core.bounded(&ctx, Mode::Write, core.once(&ctx, Mode::Write, None, work)).await };
        self.spawn(task).await
    }

    /// The same for work that begins again when its transaction loses to another one. `spends` says that it touches the money
    /// of the tenant.
    pub async fn run_again<T, W>(self: &Arc<Self>, ctx: &Ctx, mode: Mode, spends: bool, work: W) -> Result<T>
    where
        T: Send + 'static,
        W: for<'a> Fn(&'a Tx) -> BoxFuture<'a, Res<T>> + Send + Sync + 'static,
    {
        let (core, ctx) = (Arc::clone(self), ctx.clone());
        let task = async move {
            let races = async {
                let scope = ctx.scope();
                let _turn = core.turn(scope.tenant(), scope.project()).await;
                let _money = if spends { Some(core.turn(scope.tenant(), "").await) } else { None };
                core.again(&ctx, mode, work).await
            };
            core.bounded(&ctx, mode, races).await
        };
        self.spawn(task).await
    }

    /// Runs `work` in transactions until one does not lose to another. Whoever calls has the turn of the scope, and bounds the time.
    pub(super) async fn again<T, W>(&self, ctx: &Ctx, mode: Mode, work: W) -> Res<T>
    where
        W: for<'a> Fn(&'a Tx) -> BoxFuture<'a, Res<T>>,
    {
        let mut attempt = 1;
        loop {
            match self.once(ctx, mode, Some(ctx.scope()), |tx| work(tx)).await {
                Err(fault) if fault.is_lost_race() && attempt < RACES_MAX => {
                    // The winners of one round must not meet again in step.
                    let jitter = u64::from(uuid::Uuid::new_v4().as_bytes()[0] % 8) + 1;
                    tokio::time::sleep(Duration::from_millis(jitter * u64::from(attempt))).await;
                    attempt += 1;
                }
                result => return result,
            }
        }
    }

    /// Runs a task on the runtime of the store within the time of the call, however its caller fares.
    pub(super) async fn task<T: Send + 'static>(
        self: &Arc<Self>,
        ctx: &Ctx,
        mode: Mode,
        work: impl Future<Output = Res<T>> + Send + 'static,
    ) -> Result<T> {
        let (core, ctx) = (Arc::clone(self), ctx.clone());
        self.spawn(async move { core.bounded(&ctx, mode, work).await }).await
    }

    /// Waits until it is this writer's turn in the scope.
    pub(super) async fn turn(&self, tenant: &str, project: &str) -> OwnedMutexGuard<()> {
        let queue = {
            let mut writers = self.writers.lock();
            if writers.len() > CALLS_MAX as usize {
                writers.retain(|_, queue| Arc::strong_count(queue) > 1);
            }
            Arc::clone(writers.entry((tenant.to_owned(), project.to_owned())).or_default())
        };
        queue.lock_owned().await
    }

    async fn spawn<T: Send + 'static>(&self, task: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
        match self.runtime.spawn(task).await {
            Ok(result) => result,
            Err(error) if error.is_panic() => Err(Error::internal("a task of the store panicked")),
            // The runtime is shutting down.
            Err(_) => Err(closed()),
        }
    }

    async fn bounded<T>(&self, ctx: &Ctx, mode: Mode, work: impl Future<Output = Res<T>>) -> Result<T> {
        ctx.check()?;
        let Some(limit) = self.limit(ctx, mode) else { return self.admitted(work).await.map_err(Error::from) };
        // The connection of a call that is given up is closed with it.
        match timeout(limit.saturating_add(GRACE), self.admitted(work)).await {
            Ok(result) => result.map_err(Error::from),
            Err(_) => Err(deadline_passed()),
        }
    }

    async fn admitted<T>(&self, work: impl Future<Output = Res<T>>) -> Res<T> {
        let _permit = self.calls.acquire().await.map_err(|_| closed())?;
        work.await
    }

    fn limit(&self, ctx: &Ctx, mode: Mode) -> Option<Duration> {
        match (ctx.remaining(), mode) {
            (Some(left), _) => Some(left),
            (None, Mode::Read | Mode::Write) => Some(self.statement_timeout),
            (None, Mode::LongRead | Mode::LongWrite) => None,
        }
    }

    async fn once<T, W>(&self, ctx: &Ctx, mode: Mode, scope: Option<&Scope>, work: W) -> Res<T>
    where
        W: for<'a> FnOnce(&'a Tx) -> BoxFuture<'a, Res<T>>,
    {
        let mut tx = self.begin(ctx, mode, scope).await?;
        match work(&tx).await {
            Ok(value) if mode.is_read() => {
                // What was read stands, whatever the end says: nobody need wait for it.
                self.runtime.spawn(async move { tx.end("COMMIT").await });
                Ok(value)
            }
            Ok(value) => {
                tx.end("COMMIT").await?;
                Ok(value)
            }
            Err(fault) => {
                if !fault.is_lost_connection() {
                    // What fails here is thrown away with its connection; the error that matters is the first.
                    let _ = tx.end("ROLLBACK").await;
                }
                Err(fault)
            }
        }
    }

    /// Begins a transaction. Connections that broke while they lay in the pool are thrown away.
    async fn begin(&self, ctx: &Ctx, mode: Mode, scope: Option<&Scope>) -> Res<Tx> {
        let mut broken = 0;
        loop {
            let client = self.connection(ctx, mode).await?;
            match self.begin_on(client, ctx, mode, scope).await {
                Err(fault) if fault.is_lost_connection() && broken < self.pool_size => broken += 1,
                result => return result,
            }
        }
    }

    async fn connection(&self, ctx: &Ctx, mode: Mode) -> Res<Object> {
        let limit = self.limit(ctx, mode);
        let wait = limit.map_or(self.pool_wait, |limit| limit.min(self.pool_wait));
        let connect = limit.map_or(self.connect_timeout, |limit| limit.min(self.connect_timeout));
        let timeouts = Timeouts { wait: Some(wait), create: Some(connect), recycle: Some(connect) };
        Ok(self.pool.timeout_get(&timeouts).await?)
    }

    async fn begin_on(&self, client: Object, ctx: &Ctx, mode: Mode, scope: Option<&Scope>) -> Res<Tx> {
        let limit = self.limit(ctx, mode);
        let mut tx = Tx { client: Some(client), scope: scope.cloned().unwrap_or_default(), now: 0 };
        let kind = match mode.is_read() {
            true => "ISOLATION LEVEL REPEATABLE READ READ ONLY",
            false => "ISOLATION LEVEL READ COMMITTED READ WRITE",
        };
        // A statement that waits for a lock counts as working. A client that vanished frees its locks after the time
        // that a call may take.
        let begin = format!(
            "BEGIN {kind}; SET LOCAL ROLE rae_app; SET LOCAL statement_timeout = {}; \
             SET LOCAL idle_in_transaction_session_timeout = {}",
            limit.map_or(0, millis),
            limit.map_or(0, |limit| millis(limit.saturating_add(GRACE)))
        );
        let tenant = scope.map_or("", Scope::tenant);
        let client = tx.client()?;
        let set = client
            .prepare_cached(
                "SELECT set_config('rae.tenant', $1, true), \
                 (extract(epoch FROM clock_timestamp()) * 1000000)::bigint",
            )
            .await?;
        // Sent together, answered together.
        let named: Params<'_> = &[&tenant];
        let (_, row) = futures::try_join!(client.batch_execute(&begin), client.query_one(&set, named))?;
        tx.now = match &self.clock {
            Some(clock) => clock.now().micros(),
            None => row.try_get(1)?,
        };
        Ok(tx)
    }
}

/// A transaction under way. If it is dropped before its end, its connection goes with it: nobody finds it half used.
pub(super) struct Tx {
    client: Option<Object>,
    /// Tenant and project of the call.
    pub scope: Scope,
    now: i64,
}

/// Parameters of a statement.
pub(super) type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

impl Tx {
    pub fn client(&self) -> Res<&Object> {
        self.client.as_ref().ok_or_else(|| connection_lost().into())
    }

    /// The store's own time: what ran out is decided by it.
    pub fn now(&self) -> Result<Timestamp> {
        Timestamp::from_micros(self.now)
    }

    pub async fn query(&self, sql: &'static str, params: Params<'_>) -> Res<Vec<Row>> {
        let client = self.client()?;
        let statement = client.prepare_cached(sql).await?;
        Ok(client.query(&statement, params).await?)
    }

    pub async fn query_opt(&self, sql: &'static str, params: Params<'_>) -> Res<Option<Row>> {
        let client = self.client()?;
        let statement = client.prepare_cached(sql).await?;
        Ok(client.query_opt(&statement, params).await?)
    }

    pub async fn query_one(&self, sql: &'static str, params: Params<'_>) -> Res<Row> {
        let client = self.client()?;
        let statement = client.prepare_cached(sql).await?;
        Ok(client.query_one(&statement, params).await?)
    }

    pub async fn execute(&self, sql: &'static str, params: Params<'_>) -> Res<u64> {
        let client = self.client()?;
        let statement = client.prepare_cached(sql).await?;
        Ok(client.execute(&statement, params).await?)
    }

    /// Prepares statements, so that those sent together afterwards are done in the order they are sent.
    pub async fn prepare(&self, statements: &[&'static str]) -> Res<()> {
        let client = self.client()?;
        for sql in statements {
            client.prepare_cached(sql).await?;
        }
        Ok(())
    }

    async fn end(&mut self, how: &'static str) -> Res<()> {
        let Some(client) = self.client.take() else { return Ok(()) };
        match client.batch_execute(how).await {
            Ok(()) => Ok(()),
            Err(error) => {
                drop(Object::take(client));
                Err(Fault::from(error))
            }
        }
    }
}

impl Drop for Tx {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            drop(Object::take(client));
        }
    }
}

/// A boxed future of a transaction's work.
pub(super) fn boxed<'a, T>(work: impl Future<Output = Res<T>> + Send + 'a) -> BoxFuture<'a, Res<T>> {
    work.boxed()
}
