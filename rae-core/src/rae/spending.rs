//! The verbs of money and of chat models.

use super::{Rae, named};
use crate::{
    Result,
    cost::{PriceBook, settle_strays},
    deps::ResponseCacheStats,
    model::{Amount, BudgetChange, BudgetLevel, ChatRequest, Funds, LevelFunds, Limits},
    ops::{
        self, BudgetStatus, ChatAnswer, ChatAnswerStream, ChatOptions, CostLog, CostLogOptions, Costs, CostsOptions,
        LlmAnswer, LlmEstimate, LlmOptions, LlmStream, MeterEnd, MeterSettled, Metered, MeteredCall,
    },
};
use uuid::Uuid;

impl Rae {
    /// Changes the limits of the handle's tenant or project; fields that the change does not name stay. Gives the limits that
    /// count now. InvalidInput for a negative limit.
    pub async fn set_budget(&self, level: BudgetLevel, change: BudgetChange) -> Result<Limits> {
        named("set_budget", ops::set_budget(&self.deps, &self.scope, level, change).await)
    }

    /// The limits that count for the handle's tenant or project: what was set, and the defaults of the tenant for the rest.
    pub async fn limits(&self, level: BudgetLevel) -> Result<Limits> {
        named("limits", ops::limits(&self.deps, &self.scope, level).await)
    }

    /// Limits and spending of the handle's tenant or project in this UTC day and month.
    pub async fn budget(&self, level: BudgetLevel) -> Result<BudgetStatus> {
        named("budget", ops::budget(&self.deps, &self.scope, level).await)
    }

    /// The same numbers of tenant and project together, as calls are held to them.
    pub async fn funds(&self) -> Result<Funds> {
        named("funds", ops::funds(&self.deps, &self.scope).await)
    }

    /// Funds of the tenants that spent the most this month, for metrics.
    pub async fn top_funds(&self, limit: usize) -> Result<Vec<(String, LevelFunds)>> {
        named("top_funds", ops::top_funds(&self.deps, limit).await)
    }

    /// What was spent, in sums. InvalidInput for times in the wrong order.
    pub async fn costs(&self, options: CostsOptions) -> Result<Costs> {
        named("costs", ops::costs(&self.deps, &self.scope, options).await)
    }

    /// What was spent, attempt by attempt. InvalidInput for a limit out of range, a foreign cursor, times in the wrong order.
    pub async fn cost_log(&self, options: CostLogOptions) -> Result<CostLog> {
        named("cost_log", ops::cost_log(&self.deps, &self.scope, options).await)
    }

    /// The prices that calls are reckoned with.
    pub fn prices(&self) -> &PriceBook {
        &self.deps.desk.prices
    }

    /// Holds the worst cost of a call that the caller makes with a client of its own, until it says how the call ended.
    /// BudgetExceeded where a limit would be passed; InvalidInput with code `unknown_model_price`.
    pub async fn meter(&self, call: MeteredCall) -> Result<Metered> {
        named("meter", ops::meter(&self.deps, &self.scope, call).await)
    }

    /// [`Rae::meter`] for a caller that comes back with the id: gives it, what is held, and where the budgets stand. Without an end
    /// the call is booked at all that was held, when its time is over.
    pub async fn meter_by_id(&self, call: MeteredCall) -> Result<(Uuid, Amount, Option<Funds>)> {
        named("meter", ops::meter_by_id(&self.deps, &self.scope, call).await)
    }

    /// Ends what [`Rae::meter_by_id`] began with the same `call`; gives what was booked. Its user, request and operation stay those
    /// of the begin.
    ///
    /// Errors: NotFound (`reservation_not_found`) where it has ended already; Conflict (`other_call`) where it is of another
    /// provider or model; InvalidInput (`invalid_tokens`) for more tokens than any call has.
    pub async fn end_metered(&self, id: Uuid, call: MeteredCall, end: MeterEnd) -> Result<MeterSettled> {
        named("meter", ops::end_by_id(&self.deps, &self.scope, id, call, end).await)
    }

    /// Asks a chat model, within the budgets. The worst cost is held before the first byte leaves, and each attempt is booked.
    ///
    /// Errors: BudgetExceeded; InvalidInput with codes `unknown_model_provider`, `unknown_model_price`, `cost_unbounded` and those
    /// of `LlmFailure`; the other kinds of `LlmFailure`.
    pub async fn llm(&self, request: ChatRequest, options: LlmOptions) -> Result<LlmAnswer> {
        named("llm", ops::llm(&self.deps, &self.scope, request, options).await)
    }

    /// The same with the answer in pieces. Errors before the first piece are those of [`Rae::llm`].
    pub async fn llm_stream(&self, request: ChatRequest, options: LlmOptions) -> Result<LlmStream> {
        named("llm", ops::llm_stream(&self.deps, &self.scope, request, options).await)
    }

    /// What a call would hold, and whether there is room for it now. Asks no model and books nothing.
    pub async fn llm_estimate(&self, request: ChatRequest, options: LlmOptions) -> Result<LlmEstimate> {
        named("llm", ops::llm_estimate(&self.deps, &self.scope, request, options).await)
    }

    /// [`Rae::llm`] with memories that fit the last message put into the prompt, the turn remembered, and answers taken from the
    /// cache of responses, each where `options` ask for it. Where no memories can be had, or the turn is not remembered, the
    /// answer comes all the same and says so in `degraded`.
    ///
    /// Memories stand in one message behind those of the operator, in a marked block; what is remembered is the last message of
    /// the person and the answer, both without such blocks. An answer is kept for the same user alone, and only where its turn is
    /// not remembered: the next answer would know of the turn. `forget` takes it out again. Errors: those of [`Rae::llm`].
    pub async fn chat(&self, request: ChatRequest, options: ChatOptions) -> Result<ChatAnswer> {
        named("chat", ops::chat(&self.deps, &self.scope, request, options).await)
    }

    /// The same with the answer in pieces. Errors before the first piece are those of [`Rae::chat`].
    pub async fn chat_stream(&self, request: ChatRequest, options: ChatOptions) -> Result<ChatAnswerStream> {
        named("chat", ops::chat_stream(&self.deps, &self.scope, request, options).await)
    }

    /// What [`Rae::chat`] would hold with its memories in the prompt, and whether there is room for it now. Asks no model, books
    /// and remembers nothing.
    pub async fn chat_estimate(&self, request: ChatRequest, options: ChatOptions) -> Result<LlmEstimate> {
        named("chat", ops::chat_estimate(&self.deps, &self.scope, request, options).await)
    }

    /// How often the cache of responses had an answer, over all handles on this store.
    pub fn response_cache_stats(&self) -> ResponseCacheStats {
        self.deps.answers.stats()
    }

    /// Models that `chat` and `llm` can ask by name: those with a price, of the providers that are configured, in the order of
    /// their names, each as `provider/model`.
    pub fn models(&self) -> Vec<String> {
        let priced = self.deps.desk.prices.all().filter_map(|price| {
            let name = format!("{}/{}", price.provider, price.model);
            let routed = self.deps.desk.providers.route(&name).ok()?;
            (routed.provider.id() == price.provider).then_some(name)
        });
        let mut names: Vec<String> = priced.collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Books what calls that were given up left behind; a thread beside the store does the same by itself.
    pub async fn settle(&self) -> Result<()> {
        named("settle", settle_strays(&self.deps).await)
    }
}
