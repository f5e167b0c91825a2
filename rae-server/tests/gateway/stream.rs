//! Answers in pieces.

use super::{CHAT, T, ask, memories, post, server};
use crate::{
    http::{Answer, Server, until},
    provider_support::{Behaviour, FakeProvider, Fault},
};
use serde_json::{Value, json};
use std::io::Read;

fn streamed(text: &str, usage: bool) -> Value {
    let mut body = ask(text);
    body["stream"] = true.into();
    if usage {
        body["stream_options"] = json!({ "include_usage": true });
    }
    body
}

/// The data of the events, without the mark of the end; whether that was there.
fn events(answer: &Answer) -> (Vec<Value>, bool) {
    let text = answer.text();
    let data: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
    let ended = data.last() == Some(&"[DONE]");
    let all = data.iter().filter(|data| **data != "[DONE]").map(|data| serde_json::from_str(data).unwrap()).collect();
    (all, ended)
}

fn text_of(events: &[Value]) -> String {
    events.iter().filter_map(|event| event["choices"][0]["delta"]["content"].as_str()).collect()
}

fn stream(server: &Server, headers: &[(&str, &str)], body: &Value) -> (Vec<Value>, bool) {
    let answer = post(server, CHAT, headers, body);
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/event-stream; charset=utf-8")));
    events(&answer)
}

#[test]
fn pieces_come_as_events_with_the_usage_where_it_is_wanted() {
    let fake = FakeProvider::start();
    let server = server(&fake, &[]);
    fake.usually(Behaviour::says("one two three four"));
    let (all, ended) = stream(&server, &[], &streamed("Count.", false));
    assert!(ended && all.iter().all(|event| event.get("usage").is_none()), "{all:?}");
    assert_eq!(text_of(&all), "one two three four");
    assert_eq!(all[0]["choices"][0]["delta"]["role"], "assistant");
    assert!(all.iter().all(|event| event["object"] == "chat.completion.chunk" && event["id"] == all[0]["id"]));
    assert_eq!(all.last().unwrap()["choices"][0]["finish_reason"], "stop");
    let (all, _) = stream(&server, &[], &streamed("Count.", true));
    let last = all.last().unwrap();
    assert_eq!(last["choices"], json!([]));
    assert_eq!(last["usage"]["completion_tokens"], 4);
    assert_eq!(all.iter().filter(|event| event.get("usage").is_some()).count(), 1);
    // A provider that does not say: it is counted here.
    fake.usually(Behaviour { says: crate::provider_support::Says::Nothing, ..Behaviour::says("one two three four") });
    let (all, _) = stream(&server, &[], &streamed("Count.", true));
    assert!(all.last().unwrap()["usage"]["completion_tokens"].as_u64().unwrap() > 0, "{all:?}");
}

#[test]
fn the_last_piece_says_what_it_cost_where_the_request_has_the_field() {
    let fake = FakeProvider::start();
    let server = server(&fake, &[("RAE_GATEWAY_MEMORY", "on")]);
    fake.usually(Behaviour::says("one two three four"));
    let mut body = streamed("Count.", false);
    body["rae"] = json!({ "operation": "count", "request_id": "r-1" });
    let (all, ended) = stream(&server, &[], &body);
    let last = all.last().unwrap();
    assert!(ended && last["choices"] == json!([]) && last.get("usage").is_none(), "{last}");
    assert_eq!(all.iter().filter(|event| event.get("rae").is_some()).count(), 1);
    let own = &last["rae"];
    assert_eq!((own["provider"].as_str(), own["usage"]["output_tokens"].as_u64()), (Some("openai"), Some(4)), "{own}");
    assert_eq!(own["remembered"].as_array().unwrap().len(), 2, "{own}");
    let row = server.get("/v1/costs/logs").json()["items"][0].clone();
    assert_eq!((&row["operation"], &row["request_id"]), (&json!("count"), &json!("r-1")));
    assert_eq!(row["cost_usd"], own["cost_usd"]);
    assert!(fake.seen()[0].body.get("rae").is_none());
}

