//! Refusing a body politely. Many clients read the answer only after they have sent everything: where the connection is closed
//! before that, they report a broken pipe and never see what was wrong. So the rest of a refused body is read and thrown away, up to
//! a bound.

use axum::body::{Body, HttpBody};
use http_body_util::BodyExt;
use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

/// Bytes that are thrown away at most.
const BYTES_MAX: usize = 64 << 20;
/// How long that may take.
const LIMIT: Duration = Duration::from_secs(5);

/// A body that is lent to a handler and can be taken back.
#[derive(Debug, Clone)]
pub struct Lent(Arc<Mutex<Body>>);

impl Lent {
    /// Lends `body`.
    pub fn new(body: Body) -> Self {
        Self(Arc::new(Mutex::new(body)))
    }

    fn body(&self) -> MutexGuard<'_, Body> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads what is left, within the bounds.
    pub async fn throw_away(mut self) {
        if self.is_end_stream() {
            return;
        }
        let read = async {
            let mut left = BYTES_MAX;
            while let Some(Ok(frame)) = self.frame().await {
                let length = frame.data_ref().map_or(0, axum::body::Bytes::len);
                let Some(rest) = left.checked_sub(length) else { return };
                left = rest;
            }
        };
        // Past the bounds the connection is closed under the client.
        let _ = tokio::time::timeout(LIMIT, read).await;
    }
}

impl HttpBody for Lent {
    type Data = <Body as HttpBody>::Data;
    type Error = <Body as HttpBody>::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut *self.body()).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body().is_end_stream()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.body().size_hint()
    }
}
