//! A meter round a call that the caller makes with a client of its own: the same reserve, call, settle as for calls of the engine.

use super::llm::{token_usage, tokens};
use crate::{
    cost::{Claim, Price, Ticket},
    deps::Deps,
    error::{Error, Result},
    limits::{LLM_SECONDS_MAX, NAME_BYTES_MAX, USAGE_TOKENS_MAX},
    model::{
        Amount, BudgetLevel, CallLabel, CallStatus, Funds, LimitKind, Op, Outcome, Scope, Settlement, TokenUsage,
        Usage, Usd, check_model_name,
    },
};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use uuid::Uuid;

/// A call that is about to be made.
#[derive(Debug, Clone)]
pub struct MeteredCall {
    /// The provider, for example `openai`.
    pub provider: String,
    /// The model, as the provider names it.
    pub model: String,
    /// What for; sums of costs are grouped by it. `chat`.
    pub operation: String,
    /// For which user.
    pub user_id: Option<String>,
    /// The request that causes it.
    pub request_id: Option<String>,
    /// Tokens of the request, at most.
    pub input_tokens: u64,
    /// Tokens of the answer, at most: what the provider is told. 4,096.
    pub output_tokens: Option<u64>,
    /// Longest time until it is settled, at most 600 s, which is the default. After that it is booked at all that was held.
    pub timeout: Duration,
}

impl MeteredCall {
    /// A call of `chat` with the defaults.
    pub fn new(provider: impl Into<String>, model: impl Into<String>, input_tokens: u64) -> Self {
        Self {
            provider: provider.into(),
            model: model.into(),
            operation: "chat".to_owned(),
            user_id: None,
            request_id: None,
            input_tokens,
            output_tokens: None,
            timeout: Duration::from_secs(LLM_SECONDS_MAX),
        }
    }
}

/// How a metered call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MeterEnd {
    /// It was answered, or failed, with these tokens.
    Used {
        /// The tokens, those from and to the provider's cache among them. The ledger counts the latter as read.
        usage: Usage,
        /// `Ok`, `Failed`, `Cancelled` or `Dropped`.
        status: CallStatus,
    },
    /// It was not sent, or the provider charged nothing.
    Free,
    /// Nobody knows what the provider charged: booked at all that was held.
    Unknown,
}

/// How a metered call was booked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeterSettled {
    /// What it cost.
    pub cost_usd: Usd,
    /// Whether that is more than was held for it, in dollars or in tokens. It is booked in full, past a limit too.
    #[serde(default)]
    pub more_than_held: bool,
}

/// Money that is held for a call of the caller's. Dropping it without an end books all that was held.
#[derive(Debug)]
pub struct Metered {
    ticket: Ticket,
    price: Price,
}

impl Metered {
    /// Its id: the id of its row of the ledger.
    pub fn id(&self) -> Uuid {
        self.ticket.id()
    }

    /// The most that the call may cost: what is held for it.
    pub fn held(&self) -> Amount {
        self.ticket.held()
    }

    /// The limits whose warning threshold is reached, this call counted.
    pub fn warnings(&self) -> Vec<(BudgetLevel, LimitKind)> {
        self.ticket.funds().map(Funds::warnings).unwrap_or_default()
    }

    /// Books the end; gives what it cost.
    pub async fn end(self, end: MeterEnd) -> Result<Usd> {
        let settlement = settlement(&self.price, self.held(), end)?;
        let cost = settlement.cost;
        self.ticket.settle(settlement).await;
        Ok(cost)
    }
}

pub(crate) async fn meter(deps: &Deps, scope: &Scope, call: MeteredCall) -> Result<Metered> {
    let (claim, price) = claim(deps, call)?;
    let mut ticket = Ticket::hold(deps, scope, claim).await?;
    ticket.sent().await?;
    Ok(Metered { ticket, price })
}

/// The same for a caller that comes back with the id, over HTTP.
pub(crate) async fn meter_by_id(
    deps: &Deps,
    scope: &Scope,
    call: MeteredCall,
) -> Result<(Uuid, Amount, Option<Funds>)> {
    let Metered { ticket, .. } = meter(deps, scope, call).await?;
    Ok(ticket.leave())
}

