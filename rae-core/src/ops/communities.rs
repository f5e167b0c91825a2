//! Summaries of the communities of the knowledge graph, kept by `maintain`: one memory of kind `entity-summary` for each community,
//! derived from the relations that it tells of. No model is called, and nothing is written where nothing changed.

use crate::{
    Ctx,
    cost::Embedded,
    deps::Deps,
    error::{Error, ErrorKind, Result},
    graph::{Community, Graph, Moment, View},
    ingest::NewMemory,
    jobs::{embed_debt, graph_sync},
    limits::{
        COMMUNITIES_MAX, COMMUNITY_ENTITIES_MIN, COMMUNITY_NAMES_MAX, GRAPH_COMMUNITY_ENTITIES_MAX, INDEX_DELTA_PAGE,
    },
    model::{
        Claim, Filter, InfoClass, Kind, Layer, Memory, MemoryId, Op, Precondition, Scan, Scope, Timestamp, VectorRow,
    },
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
    let (now, head) = (deps.clock.now(), deps.relational.head(&ctx).await?.seq);
    if deps.graphs.is_told(scope, head, now) {
        return Ok(0);
    }
    let present = present(deps, &ctx).await?;
    let (graph, until) = tellable(deps, &ctx, now).await?;
    let mut view = View::new(&graph, Moment::present(now));
    let found = view.communities(GRAPH_COMMUNITY_ENTITIES_MAX, COMMUNITY_ENTITIES_MIN, COMMUNITIES_MAX);
    let mut wanted = Vec::with_capacity(found.len());
    for community in &found {
        wanted.extend(Summary::of(deps, &ctx, community).await?);
    }
    let stale: Vec<MemoryId> = present.iter().filter(|m| !wanted.iter().any(|w| w.is(m))).map(|m| m.id).collect();
    wanted.retain(|w| !present.iter().any(|m| w.is(m)));
    if stale.is_empty() && wanted.is_empty() {
        deps.graphs.told(scope, head, until);
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
    /// It is made of the memories that it names as its sources and of nothing else, so that it holds no word of one that may go
    /// without it. `None` where one of them went meanwhile.
    async fn of(deps: &Deps, ctx: &Ctx, community: &Community) -> Result<Option<Self>> {
        let ids: Vec<MemoryId> = community.relations.iter().map(|r| r.id).collect();
        let memories = deps.relational.get(ctx, &ids).await?;
        let claims: Option<Vec<Claim>> =
            memories.into_iter().map(|memory| memory.filter(may_be_told).and_then(|memory| memory.claim)).collect();
        let Some(claims) = claims.filter(|claims| !claims.is_empty()) else { return Ok(None) };
        let mut names: Vec<&str> = Vec::new();
        for name in claims.iter().flat_map(|claim| [claim.subject.as_str(), claim.object.as_str()]) {
            if names.iter().all(|known| Claim::name_key(known) != Claim::name_key(name)) {
                names.push(name);
            }
        }
        // Those with the most relations first.
        let order: Vec<String> = community.entities.iter().map(|name| Claim::name_key(name)).collect();
        let place = |name: &&str| order.iter().position(|key| *key == Claim::name_key(name)).unwrap_or(order.len());
        names.sort_by_cached_key(place);
        names.truncate(COMMUNITY_NAMES_MAX);
        let more = community.entities.len().saturating_sub(names.len());
        let mut content = match (names.split_last(), more) {
            (Some((last, first)), 0) => format!("{} and {last} belong together.", first.join(", ")),
            _ => format!("{} and {more} more belong together.", names.join(", ")),
        };
        for claim in &claims {
            let verb = claim.relation.replace('_', " ");
            content.push_str(&format!(" {} {verb} {}.", claim.subject, claim.object));
        }
        let names = names.into_iter().map(str::to_owned).collect();
        Ok(Some(Self { content, names, sources: ids.into_iter().collect() }))
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

/// Whether everybody in the project may read a relation, for as long as a summary stands: it has neither an owner nor a class nor an
/// end of its own.
fn may_be_told(memory: &Memory) -> bool {
    let has_owner = memory.user_id.is_some() || memory.agent_id.is_some() || memory.claim_session().is_some();
    !has_owner && memory.info_class <= InfoClass::Internal && memory.expires_at.is_none()
}

/// The graph of what may be told, and until when it is the same if nothing is written. The others are not in it at all: who belongs
/// together, and under which name, would tell of them.
async fn tellable(deps: &Deps, ctx: &Ctx, now: Timestamp) -> Result<(Graph, Option<Timestamp>)> {
    let (mut graph, mut until, mut after) = (Graph::new(), None, None);
    loop {
        ctx.check()?;
        let page = deps.relational.claimed(ctx, after, INDEX_DELTA_PAGE).await?;
        let Some(last) = page.last() else { return Ok((graph, until)) };
        after = Some(last.id);
        for edge in page.iter().filter(|memory| may_be_told(memory)).filter_map(graph_sync::edge) {
            for change in [Some(edge.valid_from), edge.valid_to].into_iter().flatten().filter(|at| *at > now) {
                until = Some(until.map_or(change, |known: Timestamp| known.min(change)));
            }
            graph.upsert(edge);
        }
    }
}

/// The summaries that are there.
async fn present(deps: &Deps, ctx: &Ctx) -> Result<Vec<Memory>> {
    let filter = Filter::parse(&json!({ "and": [{ "kind": "entity-summary" }, { "tags": { "contains": TAG } }] }))?;
    // Two processes at once may leave some twice; what is more than there can be goes at the next times.
    let scan = Scan { filter: Some(filter), after: None, limit: 2 * COMMUNITIES_MAX };
    let mut found = deps.relational.scan(ctx, &scan).await?;
    // A caller may use the tag as well, but cannot say what a memory is derived from.
    found.retain(|memory| !memory.provenance.derived_from.is_empty());
    Ok(found)
}

async fn write(deps: &Deps, ctx: &Ctx, new: Vec<Summary>, stale: Vec<MemoryId>, now: Timestamp) -> Result<()> {
    let memories = new.into_iter().map(|w| w.memory(deps, ctx.scope(), now)).collect::<Result<Vec<_>>>()?;
    let embedder = deps.embedder();
    let Embedded { mut vectors, failed } = embed_debt::embed_documents(deps, ctx, &*embedder, &memories).await;
    let (embedded, memory_count) = (vectors.len(), memories.len());
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
    let removed = ops.iter().filter(|op| matches!(op, Op::DeleteMemory { .. })).count();
    let mut batch = deps.batch(ops);
    // Numbers alone: what follows from the relations cannot be undone but by them.
    super::count_row(&mut batch, "communities", json!({ "written": memory_count, "removed": removed }));
    let same_embedder = Precondition::EmbedderIs(embedder.id().to_owned());
    batch.preconditions.push(same_embedder);
    match deps.relational.apply(ctx, batch).await {
        // Re-embedded meanwhile: the next round writes them.
        Err(error) if error.kind() == ErrorKind::Conflict => Err(Error::unavailable("the store is being re-embedded")),
        done => done.map(drop),
    }
}
