//! The part of `import` that reads what is no memory: sets of questions and their runs.

use super::{
    evaluate::{EvaluationRun, check_set_name, records},
    export::RecordLine,
    import::Lines,
};
use crate::{
    Ctx,
    deps::Deps,
    error::{Error, Result},
    eval::{Question, check},
    ingest::check_query,
    limits::{EVAL_KEPT_MAX, EVAL_SETS_MAX, EVAL_STORED_QUESTIONS_MAX},
    model::{Op, Record, RecordKind},
};
use std::{collections::BTreeMap, path::Path};

/// What the first pass found: how many runs each set has, in the order of the names.
#[derive(Debug, Default)]
pub(super) struct Found {
    sets: BTreeMap<String, usize>,
}

impl Found {
    /// Lines with a record.
    pub fn lines(&self) -> u64 {
        self.sets.values().map(|runs| 1 + *runs as u64).sum()
    }

    /// Whether the line of this number is one: they follow the header.
    pub fn is_record(&self, number: usize) -> bool {
        number as u64 <= 1 + self.lines()
    }

    /// Everything that would make a record useless in a store.
    pub fn check(&mut self, record: Record) -> Result<()> {
        match record.kind {
            RecordKind::Questions => {
                check_set_name(&record.name)?;
                let questions: Vec<Question> = serde_json::from_value(record.body).map_err(unreadable)?;
                if questions.len() > EVAL_STORED_QUESTIONS_MAX {
                    let text = format!("a stored set has at most {EVAL_STORED_QUESTIONS_MAX} questions");
                    return Err(Error::invalid(text));
                }
                check(&questions)?;
                questions.iter().try_for_each(|question| check_query(&question.query))?;
                match self.sets.insert(record.name, 0) {
                    None => Ok(()),
                    Some(_) => Err(Error::invalid("a set of questions is there twice")),
                }
            }
            RecordKind::Evaluation => {
                let run: EvaluationRun = serde_json::from_value(record.body).map_err(unreadable)?;
                let runs = self.sets.get_mut(&run.questions);
                let runs =
                    runs.ok_or_else(|| Error::invalid("a run stands before its set of questions, or has none"))?;
                *runs += 1;
                if *runs > EVAL_KEPT_MAX {
                    return Err(Error::invalid(format!("a set of questions has at most {EVAL_KEPT_MAX} runs")));
                }
                if record.name != run.name() {
                    return Err(Error::invalid("the name of a run does not say of which set it is, and of when"));
                }
                Ok(())
            }
            RecordKind::Snapshot | RecordKind::Mark | RecordKind::TakenBack => {
                Err(Error::invalid("a record of a file is a set of questions, or how one was answered"))
            }
        }
    }
}

fn unreadable(e: serde_json::Error) -> Error {
    Error::invalid(format!("a record does not read as what it says it is: {e}"))
}

/// Writes the records of a checked file that are not there. Nothing is written where the store has another set or run of the same
/// name, or would have too many sets.
pub(super) async fn write(deps: &Deps, ctx: &Ctx, path: &Path, found: &Found) -> Result<()> {
    if found.sets.is_empty() {
        return Ok(());
    }
    let mut names: Vec<String> =
        records(deps, ctx, RecordKind::Questions).await?.into_iter().map(|set| set.name).collect();
    names.extend(found.sets.keys().cloned());
    names.sort();
    names.dedup();
    if names.len() > EVAL_SETS_MAX {
        let text = format!(
            "with those of the export there would be {} sets of questions; {EVAL_SETS_MAX} are the most",
            names.len()
        );
        return Err(Error::conflict(text).with_code("too_many_question_sets"));
    }
    for is_dry in [true, false] {
        let mut lines = Lines::open(path)?;
        lines.next_line()?; // the header
        for _ in 0..found.lines() {
            let Some(text) = lines.next_line()? else { break };
            let line: RecordLine = serde_json::from_str(&text).map_err(unreadable)?;
            let there = deps.relational.record(ctx, line.record.kind, &line.record.name).await?;
            match there {
                Some(there) if there.body != line.record.body => {
                    let text = format!("there is another stored evaluation {:?}; remove its set first", there.name);
                    return Err(Error::conflict(text).with_code("record_changed"));
                }
                None if !is_dry => {
                    let put = Op::PutRecord { record: Box::new(line.record) };
                    deps.relational.apply(ctx, deps.batch(vec![put])).await?;
                }
                Some(_) | None => {}
            }
        }
    }
    Ok(())
}
