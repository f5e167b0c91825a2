//! "my name is", "my sister Anna", "I have a dog named Rex": what somebody has.

use super::{
    clause::{Clause, Word},
    dates::{self, Toward, When},
    read::{Found, Reader, Subject},
    slots,
    words::{
        ADDRESS_KINDS, EVENTS, FOLLOWERS, KIN, KINS, NO_FAVOURITES, PEOPLES, PETS, QUALITIES, Sense, TASTE_ENDS,
        THINGS, VAGUE,
    },
};
use crate::extract::DENIALS;

/// Words of the noun behind "favourite", and of its value.
const FAVOURITE_NOUN_MAX: usize = 3;
const FAVOURITE_VALUE_MAX: usize = 6;
/// Words that say more of a relative or a pet before it.
const QUALITIES_MAX: usize = 3;

/// Reads a clause that begins with "my"; gives whom it is about.
pub(super) fn read(reader: &mut Reader<'_>, me: &Subject, rest: &[Word], clause: &Clause) -> Option<Subject> {
    if clause.words.iter().any(|w| w.is(DENIALS)) {
        return Some(me.clone());
    }
    if reader.attribute(me, rest, clause) {
        return Some(me.clone());
    }
    let (what, used) = relative(rest)?;
    let behind = rest.get(used..)?;
    let owned = rest.get(used - 1)?.low.ends_with("'s");
    let named = match behind {
        // "my sister's name is Anna", "my sister is called Anna"
        [name, is, behind @ ..] if owned && name.low == "name" && is.low == "is" => {
            slots::name_run(behind).map(|n| (n, 2))
        }
        [is, called, behind @ ..] if !owned && is.low == "is" && (called.low == "called" || called.low == "named") => {
            slots::name_run(behind).map(|n| (n, 2))
        }
        [is, behind @ ..] if !owned && is.low == "is" && behind.len() == 1 => slots::name_run(behind).map(|n| (n, 1)),
        _ if !owned => slots::name_run(behind).map(|n| (n, 0)),
        _ => None,
    };
    // "My wife is French" says no name, "my cat is called Persian" does.
    let named = named.filter(|((name, _), skipped)| *skipped > 1 || !PEOPLES.contains(&name.to_lowercase().as_str()));
    // Nor does "my brother Google" behind "I work at Acme and".
    if reader.may_leave_out
        && named.as_ref().is_some_and(|((_, words), skipped)| *skipped == 0 && *words == behind.len())
    {
        return None;
    }
    if let Some(((name, words), skipped)) = named {
        reader.has(me, &what, &name, clause);
        let subject = Subject { name, is_me: false, is_loose: false };
        reader.predicate(&subject, behind.get(skipped + words..)?, clause);
        return Some(subject);
    }
    let subject = Subject { name: format!("{}'s {}", me.name, what.noun), is_me: false, is_loose: true };
    if owned {
        reader.attribute(&subject, behind, clause);
    } else {
        reader.predicate(&subject, behind, clause);
    }
    Some(subject)
}

/// A relative or a pet.
pub(super) struct Relative {
    pub noun: String,
    pub is_pet: bool,
}

/// A relative or a pet at the start of `rest`, and how many words it takes.
fn relative(rest: &[Word]) -> Option<(Relative, usize)> {
    let skipped = rest.iter().take(QUALITIES_MAX).take_while(|w| w.is(QUALITIES)).count();
    let word = rest.get(skipped)?;
    let low = word.low.strip_suffix("'s").unwrap_or(&word.low);
    let is_pet = PETS.contains(&low);
    let noun = match low {
        "mom" | "mum" => "mother",
        "dad" => "father",
        "kid" | "baby" => "child",
        "fiancé" | "fiancée" | "fiancee" => "fiance",
        "grandma" => "grandmother",
        "grandpa" => "grandfather",
        "coworker" => "colleague",
        "flatmate" => "roommate",
        "neighbor" => "neighbour",
        "puppy" | "pup" => "dog",
        "kitten" | "kitty" => "cat",
        "bunny" => "rabbit",
        other => other,
    };
    (is_pet || KIN.contains(&low)).then(|| (Relative { noun: noun.to_owned(), is_pet }, skipped + 1))
}

