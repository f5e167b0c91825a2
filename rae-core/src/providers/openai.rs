//! OpenAI's chat completions, and every server that speaks them: Ollama, vLLM, OpenRouter and others.

use super::{
    call::{Decoder, Service, Step},
    config::{ProviderConfig, ProviderKind},
    failure::{Cause, Told, said, text_at},
};
use crate::{
    ctx::Ctx,
    error::Result,
    http::sse::SseEvent,
    model::{ChatChunk, ChatRequest, ChatResponse, Usage},
    ports::{ChatStream, LlmFailure, LlmProvider},
};
use async_trait::async_trait;
use serde_json::{Map, Value, json};
use std::{collections::VecDeque, sync::Arc};

/// The end of a stream.
const DONE: &str = "[DONE]";

/// A provider of this wire format. Requests pass through as they are, unknown fields too; only the name of the output maximum
/// differs (`max_completion_tokens` for OpenAI, `max_tokens` for others), and others get `system` for the role `developer`.
#[derive(Debug, Clone)]
pub struct OpenAi {
    service: Arc<Service>,
    kind: ProviderKind,
}

impl OpenAi {
    /// A client. InvalidInput where the address or the key cannot be one.
    pub fn new(config: &ProviderConfig) -> Result<Self> {
        Ok(Self { service: Arc::new(service(config)?), kind: config.kind })
    }

    fn body(&self, request: &ChatRequest) -> Map<String, Value> {
        if self.kind == ProviderKind::OpenAi {
            return request.to_openai("max_completion_tokens");
        }
        let mut body = request.to_openai("max_tokens");
        for message in body.get_mut("messages").and_then(Value::as_array_mut).into_iter().flatten() {
            if message["role"] == "developer" {
                message["role"] = "system".into();
            }
        }
        body
    }
}

/// The connections of this wire format.
pub(super) fn service(config: &ProviderConfig) -> Result<Service> {
    let mut headers = Vec::new();
    if let Some(key) = &config.api_key {
        headers.push(("authorization", format!("Bearer {}", key.expose())));
    }
    if let Some(organization) = &config.organization {
        headers.push(("openai-organization", organization.clone()));
    }
    Service::new(config, &headers, told)
}

#[async_trait]
impl LlmProvider for OpenAi {
    fn id(&self) -> &str {
        &self.service.id
    }

    async fn complete(&self, ctx: &Ctx, request: &ChatRequest) -> Result<ChatResponse, LlmFailure> {
        request.check().map_err(LlmFailure::free)?;
        let teller = self.service.teller(&request.model);
        let body = Value::Object(self.body(request));
        let answer = self.service.json(ctx, &["chat", "completions"], &body, &teller, &said(&request.messages)).await?;
        let usage = answer.get("usage").and_then(Usage::from_openai);
        response(answer).map_err(|told| teller.begun(told, usage))
    }

    async fn stream(&self, ctx: &Ctx, request: &ChatRequest) -> Result<ChatStream, LlmFailure> {
        request.check().map_err(LlmFailure::free)?;
        let teller = self.service.teller(&request.model);
        let mut body = self.body(request);
        body.insert("stream".to_owned(), true.into());
        body.insert("stream_options".to_owned(), json!({"include_usage": true}));
        let place = (&["chat", "completions"][..], None);
        let texts = said(&request.messages);
        self.service.events(ctx, place, &Value::Object(body), (teller, &texts), Pieces::default()).await
    }
}

