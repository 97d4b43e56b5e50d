use bowline_server::wire::ActionRequest;

use super::connected;
use crate::cli::{self, Global};
use crate::failure::Result;
use crate::output::note;
use crate::settings;

/// Freezes an environment, or lifts a freeze.
///
/// # Errors
/// There is no such environment.
pub(crate) async fn run(global: &Global, freeze: &cli::Freeze) -> Result<()> {
    let cli::Freeze { env, why, off } = freeze;
    let why = why.clone().unwrap_or_else(|| "no reason given".to_owned());
    let request = ActionRequest { actor: settings::actor(), why, off: *off };
    let frozen = connected(global, async |connection| {
        let (): () = connection.client.post(&format!("/environments/{env}/freeze"), &request).await?;
        Ok(())
    });
    frozen.await?;
    note(if *off {
        format!("{env} is no longer frozen")
    } else {
        format!("{env} is frozen: nothing moves but rollbacks, until `bowline freeze {env} --off`")
    });
    Ok(())
}
