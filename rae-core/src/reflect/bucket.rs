//! What was said on a day, and in a week, over all sessions of one owner: the central sentences of the day, and of the days of a week.

use super::{
    draft::Draft,
    event::{Event, Owner},
    subject::Subject,
    summary::{Sentence, central, sentences},
};
use crate::{
    limits::{REFLECT_BUCKET_CHARS_MAX, REFLECT_BUCKET_SENTENCES_MAX, REFLECT_CANDIDATES_MAX, REFLECT_SESSIONS_MAX},
    model::{InfoClass, Scope},
};
use serde_json::{Map, json};
use std::collections::BTreeSet;

/// Sessions that make a day worth a summary of its own: of one alone its own summary says it.
const SESSIONS_MIN: usize = 2;

/// What was said in a stretch of time.
pub(crate) struct Bucket {
    /// `day` or `week`.
    name: &'static str,
    /// Its first day, as `2026-01-01`.
    from: String,
    sessions: BTreeSet<String>,
    events: u64,
    sentences: Vec<Sentence>,
    info_class: InfoClass,
    owner: Owner,
}

impl Bucket {
    /// An empty one.
    pub fn new(name: &'static str, from: String, owner: Owner) -> Self {
        let (sessions, sentences) = (BTreeSet::new(), Vec::new());
        Self { name, from, sessions, events: 0, sentences, info_class: InfoClass::Public, owner }
    }

    /// Takes in an event of a session of its owner. Of a long day the newest sentences stay.
    pub fn take(&mut self, session: &str, event: &Event) {
        let said: Vec<Sentence> = sentences(event).into_iter().filter(|said| !said.only_answers()).collect();
        self.events += 1;
        if said.is_empty() {
            return;
        }
        if self.sessions.len() < REFLECT_SESSIONS_MAX {
            self.sessions.insert(session.to_owned());
        }
        self.info_class = self.info_class.max(event.info_class);
        self.sentences.extend(said);
        let drop = self.sentences.len().saturating_sub(REFLECT_CANDIDATES_MAX);
        self.sentences.drain(..drop);
    }

    /// The central sentences alone.
    fn choose(&mut self) {
        self.sentences = central(std::mem::take(&mut self.sentences), REFLECT_BUCKET_SENTENCES_MAX);
    }

    /// Takes in a day whose sentences are chosen.
    fn join(&mut self, day: Self) {
        self.events += day.events;
        self.sessions.extend(day.sessions);
        self.sentences.extend(day.sentences);
        self.info_class = self.info_class.max(day.info_class);
    }

    /// Its summary, where it is worth one.
    fn draft(&self, scope: &Scope) -> Option<Draft> {
        if self.sessions.len() < SESSIONS_MIN {
            return None;
        }
        let when = if self.name == "week" { "In the week of" } else { "On" };
        let mut text = format!("{when} {}, in {} sessions:", self.from, self.sessions.len());
        let mut sources = Vec::new();
        // One session after another: each sentence names who says it.
        for sentence in &self.sentences {
            let quoted = sentence.quoted("");
            if text.chars().count() + quoted.chars().count() <= REFLECT_BUCKET_CHARS_MAX {
                text.push_str(&quoted);
                sources.push(sentence.event);
            }
        }
        sources.dedup();
        let mut metadata = Map::new();
        metadata.insert("bucket".to_owned(), json!(self.name));
        metadata.insert("from".to_owned(), json!(self.from));
        metadata.insert("sessions".to_owned(), json!(self.sessions.len()));
        metadata.insert("events".to_owned(), json!(self.events));
        let subject = Subject::bucket(scope, self.name, &self.from, &self.owner);
        let whose = (self.info_class, self.owner.clone());
        (!sources.is_empty()).then(|| Draft::reflection(subject, text, metadata, sources, whose))
    }
}

/// The summaries of the days of one week, and of the week where two days of it have something to say.
pub(crate) fn week(scope: &Scope, from: String, owner: Owner, days: Vec<Bucket>) -> Vec<Draft> {
    let (mut week, mut drafts, mut telling) = (Bucket::new("week", from, owner), Vec::new(), 0);
    for mut day in days {
        day.choose();
        drafts.extend(day.draft(scope));
        telling += usize::from(!day.sentences.is_empty());
        week.join(day);
    }
    week.choose();
    if telling > 1 {
        drafts.extend(week.draft(scope));
    }
    drafts
}
