//! The gateway over real HTTP: the real binary, and a local server that speaks the providers' wire formats.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)] // a test reports by panicking

#[path = "http/support.rs"]
#[allow(dead_code)]
mod http;
#[path = "../../rae-core/tests/provider_support/mod.rs"]
mod provider_support;

mod support;

#[path = "gateway/chat.rs"]
mod chat;
#[path = "gateway/crash.rs"]
mod crash;
#[path = "gateway/stream.rs"]
mod stream;

use http::{Answer, Server};
use provider_support::FakeProvider;
use serde_json::{Value, json};

const CHAT: &str = "/v1/chat/completions";
const T: (&str, &str) = ("X-Tenant-ID", "t");

/// A server with one provider.
fn server(fake: &FakeProvider, env: &[(&str, &str)]) -> Server {
    let url = fake.url();
    let given = [("OPENAI_API_KEY", "sk-geheim"), ("RAE_OPENAI_BASE_URL", url.as_str())];
    Server::with(&[&given, env].concat())
}

fn ask(text: &str) -> Value {
    json!({ "model": "gpt-4o-mini", "max_tokens": 50, "messages": [{ "role": "user", "content": text }] })
}

fn post(server: &Server, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
    server.send("POST", path, &[&[T], headers].concat(), body.to_string().as_bytes())
}

fn chat(server: &Server, headers: &[(&str, &str)], text: &str) -> Answer {
    let answer = post(server, CHAT, headers, &ask(text));
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer
}

fn said(answer: &Answer) -> String {
    answer.json()["choices"][0]["message"]["content"].as_str().unwrap().to_owned()
}

/// Texts of the tenant's memories, oldest first.
fn memories(server: &Server) -> Vec<String> {
    let items = server.get("/v1/memories").json()["items"].as_array().unwrap().clone();
    items.iter().map(|item| item["content"].as_str().unwrap().to_owned()).collect()
}
