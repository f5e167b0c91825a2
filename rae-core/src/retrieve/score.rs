//! The score: a sum of normalised parts (retrieval.md section 2; docs/concepts/recall.md).

use super::candidates::Query;
use crate::{
    lexical::{DocFilter, DocMeta, ScopeIndex, Slot},
    model::{Layer, MemoryId, Timestamp},
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashMap};

/// Weights of the parts. The defaults were chosen on the development conversations of docs/benchmarks.md.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Weights {
    /// Cosine of the text and the question.
    pub dense: f64,
    /// BM25 of the best piece, over the best of all.
    pub lexical: f64,
    /// BM25 of the text with its neighbours of the same exchange, over the best.
    pub passage: f64,
    /// The question names this speaker, or says "I" and a user spoke.
    pub actor: f64,
    /// The best candidate of the same session.
    pub session: f64,
    /// Share of `lexical` and `passage` in what makes a session good.
    pub session_words: f64,
    /// Recency: at most this much for something that happened just now.
    pub recency: f64,
    /// Importance above or below the layer's default; nothing at the default.
    pub importance: f64,
    /// Strength below 1; nothing at 1.
    pub strength: f64,
    /// Nearness in the graph of relations to what the question names. 0 where the caller gives none: see docs/benchmarks.md.
    pub graph: f64,
    /// Best of each part that enter the pool.
    pub pool: usize,
}

impl Weights {
    /// For an embedder: 0.5 for the built-in table's cosines, 1 for a model's.
    pub fn for_embedder(is_cheap: bool) -> Self {
        Self {
            dense: if is_cheap { 0.5 } else { 1.0 },
            lexical: 0.3,
            passage: 0.5,
            actor: 0.4,
            session: 0.5,
            session_words: 0.3,
            recency: 0.02,
            importance: 0.1,
            strength: 0.1,
            graph: 0.0,
            pool: 50,
        }
    }

    /// The largest sum of the parts: what the score is divided by.
    fn total(&self) -> f64 {
        let session = self.session * (self.dense + 2.0 * self.session_words);
        self.dense + self.lexical + self.passage + self.actor + session + self.recency + self.importance + self.graph
    }
}

/// The parts of a hit's score, each 0 to 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Signals {
    /// Cosine to the question, negative ones as 0.
    pub dense: f64,
    /// Word score over the best of all.
    pub lexical: f64,
    /// Word score with neighbours over the best.
    pub passage: f64,
    /// 1 when the question is about who spoke, 0.5 for one of two reasons.
    pub actor: f64,
    /// How good the best of its session is.
    pub session: f64,
    /// Nearness to a time the question names; 0 until it is used.
    pub time: f64,
    /// Nearness in the knowledge graph: 1 for a relation of an entity that the question names, 0.5 for one of its neighbors'. Told, and
    /// part of the score where the caller gives it a weight; then memories that such a relation was read from have it, too.
    pub graph: f64,
    /// 0.5 to the power of age over the layer's half-life; 0 for layers that do not age.
    pub recency: f64,
    /// Importance as stored.
    pub importance: f64,
}

/// One scored candidate.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ranked {
    pub id: MemoryId,
    /// 0 to 1.
    pub score: f64,
    /// Absolute: does not look at the other candidates. 0 to 1.
    pub relevance: f64,
    pub signals: Signals,
    /// The best piece of a long text.
    pub piece: usize,
    /// Not normalised: cosine, word score, word score with neighbours.
    pub raw: [f64; 3],
}

/// Least relevance of what the one speaker whom the question names said.
const NAMED_RELEVANCE: f64 = 0.2;

struct Parts {
    slot: Slot,
    named: bool,
    id: MemoryId,
    cos: f64,
    words: f64,
    passage: f64,
    actor: f64,
    graph: f64,
    piece: usize,
    /// Everything but the session part.
    own: f64,
    /// What the session part is made of.
    base: f64,
}

/// Scores and sorts the candidates: the best first, ties by id.
///
/// `cosines` go with `ids` by position. `best_words` is the best word score of all allowed memories.
pub(crate) fn rank(
    index: &ScopeIndex,
    query: &Query,
    filter: &DocFilter,
    (ids, cosines): (&[MemoryId], &[Option<f32>]),
    best_words: f32,
    weights: &Weights,
    k: usize,
) -> Vec<Ranked> {
    let mut parts = parts(index, query, filter, ids, cosines);
    let best_words = parts.iter().fold(f64::from(best_words), |m, p| m.max(p.words));
    let best_passage = parts.iter().fold(0.0_f64, |m, p| m.max(p.passage));
    for part in &mut parts {
        let (b, p) = (over(part.words, best_words), over(part.passage, best_passage));
        part.own = weights.dense * part.cos + weights.lexical * b + weights.passage * p + weights.actor * part.actor;
        part.own += weights.graph * part.graph;
        part.base = weights.dense * part.cos + weights.session_words * (b + p);
    }
    let pool = pool(&parts, weights.pool.max(k));
    let sessions = best_of_sessions(index, &parts, &pool);
    let seen = visibility(filter);
    let seen = index.matcher(&seen);
    let visible = |slot: Slot| seen.allows(slot);
    let finish_one = |i: usize| {
        let part = &parts[i];
        let session = index.session_of(part.slot).and_then(|s| sessions.get(&s)).copied().unwrap_or(part.base);
        let coverage = f64::from(index.coverage(part.slot, &query.resolved, &visible));
        let words = (over(part.words, best_words), over(part.passage, best_passage));
        finish(index.meta(part.slot)?, filter.now, part, words, session, coverage, weights)
    };
    let mut ranked: Vec<Ranked> = pool.into_iter().filter_map(finish_one).collect();
    ranked.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.id.cmp(&b.id)));
    ranked
}

