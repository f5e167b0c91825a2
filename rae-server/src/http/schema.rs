//! The shapes of requests and answers, for the description of the API alone: the engine's `wire` parses and writes. Tests hold
//! the two together, field by field.

#![allow(dead_code, missing_docs)] // nobody makes these; the structs are named after what they describe

mod costs;
mod entities;
mod evaluations;
mod gateway;
mod graph;
mod jobs;
mod keys;
mod names;
mod sessions;
mod upkeep;

use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};

pub use costs::{
    BudgetChange, BudgetParameters, BudgetStatus, CostLog, CostLogParameters, CostParameters, Costs, Limits,
    MeteredCall, MeteredEnd, Reservation, Settled,
};
pub use entities::{
    EntitiesParameters, EntityPage, FoundPath, Neighborhood, NeighborsParameters, NeighborsRequest, NewSnapshot,
    PathParameters, PathRequest, Snapshot, Snapshots, Subgraph, SubgraphParameters, SubgraphRequest,
};
pub use evaluations::{
    CompareRequest, Comparison, EvaluateRequest, Evaluation, EvaluationRun, EvaluationRuns, QuestionSets,
    QuestionsRequest, RunRequest, SetName, StoredQuestions,
};
pub use gateway::{AgentAnswer, AgentRequest, ChatCompletion, ChatCompletions, Models};
pub use graph::{NewRelation, RelationParameters};
pub use jobs::{AllJobsPage, JobPage, JobParameters, Requeued};
pub use keys::{ApiKey, ApiKeys, CreatedKey, NewKey, NewTenant, PageParameters, Tenant, Tenants};
pub use names::{ErasureScope, ErrorKind, InfoClass, Kind, Layer, TrustLevel};
pub use sessions::{EventParameters, NewEvent, Reflect, Reflected, SessionEnd};
pub use upkeep::{
    Audit, AuditParameters, AuditRequest, ChangePage, ChangesParameters, Diagnostics, EmbedRequest, ErasureCheck,
    ErasureReport, Findings, Health, Maintained, Maintenance, Status, Undone, Vector, Vectors,
};

/// What `remember` takes. Only `content` is needed; null is the same as no value.
#[derive(ToSchema)]
pub struct NewMemory {
    /// The text: 1 byte to 1 MiB, not only white space.
    #[schema(min_length = 1)]
    pub content: String,
    /// Default: conversation when session_id, speaker or role is given, else text.
    pub kind: Option<Kind>,
    /// Default by kind: conversations are episodic; texts, facts and documents semantic; reflections, lessons and strategies
    /// reflective. The old codes stm, wm, em, ltm, sm and rm are read too.
    pub layer: Option<Layer>,
    /// user, assistant, system, tool or a name of your own.
    pub role: Option<String>,
    /// Who said it.
    pub speaker: Option<String>,
    /// Session it belongs to, at most 256 bytes.
    pub session_id: Option<String>,
    /// Agent it belongs to, at most 256 bytes.
    pub agent_id: Option<String>,
    /// User it belongs to, at most 256 bytes.
    pub user_id: Option<String>,
    /// When it happened: RFC 3339.
    #[schema(format = DateTime)]
    pub occurred_at: Option<String>,
    /// At most 64, of at most 128 bytes.
    pub tags: Option<Vec<String>>,
    /// A JSON object of your own, at most 64 KiB and 16 levels.
    #[schema(value_type = Option<Object>)]
    pub metadata: Option<Value>,
    /// 0 to 1; default by layer.
    #[schema(minimum = 0.0, maximum = 1.0)]
    pub importance: Option<f64>,
    /// 0 to 1; default 1.
    #[schema(minimum = 0.0, maximum = 1.0)]
    pub confidence: Option<f64>,
    /// Seconds to live; default by layer (sensory a day, working a week, others for ever).
    pub ttl: Option<f64>,
    /// Name of its source; sources join when statements merge.
    pub source: Option<String>,
    /// Trust in its source.
    pub trust_level: Option<TrustLevel>,
    /// Class of information; default internal.
    pub info_class: Option<InfoClass>,
    /// From when it holds; default occurred_at, else now.
    #[schema(format = DateTime)]
    pub valid_from: Option<String>,
    /// Until when it holds (exclusive).
    #[schema(format = DateTime)]
    pub valid_to: Option<String>,
    /// Reads facts from the text, by rules and without a model, when a worker or `maintain` runs.
    pub infer: Option<bool>,
    /// Makes the call safe to repeat for 24 hours. With another body: 409.
    pub idempotency_key: Option<String>,
}

