//! The reflector: from a verdict to the memories that keep it, new ones and stronger ones.

use super::{
    error_text::advice,
    evaluate::{Failing, Times, Verdict, evaluate},
    event::{Cited, Event, Owner},
    model::{PROMPT, Said},
    subject::Subject,
    summary,
};
use crate::{
    limits::{REFLECT_SENTENCES_MAX, REFLECT_WAYS_MAX, SOURCES_MAX},
    model::{InfoClass, Kind, Layer, Memory, MemoryId, MemoryPatch, Provenance, Scope, Timestamp, TrustLevel},
};
use serde_json::{Map, Value, json};
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap},
};

/// A memory as it should be: new, or a change of the one that is about the same.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    pub subject: Subject,
    pub kind: Kind,
    pub content: String,
    pub metadata: Map<String, Value>,
    importance: f64,
    confidence: f64,
    sources: Vec<Cited>,
    info_class: InfoClass,
    owner: Owner,
    /// The words that the memory has now, where they are still those of its numbers.
    replaces: Option<String>,
}

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
const SUMMARY_IMPORTANCE: f64 = 0.5;

/// What was learnt: `known` are the memories that are there, by what they are about.
pub(crate) struct Learnt<'a> {
    scope: &'a Scope,
    info_class: InfoClass,
    known: &'a HashMap<Subject, Memory>,
    cited: HashMap<MemoryId, Cited>,
    owners: HashMap<MemoryId, &'a Owner>,
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
/// that somebody ended or replaced is left alone. A strategy or lesson without new events gets no draft.
pub(crate) fn drafts(
    scope: &Scope,
    session: &str,
    (events, verdict): (&[Event], &Verdict),
    known: &HashMap<Subject, Memory>,
) -> Vec<Draft> {
    let info_class = verdict.info_class.unwrap_or(InfoClass::Internal);
    let cited = events.iter().map(|event| (event.id, event.cited())).collect();
    let learnt = Learnt { scope, info_class, known, cited, owners: owned(events) };
    let mut drafts = Vec::new();
    for failing in &verdict.failings {
        let Some(owner) = owner_of(failing, &learnt.owners) else { continue };
        drafts.extend(learnt.lesson(failing, &owner));
        drafts.extend(learnt.strategies(failing, &owner));
    }
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
        let way = |way: &super::Way| Subject::strategy(scope, &signature, &way.in_words(), &owner);
        subjects.push(Subject::lesson(scope, &signature, &owner));
        subjects.extend(failing.ways.iter().map(|(out, _)| way(out)));
    }
    subjects
}

