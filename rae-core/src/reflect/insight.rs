//! What lessons say together: of one tool that fails in several ways, and of one error that several tools give. By their own
//! words and numbers alone.

use super::{
    draft::Draft,
    event::{Cited, Owner, cut},
    model::{bounded, inert, lines},
    quote::plain,
    subject::Subject,
    told::reworded,
    words::{field, numbers, often, with_insight},
};
use crate::{
    limits::{REFLECT_CLUSTERS_MAX, REFLECT_LISTED_MAX, REFLECT_PROMPT_EVENT_CHARS_MAX, SOURCES_MAX},
    model::{ChatMessage, ChatRequest, ChatRole, InfoClass, Memory, MemoryPatch, ResponseFormat, Scope},
};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Lessons that make a cluster worth an insight: what two say is read as fast in the two.
const LESSONS_MIN: usize = 3;

/// Which prompt a model is asked with: insights say it.
const PROMPT: &str = "insight.v1";
const SYSTEM: &str = include_str!("../../assets/prompts/insight.v1.md");
/// Tokens of an answer.
const OUTPUT_TOKENS: u64 = 300;
/// What a model said of a cluster, and up to which count it was asked.
const OF_MODEL: [&str; 4] = ["insight", "prompt", "asked", "model_failed"];

/// What the lessons of a cluster have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Common {
    /// The tool, with different errors.
    Tool,
    /// The error, from different tools.
    Error,
}

impl Common {
    const fn name(self) -> &'static str {
        match self {
            Self::Tool => "tool",
            Self::Error => "error",
        }
    }
}

/// The insights over these lessons, the largest clusters first. Which lessons there are decides, not in what order they come.
pub(crate) fn insights(scope: &Scope, lessons: &[Memory]) -> Vec<Draft> {
    let mut clusters: BTreeMap<(Common, &str), Vec<&Memory>> = BTreeMap::new();
    // An insight is nobody's own, so it says nothing of lessons that somebody owns.
    let is_open =
        |lesson: &&Memory| !field(&lesson.metadata, "signature").is_empty() && Owner::of(lesson) == Owner::default();
    for lesson in lessons.iter().filter(is_open) {
        for common in [Common::Tool, Common::Error] {
            let name = field(&lesson.metadata, common.name());
            // Without a tool there is nothing in common but the error.
            if !name.is_empty() && !field(&lesson.metadata, "tool").is_empty() {
                clusters.entry((common, name)).or_default().push(lesson);
            }
        }
    }
    let mut large: Vec<_> = clusters.into_iter().filter(|(_, lessons)| lessons.len() >= LESSONS_MIN).collect();
    large.sort_by_key(|(what, lessons)| (std::cmp::Reverse(lessons.len()), *what));
    large.truncate(REFLECT_CLUSTERS_MAX);
    large.into_iter().map(|((common, name), lessons)| insight(scope, common, name, lessons)).collect()
}

fn count(lesson: &Memory) -> u64 {
    lesson.metadata.get("count").and_then(Value::as_u64).unwrap_or(1)
}

fn insight(scope: &Scope, common: Common, name: &str, mut lessons: Vec<&Memory>) -> Draft {
    let by = |lesson: &&Memory| {
        let name = |key: &str| field(&lesson.metadata, key).to_owned();
        (std::cmp::Reverse(count(lesson)), name("error"), name("tool"))
    };
    lessons.sort_by_key(by);
    // What it says it says of the lessons that it cites.
    lessons.truncate(SOURCES_MAX);
    let all = lessons.iter().map(|lesson| count(lesson)).fold(0, u64::saturating_add);
    let each = |lesson: &&Memory| match common {
        Common::Tool => format!("'{}' ({})", field(&lesson.metadata, "error"), often(count(lesson), "time")),
        Common::Error => format!("`{}` ({})", field(&lesson.metadata, "tool"), often(count(lesson), "time")),
    };
    let listed: Vec<String> = lessons.iter().take(REFLECT_LISTED_MAX).map(each).collect();
    let more = match lessons.len().saturating_sub(REFLECT_LISTED_MAX) {
        0 => String::new(),
        n => format!("; and {n} more"),
    };
    let (n, listed) = (lessons.len(), listed.join("; "));
    let mut text = match common {
        Common::Tool => format!("Calls of `{name}` failed in {n} ways, {all} times: {listed}{more}."),
        Common::Error => format!("{n} tools failed with '{name}', {all} times: {listed}{more}."),
    };
    let mut ways: BTreeMap<String, u64> = BTreeMap::new();
    for (way, times) in lessons.iter().flat_map(|lesson| numbers(lesson.metadata.get("worked"))) {
        let sum = ways.entry(way).or_default();
        *sum = sum.saturating_add(times);
    }
    if let Some((way, times)) = ways.iter().max_by_key(|(way, times)| (**times, std::cmp::Reverse(*way))) {
        text.push_str(&format!(" What worked most often then: {way} ({}).", often(*times, "time")));
    }
    let mut metadata = Map::new();
    metadata.insert("cluster".to_owned(), json!(common.name()));
    metadata.insert(common.name().to_owned(), json!(name));
    metadata.insert("lessons".to_owned(), json!(n));
    metadata.insert("count".to_owned(), json!(all));
    let sources = lessons.iter().map(|lesson| Cited::of(lesson)).collect();
    let class = lessons.iter().map(|lesson| lesson.info_class).max().unwrap_or(InfoClass::Internal);
    let subject = Subject::insight(scope, common.name(), name);
    Draft::reflection(subject, text, metadata, sources, (class, Owner::default()))
}

