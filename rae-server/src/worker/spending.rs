//! What a child spends, and what it books of that which ran out. Nobody reads a child's metrics: it tells its worker on standard
//! output, a line each.

use super::child::say;
use crate::metrics::costs::CostMetrics;
use rae_core::{
    model::{CallLabel, CallStatus, Funds, Scope, Settlement, TokenUsage, Usd},
    ports::CostObserver,
};
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};

/// What such lines begin with.
const MARK: &str = "spent ";

/// One of them, without names of users and requests.
#[derive(Debug, Serialize, Deserialize)]
enum Line {
    Booked { label: CallLabel, status: CallStatus, usage: TokenUsage, cost: i64, saved: i64 },
    Took { label: CallLabel, micros: u64 },
}

impl Line {
    fn text(&self) -> Option<String> {
        Some(format!("{MARK}{}\n", serde_json::to_string(self).ok()?))
    }
}

fn nameless(label: &CallLabel) -> CallLabel {
    CallLabel { user_id: None, request_id: None, ..label.clone() }
}

/// Tells the worker.
#[derive(Debug)]
pub struct Teller(pub Arc<CostMetrics>);

impl CostObserver for Teller {
    fn booked(&self, _: &Scope, label: &CallLabel, settlement: &Settlement, _: Option<&Funds>) {
        let Settlement { status, usage, cost, saved, .. } = settlement;
        let (label, cost, saved) = (nameless(label), cost.micros(), saved.micros());
        let line = Line::Booked { label, status: *status, usage: *usage, cost, saved };
        line.text().iter().for_each(|text| say(text));
    }

    fn funds(&self, scope: &Scope, funds: &Funds) {
        // Warnings are in this process's own log.
        self.0.funds(scope, funds);
    }

    fn took(&self, label: &CallLabel, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let line = Line::Took { label: nameless(label), micros };
        line.text().iter().for_each(|text| say(text));
    }
}

/// Takes in what a child said, where it is about money.
pub(super) fn hear(line: &str, metrics: &CostMetrics) -> bool {
    match line.strip_prefix(MARK).map(serde_json::from_str) {
        Some(Ok(Line::Booked { label, status, usage, cost, saved })) => {
            let (cost, saved) = (Usd::from_micros(cost), Usd::from_micros(saved));
            let settlement = Settlement { status, usage, estimated: false, cost, saved, error: None };
            metrics.booked(&Scope::default(), &label, &settlement, None);
            true
        }
        Some(Ok(Line::Took { label, micros })) => {
            metrics.took(&label, Duration::from_micros(micros));
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    #[test]
    fn what_a_child_says_of_its_spending_is_counted_and_nothing_else_is_heard() {
        let metrics = Metrics::new(3).unwrap();
        metrics.costs.know(rae_core::PriceBook::built_in().unwrap());
        let text = |name: &str| Some(name.to_owned());
        let (provider, model, operation) = ("openai".to_owned(), "gpt-4o-mini".to_owned(), "embed".to_owned());
        let label = CallLabel { provider, model, operation, user_id: text("ada"), request_id: text("r") };
        let usage = TokenUsage { input_tokens: 7, ..TokenUsage::default() };
        let line = Line::Booked { label: nameless(&label), status: CallStatus::Ok, usage, cost: 5, saved: 0 };
        let (line, took) =
            (line.text().unwrap(), Line::Took { label: nameless(&label), micros: 40_000 }.text().unwrap());
        assert!(!line.contains("ada") && line.lines().count() == 1);
        for said in [&line, &line, &took] {
            assert!(hear(said.trim_end(), &metrics.costs), "{said}");
        }
        for other in ["", "full", "embed done 1500", "spent", "spent {}", "spent {\"Took\":{}}"] {
            assert!(!hear(other, &metrics.costs), "{other}");
        }
        let shown = metrics.text(crate::metrics::Readings::default()).unwrap();
        for line in [
            "rae_llm_cost_total{model=\"gpt-4o-mini\",operation=\"embed\",provider=\"openai\"} 0.00001",
            "rae_llm_calls_total{provider=\"openai\",status=\"ok\"} 2",
            "rae_llm_request_duration_seconds_count{operation=\"embed\",provider=\"openai\"} 1",
        ] {
            assert!(shown.lines().any(|l| l == line), "{line}\n{shown}");
        }
    }
}
