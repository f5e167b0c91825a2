//! Tokens that are counted here: before a call, at most how many it reads; after it, how many it used where the provider does not
//! say. Pure.

use crate::{
    error::{Error, Result},
    model::{ChatContent, ChatMessage, ChatPart, ChatRequest, ResponseFormat, Usage},
    ports::TokenCounter,
};
use serde_json::{Map, Value};

/// Tokens that surround one message: its role, its name and the marks between messages.
const MESSAGE_TOKENS: u64 = 8;
/// Tokens that a request has beside its messages.
const REQUEST_TOKENS: u64 = 16;
/// What providers add where a request has tools or a schema: a few hundred tokens of instructions.
const TOOLS_TOKENS: u64 = 1_024;
/// Most tokens of one picture, whatever its size, with any model but those of the next constant.
const IMAGE_TOKENS: u64 = 5_000;
/// The same with `gpt-4o-mini`, which counts pictures at 33 times its price for text.
const IMAGE_TOKENS_MINI: u64 = 50_000;
/// Tokens of a picture where its real number is estimated and not bounded.
const IMAGE_TOKENS_USUAL: u64 = 1_000;

/// What a request reads at most, in tokens, for a reservation before the call. The tokenizers of providers differ: counts by one of
/// them are raised by a half, and by one for each digit and each byte beyond ASCII, but never above one token a byte, which none of them passes. A picture counts as 5,000 tokens, with
/// `gpt-4o-mini` as 50,000. InvalidInput (`unsupported_option`) for parts that nobody can bound,
/// or that have prices of their own: sounds, files and films.
pub fn input_tokens_at_most(request: &ChatRequest, counter: &dyn TokenCounter) -> Result<u64> {
    let mini = request.model.rsplit('/').next().is_some_and(|name| name.starts_with("gpt-4o-mini"));
    let image = if mini { IMAGE_TOKENS_MINI } else { IMAGE_TOKENS };
    let read = read(request, Some(image))?;
    let (counted, bytes) = (counter.count(&read.text)? as u64, read.text.len() as u64);
    // Other tokenizers give a token to each digit, and several to a character of a script they know little of.
    let dense = read.text.bytes().filter(|b| b.is_ascii_digit() || !b.is_ascii()).count() as u64;
    let text = counted.saturating_add(counted / 2).saturating_add(dense).saturating_add(1).min(bytes);
    let instructed = !request.tools.is_empty() || request.response_format.is_some();
    Ok(text.saturating_add(read.fixed).saturating_add(if instructed { TOOLS_TOKENS } else { 0 }))
}

/// What a call used, counted here since the provider does not say; marked as estimated. `produced` is everything that the model
/// wrote: [`ChatMessage::produced`] of the answer, or [`crate::model::ChatFold::produced`] of a stream as far as it came.
pub fn estimate_usage(request: &ChatRequest, produced: &str, counter: &dyn TokenCounter) -> Result<Usage> {
    let read = read(request, None)?;
    let input_tokens = (counter.count(&read.text)? as u64).saturating_add(read.fixed);
    let output_tokens = counter.count(produced)? as u64;
    Ok(Usage { input_tokens, output_tokens, estimated: true, ..Usage::default() })
}

/// What a request has a model read.
#[derive(Debug, Default)]
struct Read {
    text: String,
    fixed: u64,
}

impl Read {
    fn add(&mut self, text: &str) {
        self.text.push_str(text);
        self.text.push('\n');
    }

    /// Names and values, as a model reads them.
    fn add_json(&mut self, value: &Value) {
        self.add(&value.to_string());
    }

    fn add_fields(&mut self, fields: &Map<String, Value>) {
        for (name, value) in fields {
            self.add(name);
            self.add_json(value);
        }
    }

    fn add_message(&mut self, message: &ChatMessage, image: Option<u64>) -> Result<()> {
        self.fixed += MESSAGE_TOKENS;
        match &message.content {
            None => {}
            Some(ChatContent::Text(text)) => self.add(text),
            Some(ChatContent::Parts(parts)) => {
                for part in parts {
                    self.add_part(part, image)?;
                }
            }
        }
        for text in [&message.name, &message.refusal, &message.tool_call_id].into_iter().flatten() {
            self.add(text);
        }
        for call in &message.tool_calls {
            self.fixed += MESSAGE_TOKENS;
            for text in [&call.id, &call.name, &call.arguments] {
                self.add(text);
            }
            self.add_fields(&call.extra);
        }
        self.add_fields(&message.extra);
        Ok(())
    }

