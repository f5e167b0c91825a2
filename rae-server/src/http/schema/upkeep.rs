//! Shapes of vectors, of housekeeping, and of how the server is.

use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};

/// The side of a search that a text is on.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum EmbedRole {
    Document,
    Query,
}

/// Texts to embed.
#[derive(ToSchema)]
pub struct EmbedRequest {
    /// At most 1,000, of at most 1 MiB.
    pub texts: Vec<String>,
    /// Default document.
    pub role: Option<EmbedRole>,
}

/// Vectors of texts.
#[derive(ToSchema)]
pub struct Vectors {
    /// Of unit length, one a text in order; null for a text with nothing the embedder knows.
    pub vectors: Vec<Option<Vec<f32>>>,
}

/// The vector of a memory.
#[derive(ToSchema)]
pub struct Vector {
    /// Of unit length; null where the memory has none, or is still owed one.
    pub vector: Option<Vec<f32>>,
}

/// A receipt to check.
#[derive(ToSchema)]
pub struct ErasureCheck {
    /// The receipt of an erasure, or its whole answer.
    #[schema(value_type = Object)]
    pub receipt: Value,
    /// Texts that somebody knows were erased, each of 4 to 1,000 bytes: they are looked for in memories, history, jobs, and stored sets of
    /// questions and their runs, whatever their case. They are neither stored nor logged.
    #[schema(max_items = 16)]
    pub texts: Option<Vec<String>>,
}

/// What the check of a receipt found.
#[derive(ToSchema)]
pub struct ErasureReport {
    /// Whether no place holds what must not be there.
    pub clean: bool,
    /// Ids that the receipt names.
    pub ids: u64,
    /// Whether the receipt says that it is of this store and project.
    pub bound: bool,
    pub places: Vec<ErasurePlace>,
}

/// What one place holds of what was to be erased.
#[derive(ToSchema)]
pub struct ErasurePlace {
    /// Which, for example memories, vectors or cache.
    pub place: String,
    /// How many of the ids were found there.
    pub found: u64,
    /// clean; found, which must not be; or kept: bare ids that the engine keeps on purpose.
    pub state: String,
    /// What it means and what to do; null where it is clean.
    pub note: Option<String>,
}

/// What an audit takes.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct AuditParameters {
    /// Most findings, 1 to 1,000; default 100.
    pub limit: Option<i64>,
}

/// What an audit that may fix takes.
#[derive(ToSchema)]
pub struct AuditRequest {
    /// Most findings, 1 to 1,000; default 100.
    pub limit: Option<i64>,
    /// Does what `automatic` of the findings says. Default false.
    pub fix: Option<bool>,
}

/// Parameters of a list of changes.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ChangesParameters {
    /// Size of the page; default 50.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<i64>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// Something that the engine changed by itself.
#[derive(ToSchema)]
pub struct AutomaticChange {
    #[schema(format = Uuid)]
    pub id: String,
    #[schema(format = DateTime)]
    pub at: String,
    /// What happened, for example facts, reflect, audit_fix, resume, undo, forget_faded or expire.
    pub action: String,
    /// The memories that it added or changed; empty where only their number is known.
    pub ids: Vec<String>,
    /// Whether it can be taken back.
    pub undoable: bool,
    /// The change that took it back.
    #[schema(required)]
    pub undone_by: Option<String>,
}

/// A page of changes, newest first.
#[derive(ToSchema)]
pub struct ChangePage {
    pub items: Vec<AutomaticChange>,
    #[schema(required)]
    pub next_cursor: Option<String>,
}

/// A change that was taken back.
#[derive(ToSchema)]
pub struct Undone {
    /// The undoing, itself a change.
    #[schema(format = Uuid)]
    pub id: String,
    /// What was undone.
    #[schema(format = Uuid)]
    pub undone: String,
    /// The memories that are as before.
    pub ids: Vec<String>,
    /// Whether it was undone already.
    pub replayed: bool,
}

/// What an audit found.
#[derive(ToSchema)]
pub struct Audit {
    /// Memories looked at.
    pub checked: u64,
    pub findings: Vec<AuditFinding>,
    /// Whether there are more.
    pub truncated: bool,
    /// How many of the findings were fixed.
    pub fixed: u64,
    /// Memories that no facts were read from although that was asked for, by reason.
    pub kept_out: BTreeMap<String, u64>,
}

/// Kind of a finding.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum AuditKind {
    Duplicate,
    Contradiction,
    Orphan,
}

/// Memories that say the same, cannot both hold, or refer to what is gone.
#[derive(ToSchema)]
pub struct AuditFinding {
    pub kind: AuditKind,
    /// The memories, oldest first; at most 32.
    pub ids: Vec<String>,
    /// What was seen, without content.
    pub message: String,
    /// What to do.
    pub fix: String,
    /// What fixing does about it, or did; null where somebody must decide.
    #[schema(required)]
    pub automatic: Option<String>,
    /// The change by which it was fixed.
    #[schema(required)]
    pub change: Option<String>,
}

/// What housekeeping takes.
#[derive(ToSchema)]
pub struct Maintenance {
    /// As if it were that time; needs the operator's key.
    #[schema(format = DateTime)]
    pub now: Option<String>,
}

/// What housekeeping did.
#[derive(ToSchema)]
pub struct Maintained {
    /// What ran, and how much of it.
    pub ran: BTreeMap<String, u64>,
}

/// The answer of a check-up.
#[derive(ToSchema)]
pub struct Findings {
    pub findings: Vec<Finding>,
}

/// What a check-up found.
#[derive(ToSchema)]
pub struct Finding {
    /// ok, warning or error.
    pub level: String,
    pub check: String,
    pub message: String,
}

/// How the server is.
#[derive(ToSchema)]
pub struct Health {
    /// ok, draining or unavailable.
    pub status: String,
    pub version: String,
    pub uptime_seconds: u64,
}

/// The answer of a probe.
#[derive(ToSchema)]
pub struct Status {
    /// ok, draining or unavailable.
    pub status: String,
}

/// The operator's view.
#[derive(ToSchema)]
pub struct Diagnostics {
    pub version: String,
    /// `os`, `arch`, and whether it is `optimised`.
    #[schema(value_type = Object)]
    pub build: Value,
    pub role: String,
    pub uptime_seconds: u64,
    pub draining: bool,
    /// `kind` of the store, whether it is `reachable`, `latency_ms`, the `error` if not, `schema_version`, `bytes`, `embedder`, and
    /// the `pool` of connections to PostgreSQL.
    #[schema(value_type = Object)]
    pub memories: Value,
    /// The same of the cache, with `hits` and `misses` of query vectors.
    #[schema(value_type = Object)]
    pub cache: Value,
    /// Where vectors are searched: `kind`, whether it was `reachable` when last asked, changes that it is `behind`, and `failures`.
    #[schema(value_type = Object)]
    pub vectors: Value,
    /// What the indexes in memory hold: `projects`, `memories`, `pieces`, `vector_bytes`.
    #[schema(value_type = Object)]
    pub index: Value,
    /// Open `connections`, `requests_in_flight`, `body_bytes`.
    #[schema(value_type = Object)]
    pub http: Value,
    pub log_lines_dropped: u64,
    /// Spans for the collector of traces: `sent`, `failed`, `dropped`.
    #[schema(value_type = Object)]
    pub trace_spans: Value,
    /// Those of the engine; those of the server are settings.
    #[schema(value_type = Object)]
    pub limits: Value,
    /// Every setting; secrets only say whether they are set.
    #[schema(value_type = Object)]
    pub settings: Value,
}
