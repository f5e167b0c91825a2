//! Who speaks in the scope, and which of them a query names.

use super::{
    analyse::{Spaceless, tokens},
    names::{NONE, Names, id32},
    stem::is_stop,
};
use rustc_hash::FxHashMap;
use std::{borrow::Cow, sync::Arc};

/// Most words of a name that is looked for; longer ones are not found in queries.
const NAME_WORDS_MAX: usize = 8;
/// Spellings of one name that are remembered.
const SPELLINGS_MAX: usize = 8;
/// Speakers that are roles, not names.
const GENERIC: [&str; 4] = ["user", "assistant", "system", "tool"];

/// Whether a speaker is a role and not a name.
pub(crate) fn is_generic(speaker: &str) -> bool {
    let speaker = speaker.trim();
    speaker.is_empty() || GENERIC.iter().any(|g| speaker.eq_ignore_ascii_case(g))
}

/// A known speaker of one index. Valid as long as a [`Slot`](super::Slot).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpeakerRef(u32);

/// One speaker, in all spellings that differ in case, accents or punctuation alone.
#[derive(Debug)]
struct Speaker {
    /// Folded words, joined by a space.
    key: Box<str>,
    /// First of several words, where the script has spaces.
    first: Option<Box<str>>,
    spellings: Vec<Arc<str>>,
    /// Live memories.
    live: u32,
}

/// The named speakers of one index.
#[derive(Debug, Default)]
pub(super) struct Speakers {
    list: Vec<Speaker>,
    by_key: FxHashMap<Box<str>, u32>,
    /// Live speakers by first name.
    by_first: FxHashMap<Box<str>, Vec<u32>>,
    /// Number of the speaker by number of the string, so that a name is folded once.
    by_string: FxHashMap<u32, u32>,
    /// Words of the longest key, at most `NAME_WORDS_MAX`.
    words_max: usize,
}

/// A name found in a query.
struct Found {
    speaker: u32,
    start: usize,
    end: usize,
}

impl Speakers {
    /// Notes one more live memory of a speaker; gives his number, `NONE` for none and generic ones.
    pub(super) fn enter(&mut self, string: u32, strings: &Names) -> u32 {
        let Some(written) = strings.name(string) else { return NONE };
        let speaker = match self.by_string.get(&string) {
            Some(&known) => known,
            None => {
                let known = self.intern(written);
                self.by_string.insert(string, known);
                known
            }
        };
        if let Some(entry) = self.list.get_mut(speaker as usize) {
            entry.live += 1;
            if entry.live == 1
                && let Some(first) = &entry.first
            {
                self.by_first.entry(first.clone()).or_default().push(speaker);
            }
        }
        speaker
    }

    /// Notes one live memory less.
    pub(super) fn leave(&mut self, speaker: u32) {
        let Some(entry) = self.list.get_mut(speaker as usize) else { return };
        entry.live = entry.live.saturating_sub(1);
        if entry.live == 0
            && let Some(first) = &entry.first
            && let Some(same) = self.by_first.get_mut(first)
        {
            same.retain(|s| *s != speaker);
        }
    }

    fn intern(&mut self, written: &str) -> u32 {
        if is_generic(written) {
            return NONE;
        }
        let words = words(written);
        let Some(first) = words.first() else { return NONE };
        let key = join(&words);
        let id = *self.by_key.entry(key.clone()).or_insert_with(|| {
            // In a script without spaces each character is a "word": the first one is no first name.
            let spaced = words.get(1).is_some_and(|second| second.start > first.end);
            let first = spaced.then(|| first.text.as_str().into());
            self.list.push(Speaker { key, first, spellings: Vec::new(), live: 0 });
            id32(self.list.len() - 1)
        });
        self.words_max = self.words_max.max(words.len()).min(NAME_WORDS_MAX);
        if let Some(speaker) = self.list.get_mut(id as usize)
            && speaker.spellings.len() < SPELLINGS_MAX
            && speaker.spellings.iter().all(|s| **s != *written.trim())
        {
            speaker.spellings.push(written.trim().into());
        }
        id
    }

    /// The spelling seen first.
    pub(super) fn spelling(&self, speaker: SpeakerRef) -> Option<&str> {
        self.list.get(speaker.0 as usize)?.spellings.first().map(|s| &**s)
    }

    /// Speakers whose name stands in the query, each once, in order.
    pub(super) fn named(&self, query: &str) -> Vec<SpeakerRef> {
        let mut out = Vec::new();
        for found in self.find(query) {
            if !out.contains(&SpeakerRef(found.speaker)) {
                out.push(SpeakerRef(found.speaker));
            }
        }
        out
    }

