//! Files that are read again, so that whoever renews them restarts nothing.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// How often files are read again.
const INTERVAL: Duration = Duration::from_secs(5);

/// Reads files again and again until told to stop; `reload` returns whether they have changed. What cannot be used is told once, and what was
/// there stays in use.
pub(super) async fn renew<E: Into<anyhow::Error> + Send + 'static>(
    what: &'static str,
    reload: impl Fn() -> Result<bool, E> + Clone + Send + 'static,
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
                    info!("{what} were renewed");
                }
                None
            }
            Ok(Err(error)) => Some(format!("{:#}", error.into())),
            Err(error) => Some(error.to_string()),
        };
        if let Some(error) = error.as_deref().filter(|_| error != failed) {
            warn!(error, "{what} could not be read again; those before stay in use");
        }
        failed = error;
    }
}
