//! The cache on a Redis server, 6 or newer.
//!
//! Losing Redis costs time, never an answer: a call fails within half a second, after a failure no call is tried for a
//! second, and the engine takes every error for a miss. The connection comes back by itself.
//!
//! Set `maxmemory` and `maxmemory-policy allkeys-lru` on the server: everything here may be evicted at any time. Redis has
//! a clock of its own, by which values and counters end. Calls run as tasks of the Tokio runtime it was opened in.

use async_trait::async_trait;
use parking_lot::RwLock;
use rae_core::{Ctx, Error, ErrorKind, Result, ports::CacheStore};
use redis::{
    Client, FromRedisValue, RedisError, Script,
    aio::{ConnectionManager, ConnectionManagerConfig},
};
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::runtime::Handle;

/// Largest value, in bytes.
const VALUE_BYTES_MAX: usize = 4 << 20;
/// Longest key, in bytes, without tenant and project.
const KEY_BYTES_MAX: usize = 4 << 10;
/// Longest time to live: a year.
const TTL_MAX: Duration = Duration::from_secs(365 * 86_400);
/// How long nothing is tried after a failure.
const PAUSE: Duration = Duration::from_secs(1);

/// Adds, and lets the counter end after its first use: both in one step, as a counter without an end would stay for ever.
const ADD: &str = "local sum = redis.call('INCRBY', KEYS[1], ARGV[1]) \
                   if redis.call('PTTL', KEYS[1]) < 0 then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end return sum";

/// Where Redis is. `Debug` shows no password.
#[derive(Clone)]
#[non_exhaustive]
pub struct RedisSettings {
    client: Client,
    shown: String,
    /// How long connecting may take. Default 500 ms.
    pub connect_timeout: Duration,
    /// How long an answer may take. Default 500 ms.
    pub response_timeout: Duration,
}

impl RedisSettings {
    /// Reads `redis://user:password@host:port/database`. InvalidInput (`invalid_redis_url`); the message never repeats the
    /// URL.
    pub fn from_url(url: &str) -> Result<Self> {
        let bad = |_| {
            Error::invalid("REDIS_URL must be redis://user:password@host:port/database; encode special signs as %XX")
                .with_code("invalid_redis_url")
        };
        let client = Client::open(url).map_err(bad)?;
        let shown = client.get_connection_info().addr().to_string();
        let half = Duration::from_millis(500);
        Ok(Self { client, shown, connect_timeout: half, response_timeout: half })
    }

    /// From the values of `REDIS_HOST`, `REDIS_PORT` and `REDIS_PASSWORD`.
    pub fn from_variables(host: &str, port: u16, password: Option<&str>) -> Result<Self> {
        let bad = |what: &str| Error::invalid(what.to_owned()).with_code("invalid_redis_url");
        if host.is_empty() || host.contains(['/', '@', '?', '#']) {
            return Err(bad("REDIS_HOST must be a host name or address"));
        }
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let password = password.map(|p| format!(":{}@", percent_encoded(p))).unwrap_or_default();
        Self::from_url(&format!("redis://{password}{host}:{port}"))
    }
}

fn percent_encoded(text: &str) -> String {
    use fmt::Write;
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        if byte.is_ascii_alphanumeric() {
            out.push(char::from(byte));
        } else {
            // Writing to a String does not fail.
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

impl fmt::Debug for RedisSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisSettings").field("server", &self.shown).finish_non_exhaustive()
    }
}

/// The cache. See the module's documentation.
pub struct RedisCache {
    /// `None` once closed.
    manager: RwLock<Option<ConnectionManager>>,
    add: Arc<Script>,
    runtime: Handle,
    began: Instant,
    /// Milliseconds since `began` before which nothing is tried.
    paused_until: Arc<AtomicU64>,
    timeout: Duration,
    shown: String,
}

impl RedisCache {
    /// Prepares the cache; connects when it is first used, so that a server starts without Redis. Must be called inside a
    /// Tokio runtime with worker threads. Errors: Unsupported (`no_runtime`), InvalidInput.
    pub fn open(settings: RedisSettings) -> Result<Self> {
        let runtime = Handle::try_current().map_err(|_| {
            Error::unsupported("a Redis cache must be opened inside a Tokio runtime").with_code("no_runtime")
        })?;
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(1)
            .set_min_delay(Duration::from_millis(20))
            .set_max_delay(Duration::from_millis(100))
            .set_connection_timeout(Some(settings.connect_timeout))
            .set_response_timeout(Some(settings.response_timeout));
        let manager = ConnectionManager::new_lazy_with_config(settings.client, config).map_err(|e| mapped(&e))?;
        Ok(Self {
            manager: RwLock::new(Some(manager)),
            add: Arc::new(Script::new(ADD)),
            runtime,
            began: Instant::now(),
            paused_until: Arc::default(),
            timeout: settings.connect_timeout.saturating_add(settings.response_timeout),
            shown: settings.shown,
        })
    }

