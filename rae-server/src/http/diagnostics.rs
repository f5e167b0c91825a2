//! The operator's view of a server: what it is, what it stands on and how that is. No content, no name of a tenant, no secret;
//! and it answers when its stores do not.

use super::{auth::Operator, body::no_parameters, error::ApiResult, health::PROBE, json, schema};
use crate::state::App;
use axum::{
    body::Body,
    extract::{RawQuery, State},
    http::{Response, StatusCode},
};
use rae_core::{Error, ErrorKind, Result, Stats, limits, model::Scope};
use serde_json::{Value, json};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Version, stores, indexes, connections, limits and settings, for the operator. Secrets only say whether they are set. Answers
/// when a store does not: then `reachable` is false.
#[utoipa::path(get, path = "/v1/admin/diagnostics", tag = "admin", operation_id = "diagnostics",
    responses((status = 200, body = schema::Diagnostics, description = "The server as it is")))]
pub async fn diagnostics(
    State(app): State<Arc<App>>,
    _: Operator,
    RawQuery(query): RawQuery,
) -> ApiResult<Response<Body>> {
    no_parameters(query.as_deref())?;
    let (memories, cache) = futures::join!(memories(&app), cache(&app));
    let index = app.rae.index_stats();
    let counts = |all: [(&'static str, u64); 3]| all.into_iter().map(|(k, v)| (k.to_owned(), v.into())).collect();
    let spans: Value = Value::Object(counts(crate::trace::counts()));
    Ok(json(
        StatusCode::OK,
        &json!({
            "version": rae_core::version(),
            "build": { "os": std::env::consts::OS, "arch": std::env::consts::ARCH, "optimised": !cfg!(debug_assertions) },
            "role": app.role.name(),
            "uptime_seconds": app.started.elapsed().as_secs(),
            "draining": app.is_draining(),
            "memories": memories,
            "cache": cache,
            "vectors": vectors(&app),
            "index": {
                "projects": index.scopes,
                "memories": index.memories,
                "pieces": index.pieces,
                "vector_bytes": index.vector_bytes,
            },
            "http": {
                "connections": app.metrics.connections.get(),
                "requests_in_flight": app.metrics.in_flight.get(),
                "body_bytes": app.body_bytes(),
            },
            "log_lines_dropped": crate::log::dropped_lines(),
            "trace_spans": spans,
            "limits": {
                "content_bytes": limits::CONTENT_BYTES_MAX,
                "batch_items": limits::BATCH_ITEMS_MAX,
                "page": limits::PAGE_MAX,
                "projects_in_memory": limits::INDEX_SCOPES_MAX,
            },
            "settings": app.settings.shown(),
        }),
    ))
}

/// The truth: what keeps it, whether it answers and how fast.
async fn memories(app: &App) -> Value {
    let stats = probe(async {
        let call = |rae: rae_core::Rae| async move { rae.stats().await };
        app.run(Scope::default(), PROBE, crate::front::Held::default(), call).await
    });
    let (stats, mut about) = stats.await;
    let pool = app.backends.postgres.as_ref().map(|store| store.pool());
    let field = |read: fn(&Stats) -> Value| stats.as_ref().map_or(Value::Null, read);
    about["kind"] = if pool.is_some() { "postgresql" } else { "embedded" }.into();
    about["schema_version"] = field(|stats| stats.schema_version.into());
    about["bytes"] = field(|stats| stats.bytes.into());
    about["embedder"] = field(|stats| json!({ "id": stats.embedder.id, "dim": stats.embedder.dim }));
    about["pool"] = pool.map_or(
        Value::Null,
        |pool| json!({ "in_use": pool.in_use, "idle": pool.idle, "most": pool.most, "waiting": pool.waiting }),
    );
    about
}

/// Where vectors are searched, and how that place follows the truth.
fn vectors(app: &App) -> Value {
    let feed = app.rae.vector_feed();
    let kind = if app.settings.qdrant_url.is_some() { "qdrant" } else { "in_process" };
    json!({ "kind": kind, "reachable": !feed.failing, "behind": feed.behind, "failures": feed.failures })
}

async fn cache(app: &App) -> Value {
    let (kind, mut about) = match &app.backends.redis {
        Some(redis) => ("redis", probe(redis.ping()).await.1),
        None => ("in_process", probe(std::future::ready(Ok(()))).await.1),
    };
    let lookups = app.rae.cache_stats();
    about["kind"] = kind.into();
    about["hits"] = lookups.hits.into();
    about["misses"] = lookups.misses.into();
    about
}

/// What `ask` gave, and how that went.
async fn probe<T>(ask: impl Future<Output = Result<T>>) -> (Option<T>, Value) {
    let started = Instant::now();
    let late = |_| Error::new(ErrorKind::Timeout, "no answer in time");
    let answer =
        tokio::time::timeout(PROBE + Duration::from_secs(1), ask).await.map_err(late).and_then(|answer| answer);
    let millis = (started.elapsed().as_secs_f64() * 1e6).round() / 1e3;
    let error = answer.as_ref().err().map(Error::kind).map(ErrorKind::name);
    let about = json!({ "reachable": answer.is_ok(), "latency_ms": millis, "error": error });
    (answer.ok(), about)
}
