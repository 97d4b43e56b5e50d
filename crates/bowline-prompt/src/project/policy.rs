use std::time::Duration;

use bowline_types::{EnvironmentName, SecretRef};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What an environment asks of a bundle before it is released there. Without a line, it asks for nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ReleasePolicy {
    /// Public keys that must have signed the bundle, every one of them, in cosign's form: `file:PATH` from the folder of the project, or
    /// `env:NAME`. Default: none.
    #[schemars(schema_with = "signers")]
    pub signers: Vec<SecretRef>,
    /// Suites that must have passed, by their path or its last part without the end, in a report that one of the signers signed. Where the
    /// environment serves real providers, simulated answers do not count. Default: none.
    pub suites: Vec<String>,
    /// Another environment whose gate counts here, as `bowline test --gate --env` names it: what passed the gate of `staging` may then be
    /// released to `prod`. Default: none, so that the suites must have passed the gate of this environment itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::segment")]
    pub report_env: Option<EnvironmentName>,
    /// How old that report may be. Default: 7d.
    #[serde(with = "bowline_types::duration_text")]
    #[schemars(schema_with = "super::duration")]
    pub report_max_age: Duration,
}

// === impl ReleasePolicy ===

impl Default for ReleasePolicy {
    fn default() -> Self {
        Self {
            signers: Vec::new(),
            suites: Vec::new(),
            report_env: None,
            report_max_age: Duration::from_secs(7 * 86_400),
        }
    }
}

impl ReleasePolicy {
    /// Returns whether nothing differs from the default.
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Returns whether suites are asked for and nobody who could say that they passed.
    pub(crate) fn lacks_signers(&self) -> bool {
        self.signers.is_empty() && !self.suites.is_empty()
    }
}

fn signers(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "type": "array", "items": super::secret_reference(generator) })
}
