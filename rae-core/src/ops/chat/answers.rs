//! The cache of responses: an answer that was given before to the same request of the same user, or to one that differs in the
//! wording of the last message alone. It lives in the cache port: losing it costs money, never an answer.
//!
//! Keys are hashes of tenant, project, user, provider, model and the whole request with its memories; where there are memories, the
//! number of the project's last change too. A list of what is kept lets `forget` take it out again.
//!
//! Processes may have caches of their own, which an erasure elsewhere does not reach. So the number of the last erasure is a part of
//! every key, and it is kept in the store: see [`erased`].

use super::{CacheResult, llm::Plan};
use crate::{
    ctx::Ctx,
    deps::Deps,
    error::{Error, Result},
    ingest::NewMemory,
    limits::{ANSWER_BYTES_MAX, ANSWER_SECONDS_MAX, ANSWERS_KEPT_MAX, NEAR_ANSWERS_MAX, NEAR_QUESTION_BYTES_MAX},
    model::{
        ChatContent, ChatMessage, ChatPart, ChatRequest, ChatResponse, ChatRole, FinishReason, KeyedIds, MemoryId, Op,
        Scope, Timestamp, Usage, Usd,
    },
    ops::recall::embed_query,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::{collections::BTreeSet, time::Duration};
use uuid::Uuid;

/// Stands for everything that was said in a project. It is never there: each erasure puts and deletes it, and the change log keeps the
/// number of its last deletion.
const SAID: MemoryId = MemoryId(Uuid::from_u128(0x7261_6521_0000_8000_8000_6572_6173_6564));
/// Counts answers that were kept; it says which place in the list is next.
const COUNT: &str = "answers:count";
/// How long the counter lives: for ever, as far as answers go.
const COUNTER_TTL: Duration = Duration::from_secs(10 * 365 * 86_400);
/// A temperature above this asks for another answer each time.
const TEMPERATURE_MAX: f64 = 1.0;
/// Candidates whose answers are looked for, nearest first.
const NEAR_TRIES: usize = 3;
/// Words that turn a question round.
const TURNING: &[&str] = &["not", "no", "never", "without", "except", "cannot", "nor", "neither"];

/// How answers are kept.
#[derive(Debug, Clone, PartialEq)]
pub struct CacheOptions {
    /// How long an answer is kept, at most a week; default an hour.
    pub ttl: Duration,
    /// Least cosine of two last messages that are taken for the same question, above 0 and at most 1; default 0.97. `None` takes
    /// the same request alone.
    pub near: Option<f64>,
}

impl Default for CacheOptions {
    fn default() -> Self {
        Self { ttl: Duration::from_secs(3_600), near: Some(0.97) }
    }
}

impl CacheOptions {
    pub(super) fn check(&self) -> Result<()> {
        if self.ttl.is_zero() || self.ttl > Duration::from_secs(ANSWER_SECONDS_MAX) {
            return Err(Error::invalid(format!("an answer is kept for 1 to {ANSWER_SECONDS_MAX} seconds")));
        }
        if self.near.is_some_and(|near| !(near > 0.0 && near <= 1.0)) {
            return Err(Error::invalid("near is a number above 0 and at most 1"));
        }
        Ok(())
    }
}

/// An answer from the cache.
#[derive(Debug)]
pub(super) struct Kept {
    pub response: ChatResponse,
    /// What the call that it is from cost.
    pub cost: Usd,
}

/// Where the answer to a request is kept.
#[derive(Debug)]
pub(super) struct Place {
    key: String,
    near: Option<Near>,
    /// The project's last erasure.
    epoch: u64,
    /// The project's last change, where the request has memories in it.
    generation: Option<u64>,
    ttl: Duration,
}

/// Where requests are kept that differ in their last message alone.
#[derive(Debug)]
struct Near {
    key: String,
    facts: String,
    vector: Vec<f32>,
    least: f64,
}

/// An answer as it is stored.
#[derive(Serialize, Deserialize)]
struct Stored {
    id: String,
    model: String,
    message: Value,
    usage: Option<Value>,
    cost: i64,
}

/// A question that has an answer.
#[derive(Serialize, Deserialize)]
struct Question {
    key: String,
    facts: String,
    vector: Vec<f32>,
}

/// A place in the list of what is kept.
#[derive(Serialize, Deserialize)]
pub(super) struct Listed {
    pub key: String,
    pub near: Option<String>,
    pub sources: Vec<MemoryId>,
}

impl Place {
    /// The place of a request that is ready to go. `None` where its answer is not to be kept.
    pub async fn of(
        deps: &Deps,
        ctx: &Ctx,
        plan: &Plan,
        options: &CacheOptions,
        user: Option<&str>,
        (epoch, generation): (u64, Option<u64>),
    ) -> Option<Self> {
        let request = &plan.request;
        let several = request.extra.get("n").is_some_and(|n| n.as_u64() != Some(1));
        if several || request.temperature.is_some_and(|t| t > TEMPERATURE_MAX) {
            return None;
        }
        let key = |what: &str, request: &ChatRequest| {
            let mut hasher = blake3::Hasher::new();
            let body = Value::Object(request.to_openai("max_completion_tokens")).to_string();
            let (epoch, generation) = (epoch.to_string(), generation.map_or(String::new(), |n| n.to_string()));
            let (tenant, project) = (ctx.scope().tenant(), ctx.scope().project());
            // Who named no user is not the one with an empty name.
            let user = user.map_or(String::new(), |user| format!("user {user}"));
            for part in [what, tenant, project, &epoch, &generation, &plan.label.provider, &user, &body] {
                hasher.update(&(part.len() as u64).to_le_bytes());
                hasher.update(part.as_bytes());
            }
            format!("answers:{what}:{}", hasher.finalize().to_hex())
        };
        let near = match (options.near, question(request)) {
            // Each question has memories of its own, so none of these is near another.
            (Some(least), Some((text, rest))) if generation.is_none() => {
                let (vector, _) = embed_query(deps, ctx, &text).await;
                vector.map(|vector| Near { key: key("near", &rest), facts: facts(&text), vector, least })
            }
            _ => None,
        };
        Some(Self { key: key("exact", request), near, epoch, generation, ttl: options.ttl })
    }

    /// The answer that is kept for the request, else for the nearest one that is near enough.
    pub async fn find(&self, deps: &Deps, ctx: &Ctx) -> Option<(Kept, CacheResult)> {
        if let Some(kept) = kept(deps, ctx, &self.key).await {
            return Some((kept, CacheResult::Exact));
        }
        let near = self.near.as_ref()?;
        let questions: Vec<Question> = read(deps, ctx, &near.key).await?;
        let mut found: Vec<(f64, &Question)> = questions
            .iter()
            .filter(|question| question.facts == near.facts)
            .map(|question| (cosine(&question.vector, &near.vector), question))
            .filter(|(cosine, _)| *cosine >= near.least)
            .collect();
        found.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.key.cmp(&b.1.key)));
        for (_, question) in found.into_iter().take(NEAR_TRIES) {
            if let Some(kept) = kept(deps, ctx, &question.key).await {
                return Some((kept, CacheResult::Near));
            }
        }
        None
    }

    /// Keeps an answer that came to its own end. Not one that was cut or refused, asks for tools, or is very long.
    pub async fn keep(&self, deps: &Deps, ctx: &Ctx, response: &ChatResponse, cost: Usd, sources: &[MemoryId]) {
        let message = &response.message;
        let whole = response.finish_reason == FinishReason::Stop && message.refusal.is_none();
        if !whole || !message.tool_calls.is_empty() || message.plain_text().is_empty() {
            return;
        }
        let stored = Stored {
            id: response.id.clone(),
            model: response.model.clone(),
            message: message.to_openai(),
            usage: response.usage.map(|usage| usage.to_openai()),
            cost: cost.micros(),
        };
        let kept = self.put(deps, ctx, &stored, sources).await;
        if let Err(error) = kept {
            tracing::debug!(%error, "an answer was not kept");
        }
    }

    async fn put(&self, deps: &Deps, ctx: &Ctx, stored: &Stored, sources: &[MemoryId]) -> Result<()> {
        let bytes = json(stored)?;
        if bytes.len() > ANSWER_BYTES_MAX || !self.is_current(deps, ctx).await? {
            return Ok(());
        }
        // First into the list: what is kept must be found by `forget`.
        let near = self.near.as_ref().map(|near| near.key.clone());
        list(deps, ctx, Listed { key: self.key.clone(), near, sources: sources.to_vec() }, self.ttl).await?;
        deps.cache.put(ctx, &self.key, bytes.into(), self.ttl).await?;
        let Some(near) = &self.near else { return Ok(()) };
        let mut questions: Vec<Question> = read(deps, ctx, &near.key).await.unwrap_or_default();
        questions.retain(|question| question.key != self.key);
        let (facts, vector) = (near.facts.clone(), near.vector.clone());
        questions.push(Question { key: self.key.clone(), facts, vector });
        questions.drain(..questions.len().saturating_sub(NEAR_ANSWERS_MAX));
        deps.cache.put(ctx, &near.key, json(&questions)?.into(), self.ttl).await
    }

    /// Whether nothing was forgotten since the request was made and, where it has memories in it, none has changed.
    async fn is_current(&self, deps: &Deps, ctx: &Ctx) -> Result<bool> {
        let same = match self.generation {
            Some(generation) => deps.relational.head(ctx).await?.seq == generation,
            None => true,
        };
        Ok(same && deps.relational.last_deletion(ctx, SAID).await? == self.epoch)
    }
}

