//! What was spent: reservations of calls under way, and one row for each attempt that ended.

use super::{Amount, BudgetLevel, Limits, Timestamp, Usd};
use crate::{
    error::{Error, Result},
    limits::COST_ROWS_MAX,
};
use serde::{Deserialize, Serialize};
use std::{str::FromStr, time::Duration};
use uuid::Uuid;

/// Which call, in words that sums are grouped by. Each at most `limits::NAME_BYTES_MAX` bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallLabel {
    /// The provider, for example `openai`.
    pub provider: String,
    /// The model as the caller named it.
    pub model: String,
    /// What for: `chat`, `embed`, `reflect`, or the caller's own word.
    pub operation: String,
    /// For which user.
    pub user_id: Option<String>,
    /// The request that caused it.
    pub request_id: Option<String>,
}

/// The worst that a call may cost, to be held before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewReservation {
    /// Opaque id; the id of the ledger row, too.
    pub id: Uuid,
    /// What is held.
    pub amount: Amount,
    /// After so long without an end it is settled or released by whoever comes by: longer than the call can take.
    pub hold: Duration,
    /// The limits that count where the tenant's budget sets none. A project's has no defaults.
    pub defaults: Limits,
    /// Which call.
    pub label: CallLabel,
    /// 1 for the first attempt of a call.
    pub attempt: u32,
}

impl NewReservation {
    /// InvalidInput for an amount that no call can cost.
    pub fn check(&self) -> Result<()> {
        self.amount.check()
    }
}

/// Tokens of a call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenUsage {
    /// Read, those from a cache of the provider included.
    pub input_tokens: u64,
    /// Of those, read from the provider's cache.
    pub cached_input_tokens: u64,
    /// Written, reasoning included.
    pub output_tokens: u64,
    /// Of those, reasoning that is not shown.
    pub reasoning_tokens: u64,
}

impl TokenUsage {
    /// What limits count.
    pub const fn total(&self) -> u64 {
        self.input_tokens.saturating_add(self.output_tokens)
    }
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallStatus {
    /// Answered.
    Ok,
    /// Failed.
    Failed,
    /// The caller gave up before an answer.
    Cancelled,
    /// The caller left in the middle of a streamed answer.
    Dropped,
    /// It was sent and nobody said how it ended: booked at what was held for it.
    Unconfirmed,
    /// Answered from the cache of responses: cost nothing, and `saved_usd` says what the call it stands for cost.
    Cached,
}

impl CallStatus {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Ok, Self::Failed, Self::Cancelled, Self::Dropped, Self::Unconfirmed, Self::Cached];

    /// The name in stores and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Dropped => "dropped",
            Self::Unconfirmed => "unconfirmed",
            Self::Cached => "cached",
        }
    }
}

impl FromStr for CallStatus {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|status| status.as_str() == text);
        found.ok_or_else(|| Error::corrupt("the ledger holds a status that this build does not know"))
    }
}

/// The end of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    /// How it ended.
    pub status: CallStatus,
    /// Tokens.
    pub usage: TokenUsage,
    /// Whether the tokens were counted here, as the provider gave none.
    pub estimated: bool,
    /// What it cost; booked in full, also where it is more than was held.
    pub cost: Usd,
    /// What it would have cost without the cache of responses.
    pub saved: Usd,
    /// Code of the failure, without content.
    pub error: Option<String>,
}

impl Settlement {
    /// How a reservation is booked that ran out after it was sent: at what it held. Nobody said which tokens were read and
    /// which written, so all of them count as read, and as estimated.
    pub fn unconfirmed(held: Amount) -> Self {
        Self {
            status: CallStatus::Unconfirmed,
            usage: TokenUsage { input_tokens: held.tokens, ..TokenUsage::default() },
            estimated: true,
            cost: held.usd,
            saved: Usd::ZERO,
            error: Some(CallStatus::Unconfirmed.as_str().to_owned()),
        }
    }

    /// InvalidInput for an amount that no call can cost.
    pub fn check(&self) -> Result<()> {
        let TokenUsage { input_tokens, cached_input_tokens, output_tokens, reasoning_tokens } = self.usage;
        for tokens in [input_tokens, cached_input_tokens, output_tokens, reasoning_tokens] {
            Amount { usd: self.cost, tokens }.check()?;
        }
        Amount { usd: self.saved, tokens: 0 }.check()
    }

    /// What is booked: the cost, and the tokens read and written.
    pub const fn amount(&self) -> Amount {
        Amount { usd: self.cost, tokens: self.usage.total() }
    }
}

/// A reservation that a store ended by what it holds itself: which call it was for, without the names of users and requests, and
/// what was held. Whoever tells the metrics what was booked needs it; the row of the ledger has the rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndedCall {
    /// The project that reserved.
    pub project: String,
    /// The provider.
    pub provider: String,
    /// The model as the caller named it.
    pub model: String,
    /// What for.
    pub operation: String,
    /// What was held.
    pub held: Amount,
}

impl EndedCall {
    /// Of a reservation.
    pub fn new(project: impl Into<String>, label: &CallLabel, held: Amount) -> Self {
        let CallLabel { provider, model, operation, .. } = label.clone();
        Self { project: project.into(), provider, model, operation, held }
    }

