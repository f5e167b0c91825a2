//! How a vector server follows the memories.

use super::{Catalogue, catch_up};
use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts};
use rae_core::{Error, VectorFeedStats};

/// How a vector server follows.
pub(super) struct VectorMetrics {
    changes: IntCounterVec,
    failures: IntCounter,
    behind: IntGauge,
    failing: IntGauge,
}

impl VectorMetrics {
    pub fn new(all: &mut Catalogue) -> Result<Self, Error> {
        let opts = |name: &str, help: &str| Opts::new(name, help);
        Ok(Self {
            changes: all.add(
                "counter",
                IntCounterVec::new(
                    opts(
                        "rae_vector_feed_changes_total",
                        "Changes written to the vector server, and points repaired there",
                    ),
                    &["kind"],
                ),
            )?,
            failures: all.add(
                "counter",
                IntCounter::with_opts(opts("rae_vector_feed_failures_total", "Runs of the vector feed that failed")),
            )?,
            behind: all.add(
                "gauge",
                IntGauge::with_opts(opts("rae_vector_feed_behind", "Changes that wait for the vector server")),
            )?,
            failing: all.add(
                "gauge",
                IntGauge::with_opts(opts("rae_vector_feed_failing", "1 while the vector server does not answer")),
            )?,
        })
    }

    pub fn show(&self, feed: VectorFeedStats) {
        for (kind, now) in [("written", feed.changes), ("repaired", feed.repaired)] {
            catch_up(&self.changes.with_label_values(&[kind]), now);
        }
        catch_up(&self.failures, feed.failures);
        self.behind.set(i64::try_from(feed.behind).unwrap_or(i64::MAX));
        self.failing.set(i64::from(feed.failing));
    }
}
