//! Embedders of providers: OpenAI's wire format and Google's.

use super::{
    call::Service,
    config::{ProviderConfig, ProviderKind},
    failure::Told,
    google, openai,
};
use crate::{
    ctx::Ctx,
    error::{Error, Result},
    http,
    limits::{DIM_MAX, EMBED_BATCH_MAX},
    model::{Scope, Usage, check_model_name},
    ports::{Charge, EmbedRole, Embedder, LlmFailure, PaidEmbedder, TokenCounter},
};
use async_trait::async_trait;
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc};

/// Bytes of a text that are embedded: below what any of the models reads, and so the most that one text costs.
const TEXT_BYTES_MAX: usize = 8_000;
/// Bytes of all texts of one request: OpenAI takes 300,000 tokens at once.
const REQUEST_BYTES_MAX: usize = 250_000;
/// Texts of one request: Google takes as many.
const REQUEST_TEXTS_MAX: usize = 100;

/// Models that say themselves how long their vectors are, and take a wish for shorter ones.
const KNOWN: &[(&str, usize)] =
    &[("text-embedding-3-small", 1_536), ("text-embedding-3-large", 3_072), ("gemini-embedding-001", 3_072)];

/// An embedder that a provider runs. It reads the first 8,000 bytes of a text.
#[derive(Debug, Clone)]
pub struct ProviderEmbedder {
    service: Arc<Service>,
    google: bool,
    model: String,
    id: String,
    dim: usize,
    /// Whether the provider is told `dim`, since the model makes longer vectors by itself.
    shorten: bool,
    tokens: Arc<dyn TokenCounter>,
}

impl ProviderEmbedder {
    /// An embedder. `dim` may be left out for models whose dimension is known (`text-embedding-3-small`, `text-embedding-3-large`,
    /// `gemini-embedding-001`); for these a smaller one shortens the vectors. Its id is `model@provider/dim`. InvalidInput for a
    /// provider without embeddings (Anthropic), and for a dimension that is unknown or out of range.
    pub fn new(config: &ProviderConfig, model: &str, dim: Option<usize>) -> Result<Self> {
        check_model_name(model)?;
        let service = match config.kind {
            ProviderKind::OpenAi | ProviderKind::Compatible => openai::service(config)?,
            ProviderKind::Google => google::service(config)?,
            ProviderKind::Anthropic => return Err(Error::invalid("Anthropic has no embeddings")),
        };
        let known = KNOWN.iter().find(|(name, _)| *name == model).map(|(_, dim)| *dim);
        let dim = dim.or(known).ok_or_else(|| {
            Error::invalid(format!("the dimension of the embedding model {model} is not known here: give it"))
        })?;
        if dim == 0 || dim > known.unwrap_or(DIM_MAX) {
            let most = known.unwrap_or(DIM_MAX);
            return Err(Error::invalid(format!("the dimension of {model} must be from 1 to {most}")));
        }
        Ok(Self {
            google: config.kind == ProviderKind::Google,
            id: format!("{model}@{}/{dim}", config.id),
            model: model.to_owned(),
            dim,
            shorten: known.is_some_and(|known| known != dim),
            service: Arc::new(service),
            tokens: super::default_tokens(),
        })
    }

    /// The provider's name of the model.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// The provider.
    pub fn provider(&self) -> &str {
        &self.service.id
    }

