//! Budgets and costs over HTTP: the real binary, on the embedded store and on PostgreSQL.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)] // a test reports by panicking

#[path = "http/support.rs"]
#[allow(dead_code)]
mod http;
mod support;

#[path = "budgets/pages.rs"]
mod pages;
#[path = "budgets/replicas.rs"]
mod replicas;
#[path = "budgets/routes.rs"]
mod routes;
#[path = "budgets/seen.rs"]
mod seen;

use http::{Answer, Folder, Server};
use serde_json::{Value, json};
use std::sync::Arc;

const MASTER: &str = "an-operator-key-of-some-length";

/// A server on which a token read costs a micro-dollar and a token written two, for the model `m` of `acme`; without limits
/// of its own.
fn server(env: &[(&str, &str)]) -> Server {
    let folder = Arc::new(Folder::new());
    Server::in_folder(Arc::clone(&folder), &with_prices(&folder, env).each())
}

/// Variables with a file of prices among them.
struct Environment(Vec<(String, String)>);

impl Environment {
    fn each(&self) -> Vec<(&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }
}

fn with_prices(folder: &Folder, env: &[(&str, &str)]) -> Environment {
    let file = folder.0.join("prices.json");
    let prices = json!({ "models": [{ "provider": "acme", "model": "m", "input": "1", "output": "2" }] });
    std::fs::write(&file, prices.to_string()).unwrap();
    let given = |name: &str| env.iter().any(|(given, _)| *given == name);
    let fixed = [
        ("RAE_PRICES_FILE", file.to_str().unwrap()),
        ("DEFAULT_DAILY_LIMIT", "none"),
        ("DEFAULT_MONTHLY_LIMIT", "none"),
    ];
    let all = fixed.into_iter().filter(|(name, _)| !given(name)).chain(env.iter().copied());
    Environment(all.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

/// A call that holds `input + 2 * output` micro-dollars.
fn call(input: u64, output: u64) -> Value {
    json!({ "provider": "acme", "model": "m", "input_tokens": input, "output_tokens": output })
}

fn with(mut value: Value, more: Value) -> Value {
    value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    value
}

fn reserve(server: &Server, call: &Value) -> Answer {
    server.post("/v1/costs/reservations", call.clone())
}

/// Holds and settles a call of exactly these tokens.
fn spend(server: &Server, tenant: &[(&str, &str)], call: Value, input: u64, output: u64) -> Value {
    let held = server.send("POST", "/v1/costs/reservations", tenant, call.to_string().as_bytes());
    assert_eq!(held.status, 201, "{}", held.text());
    let path = format!("/v1/costs/reservations/{}/settle", held.json()["id"].as_str().unwrap());
    let end = with(call, json!({ "usage": { "input_tokens": input, "output_tokens": output } }));
    let settled = server.send("POST", &path, tenant, end.to_string().as_bytes());
    assert_eq!(settled.status, 200, "{}", settled.text());
    settled.json()
}

fn put(server: &Server, headers: &[(&str, &str)], change: Value) -> Value {
    let answer = server.send("PUT", "/v1/budgets", headers, change.to_string().as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

const T: (&str, &str) = ("X-Tenant-ID", "t");
