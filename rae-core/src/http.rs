//! One way to make clients for HTTP services: models, rerankers, vector stores, a RAE server. Callers need a Tokio runtime.

use crate::error::{Error, Result};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use std::{sync::Arc, time::Duration};

/// Time for a connection to come about.
const CONNECT: Duration = Duration::from_secs(5);
/// Time after which a connection that nobody uses is closed.
const IDLE: Duration = Duration::from_secs(60);

/// A client whose calls take at most `timeout`, answers read included. Encryption is rustls with ring, named here since a
/// library sets no default for the whole process; the roots are Mozilla's (webpki-roots). It goes to the address it is
/// given and no other: no redirects are followed, and proxies of the environment are not asked.
pub fn client(timeout: Duration) -> Result<reqwest::Client> {
    let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::internal("the TLS library offers no protocol version").with_source(e))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .timeout(timeout)
        .connect_timeout(CONNECT)
        .pool_idle_timeout(IDLE)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .user_agent(concat!("rae/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|e| Error::internal("the HTTP client could not be made").with_source(e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_needs_no_default_of_the_process() {
        client(Duration::from_secs(1)).unwrap();
        assert!(rustls::crypto::CryptoProvider::get_default().is_none());
    }
}
