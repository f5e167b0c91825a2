//! The description of the API is that of the code: routes, fields, documents.

use crate::{
    provider_support::FakeProvider,
    support::{Folder, Server, command},
};
use rae_core::{
    ContextOptions, EntitiesOptions, ListOptions, MemoryUpdate, NeighborsOptions, NewMemory, PathOptions,
    RecallOptions, SubgraphOptions, wire,
};
use serde_json::{Map, Value, json};
use std::{collections::BTreeSet, process::Stdio};

fn description() -> Value {
    let folder = Folder::new();
    let output = command(&folder.0).arg("openapi").stdout(Stdio::piped()).output().unwrap();
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The fields of a documented shape.
fn documented(api: &Value, shape: &str) -> BTreeSet<String> {
    let schema = &api["components"]["schemas"][shape];
    let parts = std::iter::once(schema).chain(schema["allOf"].as_array().into_iter().flatten());
    parts.filter_map(|p| p["properties"].as_object()).flat_map(|p| p.keys().cloned()).collect()
}

fn keys(value: &Value) -> BTreeSet<String> {
    value.as_object().unwrap().keys().cloned().collect()
}

fn fields<T: serde::Serialize>(options: &T) -> BTreeSet<String> {
    keys(&serde_json::to_value(options).unwrap())
}

fn with(mut set: BTreeSet<String>, name: &str) -> BTreeSet<String> {
    set.insert(name.to_owned());
    set
}

#[test]
fn the_committed_description_is_what_the_binary_prints() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json");
    let folder = Folder::new();
    let output = command(&folder.0).arg("openapi").stdout(Stdio::piped()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text == std::fs::read_to_string(page).unwrap(), "renew it: rae-server openapi > docs/openapi.json");
    assert_eq!(description()["openapi"].as_str().map(|v| &v[..3]), Some("3.1"));
}

#[test]
fn every_field_that_the_engine_takes_is_documented_and_no_other() {
    let api = description();
    assert_eq!(documented(&api, "NewMemory"), fields(&NewMemory::default()));
    assert_eq!(documented(&api, "Update"), fields(&MemoryUpdate::default()));
    assert_eq!(documented(&api, "Recall"), with(fields(&RecallOptions::default()), "query"));
    assert_eq!(documented(&api, "ContextRequest"), with(fields(&ContextOptions::default()), "query"));
    let parameters = api["paths"]["/v1/memories"]["get"]["parameters"].as_array().unwrap();
    let query = parameters.iter().filter(|p| p["in"] == "query").map(|p| p["name"].as_str().unwrap().to_owned());
    assert_eq!(query.collect::<BTreeSet<_>>(), fields(&ListOptions::default()));
    let neighbors = with(fields(&NeighborsOptions::default()), "entity");
    let path = with(with(fields(&PathOptions::default()), "a"), "b");
    let subgraph = with(fields(&SubgraphOptions::default()), "entities");
    for (route, body, expected) in [
        ("entities", None, fields(&EntitiesOptions::default())),
        ("neighbors", Some("NeighborsRequest"), neighbors),
        ("path", Some("PathRequest"), path),
        ("subgraph", Some("SubgraphRequest"), subgraph),
    ] {
        let parameters = api["paths"][format!("/v1/graph/{route}")]["get"]["parameters"].as_array().unwrap();
        let query = parameters.iter().filter(|p| p["in"] == "query").map(|p| p["name"].as_str().unwrap().to_owned());
        assert_eq!(query.collect::<BTreeSet<_>>(), expected, "{route}");
        body.into_iter().for_each(|shape| assert_eq!(documented(&api, shape), expected, "{shape}"));
    }
}

