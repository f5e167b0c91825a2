//! Traces by OTLP, to a collector that is written here; and what the log says of a request.

use crate::support::{Folder, PATIENCE, Server, until};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value as Any},
    trace::v1::Span,
};
use prost::Message;
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
};

/// A collector: takes what is posted to /v1/traces.
struct Collector {
    address: SocketAddr,
    got: Arc<Mutex<Vec<(Vec<String>, ExportTraceServiceRequest)>>>,
}

impl Collector {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, got) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
        let kept = Arc::clone(&got);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let kept = Arc::clone(&kept);
                std::thread::spawn(move || {
                    while let Some(request) = take(&stream) {
                        kept.lock().unwrap().push(request)
                    }
                });
            }
        });
        Self { address, got }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn spans(&self) -> Vec<Span> {
        let got = self.got.lock().unwrap();
        let resources = got.iter().flat_map(|(_, request)| &request.resource_spans);
        resources.flat_map(|r| &r.scope_spans).flat_map(|s| s.spans.clone()).collect()
    }

    /// Waits for a span.
    fn span(&self, name: &str) -> Span {
        until(|| self.spans().into_iter().find(|span| span.name == name))
    }
}

fn take(mut stream: &TcpStream) -> Option<(Vec<String>, ExportTraceServiceRequest)> {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut reader = BufReader::new(stream);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line.trim().is_empty() {
            break;
        }
        head.push(line.trim().to_ascii_lowercase());
    }
    let length = head.iter().find_map(|l| l.strip_prefix("content-length: ")?.parse().ok()).unwrap();
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").ok()?;
    Some((head, ExportTraceServiceRequest::decode(body.as_slice()).unwrap()))
}

fn attribute<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a Any> {
    attributes.iter().find(|a| a.key == key)?.value.as_ref()?.value.as_ref()
}

fn text(span: &Span, key: &str) -> String {
    match attribute(&span.attributes, key) {
        Some(Any::StringValue(text)) => text.clone(),
        Some(Any::IntValue(n)) => n.to_string(),
        other => panic!("{key} is {other:?} in {span:?}"),
    }
}

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[test]
fn a_request_continues_the_callers_trace_with_a_span_for_itself_its_verb_and_each_call_of_a_port() {
    let collector = Collector::start();
    let mut server = Server::with(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url()),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-collector-key=hunter2"),
        ("RAE_API_MASTER_KEY", "the-key-of-the-operator"),
    ]);
    let traceparent = format!("00-{TRACE}-b7ad6b7169203331-01");
    let headers = [
        ("X-Tenant-ID", "a-tenant-nobody-may-know"),
        ("X-API-Key", "the-key-of-the-operator"),
        ("X-Request-ID", "request-17"),
        ("traceparent", &traceparent),
    ];
    let body = json!({ "content": "A secret about the ferry." }).to_string();
    assert_eq!(server.send("POST", "/v1/memories", &headers, body.as_bytes()).status, 201);
    let question = json!({ "query": "What is the secret?" }).to_string();
    server.send("POST", "/v1/memories/recall", &headers, question.as_bytes());
    server.send("GET", "/v1/memories/nonsense", &headers, b"");
    // What waits is sent at the end.
    assert!(server.stop().success());
    let request = collector.span("POST /v1/memories");
    assert_eq!(
        (hex(&request.trace_id), hex(&request.parent_span_id)),
        (TRACE.to_owned(), "b7ad6b7169203331".to_owned())
    );
    assert_eq!(text(&request, "http.route"), "/v1/memories");
    assert_eq!(text(&request, "http.response.status_code"), "201");
    assert_eq!(text(&request, "rae.request_id"), "request-17");
    let verb = collector.span("verb remember");
    assert_eq!((&verb.trace_id, &verb.parent_span_id), (&request.trace_id, &request.span_id));
    let apply = collector.spans().into_iter().find(|s| s.name == "relational apply" && s.trace_id == request.trace_id);
    let apply = apply.expect("the call of the store");
    assert_eq!((hex(&apply.parent_span_id), text(&apply, "outcome")), (hex(&verb.span_id), "ok".to_owned()));
    assert_eq!(text(&collector.span("GET /v1/memories/{id}"), "error.type"), "invalid_input");
    let got = collector.got.lock().unwrap();
    assert!(got.iter().all(|(head, _)| head.contains(&"x-collector-key: hunter2".to_owned())), "{got:?}");
    let sent = format!("{:?}", got.iter().map(|(_, request)| request).collect::<Vec<_>>());
    for secret in ["secret", "ferry", "hunter2", "operator", "nobody-may-know", "nonsense"] {
        assert!(!sent.contains(secret), "{secret} is in the traces");
    }
    let resource = got[0].1.resource_spans[0].resource.clone().unwrap();
    assert_eq!(attribute(&resource.attributes, "service.name"), Some(&Any::StringValue("rae-server".to_owned())));
}

