//! Giving back the room of dead memories.

use super::{
    index::ScopeIndex,
    meta::Slot,
    names::{NONE, id32},
};
use rustc_hash::FxHashMap;

/// Fewer dead pieces are not worth the work.
const DEAD_MIN: usize = 256;
/// Compaction starts when more than one in this many slots or pieces is dead.
const DEAD_SHARE: usize = 5;

/// New numbers of slots and pieces; `NONE` for the dead.
struct Moved {
    slots: Vec<u32>,
    pieces: Vec<u32>,
}

fn at(moved: &[u32], old: u32) -> u32 {
    moved.get(old as usize).copied().unwrap_or(NONE)
}

impl ScopeIndex {
    /// Compacts when more than a fifth is dead. The cost is linear in what is there and paid by the deaths before it, so that it is
    /// constant per change in the long run.
    pub(super) fn compact_when_due(&mut self) {
        let (slots, pieces) = (self.metas.len(), self.piece_slot.len());
        let dead_slots = slots - self.slots.len();
        let dead_pieces = pieces.saturating_sub(usize::try_from(self.live_pieces).unwrap_or(pieces));
        if dead_pieces >= DEAD_MIN && (dead_slots * DEAD_SHARE > slots || dead_pieces * DEAD_SHARE > pieces) {
            self.compact();
        }
    }

    /// Drops everything of dead memories, words and names included. Slots, pieces, terms and strings get new numbers, in the same
    /// order.
    pub(super) fn compact(&mut self) {
        self.generation += 1;
        let strings = self.compact_strings();
        let speakers = self.speakers.compact(&strings);
        let lists = &self.lists;
        let terms = self.terms.compact(|t| lists.get(t as usize).is_some_and(|l| l.df > 0));
        self.lists.retain(|l| l.df > 0);
        let moved = self.move_rows(&terms);
        for meta in &mut self.metas {
            for number in [&mut meta.speaker, &mut meta.session, &mut meta.agent, &mut meta.user] {
                *number = at(&strings, *number);
            }
            meta.actor = at(&speakers, meta.actor);
        }
        for tag in &mut self.tags {
            *tag = at(&strings, *tag);
        }
        for list in &mut self.lists {
            list.renumber(|piece| Some(at(&moved.pieces, piece)).filter(|p| *p != NONE));
        }
        self.renumber_slots(&moved.slots, &strings);
    }

    /// Keeps the strings of live memories.
    fn compact_strings(&mut self) -> Vec<u32> {
        let mut used = vec![false; self.strings.len()];
        let mut mark = |number: u32| {
            if let Some(u) = used.get_mut(number as usize) {
                *u = true;
            }
        };
        for meta in self.live.iter().filter_map(|s| self.metas.get(s.index())) {
            [meta.speaker, meta.session, meta.agent, meta.user].into_iter().for_each(&mut mark);
            self.tag_numbers(meta).iter().copied().for_each(&mut mark);
        }
        self.strings.compact(|s| used.get(s as usize).copied().unwrap_or(false))
    }

    /// Moves columns, pieces, words and tags of live memories together.
    fn move_rows(&mut self, terms: &[u32]) -> Moved {
        let mut moved = Moved { slots: vec![NONE; self.metas.len()], pieces: vec![NONE; self.piece_slot.len()] };
        let words: usize = usize::try_from(self.live_length).unwrap_or_default();
        let mut metas = Vec::with_capacity(self.slots.len());
        let (mut piece_slot, mut piece_start) = (Vec::new(), vec![0]);
        let (mut forward, mut tags) = (Vec::with_capacity(words), Vec::new());
        for old in self.live.iter() {
            let Some(mut meta) = self.metas.get(old.index()).cloned() else { continue };
            let slot = id32(metas.len());
            if let Some(place) = moved.slots.get_mut(old.index()) {
                *place = slot;
            }
            let (first_piece, first_tag) = (id32(piece_slot.len()), id32(tags.len()));
            for piece in meta.first_piece..meta.first_piece + meta.pieces {
                if let Some(place) = moved.pieces.get_mut(piece as usize) {
                    *place = id32(piece_slot.len());
                }
                forward.extend(self.piece_terms(piece).iter().map(|t| at(terms, *t)));
                piece_slot.push(slot);
                piece_start.push(forward.len());
            }
            tags.extend_from_slice(self.tag_numbers(&meta));
            (meta.first_piece, meta.first_tag) = (first_piece, first_tag);
            metas.push(meta);
        }
        (self.metas, self.forward, self.tags) = (metas, forward, tags);
        (self.piece_slot, self.piece_start) = (piece_slot, piece_start);
        moved
    }

    fn renumber_slots(&mut self, slots: &[u32], strings: &[u32]) {
        for slot in self.slots.values_mut() {
            *slot = at(slots, *slot);
        }
        self.live = (0..id32(self.metas.len())).map(Slot).collect();
        self.ends = std::mem::take(&mut self.ends).into_iter().map(|(end, s)| (end, at(slots, s))).collect();
        let mut sessions = FxHashMap::default();
        for (session, mut order) in std::mem::take(&mut self.sessions) {
            order.iter_mut().for_each(|s| *s = at(slots, *s));
            order.shrink_to_fit();
            sessions.insert(at(strings, session), order);
        }
        self.sessions = sessions;
    }
}
