//! The engine's option structs from dicts of Python values. A value of `None` is the same as no value, except in `update`, where it
//! clears the field.

use crate::{
    errors::{exception, invalid},
    input::{flag, id, integer, name, names, number, optional, seconds, text, texts, time},
    json,
};
use pyo3::{
    prelude::*,
    types::{PyByteArray, PyBytes, PyDict, PyList, PyMapping, PyString, PyTuple},
};
use rae_core::{
    ContextOptions, Error, EventsOptions, Forget, ListOptions, MemoryUpdate, NewEvent, NewMemory, NewRelation,
    RecallOptions, RelationsOptions, SessionEnd, limits::BATCH_ITEMS_MAX,
};

const NEW_FIELDS: [&str; 21] = [
    "content",
    "kind",
    "layer",
    "role",
    "speaker",
    "session_id",
    "occurred_at",
    "tags",
    "metadata",
    "importance",
    "confidence",
    "ttl",
    "source",
    "trust_level",
    "info_class",
    "agent_id",
    "user_id",
    "valid_from",
    "valid_to",
    "infer",
    "idempotency_key",
];

/// What `remember` takes.
pub(crate) fn new_memory(fields: &Bound<'_, PyDict>) -> PyResult<NewMemory> {
    let py = fields.py();
    let mut new = NewMemory::default();
    let mut has_content = false;
    for (key, value) in fields {
        let key = key_text(&key)?;
        if value.is_none() {
            // Still a name that must be known.
            if NEW_FIELDS.contains(&key.as_str()) {
                continue;
            }
            return Err(unknown(py, &key));
        }
        match key.as_str() {
            "content" => {
                new.content = text("content", &value)?;
                has_content = true;
            }
            "kind" => new.kind = Some(name("kind", &value)?),
            "layer" => new.layer = Some(name("layer", &value)?),
            "role" => new.role = Some(text("role", &value)?),
            "speaker" => new.speaker = Some(text("speaker", &value)?),
            "session_id" => new.session_id = Some(text("session_id", &value)?),
            "agent_id" => new.agent_id = Some(text("agent_id", &value)?),
            "user_id" => new.user_id = Some(text("user_id", &value)?),
            "occurred_at" => new.occurred_at = Some(time("occurred_at", &value)?),
            "tags" => new.tags = texts("tags", &value)?,
            "metadata" => new.metadata = Some(json::object("metadata", &value)?),
            "importance" => new.importance = Some(number("importance", &value)?),
            "confidence" => new.confidence = Some(number("confidence", &value)?),
            "ttl" => new.ttl = Some(seconds("ttl", &value)?),
            "source" => new.source = Some(text("source", &value)?),
            "trust_level" => new.trust_level = Some(name("trust_level", &value)?),
            "info_class" => new.info_class = Some(name("info_class", &value)?),
            "valid_from" => new.valid_from = Some(time("valid_from", &value)?),
            "valid_to" => new.valid_to = Some(time("valid_to", &value)?),
            "infer" => new.infer = flag("infer", &value)?,
            "idempotency_key" => new.idempotency_key = Some(text("idempotency_key", &value)?),
            _ => return Err(unknown(py, &key)),
        }
    }
    if has_content { Ok(new) } else { Err(invalid(py, "content is missing; it must be a str")) }
}

fn key_text(key: &Bound<'_, PyAny>) -> PyResult<String> {
    if !key.is_instance_of::<PyString>() {
        return Err(invalid(key.py(), format!("field names must be str, not {}", json::type_name(key))));
    }
    text("a field name", key)
}

fn unknown(py: Python<'_>, key: &str) -> PyErr {
    let (key, known) = (key.chars().take(80).collect::<String>(), NEW_FIELDS.join(", "));
    exception(py, &Error::invalid(format!("unknown field \"{key}\"; known are {known}")).with_code("unknown_field"))
}

/// Which page of events or reflections.
pub(crate) fn events(limit: &Bound<'_, PyAny>, cursor: &Bound<'_, PyAny>) -> PyResult<EventsOptions> {
    Ok(EventsOptions { limit: integer("limit", limit)?, cursor: optional("cursor", cursor, text)? })
}

