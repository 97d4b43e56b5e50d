use oci_spec::distribution::Reference as RegistryReference;
use oci_spec::image::Descriptor;

use super::{Client, Repository, name_of, pinned, transfer};
use crate::{Layout, Result};

impl Client {
    /// Copies the manifest or index that a reference names into a layout, without what it lists, and returns its descriptor: enough to choose
    /// a platform, or to look at an image without fetching it.
    ///
    /// # Errors
    /// Those of the registry and of the layout.
    pub async fn pull_manifest(&self, reference: &RegistryReference, into: &Layout) -> Result<Descriptor> {
        let repository = Repository::of(reference);
        let (descriptor, bytes) = self.manifest(&repository, name_of(reference), pinned(reference)?).await?;
        into.write(descriptor.media_type().clone(), &bytes)?;
        Ok(descriptor)
    }

    /// Copies one blob of the repository of a reference into a layout, unless it is there.
    ///
    /// # Errors
    /// Those of the registry, and content that is not what its descriptor says.
    pub async fn pull_blob(&self, reference: &RegistryReference, blob: &Descriptor, into: &Layout) -> Result<()> {
        transfer::download(&self.transport, &Repository::of(reference), blob, into).await
    }
}
