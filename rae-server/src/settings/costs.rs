//! Settings of money and of chat models.

use super::{SETTINGS, raw::Raw};
use rae_core::{
    UnknownModel,
    model::{LimitKind, Limits, Share, Usd},
    providers::ProviderConfig,
};
use std::path::PathBuf;

/// Addresses of providers: shown to the operator, so without a password.
const ADDRESSES: [&str; 8] = [
    "openai_base_url",
    "anthropic_base_url",
    "google_base_url",
    "openrouter_base_url",
    "ollama_base_url",
    "ollama_address",
    "vllm_base_url",
    "vllm_address",
];

/// How model calls are paid for, and who is asked. `Debug` shows no key.
#[derive(Debug, Clone)]
pub struct CostSettings {
    /// Whether limits are kept and a ledger is written.
    pub tracking: bool,
    /// The limits of a tenant that set none.
    pub defaults: Limits,
    /// Prices over the built-in ones.
    pub prices_file: Option<PathBuf>,
    /// What becomes of a model without a price.
    pub unknown_model: UnknownModel,
    /// Most output tokens of a call that names no maximum.
    pub output_tokens: u64,
    /// The providers that have what they need.
    pub providers: Vec<ProviderConfig>,
}

impl CostSettings {
    pub(super) fn from_raw(raw: &Raw) -> Result<Self, String> {
        let mut defaults = Limits::NONE;
        defaults.amounts[LimitKind::DailyUsd as usize] = limit(raw, "default_daily_limit")?;
        defaults.amounts[LimitKind::MonthlyUsd as usize] = limit(raw, "default_monthly_limit")?;
        let share: Option<f64> = raw.text("budget_warning_threshold").parse().ok();
        let share = share.and_then(|share| Share::new(share).ok());
        defaults.warning_threshold =
            share.ok_or_else(|| raw.wrong("budget_warning_threshold", "a number from 0 to 1"))?;
        for name in ADDRESSES {
            raw.url(name)?;
        }
        let most = usize::try_from(rae_core::limits::CHAT_OUTPUT_TOKENS_MAX).unwrap_or(usize::MAX);
        let variable = |env: &str| SETTINGS.iter().find(|s| s.env == env).and_then(|s| raw.optional(s.name));
        Ok(Self {
            tracking: raw.parse("enable_cost_tracking", "true or false")?,
            defaults,
            prices_file: raw.path("prices_file"),
            unknown_model: unknown_model(raw)?,
            output_tokens: raw.count("llm_output_tokens", 1, most)? as u64,
            providers: ProviderConfig::from_env(variable),
        })
    }
}

/// Micro-dollars; `none` is no limit, which an empty text is not: that is how many tools say "not set".
fn limit(raw: &Raw, name: &str) -> Result<Option<i64>, String> {
    if raw.text(name) == "none" {
        return Ok(None);
    }
    let amount = Usd::parse(raw.text(name)).map_err(|_| raw.wrong(name, "US dollars such as 10.00, or none"))?;
    Ok(Some(amount.micros()))
}

fn unknown_model(raw: &Raw) -> Result<UnknownModel, String> {
    let text = raw.text("unknown_model");
    if text == "reject" {
        return Ok(UnknownModel::Reject);
    }
    let price = |part: &str| Usd::parse(part).ok().and_then(|usd| u64::try_from(usd.micros()).ok()).filter(|n| *n > 0);
    let pair = text.split_once(',').and_then(|(input, output)| Some((price(input)?, price(output)?)));
    let wanted = "reject, or the price of input and of output in US dollars for a million tokens, such as 10.00,30.00";
    let (input, output) = pair.ok_or_else(|| raw.wrong("unknown_model", wanted))?;
    Ok(UnknownModel::Ceiling { input, output })
}
