//! Vectors of an embedder that costs money: each request is held, made and booked as a call of a chat model is.

use super::{Claim, Price, Ticket};
use crate::{
    ctx::Ctx,
    deps::Deps,
    error::{Error, ErrorKind, Result},
    limits::LLM_SECONDS_MAX,
    model::{Amount, CallLabel, CallStatus, Settlement, TokenUsage, Usage, Usd},
    ports::{EmbedRole, Embedder, PaidEmbedder},
};
use futures_timer::Delay;
use std::time::Duration;

/// What such calls are booked as.
const OPERATION: &str = "embed";

/// Vectors of the first texts, and why there are none of the others.
#[derive(Debug)]
pub(crate) struct Embedded {
    /// One for each text, from the first on.
    pub vectors: Vec<Option<Vec<f32>>>,
    /// `None` where these are all.
    pub failed: Option<Error>,
}

/// Refuses an embedder that has no price: nothing could be held for it. InvalidInput with code `unknown_model_price`.
pub(crate) fn check_embedder(deps: &Deps, embedder: &dyn Embedder) -> Result<()> {
    match embedder.paid() {
        Some(paid) => price(deps, paid)?.embedding_cost(0).map(|_| ()),
        None => Ok(()),
    }
}

/// Embeds texts, a request at a time, up to the first that fails. What was paid for is given also where a later one fails. The
/// failure is BudgetExceeded, or else one of the embedder: the texts are not to blame, whatever the provider says of them.
pub(crate) async fn embed(
    deps: &Deps,
    ctx: &Ctx,
    paid: &dyn PaidEmbedder,
    texts: &[&str],
    role: EmbedRole,
) -> Embedded {
    let mut vectors = Vec::with_capacity(texts.len());
    while let Some(rest) = texts.get(vectors.len()..).filter(|rest| !rest.is_empty()) {
        let (now, _) = rest.split_at(paid.in_one_request(rest).clamp(1, rest.len()));
        match request(deps, ctx, paid, now, role).await {
            Ok(more) => vectors.extend(more),
            Err(error) => return Embedded { vectors, failed: Some(of_the_embedder(error)) },
        }
    }
    Embedded { vectors, failed: None }
}

/// One request, made again where that may help. Each attempt is held and booked.
async fn request(
    deps: &Deps,
    ctx: &Ctx,
    paid: &dyn PaidEmbedder,
    texts: &[&str],
    role: EmbedRole,
) -> Result<Vec<Option<Vec<f32>>>> {
    if texts.iter().all(|text| text.trim().is_empty()) {
        return Ok(vec![None; texts.len()]);
    }
    let price = price(deps, paid)?;
    let tokens = paid.tokens_at_most(texts);
    let worst = Amount { usd: Usd::from_micros(price.embedding_cost(tokens)?), tokens };
    let label = CallLabel {
        provider: paid.provider().to_owned(),
        model: paid.model().to_owned(),
        operation: OPERATION.to_owned(),
        ..CallLabel::default()
    };
    let mut attempt = 1;
    loop {
        ctx.check()?;
        let within = ctx.remaining().unwrap_or(Duration::from_secs(LLM_SECONDS_MAX));
        let claim = Claim { label: label.clone(), worst, within, attempt };
        let mut ticket = Ticket::hold(deps, ctx.scope(), claim).await?;
        ticket.sent().await?;
        let failure = match paid.embed_with_usage(ctx, texts, role).await {
            Ok((vectors, usage)) => {
                let settlement = priced(&price, &ticket, usage, CallStatus::Ok);
                ticket.settle(settlement).await;
                if vectors.len() != texts.len() {
                    return Err(Error::invalid("the provider did not give one vector for each text"));
                }
                return Ok(vectors);
            }
            Err(failure) => failure,
        };
        let seed = ticket.id().as_u64_pair().1;
        let settlement = ticket.failed(&failure, |usage| priced(&price, &ticket, usage, CallStatus::Failed));
        ticket.settle(settlement).await;
        let pause = deps.desk.retry.pause(&failure, attempt, seed);
        let Some(pause) = pause.filter(|pause| ctx.remaining().is_none_or(|left| *pause < left)) else {
            return Err(failure.error);
        };
        tracing::debug!(error = %failure.error, attempt, "asking the embedder once more");
        Delay::new(pause).await;
        attempt += 1;
    }
}

fn price(deps: &Deps, paid: &dyn PaidEmbedder) -> Result<Price> {
    deps.desk.prices.price(paid.provider(), paid.model(), deps.clock.now()).cloned()
}

/// The end of an attempt whose tokens are known. A count that nobody can believe costs all that was held.
fn priced(price: &Price, ticket: &Ticket, usage: Usage, status: CallStatus) -> Settlement {
    let cost = usage.believed().and_then(|usage| Some((usage, price.embedding_cost(usage.input_tokens).ok()?)));
    match cost {
        Some((usage, cost)) => Settlement {
            status,
            usage: TokenUsage {
                input_tokens: usage.input_tokens,
                cached_input_tokens: usage.cached_input_tokens,
                ..TokenUsage::default()
            },
            estimated: usage.estimated,
            cost: Usd::from_micros(cost),
            saved: Usd::ZERO,
            error: None,
        },
        None => ticket.unconfirmed(status, Some("usage_not_believed".to_owned())),
    }
}

/// A memory is not refused because a provider refuses its text, or has no price any more: its vector is owed.
fn of_the_embedder(error: Error) -> Error {
    match error.kind() {
        ErrorKind::InvalidInput | ErrorKind::PermissionDenied => {
            Error::unavailable(format!("the embedder failed: {}", error.message()))
                .with_code(error.code().to_owned())
                .with_source(error)
        }
        _ => error,
    }
}
