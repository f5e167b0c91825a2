//! The reflector: from a verdict to the memories that keep it, new ones and stronger ones.

use super::{
    draft::{Draft, is_undone},
    evaluate::{Failing, Times, Verdict, Worked, evaluate},
    event::{Cited, Event, Owner},
    quote::{note, note_example},
    steps::NO_ANSWER,
    subject::Subject,
    summary,
    words::{field, lesson_text, numbers, strategy_text, with_insight},
};
use crate::{
    limits::{REFLECT_WAYS_MAX, SOURCES_MAX},
    model::{InfoClass, Kind, Memory, MemoryId, Scope},
};
use serde_json::{Map, Value, json};
use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap},
};

/// Whose the events are, the end aside.
fn owners(events: &[Event]) -> BTreeSet<&Owner> {
    events.iter().filter(|event| !event.is_end()).map(|event| &event.owner).collect()
}

/// Whether none of the events has an owner: what is said of them may be told to everybody in the project.
pub(crate) fn is_of_nobody(events: &[Event]) -> bool {
    owners(events).into_iter().all(|owner| *owner == Owner::default())
}

/// Whether the events are all of one owner: what is said of them all is then nobody else's.
pub(crate) fn is_of_one(events: &[Event]) -> bool {
    owners(events).len() < 2
}

/// How much a summary matters.
pub(super) const SUMMARY_IMPORTANCE: f64 = 0.5;

/// What was learnt: `known` are the memories that are there, by what they are about.
pub(crate) struct Learnt<'a> {
    scope: &'a Scope,
    info_class: InfoClass,
    known: &'a HashMap<Subject, Memory>,
    cited: HashMap<MemoryId, Cited>,
    owners: HashMap<MemoryId, &'a Owner>,
    worked: &'a [Worked],
    is_again: bool,
}

/// Whose the events are that have an owner.
fn owned(events: &[Event]) -> HashMap<MemoryId, &Owner> {
    events.iter().filter(|event| event.owner != Owner::default()).map(|event| (event.id, &event.owner)).collect()
}

/// Whose a failure and its ways out are: a lesson repeats the error, so it is for those alone who may read the events. `None` where
/// they are of several.
fn owner_of(failing: &Failing, owners: &HashMap<MemoryId, &Owner>) -> Option<Owner> {
    let times = std::iter::once(&failing.times).chain(failing.ways.iter().map(|(_, times)| times));
    let of: BTreeSet<&Owner> =
        times.flat_map(|times| times.new.iter().flatten()).filter_map(|id| owners.get(id).copied()).collect();
    match of.len() {
        0 => Some(Owner::default()),
        1 => of.first().map(|owner| Owner::clone(owner)),
        _ => None,
    }
}

/// The drafts of a session, its summaries last. `known` gives the memories that are there among [`subjects`] of the same verdict; one
/// that somebody ended or replaced is left alone. A strategy or lesson without new events gets no draft, but for one of `righted`:
/// those of tools that worked. `is_again` where the session was looked at before and is only summed up once more.
pub(crate) fn drafts(
    scope: &Scope,
    session: &str,
    (events, verdict): (&[Event], &Verdict),
    (known, righted): (&HashMap<Subject, Memory>, &[Memory]),
    is_again: bool,
) -> Vec<Draft> {
    let info_class = verdict.info_class.unwrap_or(InfoClass::Internal);
    let cited = events.iter().map(|event| (event.id, event.cited())).collect();
    let learnt = Learnt { scope, info_class, known, cited, owners: owned(events), worked: &verdict.worked, is_again };
    let mut drafts = Vec::new();
    for failing in &verdict.failings {
        let Some(owner) = owner_of(failing, &learnt.owners) else { continue };
        drafts.extend(learnt.lesson(failing, &owner));
        drafts.extend(learnt.strategies(failing, &owner));
    }
    let others: Vec<Draft> = righted.iter().filter_map(|memory| learnt.righted(memory)).collect();
    let is_new = |other: &Draft| drafts.iter().all(|draft| draft.subject != other.subject);
    let others: Vec<Draft> = others.into_iter().filter(is_new).collect();
    drafts.extend(others);
    drafts.extend(learnt.summaries(session, events, verdict));
    drafts
}

/// What all memories are about that [`drafts`] could write.
pub(crate) fn subjects(scope: &Scope, session: &str, (events, verdict): (&[Event], &Verdict)) -> Vec<Subject> {
    let mut subjects = vec![Subject::summary(scope, session)];
    subjects.extend(owners(events).into_iter().map(|owner| Subject::owned_summary(scope, session, owner)));
    let of = owned(events);
    for failing in &verdict.failings {
        let Some(owner) = owner_of(failing, &of) else { continue };
        let signature = signature(failing);
        let way = |way: &super::Way| Subject::strategy(scope, &signature, &way.words, &owner);
        subjects.push(Subject::lesson(scope, &signature, &owner));
        subjects.extend(failing.ways.iter().map(|(out, _)| way(out)));
    }
    subjects
}

