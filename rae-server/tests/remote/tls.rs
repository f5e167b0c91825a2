//! Encryption: a server behind an authority of one's own is trusted where that is said, and only there.

use crate::support::Folder;
use rae_core::{ErrorKind, NewMemory, block_on, remote::Remote};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    },
};

const RECEIPT: &str =
    r#"{"id": "0190a0a0-0000-7000-8000-000000000000", "version": 7, "merged": false, "degraded": []}"#;

#[test]
fn an_authority_of_ones_own_is_trusted_where_it_is_named() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    runtime.spawn(async move {
        let acceptor = TlsAcceptor::from(Arc::new(config));
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            // A client that does not trust us hangs up in the handshake.
            let Ok(mut stream) = acceptor.accept(socket).await else { continue };
            let _ = stream.read(&mut [0; 4096]).await;
            let length = RECEIPT.len();
            let head = format!("HTTP/1.1 201 Created\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
            let _ = stream.write_all((head + RECEIPT).as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    let folder = Folder::new();
    let pem = folder.0.join("ca.pem");
    std::fs::write(&pem, made.cert.pem()).unwrap();
    let trusting = Remote::connect(&url).authorities(&pem).api_key("k").open().unwrap();
    assert!(!trusting.is_key_in_clear());
    assert_eq!(block_on(trusting.remember(NewMemory::new("x"))).unwrap().version, 7);
    let error = block_on(Remote::connect(&url).open().unwrap().remember(NewMemory::new("x"))).unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Unavailable, "unreachable"), "{error}");
    assert!(error.message().to_lowercase().contains("certificate"), "{error}");
}
