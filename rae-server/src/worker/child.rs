//! A child of a worker: runs one job after the other and says on standard output how each went, and what it spent. It ends after its number of
//! jobs, when its standard input ends (the worker stops, or is gone, however it went), or on a signal.

use super::options;
use crate::{cli::Role, settings::Settings, shutdown::Signals, state};
use rae_core::{
    Error, EvaluationScore, JobResult, JobRun, Result,
    model::{JobKind, Scope},
};
use std::{
    io::{Read, Write},
    time::Duration,
};
use tokio::sync::oneshot;

/// Said after the last job of a child that has run its number of them.
pub const FULL: &str = "full";

/// What a child says of an attempt: kind, result, microseconds.
fn line(run: &JobRun) -> String {
    format!("{} {} {}\n", run.kind.as_str(), run.result.as_str(), run.took.as_micros())
}

/// Begins what a child says of evaluations.
const SCORES: &str = "scores ";

/// What a child says of the evaluations of an attempt; nothing where there were none.
fn scores(run: &JobRun) -> Option<String> {
    let said = (run.scope.tenant(), run.scope.project(), &run.evaluated);
    let json = (!run.evaluated.is_empty()).then(|| serde_json::to_string(&said))?;
    json.ok().map(|json| format!("{SCORES}{json}\n"))
}

/// Reads what [`scores`] wrote.
pub(super) fn parse_scores(line: &str) -> Option<(Scope, Vec<EvaluationScore>)> {
    let (tenant, project, scores): (String, String, _) = serde_json::from_str(line.strip_prefix(SCORES)?).ok()?;
    Some((Scope::new(tenant, project).ok()?, scores))
}

/// Reads what [`line`] wrote.
pub(super) fn parse(line: &str) -> Option<(JobKind, JobResult, Duration)> {
    let mut words = line.split(' ');
    let (kind, result, micros) = (words.next()?, words.next()?, words.next()?);
    let kind = JobKind::ALL.into_iter().find(|known| known.as_str() == kind)?;
    let result = JobResult::ALL.into_iter().find(|known| known.as_str() == result)?;
    let took = Duration::from_micros(micros.parse().ok().filter(|_| words.next().is_none())?);
    Some((kind, result, took))
}

/// Tells the worker.
pub(super) fn say(text: &str) {
    // A worker that is gone hears nothing any more; the end of the input says so.
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// Runs jobs until told to stop, or until there were enough.
pub async fn run(settings: &Settings) -> Result<()> {
    let mut signals = Signals::listen()?;
    let (parent, gone) = oneshot::channel::<()>();
    let watch = move || {
        // Nothing is ever sent: it ends with whoever holds the other end.
        let mut nothing = [0; 16];
        while matches!(std::io::stdin().read(&mut nothing), Ok(1..)) {}
        drop(parent);
    };
    let started = std::thread::Builder::new().name("rae-parent".into()).spawn(watch);
    started.map_err(|e| Error::unavailable("no thread could be started").with_source(e))?;
    let (tell, told) = oneshot::channel::<()>();
    let limit = settings.drain_timeout;
    tokio::spawn(async move {
        tokio::select! {
            () = signals.next() => {}
            _ = gone => {}
        }
        let _ = tell.send(());
        tokio::select! {
            () = tokio::time::sleep(limit) => {}
            () = signals.next() => {}
        }
        // The job in hand is run again when its lease is over.
        std::process::exit(1);
    });
    let rae = state::open(settings, Role::WorkerChild).await?.rae;
    let most = settings.worker_max_tasks_per_child as u64;
    let options = rae_core::WorkOptions { max_jobs: Some(most), ..options(settings) };
    let stop = async move {
        // Told, or nobody is left who could tell.
        let _ = told.await;
    };
    let jobs = rae
        .work(&options, stop, |run| {
            say(&line(run));
            scores(run).iter().for_each(|text| say(text));
        })
        .await?;
    if jobs >= most {
        say(&format!("{FULL}\n"));
    }
    rae.close().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_reads_back_and_nothing_else_does() {
        assert_eq!(parse("embed done 1500"), Some((JobKind::Embed, JobResult::Done, Duration::from_micros(1_500))));
        for bad in ["", "full", "embed done", "embed done x", "nope done 1", "embed nope 1", "embed done 1 2"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
