//! The api with the services beside it: what it does with them, and without.

use crate::{
    bert::Model,
    http::{Folder, Server, command, until},
    provider::FakeProvider,
    stand_in::{Asked, Reply, StandIn},
    start, url,
};
use rae_core::{Embedding, Rae};
use rae_server::adapters::ml::RemoteEmbedder;
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

fn recall(api: &Server, body: Value) -> (Vec<String>, Vec<String>) {
    let answer = api.post("/v1/memories/recall", body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let texts = |list: &Value, field: Option<&str>| {
        let text = |v: &Value| field.map_or(v, |f| &v[f]).as_str().unwrap().to_owned();
        list.as_array().unwrap().iter().map(text).collect()
    };
    (texts(&answer.json()["hits"], Some("content")), texts(&answer.json()["degraded"], None))
}

/// Ends by itself; its exit code and what it said.
fn run(folder: &Folder, args: &[&str], env: &[(&str, &str)]) -> (Option<i32>, String) {
    let output = command(&folder.0).args(args).envs(env.iter().copied()).stderr(Stdio::piped()).output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn the_api_embeds_and_reranks_by_the_services() {
    let encoder = Model::cross_encoder();
    let (ml, reranker) =
        (start("ml", &[]), start("reranker", &[("RAE_MODEL_DIR", encoder.folder.path().to_str().unwrap())]));
    let api = start("api", &[("RAE_ML_URL", &url(&ml)), ("RAE_RERANKER_URL", &url(&reranker))]);
    let texts = ["The red boat.", "A blue boat.", "Blues and reds.", "red"];
    for text in texts {
        assert_eq!(api.post("/v1/memories", json!({ "content": text })).json()["degraded"], json!([]));
    }
    let stats = api.get("/v1/stats").json();
    assert_eq!(stats["embedder"]["id"], ml.get("/health").json()["model"]["id"]);
    assert_eq!(stats["vectors"], 4);
    assert!(ml.metric("rae_ml_batch_texts_count") >= 4.0);
    let scored = reranker.post("/rerank", json!({ "query": "red boat", "documents": texts })).json();
    let wanted: Vec<&str> =
        scored["results"].as_array().unwrap().iter().map(|r| texts[r["index"].as_u64().unwrap() as usize]).collect();
    let (hits, degraded) = recall(&api, json!({ "query": "red boat", "rerank": true }));
    assert!(degraded.is_empty(), "{degraded:?}");
    assert_eq!(hits, wanted);

    // More and longer texts than one request holds.
    let items: Vec<Value> = (0..70)
        .map(|i| json!({ "content": format!("Ferry {i}. {}", "The harbour is large. ".repeat(i * 160)) }))
        .collect();
    let receipts = api.post("/v1/memories/batch", json!({ "items": items }));
    assert_eq!(receipts.status, 200, "{}", receipts.text());
    assert_eq!(api.get("/v1/stats").json()["vectors"], 74);
    let (hits, degraded) = recall(&api, json!({ "query": "harbour", "rerank": true, "k": 70 }));
    assert_eq!((hits.len(), degraded.len()), (70, 0));

    // Without the reranker the hits come in their own order.
    drop(reranker);
    let (hits, degraded) = recall(&api, json!({ "query": "red boat", "rerank": true, "k": 4 }));
    assert_eq!((hits.len(), degraded), (4, vec!["rerank".to_owned()]));
}

#[test]
fn a_model_folder_serves_the_api_in_its_own_process() {
    let (encoder, cross) = (Model::new(), Model::cross_encoder());
    let path = |model: &Model| model.folder.path().to_str().unwrap().to_owned();
    let (one, two) = (path(&encoder), path(&cross));
    let api = start("all", &[("RAE_MODEL_DIR", &one), ("RAE_RERANK_MODEL_DIR", &two)]);
    api.remember("red");
    api.remember("blue blue");
    assert!(api.get("/v1/stats").json()["embedder"]["id"].as_str().unwrap().starts_with("bert-l2-h96@"));
    let (hits, degraded) = recall(&api, json!({ "query": "red", "rerank": true }));
    assert_eq!((hits.len(), degraded.len()), (2, 0));
    let folder = Folder::new();
    let (code, error) = run(&folder, &["all", "--port", "0"], &[("RAE_MODEL_DIR", "/nowhere/minilm")]);
    assert_eq!(code, Some(1));
    assert!(error.contains("there is no model folder /nowhere/minilm"), "{error}");
}

#[test]
fn a_model_of_a_provider_embeds_for_the_server_that_names_it() {
    let fake = FakeProvider::start();
    let (name, url) = ("openai:text-embedding-3-small@64", fake.url());
    let keyed = [("RAE_EMBEDDER", name), ("OPENAI_API_KEY", "sk-geheim"), ("RAE_OPENAI_BASE_URL", url.as_str())];
    let api = start("all", &keyed);
    api.remember("The lamp is green.");
    assert_eq!(api.get("/v1/stats").json()["embedder"]["id"], "text-embedding-3-small@openai/64");
    let (hits, degraded) = recall(&api, json!({ "query": "green lamp" }));
    assert_eq!((hits.len(), degraded.len(), fake.charged().requests), (1, 0, 2));
    let folder = Folder::new();
    for (env, said) in [
        ([("RAE_EMBEDDER", name), ("RAE_ML_URL", url.as_str())].as_slice(), "RAE_EMBEDDER and RAE_ML_URL"),
        (&[("RAE_EMBEDDER", name)], "needs the provider openai"),
        (&[("RAE_EMBEDDER", "some-model")], "provider:model"),
    ] {
        let (code, error) = run(&folder, &["all", "--port", "0"], env);
        assert_eq!(code, Some(1), "{error}");
        assert!(error.contains(said), "{error}");
    }
}

/// Memories, vectors and debts of the store in a folder, after the debts that can be paid by the service were.
fn settle(folder: &Folder, service: &str) -> (u64, u64) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let (limit, path) = (Duration::from_secs(10), folder.0.join("rae-data/memory.rae"));
        let embedder = RemoteEmbedder::connect(service.parse().unwrap(), limit, limit).await.unwrap();
        let mem = Rae::builder()
            .path(path)
            .tenant("t")
            .embedding(Embedding::Custom(Arc::new(embedder)))
            .open()
            .await
            .unwrap();
        mem.maintain(None).await.unwrap();
        let stats = mem.stats().await.unwrap();
        mem.close().await.unwrap();
        (stats.memories, stats.vectors)
    })
}

