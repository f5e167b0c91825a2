//! Where a term occurs, with what a block of it can contribute at most.

use crate::limits::PIECE_TERMS;

/// Postings of one block.
pub(super) const BLOCK: usize = 128;

const _: () = assert!(PIECE_TERMS <= u8::MAX as usize, "term counts and lengths of a piece are kept in a byte");

/// One term in one piece.
#[derive(Debug, Clone, Copy)]
pub(super) struct Posting {
    pub(super) piece: u32,
    /// How often, 1 to `PIECE_TERMS`.
    pub(super) tf: u8,
    /// Terms of the piece.
    pub(super) len: u8,
}

/// The best that a run of postings can be: score grows with `tf` and falls with `len`, whatever df, N and average length are by then.
#[derive(Debug, Clone, Copy)]
pub(super) struct Best {
    pub(super) tf: u8,
    pub(super) len: u8,
}

impl Best {
    const NOTHING: Self = Self { tf: 0, len: u8::MAX };

    fn add(&mut self, posting: Posting) {
        self.tf = self.tf.max(posting.tf);
        self.len = self.len.min(posting.len);
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Block {
    /// Its last piece.
    pub(super) last: u32,
    pub(super) best: Best,
}

/// Occurrences of one term, ascending by piece.
#[derive(Debug)]
pub(super) struct TermList {
    /// Live pieces that have it. The postings of dead ones stay until the index compacts itself.
    pub(super) df: u32,
    /// Of all postings.
    pub(super) best: Best,
    pub(super) postings: Vec<Posting>,
    /// Empty up to one block: most terms are rare.
    pub(super) blocks: Vec<Block>,
}

impl Default for TermList {
    fn default() -> Self {
        Self { df: 0, best: Best::NOTHING, postings: Vec::new(), blocks: Vec::new() }
    }
}

impl TermList {
    /// Adds a piece behind all others. `df` is the caller's.
    pub(super) fn push(&mut self, posting: Posting) {
        if self.postings.is_empty() {
            // Half of the words of a language occur once: no room ahead for those.
            self.postings.reserve_exact(1);
        }
        if self.postings.len() == BLOCK
            && let Some(last) = self.postings.last()
        {
            self.blocks.push(Block { last: last.piece, best: self.best });
        }
        let place = self.postings.len() / BLOCK;
        self.postings.push(posting);
        self.best.add(posting);
        if self.postings.len() > BLOCK {
            if self.blocks.len() <= place {
                self.blocks.push(Block { last: posting.piece, best: Best::NOTHING });
            }
            if let Some(block) = self.blocks.last_mut() {
                block.last = posting.piece;
                block.best.add(posting);
            }
        }
    }

    /// Drops and renumbers pieces: `moved` gives the new number of each old one, ascending, none for the dead.
    pub(super) fn renumber(&mut self, moved: impl Fn(u32) -> Option<u32>) {
        let old = std::mem::take(&mut self.postings);
        let live = self.df as usize;
        *self = Self { df: self.df, postings: Vec::with_capacity(live), ..Self::default() };
        for posting in old {
            if let Some(piece) = moved(posting.piece) {
                self.push(Posting { piece, ..posting });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_cover_all_postings_and_bound_each_of_them() {
        let mut rng = fastrand::Rng::with_seed(7);
        for n in [1, 127, 128, 129, 255, 256, 257, 1_000] {
            let mut list = TermList::default();
            for i in 0..n {
                let len = rng.u8(1..=100);
                list.push(Posting { piece: i * 3, tf: rng.u8(1..=len), len });
            }
            let blocks = if n as usize <= BLOCK { 0 } else { (n as usize).div_ceil(BLOCK) };
            assert_eq!(list.blocks.len(), blocks, "{n}");
            for (block, chunk) in list.blocks.iter().zip(list.postings.chunks(BLOCK)) {
                assert_eq!(block.last, chunk.last().unwrap().piece);
                assert_eq!(block.best.tf, chunk.iter().map(|p| p.tf).max().unwrap());
                assert_eq!(block.best.len, chunk.iter().map(|p| p.len).min().unwrap());
            }
        }
    }
}
