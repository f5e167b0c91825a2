//! Whole answers.

use super::{CHAT, ask, chat, memories, post, said, server};
use crate::provider_support::{Behaviour, FakeProvider, Fault};
use serde_json::{Value, json};

#[test]
fn a_chat_is_forwarded_and_says_what_it_cost() {
    let fake = FakeProvider::start();
    let server = server(&fake, &[]);
    let answer = chat(&server, &[], "How do you do?");
    let body = answer.json();
    assert_eq!((body["object"].as_str(), said(&answer).as_str()), (Some("chat.completion"), "Hello there"));
    assert_eq!(body["choices"][0]["finish_reason"], "stop");
    assert!(body["usage"]["total_tokens"].as_u64().unwrap() > 0 && body["created"].as_u64().unwrap() > 0, "{body}");
    let cost: f64 = answer.header("x-rae-cost-usd").unwrap().parse().unwrap();
    assert!(cost > 0.0 && answer.header("x-request-id").is_some());
    for absent in ["x-cache", "x-rae-memories", "x-rae-degraded", "x-budget-warning"] {
        assert_eq!(answer.header(absent), None, "{absent}");
    }
    // Nothing is remembered unless it is asked for, and the provider sees no key of ours and no header of the client.
    assert_eq!(memories(&server), Vec::<String>::new());
    let seen = fake.seen();
    assert_eq!(seen[0].header("authorization"), Some("Bearer sk-geheim"));
    assert_eq!((seen.len(), seen[0].header("x-tenant-id")), (1, None));
}

#[test]
fn the_field_of_a_request_labels_the_call_and_comes_back_with_what_it_cost() {
    let fake = FakeProvider::start();
    let server = server(&fake, &[]);
    server.remember("Caroline adopted a puppy called Scout.");
    let mut body = ask("What is the puppy of Caroline called?");
    assert!(post(&server, CHAT, &[], &body).json().get("rae").is_none());
    body["rae"] = json!({ "operation": "greet", "user_id": "ada", "request_id": "r-1", "timeout": 30 });
    let answer = post(&server, CHAT, &[("X-RAE-Memory", "read"), ("X-User-ID", "bob")], &body);
    let own = answer.json()["rae"].clone();
    assert_eq!((own["provider"].as_str(), own["attempts"].as_u64()), (Some("openai"), Some(1)), "{own}");
    assert_eq!((&own["cache"], &own["remembered"], &own["warnings"]), (&json!("off"), &json!([]), &json!([])), "{own}");
    let cost: f64 = answer.header("x-rae-cost-usd").unwrap().parse().unwrap();
    assert_eq!(own["cost_usd"].as_f64(), Some(cost));
    let row = server.get("/v1/costs/logs").json()["items"][0].clone();
    let said = ["operation", "user_id", "request_id"].map(|name| row[name].as_str().unwrap().to_owned());
    assert_eq!(said, ["greet", "ada", "r-1"]);
    assert!(fake.seen().iter().all(|seen| seen.body.get("rae").is_none()));
    body["rae"] = json!({});
    let answer = post(&server, CHAT, &[("X-RAE-Memory", "read")], &body);
    assert_eq!(answer.json()["rae"]["memories"].as_array().unwrap().len(), 1, "{}", answer.text());
    for (wrong, code) in [
        (json!({ "operations": "x" }), "unknown_field"),
        (json!({ "timeout": 0 }), "invalid_input"),
        (json!("x"), "invalid_input"),
    ] {
        body["rae"] = wrong;
        post(&server, CHAT, &[], &body).is_gateway_error(400, "invalid_input", code);
    }
}