#[test]
fn every_documented_field_is_read_by_the_engines_parser() {
    let api = description();
    type Read = fn(Map<String, Value>) -> rae_core::Result<()>;
    let shapes: [(&str, &[&str], Read); 10] = [
        ("EmbedRequest", &["texts"], |mut m| {
            m.insert("texts".to_owned(), json!([]));
            m.remove("content");
            wire::embed(m).map(drop)
        }),
        ("NewMemory", &[], |m| wire::new_memory(m).map(drop)),
        ("Update", &[], |m| wire::update(m).map(drop)),
        ("NewRelation", &[], |mut m| {
            m.remove("content");
            for needed in ["subject", "relation", "object"] {
                m.entry(needed).or_insert_with(|| json!("x"));
            }
            wire::relation(m).map(drop)
        }),
        ("Recall", &["query"], |m| wire::recall(m).map(drop)),
        ("ContextRequest", &["query"], |m| wire::context(m).map(drop)),
        ("Erasure", &[], |m| wire::forget(m).map(drop)),
        ("NewEvent", &[], |mut m| {
            m.insert("type".to_owned(), json!("user_input"));
            m.entry("content").or_insert(json!("x"));
            wire::new_event(m).map(drop)
        }),
        ("SessionEnd", &[], |mut m| {
            m.insert("outcome".to_owned(), json!("success"));
            m.remove("content");
            wire::session_end(m).map(drop)
        }),
        ("Reflect", &[], |mut m| {
            m.remove("content");
            wire::reflect(m).map(drop)
        }),
    ];
    for (shape, apart, read) in shapes {
        let all = documented(&api, shape);
        assert!(!all.is_empty(), "{shape}");
        for field in all.iter().filter(|f| !apart.contains(&f.as_str())) {
            // Of the wrong type or alone it may be refused, but never as unknown.
            for value in [json!(null), json!({ "x": [] })] {
                let given = [(field.clone(), value), ("content".to_owned(), json!("x"))];
                let given = given.into_iter().rev().filter(|(name, _)| name == field || shape == "NewMemory").collect();
                if let Err(error) = read(given) {
                    assert_ne!(error.code(), "unknown_field", "{shape}.{field}: {error}");
                }
            }
        }
        let unknown =
            read([("nonsense".to_owned(), json!(1)), ("content".to_owned(), json!("x"))].into_iter().collect());
        assert_eq!(unknown.unwrap_err().code(), "unknown_field", "{shape}");
    }
}

#[test]
fn answers_have_the_documented_fields_and_no_others() {
    let api = description();
    let server = Server::with(&[("RAE_API_MASTER_KEY", "the-key-of-the-operator"), ("RAE_AUTH", "header")]);
    let check = |shape: &str, answer: &Value| assert_eq!(keys(answer), documented(&api, shape), "{shape}");
    let receipt = server.post("/v1/memories", json!({ "content": "One.", "session_id": "s" })).json();
    check("Receipt", &receipt);
    check("Receipts", &server.post("/v1/memories/batch", json!({ "items": [{ "content": "Two." }] })).json());
    let hits = server.post("/v1/memories/recall", json!({ "query": "one" })).json();
    check("Hits", &hits);
    check("Hit", &hits["hits"][0]);
    check("Signals", &hits["hits"][0]["signals"]);
    check("Passage", &hits["hits"][0]["passage"]);
    let block = server.post("/v1/context", json!({ "query": "one" })).json();
    check("Context", &block);
    check("ContextSource", &block["sources"][0]);
    let page = server.get("/v1/memories").json();
    check("Page", &page);
    let without_claim = |shape: &str, answer: &Value| {
        let mut all = documented(&api, shape);
        assert!(all.remove("claim"), "{shape}");
        assert_eq!(keys(answer), all, "{shape}");
    };
    without_claim("Memory", &page["items"][0]);
    let history = server.get(&format!("/v1/memories/{}/history", receipt["id"].as_str().unwrap())).json();
    check("History", &history);
    without_claim("MemoryVersion", &history["versions"][0]);
    let relation = json!({ "subject": "Ada", "relation": "works_at", "object": "Acme" });
    check("Receipt", &server.post("/v1/graph/relations", relation).json());
    let relations = server.get("/v1/graph/relations").json();
    check("Page", &relations);
    check("Memory", &relations["items"][0]);
    check("Claim", &relations["items"][0]["claim"]);
    check("Vectors", &server.post("/v1/embed", json!({ "texts": ["one"] })).json());
    check("Vector", &server.get(&format!("/v1/memories/{}/vector", receipt["id"].as_str().unwrap())).json());
    server.post("/v1/memories", json!({ "content": "Two!" }));
    let audit = server.get("/v1/audit").json();
    check("Audit", &audit);
    check("AuditFinding", &audit["findings"][0]);
    check("Maintained", &server.post("/v1/maintain", json!({})).json());
    let findings = server.get("/v1/doctor").json();
    check("Findings", &findings);
    check("Finding", &findings["findings"][0]);
    let stats = server.get("/v1/stats").json();
    check("Stats", &stats);
    check("Jobs", &stats["jobs"]);
    check("Embedder", &stats["embedder"]);
    let export = server.get("/v1/export");
    check("Imported", &server.send("POST", "/v1/import", &[("X-Tenant-ID", "u")], &export.body).json());
    let gone = server.post("/v1/erasure", json!({ "filter": { "session_id": "none of that name" } })).json();
    check("Forgotten", &gone);
    let kept = server.post("/v1/memories", json!({ "content": "Erase me." })).json()["id"].clone();
    let gone = server.call("DELETE", &format!("/v1/memories/{}", kept.as_str().unwrap()), "").json();
    let report = server.post("/v1/erasure/verify", json!({ "receipt": gone["receipt"] })).json();
    check("ErasureReport", &report);
    check("ErasurePlace", &report["places"][0]);
    check("Health", &server.get("/health").json());
    check("Status", &server.get("/health/ready").json());
    check(
        "Diagnostics",
        &server.send("GET", "/v1/admin/diagnostics", &[("X-API-Key", "the-key-of-the-operator")], b"").json(),
    );
    server.post("/v1/sessions/s-1/events", json!({ "type": "error_event", "content": "disk full" }));
    check("Receipt", &server.post("/v1/sessions/s-1/end", json!({ "outcome": "error" })).json());
    check("Page", &server.get("/v1/sessions/s-1/events").json());
    check("Reflected", &server.post("/v1/reflections", json!({})).json()[0]);
    check("Page", &server.get("/v1/reflections").json());
    check("JobPage", &server.get("/v1/jobs").json());
    check(
        "AllJobsPage",
        &server.send("GET", "/v1/admin/jobs", &[("X-API-Key", "the-key-of-the-operator")], b"").json(),
    );
    graph_answers(&server, &check);
    let failure = server.get("/nowhere").json();
    check("Failure", &failure);
    check("FailureBody", &failure["error"]);
}

