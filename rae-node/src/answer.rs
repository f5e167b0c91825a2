//! Answers as JSON text in camelCase. A large one is handed over piece by piece, so that the event loop is never held for long.

use napi::Either;
use napi_derive::napi;
use serde_json::Value;
use std::{collections::VecDeque, fmt, mem};

/// Bytes of JSON that are handed over at once: well under a millisecond of parsing.
const PIECE_BYTES: usize = 64 << 10;

/// Values of the caller's or the engine's own making: data, not fields of ours. Their keys stay as they are.
const OPAQUE: [&str; 9] =
    ["metadata", "trace", "receipt", "details", "ran", "kept_out", "by_layer", "message", "delta"];

/// A large answer: its JSON with one list left empty, and the list's items in pieces.
#[napi]
#[derive(Debug)]
pub struct Answer {
    head: String,
    list: &'static str,
    pieces: VecDeque<String>,
}

#[napi]
impl Answer {
    /// The answer without the items of its list.
    #[napi(getter)]
    pub fn head(&mut self) -> String {
        mem::take(&mut self.head)
    }

    /// Name of the list's field; empty where the answer is the list.
    #[napi(getter)]
    pub fn list(&self) -> &'static str {
        self.list
    }

    /// The next items as a JSON list; nothing after the last.
    #[napi]
    pub fn next(&mut self) -> Option<String> {
        self.pieces.pop_front()
    }
}

/// What people look at first comes first; the other names follow in alphabetical order.
const FIRST: [&str; 16] = [
    "id",
    "version",
    "merged",
    "content",
    "score",
    "relevance",
    "signals",
    "passage",
    "kind",
    "layer",
    "role",
    "speaker",
    "session_id",
    "tags",
    "start",
    "text",
];

/// An answer for JavaScript.
pub(crate) fn answer(mut value: Value) -> Either<String, Answer> {
    let (list, items) = match &mut value {
        Value::Array(items) => ("", mem::take(items)),
        Value::Object(map) => {
            match ["hits", "items"].into_iter().find(|&list| map.get(list).is_some_and(Value::is_array)) {
                Some(list) => match map.get_mut(list) {
                    Some(Value::Array(items)) => (list, mem::take(items)),
                    _ => return Either::A(written(&value)),
                },
                None => return Either::A(written(&value)),
            }
        }
        _ => return Either::A(written(&value)),
    };
    let mut pieces = pieces(&items);
    if pieces.len() > 1 {
        return Either::B(Answer { head: written(&value), list, pieces });
    }
    // One text is faster than several calls into it: the list goes back into its place.
    let items = pieces.pop_front().unwrap_or_else(|| "[]".to_owned());
    Either::A(match list {
        "" => items,
        _ => written(&value).replacen(&format!("\"{list}\":[]"), &format!("\"{list}\":{items}"), 1),
    })
}

/// The items as JSON lists of at most `PIECE_BYTES`, or of one item.
fn pieces(items: &[Value]) -> VecDeque<String> {
    let (mut pieces, mut piece) = (VecDeque::new(), String::new());
    for item in items {
        let before = piece.len();
        piece.push(if before == 0 { '[' } else { ',' });
        write(item, &mut piece);
        if before > 0 && piece.len() > PIECE_BYTES {
            let rest = format!("[{}", &piece[before + 1..]);
            piece.truncate(before);
            pieces.push_back(mem::replace(&mut piece, rest) + "]");
        }
    }
    if !piece.is_empty() {
        pieces.push_back(piece + "]");
    }
    pieces
}

pub(crate) fn written(value: &Value) -> String {
    let mut out = String::new();
    write(value, &mut out);
    out
}

/// Writes JSON with the keys of our own objects in camelCase.
fn write(value: &Value, out: &mut String) {
    match value {
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write(item, out);
            }
            out.push(']');
        }
        Value::Object(map) => {
            let mut fields: Vec<(&String, &Value)> = map.iter().collect();
            fields.sort_by_key(|(key, _)| FIRST.iter().position(|first| first == key).unwrap_or(FIRST.len()));
            for (i, (key, value)) in fields.into_iter().enumerate() {
                out.push(if i == 0 { '{' } else { ',' });
                // Names of ours need no escapes.
                let _ = fmt::Write::write_fmt(out, format_args!("\"{}\":", camel(key)));
                if OPAQUE.contains(&key.as_str()) { out.push_str(&value.to_string()) } else { write(value, out) }
            }
            out.push_str(if map.is_empty() { "{}" } else { "}" });
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

fn camel(key: &str) -> String {
    let mut words = key.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |mut out, word| {
        let mut letters = word.chars();
        out.extend(letters.next().map(|c| c.to_ascii_uppercase()));
        out.push_str(letters.as_str());
        out
    })
}
