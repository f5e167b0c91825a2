//! Anthropic's messages.

use super::{
    call::{Decoder, Service, Step},
    config::ProviderConfig,
    failure::{Cause, Told, said, text_at},
};
use crate::{
    ctx::Ctx,
    error::Result,
    http::sse::SseEvent,
    limits::CHAT_TOOL_CALLS_MAX,
    model::{
        ChatChunk, ChatDelta, ChatMessage, ChatRequest, ChatResponse, ChatRole, FinishReason, ToolCall, ToolCallDelta,
        Usage,
    },
    ports::{ChatStream, LlmFailure, LlmProvider},
};
use async_trait::async_trait;
use serde_json::{Map, Value};
use std::{collections::VecDeque, sync::Arc};

mod request;

/// The version of the interface.
const VERSION: &str = "2023-06-01";

/// A client of Anthropic. System and developer messages become the system prompt; results of tools become parts of the user's
/// next message; a schema of the answer goes to its structured outputs, which older models do not have. A JSON object without a
/// schema, sounds and files cannot be asked for. Names of speakers and fields that the vocabulary does not know are not sent, but
/// for `parallel_tool_calls`. Reasoning that the model shows is `reasoning_content`.
#[derive(Debug, Clone)]
pub struct Anthropic {
    service: Arc<Service>,
}

impl Anthropic {
    /// A client. InvalidInput where the address or the key cannot be one.
    pub fn new(config: &ProviderConfig) -> Result<Self> {
        let mut headers = vec![("anthropic-version", VERSION.to_owned())];
        if let Some(key) = &config.api_key {
            headers.push(("x-api-key", key.expose().to_owned()));
        }
        Ok(Self { service: Arc::new(Service::new(config, &headers, told)?) })
    }
}

#[async_trait]
impl LlmProvider for Anthropic {
    fn id(&self) -> &str {
        &self.service.id
    }

    async fn complete(&self, ctx: &Ctx, request: &ChatRequest) -> Result<ChatResponse, LlmFailure> {
        request.check().map_err(LlmFailure::free)?;
        let teller = self.service.teller(&request.model);
        let body = request::body(request).map_err(|what| teller.unfit(&what))?;
        let answer =
            self.service.json(ctx, &["messages"], &Value::Object(body), &teller, &said(&request.messages)).await?;
        let mut counts = Counts::default();
        counts.add(answer.get("usage"));
        let usage = counts.usage();
        response(&answer, usage).map_err(|told| teller.begun(told, usage))
    }

    async fn stream(&self, ctx: &Ctx, request: &ChatRequest) -> Result<ChatStream, LlmFailure> {
        request.check().map_err(LlmFailure::free)?;
        let teller = self.service.teller(&request.model);
        let mut body = request::body(request).map_err(|what| teller.unfit(&what))?;
        body.insert("stream".to_owned(), true.into());
        let place = (&["messages"][..], None);
        let texts = said(&request.messages);
        self.service.events(ctx, place, &Value::Object(body), (teller, &texts), Pieces::default()).await
    }
}

/// What an error says.
fn told(_status: u16, body: &Value) -> Told {
    let message = text_at(body, "/error/message").unwrap_or_default();
    let lower = message.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    let cause = match text_at(body, "/error/type").unwrap_or_default() {
        // Both come as wrong requests.
        "invalid_request_error" if says(&["prompt is too long", "context limit", "context window"]) => {
            Some(Cause::ContextLength)
        }
        "invalid_request_error" if says(&["credit balance"]) => Some(Cause::Authentication),
        "invalid_request_error" if says(&["content filtering policy", "usage policy"]) => Some(Cause::Content),
        "authentication_error" | "permission_error" | "billing_error" => Some(Cause::Authentication),
        "rate_limit_error" => Some(Cause::RateLimited),
        "overloaded_error" | "api_error" | "timeout_error" => Some(Cause::Unavailable),
        "invalid_request_error" | "not_found_error" | "request_too_large" => Some(Cause::Rejected),
        _ => None,
    };
    Told { cause, reason: message.to_owned(), pause: None }
}

