//! From JSON to the engine's option structs, one field at a time, so that an error can name the field and say what it must be.
//! Ranges and sizes are the verbs' business; here a value only has to be of the right sort.

use crate::{
    error::{Error, Result},
    ingest::{MemoryUpdate, NewMemory, NewRelation},
    model::{JobState, Role, Timestamp},
    ops::{
        AuditOptions, ChangesOptions, ContextOptions, ErasureOptions, Forget, ForgetScope, JobsOptions, ListOptions,
        NewKey, RecallOptions, RelationsOptions,
    },
    ports::EmbedRole,
};
use serde_json::{Map, Value};
use std::{path::PathBuf, str::FromStr};

/// An object whose fields are taken one by one; what is left at the end is unknown.
pub(super) struct Fields(Map<String, Value>);

impl Fields {
    pub fn new(map: Map<String, Value>) -> Self {
        Self(map)
    }

    /// What was not taken yet.
    pub fn rest(self) -> Map<String, Value> {
        self.0
    }

    /// A field that must be there.
    pub fn required<T>(&mut self, field: &str, read: impl FnOnce(&str, Value) -> Result<T>) -> Result<T> {
        let value = self.0.remove(field).filter(|v| !v.is_null());
        read(field, value.ok_or_else(|| Error::invalid(format!("{field} is missing")))?)
    }

    /// A field that may be absent or null.
    pub fn optional<T>(&mut self, field: &str, read: impl FnOnce(&str, Value) -> Result<T>) -> Result<Option<T>> {
        self.0.remove(field).filter(|v| !v.is_null()).map(|value| read(field, value)).transpose()
    }

    /// A field of a change that can be cleared: absent leaves it, null clears it.
    pub fn clearable<T>(
        &mut self,
        field: &str,
        read: impl FnOnce(&str, Value) -> Result<T>,
    ) -> Result<Option<Option<T>>> {
        let Some(value) = self.0.remove(field) else { return Ok(None) };
        if value.is_null() { Ok(Some(None)) } else { read(field, value).map(|v| Some(Some(v))) }
    }

    /// A field of a change that can only be replaced.
    fn replaceable<T>(&mut self, field: &str, read: impl FnOnce(&str, Value) -> Result<T>) -> Result<Option<T>> {
        match self.0.remove(field) {
            Some(Value::Null) => Err(Error::invalid(format!("{field} cannot be cleared; leave it out to keep it"))),
            value => value.map(|value| read(field, value)).transpose(),
        }
    }

    /// Fails when a field is left.
    pub fn finish(self) -> Result<()> {
        match self.0.keys().next() {
            None => Ok(()),
            Some(key) => Err(Error::invalid(format!("unknown field {}", shown(key))).with_code("unknown_field")),
        }
    }
}

/// A name of the caller's, cut to what a message can hold.
pub(super) fn shown(name: &str) -> String {
    format!("{:?}", name.chars().take(80).collect::<String>())
}

fn wrong(field: &str, wanted: &str, value: &Value) -> Error {
    let found = match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    };
    Error::invalid(format!("{field} must be {wanted}, not {found}"))
}

pub(super) fn text(field: &str, value: Value) -> Result<String> {
    match value {
        Value::String(text) => Ok(text),
        other => Err(wrong(field, "text", &other)),
    }
}

/// One of a closed set of names, or an id.
pub(super) fn name<T: FromStr<Err = Error>>(field: &str, value: Value) -> Result<T> {
    text(field, value)?.parse()
}

fn each<T>(field: &str, value: Value, read: impl Fn(&str, Value) -> Result<T>) -> Result<Vec<T>> {
    match value {
        Value::Array(items) => items.into_iter().map(|item| read(field, item)).collect(),
        other => Err(wrong(field, "a list of texts", &other)),
    }
}

pub(super) fn texts(field: &str, value: Value) -> Result<Vec<String>> {
    each(field, value, text)
}

pub(super) fn names<T: FromStr<Err = Error>>(field: &str, value: Value) -> Result<Vec<T>> {
    each(field, value, name)
}

/// A whole number. One past 64 bits arrives as the nearest that fits: its range is judged by the verb.
pub(super) fn integer(field: &str, value: Value) -> Result<i64> {
    let Value::Number(n) = &value else { return Err(wrong(field, "a whole number", &value)) };
    match (n.as_i64(), n.as_u64(), n.as_f64()) {
        (Some(n), _, _) => Ok(n),
        (None, Some(_), _) => Ok(i64::MAX),
        // The cast saturates.
        (None, None, Some(float)) if float.fract() == 0.0 => Ok(float as i64),
        _ => Err(Error::invalid(format!("{field} must be a whole number"))),
    }
}

