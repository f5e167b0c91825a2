//! How good recall is on the tenant's own questions. What asks many questions has the time limit of exports and one of their places.

use super::{
    auth::Caller,
    body::{Fields, MaybeFields, no_parameters},
    error::{ApiError, ApiResult},
    json, schema,
    upkeep::long,
};
use crate::{front::Held, state::App};
use axum::{
    body::Body,
    extract::{Path, RawQuery, State, rejection::PathRejection},
    http::{Response, StatusCode},
};
use rae_core::Error;
use serde_json::{Map, Value, json};
use std::sync::Arc;

type Answer = ApiResult<Response<Body>>;
type Name = Result<Path<String>, PathRejection>;

/// Asks every question as a recall would and judges the hits by the labels. Changes nothing, not even what counts as use.
#[utoipa::path(post, path = "/v1/evaluations", tag = "evaluations", operation_id = "evaluate",
    request_body = schema::EvaluateRequest,
    responses((status = 200, body = schema::Evaluation, description = "The run")))]
pub async fn evaluate(State(app): State<Arc<App>>, caller: Caller, fields: Fields) -> Answer {
    let run = long(&app, caller.scope, "evaluate", fields.map, fields.held).await.map_err(ApiError::of_body)?;
    Ok(json(StatusCode::OK, &run))
}

/// What differs between two runs over the same questions.
#[utoipa::path(post, path = "/v1/evaluations/compare", tag = "evaluations", operation_id = "compare_evaluations",
    request_body = schema::CompareRequest,
    responses((status = 200, body = schema::Comparison, description = "The comparison")))]
pub async fn compare(State(app): State<Arc<App>>, caller: Caller, fields: Fields) -> Answer {
    let found = long(&app, caller.scope, "compare_evaluations", fields.map, fields.held).await;
    Ok(json(StatusCode::OK, &found.map_err(ApiError::of_body)?))
}

/// The stored sets of questions, by name.
#[utoipa::path(get, path = "/v1/evaluations/questions", tag = "evaluations", operation_id = "question_sets",
    responses((status = 200, body = schema::QuestionSets, description = "The sets")))]
pub async fn question_sets(State(app): State<Arc<App>>, caller: Caller, RawQuery(query): RawQuery) -> Answer {
    no_parameters(query.as_deref())?;
    let items = long(&app, caller.scope, "question_sets", Map::new(), Held::default()).await?;
    Ok(json(StatusCode::OK, &json!({ "items": items })))
}

/// Keeps a set of questions in the place of the one of that name. Workers run the stored sets by schedule.
#[utoipa::path(put, path = "/v1/evaluations/questions/{name}", tag = "evaluations", operation_id = "set_questions",
    params(schema::SetName), request_body = schema::QuestionsRequest,
    responses((status = 200, body = schema::StoredQuestions, description = "It is stored"),
        (status = 409, body = schema::Failure, description = "There are too many sets")))]
pub async fn set_questions(State(app): State<Arc<App>>, caller: Caller, name: Name, fields: Fields) -> Answer {
    let name = named(name)?;
    let mut args = fields.map;
    let count = args.get("questions").and_then(Value::as_array).map_or(0, Vec::len);
    if args.get("questions").is_some_and(|q| q.as_array().is_some_and(Vec::is_empty)) {
        let message = "questions must not be empty; DELETE removes a set";
        return Err(ApiError::of_body(Error::invalid(message)));
    }
    insert_name(&mut args, &name)?;
    long(&app, caller.scope, "set_questions", args, fields.held).await.map_err(ApiError::of_body)?;
    Ok(json(StatusCode::OK, &json!({ "name": name, "count": count })))
}

/// Removes a set of questions and its runs.
#[utoipa::path(delete, path = "/v1/evaluations/questions/{name}", tag = "evaluations", operation_id = "remove_questions",
    params(schema::SetName),
    responses((status = 200, body = schema::StoredQuestions, description = "It is gone"),
        (status = 404, body = schema::Failure, description = "There is no such set")))]
pub async fn remove_questions(
    State(app): State<Arc<App>>,
    caller: Caller,
    name: Name,
    RawQuery(query): RawQuery,
) -> Answer {
    no_parameters(query.as_deref())?;
    let name = named(name)?;
    let args = Map::from_iter([("name".to_owned(), name.as_str().into()), ("questions".to_owned(), json!([]))]);
    long(&app, caller.scope, "set_questions", args, Held::default()).await?;
    Ok(json(StatusCode::OK, &json!({ "name": name, "count": 0 })))
}

/// Runs a stored set now, keeps the run and compares it with the one before. The body may be left out.
#[utoipa::path(post, path = "/v1/evaluations/questions/{name}/runs", tag = "evaluations", operation_id = "run_questions",
    params(schema::SetName), request_body = schema::RunRequest,
    responses((status = 200, body = schema::EvaluationRun, description = "The run"),
        (status = 404, body = schema::Failure, description = "There is no such set"),
        (status = 409, body = schema::Failure, description = "The set was written or removed meanwhile")))]
pub async fn run_questions(
    State(app): State<Arc<App>>,
    caller: Caller,
    name: Name,
    MaybeFields(fields): MaybeFields,
) -> Answer {
    let mut args = fields.map;
    insert_name(&mut args, &named(name)?)?;
    let run = long(&app, caller.scope, "run_questions", args, fields.held).await.map_err(ApiError::of_body)?;
    Ok(json(StatusCode::OK, &run))
}

/// The runs of a stored set that are kept, the newest first.
#[utoipa::path(get, path = "/v1/evaluations/questions/{name}/runs", tag = "evaluations", operation_id = "evaluations",
    params(schema::SetName),
    responses((status = 200, body = schema::EvaluationRuns, description = "The runs"),
        (status = 404, body = schema::Failure, description = "There is no such set")))]
pub async fn evaluations(State(app): State<Arc<App>>, caller: Caller, name: Name, RawQuery(query): RawQuery) -> Answer {
    no_parameters(query.as_deref())?;
    let args = Map::from_iter([("name".to_owned(), named(name)?.into())]);
    let items = long(&app, caller.scope, "evaluations", args, Held::default()).await?;
    Ok(json(StatusCode::OK, &json!({ "items": items })))
}

/// What it may be is the verb's business.
fn named(name: Name) -> ApiResult<String> {
    name.map(|Path(name)| name).map_err(|_| ApiError::bad("invalid_name", "the name of the set is no UTF-8"))
}

/// The arguments with the set of the path, which a body may not name again.
fn insert_name(args: &mut Map<String, Value>, name: &str) -> ApiResult<()> {
    if args.contains_key("name") {
        let error = Error::invalid("unknown field \"name\": the path has it").with_code("unknown_field");
        return Err(ApiError::of_body(error));
    }
    args.insert("name".to_owned(), name.into());
    Ok(())
}
