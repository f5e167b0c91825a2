//! The index of one tenant and project: columns, words in order, postings, sessions.

use super::{
    doc::{Columns, LexDoc, Terms},
    filter::SlotSet,
    meta::{DocMeta, NO_TIME, Slot},
    names::{NONE, Names, id32},
    postings::{Posting, TermList},
    speakers::{SpeakerRef, Speakers},
};
use crate::{limits::PIECE_TERMS, model::MemoryId};
use rustc_hash::FxHashMap;
use std::{
    borrow::Cow,
    collections::{BTreeSet, HashSet},
};

/// All live memories of one tenant and project, in memory.
///
/// Statistics (df, number of pieces, average length) are those of the live memories, exactly. Slots and term numbers are valid until
/// the next `put` or `remove`: resolve, search and score under one read lock.
#[derive(Debug, Default)]
pub struct ScopeIndex {
    /// By slot; dead slots stay until the index compacts itself.
    pub(super) metas: Vec<DocMeta>,
    pub(super) live: SlotSet,
    pub(super) slots: FxHashMap<MemoryId, u32>,
    /// Terms and their lists, by term.
    pub(super) terms: Names,
    pub(super) lists: Vec<TermList>,
    /// By piece: its memory and where its terms begin; one more begin at the end.
    pub(super) piece_slot: Vec<u32>,
    pub(super) piece_start: Vec<usize>,
    /// The terms of all pieces in order.
    pub(super) forward: Vec<u32>,
    /// Live pieces, and their terms where an empty piece counts as one.
    pub(super) live_pieces: u64,
    pub(super) live_length: u64,
    /// Speakers, sessions, agents, users and tags.
    pub(super) strings: Names,
    /// By memory, as `first_tag` and `tags` of its columns say.
    pub(super) tags: Vec<u32>,
    pub(super) speakers: Speakers,
    /// Live memories of each session, in its order.
    pub(super) sessions: FxHashMap<u32, Vec<u32>>,
    /// Live memories that end some day, by that day.
    pub(super) ends: BTreeSet<(i64, u32)>,
    applied_seq: u64,
    /// Counts compactions: numbers of another generation mean something else.
    pub(super) generation: u64,
    scratch: Vec<u32>,
}

impl ScopeIndex {
    /// An empty index at sequence 0.
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of live memories.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Number of live pieces: the N of the scores.
    pub fn pieces(&self) -> u64 {
        self.live_pieces
    }

    /// The change up to which the caller has applied everything; the caller sets it.
    pub fn applied_seq(&self) -> u64 {
        self.applied_seq
    }

    /// Sets what [`ScopeIndex::applied_seq`] gives.
    pub fn set_applied_seq(&mut self, seq: u64) {
        self.applied_seq = seq;
    }

    /// Takes a memory in, in place of what it was before. A document with a lower `seq` than the one that is there is stale and
    /// changes nothing.
    pub fn put(&mut self, doc: LexDoc) {
        if self.is_stale(doc.id, doc.seq) {
            return;
        }
        let mut ids = std::mem::take(&mut self.scratch);
        ids.clear();
        ids.extend(doc.terms.iter().map(|t| self.terms.intern(t)));
        self.replace(doc.id, doc.seq, doc.version, &doc.columns, &ids);
        self.scratch = ids;
    }

