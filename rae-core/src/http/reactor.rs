//! Where sockets are served. Futures of the engine run on any executor, but those of the HTTP client need Tokio: where the caller has
//! none, they run on a thread of this process, which is started at their first use.

use crate::error::{Error, Result};
use std::{
    future::Future,
    pin::Pin,
    sync::OnceLock,
    task::{Context, Poll},
    thread,
};
use tokio::{
    runtime::{self, Handle},
    task::JoinHandle,
};

static REACTOR: OnceLock<Result<Handle, String>> = OnceLock::new();

/// Runs `work` within Tokio: right here where there is one, else on the thread. Dropped, it ends the work. Unavailable where the
/// thread cannot be started.
pub(crate) async fn on_sockets<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Result<T> {
    if Handle::try_current().is_ok() {
        return Ok(work.await);
    }
    match REACTOR.get_or_init(|| start().map_err(|e| e.to_string())) {
        Ok(reactor) => Spawned(reactor.spawn(work)).await,
        Err(why) => Err(Error::unavailable(format!("no thread could be started: {why}"))),
    }
}

fn start() -> std::io::Result<Handle> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    let serve = move || runtime.block_on(std::future::pending::<()>());
    thread::Builder::new().name("rae-http".into()).spawn(serve)?;
    Ok(handle)
}

/// A task of the thread. Dropped, it ends the task.
struct Spawned<T>(JoinHandle<T>);

impl<T> Future for Spawned<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0)
            .poll(cx)
            .map(|joined| joined.map_err(|e| Error::internal("a request did not come to its end").with_source(e)))
    }
}

impl<T> Drop for Spawned<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::{FutureExt, channel::oneshot, executor::block_on};

    #[test]
    fn without_a_runtime_the_thread_serves_and_what_is_dropped_ends() {
        let here = thread::current().id();
        let there = block_on(on_sockets(async {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            thread::current().id()
        }));
        assert_ne!(there.unwrap(), here);
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
        let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let here = thread::current().id();
        assert_eq!(runtime.block_on(on_sockets(async { thread::current().id() })).unwrap(), here);
    }
}
