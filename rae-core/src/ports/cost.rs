//! Who is told of spending.

use crate::model::{CallLabel, Funds, Scope, Settlement};
use std::{fmt::Debug, time::Duration};

/// What learns of every attempt that is booked by this process, for metrics and warnings: also of those that ran out and that it was
/// the one to end. Must not block.
pub trait CostObserver: Debug + Send + Sync + 'static {
    /// An attempt ended. `funds` is where the budgets stand after it; `None` where they were not read.
    fn booked(&self, scope: &Scope, label: &CallLabel, settlement: &Settlement, funds: Option<&Funds>);

    /// Money was held or a limit was set: where the budgets stand now.
    fn funds(&self, scope: &Scope, funds: &Funds);

    /// An attempt took so long, from the instant before its first byte left to its end, whatever became of it. A stream ends with its
    /// last piece, or when the caller leaves.
    fn took(&self, _label: &CallLabel, _time: Duration) {}
}

/// Observes nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoCostObserver;

impl CostObserver for NoCostObserver {
    fn booked(&self, _: &Scope, _: &CallLabel, _: &Settlement, _: Option<&Funds>) {}

    fn funds(&self, _: &Scope, _: &Funds) {}
}
