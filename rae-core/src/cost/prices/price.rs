//! One price, and what a call costs at it.

use crate::{
    error::{Error, Result},
    limits::PRICE_DOLLARS_MAX,
    model::Timestamp,
};
use serde_json::{Map, Value};
use std::fmt;

/// A day of the calendar in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day {
    year: i16,
    month: i8,
    day: i8,
}

impl Day {
    /// Before every other.
    pub(super) const FIRST: Self = Self { year: i16::MIN, month: 1, day: 1 };

    /// The day of a moment.
    pub fn of(at: Timestamp) -> Self {
        let (year, month, day) = at.ymd();
        Self { year, month, day }
    }

    /// Reads `2026-11-17` and nothing else.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let day = Self::of(Timestamp::parse(text).ok()?);
        (day.to_string() == text).then_some(day)
    }
}

impl fmt::Display for Day {
    /// As `2026-11-17`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

/// Where a price comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// The file that comes with the engine.
    BuiltIn,
    /// The user.
    Override,
}

/// Micro-dollars for a million tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// Tokens that are read.
    pub input: u64,
    /// Tokens that are read from the provider's cache; as `input` where there is none.
    pub cached_input: Option<u64>,
    /// Tokens that are written to the provider's cache, at its shortest time to live; as `input` where there is none.
    pub cache_write: Option<u64>,
    /// Tokens that are written, reasoning included.
    pub output: u64,
    /// As `input`, in a batch.
    pub batch_input: Option<u64>,
    /// As `output`, in a batch.
    pub batch_output: Option<u64>,
}

/// What a call costs, all of it, whose input is longer than `above` tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LongPrompt {
    /// The longest input, in tokens, that does not cost this.
    pub above: u64,
    /// The rates.
    pub rates: Rates,
}

/// What one model of one provider costs from a day on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Price {
    /// The provider, in small letters.
    pub provider: String,
    /// The model, in small letters; `*` for all of the provider.
    pub model: String,
    /// First day, UTC.
    pub from: Day,
    /// The newest day for which the source is known to give this price.
    pub checked: Option<Day>,
    /// Address of the provider's page.
    pub source: Option<String>,
    /// Of a model that answers.
    pub rates: Option<Rates>,
    /// Of such a model with long prompts, where they cost more.
    pub long_prompt: Option<LongPrompt>,
    /// Of a model that embeds: micro-dollars for a million tokens.
    pub embedding: Option<u64>,
    /// Where it comes from.
    pub origin: Origin,
}

/// What one call used, in tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tokens {
    /// Read, the cached and the newly cached ones included. Where those are more than this, they count: no token that a provider
    /// reports is free.
    pub input: u64,
    /// Read from the provider's cache.
    pub cached_input: u64,
    /// Written to the provider's cache.
    pub cache_write: u64,
    /// Written, reasoning included.
    pub output: u64,
    /// Whether it was part of a batch. What was read from the cache then costs as much as other input.
    pub batch: bool,
}

impl Price {
    /// What a call costs, in micro-dollars, rounded up.
    ///
    /// Errors: InvalidInput with code `unknown_model_price` for a model that only embeds, `cost_out_of_range` above what an i64
    /// holds.
    pub fn cost(&self, tokens: &Tokens) -> Result<i64> {
        let parts = u128::from(tokens.cached_input) + u128::from(tokens.cache_write);
        let plain = u128::from(tokens.input).saturating_sub(parts);
        let rates = self.rates_for(plain + parts)?;
        let (input, output) = match tokens.batch {
            true => (rates.batch_input.unwrap_or(rates.input), rates.batch_output.unwrap_or(rates.output)),
            false => (rates.input, rates.output),
        };
        let cached = if tokens.batch { input } else { rates.cached_input.unwrap_or(input) };
        total(&[
            (plain, input),
            (u128::from(tokens.cached_input), cached),
            (u128::from(tokens.cache_write), rates.cache_write.unwrap_or(rates.input)),
            (u128::from(tokens.output), output),
        ])
    }

    /// The most that a call costs whose input and output have at most so many tokens, in micro-dollars: nothing comes from the
    /// cache, all of it is written there where that is dearer, and a prompt that may be long is long.
    ///
    /// Errors: as of [`Price::cost`].
    pub fn worst_cost(&self, input_at_most: u64, output_at_most: u64) -> Result<i64> {
        let (short, long) = (*self.rates_for(0)?, *self.rates_for(u128::from(input_at_most))?);
        let dearest = |rates: &Rates| {
            let input = [Some(rates.input), rates.cached_input, rates.cache_write].into_iter().flatten().max();
            (input.unwrap_or(rates.input), rates.output)
        };
        let (short, long) = (dearest(&short), dearest(&long));
        total(&[(u128::from(input_at_most), short.0.max(long.0)), (u128::from(output_at_most), short.1.max(long.1))])
    }

