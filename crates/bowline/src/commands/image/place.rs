//! Where images come from and go to. All content goes through a layout.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;
use bowline_oci::image::{Base, Files, Platform, choose, write_archive};
use bowline_oci::{Client, Descriptor, Document, Layout, Reference, RegistryReference, digest_of, is_index};
use bowline_types::Digest;
use tempfile::TempDir;

use crate::bundles;
use crate::cli::{Destination, RegistryOptions};
use crate::failure::Result;
use crate::output::note;

/// The layout that an image is built in: the one where it goes, or one that is gone afterwards.
pub(crate) struct Workshop {
    pub(crate) layout: Layout,
    _temporary: Option<TempDir>,
}

/// An image that was found, and what it stands for.
pub(crate) struct Found {
    reference: Reference,
    /// Where its content is.
    pub(crate) layout: Layout,
    /// Its manifest or index.
    pub(crate) descriptor: Descriptor,
}

/// Where images come from.
pub(crate) struct Source {
    client: Client,
}

// === impl Workshop ===

impl Workshop {
    /// Opens the layout for an image that goes to `to`.
    ///
    /// # Errors
    /// The folder is no layout, or nothing can be written there.
    pub(crate) fn open(to: &Destination) -> Result<Self> {
        if let Destination::Reference(Reference::Layout(reference)) = to {
            let layout = Layout::create(&reference.path)?;
            return Ok(Self { layout, _temporary: None });
        }
        let temporary = tempfile::tempdir().context("no temporary folder can be made")?;
        let layout = Layout::create(temporary.path())?;
        Ok(Self { layout, _temporary: Some(temporary) })
    }
}

// === impl Source ===

impl Source {
    /// Returns the source of images; user and password are for the registry of `account`.
    ///
    /// # Errors
    /// The certificates or the password of registries cannot be read.
    pub(crate) fn new(options: &RegistryOptions, account: Option<&Reference>) -> Result<Self> {
        Ok(Self { client: bundles::client(options, account)? })
    }

    /// Returns the content of a bundle, as its own image has it, and the digest of the bundle.
    ///
    /// # Errors
    /// It is not there, or is damaged.
    pub(crate) async fn bundle(&self, reference: &Reference) -> Result<(Files, Digest)> {
        let found = bowline_delivery::find(&self.client, reference).await?;
        let bundle = bowline_delivery::read(&found.layout, &found.descriptor)?;
        Ok((bowline_delivery::content(&bundle)?, digest_of(&found.descriptor)?))
    }

    /// Finds an image. Of one of a registry, the manifest or index alone is copied to `into`.
    ///
    /// # Errors
    /// It is not there, or is damaged.
    pub(crate) async fn find(&self, reference: &Reference, into: &Layout) -> Result<Found> {
        let (layout, descriptor) = match reference {
            Reference::Layout(local) => {
                let layout = Layout::open(&local.path)?;
                let descriptor = layout.resolve(local)?;
                (layout, descriptor)
            }
            Reference::Registry(remote) => {
                let descriptor = self.client.pull_manifest(remote, into).await?;
                (into.clone(), descriptor)
            }
        };
        Ok(Found { reference: reference.clone(), layout, descriptor })
    }

    /// Returns a found image as a base for a platform; for its only one where none is asked for. Its layers are copied to `into`.
    ///
    /// # Errors
    /// It is no image, is damaged, or has none for that platform.
    pub(crate) async fn base(&self, found: &Found, platform: Option<&Platform>, into: &Layout) -> Result<Base> {
        let name = found.reference.to_string();
        let mut manifest = found.descriptor.clone();
        if is_index(manifest.media_type()) {
            let host = Platform::host();
            let index = found.layout.read(&manifest)?;
            manifest = choose(&name, &index, platform.unwrap_or(&host))?;
        }
        if let Reference::Registry(remote) = &found.reference {
            note(format!("fetching {name}"));
            self.client.pull_descriptor(remote, &manifest, into).await?;
        }
        let bytes = found.layout.read(&manifest)?;
        let config = found.layout.manifest(&manifest)?.config().clone();
        let config = found.layout.read(&config)?;
        let digest = digest_of(&found.descriptor)?;
        let base = Base::read(&name, digest, &bytes, &config)?;
        for layer in base.layers() {
            copy(&found.layout, layer, into)?;
        }
        Ok(base)
    }

    /// Finds an image and what it says about itself: manifests and configurations, no layers.
    ///
    /// # Errors
    /// It is not there, or is damaged.
    pub(crate) async fn look(&self, reference: &Reference, into: &Layout) -> Result<Found> {
        let found = self.find(reference, into).await?;
        let Reference::Registry(remote) = reference else { return Ok(found) };
        for manifest in found.manifests()? {
            let pinned = remote.clone_with_digest(manifest.digest().to_string());
            self.client.pull_manifest(&pinned, into).await?;
            let config = into.manifest(&manifest)?.config().clone();
            self.client.pull_blob(remote, &config, into).await?;
        }
        Ok(found)
    }

    /// Sends an image, and what is attached to it, to a registry. The tag moves once everything else is there.
    ///
    /// # Errors
    /// Those of the registry.
    pub(crate) async fn push(
        &self,
        from: &Layout,
        image: &Descriptor,
        attached: Option<&Descriptor>,
        to: &RegistryReference,
    ) -> Result<()> {
        if let Some(attached) = attached {
            // A referrer may come before its subject, so that nobody sees the image without it.
            let pinned = to.clone_with_digest(attached.digest().to_string());
            self.client.push(from, attached, &pinned).await?;
        }
        self.client.push(from, image, to).await?;
        Ok(())
    }
}

// === impl Found ===

impl Found {
    /// Returns the manifests of an image: its only one, or those of its index.
    ///
    /// # Errors
    /// It is damaged.
    pub(crate) fn manifests(&self) -> Result<Vec<Descriptor>> {
        Ok(match self.layout.document(&self.descriptor)? {
            Document::Manifest(_) => vec![self.descriptor.clone()],
            Document::Index(index) => index.manifests().clone(),
        })
    }
}

/// Copies a blob from one layout to another that does not have it.
fn copy(from: &Layout, blob: &Descriptor, to: &Layout) -> Result<()> {
    if to.has(blob)? {
        return Ok(());
    }
    let mut file = from.open_blob(blob)?;
    let mut writer = to.writer()?;
    io::copy(&mut file, &mut writer).with_context(|| format!("could not copy {}", blob.digest()))?;
    writer.finish_as(blob, &from.root().display().to_string())?;
    Ok(())
}

/// Writes a layout as one file, which has its name once it is complete.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn archive(layout: &Layout, file: &Path) -> Result<()> {
    let file = std::path::absolute(file).context("the path cannot be made absolute")?;
    let folder = file.parent().map_or_else(|| PathBuf::from("/"), Path::to_owned);
    let cannot = || format!("could not write {}", file.display());
    // As any new file, and not for its owner alone, as a temporary one.
    let mut partial = tempfile::Builder::new();
    let partial = partial.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644));
    let mut partial = partial.tempfile_in(&folder).with_context(cannot)?;
    write_archive(layout.root(), io::BufWriter::new(partial.as_file_mut()))?;
    partial.persist(&file).with_context(cannot)?;
    Ok(())
}
