//! Closed sets of names.

use utoipa::ToSchema;

/// What sort of thing a memory is.
#[derive(ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    Text,
    Fact,
    Conversation,
    Document,
    Code,
    ImageRef,
    Reflection,
    Lesson,
    Strategy,
    EntitySummary,
}

/// Where a memory lives, from fleeting to lasting.
#[derive(ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Layer {
    Sensory,
    Working,
    Episodic,
    Semantic,
    Reflective,
}

/// How far a source is trusted.
#[derive(ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TrustLevel {
    Unverified,
    Low,
    Medium,
    High,
}

/// Who may see a memory.
#[derive(ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum InfoClass {
    Public,
    Internal,
    Confidential,
    Restricted,
}

/// What is erased whole.
#[derive(ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ErasureScope {
    Session,
    User,
    Project,
    Tenant,
}

/// What went wrong, in the terms a caller can act on.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    InvalidInput,
    Unauthenticated,
    PermissionDenied,
    BudgetExceeded,
    NotFound,
    Conflict,
    RateLimited,
    Timeout,
    Cancelled,
    Unavailable,
    Unsupported,
    Corrupt,
    Internal,
}