impl Draft {
    /// Keeps what a model said of the cluster, while all that it was shown is still cited.
    pub fn keep_words(&mut self, old: &Memory) {
        let cited: Vec<_> = self.cited().map(|cited| cited.id).collect();
        if !self.metadata.contains_key("cluster") || !old.provenance.derived_from.iter().all(|id| cited.contains(id)) {
            return;
        }
        for key in OF_MODEL {
            if let Some(value) = old.metadata.get(key) {
                self.metadata.insert(key.to_owned(), value.clone());
            }
        }
        self.content = with_insight(&self.content, field(&self.metadata, "insight"));
    }
}

fn number(memory: &Memory, key: &str) -> u64 {
    memory.metadata.get(key).and_then(Value::as_u64).unwrap_or(0)
}

/// Whether a model is to be asked about a cluster: never yet, or when there are twice as many failures as when it was.
pub(crate) fn is_due(insight: &Memory) -> bool {
    insight.metadata.contains_key("cluster")
        && number(insight, "count") >= number(insight, "asked").saturating_mul(2)
        && number(insight, "count") > number(insight, "asked")
}

/// Whether its answer about the cluster, as it stands, could not be read.
pub(crate) fn has_failed(insight: &Memory) -> bool {
    insight.metadata.contains_key("model_failed") && number(insight, "model_failed") == number(insight, "count")
}

/// The request about a cluster: the lessons that its insight cites.
pub(crate) fn insight_request(model: &str, lessons: &[Memory]) -> ChatRequest {
    let line = |lesson: &Memory| inert(&json!({ "lesson": cut(&plain(lesson), REFLECT_PROMPT_EVENT_CHARS_MAX) }));
    let data = format!("<lessons>\n{}\n</lessons>", lines(lessons.iter().map(line)));
    let schema = json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["insight"],
        "properties": { "insight": { "type": ["string", "null"] } }
    });
    ChatRequest {
        model: model.to_owned(),
        messages: vec![ChatMessage::text(ChatRole::System, SYSTEM), ChatMessage::text(ChatRole::User, data)],
        response_format: Some(ResponseFormat::JsonSchema {
            name: "insight".to_owned(),
            description: None,
            schema,
            strict: Some(true),
        }),
        max_output_tokens: Some(OUTPUT_TOKENS),
        ..ChatRequest::default()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(deserialize_with = "Option::deserialize")]
    insight: Option<String>,
}

/// Reads an answer to the letter. The error says what is wrong with its form, and repeats nothing of it.
pub(crate) fn read_insight(answer: &str) -> Result<Option<String>, String> {
    let raw: Raw = serde_json::from_str(answer.trim())
        .map_err(|e| format!("it is not one JSON object with the field insight alone (line {})", e.line()))?;
    Ok(raw.insight.map(|text| bounded("the insight", &text)).transpose()?.filter(|text| !text.is_empty()))
}

/// What changes of an insight when a model was asked; an `Err` notes that its answer could not be read.
pub(crate) fn told(old: &Memory, answer: Result<Option<&str>, ()>) -> MemoryPatch {
    let mut metadata = old.metadata.clone();
    let count = number(old, "count");
    let Ok(insight) = answer else {
        metadata.insert("model_failed".to_owned(), json!(count));
        return reworded(old, None, metadata);
    };
    let bare = old.content.strip_suffix(&with_insight("", field(&old.metadata, "insight"))).unwrap_or(&old.content);
    let content = with_insight(bare, insight.unwrap_or_default());
    metadata.remove("model_failed");
    metadata.remove("insight");
    metadata.extend(insight.map(|insight| ("insight".to_owned(), json!(insight))));
    metadata.insert("asked".to_owned(), json!(count));
    metadata.insert("prompt".to_owned(), json!(PROMPT));
    reworded(old, Some(content), metadata)
}
