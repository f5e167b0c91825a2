//! From the engine's errors to Python's exceptions. The classes live in `rae/_errors.py`, named by the engine's error table.

use crate::json;
use pyo3::{
    prelude::*,
    sync::PyOnceLock,
    types::{PyDict, PyList},
};
use rae_core::{Error, ErrorKind};
use std::fmt;

static CLASSES: PyOnceLock<Py<PyModule>> = PyOnceLock::new();

/// An exception raised by the caller's Python code, on its way through the engine as the source of one of its errors.
#[derive(Debug)]
pub(crate) struct Raised(pub PyErr);

impl fmt::Display for Raised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Raised {}

/// The exception for an error.
pub(crate) fn exception(py: Python<'_>, error: &Error) -> PyErr {
    build(py, error).unwrap_or_else(|failed| failed)
}

fn build(py: Python<'_>, error: &Error) -> PyResult<PyErr> {
    let classes = CLASSES.get_or_try_init(py, || PyModule::import(py, "rae._errors").map(Bound::unbind))?.bind(py);
    let mut message = error.message().to_owned();
    let context: Vec<String> = error.context().iter().map(|(key, value)| format!("{key} {value}")).collect();
    if !context.is_empty() {
        message = format!("{message} ({})", context.join(", "));
    }
    let fields = PyDict::new(py);
    fields.set_item("kind", error.kind().name())?;
    fields.set_item("code", error.code())?;
    fields.set_item("details", error.details().map(|d| json::to_py(py, d)).transpose()?)?;
    fields.set_item("retry_after", error.retry_after().map(|d| d.as_secs_f64()))?;
    fields.set_item("operation", error.operation())?;
    let class = classes.getattr(error.kind().row().python)?;
    let raised = PyErr::from_value(class.call((message,), Some(&fields))?);
    if let Some(cause) = cause(error) {
        raised.set_cause(py, Some(cause.clone_ref(py)));
    }
    Ok(raised)
}

/// The Python exception at the bottom of an error, if there is one.
fn cause(error: &Error) -> Option<&PyErr> {
    let mut at: &(dyn std::error::Error + 'static) = error;
    loop {
        at = at.source()?;
        if let Some(Raised(raised)) = at.downcast_ref::<Raised>() {
            return Some(raised);
        }
    }
}

/// InvalidInputError with this message.
pub(crate) fn invalid(py: Python<'_>, message: impl Into<String>) -> PyErr {
    exception(py, &Error::invalid(message))
}

/// An engine's result as Python's.
pub(crate) trait OrRaise<T> {
    fn or_raise(self, py: Python<'_>) -> PyResult<T>;
}

impl<T> OrRaise<T> for rae_core::Result<T> {
    fn or_raise(self, py: Python<'_>) -> PyResult<T> {
        self.map_err(|e| exception(py, &e))
    }
}

/// What a panic of the engine becomes: a fault of ours, never the end of the caller's process.
pub(crate) fn panicked(py: Python<'_>, payload: &(dyn std::any::Any + Send)) -> PyErr {
    let what = payload.downcast_ref::<&str>().map(|s| (*s).to_owned());
    let what = what.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "unknown".to_owned());
    exception(
        py,
        &Error::internal(format!("the engine panicked ({what}); this is a bug, please report it")).with_code("panic"),
    )
}

/// The engine's error table as `(kind, python name, retry)`, for the test that no class is missing.
#[pyfunction]
pub(crate) fn _error_table(py: Python<'_>) -> PyResult<Bound<'_, PyList>> {
    PyList::new(py, ErrorKind::TABLE.iter().map(|row| (row.name, row.python, row.retry)))
}
