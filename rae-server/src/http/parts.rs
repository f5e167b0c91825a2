//! What the API and the model services are both made of.

use super::edge;
pub use super::{
    body::Fields,
    edge::health_status,
    error::{ApiError, ApiResult, no_such_method, no_such_route, no_such_service_route},
    health::{live, metrics_text},
    json,
};
use crate::front::Front;
use axum::{Router, middleware};
use std::sync::Arc;

/// Routes with what surrounds all, the edge. What is unknown is answered by the fallbacks that `router` has.
pub fn finish<S: Clone + Send + Sync + 'static>(router: Router<S>, front: Arc<Front>) -> Router<S> {
    router.layer(axum::extract::DefaultBodyLimit::disable()).layer(middleware::from_fn_with_state(front, edge::edge))
}
