//! JSON values to and from Python.

use crate::{errors::invalid, input::time};
use pyo3::{
    prelude::*,
    types::{PyBool, PyDate, PyDict, PyFloat, PyFrozenSet, PyInt, PyList, PyMapping, PySet, PyString, PyTuple},
};
use rae_core::limits::METADATA_BYTES_MAX;
use serde_json::{Map, Number, Value};

/// Deeper than anything the engine accepts, shallow enough for any stack. A cycle ends here.
const DEPTH_MAX: usize = 64;

/// One conversion: which field it is for, and how much it may still hold. The bound is on the way in, since a list that holds
/// the same list many times is small in memory and endless as JSON.
struct Reader<'a> {
    field: &'a str,
    left: usize,
    most: usize,
    /// Whether it is a filter, where a time or a set means what it would mean as text or list.
    is_filter: bool,
}

/// A JSON object, bounded as metadata is.
pub(crate) fn object(field: &str, value: &Bound<'_, PyAny>) -> PyResult<Map<String, Value>> {
    let mut reader = Reader { field, left: METADATA_BYTES_MAX, most: METADATA_BYTES_MAX, is_filter: false };
    if let Ok(dict) = value.cast::<PyDict>() {
        return reader.map(dict, 1);
    }
    if let Ok(mapping) = value.cast::<PyMapping>() {
        return reader.map(&as_dict(mapping)?, 1);
    }
    Err(invalid(value.py(), format!("{field} must be a dict, not {}", type_name(value))))
}

/// A receipt of `forget`: the hashes of a million ids fit.
pub(crate) fn receipt(field: &str, value: &Bound<'_, PyAny>) -> PyResult<Value> {
    let most = 128 << 20;
    Reader { field, left: most, most, is_filter: false }.value(value, 0)
}

/// A filter: any JSON value, since the engine says best what is wrong with it.
pub(crate) fn filter(field: &str, value: &Bound<'_, PyAny>) -> PyResult<Value> {
    // Sixty-four terms of the longest values; the engine counts exactly.
    let most = 64 * METADATA_BYTES_MAX;
    Reader { field, left: most, most, is_filter: true }.value(value, 0)
}

/// Arguments of a verb that takes JSON: times as text, sets as lists.
pub(crate) fn arguments(args: &Bound<'_, PyDict>, most: usize) -> PyResult<Map<String, Value>> {
    Reader { field: "the arguments", left: most, most, is_filter: true }.map(args, 0)
}

/// A value that this module made itself, as it comes back from a pickle.
pub(crate) fn restored(value: &Bound<'_, PyAny>) -> PyResult<Value> {
    Reader { field: "a pickle", left: usize::MAX, most: usize::MAX, is_filter: false }.value(value, 0)
}

/// A copy of any mapping as a dict.
pub(crate) fn as_dict<'py>(mapping: &Bound<'py, PyMapping>) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(mapping.py());
    dict.update(mapping)?;
    Ok(dict)
}

/// The name of a value's type, for messages.
pub(crate) fn type_name(value: &Bound<'_, PyAny>) -> String {
    value.get_type().name().map_or_else(|_| "an object".to_owned(), |n| n.to_string())
}

