//! One request and its answer: the thread that owns the sockets, time limits, and what is tried again.

use super::{
    Remote, Who,
    answer::{self, Failed, Retry},
};
use crate::{
    error::{Error, ErrorKind, Result},
    http,
};
use reqwest::{
    Method, Url,
    header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue},
};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    fmt,
    future::Future,
    path::{Path, PathBuf},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    thread,
    time::Duration,
};
use tokio::{
    fs::File,
    io::AsyncWriteExt,
    runtime::{self, Handle},
    sync::{Semaphore, oneshot},
    task::JoinHandle,
    time::{Instant, timeout},
};

/// Requests at once; more wait their turn. As many calls are let through to a store by its guard.
const PLACES: usize = 64;
/// How often a request is made at most.
const ATTEMPTS: u32 = 3;
/// Pause after the first attempt; four times as long after the second.
const PAUSE: Duration = Duration::from_millis(100);

/// The connections to one server.
pub(super) struct Transport {
    pub base: Url,
    http: reqwest::Client,
    key: Option<HeaderValue>,
    runtime: Handle,
    places: Semaphore,
    closed: AtomicBool,
    /// Ends the thread when it is dropped.
    _stop: oneshot::Sender<()>,
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport").field("base", &self.base.as_str()).finish_non_exhaustive()
    }
}

/// What is asked of the server.
#[derive(Debug)]
pub(super) struct Request {
    pub method: Method,
    /// Below the base, without a slash at its beginning.
    pub path: String,
    pub query: Vec<(&'static str, String)>,
    pub headers: Vec<(&'static str, &'static str)>,
    pub body: Body,
    /// Whether it changes the store.
    pub writes: bool,
    /// The idempotency key of a write that has one: it may be made again after it may have been done, as a read may.
    pub key: Option<String>,
    /// Whether it takes a time in proportion to a project.
    pub bulk: bool,
    /// Longest time that it may take, where it says so itself; a handle with a shorter one is obeyed.
    pub limit: Option<Duration>,
}

#[derive(Debug)]
pub(super) enum Body {
    Empty,
    Json(Vec<u8>),
    File(PathBuf),
}

impl Request {
    /// Something to be read.
    pub fn get(path: impl Into<String>) -> Self {
        Self {
            method: Method::GET,
            path: path.into(),
            query: Vec::new(),
            headers: Vec::new(),
            body: Body::Empty,
            writes: false,
            key: None,
            bulk: false,
            limit: None,
        }
    }

    /// Something to be done with a JSON body. A write unless it is said.
    pub fn post(path: impl Into<String>, body: &impl Serialize) -> Result<Self> {
        let json = serde_json::to_string(body);
        let json = json.map_err(|e| Error::internal("the arguments could not be written as JSON").with_source(e))?;
        Ok(Self::post_text(path, json))
    }

    /// The same with a body that is JSON already.
    pub fn post_text(path: impl Into<String>, json: String) -> Self {
        Self { method: Method::POST, body: Body::Json(json.into_bytes()), writes: true, ..Self::get(path) }
    }

    pub fn reads(self) -> Self {
        Self { writes: false, ..self }
    }

    pub fn bulk(self) -> Self {
        Self { bulk: true, ..self }
    }
}

/// Where an answer goes.
enum Sink {
    Memory,
    /// And how the file must begin.
    File(std::fs::File, &'static [u8]),
    /// To whoever asked, to be read piece by piece.
    Open(Option<reqwest::Response>),
}

/// An answer that has begun.
pub(super) struct Opened {
    pub response: reqwest::Response,
    /// When it must have ended.
    pub deadline: Instant,
    limit: Duration,
}

impl Opened {
    /// The error of an answer that took longer than it may, or of which nothing was heard until `silent`.
    pub fn late(&self, silent: Instant) -> Error {
        let error = match silent < self.deadline {
            true => Error::unavailable("the server said nothing for a minute").with_code("connection_lost"),
            false => too_late(self.limit),
        };
        answer::may_be_done(error, None)
    }
}

impl Remote {
    /// Asks, and reads the answer as JSON.
    pub(super) async fn json<T: DeserializeOwned>(&self, request: Request) -> Result<T> {
        let (writes, key) = (request.writes, request.key.clone());
        let (bytes, _) = self.send(request, Sink::Memory).await?;
        serde_json::from_slice(&bytes).map_err(|e| {
            let error = answer::not_ours(e);
            if writes { answer::may_be_done(error, key.as_deref()) } else { error }
        })
    }