#[test]
fn memory_is_by_header_or_setting_and_read_leaves_no_turn() {
    let fake = FakeProvider::start();
    let one = server(&fake, &[]);
    one.remember("Caroline adopted a puppy called Scout.");
    let question = "What is the puppy of Caroline called?";
    let answer = chat(&one, &[("X-RAE-Memory", "on"), ("X-Session-ID", "s"), ("X-User-ID", "ada")], question);
    assert_eq!(answer.header("x-rae-memories"), None, "those of another user, or of none, are not ada's");
    assert_eq!(memories(&one)[1..], [question, "Hello there"]);
    let turn = one.get("/v1/memories").json()["items"][1].clone();
    assert_eq!((turn["session_id"].as_str(), turn["user_id"].as_str()), (Some("s"), Some("ada")));
    let answer = chat(&one, &[("X-RAE-Memory", "read")], question);
    assert!(answer.header("x-rae-memories").unwrap().parse::<u64>().unwrap() >= 1);
    let messages = fake.seen().last().unwrap().body["messages"].clone();
    assert!(messages[0]["content"].as_str().unwrap().starts_with("<memory source=\"rae\""), "{messages}");
    assert_eq!(memories(&one).len(), 3);
    chat(&one, &[], question);
    assert_eq!(fake.seen().last().unwrap().body["messages"].as_array().unwrap().len(), 1);

    let two = server(&fake, &[("RAE_GATEWAY_MEMORY", "on")]);
    chat(&two, &[], "By setting.");
    chat(&two, &[("X-RAE-Memory", "off")], "Not this one.");
    assert_eq!(memories(&two), ["By setting.", "Hello there"]);
    post(&two, CHAT, &[("X-RAE-Memory", "maybe")], &ask("x")).is_gateway_error(400, "invalid_input", "invalid_header");
}

#[test]
fn a_dry_run_sends_and_books_nothing() {
    let fake = FakeProvider::start();
    let server = server(&fake, &[("DEFAULT_DAILY_LIMIT", "0.01")]);
    let estimate = post(&server, CHAT, &[("X-Dry-Run", "true")], &ask("How do you do?"));
    let body = estimate.json();
    assert_eq!(
        (estimate.status, body["provider"].as_str(), body["model"].as_str()),
        (200, Some("openai"), Some("gpt-4o-mini"))
    );
    assert_eq!((body["output_tokens"].as_u64(), body["allowed"].as_bool()), (Some(50), Some(true)));
    assert!(body["cost_usd"].as_f64().unwrap() > 0.0 && body.get("refusal").is_none(), "{body}");
    let mut dear = ask("How do you do?");
    (dear["model"], dear["max_tokens"]) = ("gpt-4o".into(), 100_000.into());
    let body = post(&server, CHAT, &[("X-Dry-Run", "true")], &dear).json();
    assert_eq!(
        (body["allowed"].as_bool(), body["refusal"]["kind"].as_str()),
        (Some(false), Some("budget_exceeded")),
        "{body}"
    );
    assert_eq!(fake.seen().len(), 0);
    assert!(post(&server, CHAT, &[], &ask("x")).status == 200);
}

#[test]
fn a_budget_that_is_full_refuses_before_the_first_byte_in_the_words_of_both() {
    let fake = FakeProvider::start();
    let server = server(&fake, &[("DEFAULT_DAILY_LIMIT", "0.000001")]);
    for stream in [false, true] {
        let mut body = ask("How do you do?");
        body["stream"] = stream.into();
        let refused = post(&server, CHAT, &[], &body);
        refused.is_gateway_error(402, "budget_exceeded", "daily_usd_budget_exceeded");
        assert_eq!(refused.json()["error"]["details"]["scope"], "tenant");
    }
    post(&server, "/v1/agent/execute", &[], &json!({ "prompt": "x", "model": "gpt-4o-mini" })).is_error(
        402,
        "budget_exceeded",
        "daily_usd_budget_exceeded",
    );
    assert_eq!(fake.seen().len(), 0);
}

