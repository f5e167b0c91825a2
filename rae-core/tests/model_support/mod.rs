//! What `docs/concepts/memory.md` promises, written down a second time as plainly as can be: lists, loops and no index. It
//! shares no rule with the engine, only its words for layers, kinds, ids and times.
#![allow(clippy::unwrap_used, clippy::panic)] // a test reports by panicking

use rae_core::{Kind, Layer, Memory, MemoryId, MemoryUpdate, NewMemory, RecallOptions, Receipt, Timestamp};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const DAY: i64 = 86_400;

/// What of a memory the model follows. The rest is checked by other tests.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    pub content: String,
    pub layer: Layer,
    pub kind: Kind,
    pub speaker: Option<String>,
    pub session: Option<String>,
    pub user: Option<String>,
    pub tags: Vec<String>,
    pub sources: Vec<String>,
    pub derived_from: Vec<MemoryId>,
    pub n: Option<i64>,
    pub importance: f64,
    pub strength: f64,
    pub created: Timestamp,
    pub updated: Timestamp,
    pub occurred: Option<Timestamp>,
    pub from: Option<Timestamp>,
    pub to: Option<Timestamp>,
    pub superseded_by: Option<MemoryId>,
    pub expires: Option<Timestamp>,
    pub version: u32,
    pub witnesses: u32,
}

impl State {
    /// The same of what the engine gave.
    pub fn seen(m: &Memory) -> Self {
        let hash = *blake3::hash(m.content.as_bytes()).as_bytes();
        assert_eq!(m.content_hash, hash, "the content hash of {}", m.id);
        Self {
            content: m.content.clone(),
            layer: m.layer,
            kind: m.kind,
            speaker: m.speaker.clone(),
            session: m.session_id.clone(),
            user: m.user_id.clone(),
            tags: m.tags.clone(),
            sources: m.provenance.sources.clone(),
            derived_from: m.provenance.derived_from.clone(),
            n: m.metadata.get("n").and_then(Value::as_i64),
            importance: m.importance,
            strength: m.strength,
            created: m.created_at,
            updated: m.updated_at,
            occurred: m.occurred_at,
            from: m.valid_from,
            to: m.valid_to,
            superseded_by: m.superseded_by,
            expires: m.expires_at,
            version: m.version,
            witnesses: m.witness_count,
        }
    }

    fn made(item: &NewMemory, now: Timestamp) -> Self {
        let is_turn = item.session_id.is_some() || item.speaker.is_some() || item.role.is_some();
        let kind = item.kind.unwrap_or(if is_turn { Kind::Conversation } else { Kind::Text });
        let layer = item.layer.unwrap_or(match kind {
            Kind::Conversation => Layer::Episodic,
            Kind::Reflection | Kind::Lesson | Kind::Strategy => Layer::Reflective,
            _ => Layer::Semantic,
        });
        let (importance, lives) = match layer {
            Layer::Sensory => (0.1, Some(DAY)),
            Layer::Working => (0.5, Some(7 * DAY)),
            Layer::Episodic => (0.5, None),
            Layer::Semantic => (0.7, None),
            Layer::Reflective => (0.8, None),
        };
        let lives = item.ttl.map(|t| t.ceil() as i64).or(lives);
        Self {
            content: item.content.clone(),
            layer,
            kind,
            speaker: item.speaker.clone(),
            session: item.session_id.clone(),
            user: item.user_id.clone(),
            tags: without_doubles(&item.tags),
            sources: item.source.iter().cloned().collect(),
            derived_from: Vec::new(),
            n: item.metadata.as_ref().and_then(|m| m.get("n")).and_then(Value::as_i64),
            importance: item.importance.unwrap_or(importance),
            strength: 1.0,
            created: now,
            updated: now,
            occurred: item.occurred_at,
            from: item.valid_from,
            to: item.valid_to,
            superseded_by: None,
            expires: lives.map(|s| now.saturating_add_seconds(s)),
            version: 1,
            witnesses: 1,
        }
    }

