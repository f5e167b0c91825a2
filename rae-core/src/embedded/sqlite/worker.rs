//! The threads: one writer with group commit, and readers. Each owns its connection; nobody else touches it.

use super::{
    apply,
    errors::{Fault, Res, again, closed},
    fork,
    queue::Queue,
};
use crate::{
    ctx::Ctx,
    error::{Error, ErrorKind, Result},
    limits::{GROUP_COMMIT_MAX, SQLITE_PROGRESS_STEPS},
    model::{Applied, WriteBatch},
    ports::Clock,
};
use futures::channel::oneshot;
use parking_lot::Mutex;
use rusqlite::{Connection, TransactionBehavior};
use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread::JoinHandle,
    time::Instant,
};

/// What a worker thread is asked to do with its connection.
pub(super) type Task = Box<dyn FnOnce(&Worker) + Send>;

/// A connection with the deadline of the call it serves, which SQLite asks for while a statement runs.
pub(super) struct Worker {
    pub conn: Connection,
    deadline: Arc<Mutex<Option<Instant>>>,
    frozen: Option<Frozen>,
}

/// Looks whether a file that is read as immutable changed under us.
pub(super) type Frozen = Box<dyn Fn() -> Result<()> + Send>;

/// One batch on its way to the writer.
pub(super) struct ApplyTask {
    pub ctx: Ctx,
    pub batch: WriteBatch,
    pub reply: oneshot::Sender<Result<Applied>>,
}

/// What goes through the writer's queue.
pub(super) enum WriterTask {
    /// A batch; those that wait together are committed together.
    Apply(Box<ApplyTask>),
    /// Anything else, on its own.
    Run(Task),
}

impl Worker {
    pub fn new(conn: Connection, frozen: Option<Frozen>) -> Res<Self> {
        let deadline = Arc::new(Mutex::new(None::<Instant>));
        let asked = Arc::clone(&deadline);
        let passed = move || asked.lock().is_some_and(|d| Instant::now() >= d);
        conn.progress_handler(SQLITE_PROGRESS_STEPS, Some(passed))?;
        Ok(Self { conn, deadline, frozen })
    }

    /// Runs `work` under the deadline of `ctx`. A panic becomes an Internal error, and no transaction is left open.
    fn run<T>(&self, ctx: &Ctx, work: impl FnOnce(&Connection) -> Res<T>) -> Result<T> {
        ctx.check()?;
        self.frozen.as_ref().map_or(Ok(()), |look| look())?;
        *self.deadline.lock() = ctx.deadline();
        let result = guarded(|| work(&self.conn));
        *self.deadline.lock() = None;
        if !self.conn.is_autocommit() {
            self.conn.execute_batch("ROLLBACK").map_err(Fault::from)?;
        }
        result.map_err(Error::from)
    }
}

/// A task and where its answer comes.
pub(super) fn task<T: Send + 'static>(
    ctx: &Ctx,
    work: impl FnOnce(&Connection) -> Res<T> + Send + 'static,
) -> (Task, oneshot::Receiver<Result<T>>) {
    let (reply, answer) = oneshot::channel();
    let ctx = ctx.clone();
    let task = move |worker: &Worker| {
        if !reply.is_canceled() {
            // A caller that gave up meanwhile needs no answer.
            let _ = reply.send(worker.run(&ctx, work));
        }
    };
    (Box::new(task), answer)
}

/// What a worker answered; a worker that is gone means that the store was closed.
pub(super) async fn answer<T>(answer: oneshot::Receiver<Result<T>>) -> Result<T> {
    answer.await.unwrap_or_else(|_| Err(closed()))
}

fn guarded<T>(work: impl FnOnce() -> Res<T>) -> Res<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(panicked(panic.as_ref()).into()))
}

fn panicked(panic: &(dyn Any + Send)) -> Error {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    Error::new(ErrorKind::Internal, format!("a task of the store panicked: {}", text.unwrap_or("without a message")))
}

/// Runs `work` in one read transaction, so that all its statements see the same state.
pub(super) fn snapshot<T>(conn: &Connection, work: impl FnOnce(&Connection) -> Res<T>) -> Res<T> {
    let tx = conn.unchecked_transaction()?;
    let result = work(&tx)?;
    tx.commit()?;
    Ok(result)
}

/// Runs `work` in one write transaction of its own.
pub(super) fn write<T>(conn: &Connection, work: impl FnOnce(&Connection) -> Res<T>) -> Res<T> {
    let tx = rusqlite::Transaction::new_unchecked(conn, TransactionBehavior::Immediate)?;
    let result = work(&tx)?;
    tx.commit()?;
    Ok(result)
}

/// Starts a thread that serves `queue` until it is closed and empty.
pub(super) fn reader(name: &str, worker: Worker, queue: Arc<Queue<Task>>) -> Result<JoinHandle<()>> {
    spawn(name, move || {
        let mut tasks = Vec::with_capacity(1);
        while queue.pop(1, &mut tasks) {
            let _inside = fork::enter();
            tasks.drain(..).for_each(|task| task(&worker));
        }
        let _inside = fork::enter();
        drop(worker);
    })
}