#[test]
fn errors_of_the_request_and_of_the_provider_have_their_status() {
    let fake = FakeProvider::start();
    let server = server(&fake, &[]);
    for (body, code) in [
        (json!({ "messages": [] }), "invalid_input"),
        (json!({ "model": "gpt-4o-mini", "messages": [] }), "invalid_input"),
        (json!({ "model": "gpt-4o-mini", "messages": [{ "role": "nobody", "content": "x" }] }), "invalid_input"),
        (
            json!({ "model": "gpt-4o-mini", "n": 2, "messages": [{ "role": "user", "content": "x" }] }),
            "unsupported_option",
        ),
        (json!({ "model": "no-such-model", "messages": [{ "role": "user", "content": "x" }] }), "unknown_model_price"),
    ] {
        post(&server, CHAT, &[], &body).is_gateway_error(400, "invalid_input", code);
    }
    assert_eq!(fake.seen().len(), 0);
    for (fault, status, kind, code) in [
        (Fault::BadKey, 502, "permission_denied", "provider_authentication"),
        (Fault::ContextLength, 400, "invalid_input", "context_length"),
        (Fault::Content, 400, "invalid_input", "content_refused"),
        (Fault::Status(404), 400, "invalid_input", "provider_rejected"),
        // Longer than the gateway waits: the client is told.
        (Fault::RateLimited(77), 429, "rate_limited", "provider_rate_limited"),
    ] {
        fake.then(Behaviour::fails(fault));
        let answer = post(&server, CHAT, &[], &ask("x"));
        answer.is_gateway_error(status, kind, code);
        assert!(!answer.text().contains("sk-geheim") && !server.log().contains("sk-geheim"));
        if status == 429 {
            assert_eq!(answer.header("retry-after"), Some("77"));
        }
    }
    server.send("POST", CHAT, &[], b"{}").is_gateway_error(400, "invalid_input", "missing_tenant");
    post(&server, CHAT, &[], &json!([])).is_gateway_error(422, "invalid_input", "invalid_input");
    assert_eq!(server.send("POST", CHAT, &[("X-Tenant-ID", "t")], b"{").json()["error"]["type"], "invalid_input");
}

#[test]
fn keys_are_asked_for_as_elsewhere_and_a_viewer_may_not_spend() {
    let fake = FakeProvider::start();
    let server = server(&fake, &[("RAE_API_MASTER_KEY", "the-key-of-the-operator")]);
    let body = ask("x").to_string();
    server.send("POST", CHAT, &[], body.as_bytes()).is_gateway_error(401, "unauthenticated", "missing_key");
    let with = |key: &str, path: &str| {
        let bearer = format!("Bearer {key}");
        let method = if path == "/v1/models" { "GET" } else { "POST" };
        server.send(method, path, &[("Authorization", &bearer)], if method == "GET" { b"" } else { body.as_bytes() })
    };
    let key = |role: &str| {
        let new = json!({ "tenant": "t", "label": role, "role": role }).to_string();
        let made = server.send("POST", "/v1/api-keys", &[("X-API-Key", "the-key-of-the-operator")], new.as_bytes());
        made.json()["key"].as_str().unwrap_or_else(|| panic!("{}", made.text())).to_owned()
    };
    with("rae_nonsense", CHAT).is_gateway_error(401, "unauthenticated", "unknown_key");
    with(&key("viewer"), CHAT).is_gateway_error(403, "permission_denied", "role_too_weak");
    let developer = key("developer");
    assert_eq!(with(&developer, CHAT).status, 200);
    let models = with(&developer, "/v1/models");
    let ids: Vec<Value> = models.json()["data"].as_array().unwrap().iter().map(|m| m["id"].clone()).collect();
    assert!(ids.contains(&json!("openai/gpt-4o-mini")), "{ids:?}");
}

#[test]
fn answers_are_given_again_by_header_and_their_lookups_are_measured() {
    let fake = FakeProvider::start();
    let server = server(&fake, &[]);
    let on = [("X-RAE-Cache", "on")];
    let cache = |text: &str| chat(&server, &on, text).header("x-cache").map(str::to_owned);
    assert_eq!(server.metric("rae_response_cache_hit_ratio"), 0.0);
    assert_eq!(cache("what is the capital city of France").as_deref(), Some("miss"));
    assert_eq!(cache("what is the capital city of France").as_deref(), Some("exact"));
    assert_eq!(cache("What is the capital city of France?").as_deref(), Some("near"));
    let again = chat(&server, &on, "what is the capital city of France");
    assert_eq!((again.header("x-rae-cost-usd"), fake.seen().len()), (Some("0.000000"), 1));
    assert_eq!(server.metric("rae_response_cache_hit_ratio"), 0.75);
    for (result, n) in [("exact", 2.0), ("near", 1.0), ("miss", 1.0)] {
        assert_eq!(server.metric(&format!("rae_response_cache_lookups_total{{result=\"{result}\"}}")), n);
    }
    assert_eq!(chat(&server, &[], "what is the capital city of France").header("x-cache"), None);
}

