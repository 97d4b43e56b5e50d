use std::path::PathBuf;

use anyhow::Context;
use bowline_gateway::Secrets as _;
use bowline_oci::{
    Client, Descriptor, Layout, LayoutReference, Options, Reference, RegistryReference, digest_of, is_index,
};
use tempfile::TempDir;

use crate::cli::{Global, RegistryOptions};
use crate::failure::{Failure, Result};
use crate::project;
use crate::settings::{self, ProcessSecrets};

/// The layout of a project, below its folder.
const LAYOUT: &str = ".bowline/bundles";
/// The tag that the last bundle has there.
const LATEST: &str = "latest";

/// The most that a bundle may have in its layers, in bytes: five kinds of content at their bounds, in base 64.
const BUNDLE_BYTES_MAX: u64 = 256 << 20;
/// The most that something attached may have, in bytes.
const ATTACHED_BYTES_MAX: u64 = 16 << 20;
/// How many things that are attached are read. Anybody who may push may attach something.
const ATTACHED_MAX: usize = 256;
/// What is read of what is attached.
const KINDS: [&str; 2] = [bowline_signature::MEDIA_TYPE, bowline_registry::bundle::SBOM_MEDIA_TYPE];

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
    /// Returns the way to registries. User and password are for the registry of `account`, and for no other one that is met on the way; a
    /// layout has none.
    ///
    /// # Errors
    /// The certificates or the password cannot be read.
    pub(crate) fn new(options: &RegistryOptions, account: Option<&Reference>) -> Result<Self> {
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
        let descriptor = self.client.pull_manifest(from, into).await?;
        if is_index(descriptor.media_type()) {
            let reason = format!("{from} is an index of images");
            return Err(bowline_registry::bundle::Error::NotBundle { reason }.into());
        }
        self.blobs(from, &descriptor, into, BUNDLE_BYTES_MAX).await?;
        let attached = self.client.referrers(from, digest_of(&descriptor)?).await?;
        let known =
            |found: &&Descriptor| found.artifact_type().as_ref().is_some_and(|kind| KINDS.contains(&kind.as_ref()));
        let attached: Vec<_> = attached.iter().filter(known).collect();
        if attached.len() > ATTACHED_MAX {
            let message =
                format!("{} things are attached to {from}, more than the {ATTACHED_MAX} that are read", attached.len());
            return Err(Failure::user(format!(
                "{message}\nhint: remove old ones from the registry, or push under a new commit"
            )));
        }
        for each in attached {
            self.client.pull_manifest(&from.clone_with_digest(each.digest().to_string()), into).await?;
            self.blobs(from, each, into, ATTACHED_BYTES_MAX).await?;
            into.list(each)?;
        }
        Ok(descriptor)
    }

    /// Fetches the blobs of a manifest that is in the layout. Their sizes are known before: what is too large is not begun.
    async fn blobs(&self, from: &RegistryReference, of: &Descriptor, into: &Layout, limit: u64) -> Result<()> {
        let manifest = into.manifest(of)?;
        let blobs = || std::iter::once(manifest.config()).chain(manifest.layers());
        let size = blobs().fold(0_u64, |sum, blob| sum.saturating_add(blob.size()));
        if size > limit {
            let digest = digest_of(of)?;
            return Err(bowline_oci::Error::TooLarge { noun: "artifact", digest, size, limit }.into());
        }
        for blob in blobs() {
            self.client.pull_blob(from, blob, into).await?;
        }
        Ok(())
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
