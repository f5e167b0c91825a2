//! The real binary on PostgreSQL and Redis.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)] // a test reports by panicking

#[path = "http/support.rs"]
#[allow(dead_code)]
mod http;
#[path = "../../rae-core/tests/provider_support/mod.rs"]
mod provider_support;
mod support;

use http::{Folder, Server, command, until};
use serde_json::json;
use std::{process::Stdio, sync::Arc};
use support::{postgres::Cluster, redis};

/// Ends by itself; its exit code and what it said.
fn run(args: &[&str], env: &[(&str, &str)]) -> (Option<i32>, String) {
    let folder = Folder::new();
    let output = command(&folder.0).args(args).envs(env.iter().copied()).stderr(Stdio::piped()).output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn contents(server: &Server, query: &str) -> Vec<String> {
    let answer = server.post("/v1/memories/recall", json!({ "query": query, "k": 5 }));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let hits = answer.json()["hits"].as_array().unwrap().clone();
    hits.iter().map(|hit| hit["content"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn replicas_on_one_database_see_one_anothers_writes_at_the_next_call() {
    let database = Cluster::shared().empty();
    let cache = redis::Server::start();
    let redis_url = format!("redis://127.0.0.1:{}/0", cache.port);
    let (url, folder) = (database.url(), || Arc::new(Folder::new()));
    let env = [("DATABASE_URL", url.as_str()), ("REDIS_URL", redis_url.as_str())];
    // Both make the schema at once.
    let started = std::thread::spawn({
        let (url, redis_url, folder) = (url.clone(), redis_url.clone(), folder());
        move || Server::in_folder(folder, &[("DATABASE_URL", &url), ("REDIS_URL", &redis_url)])
    });
    let (one, two) = (Server::in_folder(folder(), &env), started.join().unwrap());
    for i in 0..5 {
        let id = one.remember(&format!("Balloon {i} left the quay."));
        assert_eq!(contents(&two, &format!("balloon {i}"))[0], format!("Balloon {i} left the quay."));
        assert_eq!(two.call("DELETE", &format!("/v1/memories/{id}"), "").status, 200);
        assert!(!contents(&one, "balloon").contains(&format!("Balloon {i} left the quay.")));
    }
    assert!(!one.folder.0.join("rae-data/memory.rae").exists(), "nothing is kept in a file");
    assert!(one.metric("rae_postgres_connections{state=\"idle\"}") >= 1.0, "{}", one.get("/metrics").text());
    assert!(one.log().contains("PostgreSQL") && one.log().contains("Redis"), "{}", one.log());

    let id = one.remember("Kept for one tenant.");
    assert_eq!(two.call_as("other", "GET", &format!("/v1/memories/{id}"), "").status, 404);
    assert_eq!(two.call("GET", &format!("/v1/memories/{id}"), "").status, 200);

    // Without its cache a server answers as before, and goes on when the cache is back.
    cache.stop();
    assert_eq!(contents(&one, "kept")[0], "Kept for one tenant.");
    assert!(!two.remember("Said without Redis.").is_empty());
    cache.again();
    assert_eq!(contents(&two, "said without Redis")[0], "Said without Redis.");
}

#[test]
fn replicas_without_redis_never_give_an_answer_again_that_was_erased_on_another_one() {
    let (database, fake) = (Cluster::shared().empty(), provider_support::FakeProvider::start());
    let (url, provider) = (database.url(), fake.url());
    let env = [("DATABASE_URL", &*url), ("OPENAI_API_KEY", "sk-geheim"), ("RAE_OPENAI_BASE_URL", &*provider)];
    let (one, two) = (Server::with(&env), Server::with(&env));
    let tenant = ("X-Tenant-ID", "t");
    let messages = json!([{ "role": "user", "content": "Tell me a secret." }]);
    let body = json!({ "model": "gpt-4o-mini", "max_tokens": 50, "messages": messages }).to_string();
    let headers = [tenant, ("X-RAE-Cache", "on"), ("X-User-ID", "ada")];
    let cache = |server: &Server| {
        let answer = server.send("POST", "/v1/chat/completions", &headers, body.as_bytes());
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.header("x-cache").map(str::to_owned)
    };
    for (scope, target) in [("user", "ada"), ("session", "monday"), ("project", "default")] {
        assert_eq!([cache(&two), cache(&two)].map(Option::unwrap), ["miss", "exact"], "{scope}");
        let erasure = json!({ "scope": scope, "target": target }).to_string();
        assert_eq!(one.send("POST", "/v1/erasure", &[tenant], erasure.as_bytes()).status, 200);
    }
    assert_eq!(cache(&two).as_deref(), Some("miss"));
}

#[test]
fn a_restart_of_the_database_loses_nothing_that_was_acknowledged_and_is_survived() {
    let cluster = Cluster::start(true);
    let database = cluster.empty();
    let url = database.url();
    let server = Server::with(&[("DATABASE_URL", &url)]);
    let kept: Vec<String> = (0..20).map(|i| server.remember(&format!("Entry {i}."))).collect();
    cluster.stop();
    let refused = server.call("GET", &format!("/v1/memories/{}", kept[0]), "");
    assert!(matches!(refused.status, 503 | 504), "{} {}", refused.status, refused.text());
    assert_eq!(server.call("GET", "/health/live", "").status, 200);
    cluster.again();
    for id in &kept {
        until(|| Some(()).filter(|()| server.call("GET", &format!("/v1/memories/{id}"), "").status == 200));
    }
    assert!(!server.remember("After the restart.").is_empty());
}

#[test]
fn a_replica_leaves_the_schema_to_migrate_which_may_run_twice_at_once() {
    let database = Cluster::shared().empty();
    let url = database.url();
    let (code, error) = run(&["api", "--port", "0"], &[("DATABASE_URL", &url)]);
    assert_eq!(code, Some(1));
    assert!(error.contains("migrate"), "{error}");
    let others: Vec<_> = (0..3)
        .map(|_| {
            let url = url.clone();
            std::thread::spawn(move || run(&["migrate"], &[("DATABASE_URL", &url)]))
        })
        .collect();
    for other in others {
        let (code, error) = other.join().unwrap();
        assert_eq!(code, Some(0), "{error}");
    }
    let server = Server::with(&[("DATABASE_URL", &url)]);
    assert!(!server.remember("It works.").is_empty());
}

#[test]
fn a_password_is_in_no_message_and_no_log() {
    for (name, url) in [
        ("DATABASE_URL", "postgres://rae:hunter2@127.0.0.1:1/nowhere"),
        ("DATABASE_URL", "postgres://rae:hunter2@127.0.0.1:bad/nowhere"),
        ("REDIS_URL", "redis://:hunter2@127.0.0.1:bad/0"),
        ("QDRANT_URL", "http://rae:hunter2@127.0.0.1:6333"),
    ] {
        let (code, error) = run(&["--port", "0"], &[(name, url), ("RAE_LOG_LEVEL", "trace")]);
        assert_eq!(code, Some(1), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}

const MASTER: &str = "an-operator-key-of-some-length";

#[test]
fn keys_hold_in_every_replica_and_a_revocation_reaches_all_within_seconds() {
    let database = Cluster::shared().empty();
    let url = database.url();
    let one = Server::with(&[("DATABASE_URL", &url), ("RAE_API_MASTER_KEY", MASTER)]);
    // This one trusts the header until the store has a key.
    let two = Server::with(&[("DATABASE_URL", &url)]);
    assert_eq!(two.get("/v1/memories").status, 200);
    let operator =
        |method: &str, path: &str, body: &str| one.send(method, path, &[("X-API-Key", MASTER)], body.as_bytes());
    let made = operator("POST", "/v1/api-keys", r#"{"tenant": "t%_'", "role": "developer", "label": "caf\u00e9"}"#);
    assert_eq!(made.status, 201, "{}", made.text());
    let (key, id) = (made.json()["key"].as_str().unwrap().to_owned(), made.json()["id"].as_str().unwrap().to_owned());
    let ask = |server: &Server| server.send("GET", "/v1/memories", &[("X-API-Key", key.as_str())], b"");
    assert_eq!(ask(&one).status, 200);
    until(|| Some(()).filter(|()| two.get("/v1/memories").status == 401));
    assert_eq!(ask(&two).status, 200);
    let stored = two.send("POST", "/v1/memories", &[("X-API-Key", key.as_str())], br#"{"content": "From two."}"#);
    assert_eq!(stored.status, 201, "{}", stored.text());
    assert_eq!(ask(&one).json()["items"][0]["content"], "From two.");
    two.send("GET", "/v1/memories", &[("X-API-Key", key.as_str()), ("X-Tenant-ID", "t")], b"").is_error(
        403,
        "permission_denied",
        "other_tenant",
    );
    let listed = operator("GET", "/v1/tenants", "").json();
    assert!(listed["items"].as_array().unwrap().iter().any(|tenant| tenant["id"] == "t%_'"), "{listed}");
    assert_eq!(operator("DELETE", &format!("/v1/api-keys/{id}"), "").status, 200);
    assert_eq!(ask(&one).status, 401, "at once where it was revoked");
    until(|| Some(()).filter(|()| ask(&two).status == 401));
}

#[test]
fn replicas_share_one_limit_and_losing_redis_fails_no_request() {
    let cache = redis::Server::start();
    let redis_url = format!("redis://127.0.0.1:{}/0", cache.port);
    // A window that no test run outlasts.
    let env = [("REDIS_URL", redis_url.as_str()), ("RAE_RATE_LIMIT", "10"), ("RAE_RATE_LIMIT_WINDOW", "86400")];
    let servers = [Server::with(&env), Server::with(&env)];
    let ask = |n: usize, tenant: &str| servers[n % 2].call_as(tenant, "GET", "/v1/memories", "");
    for n in 0..10 {
        let answer = ask(n, "t");
        assert_eq!(answer.status, 200, "{n}: {}", answer.text());
        assert_eq!(answer.header("ratelimit-limit"), Some("10"));
        assert_eq!(answer.header("ratelimit-remaining"), Some((9 - n).to_string().as_str()));
        assert_eq!(answer.header("ratelimit-policy"), Some("\"tenant\";q=10;w=86400"));
        assert!(answer.header("ratelimit").unwrap().starts_with(&format!("\"tenant\";r={};t=", 9 - n)));
    }
    for n in 0..4 {
        let refused = ask(n, "t");
        refused.is_error(429, "rate_limited", "rate_limited");
        let wait = refused.header("retry-after").unwrap().parse::<u64>().unwrap();
        assert_eq!(refused.json()["error"]["details"]["retry_after"], wait);
        assert_eq!(
            (refused.header("ratelimit-remaining"), refused.header("ratelimit-reset")),
            (Some("0"), Some(wait.to_string().as_str()))
        );
    }
    // Other tenants, probes and pages are not concerned.
    assert_eq!(ask(0, "T").status, 200);
    for open in ["/health", "/health/live", "/metrics", "/docs", "/openapi.json"] {
        let answer = servers[0].send("GET", open, &[], b"");
        assert_eq!((answer.status, answer.header("ratelimit-limit")), (200, None), "{open}");
    }
    assert!(servers[0].metric("rae_http_rejected_total{reason=\"rate\"}") >= 1.0);
    for n in 0..4 {
        assert_eq!(ask(n, "u").status, 200);
    }
    cache.stop();
    // Each counts for itself from what it knows: nothing fails, and the limit still holds in each.
    for server in 0..2 {
        let statuses: Vec<u16> = (0..12).map(|_| ask(server, "u").status).collect();
        let let_in = statuses.iter().filter(|status| **status == 200).count();
        assert!(statuses.iter().all(|status| [200, 429].contains(status)), "{statuses:?}");
        assert!((6..=10).contains(&let_in), "{statuses:?}");
        assert_eq!(ask(server, "t").status, 429, "what was used up stays so");
    }
    cache.again();
    assert_eq!(ask(0, "new").status, 200);
}

#[test]
fn diagnostics_answer_while_the_stores_do_not_and_say_which() {
    let cluster = Cluster::start(false);
    let database = cluster.empty();
    let cache = redis::Server::start();
    let (url, redis_url) = (database.url(), format!("redis://127.0.0.1:{}/0", cache.port));
    let key = "the-key-of-the-operator";
    let server = Server::with(&[("DATABASE_URL", &url), ("REDIS_URL", &redis_url), ("RAE_API_MASTER_KEY", key)]);
    let ask = || {
        let answer = server.send("GET", "/v1/admin/diagnostics", &[("X-API-Key", key)], b"");
        assert_eq!(answer.status, 200, "{}", answer.text());
        let text = answer.text();
        assert!(!text.contains(key) && !text.contains("postgres://") && !text.contains("redis://"), "{text}");
        answer.json()
    };
    let well = ask();
    assert_eq!((&well["memories"]["kind"], &well["cache"]["kind"]), (&json!("postgresql"), &json!("redis")));
    assert_eq!((&well["memories"]["reachable"], &well["cache"]["reachable"]), (&json!(true), &json!(true)));
    assert!(well["memories"]["latency_ms"].as_f64().unwrap() > 0.0 && well["memories"]["schema_version"].is_u64());
    assert_eq!((&well["settings"]["database_url"], &well["memories"]["pool"]["most"]), (&json!("(set)"), &json!(10)));
    cluster.stop();
    cache.stop();
    let ill = ask();
    assert_eq!((&ill["memories"]["reachable"], &ill["memories"]["schema_version"]), (&json!(false), &json!(null)));
    assert!(ill["memories"]["error"].is_string(), "{ill}");
    until(|| Some(ask()).filter(|now| now["cache"]["reachable"] == false));
}
