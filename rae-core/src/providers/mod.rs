//! What turns text into vectors and counts tokens.

use crate::ports::TokenCounter;
use std::sync::Arc;

#[cfg(feature = "local")]
mod local;
#[cfg(feature = "static-table")]
mod static_embed;
#[cfg(feature = "static-table")]
pub(crate) mod static_table;
#[cfg(feature = "tiktoken")]
mod tiktoken;
#[cfg(any(feature = "static-table", feature = "local"))]
pub(crate) mod wordpiece;

#[cfg(feature = "local")]
pub use local::{LocalEmbedder, LocalReranker};
#[cfg(feature = "static-table")]
pub use static_embed::StaticEmbedder;
#[cfg(feature = "tiktoken")]
pub use tiktoken::Tiktoken;

/// The token counter of a build.
pub(crate) fn default_tokens() -> Arc<dyn TokenCounter> {
    #[cfg(feature = "tiktoken")]
    return Arc::new(Tiktoken);
    #[cfg(not(feature = "tiktoken"))]
    return Arc::new(NoTokens);
}

/// In a build without a tokenizer every count is refused rather than guessed.
#[cfg(not(feature = "tiktoken"))]
#[derive(Debug)]
struct NoTokens;

#[cfg(not(feature = "tiktoken"))]
impl TokenCounter for NoTokens {
    fn id(&self) -> &str {
        "none"
    }
    fn count(&self, _text: &str) -> crate::Result<usize> {
        Err(crate::Error::unsupported("this build cannot count tokens (feature tiktoken)"))
    }
    fn truncate<'a>(&self, _text: &'a str, _tokens_max: usize) -> crate::Result<&'a str> {
        Err(crate::Error::unsupported("this build cannot count tokens (feature tiktoken)"))
    }
}
