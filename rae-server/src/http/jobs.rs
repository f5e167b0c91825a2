//! The routes about background jobs.

use super::{
    auth::{Caller, Operator},
    body::{PageArguments, no_parameters, page_arguments},
    error::{ApiError, ApiResult},
    json, schema,
};
use crate::{front::Held, state::App};
use axum::{
    body::Body,
    extract::{Path, RawQuery, State},
    http::{Response, StatusCode},
};
use rae_core::{
    JobPage, JobsOptions, Rae,
    model::{JobEntry, JobState, Scope},
};
use serde_json::{Value, json};
use std::sync::Arc;

/// The project's background jobs, oldest first; the dead ones failed too often and wait to be requeued.
#[utoipa::path(get, path = "/v1/jobs", tag = "jobs", operation_id = "jobs", params(schema::JobParameters),
    responses((status = 200, body = schema::JobPage, description = "The page")))]
pub async fn jobs(State(app): State<Arc<App>>, caller: Caller, RawQuery(query): RawQuery) -> ApiResult<Response<Body>> {
    let options = arguments(query.as_deref(), app.settings.max_page)?;
    let call = |rae: Rae| async move { rae.jobs(options).await };
    let page = app.run(caller.scope, app.settings.request_timeout, Held::default(), call).await?;
    Ok(shape(&page, own))
}

/// The background jobs of all tenants, for the operator. To requeue one, name its tenant and project.
#[utoipa::path(get, path = "/v1/admin/jobs", tag = "admin", operation_id = "all_jobs", params(schema::JobParameters),
    responses((status = 200, body = schema::AllJobsPage, description = "The page")))]
pub async fn all_jobs(
    State(app): State<Arc<App>>,
    _: Operator,
    RawQuery(query): RawQuery,
) -> ApiResult<Response<Body>> {
    let options = arguments(query.as_deref(), app.settings.max_page)?;
    let call = |rae: Rae| async move { rae.all_jobs(options).await };
    let page = app.run(Scope::default(), app.settings.request_timeout, Held::default(), call).await?;
    Ok(shape(&page, |entry| {
        let mut shown = own(entry);
        shown["tenant"] = entry.scope.tenant().into();
        shown["project"] = entry.scope.project().into();
        shown
    }))
}

/// Takes a dead job back into the queue, with all its attempts before it.
#[utoipa::path(post, path = "/v1/jobs/{id}/requeue", tag = "jobs", operation_id = "requeue_job",
    responses((status = 200, body = schema::Requeued, description = "It is due now")))]
pub async fn requeue(
    State(app): State<Arc<App>>,
    caller: Caller,
    path: Result<Path<String>, axum::extract::rejection::PathRejection>,
    RawQuery(query): RawQuery,
) -> ApiResult<Response<Body>> {
    no_parameters(query.as_deref())?;
    let id = path.ok().and_then(|Path(text)| uuid::Uuid::try_parse(&text).ok());
    let id = id.ok_or_else(|| ApiError::bad("invalid_id", "the id of a job is a UUID"))?;
    let call = |rae: Rae| async move { rae.requeue_job(id).await };
    app.run(caller.scope, app.settings.request_timeout, Held::default(), call).await?;
    Ok(json(StatusCode::OK, &json!({ "id": id, "state": JobState::Queued.as_str() })))
}

fn own(entry: &JobEntry) -> Value {
    json!({
        "id": entry.id,
        "kind": entry.kind,
        "state": entry.state.as_str(),
        "attempts": entry.attempts,
        "run_at": entry.run_at,
        "last_error": entry.last_error,
    })
}

fn shape(page: &JobPage, show: impl Fn(&JobEntry) -> Value) -> Response<Body> {
    let items: Vec<Value> = page.items.iter().map(show).collect();
    json(StatusCode::OK, &json!({ "items": items, "next_cursor": page.next_cursor }))
}

fn arguments(query: Option<&str>, page_max: usize) -> ApiResult<JobsOptions> {
    let PageArguments { limit, cursor, other } = page_arguments(query, page_max, &["state"])?;
    let named = |text: &String| {
        rae_core::wire::job_state(text).map_err(|_| ApiError::bad("invalid_state", "state must be queued or dead"))
    };
    let state = other.get("state").map(named).transpose()?;
    Ok(JobsOptions { limit, cursor, state })
}
