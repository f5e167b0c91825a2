//! What models cost, and where the budgets stand, with a bounded number of series.
//!
//! Sums are kept as integers and turned into dollars at a scrape. Models have a series by the names in the list of prices, other
//! words are `other`. Tenants have one where they are among those that spent the most this month, by the store; between two
//! readings of the store their gauges follow what this process holds and books.

use super::Catalogue;
use parking_lot::Mutex;
use prometheus::{
    Counter, CounterVec, GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, Opts, core::Collector,
    proto::MetricFamily,
};
use rae_core::{
    Error, PriceBook, Timestamp,
    model::{BudgetLevel, CallLabel, Funds, LevelFunds, LimitKind, Scope, Settlement, Usd, Window},
    ports::{Clock as _, CostObserver, SystemClock},
};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::OnceLock,
    time::{Duration, Instant},
};

/// Label of whatever has no series of its own.
const OTHER: &str = "other";
/// Providers that have a series without a price.
const PROVIDERS: [&str; 6] = ["openai", "anthropic", "google", "openrouter", "ollama", "vllm"];
/// What calls are made for that have a series; the ledger has every word.
const OPERATIONS: [&str; 6] = ["agent", "chat", "embed", "extract", "graph", "reflect"];
/// How long figures of the store serve.
const FRESH: Duration = Duration::from_secs(2);
/// Warned limits that are remembered. Past it all are forgotten, and some are told once more.
const WARNED_MAX: usize = 10_000;

/// Upper bounds of the time of an attempt, in seconds: from an embedding at hand to the longest call.
const SECONDS: [f64; 13] = [0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 180.0, 600.0];

const COST: [&str; 2] = ["rae_llm_cost_total", "Cost of model calls, in USD"];
const CALLS: [&str; 2] = ["rae_llm_calls_total", "Attempts of model calls by how they ended"];
const TOKENS: [&str; 2] = ["rae_llm_tokens_total", "Tokens of model calls"];
const TIME: [&str; 2] = [
    "rae_llm_request_duration_seconds",
    "Time of attempts of model calls that this process makes, streams until their end",
];
const SAVED: [&str; 2] = ["rae_llm_saved_usd_total", "What the cache of responses saved, in USD"];
const REMAINING: [&str; 2] = ["rae_budget_remaining", "What is left of a budget"];
const LIMIT: [&str; 2] = ["rae_budget_limit", "The limits of budgets"];
const WARNINGS: [&str; 2] =
    ["rae_budget_warnings_total", "Limits that reached their warning threshold while this process spent"];

/// A limit of a tenant or project.
type Place = (String, String, BudgetLevel, LimitKind);

