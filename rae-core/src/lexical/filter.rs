//! Which memories a recall may return.

use super::{
    index::ScopeIndex,
    meta::{DocMeta, Slot},
};
use crate::model::{Kind, Layer, MemoryId, Timestamp};
use std::{collections::HashSet, sync::Arc};

/// A set of slots, as bits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SlotSet {
    words: Vec<u64>,
    len: usize,
}

impl SlotSet {
    fn place(slot: Slot) -> (usize, u64) {
        (slot.index() / 64, 1 << (slot.index() % 64))
    }

    /// Whether the slot is in.
    pub fn contains(&self, slot: Slot) -> bool {
        let (word, bit) = Self::place(slot);
        self.words.get(word).is_some_and(|w| w & bit != 0)
    }

    /// Number of slots.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds a slot; whether it is new.
    pub fn insert(&mut self, slot: Slot) -> bool {
        let (word, bit) = Self::place(slot);
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        let new = self.words.get_mut(word).is_some_and(|w| {
            let new = *w & bit == 0;
            *w |= bit;
            new
        });
        self.len += usize::from(new);
        new
    }

    /// Takes a slot out; whether it was in.
    pub fn remove(&mut self, slot: Slot) -> bool {
        let (word, bit) = Self::place(slot);
        let was = self.words.get_mut(word).is_some_and(|w| {
            let was = *w & bit != 0;
            *w &= !bit;
            was
        });
        self.len -= usize::from(was);
        was
    }

    /// The slots, ascending.
    pub fn iter(&self) -> impl Iterator<Item = Slot> {
        (0u32..).zip(&self.words).flat_map(|(place, &word)| Bits(word).map(move |bit| Slot(place * 64 + bit)))
    }
}

impl FromIterator<Slot> for SlotSet {
    fn from_iter<I: IntoIterator<Item = Slot>>(slots: I) -> Self {
        let mut set = Self::default();
        slots.into_iter().for_each(|s| {
            set.insert(s);
        });
        set
    }
}

/// Numbers of the set bits, ascending.
pub(super) struct Bits(pub(super) u64);

impl Iterator for Bits {
    type Item = u32;
    fn next(&mut self) -> Option<u32> {
        if self.0 == 0 {
            return None;
        }
        let bit = self.0.trailing_zeros();
        self.0 &= self.0 - 1;
        Some(bit)
    }
}

/// Which memories may be returned. The default allows all that are not expired and still valid at `now`. Empty lists and `None` do
/// not filter. Metadata filters are not here: their result comes in as `only`.
#[derive(Debug, Clone)]
pub struct DocFilter {
    /// One of these layers.
    pub layers: Vec<Layer>,
    /// One of these kinds.
    pub kinds: Vec<Kind>,
    /// All of these tags.
    pub tags_all: Vec<String>,
    /// At least one of these tags.
    pub tags_any: Vec<String>,
    /// Event time (`occurred_at`, else `created_at`) at or after.
    pub since: Option<Timestamp>,
    /// Event time before.
    pub until: Option<Timestamp>,
    /// Valid at that time: `valid_from` (else event time) <= t < `valid_to`. Without it: `valid_to` is none or after `now`.
    pub as_of: Option<Timestamp>,
    /// Stored at or before.
    pub known_at: Option<Timestamp>,
    /// This session.
    pub session: Option<String>,
    /// This agent.
    pub agent: Option<String>,
    /// This user.
    pub user: Option<String>,
    /// With an agent or a user: also what has none.
    pub or_nobody: bool,
    /// The time of the call: what expired by then is never returned.
    pub now: Timestamp,
    /// Only these memories.
    pub only: Option<Arc<HashSet<MemoryId>>>,
}

impl DocFilter {
    /// No filter but expiry and validity at `now`.
    pub fn at(now: Timestamp) -> Self {
        Self {
            layers: Vec::new(),
            kinds: Vec::new(),
            tags_all: Vec::new(),
            tags_any: Vec::new(),
            since: None,
            until: None,
            as_of: None,
            known_at: None,
            session: None,
            agent: None,
            user: None,
            or_nobody: false,
            now,
            only: None,
        }
    }

    /// Whether nothing but expiry and validity at `now` is asked.
    pub fn is_open(&self) -> bool {
        self.layers.is_empty()
            && self.kinds.is_empty()
            && self.tags_all.is_empty()
            && self.tags_any.is_empty()
            && [self.since, self.until, self.as_of, self.known_at].iter().all(Option::is_none)
            && [&self.session, &self.agent, &self.user].iter().all(|n| n.is_none())
            && self.only.is_none()
    }
}

/// A [`DocFilter`] with its names looked up in one index, for asking about many memories.
#[derive(Debug)]
pub struct Matcher<'i> {
    index: &'i ScopeIndex,
    filter: &'i DocFilter,
    tags_all: Vec<u32>,
    tags_any: Vec<u32>,
    session: Option<u32>,
    agent: Option<u32>,
    user: Option<u32>,
    /// A name is asked for that no memory has.
    hopeless: bool,
}

