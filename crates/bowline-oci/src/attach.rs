use std::collections::HashMap;

use oci_spec::image::{Descriptor, MediaType};

use crate::{Layout, Result, content};

impl Layout {
    /// Writes content that refers to a manifest or index, as an artifact of one layer with an empty configuration, and returns its manifest
    /// (image-spec 1.1.1, "Guidelines for Artifact Usage",
    /// <https://github.com/opencontainers/image-spec/blob/v1.1.1/manifest.md>, read 2026-11-25). It is not listed: the caller does that.
    ///
    /// # Errors
    /// Those of the files.
    pub fn attach(
        &self,
        subject: &Descriptor,
        artifact_type: &str,
        bytes: &[u8],
        annotations: HashMap<String, String>,
    ) -> Result<Descriptor> {
        let config = self.write(MediaType::EmptyJSON, b"{}")?;
        let layer = self.write(artifact_type.into(), bytes)?;
        let mut referrer = content::manifest(config, vec![layer])?;
        referrer.set_artifact_type(Some(artifact_type.into()));
        // A tag or a platform that the subject is listed with is none of its identity.
        let plain = Descriptor::new(subject.media_type().clone(), subject.size(), subject.digest().clone());
        referrer.set_subject(Some(plain));
        referrer.set_annotations((!annotations.is_empty()).then_some(annotations));
        self.write_document(MediaType::ImageManifest, &referrer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_attached_refers_to_its_subject() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::create(folder.path()).unwrap();
        let image = content::manifest(layout.write(MediaType::EmptyJSON, b"{}").unwrap(), vec![]).unwrap();
        let image = layout.write_document(MediaType::ImageManifest, &image).unwrap();
        layout.tag("v1", &image).unwrap();
        let tagged = layout.index().unwrap().manifests()[0].clone();
        let attached = layout.attach(&tagged, "application/example", b"text", HashMap::new()).unwrap();
        let manifest = layout.manifest(&attached).unwrap();
        assert_eq!(manifest.artifact_type(), &Some("application/example".into()));
        assert_eq!(manifest.subject().as_ref(), Some(&image), "without the tag");
        assert_eq!(layout.read(&manifest.layers()[0]).unwrap(), b"text");
        // The empty configuration that the specification gives.
        let empty = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
        assert_eq!(manifest.config().digest().digest(), empty);
    }
}
