//! `recall`: bring the indexes up to date, collect candidates by meaning and by words, score, hydrate, cut. No model call.

use super::dense;
use crate::{
    Ctx,
    deps::Deps,
    error::{Error, Result},
    facts::WITHDRAWN,
    graph::{Moment, View},
    indexes::ScopeState,
    ingest::{check_query, check_tags, event_name},
    jobs::{embed_debt::embed_texts, graph_sync, index_sync},
    lexical::{DocFilter, mark, piece_spans},
    limits::{CONTEXT_TOKENS_MAX, EMBED_TOKENS_MAX, K_MAX, QUERY_TERMS_MAX},
    model::{Filter, Kind, Layer, Memory, MemoryId, Scope, Timestamp, VectorFilter},
    ports::EmbedRole,
    retrieve::{Query, Ranked, Signals, Weights, by_words, candidates, list_len, rank},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

const QUERY_VECTOR_TTL: Duration = Duration::from_secs(3_600);

/// What `recall` takes beside the query (contract.md section 3).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RecallOptions {
    /// Most hits, 1 to 1,000; default 10. Wide, so that any number a caller has is judged here.
    pub k: i64,
    /// Only these layers.
    pub layers: Option<Vec<Layer>>,
    /// Only these kinds.
    pub kinds: Option<Vec<Kind>>,
    /// All of these tags.
    pub tags: Option<Vec<String>>,
    /// Any of these tags.
    pub tags_any: Option<Vec<String>>,
    /// A filter (see [`Filter::parse`]).
    pub filter: Option<Value>,
    /// Events at or after.
    pub since: Option<Timestamp>,
    /// Events before.
    pub until: Option<Timestamp>,
    /// What held at this time; default: what has not ended by now.
    pub as_of: Option<Timestamp>,
    /// What was known at this time, in the wording of that time (ranked by the present one).
    pub known_at: Option<Timestamp>,
    /// Only this session.
    pub session_id: Option<String>,
    /// Only this agent.
    pub agent_id: Option<String>,
    /// Only this user.
    pub user_id: Option<String>,
    /// Least `relevance`, 0 to 1: absolute, not in relation to the best hit.
    pub min_score: Option<f64>,
    /// Most tokens of all hits together; hits past that are left out.
    pub max_tokens: Option<i64>,
    /// What nearness in the graph of relations to the entities that the question names adds to the score, 0 to 1; default 0.
    pub graph_weight: Option<f64>,
    /// Asks the configured reranker; `degraded: ["rerank"]` where there is none.
    pub rerank: bool,
    /// Gives the trace.
    pub explain: bool,
}

impl Default for RecallOptions {
    fn default() -> Self {
        Self {
            k: 10,
            layers: None,
            kinds: None,
            tags: None,
            tags_any: None,
            filter: None,
            since: None,
            until: None,
            as_of: None,
            known_at: None,
            session_id: None,
            agent_id: None,
            user_id: None,
            min_score: None,
            max_tokens: None,
            graph_weight: None,
            rerank: false,
            explain: false,
        }
    }
}

/// A part of a memory's content, in code points.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passage {
    /// First code point.
    pub start: usize,
    /// One past the last.
    pub end: usize,
}

/// A memory that answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hit {
    /// Id.
    pub id: MemoryId,
    /// The whole text.
    pub content: String,
    /// 0 to 1; hits sort by it, then by id.
    pub score: f64,
    /// Absolute relevance, 0 to 1: half cosine, half the idf-weighted share of the question's words. What `min_score` compares.
    pub relevance: f64,
    /// The parts of the score.
    pub signals: Signals,
    /// The part of a long text that fits best; all of a short one.
    pub passage: Passage,
    /// Kind.
    pub kind: Kind,
    /// Layer.
    pub layer: Layer,
    /// Role.
    pub role: Option<String>,
    /// Speaker.
    pub speaker: Option<String>,
    /// Session.
    pub session_id: Option<String>,
    /// Tags.
    pub tags: Vec<String>,
    /// Metadata.
    pub metadata: Map<String, Value>,
    /// When it happened.
    pub occurred_at: Option<Timestamp>,
    /// When it was stored.
    pub created_at: Timestamp,
    /// Importance.
    pub importance: f64,
    /// Version.
    pub version: u32,
}

