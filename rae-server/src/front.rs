//! What is the same for every role that listens: the settings, the limits, the metrics, and whether it is about to stop.

use crate::{
    metrics::{Metrics, Readings},
    settings::Settings,
};
use rae_core::{Error, ErrorKind, Result};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore, watch},
};
use tracing::Instrument;

/// What a call may take beyond its limit before the server answers in its place.
const GRACE: Duration = Duration::from_secs(1);
/// Bytes that one permit of the memory's semaphore stands for.
const MEMORY_UNIT: usize = 1 << 10;

/// What the front of a server shares among its requests.
#[derive(Debug)]
pub struct Front {
    /// The settings.
    pub settings: Settings,
    /// The metrics.
    pub metrics: Metrics,
    /// When it started.
    pub started: Instant,
    engine: Handle,
    places: Arc<Semaphore>,
    memory: Arc<Semaphore>,
    draining: watch::Sender<bool>,
}

impl AsRef<Front> for Front {
    fn as_ref(&self) -> &Front {
        self
    }
}

impl Front {
    /// A front with these settings. `engine` is the runtime on which work runs: not the one that answers health checks.
    pub fn new(settings: Settings, metrics: Metrics, engine: Handle) -> Self {
        let semaphore = |n: usize| Arc::new(Semaphore::new(n.min(Semaphore::MAX_PERMITS)));
        Self {
            metrics,
            started: Instant::now(),
            engine,
            places: semaphore(settings.max_concurrent_requests),
            memory: semaphore(settings.max_request_memory_bytes / MEMORY_UNIT),
            draining: watch::Sender::new(false),
            settings,
        }
    }

    /// Whether the server is about to stop.
    pub fn is_draining(&self) -> bool {
        *self.draining.borrow()
    }

    /// Says that the server is about to stop.
    pub fn start_draining(&self) {
        self.draining.send_replace(true);
    }

    /// Ready when the server is about to stop.
    pub fn drained(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut draining = self.draining.subscribe();
        async move {
            // A server that is gone is about to stop, too.
            let _ = draining.wait_for(|is| *is).await;
        }
    }

    /// Runs `call` on the engine's threads, bounded in number and in time. A caller that leaves does not stop it.
    pub async fn spawn<T: Send + 'static>(
        &self,
        limit: Duration,
        held: Held,
        call: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let place = self.take(&self.places, 1, "requests")?;
        let work = async move {
            let _held = (place, held);
            call.await
        };
        let task = self.engine.spawn(work.in_current_span());
        match tokio::time::timeout(limit + GRACE, task).await {
            Ok(Ok(result)) => result,
            Ok(Err(failed)) => {
                tracing::error!(panicked = failed.is_panic(), "a call of the engine did not end");
                Err(Error::internal("the engine failed; the log has more under this request's id"))
            }
            Err(_) => Err(Error::new(ErrorKind::Timeout, "the request took too long")),
        }
    }

    /// A place among the calls of the engine, for one that outlives its handler.
    pub fn request_place(&self) -> Result<OwnedSemaphorePermit> {
        self.take(&self.places, 1, "requests")
    }

    /// Runs work that outlives its handler on the engine's threads. It holds a [`Self::request_place`], so that the server waits
    /// for it when it stops.
    pub fn spawn_task(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.engine.spawn(work);
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

    /// Memory that the bodies of all requests take, in bytes.
    pub fn body_bytes(&self) -> usize {
        let all = self.settings.max_request_memory_bytes / MEMORY_UNIT;
        all.saturating_sub(self.memory.available_permits()) * MEMORY_UNIT
    }

    /// The text of a scrape.
    pub fn scrape(&self, now: Readings) -> Result<String> {
        self.metrics.body_bytes.set(i64::try_from(self.body_bytes()).unwrap_or(i64::MAX));
        self.metrics.text(now)
    }

    /// Permits that are free now, else the error of a server that is full.
    pub fn take(&self, from: &Arc<Semaphore>, permits: u32, what: &str) -> Result<OwnedSemaphorePermit> {
        Arc::clone(from).try_acquire_many_owned(permits).map_err(|_| self.overloaded(what))
    }

    /// Counts a request that is turned away because of `what`, and gives its error.
    pub fn overloaded(&self, what: &str) -> Error {
        self.metrics.rejected.with_label_values(&[what]).inc();
        Error::unavailable("the server is busy; try again in a moment").with_code("overloaded").temporary()
    }

    /// Waits for the calls whose callers have left, within a limit.
    pub async fn quiesce(&self, limit: Duration) {
        let all = u32::try_from(self.settings.max_concurrent_requests).unwrap_or(u32::MAX);
        if tokio::time::timeout(limit, self.places.acquire_many(all)).await.is_err() {
            tracing::warn!("calls of the engine still run; closing all the same");
        }
    }
}

/// Memory that a request's body takes; given back when it is dropped.
#[derive(Debug, Default)]
pub struct Held {
    bytes: usize,
    units: usize,
    permits: Vec<OwnedSemaphorePermit>,
}
