//! A text as clauses: short runs of words with one verb each, as far as that can be told without a grammar.

use super::{
    dates, places,
    words::{APART, FUTURE, QUOTING, SUBORDINATE},
};
use crate::extract::{SUPPOSES, pieces, sentences};

/// Words of a clause that are looked at.
const WORDS_MAX: usize = 40;

/// A word with its place in the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    /// As written, without signs around it.
    pub raw: String,
    /// In lower case, contractions undone.
    pub low: String,
    /// Where it begins, in bytes.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
    /// A sign that parts clauses stands behind it.
    pub ends: bool,
}

impl Word {
    pub fn is_upper(&self) -> bool {
        self.raw.chars().next().is_some_and(char::is_uppercase)
    }

    pub fn is(&self, list: &[&str]) -> bool {
        list.contains(&self.low.as_str())
    }
}

/// What stands behind a clause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Behind {
    /// Nothing, or a sign.
    Stop,
    /// "and" or another word that begins a new statement, or goes on with a list.
    And,
    /// "that", "which": what was said last is said in full there.
    That,
}

/// A part of a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Clause {
    pub words: Vec<Word>,
    /// Whether it begins its sentence: a capital letter says less there.
    pub is_first: bool,
    /// Whether "and" stands before it: it may leave out the subject of the clause before.
    pub continues: bool,
    /// Whether "and" or "or" stands before it: it may end a list.
    pub lists: bool,
    pub behind: Behind,
    /// Where its sentence begins in the text.
    pub sentence: usize,
}

/// The words of one sentence, contractions undone: "I'm" is "I am", "don't" is "do not".
#[cfg(test)]
pub(super) fn read(sentence: &str) -> Vec<Word> {
    from(sentence, 0)
}

fn from(sentence: &str, offset: usize) -> Vec<Word> {
    let mut out: Vec<Word> = Vec::new();
    for piece in pieces(sentence, offset) {
        let (start, end) = (piece.start, piece.start + piece.raw.len());
        let low = piece.low.as_str();
        // "Oslo (Norway)" is no name of two words.
        let is_bracketed = sentence.get(..start.saturating_sub(offset)).is_some_and(|before| before.ends_with('('));
        if is_bracketed
            && low.starts_with(char::is_alphabetic)
            && let Some(last) = out.last_mut()
        {
            last.ends = true;
        }
        let (head, tail) = parted(low);
        let raw_head = piece.raw.get(..head.len()).filter(|_| !tail.is_empty()).unwrap_or(piece.raw);
        let head = match head {
            "wo" => "will",
            "ca" => "can",
            other => other,
        };
        out.push(Word {
            raw: raw_head.to_owned(),
            low: head.to_owned(),
            start,
            end,
            ends: piece.ends && tail.is_empty(),
        });
        if !tail.is_empty() {
            out.push(Word { raw: tail.to_owned(), low: tail.to_owned(), start, end, ends: piece.ends });
        }
    }
    out
}

/// A contraction in two words; of others the second part is empty.
fn parted(low: &str) -> (&str, &str) {
    const ENDS: [(&str, &str); 6] =
        [("n't", "not"), ("'m", "am"), ("'re", "are"), ("'ve", "have"), ("'ll", "will"), ("'d", "would")];
    for (end, full) in ENDS {
        if let Some(head) = low.strip_suffix(end).filter(|head| !head.is_empty()) {
            return (head, full);
        }
    }
    match low {
        "name's" => ("name", "is"),
        "it's" => ("it", "is"),
        "she's" => ("she", "is"),
        "he's" => ("he", "is"),
        "that's" => ("that", "is"),
        "cannot" => ("can", "not"),
        _ => (low, ""),
    }
}

/// The clauses of a text that state something, in its order. Questions, sentences that suppose or quote, and what depends on
/// another clause are left out.
pub(super) fn clauses(text: &str) -> Vec<Clause> {
    let mut out = Vec::new();
    for (offset, sentence) in sentences(text) {
        if sentence.contains(['"', '“', '”', '«', '»', '`', '<', '>', '{', '|']) {
            continue;
        }
        let words = dashed(sentence, offset);
        // The month is no supposition.
        let is_month = |w: &Word| w.raw == "May";
        if words.iter().any(|w| (w.is(SUPPOSES) && !is_month(w)) || w.is(QUOTING)) {
            continue;
        }
        parts(words, offset, &mut out);
    }
    out
}

/// The words of a sentence; one before a dash ends a clause.
fn dashed(sentence: &str, offset: usize) -> Vec<Word> {
    let mut out: Vec<Word> = Vec::new();
    let mut begin = 0;
    for (at, c) in sentence.char_indices() {
        let behind = sentence.get(at + c.len_utf8()..).and_then(|rest| rest.chars().next());
        let is_dash = c == '—' || (matches!(c, '-' | '–') && behind.is_none_or(char::is_whitespace));
        if is_dash {
            out.extend(from(sentence.get(begin..at).unwrap_or_default(), offset + begin));
            if let Some(last) = out.last_mut() {
                last.ends = true;
            }
            begin = at + c.len_utf8();
        }
    }
    out.extend(from(sentence.get(begin..).unwrap_or_default(), offset + begin));
    out
}

