//! From what was said to drafts: the subject of each clause, then what is said of it.

use super::{
    Draft, Skipped,
    clause::{Behind, Clause, Word, clauses},
    dates::{self, Toward},
    framed, is_single, junk, owned, places, slots, taken_back,
    words::{ACTIVITIES, ADVERBS, CORRECTS, FILLERS, LISTED, NO_NAMES, PREDICATES, Predicate, Sense, Slot, TITLES},
};
use crate::{
    extract::DENIALS,
    limits::{FACT_TEXT_BYTES_MAX, FACTS_PER_MEMORY_MAX},
    model::{Claim, NAMELESS, Timestamp},
};
use std::borrow::Cow;

/// Words before a subject that are passed over.
const LEADING_MAX: usize = 6;
/// Words of "moved from ... to".
const FROM_WORDS_MAX: usize = 7;
/// Words of a person's name.
const PERSON_WORDS_MAX: usize = 3;
/// First words of a statement that may say that it corrects another.
const CORRECTING_WORDS: usize = 2;
/// With these, more of the same may follow a statement: "I live with my brother Tom and my sister Anna".
const TOGETHER: &[&str] = &["my", "our", "with"];
/// What is taken off where a statement is of more than its speaker, or of somebody named in passing.
const LESS: f64 = 0.9;

/// What somebody said.
#[derive(Debug, Clone, Copy)]
pub struct Said<'a> {
    /// The words.
    pub text: &'a str,
    /// Who said them.
    pub speaker: Option<&'a str>,
    /// In which role.
    pub role: Option<&'a str>,
    /// The user they belong to.
    pub user: Option<&'a str>,
    /// The session they were said in.
    pub session: Option<&'a str>,
    /// Names of their sources.
    pub sources: &'a [String],
    /// When.
    pub at: Timestamp,
}

/// Roles of programs.
const MACHINES: [&str; 5] = ["assistant", "system", "tool", "developer", "model"];

impl Said<'_> {
    /// Whom "I" means. Whoever has neither a name nor an owner is somebody else in every session.
    pub(crate) fn me(&self) -> Cow<'_, str> {
        match (self.speaker.or(self.user), self.session) {
            (Some(name), _) => Cow::Borrowed(name),
            (None, Some(session)) => Cow::Owned(nameless(session)),
            (None, None) => Cow::Borrowed(NAMELESS),
        }
    }
}

/// The name of a speaker who has none: "user of chat-7". Names that no claim can hold are told by their hash.
fn nameless(session: &str) -> String {
    let name = format!("{NAMELESS} of {session}");
    let is_name = Claim::new(&name, "is", NAMELESS, 1.0).is_ok_and(|claim| claim.subject == name);
    if is_name { name } else { format!("{NAMELESS} of session {}", blake3::hash(session.as_bytes()).to_hex()) }
}

/// What was said without the words of others in it: quotations, code, texts to work on.
pub(crate) fn own_words<'t>(said: &Said<'t>) -> Result<Cow<'t, str>, Skipped> {
    framed::own(said.text, &said.me())
}

