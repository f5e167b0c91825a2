//! The default embedder: the mean of a text's token rows in the built-in table.

use super::static_table::StaticTable;
use crate::{
    error::Result,
    limits::EMBED_TOKENS_MAX,
    ports::{EmbedRole, Embedder},
};
use async_trait::async_trait;

/// The static table as an [`Embedder`]. Both sides of a search are embedded alike.
#[derive(Debug)]
pub struct StaticEmbedder {
    table: &'static StaticTable,
}

impl StaticEmbedder {
    /// The table inside this build.
    pub fn builtin() -> Result<Self> {
        Ok(Self { table: StaticTable::builtin()? })
    }
}

#[async_trait]
impl Embedder for StaticEmbedder {
    fn id(&self) -> &str {
        self.table.id()
    }

    fn dim(&self) -> usize {
        self.table.dim()
    }

    fn is_cheap(&self) -> bool {
        true
    }

    async fn embed(&self, texts: &[&str], _role: EmbedRole) -> Result<Vec<Option<Vec<f32>>>> {
        Ok(texts.iter().map(|text| self.table.embed(text, EMBED_TOKENS_MAX)).collect())
    }
}
