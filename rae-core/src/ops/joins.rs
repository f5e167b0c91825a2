//! Names that are one entity for sure, joined by `maintain`: a `same_as` relation for each, which tells by its tag that nobody wrote it,
//! and a change that can be undone. Ending it parts the names for good; `graph/join.rs` says what is sure. No model is called.

use super::{
    change_of, change_row,
    remember::{Along, Item, commit},
};
use crate::{
    Ctx,
    deps::Deps,
    error::{ErrorKind, Result},
    graph::{ALIAS_PHRASES, Join, SAME_AS, Stated, stated},
    ingest::NewRelation,
    jobs::graph_sync,
    lexical::mark,
    limits::{GRAPH_ALIAS_TEXTS_MAX, GRAPH_JOINS_MAX, PAGE_MAX},
    model::{
        CLAIM_SESSION, Cmp, Field, Filter, Memory, MemoryId, MemoryPatch, Op, PatchMode, Precondition, Scan, Scope,
        Timestamp, Value as Wanted, key_of_ended,
    },
};
use serde_json::json;
use uuid::Uuid;

/// What marks the relations that are made here; others are their writers'.
const TAG: &str = "rae:joined";
/// Roles in which nobody speaks of what they know.
const MACHINES: &[&str] = &["assistant", "system", "tool"];

/// Whether `maintain` made this relation.
pub(super) fn is_joined(memory: &Memory) -> bool {
    memory.claim.is_some() && memory.tags.iter().any(|tag| tag == TAG)
}

/// Joins what is sure, and parts what was joined here and is another owner's now, too; gives how many relations were made or removed.
pub(crate) async fn join(deps: &Deps, scope: &Scope) -> Result<u64> {
    let ctx = deps.ctx(scope)?;
    if deps.relational.capability().read_only || deps.relational.claimed(&ctx, None, 1).await?.is_empty() {
        return Ok(0);
    }
    let mut changed = part(deps, &ctx).await?;
    let texts = texts(deps, &ctx).await?;
    let state = graph_sync::fresh(deps, &ctx).await?;
    let joins = state.followed.read().graph.joins(deps.clock.now(), &texts, GRAPH_JOINS_MAX);
    for join in joins {
        changed += u64::from(write(deps, &ctx, join).await?);
    }
    if changed > 0 {
        deps.background.nudge(scope);
    }
    Ok(changed)
}

/// What memories that are no relations say of names.
async fn texts(deps: &Deps, ctx: &Ctx) -> Result<Vec<Stated>> {
    let contains = |phrase: &&str| Filter::Cmp(Field::Content, Cmp::Contains(Wanted::Text((*phrase).to_owned())));
    let said = Filter::Or(ALIAS_PHRASES.iter().map(contains).collect());
    let no_relation = Filter::Cmp(Field::Subject, Cmp::Eq(Wanted::Null));
    let scan = Scan { filter: Some(Filter::And(vec![no_relation, said])), after: None, limit: GRAPH_ALIAS_TEXTS_MAX };
    let now = deps.clock.now();
    let mut found = Vec::new();
    for memory in deps.relational.scan(ctx, &scan).await? {
        let is_machine = memory.role.as_deref().is_some_and(|role| MACHINES.contains(&role));
        // What was made of other memories says nothing new, and what is over is no longer said.
        let is_derived = !memory.provenance.derived_from.is_empty();
        let is_over = memory.superseded_by.is_some() || memory.valid_to.is_some_and(|end| end <= now);
        if is_machine || is_derived || is_over || memory.is_expired(now) {
            continue;
        }
        let owner = graph_sync::owner(&memory);
        for (name, alias) in stated(&mark::without_blocks(&memory.content)) {
            found.push(Stated { name, alias, source: memory.id, owner });
        }
    }
    Ok(found)
}

