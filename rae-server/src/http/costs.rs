//! Budgets, what was spent, and metering of calls that a client makes itself.

mod csv;
mod input;

use super::{
    auth::{Caller, PROJECT, other_project},
    body::{Fields, no_parameters},
    edge::REQUEST_ID_HEADER,
    error::{ApiError, ApiResult},
    json, schema,
};
use crate::{front::Held, state::App};
use axum::{
    body::Body,
    extract::{FromRequestParts, Path, rejection::PathRejection},
    http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header, request::Parts},
};
use input::Query;
use rae_core::{
    CostLogOptions, CostsOptions, Rae,
    model::{BudgetLevel, Funds, LimitKind},
    wire::{self, Words},
};
use serde_json::json;
use std::sync::Arc;

type Answer = ApiResult<Response<Body>>;

/// Says which limits have reached their warning threshold.
pub const WARNING: HeaderName = HeaderName::from_static("x-budget-warning");
/// `next_cursor` of a page that is not JSON.
const NEXT: HeaderName = HeaderName::from_static("x-next-cursor");

/// Who asks one of these routes, and how.
#[derive(Debug)]
pub struct Asker {
    app: Arc<App>,
    caller: Caller,
    headers: HeaderMap,
    query: Option<String>,
}

impl FromRequestParts<Arc<App>> for Asker {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let caller = Caller::from_request_parts(parts, app).await?;
        let (headers, query) = (parts.headers.clone(), parts.uri.query().map(str::to_owned));
        Ok(Self { app: Arc::clone(app), caller, headers, query })
    }
}

impl Asker {
    /// What the query string says, with the parameters in `known`; and whose money is meant.
    fn level(&self, known: &[&str]) -> ApiResult<(BudgetLevel, Query)> {
        let asked = Query::read(self.query.as_deref(), known)?;
        Ok((level(&self.caller, &self.headers, asked.scope)?, asked))
    }

    /// Runs a verb of theirs within the time of a request.
    async fn run<T, F>(self, held: Held, call: impl FnOnce(Rae) -> F) -> rae_core::Result<T>
    where
        T: Send + 'static,
        F: Future<Output = rae_core::Result<T>> + Send + 'static,
    {
        self.app.run(self.caller.scope, self.app.settings.request_timeout, held, call).await
    }
}

/// Sets limits of the tenant, or of the project that X-Project-ID names: fields that are left out stay, null lifts a limit. Gives the
/// limits that count now.
#[utoipa::path(put, path = "/v1/budgets", tag = "costs", operation_id = "set_budget", request_body = schema::BudgetChange,
    params(schema::BudgetParameters), responses((status = 200, body = schema::Limits, description = "The limits that count")))]
pub async fn set_budget(asker: Asker, fields: Fields) -> Answer {
    let (level, _) = asker.level(&["scope"])?;
    let change = wire::budget_change(fields.map, Words::Api).map_err(ApiError::of_body)?;
    let call = |rae: Rae| async move { rae.set_budget(level, change).await };
    let limits = asker.run(fields.held, call).await;
    Ok(json(StatusCode::OK, &limits.map_err(ApiError::of_body)?.named()))
}

/// The limits that count for the tenant, or for the project that X-Project-ID names.
#[utoipa::path(get, path = "/v1/budgets", tag = "costs", operation_id = "limits", params(schema::BudgetParameters),
    responses((status = 200, body = schema::Limits, description = "The limits")))]
pub async fn limits(asker: Asker) -> Answer {
    let (level, _) = asker.level(&["scope"])?;
    let call = |rae: Rae| async move { rae.limits(level).await };
    let limits = asker.run(Held::default(), call).await?;
    Ok(json(StatusCode::OK, &limits.named()))
}

/// Limits and spending in this UTC day and month, of the tenant, or of the project that X-Project-ID names.
#[utoipa::path(get, path = "/v1/budgets/current", tag = "costs", operation_id = "budget", params(schema::BudgetParameters),
    responses((status = 200, body = schema::BudgetStatus, description = "Where it stands")))]
pub async fn budget(asker: Asker) -> Answer {
    let (level, _) = asker.level(&["scope"])?;
    let call = |rae: Rae| async move { rae.budget(level).await };
    Ok(json(StatusCode::OK, &asker.run(Held::default(), call).await?))
}

/// What was spent, in sums, by the tenant, or by the project that X-Project-ID names. Times are those of the calls' begin.
#[utoipa::path(get, path = "/v1/costs", tag = "costs", operation_id = "costs", params(schema::CostParameters),
    responses((status = 200, body = schema::Costs, description = "The sums, in the order of their groups")))]
pub async fn costs(asker: Asker) -> Answer {
    let (level, asked) = asker.level(&["scope", "group_by", "since", "until"])?;
    let options = CostsOptions { level, group_by: asked.group_by, since: asked.since, until: asked.until };
    let call = |rae: Rae| async move { rae.costs(options).await };
    let costs = asker.run(Held::default(), call).await?;
    Ok(json(StatusCode::OK, &wire::sums(&costs)?))
}

