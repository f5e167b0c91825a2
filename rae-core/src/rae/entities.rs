//! The verbs of the knowledge graph.

use super::{Rae, named};
use crate::{
    Result,
    graph::{EntityPage, Neighborhood, Path, Subgraph},
    ops::{self, EntitiesOptions, NeighborsOptions, PathOptions, Snapshot, SubgraphOptions},
};

impl Rae {
    /// A page of the entities that relations name: the best fitting ones first, then those with the most relations.
    pub async fn entities(&self, options: EntitiesOptions) -> Result<EntityPage> {
        named("entities", ops::entities(&self.deps, &self.scope, options).await)
    }

    /// What is around an entity, the nearest first. Nothing is around a name that no relation has.
    pub async fn neighbors(&self, entity: &str, options: NeighborsOptions) -> Result<Neighborhood> {
        named("neighbors", ops::neighbors(&self.deps, &self.scope, entity, options).await)
    }

    /// The cheapest way from `a` to `b`, where each relation costs 1 over its weight times its confidence; `None` where there is none.
    pub async fn path(&self, a: &str, b: &str, options: PathOptions) -> Result<Option<Path>> {
        named("path", ops::path(&self.deps, &self.scope, a, b, options).await)
    }

    /// The entities around some, and the relations among them all.
    pub async fn subgraph(&self, entities: &[String], options: SubgraphOptions) -> Result<Subgraph> {
        named("subgraph", ops::subgraph(&self.deps, &self.scope, entities, options).await)
    }

    /// Gives the present instant a name, by which the graph can be asked later as it was known now. Conflict (`snapshot_exists`) for
    /// a name that is taken.
    pub async fn snapshot(&self, label: &str) -> Result<Snapshot> {
        named("snapshot", ops::snapshot(&self.deps, &self.scope, label).await)
    }

    /// The snapshots of the project, oldest first.
    pub async fn snapshots(&self) -> Result<Vec<Snapshot>> {
        named("snapshots", ops::snapshots(&self.deps, &self.scope).await)
    }
}
