//! The prices of models, for `rae prices`.

use crate::{
    errors::OrRaise,
    input::{optional, text},
    json,
    runtime::boundary,
};
use pyo3::prelude::*;
use rae_core::{
    cost::PriceBook,
    ports::{Clock as _, SystemClock},
};
use serde_json::Value;

/// The built-in prices and those of `overrides`, a JSON text, as dicts: of one provider, of one model as a call of now would find
/// it, or all.
#[pyfunction]
pub(crate) fn _prices<'py>(
    py: Python<'py>,
    overrides: &Bound<'py, PyAny>,
    provider: &Bound<'py, PyAny>,
    model: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    boundary(py, || {
        let overrides = optional("overrides", overrides, text)?;
        let (provider, model) = (optional("provider", provider, text)?, optional("model", model, text)?);
        let read = || -> rae_core::Result<Value> {
            let mut book = PriceBook::built_in()?;
            if let Some(json) = &overrides {
                book = book.with_overrides(json)?;
            }
            let found = book.select(provider.as_deref(), model.as_deref(), SystemClock.now())?;
            Ok(found.into_iter().map(rae_core::cost::Price::to_json).collect())
        };
        json::to_py(py, &read().or_raise(py)?)
    })
}
