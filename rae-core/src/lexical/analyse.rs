//! From text to terms. For ASCII the arithmetic of the reference formula to the letter; beyond it, words as people type them.

use super::{
    fold::{Class, Piece, class, compose, fold_into},
    stem::{English, is_stop},
};
use crate::limits::TERM_BYTES_MAX;

/// Gives every term of `text`, in order: its stem and the byte span of the word in `text`.
///
/// Words are runs of letters and digits, lower-cased; English stop words are left out and English stems taken where the folded word
/// is ASCII. Accents of Latin, Greek and Cyrillic letters are folded (café = cafe). Scripts without spaces between words come as
/// overlapping pairs of characters, a lone character as itself. An emoji or sign is a term of its own. A term has at most
/// `limits::TERM_BYTES_MAX` bytes; a longer word is cut at a character.
pub fn analyse(text: &str, emit: &mut dyn FnMut(&str, usize, usize)) {
    let english = English::new();
    let mut word = |word: &str, start: usize, end: usize| {
        if !word.is_ascii() {
            emit(word, start, end);
        } else if !is_stop(word) {
            emit(&english.stem(word), start, end);
        }
    };
    if text.is_ascii() { ascii_words(text, &mut word) } else { tokens(text, Spaceless::Pairs, &mut word) }
}

/// Whether the query speaks of its own speaker: a word `i`, `me`, `my`, `mine` or `myself` (also `I'm`, `I've`, `I'd`, `I'll`).
pub fn is_first_person(query: &str) -> bool {
    const FIRST: [&str; 5] = ["i", "me", "my", "mine", "myself"];
    query.split(|c: char| !c.is_alphanumeric() && c != '_').any(|w| FIRST.iter().any(|f| w.eq_ignore_ascii_case(f)))
}

/// The runs of alphabetic characters of the query, lower-cased, in order.
pub fn words_lower(query: &str) -> Vec<String> {
    query.split(|c: char| !c.is_alphabetic()).filter(|w| !w.is_empty()).map(str::to_lowercase).collect()
}

/// The words of a name in order, without case and the accents of Latin, Greek and Cyrillic letters; neither stop words nor endings go.
/// Each character of a script without spaces is one.
pub fn folded_words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    tokens(text, Spaceless::Single, &mut |word, _, _| words.push(word.to_owned()));
    words
}

/// How scripts without spaces are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spaceless {
    /// Overlapping pairs, a lone character as itself: for the index.
    Pairs,
    /// Each character: for comparing names.
    Single,
}

/// Folded words of `text` with their spans, before stop words and stems.
pub(super) fn tokens(text: &str, spaceless: Spaceless, emit: &mut dyn FnMut(&str, usize, usize)) {
    let mut cutter = Cutter {
        emit,
        spaceless,
        word: String::new(),
        word_span: (0, 0),
        word_full: false,
        base: ' ',
        unit: Unit::default(),
        last: Unit::default(),
        run: 0,
    };
    for (at, c) in text.char_indices() {
        cutter.step(c, at, at + c.len_utf8());
    }
    cutter.flush();
}

fn ascii_words(text: &str, emit: &mut dyn FnMut(&str, usize, usize)) {
    let bytes = text.as_bytes();
    let mut lower = [0u8; TERM_BYTES_MAX];
    let mut at = 0;
    while at < bytes.len() {
        let start = at;
        let mut len = 0;
        while let Some(byte) = bytes.get(at).filter(|b| b.is_ascii_alphanumeric()) {
            if let Some(place) = lower.get_mut(len) {
                *place = byte.to_ascii_lowercase();
                len += 1;
            }
            at += 1;
        }
        if let Some(Ok(word)) = lower.get(..len).filter(|w| !w.is_empty()).map(std::str::from_utf8) {
            emit(word, start, at);
        }
        at += 1;
    }
}

/// One character of a script without spaces, with its marks.
#[derive(Default)]
struct Unit {
    text: String,
    span: (usize, usize),
}

/// The state of cutting a text that is not ASCII alone.
struct Cutter<'e> {
    emit: &'e mut dyn FnMut(&str, usize, usize),
    spaceless: Spaceless,
    /// The word in hand, folded; empty when there is none.
    word: String,
    word_span: (usize, usize),
    /// It has reached its greatest length: the rest is not taken in.
    word_full: bool,
    /// Its last base character.
    base: char,
    /// The spaceless character in hand and the one before it in the same run.
    unit: Unit,
    last: Unit,
    /// Finished characters of the run.
    run: usize,
}

