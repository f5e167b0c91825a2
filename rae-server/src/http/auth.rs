//! Who asks, for which tenant and project.

use super::{access::role_too_weak, error::ApiError};
use crate::{jwt::Jwt, state::App};
use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, header, request::Parts},
};
use rae_core::{
    Error, ErrorKind,
    model::{Role, Scope},
};
use std::sync::Arc;

/// Header that names the tenant.
pub const TENANT: &str = "x-tenant-id";
/// Header that names the project.
pub const PROJECT: &str = "x-project-id";
/// Project of a request that names none.
const DEFAULT_PROJECT: &str = "default";
/// Header that may carry a key.
pub const API_KEY: &str = "x-api-key";

/// A caller with a tenant and a project.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Tenant and project.
    pub scope: Scope,
    /// Whether the operator asks.
    pub operator: bool,
    /// What the key may do; `None` for the operator, and while the tenant header is trusted.
    pub role: Option<Role>,
    /// The only project that the key reaches.
    pub only: Option<String>,
}

impl Caller {
    /// 403 unless the caller may do what this role may do.
    pub fn needs(&self, needed: Role) -> Result<(), ApiError> {
        match self.role {
            Some(role) if role < needed => Err(role_too_weak(role, needed)),
            _ => Ok(()),
        }
    }
}

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, ApiError> {
        std::future::ready(parts.extensions.remove::<Self>().ok_or_else(operator_only)).await
    }
}

/// The operator, who needs no tenant.
#[derive(Debug, Clone, Copy)]
pub struct Operator;

impl FromRequestParts<Arc<App>> for Operator {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, ApiError> {
        std::future::ready(parts.extensions.remove::<Self>().ok_or_else(operator_only)).await
    }
}

/// The key that a request shows: as a bearer, else in X-API-Key.
pub fn shown(headers: &HeaderMap) -> Option<&[u8]> {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|v| {
        let (scheme, key) = v.as_bytes().split_at_checked(7)?;
        scheme.eq_ignore_ascii_case(b"bearer ").then_some(key.trim_ascii())
    });
    bearer.or_else(|| headers.get(API_KEY).map(|v| v.as_bytes()))
}

/// Who asks, for which tenant and project. What a key is bound to is never widened, and nothing falls back to a shared tenant.
pub async fn caller(app: &App, headers: &HeaderMap) -> Result<Caller, ApiError> {
    let key = shown(headers);
    let operator = key.is_some_and(|key| app.keys.is_master(key));
    if operator || app.keys.trusts_header(&app.rae).await? {
        let tenant = name(headers, TENANT, "tenant")?.ok_or_else(|| {
            ApiError::bad("missing_tenant", "the header X-Tenant-ID is missing: it names whose memories are meant")
        })?;
        let project = name(headers, PROJECT, "project")?.unwrap_or(DEFAULT_PROJECT);
        return Ok(Caller { scope: Scope::new(tenant, project)?, operator, role: None, only: None });
    }
    let key = key.ok_or_else(missing_key)?;
    if let Some(jwt) = app.jwt.as_ref().filter(|_| Jwt::is_token(key)) {
        let bound = jwt.verify(key).await?.ok_or_else(unknown_key)?;
        return bound_to(headers, &bound.tenant, bound.project.as_deref(), bound.role);
    }
    let bound = app.keys.find(&app.rae, key).await?.ok_or_else(unknown_key)?;
    bound_to(headers, &bound.tenant, bound.project.as_deref(), bound.role)
}

/// A caller within what a credential is bound to.
fn bound_to(headers: &HeaderMap, tenant: &str, only: Option<&str>, role: Role) -> Result<Caller, ApiError> {
    if name(headers, TENANT, "tenant")?.is_some_and(|asked| asked != tenant) {
        return Err(denied("other_tenant", "this key is bound to another tenant than the one named"));
    }
    let project = match (only, name(headers, PROJECT, "project")?) {
        (Some(only), Some(asked)) if asked != only => {
            return Err(other_project());
        }
        (Some(only), _) => only,
        (None, asked) => asked.unwrap_or(DEFAULT_PROJECT),
    };
    Ok(Caller { scope: Scope::new(tenant, project)?, operator: false, role: Some(role), only: only.map(str::to_owned) })
}

/// For what the operator alone may do.
pub fn operator_only() -> ApiError {
    let message = "this needs the operator's key (RAE_API_MASTER_KEY), as Authorization: Bearer or X-API-Key";
    Error::new(ErrorKind::PermissionDenied, message).with_code("operator_only").into()
}

fn denied(code: &'static str, message: &str) -> ApiError {
    Error::new(ErrorKind::PermissionDenied, message).with_code(code).into()
}

