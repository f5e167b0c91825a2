//! What a memory is about, where there is one of each: how it is found again, and why two who write it at the same time make one.

use super::event::{END, Owner};
use crate::model::{Kind, Memory, MemoryId, Scope, subject_key};
use serde_json::Value;

/// The end of a session, a lesson, a strategy or a summary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Subject {
    /// The `dedup_key` of its memory.
    pub key: [u8; 32],
    /// The id that its memory has where an earlier version made it.
    pub old_id: MemoryId,
}

impl Subject {
    fn new(scope: &Scope, what: &str, parts: &[&str]) -> Self {
        Self { key: subject_key(what, parts), old_id: fixed_id(scope, what, parts) }
    }

    /// What a lesson or strategy of reflection is about; `None` of another memory.
    pub fn of(scope: &Scope, memory: &Memory) -> Option<Self> {
        let text = |key: &str| memory.metadata.get(key).and_then(Value::as_str);
        let (signature, owner) = (text("signature")?, Owner::of(memory));
        let subject = match memory.kind {
            Kind::Lesson => Self::lesson(scope, signature, &owner),
            Kind::Strategy => Self::strategy(scope, signature, text("way")?, &owner),
            _ => return None,
        };
        (memory.dedup_key == Some(subject.key) || memory.id == subject.old_id).then_some(subject)
    }

    /// The end of a session.
    pub fn end(scope: &Scope, session: &str) -> Self {
        Self::new(scope, END, &[session])
    }

    /// The lesson about a failure, of one owner where the events have one.
    pub fn lesson(scope: &Scope, signature: &str, owner: &Owner) -> Self {
        Self::owned(scope, "lesson", &[signature], owner)
    }

    /// A way out of a failure.
    pub fn strategy(scope: &Scope, signature: &str, way: &str, owner: &Owner) -> Self {
        Self::owned(scope, "strategy", &[signature, way], owner)
    }

    fn owned(scope: &Scope, what: &str, parts: &[&str], owner: &Owner) -> Self {
        if *owner == Owner::default() {
            return Self::new(scope, what, parts);
        }
        let [user, agent] = owner.parts();
        Self::new(scope, what, &[parts, &[user.as_str(), agent.as_str()]].concat())
    }

    /// The memory that sums a session up, and says how far it was looked at.
    pub fn summary(scope: &Scope, session: &str) -> Self {
        Self::new(scope, "reflection", &[session])
    }

    /// The memory that sums up what one owner said in a session of several.
    pub fn owned_summary(scope: &Scope, session: &str, owner: &Owner) -> Self {
        let [user, agent] = owner.parts();
        Self::new(scope, "reflection", &[session, &user, &agent])
    }

    /// The insight over the lessons that have a tool or an error in common.
    pub fn insight(scope: &Scope, common: &str, name: &str) -> Self {
        Self::new(scope, "insight", &[common, name])
    }

    /// What one owner says again and again.
    pub fn statement(scope: &Scope, statement: &str, owner: &Owner) -> Self {
        let [user, agent] = owner.parts();
        Self::new(scope, "statement", &[statement, &user, &agent])
    }

    /// The memory that sums up what one owner said in a stretch of time: `day` or `week`, and its first day.
    pub fn bucket(scope: &Scope, name: &str, from: &str, owner: &Owner) -> Self {
        let [user, agent] = owner.parts();
        Self::new(scope, name, &[from, &user, &agent])
    }
}

/// An id that follows from what something is for. It sorts after all ids that are made from a clock: no memory is made with one any
/// more.
pub(crate) fn fixed_id(scope: &Scope, what: &str, parts: &[&str]) -> MemoryId {
    let mut bytes = [0u8; 16];
    bytes.iter_mut().zip(hash_of(scope, what, parts)).for_each(|(to, from)| *to = from);
    bytes.iter_mut().take(6).for_each(|byte| *byte = 0xff);
    MemoryId(uuid::Builder::from_custom_bytes(bytes).into_uuid())
}

/// Whether an id follows from what the memory is for, so that an earlier version may have made it again.
pub(crate) fn is_fixed(id: MemoryId) -> bool {
    id.0.as_bytes().iter().take(6).all(|byte| *byte == 0xff)
}

fn hash_of(scope: &Scope, what: &str, parts: &[&str]) -> [u8; 32] {
    let mut hash = blake3::Hasher::new();
    for part in [scope.tenant(), scope.project(), what].iter().chain(parts) {
        hash.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
    }
    *hash.finalize().as_bytes()
}