/// Many memories.
#[derive(ToSchema)]
pub struct Batch {
    /// All are checked before the first is written; an error names the item in `details.item`.
    pub items: Vec<NewMemory>,
}

/// What became of a write.
#[derive(ToSchema)]
pub struct Receipt {
    /// The memory that holds the text now: an older one when it merged.
    #[schema(format = Uuid)]
    pub id: String,
    /// Its version.
    pub version: u32,
    /// Whether the text was there already.
    pub merged: bool,
    /// What could not be done at once: dense (no vector yet), capacity (its layer is full of newer ones).
    pub degraded: Vec<String>,
}

/// Receipts of a batch.
#[derive(ToSchema)]
pub struct Receipts {
    /// In the order of the items.
    pub receipts: Vec<Receipt>,
}

/// What `recall` takes.
#[derive(ToSchema)]
pub struct Recall {
    /// The question: 1 byte to 64 KiB.
    #[schema(min_length = 1)]
    pub query: String,
    /// Most hits.
    #[schema(minimum = 1, maximum = 1000, default = 10)]
    pub k: Option<i64>,
    /// Only these layers.
    pub layers: Option<Vec<Layer>>,
    /// Only these kinds.
    pub kinds: Option<Vec<Kind>>,
    /// All of these tags.
    pub tags: Option<Vec<String>>,
    /// Any of these tags.
    pub tags_any: Option<Vec<String>>,
    /// `{field: value | {eq, ne, in, nin, gt, gte, lt, lte, contains}}`, combined by and, or, not; at most 64 comparisons.
    #[schema(value_type = Option<Object>)]
    pub filter: Option<Value>,
    /// Events at or after.
    #[schema(format = DateTime)]
    pub since: Option<String>,
    /// Events before.
    #[schema(format = DateTime)]
    pub until: Option<String>,
    /// What held at that time.
    #[schema(format = DateTime)]
    pub as_of: Option<String>,
    /// What was stored by that time, in its wording then.
    #[schema(format = DateTime)]
    pub known_at: Option<String>,
    /// Only this session.
    pub session_id: Option<String>,
    /// Only this agent.
    pub agent_id: Option<String>,
    /// Only this user.
    pub user_id: Option<String>,
    /// Least `relevance`, 0 to 1, which is absolute.
    #[schema(minimum = 0.0, maximum = 1.0)]
    pub min_score: Option<f64>,
    /// Most tokens of all hits together.
    #[schema(minimum = 1, maximum = 1000000)]
    pub max_tokens: Option<i64>,
    /// What nearness in the graph of relations to the entities that the question names adds to the score; default 0.
    #[schema(minimum = 0.0, maximum = 1.0)]
    pub graph_weight: Option<f64>,
    /// Asks the configured reranker; `degraded` has rerank where there is none.
    pub rerank: Option<bool>,
    /// Fills `trace`.
    pub explain: Option<bool>,
}

/// The answer of `recall`.
#[derive(ToSchema)]
pub struct Hits {
    /// Best first; no id twice.
    pub hits: Vec<Hit>,
    /// Parts that could not be used: dense, rerank.
    pub degraded: Vec<String>,
    /// How the answer came about, when asked for.
    #[schema(value_type = Option<Object>)]
    pub trace: Option<Value>,
}

/// A memory that answers.
#[derive(ToSchema)]
pub struct Hit {
    #[schema(format = Uuid)]
    pub id: String,
    /// The whole text.
    pub content: String,
    /// 0 to 1; hits sort by it, then by id.
    pub score: f64,
    /// 0 to 1, absolute; what `min_score` compares.
    pub relevance: f64,
    /// The parts of the score.
    pub signals: Signals,
    /// The part of a long text that fits best.
    pub passage: Passage,
    pub kind: Kind,
    pub layer: Layer,
    pub role: Option<String>,
    pub speaker: Option<String>,
    pub session_id: Option<String>,
    pub tags: Vec<String>,
    #[schema(value_type = Object)]
    pub metadata: Value,
    #[schema(format = DateTime)]
    pub occurred_at: Option<String>,
    #[schema(format = DateTime)]
    pub created_at: String,
    pub importance: f64,
    pub version: u32,
}

/// Parts of a score, each 0 to 1.
#[derive(ToSchema)]
pub struct Signals {
    pub dense: f64,
    pub lexical: f64,
    pub passage: f64,
    pub actor: f64,
    pub session: f64,
    pub time: f64,
    pub graph: f64,
    pub recency: f64,
    pub importance: f64,
}

