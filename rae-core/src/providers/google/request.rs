//! Requests in Google's shape.

use crate::model::{
    ChatContent, ChatMessage, ChatPart, ChatRequest, ChatRole, ChatTool, ResponseFormat, ToolCall, ToolChoice,
};
use serde_json::{Map, Value, json};

/// How ids of calls begin that Google gave none. They mean nothing to it, so they are not sent back.
pub(super) const OWN_ID: &str = "call_rae_";
/// What Google takes for the signature of a call that another model made: its third generation refuses calls without any.
const FOREIGN_SIGNATURE: &str = "skip_thought_signature_validator";

/// The body, or what cannot be asked.
pub(super) fn body(request: &ChatRequest) -> Result<Map<String, Value>, String> {
    let (system, contents) = contents(request)?;
    let mut body = Map::new();
    body.insert("contents".to_owned(), contents.into());
    if !system.is_empty() {
        body.insert("systemInstruction".to_owned(), json!({"parts": [{"text": system}]}));
    }
    if !request.tools.is_empty() {
        let declarations: Value = request.tools.iter().map(declaration).collect();
        body.insert("tools".to_owned(), json!([{"functionDeclarations": declarations}]));
        if let Some(choice) = &request.tool_choice {
            body.insert("toolConfig".to_owned(), json!({"functionCallingConfig": tool_choice(choice)}));
        }
    }
    let config = generation_config(request);
    if !config.is_empty() {
        body.insert("generationConfig".to_owned(), Value::Object(config));
    }
    Ok(body)
}

fn generation_config(request: &ChatRequest) -> Map<String, Value> {
    let mut config = Map::new();
    let stops = (!request.stop.is_empty()).then(|| request.stop.iter().map(String::as_str).collect());
    let (media, schema) = match &request.response_format {
        None | Some(ResponseFormat::Text) => (None, None),
        Some(ResponseFormat::JsonObject) => (Some("application/json".into()), None),
        Some(ResponseFormat::JsonSchema { schema, .. }) => (Some("application/json".into()), Some(schema.clone())),
    };
    for (name, value) in [
        ("temperature", request.temperature.map(Value::from)),
        ("topP", request.top_p.map(Value::from)),
        ("stopSequences", stops),
        ("maxOutputTokens", request.max_output_tokens.map(Value::from)),
        ("responseMimeType", media),
        ("responseJsonSchema", schema),
    ] {
        config.extend(value.map(|value| (name.to_owned(), value)));
    }
    config
}

fn declaration(tool: &ChatTool) -> Value {
    let mut out = json!({"name": tool.name});
    if let Some(description) = &tool.description {
        out["description"] = description.as_str().into();
    }
    if let Some(parameters) = &tool.parameters {
        out["parametersJsonSchema"] = parameters.clone();
    }
    out
}

fn tool_choice(choice: &ToolChoice) -> Value {
    match choice {
        ToolChoice::Auto => json!({"mode": "AUTO"}),
        ToolChoice::Never => json!({"mode": "NONE"}),
        ToolChoice::Required => json!({"mode": "ANY"}),
        ToolChoice::Function(name) => json!({"mode": "ANY", "allowedFunctionNames": [name]}),
    }
}

/// The system instruction, and the other messages; neighbours of one role are one message.
fn contents(request: &ChatRequest) -> Result<(String, Vec<Value>), String> {
    let (mut system, mut turns) = (Vec::new(), Vec::<(&str, Vec<Value>)>::new());
    for (place, message) in request.messages.iter().enumerate() {
        let (role, parts) = match message.role {
            ChatRole::System | ChatRole::Developer => {
                system.push(message.plain_text());
                continue;
            }
            ChatRole::User => ("user", parts(message)?),
            ChatRole::Assistant => ("model", assistant(message, &request.model)?),
            ChatRole::Tool => ("user", vec![tool_result(message, &request.messages[..place])?]),
        };
        match turns.last_mut() {
            Some((last, held)) if *last == role => held.extend(parts),
            _ => turns.push((role, parts)),
        }
    }
    turns.retain(|(_, parts)| !parts.is_empty());
    if turns.is_empty() {
        return Err("it needs a message that is not the system's".to_owned());
    }
    let turns = turns.into_iter().map(|(role, parts)| json!({"role": role, "parts": parts})).collect();
    Ok((system.join("\n\n"), turns))
}

fn parts(message: &ChatMessage) -> Result<Vec<Value>, String> {
    match &message.content {
        None => Ok(Vec::new()),
        Some(ChatContent::Text(text)) if text.is_empty() => Ok(Vec::new()),
        Some(ChatContent::Text(text)) => Ok(vec![json!({"text": text})]),
        Some(ChatContent::Parts(parts)) => {
            let part = |part: &ChatPart| match part {
                ChatPart::Text(text) => Ok(json!({"text": text})),
                ChatPart::Image { url, .. } => {
                    let (media, data) = crate::providers::data_url(url)
                        .ok_or("it takes pictures as data: URLs in base64 only, and fetches none")?;
                    Ok(json!({"inlineData": {"mimeType": media, "data": data}}))
                }
                ChatPart::Other(_) => Err("it takes texts and pictures only".to_owned()),
            };
            parts.iter().map(part).collect()
        }
    }
}

fn signature(call: &ToolCall) -> Option<&str> {
    call.extra.get("extra_content")?.pointer("/google/thought_signature")?.as_str()
}

fn assistant(message: &ChatMessage, model: &str) -> Result<Vec<Value>, String> {
    let mut out = parts(message)?;
    let strict = model.trim_start_matches("models/").starts_with("gemini-3");
    let foreign = strict && !message.tool_calls.iter().any(|call| signature(call).is_some());
    for (place, call) in message.tool_calls.iter().enumerate() {
        let mut part = json!({"functionCall": {"name": call.name, "args": crate::providers::arguments(call)?}});
        if !call.id.is_empty() && !call.id.starts_with(OWN_ID) {
            part["functionCall"]["id"] = call.id.as_str().into();
        }
        // The first of several calls at once carries it.
        if let Some(signature) = signature(call).or_else(|| (foreign && place == 0).then_some(FOREIGN_SIGNATURE)) {
            part["thoughtSignature"] = signature.into();
        }
        out.push(part);
    }
    Ok(out)
}

/// The result of a tool. Google wants the name of the function, which the call has.
fn tool_result(message: &ChatMessage, earlier: &[ChatMessage]) -> Result<Value, String> {
    let id = message.tool_call_id.as_deref().unwrap_or_default();
    let mut calls = earlier.iter().rev().flat_map(|m| m.tool_calls.iter());
    let called = calls.find(|call| call.id == id).map(|call| call.name.as_str());
    let name = called.or(message.name.as_deref()).ok_or("a message of the role tool answers no call before it")?;
    let text = message.plain_text();
    let response = match serde_json::from_str(&text) {
        Ok(Value::Object(fields)) => Value::Object(fields),
        _ => json!({"result": text}),
    };
    let mut out = json!({"functionResponse": {"name": name, "response": response}});
    if !id.is_empty() && !id.starts_with(OWN_ID) {
        out["functionResponse"]["id"] = id.into();
    }
    Ok(out)
}
