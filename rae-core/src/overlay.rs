//! The newest vectors of a scope that a vector server may not hold yet. Recall scores them in the process and lets them go
//! before what the server says of the same memories, so that it is as fresh as with vectors in the process. Only the
//! container; `jobs::index_sync` fills it.

use crate::{
    limits::OVERLAY_CHANGES_MAX,
    model::{MemoryId, VectorHit},
};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::{Duration, Instant},
};

/// How old the server's watermark may be: another process may have emptied the server since.
const ASKED_FOR: Duration = Duration::from_secs(1);

/// Changes in `(from, upto]`, each memory at its last one.
#[derive(Debug, Default)]
pub(crate) struct Overlay {
    from: u64,
    upto: u64,
    /// Up to here the server holds everything, as far as this process knows.
    base: u64,
    /// When the server was last asked, whether or not it answered.
    asked: Option<Instant>,
    log: BTreeMap<u64, MemoryId>,
    entries: HashMap<MemoryId, Entry>,
}

#[derive(Debug)]
struct Entry {
    seq: u64,
    /// `None`: deleted, or without a vector.
    vector: Option<Vec<f32>>,
}

/// Cosines of the overlay's memories to one question, as they stood at one moment.
#[derive(Debug, Default)]
pub(crate) struct Shadow {
    /// Each memory the server must not be asked about; `None` has no vector.
    pub cosines: HashMap<MemoryId, Option<f32>>,
    /// Whether server and shadow together hold everything.
    pub complete: bool,
}

impl Shadow {
    /// The `k` nearest of the allowed ones in `server`'s answer and here, by falling cosine, then id.
    pub fn merge(&self, server: Vec<VectorHit>, only: Option<&HashSet<MemoryId>>, k: usize) -> Vec<VectorHit> {
        let mut hits: Vec<VectorHit> = server.into_iter().filter(|hit| !self.cosines.contains_key(&hit.id)).collect();
        let here = self.cosines.iter().filter_map(|(&id, &cosine)| Some(VectorHit { id, cosine: cosine? }));
        hits.extend(here.filter(|hit| only.is_none_or(|only| only.contains(&hit.id))));
        hits.sort_unstable_by(|a, b| b.cosine.total_cmp(&a.cosine).then(a.id.cmp(&b.id)));
        hits.truncate(k);
        hits
    }
}

impl Overlay {
    /// Whether the server should be asked for its watermark.
    pub fn is_due(&self) -> bool {
        self.asked.is_none_or(|at| at.elapsed() >= ASKED_FOR)
    }

    /// Up to which change it was told everything.
    pub fn upto(&self) -> u64 {
        self.upto
    }

    /// Whether anything waits for the server.
    pub fn is_behind(&self) -> bool {
        self.upto > self.base
    }

    /// The server holds everything up to `applied`; the log stands at `head`.
    pub fn rebase(&mut self, applied: u64, head: u64) {
        let first = self.asked.replace(Instant::now()).is_none();
        self.base = applied;
        if self.from <= applied && !first {
            self.forget_upto(applied);
            self.upto = self.upto.max(applied);
        } else if head.saturating_sub(applied) <= OVERLAY_CHANGES_MAX as u64 {
            self.begin_at(applied);
        } else if first {
            // Too much to hold: the newest alone.
            self.begin_at(head - OVERLAY_CHANGES_MAX as u64);
        }
    }

    /// The server did not answer; the log stands at `head`.
    pub fn unreachable(&mut self, head: u64) {
        if self.asked.replace(Instant::now()).is_none() {
            self.begin_at(head.saturating_sub(OVERLAY_CHANGES_MAX as u64));
        }
    }

