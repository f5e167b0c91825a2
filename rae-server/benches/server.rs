//! One `rae-server api` under load: `make bench-server`. Recall at full speed and at half of it, remember, and memory over a
//! soak; on the embedded store, and on PostgreSQL with Redis, which are started for it. Prints figures; judges nothing.
//!
//! MEMORIES=100000 SECONDS_EACH=20 SOAK_SECONDS=600 CONNECTIONS=16 STORES="embedded hosted" by default. The generator runs on the same
//! machine: where there are more than two processors, the server is kept on the first two (taskset).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)] // a benchmark reports on its output

#[path = "server/load.rs"]
mod load;
#[path = "../tests/support/mod.rs"]
mod support;

use load::{Connection, Load, Outcome, content, question, run};
use serde_json::json;
use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};
use support::{block_on, postgres::Cluster, redis, runtime};

/// Memories of one request while the store is filled.
const BATCH: u64 = 1_000;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} must be a number")))
}

struct Server {
    child: Child,
    address: SocketAddr,
    folder: PathBuf,
}

impl Server {
    fn start(env: &[(&str, String)]) -> Self {
        let binary = std::env::var_os("BINARY").map_or_else(|| env!("CARGO_BIN_EXE_rae-server").into(), PathBuf::from);
        let folder = tempfile::Builder::new().prefix("rae-bench-").tempdir().unwrap().keep();
        let cpus = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        let mut command = if cpus > 2 { Command::new("taskset") } else { Command::new(&binary) };
        if cpus > 2 {
            command.args(["-c", "0,1"]).arg(&binary);
        }
        command.args(["api", "--port", "0", "--data"]).arg(folder.join("data"));
        command.env_clear().env("RAE_LOG_LEVEL", "info").env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("RAE_REQUEST_TIMEOUT", "300").envs(env.iter().cloned());
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let mut said = String::new();
        let address = lines.find_map(|line| {
            said.push_str(&format!("{line}\n"));
            line.split("listening on http://").nth(1)?.split_whitespace().next()?.parse().ok()
        });
        // Somebody must read on, or lines are dropped.
        std::thread::spawn(move || lines.for_each(drop));
        let address = address.unwrap_or_else(|| panic!("the server did not start:\n{said}"));
        Self { child, address, folder }
    }

    /// Resident memory, in MiB.
    fn memory(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1024.0
    }

    fn fill(&self, memories: u64) -> Duration {
        let started = Instant::now();
        block_on(async {
            let mut connection = Connection::open(self.address).await;
            for from in (0..memories).step_by(BATCH as usize) {
                let to = (from + BATCH).min(memories);
                let items: Vec<_> = (from..to).map(|n| json!({ "content": content(n) })).collect();
                let body = json!({ "items": items }).to_string();
                let status = connection.post("/v1/memories/batch", &body).await.unwrap();
                assert!(matches!(status, 200..=299), "the store could not be filled: {status}");
            }
        });
        started.elapsed()
    }

    fn load(&self, path: &'static str, body: impl Fn(u64) -> String + Send + Sync + 'static, time: Duration) -> Load {
        let connections = usize::try_from(number("CONNECTIONS", 16)).unwrap();
        Load { address: self.address, path, body: Arc::new(body), connections, time, rate: None }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn row(store: &str, what: &str, outcome: &Outcome) {
    println!(
        "| {store} | {what} | {} | {} | {:.0} | {:.1} | {:.1} | {:.1} |",
        outcome.requests(),
        outcome.failed,
        outcome.per_second(),
        outcome.percentile(0.5),
        outcome.percentile(0.99),
        outcome.percentile(1.0),
    );
}

fn measure(store: &str, env: &[(&str, String)], memories: u64) {
    let server = Server::start(env);
    let (time, warm_up) = (Duration::from_secs(number("SECONDS_EACH", 20)), Duration::from_secs(3));
    let filled = server.fill(memories);
    let recall = move |n| json!({ "query": question(n % memories.max(1)), "k": 10 }).to_string();
    let remember = move |n| json!({ "content": content(memories + n) }).to_string();
    // The index is built by the first recall; what a warm server does is asked.
    block_on(run(&server.load("/v1/memories/recall", recall, warm_up)));
    let most = block_on(run(&server.load("/v1/memories/recall", recall, time)));
    row(store, "recall, full speed", &most);
    let rate = most.per_second() / 2.0;
    let half = Load { rate: Some(rate), ..server.load("/v1/memories/recall", recall, time) };
    row(store, &format!("recall, {rate:.0} a second"), &block_on(run(&half)));
    let soak = Duration::from_secs(number("SOAK_SECONDS", 600));
    let begun = server.memory();
    let (mut least, mut largest) = (begun, begun);
    let ended = block_on(async {
        let load = Load { rate: Some(rate), ..server.load("/v1/memories/recall", recall, soak) };
        let task = runtime().spawn(async move { run(&load).await });
        while !task.is_finished() {
            let now = server.memory();
            (least, largest) = (least.min(now), largest.max(now));
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        task.await.unwrap()
    });
    row(store, &format!("recall, soak of {} s", soak.as_secs()), &ended);
    let memory = server.memory();
    // Last: it changes the number of memories.
    row(store, "remember, full speed", &block_on(run(&server.load("/v1/memories", remember, time))));
    println!(
        "{store}: {memories} memories in {:.0} s by batches of {BATCH}; memory before the soak {begun:.0} MiB, least {least:.0}, most {largest:.0}, after {memory:.0}",
        filled.as_secs_f64()
    );
}

/// Processors, memory and system, for the reader of the figures.
fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_once(':').map_or_else(|| "unknown".to_owned(), |(_, value)| value.trim().to_owned())
    };
    let cpus = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    format!(
        "{cpus} processors ({}), {} of memory, Linux {}",
        field(&read("/proc/cpuinfo"), "model name"),
        field(&read("/proc/meminfo"), "MemTotal"),
        read("/proc/sys/kernel/osrelease").trim()
    )
}

fn main() {
    let memories = number("MEMORIES", 100_000);
    let stores = std::env::var("STORES").unwrap_or_else(|_| "embedded hosted".to_owned());
    println!("rae-server {} api, {}", rae_server::version(), machine());
    println!("{memories} memories, {} connections; times in milliseconds", number("CONNECTIONS", 16));
    println!(
        "| store | load | answered | failed | per second | p50 | p99 | longest |\n|---|---|---|---|---|---|---|---|"
    );
    for store in stores.split_whitespace() {
        match store {
            "embedded" => measure(store, &[], memories),
            "hosted" => {
                let (cluster, cache) = (Cluster::start(true), redis::Server::start());
                let database = cluster.empty();
                let env =
                    [("DATABASE_URL", database.url()), ("REDIS_URL", format!("redis://127.0.0.1:{}/0", cache.port))];
                let binary =
                    std::env::var_os("BINARY").map_or_else(|| env!("CARGO_BIN_EXE_rae-server").into(), PathBuf::from);
                assert!(Command::new(binary).arg("migrate").envs(env.clone()).status().unwrap().success());
                measure(store, &env, memories);
            }
            other => panic!("STORES may name embedded and hosted, not {other}"),
        }
    }
}
