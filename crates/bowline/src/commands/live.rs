//! What is live in an environment, for comparisons.

use bowline_prompt::{Project, Version};
use bowline_server::wire::EnvironmentView;
use bowline_server::{Client, ClientError};
use bowline_store::{EnvironmentRecord, PointerRecord, VersionRecord};
use bowline_types::{Digest, EnvironmentName, PromptName, closest};
use http::StatusCode;

use crate::failure::{Failure, Result};
use crate::wording::quoted;

/// Refuses an environment that the project file does not declare.
///
/// # Errors
/// Says which there are, and which may be meant.
pub(crate) fn declared(project: &Project, environment: &EnvironmentName) -> Result<()> {
    if project.environments.contains_key(environment) {
        return Ok(());
    }
    let names: Vec<&str> = project.environments.keys().map(EnvironmentName::as_str).collect();
    let near = closest(environment.as_str(), names.iter().copied());
    let near = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
    let message = format!("environment `{environment}` is not in {}", Project::FILE);
    Err(Failure::user(format!("{message}\nhint: it declares {}{near}", quoted(names))))
}

/// Returns the pointers of an environment; none where nothing was ever released.
///
/// # Errors
/// The control role cannot be asked.
pub(crate) async fn pointers(client: &Client, environment: &EnvironmentName) -> Result<Vec<PointerRecord>> {
    Ok(environments(client)
        .await?
        .into_iter()
        .find(|view| view.environment == *environment)
        .map(|view| view.pointers)
        .unwrap_or_default())
}

/// Returns what the store knows of environments, those among them that are there for a time only.
///
/// # Errors
/// The control role cannot be asked.
pub(crate) async fn records(client: &Client) -> Result<Vec<EnvironmentRecord>> {
    Ok(environments(client).await?.into_iter().filter_map(|view| view.state).collect())
}

async fn environments(client: &Client) -> Result<Vec<EnvironmentView>> {
    match client.get("/environments").await {
        Ok(views) => Ok(views),
        // Nothing was ever released of this project.
        Err(ClientError::Refused { status, .. }) if status == StatusCode::NOT_FOUND.as_u16() => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// Fetches a version of a prompt by its digest or the first digits of it.
///
/// # Errors
/// The prompt was never released at such a version.
pub(crate) async fn version(client: &Client, prompt: &PromptName, wanted: &str) -> Result<(Digest, Version)> {
    let record: VersionRecord = client.get(&format!("/versions/{wanted}/{prompt}")).await?;
    let version = serde_json::from_value(record.content).map_err(anyhow::Error::from)?;
    Ok((record.digest, version))
}
