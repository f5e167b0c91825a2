//! What a statement claims, so that two that cannot both hold have the same key and different values.
//!
//! Patterns and word lists, no model. They are made to be right when they speak, not to speak often: a statement is looked at only
//! when it is one short sentence without a question, a condition, a hedge or a word such as "she" that needs its surroundings.

use super::{
    Compared, Key, SlotValue, word_hash,
    words::{
        ANY, ATTRIBUTES, CALENDAR, CODES, CUES, DENIES, GOES_ON, JOINERS, MEASURE, MEASURES, PERSONAL, SOFTENS, VAGUE,
    },
};
use crate::model::Memory;

const BYTES_MAX: usize = 400;
const WORDS_MIN: usize = 3;
const WORDS_MAX: usize = 24;

/// Which values a cue takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slots {
    pub name: bool,
    pub number: bool,
    pub date: bool,
}

/// The claim about a value that only one can be, and the sentence said or denied.
pub(super) fn claims(memory: &Memory) -> [Option<Compared>; 2] {
    let Some(sentence) = Sentence::read(&memory.content) else { return [None, None] };
    let key = |what| {
        let mut key = Key::of(what, memory);
        if sentence.is_personal {
            key.text(memory.speaker.as_deref());
            key.text(memory.role.as_deref());
        }
        key
    };
    let denial = sentence.affirmed().map(|(words, denied)| {
        let mut key = key("denial");
        words.iter().for_each(|word| key.text(Some(word)));
        (key.finish(), denied)
    });
    let value = match denial {
        Some((_, false)) => sentence.value().map(|(start, end, slot)| {
            let mut key = key("value");
            key.text(Some(&slot.class));
            for (i, word) in sentence.words.iter().enumerate() {
                if i == start {
                    key.text(None);
                }
                if !(start..end).contains(&i) {
                    key.text(Some(&word.low));
                }
            }
            Compared::Value(key.finish(), slot.value)
        }),
        _ => None,
    };
    let denial = denial.map(|(key, denied)| Compared::Denial(key, [1 + u32::from(denied), 0, 0, 0]));
    [value, denial]
}

struct Word<'t> {
    raw: &'t str,
    low: String,
}

impl Word<'_> {
    fn is_upper(&self) -> bool {
        self.raw.chars().next().is_some_and(char::is_uppercase) && self.low != "i" && !self.low.starts_with("i'")
    }

    fn has_digit(&self) -> bool {
        self.raw.bytes().any(|b| b.is_ascii_digit())
    }

    fn is(&self, list: &[&str]) -> bool {
        list.contains(&self.low.as_str())
    }
}

/// One short sentence that stands by itself.
struct Sentence<'t> {
    words: Vec<Word<'t>>,
    is_personal: bool,
}

impl<'t> Sentence<'t> {
    fn read(text: &'t str) -> Option<Self> {
        if text.len() > BYTES_MAX {
            return None;
        }
        let (mut words, mut ended) = (Vec::new(), false);
        for token in text.split_whitespace() {
            let bare = token.trim_matches(['"', '\'', '“', '”', '‘', '’', '«', '»', '(', ')', '[', ']', '*']);
            let raw = bare.trim_end_matches(['.', ',', ';', ':', '!', '?', '…', '"', '\'', '”', '’', ')']);
            // A question, or a heading over what is not here.
            if (token.contains('?') && !token.contains("://")) || bare.ends_with(':') {
                return None;
            }
            if raw.is_empty() {
                continue;
            }
            if ended || words.len() == WORDS_MAX {
                return None;
            }
            ended = bare.ends_with(['.', ';', '!', '…']);
            words.push(Word { raw, low: raw.to_lowercase().replace('’', "'") });
        }
        let first_is_article = words.first().is_some_and(|w| w.low == "a" || w.low == "an");
        if words.len() < WORDS_MIN || first_is_article || words.iter().any(|w| w.is(VAGUE) && !w.is_month()) {
            return None;
        }
        let is_personal = words.iter().any(|w| w.is(PERSONAL));
        Some(Self { words, is_personal })
    }

