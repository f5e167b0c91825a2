//! Google's Gemini API.

use super::{
    call::{Decoder, Service, Step},
    config::ProviderConfig,
    failure::{Cause, Told, said, span, text_at},
};
use crate::{
    ctx::Ctx,
    error::Result,
    http::sse::SseEvent,
    limits::CHAT_TOOL_CALLS_MAX,
    model::{
        ChatChunk, ChatContent, ChatDelta, ChatMessage, ChatRequest, ChatResponse, ChatRole, FinishReason, ToolCall,
        ToolCallDelta, Usage,
    },
    ports::{ChatStream, LlmFailure, LlmProvider},
};
use async_trait::async_trait;
use serde_json::{Map, Value, json};
use std::{collections::VecDeque, sync::Arc};

mod request;

/// A client of Google. System and developer messages become the system instruction; pictures go as `data:` URLs only; sounds and
/// files cannot be asked for. Names of speakers, `user`, and fields that the vocabulary does not know are not sent. Reasoning that
/// the model shows is `reasoning_content`. Signatures of thoughts come with tool calls under `extra_content`, and must come back
/// with them.
#[derive(Debug, Clone)]
pub struct Google {
    service: Arc<Service>,
}

impl Google {
    /// A client. InvalidInput where the address or the key cannot be one.
    pub fn new(config: &ProviderConfig) -> Result<Self> {
        Ok(Self { service: Arc::new(service(config)?) })
    }
}

/// The connections of this wire format. The key goes in a header: addresses end up in logs.
pub(super) fn service(config: &ProviderConfig) -> Result<Service> {
    let key = config.api_key.as_ref().map(|key| ("x-goog-api-key", key.expose().to_owned()));
    Service::new(config, key.as_slice(), told)
}

/// A method of a model, as a segment of the address.
pub(super) fn method(model: &str, method: &str) -> String {
    format!("{}:{method}", model.strip_prefix("models/").unwrap_or(model))
}

#[async_trait]
impl LlmProvider for Google {
    fn id(&self) -> &str {
        &self.service.id
    }

    async fn complete(&self, ctx: &Ctx, request: &ChatRequest) -> Result<ChatResponse, LlmFailure> {
        request.check().map_err(LlmFailure::free)?;
        let teller = self.service.teller(&request.model);
        let body = request::body(request).map_err(|what| teller.unfit(&what))?;
        let path = ["models", &method(&request.model, "generateContent")];
        let answer = self.service.json(ctx, &path, &Value::Object(body), &teller, &said(&request.messages)).await?;
        let usage = usage(&answer);
        response(&answer, usage).map_err(|told| teller.begun(told, usage))
    }

    async fn stream(&self, ctx: &Ctx, request: &ChatRequest) -> Result<ChatStream, LlmFailure> {
        request.check().map_err(LlmFailure::free)?;
        let teller = self.service.teller(&request.model);
        let body = request::body(request).map_err(|what| teller.unfit(&what))?;
        let path = ["models", &method(&request.model, "streamGenerateContent")];
        let place = (&path[..], Some(("alt", "sse")));
        let texts = said(&request.messages);
        self.service.events(ctx, place, &Value::Object(body), (teller, &texts), Pieces::default()).await
    }
}

