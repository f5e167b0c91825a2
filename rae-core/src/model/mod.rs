//! The vocabulary of the engine: plain data, no I/O. Everything here is parsed and bounded at the edge and trusted inside.

mod batch;
mod budget;
mod chat;
mod claim;
mod filter;
mod ids;
mod job;
mod key;
mod keyed;
mod layer;
mod ledger;
mod life;
mod memory;
mod money;
mod owner;
mod query;
mod record;
mod session;
mod subject;
mod time;

pub use batch::{
    Applied, Audit, DropTarget, Idempotency, NewJob, Op, Outcome, PatchMode, Precondition, SegmentRow, VectorRow,
    WriteBatch,
};
pub use budget::{
    Amount, Budget, BudgetChange, BudgetLevel, Funds, LevelFunds, LimitKind, Limits, Setting, Share, Spent, Window,
};
pub use chat::{
    ChatChunk, ChatContent, ChatDelta, ChatFold, ChatMessage, ChatPart, ChatRequest, ChatResponse, ChatRole, ChatTool,
    Delivery, FinishReason, ResponseFormat, ToolCall, ToolCallDelta, ToolChoice, Usage, check_model_name,
};
pub use claim::Claim;
pub(crate) use claim::NAMELESS;
pub use filter::{Cmp, Field, Filter, Value};
pub use ids::{IdGenerator, MemoryId, Scope};
pub use job::{Job, JobDepth, JobEntry, JobKind, JobScan, JobState, JobStats, Lease, Schedule};
pub use key::{ApiKey, KeyId, Role, Tenant};
pub use keyed::{KeptIds, KeyedIds};
pub use layer::{Layer, LayerPolicy};
pub use ledger::{
    Booking, CallLabel, CallStatus, CostGroup, CostQuery, CostRow, EndedCall, LedgerRow, LedgerScan, NewReservation,
    Settlement, TokenUsage,
};
pub use life::{Life, LifeStamp};
pub use memory::{CLAIM_SESSION, InfoClass, Kind, Memory, MemoryPatch, MemoryVersion, Provenance, TrustLevel};
pub use money::Usd;
pub use owner::Owner;
pub use query::{Changed, Changes, Cursor, Head, Scan, StoreStats, VectorFilter, VectorHit, VectorPoint};
pub use record::{Record, RecordKind};
pub use session::{EventType, SessionOutcome};
pub(crate) use subject::{is_subject_key, key_of_ended, subject_key};
pub(crate) use time::MONTHS;
pub use time::Timestamp;
