//! The Node module. So far it exposes the engine's version; the verbs are an issue of their own.

// The macro's registration code is unsafe by nature.
#![allow(unsafe_code)]

use napi_derive::napi;

/// Version of the engine, for example `0.1.0`.
#[napi]
pub fn version() -> &'static str {
    rae_core::version()
}
