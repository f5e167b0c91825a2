//! Stored keys and tenants.

use crate::support::{Answer, Folder, Server, until};
use serde_json::{Value, json};
use std::sync::Arc;

const MASTER: &str = "an-operator-key-of-some-length";
const OPERATOR: (&str, &str) = ("X-API-Key", MASTER);

fn server() -> Server {
    Server::with(&[("RAE_API_MASTER_KEY", MASTER)])
}

fn operator(server: &Server, method: &str, path: &str, body: Value) -> Answer {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    server.send(method, path, &[OPERATOR], body.as_bytes())
}

/// Makes a key; its text and its id.
fn make(server: &Server, body: Value) -> (String, String) {
    let made = operator(server, "POST", "/v1/api-keys", body);
    assert_eq!(made.status, 201, "{}", made.text());
    let made = made.json();
    (made["key"].as_str().unwrap().to_owned(), made["id"].as_str().unwrap().to_owned())
}

fn with_key(server: &Server, key: &str, method: &str, path: &str, body: &str) -> Answer {
    server.send(method, path, &[("Authorization", &format!("Bearer {key}"))], body.as_bytes())
}

#[test]
fn a_key_is_shown_once_and_lets_its_tenant_in() {
    let server = server();
    let made = operator(
        &server,
        "POST",
        "/v1/api-keys",
        json!({ "tenant": "acme", "role": "developer", "label": "laptop", "expires_at": "2100-01-01T00:00:00Z" }),
    );
    assert_eq!(made.status, 201, "{}", made.text());
    assert_eq!(made.header("cache-control"), Some("no-store"));
    let body = made.json();
    let (key, id) = (body["key"].as_str().unwrap(), body["id"].as_str().unwrap());
    assert_eq!(made.header("location"), Some(format!("/v1/api-keys/{id}").as_str()));
    assert!(key.starts_with(&format!("rae_{id}_")) && key.len() == 101, "192 bits and more");
    assert_eq!(
        (&body["tenant"], &body["role"], &body["label"]),
        (&json!("acme"), &json!("developer"), &json!("laptop"))
    );
    // Bearer or X-API-Key; the tenant may be named or not.
    let stored = with_key(&server, key, "POST", "/v1/memories", r#"{"content": "One."}"#);
    assert_eq!(stored.status, 201, "{}", stored.text());
    let memory = format!("/v1/memories/{}", stored.json()["id"].as_str().unwrap());
    for headers in [vec![("X-API-Key", key)], vec![("X-API-Key", key), ("X-Tenant-ID", "acme")]] {
        assert_eq!(server.send("GET", &memory, &headers, b"").status, 200);
    }
    assert_eq!(server.send("GET", &memory, &[OPERATOR, ("X-Tenant-ID", "acme")], b"").status, 200);
    // It is bound to its tenant, whatever the header says.
    for other in ["other", "ACME", "acme%", "*"] {
        let answer = server.send("GET", &memory, &[("X-API-Key", key), ("X-Tenant-ID", other)], b"");
        answer.is_error(403, "permission_denied", "other_tenant");
    }
    // Nothing shows the secret again: no list, no log, no store.
    let secret = &key[37..];
    let listed = operator(&server, "GET", "/v1/api-keys?tenant=acme", Value::Null);
    assert_eq!(listed.json()["items"].as_array().unwrap().len(), 1);
    assert!(!listed.text().contains(secret) && !listed.text().contains("hash") && !server.log().contains(secret));
    let file = server.folder.0.join("rae-data/memory.rae");
    for file in [file.clone(), file.with_extension("rae-wal")] {
        let bytes = std::fs::read(file).unwrap_or_default();
        assert!(!bytes.windows(secret.len()).any(|w| w == secret.as_bytes()));
    }
}

#[test]
fn unknown_malformed_expired_and_revoked_keys_are_answered_alike() {
    let server = server();
    let (live, id) = make(&server, json!({ "tenant": "t" }));
    let soon = rae_core::Timestamp::from_micros(now() + 1_500_000).unwrap();
    let (expires, _) = make(&server, json!({ "tenant": "t", "expires_at": soon }));
    let (other, _) = make(&server, json!({ "tenant": "u" }));
    assert_eq!(with_key(&server, &live, "GET", "/v1/memories", "").status, 200);
    // In this process at once.
    let revoked = operator(&server, "DELETE", &format!("/v1/api-keys/{id}"), Value::Null);
    assert_eq!(revoked.status, 200);
    assert!(revoked.json()["revoked_at"].is_string());
    let again = operator(&server, "DELETE", &format!("/v1/api-keys/{id}"), Value::Null);
    assert_eq!(again.json()["revoked_at"], revoked.json()["revoked_at"]);
    until(|| Some(()).filter(|()| with_key(&server, &expires, "GET", "/v1/memories", "").status == 401));
    let mut said: Vec<Value> = Vec::new();
    let mixed = format!("{}{}", &live[..37], &other[37..]);
    let forged = format!("rae_{}_{}", "0".repeat(32), "0".repeat(64));
    for key in [live.as_str(), &expires, &mixed, &forged, "rae_", "nonsense"] {
        let answer = with_key(&server, key, "GET", "/v1/memories", "");
        answer.is_error(401, "unauthenticated", "unknown_key");
        let mut error = answer.json()["error"].clone();
        error.as_object_mut().unwrap().remove("request_id");
        said.push(error);
    }
    assert!(said.windows(2).all(|pair| pair[0] == pair[1]), "{said:?}");
    operator(&server, "DELETE", &format!("/v1/api-keys/{}", "0".repeat(32)), Value::Null).is_error(
        404,
        "not_found",
        "no_such_key",
    );
    operator(&server, "DELETE", "/v1/api-keys/x", Value::Null).is_error(400, "invalid_input", "invalid_id");
}

fn now() -> i64 {
    i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_micros()).unwrap()
}