/// The answer of `recall`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Hits {
    /// Best first.
    pub hits: Vec<Hit>,
    /// Parts that could not be used: `dense` (the embedder or the vector server failed, or the server lags too far behind), `rerank` (none configured, or it failed).
    pub degraded: Vec<String>,
    /// How the answer came about, when asked for.
    pub trace: Option<Value>,
}

/// A checked request.
pub(super) struct Plan {
    pub k: usize,
    pub filter: DocFilter,
    pub metadata_filter: Option<Filter>,
    pub min_score: f64,
    pub max_tokens: Option<usize>,
    pub graph_weight: f64,
}

/// A ranked memory with its row.
pub(super) struct Found {
    pub ranked: Ranked,
    pub memory: Memory,
}

/// The best memories and how they were found.
pub(super) struct Search {
    pub found: Vec<Found>,
    pub degraded: Vec<String>,
    pub trace: Value,
}

pub(crate) async fn recall(deps: &Deps, scope: &Scope, query: &str, options: RecallOptions) -> Result<Hits> {
    let ctx = deps.ctx(scope)?;
    let explain = options.explain;
    let search = found(deps, &ctx, query, options).await?;
    deps.access.count(scope, search.found.iter().map(|f| f.memory.id), deps.clock.now());
    if deps.access.is_worth_flushing() {
        deps.background.nudge(scope);
    }
    let trace = explain.then(|| trace_with_hits(search.trace, &search.found));
    Ok(Hits { hits: search.found.into_iter().map(hit).collect(), degraded: search.degraded, trace })
}

/// The hits of `recall`, without a trace that they were found.
pub(super) async fn found(deps: &Deps, ctx: &Ctx, query: &str, options: RecallOptions) -> Result<Search> {
    check_query(query)?;
    let (wants_rerank, as_of) = (options.rerank, options.as_of);
    let plan = plan(deps, options)?;
    let is_weighed = plan.graph_weight > 0.0;
    let mut search = search(deps, ctx, query, plan).await?;
    if wants_rerank {
        rerank(deps, query, &mut search).await;
    }
    if !is_weighed {
        near_in_graph(deps, ctx, query, as_of, &mut search).await?;
    }
    Ok(search)
}

/// Checks the options.
pub(super) fn plan(deps: &Deps, o: RecallOptions) -> Result<Plan> {
    let k = usize::try_from(o.k).ok().filter(|k| (1..=K_MAX).contains(k));
    let k =
        k.ok_or_else(|| Error::invalid(format!("k must be a whole number from 1 to {K_MAX}")).with_code("invalid_k"))?;
    let max_tokens = match o.max_tokens {
        None => None,
        Some(n) => Some(check_max_tokens(n)?),
    };
    if o.min_score.is_some_and(|s| !(0.0..=1.0).contains(&s)) {
        return Err(Error::invalid("min_score must be a number from 0 to 1"));
    }
    let graph_weight = o.graph_weight.unwrap_or(0.0);
    if !(0.0..=1.0).contains(&graph_weight) {
        return Err(Error::invalid("graph_weight must be a number from 0 to 1"));
    }
    if let (Some(since), Some(until)) = (o.since, o.until)
        && until <= since
    {
        return Err(Error::invalid("until must be later than since"));
    }
    for (what, value) in [("session_id", &o.session_id), ("agent_id", &o.agent_id), ("user_id", &o.user_id)] {
        event_name(what, value.as_deref())?;
    }
    let filter = DocFilter {
        layers: chosen("layers", o.layers)?,
        kinds: chosen("kinds", o.kinds)?,
        tags_all: o.tags.map(check_tags).transpose()?.unwrap_or_default(),
        tags_any: check_tags(chosen("tags_any", o.tags_any)?)?,
        since: o.since,
        until: o.until,
        as_of: o.as_of,
        known_at: o.known_at,
        session: o.session_id,
        agent: o.agent_id,
        user: o.user_id,
        or_nobody: false,
        now: deps.clock.now(),
        only: None,
    };
    let metadata_filter = o.filter.map(|f| Filter::parse(&f)).transpose()?.filter(|f| !f.is_trivial());
    Ok(Plan { k, filter, metadata_filter, min_score: o.min_score.unwrap_or(0.0), max_tokens, graph_weight })
}

