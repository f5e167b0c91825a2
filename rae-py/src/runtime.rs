//! Runs the engine's futures for a blocking Python call. The interpreter is let go meanwhile; every 50 ms it is asked for signals, so
//! that Ctrl-C ends the call: the future is dropped, and what was not committed yet is not written.

use crate::errors;
use pyo3::prelude::*;
use rae_core::Error;
use std::{
    cell::RefCell,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::{Duration, Instant},
};

const TICK: Duration = Duration::from_millis(50);

thread_local! {
    /// One entry per call that this thread drives now: the exception that must end it, once there is one.
    static DRIVEN: RefCell<Vec<Option<PyErr>>> = const { RefCell::new(Vec::new()) };
    /// What may cancel the calls of this thread.
    static CANCEL: RefCell<Option<Arc<CancelState>>> = const { RefCell::new(None) };
}

struct Parker {
    thread: Thread,
    woken: AtomicBool,
}

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

/// Runs `body` and turns a panic into an InternalError.
pub(crate) fn boundary<T>(py: Python<'_>, body: impl FnOnce() -> PyResult<T>) -> PyResult<T> {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|payload| Err(errors::panicked(py, &*payload)))
}

/// Runs a future of the engine to its end without the interpreter.
pub(crate) fn drive<T: Send>(py: Python<'_>, future: impl Future<Output = rae_core::Result<T>> + Send) -> PyResult<T> {
    let cancel = CANCEL.with_borrow(Clone::clone);
    match py.detach(move || poll_to_end(future, cancel.as_deref())) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(errors::exception(py, &error)),
        Err(raised) => Err(raised),
    }
}

fn poll_to_end<F: Future>(future: F, cancel: Option<&CancelState>) -> PyResult<F::Output> {
    let mut future = pin!(future);
    let parker = Arc::new(Parker { thread: thread::current(), woken: AtomicBool::new(false) });
    let waker = Waker::from(Arc::clone(&parker));
    let mut context = Context::from_waker(&waker);
    let driven = Driven::enter();
    if let Some(cancel) = cancel {
        cancel.announce(&waker);
        cancel.check()?;
    }
    let mut checked = Instant::now();
    loop {
        let polled = future.as_mut().poll(&mut context);
        driven.check()?;
        if let Poll::Ready(output) = polled {
            return Ok(output);
        }
        loop {
            match cancel {
                Some(cancel) => cancel.check()?,
                // Threads that have a cancel token belong to asyncio: signals are not theirs.
                None if checked.elapsed() >= TICK => {
                    Python::attach(|py| py.check_signals())?;
                    checked = Instant::now();
                }
                None => {}
            }
            if parker.woken.swap(false, Ordering::AcqRel) {
                break;
            }
            thread::park_timeout(TICK.saturating_sub(checked.elapsed()).max(Duration::from_millis(1)));
            if cancel.is_some() {
                checked = Instant::now();
            }
        }
    }
}

/// Marks that this thread drives a call, for as long as it lives.
struct Driven;

impl Driven {
    fn enter() -> Self {
        DRIVEN.with_borrow_mut(|calls| calls.push(None));
        Self
    }

    fn check(&self) -> PyResult<()> {
        DRIVEN.with_borrow_mut(|calls| calls.last_mut().and_then(Option::take)).map_or(Ok(()), Err)
    }
}

impl Drop for Driven {
    fn drop(&mut self) {
        DRIVEN.with_borrow_mut(Vec::pop);
    }
}

/// Ends the call that this thread drives with an exception such as KeyboardInterrupt. Gives it back where there is no such call.
pub(crate) fn interrupt(raised: PyErr) -> Result<(), PyErr> {
    DRIVEN.with_borrow_mut(|calls| match calls.last_mut() {
        Some(slot) => {
            *slot = Some(raised);
            Ok(())
        }
        None => Err(raised),
    })
}

#[derive(Default)]
struct CancelState {
    cancelled: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl CancelState {
    fn announce(&self, waker: &Waker) {
        *self.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(waker.clone());
    }

    fn check(&self) -> PyResult<()> {
        if !self.cancelled.load(Ordering::Acquire) {
            return Ok(());
        }
        let message = "the call was cancelled; what was not committed is not written, but a server may finish the call all the same";
        let error = Error::new(rae_core::ErrorKind::Cancelled, message);
        Err(Python::attach(|py| errors::exception(py, &error)))
    }
}

/// Cancels calls from another thread. As a context manager it is in force for the calls of the thread inside the block.
#[pyclass(frozen, module = "rae._rae", name = "Cancel")]
#[derive(Default)]
pub(crate) struct Cancel(Arc<CancelState>);

#[pymethods]
impl Cancel {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    /// Ends the running call, and any later one inside the block, with CancelledError.
    fn cancel(&self) {
        self.0.cancelled.store(true, Ordering::Release);
        let waker = self.0.waker.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn __enter__(&self) {
        CANCEL.set(Some(Arc::clone(&self.0)));
    }

    fn __exit__(&self, _kind: &Bound<'_, PyAny>, _value: &Bound<'_, PyAny>, _trace: &Bound<'_, PyAny>) {
        CANCEL.set(None);
    }
}

/// Panics inside the engine's side of the boundary, for the test that it arrives as InternalError.
#[pyfunction]
pub(crate) fn _test_panic(py: Python<'_>) -> PyResult<()> {
    #[allow(clippy::panic)]
    let broken = std::future::poll_fn(|_| -> Poll<rae_core::Result<()>> { panic!("on purpose") });
    boundary(py, || drive(py, broken))
}

/// Holds SQLite still for a fork; `os.register_at_fork` calls it before.
#[pyfunction]
pub fn _before_fork(py: Python<'_>) -> bool {
    py.detach(rae_core::embedded::sqlite::before_fork)
}

/// Lets it go on in the parent.
#[pyfunction]
pub fn _after_fork_in_parent() {
    rae_core::embedded::sqlite::after_fork_in_parent();
}

/// Lets it go on in the child.
#[pyfunction]
pub fn _after_fork_in_child() {
    rae_core::embedded::sqlite::after_fork_in_child();
}
