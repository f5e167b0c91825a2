//! Who asks, for which tenant and project.

use super::error::ApiError;
use crate::{settings::Secret, state::App};
use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, header, request::Parts},
};
use rae_core::{Error, ErrorKind, model::Scope};
use std::sync::Arc;

/// Header that names the tenant.
pub const TENANT: &str = "x-tenant-id";
/// Header that names the project.
pub const PROJECT: &str = "x-project-id";
/// Header that may carry a key.
pub const API_KEY: &str = "x-api-key";

/// The keys this server knows, as hashes.
#[derive(Debug)]
pub struct Keys {
    master: Option<blake3::Hash>,
}

/// What the key of a request stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    Absent,
    Unknown,
    Master,
}

impl Keys {
    /// The operator's key.
    pub fn new(master: Option<&Secret>) -> Self {
        Self { master: master.map(|key| blake3::hash(key.reveal().as_bytes())) }
    }

    fn of(&self, headers: &HeaderMap) -> Key {
        let bearer = headers.get(header::AUTHORIZATION).and_then(|v| {
            let (scheme, key) = v.as_bytes().split_at_checked(7)?;
            scheme.eq_ignore_ascii_case(b"bearer ").then_some(key.trim_ascii())
        });
        let Some(key) = bearer.or_else(|| headers.get(API_KEY).map(|v| v.as_bytes())) else { return Key::Absent };
        // Hashes of blake3 are compared in constant time.
        match &self.master {
            Some(master) if blake3::hash(key) == *master => Key::Master,
            _ => Key::Unknown,
        }
    }
}

/// A caller with a tenant and a project.
#[derive(Debug)]
pub struct Caller {
    /// Tenant and project.
    pub scope: Scope,
    /// Whether the operator asks.
    pub operator: bool,
}

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let key = app.keys.of(&parts.headers);
        if !app.trusts_header() && key != Key::Master {
            return Err(unauthenticated(key));
        }
        let tenant = name(&parts.headers, TENANT, "tenant")?.ok_or_else(|| {
            ApiError::bad("missing_tenant", "the header X-Tenant-ID is missing: it names whose memories are meant")
        })?;
        let project = name(&parts.headers, PROJECT, "project")?.unwrap_or("default");
        let scope = Scope::new(tenant, project)?;
        Ok(Self { scope, operator: key == Key::Master })
    }
}

/// The operator, who needs no tenant.
#[derive(Debug)]
pub struct Operator;

impl FromRequestParts<Arc<App>> for Operator {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        match app.keys.of(&parts.headers) {
            Key::Master => Ok(Self),
            Key::Absent | Key::Unknown => Err(operator_only()),
        }
    }
}

/// For what the operator alone may do.
pub fn operator_only() -> ApiError {
    let message = "this needs the operator's key (RAE_API_MASTER_KEY), as Authorization: Bearer or X-API-Key";
    Error::new(ErrorKind::PermissionDenied, message).with_code("operator_only").into()
}

fn unauthenticated(key: Key) -> ApiError {
    let (code, message) = match key {
        Key::Absent => ("missing_key", "a key is needed, as Authorization: Bearer or X-API-Key"),
        Key::Unknown | Key::Master => ("unknown_key", "this key is not known"),
    };
    Error::new(ErrorKind::Unauthenticated, message).with_code(code).into()
}

/// The one value of a header, which must be UTF-8.
fn name<'a>(headers: &'a HeaderMap, header: &str, what: &'static str) -> Result<Option<&'a str>, ApiError> {
    let mut values = headers.get_all(header).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(ApiError::bad("ambiguous_header", format!("the request names its {what} more than once")));
    }
    std::str::from_utf8(value.as_bytes())
        .map(Some)
        .map_err(|_| ApiError::bad("invalid_header", format!("the header that names the {what} is not UTF-8")))
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
    fn a_key_is_read_from_either_header_and_another_is_unknown() {
        let keys = Keys { master: Some(blake3::hash(b"master")) };
        for (given, expected) in [
            (vec![], Key::Absent),
            (vec![("authorization", "Bearer master")], Key::Master),
            (vec![("authorization", "bearer  master")], Key::Master),
            (vec![("x-api-key", "master")], Key::Master),
            (vec![("authorization", "Basic Zm9v"), ("x-api-key", "master")], Key::Master),
            (vec![("authorization", "Bearer nope"), ("x-api-key", "master")], Key::Unknown),
            (vec![("x-api-key", "maste")], Key::Unknown),
            (vec![("x-api-key", "")], Key::Unknown),
            (vec![("authorization", "master")], Key::Absent),
        ] {
            assert_eq!(keys.of(&headers(&given)), expected, "{given:?}");
        }
        let none = Keys { master: None };
        assert_eq!(none.of(&headers(&[("x-api-key", "")])), Key::Unknown);
    }
}
