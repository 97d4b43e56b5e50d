use serde_json::json;

use crate::cli::Global;
use crate::failure::Result;
use crate::output::{Format, json, piece};

/// Prints the definition of every kind on Kubernetes.
///
/// # Errors
/// A definition cannot be written.
pub(crate) fn run(global: &Global) -> Result<()> {
    let manifests = bowline_crd::manifests();
    match global.output {
        Format::Json => {
            let items: Vec<_> = manifests.iter().map(|manifest| &manifest.definition).collect();
            json(&json!({ "apiVersion": "v1", "kind": "List", "items": items }))
        }
        Format::Text => {
            for manifest in &manifests {
                piece(&format!("---\n{}", manifest.to_yaml().map_err(anyhow::Error::from)?));
            }
            Ok(())
        }
    }
}
