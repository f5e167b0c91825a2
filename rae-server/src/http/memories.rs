//! The routes about memories. Each hands its arguments to the engine's own parser.

use super::{
    auth::{Caller, operator_only, other_project},
    body::{BatchFields, Fields, list_arguments, no_parameters},
    error::{ApiError, ApiResult},
    json, schema,
};
use crate::{front::Held, state::App};
use axum::{
    extract::{FromRequestParts, Path, RawQuery, State},
    http::{HeaderMap, HeaderValue, Response, StatusCode, header, request::Parts},
};
use rae_core::{Error, Forget, ForgetScope, MemoryId, model::Role, wire};
use serde_json::{Map, Value};
use std::sync::Arc;

type Answer = ApiResult<Response<axum::body::Body>>;

/// Stores a memory, durably when it is answered. No model is called. The same statement said again merges.
#[utoipa::path(post, path = "/v1/memories", tag = "memories", operation_id = "remember", request_body = schema::NewMemory,
    responses((status = 201, body = schema::Receipt, description = "What became of it")))]
pub async fn remember(State(app): State<Arc<App>>, caller: Caller, fields: Fields) -> Answer {
    let receipt = app.verb(caller.scope, "remember", fields.map, fields.held).await.map_err(ApiError::of_body)?;
    let place = receipt["id"].as_str().and_then(|id| HeaderValue::try_from(format!("/v1/memories/{id}")).ok());
    let mut response = json(StatusCode::CREATED, &receipt);
    response.headers_mut().extend(place.map(|place| (header::LOCATION, place)));
    Ok(response)
}

/// Stores many memories. All are checked first; then one transaction per at most 1,000 items. Where one fails later, `details`
/// has `committed` and the `receipts` so far.
#[utoipa::path(post, path = "/v1/memories/batch", tag = "memories", operation_id = "remember_many", request_body = schema::Batch,
    responses((status = 200, body = schema::Receipts, description = "A receipt for each item, in order")))]
pub async fn remember_many(State(app): State<Arc<App>>, caller: Caller, BatchFields(fields): BatchFields) -> Answer {
    let most = app.settings.max_batch_items;
    if fields.map.get("items").and_then(Value::as_array).is_some_and(|items| items.len() > most) {
        let error = Error::invalid(format!("at most {most} items fit into one batch")).with_code("batch_too_large");
        return Err(ApiError::of_body(error));
    }
    let receipts = app.verb(caller.scope, "remember_many", fields.map, fields.held).await.map_err(ApiError::of_body)?;
    Ok(json(StatusCode::OK, &serde_json::json!({ "receipts": receipts })))
}

/// Finds memories: meaning, words, speaker, session and time together. No model is called.
#[utoipa::path(post, path = "/v1/memories/recall", tag = "memories", operation_id = "recall", request_body = schema::Recall,
    responses((status = 200, body = schema::Hits, description = "The best first")))]
pub async fn recall(State(app): State<Arc<App>>, caller: Caller, fields: Fields) -> Answer {
    from_body(&app, caller, "recall", fields).await
}

/// A block for a prompt under a budget of tokens: the user's profile, lessons, relevant memories, the session's last turns. Needs a
/// query or a session.
#[utoipa::path(post, path = "/v1/context", tag = "memories", operation_id = "context", request_body = schema::ContextRequest,
    responses((status = 200, body = schema::Context, description = "The block and its sources")))]
pub async fn context(State(app): State<Arc<App>>, caller: Caller, fields: Fields) -> Answer {
    from_body(&app, caller, "context", fields).await
}

/// A page of memories, oldest first.
#[utoipa::path(get, path = "/v1/memories", tag = "memories", operation_id = "list", params(schema::ListParameters),
    responses((status = 200, body = schema::Page, description = "The page")))]
pub async fn list(State(app): State<Arc<App>>, caller: Caller, RawQuery(query): RawQuery) -> Answer {
    let page_max = app.settings.max_page;
    let mut args = list_arguments(query.as_deref().unwrap_or_default(), page_max)?;
    let default = rae_core::ListOptions::default().limit.min(page_max as i64);
    args.entry("limit").or_insert_with(|| default.into());
    Ok(json(StatusCode::OK, &app.verb(caller.scope, "list", args, Held::default()).await?))
}

