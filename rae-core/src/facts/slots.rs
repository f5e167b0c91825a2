//! What follows a predicate: the value of a fact, and how many words it takes.

use super::{
    clause::Word,
    dates,
    read::begins_predicate,
    words::{
        ACTIVITIES, ADVERBS, ALLERGENS, DIETS, FILLERS, FOLLOWERS, ITEM_STARTS, JOBS, KNOWN_THINGS, NAME_JOINERS,
        NO_JOB_QUALITIES, NO_NAMES, PLAYS, Slot, TASTE_ENDS, VAGUE,
    },
};

/// Words of a name, a taste and any other thing.
const NAME_WORDS_MAX: usize = 5;
const TASTE_WORDS_MAX: usize = 5;
const THING_WORDS_MAX: usize = 4;
const AGE_MAX: i64 = 120;

/// The name that all of a clause is.
pub(super) fn whole_name(words: &[Word]) -> Option<String> {
    name_run(words).filter(|(_, used)| *used == words.len()).map(|(name, _)| name)
}

/// The value that begins `rest`, and its number of words.
pub(super) fn value(slot: Slot, rest: &[Word]) -> Option<(String, usize)> {
    match slot {
        Slot::Name | Slot::Birth => name(rest),
        Slot::Taste => taste(rest),
        Slot::Job => job(rest),
        Slot::Role => role(rest),
        Slot::Thing => thing(rest),
        Slot::Age => age(rest),
        Slot::Turned => age(rest).or_else(|| turned(rest)),
        Slot::Diet => listed(rest, DIETS),
        Slot::Play => listed(rest, PLAYS),
        Slot::Allergy => listed(rest, ALLERGENS),
    }
}

fn joined(words: &[Word]) -> String {
    words.iter().map(|w| w.raw.as_str()).collect::<Vec<_>>().join(" ")
}

/// Whether what was taken is whole: nothing stands behind it, or a word that begins something else.
fn is_whole(rest: &[Word], used: usize) -> bool {
    used.checked_sub(1).and_then(|last| rest.get(last)).is_some_and(|w| w.ends)
        || rest.get(used).is_none_or(|next| next.is(FOLLOWERS) || next.raw.starts_with(|c: char| c.is_ascii_digit()))
}

/// A run of capital words that is whole.
pub(super) fn name(rest: &[Word]) -> Option<(String, usize)> {
    let article = usize::from(rest.first().is_some_and(|w| w.low == "the"));
    let (text, used) = name_run(rest.get(article..)?)?;
    is_whole(rest, article + used).then(|| (spelled(text), article + used))
}

/// Abbreviations that are one place, in one spelling.
fn spelled(name: String) -> String {
    match name.as_str() {
        "US" | "U.S" | "U.S.A" | "USA" => "USA".to_owned(),
        "UK" | "U.K" => "UK".to_owned(),
        _ => name,
    }
}

/// A run of capital words, whatever follows.
pub(super) fn name_run(rest: &[Word]) -> Option<(String, usize)> {
    let takes = |at: usize| {
        rest.get(at).is_some_and(|w| {
            // "US" is a place, "us" is not.
            let plain = w.is_upper() && (w.raw == "US" || !w.is(NO_NAMES)) && !w.raw.contains('@');
            // "Bay of Fundy", "Lord of the Rings"
            let named = |n: &Word| n.is_upper() && !n.is(NO_NAMES);
            let next = rest
                .get(at + 1)
                .is_some_and(|n| named(n) || (n.is(NAME_JOINERS) && rest.get(at + 2).is_some_and(named)));
            let joins = at > 0 && w.is(NAME_JOINERS) && next;
            plain || joins
        })
    };
    let mut used = 0;
    while used < NAME_WORDS_MAX && takes(used) {
        used += 1;
        if rest.get(used - 1).is_some_and(|w| w.ends) {
            break;
        }
    }
    let words = rest.get(..used)?;
    let last = words.last()?;
    // "Anna's" owns what follows; letters alone are no name ("A", "I").
    let owns = last.low.ends_with("'s") && !last.ends && rest.len() > used;
    (!owns && last.raw.chars().count() > 1 && !last.is(NAME_JOINERS)).then(|| (joined(words), used))
}

fn taste(rest: &[Word]) -> Option<(String, usize)> {
    let article = usize::from(rest.first().is_some_and(|w| w.low == "the"));
    let words = rest.get(article..)?;
    let first = words.first()?;
    let vague = first.is(VAGUE) || (article == 1 && !first.is(KNOWN_THINGS));
    if vague || first.low.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let mut used = words.iter().position(|w| w.is(TASTE_ENDS)).unwrap_or(words.len());
    if let Some(stop) = words.iter().take(used).position(|w| w.ends) {
        used = stop + 1;
    }
    // "Lord of the Rings"
    if let Some((_, named)) = name_run(words) {
        used = used.max(named);
    }
    let taken = words.get(..used).filter(|taken| !taken.is_empty() && taken.len() <= TASTE_WORDS_MAX)?;
    // "running with friends" is running; "running my own studio" is not, nor is "going to the beach" going.
    let is_bare = used == 1 && first.low.ends_with("ing") && words.get(used).is_some_and(|_| !first.ends);
    let says_enough = !is_bare || (first.is(ACTIVITIES) && words.get(used).is_some_and(|next| next.is(FOLLOWERS)));
    says_enough.then(|| (joined(rest.get(..article + taken.len()).unwrap_or_default()), article + used))
}

