//! The hosted service around `rae-core`. So far it exposes the engine's version; the HTTP api is an issue of its own.

pub mod adapters;

/// Version of the engine this server was built with, for example `0.1.0`.
pub fn version() -> &'static str {
    rae_core::version()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_server_reports_the_version_of_the_engine() {
        assert_eq!(super::version(), env!("CARGO_PKG_VERSION"));
    }
}
