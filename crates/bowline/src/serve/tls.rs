//! The certificates of `bowline serve`.

use anyhow::Context;
use bowline_server::{ClientTls, ServerTls, TlsFiles};

use crate::cli::Serve;
use crate::failure::Result;

fn files(serve: &Serve) -> TlsFiles {
    TlsFiles { identity: serve.tls_cert.clone().zip(serve.tls_key.clone()), authorities: serve.tls_ca.clone() }
}

/// Returns the TLS of the internal API; `None` where no certificate is given.
///
/// # Errors
/// A file cannot be read, or authorities are given without a certificate.
pub(super) fn server(serve: &Serve) -> Result<Option<ServerTls>> {
    if files(serve) == TlsFiles::default() {
        return Ok(None);
    }
    Ok(Some(ServerTls::load(files(serve)).context("TLS could not be set up")?))
}

/// Returns the TLS of the control API for other machines: the same certificate, and no certificate is asked for, since the token is.
///
/// # Errors
/// A file cannot be read.
pub(super) fn api(serve: &Serve) -> Result<Option<ServerTls>> {
    let files = TlsFiles { authorities: None, ..files(serve) };
    if files.identity.is_none() {
        return Ok(None);
    }
    Ok(Some(ServerTls::load(files).context("TLS could not be set up")?))
}

/// Returns the TLS of a gateway towards the control role; `None` where no file is given.
///
/// # Errors
/// A file cannot be read.
pub(super) fn client(serve: &Serve) -> Result<Option<ClientTls>> {
    if files(serve) == TlsFiles::default() {
        return Ok(None);
    }
    Ok(Some(ClientTls::load(files(serve)).context("TLS could not be set up")?))
}
