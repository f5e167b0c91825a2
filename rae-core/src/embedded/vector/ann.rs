//! The graph (HNSW, by `hnsw_rs`) over the vectors of a large space.
//!
//! It holds the high plane of each vector with its step behind it, as bytes: a quarter of the memory of floats, and a
//! dump that loads without reading floats from unaligned memory. It only ever proposes: what it finds is looked up in
//! the rows (deleted? filtered?) and rescored with all 16 bits. It knows neither deletion nor update: nodes point to
//! slots of the rows, dead slots are skipped, and past a fifth of dead nodes it is built again.
//!
//! When it pays, measured at 100,000 x 128 (clustered, one thread, AVX-512): a search costs 5 to 7 us a candidate (`ef`
//! 64: 0.5 ms, 256: 1.7 ms, 512: 2.7 ms), the scan 4 to 8 ns a row (0.44 ms for k = 10, 0.7 to 1.0 ms for k = 200). So a
//! candidate is worth about 1,000 rows, and with 256 candidates (recall@10 of 1.0, @200 of 0.93) the two meet near
//! 260,000 vectors. Building takes 1,500 vectors a second and 4.5 KB each, the scan none of both: the default threshold
//! is a million, where the scan takes 6 to 9 ms.

use super::{
    distance::{Kernel, Query, quantise},
    exact::Rows,
};
use crate::{
    limits::{ANN_EF_CONSTRUCTION, ANN_LINKS},
    model::MemoryId,
};
use hnsw_rs::prelude::{AnnT, Distance, Hnsw};
use rustc_hash::FxHashMap;
use std::{fmt, path::Path};

/// A node whose slot is gone.
const GONE: u32 = u32::MAX;
/// The dump of `hnsw_rs` wants exactly its maximum of layers.
const LAYERS: usize = 16;
/// Bytes behind the high plane of a row: its step as an `f32`.
const STEP_BYTES: usize = size_of::<f32>();
/// The graph is dropped once more than one node in so many is dead.
const DEAD_SHARE: usize = 5;

/// What a node takes beside its row: its lists for 16 layers and two allocations for each link. From the memory of a
/// process with 100,000 nodes.
const NODE_BYTES: usize = 4_400;

/// The graph type of `hnsw_rs` that is used here.
pub(super) type Links = Hnsw<'static, i8, CoarseCosine>;

/// `1 - cosine` of two rows of bytes, never below zero: `hnsw_rs` asserts that, and its own `DistDot` breaks it.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct CoarseCosine;

impl Distance<i8> for CoarseCosine {
    fn eval(&self, a: &[i8], b: &[i8]) -> f32 {
        let ((a, step_a), (b, step_b)) = (split(a), split(b));
        // The planes count in 256ths of the full value.
        let cosine = Kernel::best().bytes(a, b) as f32 * (step_a * 256.0) * (step_b * 256.0);
        (1.0 - cosine).max(0.0)
    }
}

fn split(row: &[i8]) -> (&[i8], f32) {
    match row.split_last_chunk::<STEP_BYTES>() {
        Some((plane, step)) => (plane, f32::from_ne_bytes(step.map(i8::cast_unsigned))),
        None => (row, 0.0),
    }
}

fn node_row(plane: &[i8], step: f32) -> Vec<i8> {
    let mut row = Vec::with_capacity(plane.len() + STEP_BYTES);
    row.extend_from_slice(plane);
    row.extend(step.to_ne_bytes().map(u8::cast_signed));
    row
}

/// The graph of one space.
#[derive(Default)]
pub(super) struct Graph {
    links: Option<Links>,
    /// Memory of each node, for the snapshot.
    ids: Vec<MemoryId>,
    /// Slot of each node, or [`GONE`].
    slots: Vec<u32>,
    /// Every live slot below this one has a node.
    covered: u32,
}

impl fmt::Debug for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Graph").field("nodes", &self.ids.len()).field("covered", &self.covered).finish_non_exhaustive()
    }
}

impl Graph {
    /// Nodes, live and dead.
    pub(super) fn nodes(&self) -> usize {
        self.ids.len()
    }

    /// Every live slot below this one has a node.
    pub(super) fn covered(&self) -> u32 {
        self.covered
    }

    /// Memory of each node.
    pub(super) fn ids(&self) -> &[MemoryId] {
        &self.ids
    }

