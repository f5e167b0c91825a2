//! Walls between tenants and projects.

use crate::support::Server;
use serde_json::json;

#[test]
fn a_tenant_is_needed_and_must_be_a_name() {
    let server = Server::start();
    for (method, path) in [
        ("GET", "/v1/memories"),
        ("POST", "/v1/memories"),
        ("POST", "/v1/memories/recall"),
        ("POST", "/v1/memories/batch"),
        ("GET", "/v1/stats"),
        ("GET", "/v1/export"),
        ("POST", "/v1/import"),
        ("POST", "/v1/erasure"),
        ("POST", "/v1/context"),
        ("GET", "/v1/memories/0197c8f0-0000-7000-8000-000000000000"),
        ("DELETE", "/v1/memories/0197c8f0-0000-7000-8000-000000000000"),
    ] {
        server.send(method, path, &[], b"").is_error(400, "invalid_input", "missing_tenant");
    }
    let long = "x".repeat(257);
    for bad in ["", &long] {
        assert_eq!(server.call_as(bad, "GET", "/v1/stats", "").status, 400, "{bad:?}");
    }
    let twice = [("X-Tenant-ID", "a"), ("X-Tenant-ID", "b")];
    server.send("GET", "/v1/stats", &twice, b"").is_error(400, "invalid_input", "ambiguous_header");
    let project = [("X-Tenant-ID", "a"), ("X-Project-ID", "")];
    assert_eq!(server.send("GET", "/v1/stats", &project, b"").status, 400);
    let raw = server.send("GET", "/v1/stats", &[("X-Tenant-ID", "a\u{0085}b")], b"");
    assert_eq!(raw.status, 400, "a control character");
}

#[test]
fn nothing_of_one_tenant_is_seen_or_touched_by_another() {
    let server = Server::start();
    let names = [
        "acme",
        "%",
        "_",
        "*",
        "acm_",
        "acm%",
        "ACME",
        "acme ",
        "a'b\"c;--",
        "\u{200b}acme",
        "аcme",
        "ａｃｍｅ",
        "acme\u{301}",
        "../acme",
        "acme/default",
    ];
    let ids: Vec<String> = names
        .iter()
        .map(|tenant| {
            let answer = server.call_as(
                tenant,
                "POST",
                "/v1/memories",
                &json!({ "content": format!("secret of [{tenant}]") }).to_string(),
            );
            assert_eq!(answer.status, 201, "{tenant}: {}", answer.text());
            answer.json()["id"].as_str().unwrap().to_owned()
        })
        .collect();
    // Space around a header's value is not part of it: the two are one tenant, and the statement of each is there.
    let same = |a: &str, b: &str| a.trim() == b.trim();
    for (tenant, own) in names.iter().zip(&ids) {
        let get = |id: &str| server.call_as(tenant, "GET", &format!("/v1/memories/{id}"), "").status;
        for (other, id) in names.iter().zip(&ids) {
            assert_eq!(get(id), if same(other, tenant) { 200 } else { 404 }, "{tenant} asks for {other}'s");
            if !same(other, tenant) {
                let path = format!("/v1/memories/{id}");
                assert_eq!(server.call_as(tenant, "PATCH", &path, r#"{"content": "mine"}"#).status, 404);
                assert_eq!(server.call_as(tenant, "GET", &format!("{path}/history"), "").status, 404);
                assert_eq!(
                    server.call_as(tenant, "POST", &format!("{path}/feedback"), r#"{"useful": false}"#).status,
                    404
                );
                assert_eq!(server.call_as(tenant, "DELETE", &path, "").json()["deleted"], 0);
            }
        }
        let expected = names.iter().filter(|n| same(n, tenant)).count();
        let recalled =
            server.call_as(tenant, "POST", "/v1/memories/recall", r#"{"query": "secret of", "k": 100}"#).json();
        assert_eq!(recalled["hits"].as_array().unwrap().len(), expected, "{tenant}");
        let listed = server.call_as(tenant, "GET", "/v1/memories?limit=100", "").json();
        assert_eq!(listed["items"].as_array().unwrap().len(), expected);
        assert!(listed["items"].as_array().unwrap().iter().any(|m| m["id"] == own.as_str()));
        assert_eq!(server.call_as(tenant, "GET", "/v1/export", "").text().lines().count(), expected + 2);
    }
}

#[test]
fn projects_of_a_tenant_are_apart_and_the_default_one_has_a_name() {
    let server = Server::start();
    let id = server.remember("In the default project.");
    let path = format!("/v1/memories/{id}");
    let ask = |project: &str| server.send("GET", &path, &[("X-Tenant-ID", "t"), ("X-Project-ID", project)], b"").status;
    assert_eq!((ask("default"), ask("other"), ask("*"), ask("%")), (200, 404, 404, 404));
}
