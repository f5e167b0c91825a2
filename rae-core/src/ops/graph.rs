//! Asking the knowledge graph: entities, neighbors, paths, subgraphs; at any time, and as it was known at a snapshot.

use super::snapshot::instant_of;
use crate::{
    Ctx,
    deps::Deps,
    error::{Error, Result},
    graph::{EntityPage, Moment, Neighborhood, Path, Place, Subgraph, View},
    ingest::{check_query, event_name},
    jobs::graph_sync,
    limits::{CLAIM_NAME_CHARS_MAX, GRAPH_DEPTH_MAX, GRAPH_ENTITIES_MAX, GRAPH_STARTS_MAX},
    model::{Claim, Scope, Timestamp},
};
use serde::{Deserialize, Serialize};

/// What `entities` takes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EntitiesOptions {
    /// A name, the beginning of one, or words of it; default: all entities.
    pub query: Option<String>,
    /// Size of a page, 1 to 1,000; default 50. Wide, so that any number a caller has is judged here.
    pub limit: i64,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// What held at this time; default: what holds now, or did at the snapshot, and was not superseded.
    pub at: Option<Timestamp>,
    /// What was known when this snapshot was taken; default: what is known now.
    pub snapshot: Option<String>,
}

impl Default for EntitiesOptions {
    fn default() -> Self {
        Self { query: None, limit: 50, cursor: None, at: None, snapshot: None }
    }
}

/// What `neighbors` takes beside the entity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NeighborsOptions {
    /// How many relations away at most, 1 to 5; default 1.
    pub depth: i64,
    /// Only by this relation.
    pub relation: Option<String>,
    /// Most neighbors, 1 to 1,000; default 50.
    pub limit: i64,
    /// What held at this time; default: what holds now, or did at the snapshot, and was not superseded.
    pub at: Option<Timestamp>,
    /// What was known when this snapshot was taken; default: what is known now.
    pub snapshot: Option<String>,
}

impl Default for NeighborsOptions {
    fn default() -> Self {
        Self { depth: 1, relation: None, limit: 50, at: None, snapshot: None }
    }
}

/// What `path` takes beside its ends.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PathOptions {
    /// What held at this time; default: what holds now, or did at the snapshot, and was not superseded.
    pub at: Option<Timestamp>,
    /// What was known when this snapshot was taken; default: what is known now.
    pub snapshot: Option<String>,
}

/// What `subgraph` takes beside the entities.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SubgraphOptions {
    /// How many relations away at most, 0 to 5; default 2. With 0 the relations among the entities alone.
    pub depth: i64,
    /// Most entities, 1 to 1,000; default 200.
    pub limit: i64,
    /// What held at this time; default: what holds now, or did at the snapshot, and was not superseded.
    pub at: Option<Timestamp>,
    /// What was known when this snapshot was taken; default: what is known now.
    pub snapshot: Option<String>,
}

impl Default for SubgraphOptions {
    fn default() -> Self {
        Self { depth: 2, limit: 200, at: None, snapshot: None }
    }
}

pub(crate) async fn entities(deps: &Deps, scope: &Scope, options: EntitiesOptions) -> Result<EntityPage> {
    let ctx = deps.ctx(scope)?;
    let limit = check_limit(options.limit)?;
    let after: Option<Place> = options.cursor.as_deref().map(str::parse).transpose()?;
    if let Some(query) = &options.query {
        check_query(query)?;
    }
    let time = (options.at, options.snapshot);
    seen(deps, &ctx, time, |view| Ok(view.entities(options.query.as_deref(), after.as_ref(), limit))).await
}

pub(crate) async fn neighbors(
    deps: &Deps,
    scope: &Scope,
    entity: &str,
    options: NeighborsOptions,
) -> Result<Neighborhood> {
    let ctx = deps.ctx(scope)?;
    check_name("entity", entity)?;
    let (depth, limit) = (check_depth(options.depth, 1)?, check_limit(options.limit)?);
    let relation = options.relation.as_deref().map(Claim::relation_key).transpose()?;
    let time = (options.at, options.snapshot);
    seen(deps, &ctx, time, |view| Ok(view.neighbors(entity, depth, relation.as_deref(), limit))).await
}

pub(crate) async fn path(
    deps: &Deps,
    scope: &Scope,
    from: &str,
    to: &str,
    options: PathOptions,
) -> Result<Option<Path>> {
    let ctx = deps.ctx(scope)?;
    check_name("a", from)?;
    check_name("b", to)?;
    seen(deps, &ctx, (options.at, options.snapshot), |view| view.path(from, to)).await
}

pub(crate) async fn subgraph(
    deps: &Deps,
    scope: &Scope,
    entities: &[String],
    options: SubgraphOptions,
) -> Result<Subgraph> {
    let ctx = deps.ctx(scope)?;
    if !(1..=GRAPH_STARTS_MAX).contains(&entities.len()) {
        return Err(Error::invalid(format!("entities must be 1 to {GRAPH_STARTS_MAX} names")));
    }
    entities.iter().try_for_each(|name| check_name("an entity", name))?;
    let (depth, limit) = (check_depth(options.depth, 0)?, check_limit(options.limit)?);
    let names: Vec<&str> = entities.iter().map(String::as_str).collect();
    let time = (options.at, options.snapshot);
    seen(deps, &ctx, time, |view| Ok(view.subgraph(&names, depth, limit))).await
}

/// Asks the graph at a time, and as it was known at a snapshot.
async fn seen<T>(
    deps: &Deps,
    ctx: &Ctx,
    (at, snapshot): (Option<Timestamp>, Option<String>),
    ask: impl FnOnce(&mut View<'_>) -> Result<T>,
) -> Result<T> {
    let now = deps.clock.now();
    let Some(label) = snapshot else {
        let moment = at.map_or_else(|| Moment::present(now), |at| Moment::past(now, at));
        let state = graph_sync::fresh(deps, ctx).await?;
        let followed = state.followed.read();
        return ask(&mut View::new(&followed.graph, moment));
    };
    event_name("snapshot", Some(&label))?;
    let then = instant_of(deps, ctx, &label).await?;
    let moment = at.map_or_else(|| Moment::known(now, then), |at| Moment::past(now, at));
    let graph = graph_sync::known(deps, ctx, then).await?;
    ask(&mut View::new(&graph, moment))
}

fn check_limit(limit: i64) -> Result<usize> {
    let size = usize::try_from(limit).ok().filter(|n| (1..=GRAPH_ENTITIES_MAX).contains(n));
    let message = format!("limit must be a whole number from 1 to {GRAPH_ENTITIES_MAX}");
    size.ok_or_else(|| Error::invalid(message).with_code("invalid_limit"))
}

fn check_depth(depth: i64, least: usize) -> Result<usize> {
    let depth = usize::try_from(depth).ok().filter(|n| (least..=GRAPH_DEPTH_MAX).contains(n));
    let message = format!("depth must be a whole number from {least} to {GRAPH_DEPTH_MAX}");
    depth.ok_or_else(|| Error::invalid(message).with_code("invalid_depth"))
}

/// A name that a relation could have.
fn check_name(what: &str, name: &str) -> Result<()> {
    if Claim::name_key(name).is_empty() {
        return Err(Error::invalid(format!("{what} must be a name, and not empty")));
    }
    if name.chars().count() > CLAIM_NAME_CHARS_MAX {
        return Err(Error::invalid(format!("{what} is longer than {CLAIM_NAME_CHARS_MAX} characters")));
    }
    Ok(())
}
