//! A Python callable as an embedder: `list[str] -> ` lists of floats, a 2-D array, or a list of arrays.
//!
//! It is called on the thread of the call that needs it, attached to the interpreter for just that long. The engine embeds outside of
//! its locks, so waiting for the interpreter cannot close a circle.

use crate::{
    errors::{Raised, exception, invalid},
    input::text,
    json::type_name,
    runtime,
};
use async_trait::async_trait;
use pyo3::{
    exceptions::PyException,
    prelude::*,
    types::{PyList, PyMemoryView, PyString},
};
use rae_core::{
    Error, Result,
    limits::DIM_MAX,
    ports::{EmbedRole, Embedder},
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

type Vectors = Vec<Option<Vec<f32>>>;

/// Embedded once at open to learn the dimension.
const PROBE: &str = "How many numbers does a vector have?";

#[derive(Debug)]
pub(crate) struct PyEmbedder {
    /// Let go when the store closes: an agent that passes a method of its own would otherwise live as long as the store's handle,
    /// and the handle as long as the agent.
    callable: Mutex<Option<Py<PyAny>>>,
    id: String,
    dim: usize,
}

/// Why a callable gave no vectors.
enum Failure {
    /// It raised.
    Raised(PyErr),
    /// What it returned is not vectors.
    Shape(String),
    /// The store was closed meanwhile.
    Released,
}

impl From<PyErr> for Failure {
    fn from(raised: PyErr) -> Self {
        Self::Raised(raised)
    }
}

impl PyEmbedder {
    /// Embeds a text to learn the dimension. The id is the callable's `rae_id`, else `python:module.qualname/dim`.
    pub fn open(callable: &Bound<'_, PyAny>) -> PyResult<Arc<Self>> {
        let py = callable.py();
        let probe = match call(callable, &[PROBE]) {
            Ok(vectors) => vectors.into_iter().next().flatten(),
            Err(Failure::Raised(raised)) if !raised.is_instance_of::<PyException>(py) => return Err(raised),
            Err(failure) => return Err(exception(py, &failed(py, failure))),
        };
        let dim = probe.map_or(0, |vector| vector.len());
        if dim == 0 || dim > DIM_MAX {
            let message =
                format!("the embedder gave a vector of {dim} numbers for a first text; 1 to {DIM_MAX} are possible");
            return Err(exception(py, &Error::invalid(message).with_code("wrong_dimension")));
        }
        let id = match callable.getattr_opt("rae_id")? {
            Some(id) => text("rae_id", &id)?,
            None => format!("python:{}/{dim}", qualified_name(callable)?),
        };
        if id.trim().is_empty() || id.len() > 256 {
            return Err(invalid(py, "rae_id must be a name of 1 to 256 bytes"));
        }
        Ok(Arc::new(Self { callable: Mutex::new(Some(callable.clone().unbind())), id, dim }))
    }

    /// Lets go of the callable; later calls fail.
    pub fn release(&self) {
        self.lock().take();
    }

    fn lock(&self) -> MutexGuard<'_, Option<Py<PyAny>>> {
        // Held for a clone only, and never while Python runs.
        self.callable.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn call(&self, py: Python<'_>, texts: &[&str]) -> std::result::Result<Vectors, Failure> {
        let callable = self.lock().as_ref().map(|callable| callable.clone_ref(py));
        match callable {
            Some(callable) => call(callable.bind(py), texts),
            None => Err(Failure::Released),
        }
    }
}

#[async_trait]
impl Embedder for PyEmbedder {
    fn id(&self) -> &str {
        &self.id
    }

    fn dim(&self) -> usize {
        self.dim
    }

    async fn embed(&self, texts: &[&str], _role: EmbedRole) -> Result<Vectors> {
        let outcome = Python::attach(|py| match self.call(py, texts) {
            Ok(vectors) => Ok(vectors),
            // Ctrl-C inside the callable ends the call itself; it is no failure to be worked around.
            Err(Failure::Raised(raised)) if !raised.is_instance_of::<PyException>(py) => {
                match runtime::interrupt(raised) {
                    Ok(()) => Err(None),
                    Err(raised) => Err(Some(failed(py, Failure::Raised(raised)))),
                }
            }
            Err(failure) => Err(Some(failed(py, failure))),
        });
        match outcome {
            Ok(vectors) => Ok(vectors),
            Err(Some(error)) => Err(error),
            Err(None) => std::future::pending().await,
        }
    }
}

fn failed(py: Python<'_>, failure: Failure) -> Error {
    match failure {
        Failure::Raised(raised) => {
            let kind = raised.get_type(py).name().map_or_else(|_| "an exception".to_owned(), |n| n.to_string());
            let code = "embedder_failed";
            Error::unavailable(format!("the embedder raised {kind}")).with_code(code).with_source(Raised(raised))
        }
        Failure::Released => Error::unavailable("the store is closed; open it again").with_code("closed"),
        Failure::Shape(message) => Error::invalid(message).with_code("embedder_output"),
    }
}

/// The callable's own name, looked for behind functools.partial and instances.
fn qualified_name(callable: &Bound<'_, PyAny>) -> PyResult<String> {
    let mut named = callable.clone();
    while let Some(inner) = named.getattr_opt("func")?.filter(|f| f.is_callable()) {
        named = inner;
    }
    if named.getattr_opt("__qualname__")?.is_none() {
        named = named.get_type().into_any();
    }
    let part = |name| named.getattr(name).and_then(|v| v.str()).map(|v| v.to_string());
    Ok(format!("{}.{}", part("__module__")?, part("__qualname__")?))
}

fn call(callable: &Bound<'_, PyAny>, texts: &[&str]) -> std::result::Result<Vectors, Failure> {
    let list = PyList::new(callable.py(), texts)?;
    let returned = callable.call1((list,))?;
    if returned.getattr_opt("__await__")?.is_some() {
        // Unawaited coroutines complain when they are dropped.
        if let Some(close) = returned.getattr_opt("close")? {
            close.call0()?;
        }
        return Err(Failure::Shape("the embedder is asynchronous; give a plain function".to_owned()));
    }
    let vectors = vectors(&returned)?;
    if vectors.len() != texts.len() {
        return Err(Failure::Shape(format!(
            "the embedder gave {} vectors for {} texts; it must give one each",
            vectors.len(),
            texts.len()
        )));
    }
    Ok(vectors)
}

fn vectors(returned: &Bound<'_, PyAny>) -> std::result::Result<Vectors, Failure> {
    if returned.is_instance_of::<PyString>() {
        return Err(not_vectors(returned));
    }
    if let Some(buffer) = Buffer::read(returned)? {
        let [rows, dim] = buffer.shape[..] else { return Err(not_vectors(returned)) };
        return Ok(match dim {
            0 => vec![Some(Vec::new()); rows],
            _ => buffer.floats.chunks_exact(dim).map(|row| Some(row.to_vec())).collect(),
        });
    }
    let Ok(rows) = returned.try_iter() else { return Err(not_vectors(returned)) };
    rows.map(|row| vector(&row?)).collect()
}

fn vector(row: &Bound<'_, PyAny>) -> std::result::Result<Option<Vec<f32>>, Failure> {
    if row.is_none() {
        return Ok(None);
    }
    if let Some(buffer) = Buffer::read(row)? {
        return if buffer.shape.len() == 1 { Ok(Some(buffer.floats)) } else { Err(not_vectors(row)) };
    }
    // Tensors of other libraries convert themselves far faster than number by number.
    let row = match row.getattr_opt("tolist")? {
        Some(tolist) => tolist.call0()?,
        None => row.clone(),
    };
    let numbers = if row.is_instance_of::<PyString>() { None } else { row.try_iter().ok() };
    let Some(numbers) = numbers else { return Err(not_vectors(&row)) };
    let mut vector = Vec::new();
    for number in numbers {
        let number = number?;
        let Ok(float) = number.extract::<f64>() else { return Err(not_vectors(&number)) };
        if vector.len() > DIM_MAX {
            return Err(Failure::Shape(format!("the embedder gave a vector of more than {DIM_MAX} numbers")));
        }
        vector.push(float as f32);
    }
    Ok(Some(vector))
}

fn not_vectors(value: &Bound<'_, PyAny>) -> Failure {
    let what = type_name(value);
    Failure::Shape(format!(
        "the embedder must give one list of numbers per text, or a two-dimensional array; found {what}"
    ))
}

/// Floats of an object with the buffer protocol, such as a numpy array, without importing numpy.
struct Buffer {
    shape: Vec<usize>,
    floats: Vec<f32>,
}

impl Buffer {
    /// `None` for objects without a buffer, or with one that does not hold floats in the machine's byte order.
    fn read(value: &Bound<'_, PyAny>) -> PyResult<Option<Self>> {
        let Ok(view) = PyMemoryView::from(value) else { return Ok(None) };
        let format: String = view.getattr("format")?.extract()?;
        if !matches!(format.as_str(), "f" | "d" | "e") {
            return Ok(None);
        }
        let shape: Vec<usize> = view.getattr("shape")?.extract()?;
        let bytes = view.call_method0("tobytes")?;
        let bytes: &[u8] = bytes.extract()?;
        let floats = match format.as_str() {
            "f" => each(bytes, f32::from_ne_bytes),
            "d" => each(bytes, |b| f64::from_ne_bytes(b) as f32),
            _ => each(bytes, |b| half(u16::from_ne_bytes(b))),
        };
        Ok(Some(Self { shape, floats }))
    }
}

fn each<const N: usize>(bytes: &[u8], convert: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    bytes.as_chunks::<N>().0.iter().map(|b| convert(*b)).collect()
}

/// IEEE 754 half precision.
fn half(bits: u16) -> f32 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let (exponent, fraction) = (i32::from((bits >> 10) & 0x1f), f32::from(bits & 0x3ff));
    sign * match exponent {
        0 => fraction * 2f32.powi(-24),
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        _ => (1.0 + fraction / 1024.0) * 2f32.powi(exponent - 15),
    }
}
