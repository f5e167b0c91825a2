//! The ml service: vectors of texts, and what texts speak of.

use super::{Service, answer, batch::Batcher};
use crate::{
    front::Front,
    http::parts::{ApiResult, Fields},
};
use axum::{Router, body::Body, extract::State, http::Response, routing::post};
use rae_core::{
    EmbedRole, Error, Result, extract,
    limits::{CONTENT_BYTES_MAX, EMBED_TEXTS_MAX},
    ports::Embedder,
    wire,
};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// The state of the service.
#[derive(Debug)]
pub struct Ml {
    front: Arc<Front>,
    batcher: Batcher,
}

impl AsRef<Front> for Ml {
    fn as_ref(&self) -> &Front {
        &self.front
    }
}

impl Ml {
    /// The service over an embedder.
    pub fn new(front: Arc<Front>, embedder: Arc<dyn Embedder>) -> Result<Self> {
        Ok(Self { batcher: Batcher::start(Arc::clone(&front), embedder)?, front })
    }

    /// Ends its thread.
    pub fn close(&self) {
        self.batcher.close();
    }

    /// Unit vectors; nothing is known of a blank text.
    async fn vectors(&self, texts: &[String], role: EmbedRole) -> Result<Vec<Option<Vec<f32>>>> {
        let asked: Vec<String> = texts.iter().map(|t| t.trim()).filter(|t| !t.is_empty()).map(str::to_owned).collect();
        let mut vectors = self.batcher.embed(asked, role).await?.into_iter();
        Ok(texts.iter().map(|t| if t.trim().is_empty() { None } else { vectors.next().flatten() }).collect())
    }
}

impl Service for Ml {
    fn model(&self) -> Value {
        json!({ "id": self.batcher.embedder().id(), "dim": self.batcher.embedder().dim() })
    }

    fn routes() -> Router<Arc<Self>> {
        Router::new()
            .route("/embeddings", post(embeddings))
            .route("/extract-keywords", post(keywords))
            .route("/extract-triples", post(triples))
            .route("/resolve-entities", post(entities))
    }
}

async fn embeddings(State(ml): State<Arc<Ml>>, fields: Fields) -> ApiResult<Response<Body>> {
    let model = ml.batcher.embedder().id().to_owned();
    answer(
        ml,
        fields,
        |map| read_texts(map, &model),
        |ml, (texts, role)| async move {
            let embeddings = ml.vectors(&texts, role).await?;
            let embedder = ml.batcher.embedder();
            Ok(json!({ "model": embedder.id(), "dim": embedder.dim(), "embeddings": embeddings }))
        },
    )
    .await
}

/// `texts` or `input`, one text or a list; `role`; and `model`, which must be the one that is loaded.
fn read_texts(mut map: Map<String, Value>, loaded: &str) -> Result<(Vec<String>, EmbedRole)> {
    if let Some(input) = map.remove("input")
        && map.insert("texts".to_owned(), input).is_some()
    {
        return Err(Error::invalid("texts and input are one field; give one of them"));
    }
    if let Some(text) = map.get_mut("texts").filter(|t| t.is_string()) {
        *text = Value::Array(vec![text.take()]);
    }
    let model = map.remove("model").filter(|m| !m.is_null());
    if model.is_some_and(|model| model != loaded) {
        let error = Error::invalid(format!("the model that is loaded is {loaded}; ask for it, or leave model out"));
        return Err(error.with_code("unknown_model"));
    }
    let (texts, role) = wire::embed(map)?;
    if texts.len() > EMBED_TEXTS_MAX {
        let message = format!("{} texts were given; one call embeds at most {EMBED_TEXTS_MAX}", texts.len());
        return Err(Error::invalid(message).with_code("too_many_texts"));
    }
    if let Some(i) = texts.iter().position(|text| text.len() > CONTENT_BYTES_MAX) {
        let message = format!("text {i} has more than {CONTENT_BYTES_MAX} bytes (1 MiB)");
        return Err(Error::invalid(message).with_code("text_too_long"));
    }
    Ok((texts, role))
}

async fn keywords(State(ml): State<Arc<Ml>>, fields: Fields) -> ApiResult<Response<Body>> {
    answer(
        ml,
        fields,
        wire::services::keywords,
        |_, (text, limit)| async move { plain(&extract::keywords(&text, limit)) },
    )
    .await
}

async fn triples(State(ml): State<Arc<Ml>>, fields: Fields) -> ApiResult<Response<Body>> {
    answer(ml, fields, wire::services::triples, |_, text| async move { plain(&extract::triples(&text)) }).await
}

async fn entities(State(ml): State<Arc<Ml>>, fields: Fields) -> ApiResult<Response<Body>> {
    answer(ml, fields, wire::services::entities, |ml, (names, threshold)| async move {
        let vectors = ml.vectors(&names, EmbedRole::Document).await?;
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let clusters = extract::resolve_entities(&names, &vectors, threshold);
        Ok(json!({ "model": ml.batcher.embedder().id(), "clusters": plain(&clusters)? }))
    })
    .await
}

fn plain<T: serde::Serialize>(value: &T) -> Result<Value> {
    serde_json::to_value(value).map_err(|e| Error::internal("an answer could not be written as JSON").with_source(e))
}
