//! What the API and the model services are both made of.

pub use super::{
    body::Fields,
    edge::health_status,
    error::{ApiError, ApiResult, no_such_route, no_such_service_route},
    health::{live, metrics_text},
    json,
};
use super::{edge, error};
use crate::front::Front;
use axum::{Router, middleware};
use std::sync::Arc;

/// Routes with what surrounds all: answers for unknown methods, and the edge. Unknown routes are answered by `router`'s fallback.
pub fn finish<S: Clone + Send + Sync + 'static>(router: Router<S>, front: Arc<Front>) -> Router<S> {
    router
        .method_not_allowed_fallback(error::no_such_method)
        .layer(axum::extract::DefaultBodyLimit::disable())
        .layer(middleware::from_fn_with_state(front, edge::edge))
}
