use bowline_server::wire::KeyRevoked;

use crate::cli::{Global, KeyRevoke};
use crate::commands::connected;
use crate::failure::Result;
use crate::output::{Format, json, note};

/// Revokes a key.
///
/// # Errors
/// The project has no such key.
pub(crate) async fn run(global: &Global, revoke: &KeyRevoke) -> Result<()> {
    let revoked = connected(global, async |connection| {
        Ok(connection.client.delete::<KeyRevoked>(&format!("/keys/{}", revoke.id)).await?)
    });
    let revoked = revoked.await?;
    match global.output {
        Format::Json => json(&revoked)?,
        Format::Text => note(format!("{} is revoked", revoked.id)),
    }
    Ok(())
}
