//! The routes of the knowledge graph. What is asked may stand in the query string or, for long lists of names, in a body.

use super::{
    auth::Caller,
    body::{Fields, no_parameters},
    error::{ApiError, ApiResult, shown},
    json, schema,
};
use crate::{front::Held, state::App};
use axum::{
    extract::{RawQuery, State},
    http::{Response, StatusCode},
};
use serde_json::{Map, Value, json};
use std::sync::Arc;

type Answer = ApiResult<Response<axum::body::Body>>;

/// A page of the entities that relations name: the best fitting ones first, then those with the most relations.
#[utoipa::path(get, path = "/v1/graph/entities", tag = "graph", operation_id = "entities", params(schema::EntitiesParameters),
    responses((status = 200, body = schema::EntityPage, description = "The page")))]
pub async fn entities(State(app): State<Arc<App>>, caller: Caller, RawQuery(query): RawQuery) -> Answer {
    let page_max = app.settings.max_page;
    let mut args = arguments(query.as_deref(), &["query", "limit", "cursor", "at", "snapshot"])?;
    if args.get("limit").and_then(Value::as_i64).is_some_and(|limit| limit > page_max as i64) {
        return Err(ApiError::bad("invalid_limit", format!("limit must be at most {page_max}")));
    }
    let default = rae_core::EntitiesOptions::default().limit.min(page_max as i64);
    args.entry("limit").or_insert_with(|| default.into());
    Ok(json(StatusCode::OK, &app.verb(caller.scope, "entities", args, Held::default()).await?))
}

/// What is around an entity, the nearest first. Nothing is around a name that no relation has.
#[utoipa::path(get, path = "/v1/graph/neighbors", tag = "graph", operation_id = "neighbors", params(schema::NeighborsParameters),
    responses((status = 200, body = schema::Neighborhood, description = "The entity and its neighbors")))]
pub async fn neighbors(State(app): State<Arc<App>>, caller: Caller, RawQuery(query): RawQuery) -> Answer {
    let args = arguments(query.as_deref(), &["entity", "depth", "relation", "limit", "at", "snapshot"])?;
    Ok(json(StatusCode::OK, &app.verb(caller.scope, "neighbors", args, Held::default()).await?))
}

/// The same, asked in a body.
#[utoipa::path(post, path = "/v1/graph/neighbors", tag = "graph", operation_id = "ask_neighbors",
    request_body = schema::NeighborsRequest,
    responses((status = 200, body = schema::Neighborhood, description = "The entity and its neighbors")))]
pub async fn ask_neighbors(State(app): State<Arc<App>>, caller: Caller, fields: Fields) -> Answer {
    let answer = app.verb(caller.scope, "neighbors", fields.map, fields.held).await.map_err(ApiError::of_body)?;
    Ok(json(StatusCode::OK, &answer))
}

/// The cheapest way from one entity to another: each relation costs 1 over its weight times its confidence, and may be gone both ways.
#[utoipa::path(get, path = "/v1/graph/path", tag = "graph", operation_id = "path", params(schema::PathParameters),
    responses((status = 200, body = schema::FoundPath, description = "The way; null where there is none")))]
pub async fn path(State(app): State<Arc<App>>, caller: Caller, RawQuery(query): RawQuery) -> Answer {
    let args = arguments(query.as_deref(), &["a", "b", "at", "snapshot"])?;
    let path = app.verb(caller.scope, "path", args, Held::default()).await?;
    Ok(json(StatusCode::OK, &json!({ "path": path })))
}

/// The same, asked in a body.
#[utoipa::path(post, path = "/v1/graph/path", tag = "graph", operation_id = "ask_path", request_body = schema::PathRequest,
    responses((status = 200, body = schema::FoundPath, description = "The way; null where there is none")))]
pub async fn ask_path(State(app): State<Arc<App>>, caller: Caller, fields: Fields) -> Answer {
    let path = app.verb(caller.scope, "path", fields.map, fields.held).await.map_err(ApiError::of_body)?;
    Ok(json(StatusCode::OK, &json!({ "path": path })))
}

