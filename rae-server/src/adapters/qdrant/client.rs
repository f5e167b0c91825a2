//! The HTTP side: one typed call, bounded in time and size, and the errors of the one table.
//!
//! What the server says in words is not passed on: only the status of its answer is.

use super::QdrantSettings;
use rae_core::{Error, ErrorKind, Result, http};
use reqwest::{Method, StatusCode, header::HeaderValue};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{runtime::Handle, task::JoinHandle};

/// How long nothing is tried after the server kept a call waiting to its end.
const PAUSE: Duration = Duration::from_secs(1);
/// Bytes of any answer beyond what its items may take.
const ANSWER_BYTES: usize = 1 << 20;

/// A client of one server.
#[derive(Debug, Clone)]
pub(super) struct Client {
    http: reqwest::Client,
    base: Arc<str>,
    key: Option<HeaderValue>,
    runtime: Handle,
    began: Instant,
    /// Milliseconds since `began` before which nothing is tried.
    paused_until: Arc<AtomicU64>,
}

/// One request.
pub(super) struct Call<'a> {
    pub method: Method,
    pub path: &'a str,
    pub body: Option<&'a Value>,
    /// Longest time, the answer read included.
    pub limit: Duration,
    /// Bytes that the items of the answer may take.
    pub items_bytes: usize,
}

/// What an answer with a status other than 2xx means to its caller.
pub(super) enum Answer<T> {
    Got(T),
    Missing,
    Exists,
}

/// What most answers come in.
#[derive(Deserialize)]
pub(super) struct Envelope<T> {
    pub result: T,
}

/// A task that ends with whoever waits for it: a write given up must not be sent later.
struct Bound<T>(JoinHandle<T>);

impl<T> Drop for Bound<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Client {
    /// Must be called inside a Tokio runtime with worker threads.
    pub fn new(settings: &QdrantSettings, longest: Duration) -> Result<Self> {
        let runtime = Handle::try_current().map_err(|_| {
            Error::unsupported("a Qdrant store must be opened inside a Tokio runtime").with_code("no_runtime")
        })?;
        let key = match &settings.key {
            Some(key) => {
                let mut value = HeaderValue::from_str(key).map_err(|_| {
                    Error::invalid("QDRANT_API_KEY holds signs that no header can").with_code("invalid_qdrant_key")
                })?;
                value.set_sensitive(true);
                Some(value)
            }
            None => None,
        };
        Ok(Self {
            http: http::client(longest)?,
            base: settings.url.as_str().into(),
            key,
            runtime,
            began: Instant::now(),
            paused_until: Arc::default(),
        })
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The answer to a request.
    pub async fn call<T: DeserializeOwned + Send + 'static>(&self, call: Call<'_>) -> Result<Answer<T>> {
        if self.now() < self.paused_until.load(Ordering::Relaxed) {
            return Err(Error::unavailable("Qdrant did not answer in time and is left alone for a second")
                .with_code("no_vectors"));
        }
        let mut request = self.http.request(call.method, format!("{}{}", self.base, call.path)).timeout(call.limit);
        if let Some(key) = &self.key {
            request = request.header("api-key", key.clone());
        }
        if let Some(body) = call.body {
            let bytes = serde_json::to_vec(body)
                .map_err(|e| Error::internal("a request to Qdrant is not JSON").with_source(e))?;
            request = request.header("content-type", "application/json").body(bytes);
        }
        let most = ANSWER_BYTES.saturating_add(call.items_bytes);
        let mut task = Bound(self.runtime.spawn(exchange::<T>(request, most)));
        let result = match (&mut task.0).await {
            Ok(result) => result,
            Err(error) if error.is_panic() => Err(Error::internal("a task of the vector store panicked")),
            Err(_) => Err(closed()),
        };
        if let Err(error) = &result
            && error.kind() == ErrorKind::Timeout
        {
            let pause = u64::try_from(PAUSE.as_millis()).unwrap_or(u64::MAX);
            self.paused_until.store(self.now().saturating_add(pause), Ordering::Relaxed);
        }
        result
    }
}

async fn exchange<T: DeserializeOwned>(request: reqwest::RequestBuilder, most: usize) -> Result<Answer<T>> {
    let mut response = request.send().await.map_err(|e| unreachable_now(&e))?;
    let status = response.status();
    if !status.is_success() {
        return refused(status);
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| unreachable_now(&e))? {
        if bytes.len() + chunk.len() > most {
            return Err(Error::corrupt("an answer of Qdrant is longer than any should be; check QDRANT_URL")
                .with_code("vectors_answer"));
        }
        bytes.extend_from_slice(&chunk);
    }
    serde_json::from_slice(&bytes).map(Answer::Got).map_err(|_| {
        Error::corrupt("an answer of Qdrant is not what it should be; check QDRANT_URL and the server's version")
            .with_code("vectors_answer")
    })
}

fn refused<T>(status: StatusCode) -> Result<Answer<T>> {
    let error = match status.as_u16() {
        404 => return Ok(Answer::Missing),
        409 => return Ok(Answer::Exists),
        401 | 403 => Error::new(ErrorKind::PermissionDenied, "Qdrant refused the key; check QDRANT_API_KEY")
            .with_code("no_permission"),
        408 | 504 => Error::new(ErrorKind::Timeout, "Qdrant did not finish in time"),
        429 => Error::new(ErrorKind::RateLimited, "Qdrant takes no more requests for now").with_code("no_vectors"),
        500..=599 => Error::unavailable("Qdrant failed; see its log").with_code("no_vectors").temporary(),
        _ => {
            Error::internal("Qdrant refused a request; see its log and check its version").with_code("vectors_refused")
        }
    };
    Err(error.with_context("status", status.as_str()))
}

fn unreachable_now(error: &reqwest::Error) -> Error {
    if error.is_timeout() && !error.is_connect() {
        return Error::new(ErrorKind::Timeout, "Qdrant did not answer in time").with_code("no_vectors");
    }
    Error::unavailable("Qdrant cannot be reached, or the connection broke; check QDRANT_URL")
        .with_code("no_vectors")
        .temporary()
}

/// Every call after `close`.
pub(super) fn closed() -> Error {
    Error::unavailable("the vector store is closed; open it again").with_code("closed")
}
