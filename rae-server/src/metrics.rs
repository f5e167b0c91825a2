//! Metrics in Prometheus text 0.0.4. The six names of contract.md are there from the first scrape, with or without values.

use prometheus::{
    CounterVec, Encoder, Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts,
    Registry, TextEncoder, core::Collector,
};
use rae_core::{Error, ErrorKind};
use std::{collections::HashSet, fmt, time::Duration};

/// Upper bounds of the duration histogram, in seconds.
const BUCKETS: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0];

/// The metrics of this process.
pub struct Metrics {
    registry: Registry,
    names: Vec<(String, String, &'static str)>,
    requests: IntCounterVec,
    durations: HistogramVec,
    operations: IntCounterVec,
    cache_ratio: Gauge,
    cache_lookups: IntCounterVec,
    dropped_lines: IntCounter,
    /// Open connections.
    pub connections: IntGauge,
    /// Requests that are being answered.
    pub in_flight: IntGauge,
    /// Memory that the bodies of all requests take.
    pub body_bytes: IntGauge,
    /// Requests that were turned away because the server was full.
    pub rejected: IntCounterVec,
    vectors: VectorMetrics,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

struct Catalogue {
    registry: Registry,
    names: Vec<(String, String, &'static str)>,
}

impl Catalogue {
    fn add<C: Collector + Clone + 'static>(
        &mut self,
        kind: &'static str,
        made: prometheus::Result<C>,
    ) -> Result<C, Error> {
        let failed = |e: prometheus::Error| Error::internal("a metric could not be registered").with_source(e);
        let collector = made.map_err(failed)?;
        for desc in collector.desc() {
            self.names.push((desc.fq_name.clone(), desc.help.clone(), kind));
        }
        self.registry.register(Box::new(collector.clone())).map_err(failed)?;
        Ok(collector)
    }
}

/// How a vector server follows.
struct VectorMetrics {
    changes: IntCounterVec,
    failures: IntCounter,
    behind: IntGauge,
    failing: IntGauge,
}

impl VectorMetrics {
    fn new(all: &mut Catalogue) -> Result<Self, Error> {
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

    fn show(&self, feed: rae_core::VectorFeedStats) {
        for (kind, now) in [("written", feed.changes), ("repaired", feed.repaired)] {
            catch_up(&self.changes.with_label_values(&[kind]), now);
        }
        catch_up(&self.failures, feed.failures);
        self.behind.set(i64::try_from(feed.behind).unwrap_or(i64::MAX));
        self.failing.set(i64::from(feed.failing));
    }
}

impl Metrics {
    /// A set of its own, so that tests do not share counters.
    pub fn new() -> Result<Self, Error> {
        let mut all = Catalogue { registry: Registry::new(), names: Vec::new() };
        let opts = |name: &str, help: &str| Opts::new(name, help);
        let route = ["method", "route", "status"];
        let histogram = HistogramOpts::new("rae_api_request_duration_seconds", "Time until a response begins")
            .buckets(BUCKETS.to_vec());
        let info =
            all.add("gauge", GaugeVec::new(opts("rae_build_info", "Version of this server; always 1"), &["version"]))?;
        info.with_label_values(&[rae_core::version()]).set(1.0);
        // No model is called and no budget kept yet: these two have no values.
        all.add(
            "counter",
            CounterVec::new(
                opts("rae_llm_cost_total", "Cost of model calls, in USD"),
                &["provider", "model", "operation"],
            ),
        )?;
        all.add(
            "gauge",
            GaugeVec::new(opts("rae_budget_remaining", "What is left of a budget"), &["tenant", "window", "unit"]),
        )?;
        Ok(Self {
            requests: all
                .add("counter", IntCounterVec::new(opts("rae_api_requests_total", "Requests answered"), &route))?,
            durations: all.add("histogram", HistogramVec::new(histogram, &["method", "route"]))?,
            operations: all.add(
                "counter",
                IntCounterVec::new(
                    opts("rae_memory_operations_total", "Operations on memories; each item of a batch counts"),
                    &["operation", "result"],
                ),
            )?,
            cache_ratio: all.add(
                "gauge",
                Gauge::with_opts(opts(
                    "rae_search_cache_hit_ratio",
                    "Lookups of query vectors that hit, of all since the start; 0 before the first",
                )),
            )?,
            cache_lookups: all.add(
                "counter",
                IntCounterVec::new(
                    opts("rae_search_cache_lookups_total", "Lookups of query vectors in the cache"),
                    &["result"],
                ),
            )?,
            dropped_lines: all.add(
                "counter",
                IntCounter::with_opts(opts("rae_log_lines_dropped_total", "Log lines lost because nobody read them")),
            )?,
            connections: all.add("gauge", IntGauge::with_opts(opts("rae_http_connections", "Open connections")))?,
            in_flight: all
                .add("gauge", IntGauge::with_opts(opts("rae_http_requests_in_flight", "Requests being answered")))?,
            body_bytes: all.add(
                "gauge",
                IntGauge::with_opts(opts("rae_http_body_bytes", "Memory that the bodies of all requests take")),
            )?,
            rejected: all.add(
                "counter",
                IntCounterVec::new(
                    opts("rae_http_rejected_total", "Requests turned away because the server was full"),
                    &["reason"],
                ),
            )?,
            vectors: VectorMetrics::new(&mut all)?,
            registry: all.registry,
            names: all.names,
        })
    }

    /// Counts a request. `route` is the template of the path, or `other`.
    pub fn request(&self, method: &str, route: &str, status: u16, took: Duration) {
        let method = match method {
            "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS" => method,
            _ => "other",
        };
        let mut digits = [0; 5];
        self.requests.with_label_values(&[method, route, status_text(status, &mut digits)]).inc();
        self.durations.with_label_values(&[method, route]).observe(took.as_secs_f64());
    }

    /// Counts `items` operations of a verb with one result.
    pub fn operation(&self, verb: &str, items: u64, failed: Option<ErrorKind>) {
        self.operations.with_label_values(&[verb, failed.map_or("ok", ErrorKind::name)]).inc_by(items);
    }

    /// How the vector server follows, as of now.
    pub fn vectors(&self, feed: rae_core::VectorFeedStats) {
        self.vectors.show(feed);
    }

    /// The text of a scrape.
    pub fn text(&self, cache: rae_core::CacheStats) -> Result<String, Error> {
        self.cache_ratio.set(cache.hit_ratio().unwrap_or(0.0));
        for (result, now) in [("hit", cache.hits), ("miss", cache.misses)] {
            catch_up(&self.cache_lookups.with_label_values(&[result]), now);
        }
        catch_up(&self.dropped_lines, crate::log::dropped_lines());
        let families = self.registry.gather();
        let mut out = Vec::new();
        let failed = |e: prometheus::Error| Error::internal("the metrics could not be written").with_source(e);
        TextEncoder::new().encode(&families, &mut out).map_err(failed)?;
        let mut text =
            String::from_utf8(out).map_err(|e| Error::internal("the metrics are not text").with_source(e))?;
        // The encoder leaves out what has no values; dashboards and checks look for the names.
        let seen: HashSet<&str> = families.iter().map(|f| f.name()).collect();
        for (name, help, kind) in self.names.iter().filter(|(name, _, _)| !seen.contains(name.as_str())) {
            text.push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
        }
        Ok(text)
    }
}

fn catch_up(counter: &IntCounter, now: u64) {
    counter.inc_by(now.saturating_sub(counter.get()));
}

fn status_text(status: u16, digits: &mut [u8; 5]) -> &str {
    use std::io::Write;
    let mut rest = &mut digits[..];
    if write!(rest, "{status}").is_err() {
        return "other";
    }
    let used = 5 - rest.len();
    std::str::from_utf8(&digits[..used]).unwrap_or("other")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_six_names_are_there_before_anything_happened() {
        let text = Metrics::new().unwrap().text(rae_core::CacheStats::default()).unwrap();
        for line in [
            "# TYPE rae_api_requests_total counter",
            "# TYPE rae_api_request_duration_seconds histogram",
            "# TYPE rae_memory_operations_total counter",
            "# TYPE rae_llm_cost_total counter",
            "# TYPE rae_budget_remaining gauge",
            "# TYPE rae_search_cache_hit_ratio gauge",
            "rae_search_cache_hit_ratio 0",
        ] {
            assert_eq!(text.lines().filter(|l| *l == line).count(), 1, "{line}\n{text}");
        }
    }

    #[test]
    fn values_move_and_every_family_is_named_once() {
        let metrics = Metrics::new().unwrap();
        metrics.request("GET", "/v1/memories/{id}", 404, Duration::from_millis(3));
        metrics.request("BREW", "other", 404, Duration::ZERO);
        metrics.operation("remember", 3, None);
        metrics.operation("recall", 1, Some(ErrorKind::InvalidInput));
        let text = metrics.text(rae_core::CacheStats { hits: 3, misses: 1 }).unwrap();
        for line in [
            "rae_api_requests_total{method=\"GET\",route=\"/v1/memories/{id}\",status=\"404\"} 1",
            "rae_api_requests_total{method=\"other\",route=\"other\",status=\"404\"} 1",
            "rae_api_request_duration_seconds_count{method=\"GET\",route=\"/v1/memories/{id}\"} 1",
            "rae_memory_operations_total{operation=\"remember\",result=\"ok\"} 3",
            "rae_memory_operations_total{operation=\"recall\",result=\"invalid_input\"} 1",
            "rae_search_cache_hit_ratio 0.75",
            "rae_search_cache_lookups_total{result=\"hit\"} 3",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
        let mut types: Vec<&str> = text.lines().filter(|l| l.starts_with("# TYPE")).collect();
        let all = types.len();
        types.dedup();
        types.sort_unstable();
        types.dedup();
        assert_eq!(types.len(), all);
    }
}