#[test]
fn an_agent_answers_with_its_memories_and_remembers() {
    let fake = FakeProvider::start();
    let server = server(&fake, &[("RAE_DEFAULT_MODEL", "openai/gpt-4o-mini")]);
    let puppy = server.remember("Caroline adopted a puppy called Scout.");
    let answer = post(
        &server,
        "/v1/agent/execute",
        &[],
        &json!({ "prompt": "What is the puppy of Caroline called?", "session_id": "s" }),
    );
    let body = answer.json();
    assert_eq!((answer.status, body["answer"].as_str()), (200, Some("Hello there")), "{body}");
    assert_eq!(body["memories_used"], json!([puppy]));
    assert!(body["cost_usd"].as_f64().unwrap() > 0.0 && body["usage"]["total_tokens"].as_u64().unwrap() > 0);
    assert_eq!(body["remembered"].as_array().unwrap().len(), 2);
    let api = server.send("GET", "/openapi.json", &[], b"").json();
    let documented = |shape: &str| api["components"]["schemas"][shape]["properties"].as_object().unwrap().clone();
    assert!(body.as_object().unwrap().keys().eq(documented("AgentAnswer").keys()), "{body}");
    let models = server.get("/v1/models").json();
    assert!(models.as_object().unwrap().keys().eq(documented("Models").keys()), "{models}");
    assert!(models["data"][0].as_object().unwrap().keys().eq(documented("Model").keys()), "{models}");
    assert_eq!(memories(&server).len(), 3);
    let messages = json!([{ "role": "system", "content": "Be brief." }, { "role": "user", "content": "And now?" }]);
    let quiet = post(
        &server,
        "/v1/agent/execute",
        &[],
        &json!({ "messages": messages, "remember": false, "memory_tokens": 10 }),
    );
    assert_eq!((quiet.status, memories(&server).len()), (200, 3), "{}", quiet.text());
    for body in [
        json!({}),
        json!({ "prompt": "x", "messages": [] }),
        json!({ "prompt": 1 }),
        json!({ "prompt": "x", "stream": true }),
    ] {
        post(&server, "/v1/agent/execute", &[], &body).is_error(422, "invalid_input", "invalid_input");
    }
    let none = super::server(&fake, &[]);
    post(&none, "/v1/agent/execute", &[], &json!({ "prompt": "x" })).is_error(400, "invalid_input", "missing_model");
}

#[test]
fn a_picture_that_is_longer_than_other_bodies_may_be_is_taken() {
    let fake = FakeProvider::start();
    let server = server(&fake, &[("RAE_MAX_BODY_BYTES", "5000")]);
    let picture = format!("data:image/png;base64,{}", "A".repeat(1_000_000));
    let content =
        json!([{ "type": "text", "text": "What is this?" }, { "type": "image_url", "image_url": { "url": picture } }]);
    let body = json!({ "model": "gpt-4o", "messages": [{ "role": "user", "content": content }] });
    let answer = post(&server, CHAT, &[("X-RAE-Cache", "on")], &body);
    assert_eq!((answer.status, answer.header("x-cache")), (200, Some("miss")), "{}", answer.text());
    assert_eq!(
        fake.seen()[0].body["messages"][0]["content"][1]["image_url"]["url"].as_str().unwrap().len(),
        picture.len()
    );
}

impl crate::http::Answer {
    /// The one error body with the two fields that OpenAI's clients read beside.
    fn is_gateway_error(&self, status: u16, kind: &str, code: &str) {
        assert_eq!(self.status, status, "{}", self.text());
        let error = self.json()["error"].clone();
        assert_eq!((error["kind"].as_str(), error["code"].as_str()), (Some(kind), Some(code)), "{error}");
        assert_eq!((error["type"].as_str(), error.get("param")), (Some(kind), Some(&Value::Null)), "{error}");
        assert_eq!(error["request_id"].as_str(), self.header("x-request-id"));
    }
}
