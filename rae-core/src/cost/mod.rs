//! What calls of models cost.

mod prices;

pub use prices::{Day, LongPrompt, Origin, Price, PriceBook, Rates, Tokens, UnknownModel};
