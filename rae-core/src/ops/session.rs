//! Sessions: what an agent did, event by event, and how it ended. Events are memories; there is no other record of them.

use super::{
    get::{ListOptions, Page, list},
    remember::{Along, Item, parse, remember_with},
    subject::{about, absent},
};
use crate::{
    deps::Deps,
    error::{Error, Result},
    ingest::{NewMemory, event_name},
    limits::SESSION_ERROR_BYTES_MAX,
    model::{DropTarget, EventType, Kind, Memory, NewJob, Op, Scope, SessionOutcome},
    ops::Receipt,
    reflect::{END, Subject},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// An event of a session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewEvent {
    /// What sort of event it is.
    #[serde(rename = "type")]
    pub event_type: EventType,
    /// What was said, called or answered: 1 byte to 1 MiB.
    pub content: String,
    /// Your own, beside `event`, which has the type. Reflection reads `tool`, `error`, `ok`, `status`, `exit_code` and `call_id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Map<String, Value>>,
    /// Makes the write safe to repeat for 24 h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
}

impl NewEvent {
    /// An event without metadata.
    pub fn new(event_type: EventType, content: impl Into<String>) -> Self {
        Self { event_type, content: content.into(), metadata: None, idempotency_key: None }
    }

    /// The memory that it is.
    fn into_new(self, session: &str) -> Result<NewMemory> {
        event_name("session_id", Some(session))?;
        let mut metadata = self.metadata.unwrap_or_default();
        if metadata.contains_key("event") {
            let message = "metadata must not have a field event: the type of the event is kept there";
            return Err(Error::invalid(message).with_code("reserved_field"));
        }
        metadata.insert("event".to_owned(), json!(self.event_type));
        Ok(NewMemory {
            kind: Some(Kind::Conversation),
            role: Some(self.event_type.role().to_owned()),
            session_id: Some(session.to_owned()),
            metadata: Some(metadata),
            idempotency_key: self.idempotency_key,
            ..NewMemory::new(self.content)
        })
    }
}

/// How a session ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionEnd {
    /// How.
    pub outcome: SessionOutcome,
    /// What went wrong, where something did: at most 8 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl SessionEnd {
    /// An end without an error.
    pub fn new(outcome: SessionOutcome) -> Self {
        Self { outcome, error: None }
    }

    fn check(&self, session: &str) -> Result<()> {
        event_name("session_id", Some(session))?;
        match &self.error {
            Some(error) if error.trim().is_empty() => {
                Err(Error::invalid("error must not be empty; leave it out instead"))
            }
            Some(error) if error.len() > SESSION_ERROR_BYTES_MAX => {
                let bytes = error.len();
                Err(Error::invalid(format!("error has {bytes} bytes; at most {SESSION_ERROR_BYTES_MAX} are allowed")))
            }
            _ => Ok(()),
        }
    }

    fn into_new(self, session: &str) -> NewMemory {
        let mut content = format!("The session ended {}", self.outcome.in_words());
        match &self.error {
            Some(error) => content.push_str(&format!(": {error}")),
            None => content.push('.'),
        }
        let mut metadata = Map::new();
        metadata.insert("event".to_owned(), END.into());
        metadata.insert("outcome".to_owned(), json!(self.outcome));
        metadata.extend(self.error.map(|error| ("error".to_owned(), error.into())));
        NewMemory {
            kind: Some(Kind::Conversation),
            role: Some("system".to_owned()),
            session_id: Some(session.to_owned()),
            metadata: Some(metadata),
            ..NewMemory::new(content)
        }
    }

    /// Whether a memory says that the session ended so. An end that names no error agrees with one that does.
    fn is_said_by(&self, memory: &Memory) -> bool {
        let text = |key: &str| memory.metadata.get(key).and_then(Value::as_str);
        let same_error = self.error.is_none() || self.error.as_deref() == text("error");
        text("outcome") == Some(self.outcome.as_str()) && same_error
    }
}

/// Which events to list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EventsOptions {
    /// Size of a page, 1 to 1,000; default 50.
    pub limit: i64,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

impl Default for EventsOptions {
    fn default() -> Self {
        Self { limit: 50, cursor: None }
    }
}

fn ended(session: &str) -> Error {
    Error::conflict(format!("the session {session} has ended; begin another one")).with_code("session_ended")
}

fn item(deps: &Deps, scope: &Scope, new: NewMemory) -> Result<Item> {
    let items = parse(deps, scope, vec![new])?;
    items.into_iter().next().ok_or_else(|| Error::internal("an event was lost"))
}

pub(crate) async fn log_event(deps: &Deps, scope: &Scope, session: &str, event: NewEvent) -> Result<Receipt> {
    let mut item = item(deps, scope, event.into_new(session)?)?;
    if let Some(idempotency) = &mut item.idempotency {
        idempotency.verb = "log_event";
    }
    // The memory that ends a session is found by its name: its absence is asked for in the transaction of the event.
    let along = Along { preconditions: absent(&Subject::end(scope, session)).into(), ops: Vec::new() };
    let logged = remember_with(deps, scope, item, along).await;
    logged.map_err(|error| if error.code() == "exists" { ended(session) } else { error })
}

pub(crate) async fn end_session(deps: &Deps, scope: &Scope, session: &str, end: SessionEnd) -> Result<Receipt> {
    end.check(session)?;
    let (ctx, subject) = (deps.ctx(scope)?, Subject::end(scope, session));
    let mut item = item(deps, scope, end.clone().into_new(session))?;
    item.memory.dedup_key = Some(subject.key);
    let now = deps.clock.now();
    let payload = DropTarget::job_of(session);
    let job = NewJob { id: deps.ids.next_uuid(now), kind: crate::model::JobKind::Reflect, payload, run_at: now };
    let along = Along { preconditions: absent(&subject).into(), ops: vec![Op::EnqueueJob { job }] };
    match remember_with(deps, scope, item, along).await {
        Err(error) if error.code() == "exists" => {}
        done => return done,
    }
    match about(deps, &ctx, &[subject]).await?.remove(&subject) {
        Some(memory) if end.is_said_by(&memory) => {
            Ok(Receipt { id: memory.id, version: memory.version, merged: false, degraded: Vec::new() })
        }
        Some(memory) => {
            let how = memory.metadata.get("outcome").and_then(Value::as_str).unwrap_or("another outcome");
            let message = format!("the session {session} has ended already, with {how}; an end is not changed");
            Err(Error::conflict(message).with_code("session_ended"))
        }
        None => Err(Error::conflict("the session was forgotten meanwhile; end it again")),
    }
}

pub(crate) async fn events(deps: &Deps, scope: &Scope, session: &str, options: EventsOptions) -> Result<Page> {
    event_name("session_id", Some(session))?;
    let filter = json!({ "session_id": session, "kind": Kind::Conversation });
    let EventsOptions { limit, cursor } = options;
    list(deps, scope, ListOptions { limit, cursor, filter: Some(filter), ..ListOptions::default() }).await
}

// What the client of a server checks as the verbs do.
#[cfg(feature = "remote")]
pub(crate) fn check_event(session: &str, event: NewEvent) -> Result<()> {
    super::check_items(&[event.into_new(session)?])
}

#[cfg(feature = "remote")]
pub(crate) fn check_end(session: &str, end: &SessionEnd) -> Result<()> {
    end.check(session)
}

#[cfg(feature = "remote")]
pub(crate) fn check_session(session: &str) -> Result<()> {
    event_name("session_id", Some(session))
}
