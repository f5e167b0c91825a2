//! Chat requests and answers in the shape of OpenAI's chat completions: read from it, within bounds, and written to it.

use super::{
    ChatChunk, ChatContent, ChatDelta, ChatMessage, ChatPart, ChatRequest, ChatResponse, ChatRole, ChatTool,
    FinishReason, ResponseFormat, ToolCall, ToolCallDelta, ToolChoice,
};
use crate::{
    error::{Error, Result},
    limits,
};
use serde_json::{Map, Value, json};

/// How a body asks to be answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Delivery {
    /// In pieces.
    pub stream: bool,
    /// With the usage in a piece of its own at the end.
    pub include_usage: bool,
}

/// Fields that make a call dearer than its tokens at the model's price, or send it to another model. A body with one of them is
/// refused: nobody could say beforehand what it costs at most.
const PRICED_OTHERWISE: &[&str] = &[
    "audio",
    "cache_control",
    "fallbacks",
    "image_config",
    "models",
    "plugins",
    "preset",
    "provider",
    "route",
    "search_parameters",
    "speed",
    "web_search_options",
];
/// Older names of tools, which only OpenAI's shape has.
const OUTDATED: &[&str] = &["function_call", "functions"];

fn wrong(message: impl Into<String>) -> Error {
    Error::invalid(message)
}

fn unsupported(message: impl Into<String>) -> Error {
    Error::invalid(message).with_code("unsupported_option")
}

impl ChatRequest {
    /// Reads a body of chat completions. InvalidInput says which field is wrong. `max_tokens` and `max_completion_tokens` are both
    /// understood (the second one counts); fields that are not known stay in `extra`. Code `unsupported_option`: more than one
    /// answer (`n`), tools that are not functions, and what cannot be priced beforehand (a service tier above the default, web
    /// search, plugins, other models to fall back on, sound).
    pub fn from_openai(body: Value) -> Result<(Self, Delivery)> {
        if !depth_within(&body, limits::CHAT_DEPTH_MAX) {
            return Err(wrong(format!("the body is nested more than {} deep", limits::CHAT_DEPTH_MAX)));
        }
        if text_bytes(&body) > limits::CHAT_REQUEST_BYTES_MAX {
            let most = limits::CHAT_REQUEST_BYTES_MAX >> 20;
            return Err(wrong(format!("the body holds more than {most} MiB of text")));
        }
        let Value::Object(mut body) = body else { return Err(wrong("the body must be an object")) };
        body.retain(|_, value| !value.is_null());
        for name in PRICED_OTHERWISE.iter().chain(OUTDATED) {
            if body.contains_key(*name) {
                return Err(unsupported(format!("{name} is not supported")));
            }
        }
        check_options(&mut body)?;
        let delivery = delivery(&mut body)?;
        let limit = (whole(&mut body, "max_completion_tokens")?, whole(&mut body, "max_tokens")?);
        let request = Self {
            model: text(&mut body, "model")?.ok_or_else(|| wrong("model is missing"))?,
            messages: list(&mut body, "messages")?.into_iter().map(message).collect::<Result<_>>()?,
            tools: list(&mut body, "tools")?.into_iter().map(tool).collect::<Result<_>>()?,
            tool_choice: body.remove("tool_choice").map(tool_choice).transpose()?,
            response_format: body.remove("response_format").map(response_format).transpose()?,
            temperature: number(&mut body, "temperature")?,
            top_p: number(&mut body, "top_p")?,
            stop: stop(body.remove("stop"))?,
            max_output_tokens: limit.0.or(limit.1),
            user: text(&mut body, "user")?,
            extra: body,
        };
        request.check()?;
        Ok((request, delivery))
    }

