//! Answers in the shape of OpenAI's chat completions, read from it. What cannot be read says why, without quoting it.

use super::{ChatChunk, ChatDelta, ChatMessage, ChatResponse, ChatRole, FinishReason, ToolCallDelta, Usage};
use crate::limits::CHAT_TOOL_CALLS_MAX;
use serde_json::Value;

impl ChatResponse {
    /// Reads the body of an answer that is no error.
    pub(crate) fn from_openai(answer: Value) -> Result<Self, &'static str> {
        let Value::Object(mut answer) = answer else { return Err("it is no object") };
        let choice = answer.get_mut("choices").and_then(|choices| choices.get_mut(0)).map(Value::take);
        let Some(Value::Object(mut choice)) = choice else { return Err("it has no choices") };
        let Some(Value::Object(mut message)) = choice.remove("message") else { return Err("it has no message") };
        message.entry("role").or_insert_with(|| "assistant".into());
        let mut message = ChatMessage::from_openai(Value::Object(message)).map_err(|_| "its message")?;
        message.role = ChatRole::Assistant;
        // OpenAI sends lists that are nearly always empty.
        message.extra.retain(|_, value| value.as_array().is_none_or(|values| !values.is_empty()));
        if message.tool_calls.len() > CHAT_TOOL_CALLS_MAX {
            return Err("it calls too many tools");
        }
        let finish = choice.get("finish_reason").and_then(Value::as_str).unwrap_or_default();
        let text = |name: &str| answer.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        Ok(Self {
            id: text("id"),
            model: text("model"),
            message,
            finish_reason: FinishReason::parse(finish),
            usage: answer.get("usage").and_then(Usage::from_openai),
        })
    }
}

impl ChatChunk {
    /// Reads the data of an event of a streamed answer that is no error. Names that are missing are empty.
    pub(crate) fn from_openai(body: &Value) -> Result<Self, &'static str> {
        let text = |place: &str| body.pointer(place).and_then(Value::as_str);
        Ok(Self {
            id: text("/id").unwrap_or_default().to_owned(),
            model: text("/model").unwrap_or_default().to_owned(),
            delta: body.pointer("/choices/0/delta").map_or_else(|| Ok(ChatDelta::default()), delta)?,
            finish_reason: text("/choices/0/finish_reason").map(FinishReason::parse),
            usage: body.get("usage").and_then(Usage::from_openai),
        })
    }

    /// Whether it adds nothing to the answer; it may still have the usage.
    pub(crate) fn adds_nothing(&self) -> bool {
        self.finish_reason.is_none() && self.delta == ChatDelta::default()
    }
}

fn delta(value: &Value) -> Result<ChatDelta, &'static str> {
    let Value::Object(fields) = value else { return Ok(ChatDelta::default()) };
    let mut delta = ChatDelta::default();
    for (name, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
        match (name.as_str(), value) {
            ("content", Value::String(text)) => delta.content = Some(text.clone()).filter(|text| !text.is_empty()),
            ("refusal", Value::String(text)) => delta.refusal = Some(text.clone()),
            ("tool_calls", Value::Array(calls)) => {
                delta.tool_calls = calls.iter().enumerate().map(|(i, call)| part(i, call)).collect::<Result<_, _>>()?;
            }
            ("role" | "content" | "refusal" | "tool_calls", _) => {}
            _ => {
                delta.extra.insert(name.clone(), value.clone());
            }
        }
    }
    Ok(delta)
}

fn part(place: usize, call: &Value) -> Result<ToolCallDelta, &'static str> {
    // Servers that send whole calls may leave the index out.
    let index = call.get("index").and_then(Value::as_u64).map_or(Some(place), |index| usize::try_from(index).ok());
    let index = index.filter(|index| *index < CHAT_TOOL_CALLS_MAX);
    let text = |pointer: &str| call.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let known = ["index", "id", "type", "function"];
    let extra = call.as_object().into_iter().flatten().filter(|(name, _)| !known.contains(&name.as_str()));
    Ok(ToolCallDelta {
        index: index.ok_or("it calls too many tools")?,
        id: text("/id"),
        name: text("/function/name"),
        arguments: text("/function/arguments"),
        extra: extra.map(|(name, value)| (name.clone(), value.clone())).collect(),
    })
}
