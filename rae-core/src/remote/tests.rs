//! Addresses, keys and names. What goes wrong on a network is tested from Python and Node, over real sockets.

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
