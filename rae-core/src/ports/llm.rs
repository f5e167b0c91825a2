//! Chat models.

use crate::{
    ctx::Ctx,
    error::Error,
    model::{ChatChunk, ChatRequest, ChatResponse, Usage},
};
use async_trait::async_trait;
use futures::Stream;
use std::{fmt, fmt::Debug, pin::Pin, sync::Arc, time::Duration};

/// The pieces of an answer as they come. After an error nothing more comes. Dropping it gives the request up.
pub type ChatStream = Pin<Box<dyn Stream<Item = Result<ChatChunk, LlmFailure>> + Send>>;

/// A provider of chat models. Each call is one attempt: whoever counts the money decides on repetitions, since each may be
/// charged. The deadline of `ctx` is kept. The model of the request is the provider's own name of it, without a prefix.
#[async_trait]
pub trait LlmProvider: Debug + Send + Sync + 'static {
    /// Name of the provider, for example `openai`.
    fn id(&self) -> &str;

    /// The whole answer.
    async fn complete(&self, ctx: &Ctx, request: &ChatRequest) -> Result<ChatResponse, LlmFailure>;

    /// The answer in pieces. An `Ok` says that the provider has begun to answer. A stream that ends without an error came to its
    /// end; its usage, where the provider gives one, is in one of the last pieces.
    async fn stream(&self, ctx: &Ctx, request: &ChatRequest) -> Result<ChatStream, LlmFailure>;
}

/// Who has a model.
pub trait LlmRouter: Debug + Send + Sync + 'static {
    /// The provider of a model as callers name it, and the provider's own name of it. InvalidInput with code
    /// `unknown_model_provider` where nobody has it.
    fn route(&self, model: &str) -> Result<Routed, Error>;
}

/// A provider, and its own name of the model.
#[derive(Debug, Clone)]
pub struct Routed {
    /// The provider.
    pub provider: Arc<dyn LlmProvider>,
    /// The model, without a prefix.
    pub model: String,
}

/// No provider at all: what a store has that was opened without any.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoProviders;

impl LlmRouter for NoProviders {
    fn route(&self, _: &str) -> Result<Routed, Error> {
        Err(Error::invalid("no provider of models is configured; give one when the store is opened")
            .with_code("unknown_model_provider"))
    }
}

/// A call that failed, and what the provider charges for it.
pub struct LlmFailure {
    /// What went wrong. Kinds and codes:
    ///
    /// | kind | code | what |
    /// |---|---|---|
    /// | RateLimited | `provider_rate_limited` | too many requests or tokens; `retry_after` where the provider says |
    /// | PermissionDenied | `provider_authentication` | the key is wrong, missing, out of money, or may not use the model |
    /// | InvalidInput | `context_length` | more tokens than the model takes |
    /// | InvalidInput | `content_refused` | the provider's rules on content |
    /// | InvalidInput | `provider_rejected` | anything else that the provider calls wrong, an unknown model too |
    /// | Unavailable, temporary | `provider_unavailable` | out of reach, overloaded, broken off, not understood |
    /// | Timeout | `provider_timeout` | no answer in time |
    pub error: Error,
    /// What it costs.
    pub charge: Charge,
}

/// What a provider charges for a call that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Charge {
    /// Nothing: it was never sent, or was refused before any model ran.
    Nothing,
    /// Nobody here knows: it was sent, and the answer was lost.
    Unknown,
    /// This much: the provider counted, though the call failed.
    Usage(Usage),
}

impl LlmFailure {
    /// A failure that costs nothing.
    pub fn free(error: Error) -> Self {
        Self { error, charge: Charge::Nothing }
    }

    /// A failure of unknown cost.
    pub fn unknown(error: Error) -> Self {
        Self { error, charge: Charge::Unknown }
    }

    /// Whether the same call may succeed when it is made again.
    pub fn is_temporary(&self) -> bool {
        self.error.is_temporary()
    }
}

impl Debug for LlmFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LlmFailure").field("error", &self.error).field("charge", &self.charge).finish()
    }
}

impl fmt::Display for LlmFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.error, f)
    }
}

impl std::error::Error for LlmFailure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

/// How often, and how soon, a failed call is made again. Only the rule: whoever books the attempts follows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts of one call, the first included.
    pub attempts: u32,
    /// Pause before the second attempt; doubled before each later one.
    pub base: Duration,
    /// Longest pause. Where a provider asks for a longer one, the caller is told instead.
    pub cap: Duration,
    /// Whether a call is repeated that may have been charged for. Each attempt is booked, so this costs money, not honesty.
    pub after_unknown: bool,
}

impl Default for RetryPolicy {
    /// Three attempts, half a second apart and more, at most 20 s; after unknown charges too.
    fn default() -> Self {
        Self { attempts: 3, base: Duration::from_millis(500), cap: Duration::from_secs(20), after_unknown: true }
    }
}

impl RetryPolicy {
    /// How long to wait after the `attempt`-th attempt (from 1) failed, or `None` where it is not to be made again. The pause is
    /// between half and the whole of the backoff, by `seed`: many that failed together must not come back together. It is never
    /// shorter than what the provider asks for.
    pub fn pause(&self, failure: &LlmFailure, attempt: u32, seed: u64) -> Option<Duration> {
        let unsure = !matches!(failure.charge, Charge::Nothing);
        if attempt >= self.attempts || !failure.is_temporary() || (unsure && !self.after_unknown) {
            return None;
        }
        let asked = failure.error.retry_after().unwrap_or_default();
        if asked > self.cap {
            return None;
        }
        let doubled = 1u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
        let backoff = self.base.saturating_mul(doubled).min(self.cap);
        let jitter = 0.5 + fastrand::Rng::with_seed(seed).f64() / 2.0;
        Some(backoff.mul_f64(jitter).max(asked))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn full() -> LlmFailure {
        LlmFailure::free(Error::new(ErrorKind::RateLimited, "full"))
    }

    #[test]
    fn pauses_double_up_to_the_cap_and_end_with_the_attempts() {
        let policy = RetryPolicy { attempts: 9, ..RetryPolicy::default() };
        for (attempt, whole) in [(1, 500), (2, 1_000), (3, 2_000), (7, 20_000), (8, 20_000)] {
            for seed in 0..50 {
                let millis = policy.pause(&full(), attempt, seed).unwrap().as_millis();
                assert!((whole / 2..=whole).contains(&millis), "{attempt}: {millis}");
                assert_eq!(policy.pause(&full(), attempt, seed), policy.pause(&full(), attempt, seed));
            }
        }
        assert_eq!(policy.pause(&full(), 9, 0), None);
    }

    #[test]
    fn what_a_provider_asks_for_is_kept_or_given_to_the_caller() {
        let policy = RetryPolicy::default();
        let asks = |seconds| {
            let error = Error::new(ErrorKind::RateLimited, "full").with_retry_after(Duration::from_secs(seconds));
            policy.pause(&LlmFailure::free(error), 1, 7)
        };
        assert_eq!(asks(20), Some(Duration::from_secs(20)));
        assert_eq!(asks(21), None);
    }

    #[test]
    fn only_what_may_pass_is_repeated_and_unknown_charges_by_choice() {
        let policy = RetryPolicy::default();
        assert_eq!(policy.pause(&LlmFailure::free(Error::invalid("x")), 1, 0), None);
        let lost = LlmFailure::unknown(Error::unavailable("lost").temporary());
        assert!(policy.pause(&lost, 1, 0).is_some());
        assert_eq!(RetryPolicy { after_unknown: false, ..policy }.pause(&lost, 1, 0), None);
    }
}
