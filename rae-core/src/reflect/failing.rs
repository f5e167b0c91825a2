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
const STARTS: [&str; 12] = [
    "error",
    "exception",
    "traceback",
    "fatal",
    "failed",
    "failure",
    "timeout",
    "timed out",
    "panic",
    "err:",
    "http 4",
    "http 5",
];
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
    if bad || reason.is_some() {
        let status = http.filter(|status| *status >= 400).map(|status| format!("HTTP {status}"));
        let exit = exit.filter(|code| *code != 0).map(|code| format!("exit code {code}"));
        return Some(Said::Failed(reason.or(status).or(exit)));
    }
    let good = flag("ok") == Some(true)
        || flag("success") == Some(true)
        || flag("is_error") == Some(false)
        || is_in(&GOOD)
        || http.is_some_and(|status| (200..400).contains(&status))
        || exit == Some(0);
    good.then_some(Said::Worked)
}

/// The error that fields name.
fn reason(map: &Map<String, Value>) -> Option<String> {
    let text = |value: &Value| value.as_str().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
    ["error", "error_message", "exception", "stderr_summary"].iter().find_map(|key| match map.get(*key) {
        Some(Value::Object(inner)) => {
            ["message", "error", "detail", "type", "code"].iter().find_map(|key| inner.get(*key).and_then(text))
        }
        Some(value) => text(value),
        None => None,
    })
}

fn begins_badly(text: &str) -> bool {
    let first = text.trim_start().lines().next().unwrap_or_default();
    let lower: String = first.chars().take(200).collect::<String>().to_lowercase();
    let starts = STARTS.iter().any(|start| {
        lower
            .strip_prefix(start)
            .is_some_and(|rest| start.ends_with(['4', '5', ':']) || !rest.starts_with(char::is_alphabetic))
    });
    // `ValueError: bad`, `java.io.IOException: gone`.
    let head = first.split(':').next().unwrap_or_default();
    let named = first.contains(':') && !head.contains(' ') && (head.ends_with("Error") || head.ends_with("Exception"));
    starts || named
}