    /// The words without their denial, and whether there was one; `None` where it cannot be told.
    fn affirmed(&self) -> Option<(Vec<String>, bool)> {
        let (mut out, mut denials, mut third) = (Vec::<String>::with_capacity(self.words.len()), 0, false);
        let mut words = self.words.iter().peekable();
        while let Some(word) = words.next() {
            let low = word.low.as_str();
            let next = words.peek();
            let contracted = low.strip_suffix("n't");
            if low == "no" && next.is_some_and(|w| w.low == "longer") {
                words.next();
                denials += 1;
            } else if word.is(DENIES) || (low == "not" && next.is_none_or(|w| w.is(SOFTENS))) {
                return None;
            } else if low == "never" {
                denials += 1;
            } else if low == "not" || low == "cannot" || contracted.is_some() {
                denials += 1;
                match contracted {
                    Some("wo") => out.push("will".to_owned()),
                    Some("sha") => out.push("shall".to_owned()),
                    Some("ca") => out.push("can".to_owned()),
                    Some(base) => out.push(base.to_owned()),
                    None if low == "cannot" => out.push("can".to_owned()),
                    None => {}
                }
                // "does not like" is the denial of "likes", "do not like" of "like".
                if out.last().is_some_and(|w| w == "does" || w == "do") {
                    third = out.pop().is_some_and(|w| w == "does");
                    continue;
                }
            } else if low == "anymore" && denials > 0 {
                continue;
            } else if third {
                out.push(third_person(low));
            } else {
                out.push(low.to_owned());
            }
            third = false;
        }
        (denials < 2 && out.len() > 1).then_some((out, denials == 1))
    }

    /// The slot of the claim, from word to word.
    fn value(&self) -> Option<(usize, usize, Slot)> {
        (2..self.words.len()).find_map(|start| {
            let (slots, is_code) = self.cue(start)?;
            let slot = self.slot(start, slots, is_code)?;
            Some((start, start + slot.words, slot))
        })
    }

    /// What may stand at `start`, by the words before.
    fn cue(&self, start: usize) -> Option<(Slots, bool)> {
        let (before, last) = match self.words.get(..start)? {
            [before @ .., last] => (before, last),
            [] => return None,
        };
        // Where the verb is a capital word too, capitals say nothing.
        if last.is_upper() {
            return None;
        }
        if let [_, .., verb] = before
            && let Some((_, _, slots)) = CUES.iter().find(|(verbs, ends, _)| verb.is(verbs) && last.is(ends))
        {
            return Some((*slots, false));
        }
        if last.is(MEASURES) {
            return Some((MEASURE, false));
        }
        if last.low != "is" {
            return None;
        }
        // "the code is", "the code of the door is", "my favourite colour is"
        let has = |list: &[&str]| {
            before.last().is_some_and(|w| w.is(list))
                || before.windows(2).any(|pair| match pair {
                    [noun, of] => noun.is(list) && (of.low == "of" || of.low == "for"),
                    _ => false,
                })
        };
        if has(CODES) {
            return Some((ANY, true));
        }
        let favourite = before.iter().any(|w| w.low == "favourite" || w.low == "favorite");
        Some((if favourite || has(ATTRIBUTES) { ANY } else { MEASURE }, false))
    }

    fn slot(&self, start: usize, slots: Slots, is_code: bool) -> Option<Slot> {
        let rest = self.words.get(start..)?;
        let first = rest.first()?;
        let is_value = |i: usize| {
            let next_is_upper = || rest.get(i + 1).is_some_and(Word::is_upper);
            rest.get(i).is_some_and(|w| w.has_digit() || w.is_upper() || (i > 0 && w.is(JOINERS) && next_is_upper()))
        };
        let run = (0..).take_while(|&i| is_value(i)).count();
        let slot = if first.raw.contains('@') {
            slots.name.then(|| Slot::one(1, "mail".to_owned(), &first.low))?
        } else if run == 0 || run > 4 {
            return None;
        } else if rest.iter().take(run).any(Word::is_month) {
            slots.date.then(|| Slot::many("date", rest.get(..run).unwrap_or_default(), date_word))?
        } else if first.has_digit() {
            let digits = rest.iter().take(run).take_while(|w| w.has_digit()).count();
            slots.number.then(|| number(rest.get(..digits).unwrap_or_default(), is_code))?
        } else {
            let names = rest.iter().take(run).take_while(|w| !w.has_digit()).count();
            slots.name.then(|| Slot::many("name", rest.get(..names).unwrap_or_default(), |w| w.low.clone()))?
        };
        let goes_on = rest.get(slot.words).is_some_and(|w| w.is(GOES_ON) || w.raw.starts_with(['(', '/']));
        (!goes_on).then_some(slot)
    }
}

