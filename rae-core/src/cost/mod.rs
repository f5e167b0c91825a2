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
// For the cache of responses, which is the gateway's.
#[allow(unused_imports)]
pub(crate) use meter::book;
pub(crate) use meter::{Claim, Ticket, settle_strays, tell_ran_out};
