//! How often the cache of responses had an answer.

use super::{Catalogue, catch_up};
use prometheus::{Gauge, IntCounterVec, Opts};
use rae_core::{Error, ResponseCacheStats};

/// The cache of responses.
pub(super) struct AnswerMetrics {
    ratio: Gauge,
    lookups: IntCounterVec,
}

impl AnswerMetrics {
    pub fn new(all: &mut Catalogue) -> Result<Self, Error> {
        let ratio = Opts::new(
            "rae_response_cache_hit_ratio",
            "Lookups in the cache of responses that hit, of all since the start; 0 before the first",
        );
        let lookups = Opts::new("rae_response_cache_lookups_total", "Lookups in the cache of responses");
        Ok(Self {
            ratio: all.add("gauge", Gauge::with_opts(ratio))?,
            lookups: all.add("counter", IntCounterVec::new(lookups, &["result"]))?,
        })
    }

    pub fn show(&self, answers: ResponseCacheStats) {
        self.ratio.set(answers.hit_ratio().unwrap_or(0.0));
        for (result, now) in [("exact", answers.exact), ("near", answers.near), ("miss", answers.misses)] {
            catch_up(&self.lookups.with_label_values(&[result]), now);
        }
    }
}
