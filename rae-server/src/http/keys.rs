//! Tenants and keys: the operator's routes.

use super::{
    auth::{self, Operator, TENANT},
    body::{Fields, no_parameters, page_arguments},
    error::{ApiError, ApiResult},
    json, schema,
};
use crate::{front::Held, state::App};
use axum::{
    body::Body,
    extract::{FromRequestParts, Path, RawQuery, State},
    http::{HeaderMap, HeaderValue, Response, StatusCode, header, request::Parts},
};
use rae_core::{Error, Forget, ForgetScope, model::Scope, wire};
use serde_json::json;
use std::sync::Arc;

/// Project in which changes of a tenant's keys are noted.
const PROJECT: &str = "default";

type Answer = ApiResult<Response<Body>>;

/// Registers a tenant. Writing for a tenant does not need this; the list of tenants shows both kinds.
#[utoipa::path(post, path = "/v1/tenants", tag = "admin", operation_id = "create_tenant", request_body = schema::NewTenant,
    responses((status = 201, body = schema::Tenant, description = "The tenant")))]
pub async fn create_tenant(State(app): State<Arc<App>>, _: Operator, fields: Fields) -> Answer {
    let (id, label) = wire::new_tenant(fields.map).map_err(ApiError::of_body)?;
    let scope = Scope::new(id, PROJECT).map_err(ApiError::of_body)?;
    let call = |rae: rae_core::Rae| async move { rae.create_tenant(label).await };
    let tenant = app.run(scope, app.settings.request_timeout, fields.held, call).await.map_err(ApiError::of_body)?;
    Ok(json(StatusCode::CREATED, &tenant))
}

/// A page of the tenants that are registered or have memories, by name.
#[utoipa::path(get, path = "/v1/tenants", tag = "admin", operation_id = "list_tenants", params(schema::PageParameters),
    responses((status = 200, body = schema::Tenants, description = "The page")))]
pub async fn tenants(State(app): State<Arc<App>>, _: Operator, RawQuery(query): RawQuery) -> Answer {
    let asked = page_arguments(query.as_deref(), app.settings.max_page, &[])?;
    let (limit, after) = (asked.limit, asked.cursor);
    let call = |rae: rae_core::Rae| async move { rae.tenants(after.as_deref(), limit).await };
    let items = app.run(Scope::default(), app.settings.request_timeout, Held::default(), call).await?;
    let next = (items.len() == limit).then(|| items.last().map(|t| t.id.clone())).flatten();
    Ok(json(StatusCode::OK, &json!({ "items": items, "next_cursor": next })))
}

/// A tenant.
#[utoipa::path(get, path = "/v1/tenants/{id}", tag = "admin", operation_id = "get_tenant",
    responses((status = 200, body = schema::Tenant, description = "The tenant")))]
pub async fn tenant(State(app): State<Arc<App>>, _: Operator, Named(id): Named, RawQuery(query): RawQuery) -> Answer {
    no_parameters(query.as_deref())?;
    let call = |rae: rae_core::Rae| async move { rae.tenant().await };
    let scope = Scope::new(id, PROJECT)?;
    Ok(json(StatusCode::OK, &app.run(scope, app.settings.request_timeout, Held::default(), call).await?))
}

/// Erases a tenant: all memories of all its projects, its keys and its registration. The same as the erasure of its scope.
#[utoipa::path(delete, path = "/v1/tenants/{id}", tag = "admin", operation_id = "erase_tenant",
    responses((status = 200, body = schema::Forgotten, description = "What was forgotten")))]
pub async fn erase_tenant(
    State(app): State<Arc<App>>,
    _: Operator,
    Named(id): Named,
    RawQuery(query): RawQuery,
) -> Answer {
    no_parameters(query.as_deref())?;
    let scope = Scope::new(id.clone(), PROJECT)?;
    let call = |rae: rae_core::Rae| async move { rae.forget(Forget::Scope(ForgetScope::Tenant, id)).await };
    let result = app.run(scope.clone(), app.settings.bulk_timeout, Held::default(), call).await;
    app.metrics.operation(&scope, "forget", 1, result.as_ref().err().map(Error::kind));
    // Its keys went with it, also where the rest of the erasure failed.
    app.keys.changed(false);
    Ok(json(StatusCode::OK, &result?))
}

