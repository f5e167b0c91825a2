//! How good recall is on the user's own questions: at once, or kept as a set and run again and again.

use super::recall::{RecallOptions, found};
use crate::{
    Ctx,
    deps::Deps,
    error::{Error, Result},
    eval::{Answered, Comparison, Evaluation, Judged, Metrics, Question, check},
    ingest::check_query,
    limits::{EVAL_KEPT_MAX, EVAL_SETS_MAX, EVAL_STORED_QUESTIONS_MAX, NAME_BYTES_MAX, PAGE_MAX},
    model::{Op, Outcome, Record, RecordKind, Scope, Timestamp},
};
use serde::{Deserialize, Serialize};

/// A stored set of questions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuestionSet {
    /// Its name.
    pub name: String,
    /// When it was last written.
    pub at: Timestamp,
    /// The questions.
    pub questions: Vec<Question>,
}

/// A stored run of a set, and what has changed since the one before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvaluationRun {
    /// Name of the set.
    pub questions: String,
    /// The run.
    pub evaluation: Evaluation,
    /// The same questions compared with the run before; none for the first.
    pub drift: Option<Comparison>,
}

/// The figures of one set in a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvaluationScore {
    /// Name of the set.
    pub questions: String,
    /// The figures.
    pub metrics: Metrics,
}

/// Asks every question as `recall` would and judges the hits. Nothing is counted as a use, so that a run changes no memory.
pub(crate) async fn evaluate(
    deps: &Deps,
    scope: &Scope,
    questions: &[Question],
    options: RecallOptions,
) -> Result<Evaluation> {
    check(questions)?;
    for question in questions {
        check_query(&question.query)?;
    }
    let mut evaluation = Evaluation {
        at: deps.clock.now(),
        k: u32::try_from(options.k).unwrap_or_default(),
        options: told(&options)?,
        embedder: deps.collection().embedder,
        memories: deps.relational.stats(&deps.ctx(scope)?).await?.memories,
        metrics: Metrics::default(),
        degraded: 0,
        questions: Vec::with_capacity(questions.len()),
    };
    for question in questions {
        let hits = found(deps, &deps.ctx(scope)?, &question.query, options.clone()).await?;
        evaluation.degraded += u64::from(!hits.degraded.is_empty());
        let judged: Vec<Judged<'_>> =
            hits.found.iter().map(|f| Judged { id: f.memory.id, content: &f.memory.content }).collect();
        evaluation.questions.push(Answered::judge(question, &judged, evaluation.k as usize));
    }
    Ok(evaluation.summed())
}

/// The options that were given, without those that were not.
fn told(options: &RecallOptions) -> Result<serde_json::Value> {
    let unreadable = |e| Error::internal("options of recall are no JSON").with_source(e);
    let mut all = serde_json::to_value(options).map_err(unreadable)?;
    let default = serde_json::to_value(RecallOptions::default()).map_err(unreadable)?;
    if let Some(map) = all.as_object_mut() {
        map.retain(|name, value| name != "k" && default.get(name) != Some(value));
    }
    Ok(all)
}

/// Keeps a set of questions in the place of the one with its name; an empty list removes it, with its runs.
pub(crate) async fn set_questions(deps: &Deps, scope: &Scope, name: &str, questions: Vec<Question>) -> Result<()> {
    check_set_name(name)?;
    let ctx = deps.ctx(scope)?;
    if questions.is_empty() {
        let runs = records(deps, &ctx, RecordKind::Evaluation).await?.into_iter().filter(|r| is_run_of(&r.name, name));
        let mut ops: Vec<Op> = runs.map(|r| Op::DropRecord { kind: r.kind, name: r.name }).collect();
        ops.push(Op::DropRecord { kind: RecordKind::Questions, name: name.to_owned() });
        let applied = deps.relational.apply(&ctx, deps.batch(ops)).await?;
        return match applied.outcomes.last() {
            Some(Outcome::Done) => Ok(()),
            _ => Err(no_set(name)),
        };
    }
    if questions.len() > EVAL_STORED_QUESTIONS_MAX {
        let found = questions.len();
        return Err(Error::invalid(format!(
            "{found} questions were given; a stored set has at most {EVAL_STORED_QUESTIONS_MAX}"
        )));
    }
    check(&questions)?;
    for question in &questions {
        check_query(&question.query)?;
    }
    let sets = records(deps, &ctx, RecordKind::Questions).await?;
    if sets.len() >= EVAL_SETS_MAX && !sets.iter().any(|set| set.name == name) {
        let message = format!("there are {EVAL_SETS_MAX} sets of questions already; remove one first");
        return Err(Error::conflict(message).with_code("too_many_question_sets"));
    }
    let body = serde_json::to_value(questions).map_err(|e| Error::internal("questions are no JSON").with_source(e))?;
    let record = Record { kind: RecordKind::Questions, name: name.to_owned(), at: deps.clock.now(), body };
    deps.relational.apply(&ctx, deps.batch(vec![Op::PutRecord { record: Box::new(record) }])).await?;
    Ok(())
}

