//! Summaries of the communities of the knowledge graph, kept by `maintain`: one memory of kind `entity-summary` for each community,
//! derived from the relations that it tells of. No model is called, and nothing is written where nothing changed.

use crate::{
    Ctx,
    cost::Embedded,
    deps::Deps,
    error::{Error, ErrorKind, Result},
    graph::{Community, Moment, View},
    ingest::NewMemory,
    jobs::{embed_debt, graph_sync},
    limits::{COMMUNITIES_MAX, COMMUNITY_ENTITIES_MIN, COMMUNITY_NAMES_MAX, GRAPH_COMMUNITY_ENTITIES_MAX, PAGE_MAX},
    model::{Filter, InfoClass, Kind, Layer, Memory, MemoryId, Op, Precondition, Scan, Scope, Timestamp, VectorRow},
};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// What marks the summaries that are kept here; others are their writers'.
const TAG: &str = "rae:community";

/// Brings the summaries to what the graph says now; gives how many were written or removed. Where there are no relations, summaries
/// that relations left behind as they expired are looked for only with `leftovers`: that goes through all memories.
pub(crate) async fn summarise(deps: &Deps, scope: &Scope, leftovers: bool) -> Result<u64> {
    if deps.relational.capability().read_only {
        return Ok(0);
    }
    let ctx = deps.ctx(scope)?;
    let has_relations = !deps.relational.claimed(&ctx, None, 1).await?.is_empty();
    if !has_relations && !leftovers {
        return Ok(0);
    }
    let present = present(deps, &ctx).await?;
    let now = deps.clock.now();
    let mut wanted = Vec::new();
    if has_relations {
        let state = graph_sync::fresh(deps, &ctx).await?;
        let followed = state.followed.read();
        let mut view = View::new(&followed.graph, Moment::present(now));
        let found = view.communities(GRAPH_COMMUNITY_ENTITIES_MAX, COMMUNITY_ENTITIES_MIN, COMMUNITIES_MAX);
        wanted.extend(found.iter().map(Summary::of));
    }
    let mut for_all = Vec::with_capacity(wanted.len());
    for summary in wanted {
        if may_be_told(deps, &ctx, &summary).await? {
            for_all.push(summary);
        }
    }
    let mut wanted = for_all;
    let stale: Vec<MemoryId> = present.iter().filter(|m| !wanted.iter().any(|w| w.is(m))).map(|m| m.id).collect();
    wanted.retain(|w| !present.iter().any(|m| w.is(m)));
    if stale.is_empty() && wanted.is_empty() {
        return Ok(0);
    }
    let changed = (stale.len() + wanted.len()) as u64;
    write(deps, &ctx, wanted, stale, now).await?;
    deps.background.nudge(scope);
    Ok(changed)
}

/// What a community says.
struct Summary {
    content: String,
    names: Vec<String>,
    sources: BTreeSet<MemoryId>,
}

impl Summary {
    fn of(community: &Community) -> Self {
        let names: Vec<String> = community.entities.iter().take(COMMUNITY_NAMES_MAX).cloned().collect();
        let more = community.entities.len() - names.len();
        let mut content = match (names.split_last(), more) {
            (Some((last, first)), 0) => format!("{} and {last} belong together.", first.join(", ")),
            _ => format!("{} and {more} more belong together.", names.join(", ")),
        };
        for relation in &community.relations {
            let verb = relation.relation.replace('_', " ");
            content.push_str(&format!(" {} {verb} {}.", relation.subject, relation.object));
        }
        Self { content, names, sources: community.relations.iter().map(|r| r.id).collect() }
    }

    fn is(&self, memory: &Memory) -> bool {
        memory.content == self.content
            && memory.provenance.derived_from.len() == self.sources.len()
            && memory.provenance.derived_from.iter().all(|id| self.sources.contains(id))
    }

    fn memory(self, deps: &Deps, scope: &Scope, now: Timestamp) -> Result<Memory> {
        let new = NewMemory {
            kind: Some(Kind::EntitySummary),
            layer: Some(Layer::Semantic),
            tags: vec![TAG.to_owned()],
            metadata: Some(Map::from_iter([("entities".to_owned(), Value::from(self.names))])),
            ..NewMemory::new(self.content)
        };
        let mut memory = new.into_memory(scope, deps.ids.next(now), now)?;
        memory.provenance.derived_from = self.sources.into_iter().collect();
        Ok(memory)
    }
}

/// Whether everybody in the project may read all that a summary repeats, for as long as it stands. It has neither an owner nor a
/// class nor an end of its own.
async fn may_be_told(deps: &Deps, ctx: &Ctx, summary: &Summary) -> Result<bool> {
    let ids: Vec<MemoryId> = summary.sources.iter().copied().collect();
    for page in ids.chunks(PAGE_MAX) {
        let sources = deps.relational.get(ctx, page).await?;
        let open = |m: &Memory| {
            let has_owner = m.user_id.is_some() || m.agent_id.is_some();
            !has_owner && m.info_class <= InfoClass::Internal && m.expires_at.is_none()
        };
        if !sources.iter().all(|m| m.as_ref().is_some_and(open)) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The summaries that are there.
async fn present(deps: &Deps, ctx: &Ctx) -> Result<Vec<Memory>> {
    let filter = Filter::parse(&json!({ "and": [{ "kind": "entity-summary" }, { "tags": { "contains": TAG } }] }))?;
    // Two processes at once may leave some twice; what is more than there can be goes at the next times.
    deps.relational.scan(ctx, &Scan { filter: Some(filter), after: None, limit: 2 * COMMUNITIES_MAX }).await
}

async fn write(deps: &Deps, ctx: &Ctx, new: Vec<Summary>, stale: Vec<MemoryId>, now: Timestamp) -> Result<()> {
    let memories = new.into_iter().map(|w| w.memory(deps, ctx.scope(), now)).collect::<Result<Vec<_>>>()?;
    let embedder = deps.embedder();
    let Embedded { mut vectors, failed } = embed_debt::embed_documents(deps, ctx, &*embedder, &memories).await;
    let embedded = vectors.len();
    vectors.resize(memories.len(), None);
    let owed: Vec<MemoryId> = memories.iter().skip(embedded).map(|m| m.id).collect();
    let mut ops: Vec<Op> = stale.into_iter().map(|id| Op::DeleteMemory { id }).collect();
    for (memory, vector) in memories.into_iter().zip(vectors) {
        let vector = vector.map(|vector| VectorRow { embedder: embedder.id().to_owned(), vector });
        ops.push(Op::PutMemory { memory: Box::new(memory), vector, idempotency: None });
    }
    if let Some(error) = failed {
        ops.push(embed_debt::job(deps, &owed, &error));
    }
    let same_embedder = Precondition::EmbedderIs(embedder.id().to_owned());
    match deps.relational.apply(ctx, deps.batch_if(vec![same_embedder], ops)).await {
        // Re-embedded meanwhile: the next round writes them.
        Err(error) if error.kind() == ErrorKind::Conflict => Err(Error::unavailable("the store is being re-embedded")),
        done => done.map(drop),
    }
}
