//! The summary of a session: how it ended, and the sentences that are most about what the others are about.

use super::{
    evaluate::Verdict,
    event::{Cited, Event, cut},
};
use crate::{
    lexical::analyse,
    limits::{REFLECT_CANDIDATES_MAX, REFLECT_SENTENCES_MAX, REFLECT_SUMMARY_CHARS_MAX, SOURCES_MAX},
    model::EventType,
};
use std::collections::{BTreeMap, BTreeSet};

/// Who says what, as a summary names them.
const USER: &str = "User";
const AGENT: &str = "Agent";
/// Shortest sentence that can say something, in words.
const WORDS_MIN: usize = 4;
/// Longest sentence that is taken whole, in characters.
const CHARS_MAX: usize = 240;

/// What an answer begins with that says nothing without its question.
const ANSWERS: [&str; 12] =
    ["yes", "no", "done", "ok", "okay", "sure", "thanks", "great", "perfect", "right", "exactly", "yep"];

/// A text and the events that it quotes.
pub(super) struct Summary {
    pub text: String,
    /// Sentences that it quotes.
    pub quotes: usize,
    pub sources: Vec<Cited>,
}

/// A sentence that somebody said.
pub(super) struct Sentence {
    pub text: String,
    pub event: Cited,
    /// `User` or `Agent`.
    who: &'static str,
    terms: BTreeSet<String>,
}

impl Sentence {
    /// What is the same in two sentences that say the same with other case, punctuation and spacing. Order stays: who bites whom.
    pub fn key(&self) -> String {
        let mut key = String::new();
        analyse(&self.text, &mut |term, _, _| {
            key.push_str(term);
            key.push(' ');
        });
        key
    }

    /// The sentence as it stands in a summary after one of `before`: who says it is named where that changes.
    pub fn quoted(&self, before: &str) -> String {
        let end = if self.text.ends_with(['.', '!', '?', '…', '。']) { "" } else { "." };
        let who = if self.who == before { String::new() } else { format!("{}: ", self.who) };
        format!(" {who}{}{end}", cut(&self.text, CHARS_MAX))
    }

    /// Whether it answers a question that does not stand beside it: "Yes, that one.", "Done, all of them."
    pub fn only_answers(&self) -> bool {
        let (word, rest) = self.text.split_at(self.text.find(|c: char| !c.is_alphabetic()).unwrap_or(self.text.len()));
        ANSWERS.contains(&word.to_lowercase().as_str()) && !rest.starts_with([' ', '\''])
    }
}

pub(super) fn summarise(session: &str, events: &[Event], verdict: &Verdict) -> Summary {
    let end = match verdict.outcome {
        Some(outcome) => format!(" ended {}", outcome.in_words()),
        None => " goes on".to_owned(),
    };
    let mut text = format!("The session {session}{end}.");
    let mut failures: Vec<String> = Vec::new();
    for failing in verdict.failings.iter().take(REFLECT_SENTENCES_MAX) {
        let times = failing.times.all();
        let what = failing.tool.as_ref().map_or_else(|| "an error".to_owned(), |tool| format!("`{tool}`"));
        failures.push(format!("{what} failed with '{}' ({times}x)", failing.error));
    }
    if !failures.is_empty() {
        text.push_str(&format!(" {}.", failures.join("; ")));
    }
    let mut sources: Vec<Cited> = Vec::new();
    let mut who = "";
    for sentence in chosen(events) {
        let quoted = sentence.quoted(who);
        if text.chars().count() + quoted.chars().count() > REFLECT_SUMMARY_CHARS_MAX {
            continue;
        }
        text.push_str(&quoted);
        who = sentence.who;
        sources.push(sentence.event);
    }
    let quotes = sources.len();
    // One that quotes nothing still goes with the session that it is about.
    if sources.is_empty() {
        sources.extend(events.iter().map(Event::cited).take(SOURCES_MAX));
    }
    // The errors are words of their events too.
    let failed = verdict.failings.iter().take(REFLECT_SENTENCES_MAX).flat_map(|failing| &failing.times.new).flatten();
    let failed: BTreeSet<_> = failed.copied().collect();
    sources.extend(events.iter().filter(|event| failed.contains(&event.id)).map(Event::cited));
    sources.dedup();
    Summary { text, quotes, sources }
}

