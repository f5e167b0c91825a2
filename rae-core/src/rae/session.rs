//! Sessions and what is learnt from them.

use super::{Rae, named};
use crate::{
    Result,
    ingest::event_name,
    model::{EventType, InfoClass, SessionOutcome},
    ops::{self, EventsOptions, NewEvent, Page, Receipt, ReflectOptions, Reflected, SessionEnd},
};
use serde_json::{Map, Value};

impl Rae {
    /// A session by its name. Nothing is written until something is logged.
    pub fn session(&self, id: impl Into<String>) -> Result<Session> {
        let id = id.into();
        named("session", event_name("session_id", Some(&id)))?;
        Ok(Session { rae: self.clone(), id, whose: Whose::default() })
    }

    /// Logs an event of a session: a memory of kind `conversation`, durable when this returns. Conflict (`session_ended`) once
    /// the session has ended.
    pub async fn log_event(&self, session: &str, event: NewEvent) -> Result<Receipt> {
        named("log_event", ops::log_event(&self.deps, &self.scope, session, event).await)
    }

    /// Ends a session, and queues a reflection on it in the same transaction. Ending it so again gives the same receipt;
    /// Conflict (`session_ended`) where it ended otherwise.
    pub async fn end_session(&self, session: &str, end: SessionEnd) -> Result<Receipt> {
        named("end_session", ops::end_session(&self.deps, &self.scope, session, end).await)
    }

    /// A page of the events of a session, oldest first; the end is the last one.
    pub async fn events(&self, session: &str, options: EventsOptions) -> Result<Page> {
        named("events", ops::events(&self.deps, &self.scope, session, options).await)
    }

    /// The model that background work may ask, as calls name it.
    pub fn model(&self) -> Option<&str> {
        self.deps.model.as_deref()
    }

    /// Learns from a session, or from all that have news, now. Gives what was made or grew stronger; nothing where there is
    /// nothing new.
    pub async fn reflect(&self, options: ReflectOptions) -> Result<Vec<Reflected>> {
        named("reflect", ops::reflect(&self.deps, &self.scope, options).await)
    }

    /// A page of lessons, strategies and reflections.
    pub async fn reflections(&self, options: EventsOptions) -> Result<Page> {
        named("reflections", ops::reflections(&self.deps, &self.scope, options.limit, options.cursor).await)
    }
}

/// A session of an agent: what it did, event by event, and how it ended.
///
/// ```
/// # rae_core::block_on(async {
/// use rae_core::{EventType, SessionOutcome};
/// let mem = rae_core::Rae::builder().open().await?;
/// let session = mem.session("trip-1")?;
/// session.log(EventType::ToolCall, "search_flights(to='Oslo')", None).await?;
/// session.log(EventType::ToolResponse, "Error: timeout after 30 s", None).await?;
/// session.end(SessionOutcome::Failure, None).await?;
/// let learnt = mem.reflect(Default::default()).await?;
/// assert!(learnt[0].content.starts_with("Calls of `search_flights` failed with 'timeout after <n> s' 1 time in 1 session."));
/// mem.close().await
/// # }).unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct Session {
    rae: Rae,
    id: String,
    whose: Whose,
}

/// Whose the events of a session are, and who may read them: what is learnt from them is the same owner's, in the strictest class.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Whose {
    /// User they belong to.
    pub user_id: Option<String>,
    /// Agent they belong to.
    pub agent_id: Option<String>,
    /// Default `internal`.
    pub info_class: Option<InfoClass>,
}

impl Session {
    /// Its name.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The same session, whose events belong to this user or agent.
    #[must_use]
    pub fn of(mut self, whose: Whose) -> Self {
        self.whose = whose;
        self
    }

    /// As [`Rae::log_event`].
    pub async fn log(
        &self,
        event_type: EventType,
        content: impl Into<String>,
        metadata: Option<Map<String, Value>>,
    ) -> Result<Receipt> {
        let Whose { user_id, agent_id, info_class } = self.whose.clone();
        let event = NewEvent { metadata, user_id, agent_id, info_class, ..NewEvent::new(event_type, content) };
        self.rae.log_event(&self.id, event).await
    }

    /// As [`Rae::end_session`].
    pub async fn end(&self, outcome: SessionOutcome, error: Option<String>) -> Result<Receipt> {
        let Whose { user_id, agent_id, info_class } = self.whose.clone();
        self.rae.end_session(&self.id, SessionEnd { outcome, error, user_id, agent_id, info_class }).await
    }

    /// As [`Rae::events`].
    pub async fn events(&self, options: EventsOptions) -> Result<Page> {
        self.rae.events(&self.id, options).await
    }
}
