//! The routes about relations. A relation is a memory, and has the routes of one too.

use super::{
    auth::Caller,
    body::{Fields, no_parameters, page_arguments},
    error::{ApiError, ApiResult},
    json,
    memories::{Id, with_id},
    schema,
};
use crate::{front::Held, state::App};
use axum::{
    body::Body,
    extract::{RawQuery, State},
    http::{HeaderValue, Response, StatusCode, header},
};
use rae_core::Error;
use serde_json::{Map, Value};
use std::sync::Arc;

type Answer = ApiResult<Response<Body>>;

/// Stores a relation: a fact in words that carries subject, relation and object. The same with the same validity merges. No model
/// is called.
#[utoipa::path(post, path = "/v1/graph/relations", tag = "graph", operation_id = "relate", request_body = schema::NewRelation,
    responses((status = 201, body = schema::Receipt, description = "What became of it; the id is that of a memory")))]
pub async fn relate(State(app): State<Arc<App>>, caller: Caller, fields: Fields) -> Answer {
    let receipt = app.verb(caller.scope, "relate", fields.map, fields.held).await.map_err(ApiError::of_body)?;
    let place = receipt["id"].as_str().and_then(|id| HeaderValue::try_from(format!("/v1/memories/{id}")).ok());
    let mut response = json(StatusCode::CREATED, &receipt);
    response.headers_mut().extend(place.map(|place| (header::LOCATION, place)));
    Ok(response)
}

/// A page of relations, oldest first: the memories that carry them. Names are compared whatever their case and spacing.
#[utoipa::path(get, path = "/v1/graph/relations", tag = "graph", operation_id = "relations", params(schema::RelationParameters),
    responses((status = 200, body = schema::Page, description = "The page")))]
pub async fn relations(State(app): State<Arc<App>>, caller: Caller, RawQuery(query): RawQuery) -> Answer {
    let names = ["subject", "relation", "object"];
    let given = page_arguments(query.as_deref(), app.settings.max_page, &names)?;
    let mut args: Map<String, Value> =
        given.other.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
    args.insert("limit".to_owned(), given.limit.into());
    args.extend(given.cursor.map(|cursor| ("cursor".to_owned(), cursor.into())));
    Ok(json(StatusCode::OK, &app.verb(caller.scope, "relations", args, Held::default()).await?))
}

/// Erases a relation: its memory, and what was derived from it alone.
#[utoipa::path(delete, path = "/v1/graph/relations/{id}", tag = "graph", operation_id = "forget_relation",
    responses((status = 200, body = schema::Forgotten, description = "What was forgotten")))]
pub async fn forget_relation(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(id): Id,
    RawQuery(query): RawQuery,
) -> Answer {
    no_parameters(query.as_deref())?;
    let memory = app.verb(caller.scope.clone(), "get", with_id(id, Map::new())?, Held::default()).await?;
    if memory["claim"].is_null() {
        let error = Error::not_found(format!("memory {id} states no relation")).with_code("relation_not_found");
        return Err(error.into());
    }
    Ok(json(StatusCode::OK, &app.verb(caller.scope, "forget", with_id(id, Map::new())?, Held::default()).await?))
}