impl Cutter<'_> {
    fn step(&mut self, c: char, start: usize, end: usize) {
        match class(c) {
            Class::Word => {
                self.flush_run();
                self.push(c, start, end);
            }
            Class::Mark if !self.unit.text.is_empty() => self.grow_unit(c, end),
            Class::Mark if !self.word.is_empty() => self.push(c, start, end),
            Class::Mark | Class::Ignored => {}
            Class::Spaceless => {
                self.flush_word();
                self.finish_unit();
                self.unit.span = (start, end);
                self.grow_unit(c, end);
            }
            Class::Symbol => {
                self.flush();
                let mut utf8 = [0u8; 4];
                (self.emit)(c.encode_utf8(&mut utf8), start, end);
            }
            Class::Break => self.flush(),
        }
    }

    /// Takes a character or mark into the word in hand.
    fn push(&mut self, c: char, start: usize, end: usize) {
        if self.word.is_empty() {
            (self.word_span, self.base, self.word_full) = ((start, end), ' ', false);
        }
        self.word_span.1 = end;
        if c.is_ascii() {
            self.base = c;
            self.take(c.to_ascii_lowercase().encode_utf8(&mut [0; 4]));
            return;
        }
        let mut base = self.base;
        fold_into(c, &mut base, &mut |piece| match piece {
            Piece::Text(text) => self.take(text),
            Piece::Break => {
                self.flush_word();
                self.word_full = false;
                self.word_span = (start, end);
            }
        });
        self.base = base;
    }

    fn take(&mut self, text: &str) {
        self.word_full |= self.word.len() + text.len() > TERM_BYTES_MAX;
        if !self.word_full {
            self.word.push_str(text);
        }
    }

    /// A spaceless character takes half a term at most, so that a pair fits.
    fn grow_unit(&mut self, c: char, end: usize) {
        self.unit.span.1 = end;
        // No mark of these scripts is left out: the base is one of theirs.
        let (unit, mut base) = (&mut self.unit.text, 'あ');
        fold_into(c, &mut base, &mut |piece| {
            if let Piece::Text(text) = piece
                && unit.len() + text.len() <= TERM_BYTES_MAX / 2
            {
                unit.push_str(text);
            }
        });
    }

    fn flush(&mut self) {
        self.flush_word();
        self.flush_run();
    }

    fn flush_word(&mut self) {
        if self.word.is_empty() {
            return;
        }
        let (start, end) = self.word_span;
        if self.word.is_ascii() {
            (self.emit)(&self.word, start, end);
        } else {
            (self.emit)(cut(&compose(&self.word)), start, end);
        }
        self.word.clear();
    }

    /// Closes the spaceless character in hand and gives the pair that it ends.
    fn finish_unit(&mut self) {
        if self.unit.text.is_empty() {
            return;
        }
        self.unit.text = compose(&self.unit.text);
        let (start, end) = self.unit.span;
        match self.spaceless {
            Spaceless::Single => (self.emit)(&self.unit.text, start, end),
            Spaceless::Pairs if self.run > 0 => {
                self.last.text.push_str(&self.unit.text);
                (self.emit)(cut(&self.last.text), self.last.span.0, end);
            }
            Spaceless::Pairs => {}
        }
        self.run += 1;
        std::mem::swap(&mut self.unit, &mut self.last);
        self.unit.text.clear();
    }

    fn flush_run(&mut self) {
        self.finish_unit();
        if self.run == 1 && self.spaceless == Spaceless::Pairs {
            (self.emit)(cut(&self.last.text), self.last.span.0, self.last.span.1);
        }
        self.run = 0;
    }
}