/// What says in the change log that no answer which was given before is to be given again, in any process.
pub(crate) fn erased(scope: &Scope, now: Timestamp) -> Result<Vec<Op>> {
    let mut memory = NewMemory::new("erased").into_memory(scope, SAID, now)?;
    // It must not merge into one that says the same.
    memory.dedup_key = None;
    let delete = || Op::DeleteMemory { id: SAID };
    // An import may have brought one under this id.
    Ok(vec![delete(), Op::PutMemory { memory: Box::new(memory), vector: None, idempotency: None }, delete()])
}

/// The number of the project's last erasure. A project whose answers are to be kept has one, so that whoever erases its tenant finds it:
/// the erasure of a project or tenant gives every project that has numbers a higher floor.
pub(super) async fn epoch(deps: &Deps, ctx: &Ctx) -> Result<u64> {
    match deps.relational.last_deletion(ctx, SAID).await? {
        0 => {
            deps.relational.apply(ctx, deps.batch(erased(ctx.scope(), deps.clock.now())?)).await?;
            deps.relational.last_deletion(ctx, SAID).await
        }
        epoch => Ok(epoch),
    }
}

/// Whether answers of the project may be kept anywhere.
pub(crate) async fn may_have_answers(deps: &Deps, ctx: &Ctx) -> Result<bool> {
    Ok(deps.relational.last_deletion(ctx, SAID).await? > 0)
}