/// For a key of one project that asks for another.
pub fn other_project() -> ApiError {
    denied("other_project", "this key is bound to another project than the one named")
}

fn missing_key() -> ApiError {
    let message = "a key is needed, as Authorization: Bearer or X-API-Key";
    Error::new(ErrorKind::Unauthenticated, message).with_code("missing_key").into()
}

/// The same for a key that is unknown, malformed, expired or revoked: who is not let in learns nothing.
fn unknown_key() -> ApiError {
    Error::new(ErrorKind::Unauthenticated, "this key is not known").with_code("unknown_key").into()
}

/// The one value of a header, which must be UTF-8.
pub fn name<'a>(headers: &'a HeaderMap, header: &str, what: &'static str) -> rae_core::Result<Option<&'a str>> {
    let mut values = headers.get_all(header).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        let message = format!("the request names its {what} more than once");
        return Err(Error::invalid(message).with_code("ambiguous_header"));
    }
    std::str::from_utf8(value.as_bytes()).map(Some).map_err(|_| {
        Error::invalid(format!("the header that names the {what} is not UTF-8")).with_code("invalid_header")
    })
}

/// Whether a request may name this host while the tenant header is trusted on loopback: a page from elsewhere whose name was
/// bent to this machine may not.
pub fn host_is_allowed(headers: &HeaderMap, allowed: &[String]) -> bool {
    // Browsers always send one.
    let Some(host) = headers.get(header::HOST) else { return true };
    let Ok(host) = host.to_str() else { return false };
    let name = match host.strip_prefix('[').and_then(|h| h.split_once(']')) {
        Some((address, _)) => address,
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback()) || allowed.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(k, v)| ((*k).parse().unwrap(), v.parse().unwrap())).collect()
    }

    #[test]
    fn names_of_this_machine_and_those_allowed_may_be_named() {
        let allowed = ["rae.example".to_owned()];
        for (host, expected) in [
            ("localhost", true),
            ("LOCALHOST:8000", true),
            ("localhost.", true),
            ("127.0.0.1:8000", true),
            ("127.9.9.9", true),
            ("[::1]:8000", true),
            ("[::1]", true),
            ("rae.example:80", true),
            ("evil.example", false),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example:8000", false),
            ("10.0.0.1", false),
            ("", false),
        ] {
            assert_eq!(host_is_allowed(&headers(&[("host", host)]), &allowed), expected, "{host}");
        }
    }

    #[test]
    fn a_key_is_read_from_either_header() {
        for (given, expected) in [
            (vec![], None),
            (vec![("authorization", "Bearer key")], Some("key")),
            (vec![("authorization", "bearer  key")], Some("key")),
            (vec![("x-api-key", "key")], Some("key")),
            (vec![("authorization", "Basic Zm9v"), ("x-api-key", "key")], Some("key")),
            (vec![("authorization", "Bearer one"), ("x-api-key", "two")], Some("one")),
            (vec![("x-api-key", "")], Some("")),
            (vec![("authorization", "key")], None),
        ] {
            assert_eq!(shown(&headers(&given)), expected.map(str::as_bytes), "{given:?}");
        }
    }

    #[test]
    fn a_credential_is_not_widened_by_headers() {
        let ask = |pairs: &[(&'static str, &str)], only| bound_to(&headers(pairs), "t", only, Role::Viewer);
        let scope = |caller: Result<Caller, ApiError>| caller.unwrap().scope;
        let of = |project| Scope::new("t", project).unwrap();
        assert_eq!(scope(ask(&[], None)), of("default"));
        assert_eq!(scope(ask(&[("x-tenant-id", "t"), ("x-project-id", "p")], None)), of("p"));
        assert_eq!(scope(ask(&[], Some("p"))), of("p"));
        assert_eq!(scope(ask(&[("x-project-id", "p")], Some("p"))), of("p"));
        for (pairs, only) in [
            (vec![("x-tenant-id", "T")], None),
            (vec![("x-tenant-id", "")], None),
            (vec![("x-tenant-id", "t"), ("x-tenant-id", "t")], None),
            (vec![("x-project-id", "P")], Some("p")),
            (vec![("x-project-id", "default")], Some("p")),
        ] {
            let pairs: HeaderMap = pairs.iter().map(|(k, v)| (k.parse().unwrap(), v.parse().unwrap())).fold(
                HeaderMap::new(),
                |mut map, (k, v): (axum::http::HeaderName, axum::http::HeaderValue)| {
                    map.append(k, v);
                    map
                },
            );
            assert!(bound_to(&pairs, "t", only, Role::Viewer).is_err(), "{pairs:?}");
        }
    }
}
