//! Who gets in: the check of the host, who is behind a request and whether that caller may do this, and how often a tenant may ask.

use super::{
    access,
    auth::{Caller, host_is_allowed},
    edge::is_health,
    error::{ApiError, for_caller},
};
use crate::{rate::Verdict, state::App};
use axum::{
    body::Body,
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderValue, Response},
    middleware::Next,
    response::IntoResponse,
};
use rae_core::{Error, ErrorKind};
use std::{net::IpAddr, sync::Arc};

/// The middleware. It stands inside the edge, which gives its refusals their id and counts them.
pub async fn gate(State(app): State<Arc<App>>, request: Request, next: Next) -> Response<Body> {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("other", |route| route.as_str());
    if is_health(route) || may_ask(&app, route, request.headers()).await {
        return let_in(&app, route, request, next).await;
    }
    let message = "this Host may not be named while the server trusts the tenant header on this machine: use localhost, set \
                   RAE_ALLOWED_HOSTS, or use keys";
    let error = Error::new(ErrorKind::PermissionDenied, message).with_code("host_not_allowed");
    ApiError::from(error).into_response()
}

/// The request with its caller, to its handler; the answer says what the tenant's limit leaves.
async fn let_in(app: &App, route: &str, request: Request, next: Next) -> Response<Body> {
    let (mut parts, body) = request.into_parts();
    let verdict = match access::admit(app, route, &mut parts).await {
        Ok(verdict) => verdict,
        Err(error) => return error.into_response(),
    };
    let one_project = parts.extensions.get::<Caller>().is_some_and(|caller| caller.only.is_some());
    let answered = for_caller(one_project, next.run(Request::from_parts(parts, body)));
    let Some(verdict) = verdict else { return answered.await };
    let mut response = match verdict.allowed {
        true => answered.await,
        false => {
            app.metrics.rejected.with_label_values(&["rate"]).inc();
            too_often(&verdict).into_response()
        }
    };
    tell_limit(&verdict, response.headers_mut());
    response
}

/// 429.
fn too_often(verdict: &Verdict) -> ApiError {
    let error = Error::new(
        ErrorKind::RateLimited,
        "this tenant makes too many requests; try again after `retry_after` seconds",
    );
    let error = error.with_details(serde_json::json!({ "retry_after": verdict.reset, "limit": verdict.limit }));
    error.with_retry_after(std::time::Duration::from_secs(verdict.reset)).into()
}

/// The fields of the IETF's draft, and the three that came before it.
fn tell_limit(verdict: &Verdict, headers: &mut HeaderMap) {
    let Verdict { limit, remaining, reset, window, .. } = verdict;
    for (name, value) in [
        ("ratelimit-policy", format!("\"tenant\";q={limit};w={window}")),
        ("ratelimit", format!("\"tenant\";r={remaining};t={reset}")),
        ("ratelimit-limit", limit.to_string()),
        ("ratelimit-remaining", remaining.to_string()),
        ("ratelimit-reset", reset.to_string()),
    ] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
}

/// DNS rebinding: a page of the web makes its own name point at 127.0.0.1, and asks as if it were at home.
async fn may_ask(app: &App, route: &str, headers: &HeaderMap) -> bool {
    let host = &app.settings.host;
    let on_loopback = host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    if !on_loopback || host_is_allowed(headers, &app.settings.allowed_hosts) {
        return true;
    }
    // Where the store does not answer, the header may still be trusted. Other pages must not wait for it.
    let trusted = match route.starts_with("/v1/") {
        true => app.keys.trusts_header(&app.rae).await.unwrap_or(true),
        false => app.keys.trusted_header(),
    };
    !trusted
}
