//! The gateway: a chat model behind OpenAI's wire format, so that a client gets memory, limits and a ledger by another base URL.
//! What is special to RAE is in headers, and in the field `rae` of bodies for those who ask for it.

pub mod agent;
mod options;
mod pieces;

use super::{
    auth::Caller,
    body::{ChatFields, no_parameters},
    costs::{WARNING, budget_warning},
    error::{ApiError, ApiResult, Failure, REQUEST_ID, error_body},
    json, schema,
};
use crate::{
    front::Held,
    state::{App, LLM_LIMIT},
};
use axum::{
    body::Body,
    extract::{MatchedPath, RawQuery, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode},
    middleware::Next,
};
use http_body_util::BodyExt;
use options::{Asked, OWN};
use rae_core::{
    Error, LlmCost, MemoryId, Rae,
    model::{BudgetLevel, ChatRequest, LimitKind, Usd},
    ops::{CacheResult, ChatAnswer, ChatOptions},
    wire,
};
use serde_json::{Value, json};
use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

pub type Answer = ApiResult<Response<Body>>;

const COST: HeaderName = HeaderName::from_static("x-rae-cost-usd");
const CACHE: HeaderName = HeaderName::from_static("x-cache");
const MEMORIES: HeaderName = HeaderName::from_static("x-rae-memories");
const DEGRADED: HeaderName = HeaderName::from_static("x-rae-degraded");
/// Routes whose errors OpenAI's clients read.
const SPOKEN: &[&str] = &["/v1/chat/completions", "/v1/models"];

/// OpenAI's chat completions, of any configured provider, streamed too. Costs are held against the budgets before the first byte
/// leaves, and booked. With memory on, memories that fit the last message are put into the prompt, and the turn is remembered.
#[utoipa::path(post, path = "/v1/chat/completions", tag = "models", operation_id = "chat_completions",
    request_body = schema::ChatCompletions,
    params(
        ("X-RAE-Memory" = Option<String>, Header, description = "`on`, `off`, or `read`: memories in the prompt, but the turn is not remembered. Default by setting: off"),
        ("X-RAE-Cache" = Option<String>, Header, description = "`on` or `off`: answers that were given before. Default by setting: off"),
        ("X-Session-ID" = Option<String>, Header, description = "The session of the turn"),
        ("X-User-ID" = Option<String>, Header, description = "The user of the turn; else `user` of the body"),
        ("X-Dry-Run" = Option<String>, Header, description = "`true`: the estimate alone; nothing is sent or booked"),
    ),
    responses(
        (status = 200, body = schema::ChatCompletion, description = "The answer; as server-sent events where `stream` is true; an estimate with X-Dry-Run"),
        (status = 402, body = schema::Failure, description = "A budget has no room for the call"),
        (status = 502, body = schema::Failure, description = "The provider does not take the server's key")))]
pub async fn chat_completions(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
    ChatFields(mut fields): ChatFields,
) -> Answer {
    no_parameters(query.as_deref())?;
    let asked = Asked::of(&app.settings, &headers, &mut fields.map)?;
    let (request, delivery) = ChatRequest::from_openai(Value::Object(fields.map))?;
    let options = asked.options;
    if asked.dry_run {
        return estimate(&app, caller, fields.held, request, options).await;
    }
    if delivery.stream {
        let last = pieces::Last { usage: delivery.include_usage, own: asked.tells };
        return pieces::stream(&app, caller.scope, fields.held, request, options, last).await;
    }
    let answer = ask(&app, caller, fields.held, request, options).await?;
    let mut body = answer.response.to_openai(now());
    if asked.tells {
        let ChatAnswer { cost, cache, saved_usd, memories, remembered, degraded, .. } = &answer;
        body[OWN] = own(cost, *cache, *saved_usd, memories, remembered, degraded);
    }
    let mut response = json(StatusCode::OK, &body);
    tell(&answer, response.headers_mut());
    Ok(response)
}

/// Models of the configured providers that have a price, as OpenAI lists models. Others may be asked as well.
#[utoipa::path(get, path = "/v1/models", tag = "models", operation_id = "models",
    responses((status = 200, body = schema::Models, description = "The models")))]
pub async fn models(State(app): State<Arc<App>>, _: Caller, RawQuery(query): RawQuery) -> Answer {
    no_parameters(query.as_deref())?;
    let model = |id: String| {
        let owner = id.split('/').next().unwrap_or_default().to_owned();
        json!({ "id": id, "object": "model", "created": 0, "owned_by": owner })
    };
    let all: Vec<Value> = app.rae.models().into_iter().map(model).collect();
    Ok(std::future::ready(json(StatusCode::OK, &json!({ "object": "list", "data": all }))).await)
}

