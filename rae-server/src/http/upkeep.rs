//! Vectors, and the housekeeping of a project and of its store. What takes a time in proportion to a project has the time limit of
//! exports and one of their places.

use super::{
    auth::{Caller, Operator, operator_only},
    body::{Fields, MaybeFields, PageArguments, no_parameters, page_arguments},
    bulk::{FileBody, without_paths},
    error::{ApiError, ApiResult, shown},
    json,
    memories::{Id, with_id},
    schema,
};
use crate::{front::Held, state::App};
use axum::{
    body::Body,
    extract::{Path, RawQuery, State},
    http::{HeaderValue, Response, StatusCode},
};
use rae_core::{Error, model::Scope};
use serde_json::{Map, Value, json};
use std::sync::Arc;

type Answer = ApiResult<Response<Body>>;

/// Unit vectors of texts as given, by the embedder in use.
#[utoipa::path(post, path = "/v1/embed", tag = "vectors", operation_id = "embed", request_body = schema::EmbedRequest,
    responses((status = 200, body = schema::Vectors, description = "A vector for each text, in order")))]
pub async fn embed(State(app): State<Arc<App>>, caller: Caller, fields: Fields) -> Answer {
    let vectors = app.verb(caller.scope, "embed", fields.map, fields.held).await.map_err(ApiError::of_body)?;
    Ok(json(StatusCode::OK, &json!({ "vectors": vectors })))
}

/// The stored vector of a memory under the embedder in use.
#[utoipa::path(get, path = "/v1/memories/{id}/vector", tag = "vectors", operation_id = "vector",
    responses((status = 200, body = schema::Vector, description = "The vector")))]
pub async fn vector(State(app): State<Arc<App>>, caller: Caller, Id(id): Id, RawQuery(query): RawQuery) -> Answer {
    no_parameters(query.as_deref())?;
    let vector = app.verb(caller.scope, "vector", with_id(id, Map::new())?, Held::default()).await?;
    Ok(json(StatusCode::OK, &json!({ "vector": vector })))
}

/// Looks for duplicates, contradictions and orphans in the project, and says what to do. Changes nothing.
#[utoipa::path(get, path = "/v1/audit", tag = "upkeep", operation_id = "audit", params(schema::AuditParameters),
    responses((status = 200, body = schema::Audit, description = "What was found")))]
pub async fn audit(State(app): State<Arc<App>>, caller: Caller, RawQuery(query): RawQuery) -> Answer {
    let args = audit_arguments(query.as_deref().unwrap_or_default())?;
    Ok(json(StatusCode::OK, &long(&app, caller.scope, "audit", args, Held::default()).await?))
}

/// The same, and does with `fix` what needs nobody's judgement, each as a change that can be undone. The body may be left out.
#[utoipa::path(post, path = "/v1/audit", tag = "upkeep", operation_id = "audit_and_fix",
    request_body = schema::AuditRequest,
    responses((status = 200, body = schema::Audit, description = "What was found and fixed")))]
pub async fn audit_and_fix(State(app): State<Arc<App>>, caller: Caller, MaybeFields(fields): MaybeFields) -> Answer {
    let report = long(&app, caller.scope, "audit", fields.map, fields.held).await.map_err(ApiError::of_body)?;
    Ok(json(StatusCode::OK, &report))
}

/// What the engine changed by itself, newest first, as far as audit rows go back.
#[utoipa::path(get, path = "/v1/changes", tag = "upkeep", operation_id = "changes", params(schema::ChangesParameters),
    responses((status = 200, body = schema::ChangePage, description = "The page")))]
pub async fn changes(State(app): State<Arc<App>>, caller: Caller, RawQuery(query): RawQuery) -> Answer {
    let PageArguments { limit, cursor, .. } = page_arguments(query.as_deref(), app.settings.max_page, &[])?;
    let mut args = Map::new();
    args.insert("limit".to_owned(), limit.into());
    args.extend(cursor.map(|cursor| ("cursor".to_owned(), Value::from(cursor))));
    Ok(json(StatusCode::OK, &app.verb(caller.scope, "changes", args, Held::default()).await?))
}

/// Takes back a change that the engine made by itself: what it changed is as before, what it added holds no longer. Done twice it is
/// done once.
#[utoipa::path(post, path = "/v1/changes/{id}/undo", tag = "upkeep", operation_id = "undo",
    responses((status = 200, body = schema::Undone, description = "It is undone"),
        (status = 404, body = schema::Failure, description = "There is no such change"),
        (status = 409, body = schema::Failure, description = "A memory was changed since, or the change cannot be undone")))]
pub async fn undo(
    State(app): State<Arc<App>>,
    caller: Caller,
    path: Result<Path<String>, axum::extract::rejection::PathRejection>,
    MaybeFields(fields): MaybeFields,
) -> Answer {
    let id = path.ok().map(|Path(id)| id).ok_or_else(|| ApiError::bad("invalid_id", "the id of a change is a UUID"))?;
    let mut args = fields.map;
    if args.contains_key("id") {
        return Err(ApiError::of_body(Error::invalid("id is not known here").with_code("unknown_field")));
    }
    args.insert("id".to_owned(), id.into());
    Ok(json(StatusCode::OK, &app.verb(caller.scope, "undo", args, fields.held).await?))
}

