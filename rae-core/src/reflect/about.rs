//! Whether what was learnt is about a question.

use super::verbs::alike;
use crate::{
    lexical::analyse,
    model::{Kind, Memory, MemoryId},
};
use serde_json::Value;
use std::collections::BTreeSet;

/// A meaning as near as this needs no common word.
const NEAR: f64 = 0.4;
/// A lesson whose strength times importance is below this is given to nobody: it was called useless again and again, or what it warns
/// of has long worked.
const WEIGHT_MIN: f64 = 0.1;
/// The same for a question with words that every lesson has, which bring it near to all of them.
const NEAR_BY_FRAME: f64 = 0.6;
/// The words that every lesson has.
const LESSON_FRAME: &str = "Calls failed times time in sessions session last on that was one of calls worked since for example words \
    of the tool not advice before calling it again check its arguments and the cause that error names what worked then after with first";
/// What a general form has in place of what differs.
const SIGNS: &str = "n id text path url time email secret st th";
/// Words that a question and a lesson have in common where the tool is not named.
const COMMON: usize = 2;
/// The words of a summary that are in each.
const FRAME: &str = "User Agent The session ended in success in failure with a part of it done because its time was over with an error goes on failed on in the week of sessions";

/// Whether a question is about what a memory was learnt from: the tool, the error and the way out, or what was said in the
/// session. The words that all lessons have in common ("calls", "times", "sessions") make none of them an answer. Memories that
/// were not learnt here are about what recall says.
pub(crate) fn is_about(memory: &Memory, question: &str, cosine: f64) -> bool {
    let field = |name: &str| memory.metadata.get(name).and_then(Value::as_str);
    let is_lesson = matches!(memory.kind, Kind::Lesson | Kind::Strategy) && field("signature").is_some();
    if is_lesson && memory.strength * memory.importance < WEIGHT_MIN {
        return false;
    }
    let subject = match memory.kind {
        _ if is_lesson => {
            let other_tool = field("way").and_then(|way| way.split('`').nth(1));
            let words = [field("tool"), field("cause"), field("rule"), other_tool];
            let own = terms(&words.into_iter().flatten().collect::<Vec<_>>().join(" "));
            // What stands for numbers and names in the general form is no word of the error.
            &own | &(&terms(field("error").unwrap_or_default()) - &terms(SIGNS))
        }
        Kind::Reflection if field("cluster").is_some() => {
            terms(&[field("tool"), field("error")].into_iter().flatten().collect::<Vec<_>>().join(" "))
        }
        // One that quotes nothing says what the lessons say.
        Kind::Reflection if memory.metadata.get("quotes") == Some(&Value::from(0)) => return false,
        Kind::Reflection if field("session_id").is_some() || field("bucket").is_some() => {
            &terms(&memory.content) - &terms(FRAME)
        }
        _ => return true,
    };
    let asked = terms(question);
    let is_framed = is_lesson && !asked.is_disjoint(&terms(LESSON_FRAME));
    let near = if is_framed { NEAR_BY_FRAME } else { NEAR };
    // One word of a lesson is a word of many questions: "I train for a marathon" is not about `book_train`.
    let common = if is_lesson { COMMON } else { 1 };
    cosine >= near || asked.intersection(&subject).count() >= common || (is_lesson && is_named(memory, &asked))
}

/// Whether all words of the tool are among those of a question, or others that do the same.
fn is_named(memory: &Memory, asked: &BTreeSet<String>) -> bool {
    let tool = memory.metadata.get("tool").and_then(Value::as_str).unwrap_or_default().to_lowercase();
    let mut words = tool.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).peekable();
    words.peek().is_some()
        && words.all(|word| {
            let own = terms(word);
            own.is_empty() || !terms(&alike(word).join(" ")).is_disjoint(asked)
        })
}

/// Whether a memory sums up a day or week from something that is among the hits itself, or a session or lessons that all are, and is
/// better read there.
pub(crate) fn repeats(memory: &Memory, is_hit: impl Fn(&MemoryId) -> bool) -> bool {
    let sources = &memory.provenance.derived_from;
    memory.kind == Kind::Reflection
        && (memory.metadata.contains_key("bucket") && sources.iter().any(&is_hit)
            || (memory.metadata.contains_key("cluster") || is_summary(memory)) && sources.iter().all(&is_hit))
}

/// Whether a reflection sums up a session, a day or a week, rather than saying what to do.
pub(crate) fn is_summary(memory: &Memory) -> bool {
    let of = |key: &str| memory.metadata.contains_key(key);
    memory.kind == Kind::Reflection && (of("session_id") || of("bucket"))
}

/// Whether a question names the tool that something was learnt about.
pub(crate) fn names_tool(memory: &Memory, question: &str) -> bool {
    let tool = terms(memory.metadata.get("tool").and_then(Value::as_str).unwrap_or_default());
    !tool.is_empty() && tool.is_subset(&terms(question))
}

fn terms(text: &str) -> BTreeSet<String> {
    let mut terms = BTreeSet::new();
    analyse(text, &mut |term, _, _| {
        if !term.chars().all(|c| c.is_ascii_digit()) {
            terms.insert(term.to_owned());
        }
    });
    terms
}