    /// Takes a memory out; whether it was there.
    pub fn remove(&mut self, id: MemoryId) -> bool {
        let there = self.kill(id);
        self.compact_when_due();
        there
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether a newer state of the memory is there.
    pub(super) fn is_stale(&self, id: MemoryId, seq: u64) -> bool {
        self.slot_of(id).and_then(|s| self.meta_at(s)).is_some_and(|m| m.seq > seq)
    }

    /// [`ScopeIndex::put`] with terms as numbers.
    pub(super) fn replace(&mut self, id: MemoryId, seq: u64, version: u32, columns: &Columns, terms: &[u32]) {
        self.kill(id);
        let slot = id32(self.metas.len());
        let meta = self.meta_of(id, (seq, version), columns, terms.len());
        if let Some(end) = meta.ends_at() {
            self.ends.insert((end, slot));
        }
        self.slots.insert(id, slot);
        self.live.insert(Slot(slot));
        let session = meta.session;
        self.metas.push(meta);
        if session != NONE {
            self.enter_session(session, slot);
        }
        if terms.is_empty() {
            self.push_piece(slot, &[]);
        }
        for piece in terms.chunks(PIECE_TERMS) {
            self.push_piece(slot, piece);
        }
        self.compact_when_due();
    }

    fn meta_of(&mut self, id: MemoryId, (seq, version): (u64, u32), columns: &Columns, terms: usize) -> DocMeta {
        let first_tag = id32(self.tags.len());
        let tags = columns.tags.get(..usize::from(u16::MAX)).unwrap_or(&columns.tags);
        for tag in tags {
            let tag = self.strings.intern(tag);
            self.tags.push(tag);
        }
        let speaker = self.strings.intern_opt(columns.speaker.as_deref());
        DocMeta {
            id,
            seq,
            occurred_at: columns.occurred_at.unwrap_or(NO_TIME),
            created_at: columns.created_at,
            updated_at: columns.updated_at,
            valid_from: columns.valid_from.unwrap_or(NO_TIME),
            valid_to: columns.valid_to.unwrap_or(NO_TIME),
            expires_at: columns.expires_at.unwrap_or(NO_TIME),
            importance: columns.importance,
            strength: columns.strength,
            version,
            seq_in_session: columns.seq_in_session.unwrap_or(NONE),
            speaker,
            actor: self.speakers.enter(speaker, &self.strings),
            session: self.strings.intern_opt(columns.session.as_deref()),
            agent: self.strings.intern_opt(columns.agent.as_deref()),
            user: self.strings.intern_opt(columns.user.as_deref()),
            first_piece: id32(self.piece_slot.len()),
            pieces: id32(terms.div_ceil(PIECE_TERMS).max(1)),
            first_tag,
            tags: u16::try_from(tags.len()).unwrap_or(u16::MAX),
            layer: columns.layer,
            kind: columns.kind,
            role_is_user: columns.role_is_user,
        }
    }

    fn push_piece(&mut self, slot: u32, terms: &[u32]) {
        let piece = id32(self.piece_slot.len());
        if self.piece_start.is_empty() {
            self.piece_start.push(0);
        }
        self.piece_slot.push(slot);
        self.forward.extend_from_slice(terms);
        self.piece_start.push(self.forward.len());
        self.live_pieces += 1;
        self.live_length += terms.len().max(1) as u64;
        let len = u8::try_from(terms.len()).unwrap_or(u8::MAX);
        for_each_count(terms, |term, tf| {
            let place = term as usize;
            if self.lists.len() <= place {
                self.lists.resize_with(place + 1, TermList::default);
            }
            if let Some(list) = self.lists.get_mut(place) {
                list.df += 1;
                list.push(Posting { piece, tf, len });
            }
        });
    }

    /// Takes a memory out of everything but the arrays by slot and piece, which compaction cleans.
    fn kill(&mut self, id: MemoryId) -> bool {
        let Some(slot) = self.slots.remove(&id) else { return false };
        self.live.remove(Slot(slot));
        let Some(meta) = self.metas.get(slot as usize).cloned() else { return false };
        if let Some(end) = meta.ends_at() {
            self.ends.remove(&(end, slot));
        }
        self.speakers.leave(meta.actor);
        self.leave_session(meta.session, slot);
        for piece in meta.first_piece..meta.first_piece + meta.pieces {
            let (start, end) = self.piece_range(piece);
            let terms = self.forward.get(start..end).unwrap_or_default();
            self.live_pieces = self.live_pieces.saturating_sub(1);
            self.live_length = self.live_length.saturating_sub(terms.len().max(1) as u64);
            let lists = &mut self.lists;
            for_each_count(terms, |term, _| {
                if let Some(list) = lists.get_mut(term as usize) {
                    list.df = list.df.saturating_sub(1);
                }
            });
        }
        true
    }

    /// Where the terms of a piece stand in `forward`.
    pub(super) fn piece_range(&self, piece: u32) -> (usize, usize) {
        let place = piece as usize;
        match (self.piece_start.get(place), self.piece_start.get(place + 1)) {
            (Some(&start), Some(&end)) => (start, end),
            _ => (0, 0),
        }
    }

    pub(super) fn piece_terms(&self, piece: u32) -> &[u32] {
        let (start, end) = self.piece_range(piece);
        self.forward.get(start..end).unwrap_or_default()
    }

    /// All terms of a memory in order: its pieces stand side by side.
    pub(super) fn doc_terms(&self, meta: &DocMeta) -> &[u32] {
        let (start, _) = self.piece_range(meta.first_piece);
        let (_, end) = self.piece_range(meta.first_piece + meta.pieces - 1);
        self.forward.get(start..end).unwrap_or_default()
    }

    fn meta_at(&self, slot: Slot) -> Option<&DocMeta> {
        self.metas.get(slot.index())
    }

    /// Columns of a live memory; `None` for a slot of another state of the index.
    pub fn meta(&self, slot: Slot) -> Option<&DocMeta> {
        self.meta_at(slot).filter(|_| self.live.contains(slot))
    }

    /// Where a memory is.
    pub fn slot_of(&self, id: MemoryId) -> Option<Slot> {
        self.slots.get(&id).copied().map(Slot)
    }

    /// Which memory it is.
    pub fn id_of(&self, slot: Slot) -> Option<MemoryId> {
        self.meta(slot).map(DocMeta::id)
    }

    /// The memories of a set.
    pub fn ids(&self, set: &SlotSet) -> HashSet<MemoryId> {
        set.iter().filter_map(|s| self.id_of(s)).collect()
    }

    /// All live slots.
    pub fn slots(&self) -> impl Iterator<Item = Slot> {
        self.live.iter()
    }

    /// Number of the memory's session, for grouping.
    pub fn session_of(&self, slot: Slot) -> Option<u32> {
        self.meta(slot)?.session()
    }

    /// The string that a column of [`DocMeta`] stands for.
    pub fn name(&self, number: u32) -> Option<&str> {
        self.strings.name(number)
    }

    /// The number of a string, where some memory has it.
    pub fn number(&self, name: &str) -> Option<u32> {
        self.strings.get(name)
    }

    /// Tags of a memory, in order.
    pub fn tags_of(&self, slot: Slot) -> impl Iterator<Item = &str> {
        let tags = self.meta(slot).map_or(&[][..], |m| self.tag_numbers(m));
        tags.iter().filter_map(|t| self.strings.name(*t))
    }

    pub(super) fn tag_numbers(&self, meta: &DocMeta) -> &[u32] {
        let start = meta.first_tag as usize;
        self.tags.get(start..start + usize::from(meta.tags)).unwrap_or_default()
    }

    /// Known speakers with a name of their own whose whole name stands in the query as words, in any case; or whose first name does
    /// where no other speaker shares it. A name that is also a stop word or a month (Will, May) must be capitalised in the query.
    pub fn speakers_named(&self, query: &str) -> Vec<SpeakerRef> {
        self.speakers.named(query)
    }

    /// The query with the names of known speakers, and `'s` behind them, replaced by "they": for embedding. A name counts where it is
    /// written as the speaker field has it, or with capitals.
    pub fn without_names<'q>(&self, query: &'q str) -> Cow<'q, str> {
        self.speakers.without_names(query)
    }

    /// Whether the memory is by that speaker.
    pub fn is_speaker(&self, slot: Slot, speaker: &SpeakerRef) -> bool {
        self.meta(slot).is_some_and(|m| self.speakers.is(m.actor, *speaker))
    }

    /// A speaker's name, as first written.
    pub fn speaker_name(&self, speaker: &SpeakerRef) -> Option<&str> {
        self.speakers.spelling(*speaker)
    }

    /// The documents of the memories last changed in `(after, upto]`, by ascending sequence number: for writing a segment.
    pub fn docs_between(&self, after: u64, upto: u64) -> Vec<LexDoc> {
        let mut metas: Vec<_> =
            self.live.iter().filter_map(|s| self.meta_at(s)).filter(|m| after < m.seq && m.seq <= upto).collect();
        metas.sort_unstable_by_key(|m| (m.seq, m.id));
        metas.into_iter().map(|m| self.doc(m)).collect()
    }

    fn doc(&self, meta: &DocMeta) -> LexDoc {
        let owned = |number: Option<u32>| number.and_then(|n| self.strings.name(n)).map(str::to_owned);
        let terms = self.doc_terms(meta).iter().filter_map(|t| self.terms.name(*t)).collect::<Terms>();
        let columns = Columns {
            layer: meta.layer,
            kind: meta.kind,
            role_is_user: meta.role_is_user,
            speaker: owned(meta.speaker()),
            session: owned(meta.session()),
            agent: owned(meta.agent()),
            user: owned(meta.user()),
            tags: self.tag_numbers(meta).iter().filter_map(|t| owned(Some(*t))).collect(),
            occurred_at: meta.occurred_at(),
            created_at: meta.created_at,
            updated_at: meta.updated_at,
            valid_from: (meta.valid_from != NO_TIME).then_some(meta.valid_from),
            valid_to: meta.valid_to(),
            expires_at: meta.expires_at(),
            importance: meta.importance,
            strength: meta.strength,
            seq_in_session: meta.seq_in_session(),
        };
        LexDoc { id: meta.id, seq: meta.seq, version: meta.version, columns, terms }
    }
}

/// Each different term of a piece with its count, in ascending order of the numbers.
fn for_each_count(terms: &[u32], mut f: impl FnMut(u32, u8)) {
    let mut sorted = [0u32; PIECE_TERMS];
    let Some(sorted) = sorted.get_mut(..terms.len()) else { return };
    sorted.copy_from_slice(terms);
    sorted.sort_unstable();
    for run in sorted.chunk_by(|a, b| a == b) {
        if let Some(term) = run.first() {
            f(*term, u8::try_from(run.len()).unwrap_or(u8::MAX));
        }
    }
}
