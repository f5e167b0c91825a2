//! Whether an event says that something failed, and of what.

use super::{
    event::Event,
    origin::Origin,
    telling::{self, names_nothing, says_failed, telling_line},
};
use serde_json::{Map, Value};

/// What an event says of the call that it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    /// It worked.
    Worked,
    /// It failed, for this reason where one is given: one line, as it was said.
    Failed(Option<String>),
}

/// Values of a status that mean failure.
const BAD: [&str; 7] = ["error", "failed", "failure", "fail", "timeout", "timed_out", "exception"];
/// Values of a status that mean success.
const GOOD: [&str; 5] = ["ok", "success", "succeeded", "completed", "done"];
/// Fields that name the error, and only an error.
const ERRORS: [&str; 5] = ["error", "error_message", "errorMessage", "exception", "stderr_summary"];
/// Fields that say what went wrong where something did.
const MESSAGES: [&str; 9] =
    ["message", "msg", "detail", "details", "reason", "description", "stderr", "content", "errors"];
/// What an answer may have beside a status in words that is about the call. With other fields it is data of its own, and the status may
/// be that of an order.
const ENVELOPE: [&str; 24] = [
    "call_id",
    "code",
    "content",
    "data",
    "description",
    "detail",
    "details",
    "error",
    "error_code",
    "errors",
    "exit_code",
    "message",
    "msg",
    "name",
    "reason",
    "request_id",
    "result",
    "status",
    "stderr",
    "stdout",
    "timestamp",
    "tool",
    "tool_name",
    "type",
];
/// What may be beside an error, or a status in numbers, that is of the call.
const BESIDE: [&str; 36] = [
    "body",
    "documentation_url",
    "duration",
    "duration_ms",
    "elapsed",
    "errorMessage",
    "error_description",
    "error_message",
    "error_type",
    "error_uri",
    "exception",
    "exitCode",
    "exit_status",
    "failed",
    "headers",
    "help",
    "hint",
    "http_status",
    "instance",
    "isError",
    "is_error",
    "jsonrpc",
    "method",
    "ok",
    "output",
    "param",
    "path",
    "retry_after",
    "returncode",
    "stack",
    "statusCode",
    "status_code",
    "success",
    "suggestion",
    "title",
    "traceback",
];
/// Programs for which 1 is an answer and no failure: nothing found, not the same, not so.
const ANSWERS_ONE: [&str; 11] = ["grep", "egrep", "fgrep", "rg", "ag", "diff", "cmp", "test", "[", "[[", "pgrep"];

/// What stands for an answer or arguments without a word, and is no word of theirs.
const SILENT: [&str; 2] = ["(no output)", "(no arguments)"];

/// What the event says: in its metadata first, then in a JSON text, then by its words. `None` where it says nothing.
pub(super) fn said(event: &Event, origin: Origin<'_>) -> Option<Said> {
    let body = event.body().map(unwrapped);
    let spoken = if SILENT.contains(&event.text.trim()) { "" } else { event.text.as_str() };
    let fields = Fields::of(&event.metadata, true, origin.tool);
    let inside = body.as_ref().map(|body| Fields::of(body, false, origin.tool));
    let (is_failure, is_good) = match (fields.verdict(), inside.as_ref().and_then(Fields::verdict)) {
        (Some(failed), _) | (None, Some(failed)) => (failed, !failed),
        (None, None) => (false, false),
    };
    let exit = fields.exit.or_else(|| inside.as_ref().and_then(|inside| inside.exit));
    let exit = exit.or_else(|| telling::exit_code(spoken).filter(|_| body.is_none() && !is_good));
    let is_program = exit.is_some_and(|code| code != 0);
    let says_so = body.is_none() && says_failed(spoken, origin);
    let answers = exit == Some(1) && origin.program.is_some_and(|program| ANSWERS_ONE.contains(&program));
    if answers && !says_so && fields.error.is_none() && !fields.is_flagged {
        return None;
    }
    if is_good && !is_failure {
        return Some(Said::Worked);
    }
    if !is_failure && !is_program && !says_so {
        return (exit == Some(0)).then_some(Said::Worked);
    }
    let words = || {
        let output = is_program || origin.program.is_some();
        Some(telling_line(spoken, output)).filter(|_| body.is_none())
    };
    let status = [Some(&fields), inside.as_ref()].into_iter().flatten().find_map(Fields::in_numbers);
    let exit = exit.filter(|code| *code != 0).map(|code| format!("exit code {code}"));
    let inner = |of: fn(&Fields) -> Option<String>| inside.as_ref().and_then(of);
    let reasons = [
        fields.error.clone(),
        inner(|fields| fields.error.clone()),
        fields.stderr.clone(),
        words(),
        fields.message.clone(),
        inner(|fields| fields.message.clone()),
        status,
        exit,
    ];
    let is_reason = |text: &String| !super::error_text::normalised(text).is_empty() && !names_nothing(text);
    Some(Said::Failed(reasons.into_iter().flatten().find(is_reason)))
}

/// What an answer says that lies in an envelope of JSON-RPC.
fn unwrapped(mut body: Map<String, Value>) -> Map<String, Value> {
    match body.get_mut("result") {
        Some(Value::Object(result)) if result.contains_key("isError") || result.contains_key("is_error") => {
            std::mem::take(result)
        }
        _ => body,
    }
}