/// A memory.
#[utoipa::path(get, path = "/v1/memories/{id}", tag = "memories", operation_id = "get",
    responses((status = 200, body = schema::Memory, description = "The memory; the header ETag has its version")))]
pub async fn get(State(app): State<Arc<App>>, caller: Caller, Id(id): Id, RawQuery(query): RawQuery) -> Answer {
    no_parameters(query.as_deref())?;
    let memory = app.verb(caller.scope, "get", with_id(id, Map::new())?, Held::default()).await?;
    Ok(with_etag(json(StatusCode::OK, &memory), &memory))
}

/// Changes a memory: its id stays, its version grows, the old version stays in history. Fields that are left out stay; null clears.
#[utoipa::path(patch, path = "/v1/memories/{id}", tag = "memories", operation_id = "update", request_body = schema::Update,
    params(("If-Match" = Option<String>, Header, description = "The version that the memory must have, as in its ETag; 412 otherwise")),
    responses((status = 200, body = schema::Receipt, description = "What became of it; the header ETag has the new version")))]
pub async fn update(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(id): Id,
    headers: HeaderMap,
    fields: Fields,
) -> Answer {
    let mut args = with_id(id, fields.map)?;
    let expected = if_match(&headers)?;
    if let Some(version) = expected {
        if args.get("expected_version").is_some_and(|v| !v.is_null()) {
            return Err(ApiError::bad(
                "ambiguous_version",
                "give the version in If-Match or as expected_version, not both",
            ));
        }
        args.insert("expected_version".to_owned(), version.into());
    }
    let receipt = app.verb(caller.scope, "update", args, fields.held).await.map_err(|error| {
        // A condition in a header that does not hold has a status of its own in HTTP.
        if expected.is_some() && error.code() == "version_mismatch" {
            ApiError::with_status(error, StatusCode::PRECONDITION_FAILED)
        } else {
            ApiError::of_body(error)
        }
    })?;
    Ok(with_etag(json(StatusCode::OK, &receipt), &receipt))
}

/// Erases a memory, and what was derived from it alone. One that is not there is no error: `deleted` is 0.
#[utoipa::path(delete, path = "/v1/memories/{id}", tag = "memories", operation_id = "forget",
    responses((status = 200, body = schema::Forgotten, description = "What was forgotten")))]
pub async fn forget(State(app): State<Arc<App>>, caller: Caller, Id(id): Id, RawQuery(query): RawQuery) -> Answer {
    no_parameters(query.as_deref())?;
    Ok(json(StatusCode::OK, &app.verb(caller.scope, "forget", with_id(id, Map::new())?, Held::default()).await?))
}

/// All versions of a memory, oldest first; the last one is the present.
#[utoipa::path(get, path = "/v1/memories/{id}/history", tag = "memories", operation_id = "history",
    responses((status = 200, body = schema::History, description = "The versions")))]
pub async fn history(State(app): State<Arc<App>>, caller: Caller, Id(id): Id, RawQuery(query): RawQuery) -> Answer {
    no_parameters(query.as_deref())?;
    let versions = app.verb(caller.scope, "history", with_id(id, Map::new())?, Held::default()).await?;
    Ok(json(StatusCode::OK, &serde_json::json!({ "versions": versions })))
}

/// Says whether a memory helped: strength moves a fifth of the way to 1 or 0, importance a tenth.
#[utoipa::path(post, path = "/v1/memories/{id}/feedback", tag = "memories", operation_id = "feedback", request_body = schema::Feedback,
    responses((status = 200, body = schema::Memory, description = "The memory as it is now")))]
pub async fn feedback(State(app): State<Arc<App>>, caller: Caller, Id(id): Id, fields: Fields) -> Answer {
    let args = with_id(id, fields.map)?;
    let memory = app.verb(caller.scope, "feedback", args, fields.held).await.map_err(ApiError::of_body)?;
    Ok(with_etag(json(StatusCode::OK, &memory), &memory))
}