impl Matcher<'_> {
    /// Whether the memory is live and the filter lets it through.
    pub fn allows(&self, slot: Slot) -> bool {
        !self.hopeless && self.index.meta(slot).is_some_and(|m| self.holds(m))
    }

    fn holds(&self, meta: &DocMeta) -> bool {
        let filter = self.filter;
        let now = filter.now.micros();
        if meta.expires_at().is_some_and(|t| t <= now) {
            return false;
        }
        let valid = match filter.as_of.map(Timestamp::micros) {
            // What was taken back holds for a microsecond, which is no time.
            Some(t) => {
                let from = meta.valid_start();
                from <= t && meta.valid_to().is_none_or(|end| t < end && from.saturating_add(1) < end)
            }
            None => meta.valid_to().is_none_or(|end| end > now),
        };
        let wanted = |number: Option<u32>, wanted: Option<u32>| wanted.is_none() || wanted == number;
        let owner = |has: Option<u32>, number: Option<u32>, asked: bool| match has {
            None => !asked || filter.or_nobody,
            Some(_) => !asked || number == has,
        };
        valid
            && (filter.layers.is_empty() || filter.layers.contains(&meta.layer))
            && (filter.kinds.is_empty() || filter.kinds.contains(&meta.kind))
            && wanted(meta.session(), self.session)
            && owner(meta.agent(), self.agent, filter.agent.is_some())
            && owner(meta.user(), self.user, filter.user.is_some())
            && filter.since.is_none_or(|t| meta.event_time() >= t.micros())
            && filter.until.is_none_or(|t| meta.event_time() < t.micros())
            && filter.known_at.is_none_or(|t| meta.created_at <= t.micros())
            && self.tags_hold(meta)
            && filter.only.as_ref().is_none_or(|only| only.contains(&meta.id))
    }

    fn tags_hold(&self, meta: &DocMeta) -> bool {
        if self.tags_all.is_empty() && self.tags_any.is_empty() {
            return true;
        }
        let tags = self.index.tag_numbers(meta);
        self.tags_all.iter().all(|t| tags.contains(t))
            && (self.tags_any.is_empty() || self.tags_any.iter().any(|t| tags.contains(t)))
    }
}

impl ScopeIndex {
    /// Looks the filter's names up once, for asking about many memories.
    pub fn matcher<'i>(&'i self, filter: &'i DocFilter) -> Matcher<'i> {
        let mut hopeless = false;
        let mut name = |wanted: &Option<String>, or_nobody: bool| {
            let number = wanted.as_deref().and_then(|n| self.strings.get(n));
            hopeless |= wanted.is_some() && number.is_none() && !or_nobody;
            number
        };
        let session = name(&filter.session, false);
        let (agent, user) = (name(&filter.agent, filter.or_nobody), name(&filter.user, filter.or_nobody));
        let known = |tags: &[String]| tags.iter().filter_map(|t| self.strings.get(t)).collect::<Vec<_>>();
        let (tags_all, tags_any) = (known(&filter.tags_all), known(&filter.tags_any));
        hopeless |= tags_all.len() < filter.tags_all.len() || (tags_any.is_empty() && !filter.tags_any.is_empty());
        Matcher { index: self, filter, tags_all, tags_any, session, agent, user, hopeless }
    }

    /// Whether the memory is live and the filter lets it through. For many memories make a [`ScopeIndex::matcher`] once.
    pub fn is_allowed(&self, slot: Slot, filter: &DocFilter) -> bool {
        self.matcher(filter).allows(slot)
    }

    /// The live memories that the filter lets through; `None` when that is all of them and nothing was asked.
    ///
    /// Without a filter the cost is that of the memories which are over at `now`; with a session or `only`, that of their members;
    /// else one pass over the columns.
    pub fn allowed(&self, filter: &DocFilter) -> Option<SlotSet> {
        if filter.is_open() {
            let mut over = self.ends.range(..=(filter.now.micros(), u32::MAX)).peekable();
            over.peek()?;
            let mut set = self.live.clone();
            over.for_each(|&(_, slot)| {
                set.remove(Slot(slot));
            });
            return Some(set);
        }
        let matcher = self.matcher(filter);
        if matcher.hopeless {
            return Some(SlotSet::default());
        }
        let allows = |slot: &Slot| matcher.allows(*slot);
        Some(match (&filter.only, matcher.session) {
            (Some(only), _) if only.len() < self.len() => {
                only.iter().filter_map(|id| self.slot_of(*id)).filter(allows).collect()
            }
            (_, Some(session)) => {
                self.sessions.get(&session).into_iter().flatten().map(|s| Slot(*s)).filter(allows).collect()
            }
            _ => self.live.iter().filter(allows).collect(),
        })
    }
}
