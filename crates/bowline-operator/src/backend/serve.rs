//! The objects of a model server in the cluster: applied, looked at, and taken away where they are asked for no longer.

use std::fmt::Debug;

use bowline_crd::{ModelBackend, Serve};
use bowline_types::{Digest, ProjectName, chain};
use k8s_openapi::api::apps::v1::{Deployment, DeploymentStatus};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Service};
use k8s_openapi::api::resource::v1::ResourceClaimTemplate;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, Preconditions};
use kube::core::NamespaceResourceScope;
use kube::{Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::name::served_object;
use super::render::{Autoscaling, BACKEND_LABEL, RenderError, Rendered, render, scaled_object_resource};
use super::scale::wanted;
use crate::apply::{apply, merge};
use crate::bundle::Setback;
use crate::context::Context;
use crate::error::{Error, Result};

/// How the pods of a backend are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Served {
    /// How many there are to be.
    pub(super) wanted: i32,
    /// How many are ready.
    pub(super) ready: i32,
    /// Whether every one is of the present spec.
    pub(super) current: bool,
    /// Why no progress is made any more.
    pub(super) stuck: Option<String>,
}

/// Who asks for the objects of a backend.
pub(super) struct Server<'a> {
    pub(super) context: &'a Context,
    pub(super) backend: &'a ModelBackend,
    pub(super) namespace: &'a str,
    pub(super) project: &'a ProjectName,
}

/// Returns whether KEDA scales backends here. It is asked for now and then, as it may be installed at any time.
///
/// # Errors
/// The API server cannot be asked.
pub(super) async fn has_keda(context: &Context) -> Result<bool> {
    if let Some(known) = context.backends.keda() {
        return Ok(known);
    }
    let resource = scaled_object_resource();
    let asked = context.client.list_api_group_resources(&resource.api_version).await;
    let found = match asked {
        Ok(found) => found.resources.iter().any(|found| found.name == resource.plural),
        Err(error) if crate::error::status(&error) == Some(404) => false,
        Err(error) => return Err(Error::kubernetes("ask whether KEDA is there")(error)),
    };
    context.backends.keda_set(found);
    Ok(found)
}

// === impl Server ===

