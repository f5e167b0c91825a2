//! The native half of the Node module. It takes and gives JSON text; `lib/*.js` makes it the package that people use: names in
//! camelCase, checks of what JSON cannot say, error classes, AbortSignal.

// The macros' registration code is unsafe by nature.
#![allow(unsafe_code)]

mod answer;
mod embed;
mod errors;
mod money;
mod store;

use napi_derive::napi;

/// Version of the engine, for example `0.1.0`.
#[napi]
pub fn version() -> &'static str {
    rae_core::version()
}

/// The engine's error table as JSON: `[{kind, code, retry}]`, in its order.
#[napi]
pub fn error_table() -> String {
    let rows = rae_core::ErrorKind::TABLE;
    let rows = rows.iter().map(|r| serde_json::json!({ "kind": r.name, "code": r.js, "retry": r.retry }));
    serde_json::Value::from_iter(rows).to_string()
}

/// The verbs that `Store.call` knows.
#[napi]
pub fn verbs() -> Vec<&'static str> {
    rae_core::wire::VERBS.to_vec()
}
