//! One way to make clients for HTTP services: models, rerankers, vector stores, a RAE server. Callers need a Tokio runtime.

use crate::error::{Error, Result};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};
use std::{path::Path, sync::Arc, time::Duration};

mod reactor;
pub mod sse;
#[cfg(feature = "remote")]
pub(crate) use reactor::OnReactor;
pub(crate) use reactor::on_sockets;

/// Time for a connection to come about.
const CONNECT: Duration = Duration::from_secs(5);
/// Time after which a connection that nobody uses is closed.
const IDLE: Duration = Duration::from_secs(60);

/// What a client waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Each call takes at most so long, the reading of its answer included.
    Whole(Duration),
    /// An answer may go on for ever, but never be silent for longer than this, from the sending of the request on.
    Silence(Duration),
}

/// A client whose calls take at most `timeout`, answers read included. Encryption is rustls with ring, named here since a
/// library sets no default for the whole process; the roots are Mozilla's (webpki-roots). It goes to the address it is
/// given and no other: no redirects are followed, and proxies of the environment are not asked.
pub fn client(timeout: Duration) -> Result<reqwest::Client> {
    client_with(Limit::Whole(timeout), None)
}

/// A client that trusts the certificates of this PEM file as well, for a service behind an authority of one's own. InvalidInput
/// where the file cannot be read or holds no certificate.
pub fn client_trusting(timeout: Duration, authorities: &Path) -> Result<reqwest::Client> {
    client_with(Limit::Whole(timeout), Some(authorities))
}

/// The same with the limit of choice, and with the certificates of a PEM file where there is one.
pub fn client_with(limit: Limit, authorities: Option<&Path>) -> Result<reqwest::Client> {
    let roots = match authorities {
        Some(file) => roots_with(file)?,
        None => RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() },
    };
    with_roots(limit, roots)
}

fn roots_with(authorities: &Path) -> Result<RootCertStore> {
    let shown = authorities.display();
    let wrong = |why: String| Error::invalid(format!("{shown} is not a PEM file of certificates: {why}"));
    let text = std::fs::read(authorities).map_err(|e| wrong(e.to_string()).with_source(e))?;
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let known = roots.len();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.map_err(|e| wrong(e.to_string()))?;
        roots.add(certificate).map_err(|e| wrong(e.to_string()).with_source(e))?;
    }
    if roots.len() == known {
        return Err(wrong("it has none".to_owned()));
    }
    Ok(roots)
}

fn with_roots(limit: Limit, roots: RootCertStore) -> Result<reqwest::Client> {
    let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::internal("the TLS library offers no protocol version").with_source(e))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let builder = match limit {
        Limit::Whole(timeout) => reqwest::Client::builder().timeout(timeout),
        Limit::Silence(timeout) => reqwest::Client::builder().read_timeout(timeout),
    };
    builder
        .tls_backend_preconfigured(tls)
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