/// One of none is nothing: an empty list is a mistake, not a wish.
fn chosen<T>(what: &str, list: Option<Vec<T>>) -> Result<Vec<T>> {
    match list {
        Some(list) if list.is_empty() => {
            Err(Error::invalid(format!("{what} must not be empty; leave it out to allow all")))
        }
        list => Ok(list.unwrap_or_default()),
    }
}

/// A token budget, wide on the way in.
pub(super) fn check_max_tokens(n: i64) -> Result<usize> {
    usize::try_from(n)
        .ok()
        .filter(|n| (1..=CONTEXT_TOKENS_MAX).contains(n))
        .ok_or_else(|| Error::invalid(format!("max_tokens must be a whole number from 1 to {CONTEXT_TOKENS_MAX}")))
}

/// The search itself, for `recall` and `context`.
pub(super) async fn search(deps: &Deps, ctx: &Ctx, text: &str, mut plan: Plan) -> Result<Search> {
    let mut clock = Stages::new();
    if let Some(filter) = &plan.metadata_filter {
        plan.filter.only = Some(deps.relational.matching(ctx, filter).await?);
    }
    let state = index_sync::fresh(deps, ctx).await?;
    clock.stage("fresh");
    let (words, embed_text) = {
        let index = state.index.read();
        let query = Query::new(&index, text);
        (by_words(&index, &query, &plan.filter, plan.k), index.without_names(text).into_owned())
    };
    clock.stage("words");
    let (vector, mut degraded) = embed_query(deps, ctx, &embed_text).await;
    clock.stage("embed");
    let (dense, mut lacking) = match vector {
        Some(vector) => {
            let only = VectorFilter { only: words.only.clone() };
            dense::nearest(deps, ctx, &state, vector, &only, list_len(plan.k)).await?
        }
        None => (None, false),
    };
    clock.stage("dense");
    let around = around(deps, ctx, text, &plan).await?;
    clock.stage("graph");
    let best_words = words.best;
    let nearest = dense.as_ref().map_or(&[][..], |dense| &dense.nearest);
    let near = nearest.len();
    let ids = candidates(&state.index.read(), words, nearest, &around, &plan.filter);
    let cosines = match &dense {
        Some(dense) => dense::cosines(deps, ctx, dense, &ids).await?,
        None => None,
    };
    lacking |= dense.is_some() && cosines.is_none();
    let cosines = cosines.unwrap_or_else(|| vec![None; ids.len()]);
    if lacking {
        degraded.push("dense".to_owned());
    }
    clock.stage("cosines");
    let weights = Weights { graph: plan.graph_weight, ..Weights::for_embedder(deps.embedder().is_cheap()) };
    let ranked = {
        let index = state.index.read();
        let query = Query::new(&index, text).near(around);
        rank(&index, &query, &plan.filter, (&ids, &cosines), best_words, &weights, plan.k)
    };
    clock.stage("rank");
    let pool = ranked.len();
    let found = hydrate(deps, ctx, &plan, ranked).await?;
    clock.stage("hydrate");
    let found = cut_to_tokens(deps, found, plan.max_tokens)?;
    degraded.sort();
    let trace = trace(&state, text, &embed_text, &weights, (near, ids.len(), pool), clock);
    Ok(Search { found, degraded, trace })
}

/// The query's vector, from the cache where the embedder is a slow one; `dense` is degraded when it fails.
pub(super) async fn embed_query(deps: &Deps, ctx: &Ctx, text: &str) -> (Option<Vec<f32>>, Vec<String>) {
    let embedder = deps.embedder();
    let key = (!embedder.is_cheap()).then(|| format!("qv:{}:{}", embedder.id(), blake3::hash(text.as_bytes())));
    if let Some(key) = &key {
        let cached = deps.cache.get(ctx, key).await.ok().flatten().filter(|bytes| bytes.len() == embedder.dim() * 4);
        deps.lookups.count(cached.is_some());
        if let Some(bytes) = cached {
            let floats = bytes.chunks_exact(4).filter_map(|b| b.try_into().ok().map(f32::from_le_bytes)).collect();
            return (Some(floats), Vec::new());
        }
    }
    match embed_texts(deps, ctx, &*embedder, &[text], EmbedRole::Query).await {
        Ok(vectors) => {
            let vector = vectors.into_iter().next().flatten();
            if let (Some(key), Some(vector)) = (&key, &vector) {
                let bytes: Arc<[u8]> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
                // A cache that fails costs time, never an answer.
                if let Err(error) = deps.cache.put(ctx, key, bytes, QUERY_VECTOR_TTL).await {
                    tracing::debug!(%error, "the query's vector was not cached");
                }
            }
            (vector, Vec::new())
        }
        Err(error) => {
            tracing::warn!(kind = error.kind().name(), "the query could not be embedded; answering by words alone");
            (None, vec!["dense".to_owned()])
        }
    }
}

