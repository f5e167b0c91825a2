//! `context`: a block of memories for a prompt, with provenance, under a token budget.

mod profile;

use super::recall::{Found, RecallOptions, Search, check_max_tokens, passage, plan, search};
use crate::{
    Ctx,
    deps::Deps,
    error::{Error, Result},
    ingest::{check_query, content_hash, event_name},
    lexical::mark,
    model::{Filter, Kind, Layer, Memory, MemoryId, Scan, Scope},
    reflect::{is_about, is_summary, names_tool, repeats},
    retrieve::{Packed, Packer, Section},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::{BTreeSet, HashSet};

/// How many hits compete for the budget.
const CONTEXT_K: i64 = 60;
/// Hits less relevant than this are not worth a prompt's tokens. Absolute: an unrelated question gets an empty block.
const RELEVANCE_MIN: f64 = 0.12;
/// Turns of the session that are shown as recent.
const RECENT_TURNS: usize = 8;
/// Facts at most of the person that the block is for, before all else.
const PROFILE_MAX: usize = 8;
/// Lessons at most, before the memories.
const LESSONS_MAX: usize = 5;
/// Summaries of earlier sessions at most, after the memories.
const SUMMARIES_MAX: usize = 3;

/// What `context` takes beside the query.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ContextOptions {
    /// Most tokens of the whole text, 1 to 1,000,000; default 1,000.
    pub max_tokens: i64,
    /// Adds the last turns of this session, and stands for the query where there is none.
    pub session_id: Option<String>,
    /// Only this agent, and lessons that are nobody's own.
    pub agent_id: Option<String>,
    /// Only this user, and lessons that are nobody's own.
    pub user_id: Option<String>,
    /// Only these layers.
    pub layers: Option<Vec<Layer>>,
    /// All of these tags.
    pub tags: Option<Vec<String>>,
    /// A filter.
    pub filter: Option<serde_json::Value>,
    /// Least relevance of a memory, 0 to 1; default 0.12.
    pub min_score: Option<f64>,
}

impl Default for ContextOptions {
    fn default() -> Self {
        Self {
            max_tokens: 1_000,
            session_id: None,
            agent_id: None,
            user_id: None,
            layers: None,
            tags: None,
            filter: None,
            min_score: None,
        }
    }
}

/// The block.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Context {
    /// The text for the prompt; empty when nothing was relevant enough and there is no profile.
    pub text: String,
    /// Its exact number of tokens.
    pub token_count: usize,
    /// What is in it, in order.
    pub sources: Vec<ContextSource>,
    /// As in `recall`.
    pub degraded: Vec<String>,
}

/// A memory in the block.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContextSource {
    /// Id.
    pub id: MemoryId,
    /// Kind.
    pub kind: Kind,
    /// Layer.
    pub layer: Layer,
    /// First code point of its line in the text.
    pub start: usize,
    /// One past its last.
    pub end: usize,
    /// Its score; 0 for a recent turn, or a line of the profile, that was not recalled.
    pub score: f64,
}

impl From<Packed> for ContextSource {
    fn from(p: Packed) -> Self {
        Self { id: p.id, kind: p.kind, layer: p.layer, start: p.start, end: p.end, score: p.score }
    }
}

pub(crate) async fn context(
    deps: &Deps,
    scope: &Scope,
    query: Option<&str>,
    options: ContextOptions,
) -> Result<Context> {
    let ctx = deps.ctx(scope)?;
    let tokens_max = check_max_tokens(options.max_tokens)?;
    event_name("session_id", options.session_id.as_deref())?;
    let recent = match &options.session_id {
        Some(session) => recent_turns(deps, &ctx, session, &options).await?,
        None => Vec::new(),
    };
    let last_turn = recent.iter().rev().map(|turn| query_from(&turn.content)).find(|turn| !turn.is_empty());
    let query = match (query, &last_turn) {
        (Some(query), _) => query,
        (None, Some(turn)) => turn.as_str(),
        (None, None) if options.session_id.is_some() => return Ok(Context::default()),
        (None, None) => return Err(Error::invalid("context needs a query or a session_id")),
    };
    check_query(query)?;
    let plan = plan(deps, recall_options(&options))?;
    let found = search(deps, &ctx, query, plan).await?;
    let lessons = lessons(deps, &ctx, query, &options).await?;
    let (found, degraded) = lessons_first(lessons, found);

    // Half the room stays for what was recalled: a long session must not crowd it out.
    let mut recent_packer = Packer::new(&*deps.tokens, tokens_max / 2);
    let recent_ids = choose_recent(&mut recent_packer, &recent)?;
    let profile = profile::profile(deps, &ctx, (&options, &recent)).await?;
    let packer = Packer::new(&*deps.tokens, tokens_max);
    let recent_tokens = recent_packer.len_tokens()?;
    let mut block = Block { packer, tokens_max, recent_ids: &recent_ids, recent_tokens, texts: HashSet::new() };
    block.put_profile(&profile, &found)?;
    block.put_found(&found, query, options.session_id.as_deref())?;
    let mut packer = block.packer;
    for memory in recent.iter().filter(|m| recent_ids.contains(&m.id)) {
        packer.push(Section::Recent, memory, (0, memory.content.len()), score_of(memory.id, &found))?;
    }
    let (text, token_count, packed) = packer.finish()?;
    deps.access.count(scope, packed.iter().map(|p| p.id), deps.clock.now());
    Ok(Context {
        text,
        token_count,
        sources: packed.into_iter().map(Into::into).collect(),
        degraded: degraded.into_iter().collect(),
    })
}

