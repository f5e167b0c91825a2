//! Whether an event says that something failed, and of what.

use super::event::Event;
use serde_json::{Map, Value};

/// What an event says of the call that it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    /// It worked.
    Worked,
    /// It failed, for this reason where one is given.
    Failed(Option<String>),
}

/// Words that an error begins with.
const STARTS: [&str; 11] = [
    "error",
    "exception",
    "traceback",
    "fatal",
    "failed",
    "failure",
    "timeout",
    "timed out",
    "panic",
    "panicked",
    "err",
];
/// Words that follow such a beginning where it tells of a failure: "failed to", "timeout after". Another one makes the beginning a
/// part of a name: "timeout set to 30", "error rates fell".
const GOES_ON: [&str; 21] = [
    "a", "after", "an", "at", "because", "by", "calling", "code", "during", "error", "for", "from", "in", "line", "of",
    "on", "the", "to", "when", "while", "with",
];
/// What ends in "ing" after such a beginning and is no activity that failed: "error handling improved".
const TOPICS: [&str; 5] = ["handling", "logging", "reporting", "setting", "tracking"];
/// Words that the phrases of HTTP for the statuses from 400 on begin with.
const PHRASES: [&str; 26] = [
    "bad",
    "client",
    "conflict",
    "error",
    "expectation",
    "failed",
    "forbidden",
    "gateway",
    "gone",
    "insufficient",
    "internal",
    "locked",
    "method",
    "network",
    "not",
    "payload",
    "payment",
    "precondition",
    "proxy",
    "range",
    "request",
    "response",
    "service",
    "too",
    "unauthorized",
    "unprocessable",
];
/// Texts that name no error.
const NOTHING: [&str; 10] = ["0", "none", "null", "nil", "no", "false", "n/a", "-", "ok", "[]"];
/// Values of a status that mean failure.
const BAD: [&str; 7] = ["error", "failed", "failure", "fail", "timeout", "timed_out", "exception"];
/// Values of a status that mean success.
const GOOD: [&str; 5] = ["ok", "success", "succeeded", "completed", "done"];

/// What the event says: in its metadata first, then in a JSON text, then by how its text begins. `None` where it says nothing.
pub(super) fn said(event: &Event) -> Option<Said> {
    let body = event.body();
    let structured = said_by(&event.metadata).or_else(|| body.as_ref().and_then(said_by));
    match structured {
        Some(Said::Failed(None)) => Some(Said::Failed(Some(event.text.clone()).filter(|_| body.is_none()))),
        Some(said) => Some(said),
        None => begins_badly(&event.text).then(|| Said::Failed(Some(event.text.clone()))),
    }
}

/// What fields say.
fn said_by(map: &Map<String, Value>) -> Option<Said> {
    let reason = reason(map);
    let flag = |key: &str| map.get(key).and_then(Value::as_bool);
    let number = |key: &str| map.get(key).and_then(Value::as_i64);
    let status = map.get("status").and_then(Value::as_str).map(str::to_lowercase);
    let is_in = |list: &[&str]| status.as_deref().is_some_and(|status| list.contains(&status));
    let http = ["status_code", "http_status", "status"].iter().find_map(|key| number(key));
    let exit = ["exit_code", "returncode", "exit_status"].iter().find_map(|key| number(key));
    let bad = flag("ok") == Some(false)
        || flag("success") == Some(false)
        || flag("is_error") == Some(true)
        || flag("failed") == Some(true)
        || flag("error") == Some(true)
        || is_in(&BAD)
        || http.is_some_and(|status| status >= 400)
        || exit.is_some_and(|code| code != 0);
    // A flag or a status in words is about the call; an error beside it, or an HTTP status, may be about what it carries.
    let is_said_good =
        flag("ok") == Some(true) || flag("success") == Some(true) || flag("is_error") == Some(false) || is_in(&GOOD);
    if bad || (reason.is_some() && !is_said_good) {
        let status = http.filter(|status| *status >= 400).map(|status| format!("HTTP {status}"));
        let exit = exit.filter(|code| *code != 0).map(|code| format!("exit code {code}"));
        return Some(Said::Failed(reason.or(status).or(exit)));
    }
    let good = is_said_good || http.is_some_and(|status| (200..400).contains(&status)) || exit == Some(0);
    good.then_some(Said::Worked)
}

/// The error that fields name.
fn reason(map: &Map<String, Value>) -> Option<String> {
    let says = |text: &&str| !text.is_empty() && !NOTHING.contains(&text.to_lowercase().as_str());
    let text = |value: &Value| value.as_str().map(str::trim).filter(says).map(str::to_owned);
    ["error", "error_message", "exception", "stderr_summary"].iter().find_map(|key| match map.get(*key) {
        Some(Value::Object(inner)) => {
            ["message", "error", "detail", "type", "code"].iter().find_map(|key| inner.get(*key).and_then(text))
        }
        Some(value) => text(value),
        None => None,
    })
}

pub(super) fn begins_badly(text: &str) -> bool {
    let first = text.trim_start().lines().next().unwrap_or_default();
    let lower: String = first.chars().take(200).collect::<String>().to_lowercase();
    let starts = STARTS.iter().any(|start| lower.strip_prefix(start).is_some_and(|rest| tells_of_failure(start, rest)))
        || is_http_failure(&lower);
    // `ValueError: bad`, `java.io.IOException: gone`.
    let head = first.split(':').next().unwrap_or_default();
    let is_type =
        first.contains(':') && !head.contains(' ') && (head.ends_with("Error") || head.ends_with("Exception"));
    let named = is_type && !is_nothing(&lower.chars().skip(head.chars().count()).collect::<String>());
    starts || named
}

/// Whether what follows a word such as "error" makes it the beginning of one.
fn tells_of_failure(start: &str, rest: &str) -> bool {
    let Some(next) = rest.chars().next() else { return true };
    if next.is_alphanumeric() || next == '_' {
        return false;
    }
    let rest = rest.trim_start();
    let word: String = rest.chars().take_while(|c| c.is_alphabetic()).collect();
    // `failed: 0`, `failed logins: none`.
    let counted = rest.rsplit([':', '=']).next().unwrap_or_default();
    let counted = counted.split([',', ';', '.']).next().unwrap_or_default().trim();
    if NOTHING.contains(&counted) || is_nothing(rest) {
        return false;
    }
    let is_doing = word.ends_with("ing") && !TOPICS.contains(&word.as_str());
    word.is_empty() || start == "failed" || is_doing || GOES_ON.contains(&word.as_str())
}

/// Whether the first that follows the punctuation says that there is nothing: `: 0, passed: 12`.
fn is_nothing(rest: &str) -> bool {
    let after = rest.trim_start_matches([':', '=', ' ', '\u{2013}', '\u{2014}']);
    NOTHING.contains(&after.split([',', ';', '.']).next().unwrap_or_default().trim())
}

/// `http 404`, `http 503: try later`, `http 404 not found`; not `http 404 page counter: 0`.
fn is_http_failure(lower: &str) -> bool {
    let Some(rest) = lower.strip_prefix("http ") else { return false };
    let (status, rest) = rest.split_at_checked(3).unwrap_or((rest, ""));
    if !status.starts_with(['4', '5']) || status.len() != 3 || !status.bytes().all(|b| b.is_ascii_digit()) {
        return false;
    }
    if rest.starts_with(|c: char| c.is_alphanumeric()) {
        return false;
    }
    let word: String = rest.trim_start().chars().take_while(|c| c.is_alphabetic()).collect();
    word.is_empty() || GOES_ON.contains(&word.as_str()) || PHRASES.contains(&word.as_str())
}
