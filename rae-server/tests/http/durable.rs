//! What was acknowledged stays, however the server ends; and it ends without cutting a request.

use crate::support::{Server, until};
use serde_json::json;
use std::{
    collections::HashSet,
    io::Write,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

#[test]
fn a_restart_serves_the_same() {
    let mut server = Server::start();
    let id = server.remember("The ferry leaves at ten.");
    assert!(server.stop().success());
    let server = Server::in_folder(Arc::clone(&server.folder), &[]);
    assert_eq!(server.get(&format!("/v1/memories/{id}")).json()["content"], "The ferry leaves at ten.");
    let hits = server.post("/v1/memories/recall", json!({ "query": "When does the ferry leave?" })).json();
    assert_eq!(hits["hits"][0]["id"], id.as_str());
}

#[test]
fn killed_under_load_nothing_acknowledged_is_lost() {
    for round in 0..3 {
        let server = Server::start();
        let acknowledged = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for writer in 0..8 {
                let (server, acknowledged) = (&server, &acknowledged);
                scope.spawn(move || {
                    let mut connection = server.connect();
                    for i in 0.. {
                        let body = json!({ "content": format!("Writer {writer} wrote line {i}.") }).to_string();
                        connection.write("POST", "/v1/memories", &[("X-Tenant-ID", "t")], body.as_bytes());
                        let Ok(answer) = connection.try_read("POST") else { return };
                        assert_eq!(answer.status, 201);
                        acknowledged.lock().unwrap().push(answer.json()["id"].as_str().unwrap().to_owned());
                    }
                });
            }
            std::thread::sleep(Duration::from_millis(300 + 200 * round));
            server.signal("-KILL");
        });
        let acknowledged = acknowledged.into_inner().unwrap();
        assert!(acknowledged.len() > 20, "{}", acknowledged.len());
        let folder = Arc::clone(&server.folder);
        drop(server);
        let server = Server::in_folder(folder, &[]);
        let (mut stored, mut cursor) = (HashSet::new(), String::new());
        loop {
            let page = server.get(&format!("/v1/memories?limit=1000{cursor}")).json();
            stored.extend(page["items"].as_array().unwrap().iter().map(|m| m["id"].as_str().unwrap().to_owned()));
            let Some(next) = page["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        let lost: Vec<_> = acknowledged.iter().filter(|id| !stored.contains(*id)).collect();
        assert!(lost.is_empty(), "{} of {} lost", lost.len(), acknowledged.len());
        println!("killed after {} acknowledged writes; {} stored", acknowledged.len(), stored.len());
    }
}

#[test]
fn a_request_in_flight_is_answered_while_the_server_stops() {
    let mut server = Server::with(&[("RAE_DRAIN_DELAY", "0.5")]);
    let body = br#"{"content": "Finished while stopping."}"#;
    let head = format!(
        "POST /v1/memories HTTP/1.1\r\nHost: localhost\r\nX-Tenant-ID: t\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let mut late = server.connect();
    late.stream.write_all(head.as_bytes()).unwrap();
    late.stream.write_all(&body[..10]).unwrap();
    let mut idle = server.connect();
    idle.write("GET", "/health/live", &[], b"");
    idle.read("GET");
    server.signal("-TERM");
    // First readiness goes, while new connections are still taken.
    until(|| (server.get("/health/ready").status == 503).then_some(()));
    assert_eq!(server.get("/health/ready").json(), json!({ "status": "draining" }));
    let during = server.get("/v1/stats");
    assert_eq!((during.status, during.header("connection")), (200, Some("close")));
    // Then the door closes, and who waits idly is let go.
    until(|| std::net::TcpStream::connect(server.address).is_err().then_some(()));
    assert!(idle.is_closed_within(Duration::from_secs(10)));
    late.stream.write_all(&body[10..]).unwrap();
    let answer = late.read("POST");
    assert_eq!(answer.status, 201, "{answer:?}");
    assert!(server.wait().success());
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    let server = Server::in_folder(Arc::clone(&server.folder), &[]);
    assert_eq!(server.get(&format!("/v1/memories/{id}")).status, 200);
}

#[test]
fn many_requests_in_flight_are_all_answered_or_never_taken() {
    let mut server = Server::with(&[("RAE_DRAIN_DELAY", "0.2")]);
    let address = server.address;
    let (mut acknowledged, mut cut) = (0, 0);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..8)
            .map(|writer| {
                scope.spawn(move || {
                    let (mut done, mut cut) = (0, 0);
                    for i in 0.. {
                        // A connection each, so that none is idle when the door closes.
                        let Ok(stream) = std::net::TcpStream::connect(address) else { break };
                        let mut connection = crate::support::Connection::over(stream);
                        let body = json!({ "content": format!("{writer} {i}") }).to_string();
                        connection.write("POST", "/v1/memories", &[("X-Tenant-ID", "t")], body.as_bytes());
                        match connection.try_read("POST") {
                            Ok(answer) if answer.status == 201 => done += 1,
                            _ => {
                                cut += 1;
                                break;
                            }
                        }
                    }
                    (done, cut)
                })
            })
            .collect();
        std::thread::sleep(Duration::from_millis(300));
        server.signal("-TERM");
        for writer in writers {
            let (done, lost) = writer.join().unwrap();
            acknowledged += done;
            cut += lost;
        }
    });
    assert!(server.wait().success());
    // A connection that the system takes in the instant between the last look and the closing of the port is lost.
    println!("{acknowledged} answered; {cut} connections lost as the port closed");
    assert!(acknowledged > 20);
}

