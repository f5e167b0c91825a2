//! `WordPiece` tokens of an uncased BERT model, in pure Rust.
//!
//! Gives the ids that Hugging Face `tokenizers` gives for the model's `tokenizer.json` without
//! special tokens. The static table was fitted on those ids, so another id means another vector.
//! `tests/golden/wordpiece.json` holds ids made by that library.
//!
//! The order of the steps is the library's: literal special tokens are taken out of the raw text,
//! then control characters go, whitespace becomes a space, CJK ideographs become words of their
//! own, accents go (NFD without `Mn`), letters are lowered; words end at whitespace and
//! punctuation; each word is cut greedily into the longest known pieces.
//!
//! One difference is left, and wanted: the library's character tables are those of Unicode 8, ours
//! are current. It shows in some 700 rare code points assigned or reclassified since, all of them
//! marks and punctuation of scripts whose words the vocabulary does not know anyway.
//!
//! ASCII takes a path of its own, one table look-up per byte: nearly all bytes of nearly all texts.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use rustc_hash::FxBuildHasher;
use unicode_normalization::UnicodeNormalization;
use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory};

/// A longer word is unknown as a whole, counted in characters after normalisation.
const WORD_CHARS_MAX: usize = 100;
/// Bytes of the longest word that can still be known; more characters than that do not fit.
const WORD_BYTES_MAX: usize = 4 * WORD_CHARS_MAX;
/// Marks a piece that continues a word.
const CONTINUATION: &str = "##";
const UNKNOWN: &str = "[UNK]";
/// Literal text that the model's tokenizer turns into its special token wherever it occurs.
const SPECIALS: [&str; 5] = ["[PAD]", UNKNOWN, "[CLS]", "[SEP]", "[MASK]"];

/// Pieces by their bytes: borrowed from the built-in vocabulary, owned when read from a file. A slice
/// that ends inside a character is not UTF-8, so it equals no piece, and the search need not look for
/// character boundaries.
type Pieces = HashMap<Cow<'static, [u8]>, u32, FxBuildHasher>;

/// A `WordPiece` vocabulary with the text rules of uncased BERT models. The default knows no word.
#[derive(Default)]
pub struct WordPiece {
    /// Pieces that start a word.
    starts: Pieces,
    /// Pieces that continue a word, without their `##`.
    tails: Pieces,
    start_bytes_max: usize,
    tail_bytes_max: usize,
    unknown: u32,
    specials: Vec<(&'static str, u32)>,
}

impl fmt::Debug for WordPiece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WordPiece")
            .field("starts", &self.starts.len())
            .field("tails", &self.tails.len())
            .finish_non_exhaustive()
    }
}

impl WordPiece {
    /// Reads a vocabulary of one token a line; the line number, from 0, is the id.
    ///
    /// Keeps references into `vocabulary`.
    ///
    /// # Errors
    /// When `[UNK]` is missing: there would be no id for an unknown word.
    #[cfg(any(test, feature = "static-table"))]
    pub fn from_vocabulary(vocabulary: &'static str) -> Result<Self, String> {
        Self::from_tokens(vocabulary.split('\n').map(Cow::Borrowed))
    }

    /// Takes the tokens in the order of their ids, from 0.
    ///
    /// # Errors
    /// When `[UNK]` is missing, or there are more tokens than ids.
    pub fn from_tokens(tokens: impl Iterator<Item = Cow<'static, str>>) -> Result<Self, String> {
        let (mut starts, mut tails) = (Pieces::default(), Pieces::default());
        let mut specials = Vec::with_capacity(SPECIALS.len());
        let mut unknown = None;
        for (line, token) in tokens.enumerate() {
            let id = u32::try_from(line).map_err(|_| "vocabulary has too many lines".to_owned())?;
            if let Some(special) = SPECIALS.into_iter().find(|s| *s == token) {
                specials.push((special, id));
                if special == UNKNOWN {
                    unknown = Some(id);
                }
            }
            let is_tail = token.len() > CONTINUATION.len() && token.starts_with(CONTINUATION);
            let from = if is_tail { CONTINUATION.len() } else { 0 };
            let piece = match token {
                Cow::Borrowed(token) => Cow::Borrowed(&token.as_bytes()[from..]),
                Cow::Owned(token) => Cow::Owned(token.as_bytes()[from..].to_vec()),
            };
            if is_tail { &mut tails } else { &mut starts }.insert(piece, id);
        }
        let longest = |pieces: &Pieces| pieces.keys().map(|p| p.len()).max().unwrap_or(0);
        Ok(Self {
            start_bytes_max: longest(&starts),
            tail_bytes_max: longest(&tails),
            unknown: unknown.ok_or_else(|| format!("vocabulary has no {UNKNOWN}"))?,
            starts,
            tails,
            specials,
        })
    }