/// Rows of the best, re-checked against the truth: an index that lags must not leak what is gone.
async fn hydrate(deps: &Deps, ctx: &Ctx, plan: &Plan, ranked: Vec<Ranked>) -> Result<Vec<Found>> {
    let mut found = Vec::with_capacity(plan.k.min(ranked.len()));
    let mut rest = ranked.into_iter().filter(|r| r.relevance >= plan.min_score);
    while found.len() < plan.k {
        let page: Vec<Ranked> = rest.by_ref().take(plan.k - found.len()).collect();
        if page.is_empty() {
            break;
        }
        let ids: Vec<MemoryId> = page.iter().map(|r| r.id).collect();
        for (ranked, memory) in page.into_iter().zip(deps.relational.get(ctx, &ids).await?) {
            let Some(memory) = memory.filter(|m| m.scope == *ctx.scope() && !m.is_expired(plan.filter.now)) else {
                continue;
            };
            let Some(memory) = as_known(deps, ctx, memory, plan.filter.known_at).await? else { continue };
            found.push(Found { ranked, memory });
        }
    }
    Ok(found)
}

/// The version that was known at a time; `None` where that one is no longer in history: an older one was known no more.
async fn as_known(deps: &Deps, ctx: &Ctx, memory: Memory, known_at: Option<Timestamp>) -> Result<Option<Memory>> {
    let Some(at) = known_at.filter(|&at| memory.updated_at > at) else { return Ok(Some(memory)) };
    let versions = deps.relational.history(ctx, memory.id).await?;
    let known = versions.into_iter().rfind(|v| v.memory.updated_at <= at);
    let known = known.filter(|v| v.replaced_at.is_none_or(|end| end > at)).map(|v| v.memory);
    // A fact that its source did not say then, and says again.
    Ok(known.filter(|m| m.claim.is_none() || !m.metadata.contains_key(WITHDRAWN)))
}

fn cut_to_tokens(deps: &Deps, found: Vec<Found>, max_tokens: Option<usize>) -> Result<Vec<Found>> {
    let Some(mut left) = max_tokens else { return Ok(found) };
    let mut kept = Vec::with_capacity(found.len());
    for item in found {
        let tokens = deps.tokens.count(&item.memory.content)?;
        if tokens <= left {
            left -= tokens;
            kept.push(item);
        }
    }
    Ok(kept)
}

/// What is near in the graph to what the question names, where the caller gives that a weight.
async fn around(deps: &Deps, ctx: &Ctx, text: &str, plan: &Plan) -> Result<BTreeMap<MemoryId, f64>> {
    if plan.graph_weight <= 0.0 {
        return Ok(BTreeMap::new());
    }
    let state = graph_sync::fresh(deps, ctx).await?;
    let moment = moment(plan.filter.now, plan.filter.as_of);
    Ok(View::new(&state.followed.read().graph, moment).memories_near(text))
}

fn moment(now: Timestamp, as_of: Option<Timestamp>) -> Moment {
    as_of.map_or_else(|| Moment::present(now), |at| Moment::past(now, at))
}

/// How near the relations among the hits are to what the question names, where that has no weight and is only told. Where no hit is
/// a relation, no graph is asked.
async fn near_in_graph(
    deps: &Deps,
    ctx: &Ctx,
    query: &str,
    as_of: Option<Timestamp>,
    search: &mut Search,
) -> Result<()> {
    let ids: Vec<MemoryId> = search.found.iter().filter(|f| f.memory.claim.is_some()).map(|f| f.memory.id).collect();
    if ids.is_empty() {
        return Ok(());
    }
    let moment = moment(deps.clock.now(), as_of);
    let state = graph_sync::fresh(deps, ctx).await?;
    let nearness = View::new(&state.followed.read().graph, moment).nearness(query, &ids);
    let mut nearness = nearness.into_iter();
    for found in search.found.iter_mut().filter(|f| f.memory.claim.is_some()) {
        found.ranked.signals.graph = nearness.next().unwrap_or(0.0);
    }
    Ok(())
}

