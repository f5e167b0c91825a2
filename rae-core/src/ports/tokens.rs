//! Counting tokens as a model would.

use crate::error::Result;
use std::fmt::Debug;

/// A tokenizer. Loading may take a while: the first call pays.
pub trait TokenCounter: Debug + Send + Sync + 'static {
    /// Name of the encoding, for example `o200k_base`.
    fn id(&self) -> &str;

    /// Tokens of `text`.
    fn count(&self, text: &str) -> Result<usize>;

    /// The longest prefix of `text` of at most `tokens_max` tokens that ends on a character.
    fn truncate<'a>(&self, text: &'a str, tokens_max: usize) -> Result<&'a str>;
}
