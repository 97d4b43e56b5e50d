use std::time::Duration;

use bowline_types::{Digest, EnvironmentName, ProjectName};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::{KeyReference, LocalReference, schema};

/// Where bundles come from, how they are verified, and which environments they feed.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "bowline.dev",
    version = "v1alpha1",
    kind = "PromptBundle",
    namespaced,
    status = "PromptBundleStatus",
    derive = "PartialEq",
    shortname = "pbu",
    category = "bowline",
    doc = "Where bundles come from, how they are verified, and which environments they feed.",
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Project", type_ = "string", json_path = ".status.project"),
    printcolumn(name = "Tag", type_ = "string", json_path = ".spec.source.tag"),
    printcolumn(name = "Digest", type_ = "string", json_path = ".status.digest", priority = 1),
    printcolumn(name = "Commit", type_ = "string", json_path = ".status.commit", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct PromptBundleSpec {
    /// Where the bundle is.
    pub source: BundleSource,
    /// What is asked of a bundle before any of it is released. Whoever writes it is the law, not the bundle.
    pub verification: Verification,
    /// The environments it is released to, in this order; the project file of the bundle has them with `source: bundle`.
    #[schemars(schema_with = "schema::segments")]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub environments: Vec<EnvironmentName>,
    /// Whether the source is left alone. What is live stays.
    #[serde(default)]
    pub suspend: bool,
    /// Keys of applications, each written to a Secret of this namespace.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["secretName".to_owned()]))]
    pub keys: Vec<BundleKey>,
    /// Service accounts of this namespace whose tokens, made for Bowline's audience, are keys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub service_accounts: Vec<ServiceAccountAccess>,
}

/// A repository of an OCI registry, and which manifest of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.tag) != has(self.digest)").message("name a `tag`, which is followed, or a `digest`, which is pinned; not both"))]
pub struct BundleSource {
    /// The repository, `registry.example/desk/prompts`, without tag and digest.
    #[schemars(
        length(min = 3, max = 255),
        regex(pattern = "^[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?(/[a-z0-9]+([._-]+[a-z0-9]+)*)+$")
    )]
    pub repository: String,
    /// The tag that is followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = "^[A-Za-z0-9_][A-Za-z0-9._-]*$"))]
    pub tag: Option<String>,
    /// The digest of the manifest that is pinned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::digest_option")]
    pub digest: Option<Digest>,
    /// How often a tag is looked at, 5s at least. Default: 1m.
    #[serde(default = "BundleSource::default_poll_interval", with = "bowline_types::duration_text")]
    #[schemars(schema_with = "schema::duration")]
    #[x_kube(validation = Rule::new("!self.endsWith('ms') && duration(self.replace('d', 'h')) >= duration('5s')").message("a tag is looked at every 5s at most"))]
    pub poll_interval: Duration,
    /// A Secret of type `kubernetes.io/dockerconfigjson` with the credentials of the registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_secret: Option<LocalReference>,
    /// The authority of a registry with a certificate of your own, in PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<KeyReference>,
    /// Whether the registry is spoken to without TLS: for one within the cluster.
    #[serde(default)]
    pub plain_http: bool,
}

/// What is asked of a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("size(self.signers) > 0 || self.insecureUnsigned").message("name at least one key in `signers`, or say `insecureUnsigned: true` where anybody who can push may release"))]
#[x_kube(validation = Rule::new("size(self.suites) == 0 || size(self.signers) > 0").message("a report of a suite proves something only if one of the `signers` signed it"))]
pub struct Verification {
    /// Public keys, as cosign has them. Every one of them has signed the bundle.
    #[serde(default)]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub signers: Vec<Signer>,
    /// Suites that passed, by name (`support` is `evals/support.yaml`), in a report that one of the signers signed.
    #[serde(default)]
    #[schemars(length(max = 64), inner(length(min = 1, max = 200)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub suites: Vec<String>,
    /// How old the report may be. Default: 7d.
    #[serde(default = "Verification::default_report_max_age", with = "bowline_types::duration_text")]
    #[schemars(schema_with = "schema::duration")]
    pub report_max_age: Duration,
    /// Whether answers of a simulator are evidence. For clusters that serve no real provider.
    #[serde(default)]
    pub accept_simulated: bool,
    /// Whether unsigned bundles are taken: anybody who can push then releases.
    #[serde(default)]
    pub insecure_unsigned: bool,
}