/// Takes answers out of the cache of a project: those with one of these memories in their request, or all of them. Whether it
/// could be done.
pub(crate) async fn erase_answers(deps: &Deps, ctx: &Ctx, of: Option<&BTreeSet<MemoryId>>) -> bool {
    match erase(deps, ctx, of).await {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!(%error, "answers in the cache are there until their time is over");
            false
        }
    }
}

async fn erase(deps: &Deps, ctx: &Ctx, of: Option<&BTreeSet<MemoryId>>) -> Result<()> {
    let count = deps.cache.add(ctx, COUNT, 0, COUNTER_TTL).await?;
    for slot in 0..count.clamp(0, ANSWERS_KEPT_MAX) {
        let slot = slot_key(slot);
        let Some(bytes) = deps.cache.get(ctx, &slot).await? else { continue };
        let Ok(listed) = serde_json::from_slice::<Listed>(&bytes) else { continue };
        if of.is_none_or(|ids| listed.sources.iter().any(|id| ids.contains(id))) {
            for key in std::iter::once(&listed.key).chain(&listed.near) {
                deps.cache.remove(ctx, key).await?;
            }
            deps.cache.remove(ctx, &slot).await?;
        }
    }
    Ok(())
}

/// How many of the answers in the cache one of these memories was part of.
pub(in crate::ops) async fn answers_of(deps: &Deps, ctx: &Ctx, wanted: &KeyedIds) -> Result<u64> {
    let count = deps.cache.add(ctx, COUNT, 0, COUNTER_TTL).await?;
    let mut found = 0;
    for slot in 0..count.clamp(0, ANSWERS_KEPT_MAX) {
        let Some(bytes) = deps.cache.get(ctx, &slot_key(slot)).await? else { continue };
        let Ok(listed) = serde_json::from_slice::<Listed>(&bytes) else { continue };
        found += u64::from(listed.sources.iter().any(|id| wanted.contains(*id)));
    }
    Ok(found)
}