/// The counts of `usage`, which leave tokens to and from the cache out of the input.
#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    fresh: u64,
    read: u64,
    written: u64,
    output: u64,
}

impl Counts {
    /// Later counts of a stream are sums, and replace earlier ones.
    fn add(&mut self, usage: Option<&Value>) {
        let number = |place: &str| usage.and_then(|usage| usage.pointer(place)).and_then(Value::as_u64);
        for (to, place) in [
            (&mut self.fresh, "/input_tokens"),
            (&mut self.read, "/cache_read_input_tokens"),
            (&mut self.written, "/cache_creation_input_tokens"),
            (&mut self.output, "/output_tokens"),
        ] {
            *to = number(place).unwrap_or(*to);
        }
    }

    fn usage(&self) -> Option<Usage> {
        let usage = Usage {
            input_tokens: self.fresh.saturating_add(self.read).saturating_add(self.written),
            cached_input_tokens: self.read,
            cache_write_tokens: self.written,
            output_tokens: self.output,
            // It counts reasoning as output and does not tell them apart.
            reasoning_tokens: 0,
            estimated: false,
        };
        usage.believed()
    }
}

fn finish(word: &str) -> FinishReason {
    match word {
        "end_turn" | "stop_sequence" | "stop" => FinishReason::Stop,
        "max_tokens" | "model_context_window_exceeded" => FinishReason::Length,
        "tool_use" => FinishReason::ToolCalls,
        "refusal" => FinishReason::ContentFilter,
        other => FinishReason::parse(other),
    }
}

fn response(answer: &Value, usage: Option<Usage>) -> Result<ChatResponse, Told> {
    let blocks = answer.get("content").and_then(Value::as_array).ok_or_else(|| Told::misread("it has no content"))?;
    let (mut text, mut reasoning) = (String::new(), String::new());
    let mut message = ChatMessage::empty(ChatRole::Assistant);
    for block in blocks {
        let part = |pointer: &str| text_at(block, pointer).unwrap_or_default();
        match part("/type") {
            "text" => text.push_str(part("/text")),
            "thinking" => reasoning.push_str(part("/thinking")),
            "tool_use" => message.tool_calls.push(ToolCall {
                id: part("/id").to_owned(),
                name: part("/name").to_owned(),
                arguments: block.get("input").map_or_else(|| "{}".to_owned(), Value::to_string),
                extra: Map::new(),
            }),
            _ => {}
        }
    }
    if message.tool_calls.len() > CHAT_TOOL_CALLS_MAX {
        return Err(Told::misread("it calls too many tools"));
    }
    if !text.is_empty() || message.tool_calls.is_empty() {
        message.content = Some(crate::model::ChatContent::Text(text));
    }
    if !reasoning.is_empty() {
        message.extra.insert("reasoning_content".to_owned(), reasoning.into());
    }
    let text = |pointer: &str| text_at(answer, pointer).unwrap_or_default().to_owned();
    let finish_reason = finish(&text("/stop_reason"));
    Ok(ChatResponse { id: text("/id"), model: text("/model"), message, finish_reason, usage })
}

/// The pieces of a stream.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    id: String,
    model: String,
    counts: Counts,
    /// The block of the tool that is being called, and whether its arguments have begun.
    tool: Option<(u64, bool)>,
    tools: usize,
    finished: bool,
}

impl Pieces {
    fn piece(&self, delta: ChatDelta) -> ChatChunk {
        ChatChunk { id: self.id.clone(), model: self.model.clone(), delta, ..ChatChunk::default() }
    }

    fn block_start(&mut self, body: &Value) -> Result<Option<ChatDelta>, Told> {
        match text_at(body, "/content_block/type") {
            Some("tool_use") => {
                if self.tools == CHAT_TOOL_CALLS_MAX {
                    return Err(Told::misread("it calls too many tools"));
                }
                self.tool = Some((index(body), false));
                self.tools += 1;
                let text = |pointer: &str| text_at(body, pointer).map(str::to_owned);
                let (id, name) = (text("/content_block/id"), text("/content_block/name"));
                Ok(Some(self.part(ToolCallDelta { id, name, ..ToolCallDelta::default() })))
            }
            Some("text") => Ok(text_at(body, "/content_block/text").and_then(content)),
            _ => Ok(None),
        }
    }