    /// The body of chat completions, without `stream`. `limit` names the field of the maximum: `max_completion_tokens` as OpenAI
    /// wants it, or `max_tokens` as most compatible servers know it.
    pub fn to_openai(&self, limit: &str) -> Map<String, Value> {
        let mut body = self.extra.clone();
        let mut put = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                body.insert(name.to_owned(), value);
            }
        };
        put("model", Some(self.model.as_str().into()));
        put("messages", Some(self.messages.iter().map(ChatMessage::to_openai).collect()));
        put("tools", (!self.tools.is_empty()).then(|| self.tools.iter().map(ChatTool::to_openai).collect()));
        put("tool_choice", self.tool_choice.as_ref().map(ToolChoice::to_openai));
        put("response_format", self.response_format.as_ref().map(ResponseFormat::to_openai));
        put("temperature", self.temperature.map(Value::from));
        put("top_p", self.top_p.map(Value::from));
        put("stop", (!self.stop.is_empty()).then(|| self.stop.iter().map(String::as_str).collect()));
        put(limit, self.max_output_tokens.map(Value::from));
        put("user", self.user.as_deref().map(Value::from));
        body
    }
}

/// Options whose values decide whether they are taken.
fn check_options(body: &mut Map<String, Value>) -> Result<()> {
    if let Some(n) = body.remove("n")
        && n.as_u64() != Some(1)
    {
        return Err(unsupported("n must be 1: one answer to a request"));
    }
    if let Some(tier) = body.get("service_tier")
        && !matches!(tier.as_str(), Some("auto" | "default" | "flex"))
    {
        return Err(unsupported("service_tier must be auto, default or flex: others have prices of their own"));
    }
    if let Some(modalities) = body.get("modalities")
        && *modalities != json!(["text"])
    {
        return Err(unsupported("modalities must be [\"text\"]"));
    }
    Ok(())
}

fn delivery(body: &mut Map<String, Value>) -> Result<Delivery> {
    let stream = flag(body, "stream")?.unwrap_or(false);
    let include_usage = match body.remove("stream_options") {
        None => false,
        Some(Value::Object(mut options)) => flag(&mut options, "include_usage")?.unwrap_or(false),
        Some(_) => return Err(wrong("stream_options must be an object")),
    };
    Ok(Delivery { stream, include_usage })
}

impl ChatMessage {
    /// The message in a body.
    pub fn to_openai(&self) -> Value {
        let mut out = self.extra.clone();
        out.insert("role".to_owned(), self.role.as_str().into());
        out.insert("content".to_owned(), self.content.as_ref().map_or(Value::Null, ChatContent::to_openai));
        for (name, text) in [("name", &self.name), ("tool_call_id", &self.tool_call_id), ("refusal", &self.refusal)] {
            if let Some(text) = text {
                out.insert(name.to_owned(), text.as_str().into());
            }
        }
        if !self.tool_calls.is_empty() {
            let calls = self.tool_calls.iter().map(ToolCall::to_openai).collect();
            out.insert("tool_calls".to_owned(), calls);
        }
        Value::Object(out)
    }

    /// Reads a message of a body or of an answer.
    pub fn from_openai(value: Value) -> Result<Self> {
        message(value)
    }
}

impl ChatContent {
    fn to_openai(&self) -> Value {
        match self {
            Self::Text(text) => text.as_str().into(),
            Self::Parts(parts) => parts
                .iter()
                .map(|part| match part {
                    ChatPart::Text(text) => json!({"type": "text", "text": text}),
                    ChatPart::Image { url, detail: None } => json!({"type": "image_url", "image_url": {"url": url}}),
                    ChatPart::Image { url, detail: Some(detail) } => {
                        json!({"type": "image_url", "image_url": {"url": url, "detail": detail}})
                    }
                    ChatPart::Other(value) => value.clone(),
                })
                .collect(),
        }
    }
}

impl ToolCall {
    fn to_openai(&self) -> Value {
        let mut out = self.extra.clone();
        out.insert("id".to_owned(), self.id.as_str().into());
        out.insert("type".to_owned(), "function".into());
        out.insert("function".to_owned(), json!({"name": self.name, "arguments": self.arguments}));
        Value::Object(out)
    }
}

impl ChatTool {
    fn to_openai(&self) -> Value {
        let mut function = Map::new();
        function.insert("name".to_owned(), self.name.as_str().into());
        let description = self.description.as_deref().map(Value::from);
        for (name, value) in [
            ("description", description),
            ("parameters", self.parameters.clone()),
            ("strict", self.strict.map(Value::from)),
        ] {
            function.extend(value.map(|value| (name.to_owned(), value)));
        }
        json!({"type": "function", "function": function})
    }
}

