//! Accelerators by claims for devices: dynamic resource allocation, `resource.k8s.io/v1`.
//!
//! Source: <https://kubernetes.io/docs/concepts/scheduling-eviction/dynamic-resource-allocation/>, read 2026-11-25.

use k8s_openapi::api::core::v1::{PodResourceClaim, ResourceClaim as ContainerClaim};
use k8s_openapi::api::resource::v1::{
    CELDeviceSelector, DeviceClaim, DeviceRequest, DeviceSelector, ExactDeviceRequest, ResourceClaimSpec,
    ResourceClaimTemplate, ResourceClaimTemplateSpec,
};
use kube::ResourceExt as _;

use super::Frame;
use crate::backend::accelerator::AcceleratorRequest;
use crate::backend::name::digits;

/// The name of the claim within a pod, and of the request within a claim.
const NAME: &str = "accelerator";

/// Returns the template of the claims of a backend's pods. Its name follows its content, since what it says can never be changed: another
/// class or count is another template, and with it another revision of the pods.
pub(super) fn template(frame: &Frame<'_>) -> Option<ResourceClaimTemplate> {
    let (class, count) = frame.accelerator?;
    let AcceleratorRequest::Claim { device_class, selectors } = &class.request else { return None };
    let selector =
        |expression: &String| DeviceSelector { cel: Some(CELDeviceSelector { expression: expression.clone() }) };
    let exactly = ExactDeviceRequest {
        device_class_name: device_class.clone(),
        allocation_mode: Some("ExactCount".to_owned()),
        count: Some(count.into()),
        selectors: Some(selectors.iter().map(selector).collect()).filter(|selectors: &Vec<_>| !selectors.is_empty()),
        ..ExactDeviceRequest::default()
    };
    let request = DeviceRequest { name: NAME.to_owned(), exactly: Some(exactly), first_available: None };
    let devices = DeviceClaim { requests: Some(vec![request]), ..DeviceClaim::default() };
    let content = format!("{device_class}\n{count}\n{}", selectors.join("\n"));
    Some(ResourceClaimTemplate {
        metadata: frame.metadata(&format!("{}-{}", frame.name, digits(content.as_bytes()))),
        spec: ResourceClaimTemplateSpec { metadata: None, spec: ResourceClaimSpec { devices: Some(devices) } },
    })
}

/// Returns the claim of a pod.
pub(super) fn of_pod(template: &ResourceClaimTemplate) -> PodResourceClaim {
    PodResourceClaim {
        name: NAME.to_owned(),
        resource_claim_template_name: Some(template.name_any()),
        ..PodResourceClaim::default()
    }
}

/// Returns what a container uses of the claims of its pod.
pub(super) fn of_container() -> ContainerClaim {
    ContainerClaim { name: NAME.to_owned(), request: None }
}
