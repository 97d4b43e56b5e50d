//! What scales a backend: an autoscaler of Kubernetes, or KEDA where that is there. Never both, and neither where there is nothing to scale.
//!
//! Both scale the ModelBackend through its `/scale`, not the Deployment: the operator alone writes how many pods a Deployment has.

use k8s_openapi::api::autoscaling::v2::{
    CrossVersionObjectReference, ExternalMetricSource, HorizontalPodAutoscaler, HorizontalPodAutoscalerSpec,
    MetricIdentifier, MetricSpec, MetricTarget,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::api::{ApiResource, DynamicObject, TypeMeta};
use kube::core::GroupVersionKind;
use kube::{Resource as _, ResourceExt as _};
use serde_json::{Value, json};

use super::Frame;

/// The metric of gateways that both scale on.
const TOKENS_IN_FLIGHT: &str = "bowline_backend_tokens_in_flight";
/// How often KEDA looks, in seconds: calls wait for it while a backend is at zero.
const KEDA_INTERVAL: u32 = 2;

/// Who changes how many pods a backend has, between its `min` and `max`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Autoscaling {
    /// The project, which gateways name beside the provider.
    pub(crate) project: String,
    /// Where KEDA reads; `None` where the cluster has no KEDA.
    pub(crate) keda: Option<KedaTrigger>,
}

/// Where KEDA reads how many tokens are in flight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KedaTrigger {
    /// From the endpoints of the Service in front of the gateways' admin listeners, such as
    /// `http://bowline-gateway-admin.bowline-system:7083`.
    Gateways(String),
    /// From Prometheus, at this address.
    Prometheus(String),
}

pub(super) fn autoscaler(frame: &Frame<'_>, autoscaling: &Autoscaling) -> Option<HorizontalPodAutoscaler> {
    let scale = &frame.serve.scale;
    // From and to zero is the operator's matter, as an autoscaler of Kubernetes knows no zero.
    let least = scale.min.max(1);
    if autoscaling.keda.is_some() || scale.max <= least {
        return None;
    }
    let labels = [("project", autoscaling.project.as_str()), ("provider", frame.backend.spec.provider.as_str())];
    let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let metric = MetricSpec {
        type_: "External".to_owned(),
        external: Some(ExternalMetricSource {
            metric: MetricIdentifier {
                name: TOKENS_IN_FLIGHT.to_owned(),
                selector: Some(LabelSelector { match_labels: Some(labels), ..LabelSelector::default() }),
            },
            target: MetricTarget {
                type_: "AverageValue".to_owned(),
                average_value: Some(Quantity(scale.tokens_in_flight.to_string())),
                ..MetricTarget::default()
            },
        }),
        ..MetricSpec::default()
    };
    Some(HorizontalPodAutoscaler {
        metadata: frame.metadata(&frame.name),
        spec: Some(HorizontalPodAutoscalerSpec {
            scale_target_ref: target(frame),
            min_replicas: Some(least),
            max_replicas: scale.max,
            metrics: Some(vec![metric]),
            behavior: None,
        }),
        status: None,
    })
}

/// KEDA has the way from and to zero too: the operator leaves it alone then.
pub(super) fn scaled_object(frame: &Frame<'_>, autoscaling: &Autoscaling) -> Option<DynamicObject> {
    let scale = &frame.serve.scale;
    let trigger = autoscaling.keda.as_ref()?;
    if scale.max <= scale.min {
        return None;
    }
    let resource = scaled_object_resource();
    let spec = json!({
        "scaleTargetRef": target(frame),
        "minReplicaCount": scale.min,
        "maxReplicaCount": scale.max,
        "pollingInterval": KEDA_INTERVAL,
        "cooldownPeriod": scale.idle_after.as_secs(),
        "triggers": [self::trigger(frame, &autoscaling.project, trigger)],
    });
    Some(DynamicObject {
        types: Some(TypeMeta { api_version: resource.api_version, kind: resource.kind }),
        metadata: frame.metadata(&frame.name),
        data: json!({ "spec": spec }),
    })
}

/// Returns what KEDA calls its kind.
pub(crate) fn scaled_object_resource() -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("keda.sh", "v1alpha1", "ScaledObject"), "scaledobjects")
}

/// Source: <https://keda.sh/docs/2.20/scalers/metrics-api/> and <https://keda.sh/docs/2.20/scalers/prometheus/>, read 2026-11-25.
fn trigger(frame: &Frame<'_>, project: &str, trigger: &KedaTrigger) -> Value {
    let (provider, target) = (frame.backend.spec.provider.as_str(), frame.serve.scale.tokens_in_flight);
    match trigger {
        KedaTrigger::Gateways(address) => {
            // A path of GJSON, where a dot within a name is written with a backslash.
            let part = |name: &str| name.replace('.', "\\.");
            json!({"type": "metrics-api", "metricType": "AverageValue", "metadata": {
                "url": format!("{address}/backends"),
                "format": "json",
                "valueLocation": format!("{}.{}.tokens_in_flight", part(project), part(provider)),
                "targetValue": target.to_string(),
                "aggregateFromKubeServiceEndpoints": "true",
                "aggregationType": "sum",
            }})
        }
        KedaTrigger::Prometheus(address) => json!({"type": "prometheus", "metricType": "AverageValue", "metadata": {
            "serverAddress": address,
            "query": format!("sum({TOKENS_IN_FLIGHT}{{project=\"{project}\",provider=\"{provider}\"}})"),
            "threshold": target.to_string(),
        }}),
    }
}

fn target(frame: &Frame<'_>) -> CrossVersionObjectReference {
    CrossVersionObjectReference {
        api_version: Some(bowline_crd::ModelBackend::api_version(&()).into_owned()),
        kind: bowline_crd::ModelBackend::kind(&()).into_owned(),
        name: frame.backend.name_any(),
    }
}
