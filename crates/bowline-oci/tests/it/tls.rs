//! A registry with a certificate of its own.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::sync::Arc;

use bowline_oci::{Client, MediaType, Options, encode};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::world::{artifact, layout, options, reference};

const AUTHORITY: &[u8] = include_bytes!("../../fixtures/tls/ca.pem");
const CERTIFICATE: &[u8] = include_bytes!("../../fixtures/tls/server.pem");
const KEY: &[u8] = include_bytes!("../../fixtures/tls/server.key");

/// Answers every request with one manifest, and returns the address.
fn serve(manifest: Vec<u8>) -> String {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let certificate = CertificateDer::from_pem_slice(CERTIFICATE).unwrap();
    let key = PrivateKeyDer::from_pem_slice(KEY).unwrap();
    let config = Arc::new(config.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = BufReader::new(StreamOwned::new(connection, socket.unwrap()));
            let mut line = String::new();
            // A client that does not trust the certificate goes away in the middle.
            while stream.read_line(&mut line).is_ok_and(|read| read > 2) {
                line.clear();
            }
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: {}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                MediaType::ImageManifest,
                manifest.len()
            );
            drop(stream.get_mut().write_all(&[head.as_bytes(), &manifest].concat()));
        }
    });
    address
}

#[tokio::test]
async fn a_certificate_of_ones_own_is_trusted_where_it_is_given() {
    let (_folder, from) = layout();
    let artifact = artifact(&from, "one", None);
    let address = serve(encode(&from.manifest(&artifact).unwrap()).unwrap());
    let with = Options { plain_http: false, certificates: AUTHORITY.to_vec(), ..options() };
    let found = Client::new(with).unwrap().resolve(&reference(&address, "v1")).await.unwrap();
    assert_eq!(found.digest(), artifact.digest());

    let without = Options { plain_http: false, attempts_max: 1, ..options() };
    let error = Client::new(without).unwrap().resolve(&reference(&address, "v1")).await.unwrap_err().to_string();
    assert!(error.contains("UnknownIssuer") && error.contains("--ca-file"), "{error}");
}