pub(super) fn number(field: &str, value: Value) -> Result<f64> {
    value.as_f64().ok_or_else(|| wrong(field, "a number", &value))
}

pub(super) fn flag(field: &str, value: Value) -> Result<bool> {
    value.as_bool().ok_or_else(|| wrong(field, "true or false", &value))
}

pub(super) fn time(field: &str, value: Value) -> Result<Timestamp> {
    Timestamp::parse(&text(field, value)?)
        .and_then(Timestamp::in_calendar)
        .map_err(|e| Error::invalid(format!("{field}: {}", e.message())).with_code(e.code().to_owned()))
}

pub(super) fn object(field: &str, value: Value) -> Result<Map<String, Value>> {
    match value {
        Value::Object(map) => Ok(map),
        other => Err(wrong(field, "an object", &other)),
    }
}

/// Any JSON: the verb says best what is wrong with it.
pub(super) fn any(_: &str, value: Value) -> Result<Value> {
    Ok(value)
}

/// What `remember` takes. null is the same as no value.
pub fn new_memory(fields: Map<String, Value>) -> Result<NewMemory> {
    let mut f = Fields::new(fields);
    let new = NewMemory {
        content: f.required("content", text)?,
        kind: f.optional("kind", name)?,
        layer: f.optional("layer", name)?,
        role: f.optional("role", text)?,
        speaker: f.optional("speaker", text)?,
        session_id: f.optional("session_id", text)?,
        agent_id: f.optional("agent_id", text)?,
        user_id: f.optional("user_id", text)?,
        occurred_at: f.optional("occurred_at", time)?,
        tags: f.optional("tags", texts)?.unwrap_or_default(),
        metadata: f.optional("metadata", object)?,
        importance: f.optional("importance", number)?,
        confidence: f.optional("confidence", number)?,
        ttl: f.optional("ttl", number)?,
        source: f.optional("source", text)?,
        trust_level: f.optional("trust_level", name)?,
        info_class: f.optional("info_class", name)?,
        valid_from: f.optional("valid_from", time)?,
        valid_to: f.optional("valid_to", time)?,
        infer: f.optional("infer", flag)?.unwrap_or_default(),
        idempotency_key: f.optional("idempotency_key", text)?,
    };
    f.finish()?;
    Ok(new)
}

/// What `remember_many` takes: a list of what `remember` takes. An error names the item, in `details.item` too.
pub fn new_memories(field: &str, value: Value) -> Result<Vec<NewMemory>> {
    let Value::Array(items) = value else { return Err(wrong(field, "a list of objects", &value)) };
    let at = |i: usize, e: Error| e.with_context("item", i.to_string()).with_details(serde_json::json!({ "item": i }));
    let item = |(i, value)| object("an item", value).and_then(new_memory).map_err(|e| at(i, e));
    items.into_iter().enumerate().map(item).collect()
}

/// What `update` takes beside the id: absent leaves a field, null clears it.
pub fn update(fields: Map<String, Value>) -> Result<MemoryUpdate> {
    let mut f = Fields::new(fields);
    let update = MemoryUpdate {
        content: f.replaceable("content", text)?,
        kind: f.replaceable("kind", name)?,
        layer: f.replaceable("layer", name)?,
        role: f.clearable("role", text)?,
        speaker: f.clearable("speaker", text)?,
        occurred_at: f.clearable("occurred_at", time)?,
        tags: f.clearable("tags", texts)?.map(Option::unwrap_or_default),
        metadata: f.clearable("metadata", object)?.map(Option::unwrap_or_default),
        importance: f.replaceable("importance", number)?,
        confidence: f.replaceable("confidence", number)?,
        ttl: f.clearable("ttl", number)?,
        source: f.clearable("source", text)?,
        trust_level: f.clearable("trust_level", name)?,
        info_class: f.replaceable("info_class", name)?,
        valid_from: f.clearable("valid_from", time)?,
        valid_to: f.clearable("valid_to", time)?,
        superseded_by: f.clearable("superseded_by", name)?,
        expected_version: f.optional("expected_version", number_of_version)?,
    };
    f.finish()?;
    Ok(update)
}

fn number_of_version(field: &str, value: Value) -> Result<u32> {
    let version = u32::try_from(integer(field, value)?).ok().filter(|&v| v > 0);
    version.ok_or_else(|| Error::invalid(format!("{field} must be a version number, 1 or more")))
}