impl Reader<'_> {
    fn spend(&mut self, py: Python<'_>, bytes: usize) -> PyResult<()> {
        match self.left.checked_sub(bytes) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(invalid(py, format!("{} has more than {} bytes of JSON", self.field, self.most))),
        }
    }

    fn map(&mut self, dict: &Bound<'_, PyDict>, depth: usize) -> PyResult<Map<String, Value>> {
        let py = dict.py();
        self.check_depth(py, depth)?;
        let mut out = Map::with_capacity(dict.len().min(self.left));
        for (key, value) in dict {
            let Ok(key) = key.cast::<PyString>() else {
                return Err(invalid(py, format!("{} has a key that is not a str but {}", self.field, type_name(&key))));
            };
            let key = self.text(key)?;
            self.spend(py, key.len())?;
            out.insert(key, self.value(&value, depth)?);
        }
        Ok(out)
    }

    fn list<'py>(&mut self, items: impl Iterator<Item = Bound<'py, PyAny>>, depth: usize) -> PyResult<Value> {
        items.map(|item| self.value(&item, depth)).collect::<PyResult<Vec<_>>>().map(Value::Array)
    }

    fn text(&mut self, text: &Bound<'_, PyString>) -> PyResult<String> {
        let Ok(text) = text.to_str() else {
            return Err(invalid(
                text.py(),
                format!("{} holds text with lone surrogates, which is not Unicode", self.field),
            ));
        };
        Ok(text.to_owned())
    }

    fn check_depth(&self, py: Python<'_>, depth: usize) -> PyResult<()> {
        if depth > DEPTH_MAX {
            return Err(invalid(
                py,
                format!("{} is nested more than {DEPTH_MAX} levels deep, or holds itself", self.field),
            ));
        }
        Ok(())
    }

    fn value(&mut self, value: &Bound<'_, PyAny>, depth: usize) -> PyResult<Value> {
        let py = value.py();
        self.spend(py, 1)?;
        if value.is_none() {
            Ok(Value::Null)
        } else if let Ok(text) = value.cast::<PyString>() {
            let text = self.text(text)?;
            self.spend(py, text.len())?;
            Ok(Value::String(text))
        } else if let Ok(flag) = value.cast::<PyBool>() {
            Ok(Value::Bool(flag.is_true()))
        } else if value.is_instance_of::<PyInt>() {
            self.integer(value)
        } else if let Ok(float) = value.cast::<PyFloat>() {
            let number = Number::from_f64(float.value());
            number
                .map(Value::Number)
                .ok_or_else(|| invalid(py, format!("{} holds NaN or infinity, which is not JSON", self.field)))
        } else if let Ok(dict) = value.cast::<PyDict>() {
            self.map(dict, depth + 1).map(Value::Object)
        } else if let Ok(list) = value.cast::<PyList>() {
            self.check_depth(py, depth + 1)?;
            self.list(list.iter(), depth + 1)
        } else if let Ok(tuple) = value.cast::<PyTuple>() {
            self.check_depth(py, depth + 1)?;
            self.list(tuple.iter(), depth + 1)
        } else if let Ok(mapping) = value.cast::<PyMapping>() {
            self.map(&as_dict(mapping)?, depth + 1).map(Value::Object)
        } else if self.is_filter && value.is_instance_of::<PyDate>() {
            Ok(Value::String(time(self.field, value)?.to_string()))
        } else if self.is_filter && (value.is_instance_of::<PySet>() || value.is_instance_of::<PyFrozenSet>()) {
            self.list(value.try_iter()?.collect::<PyResult<Vec<_>>>()?.into_iter(), depth + 1)
        } else {
            Err(invalid(py, format!("{} holds {}, which is not JSON", self.field, type_name(value))))
        }
    }

    /// 64 bits, signed or not: what JSON readers of other languages take as well.
    fn integer(&self, value: &Bound<'_, PyAny>) -> PyResult<Value> {
        if let Ok(n) = value.extract::<i64>() {
            return Ok(n.into());
        }
        let too_big = || format!("{} holds an integer of more than 64 bits; store it as text", self.field);
        value.extract::<u64>().map(Value::from).map_err(|_| invalid(value.py(), too_big()))
    }
}

/// A JSON value as fresh Python objects.
pub(crate) fn to_py<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::Null => py.None().into_bound(py),
        Value::Bool(flag) => flag.into_pyobject(py)?.to_owned().into_any(),
        Value::Number(n) => match (n.as_i64(), n.as_u64(), n.as_f64()) {
            (Some(n), _, _) => n.into_pyobject(py)?.into_any(),
            (_, Some(n), _) => n.into_pyobject(py)?.into_any(),
            (_, _, n) => n.into_pyobject(py)?.into_any(),
        },
        Value::String(text) => PyString::new(py, text).into_any(),
        Value::Array(items) => {
            let items = items.iter().map(|item| to_py(py, item)).collect::<PyResult<Vec<_>>>()?;
            PyList::new(py, items)?.into_any()
        }
        Value::Object(map) => map_to_py(py, map)?.into_any(),
    })
}

/// A JSON object as a fresh dict.
pub(crate) fn map_to_py<'py>(py: Python<'py>, map: &Map<String, Value>) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (key, value) in map {
        dict.set_item(key, to_py(py, value)?)?;
    }
    Ok(dict)
}
