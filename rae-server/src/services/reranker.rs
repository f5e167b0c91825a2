//! The reranker service: how well texts fit a question, by a cross-encoder.

use super::{Service, answer};
use crate::{
    front::Front,
    http::parts::{ApiResult, Fields},
};
use axum::{Router, body::Body, extract::State, http::Response, routing::post};
use rae_core::{Error, Result, ports::Reranker, wire};
use serde_json::{Value, json};
use std::sync::Arc;

/// Texts scored between two looks at the clock.
const PIECE: usize = 16;

/// The state of the service.
#[derive(Debug)]
pub struct Rerank {
    front: Arc<Front>,
    model: Option<Arc<dyn Reranker>>,
}

impl AsRef<Front> for Rerank {
    fn as_ref(&self) -> &Front {
        &self.front
    }
}

impl Rerank {
    /// The service over a reranker. Without one it answers its probes, and says what it needs to everything else.
    pub fn new(front: Arc<Front>, model: Option<Arc<dyn Reranker>>) -> Self {
        Self { front, model }
    }

    fn loaded(&self) -> Result<&Arc<dyn Reranker>> {
        self.model.as_ref().ok_or_else(|| {
            let message = "no cross-encoder is loaded: start the reranker with RAE_MODEL_DIR, a folder with a model such as \
                           ms-marco-MiniLM-L6-v2, or with RAE_MODEL_URL";
            Error::unsupported(message).with_code("no_model")
        })
    }
}

impl Service for Rerank {
    fn model(&self) -> Value {
        self.model.as_ref().map_or(Value::Null, |model| json!({ "id": model.id() }))
    }

    fn routes() -> Router<Arc<Self>> {
        Router::new().route("/rerank", post(rerank))
    }
}

async fn rerank(State(service): State<Arc<Rerank>>, fields: Fields) -> ApiResult<Response<Body>> {
    answer(service, fields, wire::services::rerank, |service, (query, texts, top)| async move {
        let model = service.loaded()?;
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let mut scores = Vec::with_capacity(texts.len());
        for piece in texts.chunks(PIECE) {
            scores.extend(model.score(&query, piece).await?);
            // Lets the clock be looked at, also where all threads of the engine compute: a future's own wake does not.
            tokio::task::yield_now().await;
        }
        let mut order: Vec<(usize, f32)> = scores.into_iter().enumerate().collect();
        order.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let results: Vec<Value> =
            order.into_iter().take(top).map(|(index, score)| json!({ "index": index, "score": score })).collect();
        Ok(json!({ "model": model.id(), "results": results }))
    })
    .await
}