fn graph_answers(server: &Server, check: &dyn Fn(&str, &Value)) {
    server.post("/v1/graph/relations", json!({ "subject": "Ada", "relation": "knows", "object": "Bob" }));
    let entities = server.get("/v1/graph/entities").json();
    check("EntityPage", &entities);
    check("Entity", &entities["items"][0]);
    let around = server.get("/v1/graph/neighbors?entity=ada").json();
    check("Neighborhood", &around);
    check("Neighbor", &around["neighbors"][0]);
    check("Relation", &around["neighbors"][0]["relation"]);
    assert_eq!(server.post("/v1/graph/neighbors", json!({ "entity": "ada" })).json(), around);
    let found = server.get("/v1/graph/path?a=Ada&b=Bob").json();
    check("FoundPath", &found);
    check("Path", &found["path"]);
    assert_eq!(server.post("/v1/graph/path", json!({ "a": "Ada", "b": "Bob" })).json(), found);
    let part = server.get("/v1/graph/subgraph?entities=Ada&entities=Bob&depth=0").json();
    check("Subgraph", &part);
    assert_eq!(server.post("/v1/graph/subgraph", json!({ "entities": ["Ada", "Bob"], "depth": 0 })).json(), part);
    check("Snapshot", &server.post("/v1/graph/snapshots", json!({ "label": "now" })).json());
    check("Snapshots", &server.get("/v1/graph/snapshots").json());
}

#[test]
fn answers_about_money_have_the_documented_fields_and_no_others() {
    let (api, server) = (description(), Server::start());
    let check = |shape: &str, answer: &Value| assert_eq!(keys(answer), documented(&api, shape), "{shape}");
    check("Limits", &server.call("PUT", "/v1/budgets", "{}").json());
    let budget = server.get("/v1/budgets/current").json();
    check("BudgetStatus", &budget);
    check("UsdWindow", &budget["daily"]);
    check("TokenWindow", &budget["tokens"]["daily"]);
    let mut call = json!({ "provider": "openai", "model": "gpt-4o-mini", "input_tokens": 9 });
    let held = server.post("/v1/costs/reservations", call.clone()).json();
    check("Reservation", &held);
    call["usage"] = json!({ "input_tokens": 9, "output_tokens": 9 });
    let path = format!("/v1/costs/reservations/{}/settle", held["id"].as_str().unwrap());
    check("Settled", &server.post(&path, call).json());
    let costs = server.get("/v1/costs?group_by=day,model,provider,project,operation,user").json();
    check("Costs", &costs);
    check("CostSum", &costs["items"][0]);
    let log = server.get("/v1/costs/logs").json();
    check("CostLog", &log);
    check("CostEntry", &log["items"][0]);
}