/// Starts the writer. It goes last: it waits for `readers`, runs `finish` on its connection and closes it.
pub(super) fn writer(
    name: &str,
    worker: Worker,
    queue: Arc<Queue<WriterTask>>,
    clock: Arc<dyn Clock>,
    readers: Vec<JoinHandle<()>>,
    finish: impl FnOnce(&Connection) + Send + 'static,
) -> Result<JoinHandle<()>> {
    spawn(name, move || {
        let mut tasks = Vec::with_capacity(GROUP_COMMIT_MAX);
        while queue.pop(GROUP_COMMIT_MAX, &mut tasks) {
            let _inside = fork::enter();
            let mut group = Vec::with_capacity(tasks.len());
            for task in tasks.drain(..) {
                match task {
                    WriterTask::Apply(one) => group.push(*one),
                    WriterTask::Run(task) => {
                        commit_group(&worker.conn, std::mem::take(&mut group), &*clock);
                        task(&worker);
                    }
                }
            }
            commit_group(&worker.conn, group, &*clock);
        }
        for reader in readers {
            // A reader catches the panics of its tasks; if it died all the same there is nothing left to release.
            let _ = reader.join();
        }
        let _inside = fork::enter();
        finish(&worker.conn);
        drop(worker);
    })
}

/// Starts a thread that only waits for `readers`, where there is no writer.
pub(super) fn waiter(
    name: &str,
    readers: Vec<JoinHandle<()>>,
    finish: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>> {
    spawn(name, move || {
        for reader in readers {
            // As above.
            let _ = reader.join();
        }
        finish();
    })
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(body).map_err(|e| {
        Error::unavailable("a thread of the store could not be started; close other work and try again").with_source(e)
    })
}

/// What became of a group: an answer for each batch, all committed. `Err` means that nothing at all was written.
type Group = std::result::Result<Vec<Result<Applied>>, Broken>;

enum Broken {
    /// The transaction could not begin or commit: the failure is everybody's.
    Everybody(Error),
    /// SQLite threw the whole transaction away while working on one batch (a full disk does that).
    Lost(Error),
}

fn commit_group(conn: &Connection, group: Vec<ApplyTask>, clock: &dyn Clock) {
    let group: Vec<_> = group.into_iter().filter(|one| !one.reply.is_canceled()).collect();
    if group.is_empty() {
        return;
    }
    match run_group(conn, &group, clock) {
        Ok(answers) => group.into_iter().zip(answers).for_each(|(one, answer)| reply(one, answer)),
        Err(Broken::Everybody(error)) => {
            group.into_iter().for_each(|one| reply(one, Err(again(&error))));
        }
        Err(Broken::Lost(error)) if group.len() == 1 => {
            group.into_iter().for_each(|one| reply(one, Err(again(&error))))
        }
        // The others must not fail for one batch's sake: each gets a transaction of its own.
        Err(Broken::Lost(_)) => group.into_iter().for_each(|one| commit_group(conn, vec![one], clock)),
    }
}

fn reply(one: ApplyTask, answer: Result<Applied>) {
    // A caller that gave up meanwhile needs no answer; the batch id makes its retry safe.
    let _ = one.reply.send(answer);
}

fn run_group(conn: &Connection, group: &[ApplyTask], clock: &dyn Clock) -> Group {
    let everybody = |e: rusqlite::Error| Broken::Everybody(Fault::from(e).into());
    let tx = rusqlite::Transaction::new_unchecked(conn, TransactionBehavior::Immediate).map_err(everybody)?;
    let mut answers = Vec::with_capacity(group.len());
    for one in group {
        let answer = run_one(conn, one, clock);
        if conn.is_autocommit() {
            let lost = answer.err().unwrap_or_else(|| Error::internal("the transaction ended by itself"));
            return Err(Broken::Lost(lost));
        }
        answers.push(answer);
    }
    tx.commit().map_err(everybody)?;
    Ok(answers)
}

/// One batch under a savepoint, so that its failure takes nothing of the others with it.
fn run_one(conn: &Connection, one: &ApplyTask, clock: &dyn Clock) -> Result<Applied> {
    one.ctx.check()?;
    let statement = |sql: &str| conn.prepare_cached(sql).and_then(|mut s| s.execute([])).map_err(Fault::from);
    statement("SAVEPOINT batch")?;
    let applied = guarded(|| apply::apply(conn, &one.ctx, &one.batch, clock.now())).map_err(Error::from);
    if !conn.is_autocommit() {
        if applied.is_err() {
            statement("ROLLBACK TO batch")?;
        }
        statement("RELEASE batch")?;
    }
    applied
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Scope;
    use futures::executor::block_on;
    use std::time::Duration;

    fn worker() -> Worker {
        Worker::new(Connection::open_in_memory().unwrap(), None).unwrap()
    }

    #[test]
    fn a_panic_in_a_task_is_an_internal_error_and_the_worker_goes_on() {
        let (worker, ctx) = (worker(), Ctx::new(Scope::default()));
        let (bad, bad_answer) = task(&ctx, |conn| -> Res<()> {
            conn.execute_batch("BEGIN; CREATE TABLE t (a)")?;
            panic!("on purpose")
        });
        let (good, good_answer) =
            task(&ctx, |conn| Ok(conn.query_row("SELECT count(*) FROM sqlite_master", [], |r| r.get::<_, i64>(0))?));
        bad(&worker);
        good(&worker);
        let error = block_on(answer(bad_answer)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal);
        assert!(error.message().contains("on purpose"));
        assert_eq!(block_on(answer(good_answer)).unwrap(), 0, "the open transaction was rolled back");
    }

    #[test]
    fn a_statement_past_the_deadline_is_interrupted() {
        let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
        let ctx = Ctx::new(Scope::default()).with_timeout(Duration::from_millis(20));
        let (run, reply) = task(&ctx, move |conn| Ok(conn.query_row(endless, [], |r| r.get::<_, i64>(0))?));
        run(&worker());
        assert_eq!(block_on(answer(reply)).unwrap_err().kind(), ErrorKind::Timeout);
    }
}
