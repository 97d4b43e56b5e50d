//! The manifests of the kinds: what `bowline crd` prints, and what lies in `deploy/crds`.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt as _;

use crate::{ModelBackend, Prompt, PromptBundle, PromptRollout, PromptVersion};

/// The manifest of a kind.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// The name of the kind in lower case and in the plural, such as `promptbundles`.
    pub plural: String,
    /// The definition, as the API server takes it.
    pub definition: CustomResourceDefinition,
}

/// A manifest that cannot be written as YAML.
#[derive(Debug, thiserror::Error)]
#[error("writing the definition of {plural} as YAML")]
pub struct ManifestError {
    /// The kind.
    pub plural: String,
    /// What is wrong with it.
    #[source]
    pub source: serde_saphyr::SerializeError,
}

/// Returns the manifest of every kind, sorted by name.
#[must_use]
pub fn manifests() -> Vec<Manifest> {
    let definitions =
        [ModelBackend::crd(), PromptBundle::crd(), PromptRollout::crd(), Prompt::crd(), PromptVersion::crd()];
    let mut manifests: Vec<_> = definitions
        .into_iter()
        .map(|definition| Manifest { plural: definition.spec.names.plural.clone(), definition })
        .collect();
    manifests.sort_by(|left, right| left.plural.cmp(&right.plural));
    manifests
}

// === impl Manifest ===

impl Manifest {
    /// Returns it as one document of YAML, without the line `---` before it.
    ///
    /// # Errors
    ///
    /// Fails where the definition has a value that YAML has not.
    pub fn to_yaml(&self) -> Result<String, ManifestError> {
        serde_saphyr::to_string(&self.definition)
            .map_err(|source| ManifestError { plural: self.plural.clone(), source })
    }
}
