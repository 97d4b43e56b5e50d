use std::path::PathBuf;

use anyhow::Context;
use bowline_gateway::Secrets as _;
use bowline_oci::{Client, Descriptor, Layout, LayoutReference, Options, Reference, RegistryReference, digest_of};
use tempfile::TempDir;

use crate::cli::{Global, RegistryOptions};
use crate::failure::{Failure, Result};
use crate::project;
use crate::settings::{self, ProcessSecrets};

/// The layout of a project, below its folder.
const LAYOUT: &str = ".bowline/bundles";
/// The tag that the last bundle has there.
const LATEST: &str = "latest";

/// A bundle that was found, in a layout with everything that is attached to it.
pub(crate) struct Found {
    /// Where it is.
    pub(crate) layout: Layout,
    /// Its manifest.
    pub(crate) descriptor: Descriptor,
    _temporary: Option<TempDir>,
}

/// The way to registries.
pub(crate) struct Registry {
    pub(crate) client: Client,
}

// === impl Registry ===

impl Registry {
    /// Returns the way to registries.
    ///
    /// # Errors
    /// The certificates or the password cannot be read.
    pub(crate) fn new(options: &RegistryOptions) -> Result<Self> {
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
            docker_config: settings::docker_config(),
            ..Options::default()
        };
        Ok(Self { client: Client::new(options)? })
    }

    /// Finds a bundle; one of a registry is fetched, with what is attached to it, to a folder that is gone afterwards.
    ///
    /// # Errors
    /// It is not there, or is damaged.
    pub(crate) async fn find(&self, reference: &Reference) -> Result<Found> {
        match reference {
            Reference::Layout(local) => {
                let layout = Layout::open(&local.path)?;
                let descriptor = layout.resolve(local)?;
                Ok(Found { layout, descriptor, _temporary: None })
            }
            Reference::Registry(remote) => {
                let temporary = tempfile::tempdir().context("no temporary folder can be made")?;
                let layout = Layout::create(temporary.path())?;
                let descriptor = self.fetch(remote, &layout).await?;
                Ok(Found { layout, descriptor, _temporary: Some(temporary) })
            }
        }
    }

    /// Fetches a bundle, with what is attached to it, into a layout; what is attached is listed there, the bundle has no name yet.
    ///
    /// # Errors
    /// It is not there, or is damaged.
    pub(crate) async fn fetch(&self, from: &RegistryReference, into: &Layout) -> Result<Descriptor> {
        let descriptor = self.client.pull(from, into).await?;
        for attached in self.client.referrers(from, digest_of(&descriptor)?).await? {
            self.client.pull_descriptor(from, &attached, into).await?;
            into.list(&attached)?;
        }
        Ok(descriptor)
    }
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
