//! Addresses, keys, names, and what is said of writes. What else goes wrong on a network is tested from Python and Node.

use super::*;
use crate::{ErrorKind, RecallOptions, block_on};

#[test]
fn a_path_in_the_address_stays_and_ends_with_a_slash() {
    for (given, url) in [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000/"),
        (" https://memory.example/rae ", "https://memory.example/rae/"),
        ("https://memory.example/rae/", "https://memory.example/rae/"),
        ("http://[::1]:8000", "http://[::1]:8000/"),
    ] {
        assert_eq!(Remote::connect(given).open().unwrap().url(), url);
    }
}

#[test]
fn nothing_that_prints_holds_the_key() {
    let connect = Remote::connect("http://127.0.0.1:1").api_key("geheim");
    assert!(!format!("{connect:?}").contains("geheim"));
    let remote = connect.open().unwrap();
    assert!(!format!("{remote:?}").contains("geheim"));
    let error = block_on(remote.recall("x", RecallOptions::default())).unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Unavailable, "unreachable"));
    assert!(!format!("{error:?}").contains("geheim"));
}

#[test]
fn without_a_key_the_tenant_is_the_default_one_and_with_one_the_key_decides() {
    let open = Remote::connect("http://127.0.0.1:1").open().unwrap();
    assert_eq!((open.tenant(), open.project()), (Some("default"), Some("default")));
    let keyed = Remote::connect("http://127.0.0.1:1").api_key("k").open().unwrap();
    assert_eq!((keyed.tenant(), keyed.project()), (None, None));
    let scoped = keyed.with_scope(Some("t".to_owned()), None).unwrap();
    assert_eq!((scoped.tenant(), scoped.project()), (Some("t"), None));
}

#[test]
fn a_key_is_in_the_clear_on_the_way_to_another_machine_without_encryption() {
    for (url, clear) in [
        ("http://memory.example", true),
        ("http://10.0.0.1:8000", true),
        ("https://memory.example", false),
        ("http://localhost:8000", false),
        ("http://127.9.9.9", false),
        ("http://[::1]:8000", false),
    ] {
        assert_eq!(Remote::connect(url).api_key("k").open().unwrap().is_key_in_clear(), clear, "{url}");
        assert!(!Remote::connect(url).open().unwrap().is_key_in_clear());
    }
}

#[test]
fn the_connections_go_with_the_last_handle() {
    let remote = Remote::connect("http://127.0.0.1:1").open().unwrap();
    let (runtime, clone) = (Arc::downgrade(&remote.transport), remote.clone());
    drop(remote);
    assert!(runtime.upgrade().is_some());
    drop(clone);
    assert!(runtime.upgrade().is_none());
}

/// A server that gives each connection the next answer; an empty one is a connection that breaks.
fn serve(answers: Vec<&'static str>) -> String {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let (mut got, mut piece) = (Vec::new(), [0; 4096]);
            // Every request here ends with the brace of its body.
            while !got.ends_with(b"}") {
                let n = stream.read(&mut piece).unwrap();
                assert!(n > 0);
                got.extend_from_slice(&piece[..n]);
            }
            let length = answer.rsplit("\r\n").next().unwrap().len();
            stream.write_all(answer.replace("LENGTH", &length.to_string()).as_bytes()).unwrap();
        }
    });
    url
}

const FULL: &str = "HTTP/1.1 503 x\r\nConnection: close\r\nContent-Length: LENGTH\r\n\r\n\
    {\"error\":{\"kind\":\"unavailable\",\"code\":\"overloaded\",\"message\":\"full\"}}";
const LATE: &str = "HTTP/1.1 504 x\r\nConnection: close\r\nContent-Length: LENGTH\r\n\r\n\
    {\"error\":{\"kind\":\"timeout\",\"code\":\"timeout\",\"message\":\"late\"}}";
const FOREIGN: &str = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: LENGTH\r\n\r\n<html>";
const NONE: &str = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: LENGTH\r\n\r\n{\"receipts\":[]}";

#[test]
fn a_write_that_may_have_been_done_says_so_and_names_its_key() {
    for (answers, code) in [
        (vec!["", FULL, FULL], "overloaded"),
        (vec!["", "", ""], "connection_lost"),
        (vec![LATE], "timeout"),
        (vec![FOREIGN], "not_a_rae_server"),
    ] {
        let remote = Remote::connect(serve(answers)).open().unwrap();
        let error = block_on(remote.remember(crate::NewMemory::new("x"))).unwrap_err();
        assert_eq!(error.code(), code, "{error:?}");
        assert!(error.message().contains("may have been done"), "{error:?}");
        assert!(error.details().unwrap()["idempotency_key"].is_string());
    }
    let remote = Remote::connect(serve(vec![FULL, FULL, FULL])).open().unwrap();
    let error = block_on(remote.remember(crate::NewMemory::new("x"))).unwrap_err();
    assert!(!error.message().contains("may have been done") && error.details().is_none(), "{error:?}");
}

#[test]
fn an_answer_with_too_few_receipts_is_an_error() {
    let remote = Remote::connect(serve(vec![NONE])).open().unwrap();
    let error = block_on(remote.remember_many(vec![crate::NewMemory::new("x")])).unwrap_err();
    assert_eq!(error.code(), "not_a_rae_server");
    assert!(error.message().contains("may have been done"), "{error:?}");
}
