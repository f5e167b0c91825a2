//! Whether what is left of the events of a lesson still says its error: who forgets the last that does has its words nowhere.

use super::{error_text::normalised, evaluate::evaluate, event::Event, steps::NO_ANSWER, words::field};
use crate::model::{Kind, Memory};
use std::collections::BTreeMap;

/// Whether the error of a lesson or strategy is said by one of these memories, which it is derived from. The general form that an
/// earlier version gave it may be another: then its words decide.
pub(crate) fn is_said_by(lesson: &Memory, sources: Vec<Memory>) -> bool {
    let error = field(&lesson.metadata, "error");
    if !matches!(lesson.kind, Kind::Lesson | Kind::Strategy) || error.is_empty() || error == NO_ANSWER {
        return true;
    }
    let mut sessions: BTreeMap<String, Vec<Event>> = BTreeMap::new();
    for mut source in sources {
        let session = source.session_id.take().unwrap_or_default();
        sessions.entry(session).or_default().extend(Event::read(source));
    }
    sessions.into_values().any(|mut events| {
        events.sort_by_key(|event| (event.seq, event.id));
        let says = |event: &Event| {
            let named = event.metadata.values().filter_map(serde_json::Value::as_str);
            std::iter::once(event.text.as_str()).chain(named).any(|text| normalised(text).contains(error))
        };
        events.iter().any(says) || evaluate(&events, None).failings.iter().any(|failing| failing.error == error)
    })
}
