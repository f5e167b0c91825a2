//! Metrics in Prometheus text 0.0.4. The six names of contract.md are there from the first scrape, with or without values.

mod answers;
pub mod costs;
pub mod engine;
pub mod tenants;
mod vectors;

use crate::adapters::postgres::PoolState;
use crate::worker::JobMetrics;
use answers::AnswerMetrics;
use costs::CostMetrics;
use engine::Engine;
use prometheus::{
    Encoder, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts,
    Registry, TextEncoder, core::Collector,
};
use rae_core::{CacheStats, Error, ErrorKind, IndexStats, ResponseCacheStats, VectorFeedStats, model::Scope};
use std::{collections::HashSet, fmt, sync::Arc, time::Duration};
use tenants::Tenants;
use vectors::VectorMetrics;

/// Upper bounds of the duration histogram, in seconds.
const BUCKETS: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0];

/// Upper bounds of the histograms of batches.
const SIZES: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

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
    spans: IntCounterVec,
    tenants: Tenants,
    /// What happens below the routes.
    pub engine: Arc<Engine>,
    /// Texts of each batch that was embedded.
    pub embed_batch_texts: Histogram,
    /// Requests that each such batch was made of.
    pub embed_batch_requests: Histogram,
    /// Texts that wait to be embedded.
    pub embed_queue_texts: IntGauge,
    /// Background jobs.
    pub jobs: JobMetrics,
    /// Open connections.
    pub connections: IntGauge,
    /// Requests that are being answered.
    pub in_flight: IntGauge,
    /// Memory that the bodies of all requests take.
    pub body_bytes: IntGauge,
    /// Requests that were turned away because the server was full.
    pub rejected: IntCounterVec,
    vectors: VectorMetrics,
    answers: AnswerMetrics,
    /// What models cost, and where the budgets stand.
    pub costs: Arc<CostMetrics>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// What was registered so far.
