//! Statements of three parts (subject, relation, object) by patterns of English sentences.
//!
//! A list of verbs, no grammar. A sentence that asks, denies or supposes gives nothing, since what it says is not so or not known.
//! Other languages give nothing.

use super::words::{BREAKS, DENIALS, LEADING, PRONOUNS, SUPPOSES, VERBS, Verb};
use crate::limits::TRIPLES_MAX;
use std::{collections::HashMap, sync::LazyLock};

/// Most words of a subject and of an object; with more the pattern has misread the sentence.
const SUBJECT_WORDS_MAX: usize = 6;
const OBJECT_WORDS_MAX: usize = 8;
/// Words before a subject and articles before an object that are passed over. With the limits above they bound what is looked at
/// around each verb: a sentence may be a whole text.
const LEADING_WORDS_MAX: usize = 6;
const ARTICLES_MAX: usize = 2;
/// Bytes before a point that may hold an abbreviation; longer than any of the list, and than any single character.
const SHORT_BYTES: usize = 8;

/// The verbs by each of their first words, in the order of the list: most words begin none.
static BY_FIRST: LazyLock<HashMap<&str, Vec<Verb>>> = LazyLock::new(|| {
    let mut by_first: HashMap<&str, Vec<Verb>> = HashMap::new();
    for verb in VERBS {
        for first in verb.0.split(' ').next().into_iter().flat_map(|first| first.split('|')) {
            by_first.entry(first).or_default().push(*verb);
        }
    }
    by_first
});

/// One statement.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Triple {
    /// Whom or what it is about, as written.
    pub subject: String,
    /// The relation, one of a closed list such as `works_at` or `is`.
    pub relation: &'static str,
    /// What it says of the subject, as written.
    pub object: String,
    /// From 0 to 1: how often the pattern is right, by the list; less where the subject is a pronoun.
    pub confidence: f64,
    /// Where the statement begins in the text, in bytes.
    pub start: usize,
    /// Where it ends, in bytes.
    pub end: usize,
}

/// The statements of `text` in its order, at most `limits::TRIPLES_MAX`.
pub fn triples(text: &str) -> Vec<Triple> {
    sentences(text).into_iter().flat_map(|(start, sentence)| statements(sentence, start)).take(TRIPLES_MAX).collect()
}

/// A word of a sentence.
pub(crate) struct Word<'t> {
    /// As written, without signs around it.
    pub raw: &'t str,
    /// In lower case.
    pub low: String,
    /// Where it begins, in bytes.
    pub start: usize,
    /// A sign that parts clauses stands behind it.
    pub ends: bool,
}

/// Sentences with where they begin. A question is none.
pub(crate) fn sentences(text: &str) -> Vec<(usize, &str)> {
    let mut out = Vec::new();
    let mut from = 0;
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let next = chars.peek().map(|(_, c)| *c);
        let before = text.get(from..at).unwrap_or_default();
        let ends = match c {
            '!' | '?' | '\n' | ';' => true,
            '.' => next.is_none_or(char::is_whitespace) && !abbreviates(before),
            _ => false,
        };
        if ends {
            if c != '?' {
                out.push((from, before));
            }
            from = at + c.len_utf8();
        }
    }
    out.push((from, text.get(from..).unwrap_or_default()));
    out
}

/// Whether a point behind `text` does not end a sentence: "J. Smith", "Dr. Who". Looks at the end of it alone.
fn abbreviates(text: &str) -> bool {
    let tail = text.get(text.floor_char_boundary(text.len().saturating_sub(SHORT_BYTES))..).unwrap_or_default();
    tail.rsplit(' ')
        .next()
        .is_some_and(|w| is_initial(w) || ["Mr", "Mrs", "Ms", "Dr", "St", "Prof", "e.g", "i.e"].contains(&w))
}

/// "J.", but neither a number nor the speaker: "Room 3.", "So do I."
fn is_initial(word: &str) -> bool {
    word != "I" && word.chars().count() == 1 && word.chars().all(char::is_alphabetic)
}

