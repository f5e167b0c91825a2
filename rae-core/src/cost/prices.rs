//! What models cost: the built-in prices, the user's over them, and which one a name means. Pure: no I/O, no clock, no floats.

mod names;
mod price;
mod shape;
#[cfg(test)]
mod tests;

pub use price::{Day, LongPrompt, Origin, Price, Rates, Tokens};

use crate::{
    error::{Error, Result},
    limits::NAME_BYTES_MAX,
    model::Timestamp,
};
use std::collections::BTreeMap;

/// The prices that come with the engine.
const BUILT_IN: &str = include_str!("../../assets/prices.json");
/// In an override, all models of a provider that have no entry of their own.
const EVERY_MODEL: &str = "*";

/// What becomes of a call of a model without a price. Such a call is never free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UnknownModel {
    /// It is refused: InvalidInput with code `unknown_model_price`.
    #[default]
    Reject,
    /// It costs what the user states, in micro-dollars for a million tokens.
    Ceiling {
        /// Of tokens that are read, cached ones too, and of tokens that are embedded.
        input: u64,
        /// Of tokens that are written.
        output: u64,
    },
}

/// Every price that is known, and the policy for models without one.
#[derive(Debug, Clone)]
pub struct PriceBook {
    /// By provider and model, all in small letters. The prices of one model stand in the order of their days.
    prices: BTreeMap<(String, String), Vec<Price>>,
    ceiling: Option<Price>,
}

impl Default for PriceBook {
    /// The prices that come with the engine. A test holds that they can be read; a book of none refuses every model.
    fn default() -> Self {
        Self::built_in().unwrap_or_else(|_| Self { prices: BTreeMap::new(), ceiling: None })
    }
}

impl PriceBook {
    /// The prices that come with the engine; unknown models are refused.
    pub fn built_in() -> Result<Self> {
        let mut book = Self { prices: BTreeMap::new(), ceiling: None };
        book.add(shape::read(BUILT_IN, Origin::BuiltIn)?);
        Ok(book)
    }

    /// With the prices of a JSON text in the shape of the built-in file. Where a provider and a model have a price in both, the
    /// newest of these that has begun is the price; the built-in one holds before it. The model `*` stands for all models of its
    /// provider that have no entry of their own. A second call adds to the first. InvalidInput with code `invalid_prices`.
    pub fn with_overrides(mut self, json: &str) -> Result<Self> {
        self.add(shape::read(json, Origin::Override)?);
        Ok(self)
    }

    /// With this policy for models without a price. InvalidInput with code `invalid_prices` for a ceiling of zero, which would make
    /// them free, or of more than a million dollars.
    pub fn with_unknown_model(mut self, policy: UnknownModel) -> Result<Self> {
        self.ceiling = match policy {
            UnknownModel::Reject => None,
            UnknownModel::Ceiling { input, output } => Some(Price::ceiling(input, output)?),
        };
        Ok(self)
    }

    /// All prices: by provider, model and day; of one day, the built-in one first.
    pub fn all(&self) -> impl Iterator<Item = &Price> {
        self.prices.values().flatten()
    }

    /// What a call of this moment costs by the policy for models without a price. The names are compared without case.
    ///
    /// Errors: InvalidInput with code `unknown_model_price` where there is no price and the policy is to reject.
    pub fn price(&self, provider: &str, model: &str, at: Timestamp) -> Result<&Price> {
        self.find(provider, model, at).or(self.ceiling.as_ref()).ok_or_else(|| unknown(provider, model))
    }