/// A page of the ledger: one row for each attempt of a call, the one that was booked last first. As CSV with `format=csv` or
/// `Accept: text/csv`; the cursor of the next page is in X-Next-Cursor then.
#[utoipa::path(get, path = "/v1/costs/logs", tag = "costs", operation_id = "cost_log", params(schema::CostLogParameters),
    responses((status = 200, description = "The page",
        content((schema::CostLog = "application/json"), (String = "text/csv")))))]
pub async fn cost_log(asker: Asker) -> Answer {
    let (level, asked) = asker.level(&["scope", "since", "until", "limit", "cursor", "format"])?;
    let as_csv = asked.csv.unwrap_or_else(|| csv::is_asked_for(&asker.headers));
    let options = CostLogOptions {
        level,
        since: asked.since,
        until: asked.until,
        limit: asked.limit(asker.app.settings.max_page)?,
        cursor: asked.cursor,
    };
    let call = |rae: Rae| async move { rae.cost_log(options).await };
    let page = asker.run(Held::default(), call).await?;
    if !as_csv {
        return Ok(json(StatusCode::OK, &page));
    }
    let mut response = Response::new(Body::from(csv::table(&page.items)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8; header=present"));
    let name = HeaderValue::from_static("attachment; filename=\"rae-costs.csv\"");
    headers.insert(header::CONTENT_DISPOSITION, name);
    let next = page.next_cursor.and_then(|next| HeaderValue::try_from(next).ok());
    headers.extend(next.map(|next| (NEXT, next)));
    Ok(response)
}

/// Holds the worst cost of a call that the client makes itself. It must be settled within `timeout`; else it is booked at all
/// that was held.
#[utoipa::path(post, path = "/v1/costs/reservations", tag = "costs", operation_id = "reserve",
    request_body = schema::MeteredCall,
    responses((status = 201, body = schema::Reservation, description = "What is held"),
        (status = 402, body = schema::Failure, description = "A budget has no room for the call")))]
pub async fn reserve(asker: Asker, fields: Fields) -> Answer {
    no_parameters(asker.query.as_deref())?;
    let mut call = wire::metered_call(fields.map, Words::Api).map_err(ApiError::of_body)?;
    // The row of the ledger names the request, as the log does.
    call.request_id = call.request_id.or_else(|| Some(asker.headers.get(REQUEST_ID_HEADER)?.to_str().ok()?.to_owned()));
    let meter = |rae: Rae| async move { rae.meter_by_id(call).await };
    let held = asker.run(fields.held, meter).await;
    let (id, amount, funds) = held.map_err(ApiError::of_body)?;
    let warning = budget_warning(&funds.as_ref().map(Funds::warnings).unwrap_or_default());
    let body = json!({
        "id": id,
        "held_usd": amount.usd,
        "held_tokens": amount.tokens,
        "warning": warning.is_some(),
    });
    let mut response = json(StatusCode::CREATED, &body);
    response.headers_mut().extend(warning.map(|warning| (WARNING, warning)));
    Ok(response)
}

/// Books how a reserved call ended, with the fields of its reservation and with `usage`, or with the outcome `free` or `unknown`. The
/// provider and the model must be those of the reservation. What took more than was held is booked in full, and the answer says so.
#[utoipa::path(post, path = "/v1/costs/reservations/{id}/settle", tag = "costs", operation_id = "settle",
    request_body = schema::MeteredEnd,
    responses((status = 200, body = schema::Settled, description = "What it cost"),
        (status = 409, body = schema::Failure, description = "The reservation is of another provider or model")))]
pub async fn settle(path: Result<Path<String>, PathRejection>, asker: Asker, fields: Fields) -> Answer {
    no_parameters(asker.query.as_deref())?;
    let id = path.ok().and_then(|Path(text)| uuid::Uuid::try_parse(&text).ok());
    let id = id.ok_or_else(|| ApiError::bad("invalid_id", "the id of a reservation is a UUID"))?;
    let (call, end) = wire::metered_end(fields.map, Words::Api).map_err(ApiError::of_body)?;
    let end = |rae: Rae| async move { rae.end_metered(id, call, end).await };
    let settled = asker.run(fields.held, end).await;
    Ok(json(StatusCode::OK, &settled.map_err(ApiError::of_body)?))
}

/// Whose money is meant: what `scope` says, else the project's where one is named, else the tenant's. A key that is bound to a project
/// reaches nothing else.
fn level(caller: &Caller, headers: &HeaderMap, asked: Option<BudgetLevel>) -> ApiResult<BudgetLevel> {
    match (asked, caller.only.is_some()) {
        (Some(BudgetLevel::Tenant), true) => Err(other_project()),
        (Some(level), _) => Ok(level),
        (None, true) => Ok(BudgetLevel::Project),
        (None, false) if headers.contains_key(PROJECT) => Ok(BudgetLevel::Project),
        (None, false) => Ok(BudgetLevel::Tenant),
    }
}

/// The value of X-Budget-Warning: for example `tenant daily_limit, project monthly_token_limit`.
pub fn budget_warning(reached: &[(BudgetLevel, LimitKind)]) -> Option<HeaderValue> {
    let limits: Vec<String> =
        reached.iter().map(|(level, kind)| format!("{} {}", level.as_str(), kind.field())).collect();
    Some(limits.join(", ")).filter(|text| !text.is_empty()).and_then(|text| HeaderValue::try_from(text).ok())
}
