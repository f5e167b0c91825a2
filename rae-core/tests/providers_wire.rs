//! What the clients of the three wire formats send.
#![cfg(feature = "http")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test reports by panicking

mod provider_support;

use provider_support::{FakeProvider, Seen};
use rae_core::{
    Ctx, ErrorKind,
    conformance::embed as cases,
    limits::EMBED_BATCH_MAX,
    model::{ChatRequest, Scope},
    ports::{Charge, EmbedRole, Embedder, LlmFailure},
    providers::{ProviderConfig, ProviderKind, Providers},
};
use serde_json::{Value, json};
use std::future::Future;

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn ctx() -> Ctx {
    Ctx::new(Scope::new("t", "p").unwrap())
}

/// Sends a body of chat completions to a provider of this kind; what came in there.
fn send(kind: ProviderKind, body: &Value) -> Result<Seen, LlmFailure> {
    let fake = FakeProvider::start();
    let config = ProviderConfig { organization: Some("org-1".into()), ..ProviderConfig::new("p", kind) };
    let providers = Providers::new([config.key("k-1").at(fake.url())]).unwrap();
    let (mut request, _) = ChatRequest::from_openai(body.clone()).unwrap();
    let routed = providers.route(&request.model).unwrap();
    request.model = routed.model;
    run(routed.provider.complete(&ctx(), &request))?;
    Ok(fake.seen().pop().unwrap())
}

/// A conversation with everything that all of them take.
fn rich() -> Value {
    let call = |id: &str, city: &str| {
        json!({"id": id, "type": "function",
            "function": {"name": "weather", "arguments": format!("{{\"city\":\"{city}\"}}")}})
    };
    json!({
        "model": "m-1",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "developer", "content": [{"type": "text", "text": "Be kind."}]},
            {"role": "user", "content": [
                {"type": "text", "text": "Weather here?"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
            ]},
            {"role": "assistant", "content": "", "tool_calls": [call("a", "Bern"), call("b", "Basel")]},
            {"role": "tool", "tool_call_id": "a", "content": "{\"sky\":\"blue\"}"},
            {"role": "tool", "tool_call_id": "b", "content": "rain"},
            {"role": "user", "content": "So?"},
        ],
        "tools": [{"type": "function", "function": {"name": "weather", "description": "Looks.",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}, "strict": true}}],
        "tool_choice": {"type": "function", "function": {"name": "weather"}},
        "response_format": {"type": "json_schema",
            "json_schema": {"name": "sky", "schema": {"type": "object"}, "strict": true}},
        "temperature": 0.5, "top_p": 0.9, "stop": "END", "max_tokens": 77, "user": "u-1",
        "parallel_tool_calls": false, "seed": 7,
    })
}

#[test]
fn openai_gets_the_request_as_it_is_with_its_name_of_the_maximum() {
    let seen = send(ProviderKind::OpenAi, &rich()).unwrap();
    assert_eq!(seen.path, "/v1/chat/completions");
    assert_eq!((seen.header("authorization"), seen.header("openai-organization")), (Some("Bearer k-1"), Some("org-1")));
    let mut expected = rich();
    let fields = expected.as_object_mut().unwrap();
    let most = fields.remove("max_tokens").unwrap();
    fields.insert("max_completion_tokens".to_owned(), most);
    fields.insert("stop".to_owned(), json!(["END"]));
    assert_eq!(seen.body, expected);
}

#[test]
fn compatible_servers_get_the_older_names_and_unknown_fields() {
    let seen = send(ProviderKind::Compatible, &rich()).unwrap();
    assert_eq!((&seen.body["max_tokens"], seen.body.get("max_completion_tokens")), (&json!(77), None));
    assert_eq!(seen.body["messages"][1]["role"], "system");
    assert_eq!(seen.body["seed"], 7);
}

#[test]
fn anthropic_gets_its_own_shape() {
    let seen = send(ProviderKind::Anthropic, &rich()).unwrap();
    assert_eq!(seen.path, "/v1/messages");
    assert_eq!((seen.header("x-api-key"), seen.header("anthropic-version")), (Some("k-1"), Some("2023-06-01")));
    assert_eq!(seen.header("authorization"), None);
    let source = json!({"type": "base64", "media_type": "image/png", "data": "AAAA"});
    let text = |text: &str| json!({"type": "text", "text": text});
    let asks = |id: &str, city: &str| json!({"type": "tool_use", "id": id, "name": "weather", "input": {"city": city}});
    let gives = |id: &str, said: &str| json!({"type": "tool_result", "tool_use_id": id, "content": [text(said)]});
    let expected = json!({
        "model": "m-1", "max_tokens": 77, "system": "Be brief.\n\nBe kind.",
        "messages": [
            {"role": "user", "content": [text("Weather here?"), {"type": "image", "source": source}]},
            {"role": "assistant", "content": [asks("a", "Bern"), asks("b", "Basel")]},
            {"role": "user", "content": [gives("a", "{\"sky\":\"blue\"}"), gives("b", "rain"), text("So?")]},
        ],
        "tools": [{"name": "weather", "description": "Looks.", "strict": true,
            "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}],
        "tool_choice": {"type": "tool", "name": "weather", "disable_parallel_tool_use": true},
        "output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}},
        "temperature": 0.5, "top_p": 0.9, "stop_sequences": ["END"], "metadata": {"user_id": "u-1"},
    });
    assert_eq!(seen.body, expected);
}

#[test]
fn anthropic_always_gets_a_maximum() {
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "x"}]});
    assert_eq!(send(ProviderKind::Anthropic, &body).unwrap().body["max_tokens"], 4_096);
}

