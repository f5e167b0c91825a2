//! How good recall is on the user's own questions: at once, or kept as a set and run again and again.

use super::recall::{RecallOptions, found};
use crate::{
    Ctx,
    deps::Deps,
    error::{Error, Result},
    eval::{Answered, Comparison, Evaluation, Judged, Metrics, Question, check},
    ingest::check_query,
    limits::{EVAL_KEPT_MAX, EVAL_SETS_MAX, EVAL_STORED_K_MAX, EVAL_STORED_QUESTIONS_MAX, NAME_BYTES_MAX, PAGE_MAX},
    model::{Op, Outcome, Precondition, Record, RecordKind, Scope, Timestamp},
};
use serde::{Deserialize, Serialize};

/// Seconds for which a job takes the last run of a set for its own.
const FRESH_SECONDS: i64 = 3_600;
/// Runs that are read at once: one may have some megabytes.
const RUN_PAGE: usize = 4;

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

impl EvaluationRun {
    /// The name of its record: its set's, and when it began.
    pub(super) fn name(&self) -> String {
        format!("{}/{:020}", self.questions, self.evaluation.at.micros())
    }
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
    evaluate_in(deps, &deps.ctx(scope)?, questions, options).await
}

/// The same within a call under way, whose deadline is one for all questions.
async fn evaluate_in(deps: &Deps, ctx: &Ctx, questions: &[Question], options: RecallOptions) -> Result<Evaluation> {
    check(questions)?;
    for question in questions {
        check_query(&question.query)?;
    }
    let mut evaluation = Evaluation {
        at: deps.clock.now(),
        k: u32::try_from(options.k).unwrap_or_default(),
        options: told(&options)?,
        embedder: deps.collection().embedder,
        memories: deps.relational.stats(ctx).await?.memories,
        metrics: Metrics::default(),
        degraded: 0,
        questions: Vec::with_capacity(questions.len()),
    };
    for question in questions {
        let hits = found(deps, ctx, &question.query, options.clone()).await?;
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
        return remove(deps, &ctx, name).await;
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

/// Removes a set with its runs, whether they read back or not.
async fn remove(deps: &Deps, ctx: &Ctx, name: &str) -> Result<()> {
    let mut ops = drops(run_names(deps, ctx, name).await?);
    ops.push(Op::DropRecord { kind: RecordKind::Questions, name: name.to_owned() });
    let applied = deps.relational.apply(ctx, deps.batch(ops)).await?;
    // A run that was written between the two steps; with the set gone there comes no other.
    let late = drops(run_names(deps, ctx, name).await?);
    if !late.is_empty() {
        deps.relational.apply(ctx, deps.batch(late)).await?;
    }
    match applied.outcomes.last() {
        Some(Outcome::Done) => Ok(()),
        _ => Err(no_set(name)),
    }
}

/// The stored sets, by name.
pub(crate) async fn question_sets(deps: &Deps, scope: &Scope) -> Result<Vec<QuestionSet>> {
    records(deps, &deps.ctx(scope)?, RecordKind::Questions).await?.into_iter().map(set_of).collect()
}

/// Runs a stored set with the options given, keeps the run, and compares it with the one before. NotFound where there is no
/// such set; Conflict `record_changed` where it was removed, written anew or erased while it ran: then nothing is kept. The oldest
/// of more than `limits::EVAL_KEPT_MAX` runs go.
pub(crate) async fn run_questions(
    deps: &Deps,
    scope: &Scope,
    name: &str,
    options: RecallOptions,
) -> Result<EvaluationRun> {
    check_set_name(name)?;
    if options.k > EVAL_STORED_K_MAX {
        let message = format!("k is {}; a run that is stored looks at most at {EVAL_STORED_K_MAX} hits", options.k);
        return Err(Error::invalid(message).with_code("invalid_k"));
    }
    let ctx = deps.ctx(scope)?;
    let set = deps.relational.record(&ctx, RecordKind::Questions, name).await?.ok_or_else(|| no_set(name))?;
    let unchanged = Precondition::RecordIs(set.kind, set.name.clone(), set.at);
    let evaluation = evaluate_in(deps, &ctx, &set_of(set)?.questions, options).await?;
    let mut runs = run_names(deps, &ctx, name).await?;
    // A run with another k, or of other questions, says nothing about drift.
    let last = newest(deps, &ctx, &runs).await?;
    let drift = last.and_then(|last| Comparison::between(&last.evaluation, &evaluation).ok());
    let at = evaluation.at;
    let run = EvaluationRun { questions: name.to_owned(), evaluation, drift };
    let run_name = run.name();
    let body = serde_json::to_value(&run).map_err(|e| Error::internal("a run is no JSON").with_source(e))?;
    runs.truncate((runs.len() + 1).saturating_sub(EVAL_KEPT_MAX));
    let mut ops = drops(runs);
    ops.push(Op::PutRecord { record: Box::new(Record { kind: RecordKind::Evaluation, name: run_name, at, body }) });
    deps.relational.apply(&ctx, deps.batch_if(vec![unchanged], ops)).await?;
    Ok(run)
}

/// The runs of a stored set that are kept, the newest first.
pub(crate) async fn evaluations(deps: &Deps, scope: &Scope, name: &str) -> Result<Vec<EvaluationRun>> {
    check_set_name(name)?;
    let ctx = deps.ctx(scope)?;
    deps.relational.record(&ctx, RecordKind::Questions, name).await?.ok_or_else(|| no_set(name))?;
    let mut runs = Vec::new();
    each_run(deps, &ctx, name, |record| runs.push(record)).await?;
    runs.into_iter().rev().map(run_of).collect()
}

/// What an `Evaluate` job does: runs every stored set with the options that everybody gets, and gives the figures of each to `scored`
/// when it has them. A set that fails does not hold up the others; the first error comes at the end. A set that was run so less than
/// [`FRESH_SECONDS`] ago is not run again, so that another attempt of the job does what the last one did not come to.
pub(crate) async fn evaluate_all(deps: &Deps, scope: &Scope, scored: impl Fn(EvaluationScore)) -> Result<()> {
    let mut failed = None;
    for set in records(deps, &deps.ctx(scope)?, RecordKind::Questions).await? {
        match evaluate_due(deps, scope, &set).await {
            Ok(metrics) => scored(EvaluationScore { questions: set.name, metrics }),
            Err(error) => {
                tracing::warn!(kind = error.kind().name(), code = error.code(), "a set of questions could not be run");
                failed.get_or_insert(error);
            }
        }
    }
    failed.map_or(Ok(()), Err)
}

/// The figures of a set: of its last run where that is fresh, else of a new one.
async fn evaluate_due(deps: &Deps, scope: &Scope, set: &Record) -> Result<Metrics> {
    let ctx = deps.ctx(scope)?;
    let names = run_names(deps, &ctx, &set.name).await?;
    let last = newest(deps, &ctx, &names).await?.map(|run| run.evaluation);
    let (options, now) = (RecallOptions::default(), deps.clock.now());
    let plain = told(&options)?;
    // A run of the user's with other options, or of what the set was before, is no run of this job.
    let is_fresh = |run: &Evaluation| {
        let ends = run.at.saturating_add_seconds(FRESH_SECONDS);
        (set.at..=now).contains(&run.at) && now < ends && i64::from(run.k) == options.k && run.options == plain
    };
    match last.filter(is_fresh) {
        Some(run) => Ok(run.metrics),
        None => Ok(run_questions(deps, scope, &set.name, options).await?.evaluation.metrics),
    }
}

fn drops(runs: Vec<String>) -> Vec<Op> {
    runs.into_iter().map(|name| Op::DropRecord { kind: RecordKind::Evaluation, name }).collect()
}

/// The names of the runs of a set, the oldest first.
pub(super) async fn run_names(deps: &Deps, ctx: &Ctx, set: &str) -> Result<Vec<String>> {
    let mut names = Vec::new();
    each_run(deps, ctx, set, |record| names.push(record.name)).await?;
    Ok(names)
}

/// The last of the runs with these names.
async fn newest(deps: &Deps, ctx: &Ctx, names: &[String]) -> Result<Option<EvaluationRun>> {
    let Some(name) = names.last() else { return Ok(None) };
    deps.relational.record(ctx, RecordKind::Evaluation, name).await?.map(run_of).transpose()
}

/// Gives the runs of a set, the oldest first, and reads few of them at a time, as they are long. A slash cannot be in the name of a
/// set, and names are in the order of their bytes: what begins with the name and a slash are its runs, without a gap, and no other's.
async fn each_run(deps: &Deps, ctx: &Ctx, set: &str, mut take: impl FnMut(Record)) -> Result<()> {
    let prefix = format!("{set}/");
    let mut after = prefix.clone();
    loop {
        let page = deps.relational.records(ctx, RecordKind::Evaluation, Some(&after), RUN_PAGE).await?;
        let is_last = page.len() < RUN_PAGE;
        for record in page {
            if !record.name.starts_with(&prefix) {
                return Ok(());
            }
            after.clone_from(&record.name);
            take(record);
        }
        if is_last {
            return Ok(());
        }
    }
}

/// All records of a kind: there are few.
pub(super) async fn records(deps: &Deps, ctx: &Ctx, kind: RecordKind) -> Result<Vec<Record>> {
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

/// Names are parts of addresses, where dots alone mean another place.
pub(crate) fn check_set_name(name: &str) -> Result<()> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let dots = matches!(name, "." | "..");
    if dots || name.is_empty() || name.len() > NAME_BYTES_MAX || !name.chars().all(fits) {
        let message = format!(
            "the name of a set is 1 to {NAME_BYTES_MAX} letters, digits, dots, dashes or underscores, and not . or .."
        );
        return Err(Error::invalid(message));
    }
    Ok(())
}

fn no_set(name: &str) -> Error {
    Error::not_found(format!("there is no set of questions {name:?} in this project"))
}

#[cfg(test)]
mod tests {
    use super::evaluate_all;
    use crate::{
        NewMemory, Rae, RecallOptions, block_on,
        error::ErrorKind,
        eval::{Label, Question},
        model::{Op, Record, RecordKind},
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
    fn a_job_goes_on_past_a_set_that_fails_and_repeats_no_fresh_run() {
        block_on(async {
            let mem = Rae::builder().open().await.unwrap();
            mem.remember(NewMemory::new("The ferry leaves at ten.")).await.unwrap();
            let set = vec![question("When does the ferry leave?", "at ten")];
            for name in ["a", "c"] {
                mem.set_questions(name, set.clone()).await.unwrap();
            }
            let (deps, scope) = mem.parts();
            let (ctx, at) = (deps.ctx(scope).unwrap(), deps.clock.now());
            let broken = Record { kind: RecordKind::Questions, name: "b".into(), at, body: serde_json::json!({}) };
            let put = Op::PutRecord { record: Box::new(broken) };
            deps.relational.apply(&ctx, deps.batch(vec![put])).await.unwrap();
            for _ in 0..2 {
                let scores = parking_lot::Mutex::new(Vec::new());
                let error = evaluate_all(deps, scope, |score| scores.lock().push(score.questions)).await.unwrap_err();
                assert_eq!((error.kind(), scores.into_inner()), (ErrorKind::Corrupt, vec!["a".into(), "c".into()]));
                assert_eq!(mem.evaluations("a").await.unwrap().len(), 1);
            }
            mem.set_questions("a", set).await.unwrap();
            evaluate_all(deps, scope, |_| {}).await.unwrap_err();
            assert_eq!(mem.evaluations("a").await.unwrap().len(), 2, "it was written anew");
            let wide = mem.run_questions("a", RecallOptions { k: 101, ..RecallOptions::default() }).await;
            assert_eq!(wide.unwrap_err().code(), "invalid_k");
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
            assert_eq!(mem.evaluations("ferry").await.unwrap_err().kind(), crate::ErrorKind::NotFound);
            mem.set_questions("ferries", Vec::new()).await.unwrap();
            assert!(mem.evaluations("ferries").await.is_err(), "its runs went with it");
            assert!(mem.run_questions("ferries", RecallOptions::default()).await.is_err());
            assert!(mem.set_questions("ferries", Vec::new()).await.is_err(), "it is gone already");
            for name in ["", "a/b", "é", "a b", ".", ".."] {
                assert!(mem.set_questions(name, set.clone()).await.is_err(), "{name}");
            }
            mem.close().await.unwrap();
        });
    }
}
