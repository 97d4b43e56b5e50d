//! The bill of materials of a bundle: prompts, models and data, in CycloneDX.
//!
//! <https://cyclonedx.org/docs/1.6/json/>, read 2026-11-25. It has no component type for prompts, so that a prompt is `data` of the kind
//! `definition` with its version as a property; a model is a `machine-learning-model`.

use std::collections::BTreeSet;

use bowline_prompt::ModelIdentity;
use serde_json::{Value, json};

use super::{Bundle, Kind, Result, encode};

/// The media type of the document.
pub const MEDIA_TYPE: &str = "application/vnd.cyclonedx+json";

impl Bundle {
    /// Returns the bill of materials, as JSON; the same bundle has the same one.
    ///
    /// # Errors
    /// Fails where it has no JSON form.
    pub fn sbom(&self) -> Result<Vec<u8>> {
        encode(&self.sbom_value())
    }

    /// Returns the bill of materials as a value, for an attestation.
    #[must_use]
    pub fn sbom_value(&self) -> Value {
        let identities: BTreeSet<&ModelIdentity> =
            self.versions.iter().flat_map(|version| &version.version.model.identities).collect();
        let mut components: Vec<Value> = self.versions.iter().map(prompt).collect();
        components.extend(identities.iter().map(|identity| model(identity)));
        components.extend(self.files.iter().map(|(kind, file)| {
            json!({
                "type": "data",
                "bom-ref": format!("file:{}", file.path),
                "name": file.path,
                "hashes": [{ "alg": "SHA-256", "content": file.digest.hex() }],
                "data": [{ "type": if kind == Kind::Suites { "dataset" } else { "configuration" } }],
                "properties": [property("bowline:kind", kind.as_str())],
            })
        }));
        let dependencies = self.versions.iter().map(|version| {
            let models = version.version.model.identities.iter().map(model_reference);
            let suite = version.suite.iter().map(|suite| format!("file:{suite}"));
            json!({ "ref": format!("prompt:{}", version.name), "dependsOn": models.chain(suite).collect::<Vec<_>>() })
        });
        let mut metadata = json!({ "component": {
            "type": "application",
            "bom-ref": format!("project:{}", self.config.project),
            "name": self.config.project,
        } });
        if let Some(commit) = &self.config.provenance.commit {
            metadata["component"]["version"] = json!(commit);
        }
        if let Some(at) = self.config.committed_at {
            metadata["timestamp"] = json!(at.to_string());
        }
        json!({
            "bomFormat": "CycloneDX",
            "specVersion": "1.6",
            "version": 1,
            "metadata": metadata,
            "components": components,
            "dependencies": dependencies.collect::<Vec<_>>(),
        })
    }
}

fn prompt(version: &super::PromptVersion) -> Value {
    json!({
        "type": "data",
        "bom-ref": format!("prompt:{}", version.name),
        "name": version.name,
        "version": version.digest,
        "data": [{ "type": "definition" }],
        "properties": [
            property("bowline:kind", "prompt"),
            property("bowline:version", &version.digest.to_string()),
            property("bowline:model", version.version.model.alias.as_str()),
        ],
    })
}

fn model(identity: &ModelIdentity) -> Value {
    json!({
        "type": "machine-learning-model",
        "bom-ref": model_reference(identity),
        "group": identity.provider,
        "name": identity.model,
    })
}

fn model_reference(identity: &ModelIdentity) -> String {
    format!("model:{identity}")
}

fn property(name: &str, value: &str) -> Value {
    json!({ "name": name, "value": value })
}
