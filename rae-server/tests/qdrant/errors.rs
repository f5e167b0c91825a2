//! What becomes of a server that refuses, stalls, cuts the line, lies or is not there.

use crate::{
    http::{Server as Api, until},
    support::{
        block_on,
        qdrant::{self, Server},
    },
};
use rae_core::{
    Ctx, ErrorKind, MemoryId,
    model::{Scope, VectorFilter, VectorPoint},
    ports::{Collection, VectorStore},
};
use rae_server::adapters::qdrant::{QdrantSettings, QdrantStore};
use serde_json::{Value, json};
use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};
use uuid::Uuid;

fn id(n: u128) -> MemoryId {
    MemoryId(Uuid::from_u128(n))
}

fn collection() -> Collection {
    Collection { store: "errors".into(), embedder: "test@1/2".into(), dim: 2 }
}

fn ctx() -> Ctx {
    Ctx::new(Scope::new("t", "p").unwrap())
}

fn put(store: &QdrantStore, n: u128, vector: [f32; 2]) -> rae_core::Result<()> {
    let points = vec![VectorPoint { id: id(n), vector: vector.to_vec() }];
    block_on(store.write(&ctx(), &collection(), points, &[], None))
}

fn query(store: &QdrantStore) -> rae_core::Result<Vec<MemoryId>> {
    let found = block_on(store.query(&ctx(), &collection(), &[1.0, 0.0], &VectorFilter::default(), 10));
    found.map(|hits| hits.into_iter().map(|hit| hit.id).collect())
}

fn ready(server: &Server) -> QdrantStore {
    let store = qdrant::open(&QdrantSettings::new(&server.url(), None).unwrap());
    block_on(store.ensure(&ctx(), &collection())).unwrap();
    store
}

#[test]
fn each_failure_has_its_kind_and_ends_with_its_cause() {
    let server = Server::start(None);
    let store = ready(&server);
    put(&store, 1, [1.0, 0.0]).unwrap();
    for (fault, kind, temporary) in [
        (json!({ "kind": "status", "status": 500 }), ErrorKind::Unavailable, true),
        (json!({ "kind": "status", "status": 503 }), ErrorKind::Unavailable, true),
        (json!({ "kind": "status", "status": 401 }), ErrorKind::PermissionDenied, false),
        (json!({ "kind": "status", "status": 403 }), ErrorKind::PermissionDenied, false),
        (json!({ "kind": "status", "status": 429 }), ErrorKind::RateLimited, true),
        (json!({ "kind": "status", "status": 400 }), ErrorKind::Internal, false),
        (json!({ "kind": "drop" }), ErrorKind::Unavailable, true),
        (json!({ "kind": "truncate" }), ErrorKind::Unavailable, true),
    ] {
        let mut once = fault.clone();
        once["count"] = json!(1);
        once["path"] = json!("/points/query");
        server.faults(&json!([once]));
        let error = query(&store).unwrap_err();
        assert_eq!((error.kind(), error.is_temporary()), (kind, temporary), "{fault}: {error:?}");
        assert_eq!(query(&store).unwrap(), [id(1)], "{fault}");
    }
    // A write whose answer was lost happened; repeating it changes nothing.
    server.faults(&json!([{ "kind": "drop", "count": 1, "path": "/points/batch" }]));
    assert_eq!(put(&store, 2, [0.8, 0.6]).unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(query(&store).unwrap(), [id(1), id(2)]);
    put(&store, 2, [0.8, 0.6]).unwrap();
    assert_eq!(query(&store).unwrap(), [id(1), id(2)]);
    server.stop();
    let error = query(&store).unwrap_err();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Unavailable, true));
    server.again();
    assert_eq!(query(&store).unwrap(), [id(1), id(2)], "nothing was lost");
}