    /// Asks, and writes an answer that begins with the mark to a file. Gives the last bytes of it.
    pub(super) async fn download(&self, request: Request, file: std::fs::File, mark: &'static [u8]) -> Result<Vec<u8>> {
        self.send(request, Sink::File(file, mark)).await.map(|(tail, _)| tail)
    }

    /// Asks, and gives the answer when it begins.
    pub(super) async fn open(&self, request: Request) -> Result<Opened> {
        let limit = self.limit(&request);
        let deadline = Instant::now() + limit;
        let (_, sink) = self.send(request, Sink::Open(None)).await?;
        match sink {
            Sink::Open(Some(response)) => Ok(Opened { response, deadline, limit }),
            _ => Err(Error::internal("an answer went elsewhere")),
        }
    }

    fn limit(&self, request: &Request) -> Duration {
        match (self.timeout, request.limit) {
            (Some(own), limit) => limit.map_or(own, |limit| limit.min(own)),
            (None, Some(limit)) => limit,
            (None, None) if request.bulk => super::BULK,
            (None, None) => super::CALL,
        }
    }

    /// The bytes that were read, and the sink again.
    async fn send(&self, request: Request, mut sink: Sink) -> Result<(Vec<u8>, Sink)> {
        if self.transport.closed.load(Ordering::Acquire) {
            return Err(Error::unavailable("the handle is closed; connect again").with_code("closed"));
        }
        let (limit, who, transport) = (self.limit(&request), self.who.clone(), Arc::clone(&self.transport));
        let work = async move {
            let asked = transport.attempts(&who, &request, &mut sink);
            let bytes = timeout(limit, asked).await.unwrap_or_else(|_| Err(late(limit, &request)))?;
            Ok((bytes, sink))
        };
        self.transport.spawn(work).await?
    }
}

fn late(limit: Duration, request: &Request) -> Error {
    let error = too_late(limit);
    if request.writes { answer::may_be_done(error, request.key.as_deref()) } else { error }
}

fn too_late(limit: Duration) -> Error {
    Error::new(ErrorKind::Timeout, format!("the server gave no answer within {} s", limit.as_secs_f64()))
}

/// A task of the module's thread. Dropped, it ends the task: the request is given up.
pub(super) struct Spawned<T>(JoinHandle<T>);

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

impl Transport {
    pub fn start(base: Url, key: Option<HeaderValue>, authorities: Option<&Path>) -> Result<Self> {
        // Each call has a limit of its own, which is shorter.
        let most = super::BULK * 24;
        let http = match authorities {
            Some(file) => http::client_trusting(most, file)?,
            None => http::client(most)?,
        };
        let failed = |e: std::io::Error| Error::unavailable(format!("no thread could be started: {e}")).with_source(e);
        let runtime = runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let (handle, (stop, stopped)) = (runtime.handle().clone(), oneshot::channel::<()>());
        let run = move || {
            // It ends with the sender.
            let _ = runtime.block_on(stopped);
            runtime.shutdown_background();
        };
        thread::Builder::new().name("rae-remote".into()).spawn(run).map_err(failed)?;
        let (places, closed) = (Semaphore::new(PLACES), AtomicBool::new(false));
        Ok(Self { base, http, key, runtime: handle, places, closed, _stop: stop })
    }

    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// Runs a task on the thread.
    pub fn spawn<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Spawned<T> {
        Spawned(self.runtime.spawn(work))
    }

