//! Metrics of jobs and of those who run them.

use crate::metrics::Catalogue;
use parking_lot::Mutex;
use prometheus::{
    Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
};
use rae_core::{
    Error, EvaluationScore, JobResult, JobRun,
    model::{JobKind, JobStats, Scope},
};
use std::{collections::BTreeSet, sync::Arc, time::Duration};

/// Upper bounds of the duration histogram, in seconds.
const BUCKETS: [f64; 10] = [0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0];

/// Sets of questions whose scores are shown: their names are labels.
const SETS_MAX: usize = 100;

/// How jobs went, how many wait, and how the children of a worker are.
#[derive(Debug, Clone)]
pub struct JobMetrics {
    queued: IntGaugeVec,
    oldest: Gauge,
    ran: IntCounterVec,
    durations: HistogramVec,
    scores: GaugeVec,
    /// Sets whose scores are shown.
    sets: Arc<Mutex<BTreeSet<[String; 3]>>>,
    /// Children that run.
    pub children: IntGauge,
    /// Children started again because they ended by themselves.
    pub restarts: IntCounter,
    /// Children replaced after their number of jobs.
    pub recycled: IntCounter,
}

impl JobMetrics {
    /// Registers them.
    pub(crate) fn new(all: &mut Catalogue) -> Result<Self, Error> {
        let histogram = HistogramOpts::new("rae_job_duration_seconds", "Time an attempt of a job took");
        Ok(Self {
            queued: all.add(
                "gauge",
                IntGaugeVec::new(
                    Opts::new("rae_jobs_queued", "Jobs of all tenants: due, later, running or dead"),
                    &["kind", "state"],
                ),
            )?,
            oldest: all.add(
                "gauge",
                Gauge::with_opts(Opts::new(
                    "rae_jobs_oldest_due_seconds",
                    "For how long the oldest due job could have run; 0 where none is due",
                )),
            )?,
            ran: all.add(
                "counter",
                IntCounterVec::new(
                    Opts::new("rae_jobs_total", "Attempts of jobs: done, retried, parked, dead or lost"),
                    &["kind", "result"],
                ),
            )?,
            durations: all.add("histogram", HistogramVec::new(histogram.buckets(BUCKETS.to_vec()), &["kind"]))?,
            scores: all.add(
                "gauge",
                GaugeVec::new(
                    Opts::new(
                        "rae_evaluation_score",
                        "Recall on stored sets of questions, 0 to 1, in the last job of this process; at most 100 sets",
                    ),
                    &["tenant", "project", "questions", "metric"],
                ),
            )?,
            sets: Arc::default(),
            children: all
                .add("gauge", IntGauge::with_opts(Opts::new("rae_worker_children", "Children that run jobs")))?,
            restarts: all.add(
                "counter",
                IntCounter::with_opts(Opts::new(
                    "rae_worker_child_restarts_total",
                    "Children started again because they ended by themselves",
                )),
            )?,
            recycled: all.add(
                "counter",
                IntCounter::with_opts(Opts::new(
                    "rae_worker_children_recycled_total",
                    "Children replaced after RAE_WORKER_MAX_TASKS_PER_CHILD jobs",
                )),
            )?,
        })
    }

    /// Counts an attempt.
    pub fn ran(&self, run: &JobRun) {
        self.attempt(run.kind, run.result, run.took);
        self.scored(&run.scope, &run.evaluated);
    }

    /// Shows how sets of questions were answered. Past the bound of sets, further ones are not shown.
    pub(super) fn scored(&self, scope: &Scope, scores: &[EvaluationScore]) {
        for score in scores {
            let set = [scope.tenant(), scope.project(), &score.questions].map(str::to_owned);
            let mut sets = self.sets.lock();
            if !sets.contains(&set) && sets.len() >= SETS_MAX {
                continue;
            }
            sets.insert(set);
            for (metric, value) in score.metrics.named() {
                let labels = [scope.tenant(), scope.project(), &score.questions, metric];
                self.scores.with_label_values(&labels).set(value);
            }
        }
    }

    pub(super) fn attempt(&self, kind: JobKind, result: JobResult, took: Duration) {
        self.ran.with_label_values(&[kind.as_str(), result.as_str()]).inc();
        self.durations.with_label_values(&[kind.as_str()]).observe(took.as_secs_f64());
    }

    /// Shows the queue as it is now.
    pub fn queue(&self, stats: &JobStats) {
        let mut shown: Vec<(&str, [u64; 4])> = JobKind::ALL.iter().map(|kind| (kind.as_str(), [0; 4])).collect();
        shown.push(("other", [0; 4])); // kinds of a newer build
        for depth in &stats.depths {
            let known = JobKind::ALL.iter().position(|kind| kind.as_str() == depth.kind).unwrap_or(JobKind::ALL.len());
            let Some((_, sums)) = shown.get_mut(known) else { continue };
            let more = [depth.due, depth.later, depth.running, depth.dead];
            sums.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
        }
        for (kind, sums) in shown {
            for (state, jobs) in ["due", "later", "running", "dead"].into_iter().zip(sums) {
                let jobs = i64::try_from(jobs).unwrap_or(i64::MAX);
                self.queued.with_label_values(&[kind, state]).set(jobs);
            }
        }
        self.oldest.set(stats.oldest_due.as_secs_f64());
    }
}