impl Word<'_> {
    fn is_month(&self) -> bool {
        self.is_upper() && self.is(CALENDAR)
    }
}

/// A value in a statement: how many words, of what sort (only the same sort is compared), and which.
struct Slot {
    words: usize,
    class: String,
    value: SlotValue,
}

impl Slot {
    fn one(words: usize, class: String, value: &str) -> Self {
        Self { words, class, value: [word_hash(value), 0, 0, 0] }
    }

    fn many(class: &str, words: &[Word<'_>], spell: impl Fn(&Word<'_>) -> String) -> Self {
        let mut value = SlotValue::default();
        for (place, word) in value.iter_mut().zip(words) {
            *place = word_hash(&spell(word));
        }
        Self { words: words.len(), class: class.to_owned(), value }
    }
}

/// "8th" is 8 and "September" is "Sep".
fn date_word(word: &Word<'_>) -> String {
    if word.is(CALENDAR) {
        return word.low.chars().take(3).collect();
    }
    let bare = ["st", "nd", "rd", "th"].iter().find_map(|end| word.low.strip_suffix(end));
    bare.filter(|b| b.bytes().all(|b| b.is_ascii_digit())).unwrap_or(&word.low).trim_start_matches('0').to_owned()
}

fn number(words: &[Word<'_>], is_code: bool) -> Slot {
    let spelled: String = words.iter().flat_map(|w| w.low.chars()).filter(|c| c.is_alphanumeric()).collect();
    let [word] = words else {
        return Slot::one(
            words.len(),
            if is_code { "code".to_owned() } else { format!("{} words", words.len()) },
            &spelled,
        );
    };
    if is_code {
        return Slot::one(1, "code".to_owned(), &spelled);
    }
    match quantity(&word.low) {
        Some((unit, amount)) => Slot::one(1, format!("unit {unit}"), &amount),
        // A date, a time of day, a version: only what is written the same way is compared.
        None => {
            let signs: String = word.low.chars().filter(|c| !c.is_ascii_digit()).collect();
            Slot::one(1, format!("signs {signs}"), &spelled)
        }
    }
}

/// A plain number with what is written before and behind it: "$1,200.50" is ("$", "1200.5").
fn quantity(word: &str) -> Option<(String, String)> {
    let start = word.find(|c: char| c.is_ascii_digit())?;
    let end = word.rfind(|c: char| c.is_ascii_digit())? + 1;
    let (unit, core) = (format!("{}{}", word.get(..start)?, word.get(end..)?), word.get(start..end)?);
    let (whole, part) = core.split_once('.').unwrap_or((core, ""));
    let groups: Vec<&str> = whole.split(',').collect();
    let all_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let is_grouped = groups.iter().skip(1).all(|g| g.len() == 3);
    // "1.000" is one to some and a thousand to others.
    if !groups.iter().all(|g| !g.is_empty() && all_digits(g)) || !is_grouped || !all_digits(part) || part.len() == 3 {
        return None;
    }
    let whole = groups.concat();
    let (whole, part) = (whole.trim_start_matches('0'), part.trim_end_matches('0'));
    Some((unit, format!("{whole}.{part}")))
}

/// "go" to "goes", "try" to "tries".
fn third_person(verb: &str) -> String {
    let vowel_before_y = || verb.len() > 1 && verb.chars().rev().nth(1).is_some_and(|c| "aeiou".contains(c));
    match verb {
        "have" => "has".to_owned(),
        "be" => "is".to_owned(),
        _ if verb.ends_with('y') && !vowel_before_y() => format!("{}ies", verb.trim_end_matches('y')),
        _ if ["s", "x", "z", "ch", "sh", "o"].iter().any(|end| verb.ends_with(end)) => format!("{verb}es"),
        _ => format!("{verb}s"),
    }
}

#[cfg(test)]
#[path = "claim_tests.rs"]
mod tests;
