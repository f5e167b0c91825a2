//! What an open store needs to spend money: limits, prices, providers, and who is told.

use super::{PriceBook, meter::Strays};
use crate::{
    limits::OUTPUT_TOKENS_DEFAULT,
    model::Limits,
    ports::{CostObserver, LlmRouter, NoCostObserver, RetryPolicy},
};
use std::sync::Arc;

/// How model calls are paid for.
#[derive(Debug, Clone)]
pub struct CostOptions {
    /// Whether limits are kept and a ledger is written. Default true; false means no limit holds.
    pub tracking: bool,
    /// The limits of a tenant that set none. Default: none.
    pub defaults: Limits,
    /// What models cost. Default: the built-in file; an unknown model is refused.
    pub prices: PriceBook,
    /// How often a failed call is made again.
    pub retry: RetryPolicy,
    /// Most output tokens of a call that names no maximum; the provider is told so. Default 4,096.
    pub output_tokens: u64,
    /// Told of every attempt. Default: nobody.
    pub observer: Arc<dyn CostObserver>,
}

impl Default for CostOptions {
    fn default() -> Self {
        Self {
            tracking: true,
            defaults: Limits::NONE,
            prices: PriceBook::default(),
            retry: RetryPolicy::default(),
            output_tokens: OUTPUT_TOKENS_DEFAULT,
            observer: Arc::new(NoCostObserver),
        }
    }
}

/// The same as an open store holds it.
#[derive(Debug)]
pub(crate) struct Desk {
    pub tracking: bool,
    pub defaults: Limits,
    pub prices: PriceBook,
    pub retry: RetryPolicy,
    pub output_tokens: u64,
    pub observer: Arc<dyn CostObserver>,
    pub providers: Arc<dyn LlmRouter>,
    pub strays: Strays,
}

impl Desk {
    pub fn new(options: CostOptions, providers: Arc<dyn LlmRouter>) -> Self {
        let CostOptions { tracking, defaults, prices, retry, output_tokens, observer } = options;
        Self { tracking, defaults, prices, retry, output_tokens, observer, providers, strays: Strays::default() }
    }
}
