//! For the tests of clients alone: a server that opens a fresh store in memory for each scenario, with a clock, a seed and the
//! test embedders of the scenarios, and serves it as `rae-server` does, under a path of its own. It ends with its standard input.
//!
//! `POST /open` with `{now, seed, embedder, durability, providers}` gives `{"path": "/s/7/"}`; the operator's key is [`KEY`]. Below that
//! path lies the API; `POST /s/7/control` with `{"advance": seconds}`, `{"embedder": "fails"}` (or `"works"`) or `{"close": true}`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)] // a tool of tests

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{Response, StatusCode, Uri},
};
use parking_lot::Mutex;
use rae_core::{
    Embedding, Rae, Timestamp,
    conformance::scenario,
    ports::{Clock, ManualClock},
    wire,
};
use rae_server::{
    cli, http,
    settings::Settings,
    state::{App, Opened},
};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    io::{Read, Write},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tower_service::Service;

/// The operator's key of every store.
const KEY: &str = "the-key-of-the-scenarios";
const BODY_MAX: usize = 1 << 20;

/// A store and its server.
struct Served {
    app: Arc<App>,
    router: Router,
    clock: Arc<ManualClock>,
    fails: Arc<AtomicBool>,
}

struct All {
    folder: PathBuf,
    served: Mutex<(u64, HashMap<u64, Arc<Served>>)>,
}

fn main() {
    let folder = std::env::temp_dir().join(format!("rae-scenario-server-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("tmp")).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let all = Arc::new(All { folder: folder.clone(), served: Mutex::default() });
    runtime.spawn(async move {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("listening on http://{}", listener.local_addr().unwrap());
        std::io::stdout().flush().unwrap();
        axum::serve(listener, Router::new().fallback(answer).with_state(all)).await.unwrap();
    });
    // Whoever started it is gone when this ends.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    let _ = std::fs::remove_dir_all(folder);
    runtime.shutdown_background();
}

async fn answer(State(all): State<Arc<All>>, mut request: Request) -> Response<Body> {
    let path = request.uri().path().to_owned();
    if path == "/open" {
        return match open(&all, body(request).await).await {
            Ok(path) => json_of(json!({ "path": path })),
            Err(e) => json_of(json!({ "error": { "kind": e.kind().name(), "code": e.code() } })),
        };
    }
    let parts = path.strip_prefix("/s/").and_then(|rest| rest.split_once('/'));
    let found = parts.and_then(|(id, rest)| Some((id.parse::<u64>().ok()?, rest.to_owned())));
    let served = found.as_ref().and_then(|(id, _)| all.served.lock().1.get(id).cloned());
    let (Some((id, rest)), Some(served)) = (found, served) else {
        return Response::builder().status(StatusCode::NOT_FOUND).body("no such store".into()).unwrap();
    };
    if rest == "control" {
        control(&all, id, &served, &body(request).await).await;
        return json_of(json!({}));
    }
    let query = request.uri().query().map_or_else(String::new, |query| format!("?{query}"));
    *request.uri_mut() = format!("/{rest}{query}").parse::<Uri>().unwrap();
    served.router.clone().call(request).await.unwrap()
}

async fn open(all: &All, options: Value) -> rae_core::Result<String> {
    let text = |name: &str| options.get(name).and_then(Value::as_str);
    let clock = Arc::new(ManualClock::new(Timestamp::parse(text("now").unwrap_or("2026-01-01T00:00:00Z"))?));
    let fails = Arc::<AtomicBool>::default();
    let mut builder = Rae::builder().clock(Arc::clone(&clock) as Arc<dyn Clock>);
    builder = builder.seed(options.get("seed").and_then(Value::as_u64).unwrap_or(42));
    if let Some(durability) = text("durability") {
        builder = builder.durability(durability.parse()?);
    }
    if let Some(embedder) = scenario::embedder(text("embedder"), &fails) {
        builder = builder.embedding(Embedding::Custom(embedder));
    }
    if let Some(providers) = options.get("providers").and_then(Value::as_object) {
        builder = builder.providers(Arc::new(wire::providers(providers.clone())?));
    }
    let rae = builder.open().await?;
    let flags = cli::command().try_get_matches_from(["rae-server"]).unwrap();
    let data = all.folder.display().to_string();
    let variable = |name: &str| match name {
        "RAE_API_MASTER_KEY" => Some(KEY.to_owned()),
        "RAE_DATA_DIR" => Some(data.clone()),
        _ => None,
    };
    let settings = Settings::load(&flags, variable).unwrap();
    let opened = Opened::elsewhere(rae, &settings)?;
    let app = Arc::new(App::new(opened, settings, tokio::runtime::Handle::current())?);
    let router = http::router(Arc::clone(&app));
    let mut served = all.served.lock();
    served.0 += 1;
    let id = served.0;
    served.1.insert(id, Arc::new(Served { app, router, clock, fails }));
    Ok(format!("/s/{id}/"))
}

async fn control(all: &All, id: u64, served: &Served, what: &Value) {
    if let Some(seconds) = what["advance"].as_i64() {
        served.clock.advance_seconds(seconds);
    }
    if let Some(embedder) = what["embedder"].as_str() {
        served.fails.store(embedder == "fails", Ordering::Relaxed);
    }
    if what["close"] == true {
        all.served.lock().1.remove(&id);
        served.app.close(Duration::from_secs(10)).await.unwrap();
    }
}

async fn body(request: Request) -> Value {
    serde_json::from_slice(&to_bytes(request.into_body(), BODY_MAX).await.unwrap()).unwrap_or_default()
}

fn json_of(value: Value) -> Response<Body> {
    Response::builder().header("content-type", "application/json").body(value.to_string().into()).unwrap()
}
