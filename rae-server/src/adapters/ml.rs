//! The engine's embedder and reranker, asked over HTTP: the services of `rae-server ml` and `rae-server reranker`.

use super::service::Service;
use async_trait::async_trait;
use rae_core::{
    EmbedRole, Error, Result,
    limits::{DIM_MAX, EMBED_BATCH_MAX},
    ports::{Embedder, Reranker},
};
use reqwest::Url;
use serde::Deserialize;
use serde_json::json;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Bytes of one number in JSON, at most; a few more for what stands around a list.
const NUMBER_BYTES: usize = 32;
const SMALL_ANSWER: usize = 64 << 10;
/// Pause between two looks for a service that is not there yet.
const LOOK: Duration = Duration::from_millis(200);

/// The embedder of an ml service.
#[derive(Debug)]
pub struct RemoteEmbedder {
    service: Service,
    id: String,
    dim: usize,
}

#[derive(Deserialize)]
struct Health {
    model: Option<Model>,
}

#[derive(Deserialize)]
struct Model {
    id: String,
    dim: usize,
}

#[derive(Deserialize)]
struct Embeddings {
    model: String,
    embeddings: Vec<Option<Vec<f32>>>,
}

impl RemoteEmbedder {
    /// Asks the service at `url` which embedder it has, again and again for `patience`. Calls take at most `timeout` each.
    ///
    /// # Errors
    /// `Unavailable` when the service does not say which embedder it has.
    pub async fn connect(url: Url, timeout: Duration, patience: Duration) -> Result<Self> {
        let service = Service::new("ml", url, timeout)?;
        let due = Instant::now() + patience;
        let mut told = false;
        let model = loop {
            let error = match service.ask::<Health>("health", None, SMALL_ANSWER).await {
                Ok(Health { model: Some(model) }) => break model,
                Ok(Health { model: None }) => return Err(service.bad("has no embedder; is it an ml service?")),
                Err(error) => error,
            };
            if Instant::now() >= due {
                let message = format!(
                    "{}; start it, or unset RAE_ML_URL where this store was made with an embedder in the process",
                    error.message()
                );
                return Err(Error::unavailable(message).with_code(error.code().to_owned()));
            }
            if !std::mem::replace(&mut told, true) {
                tracing::info!(error = %error, "waiting for the ml service");
            }
            sleep(LOOK).await;
        };
        if model.id.is_empty()
            || model.id.len() > rae_core::limits::NAME_BYTES_MAX
            || !(1..=DIM_MAX).contains(&model.dim)
        {
            return Err(service.bad("names an embedder that cannot be"));
        }
        tracing::info!(embedder = %model.id, dim = model.dim, "embedding by {}", service.shown());
        Ok(Self { service, id: model.id, dim: model.dim })
    }

    fn check(&self, answer: Embeddings, texts: usize) -> Result<Vec<Option<Vec<f32>>>> {
        if answer.model != self.id {
            let message = format!(
                "{} now has the embedder {:?}, and this store was opened with {}: start the service with that one, or start this \
                 server again to see whether the store may change",
                self.service.shown(),
                answer.model.chars().take(80).collect::<String>(),
                self.id
            );
            let error = Error::conflict(message).with_code("embedder_mismatch");
            tracing::error!(%error, "no vectors");
            return Err(error);
        }
        let found = answer.embeddings.len();
        if found != texts {
            return Err(self.service.bad(format!("gave {found} vectors for {texts} texts")));
        }
        for vector in answer.embeddings.iter().flatten() {
            if vector.len() != self.dim || !vector.iter().all(|x| x.is_finite()) {
                let dim = vector.len();
                return Err(self
                    .service
                    .bad(format!("gave a vector of {dim} numbers, or one that is not finite, for {}", self.id)));
            }
        }
        Ok(answer.embeddings)
    }
}

#[async_trait]
impl Embedder for RemoteEmbedder {
    fn id(&self) -> &str {
        &self.id
    }

    fn dim(&self) -> usize {
        self.dim
    }

    async fn embed(&self, texts: &[&str], role: EmbedRole) -> Result<Vec<Option<Vec<f32>>>> {
        if texts.len() > EMBED_BATCH_MAX {
            return Err(Error::internal(format!("{} texts at once, at most {EMBED_BATCH_MAX}", texts.len())));
        }
        let role = match role {
            EmbedRole::Document => "document",
            EmbedRole::Query => "query",
        };
        let body = json!({ "texts": texts, "role": role });
        let most = texts.len() * (self.dim + 2) * NUMBER_BYTES + SMALL_ANSWER;
        let answer: Embeddings = self.service.ask("embeddings", Some(body), most).await?;
        self.check(answer, texts.len())
    }
}

/// The reranker of a reranker service. It is not asked at the start: without it recall says `degraded: ["rerank"]`.
#[derive(Debug)]
pub struct RemoteReranker {
    service: Service,
    id: String,
}

#[derive(Deserialize)]
struct Reranked {
    results: Vec<Scored>,
}

#[derive(Deserialize)]
struct Scored {
    index: usize,
    score: f32,
}

impl RemoteReranker {
    /// A client of the service at `url`; a call takes at most `timeout`. Must be called on a Tokio runtime.
    pub fn new(url: Url, timeout: Duration) -> Result<Self> {
        let id = format!("reranker at {url}");
        Ok(Self { service: Service::new("reranker", url, timeout)?, id })
    }
}

#[async_trait]
impl Reranker for RemoteReranker {
    fn id(&self) -> &str {
        &self.id
    }

    async fn score(&self, query: &str, texts: &[&str]) -> Result<Vec<f32>> {
        if texts.is_empty() {
            return Ok(Vec::new());
        }
        let body = json!({ "query": query, "documents": texts });
        let most = texts.len() * 4 * NUMBER_BYTES + SMALL_ANSWER;
        let scored: Result<Reranked> = self.service.ask("rerank", Some(body), most).await;
        let scored = scored.inspect_err(|error| tracing::warn!(%error, "hits were not reranked"))?;
        let mut scores = vec![None; texts.len()];
        for Scored { index, score } in scored.results {
            match scores.get_mut(index) {
                Some(place @ None) if score.is_finite() => *place = Some(score),
                _ => return Err(self.service.bad("gave a score that is not finite, or one twice, or of no text")),
            }
        }
        let all: Option<Vec<f32>> = scores.into_iter().collect();
        all.ok_or_else(|| self.service.bad("left out a text"))
    }
}
