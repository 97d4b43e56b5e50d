use bowline_server::wire::{KeyRequest, KeyResponse, SubjectResponse};

use crate::cli::{Global, KeyCreate};
use crate::commands::connected;
use crate::failure::Result;
use crate::output::{Format, json, line, note};

/// Makes a key. Standard output has the key and nothing else, so that it can be piped to where secrets are kept; the id of one that has no
/// secret.
///
/// # Errors
/// There is no such environment, or the subject has a key.
pub(crate) async fn run(global: &Global, create: &KeyCreate) -> Result<()> {
    let KeyCreate { name, env, environment, versions, subject } = create;
    let request = KeyRequest {
        name: name.clone(),
        environment: env.clone(),
        environments: environment.clone(),
        versions: *versions,
        subject: subject.clone(),
        replaces: None,
    };
    if let Some(subject) = subject {
        let made = connected(global, async |connection| {
            Ok(connection.client.post::<SubjectResponse>("/keys", &request).await?)
        });
        let made = made.await?;
        let id = made.record.id;
        match global.output {
            Format::Json => json(&made)?,
            Format::Text => line(id.to_string()),
        }
        note(format!("The tokens of {subject} are the key now. `bowline key revoke {id}` revokes it."));
        return Ok(());
    }
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