impl Reader<'_> {
    fn has(&mut self, me: &Subject, what: &Relative, name: &str, clause: &Clause) {
        let now = (self.at, self.at);
        let relation = if what.is_pet { "has_pet".to_owned() } else { format!("has_{}", what.noun) };
        self.push(&Found { subject: me, relation: &relation, object: name, sure: 0.85 }, false, now, clause);
        if what.is_pet && what.noun != "pet" {
            let pet = Subject { name: name.to_owned(), is_me: false, is_loose: false };
            self.push(&Found { subject: &pet, relation: "is_a", object: &what.noun, sure: 0.85 }, false, now, clause);
        }
    }

    /// "I have a dog named Rex", "I have two sisters". Whether it was such.
    pub(super) fn owning(&mut self, me: &Subject, rest: &[Word], clause: &Clause) -> bool {
        let skipped = rest.iter().take(2).take_while(|w| w.is(&["just", "recently", "also", "finally"])).count();
        let rest = rest.get(skipped..).unwrap_or_default();
        let [verb, rest @ ..] = rest else { return false };
        if !verb.is(&["have", "got", "adopted"]) || clause.words.iter().any(|w| w.is(DENIALS)) {
            return false;
        }
        let rest = if rest.first().is_some_and(|w| w.low == "got") { rest.get(1..).unwrap_or_default() } else { rest };
        let now = (self.at, self.at);
        if let [count, what, ..] = rest
            && verb.low == "have"
            && what.is(KINS)
            && let Some(number) = dates::number_of(&count.low)
        {
            let relation = format!("number_of_{}", what.low);
            let object = number.to_string();
            self.push(&Found { subject: me, relation: &relation, object: &object, sure: 0.85 }, false, now, clause);
            return true;
        }
        let [article, rest @ ..] = rest else { return false };
        if !article.is(&["a", "an", "this"]) {
            return false;
        }
        let Some((what, used)) = relative(rest) else { return false };
        let behind = rest.get(used..).unwrap_or_default();
        let named = match behind {
            [called, behind @ ..] if called.is(&["named", "called"]) => slots::name_run(behind),
            _ => None,
        };
        if let Some((name, _)) = named {
            self.has(me, &what, &name, clause);
            return true;
        }
        // "I got this puppy for you" is a gift.
        let goes_on = |w: &Word| w.is(FOLLOWERS) && w.low != "for";
        if what.is_pet && what.noun != "pet" && behind.first().is_none_or(goes_on) {
            let sense = if verb.low == "have" { Sense::Is } else { Sense::Became };
            if let Some(time) = self.time(sense, false, clause) {
                self.push(
                    &Found { subject: me, relation: "has_pet", object: &what.noun, sure: 0.8 },
                    false,
                    time,
                    clause,
                );
            }
            return true;
        }
        false
    }

    /// "name is Ada", "favourite colour is blue" behind "my". Whether it was such.
    pub(super) fn attribute(&mut self, owner: &Subject, rest: &[Word], clause: &Clause) -> bool {
        let lows: Vec<&str> = rest.iter().take(4).map(|w| w.low.as_str()).collect();
        let now = (self.at, self.at);
        let put = |reader: &mut Self, relation: &str, object: Option<String>, sure: f64| {
            if let Some(object) = object {
                reader.push(&Found { subject: owner, relation, object: &object, sure }, false, now, clause);
            }
            true
        };
        match lows.as_slice() {
            ["name", "is", ..] if owner.is_me => {
                let name = rest.get(2..).and_then(slots::name_run).map(|(name, _)| self.in_full(name));
                put(self, "is_named", name, 0.95)
            }
            ["birthday", "is", ..] => {
                let day = rest.get(2..).and_then(|rest| dates::find(rest, self.at, Toward::Future));
                put(self, "birthday", day.and_then(birthday), 0.9)
            }
            ["favorite" | "favourite", ..] => {
                let found = favourite(rest.get(1..).unwrap_or_default());
                match found {
                    Some((noun, value)) => put(self, &format!("favourite_{noun}"), Some(value), 0.85),
                    None => true,
                }
            }
            _ => self.reachable(owner, rest, clause),
        }
    }

    /// "Bond, James Bond".
    fn in_full(&self, name: String) -> String {
        let full = self.after.as_ref().filter(|full| full.split(' ').count() > 1);
        match full.filter(|full| full.rsplit(' ').next() == Some(name.as_str())) {
            Some(full) => full.clone(),
            None => name,
        }
    }

    /// Addresses, dates of events and makes of things.
    fn reachable(&mut self, owner: &Subject, rest: &[Word], clause: &Clause) -> bool {
        let now = (self.at, self.at);
        let Some(is) = rest.iter().take(4).position(|w| w.low == "is") else { return false };
        let (noun, value) = (rest.get(..is).unwrap_or_default(), rest.get(is + 1..).unwrap_or_default());
        let has = |list: &[&str]| noun.iter().any(|w| w.is(list));
        let value_at =
            |skip: &[&str]| value.get(usize::from(value.first().is_some_and(|w| w.is(skip)))..).unwrap_or_default();
        let found = if has(&["email", "e-mail", "mail"]) {
            slots::mail(value).map(|mail| (address("email", noun), mail))
        } else if has(&["phone", "mobile", "cell", "telephone", "number"]) && slots::telephone(value).is_some() {
            slots::telephone(value).map(|number| (address("phone", noun), number))
        } else if let [event] = noun
            && event.is(EVENTS)
        {
            let day = dates::find(value, self.at, Toward::Future).filter(|when| when.first == 0 && when.is_day());
            day.map(|day| (format!("{}_date", event.low), When { has_year: true, ..day }.value()))
        } else if let [thing] = noun
            && thing.is(THINGS)
            && value.first().is_some_and(|w| w.is(&["a", "an"]))
        {
            let make = slots::name(value_at(&["a", "an"])).map(|(name, _)| name);
            let relation = if thing.low == "phone" { "phone_model".to_owned() } else { thing.low.clone() };
            make.map(|make| (relation, make))
        } else {
            None
        };
        let Some((relation, object)) = found else { return false };
        self.push(&Found { subject: owner, relation: &relation, object: &object, sure: 0.9 }, false, now, clause);
        true
    }

    /// "today is my birthday".
    pub(super) fn birthday_turned(&mut self, clause: &Clause) {
        let turned = clause
            .words
            .windows(3)
            .any(|w| matches!(w, [is, my, day] if is.low == "is" && my.low == "my" && day.low == "birthday"));
        if let Some(object) = dates::find(&clause.words, self.at, Toward::Future).filter(|_| turned).and_then(birthday)
        {
            let me = Subject { name: self.me.to_owned(), is_me: true, is_loose: false };
            self.push(
                &Found { subject: &me, relation: "birthday", object: &object, sure: 0.85 },
                false,
                (self.at, self.at),
                clause,
            );
        }
    }
}

