use bowline_server::wire::{RollbackRequest, RollbackResponse};

use super::connected;
use crate::cli::{self, Global};
use crate::failure::Result;
use crate::output::{Format, json, line};
use crate::settings;

/// Moves a prompt back.
///
/// # Errors
/// The environment has no such prompt, or the prompt no such version.
pub(crate) async fn run(global: &Global, rollback: &cli::Rollback) -> Result<()> {
    let cli::Rollback { env, prompt, to, why } = rollback;
    let request =
        RollbackRequest { prompt: prompt.clone(), to: to.clone(), actor: settings::actor(), why: why.clone() };
    let response = connected(global, async |connection| {
        let path = format!("/environments/{env}/rollback");
        Ok(connection.client.post::<RollbackResponse>(&path, &request).await?)
    });
    let response = response.await?;
    match global.output {
        Format::Json => json(&response)?,
        Format::Text => line(format!("{prompt}  {}  live in {env}", response.version.short())),
    }
    Ok(())
}