    pub fn expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|t| t <= now)
    }

    fn over(&self, now: Timestamp) -> bool {
        self.superseded_by.is_some() || self.to.is_some_and(|t| t <= now)
    }

    fn event(&self) -> Timestamp {
        self.occurred.unwrap_or(self.created)
    }

    /// What makes two the same; `None` for what never merges.
    fn key(&self) -> Option<Key> {
        let words = self.content.split_whitespace().collect::<Vec<_>>().join(" ");
        let turn = match self.kind {
            Kind::Text | Kind::Fact | Kind::Document | Kind::Lesson | Kind::Strategy => None,
            Kind::Conversation => Some((self.session.clone(), self.speaker.clone(), self.occurred?)),
            _ => return None,
        };
        Some((self.layer, self.user.clone(), turn, words))
    }

    fn absorb(&mut self, other: &State) {
        self.tags.extend(other.tags.iter().cloned());
        self.tags = without_doubles(&self.tags);
        self.sources.extend(other.sources.iter().cloned());
        self.sources = without_doubles(&self.sources);
        self.derived_from.extend(other.derived_from.iter().copied());
        self.derived_from = without_doubles(&self.derived_from);
        self.importance = self.importance.max(other.importance);
        self.witnesses += 1;
        self.expires = match (self.expires, other.expires) {
            (Some(a), Some(b)) => Some(a.max(b)),
            _ => None,
        };
    }
}

type Key = (Layer, Option<String>, Option<(Option<String>, Option<String>, Timestamp)>, String);

fn without_doubles<T: Clone + PartialEq>(list: &[T]) -> Vec<T> {
    let mut out: Vec<T> = Vec::new();
    for item in list {
        if !out.contains(item) {
            out.push(item.clone());
        }
    }
    out
}

/// A memory that is in the file, visible or not.
#[derive(Debug, Clone)]
pub struct Entry {
    pub state: State,
    /// Whether others may merge into it: what was over when it was last written may not.
    pub open: bool,
    pub older: Vec<(State, Option<Timestamp>)>,
}

#[derive(Debug, Clone)]
struct Kept {
    body: NewMemory,
    receipt: Receipt,
    at: Timestamp,
}

/// One project.
#[derive(Debug, Clone, Default)]
pub struct Project {
    pub entries: BTreeMap<MemoryId, Entry>,
    keys: BTreeMap<String, Kept>,
}

impl Project {
    pub fn visible(&self, now: Timestamp) -> impl Iterator<Item = (MemoryId, &Entry)> {
        self.entries.iter().filter(move |(_, e)| !e.state.expired(now)).map(|(id, e)| (*id, e))
    }

    fn remove(&mut self, id: MemoryId) -> bool {
        self.keys.retain(|_, kept| kept.receipt.id != id);
        self.entries.remove(&id).is_some()
    }

    /// The one that `key` merges into at `now`, after those that are past have made way.
    fn same(&mut self, key: &Option<Key>, but: Option<MemoryId>, now: Timestamp) -> Option<MemoryId> {
        let key = key.as_ref()?;
        let same = |(id, e): (&MemoryId, &Entry)| {
            (e.open && Some(*id) != but && e.state.key().as_ref() == Some(key)).then_some(*id)
        };
        let id = self.entries.iter().find_map(same)?;
        let state = &self.entries[&id].state;
        if state.expired(now) {
            self.remove(id);
            return None;
        }
        if state.over(now) {
            self.entries.get_mut(&id).unwrap().open = false;
            return None;
        }
        Some(id)
    }

    /// `remember_many` with the receipts that the engine gave; they must be the right ones.
    pub fn remembered(&mut self, items: &[NewMemory], receipts: &[Receipt], now: Timestamp) {
        assert_eq!(items.len(), receipts.len());
        let mut places = BTreeSet::new();
        for (item, receipt) in items.iter().zip(receipts) {
            self.remembered_one(item, receipt, now);
            let state = State::made(item, now);
            match (state.layer, state.session) {
                (Layer::Sensory, _) => places.extend([(Layer::Sensory, None, 1_000)]),
                (Layer::Working, Some(session)) => places.extend([(Layer::Working, Some(session), 100)]),
                _ => {}
            }
        }
        let trimmed: BTreeSet<MemoryId> = places.into_iter().flat_map(|(l, s, keep)| self.trim(l, s, keep)).collect();
        for receipt in receipts {
            let wanted: &[&str] = if trimmed.contains(&receipt.id) { &["capacity"] } else { &[] };
            assert_eq!(receipt.degraded, wanted, "what the receipt of {} says", receipt.id);
        }
    }

