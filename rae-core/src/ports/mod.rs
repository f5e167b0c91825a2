//! The seams of the engine: what a backend must offer. Object-safe, held as `Arc<dyn _>`, `&Ctx` first.

mod cache;
mod clock;
mod cost;
mod embed;
mod llm;
mod relational;
mod rerank;
mod tokens;
mod vector;

pub use cache::CacheStore;
pub use clock::{Clock, ManualClock, SystemClock};
pub use cost::{CostObserver, NoCostObserver};
pub use embed::{EmbedRole, Embedder};
pub use llm::{Charge, ChatStream, LlmFailure, LlmProvider, LlmRouter, NoProviders, RetryPolicy, Routed};
pub use relational::{AdminRead, IndexRead, JobRead, LedgerRead, MemoryRead, RelationalCapability, RelationalStore};
pub use rerank::Reranker;
pub use tokens::TokenCounter;
pub use vector::{Collection, VectorCapability, VectorFeed, VectorStore, Watermark};
