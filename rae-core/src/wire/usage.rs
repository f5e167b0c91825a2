//! The usage of a call, in the words of whoever answered it.

use super::input::object;
use crate::{
    error::{Error, Result},
    model::Usage,
};
use serde_json::Value;

/// Where the shapes that [`usage`] reads have tokens.
const TOKEN_PLACES: [&str; 26] = [
    "/input_tokens",
    "/output_tokens",
    "/reasoning_tokens",
    "/cached_input_tokens",
    "/cache_write_tokens",
    "/cache_read_input_tokens",
    "/cache_creation_input_tokens",
    "/input_tokens_details/cached_tokens",
    "/output_tokens_details/reasoning_tokens",
    "/prompt_tokens",
    "/completion_tokens",
    "/total_tokens",
    "/prompt_cache_hit_tokens",
    "/prompt_tokens_details/cached_tokens",
    "/prompt_tokens_details/cache_write_tokens",
    "/completion_tokens_details/reasoning_tokens",
    "/prompt_token_count",
    "/promptTokenCount",
    "/candidates_token_count",
    "/candidatesTokenCount",
    "/thoughts_token_count",
    "/thoughtsTokenCount",
    "/tool_use_prompt_token_count",
    "/toolUsePromptTokenCount",
    "/cached_content_token_count",
    "/cachedContentTokenCount",
];

/// Refuses a usage with a count that is none: read as 0 it would be a call for nothing. Clients write null for what they do not know.
fn whole_tokens(usage: &Value) -> Result<()> {
    for place in TOKEN_PLACES {
        let is_count = usage.pointer(place).is_none_or(|found| found.is_null() || found.is_u64());
        let parent = place.rsplit_once('/').and_then(|(parent, _)| usage.pointer(parent));
        if !is_count || parent.is_some_and(|parent| !parent.is_object() && !parent.is_null()) {
            let name = place.trim_start_matches('/').replace('/', ".");
            let message = format!("{name} must be a whole number of tokens, 0 or more");
            return Err(Error::invalid(message).with_code("invalid_tokens"));
        }
    }
    Ok(())
}

