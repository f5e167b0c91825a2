//! One thread beside an open store: it catches indexes up after writes, stores segments and flushes access counts, so that
//! reads find little left to do. Everything it does would otherwise happen on the next read; if it dies, nothing is lost.

use crate::{
    cost,
    deps::{Deps, Shared},
    jobs::index_sync,
    model::Scope,
    ops,
};
use futures::executor::block_on;
use parking_lot::{Condvar, Mutex};
use std::{
    collections::BTreeSet,
    sync::{Arc, Weak},
    thread::JoinHandle,
    time::Duration,
};

/// How soon calls that could not be booked are tried again.
const STRAYS_AGAIN: Duration = Duration::from_secs(5);

/// The thread's inbox: a set, so that a thousand writes to a scope are one task.
#[derive(Debug, Default)]
struct Inbox {
    state: Mutex<(BTreeSet<Scope>, bool)>,
    wake: Condvar,
}

/// The handle on the thread.
#[derive(Debug, Default)]
pub(crate) struct Background {
    inbox: Arc<Inbox>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Background {
    /// Starts the thread. It holds the store only weakly and ends when the store does.
    pub fn start(&self, deps: &Deps) -> std::io::Result<()> {
        let (inbox, shared, timeout) = (Arc::clone(&self.inbox), Arc::downgrade(&deps.shared), deps.timeout);
        let work = move || run(&inbox, &shared, timeout);
        let thread = std::thread::Builder::new().name("rae-background".into()).spawn(work)?;
        *self.thread.lock() = Some(thread);
        Ok(())
    }

    /// Says that a scope has news.
    pub fn nudge(&self, scope: &Scope) {
        let mut state = self.inbox.state.lock();
        if !state.0.contains(scope) {
            state.0.insert(scope.clone());
            self.inbox.wake.notify_one();
        }
    }

    /// Ends the thread after the task in hand.
    pub fn stop(&self) {
        self.inbox.state.lock().1 = true;
        self.inbox.wake.notify_all();
        let thread = self.thread.lock().take();
        if let Some(thread) = thread
            && thread.thread().id() != std::thread::current().id()
            && thread.join().is_err()
        {
            tracing::error!("the background thread panicked; indexes catch up on the next read");
        }
    }
}

fn run(inbox: &Inbox, shared: &Weak<Shared>, timeout: Option<Duration>) {
    loop {
        let scope = {
            let mut state = inbox.state.lock();
            loop {
                if state.1 {
                    return;
                }
                let unbooked = shared.upgrade().is_some_and(|shared| !shared.desk.strays.is_empty());
                match state.0.pop_first() {
                    Some(scope) => break scope,
                    // What could not be booked is tried again, also where nobody writes.
                    None if unbooked => {
                        if inbox.wake.wait_for(&mut state, STRAYS_AGAIN).timed_out() {
                            break Scope::default();
                        }
                    }
                    None => inbox.wake.wait(&mut state),
                }
            }
        };
        let Some(shared) = shared.upgrade() else { return };
        let deps = Deps { shared, timeout };
        if let Err(error) = block_on(attend(&deps, &scope)) {
            tracing::debug!(%error, "background work was put off to the next read");
        }
    }
}

async fn attend(deps: &Deps, scope: &Scope) -> crate::Result<()> {
    let ctx = deps.ctx(scope)?;
    // Money first: it waits for nothing else.
    cost::settle_strays(deps).await?;
    let state = index_sync::fresh(deps, &ctx).await?;
    index_sync::flush_segments(deps, &ctx, &state).await?;
    if deps.access.is_worth_flushing() {
        ops::flush_access(deps, scope).await?;
    }
    Ok(())
}
