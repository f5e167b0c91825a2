//! Sessions: what an agent did, event by event, and how it ended. Events are memories; there is no other record of them.

use super::{
    get::{ListOptions, Page, list},
    remember::{Along, Item, parse, remember_with},
    subject::{about, absent},
};
use crate::{
    Ctx,
    deps::Deps,
    error::{Error, Result},
    ingest::{NewMemory, event_name},
    limits::{PAGE_MAX, REFLECT_EVENTS_MAX, SESSION_ERROR_BYTES_MAX},
    model::{
        Cursor, DropTarget, EventType, Filter, InfoClass, Kind, Memory, NewJob, Op, Scan, Scope, SessionOutcome,
        Timestamp, TrustLevel,
    },
    ops::Receipt,
    reflect::{END, Subject, normalised},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// An event of a session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewEvent {
    /// What sort of event it is.
    #[serde(rename = "type")]
    pub event_type: EventType,
    /// What was said, called or answered: at most 1 MiB. A call without arguments or an answer without a word may be empty.
    pub content: String,
    /// Your own, beside `event`, which has the type. Reflection reads `tool`, `error`, `ok`, `status`, `exit_code` and `call_id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Map<String, Value>>,
    /// User it belongs to: what is learnt from it is that user's own, and is erased with the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// Agent it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<String>,
    /// Who said it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speaker: Option<String>,
    /// When it happened; default: when it is logged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<Timestamp>,
    /// Seconds to live from now; default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<f64>,
    /// Trust in the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust_level: Option<TrustLevel>,
    /// Default `internal`. What is learnt from it has the strictest class of its events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub info_class: Option<InfoClass>,
    /// Makes the write safe to repeat for 24 h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
}

impl NewEvent {
    /// An event without metadata.
    pub fn new(event_type: EventType, content: impl Into<String>) -> Self {
        Self {
            event_type,
            content: content.into(),
            metadata: None,
            user_id: None,
            agent_id: None,
            speaker: None,
            occurred_at: None,
            ttl: None,
            trust_level: None,
            info_class: None,
            idempotency_key: None,
        }
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
        // Tools that have nothing to say are ordinary; a memory without a word is none.
        let silent = match self.event_type {
            EventType::ToolCall | EventType::LlmCall => Some("(no arguments)"),
            EventType::ToolResponse | EventType::LlmResponse => Some("(no output)"),
            _ => None,
        };
        let content = match silent {
            Some(words) if self.content.trim().is_empty() => words.to_owned(),
            _ => self.content,
        };
        Ok(NewMemory {
            kind: Some(Kind::Conversation),
            role: Some(self.event_type.role().to_owned()),
            session_id: Some(session.to_owned()),
            metadata: Some(metadata),
            user_id: self.user_id,
            agent_id: self.agent_id,
            speaker: self.speaker,
            occurred_at: self.occurred_at,
            ttl: self.ttl,
            trust_level: self.trust_level,
            info_class: self.info_class,
            idempotency_key: self.idempotency_key,
            ..NewMemory::new(content)
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
    /// User it belongs to. Default, with the agent: the only one whose events are in the session, or whose event says the error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// Agent it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<String>,
    /// Default: the strictest class of the session's events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub info_class: Option<InfoClass>,
}

impl SessionEnd {
    /// An end without an error.
    pub fn new(outcome: SessionOutcome) -> Self {
        Self { outcome, error: None, user_id: None, agent_id: None, info_class: None }
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
            user_id: self.user_id,
            agent_id: self.agent_id,
            info_class: self.info_class,
            ..NewMemory::new(content)
        }
    }

    /// With the owner and the class of the session's events where it names none: its error may repeat what they say. Nobody's, where
    /// they are of several and none says it alone.
    async fn owned_as_events(mut self, deps: &Deps, ctx: &Ctx, session: &str) -> Result<Self> {
        let is_whose_known = self.user_id.is_some() || self.agent_id.is_some();
        if is_whose_known && self.info_class.is_some() {
            return Ok(self);
        }
        let filter = json!({ "session_id": session, "kind": Kind::Conversation });
        let mut scan = Scan { filter: Some(Filter::parse(&filter)?), after: None, limit: PAGE_MAX };
        let error = self.error.as_deref().map(normalised).filter(|error| !error.is_empty());
        let (mut owners, mut sayers, mut class, mut seen) = (BTreeSet::new(), BTreeSet::new(), None, 0);
        loop {
            let page = deps.relational.scan(ctx, &scan).await?;
            let Some(last) = page.last() else { break };
            (scan.after, seen) = (Some(Cursor(last.id)), seen + page.len());
            let full = page.len() == scan.limit;
            for memory in page {
                class = class.max(Some(memory.info_class));
                let owner = (memory.user_id, memory.agent_id);
                // More than two tell no more. Events of nobody may be told to anybody.
                if owner == (None, None) {
                    continue;
                }
                let says = |error: &String| normalised(&memory.content).contains(error.as_str());
                if sayers.len() < 2 && error.as_ref().is_some_and(says) {
                    sayers.insert(owner.clone());
                }
                if owners.len() < 2 {
                    owners.insert(owner);
                }
            }
            if !full || seen >= REFLECT_EVENTS_MAX {
                break;
            }
        }
        // Of several the one whose event says the error.
        let whose = if owners.len() == 1 { owners } else { sayers };
        if let (false, 1, Some((user_id, agent_id))) = (is_whose_known, whose.len(), whose.first().cloned()) {
            (self.user_id, self.agent_id) = (user_id, agent_id);
        }
        self.info_class = self.info_class.or(class);
        Ok(self)
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
    let whole = end.clone().owned_as_events(deps, &ctx, session).await?;
    let mut item = item(deps, scope, whole.into_new(session))?;
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
