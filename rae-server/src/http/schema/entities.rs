//! Shapes of the knowledge graph.

use utoipa::{IntoParams, ToSchema};

/// What `entities` takes.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct EntitiesParameters {
    /// A name, the beginning of one, or words of it; default: all entities.
    pub query: Option<String>,
    /// Size of the page; default 50.
    pub limit: Option<i64>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// What held at this time: RFC 3339. Default: what holds now, or did at the snapshot, and was not superseded.
    pub at: Option<String>,
    /// What was known when this snapshot was taken.
    pub snapshot: Option<String>,
}

/// What `neighbors` takes.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct NeighborsParameters {
    /// Name of the entity.
    pub entity: String,
    /// How many relations away at most, 1 to 5; default 1.
    pub depth: Option<i64>,
    /// Only by this relation.
    pub relation: Option<String>,
    /// Most neighbors, 1 to 1,000; default 50.
    pub limit: Option<i64>,
    /// What held at this time: RFC 3339. Default: what holds now, or did at the snapshot, and was not superseded.
    pub at: Option<String>,
    /// What was known when this snapshot was taken.
    pub snapshot: Option<String>,
}

/// What `path` takes.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PathParameters {
    /// Name of the entity at one end.
    pub a: String,
    /// Name of the entity at the other end.
    pub b: String,
    /// What held at this time: RFC 3339. Default: what holds now, or did at the snapshot, and was not superseded.
    pub at: Option<String>,
    /// What was known when this snapshot was taken.
    pub snapshot: Option<String>,
}

/// What `subgraph` takes.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct SubgraphParameters {
    /// Names of entities, at most 100: the parameter is repeated.
    pub entities: Vec<String>,
    /// How many relations away at most, 0 to 5; default 2.
    pub depth: Option<i64>,
    /// Most entities, 1 to 1,000; default 200.
    pub limit: Option<i64>,
    /// What held at this time: RFC 3339. Default: what holds now, or did at the snapshot, and was not superseded.
    pub at: Option<String>,
    /// What was known when this snapshot was taken.
    pub snapshot: Option<String>,
}

/// What `neighbors` takes.
#[derive(ToSchema)]
pub struct NeighborsRequest {
    /// Name of the entity.
    pub entity: String,
    /// How many relations away at most.
    #[schema(minimum = 1, maximum = 5, default = 1)]
    pub depth: Option<i64>,
    /// Only by this relation.
    pub relation: Option<String>,
    /// Most neighbors.
    #[schema(minimum = 1, maximum = 1000, default = 50)]
    pub limit: Option<i64>,
    /// What held at this time. Default: what holds now, or did at the snapshot, and was not superseded.
    #[schema(format = DateTime)]
    pub at: Option<String>,
    /// What was known when this snapshot was taken.
    pub snapshot: Option<String>,
}

/// What `path` takes.
#[derive(ToSchema)]
pub struct PathRequest {
    /// Name of the entity at one end.
    pub a: String,
    /// Name of the entity at the other end.
    pub b: String,
    /// What held at this time. Default: what holds now, or did at the snapshot, and was not superseded.
    #[schema(format = DateTime)]
    pub at: Option<String>,
    /// What was known when this snapshot was taken.
    pub snapshot: Option<String>,
}

/// What `subgraph` takes.
#[derive(ToSchema)]
pub struct SubgraphRequest {
    /// Names of entities, at most 100.
    pub entities: Vec<String>,
    /// How many relations away at most.
    #[schema(minimum = 0, maximum = 5, default = 2)]
    pub depth: Option<i64>,
    /// Most entities.
    #[schema(minimum = 1, maximum = 1000, default = 200)]
    pub limit: Option<i64>,
    /// What held at this time. Default: what holds now, or did at the snapshot, and was not superseded.
    #[schema(format = DateTime)]
    pub at: Option<String>,
    /// What was known when this snapshot was taken.
    pub snapshot: Option<String>,
}

/// What `snapshot` takes.
#[derive(ToSchema)]
pub struct NewSnapshot {
    /// Its name, at most 256 bytes.
    pub label: String,
}

/// Someone or something that relations name.
#[derive(ToSchema)]
pub struct Entity {
    /// The most frequent spelling.
    pub name: String,
    /// Other names that `same_as` relations join to it.
    pub aliases: Vec<String>,
    /// Relations that hold at the time of the question, `same_as` aside.
    pub degree: u64,
}

/// A page of entities.
#[derive(ToSchema)]
pub struct EntityPage {
    /// Best first.
    pub items: Vec<Entity>,
    /// Where the next page goes on; null at the end.
    #[schema(required)]
    pub next_cursor: Option<String>,
}

/// A relation; the memory of its id has the rest.
#[derive(ToSchema)]
pub struct Relation {
    /// The memory that claims it.
    #[schema(format = Uuid)]
    pub id: String,
    /// Who or what.
    pub subject: String,
    /// In which relation.
    pub relation: String,
    /// To whom or what.
    pub object: String,
    /// How strong it is.
    pub weight: f64,
    /// How sure it is, 0 to 1.
    pub confidence: f64,
    /// From when it holds.
    #[schema(format = DateTime)]
    pub valid_from: String,
    /// Until when, exclusive; null where no end is known.
    #[schema(required, format = DateTime)]
    pub valid_to: Option<String>,
}

/// An entity that was reached.
#[derive(ToSchema)]
pub struct Neighbor {
    /// Its name.
    pub name: String,
    /// Relations on the shortest way to it.
    pub depth: u64,
    /// Weight times confidence of the relation.
    pub strength: f64,
    /// The strongest relation by which it was reached.
    pub relation: Relation,
}

/// What is around an entity.
#[derive(ToSchema)]
pub struct Neighborhood {
    /// The entity; null where no relation names it.
    #[schema(required)]
    pub entity: Option<Entity>,
    /// Near ones first, then those with the stronger relation, then by name.
    pub neighbors: Vec<Neighbor>,
    /// Whether there are more than are told.
    pub truncated: bool,
}

/// A way from one entity to another.
#[derive(ToSchema)]
pub struct Path {
    /// The entities on the way, both ends included.
    pub entities: Vec<String>,
    /// The relations between them, one fewer.
    pub relations: Vec<Relation>,
    /// The sum of 1 over weight times confidence.
    pub cost: f64,
}

/// Whether there is a way.
#[derive(ToSchema)]
pub struct FoundPath {
    /// The cheapest way; null where there is none.
    #[schema(required)]
    pub path: Option<Path>,
}

/// Entities and what relates them.
#[derive(ToSchema)]
pub struct Subgraph {
    /// Those asked about first, then the near ones.
    pub entities: Vec<Entity>,
    /// The relations among them.
    pub relations: Vec<Relation>,
    /// Whether there is more within that depth than is told.
    pub truncated: bool,
}

/// An instant of the graph with a name.
#[derive(ToSchema)]
pub struct Snapshot {
    /// The memory that holds it.
    #[schema(format = Uuid)]
    pub id: String,
    /// Its name.
    pub label: String,
    /// The instant.
    #[schema(format = DateTime)]
    pub at: String,
}

/// The snapshots of a project.
#[derive(ToSchema)]
pub struct Snapshots {
    /// Oldest first.
    pub snapshots: Vec<Snapshot>,
}
