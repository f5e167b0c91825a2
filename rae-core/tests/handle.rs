//! What a handle knows beside the verbs: its own time limit, and how its store's caches do.

#![allow(clippy::unwrap_used, clippy::panic)] // a test reports by panicking

use async_trait::async_trait;
use rae_core::{
    Embedding, ErrorKind, NewMemory, Rae, RecallOptions, Result, block_on,
    ports::{EmbedRole, Embedder},
};
use std::{sync::Arc, time::Duration};

/// An embedder that is worth caching.
#[derive(Debug)]
struct Costly;

#[async_trait]
impl Embedder for Costly {
    fn id(&self) -> &str {
        "costly@1/2"
    }

    fn dim(&self) -> usize {
        2
    }

    async fn embed(&self, texts: &[&str], _: EmbedRole) -> Result<Vec<Option<Vec<f32>>>> {
        Ok(texts.iter().map(|text| Some(vec![1.0, text.len() as f32])).collect())
    }
}

#[test]
fn a_query_asked_again_is_a_hit_of_the_cache_and_both_are_counted() {
    block_on(async {
        let mem = Rae::builder().embedding(Embedding::Custom(Arc::new(Costly))).open().await.unwrap();
        mem.remember(NewMemory::new("The ferry leaves at ten.")).await.unwrap();
        assert_eq!(mem.cache_stats().hit_ratio(), None);
        for _ in 0..4 {
            mem.recall("When does it leave?", RecallOptions::default()).await.unwrap();
        }
        let stats = mem.cache_stats();
        assert_eq!((stats.hits, stats.misses, stats.hit_ratio()), (3, 1, Some(0.75)));
        mem.close().await.unwrap();
    });
}

#[test]
fn the_built_in_embedder_is_faster_than_a_lookup_and_counts_none() {
    block_on(async {
        let mem = Rae::builder().open().await.unwrap();
        mem.recall("Anything?", RecallOptions::default()).await.unwrap();
        assert_eq!(mem.cache_stats().hit_ratio(), None);
        mem.close().await.unwrap();
    });
}

#[test]
fn a_handle_may_have_a_time_limit_of_its_own() {
    block_on(async {
        let mem = Rae::builder().open().await.unwrap();
        let hurried = mem.with_timeout(Some(Duration::ZERO));
        assert_eq!(hurried.stats().await.unwrap_err().kind(), ErrorKind::Timeout);
        assert!(mem.stats().await.is_ok() && hurried.with_timeout(None).stats().await.is_ok());
        mem.close().await.unwrap();
    });
}