/// What `remember_many` takes: any iterable of mappings, read to its end before anything is written.
pub(crate) fn new_memories(items: &Bound<'_, PyAny>) -> PyResult<Vec<NewMemory>> {
    let py = items.py();
    let single = items.is_instance_of::<PyString>()
        || items.is_instance_of::<PyBytes>()
        || items.is_instance_of::<PyByteArray>()
        || items.cast::<PyMapping>().is_ok();
    let iterator = if single { None } else { items.try_iter().ok() };
    let Some(iterator) = iterator else {
        let what = json::type_name(items);
        return Err(invalid(
            py,
            format!("items must be an iterable of dicts, not {what}; for one memory there is remember"),
        ));
    };
    let known = items.cast::<PyList>().map(|l| l.len()).or_else(|_| items.cast::<PyTuple>().map(|t| t.len()));
    let len = known.unwrap_or_default();
    check_count(py, len)?;
    let mut new = Vec::with_capacity(len);
    for (i, item) in iterator.enumerate() {
        check_count(py, i + 1)?;
        new.push(new_item(&item?).map_err(|e| at_item(py, e, i))?);
    }
    Ok(new)
}

fn check_count(py: Python<'_>, count: usize) -> PyResult<()> {
    if count <= BATCH_ITEMS_MAX {
        return Ok(());
    }
    Err(invalid(
        py,
        format!("items has more than {BATCH_ITEMS_MAX} memories; call remember_many once for each {BATCH_ITEMS_MAX}"),
    ))
}

fn new_item(item: &Bound<'_, PyAny>) -> PyResult<NewMemory> {
    if let Ok(dict) = item.cast::<PyDict>() {
        return new_memory(dict);
    }
    match item.cast::<PyMapping>() {
        Ok(mapping) => new_memory(&json::as_dict(mapping)?),
        Err(_) => Err(invalid(item.py(), format!("an item must be a dict, not {}", json::type_name(item)))),
    }
}

/// Says which item was refused. Exceptions that are not ours go on as they are.
fn at_item(py: Python<'_>, raised: PyErr, i: usize) -> PyErr {
    let field = |name| raised.value(py).getattr(name).and_then(|v| v.extract::<String>());
    match (field("kind"), field("code"), raised.value(py).str()) {
        (Ok(kind), Ok(code), Ok(message)) if kind == "invalid_input" => {
            let error = Error::invalid(message.to_string()).with_code(code).with_context("item", i.to_string());
            exception(py, &error.with_details(serde_json::json!({ "item": i })))
        }
        _ => raised,
    }
}

/// What `update` takes: only the fields that were given, `None` to clear.
pub(crate) fn update(fields: &Bound<'_, PyDict>) -> PyResult<MemoryUpdate> {
    let py = fields.py();
    let mut update = MemoryUpdate::default();
    for (key, value) in fields {
        let key = key_text(&key)?;
        if value.is_none()
            && matches!(key.as_str(), "content" | "kind" | "layer" | "importance" | "confidence" | "info_class")
        {
            return Err(invalid(py, format!("{key} cannot be cleared; leave it out to keep it")));
        }
        match key.as_str() {
            "content" => update.content = Some(text("content", &value)?),
            "kind" => update.kind = Some(name("kind", &value)?),
            "layer" => update.layer = Some(name("layer", &value)?),
            "role" => update.role = Some(optional("role", &value, text)?),
            "speaker" => update.speaker = Some(optional("speaker", &value, text)?),
            "occurred_at" => update.occurred_at = Some(optional("occurred_at", &value, time)?),
            "tags" => update.tags = Some(optional("tags", &value, texts)?.unwrap_or_default()),
            "metadata" => update.metadata = Some(optional("metadata", &value, json::object)?.unwrap_or_default()),
            "importance" => update.importance = Some(number("importance", &value)?),
            "confidence" => update.confidence = Some(number("confidence", &value)?),
            "ttl" => update.ttl = Some(optional("ttl", &value, seconds)?),
            "source" => update.source = Some(optional("source", &value, text)?),
            "trust_level" => update.trust_level = Some(optional("trust_level", &value, name)?),
            "info_class" => update.info_class = Some(name("info_class", &value)?),
            "valid_from" => update.valid_from = Some(optional("valid_from", &value, time)?),
            "valid_to" => update.valid_to = Some(optional("valid_to", &value, time)?),
            "superseded_by" => update.superseded_by = Some(optional("superseded_by", &value, id)?),
            "expected_version" => update.expected_version = optional("expected_version", &value, version)?,
            _ => return Err(invalid(py, format!("unknown field \"{key}\""))),
        }
    }
    Ok(update)
}

