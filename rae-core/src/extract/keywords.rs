//! Keywords by RAKE: Rose, Engel, Cramer, Cowley, "Automatic Keyword Extraction from Individual Documents" (2010).

use crate::{lexical::analyse, limits::KEYWORD_WORDS_MAX};
use std::collections::{BTreeMap, HashMap};

/// A phrase that a text speaks of.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Keyword {
    /// The phrase as it is written where it first stands.
    pub keyword: String,
    /// From 0 to 1; the best phrase of a text has 1.
    pub score: f64,
}

/// The best `limit` phrases of `text`, best first; of equal ones the earlier first.
///
/// A phrase is a run of words without a stop word, a sign or a line's end between them, at most [`KEYWORD_WORDS_MAX`] words; a longer
/// run is cut. Words are those of the search index: lower-cased, folded, and stemmed where they are English. A pair of characters
/// of a script without spaces is a phrase. Numbers and single letters alone are none. A word's weight is its degree (how many words
/// stand in its phrases, itself included) by its frequency; a phrase's weight is the sum of its words' weights, times 1 + ln n where
/// it stands n times. The last factor is not in the paper: without it one long phrase beats what a text repeats.
pub fn keywords(text: &str, limit: usize) -> Vec<Keyword> {
    let phrases = phrases(text);
    let mut words: HashMap<&str, (f64, f64)> = HashMap::new();
    for phrase in &phrases {
        for stem in &phrase.stems {
            let (degree, count) = words.entry(stem).or_default();
            *degree += phrase.stems.len() as f64;
            *count += 1.0;
        }
    }
    // By stems, so that "ferry" and "ferries" are one; where each first stands keeps the order of equals.
    let mut found: BTreeMap<&[String], (f64, usize)> = BTreeMap::new();
    for (place, phrase) in phrases.iter().enumerate().filter(|(_, p)| p.says_something()) {
        found.entry(&phrase.stems).or_insert((0.0, place)).0 += 1.0;
    }
    let weigh = |stems: &[String]| -> f64 {
        stems.iter().filter_map(|stem| words.get(stem.as_str())).map(|(degree, count)| degree / count).sum()
    };
    let mut scored: Vec<(f64, usize)> =
        found.into_iter().map(|(stems, (count, place))| (weigh(stems) * (1.0 + count.ln()), place)).collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let best = scored.first().map_or(1.0, |(score, _)| *score);
    let keyword = |(score, place): (f64, usize)| {
        let written = text.get(phrases.get(place)?.span.clone())?;
        Some(Keyword { keyword: written.to_owned(), score: score / best })
    };
    scored.into_iter().take(limit).filter_map(keyword).collect()
}

struct Phrase {
    stems: Vec<String>,
    span: std::ops::Range<usize>,
}

impl Phrase {
    fn says_something(&self) -> bool {
        self.stems.iter().any(|s| s.chars().nth(1).is_some() && s.chars().any(|c| !c.is_ascii_digit()))
            || self.stems.iter().any(|s| !s.is_ascii())
    }
}

fn phrases(text: &str) -> Vec<Phrase> {
    let mut out: Vec<Phrase> = Vec::new();
    analyse(text, &mut |stem, start, end| {
        // A word in the gap is a stop word. Spans of pairs without spaces overlap: then there is no gap.
        let joins = |last: &Phrase| {
            last.stems.len() < KEYWORD_WORDS_MAX
                && text.get(last.span.end..start).is_some_and(|gap| {
                    !gap.is_empty() && gap.chars().all(|c| matches!(c, ' ' | '\u{a0}' | '-' | '\'' | '’'))
                })
        };
        match out.last_mut() {
            Some(last) if joins(last) => {
                last.stems.push(stem.to_owned());
                last.span.end = end;
            }
            _ => out.push(Phrase { stems: vec![stem.to_owned()], span: start..end }),
        }
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn found(text: &str, limit: usize) -> Vec<String> {
        keywords(text, limit).into_iter().map(|k| k.keyword).collect()
    }

    #[test]
    fn the_weights_are_those_of_the_formula() {
        // Phrases: "ferry", "harbour master", "ferry". Weights: ferry 1 (1 + ln 2), harbour and master 2 each.
        let all = keywords("The ferry and the harbour master. A ferry!", 10);
        assert_eq!(all.iter().map(|k| k.keyword.as_str()).collect::<Vec<_>>(), ["harbour master", "ferry"]);
        assert_eq!(all[0].score, 1.0);
        assert!((all[1].score - (1.0 + 2f64.ln()) / 4.0).abs() < 1e-12, "{all:?}");
    }

    #[test]
    fn forms_of_a_word_are_one_and_the_limit_holds() {
        assert_eq!(found("Ferries. The ferry. A ferry.", 10), ["Ferries"]);
        assert_eq!(found("alpha, beta, gamma", 2), ["alpha", "beta"]);
        assert!(found("the of and 12 7 x", 10).is_empty() && found("", 10).is_empty());
    }

    #[test]
    fn languages_without_stop_words_or_spaces_give_keywords_too() {
        assert!(found("Паром уходит в десять. Паром большой.", 5).contains(&"Паром большой".to_owned()));
        assert_eq!(found("東京。東京。大阪", 2), ["東京", "大阪"]);
    }

    proptest! {
        #[test]
        fn any_text_gives_bounded_scores_in_order(text in "\\PC{0,200}", limit in 0..20usize) {
            let all = keywords(&text, limit);
            prop_assert!(all.len() <= limit);
            prop_assert!(all.iter().all(|k| k.score > 0.0 && k.score <= 1.0 && text.contains(&k.keyword)));
            prop_assert!(all.windows(2).all(|w| w[0].score >= w[1].score));
        }
    }
}
