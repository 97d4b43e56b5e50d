use std::path::PathBuf;

use anyhow::Context;
use bowline_gateway::Secrets as _;
use bowline_oci::{Client, LayoutReference, Options, Reference};

use crate::cli::{Global, RegistryOptions};
use crate::failure::{Failure, Result};
use crate::project;
use crate::settings::{self, ProcessSecrets};

/// The layout of a project, below its folder.
const LAYOUT: &str = ".bowline/bundles";
/// The tag that the last bundle has there.
const LATEST: &str = "latest";

/// Returns the way to registries. User and password are for the registry of `account`, and for no other one that is met on the way; a
/// layout has none.
///
/// # Errors
/// The certificates or the password cannot be read.
pub(crate) fn client(options: &RegistryOptions, account: Option<&Reference>) -> Result<Client> {
    let certificates = match &options.ca_file {
        Some(path) => std::fs::read(path).with_context(|| format!("could not read {}", path.display()))?,
        None => Vec::new(),
    };
    let credential = match (&options.username, &options.password) {
        (Some(user), Some(place)) => {
            let missing = || Failure::user(format!("there is no password at {place}"));
            Some((user.clone(), ProcessSecrets.resolve(place).ok_or_else(missing)?))
        }
        _ => None,
    };
    let options = Options {
        plain_http: options.plain_http,
        certificates,
        credential,
        credential_for: match account {
            Some(Reference::Registry(reference)) => Some(reference.registry().to_owned()),
            Some(Reference::Layout(_)) | None => None,
        },
        docker_config: settings::docker_config(),
        ..Options::default()
    };
    Ok(Client::new(options)?)
}

/// Returns the reference to a layout: the one given, else that of the project.
///
/// # Errors
/// There is no project, or another place is given.
pub(crate) fn local(global: &Global, given: Option<&Reference>) -> Result<LayoutReference> {
    match given {
        Some(Reference::Layout(reference)) => Ok(reference.clone()),
        Some(Reference::Registry(reference)) => Err(Failure::user(format!(
            "`{reference}` is no layout on disk\nhint: write oci:PATH[:TAG]; `bowline bundle push` sends to a registry"
        ))),
        None => {
            let path: PathBuf = project::find(global.dir.as_deref())?.join(LAYOUT);
            Ok(LayoutReference { path, tag: None, digest: None })
        }
    }
}

/// Returns the bundle that is meant where none is named: the last one that was built.
///
/// # Errors
/// There is no project, or it has no bundle yet.
pub(crate) fn latest(global: &Global, given: Option<&Reference>) -> Result<Reference> {
    if let Some(given) = given {
        return Ok(given.clone());
    }
    let reference = local(global, None)?;
    if !reference.path.is_dir() {
        return Err(Failure::user("there is no bundle yet\nhint: `bowline bundle build` makes one"));
    }
    Ok(Reference::Layout(LayoutReference { tag: Some(LATEST.to_owned()), ..reference }))
}
