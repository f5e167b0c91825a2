//! What stands in a text and is not what its speaker says of himself: code, quotations, letters to be corrected, stories, transcripts.
//!
//! It is blanked, byte for byte, so that what is left keeps its place. In doubt nothing is left.

use super::{Skipped, words::FILLERS};
use std::borrow::Cow;

/// Ask to do something with a text: with the words that stand before and behind.
const REWORKS: &[&str] = &[
    "translate", "proofread", "proof-read", "rewrite", "rephrase", "paraphrase", "reword", "summarise", "summarize", "transcribe",
    "correct", "edit", "improve", "polish", "shorten", "review",
];
/// The same words are none of that kind without one of these.
const ONLY_OF_TEXTS: &[&str] = &["correct", "edit", "improve", "polish", "shorten", "review"];
const TEXTS: &[&str] = &[
    "text", "texts", "email", "e-mail", "mail", "letter", "essay", "paragraph", "grammar", "spelling", "message", "draft", "cv", "resume",
    "sentence", "sentences", "bio", "story", "post", "paper", "translation", "writing", "following", "article", "poem", "speech",
];
/// Ask for a text.
const MAKES: &[&str] = &["write", "tell", "compose", "create", "draft", "continue", "finish", "generate", "invent", "give", "make", "complete"];
/// What is made up.
const MADE_UP: &[&str] = &[
    "story", "poem", "song", "novel", "letter", "dialogue", "dialog", "script", "essay", "speech", "email", "mail", "text", "scene", "joke",
    "haiku", "monologue", "play", "lyrics", "paragraph", "post", "article", "example", "sentence", "sentences", "message", "bio", "screenplay",
];
/// From here on somebody plays.
const PLAYS: &[&str] = &[
    "roleplay", "role-play", "roleplaying", "role-playing", "pretend", "imagine", "lyrics", "fictional", "persona", "protagonist", "screenplay",
];
/// Stand before what is asked for.
const ASKING: &[&str] = &["please", "can", "could", "would", "will", "you", "kindly", "now", "then", "help", "me", "to", "and", "let's", "lets", "let", "us"];

/// Words between single strokes that are more than a name.
const SAID_WORDS_MIN: usize = 3;
/// How far a closing stroke is looked for.
const SAID_CHARS_MAX: usize = 400;

/// The text without what is not its speaker's own words. `me` is the speaker.
pub(super) fn own<'t>(text: &'t str, me: &str) -> Result<Cow<'t, str>, Skipped> {
    let mut gone = fenced(text);
    gone.extend(quoted(text));
    let end = ends(text, me);
    if gone.is_empty() && end == text.len() {
        return Ok(Cow::Borrowed(text));
    }
    gone.push((end, text.len()));
    let mut bytes = text.as_bytes().to_vec();
    for (from, to) in gone {
        for byte in bytes.get_mut(from..to).unwrap_or_default() {
            // Lines stay lines.
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
    }
    let own = String::from_utf8(bytes).map_err(|_| Skipped::Quoted)?;
    if own.chars().any(char::is_alphanumeric) { Ok(Cow::Owned(own)) } else { Err(Skipped::Quoted) }
}

/// Code between fences, lines that are set in, and lines that quote a mail.
fn fenced(text: &str) -> Vec<(usize, usize)> {
    let (mut out, mut at, mut inside) = (Vec::new(), 0, false);
    for line in text.split_inclusive('\n') {
        let bare = line.trim_start();
        let is_fence = bare.starts_with("```") || bare.starts_with("~~~");
        let is_set_in = line.starts_with("    ") || line.starts_with('\t') || bare.starts_with('>');
        if inside || is_fence || (is_set_in && !bare.is_empty()) {
            out.push((at, at + line.len()));
        }
        inside ^= is_fence;
        at += line.len();
    }
    out
}

/// What stands between quotation marks; they themselves stay, as a sentence that has them is not read.
fn quoted(text: &str) -> Vec<(usize, usize)> {
    let (mut out, mut open) = (Vec::new(), None::<(usize, char)>);
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        let after = text.get(at + c.len_utf8()..).and_then(|rest| rest.chars().next()).unwrap_or(' ');
        match open {
            Some((from, close)) if c == close && !(c == '\'' && after.is_alphanumeric()) => {
                // A sentence with signs of quotation is left out; with marks of one stroke it is not known to be one.
                let is_stroke = close == '\'' || close == '’';
                let said = text.get(from + 1..at).map_or(0, |inside| inside.split_whitespace().count());
                if !is_stroke {
                    out.push((from + 1, at));
                } else if said >= SAID_WORDS_MIN {
                    out.push((from, at + c.len_utf8()));
                }
                open = None;
            }
            Some(_) => {}
            None => {
                let begins = !before.is_alphanumeric() && after.is_alphanumeric();
                open = match c {
                    '"' => Some((at, '"')),
                    '“' | '„' => Some((at + c.len_utf8() - 1, '”')),
                    '«' => Some((at + c.len_utf8() - 1, '»')),
                    '\'' if begins && closes(text.get(at + 1..).unwrap_or_default()) => Some((at, '\'')),
                    '‘' if begins => Some((at, '’')),
                    _ => None,
                };
            }
        }
        before = c;
    }
    out
}