    /// What embedding so many tokens costs, in micro-dollars, rounded up.
    ///
    /// Errors: InvalidInput with code `unknown_model_price` for a model without a price for it, `cost_out_of_range`.
    pub fn embedding_cost(&self, tokens: u64) -> Result<i64> {
        let rate = self.embedding.ok_or_else(|| self.lacks("embeddings"))?;
        total(&[(u128::from(tokens), rate)])
    }

    /// Of models without a price, as the user states it.
    pub(super) fn ceiling(input: u64, output: u64) -> Result<Self> {
        let most = PRICE_DOLLARS_MAX * 1_000_000;
        if input == 0 || output == 0 || input > most || output > most {
            return Err(Error::invalid(
                "the ceiling for models without a price must be more than 0 and at most 1000000 US dollars for a million tokens, \
                 for input and for output",
            )
            .with_code("invalid_prices"));
        }
        let rates =
            Rates { input, cached_input: None, cache_write: None, output, batch_input: None, batch_output: None };
        Ok(Self {
            provider: "*".to_owned(),
            model: "*".to_owned(),
            from: Day::FIRST,
            checked: None,
            source: None,
            rates: Some(rates),
            long_prompt: None,
            embedding: Some(input),
            origin: Origin::Override,
        })
    }

    fn rates_for(&self, input: u128) -> Result<&Rates> {
        let rates = self.rates.as_ref().ok_or_else(|| self.lacks("answers"))?;
        let long = self.long_prompt.as_ref().filter(|long| input > u128::from(long.above));
        Ok(long.map_or(rates, |long| &long.rates))
    }

    fn lacks(&self, what: &str) -> Error {
        let (provider, model) = (&self.provider, &self.model);
        Error::invalid(format!("the price of the model {model} of {provider} says nothing about {what}"))
            .with_code("unknown_model_price")
    }

    /// As in a file of prices, and with `override`: whether it is the user's. Fields without a value are left out.
    pub fn to_json(&self) -> Value {
        let mut out = Map::new();
        let mut put = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                out.insert(name.to_owned(), value);
            }
        };
        put("provider", Some(self.provider.clone().into()));
        put("model", Some(self.model.clone().into()));
        put("from", (self.from != Day::FIRST).then(|| self.from.to_string().into()));
        put("checked", self.checked.map(|day| day.to_string().into()));
        put("source", self.source.clone().map(Value::from));
        put("override", Some((self.origin == Origin::Override).into()));
        put("embedding", self.embedding.map(|rate| dollars(rate).into()));
        if let Some(rates) = &self.rates {
            out.extend(rates.to_json());
        }
        if let Some(long) = &self.long_prompt {
            let mut fields = long.rates.to_json();
            fields.insert("above".to_owned(), long.above.into());
            out.insert("long_prompt".to_owned(), Value::Object(fields));
        }
        Value::Object(out)
    }
}

impl Rates {
    fn to_json(self) -> Map<String, Value> {
        let all = [
            ("input", Some(self.input)),
            ("cached_input", self.cached_input),
            ("cache_write", self.cache_write),
            ("output", Some(self.output)),
            ("batch_input", self.batch_input),
            ("batch_output", self.batch_output),
        ];
        all.into_iter().filter_map(|(name, rate)| Some((name.to_owned(), dollars(rate?).into()))).collect()
    }
}

/// Micro-dollars as dollars with two decimals or as many as needed, without a sign: `0.15`, `0.0375`.
fn dollars(micros: u64) -> String {
    let decimals = format!("{:06}", micros % 1_000_000);
    let kept = decimals.trim_end_matches('0').len().max(2);
    format!("{}.{}", micros / 1_000_000, &decimals[..kept])
}

/// Tokens times micro-dollars for a million, rounded up once. Nothing overflows: both factors are below 2^65.
fn total(parts: &[(u128, u64)]) -> Result<i64> {
    let sum: u128 = parts.iter().map(|(tokens, rate)| tokens * u128::from(*rate)).sum();
    i64::try_from(sum.div_ceil(1_000_000)).map_err(|_| {
        Error::invalid("so many tokens cost more than can be counted; the number of tokens is wrong")
            .with_code("cost_out_of_range")
    })
}
