//! Scalars from Python. Every refusal is an InvalidInputError that names the field; what a number or text may be is the engine's
//! business, so integers of any size arrive there, held inside 64 bits.

use crate::{
    errors::{OrRaise, exception, invalid},
    json::type_name,
};
use pyo3::{
    exceptions::{PyOverflowError, PyTypeError, PyValueError},
    prelude::*,
    types::{PyBool, PyByteArray, PyBytes, PyDate, PyDelta, PyFloat, PyInt, PyList, PyMapping, PyString, PyTuple},
};
use rae_core::{Error, MemoryId, Timestamp};
use std::{path::PathBuf, str::FromStr, time::Duration};

/// More items than any list of names may have; an endless iterator ends here.
const NAMES_MAX: usize = 10_000;

/// A text.
pub(crate) fn text(field: &str, value: &Bound<'_, PyAny>) -> PyResult<String> {
    let py = value.py();
    let Ok(text) = value.cast::<PyString>() else {
        return Err(invalid(py, format!("{field} must be a str, not {}", type_name(value))));
    };
    match text.to_str() {
        Ok(text) => Ok(text.to_owned()),
        Err(_) => Err(invalid(py, format!("{field} holds lone surrogates, which are not Unicode text"))),
    }
}

/// A text, or nothing.
pub(crate) fn optional<T>(
    field: &str,
    value: &Bound<'_, PyAny>,
    read: impl FnOnce(&str, &Bound<'_, PyAny>) -> PyResult<T>,
) -> PyResult<Option<T>> {
    if value.is_none() { Ok(None) } else { read(field, value).map(Some) }
}

/// One of a closed set of names.
pub(crate) fn name<T: FromStr<Err = Error>>(field: &str, value: &Bound<'_, PyAny>) -> PyResult<T> {
    text(field, value)?.parse().or_raise(value.py())
}

/// A memory id.
pub(crate) fn id(field: &str, value: &Bound<'_, PyAny>) -> PyResult<MemoryId> {
    name(field, value)
}

/// Items of a list, tuple, set or other iterable, but not of a text: `tags="pets"` would be four tags.
pub(crate) fn items<'py>(field: &str, value: &Bound<'py, PyAny>) -> PyResult<Vec<Bound<'py, PyAny>>> {
    let py = value.py();
    if let Ok(list) = value.cast::<PyList>() {
        return Ok(list.iter().collect());
    }
    if let Ok(tuple) = value.cast::<PyTuple>() {
        return Ok(tuple.iter().collect());
    }
    let refused = value.is_instance_of::<PyString>()
        || value.is_instance_of::<PyBytes>()
        || value.is_instance_of::<PyByteArray>()
        || value.cast::<PyMapping>().is_ok();
    let iterator = if refused { None } else { value.try_iter().ok() };
    let Some(iterator) = iterator else {
        return Err(invalid(py, format!("{field} must be a list of str, not {}", type_name(value))));
    };
    let items = iterator.take(NAMES_MAX + 1).collect::<PyResult<Vec<_>>>()?;
    if items.len() > NAMES_MAX {
        return Err(invalid(py, format!("{field} has more than {NAMES_MAX} items")));
    }
    Ok(items)
}

/// Texts.
pub(crate) fn texts(field: &str, value: &Bound<'_, PyAny>) -> PyResult<Vec<String>> {
    items(field, value)?.iter().map(|item| text(field, item)).collect()
}

/// Several of a closed set of names.
pub(crate) fn names<T: FromStr<Err = Error>>(field: &str, value: &Bound<'_, PyAny>) -> PyResult<Vec<T>> {
    items(field, value)?.iter().map(|item| name(field, item)).collect()
}

/// A whole number. One that does not fit into 64 bits arrives as the nearest that does: the engine refuses it by its range.
pub(crate) fn integer(field: &str, value: &Bound<'_, PyAny>) -> PyResult<i64> {
    let py = value.py();
    let wrong = || invalid(py, format!("{field} must be a whole number, not {}", type_name(value)));
    if value.is_instance_of::<PyBool>() {
        return Err(wrong());
    }
    match value.extract::<i64>() {
        Ok(n) => Ok(n),
        Err(e) if e.is_instance_of::<PyOverflowError>(py) => Ok(if value.lt(0)? { i64::MIN } else { i64::MAX }),
        Err(e) if e.is_instance_of::<PyTypeError>(py) => Err(wrong()),
        Err(e) => Err(e),
    }
}