    /// The log was cut, or the server emptied: everything is asked again.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    fn begin_at(&mut self, seq: u64) {
        self.log.clear();
        self.entries.clear();
        (self.from, self.upto) = (seq, seq);
    }

    /// Takes the changes in `(after, upto]`: what is known already is left, and so is what leaves a gap.
    pub fn absorb(&mut self, after: u64, upto: u64, changes: impl Iterator<Item = (u64, MemoryId, Option<Vec<f32>>)>) {
        if self.asked.is_none() || after > self.upto || upto <= self.upto {
            return;
        }
        for (seq, id, vector) in changes.filter(|(seq, ..)| *seq > self.upto) {
            if let Some(old) = self.entries.insert(id, Entry { seq, vector }) {
                self.log.remove(&old.seq);
            }
            self.log.insert(seq, id);
        }
        self.upto = upto;
        while self.log.len() > OVERLAY_CHANGES_MAX {
            let Some((seq, id)) = self.log.pop_first() else { break };
            self.entries.remove(&id);
            self.from = seq;
        }
    }

    fn forget_upto(&mut self, seq: u64) {
        let kept = self.log.split_off(&seq.saturating_add(1));
        for id in std::mem::replace(&mut self.log, kept).into_values() {
            self.entries.remove(&id);
        }
        self.from = self.from.max(seq);
    }

    /// Cosines to `question`, a vector of unit length.
    pub fn shadow(&self, question: &[f32]) -> Shadow {
        let cosine = |v: &Vec<f32>| dot(question, v).clamp(-1.0, 1.0);
        Shadow {
            cosines: self.entries.iter().map(|(&id, entry)| (id, entry.vector.as_ref().map(cosine))).collect(),
            complete: self.asked.is_some() && self.from <= self.base,
        }
    }
}

/// The product of two vectors of one length, added up in f64.
#[allow(clippy::cast_possible_truncation)]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>() as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn id(n: u64) -> MemoryId {
        MemoryId(Uuid::from_u128(n.into()))
    }

    fn absorb(overlay: &mut Overlay, after: u64, upto: u64) {
        overlay.absorb(after, upto, (after + 1..=upto).map(|n| (n, id(n), Some(vec![1.0, 0.0]))));
    }

    #[test]
    fn server_and_overlay_together_are_complete_unless_a_change_between_them_is_in_neither() {
        let mut overlay = Overlay::default();
        assert!(!overlay.shadow(&[1.0, 0.0]).complete, "nobody asked the server yet");
        overlay.rebase(3, 10);
        absorb(&mut overlay, 0, 5);
        absorb(&mut overlay, 7, 10);
        assert_eq!(overlay.upto(), 5, "a gap is not jumped");
        absorb(&mut overlay, 5, 10);
        let shadow = overlay.shadow(&[0.6, 0.8]);
        assert_eq!((shadow.cosines.len(), shadow.complete), (7, true));
        assert_eq!(shadow.cosines[&id(10)], Some(0.6));
        overlay.rebase(8, 10);
        assert_eq!(overlay.shadow(&[1.0, 0.0]).cosines.len(), 2);
        assert!(overlay.is_behind());
        // The server lost everything: the changes between are read again, from the start.
        overlay.rebase(0, 10);
        assert_eq!(overlay.upto(), 0);
        absorb(&mut overlay, 0, 10);
        assert!(overlay.shadow(&[1.0, 0.0]).complete);
    }

    #[test]
    fn more_changes_than_it_holds_make_it_incomplete_until_the_server_has_the_older_ones() {
        let most = OVERLAY_CHANGES_MAX as u64;
        let mut overlay = Overlay::default();
        overlay.unreachable(0);
        absorb(&mut overlay, 0, most + 5);
        let shadow = overlay.shadow(&[1.0, 0.0]);
        assert_eq!((shadow.cosines.len(), shadow.complete), (OVERLAY_CHANGES_MAX, false));
        overlay.rebase(5, most + 5);
        assert!(overlay.shadow(&[1.0, 0.0]).complete);
        // A process that starts while the server is far behind holds the newest.
        let mut late = Overlay::default();
        late.rebase(0, 10 * most);
        assert_eq!(late.upto(), 9 * most);
        assert!(!late.shadow(&[1.0, 0.0]).complete);
    }

    #[test]
    fn what_the_overlay_says_of_a_memory_goes_before_what_the_server_says() {
        let mut overlay = Overlay::default();
        overlay.rebase(0, 3);
        overlay.absorb(
            0,
            3,
            [(1, id(1), Some(vec![0.0, 1.0])), (2, id(2), None), (3, id(3), Some(vec![0.8, 0.6]))].into_iter(),
        );
        let shadow = overlay.shadow(&[1.0, 0.0]);
        let server = [1, 2, 9].map(|n| VectorHit { id: id(n), cosine: 0.9 }).to_vec();
        let ids = |hits: Vec<VectorHit>| hits.into_iter().map(|hit| hit.id).collect::<Vec<_>>();
        assert_eq!(ids(shadow.merge(server.clone(), None, 10)), [id(9), id(3), id(1)]);
        assert_eq!(ids(shadow.merge(server.clone(), None, 1)), [id(9)]);
        assert_eq!(ids(shadow.merge(server, Some(&HashSet::from([id(9), id(1)])), 10)), [id(9), id(1)]);
    }
}
