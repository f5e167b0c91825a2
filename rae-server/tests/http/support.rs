//! A server in a folder of its own on a free port, and a small HTTP client that shows what came over the wire.

use serde_json::Value;
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

/// The binary of this build, or the one that RAE_TEST_BINARY names.
pub fn binary() -> PathBuf {
    std::env::var_os("RAE_TEST_BINARY").map_or_else(|| env!("CARGO_BIN_EXE_rae-server").into(), PathBuf::from)
}

/// No test waits longer for one thing.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A folder that goes with the test.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("rae-http-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The binary with nothing inherited that would configure it.
pub fn command(folder: &Path) -> Command {
    let mut command = Command::new(binary());
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let prefixes = [
            "RAE_",
            "PG",
            "REDIS_",
            "QDRANT_",
            "DATABASE_URL",
            "OTEL_",
            "OPENAI_",
            "ANTHROPIC_",
            "GEMINI_",
            "GOOGLE_",
            "OPENROUTER_",
            "OLLAMA_",
            "VLLM_",
            "ENABLE_COST",
            "DEFAULT_",
            "BUDGET_",
        ];
        if prefixes.iter().any(|prefix| text.starts_with(prefix)) {
            command.env_remove(&name);
        }
    }
    command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

pub struct Server {
    pub address: SocketAddr,
    pub folder: Arc<Folder>,
    child: Child,
    log: Arc<Mutex<String>>,
}

impl Server {
    pub fn start() -> Self {
        Self::with(&[])
    }

    pub fn with(env: &[(&str, &str)]) -> Self {
        Self::in_folder(Arc::new(Folder::new()), env)
    }

    pub fn in_folder(folder: Arc<Folder>, env: &[(&str, &str)]) -> Self {
        Self::role(&["all", "--port", "0"], folder, env)
    }

