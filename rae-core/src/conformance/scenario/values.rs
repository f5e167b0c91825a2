//! Values of the scenarios: what stands for something else, and when two are the same.

use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, path::Path};

/// Floats were recorded on one machine; another's may differ in the last digits.
const TOLERANCE: f64 = 1e-5;

/// Saved values by name, and the scenario's folder.
pub(super) struct Names<'a> {
    pub saved: BTreeMap<String, Value>,
    pub folder: &'a Path,
}

impl Names<'_> {
    /// `$tmp/x` as a path of this run; any other text as it is.
    pub fn path(&self, text: &str) -> String {
        match text.strip_prefix("$tmp") {
            Some(rest) => format!("{}{rest}", self.folder.display()),
            None => text.to_owned(),
        }
    }

    /// A value as it is given to a verb.
    pub fn given(&self, value: &Value) -> Value {
        match value {
            Value::Object(map) => match (map.len(), map.get("$repeat").and_then(Value::as_array)) {
                (1, Some(of)) => {
                    let (text, times) = (of[0].as_str().expect("a text"), of[1].as_u64().expect("how often"));
                    Value::String(text.repeat(usize::try_from(times).expect("a number of times")))
                }
                _ => Value::Object(map.iter().map(|(k, v)| (k.clone(), self.given(v))).collect()),
            },
            other => self.replaced(other, &|names, v| names.given(v)),
        }
    }

    /// A value as it is expected from a verb.
    pub fn expected(&self, value: &Value) -> Value {
        match value {
            Value::Object(map) => Value::Object(map.iter().map(|(k, v)| (k.clone(), self.expected(v))).collect()),
            other => self.replaced(other, &|names, v| names.expected(v)),
        }
    }

    fn replaced(&self, value: &Value, each: &dyn Fn(&Self, &Value) -> Value) -> Value {
        match value {
            Value::Array(items) => items.iter().map(|v| each(self, v)).collect(),
            Value::String(text) => match text.strip_prefix('$') {
                Some(name) if self.saved.contains_key(name) => self.saved[name].clone(),
                Some(name) if !name.starts_with("tmp") && is_name(name) => panic!("no step saved ${name}"),
                _ => Value::String(self.path(text)),
            },
            other => other.clone(),
        }
    }

    /// An answer for a transcript: paths of this run as `$tmp`, and `{"$any": ...}` where the expectation has it.
    pub fn shown(&self, actual: &Value, expected: &Value) -> Value {
        let folder = self.folder.display().to_string();
        masked(actual, expected, &|text| match text.strip_prefix(&folder) {
            Some(rest) => format!("$tmp{rest}"),
            None => text.to_owned(),
        })
    }

    /// An answer as it is recorded: like [`Names::shown`], with `$name` for what was saved before.
    pub fn recorded(&self, actual: &Value, expected: &Value) -> Value {
        let name = |text: &str| self.saved.iter().find(|(_, v)| v.as_str() == Some(text)).map(|(name, _)| name);
        let shown = self.shown(actual, expected);
        masked(&shown, &Value::Null, &|text| name(text).map_or_else(|| text.to_owned(), |name| format!("${name}")))
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// The type that an `{"$any": type}` asks for.
fn any(expected: &Value) -> Option<&str> {
    let map = expected.as_object().filter(|map| map.len() == 1)?;
    map.get("$any")?.as_str()
}

fn masked(actual: &Value, expected: &Value, text: &dyn Fn(&str) -> String) -> Value {
    if any(expected).is_some_and(|kind| is_a(kind, actual)) {
        return expected.clone();
    }
    match actual {
        Value::Object(map) => {
            let part = |key: &str| expected.get(key).unwrap_or(&Value::Null);
            Value::Object(map.iter().map(|(k, v)| (k.clone(), masked(v, part(k), text))).collect::<Map<_, _>>())
        }
        Value::Array(items) => {
            let part = |i| expected.get(i).unwrap_or(&Value::Null);
            items.iter().enumerate().map(|(i, v)| masked(v, part(i), text)).collect()
        }
        Value::String(s) => json!(text(s)),
        other => other.clone(),
    }
}

fn is_a(kind: &str, actual: &Value) -> bool {
    match kind {
        "string" => actual.is_string(),
        "number" => actual.is_number(),
        "integer" => actual.is_i64() || actual.is_u64(),
        "object" => actual.is_object(),
        other => panic!("$any knows string, number, integer and object, not {other:?}"),
    }
}

/// The first place where an answer is not what was expected, as a JSON pointer.
pub(super) fn difference(actual: &Value, expected: &Value) -> Option<String> {
    let differs = |inner: Option<String>, key: &str| inner.map(|rest| format!("/{key}{rest}"));
    let here = || Some(format!(": expected {expected}, found {actual}"));
    if let Some(kind) = any(expected) {
        return if is_a(kind, actual) { None } else { here() };
    }
    match (actual, expected) {
        (Value::Object(a), Value::Object(e)) => {
            let missing = e.keys().find(|key| !a.contains_key(*key)).map(|key| format!("/{key}: is missing"));
            let part = |(key, value): (&String, &Value)| match e.get(key) {
                Some(expected) => differs(difference(value, expected), key),
                None => Some(format!("/{key}: was not expected: {value}")),
            };
            missing.or_else(|| a.iter().find_map(part))
        }
        (Value::Array(a), Value::Array(e)) if a.len() == e.len() => {
            a.iter().zip(e).enumerate().find_map(|(i, (a, e))| differs(difference(a, e), &i.to_string()))
        }
        (Value::Number(a), Value::Number(e)) => {
            let close = || Some((a.as_f64()? - e.as_f64()?).abs() <= TOLERANCE);
            let whole = !a.is_f64() && !e.is_f64();
            if a == e || (!whole && close() == Some(true)) { None } else { here() }
        }
        _ if actual == expected => None,
        _ => here(),
    }
}