    /// The id of a special token such as `[CLS]`, where the vocabulary has it.
    #[cfg(feature = "local")]
    #[must_use]
    pub fn special(&self, token: &str) -> Option<u32> {
        self.specials.iter().find(|(t, _)| *t == token).map(|(_, id)| *id)
    }

    /// The id that stands for a word without known pieces.
    #[must_use]
    #[cfg(any(test, feature = "local"))]
    pub fn unknown(&self) -> u32 {
        self.unknown
    }

    /// Replaces the content of `out` by the first `max_tokens` ids of `text`.
    ///
    /// Stops reading where the last id is complete, so a long text costs no more than its start.
    /// Memory is bounded by `max_tokens` whatever the text.
    pub fn encode_into(&self, text: &str, max_tokens: usize, out: &mut Vec<u32>) {
        out.clear();
        let mut sink = Sink::new(self, max_tokens, out);
        let bytes = text.as_bytes();
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            if sink.full() {
                return;
            }
            match class(byte) {
                Class::Letter(lower) => {
                    sink.push_byte(lower);
                    at += 1;
                }
                Class::Space => {
                    sink.end_word();
                    at += 1;
                }
                Class::Punctuation => {
                    sink.end_word();
                    at += self.bracketed(byte, &text[at..], &mut sink);
                }
                Class::Dropped => at += 1,
                Class::Wide => at += push_wide(&text[at..], &mut sink),
            }
        }
        sink.end_word();
    }

    /// Emits the special token that `rest` starts with, or else its first byte, a punctuation
    /// mark; returns how many bytes that took.
    fn bracketed(&self, first: u8, rest: &str, sink: &mut Sink<'_>) -> usize {
        if first == b'['
            && let Some((token, id)) = self.specials.iter().find(|(t, _)| rest.starts_with(t))
        {
            sink.emit(*id);
            return token.len();
        }
        sink.push_byte(first);
        sink.end_word();
        1
    }
}

/// What an ASCII byte does; everything else is `Wide`.
#[derive(Clone, Copy)]
enum Class {
    /// Part of a word, given in lower case.
    Letter(u8),
    /// Ends the word.
    Space,
    /// Ends the word and is a word itself.
    Punctuation,
    /// A control character: as if it were not there, even inside a word.
    Dropped,
    /// First or later byte of a character beyond ASCII.
    Wide,
}

#[inline]
fn class(byte: u8) -> Class {
    CLASSES[usize::from(byte)]
}

static CLASSES: [Class; 256] = {
    let mut classes = [Class::Wide; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        classes[byte as usize] = match byte {
            b'\t' | b'\n' | b'\r' | b' ' => Class::Space,
            _ if byte.is_ascii_control() => Class::Dropped,
            _ if byte.is_ascii_punctuation() => Class::Punctuation,
            _ => Class::Letter(byte.to_ascii_lowercase()),
        };
        byte += 1;
    }
    classes
};

/// Normalises the run beyond ASCII that `rest` starts with and pushes its characters; returns the
/// bytes of the run. Lazy, so that a full sink ends the reading.
fn push_wide(rest: &str, sink: &mut Sink<'_>) -> usize {
    let mut run_bytes = 0;
    // `Mn` goes before NFD as well as after: no result changes (a mark decomposes into marks), and
    // a megabyte of combining marks is never collected for reordering.
    let cleaned = rest
        .chars()
        .take_while(|&c| extends_run(c))
        .inspect(|c| run_bytes += c.len_utf8())
        .filter(|&c| !is_control(c) && !is_accent(c))
        .flat_map(|c| {
            let own_word = is_ideograph(c).then_some(' ');
            own_word.into_iter().chain(Some(c)).chain(own_word)
        });
    let normal = cleaned.nfd().filter(|&c| !is_accent(c));
    for c in normal.flat_map(char::to_lowercase) {
        if c.is_whitespace() {
            sink.end_word();
        } else if is_punctuation(c) {
            sink.end_word();
            sink.push_char(c);
            sink.end_word();
        } else {
            sink.push_char(c);
        }
        if sink.full() {
            break;
        }
    }
    run_bytes
}

