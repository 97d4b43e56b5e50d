//! TLS between roles: certificates from files, read again when they change, so that whoever renews them restarts nothing.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use bowline_types::Digest;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

mod listener;

pub use listener::TlsListener;

/// The files of one side, in PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate with those between it and the authority, and its key; `None` shows none to the other side.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// The certificates of the authorities that the other side's must come from. `None`: a server asks for none, a client trusts the
    /// roots of Mozilla.
    pub authorities: Option<PathBuf>,
}

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("could not read {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error("{} holds no {expected} in PEM", .path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What should be there.
        expected: &'static str,
        /// The cause, where it is more than that nothing is there.
        #[source]
        source: Option<pem::Error>,
    },
    /// A server has no certificate.
    #[error("a server needs a certificate and its key\nhint: `--tls-cert FILE --tls-key FILE`")]
    NoIdentity,
    /// The library refuses them.
    #[error("the certificates cannot be used\nhint: do the certificate and the key belong together?")]
    Unusable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The TLS of a server.
#[derive(Clone)]
pub struct ServerTls {
    files: TlsFiles,
    current: Arc<ArcSwap<Loaded<ServerConfig>>>,
}

/// The TLS of a client.
#[derive(Clone)]
pub struct ClientTls {
    files: TlsFiles,
    current: Arc<ArcSwap<Loaded<ClientConfig>>>,
}

/// A configuration, with the digest of the files that it was made of.
struct Loaded<C> {
    digest: Digest,
    config: Arc<C>,
}

/// The contents of the files.
struct Contents {
    identity: Option<(Vec<u8>, Vec<u8>)>,
    authorities: Option<Vec<u8>>,
}

// === impl TlsFiles ===

impl TlsFiles {
    fn read(&self) -> Result<Contents, TlsError> {
        let read = |path: &PathBuf| fs::read(path).map_err(|source| TlsError::Read { path: path.clone(), source });
        let identity = self.identity.as_ref().map(|(cert, key)| Ok((read(cert)?, read(key)?))).transpose()?;
        Ok(Contents { identity, authorities: self.authorities.as_ref().map(read).transpose()? })
    }

    fn identity(&self, contents: &Contents) -> Result<Option<Identity>, TlsError> {
        let (Some((cert_path, key_path)), Some((cert, key))) = (&self.identity, &contents.identity) else {
            return Ok(None);
        };
        let chain = certificates(cert_path, cert)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|source| TlsError::Pem {
            path: key_path.clone(),
            expected: "private key",
            source: Some(source),
        })?;
        Ok(Some((chain, key)))
    }

    fn authorities(&self, contents: &Contents) -> Result<Option<RootCertStore>, TlsError> {
        let (Some(path), Some(bytes)) = (&self.authorities, &contents.authorities) else { return Ok(None) };
        let mut roots = RootCertStore::empty();
        for certificate in certificates(path, bytes)? {
            roots.add(certificate).map_err(unusable)?;
        }
        Ok(Some(roots))
    }
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn certificates(path: &Path, bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |source| TlsError::Pem { path: path.to_owned(), expected: "certificate", source };
    let all = CertificateDer::pem_slice_iter(bytes).collect::<Result<Vec<_>, _>>();
    let all = all.map_err(|source| wrong(Some(source)))?;
    if all.is_empty() { Err(wrong(None)) } else { Ok(all) }
}

fn unusable(error: impl std::error::Error + Send + Sync + 'static) -> TlsError {
    TlsError::Unusable(Box::new(error))
}

// === impl Contents ===

impl Contents {
    fn digest(&self) -> Digest {
        let identity = self.identity.iter().flat_map(|(cert, key)| [cert, key]);
        let digests = identity.chain(&self.authorities).map(|bytes| Digest::of(bytes));
        Digest::of(&digests.flat_map(|digest| *digest.as_bytes()).collect::<Vec<_>>())
    }
}

// === impl ServerTls ===

impl ServerTls {
    /// Reads the files. With authorities, the server asks for a client certificate and takes no connection without. Blocks.
    ///
    /// # Errors
    /// A file cannot be read, or does not hold what it should.
    pub fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let loaded = Self::read(&files)?;
        Ok(Self { files, current: Arc::new(ArcSwap::from_pointee(loaded)) })
    }

    /// Returns whether the server asks for client certificates.
    #[must_use]
    pub fn asks_for_certificates(&self) -> bool {
        self.files.authorities.is_some()
    }

    /// Reads the files again; returns whether they have changed. Connections that are open stay. Blocks.
    ///
    /// # Errors
    /// As [`ServerTls::load`]; what was there stays in use.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let loaded = Self::read(&self.files)?;
        let changed = loaded.digest != self.current.load().digest;
        if changed {
            self.current.store(Arc::new(loaded));
        }
        Ok(changed)
    }

    /// Returns what new connections are made with.
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.load().config)
    }

    fn read(files: &TlsFiles) -> Result<Loaded<ServerConfig>, TlsError> {
        if files.identity.is_none() {
            return Err(TlsError::NoIdentity);
        }
        let contents = files.read()?;
        let (chain, key) = files.identity(&contents)?.ok_or(TlsError::NoIdentity)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_safe_default_protocol_versions().map_err(unusable)?;
        let builder = match files.authorities(&contents)? {
            None => builder.with_no_client_auth(),
            Some(roots) => {
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
                builder.with_client_cert_verifier(verifier.map_err(unusable)?)
            }
        };
        let mut config = builder.with_single_cert(chain, key).map_err(unusable)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Loaded { digest: contents.digest(), config: Arc::new(config) })
    }
}

// === impl ClientTls ===

impl ClientTls {
    /// Reads the files. Blocks.
    ///
    /// # Errors
    /// A file cannot be read, or does not hold what it should.
    pub fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let loaded = Self::read(&files)?;
        Ok(Self { files, current: Arc::new(ArcSwap::from_pointee(loaded)) })
    }

    /// Reads the files again; returns whether they have changed. Blocks.
    ///
    /// # Errors
    /// As [`ClientTls::load`]; what was there stays in use.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let loaded = Self::read(&self.files)?;
        let changed = loaded.digest != self.current.load().digest;
        if changed {
            self.current.store(Arc::new(loaded));
        }
        Ok(changed)
    }

    /// Returns what new connections are made with.
    pub(crate) fn config(&self) -> ClientConfig {
        self.current.load().config.as_ref().clone()
    }

    fn read(files: &TlsFiles) -> Result<Loaded<ClientConfig>, TlsError> {
        let contents = files.read()?;
        let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().map_err(unusable)?;
        let builder = match files.authorities(&contents)? {
            Some(roots) => builder.with_root_certificates(roots),
            None => hyper_rustls::ConfigBuilderExt::with_webpki_roots(builder),
        };
        let config = match files.identity(&contents)? {
            Some((chain, key)) => builder.with_client_auth_cert(chain, key).map_err(unusable)?,
            None => builder.with_no_client_auth(),
        };
        Ok(Loaded { digest: contents.digest(), config: Arc::new(config) })
    }
}
