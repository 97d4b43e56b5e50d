use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use bowline_server::{AdminToken, GatewayTokens};
use bowline_types::TokenSecret;
use serde::{Deserialize, Serialize};

use crate::failure::Result;

/// The folder `.bowline` beside the project file, or the data folder of `bowline serve`: the store, the tokens, what a gateway keeps, and
/// where a running process is.
#[derive(Clone, Debug)]
pub(crate) struct Workspace {
    folder: PathBuf,
}

/// Where a running `bowline up` is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Addresses {
    /// The gateway.
    pub(crate) gateway: String,
    /// The control API and the console.
    pub(crate) control: String,
}

// === impl Workspace ===

impl Workspace {
    /// Returns the workspace of the project in `project`; creates its folder for this user only.
    pub(crate) fn open(project: &Path) -> Result<Self> {
        Self::at(&project.join(".bowline"))
    }

    /// Returns the workspace in a folder; creates it for this user only.
    pub(crate) fn at(folder: &Path) -> Result<Self> {
        let folder = folder.to_owned();
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).with_context(|| cannot("create", &folder))?;
        Ok(Self { folder })
    }

    /// Returns the folder itself.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the folder of the store.
    pub(crate) fn store(&self) -> PathBuf {
        self.folder.join("store")
    }

    /// Returns the admin token; makes one the first time.
    pub(crate) fn admin_token(&self) -> Result<AdminToken> {
        let path = self.folder.join("admin.token");
        if let Some(text) = read(&path)? {
            // There may be several, while one takes the place of another.
            return Ok(AdminToken::new(text.trim().lines().next().unwrap_or_default()));
        }
        let token = AdminToken::generate()?;
        write(&path, token.expose())?;
        Ok(token)
    }

    /// Returns the file of the snapshot that a gateway starts from.
    pub(crate) fn snapshot(&self) -> PathBuf {
        self.folder.join("snapshot.json")
    }

    /// Returns the folder of a gateway's spool.
    pub(crate) fn spool(&self) -> PathBuf {
        self.folder.join("spool")
    }

    /// Returns the file of the admin tokens; makes one with a token the first time.
    pub(crate) fn admin_token_file(&self) -> Result<PathBuf> {
        self.admin_token()?;
        Ok(self.folder.join("admin.token"))
    }

    /// Returns the file of the tokens of gateways; makes one with a token the first time.
    pub(crate) fn gateway_token_file(&self) -> Result<PathBuf> {
        let path = self.folder.join("gateway.token");
        if read(&path)?.is_none() {
            write(&path, GatewayTokens::generate()?.expose())?;
        }
        Ok(path)
    }

    /// Keeps the secret that the control role told.
    pub(crate) fn token_secret_write(&self, secret: &TokenSecret) -> Result<()> {
        write(&self.folder.join("token.secret"), &secret.expose())
    }

    /// Returns the secret under the MAC of inference ids; makes one the first time.
    pub(crate) fn token_secret(&self) -> Result<TokenSecret> {
        let path = self.folder.join("token.secret");
        if let Some(text) = read(&path)? {
            let secret = TokenSecret::parse(&text);
            return Ok(secret.with_context(|| format!("{} is not the secret that was written there", path.display()))?);
        }
        let secret = TokenSecret::generate().context("the operating system has no randomness")?;
        write(&path, &secret.expose())?;
        Ok(secret)
    }

    /// Says where this process serves.
    pub(crate) fn addresses_write(&self, text: &str) -> Result<()> {
        write(&self.folder.join("addresses.json"), text)
    }

    /// Says that this process serves no more.
    pub(crate) fn addresses_remove(&self) {
        // Where it stays, the next command finds nobody there and says so.
        drop(fs::remove_file(self.folder.join("addresses.json")));
    }

    /// Returns where the last process served.
    pub(crate) fn addresses(&self) -> Result<Option<Addresses>> {
        let path = self.folder.join("addresses.json");
        let Some(text) = read(&path)? else { return Ok(None) };
        Ok(Some(serde_json::from_str(&text).with_context(|| cannot("read", &path))?))
    }
}

fn read(path: &Path) -> Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(anyhow::Error::new(error).context(cannot("read", path)).into()),
    }
}

/// Writes a file for this user only, whole or not at all.
fn write(path: &Path, text: &str) -> Result<()> {
    bowline_registry::replace_private_file(path, text.as_bytes()).map_err(anyhow::Error::new)?;
    Ok(())
}

fn cannot(verb: &str, path: &Path) -> String {
    format!("could not {verb} {}", path.display())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn tokens_are_made_once_and_for_this_user() {
        let folder = tempfile::tempdir().unwrap();
        let workspace = Workspace::open(folder.path()).unwrap();
        let token = workspace.admin_token().unwrap();
        assert_eq!(workspace.admin_token().unwrap().expose(), token.expose());
        assert_eq!(workspace.token_secret().unwrap().expose(), workspace.token_secret().unwrap().expose());
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&folder.path().join(".bowline")), 0o700);
        assert_eq!(mode(&folder.path().join(".bowline/admin.token")), 0o600);
        assert_eq!(mode(&folder.path().join(".bowline/token.secret")), 0o600);
    }
}
