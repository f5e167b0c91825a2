//! Bodies there and back, what is refused, and answers put together.

use super::*;
use crate::error::ErrorKind;
use serde_json::json;

fn read(body: Value) -> Result<ChatRequest> {
    ChatRequest::from_openai(body).map(|(request, _)| request)
}

/// A body with a user's message and these fields.
fn with(fields: Value) -> Value {
    let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    body
}

#[test]
fn a_body_comes_out_as_it_went_in_unknown_fields_too() {
    let body = json!({
        "model": "gpt-4o-mini",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "name": "ada", "content": [
                {"type": "text", "text": "What is this?"},
                {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}},
                {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
            ]},
            {"role": "assistant", "content": null, "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{\"a\":1}"},
                 "extra_content": {"google": {"thought_signature": "s"}}},
            ]},
            {"role": "tool", "tool_call_id": "c1", "content": "42"},
            {"role": "assistant", "content": "So.", "reasoning_content": "hm"},
        ],
        "tools": [{"type": "function", "function":
            {"name": "look", "description": "Looks.", "parameters": {"type": "object"}, "strict": true}}],
        "tool_choice": {"type": "function", "function": {"name": "look"}},
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": true}},
        "temperature": 0.5, "top_p": 0.25, "stop": ["END"], "max_completion_tokens": 100, "user": "u", "seed": 7,
    });
    let request = read(body.clone()).unwrap();
    assert_eq!(request.extra, *json!({"seed": 7}).as_object().unwrap());
    assert_eq!(Value::Object(request.to_openai("max_completion_tokens")), body);
}

#[test]
fn both_names_of_the_maximum_are_understood_and_the_newer_one_counts() {
    assert_eq!(read(with(json!({"max_tokens": 5}))).unwrap().max_output_tokens, Some(5));
    let both = read(with(json!({"max_tokens": 5, "max_completion_tokens": 6}))).unwrap();
    assert_eq!(both.max_output_tokens, Some(6));
    let body = both.to_openai("max_tokens");
    assert_eq!((body.get("max_tokens"), body.get("max_completion_tokens")), (Some(&json!(6)), None));
}

#[test]
fn how_to_answer_is_read_apart() {
    let (request, delivery) =
        ChatRequest::from_openai(with(json!({"stream": true, "stream_options": {"include_usage": true}}))).unwrap();
    assert_eq!(delivery, Delivery { stream: true, include_usage: true });
    assert!(request.extra.is_empty());
}

#[test]
fn what_is_wrong_is_named() {
    for (fields, said) in [
        (json!({"model": null}), "model"),
        (json!({"model": "a b"}), "model"),
        (json!({"model": "m".repeat(257)}), "model"),
        (json!({"messages": []}), "messages"),
        (json!({"messages": [{"role": "owl", "content": "x"}]}), "role"),
        (json!({"messages": [{"role": "user", "content": 7}]}), "content"),
        (json!({"messages": vec![json!({"role": "user", "content": "x"}); limits::CHAT_MESSAGES_MAX + 1]}), "messages"),
        (json!({"temperature": 2.1}), "temperature"),
        (json!({"top_p": "high"}), "top_p"),
        (json!({"max_tokens": 0}), "max_completion_tokens"),
        (json!({"max_tokens": -1}), "max_tokens"),
        (json!({"stop": vec!["x"; 17]}), "stop"),
        (json!({"stream": "yes"}), "stream"),
        (json!({"tools": [{"type": "function", "function": {"name": "f", "parameters": []}}]}), "parameters"),
        (json!({"response_format": {"type": "xml"}}), "response_format"),
    ] {
        let error = read(with(fields)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.message().contains(said), "{said}: {error}");
    }
}

#[test]
fn what_cannot_be_priced_beforehand_is_refused() {
    for fields in [
        json!({"n": 2}),
        json!({"service_tier": "priority"}),
        json!({"web_search_options": {}}),
        json!({"models": ["a", "b"]}),
        json!({"plugins": []}),
        json!({"modalities": ["text", "audio"]}),
        json!({"functions": []}),
        json!({"tools": [{"type": "custom", "custom": {"name": "f"}}]}),
    ] {
        assert_eq!(read(with(fields.clone())).unwrap_err().code(), "unsupported_option", "{fields}");
    }
    assert!(read(with(json!({"n": 1, "service_tier": "default", "modalities": ["text"]}))).is_ok());
}

