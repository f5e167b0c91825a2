//! A second, slower opinion on the best hits.

use crate::error::Result;
use async_trait::async_trait;
use std::fmt::Debug;

/// A reranker: scores texts against a query.
#[async_trait]
pub trait Reranker: Debug + Send + Sync + 'static {
    /// Name and revision.
    fn id(&self) -> &str;

    /// One finite score per text; higher is better. Only their order is used.
    async fn score(&self, query: &str, texts: &[&str]) -> Result<Vec<f32>>;
}
