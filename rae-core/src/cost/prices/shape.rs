//! The file of prices: JSON, with prices as text so that no float ever holds one.

use super::price::{Day, LongPrompt, Origin, Price, Rates};
use crate::{
    error::{Error, Result},
    limits::{NAME_BYTES_MAX, PRICE_DOLLARS_MAX, PRICES_BYTES_MAX, PRICES_MAX},
};
use serde::Deserialize;
use std::collections::BTreeSet;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// For readers of the file.
    #[serde(rename = "about")]
    _about: Option<String>,
    models: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    provider: String,
    model: String,
    from: Option<String>,
    checked: Option<String>,
    source: Option<String>,
    input: Option<String>,
    cached_input: Option<String>,
    cache_write: Option<String>,
    output: Option<String>,
    batch_input: Option<String>,
    batch_output: Option<String>,
    embedding: Option<String>,
    long_prompt: Option<Long>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Long {
    above: u64,
    input: Option<String>,
    cached_input: Option<String>,
    cache_write: Option<String>,
    output: Option<String>,
    batch_input: Option<String>,
    batch_output: Option<String>,
}

/// The prices of a file. InvalidInput with code `invalid_prices` that names the entry.
pub(super) fn read(json: &str, origin: Origin) -> Result<Vec<Price>> {
    if json.len() > PRICES_BYTES_MAX {
        return Err(wrong(format!("a file of prices has at most {PRICES_BYTES_MAX} bytes")));
    }
    let file: File = serde_json::from_str(json).map_err(|e| wrong(format!("the file of prices is not right: {e}")))?;
    if file.models.len() > PRICES_MAX {
        return Err(wrong(format!("a file of prices has at most {PRICES_MAX} entries")));
    }
    let mut seen = BTreeSet::new();
    let mut prices = Vec::with_capacity(file.models.len());
    for (index, entry) in file.models.into_iter().enumerate() {
        let name = format!("entry {} of the file of prices", index + 1);
        let price = entry.read(origin).map_err(|what| wrong(format!("{name}: {what}")))?;
        if !seen.insert((price.provider.clone(), price.model.clone(), price.from)) {
            return Err(wrong(format!("{name}: a second price of {} from the same day", price.model)));
        }
        prices.push(price);
    }
    Ok(prices)
}

fn wrong(message: String) -> Error {
    Error::invalid(message).with_code("invalid_prices")
}

impl Entry {
    fn read(self, origin: Origin) -> Result<Price, String> {
        let texts = [&self.input, &self.cached_input, &self.cache_write, &self.output];
        let rates = rates(texts, [&self.batch_input, &self.batch_output])?;
        let embedding = self.embedding.as_deref().map(|text| dollars("embedding", text)).transpose()?;
        if rates.is_none() && embedding.is_none() {
            return Err("a price has input and output, or embedding".to_owned());
        }
        if rates.is_none() && self.long_prompt.is_some() {
            return Err("long_prompt goes with input and output".to_owned());
        }
        let from = self.from.as_deref().map(|text| day("from", text)).transpose()?;
        let checked = self.checked.as_deref().map(|text| day("checked", text)).transpose()?;
        Ok(Price {
            provider: named("provider", &self.provider)?,
            model: named("model", &self.model)?,
            from: from.unwrap_or(Day::FIRST),
            checked,
            source: self.source,
            rates,
            long_prompt: self.long_prompt.map(Long::read).transpose()?,
            embedding,
            origin,
        })
    }
}

impl Long {
    fn read(self) -> Result<LongPrompt, String> {
        let texts = [&self.input, &self.cached_input, &self.cache_write, &self.output];
        let rates = rates(texts, [&self.batch_input, &self.batch_output]).map_err(|e| format!("long_prompt: {e}"))?;
        let rates = rates.ok_or("long_prompt has input and output")?;
        Ok(LongPrompt { above: self.above, rates })
    }
}

/// `None` where neither input nor output has a price. One without the other would make the other free.
fn rates(texts: [&Option<String>; 4], batch: [&Option<String>; 2]) -> Result<Option<Rates>, String> {
    let read = |name: &str, text: &Option<String>| text.as_deref().map(|text| dollars(name, text)).transpose();
    let [input, cached_input, cache_write, output] = texts;
    let (cached_input, cache_write) = (read("cached_input", cached_input)?, read("cache_write", cache_write)?);
    let (batch_input, batch_output) = (read("batch_input", batch[0])?, read("batch_output", batch[1])?);
    match (read("input", input)?, read("output", output)?) {
        (Some(input), Some(output)) => {
            Ok(Some(Rates { input, cached_input, cache_write, output, batch_input, batch_output }))
        }
        (None, None) if [cached_input, cache_write, batch_input, batch_output].iter().all(Option::is_none) => Ok(None),
        _ => Err("input and output go together, and the other prices with them".to_owned()),
    }
}

/// Dollars for a million tokens as micro-dollars: `0.15` is 150,000.
fn dollars(name: &str, text: &str) -> Result<u64, String> {
    let wrong = || {
        format!(
            "{name} must be US dollars for a million tokens as text, such as \"0.15\", from 0 to {PRICE_DOLLARS_MAX}"
        )
    };
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !is_digits(whole) || !is_digits(decimals) || decimals.len() > 6 {
        return Err(wrong());
    }
    let whole: u64 = whole.parse().map_err(|_| wrong())?;
    let decimals: u64 = format!("{decimals:0<6}").parse().map_err(|_| wrong())?;
    let micros = whole.checked_mul(1_000_000).and_then(|micros| micros.checked_add(decimals));
    micros.filter(|micros| *micros <= PRICE_DOLLARS_MAX * 1_000_000).ok_or_else(wrong)
}

fn day(name: &str, text: &str) -> Result<Day, String> {
    Day::parse(text).ok_or_else(|| format!("{name} must be a day, such as \"2026-11-17\""))
}

fn named(field: &str, text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > NAME_BYTES_MAX || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(format!("{field} must be 1 to {NAME_BYTES_MAX} bytes without white space"));
    }
    Ok(text.to_ascii_lowercase())
}
