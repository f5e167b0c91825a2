//! A memory of a session as an event.

use crate::{
    lexical::mark::without_blocks,
    limits::{REFLECT_EVENT_CHARS_MAX, REFLECT_TOOL_CHARS_MAX},
    model::{EventType, InfoClass, Kind, Memory, MemoryId, SessionOutcome, Timestamp},
};
use serde_json::{Map, Value};

/// The `event` of the memory that ends a session.
pub(crate) const END: &str = "session_end";
/// Where callers put the name of a tool.
const TOOL_KEYS: [&str; 6] = ["tool", "tool_name", "name", "function", "function_name", "params"];
/// The same in the text of a result.
const RESULT_KEYS: [&str; 3] = ["tool", "tool_name", "function_name"];
/// Where they put what joins a call and its answer.
const CALL_KEYS: [&str; 4] = ["call_id", "tool_call_id", "tool_use_id", "id"];
/// The same in the text of an answer, where `id` is what it is about.
const ANSWER_KEYS: [&str; 3] = ["call_id", "tool_call_id", "tool_use_id"];

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum What {
    /// An event.
    Event(EventType),
    /// The end of the session.
    End(SessionOutcome, Option<String>),
}

pub(crate) use crate::model::Owner;

/// An event that a memory is derived from, as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cited {
    pub id: MemoryId,
    pub version: u32,
    pub expires_at: Option<Timestamp>,
}

impl Cited {
    /// A memory as a source.
    pub fn of(memory: &Memory) -> Self {
        Self { id: memory.id, version: memory.version, expires_at: memory.expires_at }
    }
}

/// One event of a session.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub id: MemoryId,
    pub version: u32,
    pub expires_at: Option<Timestamp>,
    /// Its place in the session.
    pub seq: u32,
    /// When it was written.
    pub written: Timestamp,
    /// When it happened.
    pub at: Timestamp,
    pub what: What,
    /// The beginning of its text.
    pub text: String,
    pub metadata: Map<String, Value>,
    pub info_class: InfoClass,
    pub owner: Owner,
}

impl Event {
    /// The event that a memory of a session is; `None` where it is none. A turn that was remembered without a type is one by
    /// its role. What was learnt from events is never an event: nothing is learnt from it again.
    pub fn read(memory: Memory) -> Option<Self> {
        let seq = memory.seq_in_session.filter(|_| memory.kind == Kind::Conversation)?;
        let named = memory.metadata.get("event").and_then(Value::as_str);
        let what = match named {
            Some(END) => {
                let outcome = memory.metadata.get("outcome").and_then(Value::as_str)?.parse().ok()?;
                // What was recalled into a prompt is not what went wrong.
                let error = memory.metadata.get("error").and_then(Value::as_str).map(without_blocks);
                let error = error.filter(|error| !error.is_empty());
                What::End(outcome, error)
            }
            Some(name) => What::Event(name.parse().ok()?),
            None => What::Event(match memory.role.as_deref() {
                Some("tool") => EventType::ToolResponse,
                Some("assistant") => EventType::LlmResponse,
                Some("system") => EventType::SystemEvent,
                _ => EventType::UserInput,
            }),
        };
        Some(Self {
            id: memory.id,
            version: memory.version,
            expires_at: memory.expires_at,
            owner: Owner::of(&memory),
            seq,
            written: memory.created_at,
            at: memory.event_time(),
            what,
            // What was recalled into a prompt was said before: it is not learnt again.
            text: ends(&without_blocks(&memory.content), REFLECT_EVENT_CHARS_MAX),
            metadata: memory.metadata,
            info_class: memory.info_class,
        })
    }

    /// It as a source.
    pub fn cited(&self) -> Cited {
        Cited { id: self.id, version: self.version, expires_at: self.expires_at }
    }

    /// Whether it ends the session. An end is nobody's own.
    pub fn is_end(&self) -> bool {
        matches!(self.what, What::End(..))
    }

    /// The text as the JSON object that it may be.
    pub fn body(&self) -> Option<Map<String, Value>> {
        let text = self.text.trim();
        if !text.starts_with('{') {
            return None;
        }
        serde_json::from_str(text).ok()
    }

    /// The tool that it names: in the metadata, in a JSON text, or as `name(` at the beginning.
    pub fn tool(&self) -> Option<String> {
        if let Some(named) = named_tool(&self.metadata, &TOOL_KEYS) {
            return Some(named);
        }
        // The result of a tool has a `name` of its own kind.
        let keys = if self.is(EventType::ToolCall) { &TOOL_KEYS[..] } else { &RESULT_KEYS[..] };
        if let Some(body) = self.body() {
            return named_tool(&body, keys);
        }
        if !self.is(EventType::ToolCall) {
            return None;
        }
        let text = self.text.trim();
        let end = text.find(|c: char| !is_name_char(c)).unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        let is_call = rest.is_empty() || rest.trim_start().starts_with(['(', '{']);
        if is_call { tool_name(name) } else { None }
    }

    /// What joins a call and its answer.
    pub fn call_id(&self) -> Option<String> {
        let text = |map: &Map<String, Value>, keys: &[&str]| {
            keys.iter().find_map(|key| map.get(*key).and_then(Value::as_str)).map(str::to_owned)
        };
        let keys = if self.is(EventType::ToolCall) { &CALL_KEYS[..] } else { &ANSWER_KEYS[..] };
        text(&self.metadata, &CALL_KEYS).or_else(|| text(&self.body()?, keys))
    }

    /// Whether it is of this type.
    pub fn is(&self, what: EventType) -> bool {
        self.what == What::Event(what)
    }
}

fn named_tool(map: &Map<String, Value>, keys: &[&str]) -> Option<String> {
    keys.iter().find_map(|key| match map.get(*key) {
        Some(Value::String(name)) => tool_name(name),
        // OpenAI's `function`, and the `params` of MCP.
        Some(Value::Object(inner)) => inner.get("name").and_then(Value::as_str).and_then(tool_name),
        _ => None,
    })
}

fn is_name_char(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ':' | '/')
}

/// The name as it stands in a lesson: nothing that could end its quotes.
fn tool_name(name: &str) -> Option<String> {
    let name: String = name.trim().chars().filter(|c| is_name_char(*c)).take(REFLECT_TOOL_CHARS_MAX).collect();
    name.chars().any(char::is_alphanumeric).then_some(name)
}

/// The first `most` characters.
pub(crate) fn cut(text: &str, most: usize) -> String {
    text.char_indices().nth(most).map_or(text, |(end, _)| text.get(..end).unwrap_or(text)).to_owned()
}

/// The beginning and the end of a text that is longer than `most` characters: a program says last what went wrong.
fn ends(text: &str, most: usize) -> String {
    let chars = text.chars().count();
    if chars <= most {
        return text.to_owned();
    }
    let half = most / 2;
    let last = text.char_indices().nth(chars - half).map_or("", |(at, _)| text.get(at..).unwrap_or_default());
    format!("{}\n{last}", cut(text, half - 1))
}
