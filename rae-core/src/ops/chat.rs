//! `chat`: a chat model with memories in its prompt, the turn remembered, and answers that were given before. The money is that of
//! `llm`; see [`crate::Rae::chat`].

mod answers;
mod stream;
mod unfinished;

pub use answers::CacheOptions;
pub(super) use answers::answers_of;
pub(crate) use answers::{erase_answers, erased, may_have_answers};
pub(crate) use stream::chat_stream;
pub use stream::{ChatAnswerStream, ChatEnd};
pub(crate) use unfinished::Unfinished;

use super::{ContextOptions, LlmCost, LlmEstimate, LlmOptions, context, llm, remember};
use crate::{
    cost::book,
    deps::Deps,
    error::{ErrorKind, Result},
    ingest::NewMemory,
    lexical::mark,
    limits::NAME_BYTES_MAX,
    model::{
        CallLabel, CallStatus, ChatContent, ChatMessage, ChatRequest, ChatResponse, ChatRole, FinishReason, MemoryId,
        Scope, Settlement, TokenUsage, Usd,
    },
};
use answers::{Kept, Place};
use llm::Plan;

/// Characters of the last message that memories are looked for with: its beginning says what it is about.
const QUERY_CHARS: usize = 2_000;
/// Source of the turns that are remembered.
const SOURCE: &str = "chat";

/// How a chat is answered.
#[derive(Debug, Clone, Default)]
pub struct ChatOptions {
    /// How the call is labelled and bounded.
    pub llm: LlmOptions,
    /// Memories in the prompt, and the turn remembered. `None`: neither.
    pub memory: Option<MemoryOptions>,
    /// Answers from the cache of responses. `None`: neither looked up nor kept.
    pub cache: Option<CacheOptions>,
}

/// What a chat has to do with memory.
#[derive(Debug, Clone, PartialEq)]
pub struct MemoryOptions {
    /// The session of the turn. Where the request has no earlier turns of its own, the session's last ones are put in.
    pub session_id: Option<String>,
    /// Only memories of this agent, and the turn is this agent's.
    pub agent_id: Option<String>,
    /// Most tokens of memories in the prompt, 1 to 1,000,000; default 1,000.
    pub max_tokens: i64,
    /// Whether the turn is remembered. Default true.
    pub remember: bool,
}

impl Default for MemoryOptions {
    fn default() -> Self {
        Self { session_id: None, agent_id: None, max_tokens: 1_000, remember: true }
    }
}

/// Where an answer came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CacheResult {
    /// From the model; the cache was not asked.
    #[default]
    Off,
    /// From the model; the cache had none.
    Miss,
    /// From the cache: the same request.
    Exact,
    /// From the cache: a request that differs in the wording of the last message alone.
    Near,
}

impl CacheResult {
    /// The name on all surfaces.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Miss => "miss",
            Self::Exact => "exact",
            Self::Near => "near",
        }
    }
}

/// An answer with its memories and its cost.
#[derive(Debug, Clone, PartialEq)]
pub struct ChatAnswer {
    /// The answer. Its usage is that of the model's call, also where it came from the cache.
    pub response: ChatResponse,
    /// What it cost: nothing, with 0 attempts, where it came from the cache.
    pub cost: LlmCost,
    /// Where it came from.
    pub cache: CacheResult,
    /// What the cache saved: the cost of the call that the answer is from.
    pub saved_usd: Usd,
    /// Memories that were in the prompt.
    pub memories: Vec<MemoryId>,
    /// What was remembered of the turn: what was asked, what was answered.
    pub remembered: Vec<MemoryId>,
    /// What could not be done: `memory` (no memories were put in), `dense` (they were found by words alone), `remember` (the turn
    /// was not remembered).
    pub degraded: Vec<String>,
}

pub(crate) async fn chat(deps: &Deps, scope: &Scope, request: ChatRequest, options: ChatOptions) -> Result<ChatAnswer> {
    let (call, plan) = Call::prepare(deps, scope, request, options).await?;
    if let Some((kept, cache)) = call.kept().await {
        return Ok(call.answer_kept(kept, cache).await);
    }
    let answer = llm::answer(deps, scope, &plan).await?;
    let (remembered, degraded) = call.finish(&answer.response, answer.cost.cost_usd).await;
    Ok(ChatAnswer {
        response: answer.response,
        cost: answer.cost,
        cache: call.cache(),
        saved_usd: Usd::ZERO,
        memories: call.memories,
        remembered,
        degraded,
    })
}

