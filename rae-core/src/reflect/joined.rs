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
    error::{Error, Result},
    limits::{REFLECT_COUNT_MAX, REFLECT_JOINED_MAX, REFLECT_WAYS_MAX, SOURCES_MAX},
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
    /// It stays a memory of its own: more came together than are remembered, or it is of another subject than its key says.
    Apart,
}

/// The id by which others know a lesson.
fn origin(memory: &Memory) -> String {
    let known = field(&memory.metadata, ORIGIN);
    if is_id(known) { known.to_owned() } else { memory.id.to_string() }
}

/// Nothing else is a name of a lesson: a file may say anything.
fn is_id(text: &str) -> bool {
    text.parse::<MemoryId>().is_ok()
}

/// Notes on a lesson that is made anew in the place of `old` by which id others know it.
pub(crate) fn keep_origin(anew: &mut Memory, old: &Memory) {
    anew.metadata.insert(ORIGIN.to_owned(), json!(origin(old)));
}

/// What others gave to a lesson, as far as that can be: a file may say anything, so nothing is taken but numbers that are added, of ways
/// that the lesson itself names.
fn shares(memory: &Memory) -> BTreeMap<String, Share> {
    let said = memory.metadata.get(JOINED).and_then(|shares| serde_json::from_value(shares.clone()).ok());
    let said: BTreeMap<String, Share> = said.unwrap_or_default();
    let worked = numbers(memory.metadata.get("worked"));
    let is_added =
        |key: &str| ADDED.contains(&key) || key.strip_prefix(WAY).is_some_and(|way| worked.contains_key(way));
    let kept = |numbers: Numbers, most: &dyn Fn(&str) -> u64| -> Numbers {
        let bounded = numbers.into_iter().filter(|(key, _)| is_added(key)).map(|(key, n)| {
            let n = n.min(most(&key));
            (key, n)
        });
        bounded.filter(|(_, n)| *n > 0).collect()
    };
    let share = |Share { seen, less }: Share| {
        let seen = kept(seen, &|_| REFLECT_COUNT_MAX);
        // No more can have been known than was there.
        let less = kept(less, &|key| seen.get(key).copied().unwrap_or(0));
        Share { seen, less }
    };
    said.into_iter().filter(|(id, _)| is_id(id)).map(|(id, said)| (id, share(said))).collect()
}

/// Refuses a lesson or strategy of a file that counts more than can have happened.
pub(crate) fn check_counts(memory: &Memory) -> Result<()> {
    let is_learnt = matches!(memory.kind, Kind::Lesson | Kind::Strategy) && memory.has_subject_key();
    let since = memory.metadata.get("since").and_then(Value::as_u64);
    let most = all_of(&memory.metadata).into_values().chain(since).max().unwrap_or(0);
    if is_learnt && most > REFLECT_COUNT_MAX {
        return Err(Error::invalid(format!(
            "a lesson counts at most {REFLECT_COUNT_MAX} of anything, this one {most}"
        )));
    }
    Ok(())
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

/// The subject of both, where it is one. The one that is here may have come without its key.
fn subject_of(scope: &Scope, held: &Memory, other: &Memory) -> Option<Subject> {
    let keyed = Memory { dedup_key: other.dedup_key, ..held.clone() };
    Subject::of(scope, other).filter(|subject| Subject::of(scope, &keyed) == Some(*subject))
}

/// What the lesson `held` becomes by `other`, of the same subject, of whose sources these are here. Where both are one lesson, which each
/// side went on with, what the other learnt by itself counts where it is more.
pub(crate) fn joined(scope: &Scope, held: &Memory, other: &Memory, sources: &[Memory]) -> Joined {
    let (here, there) = (origin(held), origin(other));
    let Some(subject) = subject_of(scope, held, other) else { return Joined::Apart };
    let (mut shares, theirs) = (shares(held), shares(other));
    let is_same = here == there;
    let is_met =
        is_same || shares.contains_key(&there) || theirs.keys().any(|id| *id == here || shares.contains_key(id));
    let cites = |source: &&Memory| held.provenance.derived_from.contains(&source.id);
    let common: Vec<Memory> = sources.iter().filter(cites).cloned().collect();
    let less = if is_met || common.is_empty() { Numbers::new() } else { shown(other, common) };
    let theirs_alone = own(other, &theirs);
    let mut gain = if is_same { minus(&theirs_alone, &own(held, &shares)) } else { Numbers::new() };
    let first = (!is_same).then_some((there, Share { seen: theirs_alone, less }));
    for (id, share) in theirs.into_iter().chain(first).filter(|(id, _)| *id != here) {
        let known =
            shares.get(&id).cloned().unwrap_or_else(|| Share { seen: share.less.clone(), less: share.less.clone() });
        add(&mut gain, minus(&share.seen, &known.seen));
        let mut seen = known.seen.clone();
        add(&mut seen, minus(&share.seen, &known.seen));
        shares.insert(id, Share { seen, less: known.less });
    }
    let gain = addable(held, gain, &all_of(&other.metadata));
    if gain.is_empty() {
        return Joined::Known;
    }
    if shares.len() > REFLECT_JOINED_MAX {
        return Joined::Apart;
    }
    let mut metadata = grown(held, &gain);
    if all_of(&metadata).into_values().any(|n| n > REFLECT_COUNT_MAX) {
        return Joined::Apart;
    }
    if !shares.is_empty() {
        metadata.insert(JOINED.to_owned(), json!(shares));
    }
    take_last(&mut metadata, &other.metadata);
    let is_here: BTreeSet<MemoryId> = sources.iter().map(|source| source.id).collect();
    take_newer(&mut metadata, &other.metadata, &is_here);
    take_words(&mut metadata, (held, other), &is_here);
    Joined::Grown(Box::new(draft(subject, (held, other), metadata, sources)))
}

/// What of these numbers a lesson has room for, of one that has so many itself.
fn addable(held: &Memory, gain: Numbers, theirs: &Numbers) -> Numbers {
    let mut ways: BTreeSet<String> = numbers(held.metadata.get("worked")).into_keys().collect();
    let mut has_room = |key: &str| match key.strip_prefix(WAY) {
        Some(_) if held.kind != Kind::Lesson => false,
        Some(way) => ways.contains(way) || (ways.len() < REFLECT_WAYS_MAX && ways.insert(way.to_owned())),
        None => ADDED.contains(&key),
    };
    let fits = |(key, n): (String, u64)| {
        let n = n.min(theirs.get(&key).copied().unwrap_or(0));
        (n > 0 && has_room(&key)).then_some((key, n))
    };
    gain.into_iter().filter_map(fits).collect()
}

/// The numbers of a lesson with those that were gained.
fn grown(held: &Memory, gain: &Numbers) -> Map<String, Value> {
    let mut metadata = held.metadata.clone();
    let mut worked = numbers(metadata.get("worked"));
    for (key, more) in gain {
        match key.strip_prefix(WAY) {
            Some(way) => {
                let times = worked.entry(way.to_owned()).or_default();
                *times = times.saturating_add(*more);
            }
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
                Some(value) if key == "last" || value.is_u64() => drop(metadata.insert(key.to_owned(), value.clone())),
                Some(_) | None => drop(metadata.remove(key)),
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
