use bowline_server::wire::ActionRequest;

use crate::cli::{EnvironmentDelete, Global};
use crate::commands::connected;
use crate::failure::Result;
use crate::output::note;
use crate::settings;

/// Removes an environment that is there for a time only.
///
/// # Errors
/// The project file declares it, or it does not exist.
pub(crate) async fn run(global: &Global, delete: &EnvironmentDelete) -> Result<()> {
    let EnvironmentDelete { env, why } = delete;
    let request = ActionRequest { actor: settings::actor(), why: why.clone(), off: false };
    let removed = connected(global, async |connection| {
        let (): () = connection.client.post(&format!("/environments/{env}/delete"), &request).await?;
        Ok(())
    });
    removed.await?;
    note(format!("{env} is removed; `bowline env log {env}` still shows what happened there"));
    Ok(())
}