/// Puts an answer into the list, in the place of the oldest, which goes.
pub(super) async fn list(deps: &Deps, ctx: &Ctx, listed: Listed, ttl: Duration) -> Result<()> {
    let count = deps.cache.add(ctx, COUNT, 1, COUNTER_TTL).await?;
    let slot = slot_key((count - 1).rem_euclid(ANSWERS_KEPT_MAX));
    if let Some(old) = read::<Listed>(deps, ctx, &slot).await
        && old.key != listed.key
    {
        deps.cache.remove(ctx, &old.key).await?;
        if let Some(near) = &old.near {
            let mut questions: Vec<Question> = read(deps, ctx, near).await.unwrap_or_default();
            questions.retain(|question| question.key != old.key);
            match questions.is_empty() {
                true => deps.cache.remove(ctx, near).await?,
                false => deps.cache.put(ctx, near, json(&questions)?.into(), ttl).await?,
            }
        }
    }
    deps.cache.put(ctx, &slot, json(&listed)?.into(), ttl).await
}

fn slot_key(slot: i64) -> String {
    format!("answers:slot:{slot}")
}

async fn kept(deps: &Deps, ctx: &Ctx, key: &str) -> Option<Kept> {
    let stored: Stored = read(deps, ctx, key).await?;
    let usage = stored.usage.as_ref().and_then(Usage::from_openai);
    let message = ChatMessage::from_openai(stored.message).ok()?;
    let finish_reason = FinishReason::Stop;
    let response = ChatResponse { id: stored.id, model: stored.model, message, finish_reason, usage };
    Some(Kept { response, cost: Usd::from_micros(stored.cost) })
}

/// A value of the cache; an error is a miss.
async fn read<T: DeserializeOwned>(deps: &Deps, ctx: &Ctx, key: &str) -> Option<T> {
    let bytes = deps.cache.get(ctx, key).await.ok()??;
    serde_json::from_slice(&bytes).ok()
}

fn json<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|e| Error::internal("an answer could not be written").with_source(e))
}

/// The question that a request ends with, and the request without it. `None` where another request can hardly be near: it has
/// tools or pictures, its last message is not the person's, or is longer than an embedder reads.
fn question(request: &ChatRequest) -> Option<(String, ChatRequest)> {
    let texts_alone = |message: &ChatMessage| match &message.content {
        None | Some(ChatContent::Text(_)) => true,
        Some(ChatContent::Parts(parts)) => parts.iter().all(|part| matches!(part, ChatPart::Text(_))),
    };
    let last = request.messages.last().filter(|message| message.role == ChatRole::User)?;
    let text = last.plain_text();
    let fits = !text.trim().is_empty() && text.len() <= NEAR_QUESTION_BYTES_MAX;
    if !fits || !request.tools.is_empty() || !request.messages.iter().all(texts_alone) {
        return None;
    }
    let mut rest = request.clone();
    if let Some(last) = rest.messages.last_mut() {
        last.content = None;
    }
    Some((text, rest))
}