/// "work email" is another one than "email".
fn address(what: &str, noun: &[Word]) -> String {
    let kind = noun.iter().find(|w| w.is(ADDRESS_KINDS));
    kind.map_or_else(|| what.to_owned(), |kind| format!("{}_{what}", kind.low))
}

/// A birthday comes every year, so its year says nothing.
fn birthday(when: When) -> Option<String> {
    when.is_day().then(|| When { has_year: false, ..when }.value())
}

/// "colour is blue": the noun as part of a relation, and the value.
fn favourite(rest: &[Word]) -> Option<(String, String)> {
    let is = rest.iter().take(FAVOURITE_NOUN_MAX + 1).position(|w| matches!(w.low.as_str(), "is" | "are"))?;
    let noun = rest.get(..is).filter(|noun| !noun.is_empty() && !noun.iter().any(|w| w.is(NO_FAVOURITES) || w.ends))?;
    let noun = noun.iter().map(|w| w.low.as_str()).collect::<Vec<_>>().join("_");
    let value = rest.get(is + 1..)?;
    let skipped =
        usize::from(value.first().is_some_and(|w| matches!(w.low.as_str(), "probably" | "definitely" | "the")));
    let value = value.get(skipped..)?;
    let mut used = value.iter().position(|w| w.is(TASTE_ENDS)).unwrap_or(value.len());
    if let Some(stop) = value.iter().take(used).position(|w| w.ends) {
        used = stop + 1;
    }
    let value = value.get(..used).filter(|v| !v.is_empty() && v.len() <= FAVOURITE_VALUE_MAX)?;
    let first = value.first()?;
    let vague = first.is(VAGUE) && !first.is_upper();
    (!vague).then(|| (noun, value.iter().map(|w| w.raw.as_str()).collect::<Vec<_>>().join(" ")))
}