/// At most `TERM_BYTES_MAX` bytes, cut at a character.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(TERM_BYTES_MAX)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn terms(text: &str) -> Vec<String> {
        let mut out = Vec::new();
        analyse(text, &mut |t, _, _| out.push(t.to_owned()));
        out
    }

    #[test]
    fn english_is_lowered_stopped_and_stemmed() {
        assert_eq!(terms("Where did Joanna's dogs RUN to? (8 May, 2023)"), ["joanna", "dog", "run", "8", "2023"]);
        assert_eq!(terms("it’s Nate’s; state-of-the-art"), ["nate", "state", "art"]);
        assert!(terms("What is it?").is_empty() && terms("").is_empty());
    }

    #[test]
    fn accents_of_latin_greek_and_cyrillic_are_folded() {
        assert_eq!(terms("Café CAFE\u{301} cafés"), ["cafe", "cafe", "cafe"]);
        assert_eq!(terms("Straße Łódź İzmir ΆΝΘΡΩΠΟΣ ёлка"), ["strass", "lodz", "izmir", "ανθρωποσ", "елка"]);
        assert_eq!(terms("ﬁne Ｈｅｌｌｏ x² ½"), ["fine", "hello", "x2", "1", "2"]);
    }

    #[test]
    fn scripts_without_spaces_come_as_overlapping_pairs() {
        assert_eq!(terms("東京都 に行く、山"), ["東京", "京都", "に行", "行く", "山"]);
        assert_eq!(terms("ガラス abcあ"), ["ガラ", "ラス", "abc", "あ"]);
        assert_eq!(terms("ｶﾞﾗｽ"), ["ガラ", "ラス"]);
        assert_eq!(terms("한국어 문서"), ["한국어", "문서"]);
        assert_eq!(terms("हिन्दी"), ["हिन्दी"]);
        assert_eq!(terms("ไทย"), ["ไท", "ทย"]);
        assert_eq!(terms("ที่นี่"), ["ที่นี่"]);
    }

    #[test]
    fn a_text_of_emoji_alone_has_terms() {
        assert_eq!(terms("🎉❤️ 👍🏽"), ["🎉", "❤", "👍"]);
        assert_eq!(terms("20°C"), ["20", "c"]);
        assert_eq!(terms("so\u{AD}ft a\u{200B}bc"), ["soft", "bc"]);
    }

    #[test]
    fn spans_point_at_the_words_in_the_text() {
        let text = "The “Cafés” of 東京!";
        let mut out = Vec::new();
        analyse(text, &mut |_, a, b| out.push(&text[a..b]));
        assert_eq!(out, ["Cafés", "東京"]);
    }

    #[test]
    fn a_long_word_is_cut_at_a_character() {
        assert_eq!(terms(&"z9".repeat(100))[0].len(), TERM_BYTES_MAX);
        let wide = terms(&"ж".repeat(100));
        assert_eq!((wide.len(), wide[0].len()), (1, TERM_BYTES_MAX));
        assert_eq!(terms(&format!("あ{}い", "\u{3099}".repeat(500))).len(), 1);
    }

    #[test]
    fn the_first_person_is_seen_as_a_word_only() {
        for yes in ["What do I like?", "I'm here", "tell ME", "is it mine", "by myself", "it is i."] {
            assert!(is_first_person(yes), "{yes}");
        }
        for no in ["What does Nate like?", "mythology in Rome", "i_x", ""] {
            assert!(!is_first_person(no), "{no}");
        }
    }

    #[test]
    fn words_are_alphabetic_runs_in_lower_case() {
        assert_eq!(words_lower("Did José meet Ann2 (Bo)?"), ["did", "josé", "meet", "ann", "bo"]);
    }

    proptest! {
        #[test]
        fn any_text_gives_bounded_terms_with_ordered_spans_at_characters(text in "\\PC{0,60}|[a-z가-힣ก-๿ァ-ヺ一-十\u{300}-\u{320}' ]{0,40}") {
            let mut last = 0;
            analyse(&text, &mut |term, start, end| {
                assert!(!term.is_empty() && term.len() <= TERM_BYTES_MAX);
                assert!(last <= start && start < end && text.get(start..end).is_some());
                last = start;
            });
        }

        #[test]
        fn the_ascii_path_and_the_wide_path_agree(text in "[ -~]{0,80}") {
            let mut wide = Vec::new();
            tokens(&text, Spaceless::Pairs, &mut |t, a, b| wide.push((t.to_owned(), a, b)));
            let mut plain = Vec::new();
            ascii_words(&text, &mut |t, a, b| plain.push((t.to_owned(), a, b)));
            prop_assert_eq!(wide, plain);
        }

        #[test]
        fn no_ascii_word_breaks_the_stemmer(word in "[a-z0-9]{0,70}|[aeioubtsylnr']{0,12}") {
            terms(&word);
        }
    }
}