    /// As [`Embedder::embed`], with what it cost. Many or long texts take several requests, one after the other; where a later one
    /// fails, the failure's charge says what the earlier ones cost, unless its own is unknown.
    pub async fn embed_with_usage(
        &self,
        ctx: &Ctx,
        texts: &[&str],
        role: EmbedRole,
    ) -> Result<(Vec<Option<Vec<f32>>>, Usage), LlmFailure> {
        if texts.len() > EMBED_BATCH_MAX {
            let message = format!("at most {EMBED_BATCH_MAX} texts are embedded at once");
            return Err(LlmFailure::free(Error::invalid(message)));
        }
        let (mut out, mut sum) = (vec![None; texts.len()], Usage::default());
        // An empty text is an error for these providers.
        let texts: Vec<(usize, &str)> = texts.iter().map(|text| cut(text)).enumerate().collect();
        let mut rest: &[(usize, &str)] = &texts.into_iter().filter(|(_, text)| !text.is_empty()).collect::<Vec<_>>();
        while !rest.is_empty() {
            let count = in_one_request(rest.iter().map(|(_, text)| text.len()));
            let (now, later) = rest.split_at(count);
            rest = later;
            let words: Vec<&str> = now.iter().map(|(_, text)| *text).collect();
            let (vectors, usage) = self.request(ctx, &words, role).await.map_err(|failure| paid(failure, sum))?;
            sum = add(sum, usage);
            for ((place, _), vector) in now.iter().zip(vectors) {
                out[*place] = Some(vector);
            }
        }
        Ok((out, sum))
    }

    async fn request(&self, ctx: &Ctx, texts: &[&str], role: EmbedRole) -> Result<(Vec<Vec<f32>>, Usage), LlmFailure> {
        let teller = self.service.teller(&self.model);
        let answer = if self.google {
            let path = ["models", &google::method(&self.model, "batchEmbedContents")];
            self.service.json(ctx, &path, &self.google_body(texts, role), &teller, texts).await?
        } else {
            let mut body = json!({"model": self.model, "input": texts, "encoding_format": "float"});
            if self.shorten {
                body["dimensions"] = self.dim.into();
            }
            self.service.json(ctx, &["embeddings"], &body, &teller, texts).await?
        };
        let given = if self.google { google::usage(&answer) } else { answer.get("usage").and_then(Usage::from_openai) };
        let usage = given.map(|usage| Usage { output_tokens: 0, reasoning_tokens: 0, ..usage });
        let vectors = if self.google { google_vectors(&answer) } else { openai_vectors(&answer) };
        let vectors = vectors.ok_or_else(|| teller.begun(Told::misread("its vectors"), usage))?;
        if vectors.len() != texts.len() {
            return Err(teller.begun(Told::misread("not one vector for each text"), usage));
        }
        if let Some(odd) = vectors.iter().map(Vec::len).find(|len| *len != self.dim) {
            let message = format!("{} gives vectors of dimension {odd}, not {}", self.model, self.dim);
            let charge = usage.map_or(Charge::Unknown, Charge::Usage);
            return Err(LlmFailure { error: Error::invalid(message).with_code("wrong_dimension"), charge });
        }
        let usage = usage.unwrap_or_else(|| self.estimate(texts));
        Ok((vectors, usage))
    }

    fn google_body(&self, texts: &[&str], role: EmbedRole) -> Value {
        let model = self.model.strip_prefix("models/").unwrap_or(&self.model);
        let task = match role {
            EmbedRole::Document => "RETRIEVAL_DOCUMENT",
            EmbedRole::Query => "RETRIEVAL_QUERY",
        };
        let one = |text: &&str| {
            let mut out = json!({"model": format!("models/{model}"), "content": {"parts": [{"text": text}]}});
            // Later models are told in the text, and refuse the field.
            if model.contains("embedding-001") || model.starts_with("text-embedding") {
                out["taskType"] = task.into();
            }
            if self.shorten {
                out["outputDimensionality"] = self.dim.into();
            }
            out
        };
        json!({"requests": texts.iter().map(one).collect::<Vec<_>>()})
    }

    /// Counted here, where the provider does not say; without a tokenizer one token a byte, which is never too little.
    fn estimate(&self, texts: &[&str]) -> Usage {
        let count = |text: &&str| self.tokens.count(text).unwrap_or(text.len()) as u64;
        Usage { input_tokens: texts.iter().map(count).sum(), estimated: true, ..Usage::default() }
    }
}

/// How many texts of these lengths go in one request.
fn in_one_request(lengths: impl Iterator<Item = usize>) -> usize {
    let mut bytes = 0;
    let fits = |len: &usize| {
        bytes += len;
        bytes <= REQUEST_BYTES_MAX
    };
    lengths.take(REQUEST_TEXTS_MAX).take_while(fits).count()
}