/// The words of a sentence that begins at `offset`.
pub(crate) fn words(sentence: &str, offset: usize) -> Vec<Word<'_>> {
    let mut out = Vec::new();
    let mut from = 0;
    for token in sentence.split_whitespace() {
        let Some(at) = sentence.get(from..).and_then(|rest| rest.find(token)).map(|at| at + from) else { continue };
        from = at + token.len();
        let raw = token.trim_matches(|c: char| {
            !c.is_alphanumeric() && !matches!(c, '@' | '#' | '+' | '$' | '%' | '°' | '€' | '£')
        });
        let Some(inside) = token.find(raw).filter(|_| !raw.is_empty()) else { continue };
        let low = raw.to_lowercase().replace('’', "'");
        let ends = token.ends_with([',', ':', ')', '"', '”', '—']);
        out.push(Word { raw, low, start: offset + at + inside, ends });
    }
    out
}

fn statements(sentence: &str, offset: usize) -> Vec<Triple> {
    let words = words(sentence, offset);
    let says_no = |w: &Word<'_>| DENIALS.contains(&w.low.as_str()) || w.low.ends_with("n't");
    if words.iter().any(|w| says_no(w) || SUPPOSES.contains(&w.low.as_str())) {
        return Vec::new();
    }
    let mut out = Vec::new();
    let mut at = 1;
    while at < words.len() {
        match statement(&words, at) {
            Some((triple, next)) => {
                out.push(triple);
                at = next;
            }
            None => at += 1,
        }
    }
    out
}

