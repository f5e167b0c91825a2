//! One call of a chat model: plan, hold the worst cost, call, book each attempt.

use crate::{
    cost::{Claim, Price, Ticket, Tokens, estimate_usage, input_tokens_at_most},
    ctx::Ctx,
    deps::Deps,
    error::{Error, Result},
    limits::{CHAT_ANSWERS_MAX, LLM_SECONDS_MAX, NAME_BYTES_MAX},
    model::{
        Amount, BudgetLevel, CallLabel, CallStatus, ChatRequest, ChatResponse, Funds, LimitKind, Scope, Settlement,
        TokenUsage, Usage, Usd,
    },
    ports::{LlmFailure, LlmProvider, Routed},
};
use futures_timer::Delay;
use serde_json::Value;
use std::{sync::Arc, time::Duration};

/// How a call is labelled and bounded.
#[derive(Debug, Clone)]
pub struct LlmOptions {
    /// What for; sums of costs are grouped by it. `chat`.
    pub operation: String,
    /// For which user. The `user` of the request where it is `None`.
    pub user_id: Option<String>,
    /// The request that causes it, for the log of costs.
    pub request_id: Option<String>,
    /// Longest time of all attempts together, at most 600 s, which is the default.
    pub timeout: Duration,
}

impl Default for LlmOptions {
    fn default() -> Self {
        Self {
            operation: "chat".to_owned(),
            user_id: None,
            request_id: None,
            timeout: Duration::from_secs(LLM_SECONDS_MAX),
        }
    }
}

/// What a call cost.
#[derive(Debug, Clone, PartialEq)]
pub struct LlmCost {
    /// The provider that was asked.
    pub provider: String,
    /// Tokens of the attempt that answered; `None` where neither the provider nor this build could count them.
    pub usage: Option<Usage>,
    /// What that attempt cost. Attempts that failed before it have rows of their own in the ledger.
    pub cost_usd: Usd,
    /// Attempts, the one that answered included.
    pub attempts: u32,
    /// The limits whose warning threshold is reached.
    pub warnings: Vec<(BudgetLevel, LimitKind)>,
}

/// An answer, and what it cost.
#[derive(Debug, Clone, PartialEq)]
pub struct LlmAnswer {
    /// The answer. Its usage is counted here, and marked so, where the provider gave none that can be believed.
    pub response: ChatResponse,
    /// What it cost.
    pub cost: LlmCost,
}

/// What a call would cost, and whether the budgets have room for it now.
#[derive(Debug)]
pub struct LlmEstimate {
    /// The provider that would be asked.
    pub provider: String,
    /// The model, as the provider names it.
    pub model: String,
    /// Tokens of the request, at most.
    pub input_tokens: u64,
    /// Tokens of the answer, at most.
    pub output_tokens: u64,
    /// What would be held before the call.
    pub cost_usd: Usd,
    /// The refusal, where the call would get one now.
    pub refusal: Option<Error>,
}

/// A request that is ready to go.
#[derive(Debug)]
pub(crate) struct Plan {
    pub provider: Arc<dyn LlmProvider>,
    /// With the provider's own name of the model, and a maximum of output tokens.
    pub request: ChatRequest,
    pub price: Price,
    pub label: CallLabel,
    input_tokens: u64,
    output_tokens: u64,
    worst: Amount,
    timeout: Duration,
}

pub(crate) async fn llm(deps: &Deps, scope: &Scope, request: ChatRequest, options: LlmOptions) -> Result<LlmAnswer> {
    answer(deps, scope, &plan(deps, request, options)?).await
}

/// Asks for the answer to a request that is ready to go.
pub(crate) async fn answer(deps: &Deps, scope: &Scope, plan: &Plan) -> Result<LlmAnswer> {
    let ctx = deps.ctx(scope)?.with_timeout(plan.timeout);
    let mut attempt = 1;
    loop {
        let ticket = begin(deps, &ctx, plan, attempt).await?;
        match plan.provider.complete(&ctx, &plan.request).await {
            Ok(mut response) => {
                let usage = counted(deps, plan, response.usage, || response.message.produced());
                response.usage = usage;
                let cost = finish(plan, ticket, usage, CallStatus::Ok, attempt).await;
                return Ok(LlmAnswer { response, cost });
            }
            Err(failure) => attempt = again(deps, &ctx, plan, ticket, failure, attempt).await?,
        }
    }
}

