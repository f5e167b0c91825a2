//! Shapes of budgets and costs.

use utoipa::{IntoParams, ToSchema};

/// Whose money.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BudgetScope {
    Tenant,
    Project,
}

/// Parameters of routes about one budget.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct BudgetParameters {
    /// Default: the project's where X-Project-ID is given or the key is bound to one, else the tenant's.
    #[param(inline)]
    pub scope: Option<BudgetScope>,
}

/// Parameters of sums.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct CostParameters {
    /// Default: the project's where X-Project-ID is given or the key is bound to one, else the tenant's.
    #[param(inline)]
    pub scope: Option<BudgetScope>,
    /// Any of day, model, provider, project, operation and user, separated by commas; without it there is one sum.
    pub group_by: Option<String>,
    /// From this time on: RFC 3339, or a date.
    pub since: Option<String>,
    /// Before this time.
    pub until: Option<String>,
}

/// Parameters of the ledger.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct CostLogParameters {
    /// Default: the project's where X-Project-ID is given or the key is bound to one, else the tenant's.
    #[param(inline)]
    pub scope: Option<BudgetScope>,
    /// From this time on: RFC 3339, or a date.
    pub since: Option<String>,
    /// Before this time.
    pub until: Option<String>,
    /// Size of the page; default 50.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<i64>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// Default: by Accept, else json.
    #[param(inline)]
    pub format: Option<LogFormat>,
}

/// What a page of the ledger is written in.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    Json,
    Csv,
}

/// A change of limits: a field that is left out stays, null lifts the limit.
#[derive(ToSchema)]
pub struct BudgetChange {
    /// US dollars in a UTC day, at most six decimals.
    #[schema(minimum = 0, maximum = 1000000000)]
    pub daily_limit: Option<f64>,
    /// US dollars in a UTC month.
    #[schema(minimum = 0, maximum = 1000000000)]
    pub monthly_limit: Option<f64>,
    /// Tokens in a UTC day, read and written together.
    #[schema(minimum = 0)]
    pub daily_token_limit: Option<i64>,
    /// Tokens in a UTC month.
    #[schema(minimum = 0)]
    pub monthly_token_limit: Option<i64>,
    /// Share of a limit from which on callers are warned; null takes the server's default again.
    #[schema(minimum = 0, maximum = 1)]
    pub warning_threshold: Option<f64>,
}

/// The limits that count; null is none.
#[derive(ToSchema)]
pub struct Limits {
    pub daily_limit: Option<f64>,
    pub monthly_limit: Option<f64>,
    pub daily_token_limit: Option<i64>,
    pub monthly_token_limit: Option<i64>,
    pub warning_threshold: f64,
}

/// Limits and spending now.
#[derive(ToSchema)]
pub struct BudgetStatus {
    pub scope: BudgetScope,
    pub daily: UsdWindow,
    pub monthly: UsdWindow,
    pub tokens: TokenWindows,
    pub warning_threshold: f64,
    /// Whether spending, reservations counted, has reached the threshold of any limit.
    pub warning: bool,
    /// False where ENABLE_COST_TRACKING is: no limit holds.
    pub tracking: bool,
}

/// Money of a window; null where there is no limit.
#[derive(ToSchema)]
pub struct UsdWindow {
    pub limit_usd: Option<f64>,
    pub used_usd: f64,
    /// Held for calls under way.
    pub reserved_usd: f64,
    pub remaining_usd: Option<f64>,
    #[schema(format = DateTime)]
    pub resets_at: String,
}

/// Tokens of a window; null where there is no limit.
#[derive(ToSchema)]
pub struct TokenWindow {
    pub limit: Option<i64>,
    pub used: i64,
    /// Held for calls under way.
    pub reserved: i64,
    pub remaining: Option<i64>,
    #[schema(format = DateTime)]
    pub resets_at: String,
}

/// Tokens of this UTC day and month.
#[derive(ToSchema)]
pub struct TokenWindows {
    pub daily: TokenWindow,
    pub monthly: TokenWindow,
}

/// Sums of the ledger.
#[derive(ToSchema)]
pub struct Costs {
    /// The groups, in the order of the sums.
    pub group_by: Vec<String>,
    pub items: Vec<CostSum>,
    /// Whether there are more than 10,000 sums: ask for a shorter time or fewer groups.
    pub truncated: bool,
}

/// A sum; those of `day`, `model`, `provider`, `project`, `operation` and `user` that were asked for stand before it.
#[derive(ToSchema)]
pub struct CostSum {
    /// The UTC day.
    pub day: Option<String>,
    pub model: Option<String>,
    pub provider: Option<String>,
    pub project: Option<String>,
    pub operation: Option<String>,
    /// Empty where none was named.
    pub user: Option<String>,
    /// Attempts.
    pub calls: u64,
    /// Attempts that ended neither `ok` nor `cached`.
    pub failed: u64,
    pub input_tokens: u64,
    /// Of the input.
    pub cached_input_tokens: u64,
    pub output_tokens: u64,
    /// Of the output.
    pub reasoning_tokens: u64,
    pub cost_usd: f64,
    /// Of the cost, booked at what was held, as nobody said how the call ended.
    pub unconfirmed_usd: f64,
    /// What the cache of responses saved.
    pub saved_usd: f64,
}

