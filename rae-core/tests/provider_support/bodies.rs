//! What the three providers send: answers, streams and errors.

use super::{Answer, Fault, Job, Says, Wire};
use serde_json::{Value, json};

/// Numbers of every vector.
pub const DIM: usize = 64;

/// How often words fall into each of its numbers: like texts are near.
fn vector(text: &str) -> Vec<f64> {
    let mut out = vec![0.0; DIM];
    for word in text.split_whitespace() {
        let word = word.trim_matches(|c: char| c.is_ascii_punctuation()).to_lowercase();
        let hash = word.bytes().fold(7_usize, |hash, b| hash.wrapping_mul(31).wrapping_add(usize::from(b)));
        out[hash % DIM] += 1.0;
    }
    out
}

/// Words of all texts of a request.
pub fn words(body: &Value) -> u64 {
    match body {
        Value::String(text) => text.split_whitespace().count() as u64,
        Value::Array(values) => values.iter().map(words).sum(),
        Value::Object(fields) => fields.values().map(words).sum(),
        _ => 0,
    }
}

pub fn answer(job: &Job) -> Answer {
    if let Some(answer) = failure(job) {
        return answer;
    }
    let inside = job.how.fault == Some(Fault::ErrorInside);
    let body = match job.how.fault {
        Some(Fault::NotJson) if job.stream => "data: <html>\n\n".to_owned(),
        Some(Fault::NotJson) => "<html>".to_owned(),
        _ if inside && !job.stream => error(job.wire, 500, "Internal error.").to_string(),
        _ if job.embed => embeddings(job).to_string(),
        _ if job.stream => stream(job),
        _ => whole(job).to_string(),
    };
    let media = if job.stream { "text/event-stream" } else { "application/json" };
    let until = match job.how.fault {
        Some(Fault::Truncated | Fault::StallInStream | Fault::EndsEarly) if job.stream => {
            // Behind the second piece of text.
            let second = &job.words[1];
            let at = body.find(&format!("{second}\"")).unwrap();
            let ends = ["\n\n", "\r\n\r\n"].into_iter().filter_map(|end| Some(body[at..].find(end)? + end.len()));
            at + ends.min().unwrap()
        }
        Some(Fault::Truncated) => body.len() / 2,
        _ => body.len(),
    };
    let headers = vec![("Content-Type".to_owned(), media.to_owned())];
    Answer { status: 200, headers, body: body.into_bytes(), until }
}

/// An error body as the provider writes it.
fn error(wire: Wire, status: u16, message: &str) -> Value {
    match wire {
        Wire::OpenAi => {
            let (kind, code) = match status {
                401 => ("invalid_request_error", Some("invalid_api_key")),
                429 => ("requests", Some("rate_limit_exceeded")),
                400..500 => ("invalid_request_error", None),
                _ => ("server_error", None),
            };
            json!({"error": {"message": message, "type": kind, "param": null, "code": code}})
        }
        Wire::Anthropic => {
            let kind = match status {
                401 => "authentication_error",
                403 => "permission_error",
                404 => "not_found_error",
                413 => "request_too_large",
                429 => "rate_limit_error",
                529 => "overloaded_error",
                400..500 => "invalid_request_error",
                _ => "api_error",
            };
            json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_011"})
        }
        Wire::Google => {
            let word = match status {
                401 => "UNAUTHENTICATED",
                403 => "PERMISSION_DENIED",
                404 => "NOT_FOUND",
                429 => "RESOURCE_EXHAUSTED",
                400..500 => "INVALID_ARGUMENT",
                503 => "UNAVAILABLE",
                504 => "DEADLINE_EXCEEDED",
                _ => "INTERNAL",
            };
            json!({"error": {"code": status, "message": message, "status": word}})
        }
    }
}

