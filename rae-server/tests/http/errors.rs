//! What goes wrong has one body, the status of the contract, and no content in it.

use crate::support::Server;
use serde_json::json;

#[test]
fn malformed_is_400_and_wrong_is_422() {
    let server = Server::start();
    let post = |path: &str, body: &str| server.call("POST", path, body);
    for body in ["{", "{\"content\": }", "nonsense", "{\"content\": NaN}", "{\"content\": 1e999}", "{} {}", "{\"a\" 1}"]
    {
        post("/v1/memories", body).is_error(400, "invalid_input", "malformed_json");
    }
    server.send("POST", "/v1/memories", &[("X-Tenant-ID", "t")], b"{\"content\": \"\xff\"}").is_error(
        400,
        "invalid_input",
        "malformed_json",
    );
    post("/v1/memories", "").is_error(400, "invalid_input", "empty_body");
    post("/v1/memories", &("{\"metadata\":".to_owned() + &"[".repeat(40))).is_error(
        400,
        "invalid_input",
        "json_too_deep",
    );
    for body in ["[]", "null", "5", "\"text\""] {
        post("/v1/memories", body).is_error(422, "invalid_input", "invalid_input");
    }
    for (path, body, code) in [
        ("/v1/memories", json!({}), "invalid_input"),
        ("/v1/memories", json!({ "content": 5 }), "invalid_input"),
        ("/v1/memories", json!({ "content": "" }), "content_empty"),
        ("/v1/memories", json!({ "content": "x".repeat((1 << 20) + 1) }), "content_too_long"),
        ("/v1/memories", json!({ "content": "x", "importance": 2 }), "invalid_input"),
        ("/v1/memories", json!({ "content": "x", "kind": "note" }), "invalid_input"),
        ("/v1/memories", json!({ "content": "x", "contents": "y" }), "unknown_field"),
        ("/v1/memories/recall", json!({ "query": "x", "k": -1 }), "invalid_k"),
        ("/v1/memories/recall", json!({ "query": "x", "k": 1_000_000_000 }), "invalid_k"),
        ("/v1/memories/recall", json!({ "k": 1 }), "invalid_input"),
        ("/v1/memories/recall", json!({ "query": "x", "layers": [] }), "invalid_input"),
        ("/v1/memories/batch", json!({ "items": {} }), "invalid_input"),
        ("/v1/context", json!({}), "invalid_input"),
        ("/v1/erasure", json!({ "scope": "galaxy", "target": "x" }), "invalid_input"),
    ] {
        post(path, &body.to_string()).is_error(422, "invalid_input", code);
    }
    assert_eq!(server.get("/v1/stats").json()["memories"], 0);
}

#[test]
fn wrong_parameters_and_ids_are_400() {
    let server = Server::start();
    for (path, code) in [
        ("/v1/memories?limit=0", "invalid_limit"),
        ("/v1/memories?limit=ten", "invalid_limit"),
        ("/v1/memories?limit=1001", "invalid_limit"),
        ("/v1/memories?page=2", "unknown_parameter"),
        ("/v1/memories?limit=1&limit=2", "repeated_parameter"),
        ("/v1/memories?filter=%7B", "malformed_json"),
        ("/v1/memories?layer=attic", "invalid_input"),
        ("/v1/memories?cursor=nonsense", "invalid_cursor"),
        ("/v1/memories/not-an-id", "invalid_id"),
        ("/v1/memories/not-an-id/history", "invalid_id"),
        ("/v1/memories/%ff", "invalid_id"),
        ("/v1/memories/%", "invalid_id"),
        ("/v1/stats?x=1", "unknown_parameter"),
        ("/v1/export?path=/etc/passwd", "unknown_parameter"),
    ] {
        server.get(path).is_error(400, "invalid_input", code);
    }
    server.call("DELETE", "/v1/memories/x", "").is_error(400, "invalid_input", "invalid_id");
    server.call("PATCH", "/v1/memories/x", "{}").is_error(400, "invalid_input", "invalid_id");
}

#[test]
fn what_does_not_exist_is_404_and_what_it_cannot_do_is_405() {
    let server = Server::start();
    for path in
        ["/", "/v1", "/v2/memories", "/v1/memories/", "/v1/graph", "/v1/memories/x/y/z", "/v1/../etc/passwd", "/%00"]
    {
        server.get(path).is_error(404, "not_found", "no_such_route");
    }
    for (method, path, allowed) in [
        ("PUT", "/v1/memories", "GET,HEAD,POST"),
        ("GET", "/v1/memories/recall", "POST"),
        ("OPTIONS", "/v1/memories", "GET,HEAD,POST"),
        ("POST", "/health/live", "GET,HEAD"),
        ("BREW", "/v1/stats", "GET,HEAD"),
    ] {
        let answer = server.call(method, path, "");
        answer.is_error(405, "invalid_input", "method_not_allowed");
        let mut found: Vec<&str> = answer.header("allow").unwrap().split(',').map(str::trim).collect();
        found.sort_unstable();
        assert_eq!(found.join(","), allowed, "{method} {path}");
        assert!(answer.header("access-control-allow-origin").is_none());
    }
    assert_eq!(server.call("HEAD", "/health/live", "").status, 200);
}

#[test]
fn neither_answers_nor_the_log_tell_content_keys_or_questions() {
    let server = Server::with(&[("RAE_LOG_LEVEL", "trace"), ("RAE_API_MASTER_KEY", "hush-the-operator-key")]);
    let headers = [("X-Tenant-ID", "t"), ("X-API-Key", "hush-the-operator-key")];
    let post = |path: &str, body: &str| server.send("POST", path, &headers, body.as_bytes());
    post("/v1/memories", r#"{"content": "the zanzibar plan"}"#);
    post("/v1/memories", r#"{"content": "the zanzibar plan", "kind": 5}"#);
    post("/v1/memories/recall", r#"{"query": "which zanzibar plan?"}"#);
    let broken = post("/v1/memories", r#"{"content": "the zanzibar plan" "#);
    post("/v1/memories/recall", r#"{"query": "zanzibar", "filter": {"content": {"zanzibar": 1}}}"#);
    assert!(!broken.text().contains("zanzibar"));
    server.send("GET", "/v1/memories?filter=zanzibar", &headers, b"");
    server.send("GET", "/v1/stats", &[("X-API-Key", "hush-wrong")], b"");
    let log = server.log_with("/v1/stats");
    assert!(log.contains("/v1/memories/recall"));
    for secret in ["zanzibar", "hush"] {
        assert!(!log.contains(secret), "{secret} in the log:\n{log}");
    }
}