/// Whether a single stroke is closed on the same line by one behind a word or a sign.
fn closes(rest: &str) -> bool {
    let line = rest.lines().next().unwrap_or_default();
    let mut before = ' ';
    line.char_indices().take(SAID_CHARS_MAX).any(|(at, c)| {
        let after = line.get(at + 1..).and_then(|rest| rest.chars().next()).unwrap_or(' ');
        let found = c == '\'' && !before.is_whitespace() && !after.is_alphanumeric();
        before = c;
        found
    })
}

/// Where the speaker's own words end.
fn ends(text: &str, me: &str) -> usize {
    let (mut at, mut is_first_line) = (0, true);
    let mut end = text.len();
    for piece in pieces(text) {
        let words: Vec<String> = words(piece);
        let list: Vec<&str> = words.iter().map(String::as_str).collect();
        if reworks(&list) {
            return 0;
        }
        let is_letter = !is_first_line && list.first() == Some(&"dear");
        let forwards = matches!(list.as_slice(), [.., "original" | "forwarded", "message"]);
        if plays(&list) || is_letter || forwards {
            end = end.min(at);
        }
        at += piece.len();
        if piece.trim_end().ends_with(':') && !introduces(&list, piece, me) {
            end = end.min(at);
        }
        is_first_line &= !piece.ends_with('\n');
    }
    end
}

/// A text in pieces that end with a sign, a line or the text.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let mut chars = rest.char_indices().peekable();
        let mut until = rest.len();
        while let Some((at, c)) = chars.next() {
            let stands_last = chars.peek().is_none_or(|(_, next)| next.is_whitespace());
            if c == '\n' || (matches!(c, '.' | '!' | '?' | ';' | ':') && stands_last) {
                until = at + c.len_utf8();
                break;
            }
        }
        let (piece, behind) = rest.split_at_checked(until)?;
        rest = behind;
        (!piece.is_empty()).then_some(piece)
    })
}

fn words(piece: &str) -> Vec<String> {
    let bare = |word: &str| word.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase().replace('’', "'");
    piece.split_whitespace().map(bare).filter(|word| !word.is_empty()).collect()
}

/// Whether a piece asks, in its first words, to do something with a text.
fn reworks(words: &[&str]) -> bool {
    let first = words.iter().find(|word| !ASKING.contains(word) && !FILLERS.contains(word));
    let asked = words.windows(3).find_map(|w| match w {
        ["you", "to", verb] | ["help", "me", verb] => Some(verb),
        _ => None,
    });
    let is_of_texts = words.iter().any(|word| TEXTS.contains(word));
    [first, asked].into_iter().flatten().any(|v| REWORKS.contains(v) && (is_of_texts || !ONLY_OF_TEXTS.contains(v)))
}

/// Whether somebody plays a part from here on, or wants something made up.
fn plays(words: &[&str]) -> bool {
    let has_character = words.windows(2).any(|pair| {
        matches!(pair, ["my" | "the" | "your" | "our" | "in" | "as", "character" | "character's"] | ["role", "play" | "playing"] | ["act", "as"])
    });
    let first = words.iter().find(|word| !ASKING.contains(word) && !FILLERS.contains(word)).copied();
    let asks = first.is_some_and(|verb| MAKES.contains(&verb)) && words.iter().any(|word| MADE_UP.contains(word));
    has_character || asks || words.iter().any(|word| PLAYS.contains(word))
}

/// Whether what stands before a colon only leads to what the speaker says: "Note:", "About me:", his own name.
fn introduces(words: &[&str], piece: &str, me: &str) -> bool {
    let is_me = piece.trim().trim_end_matches(':').eq_ignore_ascii_case(me);
    let is_about_me = words.windows(2).any(|pair| matches!(pair, ["about", "me" | "myself"]));
    is_me || is_about_me || (!words.is_empty() && words.iter().all(|word| FILLERS.contains(word)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_left_keeps_its_place() {
        let text = "I live in Oslo.\n```\nI live in Lima.\n```\nMy name is Ada. Note: I work at Acme.";
        let own = own(text, "Ada").unwrap();
        assert_eq!((own.len(), own.find("I work"), own.find("Lima")), (text.len(), text.find("I work"), None));
        assert!(own.starts_with("I live in Oslo.\n") && own.contains("My name is Ada."));
    }

    #[test]
    fn a_text_of_another_leaves_nothing() {
        for text in ["> I live in Quito", "Translate this?\nI live in Oslo.", "I live in Oslo. Could you proofread it?", "Bob: I live in Oslo."] {
            assert!(!own(text, "Ann").is_ok_and(|own| own.contains("live")), "{text}");
        }
        assert!(own("Ann: I live in Oslo.", "Ann").unwrap().contains("live"));
    }

    proptest! {
        #[test]
        fn any_text_keeps_its_length(text in "\\PC{0,80}|((```|\"|'|“|”|«|»|I live|:|> |\n|    |Dear|story|é|東京) ?){0,24}") {
            if let Ok(own) = own(&text, "Ann") {
                prop_assert_eq!(own.len(), text.len());
                prop_assert!(text.char_indices().all(|(at, _)| own.is_char_boundary(at)));
            }
        }
    }
}