/// What a summary quotes: what was asked first, what was answered last, and what is central between them.
fn chosen(events: &[Event]) -> Vec<Sentence> {
    let said = |event: &Event| sentences(event).into_iter().filter(|sentence| !sentence.only_answers()).collect();
    let mut all: Vec<Sentence> = events.iter().flat_map(|event| -> Vec<Sentence> { said(event) }).collect();
    let first = all.iter().position(|sentence| sentence.who == USER).map(|place| all.remove(place));
    // "Is there anything else?" is no answer.
    let answers = |sentence: &Sentence| sentence.who == AGENT && !sentence.text.ends_with(['?', '？']);
    let answer = all.iter().rfind(|sentence| answers(sentence)).map(|sentence| sentence.event.id);
    let last = all.iter().position(|sentence| answers(sentence) && Some(sentence.event.id) == answer);
    let last = last.map(|place| all.remove(place));
    let most = REFLECT_SENTENCES_MAX - usize::from(first.is_some()) - usize::from(last.is_some());
    let ends: Vec<&Sentence> = first.iter().chain(&last).collect();
    all.retain(|sentence| ends.iter().all(|end| overlap(&sentence.terms, &end.terms) <= 0.5));
    let middle = if most > 0 { central(all, most) } else { Vec::new() };
    let mut chosen: Vec<Sentence> = first.into_iter().collect();
    chosen.extend(middle);
    chosen.extend(last);
    chosen
}

/// The central ones of these sentences, in their order: those whose words occur in most of the others, no two about the same.
pub(super) fn central(mut sentences: Vec<Sentence>, most: usize) -> Vec<Sentence> {
    let drop = sentences.len().saturating_sub(REFLECT_CANDIDATES_MAX);
    sentences.drain(..drop);
    let mut spread: BTreeMap<&str, usize> = BTreeMap::new();
    for term in sentences.iter().flat_map(|s| s.terms.iter()) {
        *spread.entry(term).or_default() += 1;
    }
    let weight = |s: &Sentence| {
        let sum: usize = s.terms.iter().filter_map(|term| spread.get(term.as_str())).sum();
        sum as f64 / (s.terms.len() as f64 + 4.0).sqrt()
    };
    let weights: Vec<f64> = sentences.iter().map(weight).collect();
    let mut order: Vec<usize> = (0..sentences.len()).collect();
    let of = |i: &usize| weights.get(*i).copied().unwrap_or_default();
    order.sort_by(|a, b| of(b).total_cmp(&of(a)).then(a.cmp(b)));
    let mut chosen: BTreeSet<usize> = BTreeSet::new();
    for i in order {
        let Some(sentence) = sentences.get(i) else { continue };
        let repeats = |j: &usize| sentences.get(*j).is_some_and(|other| overlap(&sentence.terms, &other.terms) > 0.5);
        if !chosen.iter().any(repeats) {
            chosen.insert(i);
        }
        if chosen.len() == most {
            break;
        }
    }
    let mut place = 0;
    sentences.retain(|_| {
        place += 1;
        chosen.contains(&(place - 1))
    });
    sentences
}

fn overlap(a: &BTreeSet<String>, b: &BTreeSet<String>) -> f64 {
    a.intersection(b).count() as f64 / a.len().min(b.len()).max(1) as f64
}

/// What the user or the model said in an event, sentence by sentence.
pub(super) fn sentences(event: &Event) -> Vec<Sentence> {
    let mut out = Vec::new();
    if !(event.is(EventType::UserInput) || event.is(EventType::LlmResponse)) {
        return out;
    }
    let who = if event.is(EventType::UserInput) { USER } else { AGENT };
    for line in event.text.lines() {
        let mut start = 0;
        let mut chars = line.char_indices().peekable();
        while let Some((at, c)) = chars.next() {
            let ends = match c {
                '.' | '!' | '?' | '…' => chars.peek().is_none_or(|(_, next)| next.is_whitespace()),
                '。' | '！' | '？' => true,
                _ => chars.peek().is_none(),
            };
            if !ends {
                continue;
            }
            let end = at + c.len_utf8();
            let text = line.get(start..end).unwrap_or_default().trim();
            start = end;
            let (mut terms, mut words) = (BTreeSet::new(), 0);
            analyse(text, &mut |term, _, _| {
                words += 1;
                terms.insert(term.to_owned());
            });
            if words >= WORDS_MIN || (words >= 2 && text.split_whitespace().count() >= WORDS_MIN) {
                out.push(Sentence { text: text.to_owned(), event: event.cited(), who, terms });
            }
        }
    }
    out
}