    /// Whether the server answers.
    pub async fn ping(&self) -> Result<()> {
        self.run(|mut redis| async move { redis::cmd("PING").query_async::<String>(&mut redis).await }).await.map(drop)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    async fn run<T, F>(&self, work: impl FnOnce(ConnectionManager) -> F) -> Result<T>
    where
        T: FromRedisValue + Send + 'static,
        F: Future<Output = Result<T, RedisError>> + Send + 'static,
    {
        let manager = self.manager.read().clone().ok_or_else(closed)?;
        if self.now() < self.paused_until.load(Ordering::Relaxed) {
            return Err(unreachable_now());
        }
        let task = tokio_timeout(self.timeout, work(manager));
        let result = match self.runtime.spawn(task).await {
            Ok(result) => result,
            Err(error) if error.is_panic() => Err(Error::internal("a task of the cache panicked")),
            Err(_) => Err(closed()),
        };
        if let Err(error) = &result
            && error.kind() == ErrorKind::Unavailable
        {
            let pause = u64::try_from(PAUSE.as_millis()).unwrap_or(u64::MAX);
            let before = self.paused_until.swap(self.now().saturating_add(pause), Ordering::Relaxed);
            if before == 0 {
                tracing::warn!("Redis does not answer; going on without a cache");
            }
        }
        result
    }
}

async fn tokio_timeout<T>(limit: Duration, work: impl Future<Output = Result<T, RedisError>>) -> Result<T> {
    match tokio::time::timeout(limit, work).await {
        Ok(result) => result.map_err(|e| mapped(&e)),
        Err(_) => Err(unreachable_now()),
    }
}

/// What Redis said is not passed on: it may quote a key.
fn mapped(error: &RedisError) -> Error {
    match error.kind() {
        redis::ErrorKind::AuthenticationFailed => {
            Error::new(ErrorKind::PermissionDenied, "Redis refused the password; check REDIS_URL or REDIS_PASSWORD")
                .with_code("no_permission")
        }
        redis::ErrorKind::InvalidClientConfig => {
            Error::invalid("the settings of Redis cannot be used").with_code("invalid_redis_url")
        }
        redis::ErrorKind::UnexpectedReturnType | redis::ErrorKind::Parse => {
            Error::corrupt("Redis holds something else under this key")
        }
        _ if error.is_io_error() || error.is_timeout() || error.is_connection_dropped() => unreachable_now(),
        _ => Error::unavailable("Redis refused a command; see its log").with_code("redis_refused"),
    }
}

/// Not marked as temporary on purpose: a cache that is waited for is worse than none.
fn unreachable_now() -> Error {
    Error::unavailable("Redis does not answer; going on without a cache").with_code("no_cache")
}

fn closed() -> Error {
    Error::unavailable("the cache is closed").with_code("closed")
}

/// Names are preceded by their lengths, so that no two of them join to the same text.
fn full(ctx: &Ctx, key: &str) -> Result<String> {
    if key.len() > KEY_BYTES_MAX {
        return Err(Error::invalid(format!("a key of the cache must have at most {KEY_BYTES_MAX} bytes")));
    }
    let (tenant, project) = (ctx.scope().tenant(), ctx.scope().project());
    Ok(format!("rae:{}:{tenant}{}:{project}{key}", tenant.len(), project.len()))
}

fn millis(ttl: Duration) -> u64 {
    u64::try_from(ttl.min(TTL_MAX).as_millis()).unwrap_or(u64::MAX).max(1)
}

impl fmt::Debug for RedisCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisCache").field("server", &self.shown).finish_non_exhaustive()
    }
}

#[async_trait]
impl CacheStore for RedisCache {
    async fn get(&self, ctx: &Ctx, key: &str) -> Result<Option<Arc<[u8]>>> {
        let key = full(ctx, key)?;
        let get =
            |mut redis| async move { redis::cmd("GET").arg(key).query_async::<Option<Vec<u8>>>(&mut redis).await };
        Ok(self.run(get).await?.map(Arc::from))
    }

    async fn put(&self, ctx: &Ctx, key: &str, value: Arc<[u8]>, ttl: Duration) -> Result<()> {
        if value.len() > VALUE_BYTES_MAX {
            return Err(Error::invalid(format!("a value of the cache must have at most {VALUE_BYTES_MAX} bytes")));
        }
        if ttl.is_zero() {
            return self.remove(ctx, key).await;
        }
        let key = full(ctx, key)?;
        let put = |mut redis| async move {
            redis::cmd("SET").arg(key).arg(&*value).arg("PX").arg(millis(ttl)).query_async::<()>(&mut redis).await
        };
        self.run(put).await
    }

    async fn remove(&self, ctx: &Ctx, key: &str) -> Result<()> {
        let key = full(ctx, key)?;
        self.run(|mut redis| async move { redis::cmd("DEL").arg(key).query_async::<()>(&mut redis).await }).await
    }

    async fn add(&self, ctx: &Ctx, key: &str, amount: i64, ttl: Duration) -> Result<i64> {
        let (key, script) = (full(ctx, key)?, Arc::clone(&self.add));
        let add = |mut redis| async move {
            script.key(key).arg(amount).arg(millis(ttl)).invoke_async::<i64>(&mut redis).await
        };
        self.run(add).await
    }

    async fn close(&self) -> Result<()> {
        drop(self.manager.write().take());
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test reports by panicking
mod tests {
    use super::*;

    #[test]
    fn neither_errors_nor_debug_show_the_password() {
        let settings = RedisSettings::from_variables("db.example", 6379, Some("s3cret@/:")).unwrap();
        assert_eq!(settings.client.get_connection_info().redis_settings().password(), Some("s3cret@/:"));
        let shown = format!("{settings:?}");
        assert!(shown.contains("db.example:6379") && !shown.contains("s3cret"), "{shown}");
        for wrong in ["s3cret", "http://:s3cret@db", "redis://:s3cret@db:port"] {
            let error = RedisSettings::from_url(wrong).unwrap_err();
            assert!(!format!("{error:?} {error}").contains("s3cret"), "{wrong}");
        }
        assert!(RedisSettings::from_variables("a@b", 6379, None).is_err());
    }
}