    fn remembered_one(&mut self, item: &NewMemory, receipt: &Receipt, now: Timestamp) {
        if let Some(kept) = item.idempotency_key.as_ref().and_then(|key| self.kept(key, now)) {
            let first = &kept.receipt;
            assert_eq!((receipt.id, receipt.version, receipt.merged), (first.id, first.version, first.merged));
            return;
        }
        let state = State::made(item, now);
        let key = if state.over(now) { None } else { state.key() };
        if let Some(id) = self.same(&key, None, now) {
            let entry = self.entries.get_mut(&id).unwrap();
            assert_eq!((receipt.id, receipt.merged, receipt.version), (id, true, entry.state.version), "a merge");
            entry.state.absorb(&state);
        } else {
            assert!(!receipt.merged && receipt.version == 1, "nothing to merge with: {receipt:?}");
            let entry = Entry { open: key.is_some(), state, older: Vec::new() };
            assert!(self.entries.insert(receipt.id, entry).is_none(), "an id given twice");
        }
        if let Some(name) = &item.idempotency_key {
            let kept = Kept { body: item.clone(), receipt: receipt.clone(), at: now };
            self.keys.insert(name.clone(), kept);
        }
    }

    fn kept(&self, key: &str, now: Timestamp) -> Option<&Kept> {
        self.keys.get(key).filter(|kept| kept.at.saturating_add_seconds(DAY) > now)
    }

    /// Whether the key was used with another body.
    pub fn refuses(&self, item: &NewMemory, now: Timestamp) -> bool {
        item.idempotency_key.as_ref().and_then(|key| self.kept(key, now)).is_some_and(|kept| kept.body != *item)
    }

    fn trim(&mut self, layer: Layer, session: Option<String>, keep: usize) -> Vec<MemoryId> {
        let inside = |s: &State| s.layer == layer && (session.is_none() || s.session == session);
        let here = self.entries.iter().filter(|(_, e)| inside(&e.state));
        let mut oldest_first: Vec<_> = here.map(|(id, e)| (e.state.created, *id)).collect();
        oldest_first.sort_unstable();
        oldest_first.truncate(oldest_first.len().saturating_sub(keep));
        oldest_first.into_iter().map(|(_, id)| id).filter(|id| self.remove(*id)).collect()
    }

