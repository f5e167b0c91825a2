//! What decides how a memory ages: everything but what it says.

use super::{InfoClass, Kind, Layer, MemoryId, Timestamp};

/// A live memory as the lifecycle sees it. Without texts, so that a page of them is small.
#[derive(Debug, Clone, PartialEq)]
pub struct Life {
    /// Opaque id.
    pub id: MemoryId,
    /// Number of the change that last touched it.
    pub seq: u64,
    /// Layer.
    pub layer: Layer,
    /// Kind.
    pub kind: Kind,
    /// Class of information.
    pub info_class: InfoClass,
    /// Session it belongs to.
    pub session_id: Option<String>,
    /// Labels.
    pub tags: Vec<String>,
    /// How much it matters, 0 to 1.
    pub importance: f64,
    /// How vivid it is, 0 to 1.
    pub strength: f64,
    /// When it was first stored.
    pub created_at: Timestamp,
    /// When its present version was stored.
    pub updated_at: Timestamp,
    /// How often it was said.
    pub witness_count: u32,
    /// Number of recalls that returned it.
    pub access_count: u64,
    /// When a recall last returned it or feedback called it useful.
    pub last_access: Option<Timestamp>,
}

impl Life {
    /// When it was last of use: recalled, found useful, updated or stored.
    pub fn last_use(&self) -> Timestamp {
        self.last_access.map_or(self.updated_at, |at| at.max(self.updated_at)).max(self.created_at)
    }

    /// What must still be so when something is done to it.
    pub fn stamp(&self) -> LifeStamp {
        LifeStamp { id: self.id, seq: self.seq, last_access: self.last_access }
    }
}

/// A memory as it was looked up: what was touched since then, by a change or a recall, is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LifeStamp {
    /// Which.
    pub id: MemoryId,
    /// Number of its last change.
    pub seq: u64,
    /// Its last recall.
    pub last_access: Option<Timestamp>,
}