#[test]
fn a_caller_that_does_not_sample_is_heeded() {
    let collector = Collector::start();
    let mut server = Server::with(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url())]);
    let unsampled = format!("00-{TRACE}-b7ad6b7169203331-00");
    server.send("GET", "/v1/stats", &[("X-Tenant-ID", "t"), ("traceparent", &unsampled)], b"");
    server.get("/v1/memories");
    assert!(server.stop().success());
    collector.span("GET /v1/memories");
    assert!(collector.spans().iter().all(|span| hex(&span.trace_id) != TRACE));
}

#[test]
fn a_collector_that_does_not_answer_costs_spans_and_no_request() {
    // Takes connections, answers none.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = {
        let probe = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", probe.local_addr().unwrap())
    };
    for url in [format!("http://{}", silent.local_addr().unwrap()), gone] {
        let mut server = Server::with(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &url)]);
        let mut connection = server.connect();
        // More than wait at once, so that some are dropped while the first batch is on its way.
        for _ in 0..3_000 {
            connection.write("POST", "/v1/memories/recall", &[("X-Tenant-ID", "t")], br#"{"query": "x"}"#);
            assert_eq!(connection.read("POST").status, 200);
        }
        until(|| {
            let lost = server.metric("rae_trace_spans_total{result=\"failed\"}")
                + server.metric("rae_trace_spans_total{result=\"dropped\"}");
            Some(lost).filter(|lost| *lost > 0.0)
        });
        assert!(server.stop().success());
    }
}

#[test]
fn every_line_of_a_request_has_its_id_and_its_trace_and_none_has_content_or_keys() {
    let folder = Arc::new(Folder::new());
    let server = Server::in_folder(
        Arc::clone(&folder),
        &[
            ("RAE_LOG_LEVEL", "trace"),
            ("RAE_API_MASTER_KEY", "the-key-of-the-operator"),
            ("REDIS_URL", "redis://:hunter2@127.0.0.1:1/0"),
        ],
    );
    let traceparent = format!("00-{TRACE}-b7ad6b7169203331-01");
    let headers = |id: &'static str| {
        [
            ("X-Tenant-ID", "a-tenant-nobody-may-know"),
            ("Authorization", "Bearer the-key-of-the-operator"),
            ("X-Request-ID", id),
            ("traceparent", &traceparent),
        ]
    };
    for (id, method, path, body) in [
        ("id-remember", "POST", "/v1/memories", r#"{"content": "An xyzzy about the ferry."}"#),
        ("id-recall", "POST", "/v1/memories/recall", r#"{"query": "Where is the xyzzy?"}"#),
        ("id-wrong", "POST", "/v1/memories", r#"{"content": 7, "xyzzy": 1}"#),
        ("id-list", "GET", "/v1/memories?cursor=xyzzy", ""),
        ("id-import", "POST", "/v1/import", "xyzzy"),
    ] {
        server.send(method, path, &headers(id), body.as_bytes());
    }
    server.send("GET", "/v1/stats", &[("X-API-Key", "hunter2-is-no-key"), ("X-Request-ID", "id-refused")], b"");
    for id in ["id-remember", "id-recall", "id-wrong", "id-list", "id-import", "id-refused"] {
        server.log_with(&format!("\"request_id\":\"{id}\""));
    }
    let log = server.log();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for line in lines.iter().filter(|line| line["message"] == "port call" || line["message"] == "request") {
        // Those of the start belong to no request.
        let Some(id) = line["request_id"].as_str() else {
            assert!(line["message"] == "port call", "{line}");
            continue;
        };
        let trace = line["trace_id"].as_str().unwrap();
        assert!(trace == TRACE || id == "id-refused" || id.len() == 36, "{line}");
        assert_eq!(trace.len(), 32, "{line}");
    }
    let calls = |id: &str| lines.iter().filter(|l| l["request_id"] == id && l["message"] == "port call").count();
    assert!(calls("id-remember") > 0 && calls("id-recall") > 0, "{log}");
    for secret in ["xyzzy", "ferry", "hunter2", "the-key-of", "nobody-may-know"] {
        assert!(!log.contains(secret), "{secret} is in the log:\n{log}");
    }
}
