//! From the engine's errors to JavaScript's: the reason of the native error is JSON, from which `lib/errors.js` makes an instance of the
//! class that the error table names.

use futures::FutureExt;
use rae_core::{Error, Result};
use serde_json::json;
use std::{any::Any, fmt, future::Future, panic::AssertUnwindSafe};

/// An exception of the caller's JavaScript, on its way through the engine. The exception itself stays on its thread, under this
/// number.
#[derive(Debug)]
pub(crate) struct Thrown(pub u32);

impl fmt::Display for Thrown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an exception of the embedder")
    }
}

impl std::error::Error for Thrown {}

/// An engine's error for JavaScript.
pub(crate) fn js(error: &Error) -> napi::Error {
    let context: Vec<String> = error.context().iter().map(|(key, value)| format!("{key} {value}")).collect();
    let message = match context.is_empty() {
        true => error.message().to_owned(),
        false => format!("{} ({})", error.message(), context.join(", ")),
    };
    let body = json!({
        "kind": error.kind().name(),
        "code": error.kind().row().js,
        "reason": error.code(),
        "message": message,
        "details": error.details(),
        "operation": error.operation(),
        "retryAfter": error.retry_after().map(|d| d.as_secs_f64()),
        "thrown": thrown(error),
    });
    napi::Error::from_reason(body.to_string())
}

/// The number of the JavaScript exception at the bottom of an error, if there is one.
fn thrown(error: &Error) -> Option<u32> {
    let mut at: &(dyn std::error::Error + 'static) = error;
    loop {
        at = at.source()?;
        if let Some(Thrown(number)) = at.downcast_ref() {
            return Some(*number);
        }
    }
}

/// Runs a call and turns a panic into an InternalError: a fault of ours is never the end of the caller's process.
pub(crate) async fn boundary<T>(call: impl Future<Output = Result<T>>) -> napi::Result<T> {
    let caught = AssertUnwindSafe(call).catch_unwind().await;
    caught.unwrap_or_else(|payload| Err(panicked(&*payload))).map_err(|e| js(&e))
}

fn panicked(payload: &(dyn Any + Send)) -> Error {
    let what = payload.downcast_ref::<&str>().copied();
    let what = what.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("unknown");
    Error::internal(format!("the engine panicked ({what}); this is a bug, please report it")).with_code("panic")
}
