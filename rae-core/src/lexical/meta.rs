//! The columns of one memory in compact form.

use super::names::NONE;
use crate::model::{Kind, Layer, MemoryId};

/// Place of a memory in one index. Valid until the next `put` or `remove`, which may move memories.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub(super) u32);

impl Slot {
    /// The number, for tables by slot.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// No time given; outside the range of a `Timestamp`.
pub(super) const NO_TIME: i64 = i64::MIN;

fn time(micros: i64) -> Option<i64> {
    (micros != NO_TIME).then_some(micros)
}

fn name(id: u32) -> Option<u32> {
    (id != NONE).then_some(id)
}

/// Columns of one memory. Strings are numbers of this index ([`ScopeIndex::name`](super::ScopeIndex::name) reads them); times are
/// microseconds since 1970, UTC.
#[derive(Debug, Clone)]
pub struct DocMeta {
    pub(super) id: MemoryId,
    pub(super) seq: u64,
    pub(super) occurred_at: i64,
    pub(super) created_at: i64,
    pub(super) updated_at: i64,
    pub(super) valid_from: i64,
    pub(super) valid_to: i64,
    pub(super) expires_at: i64,
    pub(super) importance: f32,
    pub(super) strength: f32,
    pub(super) version: u32,
    pub(super) seq_in_session: u32,
    pub(super) speaker: u32,
    /// Number of the speaker among those with a name of their own.
    pub(super) actor: u32,
    pub(super) session: u32,
    pub(super) agent: u32,
    pub(super) user: u32,
    pub(super) first_piece: u32,
    pub(super) pieces: u32,
    pub(super) first_tag: u32,
    pub(super) tags: u16,
    pub(super) layer: Layer,
    pub(super) kind: Kind,
    pub(super) role_is_user: bool,
}

impl DocMeta {
    /// The memory.
    pub fn id(&self) -> MemoryId {
        self.id
    }

    /// Number of the change that last touched it.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// Its version.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Layer.
    pub fn layer(&self) -> Layer {
        self.layer
    }

    /// Kind.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether its role is `user`.
    pub fn role_is_user(&self) -> bool {
        self.role_is_user
    }

    /// Speaker.
    pub fn speaker(&self) -> Option<u32> {
        name(self.speaker)
    }

    /// Session.
    pub fn session(&self) -> Option<u32> {
        name(self.session)
    }

    /// Agent.
    pub fn agent(&self) -> Option<u32> {
        name(self.agent)
    }

    /// User.
    pub fn user(&self) -> Option<u32> {
        name(self.user)
    }

    /// Place in the session.
    pub fn seq_in_session(&self) -> Option<u32> {
        name(self.seq_in_session)
    }

    /// When it happened, where known.
    pub fn occurred_at(&self) -> Option<i64> {
        time(self.occurred_at)
    }

    /// When it was stored.
    pub fn created_at(&self) -> i64 {
        self.created_at
    }

    /// When its present version was stored.
    pub fn updated_at(&self) -> i64 {
        self.updated_at
    }

    /// When it happened, else when it was stored.
    pub fn event_time(&self) -> i64 {
        self.occurred_at().unwrap_or(self.created_at)
    }

    /// Start of its validity: as given, else the event time.
    pub fn valid_start(&self) -> i64 {
        time(self.valid_from).unwrap_or_else(|| self.event_time())
    }

    /// End of its validity (exclusive), where there is one.
    pub fn valid_to(&self) -> Option<i64> {
        time(self.valid_to)
    }

    /// When it ceases to exist, where it does.
    pub fn expires_at(&self) -> Option<i64> {
        time(self.expires_at)
    }

    /// How much it matters, 0 to 1.
    pub fn importance(&self) -> f32 {
        self.importance
    }

    /// How vivid it is, 0 to 1.
    pub fn strength(&self) -> f32 {
        self.strength
    }

    /// Number of its pieces, at least 1.
    pub fn pieces(&self) -> usize {
        self.pieces as usize
    }

    /// The first instant at which it is no longer there for a reader without `as_of`: expired, or no longer valid.
    pub(super) fn ends_at(&self) -> Option<i64> {
        [self.expires_at(), self.valid_to()].into_iter().flatten().min()
    }

    /// Place in the order of its session.
    pub(super) fn order(&self) -> (i64, Option<u32>, MemoryId) {
        (self.event_time(), self.seq_in_session(), self.id)
    }
}
