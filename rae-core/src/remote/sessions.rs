//! The verbs of sessions, on a server.

use super::{
    Remote,
    transport::Request,
    verbs::{fields, named, page_of},
};
use crate::{
    error::{Error, Result},
    ops::{self, EventsOptions, NewEvent, Page, Receipt, ReflectOptions, Reflected, SessionEnd},
};

impl Remote {
    /// As [`crate::Rae::log_event`]. Without an idempotency key it gets one, as [`Remote::remember`] does.
    pub async fn log_event(&self, session: &str, event: NewEvent) -> Result<Receipt> {
        named("log_event", async {
            ops::check_event(session, event.clone())?;
            let key = event.idempotency_key.clone().or_else(|| Some(uuid::Uuid::new_v4().to_string()));
            let body = fields(&NewEvent { idempotency_key: key.clone(), ..event })?;
            self.json(Request { key, ..Request::post(route(session, "events")?, &body)? }).await
        })
        .await
    }

    /// As [`crate::Rae::end_session`]. The same end again is the same end: it can be sent again when a connection breaks.
    pub async fn end_session(&self, session: &str, end: SessionEnd) -> Result<Receipt> {
        named("end_session", async {
            ops::check_end(session, &end)?;
            self.json(Request::post(route(session, "end")?, &fields(&end)?)?).await
        })
        .await
    }

    /// As [`crate::Rae::events`].
    pub async fn events(&self, session: &str, options: EventsOptions) -> Result<Page> {
        named("events", async {
            ops::check_session(session)?;
            page_of(self, route(session, "events")?, options).await
        })
        .await
    }

    /// As [`crate::Rae::reflect`].
    pub async fn reflect(&self, options: ReflectOptions) -> Result<Vec<Reflected>> {
        named("reflect", async {
            if let Some(session) = &options.session_id {
                ops::check_session(session)?;
            }
            self.json(Request::post("v1/reflections", &fields(&options)?)?.bulk()).await
        })
        .await
    }

    /// As [`crate::Rae::reflections`].
    pub async fn reflections(&self, options: EventsOptions) -> Result<Page> {
        named("reflections", page_of(self, "v1/reflections".to_owned(), options)).await
    }
}

/// A route of a session. Every byte of its name that could be read as anything else is escaped. No escape helps the names `.` and `..`:
/// addresses drop them, and `%2E` is read as the dot, so that the request would go to another route.
fn route(session: &str, what: &str) -> Result<String> {
    if matches!(session, "." | "..") {
        let message =
            format!("Unsupported over HTTP: a session named {session:?} has no address; give it another name");
        return Err(Error::invalid(message).with_code("invalid_session_id"));
    }
    let mut name = String::with_capacity(session.len());
    for byte in session.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
            name.push(char::from(byte));
        } else {
            name.push_str(&format!("%{byte:02X}"));
        }
    }
    Ok(format!("v1/sessions/{name}/{what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_has_a_route_of_its_own_or_none() {
        assert_eq!(route("a/.. b", "end").unwrap(), "v1/sessions/a%2F%2E%2E%20b/end");
        assert_eq!(route("...", "end").unwrap(), "v1/sessions/%2E%2E%2E/end");
        for dots in [".", ".."] {
            assert_eq!(route(dots, "events").unwrap_err().code(), "invalid_session_id");
        }
    }
}
