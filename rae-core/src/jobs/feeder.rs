//! One thread beside an open store whose vectors lie on a server: it brings the server up to the change log after writes, looks
//! at every scope from time to time (another process may have died on the way), and waits longer and longer while the server
//! is away. If it dies, nothing is lost: any other process, or the next start, goes on from the watermarks.

use crate::{
    deps::{Deps, Shared},
    error::{Error, ErrorKind, Result},
    jobs::vector_sync::{self, Mode, Progress, Rivals, Unsettled},
    limits::VECTOR_SYNC_CHANGES,
    model::Scope,
};
use futures::executor::block_on;
use parking_lot::{Condvar, Mutex};
use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// How often every scope is looked at.
const SWEEP: Duration = Duration::from_secs(60);
/// Between two scopes of a sweep.
const STEP: Duration = Duration::from_millis(5);
/// First and longest pause while the server is away.
const PAUSE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10));
/// When a scope comes again that failed by itself, or that another process is working on.
const AGAIN: Duration = Duration::from_secs(1);
/// How long a process has a scope to itself. Politeness only: two at once do the same work twice and no harm.
const TURN: Duration = Duration::from_secs(10);
/// Name of a turn in the cache.
const TURN_KEY: &str = "vector-sync";
/// Name of the last sweep in the cache.
const SWEEP_KEY: &str = "vector-sweep";

/// How vectors on a server follow the memories, since the store was opened in this process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct VectorFeedStats {
    /// Changes written to the server.
    pub changes: u64,
    /// Points that an overtaken write had spoiled, written again.
    pub repaired: u64,
    /// Runs that failed.
    pub failures: u64,
    /// Changes that wait, of the scopes this process looked at last.
    pub behind: u64,
    /// Whether the server failed the last time it was needed.
    pub failing: bool,
}

/// When to look at which scope.
#[derive(Debug, Default)]
struct Agenda {
    by_time: BTreeSet<(Instant, Scope)>,
    by_scope: HashMap<Scope, Instant>,
    stopped: bool,
}

impl Agenda {
    /// Looks at `scope` at `at`, or earlier where that was meant already.
    fn add(&mut self, scope: Scope, at: Instant) {
        match self.by_scope.get(&scope) {
            Some(meant) if *meant <= at => return,
            Some(&meant) => {
                self.by_time.remove(&(meant, scope.clone()));
            }
            None => {}
        }
        self.by_scope.insert(scope.clone(), at);
        self.by_time.insert((at, scope));
    }

    fn next_at(&self) -> Option<Instant> {
        self.by_time.first().map(|(at, _)| *at)
    }

    fn clear(&mut self) {
        self.by_time.clear();
        self.by_scope.clear();
    }

    fn pop(&mut self) -> Option<Scope> {
        let (_, scope) = self.by_time.pop_first()?;
        self.by_scope.remove(&scope);
        Some(scope)
    }
}

#[derive(Debug, Default)]
struct Inbox {
    agenda: Mutex<Agenda>,
    wake: Condvar,
}

/// The handle on the thread, and what is known about the server.
#[derive(Debug)]
pub(crate) struct Feeder {
    /// How long after it was applied a change is looked at again.
    pub settle: Duration,
    pub unsettled: Unsettled,
    pub rivals: Rivals,
    inbox: Arc<Inbox>,
    thread: Mutex<Option<JoinHandle<()>>>,
    failing: AtomicBool,
    changes: AtomicU64,
    repaired: AtomicU64,
    failures: AtomicU64,
    behind: Mutex<HashMap<Scope, u64>>,
}

impl Feeder {
    pub fn new(settle: Duration) -> Self {
        Self {
            settle,
            unsettled: Unsettled::default(),
            rivals: Rivals::default(),
            inbox: Arc::default(),
            thread: Mutex::default(),
            failing: AtomicBool::new(false),
            changes: AtomicU64::new(0),
            repaired: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            behind: Mutex::default(),
        }
    }