#[test]
fn google_gets_its_own_shape_and_no_key_in_the_address() {
    let seen = send(ProviderKind::Google, &rich()).unwrap();
    assert_eq!(seen.path, "/v1beta/models/m-1:generateContent");
    assert_eq!(seen.header("x-goog-api-key"), Some("k-1"));
    let asks = |id: &str, city: &str| json!({"functionCall": {"id": id, "name": "weather", "args": {"city": city}}});
    let gives = |id: &str, said: Value| json!({"functionResponse": {"id": id, "name": "weather", "response": said}});
    let expected = json!({
        "systemInstruction": {"parts": [{"text": "Be brief.\n\nBe kind."}]},
        "contents": [
            {"role": "user",
                "parts": [{"text": "Weather here?"}, {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}]},
            {"role": "model", "parts": [asks("a", "Bern"), asks("b", "Basel")]},
            {"role": "user",
                "parts": [gives("a", json!({"sky": "blue"})), gives("b", json!({"result": "rain"})), {"text": "So?"}]},
        ],
        "tools": [{"functionDeclarations": [{"name": "weather", "description": "Looks.",
            "parametersJsonSchema": {"type": "object", "properties": {"city": {"type": "string"}}}}]}],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["weather"]}},
        "generationConfig": {"temperature": 0.5, "topP": 0.9, "stopSequences": ["END"], "maxOutputTokens": 77,
            "responseMimeType": "application/json", "responseJsonSchema": {"type": "object"}},
    });
    assert_eq!(seen.body, expected);
}

#[test]
fn a_call_of_another_model_gets_a_signature_that_the_third_gemini_takes() {
    let mut body = rich();
    body["model"] = "gemini-3-pro".into();
    let parts = &send(ProviderKind::Google, &body).unwrap().body["contents"][1]["parts"];
    assert_eq!(parts[0]["thoughtSignature"], "skip_thought_signature_validator");
    assert_eq!(parts[1].get("thoughtSignature"), None);
}

#[test]
fn the_name_of_a_model_is_one_segment_of_the_address() {
    for (model, path) in [
        ("p/models/m-1", "/v1beta/models/m-1:generateContent"),
        ("p/../../v1/x?y#z", "/v1beta/models/..%2F..%2Fv1%2Fx%3Fy%23z:generateContent"),
    ] {
        let body = json!({"model": model, "messages": [{"role": "user", "content": "x"}]});
        assert_eq!(send(ProviderKind::Google, &body).unwrap().path, path);
    }
}

