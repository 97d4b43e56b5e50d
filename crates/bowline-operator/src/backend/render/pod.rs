//! The pod of a model server: as restricted as Pod Security asks for, whatever the image, and with a long time to start.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Capabilities, Container, ContainerPort, EmptyDirVolumeSource, EnvVar, EnvVarSource, HTTPGetAction, Lifecycle,
    LifecycleHandler, PersistentVolumeClaimVolumeSource, PodSecurityContext, PodSpec, PodTemplateSpec, Probe,
    ResourceRequirements, SeccompProfile, SecretKeySelector, SecurityContext, SleepAction, Toleration,
    TopologySpreadConstraint, Volume, VolumeMount,
};
use k8s_openapi::api::resource::v1::ResourceClaimTemplate;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{Frame, RenderError, START_SECONDS_MAX, claim, model};
use crate::backend::accelerator::{self, AcceleratorRequest};

/// The name of the port of the API.
pub(super) const PORT: &str = "http";
/// Who the server runs as: nobody in particular, as everything of Bowline.
const USER: i64 = 65_532;
/// Where a server may keep what it fetches.
const CACHE_PATH: &str = "/cache";
/// How often it is asked whether it has started, in seconds.
const START_PERIOD: i32 = 5;
/// How long the last answers of a pod that goes may take, in seconds.
const GRACE_SECONDS: i64 = 120;
/// How long a pod that goes still takes calls, in seconds, until nobody sends it any.
const LEAVE_SECONDS: i64 = 5;

pub(super) fn template(
    frame: &Frame<'_>,
    claims: Option<&ResourceClaimTemplate>,
) -> Result<PodTemplateSpec, RenderError> {
    let source = frame.serve.model.as_deref().map(model::source).transpose()?;
    let (mut volumes, mut mounts) = scratch(frame);
    if let Some((volume, mount)) = source.as_ref().and_then(model::Source::volume) {
        volumes.push(volume);
        mounts.push(mount);
    }
    let container = Container {
        name: "server".to_owned(),
        image: Some(frame.serve.image.clone()),
        args: Some(frame.serve.args.clone()).filter(|args| !args.is_empty()),
        env: Some(environment(frame, source.as_ref())),
        ports: Some(vec![ContainerPort {
            name: Some(PORT.to_owned()),
            container_port: frame.serve.port,
            protocol: Some("TCP".to_owned()),
            ..ContainerPort::default()
        }]),
        startup_probe: Some(probe(frame, START_PERIOD, START_SECONDS_MAX / START_PERIOD)),
        readiness_probe: Some(probe(frame, 5, 3)),
        liveness_probe: Some(probe(frame, 10, 6)),
        resources: Some(resources(frame, claims.is_some())),
        lifecycle: Some(leaving()),
        security_context: Some(container_security()),
        volume_mounts: Some(mounts),
        ..Container::default()
    };
    let class = frame.accelerator.map(|(class, _)| class);
    let tolerations = class.map(|class| class.tolerations.iter().map(toleration).collect::<Vec<_>>());
    let spec = PodSpec {
        containers: vec![container],
        volumes: Some(volumes),
        security_context: Some(pod_security()),
        automount_service_account_token: Some(false),
        // A Service `vllm` would otherwise set VLLM_PORT to a URL, which vLLM reads as its own setting.
        enable_service_links: Some(false),
        termination_grace_period_seconds: Some(GRACE_SECONDS),
        node_selector: class.map(|class| class.node_selector.clone()).filter(|labels| !labels.is_empty()),
        tolerations: tolerations.filter(|tolerations| !tolerations.is_empty()),
        topology_spread_constraints: (frame.serve.scale.max > 1).then(|| vec![spread(frame)]),
        resource_claims: claims.map(|template| vec![claim::of_pod(template)]),
        ..PodSpec::default()
    };
    let metadata = ObjectMeta { labels: Some(frame.labels()), ..ObjectMeta::default() };
    Ok(PodTemplateSpec { metadata: Some(metadata), spec: Some(spec) })
}

/// What a server may write to, its root being read-only: the cache, the folder of temporary files, and memory that the processes of several
/// accelerators share.
fn scratch(frame: &Frame<'_>) -> (Vec<Volume>, Vec<VolumeMount>) {
    let empty = |name: &str, medium: Option<&str>| Volume {
        name: name.to_owned(),
        empty_dir: Some(EmptyDirVolumeSource { medium: medium.map(str::to_owned), size_limit: None }),
        ..Volume::default()
    };
    let mount = |name: &str, path: &str| VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        ..VolumeMount::default()
    };
    let kept = || Volume {
        name: "cache".to_owned(),
        persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
            claim_name: frame.cache_name(),
            read_only: None,
        }),
        ..Volume::default()
    };
    let cache = if frame.serve.cache.is_some() { kept() } else { empty("cache", None) };
    let mut volumes = vec![cache, empty("tmp", None)];
    let mut mounts = vec![mount("cache", CACHE_PATH), mount("tmp", "/tmp")];
    if frame.accelerator.is_some() {
        volumes.push(empty("shm", Some("Memory")));
        mounts.push(mount("shm", "/dev/shm"));
    }
    (volumes, mounts)
}