/// The whole answer, on the engine's threads. A caller that leaves does not stop it: the call is paid for.
async fn ask(
    app: &App,
    caller: Caller,
    held: Held,
    request: ChatRequest,
    options: ChatOptions,
) -> ApiResult<ChatAnswer> {
    let place = app.chat_place()?;
    let call = |rae: Rae| async move {
        let _place = place;
        rae.chat(request, options).await
    };
    let answer = app.run(caller.scope.clone(), LLM_LIMIT, held, call).await;
    app.metrics.operation(&caller.scope, "chat", 1, answer.as_ref().err().map(Error::kind));
    answer.map_err(failed)
}

async fn estimate(app: &App, caller: Caller, held: Held, request: ChatRequest, options: ChatOptions) -> Answer {
    let call = |rae: Rae| async move { rae.chat_estimate(request, options).await };
    let found = app.run(caller.scope, app.settings.request_timeout, held, call).await.map_err(failed)?;
    let mut body = json!({
        "provider": found.provider,
        "model": found.model,
        "input_tokens": found.input_tokens,
        "output_tokens": found.output_tokens,
        "cost_usd": found.cost_usd,
        "allowed": found.refusal.is_none(),
    });
    if let Some(refusal) = &found.refusal {
        body["refusal"] = error_body(refusal)["error"].take();
    }
    Ok(json(StatusCode::OK, &body))
}

/// A provider's errors with their status. The provider refusing the server's key is no fault of the caller.
fn failed(error: Error) -> ApiError {
    match error.code() {
        "provider_authentication" => ApiError::with_status(error, StatusCode::BAD_GATEWAY),
        _ => error.into(),
    }
}

/// What an answer cost and where it came from.
fn tell(answer: &ChatAnswer, headers: &mut HeaderMap) {
    headers.insert(COST, number(answer.cost.cost_usd));
    about(headers, answer.cache.as_str(), answer.memories.len(), &answer.degraded, &answer.cost.warnings);
}

/// What OpenAI's shape has no place for: what the answer cost, to the micro-dollar, and where it came from.
fn own(
    cost: &LlmCost,
    cache: CacheResult,
    saved_usd: Usd,
    memories: &[MemoryId],
    remembered: &[MemoryId],
    degraded: &[String],
) -> Value {
    let mut body = wire::llm_end(cost);
    body["cache"] = cache.as_str().into();
    body["saved_usd"] = json!(saved_usd);
    body["memories"] = json!(memories);
    body["remembered"] = json!(remembered);
    body["degraded"] = json!(degraded);
    body
}

/// What is known of an answer before its first piece.
fn about(
    headers: &mut HeaderMap,
    cache: &'static str,
    memories: usize,
    degraded: &[String],
    warnings: &[(BudgetLevel, LimitKind)],
) {
    if cache != "off" {
        headers.insert(CACHE, HeaderValue::from_static(cache));
    }
    if memories > 0 {
        headers.insert(MEMORIES, HeaderValue::from(memories));
    }
    let degraded = HeaderValue::try_from(degraded.join(", ")).ok().filter(|value| !value.is_empty());
    headers.extend(degraded.map(|value| (DEGRADED, value)));
    headers.extend(budget_warning(warnings).map(|value| (WARNING, value)));
}

/// Dollars as a plain number, to the micro-dollar.
fn number(usd: Usd) -> HeaderValue {
    let micros = usd.micros().unsigned_abs();
    let text = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("0"))
}

/// Seconds since 1970.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// The id of the request that this task answers.
fn request_id() -> Option<String> {
    REQUEST_ID.try_with(String::clone).ok()
}

/// The fields of an error that OpenAI's clients read, beside ours.
fn spoken(mut body: Value) -> Value {
    body["error"]["type"] = body["error"]["kind"].clone();
    body["error"]["param"] = Value::Null;
    body
}

/// The middleware that says errors of these routes, those of the gate too, in OpenAI's words beside ours.
pub async fn speak(request: Request, next: Next) -> Response<Body> {
    let spoken_here = request.extensions().get::<MatchedPath>().is_some_and(|route| SPOKEN.contains(&route.as_str()));
    let response = next.run(request).await;
    if !spoken_here || response.extensions().get::<Failure>().is_none() {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    // It is in memory whole, so reading it does not fail.
    let bytes = body.collect().await.map(|all| all.to_bytes()).unwrap_or_default();
    let text = match serde_json::from_slice::<Value>(&bytes) {
        Ok(body) => spoken(body).to_string(),
        Err(_) => return Response::from_parts(parts, Body::from(bytes)),
    };
    parts.headers.remove(axum::http::header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(text))
}
