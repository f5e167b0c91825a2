//! A cache: losing it costs time, never an answer.

use crate::{ctx::Ctx, error::Result};
use async_trait::async_trait;
use std::{fmt::Debug, sync::Arc, time::Duration};

/// A bounded key-value cache. Keys are prefixed with the tenant and project of the `Ctx` by the adapter. The engine treats every error
/// as a miss. There is no deletion by pattern: generations in keys do that.
#[async_trait]
pub trait CacheStore: Debug + Send + Sync + 'static {
    /// The value, unless it expired or was evicted.
    async fn get(&self, ctx: &Ctx, key: &str) -> Result<Option<Arc<[u8]>>>;

    /// Keeps `value` for at most `ttl`.
    async fn put(&self, ctx: &Ctx, key: &str, value: Arc<[u8]>, ttl: Duration) -> Result<()>;

    /// Removes a value; missing is fine.
    async fn remove(&self, ctx: &Ctx, key: &str) -> Result<()>;

    /// Adds to a counter that expires `ttl` after its first use, and gives the sum.
    async fn add(&self, ctx: &Ctx, key: &str, amount: i64, ttl: Duration) -> Result<i64>;

    /// Releases everything. Closing twice is fine.
    async fn close(&self) -> Result<()>;
}
