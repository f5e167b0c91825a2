//! The verbs, one file each, read from top to bottom.

mod audit;
mod context;
mod dense;
mod embed;
mod export;
mod feedback;
mod forget;
mod get;
mod import;
mod maintain;
mod recall;
mod reembed;
mod remember;
mod stats;
mod sync_vectors;
mod update;

pub use audit::{Audit, AuditFinding, AuditKind, AuditOptions};
pub use context::{Context, ContextOptions, ContextSource};
pub use export::Exported;
pub use forget::{Forget, ForgetScope, Forgotten};
pub use get::{ListOptions, Page};
pub use import::Imported;
pub use maintain::{Finding, Maintained};
pub use recall::{Hit, Hits, Passage, RecallOptions};
pub use reembed::Reembedded;
pub use remember::Receipt;
pub use stats::Stats;
pub use sync_vectors::VectorSync;

pub(crate) use audit::audit;
pub(crate) use context::context;
pub(crate) use embed::{embed, vector};
pub(crate) use export::export;
pub(crate) use feedback::feedback;
pub(crate) use forget::forget;
pub(crate) use get::{get, history, list};
pub(crate) use import::import;
pub(crate) use maintain::{doctor, flush_access, maintain};
pub(crate) use recall::recall;
pub(crate) use reembed::reembed;
pub(crate) use remember::{remember, remember_many};
pub(crate) use stats::stats;
pub(crate) use sync_vectors::sync_vectors;
pub(crate) use update::update;