/// A part of a text, in code points.
#[derive(ToSchema)]
pub struct Passage {
    pub start: usize,
    /// One past the last.
    pub end: usize,
}

/// What `context` takes.
#[derive(ToSchema)]
pub struct ContextRequest {
    /// What it is about; without one the last turn of the session is the question.
    pub query: Option<String>,
    /// Most tokens of the whole text.
    #[schema(minimum = 1, maximum = 1000000, default = 1000)]
    pub max_tokens: Option<i64>,
    /// Adds the last turns of this session.
    pub session_id: Option<String>,
    /// Only this agent, and lessons that are nobody's own.
    pub agent_id: Option<String>,
    /// Only this user, and lessons that are nobody's own.
    pub user_id: Option<String>,
    /// Only these layers.
    pub layers: Option<Vec<Layer>>,
    /// All of these tags.
    pub tags: Option<Vec<String>>,
    /// As in recall.
    #[schema(value_type = Option<Object>)]
    pub filter: Option<Value>,
    /// Least relevance; default 0.12.
    #[schema(minimum = 0.0, maximum = 1.0)]
    pub min_score: Option<f64>,
}

/// A block for a prompt.
#[derive(ToSchema)]
pub struct Context {
    /// The block.
    pub text: String,
    /// Its exact number of tokens.
    pub token_count: usize,
    /// What is in it, in order.
    pub sources: Vec<ContextSource>,
    pub degraded: Vec<String>,
}

/// A memory in the block.
#[derive(ToSchema)]
pub struct ContextSource {
    #[schema(format = Uuid)]
    pub id: String,
    pub kind: Kind,
    pub layer: Layer,
    /// First code point of its line.
    pub start: usize,
    /// One past its last.
    pub end: usize,
    pub score: f64,
}

/// A memory, as stored.
#[derive(ToSchema)]
pub struct Memory {
    #[schema(format = Uuid)]
    pub id: String,
    pub tenant: String,
    pub project: String,
    pub layer: Layer,
    pub kind: Kind,
    pub content: String,
    pub role: Option<String>,
    pub speaker: Option<String>,
    pub session_id: Option<String>,
    pub agent_id: Option<String>,
    pub user_id: Option<String>,
    pub tags: Vec<String>,
    #[schema(value_type = Object)]
    pub metadata: Value,
    pub importance: f64,
    /// How vivid it is, 0 to 1; feedback moves it.
    pub strength: f64,
    pub confidence: f64,
    pub trust_level: Option<TrustLevel>,
    pub info_class: InfoClass,
    /// Names of its sources.
    pub sources: Vec<String>,
    /// Memories it was derived from; erasure follows these.
    pub derived_from: Vec<String>,
    /// When it was first stored.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// When its present version was stored.
    #[schema(format = DateTime)]
    pub updated_at: String,
    #[schema(format = DateTime)]
    pub occurred_at: Option<String>,
    #[schema(format = DateTime)]
    pub valid_from: Option<String>,
    #[schema(format = DateTime)]
    pub valid_to: Option<String>,
    /// The memory that replaced it.
    #[schema(format = Uuid)]
    pub superseded_by: Option<String>,
    /// When it ceases to exist.
    #[schema(format = DateTime)]
    pub expires_at: Option<String>,
    /// 1 at first, one more with each update.
    pub version: u32,
    /// Number of the change that last touched it.
    pub seq: u64,
    /// Its place in the session, from 0.
    pub seq_in_session: Option<u32>,
    /// BLAKE3 of the text, in hexadecimal digits.
    pub content_hash: String,
    /// How often it was said.
    pub witness_count: u32,
    /// The relation that it states; absent where it states none.
    #[schema(nullable = false)]
    pub claim: Option<Claim>,
}

/// A relation that a memory states.
#[derive(ToSchema)]
pub struct Claim {
    /// What it is about.
    pub subject: String,
    /// How the two stand to each other, such as works_at.
    pub relation: String,
    /// The other end.
    pub object: String,
    /// How strong the relation is, more than 0.
    #[schema(exclusive_minimum = 0.0, maximum = 1000.0)]
    pub weight: f64,
}

/// A page of memories.
#[derive(ToSchema)]
pub struct Page {
    pub items: Vec<Memory>,
    /// Where the next page begins; null on the last one.
    pub next_cursor: Option<String>,
}

/// Parameters of a list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ListParameters {
    /// Size of the page; default 50.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<i64>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// Only this layer.
    #[param(inline)]
    pub layer: Option<Layer>,
    /// All of these tags: repeat the parameter.
    pub tags: Option<Vec<String>>,
    /// A filter as in recall, as JSON text.
    pub filter: Option<String>,
}

