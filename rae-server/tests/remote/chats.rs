//! Chat models of a server are those of an open store: the same answers, pieces, costs and errors.

use super::{
    provider_support::{Behaviour, FakeProvider, Fault, Says},
    scenarios::{KEY, Server},
};
use futures::StreamExt;
use rae_core::{
    Error, LlmOptions, Rae, block_on,
    model::{ChatChunk, ChatRequest},
    providers::Providers,
    remote::{Handle, Remote},
    wire,
};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

/// A store of this process and one on a server, with the same provider.
struct Both {
    fake: FakeProvider,
    handles: [Handle; 2],
    _server: Arc<Server>,
}

impl Both {
    fn new() -> Self {
        let fake = FakeProvider::start();
        let given = json!({ "openai": { "api_key": "sk-geheim", "base_url": format!("{}/v1", fake.url()) } });
        let providers: Arc<Providers> = Arc::new(wire::providers(given.as_object().cloned().unwrap()).unwrap());
        let local = block_on(Rae::builder().providers(providers).open()).unwrap();
        let server = Server::start();
        let path = server.post("/open", &json!({ "providers": given }))["path"].as_str().unwrap().to_owned();
        let url = format!("{}{path}", server.url);
        let remote = Remote::connect(url).api_key(KEY).tenant("default").project("default").open().unwrap();
        Self { fake, handles: [Handle::Local(local), Handle::Remote(remote)], _server: server }
    }

    /// What each gives.
    fn each<T>(&self, mut ask: impl FnMut(&Handle) -> T) -> [T; 2] {
        [0, 1].map(|i| ask(&self.handles[i]))
    }
}

fn ask(fields: Value) -> ChatRequest {
    let mut body = json!({ "model": "gpt-4o-mini", "messages": [{ "role": "user", "content": "How do you do?" }] });
    body.as_object_mut().unwrap().extend(fields.as_object().cloned().unwrap());
    ChatRequest::from_openai(body).unwrap().0
}

/// The pieces of a stream, and what it cost at its end or how it failed.
fn streamed(mem: &Handle, request: ChatRequest, options: LlmOptions) -> (Vec<ChatChunk>, Result<Value, Error>) {
    block_on(async {
        let mut stream = match mem.llm_stream(request, options).await {
            Ok(stream) => stream,
            Err(error) => return (Vec::new(), Err(error)),
        };
        let mut chunks = Vec::new();
        while let Some(chunk) = stream.next().await {
            match chunk {
                Ok(chunk) => chunks.push(chunk),
                Err(error) => {
                    assert!(stream.next().await.is_none() && stream.cost().is_none());
                    return (chunks, Err(error));
                }
            }
        }
        (chunks, Ok(wire::llm_end(&stream.cost().unwrap())))
    })
}

fn shown(error: &Error) -> Value {
    json!([error.kind().name(), error.code(), error.details()])
}

/// The same of a failure of the model's.
fn of_model(error: &Error) -> Value {
    assert_eq!(error.operation(), Some("llm"));
    shown(error)
}

#[test]
fn answers_and_pieces_and_costs_are_the_same() {
    let both = Both::new();
    let tools = json!([{ "type": "function", "function": { "name": "look", "parameters": { "type": "object" } } }]);
    for (how, fields) in [
        (Behaviour::says("one two three four"), json!({ "seed": 7, "temperature": 0.5 })),
        (Behaviour::says("one two three four"), json!({ "max_tokens": 2 })),
        (
            Behaviour { call: Some(("look".into(), json!({ "a": 1 }))), ..Behaviour::says("") },
            json!({ "tools": tools }),
        ),
        (Behaviour { input: Some(100), cached: 40, reasoning: 9, ..Behaviour::says("one") }, json!({})),
        (Behaviour { says: Says::Nothing, ..Behaviour::says("one two three") }, json!({})),
    ] {
        both.fake.usually(how);
        let options = || LlmOptions {
            operation: "greet".into(),
            user_id: Some(" ada ü ".into()),
            request_id: Some("r".into()),
            ..LlmOptions::default()
        };
        let [here, far] = both.each(|mem| block_on(mem.llm(ask(fields.clone()), options())).unwrap());
        assert_eq!(here, far, "{fields}");
        let [here, far] = both.each(|mem| streamed(mem, ask(fields.clone()), options()));
        assert_eq!((here.0, here.1.unwrap()), (far.0, far.1.unwrap()), "{fields}");
        let [here, far] = both.each(|mem| {
            let estimate = block_on(mem.llm_estimate(ask(fields.clone()), options())).unwrap();
            wire::llm_estimate(&estimate)
        });
        assert_eq!(here, far, "{fields}");
    }
    let seen = both.fake.seen();
    let bodies: Vec<_> = seen.iter().map(|seen| seen.body.clone()).collect();
    for pair in bodies.chunks(2) {
        assert_eq!(pair[0], pair[1]);
    }
    let [here, far] = both.each(|mem| {
        let log = block_on(mem.cost_log(rae_core::CostLogOptions::default())).unwrap().items;
        log.into_iter().map(|row| (row.label, row.usage, row.cost_usd, row.status, row.estimated)).collect::<Vec<_>>()
    });
    assert_eq!(here, far);
    assert_eq!(here.len(), 10);
}

