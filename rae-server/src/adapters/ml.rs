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
/// Texts of one request: so few that a model on two cores answers within the limit of a call.
const REQUEST_TEXTS_MAX: usize = 32;
/// Bytes of the texts of one request, as JSON. A service takes 16 MiB by default; one text has 6 at most.
const REQUEST_BYTES_MAX: usize = 8 << 20;
/// Longest time for all requests of one call: less than the guard's limit, which would have the call made again.
const CALL: Duration = Duration::from_secs(20);
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
        let (due, mut vectors) = (Instant::now() + CALL, Vec::with_capacity(texts.len()));
        for part in requests(texts) {
            let body = json!({ "texts": part, "role": role });
            let most = part.len() * (self.dim + 2) * NUMBER_BYTES + SMALL_ANSWER;
            let answer: Embeddings = self.service.ask_until(due, "embeddings", Some(body), most).await?;
            vectors.extend(self.check(answer, part.len())?);
        }
        Ok(vectors)
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
        let (due, mut scores) = (Instant::now() + CALL, Vec::with_capacity(texts.len()));
        for part in requests(texts) {
            let asked = self.score_part(due, query, part).await;
            scores.extend(asked.inspect_err(|error| tracing::warn!(%error, "hits were not reranked"))?);
        }
        Ok(scores)
    }
}

impl RemoteReranker {
    async fn score_part(&self, due: Instant, query: &str, texts: &[&str]) -> Result<Vec<f32>> {
        let body = json!({ "query": query, "documents": texts });
        let most = texts.len() * 4 * NUMBER_BYTES + SMALL_ANSWER;
        let scored: Reranked = self.service.ask_until(due, "rerank", Some(body), most).await?;
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

/// Texts cut into requests, bounded in number and in bytes. A text's vector and score do not depend on the others.
fn requests<'t>(texts: &'t [&'t str]) -> impl Iterator<Item = &'t [&'t str]> {
    let mut rest = texts;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = |text: &&&str| {
            bytes += json_bytes(text);
            bytes <= REQUEST_BYTES_MAX
        };
        let count = rest.iter().take(REQUEST_TEXTS_MAX).take_while(fits).count().max(1).min(rest.len());
        let (part, after) = rest.split_at(count);
        rest = after;
        Some(part).filter(|part| !part.is_empty())
    })
}

/// Length of a text in JSON, at most.
fn json_bytes(text: &str) -> usize {
    let escaped = |byte: u8| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' => 2,
        0..0x20 => 6,
        _ => 1,
    };
    text.bytes().map(escaped).sum::<usize>() + 3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_bounded_and_leave_out_no_text() {
        let large = "\u{1}".repeat(1 << 20);
        let texts: Vec<&str> = [vec!["a"; 70], vec![large.as_str(); 3], vec!["b"; 2]].concat();
        let parts: Vec<&[&str]> = requests(&texts).collect();
        assert_eq!(parts.concat(), texts);
        assert_eq!(parts.iter().map(|p| p.len()).collect::<Vec<_>>(), [32, 32, 7, 1, 3]);
        assert!(requests(&[]).next().is_none());
        for part in parts {
            let written: Vec<usize> = part.iter().map(|t| serde_json::to_string(t).unwrap().len()).collect();
            assert!(part.iter().zip(&written).all(|(t, n)| json_bytes(t) >= *n));
            assert!(written.iter().sum::<usize>() <= REQUEST_BYTES_MAX);
        }
    }
}