fn version(field: &str, value: &Bound<'_, PyAny>) -> PyResult<u32> {
    let version = u32::try_from(integer(field, value)?).ok().filter(|&v| v > 0);
    version.ok_or_else(|| invalid(value.py(), format!("{field} must be a version number, 1 or more")))
}

/// What `recall` takes beside the query.
pub(crate) fn recall(fields: &Bound<'_, PyDict>) -> PyResult<RecallOptions> {
    let mut o = RecallOptions::default();
    for (key, value) in fields {
        let key = key_text(&key)?;
        if value.is_none() && key != "k" {
            continue;
        }
        match key.as_str() {
            "k" => o.k = integer("k", &value)?,
            "layers" => o.layers = Some(names("layers", &value)?),
            "kinds" => o.kinds = Some(names("kinds", &value)?),
            "tags" => o.tags = Some(texts("tags", &value)?),
            "tags_any" => o.tags_any = Some(texts("tags_any", &value)?),
            "filter" => o.filter = Some(json::filter("filter", &value)?),
            "since" => o.since = Some(time("since", &value)?),
            "until" => o.until = Some(time("until", &value)?),
            "as_of" => o.as_of = Some(time("as_of", &value)?),
            "known_at" => o.known_at = Some(time("known_at", &value)?),
            "session_id" => o.session_id = Some(text("session_id", &value)?),
            "agent_id" => o.agent_id = Some(text("agent_id", &value)?),
            "user_id" => o.user_id = Some(text("user_id", &value)?),
            "min_score" => o.min_score = Some(number("min_score", &value)?),
            "max_tokens" => o.max_tokens = Some(integer("max_tokens", &value)?),
            "graph_weight" => o.graph_weight = Some(number("graph_weight", &value)?),
            "rerank" => o.rerank = flag("rerank", &value)?,
            "explain" => o.explain = flag("explain", &value)?,
            _ => return Err(invalid(fields.py(), format!("unknown option \"{key}\""))),
        }
    }
    Ok(o)
}

/// What `context` takes beside the query.
pub(crate) fn context(fields: &Bound<'_, PyDict>) -> PyResult<ContextOptions> {
    let mut o = ContextOptions::default();
    for (key, value) in fields {
        let key = key_text(&key)?;
        if value.is_none() && key != "max_tokens" {
            continue;
        }
        match key.as_str() {
            "max_tokens" => o.max_tokens = integer("max_tokens", &value)?,
            "session_id" => o.session_id = Some(text("session_id", &value)?),
            "agent_id" => o.agent_id = Some(text("agent_id", &value)?),
            "user_id" => o.user_id = Some(text("user_id", &value)?),
            "layers" => o.layers = Some(names("layers", &value)?),
            "tags" => o.tags = Some(texts("tags", &value)?),
            "filter" => o.filter = Some(json::filter("filter", &value)?),
            "min_score" => o.min_score = Some(number("min_score", &value)?),
            _ => return Err(invalid(fields.py(), format!("unknown option \"{key}\""))),
        }
    }
    Ok(o)
}

/// What `list` takes.
pub(crate) fn list(fields: &Bound<'_, PyDict>) -> PyResult<ListOptions> {
    let mut o = ListOptions::default();
    for (key, value) in fields {
        let key = key_text(&key)?;
        if value.is_none() && key != "limit" {
            continue;
        }
        match key.as_str() {
            "limit" => o.limit = integer("limit", &value)?,
            "cursor" => o.cursor = Some(text("cursor", &value)?),
            "layer" => o.layer = Some(name("layer", &value)?),
            "tags" => o.tags = Some(texts("tags", &value)?),
            "filter" => o.filter = Some(json::filter("filter", &value)?),
            _ => return Err(invalid(fields.py(), format!("unknown option \"{key}\""))),
        }
    }
    Ok(o)
}