    /// The query with each name, and a possessive behind it, replaced by "they". A name counts where it is written as the speaker
    /// is or with capitals.
    pub(super) fn without_names<'q>(&self, query: &'q str) -> Cow<'q, str> {
        let mut out = String::new();
        let mut done = 0;
        for found in self.find(query) {
            let written = &query[found.start..found.end];
            let as_known =
                self.list.get(found.speaker as usize).is_some_and(|s| s.spellings.iter().any(|w| **w == *written));
            if as_known || is_capitalised(written) {
                out.push_str(&query[done..found.start]);
                out.push_str("they");
                done = found.end + possessive(&query[found.end..]);
            }
        }
        if done == 0 {
            return Cow::Borrowed(query);
        }
        out.push_str(&query[done..]);
        Cow::Owned(out)
    }

    /// All names in the query from left to right, the longest first, without overlaps. One look-up a word and length of name.
    fn find(&self, query: &str) -> Vec<Found> {
        let mut out = Vec::new();
        if self.list.is_empty() {
            return out;
        }
        let words = words(query);
        let mut at = 0;
        while at < words.len() {
            let longest = (1..self.words_max.min(words.len() - at))
                .take_while(|n| joined(query, &words[at + n - 1], &words[at + n]))
                .count()
                + 1;
            let found = (1..=longest).rev().find_map(|n| Some((n, self.lookup(query, &words[at..at + n])?)));
            if let Some((n, speaker)) = found {
                out.push(Found { speaker, start: words[at].start, end: words[at + n - 1].end });
                at += n;
            } else {
                at += 1;
            }
        }
        out
    }

    fn lookup(&self, query: &str, words: &[Word]) -> Option<u32> {
        let (head, tail) = (words.first()?, words.last()?);
        let inside_a_word = query[..head.start].ends_with('_') || query[tail.end..].starts_with('_');
        if inside_a_word {
            return None;
        }
        let live = |id: &u32| self.list.get(*id as usize).is_some_and(|s| s.live > 0);
        let speaker = match (self.by_key.get(&join(words)).copied().filter(live), words) {
            (Some(whole), _) => Some(whole),
            (None, [one]) => match self.by_first.get(one.text.as_str()).map(Vec::as_slice) {
                Some(&[only]) => Some(only),
                _ => None,
            },
            (None, _) => None,
        }?;
        // Names that are months or stop words too (`will`, `may`) count as names only when capitalised.
        let doubtful = words.len() == 1 && (is_stop(&head.text) || crate::model::MONTHS.contains(&head.text.as_str()));
        (!doubtful || is_capitalised(&query[head.start..tail.end])).then_some(speaker)
    }

    /// Drops speakers without live memories; gives the new number of each old one. `strings` are the new numbers of the strings.
    pub(super) fn compact(&mut self, strings: &[u32]) -> Vec<u32> {
        let old = std::mem::take(self);
        let mut moved = Vec::with_capacity(old.list.len());
        for speaker in old.list {
            if speaker.live == 0 {
                moved.push(NONE);
                continue;
            }
            let id = id32(self.list.len());
            moved.push(id);
            self.words_max = self.words_max.max(speaker.key.split(' ').count()).min(NAME_WORDS_MAX);
            self.by_key.insert(speaker.key.clone(), id);
            if let Some(first) = &speaker.first {
                self.by_first.entry(first.clone()).or_default().push(id);
            }
            self.list.push(speaker);
        }
        for (string, speaker) in old.by_string {
            let string = strings.get(string as usize).copied().unwrap_or(NONE);
            let speaker = moved.get(speaker as usize).copied().unwrap_or(NONE);
            if string != NONE {
                self.by_string.insert(string, speaker);
            }
        }
        moved
    }

    /// The reference to a speaker by number.
    pub(super) fn is(&self, number: u32, speaker: SpeakerRef) -> bool {
        number != NONE && number == speaker.0
    }
}

/// A folded word and where it stands.
struct Word {
    text: String,
    start: usize,
    end: usize,
}

fn words(text: &str) -> Vec<Word> {
    let mut out = Vec::new();
    tokens(text, Spaceless::Single, &mut |word, start, end| out.push(Word { text: word.to_owned(), start, end }));
    out
}

fn join(words: &[Word]) -> Box<str> {
    let mut key = String::new();
    for word in words {
        if !key.is_empty() {
            key.push(' ');
        }
        key.push_str(&word.text);
    }
    key.into()
}

/// Whether nothing parts two words that could not stand inside a name.
fn joined(text: &str, left: &Word, right: &Word) -> bool {
    let gap = text.get(left.end..right.start).unwrap_or_default();
    gap.chars().all(|c| c.is_whitespace() || matches!(c, '.' | '-' | '\'' | '\u{2019}' | '_' | '\u{30FB}' | '\u{B7}'))
}

/// Whether every word of it starts with a capital, or with a letter that has no case.
fn is_capitalised(name: &str) -> bool {
    name.split(|c: char| !c.is_alphanumeric()).filter_map(|w| w.chars().next()).all(|c| !c.is_lowercase())
}

/// Bytes of `'s` or `’s` at the start of `rest`, where a word ends behind it.
fn possessive(rest: &str) -> usize {
    ["'s", "\u{2019}s"]
        .into_iter()
        .find(|p| rest.strip_prefix(p).is_some_and(|r| !r.starts_with(|c: char| c.is_alphanumeric() || c == '_')))
        .map_or(0, str::len)
}