/// Cuts a sentence at signs and conjunctions.
fn parts(words: Vec<Word>, sentence: usize, out: &mut Vec<Clause>) {
    let begin = |is_first: bool| Clause {
        words: Vec::new(),
        is_first,
        continues: false,
        lists: false,
        behind: Behind::Stop,
        sentence,
    };
    let mut clause = begin(true);
    let mut depends = false;
    let all = words.clone();
    let mut words = words.into_iter().enumerate().peekable();
    while let Some((at, word)) = words.next() {
        let next = words.peek().map(|(_, next)| next);
        let is_start = word.low == "since" && next.is_some_and(|n| is_time(&n.low));
        if !is_start && (word.is(SUBORDINATE) || word.is(APART)) {
            let is_first = clause.is_first && clause.words.is_empty();
            let behind = if word.is(SUBORDINATE) { Behind::That } else { Behind::And };
            keep(Clause { behind, ..clause }, depends, out);
            // "I moved to Oslo when I was ten": what follows depends. "When I was ten I moved": all of it does.
            let continues = word.low == "and" && !depends;
            let lists = matches!(word.low.as_str(), "and" | "or") && !depends;
            depends = word.is(SUBORDINATE) && !word.ends;
            clause = Clause { continues, lists, ..begin(is_first && !depends) };
            continue;
        }
        // "May 3, 2024" is one date, "my sister, Anna, lives" one subject.
        let is_date = next.is_some_and(|n| dates::year_of(&n.low).is_some());
        let joins = word.ends && (is_date || is_place(&word, &clause.words, all.get(at + 1..).unwrap_or_default()));
        let ends = word.ends && !joins;
        clause.words.push(word);
        if ends && !is_only_time(&clause.words) && !is_opposed(&clause.words, next) {
            keep(clause, depends, out);
            depends = false;
            clause = begin(false);
        }
    }
    keep(clause, depends, out);
}

/// "in Berlin, Germany" is one place; "in Berlin, Paris and Rome" are several.
fn is_place(word: &Word, before: &[Word], behind: &[Word]) -> bool {
    word.is_upper()
        && before.iter().any(|w| w.is(&["in", "to", "from"]))
        && places::begins(behind)
        && !behind.iter().take(WORDS_MAX).any(|w| w.low == "and" || w.low == "or")
}

fn keep(clause: Clause, depends: bool, out: &mut Vec<Clause>) {
    let words = &clause.words;
    let is_future = words.iter().any(|w| w.is(FUTURE))
        || words.windows(2).any(|w| matches!(w, [a, b] if a.low == "going" && b.low == "to"));
    if !words.is_empty() && words.len() <= WORDS_MAX && !depends && !is_future {
        out.push(clause);
    }
}

fn is_time(word: &str) -> bool {
    dates::year_of(word).is_some() || dates::month_of(word).is_some() || matches!(word, "last" | "yesterday")
}

/// "Last month," belongs to what follows.
fn is_only_time(clause: &[Word]) -> bool {
    let Some(when) = clause.first().map(|w| w.low.as_str()) else { return false };
    clause.len() <= 4
        && (matches!(when, "last" | "yesterday" | "today" | "on" | "in" | "since")
            || clause.iter().any(|w| w.low == "ago"))
}

/// "my sister, Anna, lives": a noun that somebody owns, and the name between commas.
fn is_opposed(clause: &[Word], next: Option<&Word>) -> bool {
    let Some(next) = next else { return false };
    let is_owned = |at: usize| clause.get(at).is_some_and(|w| w.low == "my" || w.low == "our");
    let named = clause.len() == 3 && is_owned(0) && clause.last().is_some_and(Word::is_upper);
    (clause.len() >= 2 && is_owned(clause.len() - 2) && next.is_upper()) || (named && !next.is_upper())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts_of(text: &str) -> Vec<String> {
        let words = |c: Clause| c.words.iter().map(|w| w.low.clone()).collect::<Vec<_>>().join(" ");
        clauses(text).into_iter().map(words).collect()
    }

    #[test]
    fn a_sentence_is_cut_where_another_statement_begins() {
        for (text, expected) in [
            ("I live in Oslo, and I work at Acme.", vec!["i live in oslo", "i work at acme"]),
            ("Last month, I moved.", vec!["last month i moved"]),
            ("My sister, Anna, lives here.", vec!["my sister anna lives here"]),
            ("I'm from Oslo but I don't live there.", vec!["i am from oslo", "i do not live there"]),
            ("It was on May 3, 2024.", vec!["it was on may 3 2024"]),
        ] {
            assert_eq!(parts_of(text), expected, "{text}");
        }
    }

    #[test]
    fn questions_suppositions_quotations_and_what_depends_are_left_out() {
        for text in [
            "Do I live in Oslo?",
            "If I live in Oslo, I ski.",
            "She said I live in Oslo.",
            "He wrote \"I live in Oslo\".",
            "Maybe I live in Oslo.",
            "I will live in Oslo.",
            "I'm going to move to Oslo.",
            "I want to live in Oslo.",
        ] {
            assert_eq!(parts_of(text), [""; 0], "{text}");
        }
        assert_eq!(parts_of("I moved when I was ten."), ["i moved"]);
        assert_eq!(parts_of("When I was ten I lived in Oslo."), [""; 0]);
    }
}
