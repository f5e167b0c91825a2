//! Too much, too many, too slow: refused clearly, and nobody else notices.

use crate::support::{Connection, Server};
use serde_json::json;
use std::{
    io::{Read, Write},
    time::{Duration, Instant},
};

#[test]
fn a_body_past_the_limit_is_413_announced_or_not() {
    let server =
        Server::with(&[("RAE_MAX_BODY_BYTES", "5000"), ("RAE_MAX_IMPORT_BYTES", "6000"), ("RAE_MAX_BATCH_ITEMS", "3")]);
    let big = json!({ "content": "x".repeat(6_000) }).to_string();
    let announced = server.call("POST", "/v1/memories", &big);
    announced.is_error(413, "invalid_input", "body_too_large");
    assert_eq!(announced.json()["error"]["details"]["limit"], 5_000);
    // In chunks, without saying how long it will be.
    let chunked = |path: &str, bytes: usize| {
        let mut connection = server.connect();
        let head =
            format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nX-Tenant-ID: t\r\nTransfer-Encoding: chunked\r\n\r\n");
        connection.stream.write_all(head.as_bytes()).unwrap();
        for _ in 0..bytes / 1_000 {
            let _ = connection.stream.write_all(format!("3e8\r\n{}\r\n", "x".repeat(1_000)).as_bytes());
        }
        let _ = connection.stream.write_all(b"0\r\n\r\n");
        connection.read("POST")
    };
    chunked("/v1/memories", 8_000).is_error(413, "invalid_input", "body_too_large");
    chunked("/v1/import", 8_000).is_error(413, "invalid_input", "body_too_large");
    chunked("/v1/memories", 2_000).is_error(400, "invalid_input", "malformed_json");
    assert_eq!(std::fs::read_dir(server.folder.0.join("rae-data/tmp")).unwrap().count(), 0);
    let items = json!({ "items": [{ "content": "a" }, { "content": "b" }, { "content": "c" }, { "content": "d" }] });
    server.post("/v1/memories/batch", items).is_error(422, "invalid_input", "batch_too_large");
}

#[test]
fn a_client_that_sends_everything_first_still_sees_why_it_was_refused() {
    let server = Server::with(&[("RAE_MAX_BODY_BYTES", "1000000")]);
    let body = vec![b'x'; 30_000_000];
    let mut connection = server.connect();
    let head = format!(
        "POST /v1/memories HTTP/1.1\r\nHost: localhost\r\nX-Tenant-ID: t\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    connection.stream.write_all(head.as_bytes()).unwrap();
    connection.stream.write_all(&body).expect("the server reads on");
    connection.read("POST").is_error(413, "invalid_input", "body_too_large");
    // The same for what is refused before the body is looked at; and the connection goes on.
    let mut connection = server.connect();
    connection.stream.write_all(head.replace("X-Tenant-ID: t\r\n", "").as_bytes()).unwrap();
    connection.stream.write_all(&body).expect("the server reads on");
    connection.read("POST").is_error(400, "invalid_input", "missing_tenant");
    connection.write("GET", "/health/live", &[], b"");
    assert_eq!(connection.read("GET").status, 200);
}

#[test]
fn a_body_of_very_many_values_is_refused_before_it_is_built() {
    let server = Server::start();
    let body = format!("{{\"metadata\": [{}0]}}", "0,".repeat(200_000));
    server.call("POST", "/v1/memories", &body).is_error(400, "invalid_input", "json_too_many_values");
}

#[test]
fn a_full_server_says_503_and_when_to_come_back() {
    // Bodies wait for memory: one that is being sent holds it.
    let server = Server::with(&[("RAE_MAX_REQUEST_MEMORY_BYTES", "1048576")]);
    let mut slow = server.connect();
    let head = "POST /v1/memories HTTP/1.1\r\nHost: localhost\r\nX-Tenant-ID: t\r\nContent-Length: 1040000\r\n\r\n";
    slow.stream.write_all(head.as_bytes()).unwrap();
    slow.stream.write_all(&vec![b' '; 1_000_000]).unwrap();
    crate::support::until(|| (server.metric("rae_http_body_bytes") >= 1_000_000.0).then_some(()));
    let full = server.post("/v1/memories", json!({ "content": "x".repeat(60_000) }));
    full.is_error(503, "unavailable", "overloaded");
    assert_eq!(full.header("retry-after"), Some("1"));
    assert_eq!(server.get("/health/ready").status, 200);
    assert!(server.metric("rae_http_rejected_total{reason=\"memory\"}") >= 1.0);
    let mut rest = vec![b' '; 39_984];
    rest.extend_from_slice(br#"{"content": "x"}"#);
    slow.stream.write_all(&rest).unwrap();
    assert_eq!(slow.read("POST").status, 201, "who was first is served");
    assert_eq!(server.post("/v1/memories", json!({ "content": "y".repeat(60_000) })).status, 201);
}

#[test]
fn calls_past_the_limit_are_turned_away_and_the_rest_succeed() {
    let server = Server::with(&[("RAE_MAX_CONCURRENT_REQUESTS", "1")]);
    let items: Vec<_> = (0..3_000).map(|i| json!({ "content": format!("Number {i} of many.") })).collect();
    let batch = json!({ "items": items });
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let calls: Vec<_> =
            (0..4).map(|_| scope.spawn(|| server.post("/v1/memories/batch", batch.clone()).status)).collect();
        calls.into_iter().map(|c| c.join().unwrap()).collect()
    });
    assert!(statuses.iter().all(|s| [200, 503].contains(s)) && statuses.contains(&200), "{statuses:?}");
    assert_eq!(server.get("/v1/stats").json()["memories"], 3_000);
}