/// What `update` takes. Fields that are left out stay; null clears those that may be empty.
#[derive(ToSchema)]
pub struct Update {
    /// The text; cannot be cleared.
    pub content: Option<String>,
    /// Cannot be cleared.
    pub kind: Option<Kind>,
    /// Cannot be cleared.
    pub layer: Option<Layer>,
    pub role: Option<String>,
    pub speaker: Option<String>,
    #[schema(format = DateTime)]
    pub occurred_at: Option<String>,
    pub tags: Option<Vec<String>>,
    #[schema(value_type = Option<Object>)]
    pub metadata: Option<Value>,
    /// Cannot be cleared.
    #[schema(minimum = 0.0, maximum = 1.0)]
    pub importance: Option<f64>,
    /// Cannot be cleared.
    #[schema(minimum = 0.0, maximum = 1.0)]
    pub confidence: Option<f64>,
    /// Seconds from now; null lifts it.
    pub ttl: Option<f64>,
    pub source: Option<String>,
    pub trust_level: Option<TrustLevel>,
    /// Cannot be cleared.
    pub info_class: Option<InfoClass>,
    #[schema(format = DateTime)]
    pub valid_from: Option<String>,
    #[schema(format = DateTime)]
    pub valid_to: Option<String>,
    /// The memory that replaces this one.
    #[schema(format = Uuid)]
    pub superseded_by: Option<String>,
    /// The version it must have, else 409. The header If-Match says the same, and answers with 412.
    pub expected_version: Option<u32>,
}

/// All versions of a memory.
#[derive(ToSchema)]
pub struct History {
    /// Oldest first; the last one is the present.
    pub versions: Vec<MemoryVersion>,
}

/// A memory as it was.
#[derive(ToSchema)]
pub struct MemoryVersion {
    #[schema(inline)]
    #[serde(flatten)]
    pub memory: Memory,
    /// When it was replaced; null for the present one.
    #[schema(format = DateTime)]
    pub replaced_at: Option<String>,
}

/// Whether a memory helped.
#[derive(ToSchema)]
pub struct Feedback {
    pub useful: bool,
}

/// What to erase: exactly one of `id`, `filter`, or `scope` with `target`.
#[derive(ToSchema)]
pub struct Erasure {
    /// One memory.
    #[schema(format = Uuid)]
    pub id: Option<String>,
    /// All that match; an empty filter is refused.
    #[schema(value_type = Option<Object>)]
    pub filter: Option<Value>,
    pub scope: Option<ErasureScope>,
    /// Name of the session, user, project or tenant; for a tenant its own name again.
    pub target: Option<String>,
}

/// What was forgotten.
#[derive(ToSchema)]
pub struct Forgotten {
    /// Memories that were asked for and are gone.
    pub deleted: u64,
    /// Memories derived from these alone, gone with them.
    pub derived: u64,
    /// What still holds traces for now.
    pub pending: Vec<String>,
    /// What was done, when, with keyed hashes of the ids.
    #[schema(value_type = Object)]
    pub receipt: Value,
}

/// Numbers about the project and its store.
#[derive(ToSchema)]
pub struct Stats {
    pub memories: u64,
    pub by_layer: BTreeMap<String, u64>,
    /// Memories with a vector.
    pub vectors: u64,
    /// Of the whole store.
    pub bytes: u64,
    pub jobs: Jobs,
    pub embedder: Embedder,
    /// Number of the project's last change.
    pub seq: u64,
    pub schema_version: u32,
}

/// Jobs of a project.
#[derive(ToSchema)]
pub struct Jobs {
    pub queued: u64,
    /// Failed too often.
    pub dead: u64,
}

/// An embedder.
#[derive(ToSchema)]
pub struct Embedder {
    pub id: String,
    pub dim: usize,
}

/// What was imported.
#[derive(ToSchema)]
pub struct Imported {
    pub imported: u64,
    /// Statements that were there under another id.
    pub merged: u64,
    /// The same id and version were there.
    pub unchanged: u64,
}

/// Every answer that is not a success.
#[derive(ToSchema)]
pub struct Failure {
    pub error: FailureBody,
}

/// What went wrong.
#[derive(ToSchema)]
pub struct FailureBody {
    /// What a program can act on.
    pub kind: ErrorKind,
    /// Finer than the kind, which is its default.
    pub code: String,
    /// For a person. Holds no content and no keys.
    pub message: String,
    #[schema(value_type = Object)]
    pub details: Value,
    /// As in the header X-Request-ID and in the server's log.
    pub request_id: String,
}
