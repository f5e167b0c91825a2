//! The decorator that every port wears: deadline, timeout, retry, concurrency limit, metrics, span, and in tests injected faults.
//!
//! The order matters. Outermost is the deadline of the [`Ctx`]; inside it attempts repeat; each attempt waits for its turn and then
//! has the timeout to itself. A retry happens only when the error says that it may pass ([`Error::is_temporary`]) and the operation
//! may be repeated: reads, and `apply`, which is exactly-once per batch id.

#[cfg(any(test, feature = "conformance"))]
mod faults;
mod gate;
mod ports;
#[cfg(test)]
mod tests;

use crate::{
    ctx::Ctx,
    error::{Error, ErrorKind, Result},
};
#[cfg(any(test, feature = "conformance"))]
pub use faults::{Fault, Faults, When};
use futures::future::{Either, select};
use futures_timer::Delay;
use gate::Gate;
use std::{
    fmt,
    future::Future,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};
use tracing::Instrument;

/// How long, how often and how many at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Longest time of one attempt, once it has its turn. Default 30 s.
    pub timeout: Duration,
    /// Most attempts of one call, the first included; 0 counts as 1. Default 3.
    pub attempts: u32,
    /// Pauses between attempts.
    pub backoff: Backoff,
    /// Most attempts under way at once; 0 counts as 1. More wait for their turn, first come first served. Default 64.
    pub concurrency: usize,
}

/// Pauses between attempts: each twice as long as the one before, up to a bound, and a random part of up to half taken off, so that
/// callers who failed together do not come back together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The first pause. Default 20 ms.
    pub first: Duration,
    /// The longest pause. Default 1 s. A backend that asks for a longer one is not waited for: its error goes to the caller.
    pub longest: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        let backoff = Backoff { first: Duration::from_millis(20), longest: Duration::from_secs(1) };
        Self { timeout: Duration::from_secs(30), attempts: 3, backoff, concurrency: 64 }
    }
}

impl Backoff {
    /// The pause after the `attempt`-th attempt (from 1).
    fn pause(&self, attempt: u32) -> Duration {
        let doubled = 1u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
        let whole = self.first.saturating_mul(doubled).min(self.longest);
        whole.mul_f64(0.5 + fastrand::f64() / 2.0)
    }
}

/// What learns of every call, for metrics. Called once per call, not per attempt; must not block.
pub trait Observer: fmt::Debug + Send + Sync + 'static {
    /// A call of `operation` on `port` ended after `seconds`. A call whose caller went away ends as `Cancelled`.
    fn observed(&self, port: &'static str, operation: &'static str, outcome: Result<(), ErrorKind>, seconds: f64);
}

/// Observes nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoObserver;

impl Observer for NoObserver {
    fn observed(&self, _: &'static str, _: &'static str, _: Result<(), ErrorKind>, _: f64) {}
}

/// A port behind a [`Policy`]; implements the port itself, so that nobody sees the difference.
pub struct Guarded<P: ?Sized> {
    inner: Arc<P>,
    port: &'static str,
    policy: Policy,
    gate: Gate,
    observer: Arc<dyn Observer>,
    #[cfg(any(test, feature = "conformance"))]
    faults: Option<Arc<Faults>>,
}

impl<P: ?Sized + fmt::Debug> fmt::Debug for Guarded<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guarded")
            .field("port", &self.port)
            .field("policy", &self.policy)
            .field("inner", &&*self.inner)
            .finish()
    }
}

/// What the guard may do with an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// Repeating it does no harm.
    Repeatable,
    /// It may have happened although it failed, and must not happen twice.
    Once,
    /// It takes as long as it takes: the deadline of the call alone ends it, and it is not repeated.
    Long,
    /// It must get through however busy the port is.
    Closing,
}

impl<P: ?Sized + Send + Sync> Guarded<P> {
    fn wrap(port: &'static str, inner: Arc<P>, policy: Policy) -> Self {
        Self {
            inner,
            port,
            policy,
            gate: Gate::new(policy.concurrency.max(1)),
            observer: Arc::new(NoObserver),
            #[cfg(any(test, feature = "conformance"))]
            faults: None,
        }
    }