#[test]
fn closed_sets_are_those_of_the_engine() {
    let api = description();
    let names = |shape: &str| -> Vec<String> {
        let list = api["components"]["schemas"][shape]["enum"].as_array().unwrap();
        list.iter().map(|v| v.as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names("Kind"), rae_core::Kind::ALL.iter().map(|k| k.as_str()).collect::<Vec<_>>());
    assert_eq!(names("Layer"), rae_core::Layer::ALL.iter().map(|l| l.as_str()).collect::<Vec<_>>());
    assert_eq!(names("ErrorKind"), rae_core::ErrorKind::TABLE.iter().map(|row| row.name).collect::<Vec<_>>());
    for class in names("InfoClass").iter().chain(&names("TrustLevel")) {
        assert!(
            wire::new_memory(
                [("content".into(), json!("x")), ("info_class".into(), json!(class))].into_iter().collect()
            )
            .is_ok()
                || wire::new_memory(
                    [("content".into(), json!("x")), ("trust_level".into(), json!(class))].into_iter().collect()
                )
                .is_ok()
        );
    }
}

#[test]
fn the_pages_are_served_and_load_nothing_from_elsewhere() {
    let server = Server::start();
    assert_eq!(server.send("GET", "/openapi.json", &[], b"").json(), description());
    let page = server.send("GET", "/docs", &[], b"");
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert!(page.header("content-security-policy").unwrap().starts_with("default-src 'none'"));
    let html = page.text();
    for path in description()["paths"].as_object().unwrap().keys() {
        assert!(html.contains(path.as_str()), "{path}");
    }
    for bad in ["http://", "https://", "<script", "src="] {
        assert!(!html.contains(bad), "{bad}");
    }
}

/// The code blocks of docs/api.md, run one after the other by a shell with the real curl.
#[test]
fn every_example_of_the_api_page_works_and_every_route_has_one() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/api.md")).unwrap();
    let blocks: Vec<&str> = page.split("```sh\n").skip(1).map(|b| b.split("```").next().unwrap()).collect();
    let fake = FakeProvider::start();
    let url = fake.url();
    let server = Server::with(&[
        ("RAE_API_MASTER_KEY", "the-key-of-the-operator"),
        ("RAE_AUTH", "header"),
        ("OPENAI_API_KEY", "sk-fake"),
        ("RAE_OPENAI_BASE_URL", &url),
    ]);
    let mut script = String::from(
        "set -euo pipefail\ncurl() { command curl --silent --show-error --fail-with-body \"$@\"; echo; }\n",
    );
    let mut seen = BTreeSet::new();
    for block in &blocks {
        script
            .push_str(&format!("echo '--- {}'\n{block}\n", block.lines().next().unwrap_or_default().replace('\'', "")));
        for line in block.replace("\\\n", " ").lines().filter(|l| l.contains("curl ")) {
            let path =
                line.split("$RAE").nth(1).unwrap().split([' ', '"', '?', ')']).next().unwrap().replace("$ID", "{id}");
            let path = path.replace("$SESSION", "{id}").replace("$CHANGE", "{id}").replace("$SET", "{name}");
            let method = line
                .split("-X ")
                .nth(1)
                .map_or(if line.contains("-d ") || line.contains("--data") { "POST" } else { "GET" }, |m| {
                    m.split(' ').next().unwrap()
                });
            seen.insert(format!("{method} {path}"));
        }
    }
    let folder = Folder::new();
    let output = std::process::Command::new("bash")
        .args(["-c", &script])
        .current_dir(&folder.0)
        .env("RAE", format!("http://{}", server.address))
        .env("RAE_KEY", "the-key-of-the-operator")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    let api = description();
    for (path, item) in api["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            let route = format!("{} {path}", method.to_uppercase());
            assert!(seen.contains(&route), "docs/api.md has no example of {route}; it has {seen:?}");
        }
    }
    println!("{} blocks, {} routes", blocks.len(), seen.len());
}
