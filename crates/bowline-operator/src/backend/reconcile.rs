use std::sync::Arc;
use std::time::Duration;

use bowline_crd::{ModelBackend, ModelBackendStatus};
use bowline_types::{ProjectName, chain};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _};
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Api, ListParams, PartialObjectMeta};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::controller::{Action, Controller};
use kube::runtime::reflector::{Store, store};
use kube::runtime::utils::predicates;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Resource as _, ResourceExt as _};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::configure::{configure, inference, rival};
use super::endpoint::{EndpointError, address};
use super::render::BACKEND_LABEL;
use super::serve::{Served, Server};
use super::{credential, scaler, status};
use crate::apply::apply_status;
use crate::bundle::{Setback, backoff};
use crate::context::{Context, PAGE_OBJECTS_MAX, Scope};
use crate::error::{Error, Result};
use crate::event::Reason;
use crate::metrics::KindLabel;
use crate::project::Answer;

/// How often a backend is looked at for what is not watched: Secrets, namespaces, InferenceServices.
const LOOK: Duration = Duration::from_secs(60);
/// How often while nothing is released yet, or an InferenceService has no address.
const PENDING_LOOK: Duration = Duration::from_secs(5);
/// The wait after a conflict.
const CONFLICT_WAIT: Duration = Duration::from_millis(100);
/// The longest wait after a failure.
const RETRY_WAIT_MAX: Duration = Duration::from_secs(60);
/// The label of this controller's metrics.
const KIND: KindLabel = KindLabel { kind: "ModelBackend" };

/// What reconciles are handed.
struct Reconciler {
    context: Arc<Context>,
    backends: Store<ModelBackend>,
    failures: std::sync::Mutex<std::collections::BTreeMap<String, u32>>,
}

/// What was found of a backend.
#[derive(Default)]
struct Found {
    endpoint: Option<String>,
    served: Option<Served>,
}

/// Reconciles the ModelBackends of a scope until told to stop, and scales those that may be at zero.
pub(crate) async fn run(context: Arc<Context>, scope: Scope, stop: CancellationToken) {
    let (backends, writer) = store();
    let config = watcher::Config::default().page_size(PAGE_OBJECTS_MAX);
    let seen = Arc::clone(&context);
    let watched = watcher(scope.api::<ModelBackend>(&context.client), config.clone())
        .default_backoff()
        .modify(|backend| backend.metadata.managed_fields = None)
        .inspect(move |event| match event {
            Ok(Event::Delete(backend)) => {
                seen.backends.applied_forget(&backend.uid().unwrap_or_default());
                seen.backends.left(&backend.namespace().unwrap_or_default());
            }
            Ok(_) => {}
            Err(error) => debug!(error = chain(error), "ModelBackends cannot be watched now"),
        })
        .reflect(writer)
        .applied_objects()
        .predicate_filter(predicates::generation, Default::default());
    // Of Deployments only who they belong to is kept.
    let deployments =
        watcher(deployments(&scope, &context), config.labels(BACKEND_LABEL)).default_backoff().touched_objects();
    let failures = std::sync::Mutex::default();
    let reconciler = Arc::new(Reconciler { context: Arc::clone(&context), backends: backends.clone(), failures });
    let reconciling = Controller::for_stream(watched, backends.clone())
        .owns_stream(deployments)
        .run(reconcile, retry, reconciler)
        .take_until(stop.clone().cancelled_owned())
        .for_each(|done| async move {
            if let Err(error) = done {
                debug!(error = chain(&error), "a ModelBackend is looked at again");
            }
        });
    tokio::join!(reconciling, scaler::run(context, backends, stop));
}

fn deployments(scope: &Scope, context: &Context) -> Api<PartialObjectMeta<Deployment>> {
    match scope {
        Scope::Cluster => Api::all(context.client.clone()),
        Scope::Namespace(namespace) => Api::namespaced(context.client.clone(), namespace),
    }
}

