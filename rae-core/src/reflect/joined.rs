//! A lesson or strategy that another project learnt of the same, joined with the one that is here: its numbers are added once, however
//! often it comes, and from wherever else it is joined already.
//!
//! `joined` in the metadata has for each lesson that was taken in the numbers that were its own then. What a lesson learnt by itself are
//! its numbers without those, so that two who exchange their lessons again and again count each event once.

use super::{
    draft::Draft,
    evaluate::{Failing, evaluate},
    event::{Cited, Event, Owner},
    lesson::{confidence, weight},
    quote::take_newer,
    subject::Subject,
    told::{OF_MODEL, is_of_model},
    words::{field, lesson_text, numbers, strategy_text},
};
use crate::{
    limits::{REFLECT_JOINED_MAX, REFLECT_WAYS_MAX, SOURCES_MAX},
    model::{Kind, Memory, MemoryId, Scope, Timestamp},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Where a lesson says which others were taken in.
const JOINED: &str = "joined";
/// Under which id others know a lesson that was made anew without a quote.
const ORIGIN: &str = "origin";
/// Numbers that are added; those of ways out have the way behind `WAY`.
const ADDED: [&str; 3] = ["count", "sessions", "succeeded"];
const WAY: &str = "worked ";

type Numbers = BTreeMap<String, u64>;

/// What one lesson gave to another.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Share {
    /// Its own numbers when they were added last.
    seen: Numbers,
    /// What of them was known here already, from the same events.
    #[serde(default, skip_serializing_if = "Numbers::is_empty")]
    less: Numbers,
}

/// What comes of a lesson from elsewhere.
pub(crate) enum Joined {
    /// All that it says is counted here.
    Known,
    /// What the one that is here becomes.
    Grown(Box<Draft>),
    /// It stays a memory of its own: more came together than are remembered, or it is the same lesson under another id.
    Apart,
}

/// The id by which others know a lesson.
fn origin(memory: &Memory) -> String {
    let known = field(&memory.metadata, ORIGIN);
    if known.is_empty() { memory.id.to_string() } else { known.to_owned() }
}

/// Notes on a lesson that is made anew in the place of `old` by which id others know it.
pub(crate) fn keep_origin(anew: &mut Memory, old: &Memory) {
    anew.metadata.insert(ORIGIN.to_owned(), json!(origin(old)));
}

fn shares(memory: &Memory) -> BTreeMap<String, Share> {
    memory.metadata.get(JOINED).and_then(|shares| serde_json::from_value(shares.clone()).ok()).unwrap_or_default()
}

fn all_of(metadata: &Map<String, Value>) -> Numbers {
    let added = ADDED.iter().filter_map(|key| Some(((*key).to_owned(), metadata.get(*key)?.as_u64()?)));
    let ways = numbers(metadata.get("worked")).into_iter().map(|(way, times)| (format!("{WAY}{way}"), times));
    added.chain(ways).filter(|(_, number)| *number > 0).collect()
}

fn minus(from: &Numbers, less: &Numbers) -> Numbers {
    let left = |(key, n): (&String, &u64)| {
        let n = n.saturating_sub(less.get(key).copied().unwrap_or(0));
        (n > 0).then(|| (key.clone(), n))
    };
    from.iter().filter_map(left).collect()
}

fn add(to: &mut Numbers, more: Numbers) {
    for (key, n) in more {
        let sum = to.entry(key).or_default();
        *sum = sum.saturating_add(n);
    }
}

/// What a lesson learnt by itself.
fn own(memory: &Memory, shares: &BTreeMap<String, Share>) -> Numbers {
    let given = |all: Numbers, share: &Share| minus(&all, &minus(&share.seen, &share.less));
    shares.values().fold(all_of(&memory.metadata), given)
}

fn words(memory: &Memory, metadata: &Map<String, Value>) -> String {
    if memory.kind == Kind::Strategy { strategy_text(metadata) } else { lesson_text(metadata) }
}

/// Whether a lesson or strategy says what follows from its numbers: words of somebody's own are no part of another lesson.
pub(crate) fn has_own_words(memory: &Memory) -> bool {
    !field(&memory.metadata, "signature").is_empty() && words(memory, &memory.metadata) == memory.content
}

/// How often these events, which both lessons cite, show what the lesson is about.
fn shown(lesson: &Memory, events: Vec<Memory>) -> Numbers {
    let (tool, error) = (field(&lesson.metadata, "tool"), field(&lesson.metadata, "error"));
    let mut sessions: BTreeMap<String, Vec<Event>> = BTreeMap::new();
    for mut event in events {
        let session = event.session_id.take().unwrap_or_default();
        sessions.entry(session).or_default().extend(Event::read(event));
    }
    let of = sessions.len() as u64;
    let (mut all, mut count) = (Numbers::new(), 0u64);
    let is_meant = |failing: &Failing| failing.error == error && failing.tool.as_deref().unwrap_or_default() == tool;
    for mut events in sessions.into_values() {
        events.sort_by_key(|event| (event.seq, event.id));
        for failing in evaluate(&events, None).failings.iter().filter(|failing| is_meant(failing)) {
            count += failing.times.new.len() as u64;
            for (way, times) in &failing.ways {
                add(&mut all, Numbers::from([(format!("{WAY}{}", way.words), times.new.len() as u64)]));
            }
        }
    }
    if lesson.kind == Kind::Strategy {
        count = all.get(&format!("{WAY}{}", field(&lesson.metadata, "way"))).copied().unwrap_or(0);
        all.clear();
    }
    // Where the events are too few to tell, each session shows it once.
    add(&mut all, Numbers::from([("count".to_owned(), count.max(of)), ("sessions".to_owned(), of)]));
    all
}

