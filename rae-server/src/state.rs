//! What every request of the API shares: the open store, who may ask, and what is the same for all roles ([`Front`]).

use crate::{
    cli::Role,
    costs,
    front::{Front, Held},
    jwt::Jwt,
    keys::Keys,
    metrics::{Metrics, Readings, engine::Engine},
    models,
    places::{Full, Place, Places},
    rate::Rates,
    settings::Settings,
    stores::{Backends, Hosted},
};
use parking_lot::Mutex;
use rae_core::{
    Error, Rae, Result,
    model::Scope,
    ports::{Clock as _, SystemClock},
    wire,
};
use serde_json::{Map, Value};
use std::{
    ops::Deref,
    os::unix::fs::DirBuilderExt,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinHandle,
};
use tracing::Instrument;

/// Exports and imports at once: each may hold a file of the largest size.
const BULK_MAX: usize = 4;
/// Reads of a whole store at once. The embedded store has two readers: one is left for everybody else.
const WHOLE_MAX: usize = 1;
/// Longest time of a call of a chat model, its memories and the end of it included.
pub const LLM_LIMIT: Duration = Duration::from_secs(rae_core::limits::LLM_SECONDS_MAX + 30);
/// How long a scrape waits for the budgets.
const FUNDS_LIMIT: Duration = Duration::from_secs(1);
/// Age after which a file of another run in the folder for temporary files is nobody's.
const STALE: Duration = Duration::from_secs(86_400);

/// The state of a running server.
#[derive(Debug)]
pub struct App {
    /// Settings, limits, metrics.
    pub front: Arc<Front>,
    /// The store.
    pub rae: Rae,
    /// The hosted stores behind `rae`.
    pub backends: Backends,
    /// What this process does.
    pub role: Role,
    /// Who is behind a key.
    pub keys: Keys,
    /// Who is behind a token, where tokens are taken.
    pub jwt: Option<Jwt>,
    /// How much each tenant may ask.
    pub rates: Rates,
    bulk: Places,
    whole: Arc<Semaphore>,
    chats: Arc<Semaphore>,
    jobs: Mutex<Vec<JoinHandle<()>>>,
}

impl Deref for App {
    type Target = Front;

    fn deref(&self) -> &Front {
        &self.front
    }
}

impl AsRef<Front> for App {
    fn as_ref(&self) -> &Front {
        &self.front
    }
}

/// An open store, and what knows how it is.
#[derive(Debug)]
pub struct Opened {
    /// The store.
    pub rae: Rae,
    /// The hosted stores behind it.
    pub backends: Backends,
    /// The metrics, which the store tells of its calls.
    pub metrics: Metrics,
    /// What this process does.
    pub role: Role,
}

impl Opened {
    /// A store that was opened elsewhere, whose calls are not counted.
    pub fn elsewhere(rae: Rae, settings: &Settings) -> Result<Self> {
        Ok(Self {
            rae,
            backends: Backends::default(),
            metrics: Metrics::new(settings.metrics_tenants)?,
            role: Role::All,
        })
    }
}

/// Opens the store that the settings name: PostgreSQL where it does, else the embedded one in the folder for data. Must run
/// on a Tokio runtime with threads of its own.
pub async fn open(settings: &Settings, role: Role) -> Result<Opened> {
    let hosted = Hosted::from_settings(settings)?;
    hosted.check(settings, role)?;
    make_folder(&settings.data_dir)?;
    make_folder(&temp_dir(settings))?;
    let metrics = Metrics::new(settings.metrics_tenants)?;
    let mut builder = Rae::builder()
        .enrich(settings.enrich)
        .observer(Arc::<Engine>::clone(&metrics.engine))
        .lifecycle(settings.lifecycle.clone())
        .embedding(models::embedding_of_store(settings).await?);
    if let Some(reranker) = models::reranker_of_store(settings).await? {
        builder = builder.reranker(reranker);
    }
    if hosted.keeps_memories() {
        // Replicas must not change the schema under one another: `api` and `worker` leave that to `migrate`.
        if matches!(role, Role::All | Role::Migrate) {
            hosted.migrate().await?;
        }
    } else {
        builder = builder.path(settings.data_dir.join("memory.rae")).durability(settings.durability);
    }
    // No model is asked for a schema.
    if role != Role::Migrate {
        builder = costs::plug(builder, settings, &metrics.costs, role)?;
    }
    // A worker feeds the vector server for its children.
    let builder = builder.vector_feeder(role != Role::WorkerChild);
    let (builder, backends) = hosted.plug(builder).await?;
    Ok(Opened { rae: builder.open().await?, backends, metrics, role })
}

/// Brings PostgreSQL to this version's schema, where the settings name it; else says no. No embedder is needed for that.
pub async fn migrate_hosted(settings: &Settings) -> Result<bool> {
    let hosted = Hosted::from_settings(settings)?;
    hosted.migrate().await?;
    Ok(hosted.keeps_memories())
}

/// Where exports and imports lie for a moment.
fn temp_dir(settings: &Settings) -> PathBuf {
    settings.data_dir.join("tmp")
}

/// Nobody else's business: the folder holds memories.
pub(crate) fn make_folder(path: &std::path::Path) -> Result<()> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|e| Error::invalid(format!("the folder {} cannot be made: {e}", path.display())).with_source(e))
}

