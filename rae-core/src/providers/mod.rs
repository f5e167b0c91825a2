//! What turns text into vectors and counts tokens, and the clients of model providers (feature `http`; they need a Tokio runtime).

use crate::ports::TokenCounter;
use std::sync::Arc;

#[cfg(feature = "http")]
mod anthropic;
#[cfg(feature = "http")]
mod call;
#[cfg(feature = "http")]
mod config;
#[cfg(feature = "http")]
mod embedder;
#[cfg(feature = "http")]
mod failure;
#[cfg(feature = "http")]
mod google;
#[cfg(feature = "local")]
mod local;
#[cfg(feature = "http")]
mod openai;
#[cfg(feature = "http")]
mod registry;
#[cfg(feature = "static-table")]
mod static_embed;
#[cfg(feature = "static-table")]
pub(crate) mod static_table;
#[cfg(all(test, feature = "http"))]
mod stream_tests;
#[cfg(feature = "tiktoken")]
mod tiktoken;
#[cfg(any(feature = "static-table", feature = "local"))]
pub(crate) mod wordpiece;

#[cfg(feature = "http")]
pub use anthropic::Anthropic;
#[cfg(feature = "http")]
pub use config::{ProviderConfig, ProviderKind, Secret};
#[cfg(feature = "http")]
pub use embedder::ProviderEmbedder;
#[cfg(feature = "http")]
pub use google::Google;
#[cfg(feature = "local")]
pub use local::{LocalEmbedder, LocalReranker};
#[cfg(feature = "http")]
pub use openai::OpenAi;
#[cfg(feature = "http")]
pub use registry::Providers;
#[cfg(feature = "static-table")]
pub use static_embed::StaticEmbedder;
#[cfg(feature = "tiktoken")]
pub use tiktoken::Tiktoken;

/// Media type and base64 of a `data:` URL.
#[cfg(feature = "http")]
fn data_url(url: &str) -> Option<(&str, &str)> {
    url.strip_prefix("data:")?
        .split_once(";base64,")
        .filter(|(media, data)| media.starts_with("image/") && !data.is_empty())
}

/// The arguments of a call as JSON, which some providers want instead of its text.
#[cfg(feature = "http")]
fn arguments(call: &crate::model::ToolCall) -> std::result::Result<serde_json::Value, String> {
    if call.arguments.trim().is_empty() {
        return Ok(serde_json::Value::Object(serde_json::Map::new()));
    }
    let parsed = serde_json::from_str(&call.arguments).ok().filter(serde_json::Value::is_object);
    parsed.ok_or_else(|| format!("the arguments of the call of {} are not a JSON object", call.name))
}

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
