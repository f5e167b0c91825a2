//! A text without what does not change what it says: case, punctuation, white space.

use unicode_normalization::UnicodeNormalization;
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

/// Lower case, without invisible characters, with runs of white space and punctuation as one blank, none at the ends.
///
/// What looks like punctuation and is not stays: signs before a digit ("1.5", "-5", "10:30"), question marks (to ask is not to
/// say), and `# & @ % * / + =` ("C" is not "C#").
pub(super) fn fold(text: &str) -> String {
    let visible = text.chars().filter(|&c| c.is_ascii() || c.general_category() != GeneralCategory::Format);
    let low = visible.flat_map(char::to_lowercase).map(|c| if c == 'ς' { 'σ' } else { c });
    let mut chars = low.nfc().peekable();
    let (mut out, mut blank) = (String::with_capacity(text.len()), false);
    while let Some(c) = chars.next() {
        let kept = match kind(c) {
            Sort::Text => Some(c),
            Sort::Blank => None,
            Sort::Sign(plain) => chars.peek().is_some_and(|c| c.is_numeric()).then_some(plain),
        };
        let Some(kept) = kept else {
            blank = true;
            continue;
        };
        if blank && !out.is_empty() {
            out.push(' ');
        }
        blank = false;
        out.push(kept);
    }
    out
}

enum Sort {
    /// Part of what is said.
    Text,
    /// White space and punctuation.
    Blank,
    /// Punctuation, but a part of the number that follows.
    Sign(char),
}

fn kind(c: char) -> Sort {
    match c {
        '.' | ',' | ':' | '-' => return Sort::Sign(c),
        '?' | '#' | '&' | '@' | '%' | '*' | '/' | '\\' => return Sort::Text,
        _ if c.is_whitespace() || c.is_control() => return Sort::Blank,
        _ if c.is_ascii_punctuation() && !matches!(c, '$' | '+' | '<' | '=' | '>' | '^' | '|' | '~') => {
            return Sort::Blank;
        }
        _ if c.is_ascii() => return Sort::Text,
        _ => {}
    }
    match c.general_category() {
        GeneralCategory::DashPunctuation => Sort::Sign('-'),
        GeneralCategory::ConnectorPunctuation
        | GeneralCategory::OpenPunctuation
        | GeneralCategory::ClosePunctuation
        | GeneralCategory::InitialPunctuation
        | GeneralCategory::FinalPunctuation => Sort::Blank,
        GeneralCategory::OtherPunctuation if !matches!(c, '؟' | '？' | '⁇' | '‽' | '‰' | '‱' | '§') => {
            Sort::Blank
        }
        _ => Sort::Text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn case_punctuation_and_white_space_do_not_count() {
        for (a, b) in [
            ("Ada lives in Porto.", "ada  lives in PORTO"),
            ("“The café’s door—code”", "the café's door code!"),
            ("Well-known; (really)", "well known really..."),
            ("日本語、です。", "日本語 です"),
            ("ΟΔΟΣ", "οδος"),
            ("so\u{AD}ft", "soft"),
            ("10–12", "10-12"),
        ] {
            assert_eq!(fold(a), fold(b), "{a} / {b}");
        }
        assert_eq!(fold(" …!- "), "");
    }

    #[test]
    fn what_changes_the_meaning_stays() {
        for (a, b) in [
            ("It is 1.5 m", "It is 15 m"),
            ("It is 1.5 m", "It is 1 5 m"),
            ("minus -5", "minus 5"),
            ("at 10:30", "at 10 30"),
            ("I know C#.", "I know C."),
            ("I know C++.", "I know C."),
            ("Is it ready?", "Is it ready."),
            ("a < b", "a > b"),
            ("costs €5", "costs $5"),
            ("👍", "👎"),
            ("resume", "résumé"),
        ] {
            assert_ne!(fold(a), fold(b), "{a} / {b}");
        }
    }

    proptest! {
        #[test]
        fn folding_twice_changes_nothing(text in "\\PC{0,40}|[a-zA-Z0-9 .,:'?\u{300}\u{200d}ΣςİK-]{0,40}") {
            let once = fold(&text);
            prop_assert_eq!(fold(&once), once.clone());
            prop_assert!(!once.starts_with(' ') && !once.ends_with(' ') && !once.contains("  "));
        }

        #[test]
        fn any_case_spacing_and_punctuation_of_the_same_words_are_one(
            words in prop::collection::vec("[a-z]{1,8}", 1..8),
            between in prop::collection::vec("[ \t\n]{1,3}|, |; | \\(|\\) | - |\u{201d} ", 8),
            upper in any::<u8>(),
        ) {
            let mut spoken = String::new();
            for (i, word) in words.iter().enumerate() {
                spoken.push_str(&if upper >> i & 1 == 1 { word.to_uppercase() } else { word.clone() });
                spoken.push_str(&between[i]);
            }
            prop_assert_eq!(fold(&spoken), words.join(" "));
        }
    }
}