fn failure(job: &Job) -> Option<Answer> {
    let mut headers = vec![("Content-Type".to_owned(), "application/json".to_owned())];
    let (status, body) = match job.how.fault? {
        Fault::Status(status) | Fault::ChargedStatus(status) => (status, error(job.wire, status, "It did not work.")),
        Fault::RateLimited(seconds) => {
            let mut body = error(job.wire, 429, "Rate limit reached.");
            match job.wire {
                Wire::OpenAi => headers.extend([
                    ("x-ratelimit-remaining-requests".to_owned(), "0".to_owned()),
                    ("x-ratelimit-reset-requests".to_owned(), format!("{seconds}s")),
                ]),
                Wire::Anthropic => headers.push(("retry-after".to_owned(), seconds.to_string())),
                Wire::Google => {
                    let kind = "type.googleapis.com/google.rpc.RetryInfo";
                    body["error"]["details"] = json!([{"@type": kind, "retryDelay": format!("{seconds}s")}]);
                }
            }
            (429, body)
        }
        Fault::OutOfMoney => match job.wire {
            Wire::OpenAi => {
                let mut body = error(job.wire, 429, "You exceeded your current quota, please check your plan.");
                (body["error"]["type"], body["error"]["code"]) =
                    ("insufficient_quota".into(), "insufficient_quota".into());
                (429, body)
            }
            Wire::Anthropic => {
                (400, error(job.wire, 400, "Your credit balance is too low to access the Anthropic API."))
            }
            Wire::Google => (403, error(job.wire, 403, "Billing is not enabled.")),
        },
        Fault::BadKey => match job.wire {
            Wire::OpenAi => {
                (401, error(job.wire, 401, "Incorrect API key provided: sk-gehe***heim. See your account."))
            }
            Wire::Anthropic => (401, error(job.wire, 401, "invalid x-api-key sk-geheim")),
            Wire::Google => {
                let mut body = error(job.wire, 400, "API key not valid. Please pass a valid API key.");
                let kind = "type.googleapis.com/google.rpc.ErrorInfo";
                body["error"]["details"] = json!([{"@type": kind, "reason": "API_KEY_INVALID"}]);
                (400, body)
            }
        },
        Fault::ContextLength => match job.wire {
            Wire::OpenAi => {
                let message = "This model's maximum context length is 128000 tokens. Your messages resulted in 150000.";
                let mut body = error(job.wire, 400, message);
                body["error"]["code"] = "context_length_exceeded".into();
                (400, body)
            }
            Wire::Anthropic => (400, error(job.wire, 400, "prompt is too long: 208310 tokens > 200000 maximum")),
            Wire::Google => {
                let message = "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).";
                (400, error(job.wire, 400, message))
            }
        },
        Fault::Content => match job.wire {
            Wire::OpenAi => {
                let mut body = error(job.wire, 400, "Your request was rejected by the safety system.");
                body["error"]["code"] = "content_policy_violation".into();
                (400, body)
            }
            Wire::Anthropic => (400, error(job.wire, 400, "Output blocked by content filtering policy")),
            Wire::Google => return Some(blocked(job)),
        },
        Fault::QuotesPrompt => {
            let all = serde_json::to_string(&job.body).unwrap();
            (400, error(job.wire, 400, &format!("Invalid body: {all}")))
        }
        _ => return None,
    };
    let body = body.to_string().into_bytes();
    Some(Answer { status, headers, until: body.len(), body })
}

/// Google answers a request that it holds back with success.
fn blocked(job: &Job) -> Answer {
    let body = json!({
        "promptFeedback": {"blockReason": "PROHIBITED_CONTENT"},
        "usageMetadata": {"promptTokenCount": job.charged.input, "totalTokenCount": job.charged.input},
        "modelVersion": job.model, "responseId": "resp-1",
    });
    let (media, body) = match job.stream {
        true => ("text/event-stream", format!("data: {body}\r\n\r\n")),
        false => ("application/json", body.to_string()),
    };
    let headers = vec![("Content-Type".to_owned(), media.to_owned())];
    Answer { status: 200, headers, until: body.len(), body: body.into_bytes() }
}

/// What it says of its counts, or nothing.
fn usage(job: &Job) -> Option<Value> {
    let (input, cached, output, reasoning) = match job.how.says {
        Says::Nothing => return None,
        Says::Zero => (0, 0, 0, 0),
        Says::Huge => (u64::MAX / 2, 0, u64::MAX / 2, 0),
        Says::Truth => (job.charged.input, job.charged.cached, job.charged.output, job.charged.reasoning),
    };
    Some(match job.wire {
        Wire::OpenAi => json!({
            "prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output,
            "prompt_tokens_details": {"cached_tokens": cached, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": reasoning, "audio_tokens": 0},
        }),
        // A fifth of what did not come from the cache was written to it.
        Wire::Anthropic => {
            let fresh = input - cached;
            json!({
                "input_tokens": fresh - fresh / 5, "cache_creation_input_tokens": fresh / 5,
                "cache_read_input_tokens": cached, "output_tokens": output, "service_tier": "standard",
            })
        }
        Wire::Google => json!({
            "promptTokenCount": input, "cachedContentTokenCount": cached,
            "candidatesTokenCount": output - reasoning, "thoughtsTokenCount": reasoning,
            "totalTokenCount": input + output,
        }),
    })
}

fn embeddings(job: &Job) -> Value {
    let texts: Vec<&Value> = match job.wire {
        Wire::Google => {
            let requests = job.body["requests"].as_array().unwrap();
            requests.iter().map(|request| &request["content"]["parts"][0]["text"]).collect()
        }
        _ => job.body["input"].as_array().unwrap().iter().collect(),
    };
    let vectors: Vec<_> = texts.iter().map(|text| vector(text.as_str().unwrap())).collect();
    let mut body = match job.wire {
        Wire::Google => json!({"embeddings": vectors.iter().map(|v| json!({"values": v})).collect::<Vec<_>>()}),
        _ => {
            // Not in order: the index counts.
            let entry = |(i, v)| json!({"object": "embedding", "index": i, "embedding": v});
            let data: Vec<_> = vectors.iter().enumerate().rev().map(entry).collect();
            json!({"object": "list", "model": job.model, "data": data})
        }
    };
    if let Some(usage) = usage(job) {
        let name = if job.wire == Wire::Google { "usageMetadata" } else { "usage" };
        body[name] = usage;
    }
    body
}

/// Why the model stopped, in the provider's word.
fn finish(job: &Job) -> &'static str {
    match (job.wire, job.cut, job.how.call.is_some()) {
        (Wire::OpenAi, true, _) => "length",
        (Wire::OpenAi, _, true) => "tool_calls",
        (Wire::OpenAi, ..) => "stop",
        (Wire::Anthropic, true, _) => "max_tokens",
        (Wire::Anthropic, _, true) => "tool_use",
        (Wire::Anthropic, ..) => "end_turn",
        (Wire::Google, true, _) => "MAX_TOKENS",
        (Wire::Google, ..) => "STOP",
    }
}

