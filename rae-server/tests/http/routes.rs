//! Every route as a user meets it.

use crate::support::Server;
use serde_json::{Value, json};

#[test]
fn a_memory_is_stored_read_changed_and_forgotten() {
    let server = Server::start();
    let new = json!({ "content": "Caroline adopted a puppy called Scout.", "speaker": "Caroline", "session_id": "monday",
                      "tags": ["pets"], "metadata": { "a": { "b": 1 } }, "occurred_at": "2023-05-08T13:56:00Z" });
    let stored = server.post("/v1/memories", new);
    assert_eq!(stored.status, 201, "{stored:?}");
    let receipt = stored.json();
    let id = receipt["id"].as_str().unwrap();
    assert_eq!((&receipt["version"], &receipt["merged"], &receipt["degraded"]), (&json!(1), &json!(false), &json!([])));
    let path = format!("/v1/memories/{id}");
    assert_eq!(stored.header("location"), Some(path.as_str()));

    let read = server.get(&path);
    assert_eq!((read.status, read.header("etag")), (200, Some("\"1\"")));
    let memory = read.json();
    assert_eq!(
        (&memory["layer"], &memory["kind"], &memory["tenant"]),
        (&json!("episodic"), &json!("conversation"), &json!("t"))
    );
    assert_eq!(memory["metadata"], json!({ "a": { "b": 1 } }));

    let changed = server.call("PATCH", &path, r#"{"content": "Caroline adopted a kitten.", "speaker": null}"#);
    assert_eq!(
        (changed.status, changed.json()["version"].as_u64(), changed.header("etag")),
        (200, Some(2), Some("\"2\""))
    );
    let history = server.get(&format!("{path}/history")).json();
    let versions = history["versions"].as_array().unwrap();
    assert_eq!(versions.len(), 2);
    assert!(versions[0]["replaced_at"].is_string() && versions[1]["replaced_at"].is_null());
    assert_eq!((&versions[0]["speaker"], &versions[1]["speaker"]), (&json!("Caroline"), &Value::Null));

    let praised = server.call("POST", &format!("{path}/feedback"), r#"{"useful": true}"#);
    assert_eq!(praised.status, 200);
    assert!(praised.json()["importance"].as_f64() > memory["importance"].as_f64());

    let gone = server.call("DELETE", &path, "");
    assert_eq!((gone.status, gone.json()["deleted"].as_u64()), (200, Some(1)));
    assert_eq!(gone.json()["receipt"]["deleted"], 1);
    server.get(&path).is_error(404, "not_found", "memory_not_found");
    server.get(&format!("{path}/history")).is_error(404, "not_found", "memory_not_found");
    server.call("PATCH", &path, r#"{"content": "x"}"#).is_error(404, "not_found", "memory_not_found");
    server.call("POST", &format!("{path}/feedback"), r#"{"useful": true}"#).is_error(
        404,
        "not_found",
        "memory_not_found",
    );
    // Forgetting what is not there is done already.
    assert_eq!(server.call("DELETE", &path, "").json()["deleted"], 0);
}

#[test]
fn recall_and_context_answer_from_what_was_stored() {
    let server = Server::start();
    server.remember("Caroline adopted a puppy called Scout.");
    server.remember("The quarterly report is due on Friday.");
    let answer = server
        .post("/v1/memories/recall", json!({ "query": "Which dog lives with Caroline?", "k": 1, "explain": true }));
    assert_eq!(answer.status, 200);
    let answer = answer.json();
    assert_eq!(answer["hits"].as_array().unwrap().len(), 1);
    assert_eq!(answer["hits"][0]["content"], "Caroline adopted a puppy called Scout.");
    assert!(answer["hits"][0]["signals"]["dense"].as_f64().unwrap() > 0.0 && answer["trace"].is_object());
    assert_eq!(answer["degraded"], json!([]));
    let silent = server.post("/v1/memories/recall", json!({ "query": "dog", "rerank": true })).json();
    assert_eq!((&silent["degraded"], &silent["trace"]), (&json!(["rerank"]), &Value::Null));
    let block =
        server.post("/v1/context", json!({ "query": "What pet does Caroline have?", "max_tokens": 100 })).json();
    assert!(block["text"].as_str().unwrap().contains("Scout") && block["token_count"].as_u64().unwrap() <= 100);
    assert_eq!(block["sources"].as_array().unwrap().len(), 1);
}

#[test]
fn a_batch_gives_a_receipt_for_each_item_and_names_the_wrong_one() {
    let server = Server::start();
    let items: Vec<Value> = (0..1_500).map(|i| json!({ "content": format!("Fact number {i}.") })).collect();
    let answer = server.post("/v1/memories/batch", json!({ "items": items }));
    assert_eq!((answer.status, answer.json()["receipts"].as_array().unwrap().len()), (200, 1_500));
    assert_eq!(server.get("/v1/stats").json()["memories"], 1_500);
    let wrong = server.post("/v1/memories/batch", json!({ "items": [{ "content": "fine" }, { "content": 5 }] }));
    wrong.is_error(422, "invalid_input", "invalid_input");
    assert_eq!(wrong.json()["error"]["details"]["item"], 1);
    let late = server.post("/v1/memories/batch", json!({ "items": [{ "content": "fine" }, { "content": " " }] }));
    assert_eq!((late.status, &late.json()["error"]["details"]["item"]), (422, &json!(1)));
    assert_eq!(server.get("/v1/stats").json()["memories"], 1_500, "nothing of a refused batch is written");
}

#[test]
fn a_list_is_paged_and_filtered() {
    let server = Server::start();
    for i in 0..7 {
        let tags = if i % 2 == 0 { json!(["even", "a,b & c"]) } else { json!(["odd"]) };
        server.post("/v1/memories", json!({ "content": format!("Item {i}."), "tags": tags, "metadata": { "i": i } }));
    }
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = server.get(&format!("/v1/memories?limit=3{cursor}")).json();
        seen.extend(page["items"].as_array().unwrap().iter().map(|m| m["metadata"]["i"].as_u64().unwrap()));
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(seen, [0, 1, 2, 3, 4, 5, 6]);
    let count = |query: &str| server.get(&format!("/v1/memories?{query}")).json()["items"].as_array().unwrap().len();
    assert_eq!(
        (count("tags=even"), count("tags=even&tags=odd"), count("tags=a%2Cb+%26+c"), count("layer=semantic")),
        (4, 0, 4, 7)
    );
    assert_eq!(count("filter=%7B%22metadata.i%22%3A%7B%22gte%22%3A5%7D%7D"), 2);
}

#[test]
fn a_version_in_if_match_must_hold() {
    let server = Server::start();
    let path = format!("/v1/memories/{}", server.remember("One."));
    let patch = |expected: &str, content: &str| {
        let body = json!({ "content": content }).to_string();
        server.send("PATCH", &path, &[("X-Tenant-ID", "t"), ("If-Match", expected)], body.as_bytes())
    };
    assert_eq!(patch("\"1\"", "Two.").json()["version"], 2);
    patch("\"1\"", "Three.").is_error(412, "conflict", "version_mismatch");
    assert_eq!(patch("2", "Three.").json()["version"], 3, "a bare number is read too");
    assert_eq!(patch("*", "Four.").json()["version"], 4);
    for bad in ["W/\"4\"", "\"4\", \"5\"", "\"x\"", "\"0\"", "\"4", "-1"] {
        patch(bad, "Five.").is_error(400, "invalid_input", "invalid_if_match");
    }
    let in_body = server.call("PATCH", &path, r#"{"content": "Five.", "expected_version": 3}"#);
    in_body.is_error(409, "conflict", "version_mismatch");
}

#[test]
fn erasure_takes_a_filter_or_a_scope_and_gives_a_receipt() {
    let server = Server::start();
    for (content, session) in [("One.", "a"), ("Two.", "a"), ("Three.", "b")] {
        server.post("/v1/memories", json!({ "content": content, "session_id": session, "tags": [session] }));
    }
    let erased = server.post("/v1/erasure", json!({ "scope": "session", "target": "a" }));
    assert_eq!((erased.status, erased.json()["deleted"].as_u64()), (200, Some(2)), "{erased:?}");
    assert!(erased.json()["receipt"]["at"].is_string());
    assert_eq!(server.post("/v1/erasure", json!({ "filter": { "tags": { "contains": "b" } } })).json()["deleted"], 1);
    server.post("/v1/erasure", json!({ "filter": {} })).is_error(422, "invalid_input", "empty_filter");
    server.post("/v1/erasure", json!({})).is_error(422, "invalid_input", "invalid_input");
    server.post("/v1/erasure", json!({ "scope": "session" })).is_error(422, "invalid_input", "invalid_input");
    server.remember("Kept.");
    assert_eq!(server.post("/v1/erasure", json!({ "scope": "project", "target": "default" })).json()["deleted"], 1);
    assert_eq!(server.get("/v1/stats").json()["memories"], 0);
}

#[test]
fn an_export_is_read_by_another_tenant_and_leaves_no_file() {
    let server = Server::start();
    for i in 0..50 {
        server.remember(&format!("Exported fact {i}."));
    }
    let export = server.get("/v1/export");
    assert_eq!((export.status, export.header("content-type")), (200, Some("application/x-ndjson")));
    assert_eq!(export.text().lines().count(), 52);
    let import = |tenant: &str, body: &[u8]| server.send("POST", "/v1/import", &[("X-Tenant-ID", tenant)], body);
    assert_eq!(import("u", &export.body).json(), json!({ "imported": 50, "merged": 0, "unchanged": 0 }));
    assert_eq!(import("u", &export.body).json()["unchanged"], 50);
    let recalled = server.call_as("u", "POST", "/v1/memories/recall", r#"{"query": "exported fact 7", "k": 1}"#).json();
    assert_eq!(recalled["hits"][0]["content"], "Exported fact 7.");
    let cut = export.text().lines().take(10).collect::<Vec<_>>().join("\n") + "\n";
    import("v", cut.as_bytes()).is_error(422, "invalid_input", "truncated_export");
    import("v", b"hello").is_error(422, "invalid_input", "not_an_export");
    import("v", b"").is_error(422, "invalid_input", "not_an_export");
    assert_eq!(std::fs::read_dir(server.folder.0.join("rae-data/tmp")).unwrap().count(), 0);
}

#[test]
fn the_same_write_repeated_with_its_key_is_one_and_another_body_is_a_conflict() {
    let server = Server::start();
    let write = |content: &str| server.post("/v1/memories", json!({ "content": content, "idempotency_key": "k" }));
    assert_eq!(write("Once.").json()["id"], write("Once.").json()["id"]);
    write("Twice.").is_error(409, "conflict", "idempotency_key_reused");
    let merged = |_: usize| server.post("/v1/memories", json!({ "content": "Said again." })).json()["merged"].clone();
    assert_eq!((merged(0), merged(1)), (json!(false), json!(true)));
}

#[test]
fn json_is_read_whatever_type_is_claimed_and_other_packings_are_refused() {
    let server = Server::start();
    for kind in ["application/x-www-form-urlencoded", "text/plain", "application/json; charset=utf-8", "nonsense"] {
        let headers = [("X-Tenant-ID", "t"), ("Content-Type", kind)];
        assert_eq!(server.send("POST", "/v1/memories", &headers, br#"{"content": "x"}"#).status, 201, "{kind}");
    }
    let packed = server.send("POST", "/v1/memories", &[("X-Tenant-ID", "t"), ("Content-Encoding", "gzip")], b"{}");
    packed.is_error(415, "invalid_input", "unsupported_encoding");
}

#[test]
fn text_of_any_script_comes_back_as_it_was_sent() {
    let server = Server::start();
    for text in
        ["Größe über alles 🦊", "私は犬を飼っています。", "שלום עולם", "a\u{0000}b".trim_matches('\0'), "\u{202e}left"]
    {
        let answer = server.post("/v1/memories", json!({ "content": text }));
        if answer.status == 201 {
            let id = answer.json()["id"].as_str().unwrap().to_owned();
            assert_eq!(server.get(&format!("/v1/memories/{id}")).json()["content"], text);
        } else {
            assert_eq!(answer.status, 422, "{text:?}");
        }
    }
}

#[test]
fn vectors_are_given_for_texts_and_for_memories() {
    let server = Server::start();
    let id = server.remember("Caroline adopted a puppy called Scout.");
    let texts = json!({ "texts": ["Caroline adopted a puppy called Scout.", " "], "role": "document" });
    let vectors = server.post("/v1/embed", texts).json()["vectors"].clone();
    assert_eq!((vectors[0].as_array().unwrap().len(), &vectors[1]), (128, &Value::Null));
    let stored = server.get(&format!("/v1/memories/{id}/vector")).json();
    assert_eq!(stored["vector"], vectors[0]);
    server.post("/v1/embed", json!({ "texts": ["x"], "role": "answer" })).is_error(
        422,
        "invalid_input",
        "invalid_input",
    );
    server.post("/v1/embed", json!({ "texts": "x" })).is_error(422, "invalid_input", "invalid_input");
    let many: Vec<&str> = vec!["x"; 1_001];
    server.post("/v1/embed", json!({ "texts": many })).is_error(422, "invalid_input", "too_many_texts");
    let nowhere = "/v1/memories/0190a0a0-0000-7000-8000-000000000000/vector";
    server.get(nowhere).is_error(404, "not_found", "memory_not_found");
    assert_eq!(server.call_as("u", "GET", &format!("/v1/memories/{id}/vector"), "").status, 404);
}

#[test]
fn a_project_is_audited_maintained_and_looked_over() {
    let server = Server::start();
    server.post("/v1/memories", json!({ "content": "Ada lives in Paris.", "kind": "fact" }));
    server.post("/v1/memories", json!({ "content": "Ada lives in Porto.", "kind": "fact" }));
    let audit = server.get("/v1/audit").json();
    assert_eq!((&audit["checked"], &audit["findings"][0]["kind"]), (&json!(2), &json!("contradiction")));
    assert_eq!(server.call_as("u", "GET", "/v1/audit", "").json()["checked"], 0, "another tenant's is not looked at");
    server.get("/v1/audit?limit=0").is_error(400, "invalid_input", "invalid_limit");
    server.get("/v1/audit?limit=x").is_error(400, "invalid_input", "invalid_limit");
    for body in ["", "{}", r#"{"now": null}"#] {
        let done = server.call("POST", "/v1/maintain", body);
        assert!(done.status == 200 && done.json()["ran"]["expired"] == 0, "{done:?}");
    }
    server.call("POST", "/v1/maintain", r#"{"then": 1}"#).is_error(422, "invalid_input", "unknown_field");
    let findings = server.get("/v1/doctor").json()["findings"].clone();
    assert!(findings.as_array().unwrap().iter().all(|finding| finding["level"] == "ok"), "{findings}");
}

#[test]
fn an_erasure_is_checked_by_its_receipt_and_reads_no_file() {
    let server = Server::start();
    let id = server.post("/v1/memories", json!({ "content": "Erase me." })).json()["id"].clone();
    let gone = server.call("DELETE", &format!("/v1/memories/{}", id.as_str().unwrap()), "").json();
    // The receipt alone, or the whole answer with it.
    for receipt in [&gone["receipt"], &gone] {
        let report = server.post("/v1/erasure/verify", json!({ "receipt": receipt })).json();
        assert_eq!(
            (&report["clean"], &report["ids"], &report["bound"]),
            (&json!(true), &json!(1), &json!(true)),
            "{report}"
        );
    }
    let elsewhere = json!({ "receipt": gone["receipt"] }).to_string();
    let elsewhere = server.call_as("u", "POST", "/v1/erasure/verify", &elsewhere);
    elsewhere.is_error(422, "invalid_input", "other_project");
    let with_file = json!({ "receipt": gone["receipt"], "exports": ["/etc/passwd"] });
    server.post("/v1/erasure/verify", with_file).is_error(422, "invalid_input", "unknown_field");
    let with_file = json!({ "receipt": gone["receipt"], "texts": ["Erase me"], "file": true });
    server.post("/v1/erasure/verify", with_file).is_error(422, "invalid_input", "unknown_field");
    // Texts are looked for in the project of the caller, never in the file that all tenants share.
    server.call_as("u", "POST", "/v1/memories", r#"{"content": "Erase me, said another tenant."}"#);
    let look =
        || server.post("/v1/erasure/verify", json!({ "receipt": gone["receipt"], "texts": ["Erase me"] })).json();
    let report = look();
    let places: Vec<&str> = report["places"].as_array().unwrap().iter().filter_map(|p| p["place"].as_str()).collect();
    assert!(report["clean"] == true && places.contains(&"text in memories"), "{report}");
    assert!(places.iter().all(|place| !place.starts_with("text in file")), "{report}");
    server.post("/v1/memories", json!({ "content": "Do not: Erase me." }));
    assert_eq!(look()["clean"], json!(false));
    let short = json!({ "receipt": gone["receipt"], "texts": ["abc"] });
    server.post("/v1/erasure/verify", short).is_error(422, "invalid_input", "invalid_texts");
    server.post("/v1/erasure/verify", json!({ "receipt": {} })).is_error(422, "invalid_input", "not_a_receipt");
}

#[test]
fn another_time_and_a_backup_are_the_operators() {
    let server = Server::with(&[("RAE_API_MASTER_KEY", "the-key-of-the-operator"), ("RAE_AUTH", "header")]);
    server.post("/v1/memories", json!({ "content": "For a minute.", "ttl": 60 }));
    let later = r#"{"now": "2099-01-01T00:00:00Z"}"#;
    server.call("POST", "/v1/maintain", later).is_error(403, "permission_denied", "operator_only");
    server.call("GET", "/v1/admin/backup", "").is_error(403, "permission_denied", "operator_only");
    let key = ("X-API-Key", "the-key-of-the-operator");
    let backup = server.send("GET", "/v1/admin/backup", &[key], b"");
    assert_eq!((backup.status, backup.header("content-type")), (200, Some("application/vnd.sqlite3")));
    assert!(backup.body.starts_with(b"SQLite format 3\0"));
    let copy = server.folder.0.join("copy.rae");
    std::fs::write(&copy, &backup.body).unwrap();
    let opened = rae_core::block_on(rae_core::Rae::builder().path(copy).tenant("t").open()).unwrap();
    assert_eq!(rae_core::block_on(opened.stats()).unwrap().memories, 1);
    let done = server.send("POST", "/v1/maintain", &[("X-Tenant-ID", "t"), key], later.as_bytes());
    assert_eq!(done.json()["ran"]["expired"], 1, "{done:?}");
    assert_eq!(std::fs::read_dir(server.folder.0.join("rae-data/tmp")).unwrap().count(), 0);
}

#[test]
fn an_evaluation_takes_k_beside_its_options_or_in_them_and_refuses_two_that_differ() {
    let server = Server::start();
    server.remember("The ferry leaves at ten.");
    server.remember("The ferry is blue.");
    let questions = json!([{ "query": "When does the ferry leave?", "relevant": [{ "text": "at ten" }] }]);
    let kept = server.call("PUT", "/v1/evaluations/questions/ferries", &json!({ "questions": questions }).to_string());
    assert_eq!(kept.status, 200, "{kept:?}");
    for more in [json!({ "k": 1 }), json!({ "options": { "k": 1 } }), json!({ "k": 1, "options": { "k": 1 } })] {
        let mut body = more.clone();
        body["questions"] = questions.clone();
        let run = server.post("/v1/evaluations", body);
        assert_eq!((run.status, &run.json()["k"]), (200, &json!(1)), "{more}");
        let run = server.post("/v1/evaluations/questions/ferries/runs", more.clone());
        assert_eq!((run.status, &run.json()["evaluation"]["k"]), (200, &json!(1)), "{more}");
    }
    let differ = json!({ "questions": questions, "k": 1, "options": { "k": 2 } });
    server.post("/v1/evaluations", differ).is_error(422, "invalid_input", "conflicting_fields");
    let differ = json!({ "k": 1, "options": { "k": 2 } });
    server.post("/v1/evaluations/questions/ferries/runs", differ).is_error(422, "invalid_input", "conflicting_fields");
}
