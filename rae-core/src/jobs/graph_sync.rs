//! Brings a scope's graph of relations up to the store's head, as `index_sync` does with the words: a question sees each commit
//! that finished before it began, whichever process made it.

use crate::{
    ctx::Ctx,
    deps::Deps,
    error::{Error, ErrorKind, Result},
    graph::{Edge, Graph},
    graphs::{Followed, GraphState, Then},
    limits::{GRAPH_HISTORIES_MAX, GRAPH_REBUILD_CHANGES, INDEX_DELTA_PAGE},
    model::{Changes, Memory, Timestamp},
};
use std::sync::Arc;

/// No embedder has this name: the changes come without vectors.
const NO_EMBEDDER: &str = "";

/// The scope's graph, containing everything that was committed before the call.
pub(crate) async fn fresh(deps: &Deps, ctx: &Ctx) -> Result<Arc<GraphState>> {
    let head = deps.relational.head(ctx).await?;
    let state = deps.graphs.get_or_create(ctx.scope());
    if state.followed.read().applied >= head.seq {
        return Ok(state);
    }
    let _only_one = state.catching_up.lock().await;
    let applied = state.followed.read().applied;
    if applied >= head.seq {
        return Ok(Arc::clone(&state));
    }
    // Far behind, the memories with a claim are fewer than the changes; and where tombstones are gone, what was deleted cannot be
    // known.
    if applied == 0 || applied < head.tombstone_floor || head.seq - applied > GRAPH_REBUILD_CHANGES {
        let graph = rebuilt(deps, ctx).await?;
        *state.followed.write() = Followed { graph, applied: head.seq };
        return Ok(Arc::clone(&state));
    }
    let mut after = applied;
    while after < head.seq {
        ctx.check()?;
        let changes = deps.relational.changes_since(ctx, after, head.seq, INDEX_DELTA_PAGE, NO_EMBEDDER).await?;
        if changes.upto <= after {
            return Err(Error::internal("the change log does not move on"));
        }
        after = changes.upto;
        apply(&mut state.followed.write(), changes);
    }
    Ok(Arc::clone(&state))
}

fn apply(followed: &mut Followed, changes: Changes) {
    for changed in changes.puts {
        match edge(&changed.memory) {
            Some(edge) => followed.graph.upsert(edge),
            None => drop(followed.graph.remove(changed.memory.id)),
        }
    }
    for (_, id) in changes.deletes {
        followed.graph.remove(id);
    }
    followed.applied = followed.applied.max(changes.upto);
}

/// The relation of a memory, where it states one.
pub(crate) fn edge(memory: &Memory) -> Option<Edge> {
    let claim = memory.claim.as_ref()?;
    Some(Edge {
        id: memory.id,
        subject: claim.subject.clone(),
        relation: claim.relation.clone(),
        object: claim.object.clone(),
        weight: claim.weight,
        confidence: memory.confidence,
        valid_from: memory.valid_start(),
        valid_to: memory.valid_to,
        expires_at: memory.expires_at,
        over: memory.superseded_by.is_some(),
        sources: memory.provenance.derived_from.clone(),
        owner: owner(memory),
    })
}

/// Stands for whose a memory is, and of which class. What a nameless speaker states is that of the session.
pub(crate) fn owner(memory: &Memory) -> u128 {
    let mut hash = blake3::Hasher::new();
    let whose = [memory.user_id.as_deref(), memory.agent_id.as_deref(), Some(memory.info_class.as_str())];
    for part in whose.into_iter().chain(memory.claim_session().map(Some)) {
        // The length keeps two lists of texts from reading the same.
        hash.update(&part.map_or(u64::MAX, |part| part.len() as u64).to_le_bytes());
        hash.update(part.unwrap_or_default().as_bytes());
    }
    let mut owner = [0; 16];
    hash.finalize_xof().fill(&mut owner);
    u128::from_le_bytes(owner)
}

/// The graph of all relations as they are. What changes while it is read comes again with the changes.
async fn rebuilt(deps: &Deps, ctx: &Ctx) -> Result<Graph> {
    let mut graph = Graph::new();
    let mut after = None;
    loop {
        ctx.check()?;
        let page = deps.relational.claimed(ctx, after, INDEX_DELTA_PAGE).await?;
        let Some(last) = page.last() else { return Ok(graph) };
        after = Some(last.id);
        page.iter().filter_map(edge).for_each(|edge| graph.upsert(edge));
    }
}

/// The graph as it was known at `at`: relations that were stored by then, in the version of then. What was erased since is in no
/// answer.
pub(crate) async fn known(deps: &Deps, ctx: &Ctx, at: Timestamp) -> Result<Arc<Graph>> {
    let head = deps.relational.head(ctx).await?;
    let state = deps.graphs.get_or_create(ctx.scope());
    let held = state.then.lock().clone();
    if let Some(then) = held.filter(|then| then.at == at && then.seq == head.seq) {
        return Ok(then.graph);
    }
    let mut graph = Graph::new();
    let (mut after, mut histories) = (None, 0);
    loop {
        ctx.check()?;
        let page = deps.relational.claimed(ctx, after, INDEX_DELTA_PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        for memory in page.into_iter().filter(|memory| memory.created_at <= at) {
            let then = if memory.updated_at <= at {
                Some(memory)
            } else {
                histories += 1;
                version_of(deps, ctx, &memory, at).await?
            };
            if let Some(edge) = then.as_ref().and_then(edge) {
                graph.upsert(edge);
            }
        }
        if histories > GRAPH_HISTORIES_MAX {
            let why = format!("more than {GRAPH_HISTORIES_MAX} relations changed since the snapshot");
            return Err(Error::new(ErrorKind::Unsupported, why).with_code("graph_too_large"));
        }
    }
    let graph = Arc::new(graph);
    *state.then.lock() = Some(Then { at, seq: head.seq, graph: Arc::clone(&graph) });
    Ok(graph)
}

/// The version of a memory that was known at `at`: whatever moves a relation's strength or time makes one, a merge too. Of many
/// versions the oldest go: then the first one that is left says it best. `None` where it was erased from between others.
async fn version_of(deps: &Deps, ctx: &Ctx, memory: &Memory, at: Timestamp) -> Result<Option<Memory>> {
    let versions = deps.relational.history(ctx, memory.id).await?;
    let Some(known) = versions.iter().rposition(|v| v.memory.updated_at <= at) else {
        return Ok(versions.into_iter().next().map(|v| v.memory));
    };
    let known = versions.into_iter().nth(known).filter(|v| v.replaced_at.is_none_or(|end| end > at));
    Ok(known.map(|v| v.memory))
}
