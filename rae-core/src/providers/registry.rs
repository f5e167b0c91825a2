//! The providers of a process, and which of them has a model.

use super::{
    anthropic::Anthropic,
    config::{ProviderConfig, ProviderKind},
    embedder::ProviderEmbedder,
    google::Google,
    openai::OpenAi,
};
use crate::{
    error::{Error, Result},
    limits::LLM_PROVIDERS_MAX,
    model::check_model_name,
    ports::{Embedder, EmbedderName, LlmProvider, LlmRouter, Routed},
};
use std::sync::Arc;

/// How models of the large providers are called.
const NAMES: &[(&str, ProviderKind)] = &[
    ("gpt-", ProviderKind::OpenAi),
    ("chatgpt-", ProviderKind::OpenAi),
    ("o1", ProviderKind::OpenAi),
    ("o3", ProviderKind::OpenAi),
    ("o4", ProviderKind::OpenAi),
    ("text-embedding-3-", ProviderKind::OpenAi),
    ("claude-", ProviderKind::Anthropic),
    ("gemini-", ProviderKind::Google),
];

/// Providers by name.
#[derive(Debug, Clone, Default)]
pub struct Providers {
    entries: Vec<Entry>,
}

#[derive(Debug, Clone)]
struct Entry {
    config: ProviderConfig,
    provider: Arc<dyn LlmProvider>,
}

impl Providers {
    /// Clients for these. InvalidInput where two have one name, a name is not made of lower case letters, digits, `-` and `_`, or
    /// an address or key cannot be one.
    pub fn new(configs: impl IntoIterator<Item = ProviderConfig>) -> Result<Self> {
        let mut entries: Vec<Entry> = Vec::new();
        for config in configs {
            let sane = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
            if config.id.is_empty() || config.id.len() > 64 || !config.id.bytes().all(sane) {
                return Err(Error::invalid("the name of a provider is 1 to 64 of a-z, 0-9, - and _"));
            }
            if entries.iter().any(|entry| entry.config.id == config.id) {
                return Err(Error::invalid(format!("two providers are called {}", config.id)));
            }
            if entries.len() == LLM_PROVIDERS_MAX {
                return Err(Error::invalid(format!("at most {LLM_PROVIDERS_MAX} providers can be configured")));
            }
            let provider: Arc<dyn LlmProvider> = match config.kind {
                ProviderKind::OpenAi | ProviderKind::Compatible => Arc::new(OpenAi::new(&config)?),
                ProviderKind::Anthropic => Arc::new(Anthropic::new(&config)?),
                ProviderKind::Google => Arc::new(Google::new(&config)?),
            };
            entries.push(Entry { config, provider });
        }
        Ok(Self { entries })
    }

    /// Clients for what the environment configures: see [`ProviderConfig::from_env`].
    pub fn from_env(get: impl Fn(&str) -> Option<String>) -> Result<Self> {
        Self::new(ProviderConfig::from_env(get))
    }

    /// The same with a provider of the caller's own, under its id; it takes the place of one of that name.
    pub fn with(mut self, provider: Arc<dyn LlmProvider>) -> Self {
        let config = ProviderConfig::new(provider.id(), ProviderKind::Compatible);
        self.entries.retain(|entry| entry.config.id != config.id);
        self.entries.push(Entry { config, provider });
        self
    }

    /// Names of the providers, in the order of their configuration.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| entry.config.id.as_str())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The provider of a model: the one that a prefix names (`anthropic/claude-haiku-4-5`, `openrouter/openai/gpt-4o`), else the one
    /// whose models are called so (`gpt-`, `o3`, `claude-`, `gemini-`), else the only one there is. InvalidInput with the code
    /// `unknown_model_provider` where none of this finds one; it says what is configured.
    pub fn route(&self, model: &str) -> Result<Routed> {
        let (entry, model) = self.entry(model)?;
        Ok(Routed { provider: Arc::clone(&entry.provider), model: model.to_owned() })
    }

    /// An embedder of the provider that the model's name leads to, as in [`Self::route`]. See [`ProviderEmbedder::new`].
    pub fn embedder(&self, model: &str, dim: Option<usize>) -> Result<ProviderEmbedder> {
        let (entry, model) = self.entry(model)?;
        ProviderEmbedder::new(&entry.config, model, dim)
    }

