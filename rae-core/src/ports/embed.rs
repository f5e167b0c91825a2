//! Texts to vectors.

use crate::error::{Error, Result};
use async_trait::async_trait;
use std::fmt::Debug;

/// Which side of a search a text is on; some models embed the two differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EmbedRole {
    /// A text to be found.
    Document,
    /// A question.
    Query,
}

impl std::str::FromStr for EmbedRole {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "document" => Ok(Self::Document),
            "query" => Ok(Self::Query),
            _ => Err(Error::invalid("role must be document or query")),
        }
    }
}

/// An embedder. Deterministic: the same text gives the same vector.
#[async_trait]
pub trait Embedder: Debug + Send + Sync + 'static {
    /// `name@revision/dim`. Stored with each vector; a store refuses another one and names `reembed`.
    fn id(&self) -> &str;

    /// Dimension of every vector.
    fn dim(&self) -> usize;

    /// Whether it is so cheap that callers need not batch or cache (a table look-up rather than a model).
    fn is_cheap(&self) -> bool {
        false
    }

    /// One result per text: a vector of `dim` finite numbers (the engine normalises), or `None` where the text has nothing the model
    /// knows. At most `limits::EMBED_BATCH_MAX` texts.
    async fn embed(&self, texts: &[&str], role: EmbedRole) -> Result<Vec<Option<Vec<f32>>>>;
}
