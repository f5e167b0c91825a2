//! A Redis server for the tests of one binary.

use super::{
    block_on,
    process::{User, Watchdog, free_port},
};
use rae_core::ports::CacheStore;
use rae_server::adapters::redis::{RedisCache, RedisSettings};
use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// A running server. Listens to this machine only; keeps nothing.
pub struct Server {
    pub port: u16,
    watchdog: Mutex<Option<Watchdog>>,
}

fn program() -> PathBuf {
    let named = std::env::var_os("RAE_TEST_REDIS_SERVER").map(PathBuf::from);
    let program = named.unwrap_or_else(|| "redis-server".into());
    let found = Command::new(&program).arg("--version").output().is_ok_and(|o| o.status.success());
    assert!(
        found,
        "these tests need a Redis server: apt-get install redis-server (or name the program in RAE_TEST_REDIS_SERVER)"
    );
    program
}

fn launch(program: &Path, port: u16) -> Watchdog {
    let user = User::unprivileged();
    let folder = user.folder("rae-redis-");
    let start = format!(
        "'{}' --port {port} --bind 127.0.0.1 --save '' --appendonly no --databases 1000 --dir '{}' > /dev/null &\nserver=$!",
        program.display(),
        folder.display()
    );
    Watchdog::start(user, folder, &start, "kill -9 $server")
}

impl Server {
    pub fn start() -> Self {
        let port = free_port();
        let server = Self { port, watchdog: Mutex::new(Some(launch(&program(), port))) };
        server.wait();
        server
    }

    /// The one that the tests of a binary share.
    pub fn shared() -> &'static Self {
        static SERVER: OnceLock<Server> = OnceLock::new();
        SERVER.get_or_init(Self::start)
    }

    fn wait(&self) {
        let end = Instant::now() + Duration::from_secs(15);
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(Instant::now() < end, "the Redis server did not come up");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Kills it.
    pub fn stop(&self) {
        drop(self.watchdog.lock().unwrap().take());
    }

    /// Starts it again on the same port, empty.
    pub fn again(&self) {
        *self.watchdog.lock().unwrap() = Some(launch(&program(), self.port));
        self.wait();
    }

    pub fn open(&self, database: u32) -> RedisCache {
        let settings = RedisSettings::from_url(&format!("redis://127.0.0.1:{}/{database}", self.port)).unwrap();
        block_on(async { RedisCache::open(settings) }).unwrap()
    }
}

/// An empty cache of the shared server, a function that lets time pass for it, and nothing that must outlive it.
pub fn cache() -> (Arc<dyn CacheStore>, Box<dyn Fn(Duration) + Send + Sync>, ()) {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let cache = Server::shared().open(NEXT.fetch_add(1, Ordering::Relaxed));
    // Redis counts by its own clock: time passes by passing.
    (Arc::new(cache), Box::new(thread::sleep), ())
}
