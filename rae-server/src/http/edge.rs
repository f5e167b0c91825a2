//! What happens to every request before and after its handler: an id, the check of the host, metrics, a line in the log.

use super::{
    error::{Failure, REQUEST_ID},
    linger::Lent,
};
use crate::{front::Front, trace};
use axum::{
    body::Body,
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header},
    middleware::Next,
};
use std::{sync::Arc, time::Instant};
use tracing::Instrument;

/// Header with the id of a request.
pub const REQUEST_ID_HEADER: &str = "x-request-id";
const REQUEST_ID_BYTES_MAX: usize = 128;

/// The middleware.
pub async fn edge(State(app): State<Arc<Front>>, request: Request, next: Next) -> Response<Body> {
    let started = Instant::now();
    let id = request_id(request.headers());
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("other", |route| route.as_str());
    let (span, _) = trace::request_span(request.headers(), &id, known_method(&method), route);
    let in_flight = InFlight::new(&app);
    // A client that asks first, waits for the answer and sends nothing.
    let asks_first = request.headers().contains_key(header::EXPECT);
    let (parts, body) = request.into_parts();
    let body = Lent::new(body);
    let request = Request::from_parts(parts, Body::new(body.clone()));
    let mut response = REQUEST_ID.scope(id.clone(), next.run(request)).instrument(span.clone()).await;
    let refused = response.status().is_client_error() || response.status().is_server_error();
    if refused && !asks_first && response.status() != StatusCode::REQUEST_TIMEOUT {
        body.throw_away().await;
    }
    drop(in_flight);
    let took = started.elapsed();
    let status = response.status().as_u16();
    app.metrics.request(known_method(&method), route, status, took);
    trace::ended(&span, status, response.extensions().get::<Failure>().map(|failure| failure.kind));
    span.in_scope(|| log(known_method(&method), route, &response, took.as_secs_f64()));
    finish(&app, &mut response, &id);
    response
}

/// Counts a request while it is answered, also one whose client leaves.
struct InFlight(prometheus::IntGauge);

impl InFlight {
    fn new(app: &Front) -> Self {
        app.metrics.in_flight.inc();
        Self(app.metrics.in_flight.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// A client may send any text as a method; what is logged, traced and counted is one of few.
fn known_method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

fn finish(app: &Front, response: &mut Response<Body>, id: &str) {
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID_HEADER, id);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if app.is_draining() {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
}

fn log(method: &str, route: &str, response: &Response<Body>, seconds: f64) {
    let status = response.status().as_u16();
    let millis = (seconds * 1e6).round() / 1e3;
    match response.extensions().get::<Failure>() {
        Some(Failure { kind, code, message: Some(message) }) => {
            tracing::error!(method, route, status, millis, kind, code, error = message, "request");
        }
        Some(Failure { kind, code, message: None }) => {
            tracing::info!(method, route, status, millis, kind, code, "request");
        }
        // Probes and scrapes come every few seconds.
        None if is_health(route) || route == "/metrics" => {
            tracing::debug!(method, route, status, millis, "request");
        }
        None => tracing::info!(method, route, status, millis, "request"),
    }
}

/// Whether a route is a probe.
pub fn is_health(route: &str) -> bool {
    route.starts_with("/health")
}

/// The caller's id where it is sane, else a new one.
fn request_id(headers: &HeaderMap) -> String {
    let sane = |id: &&str| {
        (1..=REQUEST_ID_BYTES_MAX).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':'))
    };
    let given = headers.get(REQUEST_ID_HEADER).and_then(|v| v.to_str().ok()).filter(sane);
    given.map_or_else(|| uuid::Uuid::new_v4().to_string(), str::to_owned)
}

/// The status of an answer that says whether something works.
pub fn health_status(ok: bool) -> StatusCode {
    if ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sane_id_of_the_caller_is_kept_and_another_replaced() {
        let with = |id: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID_HEADER, HeaderValue::from_bytes(id.as_bytes()).unwrap());
            request_id(&headers)
        };
        assert_eq!(with("abc-1_2.3:4"), "abc-1_2.3:4");
        for bad in ["", "a b", "a\"b", "ümlaut", "a/b", &"x".repeat(129)] {
            assert_ne!(with(bad), bad);
            assert_eq!(with(bad).len(), 36);
        }
    }
}