/// A block that is being filled.
struct Block<'a> {
    packer: Packer<'a>,
    tokens_max: usize,
    /// Turns that stand at its end.
    recent_ids: &'a HashSet<MemoryId>,
    /// Room that is kept for them.
    recent_tokens: usize,
    /// The same words twice are the same to a reader.
    texts: HashSet<[u8; 32]>,
}

impl Block<'_> {
    /// A quarter of the room says whom the block is for.
    fn put_profile(&mut self, facts: &[Memory], found: &[Found]) -> Result<()> {
        let reserve = (self.tokens_max - self.tokens_max / 4).max(self.recent_tokens);
        for fact in facts {
            if self.packer.len() < PROFILE_MAX && self.texts.insert(text_of(fact)) {
                let whole = (0, fact.content.len());
                self.packer.push_within(Section::Profile, fact, whole, score_of(fact.id, found), reserve)?;
            }
        }
        Ok(())
    }

    /// Lessons, memories and summaries of what was found.
    fn put_found(&mut self, found: &[Found], query: &str, session: Option<&str>) -> Result<()> {
        let shown: HashSet<MemoryId> =
            found.iter().map(|found| found.memory.id).chain(self.recent_ids.iter().copied()).collect();
        let has_memories = found.iter().any(|found| section_of(&found.memory) == Section::Memories);
        let lesson = |found: &Found| signature_of(&found.memory).filter(|_| found.memory.kind == Kind::Lesson);
        let learnt: HashSet<String> = found.iter().filter_map(lesson).collect();
        for (section, most) in
            [(Section::Lessons, LESSONS_MAX), (Section::Memories, usize::MAX), (Section::Summaries, SUMMARIES_MAX)]
        {
            // Lessons leave half of the room to memories.
            let half = self.tokens_max.saturating_sub(self.recent_tokens) / 2;
            let reserve = self.recent_tokens + if section == Section::Lessons && has_memories { half } else { 0 };
            let mut given = 0;
            for Found { memory, ranked } in found {
                if section_of(memory) != section || self.recent_ids.contains(&memory.id) || given == most {
                    continue;
                }
                // A lesson takes room that memories need: one about something else gets none.
                if !is_about(memory, query, ranked.signals.dense) || repeats(memory, |id| shown.contains(id)) {
                    continue;
                }
                // Who speaks without a name in another session may be somebody else.
                if memory.claim_session().is_some_and(|own| session.is_some_and(|asked| asked != own)) {
                    continue;
                }
                // A strategy says no more than the lesson that says what worked.
                if !self.texts.insert(text_of(memory)) || is_told_by(memory, &learnt) {
                    continue;
                }
                let focus = passage(memory, ranked.piece);
                given += usize::from(self.packer.push_within(section, memory, focus, ranked.score, reserve)?);
            }
        }
        Ok(())
    }
}

/// Lessons and strategies for a question, by themselves: among many turns about the same, and the summaries of their sessions, they
/// would never be the best. What a tool does is nobody's own, so lessons without an owner are given to every user and agent.
async fn lessons(deps: &Deps, ctx: &Ctx, query: &str, options: &ContextOptions) -> Result<Search> {
    let kinds = Some(vec![Kind::Lesson, Kind::Strategy]);
    let k = i64::try_from(4 * LESSONS_MAX).unwrap_or(CONTEXT_K);
    let min_score = options.min_score;
    let mut plan = plan(deps, RecallOptions { k, kinds, min_score, ..recall_options(options) })?;
    plan.filter.or_nobody = true;
    let mut lessons = search(deps, ctx, query, plan).await?;
    // In a long question the name of a tool weighs little; it says what the question is about all the same.
    lessons.found.retain(|found| {
        min_score.is_some() || found.ranked.relevance >= RELEVANCE_MIN || names_tool(&found.memory, query)
    });
    Ok(lessons)
}