/// Erases what a filter matches, or a session, a user, a project or the tenant, and answers with a receipt. The tenant needs the
/// operator's key.
#[utoipa::path(post, path = "/v1/erasure", tag = "memories", operation_id = "erase", request_body = schema::Erasure,
    responses((status = 200, body = schema::Forgotten, description = "What was forgotten")))]
pub async fn erase(State(app): State<Arc<App>>, caller: Caller, fields: Fields) -> Answer {
    let what = wire::forget(fields.map).map_err(ApiError::of_body)?;
    let whole_tenant = matches!(what, Forget::Scope(ForgetScope::Tenant, _));
    match &what {
        Forget::Scope(ForgetScope::Tenant, _) if !caller.operator => return Err(operator_only()),
        Forget::Scope(ForgetScope::Project, _) => caller.needs(Role::Owner)?,
        Forget::Scope(ForgetScope::User, _) => caller.needs(Role::Admin)?,
        _ => {}
    }
    // A key of one project erases no other one.
    if let (Forget::Scope(ForgetScope::Project, target), Some(only)) = (&what, &caller.only)
        && target != only
    {
        return Err(other_project());
    }
    let call = |rae: rae_core::Rae| async move { rae.forget(what).await };
    let result = app.run(caller.scope.clone(), app.settings.bulk_timeout, fields.held, call).await;
    app.metrics.operation(&caller.scope, "forget", 1, result.as_ref().err().map(Error::kind));
    if whole_tenant {
        // Its keys went with it, also where the rest of the erasure failed.
        app.keys.changed(false);
    }
    Ok(json(StatusCode::OK, &result.map_err(ApiError::of_body)?))
}

/// Numbers about the project and its store.
#[utoipa::path(get, path = "/v1/stats", tag = "memories", operation_id = "stats",
    responses((status = 200, body = schema::Stats, description = "The numbers")))]
pub async fn stats(State(app): State<Arc<App>>, caller: Caller, RawQuery(query): RawQuery) -> Answer {
    no_parameters(query.as_deref())?;
    Ok(json(StatusCode::OK, &app.verb(caller.scope, "stats", Map::new(), Held::default()).await?))
}

async fn from_body(app: &App, caller: Caller, verb: &'static str, fields: Fields) -> Answer {
    let answer = app.verb(caller.scope, verb, fields.map, fields.held).await.map_err(ApiError::of_body)?;
    Ok(json(StatusCode::OK, &answer))
}

/// The id in the path.
#[derive(Debug)]
pub struct Id(pub MemoryId);

impl FromRequestParts<Arc<App>> for Id {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> ApiResult<Self> {
        // One that is not UTF-8 is no id either.
        let text = Path::<String>::from_request_parts(parts, app).await.map(|Path(text)| text).unwrap_or_default();
        Ok(Self(text.parse()?))
    }
}

/// The arguments with the id of the path, which a body may not name again.
pub fn with_id(id: MemoryId, mut args: Map<String, Value>) -> ApiResult<Map<String, Value>> {
    if args.contains_key("id") {
        return Err(ApiError::of_body(
            Error::invalid("unknown field \"id\": the path has it").with_code("unknown_field"),
        ));
    }
    args.insert("id".to_owned(), id.to_string().into());
    Ok(args)
}

fn with_etag(mut response: Response<axum::body::Body>, of: &Value) -> Response<axum::body::Body> {
    let etag = of["version"].as_u64().and_then(|v| HeaderValue::try_from(format!("\"{v}\"")).ok());
    response.headers_mut().extend(etag.map(|etag| (header::ETAG, etag)));
    response
}

/// The version in If-Match: a number, with or without quotes. `*` asks for any.
fn if_match(headers: &HeaderMap) -> ApiResult<Option<u32>> {
    let mut values = headers.get_all(header::IF_MATCH).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let wrong =
        || ApiError::bad("invalid_if_match", "If-Match must be one version, as in the ETag of the memory: \"3\"");
    let text = value.to_str().ok().filter(|_| values.next().is_none()).ok_or_else(wrong)?.trim();
    if text == "*" {
        return Ok(None);
    }
    let bare = text.strip_prefix('"').map_or(Some(text), |t| t.strip_suffix('"')).ok_or_else(wrong)?;
    bare.parse::<u32>().ok().filter(|&v| v > 0).map(Some).ok_or_else(wrong)
}