pub(crate) struct Catalogue {
    registry: Registry,
    names: Vec<(String, String, &'static str)>,
}

impl Catalogue {
    pub(crate) fn add<C: Collector + Clone + 'static>(
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

/// What is read at the moment of a scrape.
#[derive(Debug, Clone, Copy, Default)]
pub struct Readings {
    /// Lookups of query vectors.
    pub cache: CacheStats,
    /// Indexes in memory.
    pub index: IndexStats,
    /// Connections, where memories are in PostgreSQL.
    pub pool: Option<PoolState>,
    /// The feed of a vector server.
    pub feed: VectorFeedStats,
    /// Lookups in the cache of responses.
    pub answers: ResponseCacheStats,
}

const TENANT_OPERATIONS: &str = "rae_tenant_operations_total";
const TENANT_OPERATIONS_HELP: &str = "Operations on memories by tenant: the busiest by name, the rest as other";

impl Metrics {
    /// A set of its own, so that tests do not share counters. At most `tenants` tenants are counted by name.
    pub fn new(tenants: usize) -> Result<Self, Error> {
        let mut all = Catalogue { registry: Registry::new(), names: Vec::new() };
        let opts = |name: &str, help: &str| Opts::new(name, help);
        let route = ["method", "route", "status"];
        let histogram = HistogramOpts::new("rae_api_request_duration_seconds", "Time until a response begins")
            .buckets(BUCKETS.to_vec());
        let info =
            all.add("gauge", GaugeVec::new(opts("rae_build_info", "Version of this server; always 1"), &["version"]))?;
        info.with_label_values(&[rae_core::version()]).set(1.0);
        all.names.push((TENANT_OPERATIONS.to_owned(), TENANT_OPERATIONS_HELP.to_owned(), "counter"));
        Ok(Self {
            tenants: Tenants::new(tenants),
            costs: Arc::new(CostMetrics::new(&mut all, tenants)?),
            engine: Arc::new(Engine::new(&mut all)?),
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
            embed_batch_texts: all
                .add("histogram", sizes("rae_ml_batch_texts", "Texts of a batch that was embedded"))?,
            embed_batch_requests: all
                .add("histogram", sizes("rae_ml_batch_requests", "Requests that a batch was made of"))?,
            embed_queue_texts: all
                .add("gauge", IntGauge::with_opts(opts("rae_ml_queue_texts", "Texts that wait to be embedded")))?,
            spans: all.add(
                "counter",
                IntCounterVec::new(opts("rae_trace_spans_total", "Spans for the collector of traces"), &["result"]),
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
            jobs: JobMetrics::new(&mut all)?,
            vectors: VectorMetrics::new(&mut all)?,
            answers: AnswerMetrics::new(&mut all)?,
            registry: all.registry,
            names: all.names,
        })
    }

    /// Counts a request. `method` is one of few, or `other`; `route` is the template of the path, or `other`.
    pub fn request(&self, method: &str, route: &str, status: u16, took: Duration) {
        let mut digits = [0; 5];
        self.requests.with_label_values(&[method, route, status_text(status, &mut digits)]).inc();
        self.durations.with_label_values(&[method, route]).observe(took.as_secs_f64());
    }

    /// Counts `items` operations of a verb with one result.
    pub fn operation(&self, scope: &Scope, verb: &'static str, items: u64, failed: Option<ErrorKind>) {
        self.tenants.count(scope.tenant(), verb, items);
        self.operations.with_label_values(&[verb, failed.map_or("ok", ErrorKind::name)]).inc_by(items);
    }

    /// The text of a scrape.
    pub fn text(&self, now: Readings) -> Result<String, Error> {
        let Readings { cache, index, pool, feed, answers } = now;
        self.vectors.show(feed);
        self.answers.show(answers);
        self.engine.set_index(index);
        if let Some(pool) = pool {
            self.engine.set_pool(pool);
        }
        self.cache_ratio.set(cache.hit_ratio().unwrap_or(0.0));
        for (result, now) in [("hit", cache.hits), ("miss", cache.misses)] {
            catch_up(&self.cache_lookups.with_label_values(&[result]), now);
        }
        catch_up(&self.dropped_lines, crate::log::dropped_lines());
        for (result, spans) in crate::trace::counts() {
            catch_up(&self.spans.with_label_values(&[result]), spans);
        }
        let mut families = self.registry.gather();
        families.extend(self.by_tenant()?);
        families.extend(self.costs.families()?);
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

impl Metrics {
    /// Made anew at each scrape: a tenant may have lost its series.
    fn by_tenant(&self) -> Result<Vec<prometheus::proto::MetricFamily>, Error> {
        let made = IntCounterVec::new(Opts::new(TENANT_OPERATIONS, TENANT_OPERATIONS_HELP), &["tenant", "operation"]);
        let counters = made.map_err(|e| Error::internal("the metrics of tenants could not be made").with_source(e))?;
        let series = self.tenants.series();
        if series.is_empty() {
            return Ok(Vec::new());
        }
        for (tenant, operation, n) in series {
            counters.with_label_values(&[tenant.as_str(), operation]).inc_by(n);
        }
        Ok(counters.collect())
    }
}

fn sizes(name: &str, help: &str) -> prometheus::Result<Histogram> {
    Histogram::with_opts(HistogramOpts::new(name, help).buckets(SIZES.to_vec()))
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
    use rae_core::guard::Observer;

    #[test]
    fn the_six_names_are_there_before_anything_happened() {
        let text = Metrics::new(10).unwrap().text(Readings::default()).unwrap();
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
        let metrics = Metrics::new(2).unwrap();
        let scope = Scope::new("ada \"l\"", "default").unwrap();
        metrics.request("GET", "/v1/memories/{id}", 404, Duration::from_millis(3));
        metrics.request("other", "other", 404, Duration::ZERO);
        metrics.operation(&scope, "remember", 3, None);
        metrics.operation(&scope, "recall", 1, Some(ErrorKind::InvalidInput));
        metrics.engine.observed("relational", "apply", Ok(()), 0.002);
        metrics.engine.observed("cache", "get", Err(ErrorKind::Unavailable), 0.002);
        let pool = Some(PoolState { in_use: 2, idle: 1, most: 10, waiting: 4 });
        let cache = CacheStats { hits: 3, misses: 1 };
        let text = metrics.text(Readings { cache, pool, ..Readings::default() }).unwrap();
        for line in [
            "rae_api_requests_total{method=\"GET\",route=\"/v1/memories/{id}\",status=\"404\"} 1",
            "rae_api_requests_total{method=\"other\",route=\"other\",status=\"404\"} 1",
            "rae_api_request_duration_seconds_count{method=\"GET\",route=\"/v1/memories/{id}\"} 1",
            "rae_memory_operations_total{operation=\"remember\",result=\"ok\"} 3",
            "rae_memory_operations_total{operation=\"recall\",result=\"invalid_input\"} 1",
            "rae_search_cache_hit_ratio 0.75",
            "rae_search_cache_lookups_total{result=\"hit\"} 3",
            "rae_port_call_duration_seconds_count{operation=\"apply\",port=\"relational\"} 1",
            "rae_port_call_errors_total{kind=\"unavailable\",operation=\"get\",port=\"cache\"} 1",
            "rae_postgres_connections{state=\"in_use\"} 2",
            "rae_postgres_waiting 4",
            "rae_tenant_operations_total{operation=\"remember\",tenant=\"ada \\\"l\\\"\"} 3",
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

    #[test]
    fn the_operations_page_names_every_metric_and_no_other() {
        let metrics = Metrics::new(1).unwrap();
        let page = include_str!("../../docs/operations.md");
        let tables = page.split("| metric | labels | meaning |").skip(1).filter_map(|rest| rest.split("\n\n").next());
        let mut documented: Vec<&str> = tables.flat_map(str::lines).filter_map(|row| row.split('`').nth(1)).collect();
        let mut exported: Vec<&str> = metrics.names.iter().map(|(name, _, _)| name.as_str()).collect();
        documented.sort_unstable();
        exported.sort_unstable();
        assert_eq!(documented, exported);
        let text = metrics.text(Readings::default()).unwrap();
        for name in exported {
            assert_eq!(text.lines().filter(|l| l.starts_with(&format!("# TYPE {name} "))).count(), 1, "{name}");
        }
    }
}