impl ToolChoice {
    fn to_openai(&self) -> Value {
        match self {
            Self::Auto => "auto".into(),
            Self::Never => "none".into(),
            Self::Required => "required".into(),
            Self::Function(name) => json!({"type": "function", "function": {"name": name}}),
        }
    }
}

impl ResponseFormat {
    fn to_openai(&self) -> Value {
        match self {
            Self::Text => json!({"type": "text"}),
            Self::JsonObject => json!({"type": "json_object"}),
            Self::JsonSchema { name, description, schema, strict } => {
                let mut inner = Map::new();
                inner.insert("name".to_owned(), name.as_str().into());
                inner.insert("schema".to_owned(), schema.clone());
                inner.extend(description.as_deref().map(|d| ("description".to_owned(), d.into())));
                inner.extend(strict.map(|s| ("strict".to_owned(), s.into())));
                json!({"type": "json_schema", "json_schema": inner})
            }
        }
    }
}

impl ChatResponse {
    /// The body of an answer. `created` is in seconds since 1970.
    pub fn to_openai(&self, created: i64) -> Value {
        let mut message = self.message.to_openai();
        // Clients of OpenAI expect the field.
        if let Some(fields) = message.as_object_mut() {
            fields.entry("refusal").or_insert(Value::Null);
        }
        let choice =
            json!({"index": 0, "message": message, "logprobs": null, "finish_reason": self.finish_reason.as_str()});
        let mut body = json!({
            "id": self.id, "object": "chat.completion", "created": created, "model": self.model, "choices": [choice],
        });
        if let (Some(usage), Some(body)) = (&self.usage, body.as_object_mut()) {
            body.insert("usage".to_owned(), usage.to_openai());
        }
        body
    }
}

impl ChatChunk {
    /// The data of one event of a streamed answer. A piece that only has usage has no choices, as OpenAI sends it. `first` adds the
    /// role, which clients expect in the first piece.
    pub fn to_openai(&self, created: i64, first: bool) -> Value {
        let mut body = json!({
            "id": self.id, "object": "chat.completion.chunk", "created": created, "model": self.model, "choices": [],
        });
        let Some(fields) = body.as_object_mut() else { return body };
        if let Some(usage) = &self.usage {
            fields.insert("usage".to_owned(), usage.to_openai());
        }
        if first || self.finish_reason.is_some() || self.delta != ChatDelta::default() || self.usage.is_none() {
            let mut delta = self.delta.to_openai();
            if first {
                delta.insert("role".to_owned(), "assistant".into());
            }
            let finish = self.finish_reason.as_ref().map(FinishReason::as_str);
            fields.insert("choices".to_owned(), json!([{"index": 0, "delta": delta, "finish_reason": finish}]));
        }
        body
    }
}

impl ChatDelta {
    fn to_openai(&self) -> Map<String, Value> {
        let mut out = self.extra.clone();
        for (name, text) in [("content", &self.content), ("refusal", &self.refusal)] {
            if let Some(text) = text {
                out.insert(name.to_owned(), text.as_str().into());
            }
        }
        if !self.tool_calls.is_empty() {
            out.insert("tool_calls".to_owned(), self.tool_calls.iter().map(ToolCallDelta::to_openai).collect());
        }
        out
    }
}

impl ToolCallDelta {
    fn to_openai(&self) -> Value {
        let (mut out, mut function) = (self.extra.clone(), Map::new());
        out.insert("index".to_owned(), self.index.into());
        if let Some(id) = &self.id {
            out.insert("id".to_owned(), id.as_str().into());
            out.insert("type".to_owned(), "function".into());
        }
        for (name, text) in [("name", &self.name), ("arguments", &self.arguments)] {
            if let Some(text) = text {
                function.insert(name.to_owned(), text.as_str().into());
            }
        }
        out.insert("function".to_owned(), Value::Object(function));
        Value::Object(out)
    }
}

