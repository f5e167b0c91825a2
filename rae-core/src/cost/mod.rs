//! What calls of models cost.

mod estimate;

pub use estimate::{estimate_usage, input_tokens_at_most};