/// What the lesson `held` becomes by `other`, of the same subject, of whose sources these are here.
pub(crate) fn joined(scope: &Scope, held: &Memory, other: &Memory, sources: &[Memory]) -> Joined {
    let (here, there) = (origin(held), origin(other));
    let Some(subject) = Subject::of(scope, held).filter(|_| here != there) else { return Joined::Apart };
    let (mut shares, theirs) = (shares(held), shares(other));
    let is_met = shares.contains_key(&there) || theirs.keys().any(|id| *id == here || shares.contains_key(id));
    let cites = |source: &&Memory| held.provenance.derived_from.contains(&source.id);
    let common: Vec<Memory> = sources.iter().filter(cites).cloned().collect();
    let less = if is_met || common.is_empty() { Numbers::new() } else { shown(other, common) };
    let first = Share { seen: own(other, &theirs), less };
    let mut gain = Numbers::new();
    for (id, share) in theirs.into_iter().chain([(there, first)]).filter(|(id, _)| *id != here) {
        let known =
            shares.get(&id).cloned().unwrap_or_else(|| Share { seen: share.less.clone(), less: share.less.clone() });
        add(&mut gain, minus(&share.seen, &known.seen));
        let mut seen = known.seen.clone();
        add(&mut seen, minus(&share.seen, &known.seen));
        shares.insert(id, Share { seen, less: known.less });
    }
    if gain.is_empty() {
        return Joined::Known;
    }
    if shares.len() > REFLECT_JOINED_MAX {
        return Joined::Apart;
    }
    let mut metadata = grown(held, &gain);
    metadata.insert(JOINED.to_owned(), json!(shares));
    take_last(&mut metadata, &other.metadata);
    let is_here: BTreeSet<MemoryId> = sources.iter().map(|source| source.id).collect();
    take_newer(&mut metadata, &other.metadata, &is_here);
    take_words(&mut metadata, (held, other), &is_here);
    Joined::Grown(Box::new(draft(subject, (held, other), metadata, sources)))
}

/// The numbers of a lesson with those that were gained.
fn grown(held: &Memory, gain: &Numbers) -> Map<String, Value> {
    let mut metadata = held.metadata.clone();
    let mut worked = numbers(metadata.get("worked"));
    for (key, more) in gain {
        match key.strip_prefix(WAY) {
            Some(way) if worked.contains_key(way) || worked.len() < REFLECT_WAYS_MAX => {
                let times = worked.entry(way.to_owned()).or_default();
                *times = times.saturating_add(*more);
            }
            Some(_) => {}
            None => {
                let known = metadata.get(key).and_then(Value::as_u64).unwrap_or(0);
                metadata.insert(key.clone(), json!(known.saturating_add(*more)));
            }
        }
    }
    if held.kind == Kind::Lesson {
        metadata.insert("worked".to_owned(), json!(worked));
    }
    metadata
}

/// When it happened last, and how many calls worked since: of the two who saw it last.
fn take_last(metadata: &mut Map<String, Value>, other: &Map<String, Value>) {
    let last = |of: &Map<String, Value>| -> Option<Timestamp> { serde_json::from_value(of.get("last")?.clone()).ok() };
    if last(other) > last(metadata) {
        for key in ["last", "since"] {
            match other.get(key) {
                Some(value) => drop(metadata.insert(key.to_owned(), value.clone())),
                None => drop(metadata.remove(key)),
            }
        }
    }
}

/// A model's words, where here are none, and all that it was shown is here and can be cited.
fn take_words(metadata: &mut Map<String, Value>, (held, other): (&Memory, &Memory), is_here: &BTreeSet<MemoryId>) {
    let theirs = &other.provenance.derived_from;
    let cited: BTreeSet<&MemoryId> = held.provenance.derived_from.iter().chain(theirs).collect();
    let is_whole = theirs.iter().all(|id| is_here.contains(id)) && cited.len() <= SOURCES_MAX;
    if is_of_model(held) || other.expires_at.is_some() || !is_whole {
        return;
    }
    for key in OF_MODEL {
        metadata.extend(other.metadata.get(key).map(|words| (key.to_owned(), words.clone())));
    }
}

fn draft(
    subject: Subject,
    (held, other): (&Memory, &Memory),
    metadata: Map<String, Value>,
    sources: &[Memory],
) -> Draft {
    let count = metadata.get("count").and_then(Value::as_u64).unwrap_or(1);
    Draft {
        subject,
        kind: held.kind,
        content: words(held, &metadata),
        importance: (held.importance + weight(&metadata) - weight(&held.metadata)).clamp(0.0, 1.0),
        confidence: held.confidence.max(confidence(count)),
        metadata,
        sources: sources.iter().map(Cited::of).collect(),
        info_class: other.info_class,
        owner: Owner::of(held),
        replaces: Some(words(held, &held.metadata)),
        is_quiet: false,
    }
}