/// Whether the model of background work has a provider and a price.
pub(crate) fn check_model(deps: &Deps) -> Result<()> {
    let Some(model) = &deps.model else { return Ok(()) };
    let routed = deps.desk.providers.route(model).map_err(|error| {
        let message = format!(
            "the model {model}, which background work is to ask, has no provider: set the provider's key in the environment, for \
             example OPENAI_API_KEY for openai, or give the provider when the store is opened"
        );
        Error::new(error.kind(), message).with_code(error.code().to_owned()).with_source(error)
    })?;
    deps.desk.prices.price(routed.provider.id(), &routed.model, deps.clock.now()).map(|_| ())
}

pub(crate) async fn llm_estimate(
    deps: &Deps,
    scope: &Scope,
    request: ChatRequest,
    options: LlmOptions,
) -> Result<LlmEstimate> {
    let plan = plan(deps, request, options)?;
    let refusal = match deps.desk.tracking {
        true => deps.relational.funds(&deps.ctx(scope)?, &deps.desk.defaults).await?.check(plan.worst).err(),
        false => None,
    };
    Ok(LlmEstimate {
        provider: plan.label.provider,
        model: plan.request.model,
        input_tokens: plan.input_tokens,
        output_tokens: plan.output_tokens,
        cost_usd: plan.worst.usd,
        refusal,
    })
}

/// Checks the request, finds its provider and price, and reckons the worst that it may cost.
pub(crate) fn plan(deps: &Deps, mut request: ChatRequest, options: LlmOptions) -> Result<Plan> {
    request.check()?;
    let answers = answers(&request)?;
    let Routed { provider, model } = deps.desk.providers.route(&request.model)?;
    let named = std::mem::replace(&mut request.model, model);
    let most = *request.max_output_tokens.get_or_insert(deps.desk.output_tokens);
    let price = deps.desk.prices.price(provider.id(), &request.model, deps.clock.now())?.clone();
    let input_tokens = input_tokens_at_most(&request, &*deps.tokens)?;
    let output_tokens = most.saturating_mul(answers);
    let usd = Usd::from_micros(price.worst_cost(input_tokens, output_tokens)?);
    check_llm_options(&options)?;
    let user_id = options.user_id.or_else(|| request.user.clone());
    let label = CallLabel {
        provider: provider.id().to_owned(),
        model: named,
        operation: options.operation,
        user_id: user_id.map(|user| short("user", &user).map(|()| user)).transpose()?,
        request_id: options.request_id,
    };
    let worst = Amount { usd, tokens: input_tokens.saturating_add(output_tokens) };
    let timeout = options.timeout.min(Duration::from_secs(LLM_SECONDS_MAX));
    Ok(Plan { provider, request, price, label, input_tokens, output_tokens, worst, timeout })
}

/// How many answers a request asks for. What makes a call cost more than can be reckoned here is refused.
fn answers(request: &ChatRequest) -> Result<u64> {
    let set = |name: &&&str| request.extra.get(**name).is_some_and(|value| !value.is_null());
    if let Some(name) = ["prediction", "web_search_options", "audio", "modalities"].iter().find(set) {
        let message =
            format!("what {name} costs is not known before the call, so no budget could hold it; leave it out");
        return Err(Error::invalid(message).with_code("cost_unbounded"));
    }
    if request.extra.get("service_tier").and_then(Value::as_str).is_some_and(|tier| tier == "priority") {
        let message = "the prices are those of the standard service; leave service_tier out, or take default or flex";
        return Err(Error::invalid(message).with_code("cost_unbounded"));
    }
    match request.extra.get("n") {
        None | Some(Value::Null) => Ok(1),
        Some(n) => n.as_u64().filter(|n| (1..=CHAT_ANSWERS_MAX).contains(n)).ok_or_else(|| {
            Error::invalid(format!("n must be a whole number from 1 to {CHAT_ANSWERS_MAX}")).with_code("invalid_n")
        }),
    }
}

/// InvalidInput for a label that the ledger cannot hold.
pub(crate) fn check_llm_options(options: &LlmOptions) -> Result<()> {
    short("operation", &options.operation)?;
    for (what, text) in [("user", &options.user_id), ("request_id", &options.request_id)] {
        text.as_deref().map_or(Ok(()), |text| short(what, text))?;
    }
    Ok(())
}