/// The facts of what was said, in its order, at most `limits::FACTS_PER_MEMORY_MAX`; or why none are looked for.
pub fn drafts(said: &Said<'_>) -> Result<Vec<Draft>, Skipped> {
    if said.role.is_some_and(|role| MACHINES.iter().any(|machine| role.eq_ignore_ascii_case(machine))) {
        return Err(Skipped::Machine);
    }
    if junk::boots(said.text, said.sources) {
        return Err(Skipped::BootFile);
    }
    if junk::acknowledges(said.text) {
        return Err(Skipped::Acknowledgement);
    }
    if said.text.len() > FACT_TEXT_BYTES_MAX {
        return Err(Skipped::TooLong);
    }
    let (me, text) = (said.me(), own_words(said)?);
    let mut reader = Reader { me: &me, at: said.at, out: Vec::new(), listing: None, after: None, may_leave_out: false };
    let mut subject: Option<Subject> = None;
    let clauses = clauses(&text);
    for (at, clause) in clauses.iter().enumerate() {
        let (before, known) = (subject.clone().filter(|_| clause.continues), reader.out.len());
        reader.after = clauses.get(at + 1).and_then(|next| slots::whole_name(&next.words));
        let last = at.checked_sub(1).and_then(|last| clauses.get(last)).filter(|last| last.sentence == clause.sentence);
        let is_mine = subject.as_ref().is_some_and(|subject| subject.is_me);
        // Of what one likes a list goes on: "I love hiking and my dog Rex".
        let is_taste =
            reader.out.last().is_some_and(|d| matches!(d.relation.as_str(), "likes" | "dislikes" | "prefers"));
        reader.may_leave_out =
            is_mine && !is_taste && last.is_some_and(|last| !last.words.iter().any(|w| w.is(TOGETHER)));
        // What goes on with a subject goes on with a statement: "I love the joy and love theme" does not.
        subject = reader.clause(clause, before).filter(|_| reader.out.len() > known);
        if let Some(listing) = reader.listing.take() {
            reader.list(&listing, known, clauses.get(at..).unwrap_or_default());
        }
    }
    let mut out = taken_back::apply(corrected(reader.out, &text), &text);
    out.truncate(FACTS_PER_MEMORY_MAX);
    Ok(out)
}

/// Whom a clause is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Subject {
    pub name: String,
    /// The speaker: verbs stand in the first person.
    pub is_me: bool,
    /// "we", or somebody without a name of their own: said with less weight.
    pub is_loose: bool,
}

pub(super) struct Reader<'a> {
    pub me: &'a str,
    pub at: Timestamp,
    pub out: Vec<Draft>,
    /// What the clause at hand begins to list.
    listing: Option<Listing>,
    /// The name that is all of the next clause.
    pub after: Option<String>,
    /// Whether the clause may leave out the verb of the one before: "I work at Acme and my brother Google".
    pub may_leave_out: bool,
}

/// A statement whose value ends its clause, so that more of its kind may follow.
struct Listing {
    subject: Subject,
    relation: String,
    slot: Slot,
    sure: f64,
    is_end: bool,
    time: (Timestamp, Timestamp),
}

/// Without what the speaker himself took back: "I live in Oslo. Actually no, I live in Rome."
fn corrected(out: Vec<Draft>, text: &str) -> Vec<Draft> {
    let takes_back = |old: &Draft, new: &Draft| {
        let same = old.relation == new.relation && Claim::name_key(&old.subject) == Claim::name_key(&new.subject);
        // What stands between the two, and before the subject of the second.
        let between = text.get(old.end..new.start).unwrap_or_default().to_lowercase();
        let begins = text.get(new.start..new.end).unwrap_or_default().to_lowercase();
        let is_word = |c: char| !c.is_alphanumeric();
        let first = begins.split(is_word).take(CORRECTING_WORDS);
        let corrects = || between.split(is_word).chain(first.clone()).any(|word| CORRECTS.contains(&word));
        same && !old.is_end && !new.is_end && is_single(&new.relation) && corrects()
    };
    let gone: Vec<bool> =
        out.iter().enumerate().map(|(at, old)| out.iter().skip(at + 1).any(|new| takes_back(old, new))).collect();
    out.into_iter().zip(gone).filter(|(_, gone)| !gone).map(|(draft, _)| draft).collect()
}

/// What one draft is made of, beside its time.
pub(super) struct Found<'a> {
    pub subject: &'a Subject,
    pub relation: &'a str,
    pub object: &'a str,
    pub sure: f64,
}