/// Looks for whatever the receipt of an erasure names, in every place of the project, and tells place by place what is there. Reads the
/// whole project and changes nothing. With `texts` it looks for these as well.
#[utoipa::path(post, path = "/v1/erasure/verify", tag = "memories", operation_id = "verify_erasure",
    request_body = schema::ErasureCheck,
    responses((status = 200, body = schema::ErasureReport, description = "What was found, the good too")))]
pub async fn verify_erasure(State(app): State<Arc<App>>, caller: Caller, mut fields: Fields) -> Answer {
    // Files are those of the machine that the store is opened on: no path comes from a caller, and the store's own has all tenants.
    if let Some(name) = ["exports", "file"].into_iter().find(|name| fields.map.contains_key(*name)) {
        let text = format!("{name} is not known here");
        return Err(ApiError::of_body(Error::invalid(text).with_code("unknown_field")));
    }
    fields.map.insert("file".to_owned(), false.into());
    let report =
        long(&app, caller.scope, "verify_erasure", fields.map, fields.held).await.map_err(ApiError::of_body)?;
    Ok(json(StatusCode::OK, &report))
}

/// Does the project's due housekeeping and waits for it: purges what expired, pays owed vectors. The body may be left out.
#[utoipa::path(post, path = "/v1/maintain", tag = "upkeep", operation_id = "maintain", request_body = schema::Maintenance,
    responses((status = 200, body = schema::Maintained, description = "What was done")))]
pub async fn maintain(State(app): State<Arc<App>>, caller: Caller, MaybeFields(fields): MaybeFields) -> Answer {
    // Another time would also age what the whole store keeps for all tenants: batches and keys that make writes safe to repeat.
    if fields.map.get("now").is_some_and(|now| !now.is_null()) && !caller.operator {
        return Err(operator_only());
    }
    let done = long(&app, caller.scope, "maintain", fields.map, fields.held).await.map_err(ApiError::of_body)?;
    Ok(json(StatusCode::OK, &done))
}

/// Looks for damage and says what to do. It reads the whole embedded store, of PostgreSQL the tenant's part; one at a time.
#[utoipa::path(get, path = "/v1/doctor", tag = "upkeep", operation_id = "doctor",
    responses((status = 200, body = schema::Findings, description = "What was found, the good too")))]
pub async fn doctor(State(app): State<Arc<App>>, caller: Caller, RawQuery(query): RawQuery) -> Answer {
    no_parameters(query.as_deref())?;
    let _whole = app.whole_place()?;
    let findings = long(&app, caller.scope, "doctor", Map::new(), Held::default()).await?;
    Ok(json(StatusCode::OK, &json!({ "findings": findings })))
}

/// A consistent copy of the whole store, all tenants, as the file that an embedded store is. A store in PostgreSQL is backed up by
/// PostgreSQL: 501. The copy lies in the folder for data until it is sent; no path comes from a caller.
#[utoipa::path(get, path = "/v1/admin/backup", tag = "operators", operation_id = "backup",
    responses((status = 200, body = String, content_type = "application/vnd.sqlite3", description = "The file"),
        (status = 501, body = schema::Failure, description = "The store is backed up by other means")))]
pub async fn backup(State(app): State<Arc<App>>, _: Operator, RawQuery(query): RawQuery) -> Answer {
    no_parameters(query.as_deref())?;
    let (place, whole) = (app.bulk_place(None)?, app.whole_place()?);
    let temp = app.temp_file();
    let limit = app.settings.bulk_timeout;
    let call = |rae: rae_core::Rae| async move {
        let _whole = whole;
        rae.backup(temp.path()).await?;
        std::fs::File::open(temp.path()).map_err(|e| Error::unavailable("the backup cannot be read").with_source(e))
    };
    let scope = Scope::default();
    let result = app.run(scope.clone(), limit, Held::default(), call).await.map_err(without_paths);
    app.metrics.operation(&scope, "backup", 1, result.as_ref().err().map(Error::kind));
    let kind = HeaderValue::from_static("application/vnd.sqlite3");
    let name = HeaderValue::from_static("attachment; filename=\"backup.rae\"");
    Ok(FileBody::of(result?, limit, place)?.response(kind, name))
}

pub(super) async fn long(
    app: &App,
    scope: Scope,
    verb: &'static str,
    args: Map<String, Value>,
    held: Held,
) -> rae_core::Result<Value> {
    let _place = app.bulk_place(Some(scope.tenant()))?;
    app.verb_within(app.settings.bulk_timeout, scope, verb, args, held).await
}

fn audit_arguments(query: &str) -> ApiResult<Map<String, Value>> {
    let mut args = Map::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if name != "limit" {
            return Err(ApiError::bad("unknown_parameter", format!("unknown parameter {}", shown(&name))));
        }
        let number: i64 = value.parse().map_err(|_| ApiError::bad("invalid_limit", "limit must be a whole number"))?;
        if args.insert("limit".to_owned(), number.into()).is_some() {
            return Err(ApiError::bad("repeated_parameter", "the parameter limit is given more than once"));
        }
    }
    Ok(args)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parameters_of_an_audit_are_one_whole_number() {
        assert!(audit_arguments("").unwrap().is_empty());
        // Its range is the verb's business.
        for (query, limit) in [("limit=5", 5), ("limit=-1", -1), ("limit=1000000000", 1_000_000_000)] {
            assert_eq!(audit_arguments(query).unwrap()["limit"], limit);
        }
        for bad in ["limit=x", "limit=", "limit=1.5", "limit=1&limit=2", "k=1", "limit=99999999999999999999"] {
            assert!(audit_arguments(bad).is_err(), "{bad}");
        }
    }
}
