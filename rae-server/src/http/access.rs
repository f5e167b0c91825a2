//! The one place that decides who may call which route. Every request under /v1 passes here before its handler; a handler gets its
//! [`Caller`](auth::Caller) or [`Operator`] from here and from nowhere else.

use super::{
    auth::{self, Operator},
    error::ApiError,
};
use crate::{rate::Verdict, state::App};
use axum::http::{Method, request::Parts};
use rae_core::{Error, ErrorKind, model::Role};

/// What a route asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// The operator's key, and no tenant.
    Operator,
    /// A tenant, and where keys are asked for, at least this role.
    Role(Role),
}

use Need::{Operator as OPERATOR, Role as ROLE};
use Role::{Admin, Analyst, Developer, Viewer};

/// Every route under /v1. One that is not here has no caller, and its handler refuses. docs/operations.md has this table for people.
const TABLE: &[(&str, &str, Need)] = &[
    ("POST", "/v1/memories", ROLE(Developer)),
    ("GET", "/v1/memories", ROLE(Viewer)),
    ("POST", "/v1/memories/batch", ROLE(Developer)),
    ("POST", "/v1/memories/recall", ROLE(Viewer)),
    ("GET", "/v1/memories/{id}", ROLE(Viewer)),
    ("PATCH", "/v1/memories/{id}", ROLE(Developer)),
    ("DELETE", "/v1/memories/{id}", ROLE(Developer)),
    ("GET", "/v1/memories/{id}/history", ROLE(Viewer)),
    ("POST", "/v1/memories/{id}/feedback", ROLE(Developer)),
    ("POST", "/v1/graph/relations", ROLE(Developer)),
    ("GET", "/v1/graph/relations", ROLE(Viewer)),
    ("DELETE", "/v1/graph/relations/{id}", ROLE(Developer)),
    ("POST", "/v1/context", ROLE(Viewer)),
    // The handler looks closer: a user needs an admin, a project an owner, a tenant the operator.
    ("POST", "/v1/erasure", ROLE(Developer)),
    ("POST", "/v1/erasure/verify", ROLE(Analyst)),
    ("POST", "/v1/sessions/{id}/events", ROLE(Developer)),
    ("GET", "/v1/sessions/{id}/events", ROLE(Viewer)),
    ("POST", "/v1/sessions/{id}/end", ROLE(Developer)),
    ("POST", "/v1/reflections", ROLE(Developer)),
    ("GET", "/v1/reflections", ROLE(Viewer)),
    ("GET", "/v1/stats", ROLE(Analyst)),
    ("GET", "/v1/export", ROLE(Analyst)),
    ("POST", "/v1/import", ROLE(Admin)),
    ("POST", "/v1/embed", ROLE(Viewer)),
    ("GET", "/v1/memories/{id}/vector", ROLE(Viewer)),
    ("GET", "/v1/audit", ROLE(Analyst)),
    ("POST", "/v1/audit", ROLE(Admin)),
    ("GET", "/v1/changes", ROLE(Analyst)),
    ("POST", "/v1/changes/{id}/undo", ROLE(Admin)),
    // Another time than the clock's needs the operator: the handler looks.
    ("POST", "/v1/maintain", ROLE(Admin)),
    ("GET", "/v1/doctor", ROLE(Admin)),
    ("POST", "/v1/evaluations", ROLE(Analyst)),
    ("POST", "/v1/evaluations/compare", ROLE(Analyst)),
    ("GET", "/v1/evaluations/questions", ROLE(Analyst)),
    ("PUT", "/v1/evaluations/questions/{name}", ROLE(Developer)),
    ("DELETE", "/v1/evaluations/questions/{name}", ROLE(Developer)),
    ("POST", "/v1/evaluations/questions/{name}/runs", ROLE(Developer)),
    ("GET", "/v1/evaluations/questions/{name}/runs", ROLE(Analyst)),
    ("GET", "/v1/jobs", ROLE(Analyst)),
    ("POST", "/v1/jobs/{id}/requeue", ROLE(Admin)),
    ("GET", "/v1/admin/jobs", OPERATOR),
    ("GET", "/v1/admin/backup", OPERATOR),
    ("POST", "/v1/tenants", OPERATOR),
    ("GET", "/v1/tenants", OPERATOR),
    ("GET", "/v1/tenants/{id}", OPERATOR),
    ("DELETE", "/v1/tenants/{id}", OPERATOR),
    ("POST", "/v1/api-keys", OPERATOR),
    ("GET", "/v1/api-keys", OPERATOR),
    ("DELETE", "/v1/api-keys/{id}", OPERATOR),
    ("GET", "/v1/admin/diagnostics", OPERATOR),
    ("POST", "/v1/chat/completions", ROLE(Developer)),
    ("GET", "/v1/models", ROLE(Developer)),
    ("POST", "/v1/agent/execute", ROLE(Developer)),
    ("PUT", "/v1/budgets", ROLE(Admin)),
    ("GET", "/v1/budgets", ROLE(Analyst)),
    ("GET", "/v1/budgets/current", ROLE(Analyst)),
    ("GET", "/v1/costs", ROLE(Analyst)),
    ("GET", "/v1/costs/logs", ROLE(Analyst)),
    ("GET", "/v1/graph/entities", ROLE(Viewer)),
    ("GET", "/v1/graph/neighbors", ROLE(Viewer)),
    ("POST", "/v1/graph/neighbors", ROLE(Viewer)),
    ("GET", "/v1/graph/path", ROLE(Viewer)),
    ("POST", "/v1/graph/path", ROLE(Viewer)),
    ("GET", "/v1/graph/subgraph", ROLE(Viewer)),
    ("POST", "/v1/graph/subgraph", ROLE(Viewer)),
    ("GET", "/v1/graph/snapshots", ROLE(Viewer)),
    ("POST", "/v1/graph/snapshots", ROLE(Developer)),
    ("POST", "/v1/costs/reservations", ROLE(Developer)),
    ("POST", "/v1/costs/reservations/{id}/settle", ROLE(Developer)),
];