#[test]
fn what_a_provider_cannot_be_asked_is_refused_before_it_is_sent() {
    let user = |content: Value| json!({"model": "m", "messages": [{"role": "user", "content": content}]});
    let sound = user(json!([{"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}]));
    let picture = user(json!([{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]));
    let mut object = user(json!("x"));
    object["response_format"] = json!({"type": "json_object"});
    let system = json!({"model": "m", "messages": [{"role": "system", "content": "x"}]});
    let stray = json!({"model": "m", "messages": [{"role": "tool", "content": "x"}]});
    let broken = json!({"model": "m", "messages": [{"role": "assistant", "tool_calls": [
        {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{"}}]}]});
    let (anthropic, google) = (ProviderKind::Anthropic, ProviderKind::Google);
    for (kind, body) in [
        (anthropic, &sound),
        (google, &sound),
        (google, &picture),
        (anthropic, &object),
        (anthropic, &system),
        (google, &system),
        (anthropic, &stray),
        (google, &stray),
        (anthropic, &broken),
        (google, &broken),
    ] {
        let failure = send(kind, body).unwrap_err();
        assert_eq!((failure.error.kind(), failure.error.code()), (ErrorKind::InvalidInput, "provider_rejected"));
        assert_eq!(failure.charge, Charge::Nothing);
    }
    assert!(send(anthropic, &picture).is_ok() && send(google, &object).is_ok());
}

const EMBEDDING: [ProviderKind; 3] = [ProviderKind::OpenAi, ProviderKind::Compatible, ProviderKind::Google];

fn embedder(kind: ProviderKind, fake: &FakeProvider) -> rae_core::providers::ProviderEmbedder {
    let config = ProviderConfig::new("p", kind).key("k-1").at(fake.url());
    Providers::new([config]).unwrap().embedder("embed-1", Some(64)).unwrap()
}

#[test]
fn embedders_keep_the_rules_of_the_port() {
    let fake = FakeProvider::start();
    for kind in EMBEDDING {
        let embedder = embedder(kind, &fake);
        assert_eq!(embedder.id(), "embed-1@p/64");
        run(async {
            cases::the_id_names_the_dimension(&embedder).await;
            cases::ordinary_texts_have_vectors(&embedder).await;
            cases::no_texts_give_no_vectors(&embedder).await;
            cases::the_same_text_gives_the_same_vector(&embedder).await;
            cases::a_batch_gives_what_its_texts_give(&embedder).await;
            cases::different_texts_differ(&embedder).await;
            cases::like_texts_are_near(&embedder).await;
            cases::odd_texts_are_taken(&embedder).await;
            cases::the_longest_text_is_taken(&embedder).await;
            cases::the_largest_batch_is_taken(&embedder).await;
        });
    }
}

#[test]
fn embeddings_cost_what_the_provider_counted_over_all_its_requests() {
    use provider_support::{Behaviour, Fault, Says};
    for kind in EMBEDDING {
        let fake = FakeProvider::start();
        fake.usually(Behaviour { input: Some(10), ..Behaviour::default() });
        let embedder = embedder(kind, &fake);
        let many = vec!["a text"; EMBED_BATCH_MAX];
        let (vectors, usage) = run(embedder.embed_with_usage(&ctx(), &many, EmbedRole::Query)).unwrap();
        assert_eq!((vectors.len(), fake.seen().len()), (EMBED_BATCH_MAX, 3));
        assert_eq!((usage.input_tokens, usage.output_tokens, usage.estimated), (30, 0, false));
        // The second of three requests is refused: the first one was paid.
        fake.then(Behaviour { input: Some(10), ..Behaviour::default() }).then(Behaviour::fails(Fault::Status(503)));
        let failure = run(embedder.embed_with_usage(&ctx(), &many, EmbedRole::Query)).unwrap_err();
        assert!(matches!(failure.charge, Charge::Usage(usage) if usage.input_tokens == 10), "{failure:?}");
        fake.then(Behaviour { says: Says::Nothing, ..Behaviour::default() });
        let (_, usage) = run(embedder.embed_with_usage(&ctx(), &["two words"], EmbedRole::Query)).unwrap();
        assert!(usage.estimated && usage.input_tokens > 0);
        fake.then(Behaviour::fails(Fault::Status(401)));
        let failure = run(embedder.embed_with_usage(&ctx(), &["x"], EmbedRole::Query)).unwrap_err();
        assert_eq!((failure.error.code(), failure.charge), ("provider_authentication", Charge::Nothing));
    }
}

#[test]
fn embedders_send_the_shape_of_their_provider() {
    let fake = FakeProvider::start();
    let of = |kind, model: &str, dim| {
        let config = ProviderConfig::new("p", kind).key("k-1").at(fake.url());
        let embedder = Providers::new([config]).unwrap().embedder(model, dim).unwrap();
        let sent = run(embedder.embed_with_usage(&ctx(), &["one", " ", "two"], EmbedRole::Query));
        (sent, fake.seen().pop().unwrap())
    };
    let (_, seen) = of(ProviderKind::OpenAi, "text-embedding-3-small", Some(64));
    assert_eq!(seen.path, "/v1/embeddings");
    let expected = json!({"model": "text-embedding-3-small", "input": ["one", "two"], "encoding_format": "float", "dimensions": 64});
    assert_eq!(seen.body, expected);
    let (_, seen) = of(ProviderKind::Google, "gemini-embedding-001", Some(64));
    assert_eq!(seen.path, "/v1beta/models/gemini-embedding-001:batchEmbedContents");
    let one = |text: &str| {
        json!({"model": "models/gemini-embedding-001", "content": {"parts": [{"text": text}]},
            "taskType": "RETRIEVAL_QUERY", "outputDimensionality": 64})
    };
    assert_eq!(seen.body, json!({"requests": [one("one"), one("two")]}));
    // The whole dimension is not asked for; the answer has another one.
    let (sent, seen) = of(ProviderKind::OpenAi, "text-embedding-3-small", None);
    assert_eq!(seen.body.get("dimensions"), None);
    assert_eq!(sent.unwrap_err().error.code(), "wrong_dimension");
}

#[test]
fn an_embedder_whose_dimension_cannot_be_is_refused() {
    let providers = Providers::new([ProviderConfig::openai("k"), ProviderConfig::anthropic("k")]).unwrap();
    for (model, dim) in [
        ("openai/embed-1", None),
        ("openai/embed-1", Some(0)),
        ("openai/embed-1", Some(4_097)),
        ("text-embedding-3-small", Some(1_537)),
        ("anthropic/embed-1", Some(64)),
    ] {
        assert_eq!(providers.embedder(model, dim).unwrap_err().kind(), ErrorKind::InvalidInput, "{model} {dim:?}");
    }
    assert_eq!(providers.embedder("text-embedding-3-large", None).unwrap().id(), "text-embedding-3-large@openai/3072");
}