/// What an error says. Some errors come as a list with one element.
pub(super) fn told(_status: u16, body: &Value) -> Told {
    let error = body.get("error").or_else(|| body.pointer("/0/error")).unwrap_or(&Value::Null);
    let message = text_at(error, "/message").unwrap_or_default();
    let details = || error.get("details").and_then(Value::as_array).into_iter().flatten();
    let bad_key = details().any(|detail| text_at(detail, "/reason") == Some("API_KEY_INVALID"));
    let pause = details().find_map(|detail| text_at(detail, "/retryDelay")).and_then(span);
    let cause = match text_at(error, "/status").unwrap_or_default() {
        // A wrong key comes as a wrong request.
        _ if bad_key => Some(Cause::Authentication),
        "INVALID_ARGUMENT" if message.contains("exceeds the maximum number of tokens") => Some(Cause::ContextLength),
        "INVALID_ARGUMENT" | "NOT_FOUND" | "FAILED_PRECONDITION" | "OUT_OF_RANGE" => Some(Cause::Rejected),
        "UNAUTHENTICATED" | "PERMISSION_DENIED" => Some(Cause::Authentication),
        "RESOURCE_EXHAUSTED" => Some(Cause::RateLimited),
        "INTERNAL" | "UNAVAILABLE" | "DEADLINE_EXCEEDED" | "UNKNOWN" => Some(Cause::Unavailable),
        _ => None,
    };
    Told { cause, reason: message.to_owned(), pause }
}

/// The counts of an answer. Output leaves thoughts out, and input what tools of the provider read.
pub(super) fn usage(answer: &Value) -> Option<Usage> {
    let usage = answer.get("usageMetadata")?;
    let number = |name: &str| usage.get(name).and_then(Value::as_u64).unwrap_or_default();
    let reasoning_tokens = number("thoughtsTokenCount");
    let usage = Usage {
        input_tokens: number("promptTokenCount").saturating_add(number("toolUsePromptTokenCount")),
        cached_input_tokens: number("cachedContentTokenCount"),
        cache_write_tokens: 0,
        output_tokens: number("candidatesTokenCount").saturating_add(reasoning_tokens),
        reasoning_tokens,
        estimated: false,
    };
    usage.believed()
}

fn finish(word: &str, calls: bool) -> FinishReason {
    match word {
        "STOP" if calls => FinishReason::ToolCalls,
        "STOP" => FinishReason::Stop,
        "MAX_TOKENS" => FinishReason::Length,
        "SAFETY" | "RECITATION" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "SPII" | "IMAGE_SAFETY" => {
            FinishReason::ContentFilter
        }
        other => FinishReason::parse(&other.to_lowercase()),
    }
}

/// What one body says.
#[derive(Debug, Default)]
struct Said {
    text: String,
    reasoning: String,
    calls: Vec<ToolCall>,
}

/// Reads the parts of a body's first candidate; `known` calls were made before.
fn read(body: &Value, known: usize) -> Result<Said, Told> {
    let mut out = Said::default();
    for part in body.pointer("/candidates/0/content/parts").and_then(Value::as_array).into_iter().flatten() {
        if let Some(text) = text_at(part, "/text") {
            let thought = part.get("thought").and_then(Value::as_bool).unwrap_or(false);
            let to = if thought { &mut out.reasoning } else { &mut out.text };
            to.push_str(text);
        }
        if let Some(call) = part.get("functionCall") {
            let place = known + out.calls.len();
            if place == CHAT_TOOL_CALLS_MAX {
                return Err(Told::misread("it calls too many tools"));
            }
            out.calls.push(tool_call(part, call, place));
        }
    }
    Ok(out)
}

fn tool_call(part: &Value, call: &Value, place: usize) -> ToolCall {
    let id = text_at(call, "/id").map_or_else(|| format!("{}{place}", request::OWN_ID), str::to_owned);
    let mut extra = Map::new();
    if let Some(signature) = text_at(part, "/thoughtSignature") {
        extra.insert("extra_content".to_owned(), json!({"google": {"thought_signature": signature}}));
    }
    let name = text_at(call, "/name").unwrap_or_default().to_owned();
    let arguments = call.get("args").map_or_else(|| "{}".to_owned(), Value::to_string);
    ToolCall { id, name, arguments, extra }
}

/// Whether the request itself was held back: then there is no candidate.
fn blocked(body: &Value) -> Option<Told> {
    let reason = text_at(body, "/promptFeedback/blockReason")?;
    body.pointer("/candidates/0").is_none().then(|| Told::new(Cause::Content, reason))
}