fn short(what: &str, text: &str) -> Result<()> {
    if text.len() > NAME_BYTES_MAX || text.chars().any(char::is_control) {
        return Err(Error::invalid(format!("{what} has at most {NAME_BYTES_MAX} bytes and no control characters")));
    }
    Ok(())
}

/// Holds the money and says that the call is about to leave.
async fn begin(deps: &Deps, ctx: &Ctx, plan: &Plan, attempt: u32) -> Result<Ticket> {
    ctx.check()?;
    let within = ctx.remaining().unwrap_or(plan.timeout);
    let claim = Claim { label: plan.label.clone(), worst: plan.worst, within, attempt };
    let mut ticket = Ticket::hold(deps, ctx.scope(), claim).await?;
    ticket.sent().await?;
    Ok(ticket)
}

/// Books an attempt that failed. The number of the next attempt, after a pause, or the error where there is none.
async fn again(deps: &Deps, ctx: &Ctx, plan: &Plan, ticket: Ticket, failure: LlmFailure, attempt: u32) -> Result<u32> {
    let seed = ticket.id().as_u64_pair().1;
    let settlement = failed(plan, &ticket, &failure);
    ticket.settle(settlement).await;
    let pause = deps.desk.retry.pause(&failure, attempt, seed);
    match pause.filter(|pause| ctx.remaining().is_none_or(|left| *pause < left)) {
        Some(pause) => {
            tracing::debug!(error = %failure.error, attempt, "asking the model once more");
            Delay::new(pause).await;
            Ok(attempt + 1)
        }
        None => Err(failure.error),
    }
}

/// The end of an attempt that failed.
fn failed(plan: &Plan, ticket: &Ticket, failure: &LlmFailure) -> Settlement {
    ticket.failed(failure, |usage| priced(plan, ticket, usage.believed(), CallStatus::Failed))
}

/// The end of an attempt whose tokens are known. A count that has no price, or that nobody can believe, costs all that was held.
fn priced(plan: &Plan, ticket: &Ticket, usage: Option<Usage>, status: CallStatus) -> Settlement {
    let cost = usage.and_then(|usage| plan.price.cost(&tokens(usage)).ok().map(|cost| (usage, cost)));
    match cost {
        Some((usage, cost)) => Settlement {
            status,
            usage: token_usage(usage),
            estimated: usage.estimated,
            cost: Usd::from_micros(cost),
            saved: Usd::ZERO,
            error: None,
        },
        None => ticket.unconfirmed(status, Some("usage_not_believed".to_owned())),
    }
}

/// What the provider counted, where that can be believed, else what is counted here.
fn counted(deps: &Deps, plan: &Plan, given: Option<Usage>, produced: impl FnOnce() -> String) -> Option<Usage> {
    given.and_then(Usage::believed).or_else(|| estimate_usage(&plan.request, &produced(), &*deps.tokens).ok())
}

async fn finish(plan: &Plan, ticket: Ticket, usage: Option<Usage>, status: CallStatus, attempts: u32) -> LlmCost {
    let settlement = priced(plan, &ticket, usage, status);
    let cost_usd = settlement.cost;
    let funds = ticket.settle(settlement).await;
    LlmCost {
        provider: plan.label.provider.clone(),
        usage,
        cost_usd,
        attempts,
        warnings: funds.as_ref().map(Funds::warnings).unwrap_or_default(),
    }
}

/// What a call used, as it is priced.
pub(super) fn tokens(usage: Usage) -> Tokens {
    Tokens {
        input: usage.input_tokens,
        cached_input: usage.cached_input_tokens,
        cache_write: usage.cache_write_tokens,
        output: usage.output_tokens,
        batch: false,
    }
}

/// What a call used, as the ledger has it: what was written to the provider's cache is priced apart, and counted as read.
pub(super) fn token_usage(usage: Usage) -> TokenUsage {
    TokenUsage {
        input_tokens: usage.input_tokens,
        cached_input_tokens: usage.cached_input_tokens,
        output_tokens: usage.output_tokens,
        reasoning_tokens: usage.reasoning_tokens,
    }
}

mod stream;
pub use stream::LlmStream;
pub(crate) use stream::{answer_stream, llm_stream};