impl Reader<'_> {
    /// Reads a clause; gives whom it was about. `before` is the subject it may go on with.
    fn clause(&mut self, clause: &Clause, before: Option<Subject>) -> Option<Subject> {
        let words = clause.words.as_slice();
        let when = dates::find(words, self.at, Toward::Past);
        if before.is_some() && words.first().is_some_and(begins_predicate) {
            let subject = before?;
            self.predicate(&subject, words, clause);
            return Some(subject);
        }
        // "I have a cat called Misty and a dog called Rex."
        if let (Some(subject), Some(first)) = (&before, words.first())
            && first.is(&["a", "an"])
            && self.out.last().is_some_and(|d| d.relation.starts_with("has_") || d.relation == "is_a")
        {
            let have = Word { raw: "have".to_owned(), low: "have".to_owned(), ends: false, ..first.clone() };
            let said: Vec<Word> = std::iter::once(have).chain(words.iter().cloned()).collect();
            return self.owning(subject, &said, clause).then(|| subject.clone());
        }
        let mut at = 0;
        while at < words.len() {
            if let Some(found) = when.filter(|when| when.first == at) {
                at += found.len;
                continue;
            }
            let word = words.get(at)?;
            let rest = words.get(at + 1..)?;
            if word.low == "i" || word.low == "we" {
                let subject = Subject { name: self.me.to_owned(), is_me: true, is_loose: word.low == "we" };
                if !self.owning(&subject, rest, clause) {
                    self.predicate(&subject, rest, clause);
                }
                return Some(subject);
            }
            if word.low == "my" || word.low == "our" {
                return self.owned(rest, clause);
            }
            if !word.is(FILLERS) || at >= LEADING_MAX {
                return self.named(clause, at);
            }
            at += 1;
        }
        None
    }

    /// A clause about somebody by name.
    fn named(&mut self, clause: &Clause, at: usize) -> Option<Subject> {
        let rest = clause.words.get(at..)?;
        self.birthday_turned(clause);
        let first = rest.first()?;
        // "Anna's birthday is on 3 May."
        if let Some(owner) = first.raw.strip_suffix("'s").or_else(|| first.raw.strip_suffix("’s")) {
            let is_name =
                first.is_upper() && owner.chars().count() > 1 && !NO_NAMES.contains(&owner.to_lowercase().as_str());
            let subject = Subject { name: owner.to_owned(), is_me: false, is_loose: true };
            if is_name {
                self.attribute(&subject, rest.get(1..)?, clause);
            }
            return is_name.then_some(subject);
        }
        let (name, used) = slots::name_run(rest)?;
        // A verb must follow: "Anna, I live in Oslo" is about me.
        if used > PERSON_WORDS_MAX || rest.get(used - 1).is_some_and(|w| w.ends) {
            return None;
        }
        // A word that is written with a capital letter because it comes first is no name by that alone.
        let is_plural = clause.is_first && used == 1 && first.low.ends_with('s') && !first.low.ends_with("ss");
        let subject = Subject { name, is_me: false, is_loose: clause.is_first && used == 1 };
        if !is_plural || rest.get(used).is_some_and(|w| w.low.ends_with('s')) {
            self.predicate(&subject, rest.get(used..)?, clause);
        }
        Some(subject)
    }

    /// What is said of `subject` from `rest` on, where its verb stands.
    pub(super) fn predicate(&mut self, subject: &Subject, rest: &[Word], clause: &Clause) {
        let Some(verb) = Verb::read(rest) else { return };
        let words = verb.words.as_slice();
        if !verb.is_base && !words.first().is_some_and(|first| agrees(subject.is_me, first)) {
            return;
        }
        let found = PREDICATES.iter().find_map(|predicate| {
            let slot = words.get(matched(predicate.0, words)?..)?;
            let value = slots::value(predicate.2, slot);
            // A date of birth is read where its time is.
            let value = value.or_else(|| (predicate.2 == Slot::Birth).then(|| (String::new(), 0)));
            let (object, used) = value?;
            let behind = slot.get(used..).unwrap_or_default();
            if !fits(predicate, &object, behind, clause) {
                return None;
            }
            (!is_cut(clause, predicate, slot, used)).then_some((predicate, slot, object, used))
        });
        let Some((predicate, slot, object, used)) = found else { return };
        let behind = slot.get(used..).unwrap_or_default();
        self.take(subject, (predicate, &object), &verb, (slot, clause));
        if !behind.is_empty() {
            self.listing = None;
        }
        // "as a nurse at Acme"
        if predicate.1 == "works_as"
            && behind.first().is_some_and(|w| w.low == "at" || w.low == "for")
            && let Some((place, _)) = behind.get(1..).and_then(slots::name)
        {
            let at = ("", "works_at", Slot::Name, predicate.3, predicate.4);
            self.take(subject, (&at, &place), &verb, (slot, clause));
        }
    }

    fn take(&mut self, subject: &Subject, said: (&Predicate, &str), verb: &Verb, place: (&[Word], &Clause)) {
        let ((_, relation, _, sense, sure), object) = said;
        let (slot, clause) = place;
        if *relation == "born" {
            self.born(subject, object, slot, clause);
            return;
        }
        let relation = if verb.dislikes && *relation == "likes" { "dislikes" } else { relation };
        if verb.dislikes && relation != "dislikes" {
            return;
        }
        let is_end = verb.ends || *sense == Sense::Ended;
        let Some((from, latest)) = self.time(*sense, is_end, clause) else { return };
        let found = Found { subject, relation, object, sure: *sure };
        self.push(&found, is_end, (from, latest), clause);
        if LISTED.contains(&relation) {
            let (subject, relation) = (subject.clone(), relation.to_owned());
            let (slot, sure, time) = (said.0.2, *sure, (from, latest));
            self.listing = Some(Listing { subject, relation, slot, sure, is_end, time });
        }
        // Whoever does not like it likes it no longer.
        if relation == "dislikes" && !is_end {
            self.push(&Found { relation: "likes", ..found }, true, (from, latest), clause);
        }
    }

    /// The items that follow in `clauses`, of which the first began the list. Of what one cannot bear all is read, or nothing.
    fn list<'c>(&mut self, listing: &Listing, known: usize, clauses: &'c [Clause]) {
        let Some((first, rest)) = clauses.split_first() else { return };
        let rest: Vec<&'c Clause> =
            rest.iter().take_while(|clause| clause.sentence == first.sentence && !states(clause)).collect();
        // A list ends with "and" or "or" before its last item.
        let Some(last) = rest.iter().position(|clause| clause.lists) else { return };
        let is_long = last > 0;
        let read = |clause: &'c Clause| Some((slots::item(listing.slot, &clause.words, is_long)?, clause));
        let items: Vec<(String, &Clause)> = rest.iter().take(last + 1).map_while(|clause| read(clause)).collect();
        if items.len() != last + 1 {
            if listing.slot == Slot::Allergy {
                self.out.truncate(known);
            }
            return;
        }
        for (item, clause) in items {
            let Listing { subject, relation, sure, is_end, time, .. } = listing;
            let found = Found { subject, relation, object: &item, sure: *sure };
            self.push(&found, *is_end, *time, clause);
            if relation == "dislikes" && !is_end {
                self.push(&Found { relation: "likes", ..found }, true, *time, clause);
            }
        }
    }

    fn born(&mut self, subject: &Subject, place: &str, slot: &[Word], clause: &Clause) {
        let now = (self.at, self.at);
        let day = dates::find(slot, self.at, Toward::Past).filter(|when| when.first == 0 && when.is_day());
        if let Some(day) = day {
            let value = day.value();
            self.push(&Found { subject, relation: "birthday", object: &value, sure: 0.9 }, false, now, clause);
        } else if let Some(year) = slot.first().filter(|w| dates::year_of(&w.low).is_some()) {
            self.push(&Found { subject, relation: "birth_year", object: &year.low, sure: 0.9 }, false, now, clause);
        } else if !place.is_empty() && dates::month_of(&place.to_lowercase()).is_none() {
            self.push(&Found { subject, relation: "born_in", object: place, sure: 0.85 }, false, now, clause);
        }
    }

    /// From when a fact holds, and the latest that this may mean. `None` where it lies ahead.
    pub(super) fn time(&self, sense: Sense, is_end: bool, clause: &Clause) -> Option<(Timestamp, Timestamp)> {
        let now = Some((self.at, self.at));
        let Some(when) = dates::find(&clause.words, self.at, Toward::Past) else {
            // "a few years ago" is some other time than now.
            let is_long_ago = sense == Sense::Became && clause.words.iter().any(|w| w.low == "ago" || w.low == "once");
            return now.filter(|_| !is_long_ago);
        };
        let (start, end) = (when.start()?, when.end()?);
        if start > self.at {
            return None;
        }
        let since = clause.words.get(when.first).is_some_and(|w| w.low == "since");
        let dated = since || sense != Sense::Is || is_end;
        if dated { Some((start, end.min(self.at))) } else { now }
    }

    pub(super) fn push(&mut self, found: &Found<'_>, is_end: bool, time: (Timestamp, Timestamp), clause: &Clause) {
        let Some((first, last)) = clause.words.first().zip(clause.words.last()) else { return };
        let Found { subject, relation, object, sure } = found;
        // Names that a claim cannot hold are none.
        let Ok(claim) = Claim::new(&subject.name, relation, object, 1.0) else { return };
        let itself = Claim::name_key(&claim.subject) == Claim::name_key(&claim.object);
        let known = self.out.iter().any(|d| {
            d.relation == claim.relation
                && Claim::name_key(&d.subject) == Claim::name_key(&claim.subject)
                && Claim::name_key(&d.object) == Claim::name_key(&claim.object)
        });
        if itself || known {
            return;
        }
        self.out.push(Draft {
            subject: claim.subject,
            relation: claim.relation,
            object: claim.object,
            is_end,
            confidence: if subject.is_loose { sure * LESS } else { *sure },
            from: time.0,
            latest: time.1,
            start: first.start,
            end: last.end,
        });
    }
}

