//! The Redis cache keeps every rule of the public suite, and losing it costs time, never an answer.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test reports by panicking

mod support;

use async_trait::async_trait;
use rae_core::{
    Ctx, Embedding, ErrorKind, NewMemory, Rae, RecallOptions, block_on,
    model::Scope,
    ports::{CacheStore, EmbedRole, Embedder},
    providers::StaticEmbedder,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use support::redis::Server;

rae_core::conformance_cache!(redis, support::redis::cache(), support::block_on);

/// The built-in table, posing as a model that is worth a cache; counts the questions it embeds.
#[derive(Debug)]
struct Costly(StaticEmbedder, AtomicUsize);

#[async_trait]
impl Embedder for Costly {
    fn id(&self) -> &str {
        self.0.id()
    }

    fn dim(&self) -> usize {
        self.0.dim()
    }

    async fn embed(&self, texts: &[&str], role: EmbedRole) -> rae_core::Result<Vec<Option<Vec<f32>>>> {
        self.1.fetch_add(usize::from(role == EmbedRole::Query), Ordering::SeqCst);
        self.0.embed(texts, role).await
    }
}

#[test]
fn losing_redis_never_fails_a_recall_and_it_is_used_again_when_it_is_back() {
    let server = Server::start();
    let embedder = Arc::new(Costly(StaticEmbedder::builtin().unwrap(), AtomicUsize::new(0)));
    let embedding = Embedding::Custom(Arc::clone(&embedder) as Arc<dyn Embedder>);
    let cache = Arc::new(server.open(0));
    let mem = block_on(Rae::builder().embedding(embedding).cache(cache).open()).unwrap();
    block_on(mem.remember(NewMemory::new("Caroline adopted a puppy called Scout."))).unwrap();
    let recall = |question: &str| {
        let began = Instant::now();
        let hits = block_on(mem.recall(question, RecallOptions::default())).unwrap();
        assert_eq!((hits.hits.len(), hits.degraded.len()), (1, 0));
        assert!(began.elapsed() < Duration::from_secs(5), "a recall waited for the cache");
        embedder.1.load(Ordering::SeqCst)
    };
    assert_eq!((recall("Which dog?"), recall("Which dog?")), (1, 1), "the second one is cached");
    server.stop();
    for lost in 1..=5 {
        assert_eq!(recall("Which dog?"), 1 + lost, "without a cache each question is embedded");
    }
    server.again();
    let end = Instant::now() + Duration::from_secs(15);
    loop {
        let before = recall("Which dog?");
        if recall("Which dog?") == before {
            break;
        }
        assert!(Instant::now() < end, "the cache is not used again");
        thread::sleep(Duration::from_millis(100));
    }
    block_on(mem.close()).unwrap();
}

#[test]
fn a_server_that_is_not_there_fails_soon_and_then_at_once() {
    let port = support::process::free_port();
    let settings = rae_server::adapters::redis::RedisSettings::from_url(&format!("redis://127.0.0.1:{port}")).unwrap();
    let cache = support::block_on(async { rae_server::adapters::redis::RedisCache::open(settings) }).unwrap();
    let ctx = Ctx::new(Scope::default());
    let began = Instant::now();
    for _ in 0..50 {
        let error = block_on(cache.get(&ctx, "k")).unwrap_err();
        assert_eq!(
            (error.kind(), error.is_temporary()),
            (ErrorKind::Unavailable, false),
            "the guard must not repeat it"
        );
    }
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[test]
fn what_is_too_large_is_refused_and_a_closed_cache_is_unavailable() {
    let cache = Server::shared().open(900);
    let ctx = Ctx::new(Scope::default());
    let large: Arc<[u8]> = vec![0; (4 << 20) + 1].into();
    let error = block_on(cache.put(&ctx, "k", large, Duration::from_secs(1))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(block_on(cache.get(&ctx, &"k".repeat(5_000))).unwrap_err().kind(), ErrorKind::InvalidInput);
    block_on(cache.ping()).unwrap();
    block_on(cache.close()).unwrap();
    assert_eq!(block_on(cache.get(&ctx, "k")).unwrap_err().code(), "closed");
}
