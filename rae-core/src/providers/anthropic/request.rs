//! Requests in Anthropic's shape.

use crate::{
    limits::CHAT_OUTPUT_TOKENS_DEFAULT,
    model::{ChatContent, ChatMessage, ChatPart, ChatRequest, ChatRole, ResponseFormat, ToolChoice},
};
use serde_json::{Map, Value, json};

/// The body, or what cannot be asked.
pub(super) fn body(request: &ChatRequest) -> Result<Map<String, Value>, String> {
    let (system, messages) = messages(&request.messages)?;
    let mut body = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            body.insert(name.to_owned(), value);
        }
    };
    put("model", Some(request.model.as_str().into()));
    // It has no default of its own.
    put("max_tokens", Some(request.max_output_tokens.unwrap_or(CHAT_OUTPUT_TOKENS_DEFAULT).into()));
    put("system", (!system.is_empty()).then(|| system.into()));
    put("messages", Some(messages.into()));
    put("temperature", request.temperature.map(Value::from));
    put("top_p", request.top_p.map(Value::from));
    put("stop_sequences", (!request.stop.is_empty()).then(|| request.stop.iter().map(String::as_str).collect()));
    put("metadata", request.user.as_ref().map(|user| json!({"user_id": user})));
    put("output_config", output_config(request.response_format.as_ref())?);
    if !request.tools.is_empty() {
        put("tools", Some(tools(request)));
        put("tool_choice", tool_choice(request));
    }
    Ok(body)
}

fn output_config(format: Option<&ResponseFormat>) -> Result<Option<Value>, String> {
    match format {
        None | Some(ResponseFormat::Text) => Ok(None),
        Some(ResponseFormat::JsonObject) => {
            Err("it gives JSON by a schema only: use the response_format json_schema".to_owned())
        }
        Some(ResponseFormat::JsonSchema { schema, .. }) => {
            Ok(Some(json!({"format": {"type": "json_schema", "schema": schema}})))
        }
    }
}

fn tools(request: &ChatRequest) -> Value {
    let tool = |tool: &crate::model::ChatTool| {
        let schema = tool.parameters.clone().unwrap_or_else(|| json!({"type": "object", "properties": {}}));
        let mut out = json!({"name": tool.name, "input_schema": schema});
        if let Some(description) = &tool.description {
            out["description"] = description.as_str().into();
        }
        if tool.strict == Some(true) {
            out["strict"] = true.into();
        }
        out
    };
    request.tools.iter().map(tool).collect()
}

fn tool_choice(request: &ChatRequest) -> Option<Value> {
    let alone = request.extra.get("parallel_tool_calls") == Some(&Value::Bool(false));
    let mut choice = match &request.tool_choice {
        None if !alone => return None,
        None | Some(ToolChoice::Auto) => json!({"type": "auto"}),
        Some(ToolChoice::Never) => return Some(json!({"type": "none"})),
        Some(ToolChoice::Required) => json!({"type": "any"}),
        Some(ToolChoice::Function(name)) => json!({"type": "tool", "name": name}),
    };
    if alone {
        choice["disable_parallel_tool_use"] = true.into();
    }
    Some(choice)
}

/// The system prompt, and the other messages; neighbours of one role are one message.
fn messages(messages: &[ChatMessage]) -> Result<(String, Vec<Value>), String> {
    let (mut system, mut turns) = (Vec::new(), Vec::<(&str, Vec<Value>)>::new());
    for message in messages {
        let (role, blocks) = match message.role {
            ChatRole::System | ChatRole::Developer => {
                system.push(message.plain_text());
                continue;
            }
            ChatRole::User => ("user", blocks(message)?),
            ChatRole::Assistant => ("assistant", assistant(message)?),
            ChatRole::Tool => ("user", vec![tool_result(message)?]),
        };
        match turns.last_mut() {
            Some((last, held)) if *last == role => held.extend(blocks),
            _ => turns.push((role, blocks)),
        }
    }
    // It takes no message without content.
    turns.retain(|(_, blocks)| !blocks.is_empty());
    if turns.is_empty() {
        return Err("it needs a message that is not the system's".to_owned());
    }
    let turns = turns.into_iter().map(|(role, blocks)| json!({"role": role, "content": blocks})).collect();
    Ok((system.join("\n\n"), turns))
}

/// What a message says. It takes no empty texts, so those are left out.
fn blocks(message: &ChatMessage) -> Result<Vec<Value>, String> {
    let text = |text: &str| (!text.trim().is_empty()).then(|| json!({"type": "text", "text": text}));
    match &message.content {
        None => Ok(Vec::new()),
        Some(ChatContent::Text(content)) => Ok(text(content).into_iter().collect()),
        Some(ChatContent::Parts(parts)) => {
            let block = |part: &ChatPart| match part {
                ChatPart::Text(content) => Ok(text(content)),
                ChatPart::Image { url, .. } => image(url).map(Some),
                ChatPart::Other(_) => Err("it takes texts and pictures only".to_owned()),
            };
            let blocks = parts.iter().map(block).collect::<Result<Vec<_>, _>>()?;
            Ok(blocks.into_iter().flatten().collect())
        }
    }
}

fn image(url: &str) -> Result<Value, String> {
    let source = if url.starts_with("data:") {
        let (media, data) = crate::providers::data_url(url).ok_or("a picture's data: URL must hold base64")?;
        json!({"type": "base64", "media_type": media, "data": data})
    } else {
        json!({"type": "url", "url": url})
    };
    Ok(json!({"type": "image", "source": source}))
}

fn assistant(message: &ChatMessage) -> Result<Vec<Value>, String> {
    let mut out = blocks(message)?;
    for call in &message.tool_calls {
        let input = crate::providers::arguments(call)?;
        out.push(json!({"type": "tool_use", "id": call.id, "name": call.name, "input": input}));
    }
    Ok(out)
}

fn tool_result(message: &ChatMessage) -> Result<Value, String> {
    let id = message.tool_call_id.as_ref().ok_or("a message of the role tool has no tool_call_id")?;
    Ok(json!({"type": "tool_result", "tool_use_id": id, "content": blocks(message)?}))
}
