//! Where sockets are served. Futures of the engine run on any executor, but those of the HTTP client need Tokio: where the caller has
//! none, one thread of this process serves their sockets, begun by the first call that needs it. The future itself, or the stream, is
//! polled by its caller, in the context of that thread's runtime: dropping it gives the call up at once.

use crate::error::{Error, Result};
use futures::Stream;
use parking_lot::Mutex;
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    thread,
};
use tokio::runtime::{Builder, Handle};

/// The runtime, and the process that it belongs to: in a forked child its thread does not exist.
static REACTOR: Mutex<Option<(u32, Handle)>> = Mutex::new(None);

fn reactor() -> Result<Handle> {
    let (mut known, pid) = (REACTOR.lock(), std::process::id());
    if let Some((of, handle)) = &*known
        && *of == pid
    {
        return Ok(handle.clone());
    }
    let failed = |e: std::io::Error| Error::unavailable(format!("no thread could be started: {e}")).with_source(e);
    let runtime = Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let handle = runtime.handle().clone();
    let serve = move || runtime.block_on(std::future::pending::<()>());
    thread::Builder::new().name("rae-http".into()).spawn(serve).map_err(failed)?;
    *known = Some((pid, handle.clone()));
    Ok(handle)
}

/// Runs `work` within Tokio: the caller's where there is one, else that of the thread. Unavailable where the thread cannot be started.
pub(crate) async fn on_sockets<T>(work: impl Future<Output = T> + Send) -> Result<T> {
    match Handle::try_current() {
        Ok(_) => Ok(work.await),
        Err(_) => Ok(OnReactor::new(Box::pin(work))?.await),
    }
}

/// A future or a stream whose sockets the thread serves, whoever polls it.
pub(crate) struct OnReactor<F> {
    reactor: Handle,
    inner: F,
}

impl<F> OnReactor<F> {
    /// Unavailable where the thread cannot be started.
    pub fn new(inner: F) -> Result<Self> {
        Ok(Self { reactor: reactor()?, inner })
    }

    /// What is polled.
    #[cfg(feature = "remote")]
    pub fn inner(&self) -> &F {
        &self.inner
    }
}

impl<F: Future + Unpin> Future for OnReactor<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let reactor = self.reactor.clone();
        let _context = reactor.enter();
        Pin::new(&mut self.inner).poll(cx)
    }
}

impl<F: Stream + Unpin> Stream for OnReactor<F> {
    type Item = F::Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let reactor = self.reactor.clone();
        let _context = reactor.enter();
        Pin::new(&mut self.inner).poll_next(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::{FutureExt, channel::oneshot, executor::block_on};

    #[test]
    fn without_a_runtime_the_thread_serves_and_what_is_dropped_ends() {
        let served =
            on_sockets(async { tokio::spawn(async { thread::current().name().map(str::to_owned) }).await.unwrap() });
        assert_eq!(block_on(served).unwrap().as_deref(), Some("rae-http"));
        // Its clock goes too.
        block_on(on_sockets(async { tokio::time::sleep(std::time::Duration::from_millis(1)).await })).unwrap();
        let (held, ended) = oneshot::channel::<()>();
        let mut work = Box::pin(on_sockets(async move {
            std::future::pending::<()>().await;
            drop(held);
        }));
        assert!(work.as_mut().now_or_never().is_none());
        drop(work);
        block_on(ended).unwrap_err();
    }

    #[test]
    fn within_a_runtime_nothing_goes_elsewhere() {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let here = thread::current().id();
        let spawned = async { tokio::spawn(async { thread::current().id() }).await.unwrap() };
        assert_eq!(runtime.block_on(on_sockets(spawned)).unwrap(), here);
    }

    #[test]
    fn calls_of_several_kinds_share_one_thread() {
        let threads = || block_on(on_sockets(async { tokio::spawn(async { thread::current().id() }).await.unwrap() }));
        let entered = async { tokio::spawn(async { thread::current().id() }).await.unwrap() };
        let entered = block_on(OnReactor::new(Box::pin(entered)).unwrap());
        assert_eq!(threads().unwrap(), entered);
    }
}