    fn entry<'a, 'm>(&'a self, model: &'m str) -> Result<(&'a Entry, &'m str)> {
        check_model_name(model)?;
        if let Some((prefix, rest)) = model.split_once('/')
            && let Some(entry) = self.entries.iter().find(|entry| entry.config.id == prefix)
        {
            check_model_name(rest)?;
            return Ok((entry, rest));
        }
        if let Some((_, kind)) = NAMES.iter().find(|(start, _)| model.starts_with(start))
            && let Some(entry) = self.entries.iter().find(|entry| entry.config.kind == *kind)
        {
            return Ok((entry, model));
        }
        if let [only] = self.entries.as_slice() {
            return Ok((only, model));
        }
        let configured: Vec<&str> = self.ids().collect();
        let message = match configured.is_empty() {
            true => format!(
                "no provider is known for the model {model}, as none is configured: set the key of one in the environment \
                 (OPENAI_API_KEY, ANTHROPIC_API_KEY, GEMINI_API_KEY; with RAE_OPENAI_BASE_URL the address of a service that speaks \
                 as OpenAI does), or give it with providers= where the store is opened"
            ),
            false => format!(
                "no provider is known for the model {model}: put the provider's name in front of it, as in openai/{model} \
                 (configured: {})",
                configured.join(", ")
            ),
        };
        Err(Error::invalid(message).with_code("unknown_model_provider"))
    }
}

impl LlmRouter for Providers {
    fn route(&self, model: &str) -> Result<Routed> {
        Self::route(self, model)
    }

    fn embedder_of(&self, name: &EmbedderName) -> Result<Option<Arc<dyn Embedder>>> {
        let Some(entry) = self.entries.iter().find(|entry| entry.config.id == name.provider) else { return Ok(None) };
        Ok(Some(Arc::new(ProviderEmbedder::new(&entry.config, &name.model, name.dim)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Providers {
        let configs = [
            ProviderConfig::openai("sk-geheim"),
            ProviderConfig::anthropic("sk-ant-geheim"),
            ProviderConfig::google("AIza-geheim"),
            ProviderConfig::compatible("ollama", "http://127.0.0.1:11434"),
            ProviderConfig::compatible("openrouter", "https://openrouter.ai/api/v1").key("sk-or-geheim"),
        ];
        Providers::new(configs).unwrap()
    }

    #[test]
    fn a_model_finds_its_provider_by_prefix_then_by_name() {
        for (asked, provider, model) in [
            ("openai/gpt-4o-mini", "openai", "gpt-4o-mini"),
            ("gpt-4o-mini", "openai", "gpt-4o-mini"),
            ("o3-mini", "openai", "o3-mini"),
            ("claude-haiku-4-5", "anthropic", "claude-haiku-4-5"),
            ("gemini-2.5-flash", "google", "gemini-2.5-flash"),
            ("openrouter/openai/gpt-4o", "openrouter", "openai/gpt-4o"),
            ("ollama/gpt-oss:20b", "ollama", "gpt-oss:20b"),
        ] {
            let routed = all().route(asked).unwrap();
            assert_eq!((routed.provider.id(), routed.model.as_str()), (provider, model));
        }
    }

    #[test]
    fn a_model_of_nobody_is_an_error_that_says_what_is_configured() {
        for asked in ["llama3", "meta/llama3"] {
            let error = all().route(asked).unwrap_err();
            assert_eq!(error.code(), "unknown_model_provider");
            assert!(error.message().contains("openai, anthropic, google, ollama, openrouter"), "{error}");
        }
        let error = Providers::default().route("gpt-4o").unwrap_err();
        for name in
            ["OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "RAE_OPENAI_BASE_URL", "providers=", "none is"]
        {
            assert!(error.message().contains(name), "{name}: {error}");
        }
        assert!(all().route("ollama/").is_err());
    }

    #[test]
    fn the_only_provider_has_every_model() {
        let one = Providers::new([ProviderConfig::compatible("vllm", "http://127.0.0.1:8000")]).unwrap();
        let routed = one.route("meta-llama/Llama-3.1-8B-Instruct").unwrap();
        assert_eq!((routed.provider.id(), routed.model.as_str()), ("vllm", "meta-llama/Llama-3.1-8B-Instruct"));
        assert_eq!(one.route("vllm/m").unwrap().model, "m");
    }

    #[test]
    fn names_are_checked_and_used_once() {
        let twice = [ProviderConfig::openai("a"), ProviderConfig::openai("b")];
        assert!(Providers::new(twice).unwrap_err().message().contains("two providers"));
        for id in ["", "Open AI", "a/b"] {
            assert!(Providers::new([ProviderConfig::compatible(id, "http://x")]).is_err());
        }
    }

    #[test]
    fn nothing_that_prints_holds_a_key() {
        let text = format!("{:?} {:?}", all(), all().route("gpt-4o").unwrap());
        assert!(text.contains("openrouter") && !text.contains("geheim"), "{text}");
        let error = Providers::new([ProviderConfig::openai("sk-geheim\u{7f}ü\n-x")]).unwrap_err();
        assert!(!format!("{error:?}").contains("geheim"), "{error:?}");
        let embedder = all().embedder("text-embedding-3-small", None).unwrap();
        assert!(!format!("{embedder:?}").contains("geheim"));
    }
}