/// The entities around some, and the relations among them all. The parameter `entities` is given once for each name.
#[utoipa::path(get, path = "/v1/graph/subgraph", tag = "graph", operation_id = "subgraph", params(schema::SubgraphParameters),
    responses((status = 200, body = schema::Subgraph, description = "Entities and relations")))]
pub async fn subgraph(State(app): State<Arc<App>>, caller: Caller, RawQuery(query): RawQuery) -> Answer {
    let args = arguments(query.as_deref(), &["entities", "depth", "limit", "at", "snapshot"])?;
    Ok(json(StatusCode::OK, &app.verb(caller.scope, "subgraph", args, Held::default()).await?))
}

/// The same, asked in a body.
#[utoipa::path(post, path = "/v1/graph/subgraph", tag = "graph", operation_id = "ask_subgraph",
    request_body = schema::SubgraphRequest,
    responses((status = 200, body = schema::Subgraph, description = "Entities and relations")))]
pub async fn ask_subgraph(State(app): State<Arc<App>>, caller: Caller, fields: Fields) -> Answer {
    let answer = app.verb(caller.scope, "subgraph", fields.map, fields.held).await.map_err(ApiError::of_body)?;
    Ok(json(StatusCode::OK, &answer))
}

/// Gives the present instant a name, by which the graph can be asked later as it was known now.
#[utoipa::path(post, path = "/v1/graph/snapshots", tag = "graph", operation_id = "snapshot", request_body = schema::NewSnapshot,
    responses((status = 201, body = schema::Snapshot, description = "The snapshot")))]
pub async fn snapshot(State(app): State<Arc<App>>, caller: Caller, fields: Fields) -> Answer {
    let snapshot = app.verb(caller.scope, "snapshot", fields.map, fields.held).await.map_err(ApiError::of_body)?;
    Ok(json(StatusCode::CREATED, &snapshot))
}

/// The snapshots of the project, oldest first.
#[utoipa::path(get, path = "/v1/graph/snapshots", tag = "graph", operation_id = "snapshots",
    responses((status = 200, body = schema::Snapshots, description = "The snapshots")))]
pub async fn snapshots(State(app): State<Arc<App>>, caller: Caller, RawQuery(query): RawQuery) -> Answer {
    no_parameters(query.as_deref())?;
    let snapshots = app.verb(caller.scope, "snapshots", Map::new(), Held::default()).await?;
    Ok(json(StatusCode::OK, &json!({ "snapshots": snapshots })))
}

/// The arguments of a verb from a query string. Ranges and what is missing are the verb's business.
fn arguments(query: Option<&str>, known: &[&str]) -> ApiResult<Map<String, Value>> {
    let mut args = Map::new();
    for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        if !known.contains(&&*name) {
            return Err(ApiError::bad("unknown_parameter", format!("unknown parameter {}", shown(&name))));
        }
        let value: Value = match &*name {
            "entities" => {
                let list = args.entry("entities").or_insert_with(|| Value::Array(Vec::new()));
                list.as_array_mut().into_iter().for_each(|list| list.push(value.as_ref().into()));
                continue;
            }
            "limit" | "depth" => {
                let code = if name == "limit" { "invalid_limit" } else { "invalid_depth" };
                let number = value.parse::<i64>();
                number.map_err(|_| ApiError::bad(code, format!("{name} must be a whole number")))?.into()
            }
            _ => value.into_owned().into(),
        };
        if args.insert(name.clone().into_owned(), value).is_some() {
            return Err(ApiError::bad("repeated_parameter", format!("the parameter {name} is given more than once")));
        }
    }
    Ok(args)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_string_becomes_the_arguments_of_a_verb() {
        let known = ["entities", "depth", "limit", "at"];
        let args = arguments(Some("entities=Ada%20L.&entities=Bob&depth=-1&at=2026-01-01"), &known).unwrap();
        let expected = json!({ "entities": ["Ada L.", "Bob"], "depth": -1, "at": "2026-01-01" });
        assert_eq!(Value::Object(args), expected);
        assert!(arguments(None, &known).unwrap().is_empty());
        for bad in ["k=1", "depth=x", "limit=", "limit=1.5", "at=1&at=2", "depth=99999999999999999999"] {
            assert!(arguments(Some(bad), &known).is_err(), "{bad}");
        }
    }
}