/// Takes away what backends gave that are not there any more, until told to stop; at the beginning too, as nobody may have seen them go.
pub(crate) async fn sweep(context: Arc<Context>, stop: CancellationToken) {
    loop {
        if let Err(error) = swept(&context).await {
            debug!(error = chain(&error), "what ModelBackends left could not be taken away yet");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = context.backends.leaving() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

async fn swept(context: &Context) -> Result<()> {
    let mut present = Vec::new();
    for scope in context.scopes() {
        let listed = scope.api::<ModelBackend>(&context.client).list_metadata(&ListParams::default()).await;
        // Without the kind nobody can say which there are.
        let listed = listed.map_err(Error::kubernetes("list ModelBackends"))?;
        present
            .extend(listed.items.iter().map(|backend| (backend.namespace().unwrap_or_default(), backend.name_any())));
    }
    credential::sweep(context, &present).await?;
    for namespace in context.backends.left_take() {
        let Answer::Project(project) = context.projects.of(&context.client, &namespace).await? else { continue };
        match configure(context, &namespace, &project, None).await {
            Err(Setback::Failed(error)) => return Err(error),
            // The next release says the same.
            Err(setback) => debug!(?setback, namespace, "an endpoint is not taken away yet"),
            Ok(()) => {}
        }
    }
    Ok(())
}

fn retry(backend: Arc<ModelBackend>, error: &Error, reconciler: Arc<Reconciler>) -> Action {
    reconciler.context.metrics.errors.get_or_create(&KIND).inc();
    if error.status() == Some(409) {
        return Action::requeue(CONFLICT_WAIT);
    }
    let (namespace, name) = (backend.namespace().unwrap_or_default(), backend.name_any());
    if !error.is_gone() {
        warn!(namespace, name, error = chain(error), "a ModelBackend could not be reconciled");
    }
    Action::requeue(backoff(reconciler.failed(&backend), RETRY_WAIT_MAX))
}

// === impl Reconciler ===

impl Reconciler {
    fn failed(&self, backend: &ModelBackend) -> u32 {
        let mut failures = self.failures.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let count = failures.entry(backend.uid().unwrap_or_default()).or_default();
        *count = count.saturating_add(1);
        *count
    }

    fn succeeded(&self, backend: &ModelBackend) {
        let mut failures = self.failures.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        failures.remove(&backend.uid().unwrap_or_default());
    }
}

/// Boxed: it is large, and the compiler sees only so that it may move between threads.
fn reconcile(backend: Arc<ModelBackend>, reconciler: Arc<Reconciler>) -> BoxFuture<'static, Result<Action>> {
    reconciled(backend, reconciler).boxed()
}

async fn reconciled(backend: Arc<ModelBackend>, reconciler: Arc<Reconciler>) -> Result<Action> {
    let context = reconciler.context.as_ref();
    let namespace = backend.namespace().ok_or(Error::Incomplete { kind: "ModelBackend", field: "namespace" })?;
    context.metrics.reconciles.get_or_create(&KIND).inc();
    // The cache may lag behind what was written since.
    let api: Api<ModelBackend> = context.api(&namespace);
    let current = api.get_opt(&backend.name_any()).await;
    let current = current.map_err(Error::kubernetes(format!("read ModelBackend `{}`", backend.name_any())))?;
    let Some(current) = current.filter(|current| current.metadata.deletion_timestamp.is_none()) else {
        reconciler.succeeded(&backend);
        return Ok(Action::await_change());
    };
    let mut found = Found::default();
    let advanced = match context.projects.of(&context.client, &namespace).await? {
        Answer::Gone => return Ok(Action::await_change()),
        Answer::Refused(why) => Err(Setback::Stalled(why)),
        Answer::Project(project) => {
            let siblings = reconciler.backends.state();
            let siblings: Vec<_> = siblings.iter().map(Arc::as_ref).collect();
            advance(context, &current, (&namespace, &project), &siblings, &mut found).await
        }
    };
    let setback = match advanced {
        Ok(()) => None,
        Err(Setback::Failed(error)) => return Err(error),
        Err(setback) => Some(setback),
    };
    let wanted = status::conclude(&current, found.endpoint, found.served.as_ref(), setback.as_ref(), context.now());
    write(context, &api, &current, wanted).await?;
    reconciler.succeeded(&backend);
    Ok(Action::requeue(if matches!(setback, Some(Setback::Later(_))) { PENDING_LOOK } else { LOOK }))
}

/// From the spec to an endpoint that gateways know.
async fn advance(
    context: &Context,
    backend: &ModelBackend,
    (namespace, project): (&str, &ProjectName),
    siblings: &[&ModelBackend],
    found: &mut Found,
) -> Result<(), Setback> {
    if let Some(other) = rival(backend, siblings.iter().copied()) {
        let (provider, other) = (&backend.spec.provider, other.name_any());
        let message =
            format!("provider `{provider}` is that of ModelBackend `{other}`, which is older; delete one of the two");
        return Err(Setback::stalled("ProviderTaken", message));
    }
    let inference = inference(context, namespace, &backend.spec).await.map_err(Setback::Failed)?;
    let address = address(backend, namespace, inference.as_ref()).map_err(|error| match error {
        EndpointError::Pending { .. } => Setback::later("InferenceServicePending", error.to_string()),
        EndpointError::Refused { .. } => Setback::stalled("EndpointRefused", error.to_string()),
    })?;
    found.endpoint = Some(address.as_str().to_owned());
    credential::keep(context, backend, namespace).await?;
    found.served = Server { context, backend, namespace, project }.run().await?;
    configure(context, namespace, project, Some(backend.spec.provider.as_str())).await
}

/// Writes a status where it says something else than the one that is there, and tells what somebody must do.
async fn write(
    context: &Context,
    api: &Api<ModelBackend>,
    backend: &ModelBackend,
    wanted: ModelBackendStatus,
) -> Result<()> {
    let before = backend.status.clone().unwrap_or_default();
    if status::same(&before, &wanted) {
        return Ok(());
    }
    if let Some(note) = status::news(&before, &wanted) {
        context.events.tell(&backend.object_ref(&()), Reason::BackendStalled, note).await;
    }
    apply_status(api, &backend.name_any(), &wanted, None).await?;
    context.metrics.writes.get_or_create(&KIND).inc();
    Ok(())
}
