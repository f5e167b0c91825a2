//! What a lesson quotes, which events it is from, and the lesson without it: who forgets an event has its words nowhere.

use super::{
    evaluate::Quote,
    event::cut,
    mask::{masked, signed},
    told::{OF_MODEL, is_of_model},
    words::{lesson_text, numbers, strategy_text},
};
use crate::{
    limits::REFLECT_QUOTE_CHARS_MAX,
    model::{Kind, Memory, MemoryId, Timestamp},
};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// The error as it was said last.
const SAID: &str = "quote";
/// The newest example of each way out, by its words.
const EXAMPLES: &str = "examples";

/// The words of an error as data: one line, in which nothing opens or closes a part of a prompt, or the quotes around it, and without
/// addresses, keys, long numbers and what is called a password.
pub(super) fn quotable(said: &str) -> String {
    let text = masked(said, true).replace(['"', '\u{201c}', '\u{201d}', '`'], "'").replace('<', "‹").replace('>', "›");
    let text = signed(&text, '‹', '›');
    match text.chars().count() > REFLECT_QUOTE_CHARS_MAX {
        true => format!("{}…", cut(&text, REFLECT_QUOTE_CHARS_MAX)),
        false => text,
    }
}

fn value(quote: &Quote) -> Value {
    json!({ "text": quote.text, "events": quote.events, "at": quote.at })
}

/// Whether a quote is as new as the one that is there.
fn is_newest(old: Option<&Value>, new: &Quote) -> bool {
    let at = old.and_then(|old| old.get("at")).and_then(|at| serde_json::from_value(at.clone()).ok());
    at.is_none_or(|at| new.at >= at)
}

/// Notes the error as it was said.
pub(super) fn note(metadata: &mut Map<String, Value>, quote: Option<&Quote>) {
    if let Some(quote) = quote.filter(|quote| is_newest(metadata.get(SAID), quote)) {
        metadata.insert(SAID.to_owned(), value(quote));
    }
}

/// Notes how a way out was gone.
pub(super) fn note_example(metadata: &mut Map<String, Value>, way: &str, quote: Option<&Quote>) {
    let Some(quote) = quote else { return };
    let examples = metadata.entry(EXAMPLES).or_insert_with(|| json!({}));
    if let Some(examples) = examples.as_object_mut().filter(|known| is_newest(known.get(way), quote)) {
        examples.insert(way.to_owned(), value(quote));
    }
}

/// Takes the quotes of another lesson of the same that are newer, and whose events are here: a quote goes with its event.
pub(super) fn take_newer(metadata: &mut Map<String, Value>, other: &Map<String, Value>, is_here: &BTreeSet<MemoryId>) {
    let at = |quote: &Value| quote.get("at").and_then(|at| serde_json::from_value::<Timestamp>(at.clone()).ok());
    let is_newer = |old: Option<&Value>, new: &Value| {
        let cited = events(new);
        !cited.is_empty() && cited.iter().all(|id| is_here.contains(id)) && at(new) > old.and_then(at)
    };
    if let Some(quote) = other.get(SAID).filter(|quote| is_newer(metadata.get(SAID), quote)) {
        metadata.insert(SAID.to_owned(), quote.clone());
    }
    let ways: BTreeSet<String> = match metadata.get("way").and_then(Value::as_str) {
        Some(way) => BTreeSet::from([way.to_owned()]),
        None => numbers(metadata.get("worked")).into_keys().collect(),
    };
    let theirs = other.get(EXAMPLES).and_then(Value::as_object).into_iter().flatten();
    for (way, quote) in theirs.filter(|(way, _)| ways.contains(*way)) {
        let examples = metadata.entry(EXAMPLES).or_insert_with(|| json!({}));
        if let Some(examples) = examples.as_object_mut().filter(|known| is_newer(known.get(way), quote)) {
            examples.insert(way.clone(), quote.clone());
        }
    }
}