    /// The new version, or the code of the error.
    pub fn update(&mut self, id: MemoryId, u: &MemoryUpdate, now: Timestamp) -> Result<u32, &'static str> {
        let old = self.entries.get(&id).filter(|e| !e.state.expired(now)).ok_or("memory_not_found")?.state.clone();
        if u.expected_version.is_some_and(|v| v != old.version) {
            return Err("version_mismatch");
        }
        let mut new = old.clone();
        macro_rules! take {
            ($($from:ident => $to:ident),+) => { $(if let Some(v) = &u.$from { new.$to = v.clone(); })+ };
        }
        take!(content => content, kind => kind, layer => layer, speaker => speaker, occurred_at => occurred,
              importance => importance, valid_from => from, valid_to => to, superseded_by => superseded_by);
        if let Some(tags) = &u.tags {
            new.tags = without_doubles(tags);
        }
        if let Some(metadata) = &u.metadata {
            new.n = metadata.get("n").and_then(Value::as_i64);
        }
        if let Some(ttl) = u.ttl {
            new.expires = ttl.map(|t| now.saturating_add_seconds(t.ceil() as i64));
        }
        if new.superseded_by == Some(id) || new.from.zip(new.to).is_some_and(|(from, to)| to <= from) {
            return Err("invalid_input");
        }
        let key = if new.over(now) { None } else { new.key() };
        if self.same(&key, Some(id), now).is_some() {
            return Err("duplicate");
        }
        (new.version, new.updated) = (old.version + 1, now);
        let entry = self.entries.get_mut(&id).unwrap();
        entry.older.push((old, Some(now)));
        (entry.state, entry.open) = (new, key.is_some());
        Ok(entry.state.version)
    }

    pub fn feedback(&mut self, id: MemoryId, useful: bool, now: Timestamp) -> Option<State> {
        let state = &mut self.entries.get_mut(&id).filter(|e| !e.state.expired(now))?.state;
        let target = if useful { 1.0 } else { 0.0 };
        state.strength += 0.2 * (target - state.strength);
        state.importance += 0.1 * (target - state.importance);
        Some(state.clone())
    }

    /// Removes `asked` and what was derived from these alone; how many of each.
    pub fn forget(&mut self, asked: impl IntoIterator<Item = MemoryId>) -> (u64, u64) {
        let asked: BTreeSet<MemoryId> = asked.into_iter().collect();
        let mut going = asked.clone();
        loop {
            // A summary quotes each of its sources, so it goes with any of them; the rest with the last one.
            let orphan = |e: &Entry| {
                let mut goes = e.state.derived_from.iter().map(|source| going.contains(source));
                match e.state.kind {
                    Kind::Reflection | Kind::EntitySummary => goes.any(|goes| goes),
                    _ => goes.len() > 0 && goes.all(|goes| goes),
                }
            };
            let next = self.entries.iter().find(|(id, e)| !going.contains(id) && orphan(e)).map(|(id, _)| *id);
            let Some(id) = next else { break };
            going.insert(id);
        }
        for entry in self.entries.values_mut() {
            entry.state.derived_from.retain(|id| !going.contains(id));
        }
        let mut counts = (0, 0);
        for id in going {
            let gone = u64::from(self.remove(id));
            if asked.contains(&id) { counts.0 += gone } else { counts.1 += gone }
        }
        counts
    }

    /// What `maintain` removes.
    pub fn purge(&mut self, now: Timestamp) -> u64 {
        let due: Vec<_> = self.entries.iter().filter(|(_, e)| e.state.expired(now)).map(|(id, _)| *id).collect();
        due.iter().filter(|id| self.remove(**id)).count() as u64
    }

    /// Trims every layer that holds more than it may; how many went.
    pub fn trim_all(&mut self) -> u64 {
        let of = |s: &State| (s.layer == Layer::Working).then(|| s.session.clone()).flatten();
        let sessions: BTreeSet<String> = self.entries.values().filter_map(|e| of(&e.state)).collect();
        let places =
            sessions.into_iter().map(|s| (Layer::Working, Some(s), 100)).chain([(Layer::Sensory, None, 1_000)]);
        places.map(|(layer, session, keep)| self.trim(layer, session, keep).len() as u64).sum()
    }

    /// Import of all of `other`: (imported, merged, unchanged), or the Conflict of a memory with another version.
    pub fn import(&mut self, other: &Project, now: Timestamp) -> Result<(u64, u64, u64), ()> {
        let (mut after, mut counts) = (self.clone(), (0, 0, 0));
        for (id, entry) in &other.entries {
            if let Some(here) = after.entries.get(id) {
                if here.state.version != entry.state.version {
                    return Err(());
                }
                counts.2 += 1;
                continue;
            }
            // What is past merges with nothing, whichever of the two it is.
            let past = entry.state.expired(now) || entry.state.over(now);
            let key = if entry.open && !past { entry.state.key() } else { None };
            if let Some(same) = after.same(&key, None, now) {
                after.entries.get_mut(&same).unwrap().state.absorb(&entry.state);
                counts.1 += 1;
            } else {
                after.entries.insert(*id, Entry { open: key.is_some(), ..entry.clone() });
                counts.0 += 1;
            }
        }
        *self = after;
        Ok(counts)
    }

    /// Ids and the wording that a recall with these options may show, when all have a word of the question.
    pub fn recalled(&self, o: &RecallOptions, filter: Option<&Cond>, now: Timestamp) -> BTreeMap<MemoryId, String> {
        let allowed = |s: &State| {
            let holds = match o.as_of {
                Some(t) => s.from.unwrap_or(s.event()) <= t && s.to.is_none_or(|end| t < end),
                None => s.to.is_none_or(|end| end > now),
            };
            holds
                && o.layers.as_ref().is_none_or(|l| l.contains(&s.layer))
                && o.kinds.as_ref().is_none_or(|l| l.contains(&s.kind))
                && o.tags.as_ref().is_none_or(|all| all.iter().all(|t| s.tags.contains(t)))
                && o.tags_any.as_ref().is_none_or(|any| any.iter().any(|t| s.tags.contains(t)))
                && (o.session_id.is_none() || o.session_id == s.session)
                && (o.user_id.is_none() || o.user_id == s.user)
                && o.since.is_none_or(|t| s.event() >= t)
                && o.until.is_none_or(|t| s.event() < t)
                && o.known_at.is_none_or(|t| s.created <= t)
                && filter.is_none_or(|f| f.holds(s))
        };
        let wording = |e: &Entry| match o.known_at {
            Some(t) if e.state.updated > t => {
                e.older.iter().rfind(|(s, _)| s.updated <= t).map(|(s, _)| s.content.clone())
            }
            _ => Some(e.state.content.clone()),
        };
        self.visible(now).filter(|(_, e)| allowed(&e.state)).filter_map(|(id, e)| Some((id, wording(e)?))).collect()
    }
}