#[test]
fn a_key_of_one_project_reaches_no_other() {
    let server = server();
    let (key, _) = make(&server, json!({ "tenant": "t", "project": "p", "role": "owner" }));
    let id = with_key(&server, &key, "POST", "/v1/memories", r#"{"content": "In p."}"#).json()["id"].clone();
    let path = format!("/v1/memories/{}", id.as_str().unwrap());
    let of =
        |project: &str| server.send("GET", &path, &[OPERATOR, ("X-Tenant-ID", "t"), ("X-Project-ID", project)], b"");
    assert_eq!((of("p").status, of("default").status), (200, 404), "the key says where it writes");
    for other in ["default", "P", "%", "p "] {
        let answer = server.send("GET", &path, &[("X-API-Key", &key), ("X-Project-ID", other)], b"");
        // Blanks round a header's value are not part of it.
        if other.trim() == "p" {
            assert_eq!(answer.status, 200);
        } else {
            answer.is_error(403, "permission_denied", "other_project");
        }
    }
    let erase = |target: &str| {
        with_key(&server, &key, "POST", "/v1/erasure", &json!({ "scope": "project", "target": target }).to_string())
    };
    erase("default").is_error(403, "permission_denied", "other_project");
    assert_eq!(erase("p").json()["deleted"], 1);
}

#[test]
fn keys_are_listed_in_pages_for_one_tenant() {
    let server = server();
    let mut ids: Vec<String> =
        (0..5).map(|n| make(&server, json!({ "tenant": "t", "label": n.to_string() })).1).collect();
    // By id: two of one millisecond come in either order.
    ids.sort();
    make(&server, json!({ "tenant": "u" }));
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = operator(&server, "GET", &format!("/v1/api-keys?tenant=t&limit=2{cursor}"), Value::Null).json();
        seen.extend(page["items"].as_array().unwrap().iter().map(|key| key["id"].as_str().unwrap().to_owned()));
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(seen, ids);
    operator(&server, "GET", "/v1/api-keys", Value::Null).is_error(400, "invalid_input", "missing_tenant");
    let both = server.send("GET", "/v1/api-keys?tenant=t", &[OPERATOR, ("X-Tenant-ID", "u")], b"");
    both.is_error(400, "invalid_input", "ambiguous_tenant");
    for bad in ["limit=0", "limit=1&limit=1", "cursor=x", "role=owner", "tenant=%00"] {
        let path = format!("/v1/api-keys?{}{bad}", if bad.starts_with("tenant") { "" } else { "tenant=t&" });
        assert_eq!(operator(&server, "GET", &path, Value::Null).status, 400, "{bad}");
    }
    for bad in [
        json!({ "tenant": "t", "role": "king" }),
        json!({ "tenant": "" }),
        json!({ "tenant": "t", "project": "a\u{0}" }),
        json!({ "tenant": "t", "expires_at": "2001-01-01T00:00:00Z" }),
        json!({ "tenant": "t", "label": "x".repeat(257) }),
        json!({ "tenant": "t", "scope": "all" }),
        json!({}),
    ] {
        let answer = operator(&server, "POST", "/v1/api-keys", bad.clone());
        assert_eq!(answer.status, 422, "{bad}: {}", answer.text());
    }
}

#[test]
fn tenants_are_registered_listed_and_erased_with_their_keys() {
    let server = server();
    let odd = "caf\u{e9}/%_ \u{202e}x";
    for (id, label) in [("b", json!("B & Co")), (odd, Value::Null)] {
        let made = operator(&server, "POST", "/v1/tenants", json!({ "id": id, "label": label }));
        assert_eq!((made.status, &made.json()["id"]), (201, &json!(id)), "{}", made.text());
    }
    operator(&server, "POST", "/v1/tenants", json!({ "id": "b" })).is_error(409, "conflict", "tenant_exists");
    // One that only wrote is there too.
    server.send("POST", "/v1/memories", &[OPERATOR, ("X-Tenant-ID", "a")], br#"{"content": "One."}"#);
    let (key, _) = make(&server, json!({ "tenant": odd }));
    assert_eq!(with_key(&server, &key, "POST", "/v1/memories", r#"{"content": "Two."}"#).status, 201);
    let names = |query: &str| -> Vec<String> {
        let page = operator(&server, "GET", &format!("/v1/tenants?{query}"), Value::Null).json();
        page["items"].as_array().unwrap().iter().map(|t| t["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(""), ["a", "b", odd]);
    assert_eq!(names("limit=1&cursor=a"), ["b"]);
    let path = "/v1/tenants/caf%C3%A9%2F%25_%20%E2%80%AEx";
    assert_eq!(operator(&server, "GET", path, Value::Null).json()["id"], odd);
    assert!(operator(&server, "GET", "/v1/tenants/a", Value::Null).json()["created_at"].is_null());
    operator(&server, "GET", "/v1/tenants/B", Value::Null).is_error(404, "not_found", "no_such_tenant");
    let erased = operator(&server, "DELETE", path, Value::Null);
    assert_eq!((erased.status, &erased.json()["deleted"]), (200, &json!(1)), "{}", erased.text());
    // Its keys are gone at once.
    with_key(&server, &key, "GET", "/v1/memories", "").is_error(401, "unauthenticated", "unknown_key");
    assert_eq!(names(""), ["a", "b"]);
}

#[test]
fn a_stored_key_ends_the_trust_in_the_header_for_ever_and_in_every_process() {
    let folder = Arc::new(Folder::new());
    let plain = Server::in_folder(Arc::clone(&folder), &[]);
    plain.remember("Said while the header was trusted.");
    let keyed = Server::in_folder(Arc::clone(&folder), &[("RAE_API_MASTER_KEY", MASTER)]);
    let (key, id) = make(&keyed, json!({ "tenant": "t", "role": "viewer" }));
    // The other process has no master key; it hears of the stored one within seconds.
    until(|| Some(()).filter(|()| plain.get("/v1/memories").status == 401));
    assert_eq!(with_key(&plain, &key, "GET", "/v1/memories", "").json()["items"].as_array().unwrap().len(), 1);
    assert!(plain.log_with("a key is asked for").contains("TRUSTED"));
    // Revoked there, it is refused here within seconds.
    assert_eq!(operator(&keyed, "DELETE", &format!("/v1/api-keys/{id}"), Value::Null).status, 200);
    let start = std::time::Instant::now();
    until(|| Some(()).filter(|()| with_key(&plain, &key, "GET", "/v1/memories", "").status == 401));
    println!("refused elsewhere after {:?}", start.elapsed());
    // When the last key is gone with its tenant, the header is not trusted again, and not after a restart either.
    assert_eq!(operator(&keyed, "DELETE", "/v1/tenants/t", Value::Null).status, 200);
    drop(plain);
    let plain = Server::in_folder(folder, &[]);
    assert!(!plain.log().contains("TRUSTED"));
    plain.get("/v1/memories").is_error(401, "unauthenticated", "missing_key");
    // A proxy may pass its own name on, as no page of the web has a key.
    let answer = plain.send("GET", "/v1/memories", &[("Host", "rae.example"), ("X-API-Key", &key)], b"");
    answer.is_error(401, "unauthenticated", "unknown_key");
}

#[test]
fn with_stored_keys_no_master_key_is_needed() {
    let folder = Arc::new(Folder::new());
    let key = {
        let mut server = Server::in_folder(Arc::clone(&folder), &[("RAE_API_MASTER_KEY", MASTER)]);
        let key = make(&server, json!({ "tenant": "t", "role": "owner" })).0;
        assert!(server.stop().success());
        key
    };
    let server = Server::in_folder(folder, &[("RAE_AUTH", "keys")]);
    assert!(!server.log().contains("nobody can be let in"));
    assert_eq!(with_key(&server, &key, "GET", "/v1/stats", "").status, 200);
    with_key(&server, &key, "GET", "/v1/admin/diagnostics", "").is_error(403, "permission_denied", "operator_only");
    server.get("/v1/stats").is_error(401, "unauthenticated", "missing_key");
    let empty = Server::with(&[("RAE_AUTH", "keys")]);
    assert!(empty.log().contains("nobody can be let in"));
    empty.get("/v1/stats").is_error(401, "unauthenticated", "missing_key");
}

/// The table of docs/operations.md: method and path, and who may.
fn table() -> Vec<(String, String, String)> {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operations.md")).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")).filter_map(|line| {
        let (route, rest) = line.split_once("` | ")?;
        let (method, path) = route.split_once(' ')?;
        path.starts_with("/v1/")
            .then(|| (method.to_owned(), path.to_owned(), rest.split([' ', ',']).next().unwrap().to_owned()))
    });
    rows.collect()
}

#[test]
fn each_role_may_do_what_the_operations_page_says_and_nothing_else() {
    let server = server();
    let api = server.send("GET", "/openapi.json", &[], b"").json();
    let table = table();
    let roles: Vec<&str> = rae_core::model::Role::ALL.iter().map(|role| role.as_str()).collect();
    let keys: Vec<String> = roles.iter().map(|role| make(&server, json!({ "tenant": "t", "role": role })).0).collect();
    let mut walked = 0;
    for (path, item) in api["paths"].as_object().unwrap().iter().filter(|(path, _)| path.starts_with("/v1/")) {
        for method in item.as_object().unwrap().keys().map(|method| method.to_uppercase()) {
            let row = table.iter().find(|(m, p, _)| *m == method && p == path);
            let (_, _, needed) =
                row.unwrap_or_else(|| panic!("docs/operations.md does not say who may {method} {path}"));
            let concrete = path.replace("{id}", &uuid::Uuid::nil().to_string());
            // What is asked makes no sense: who is let in is told so by the handler.
            for (n, key) in keys.iter().enumerate() {
                let answer = with_key(&server, key, &method, &concrete, if method == "GET" { "" } else { "{}" });
                if needed == "operator" {
                    answer.is_error(403, "permission_denied", "operator_only");
                } else if n < roles.iter().position(|role| role == needed).unwrap() {
                    answer.is_error(403, "permission_denied", "role_too_weak");
                    assert_eq!(answer.json()["error"]["details"], json!({ "role": roles[n], "needed": needed }));
                } else {
                    assert!(![401, 403].contains(&answer.status), "{} {method} {path}: {}", roles[n], answer.text());
                }
                walked += 1;
            }
            let nobody = server.send(&method, &concrete, &[("X-Tenant-ID", "t")], b"{}");
            assert_eq!(nobody.status, if needed == "operator" { 403 } else { 401 }, "{method} {path}");
        }
    }
    assert_eq!(walked, table.len() * roles.len(), "the page names a route that is not there");
    // What the erasure looks at more closely.
    for (body, needed) in [
        (json!({ "scope": "session", "target": "x" }), "developer"),
        (json!({ "filter": { "user_id": "x" } }), "developer"),
        (json!({ "scope": "user", "target": "x" }), "admin"),
        (json!({ "scope": "project", "target": "x" }), "owner"),
        (json!({ "scope": "tenant", "target": "t" }), "operator"),
    ] {
        for (n, key) in keys.iter().enumerate() {
            let answer = with_key(&server, key, "POST", "/v1/erasure", &body.to_string());
            let may = roles.iter().position(|role| *role == needed).is_some_and(|least| n >= least);
            assert_eq!(answer.status, if may { 200 } else { 403 }, "{} {body}: {}", roles[n], answer.text());
        }
    }
}

#[test]
fn changes_of_keys_and_tenants_are_noted() {
    let server = server();
    let (_, id) = make(&server, json!({ "tenant": "t" }));
    operator(&server, "DELETE", &format!("/v1/api-keys/{id}"), Value::Null);
    operator(&server, "POST", "/v1/tenants", json!({ "id": "u" }));
    let folder = Arc::clone(&server.folder);
    drop(server);
    let noted = |tenant: &str| -> Vec<String> {
        rae_core::block_on(async {
            use rae_core::{
                Ctx,
                embedded::sqlite::{OpenOptions, SqliteStore},
                model::Scope,
                ports::AdminRead,
            };
            let store = SqliteStore::open(OpenOptions::file(folder.0.join("rae-data/memory.rae"))).unwrap();
            let rows = store.audit(&Ctx::new(Scope::new(tenant, "default").unwrap()), 10).await.unwrap();
            rows.into_iter().map(|(_, audit)| format!("{} {}", audit.action, audit.details["key"])).collect()
        })
    };
    assert_eq!(noted("t"), [format!("revoke_key \"{id}\""), format!("create_key \"{id}\"")]);
    assert_eq!(noted("u"), ["create_tenant null"]);
}
