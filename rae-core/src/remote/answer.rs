//! What came back, and what did not: answers within bounds, and every failure as an error of the engine's table.

use crate::error::{Error, ErrorKind};
use reqwest::{Response, StatusCode, Url, header::RETRY_AFTER};
use serde::Deserialize;
use serde_json::Value;
use std::time::Duration;

/// Longest answer that is not a file.
pub(super) const BYTES_MAX: usize = 256 << 20;
/// Longest body of an error that is looked at.
const FAILURE_BYTES_MAX: usize = 1 << 20;
/// Most characters of a server's message.
const MESSAGE_CHARS_MAX: usize = 1_500;
/// Longest pause that a server may ask for and get; for more, the caller is told.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Whether a request that failed may be made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Retry {
    /// It would fail again, or must not be repeated.
    No,
    /// It was certainly not begun.
    NotBegun(Option<Duration>),
    /// It may have been done, and is not to be repeated.
    Unsure,
    /// It may have been done.
    MayBeDone,
}

/// A request that failed.
#[derive(Debug)]
pub(super) struct Failed {
    error: Error,
    pub retry: Retry,
}

impl Failed {
    pub fn no(error: Error) -> Self {
        Self { error, retry: Retry::No }
    }

    fn may_be_done(error: Error) -> Self {
        Self { error, retry: Retry::MayBeDone }
    }

    /// The same of a request that the server took and answered with success.
    pub fn after_success(self) -> Self {
        let retry = if self.retry == Retry::No { Retry::Unsure } else { self.retry };
        Self { retry, ..self }
    }

    /// The error for the caller.
    pub fn into_error(self) -> Error {
        self.error
    }
}

/// The error of a write that may have been done: it says so, and names the key with which it can be repeated safely.
pub(super) fn may_be_done(error: Error, key: Option<&str>) -> Error {
    let safely = if key.is_some() { ": repeat it with the idempotency_key of the details" } else { "" };
    let message = format!("{}; the call may have been done all the same{safely}", error.message());
    let mut details = error.details().and_then(Value::as_object).cloned().unwrap_or_default();
    details.extend(key.map(|key| ("idempotency_key".to_owned(), key.into())));
    let mut shown = Error::new(error.kind(), message).with_code(error.code().to_owned());
    if !details.is_empty() {
        shown = shown.with_details(Value::Object(details));
    }
    if let Some(pause) = error.retry_after() {
        shown = shown.with_retry_after(pause);
    }
    shown.with_source(error)
}

/// A request that got no answer.
pub(super) fn unsent(base: &Url, error: reqwest::Error) -> Failed {
    // The address with its query may hold what was asked.
    let error = error.without_url();
    if error.is_builder() {
        let message = "the arguments are too long for an address; give a shorter filter";
        return Failed::no(Error::invalid(message).with_source(error));
    }
    let (place, why) = (base.as_str(), root(&error));
    if error.is_connect() {
        let message = format!("no server can be reached at {place} ({why}): check the address, and that it runs");
        let error = Error::unavailable(message).with_code("unreachable").with_source(error);
        return Failed { error, retry: Retry::NotBegun(None) };
    }
    let message = format!("the connection to {place} broke before the answer came ({why})");
    Failed::may_be_done(Error::unavailable(message).with_code("connection_lost").with_source(error))
}

/// An answer that broke off.
pub(super) fn broken(error: reqwest::Error) -> Failed {
    let error = error.without_url();
    let message = format!("the server's answer broke off ({})", root(&error));
    Failed::may_be_done(Error::unavailable(message).with_code("connection_lost").with_source(error))
}

/// The innermost cause, in a few words.
fn root(error: &reqwest::Error) -> String {
    let mut at: &dyn std::error::Error = error;
    while let Some(source) = at.source() {
        at = source;
    }
    at.to_string().chars().take(200).collect()
}

/// An answer that a RAE server does not give.
pub(super) fn not_ours(error: serde_json::Error) -> Error {
    // The parser's message may quote what it read.
    let place = format!("line {}, column {}", error.line(), error.column());
    foreign(&format!("its answer cannot be read at {place}"))
}

/// Something that a RAE server does not send.
pub(super) fn foreign(what: &str) -> Error {
    let message = format!("the address does not answer as a RAE server of this version does ({what}): check the URL");
    Error::unavailable(message).with_code("not_a_rae_server")
}

