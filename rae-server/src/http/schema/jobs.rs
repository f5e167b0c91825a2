//! Shapes of background jobs.

use utoipa::{IntoParams, ToSchema};

/// Parameters of a list of jobs.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct JobParameters {
    /// Size of the page; default 50.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<i64>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// Only this state.
    #[param(inline)]
    pub state: Option<JobState>,
}

/// Where a job stands.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Waits, or runs.
    Queued,
    /// Failed too often.
    Dead,
}

/// A background job.
#[derive(ToSchema)]
pub struct Job {
    #[schema(format = Uuid)]
    pub id: String,
    /// What it does.
    pub kind: String,
    pub state: JobState,
    /// Attempts begun.
    pub attempts: u32,
    /// Not before.
    pub run_at: String,
    /// Kind of the last failure.
    #[schema(required)]
    pub last_error: Option<String>,
}

/// A page of jobs.
#[derive(ToSchema)]
pub struct JobPage {
    pub items: Vec<Job>,
    #[schema(required)]
    pub next_cursor: Option<String>,
}

/// A background job and whose it is.
#[derive(ToSchema)]
pub struct JobOfTenant {
    pub tenant: String,
    pub project: String,
    #[serde(flatten)]
    pub job: Job,
}

/// A page of jobs of all tenants.
#[derive(ToSchema)]
pub struct AllJobsPage {
    pub items: Vec<JobOfTenant>,
    #[schema(required)]
    pub next_cursor: Option<String>,
}

/// A job that was taken back into the queue.
#[derive(ToSchema)]
pub struct Requeued {
    #[schema(format = Uuid)]
    pub id: String,
    pub state: JobState,
}
