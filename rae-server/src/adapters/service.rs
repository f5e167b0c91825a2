//! One way to ask the model services: bounded in time and in size, from whatever executor the engine is on.

use rae_core::{Error, ErrorKind, Result};
use reqwest::{Client, StatusCode, Url};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::time::Duration;
use tokio::{runtime::Handle, task::JoinHandle, time::Instant};

/// Bytes of an error's body that are looked at.
const ERROR_BYTES_MAX: usize = 64 << 10;

/// A service at an address.
#[derive(Debug, Clone)]
pub struct Service {
    name: &'static str,
    base: Url,
    client: Client,
    runtime: Handle,
}

/// A task that ends when nobody waits for it.
struct Task<T>(JoinHandle<T>);

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Service {
    /// A client of the service `name`. Must be called on the Tokio runtime that its calls will run on.
    pub fn new(name: &'static str, base: Url, timeout: Duration) -> Result<Self> {
        Ok(Self { name, base, client: rae_core::http::client(timeout)?, runtime: Handle::current() })
    }

    /// The service and where it is, for messages.
    pub fn shown(&self) -> String {
        format!("the {} service at {}", self.name, self.base)
    }

    /// The answer to a POST of `body`, or to a GET where there is none. At most `bytes_max` bytes of it are read.
    ///
    /// Errors are never InvalidInput: what a service says of our request is no fault of the caller's. No answer at all may be asked
    /// for again; a service that is too slow may not, so that a call takes the limit once.
    pub async fn ask<T: DeserializeOwned + Send + 'static>(
        &self,
        path: &'static str,
        body: Option<Value>,
        bytes_max: usize,
    ) -> Result<T> {
        let this = self.clone();
        self.spawn(async move { this.send(path, body, bytes_max).await }).await
    }

    /// The same, but not past `due`.
    pub async fn ask_until<T: DeserializeOwned + Send + 'static>(
        &self,
        due: Instant,
        path: &'static str,
        body: Option<Value>,
        bytes_max: usize,
    ) -> Result<T> {
        // The timer needs a runtime, and the caller may have none: the task has it.
        let this = self.clone();
        let work = async move {
            let asked = tokio::time::timeout_at(due, this.send(path, body, bytes_max)).await;
            asked.unwrap_or_else(|_| Err(this.late()))
        };
        self.spawn(work).await
    }

    async fn spawn<T: Send + 'static>(&self, work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
        let mut task = Task(self.runtime.spawn(work));
        (&mut task.0).await.map_err(|e| Error::internal("a call of a service did not end").with_source(e))?
    }

    fn late(&self) -> Error {
        let message = format!("{} did not answer in time", self.shown());
        Error::new(ErrorKind::Timeout, message).with_code("service_timeout")
    }

    async fn send<T: DeserializeOwned>(&self, path: &str, body: Option<Value>, bytes_max: usize) -> Result<T> {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push(path);
        }
        let request = match body {
            Some(body) => self.client.post(url).header("content-type", "application/json").body(body.to_string()),
            None => self.client.get(url),
        };
        let mut response = request.send().await.map_err(|e| self.failed(e))?;
        let status = response.status();
        let most = if status.is_success() { bytes_max } else { ERROR_BYTES_MAX };
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| self.failed(e))? {
            if bytes.len() + chunk.len() > most {
                return Err(self.bad(format!("gave more than {most} bytes")));
            }
            bytes.extend_from_slice(&chunk);
        }
        if !status.is_success() {
            return Err(self.refused(status, &bytes));
        }
        // The parser's message may quote what it read: only the place is told.
        serde_json::from_slice(&bytes).map_err(|e| {
            self.bad(format!("gave an answer that is not as it should be: line {}, column {}", e.line(), e.column()))
        })
    }

    /// An answer that cannot be used; asking again would not help.
    pub fn bad(&self, what: impl AsRef<str>) -> Error {
        Error::unavailable(format!("{} {}", self.shown(), what.as_ref())).with_code("service_answer")
    }

    fn failed(&self, error: reqwest::Error) -> Error {
        if error.is_timeout() {
            return self.late();
        }
        // Without the address, which the message has already.
        let error = error.without_url();
        Error::unavailable(format!("{} cannot be reached: {error}", self.shown()))
            .with_code("service_down")
            .temporary()
            .with_source(error)
    }

    fn refused(&self, status: StatusCode, body: &[u8]) -> Error {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let said = body["error"]["code"].as_str().unwrap_or("no code").chars().take(80).collect::<String>();
        let error = self.bad(format!("answered {status} ({said})"));
        if status == StatusCode::SERVICE_UNAVAILABLE { error.temporary() } else { error }
    }
}