/// The stored sets, by name.
pub(crate) async fn question_sets(deps: &Deps, scope: &Scope) -> Result<Vec<QuestionSet>> {
    records(deps, &deps.ctx(scope)?, RecordKind::Questions).await?.into_iter().map(set_of).collect()
}

/// Runs a stored set with the options given, keeps the run, and compares it with the one before. NotFound where there is no
/// such set. The oldest of more than `limits::EVAL_KEPT_MAX` runs go.
pub(crate) async fn run_questions(
    deps: &Deps,
    scope: &Scope,
    name: &str,
    options: RecallOptions,
) -> Result<EvaluationRun> {
    check_set_name(name)?;
    let ctx = deps.ctx(scope)?;
    let set = deps.relational.record(&ctx, RecordKind::Questions, name).await?.ok_or_else(|| no_set(name))?;
    let evaluation = evaluate(deps, scope, &set_of(set)?.questions, options).await?;
    let ctx = deps.ctx(scope)?;
    let mut runs: Vec<Record> = records(deps, &ctx, RecordKind::Evaluation).await?;
    runs.retain(|run| is_run_of(&run.name, name));
    let last = runs.last().map(|run| run_of(run.clone())).transpose()?;
    // A run with another k, or of other questions, says nothing about drift.
    let drift = last.and_then(|last| Comparison::between(&last.evaluation, &evaluation).ok());
    let record = Record {
        kind: RecordKind::Evaluation,
        name: format!("{name}/{:020}", evaluation.at.micros()),
        at: evaluation.at,
        body: serde_json::Value::Null,
    };
    let run = EvaluationRun { questions: name.to_owned(), evaluation, drift };
    let body = serde_json::to_value(&run).map_err(|e| Error::internal("a run is no JSON").with_source(e))?;
    let over = (runs.len() + 1).saturating_sub(EVAL_KEPT_MAX);
    let mut ops: Vec<Op> =
        runs.into_iter().take(over).map(|old| Op::DropRecord { kind: old.kind, name: old.name }).collect();
    ops.push(Op::PutRecord { record: Box::new(Record { body, ..record }) });
    deps.relational.apply(&ctx, deps.batch(ops)).await?;
    Ok(run)
}

/// The runs of a stored set that are kept, the newest first.
pub(crate) async fn evaluations(deps: &Deps, scope: &Scope, name: &str) -> Result<Vec<EvaluationRun>> {
    check_set_name(name)?;
    let ctx = deps.ctx(scope)?;
    let runs = records(deps, &ctx, RecordKind::Evaluation).await?;
    runs.into_iter().rev().filter(|run| is_run_of(&run.name, name)).map(run_of).collect()
}

/// What an `Evaluate` job does: runs every stored set with the options that everybody gets.
pub(crate) async fn evaluate_all(deps: &Deps, scope: &Scope) -> Result<Vec<EvaluationScore>> {
    let mut scores = Vec::new();
    for set in records(deps, &deps.ctx(scope)?, RecordKind::Questions).await? {
        let run = run_questions(deps, scope, &set.name, RecallOptions::default()).await?;
        scores.push(EvaluationScore { questions: set.name, metrics: run.evaluation.metrics });
    }
    Ok(scores)
}

/// All records of a kind: there are few.
async fn records(deps: &Deps, ctx: &Ctx, kind: RecordKind) -> Result<Vec<Record>> {
    let mut all: Vec<Record> = Vec::new();
    loop {
        let after = all.last().map(|r| r.name.clone());
        let page = deps.relational.records(ctx, kind, after.as_deref(), PAGE_MAX).await?;
        let is_last = page.len() < PAGE_MAX;
        all.extend(page);
        if is_last {
            return Ok(all);
        }
    }
}

fn set_of(record: Record) -> Result<QuestionSet> {
    let questions = serde_json::from_value(record.body).map_err(unreadable)?;
    Ok(QuestionSet { name: record.name, at: record.at, questions })
}

