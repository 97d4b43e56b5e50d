//! The endpoints of a namespace in the running configuration of its project: with every release, and whenever an endpoint is another one.

use bowline_crd::{ModelBackend, ModelBackendSpec};
use bowline_server::wire::ProjectList;
use bowline_types::{ProjectName, chain};
use kube::ResourceExt as _;
use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::core::GroupVersionKind;
use serde_json::Value;

use super::credential;
use super::endpoint::{Endpoint, address};
use super::merge::{declares, merge};
use crate::bundle::Setback;
use crate::context::Context;
use crate::error::{Error, Result};

/// Returns the endpoints of a namespace, as its objects say now. One that has none yet is left out, and is where the project says.
///
/// # Errors
/// The API server cannot be asked.
pub(crate) async fn endpoints(context: &Context, namespace: &str) -> Result<Vec<Endpoint>> {
    let listed = context.api::<ModelBackend>(namespace).list(&ListParams::default()).await;
    let backends = match listed {
        Ok(listed) => listed.items,
        // Where nobody has applied the kind there is none.
        Err(error) if crate::error::status(&error) == Some(404) => Vec::new(),
        Err(error) => return Err(Error::kubernetes("list ModelBackends")(error)),
    };
    let mut endpoints = Vec::new();
    for backend in &backends {
        if backend.metadata.deletion_timestamp.is_some() || rival(backend, &backends).is_some() {
            continue;
        }
        let inference = inference(context, namespace, &backend.spec).await?;
        if let Ok(base_url) = address(backend, namespace, inference.as_ref()) {
            endpoints.push(Endpoint {
                provider: backend.spec.provider.clone(),
                base_url,
                api_key: credential::reference(context, backend, namespace),
                starts: backend.spec.serve.is_some(),
            });
        }
    }
    Ok(endpoints)
}

/// Returns the other backend of the namespace that has the provider: the older one.
pub(super) fn rival<'a>(
    backend: &ModelBackend,
    others: impl IntoIterator<Item = &'a ModelBackend>,
) -> Option<&'a ModelBackend> {
    let age = |backend: &ModelBackend| (backend.creation_timestamp().map(|at| at.0), backend.name_any());
    let own = age(backend);
    let older = others.into_iter().filter(|other| {
        other.namespace() == backend.namespace()
            && other.spec.provider == backend.spec.provider
            && other.metadata.deletion_timestamp.is_none()
            && age(other) < own
    });
    older.min_by_key(|other| age(other))
}

/// Returns the InferenceService that a backend names; `None` where it names none, or one that is not there.
///
/// # Errors
/// The API server cannot be asked.
pub(super) async fn inference(context: &Context, namespace: &str, spec: &ModelBackendSpec) -> Result<Option<Value>> {
    let named = spec.endpoint.as_ref().and_then(|endpoint| endpoint.inference_service.as_ref());
    let Some(named) = named else { return Ok(None) };
    let kind = GroupVersionKind::gvk("serving.kserve.io", "v1beta1", "InferenceService");
    let resource = ApiResource::from_gvk_with_plural(&kind, "inferenceservices");
    let api = kube::Api::<DynamicObject>::namespaced_with(context.client.clone(), namespace, &resource);
    // Without KServe there is no such kind, which is the same answer.
    let found = api.get_opt(&named.name).await;
    let found = found.map_err(Error::kubernetes(format!("read InferenceService `{}`", named.name)))?;
    Ok(found.map(|found| found.data))
}

/// Has the control role know the endpoints of a namespace. `provider` is that of the backend that asks.
///
/// # Errors
/// No bundle is released, the project has no such provider, or the control role refuses or cannot be reached.
pub(super) async fn configure(
    context: &Context,
    namespace: &str,
    project: &ProjectName,
    provider: Option<&str>,
) -> Result<(), Setback> {
    let mut config = context.backends.config(namespace).await;
    let Some(base) = config.base().cloned() else {
        let message = "no PromptBundle of the namespace has released anything yet; the endpoint counts from then on";
        return Err(Setback::later("WaitingForBundle", message));
    };
    let endpoints = endpoints(context, namespace).await.map_err(Setback::Failed)?;
    let is_declared = provider.is_none_or(|provider| declares(&base, provider));
    let merged = merge(base, &endpoints);
    if !config.is_told(&merged) {
        let control = context.control(project).ok_or(Error::NoControl).map_err(Setback::from)?;
        let told = control.put::<ProjectList>("", &merged).await;
        told.map_err(|error| match error {
            bowline_server::ClientError::Refused { status: 400..=499, ref message, .. } => {
                Setback::stalled("ConfigurationRefused", message.clone())
            }
            other => Setback::later("ControlUnavailable", chain(&other)),
        })?;
        config.told(&merged);
    }
    if is_declared {
        return Ok(());
    }
    let message = format!(
        "`bowline.yaml` of project `{project}` has no provider `{}`; declare it under `providers`, with a model that uses it",
        provider.unwrap_or_default()
    );
    Err(Setback::stalled("ProviderUnknown", message))
}
