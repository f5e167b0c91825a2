//! Bindings; so far the engine's version only.

/// Version of the engine.
pub fn version() -> &'static str {
    rae_core::version()
}
