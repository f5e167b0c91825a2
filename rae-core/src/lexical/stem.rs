//! Stop words and English stems.

use rust_stemmers::{Algorithm, Stemmer};
use rustc_hash::FxHashSet;
use std::{borrow::Cow, sync::LazyLock};

/// Words that say nothing about a text; they are neither indexed nor looked up. Question words are among them on purpose: the
/// queries of this engine are questions.
const STOP_WORDS: [&str; 105] = [
    "a", "about", "again", "all", "am", "an", "and", "any", "are", "as", "at", "be", "been", "being", "both", "but",
    "by", "can", "could", "d", "did", "do", "does", "doing", "each", "few", "for", "from", "had", "has", "have", "he",
    "her", "here", "him", "his", "how", "i", "if", "in", "into", "is", "it", "its", "just", "ll", "m", "may", "me",
    "might", "more", "most", "must", "my", "no", "not", "of", "on", "once", "or", "other", "our", "out", "over", "own",
    "re", "s", "same", "she", "should", "so", "some", "such", "t", "than", "that", "the", "their", "them", "then",
    "there", "these", "they", "this", "to", "too", "under", "up", "ve", "very", "was", "we", "were", "what", "when",
    "where", "which", "who", "whom", "why", "will", "with", "would", "you", "your",
];
/// Bytes of the longest stop word.
const STOP_BYTES_MAX: usize = 6;

static STOP: LazyLock<FxHashSet<&'static str>> = LazyLock::new(|| STOP_WORDS.into_iter().collect());

/// Whether a lower-case word is a stop word.
pub(super) fn is_stop(word: &str) -> bool {
    word.len() <= STOP_BYTES_MAX && STOP.contains(word)
}

/// Stems English words. Cheap to make.
pub(super) struct English(Stemmer);

impl English {
    pub(super) fn new() -> Self {
        Self(Stemmer::create(Algorithm::English))
    }

    /// Snowball English stem of a lower-case ASCII word.
    ///
    /// The crate has the algorithm as it was before Snowball 3. What that version mended is mended here: `-ologist` loses its
    /// ending, and [`mended`] names the words whose old stem made unrelated words one (evening = even, paste = past).
    pub(super) fn stem<'w>(&self, word: &'w str) -> Cow<'w, str> {
        if word.len() <= 2 {
            return Cow::Borrowed(word);
        }
        if let Some(stem) = mended(word) {
            return Cow::Borrowed(stem);
        }
        let mut stem = self.0.stem(word);
        if stem.ends_with("ologist") {
            let short = stem.len() - "ist".len();
            match &mut stem {
                Cow::Borrowed(text) => *text = &text[..short],
                Cow::Owned(text) => text.truncate(short),
            }
        }
        stem
    }
}

fn mended(word: &str) -> Option<&'static str> {
    Some(match word {
        "added" | "adding" => "add",
        "ebbed" | "ebbing" => "ebb",
        "egged" | "egging" => "egg",
        "emergence" | "emergencies" | "emergency" => "emergenc",
        "emergent" => "emergent",
        "erred" | "erring" => "err",
        "evening" | "evenings" => "evening",
        "intercity" => "interciti",
        "interfering" => "interfer",
        "interment" => "interment",
        "internal" | "internally" | "internals" => "internal",
        "international" | "internationally" | "internationals" => "internat",
        "internment" => "internment",
        "interval" | "intervals" => "interval",
        "lateral" | "laterality" | "lateralization" | "laterally" | "laterals" => "lateral",
        "organic" | "organically" | "organics" => "organic",
        "organism" | "organisms" => "organism",
        "organization" | "organizations" | "organize" | "organized" | "organizer" | "organizers" | "organizes"
        | "organizing" => "organiz",
        "paste" | "pasted" | "pastes" | "pasting" => "paste",
        "universal" | "universality" | "universally" | "universals" => "universal",
        "universities" | "university" => "universiti",
        "vying" => "vie",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stop_words_fit_the_length_that_is_looked_at_and_have_no_doubles() {
        assert!(STOP_WORDS.iter().all(|w| w.len() <= STOP_BYTES_MAX && is_stop(w)));
        assert_eq!(STOP.len(), STOP_WORDS.len());
        assert!(!is_stop("memory") && !is_stop(""));
    }

    #[test]
    fn unrelated_words_do_not_share_a_stem() {
        let english = English::new();
        for (a, b) in [("evening", "even"), ("paste", "past"), ("university", "universe"), ("organic", "organs")] {
            assert_ne!(english.stem(a), english.stem(b));
        }
        assert_eq!(english.stem("psychologists"), english.stem("psychology").trim_end_matches('i'));
        assert_eq!(english.stem("biologists"), "biolog");
        assert_eq!(english.stem("fruitlessly"), "fruitless");
    }
}