/// What `relate` takes.
pub(crate) fn relation(fields: &Bound<'_, PyDict>) -> PyResult<NewRelation> {
    let mut new = NewRelation::new("", "", "");
    for (key, value) in fields {
        let key = key_text(&key)?;
        if value.is_none() && !matches!(key.as_str(), "subject" | "relation" | "object") {
            continue;
        }
        match key.as_str() {
            "subject" => new.subject = text("subject", &value)?,
            "relation" => new.relation = text("relation", &value)?,
            "object" => new.object = text("object", &value)?,
            "weight" => new.weight = Some(number("weight", &value)?),
            "confidence" => new.confidence = Some(number("confidence", &value)?),
            "valid_from" => new.valid_from = Some(time("valid_from", &value)?),
            "valid_to" => new.valid_to = Some(time("valid_to", &value)?),
            "source_id" => new.source_id = Some(id("source_id", &value)?),
            "user_id" => new.user_id = Some(text("user_id", &value)?),
            "agent_id" => new.agent_id = Some(text("agent_id", &value)?),
            "trust_level" => new.trust_level = Some(name("trust_level", &value)?),
            "info_class" => new.info_class = Some(name("info_class", &value)?),
            _ => return Err(invalid(fields.py(), format!("unknown field \"{key}\""))),
        }
    }
    Ok(new)
}

/// What `log_event` takes beside the session, its type and its text.
pub(crate) fn event(mut event: NewEvent, fields: &Bound<'_, PyDict>) -> PyResult<NewEvent> {
    for (key, value) in fields {
        let key = key_text(&key)?;
        if value.is_none() {
            continue;
        }
        match key.as_str() {
            "metadata" => event.metadata = Some(json::object("metadata", &value)?),
            "user_id" => event.user_id = Some(text("user_id", &value)?),
            "agent_id" => event.agent_id = Some(text("agent_id", &value)?),
            "speaker" => event.speaker = Some(text("speaker", &value)?),
            "occurred_at" => event.occurred_at = Some(time("occurred_at", &value)?),
            "ttl" => event.ttl = Some(seconds("ttl", &value)?),
            "trust_level" => event.trust_level = Some(name("trust_level", &value)?),
            "info_class" => event.info_class = Some(name("info_class", &value)?),
            "idempotency_key" => event.idempotency_key = Some(text("idempotency_key", &value)?),
            _ => return Err(invalid(fields.py(), format!("unknown field \"{key}\""))),
        }
    }
    Ok(event)
}

/// What `end_session` takes beside the session and the outcome.
pub(crate) fn session_end(mut end: SessionEnd, fields: &Bound<'_, PyDict>) -> PyResult<SessionEnd> {
    for (key, value) in fields {
        let key = key_text(&key)?;
        if value.is_none() {
            continue;
        }
        match key.as_str() {
            "error" => end.error = Some(text("error", &value)?),
            "user_id" => end.user_id = Some(text("user_id", &value)?),
            "agent_id" => end.agent_id = Some(text("agent_id", &value)?),
            "info_class" => end.info_class = Some(name("info_class", &value)?),
            _ => return Err(invalid(fields.py(), format!("unknown field \"{key}\""))),
        }
    }
    Ok(end)
}

/// What `relations` takes.
pub(crate) fn relations(fields: &Bound<'_, PyDict>) -> PyResult<RelationsOptions> {
    let mut o = RelationsOptions::default();
    for (key, value) in fields {
        let key = key_text(&key)?;
        if value.is_none() && key != "limit" {
            continue;
        }
        match key.as_str() {
            "subject" => o.subject = Some(text("subject", &value)?),
            "relation" => o.relation = Some(text("relation", &value)?),
            "object" => o.object = Some(text("object", &value)?),
            "limit" => o.limit = integer("limit", &value)?,
            "cursor" => o.cursor = Some(text("cursor", &value)?),
            _ => return Err(invalid(fields.py(), format!("unknown option \"{key}\""))),
        }
    }
    Ok(o)
}

/// What `forget` takes: exactly one of an id, a filter, or a scope with its target.
pub(crate) fn forget(
    memory_id: &Bound<'_, PyAny>,
    filter: &Bound<'_, PyAny>,
    scope: &Bound<'_, PyAny>,
    target: &Bound<'_, PyAny>,
) -> PyResult<Forget> {
    let py = memory_id.py();
    let given = [memory_id, filter, scope].map(|v| !v.is_none());
    if given.iter().filter(|&&g| g).count() != 1 || (!target.is_none() && !given[2]) {
        return Err(invalid(py, "forget takes exactly one of: an id, filter=..., or scope=... with target=..."));
    }
    if given[0] {
        return Ok(Forget::Id(id("id", memory_id)?));
    }
    if given[1] {
        return Ok(Forget::Filter(json::filter("filter", filter)?));
    }
    let scope = name("scope", scope)?;
    if target.is_none() {
        return Err(invalid(py, "target is missing: the name of the session, user, project or tenant to forget"));
    }
    Ok(Forget::Scope(scope, text("target", target)?))
}