/// Ends what [`meter_by_id`] began. NotFound where there is no such reservation: it was ended, or ran out and was booked. Conflict
/// where it is of another provider or model. What nobody knows is booked at what the store holds, whatever tokens `call` names.
pub(crate) async fn end_by_id(
    deps: &Deps,
    scope: &Scope,
    id: Uuid,
    call: MeteredCall,
    end: MeterEnd,
) -> Result<MeterSettled> {
    let (claim, price) = claim(deps, call)?;
    let said = match end {
        MeterEnd::Unknown => None,
        known => Some(settlement(&price, claim.worst, known)?),
    };
    if !deps.desk.tracking {
        let cost_usd = said.map_or(claim.worst.usd, |settlement| settlement.cost);
        return Ok(MeterSettled { cost_usd, more_than_held: false });
    }
    let op = Op::SettleCall {
        id,
        provider: claim.label.provider,
        model: claim.label.model,
        settlement: said.clone().map(Box::new),
        defaults: deps.desk.defaults,
    };
    let applied = deps.relational.apply(&deps.ctx(scope)?, deps.batch(vec![op])).await?;
    let Some(Outcome::Settled { funds, call }) = applied.outcomes.into_iter().next() else {
        let message = format!("there is no reservation {id} in this project; it was ended, or ran out and was booked");
        return Err(Error::not_found(message).with_code("reservation_not_found"));
    };
    let settlement = call.settlement(said.as_ref());
    deps.desk.observer.booked(scope, &call.label(), &settlement, Some(&funds));
    deps.desk.observer.funds(scope, &funds);
    let booked = settlement.amount();
    let more_than_held = booked.usd > call.held.usd || booked.tokens > call.held.tokens;
    if more_than_held {
        tracing::warn!(%id, "a client says that its call took more than was held for it; it is booked in full");
    }
    Ok(MeterSettled { cost_usd: settlement.cost, more_than_held })
}

fn claim(deps: &Deps, call: MeteredCall) -> Result<(Claim, Price)> {
    check_model_name(&call.model)?;
    for (what, text) in [
        ("provider", Some(&call.provider)),
        ("operation", Some(&call.operation)),
        ("user_id", call.user_id.as_ref()),
        ("request_id", call.request_id.as_ref()),
    ] {
        if text.is_some_and(|text| text.is_empty() || text.len() > NAME_BYTES_MAX || text.chars().any(char::is_control))
        {
            return Err(Error::invalid(format!("{what} has 1 to {NAME_BYTES_MAX} bytes and no control characters")));
        }
    }
    let output = call.output_tokens.unwrap_or(deps.desk.output_tokens);
    if call.input_tokens.max(output) > USAGE_TOKENS_MAX {
        return Err(Error::invalid(format!("a call has at most {USAGE_TOKENS_MAX} tokens")).with_code("invalid_tokens"));
    }
    let price = deps.desk.prices.price(&call.provider, &call.model, deps.clock.now())?.clone();
    let usd = Usd::from_micros(price.worst_cost(call.input_tokens, output)?);
    let label = CallLabel {
        provider: call.provider,
        model: call.model,
        operation: call.operation,
        user_id: call.user_id,
        request_id: call.request_id,
    };
    let within = call.timeout.min(Duration::from_secs(LLM_SECONDS_MAX));
    let worst = Amount { usd, tokens: call.input_tokens.saturating_add(output) };
    Ok((Claim { label, worst, within, attempt: 1 }, price))
}

fn settlement(price: &Price, held: Amount, end: MeterEnd) -> Result<Settlement> {
    let plain =
        |status, usage, cost| Settlement { status, usage, estimated: false, cost, saved: Usd::ZERO, error: None };
    Ok(match end {
        MeterEnd::Used { usage, status } => {
            let of_input = usage.cached_input_tokens.max(usage.cache_write_tokens);
            let most = usage.input_tokens.max(of_input).max(usage.output_tokens).max(usage.reasoning_tokens);
            if most > USAGE_TOKENS_MAX {
                let message = format!("a call has at most {USAGE_TOKENS_MAX} tokens of each kind");
                return Err(Error::invalid(message).with_code("invalid_tokens"));
            }
            let cost = Usd::from_micros(price.cost(&tokens(usage))?);
            Settlement { estimated: usage.estimated, ..plain(status, token_usage(usage), cost) }
        }
        MeterEnd::Free => plain(CallStatus::Failed, TokenUsage::default(), Usd::ZERO),
        MeterEnd::Unknown => Settlement {
            estimated: true,
            error: Some("unconfirmed".to_owned()),
            ..plain(
                CallStatus::Unconfirmed,
                TokenUsage { input_tokens: held.tokens, ..TokenUsage::default() },
                held.usd,
            )
        },
    })
}