/// An answer within bounds.
pub(super) async fn collect(mut response: Response, most: usize) -> Result<Vec<u8>, Failed> {
    let too_long = || {
        let message = format!("the answer is longer than {} MiB: ask for less, with k or limit", most >> 20);
        Failed::no(Error::unsupported(message).with_code("answer_too_long"))
    };
    if response.content_length().is_some_and(|n| n > most as u64) {
        return Err(too_long());
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(broken)? {
        if bytes.len() + chunk.len() > most {
            return Err(too_long());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

#[derive(Deserialize)]
struct Failure {
    error: Shown,
}

/// An error as a server shows it.
#[derive(Deserialize)]
pub(super) struct Shown {
    kind: String,
    code: String,
    message: String,
    details: Option<Value>,
}

/// An answer that is not a success.
pub(super) async fn failure(response: Response) -> Failed {
    let status = response.status();
    let pause = response.headers().get(RETRY_AFTER).and_then(|v| v.to_str().ok()?.trim().parse().ok());
    let pause = pause.map(Duration::from_secs);
    let body = match collect(response, FAILURE_BYTES_MAX).await {
        Ok(body) => body,
        // A page of that length is nobody's error body.
        Err(failed) if failed.retry == Retry::No => Vec::new(),
        Err(failed) => return failed,
    };
    match serde_json::from_slice::<Failure>(&body) {
        Ok(Failure { error }) => told(status, error, pause),
        Err(_) => untold(status, pause),
    }
}

impl Shown {
    /// The error; `kind` where it names none that this client knows.
    pub fn into_error(self, kind: ErrorKind) -> Error {
        let kind = ErrorKind::TABLE.iter().find(|row| row.name == self.kind).map_or(kind, |row| row.kind);
        let is_code = |c: &str| {
            !c.is_empty()
                && c.len() <= 64
                && c.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        };
        let code = if is_code(&self.code) { self.code } else { kind.name().to_owned() };
        let message: String = self.message.chars().take(MESSAGE_CHARS_MAX).collect();
        let error = Error::new(kind, message).with_code(code);
        match self.details.filter(|d| d.as_object().is_some_and(|map| !map.is_empty())) {
            Some(details) => error.with_details(details),
            None => error,
        }
    }
}

/// What the server says is wrong.
fn told(status: StatusCode, shown: Shown, pause: Option<Duration>) -> Failed {
    let mut error = shown.into_error(of_status(status));
    if matches!(error.code(), "no_such_route" | "method_not_allowed") {
        let message =
            "the server has no such route: it is older than this client, or the URL leads to another part of it";
        return Failed::no(Error::unsupported(message).with_code("no_such_route"));
    }
    if let (ErrorKind::RateLimited, Some(pause)) = (error.kind(), pause) {
        error = error.with_retry_after(pause);
    }
    // Both are said before anything is begun.
    let not_begun = matches!(error.code(), "overloaded" | "rate_limited") && pause.is_none_or(|p| p <= PAUSE_MAX);
    let retry = match error.kind() {
        _ if not_begun => Retry::NotBegun(pause),
        // A model's provider gave no answer in time: the server knows that, and has booked it.
        ErrorKind::Timeout if error.code() == "provider_timeout" => Retry::No,
        // The server gave up waiting; what it had begun goes on.
        ErrorKind::Timeout => Retry::Unsure,
        _ => Retry::No,
    };
    Failed { error, retry }
}

/// A failure in other words than ours: of something between, or of another service.
fn untold(status: StatusCode, pause: Option<Duration>) -> Failed {
    let kind = of_status(status);
    let number = status.as_u16();
    match kind {
        ErrorKind::Unauthenticated | ErrorKind::PermissionDenied => Failed::no(Error::new(
            kind,
            format!("something in front of the server refused the call with status {number}"),
        )),
        ErrorKind::RateLimited => {
            let error = Error::new(kind, "something in front of the server lets no more calls through for now");
            Failed::no(match pause {
                Some(pause) => error.with_retry_after(pause),
                None => error,
            })
        }
        ErrorKind::InvalidInput if number == 413 => {
            let message = "something in front of the server takes no body of this length";
            Failed::no(Error::invalid(message).with_code("body_too_large"))
        }
        ErrorKind::Unavailable if status.is_server_error() => {
            let message =
                format!("something in front of the server answered with status {number}: is the server down?");
            Failed::may_be_done(Error::unavailable(message).with_code("bad_gateway"))
        }
        _ if status.is_redirection() => {
            let message = format!(
                "the address leads to another one (status {number}), and that is not followed: give the other one"
            );
            Failed::no(Error::unavailable(message).with_code("redirected"))
        }
        _ => Failed::no(foreign(&format!("status {number}"))),
    }
}

/// The kind that a status stands for where nothing else does.
fn of_status(status: StatusCode) -> ErrorKind {
    match status.as_u16() {
        401 => ErrorKind::Unauthenticated,
        403 => ErrorKind::PermissionDenied,
        413 => ErrorKind::InvalidInput,
        429 => ErrorKind::RateLimited,
        _ => ErrorKind::Unavailable,
    }
}
