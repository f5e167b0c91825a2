//! The scenarios over HTTP give the answers of an open store. With RAE_SCENARIO_TRANSCRIPTS they go to `rest.json` in that folder.

use crate::support::Folder;
use async_trait::async_trait;
use rae_core::{
    Error, Result, block_on,
    conformance::scenario::{self, Stores, Surface},
    remote::Remote,
};
use serde_json::{Map, Value, json};
use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

/// Scenarios that only an embedded store can replay; see `Scenario::needs_the_embedded_store`.
const NOT_OVER_HTTP: usize = 14;
pub const KEY: &str = "the-key-of-the-scenarios";

/// The example `scenario_server` of this build, running.
pub struct Server {
    child: Child,
    pub url: String,
}

impl Server {
    pub fn start() -> Arc<Self> {
        let built = std::env::var_os("RAE_TEST_SCENARIO_SERVER").map(PathBuf::from).unwrap_or_else(|| {
            // Cargo builds the examples of a package with its tests, in the folder beside them.
            let tests = std::env::current_exe().unwrap();
            tests.parent().and_then(|deps| deps.parent()).unwrap().join("examples/scenario_server")
        });
        let mut command = Command::new(&built);
        let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = spawned.unwrap_or_else(|e| {
            panic!("{}: {e}; cargo build --profile ci -p rae-server --example scenario_server", built.display())
        });
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("listening on ").unwrap().to_owned();
        Arc::new(Self { child, url })
    }

    pub fn post(&self, path: &str, body: &Value) -> Value {
        let address = self.url.strip_prefix("http://").unwrap();
        let mut connection = crate::support::Connection::new(address.parse().unwrap());
        connection.write("POST", path, &[], body.to_string().as_bytes());
        connection.read("POST").json()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The stores of one scenario.
struct Served {
    server: Arc<Server>,
    opened: Mutex<Vec<String>>,
}

struct Opened {
    remote: Remote,
    control: String,
    server: Arc<Server>,
}

#[async_trait]
impl Stores for Served {
    async fn open(&self, options: &Map<String, Value>) -> Result<Box<dyn Surface>> {
        let opened = self.server.post("/open", &Value::Object(options.clone()));
        let path = opened["path"].as_str().ok_or_else(|| Error::invalid(format!("not opened: {opened}")))?;
        self.opened.lock().unwrap().push(format!("{path}control"));
        let name = |key: &str| options.get(key).and_then(Value::as_str).unwrap_or("default");
        let mut connect = Remote::connect(format!("{}{path}", self.server.url)).api_key(KEY);
        connect = connect.tenant(name("tenant")).project(name("project"));
        if let Some(seconds) = options.get("timeout").and_then(Value::as_f64) {
            connect = connect.timeout(Duration::from_secs_f64(seconds));
        }
        let (remote, server) = (connect.open()?, Arc::clone(&self.server));
        Ok(Box::new(Opened { remote, control: format!("{path}control"), server }))
    }

    async fn embedders_fail(&self, fail: bool) {
        for control in self.opened.lock().unwrap().iter() {
            self.server.post(control, &json!({ "embedder": if fail { "fails" } else { "works" } }));
        }
    }
}

#[async_trait]
impl Surface for Opened {
    async fn call(&self, verb: &str, args: Map<String, Value>) -> Result<Value> {
        self.remote.call(verb, args).await
    }

    fn with_scope(&self, tenant: Option<&str>, project: Option<&str>) -> Result<Box<dyn Surface>> {
        let remote = self.remote.with_scope(tenant.map(str::to_owned), project.map(str::to_owned))?;
        Ok(Box::new(Self { remote, control: self.control.clone(), server: Arc::clone(&self.server) }))
    }

    async fn advance(&self, seconds: i64) {
        self.server.post(&self.control, &json!({ "advance": seconds }));
    }

    async fn close(&self) -> Result<()> {
        self.remote.close();
        Ok(())
    }
}

#[test]
fn the_scenarios_hold_over_http() {
    let server = Server::start();
    let (mut transcript, mut broken, mut apart) = (Vec::new(), Vec::new(), 0);
    for scenario in scenario::all() {
        if scenario.needs_the_embedded_store() {
            apart += 1;
            continue;
        }
        let folder = Folder::new();
        let served = Served { server: Arc::clone(&server), opened: Mutex::default() };
        let replayed = block_on(scenario::replay_on(&scenario, &folder.0, &served));
        for control in served.opened.into_inner().unwrap() {
            server.post(&control, &json!({ "close": true }));
        }
        transcript.push(json!({ "rule": scenario.rule, "results": replayed.results }));
        broken.extend(replayed.broken);
    }
    if let Some(folder) = std::env::var_os("RAE_SCENARIO_TRANSCRIPTS") {
        std::fs::write(PathBuf::from(folder).join("rest.json"), Value::Array(transcript).to_string()).unwrap();
    }
    assert!(broken.is_empty(), "{} scenarios do not hold:\n\n{}", broken.len(), broken.join("\n\n"));
    assert_eq!(apart, NOT_OVER_HTTP, "a scenario that cannot be shown over HTTP is counted here, and only here");
}
