//! The HTTP API: routes, and what they are made of.

mod access;
pub mod auth;
mod body;
mod bulk;
pub mod conn;
mod costs;
mod describe;
mod diagnostics;
mod edge;
mod entities;
mod error;
mod evaluations;
mod gate;
mod gateway;
mod graph;
mod health;
mod jobs;
mod keys;
mod linger;
mod memories;
mod page;
pub mod parts;
mod schema;
mod sessions;
mod upkeep;

use crate::state::App;
use axum::{
    Router,
    body::Body,
    http::{HeaderValue, Response, StatusCode, header},
    routing::get,
};
use std::sync::Arc;
use utoipa_axum::{router::OpenApiRouter, routes};

pub use describe::openapi_text;

/// A JSON response.
pub fn json<T: serde::Serialize>(status: StatusCode, value: &T) -> Response<Body> {
    let Ok(text) = serde_json::to_vec(value) else {
        tracing::error!("an answer could not be written as JSON");
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        return response;
    };
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Every route with its description.
fn described() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::with_openapi(describe::base())
        .routes(routes!(memories::remember, memories::list))
        .routes(routes!(memories::remember_many))
        .routes(routes!(memories::recall))
        .routes(routes!(memories::get, memories::update, memories::forget))
        .routes(routes!(memories::history))
        .routes(routes!(memories::feedback))
        .routes(routes!(graph::relate, graph::relations))
        .routes(routes!(graph::forget_relation))
        .routes(routes!(memories::context))
        .routes(routes!(memories::erase))
        .routes(routes!(upkeep::verify_erasure))
        .routes(routes!(memories::stats))
        .routes(routes!(sessions::log_event, sessions::events))
        .routes(routes!(sessions::end))
        .routes(routes!(sessions::reflect, sessions::reflections))
        .routes(routes!(bulk::export))
        .routes(routes!(bulk::import))
        .routes(routes!(upkeep::embed))
        .routes(routes!(upkeep::vector))
        .routes(routes!(upkeep::audit, upkeep::audit_and_fix))
        .routes(routes!(upkeep::changes))
        .routes(routes!(upkeep::undo))
        .routes(routes!(upkeep::maintain))
        .routes(routes!(upkeep::doctor))
        .routes(routes!(upkeep::backup))
        .routes(routes!(evaluations::evaluate))
        .routes(routes!(evaluations::compare))
        .routes(routes!(evaluations::question_sets))
        .routes(routes!(evaluations::set_questions, evaluations::remove_questions))
        .routes(routes!(evaluations::run_questions, evaluations::evaluations))
        .routes(routes!(keys::create_tenant, keys::tenants))
        .routes(routes!(keys::tenant, keys::erase_tenant))
        .routes(routes!(keys::create_key, keys::keys))
        .routes(routes!(keys::revoke_key))
        .routes(routes!(jobs::jobs))
        .routes(routes!(jobs::requeue))
        .routes(routes!(jobs::all_jobs))
        .routes(routes!(costs::set_budget, costs::limits))
        .routes(routes!(costs::budget))
        .routes(routes!(costs::costs))
        .routes(routes!(costs::cost_log))
        .routes(routes!(costs::reserve))
        .routes(routes!(costs::settle))
        .routes(routes!(entities::entities))
        .routes(routes!(entities::neighbors, entities::ask_neighbors))
        .routes(routes!(entities::path, entities::ask_path))
        .routes(routes!(entities::subgraph, entities::ask_subgraph))
        .routes(routes!(entities::snapshots, entities::snapshot))
        .routes(routes!(diagnostics::diagnostics))
        .routes(routes!(gateway::chat_completions))
        .routes(routes!(gateway::models))
        .routes(routes!(gateway::agent::execute))
        .routes(routes!(health::health))
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .routes(routes!(health::metrics))
        .routes(routes!(page::openapi))
        .routes(routes!(page::docs))
}

/// The whole API over a state.
pub fn router(app: Arc<App>) -> Router {
    let (router, _) = described().split_for_parts();
    let gate = axum::middleware::from_fn_with_state(Arc::clone(&app), gate::gate);
    let router = router.fallback(parts::no_such_route).method_not_allowed_fallback(parts::no_such_method).layer(gate);
    let router = router.layer(axum::middleware::from_fn(gateway::speak));
    parts::finish(router, Arc::clone(&app.front)).with_state(app)
}

/// Metrics and health alone: what a worker serves.
pub fn probes(app: Arc<App>) -> Router {
    let router = Router::new()
        .route("/health", get(health::health))
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .route("/metrics", get(health::metrics))
        .fallback(parts::no_such_route)
        .method_not_allowed_fallback(parts::no_such_method);
    parts::finish(router, Arc::clone(&app.front)).with_state(app)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;
    use http_body_util::BodyExt;
    use rae_core::{
        Embedding, Rae,
        ports::{EmbedRole, Embedder},
    };
    use tower_service::Service;

    /// An embedder that is worth caching, as a model is.
    #[derive(Debug)]
    struct Costly;

    #[async_trait::async_trait]
    impl Embedder for Costly {
        fn id(&self) -> &str {
            "costly@1/2"
        }

        fn dim(&self) -> usize {
            2
        }

        async fn embed(&self, texts: &[&str], _: EmbedRole) -> rae_core::Result<Vec<Option<Vec<f32>>>> {
            Ok(texts.iter().map(|text| Some(vec![1.0, text.len() as f32])).collect())
        }
    }

    async fn ask(router: &mut Router, path: &str, body: &'static str) -> String {
        let request = hyper::Request::builder().method(if body.is_empty() { "GET" } else { "POST" }).uri(path);
        let request = request.header("x-tenant-id", "t").body(Body::from(body)).unwrap();
        let response = router.call(request).await.unwrap();
        assert!(response.status().is_success(), "{path}: {}", response.status());
        String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
    }

    #[test]
    fn the_hit_ratio_of_the_query_vectors_moves_with_real_lookups() {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let matches = crate::cli::command().try_get_matches_from(["rae-server"]).unwrap();
            let settings = Settings::load(&matches, |_| None).unwrap();
            let rae = Rae::builder().embedding(Embedding::Custom(Arc::new(Costly))).open().await.unwrap();
            let opened = crate::state::Opened::elsewhere(rae, &settings).unwrap();
            let app = Arc::new(App::new(opened, settings, tokio::runtime::Handle::current()).unwrap());
            let mut router = router(Arc::clone(&app));
            ask(&mut router, "/v1/memories", r#"{"content": "The ferry leaves at ten."}"#).await;
            assert!(ask(&mut router, "/metrics", "").await.contains("\nrae_search_cache_hit_ratio 0\n"));
            for _ in 0..4 {
                ask(&mut router, "/v1/memories/recall", r#"{"query": "When does the ferry leave?"}"#).await;
            }
            let text = ask(&mut router, "/metrics", "").await;
            assert!(text.contains("\nrae_search_cache_hit_ratio 0.75\n"), "{text}");
            assert!(text.contains("rae_search_cache_lookups_total{result=\"miss\"} 1\n"), "{text}");
            app.close(std::time::Duration::from_secs(5)).await.unwrap();
        });
    }
}
