//! The background thread that builds the graphs: one for the whole store, there only while there is work. It takes one
//! vector at a time, so that closing, deleting and searching never wait for more than one insertion; how far it came is
//! in the snapshot.

use super::{Inner, Key, ann::Graph, space::Space};
use crate::limits::ANN_SNAPSHOT_STEP;
use parking_lot::Mutex;
use std::{
    sync::{Arc, atomic::Ordering},
    thread::JoinHandle,
};

/// The thread, while there is one.
#[derive(Debug, Default)]
pub(super) struct Worker(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    running: bool,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Waits until the thread has ended.
    pub(super) fn join(&self) {
        // Taken out first: the thread itself takes the lock once more before it ends.
        let thread = self.0.lock().thread.take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::warn!("the builder of the vector graph failed; the scan serves");
        }
    }
}

/// Makes sure that somebody looks after `space`, where its graph should grow.
pub(super) fn kick(inner: &Arc<Inner>, space: &Space) {
    if !space.wants_graph(inner.ann_threshold) {
        return;
    }
    let mut worker = inner.worker.0.lock();
    if worker.running || inner.closed.load(Ordering::Acquire) {
        return;
    }
    let shared = Arc::clone(inner);
    let spawned = std::thread::Builder::new().name("rae-vectors".into()).spawn(move || run(&shared));
    match spawned {
        Ok(thread) => (worker.running, worker.thread) = (true, Some(thread)),
        Err(error) => tracing::warn!(%error, "no thread for the vector graph; the scan serves"),
    }
}

/// Stops the thread and writes what it has done. The store is marked closed already.
pub(super) fn close(inner: &Inner) {
    inner.worker.join();
    let spaces: Vec<Arc<Space>> = inner.spaces.read().values().cloned().collect();
    for space in spaces {
        inner.save(&space, 1);
    }
}

fn run(inner: &Inner) {
    loop {
        let next = inner.spaces.read().values().find(|space| space.wants_graph(inner.ann_threshold)).cloned();
        if let Some(space) = next.filter(|_| !inner.closed.load(Ordering::Acquire)) {
            build(inner, &space);
            continue;
        }
        // Under the lock that `kick` takes, so that no request falls between the last look and the end.
        let mut worker = inner.worker.0.lock();
        let open = !inner.closed.load(Ordering::Acquire);
        if !open || !inner.spaces.read().values().any(|space| space.wants_graph(inner.ann_threshold)) {
            worker.running = false;
            return;
        }
    }
}

fn build(inner: &Inner, space: &Space) {
    let stop = || inner.closed.load(Ordering::Acquire) || space.is_gone();
    let mut steps = 0usize;
    while !stop() && space.extend() {
        steps += 1;
        if steps.is_multiple_of(ANN_SNAPSHOT_STEP) {
            inner.save(space, ANN_SNAPSHOT_STEP);
        }
    }
    if !stop() {
        let nodes = space.graph.read().nodes();
        inner.save(space, nodes / 16);
    }
}

impl Inner {
    /// Writes a snapshot when the graph has at least `growth` nodes more than the last one.
    fn save(&self, space: &Space, growth: usize) {
        let Some(folder) = &self.folder else { return };
        let watermark = space.rows.read().watermark.applied;
        let graph = space.graph.read();
        let mut saved = space.saved.lock();
        if space.is_gone() || graph.nodes() < saved.saturating_add(growth.max(1)) {
            return;
        }
        match folder.save(&space.key, watermark, &graph) {
            Ok(true) => *saved = graph.nodes(),
            Ok(false) => tracing::debug!("another process is writing vector snapshots"),
            Err(error) => tracing::warn!(%error, "the vector snapshot was not written; the graph is built again"),
        }
    }

    pub(super) fn restore(&self, key: &Key, head: u64) -> bool {
        let (Some(folder), Some(space)) = (&self.folder, self.space(key)) else { return false };
        if space.rows.read().live() <= self.ann_threshold {
            return false;
        }
        let Some((links, ids)) = folder.load(key, head) else { return false };
        let nodes = ids.len();
        let mut rows = space.rows.write();
        // A graph that was begun meanwhile points into the old order of the rows: it goes with it.
        let Some(graph) = Graph::adopt(links, ids, &mut rows) else {
            tracing::warn!("too few vectors of the snapshot are still there; the graph is built again");
            return false;
        };
        let old = space.replace_graph(graph);
        drop(rows);
        drop(old);
        *space.saved.lock() = nodes;
        true
    }

    pub(super) fn purge(&self, space: &Space) {
        let rows = space.rows.read();
        let ghosts = space.graph.read().has_ghosts(&rows);
        drop(rows);
        if ghosts {
            drop(space.replace_graph(Graph::default()));
        }
        let mut saved = space.saved.lock();
        self.remove_snapshot(&space.key);
        *saved = 0;
    }

    /// Deletes the snapshot of `key`.
    pub(super) fn remove_snapshot(&self, key: &Key) {
        if let Some(folder) = &self.folder {
            folder.remove(key);
        }
    }
}
