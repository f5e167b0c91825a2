//! Streams that no provider should send: events left out, repeated, in any order, or of the wrong type.

use super::{anthropic, call::Decoder, google, openai};
use crate::{http::sse::SseEvent, model::ChatFold};
use proptest::prelude::*;
use std::collections::VecDeque;

const OPENAI: &[&str] = &[
    r#"{"id":"a","model":"m","choices":[{"delta":{"role":"assistant","content":"x"}}]}"#,
    r#"{"choices":[{"delta":{"tool_calls":[{"index":3,"id":"c","function":{"name":"f","arguments":"{"}}]}}]}"#,
    r#"{"choices":[{"delta":{"tool_calls":[{"function":{"arguments":"}"}}, 7]},"finish_reason":"tool_calls"}]}"#,
    r#"{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":2}}"#,
    r#"{"error":{"message":"x","code":500}}"#,
    "[DONE]",
];
const ANTHROPIC: &[&str] = &[
    r#"{"type":"message_start","message":{"id":"a","model":"m","usage":{"input_tokens":5,"output_tokens":1}}}"#,
    r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
    r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"x"}}"#,
    r#"{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"c","name":"f","input":{}}}"#,
    r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{}"}}"#,
    r#"{"type":"content_block_stop","index":1}"#,
    r#"{"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":2}}"#,
    r#"{"type":"message_stop"}"#,
    r#"{"type":"error","error":{"type":"overloaded_error","message":"x"}}"#,
];
const GOOGLE: &[&str] = &[
    r#"{"candidates":[{"content":{"parts":[{"text":"x"},{"text":"h","thought":true}]}}],"responseId":"a"}"#,
    r#"{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{}}}, 7]}}]}"#,
    r#"{"candidates":[{"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":5}}"#,
    r#"{"promptFeedback":{"blockReason":"SAFETY"}}"#,
    r#"{"error":{"status":"UNAVAILABLE"}}"#,
];
const STRANGE: &[&str] =
    &["", "null", "7", "[]", "{}", "[[1]]", r#"{"choices":7}"#, r#"{"type":7}"#, r#"{"candidates":{"0":1}}"#, "{"];

/// Reads the events as a stream does: up to the end, a failure, or their last one.
fn read(decoder: &mut dyn Decoder, events: &[&str]) -> Result<ChatFold, ()> {
    let (mut out, mut ended) = (VecDeque::new(), false);
    for data in events {
        let event = SseEvent { event: None, data: (*data).to_owned() };
        if decoder.event(&event, &mut out).map_err(drop)? == super::call::Step::End {
            ended = true;
            break;
        }
    }
    if !ended {
        decoder.close(&mut out).map_err(drop)?;
    }
    let mut fold = ChatFold::default();
    out.iter().for_each(|chunk| fold.push(chunk));
    Ok(fold)
}

proptest! {
    #[test]
    fn an_answer_that_comes_to_its_end_says_why(order in prop::collection::vec(any::<prop::sample::Index>(), 0..14)) {
        for (known, decoder) in [
            (OPENAI, Box::new(openai::Pieces::default()) as Box<dyn Decoder>),
            (ANTHROPIC, Box::new(anthropic::Pieces::default())),
            (GOOGLE, Box::new(google::Pieces::default())),
        ] {
            let mut decoder = decoder;
            let all: Vec<&str> = known.iter().chain(STRANGE).copied().collect();
            let events: Vec<&str> = order.iter().map(|i| *i.get(&all)).collect();
            if let Ok(fold) = read(&mut *decoder, &events) {
                prop_assert!(fold.is_finished(), "{events:?}");
            }
        }
    }
}
