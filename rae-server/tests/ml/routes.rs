//! What the services answer, whatever they are asked.

use crate::{
    bert::Model,
    http::{Answer, Server, until},
    start, url,
};
use serde_json::{Value, json};
use std::{sync::Barrier, time::Duration};

fn vectors(answer: &Answer) -> Vec<Value> {
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["embeddings"].as_array().unwrap().clone()
}

#[test]
fn ml_embeds_in_order_and_says_with_what() {
    let ml = start("ml", &[]);
    let health = ml.get("/health").json();
    assert_eq!((health["status"].as_str(), health["model"]["dim"].as_u64()), (Some("ok"), Some(128)));
    let id = health["model"]["id"].as_str().unwrap();
    let answer = ml.post("/embeddings", json!({ "texts": ["The ferry leaves.", " ", "Rain"], "role": "query" }));
    let body = answer.json();
    assert_eq!((body["model"].as_str(), body["dim"].as_u64()), (Some(id), Some(128)));
    let all = vectors(&answer);
    assert!(all.len() == 3 && all[1].is_null() && all[0].as_array().unwrap().len() == 128);
    // One text, under the other name, with the model named.
    let one = ml.post("/embeddings", json!({ "input": "Rain", "model": id }));
    assert_eq!(vectors(&one), [all[2].clone()]);
    assert!(vectors(&ml.post("/embeddings", json!({ "texts": [] }))).is_empty());
    for path in ["/health/live", "/health/ready", "/metrics"] {
        assert_eq!(ml.get(path).status, 200, "{path}");
    }
    ml.post("/embeddings", json!({ "input": "x", "model": "text-embedding-3-small" })).is_error(
        422,
        "invalid_input",
        "unknown_model",
    );
}

#[test]
fn ml_reads_keywords_triples_and_entities() {
    let ml = start("ml", &[]);
    let text = "Alice Smith works at Acme Corp. The harbour master waits.";
    let keywords = ml.post("/extract-keywords", json!({ "text": text, "limit": 2 })).json();
    assert_eq!(keywords.as_array().unwrap().len(), 2);
    assert_eq!(keywords[0]["score"], 1.0);
    let triples = ml.post("/extract-triples", json!({ "text": text })).json();
    let expected = json!([{ "subject": "Alice Smith", "relation": "works_at", "object": "Acme Corp", "confidence": 0.9,
        "start": 0, "end": 30 }]);
    assert_eq!(triples, expected);
    let names = json!({ "entities": ["IBM", "Oslo", "International Business Machines"], "threshold": 0.8 });
    let clusters = ml.post("/resolve-entities", names.clone()).json();
    assert_eq!(clusters["clusters"][0]["members"], json!([0, 2]));
    assert_eq!(ml.post("/resolve-entities", names).json(), clusters, "the same again");
}

#[test]
fn requests_that_come_together_are_embedded_together() {
    // A window that the slowest machine does not miss; a full batch does not wait for its end.
    let ml = start("ml", &[("RAE_EMBED_WINDOW", "0.3")]);
    let alone: Vec<Value> =
        (0..8).flat_map(|i| vectors(&ml.post("/embeddings", json!({ "input": format!("text number {i}") })))).collect();
    let batches = || (ml.metric("rae_ml_batch_requests_sum"), ml.metric("rae_ml_batch_requests_count"));
    assert_eq!(batches(), (8.0, 8.0));
    // The threads may be late once, not always.
    until(|| {
        let (requests, before) = batches();
        let together = Barrier::new(8);
        std::thread::scope(|scope| {
            for (i, alone) in alone.iter().enumerate() {
                let (ml, together) = (&ml, &together);
                scope.spawn(move || {
                    together.wait();
                    let body = json!({ "input": format!("text number {i}") });
                    assert_eq!(vectors(&ml.post("/embeddings", body)), std::slice::from_ref(alone));
                });
            }
        });
        let (all, after) = batches();
        assert_eq!(all - requests, 8.0, "each request is in one batch");
        Some(()).filter(|()| after - before < 8.0)
    });
}

#[test]
fn a_full_queue_is_answered_with_503_and_what_waits_is_still_embedded() {
    let ml = start("ml", &[("RAE_EMBED_WINDOW", "3"), ("RAE_EMBED_QUEUE_TEXTS", "4")]);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| ml.post("/embeddings", json!({ "texts": ["a ferry", "a boat", "a ship"] })));
        until(|| Some(()).filter(|()| ml.metric("rae_ml_queue_texts ") == 3.0));
        let refused = ml.post("/embeddings", json!({ "texts": ["one", "two"] }));
        refused.is_error(503, "unavailable", "overloaded");
        assert!(refused.header("retry-after").is_some());
        assert_eq!(ml.metric("rae_http_rejected_total{reason=\"embed_queue\"}"), 1.0);
        assert_eq!(vectors(&first.join().unwrap()).len(), 3);
    });
}

