use std::sync::Arc;
use std::time::Duration;

use bowline_crd::condition::{READY, VERIFIED};
use bowline_crd::{FINALIZER, PromptBundle, PromptBundleStatus};
use bowline_server::Client as Control;
use bowline_types::{Digest, ProjectName, chain};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, Stream, StreamExt as _};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::api::Api;
use kube::runtime::controller::{Action, Controller};
use kube::runtime::reflector::{ObjectRef, Store, store};
use kube::runtime::utils::predicates;
use kube::runtime::watcher::{self, Event, watcher};
use kube::runtime::{Predicate as _, WatchStreamExt as _};
use kube::{Resource as _, ResourceExt as _};
use tokio::sync::broadcast;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::fetch::Source;
use super::memory::{Facts, Resolved};
use super::release::{Releaser, Setback, words};
use super::{status, verify};
use crate::apply::apply_status;
use crate::condition::{find, holds};
use crate::context::{Context, PAGE_OBJECTS_MAX, Scope};
use crate::error::{Error, Result};
use crate::event::Reason;
use crate::metrics::KindLabel;
use crate::project::Answer;
use crate::projection::view::View;
use crate::{freeze, key};

/// How often a bundle whose digest is pinned is looked at, for what it depends on.
const PINNED_LOOK: Duration = Duration::from_secs(600);
/// How often one is looked at that somebody must do something about: Secrets and namespaces are not watched.
const STALLED_LOOK: Duration = Duration::from_secs(60);
/// The wait after a failure; it doubles up to [`RETRY_WAIT_MAX`].
const RETRY_WAIT: Duration = Duration::from_secs(2);
/// The longest such wait.
const RETRY_WAIT_MAX: Duration = Duration::from_secs(120);
/// The longest wait between two looks at a bundle that is not signed or tested as asked for: a signature may come after the bundle.
const UNVERIFIED_LOOK_MAX: Duration = Duration::from_secs(900);

/// What reconciles are handed.
struct Reconciler {
    context: Arc<Context>,
    bundles: Store<PromptBundle>,
}

/// One look at one PromptBundle.
struct Look<'a> {
    context: &'a Context,
    bundle: &'a PromptBundle,
    namespace: &'a str,
    project: &'a ProjectName,
    generation: i64,
    status: PromptBundleStatus,
    /// The version that the status is written over.
    version: Option<String>,
    facts: Option<Arc<Facts>>,
    view: Option<Arc<View>>,
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
    if !error.is_gone() {
        let (namespace, name) = (bundle.namespace().unwrap_or_default(), bundle.name_any());
        warn!(namespace, name, error = chain(error), "a PromptBundle could not be reconciled");
    }
    Action::requeue(backoff(failures, RETRY_WAIT_MAX))
}

fn backoff(failures: u32, longest: Duration) -> Duration {
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
    let siblings = reconciler.bundles.state();
    let mut look = Look {
        context,
        bundle: &current,
        namespace: &namespace,
        project: &project,
        generation,
        version: current.resource_version(),
        facts: before.digest.and_then(|digest| context.bundles.of(&current)?.facts(digest)),
        view: context.projections.view(&namespace),
        status: before.clone(),
    };
    look.run(&siblings, &before).await
}

// === impl Look ===

