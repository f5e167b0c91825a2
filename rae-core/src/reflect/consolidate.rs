//! From episodes to knowledge: what a user says again in session after session becomes one memory of the semantic layer.

use super::{
    draft::Draft,
    event::{Cited, Event, Owner},
    subject::Subject,
    summary::sentences,
};
use crate::{
    limits::{REFLECT_CONSOLIDATED_MAX, REFLECT_STATEMENTS_MAX, SOURCES_MAX},
    model::{EventType, InfoClass, Scope},
};
use serde_json::{Map, json};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A statement, as it was said so far.
struct Said {
    /// The newest wording.
    text: String,
    /// The sessions in which it was said, by their hash; more than these are not told apart.
    sessions: BTreeSet<[u8; 32]>,
    count: u64,
    /// The newest events that say it.
    sources: VecDeque<Cited>,
    info_class: InfoClass,
}

/// What was said in the sessions of a project, statement by statement. Bounded: what is said for the first time when there are
/// `limits::REFLECT_STATEMENTS_MAX` different ones is left out.
#[derive(Default)]
pub(crate) struct Statements {
    said: BTreeMap<(Owner, String), Said>,
}

impl Statements {
    /// Takes in an event. Only what the user states counts: what a model says it may say because it was told before.
    pub fn take(&mut self, session: &str, event: &Event) {
        if !event.is(EventType::UserInput) {
            return;
        }
        for sentence in sentences(event) {
            let key = (event.owner.clone(), sentence.key());
            if sentence.text.ends_with(['?', '？']) || key.1.is_empty() {
                continue;
            }
            if !self.said.contains_key(&key) && self.said.len() == REFLECT_STATEMENTS_MAX {
                continue;
            }
            let said = self.said.entry(key).or_insert_with(|| Said {
                text: String::new(),
                sessions: BTreeSet::new(),
                count: 0,
                sources: VecDeque::new(),
                info_class: InfoClass::Public,
            });
            if said.sources.back().is_some_and(|last| last.id == event.id) {
                continue;
            }
            said.count += 1;
            said.text = sentence.text;
            said.info_class = said.info_class.max(event.info_class);
            if said.sessions.len() < SOURCES_MAX {
                said.sessions.insert(*blake3::hash(session.as_bytes()).as_bytes());
            }
            if said.sources.len() == SOURCES_MAX {
                said.sources.pop_front();
            }
            said.sources.push_back(event.cited());
        }
    }

    /// The memories of what was said in so many sessions at least: those that were said in most, at most
    /// `limits::REFLECT_CONSOLIDATED_MAX`.
    pub fn drafts(self, scope: &Scope, sessions: usize) -> Vec<Draft> {
        let mut often: Vec<_> = self.said.into_iter().filter(|(_, said)| said.sessions.len() >= sessions).collect();
        often.sort_by(|(a, x), (b, y)| y.sessions.len().cmp(&x.sessions.len()).then_with(|| a.cmp(b)));
        often.truncate(REFLECT_CONSOLIDATED_MAX);
        let draft = |((owner, key), said): ((Owner, String), Said)| {
            let subject = Subject::statement(scope, &key, &owner);
            let mut metadata = Map::new();
            metadata.insert("consolidated".to_owned(), json!(said.text));
            metadata.insert("count".to_owned(), json!(said.count));
            metadata.insert("sessions".to_owned(), json!(said.sessions.len()));
            Draft::statement(subject, said.text, metadata, said.sources.into(), (said.info_class, owner))
        };
        often.into_iter().map(draft).collect()
    }
}