impl App {
    /// The state around an open store. `engine` is the runtime on which verbs run: not the one that answers health checks.
    pub fn new(opened: Opened, settings: Settings, engine: Handle) -> Result<Self> {
        let Opened { rae, backends, metrics, role } = opened;
        remove_stale(&temp_dir(&settings));
        Ok(Self {
            rae,
            backends,
            role,
            keys: Keys::new(settings.auth, settings.api_master_key.as_ref()),
            jwt: Jwt::new(&settings)?,
            rates: Rates::new(settings.rate_limit as u64, settings.rate_limit_window),
            bulk: Places::new(BULK_MAX),
            whole: Arc::new(Semaphore::new(WHOLE_MAX)),
            // They take minutes: the other half is for calls that do not.
            chats: Arc::new(Semaphore::new((settings.max_concurrent_requests / 2).max(1))),
            jobs: Mutex::default(),
            front: Arc::new(Front::new(settings, metrics, engine)),
        })
    }

    /// Background work that [`App::close`] waits for; it ends when the server drains.
    pub fn keep(&self, work: JoinHandle<()>) {
        self.jobs.lock().push(work);
    }

    /// Runs a verb on the engine's threads and counts it.
    pub async fn verb(&self, scope: Scope, verb: &'static str, args: Map<String, Value>, held: Held) -> Result<Value> {
        self.verb_within(self.settings.request_timeout, scope, verb, args, held).await
    }

    /// The same with a time limit of its own.
    pub async fn verb_within(
        &self,
        limit: Duration,
        scope: Scope,
        verb: &'static str,
        args: Map<String, Value>,
        held: Held,
    ) -> Result<Value> {
        let (operation, items) = match verb {
            "remember_many" => ("remember", args.get("items").and_then(Value::as_array).map_or(1, Vec::len)),
            verb => (verb, 1),
        };
        let span = tracing::debug_span!("verb", verb);
        let call = |rae: Rae| async move { wire::call(&rae, verb, args).await }.instrument(span);
        let result = self.run(scope.clone(), limit, held, call).await;
        self.metrics.operation(&scope, operation, items as u64, result.as_ref().err().map(Error::kind));
        result
    }

    /// Runs `call` on the engine's threads, bounded in number and in time. A caller that leaves does not stop it.
    pub async fn run<T, F>(&self, scope: Scope, limit: Duration, held: Held, call: impl FnOnce(Rae) -> F) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        self.spawn(limit, held, call(self.rae.with_scope(scope).with_timeout(Some(limit)))).await
    }

    /// A place for an export, an import or other long work: of the tenant, which has at most half of them, or of the operator.
    pub fn bulk_place(&self, tenant: Option<&str>) -> Result<Place> {
        self.bulk.take(tenant).map_err(|full| match full {
            Full::All => self.overloaded("bulk"),
            Full::Share => self.overloaded("bulk_tenant"),
        })
    }

    /// The place for what reads the whole store.
    pub fn whole_place(&self) -> Result<OwnedSemaphorePermit> {
        self.take(&self.whole, 1, "whole")
    }

    /// A place for a call of a chat model.
    pub fn chat_place(&self) -> Result<OwnedSemaphorePermit> {
        self.take(&self.chats, 1, "chat")
    }

    /// The text of a scrape.
    pub fn scrape(&self) -> Result<String> {
        self.front.scrape(Readings {
            cache: self.rae.cache_stats(),
            answers: self.rae.response_cache_stats(),
            index: self.rae.index_stats(),
            pool: self.backends.postgres.as_ref().map(|store| store.pool()),
            feed: self.rae.vector_feed(),
        })
    }

    /// Asks the store where the budgets stand, if that was some seconds ago, for the next scrape. A store that does not answer
    /// leaves the figures as they were.
    pub async fn refresh_funds(&self) {
        let most = self.settings.metrics_tenants;
        if most == 0 || !self.metrics.costs.is_due() {
            return;
        }
        let rae = self.rae.with_timeout(Some(FUNDS_LIMIT));
        match tokio::time::timeout(FUNDS_LIMIT, rae.top_funds(most)).await {
            Ok(Ok(top)) => self.metrics.costs.refresh(top, SystemClock.now()),
            Ok(Err(error)) => tracing::debug!(%error, "the budgets could not be read for the metrics"),
            Err(_) => tracing::debug!("the budgets could not be read in time for the metrics"),
        }
    }

    /// A new name in the folder for temporary files.
    pub fn temp_file(&self) -> TempFile {
        TempFile(temp_dir(&self.settings).join(format!("{}.jsonl", uuid::Uuid::new_v4().simple())))
    }

    /// Waits for the jobs in hand and the calls whose callers have left, then closes the store.
    pub async fn close(&self, limit: Duration) -> Result<()> {
        self.start_draining();
        let jobs = std::mem::take(&mut *self.jobs.lock());
        if tokio::time::timeout(limit, futures::future::join_all(jobs)).await.is_err() {
            tracing::warn!("background jobs still run; they are run again later");
        }
        self.quiesce(limit).await;
        self.rae.close().await
    }
}

/// The name of a file that goes when this does.
#[derive(Debug)]
pub struct TempFile(PathBuf);

impl TempFile {
    /// Its path.
    pub fn path(&self) -> &std::path::Path {
        &self.0
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        // It may never have been made.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// What a killed process left. Another process on the same folder may be using the young ones.
fn remove_stale(folder: &std::path::Path) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let age =
            entry.metadata().and_then(|m| m.modified()).ok().and_then(|t| SystemTime::now().duration_since(t).ok());
        if age.is_some_and(|age| age > STALE) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}
