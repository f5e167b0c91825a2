//! Connections: how many, how slow, and how they end.

use crate::front::Front;
use axum::{Router, body::Body, body::HttpBody, http::Response};
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use std::{
    convert::Infallible,
    future::poll_fn,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, Sleep, sleep},
};
use tower_service::Service;

/// Longest time in which a client takes nothing of its answer.
const WRITE_STALL: Duration = Duration::from_secs(30);
/// How long a connection that has not asked yet is waited for while the server stops.
const DRAIN_IDLE: Duration = Duration::from_secs(2);
/// Longest headers of a request, in bytes.
const HEADER_BYTES_MAX: usize = 64 << 10;
/// Most headers of a request.
const HEADERS_MAX: usize = 100;
/// Open files that are not connections: the store, the log, temporary files.
const FILES_KEPT: u64 = 256;

/// How many connections may be open: what the settings say, or what the system lets a process have.
pub fn connections_max(app: &Front) -> usize {
    let wanted = app.settings.max_connections;
    let allowed = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    // The soft limit is often 1,024 for the sake of programs from before `poll`.
    let raised = rustix::process::Rlimit { current: allowed.maximum, maximum: allowed.maximum };
    let limit = match rustix::process::setrlimit(rustix::process::Resource::Nofile, raised) {
        Ok(()) => allowed.maximum,
        Err(_) => allowed.current,
    };
    let room =
        limit.map_or(usize::MAX, |files| usize::try_from(files.saturating_sub(FILES_KEPT)).unwrap_or(usize::MAX));
    if room < wanted {
        tracing::warn!(
            wanted,
            connections = room.max(16),
            "fewer connections than configured: the system limits open files"
        );
    }
    wanted.min(room.max(16))
}

/// What it means that a client closed its side while it waits for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// It asks no more, and still wants the answer. One that has left cannot be told from it before the answer is sent.
    AsksNoMore,
    /// It has left: the work for it ends.
    HasLeft,
}

/// Takes connections until `stop` ends; those that are open go on and are watched by `open`.
pub async fn accept(
    listener: TcpListener,
    router: Router,
    app: Arc<Front>,
    closed: Closed,
    open: &GracefulShutdown,
    stop: impl Future<Output = ()>,
) {
    let places = Arc::new(Semaphore::new(connections_max(&app)));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(app.settings.idle_timeout)
        .half_close(closed == Closed::AsksNoMore)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEADER_BYTES_MAX);
    let mut stop = std::pin::pin!(stop);
    let take = |stream: TcpStream, place: OwnedSemaphorePermit| {
        // Small answers must not wait for company; where it fails they do.
        let _ = stream.set_nodelay(true);
        let turn = Arc::new(Turn::default());
        let socket = Socket::new(stream, Arc::clone(&turn), Arc::clone(&app));
        let service = service(router.clone(), turn);
        let connection = open.watch(http.serve_connection(TokioIo::new(socket), service_fn(service)));
        app.metrics.connections.inc();
        let app = Arc::clone(&app);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended early");
            }
            app.metrics.connections.dec();
            drop(place);
        });
    };
    loop {
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        tokio::select! {
            biased;
            () = &mut stop => break,
            next = next => match next {
                (Ok(place), Ok((stream, _))) => take(stream, place),
                (_, Err(error)) => {
                    // Out of files, or a client that left at once. Neither ends the server.
                    tracing::warn!(%error, "a connection could not be taken");
                    sleep(Duration::from_millis(20)).await;
                }
                (Err(_), _) => break,
            },
        }
    }
    // Those that the system has taken for us were promised an answer.
    while let Poll::Ready(Ok((stream, _))) = poll_fn(|cx| Poll::Ready(listener.poll_accept(cx))).await {
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { break };
        take(stream, place);
    }
}

type Answer = Pin<Box<dyn Future<Output = Result<Response<Answered>, Infallible>> + Send>>;

/// Whose turn it is on a connection.
#[derive(Default)]
struct Turn {
    /// The server's: a request is here whole, or its headers are, and the answer is not sent yet.
    busy: AtomicBool,
    /// Requests whose headers are here.
    requests: AtomicU64,
}

/// The router as hyper calls it, marking when the connection is busy with a request.
fn service(router: Router, turn: Arc<Turn>) -> impl Fn(Request<Incoming>) -> Answer {
    move |request| {
        turn.requests.fetch_add(1, Ordering::Release);
        turn.busy.store(true, Ordering::Release);
        let (mut router, mark) = (router.clone(), Busy(Arc::clone(&turn)));
        Box::pin(async move {
            let response = router.call(request.map(Body::new)).await?;
            Ok(response.map(|body| Answered { body, _mark: mark }))
        })
    }
}

/// Says, when it is dropped, that the connection waits for its next request.
struct Busy(Arc<Turn>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.store(false, Ordering::Release);
    }
}

/// A response's body; while it is sent, the connection is busy.
struct Answered {
    body: Body,
    _mark: Busy,
}

impl HttpBody for Answered {
    type Data = <Body as HttpBody>::Data;
    type Error = <Body as HttpBody>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.body.size_hint()
    }
}

/// A socket that gives up on a client which sends its headers byte by byte, or takes nothing of its answer.
struct Socket {
    stream: TcpStream,
    turn: Arc<Turn>,
    app: Arc<Front>,
    /// Requests whose headers were here when `headers_due` was set.
    requests: u64,
    headers_due: Option<Pin<Box<Sleep>>>,
    write_due: Option<Pin<Box<Sleep>>>,
}

impl Socket {
    fn new(stream: TcpStream, turn: Arc<Turn>, app: Arc<Front>) -> Self {
        Self { stream, turn, app, requests: 0, headers_due: None, write_due: None }
    }

    /// A write that waits starts the clock, one that moves stops it.
    fn stalled<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.write_due = None;
            return written;
        }
        let due = self.write_due.get_or_insert_with(|| Box::pin(sleep(WRITE_STALL)));
        ready!(due.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let requests = this.turn.requests.load(Ordering::Acquire);
        if requests != this.requests {
            this.requests = requests;
            this.headers_due = None;
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, buffer);
        match &read {
            Poll::Ready(_) if buffer.filled().len() > before && !this.turn.busy.load(Ordering::Acquire) => {
                // The first bytes of a request start the clock; more of them do not start it again.
                let due = Instant::now() + this.app.settings.header_timeout;
                let due = this.headers_due.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
                if due.is_elapsed() {
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
            }
            Poll::Pending => {
                // A connection that was opened ahead of need must not keep a server that wants to stop.
                if this.headers_due.is_none() && this.app.is_draining() && !this.turn.busy.load(Ordering::Acquire) {
                    this.headers_due = Some(Box::pin(sleep(this.app.settings.header_timeout.min(DRAIN_IDLE))));
                }
                if let Some(due) = &mut this.headers_due
                    && due.as_mut().poll(cx).is_ready()
                {
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
            }
            Poll::Ready(_) => {}
        }
        read
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.stalled(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.stalled(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