/// The error as it was said.
pub(super) fn quoted(metadata: &Map<String, Value>) -> Option<&str> {
    metadata.get(SAID)?.get("text")?.as_str()
}

/// How a way out was gone.
pub(super) fn example<'a>(metadata: &'a Map<String, Value>, way: &str) -> Option<&'a str> {
    metadata.get(EXAMPLES)?.get(way)?.get("text")?.as_str()
}

fn quotes(metadata: &Map<String, Value>) -> impl Iterator<Item = &Value> {
    let examples = metadata.get(EXAMPLES).and_then(Value::as_object).into_iter().flat_map(Map::values);
    metadata.get(SAID).into_iter().chain(examples)
}

fn events(quote: &Value) -> Vec<MemoryId> {
    quote.get("events").and_then(|ids| serde_json::from_value(ids.clone()).ok()).unwrap_or_default()
}

/// The events that are quoted.
pub(super) fn quoted_events(metadata: &Map<String, Value>) -> BTreeSet<MemoryId> {
    quotes(metadata).flat_map(events).collect()
}

/// Whether a memory quotes events that can be told apart.
pub(crate) fn has_quotes(memory: &Memory) -> bool {
    matches!(memory.kind, Kind::Lesson | Kind::Strategy) && !quoted_events(&memory.metadata).is_empty()
}

/// Whether a memory quotes any of these events.
pub(crate) fn quotes_any(memory: &Memory, ids: &BTreeSet<MemoryId>) -> bool {
    !quoted_events(&memory.metadata).is_disjoint(ids)
}

/// What a lesson or strategy says from its numbers.
fn words(memory: &Memory, metadata: &Map<String, Value>) -> String {
    match memory.kind {
        Kind::Strategy => strategy_text(metadata),
        _ => lesson_text(metadata),
    }
}

/// A lesson or strategy without what it quotes of these events; `None` where somebody changed its words and left a quote in them.
fn without_quotes(memory: &Memory, ids: &BTreeSet<MemoryId>) -> Option<Memory> {
    let mut bare = memory.clone();
    let is_gone = |quote: &Value| events(quote).iter().any(|id| ids.contains(id));
    let gone: Vec<String> = quotes(&memory.metadata)
        .filter(|quote| is_gone(quote))
        .filter_map(|quote| quote.get("text").and_then(Value::as_str).map(str::to_owned))
        .collect();
    if bare.metadata.get(SAID).is_some_and(is_gone) {
        bare.metadata.remove(SAID);
    }
    if let Some(Value::Object(examples)) = bare.metadata.get_mut(EXAMPLES) {
        examples.retain(|_, quote| !is_gone(quote));
    }
    if words(memory, &memory.metadata) == memory.content {
        bare.content = words(memory, &bare.metadata);
        bare.content_hash = *blake3::hash(bare.content.as_bytes()).as_bytes();
    }
    let is_left = gone.iter().any(|text| bare.content.contains(text.as_str()));
    (!is_left).then_some(bare)
}

/// The same without the words of a model, which may repeat any event that it was shown.
pub(crate) fn bare(memory: &Memory, ids: &BTreeSet<MemoryId>) -> Option<Memory> {
    let mut bare = without_quotes(memory, ids)?;
    let is_ours = words(memory, &bare.metadata) == bare.content;
    OF_MODEL.iter().for_each(|key| drop(bare.metadata.remove(*key)));
    if is_of_model(memory) {
        // What somebody put in other words may hold the model's.
        if !is_ours {
            return None;
        }
        bare.content = words(memory, &bare.metadata);
        bare.content_hash = *blake3::hash(bare.content.as_bytes()).as_bytes();
    }
    Some(bare)
}

/// What a lesson says without any quote: what may be repeated by a model.
pub(super) fn plain(memory: &Memory) -> String {
    let all = quoted_events(&memory.metadata);
    without_quotes(memory, &all).map(|bare| bare.content).unwrap_or_default()
}
