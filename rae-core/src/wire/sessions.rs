//! Arguments of the verbs of sessions.

use super::input::{Fields, integer, name, number, object, text, time};
use crate::{
    error::Result,
    ops::{EventsOptions, NewEvent, ReflectOptions, SessionEnd},
};
use serde_json::{Map, Value};

/// An event of a session, and the session where the fields name it.
pub fn new_event(fields: Map<String, Value>) -> Result<NewEvent> {
    let mut f = Fields::new(fields);
    let event = NewEvent {
        event_type: f.required("type", name)?,
        content: f.required("content", text)?,
        metadata: f.optional("metadata", object)?,
        user_id: f.optional("user_id", text)?,
        agent_id: f.optional("agent_id", text)?,
        speaker: f.optional("speaker", text)?,
        occurred_at: f.optional("occurred_at", time)?,
        ttl: f.optional("ttl", number)?,
        trust_level: f.optional("trust_level", name)?,
        info_class: f.optional("info_class", name)?,
        idempotency_key: f.optional("idempotency_key", text)?,
    };
    f.finish()?;
    Ok(event)
}

/// The end of a session.
pub fn session_end(fields: Map<String, Value>) -> Result<SessionEnd> {
    let mut f = Fields::new(fields);
    let end = SessionEnd {
        outcome: f.required("outcome", name)?,
        error: f.optional("error", text)?,
        user_id: f.optional("user_id", text)?,
        agent_id: f.optional("agent_id", text)?,
        info_class: f.optional("info_class", name)?,
    };
    f.finish()?;
    Ok(end)
}

/// A page of events or of reflections.
pub fn events(fields: Map<String, Value>) -> Result<EventsOptions> {
    let mut f = Fields::new(fields);
    let default = EventsOptions::default();
    let options = EventsOptions {
        limit: f.optional("limit", integer)?.unwrap_or(default.limit),
        cursor: f.optional("cursor", text)?,
    };
    f.finish()?;
    Ok(options)
}

/// What to reflect on.
pub fn reflect(fields: Map<String, Value>) -> Result<ReflectOptions> {
    let mut f = Fields::new(fields);
    let options = ReflectOptions { session_id: f.optional("session_id", text)?, since: f.optional("since", time)? };
    f.finish()?;
    Ok(options)
}