impl Look<'_> {
    /// Goes as far as it can, and says in the status how far that is.
    async fn run(&mut self, siblings: &[Arc<PromptBundle>], before: &PromptBundleStatus) -> Result<Action> {
        let advanced = self.advance(siblings).await;
        let setback = match advanced {
            Ok(()) => None,
            Err(Setback::Failed(error)) => return Err(error),
            Err(setback) => Some(setback),
        };
        let settled = match self.context.control(self.project) {
            Some(control) => self.settle(&control).await,
            None => Err(no_control()),
        };
        let setback = match settled {
            Ok(()) => setback,
            Err(Setback::Failed(error)) => return Err(error),
            Err(other) => setback.or(Some(other)),
        };
        let mut wanted = std::mem::take(&mut self.status);
        wanted.project = Some(self.project.clone());
        wanted.observed_generation = Some(self.generation);
        let names = self.bundle.spec.environments.iter();
        wanted.environments = names
            .map(|name| {
                let known = wanted.environments.iter().find(|known| known.name == *name);
                let digest = known.and_then(|known| known.digest);
                let facts = self.facts.as_deref().filter(|facts| Some(facts.bundle) == digest);
                status::environment(name, digest, facts, self.view.as_deref(), known)
            })
            .collect();
        let found = (self.facts.as_deref(), self.view.as_deref());
        status::conclude(self.bundle, &mut wanted, setback.as_ref(), found, self.context.now());
        let action = self.next(setback.as_ref());
        write(self.context, self.bundle, before, wanted, self.version.as_deref()).await?;
        Ok(action)
    }

    /// From the tag to releases.
    async fn advance(&mut self, siblings: &[Arc<PromptBundle>]) -> Result<(), Setback> {
        if self.bundle.spec.suspend {
            return Ok(());
        }
        if let Some((environment, other)) = status::taken(self.bundle, siblings.iter().map(Arc::as_ref)) {
            let message = format!(
                "environment `{environment}` is fed by PromptBundle `{other}`, which is older; take it out of one of the two"
            );
            return Err(Setback::stalled("EnvironmentTaken", message));
        }
        let spec = &self.bundle.spec;
        let source = Source::open(self.context, self.namespace, &spec.source).await?;
        let digest = self.resolve(&source).await?;
        self.take_up(digest).await?;
        let is_released = status::is_released(spec, &self.status, Some(digest));
        if is_released && self.facts.as_ref().is_some_and(|facts| facts.bundle == digest) {
            return Ok(());
        }
        let delivery = source.fetch(digest).await?;
        let keys = verify::keys(self.context, self.namespace, &spec.verification.signers).await?;
        let facts = verify::judge(&delivery, self.project, &spec.verification, &keys, self.context);
        // What was released was verified then; whether it would be today is no reason to say otherwise.
        let facts = match facts {
            Err(_) if is_released => return Ok(()),
            facts => Arc::new(facts?),
        };
        self.facts = Some(Arc::clone(&facts));
        self.context.bundles.facts_set(self.bundle, facts);
        self.release(&delivery, digest).await
    }

    /// Returns the digest that the source names. A tag is looked at as often as the spec says.
    async fn resolve(&self, source: &Source) -> Result<Digest, Setback> {
        let spec = &self.bundle.spec.source;
        if let Some(pinned) = spec.digest {
            return Ok(pinned);
        }
        let known = self.context.bundles.of(self.bundle);
        let fresh = known
            .and_then(|known| known.resolved)
            .filter(|resolved| resolved.generation == self.generation && resolved.at.elapsed() < spec.poll_interval);
        if let Some(fresh) = fresh {
            return Ok(fresh.digest);
        }
        let digest = source.resolve().await?;
        let resolved = Resolved { generation: self.generation, digest, at: Instant::now() };
        self.context.bundles.change(self.bundle, |known| known.resolved = Some(resolved));
        Ok(digest)
    }

    /// Notes that a manifest is taken up, under a number that is larger than all before, and before anything else is done with it. Another
    /// operator that does the same meets a conflict here, and an older one a refusal at the control role.
    async fn take_up(&mut self, digest: Digest) -> Result<(), Setback> {
        if status::is_taken_up(&self.status, self.generation, digest) {
            return Ok(());
        }
        self.status.digest = Some(digest);
        self.status.observed_generation = Some(self.generation);
        self.status.project = Some(self.project.clone());
        self.status.revision += 1;
        let setback = Setback::later("Fetching", format!("bundle {} is fetched and verified", digest.short()));
        status::conclude(self.bundle, &mut self.status, Some(&setback), (None, None), self.context.now());
        let api = self.context.api::<PromptBundle>(self.namespace);
        let name = self.bundle.name_any();
        let written =
            apply_status(&api, &name, &self.status, self.version.as_deref()).await.map_err(Setback::Failed)?;
        self.version = written.resource_version();
        Ok(())
    }

    /// Asks the control role for what is not released yet. Nothing is asked for while an environment is frozen.
    async fn release(&mut self, delivery: &bowline_delivery::Delivery, digest: Digest) -> Result<(), Setback> {
        let control = self.context.control(self.project).ok_or_else(no_control)?;
        let reference = self.bundle.object_ref(&());
        self.see(&control).await?;
        let releaser = Releaser {
            control: &control,
            actor: format!("PromptBundle {}/{}", self.namespace, self.bundle.name_any()),
            holder: self.bundle.uid().unwrap_or_default(),
            revision: self.status.revision,
        };
        for name in &self.bundle.spec.environments {
            if status::released(&self.status, name) == Some(digest) {
                continue;
            }
            let view = self.view.as_deref();
            let found = status::environment(name, None, None, view, None);
            if found.frozen.is_some() {
                continue;
            }
            let results = releaser.release(delivery, name).await?;
            if let Some(note) = words(name, &results) {
                let note = format!("bundle {}: {note}", digest.short());
                self.context.events.tell(&reference, Reason::Released, note).await;
            }
            let done = status::environment(name, Some(digest), None, None, None);
            self.status.environments.retain(|known| known.name != *name);
            self.status.environments.push(done);
        }
        self.see(&control).await?;
        self.context.projections.nudge(self.namespace);
        Ok(())
    }

    /// Does what does not depend on the bundle: freezes and keys.
    async fn settle(&mut self, control: &Control) -> Result<(), Setback> {
        if self.view.is_none() {
            self.see(control).await?;
        }
        if let Some(view) = self.view.clone()
            && freeze::reconcile(self.context, self.bundle, control, &view, &mut self.status)
                .await
                .map_err(Setback::from)?
        {
            self.see(control).await?;
            self.context.projections.nudge(self.namespace);
        }
        key::reconcile(self.context, self.bundle, control, &mut self.status, &mut self.version).await
    }

    async fn see(&mut self, control: &Control) -> Result<(), Setback> {
        let view = Arc::new(View::fetch(control, self.view.as_deref()).await.map_err(Setback::from)?);
        self.context.projections.saw(self.namespace, &view);
        self.view = Some(view);
        Ok(())
    }

    /// Returns when to look again.
    fn next(&self, setback: Option<&Setback>) -> Action {
        let poll = match self.bundle.spec.source.digest {
            Some(_) => PINNED_LOOK,
            None => self.bundle.spec.source.poll_interval,
        };
        let mut failures = 0;
        self.context.bundles.change(self.bundle, |known| {
            known.failures = if setback.is_some() { known.failures.saturating_add(1) } else { 0 };
            failures = known.failures;
        });
        let wait = match setback {
            None => poll,
            Some(Setback::Later(_) | Setback::Failed(_)) => backoff(failures, RETRY_WAIT_MAX),
            Some(Setback::Stalled(_)) => poll.min(STALLED_LOOK),
            Some(Setback::Unverified(_) | Setback::Unevaluated(_)) => backoff(failures, UNVERIFIED_LOOK_MAX).max(poll),
        };
        Action::requeue(wait.min(key::next(self.bundle, &self.status, self.context.now())))
    }
}

