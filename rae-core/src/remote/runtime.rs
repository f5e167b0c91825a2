//! The runtime that clients of model providers need, where the caller has none: one thread of the process, begun by the first call that
//! needs it. A future or a stream is polled by its caller, in the context of that runtime: dropping it gives the call up at once.

use crate::{
    error::{Error, Result},
    model::ChatChunk,
    ops::{LlmCost, LlmStream},
};
use futures::Stream;
use parking_lot::Mutex;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    thread,
};
use tokio::runtime::{Builder, Handle};

/// The runtime, and the process that it belongs to: in a forked child its thread does not exist.
static RUNTIME: Mutex<Option<(u32, Handle)>> = Mutex::new(None);

fn runtime() -> Result<Handle> {
    let (mut known, pid) = (RUNTIME.lock(), std::process::id());
    if let Some((of, handle)) = &*known
        && *of == pid
    {
        return Ok(handle.clone());
    }
    let failed = |e: std::io::Error| Error::unavailable(format!("no thread could be started: {e}")).with_source(e);
    let runtime = Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let handle = runtime.handle().clone();
    let run = move || runtime.block_on(std::future::pending::<()>());
    thread::Builder::new().name("rae-llm".into()).spawn(run).map_err(failed)?;
    *known = Some((pid, handle.clone()));
    Ok(handle)
}

/// Runs a call in the context of the runtime.
pub(super) async fn run<T>(call: impl Future<Output = Result<T>> + Send) -> Result<T> {
    Entered { runtime: runtime()?, inner: Box::pin(call) }.await
}

struct Entered<F> {
    runtime: Handle,
    inner: F,
}

impl<F: Future + Unpin> Future for Entered<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let runtime = self.runtime.clone();
        let _context = runtime.enter();
        Pin::new(&mut self.inner).poll(cx)
    }
}

/// An [`LlmStream`] that any executor may poll.
pub struct Streamed(Entered<LlmStream>);

impl Streamed {
    pub(super) fn new(stream: LlmStream) -> Result<Self> {
        Ok(Self(Entered { runtime: runtime()?, inner: stream }))
    }

    /// As [`LlmStream::cost`].
    pub fn cost(&self) -> Option<LlmCost> {
        self.0.inner.cost()
    }

    /// As [`LlmStream::provider`].
    pub fn provider(&self) -> &str {
        self.0.inner.provider()
    }
}

impl fmt::Debug for Streamed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.inner.fmt(f)
    }
}

impl Stream for Streamed {
    type Item = Result<ChatChunk>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let runtime = self.0.runtime.clone();
        let _context = runtime.enter();
        Pin::new(&mut self.0.inner).poll_next(cx)
    }
}
