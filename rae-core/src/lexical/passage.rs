//! A memory among its neighbours: the order of sessions, and scores of the passage round a short memory.

use super::{
    index::ScopeIndex,
    meta::{DocMeta, Slot},
    search::{Counts, ResolvedQuery},
};
use crate::limits::PIECE_TERMS;

/// Terms of a passage: parts of the forward store and how many they are.
struct Passage<'i> {
    parts: [&'i [u32]; 4],
    len: usize,
}

impl ScopeIndex {
    /// Puts a new memory into the order of its session. Most come at the end.
    pub(super) fn enter_session(&mut self, session: u32, slot: u32) {
        let metas = &self.metas;
        let order = |s: u32| metas.get(s as usize).map(DocMeta::order);
        let members = self.sessions.entry(session).or_default();
        let key = order(slot);
        let place = match members.last() {
            Some(last) if order(*last) > key => members.partition_point(|s| order(*s) < key),
            _ => members.len(),
        };
        members.insert(place, slot);
    }

    pub(super) fn leave_session(&mut self, session: u32, slot: u32) {
        let Some(place) = self.place_in_session(session, slot) else { return };
        if let Some(members) = self.sessions.get_mut(&session) {
            members.remove(place);
            if members.is_empty() {
                self.sessions.remove(&session);
            }
        }
    }

    fn place_in_session(&self, session: u32, slot: u32) -> Option<usize> {
        let members = self.sessions.get(&session)?;
        let order = |s: u32| self.metas.get(s as usize).map(DocMeta::order);
        let key = order(slot)?;
        let place = members.partition_point(|s| order(*s) < Some(key));
        (members.get(place) == Some(&slot)).then_some(place)
    }

    /// The previous, next, previous but one and next but one memory of the same exchange, as far as they are there; in that order.
    ///
    /// A session is ordered by (event time, `seq_in_session`, id). An exchange is a run of it in which only the first memory may
    /// have the role `user`.
    pub fn neighbours(&self, slot: Slot) -> impl Iterator<Item = Slot> + use<> {
        self.around(slot).into_iter().flatten()
    }

    fn around(&self, slot: Slot) -> [Option<Slot>; 4] {
        let Some((meta, session)) = self.meta(slot).and_then(|m| Some((m, m.session()?))) else { return [None; 4] };
        let (Some(place), Some(members)) = (self.place_in_session(session, slot.0), self.sessions.get(&session)) else {
            return [None; 4];
        };
        let member = |place: Option<usize>| {
            let slot = Slot(*members.get(place?)?);
            Some((slot, self.metas.get(slot.index())?.role_is_user))
        };
        // Going back stops behind a memory that starts an exchange, going forth before one.
        let previous = member(place.checked_sub(1)).filter(|_| !meta.role_is_user);
        let before = previous.filter(|(_, starts)| !starts).and_then(|_| member(place.checked_sub(2)));
        let next = member(Some(place + 1)).filter(|(_, starts)| !starts);
        let after = next.and_then(|_| member(Some(place + 2))).filter(|(_, starts)| !starts);
        [previous, next, before, after].map(|m| m.map(|(slot, _)| slot))
    }

    /// A short memory widened to `PIECE_TERMS` terms; `None` for a long one, which its pieces serve.
    fn passage(&self, slot: Slot, visible: &dyn Fn(Slot) -> bool) -> Option<Passage<'_>> {
        let own = self.doc_terms(self.meta(slot)?);
        if own.len() >= PIECE_TERMS {
            return None;
        }
        let mut passage = Passage { parts: [own, &[], &[], &[]], len: own.len() };
        let [previous, next, before, _] = self.around(slot);
        for (neighbour, gives_head, place) in [(previous, false, 1), (next, true, 2), (before, false, 3)] {
            let room = PIECE_TERMS - passage.len;
            let Some(neighbour) = neighbour.filter(|n| room > 0 && visible(*n)) else { continue };
            let terms = self.meta(neighbour).map_or(&[][..], |m| self.doc_terms(m));
            let take = room.min(terms.len());
            let near = if gives_head { terms.get(..take) } else { terms.get(terms.len() - take..) };
            if let (Some(near), Some(part)) = (near, passage.parts.get_mut(place)) {
                *part = near;
                passage.len += near.len();
            }
        }
        Some(passage)
    }

    fn passage_counts(
        &self,
        slot: Slot,
        query: &ResolvedQuery,
        visible: &dyn Fn(Slot) -> bool,
    ) -> Option<(Counts, usize)> {
        let passage = self.passage(slot, visible)?;
        let mut counts = Counts::default();
        passage.parts.iter().for_each(|part| query.count(part, &mut counts));
        Some((counts, passage.len))
    }

    /// P: the BM25 score of the passage round the memory. A memory of at least `PIECE_TERMS` terms has the score of its best piece; a
    /// shorter one is widened by the near ends of the previous, next and previous but one memory of the same exchange, as far as
    /// they are `visible`, until there are so many.
    pub fn passage_score(&self, slot: Slot, query: &ResolvedQuery, visible: &dyn Fn(Slot) -> bool) -> f32 {
        match self.passage_counts(slot, query, visible) {
            Some((counts, len)) => query.score(&counts, len),
            None => self.piece_score(slot, query).0,
        }
    }

    /// Which share of the query stands in the passage (of a long memory: in its best piece), 0 to 1: the different terms weighed by
    /// their idf, those that no memory has included. 0 for a query without terms.
    pub fn coverage(&self, slot: Slot, query: &ResolvedQuery, visible: &dyn Fn(Slot) -> bool) -> f32 {
        if let Some((counts, _)) = self.passage_counts(slot, query, visible) {
            return query.coverage(&counts);
        }
        let Some(meta) = self.meta(slot) else { return 0.0 };
        let (_, best) = self.piece_score(slot, query);
        let mut counts = Counts::default();
        query.count(self.doc_terms(meta).chunks(PIECE_TERMS).nth(best).unwrap_or_default(), &mut counts);
        query.coverage(&counts)
    }
}
