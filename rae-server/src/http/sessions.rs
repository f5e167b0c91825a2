//! The routes of sessions and of what is learnt from them.

use super::{
    auth::Caller,
    body::{Fields, MaybeFields, page_arguments},
    error::{ApiError, ApiResult},
    json, schema,
    upkeep::long,
};
use crate::{front::Held, state::App};
use axum::{
    body::Body,
    extract::{FromRequestParts, Path, RawQuery, State},
    http::{HeaderValue, Response, StatusCode, header, request::Parts},
};
use rae_core::Error;
use serde_json::{Map, Value};
use std::sync::Arc;

type Answer = ApiResult<Response<Body>>;

/// Logs an event of a session: a memory of kind conversation, durable when it is answered. 409 (`session_ended`) once the session
/// has ended.
#[utoipa::path(post, path = "/v1/sessions/{id}/events", tag = "sessions", operation_id = "log_event", request_body = schema::NewEvent,
    responses((status = 201, body = schema::Receipt, description = "What became of it"),
        (status = 409, body = schema::Failure, description = "The session has ended, or the idempotency key was used for another body")))]
pub async fn log_event(State(app): State<Arc<App>>, caller: Caller, session: Session, fields: Fields) -> Answer {
    let args = session.with(fields.map)?;
    let receipt = app.verb(caller.scope, "log_event", args, fields.held).await.map_err(ApiError::of_body)?;
    let place = receipt["id"].as_str().and_then(|id| HeaderValue::try_from(format!("/v1/memories/{id}")).ok());
    let mut response = json(StatusCode::CREATED, &receipt);
    response.headers_mut().extend(place.map(|place| (header::LOCATION, place)));
    Ok(response)
}

/// A page of the events of a session, oldest first; its end is the last one.
#[utoipa::path(get, path = "/v1/sessions/{id}/events", tag = "sessions", operation_id = "events", params(schema::EventParameters),
    responses((status = 200, body = schema::Page, description = "The page")))]
pub async fn events(
    State(app): State<Arc<App>>,
    caller: Caller,
    session: Session,
    RawQuery(query): RawQuery,
) -> Answer {
    let args = session.with(page(&app, query.as_deref())?)?;
    Ok(json(StatusCode::OK, &app.verb(caller.scope, "events", args, Held::default()).await?))
}

/// Ends a session, and queues a reflection on it. Ending it so again gives the same receipt; another outcome is 409.
#[utoipa::path(post, path = "/v1/sessions/{id}/end", tag = "sessions", operation_id = "end_session", request_body = schema::SessionEnd,
    responses((status = 200, body = schema::Receipt, description = "The end, which is a memory too"),
        (status = 409, body = schema::Failure, description = "The session has ended with another outcome")))]
pub async fn end(State(app): State<Arc<App>>, caller: Caller, session: Session, fields: Fields) -> Answer {
    let args = session.with(fields.map)?;
    let receipt = app.verb(caller.scope, "end_session", args, fields.held).await.map_err(ApiError::of_body)?;
    Ok(json(StatusCode::OK, &receipt))
}

/// Learns from a session, or from all sessions with news, now. Gives what was made or grew stronger.
#[utoipa::path(post, path = "/v1/reflections", tag = "sessions", operation_id = "reflect", request_body = schema::Reflect,
    responses((status = 200, body = Vec<schema::Reflected>, description = "Lessons, strategies and reflections; none where nothing is new"),
        (status = 409, body = schema::Failure, description = "Others kept changing the same memories; ask again")))]
pub async fn reflect(State(app): State<Arc<App>>, caller: Caller, MaybeFields(fields): MaybeFields) -> Answer {
    let learnt = long(&app, caller.scope, "reflect", fields.map, fields.held).await;
    Ok(json(StatusCode::OK, &learnt.map_err(ApiError::of_body)?))
}

/// A page of lessons, strategies and reflections.
#[utoipa::path(get, path = "/v1/reflections", tag = "sessions", operation_id = "reflections", params(schema::EventParameters),
    responses((status = 200, body = schema::Page, description = "The page")))]
pub async fn reflections(State(app): State<Arc<App>>, caller: Caller, RawQuery(query): RawQuery) -> Answer {
    let args = page(&app, query.as_deref())?;
    Ok(json(StatusCode::OK, &app.verb(caller.scope, "reflections", args, Held::default()).await?))
}

fn page(app: &App, query: Option<&str>) -> ApiResult<Map<String, Value>> {
    let asked = page_arguments(query, app.settings.max_page, &[])?;
    let mut args = Map::new();
    args.insert("limit".to_owned(), asked.limit.into());
    args.extend(asked.cursor.map(|cursor| ("cursor".to_owned(), cursor.into())));
    Ok(args)
}

/// The name of the session in the path.
#[derive(Debug)]
pub struct Session(String);

impl Session {
    /// The arguments with the session of the path, which a body may not name again.
    fn with(self, mut args: Map<String, Value>) -> ApiResult<Map<String, Value>> {
        if args.contains_key("session_id") {
            let error = Error::invalid("unknown field \"session_id\": the path has it").with_code("unknown_field");
            return Err(ApiError::of_body(error));
        }
        args.insert("session_id".to_owned(), self.0.into());
        Ok(args)
    }
}

impl FromRequestParts<Arc<App>> for Session {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> ApiResult<Self> {
        let name = Path::<String>::from_request_parts(parts, app).await.ok();
        let name = name.ok_or_else(|| ApiError::bad("invalid_session", "the name of a session is UTF-8 text"))?;
        Ok(Self(name.0))
    }
}