/// A number: int, float, or what converts to float exactly as numpy's scalars do.
pub(crate) fn number(field: &str, value: &Bound<'_, PyAny>) -> PyResult<f64> {
    let py = value.py();
    if let Ok(float) = value.cast::<PyFloat>() {
        return Ok(float.value());
    }
    let wrong = || invalid(py, format!("{field} must be a number, not {}", type_name(value)));
    if value.is_instance_of::<PyBool>() {
        return Err(wrong());
    }
    match value.extract::<f64>() {
        Ok(n) => Ok(n),
        Err(e) if e.is_instance_of::<PyOverflowError>(py) => {
            Ok(if value.lt(0)? { f64::NEG_INFINITY } else { f64::INFINITY })
        }
        Err(e) if e.is_instance_of::<PyTypeError>(py) => Err(wrong()),
        Err(e) => Err(e),
    }
}

/// True or false, and nothing that merely looks like it.
pub(crate) fn flag(field: &str, value: &Bound<'_, PyAny>) -> PyResult<bool> {
    match value.cast::<PyBool>() {
        Ok(flag) => Ok(flag.is_true()),
        Err(_) => Err(invalid(value.py(), format!("{field} must be True or False, not {}", type_name(value)))),
    }
}

/// Seconds as a number or a timedelta.
pub(crate) fn seconds(field: &str, value: &Bound<'_, PyAny>) -> PyResult<f64> {
    if value.is_instance_of::<PyInt>() || !value.is_instance_of::<PyDelta>() {
        return number(field, value);
    }
    value.call_method0("total_seconds")?.extract()
}

/// The longest time of one call.
pub(crate) fn timeout(value: &Bound<'_, PyAny>) -> PyResult<Duration> {
    let seconds = seconds("timeout", value)?;
    let duration = if seconds > 0.0 { Duration::try_from_secs_f64(seconds).ok() } else { None };
    duration.ok_or_else(|| invalid(value.py(), "timeout must be a number of seconds above 0"))
}

/// An instant: RFC 3339 text, a datetime (a naive one is taken as UTC) or a date (midnight UTC), in the years that Python's
/// datetime can give back.
pub(crate) fn time(field: &str, value: &Bound<'_, PyAny>) -> PyResult<Timestamp> {
    let py = value.py();
    let parsed = if value.is_instance_of::<PyString>() {
        Timestamp::parse(&text(field, value)?)
    } else if value.is_instance_of::<PyDate>() {
        // datetime is a date; both print what the engine reads, with every digit.
        Timestamp::parse(&text(field, &value.call_method0("isoformat")?)?)
    } else {
        return Err(invalid(
            py,
            format!("{field} must be a datetime, a date or RFC 3339 text, not {}", type_name(value)),
        ));
    };
    parsed
        .and_then(Timestamp::in_calendar)
        .map_err(|e| exception(py, &Error::invalid(format!("{field}: {}", e.message())).with_code(e.code().to_owned())))
}

/// A path: str or os.PathLike.
pub(crate) fn path(field: &str, value: &Bound<'_, PyAny>) -> PyResult<PathBuf> {
    let py = value.py();
    let path: PathBuf = match value.extract() {
        Ok(path) => path,
        Err(e) if e.is_instance_of::<PyTypeError>(py) => {
            return Err(invalid(py, format!("{field} must be a str or os.PathLike, not {}", type_name(value))));
        }
        Err(e) if e.is_instance_of::<PyValueError>(py) => {
            return Err(invalid(py, format!("{field} holds lone surrogates, which no file name has")));
        }
        Err(e) => return Err(e),
    };
    let bytes = path.as_os_str().as_encoded_bytes();
    if bytes.is_empty() {
        return Err(invalid(py, format!("{field} must not be empty")));
    }
    if bytes.contains(&0) {
        return Err(invalid(py, format!("{field} must not contain NUL")));
    }
    Ok(path)
}
