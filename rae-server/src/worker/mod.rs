//! Background work: as a process that keeps children at it, as such a child, and inside the process of `all`.

mod child;
mod crew;
mod metrics;
mod spending;

pub use child::run as run_child;
pub use crew::serve;
pub use metrics::JobMetrics;
pub use spending::Teller;

use crate::{settings::Settings, state::App};
use rae_core::{
    WorkOptions,
    model::{JobKind, Schedule},
};
use std::{sync::Arc, time::Duration};
use tokio::runtime::Handle;

/// How often the queue is counted.
const COUNT: Duration = Duration::from_secs(5);

/// How the settings say that jobs are run.
fn options(settings: &Settings) -> WorkOptions {
    let wanted = [
        (JobKind::Maintain, settings.maintain_every),
        (JobKind::Reflect, settings.reflect_every),
        (JobKind::Evaluate, settings.evaluate_every),
    ];
    let schedules = wanted.into_iter().filter(|(_, every)| !every.is_zero());
    WorkOptions {
        lease: settings.worker_lease,
        retry_delay: settings.worker_retry_delay,
        schedules: schedules.map(|(kind, every)| Schedule { kind, every }).collect(),
        ..WorkOptions::default()
    }
}

/// Runs jobs inside this process, on `threads`, until it drains. [`App::close`] waits for those in hand.
pub fn start_inside(app: &Arc<App>, threads: &Handle) {
    for _ in 0..app.settings.worker_concurrency {
        let own = Arc::clone(app);
        app.keep(threads.spawn(async move {
            let options = options(&own.settings);
            if let Err(error) = own.rae.work(&options, own.drained(), |run| own.metrics.jobs.ran(run)).await {
                tracing::error!(%error, "no more jobs are run");
            }
        }));
    }
    let own = Arc::clone(app);
    app.keep(threads.spawn(async move { count(&own).await }));
}

/// Counts the queue again and again until the process drains.
async fn count(app: &App) {
    let mut drained = std::pin::pin!(app.drained());
    loop {
        match app.rae.with_timeout(Some(COUNT)).job_stats().await {
            Ok(stats) => app.metrics.jobs.queue(&stats),
            Err(error) => tracing::debug!(%error, "the queue was not counted"),
        }
        tokio::select! {
            () = tokio::time::sleep(COUNT) => {}
            () = &mut drained => return,
        }
    }
}