/// A page of the ledger.
#[derive(ToSchema)]
pub struct CostLog {
    pub items: Vec<CostEntry>,
    /// For the next page; null on the last.
    pub next_cursor: Option<String>,
}

/// An attempt of a call.
#[derive(ToSchema)]
pub struct CostEntry {
    #[schema(format = Uuid)]
    pub id: String,
    /// When it was reserved: the day and month it counts in.
    #[schema(format = DateTime)]
    pub at: String,
    #[schema(format = DateTime)]
    pub settled_at: String,
    pub project: String,
    pub provider: String,
    pub model: String,
    pub operation: String,
    pub user_id: Option<String>,
    pub request_id: Option<String>,
    /// 1 for the first attempt of a call.
    pub attempt: u32,
    /// ok, failed, cancelled, dropped, unconfirmed or cached.
    pub status: String,
    pub input_tokens: u64,
    pub cached_input_tokens: u64,
    pub output_tokens: u64,
    pub reasoning_tokens: u64,
    /// Whether the tokens were counted by the server, as the provider gave none.
    pub estimated: bool,
    pub cost_usd: f64,
    pub saved_usd: f64,
    /// Code of a failure.
    pub error: Option<String>,
}

/// A call that the client is about to make.
#[derive(ToSchema)]
pub struct MeteredCall {
    /// For example openai.
    pub provider: String,
    /// As the provider names it.
    pub model: String,
    /// What for; sums can be grouped by it. Default: chat.
    pub operation: Option<String>,
    pub user_id: Option<String>,
    /// Default: X-Request-ID of this request, where it has one.
    pub request_id: Option<String>,
    /// Tokens of the prompt, at most.
    #[schema(minimum = 0, maximum = 100000000)]
    pub input_tokens: u64,
    /// Tokens of the answer, at most: what the provider is told. Default: RAE_LLM_OUTPUT_TOKENS.
    #[schema(minimum = 0, maximum = 100000000)]
    pub output_tokens: Option<u64>,
    /// Seconds until it must be settled. Default: 600.
    #[schema(exclusive_minimum = 0, maximum = 600)]
    pub timeout: Option<f64>,
}

/// What is held for a call.
#[derive(ToSchema)]
pub struct Reservation {
    /// For settling; the id of the row in the ledger, too.
    #[schema(format = Uuid)]
    pub id: String,
    /// The worst that the call may cost.
    pub held_usd: f64,
    pub held_tokens: u64,
    /// Whether a limit has reached its warning threshold; X-Budget-Warning says which.
    pub warning: bool,
}

/// The fields of the reservation, and how the call ended.
#[derive(ToSchema)]
pub struct MeteredEnd {
    pub provider: String,
    pub model: String,
    pub operation: Option<String>,
    pub user_id: Option<String>,
    pub request_id: Option<String>,
    #[schema(minimum = 0, maximum = 100000000)]
    pub input_tokens: u64,
    #[schema(minimum = 0, maximum = 100000000)]
    pub output_tokens: Option<u64>,
    #[schema(exclusive_minimum = 0, maximum = 600)]
    pub timeout: Option<f64>,
    /// What the provider counted.
    pub usage: Option<MeteredUsage>,
    /// With usage: ok (the default), failed, cancelled or dropped. Without: free, where nothing was charged, or unknown, which books
    /// all that was held.
    pub outcome: Option<String>,
}

/// Tokens of a call.
#[derive(ToSchema)]
pub struct MeteredUsage {
    /// Read, those from and to a cache included.
    #[schema(minimum = 0, maximum = 100000000)]
    pub input_tokens: u64,
    /// Of those, read from the provider's cache.
    #[schema(minimum = 0, maximum = 100000000)]
    pub cached_input_tokens: Option<u64>,
    /// Of those, written to the provider's cache, at its own price.
    #[schema(minimum = 0, maximum = 100000000)]
    pub cache_write_tokens: Option<u64>,
    /// Written, reasoning included.
    #[schema(minimum = 0, maximum = 100000000)]
    pub output_tokens: u64,
    #[schema(minimum = 0, maximum = 100000000)]
    pub reasoning_tokens: Option<u64>,
    /// Whether they were counted by the caller, as the provider gave none. Default: false.
    pub estimated: Option<bool>,
}

/// A settled call.
#[derive(ToSchema)]
pub struct Settled {
    pub cost_usd: f64,
    /// Whether that is more than was held, in dollars or in tokens. It is booked in full.
    pub more_than_held: bool,
}