    /// `image` is the bound of a picture; without one the count is an estimate.
    fn add_part(&mut self, part: &ChatPart, image: Option<u64>) -> Result<()> {
        match part {
            ChatPart::Text(text) => self.add(text),
            ChatPart::Image { .. } => self.fixed += image.unwrap_or(IMAGE_TOKENS_USUAL),
            ChatPart::Other(value) => {
                if image.is_some() {
                    let kind = value.get("type").and_then(Value::as_str).unwrap_or_default();
                    let kind: String = kind.chars().take(32).collect();
                    let message = format!("a part of the type {kind} cannot be priced beforehand");
                    return Err(Error::invalid(message).with_code("unsupported_option"));
                }
                self.fixed += IMAGE_TOKENS_USUAL;
            }
        }
        Ok(())
    }
}

fn read(request: &ChatRequest, image: Option<u64>) -> Result<Read> {
    let mut read = Read { fixed: REQUEST_TOKENS, ..Read::default() };
    for message in &request.messages {
        read.add_message(message, image)?;
    }
    for tool in &request.tools {
        read.fixed += MESSAGE_TOKENS;
        read.add(&tool.name);
        read.add(tool.description.as_deref().unwrap_or_default());
        if let Some(parameters) = &tool.parameters {
            read.add_json(parameters);
        }
    }
    if let Some(ResponseFormat::JsonSchema { name, description, schema, .. }) = &request.response_format {
        read.add(name);
        read.add(description.as_deref().unwrap_or_default());
        read.add_json(schema);
    }
    // Some of them are read, as a predicted output is.
    read.add_fields(&request.extra);
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A token is a word.
    #[derive(Debug)]
    struct Words;

    impl TokenCounter for Words {
        fn id(&self) -> &str {
            "words"
        }
        fn count(&self, text: &str) -> Result<usize> {
            Ok(text.split_whitespace().count())
        }
        fn truncate<'a>(&self, text: &'a str, _tokens_max: usize) -> Result<&'a str> {
            Ok(text)
        }
    }

    fn request(body: Value) -> ChatRequest {
        ChatRequest::from_openai(body).unwrap().0
    }

    fn of(content: Value) -> ChatRequest {
        request(json!({"model": "m", "messages": [{"role": "user", "content": content}]}))
    }

    #[test]
    fn the_bound_is_a_half_above_the_count_and_never_above_the_bytes() {
        let words = "token ".repeat(1_000);
        assert_eq!(input_tokens_at_most(&of(json!(words)), &Words).unwrap(), 1_501 + MESSAGE_TOKENS + REQUEST_TOKENS);
        assert_eq!(input_tokens_at_most(&of(json!("a")), &Words).unwrap(), 2 + MESSAGE_TOKENS + REQUEST_TOKENS);
    }

    #[test]
    fn everything_that_is_read_counts() {
        let plain = input_tokens_at_most(&of(json!("hello there")), &Words).unwrap();
        let message = json!({"role": "user", "content": "hello there"});
        for more in [
            json!({"messages": [message, message]}),
            json!({"tools": [{"type": "function", "function": {"name": "f", "description": "x y z"}}]}),
            json!({"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"a": "b"}}}}),
            json!({"prediction": {"content": "some words"}}),
        ] {
            let mut body = json!({"model": "m", "messages": [message]});
            body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            assert!(input_tokens_at_most(&request(body), &Words).unwrap() > plain, "{more}");
        }
    }

    #[test]
    fn pictures_have_a_fixed_bound_and_what_has_none_is_refused() {
        let picture = json!([{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]);
        let mut asked = of(picture);
        let fixed = MESSAGE_TOKENS + REQUEST_TOKENS;
        assert_eq!(input_tokens_at_most(&asked, &Words).unwrap(), IMAGE_TOKENS + fixed);
        asked.model = "openai/gpt-4o-mini-2024-07-18".to_owned();
        assert_eq!(input_tokens_at_most(&asked, &Words).unwrap(), IMAGE_TOKENS_MINI + fixed);
        let film = of(json!([{"type": "video_url", "video_url": {"url": "https://example.com/a.mp4"}}]));
        assert_eq!(input_tokens_at_most(&film, &Words).unwrap_err().code(), "unsupported_option");
        assert!(estimate_usage(&film, "", &Words).unwrap().input_tokens > 0);
    }

    #[test]
    fn an_estimate_is_marked_and_within_the_bound() {
        let asked = of(json!("one two three"));
        let usage = estimate_usage(&asked, "four five", &Words).unwrap();
        assert!(usage.estimated);
        assert_eq!((usage.input_tokens, usage.output_tokens), (3 + MESSAGE_TOKENS + REQUEST_TOKENS, 2));
        assert!(usage.input_tokens <= input_tokens_at_most(&asked, &Words).unwrap());
    }
}