/// Dropped ASCII does not end a run: accents combine across it.
fn extends_run(c: char) -> bool {
    match u8::try_from(c) {
        Ok(byte) => matches!(class(byte), Class::Wide | Class::Dropped),
        Err(_) => true,
    }
}

/// Characters the tokenizer removes. U+0085 is one, although it is whitespace; unassigned code
/// points are not.
fn is_control(c: char) -> bool {
    use GeneralCategory::{Control, Format, PrivateUse};
    c == char::REPLACEMENT_CHARACTER || matches!(c.general_category(), Control | Format | PrivateUse)
}

fn is_accent(c: char) -> bool {
    c.general_category() == GeneralCategory::NonspacingMark
}

fn is_punctuation(c: char) -> bool {
    c.is_ascii_punctuation() || c.general_category_group() == GeneralCategoryGroup::Punctuation
}

/// The blocks that the tokenizer splits by character. U+2B920 should be U+2B820; the slip is
/// the library's, and ids have to equal the library's.
fn is_ideograph(c: char) -> bool {
    matches!(
        u32::from(c),
        0x4E00..=0x9FFF
            | 0x3400..=0x4DBF
            | 0x20000..=0x2A6DF
            | 0x2A700..=0x2B73F
            | 0x2B740..=0x2B81F
            | 0x2B920..=0x2CEAF
            | 0xF900..=0xFAFF
            | 0x2F800..=0x2FA1F
    )
}

/// Collects the word being read and cuts it into ids when it ends.
struct Sink<'a> {
    vocabulary: &'a WordPiece,
    ids_max: usize,
    out: &'a mut Vec<u32>,
    word: [u8; WORD_BYTES_MAX],
    bytes: usize,
    /// Characters of the word; past `WORD_CHARS_MAX` they are counted but no longer kept.
    chars: usize,
}

impl<'a> Sink<'a> {
    fn new(vocabulary: &'a WordPiece, ids_max: usize, out: &'a mut Vec<u32>) -> Self {
        Self { vocabulary, ids_max, out, word: [0; WORD_BYTES_MAX], bytes: 0, chars: 0 }
    }

    #[inline]
    fn full(&self) -> bool {
        self.out.len() >= self.ids_max
    }

    #[inline]
    fn emit(&mut self, id: u32) {
        if !self.full() {
            self.out.push(id);
        }
    }

    #[inline]
    fn push_byte(&mut self, byte: u8) {
        if self.chars < WORD_CHARS_MAX
            && let Some(slot) = self.word.get_mut(self.bytes)
        {
            *slot = byte;
            self.bytes += 1;
        }
        self.chars += 1;
    }

    fn push_char(&mut self, c: char) {
        if self.chars < WORD_CHARS_MAX
            && let Some(room) = self.word.get_mut(self.bytes..self.bytes + c.len_utf8())
        {
            self.bytes += c.encode_utf8(room).len();
        }
        self.chars += 1;
    }

    /// Emits the ids of the word read so far, if there is one, and starts the next.
    #[inline]
    fn end_word(&mut self) {
        if self.chars == 0 {
            return;
        }
        if self.chars > WORD_CHARS_MAX {
            self.emit(self.vocabulary.unknown);
        } else {
            self.emit_pieces();
        }
        (self.bytes, self.chars) = (0, 0);
    }

