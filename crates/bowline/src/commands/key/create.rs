use bowline_server::wire::{KeyRequest, KeyResponse};

use crate::cli::{Global, KeyCreate};
use crate::commands::connected;
use crate::failure::Result;
use crate::output::{Format, json, line, note};

/// Makes a key. Standard output has the key and nothing else, so that it can be piped to where secrets are kept.
///
/// # Errors
/// There is no such environment.
pub(crate) async fn run(global: &Global, create: &KeyCreate) -> Result<()> {
    let KeyCreate { name, env, environment, versions } = create;
    let request = KeyRequest {
        name: name.clone(),
        environment: env.clone(),
        environments: environment.clone(),
        versions: *versions,
    };
    let made =
        connected(global, async |connection| Ok(connection.client.post::<KeyResponse>("/keys", &request).await?));
    let made = made.await?;
    match global.output {
        Format::Json => json(&made)?,
        Format::Text => line(&made.key),
    }
    let id = made.record.id;
    note(format!("This is the only time the key is shown. `bowline key revoke {id}` revokes it."));
    Ok(())
}