/// The words from the verb on, without adverbs and without what denies.
struct Verb {
    words: Vec<Word>,
    /// Whether it holds no longer.
    ends: bool,
    /// Whether "do not like" was said.
    dislikes: bool,
    /// Whether the verb stands in its base form, whoever is the subject.
    is_base: bool,
}

impl Verb {
    fn read(rest: &[Word]) -> Option<Self> {
        let lows: Vec<&str> = rest.iter().map(|w| w.low.as_str()).collect();
        let mut verb = Self { words: Vec::new(), ends: false, dislikes: false, is_base: false };
        let late = |at: usize| matches!(lows.get(at..), Some(["anymore", ..] | ["any", "more" | "longer", ..]));
        let any_more = (0..lows.len()).any(late);
        let (mut at, mut denied) = (0, false);
        while at < lows.len() {
            match lows.get(at..)? {
                ["no", "longer", ..] => {
                    verb.ends = true;
                    at += 2;
                }
                ["used", "to", ..] if verb.words.is_empty() => {
                    (verb.ends, verb.is_base) = (true, true);
                    at += 2;
                }
                ["do" | "does", "not", ..] if verb.words.is_empty() => {
                    (denied, verb.is_base) = (true, true);
                    at += 2;
                }
                ["can", "not", "stand", ..] if verb.words.is_empty() => {
                    let hates = rest.get(at + 2)?;
                    verb.words.push(Word { low: "hate".to_owned(), raw: "hate".to_owned(), ..hates.clone() });
                    verb.is_base = true;
                    at += 3;
                }
                ["not", ..] => {
                    denied = true;
                    at += 1;
                }
                ["anymore", ..] if denied => at += 1,
                ["any", "more" | "longer", ..] if denied => at += 2,
                _ => {
                    let word = rest.get(at)?;
                    let is_adverb = word.is(ADVERBS) && verb.words.len() < 2;
                    if !is_adverb {
                        verb.words.push(word.clone());
                    }
                    at += 1;
                }
            }
        }
        if denied && any_more {
            verb.ends = true;
        } else if denied {
            verb.dislikes = verb.words.first().is_some_and(|w| matches!(w.low.as_str(), "like" | "enjoy"));
            if !verb.dislikes {
                return None;
            }
        }
        verb.settle();
        // Any other denial: what is said is not so.
        (!verb.words.is_empty() && !verb.words.iter().any(|w| w.is(DENIALS))).then_some(verb)
    }
}

