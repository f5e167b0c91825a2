use super::{VERBS, call, new_memories, recall, update};
use crate::{ErrorKind, Rae, block_on};
use serde_json::{Map, Value, json};

fn map(value: Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

#[test]
fn every_verb_is_known_and_another_is_unsupported() {
    block_on(async {
        let mem = Rae::builder().open().await.unwrap();
        for verb in VERBS {
            // Without arguments most are InvalidInput; none may be unknown.
            if let Err(error) = call(&mem, verb, Map::new()).await {
                assert_eq!(error.kind(), ErrorKind::InvalidInput, "{verb}: {error}");
            }
        }
        assert_eq!(call(&mem, "remembers", Map::new()).await.unwrap_err().code(), "no_such_verb");
        mem.close().await.unwrap();
    });
}

#[test]
fn the_list_of_verbs_is_that_of_the_handle() {
    // Of the file of sessions the part of the handle alone: a session has verbs of its own.
    let sessions = include_str!("../rae/session.rs").split("\n}\n").next().unwrap();
    let entities = include_str!("../rae/entities.rs");
    let source = [include_str!("../rae.rs"), entities, include_str!("../rae/spending.rs"), sessions].concat();
    let handle = source.lines().filter_map(|l| l.trim().strip_prefix("pub async fn ")?.split(['(', '<']).next());
    // What agents do not call: the life of the stores; the queue of all tenants, which is for workers and operators; keys and tenants, which are for
    // whoever serves the store to others; what has another form in JSON, or is the service's.
    let apart = [
        ["close", "reembed", "sync_vectors"].as_slice(),
        &["all_jobs", "job_stats", "run_due_job", "work"],
        &[
            "create_key",
            "revoke_key",
            "key",
            "keys",
            "has_had_keys",
            "key_check",
            "create_tenant",
            "tenant",
            "tenants",
            "count",
        ],
        &["funds", "top_funds", "meter_by_id", "llm_stream", "settle", "chat", "chat_stream", "chat_estimate"],
        &["verify_erasure_with"],
    ]
    .concat();
    let mut handle: Vec<&str> = handle.filter(|v| !apart.contains(v)).collect();
    let mut wire = VERBS.to_vec();
    handle.sort_unstable();
    wire.sort_unstable();
    assert_eq!(wire, handle);
}

#[test]
fn an_error_names_the_field_and_what_it_must_be() {
    let said = |fields: Value| recall(map(fields)).unwrap_err().message().to_owned();
    assert_eq!(said(json!({ "k": "ten" })), "k must be a whole number, not text");
    assert_eq!(said(json!({ "k": 1.5 })), "k must be a whole number");
    assert_eq!(said(json!({ "tags": "pets" })), "tags must be a list of texts, not text");
    assert_eq!(said(json!({ "explain": 1 })), "explain must be true or false, not a number");
    assert_eq!(said(json!({ "since": 5 })), "since must be text, not a number");
    assert!(said(json!({ "since": "soon" })).starts_with("since: a time must be RFC 3339"));
    assert!(said(json!({ "since": "-000500-01-01T00:00:00Z" })).contains("years 1 and 9999"));
    assert_eq!(recall(map(json!({ "topK": 3 }))).unwrap_err().code(), "unknown_field");
    let error = new_memories("items", json!([{ "content": "fine" }, { "content": 5 }])).unwrap_err();
    assert_eq!(error.details().unwrap()["item"], 1);
}

#[test]
fn whole_numbers_of_any_size_reach_the_verb_which_judges_their_range() {
    for (given, read) in [(json!(10.0), 10), (json!(u64::MAX), i64::MAX), (json!(-1e300), i64::MIN), (json!(null), 10)]
    {
        assert_eq!(recall(map(json!({ "k": given }))).unwrap().k, read);
    }
}

#[test]
fn in_an_update_null_clears_absence_keeps_and_what_must_exist_cannot_be_cleared() {
    let read = update(map(json!({ "speaker": null, "tags": null, "ttl": 5 }))).unwrap();
    assert_eq!((read.speaker, read.role, read.tags, read.ttl), (Some(None), None, Some(vec![]), Some(Some(5.0))));
    for field in ["content", "kind", "layer", "importance", "confidence", "info_class"] {
        assert_eq!(update(map(json!({ field: null }))).unwrap_err().kind(), ErrorKind::InvalidInput, "{field}");
    }
}

#[test]
fn a_memory_shows_its_scope_and_sources_flat_and_no_inner_keys() {
    block_on(async {
        let mem = Rae::builder().tenant("t").project("p").open().await.unwrap();
        let new = json!({ "content": "Kept.", "source": "notes", "metadata": { "a": { "b": [1, null] } } });
        let receipt = call(&mem, "remember", map(new)).await.unwrap();
        let seen = call(&mem, "get", map(json!({ "id": receipt["id"] }))).await.unwrap();
        assert_eq!(
            (&seen["tenant"], &seen["project"], &seen["sources"]),
            (&json!("t"), &json!("p"), &json!(["notes"]))
        );
        assert_eq!(seen["content_hash"], blake3::hash(b"Kept.").to_hex().as_str());
        assert_eq!(seen["metadata"], json!({ "a": { "b": [1, null] } }));
        for inner in ["scope", "provenance", "dedup_key"] {
            assert!(seen.get(inner).is_none(), "{inner}");
        }
        let listed = call(&mem, "list", Map::new()).await.unwrap();
        assert_eq!(listed, json!({ "items": [seen], "next_cursor": null }));
        let history = call(&mem, "history", map(json!({ "id": receipt["id"] }))).await.unwrap();
        assert_eq!(history[0]["replaced_at"], Value::Null);
        mem.close().await.unwrap();
    });
}
