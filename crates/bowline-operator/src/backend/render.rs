//! What `serve` of a ModelBackend means in objects: a Deployment with its Service, a volume for weights, a claim for devices, and what scales
//! it. Pure, so that the manifests of every accelerator are golden files.

mod autoscale;
mod claim;
mod model;
mod pod;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use bowline_crd::{ModelBackend, Serve};
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, PersistentVolumeClaimSpec, Service, ServicePort, ServiceSpec, VolumeResourceRequirements,
};
use k8s_openapi::api::resource::v1::ResourceClaimTemplate;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::api::DynamicObject;
use kube::{Resource as _, ResourceExt as _};

use super::accelerator::{AcceleratorClass, Accelerators};
use super::name::served_object;

pub(crate) use autoscale::{Autoscaling, KedaTrigger, scaled_object_resource};

/// The label of everything that is made for a backend, with the name of its Deployment.
pub(crate) const BACKEND_LABEL: &str = "bowline.dev/backend";
/// How long a model server may take to start, in seconds: weights that are fetched and loaded. 7 billion parameters took 40 s, 72 billion
/// 17 minutes (docs/models-on-kubernetes.md).
pub(super) const START_SECONDS_MAX: i32 = 3600;
/// How much longer a Deployment may be without progress before it is told as stuck, in seconds: a pod that waits for a node.
const SCHEDULE_SECONDS_MAX: i32 = 900;
/// How many old ReplicaSets stay.
const REVISIONS_MAX: i32 = 2;

/// What a backend needs in the cluster.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rendered {
    /// The pods.
    pub(crate) deployment: Deployment,
    /// Their address.
    pub(crate) service: Service,
    /// The volume for weights, where one is asked for.
    pub(crate) cache: Option<PersistentVolumeClaim>,
    /// What devices a pod claims, where the accelerator's class has them by claims.
    pub(crate) claims: Option<ResourceClaimTemplate>,
    /// What scales between one pod and the most, where that is not KEDA.
    pub(crate) autoscaler: Option<HorizontalPodAutoscaler>,
    /// What scales where KEDA is there.
    pub(crate) scaled_object: Option<DynamicObject>,
}

/// Why a backend cannot be served.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum RenderError {
    /// The cluster's list of accelerators has no such class.
    #[error("there is no class `{class}` of accelerators; {known}")]
    UnknownAccelerator {
        /// The class.
        class: String,
        /// Those that are there, in words.
        known: String,
    },
    /// A pod must take another number.
    #[error(
        "a pod takes {needed} of class `{class}`, not {count}, as they belong together; set `acceleratorCount: {needed}`"
    )]
    AcceleratorCount {
        /// The class.
        class: String,
        /// How many a pod must take.
        needed: i32,
        /// How many were asked for.
        count: i32,
    },
    /// The model is not written as its scheme asks.
    #[error("`{model}` is no model: {rule}")]
    Model {
        /// What is written.
        model: String,
        /// How it should be.
        rule: &'static str,
    },
}

/// What rendering needs of a backend.
struct Frame<'a> {
    backend: &'a ModelBackend,
    serve: &'a Serve,
    /// The name of the Deployment and the Service.
    name: String,
    namespace: String,
    accelerator: Option<(&'a AcceleratorClass, i32)>,
}

/// Renders what a backend needs in a namespace: `None` where it serves nothing. `replicas` is how many pods there are to be now, `autoscaling`
/// who may change that.
///
/// # Errors
/// The class of accelerators is unknown, a pod must take another number of them, or the model cannot be read.
pub(crate) fn render(
    backend: &ModelBackend,
    accelerators: &Accelerators,
    replicas: i32,
    autoscaling: &Autoscaling,
) -> Result<Option<Rendered>, RenderError> {
    let Some(serve) = &backend.spec.serve else { return Ok(None) };
    let frame = Frame {
        backend,
        serve,
        name: served_object(&backend.name_any()),
        namespace: backend.namespace().unwrap_or_default(),
        accelerator: accelerator(serve, accelerators)?,
    };
    let claims = claim::template(&frame);
    Ok(Some(Rendered {
        deployment: frame.deployment(replicas, claims.as_ref())?,
        service: frame.service(),
        cache: frame.cache(),
        claims,
        autoscaler: autoscale::autoscaler(&frame, autoscaling),
        scaled_object: autoscale::scaled_object(&frame, autoscaling),
    }))
}

