//! The real binary on PostgreSQL and Redis.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)] // a test reports by panicking

#[path = "http/support.rs"]
#[allow(dead_code)]
mod http;
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
    ] {
        let (code, error) = run(&["--port", "0"], &[(name, url), ("RAE_LOG_LEVEL", "trace")]);
        assert_eq!(code, Some(1), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
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