/// What `recall` takes beside the query.
pub fn recall(fields: Map<String, Value>) -> Result<RecallOptions> {
    let (mut f, default) = (Fields::new(fields), RecallOptions::default());
    let options = RecallOptions {
        k: f.optional("k", integer)?.unwrap_or(default.k),
        layers: f.optional("layers", names)?,
        kinds: f.optional("kinds", names)?,
        tags: f.optional("tags", texts)?,
        tags_any: f.optional("tags_any", texts)?,
        filter: f.optional("filter", any)?,
        since: f.optional("since", time)?,
        until: f.optional("until", time)?,
        as_of: f.optional("as_of", time)?,
        known_at: f.optional("known_at", time)?,
        session_id: f.optional("session_id", text)?,
        agent_id: f.optional("agent_id", text)?,
        user_id: f.optional("user_id", text)?,
        min_score: f.optional("min_score", number)?,
        max_tokens: f.optional("max_tokens", integer)?,
        graph_weight: f.optional("graph_weight", number)?,
        rerank: f.optional("rerank", flag)?.unwrap_or(default.rerank),
        explain: f.optional("explain", flag)?.unwrap_or(default.explain),
    };
    f.finish()?;
    Ok(options)
}

/// What `context` takes beside the query.
pub fn context(fields: Map<String, Value>) -> Result<ContextOptions> {
    let (mut f, default) = (Fields::new(fields), ContextOptions::default());
    let options = ContextOptions {
        max_tokens: f.optional("max_tokens", integer)?.unwrap_or(default.max_tokens),
        session_id: f.optional("session_id", text)?,
        agent_id: f.optional("agent_id", text)?,
        user_id: f.optional("user_id", text)?,
        layers: f.optional("layers", names)?,
        tags: f.optional("tags", texts)?,
        filter: f.optional("filter", any)?,
        min_score: f.optional("min_score", number)?,
    };
    f.finish()?;
    Ok(options)
}

/// What `list` takes.
pub fn list(fields: Map<String, Value>) -> Result<ListOptions> {
    let (mut f, default) = (Fields::new(fields), ListOptions::default());
    let options = ListOptions {
        limit: f.optional("limit", integer)?.unwrap_or(default.limit),
        cursor: f.optional("cursor", text)?,
        layer: f.optional("layer", name)?,
        tags: f.optional("tags", texts)?,
        filter: f.optional("filter", any)?,
    };
    f.finish()?;
    Ok(options)
}

/// What `relate` takes. null is the same as no value.
pub fn relation(fields: Map<String, Value>) -> Result<NewRelation> {
    let mut f = Fields::new(fields);
    let new = NewRelation {
        subject: f.required("subject", text)?,
        relation: f.required("relation", text)?,
        object: f.required("object", text)?,
        weight: f.optional("weight", number)?,
        confidence: f.optional("confidence", number)?,
        valid_from: f.optional("valid_from", time)?,
        valid_to: f.optional("valid_to", time)?,
        source_id: f.optional("source_id", name)?,
        user_id: f.optional("user_id", text)?,
        agent_id: f.optional("agent_id", text)?,
        trust_level: f.optional("trust_level", name)?,
        info_class: f.optional("info_class", name)?,
    };
    f.finish()?;
    Ok(new)
}

/// What `relations` takes.
pub fn relations(fields: Map<String, Value>) -> Result<RelationsOptions> {
    let (mut f, default) = (Fields::new(fields), RelationsOptions::default());
    let options = RelationsOptions {
        subject: f.optional("subject", text)?,
        relation: f.optional("relation", text)?,
        object: f.optional("object", text)?,
        limit: f.optional("limit", integer)?.unwrap_or(default.limit),
        cursor: f.optional("cursor", text)?,
    };
    f.finish()?;
    Ok(options)
}

/// What `forget` takes: exactly one of `id`, `filter`, or `scope` with `target`.
pub fn forget(fields: Map<String, Value>) -> Result<Forget> {
    let mut f = Fields::new(fields);
    let (id, filter) = (f.optional("id", name)?, f.optional("filter", any)?);
    let (scope, target) = (f.optional::<ForgetScope>("scope", name)?, f.optional("target", text)?);
    f.finish()?;
    match (id, filter, scope, target) {
        (Some(id), None, None, None) => Ok(Forget::Id(id)),
        (None, Some(filter), None, None) => Ok(Forget::Filter(filter)),
        (None, None, Some(scope), Some(target)) => Ok(Forget::Scope(scope, target)),
        (None, None, Some(_), None) => {
            Err(Error::invalid("target is missing: the name of the session, user, project or tenant to forget"))
        }
        _ => Err(Error::invalid("forget takes exactly one of: an id, a filter, or a scope with its target")),
    }
}

