//! Faults on demand, for tests.

use crate::error::{Error, ErrorKind, Result};
use futures_timer::Delay;
use parking_lot::Mutex;
use std::{collections::BTreeMap, future::Future, sync::Arc, time::Duration};

/// Whether the operation takes effect before it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// It fails without having begun.
    Before,
    /// It is done, and its answer is lost.
    After,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The attempt fails.
    Fail {
        /// With this kind.
        kind: ErrorKind,
        /// Whether the error says that it may pass.
        temporary: bool,
        /// Before or after it took effect.
        when: When,
    },
    /// The attempt waits so long before it begins.
    Delay(Duration),
    /// The attempt never ends, before or after it took effect.
    Hang(When),
}

/// Faults by operation and number of the attempt. Every attempt counts, repeated ones too.
#[derive(Debug, Default)]
pub struct Faults(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    plan: Vec<(Option<&'static str>, u64, Fault)>,
    calls: BTreeMap<&'static str, u64>,
    total: u64,
}

impl Faults {
    /// None yet.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Plans `fault` for the `nth` attempt (from 1) of `operation`.
    pub fn on(&self, operation: &'static str, nth: u64, fault: Fault) {
        self.0.lock().plan.push((Some(operation), nth, fault));
    }

    /// Plans `fault` for the `nth` attempt (from 1) of whatever operation.
    pub fn on_any(&self, nth: u64, fault: Fault) {
        self.0.lock().plan.push((None, nth, fault));
    }

    /// Attempts of `operation` so far.
    pub fn calls(&self, operation: &str) -> u64 {
        self.0.lock().calls.get(operation).copied().unwrap_or(0)
    }

    /// Attempts of all operations so far.
    pub fn total(&self) -> u64 {
        self.0.lock().total
    }

    fn next(&self, operation: &'static str) -> Option<Fault> {
        let mut state = self.0.lock();
        state.total += 1;
        let calls = state.calls.entry(operation).or_default();
        *calls += 1;
        let (nth, total) = (*calls, state.total);
        let due = |(wanted, n, _): &&(Option<&str>, u64, Fault)| match wanted {
            Some(wanted) => *wanted == operation && *n == nth,
            None => *n == total,
        };
        state.plan.iter().find(due).map(|(_, _, fault)| *fault)
    }

    pub(super) async fn around<T>(
        &self,
        operation: &'static str,
        work: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        let Some(fault) = self.next(operation) else { return work.await };
        match fault {
            Fault::Fail { kind, temporary, when } => {
                if when == When::After {
                    work.await?;
                }
                let error = Error::new(kind, "an injected fault");
                Err(if temporary { error.temporary() } else { error })
            }
            Fault::Delay(time) => {
                Delay::new(time).await;
                work.await
            }
            Fault::Hang(when) => {
                if when == When::After {
                    work.await?;
                }
                std::future::pending().await
            }
        }
    }
}
