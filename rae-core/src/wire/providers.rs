//! Providers of chat models, as the options of `open` name them.

use super::input::{Fields, object, text};
use crate::{
    error::{Error, Result},
    providers::{ProviderConfig, ProviderKind, Providers},
};
use serde_json::{Map, Value};

/// Providers by name: `{"openai": {"api_key", "base_url"}}`. A name of `openai`, `anthropic` or `google` says what it speaks; any other
/// speaks as OpenAI does and needs a `base_url`, unless `kind` (`openai`, `anthropic`, `google`, `compatible`) says otherwise.
/// `organization` is OpenAI's, and `ca` a PEM file of certificates to trust. Never shows a key.
pub fn providers(fields: Map<String, Value>) -> Result<Providers> {
    Providers::new(fields.into_iter().map(provider).collect::<Result<Vec<_>>>()?)
}

fn provider((id, value): (String, Value)) -> Result<ProviderConfig> {
    let at = |e: Error| e.with_context("provider", super::input::shown(&id));
    let read = || {
        let mut f = Fields::new(object("a provider", value)?);
        let given = f.optional("kind", text)?;
        let kind = match given.as_deref().unwrap_or(&id) {
            "openai" => ProviderKind::OpenAi,
            "anthropic" => ProviderKind::Anthropic,
            "google" => ProviderKind::Google,
            "compatible" => ProviderKind::Compatible,
            _ if given.is_none() => ProviderKind::Compatible,
            _ => return Err(Error::invalid("kind must be openai, anthropic, google or compatible")),
        };
        let mut config = ProviderConfig::new(id.clone(), kind);
        if let Some(key) = f.optional("api_key", text)? {
            config = config.key(key);
        }
        config.base_url = f.optional("base_url", text)?;
        config.organization = f.optional("organization", text)?;
        config.authorities = f.optional("ca", text)?.map(Into::into);
        f.finish()?;
        Ok(config)
    };
    read().map_err(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_provider_is_known_by_its_name_or_says_what_it_speaks() {
        let read = |value: Value| providers(value.as_object().cloned().unwrap_or_default());
        let all = json!({ "openai": { "api_key": "sk-geheim" }, "mine": { "base_url": "http://127.0.0.1:9" } });
        let found = read(all).unwrap();
        assert_eq!(found.ids().collect::<Vec<_>>(), ["mine", "openai"]);
        assert!(!format!("{found:?}").contains("geheim"));
        for wrong in [
            json!({ "mine": {} }),
            json!({ "mine": { "kind": "soap" } }),
            json!({ "openai": { "key": "x" } }),
            json!({ "openai": "sk-geheim" }),
        ] {
            let error = read(wrong.clone()).unwrap_err();
            assert!(!format!("{error:?}").contains("geheim"), "{wrong}");
        }
    }
}