fn message(value: Value) -> Result<ChatMessage> {
    let mut fields = object(value, "a message")?;
    if fields.contains_key("cache_control") {
        return Err(unsupported("cache_control is not supported"));
    }
    let role = text(&mut fields, "role")?.ok_or_else(|| wrong("a message has no role"))?;
    let role = ChatRole::parse(&role)
        .ok_or_else(|| wrong("the role of a message must be system, developer, user, assistant or tool"))?;
    Ok(ChatMessage {
        role,
        content: fields.remove("content").map(content).transpose()?,
        name: text(&mut fields, "name")?,
        tool_calls: list(&mut fields, "tool_calls")?.into_iter().map(tool_call).collect::<Result<_>>()?,
        tool_call_id: text(&mut fields, "tool_call_id")?,
        refusal: text(&mut fields, "refusal")?,
        extra: fields,
    })
}

fn content(value: Value) -> Result<ChatContent> {
    match value {
        Value::String(text) => Ok(ChatContent::Text(text)),
        Value::Array(parts) => Ok(ChatContent::Parts(parts.into_iter().map(part).collect::<Result<_>>()?)),
        _ => Err(wrong("the content of a message must be text or a list of parts")),
    }
}

fn part(value: Value) -> Result<ChatPart> {
    let place = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    match place("/type").as_deref() {
        Some("text") => place("/text").map(ChatPart::Text).ok_or_else(|| wrong("a part of the type text has no text")),
        Some("image_url") => {
            let url = place("/image_url/url").ok_or_else(|| wrong("a part of the type image_url has no url"))?;
            let head = url.chars().take(11).collect::<String>().to_ascii_lowercase();
            if head.starts_with("data:") && head != "data:image/" {
                return Err(unsupported("an image_url may hold a picture only"));
            }
            let detail = place("/image_url/detail");
            if detail.as_deref().is_some_and(|detail| !["auto", "high", "low"].contains(&detail)) {
                return Err(unsupported(
                    "detail may be auto, low or high: what others cost is not known before the call",
                ));
            }
            Ok(ChatPart::Image { url, detail })
        }
        Some(_) => Ok(ChatPart::Other(value)),
        None => Err(wrong("a part of a message has no type")),
    }
}

fn tool_call(value: Value) -> Result<ToolCall> {
    let mut fields = object(value, "a tool call")?;
    function_type(&mut fields)?;
    let mut function = object(fields.remove("function").unwrap_or_default(), "the function of a tool call")?;
    Ok(ToolCall {
        id: text(&mut fields, "id")?.unwrap_or_default(),
        name: text(&mut function, "name")?.ok_or_else(|| wrong("a tool call has no name"))?,
        arguments: text(&mut function, "arguments")?.unwrap_or_default(),
        extra: fields,
    })
}

fn tool(value: Value) -> Result<ChatTool> {
    let mut fields = object(value, "a tool")?;
    function_type(&mut fields)?;
    let mut function = object(fields.remove("function").unwrap_or_default(), "the function of a tool")?;
    let parameters = function.remove("parameters").filter(|p| !p.is_null());
    if parameters.as_ref().is_some_and(|p| !p.is_object()) {
        return Err(wrong("the parameters of a tool must be a schema of an object"));
    }
    let name = text(&mut function, "name")?.ok_or_else(|| wrong("a tool has no name"))?;
    Ok(ChatTool {
        name,
        description: text(&mut function, "description")?,
        parameters,
        strict: flag(&mut function, "strict")?,
    })
}

fn function_type(fields: &mut Map<String, Value>) -> Result<()> {
    match text(fields, "type")?.as_deref() {
        None | Some("function") => Ok(()),
        Some(_) => Err(unsupported("tools must be of the type function")),
    }
}

fn tool_choice(value: Value) -> Result<ToolChoice> {
    match value.as_str() {
        Some("auto") => return Ok(ToolChoice::Auto),
        Some("none") => return Ok(ToolChoice::Never),
        Some("required") => return Ok(ToolChoice::Required),
        _ => {}
    }
    let name = value.pointer("/function/name").and_then(Value::as_str);
    name.map(|name| ToolChoice::Function(name.to_owned()))
        .ok_or_else(|| wrong("tool_choice must be auto, none, required, or name a function"))
}