/// The score of a memory among what was found; 0 where it is not.
fn score_of(id: MemoryId, found: &[Found]) -> f64 {
    found.iter().find(|found| found.memory.id == id).map_or(0.0, |found| found.ranked.score)
}

/// Where a memory stands in the block.
fn section_of(memory: &Memory) -> Section {
    match memory.kind {
        Kind::Reflection if is_summary(memory) => Section::Summaries,
        Kind::Lesson | Kind::Strategy | Kind::Reflection => Section::Lessons,
        _ => Section::Memories,
    }
}

/// What tells the failure of a lesson or strategy from others.
fn signature_of(memory: &Memory) -> Option<String> {
    memory.metadata.get("signature").and_then(serde_json::Value::as_str).map(str::to_owned)
}

/// Whether one of these lessons, by their signatures, says what a strategy says.
fn is_told_by(memory: &Memory, lessons: &HashSet<String>) -> bool {
    memory.kind == Kind::Strategy && signature_of(memory).is_some_and(|signature| lessons.contains(&signature))
}

/// Lessons before all else that was found, with the score that they have among the rest where they are in it.
fn lessons_first(lessons: Search, found: Search) -> (Vec<Found>, Vec<String>) {
    let degraded: BTreeSet<String> = lessons.degraded.into_iter().chain(found.degraded).collect();
    let mut rest = found.found;
    let mut all = Vec::with_capacity(lessons.found.len() + rest.len());
    for lesson in lessons.found {
        let place = rest.iter().position(|found| found.memory.id == lesson.memory.id);
        all.push(place.map_or(lesson, |place| rest.remove(place)));
    }
    all.extend(rest);
    (all, degraded.into_iter().collect())
}

fn recall_options(o: &ContextOptions) -> RecallOptions {
    RecallOptions {
        k: CONTEXT_K,
        layers: o.layers.clone(),
        tags: o.tags.clone(),
        filter: o.filter.clone(),
        agent_id: o.agent_id.clone(),
        user_id: o.user_id.clone(),
        min_score: Some(o.min_score.unwrap_or(RELEVANCE_MIN)),
        ..RecallOptions::default()
    }
}

/// A turn as a question: its beginning is enough to say what it is about. What an earlier prompt was given of memories asks nothing.
fn query_from(content: &str) -> String {
    mark::without_blocks(content).chars().take(2_000).collect()
}

/// What tells a text from others in a block.
fn text_of(memory: &Memory) -> [u8; 32] {
    content_hash(&mark::without_blocks(&memory.content))
}

/// The last turns of a session, oldest first.
async fn recent_turns(deps: &Deps, ctx: &Ctx, session: &str, options: &ContextOptions) -> Result<Vec<Memory>> {
    let mut all = vec![Filter::parse(&json!({ "session_id": session }))?];
    for (field, value) in [("agent_id", &options.agent_id), ("user_id", &options.user_id)] {
        if let Some(value) = value {
            all.push(Filter::parse(&json!({ field: value }))?);
        }
    }
    // What may not be recalled may not come in as a recent turn either.
    if let Some(layers) = &options.layers {
        all.push(Filter::parse(&json!({ "layer": { "in": layers } }))?);
    }
    for tag in options.tags.iter().flatten() {
        all.push(Filter::parse(&json!({ "tags": { "contains": tag } }))?);
    }
    if let Some(filter) = &options.filter {
        all.push(Filter::parse(filter)?);
    }
    let filter = Filter::And(all);
    let now = deps.clock.now();
    let mut turns: Vec<Memory> = Vec::new();
    let mut scan = Scan { filter: Some(filter), after: None, limit: crate::limits::PAGE_MAX };
    loop {
        let page = deps.relational.scan(ctx, &scan).await?;
        let Some(last) = page.last() else { break };
        scan.after = Some(crate::model::Cursor(last.id));
        let full = page.len() == scan.limit;
        turns.extend(page.into_iter().filter(|m| !m.is_expired(now) && !m.is_over(now)));
        turns.sort_by_key(|m| (m.event_time(), m.seq_in_session, m.id));
        turns.drain(..turns.len().saturating_sub(RECENT_TURNS));
        if !full {
            break;
        }
    }
    Ok(turns)
}

/// The newest turns that fit into their share, chosen newest first.
fn choose_recent(packer: &mut Packer<'_>, recent: &[Memory]) -> Result<HashSet<MemoryId>> {
    let mut ids = HashSet::new();
    // A turn that is nothing but a block says nothing.
    for memory in recent.iter().rev().filter(|turn| !mark::without_blocks(&turn.content).is_empty()) {
        if !packer.push(Section::Recent, memory, (0, memory.content.len()), 0.0)? {
            break;
        }
        ids.insert(memory.id);
    }
    Ok(ids)
}