/// Writes one join; whether it was. Where what shows it changes meanwhile, the next round looks again.
async fn write(deps: &Deps, ctx: &Ctx, join: Join) -> Result<bool> {
    let now = deps.clock.now();
    let mut shown = Vec::new();
    for memory in deps.relational.get(ctx, &join.sources).await? {
        let Some(memory) = memory.filter(|m| !m.is_expired(now)) else { return Ok(false) };
        shown.push(memory);
    }
    let Some(first) = shown.first() else { return Ok(false) };
    if shown.iter().any(|m| graph_sync::owner(m) != graph_sync::owner(first)) {
        return Ok(false);
    }
    let relation =
        NewRelation { valid_from: Some(join.valid_from), ..NewRelation::new(&join.alias, SAME_AS, &join.name) };
    let mut memory = relation.into_memory(ctx.scope(), MemoryId(Uuid::nil()), now)?;
    memory.user_id.clone_from(&first.user_id);
    memory.agent_id.clone_from(&first.agent_id);
    memory.info_class = first.info_class;
    memory.trust_level = first.trust_level;
    memory.tags = vec![TAG.to_owned()];
    memory.provenance.derived_from.clone_from(&join.sources);
    if let Some(session) = first.claim_session() {
        memory.metadata.insert(CLAIM_SESSION.to_owned(), session.into());
    }
    memory.expires_at = shown.iter().filter_map(|m| m.expires_at).min();
    // Made anew, as it now has an owner.
    memory.dedup_key = crate::ingest::dedup_key(&memory);
    memory.id = deps.ids.next(now);
    let details = json!({ "from": join.sources, "because": if join.is_stated { "stated" } else { "spelling" } });
    let put = Op::PutMemory { memory: Box::new(memory.clone()), vector: None, idempotency: None };
    let row = change_row("joined", change_of(memory.id), &[put], &[], None, details);
    let mut preconditions: Vec<_> = shown.iter().map(|m| Precondition::VersionIs(m.id, m.version)).collect();
    // What somebody says of these names at the same time is theirs: nothing merges into it.
    preconditions.extend(memory.dedup_key.map(Precondition::KeyFree));
    let along = Along { preconditions, ops: vec![row] };
    let item = Item { memory, idempotency: None, infer: false };
    match commit(deps, ctx, vec![item], along).await {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.kind(), ErrorKind::Conflict | ErrorKind::NotFound) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Ends joins of names that relations of others have now, too. One that is over says that it is not to be made again.
async fn part(deps: &Deps, ctx: &Ctx) -> Result<u64> {
    let filter = Filter::And(vec![
        Filter::Cmp(Field::Relation, Cmp::Eq(Wanted::Text(SAME_AS.to_owned()))),
        Filter::Cmp(Field::Tags, Cmp::Contains(Wanted::Text(TAG.to_owned()))),
    ]);
    let scan = Scan { filter: Some(filter), after: None, limit: PAGE_MAX };
    let (mut all, now) = (deps.relational.scan(ctx, &scan).await?, deps.clock.now());
    // One that somebody said too is theirs, and so is one that somebody changed, or brought back by an undo, and one that nothing
    // shows: callers may use the tag.
    let is_ours = |m: &Memory| m.witness_count == 1 && m.version == 1 && !m.provenance.derived_from.is_empty();
    all.retain(|m| is_ours(m) && m.valid_to.is_none_or(|end| now < end) && m.superseded_by.is_none());
    if all.is_empty() {
        return Ok(0);
    }
    let state = graph_sync::fresh(deps, ctx).await?;
    let is_mixed = |memory: &Memory| {
        let followed = state.followed.read();
        let names = memory.claim.iter().flat_map(|claim| [&claim.subject, &claim.object]);
        names.into_iter().any(|name| followed.graph.owner(name) != Some(graph_sync::owner(memory)))
    };
    let mixed: Vec<&Memory> = all.iter().filter(|memory| is_mixed(memory)).collect();
    if mixed.is_empty() {
        return Ok(0);
    }
    let parted = mixed.len() as u64;
    let ops = mixed.iter().map(|memory| end(memory, now)).collect::<Result<Vec<Op>>>()?;
    let unchanged = mixed.iter().map(|m| Precondition::VersionIs(m.id, m.version)).collect();
    let mut batch = deps.batch_if(unchanged, ops);
    batch.ops.push(change_row("parted", batch.id, &batch.ops, &mixed, None, json!({})));
    match deps.relational.apply(ctx, batch).await {
        Ok(_) => Ok(parted),
        // Changed meanwhile: the next round looks again.
        Err(error) if matches!(error.kind(), ErrorKind::Conflict | ErrorKind::NotFound) => Ok(0),
        Err(error) => Err(error),
    }
}

/// Ends a join now, or at once where it would begin later.
fn end(memory: &Memory, now: Timestamp) -> Result<Op> {
    let first = Timestamp::from_micros(memory.valid_start().micros().saturating_add(1))?;
    let patch = MemoryPatch {
        valid_to: Some(Some(now.max(first))),
        // Who says it again makes a relation of their own.
        dedup_key: key_of_ended(memory),
        ..MemoryPatch::default()
    };
    Ok(Op::PatchMemory { id: memory.id, patch: Box::new(patch), mode: PatchMode::NewVersion, vector: None })
}