    /// The price of a model at this moment, if there is one:
    ///
    /// 1. that of the provider and this name; a name with entries, none of which has begun, has no price;
    /// 2. else that of the longest known model of the provider of which this name is a release (a date, `latest`, `preview`, a
    ///    revision of three digits), so never that of a shorter name for a variant such as `-mini` or `-pro`;
    /// 3. else that of all models of the provider (`*`, in overrides only);
    /// 4. else, of a name `vendor/model`, the built-in one of that vendor, as OpenRouter passes it on. Overrides say what one
    ///    provider charges and do not count for another.
    pub fn find(&self, provider: &str, model: &str, at: Timestamp) -> Option<&Price> {
        if provider.len() > NAME_BYTES_MAX || model.len() > NAME_BYTES_MAX {
            return None;
        }
        let (provider, mut model, day) = (provider.to_ascii_lowercase(), model.to_ascii_lowercase(), Day::of(at));
        loop {
            if let Some(found) = self.of_provider(&provider, &model, day, None) {
                return found;
            }
            let (vendor, rest) = model.split_once('/')?;
            if vendor == provider || vendor == "models" {
                model = rest.to_owned();
                continue;
            }
            // Others write the dots that Anthropic's own names have not.
            let rest = if vendor == "anthropic" { rest.replace('.', "-") } else { rest.to_owned() };
            return self.of_provider(vendor, &rest, day, Some(Origin::BuiltIn)).flatten();
        }
    }

    /// The prices of a provider, or of all; and of a model, as a call of this moment would find it: for each provider in turn where
    /// none is named. InvalidInput with code `unknown_model_price` where the model has none.
    pub fn select(&self, provider: Option<&str>, model: Option<&str>, at: Timestamp) -> Result<Vec<&Price>> {
        let Some(model) = model else {
            return Ok(self
                .all()
                .filter(|p| provider.is_none_or(|name| p.provider.eq_ignore_ascii_case(name)))
                .collect());
        };
        if let Some(provider) = provider {
            return Ok(vec![self.find(provider, model, at).ok_or_else(|| unknown(provider, model))?]);
        }
        let mut providers: Vec<&str> = self.prices.keys().map(|(provider, _)| provider.as_str()).collect();
        providers.dedup();
        let mut found: Vec<&Price> = providers.iter().filter_map(|provider| self.find(provider, model, at)).collect();
        // `openai/gpt-4o` is found once by its own provider and once by each that may pass it on.
        found.dedup();
        if found.is_empty() { Err(unknown("any provider", model)) } else { Ok(found) }
    }

    fn add(&mut self, prices: Vec<Price>) {
        for price in prices {
            self.prices.entry((price.provider.clone(), price.model.clone())).or_default().push(price);
        }
        for prices in self.prices.values_mut() {
            prices.sort_by_key(|price| (price.from, price.origin));
        }
    }

    /// Steps 1 to 3 of `find`: `None` where no entry is meant, `Some(None)` where none has begun.
    fn of_provider(&self, provider: &str, model: &str, day: Day, only: Option<Origin>) -> Option<Option<&Price>> {
        let mut names = std::iter::once(model).chain(names::releases(model)).chain([EVERY_MODEL]);
        names.find_map(|name| self.in_force(provider, name, day, only))
    }

    /// The price of exactly this model.
    fn in_force(&self, provider: &str, model: &str, day: Day, only: Option<Origin>) -> Option<Option<&Price>> {
        let prices = self.prices.get(&(provider.to_owned(), model.to_owned()))?;
        let counts = |price: &&Price| only.is_none_or(|origin| price.origin == origin);
        let mut counted = prices.iter().filter(counts).peekable();
        counted.peek()?;
        let begun = counted.filter(|price| price.from <= day);
        Some(begun.max_by_key(|price| (price.origin, price.from)))
    }
}

fn unknown(provider: &str, model: &str) -> Error {
    let short = |name: &str| name.chars().take(NAME_BYTES_MAX).collect::<String>();
    let (provider, model) = (short(provider), short(model));
    Error::invalid(format!(
        "no price is known for the model {model} of {provider}; add one with prices= where the store is opened, or to the file that \
         RAE_PRICES_FILE names for a server: {{\"models\": [{{\"provider\": ..., \"model\": ..., \"input\": \"2.50\", \
         \"output\": \"10\"}}]}}, in US dollars for a million tokens; or state a ceiling with unknown_model=, for a server with \
         RAE_UNKNOWN_MODEL"
    ))
    .with_code("unknown_model_price")
}
