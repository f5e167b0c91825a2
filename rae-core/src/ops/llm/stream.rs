//! A streamed answer. The attempt is booked before the stream says that it ended; a stream that is dropped before leaves that to the
//! background thread, with what was produced so far.

use super::{LlmCost, LlmOptions, Plan, again, begin, counted, failed, finish, plan, priced};
use crate::{
    cost::Ticket,
    deps::Deps,
    error::Result,
    model::{BudgetLevel, CallStatus, ChatChunk, ChatFold, ChatRequest, Funds, LimitKind, Scope, Usage},
    ports::ChatStream,
};
use futures::{Stream, StreamExt, stream::unfold};
use parking_lot::Mutex;
use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

/// The pieces of an answer as they come. After an error nothing more comes. Dropping it gives the call up: what was produced until
/// then is booked.
pub struct LlmStream {
    chunks: Pin<Box<dyn Stream<Item = Result<ChatChunk>> + Send>>,
    cost: Arc<Mutex<Option<LlmCost>>>,
    provider: String,
    warnings: Vec<(BudgetLevel, LimitKind)>,
}

impl LlmStream {
    /// What it cost; `None` until it has ended well.
    pub fn cost(&self) -> Option<LlmCost> {
        self.cost.lock().clone()
    }

    /// The provider that answers.
    pub fn provider(&self) -> &str {
        &self.provider
    }

    /// The limits whose warning threshold is reached, the worst cost of this call counted.
    pub fn warnings(&self) -> &[(BudgetLevel, LimitKind)] {
        &self.warnings
    }
}

impl fmt::Debug for LlmStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LlmStream").field("provider", &self.provider).finish_non_exhaustive()
    }
}

impl Stream for LlmStream {
    type Item = Result<ChatChunk>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.chunks.as_mut().poll_next(cx)
    }
}

pub(crate) async fn llm_stream(
    deps: &Deps,
    scope: &Scope,
    request: ChatRequest,
    options: LlmOptions,
) -> Result<LlmStream> {
    answer_stream(deps, scope, plan(deps, request, options)?).await
}

/// The same for a request that is ready to go.
pub(crate) async fn answer_stream(deps: &Deps, scope: &Scope, plan: Plan) -> Result<LlmStream> {
    let ctx = deps.ctx(scope)?.with_timeout(plan.timeout);
    let mut attempt = 1;
    loop {
        let ticket = begin(deps, &ctx, &plan, attempt).await?;
        match plan.provider.stream(&ctx, &plan.request).await {
            Ok(chunks) => {
                let cost = Arc::new(Mutex::new(None));
                return Ok(LlmStream {
                    cost: Arc::clone(&cost),
                    provider: plan.label.provider.clone(),
                    warnings: ticket.funds().map(Funds::warnings).unwrap_or_default(),
                    chunks: unfold(Answer::new(deps, plan, ticket, chunks, attempt, cost), Answer::next).boxed(),
                });
            }
            Err(failure) => attempt = again(deps, &ctx, &plan, ticket, failure, attempt).await?,
        }
    }
}

/// Models of which everything that is paid for comes in the stream: they do not reason unseen, or only where that is asked for in a
/// way that is not passed on.
const SHOW_ALL: &[&str] = &["gpt-3.5", "gpt-4-", "gpt-4.1", "gpt-4o", "chatgpt-4o", "claude-"];

/// Whether what was produced so far can be counted from what was seen.
fn shows_all(plan: &Plan) -> bool {
    let name = plan.request.model.rsplit('/').next().unwrap_or_default();
    SHOW_ALL.iter().any(|start| name.starts_with(start))
}

/// An answer on its way.
struct Answer {
    deps: Deps,
    plan: Plan,
    /// `None` once it is booked.
    ticket: Option<Ticket>,
    chunks: ChatStream,
    fold: ChatFold,
    counted: Option<Usage>,
    attempt: u32,
    cost: Arc<Mutex<Option<LlmCost>>>,
}

impl Answer {
    fn new(
        deps: &Deps,
        plan: Plan,
        ticket: Ticket,
        chunks: ChatStream,
        attempt: u32,
        cost: Arc<Mutex<Option<LlmCost>>>,
    ) -> Self {
        let (ticket, fold) = (Some(ticket), ChatFold::default());
        Self { deps: deps.clone(), plan, ticket, chunks, fold, counted: None, attempt, cost }
    }

    async fn next(mut self) -> Option<(Result<ChatChunk>, Self)> {
        // Booked: it has ended.
        self.ticket.as_ref()?;
        match self.chunks.next().await {
            Some(Ok(chunk)) => {
                self.fold.push(&chunk);
                self.counted = chunk.usage.and_then(Usage::believed).or(self.counted);
                Some((Ok(chunk), self))
            }
            Some(Err(failure)) => {
                if let Some(ticket) = self.ticket.take() {
                    let settlement = failed(&self.plan, &ticket, &failure);
                    ticket.settle(settlement).await;
                }
                Some((Err(failure.error), self))
            }
            None => {
                let usage = self.usage();
                if let Some(ticket) = self.ticket.take() {
                    let cost = finish(&self.plan, ticket, usage, CallStatus::Ok, self.attempt).await;
                    *self.cost.lock() = Some(cost);
                }
                None
            }
        }
    }

    /// What the provider counted, else what was produced so far.
    fn usage(&self) -> Option<Usage> {
        counted(&self.deps, &self.plan, self.counted, || self.fold.produced())
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some(mut ticket) = self.ticket.take() {
            let settlement = match self.counted.is_some() || shows_all(&self.plan) {
                true => priced(&self.plan, &ticket, self.usage(), CallStatus::Dropped),
                // What a model thinks is not in the stream: nobody knows what was produced.
                false => ticket.unconfirmed(CallStatus::Dropped, Some("dropped".to_owned())),
            };
            ticket.abandon(Some(settlement));
        }
    }
}