    /// Tells `observer` of every call.
    pub fn with_observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = observer;
        self
    }

    /// Injects faults, in tests.
    #[cfg(any(test, feature = "conformance"))]
    pub fn with_faults(mut self, faults: Arc<Faults>) -> Self {
        self.faults = Some(faults);
        self
    }

    /// One guarded call. `attempt` starts an attempt; it is told whether this is the last one there can be.
    async fn call<'c, T, F>(
        &self,
        ctx: impl Into<Option<&'c Ctx>>,
        operation: &'static str,
        rule: Rule,
        mut attempt: impl FnMut(bool) -> F + Send,
    ) -> Result<T>
    where
        F: Future<Output = Result<T>> + Send,
    {
        let ctx = ctx.into();
        let port = self.port;
        let trace = ctx.and_then(Ctx::trace);
        let span = tracing::debug_span!("port", port, operation, trace, outcome = tracing::field::Empty);
        let report = Report { observer: &*self.observer, port, operation, started: Instant::now(), done: false };
        let (result, attempts) = self.repeat(ctx, operation, rule, &mut attempt).instrument(span.clone()).await;
        span.record("outcome", result.as_ref().err().map_or("ok", |error| error.kind().name()));
        let _inside = span.enter();
        report.finish(result.as_ref().map(drop).map_err(Error::kind), attempts);
        result.map_err(|error| {
            let error = error.with_operation(operation).with_context("port", port);
            if attempts > 1 { error.with_context("attempts", attempts.to_string()) } else { error }
        })
    }

    async fn repeat<T, F>(
        &self,
        ctx: Option<&Ctx>,
        operation: &'static str,
        rule: Rule,
        attempt: &mut (impl FnMut(bool) -> F + Send),
    ) -> (Result<T>, u32)
    where
        F: Future<Output = Result<T>> + Send,
    {
        let most = if rule == Rule::Repeatable { self.policy.attempts.max(1) } else { 1 };
        let mut number = 1;
        loop {
            let last = number >= most;
            let error = match self.once(ctx, operation, rule, || attempt(last)).await {
                Ok(value) => return (Ok(value), number),
                Err(error) => error,
            };
            let pause = error.retry_after().unwrap_or_else(|| self.policy.backoff.pause(number));
            let in_time = ctx.and_then(Ctx::remaining).is_none_or(|left| left > pause);
            if last || !error.is_temporary() || !in_time || pause > self.policy.backoff.longest {
                return (Err(error), number);
            }
            tracing::debug!(kind = error.kind().name(), attempt = number, "an attempt failed and is repeated");
            Delay::new(pause).await;
            number += 1;
        }
    }

    async fn once<T, F>(
        &self,
        ctx: Option<&Ctx>,
        operation: &'static str,
        rule: Rule,
        start: impl FnOnce() -> F + Send,
    ) -> Result<T>
    where
        F: Future<Output = Result<T>> + Send,
    {
        if rule == Rule::Closing {
            return self.work(operation, start()).await;
        }
        ctx.map_or(Ok(()), Ctx::check)?;
        let _permit = within(ctx.and_then(Ctx::remaining), async { Ok(self.gate.enter().await) }).await?;
        ctx.map_or(Ok(()), Ctx::check)?;
        let left = ctx.and_then(Ctx::remaining);
        let limit = match (rule, left) {
            (Rule::Long, left) => left,
            (_, Some(left)) => Some(left.min(self.policy.timeout)),
            (_, None) => Some(self.policy.timeout),
        };
        within(limit, self.work(operation, start())).await
    }

    #[cfg(any(test, feature = "conformance"))]
    async fn work<T>(&self, operation: &'static str, work: impl Future<Output = Result<T>> + Send) -> Result<T> {
        match &self.faults {
            Some(faults) => faults.around(operation, work).await,
            None => work.await,
        }
    }

    #[cfg(not(any(test, feature = "conformance")))]
    async fn work<T>(&self, _operation: &'static str, work: impl Future<Output = Result<T>> + Send) -> Result<T> {
        work.await
    }
}

/// `work`, unless it takes longer than `limit`: then it is dropped and the error is a Timeout that may pass by itself.
pub(crate) async fn within<T>(limit: Option<Duration>, work: impl Future<Output = Result<T>> + Send) -> Result<T> {
    let Some(limit) = limit else { return work.await };
    match select(pin!(work), Delay::new(limit)).await {
        Either::Left((result, _)) => result,
        Either::Right(_) => {
            let message = format!("no answer within {:.3} seconds", limit.as_secs_f64());
            Err(Error::new(ErrorKind::Timeout, message).temporary())
        }
    }
}

/// Tells the observer how a call ended, also when its future is dropped on the way.
struct Report<'a> {
    observer: &'a dyn Observer,
    port: &'static str,
    operation: &'static str,
    started: Instant,
    done: bool,
}

impl Report<'_> {
    fn finish(mut self, outcome: Result<(), ErrorKind>, attempts: u32) {
        self.done = true;
        self.tell(outcome, attempts);
    }

    fn tell(&self, outcome: Result<(), ErrorKind>, attempts: u32) {
        let seconds = self.started.elapsed().as_secs_f64();
        let name = outcome.err().map_or("ok", ErrorKind::name);
        tracing::debug!(port = self.port, operation = self.operation, outcome = name, attempts, seconds, "port call");
        self.observer.observed(self.port, self.operation, outcome, seconds);
    }
}

impl Drop for Report<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.tell(Err(ErrorKind::Cancelled), 0);
        }
    }
}
