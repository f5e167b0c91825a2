//! Probes and metrics.

use super::{edge::health_status, error::ApiResult, json, schema};
use crate::state::App;
use axum::{
    body::Body,
    extract::State,
    http::{HeaderValue, Response, StatusCode, header},
};
use rae_core::{ErrorKind, MemoryId};
use serde_json::json;
use std::{sync::Arc, time::Duration};

/// How long a probe waits for the store.
pub(super) const PROBE: Duration = Duration::from_secs(2);

/// Whether the server is well, with its version.
#[utoipa::path(get, path = "/health", tag = "operations", operation_id = "health",
    responses((status = 200, body = schema::Health, description = "It is"), (status = 503, body = schema::Health, description = "It is not")))]
pub async fn health(State(app): State<Arc<App>>) -> Response<Body> {
    let state = readiness(&app).await;
    let body =
        json!({ "status": state, "version": rae_core::version(), "uptime_seconds": app.started.elapsed().as_secs() });
    json(health_status(state == "ok"), &body)
}

/// Whether the process answers. Touches nothing.
#[utoipa::path(get, path = "/health/live", tag = "operations", operation_id = "live",
    responses((status = 200, body = schema::Status, description = "It does")))]
pub async fn live() -> Response<Body> {
    std::future::ready(json(StatusCode::OK, &json!({ "status": "ok" }))).await
}

/// Whether requests may be sent here: the store answers, and the server is not about to stop.
#[utoipa::path(get, path = "/health/ready", tag = "operations", operation_id = "ready",
    responses((status = 200, body = schema::Status, description = "Yes"), (status = 503, body = schema::Status, description = "`draining`, or `unavailable`")))]
pub async fn ready(State(app): State<Arc<App>>) -> Response<Body> {
    let state = readiness(&app).await;
    json(health_status(state == "ok"), &json!({ "status": state }))
}

async fn readiness(app: &App) -> &'static str {
    if app.is_draining() {
        return "draining";
    }
    // An id that no memory has: the store looks, and finds nothing.
    let rae = app.rae.with_timeout(Some(PROBE));
    let asked = tokio::time::timeout(PROBE, rae.get(MemoryId(uuid::Uuid::nil()))).await;
    match asked {
        Ok(Err(error)) if error.kind() == ErrorKind::NotFound => "ok",
        Ok(Ok(_)) => "ok",
        Ok(Err(error)) => {
            tracing::error!(%error, "the store does not answer the probe");
            "unavailable"
        }
        Err(_) => {
            tracing::error!("the store does not answer the probe in time");
            "unavailable"
        }
    }
}

/// Metrics for Prometheus, text format 0.0.4.
#[utoipa::path(get, path = "/metrics", tag = "operations", operation_id = "metrics",
    responses((status = 200, body = String, content_type = "text/plain; version=0.0.4", description = "The metrics")))]
pub async fn metrics(State(app): State<Arc<App>>) -> ApiResult<Response<Body>> {
    app.refresh_funds().await;
    Ok(metrics_text(app.scrape()?))
}

/// The text of a scrape as a response.
pub fn metrics_text(text: String) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}
