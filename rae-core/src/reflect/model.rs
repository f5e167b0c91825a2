//! What a model is asked about a session, and how its answer is read. Pure: who asks is `ops`.
//!
//! The texts of a session come from users and tools, and may speak to the model. They stand as JSON strings in which nothing can
//! end the part that is data, and all that can come of an answer is a few short texts in lessons of low trust.

use super::{
    evaluate::Verdict,
    event::{Event, What, cut},
};
use crate::{
    limits::{
        REFLECT_ANSWER_CHARS_MAX, REFLECT_ASKED_MAX, REFLECT_PROMPT_CHARS_MAX, REFLECT_PROMPT_EVENT_CHARS_MAX,
        REFLECT_SENTENCES_MAX, SOURCES_MAX,
    },
    model::{ChatMessage, ChatRequest, ChatRole, MemoryId, ResponseFormat},
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Which prompts these are: lessons say it.
pub(crate) const PROMPT: &str = "actor.v1+evaluator.v1+reflector.v1";
const ACTOR: &str = include_str!("../../assets/prompts/actor.v1.md");
const EVALUATOR: &str = include_str!("../../assets/prompts/evaluator.v1.md");
const REFLECTOR: &str = include_str!("../../assets/prompts/reflector.v1.md");
/// Tokens of an answer: sixteen failures of two texts each.
const OUTPUT_TOKENS: u64 = 3_000;

/// What a model says of a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said {
    /// Why it happened.
    pub cause: String,
    /// What to do.
    pub rule: String,
}

/// What a model says of a session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    /// By the failure's place in the verdict.
    pub failures: BTreeMap<usize, Said>,
    /// Of the session as a whole.
    pub insight: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    failures: Vec<RawFailure>,
    insight: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFailure {
    n: usize,
    cause: String,
    rule: String,
}

/// The events that a model is shown, in their order: those that failed, and the newest of the others. As many as a memory that may
/// repeat them can name as its sources, beside what it quotes itself.
pub(crate) fn chosen(events: &[Event], verdict: &Verdict) -> Vec<Event> {
    let failed: BTreeSet<MemoryId> =
        verdict.failings.iter().flat_map(|f| f.times.new.iter().flatten()).copied().collect();
    let mut places: Vec<usize> = (0..events.len()).collect();
    places.sort_by_key(|i| (events.get(*i).is_none_or(|event| !failed.contains(&event.id)), std::cmp::Reverse(*i)));
    places.truncate(SOURCES_MAX - REFLECT_SENTENCES_MAX);
    places.sort_unstable();
    let shown: Vec<Event> = places.into_iter().filter_map(|i| events.get(i).cloned()).collect();
    let mut chars = 0;
    let fits = |event: &&Event| {
        chars += line(event).chars().count();
        chars <= REFLECT_PROMPT_CHARS_MAX
    };
    let mut fitting: Vec<Event> = shown.iter().rev().take_while(fits).cloned().collect();
    fitting.reverse();
    fitting
}

/// The request for a session, of which `events` are shown.
pub(crate) fn request(model: &str, events: &[Event], verdict: &Verdict) -> ChatRequest {
    let failures: Vec<Value> = verdict
        .failings
        .iter()
        .take(REFLECT_ASKED_MAX)
        .enumerate()
        .map(|(n, f)| json!({ "n": n, "tool": f.tool, "error": f.error, "times": f.times.all() }))
        .collect();
    let data = format!(
        "<events>\n{}\n</events>\n<failures>\n{}\n</failures>",
        lines(events.iter().map(line)),
        lines(failures.iter().map(inert))
    );
    ChatRequest {
        model: model.to_owned(),
        messages: vec![
            ChatMessage::text(ChatRole::System, format!("{ACTOR}\n{EVALUATOR}\n{REFLECTOR}")),
            ChatMessage::text(ChatRole::User, data),
        ],
        response_format: Some(ResponseFormat::JsonSchema {
            name: "reflection".to_owned(),
            description: None,
            schema: schema(),
            strict: Some(true),
        }),
        max_output_tokens: Some(OUTPUT_TOKENS),
        ..ChatRequest::default()
    }
}

/// The same request with the answer that could not be read, and why.
pub(crate) fn repair(mut request: ChatRequest, answer: &str, why: &str) -> ChatRequest {
    request.messages.push(ChatMessage::text(ChatRole::Assistant, cut(answer, REFLECT_PROMPT_CHARS_MAX)));
    let text = format!("This cannot be read: {why}. Answer again with the JSON object alone.");
    request.messages.push(ChatMessage::text(ChatRole::User, text));
    request
}

fn schema() -> Value {
    let text = json!({ "type": "string" });
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["failures", "insight"],
        "properties": {
            "failures": {
                "type": "array",
                "items": {
                    "type": "object",
                    "additionalProperties": false,
                    "required": ["n", "cause", "rule"],
                    "properties": { "n": { "type": "integer" }, "cause": text, "rule": text }
                }
            },
            "insight": { "type": ["string", "null"] }
        }
    })
}

/// An event as a model sees it.
fn line(event: &Event) -> String {
    let text = cut(&event.text, REFLECT_PROMPT_EVENT_CHARS_MAX);
    inert(&match &event.what {
        What::Event(what) => json!({ "event": what, "tool": event.tool(), "text": text }),
        What::End(outcome, error) => json!({ "event": super::END, "outcome": outcome, "error": error }),
    })
}

pub(super) fn lines(lines: impl Iterator<Item = String>) -> String {
    lines.collect::<Vec<_>>().join("\n")
}

/// JSON without a sign that could open or close a part of the prompt.
pub(super) fn inert(value: &Value) -> String {
    value.to_string().replace('<', "\\u003c").replace('>', "\\u003e")
}

/// Reads an answer to the letter. The error says what is wrong with its form, and repeats nothing of it.
pub(crate) fn read(answer: &str, verdict: &Verdict) -> Result<Answer, String> {
    let raw: Raw = serde_json::from_str(answer.trim()).map_err(|e| {
        let (line, column) = (e.line(), e.column());
        match e.classify() {
            serde_json::error::Category::Data => {
                format!("it does not have the fields failures (n, cause, rule) and insight alone (line {line}, column {column})")
            }
            _ => format!("it is not one JSON object (line {line}, column {column})"),
        }
    })?;
    let asked = verdict.failings.len().min(REFLECT_ASKED_MAX);
    let mut read =
        Answer { insight: raw.insight.map(|text| bounded("the insight", &text)).transpose()?, ..Answer::default() };
    read.insight = read.insight.filter(|text| !text.is_empty());
    for RawFailure { n, cause, rule } in raw.failures {
        if n >= asked {
            return Err(format!("there is no failure {n}"));
        }
        let said = Said { cause: bounded("a cause", &cause)?, rule: bounded("a rule", &rule)? };
        if said.cause.is_empty() || said.rule.is_empty() {
            return Err(format!("failure {n} has no cause or no rule"));
        }
        if read.failures.insert(n, said).is_some() {
            return Err(format!("failure {n} is there twice"));
        }
    }
    Ok(read)
}

/// One line of bounded length.
pub(super) fn bounded(what: &str, text: &str) -> Result<String, String> {
    let text: Vec<&str> = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|w| !w.is_empty()).collect();
    let text = text.join(" ").replace(['<', '>'], "");
    let chars = text.chars().count();
    if chars > REFLECT_ANSWER_CHARS_MAX {
        return Err(format!("{what} has {chars} characters; at most {REFLECT_ANSWER_CHARS_MAX} are allowed"));
    }
    Ok(text)
}
