//! The one error type. Every surface (Python, Node, REST) maps from [`ErrorKind`]; the table is [`ErrorKind::TABLE`].

use std::{borrow::Cow, fmt, time::Duration};

/// Result of every fallible call of the engine.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, in the terms a caller can act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The caller's input is wrong; nothing was written.
    InvalidInput,
    /// No valid credential was given.
    Unauthenticated,
    /// The credential does not allow this, or the store was opened read-only.
    PermissionDenied,
    /// A money or token limit would be passed.
    BudgetExceeded,
    /// What was named does not exist in this scope.
    NotFound,
    /// The state is not what the call expected (version, idempotency key, embedder).
    Conflict,
    /// Too many requests; see [`Error::retry_after`].
    RateLimited,
    /// The deadline passed.
    Timeout,
    /// The caller gave up.
    Cancelled,
    /// A backend or provider does not answer, or has no room left.
    Unavailable,
    /// This build or adapter cannot do that.
    Unsupported,
    /// Stored data is damaged or is not a store of ours.
    Corrupt,
    /// A fault of the engine.
    Internal,
}

/// One row of the error table that all surfaces share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorRow {
    /// The kind.
    pub kind: ErrorKind,
    /// `snake_case` name, as in HTTP bodies.
    pub name: &'static str,
    /// Whether the same call may succeed later.
    pub retry: bool,
    /// HTTP status.
    pub http: u16,
    /// Name of the Python exception class.
    pub python: &'static str,
    /// `code` of the JavaScript error.
    pub js: &'static str,
}

const fn row(
    kind: ErrorKind,
    name: &'static str,
    retry: bool,
    http: u16,
    python: &'static str,
    js: &'static str,
) -> ErrorRow {
    ErrorRow { kind, name, retry, http, python, js }
}

impl ErrorKind {
    /// The whole table, one row a kind.
    pub const TABLE: [ErrorRow; 13] = [
        row(Self::InvalidInput, "invalid_input", false, 400, "InvalidInputError", "INVALID_INPUT"),
        row(Self::Unauthenticated, "unauthenticated", false, 401, "PermissionDeniedError", "UNAUTHENTICATED"),
        row(Self::PermissionDenied, "permission_denied", false, 403, "PermissionDeniedError", "PERMISSION_DENIED"),
        row(Self::BudgetExceeded, "budget_exceeded", false, 402, "BudgetExceededError", "BUDGET_EXCEEDED"),
        row(Self::NotFound, "not_found", false, 404, "NotFoundError", "NOT_FOUND"),
        row(Self::Conflict, "conflict", false, 409, "ConflictError", "CONFLICT"),
        row(Self::RateLimited, "rate_limited", true, 429, "RateLimitedError", "RATE_LIMITED"),
        row(Self::Timeout, "timeout", true, 504, "TimeoutError", "TIMEOUT"),
        row(Self::Cancelled, "cancelled", false, 499, "CancelledError", "ABORTED"),
        row(Self::Unavailable, "unavailable", true, 503, "UnavailableError", "UNAVAILABLE"),
        row(Self::Unsupported, "unsupported", false, 501, "UnsupportedError", "UNSUPPORTED"),
        row(Self::Corrupt, "corrupt", false, 500, "CorruptError", "CORRUPT"),
        row(Self::Internal, "internal", false, 500, "InternalError", "INTERNAL"),
    ];

    /// This kind's row of the table.
    pub fn row(self) -> &'static ErrorRow {
        // The table lists the kinds in declaration order; a test holds that.
        &Self::TABLE[self as usize]
    }

    /// `snake_case` name.
    pub fn name(self) -> &'static str {
        self.row().name
    }
}

/// An error: kind, finer code, message for a person, and what was being done.
///
/// `Display` gives the message alone; it never holds memory content, keys or passwords.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    code: Cow<'static, str>,
    message: String,
    operation: Option<&'static str>,
    context: Vec<(&'static str, String)>,
    details: Option<serde_json::Value>,
    temporary: bool,
    retry_after: Option<Duration>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of `kind` with a message that says what is wrong and what to do next.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            code: Cow::Borrowed(kind.name()),
            message: message.into(),
            operation: None,
            context: Vec::new(),
            details: None,
            temporary: matches!(kind, ErrorKind::RateLimited),
            retry_after: None,
            source: None,
        }))
    }

    /// Shorthand for [`ErrorKind::InvalidInput`].
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidInput, message)
    }

    /// Shorthand for [`ErrorKind::NotFound`].
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, message)
    }

    /// Shorthand for [`ErrorKind::Conflict`].
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Conflict, message)
    }

    /// Shorthand for [`ErrorKind::Unavailable`].
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unavailable, message)
    }

    /// Shorthand for [`ErrorKind::Corrupt`].
    pub fn corrupt(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Corrupt, message)
    }

    /// Shorthand for [`ErrorKind::Internal`].
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// Shorthand for [`ErrorKind::Unsupported`].
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }

    /// Sets a code finer than the kind.
    pub fn with_code(mut self, code: impl Into<Cow<'static, str>>) -> Self {
        self.0.code = code.into();
        self
    }

    /// Names the operation, for example `"remember"`. The first name given stays.
    pub fn with_operation(mut self, operation: &'static str) -> Self {
        self.0.operation.get_or_insert(operation);
        self
    }

    /// Adds a key and value of context (never content or secrets).
    pub fn with_context(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.0.context.push((key, value.into()));
        self
    }

    /// Adds machine-readable details.
    pub fn with_details(mut self, details: serde_json::Value) -> Self {
        self.0.details = Some(details);
        self
    }

    /// Marks the failure as one that may pass by itself.
    pub fn temporary(mut self) -> Self {
        self.0.temporary = true;
        self
    }

    /// Says how long to wait before trying again.
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        self.0.retry_after = Some(wait);
        self
    }

    /// Keeps the cause.
    pub fn with_source(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.0.source = Some(Box::new(source));
        self
    }

    /// The kind.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The finer code; the kind's name where there is none.
    pub fn code(&self) -> &str {
        &self.0.code
    }

    /// The message for a person.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What was being done.
    pub fn operation(&self) -> Option<&'static str> {
        self.0.operation
    }

    /// Context pairs in the order they were added.
    pub fn context(&self) -> &[(&'static str, String)] {
        &self.0.context
    }

    /// Machine-readable details.
    pub fn details(&self) -> Option<&serde_json::Value> {
        self.0.details.as_ref()
    }

    /// Whether the same call may succeed when it is made again.
    pub fn is_temporary(&self) -> bool {
        self.0.temporary
    }

    /// How long to wait before trying again, where known.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("code", &self.0.code)
            .field("message", &self.0.message)
            .field("operation", &self.0.operation)
            .field("context", &self.0.context)
            .field("source", &self.0.source)
            .finish()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|s| &**s as &(dyn std::error::Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_own_row_in_declaration_order() {
        for (i, row) in ErrorKind::TABLE.iter().enumerate() {
            assert_eq!(row.kind as usize, i);
            assert_eq!(row.kind.row(), row);
        }
        assert_eq!(ErrorKind::Internal as usize + 1, ErrorKind::TABLE.len());
    }

    #[test]
    fn an_error_fits_in_one_word_so_results_stay_small() {
        assert_eq!(std::mem::size_of::<Error>(), std::mem::size_of::<usize>());
    }

    #[test]
    fn the_first_operation_named_stays() {
        let e = Error::invalid("x").with_operation("apply").with_operation("remember");
        assert_eq!(e.operation(), Some("apply"));
    }
}
