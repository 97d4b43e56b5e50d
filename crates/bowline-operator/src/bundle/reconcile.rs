use std::sync::Arc;
use std::time::Duration;

use bowline_crd::FINALIZER;
use bowline_crd::PromptBundle;
use bowline_types::chain;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, Stream, StreamExt as _};
use kube::ResourceExt as _;
use kube::api::Api;
use kube::runtime::controller::{Action, Controller};
use kube::runtime::reflector::{ObjectRef, Store, store};
use kube::runtime::utils::predicates;
use kube::runtime::watcher::{self, Event, watcher};
use kube::runtime::{Predicate as _, WatchStreamExt as _};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::look::Look;
use super::release::Setback;
use super::status;
use super::write::write;
use crate::context::{Context, PAGE_OBJECTS_MAX, Scope};
use crate::error::{Error, Result};
use crate::key;
use crate::metrics::KindLabel;
use crate::project::Answer;

/// How often one is looked at that somebody must do something about: Secrets and namespaces are not watched.
pub(super) const STALLED_LOOK: Duration = Duration::from_secs(60);
/// The wait after a conflict.
const CONFLICT_WAIT: Duration = Duration::from_millis(100);
/// The wait after a failure; it doubles up to [`RETRY_WAIT_MAX`].
const RETRY_WAIT: Duration = Duration::from_secs(2);
/// The longest such wait.
pub(super) const RETRY_WAIT_MAX: Duration = Duration::from_secs(120);
/// What reconciles are handed.
struct Reconciler {
    context: Arc<Context>,
    bundles: Store<PromptBundle>,
}

/// Reconciles the PromptBundles of a scope until told to stop.
pub(crate) async fn run(context: Arc<Context>, scope: Scope, stop: CancellationToken) {
    let (bundles, writer) = store();
    let config = watcher::Config::default().page_size(PAGE_OBJECTS_MAX);
    let (seen, strip) = (Arc::clone(&context), |bundle: &mut PromptBundle| {
        // Who wrote an annotation is read anew when it counts.
        bundle.metadata.managed_fields = None;
    });
    let watched = watcher(scope.api::<PromptBundle>(&context.client), config)
        .default_backoff()
        .modify(strip)
        .inspect(move |event| match event {
            Ok(Event::Delete(bundle)) => forget(&seen, bundle),
            Ok(Event::Apply(bundle) | Event::InitApply(bundle)) => seen.bundles.meet(bundle),
            Ok(Event::Init | Event::InitDone) => {}
            Err(error) => debug!(error = chain(error), "PromptBundles cannot be watched now"),
        })
        .reflect(writer)
        .applied_objects();
    let relevant = predicates::generation.combine(predicates::annotations).combine(predicates::finalizers);
    let watched = watched.predicate_filter(relevant, Default::default());
    let woken = woken(context.bundles.wakes(), bundles.clone());
    let reconciler = Arc::new(Reconciler { context: Arc::clone(&context), bundles: bundles.clone() });
    Controller::for_stream(watched, bundles)
        .reconcile_on(woken)
        .run(reconcile, retry, reconciler)
        // At once, and not gracefully, which would wait for every look that is due later. Each step may be the last one anyway.
        .take_until(stop.cancelled_owned())
        .for_each(|done| async move {
            if let Err(error) = done {
                debug!(error = chain(&error), "a PromptBundle is looked at again");
            }
        })
        .await;
}