/// The figures of this process. Told by the engine.
#[derive(Debug)]
pub struct CostMetrics {
    tenants_max: usize,
    prices: OnceLock<PriceBook>,
    time: HistogramVec,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Micro-dollars by provider, model and operation.
    cost: BTreeMap<(String, String, &'static str), i64>,
    calls: BTreeMap<(String, &'static str), u64>,
    tokens: BTreeMap<(String, String, &'static str), u64>,
    saved: i64,
    warnings: BTreeMap<(BudgetLevel, LimitKind), u64>,
    /// Limits above their threshold, each with its window.
    warned: HashMap<Place, i64>,
    funds: BTreeMap<String, (LevelFunds, Timestamp)>,
    read: Option<Instant>,
}

impl CostMetrics {
    /// With at most `tenants_max` tenants by name.
    pub(super) fn new(all: &mut Catalogue, tenants_max: usize) -> Result<Self, Error> {
        for ([name, help], kind) in [
            (COST, "counter"),
            (CALLS, "counter"),
            (TOKENS, "counter"),
            (SAVED, "counter"),
            (REMAINING, "gauge"),
            (LIMIT, "gauge"),
            (WARNINGS, "counter"),
        ] {
            all.names.push((name.to_owned(), help.to_owned(), kind));
        }
        let [name, help] = TIME;
        let time = HistogramOpts::new(name, help).buckets(SECONDS.to_vec());
        let time = all.add("histogram", HistogramVec::new(time, &["provider", "operation"]))?;
        Ok(Self { tenants_max, prices: OnceLock::new(), time, inner: Mutex::default() })
    }

    /// The prices whose names make labels; the first ones given count.
    pub fn know(&self, prices: PriceBook) {
        let _ = self.prices.set(prices);
    }

    /// Whether the store should be asked again; whoever is told so asks.
    pub fn is_due(&self) -> bool {
        let inner = &mut *self.inner.lock();
        let due = inner.read.is_none_or(|read| read.elapsed() >= FRESH);
        if due {
            inner.read = Some(Instant::now());
        }
        due
    }

    /// Takes in what the store says. Who is not among these keeps a series where there is room, until its day is over.
    pub fn refresh(&self, top: Vec<(String, LevelFunds)>, now: Timestamp) {
        let inner = &mut *self.inner.lock();
        let before = std::mem::take(&mut inner.funds);
        inner.funds.extend(top.into_iter().take(self.tenants_max).map(|(tenant, funds)| (tenant, (funds, now))));
        let today = Window::Day.period(now);
        for (tenant, (funds, at)) in before {
            let room = inner.funds.len() < self.tenants_max;
            if room && Window::Day.period(at) == today {
                inner.funds.entry(tenant).or_insert((funds, at));
            }
        }
    }

    /// The series of a scrape.
    pub(super) fn families(&self) -> Result<Vec<MetricFamily>, Error> {
        self.gathered().map_err(|e| Error::internal("the metrics of costs could not be made").with_source(e))
    }

    fn gathered(&self) -> prometheus::Result<Vec<MetricFamily>> {
        let opts = |[name, help]: [&str; 2]| Opts::new(name, help);
        let dollars = |micros: i64| Usd::from_micros(micros).dollars();
        let inner = self.inner.lock();
        let cost = CounterVec::new(opts(COST), &["provider", "model", "operation"])?;
        for ((provider, model, operation), micros) in &inner.cost {
            cost.with_label_values(&[provider.as_str(), model.as_str(), operation]).inc_by(dollars(*micros));
        }
        let calls = IntCounterVec::new(opts(CALLS), &["provider", "status"])?;
        for ((provider, status), n) in &inner.calls {
            calls.with_label_values(&[provider.as_str(), status]).inc_by(*n);
        }
        let tokens = IntCounterVec::new(opts(TOKENS), &["provider", "model", "kind"])?;
        for ((provider, model, kind), n) in &inner.tokens {
            tokens.with_label_values(&[provider.as_str(), model.as_str(), kind]).inc_by(*n);
        }
        let saved = Counter::with_opts(opts(SAVED))?;
        saved.inc_by(dollars(inner.saved));
        let warnings = IntCounterVec::new(opts(WARNINGS), &["scope", "window", "unit"])?;
        for ((level, kind), n) in &inner.warnings {
            warnings.with_label_values(&[level.as_str(), window(*kind), unit(*kind)]).inc_by(*n);
        }
        let (remaining, limit) = (
            GaugeVec::new(opts(REMAINING), &["tenant", "window", "unit"])?,
            GaugeVec::new(opts(LIMIT), &["tenant", "window", "unit"])?,
        );
        let number = |kind: LimitKind, n: i64| if kind.is_usd() { dollars(n) } else { n as f64 };
        for (tenant, (funds, _)) in &inner.funds {
            for kind in LimitKind::ALL {
                let labels = [tenant.as_str(), window(kind), unit(kind)];
                if let (Some(left), Some(most)) = (funds.remaining(kind), funds.limits.amounts[kind as usize]) {
                    remaining.with_label_values(&labels).set(number(kind, left));
                    limit.with_label_values(&labels).set(number(kind, most));
                }
            }
        }
        let all: [&dyn Collector; 7] = [&cost, &calls, &tokens, &saved, &warnings, &remaining, &limit];
        let families = all.into_iter().flat_map(|collector| collector.collect());
        Ok(families.filter(|family| !family.get_metric().is_empty()).collect())
    }

    /// What for, as a label.
    fn operation(label: &CallLabel) -> &'static str {
        OPERATIONS.into_iter().find(|known| *known == label.operation).unwrap_or(OTHER)
    }

    /// Provider and model as labels: a release of a model counts as that model.
    fn names(&self, label: &CallLabel) -> (String, String) {
        let price = self.prices.get().and_then(|book| book.find(&label.provider, &label.model, SystemClock.now()));
        let provider = label.provider.to_ascii_lowercase();
        let is_known = PROVIDERS.contains(&provider.as_str()) || price.is_some_and(|price| price.provider == provider);
        let model = price.map(|price| price.model.clone()).filter(|model| model != "*");
        let provider = if is_known { provider } else { OTHER.to_owned() };
        (provider, model.unwrap_or_else(|| OTHER.to_owned()))
    }
}

impl CostObserver for CostMetrics {
    fn booked(&self, _: &Scope, label: &CallLabel, settlement: &Settlement, _: Option<&Funds>) {
        let (provider, model) = self.names(label);
        let operation = Self::operation(label);
        let usage = &settlement.usage;
        let inner = &mut *self.inner.lock();
        *inner.calls.entry((provider.clone(), settlement.status.as_str())).or_default() += 1;
        for (kind, n) in [
            ("input", usage.input_tokens),
            ("cached_input", usage.cached_input_tokens),
            ("output", usage.output_tokens),
            ("reasoning", usage.reasoning_tokens),
        ] {
            if n > 0 {
                let sum = inner.tokens.entry((provider.clone(), model.clone(), kind)).or_default();
                *sum = sum.saturating_add(n);
            }
        }
        let cost = inner.cost.entry((provider, model, operation)).or_default();
        *cost = cost.saturating_add(settlement.cost.micros());
        inner.saved = inner.saved.saturating_add(settlement.saved.micros());
    }

    fn took(&self, label: &CallLabel, time: Duration) {
        let (provider, _) = self.names(label);
        self.time.with_label_values(&[provider.as_str(), Self::operation(label)]).observe(time.as_secs_f64());
    }

    fn funds(&self, scope: &Scope, funds: &Funds) {
        let inner = &mut *self.inner.lock();
        if inner.funds.contains_key(scope.tenant()) || inner.funds.len() < self.tenants_max {
            inner.funds.insert(scope.tenant().to_owned(), (funds.tenant, funds.at));
        }
        let reached: HashSet<(BudgetLevel, LimitKind)> = funds.warnings().into_iter().collect();
        for level in BudgetLevel::ALL {
            // The tenant's budget is the same in all of its projects.
            let project = if level == BudgetLevel::Project { scope.project() } else { "" };
            for kind in LimitKind::ALL {
                let place = (scope.tenant().to_owned(), project.to_owned(), level, kind);
                if !reached.contains(&(level, kind)) {
                    inner.warned.remove(&place);
                    continue;
                }
                if inner.warned.len() >= WARNED_MAX {
                    inner.warned.clear();
                }
                let period = kind.window().period(funds.at);
                if inner.warned.insert(place, period) != Some(period) {
                    *inner.warnings.entry((level, kind)).or_default() += 1;
                    let (tenant, limit) = (scope.tenant(), kind.field());
                    tracing::warn!(tenant, project, limit, "a budget has reached its warning threshold");
                }
            }
        }
    }
}

const fn window(kind: LimitKind) -> &'static str {
    match kind.window() {
        Window::Day => "day",
        Window::Month => "month",
    }
}

const fn unit(kind: LimitKind) -> &'static str {
    if kind.is_usd() { "usd" } else { "tokens" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus::Encoder as _;
    use rae_core::model::{Amount, CallStatus, Spent, TokenUsage};

    fn metrics(tenants: usize) -> CostMetrics {
        let mut all = Catalogue { registry: prometheus::Registry::new(), names: Vec::new() };
        let metrics = CostMetrics::new(&mut all, tenants).unwrap();
        metrics.know(PriceBook::built_in().unwrap());
        metrics
    }

    fn text(metrics: &CostMetrics) -> String {
        prometheus::TextEncoder::new().encode_to_string(&metrics.families().unwrap()).unwrap()
    }

    fn label(provider: &str, model: &str, operation: &str) -> CallLabel {
        let (provider, model, operation) = (provider.to_owned(), model.to_owned(), operation.to_owned());
        CallLabel { provider, model, operation, user_id: None, request_id: None }
    }

    fn cost(micros: i64) -> Settlement {
        let usage = TokenUsage { input_tokens: 3, output_tokens: 2, ..TokenUsage::default() };
        let (cost, saved) = (Usd::from_micros(micros), Usd::ZERO);
        Settlement { status: CallStatus::Ok, usage, estimated: false, cost, saved, error: None }
    }

    fn used(micros: i64, day: &str) -> Funds {
        let mut tenant = LevelFunds::default();
        tenant.limits.amounts[LimitKind::DailyUsd as usize] = Some(1_000_000);
        let amount = Amount { usd: Usd::from_micros(micros), tokens: 5 };
        tenant.day = Spent { used: amount, ..Spent::default() };
        Funds { at: Timestamp::parse(day).unwrap(), tenant, project: LevelFunds::default() }
    }

    #[test]
    fn ten_thousand_names_make_few_series_and_the_sum_is_exact() {
        let metrics = metrics(3);
        let scope = Scope::new("t", "p").unwrap();
        for i in 0..10_000 {
            let made_up = label(&format!("provider-{i}"), &format!("model-{i}"), &format!("word-{i}"));
            metrics.booked(&scope, &made_up, &cost(1), None);
            metrics.booked(&scope, &label("openai", "gpt-4o-mini-2024-07-18", "chat"), &cost(3), None);
            metrics.funds(&Scope::new(format!("tenant-{i}"), "p").unwrap(), &used(1, "2026-11-28"));
            metrics.took(&made_up, Duration::from_secs(i));
            metrics.took(&label("openai", "gpt-4o-mini", "embed"), Duration::from_millis(40));
        }
        let text = text(&metrics);
        for line in [
            "rae_llm_cost_total{model=\"other\",operation=\"other\",provider=\"other\"} 0.01",
            "rae_llm_cost_total{model=\"gpt-4o-mini\",operation=\"chat\",provider=\"openai\"} 0.03",
            "rae_llm_calls_total{provider=\"openai\",status=\"ok\"} 10000",
            "rae_llm_tokens_total{kind=\"input\",model=\"gpt-4o-mini\",provider=\"openai\"} 30000",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
        assert_eq!(text.lines().filter(|l| l.starts_with("rae_budget_remaining{")).count(), 3, "{text}");
        assert!(text.lines().count() < 60, "{text}");
        let mut times = Vec::new();
        prometheus::TextEncoder::new().encode(&metrics.time.collect(), &mut times).unwrap();
        let times = String::from_utf8(times).unwrap();
        for line in [
            "rae_llm_request_duration_seconds_count{operation=\"other\",provider=\"other\"} 10000",
            "rae_llm_request_duration_seconds_bucket{operation=\"embed\",provider=\"openai\",le=\"0.05\"} 10000",
            "rae_llm_request_duration_seconds_bucket{operation=\"embed\",provider=\"openai\",le=\"0.025\"} 0",
        ] {
            assert!(times.lines().any(|l| l == line), "{line}\n{times}");
        }
        assert_eq!(times.lines().filter(|l| l.contains("_count{")).count(), 2, "{times}");
    }

    #[test]
    fn a_limit_warns_once_in_a_window_and_again_when_it_was_below_in_between() {
        let metrics = metrics(3);
        let scope = Scope::new("t", "p").unwrap();
        let line = "rae_budget_warnings_total{scope=\"tenant\",unit=\"usd\",window=\"day\"} ";
        let count = || text(&metrics).lines().find_map(|l| l.strip_prefix(line)?.parse::<u64>().ok()).unwrap_or(0);
        for (micros, day, expected) in [
            (799_999, "2026-11-28", 0),
            (800_000, "2026-11-28", 1),
            (900_000, "2026-11-28", 1),
            (900_000, "2026-11-29", 2),
            (100, "2026-11-29", 2),
            (800_000, "2026-11-29", 3),
        ] {
            metrics.funds(&scope, &used(micros, day));
            assert_eq!(count(), expected, "{micros} {day}");
        }
    }

    #[test]
    fn tenants_of_the_store_come_first_and_yesterdays_figures_go() {
        let metrics = metrics(2);
        metrics.funds(&Scope::new("ada", "p").unwrap(), &used(1, "2026-11-28"));
        let today = Timestamp::parse("2026-11-28T12:00:00Z").unwrap();
        metrics.refresh(vec![("bob".to_owned(), used(400_000, "2026-11-28").tenant)], today);
        let shown = text(&metrics);
        assert!(shown.contains("rae_budget_remaining{tenant=\"bob\",unit=\"usd\",window=\"day\"} 0.6"), "{shown}");
        assert!(shown.contains("rae_budget_limit{tenant=\"ada\",unit=\"usd\",window=\"day\"} 1"), "{shown}");
        metrics.refresh(Vec::new(), today.next_day());
        assert!(!text(&metrics).contains("rae_budget_remaining"));
    }
}
