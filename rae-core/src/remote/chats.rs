//! Chat models of a server, by its gateway: a body of OpenAI's chat completions, with the object `rae` beside it that says what such a
//! body cannot. Memories and the cache of responses are left out of it, as they are on an open store.

use super::{
    Remote,
    answer::{self, Shown},
    transport::{Opened, Request, Spawned, Transport},
    verbs::named,
};
use crate::{
    error::{Error, ErrorKind, Result},
    http::sse::{SseEvent, SseReader},
    limits::{LLM_ANSWER_BYTES_MAX, LLM_SECONDS_MAX},
    model::{BudgetLevel, ChatChunk, ChatRequest, ChatResponse, LimitKind, Usage, Usd},
    ops::{self, LlmAnswer, LlmCost, LlmEstimate, LlmOptions},
};
use futures::Stream;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::{
    collections::VecDeque,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};

const PATH: &str = "v1/chat/completions";
/// How much longer than the server this client waits, so that it is the server who says that a call took too long.
const GRACE: Duration = Duration::from_secs(10);
/// Silence after which a stream is given up: a server that is there says so every quarter of a minute.
const SILENCE: Duration = Duration::from_secs(60);
/// Pieces that wait for whoever reads them.
const PIECES_MAX: usize = 32;
/// The end of a stream.
const DONE: &str = "[DONE]";

/// The object `rae` of an answer.
#[derive(Deserialize)]
struct End {
    provider: String,
    usage: Option<Usage>,
    cost_usd: Usd,
    attempts: u32,
    warnings: Vec<Warning>,
}

#[derive(Deserialize)]
struct Warning {
    scope: BudgetLevel,
    limit: String,
}

impl End {
    fn of(mut body: Value) -> Result<LlmCost> {
        let Self { provider, usage, cost_usd, attempts, warnings } = match body.get_mut("rae").map(Value::take) {
            Some(end) => serde_json::from_value(end).map_err(answer::not_ours)?,
            None => return Err(answer::foreign("it does not say what the answer cost")),
        };
        // A limit that this client does not know is a newer server's.
        let known = |warning: Warning| {
            let kind = LimitKind::ALL.into_iter().find(|kind| kind.field() == warning.limit)?;
            Some((warning.scope, kind))
        };
        let warnings = warnings.into_iter().filter_map(known).collect();
        Ok(LlmCost { provider, usage, cost_usd, attempts, warnings })
    }
}

#[derive(Deserialize)]
struct Estimate {
    provider: String,
    model: String,
    input_tokens: u64,
    output_tokens: u64,
    cost_usd: Usd,
    refusal: Option<Shown>,
}

/// The request, and the longest time that its answer may take.
fn request(request: &ChatRequest, options: LlmOptions, stream: bool) -> Result<(Request, Duration)> {
    request.check()?;
    ops::check_llm_options(&options)?;
    // The server takes a time above 0, and says itself that it was too short.
    let timeout = options.timeout.clamp(Duration::from_millis(1), Duration::from_secs(LLM_SECONDS_MAX));
    let mut own = Map::new();
    own.insert("operation".to_owned(), options.operation.into());
    own.insert("timeout".to_owned(), timeout.as_secs_f64().into());
    for (name, text) in [("user_id", options.user_id), ("request_id", options.request_id)] {
        own.extend(text.map(|text| (name.to_owned(), text.into())));
    }
    let mut body = request.to_openai("max_completion_tokens");
    body.insert("rae".to_owned(), Value::Object(own));
    if stream {
        body.insert("stream".to_owned(), true.into());
    }
    let headers = vec![("x-rae-memory", "off"), ("x-rae-cache", "off")];
    Ok((Request { headers, ..Request::post(PATH, &body)? }, timeout + GRACE))
}

impl Remote {
    /// As [`crate::Rae::llm`], with the models, prices and budgets of the server. Without a `request_id` the row of the ledger has the id
    /// that the server gave the request.
    pub async fn llm(&self, chat: ChatRequest, options: LlmOptions) -> Result<LlmAnswer> {
        named("llm", async {
            let (request, limit) = request(&chat, options, false)?;
            let mut body: Value = self.json(Request { limit: Some(limit), ..request }).await?;
            let paid = |error| answer::may_be_done(error, None);
            let cost = End::of(json!({ "rae": body["rae"].take() })).map_err(paid)?;
            let read = ChatResponse::from_openai(body).map_err(answer::foreign).map_err(paid)?;
            Ok(LlmAnswer { response: ChatResponse { usage: cost.usage, ..read }, cost })
        })
        .await
    }

    /// As [`crate::Rae::llm_estimate`].
    pub async fn llm_estimate(&self, chat: ChatRequest, options: LlmOptions) -> Result<LlmEstimate> {
        named("llm", async {
            let (mut request, _) = request(&chat, options, false)?;
            request.headers.push(("x-dry-run", "true"));
            let found: Estimate = self.json(request.reads()).await?;
            Ok(LlmEstimate {
                provider: found.provider,
                model: found.model,
                input_tokens: found.input_tokens,
                output_tokens: found.output_tokens,
                cost_usd: found.cost_usd,
                refusal: found.refusal.map(|shown| shown.into_error(ErrorKind::BudgetExceeded)),
            })
        })
        .await
    }

