//! Sessions and reflection over HTTP.

use crate::support::{Folder, Server};
use serde_json::{Value, json};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/concepts/reflection.md");

#[test]
fn every_request_of_the_reflection_page_works() {
    let page = std::fs::read_to_string(PAGE).unwrap();
    let blocks: Vec<&str> = page.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert_eq!(blocks.len(), 1);
    let server = Server::start();
    let script =
        format!("set -euo pipefail\ncurl() {{ command curl -sS --fail-with-body \"$@\"; echo; }}\n{}", blocks[0]);
    let folder = Folder::new();
    let mut run = std::process::Command::new("bash");
    run.args(["-c", &script]).current_dir(&folder.0).env("RAE", format!("http://{}", server.address));
    let output = run.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("Calls of `search_flights` failed with 'timeout after <n> s' 1 time in 1 session."),
        "{said}"
    );
}

#[test]
fn a_session_is_logged_ended_once_and_reflected_on_by_the_worker_of_all() {
    let server = Server::start();
    let logged = server.post("/v1/sessions/s/events", json!({ "type": "tool_call", "content": "fetch(1)" }));
    assert_eq!(logged.status, 201, "{logged:?}");
    let place = format!("/v1/memories/{}", logged.json()["id"].as_str().unwrap());
    assert_eq!(logged.header("location"), Some(place.as_str()));
    assert_eq!(server.get(&place).json()["metadata"], json!({ "event": "tool_call" }));
    server.post("/v1/sessions/s/events", json!({ "type": "tool_response", "content": "Error: gone" }));
    let end = server.post("/v1/sessions/s/end", json!({ "outcome": "failure" }));
    assert_eq!(
        (end.status, server.post("/v1/sessions/s/end", json!({ "outcome": "failure" })).json()),
        (200, end.json())
    );
    server.post("/v1/sessions/s/end", json!({ "outcome": "success" })).is_error(409, "conflict", "session_ended");
    let late = server.post("/v1/sessions/s/events", json!({ "type": "user_input", "content": "x" }));
    late.is_error(409, "conflict", "session_ended");
    // Whoever is first, the worker of `all` or this call: both together make a lesson and a summary.
    server.post("/v1/reflections", json!({ "session_id": "s" }));
    let page = server.get("/v1/reflections").json();
    let kinds: Vec<&Value> = page["items"].as_array().unwrap().iter().map(|item| &item["kind"]).collect();
    assert_eq!(kinds.len(), 2, "{page}");
    let lesson = page["items"].as_array().unwrap().iter().find(|item| item["kind"] == "lesson").unwrap();
    assert_eq!((&lesson["metadata"]["tool"], &lesson["metadata"]["count"]), (&json!("fetch"), &json!(1)));
}

#[test]
fn the_name_of_a_session_may_be_any_text_and_is_in_the_path_alone() {
    let server = Server::start();
    let path = "/v1/sessions/a%2Fb%20c%3F%C3%A9/events";
    assert_eq!(server.post(path, json!({ "type": "user_input", "content": "x" })).status, 201);
    let page = server.get(path).json();
    assert_eq!(page["items"][0]["session_id"], "a/b c?é");
    let twice = server.post(path, json!({ "type": "user_input", "content": "x", "session_id": "other" }));
    twice.is_error(422, "invalid_input", "unknown_field");
    server.post(path, json!({ "type": "shout", "content": "x" })).is_error(422, "invalid_input", "invalid_input");
    server.get(&format!("{path}?nonsense=1")).is_error(400, "invalid_input", "unknown_parameter");
}
