//! # RAE, the Reflective Agentic Memory Engine
//!
//! Long-term memory for AI agents: remember conversations and facts in one file, recall them by meaning, words, speaker, session and
//! time, without a server, an API key, a download or a model call.
//!
//! Features: `embedded` (one-file store), `static-table` (built-in embedder), `tiktoken` (token counts), `local` (all-MiniLM-L6-v2 from
//! a folder), `http` (clients of services and of model providers), `remote` (a server's
//! memories), `conformance` (the public suite for adapters). Without any of them: ports, verbs and the pure code.

mod access;
mod audit;
mod builder;
pub mod cost;
pub mod ctx;
mod deps;
pub mod embedded;
pub mod error;
pub mod eval;
pub mod extract;
pub mod facts;
#[cfg(feature = "fuzz")]
#[doc(hidden)]
pub mod fuzz;
pub mod graph;
mod graphs;
pub mod guard;
#[cfg(feature = "http")]
pub mod http;
mod indexes;
mod ingest;
mod jobs;
pub mod lexical;
pub mod lifecycle;
pub mod limits;
pub mod model;
pub mod ops;
mod overlay;
pub mod ports;
pub mod providers;
mod rae;
mod reflect;
#[cfg(feature = "remote")]
pub mod remote;
pub mod retrieve;
pub mod wire;

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;

pub use builder::{Builder, Durability, Embedding, Enrich};
pub use cost::{CostOptions, PriceBook, UnknownModel};
pub use ctx::Ctx;
pub use deps::{CacheStats, IndexStats, ResponseCacheStats};
pub use error::{Error, ErrorKind, Result};
pub use futures::executor::block_on;
pub use graph::{Entity, EntityPage, Neighbor, Neighborhood, Relation, Subgraph};
pub use ingest::{MemoryUpdate, NewMemory, NewRelation};
pub use jobs::feeder::VectorFeedStats;
pub use jobs::runner::{JobResult, JobRun, WorkOptions};
pub use lifecycle::LifecyclePolicy;
pub use model::{Claim, EventType, Kind, Layer, Memory, MemoryId, MemoryVersion, SessionOutcome, Timestamp};
pub use ops::{
    Audit, AuditFinding, AuditKind, AuditOptions, AutomaticChange, BudgetStatus, ChangePage, ChangesOptions, Context,
    ContextOptions, ContextSource, CostLog, CostLogOptions, Costs, CostsOptions, CreatedKey, EntitiesOptions,
    ErasureOptions, ErasurePlace, ErasureReport, EvaluationRun, EvaluationScore, EventsOptions, Exported, Finding,
    Forget, ForgetScope, Forgotten, Hit, Hits, Imported, JobPage, JobsOptions, KeyCheck, ListOptions, LlmAnswer,
    LlmCost, LlmEstimate, LlmOptions, LlmStream, Maintained, MeterEnd, MeterSettled, Metered, MeteredCall,
    NeighborsOptions, NewEvent, NewKey, Page, Passage, PathOptions, Presented, QuestionSet, RecallOptions, Receipt,
    Reembedded, ReflectOptions, Reflected, RelationsOptions, SessionEnd, Snapshot, Stats, SubgraphOptions, Undone,
    VectorSync,
};
pub use ports::EmbedRole;
pub use rae::{Rae, Session, Whose};
pub use retrieve::{Signals, Weights};

/// Version of the engine, for example `0.1.0`.
pub fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}