/// The part of a text that is embedded.
fn cut(text: &str) -> &str {
    let text = text.trim();
    let mut end = text.len().min(TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn add(a: Usage, b: Usage) -> Usage {
    Usage {
        input_tokens: a.input_tokens.saturating_add(b.input_tokens),
        cached_input_tokens: a.cached_input_tokens.saturating_add(b.cached_input_tokens),
        estimated: a.estimated || b.estimated,
        ..Usage::default()
    }
}

/// A failure after requests that were paid.
fn paid(failure: LlmFailure, sum: Usage) -> LlmFailure {
    let charge = match failure.charge {
        Charge::Nothing if sum == Usage::default() => Charge::Nothing,
        Charge::Nothing => Charge::Usage(sum),
        Charge::Unknown => Charge::Unknown,
        Charge::Usage(usage) => Charge::Usage(add(sum, usage)),
    };
    LlmFailure { charge, ..failure }
}

/// The numbers of a vector. What is no number, or not finite as one of 32 bits, is none.
fn numbers(value: &Value) -> Option<Vec<f32>> {
    let number = |value: &Value| {
        #[expect(clippy::cast_possible_truncation)] // vectors are stored in 32 bits
        let number = value.as_f64()? as f32;
        number.is_finite().then_some(number)
    };
    let values = value.as_array().filter(|values| values.len() <= DIM_MAX)?;
    values.iter().map(number).collect()
}

fn openai_vectors(answer: &Value) -> Option<Vec<Vec<f32>>> {
    // They say which text they belong to.
    let mut by_place = BTreeMap::new();
    for (i, entry) in answer.get("data")?.as_array()?.iter().enumerate() {
        let place = entry.get("index").and_then(Value::as_u64).unwrap_or(i as u64);
        by_place.insert(place, numbers(entry.get("embedding")?)?);
    }
    let whole = by_place.keys().copied().eq(0..by_place.len() as u64);
    whole.then(|| by_place.into_values().collect())
}

fn google_vectors(answer: &Value) -> Option<Vec<Vec<f32>>> {
    answer.get("embeddings")?.as_array()?.iter().map(|entry| numbers(entry.get("values")?)).collect()
}

#[async_trait]
impl PaidEmbedder for ProviderEmbedder {
    fn provider(&self) -> &str {
        Self::provider(self)
    }

    fn model(&self) -> &str {
        Self::model(self)
    }

    fn in_one_request(&self, texts: &[&str]) -> usize {
        in_one_request(texts.iter().map(|text| cut(text).len()))
    }

    /// A token is a byte or more; some models put a sign before a text and one after it.
    fn tokens_at_most(&self, texts: &[&str]) -> u64 {
        texts.iter().map(|text| cut(text).len() as u64).filter(|len| *len > 0).map(|len| len + 2).sum()
    }

    async fn embed_with_usage(
        &self,
        ctx: &Ctx,
        texts: &[&str],
        role: EmbedRole,
    ) -> Result<(Vec<Option<Vec<f32>>>, Usage), LlmFailure> {
        let texts: Vec<&str> = texts.iter().copied().map(cut).collect();
        let ask = Self::embed_with_usage(self, ctx, &texts, role);
        http::on_sockets(ask).await.unwrap_or_else(|error| Err(LlmFailure::free(error)))
    }
}

#[async_trait]
impl Embedder for ProviderEmbedder {
    fn id(&self) -> &str {
        &self.id
    }

    fn dim(&self) -> usize {
        self.dim
    }

    fn paid(&self) -> Option<&dyn PaidEmbedder> {
        Some(self)
    }

    async fn embed(&self, texts: &[&str], role: EmbedRole) -> Result<Vec<Option<Vec<f32>>>> {
        // The port has no context; the time limit of the provider bounds the call.
        let ctx = Ctx::new(Scope::new("default", "default")?);
        let embedded = PaidEmbedder::embed_with_usage(self, &ctx, texts, role).await;
        embedded.map(|(vectors, _)| vectors).map_err(|failure| failure.error)
    }
}