fn accelerator<'a>(
    serve: &Serve,
    accelerators: &'a Accelerators,
) -> Result<Option<(&'a AcceleratorClass, i32)>, RenderError> {
    let Some(name) = &serve.accelerator else { return Ok(None) };
    let class = accelerators.get(name).ok_or_else(|| {
        let names: Vec<_> = accelerators.names().map(|name| format!("`{name}`")).collect();
        let known = if names.is_empty() {
            "the cluster has none: they are in `accelerators` of the chart's values".to_owned()
        } else {
            format!("there are {}", names.join(", "))
        };
        RenderError::UnknownAccelerator { class: name.clone(), known }
    })?;
    let count = serve.accelerator_count.unwrap_or(1);
    match class.count_only() {
        Some(needed) if needed != count => Err(RenderError::AcceleratorCount { class: name.clone(), needed, count }),
        _ => Ok(Some((class, count))),
    }
}

// === impl Frame ===

impl Frame<'_> {
    fn deployment(&self, replicas: i32, claims: Option<&ResourceClaimTemplate>) -> Result<Deployment, RenderError> {
        // A new pod comes before an old one goes, save where both need one volume that a single node has.
        let (surge, unavailable) = if self.shares_volume() { (0, 1) } else { (1, 0) };
        let strategy = DeploymentStrategy {
            type_: Some("RollingUpdate".to_owned()),
            rolling_update: Some(RollingUpdateDeployment {
                max_surge: Some(IntOrString::Int(surge)),
                max_unavailable: Some(IntOrString::Int(unavailable)),
            }),
        };
        Ok(Deployment {
            metadata: self.metadata(&self.name),
            spec: Some(DeploymentSpec {
                replicas: Some(replicas),
                selector: LabelSelector { match_labels: Some(self.selector()), ..LabelSelector::default() },
                strategy: Some(strategy),
                progress_deadline_seconds: Some(START_SECONDS_MAX + SCHEDULE_SECONDS_MAX),
                revision_history_limit: Some(REVISIONS_MAX),
                template: pod::template(self, claims)?,
                ..DeploymentSpec::default()
            }),
            status: None,
        })
    }

    fn service(&self) -> Service {
        let port = ServicePort {
            name: Some(pod::PORT.to_owned()),
            port: self.serve.port,
            target_port: Some(IntOrString::String(pod::PORT.to_owned())),
            protocol: Some("TCP".to_owned()),
            app_protocol: Some("http".to_owned()),
            ..ServicePort::default()
        };
        Service {
            metadata: self.metadata(&self.name),
            spec: Some(ServiceSpec {
                selector: Some(self.selector()),
                ports: Some(vec![port]),
                ..ServiceSpec::default()
            }),
            status: None,
        }
    }

    fn cache(&self) -> Option<PersistentVolumeClaim> {
        let size = self.serve.cache.as_ref()?;
        // Pods on several nodes share a volume only where its class lets them; a single pod asks for no such thing.
        let mode = if self.serve.scale.max > 1 { "ReadWriteMany" } else { "ReadWriteOnce" };
        let requests = BTreeMap::from([("storage".to_owned(), Quantity(size.clone()))]);
        Some(PersistentVolumeClaim {
            metadata: self.metadata(&self.cache_name()),
            spec: Some(PersistentVolumeClaimSpec {
                access_modes: Some(vec![mode.to_owned()]),
                resources: Some(VolumeResourceRequirements { requests: Some(requests), limits: None }),
                ..PersistentVolumeClaimSpec::default()
            }),
            status: None,
        })
    }

    fn shares_volume(&self) -> bool {
        self.serve.cache.is_some() && self.serve.scale.max <= 1
    }

    fn cache_name(&self) -> String {
        format!("{}-cache", self.name)
    }

    /// Metadata of an object of the backend: with it, it goes.
    fn metadata(&self, name: &str) -> ObjectMeta {
        ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(self.namespace.clone()),
            labels: Some(self.labels()),
            owner_references: self.backend.controller_owner_ref(&()).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        }
    }

    fn labels(&self) -> BTreeMap<String, String> {
        let mut labels = self.selector();
        labels.insert("app.kubernetes.io/name".to_owned(), self.name.clone());
        labels.insert("app.kubernetes.io/component".to_owned(), "model-server".to_owned());
        labels.insert("app.kubernetes.io/managed-by".to_owned(), "bowline-operator".to_owned());
        labels
    }

    fn selector(&self) -> BTreeMap<String, String> {
        BTreeMap::from([(BACKEND_LABEL.to_owned(), self.name.clone())])
    }
}
