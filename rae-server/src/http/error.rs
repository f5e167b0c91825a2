//! From the engine's errors to responses: one body everywhere.

use axum::{
    body::Body,
    http::{HeaderValue, Response, StatusCode, header},
    response::IntoResponse,
};
use rae_core::{Error, ErrorKind, model::BudgetLevel};
use serde_json::{Value, json};

tokio::task_local! {
    /// Id of the request that this task answers.
    pub static REQUEST_ID: String;
    /// Whether whoever asked may see one project alone.
    static ONE_PROJECT: bool;
}

/// An error with the status it is answered with.
#[derive(Debug)]
pub struct ApiError {
    error: Error,
    status: StatusCode,
}

/// What the log says of a failed request.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Kind.
    pub kind: &'static str,
    /// Code.
    pub code: String,
    /// Message, for faults of the server.
    pub message: Option<String>,
}

/// Result of a handler.
pub type ApiResult<T> = Result<T, ApiError>;

impl From<Error> for ApiError {
    /// By the engine's table: wrong input is 400.
    fn from(error: Error) -> Self {
        let status = StatusCode::from_u16(error.kind().row().http).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self { error, status }
    }
}

impl ApiError {
    /// An error with a status of its own.
    pub fn with_status(error: Error, status: StatusCode) -> Self {
        Self { error, status }
    }

    /// The error of a call that was made from a body: what was read but is wrong is 422.
    pub fn of_body(error: Error) -> Self {
        match error.kind() {
            ErrorKind::InvalidInput => Self::with_status(error, StatusCode::UNPROCESSABLE_ENTITY),
            _ => error.into(),
        }
    }

    /// Wrong input outside a body: 400 with a code.
    pub fn bad(code: &'static str, message: impl Into<String>) -> Self {
        Error::invalid(message).with_code(code).into()
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response<Body> {
        let Self { error, status } = self;
        let mut response = super::json(status, &error_body(&error));
        let retry = error.retry_after().map(|d| d.as_secs().max(1));
        let retry =
            retry.or_else(|| matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::RateLimited).then_some(1));
        if let Some(seconds) = retry {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if error.kind() == ErrorKind::Unauthenticated {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        let message = status.is_server_error().then(|| error.message().to_owned());
        let failure = Failure { kind: error.kind().name(), code: error.code().to_owned(), message };
        response.extensions_mut().insert(failure);
        response
    }
}

/// The one body of errors, with the id of the request that this task answers. Who may see one project alone does not learn from a
/// refusal what the tenant may spend, and has spent.
pub fn error_body(error: &Error) -> Value {
    let (message, details) = match ONE_PROJECT.try_with(|one| *one).unwrap_or_default() {
        true => tenants_refusal(error),
        false => None,
    }
    .unwrap_or_else(|| (error.message().to_owned(), error.details().cloned().unwrap_or_else(|| json!({}))));
    json!({ "error": {
        "kind": error.kind().name(),
        "code": error.code(),
        "message": message,
        "details": details,
        "request_id": REQUEST_ID.try_with(String::clone).unwrap_or_default(),
    } })
}

/// Message and details without numbers, where the budget of the whole tenant refuses a call.
fn tenants_refusal(error: &Error) -> Option<(String, Value)> {
    let scope = error.details()?.get("scope")?;
    if error.kind() != ErrorKind::BudgetExceeded || scope != BudgetLevel::Tenant.as_str() {
        return None;
    }
    let resets_at = error.details()?.get("resets_at").cloned().unwrap_or_default();
    let message = "a limit of the whole tenant would be passed, and this key may see one project alone: ask who keeps the tenant's \
                   budget, wait until `resets_at`, or ask for fewer output tokens";
    Some((message.to_owned(), json!({ "scope": scope, "resets_at": resets_at })))
}

/// The answer to a caller who may see one project alone, or all of them.
pub fn for_caller<F: Future>(one_project: bool, work: F) -> impl Future<Output = F::Output> {
    ONE_PROJECT.scope(one_project, work)
}

/// Work of another task that is still part of the request which this one answers.
pub fn with_request_id<F: Future>(work: F) -> impl Future<Output = F::Output> {
    let one_project = ONE_PROJECT.try_with(|one| *one).unwrap_or_default();
    REQUEST_ID.scope(REQUEST_ID.try_with(String::clone).unwrap_or_default(), for_caller(one_project, work))
}

/// For routes that do not exist.
pub async fn no_such_route() -> ApiError {
    Error::not_found("there is no such route; GET /docs lists them").with_code("no_such_route").into()
}

/// The same for the model services, which have no page.
pub async fn no_such_service_route() -> ApiError {
    Error::not_found("there is no such route; docs/ml.md lists them").with_code("no_such_route").into()
}

/// For methods that a route does not have.
pub async fn no_such_method() -> ApiError {
    let error = Error::invalid("this route does not have that method; the header Allow lists those it has");
    ApiError::with_status(error.with_code("method_not_allowed"), StatusCode::METHOD_NOT_ALLOWED)
}

/// A value as it is shown in a message: short.
pub fn shown(value: &str) -> Value {
    Value::String(value.chars().take(80).collect())
}