/// A filter, as the engine reads it and as it is meant.
#[derive(Debug, Clone)]
pub enum Cond {
    Layer(Layer),
    Tag(&'static str),
    Session(Option<&'static str>),
    User(&'static str),
    NumberFrom(i64),
    NumberUpTo(i64),
    ImportanceBelow(f64),
    Undated,
    VersionAbove(u32),
    Says(&'static str),
    CreatedBefore(Timestamp),
    Not(Box<Cond>),
    And(Box<Cond>, Box<Cond>),
    Or(Box<Cond>, Box<Cond>),
}

impl Cond {
    pub fn json(&self) -> Value {
        match self {
            Self::Layer(layer) => json!({ "layer": layer }),
            Self::Tag(tag) => json!({ "tags": { "contains": tag } }),
            Self::Session(session) => json!({ "session_id": session }),
            Self::User(user) => json!({ "user_id": user }),
            Self::NumberFrom(n) => json!({ "metadata.n": { "gte": n } }),
            Self::NumberUpTo(n) => json!({ "metadata.n": { "lte": n } }),
            Self::ImportanceBelow(x) => json!({ "importance": { "lt": x } }),
            Self::Undated => json!({ "occurred_at": null }),
            Self::VersionAbove(n) => json!({ "version": { "gt": n } }),
            Self::Says(part) => json!({ "content": { "contains": part } }),
            Self::CreatedBefore(t) => json!({ "created_at": { "lt": t } }),
            Self::Not(a) => json!({ "not": a.json() }),
            Self::And(a, b) => json!({ "and": [a.json(), b.json()] }),
            Self::Or(a, b) => json!({ "or": [a.json(), b.json()] }),
        }
    }

    pub fn holds(&self, s: &State) -> bool {
        match self {
            Self::Layer(layer) => s.layer == *layer,
            Self::Tag(tag) => s.tags.iter().any(|t| t == tag),
            Self::Session(session) => s.session.as_deref() == *session,
            Self::User(user) => s.user.as_deref() == Some(user),
            Self::NumberFrom(n) => s.n.is_some_and(|x| x >= *n),
            Self::NumberUpTo(n) => s.n.is_some_and(|x| x <= *n),
            Self::ImportanceBelow(x) => s.importance < *x,
            Self::Undated => s.occurred.is_none(),
            Self::VersionAbove(n) => s.version > *n,
            Self::Says(part) => s.content.contains(part),
            Self::CreatedBefore(t) => s.created < *t,
            Self::Not(a) => !a.holds(s),
            Self::And(a, b) => a.holds(s) && b.holds(s),
            Self::Or(a, b) => a.holds(s) || b.holds(s),
        }
    }
}