    /// Conflict with code `other_call` unless the reservation is of this provider and model: its price must not be another one's.
    pub fn check_is(&self, id: Uuid, provider: &str, model: &str) -> Result<()> {
        if self.provider == provider && self.model == model {
            return Ok(());
        }
        let message = format!(
            "the reservation {id} is of the model {} of {}; end it with the provider and model that it was made with",
            self.model, self.provider
        );
        Err(Error::conflict(message).with_code("other_call"))
    }

    /// What is booked: what was said, or all that was held where nobody knows.
    pub fn settlement(&self, said: Option<&Settlement>) -> Settlement {
        said.cloned().unwrap_or_else(|| Settlement::unconfirmed(self.held))
    }

    /// The words that metrics are grouped by.
    pub fn label(&self) -> CallLabel {
        let (provider, model, operation) = (self.provider.clone(), self.model.clone(), self.operation.clone());
        CallLabel { provider, model, operation, ..CallLabel::default() }
    }
}

/// An attempt without a reservation: what the cache of responses answered. Its tokens count as others do: there are none where
/// no provider was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Booking {
    /// Opaque id.
    pub id: Uuid,
    /// Which call.
    pub label: CallLabel,
    /// How it ended.
    pub settlement: Settlement,
}

/// One attempt that ended. Rows are never changed; an erased user's name is taken out of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LedgerRow {
    /// Number in the order of booking, over the whole store.
    #[serde(skip)]
    pub no: u64,
    /// Opaque id.
    pub id: Uuid,
    /// When it was reserved: the day and month that it is booked to.
    pub at: Timestamp,
    /// When it ended.
    pub settled_at: Timestamp,
    /// The project.
    pub project: String,
    /// Which call.
    #[serde(flatten)]
    pub label: CallLabel,
    /// 1 for the first attempt of a call.
    pub attempt: u32,
    /// How it ended.
    pub status: CallStatus,
    /// Tokens.
    #[serde(flatten)]
    pub usage: TokenUsage,
    /// Whether the tokens were counted here.
    pub estimated: bool,
    /// What it cost.
    pub cost_usd: Usd,
    /// What the cache of responses saved.
    pub saved_usd: Usd,
    /// Code of the failure.
    pub error: Option<String>,
}

/// What sums of the ledger are grouped by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CostGroup {
    /// The UTC day, `2026-11-28`.
    Day,
    /// The model.
    Model,
    /// The provider.
    Provider,
    /// The project.
    Project,
    /// What for.
    Operation,
    /// The user; empty where none was named.
    User,
}

impl CostGroup {
    /// All of them, in the order of the columns of an answer.
    pub const ALL: [Self; 6] = [Self::Day, Self::Model, Self::Provider, Self::Project, Self::Operation, Self::User];

    /// The name in requests and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Model => "model",
            Self::Provider => "provider",
            Self::Project => "project",
            Self::Operation => "operation",
            Self::User => "user",
        }
    }
}

impl FromStr for CostGroup {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|group| group.as_str() == text);
        found.ok_or_else(|| {
            Error::invalid("group_by takes day, model, provider, project, operation and user")
                .with_code("invalid_group")
        })
    }
}

/// Which sums of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CostQuery {
    /// The tenant's, or those of the project of the call.
    pub level: BudgetLevel,
    /// Groups, each at most once, in [`CostGroup::ALL`] order; empty gives one sum.
    pub group_by: Vec<CostGroup>,
    /// From this instant on.
    pub since: Option<Timestamp>,
    /// Before this instant.
    pub until: Option<Timestamp>,
    /// At most so many rows.
    pub limit: usize,
}

impl CostQuery {
    /// The rows that the answer may have; InvalidInput without any. More than `limits::COST_ROWS_MAX` is that many.
    pub fn rows(&self) -> Result<usize> {
        if self.limit == 0 {
            return Err(Error::invalid(format!("limit must be 1 to {COST_ROWS_MAX}")));
        }
        Ok(self.limit.min(COST_ROWS_MAX))
    }
}

/// One sum of the ledger.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CostRow {
    /// Values of the groups asked for, in their order.
    pub keys: Vec<String>,
    /// Attempts.
    pub calls: u64,
    /// Attempts that did not end well: neither `ok` nor `cached`.
    pub failed: u64,
    /// Tokens.
    pub usage: TokenUsage,
    /// What they cost.
    pub cost_usd: Usd,
    /// Of that, booked at what was held, as nobody said how the call ended.
    pub unconfirmed_usd: Usd,
    /// What the cache of responses saved.
    pub saved_usd: Usd,
}

/// A page of the ledger, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerScan {
    /// The tenant's rows, or those of the project of the call.
    pub level: BudgetLevel,
    /// From this instant on.
    pub since: Option<Timestamp>,
    /// Before this instant.
    pub until: Option<Timestamp>,
    /// Only rows booked before this number: the `no` of the last row of the page before.
    pub before: Option<u64>,
    /// At most so many, 1 to `limits::PAGE_MAX`.
    pub limit: usize,
}