/// The lessons of a verdict, in its order; `None` for a failure of several owners, of which there is none.
pub(crate) fn lesson_subjects(scope: &Scope, (events, verdict): (&[Event], &Verdict)) -> Vec<Option<Subject>> {
    let of = owned(events);
    let subject = |failing: &Failing| Some(Subject::lesson(scope, &signature(failing), &owner_of(failing, &of)?));
    verdict.failings.iter().map(subject).collect()
}

/// What makes two failures the same.
fn signature(failing: &Failing) -> String {
    let mut hash = blake3::Hasher::new();
    for part in [failing.tool.as_deref().unwrap_or_default(), &failing.error] {
        hash.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
    }
    hash.finalize().to_hex().chars().take(32).collect()
}

/// More with each event, ever more slowly: 0.6 for one, 0.8 for four, 0.96 for a hundred.
fn importance(count: u64) -> f64 {
    if count == 0 { 0.0 } else { 1.0 - 0.4 / (count as f64).sqrt() }
}

/// 0.5 for one event, 0.75 for four.
pub(super) fn confidence(count: u64) -> f64 {
    1.0 - 0.5 / (count.max(1) as f64).sqrt()
}

/// Less with each call that worked since the last failure: half for eight, a seventh for fifty.
pub(super) fn weight(metadata: &Map<String, Value>) -> f64 {
    let number = |key: &str| metadata.get(key).and_then(Value::as_u64).unwrap_or(0);
    importance(number("count")) / (1.0 + number("since") as f64 / WORKED_HALF)
}

/// Calls that worked since the last failure after which a lesson weighs half.
const WORKED_HALF: f64 = 8.0;
/// Calls that worked after which no more are counted: nothing of the lesson would change but a number.
const WORKED_MAX: u64 = 1_000;

/// Adds to a number of a lesson.
fn add(metadata: &mut Map<String, Value>, key: &str, more: usize) {
    let number = metadata.get(key).and_then(Value::as_u64).unwrap_or(0);
    if number > 0 || more > 0 {
        metadata.insert(key.to_owned(), json!(number.saturating_add(more as u64)));
    }
}