    async fn attempts(&self, who: &Who, request: &Request, sink: &mut Sink) -> Result<Vec<u8>> {
        let closed = |e| Error::internal("the places of requests are gone").with_source(e);
        let _place = self.places.acquire().await.map_err(closed)?;
        let (mut attempt, mut unsure) = (1, false);
        loop {
            let failed = match self.once(who, request, sink).await {
                Ok(bytes) => return Ok(bytes),
                Err(failed) => failed,
            };
            // A later attempt that was not begun says nothing of an earlier one.
            unsure |= request.writes && matches!(failed.retry, Retry::MayBeDone | Retry::Unsure);
            let pause = match failed.retry {
                Retry::NotBegun(pause) => Some(pause.unwrap_or(PAUSE * 4u32.pow(attempt - 1))),
                Retry::MayBeDone if !request.writes || request.key.is_some() => Some(PAUSE * 4u32.pow(attempt - 1)),
                Retry::MayBeDone | Retry::Unsure | Retry::No => None,
            };
            let Some(pause) = pause.filter(|_| attempt < ATTEMPTS) else {
                let error = failed.into_error();
                return Err(if unsure { answer::may_be_done(error, request.key.as_deref()) } else { error });
            };
            attempt += 1;
            // Many that failed together must not come back together.
            tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64())).await;
        }
    }

    async fn once(&self, who: &Who, request: &Request, sink: &mut Sink) -> Result<Vec<u8>, Failed> {
        let mut url = self
            .base
            .join(&request.path)
            .map_err(|e| Failed::no(Error::internal("the address of a route could not be made").with_source(e)))?;
        if !request.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&request.query);
        }
        let mut builder = self.http.request(request.method.clone(), url);
        let names =
            [("x-tenant-id", &who.headers[0]), ("x-project-id", &who.headers[1]), (AUTHORIZATION.as_str(), &self.key)];
        for (name, value) in names {
            if let Some(value) = value {
                builder = builder.header(name, value.clone());
            }
        }
        for (name, value) in &request.headers {
            builder = builder.header(*name, *value);
        }
        builder = match &request.body {
            Body::Empty => builder,
            Body::Json(json) => builder.header(CONTENT_TYPE, "application/json").body(json.clone()),
            Body::File(path) => {
                let file = File::open(path).await.map_err(|e| Failed::no(crate::ops::io_error("opened", path, e)))?;
                let length =
                    file.metadata().await.map_err(|e| Failed::no(crate::ops::io_error("read", path, e)))?.len();
                builder.header(CONTENT_TYPE, "application/x-ndjson").header(CONTENT_LENGTH, length).body(file)
            }
        };
        let response = builder.send().await.map_err(|e| answer::unsent(&self.base, e))?;
        if !response.status().is_success() {
            return Err(answer::failure(response).await);
        }
        match sink {
            Sink::Memory => answer::collect(response, answer::BYTES_MAX).await.map_err(Failed::after_success),
            Sink::File(file, mark) => save(response, file, mark).await,
            Sink::Open(place) => {
                *place = Some(response);
                Ok(Vec::new())
            }
        }
    }
}

/// Writes an answer to a file from its beginning; gives the last bytes. What begins otherwise than with the mark is not written.
async fn save(mut response: reqwest::Response, file: &std::fs::File, mark: &[u8]) -> Result<Vec<u8>, Failed> {
    const TAIL: usize = 4 << 10;
    let failed = |e: std::io::Error| {
        Failed::no(Error::unavailable(format!("the file could not be written: {e}")).with_source(e))
    };
    use std::io::Seek;
    let mut begun = file.try_clone().map_err(failed)?;
    begun.set_len(0).map_err(failed)?;
    begun.rewind().map_err(failed)?;
    let mut out = File::from_std(begun);
    let (mut tail, mut expected) = (Vec::new(), mark);
    while let Some(chunk) = response.chunk().await.map_err(answer::broken)? {
        let (now, later) = expected.split_at(expected.len().min(chunk.len()));
        if !chunk.starts_with(now) {
            return Err(Failed::no(answer::foreign("what it sent is not the file that was asked for")));
        }
        expected = later;
        out.write_all(&chunk).await.map_err(failed)?;
        tail.extend_from_slice(&chunk[chunk.len().saturating_sub(TAIL)..]);
        tail.drain(..tail.len().saturating_sub(TAIL));
    }
    out.flush().await.map_err(failed)?;
    out.sync_all().await.map_err(failed)?;
    Ok(tail)
}