impl Server<'_> {
    /// Brings the objects to what the spec asks for, and says how the pods are; `None` where it asks for none.
    ///
    /// # Errors
    /// The spec cannot be served here, or the API server refuses.
    pub(super) async fn run(&self) -> Result<Option<Served>, Setback> {
        let context = self.context;
        let uid = self.backend.uid().unwrap_or_default();
        let Some(serve) = &self.backend.spec.serve else {
            self.prune(None).await.map_err(Setback::Failed)?;
            return Ok(None);
        };
        let keda = has_keda(context).await.map_err(Setback::Failed)?;
        let trigger = || context.options.backends.keda_trigger(&context.options.system_namespace);
        let autoscaling = Autoscaling { project: self.project.to_string(), keda: keda.then(trigger) };
        let count = wanted(serve);
        if serve.replicas.is_none() {
            self.begin(count).await?;
        }
        let rendered = render(self.backend, &context.options.backends.accelerators, count, &autoscaling);
        let Some(rendered) = rendered.map_err(refused)? else { return Ok(None) };
        let content = Digest::of(contents(&rendered).as_bytes());
        let found = self.deployment(&rendered).await?;
        if found.is_none() || !context.backends.is_applied(&uid, content) {
            self.apply(&rendered).await?;
            self.prune(Some(&rendered)).await.map_err(Setback::Failed)?;
            context.backends.applied(&uid, content);
        }
        let found = self.deployment(&rendered).await?;
        Ok(Some(Served::of(serve, found.as_ref())))
    }

    /// Writes how many pods there are to be first: `/scale` of an object that does not say it is an error, and no autoscaler goes on from there.
    async fn begin(&self, count: i32) -> Result<(), Setback> {
        let change = json!({
            "metadata": { "resourceVersion": self.backend.resource_version() },
            "spec": { "serve": { "replicas": count } },
        });
        let api = self.context.api::<ModelBackend>(self.namespace);
        match merge(&api, &self.backend.name_any(), &change).await {
            // It was changed meanwhile, and is looked at again.
            Err(error) if error.status() == Some(409) || error.is_gone() => Ok(()),
            written => written.map(drop).map_err(Setback::Failed),
        }
    }

    /// Returns the Deployment. One that somebody else has is a reason to stop, as for every other object of that name.
    async fn deployment(&self, rendered: &Rendered) -> Result<Option<Deployment>, Setback> {
        self.own(&rendered.deployment).await
    }

    async fn apply(&self, rendered: &Rendered) -> Result<(), Setback> {
        let Rendered { deployment, service, cache, claims, autoscaler, scaled_object } = rendered;
        // What pods need before them.
        if let Some(claims) = claims {
            self.put(claims).await?;
        }
        if let Some(cache) = cache {
            self.put(cache).await?;
        }
        self.put(service).await?;
        self.put(deployment).await?;
        if let Some(autoscaler) = autoscaler {
            self.put(autoscaler).await?;
        }
        if let Some(object) = scaled_object {
            let resource = scaled_object_resource();
            let api = Api::<DynamicObject>::namespaced_with(self.context.client.clone(), self.namespace, &resource);
            let params = PatchParams::apply(bowline_crd::FIELD_MANAGER).force();
            let put = api.patch(&object.name_any(), &params, &Patch::Apply(object)).await;
            put.map_err(Error::kubernetes(format!("apply ScaledObject `{}`", object.name_any()))).map_err(setback)?;
        }
        Ok(())
    }

    async fn put<K>(&self, object: &K) -> Result<(), Setback>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Serialize + DeserializeOwned + Clone + Debug,
    {
        self.own(object).await?;
        apply(&self.context.api::<K>(self.namespace), object).await.map(drop).map_err(setback)
    }

    /// Returns the object of that name, where it is there and the backend's own.
    async fn own<K>(&self, object: &K) -> Result<Option<K>, Setback>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + DeserializeOwned + Clone + Debug,
    {
        let (kind, name) = (K::kind(&()), object.name_any());
        let found = self.context.api::<K>(self.namespace).get_opt(&name).await;
        let found = found.map_err(Error::kubernetes(format!("read {kind} `{name}`"))).map_err(Setback::Failed)?;
        match found {
            Some(found) if !self.is_own(&found) => {
                let message = format!(
                    "{kind} `{name}` is there and was not made for this ModelBackend; delete it, or give the ModelBackend another name"
                );
                Err(Setback::stalled("NameTaken", message))
            }
            found => Ok(found),
        }
    }

    fn is_own<K: Resource>(&self, object: &K) -> bool {
        let uid = self.backend.uid().unwrap_or_default();
        object.owner_references().iter().any(|owner| owner.uid == uid)
    }

    /// Takes away what is asked for no longer.
    async fn prune(&self, rendered: Option<&Rendered>) -> Result<()> {
        let name = |object: Option<String>| object.into_iter().collect::<Vec<_>>();
        self.prune_kind::<Deployment>(&name(rendered.map(|all| all.deployment.name_any()))).await?;
        self.prune_kind::<Service>(&name(rendered.map(|all| all.service.name_any()))).await?;
        let cache = rendered.and_then(|all| all.cache.as_ref());
        self.prune_kind::<PersistentVolumeClaim>(&name(cache.map(|object| object.name_any()))).await?;
        let claims = rendered.and_then(|all| all.claims.as_ref());
        self.prune_kind::<ResourceClaimTemplate>(&name(claims.map(|object| object.name_any()))).await?;
        let autoscaler = rendered.and_then(|all| all.autoscaler.as_ref());
        self.prune_kind::<HorizontalPodAutoscaler>(&name(autoscaler.map(|object| object.name_any()))).await?;
        let is_scaled = rendered.is_some_and(|all| all.scaled_object.is_some());
        if is_scaled || !has_keda(self.context).await? {
            return Ok(());
        }
        let resource = scaled_object_resource();
        let api = Api::<DynamicObject>::namespaced_with(self.context.client.clone(), self.namespace, &resource);
        self.prune_from(&api, "ScaledObject", &[]).await
    }

    async fn prune_kind<K>(&self, kept: &[String]) -> Result<()>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + DeserializeOwned + Clone + Debug,
    {
        self.prune_from(&self.context.api::<K>(self.namespace), &K::kind(&()), kept).await
    }

    async fn prune_from<K>(&self, api: &Api<K>, kind: &str, kept: &[String]) -> Result<()>
    where
        K: Resource + DeserializeOwned + Clone + Debug,
    {
        let label = format!("{BACKEND_LABEL}={}", served_object(&self.backend.name_any()));
        let found = match api.list(&ListParams::default().labels(&label)).await {
            // A cluster may lack a kind, such as one without claims for devices.
            Err(error) if crate::error::status(&error) == Some(404) => return Ok(()),
            found => found.map_err(Error::kubernetes(format!("list {kind}s")))?,
        };
        for object in found {
            if !self.is_own(&object) || kept.contains(&object.name_any()) {
                continue;
            }
            let preconditions = Some(Preconditions { uid: object.uid(), resource_version: None });
            let params = DeleteParams { preconditions, ..DeleteParams::default() };
            match api.delete(&object.name_any(), &params).await {
                Err(error) if !matches!(crate::error::status(&error), Some(404 | 409)) => {
                    return Err(Error::kubernetes(format!("delete {kind} `{}`", object.name_any()))(error));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// What an API server refuses it will refuse again, until somebody changes something.
fn setback(error: Error) -> Setback {
    match error.status() {
        Some(400 | 403 | 422) if !error.is_gone() => Setback::stalled("Refused", chain(&error)),
        _ => Setback::Failed(error),
    }
}

fn refused(error: RenderError) -> Setback {
    let reason = match &error {
        RenderError::UnknownAccelerator { .. } => "UnknownAccelerator",
        RenderError::AcceleratorCount { .. } => "AcceleratorCount",
        RenderError::Model { .. } => "ModelInvalid",
    };
    Setback::stalled(reason, error.to_string())
}

fn contents(rendered: &Rendered) -> String {
    let Rendered { deployment, service, cache, claims, autoscaler, scaled_object } = rendered;
    serde_json::to_string(&(deployment, service, cache, claims, autoscaler, scaled_object)).unwrap_or_default()
}

// === impl Served ===

impl Served {
    fn of(serve: &Serve, deployment: Option<&Deployment>) -> Self {
        let wanted = wanted(serve);
        let Some(deployment) = deployment else { return Self { wanted, ..Self::default() } };
        let status = deployment.status.clone().unwrap_or_default();
        let DeploymentStatus { conditions, observed_generation, ready_replicas, updated_replicas, .. } = status;
        let is_stuck = |condition: &&k8s_openapi::api::apps::v1::DeploymentCondition| {
            condition.type_ == "Progressing" && condition.status == "False"
        };
        let conditions = conditions.unwrap_or_default();
        let stuck = conditions.iter().find(is_stuck);
        Self {
            wanted,
            ready: ready_replicas.unwrap_or(0),
            current: observed_generation >= deployment.metadata.generation
                && updated_replicas.unwrap_or(0) >= wanted
                && ready_replicas.unwrap_or(0) >= wanted,
            stuck: stuck.map(|condition| condition.message.clone().unwrap_or_default()),
        }
    }
}
