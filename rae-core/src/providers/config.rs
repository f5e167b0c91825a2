//! Where a provider is, and with which key: from a list or from the environment.

use crate::error::{Error, Result};
use reqwest::Url;
use std::{fmt, path::PathBuf, time::Duration};

/// How long a whole answer may take.
const WHOLE: Duration = Duration::from_secs(600);
/// How long a stream may be silent. Models that reason are, for a while.
const SILENCE: Duration = Duration::from_secs(180);

/// A key. Nothing that prints shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a key; blanks around it are no part of it.
    pub fn new(key: impl AsRef<str>) -> Self {
        Self(key.as_ref().trim().to_owned())
    }

    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Which wire format a provider speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProviderKind {
    /// OpenAI.
    OpenAi,
    /// A server that speaks OpenAI's chat completions: Ollama, vLLM, OpenRouter and many others.
    Compatible,
    /// Anthropic.
    Anthropic,
    /// Google's Gemini API.
    Google,
}

/// One provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderConfig {
    /// Its name, as in `openai/gpt-4o-mini`: lower case letters, digits, `-` and `_`.
    pub id: String,
    /// What it speaks.
    pub kind: ProviderKind,
    /// Its address, `http` or `https`. `None` is the provider's own; a compatible server has none. The version that the wire format
    /// has in its paths may be left out: `http://localhost:11434` is the same as `http://localhost:11434/v1`.
    pub base_url: Option<String>,
    /// Its key. `None` sends none, as for a server of one's own.
    pub api_key: Option<Secret>,
    /// OpenAI's organisation, for keys that belong to several.
    pub organization: Option<String>,
    /// How long a whole answer may take, 600 s by default. The deadline of a call may be earlier.
    pub timeout: Duration,
    /// How long a stream may be silent, 180 s by default.
    pub silence: Duration,
    /// A PEM file of certificates to trust, for a server behind an authority of one's own.
    pub authorities: Option<PathBuf>,
}

impl ProviderConfig {
    /// A provider of this kind, without a key.
    pub fn new(id: impl Into<String>, kind: ProviderKind) -> Self {
        let (base_url, api_key, organization, authorities) = (None, None, None, None);
        let (timeout, silence) = (WHOLE, SILENCE);
        Self { id: id.into(), kind, base_url, api_key, organization, timeout, silence, authorities }
    }

    /// OpenAI.
    pub fn openai(key: impl AsRef<str>) -> Self {
        Self::new("openai", ProviderKind::OpenAi).key(key)
    }

    /// Anthropic.
    pub fn anthropic(key: impl AsRef<str>) -> Self {
        Self::new("anthropic", ProviderKind::Anthropic).key(key)
    }

    /// Google.
    pub fn google(key: impl AsRef<str>) -> Self {
        Self::new("google", ProviderKind::Google).key(key)
    }

    /// A server that speaks OpenAI's wire format.
    pub fn compatible(id: impl Into<String>, base_url: impl Into<String>) -> Self {
        Self::new(id, ProviderKind::Compatible).at(base_url)
    }

    /// The same with a key. An empty one is none.
    pub fn key(mut self, key: impl AsRef<str>) -> Self {
        self.api_key = Some(Secret::new(key)).filter(|key| !key.expose().is_empty());
        self
    }

    /// The same at another address.
    pub fn at(mut self, base_url: impl Into<String>) -> Self {
        self.base_url = Some(base_url.into());
        self
    }

    /// What the environment configures: a provider for each of these that is set.
    ///
    /// | provider | key | address |
    /// |---|---|---|
    /// | `openai` | `OPENAI_API_KEY` | `RAE_OPENAI_BASE_URL` |
    /// | `anthropic` | `ANTHROPIC_API_KEY` | `RAE_ANTHROPIC_BASE_URL` |
    /// | `google` | `GEMINI_API_KEY` or `GOOGLE_API_KEY` | `RAE_GOOGLE_BASE_URL` |
    /// | `openrouter` | `OPENROUTER_API_KEY` | `RAE_OPENROUTER_BASE_URL` |
    /// | `ollama` | `OLLAMA_API_KEY`, optional | `RAE_OLLAMA_BASE_URL` or `OLLAMA_BASE_URL` |
    /// | `vllm` | `VLLM_API_KEY`, optional | `RAE_VLLM_BASE_URL` or `VLLM_BASE_URL` |
    ///
    /// `OPENAI_ORGANIZATION` names OpenAI's organisation. The first four need a key, the last two an address; an address alone
    /// configures none of the first four, so that a key that was forgotten is not taken for a server without one.
    pub fn from_env(get: impl Fn(&str) -> Option<String>) -> Vec<Self> {
        let first = |names: &[&str]| {
            let mut set = names.iter().filter_map(|name| get(name));
            set.find(|text| !text.trim().is_empty()).map(|text| text.trim().to_owned())
        };
        let keyed = |mut config: Self, keys: &[&str], address: &str| {
            config = config.key(first(keys)?);
            config.base_url = first(&[address]).or(config.base_url);
            Some(config)
        };
        let open = |id: &str, key: &str, addresses: &[&str]| {
            let config = Self::compatible(id, first(addresses)?);
            Some(match first(&[key]) {
                Some(key) => config.key(key),
                None => config,
            })
        };
        let openai = Self {
            organization: first(&["OPENAI_ORGANIZATION", "OPENAI_ORG_ID"]),
            ..Self::new("openai", ProviderKind::OpenAi)
        };
        let anthropic = Self::new("anthropic", ProviderKind::Anthropic);
        let google = Self::new("google", ProviderKind::Google);
        let openrouter = Self::compatible("openrouter", "https://openrouter.ai/api/v1");
        let found = [
            keyed(openai, &["OPENAI_API_KEY"], "RAE_OPENAI_BASE_URL"),
            keyed(anthropic, &["ANTHROPIC_API_KEY"], "RAE_ANTHROPIC_BASE_URL"),
            keyed(google, &["GEMINI_API_KEY", "GOOGLE_API_KEY"], "RAE_GOOGLE_BASE_URL"),
            keyed(openrouter, &["OPENROUTER_API_KEY"], "RAE_OPENROUTER_BASE_URL"),
            open("ollama", "OLLAMA_API_KEY", &["RAE_OLLAMA_BASE_URL", "OLLAMA_BASE_URL"]),
            open("vllm", "VLLM_API_KEY", &["RAE_VLLM_BASE_URL", "VLLM_BASE_URL"]),
        ];
        found.into_iter().flatten().collect()
    }

