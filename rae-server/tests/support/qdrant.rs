//! A Qdrant for the tests of one binary: the real server that RAE_TEST_QDRANT_URL names, else a stand-in over the vendor's local
//! mode (see tests/qdrant/standin.py).

use super::{
    block_on,
    process::{User, Watchdog, free_port},
};
use rae_core::http::client;
use rae_server::adapters::qdrant::{QdrantSettings, QdrantStore};
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// A running stand-in. Listens to this machine only; what it was told is in its folder.
pub struct Server {
    pub port: u16,
    key: Option<&'static str>,
    folder: tempfile::TempDir,
    watchdog: Mutex<Option<Watchdog>>,
}

/// A Python that has qdrant-client.
fn python() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let named = std::env::var_os("RAE_TEST_PYTHON").map(PathBuf::from);
    let places = named.into_iter().chain([root.join(".venv/bin/python"), "python3".into()]);
    let has_it = |python: &PathBuf| {
        Command::new(python).args(["-c", "import qdrant_client"]).output().is_ok_and(|o| o.status.success())
    };
    places
        .into_iter()
        .find(has_it)
        .expect("these tests need a Python with qdrant-client: run scripts/venv.sh, or name one in RAE_TEST_PYTHON")
}

impl Server {
    pub fn start(key: Option<&'static str>) -> Self {
        let folder = tempfile::Builder::new().prefix("rae-qdrant-").tempdir_in("/tmp").unwrap();
        let server = Self { port: free_port(), key, folder, watchdog: Mutex::default() };
        server.again();
        server
    }

    /// The one that the tests of a binary share.
    pub fn shared() -> &'static Self {
        static SERVER: OnceLock<Server> = OnceLock::new();
        SERVER.get_or_init(|| Self::start(None))
    }

    /// Kills it, as `kill -9` does.
    pub fn stop(&self) {
        drop(self.watchdog.lock().unwrap().take());
    }

    /// Starts it on the same port with what it had.
    pub fn again(&self) {
        let log = tempfile::Builder::new().prefix("rae-qdrant-run-").tempdir_in("/tmp").unwrap().keep();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/qdrant/standin.py");
        let key = self.key.map(|key| format!(" --key {key}")).unwrap_or_default();
        let start = format!(
            "'{}' -B '{}' --port {} --folder '{}'{key} &\nserver=$!",
            python().display(),
            script.display(),
            self.port,
            self.folder.path().display()
        );
        *self.watchdog.lock().unwrap() = Some(Watchdog::start(User::same(), log.clone(), &start, "kill -9 $server"));
        let end = Instant::now() + Duration::from_secs(60);
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let said = std::fs::read_to_string(log.join("watchdog.log")).unwrap_or_default();
            assert!(Instant::now() < end, "the stand-in for Qdrant did not come up:\n{said}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn request(&self, method: &str, path: &str, body: &Value) -> Value {
        block_on(async {
            let http = client(Duration::from_secs(30)).unwrap();
            let request = http.request(method.parse().unwrap(), format!("{}{path}", self.url())).body(body.to_string());
            let answer = request.header("api-key", self.key.unwrap_or_default()).send().await.unwrap();
            assert!(answer.status().is_success(), "{method} {path}: {}", answer.status());
            serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
        })
    }

    /// Plans faults; see the script.
    pub fn faults(&self, faults: &Value) {
        self.request("POST", "/__test", &json!({ "faults": faults }));
    }

    /// How often something was asked, for example `POST collections/points/query`.
    pub fn asked(&self, what: &str) -> u64 {
        self.request("GET", "/__test", &Value::Null)[what].as_u64().unwrap_or(0)
    }

    /// Names of the collections.
    pub fn collections(&self) -> Vec<String> {
        let all = self.request("GET", "/collections", &Value::Null);
        let all = all["result"]["collections"].as_array().unwrap();
        all.iter().map(|collection| collection["name"].as_str().unwrap().to_owned()).collect()
    }

    /// Deletes every collection, behind everyone's back.
    pub fn reset(&self) {
        for name in self.collections() {
            self.request("DELETE", &format!("/collections/{name}"), &Value::Null);
        }
    }

    /// Makes a collection of somebody else's idea.
    pub fn make(&self, name: &str, dim: usize) {
        let body = json!({ "vectors": { "size": dim, "distance": "Cosine" } });
        self.request("PUT", &format!("/collections/{name}"), &body);
    }

    /// Every point of every collection: collection, payload, vector. Watermarks, which name no memory, are left out.
    pub fn points(&self) -> Vec<(String, Value, Vec<f32>)> {
        let mut out = Vec::new();
        for name in self.collections() {
            let mut offset = Value::Null;
            loop {
                let body = json!({ "limit": 1000, "offset": offset, "with_payload": true, "with_vector": true });
                let page = self.request("POST", &format!("/collections/{name}/points/scroll"), &body);
                for point in page["result"]["points"].as_array().unwrap() {
                    if point["payload"].get("memory").is_some() {
                        let vector = serde_json::from_value(point["vector"].clone()).unwrap();
                        out.push((name.clone(), point["payload"].clone(), vector));
                    }
                }
                offset = page["result"]["next_page_offset"].clone();
                if offset.is_null() {
                    break;
                }
            }
        }
        out
    }
}

/// Settings of a server that must be there, with collections that no other test uses.
pub fn settings() -> QdrantSettings {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let named = std::env::var("RAE_TEST_QDRANT_URL").ok();
    let url = named.unwrap_or_else(|| Server::shared().url());
    let key = std::env::var("RAE_TEST_QDRANT_API_KEY").ok();
    let prefix = format!("raetest{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    QdrantSettings::new(&url, key.as_deref()).unwrap().prefix(&prefix)
}

pub fn open(settings: &QdrantSettings) -> QdrantStore {
    block_on(async { QdrantStore::open(settings) }).unwrap()
}