fn no_control() -> Setback {
    Setback::from(Error::NoControl)
}

/// Writes a status where it says something new, and tells what that is.
async fn write(
    context: &Context,
    bundle: &PromptBundle,
    before: &PromptBundleStatus,
    wanted: PromptBundleStatus,
    version: Option<&str>,
) -> Result<()> {
    let present = match bundle.resource_version().as_deref() == version {
        true => Some(before),
        false => None,
    };
    if version.is_some() && present.is_some_and(|present| status::same(present, &wanted))
        || version.is_none() && status::same(before, &wanted)
    {
        return Ok(());
    }
    let api = context.api::<PromptBundle>(&bundle.namespace().unwrap_or_default());
    for (reason, note) in news(before, &wanted) {
        let reference: ObjectReference = bundle.object_ref(&());
        context.events.tell(&reference, reason, note).await;
    }
    apply_status(&api, &bundle.name_any(), &wanted, version).await?;
    context.metrics.writes.get_or_create(&KindLabel { kind: "PromptBundle" }).inc();
    Ok(())
}

/// Returns what is told of a change of status.
fn news(before: &PromptBundleStatus, after: &PromptBundleStatus) -> Vec<(Reason, String)> {
    let mut news = Vec::new();
    if holds(&after.conditions, VERIFIED) && (!holds(&before.conditions, VERIFIED) || before.digest != after.digest) {
        let digest = after.digest.map(|digest| digest.short()).unwrap_or_default();
        let message = find(&after.conditions, VERIFIED).map(|verified| verified.message.clone()).unwrap_or_default();
        news.push((Reason::Verified, format!("bundle {digest}: {message}")));
    }
    let Some(ready) = find(&after.conditions, READY) else { return news };
    if find(&before.conditions, READY).is_some_and(|known| known.reason == ready.reason)
        && before.digest == after.digest
    {
        return news;
    }
    let reason = match ready.reason.as_str() {
        "VerificationFailed" | "EvaluationFailed" => Reason::VerificationFailed,
        "RegistryUnavailable" | "RegistryRefused" | "BundleNotFound" => Reason::RegistryUnavailable,
        "ProjectMismatch" | "ProjectTaken" | "ProjectMissing" => Reason::ProjectMismatch,
        "ControlUnavailable" => Reason::ControlUnavailable,
        "Held" | "RolloutHeld" => Reason::Held,
        "SecretTaken" => Reason::SecretTaken,
        _ if holds(&after.conditions, bowline_crd::condition::STALLED) => Reason::ReleaseRefused,
        _ => return news,
    };
    news.push((reason, ready.message.clone()));
    news
}

/// Returns whether a bundle holds the finalizer.
pub(crate) fn is_held(bundle: &PromptBundle) -> bool {
    bundle.finalizers().iter().any(|finalizer| finalizer == FINALIZER)
}