    /// Starts the thread. It holds the store only weakly and ends when the store does.
    pub fn start(&self, deps: &Deps) -> std::io::Result<()> {
        let (inbox, shared) = (Arc::clone(&self.inbox), Arc::downgrade(&deps.shared));
        let thread = std::thread::Builder::new().name("rae-vector-feed".into()).spawn(move || run(&inbox, &shared))?;
        *self.thread.lock() = Some(thread);
        Ok(())
    }

    /// Says that a scope has news.
    pub fn nudge(&self, scope: &Scope) {
        if self.thread.lock().is_some() {
            self.inbox.agenda.lock().add(scope.clone(), Instant::now());
            self.inbox.wake.notify_one();
        }
    }

    /// Ends the thread after the request in hand.
    pub fn stop(&self) {
        self.inbox.agenda.lock().stopped = true;
        self.inbox.wake.notify_all();
        let thread = self.thread.lock().take();
        if let Some(thread) = thread
            && thread.thread().id() != std::thread::current().id()
            && thread.join().is_err()
        {
            tracing::error!("the thread that feeds the vector server panicked; the next start goes on");
        }
    }

    /// Whether the server failed the last time it was needed.
    pub fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    /// Notes how a call that needed the server ended.
    pub fn note<T>(&self, result: &Result<T>) {
        match result {
            Ok(_) => self.failing.store(false, Ordering::Relaxed),
            Err(error) if is_of_vectors(error) => self.failing.store(true, Ordering::Relaxed),
            Err(_) => {}
        }
    }

