//! Stopping without cutting a request: readiness goes first, then the listener, then what runs, then the store.

use crate::{
    front::Front,
    http::{self, conn::Closed},
};
use axum::Router;
use hyper_util::server::graceful::GracefulShutdown;
use rae_core::{Error, Result};
use std::{sync::Arc, time::Duration};
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
    time::{Instant, sleep, timeout},
};

/// Share of the drain's time that is kept for the calls of callers who left.
const CLOSE: Duration = Duration::from_secs(5);

/// SIGTERM and SIGINT, from when this is made.
#[derive(Debug)]
pub struct Signals {
    term: Signal,
    int: Signal,
}

impl Signals {
    /// Listens for them.
    pub fn listen() -> Result<Self> {
        let on = |kind| signal(kind).map_err(|e| Error::internal("no handler for signals").with_source(e));
        Ok(Self { term: on(SignalKind::terminate())?, int: on(SignalKind::interrupt())? })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
        }
    }
}

/// Serves until a signal comes and everything has ended, `close` last; it is told how long it may take. A second signal ends it
/// at once; then the answer is false.
pub async fn serve<C>(
    listener: TcpListener,
    router: Router,
    app: Arc<Front>,
    closed: Closed,
    mut signals: Signals,
    close: impl FnOnce(Duration) -> C,
) -> Result<bool>
where
    C: Future<Output = Result<()>>,
{
    let open = GracefulShutdown::new();
    let stop = async {
        signals.next().await;
        app.start_draining();
        let delay = app.settings.drain_delay;
        tracing::info!(delay_seconds = delay.as_secs_f64(), "stopping: not ready any more");
        tokio::select! {
            () = sleep(delay) => {}
            () = signals.next() => {}
        }
    };
    http::conn::accept(listener, router, Arc::clone(&app), closed, &open, stop).await;
    let limit = app.settings.drain_timeout;
    let due = Instant::now() + limit;
    tracing::info!(connections = open.count(), limit_seconds = limit.as_secs_f64(), "stopping: no new connections");
    let ended = tokio::select! {
        ended = timeout(limit, open.shutdown()) => ended.is_ok(),
        () = signals.next() => return Ok(false),
    };
    if !ended {
        tracing::warn!("stopping: some requests did not end in time and are cut off");
    }
    let left = due.saturating_duration_since(Instant::now()).max(CLOSE);
    tokio::select! {
        closed = close(left) => closed?,
        () = signals.next() => return Ok(false),
    }
    tracing::info!("stopped");
    Ok(true)
}