fn response_format(value: Value) -> Result<ResponseFormat> {
    match value.get("type").and_then(Value::as_str) {
        Some("text") => Ok(ResponseFormat::Text),
        Some("json_object") => Ok(ResponseFormat::JsonObject),
        Some("json_schema") => {
            let mut fields = object(value, "response_format")?;
            let mut inner = object(fields.remove("json_schema").unwrap_or_default(), "json_schema")?;
            let schema = inner.remove("schema").filter(Value::is_object);
            Ok(ResponseFormat::JsonSchema {
                name: text(&mut inner, "name")?.ok_or_else(|| wrong("json_schema has no name"))?,
                description: text(&mut inner, "description")?,
                schema: schema.ok_or_else(|| wrong("the schema of json_schema must be an object"))?,
                strict: flag(&mut inner, "strict")?,
            })
        }
        _ => Err(wrong("the type of response_format must be text, json_object or json_schema")),
    }
}

fn stop(value: Option<Value>) -> Result<Vec<String>> {
    let wrong = || wrong("stop must be a text or a list of texts");
    match value {
        None => Ok(Vec::new()),
        Some(Value::String(text)) => Ok(vec![text]),
        Some(Value::Array(texts)) => {
            texts.into_iter().map(|t| t.as_str().map(str::to_owned).ok_or_else(wrong)).collect()
        }
        Some(_) => Err(wrong()),
    }
}

impl FinishReason {
    /// Reads the word of a body.
    pub fn parse(word: &str) -> Self {
        match word {
            "stop" | "" => Self::Stop,
            "length" => Self::Length,
            "tool_calls" | "function_call" => Self::ToolCalls,
            "content_filter" => Self::ContentFilter,
            other => Self::Other(other.chars().take(limits::ROLE_BYTES_MAX).collect()),
        }
    }
}

fn object(value: Value, what: &str) -> Result<Map<String, Value>> {
    match value {
        Value::Object(mut fields) => {
            fields.retain(|_, value| !value.is_null());
            Ok(fields)
        }
        _ => Err(wrong(format!("{what} must be an object"))),
    }
}

fn list(fields: &mut Map<String, Value>, name: &str) -> Result<Vec<Value>> {
    match fields.remove(name) {
        None => Ok(Vec::new()),
        Some(Value::Array(values)) => Ok(values),
        Some(_) => Err(wrong(format!("{name} must be a list"))),
    }
}

fn text(fields: &mut Map<String, Value>, name: &str) -> Result<Option<String>> {
    match fields.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(wrong(format!("{name} must be text"))),
    }
}

fn flag(fields: &mut Map<String, Value>, name: &str) -> Result<Option<bool>> {
    match fields.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(flag)) => Ok(Some(flag)),
        Some(_) => Err(wrong(format!("{name} must be true or false"))),
    }
}

fn number(fields: &mut Map<String, Value>, name: &str) -> Result<Option<f64>> {
    let value = fields.remove(name);
    value.map(|v| v.as_f64().ok_or_else(|| wrong(format!("{name} must be a number")))).transpose()
}

fn whole(fields: &mut Map<String, Value>, name: &str) -> Result<Option<u64>> {
    let value = fields.remove(name);
    value.map(|v| v.as_u64().ok_or_else(|| wrong(format!("{name} must be a whole number above 0")))).transpose()
}

/// Whether a value is nested at most so deep.
fn depth_within(value: &Value, most: usize) -> bool {
    match value {
        Value::Array(values) => most > 0 && values.iter().all(|v| depth_within(v, most - 1)),
        Value::Object(fields) => most > 0 && fields.values().all(|v| depth_within(v, most - 1)),
        _ => true,
    }
}

/// Bytes of all texts and names of a value, with a few for each other thing.
fn text_bytes(value: &Value) -> usize {
    const OTHER: usize = 8;
    match value {
        Value::String(text) => text.len() + OTHER,
        Value::Array(values) => OTHER + values.iter().map(text_bytes).sum::<usize>(),
        Value::Object(fields) => OTHER + fields.iter().map(|(name, v)| name.len() + text_bytes(v)).sum::<usize>(),
        _ => OTHER,
    }
}
