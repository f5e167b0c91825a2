//! Talking to chat models: one vocabulary for all providers. It is the shape of OpenAI's chat completions, since most clients and
//! servers of the field speak that; the reading and writing of it is in `body.rs` and `answer.rs`.

#[cfg(feature = "http")]
mod answer;
mod body;
mod usage;

pub use body::Delivery;
pub use usage::Usage;

use crate::{
    error::{Error, Result},
    limits,
};
use serde_json::{Map, Value};

/// A request to a chat model.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ChatRequest {
    /// The provider's name of the model, for example `gpt-4o-mini`.
    pub model: String,
    /// The conversation, oldest first. At least one.
    pub messages: Vec<ChatMessage>,
    /// Functions that the model may ask for.
    pub tools: Vec<ChatTool>,
    /// Whether it may, must, or must not ask for one. `None` leaves it to the provider: it may.
    pub tool_choice: Option<ToolChoice>,
    /// The form of the answer. `None` is text.
    pub response_format: Option<ResponseFormat>,
    /// From 0, the least random, to 2.
    pub temperature: Option<f64>,
    /// Share of the likely words that are drawn from, 0 to 1.
    pub top_p: Option<f64>,
    /// Texts at which the model stops.
    pub stop: Vec<String>,
    /// Most tokens of output, those of reasoning included.
    pub max_output_tokens: Option<u64>,
    /// The caller's name of the person behind the request, for the provider's abuse control.
    pub user: Option<String>,
    /// Fields of the body that have no place here. They go to providers that speak OpenAI's shape, and to no other.
    pub extra: Map<String, Value>,
}

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChatRole {
    /// The operator.
    System,
    /// The operator, as newer OpenAI models call it.
    Developer,
    /// The person.
    User,
    /// The model.
    Assistant,
    /// The result of a tool.
    Tool,
}

impl ChatRole {
    /// The name in bodies.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Developer => "developer",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::System, Self::Developer, Self::User, Self::Assistant, Self::Tool]
            .into_iter()
            .find(|role| role.as_str() == text)
    }
}

/// One message.
#[derive(Debug, Clone, PartialEq)]
pub struct ChatMessage {
    /// Who speaks.
    pub role: ChatRole,
    /// What is said. `None` where a model only asks for tools or refuses.
    pub content: Option<ChatContent>,
    /// A name that tells speakers of the same role apart.
    pub name: Option<String>,
    /// Tools that the model asks for.
    pub tool_calls: Vec<ToolCall>,
    /// Which call this is the result of, with the role `tool`.
    pub tool_call_id: Option<String>,
    /// Why the model will not answer, in its words.
    pub refusal: Option<String>,
    /// Fields that have no place here, for example `reasoning_content`. They go to providers that speak OpenAI's shape.
    pub extra: Map<String, Value>,
}

impl ChatMessage {
    /// A message of text.
    pub fn text(role: ChatRole, text: impl Into<String>) -> Self {
        Self { content: Some(ChatContent::Text(text.into())), ..Self::empty(role) }
    }

    /// A message without content.
    pub fn empty(role: ChatRole) -> Self {
        let (content, name, tool_call_id, refusal) = (None, None, None, None);
        Self { role, content, name, tool_calls: Vec::new(), tool_call_id, refusal, extra: Map::new() }
    }

    /// The text of the message: of several parts, those that are text, joined by line breaks. Empty where there is none.
    pub fn plain_text(&self) -> String {
        match &self.content {
            None => String::new(),
            Some(ChatContent::Text(text)) => text.clone(),
            Some(ChatContent::Parts(parts)) => {
                let texts = parts.iter().filter_map(|part| match part {
                    ChatPart::Text(text) => Some(text.as_str()),
                    ChatPart::Image { .. } | ChatPart::Other(_) => None,
                });
                texts.collect::<Vec<_>>().join("\n")
            }
        }
    }
}

/// What a message says.
#[derive(Debug, Clone, PartialEq)]
pub enum ChatContent {
    /// Text.
    Text(String),
    /// Several parts.
    Parts(Vec<ChatPart>),
}

/// A part of a message.
#[derive(Debug, Clone, PartialEq)]
pub enum ChatPart {
    /// Text.
    Text(String),
    /// A picture, by address or as a `data:` URL.
    Image {
        /// The address.
        url: String,
        /// `low`, `high` or `auto`.
        detail: Option<String>,
    },
    /// Anything else, for example a sound. It goes to providers that speak OpenAI's shape; the others refuse it.
    Other(Value),
}

