//! The cache in the process: bounded in entries and bytes, least recently used out first.

use crate::{
    ctx::Ctx,
    error::Result,
    limits::{CACHE_BYTES_MAX, CACHE_ENTRIES_MAX},
    ports::CacheStore,
};
use async_trait::async_trait;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use std::{
    collections::VecDeque,
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

/// What an entry costs beside its key and value: about the map's and the queue's share.
const ENTRY_BYTES: usize = 128;

type Key = Arc<[u8]>;

/// A cache in memory. Values and counters are apart: `get` does not see a counter. Shared by all tenants, whose keys
/// never meet.
pub struct MemoryCache {
    entries_max: usize,
    bytes_max: usize,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    entries: FxHashMap<Key, Entry>,
    /// Uses, oldest first. Only the pair with an entry's latest use counts; older ones are skipped.
    uses: VecDeque<(Key, u64)>,
    clock: u64,
    bytes: usize,
}

struct Entry {
    value: Value,
    /// `None`: further away than the clock of the machine reaches.
    expires: Option<Instant>,
    used: u64,
    bytes: usize,
}

enum Value {
    Bytes(Arc<[u8]>),
    Count(i64),
}

impl Default for MemoryCache {
    fn default() -> Self {
        Self::new(CACHE_ENTRIES_MAX, CACHE_BYTES_MAX)
    }
}

impl fmt::Debug for MemoryCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = self.inner.lock();
        f.debug_struct("MemoryCache").field("entries", &inner.entries.len()).field("bytes", &inner.bytes).finish()
    }
}

impl MemoryCache {
    /// At most so many entries, and so many bytes of keys, values and bookkeeping. Zero of either keeps nothing.
    pub fn new(entries_max: usize, bytes_max: usize) -> Self {
        Self { entries_max, bytes_max, inner: Mutex::default() }
    }

    fn put_value(&self, inner: &mut Inner, key: Key, value: Value, expires: Option<Instant>) {
        inner.remove(&key);
        let value_bytes = if let Value::Bytes(bytes) = &value { bytes.len() } else { 0 };
        let bytes = key.len() + value_bytes + ENTRY_BYTES;
        // One value that takes the whole cache would push everything else out for one use.
        if self.entries_max == 0 || bytes > self.bytes_max {
            return;
        }
        while inner.entries.len() >= self.entries_max || inner.bytes + bytes > self.bytes_max {
            inner.evict();
        }
        inner.bytes += bytes;
        inner.entries.insert(Arc::clone(&key), Entry { value, expires, used: 0, bytes });
        inner.touch(&key);
    }
}

impl Inner {
    /// The entry, marked as used; one that has expired is removed.
    fn live(&mut self, key: &Key, now: Instant) -> Option<&mut Entry> {
        if self.entries.get(key)?.expires.is_some_and(|at| at <= now) {
            self.remove(key);
            return None;
        }
        self.touch(key);
        self.entries.get_mut(key)
    }

    fn touch(&mut self, key: &Key) {
        self.clock += 1;
        if let Some(entry) = self.entries.get_mut(key) {
            entry.used = self.clock;
            self.uses.push_back((Arc::clone(key), self.clock));
        }
        if self.uses.len() > 2 * self.entries.len() + 64 {
            let entries = &self.entries;
            self.uses.retain(|(key, used)| entries.get(key).is_some_and(|entry| entry.used == *used));
        }
    }

    fn remove(&mut self, key: &Key) {
        if let Some(entry) = self.entries.remove(key) {
            self.bytes -= entry.bytes;
        }
    }

    fn evict(&mut self) {
        while let Some((key, used)) = self.uses.pop_front() {
            if self.entries.get(&key).is_some_and(|entry| entry.used == used) {
                return self.remove(&key);
            }
        }
        // Every entry has a use in the queue; should that ever fail, an empty cache is right and the loop ends.
        self.entries.clear();
        self.bytes = 0;
    }
}

