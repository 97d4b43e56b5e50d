use anyhow::Context;
use bowline_server::wire::BackupRequest;

use super::connected;
use crate::cli::{self, Global};
use crate::failure::Result;
use crate::output::note;

/// Copies the store.
///
/// # Errors
/// The file exists or cannot be written.
pub(crate) async fn run(global: &Global, backup: &cli::Backup) -> Result<()> {
    // The control role has a working directory of its own.
    let path = std::path::absolute(&backup.file).context("the path cannot be made absolute")?;
    let request = BackupRequest { path };
    let copied = connected(global, async |connection| {
        let (): () = connection.client.post("/backup", &request).await?;
        Ok(())
    });
    copied.await?;
    note(format!("the store is copied to {}", request.path.display()));
    Ok(())
}