#[test]
fn a_body_too_deep_or_too_long_is_refused() {
    let mut deep = json!(1);
    for _ in 0..limits::CHAT_DEPTH_MAX {
        deep = json!([deep]);
    }
    assert!(read(with(json!({"metadata": deep}))).unwrap_err().message().contains("nested"));
    let long = "x".repeat(limits::CHAT_REQUEST_BYTES_MAX);
    assert!(read(with(json!({"user": long}))).unwrap_err().message().contains("MiB"));
}

#[test]
fn pieces_fold_into_the_whole_answer() {
    let mut fold = ChatFold::default();
    let part = |index, id: Option<&str>, name: Option<&str>, arguments: &str| ToolCallDelta {
        index,
        id: id.map(str::to_owned),
        name: name.map(str::to_owned),
        arguments: Some(arguments.to_owned()),
        extra: Map::new(),
    };
    let piece = |delta| ChatChunk { id: "r1".into(), model: "m".into(), delta, ..ChatChunk::default() };
    fold.push(&piece(ChatDelta { content: Some("Hel".into()), ..ChatDelta::default() }));
    fold.push(&piece(ChatDelta { content: Some("lo".into()), ..ChatDelta::default() }));
    fold.push(&piece(ChatDelta { tool_calls: vec![part(1, Some("b"), Some("g"), "{}")], ..ChatDelta::default() }));
    fold.push(&piece(ChatDelta { tool_calls: vec![part(0, Some("a"), Some("f"), "{\"x\"")], ..ChatDelta::default() }));
    fold.push(&piece(ChatDelta { tool_calls: vec![part(0, None, None, ":1}")], ..ChatDelta::default() }));
    assert!(!fold.is_finished());
    let usage = Usage { input_tokens: 3, output_tokens: 2, ..Usage::default() };
    fold.push(&ChatChunk { finish_reason: Some(FinishReason::ToolCalls), ..piece(ChatDelta::default()) });
    fold.push(&ChatChunk { usage: Some(usage), ..piece(ChatDelta::default()) });
    assert!(fold.is_finished());
    assert_eq!(fold.produced(), "Hellof{\"x\":1}g{}");
    let response = fold.response();
    assert_eq!((response.message.plain_text().as_str(), response.usage), ("Hello", Some(usage)));
    let calls: Vec<_> = response.message.tool_calls.iter().map(|c| (c.id.as_str(), c.arguments.as_str())).collect();
    assert_eq!(calls, [("a", "{\"x\":1}"), ("b", "{}")]);
    let body = response.to_openai(9);
    assert_eq!(body["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!(body["usage"]["total_tokens"], 5);
}

#[test]
fn a_piece_with_usage_alone_has_no_choices() {
    let usage = Some(Usage { input_tokens: 1, ..Usage::default() });
    let chunk = ChatChunk { usage, ..ChatChunk::default() };
    assert_eq!(chunk.to_openai(0, false)["choices"], json!([]));
    assert_eq!(chunk.to_openai(0, true)["choices"][0]["delta"]["role"], "assistant");
}

#[test]
fn a_count_that_cannot_be_one_is_none() {
    let read = |usage: Value| Usage::from_openai(&usage);
    assert_eq!(read(json!({"prompt_tokens": 0, "completion_tokens": 0})), None);
    assert_eq!(read(json!({"prompt_tokens": 5, "completion_tokens": 1_000_000_000_000u64})), None);
    assert_eq!(read(json!({"prompt_tokens": -5, "completion_tokens": 1})), None);
    assert_eq!(read(json!(null)), None);
    let cached =
        read(json!({"prompt_tokens": 5, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 9}}));
    assert_eq!(cached.unwrap().cached_input_tokens, 5);
}

#[test]
fn reasoning_beside_the_output_is_added_to_it() {
    let details = json!({"reasoning_tokens": 30});
    let within =
        json!({"prompt_tokens": 5, "completion_tokens": 40, "total_tokens": 45, "completion_tokens_details": details});
    assert_eq!(Usage::from_openai(&within).unwrap().output_tokens, 40);
    let beside =
        json!({"prompt_tokens": 5, "completion_tokens": 40, "total_tokens": 75, "completion_tokens_details": details});
    assert_eq!(Usage::from_openai(&beside).unwrap().output_tokens, 70);
}
