//! An answer in pieces, as server-sent events. A task on the engine's threads asks the model and hands the events over, so that a
//! client which leaves is noticed at once and what was produced until then is booked.

use super::{Answer, about, failed, now, options::OWN, own, spoken};
use crate::{
    front::Held,
    http::error::error_body,
    state::{App, LLM_LIMIT},
};
use axum::{
    body::{Body, Bytes},
    http::{HeaderName, HeaderValue, Response, header},
};
use futures::{StreamExt, stream::poll_fn};
use rae_core::{
    Error,
    model::{BudgetLevel, ChatChunk, ChatDelta, ChatRequest, LimitKind, Scope},
    ops::{ChatAnswerStream, ChatEnd, ChatOptions},
};
use serde_json::{Value, json};
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::sync::{mpsc, oneshot};
use tracing::Instrument;

/// Events that wait for a slow client.
const EVENTS_MAX: usize = 32;
/// Silence after which a comment is sent: proxies close what says nothing.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Asks nginx not to collect the answer.
const BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// What is known before the first piece.
struct Begun {
    cache: &'static str,
    memories: usize,
    degraded: Vec<String>,
    warnings: Vec<(BudgetLevel, LimitKind)>,
}

/// What the last piece says beside the answer; neither is a stream as most clients want it.
#[derive(Debug, Clone, Copy)]
pub struct Last {
    /// The usage.
    pub usage: bool,
    /// What OpenAI's shape has no place for.
    pub own: bool,
}

pub async fn stream(
    app: &Arc<App>,
    scope: Scope,
    held: Held,
    request: ChatRequest,
    options: ChatOptions,
    last: Last,
) -> Answer {
    let places = (app.chat_place()?, app.request_place()?);
    let (begun, begins) = oneshot::channel();
    let (events, mut ready) = mpsc::channel(EVENTS_MAX);
    let (rae, metrics) = (app.rae.with_scope(scope.clone()).with_timeout(Some(LLM_LIMIT)), Arc::clone(&app.front));
    let task = async move {
        let _held = (places, held);
        let answer = rae.chat_stream(request, options).await;
        metrics.metrics.operation(&scope, "chat", 1, answer.as_ref().err().map(Error::kind));
        match answer {
            Ok(answer) => {
                let known = Begun {
                    cache: answer.cache().as_str(),
                    memories: answer.memories().len(),
                    degraded: answer.degraded().to_vec(),
                    warnings: answer.warnings().to_vec(),
                };
                // Where nobody waits any more, the answer is given up with its first piece.
                let _ = begun.send(Ok(known));
                hand_over(answer, &events, last).await;
            }
            Err(error) => {
                let _ = begun.send(Err(error));
            }
        }
    };
    app.spawn_task(crate::http::error::with_request_id(task.in_current_span()));
    let known = match begins.await {
        Ok(begun) => begun.map_err(failed)?,
        Err(_) => return Err(Error::internal("the call of the model did not begin").into()),
    };
    let body = poll_fn(move |cx| ready.poll_recv(cx).map(|event: Option<Bytes>| event.map(Ok::<_, Infallible>)));
    let mut response = Response::new(Body::from_stream(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    headers.insert(BUFFERING, HeaderValue::from_static("no"));
    about(headers, known.cache, known.memories, &known.degraded, &known.warnings);
    Ok(response)
}

/// Sends the pieces until the answer ends or the client leaves.
async fn hand_over(mut answer: ChatAnswerStream, events: &mpsc::Sender<Bytes>, wanted: Last) {
    let (created, mut first, mut last) = (now(), true, None);
    loop {
        let next = tokio::time::timeout(KEEP_ALIVE, answer.next());
        let next = match &last {
            // Said to its end: what is left is to book and to remember it, and many clients have what they want by now.
            Some(_) => next.await,
            None => tokio::select! {
                next = next => next,
                () = events.closed() => return,
            },
        };
        let event = match next {
            Err(_) => Bytes::from_static(b": still here\n\n"),
            Ok(Some(Ok(chunk))) => {
                if chunk.finish_reason.is_some() {
                    last = Some(ChatChunk { delta: ChatDelta::default(), finish_reason: None, ..chunk.clone() });
                }
                match piece(chunk) {
                    Some(chunk) => {
                        let event = data(&chunk.to_openai(created, first));
                        first = false;
                        event
                    }
                    None => continue,
                }
            }
            Ok(Some(Err(error))) => {
                tracing::warn!(kind = error.kind().name(), code = error.code(), "a streamed answer broke off");
                // The status is out already: the event says it.
                let _ = events.send(data(&spoken(error_body(&error)))).await;
                return;
            }
            Ok(None) => break,
        };
        if events.send(event).await.is_err() && last.is_none() {
            return;
        }
    }
    if let (Some(end), Some(last)) = (answer.end(), last) {
        let chunk = ChatChunk { usage: end.cost.usage.filter(|_| wanted.usage), ..last };
        let mut body = chunk.to_openai(created, false);
        if wanted.own {
            let ChatEnd { cost, saved_usd, remembered, degraded } = &end;
            body["choices"] = json!([]);
            body[OWN] = own(cost, answer.cache(), *saved_usd, answer.memories(), remembered, degraded);
        }
        if chunk.usage.is_some() || wanted.own {
            let _ = events.send(data(&body)).await;
        }
    }
    let _ = events.send(Bytes::from_static(b"data: [DONE]\n\n")).await;
}

/// The piece without its usage, which comes at the end where it is wanted; nothing where it has nothing else.
fn piece(chunk: ChatChunk) -> Option<ChatChunk> {
    let says = chunk.delta != ChatDelta::default() || chunk.finish_reason.is_some() || chunk.usage.is_none();
    says.then_some(ChatChunk { usage: None, ..chunk })
}

fn data(value: &Value) -> Bytes {
    format!("data: {value}\n\n").into()
}
