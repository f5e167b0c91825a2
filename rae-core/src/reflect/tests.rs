//! The rules of the pure part, one by one.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // a test reports by panicking

use super::{error_text::normalised, telling::begins_badly};

#[test]
fn errors_that_differ_in_what_names_one_case_are_the_same() {
    let groups: &[(&str, &[&str])] = &[
        (
            "timeout after <n> s",
            &["Error: fatal: Timeout after 3 s", "Timeout after 30 s", "timeout after 5s.", "TIMEOUT   after 7.5 s!"],
        ),
        ("no such file: <path>", &["No such file: /tmp/a.txt", "no such file: C:\\data\\b.csv", "No such file: ./x/y"]),
        ("user <id> not found", &["User u42 not found", "user 8f3a2b1c not found", "User abc123 not found"]),
        ("order-<n> is unknown", &["order-1234 is unknown", "Order-7 is unknown."]),
        (
            "get <url> gave http 503",
            &["GET https://a.example/x?y=1 gave HTTP 503", "GET http://b.example gave HTTP 503"],
        ),
        ("column <text> does not exist", &["column 'a b' does not exist", "Column \"user's\" does not exist"]),
        ("expired at <time>", &["expired at 2026-01-01T10:00:00Z", "Expired at 2025-12-31"]),
        ("connect to <n>", &["connect to 10.0.0.1:5432", "connect to 192.168.1.20:80"]),
        ("mail to <email> bounced", &["Mail to a@b.example bounced", "mail to ada.l@c.example bounced"]),
        ("id=<n> is taken", &["id=17 is taken", "id=4 is taken"]),
        ("valueerror: bad value", &["Traceback (most recent call last):\n  File \"x\"\nValueError: bad value"]),
        ("start must be iso 8601", &["start must be ISO 8601", "Start must be ISO 8601."]),
        ("invalid date <time>", &["invalid date 2026-06-31", "Invalid date 31/05/2026", "invalid date June 31"]),
        ("error[e0308]: mismatched types", &["error[E0308]: mismatched types"]),
        ("429 too many requests", &["429 Too Many Requests"]),
        ("http 503 service unavailable", &["HTTP/1.1 503 Service Unavailable", "HTTP 503 Service Unavailable"]),
        ("request failed with status code 429", &["Request failed with status code 429"]),
        ("3-d secure needed", &["3-D Secure needed"]),
        ("exit code 137", &["exit code 137"]),
        ("run <id> failed", &["run 123e4567-e89b-12d3-a456-426614174000 failed", "Run 0x7ffe12 failed"]),
    ];
    for (general, errors) in groups {
        for error in *errors {
            assert_eq!(normalised(error), *general, "{error}");
        }
    }
}

#[test]
fn errors_that_say_different_things_stay_apart_and_any_text_has_a_form() {
    assert_ne!(normalised("HTTP 404"), normalised("HTTP 503"));
    assert_ne!(normalised("exit code 1"), normalised("exit code 127"));
    assert_ne!(normalised("seat taken"), normalised("seat unknown"));
    assert_eq!(normalised("oauth2 token expired"), "oauth2 token expired");
    for odd in ["", " ", "...", "'", "\u{1}\u{1}", "😀 ошибка 42", "\"unclosed", "a'b'c", "<<>>", "###"] {
        let once = normalised(odd);
        assert!(once.len() <= 1_000, "{odd:?}");
    }
    assert!(normalised(&"x1 ".repeat(10_000)).chars().count() <= crate::limits::REFLECT_ERROR_CHARS_MAX);
}

#[test]
fn a_text_tells_of_a_failure_by_how_it_goes_on() {
    for failed in [
        "Error: no such city",
        "error",
        "ERROR 17: bad",
        "Error loading module x",
        "Error in line 3",
        "Exception in thread main",
        "Traceback (most recent call last):",
        "fatal: not a git repository",
        "Fatal error: out of memory",
        "Failed to connect",
        "Failed with exit code 1",
        "Failed assertion: left == right",
        "Failed: 3, passed: 9",
        "failed.",
        "Timeout after 30 s",
        "Timed out waiting for the lock",
        "panicked at src/main.rs:3",
        "err: 5",
        "HTTP 404",
        "HTTP 503: try later",
        "HTTP 404 Not Found",
        "HTTP 500 Internal Server Error",
        "HTTP 502 from the upstream",
        "ValueError: bad value",
        "java.io.IOException: gone",
    ] {
        assert!(begins_badly(failed), "{failed}");
    }
    for worked in [
        "Failed: 0, passed: 12",
        "Errors: 0",
        "Failed logins: 0",
        "Error: none",
        "Timeout set to 30 seconds, 3 flights found",
        "Error rates fell by 5 percent this week",
        "Error handling improved",
        "Exception list: none",
        "HTTP 404 page counter: 0",
        "HTTP 4000 requests served",
        "HTTP 200 OK",
        "errors_total 3",
        "Failures are rare",
        "",
        "Erreur",
    ] {
        assert!(!begins_badly(worked), "{worked}");
    }
}