async fn rerank(deps: &Deps, query: &str, search: &mut Search) {
    let said: Vec<_> = search.found.iter().map(|f| mark::blanked(&f.memory.content)).collect();
    let texts: Vec<&str> = said.iter().map(AsRef::as_ref).collect();
    let scores = match &deps.reranker {
        Some(reranker) => reranker.score(query, &texts).await,
        None => Err(Error::unsupported("no reranker is configured")),
    };
    match scores {
        Ok(scores) if scores.len() == texts.len() && scores.iter().all(|s| s.is_finite()) => {
            let mut order: Vec<(f32, Found)> = scores.into_iter().zip(search.found.drain(..)).collect();
            order.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.memory.id.cmp(&b.1.memory.id)));
            search.found = order.into_iter().map(|(_, found)| found).collect();
        }
        Ok(_) | Err(_) => search.degraded.push("rerank".to_owned()),
    }
}

fn hit(found: Found) -> Hit {
    let Found { ranked, memory } = found;
    let (start, end) = passage(&memory, ranked.piece);
    let before = memory.content[..start].chars().count();
    let within = memory.content[start..end].chars().count();
    Hit {
        id: memory.id,
        passage: Passage { start: before, end: before + within },
        content: memory.content,
        score: ranked.score,
        relevance: ranked.relevance,
        // As stored; the index keeps it in fewer bits.
        signals: Signals { importance: memory.importance, ..ranked.signals },
        kind: memory.kind,
        layer: memory.layer,
        role: memory.role,
        speaker: memory.speaker,
        session_id: memory.session_id,
        tags: memory.tags,
        metadata: memory.metadata,
        occurred_at: memory.occurred_at,
        created_at: memory.created_at,
        importance: memory.importance,
        version: memory.version,
    }
}

/// Byte range of the best piece; the whole text when it has one piece, or changed since it was indexed.
pub(super) fn passage(memory: &Memory, piece: usize) -> (usize, usize) {
    let whole = (0, memory.content.len());
    if piece == 0 && memory.content.len() < 256 {
        return whole; // too short for a second piece
    }
    let span = piece_spans(memory).get(piece).copied().unwrap_or(whole);
    if memory.content.get(span.0..span.1).is_some() { span } else { whole }
}

fn trace(
    state: &ScopeState,
    text: &str,
    embed_text: &str,
    weights: &Weights,
    (dense, scored, pool): (usize, usize, usize),
    clock: Stages,
) -> Value {
    let index = state.index.read();
    let query = Query::new(&index, text);
    json!({
        "query": {
            "known_terms": query.resolved.terms.len(),
            "known_terms_max": QUERY_TERMS_MAX,
            "embedded": embed_text,
            "embedded_tokens_max": EMBED_TOKENS_MAX,
            "speaker": query.speaker.as_ref().and_then(|s| index.speaker_name(s)),
            "first_person": query.first_person,
        },
        "candidates": { "memories": index.len(), "dense": dense, "scored": scored, "pool": pool },
        "weights": weights,
        "seconds": clock.done(),
    })
}

fn trace_with_hits(mut trace: Value, found: &[Found]) -> Value {
    let raw = |f: &Found| {
        let [cosine, words, passage] = f.ranked.raw;
        json!({ "id": f.ranked.id, "score": f.ranked.score, "relevance": f.ranked.relevance,
                "cosine": cosine, "bm25": words, "bm25_passage": passage, "piece": f.ranked.piece })
    };
    if let Some(object) = trace.as_object_mut() {
        object.insert("hits".to_owned(), found.iter().map(raw).collect());
    }
    trace
}

/// Seconds per stage, for the trace.
struct Stages {
    last: Instant,
    stages: Map<String, Value>,
}

impl Stages {
    fn new() -> Self {
        Self { last: Instant::now(), stages: Map::new() }
    }

    fn stage(&mut self, name: &str) {
        let now = Instant::now();
        self.stages.insert(name.to_owned(), (now - self.last).as_secs_f64().into());
        self.last = now;
    }

    fn done(self) -> Value {
        Value::Object(self.stages)
    }
}
