use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::schema;

/// The API group of every kind.
pub const GROUP: &str = "bowline.dev";

/// The one served version.
pub const VERSION: &str = "v1alpha1";

/// Group and version, as manifests have them.
pub const API_VERSION: &str = "bowline.dev/v1alpha1";

/// The category: `kubectl get bowline` lists every kind.
pub const CATEGORY: &str = "bowline";

/// The one field manager of everything that the operator applies.
pub const FIELD_MANAGER: &str = "bowline-operator";

/// Held by a [`PromptBundle`](crate::PromptBundle) that has keys at the control role: they are revoked before it goes.
pub const FINALIZER: &str = "bowline.dev/keys";

/// The label of a namespace that names its project. A namespace without it has the project of its own name.
pub const PROJECT_LABEL: &str = "bowline.dev/project";

/// The annotation of projections with the name of the prompt, which may hold what names of objects may not.
pub const PROMPT_ANNOTATION: &str = "bowline.dev/prompt";

/// Types of conditions. Ready, Reconciling and Stalled mean what kstatus says
/// (<https://github.com/kubernetes-sigs/cli-utils/blob/master/pkg/kstatus/README.md>, 2026-11-25): the last two are there only while true.
pub mod condition {
    /// What the object asks for is done.
    pub const READY: &str = "Ready";
    /// The operator works on it, and will be done without anybody's help.
    pub const RECONCILING: &str = "Reconciling";
    /// Somebody has to do something, which the message says.
    pub const STALLED: &str = "Stalled";
    /// The bundle is signed as asked for.
    pub const VERIFIED: &str = "Verified";
    /// The suites that are asked for passed.
    pub const EVALUATED: &str = "Evaluated";
    /// The control role has taken it.
    pub const RELEASED: &str = "Released";
    /// A lever was pulled; the message says who, why, and what came of it.
    pub const LEVER: &str = "LeverHandled";
    /// The pods of a served model.
    pub const SERVING: &str = "Serving";
}

/// A key of a Secret of the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyReference {
    /// The name of the Secret.
    #[schemars(schema_with = "schema::object")]
    pub name: String,
    /// The key in it.
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[-._a-zA-Z0-9]+$"))]
    pub key: String,
}

/// An object of the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct LocalReference {
    /// Its name.
    #[schemars(schema_with = "schema::object")]
    pub name: String,
}
