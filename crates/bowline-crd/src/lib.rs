//! The kinds of Bowline on Kubernetes.
//!
//! People write two, [`PromptBundle`] and [`ModelBackend`]. The operator writes three as read-only projections of what the control
//! role knows: [`Prompt`], [`PromptVersion`] and [`PromptRollout`]. Nothing of a single call is ever an object.
//!
//! The manifests are derived from these types (`bowline crd`), with every rule in the schema: there are no webhooks. Lists, maps and texts are
//! bounded, which the API server asks for where a rule reads them.

#![expect(unreachable_pub, reason = "the derive of schemas repeats every type within a function")]
#![expect(clippy::duplicated_attributes, reason = "each column of a table has its own name, type and path")]

mod backend;
mod bundle;
mod lever;
mod manifest;
mod meta;
mod object_name;
mod prompt;
mod rollout;
mod schema;

pub use backend::{Access, Endpoint, ModelBackend, ModelBackendSpec, ModelBackendStatus, Scale, Serve};
pub use bundle::{
    BundleKey, BundleSource, EnvironmentStatus, KeyStatus, PromptBundle, PromptBundleSpec, PromptBundleStatus,
    ServiceAccountAccess, ServiceAccountStatus, Signer, Verification,
};
pub use lever::{EnvironmentLever, Lever, LeverError};
pub use manifest::{Manifest, ManifestError, manifests};
pub use meta::{
    API_VERSION, CATEGORY, FIELD_MANAGER, FINALIZER, GROUP, KeyReference, LocalReference, PROJECT_LABEL,
    PROMPT_ANNOTATION, VERSION, condition,
};
pub use object_name::{prompt_object, rollout_object, version_object};
pub use prompt::{Live, Prompt, PromptSpec, PromptStatus, PromptVersion, PromptVersionSpec, PromptVersionStatus};
pub use rollout::{ArmStatus, LeverStatus, PromptRollout, PromptRolloutSpec, PromptRolloutStatus};
