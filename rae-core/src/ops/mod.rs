//! The verbs, one file each, read from top to bottom.

mod audit;
mod budget;
mod carry;
mod changes;
mod chat;
mod communities;
mod context;
mod costs;
mod dense;
mod embed;
mod evaluate;
mod export;
mod feedback;
mod forget;
mod get;
mod graph;
mod import;
mod import_joins;
mod import_records;
mod jobs;
mod joins;
mod keys;
mod lifecycle;
mod llm;
mod maintain;
mod meter;
mod recall;
mod reembed;
mod reflect;
mod relate;
mod remember;
mod resume;
mod session;
mod snapshot;
mod stats;
mod subject;
mod sync_vectors;
mod update;
mod verify_erasure;

pub use audit::{Audit, AuditFinding, AuditKind, AuditOptions};
pub use budget::{BudgetStatus, TokenWindow, TokenWindows, UsdWindow};
pub use changes::{AutomaticChange, ChangePage, ChangesOptions, Undone};
pub use chat::{CacheOptions, CacheResult, ChatAnswer, ChatAnswerStream, ChatEnd, ChatOptions, MemoryOptions};
pub use context::{Context, ContextOptions, ContextSource};
pub use costs::{CostLog, CostLogOptions, Costs, CostsOptions};
pub use evaluate::{EvaluationRun, EvaluationScore, QuestionSet};
pub use export::Exported;
pub use forget::{Forget, ForgetScope, Forgotten};
pub use get::{ListOptions, Page};
pub use graph::{EntitiesOptions, NeighborsOptions, PathOptions, SubgraphOptions};
pub use import::Imported;
pub use jobs::{JobPage, JobsOptions};
pub use keys::{CreatedKey, KeyCheck, NewKey, Presented};
pub use llm::{LlmAnswer, LlmCost, LlmEstimate, LlmOptions, LlmStream};
pub use maintain::{Finding, Maintained};
pub use meter::{MeterEnd, MeterSettled, Metered, MeteredCall};
pub use recall::{Hit, Hits, Passage, RecallOptions};
pub use reembed::Reembedded;
pub use reflect::{ReflectOptions, Reflected};
pub use relate::RelationsOptions;
pub use remember::Receipt;
pub use session::{EventsOptions, NewEvent, SessionEnd};
pub use snapshot::Snapshot;
pub use stats::Stats;
pub use sync_vectors::VectorSync;
pub use verify_erasure::{ErasureOptions, ErasurePlace, ErasureReport};

pub(crate) use audit::audit;
pub(crate) use budget::{budget, funds, limits, set_budget, top_funds};
pub(crate) use changes::{Faded, change_of, change_row, changes, count_row, undo};
pub(crate) use chat::{Unfinished, chat, chat_estimate, chat_stream, erase_answers, erased, may_have_answers};
pub(crate) use context::context;
pub(crate) use costs::{cost_log, costs};
pub(crate) use embed::{embed, vector};
#[cfg(feature = "remote")]
pub(crate) use evaluate::check_set_name;
pub(crate) use evaluate::{evaluate, evaluate_all, evaluations, question_sets, run_questions, set_questions};
pub(crate) use export::export;
pub(crate) use feedback::feedback;
pub(crate) use forget::forget;
pub(crate) use get::{get, history, list};
pub(crate) use graph::{entities, neighbors, path, subgraph};
pub(crate) use import::import;
pub(crate) use jobs::{job_stats, jobs, requeue_job};
pub(crate) use keys::{create_key, create_tenant, has_had_keys, key, key_check, keys, revoke_key, tenant, tenants};
#[cfg(feature = "remote")]
pub(crate) use llm::check_llm_options;
pub(crate) use llm::{check_model, llm, llm_estimate, llm_stream};
pub(crate) use maintain::{doctor, flush_access, housekeep, maintain};
pub(crate) use meter::{end_by_id, meter, meter_by_id};
pub(crate) use recall::recall;
pub(crate) use reembed::reembed;
pub(crate) use reflect::{
    UNREADABLE, deepen, mark_dropped, mark_of, reflect, reflect_after, reflections, run_reflect, trim_marks, unquoted,
};
pub(crate) use relate::{relate, relations};
pub(crate) use remember::{remember, remember_many};
pub(crate) use session::{end_session, events, log_event};
pub(crate) use snapshot::{snapshot, snapshots};
pub(crate) use stats::stats;
pub(crate) use sync_vectors::sync_vectors;
pub(crate) use update::update;
pub(crate) use verify_erasure::verify_erasure;

// What the client of a server checks, reads and says as the verbs themselves do.
#[cfg(feature = "remote")]
pub(crate) use {
    budget::named_change,
    embed::check_texts,
    export::{MARK, io_error, refuse_foreign_target},
    get::page_size,
    relate::check_relation,
    remember::{check_items, with_prefix},
    session::{check_end, check_event, check_session},
};

#[cfg(test)]
mod graph_tests;
#[cfg(test)]
mod joins_tests;
#[cfg(test)]
mod resume_tests;