/// The statement whose verb stands at `at`, and where the words behind it go on.
fn statement(words: &[Word<'_>], at: usize) -> Option<(Triple, usize)> {
    let (length, relation, sure) =
        BY_FIRST.get(words.get(at)?.low.as_str())?.iter().find_map(|(pattern, relation, sure)| {
            let parts = pattern.split(' ');
            let length = parts.clone().count();
            let same =
                parts.zip(words.get(at..at + length)?).all(|(part, word)| part.split('|').any(|p| p == word.low));
            same.then_some((length, *relation, *sure))
        })?;
    // One word more than may be taken: it shows that there are too many.
    let before = words.get(at.saturating_sub(LEADING_WORDS_MAX + SUBJECT_WORDS_MAX + 1)..at)?;
    let begin = before.iter().rposition(|w| w.ends || BREAKS.contains(&w.low.as_str())).map_or(0, |i| i + 1);
    let subject = before.get(begin..)?;
    let leading = subject.iter().take(LEADING_WORDS_MAX).take_while(|w| LEADING.contains(&w.low.as_str())).count();
    let subject = subject.get(leading..)?;
    let after = words.get(at + length..)?;
    let after = after.get(..ARTICLES_MAX + OBJECT_WORDS_MAX + 1).unwrap_or(after);
    let stops = |w: &Word<'_>| BREAKS.contains(&w.low.as_str());
    let until = after.iter().position(stops).unwrap_or(after.len());
    let until = after.iter().take(until).position(|w| w.ends).map_or(until, |i| i + 1);
    let object = after.get(..until)?;
    let articles =
        object.iter().take(ARTICLES_MAX).take_while(|w| ["a", "an", "the"].contains(&w.low.as_str())).count();
    let object = object.get(articles..)?;
    if subject.is_empty() || subject.len() > SUBJECT_WORDS_MAX || object.is_empty() || object.len() > OBJECT_WORDS_MAX {
        return None;
    }
    if words.get(at + length - 1).is_some_and(|w| w.ends) {
        return None;
    }
    let pronoun = subject.len() == 1 && subject.iter().any(|w| PRONOUNS.contains(&w.low.as_str()));
    let last = object.last()?;
    let join = |words: &[Word<'_>]| words.iter().map(|w| w.raw).collect::<Vec<_>>().join(" ");
    let triple = Triple {
        subject: join(subject),
        relation,
        object: join(object),
        confidence: if pronoun { sure / 2.0 } else { sure },
        start: subject.first()?.start,
        end: last.start + last.raw.len(),
    };
    Some((triple, at + length + articles + object.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parts(text: &str) -> Vec<(String, &'static str, String)> {
        triples(text).into_iter().map(|t| (t.subject, t.relation, t.object)).collect()
    }

    fn one(text: &str) -> (String, &'static str, String) {
        let mut all = parts(text);
        assert_eq!(all.len(), 1, "{text}: {all:?}");
        all.remove(0)
    }

    #[test]
    fn plain_statements_are_read() {
        for (text, subject, relation, object) in [
            ("Alice Smith works at Acme Corp.", "Alice Smith", "works_at", "Acme Corp"),
            ("Dr. Ray was born in 1950 and later moved.", "Dr Ray", "born_in", "1950"),
            ("The ferry is a ship.", "ferry", "is", "ship"),
            (
                "The billing service depends on PostgreSQL because it must.",
                "billing service",
                "depends_on",
                "PostgreSQL",
            ),
            ("However, Bob prefers green tea.", "Bob", "prefers", "green tea"),
            ("Rain causes floods!", "Rain", "causes", "floods"),
            ("Ada is married to William.", "Ada", "married_to", "William"),
        ] {
            assert_eq!(one(text), (subject.to_owned(), relation, object.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_is_asked_denied_or_supposed_is_no_statement() {
        for text in [
            "Does Alice work at Acme?",
            "Alice works at Acme?",
            "Alice does not work at Acme.",
            "Alice never lived in Oslo.",
            "My sister lives in New York, but not for long.",
            "If Alice works at Acme, call her.",
            "Maybe Alice works at Acme.",
            "Alice isn't a pilot.",
            "works at Acme.",
            "Alice works at.",
            "",
        ] {
            assert!(parts(text).is_empty(), "{text}: {:?}", parts(text));
        }
    }

    #[test]
    fn several_statements_come_in_the_order_of_the_text_with_their_places() {
        let text = "Zoë lives in Köln. She owns a red boat, and Max works for Siemens.";
        let all = triples(text);
        assert_eq!(
            all.iter().map(|t| (t.subject.as_str(), t.relation)).collect::<Vec<_>>(),
            [("Zoë", "lives_in"), ("She", "owns"), ("Max", "works_at")]
        );
        assert_eq!(&text[all[0].start..all[0].end], "Zoë lives in Köln");
        assert_eq!(&text[all[1].start..all[1].end], "She owns a red boat");
        assert!(all[1].confidence < all[0].confidence, "a pronoun says less");
    }

    #[test]
    fn words_beyond_the_limits_are_counted_though_not_all_are_looked_at() {
        assert_eq!(
            one("However, well now the one two three four five six is x."),
            ("one two three four five six".to_owned(), "is", "x".to_owned())
        );
        assert_eq!(
            one("X is the one two three four five six seven eight.").2,
            "one two three four five six seven eight"
        );
        for text in [
            "one two three four five six seven is x.",
            "X is the one two three four five six seven eight nine.",
            "X is a a a one two three four five six seven eight nine ten eleven.",
            &format!("X is {}.", "y ".repeat(40)),
            &format!("{}is x.", "y ".repeat(40)),
            &format!("{}is x.", "the ".repeat(40)),
        ] {
            assert!(parts(text).is_empty(), "{text}: {:?}", parts(text));
        }
    }

    /// With work that grows by the square these take hours.
    #[test]
    fn the_longest_text_of_any_kind_is_read_to_its_end() {
        for piece in ["is ", "the is a ", "x", "東", "x.", ". ", ".\n", "a! ", "and is "] {
            let text = piece.repeat((1 << 20) / piece.len());
            assert!(triples(&text).len() <= TRIPLES_MAX, "{piece}");
        }
    }

    proptest! {
        #[test]
        fn any_text_gives_places_inside_it(text in "\\PC{0,120}|((Ann|the|is|a|works at|lives in|,|\\.|é|and|東京) ){0,30}") {
            for t in triples(&text) {
                prop_assert!(t.start < t.end && text.get(t.start..t.end).is_some());
                prop_assert!((0.0..=1.0).contains(&t.confidence) && !t.subject.is_empty() && !t.object.is_empty());
            }
        }
    }
}
