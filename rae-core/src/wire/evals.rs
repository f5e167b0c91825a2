//! Questions with labels, runs and their comparison, in JSON.

use super::input::{Fields, object, recall, shown, text};
use crate::{
    error::{Error, Result},
    eval::{Comparison, Evaluation, Label, Question},
    ops::{EvaluationRun, RecallOptions},
};
use serde_json::{Map, Value, json};

/// What `evaluate` takes: `questions`, `k`, and `options` as of `recall`.
pub fn evaluate(fields: Map<String, Value>) -> Result<(Vec<Question>, RecallOptions)> {
    let mut f = Fields::new(fields);
    let (questions, options) = (f.required("questions", questions)?, options(&mut f)?);
    f.finish()?;
    Ok((questions, recall(options)?))
}

/// The options of a run: `k` may stand beside them, as it does in Python, or among them. Two that differ are a mistake of the caller's,
/// of which none is guessed at.
fn options(f: &mut Fields) -> Result<Map<String, Value>> {
    let (k, options) = (f.optional("k", |_, value| Ok(value))?, f.optional("options", object)?);
    let mut options = options.unwrap_or_default();
    let Some(k) = k else { return Ok(options) };
    if options.get("k").is_some_and(|other| !other.is_null() && *other != k) {
        let text = "k is given twice and differs: once beside options and once in them; leave one out";
        return Err(Error::invalid(text).with_code("conflicting_fields"));
    }
    options.insert("k".to_owned(), k);
    Ok(options)
}

/// What `set_questions` takes: the `name` of the set, and its `questions`; an empty list removes the set.
pub fn set_questions(fields: Map<String, Value>) -> Result<(String, Vec<Question>)> {
    let mut f = Fields::new(fields);
    let set = (f.required("name", text)?, f.required("questions", questions)?);
    f.finish()?;
    Ok(set)
}

/// What `run_questions` takes: the `name` of the set, `k`, and `options` as of `recall`.
pub fn run_questions(fields: Map<String, Value>) -> Result<(String, RecallOptions)> {
    let mut f = Fields::new(fields);
    let (name, options) = (f.required("name", text)?, options(&mut f)?);
    f.finish()?;
    Ok((name, recall(options)?))
}

/// The one argument `name`.
pub fn set_name(fields: Map<String, Value>) -> Result<String> {
    let mut f = Fields::new(fields);
    let name = f.required("name", text)?;
    f.finish()?;
    Ok(name)
}

/// What `compare_evaluations` takes: two runs, `a` and `b`, as `evaluate` gave them.
pub fn compare(fields: Map<String, Value>) -> Result<(Evaluation, Evaluation)> {
    let mut f = Fields::new(fields);
    let runs = (f.required("a", run)?, f.required("b", run)?);
    f.finish()?;
    Ok(runs)
}

/// A run with its report in words.
pub fn evaluation(run: &Evaluation) -> Result<Value> {
    with_report(serde_json::to_value(run), run.report())
}

/// A stored run, with the reports in words.
pub fn evaluation_run(run: &EvaluationRun) -> Result<Value> {
    let drift = run.drift.as_ref().map(comparison).transpose()?;
    Ok(json!({ "questions": run.questions, "evaluation": evaluation(&run.evaluation)?, "drift": drift }))
}

/// A comparison with its report in words.
pub fn comparison(found: &Comparison) -> Result<Value> {
    with_report(serde_json::to_value(found), found.report())
}

fn with_report(value: serde_json::Result<Value>, report: String) -> Result<Value> {
    let mut value = value.map_err(|e| Error::internal("a run is no JSON").with_source(e))?;
    if let Some(map) = value.as_object_mut() {
        map.insert("report".to_owned(), report.into());
    }
    Ok(value)
}

fn run(field: &str, value: Value) -> Result<Evaluation> {
    let fields = object(field, value)?;
    serde_json::from_value(Value::Object(fields))
        .map_err(|e| Error::invalid(format!("{field} is not a run as evaluate gives it: {e}")))
}

fn questions(field: &str, value: Value) -> Result<Vec<Question>> {
    let Value::Array(items) = value else { return Err(Error::invalid(format!("{field} must be a list of questions"))) };
    let read = |(i, item)| question(item).map_err(|e| Error::invalid(format!("question {i}: {}", e.message())));
    items.into_iter().enumerate().map(read).collect()
}

