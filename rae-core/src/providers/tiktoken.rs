//! Token counts by tiktoken's `o200k_base`, the encoding of OpenAI's models since GPT-4o. Other providers' tokenizers differ by
//! some per cent; a budget for them wants a margin.

use crate::{
    error::{Error, Result},
    ports::TokenCounter,
};
use std::sync::OnceLock;
use tiktoken_rs::CoreBPE;

/// Pieces of at most this many bytes are encoded at once: the encoder's time grows faster than the length of a run without
/// blanks.
const CHUNK_BYTES: usize = 16 << 10;

/// tiktoken. The tables load on the first call (some tenths of a second) and stay for the process.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tiktoken;

impl Tiktoken {
    fn bpe() -> Result<&'static CoreBPE> {
        static BPE: OnceLock<std::result::Result<CoreBPE, String>> = OnceLock::new();
        BPE.get_or_init(|| tiktoken_rs::o200k_base().map_err(|e| e.to_string()))
            .as_ref()
            .map_err(|e| Error::internal(format!("the token tables cannot be read: {e}")))
    }
}

/// The text in chunks that end behind a blank where there is one, else on a character.
fn chunks(mut text: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        if text.is_empty() {
            return None;
        }
        let mut cut = text.len().min(CHUNK_BYTES);
        while !text.is_char_boundary(cut) {
            cut -= 1;
        }
        if cut < text.len() {
            cut = text[..cut].rfind(' ').filter(|&at| at > 0).unwrap_or(cut);
        }
        let (chunk, rest) = text.split_at(cut);
        text = rest;
        Some(chunk)
    })
}

impl TokenCounter for Tiktoken {
    fn id(&self) -> &str {
        "o200k_base"
    }

    fn count(&self, text: &str) -> Result<usize> {
        let bpe = Self::bpe()?;
        Ok(chunks(text).map(|chunk| bpe.encode_ordinary(chunk).len()).sum())
    }

    fn truncate<'a>(&self, text: &'a str, tokens_max: usize) -> Result<&'a str> {
        let bpe = Self::bpe()?;
        let (mut left, mut end) = (tokens_max, 0);
        for chunk in chunks(text) {
            let tokens = bpe.encode_ordinary(chunk);
            if tokens.len() <= left {
                left -= tokens.len();
                end += chunk.len();
                continue;
            }
            let bytes = bpe.decode_bytes(tokens.get(..left).unwrap_or_default());
            let bytes = bytes.map_err(|e| Error::internal(format!("tokens cannot be decoded: {e}")))?;
            end += bytes.len().min(chunk.len());
            break;
        }
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        Ok(&text[..end])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_truncated_text_is_a_prefix_of_at_most_that_many_tokens() {
        let text = "Long ago, in a café by the sea — 東京の猫 🐈‍⬛ — nobody counted tokens. ".repeat(700);
        for n in [0, 1, 2, 7, 100, 5_000, 1_000_000] {
            let cut = Tiktoken.truncate(&text, n).unwrap();
            assert!(text.starts_with(cut));
            assert!(Tiktoken.count(cut).unwrap() <= n, "{n}");
        }
        assert_eq!(Tiktoken.truncate(&text, 1_000_000).unwrap(), text);
    }

    #[test]
    fn a_long_run_without_blanks_is_counted_in_bounded_time() {
        assert!(Tiktoken.count(&"a".repeat(1 << 20)).unwrap() > 1_000);
    }
}
