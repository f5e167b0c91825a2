//! Who may do what.

use crate::support::{Folder, Server};
use std::sync::Arc;

const KEY: &str = "an-operator-key-of-some-length";

#[test]
fn with_a_master_key_a_key_is_asked_for() {
    let server = Server::with(&[("RAE_API_MASTER_KEY", KEY)]);
    assert!(!server.log().contains("TRUSTED"));
    let bearer = format!("Bearer {KEY}");
    let missing = server.get("/v1/stats");
    missing.is_error(401, "unauthenticated", "missing_key");
    assert_eq!(missing.header("www-authenticate"), Some("Bearer"));
    for wrong in ["Bearer nope", "Bearer ", "bearer"] {
        let status = server.send("GET", "/v1/stats", &[("X-Tenant-ID", "t"), ("Authorization", wrong)], b"").status;
        assert_eq!(status, 401, "{wrong}");
    }
    server.send("GET", "/v1/stats", &[("X-Tenant-ID", "t"), ("X-API-Key", "nope")], b"").is_error(
        401,
        "unauthenticated",
        "unknown_key",
    );
    // The key comes before the tenant: who is not let in learns nothing of the rest.
    server.send("GET", "/v1/stats", &[], b"").is_error(401, "unauthenticated", "missing_key");
    server.send("GET", "/v1/stats", &[("X-API-Key", KEY)], b"").is_error(400, "invalid_input", "missing_tenant");
    for header in [("Authorization", bearer.as_str()), ("X-API-Key", KEY)] {
        for tenant in ["t", "any"] {
            assert_eq!(server.send("GET", "/v1/stats", &[("X-Tenant-ID", tenant), header], b"").status, 200);
        }
    }
    for open in ["/health", "/health/live", "/health/ready", "/metrics", "/openapi.json", "/docs"] {
        assert_eq!(server.send("GET", open, &[], b"").status, 200, "{open}");
    }
}

#[test]
fn the_operator_alone_sees_diagnostics_and_erases_a_tenant() {
    let key = ("X-API-Key", KEY);
    let tenant = ("X-Tenant-ID", "t");
    let body = br#"{"scope": "tenant", "target": "t"}"#;
    for (env, erasure) in [
        (vec![("RAE_API_MASTER_KEY", KEY)], (401, "unauthenticated", "missing_key")),
        (vec![("RAE_API_MASTER_KEY", KEY), ("RAE_AUTH", "header")], (403, "permission_denied", "operator_only")),
    ] {
        let server = Server::with(&env);
        server.send("GET", "/v1/admin/diagnostics", &[tenant], b"").is_error(403, "permission_denied", "operator_only");
        server.send("GET", "/v1/admin/diagnostics", &[("X-API-Key", "x")], b"").is_error(
            403,
            "permission_denied",
            "operator_only",
        );
        let seen = server.send("GET", "/v1/admin/diagnostics", &[key], b"");
        assert_eq!(seen.status, 200);
        let seen = seen.json();
        assert_eq!(
            (&seen["settings"]["api_master_key"], &seen["memories"]["kind"]),
            (&"(set)".into(), &"embedded".into())
        );
        assert!(!seen.to_string().contains(KEY));
        server.send("POST", "/v1/memories", &[tenant, key], br#"{"content": "One."}"#);
        server.send("POST", "/v1/erasure", &[tenant], body).is_error(erasure.0, erasure.1, erasure.2);
        let wrong = server.send("POST", "/v1/erasure", &[("X-Tenant-ID", "u"), key], body);
        wrong.is_error(422, "invalid_input", "invalid_input");
        assert_eq!(server.send("POST", "/v1/erasure", &[tenant, key], body).json()["deleted"], 1);
    }
}

#[test]
fn without_a_key_nobody_is_the_operator_and_the_server_says_that_it_trusts_the_header() {
    let server = Server::start();
    assert!(server.log().contains("THE TENANT HEADER IS TRUSTED"));
    for header in [("X-Other", ""), ("X-API-Key", ""), ("X-API-Key", "x"), ("Authorization", "Bearer ")] {
        let answer = server.send("GET", "/v1/admin/diagnostics", &[header], b"");
        answer.is_error(403, "permission_denied", "operator_only");
    }
    let body = r#"{"scope": "tenant", "target": "t"}"#;
    server.call("POST", "/v1/erasure", body).is_error(403, "permission_denied", "operator_only");
    assert_eq!(server.send("GET", "/v1/stats", &[("X-Tenant-ID", "t"), ("X-API-Key", "ignored")], b"").status, 200);
}

#[test]
fn a_page_of_the_web_cannot_reach_a_server_at_home() {
    let server = Server::with(&[("RAE_ALLOWED_HOSTS", "rae.home, other.home")]);
    let ask = |host: &str| server.send("GET", "/v1/stats", &[("X-Tenant-ID", "t"), ("Host", host)], b"");
    ask("evil.example").is_error(403, "permission_denied", "host_not_allowed");
    ask("evil.example:8000").is_error(403, "permission_denied", "host_not_allowed");
    for good in ["localhost", "127.0.0.1:8000", "[::1]:8000", "rae.home", "Other.Home:80"] {
        assert_eq!(ask(good).status, 200, "{good}");
    }
    // Probes name the pod's address; they learn nothing.
    assert_eq!(server.send("GET", "/health/live", &[("Host", "10.1.2.3")], b"").status, 200);
    // With keys the page has none, and a proxy may pass its own name on.
    let server = Server::in_folder(Arc::new(Folder::new()), &[("RAE_API_MASTER_KEY", KEY)]);
    let headers = [("X-Tenant-ID", "t"), ("X-API-Key", KEY), ("Host", "rae.example")];
    assert_eq!(server.send("GET", "/v1/stats", &headers, b"").status, 200);
}
