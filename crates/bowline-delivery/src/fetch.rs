use bowline_oci::{Client, Descriptor, Layout, Reference, RegistryReference, digest_of, is_index};
use tempfile::TempDir;

use crate::error::{Error, Result};

/// The most that a bundle may have in its layers, in bytes: five kinds of content at their bounds, in base 64.
const BUNDLE_BYTES_MAX: u64 = 256 << 20;
/// The most that something attached may have, in bytes.
const ATTACHED_BYTES_MAX: u64 = 16 << 20;
/// How many things that are attached are read. Anybody who may push may attach something.
const ATTACHED_MAX: usize = 256;
/// What is read of what is attached.
const KINDS: [&str; 2] = [bowline_signature::MEDIA_TYPE, bowline_registry::bundle::SBOM_MEDIA_TYPE];

/// A bundle that was found, in a layout with everything that is attached to it.
#[derive(Debug)]
pub struct Found {
    /// Where it is.
    pub layout: Layout,
    /// Its manifest.
    pub descriptor: Descriptor,
    /// Keeps the folder of a bundle that was fetched, as long as it is looked at.
    _temporary: Option<TempDir>,
}

impl Found {
    /// Returns a bundle of a layout, with what is attached to it there; it is read when it is opened.
    #[must_use]
    pub const fn new(layout: Layout, descriptor: Descriptor) -> Self {
        Self { layout, descriptor, _temporary: None }
    }
}

/// Finds a bundle; one of a registry is fetched, with what is attached to it, to a folder that is gone afterwards.
///
/// # Errors
/// It is not there, or is damaged.
pub async fn find(client: &Client, reference: &Reference) -> Result<Found> {
    match reference {
        Reference::Layout(local) => {
            let layout = Layout::open(&local.path)?;
            let descriptor = layout.resolve(local)?;
            Ok(Found::new(layout, descriptor))
        }
        Reference::Registry(remote) => {
            let temporary = tempfile::tempdir().map_err(Error::Temporary)?;
            let layout = Layout::create(temporary.path())?;
            let descriptor = fetch(client, remote, &layout).await?;
            Ok(Found { layout, descriptor, _temporary: Some(temporary) })
        }
    }
}

/// Fetches a bundle, with what is attached to it, into a layout; what is attached is listed there, the bundle has no name yet.
///
/// # Errors
/// It is not there, or is damaged.
pub async fn fetch(client: &Client, from: &RegistryReference, into: &Layout) -> Result<Descriptor> {
    let descriptor = client.pull_manifest(from, into).await?;
    if is_index(descriptor.media_type()) {
        let reason = format!("{from} is an index of images");
        return Err(bowline_registry::bundle::Error::NotBundle { reason }.into());
    }
    blobs(client, from, &descriptor, into, BUNDLE_BYTES_MAX).await?;
    let attached = client.referrers(from, digest_of(&descriptor)?).await?;
    let known = |found: &&Descriptor| found.artifact_type().as_ref().is_some_and(|kind| KINDS.contains(&kind.as_ref()));
    let attached: Vec<_> = attached.iter().filter(known).collect();
    if attached.len() > ATTACHED_MAX {
        let bundle = from.to_string();
        return Err(Error::AttachedTooMany { bundle, count: attached.len(), limit: ATTACHED_MAX });
    }
    for each in attached {
        client.pull_manifest(&from.clone_with_digest(each.digest().to_string()), into).await?;
        blobs(client, from, each, into, ATTACHED_BYTES_MAX).await?;
        into.list(each)?;
    }
    Ok(descriptor)
}

/// Fetches the blobs of a manifest that is in the layout. Their sizes are known before: what is too large is not begun.
async fn blobs(client: &Client, from: &RegistryReference, of: &Descriptor, into: &Layout, limit: u64) -> Result<()> {
    let manifest = into.manifest(of)?;
    let blobs = || std::iter::once(manifest.config()).chain(manifest.layers());
    let size = blobs().fold(0_u64, |sum, blob| sum.saturating_add(blob.size()));
    if size > limit {
        let digest = digest_of(of)?;
        return Err(bowline_oci::Error::TooLarge { noun: "artifact", digest, size, limit }.into());
    }
    for blob in blobs() {
        client.pull_blob(from, blob, into).await?;
    }
    Ok(())
}
