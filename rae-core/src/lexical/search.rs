//! Scores, and the best memories for a query.
//!
//! The search goes over the pieces in windows (as Lucene's block-max MaxScore does): from the block bounds each window knows which
//! terms could still bring a piece among the best; the postings of those are added up, those of the others only for the pieces that
//! can still win; and what is left is scored exactly, from its words in order. So a hit has to the last bit the score that
//! `piece_score` gives.

use super::{
    analyse,
    filter::{Bits, SlotSet},
    index::ScopeIndex,
    meta::Slot,
    postings::{BLOCK, Best, Posting, TermList},
};
use crate::{
    limits::{PIECE_TERMS, QUERY_TERMS_MAX},
    model::MemoryId,
};
use rustc_hash::FxHashMap;
use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
};

/// BM25: how fast more of the same term counts less.
const K1: f64 = 0.9;
/// BM25: how much the length of a piece counts.
const B: f64 = 0.4;
/// Pieces looked at together: their sums fit the nearest cache.
const WINDOW: u32 = 4_096;
/// Bounds are sums of f32 in any order; this much above their error, nothing that could win is left out.
const SLACK: f32 = 1.000_1;
/// Up to so many allowed pieces for one posting of the query, scoring them one by one is cheaper than going over the postings.
const SCAN_SHARE: u64 = 16;

/// One term of a query.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct QueryTerm {
    /// Number of the term in this index.
    pub id: u32,
    /// How often it is in the query.
    pub count: u32,
    /// Its weight: `ln(1 + (N - df + 0.5) / (df + 0.5))` over live pieces.
    pub idf: f64,
}

/// A query looked up in one state of one index.
#[derive(Debug, Clone)]
pub struct ResolvedQuery {
    /// Known terms in the order of the query; at most `limits::QUERY_TERMS_MAX`, the rarest.
    pub terms: Vec<QueryTerm>,
    /// Sum of the idf of the terms that no memory has.
    pub unknown_idf: f64,
    /// (term, place in `terms`), ascending.
    places: Vec<(u32, u8)>,
    /// Bit `id % 64` of every term: most words of a text are not in the query.
    mask: u64,
    /// The divisor's part by length, 0 to `PIECE_TERMS`.
    norms: Vec<f64>,
}

/// How often each term of a query occurs in a bag, by place in its `terms`.
pub(super) struct Counts([u16; QUERY_TERMS_MAX]);

impl Default for Counts {
    fn default() -> Self {
        Self([0; QUERY_TERMS_MAX])
    }
}

impl ResolvedQuery {
    /// Whether no term of the query is known: every score is 0.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// Adds the query's terms in a run of the forward store.
    pub(super) fn count(&self, terms: &[u32], counts: &mut Counts) {
        for &term in terms {
            if self.mask >> (term % 64) & 1 == 1
                && let Ok(found) = self.places.binary_search_by_key(&term, |p| p.0)
                && let Some(count) = self.places.get(found).and_then(|p| counts.0.get_mut(usize::from(p.1)))
            {
                *count = count.saturating_add(1);
            }
        }
    }

    /// BM25 of a bag of `len` terms. Always summed in the order of the query, so that equal texts have equal scores everywhere.
    #[allow(clippy::cast_possible_truncation)] // a score is handed out as f32
    pub(super) fn score(&self, counts: &Counts, len: usize) -> f32 {
        let norm = self.norms.get(len).or(self.norms.last()).copied().unwrap_or(K1);
        let part = |(term, tf): (&QueryTerm, &u16)| {
            let tf = f64::from(*tf);
            f64::from(term.count) * term.idf * tf * (K1 + 1.0) / (tf + norm)
        };
        self.terms.iter().zip(&counts.0).filter(|(_, tf)| **tf > 0).map(part).sum::<f64>() as f32
    }

    #[allow(clippy::cast_possible_truncation)] // a share between 0 and 1
    pub(super) fn coverage(&self, counts: &Counts) -> f32 {
        let all = self.terms.iter().map(|t| t.idf).sum::<f64>() + self.unknown_idf;
        let there = self.terms.iter().zip(&counts.0).filter(|(_, tf)| **tf > 0).map(|(t, _)| t.idf).sum::<f64>();
        if all > 0.0 { (there / all) as f32 } else { 0.0 }
    }
}

/// A memory on its way into the best: better is greater; of equal scores the smaller id is the better.
struct Entry {
    score: f32,
    id: Reverse<MemoryId>,
    slot: Slot,
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.total_cmp(&other.score).then_with(|| self.id.cmp(&other.id))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Entry {}

/// The best k memories so far. Pieces come memory by memory.
struct Top<'i> {
    index: &'i ScopeIndex,
    k: usize,
    heap: BinaryHeap<Reverse<Entry>>,
    pending: Option<(Slot, f32)>,
}