fn whole(job: &Job) -> Value {
    let text = job.words.join(" ");
    let empty = job.how.fault == Some(Fault::NoContent);
    let (mut body, name) = match job.wire {
        Wire::OpenAi => {
            let mut message = json!({"role": "assistant", "content": text, "refusal": null, "annotations": []});
            if let Some((name, arguments)) = &job.how.call {
                message["content"] = Value::Null;
                message["tool_calls"] = json!([{"id": "call_1", "type": "function",
                    "function": {"name": name, "arguments": arguments.to_string()}}]);
            }
            let choice = json!({"index": 0, "message": message, "logprobs": null, "finish_reason": finish(job)});
            let choices = if empty { json!([]) } else { json!([choice]) };
            let body = json!({"id": "chatcmpl-1", "object": "chat.completion", "created": 1_760_000_000,
                "model": job.model, "choices": choices, "service_tier": "default"});
            (body, "usage")
        }
        Wire::Anthropic => {
            let mut blocks = vec![json!({"type": "text", "text": text})];
            if job.how.reasoning > 0 {
                blocks.insert(0, json!({"type": "thinking", "thinking": "Hm.", "signature": "EqQB"}));
            }
            if let Some((name, arguments)) = &job.how.call {
                blocks.push(json!({"type": "tool_use", "id": "toolu_1", "name": name, "input": arguments}));
            }
            let content = if empty { Value::Null } else { blocks.into() };
            let body = json!({"id": "msg_1", "type": "message", "role": "assistant", "model": job.model,
                "content": content, "stop_reason": finish(job), "stop_sequence": null});
            (body, "usage")
        }
        Wire::Google => {
            let mut parts = vec![json!({"text": text})];
            if job.how.reasoning > 0 {
                parts.insert(0, json!({"text": "Hm.", "thought": true}));
            }
            if let Some((name, arguments)) = &job.how.call {
                parts.push(json!({"functionCall": {"name": name, "args": arguments}, "thoughtSignature": "CiQB"}));
            }
            let candidate =
                json!({"content": {"role": "model", "parts": parts}, "finishReason": finish(job), "index": 0});
            let mut body = json!({"modelVersion": job.model, "responseId": "resp-1"});
            if !empty {
                body["candidates"] = json!([candidate]);
            }
            (body, "usageMetadata")
        }
    };
    if let Some(usage) = usage(job) {
        body[name] = usage;
    }
    body
}

fn stream(job: &Job) -> String {
    match job.wire {
        Wire::OpenAi => openai_stream(job),
        Wire::Anthropic => anthropic_stream(job),
        Wire::Google => google_stream(job),
    }
}

/// The words as they are streamed: each but the first with its blank.
fn pieces(job: &Job) -> impl Iterator<Item = String> {
    job.words.iter().enumerate().map(|(i, word)| if i == 0 { word.clone() } else { format!(" {word}") })
}

/// How far a stream comes before the error inside of it.
const BEFORE_ERROR: usize = 2;