    fn count(&self, scope: &Scope, result: &Result<Progress>) {
        self.note(result);
        match result {
            Ok(progress) => {
                self.changes.fetch_add(progress.changes, Ordering::Relaxed);
                self.repaired.fetch_add(progress.repaired, Ordering::Relaxed);
                let mut behind = self.behind.lock();
                match progress.behind {
                    0 => behind.remove(scope),
                    n => behind.insert(scope.clone(), n),
                };
            }
            Err(_) => {
                self.failures.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    pub fn stats(&self) -> VectorFeedStats {
        VectorFeedStats {
            changes: self.changes.load(Ordering::Relaxed),
            repaired: self.repaired.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
            behind: self.behind.lock().values().sum(),
            failing: self.is_failing(),
        }
    }
}

/// Whether an error came from the vector store: the guard names the port.
fn is_of_vectors(error: &Error) -> bool {
    error.context().iter().any(|(key, port)| *key == "port" && port == "vector")
}

/// One run on a scope, counted.
pub(crate) async fn feed(deps: &Deps, scope: &Scope, limit: u64, mode: Mode) -> Result<Progress> {
    let result = vector_sync::sync_scope(deps, scope, limit, mode).await;
    deps.feeder.count(scope, &result);
    result
}

/// One run on a scope, unless another process is at it: then `None`.
async fn in_turn(deps: &Deps, scope: &Scope) -> Result<Option<Progress>> {
    let ctx = deps.ctx(scope)?;
    // Without a cache everyone takes a turn.
    let taken = deps.cache.add(&ctx, TURN_KEY, 1, TURN).await.is_ok_and(|turns| turns > 1);
    if taken {
        return Ok(None);
    }
    let progress = feed(deps, scope, VECTOR_SYNC_CHANGES, Mode::InTurn).await;
    if let Err(error) = deps.cache.remove(&ctx, TURN_KEY).await {
        tracing::debug!(%error, "a turn at feeding the vector server ends by itself");
    }
    progress.map(Some)
}

/// Keeps a turn that takes long. A counter expires by its first use, so it is begun anew; without a cache there are no turns.
pub(crate) async fn renew_turn(deps: &Deps, scope: &Scope) -> Result<()> {
    let ctx = deps.ctx(scope)?;
    if deps.cache.remove(&ctx, TURN_KEY).await.is_err() || deps.cache.add(&ctx, TURN_KEY, 1, TURN).await.is_err() {
        tracing::debug!("a turn at feeding the vector server was not made longer");
    }
    Ok(())
}

/// Puts every scope on the agenda: at the start, and then in one of the processes that share a cache.
async fn sweep(deps: &Deps, inbox: &Inbox, first: bool) -> Result<()> {
    let ctx = deps.ctx(&Scope::default())?;
    let swept = deps.cache.add(&ctx, SWEEP_KEY, 1, SWEEP - AGAIN).await.is_ok_and(|turns| turns > 1);
    if swept && !first {
        return Ok(());
    }
    let scopes = deps.relational.scopes().await?;
    // Spread out, so that scopes with news come in between.
    let step = STEP.min(SWEEP / u32::try_from(scopes.len()).unwrap_or(u32::MAX).max(1));
    let mut agenda = inbox.agenda.lock();
    let mut at = Instant::now();
    for scope in scopes {
        agenda.add(scope, at);
        at += step;
    }
    Ok(())
}

fn run(inbox: &Inbox, shared: &Weak<Shared>) {
    let (mut sweep_at, mut first, mut pause) = (Instant::now(), true, PAUSE.0);
    // This handle's embedder, once another process gave the store another one.
    let mut replaced: Option<String> = None;
    loop {
        let scope = {
            let mut agenda = inbox.agenda.lock();
            let due = agenda.next_at().map_or(sweep_at, |at| at.min(sweep_at));
            if agenda.stopped {
                return;
            }
            if due > Instant::now() {
                inbox.wake.wait_until(&mut agenda, due);
                continue;
            }
            if sweep_at <= Instant::now() { None } else { agenda.pop() }
        };
        let Some(shared) = shared.upgrade() else { return };
        let deps = Deps { shared, timeout: None };
        let embedder = deps.collection().embedder;
        if replaced.as_ref() == Some(&embedder) {
            // Nothing can be fed until the handle is opened again, or re-embeds itself.
            inbox.agenda.lock().clear();
            sweep_at = Instant::now() + PAUSE.1;
            continue;
        }
        first |= replaced.take().is_some();
        let Some(scope) = scope else {
            let swept = block_on(sweep(&deps, inbox, std::mem::take(&mut first)));
            sweep_at = Instant::now() + if swept.is_ok() { SWEEP } else { AGAIN };
            if let Err(error) = swept {
                tracing::debug!(%error, "the scopes were not listed; tried again");
            }
            continue;
        };
        let next = match block_on(in_turn(&deps, &scope)) {
            Ok(Some(progress)) => {
                pause = PAUSE.0;
                if progress.behind > 0 && !progress.rival { Some(Duration::ZERO) } else { progress.settle_in }
            }
            Ok(None) => Some(AGAIN),
            Err(error)
                if matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::RateLimited) =>
            {
                tracing::debug!(%error, "the vector server was not fed; tried again");
                wait(inbox, pause);
                pause = (pause * 2).min(PAUSE.1);
                Some(Duration::ZERO)
            }
            Err(error) if error.code() == "embedder_changed" => {
                tracing::error!(%error, "the vector server is fed no longer by this process");
                replaced = Some(embedder);
                None
            }
            Err(error) => {
                tracing::warn!(%error, kind = error.kind().name(), "a scope's vectors cannot be brought to the server");
                Some(PAUSE.1)
            }
        };
        if let Some(next) = next {
            inbox.agenda.lock().add(scope, Instant::now() + next);
        }
    }
}

/// Waits, unless the store closes.
fn wait(inbox: &Inbox, pause: Duration) {
    let end = Instant::now() + pause;
    let mut agenda = inbox.agenda.lock();
    while !agenda.stopped && !inbox.wake.wait_until(&mut agenda, end).timed_out() {}
}
