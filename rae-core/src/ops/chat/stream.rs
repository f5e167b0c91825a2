//! A chat whose answer comes in pieces. The turn is remembered, or the answer kept, before the stream says that it ended: whoever
//! saw the end can rely on it. A stream that is dropped or that fails remembers and keeps nothing.

use super::{CacheResult, Call, ChatAnswer, ChatOptions, llm};
use crate::{
    deps::Deps,
    error::Result,
    model::{BudgetLevel, ChatChunk, ChatDelta, ChatFold, ChatRequest, ChatResponse, LimitKind, MemoryId, Scope, Usd},
    ops::{LlmCost, LlmStream},
};
use futures::{Stream, StreamExt, stream::iter, stream::unfold};
use parking_lot::Mutex;
use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

/// Characters of a piece of an answer from the cache.
const PIECE_CHARS: usize = 64;

/// What is known at the end of a stream.
#[derive(Debug, Clone, PartialEq)]
pub struct ChatEnd {
    /// What it cost.
    pub cost: LlmCost,
    /// What the cache saved.
    pub saved_usd: Usd,
    /// What was remembered of the turn.
    pub remembered: Vec<MemoryId>,
    /// What could not be done; see [`ChatAnswer::degraded`].
    pub degraded: Vec<String>,
}

/// The pieces of an answer as they come. After an error nothing more comes. Dropping it gives the call up: what was produced until
/// then is booked, and nothing is remembered.
pub struct ChatAnswerStream {
    chunks: Pin<Box<dyn Stream<Item = Result<ChatChunk>> + Send>>,
    end: Arc<Mutex<Option<ChatEnd>>>,
    provider: String,
    warnings: Vec<(BudgetLevel, LimitKind)>,
    cache: CacheResult,
    memories: Vec<MemoryId>,
    degraded: Vec<String>,
}

impl ChatAnswerStream {
    /// What is known at the end; `None` until it has ended well.
    pub fn end(&self) -> Option<ChatEnd> {
        self.end.lock().clone()
    }

    /// The provider that answers, or did.
    pub fn provider(&self) -> &str {
        &self.provider
    }

    /// The limits whose warning threshold is reached, the worst cost of this call counted.
    pub fn warnings(&self) -> &[(BudgetLevel, LimitKind)] {
        &self.warnings
    }

    /// Where the answer comes from.
    pub fn cache(&self) -> CacheResult {
        self.cache
    }

    /// Memories that are in the prompt.
    pub fn memories(&self) -> &[MemoryId] {
        &self.memories
    }

    /// What could not be done before the first piece.
    pub fn degraded(&self) -> &[String] {
        &self.degraded
    }

    fn from_cache(answer: ChatAnswer) -> Self {
        let ChatAnswer { response, cost, cache, saved_usd, memories, remembered, degraded } = answer;
        let provider = cost.provider.clone();
        let end = ChatEnd { cost, saved_usd, remembered, degraded: degraded.clone() };
        Self {
            chunks: iter(pieces(&response).into_iter().map(Ok)).boxed(),
            end: Arc::new(Mutex::new(Some(end))),
            provider,
            warnings: Vec::new(),
            cache,
            memories,
            degraded,
        }
    }
}

impl fmt::Debug for ChatAnswerStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatAnswerStream").field("provider", &self.provider).finish_non_exhaustive()
    }
}

impl Stream for ChatAnswerStream {
    type Item = Result<ChatChunk>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.chunks.as_mut().poll_next(cx)
    }
}

pub(crate) async fn chat_stream(
    deps: &Deps,
    scope: &Scope,
    request: ChatRequest,
    options: ChatOptions,
) -> Result<ChatAnswerStream> {
    let (call, plan) = Call::prepare(deps, scope, request, options).await?;
    if let Some((kept, cache)) = call.kept().await {
        return Ok(ChatAnswerStream::from_cache(call.answer_kept(kept, cache).await));
    }
    let answer = llm::answer_stream(deps, scope, plan).await?;
    let end = Arc::new(Mutex::new(None));
    Ok(ChatAnswerStream {
        end: Arc::clone(&end),
        provider: answer.provider().to_owned(),
        warnings: answer.warnings().to_vec(),
        cache: call.cache(),
        memories: call.memories.clone(),
        degraded: call.degraded.clone(),
        chunks: unfold(Some(Turn { call, answer, fold: ChatFold::default(), end }), Turn::next).boxed(),
    })
}

/// A turn under way.
struct Turn {
    call: Call,
    answer: LlmStream,
    fold: ChatFold,
    end: Arc<Mutex<Option<ChatEnd>>>,
}

impl Turn {
    async fn next(turn: Option<Self>) -> Option<(Result<ChatChunk>, Option<Self>)> {
        let mut turn = turn?;
        match turn.answer.next().await {
            Some(Ok(chunk)) => {
                turn.fold.push(&chunk);
                Some((Ok(chunk), Some(turn)))
            }
            Some(Err(error)) => Some((Err(error), None)),
            None => {
                turn.finish().await;
                None
            }
        }
    }

    async fn finish(self) {
        let Some(cost) = self.answer.cost() else { return };
        let (remembered, degraded) = match self.fold.is_finished() {
            true => {
                let response = ChatResponse { usage: cost.usage, ..self.fold.response() };
                self.call.finish(&response, cost.cost_usd).await
            }
            false => (Vec::new(), self.call.degraded),
        };
        *self.end.lock() = Some(ChatEnd { cost, saved_usd: Usd::ZERO, remembered, degraded });
    }
}

/// A whole answer in pieces.
fn pieces(response: &ChatResponse) -> Vec<ChatChunk> {
    let piece = |delta: ChatDelta| ChatChunk {
        id: response.id.clone(),
        model: response.model.clone(),
        delta,
        finish_reason: None,
        usage: None,
    };
    let text: Vec<char> = response.message.plain_text().chars().collect();
    let texts = text.chunks(PIECE_CHARS).map(|chars| chars.iter().collect::<String>());
    let mut all: Vec<ChatChunk> =
        texts.map(|text| piece(ChatDelta { content: Some(text), ..ChatDelta::default() })).collect();
    if let Some(first) = all.first_mut() {
        first.delta.extra.clone_from(&response.message.extra);
    }
    let finish_reason = Some(response.finish_reason.clone());
    all.push(ChatChunk { finish_reason, usage: response.usage, ..piece(ChatDelta::default()) });
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ChatMessage, ChatRole, FinishReason, Usage};

    #[test]
    fn pieces_put_together_are_the_answer() {
        for text in ["short", &"ünï ".repeat(100)] {
            let response = ChatResponse {
                id: "a".into(),
                model: "m".into(),
                message: ChatMessage::text(ChatRole::Assistant, text),
                finish_reason: FinishReason::Stop,
                usage: Some(Usage { input_tokens: 3, output_tokens: 4, ..Usage::default() }),
            };
            let mut fold = ChatFold::default();
            let all = pieces(&response);
            all.iter().for_each(|chunk| fold.push(chunk));
            assert_eq!(fold.response(), response);
            assert_eq!(all.len(), text.chars().count().div_ceil(PIECE_CHARS) + 1);
        }
    }
}
