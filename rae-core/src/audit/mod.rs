//! What `audit` compares: when two memories say the same, and when they cannot both hold. Pure: no I/O, no clock.

mod claim;
mod collect;
mod fold;
pub(crate) mod mend;
mod words;

pub(crate) use collect::{Buckets, Raw, Seen};

use crate::{
    facts::{WITHDRAWN, is_single},
    model::{Claim, Kind, Layer, Memory, Timestamp},
};

/// A hash of parts, each with its length, so that no two lists of parts read the same.
struct Key(blake3::Hasher);

impl Key {
    /// `what` keeps the kinds of keys apart. Memories of different agents or users, or facts of nameless speakers of different sessions, are
    /// never compared.
    fn of(what: &str, memory: &Memory) -> Self {
        let mut key = Self(blake3::Hasher::new());
        key.text(Some(what));
        key.text(memory.agent_id.as_deref());
        key.text(memory.user_id.as_deref());
        key.text(memory.claim_session());
        key
    }

    fn text(&mut self, part: Option<&str>) {
        self.0.update(&part.map_or(u64::MAX, |p| p.len() as u64).to_le_bytes());
        self.0.update(part.unwrap_or_default().as_bytes());
    }

    fn finish(&self) -> u64 {
        first_bytes(&self.0.finalize())
    }
}

fn first_bytes(hash: &blake3::Hash) -> u64 {
    hash.as_bytes().first_chunk().map_or(0, |b| u64::from_le_bytes(*b))
}

/// The words of a slot, by hash; 0 for none. A number or code is one.
pub(crate) type SlotValue = [u32; 4];

fn word_hash(word: &str) -> u32 {
    // Never 0, which stands for no word.
    (first_bytes(&blake3::hash(word.as_bytes())) as u32).max(1)
}

/// Whether both values may hold: one says no more than the other does ("Porto", "Porto, Portugal").
fn agree(a: &SlotValue, b: &SlotValue) -> bool {
    let within = |a: &SlotValue, b: &SlotValue| a.iter().all(|w| *w == 0 || b.contains(w));
    within(a, b) || within(b, a)
}

/// The keys under which a memory is compared, and what it says there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compared {
    /// The same key is the same text.
    Text(u64),
    /// The same key is the same claim, about a value that only one can be.
    Value(u64, SlotValue),
    /// The same key is the same sentence, said or denied.
    Denial(u64, SlotValue),
}

impl Compared {
    /// The key.
    pub fn key(&self) -> u64 {
        match self {
            Self::Text(key) | Self::Value(key, _) | Self::Denial(key, _) => *key,
        }
    }
}

/// What is compared of a memory: at most four keys. What it states is known beside its words.
pub(crate) fn compared(memory: &Memory, now: Timestamp) -> impl Iterator<Item = Compared> {
    let text = if memory.is_over(now) { None } else { same_text(memory) };
    // What is withdrawn was never so.
    let is_withdrawn = memory.claim.is_some() && memory.metadata.contains_key(WITHDRAWN);
    let has_claims = matches!(memory.kind, Kind::Text | Kind::Fact) && memory.superseded_by.is_none() && !is_withdrawn;
    let [value, denial] = if has_claims { claim::claims(memory) } else { [None, None] };
    let stated = memory.claim.as_ref().filter(|_| has_claims).and_then(|stated| claim_value(memory, stated));
    [text, stated, value, denial].into_iter().flatten()
}

/// The value of an attribute that has one at a time.
fn claim_value(memory: &Memory, stated: &Claim) -> Option<Compared> {
    if !is_single(&stated.relation) {
        return None;
    }
    let mut key = Key::of("claim", memory);
    key.text(Some(&Claim::name_key(&stated.subject)));
    key.text(Some(&stated.relation));
    let (object, mut value) = (Claim::name_key(&stated.object), SlotValue::default());
    let words = object.split([' ', ',']).filter(|word| !word.is_empty());
    // More words than there are places are one value.
    let words: Vec<&str> = if words.clone().count() > value.len() { vec![&object] } else { words.collect() };
    value.iter_mut().zip(words).for_each(|(place, word)| *place = word_hash(word));
    Some(Compared::Value(key.finish(), value))
}

/// A statement is the same in every lasting layer; what is short-lived is compared inside its own layer, as a copy there is how
/// that layer is used. A turn is the same only at the same time of the same session; without a time it is an event of its own.
fn same_text(memory: &Memory) -> Option<Compared> {
    let mut key = if memory.kind.is_statement() {
        let mut key = Key::of("statement", memory);
        key.text(match memory.layer {
            Layer::Sensory | Layer::Working => Some(memory.layer.as_str()),
            Layer::Episodic | Layer::Semantic | Layer::Reflective => None,
        });
        // A relation is more than its words: nobody else's words can stand for it.
        key.text(memory.claim.as_ref().map(|_| "claim"));
        key
    } else if memory.kind == Kind::Conversation {
        let mut key = Key::of("turn", memory);
        key.text(Some(&memory.occurred_at?.to_string()));
        key.text(memory.session_id.as_deref());
        key.text(memory.speaker.as_deref());
        key
    } else {
        return None;
    };
    let folded = fold::fold(&memory.content);
    if folded.is_empty() {
        return None;
    }
    key.text(Some(&folded));
    Some(Compared::Text(key.finish()))
}