/// What an error says. Compatible servers leave out parts of it, or its envelope.
pub(super) fn told(_status: u16, body: &Value) -> Told {
    let error = body.get("error").unwrap_or(body);
    let message = error.as_str().or_else(|| text_at(error, "/message")).unwrap_or_default();
    let code = text_at(error, "/code").unwrap_or_default();
    let kind = text_at(error, "/type").unwrap_or_default();
    let number = error.pointer("/code").and_then(Value::as_u64);
    let lower = message.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    let cause = if code == "context_length_exceeded"
        || says(&["maximum context length", "context length of", "context window", "exceeds the context"])
    {
        Some(Cause::ContextLength)
    } else if matches!(code, "content_filter" | "content_policy_violation" | "ResponsibleAIPolicyViolation")
        || says(&["content management policy", "requires moderation", "was flagged"])
    {
        Some(Cause::Content)
    } else if matches!(code, "insufficient_quota" | "billing_hard_limit_reached" | "invalid_api_key")
        || kind == "insufficient_quota"
    {
        // Out of money comes with status 429, but waiting does not help.
        Some(Cause::Authentication)
    } else {
        number.and_then(cause_of_number)
    };
    Told { cause, reason: message.to_owned(), pause: None }
}

/// The cause of an error that came inside of a success, by the number in it.
fn cause_of_number(number: u64) -> Option<Cause> {
    match number {
        401..=403 => Some(Cause::Authentication),
        429 => Some(Cause::RateLimited),
        400 | 404 | 413 | 422 => Some(Cause::Rejected),
        408 | 500..=599 => Some(Cause::Unavailable),
        _ => None,
    }
}

/// The error inside of an answer that began with success. Its message may come from anywhere, so only its words are shown.
fn told_late(error: &Value) -> Told {
    let body = json!({"error": error});
    let told = told(200, &body);
    let word = text_at(error, "/code").or_else(|| text_at(error, "/type")).unwrap_or("error");
    Told { cause: told.cause.or(Some(Cause::Unavailable)), reason: format!("it broke off with {word}"), pause: None }
}

fn response(answer: Value) -> Result<ChatResponse, Told> {
    if let Some(error) = answer.get("error").filter(|error| !error.is_null()) {
        return Err(told_late(error));
    }
    ChatResponse::from_openai(answer).map_err(Told::misread)
}

/// The pieces of a stream.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    id: String,
    model: String,
    /// The last count. Some servers send one with every piece; it is passed on once, at the end.
    usage: Option<Usage>,
    finished: bool,
}

impl Pieces {
    fn chunk(&self) -> ChatChunk {
        ChatChunk { id: self.id.clone(), model: self.model.clone(), ..ChatChunk::default() }
    }

    fn end(&mut self, out: &mut VecDeque<ChatChunk>) -> Result<(), Told> {
        if !self.finished {
            return Err(Told::new(Cause::Unavailable, "its stream ended before the answer did"));
        }
        if let Some(usage) = self.usage.take() {
            out.push_back(ChatChunk { usage: Some(usage), ..self.chunk() });
        }
        Ok(())
    }
}

impl Decoder for Pieces {
    fn event(&mut self, event: &SseEvent, out: &mut VecDeque<ChatChunk>) -> Result<Step, Told> {
        if event.data.trim() == DONE {
            return self.end(out).map(|()| Step::End);
        }
        let body: Value = serde_json::from_str(&event.data).map_err(|_| Told::misread("an event is not JSON"))?;
        if let Some(error) = body.get("error").filter(|error| !error.is_null()) {
            return Err(told_late(error));
        }
        let piece = ChatChunk::from_openai(&body).map_err(Told::misread)?;
        for (to, text) in [(&mut self.id, &piece.id), (&mut self.model, &piece.model)] {
            if to.is_empty() {
                to.clone_from(text);
            }
        }
        self.usage = piece.usage.or(self.usage);
        self.finished |= piece.finish_reason.is_some();
        if !piece.adds_nothing() {
            out.push_back(ChatChunk { delta: piece.delta, finish_reason: piece.finish_reason, ..self.chunk() });
        }
        Ok(Step::More)
    }

    fn close(&mut self, out: &mut VecDeque<ChatChunk>) -> Result<(), Told> {
        // Some servers leave the end mark out.
        self.end(out)
    }

    fn charged(&self) -> Option<Usage> {
        self.usage.filter(|_| self.finished)
    }
}
