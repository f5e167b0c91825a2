//! The roles `ml` and `reranker`: models as services of their own. They keep nothing, know no tenants and ask for no key.

mod batch;
mod ml;
mod reranker;

use crate::{
    front::Front,
    http::{self, parts},
};
use axum::{
    Router,
    body::Body,
    extract::State,
    http::{Response, StatusCode},
    routing::get,
};
use futures::future::{Either, select};
use rae_core::{Error, ErrorKind, Result};
use serde_json::json;
use std::{
    convert::Infallible,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

pub use ml::Ml;
pub use reranker::Rerank;

/// What a service is made of.
pub trait Service: AsRef<Front> + Send + Sync + Sized + 'static {
    /// What `/health` says of the model: its id, and the dimension of its vectors.
    fn model(&self) -> serde_json::Value;

    /// The routes that are its own.
    fn routes() -> Router<Arc<Self>>;
}

/// The whole of a service: its own routes, and the probes and metrics that all have.
pub fn router<S: Service>(service: Arc<S>, front: Arc<Front>) -> Router {
    let common = Router::new()
        .route("/health", get(health::<S>))
        .route("/health/live", get(parts::live))
        .route("/health/ready", get(ready::<S>))
        .route("/metrics", get(metrics::<S>));
    let routes = S::routes()
        .merge(common)
        .fallback(parts::no_such_service_route)
        .method_not_allowed_fallback(parts::no_such_method);
    parts::finish(routes, front).with_state(service)
}

async fn health<S: Service>(State(service): State<Arc<S>>) -> Response<Body> {
    let front: &Front = S::as_ref(&service);
    let state = state(front);
    let body = json!({
        "status": state,
        "version": rae_core::version(),
        "uptime_seconds": front.started.elapsed().as_secs(),
        "model": service.model(),
    });
    std::future::ready(parts::json(parts::health_status(state == "ok"), &body)).await
}

async fn ready<S: Service>(State(service): State<Arc<S>>) -> Response<Body> {
    let state = state(S::as_ref(&service));
    std::future::ready(parts::json(parts::health_status(state == "ok"), &json!({ "status": state }))).await
}

/// The model is loaded before the port is opened: what answers is ready.
fn state(front: &Front) -> &'static str {
    if front.is_draining() { "draining" } else { "ok" }
}

async fn metrics<S: Service>(State(service): State<Arc<S>>) -> parts::ApiResult<Response<Body>> {
    let text = S::as_ref(&service).scrape(crate::metrics::Readings::default())?;
    Ok(std::future::ready(parts::metrics_text(text)).await)
}

/// The answer to a request whose fields are read by `read` and worked on by `work`, on the engine's threads. What waits there past
/// its time is not begun, and work whose caller's future was dropped ends at its next pause.
async fn answer<S: Service, I: Send + 'static, F>(
    service: Arc<S>,
    fields: parts::Fields,
    read: impl FnOnce(serde_json::Map<String, serde_json::Value>) -> Result<I>,
    work: impl FnOnce(Arc<S>, I) -> F + Send + 'static,
) -> parts::ApiResult<Response<Body>>
where
    F: Future<Output = Result<serde_json::Value>> + Send + 'static,
{
    let input = read(fields.map).map_err(parts::ApiError::of_body)?;
    let limit = S::as_ref(&service).settings.request_timeout;
    let due = Instant::now() + limit;
    let worker = Arc::clone(&service);
    // Goes with this future: where the server drops it, the work ends at its next pause.
    let (_here, gone) = oneshot::channel::<Infallible>();
    let work = async move {
        let left = due.saturating_duration_since(Instant::now());
        let late = || Error::new(ErrorKind::Timeout, "the request took too long");
        if left == Duration::ZERO {
            return Err(late());
        }
        let timed = pin!(tokio::time::timeout(left, work(worker, input)));
        match select(gone, timed).await {
            Either::Left(_) => Err(Error::internal("the caller left")),
            Either::Right((done, _)) => done.unwrap_or_else(|_| Err(late())),
        }
    };
    let value = S::as_ref(&service).spawn(limit, fields.held, work).await.map_err(parts::ApiError::of_body)?;
    Ok(http::parts::json(StatusCode::OK, &value))
}