/// Kind, tenant, project and key; each name goes in with its length, so that no two triples give the same bytes.
fn full_key(kind: u8, ctx: &Ctx, key: &str) -> Key {
    let (tenant, project) = (ctx.scope().tenant(), ctx.scope().project());
    let mut bytes = Vec::with_capacity(17 + tenant.len() + project.len() + key.len());
    bytes.push(kind);
    for name in [tenant, project] {
        bytes.extend(name.len().to_le_bytes());
        bytes.extend(name.as_bytes());
    }
    bytes.extend(key.as_bytes());
    bytes.into()
}

fn value_key(ctx: &Ctx, key: &str) -> Key {
    full_key(b'v', ctx, key)
}

fn counter_key(ctx: &Ctx, key: &str) -> Key {
    full_key(b'c', ctx, key)
}

#[async_trait]
impl CacheStore for MemoryCache {
    async fn get(&self, ctx: &Ctx, key: &str) -> Result<Option<Arc<[u8]>>> {
        let key = value_key(ctx, key);
        Ok(match self.inner.lock().live(&key, Instant::now()) {
            Some(Entry { value: Value::Bytes(bytes), .. }) => Some(Arc::clone(bytes)),
            _ => None,
        })
    }

    async fn put(&self, ctx: &Ctx, key: &str, value: Arc<[u8]>, ttl: Duration) -> Result<()> {
        let (key, expires) = (value_key(ctx, key), Instant::now().checked_add(ttl));
        self.put_value(&mut self.inner.lock(), key, Value::Bytes(value), expires);
        Ok(())
    }

    async fn remove(&self, ctx: &Ctx, key: &str) -> Result<()> {
        let mut inner = self.inner.lock();
        inner.remove(&value_key(ctx, key));
        inner.remove(&counter_key(ctx, key));
        Ok(())
    }

    async fn add(&self, ctx: &Ctx, key: &str, amount: i64, ttl: Duration) -> Result<i64> {
        let (key, now) = (counter_key(ctx, key), Instant::now());
        let mut inner = self.inner.lock();
        if let Some(Entry { value: Value::Count(count), .. }) = inner.live(&key, now) {
            *count = count.saturating_add(amount);
            return Ok(*count);
        }
        self.put_value(&mut inner, key, Value::Count(amount), now.checked_add(ttl));
        Ok(amount)
    }