#[test]
fn failures_are_the_same_before_the_first_piece_and_after_it() {
    let both = Both::new();
    for fault in [
        Fault::Status(404),
        Fault::BadKey,
        Fault::ContextLength,
        Fault::Content,
        Fault::RateLimited(77),
        Fault::OutOfMoney,
        Fault::Truncated,
        Fault::EndsEarly,
        Fault::ErrorInside,
        Fault::NotJson,
    ] {
        both.fake.usually(Behaviour::fails(fault));
        // Most of these are asked again.
        let options = || LlmOptions { timeout: Duration::from_secs(20), ..LlmOptions::default() };
        let [here, far] = both.each(|mem| block_on(mem.llm(ask(json!({})), options())).map_err(|e| of_model(&e)));
        assert_eq!(here, far, "{fault:?}");
        let [here, far] = both.each(|mem| {
            let (chunks, end) = streamed(mem, ask(json!({})), options());
            (chunks, end.map_err(|e| of_model(&e)))
        });
        assert_eq!(here, far, "{fault:?}");
    }
    for (model, code) in [("nobody", "unknown_model_price"), ("nobody/x", "unknown_model_provider")] {
        let [here, far] = both.each(|mem| {
            let error = block_on(mem.llm(ask(json!({ "model": model })), LlmOptions::default())).unwrap_err();
            (shown(&error), error.message().to_owned())
        });
        assert_eq!(here, far, "{code}");
    }
    let long = LlmOptions { operation: "x".repeat(1_000), ..LlmOptions::default() };
    let [here, far] = both.each(|mem| block_on(mem.llm(ask(json!({})), long.clone())).unwrap_err().to_string());
    assert_eq!(here, far);
}

#[test]
fn a_full_budget_refuses_in_the_same_words_and_an_estimate_says_so() {
    let both = Both::new();
    let [here, far] = both.each(|mem| {
        block_on(mem.call("set_budget", json!({ "daily_limit": 0.00001 }).as_object().cloned().unwrap())).unwrap();
        let refused = block_on(mem.llm(ask(json!({})), LlmOptions::default())).unwrap_err();
        let (chunks, end) = streamed(mem, ask(json!({})), LlmOptions::default());
        assert!(chunks.is_empty());
        let estimate = wire::llm_estimate(&block_on(mem.llm_estimate(ask(json!({})), LlmOptions::default())).unwrap());
        let mut all = json!([shown(&refused), shown(&end.unwrap_err()), estimate]);
        // The two stores have clocks of their own.
        for place in ["/0/2/resets_at", "/1/2/resets_at", "/2/refusal/details/resets_at", "/2/refusal/message"] {
            assert!(all.pointer_mut(place).unwrap().take().is_string());
        }
        all
    });
    assert_eq!(here, far);
    assert_eq!(here[0][0], "budget_exceeded");
    assert!(both.fake.seen().is_empty());
}

#[test]
fn a_stream_that_is_left_ends_at_the_provider_and_is_booked() {
    let both = Both::new();
    both.fake.usually(Behaviour::fails(Fault::StallInStream));
    let far = &both.handles[1];
    block_on(async {
        let mut stream = far.llm_stream(ask(json!({})), LlmOptions::default()).await.unwrap();
        assert_eq!(stream.next().await.unwrap().unwrap().delta.content.as_deref(), Some("one"));
    });
    both.fake.wait_for_given_up(1);
    let row = crate::support::until(|| {
        block_on(far.cost_log(rae_core::CostLogOptions::default())).unwrap().items.into_iter().next()
    });
    assert_eq!(row.status.as_str(), "dropped");
}

#[test]
fn the_server_keeps_the_time_of_a_call_and_a_closed_handle_asks_nothing() {
    let both = Both::new();
    both.fake.usually(Behaviour::fails(Fault::Stall));
    let short = || LlmOptions { timeout: Duration::from_millis(200), ..LlmOptions::default() };
    let [here, far] = both.each(|mem| shown(&block_on(mem.llm(ask(json!({})), short())).unwrap_err()));
    assert_eq!(here, far);
    assert_eq!(here[0], "timeout");
    let seen = both.fake.seen().len();
    block_on(both.handles[1].close()).unwrap();
    let (_, end) = streamed(&both.handles[1], ask(json!({})), LlmOptions::default());
    assert_eq!(end.unwrap_err().code(), "closed");
    assert_eq!(both.fake.seen().len(), seen);
}