/// The environment of a server. Images that run as root elsewhere have no home for another user, and libraries ask for the name of one.
fn environment(frame: &Frame<'_>, source: Option<&model::Source>) -> Vec<EnvVar> {
    let variable =
        |name: &str, value: &str| EnvVar { name: name.to_owned(), value: Some(value.to_owned()), value_from: None };
    let mut variables = vec![
        variable("HOME", CACHE_PATH),
        variable("USER", "bowline"),
        variable("XDG_CACHE_HOME", CACHE_PATH),
        variable("HF_HOME", "/cache/huggingface"),
    ];
    if let (Some(source), Some(text)) = (source, &frame.serve.model) {
        variables.push(variable("MODEL_SOURCE", text));
        variables.push(variable("MODEL", &source.name));
    }
    if let Some(key) = &frame.backend.spec.api_key {
        // The server asks for what gateways send: `--api-key=$(API_KEY)`.
        let reference = SecretKeySelector { name: key.name.clone(), key: key.key.clone(), optional: None };
        let from = EnvVarSource { secret_key_ref: Some(reference), ..EnvVarSource::default() };
        variables.push(EnvVar { name: "API_KEY".to_owned(), value: None, value_from: Some(from) });
    }
    variables
}

fn probe(frame: &Frame<'_>, period: i32, failures: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(frame.serve.health_path.clone()),
            port: IntOrString::String(PORT.to_owned()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period),
        timeout_seconds: Some(3),
        failure_threshold: Some(failures),
        ..Probe::default()
    }
}

fn resources(frame: &Frame<'_>, claimed: bool) -> ResourceRequirements {
    let mut limits = BTreeMap::new();
    if let Some(memory) = &frame.serve.memory {
        limits.insert("memory".to_owned(), Quantity(memory.clone()));
    }
    if let Some((class, count)) = frame.accelerator
        && let AcceleratorRequest::Resource(resource) = &class.request
    {
        limits.insert(resource.clone(), Quantity(count.to_string()));
    }
    let some = |quantities: BTreeMap<_, _>| Some(quantities).filter(|quantities| !quantities.is_empty());
    ResourceRequirements {
        limits: some(limits.clone()),
        requests: some(limits),
        claims: claimed.then(|| vec![claim::of_container()]),
    }
}

/// A pod that goes is out of the Service a moment later than it is told to go.
fn leaving() -> Lifecycle {
    let sleep = LifecycleHandler { sleep: Some(SleepAction { seconds: LEAVE_SECONDS }), ..LifecycleHandler::default() };
    Lifecycle { pre_stop: Some(sleep), ..Lifecycle::default() }
}

fn pod_security() -> PodSecurityContext {
    PodSecurityContext {
        run_as_non_root: Some(true),
        run_as_user: Some(USER),
        run_as_group: Some(USER),
        fs_group: Some(USER),
        // Changing the owner of 100 GB of weights at every start takes minutes.
        fs_group_change_policy: Some("OnRootMismatch".to_owned()),
        seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".to_owned(), localhost_profile: None }),
        ..PodSecurityContext::default()
    }
}

fn container_security() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        read_only_root_filesystem: Some(true),
        capabilities: Some(Capabilities { add: None, drop: Some(vec!["ALL".to_owned()]) }),
        ..SecurityContext::default()
    }
}

/// Pods on nodes of their own, where there are some to spare.
fn spread(frame: &Frame<'_>) -> TopologySpreadConstraint {
    TopologySpreadConstraint {
        max_skew: 1,
        topology_key: "kubernetes.io/hostname".to_owned(),
        when_unsatisfiable: "ScheduleAnyway".to_owned(),
        label_selector: Some(LabelSelector { match_labels: Some(frame.selector()), ..LabelSelector::default() }),
        ..TopologySpreadConstraint::default()
    }
}

fn toleration(toleration: &accelerator::Toleration) -> Toleration {
    let accelerator::Toleration { key, operator, value, effect } = toleration.clone();
    Toleration { key, operator, value, effect, toleration_seconds: None }
}