impl Learnt<'_> {
    /// The calls that worked of the tool, and the program, that a lesson is about, of its owner.
    fn worked(&self, metadata: &Map<String, Value>, owner: &Owner) -> impl Iterator<Item = &Worked> {
        let (tool, program) = (field(metadata, "tool").to_owned(), field(metadata, "program").to_owned());
        let owner = owner.clone();
        self.worked.iter().filter(move |worked| {
            let same_program = program.is_empty() || worked.program.as_ref() == Some(&program);
            worked.tool == tool && same_program && (owner == Owner::default() || worked.owner == owner)
        })
    }

    /// A lesson or strategy of a tool that worked, and did not fail of the same, in this session.
    fn righted(&self, old: &Memory) -> Option<Draft> {
        let owner = Owner::of(old);
        let worked = self.worked(&old.metadata, &owner).filter(|worked| worked.is_new).count();
        let since = old.metadata.get("since").and_then(Value::as_u64).unwrap_or(0);
        if worked == 0 || since >= WORKED_MAX {
            return None;
        }
        let subject = Subject::of(self.scope, old)?;
        let mut metadata = old.metadata.clone();
        add(&mut metadata, "since", worked);
        let text = if old.kind == Kind::Lesson { lesson_text } else { strategy_text };
        if old.kind == Kind::Lesson {
            add(&mut metadata, "succeeded", worked);
        }
        let replaces = Some(text(&old.metadata));
        let content = text(&metadata);
        let draft = self.draft(subject, old.kind, content, metadata, Some(old));
        Some(Draft { owner, replaces, info_class: old.info_class, is_quiet: true, ..draft })
    }

    fn old(&self, subject: Subject) -> Option<&Memory> {
        self.known.get(&subject)
    }

    fn lesson(&self, failing: &Failing, owner: &Owner) -> Option<Draft> {
        let signature = signature(failing);
        let subject = Subject::lesson(self.scope, &signature, owner);
        let old = self.old(subject);
        let new = unseen(&failing.times, old);
        let worked_new = |(way, times): &(super::Way, Times)| {
            let strategy = self.old(Subject::strategy(self.scope, &signature, &way.words, owner));
            (way.clone(), unseen(times, strategy).len())
        };
        let ways: Vec<(super::Way, usize)> =
            failing.ways.iter().map(worked_new).filter(|(_, worked)| *worked > 0).collect();
        // A way out may be found after the failure was counted.
        if new.is_empty() && (ways.is_empty() || old.is_none()) {
            return None;
        }
        let old = old.filter(|old| !is_undone(old));
        let mut metadata = old.map(|old| old.metadata.clone()).unwrap_or_default();
        let replaces = old.map(|_| lesson_text(&metadata));
        grow(&mut metadata, &failing.times, &new);
        metadata.insert("tool".to_owned(), json!(failing.tool));
        metadata.insert("error".to_owned(), json!(failing.error));
        metadata.insert("signature".to_owned(), json!(signature));
        if let Some(program) = failing.program.as_ref().filter(|_| old.is_none()) {
            metadata.insert("program".to_owned(), json!(program));
        }
        self.count_worked(&mut metadata, failing, (owner, old.is_some(), !new.is_empty()));
        note(&mut metadata, failing.quote.as_ref());
        let mut worked = numbers(metadata.get("worked"));
        for (way, times) in ways {
            if worked.len() < REFLECT_WAYS_MAX || worked.contains_key(&way.words) {
                note_example(&mut metadata, &way.words, way.example.as_ref());
                *worked.entry(way.words).or_default() += times as u64;
            }
        }
        metadata.insert("worked".to_owned(), json!(worked));
        let content = lesson_text(&metadata);
        let mut draft = self.draft(subject, Kind::Lesson, content, metadata, old);
        draft.owner = owner.clone();
        draft.sources = self.cite(new);
        draft.replaces = replaces;
        Some(draft)
    }

    /// When the failure happened last, and which calls worked besides.
    fn count_worked(
        &self,
        metadata: &mut Map<String, Value>,
        failing: &Failing,
        (owner, is_known, is_again): (&Owner, bool, bool),
    ) {
        let last = metadata.get("last").and_then(|last| serde_json::from_value(last.clone()).ok());
        metadata.insert("last".to_owned(), json!(last.map_or(failing.last, |last| failing.last.max(last))));
        let seqs: Vec<u32> =
            self.worked(metadata, owner).filter(|worked| worked.is_new).map(|worked| worked.seq).collect();
        add(metadata, "succeeded", seqs.iter().filter(|seq| is_known || **seq > failing.first_seq).count());
        if is_again {
            metadata.remove("since");
        }
        add(metadata, "since", seqs.iter().filter(|seq| !is_again || **seq > failing.last_seq).count());
    }

    fn strategies(&self, failing: &Failing, owner: &Owner) -> Vec<Draft> {
        let signature = signature(failing);
        let draft = |(way, times): &(super::Way, Times)| {
            let subject = Subject::strategy(self.scope, &signature, &way.words, owner);
            let old = self.old(subject);
            let new = unseen(times, old);
            if new.is_empty() {
                return None;
            }
            let old = old.filter(|old| !is_undone(old));
            let mut metadata = old.map(|old| old.metadata.clone()).unwrap_or_default();
            let replaces = old.map(|_| strategy_text(&metadata));
            grow(&mut metadata, times, &new);
            metadata.insert("tool".to_owned(), json!(failing.tool));
            metadata.insert("error".to_owned(), json!(failing.error));
            metadata.insert("signature".to_owned(), json!(signature));
            metadata.insert("way".to_owned(), json!(way.words));
            metadata.insert("last".to_owned(), json!(failing.last));
            if let Some(program) = failing.program.as_ref().filter(|_| old.is_none()) {
                metadata.insert("program".to_owned(), json!(program));
            }
            metadata.remove("since");
            let since = self.worked(&metadata, owner).filter(|worked| worked.seq > way.seq).count();
            add(&mut metadata, "since", since);
            note_example(&mut metadata, &way.words, way.example.as_ref());
            let content = strategy_text(&metadata);
            let mut draft = self.draft(subject, Kind::Strategy, content, metadata, old);
            draft.owner = owner.clone();
            draft.sources = self.cite(new);
            draft.replaces = replaces;
            Some(draft)
        };
        failing.ways.iter().filter_map(draft).collect()
    }

    fn cite(&self, new: Vec<&Vec<MemoryId>>) -> Vec<Cited> {
        new.into_iter().flatten().filter_map(|id| self.cited.get(id).copied()).collect()
    }

    /// The summary of a session, which says how far it was looked at, and for each other owner one of what that owner said. Whose
    /// the first one is is settled when it is made, and it never quotes anybody else.
    fn summaries(&self, session: &str, events: &[Event], verdict: &Verdict) -> Vec<Draft> {
        let Some(last) = events.last() else { return Vec::new() };
        let subject = Subject::summary(self.scope, session);
        let owners = owners(events);
        let sole = owners.first().filter(|_| owners.len() == 1).map(|owner| Owner::clone(owner));
        let first = self.old(subject).map(Owner::of).or(sole).unwrap_or_default();
        let (mut main, _) = self.summary(subject, session, (events, verdict), &first);
        main.metadata.insert("events".to_owned(), json!(events.len()));
        main.metadata.insert("upto".to_owned(), json!(last.seq));
        let others = owners.into_iter().filter(|owner| **owner != first).filter_map(|owner| {
            let subject = Subject::owned_summary(self.scope, session, owner);
            let (draft, says) = self.summary(subject, session, (events, verdict), owner);
            (says && draft.is_news(self.old(subject))).then_some(draft)
        });
        let mut drafts: Vec<Draft> = others.collect();
        drafts.push(main);
        drafts
    }

    /// What the events of one owner say, and whether that is anything.
    fn summary(
        &self,
        subject: Subject,
        session: &str,
        (events, verdict): (&[Event], &Verdict),
        owner: &Owner,
    ) -> (Draft, bool) {
        let is_own = |event: &Event| event.is_end() || event.owner == *owner;
        let own: Cow<'_, [Event]> = match events.iter().all(is_own) {
            true => events.into(),
            false => events.iter().filter(|event| is_own(event)).cloned().collect(),
        };
        let mut own_verdict = Verdict { outcome: verdict.outcome, ..evaluate(&own, None) };
        // What has no answer now may have had one that was forgotten.
        own_verdict.failings.retain(|failing| !self.is_again || failing.error != NO_ANSWER);
        let mut summary = summary::summarise(session, &own, &own_verdict);
        let mut metadata = self.old(subject).map(|old| old.metadata.clone()).unwrap_or_default();
        metadata.insert("session_id".to_owned(), json!(session));
        metadata.insert("outcome".to_owned(), json!(verdict.outcome));
        metadata.insert("events".to_owned(), json!(own.len()));
        metadata.insert("quotes".to_owned(), json!(summary.quotes));
        let insight = field(&metadata, "insight");
        // A model may repeat any of them.
        if !insight.is_empty() {
            summary.sources.extend(own.iter().rev().map(Event::cited).take(SOURCES_MAX));
        }
        let text = with_insight(&summary.text, insight);
        let says = summary.quotes > 0 || !own_verdict.failings.is_empty();
        let whose = (self.info_class, owner.clone());
        (Draft::reflection(subject, text, metadata, summary.sources, whose), says)
    }

    fn draft(
        &self,
        subject: Subject,
        kind: Kind,
        content: String,
        metadata: Map<String, Value>,
        old: Option<&Memory>,
    ) -> Draft {
        let count = metadata.get("count").and_then(Value::as_u64).unwrap_or(1);
        // Feedback moved it, and stays: it grows by what the new events add, and sinks by what they take.
        let importance = match old {
            Some(old) => (old.importance + weight(&metadata) - weight(&old.metadata)).clamp(0.0, 1.0),
            None => weight(&metadata),
        };
        Draft {
            subject,
            kind,
            content,
            metadata,
            importance,
            confidence: confidence(count),
            sources: Vec::new(),
            info_class: self.info_class,
            owner: Owner::default(),
            replaces: None,
            is_quiet: false,
        }
    }
}

/// The new ones that are not among the sources of the memory already: somebody may have forgotten how far the session was
/// looked at.
fn unseen<'a>(times: &'a Times, old: Option<&Memory>) -> Vec<&'a Vec<MemoryId>> {
    let is_known = |id: &MemoryId| old.is_some_and(|old| old.provenance.derived_from.contains(id));
    times.new.iter().filter(|events| !events.iter().all(is_known)).collect()
}

/// Adds the new ones to the numbers. A session that was counted already is not counted again.
fn grow(metadata: &mut Map<String, Value>, times: &Times, new: &[&Vec<MemoryId>]) {
    let number = |key: &str| metadata.get(key).and_then(Value::as_u64).unwrap_or(0);
    let (count, sessions) = (number("count"), number("sessions"));
    metadata.insert("count".to_owned(), json!(count.saturating_add(new.len() as u64)));
    let is_first = times.old == 0 && new.len() == times.new.len();
    metadata.insert("sessions".to_owned(), json!(sessions.saturating_add(u64::from(is_first)).max(1)));
}