#[test]
fn a_server_that_stalls_is_given_up_and_left_alone_for_a_while() {
    let server = Server::start(None);
    let store = ready(&server);
    put(&store, 1, [1.0, 0.0]).unwrap();
    server.faults(&json!([{ "kind": "stall", "seconds": 30, "count": 1, "path": "/points/query" }]));
    assert_eq!(query(&store).unwrap_err().kind(), ErrorKind::Timeout);
    let asked = server.asked("POST collections/points/query");
    assert_eq!(query(&store).unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(server.asked("POST collections/points/query"), asked, "it was not asked again");
    until(|| query(&store).ok().filter(|found| *found == [id(1)]));
    // The deadline of a call binds where it is the shorter one.
    server.faults(&json!([{ "kind": "stall", "seconds": 30, "count": 1, "path": "/points/query" }]));
    let hurried = ctx().with_timeout(Duration::from_millis(200));
    let began = Instant::now();
    let found = block_on(store.query(&hurried, &collection(), &[1.0, 0.0], &VectorFilter::default(), 10));
    assert_eq!(found.unwrap_err().kind(), ErrorKind::Timeout);
    assert!(began.elapsed() < Duration::from_secs(20), "it was not waited for");
}

#[test]
fn a_key_is_sent_and_a_wrong_one_says_what_to_do() {
    let server = Server::start(Some("open-sesame"));
    let open = |key: &str| qdrant::open(&QdrantSettings::new(&server.url(), Some(key)).unwrap());
    block_on(open("open-sesame").ensure(&ctx(), &collection())).unwrap();
    let error = block_on(open("hunter2").ensure(&ctx(), &collection())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert!(error.message().contains("QDRANT_API_KEY") && !format!("{error:?}").contains("hunter2"));
}

#[test]
fn a_collection_of_another_shape_is_a_conflict_and_one_that_is_gone_is_made_again() {
    let server = Server::start(None);
    let store = ready(&server);
    put(&store, 1, [1.0, 0.0]).unwrap();
    // Another process sees the same collection.
    let second = ready(&server);
    assert_eq!(query(&second).unwrap(), [id(1)]);
    server.reset();
    let error = query(&store).unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Unavailable, "no_collection"));
    block_on(store.drop_scope(&ctx(), &collection())).unwrap();
    block_on(store.ensure(&ctx(), &collection())).unwrap();
    assert_eq!(query(&store).unwrap(), []);
    put(&store, 2, [1.0, 0.0]).unwrap();
    assert_eq!(query(&store).unwrap(), [id(2)]);
    let name = server.collections().pop().unwrap();
    server.reset();
    server.make(&name, 3);
    let fresh = qdrant::open(&QdrantSettings::new(&server.url(), None).unwrap());
    let error = block_on(fresh.ensure(&ctx(), &collection())).unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Conflict, "collection_differs"));
}

#[test]
fn a_filter_of_any_size_is_kept_and_many_equal_vectors_come_by_id() {
    let store = qdrant::open(&qdrant::settings());
    block_on(store.ensure(&ctx(), &collection())).unwrap();
    let points: Vec<_> = (1..=300).map(|n| VectorPoint { id: id(n), vector: vec![1.0, 0.0] }).collect();
    block_on(store.write(&ctx(), &collection(), points, &[id(7)], None)).unwrap();
    let find = |only: Option<HashSet<MemoryId>>, k| {
        let filter = VectorFilter { only: only.map(Arc::new) };
        let hits = block_on(store.query(&ctx(), &collection(), &[1.0, 0.0], &filter, k)).unwrap();
        hits.into_iter().map(|hit| hit.id).collect::<Vec<_>>()
    };
    assert_eq!(find(None, 3), [id(1), id(2), id(3)], "of equals the least ids");
    // More ids than one request names, and more than are worth naming.
    for many in [5_000, 20_000] {
        let only: HashSet<_> = (250..250 + many).map(id).collect();
        assert_eq!(find(Some(only), 4), [id(250), id(251), id(252), id(253)], "{many}");
    }
    assert_eq!(find(Some((400..20_400).map(id).collect()), 4), []);
}

fn hits(api: &Api, query: &str) -> (Vec<String>, Value) {
    let answer = api.post("/v1/memories/recall", json!({ "query": query, "k": 5 }));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = answer.json();
    let found = answer["hits"].as_array().unwrap().iter().map(|hit| hit["content"].as_str().unwrap().to_owned());
    (found.collect(), answer["degraded"].clone())
}

#[test]
fn the_service_answers_without_the_server_and_repairs_when_it_is_back() {
    let server = Server::start(Some("open-sesame"));
    let url = server.url();
    server.stop();
    // One file for the truth, Qdrant for the vectors; not there yet.
    let env = [("QDRANT_URL", url.as_str()), ("QDRANT_API_KEY", "open-sesame"), ("RAE_VECTOR_SETTLE", "1")];
    let api = Api::with(&env);
    assert!(api.log().contains("Qdrant"), "{}", api.log());
    let written = api.post("/v1/memories", json!({ "content": "My dog is called Rex." }));
    assert_eq!((written.status, &written.json()["degraded"]), (201, &json!(["dense"])), "{}", written.text());
    assert_eq!(hits(&api, "Rex"), (vec!["My dog is called Rex.".to_owned()], json!(["dense"])));
    let gone = api.remember("Rex likes the harbour.");
    let forgotten = api.call("DELETE", &format!("/v1/memories/{gone}"), "");
    assert_eq!((forgotten.status, &forgotten.json()["pending"]), (200, &json!(["vectors"])), "{}", forgotten.text());
    assert!(api.call("GET", "/metrics", "").text().contains("rae_vector_feed_failing 1"));
    server.again();
    until(|| Some(()).filter(|()| hits(&api, "puppy") == (vec!["My dog is called Rex.".to_owned()], json!([]))));
    until(|| Some(()).filter(|()| server.points().len() == 1));
    until(|| Some(()).filter(|()| api.call("GET", "/metrics", "").text().contains("rae_vector_feed_failing 0")));
    assert!(!api.log().contains("open-sesame"));
}