/// A usage of any of these shapes: ours, OpenAI's chat completions, OpenAI's responses, Anthropic's messages, Google's in the names of its
/// JSON or of its Python client.
pub(super) fn usage(field: &str, value: Value) -> Result<Usage> {
    let value = Value::Object(object(field, value)?);
    whole_tokens(&value)?;
    let at = |place: &str| value.pointer(place).and_then(Value::as_u64);
    let first = |places: &[&str]| places.iter().find_map(|place| at(place)).unwrap_or_default();
    if let Some(usage) = Usage::from_openai(&value) {
        return Ok(usage);
    }
    let google = at("/prompt_token_count").or_else(|| at("/promptTokenCount"));
    let read = match (at("/input_tokens"), google) {
        (Some(input), _) => {
            // Anthropic counts what its cache gave and took beside the input, OpenAI and we within.
            let (given, taken) = (first(&["/cache_read_input_tokens"]), first(&["/cache_creation_input_tokens"]));
            Usage {
                input_tokens: input.saturating_add(given).saturating_add(taken),
                cached_input_tokens: first(&[
                    "/cached_input_tokens",
                    "/input_tokens_details/cached_tokens",
                    "/cache_read_input_tokens",
                ]),
                cache_write_tokens: first(&["/cache_write_tokens", "/cache_creation_input_tokens"]),
                output_tokens: first(&["/output_tokens"]),
                reasoning_tokens: first(&["/reasoning_tokens", "/output_tokens_details/reasoning_tokens"]),
                estimated: value["estimated"] == true,
            }
        }
        (None, Some(input)) => {
            let reasoning_tokens = first(&["/thoughts_token_count", "/thoughtsTokenCount"]);
            let shown = first(&["/candidates_token_count", "/candidatesTokenCount"]);
            let tools = first(&["/tool_use_prompt_token_count", "/toolUsePromptTokenCount"]);
            Usage {
                input_tokens: input.saturating_add(tools),
                cached_input_tokens: first(&["/cached_content_token_count", "/cachedContentTokenCount"]),
                output_tokens: shown.saturating_add(reasoning_tokens),
                reasoning_tokens,
                ..Usage::default()
            }
        }
        (None, None) => {
            let message = format!("{field} must hold input_tokens and output_tokens, or be the usage of an answer");
            return Err(Error::invalid(message).with_code("invalid_tokens"));
        }
    };
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_usage_is_read_in_every_shape_that_clients_give_it() {
        let tokens = |input_tokens, cached_input_tokens, output_tokens, reasoning_tokens| {
            let counted = Usage { input_tokens, cached_input_tokens, ..Usage::default() };
            Usage { output_tokens, reasoning_tokens, ..counted }
        };
        for (given, read) in [
            (json!({ "input_tokens": 9, "output_tokens": 3 }), tokens(9, 0, 3, 0)),
            (
                json!({ "input_tokens": 9, "cached_input_tokens": 4, "output_tokens": 3, "reasoning_tokens": 2 }),
                tokens(9, 4, 3, 2),
            ),
            (
                json!({ "prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12,
                    "prompt_tokens_details": { "cached_tokens": 4 } }),
                tokens(9, 4, 3, 0),
            ),
            (
                json!({ "input_tokens": 9, "input_tokens_details": { "cached_tokens": 4 }, "output_tokens": 3,
                    "output_tokens_details": { "reasoning_tokens": 2 } }),
                tokens(9, 4, 3, 2),
            ),
            (
                json!({ "input_tokens": 5, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 0, "output_tokens": 3 }),
                tokens(9, 4, 3, 0),
            ),
            (
                json!({ "promptTokenCount": 9, "candidatesTokenCount": 1, "thoughtsTokenCount": 2,
                    "cachedContentTokenCount": 4 }),
                tokens(9, 4, 3, 2),
            ),
            (json!({ "prompt_token_count": 9, "candidates_token_count": 3 }), tokens(9, 0, 3, 0)),
        ] {
            assert_eq!(usage("usage", given.clone()).unwrap(), read, "{given}");
        }
        assert_eq!(usage("usage", json!({ "tokens": 3 })).unwrap_err().code(), "invalid_tokens");
        let written = |read| Usage { cache_write_tokens: 2, ..read };
        for (given, read) in [
            (json!({ "input_tokens": 9, "cache_write_tokens": 2, "output_tokens": 3 }), written(tokens(9, 0, 3, 0))),
            (
                json!({ "input_tokens": 3, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 2, "output_tokens": 3 }),
                written(tokens(9, 4, 3, 0)),
            ),
            (
                json!({ "prompt_tokens": 9, "completion_tokens": 3,
                    "prompt_tokens_details": { "cached_tokens": 4, "cache_write_tokens": 2 } }),
                written(tokens(9, 4, 3, 0)),
            ),
        ] {
            assert_eq!(usage("usage", given.clone()).unwrap(), read, "{given}");
        }
    }

    #[test]
    fn a_usage_with_a_count_that_is_none_is_refused_and_null_is_no_count() {
        for wrong in [
            json!({ "input_tokens": 9, "output_tokens": "3" }),
            json!({ "input_tokens": 9, "output_tokens": -3 }),
            json!({ "input_tokens": 9, "output_tokens": 3, "output_tokens_details": { "reasoning_tokens": 1.5 } }),
            json!({ "input_tokens": 9, "output_tokens": 3, "input_tokens_details": 4 }),
            json!({ "input_tokens": 9, "cache_creation_input_tokens": [2], "output_tokens": 3 }),
            json!({ "prompt_tokens": 9, "completion_tokens": true }),
            json!({ "prompt_tokens": 9, "completion_tokens": 3, "prompt_tokens_details": { "cached_tokens": "4" } }),
            json!({ "prompt_tokens": 9, "completion_tokens": 3, "prompt_cache_hit_tokens": 0.5 }),
            json!({ "promptTokenCount": 9, "candidatesTokenCount": "1" }),
        ] {
            assert_eq!(usage("usage", wrong.clone()).unwrap_err().code(), "invalid_tokens", "{wrong}");
        }
        let read = Usage { input_tokens: 9, output_tokens: 3, ..Usage::default() };
        for unknown in [
            json!({ "prompt_tokens": 9, "completion_tokens": 3, "prompt_tokens_details": null }),
            json!({ "input_tokens": 9, "output_tokens": 3, "cache_read_input_tokens": null }),
            json!({ "prompt_token_count": 9, "candidates_token_count": 3, "thoughts_token_count": null }),
        ] {
            assert_eq!(usage("usage", unknown.clone()).unwrap(), read, "{unknown}");
        }
    }
}