fn run_of(record: Record) -> Result<EvaluationRun> {
    serde_json::from_value(record.body).map_err(unreadable)
}

fn unreadable(e: serde_json::Error) -> Error {
    Error::corrupt("a stored evaluation does not read back; remove its set of questions and store it again")
        .with_source(e)
}

/// A slash cannot be in the name of a set, so no set takes the runs of another.
fn is_run_of(run: &str, set: &str) -> bool {
    run.strip_prefix(set).is_some_and(|rest| rest.starts_with('/'))
}

pub(crate) fn check_set_name(name: &str) -> Result<()> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.chars().all(fits) {
        let message =
            format!("the name of a set is 1 to {NAME_BYTES_MAX} letters, digits, dots, dashes or underscores");
        return Err(Error::invalid(message));
    }
    Ok(())
}

fn no_set(name: &str) -> Error {
    Error::not_found(format!("there is no set of questions {name:?} in this project"))
}

#[cfg(test)]
mod tests {
    use crate::{
        NewMemory, Rae, RecallOptions, block_on,
        eval::{Label, Question},
    };

    fn question(query: &str, text: &str) -> Question {
        Question { query: query.into(), relevant: vec![Label::Text(text.into())] }
    }

    #[test]
    fn a_run_judges_recall_and_counts_as_no_use() {
        block_on(async {
            let mem = Rae::builder().open().await.unwrap();
            let id = mem.remember(NewMemory::new("The ferry leaves at ten.")).await.unwrap().id;
            mem.remember(NewMemory::new("The oven is blue.")).await.unwrap();
            let questions = [question("When does the ferry leave?", "AT TEN"), question("Who sank it?", "nobody")];
            let run = mem.evaluate(&questions, RecallOptions::default()).await.unwrap();
            assert_eq!((run.questions[0].ranks.clone(), run.questions[1].ranks.clone()), (vec![Some(1)], vec![None]));
            assert_eq!((run.metrics.recall, run.metrics.mrr, run.memories, run.k), (0.5, 0.5, 2, 10));
            assert!(run.report().contains("Who sank it?"), "{}", run.report());
            mem.maintain(None).await.unwrap();
            let (deps, scope) = mem.parts();
            let ctx = deps.ctx(scope).unwrap();
            assert_eq!(deps.relational.access(&ctx, &[id]).await.unwrap(), [(0, None)]);
            let bad = mem.evaluate(&questions, RecallOptions { k: 0, ..RecallOptions::default() }).await;
            assert_eq!(bad.unwrap_err().code(), "invalid_k");
            assert!(mem.evaluate(&[], RecallOptions::default()).await.is_err());
            mem.close().await.unwrap();
        });
    }

    #[test]
    fn a_stored_set_is_run_kept_and_compared_with_its_last_run() {
        block_on(async {
            let mem = Rae::builder().open().await.unwrap();
            let id = mem.remember(NewMemory::new("The ferry leaves at ten.")).await.unwrap().id;
            let set = vec![question("When does the ferry leave?", "at ten")];
            mem.set_questions("ferries", set.clone()).await.unwrap();
            mem.set_questions("ferries-2", set.clone()).await.unwrap();
            assert_eq!(mem.question_sets().await.unwrap()[0].questions, set);
            let first = mem.run_questions("ferries", RecallOptions::default()).await.unwrap();
            assert!(first.drift.is_none());
            mem.forget(crate::Forget::Id(id)).await.unwrap();
            let second = mem.run_questions("ferries", RecallOptions::default()).await.unwrap();
            let drift = second.drift.clone().unwrap();
            assert_eq!((drift.questions, drift.lost.len()), (1, 1));
            assert_eq!(mem.evaluations("ferries").await.unwrap(), [second, first]);
            assert_eq!(mem.evaluations("ferries-2").await.unwrap(), []);
            mem.set_questions("ferries", Vec::new()).await.unwrap();
            assert_eq!(mem.evaluations("ferries").await.unwrap(), []);
            assert!(mem.run_questions("ferries", RecallOptions::default()).await.is_err());
            assert!(mem.set_questions("ferries", Vec::new()).await.is_err(), "it is gone already");
            for name in ["", "a/b", "é", "a b"] {
                assert!(mem.set_questions(name, set.clone()).await.is_err(), "{name}");
            }
            mem.close().await.unwrap();
        });
    }
}
