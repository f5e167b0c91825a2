//! One space: its rows, its graph, and which of the two answers.

use super::{Key, distance::Query, exact::Rows};
use crate::{
    error::{Error, Result},
    model::{MemoryId, VectorHit},
    ports::Watermark,
};
use parking_lot::RwLock;
use std::collections::HashSet;

#[cfg(feature = "embedded")]
use {
    super::{
        ann::Graph,
        exact::{Pool, first_pass_len},
    },
    crate::limits::{ANN_EF_MIN, ANN_FILTER_SHARE},
    parking_lot::{Mutex, RwLockReadGuard, RwLockWriteGuard},
    std::sync::atomic::{AtomicBool, AtomicU32, Ordering},
};

/// One space. Locks are taken in the order of the fields.
#[derive(Debug)]
pub(super) struct Space {
    #[cfg(feature = "embedded")]
    pub(super) key: Key,
    pub(super) rows: RwLock<Rows>,
    /// Set when the space was taken out of the store: the builder lets go of it.
    #[cfg(feature = "embedded")]
    gone: AtomicBool,
    #[cfg(feature = "embedded")]
    pub(super) graph: RwLock<Graph>,
    /// Copy of the graph's `covered`, so that a query which cannot gain from the graph does not wait for it.
    #[cfg(feature = "embedded")]
    covered: AtomicU32,
    /// Nodes in the last snapshot. Held while one is written or deleted.
    #[cfg(feature = "embedded")]
    pub(super) saved: Mutex<usize>,
}

impl Space {
    pub(super) fn new(key: Key) -> Self {
        Self {
            rows: RwLock::new(Rows::new(key.collection.dim)),
            #[cfg(feature = "embedded")]
            key,
            #[cfg(feature = "embedded")]
            gone: AtomicBool::new(false),
            #[cfg(feature = "embedded")]
            graph: RwLock::default(),
            #[cfg(feature = "embedded")]
            covered: AtomicU32::new(0),
            #[cfg(feature = "embedded")]
            saved: Mutex::new(0),
        }
    }

    /// Marks the space as taken out. No snapshot of it is written once this returns.
    pub(super) fn leave(&self) {
        #[cfg(feature = "embedded")]
        {
            self.gone.store(true, Ordering::Release);
            drop(self.saved.lock());
        }
    }

    /// Memory in bytes.
    pub(super) fn bytes(&self) -> usize {
        let rows = self.rows.read().bytes();
        #[cfg(feature = "embedded")]
        let rows = rows + self.graph.read().bytes(self.key.collection.dim);
        rows
    }

    /// Puts, removes and moves the watermark in one step for readers. An id in both lists is removed.
    ///
    /// The watermark is set, not raised: when two readers bring the same changes in and the later one is behind, the
    /// older state must be seen as older, and the next reader brings it up again.
    pub(super) fn write(
        &self,
        points: &[(MemoryId, Vec<f32>)],
        delete: &[MemoryId],
        watermark: Option<Watermark>,
    ) -> Result<()> {
        let mut rows = self.rows.write();
        if !rows.has_room(points.len()) {
            return Err(Error::unavailable("the vector index of this project is full").with_code("index_full"));
        }
        for (id, unit) in points {
            rows.put(*id, unit);
        }
        for id in delete {
            rows.remove(*id);
        }
        rows.watermark = watermark.unwrap_or(rows.watermark);
        if rows.is_sparse() {
            let worn = self.compact(&mut rows);
            // A worn-out graph takes its time to be freed: readers must not wait for that.
            drop(rows);
            drop(worn);
        }
        Ok(())
    }

    #[cfg(not(feature = "embedded"))]
    fn compact(&self, rows: &mut Rows) -> Vec<u32> {
        let order = rows.live_slots();
        rows.reorder(&order)
    }

    /// The `k` nearest. `row_cost`: rows the scan scores in the time the graph needs for one candidate.
    pub(super) fn query(
        &self,
        query: &Query,
        only: Option<&HashSet<MemoryId>>,
        k: usize,
        row_cost: usize,
    ) -> Vec<VectorHit> {
        let rows = self.rows.read();
        if k == 0 || rows.live() == 0 {
            return Vec::new();
        }
        let pool = rows.pool(only);
        #[cfg(feature = "embedded")]
        if let Some(hits) = self.query_graph(&rows, query, k, &pool, row_cost) {
            return hits;
        }
        #[cfg(not(feature = "embedded"))]
        let _only_the_graph_asks = row_cost;
        rows.search(query, k, &pool)
    }
}

#[cfg(feature = "embedded")]
impl Space {
    /// Whether the space was taken out.
    pub(super) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    /// Clears dead slots away. Not while the graph is being searched, dumped or extended: it is put off to the next
    /// write then. Gives a graph that is worn out, to be dropped outside of the lock.
    fn compact(&self, rows: &mut Rows) -> Option<Graph> {
        let mut graph = self.graph.try_write()?;
        let order = rows.live_slots();
        let map = rows.reorder(&order);
        let worn = graph.follow(&map);
        self.covered.store(graph.covered(), Ordering::Release);
        worn
    }

    /// Answers by graph, with what is newer than the graph scanned. `None` where the scan is the better choice: a small
    /// pool, a strict filter, a graph that covers too little or found too little.
    pub(super) fn query_graph(
        &self,
        rows: &Rows,
        query: &Query,
        k: usize,
        pool: &Pool<'_>,
        row_cost: usize,
    ) -> Option<Vec<VectorHit>> {
        let covered = self.covered.load(Ordering::Acquire);
        if covered == 0 || pool.kept().saturating_mul(ANN_FILTER_SHARE) < rows.live() {
            return None;
        }
        // Of so many candidates a share is filtered out or dead; look at more by that share.
        let wanted = k.saturating_mul(2).max(ANN_EF_MIN);
        let width = wanted.saturating_mul(rows.len() as usize) / pool.kept().max(1);
        let by_graph = width.saturating_mul(row_cost).saturating_add(pool.tail(covered).len());
        if by_graph > pool.len() {
            return None;
        }
        let graph = self.graph.read();
        let tail = pool.tail(graph.covered());
        let found = graph.search(query, width);
        drop(graph);
        let mut slots: Vec<u32> =
            found.into_iter().filter(|s| rows.is_live(*s) && pool.holds(*s, rows.id(*s))).collect();
        if slots.len() < k {
            return None;
        }
        slots.extend(rows.first_pass(query, first_pass_len(k), &tail));
        Some(rows.rescore(query, k, slots))
    }

    /// Whether the graph should take vectors in: the space is large and a sixteenth of it is newer than the graph.
    pub(super) fn wants_graph(&self, threshold: usize) -> bool {
        let rows = self.rows.read();
        let covered = self.covered.load(Ordering::Acquire);
        !self.is_gone() && rows.live() > threshold && rows.len() - covered > covered / 16
    }

    /// Lets the graph take one vector in; `false` when it has all. Readers wait for one insertion at most.
    pub(super) fn extend(&self) -> bool {
        let rows = self.rows.read();
        let mut graph = self.graph.write();
        let more = graph.extend(&rows);
        self.covered.store(graph.covered(), Ordering::Release);
        // Fair, or the loop of the builder would keep taking the lock before those who wait for it.
        RwLockWriteGuard::unlock_fair(graph);
        RwLockReadGuard::unlock_fair(rows);
        more
    }

    /// Puts `graph` in place of the one there is.
    pub(super) fn replace_graph(&self, graph: Graph) -> Graph {
        let mut place = self.graph.write();
        self.covered.store(graph.covered(), Ordering::Release);
        std::mem::replace(&mut place, graph)
    }
}