/// Returns the bundles of namespaces in which something changed.
fn woken(
    wakes: broadcast::Receiver<String>,
    bundles: Store<PromptBundle>,
) -> impl Stream<Item = ObjectRef<PromptBundle>> + Send {
    let told = futures_util::stream::unfold(wakes, |mut wakes| async move {
        match wakes.recv().await {
            Ok(namespace) => Some((Some(namespace), wakes)),
            // More than fit: every one is looked at.
            Err(broadcast::error::RecvError::Lagged(_)) => Some((None, wakes)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    });
    told.flat_map(move |namespace| {
        let bundles = bundles.state().into_iter();
        let own = bundles.filter(move |bundle| namespace.is_none() || bundle.namespace() == namespace);
        futures_util::stream::iter(own.map(|bundle| ObjectRef::from_obj(bundle.as_ref())).collect::<Vec<_>>())
    })
}

fn forget(context: &Context, bundle: &PromptBundle) {
    let namespace = bundle.namespace().unwrap_or_default();
    if context.bundles.forget(&namespace, &bundle.name_any()) {
        // The others may have what this one had.
        context.bundles.wake(&namespace);
        context.projections.nudge(&namespace);
    } else {
        context.projections.leave(&namespace);
    }
}

fn retry(bundle: Arc<PromptBundle>, error: &Error, reconciler: Arc<Reconciler>) -> Action {
    let context = &reconciler.context;
    context.metrics.errors.get_or_create(&KindLabel { kind: "PromptBundle" }).inc();
    let mut failures = 0;
    context.bundles.change(&bundle, |known| {
        known.failures = known.failures.saturating_add(1);
        failures = known.failures;
    });
    // Another operator, or a person, was faster: that is read again at once, and is no news.
    if error.status() == Some(409) {
        return Action::requeue(CONFLICT_WAIT);
    }
    if !error.is_gone() {
        let (namespace, name) = (bundle.namespace().unwrap_or_default(), bundle.name_any());
        warn!(namespace, name, error = chain(error), "a PromptBundle could not be reconciled");
    }
    Action::requeue(backoff(failures, RETRY_WAIT_MAX))
}

pub(crate) fn backoff(failures: u32, longest: Duration) -> Duration {
    RETRY_WAIT.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(longest)
}

/// Boxed: it is large, and the compiler sees only so that it may move between threads.
fn reconcile(bundle: Arc<PromptBundle>, reconciler: Arc<Reconciler>) -> BoxFuture<'static, Result<Action>> {
    reconciled(bundle, reconciler).boxed()
}

async fn reconciled(bundle: Arc<PromptBundle>, reconciler: Arc<Reconciler>) -> Result<Action> {
    let context = reconciler.context.as_ref();
    let namespace = bundle.namespace().ok_or(Error::Incomplete { kind: "PromptBundle", field: "namespace" })?;
    context.metrics.reconciles.get_or_create(&KindLabel { kind: "PromptBundle" }).inc();
    // The cache may lag behind what was written since; and conditions of before are what a status is made from.
    let api: Api<PromptBundle> = context.api(&namespace);
    let current = api.get_opt(&bundle.name_any()).await;
    let Some(current) = current.map_err(Error::kubernetes(format!("read PromptBundle `{}`", bundle.name_any())))?
    else {
        return Ok(Action::await_change());
    };
    let answer = context.projects.of(&context.client, &namespace).await?;
    if current.metadata.deletion_timestamp.is_some() {
        let project = match &answer {
            Answer::Project(project) => Some(project.clone()),
            Answer::Gone | Answer::Refused(_) => current.status.as_ref().and_then(|status| status.project.clone()),
        };
        return key::finalize(context, &current, project.as_ref()).await;
    }
    let generation = current.metadata.generation.unwrap_or_default();
    let before = current.status.clone().unwrap_or_default();
    let (project, refused) = match answer {
        Answer::Gone => return Ok(Action::await_change()),
        Answer::Project(project) => (Some(project), None),
        Answer::Refused(why) => (None, Some(Setback::Stalled(why))),
    };
    let Some(project) = project else {
        let mut refused_status = before.clone();
        refused_status.observed_generation = Some(generation);
        status::conclude(&current, &mut refused_status, refused.as_ref(), (None, None), context.now());
        write(context, &current, &before, refused_status, None).await?;
        return Ok(Action::requeue(STALLED_LOOK));
    };
    context.bundles.meet(&current);
    context.projections.want(&namespace, &project);
    Look::new(context, &current, &namespace, &project).run(&reconciler.bundles.state()).await
}

/// Returns whether a bundle holds the finalizer.
pub(crate) fn is_held(bundle: &PromptBundle) -> bool {
    bundle.finalizers().iter().any(|finalizer| finalizer == FINALIZER)
}