/// A function that a model may ask for.
#[derive(Debug, Clone, PartialEq)]
pub struct ChatTool {
    /// Its name.
    pub name: String,
    /// What it does.
    pub description: Option<String>,
    /// JSON schema of its arguments, an object. `None` takes no arguments.
    pub parameters: Option<Value>,
    /// Whether the arguments must follow the schema to the letter. `None` leaves it to the provider.
    pub strict: Option<bool>,
}

/// Whether a model asks for a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolChoice {
    /// As it sees fit.
    Auto,
    /// Never.
    Never,
    /// Always, for one of its choice.
    Required,
    /// Always, for this one.
    Function(String),
}

/// The form of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum ResponseFormat {
    /// Text.
    Text,
    /// A JSON object of any shape.
    JsonObject,
    /// JSON that follows a schema.
    JsonSchema {
        /// A name of the schema.
        name: String,
        /// What it is for.
        description: Option<String>,
        /// The schema, an object.
        schema: Value,
        /// Whether it must be followed to the letter. `None` leaves it to the provider.
        strict: Option<bool>,
    },
}

/// A tool that a model asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolCall {
    /// Names this call in its result.
    pub id: String,
    /// The function.
    pub name: String,
    /// Its arguments: JSON, as the model wrote it.
    pub arguments: String,
    /// Fields that have no place here. Google's signature of a thought is kept under `extra_content`, and goes back to Google.
    pub extra: Map<String, Value>,
}

/// A whole answer.
#[derive(Debug, Clone, PartialEq)]
pub struct ChatResponse {
    /// The provider's name of the answer.
    pub id: String,
    /// The model that answered, as the provider calls it: often more exact than the request.
    pub model: String,
    /// What it said, with the role `assistant`.
    pub message: ChatMessage,
    /// Why it stopped.
    pub finish_reason: FinishReason,
    /// What the provider counted. `None` where it gave no count that can be believed: then it is estimated, and marked so.
    pub usage: Option<Usage>,
}

/// Why a model stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FinishReason {
    /// It was done, or met a stop text.
    Stop,
    /// The maximum of output tokens was reached, or the model's window was full.
    Length,
    /// It asks for tools.
    ToolCalls,
    /// The provider held the answer, or its rest, back.
    ContentFilter,
    /// A reason that only this provider gives, in its own word.
    Other(String),
}

impl FinishReason {
    /// The word in bodies.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::ToolCalls => "tool_calls",
            Self::ContentFilter => "content_filter",
            Self::Other(word) => word,
        }
    }
}

/// A piece of an answer that is streamed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ChatChunk {
    /// The provider's name of the answer; the same in every piece.
    pub id: String,
    /// The model that answers.
    pub model: String,
    /// What is new.
    pub delta: ChatDelta,
    /// Why the model stopped, in the last piece that has content.
    pub finish_reason: Option<FinishReason>,
    /// What the provider counted for the whole answer. In the last piece; none at all where it does not say.
    pub usage: Option<Usage>,
}

/// What a piece adds to the message.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ChatDelta {
    /// Text.
    pub content: Option<String>,
    /// Text of a refusal.
    pub refusal: Option<String>,
    /// Parts of calls of tools.
    pub tool_calls: Vec<ToolCallDelta>,
    /// Fields that have no place here, for example `reasoning_content`.
    pub extra: Map<String, Value>,
}

/// What a piece adds to a call of a tool.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ToolCallDelta {
    /// Which call of the message, from 0.
    pub index: usize,
    /// Its id, in its first part.
    pub id: Option<String>,
    /// Its function, in its first part.
    pub name: Option<String>,
    /// What is added to its arguments.
    pub arguments: Option<String>,
    /// Fields that have no place here.
    pub extra: Map<String, Value>,
}

impl ChatRequest {
    /// Fails with InvalidInput where a bound of `limits` is passed or a number is out of range.
    pub fn check(&self) -> Result<()> {
        check_model_name(&self.model)?;
        within("messages", self.messages.len(), limits::CHAT_MESSAGES_MAX)?;
        within("tools", self.tools.len(), limits::CHAT_TOOLS_MAX)?;
        within("stop", self.stop.len(), limits::CHAT_STOPS_MAX)?;
        if self.messages.is_empty() {
            return Err(Error::invalid("messages must hold at least one message"));
        }
        for message in &self.messages {
            within("tool_calls of a message", message.tool_calls.len(), limits::CHAT_TOOL_CALLS_MAX)?;
            if let Some(ChatContent::Parts(parts)) = &message.content {
                within("the parts of a message", parts.len(), limits::CHAT_PARTS_MAX)?;
            }
        }
        for (name, number, most) in [("temperature", self.temperature, 2.0), ("top_p", self.top_p, 1.0)] {
            if number.is_some_and(|n| !(0.0..=most).contains(&n)) {
                return Err(Error::invalid(format!("{name} must be from 0 to {most}")));
            }
        }
        if self.max_output_tokens.is_some_and(|n| n == 0 || n > limits::CHAT_OUTPUT_TOKENS_MAX) {
            let most = limits::CHAT_OUTPUT_TOKENS_MAX;
            return Err(Error::invalid(format!("max_completion_tokens must be from 1 to {most}")));
        }
        Ok(())
    }
}

