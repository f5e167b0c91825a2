//! How the fields of the records become Python, and come back for unpickling.

use crate::{errors::exception, json};
use pyo3::{
    IntoPyObjectExt,
    prelude::*,
    types::{PyDateTime, PyList, PyString, PyTzInfo},
};
use rae_core::{Error, ErrorKind, Timestamp};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Longest text in a `repr`, in characters.
const REPR_CHARS_MAX: usize = 100;

/// How the type of a field becomes Python and comes back (the latter for unpickling).
pub(crate) trait Field: Sized {
    /// As an attribute.
    fn to_py<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>>;
    /// As a member of `to_dict`.
    fn to_plain<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.to_py(py)
    }
    /// From what `to_py` gave.
    fn from_py(value: &Bound<'_, PyAny>) -> PyResult<Self>;
    /// For `repr`; empty for what is not worth showing.
    fn show(&self, py: Python<'_>) -> PyResult<String> {
        Ok(self.to_py(py)?.repr()?.to_string())
    }
}

macro_rules! plain_fields {
    ($($type:ty),+) => { $(
        impl Field for $type {
            fn to_py<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
                self.into_bound_py_any(py)
            }
            fn from_py(value: &Bound<'_, PyAny>) -> PyResult<Self> {
                value.extract()
            }
        }
    )+ };
}

plain_fields!(bool, u32, u64, usize);

impl Field for f64 {
    fn to_py<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.into_bound_py_any(py)
    }
    fn from_py(value: &Bound<'_, PyAny>) -> PyResult<Self> {
        value.extract()
    }
    fn show(&self, _py: Python<'_>) -> PyResult<String> {
        // Enough to compare by eye; the attribute has every digit.
        Ok(format!("{:?}", (self * 1e4).round() / 1e4))
    }
}

impl Field for String {
    fn to_py<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(PyString::new(py, self).into_any())
    }
    fn from_py(value: &Bound<'_, PyAny>) -> PyResult<Self> {
        value.extract()
    }
    fn show(&self, py: Python<'_>) -> PyResult<String> {
        let clipped = match self.char_indices().nth(REPR_CHARS_MAX) {
            Some((end, _)) => format!("{}...", &self[..end]),
            None => self.clone(),
        };
        Ok(PyString::new(py, &clipped).repr()?.to_string())
    }
}

impl<T: Field> Field for Option<T> {
    fn to_py<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.as_ref().map_or_else(|| Ok(py.None().into_bound(py)), |v| v.to_py(py))
    }
    fn to_plain<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.as_ref().map_or_else(|| Ok(py.None().into_bound(py)), |v| v.to_plain(py))
    }
    fn from_py(value: &Bound<'_, PyAny>) -> PyResult<Self> {
        if value.is_none() { Ok(None) } else { T::from_py(value).map(Some) }
    }
    fn show(&self, py: Python<'_>) -> PyResult<String> {
        self.as_ref().map_or_else(|| Ok(String::new()), |v| v.show(py))
    }
}

impl<T: Field> Field for Vec<T> {
    fn to_py<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let items = self.iter().map(|item| item.to_py(py)).collect::<PyResult<Vec<_>>>()?;
        Ok(PyList::new(py, items)?.into_any())
    }
    fn to_plain<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let items = self.iter().map(|item| item.to_plain(py)).collect::<PyResult<Vec<_>>>()?;
        Ok(PyList::new(py, items)?.into_any())
    }
    fn from_py(value: &Bound<'_, PyAny>) -> PyResult<Self> {
        value.try_iter()?.map(|item| T::from_py(&item?)).collect()
    }
    fn show(&self, py: Python<'_>) -> PyResult<String> {
        if self.is_empty() {
            return Ok(String::new());
        }
        let items = self.iter().map(|item| item.show(py)).collect::<PyResult<Vec<_>>>()?;
        Ok(format!("[{}]", items.join(", ")))
    }
}

/// An instant as an aware datetime in UTC.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Time(pub Timestamp);

impl Field for Time {
    fn to_py<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        const DAY: i64 = 86_400_000_000;
        let (year, month, day) = self.0.ymd();
        if !(1..=9999).contains(&year) {
            // Another language may have stored it. Losing it, or giving another time, would both be worse.
            let message = format!("{} is outside of the years that Python's datetime has; export shows it", self.0);
            let error = Error::new(ErrorKind::Unsupported, message).with_code("year_out_of_range");
            return Err(exception(py, &error));
        }
        let of_day = self.0.micros().rem_euclid(DAY);
        let part = |unit: i64, most: i64| u8::try_from(of_day / unit % most).unwrap_or_default();
        let micros = u32::try_from(of_day % 1_000_000).unwrap_or_default();
        let (hour, minute, second) = (part(3_600_000_000, 24), part(60_000_000, 60), part(1_000_000, 60));
        let (month, day) = (u8::try_from(month).unwrap_or(1), u8::try_from(day).unwrap_or(1));
        let utc = PyTzInfo::utc(py)?;
        Ok(PyDateTime::new(py, i32::from(year), month, day, hour, minute, second, micros, Some(&utc))?.into_any())
    }
    fn from_py(value: &Bound<'_, PyAny>) -> PyResult<Self> {
        crate::input::time("time", value).map(Self)
    }
    fn show(&self, _py: Python<'_>) -> PyResult<String> {
        Ok(self.0.to_string())
    }
}

/// A JSON value as fresh Python objects.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Json(pub Value);

impl Field for Json {
    fn to_py<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        json::to_py(py, &self.0)
    }
    fn from_py(value: &Bound<'_, PyAny>) -> PyResult<Self> {
        json::restored(value).map(Self)
    }
    fn show(&self, py: Python<'_>) -> PyResult<String> {
        if self.0.as_object().is_some_and(Map::is_empty) {
            Ok(String::new())
        } else {
            Ok(self.to_py(py)?.repr()?.to_string())
        }
    }
}

/// Counts by name.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Counts(pub BTreeMap<String, u64>);

impl Field for Counts {
    fn to_py<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        (&self.0).into_bound_py_any(py)
    }
    fn from_py(value: &Bound<'_, PyAny>) -> PyResult<Self> {
        value.extract().map(Self)
    }
}