/// The public key of somebody who signs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.publicKey) != has(self.secretRef)").message("give the key itself in `publicKey`, or a Secret in `secretRef`"))]
pub struct Signer {
    /// What conditions and events call it.
    #[schemars(schema_with = "schema::segment")]
    pub name: String,
    /// The key in PEM; it is no secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub public_key: Option<String>,
    /// A key of a Secret that has it, such as `cosign.pub`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<KeyReference>,
}

/// A key of an application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct BundleKey {
    /// The Secret that the operator writes, with `OPENAI_API_KEY` and `OPENAI_BASE_URL`, as SDKs read them. One that others wrote is left alone.
    #[schemars(schema_with = "schema::object")]
    pub secret_name: String,
    /// The environment of prompt references that name none.
    #[schemars(schema_with = "schema::segment")]
    pub environment: EnvironmentName,
    /// After how long the key is replaced; the one before works for an hour on. Default: 30d.
    #[serde(default = "BundleKey::default_rotate_after", with = "bowline_types::duration_text")]
    #[schemars(schema_with = "schema::duration")]
    #[x_kube(validation = Rule::new("!self.endsWith('ms') && duration(self.replace('d', 'h')) >= duration('1h')").message("a key works for 1h at least, as the one before it does"))]
    pub rotate_after: Duration,
}

/// A service account whose tokens are keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceAccountAccess {
    /// The service account, of this namespace.
    #[schemars(schema_with = "schema::object")]
    pub name: String,
    /// The environment of prompt references that name none.
    #[schemars(schema_with = "schema::segment")]
    pub environment: EnvironmentName,
}

/// What the operator found and did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PromptBundleStatus {
    /// The generation of the spec that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, Reconciling, Stalled; Verified, Evaluated, Released; LeverHandled after a `freeze`.
    #[serde(default)]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_owned()]))]
    pub conditions: Vec<Condition>,
    /// The project of the bundle, which is that of the namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 64))]
    pub project: Option<ProjectName>,
    /// The manifest that was last found at the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::digest_option")]
    pub digest: Option<Digest>,
    /// Its commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub commit: Option<String>,
    /// Grows with every manifest that is taken up: the control role refuses a release with a smaller one, so an operator that lost its
    /// lease and does not know it yet cannot bring an old bundle back.
    #[serde(default)]
    pub revision: i64,
    /// What became of it, by environment.
    #[serde(default)]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub environments: Vec<EnvironmentStatus>,
    /// The keys that were handed out.
    #[serde(default)]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["secretName".to_owned()]))]
    pub keys: Vec<KeyStatus>,
    /// The service accounts that have a key.
    #[serde(default)]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub service_accounts: Vec<ServiceAccountStatus>,
}

/// What became of a bundle in one environment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct EnvironmentStatus {
    /// The environment.
    #[schemars(schema_with = "schema::segment")]
    pub name: EnvironmentName,
    /// The bundle that was last released there by this object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::digest_option")]
    pub digest: Option<Digest>,
    /// The `revision` of that release. A control role that has seen a smaller one was restored from a backup, and is told again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<i64>,
    /// Prompts whose version of the bundle is live.
    pub live: i64,
    /// Prompts in a rollout.
    pub rolling_out: i64,
    /// Prompts whose version lost a rollout there, and waits for another one.
    pub held: i64,
    /// Set while nothing may move there: who, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32768))]
    pub frozen: Option<String>,
}

/// A key that was handed out; the key itself is in its Secret only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyStatus {
    /// The Secret.
    #[schemars(schema_with = "schema::object")]
    pub secret_name: String,
    /// The id of the key at the control role.
    #[schemars(schema_with = "schema::word")]
    pub id: String,
    /// When it was made.
    pub issued_at: Time,
    /// The key before, while it still works.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub previous: Option<String>,
}

/// A service account whose tokens are a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServiceAccountStatus {
    /// The service account.
    #[schemars(schema_with = "schema::object")]
    pub name: String,
    /// The id of the key at the control role.
    #[schemars(schema_with = "schema::word")]
    pub id: String,
}

impl BundleSource {
    fn default_poll_interval() -> Duration {
        Duration::from_secs(60)
    }
}

impl Verification {
    fn default_report_max_age() -> Duration {
        Duration::from_secs(7 * 86_400)
    }
}

impl BundleKey {
    fn default_rotate_after() -> Duration {
        Duration::from_secs(30 * 86_400)
    }
}