/// What the fields of a map say.
#[derive(Debug, Default)]
struct Fields {
    error: Option<String>,
    /// Whether an error, or a status in numbers, is about the call, and not a part of its data.
    is_of_call: bool,
    message: Option<String>,
    stderr: Option<String>,
    http: Option<i64>,
    exit: Option<i64>,
    /// Whether a field says of the call itself that it failed, or that it worked.
    is_flagged: bool,
    is_said_good: bool,
}

impl Fields {
    /// `is_callers`: the metadata of the event, which are about the call whatever else they hold.
    fn of(map: &Map<String, Value>, is_callers: bool, tool: Option<&str>) -> Self {
        let flag = |key: &str| map.get(key).and_then(Value::as_bool);
        let number = |key: &str| map.get(key).and_then(Value::as_i64);
        let status = map.get("status").and_then(Value::as_str).map(str::to_lowercase);
        let is_envelope = is_callers || map.keys().all(|key| ENVELOPE.contains(&key.as_str()));
        let is_in = |list: &[&str]| status.as_deref().is_some_and(|status| list.contains(&status));
        let has_errors = match map.get("errors") {
            Some(Value::Array(errors)) => !errors.is_empty(),
            Some(Value::Object(errors)) => !errors.is_empty(),
            _ => false,
        };
        // With data beside them they are about a part of it.
        let has_data = map.get("data").is_some_and(|data| !data.is_null());
        let said = |key: &str| map.get(key).and_then(text);
        let is_of_call = is_callers || map.iter().all(|(key, value)| is_beside(map, key, value, tool));
        let is_said_good = flag("ok") == Some(true)
            || flag("success") == Some(true)
            || flag("is_error") == Some(false)
            || flag("isError") == Some(false)
            || is_in(&GOOD);
        Self {
            is_of_call,
            error: ERRORS.iter().find_map(|key| said(key)),
            message: MESSAGES.iter().find_map(|key| said(key)),
            stderr: said("stderr"),
            http: ["status_code", "statusCode", "http_status", "status"].iter().find_map(|key| number(key)),
            exit: ["exit_code", "exitCode", "returncode", "exit_status"].iter().find_map(|key| number(key)),
            is_flagged: flag("ok") == Some(false)
                || flag("success") == Some(false)
                || flag("is_error") == Some(true)
                || flag("isError") == Some(true)
                || flag("failed") == Some(true)
                || flag("error") == Some(true)
                || (has_errors && !has_data && is_of_call && !is_said_good)
                || (is_envelope && is_in(&BAD)),
            is_said_good,
        }
    }

    /// Whether they say that it failed; `None` where they say nothing.
    fn verdict(&self) -> Option<bool> {
        let is_bad_number = self.is_of_call && self.http.is_some_and(|status| (400..600).contains(&status));
        let is_bad_exit = self.exit.is_some_and(|code| code != 0);
        // A flag or a status in words is about the call; an error beside it, or an HTTP status, may be about what it carries.
        if self.is_flagged
            || is_bad_number
            || is_bad_exit
            || (self.error.is_some() && self.is_of_call && !self.is_said_good)
        {
            return Some(true);
        }
        let is_good_number = self.http.is_some_and(|status| (200..400).contains(&status));
        (self.is_said_good || is_good_number || self.exit == Some(0)).then_some(false)
    }

    /// The failure as a number, where nothing says it in words.
    fn in_numbers(&self) -> Option<String> {
        self.http.filter(|status| *status >= 400).map(|status| format!("HTTP {status}"))
    }
}

/// Whether a field may stand beside the error of a call. Others are data, and the error is a part of them.
fn is_beside(map: &Map<String, Value>, key: &str, value: &Value, tool: Option<&str>) -> bool {
    let is_empty = match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(inner) => inner.is_empty(),
        _ => false,
    };
    let is_plain = key != "name" && (ENVELOPE.contains(&key) || BESIDE.contains(&key) || ERRORS.contains(&key));
    // The name of the tool, or of the type of the error; and the id of an answer of JSON-RPC, or the address that was asked.
    let is_named = key == "name"
        && value
            .as_str()
            .is_some_and(|name| tool == Some(name) || name.ends_with("Error") || name.ends_with("Exception"));
    let is_id = key == "id" && map.contains_key("jsonrpc");
    let is_joining = matches!(key, "tool_call_id" | "tool_use_id" | "url" | "role" | "function_name");
    is_empty || is_plain || is_named || is_id || is_joining
}

/// The words of a field: a text, what an object names, or the first of a list that says anything. One line, as it was said.
fn text(value: &Value) -> Option<String> {
    const INNER: [&str; 9] = ["message", "error", "detail", "msg", "text", "reason", "description", "type", "code"];
    let found = match value {
        Value::String(text) => telling_line(text, false),
        Value::Object(inner) => {
            INNER.iter().find_map(|key| inner.get(*key).filter(|v| !v.is_object()).and_then(text))?
        }
        Value::Array(list) => list.iter().find_map(text)?,
        _ => return None,
    };
    Some(found).filter(|text| !names_nothing(text))
}