fn noun(rest: &[Word]) -> Option<usize> {
    let mut used =
        rest.iter().take(THING_WORDS_MAX + 1).position(|w| w.is(FOLLOWERS) || w.is(TASTE_ENDS)).unwrap_or(rest.len());
    if let Some(stop) = rest.iter().take(used).position(|w| w.ends) {
        used = stop + 1;
    }
    let first = rest.first()?;
    let is_vague = first.is(VAGUE) || first.is(&["place", "lot", "bit", "bunch", "couple", "few", "thing", "point"]);
    (used > 0 && used <= THING_WORDS_MAX && !is_vague).then_some(used)
}

fn thing(rest: &[Word]) -> Option<(String, usize)> {
    let used = noun(rest)?;
    Some((joined(rest.get(..used)?), used))
}

fn role(rest: &[Word]) -> Option<(String, usize)> {
    let (text, used) = thing(rest)?;
    let words = rest.get(..used)?;
    // "as a team", "as a way of": what one works as is a person.
    let last = words.last()?;
    let is_person =
        last.is(JOBS) || ["er", "or", "ist", "ian", "ant", "man", "person"].iter().any(|end| last.low.ends_with(end));
    (is_person && last.low != "hour").then_some((text, used))
}

fn job(rest: &[Word]) -> Option<(String, usize)> {
    let used = noun(rest)?;
    let words = rest.get(..used)?;
    let (last, before) = words.split_last()?;
    let pair = before.last().map(|w| format!("{} {}", w.low, last.low));
    let is_job = last.is(JOBS) || pair.is_some_and(|pair| JOBS.contains(&pair.as_str()));
    let judged = before.iter().any(|w| w.is(NO_JOB_QUALITIES));
    (is_job && !judged && is_whole(rest, used)).then(|| (joined(words), used))
}

/// "34 years old", "34 yo", "34yo": a number alone may be of anything.
fn age(rest: &[Word]) -> Option<(String, usize)> {
    let first = rest.first()?;
    let short = first.low.strip_suffix("yo").or_else(|| first.low.strip_suffix("y/o"));
    if let Some(years) = short.and_then(years) {
        return Some((years, 1));
    }
    let years = years(&first.low).filter(|_| !first.ends)?;
    match rest.get(1..)? {
        [unit, ..] if unit.low == "yo" || unit.low == "y/o" => Some((years, 2)),
        [unit, old, ..] if unit.low.starts_with("year") && old.low == "old" => Some((years, 3)),
        [unit, of, age, ..] if unit.low.starts_with("year") && of.low == "of" && age.low == "age" => Some((years, 4)),
        _ => None,
    }
}

/// What somebody "turned".
fn turned(rest: &[Word]) -> Option<(String, usize)> {
    let first = rest.first()?;
    let is_alone = rest.get(1).is_none_or(|n| n.is(&["today", "yesterday", "last", "this", "now"]) && !first.ends);
    let digits = first.low.starts_with(|c: char| c.is_ascii_digit());
    years(&first.low).filter(|_| is_alone && digits).map(|years| (years, 1))
}

fn years(word: &str) -> Option<String> {
    let number = dates::number_of(word).filter(|n| (1..=AGE_MAX).contains(n) && word != "a" && word != "an")?;
    Some(number.to_string())
}

/// The value that all of `rest` is, as an item of a list. In short lists one word that is a thing by its form.
pub(super) fn item(slot: Slot, rest: &[Word], is_long: bool) -> Option<String> {
    let skipped = rest.iter().take_while(|w| w.is(ITEM_STARTS)).count();
    let rest = rest.get(skipped..)?;
    let (text, used) = value(slot, rest)?;
    let words = rest.get(..used)?;
    let goes_on = rest.get(used).is_some_and(|next| !next.is(FOLLOWERS) || next.is(&["is", "was"]));
    if goes_on && !words.last()?.ends {
        return None;
    }
    if slot != Slot::Taste {
        return Some(text);
    }
    let is_thing = |w: &Word| w.is(ACTIVITIES) || w.is_upper() || (w.low.ends_with('s') && !w.low.ends_with("ss"));
    let is_plain = !words.iter().any(|w| w.is(FILLERS) || w.is(ADVERBS) || w.is(FOLLOWERS) || begins_predicate(w));
    (is_plain && (words.len() == 1 && words.iter().all(is_thing) || is_long && words.len() <= 2)).then_some(text)
}

fn listed(rest: &[Word], list: &[&str]) -> Option<(String, usize)> {
    let article = usize::from(rest.first().is_some_and(|w| w.low == "a"));
    let word = rest.get(article)?;
    (word.is(list) && is_whole(rest, article + 1)).then(|| (word.low.clone(), article + 1))
}

/// An address of mail among the next words, or a number of a telephone.
pub(super) fn mail(rest: &[Word]) -> Option<String> {
    let word = rest.first()?;
    let (user, host) = word.raw.split_once('@')?;
    let plain = |text: &str| !text.is_empty() && !text.contains('@');
    (plain(user) && plain(host) && host.contains('.')).then(|| word.low.clone())
}

pub(super) fn telephone(rest: &[Word]) -> Option<String> {
    let is_part =
        |w: &&Word| w.raw.chars().all(|c| c.is_ascii_digit() || matches!(c, '+' | '-' | '(' | ')' | '.' | '/'));
    let words: Vec<&str> = rest.iter().take(6).take_while(is_part).map(|w| w.raw.as_str()).collect();
    let digits = words.iter().flat_map(|w| w.bytes()).filter(u8::is_ascii_digit).count();
    (7..=15).contains(&digits).then(|| words.join(" "))
}