    /// The address, checked and with the path that the wire format expects, ending with a slash.
    pub(super) fn address(&self) -> Result<Url> {
        let id = &self.id;
        let (default, path) = match self.kind {
            ProviderKind::OpenAi => (Some("https://api.openai.com/v1"), "v1"),
            ProviderKind::Compatible => (None, "v1"),
            ProviderKind::Anthropic => (Some("https://api.anthropic.com/v1"), "v1"),
            ProviderKind::Google => (Some("https://generativelanguage.googleapis.com/v1beta"), "v1beta"),
        };
        let given = self.base_url.as_deref().map(str::trim).or(default);
        let wrong = |why: &str| Error::invalid(format!("the address of the provider {id} {why}"));
        let mut url = Url::parse(given.ok_or_else(|| wrong("is missing"))?).map_err(|_| wrong("is not a URL"))?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(wrong("must begin with http:// or https://"));
        }
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("must have no user, password, query or fragment; the key has a place of its own"));
        }
        // OpenAI's clients take an address with its version, those of the other two one without.
        let versioned = matches!(self.kind, ProviderKind::Anthropic | ProviderKind::Google);
        let given = url.path().trim_end_matches('/').to_owned();
        let complete = if versioned { given.ends_with(&format!("/{path}")) } else { !given.is_empty() };
        url.set_path(&if complete { format!("{given}/") } else { format!("{given}/{path}/") });
        Ok(url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_without_a_path_gets_that_of_the_wire_format() {
        for (kind, given, url) in [
            (ProviderKind::OpenAi, None, "https://api.openai.com/v1/"),
            (ProviderKind::Compatible, Some("http://localhost:11434"), "http://localhost:11434/v1/"),
            (ProviderKind::Compatible, Some(" https://openrouter.ai/api/v1/ "), "https://openrouter.ai/api/v1/"),
            (ProviderKind::Anthropic, Some("http://127.0.0.1:9/"), "http://127.0.0.1:9/v1/"),
            (ProviderKind::Anthropic, Some("https://proxy.example/claude"), "https://proxy.example/claude/v1/"),
            (ProviderKind::Google, None, "https://generativelanguage.googleapis.com/v1beta/"),
        ] {
            let config = ProviderConfig { base_url: given.map(str::to_owned), ..ProviderConfig::new("p", kind) };
            assert_eq!(config.address().unwrap().as_str(), url);
        }
        for wrong in ["localhost:11434", "ftp://x", "https://user:pass@x", "https://x/?key=1", ""] {
            let error = ProviderConfig::compatible("p", wrong).address().unwrap_err();
            assert!(error.message().contains("provider p") && !error.message().contains("pass@"), "{error}");
        }
    }

    #[test]
    fn the_environment_configures_what_has_a_key_or_an_address_of_its_own() {
        let from = |set: &[(&str, &str)]| {
            let get = |name: &str| set.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
            ProviderConfig::from_env(get)
        };
        let ids = |set| from(set).into_iter().map(|config| config.id).collect::<Vec<_>>();
        assert!(ids(&[]).is_empty());
        assert!(ids(&[("OPENAI_API_KEY", " "), ("RAE_OPENAI_BASE_URL", "http://x"), ("VLLM_API_KEY", "k")]).is_empty());
        let all = [
            ("OPENAI_API_KEY", "k1"),
            ("ANTHROPIC_API_KEY", "k2"),
            ("GOOGLE_API_KEY", "k3"),
            ("OPENROUTER_API_KEY", "k4"),
            ("OLLAMA_BASE_URL", "http://ollama:11434"),
            ("RAE_VLLM_BASE_URL", "http://vllm:8000/v1"),
        ];
        assert_eq!(ids(&all), ["openai", "anthropic", "google", "openrouter", "ollama", "vllm"]);
        let found = from(&[("GEMINI_API_KEY", "a"), ("GOOGLE_API_KEY", "b"), ("RAE_GOOGLE_BASE_URL", "http://g")]);
        assert_eq!(
            (found[0].api_key.as_ref().unwrap().expose(), found[0].base_url.as_deref()),
            ("a", Some("http://g"))
        );
    }

    #[test]
    fn a_configuration_that_is_printed_does_not_show_its_key() {
        assert!(!format!("{:?}", ProviderConfig::openai("sk-geheim")).contains("geheim"));
    }
}