#[test]
fn killing_ml_under_load_loses_nothing_and_the_vectors_that_are_owed_are_made_afterwards() {
    let mut ml = start("ml", &[]);
    let (port, address) = (ml.address.port(), url(&ml));
    let mut api = start("api", &[("RAE_ML_URL", &address)]);
    let (stop, kept, owed) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for writer in 0..3 {
            let (api, stop, kept, owed) = (&api, &stop, &kept, &owed);
            scope.spawn(move || {
                for i in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let body = json!({ "content": format!("Ferry {i} of line {writer} left the harbour.") });
                    let answer = api.post("/v1/memories", body);
                    assert_eq!(answer.status, 201, "{}", answer.text());
                    kept.fetch_add(1, Ordering::Relaxed);
                    let degraded = !answer.json()["degraded"].as_array().unwrap().is_empty();
                    owed.fetch_add(usize::from(degraded), Ordering::Relaxed);
                }
            });
        }
        let more = |counter: &AtomicUsize| {
            let (now, n) = (counter.load(Ordering::Relaxed), 10);
            until(|| Some(()).filter(|()| counter.load(Ordering::Relaxed) >= now + n));
        };
        more(&kept);
        ml.signal("-KILL");
        ml.wait();
        more(&owed);
        let (hits, degraded) = recall(&api, json!({ "query": "ferry of line 1", "k": 5 }));
        assert_eq!((hits.len(), degraded), (5, vec!["dense".to_owned()]));
        ml = Server::role(&["ml", "--port", &port.to_string()], Arc::new(Folder::new()), &[]);
        until(|| Some(()).filter(|()| recall(&api, json!({ "query": "harbour" })).1.is_empty()));
        more(&kept);
        stop.store(true, Ordering::Relaxed);
    });
    let kept = kept.load(Ordering::Relaxed) as u64;
    let stats = api.get("/v1/stats").json();
    assert_eq!(stats["memories"], kept);
    assert_eq!(stats["vectors"].as_u64().unwrap(), kept - owed.load(Ordering::Relaxed) as u64);
    assert!(api.stop().success());
    assert_eq!(settle(&api.folder, &address), (kept, kept));
}

#[test]
fn another_model_behind_the_address_is_refused_with_a_reason() {
    let mut ml = start("ml", &[]);
    let (port, address) = (ml.address.port(), url(&ml));
    let mut api = start("api", &[("RAE_ML_URL", &address)]);
    api.remember("red boats");
    assert!(ml.stop().success());
    let other = Model::new();
    let folder = other.folder.path().to_str().unwrap();
    let _ml = Server::role(&["ml", "--port", &port.to_string()], Arc::new(Folder::new()), &[("RAE_MODEL_DIR", folder)]);
    // The running server takes no vector of the other model.
    let answer = api.post("/v1/memories", json!({ "content": "blue boats" }));
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert!(!answer.json()["degraded"].as_array().unwrap().is_empty());
    assert_eq!(api.get("/v1/stats").json()["vectors"], 1);
    api.log_with("now has the embedder");
    // A new one does not start on the store.
    assert!(api.stop().success());
    let (code, error) = run(&api.folder, &["api", "--port", "0", "--data", "rae-data"], &[("RAE_ML_URL", &address)]);
    assert_eq!(code, Some(1));
    assert!(error.contains("bert-l2-h96@") && error.contains("reembed"), "{error}");
}