/// The lessons of a verdict that are nobody's own, in its order.
pub(crate) fn lessons(scope: &Scope, verdict: &Verdict) -> Vec<Subject> {
    verdict.failings.iter().map(|failing| Subject::lesson(scope, &signature(failing), &Owner::default())).collect()
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
fn confidence(count: u64) -> f64 {
    1.0 - 0.5 / (count.max(1) as f64).sqrt()
}

impl Learnt<'_> {
    fn old(&self, subject: Subject) -> Option<&Memory> {
        self.known.get(&subject)
    }

    fn lesson(&self, failing: &Failing, owner: &Owner) -> Option<Draft> {
        let signature = signature(failing);
        let subject = Subject::lesson(self.scope, &signature, owner);
        let old = self.old(subject);
        let new = unseen(&failing.times, old);
        let ways: Vec<(String, usize)> = failing
            .ways
            .iter()
            .map(|(way, times)| (way.in_words(), times))
            .map(|(way, times)| (self.old(Subject::strategy(self.scope, &signature, &way, owner)), way, times))
            .map(|(strategy, way, times)| (way, unseen(times, strategy).len()))
            .filter(|(_, worked)| *worked > 0)
            .collect();
        // A way out may be found after the failure was counted.
        if new.is_empty() && (ways.is_empty() || old.is_none()) {
            return None;
        }
        let mut metadata = old.map(|old| old.metadata.clone()).unwrap_or_default();
        let replaces = old.map(|_| lesson_text(&metadata));
        let before = grow(&mut metadata, &failing.times, &new);
        metadata.insert("tool".to_owned(), json!(failing.tool));
        metadata.insert("error".to_owned(), json!(failing.error));
        metadata.insert("signature".to_owned(), json!(signature));
        let mut worked = numbers(metadata.get("worked"));
        for (way, times) in ways {
            if worked.len() < REFLECT_WAYS_MAX || worked.contains_key(&way) {
                *worked.entry(way).or_default() += times as u64;
            }
        }
        metadata.insert("worked".to_owned(), json!(worked));
        let content = lesson_text(&metadata);
        let mut draft = self.draft(subject, Kind::Lesson, content, metadata, (before, old));
        draft.owner = owner.clone();
        draft.sources = self.cite(new);
        draft.replaces = replaces;
        Some(draft)
    }

    fn strategies(&self, failing: &Failing, owner: &Owner) -> Vec<Draft> {
        let signature = signature(failing);
        let draft = |(way, times): &(super::Way, Times)| {
            let way = way.in_words();
            let subject = Subject::strategy(self.scope, &signature, &way, owner);
            let old = self.old(subject);
            let new = unseen(times, old);
            if new.is_empty() {
                return None;
            }
            let mut metadata = old.map(|old| old.metadata.clone()).unwrap_or_default();
            let replaces = old.map(|_| strategy_text(&metadata));
            let before = grow(&mut metadata, times, &new);
            metadata.insert("tool".to_owned(), json!(failing.tool));
            metadata.insert("error".to_owned(), json!(failing.error));
            metadata.insert("signature".to_owned(), json!(signature));
            metadata.insert("way".to_owned(), json!(way));
            let content = strategy_text(&metadata);
            let mut draft = self.draft(subject, Kind::Strategy, content, metadata, (before, old));
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
        let own_verdict = Verdict { outcome: verdict.outcome, ..evaluate(&own, None) };
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
        (before, old): (u64, Option<&Memory>),
    ) -> Draft {
        let count = metadata.get("count").and_then(Value::as_u64).unwrap_or(1);
        // Feedback moved it, and stays: it grows by what the new events add.
        let importance = match old {
            Some(old) => (old.importance + importance(count) - importance(before)).clamp(0.0, 1.0),
            None => importance(count),
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
        }
    }
}

/// The new ones that are not among the sources of the memory already: somebody may have forgotten how far the session was
/// looked at.
fn unseen<'a>(times: &'a Times, old: Option<&Memory>) -> Vec<&'a Vec<MemoryId>> {
    let is_known = |id: &MemoryId| old.is_some_and(|old| old.provenance.derived_from.contains(id));
    times.new.iter().filter(|events| !events.iter().all(is_known)).collect()
}

/// Adds the new ones to the numbers; gives the count before. A session that was counted already is not counted again.
fn grow(metadata: &mut Map<String, Value>, times: &Times, new: &[&Vec<MemoryId>]) -> u64 {
    let number = |key: &str| metadata.get(key).and_then(Value::as_u64).unwrap_or(0);
    let (count, sessions) = (number("count"), number("sessions"));
    metadata.insert("count".to_owned(), json!(count.saturating_add(new.len() as u64)));
    let is_first = times.old == 0 && new.len() == times.new.len();
    metadata.insert("sessions".to_owned(), json!(sessions.saturating_add(u64::from(is_first)).max(1)));
    count
}

pub(super) fn numbers(value: Option<&Value>) -> BTreeMap<String, u64> {
    let entries = value.and_then(Value::as_object).into_iter().flatten();
    entries.filter_map(|(key, value)| Some((key.clone(), value.as_u64()?))).collect()
}