#[test]
fn a_request_that_takes_too_long_is_504_and_a_slow_body_408() {
    let server = Server::with(&[("RAE_REQUEST_TIMEOUT", "0.001")]);
    let items: Vec<_> = (0..20_000).map(|i| json!({ "content": format!("Number {i} of very many.") })).collect();
    let answer = server.post("/v1/memories/batch", json!({ "items": items }));
    assert!([408, 504].contains(&answer.status), "{}", answer.status);
    assert_eq!(answer.json()["error"]["kind"], "timeout");
    let server = Server::with(&[("RAE_REQUEST_TIMEOUT", "0.3")]);
    let mut slow = server.connect();
    slow.stream
        .write_all(b"POST /v1/memories HTTP/1.1\r\nHost: localhost\r\nX-Tenant-ID: t\r\nContent-Length: 100\r\n\r\n{")
        .unwrap();
    slow.read("POST").is_error(408, "timeout", "slow_body");
}

#[test]
fn who_sends_headers_byte_by_byte_is_cut_off_and_others_do_not_notice() {
    let server = Server::with(&[("RAE_HEADER_TIMEOUT", "0.5"), ("RAE_IDLE_TIMEOUT", "30")]);
    let mut slow: Vec<Connection> = (0..100).map(|_| server.connect()).collect();
    for connection in &mut slow {
        connection.stream.write_all(b"GET /health/live HTTP/1.1\r\nHost: loc").unwrap();
    }
    let start = Instant::now();
    let mut ended = false;
    while start.elapsed() < Duration::from_secs(10) && !ended {
        assert_eq!(server.get("/health/live").status, 200);
        ended = slow.iter_mut().all(|c| c.stream.write_all(b"a").is_err());
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(slow.iter_mut().all(|c| c.is_closed_within(Duration::from_secs(5))), "still open");
    // One that is between two requests is not slow.
    let mut kept = server.connect();
    for _ in 0..2 {
        kept.write("GET", "/health/live", &[], b"");
        assert_eq!(kept.read("GET").status, 200);
        std::thread::sleep(Duration::from_millis(900));
    }
}

#[test]
fn a_connection_without_a_request_is_closed_in_the_end() {
    let server = Server::with(&[("RAE_IDLE_TIMEOUT", "0.5")]);
    assert!(server.connect().is_closed_within(Duration::from_secs(10)), "never used");
    let mut used = server.connect();
    used.write("GET", "/health/live", &[], b"");
    assert_eq!(used.read("GET").status, 200);
    assert!(used.is_closed_within(Duration::from_secs(10)), "used and left");
    crate::support::until(|| (server.metric("rae_http_connections") <= 1.0).then_some(()));
}

#[test]
fn ten_thousand_idle_connections_hurt_nobody() {
    let server = Server::start();
    server.remember("Still here.");
    let wanted = 10_000.min(open_files() / 2 - 200);
    assert!(wanted >= 400, "too few open files to say anything");
    let idle: Vec<_> = (0..wanted).map(|_| std::net::TcpStream::connect(server.address).unwrap()).collect();
    crate::support::until(|| (server.metric("rae_http_connections") >= wanted as f64).then_some(()));
    let start = Instant::now();
    for _ in 0..50 {
        assert_eq!(server.post("/v1/memories/recall", json!({ "query": "Who is here?" })).status, 200);
    }
    println!("{wanted} idle connections; 50 recalls on new ones in {:?}", start.elapsed());
    drop(idle);
    crate::support::until(|| (server.metric("rae_http_connections") < 50.0).then_some(()));
}

fn open_files() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find(|l| l.starts_with("Max open files")).unwrap();
    line.split_whitespace().nth(3).unwrap().parse().unwrap()
}