impl<'i> Top<'i> {
    fn new(index: &'i ScopeIndex, k: usize) -> Self {
        Self { index, k, heap: BinaryHeap::new(), pending: None }
    }

    /// The score that a memory must reach; 0 while there is room.
    fn threshold(&self) -> f32 {
        if self.heap.len() < self.k { 0.0 } else { self.heap.peek().map_or(0.0, |e| e.0.score) }
    }

    /// Takes a piece's score.
    fn offer(&mut self, slot: Slot, score: f32) {
        match &mut self.pending {
            Some((same, best)) if *same == slot => *best = best.max(score),
            _ => {
                self.settle();
                self.pending = Some((slot, score));
            }
        }
    }

    fn settle(&mut self) {
        let Some((slot, score)) = self.pending.take().filter(|(_, score)| *score > 0.0) else { return };
        let Some(id) = self.index.id_of(slot) else { return };
        let entry = Reverse(Entry { score, id: Reverse(id), slot });
        if self.heap.len() < self.k {
            self.heap.push(entry);
        } else if let Some(mut worst) = self.heap.peek_mut().filter(|worst| worst.0 < entry.0) {
            *worst = entry;
        }
    }

    fn finish(mut self) -> Vec<(Slot, f32)> {
        self.settle();
        self.heap.into_sorted_vec().into_iter().map(|Reverse(e)| (e.slot, e.score)).collect()
    }
}

/// One term on its way over its postings.
struct Cursor<'i> {
    list: &'i TermList,
    /// Count in the query times idf times (k1 + 1).
    weight: f32,
    at: usize,
    block: usize,
    /// The most that it adds to a piece of the present window.
    bound: f32,
}

impl Cursor<'_> {
    fn value(&self, best: Best, norms: &[f32]) -> f32 {
        let tf = f32::from(best.tf);
        let norm = norms.get(usize::from(best.len)).or(norms.last()).copied().unwrap_or_default();
        self.weight * tf / (tf + norm)
    }

    fn part(&self, posting: Posting, norms: &[f32]) -> f32 {
        self.value(Best { tf: posting.tf, len: posting.len }, norms)
    }

    /// Goes to the window `[low, high)`, block by block, and bounds what it adds there.
    fn enter(&mut self, low: u32, high: u32, norms: &[f32]) {
        while self.list.blocks.get(self.block).is_some_and(|b| b.last < low) {
            self.block += 1;
        }
        self.at = self.at.max(self.block * BLOCK);
        self.bound = 0.0;
        let rest = self.list.postings.get(self.at..).unwrap_or_default();
        if self.list.blocks.is_empty() {
            self.at += rest.iter().take_while(|p| p.piece < low).count();
            if self.list.postings.get(self.at).is_some_and(|p| p.piece < high) {
                self.bound = self.value(self.list.best, norms);
            }
            return;
        }
        if rest.first().is_none_or(|p| p.piece >= high) {
            return;
        }
        for block in self.list.blocks.get(self.block..).unwrap_or_default() {
            self.bound = self.bound.max(self.value(block.best, norms));
            if block.last >= high {
                break;
            }
        }
    }
}

/// Sums of the pieces of one window.
struct Window {
    low: u32,
    high: u32,
    sums: Vec<f32>,
    touched: [u64; WINDOW as usize / 64],
    /// Pieces that can still reach the best, ascending, with what is added up of them.
    hopeful: Vec<(u32, f32)>,
}

impl Window {
    fn new() -> Self {
        let touched = [0; WINDOW as usize / 64];
        Self { low: 0, high: 0, sums: vec![0.0; WINDOW as usize], touched, hopeful: Vec::new() }
    }

    /// Adds a term's part to all its pieces of the window.
    fn add(&mut self, cursor: &mut Cursor<'_>, norms: &[f32]) {
        let rest = cursor.list.postings.get(cursor.at..).unwrap_or_default();
        let before = first_from(rest, self.low);
        let rest = rest.get(before..).unwrap_or_default();
        let inside = first_from(rest, self.high);
        for posting in rest.get(..inside).unwrap_or_default() {
            let place = (posting.piece - self.low) as usize;
            if let (Some(sum), Some(word)) = (self.sums.get_mut(place), self.touched.get_mut(place / 64)) {
                *sum += cursor.part(*posting, norms);
                *word |= 1 << (place % 64);
            }
        }
        cursor.at += before + inside;
    }