pub(super) fn often(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

pub(super) fn field<'a>(metadata: &'a Map<String, Value>, key: &str) -> &'a str {
    metadata.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn occurrence(metadata: &Map<String, Value>) -> String {
    let number = |key: &str| metadata.get(key).and_then(Value::as_u64).unwrap_or(1);
    format!("{} in {}", often(number("count"), "time"), often(number("sessions"), "session"))
}

/// The lesson in words, from its numbers alone.
fn lesson_text(metadata: &Map<String, Value>) -> String {
    let (tool, error) = (field(metadata, "tool"), field(metadata, "error"));
    let (cause, rule) = (field(metadata, "cause"), field(metadata, "rule"));
    let times = occurrence(metadata);
    let mut text = match tool {
        "" => format!("It went wrong with '{error}' {times}."),
        tool => format!("Calls of `{tool}` failed with '{error}' {times}."),
    };
    if !cause.is_empty() {
        text.push_str(&format!(" Cause: {}", sentence(cause)));
    }
    match (rule, tool) {
        ("", "") => text.push_str(&format!(" Before going the same way again: {}.", advice(error))),
        ("", _) => text.push_str(&format!(" Before calling it again: {}.", advice(error))),
        (rule, _) => text.push_str(&format!(" Rule: {}", sentence(rule))),
    }
    let worked = numbers(metadata.get("worked"));
    if !worked.is_empty() {
        let ways: Vec<String> = worked.iter().map(|(way, n)| format!("{way} ({})", often(*n, "time"))).collect();
        text.push_str(&format!(" What worked then: {}.", ways.join("; ")));
    }
    text
}

fn strategy_text(metadata: &Map<String, Value>) -> String {
    let (tool, error, way) = (field(metadata, "tool"), field(metadata, "error"), field(metadata, "way"));
    format!("After `{tool}` failed with '{error}', {way} worked, {}.", occurrence(metadata))
}

pub(crate) fn sentence(text: &str) -> String {
    let end = if text.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{text}{end}")
}

pub(super) fn with_insight(text: &str, insight: &str) -> String {
    if insight.is_empty() { text.to_owned() } else { format!("{text} {}", sentence(insight)) }
}

/// What changes of a lesson when a model says why, and what to do, having been shown these events; `None` where the lesson cannot
/// cite them all beside what it may repeat already. Words that somebody changed stay.
pub(crate) fn explained(old: &Memory, said: &Said, (shown, class): (&[Cited], InfoClass)) -> Option<MemoryPatch> {
    let mut metadata = old.metadata.clone();
    metadata.insert("cause".to_owned(), json!(said.cause));
    metadata.insert("rule".to_owned(), json!(said.rule));
    metadata.insert("prompt".to_owned(), json!(PROMPT));
    let content = (lesson_text(&old.metadata) == old.content).then(|| lesson_text(&metadata));
    let shown_ids: Vec<MemoryId> = shown.iter().map(|event| event.id).collect();
    let before = &old.provenance.derived_from;
    let others: Vec<MemoryId> = before.iter().filter(|id| !shown_ids.contains(id)).copied().collect();
    // The rules repeat nothing that was said: of their sources some may make room. Those of a model's words may not.
    if is_of_model(old) && shown_ids.len() + others.len() > SOURCES_MAX {
        return None;
    }
    let mut provenance = old.provenance.clone();
    provenance.derived_from = shown_ids.into_iter().chain(others).take(SOURCES_MAX).collect();
    let ends = shown.iter().filter_map(|event| event.expires_at).chain(old.expires_at).min();
    Some(MemoryPatch {
        provenance: Some(provenance),
        expires_at: Some(ends),
        info_class: Some(old.info_class.max(class)),
        ..reworded(old, content, metadata)
    })
}

/// Whether words of a model are, or may be, in a memory.
pub(crate) fn is_of_model(memory: &Memory) -> bool {
    ["cause", "rule", "prompt"].iter().any(|key| memory.metadata.contains_key(*key))
}

