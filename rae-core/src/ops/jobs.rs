//! Looking at the queue, and taking dead letters back into it.

use crate::{
    deps::Deps,
    error::{Error, Result},
    limits::PAGE_MAX,
    model::{JobEntry, JobScan, JobState, JobStats, Op, Outcome, Scope},
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Which jobs to list.
#[derive(Debug, Clone)]
pub struct JobsOptions {
    /// Only those in this state.
    pub state: Option<JobState>,
    /// At most so many, 1 to 1,000. 50.
    pub limit: usize,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

impl Default for JobsOptions {
    fn default() -> Self {
        Self { state: None, limit: 50, cursor: None }
    }
}

/// A page of jobs, oldest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobPage {
    /// The jobs.
    pub items: Vec<JobEntry>,
    /// For the next page; `None` on the last one.
    pub next_cursor: Option<String>,
}

impl JobsOptions {
    pub(crate) fn check(&self) -> Result<()> {
        if (1..=PAGE_MAX).contains(&self.limit) {
            return Ok(());
        }
        Err(Error::invalid(format!("limit must be a whole number from 1 to {PAGE_MAX}")).with_code("invalid_limit"))
    }
}

/// Jobs of `scope`, or of all scopes.
pub(crate) async fn jobs(deps: &Deps, scope: Option<&Scope>, options: JobsOptions) -> Result<JobPage> {
    options.check()?;
    let wrong = || Error::invalid("the cursor is not one that a page of jobs gave").with_code("invalid_cursor");
    let after =
        options.cursor.map(|cursor| cursor.parse().ok().filter(|n| *n < 1 << 63).ok_or_else(wrong)).transpose()?;
    let scan = JobScan { state: options.state, after, limit: options.limit };
    let items = match scope {
        Some(scope) => deps.relational.job_page(&deps.ctx(scope)?, &scan).await?,
        None => {
            deps.ctx(&Scope::default())?;
            deps.relational.all_jobs(&scan).await?
        }
    };
    let next_cursor = items.last().filter(|_| items.len() == options.limit).map(|last| last.no.to_string());
    Ok(JobPage { items, next_cursor })
}

pub(crate) async fn requeue_job(deps: &Deps, scope: &Scope, id: Uuid) -> Result<()> {
    let applied = deps.relational.apply(&deps.ctx(scope)?, deps.batch(vec![Op::RequeueJob { id }])).await?;
    if applied.outcomes.first() == Some(&Outcome::Done) {
        return Ok(());
    }
    Err(Error::not_found(format!("there is no dead letter {id} in this project; only those can be requeued"))
        .with_code("job_not_found"))
}

pub(crate) async fn job_stats(deps: &Deps) -> Result<JobStats> {
    deps.ctx(&Scope::default())?;
    deps.relational.job_stats(deps.clock.now()).await
}