#[test]
fn past_the_most_connections_the_next_ones_wait_and_are_served_later() {
    let server = Server::with(&[("RAE_MAX_CONNECTIONS", "20")]);
    let idle: Vec<_> = (0..20).map(|_| std::net::TcpStream::connect(server.address).unwrap()).collect();
    std::thread::sleep(Duration::from_millis(300));
    let mut next = server.connect();
    next.write("GET", "/health/live", &[], b"");
    next.stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert!(next.try_read("GET").is_err(), "it waits");
    drop(idle);
    next.stream.set_read_timeout(Some(crate::support::PATIENCE)).unwrap();
    assert_eq!(next.read("GET").status, 200);
}

#[test]
fn a_client_that_closed_its_side_still_gets_its_answer() {
    let server = Server::start();
    let mut half = server.connect();
    half.write("POST", "/v1/memories", &[("X-Tenant-ID", "t")], br#"{"content": "Half open."}"#);
    half.stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(half.read("POST").status, 201);
}

#[test]
fn clients_that_vanish_in_the_middle_leave_nothing_behind() {
    let server = Server::start();
    for _ in 0..50 {
        let mut gone = server.connect();
        gone.stream.write_all(b"POST /v1/memories HTTP/1.1\r\nHost: localhost\r\nX-Tenant-ID: t\r\nContent-Length: 1000\r\n\r\n{\"content\": \"half").unwrap();
        let mut gone = server.connect();
        gone.write("GET", "/v1/export", &[("X-Tenant-ID", "t")], b"");
    }
    crate::support::until(|| (server.metric("rae_http_connections") <= 1.0).then_some(()));
    assert_eq!(server.metric("rae_http_requests_in_flight"), 1.0);
    assert_eq!(server.get("/v1/stats").json()["memories"], 0);
    crate::support::until(|| {
        (std::fs::read_dir(server.folder.0.join("rae-data/tmp")).unwrap().count() == 0).then_some(())
    });
}

#[test]
fn one_tenant_has_at_most_half_of_the_places_for_exports_and_imports() {
    let server = Server::start();
    let export = |tenant: &str| {
        let mut connection = server.connect();
        connection.write("GET", "/v1/export", &[("X-Tenant-ID", tenant)], b"");
        connection.read("GET")
    };
    let begun = |tenant: &str| {
        let mut import = server.connect();
        let head = format!(
            "POST /v1/import HTTP/1.1\r\nHost: localhost\r\nX-Tenant-ID: {tenant}\r\n\
             Content-Type: application/x-ndjson\r\nContent-Length: 1000\r\n\r\n{{"
        );
        import.stream.write_all(head.as_bytes()).unwrap();
        import
    };
    // Their bodies do not come: they hold their places.
    let held = [begun("a"), begun("a")];
    let files = || std::fs::read_dir(server.folder.0.join("rae-data/tmp")).unwrap().count();
    crate::support::until(|| (files() == 2).then_some(()));
    export("a").is_error(503, "unavailable", "overloaded");
    assert_eq!(server.metric("rae_http_rejected_total{reason=\"bulk_tenant\"}"), 1.0);
    assert_eq!(export("b").status, 200);
    drop(held);
    crate::support::until(|| (export("a").status == 200).then_some(()));
}

#[test]
fn what_is_not_http_ends_the_connection_and_nothing_else() {
    let server = Server::start();
    let many_headers = format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(500));
    let long_header = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "y".repeat(200_000));
    let garbage: Vec<Vec<u8>> = vec![
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".repeat(20),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        b"GET / HTTP/9.9\r\n\r\n".to_vec(),
        b"GET /\r\n\r\n".to_vec(),
        b"POST /v1/memories HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"
            .to_vec(),
        b"POST /v1/memories HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n".to_vec(),
        many_headers.into_bytes(),
        long_header.into_bytes(),
    ];
    for bytes in garbage {
        let mut stream = std::net::TcpStream::connect(server.address).unwrap();
        stream.set_read_timeout(Some(crate::support::PATIENCE)).unwrap();
        let _ = stream.write_all(&bytes);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let head = String::from_utf8_lossy(&answer[..answer.len().min(12)]).into_owned();
        assert!(head.is_empty() || head.starts_with("HTTP/1.1 4") || head.starts_with("HTTP/1.1 505"), "{head}");
    }
    assert_eq!(server.get("/health/ready").status, 200);
}
