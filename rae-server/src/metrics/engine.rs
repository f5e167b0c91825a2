//! What the engine does below the routes: calls of its ports, its indexes in memory, the connections of its store.

use super::{BUCKETS, Catalogue};
use crate::adapters::postgres::PoolState;
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts};
use rae_core::{Error, ErrorKind, IndexStats, guard::Observer};
use std::fmt;

/// Metrics of the engine. The engine tells it of every call of a port.
pub struct Engine {
    calls: HistogramVec,
    failed: IntCounterVec,
    index: IntGaugeVec,
    vector_bytes: IntGauge,
    connections: IntGaugeVec,
    waiting: IntGauge,
}

impl Engine {
    pub(super) fn new(all: &mut Catalogue) -> Result<Self, Error> {
        let histogram = HistogramOpts::new(
            "rae_port_call_duration_seconds",
            "Time of a call of a store, the cache, the embedder or the reranker, repeated attempts included",
        );
        let port = ["port", "operation"];
        let failed = Opts::new("rae_port_call_errors_total", "Calls of a port that failed; one of the cache is a miss");
        let index = Opts::new("rae_index_items", "What the indexes of words in memory hold");
        let bytes = Opts::new("rae_index_vector_bytes", "Memory of the vectors in this process, graphs estimated");
        let pool = Opts::new("rae_postgres_connections", "Connections to PostgreSQL, and the most there may be");
        let waiting = Opts::new("rae_postgres_waiting", "Calls that wait for a connection to PostgreSQL");
        Ok(Self {
            calls: all.add("histogram", HistogramVec::new(histogram.buckets(BUCKETS.to_vec()), &port))?,
            failed: all.add("counter", IntCounterVec::new(failed, &["port", "operation", "kind"]))?,
            index: all.add("gauge", IntGaugeVec::new(index, &["what"]))?,
            vector_bytes: all.add("gauge", IntGauge::with_opts(bytes))?,
            connections: all.add("gauge", IntGaugeVec::new(pool, &["state"]))?,
            waiting: all.add("gauge", IntGauge::with_opts(waiting))?,
        })
    }

    pub(super) fn set_index(&self, index: IndexStats) {
        self.vector_bytes.set(whole(index.vector_bytes));
        for (what, n) in [("projects", index.scopes as u64), ("memories", index.memories), ("pieces", index.pieces)] {
            self.index.with_label_values(&[what]).set(i64::try_from(n).unwrap_or(i64::MAX));
        }
    }

    pub(super) fn set_pool(&self, pool: PoolState) {
        self.waiting.set(whole(pool.waiting));
        for (state, n) in [("in_use", pool.in_use), ("idle", pool.idle), ("most", pool.most)] {
            self.connections.with_label_values(&[state]).set(whole(n));
        }
    }
}

impl Observer for Engine {
    fn observed(&self, port: &'static str, operation: &'static str, outcome: Result<(), ErrorKind>, seconds: f64) {
        self.calls.with_label_values(&[port, operation]).observe(seconds);
        if let Err(kind) = outcome {
            self.failed.with_label_values(&[port, operation, kind.name()]).inc();
        }
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

fn whole(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