    /// Longest known piece first, again and again; a rest without a piece makes the whole word
    /// unknown.
    fn emit_pieces(&mut self) {
        let vocabulary = self.vocabulary;
        let before = self.out.len();
        let mut rest = self.word.get(..self.bytes).unwrap_or_default();
        let (mut pieces, mut bytes_max) = (&vocabulary.starts, vocabulary.start_bytes_max);
        while !rest.is_empty() {
            let longest = rest.len().min(bytes_max);
            let found = (1..=longest).rev().find_map(|n| pieces.get(&rest[..n]).map(|&id| (n, id)));
            let Some((n, id)) = found else {
                self.out.truncate(before);
                self.emit(vocabulary.unknown);
                return;
            };
            // Past the limit too: whether the word is known shows at its end.
            self.out.push(id);
            rest = &rest[n..];
            (pieces, bytes_max) = (&vocabulary.tails, vocabulary.tail_bytes_max);
        }
        self.out.truncate(self.ids_max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vocabulary of the built-in table, so that the golden ids are the model's own.
    fn model() -> WordPiece {
        static ASSET: &[u8] = include_bytes!("../../assets/minilm-static.bin");
        let first = b"[PAD]\n[unused0]\n";
        let start = ASSET.windows(first.len()).rposition(|w| w == first).unwrap();
        WordPiece::from_vocabulary(std::str::from_utf8(&ASSET[start..]).unwrap()).unwrap()
    }

    fn toy() -> WordPiece {
        WordPiece::from_vocabulary("[PAD]\n[UNK]\nwalk\n##ing\n##s\na\n.\nwal\n[CLS]\n漢\ne").unwrap()
    }

    fn ids(words: &WordPiece, text: &str, max: usize) -> Vec<u32> {
        let mut out = vec![7; 3]; // must be replaced, not extended
        words.encode_into(text, max, &mut out);
        out
    }

    #[test]
    fn ids_equal_those_of_the_reference_library() {
        let golden = include_str!("../../tests/golden/wordpiece.json");
        let golden: Vec<serde_json::Value> = serde_json::from_str(golden).unwrap();
        assert!(golden.len() > 120);
        let words = model();
        for case in &golden {
            let text = case["text"].as_str().unwrap();
            let expected: Vec<u32> = serde_json::from_value(case["ids"].clone()).unwrap();
            assert_eq!(ids(&words, text, usize::MAX), expected, "{text:?}");
        }
    }

    #[test]
    fn cutting_gives_a_prefix_of_the_full_list() {
        let words = model();
        for text in ["antidisestablishmentarianism, qzxjkv", "漢字 [CLS] naïve.", "Straße"] {
            let all = ids(&words, text, usize::MAX);
            for max in 0..=all.len() {
                assert_eq!(ids(&words, text, max), all[..max], "{text:?} cut at {max}");
            }
        }
    }

    #[test]
    fn texts_without_words_give_no_ids() {
        for text in ["", " \t\r\n", "\0", "\u{301}", "\u{200d}\u{feff}", "\u{3000}\u{2028}"] {
            assert_eq!(ids(&toy(), text, 9), [0_u32; 0], "{text:?}");
        }
    }

    #[test]
    fn longest_piece_wins_and_an_unknown_rest_spoils_the_word() {
        assert_eq!(ids(&toy(), "walkings", 9), [2, 3, 4]);
        assert_eq!(ids(&toy(), "walkingx a", 9), [1, 5]);
    }

    #[test]
    fn control_characters_vanish_inside_words() {
        assert_eq!(ids(&toy(), "wa\0lk\u{ad}\u{7f}s", 9), [2, 4]);
    }

    #[test]
    fn case_and_accents_do_not_matter() {
        assert_eq!(ids(&toy(), "WÁLK e\u{301} É E\0\u{301}", 9), [2, 10, 10, 10]);
    }

    #[test]
    fn ideographs_and_punctuation_are_words_of_their_own() {
        assert_eq!(ids(&toy(), "a漢a.a", 9), [5, 9, 5, 6, 5]);
    }

    #[test]
    fn literal_special_tokens_keep_their_ids() {
        assert_eq!(ids(&toy(), "a[CLS]a [UNK] [cls]", 9), [5, 8, 5, 1, 1, 1, 1]);
    }

    #[test]
    fn words_past_a_hundred_characters_are_unknown() {
        let words = model();
        let hundred = ids(&words, &"a".repeat(100), usize::MAX);
        assert!(hundred.len() > 1);
        assert_eq!(ids(&words, &"a".repeat(101), usize::MAX), [words.unknown()]);
        assert_eq!(ids(&words, &"é".repeat(101), usize::MAX), [words.unknown()]);
        assert_eq!(ids(&words, &format!("{} a", "b".repeat(1 << 20)), 9).len(), 2);
    }

    #[test]
    fn a_megabyte_costs_no_more_memory_than_the_ids_asked_for() {
        let words = model();
        for unit in ["a ", "漢", "e\u{301} ", "\u{301}", "\u{1f600} ", "[UNK]", "\0", "."] {
            let mut out = Vec::new();
            words.encode_into(&unit.repeat((1 << 20) / unit.len()), 254, &mut out);
            assert!(out.len() <= 254 && out.capacity() < 1024, "{unit:?}");
        }
    }

    #[test]
    fn a_vocabulary_needs_an_unknown_token() {
        assert!(WordPiece::from_vocabulary("a\nb").is_err());
    }
}