    async fn close(&self) -> Result<()> {
        *self.inner.lock() = Inner::default();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Scope;
    use futures::executor::block_on;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn ctx(tenant: &str, project: &str) -> Ctx {
        Ctx::new(Scope::new(tenant, project).unwrap())
    }

    fn put(cache: &MemoryCache, ctx: &Ctx, key: &str, value: &[u8]) {
        block_on(cache.put(ctx, key, value.into(), HOUR)).unwrap();
    }

    fn get(cache: &MemoryCache, ctx: &Ctx, key: &str) -> Option<Vec<u8>> {
        block_on(cache.get(ctx, key)).unwrap().map(|v| v.to_vec())
    }

    #[test]
    fn names_that_join_to_the_same_text_are_different_keys() {
        let cache = MemoryCache::default();
        let triples = [("a", "bc", "d"), ("ab", "c", "d"), ("a", "b", "cd"), ("abc", "d", ""), ("a", "bcd", "")];
        for (i, (tenant, project, key)) in (0u8..).zip(triples) {
            put(&cache, &ctx(tenant, project), key, &[i]);
        }
        for (i, (tenant, project, key)) in (0u8..).zip(triples) {
            assert_eq!(get(&cache, &ctx(tenant, project), key), Some(vec![i]));
        }
    }

    #[test]
    fn the_least_recently_used_goes_first() {
        let (cache, c) = (MemoryCache::new(3, 1 << 20), ctx("t", "p"));
        for key in ["a", "b", "c"] {
            put(&cache, &c, key, b"x");
        }
        assert!(get(&cache, &c, "a").is_some());
        put(&cache, &c, "d", b"x");
        let left: Vec<_> = ["a", "b", "c", "d"].into_iter().filter(|k| get(&cache, &c, k).is_some()).collect();
        assert_eq!(left, ["a", "c", "d"]);
    }

    #[test]
    fn entries_bytes_and_queue_stay_bounded_under_any_sequence() {
        let (entries_max, bytes_max) = (50, 20_000);
        let (cache, c, mut rng) =
            (MemoryCache::new(entries_max, bytes_max), ctx("t", "p"), fastrand::Rng::with_seed(1));
        for _ in 0..20_000 {
            let key = rng.u32(..200).to_string();
            match rng.u8(..5) {
                0 => drop(block_on(cache.remove(&c, &key))),
                1 => drop(block_on(cache.add(&c, &key, 1, HOUR))),
                2 => drop(get(&cache, &c, &key)),
                _ => put(&cache, &c, &key, &vec![7; rng.usize(..1_500)]),
            }
            let inner = cache.inner.lock();
            assert!(inner.entries.len() <= entries_max && inner.bytes <= bytes_max);
            assert_eq!(inner.bytes, inner.entries.values().map(|e| e.bytes).sum::<usize>());
            assert!(inner.uses.len() <= 2 * entries_max + 65);
        }
    }

    #[test]
    fn a_value_larger_than_the_cache_is_not_kept_and_pushes_nothing_out() {
        let (cache, c) = (MemoryCache::new(10, 1_000), ctx("t", "p"));
        put(&cache, &c, "small", b"x");
        put(&cache, &c, "large", &[0; 2_000]);
        assert!(get(&cache, &c, "large").is_none() && get(&cache, &c, "small").is_some());
        put(&cache, &c, "small", &[0; 2_000]);
        assert!(get(&cache, &c, "small").is_none(), "the older value must not outlive its replacement");
        let none = MemoryCache::new(0, 0);
        put(&none, &c, "a", b"x");
        assert_eq!(get(&none, &c, "a"), None);
    }

    #[test]
    fn a_value_and_a_counter_end_with_their_time() {
        let (cache, c) = (MemoryCache::default(), ctx("t", "p"));
        block_on(cache.put(&c, "a", b"x".as_slice().into(), Duration::ZERO)).unwrap();
        assert_eq!(get(&cache, &c, "a"), None);
        assert_eq!(block_on(cache.add(&c, "n", 5, Duration::ZERO)).unwrap(), 5);
        assert_eq!(block_on(cache.add(&c, "n", 5, Duration::MAX)).unwrap(), 5);
        assert_eq!(block_on(cache.add(&c, "n", 5, Duration::ZERO)).unwrap(), 10, "the first use sets the end");
        assert_eq!(block_on(cache.add(&c, "n", i64::MAX, HOUR)).unwrap(), i64::MAX);
    }

    #[test]
    fn counters_and_values_of_one_name_do_not_meet_and_remove_takes_both() {
        let (cache, c) = (MemoryCache::default(), ctx("t", "p"));
        put(&cache, &c, "k", b"x");
        assert_eq!(block_on(cache.add(&c, "k", 2, HOUR)).unwrap(), 2);
        assert_eq!(get(&cache, &c, "k"), Some(b"x".to_vec()));
        block_on(cache.remove(&c, "k")).unwrap();
        assert_eq!(get(&cache, &c, "k"), None);
        assert_eq!(block_on(cache.add(&c, "k", 2, HOUR)).unwrap(), 2);
        block_on(cache.close()).unwrap();
        block_on(cache.close()).unwrap();
        assert_eq!(block_on(cache.add(&c, "k", 2, HOUR)).unwrap(), 2);
    }

    #[test]
    fn threads_that_count_together_lose_nothing() {
        let cache = MemoryCache::default();
        std::thread::scope(|s| {
            for _ in 0..4 {
                s.spawn(|| (0..500).for_each(|_| drop(block_on(cache.add(&ctx("t", "p"), "n", 1, HOUR)))));
            }
        });
        assert_eq!(block_on(cache.add(&ctx("t", "p"), "n", 0, HOUR)).unwrap(), 2_000);
    }
}