    /// As [`crate::Rae::llm_stream`]. Dropping it closes the connection: the server hangs up on the provider, and books what was
    /// produced until then.
    pub async fn llm_stream(&self, chat: ChatRequest, options: LlmOptions) -> Result<RemotePieces> {
        named("llm", async {
            let (request, limit) = request(&chat, options, true)?;
            let opened = self.open(Request { limit: Some(limit), ..request }).await?;
            let (pieces, read) = mpsc::channel(PIECES_MAX);
            let task = self.transport.spawn(hand_over(opened, pieces));
            Ok(RemotePieces { read, cost: None, _task: task, _transport: Arc::clone(&self.transport) })
        })
        .await
    }
}

/// What comes of a stream.
enum Piece {
    Chunk(ChatChunk),
    Failed(Error),
    /// It ended well.
    Ended(LlmCost),
}

/// The pieces of an answer of a server's model as they come. After an error nothing more comes.
pub struct RemotePieces {
    read: mpsc::Receiver<Piece>,
    cost: Option<LlmCost>,
    _task: Spawned<()>,
    /// The thread that reads it goes on as long as this does.
    _transport: Arc<Transport>,
}

impl RemotePieces {
    /// What it cost; `None` until it has ended well.
    pub fn cost(&self) -> Option<&LlmCost> {
        self.cost.as_ref()
    }
}

impl fmt::Debug for RemotePieces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemotePieces").finish_non_exhaustive()
    }
}

impl Stream for RemotePieces {
    type Item = Result<ChatChunk>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.read.poll_recv(cx).map(|piece| match piece? {
            Piece::Chunk(chunk) => Some(Ok(chunk)),
            Piece::Failed(error) => Some(Err(error)),
            Piece::Ended(cost) => {
                self.cost = Some(cost);
                None
            }
        })
    }
}

/// Reads the events to their end and hands the pieces over.
async fn hand_over(mut opened: Opened, pieces: mpsc::Sender<Piece>) {
    let last = match read(&mut opened, &pieces).await {
        Ok(Some(cost)) => Piece::Ended(cost),
        Ok(None) => return,
        Err(error) => Piece::Failed(error),
    };
    // Where nobody reads any more, nobody wants the end.
    let _ = pieces.send(last).await;
}

/// What the answer cost; `None` where nobody reads it any more.
async fn read(opened: &mut Opened, pieces: &mpsc::Sender<Piece>) -> Result<Option<LlmCost>> {
    let (mut reader, mut events, mut bytes) = (SseReader::default(), VecDeque::new(), 0);
    let mut cost = None;
    loop {
        while let Some(SseEvent { data, .. }) = events.pop_front() {
            if data.trim() == DONE {
                let cost = cost.ok_or_else(|| answer::foreign("it does not say what the answer cost"))?;
                return Ok(Some(cost));
            }
            let body: Value = serde_json::from_str(&data).map_err(answer::not_ours)?;
            let chunk = piece(body, &mut cost)?;
            if let Some(chunk) = chunk
                && pieces.send(Piece::Chunk(chunk)).await.is_err()
            {
                return Ok(None);
            }
        }
        let silent = Instant::now() + SILENCE;
        let next = timeout_at(opened.deadline.min(silent), opened.response.chunk()).await;
        let Some(more) = next.map_err(|_| opened.late(silent))?.map_err(|e| broken(answer::broken(e).into_error()))?
        else {
            let cut =
                Error::unavailable("the server's answer ended before it was complete").with_code("connection_lost");
            return Err(broken(cut));
        };
        bytes += more.len();
        if bytes > LLM_ANSWER_BYTES_MAX || reader.push(&more, &mut events).is_err() {
            return Err(answer::foreign("its stream is too long"));
        }
    }
}

/// The piece of an event, if it adds any; the end is kept in `cost`.
fn piece(body: Value, cost: &mut Option<LlmCost>) -> Result<Option<ChatChunk>> {
    if let Some(error) = body.get("error").filter(|error| !error.is_null()) {
        let shown: Shown = Shown::deserialize(error).map_err(answer::not_ours)?;
        return Err(shown.into_error(ErrorKind::Unavailable));
    }
    let chunk = ChatChunk::from_openai(&body).map_err(answer::foreign)?;
    if body.get("rae").is_none() {
        return Ok(Some(ChatChunk { usage: None, ..chunk }).filter(|chunk| !chunk.adds_nothing()));
    }
    let end = End::of(body)?;
    // An open store passes on what the provider counted, and no count of its own.
    let usage = end.usage.filter(|usage| !usage.estimated);
    *cost = Some(end);
    Ok(usage.map(|usage| ChatChunk { usage: Some(usage), ..chunk }))
}

/// The error of an answer that broke off: what was produced until then is booked.
fn broken(error: Error) -> Error {
    answer::may_be_done(error, None)
}
