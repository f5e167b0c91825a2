//! From settings to what the engine needs to spend money.

use crate::{
    cli::Role,
    metrics::costs::CostMetrics,
    prices,
    settings::{CostSettings, Settings},
    worker::Teller,
};
use rae_core::{Builder, CostOptions, PriceBook, Result, providers::Providers};
use std::sync::Arc;

/// Puts limits, prices and providers into what will be opened, and says at the start what an operator should know. Errors: a file
/// of prices that cannot be read or has a mistake, an address or key that cannot be one; they never repeat a key.
pub fn plug(builder: Builder, settings: &Settings, metrics: &Arc<CostMetrics>, role: Role) -> Result<Builder> {
    let costs = &settings.costs;
    let prices = price_book(costs)?;
    metrics.know(prices.clone());
    let providers = Providers::new(costs.providers.iter().cloned())?;
    let names: Vec<&str> = providers.ids().collect();
    if !costs.tracking {
        tracing::warn!(
            "ENABLE_COST_TRACKING=false: NO LIMIT ON SPENDING IS KEPT AND NO COST IS BOOKED, whatever the models cost that this \
             server asks"
        );
    }
    tracing::info!(providers = names.join(", "), tracking = costs.tracking, "chat models");
    let options = CostOptions {
        tracking: costs.tracking,
        defaults: costs.defaults,
        prices,
        output_tokens: costs.output_tokens,
        observer: match role {
            Role::WorkerChild => Arc::new(Teller(Arc::clone(metrics))),
            _ => Arc::<CostMetrics>::clone(metrics),
        },
        ..CostOptions::default()
    };
    let builder = builder.costs(options).providers(Arc::new(providers)).reflect_after(settings.reflect_after);
    Ok(match &settings.model {
        Some(model) => builder.model(model),
        None => builder,
    })
}

fn price_book(costs: &CostSettings) -> Result<PriceBook> {
    let mut book = PriceBook::built_in()?;
    if let Some(path) = &costs.prices_file {
        book = book.with_overrides(&prices::read(path)?)?;
    }
    book.with_unknown_model(costs.unknown_model)
}
