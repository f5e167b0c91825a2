//! What every store call must say first: whose data, until when.

use crate::{
    error::{Error, ErrorKind, Result},
    model::Scope,
};
use std::time::{Duration, Instant};

/// Scope, deadline and trace id of one call. The first argument of every store method: forgetting the tenant does not
/// compile.
#[derive(Debug, Clone)]
pub struct Ctx {
    scope: Scope,
    deadline: Option<Instant>,
    trace: Option<String>,
}

impl Ctx {
    /// A context without a deadline.
    pub fn new(scope: Scope) -> Self {
        Self { scope, deadline: None, trace: None }
    }

    /// The same with a deadline `timeout` from now.
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.deadline = Instant::now().checked_add(timeout);
        self
    }

    /// The same with a trace id for logs.
    pub fn with_trace(mut self, trace: impl Into<String>) -> Self {
        self.trace = Some(trace.into());
        self
    }

    /// Tenant and project of the call.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// When the call must be done.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Trace id for logs.
    pub fn trace(&self) -> Option<&str> {
        self.trace.as_deref()
    }

    /// Time left, `None` without a deadline.
    pub fn remaining(&self) -> Option<Duration> {
        self.deadline.map(|d| d.saturating_duration_since(Instant::now()))
    }

    /// Fails with [`ErrorKind::Timeout`] once the deadline has passed.
    pub fn check(&self) -> Result<()> {
        match self.remaining() {
            Some(left) if left.is_zero() => Err(Error::new(ErrorKind::Timeout, "the deadline of the call has passed")),
            _ => Ok(()),
        }
    }
}