fn question(value: Value) -> Result<Question> {
    let mut f = Fields::new(object("a question", value)?);
    let question = Question { query: f.required("query", text)?, relevant: f.required("relevant", labels)? };
    f.finish()?;
    Ok(question)
}

/// A label is an object with an `id` or a `text`; a plain text is an id.
fn labels(field: &str, value: Value) -> Result<Vec<Label>> {
    let Value::Array(items) = value else { return Err(Error::invalid(format!("{field} must be a list of labels"))) };
    items.into_iter().map(label).collect()
}

fn label(value: Value) -> Result<Label> {
    let wrong = || Error::invalid("a label is the id of a memory, {\"id\": ...} or {\"text\": ...}");
    match value {
        Value::String(id) => Ok(Label::Id(id.parse()?)),
        Value::Object(fields) if fields.len() == 1 => {
            let mut f = Fields::new(fields);
            let id = f.optional("id", super::input::name)?;
            let label = match (id, f.optional("text", text)?) {
                (Some(id), None) => Label::Id(id),
                (None, Some(text)) => Label::Text(text),
                _ => return Err(wrong()),
            };
            f.finish()?;
            Ok(label)
        }
        Value::Object(fields) => Err(match fields.keys().find(|key| !matches!(key.as_str(), "id" | "text")) {
            Some(key) => Error::invalid(format!("unknown field {} of a label", shown(key))),
            None => wrong(),
        }),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn k_of_a_run_stands_beside_the_options_or_in_them_and_two_that_differ_are_refused() {
        let all = |more: Value| {
            let mut fields = json!({ "questions": [], "name": "s" });
            fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let mut set = fields.as_object().unwrap().clone();
            set.remove("questions");
            fields.as_object_mut().unwrap().remove("name");
            let one = evaluate(fields.as_object().unwrap().clone()).map(|(_, options)| options.k);
            let two = run_questions(set).map(|(_, options)| options.k);
            assert_eq!(one.as_ref().map_err(Error::code), two.as_ref().map_err(Error::code));
            one
        };
        for (more, k) in [
            (json!({}), 10),
            (json!({ "k": 3 }), 3),
            (json!({ "options": { "k": 3 } }), 3),
            (json!({ "k": 3, "options": { "k": 3 } }), 3),
            (json!({ "k": 3, "options": { "k": null, "rerank": false } }), 3),
            (json!({ "k": null, "options": { "k": 4 } }), 4),
        ] {
            assert_eq!(all(more).unwrap(), k);
        }
        assert_eq!(all(json!({ "k": 3, "options": { "k": 4 } })).unwrap_err().code(), "conflicting_fields");
        assert!(all(json!({ "k": "many" })).unwrap_err().message().contains('k'));
    }

    #[test]
    fn questions_are_read_strictly_and_errors_name_the_place() {
        let read = |value: Value| questions("questions", value);
        let id = "019b76da-a800-7f8b-b8ba-e301f1cd0878";
        let both = read(json!([{"query": "q", "relevant": [id, {"id": id}, {"text": "t"}]}])).unwrap();
        assert_eq!(both[0].relevant.len(), 3);
        assert_eq!(serde_json::to_value(&both).unwrap()[0]["relevant"][2], json!({"text": "t"}));
        for (value, says) in [
            (json!({}), "a list of questions"),
            (json!([{"relevant": []}]), "question 0: query is missing"),
            (json!([{"query": "q", "relevant": ["x"]}]), "question 0: "),
            (json!([{"query": "q", "relevant": [{"id": id, "text": "t"}]}]), "a label is"),
            (json!([{"query": "q", "relevant": [{"word": "t"}]}]), "a label is"),
            (json!([{"query": "q", "relevant": [{"id": id, "x": 1}]}]), "unknown field \"x\" of a label"),
            (json!([{"query": "q", "relevant": [7]}]), "a label is"),
            (json!([{"query": "q", "relevant": [id], "k": 3}]), "unknown field"),
        ] {
            let message = read(value).unwrap_err().message().to_owned();
            assert!(message.contains(says), "{message} / {says}");
        }
    }
}