impl Verb {
    /// "moved from Oslo to Berlin" is "moved to Berlin"; behind "used to", "be" is passed over.
    fn settle(&mut self) {
        let from = matches!(self.words.as_slice(), [moved, from, ..] if moved.is(&["moved", "relocated"]) && from.low == "from");
        let to = self.words.iter().take(FROM_WORDS_MAX).position(|w| w.low == "to").filter(|_| from);
        if let Some(to) = to {
            self.words.drain(1..to);
        }
        if self.is_base && self.words.first().is_some_and(|w| w.low == "be") {
            self.words.remove(0);
        }
    }
}

/// Whether a value goes on behind its clause: "I love stories that end well", "I love fantasy and horror films".
fn is_cut(clause: &Clause, predicate: &Predicate, slot: &[Word], used: usize) -> bool {
    if used < slot.len() || !matches!(predicate.2, Slot::Taste | Slot::Thing) {
        return false;
    }
    let whole = |w: &Word| w.is(ACTIVITIES) || (w.low.ends_with('s') && !w.low.ends_with("ss"));
    let stands_alone = used != 1 || slot.first().is_some_and(whole);
    match clause.behind {
        Behind::That => true,
        Behind::And => !stands_alone,
        // "I prefer simple, short texts."
        Behind::Stop => predicate.1 == "prefers" && !stands_alone && slot.first().is_some_and(|w| w.ends),
    }
}

