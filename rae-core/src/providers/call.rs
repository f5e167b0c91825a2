//! One request to a provider and its answer, whole or streamed: addresses, headers, time limits and bounds.

use super::{
    config::{ProviderConfig, Secret},
    failure::{Teller, Told},
};
use crate::{
    ctx::Ctx,
    error::{Error, Result},
    http::{
        self, Limit,
        sse::{SseEvent, SseReader},
    },
    limits::{LLM_ANSWER_BYTES_MAX, LLM_ERROR_BYTES_MAX},
    model::{ChatChunk, Usage},
    ports::{ChatStream, LlmFailure},
};
use reqwest::{
    Response, Url,
    header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
};
use serde_json::Value;
use std::{collections::VecDeque, fmt, time::Duration};

/// The connections to one provider.
pub(super) struct Service {
    pub id: String,
    base: Url,
    headers: HeaderMap,
    key: Option<Secret>,
    timeout: Duration,
    whole: reqwest::Client,
    streaming: reqwest::Client,
    /// What an error body says.
    told: fn(u16, &Value) -> Told,
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("id", &self.id).field("base", &self.base.as_str()).finish_non_exhaustive()
    }
}

impl Service {
    /// `headers` go with every request; their values are secrets.
    pub fn new(
        config: &ProviderConfig,
        headers: &[(&'static str, String)],
        told: fn(u16, &Value) -> Told,
    ) -> Result<Self> {
        let mut map = HeaderMap::new();
        for (name, text) in headers {
            // The library's error would show the text.
            let wrong = || Error::invalid(format!("the key of the provider {} has signs that no key has", config.id));
            let mut value = HeaderValue::from_str(text).map_err(|_| wrong())?;
            value.set_sensitive(true);
            map.insert(HeaderName::from_static(name), value);
        }
        let authorities = config.authorities.as_deref();
        Ok(Self {
            id: config.id.clone(),
            base: config.address()?,
            headers: map,
            key: config.api_key.clone(),
            timeout: config.timeout,
            whole: http::client_with(Limit::Whole(config.timeout), authorities)?,
            streaming: http::client_with(Limit::Silence(config.silence), authorities)?,
            told,
        })
    }

    /// Who tells of a call's failures.
    pub fn teller(&self, model: &str) -> Teller {
        Teller { provider: self.id.clone(), model: model.to_owned(), key: self.key.clone() }
    }

    /// An address below the base; each part is one segment, whatever it holds.
    fn url(&self, path: &[&str]) -> Result<Url> {
        let mut url = self.base.clone();
        let mut parts = url.path_segments_mut().map_err(|()| Error::internal("an address cannot have a path"))?;
        parts.pop_if_empty().extend(path);
        drop(parts);
        Ok(url)
    }

    /// Asks, and reads the whole answer as JSON. `said` are the texts of the request, which no error may quote.
    pub async fn json(
        &self,
        ctx: &Ctx,
        path: &[&str],
        body: &Value,
        teller: &Teller,
        said: &[&str],
    ) -> Result<Value, LlmFailure> {
        ctx.check().map_err(LlmFailure::free)?;
        let timeout = ctx.remaining().map_or(self.timeout, |left| left.min(self.timeout));
        let url = self.url(path).map_err(LlmFailure::free)?;
        let request = self.whole.post(url).timeout(timeout);
        let response = self.send(request, body, teller, said).await?;
        let bytes = collect(response, LLM_ANSWER_BYTES_MAX, teller).await?;
        // The parser's message may quote what it read.
        serde_json::from_slice(&bytes).map_err(|_| teller.begun(Told::misread("it is not JSON"), None))
    }

    /// Asks for a stream of events; `query` is one pair of the address.
    pub async fn events<D: Decoder>(
        &self,
        ctx: &Ctx,
        (path, query): (&[&str], Option<(&str, &str)>),
        body: &Value,
        (teller, said): (Teller, &[&str]),
        decoder: D,
    ) -> Result<ChatStream, LlmFailure> {
        ctx.check().map_err(LlmFailure::free)?;
        let mut url = self.url(path).map_err(LlmFailure::free)?;
        if let Some((name, value)) = query {
            url.query_pairs_mut().append_pair(name, value);
        }
        let mut request = self.streaming.post(url).header(ACCEPT, "text/event-stream");
        if let Some(left) = ctx.remaining() {
            request = request.timeout(left);
        }
        let response = self.send(request, body, &teller, said).await?;
        let kind = response.headers().get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        if kind.starts_with("application/json") {
            // Some servers answer so where the failure came after the status was chosen.
            let bytes = collect(response, LLM_ERROR_BYTES_MAX, &teller).await?;
            let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
            let mut told = (self.told)(200, &body);
            if body.get("error").is_none() {
                told = Told::misread("it is no stream");
            }
            return Err(teller.begun(told, None));
        }
        let state = Reading {
            response: Some(response),
            reader: SseReader::default(),
            events: VecDeque::new(),
            chunks: VecDeque::new(),
            failed: None,
            bytes: 0,
            decoder,
            teller,
        };
        Ok(Box::pin(futures::stream::unfold(state, |mut state| async { state.next().await.map(|item| (item, state)) })))
    }

    async fn send(
        &self,
        request: reqwest::RequestBuilder,
        body: &Value,
        teller: &Teller,
        said: &[&str],
    ) -> Result<Response, LlmFailure> {
        let json = serde_json::to_vec(body)
            .map_err(|e| LlmFailure::free(Error::internal("a request could not be written as JSON").with_source(e)))?;
        let request = request.headers(self.headers.clone()).header(CONTENT_TYPE, "application/json").body(json);
        let response = request.send().await.map_err(|e| teller.connection(e, None))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        // What is left of a body that broke off, or is too long, says nothing.
        let body = collect(response, LLM_ERROR_BYTES_MAX, teller).await.unwrap_or_default();
        let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
        Err(teller.status(status, &headers, (self.told)(status, &body), said))
    }
}

/// An answer within bounds.
async fn collect(mut response: Response, most: usize, teller: &Teller) -> Result<Vec<u8>, LlmFailure> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| teller.connection(e, None))? {
        if bytes.len() + chunk.len() > most {
            return Err(teller.begun(Told::misread("it is too long"), None));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// Whether a stream goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    More,
    End,
}

/// Reads the events of one provider.
pub(super) trait Decoder: Send + 'static {
    /// Takes one event, and adds the pieces it makes to `out`.
    fn event(&mut self, event: &SseEvent, out: &mut VecDeque<ChatChunk>) -> Result<Step, Told>;

    /// The provider closed the stream: adds what is left to `out`, or says that it is not at its end.
    fn close(&mut self, out: &mut VecDeque<ChatChunk>) -> Result<(), Told>;

    /// What the provider has counted, where that is for the whole answer.
    fn charged(&self) -> Option<Usage>;
}

/// A stream that is being read.
struct Reading<D> {
    /// Gone at the end.
    response: Option<Response>,
    reader: SseReader,
    events: VecDeque<SseEvent>,
    chunks: VecDeque<ChatChunk>,
    failed: Option<LlmFailure>,
    bytes: usize,
    decoder: D,
    teller: Teller,
}

impl<D: Decoder> Reading<D> {
    async fn next(&mut self) -> Option<Result<ChatChunk, LlmFailure>> {
        loop {
            if let Some(chunk) = self.chunks.pop_front() {
                return Some(Ok(chunk));
            }
            if let Some(failed) = self.failed.take() {
                return Some(Err(failed));
            }
            let response = self.response.as_mut()?;
            let read = match self.events.pop_front() {
                Some(event) => self.decoder.event(&event, &mut self.chunks),
                None => match response.chunk().await {
                    Ok(Some(bytes)) => {
                        self.bytes += bytes.len();
                        let pushed = self.reader.push(&bytes, &mut self.events);
                        let within = pushed.is_ok() && self.bytes <= LLM_ANSWER_BYTES_MAX;
                        if within { Ok(Step::More) } else { Err(Told::misread("it is too long")) }
                    }
                    Ok(None) => self.decoder.close(&mut self.chunks).map(|()| Step::End),
                    Err(error) => {
                        self.failed = Some(self.teller.connection(error, self.decoder.charged()));
                        Ok(Step::End)
                    }
                },
            };
            match read {
                Ok(Step::More) => {}
                Ok(Step::End) => self.response = None,
                Err(told) => {
                    self.failed = Some(self.teller.begun(told, self.decoder.charged()));
                    self.response = None;
                }
            }
        }
    }
}