/// Makes a key of a tenant. The field `key` is shown this once: the store keeps a keyed hash alone.
#[utoipa::path(post, path = "/v1/api-keys", tag = "admin", operation_id = "create_key", request_body = schema::NewKey,
    responses((status = 201, body = schema::CreatedKey, description = "The key, shown once")))]
pub async fn create_key(State(app): State<Arc<App>>, _: Operator, headers: HeaderMap, fields: Fields) -> Answer {
    let (tenant, new) = wire::new_key(fields.map).map_err(ApiError::of_body)?;
    let scope = meant(tenant, &headers).and_then(|t| Scope::new(t, PROJECT)).map_err(ApiError::of_body)?;
    let call = |rae: rae_core::Rae| async move { rae.create_key(new).await };
    let made = app.run(scope, app.settings.request_timeout, fields.held, call).await;
    app.keys.changed(made.is_ok());
    let made = made.map_err(ApiError::of_body)?;
    let mut body = serde_json::to_value(&made.key)
        .map_err(|e| Error::internal("the key could not be shown; revoke it").with_source(e))?;
    body["key"] = made.reveal().into();
    let mut response = json(StatusCode::CREATED, &body);
    let place = HeaderValue::try_from(format!("/v1/api-keys/{}", made.key.id)).ok();
    response.headers_mut().extend(place.map(|place| (header::LOCATION, place)));
    Ok(response)
}

/// A page of a tenant's keys in the order they were made, revoked and expired ones too. Secrets are not kept, so none is shown.
#[utoipa::path(get, path = "/v1/api-keys", tag = "admin", operation_id = "list_keys",
    params(schema::PageParameters, ("tenant" = Option<String>, Query, description = "Whose keys; X-Tenant-ID says the same")),
    responses((status = 200, body = schema::ApiKeys, description = "The page")))]
pub async fn keys(State(app): State<Arc<App>>, _: Operator, headers: HeaderMap, RawQuery(query): RawQuery) -> Answer {
    let mut asked = page_arguments(query.as_deref(), app.settings.max_page, &["tenant"])?;
    let scope = Scope::new(meant(asked.other.remove("tenant"), &headers)?, PROJECT)?;
    let limit = asked.limit;
    let after = asked.cursor.map(|cursor| cursor.parse()).transpose()?;
    let call = |rae: rae_core::Rae| async move { rae.keys(after, limit).await };
    let items = app.run(scope, app.settings.request_timeout, Held::default(), call).await?;
    let next = (items.len() == limit).then(|| items.last().map(|key| key.id)).flatten();
    Ok(json(StatusCode::OK, &json!({ "items": items, "next_cursor": next })))
}

/// Revokes a key for ever. It is refused here at once, and by other processes within five seconds.
#[utoipa::path(delete, path = "/v1/api-keys/{id}", tag = "admin", operation_id = "revoke_key",
    responses((status = 200, body = schema::ApiKey, description = "The key, with the time of its revocation")))]
pub async fn revoke_key(
    State(app): State<Arc<App>>,
    _: Operator,
    Named(id): Named,
    RawQuery(query): RawQuery,
) -> Answer {
    no_parameters(query.as_deref())?;
    let id = id.parse()?;
    let call = |rae: rae_core::Rae| async move { rae.revoke_key(id).await };
    let revoked = app.run(Scope::default(), app.settings.request_timeout, Held::default(), call).await;
    app.keys.changed(false);
    Ok(json(StatusCode::OK, &revoked?))
}

/// The tenant that the body or the query names, else the header; both must say the same.
fn meant(named: Option<String>, headers: &HeaderMap) -> rae_core::Result<String> {
    let header = auth::name(headers, TENANT, "tenant")?.map(str::to_owned);
    match (named, header) {
        (Some(named), Some(header)) if named != header => {
            Err(Error::invalid("tenant and X-Tenant-ID name two tenants").with_code("ambiguous_tenant"))
        }
        (named, header) => {
            let missing =
                || Error::invalid("name the tenant: as `tenant`, or in X-Tenant-ID").with_code("missing_tenant");
            named.or(header).ok_or_else(missing)
        }
    }
}

/// The name in the path.
#[derive(Debug)]
pub struct Named(String);

impl FromRequestParts<Arc<App>> for Named {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> ApiResult<Self> {
        let text = Path::<String>::from_request_parts(parts, app).await;
        text.map(|Path(text)| Self(text)).map_err(|_| ApiError::bad("invalid_id", "the path is not UTF-8"))
    }
}
