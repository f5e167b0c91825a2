//! What every request shares: the open store, the settings, the limits, the metrics.

use crate::{cli::Role, jwt::Jwt, keys::Keys, metrics::Metrics, rate::Rates, settings::Settings, stores::Hosted};
use rae_core::{Error, ErrorKind, Rae, Result, model::Scope, wire};
use serde_json::{Map, Value};
use std::{
    os::unix::fs::DirBuilderExt,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
};

/// Exports and imports at once: each may hold a file of the largest size.
const BULK_MAX: usize = 4;
/// What a call may take beyond its limit before the server answers in its place.
const GRACE: Duration = Duration::from_secs(1);
/// Bytes that one permit of the memory's semaphore stands for.
const MEMORY_UNIT: usize = 1 << 10;
/// Age after which a file of another run in the folder for temporary files is nobody's.
const STALE: Duration = Duration::from_secs(86_400);

/// The state of a running server.
#[derive(Debug)]
pub struct App {
    /// The store.
    pub rae: Rae,
    /// The settings.
    pub settings: Settings,
    /// The metrics.
    pub metrics: Metrics,
    /// Who is behind a key.
    pub keys: Keys,
    /// Who is behind a token, where tokens are taken.
    pub jwt: Option<Jwt>,
    /// How much each tenant may ask.
    pub rates: Rates,
    /// When it started.
    pub started: Instant,
    engine: Handle,
    places: Arc<Semaphore>,
    memory: Arc<Semaphore>,
    bulk: Arc<Semaphore>,
    draining: AtomicBool,
}

/// Opens the store that the environment names: PostgreSQL where it does, else the embedded one in the folder for data. Must run
/// on a Tokio runtime with threads of its own.
pub async fn open(settings: &Settings, role: Role, env: impl Fn(&str) -> Option<String>) -> Result<Rae> {
    let hosted = Hosted::from_env(env)?;
    make_folder(&settings.data_dir)?;
    make_folder(&temp_dir(settings))?;
    let mut builder = Rae::builder();
    if hosted.keeps_memories() {
        // Replicas must not change the schema under one another: `api` leaves that to `migrate`.
        if role != Role::Api {
            hosted.migrate().await?;
        }
    } else {
        builder = builder.path(settings.data_dir.join("memory.rae")).durability(settings.durability);
    }
    hosted.plug(builder).await?.open().await
}

/// Where exports and imports lie for a moment.
fn temp_dir(settings: &Settings) -> PathBuf {
    settings.data_dir.join("tmp")
}

/// Nobody else's business: the folder holds memories.
fn make_folder(path: &std::path::Path) -> Result<()> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|e| Error::invalid(format!("the folder {} cannot be made: {e}", path.display())).with_source(e))
}

impl App {
    /// The state around an open store. `engine` is the runtime on which verbs run: not the one that answers health checks.
    pub fn new(rae: Rae, settings: Settings, engine: Handle) -> Result<Self> {
        let semaphore = |n: usize| Arc::new(Semaphore::new(n.min(Semaphore::MAX_PERMITS)));
        remove_stale(&temp_dir(&settings));
        Ok(Self {
            rae,
            metrics: Metrics::new()?,
            keys: Keys::new(settings.auth, settings.api_master_key.as_ref()),
            jwt: Jwt::new(&settings)?,
            rates: Rates::new(settings.rate_limit as u64, settings.rate_limit_window),
            started: Instant::now(),
            engine,
            places: semaphore(settings.max_concurrent_requests),
            memory: semaphore(settings.max_request_memory_bytes / MEMORY_UNIT),
            bulk: semaphore(BULK_MAX),
            draining: AtomicBool::new(false),
            settings,
        })
    }

    /// Whether the server is about to stop.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Says that the server is about to stop.
    pub fn start_draining(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Runs a verb on the engine's threads and counts it.
    pub async fn verb(&self, scope: Scope, verb: &'static str, args: Map<String, Value>, held: Held) -> Result<Value> {
        let (operation, items) = match verb {
            "remember_many" => ("remember", args.get("items").and_then(Value::as_array).map_or(1, Vec::len)),
            verb => (verb, 1),
        };
        let call = |rae: Rae| async move { wire::call(&rae, verb, args).await };
        let result = self.run(scope, self.settings.request_timeout, held, call).await;
        self.metrics.operation(operation, items as u64, result.as_ref().err().map(Error::kind));
        result
    }

    /// Runs `call` on the engine's threads, bounded in number and in time. A caller that leaves does not stop it.
    pub async fn run<T, F>(&self, scope: Scope, limit: Duration, held: Held, call: impl FnOnce(Rae) -> F) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let place = self.take(&self.places, 1, "requests")?;
        let call = call(self.rae.with_scope(scope).with_timeout(Some(limit)));
        let task = self.engine.spawn(async move {
            let _held = (place, held);
            call.await
        });
        match tokio::time::timeout(limit + GRACE, task).await {
            Ok(Ok(result)) => result,
            Ok(Err(failed)) => {
                tracing::error!(panicked = failed.is_panic(), "a call of the engine did not end");
                Err(Error::internal("the engine failed; the log has more under this request's id"))
            }
            Err(_) => Err(Error::new(ErrorKind::Timeout, "the request took too long")),
        }
    }

    /// A place for an export or an import.
    pub fn bulk_place(&self) -> Result<OwnedSemaphorePermit> {
        self.take(&self.bulk, 1, "bulk")
    }

    /// Takes `bytes` more of the memory for bodies.
    pub fn hold(&self, held: &mut Held, bytes: usize) -> Result<()> {
        // By the sum: a body comes in many small pieces.
        held.bytes += bytes;
        let units = held.bytes.div_ceil(MEMORY_UNIT);
        let more = u32::try_from(units - held.units).unwrap_or(u32::MAX);
        if more > 0 {
            held.permits.push(self.take(&self.memory, more, "memory")?);
            held.units = units;
        }
        Ok(())
    }

    /// The text of a scrape.
    pub fn scrape(&self) -> Result<String> {
        let all = self.settings.max_request_memory_bytes / MEMORY_UNIT;
        let held = all.saturating_sub(self.memory.available_permits()) * MEMORY_UNIT;
        self.metrics.body_bytes.set(i64::try_from(held).unwrap_or(i64::MAX));
        self.metrics.text(self.rae.cache_stats())
    }

    fn take(&self, from: &Arc<Semaphore>, permits: u32, what: &str) -> Result<OwnedSemaphorePermit> {
        Arc::clone(from).try_acquire_many_owned(permits).map_err(|_| {
            self.metrics.rejected.with_label_values(&[what]).inc();
            Error::unavailable("the server is busy; try again in a moment").with_code("overloaded").temporary()
        })
    }

    /// A new name in the folder for temporary files.
    pub fn temp_file(&self) -> TempFile {
        TempFile(temp_dir(&self.settings).join(format!("{}.jsonl", uuid::Uuid::new_v4().simple())))
    }

    /// Waits for the calls whose callers have left, then closes the store.
    pub async fn close(&self, limit: Duration) -> Result<()> {
        let all = u32::try_from(self.settings.max_concurrent_requests).unwrap_or(u32::MAX);
        if tokio::time::timeout(limit, self.places.acquire_many(all)).await.is_err() {
            tracing::warn!("calls of the engine still run; closing the store all the same");
        }
        self.rae.close().await
    }
}

/// Memory that a request's body takes; given back when it is dropped.
#[derive(Debug, Default)]
pub struct Held {
    bytes: usize,
    units: usize,
    permits: Vec<OwnedSemaphorePermit>,
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
