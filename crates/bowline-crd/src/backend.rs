use std::time::Duration;

use bowline_types::ProviderName;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::{KeyReference, LocalReference, schema};

/// Gives a provider of the project an endpoint and a credential, and may serve the model itself.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "bowline.dev",
    version = "v1alpha1",
    kind = "ModelBackend",
    namespaced,
    status = "ModelBackendStatus",
    derive = "PartialEq",
    shortname = "mbe",
    category = "bowline",
    doc = "Gives a provider of the project an endpoint and a credential, and may serve the model itself.",
    scale(
        spec_replicas_path = ".spec.serve.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(name = "Provider", type_ = "string", json_path = ".spec.provider"),
    printcolumn(name = "Endpoint", type_ = "string", json_path = ".status.endpoint"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Replicas", type_ = "integer", json_path = ".status.replicas", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.endpoint) != has(self.serve)").message("give an `endpoint` that is there, or let `serve` make one; not both"))]
#[x_kube(validation = Rule::new("self.provider == oldSelf.provider").message("`provider` does not change; make another ModelBackend"))]
pub struct ModelBackendSpec {
    /// The provider, as the project file names it under `providers`. One ModelBackend per provider and namespace.
    #[schemars(schema_with = "schema::segment")]
    pub provider: ProviderName,
    /// Where the provider is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Endpoint>,
    /// The credential that the gateway sends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key: Option<KeyReference>,
    /// A model server that the operator runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serve: Option<Serve>,
}

/// Where a provider is: exactly one of these.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.url), has(self.service), has(self.inferenceService)].filter(given, given).size() == 1").message("give exactly one of `url`, `service` and `inferenceService`"))]
pub struct Endpoint {
    /// An address beyond the cluster, with TLS, without a trailing slash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 9, max = 512), regex(pattern = "^https://[^\\s?#@]+$"))]
    pub url: Option<String>,
    /// A Service of the namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<Access>,
    /// An InferenceService of KServe of the namespace; its address is read from its status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inference_service: Option<LocalReference>,
}

/// A Service of the namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Access {
    /// Its name.
    #[schemars(schema_with = "schema::object")]
    pub name: String,
    /// The port.
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
    /// What stands before the paths of the API. Default: `/v1`.
    #[serde(default = "Access::default_path")]
    #[schemars(length(max = 256), regex(pattern = "^(/[^\\s?#]*[^\\s?#/])?$"))]
    pub path: String,
}

/// A model server that the operator runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.scale.min <= self.scale.max").message("`scale.min` is at most `scale.max`"))]
#[x_kube(validation = Rule::new("has(self.accelerator) == has(self.acceleratorCount)").message("`accelerator` and `acceleratorCount` go together"))]
pub struct Serve {
    /// The image of the server.
    #[schemars(length(min = 1, max = 512))]
    pub image: String,
    /// The arguments of the server.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 1024)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub args: Vec<String>,
    /// The port on which it speaks its API.
    #[serde(default = "Serve::default_port")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
    /// The path of its readiness. Default: `/health`.
    #[serde(default = "Serve::default_health_path")]
    #[schemars(length(min = 1, max = 256), regex(pattern = "^/[^\\s?#]*$"))]
    pub health_path: String,
    /// The model: `hf://owner/name`, `s3://…`, `gs://…`, `oci://…` or `pvc://claim/path`; the server gets it as `MODEL_SOURCE`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), regex(pattern = "^(hf|s3|gs|oci|pvc)://[^\\s]+$"))]
    pub model: Option<String>,
    /// The class of accelerator, as the chart's values name it. Default: none, the CPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub accelerator: Option<String>,
    /// How many of them a pod gets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 64))]
    pub accelerator_count: Option<i32>,
    /// How much memory a pod may have, such as `16Gi`. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32), regex(pattern = "^[0-9]+(Ki|Mi|Gi|Ti)$"))]
    pub memory: Option<String>,
    /// The size of a volume for weights that outlives pods, such as `100Gi`. Default: none, a cache of each pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32), regex(pattern = "^[0-9]+(Ki|Mi|Gi|Ti)$"))]
    pub cache: Option<String>,
    /// How many pods.
    #[serde(default)]
    pub scale: Scale,
    /// How many pods there are now: written by whoever scales through `/scale`, and otherwise by the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub replicas: Option<i32>,
}

/// How many pods serve a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Scale {
    /// At least. With 0 the last pod goes when nobody calls, and the gateway holds calls while the first one starts. Default: 1.
    #[serde(default = "Scale::default_pods")]
    #[schemars(range(min = 0, max = 1000))]
    pub min: i32,
    /// At most. Default: 1.
    #[serde(default = "Scale::default_pods")]
    #[schemars(range(min = 1, max = 1000))]
    pub max: i32,
    /// Tokens in flight per pod above which there is another one. Default: 4096.
    #[serde(default = "Scale::default_tokens_in_flight")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub tokens_in_flight: i64,
    /// After how long without a call the last pod goes. Default: 10m.
    #[serde(default = "Scale::default_idle_after", with = "bowline_types::duration_text")]
    #[schemars(schema_with = "schema::duration")]
    pub idle_after: Duration,
}

/// What the operator found and did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModelBackendStatus {
    /// The generation of the spec that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, Reconciling, Stalled; Serving.
    #[serde(default)]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_owned()]))]
    pub conditions: Vec<Condition>,
    /// The address that gateways call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub endpoint: Option<String>,
    /// The pods that are ready.
    #[serde(default)]
    pub replicas: i32,
    /// The selector of its pods, for `/scale`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub selector: Option<String>,
}

impl Default for Scale {
    fn default() -> Self {
        let pods = Self::default_pods();
        Self {
            min: pods,
            max: pods,
            tokens_in_flight: Self::default_tokens_in_flight(),
            idle_after: Self::default_idle_after(),
        }
    }
}

impl Scale {
    fn default_pods() -> i32 {
        1
    }

    fn default_tokens_in_flight() -> i64 {
        4096
    }

    fn default_idle_after() -> Duration {
        Duration::from_secs(600)
    }
}

impl Access {
    fn default_path() -> String {
        "/v1".to_owned()
    }
}

impl Serve {
    fn default_port() -> i32 {
        8000
    }

    fn default_health_path() -> String {
        "/health".to_owned()
    }
}
