//! What is learnt in words, from its numbers and quotes alone.

use super::{
    error_text::advice,
    event::cut,
    quote::{example, quoted},
};
use crate::limits::REFLECT_SHOWN_CHARS_MAX;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

pub(super) fn numbers(value: Option<&Value>) -> BTreeMap<String, u64> {
    let entries = value.and_then(Value::as_object).into_iter().flatten();
    entries.filter_map(|(key, value)| Some((key.clone(), value.as_u64()?))).collect()
}

pub(super) fn often(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

pub(super) fn field<'a>(metadata: &'a Map<String, Value>, key: &str) -> &'a str {
    metadata.get(key).and_then(Value::as_str).unwrap_or_default()
}

pub(super) fn occurrence(metadata: &Map<String, Value>) -> String {
    let number = |key: &str| metadata.get(key).and_then(Value::as_u64).unwrap_or(1);
    format!("{} in {}", often(number("count"), "time"), often(number("sessions"), "session"))
}

/// The error as it stands in a sentence. What earlier versions wrote has it whole, and is known by having no date.
pub(super) fn shown(metadata: &Map<String, Value>) -> String {
    let error = field(metadata, "error");
    match metadata.contains_key("last") && error.chars().count() > REFLECT_SHOWN_CHARS_MAX {
        true => format!("{}…", cut(error, REFLECT_SHOWN_CHARS_MAX)),
        false => error.to_owned(),
    }
}

/// When it happened last, and how often the calls worked.
fn since(metadata: &Map<String, Value>) -> String {
    let number = |key: &str| metadata.get(key).and_then(Value::as_u64).unwrap_or(0);
    let Some(last) = field(metadata, "last").split('T').next().filter(|day| !day.is_empty()) else {
        return String::new();
    };
    let (succeeded, since) = (number("succeeded"), number("since"));
    if succeeded == 0 {
        return format!(" Last on {last}.");
    }
    let all = number("count").saturating_add(succeeded);
    let since = match since {
        0 => String::new(),
        1 => " One worked since.".to_owned(),
        n => format!(" {n} worked since."),
    };
    format!(" That was {} of {all} calls, the last on {last}.{since}", number("count"))
}

/// The lesson in words.
pub(super) fn lesson_text(metadata: &Map<String, Value>) -> String {
    let (tool, error) = (field(metadata, "tool"), shown(metadata));
    let (cause, rule) = (field(metadata, "cause"), field(metadata, "rule"));
    let times = occurrence(metadata);
    let mut text = match tool {
        "" => format!("It went wrong with '{error}' {times}."),
        tool => format!("Calls of `{tool}` failed with '{error}' {times}."),
    };
    text.push_str(&since(metadata));
    if let Some(words) = quoted(metadata) {
        text.push_str(&format!(" For example, words of the tool, not advice: \"{words}\"."));
    }
    if !cause.is_empty() {
        text.push_str(&format!(" Cause: {}", sentence(cause)));
    }
    match (rule, tool) {
        ("", "") => text.push_str(&format!(" Before going the same way again: {}.", advice(field(metadata, "error")))),
        ("", _) => text.push_str(&format!(" Before calling it again: {}.", advice(field(metadata, "error")))),
        (rule, _) => text.push_str(&format!(" Rule: {}", sentence(rule))),
    }
    let worked = numbers(metadata.get("worked"));
    if !worked.is_empty() {
        let way = |(way, n): (&String, &u64)| {
            let shown = example(metadata, way).map(|how| format!(", for example \"{how}\"")).unwrap_or_default();
            format!("{way} ({}){shown}", often(*n, "time"))
        };
        let ways: Vec<String> = worked.iter().map(way).collect();
        text.push_str(&format!(" What worked then: {}.", ways.join("; ")));
    }
    text
}

pub(super) fn strategy_text(metadata: &Map<String, Value>) -> String {
    let (tool, error, way) = (field(metadata, "tool"), shown(metadata), field(metadata, "way"));
    let shown = example(metadata, way).map(|how| format!(" For example: \"{how}\".")).unwrap_or_default();
    format!("After `{tool}` failed with '{error}', {way} worked, {}.{shown}", occurrence(metadata))
}

pub(crate) fn sentence(text: &str) -> String {
    let end = if text.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{text}{end}")
}

pub(super) fn with_insight(text: &str, insight: &str) -> String {
    if insight.is_empty() { text.to_owned() } else { format!("{text} {}", sentence(insight)) }
}