/// What the call would hold with its memories in it. Asks no model, books and remembers nothing.
pub(crate) async fn chat_estimate(
    deps: &Deps,
    scope: &Scope,
    mut request: ChatRequest,
    options: ChatOptions,
) -> Result<LlmEstimate> {
    let asked = Asked::of(&request, &options);
    if let Some(memory) = &options.memory {
        inject(deps, scope, &mut request, memory, &asked).await?;
    }
    llm::llm_estimate(deps, scope, request, options.llm).await
}

/// Who asks what.
#[derive(Debug, Clone)]
struct Asked {
    /// The last message of the person, without marked blocks.
    said: String,
    user: Option<String>,
    request_id: Option<String>,
}

impl Asked {
    fn of(request: &ChatRequest, options: &ChatOptions) -> Self {
        let last = request.messages.iter().rfind(|message| message.role == ChatRole::User);
        Self {
            said: last.map(|message| mark::without_blocks(&message.plain_text())).unwrap_or_default(),
            user: options.llm.user_id.clone().or_else(|| request.user.clone()),
            request_id: options.llm.request_id.clone(),
        }
    }
}

/// A call whose memories are in its request.
#[derive(Debug)]
struct Call {
    deps: Deps,
    scope: Scope,
    label: CallLabel,
    asked: Asked,
    memory: Option<MemoryOptions>,
    memories: Vec<MemoryId>,
    degraded: Vec<String>,
    /// Where its answer is kept; `None` where the cache is not asked.
    place: Option<Place>,
}

impl Call {
    async fn prepare(
        deps: &Deps,
        scope: &Scope,
        mut request: ChatRequest,
        options: ChatOptions,
    ) -> Result<(Self, Plan)> {
        request.check()?;
        if let Some(cache) = &options.cache {
            cache.check()?;
        }
        let asked = Asked::of(&request, &options);
        let ctx = deps.ctx(scope)?;
        // Before the memories are read: an erasure or a change in between must not be missed.
        let epoch = match &options.cache {
            Some(_) => {
                answers::epoch(deps, &ctx).await.inspect_err(|error| tracing::warn!(%error, "no answer is kept")).ok()
            }
            None => None,
        };
        let generation = match (&options.memory, &options.cache) {
            (Some(_), Some(_)) => Some(deps.relational.head(&ctx).await?.seq),
            _ => None,
        };
        let (memories, degraded) = match &options.memory {
            Some(memory) => inject(deps, scope, &mut request, memory, &asked).await?,
            None => (Vec::new(), Vec::new()),
        };
        let plan = llm::plan(deps, request, options.llm)?;
        let place = match (&options.cache, epoch) {
            // A part of the memories that is missing now may be there next time.
            (Some(cache), Some(epoch)) if degraded.is_empty() => {
                let generation = generation.filter(|_| !memories.is_empty());
                Place::of(deps, &ctx, &plan, cache, asked.user.as_deref(), (epoch, generation)).await
            }
            _ => None,
        };
        let call = Self {
            deps: deps.clone(),
            scope: scope.clone(),
            label: plan.label.clone(),
            asked,
            memory: options.memory,
            memories,
            degraded,
            place,
        };
        Ok((call, plan))
    }

    fn cache(&self) -> CacheResult {
        if self.place.is_some() { CacheResult::Miss } else { CacheResult::Off }
    }

    /// The answer that is kept for this request, or for one that is near. Counts the lookup.
    async fn kept(&self) -> Option<(Kept, CacheResult)> {
        let place = self.place.as_ref()?;
        let found = match self.deps.ctx(&self.scope) {
            Ok(ctx) => place.find(&self.deps, &ctx).await,
            Err(_) => None,
        };
        self.deps.answers.count(found.as_ref().map(|(_, result)| *result == CacheResult::Exact));
        found
    }

    /// Books and remembers an answer from the cache.
    async fn answer_kept(self, kept: Kept, cache: CacheResult) -> ChatAnswer {
        let settlement = Settlement {
            status: CallStatus::Cached,
            usage: TokenUsage::default(),
            estimated: false,
            cost: Usd::ZERO,
            saved: kept.cost,
            error: None,
        };
        if let Err(error) = book(&self.deps, &self.scope, self.label.clone(), settlement).await {
            tracing::warn!(%error, "an answer from the cache could not be booked");
        }
        let (remembered, degraded) = self.remember(&kept.response).await;
        let cost = LlmCost {
            provider: self.label.provider.clone(),
            usage: kept.response.usage,
            cost_usd: Usd::ZERO,
            attempts: 0,
            warnings: Vec::new(),
        };
        let Self { memories, .. } = self;
        ChatAnswer { response: kept.response, cost, cache, saved_usd: kept.cost, memories, remembered, degraded }
    }

