//! What model calls cost: prices, estimates, and the money that is held and booked.

mod desk;
mod embed;
mod estimate;
mod meter;
mod prices;

pub use desk::CostOptions;
pub use estimate::{estimate_usage, input_tokens_at_most};
pub use prices::{Day, LongPrompt, Origin, Price, PriceBook, Rates, Tokens, UnknownModel};

pub(crate) use desk::Desk;
pub(crate) use embed::{Embedded, check_embedder, embed};
pub(crate) use meter::{Claim, Ticket, book, settle_strays};
