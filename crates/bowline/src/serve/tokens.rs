//! The tokens that a control role takes, and that they are read again.

use anyhow::Context;
use bowline_gateway::Secrets as _;
use bowline_server::{AdminTokens, GatewayTokens, NoTokenError};
use bowline_types::{Secret, SecretRef};

use crate::cli::Serve;
use crate::failure::Result;
use crate::settings::ProcessSecrets;
use crate::workspace::Workspace;

/// The tokens of one listener, and where they are kept.
#[derive(Clone)]
pub(super) struct Source<T> {
    pub(super) tokens: T,
    reference: SecretRef,
    replace: fn(&T, &str) -> std::result::Result<bool, NoTokenError>,
}

/// Returns the tokens that open the control API.
///
/// # Errors
/// They cannot be read.
pub(super) fn admin(serve: &Serve, workspace: &Workspace) -> Result<Source<AdminTokens>> {
    let reference = match &serve.admin_token {
        Some(text) => parse(text, "--admin-token")?,
        None => SecretRef::File(workspace.admin_token_file()?.display().to_string()),
    };
    let tokens = AdminTokens::new(read(&reference)?.expose()).with_context(|| unusable(&reference))?;
    Ok(Source { tokens, reference, replace: AdminTokens::replace })
}

/// Returns the tokens that open the internal API.
///
/// # Errors
/// They cannot be read.
pub(super) fn gateway(serve: &Serve, workspace: &Workspace) -> Result<Source<GatewayTokens>> {
    let reference = match &serve.gateway_tokens {
        Some(text) => parse(text, "--gateway-tokens")?,
        None => SecretRef::File(workspace.gateway_token_file()?.display().to_string()),
    };
    let tokens = GatewayTokens::new(read(&reference)?.expose()).with_context(|| unusable(&reference))?;
    Ok(Source { tokens, reference, replace: GatewayTokens::replace })
}

/// The text is not repeated where it is no reference, as it may be the token itself.
pub(super) fn parse(text: &str, flag: &str) -> Result<SecretRef> {
    Ok(text.parse().with_context(|| format!("`{flag}` must say where the token is"))?)
}

fn read(reference: &SecretRef) -> anyhow::Result<Secret> {
    ProcessSecrets.resolve(reference).with_context(|| format!("`{reference}` is not there, or cannot be read"))
}

fn unusable(reference: &SecretRef) -> String {
    format!("`{reference}` cannot be used")
}

// === impl Source ===

impl<T> Source<T> {
    /// Reads them again; returns whether they have changed. Blocks.
    pub(super) fn reload(&self) -> anyhow::Result<bool> {
        let text = read(&self.reference)?;
        (self.replace)(&self.tokens, text.expose()).with_context(|| unusable(&self.reference))
    }
}