/// What `verify_erasure` takes: a receipt, paths of export files of this machine, and texts; `file` says whether these are looked for in
/// the store's own file, too, which a surface that faces a network must not allow.
pub(super) fn erasure(mut f: Fields) -> Result<(Value, ErasureOptions)> {
    let (receipt, exports) = (f.required("receipt", any)?, f.optional("exports", texts)?.unwrap_or_default());
    let (texts, file) = (f.optional("texts", texts)?.unwrap_or_default(), f.optional("file", flag)?.unwrap_or(true));
    f.finish()?;
    if exports.iter().any(|path| path.is_empty() || path.contains('\0')) {
        return Err(Error::invalid("exports: a path must not be empty or contain NUL"));
    }
    let exports = exports.into_iter().map(PathBuf::from).collect();
    Ok((receipt, ErasureOptions { exports, texts, file }))
}

/// What `audit` takes.
pub fn audit(fields: Map<String, Value>) -> Result<AuditOptions> {
    let (mut f, default) = (Fields::new(fields), AuditOptions::default());
    let options = AuditOptions {
        limit: f.optional("limit", integer)?.unwrap_or(default.limit),
        fix: f.optional("fix", flag)?.unwrap_or(default.fix),
    };
    f.finish()?;
    Ok(options)
}

/// What `changes` takes.
pub(super) fn changes(fields: Map<String, Value>) -> Result<ChangesOptions> {
    let (mut f, default) = (Fields::new(fields), ChangesOptions::default());
    let options = ChangesOptions {
        limit: f.optional("limit", integer)?.unwrap_or(default.limit),
        cursor: f.optional("cursor", text)?,
    };
    f.finish()?;
    Ok(options)
}

/// What `undo` takes: the id of a change.
pub(super) fn change(mut f: Fields) -> Result<uuid::Uuid> {
    let id = f.required("id", text)?;
    f.finish()?;
    uuid::Uuid::try_parse(&id)
        .map_err(|_| Error::invalid("id must be that of a change, as changes gives it").with_code("invalid_id"))
}

/// What `jobs` takes.
pub(super) fn jobs(fields: Map<String, Value>) -> Result<JobsOptions> {
    let (mut f, default) = (Fields::new(fields), JobsOptions::default());
    let state = f.optional("state", text)?;
    let limit = f.optional("limit", integer)?;
    let options = JobsOptions {
        state: state.map(|state| job_state(&state)).transpose()?,
        // What is below 0 is as wrong as 0.
        limit: limit.map_or(default.limit, |limit| usize::try_from(limit).unwrap_or_default()),
        cursor: f.optional("cursor", text)?,
    };
    f.finish()?;
    Ok(options)
}

/// A state of jobs by its name.
pub fn job_state(name: &str) -> Result<JobState> {
    let found = [JobState::Queued, JobState::Dead].into_iter().find(|state| state.as_str() == name);
    found.ok_or_else(|| Error::invalid("state must be queued or dead").with_code("invalid_state"))
}

/// What `requeue_job` takes: the id of a job.
pub(super) fn job(mut f: Fields) -> Result<uuid::Uuid> {
    let id = f.required("id", text)?;
    f.finish()?;
    uuid::Uuid::try_parse(&id)
        .map_err(|_| Error::invalid("id must be that of a job, as jobs gives it").with_code("invalid_id"))
}

/// What `embed` takes: texts, and the side of a search they are on (`document` or `query`, default `document`).
pub fn embed(fields: Map<String, Value>) -> Result<(Vec<String>, EmbedRole)> {
    let mut f = Fields::new(fields);
    let (texts, role) = (f.required("texts", texts)?, f.optional("role", name)?);
    f.finish()?;
    Ok((texts, role.unwrap_or(EmbedRole::Document)))
}

/// A tenant to register: its `id`, and what people call it.
pub fn new_tenant(fields: Map<String, Value>) -> Result<(String, Option<String>)> {
    let mut fields = Fields::new(fields);
    let tenant = (fields.required("id", text)?, fields.optional("label", text)?);
    fields.finish()?;
    Ok(tenant)
}

/// A key to make, and its `tenant` where the body names one.
pub fn new_key(fields: Map<String, Value>) -> Result<(Option<String>, NewKey)> {
    let mut fields = Fields::new(fields);
    let tenant = fields.optional("tenant", text)?;
    let key = NewKey {
        project: fields.optional("project", text)?,
        role: fields.optional("role", name)?.unwrap_or(Role::Developer),
        label: fields.optional("label", text)?.unwrap_or_default(),
        expires_at: fields.optional("expires_at", time)?,
    };
    fields.finish()?;
    Ok((tenant, key))
}
