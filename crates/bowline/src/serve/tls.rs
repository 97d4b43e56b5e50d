//! The certificates of `bowline serve`, and that they are read again.

use std::time::Duration;

use anyhow::Context;
use bowline_server::{ClientTls, ServerTls, TlsError, TlsFiles};
use bowline_types::chain;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::cli::Serve;
use crate::failure::Result;

/// How often certificates are read again.
const INTERVAL: Duration = Duration::from_secs(5);

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

/// Reads certificates again and again until told to stop. What cannot be used is told once, and what was there stays in use.
pub(super) async fn renew(
    reload: impl Fn() -> std::result::Result<bool, TlsError> + Clone + Send + 'static,
    shutdown: CancellationToken,
) {
    let mut failed = None;
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(INTERVAL) => {}
        }
        let reload = reload.clone();
        let error = match tokio::task::spawn_blocking(reload).await {
            Ok(Ok(changed)) => {
                if changed {
                    info!("certificates were renewed");
                }
                None
            }
            Ok(Err(error)) => Some(chain(&error)),
            Err(error) => Some(error.to_string()),
        };
        if let Some(error) = error.as_deref().filter(|_| error != failed) {
            warn!(error, "certificates could not be read again; those before stay in use");
        }
        failed = error;
    }
}