    pub fn role(args: &[&str], folder: Arc<Folder>, env: &[(&str, &str)]) -> Self {
        let mut command = command(&folder.0);
        command.args(args).env("RAE_LOG_FORMAT", "json").envs(env.iter().copied());
        let mut child = command.spawn().unwrap();
        let (lines, log) = (BufReader::new(child.stderr.take().unwrap()).lines(), Arc::new(Mutex::new(String::new())));
        let (found, address) = mpsc::channel();
        let kept = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if let Some(at) = line.find("listening on http://") {
                    let _ = found.send(line[at + 20..].split('"').next().unwrap().parse().unwrap());
                }
                kept.lock().unwrap().push_str(&(line + "\n"));
            }
        });
        let Ok(address) = address.recv_timeout(PATIENCE) else {
            let _ = child.kill();
            panic!("the server did not start:\n{}", log.lock().unwrap());
        };
        Self { address, folder, child, log }
    }

    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Waits until the log says something.
    pub fn log_with(&self, text: &str) -> String {
        until(|| Some(self.log()).filter(|log| log.contains(text)))
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([name, &self.pid().to_string()]).status().unwrap().success());
    }

    pub fn wait(&mut self) -> ExitStatus {
        until(|| self.child.try_wait().unwrap())
    }

    pub fn stop(&mut self) -> ExitStatus {
        self.signal("-TERM");
        self.wait()
    }

    /// A request of the tenant "t" on a connection of its own.
    pub fn call(&self, method: &str, path: &str, body: &str) -> Answer {
        self.call_as("t", method, path, body)
    }

    pub fn call_as(&self, tenant: &str, method: &str, path: &str, body: &str) -> Answer {
        self.send(method, path, &[("X-Tenant-ID", tenant)], body.as_bytes())
    }

    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut connection = self.connect();
        connection.write(method, path, headers, body);
        connection.read(method)
    }

    pub fn connect(&self) -> Connection {
        Connection::new(self.address)
    }

    pub fn post(&self, path: &str, body: Value) -> Answer {
        self.call("POST", path, &body.to_string())
    }

    pub fn get(&self, path: &str) -> Answer {
        self.call("GET", path, "")
    }

    pub fn remember(&self, content: &str) -> String {
        let answer = self.post("/v1/memories", serde_json::json!({ "content": content }));
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.json()["id"].as_str().unwrap().to_owned()
    }

    /// The value of one series, 0 where it is not there.
    pub fn metric(&self, series: &str) -> f64 {
        let text = self.get("/metrics").text();
        text.lines().find_map(|l| l.strip_prefix(series)?.trim().parse().ok()).unwrap_or(0.0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks again until there is something, within bounds.
pub fn until<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "waited too long");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub struct Connection {
    pub stream: TcpStream,
    reader: BufReader<TcpStream>,
}

impl Connection {
    pub fn new(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect_timeout(&address, PATIENCE).unwrap())
    }

    pub fn over(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        let reader = BufReader::new(stream.try_clone().unwrap());
        Self { stream, reader }
    }

    pub fn write(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) {
        let mut head = format!("{method} {path} HTTP/1.1\r\n");
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            head.push_str("Host: localhost\r\n");
        }
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() || ["POST", "PATCH", "PUT"].contains(&method) {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(body);
        // A server that refuses a body may close before all of it was sent; its answer is what counts.
        let _ = self.stream.write_all(&bytes);
    }

    /// The next answer. Fails when the connection ends before it is whole.
    pub fn read(&mut self, method: &str) -> Answer {
        self.try_read(method).unwrap()
    }

    pub fn try_read(&mut self, method: &str) -> std::io::Result<Answer> {
        let mut line = String::new();
        if self.reader.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let status = line.split(' ').nth(1).unwrap().parse().unwrap();
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            if self.reader.read_line(&mut line)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut answer = Answer { status, headers, body: Vec::new() };
        if method == "HEAD" || status == 204 || status == 304 {
        } else if let Some(length) = answer.header("content-length") {
            answer.body = vec![0; length.parse().unwrap()];
            self.reader.read_exact(&mut answer.body)?;
        } else {
            assert_eq!(answer.header("transfer-encoding"), Some("chunked"), "{answer:?}");
            loop {
                let mut size = String::new();
                self.reader.read_line(&mut size)?;
                let size = usize::from_str_radix(size.trim(), 16).unwrap();
                let mut chunk = vec![0; size + 2];
                self.reader.read_exact(&mut chunk)?;
                answer.body.extend_from_slice(&chunk[..size]);
                if size == 0 {
                    break;
                }
            }
        }
        Ok(answer)
    }

    /// Whether the server closes the connection, within bounds.
    pub fn is_closed_within(&mut self, limit: Duration) -> bool {
        self.stream.set_read_timeout(Some(limit)).unwrap();
        match self.reader.read(&mut [0; 1]) {
            Ok(n) => n == 0,
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}

#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// Checks that this is the one error body, with a status, a kind and a code.
    pub fn is_error(&self, status: u16, kind: &str, code: &str) {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.header("content-type"), Some("application/json"));
        let body = self.json();
        assert_eq!(body.as_object().unwrap().keys().collect::<Vec<_>>(), ["error"]);
        let error = &body["error"];
        assert_eq!((error["kind"].as_str(), error["code"].as_str()), (Some(kind), Some(code)), "{body}");
        let mut fields: Vec<&String> = error.as_object().unwrap().keys().collect();
        fields.sort();
        // The routes of the gateway also say what clients of OpenAI read.
        if let Some(word) = error.get("type") {
            assert_eq!(word, kind);
            fields.retain(|field| !["param", "type"].contains(&field.as_str()));
        }
        assert_eq!(fields, ["code", "details", "kind", "message", "request_id"]);
        assert!(error["details"].is_object() && !error["message"].as_str().unwrap().is_empty());
        assert_eq!(error["request_id"].as_str(), self.header("x-request-id"));
    }
}
