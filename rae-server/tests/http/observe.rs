//! Probes, metrics, ids and the log.

use crate::support::Server;
use serde_json::{Value, json};

#[test]
fn the_first_scrape_has_every_name() {
    let server = Server::start();
    let answer = server.send("GET", "/metrics", &[], b"");
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let text = answer.text();
    for line in [
        "# TYPE rae_api_requests_total counter",
        "# TYPE rae_api_request_duration_seconds histogram",
        "# TYPE rae_memory_operations_total counter",
        "# TYPE rae_llm_cost_total counter",
        "# TYPE rae_budget_remaining gauge",
        "# TYPE rae_search_cache_hit_ratio gauge",
    ] {
        assert_eq!(text.lines().filter(|l| *l == line).count(), 1, "{line}\n{text}");
    }
}

#[test]
fn metrics_move_with_bounded_labels() {
    let server = Server::start();
    let id = server.remember("Counted.");
    server.post("/v1/memories/batch", json!({ "items": [{ "content": "a" }, { "content": "b" }] }));
    server.post("/v1/memories/recall", json!({ "query": "x" }));
    server.post("/v1/memories/recall", json!({ "query": "x", "k": 0 }));
    server.get(&format!("/v1/memories/{id}"));
    for path in ["/wp-login.php", "/a", "/b"] {
        server.get(path);
    }
    server.call("BREW", "/v1/stats", "");
    for (series, value) in [
        ("rae_api_requests_total{method=\"POST\",route=\"/v1/memories\",status=\"201\"}", 1.0),
        ("rae_api_requests_total{method=\"POST\",route=\"/v1/memories/recall\",status=\"200\"}", 1.0),
        ("rae_api_requests_total{method=\"POST\",route=\"/v1/memories/recall\",status=\"422\"}", 1.0),
        ("rae_api_requests_total{method=\"GET\",route=\"/v1/memories/{id}\",status=\"200\"}", 1.0),
        ("rae_api_requests_total{method=\"GET\",route=\"other\",status=\"404\"}", 3.0),
        ("rae_api_requests_total{method=\"other\",route=\"/v1/stats\",status=\"405\"}", 1.0),
        ("rae_api_request_duration_seconds_count{method=\"POST\",route=\"/v1/memories/recall\"}", 2.0),
        ("rae_memory_operations_total{operation=\"remember\",result=\"ok\"}", 3.0),
        ("rae_memory_operations_total{operation=\"recall\",result=\"invalid_input\"}", 1.0),
        ("rae_http_requests_in_flight", 1.0),
    ] {
        assert_eq!(server.metric(series), value, "{series}");
    }
    assert!(server.metric("rae_http_connections") >= 1.0);
    assert!(!server.get("/metrics").text().contains("wp-login"));
}

#[test]
fn calls_of_the_stores_are_measured_by_port_and_operation() {
    let server = Server::start();
    server.remember("The ferry leaves at ten.");
    server.post("/v1/memories/recall", json!({ "query": "ferry" }));
    for (port, operation) in [("relational", "apply"), ("vector", "query"), ("embedder", "embed")] {
        let series = format!("rae_port_call_duration_seconds_count{{operation=\"{operation}\",port=\"{port}\"}}");
        assert!(server.metric(&series) >= 1.0, "{series}\n{}", server.get("/metrics").text());
    }
    assert_eq!(server.metric("rae_index_items{what=\"memories\"}"), 1.0);
    assert!(server.metric("rae_index_vector_bytes") > 0.0);
}

#[test]
fn tenants_are_counted_by_name_up_to_a_bound_and_every_operation_once() {
    let server = Server::with(&[("RAE_METRICS_TENANTS", "3")]);
    let mut connection = server.connect();
    for i in 0..40 {
        let tenant = format!("tenant-{}", i % 8);
        connection.write("POST", "/v1/memories/recall", &[("X-Tenant-ID", &tenant)], br#"{"query": "x"}"#);
        assert_eq!(connection.read("POST").status, 200);
    }
    let text = server.get("/metrics").text();
    let series: Vec<&str> = text.lines().filter(|l| l.starts_with("rae_tenant_operations_total{")).collect();
    let sum: f64 = series.iter().map(|l| l.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum();
    assert!(series.len() <= 4 && sum == 40.0, "{series:?}");
    let silent = Server::with(&[("RAE_METRICS_TENANTS", "0")]);
    silent.remember("x");
    assert!(!silent.get("/metrics").text().contains("rae_tenant_operations_total{"));
}

#[test]
fn probes_answer_without_tenant_or_key() {
    let server = Server::start();
    for path in ["/health/live", "/health/ready"] {
        let answer = server.send("GET", path, &[], b"");
        assert_eq!((answer.status, answer.json()), (200, json!({ "status": "ok" })), "{path}");
    }
    let health = server.send("GET", "/health", &[], b"").json();
    assert_eq!((&health["status"], &health["version"]), (&json!("ok"), &json!(env!("CARGO_PKG_VERSION"))));
}

#[test]
fn a_sane_request_id_comes_back_and_is_in_the_log() {
    let server = Server::start();
    let with = |id: &str| server.send("GET", "/v1/memories/x", &[("X-Tenant-ID", "t"), ("X-Request-ID", id)], b"");
    let kept = with("trace-1.2:3_4");
    assert_eq!(kept.header("x-request-id"), Some("trace-1.2:3_4"));
    kept.is_error(400, "invalid_input", "invalid_id");
    for bad in ["a b", "<script>", "x\"y", &"x".repeat(200)] {
        let made = with(bad);
        assert_eq!(made.header("x-request-id").unwrap().len(), 36, "{bad}");
    }
    let log = server.log_with("trace-1.2:3_4");
    let line: Value = log
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .find(|l: &Value| l["request_id"] == "trace-1.2:3_4")
        .unwrap();
    assert_eq!(
        (&line["route"], &line["status"], &line["code"]),
        (&json!("/v1/memories/{id}"), &json!(400), &json!("invalid_id"))
    );
    assert!(line["millis"].is_number() && line["timestamp"].is_string());
}

#[test]
fn a_log_that_nobody_reads_does_not_stop_the_server() {
    use std::process::Stdio;
    let folder = crate::support::Folder::new();
    let probe = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = probe.local_addr().unwrap();
    drop(probe);
    let mut command = crate::support::command(&folder.0);
    let mut child = command.args(["--port", &address.port().to_string()]).stderr(Stdio::piped()).spawn().unwrap();
    crate::support::until(|| std::net::TcpStream::connect(address).ok());
    let mut connection = crate::support::Connection::new(address);
    // Far more than a pipe and the queue hold.
    for _ in 0..12_000 {
        connection.write("GET", "/nowhere", &[("X-Request-ID", &"x".repeat(100))], b"");
        assert_eq!(connection.read("GET").status, 404);
    }
    connection.write("GET", "/metrics", &[], b"");
    let text = connection.read("GET").text();
    let dropped = text.lines().find_map(|l| l.strip_prefix("rae_log_lines_dropped_total ")?.parse::<u64>().ok());
    assert!(dropped.unwrap() > 0, "{dropped:?}");
    child.kill().unwrap();
    child.wait().unwrap();
}
