//! A store whose model is the provider of [`FakeProvider`].

#![allow(clippy::unwrap_used)] // a test reports by panicking

use crate::provider_support::FakeProvider;
use rae_core::{
    Builder, CostOptions, PriceBook, Rae, Timestamp,
    ports::{Clock, ManualClock, RetryPolicy},
    providers::{ProviderConfig, ProviderKind, Providers},
};
use std::{future::Future, sync::Arc, time::Duration};

pub fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(future)
}

/// A store in memory that asks `fake:m-1` at ten dollars a million output tokens, and its clock, which begins with 2026.
pub fn model_store(fake: &FakeProvider) -> (Builder, Arc<ManualClock>) {
    let config = ProviderConfig::new("fake", ProviderKind::OpenAi).key("sk-geheim").at(fake.url());
    let prices =
        r#"{"models": [{"provider": "fake", "model": "*", "from": "2020-01-01", "input": "0", "output": "10"}]}"#;
    let costs = CostOptions {
        prices: PriceBook::built_in().unwrap().with_overrides(prices).unwrap(),
        retry: RetryPolicy { base: Duration::from_millis(1), ..RetryPolicy::default() },
        ..CostOptions::default()
    };
    let clock = Arc::new(ManualClock::new(Timestamp::parse("2026-01-01").unwrap()));
    let builder = Rae::builder().costs(costs).providers(Arc::new(Providers::new([config]).unwrap())).model("fake:m-1");
    (builder.clock(Arc::clone(&clock) as Arc<dyn Clock>), clock)
}
