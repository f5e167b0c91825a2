//! The answer of `recall`.

use super::{
    Hit,
    field::{Field, Json},
};
use pyo3::{
    prelude::*,
    types::{PyDict, PyList, PySlice, PyTuple},
};

/// The answer of `recall`: a sequence of `Hit`, best first.
#[pyclass(frozen, sequence, module = "rae")]
pub(crate) struct Hits {
    hits: Vec<Py<Hit>>,
    degraded: Vec<String>,
    trace: Option<Json>,
}

impl Hits {
    pub fn new(py: Python<'_>, answer: rae_core::Hits) -> PyResult<Self> {
        let hits = answer.hits.into_iter().map(|hit| Py::new(py, Hit::from(hit))).collect::<PyResult<_>>()?;
        Ok(Self { hits, degraded: answer.degraded, trace: answer.trace.map(Json) })
    }

    fn list<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        PyList::new(py, self.hits.iter().map(|hit| hit.bind(py)))
    }
}

#[pymethods]
impl Hits {
    /// Parts that could not be used: "dense" (the embedder failed), "rerank" (there is none).
    #[getter]
    fn degraded(&self) -> Vec<String> {
        self.degraded.clone()
    }

    /// How the answer came about, with `explain=True`; else None.
    #[getter]
    fn trace<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.trace.to_py(py)
    }

    /// `{"hits": [...], "degraded": [...], "trace": ...}` as fresh dicts and lists; times stay datetimes.
    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        let hits = self.hits.iter().map(|hit| hit.get().to_dict(py)).collect::<PyResult<Vec<_>>>()?;
        dict.set_item("hits", hits)?;
        dict.set_item("degraded", &self.degraded)?;
        dict.set_item("trace", self.trace(py)?)?;
        Ok(dict)
    }

    fn __len__(&self) -> usize {
        self.hits.len()
    }

    fn __getitem__<'py>(&self, py: Python<'py>, index: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        if index.is_instance_of::<PySlice>() {
            return self.list(py)?.as_any().get_item(index);
        }
        let i: isize = index.extract()?;
        let len = isize::try_from(self.hits.len())?;
        let found = usize::try_from(if i < 0 { i + len } else { i }).ok().and_then(|i| self.hits.get(i));
        let found = found.ok_or_else(|| pyo3::exceptions::PyIndexError::new_err("hit index out of range"))?;
        Ok(found.bind(py).clone().into_any())
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(self.list(py)?.try_iter()?.into_any())
    }

    fn __reversed__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.list(py)?.call_method0("__reversed__")
    }

    fn __contains__(&self, hit: &Bound<'_, PyAny>) -> bool {
        hit.cast::<Hit>().is_ok_and(|hit| self.hits.iter().any(|mine| mine.get() == hit.get()))
    }

    /// Position of a hit; ValueError when it is not there.
    #[pyo3(signature = (value, *bounds))]
    fn index<'py>(&self, value: &Bound<'py, PyAny>, bounds: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>> {
        let py = value.py();
        let mut arguments = vec![value.clone()];
        arguments.extend(bounds.iter());
        self.list(py)?.getattr("index")?.call1(PyTuple::new(py, arguments)?)
    }

    /// How often a hit is there.
    fn count(&self, value: &Bound<'_, PyAny>) -> usize {
        value.cast::<Hit>().map_or(0, |hit| self.hits.iter().filter(|mine| mine.get() == hit.get()).count())
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other.cast::<Self>().is_ok_and(|other| {
            let other = other.get();
            self.hits.len() == other.hits.len()
                && self.hits.iter().zip(&other.hits).all(|(a, b)| a.get() == b.get())
                && self.degraded == other.degraded
                && self.trace == other.trace
        })
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let hits = self.hits.iter().map(|hit| hit.get().__repr__(py)).collect::<PyResult<Vec<_>>>()?;
        let degraded = if self.degraded.is_empty() { String::new() } else { format!(", degraded={:?}", self.degraded) };
        Ok(format!("Hits([{}]{degraded})", hits.join(", ")))
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let (py, this) = (slf.py(), slf.get());
        let fields = [this.list(py)?.into_any(), this.degraded.to_py(py)?, this.trace(py)?];
        Ok((slf.get_type().getattr("_restore")?, PyTuple::new(py, fields)?))
    }

    #[staticmethod]
    fn _restore(hits: &Bound<'_, PyList>, degraded: Vec<String>, trace: &Bound<'_, PyAny>) -> PyResult<Self> {
        let hits = hits.iter().map(|hit| Ok(hit.cast::<Hit>()?.clone().unbind())).collect::<PyResult<_>>()?;
        Ok(Self { hits, degraded, trace: Option::<Json>::from_py(trace)? })
    }
}