/// What a reader may see at all, whatever is asked for: a neighbour outside the question's filter still gives context, one that
/// expired or ended gives nothing.
fn visibility(filter: &DocFilter) -> DocFilter {
    DocFilter { as_of: filter.as_of, known_at: filter.known_at, ..DocFilter::at(filter.now) }
}

fn over(value: f64, best: f64) -> f64 {
    if best > 0.0 { value / best } else { 0.0 }
}

fn parts(
    index: &ScopeIndex,
    query: &Query,
    filter: &DocFilter,
    ids: &[MemoryId],
    cosines: &[Option<f32>],
) -> Vec<Parts> {
    let matcher = index.matcher(filter);
    let seen = visibility(filter);
    let seen = index.matcher(&seen);
    let visible = |slot: Slot| seen.allows(slot);
    let mut out = Vec::with_capacity(ids.len());
    for (&id, cosine) in ids.iter().zip(cosines) {
        // Deleted or hidden since the candidates were collected.
        let Some(slot) = index.slot_of(id) else { continue };
        let Some(meta) = index.meta(slot).filter(|_| matcher.allows(slot)) else { continue };
        let (words, piece) = index.piece_score(slot, &query.resolved);
        let passage = index.passage_score(slot, &query.resolved, &visible);
        let named = query.speaker.as_ref().is_some_and(|s| index.is_speaker(slot, s));
        let first = query.first_person && meta.role_is_user();
        let cos = f64::from(cosine.unwrap_or(0.0));
        let graph = query.near.get(&id).copied().unwrap_or(0.0);
        // Nothing at all speaks for it: returning it would be noise.
        if cos <= 0.0 && words <= 0.0 && passage <= 0.0 && graph <= 0.0 {
            continue;
        }
        out.push(Parts {
            slot,
            named,
            id,
            cos,
            words: f64::from(words),
            passage: f64::from(passage),
            actor: f64::from(u8::from(named)) + f64::from(u8::from(first)),
            graph,
            piece,
            own: 0.0,
            base: 0.0,
        });
    }
    out
}

/// Positions of the best `n` by each part, without doubles, ascending.
fn pool(parts: &[Parts], n: usize) -> Vec<usize> {
    let mut pool = BTreeSet::new();
    let keys: [fn(&Parts) -> f64; 4] = [|p| p.cos, |p| p.words, |p| p.passage, |p| p.own];
    for key in keys {
        let mut order: Vec<usize> = (0..parts.len()).collect();
        let better =
            |&a: &usize, &b: &usize| key(&parts[b]).total_cmp(&key(&parts[a])).then(parts[a].id.cmp(&parts[b].id));
        if order.len() > n {
            order.select_nth_unstable_by(n, better);
            order.truncate(n);
        }
        pool.extend(order);
    }
    pool.into_iter().collect()
}

fn best_of_sessions(index: &ScopeIndex, parts: &[Parts], pool: &[usize]) -> HashMap<u32, f64> {
    let mut best: HashMap<u32, f64> = HashMap::new();
    for &i in pool {
        if let Some(session) = index.session_of(parts[i].slot) {
            let entry = best.entry(session).or_insert(f64::MIN);
            *entry = entry.max(parts[i].base);
        }
    }
    best
}

fn finish(
    meta: &DocMeta,
    now: Timestamp,
    part: &Parts,
    (words, passage): (f64, f64),
    session: f64,
    coverage: f64,
    weights: &Weights,
) -> Option<Ranked> {
    let recency = recency(meta.layer(), now, Timestamp::from_micros(meta.event_time()).ok()?);
    let (importance, strength) = (f64::from(meta.importance()), f64::from(meta.strength()));
    let sum = part.own
        + weights.session * session
        + weights.recency * recency
        + weights.importance * (importance - meta.layer().policy().default_importance)
        + weights.strength * (strength - 1.0);
    let session_best = weights.dense + 2.0 * weights.session_words;
    let dense = part.cos.clamp(0.0, 1.0);
    Some(Ranked {
        id: part.id,
        score: (sum / weights.total()).clamp(0.0, 1.0),
        // A question that names a person is about what they said, whatever the words.
        relevance: (0.5 * dense + 0.5 * coverage).max(if part.named { NAMED_RELEVANCE } else { 0.0 }).clamp(0.0, 1.0),
        signals: Signals {
            dense,
            lexical: words.clamp(0.0, 1.0),
            passage: passage.clamp(0.0, 1.0),
            actor: (part.actor / 2.0).min(1.0),
            session: (session / session_best).clamp(0.0, 1.0),
            time: 0.0,
            graph: part.graph,
            recency,
            importance: importance.clamp(0.0, 1.0),
        },
        piece: part.piece,
        raw: [part.cos, part.words, part.passage],
    })
}

fn recency(layer: Layer, now: Timestamp, event: Timestamp) -> f64 {
    match layer.policy().half_life_days {
        Some(half_life) => 0.5_f64.powf((now.days_since(event) / half_life).max(0.0)),
        None => 0.0,
    }
}
