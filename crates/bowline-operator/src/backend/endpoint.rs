//! Where a provider is, from what a ModelBackend says and from what KServe answers.

use bowline_crd::{Endpoint as EndpointSpec, ModelBackend};
use bowline_prompt::BaseUrl;
use bowline_types::{ProviderName, SecretRef, chain};
use kube::ResourceExt as _;
use serde_json::Value;

use super::name::served_object;

/// The path below which model servers of KServe speak OpenAI's API.
///
/// Source: <https://kserve.github.io/website/docs/model-serving/generative-inference/overview>, read 2026-11-25: `/openai`, unless the server
/// was told another prefix; then its Service is named instead.
const KSERVE_PATH: &str = "/openai/v1";
/// The path of the API of servers that the operator runs.
const SERVED_PATH: &str = "/v1";

/// Where gateways find a provider, and what they show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// The provider, as the project names it.
    pub(crate) provider: ProviderName,
    /// Its address.
    pub(crate) base_url: BaseUrl,
    /// Where gateways find its credential; `None` sends none.
    pub(crate) api_key: Option<SecretRef>,
    /// Whether it may be at zero: gateways then let calls wait while it starts.
    pub(crate) starts: bool,
}

/// Why there is no address, or not yet.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum EndpointError {
    /// The InferenceService is not there, or its status names no address yet.
    #[error("InferenceService `{name}` has no address yet")]
    Pending {
        /// Its name.
        name: String,
    },
    /// Gateways may not call this address.
    #[error("`{address}` cannot be called: {reason}")]
    Refused {
        /// The address.
        address: String,
        /// Why.
        reason: String,
    },
}

/// Returns the address of a backend. `inference` is the InferenceService that it names, where it names one that is there.
///
/// # Errors
/// There is no address yet, or none that gateways may call.
pub(crate) fn address(
    backend: &ModelBackend,
    namespace: &str,
    inference: Option<&Value>,
) -> Result<BaseUrl, EndpointError> {
    let address = match &backend.spec.endpoint {
        None => {
            let port = backend.spec.serve.as_ref().map_or(80, |serve| serve.port);
            format!("http://{}.{namespace}.svc:{port}{SERVED_PATH}", served_object(&backend.name_any()))
        }
        Some(EndpointSpec { url: Some(url), .. }) => url.clone(),
        Some(EndpointSpec { service: Some(service), .. }) => {
            format!("http://{}.{namespace}.svc:{}{}", service.name, service.port, service.path)
        }
        Some(EndpointSpec { inference_service, .. }) => {
            let name = inference_service.as_ref().map_or("", |reference| reference.name.as_str());
            let origin =
                inference.and_then(origin_of).ok_or_else(|| EndpointError::Pending { name: name.to_owned() })?;
            format!("{origin}{KSERVE_PATH}")
        }
    };
    BaseUrl::try_from(address.clone()).map_err(|error| EndpointError::Refused { address, reason: chain(&error) })
}

/// Returns scheme and host of an InferenceService: its address within the cluster, else the one beyond, as its status has them. What stands
/// behind them is the path of a protocol of KServe's own.
///
/// Source: <https://kserve.github.io/website/docs/reference/crd-api#inferenceservicestatus>, read 2026-11-25: `status.address.url`, `status.url`.
fn origin_of(inference: &Value) -> Option<&str> {
    let status = inference.get("status")?;
    let within = status.pointer("/address/url").and_then(Value::as_str);
    let url = within.or_else(|| status.get("url").and_then(Value::as_str))?;
    let host = url.find("://")? + "://".len();
    let end = url.get(host..)?.find('/').map_or(url.len(), |path| host + path);
    url.get(..end).filter(|origin| origin.len() > host)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn backend(spec: Value) -> ModelBackend {
        let object = json!({
            "apiVersion": "bowline.dev/v1alpha1", "kind": "ModelBackend", "metadata": {"name": "llm", "namespace": "desk"},
            "spec": spec,
        });
        serde_json::from_value(object).unwrap()
    }

    fn check(spec: Value, inference: Option<Value>, expected: &str) {
        let found = address(&backend(spec.clone()), "desk", inference.as_ref());
        let found = found.map_or_else(|error| error.to_string(), |url| url.as_str().to_owned());
        assert_eq!(found, expected, "{spec}");
    }

    #[test]
    fn addresses_within_and_beyond_the_cluster() {
        check(json!({"provider": "p", "endpoint": {"url": "https://llm.example/v1"}}), None, "https://llm.example/v1");
        let service = json!({"provider": "p", "endpoint": {"service": {"name": "vllm", "port": 8000}}});
        check(service, None, "http://vllm.desk.svc:8000/v1");
        let path = json!({"provider": "p", "endpoint": {"service": {"name": "vllm", "port": 80, "path": "/api/v1"}}});
        check(path, None, "http://vllm.desk.svc:80/api/v1");
        check(json!({"provider": "p", "serve": {"image": "x", "port": 9000}}), None, "http://llm.desk.svc:9000/v1");
        // The schema refuses it, and so does the operator, should the schema ever be another.
        let insecure = json!({"provider": "p", "endpoint": {"url": "http://10.0.0.1/v1"}});
        check(
            insecure,
            None,
            "`http://10.0.0.1/v1` cannot be called: `http` is for loopback addresses and Services of a cluster (`NAME.NAMESPACE.svc`) only; use `https`",
        );
    }

    #[test]
    fn kserve_tells_its_own_address() {
        let spec = || json!({"provider": "p", "endpoint": {"inferenceService": {"name": "qwen"}}});
        let pending = "InferenceService `qwen` has no address yet";
        check(spec(), None, pending);
        check(spec(), Some(json!({"status": {}})), pending);
        check(spec(), Some(json!({"status": {"url": "https://"}})), pending);
        let within = json!({"status": {
            "address": {"url": "http://qwen.desk.svc.cluster.local/v1/models/qwen:predict"}, "url": "http://qwen.example"
        }});
        check(spec(), Some(within), "http://qwen.desk.svc.cluster.local/openai/v1");
        let beyond = json!({"status": {"url": "https://qwen-desk.example"}});
        check(spec(), Some(beyond), "https://qwen-desk.example/openai/v1");
    }
}