#[test]
fn a_request_that_never_ends_does_not_keep_the_server() {
    let mut server = Server::with(&[("RAE_DRAIN_TIMEOUT", "0.5")]);
    let mut stuck = server.connect();
    stuck
        .stream
        .write_all(b"POST /v1/memories HTTP/1.1\r\nHost: localhost\r\nX-Tenant-ID: t\r\nContent-Length: 9\r\n\r\n")
        .unwrap();
    std::thread::sleep(Duration::from_millis(100));
    let start = Instant::now();
    assert!(server.stop().success());
    assert!(start.elapsed() < Duration::from_secs(10));
    assert!(server.log().contains("did not end in time"));
}

#[test]
fn connections_that_never_asked_do_not_keep_the_server() {
    let mut server = Server::start();
    let _fresh: Vec<_> = (0..50).map(|_| server.connect()).collect();
    until(|| (server.metric("rae_http_connections") >= 50.0).then_some(()));
    let start = Instant::now();
    assert!(server.stop().success());
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    assert!(!server.log().contains("did not end in time"));
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let mut server = Server::with(&[("RAE_DRAIN_DELAY", "600"), ("RAE_DRAIN_TIMEOUT", "600")]);
    let mut stuck = server.connect();
    stuck
        .stream
        .write_all(b"POST /v1/memories HTTP/1.1\r\nHost: localhost\r\nX-Tenant-ID: t\r\nContent-Length: 9\r\n\r\n")
        .unwrap();
    server.signal("-INT");
    until(|| (server.get("/health/ready").status == 503).then_some(()));
    // The second ends the delay, the third the drain.
    server.signal("-INT");
    until(|| std::net::TcpStream::connect(server.address).is_err().then_some(()));
    server.signal("-INT");
    server.wait();
}

#[test]
fn many_writers_and_readers_at_once_see_their_own_writes() {
    let server = Server::start();
    std::thread::scope(|scope| {
        for writer in 0..16 {
            let server = &server;
            scope.spawn(move || {
                let tenant = format!("tenant-{}", writer % 4);
                for i in 0..25 {
                    let content = format!("Writer {writer} keeps the number {i}.");
                    let stored =
                        server.call_as(&tenant, "POST", "/v1/memories", &json!({ "content": content }).to_string());
                    let id = stored.json()["id"].as_str().unwrap().to_owned();
                    let found = server.call_as(
                        &tenant,
                        "POST",
                        "/v1/memories/recall",
                        &json!({ "query": content, "k": 3 }).to_string(),
                    );
                    let hits = found.json()["hits"].as_array().unwrap().clone();
                    assert!(hits.iter().any(|h| h["id"] == id.as_str()), "{content}");
                }
            });
        }
    });
    for tenant in 0..4 {
        assert_eq!(server.call_as(&format!("tenant-{tenant}"), "GET", "/v1/stats", "").json()["memories"], 100);
    }
}
