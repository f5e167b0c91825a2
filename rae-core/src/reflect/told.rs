//! What a model says, in the memories that are there.

use super::{
    event::Cited,
    model::{PROMPT, Said},
    quote::quoted_events,
    words::{field, lesson_text, with_insight},
};
use crate::{
    limits::{REFLECT_SENTENCES_MAX, SOURCES_MAX},
    model::{InfoClass, Memory, MemoryId, MemoryPatch, TrustLevel},
};
use serde_json::{Map, Value, json};

/// What changes of a lesson when a model says why, and what to do, having been shown these events; `None` where the lesson cannot
/// cite them all beside what it may repeat already. Words that somebody changed stay.
pub(crate) fn explained(old: &Memory, said: &Said, (shown, class): (&[Cited], InfoClass)) -> Option<MemoryPatch> {
    let mut metadata = old.metadata.clone();
    metadata.insert("cause".to_owned(), json!(said.cause));
    metadata.insert("rule".to_owned(), json!(said.rule));
    metadata.insert("prompt".to_owned(), json!(PROMPT));
    let content = (lesson_text(&old.metadata) == old.content).then(|| lesson_text(&metadata));
    let shown_ids: Vec<MemoryId> = shown.iter().map(|event| event.id).collect();
    let before = &old.provenance.derived_from;
    let mut others: Vec<MemoryId> = before.iter().filter(|id| !shown_ids.contains(id)).copied().collect();
    // What it quotes it cites.
    let quoted = quoted_events(&old.metadata);
    others.sort_by_key(|id| !quoted.contains(id));
    // Beside what they quote the rules repeat nothing that was said: of their sources some may make room. Those of a model's words
    // may not.
    let kept = if is_of_model(old) { others.len() } else { others.iter().filter(|id| quoted.contains(id)).count() };
    if shown_ids.len() + kept > SOURCES_MAX {
        return None;
    }
    let mut provenance = old.provenance.clone();
    provenance.derived_from = shown_ids.into_iter().chain(others).take(SOURCES_MAX).collect();
    let ends = shown.iter().filter_map(|event| event.expires_at).chain(old.expires_at).min();
    Some(MemoryPatch {
        provenance: Some(provenance),
        expires_at: Some(ends),
        info_class: Some(old.info_class.max(class)),
        ..reworded(old, content, metadata)
    })
}

/// Where a lesson has words of a model.
pub(super) const OF_MODEL: [&str; 3] = ["cause", "rule", "prompt"];

/// Whether words of a model are, or may be, in a memory.
pub(crate) fn is_of_model(memory: &Memory) -> bool {
    OF_MODEL.iter().any(|key| memory.metadata.contains_key(*key))
}

/// What changes of a summary when a model was asked about the session up to a place.
pub(crate) fn asked(
    old: &Memory,
    insight: Option<&str>,
    (upto, failed): (u32, bool),
    (shown, class): (&[Cited], InfoClass),
) -> MemoryPatch {
    let mut metadata = old.metadata.clone();
    if failed {
        metadata.insert("model_failed".to_owned(), json!(upto));
        return reworded(old, None, metadata);
    }
    metadata.remove("model_failed");
    metadata.insert("asked".to_owned(), json!(upto));
    let Some(insight) = insight else { return reworded(old, None, metadata) };
    let before = field(&old.metadata, "insight");
    let bare = old.content.strip_suffix(&with_insight("", before)).unwrap_or(&old.content);
    let content = with_insight(bare, insight);
    metadata.insert("insight".to_owned(), json!(insight));
    metadata.insert("prompt".to_owned(), json!(PROMPT));
    // A model may repeat any of what it was shown. What the summary quotes comes first among its sources.
    let mut provenance = old.provenance.clone();
    let (quoted, rest) = provenance.derived_from.split_at(provenance.derived_from.len().min(REFLECT_SENTENCES_MAX));
    let mut sources: Vec<MemoryId> = Vec::new();
    for id in quoted.iter().copied().chain(shown.iter().map(|event| event.id)).chain(rest.iter().copied()) {
        if sources.len() < SOURCES_MAX && !sources.contains(&id) {
            sources.push(id);
        }
    }
    provenance.derived_from = sources;
    let ends = shown.iter().filter_map(|event| event.expires_at).chain(old.expires_at).min();
    MemoryPatch {
        provenance: Some(provenance),
        expires_at: Some(ends),
        info_class: Some(old.info_class.max(class)),
        ..reworded(old, Some(content), metadata)
    }
}

pub(super) fn reworded(old: &Memory, content: Option<String>, metadata: Map<String, Value>) -> MemoryPatch {
    let content = content.filter(|content| *content != old.content);
    MemoryPatch {
        content_hash: content.as_ref().map(|content| *blake3::hash(content.as_bytes()).as_bytes()),
        content,
        metadata: Some(metadata),
        trust_level: Some(Some(TrustLevel::Low)),
        ..MemoryPatch::default()
    }
}

/// Up to where a model was asked about the session of a summary.
pub(crate) fn was_asked(summary: &Memory) -> Option<u32> {
    place(summary, "asked")
}

/// Up to where its answer could not be read.
pub(crate) fn model_failed(summary: &Memory) -> Option<u32> {
    place(summary, "model_failed")
}

fn place(summary: &Memory, field: &str) -> Option<u32> {
    summary.metadata.get(field).and_then(Value::as_u64).and_then(|place| u32::try_from(place).ok())
}

/// How often a failure had happened when a model was asked about it, noted in its lesson: it is asked again when there are twice as
/// many.
pub(crate) fn counted(old: &Memory, patch: Option<MemoryPatch>) -> MemoryPatch {
    let mut patch = patch.unwrap_or_else(|| reworded(old, None, old.metadata.clone()));
    let count = old.metadata.get("count").cloned().unwrap_or_else(|| json!(1));
    patch.metadata.get_or_insert_with(|| old.metadata.clone()).insert("asked".to_owned(), count);
    patch
}

/// Whether a model is to be asked about the failure of a lesson: never yet, or it has happened twice as often since.
pub(crate) fn is_unexplained(lesson: &Memory) -> bool {
    let number = |key: &str| lesson.metadata.get(key).and_then(Value::as_u64).unwrap_or(0);
    number("count") >= number("asked").saturating_mul(2)
}
