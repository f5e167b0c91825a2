//! What a speaker takes back in the words behind a statement: "I live in Oslo. No wait, Bergen.", "I work at Acme. Just kidding."

use super::{Draft, is_single, places};
use crate::model::Claim;

/// Take back the sentence before them.
const TAKES_BACK: &[&str] = &[
    "scratch that", "strike that", "just kidding", "only kidding", "i'm kidding", "i am kidding", "just joking",
    "only joking", "i'm joking", "i am joking",
];
/// Stand before the right value, and nothing else.
const CORRECTS: &[&str] = &["no wait", "no, wait", "wait no", "wait, no", "i mean", "i meant", "make that", "correction"];
/// Stand before a place that is the right one, or before whom one talks to.
const MAY_CORRECT: &[&str] = &["sorry", "no", "wait", "oops", "rather", "actually"];
/// Words of a value that stands alone.
const VALUE_WORDS_MAX: usize = 3;
const SENTENCE_ENDS: [char; 4] = ['.', '!', '?', '\n'];

/// Without what was taken back, and with what was put right.
pub(super) fn apply(mut drafts: Vec<Draft>, text: &str) -> Vec<Draft> {
    // Every byte stays where it is.
    let low = text.to_ascii_lowercase();
    let positions = |list: &'static [&'static str]| list.iter().flat_map(|phrase| stands(&low, phrase));
    for (at, _) in positions(TAKES_BACK) {
        let from = sentence_before(text, at);
        drafts.retain(|d| d.start < from || d.start >= at);
    }
    let certain = positions(CORRECTS).map(|found| (found, true));
    for ((at, len), is_certain) in certain.chain(positions(MAY_CORRECT).map(|found| (found, false))) {
        let Some((value, end)) = value(text, at + len) else { continue };
        let from = sentence_before(text, at);
        let Some(last) = drafts.iter().rposition(|d| d.start >= from && d.start < at) else { continue };
        let Some(draft) = drafts.get_mut(last) else { continue };
        let is_place = draft.relation == "lives_in" && places::is_known(value);
        let is_name = is_certain && ["lives_in", "works_at"].contains(&draft.relation.as_str());
        let is_said = text.get(draft.start..at).is_some_and(|said| said.contains(&draft.object));
        if draft.is_end || !is_single(&draft.relation) || !is_said || !(is_place || is_name) {
            continue;
        }
        if let Ok(claim) = Claim::new(&draft.subject, &draft.relation, value, 1.0) {
            (draft.object, draft.end) = (claim.object, end);
        }
    }
    drafts
}

/// Where a phrase stands behind a sign, in words of its own; with its length.
fn stands(low: &str, phrase: &'static str) -> impl Iterator<Item = (usize, usize)> {
    low.match_indices(phrase).map(|(at, found)| (at, found.len())).filter(move |&(at, len)| {
        let before = low.get(..at).unwrap_or_default();
        let is_apart = before.ends_with(|c: char| !c.is_alphanumeric())
            && before.trim_end().ends_with(|c: char| !c.is_alphanumeric() && !matches!(c, '\'' | '’' | '"'));
        is_apart && !low.get(at + len..).unwrap_or_default().starts_with(char::is_alphanumeric)
    })
}

/// Where the sentence begins that ends at `at`, or is gone on with there.
fn sentence_before(text: &str, at: usize) -> usize {
    let before = text.get(..at).unwrap_or_default().trim_end_matches(|c: char| !c.is_alphanumeric());
    before.rfind(SENTENCE_ENDS).map_or(0, |end| end + 1)
}

/// A name that is all that follows up to the end of its sentence, and where it ends.
fn value(text: &str, from: usize) -> Option<(&str, usize)> {
    let rest = text.get(from..)?;
    let sentence = rest.get(..rest.find(SENTENCE_ENDS).unwrap_or(rest.len()))?;
    let name = sentence.trim_matches(|c: char| !c.is_alphanumeric());
    let is_name = |word: &str| {
        word.starts_with(char::is_uppercase) && word.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '\''))
    };
    let is_one = !name.is_empty() && name.split(' ').count() <= VALUE_WORDS_MAX && name.split(' ').all(is_name);
    is_one.then(|| Some((name, from + sentence.find(name)? + name.len())))?
}