    /// Takes the pieces out of the sums, which are zero again then, that can reach `least` with at most `rest` more.
    fn collect(&mut self, rest: f32, least: f32) {
        self.hopeful.clear();
        for (word, base) in self.touched.iter_mut().zip((0u32..).step_by(64)) {
            for bit in Bits(std::mem::take(word)) {
                let place = base + bit;
                let sum = self.sums.get_mut(place as usize).map(std::mem::take).unwrap_or_default();
                if (sum + rest) * SLACK >= least {
                    self.hopeful.push((self.low + place, sum));
                }
            }
        }
    }

    /// Adds a term's part to the hopeful pieces alone; those stay that can reach `least` with at most `rest` more.
    fn refine(&mut self, cursor: &mut Cursor<'_>, norms: &[f32], rest: f32, least: f32) {
        self.hopeful.retain_mut(|(piece, sum)| {
            let postings = cursor.list.postings.get(cursor.at..).unwrap_or_default();
            let skipped = first_from(postings, *piece);
            cursor.at += skipped;
            if let Some(posting) = postings.get(skipped).filter(|p| p.piece == *piece) {
                *sum += cursor.part(*posting, norms);
            }
            (*sum + rest) * SLACK >= least
        });
    }
}

/// Place of the first posting at or behind a piece, searched in growing steps: it is near in most cases.
fn first_from(postings: &[Posting], piece: u32) -> usize {
    let (mut low, mut step) = (0, 1);
    while postings.get(low + step - 1).is_some_and(|p| p.piece < piece) {
        low += step;
        step *= 2;
    }
    let high = (low + step - 1).min(postings.len());
    low + postings.get(low..high).map_or(0, |near| near.partition_point(|p| p.piece < piece))
}

impl ScopeIndex {
    /// Analyses a query and looks its terms up. More different terms than `limits::QUERY_TERMS_MAX` leave the rarest.
    pub fn resolve(&self, query: &str) -> ResolvedQuery {
        let mut order: Vec<(Option<u32>, u32)> = Vec::new();
        let mut seen: FxHashMap<Box<str>, usize> = FxHashMap::default();
        analyse(query, &mut |term, _, _| match seen.get(term) {
            Some(&place) => {
                if let Some(entry) = order.get_mut(place) {
                    entry.1 = entry.1.saturating_add(1);
                }
            }
            None => {
                seen.insert(term.into(), order.len());
                order.push((self.terms.get(term).filter(|id| self.df(*id) > 0), 1));
            }
        });
        let unknown = order.iter().filter(|(id, _)| id.is_none()).count();
        let mut terms: Vec<_> = order
            .into_iter()
            .filter_map(|(id, count)| id.map(|id| QueryTerm { id, count, idf: self.idf(self.df(id)) }))
            .collect();
        keep_rarest(&mut terms);
        let mut places: Vec<_> = terms.iter().zip(0u8..).map(|(t, place)| (t.id, place)).collect();
        places.sort_unstable();
        let average = self.live_length as f64 / self.live_pieces.max(1) as f64;
        let norm = |len: usize| K1 * (1.0 - B + B * len.max(1) as f64 / average.max(1.0));
        ResolvedQuery {
            mask: terms.iter().fold(0, |mask, t| mask | 1 << (t.id % 64)),
            unknown_idf: unknown as f64 * self.idf(0),
            norms: (0..=PIECE_TERMS).map(norm).collect(),
            terms,
            places,
        }
    }

    fn df(&self, term: u32) -> u32 {
        self.lists.get(term as usize).map_or(0, |l| l.df)
    }

    fn idf(&self, df: u32) -> f64 {
        let (n, df) = (self.live_pieces as f64, f64::from(df));
        (1.0 + (n - df + 0.5) / (df + 0.5)).ln()
    }

    /// B: the score of the memory's best piece, and which piece it is (the first of equals; 0 where nothing matches).
    pub fn piece_score(&self, slot: Slot, query: &ResolvedQuery) -> (f32, usize) {
        let Some(meta) = self.meta(slot) else { return (0.0, 0) };
        let mut best = (0.0, 0);
        for (ordinal, piece) in (meta.first_piece..meta.first_piece + meta.pieces).enumerate() {
            let score = self.score_piece(piece, query);
            if score > best.0 {
                best = (score, ordinal);
            }
        }
        best
    }

    fn score_piece(&self, piece: u32, query: &ResolvedQuery) -> f32 {
        let terms = self.piece_terms(piece);
        let mut counts = Counts::default();
        query.count(terms, &mut counts);
        query.score(&counts, terms.len())
    }

