//! The native half of the Python package `rae` (private module `rae._rae`): type conversion, a runtime, error mapping. The public
//! classes with their signatures and documentation are in `python/rae`.
//!
//! - `store`: the handle; each verb converts its input, lets go of the interpreter, drives the engine's future, converts the answer.
//! - `options`: what `open` and `connect` take.
//! - `runtime`: the drive: Ctrl-C, cancellation, panics, forks.
//! - `money`: verbs in JSON, streamed answers, providers.
//! - `fields`, `input`, `json`: Python to engine. `records`: engine to Python. `errors`: the error table. `embed`: Python callables
//!   as embedders. `prices`: what models cost.

mod embed;
mod errors;
mod fields;
mod input;
mod json;
mod money;
mod options;
mod prices;
mod records;
mod runtime;
mod store;

use pyo3::prelude::*;

/// Version of the engine.
pub fn version() -> &'static str {
    rae_core::version()
}

#[pymodule(name = "_rae")]
fn native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", version())?;
    module.add_function(wrap_pyfunction!(errors::_error_table, module)?)?;
    module.add_function(wrap_pyfunction!(prices::_prices, module)?)?;
    module.add_function(wrap_pyfunction!(runtime::_test_panic, module)?)?;
    module.add_function(wrap_pyfunction!(runtime::_before_fork, module)?)?;
    module.add_function(wrap_pyfunction!(runtime::_after_fork_in_parent, module)?)?;
    module.add_function(wrap_pyfunction!(runtime::_after_fork_in_child, module)?)?;
    module.add_class::<runtime::Cancel>()?;
    module.add_class::<store::Store>()?;
    module.add_class::<money::LlmPieces>()?;
    records::register(module)
}