/// Fails with InvalidInput where this cannot be the name of a model.
pub fn check_model_name(name: &str) -> Result<()> {
    let sane = name.chars().all(|c| !c.is_control() && !c.is_whitespace());
    if name.is_empty() || name.len() > limits::NAME_BYTES_MAX || !sane {
        let most = limits::NAME_BYTES_MAX;
        return Err(Error::invalid(format!("model must be a name of 1 to {most} bytes without blanks")));
    }
    Ok(())
}

fn within(what: &str, count: usize, most: usize) -> Result<()> {
    if count > most {
        return Err(Error::invalid(format!("{what} must be at most {most}, and these are {count}")));
    }
    Ok(())
}

/// The whole answer, put together from its pieces.
#[derive(Debug, Default)]
pub struct ChatFold {
    id: String,
    model: String,
    content: Option<String>,
    refusal: Option<String>,
    calls: Vec<ToolCall>,
    extra: Map<String, Value>,
    finish: Option<FinishReason>,
    usage: Option<Usage>,
}

impl ChatFold {
    /// Adds the next piece. Parts of calls past [`limits::CHAT_TOOL_CALLS_MAX`] are left out.
    pub fn push(&mut self, chunk: &ChatChunk) {
        if self.id.is_empty() {
            self.id.clone_from(&chunk.id);
        }
        if self.model.is_empty() {
            self.model.clone_from(&chunk.model);
        }
        for (to, from) in [(&mut self.content, &chunk.delta.content), (&mut self.refusal, &chunk.delta.refusal)] {
            if let Some(text) = from {
                to.get_or_insert_default().push_str(text);
            }
        }
        for part in &chunk.delta.tool_calls {
            if part.index >= limits::CHAT_TOOL_CALLS_MAX {
                continue;
            }
            while self.calls.len() <= part.index {
                let (id, name, arguments) = (String::new(), String::new(), String::new());
                self.calls.push(ToolCall { id, name, arguments, extra: Map::new() });
            }
            let call = &mut self.calls[part.index];
            if let Some(id) = &part.id {
                call.id.clone_from(id);
            }
            call.name.push_str(part.name.as_deref().unwrap_or_default());
            call.arguments.push_str(part.arguments.as_deref().unwrap_or_default());
            add(&mut call.extra, &part.extra);
        }
        add(&mut self.extra, &chunk.delta.extra);
        if chunk.finish_reason.is_some() {
            self.finish.clone_from(&chunk.finish_reason);
        }
        self.usage = chunk.usage.or(self.usage);
    }

    /// Everything that was produced so far, as text: for an estimate where the provider gives no usage.
    pub fn produced(&self) -> String {
        self.message().produced()
    }

    /// Whether the model said why it stopped: the answer came to its end.
    pub fn is_finished(&self) -> bool {
        self.finish.is_some()
    }

    /// The answer as far as it came. Without a reason for its end, it stopped.
    pub fn response(self) -> ChatResponse {
        let message = self.message();
        let finish_reason = self.finish.unwrap_or(FinishReason::Stop);
        ChatResponse { id: self.id, model: self.model, message, finish_reason, usage: self.usage }
    }

    fn message(&self) -> ChatMessage {
        ChatMessage {
            content: self.content.clone().map(ChatContent::Text),
            tool_calls: self.calls.clone(),
            refusal: self.refusal.clone(),
            extra: self.extra.clone(),
            ..ChatMessage::empty(ChatRole::Assistant)
        }
    }
}

impl ChatMessage {
    /// Everything that a model wrote in it, as text: content, refusal, calls of tools and what it shows of its reasoning.
    pub fn produced(&self) -> String {
        let mut text = self.plain_text();
        text.push_str(self.refusal.as_deref().unwrap_or_default());
        for call in &self.tool_calls {
            text.push_str(&call.name);
            text.push_str(&call.arguments);
        }
        for shown in self.extra.values().filter_map(Value::as_str) {
            text.push_str(shown);
        }
        text
    }
}

/// Texts grow, anything else is replaced.
fn add(to: &mut Map<String, Value>, from: &Map<String, Value>) {
    for (name, value) in from {
        match (to.get_mut(name), value) {
            (Some(Value::String(text)), Value::String(more)) => text.push_str(more),
            _ => {
                to.insert(name.clone(), value.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests;
