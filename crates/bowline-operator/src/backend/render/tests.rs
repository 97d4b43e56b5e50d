use std::fs;
use std::path::Path;

use bowline_prompt::yaml;
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::{Value, json};

use super::*;

const CLASSES: &str = "
nvidia-l4:
  resource: nvidia.com/gpu
  nodeSelector: { nvidia.com/gpu.product: NVIDIA-L4 }
  tolerations: [{ key: nvidia.com/gpu, operator: Exists, effect: NoSchedule }]
amd-mi300x:
  resource: amd.com/gpu
  nodeSelector: { amd.com/gpu.product-name: AMD_Instinct_MI300X_OAM }
tpu-v5e-8:
  resource: google.com/tpu
  nodeSelector:
    cloud.google.com/gke-tpu-accelerator: tpu-v5-lite-podslice
    cloud.google.com/gke-tpu-topology: 2x4
aws-inferentia2:
  resource: aws.amazon.com/neuron
  nodeSelector: { node.kubernetes.io/instance-type: inf2.24xlarge }
  tolerations: [{ key: aws.amazon.com/neuron, operator: Exists, effect: NoSchedule }]
nvidia-h100-claim:
  deviceClass: gpu.nvidia.com
  selectors: ['device.attributes[\"gpu.nvidia.com\"].productName == \"NVIDIA H100 80GB HBM3\"']
";

fn backend(spec: &Value) -> ModelBackend {
    let metadata = json!({"name": "llm", "namespace": "desk", "uid": "6f1c1f34-0000-4000-8000-000000000001"});
    let object =
        json!({"apiVersion": "bowline.dev/v1alpha1", "kind": "ModelBackend", "metadata": metadata, "spec": spec});
    serde_json::from_value(object).unwrap()
}

fn serve(serve: Value) -> Value {
    json!({"provider": "vllm", "serve": serve})
}

fn rendered(spec: &Value, keda: Option<KedaTrigger>) -> Result<Rendered, RenderError> {
    let classes = Accelerators::parse("accelerators.yaml", CLASSES).unwrap();
    let autoscaling = Autoscaling { project: "support.desk".to_owned(), keda };
    render(&backend(spec), &classes, 1, &autoscaling).map(|rendered| rendered.expect("it serves"))
}

/// Returns every object as one List, the form in which the step `api server` of `cargo xtask test` shows it to a real API server.
fn list(rendered: &Rendered) -> Value {
    let Rendered { deployment, service, cache, claims, autoscaler, scaled_object } = rendered;
    let scaled_object: Option<&DynamicObject> = scaled_object.as_ref();
    let items = [
        serde_json::to_value(deployment).ok(),
        serde_json::to_value(service).ok(),
        cache.as_ref().and_then(|object| serde_json::to_value(object).ok()),
        claims.as_ref().and_then(|object| serde_json::to_value(object).ok()),
        autoscaler.as_ref().and_then(|object| serde_json::to_value(object).ok()),
        scaled_object.and_then(|object| serde_json::to_value(object).ok()),
    ];
    json!({"apiVersion": "v1", "kind": "List", "items": items.into_iter().flatten().collect::<Vec<_>>()})
}

fn golden(name: &str, spec: Value) {
    golden_with(name, &serve(spec), None);
}

fn golden_with(name: &str, spec: &Value, keda: Option<KedaTrigger>) {
    keep(name, &list(&rendered(spec, keda).unwrap()));
}

fn keep(name: &str, list: &Value) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../../../manifests");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_json_snapshot!(name, list));
}

/// Returns the classes that an overlay of `deploy/overlays` brings.
fn classes_of(overlay: &str) -> Accelerators {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/overlays");
    let file = root.join(overlay).join("accelerators.yaml");
    let text = fs::read_to_string(&file).unwrap();
    let map: ConfigMap = yaml::decode(overlay, &yaml::parse(overlay, &text, 0).unwrap()).unwrap();
    Accelerators::parse(overlay, &map.data.unwrap()["accelerators.yaml"]).unwrap()
}

#[test]
fn golden_manifests() {
    golden("cpu", json!({"image": "registry.example/sim:1", "args": ["--port=8000"], "memory": "1Gi"}));
    golden(
        "nvidia",
        json!({"image": "vllm/vllm-openai:v0.11.0", "args": ["--model=$(MODEL)"], "model": "hf://Qwen/Qwen3-8B",
               "accelerator": "nvidia-l4", "acceleratorCount": 1, "memory": "24Gi", "cache": "50Gi", "scale": {"min": 0}}),
    );
    golden(
        "amd",
        json!({"image": "rocm/vllm:latest", "model": "pvc://weights/qwen", "accelerator": "amd-mi300x", "acceleratorCount": 8}),
    );
    golden(
        "tpu",
        json!({"image": "vllm/vllm-tpu:v0.11.0", "model": "gs://weights/qwen", "accelerator": "tpu-v5e-8", "acceleratorCount": 8}),
    );
    golden(
        "neuron",
        json!({"image": "registry.example/neuron:1", "model": "s3://weights/qwen", "accelerator": "aws-inferentia2",
               "acceleratorCount": 6}),
    );
    golden(
        "claim",
        json!({"image": "vllm/vllm-openai:v0.11.0", "model": "oci://registry.example/weights/qwen:72b",
               "accelerator": "nvidia-h100-claim", "acceleratorCount": 4, "cache": "300Gi", "scale": {"min": 1, "max": 4}}),
    );
}

