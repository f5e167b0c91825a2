//! Texts to vectors.

use super::LlmFailure;
use crate::{
    ctx::Ctx,
    error::{Error, Result},
    model::Usage,
};
use async_trait::async_trait;
use std::{fmt, fmt::Debug};

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

    /// The same as one whose calls cost money; `None`, the default, where they cost nothing. The engine asks one that is paid through
    /// this alone: each request is held to the budgets of its tenant and project, and booked.
    fn paid(&self) -> Option<&dyn PaidEmbedder> {
        None
    }

    /// One result per text: a vector of `dim` finite numbers (the engine normalises), or `None` where the text has nothing the model
    /// knows. At most `limits::EMBED_BATCH_MAX` texts.
    async fn embed(&self, texts: &[&str], role: EmbedRole) -> Result<Vec<Option<Vec<f32>>>>;
}

/// An embedder whose provider charges for it.
#[async_trait]
pub trait PaidEmbedder: Debug + Send + Sync + 'static {
    /// Name of the provider, for example `openai`: under it prices are looked up and calls are booked.
    fn provider(&self) -> &str;

    /// The provider's name of the model.
    fn model(&self) -> &str;

    /// How many of these texts, from the first on, go in one request: at least one, where there is one.
    fn in_one_request(&self, texts: &[&str]) -> usize;

    /// The most tokens that a request with these texts is charged for.
    fn tokens_at_most(&self, texts: &[&str]) -> u64;

    /// As [`Embedder::embed`], with what it used. One attempt, which whoever counts the money repeats; one request, where the texts
    /// are no more than [`Self::in_one_request`] says. The deadline of `ctx` is kept.
    async fn embed_with_usage(
        &self,
        ctx: &Ctx,
        texts: &[&str],
        role: EmbedRole,
    ) -> Result<(Vec<Option<Vec<f32>>>, Usage), LlmFailure>;
}

/// An embedder by the name of its provider, as in `openai:text-embedding-3-small@512`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmbedderName {
    /// The provider.
    pub provider: String,
    /// Its name of the model.
    pub model: String,
    /// The dimension that is asked for. `None` takes the model's own.
    pub dim: Option<usize>,
}

impl std::str::FromStr for EmbedderName {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let wrong = || {
            Error::invalid("an embedder of a provider is named provider:model or provider:model@dimension")
                .with_code("embedder_provider")
        };
        let (provider, model) = text.split_once(':').ok_or_else(wrong)?;
        let (model, dim) = match model.rsplit_once('@') {
            Some((model, dim)) => (model, Some(dim.parse().map_err(|_| wrong())?)),
            None => (model, None),
        };
        if provider.is_empty() || model.is_empty() {
            return Err(wrong());
        }
        Ok(Self { provider: provider.to_owned(), model: model.to_owned(), dim })
    }
}

impl fmt::Display for EmbedderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.provider, self.model)?;
        self.dim.map_or(Ok(()), |dim| write!(f, "@{dim}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_an_embedder_has_a_provider_a_model_and_perhaps_a_dimension() {
        for (text, provider, model, dim) in [
            ("openai:text-embedding-3-small", "openai", "text-embedding-3-small", None),
            ("openai:text-embedding-3-large@512", "openai", "text-embedding-3-large", Some(512)),
            ("ollama:nomic-embed-text:latest@768", "ollama", "nomic-embed-text:latest", Some(768)),
        ] {
            let name: EmbedderName = text.parse().unwrap();
            assert_eq!((name.provider.as_str(), name.model.as_str(), name.dim), (provider, model, dim));
            assert_eq!(name.to_string(), text);
        }
        for wrong in ["openai", "openai:", ":m", "openai:@3", "openai:m@", "openai:m@x", "openai:m@-1"] {
            assert_eq!(wrong.parse::<EmbedderName>().unwrap_err().code(), "embedder_provider", "{wrong}");
        }
    }
}