#[test]
fn nothing_is_computed_for_a_caller_that_left_the_queue() {
    let ml = start("ml", &[("RAE_EMBED_WINDOW", "3")]);
    let mut gone = ml.connect();
    gone.write("POST", "/embeddings", &[], br#"{"texts": ["a ferry", "a boat"]}"#);
    until(|| Some(()).filter(|()| ml.metric("rae_ml_queue_texts ") == 2.0));
    drop(gone);
    until(|| Some(()).filter(|()| ml.metric("rae_ml_queue_texts ") == 0.0));
    assert_eq!(ml.metric("rae_ml_batch_requests_count"), 0.0);
    assert_eq!(vectors(&ml.post("/embeddings", json!({ "input": "a ship" }))).len(), 1);
    assert_eq!((ml.metric("rae_ml_batch_requests_sum"), ml.metric("rae_ml_batch_texts_sum")), (1.0, 1.0));
}

#[test]
fn sigterm_answers_what_waits_in_the_queue_and_ends() {
    let mut ml = start("ml", &[("RAE_EMBED_WINDOW", "2")]);
    let mut connection = ml.connect();
    let body = br#"{"input": "The ferry leaves."}"#;
    connection.write("POST", "/embeddings", &[], body);
    until(|| Some(()).filter(|()| ml.metric("rae_ml_queue_texts ") == 1.0));
    ml.signal("-TERM");
    assert_eq!(vectors(&connection.read("POST")).len(), 1);
    assert!(ml.wait().success());
}

fn hostile(server: &Server, cases: &[(&str, String, u16, &str)]) {
    for (path, body, status, code) in cases {
        let answer = server.call("POST", path, body);
        let shown: String = body.chars().take(60).collect();
        assert_eq!(answer.status, *status, "{path} {shown}: {}", answer.text());
        assert_eq!(answer.json()["error"]["code"].as_str(), Some(*code), "{path} {shown}");
    }
    assert_eq!(server.get("/health").status, 200);
}

#[test]
fn hostile_bodies_are_refused_with_the_one_error_body() {
    let ml = start("ml", &[("RAE_MAX_BODY_BYTES", "3000000")]);
    let texts = |n: usize| json!({ "texts": vec!["x"; n] }).to_string();
    let names = |n: usize| json!({ "entities": vec!["x"; n] }).to_string();
    hostile(
        &ml,
        &[
            ("/embeddings", String::new(), 400, "empty_body"),
            ("/embeddings", "{\"texts\": [NaN]}".into(), 400, "malformed_json"),
            ("/embeddings", "[".repeat(100), 400, "json_too_deep"),
            ("/embeddings", "[]".into(), 422, "invalid_input"),
            ("/embeddings", "{}".into(), 422, "invalid_input"),
            ("/embeddings", json!({ "texts": 1 }).to_string(), 422, "invalid_input"),
            ("/embeddings", json!({ "texts": [null] }).to_string(), 422, "invalid_input"),
            ("/embeddings", json!({ "texts": ["x"], "role": "judge" }).to_string(), 422, "invalid_input"),
            ("/embeddings", json!({ "texts": ["x"], "input": ["y"] }).to_string(), 422, "invalid_input"),
            ("/embeddings", json!({ "texts": ["x"], "n": 1 }).to_string(), 422, "unknown_field"),
            ("/embeddings", texts(1001), 422, "too_many_texts"),
            ("/embeddings", json!({ "texts": ["x".repeat((1 << 20) + 1)] }).to_string(), 422, "text_too_long"),
            ("/embeddings", json!({ "texts": ["x".repeat(3_000_000)] }).to_string(), 413, "body_too_large"),
            ("/extract-keywords", json!({ "text": ["x"] }).to_string(), 422, "invalid_input"),
            ("/extract-keywords", json!({ "text": "x", "limit": 0 }).to_string(), 422, "invalid_input"),
            ("/extract-keywords", json!({ "text": "x", "limit": 1e300 }).to_string(), 422, "invalid_input"),
            ("/extract-triples", json!({ "text": null }).to_string(), 422, "invalid_input"),
            ("/extract-triples", json!({ "text": "x".repeat((1 << 20) + 1) }).to_string(), 422, "invalid_input"),
            ("/resolve-entities", names(501), 422, "invalid_input"),
            ("/resolve-entities", json!({ "entities": ["x".repeat(257)] }).to_string(), 422, "invalid_input"),
            ("/resolve-entities", json!({ "entities": [], "threshold": 1.5 }).to_string(), 422, "invalid_input"),
            ("/nothing", "{}".into(), 404, "no_such_route"),
        ],
    );
    assert_eq!(ml.get("/embeddings").status, 405);
    // The largest that are allowed are answered, too.
    let long = "Anna works at Acme and the ferry leaves. ".repeat(25_000);
    for (path, body) in [("/extract-keywords", json!({ "text": long })), ("/extract-triples", json!({ "text": long }))]
    {
        assert_eq!(ml.post(path, body).status, 200, "{path}");
    }
    assert_eq!(ml.call("POST", "/resolve-entities", &names(500)).status, 200);
    assert_eq!(vectors(&ml.call("POST", "/embeddings", &texts(1000))).len(), 1000);
}

#[test]
fn a_reranker_orders_by_its_cross_encoder() {
    let model = Model::cross_encoder();
    let folder = model.folder.path().to_str().unwrap();
    let reranker = start("reranker", &[("RAE_MODEL_DIR", folder)]);
    let id = reranker.get("/health").json()["model"]["id"].as_str().unwrap().to_owned();
    assert!(id.starts_with("cross-encoder-l2-h96@"), "{id}");
    let body = json!({ "query": "red", "documents": ["blue", "red", "", "blues red ."] });
    let answer = reranker.post("/rerank", body).json();
    assert_eq!(answer["model"].as_str(), Some(id.as_str()));
    let results = answer["results"].as_array().unwrap();
    let scores: Vec<f64> = results.iter().map(|r| r["score"].as_f64().unwrap()).collect();
    assert!(scores.len() == 4 && scores.windows(2).all(|w| w[0] >= w[1]), "{scores:?}");
    let top =
        reranker.post("/rerank", json!({ "query": "red", "texts": ["blue", "red", "", "blues red ."], "top_k": 1 }));
    assert_eq!(top.json()["results"], json!([results[0]]));
    assert_eq!(reranker.post("/rerank", json!({ "query": "red", "documents": [] })).json()["results"], json!([]));
    hostile(
        &reranker,
        &[
            ("/rerank", json!({ "documents": ["x"] }).to_string(), 422, "invalid_input"),
            ("/rerank", json!({ "query": "x" }).to_string(), 422, "invalid_input"),
            ("/rerank", json!({ "query": "x", "documents": [1] }).to_string(), 422, "invalid_input"),
            ("/rerank", json!({ "query": "x", "documents": [], "texts": [] }).to_string(), 422, "invalid_input"),
            ("/rerank", json!({ "query": "x", "documents": ["y"], "top_k": -1 }).to_string(), 422, "invalid_input"),
            ("/rerank", json!({ "query": "x", "documents": vec!["y"; 1001] }).to_string(), 422, "invalid_input"),
            ("/rerank", json!({ "query": "x".repeat(70_000), "documents": ["y"] }).to_string(), 422, "invalid_input"),
        ],
    );
}

#[test]
fn a_reranker_without_a_model_says_what_it_needs() {
    let reranker = start("reranker", &[]);
    let health = reranker.get("/health");
    assert!(health.status == 200 && health.json()["model"].is_null(), "{}", health.text());
    let refused = reranker.post("/rerank", json!({ "query": "x", "documents": ["y"] }));
    refused.is_error(501, "unsupported", "no_model");
    assert!(refused.text().contains("RAE_MODEL_DIR"));
}

/// The code blocks of docs/ml.md, run by a shell with the real curl.
#[test]
fn every_example_of_the_page_works_and_every_route_has_one() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/ml.md")).unwrap();
    let blocks: String = page.split("```sh\n").skip(1).map(|b| b.split("```").next().unwrap()).collect();
    let model = Model::cross_encoder();
    let reranker = start("reranker", &[("RAE_MODEL_DIR", model.folder.path().to_str().unwrap())]);
    let ml = start("ml", &[]);
    let curl = "set -euo pipefail\ncurl() { command curl --silent --show-error --fail-with-body \"$@\"; echo; }\n";
    let output = std::process::Command::new("bash")
        .args(["-c", &format!("{curl}{blocks}")])
        .env("ML", url(&ml))
        .env("RERANKER", url(&reranker))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for (service, route) in [
        ("ML", "/embeddings"),
        ("ML", "/extract-keywords"),
        ("ML", "/extract-triples"),
        ("ML", "/resolve-entities"),
        ("ML", "/health"),
        ("ML", "/health/live"),
        ("ML", "/health/ready"),
        ("ML", "/metrics"),
        ("RERANKER", "/rerank"),
        ("RERANKER", "/health"),
    ] {
        assert!(blocks.contains(&format!("curl ${service}{route}")), "docs/ml.md has no example of {route}");
    }
    for field in
        ["keyword", "score", "subject", "relation", "object", "confidence", "start", "end", "canonical", "members"]
    {
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(stdout.contains(&format!("\"{field}\":")) && page.contains(&format!("\"{field}\"")), "{field}");
    }
}

#[test]
fn a_service_does_not_wait_for_what_a_client_does_not_send() {
    let ml = start("ml", &[("RAE_HEADER_TIMEOUT", "0.2")]);
    let mut slow = ml.connect();
    std::io::Write::write_all(&mut slow.stream, b"POST /embed").unwrap();
    assert!(slow.is_closed_within(Duration::from_secs(30)));
}