/// What a route asks for; `None` where it is not under /v1, or has no such method.
pub fn need(method: &Method, route: &str) -> Option<Need> {
    // A route answers HEAD with what answers GET.
    let method = if method == Method::HEAD { "GET" } else { method.as_str() };
    TABLE.iter().find(|(m, r, _)| *m == method && *r == route).map(|(_, _, need)| *need)
}

/// Lets a request in: puts its caller into it, and says what the tenant's limit leaves, where there is one.
pub async fn admit(app: &App, route: &str, parts: &mut Parts) -> Result<Option<Verdict>, ApiError> {
    match need(&parts.method, route) {
        None => Ok(None),
        Some(Need::Operator) => {
            let operator = auth::shown(&parts.headers).is_some_and(|key| app.keys.is_master(key));
            if !operator {
                return Err(auth::operator_only());
            }
            parts.extensions.insert(Operator);
            Ok(None)
        }
        Some(Need::Role(needed)) => {
            let caller = auth::caller(app, &parts.headers).await?;
            // The operator must get through to a tenant that asks too much. What is refused counts, too.
            let verdict = if caller.operator { None } else { app.rates.take(&app.rae, caller.scope.tenant()).await };
            caller.needs(needed)?;
            parts.extensions.insert(caller);
            Ok(verdict)
        }
    }
}

/// For a key whose role is too weak.
pub fn role_too_weak(role: Role, needed: Role) -> ApiError {
    let (role, needed) = (role.as_str(), needed.as_str());
    let message = format!("this needs the role {needed} or a stronger one, and the key has the role {role}");
    let error = Error::new(ErrorKind::PermissionDenied, message).with_code("role_too_weak");
    error.with_details(serde_json::json!({ "role": role, "needed": needed })).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_described_route_is_in_the_table_and_no_other() {
        let api = serde_json::to_value(super::super::describe::openapi()).unwrap();
        let mut described: Vec<(String, String)> = Vec::new();
        for (path, item) in api["paths"].as_object().unwrap().iter().filter(|(path, _)| path.starts_with("/v1/")) {
            described.extend(item.as_object().unwrap().keys().map(|method| (method.to_uppercase(), path.clone())));
        }
        let mut listed: Vec<_> = TABLE.iter().map(|(m, r, _)| ((*m).to_owned(), (*r).to_owned())).collect();
        described.sort();
        listed.sort();
        assert_eq!(listed, described, "each route needs one row in http/access.rs and in docs/operations.md");
    }

    #[test]
    fn what_the_contract_keeps_for_the_operator_is_the_operators() {
        for (_, route, need) in TABLE {
            let kept = ["/v1/tenants", "/v1/api-keys", "/v1/admin"].iter().any(|p| route.starts_with(p));
            assert_eq!(kept, *need == Need::Operator, "{route}");
        }
    }

    #[test]
    fn head_asks_for_what_get_asks_for_and_an_unknown_method_for_nothing() {
        assert_eq!(need(&Method::HEAD, "/v1/stats"), Some(Need::Role(Analyst)));
        assert_eq!(need(&Method::PUT, "/v1/stats"), None);
        assert_eq!(need(&Method::GET, "/health"), None);
    }
}
