//! Shapes of sessions and of what is learnt from them.

use super::names::{InfoClass, Kind, TrustLevel};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

/// Parameters of a page of events or of reflections.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct EventParameters {
    /// Size of the page; default 50.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<i64>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// What sort of event it is.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EventType {
    UserInput,
    LlmCall,
    LlmResponse,
    ToolCall,
    ToolResponse,
    SystemEvent,
    ErrorEvent,
}

/// How a session ended.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SessionOutcome {
    Success,
    Failure,
    Partial,
    Timeout,
    Error,
}

/// An event of a session.
#[derive(ToSchema)]
pub struct NewEvent {
    pub r#type: EventType,
    /// What was said, called or answered: at most 1 MiB. Of a call without arguments and an answer without a word it may be empty.
    pub content: String,
    /// A JSON object of your own, without a field `event`. Reflection reads tool, error, ok, status, exit_code and call_id.
    #[schema(value_type = Option<Object>)]
    pub metadata: Option<Value>,
    /// User it belongs to: what is learnt from it is that user's own, and is erased with the user.
    pub user_id: Option<String>,
    /// Agent it belongs to.
    pub agent_id: Option<String>,
    /// Who said it.
    pub speaker: Option<String>,
    /// When it happened; default: when it is logged.
    #[schema(format = DateTime)]
    pub occurred_at: Option<String>,
    /// Seconds to live; default: none.
    #[schema(exclusive_minimum = 0.0)]
    pub ttl: Option<f64>,
    pub trust_level: Option<TrustLevel>,
    /// Default internal. What is learnt from it has the strictest class of its events.
    pub info_class: Option<InfoClass>,
    /// Makes the call safe to repeat for 24 hours. With another body: 409.
    pub idempotency_key: Option<String>,
}

/// How a session ended.
#[derive(ToSchema)]
pub struct SessionEnd {
    pub outcome: SessionOutcome,
    /// What went wrong, at most 8 KiB.
    pub error: Option<String>,
    /// User it belongs to. Default, with the agent: the only one whose events are in the session, or whose event says the error.
    pub user_id: Option<String>,
    /// Agent it belongs to.
    pub agent_id: Option<String>,
    /// Default: the strictest class of the session's events.
    pub info_class: Option<InfoClass>,
}

/// What to reflect on.
#[derive(ToSchema)]
pub struct Reflect {
    /// This session; without one all sessions of the project that have news.
    pub session_id: Option<String>,
    /// Only sessions with an event at or after this time.
    #[schema(format = DateTime)]
    pub since: Option<String>,
}

/// A memory that was made or grew stronger.
#[derive(ToSchema)]
pub struct Reflected {
    #[schema(format = Uuid)]
    pub id: String,
    /// lesson, strategy, reflection, or a fact that was consolidated.
    pub kind: Kind,
    /// What it says now.
    pub content: String,
    pub version: u32,
    /// Whether it is new.
    pub created: bool,
    /// The session that it sums up, where it is a reflection.
    #[schema(required)]
    pub session_id: Option<String>,
    /// The tool that failed, where one did.
    #[schema(required)]
    pub tool: Option<String>,
    /// The error in its general form.
    #[schema(required)]
    pub error: Option<String>,
    /// How often it happened.
    #[schema(required)]
    pub count: Option<u64>,
    /// In how many sessions.
    #[schema(required)]
    pub sessions: Option<u64>,
    pub importance: f64,
    pub confidence: f64,
    /// The events that it was learnt from, at most 64.
    pub sources: Vec<String>,
    /// model, where one is configured and was not asked: the job asks it later.
    pub degraded: Vec<String>,
}