    /// The best `k` memories by their best piece, with its score: highest first, of equals the smaller id. Exact. Memories without a
    /// term of the query never come. With `allowed` only those in it.
    pub fn search(&self, query: &ResolvedQuery, allowed: Option<&SlotSet>, k: usize) -> Vec<(Slot, f32)> {
        let mut top = Top::new(self, k);
        if k == 0 {
            return Vec::new();
        }
        let postings: u64 = query.terms.iter().map(|t| u64::from(self.df(t.id))).sum();
        match allowed {
            Some(few) if (few.len() as u64) < postings / SCAN_SHARE => {
                for slot in few.iter().filter(|s| self.live.contains(*s)) {
                    top.offer(slot, self.piece_score(slot, query).0);
                }
            }
            _ => self.search_windows(query, allowed, &mut top),
        }
        top.finish()
    }

    #[allow(clippy::cast_possible_truncation)] // bounds are f32 on purpose; SLACK covers the rounding
    fn search_windows(&self, query: &ResolvedQuery, allowed: Option<&SlotSet>, top: &mut Top<'_>) {
        let norms: Vec<f32> = query.norms.iter().map(|n| *n as f32).collect();
        let mut cursors: Vec<_> = query
            .terms
            .iter()
            .filter_map(|t| Some((t, self.lists.get(t.id as usize)?)))
            .map(|(t, list)| {
                let weight = (f64::from(t.count) * t.idf * (K1 + 1.0)) as f32;
                Cursor { list, weight, at: 0, block: 0, bound: 0.0 }
            })
            .collect();
        let end = self.piece_slot.len() as u64;
        let mut window = Window::new();
        // By place of a cursor: what it and those before it can add together.
        let mut bounds = vec![0.0f32; cursors.len()];
        for low in (0..end).step_by(WINDOW as usize) {
            let Ok(low) = u32::try_from(low) else { break };
            (window.low, window.high) = (low, low.saturating_add(WINDOW));
            cursors.iter_mut().for_each(|c| c.enter(low, window.high, &norms));
            cursors.sort_by(|a, b| a.bound.total_cmp(&b.bound));
            let mut sum = 0.0;
            for (bound, cursor) in bounds.iter_mut().zip(&cursors) {
                sum += cursor.bound;
                *bound = sum;
            }
            // Terms that even together cannot bring a piece among the best add to the pieces of the others only.
            let least = top.threshold();
            let minor = bounds.iter().take_while(|b| **b == 0.0 || **b * SLACK < least).count();
            let (minors, majors) = cursors.split_at_mut(minor);
            if majors.is_empty() {
                continue;
            }
            majors.iter_mut().for_each(|c| window.add(c, &norms));
            let below = |place: usize| place.checked_sub(1).and_then(|p| bounds.get(p)).copied().unwrap_or_default();
            window.collect(below(minor), least);
            window.hopeful.retain(|(piece, _)| self.may_come(*piece, allowed));
            for (place, cursor) in minors.iter_mut().enumerate().rev().filter(|(_, c)| c.bound > 0.0) {
                window.refine(cursor, &norms, below(place), least);
            }
            self.score_hopeful(&window.hopeful, query, top);
        }
    }

    /// Whether the memory of a piece is live and allowed.
    fn may_come(&self, piece: u32, allowed: Option<&SlotSet>) -> bool {
        let slot = self.piece_slot.get(piece as usize).map(|s| Slot(*s));
        slot.is_some_and(|s| self.live.contains(s) && allowed.is_none_or(|a| a.contains(s)))
    }

    fn score_hopeful(&self, hopeful: &[(u32, f32)], query: &ResolvedQuery, top: &mut Top<'_>) {
        for (piece, sum) in hopeful {
            if *sum * SLACK >= top.threshold()
                && let Some(slot) = self.piece_slot.get(*piece as usize)
            {
                top.offer(Slot(*slot), self.score_piece(*piece, query));
            }
        }
    }
}

/// At most `QUERY_TERMS_MAX` terms: the highest idf, of equals the first; in the order they had.
fn keep_rarest(terms: &mut Vec<QueryTerm>) {
    if terms.len() > QUERY_TERMS_MAX {
        let mut by_idf: Vec<_> = (0..).zip(terms.iter().copied()).collect::<Vec<(usize, QueryTerm)>>();
        by_idf.sort_by(|a, b| b.1.idf.total_cmp(&a.1.idf).then(a.0.cmp(&b.0)));
        by_idf.truncate(QUERY_TERMS_MAX);
        by_idf.sort_by_key(|(place, _)| *place);
        *terms = by_idf.into_iter().map(|(_, term)| term).collect();
    }
}
