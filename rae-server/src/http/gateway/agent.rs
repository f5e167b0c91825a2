//! A question to a model with memory, in one call: for callers that do not speak OpenAI's wire format.

use super::{Answer, ask, options::kept, request_id, tell};
use crate::{
    http::{
        auth::Caller,
        body::{ChatFields, no_parameters},
        error::{ApiError, ApiResult},
        json, schema,
    },
    state::App,
};
use axum::{
    extract::{RawQuery, State},
    http::StatusCode,
};
use rae_core::{
    Error,
    model::ChatRequest,
    ops::{ChatOptions, LlmOptions, MemoryOptions},
};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Asks a model with memories in its prompt, and remembers the turn. For `messages`, `temperature` and the other fields of a chat see
/// `/v1/chat/completions`; `prompt` stands for one message of the user.
#[utoipa::path(post, path = "/v1/agent/execute", tag = "models", operation_id = "agent_execute",
    request_body = schema::AgentRequest,
    responses(
        (status = 200, body = schema::AgentAnswer, description = "The answer, with the memories that were in the prompt"),
        (status = 402, body = schema::Failure, description = "A budget has no room for the call"),
        (status = 502, body = schema::Failure, description = "The provider does not take the server's key")))]
pub async fn execute(
    State(app): State<Arc<App>>,
    caller: Caller,
    RawQuery(query): RawQuery,
    ChatFields(fields): ChatFields,
) -> Answer {
    no_parameters(query.as_deref())?;
    let (request, options) = read(&app, fields.map)?;
    let answer = ask(&app, caller, fields.held, request, options).await?;
    let body = json!({
        "answer": answer.response.message.plain_text(),
        "memories_used": answer.memories,
        "remembered": answer.remembered,
        "model": answer.response.model,
        "finish_reason": answer.response.finish_reason.as_str(),
        "usage": answer.cost.usage.map(|usage| usage.to_openai()),
        "cost_usd": answer.cost.cost_usd,
        "degraded": answer.degraded,
    });
    let mut response = json(StatusCode::OK, &body);
    tell(&answer, response.headers_mut());
    Ok(response)
}

fn read(app: &App, mut fields: Map<String, Value>) -> ApiResult<(ChatRequest, ChatOptions)> {
    fields.retain(|_, value| !value.is_null());
    let wrong = |message: &str| ApiError::of_body(Error::invalid(message));
    let mut text = |name: &str| match fields.remove(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(wrong(&format!("{name} must be text"))),
    };
    let (prompt, session_id, user_id, agent_id) =
        (text("prompt")?, text("session_id")?, text("user_id")?, text("agent_id")?);
    let max_tokens = match fields.remove("memory_tokens") {
        None => MemoryOptions::default().max_tokens,
        Some(n) => n.as_i64().ok_or_else(|| wrong("memory_tokens must be a whole number"))?,
    };
    let remember = match fields.remove("remember") {
        None => true,
        Some(Value::Bool(remember)) => remember,
        Some(_) => return Err(wrong("remember must be true or false")),
    };
    match (prompt, fields.contains_key("messages")) {
        (Some(prompt), false) => {
            fields.insert("messages".to_owned(), json!([{ "role": "user", "content": prompt }]));
        }
        (None, true) => {}
        _ => return Err(wrong("either prompt or messages is needed")),
    }
    if !fields.contains_key("model") {
        let default = app.settings.default_model.clone();
        let missing = || ApiError::bad("missing_model", "name a model, or set RAE_DEFAULT_MODEL on the server");
        fields.insert("model".to_owned(), default.ok_or_else(missing)?.into());
    }
    let (request, delivery) = ChatRequest::from_openai(Value::Object(fields)).map_err(ApiError::of_body)?;
    if delivery.stream {
        return Err(wrong("this route does not stream; /v1/chat/completions does"));
    }
    let llm = LlmOptions { operation: "agent".to_owned(), user_id, request_id: request_id(), ..LlmOptions::default() };
    let memory = Some(MemoryOptions { session_id, agent_id, max_tokens, remember });
    let cache = app.settings.response_cache.then(|| kept(&app.settings));
    Ok((request, ChatOptions { llm, memory, cache }))
}