#[test]
fn a_server_does_not_start_without_the_embedder_it_must_know() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let env = [("RAE_ML_URL", format!("http://{nobody}")), ("RAE_ML_START_TIMEOUT", "0".to_owned())];
    let env: Vec<(&str, &str)> = env.iter().map(|(k, v)| (*k, v.as_str())).collect();
    let (code, error) = run(&Folder::new(), &["api", "--port", "0", "--data", "rae-data"], &env);
    assert_eq!(code, Some(1));
    assert!(error.contains("the ml service at http://127.0.0.1") && error.contains("cannot be reached"), "{error}");
    // A reranker is no ml service.
    let reranker = start("reranker", &[]);
    let (code, error) =
        run(&Folder::new(), &["api", "--port", "0", "--data", "rae-data"], &[("RAE_ML_URL", &url(&reranker))]);
    assert!(code == Some(1) && error.contains("is it an ml service?"), "{error}");
}

#[test]
fn a_server_that_still_waits_for_its_model_stops_when_it_is_told_to() {
    let hub = StandIn::start(|_| None);
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nobody = format!("http://{nobody}");
    for (role, name, address, said) in [
        ("api", "RAE_ML_URL", nobody.as_str(), "waiting for the ml service"),
        ("ml", "RAE_MODEL_URL", &hub.url(), "fetching the model"),
    ] {
        let folder = Folder::new();
        let mut command = command(&folder.0);
        command
            .args([role, "--port", "0", "--data", "rae-data"])
            .env(name, address)
            .env("RAE_MODEL_UNVERIFIED", "true");
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        assert!(lines.any(|line| line.contains(said)), "{role}");
        assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
        assert!(until(|| child.try_wait().unwrap()).success(), "{role}");
        assert!(lines.any(|line| line.contains("stopped at once")), "{role}");
    }
}

fn health() -> Reply {
    Reply::ok(r#"{"status": "ok", "model": {"id": "fake@1/2", "dim": 2}}"#)
}

#[test]
fn an_ml_service_that_does_not_answer_costs_its_limit_and_no_memory() {
    let silent = StandIn::start(|asked: &Asked| (asked.path == "/health").then(health));
    let api = start("api", &[("RAE_ML_URL", &silent.url()), ("RAE_ML_TIMEOUT", "0.3"), ("RAE_REQUEST_TIMEOUT", "20")]);
    let answer = api.post("/v1/memories", json!({ "content": "The ferry leaves at ten." }));
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert!(!answer.json()["degraded"].as_array().unwrap().is_empty());
    let (hits, degraded) = recall(&api, json!({ "query": "ferry" }));
    assert_eq!((hits.len(), degraded), (1, vec!["dense".to_owned()]));
    // A service that is too slow is not asked again for the same call.
    assert_eq!(silent.asked().iter().filter(|path| path.starts_with("/embeddings")).count(), 2);
}

#[test]
fn nonsense_of_a_service_becomes_no_vector_and_loses_no_memory() {
    let many = format!(r#"{{"model": "fake@1/2", "embeddings": [[{}1]]}}"#, "1,".repeat(200_000));
    let cases: Vec<(u16, String)> = [
        (200, r#"{"model": "fake@1/2", "embeddings": [[1, 2, 3]]}"#),
        (200, r#"{"model": "fake@1/2", "embeddings": [[NaN, 1]]}"#),
        (200, r#"{"model": "fake@1/2", "embeddings": [[1e300, 1]]}"#),
        (200, r#"{"model": "fake@1/2", "embeddings": [["1", 1]]}"#),
        (200, r#"{"model": "fake@1/2", "embeddings": []}"#),
        (200, r#"{"model": "fake@1/2", "embeddings": [[1, 1], [1, 1]]}"#),
        (200, r#"{"model": "other@1/2", "embeddings": [[1, 1]]}"#),
        (200, r#"{"embeddings": [[1, 1]]}"#),
        (200, ""),
        (200, "<html>"),
        (200, &many),
        (400, r#"{"error": {"code": "invalid_input"}}"#),
        (404, ""),
        (500, "broken"),
        (302, ""),
    ]
    .into_iter()
    .map(|(status, body)| (status, body.to_owned()))
    .collect();
    let (next, count) = (Arc::new(AtomicUsize::new(0)), cases.len());
    let turn = Arc::clone(&next);
    let service = StandIn::start(move |asked: &Asked| {
        if asked.path == "/health" {
            return Some(health());
        }
        let (status, body) = &cases[turn.load(Ordering::SeqCst)];
        Some(Reply { status: *status, ..Reply::ok(body.as_str()) })
    });
    let api = start("api", &[("RAE_ML_URL", &service.url())]);
    for i in 0..count {
        next.store(i, Ordering::SeqCst);
        let answer = api.post("/v1/memories", json!({ "content": format!("Ferry {i} left.") }));
        assert_eq!(answer.status, 201, "{i}: {}", answer.text());
        assert!(!answer.json()["degraded"].as_array().unwrap().is_empty(), "{i}");
    }
    let stats = api.get("/v1/stats").json();
    assert_eq!((stats["memories"].as_u64(), stats["vectors"].as_u64()), (Some(count as u64), Some(0)));
    assert_eq!(recall(&api, json!({ "query": "ferry 3" })).0.len(), 10);
}