fn response(answer: &Value, usage: Option<Usage>) -> Result<ChatResponse, Told> {
    if let Some(told) = blocked(answer) {
        return Err(told);
    }
    let candidate = answer.pointer("/candidates/0").ok_or_else(|| Told::misread("it has no candidates"))?;
    let said = read(answer, 0)?;
    let mut message = ChatMessage::empty(ChatRole::Assistant);
    let finish_reason = finish(text_at(candidate, "/finishReason").unwrap_or("STOP"), !said.calls.is_empty());
    if !said.text.is_empty() || said.calls.is_empty() {
        message.content = Some(ChatContent::Text(said.text));
    }
    message.tool_calls = said.calls;
    if !said.reasoning.is_empty() {
        message.extra.insert("reasoning_content".to_owned(), said.reasoning.into());
    }
    let text = |pointer: &str| text_at(answer, pointer).unwrap_or_default().to_owned();
    Ok(ChatResponse { id: text("/responseId"), model: text("/modelVersion"), message, finish_reason, usage })
}

/// The pieces of a stream: whole answers, each with what is new.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    id: String,
    model: String,
    calls: usize,
    usage: Option<Usage>,
    finished: bool,
}

impl Pieces {
    fn chunk(&self) -> ChatChunk {
        ChatChunk { id: self.id.clone(), model: self.model.clone(), ..ChatChunk::default() }
    }
}

impl Decoder for Pieces {
    fn event(&mut self, event: &SseEvent, out: &mut VecDeque<ChatChunk>) -> Result<Step, Told> {
        let body: Value = serde_json::from_str(&event.data).map_err(|_| Told::misread("an event is not JSON"))?;
        if let Some(word) = body.get("error").map(|error| text_at(error, "/status").unwrap_or("error")) {
            let told = told(200, &body);
            let reason = format!("it broke off with {word}");
            return Err(Told { cause: told.cause.or(Some(Cause::Unavailable)), reason, ..told });
        }
        for (to, name) in [(&mut self.id, "/responseId"), (&mut self.model, "/modelVersion")] {
            if let Some(text) = text_at(&body, name) {
                text.clone_into(to);
            }
        }
        self.usage = usage(&body).or(self.usage);
        if let Some(told) = blocked(&body) {
            // Nothing more comes, so the count is that of the whole call.
            self.finished = true;
            return Err(told);
        }
        let said = read(&body, self.calls)?;
        let tool_calls = said.calls.into_iter().enumerate().map(|(i, call)| ToolCallDelta {
            index: self.calls + i,
            id: Some(call.id),
            name: Some(call.name),
            arguments: Some(call.arguments),
            extra: call.extra,
        });
        let mut delta = ChatDelta { tool_calls: tool_calls.collect(), ..ChatDelta::default() };
        self.calls += delta.tool_calls.len();
        delta.content = Some(said.text).filter(|text| !text.is_empty());
        if !said.reasoning.is_empty() {
            delta.extra.insert("reasoning_content".to_owned(), said.reasoning.into());
        }
        let word = text_at(&body, "/candidates/0/finishReason");
        let finish_reason = word.map(|word| finish(word, self.calls > 0));
        self.finished |= finish_reason.is_some();
        if finish_reason.is_some() || delta != ChatDelta::default() {
            out.push_back(ChatChunk { delta, finish_reason, ..self.chunk() });
        }
        Ok(Step::More)
    }

    fn close(&mut self, out: &mut VecDeque<ChatChunk>) -> Result<(), Told> {
        if !self.finished {
            return Err(Told::new(Cause::Unavailable, "its stream ended before the answer did"));
        }
        if let Some(usage) = self.usage.take() {
            out.push_back(ChatChunk { usage: Some(usage), ..self.chunk() });
        }
        Ok(())
    }

    fn charged(&self) -> Option<Usage> {
        self.usage.filter(|_| self.finished)
    }
}