/// What differs by class is the pod, and the claim of those that are claimed: one of each for every class of every overlay.
#[test]
fn golden_manifests_of_overlays() {
    for overlay in ["aks", "eks", "gke", "onprem"] {
        let classes = classes_of(overlay);
        let mut items = Vec::new();
        for name in classes.names() {
            let count = classes.get(name).and_then(AcceleratorClass::count_only).unwrap_or(2);
            let spec =
                serve(json!({"image": "registry.example/vllm:0.11", "accelerator": name, "acceleratorCount": count}));
            let mut backend = backend(&spec);
            backend.metadata.name = Some(name.to_owned());
            let autoscaling = Autoscaling { project: "support.desk".to_owned(), keda: None };
            let rendered = render(&backend, &classes, 1, &autoscaling).unwrap().unwrap();
            items.push(serde_json::to_value(&rendered.deployment).unwrap());
            items.extend(rendered.claims.map(|claims| serde_json::to_value(claims).unwrap()));
        }
        assert!(items.len() > 1, "{overlay} has {} classes", items.len());
        keep(&format!("overlay-{overlay}"), &json!({"apiVersion": "v1", "kind": "List", "items": items}));
    }
}

#[test]
fn golden_manifests_of_keda() {
    let spec = serve(json!({"image": "x", "scale": {"min": 0, "max": 3, "tokensInFlight": 8000, "idleAfter": "5m"}}));
    let gateways = KedaTrigger::Gateways("http://bowline-gateway-admin.bowline-system:7083".to_owned());
    golden_with("keda", &spec, Some(gateways));
    let prometheus = KedaTrigger::Prometheus("http://prometheus.monitoring:9090".to_owned());
    golden_with("keda-prometheus", &spec, Some(prometheus));
}

#[test]
fn a_credential_is_asked_for_and_never_written() {
    let spec = json!({"provider": "vllm", "apiKey": {"name": "llm", "key": "token"}, "serve": {"image": "x"}});
    let deployment = serde_json::to_value(rendered(&spec, None).unwrap().deployment).unwrap();
    let variables = deployment.pointer("/spec/template/spec/containers/0/env").unwrap().as_array().unwrap();
    let key = variables.iter().find(|variable| variable["name"] == "API_KEY").unwrap();
    assert_eq!(key["valueFrom"]["secretKeyRef"], json!({"name": "llm", "key": "token"}));
}

#[test]
fn never_two_scalers() {
    let keda = || KedaTrigger::Prometheus("http://p:9090".to_owned());
    let check = |scale: Value, keda: Option<KedaTrigger>, expected: (bool, bool)| {
        let rendered = rendered(&serve(json!({"image": "x", "scale": scale})), keda).unwrap();
        assert_eq!((rendered.autoscaler.is_some(), rendered.scaled_object.is_some()), expected, "{scale}");
    };
    check(json!({}), None, (false, false));
    check(json!({}), Some(keda()), (false, false));
    // From and to zero the operator scales by itself, where KEDA is not there.
    check(json!({"min": 0, "max": 1}), None, (false, false));
    check(json!({"min": 0, "max": 1}), Some(keda()), (false, true));
    check(json!({"min": 0, "max": 4}), None, (true, false));
    check(json!({"min": 2, "max": 4}), None, (true, false));
    check(json!({"min": 2, "max": 4}), Some(keda()), (false, true));
}

#[test]
fn what_is_wrong_is_said_with_what_there_is() {
    let check = |spec: Value, expected: &str| {
        assert_eq!(rendered(&serve(spec), None).unwrap_err().to_string(), expected);
    };
    check(
        json!({"image": "x", "accelerator": "h200", "acceleratorCount": 1}),
        "there is no class `h200` of accelerators; there are `amd-mi300x`, `aws-inferentia2`, `nvidia-h100-claim`, `nvidia-l4`, `tpu-v5e-8`",
    );
    check(
        json!({"image": "x", "accelerator": "tpu-v5e-8", "acceleratorCount": 4}),
        "a pod takes 8 of class `tpu-v5e-8`, not 4, as they belong together; set `acceleratorCount: 8`",
    );
    let none = render(
        &backend(&serve(json!({"image": "x", "accelerator": "l4", "acceleratorCount": 1}))),
        &Accelerators::default(),
        1,
        &Autoscaling { project: "p".to_owned(), keda: None },
    );
    let expected = "there is no class `l4` of accelerators; the cluster has none: they are in `accelerators` of the chart's values";
    assert_eq!(none.unwrap_err().to_string(), expected);
}

#[test]
fn a_backend_that_is_elsewhere_needs_nothing_here() {
    let elsewhere = backend(&json!({"provider": "p", "endpoint": {"url": "https://llm.example/v1"}}));
    let autoscaling = Autoscaling { project: "p".to_owned(), keda: None };
    assert_eq!(render(&elsewhere, &Accelerators::default(), 1, &autoscaling), Ok(None));
}
