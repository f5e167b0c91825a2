//! What a character beyond ASCII is to the index, and how its letters are folded.

use unicode_normalization::UnicodeNormalization;
use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory};

/// What a character does to the token it meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// A letter or digit: part of a word.
    Word,
    /// Belongs to the character before it.
    Mark,
    /// A letter of a script that is written without spaces between words.
    Spaceless,
    /// An emoji or another sign that is a term of its own.
    Symbol,
    /// Invisible: neither part of a word nor its end.
    Ignored,
    /// Ends the word.
    Break,
}

/// Zero width space: the one format character that does end a word.
const ZERO_WIDTH_SPACE: char = '\u{200B}';

pub(super) fn class(c: char) -> Class {
    if c.is_ascii() {
        return if c.is_ascii_alphanumeric() { Class::Word } else { Class::Break };
    }
    // Half-width voicing marks of katakana are called letters, but compose with the letter before them.
    if matches!(c, '\u{FF9E}' | '\u{FF9F}') {
        return Class::Mark;
    }
    match c.general_category_group() {
        GeneralCategoryGroup::Letter if is_spaceless(c) => Class::Spaceless,
        GeneralCategoryGroup::Number if is_spaceless(c) && c.general_category() == GeneralCategory::LetterNumber => {
            Class::Spaceless
        }
        GeneralCategoryGroup::Letter | GeneralCategoryGroup::Number => Class::Word,
        GeneralCategoryGroup::Mark => Class::Mark,
        _ => match c.general_category() {
            // The degree, copyright and trade signs of Latin-1 hang on words and say little.
            GeneralCategory::OtherSymbol if c > '\u{FF}' => Class::Symbol,
            GeneralCategory::Format if c != ZERO_WIDTH_SPACE => Class::Ignored,
            _ => Class::Break,
        },
    }
}

/// Thai, Lao, Myanmar, Khmer, Han, Hiragana, Katakana and Bopomofo, with their extensions.
fn is_spaceless(c: char) -> bool {
    matches!(u32::from(c),
        0x0E00..=0x0EFF | 0x1000..=0x109F | 0x1780..=0x17FF | 0x2E80..=0x2FDF | 0x3005..=0x3007 | 0x3021..=0x3029
        | 0x3031..=0x3035 | 0x3038..=0x303C | 0x3041..=0x312F | 0x31A0..=0x31BF | 0x31F0..=0x31FF | 0x3400..=0x4DBF
        | 0x4E00..=0x9FFF | 0xA9E0..=0xA9FF | 0xAA60..=0xAA7F | 0xF900..=0xFAFF | 0xFF66..=0xFF9D | 0x1AFF0..=0x1B16F
        | 0x20000..=0x3FFFF)
}

/// Whether accents on this base letter go: Latin, Greek and Cyrillic, where people leave them out when they type. In other scripts
/// a mark is often a vowel, and the word is another one without it.
fn loses_marks(base: char) -> bool {
    matches!(u32::from(base), 0..=0x052F | 0x1C80..=0x1C8F | 0x1D00..=0x1FFF | 0x2C60..=0x2C7F | 0xA640..=0xA69F | 0xA720..=0xA7FF)
}

/// Letters that do not decompose but are typed without their stroke or as two letters.
fn plain(c: char) -> Option<&'static str> {
    Some(match c {
        'ß' => "ss",
        'æ' => "ae",
        'œ' => "oe",
        'ø' => "o",
        'đ' | 'ð' => "d",
        'þ' => "th",
        'ł' => "l",
        'ı' => "i",
        'ħ' => "h",
        'ŧ' => "t",
        'ς' => "σ",
        _ => return None,
    })
}

/// What [`fold_into`] met inside one character.
pub(super) enum Piece<'a> {
    /// More of the word.
    Text(&'a str),
    /// The decomposition holds a sign that ends a word, like the stroke of a fraction.
    Break,
}

/// Gives the folded parts of a word character or mark: compatibility decomposition, lower case, without the accents of Latin, Greek
/// and Cyrillic letters. `base` is the last base character of the word and is kept up to date.
pub(super) fn fold_into(c: char, base: &mut char, put: &mut dyn FnMut(Piece<'_>)) {
    let mut utf8 = [0u8; 4];
    for part in std::iter::once(c).nfkd() {
        match class(part) {
            Class::Mark => {
                if !loses_marks(*base) {
                    put(Piece::Text(part.encode_utf8(&mut utf8)));
                }
            }
            Class::Word | Class::Spaceless => {
                *base = part;
                for low in part.to_lowercase() {
                    match plain(low) {
                        Some(text) => put(Piece::Text(text)),
                        None => put(Piece::Text(low.encode_utf8(&mut utf8))),
                    }
                }
            }
            Class::Ignored => {}
            Class::Symbol | Class::Break => put(Piece::Break),
        }
    }
}

/// The composed form, which makes Hangul syllables and voiced kana one character again.
pub(super) fn compose(text: &str) -> String {
    text.nfc().collect()
}
