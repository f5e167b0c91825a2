//! The worker: a process that keeps children at work, replaces those that are full or fell, and shows how they do.

use super::{
    child::{FULL, parse, parse_scores},
    count,
    spending::hear,
};
use crate::{
    http::{self, conn::Closed},
    shutdown::Signals,
    state::App,
};
use hyper_util::server::graceful::GracefulShutdown;
use rae_core::{Error, Result};
use std::{ffi::OsString, path::PathBuf, process::Stdio, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpListener,
    process::Command,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

/// Wait before a child that fell is started again; twice as long after each further fall.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const WAIT_MAX: Duration = Duration::from_secs(30);
/// A child that lived so long did not fall because of its start.
const STEADY: Duration = Duration::from_secs(60);
/// What probes get to finish when the children have ended.
const LINGER: Duration = Duration::from_secs(1);

/// How children are started.
struct Crew {
    app: Arc<App>,
    program: PathBuf,
    args: Vec<OsString>,
}

/// Keeps the children at work until a signal comes and they have ended. A second signal ends all at once; then the answer is
/// false. `args` makes this program a child.
pub async fn serve(listener: TcpListener, app: Arc<App>, args: Vec<OsString>, mut signals: Signals) -> Result<bool> {
    let program = std::env::current_exe();
    let program = program.map_err(|e| Error::unavailable("this program does not find itself").with_source(e))?;
    let crew = Arc::new(Crew { app: Arc::clone(&app), program, args });
    let mut slots = JoinSet::new();
    for _ in 0..app.settings.worker_concurrency {
        slots.spawn(Arc::clone(&crew).slot());
    }
    let own = Arc::clone(&app);
    app.keep(tokio::spawn(async move { count(&own).await }));
    let (open, mut in_time) = (GracefulShutdown::new(), true);
    let stop = async {
        signals.next().await;
        app.start_draining();
        let limit = app.settings.drain_timeout;
        tracing::info!(limit_seconds = limit.as_secs_f64(), "stopping: no new jobs");
        let all = async { while slots.join_next().await.is_some() {} };
        tokio::select! {
            ended = timeout(limit, all) => if ended.is_err() {
                tracing::warn!("stopping: some jobs did not end in time; they are run again");
            },
            () = signals.next() => in_time = false,
        }
        // Whoever is left is killed.
        slots.shutdown().await;
    };
    http::conn::accept(
        listener,
        http::probes(Arc::clone(&app)),
        Arc::clone(&app.front),
        Closed::AsksNoMore,
        &open,
        stop,
    )
    .await;
    if in_time {
        // A probe that is cut off asks again.
        let _ = timeout(LINGER, open.shutdown()).await;
        app.close(LINGER).await?;
        tracing::info!("stopped");
    }
    Ok(in_time)
}

impl Crew {
    /// One child after the other.
    async fn slot(self: Arc<Self>) {
        let mut falls = 0;
        while !self.app.is_draining() {
            let started = Instant::now();
            let full = self.child().await;
            if self.app.is_draining() {
                return;
            }
            match full {
                Ok(true) => {
                    falls = 0;
                    self.app.metrics.jobs.recycled.inc();
                    continue;
                }
                Ok(false) => tracing::warn!("a child ended by itself and is started again"),
                Err(error) => tracing::error!(%error, "a child could not be started"),
            }
            self.app.metrics.jobs.restarts.inc();
            falls = if started.elapsed() > STEADY { 0 } else { 16.min(falls + 1) };
            let wait = FIRST_WAIT.saturating_mul(1 << falls).min(WAIT_MAX);
            tokio::select! {
                () = sleep(wait) => {}
                () = self.app.drained() => {}
            }
        }
    }

    /// Takes in what a child said of evaluations; whether it was that.
    fn scores(&self, line: &str) -> bool {
        let Some((scope, scores)) = parse_scores(line) else { return false };
        self.app.metrics.jobs.scored(&scope, &scores);
        true
    }

    /// Starts a child and listens to it until it has ended; gives whether it had run its number of jobs. A child that this is
    /// dropped over is killed.
    async fn child(&self) -> std::io::Result<bool> {
        let mut command = Command::new(&self.program);
        command.args(&self.args).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let _alive = Alive::new(&self.app);
        let mut input = child.stdin.take();
        let Some(output) = child.stdout.take() else { return Err(std::io::Error::other("a child has no output")) };
        let mut lines = BufReader::new(output).lines();
        let (mut full, mut drained) = (false, std::pin::pin!(self.app.drained()));
        loop {
            tokio::select! {
                line = lines.next_line() => match line? {
                    None => break,
                    Some(line) if line == FULL => full = true,
                    Some(line) => match parse(&line) {
                        Some((kind, result, took)) => self.app.metrics.jobs.attempt(kind, result, took),
                        None if self.scores(&line) => {}
                        None if hear(&line, &self.app.metrics.costs) => {}
                        None => tracing::warn!("a child said something that is not understood"),
                    },
                },
                // The end of its input tells a child to stop after the job in hand.
                () = &mut drained, if input.is_some() => drop(input.take()),
            }
        }
        let status = child.wait().await?;
        Ok(full && status.success())
    }
}

/// Counts a child while it lives.
struct Alive<'a>(&'a App);

impl<'a> Alive<'a> {
    fn new(app: &'a App) -> Self {
        app.metrics.jobs.children.inc();
        Self(app)
    }
}

impl Drop for Alive<'_> {
    fn drop(&mut self) {
        self.0.metrics.jobs.children.dec();
    }
}
