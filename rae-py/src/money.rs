//! What money needs of the native half: verbs whose arguments and answers are JSON, answers in pieces, and providers of models.

use crate::{
    errors::{OrRaise, invalid},
    input::{path, text},
    json,
    runtime::{boundary, drive},
};
use futures::StreamExt;
use pyo3::{
    prelude::*,
    types::{PyDict, PyMapping, PyString},
};
use rae_core::{CostOptions, Error, limits, providers::Providers, remote::Streamed, wire};
use serde_json::{Map, Value};
use std::sync::{Arc, Mutex, PoisonError};

/// Arguments as JSON, bounded as a chat is.
pub(crate) fn arguments(args: &Bound<'_, PyDict>) -> PyResult<Map<String, Value>> {
    json::arguments(args, limits::CHAT_REQUEST_BYTES_MAX)
}

/// Providers by name, or those of the environment for None.
pub(crate) fn providers(value: &Bound<'_, PyAny>) -> PyResult<Arc<Providers>> {
    let py = value.py();
    let found = match value.is_none() {
        true => py.detach(|| Providers::from_env(|name| std::env::var(name).ok())),
        false => {
            let given = json::object("providers", value)?;
            py.detach(|| wire::providers(given))
        }
    };
    found.map(Arc::new).or_raise(py)
}

/// Prices over the built-in ones (a dict, or the path of a file), and what becomes of a model without one.
pub(crate) fn costs(prices: Option<&Bound<'_, PyAny>>, unknown: Option<&Bound<'_, PyAny>>) -> PyResult<CostOptions> {
    let (mut overrides, mut policy) = (None, None);
    if let Some(value) = prices.filter(|value| !value.is_none()) {
        overrides = Some(match value.cast::<PyMapping>() {
            Ok(_) => Value::Object(json::object("prices", value)?),
            Err(_) => {
                let file = path("prices", value)?.into_os_string().into_string();
                Value::String(file.map_err(|_| invalid(value.py(), "the path of prices is no Unicode text"))?)
            }
        });
    }
    if let Some(value) = unknown.filter(|value| !value.is_none()) {
        policy = Some(match value.cast::<PyString>() {
            Ok(_) => Value::String(text("unknown_model", value)?),
            Err(_) => Value::Object(json::object("unknown_model", value)?),
        });
    }
    let py = prices.or(unknown).map(Bound::py);
    match (py, wire::prices(overrides, policy)) {
        (_, Ok(prices)) => Ok(CostOptions { prices, ..CostOptions::default() }),
        (Some(py), Err(error)) => Err(error).or_raise(py),
        (None, Err(error)) => Python::attach(|py| Err(error).or_raise(py)),
    }
}

/// A streamed answer of a model.
#[pyclass(frozen, module = "rae._rae")]
pub(crate) struct LlmPieces(Mutex<State>);

enum State {
    Open(Box<Streamed>),
    /// A thread waits for the next piece.
    Read,
    /// What it cost, where it ended well.
    Ended(Option<Value>),
}

impl LlmPieces {
    pub fn new(stream: Streamed) -> Self {
        Self(Mutex::new(State::Open(Box::new(stream))))
    }

    fn swap(&self, state: State) -> State {
        std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), state)
    }

    fn take(&self) -> rae_core::Result<Option<Box<Streamed>>> {
        match self.swap(State::Read) {
            State::Open(stream) => Ok(Some(stream)),
            State::Read => Err(Error::invalid("another thread waits for the next piece of this stream")),
            State::Ended(end) => {
                self.swap(State::Ended(end));
                Ok(None)
            }
        }
    }
}

#[pymethods]
impl LlmPieces {
    /// The next piece; None at the end. An exception, Ctrl-C too, ends the stream: what was produced is booked.
    fn next<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        boundary(py, || {
            let Some(mut stream) = self.take().or_raise(py)? else { return Ok(None) };
            let read = async {
                loop {
                    match stream.next().await.transpose()? {
                        Some(chunk) => {
                            if let Some(piece) = wire::llm_chunk(&chunk) {
                                return Ok(Some(piece));
                            }
                        }
                        None => return Ok(None),
                    }
                }
            };
            match drive(py, read) {
                Ok(Some(piece)) => {
                    self.swap(State::Open(stream));
                    json::to_py(py, &piece).map(Some)
                }
                Ok(None) => {
                    self.swap(State::Ended(stream.cost().as_ref().map(wire::llm_end)));
                    Ok(None)
                }
                Err(raised) => {
                    self.swap(State::Ended(None));
                    py.detach(|| drop(stream));
                    Err(raised)
                }
            }
        })
    }

    /// What it cost; None until it has ended well.
    fn end<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        match &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            State::Ended(Some(end)) => json::to_py(py, end).map(Some),
            _ => Ok(None),
        }
    }

    /// Gives the rest of the answer up: what was produced is booked.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        boundary(py, || {
            if let Some(stream) = self.take().or_raise(py)? {
                self.swap(State::Ended(None));
                py.detach(|| drop(stream));
            }
            Ok(())
        })
    }
}