/// What two questions must have in common to the letter, however near they are: numbers, names, and words that turn a question
/// round, in their order. A hash: it is kept beside the vector.
fn facts(text: &str) -> String {
    let mut hasher = blake3::Hasher::new();
    for (i, word) in text.split_whitespace().enumerate() {
        let word = word.trim_matches(|c: char| !c.is_alphanumeric());
        let lower = word.to_lowercase();
        let name = i > 0 && word.chars().any(char::is_uppercase);
        let turns = TURNING.contains(&lower.as_str()) || lower.ends_with("n't") || lower.ends_with("n’t");
        if name || turns || word.chars().any(char::is_numeric) {
            hasher.update(lower.as_bytes());
            hasher.update(b" ");
        }
    }
    hasher.finalize().to_hex().chars().take(32).collect()
}

/// Of two unit vectors; 0 where they do not fit together.
fn cosine(a: &[f32], b: &[f32]) -> f64 {
    if a.len() != b.len() {
        return 0.0;
    }
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_with_other_numbers_names_or_negations_are_never_near() {
        for (one, other) in [
            ("Is 17 a prime number?", "Is 18 a prime number?"),
            ("Does Ada love Ben?", "Does Ben love Ada?"),
            ("Which birds can fly?", "Which birds can't fly?"),
            ("Which birds can fly?", "Which birds can not fly?"),
            ("What is the capital of France?", "What is the capital of Spain?"),
            ("Set it to 1.5", "Set it to 15"),
        ] {
            assert_ne!(facts(one), facts(other), "{one} {other}");
        }
        for (one, other) in [
            ("What is the capital of France?", "Tell me the capital city of France."),
            ("how do i bake bread", "How does one bake bread?"),
        ] {
            assert_eq!(facts(one), facts(other), "{one} {other}");
        }
    }

    #[test]
    fn a_request_without_its_question_is_the_same_for_all_questions() {
        let ask = |text: &str| {
            let messages =
                vec![ChatMessage::text(ChatRole::System, "Be brief."), ChatMessage::text(ChatRole::User, text)];
            ChatRequest { model: "m".into(), messages, ..ChatRequest::default() }
        };
        let (one, rest) = question(&ask("One?")).unwrap();
        assert_eq!((one.as_str(), &rest), ("One?", &question(&ask("Two?")).unwrap().1));
        assert!(question(&ask(&"long ".repeat(NEAR_QUESTION_BYTES_MAX))).is_none());
        assert!(question(&ask(" ")).is_none());
        let picture = ChatPart::Image { url: "data:".into(), detail: None };
        let mut shown = ask("One?");
        shown.messages[1].content = Some(ChatContent::Parts(vec![ChatPart::Text("One?".into()), picture]));
        assert!(question(&shown).is_none());
        let mut answered = ask("One?");
        answered.messages.push(ChatMessage::text(ChatRole::Assistant, "1"));
        assert!(question(&answered).is_none());
    }

    #[test]
    fn options_out_of_range_are_refused() {
        for near in [0.0, 1.01, f64::NAN] {
            assert!(CacheOptions { near: Some(near), ..CacheOptions::default() }.check().is_err());
        }
        for seconds in [0, ANSWER_SECONDS_MAX + 1] {
            assert!(CacheOptions { ttl: Duration::from_secs(seconds), near: None }.check().is_err());
        }
        assert!(CacheOptions::default().check().is_ok());
    }
}