#[test]
fn what_the_end_says_is_remembered_can_be_read_at_once() {
    let fake = FakeProvider::start();
    let server = server(&fake, &[("RAE_GATEWAY_MEMORY", "on")]);
    fake.usually(Behaviour::says("one two three four"));
    let (_, ended) = stream(&server, &[("X-Session-ID", "s")], &streamed("Count.", false));
    assert!(ended);
    assert_eq!(memories(&server), ["Count.", "one two three four"]);
}

#[test]
fn an_error_after_the_first_byte_is_an_event_and_nothing_is_remembered() {
    let fake = FakeProvider::start();
    let server = server(&fake, &[("RAE_GATEWAY_MEMORY", "on")]);
    for fault in [Fault::ErrorInside, Fault::Truncated] {
        fake.then(Behaviour::fails(fault));
        let (all, ended) = stream(&server, &[], &streamed("Count.", true));
        let error = &all.last().unwrap()["error"];
        assert!(!ended && error["type"] == "unavailable" && error["message"].is_string(), "{fault:?}: {all:?}");
        assert_ne!(error["request_id"], "");
    }
    // Before the first byte it is a status.
    fake.then(Behaviour::fails(Fault::ContextLength));
    assert_eq!(post(&server, CHAT, &[], &streamed("Count.", false)).status, 400);
    assert_eq!(memories(&server), Vec::<String>::new());
}

#[test]
fn a_client_that_leaves_in_the_middle_is_noticed_and_pays_for_what_was_produced() {
    let fake = FakeProvider::start();
    let server = server(&fake, &[("RAE_GATEWAY_MEMORY", "on")]);
    fake.usually(Behaviour::fails(Fault::StallInStream));
    let mut connection = server.connect();
    connection.write("POST", CHAT, &[T], streamed("Count.", false).to_string().as_bytes());
    let mut got = Vec::new();
    while !String::from_utf8_lossy(&got).contains("two") {
        let mut piece = [0; 1_024];
        let n = connection.stream.read(&mut piece).unwrap();
        assert!(n > 0, "{}", String::from_utf8_lossy(&got));
        got.extend_from_slice(&piece[..n]);
    }
    drop(connection);
    let row = until(|| {
        let items = server.get("/v1/costs/logs").json()["items"].as_array()?.clone();
        items.first().cloned()
    });
    assert_eq!((row["status"].as_str(), row["estimated"].as_bool()), (Some("dropped"), Some(true)), "{row}");
    assert!(row["output_tokens"].as_u64().unwrap() >= 2 && row["cost_usd"].as_f64().unwrap() > 0.0, "{row}");
    assert_eq!(memories(&server), Vec::<String>::new());
}

#[test]
fn a_stream_comes_from_the_cache_as_a_stream() {
    let fake = FakeProvider::start();
    let server = server(&fake, &[("RAE_RESPONSE_CACHE", "on")]);
    fake.usually(Behaviour::says("one two three four"));
    let first = post(&server, CHAT, &[], &streamed("Count.", true));
    let again = post(&server, CHAT, &[], &streamed("Count.", true));
    assert_eq!((first.header("x-cache"), again.header("x-cache")), (Some("miss"), Some("exact")));
    let (all, ended) = events(&again);
    assert!(ended && fake.seen().len() == 1);
    assert_eq!(text_of(&all), "one two three four");
    assert_eq!(all.last().unwrap()["usage"], events(&first).0.last().unwrap()["usage"]);
}

#[test]
fn a_stream_may_last_longer_than_other_requests() {
    let fake = FakeProvider::start();
    let server = server(&fake, &[("RAE_REQUEST_TIMEOUT", "0.3")]);
    fake.usually(Behaviour::fails(Fault::StallInStream));
    let mut connection = server.connect();
    connection.write("POST", CHAT, &[T], streamed("Count.", false).to_string().as_bytes());
    // Longer than the limit of other requests; the stream goes on until the provider lets go of it.
    std::thread::sleep(std::time::Duration::from_millis(700));
    assert_eq!(server.metric("rae_http_rejected_total{reason=\"requests\"}"), 0.0);
    fake.release();
    let answer = connection.read("POST");
    let (all, ended) = events(&answer);
    assert!(!ended && text_of(&all).starts_with("one two"), "{all:?}");
    assert_eq!(all.last().unwrap()["error"]["code"], "provider_unavailable", "{all:?}");
}