/// What changes of a summary when a model was asked about the session up to a place.
pub(crate) fn asked(
    old: &Memory,
    insight: Option<&str>,
    (upto, failed): (u32, bool),
    (shown, class): (&[Cited], InfoClass),
) -> MemoryPatch {
    let mut metadata = old.metadata.clone();
    if failed {
        metadata.insert("model_failed".to_owned(), json!(upto));
        return reworded(old, None, metadata);
    }
    metadata.remove("model_failed");
    metadata.insert("asked".to_owned(), json!(upto));
    let Some(insight) = insight else { return reworded(old, None, metadata) };
    let before = field(&old.metadata, "insight");
    let bare = old.content.strip_suffix(&with_insight("", before)).unwrap_or(&old.content);
    let content = with_insight(bare, insight);
    metadata.insert("insight".to_owned(), json!(insight));
    metadata.insert("prompt".to_owned(), json!(PROMPT));
    // A model may repeat any of what it was shown. What the summary quotes comes first among its sources.
    let mut provenance = old.provenance.clone();
    let (quoted, rest) = provenance.derived_from.split_at(provenance.derived_from.len().min(REFLECT_SENTENCES_MAX));
    let mut sources: Vec<MemoryId> = Vec::new();
    for id in quoted.iter().copied().chain(shown.iter().map(|event| event.id)).chain(rest.iter().copied()) {
        if sources.len() < SOURCES_MAX && !sources.contains(&id) {
            sources.push(id);
        }
    }
    provenance.derived_from = sources;
    let ends = shown.iter().filter_map(|event| event.expires_at).chain(old.expires_at).min();
    MemoryPatch {
        provenance: Some(provenance),
        expires_at: Some(ends),
        info_class: Some(old.info_class.max(class)),
        ..reworded(old, Some(content), metadata)
    }
}

pub(super) fn reworded(old: &Memory, content: Option<String>, metadata: Map<String, Value>) -> MemoryPatch {
    let content = content.filter(|content| *content != old.content);
    MemoryPatch {
        content_hash: content.as_ref().map(|content| *blake3::hash(content.as_bytes()).as_bytes()),
        content,
        metadata: Some(metadata),
        trust_level: Some(Some(TrustLevel::Low)),
        ..MemoryPatch::default()
    }
}

/// Up to where a model was asked about the session of a summary.
pub(crate) fn was_asked(summary: &Memory) -> Option<u32> {
    place(summary, "asked")
}

/// Up to where its answer could not be read.
pub(crate) fn model_failed(summary: &Memory) -> Option<u32> {
    place(summary, "model_failed")
}

fn place(summary: &Memory, field: &str) -> Option<u32> {
    summary.metadata.get(field).and_then(Value::as_u64).and_then(|place| u32::try_from(place).ok())
}

impl Draft {
    /// A reflection of this text on these events, of a class and of whom they all are.
    pub fn reflection(
        subject: Subject,
        content: String,
        metadata: Map<String, Value>,
        sources: Vec<Cited>,
        (info_class, owner): (InfoClass, Owner),
    ) -> Self {
        let (kind, replaces) = (Kind::Reflection, None);
        let (importance, confidence) = (SUMMARY_IMPORTANCE, 1.0);
        Self { subject, kind, content, metadata, importance, confidence, sources, info_class, owner, replaces }
    }

    /// What a user says again and again, as knowledge: the newest wording. Words that somebody changed stay.
    pub fn statement(
        subject: Subject,
        content: String,
        metadata: Map<String, Value>,
        sources: Vec<Cited>,
        whose: (InfoClass, Owner),
    ) -> Self {
        Self { kind: Kind::Fact, ..Self::reflection(subject, content, metadata, sources, whose) }
    }

    /// Whether it quotes what it was made from, and is written anew each time.
    fn quotes(&self) -> bool {
        matches!(self.kind, Kind::Reflection | Kind::Fact)
    }

    /// What it was made from, as it was read: it may be written only while that is there unchanged.
    pub fn cited(&self) -> impl Iterator<Item = &Cited> {
        self.sources.iter().take(SOURCES_MAX)
    }