fn openai_stream(job: &Job) -> String {
    let event = |choices: Value, usage: Value| {
        let body = json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_760_000_000,
            "model": job.model, "choices": choices, "usage": usage});
        format!("data: {body}\n\n")
    };
    let delta = |delta: Value, finish: Option<&str>| {
        event(json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish}]), Value::Null)
    };
    let mut out = vec![": keep-alive\n\n".to_owned(), delta(json!({"role": "assistant", "content": ""}), None)];
    match &job.how.call {
        None => out.extend(pieces(job).map(|text| delta(json!({"content": text}), None))),
        Some((name, arguments)) => {
            let function = json!({"name": name, "arguments": ""});
            let first = json!([{"index": 0, "id": "call_1", "type": "function", "function": function}]);
            out.push(delta(json!({"tool_calls": first}), None));
            let text = arguments.to_string();
            for part in [&text[..text.len() / 2], &text[text.len() / 2..]] {
                out.push(delta(json!({"tool_calls": [{"index": 0, "function": {"arguments": part}}]}), None));
            }
        }
    }
    if job.how.fault == Some(Fault::ErrorInside) {
        out.truncate(BEFORE_ERROR + 2);
        out.push(format!("data: {}\n\n", error(job.wire, 500, "Internal error.")));
        return out.concat();
    }
    out.push(delta(json!({}), Some(finish(job))));
    let asked = job.body["stream_options"]["include_usage"] == true;
    out.extend(usage(job).filter(|_| asked).map(|usage| event(json!([]), usage)));
    out.push("data: [DONE]\n\n".to_owned());
    out.concat()
}

fn anthropic_stream(job: &Job) -> String {
    let event = |body: Value| format!("event: {}\ndata: {body}\n\n", body["type"].as_str().unwrap());
    let counted = usage(job);
    let mut begun = counted.clone();
    if let Some(usage) = &mut begun {
        usage["output_tokens"] = json!(1.min(usage["output_tokens"].as_u64().unwrap()));
    }
    let start =
        |index: usize, block: Value| json!({"type": "content_block_start", "index": index, "content_block": block});
    let delta = |index: usize, delta: Value| json!({"type": "content_block_delta", "index": index, "delta": delta});
    let stop = |index: usize| json!({"type": "content_block_stop", "index": index});
    let message = json!({"id": "msg_1", "type": "message", "role": "assistant", "model": job.model, "content": [],
        "stop_reason": null, "stop_sequence": null, "usage": begun});
    let mut out = vec![
        json!({"type": "message_start", "message": message}),
        start(0, json!({"type": "text", "text": ""})),
        json!({"type": "ping"}),
    ];
    out.extend(pieces(job).map(|text| delta(0, json!({"type": "text_delta", "text": text}))));
    if job.how.fault == Some(Fault::ErrorInside) {
        out.truncate(BEFORE_ERROR + 3);
        out.push(error(job.wire, 529, "Overloaded"));
        return out.into_iter().map(event).collect();
    }
    out.push(stop(0));
    if let Some((name, arguments)) = &job.how.call {
        out.push(start(1, json!({"type": "tool_use", "id": "toolu_1", "name": name, "input": {}})));
        let text = if *arguments == json!({}) { String::new() } else { arguments.to_string() };
        for part in ["", &text[..text.len() / 2], &text[text.len() / 2..]] {
            out.push(delta(1, json!({"type": "input_json_delta", "partial_json": part})));
        }
        out.push(stop(1));
    }
    let ended = json!({"stop_reason": finish(job), "stop_sequence": null});
    out.push(match counted {
        Some(usage) => {
            json!({"type": "message_delta", "delta": ended, "usage": {"output_tokens": usage["output_tokens"]}})
        }
        None => json!({"type": "message_delta", "delta": ended}),
    });
    out.push(json!({"type": "message_stop"}));
    out.into_iter().map(event).collect()
}

fn google_stream(job: &Job) -> String {
    let counted = usage(job);
    let event = |parts: Value, finish: Option<&str>| {
        let mut candidate = json!({"content": {"role": "model", "parts": parts}, "index": 0});
        if let Some(finish) = finish {
            candidate["finishReason"] = finish.into();
        }
        let mut body = json!({"candidates": [candidate], "modelVersion": job.model, "responseId": "resp-1"});
        if let Some(usage) = &counted {
            body["usageMetadata"] = match finish {
                Some(_) => usage.clone(),
                None => json!({"promptTokenCount": usage["promptTokenCount"]}),
            };
        }
        format!("data: {body}\r\n\r\n")
    };
    let mut out: Vec<String> = pieces(job).map(|text| event(json!([{"text": text}]), None)).collect();
    if job.how.fault == Some(Fault::ErrorInside) {
        out.truncate(BEFORE_ERROR);
        out.push(format!("data: {}\r\n\r\n", error(job.wire, 503, "The model is overloaded.")));
        return out.concat();
    }
    if let Some((name, arguments)) = &job.how.call {
        let call = json!([{"functionCall": {"name": name, "args": arguments}, "thoughtSignature": "CiQB"}]);
        out.push(event(call, None));
    }
    out.push(event(json!([{"text": ""}]), Some(finish(job))));
    out.concat()
}
