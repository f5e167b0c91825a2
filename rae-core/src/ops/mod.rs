//! The verbs, one file each, read from top to bottom.

mod audit;
mod budget;
mod chat;
mod context;
mod costs;
mod dense;
mod embed;
mod export;
mod feedback;
mod forget;
mod get;
mod import;
mod jobs;
mod keys;
mod llm;
mod maintain;
mod meter;
mod recall;
mod reembed;
mod relate;
mod remember;
mod stats;
mod sync_vectors;
mod update;

pub use audit::{Audit, AuditFinding, AuditKind, AuditOptions};
pub use budget::{BudgetStatus, TokenWindow, TokenWindows, UsdWindow};
pub use chat::{CacheOptions, CacheResult, ChatAnswer, ChatAnswerStream, ChatEnd, ChatOptions, MemoryOptions};
pub use context::{Context, ContextOptions, ContextSource};
pub use costs::{CostLog, CostLogOptions, Costs, CostsOptions};
pub use export::Exported;
pub use forget::{Forget, ForgetScope, Forgotten};
pub use get::{ListOptions, Page};
pub use import::Imported;
pub use jobs::{JobPage, JobsOptions};
pub use keys::{CreatedKey, KeyCheck, NewKey, Presented};
pub use llm::{LlmAnswer, LlmCost, LlmEstimate, LlmOptions, LlmStream};
pub use maintain::{Finding, Maintained};
pub use meter::{MeterEnd, Metered, MeteredCall};
pub use recall::{Hit, Hits, Passage, RecallOptions};
pub use reembed::Reembedded;
pub use relate::RelationsOptions;
pub use remember::Receipt;
pub use stats::Stats;
pub use sync_vectors::VectorSync;

pub(crate) use audit::audit;
pub(crate) use budget::{budget, funds, limits, set_budget, top_funds};
pub(crate) use chat::{chat, chat_estimate, chat_stream, erase_answers};
pub(crate) use context::context;
pub(crate) use costs::{cost_log, costs};
pub(crate) use embed::{embed, vector};
pub(crate) use export::export;
pub(crate) use feedback::feedback;
pub(crate) use forget::forget;
pub(crate) use get::{get, history, list};
pub(crate) use import::import;
pub(crate) use jobs::{job_stats, jobs, requeue_job};
pub(crate) use keys::{create_key, create_tenant, has_had_keys, key, key_check, keys, revoke_key, tenant, tenants};
pub(crate) use llm::{llm, llm_estimate, llm_stream, token_usage};
pub(crate) use maintain::{doctor, flush_access, housekeep, maintain};
pub(crate) use meter::{end_by_id, meter, meter_by_id};
pub(crate) use recall::recall;
pub(crate) use reembed::reembed;
pub(crate) use relate::{relate, relations};
pub(crate) use remember::{remember, remember_many};
pub(crate) use stats::stats;
pub(crate) use sync_vectors::sync_vectors;
pub(crate) use update::update;

// What the client of a server checks, reads and says as the verbs themselves do.
#[cfg(feature = "remote")]
pub(crate) use {
    budget::named_change,
    embed::check_texts,
    export::{MARK, io_error, refuse_foreign_target},
    get::page_size,
    relate::check_relation,
    remember::{check_items, with_prefix},
};