    /// When the first of what it quotes is to be gone. Lessons quote nothing.
    fn expires_at(&self) -> Option<Timestamp> {
        let quoted = self.sources.iter().filter(|_| self.quotes());
        quoted.filter_map(|source| source.expires_at).min()
    }

    /// How far a session was looked at, noted in a summary that somebody ended: what was counted is not counted again, and nothing
    /// else of it moves. `None` where the draft notes no such place, or the memory has it.
    pub fn mark_alone(&self, old: &Memory) -> Option<MemoryPatch> {
        let upto = self.metadata.get("upto").filter(|upto| old.metadata.get("upto") != Some(*upto))?;
        let mut metadata = old.metadata.clone();
        metadata.insert("upto".to_owned(), upto.clone());
        Some(MemoryPatch { metadata: Some(metadata), ..MemoryPatch::default() })
    }

    /// Whether it says anything that the memory does not.
    pub fn is_news(&self, old: Option<&Memory>) -> bool {
        old.is_none_or(|old| {
            old.metadata != self.metadata || (self.kind == Kind::Reflection && old.content != self.content)
        })
    }

    /// The memory, where there is none yet.
    pub fn into_memory(self, id: MemoryId, scope: &Scope, now: Timestamp) -> Memory {
        let (sources, expires_at) = (self.sources_after(&[]), self.expires_at());
        Memory {
            id,
            scope: scope.clone(),
            layer: if self.kind == Kind::Fact { Layer::Semantic } else { Layer::Reflective },
            kind: self.kind,
            content_hash: *blake3::hash(self.content.as_bytes()).as_bytes(),
            content: self.content,
            role: None,
            speaker: None,
            session_id: None,
            agent_id: self.owner.agent_id,
            user_id: self.owner.user_id,
            tags: Vec::new(),
            metadata: self.metadata,
            importance: self.importance,
            strength: 1.0,
            confidence: self.confidence,
            // It repeats what tools and strangers said.
            trust_level: Some(TrustLevel::Low),
            info_class: self.info_class,
            provenance: Provenance { derived_from: sources, sources: Vec::new() },
            created_at: now,
            updated_at: now,
            occurred_at: None,
            valid_from: None,
            valid_to: None,
            superseded_by: None,
            expires_at,
            version: 1,
            seq: 0,
            seq_in_session: None,
            claim: None,
            dedup_key: Some(self.subject.key),
            witness_count: 1,
        }
    }

    /// What changes of the memory that is there. Words that somebody changed stay as they are.
    pub fn into_patch(self, old: &Memory) -> MemoryPatch {
        let (quotes, expires_at) = (self.quotes(), self.quotes().then(|| self.expires_at()));
        let derived_from = match quotes {
            // A summary is written anew, from these events.
            true => self.sources_after(&[]),
            false => self.sources_after(&old.provenance.derived_from),
        };
        let provenance = Provenance { derived_from, sources: old.provenance.sources.clone() };
        let said = old.metadata.get("consolidated").and_then(Value::as_str);
        let is_ours = self.replaces.as_deref().or(said).is_none_or(|words| words == old.content);
        let content = Some(self.content).filter(|content| is_ours && *content != old.content);
        MemoryPatch {
            content_hash: content.as_ref().map(|content| *blake3::hash(content.as_bytes()).as_bytes()),
            content,
            metadata: Some(self.metadata),
            importance: (!quotes).then_some(self.importance),
            confidence: (!quotes).then_some(self.confidence),
            info_class: Some(self.info_class.max(old.info_class)),
            provenance: Some(provenance),
            expires_at,
            ..MemoryPatch::default()
        }
    }

    fn sources_after(&self, old: &[MemoryId]) -> Vec<MemoryId> {
        let mut sources = old.to_vec();
        for Cited { id, .. } in &self.sources {
            if sources.len() < SOURCES_MAX && !sources.contains(id) {
                sources.push(*id);
            }
        }
        sources
    }
}