/// Whether a value is of the sort that its predicate wants, by more than its form.
fn fits(predicate: &Predicate, object: &str, behind: &[Word], clause: &Clause) -> bool {
    let (pattern, relation, _, sense, _) = predicate;
    let first = object.split(' ').next().unwrap_or_default().to_lowercase();
    let is_person = TITLES.contains(&first.as_str());
    let moves = *relation == "lives_in" && *sense == Sense::Became && pattern.contains("moved");
    let is_tool = *relation == "lives_in" && places::is_tool(object);
    let is_no_place = is_tool || (is_person && matches!(*relation, "lives_in" | "visited"));
    !is_no_place && (!moves || places::is_moved_to(object, behind, clause))
}

/// Whether a clause is a statement of its own and no item of a list.
fn states(clause: &Clause) -> bool {
    const WHO: &[&str] = &["i", "we", "my", "our", "he", "she", "they", "it", "you", "this", "that", "there"];
    clause.words.first().is_some_and(|w| w.is(WHO) || begins_predicate(w))
}

pub(super) fn begins_predicate(word: &Word) -> bool {
    word.is(&["no", "used"])
        || PREDICATES
            .iter()
            .any(|(pattern, ..)| pattern.split(' ').next().is_some_and(|first| first.split('|').any(|w| w == word.low)))
}

/// How many words a pattern takes where it matches.
fn matched(pattern: &str, words: &[Word]) -> Option<usize> {
    let parts = pattern.split(' ');
    let len = parts.clone().count();
    let taken = words.get(..len)?;
    let same = parts.zip(taken).all(|(part, word)| part.split('|').any(|p| p == word.low));
    // A sign inside a pattern parts what would belong together.
    let whole = taken.iter().all(|w| !w.ends);
    (same && whole).then_some(len)
}

/// Whether a verb fits its subject: "I live", "Anna lives".
fn agrees(is_me: bool, verb: &Word) -> bool {
    const FIRST: &[&str] = &[
        "live", "reside", "work", "come", "have", "am", "are", "love", "like", "enjoy", "adore", "hate", "dislike",
        "prefer", "speak", "own", "play", "study",
    ];
    let low = verb.low.as_str();
    if is_me { !low.ends_with('s') || low == "was" } else { !FIRST.contains(&low) }
}

/// How a telephone, an address and the rest of "my ..." are read stands in `owned`.
impl Reader<'_> {
    fn owned(&mut self, rest: &[Word], clause: &Clause) -> Option<Subject> {
        let me = Subject { name: self.me.to_owned(), is_me: true, is_loose: false };
        owned::read(self, &me, rest, clause)
    }
}