    /// What follows the answer of a model: the turn is remembered, or the answer is kept.
    async fn finish(&self, response: &ChatResponse, cost: Usd) -> (Vec<MemoryId>, Vec<String>) {
        let remembers = self.memory.as_ref().is_some_and(|memory| memory.remember);
        if let Some(place) = self.place.as_ref().filter(|_| !remembers)
            && let Ok(ctx) = self.deps.ctx(&self.scope)
        {
            place.keep(&self.deps, &ctx, response, cost, &self.memories).await;
        }
        self.remember(response).await
    }

    /// Remembers the turn, once for each id of a request; gives the ids, and what could not be done.
    async fn remember(&self, response: &ChatResponse) -> (Vec<MemoryId>, Vec<String>) {
        let mut degraded = self.degraded.clone();
        let Some(memory) = self.memory.as_ref().filter(|memory| memory.remember) else { return (Vec::new(), degraded) };
        let turns = self.turns(memory, response);
        if turns.is_empty() {
            return (Vec::new(), degraded);
        }
        match remember::remember_many(&self.deps, &self.scope, turns).await {
            Ok(receipts) => (receipts.into_iter().map(|receipt| receipt.id).collect(), degraded),
            // The request was sent again, and the model said something else: the first answer stays.
            Err(error) if error.code() == "idempotency_key_reused" => (Vec::new(), degraded),
            Err(error) => {
                tracing::warn!(%error, "the turn of a chat was not remembered");
                degraded.push("remember".to_owned());
                (Vec::new(), degraded)
            }
        }
    }

    /// What was asked and what was answered. Nothing of an answer that was refused, or that asks for tools: the turn goes on.
    fn turns(&self, memory: &MemoryOptions, response: &ChatResponse) -> Vec<NewMemory> {
        let ended = matches!(response.finish_reason, FinishReason::Stop | FinishReason::Length);
        let answered = mark::without_blocks(&response.message.plain_text());
        let refused = response.message.refusal.is_some();
        if !ended || refused || !response.message.tool_calls.is_empty() || answered.is_empty() {
            return Vec::new();
        }
        let turn = |role: ChatRole, content: &str| NewMemory {
            role: Some(role.as_str().to_owned()),
            session_id: memory.session_id.clone(),
            agent_id: memory.agent_id.clone(),
            user_id: self.asked.user.clone(),
            source: Some(SOURCE.to_owned()),
            idempotency_key: self.key(role),
            ..NewMemory::new(content)
        };
        let said = Some(turn(ChatRole::User, &self.asked.said)).filter(|_| !self.asked.said.is_empty());
        said.into_iter().chain([turn(ChatRole::Assistant, &answered)]).collect()
    }

    fn key(&self, role: ChatRole) -> Option<String> {
        // Ids of requests are the client's: another question under one is another turn.
        let asked = blake3::hash(self.asked.said.as_bytes()).to_hex();
        let key = self.asked.request_id.as_ref().map(|id| format!("chat:{}:{id}:{asked}", role.as_str()));
        key.filter(|key| key.len() <= NAME_BYTES_MAX)
    }
}

/// Puts memories that fit the last message into the request, as one message behind those of the operator. Gives their ids, and
/// what could not be done. Fails only where the options are wrong.
async fn inject(
    deps: &Deps,
    scope: &Scope,
    request: &mut ChatRequest,
    memory: &MemoryOptions,
    asked: &Asked,
) -> Result<(Vec<MemoryId>, Vec<String>)> {
    let operators = |message: &ChatMessage| matches!(message.role, ChatRole::System | ChatRole::Developer);
    let has_history = request.messages.iter().filter(|message| !operators(message)).count() > 1;
    let options = ContextOptions {
        max_tokens: memory.max_tokens,
        session_id: memory.session_id.clone().filter(|_| !has_history),
        agent_id: memory.agent_id.clone(),
        user_id: asked.user.clone(),
        ..ContextOptions::default()
    };
    let query: String = asked.said.chars().take(QUERY_CHARS).collect();
    if query.trim().is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    let found = match context::context(deps, scope, Some(&query), options).await {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::InvalidInput => return Err(error),
        Err(error) => {
            tracing::warn!(%error, "a chat goes on without memories");
            return Ok((Vec::new(), vec!["memory".to_owned()]));
        }
    };
    if !found.text.is_empty() {
        let at = request.messages.iter().take_while(|message| operators(message)).count();
        // Models know one of the two names; the caller knows which.
        let role = match at.checked_sub(1).map(|last| request.messages[last].role) {
            Some(ChatRole::Developer) => ChatRole::Developer,
            _ => ChatRole::System,
        };
        let content = Some(ChatContent::Text(mark::block(&found.text)));
        request.messages.insert(at, ChatMessage { content, ..ChatMessage::empty(role) });
    }
    Ok((found.sources.into_iter().map(|source| source.id).collect(), found.degraded))
}