    /// Memory in bytes, estimated: `hnsw_rs` does not tell.
    pub(super) fn bytes(&self, dim: usize) -> usize {
        self.ids.len() * (dim + STEP_BYTES + NODE_BYTES)
    }

    /// Takes in the next live slot of `rows` that has no node. `false` when there is none left.
    pub(super) fn extend(&mut self, rows: &Rows) -> bool {
        while self.covered < rows.len() {
            let slot = self.covered;
            self.covered += 1;
            if rows.is_live(slot) {
                let (plane, step) = rows.coarse(slot);
                let links = self.links.get_or_insert_with(new_links);
                links.insert((&node_row(plane, step), self.ids.len()));
                self.ids.push(rows.id(slot));
                self.slots.push(slot);
                return true;
            }
        }
        false
    }

    /// Slots near the query, at most `width`, dead ones left out.
    pub(super) fn search(&self, query: &Query, width: usize) -> Vec<u32> {
        let Some(links) = &self.links else { return Vec::new() };
        let (mut hi, mut lo) = (Vec::with_capacity(query.unit.len()), Vec::with_capacity(query.unit.len()));
        let step = quantise(&query.unit, &mut hi, &mut lo);
        let found = links.search(&node_row(&hi, step), width, width);
        found.iter().filter_map(|n| self.slots.get(n.d_id).copied()).filter(|slot| *slot != GONE).collect()
    }

    /// Follows a move of the slots (`map`: old slot -> new slot). Where too many nodes are dead, the graph starts again
    /// and the old one is given back, to be dropped outside of locks.
    pub(super) fn follow(&mut self, map: &[u32]) -> Option<Self> {
        let at = |slot: u32| map.get(slot as usize).copied().unwrap_or(GONE);
        let kept = map.iter().take(self.covered as usize).filter(|new| **new != GONE).count();
        self.covered = u32::try_from(kept).unwrap_or(0);
        self.slots.iter_mut().for_each(|slot| *slot = at(*slot));
        self.is_worn().then(|| std::mem::take(self))
    }

    fn is_worn(&self) -> bool {
        self.slots.iter().filter(|slot| **slot == GONE).count() * DEAD_SHARE > self.slots.len()
    }

    /// Whether a node stands for a vector that is no longer there.
    pub(super) fn has_ghosts(&self, rows: &Rows) -> bool {
        self.slots.iter().any(|slot| !rows.is_live(*slot))
    }

    /// Joins loaded links to the rows: nodes whose id and bytes are those of a live vector point to it, the others are
    /// dead. Reorders the rows so that the covered ones come first. `None` (rows untouched) where too few fit.
    pub(super) fn adopt(links: Links, ids: Vec<MemoryId>, rows: &mut Rows) -> Option<Self> {
        let mut node_of = FxHashMap::default();
        for layer in 0..=usize::from(links.get_max_level_observed()) {
            for point in links.get_point_indexation().get_layer_iterator(layer) {
                let node = point.get_origin_id();
                let Some(slot) = ids.get(node).and_then(|id| rows.slot(*id)) else { continue };
                let (plane, step) = rows.coarse(slot);
                if split(point.get_v()) == (plane, step) {
                    node_of.insert(slot, node);
                }
            }
        }
        if (ids.len() - node_of.len()) * DEAD_SHARE > ids.len() {
            return None;
        }
        let mut order = rows.live_slots();
        order.sort_by_key(|slot| !node_of.contains_key(slot));
        let map = rows.reorder(&order);
        let mut slots = vec![GONE; ids.len()];
        for (old, node) in &node_of {
            slots[*node] = map[*old as usize];
        }
        let covered = u32::try_from(node_of.len()).unwrap_or(0);
        let mut links = links;
        // What `load` sets otherwise than `new`.
        links.set_extend_candidates(false);
        Some(Self { links: Some(links), ids, slots, covered })
    }

    /// Writes the two files of the graph into `folder`; `false` for an empty graph.
    pub(super) fn dump(&self, folder: &Path, name: &str) -> Result<bool, String> {
        let Some(links) = &self.links else { return Ok(false) };
        links.file_dump(folder, name).map(|_| true).map_err(|e| e.to_string())
    }
}

fn new_links() -> Links {
    Hnsw::new(ANN_LINKS, 0, LAYERS, ANN_EF_CONSTRUCTION, CoarseCosine)
}