    fn block_delta(&mut self, body: &Value) -> Option<ChatDelta> {
        match text_at(body, "/delta/type")? {
            "text_delta" => text_at(body, "/delta/text").and_then(content),
            "thinking_delta" => {
                let text = text_at(body, "/delta/thinking").filter(|text| !text.is_empty())?;
                let extra = Map::from_iter([("reasoning_content".to_owned(), text.into())]);
                Some(ChatDelta { extra, ..ChatDelta::default() })
            }
            "input_json_delta" => {
                let text = text_at(body, "/delta/partial_json").filter(|text| !text.is_empty())?;
                self.tool.as_mut()?.1 = true;
                Some(self.arguments(text))
            }
            _ => None,
        }
    }

    fn block_stop(&mut self, body: &Value) -> Option<ChatDelta> {
        let (_, begun) = self.tool.take_if(|(block, _)| *block == index(body))?;
        // A tool without arguments is called with none at all; the vocabulary has JSON there.
        (!begun).then(|| self.arguments("{}"))
    }

    fn arguments(&self, text: &str) -> ChatDelta {
        self.part(ToolCallDelta { arguments: Some(text.to_owned()), ..ToolCallDelta::default() })
    }

    /// A part of the newest call.
    fn part(&self, part: ToolCallDelta) -> ChatDelta {
        let part = ToolCallDelta { index: self.tools.saturating_sub(1), ..part };
        ChatDelta { tool_calls: vec![part], ..ChatDelta::default() }
    }
}

fn index(body: &Value) -> u64 {
    body.get("index").and_then(Value::as_u64).unwrap_or_default()
}

fn content(text: &str) -> Option<ChatDelta> {
    (!text.is_empty()).then(|| ChatDelta { content: Some(text.to_owned()), ..ChatDelta::default() })
}

impl Decoder for Pieces {
    fn event(&mut self, event: &SseEvent, out: &mut VecDeque<ChatChunk>) -> Result<Step, Told> {
        let body: Value = serde_json::from_str(&event.data).map_err(|_| Told::misread("an event is not JSON"))?;
        let delta = match text_at(&body, "/type").unwrap_or_default() {
            "message_start" => {
                let text = |pointer: &str| text_at(&body, pointer).unwrap_or_default().to_owned();
                (self.id, self.model) = (text("/message/id"), text("/message/model"));
                self.counts.add(body.pointer("/message/usage"));
                None
            }
            "content_block_start" => self.block_start(&body)?,
            "content_block_delta" => self.block_delta(&body),
            "content_block_stop" => self.block_stop(&body),
            "message_delta" => {
                self.counts.add(body.get("usage"));
                if let Some(word) = text_at(&body, "/delta/stop_reason") {
                    self.finished = true;
                    out.push_back(ChatChunk { finish_reason: Some(finish(word)), ..self.piece(ChatDelta::default()) });
                }
                None
            }
            "message_stop" => {
                if !self.finished {
                    return Err(Told::misread("it does not say why it stopped"));
                }
                if let Some(usage) = self.counts.usage() {
                    out.push_back(ChatChunk { usage: Some(usage), ..self.piece(ChatDelta::default()) });
                }
                return Ok(Step::End);
            }
            "error" => {
                let word = text_at(&body, "/error/type").unwrap_or("error");
                let reason = format!("it broke off with {word}");
                return Err(Told { reason, cause: told(200, &body).cause.or(Some(Cause::Unavailable)), pause: None });
            }
            _ => None,
        };
        out.extend(delta.map(|delta| self.piece(delta)));
        Ok(Step::More)
    }

    fn close(&mut self, _out: &mut VecDeque<ChatChunk>) -> Result<(), Told> {
        Err(Told::new(Cause::Unavailable, "its stream ended before the answer did"))
    }

    fn charged(&self) -> Option<Usage> {
        self.counts.usage().filter(|_| self.finished)
    }
}
