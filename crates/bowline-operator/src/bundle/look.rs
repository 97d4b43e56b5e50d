use std::sync::Arc;
use std::time::Duration;

use bowline_crd::condition::{EVALUATED, VERIFIED};
use bowline_crd::{PromptBundle, PromptBundleStatus};
use bowline_server::Client as Control;
use bowline_store::Fence;
use bowline_types::{Digest, ProjectName};
use kube::runtime::controller::Action;
use kube::{Resource as _, ResourceExt as _};
use tokio::time::Instant;
use tracing::warn;

use super::fetch::Source;
use super::memory::{Facts, Resolved};
use super::reconcile::{RETRY_WAIT_MAX, STALLED_LOOK, backoff};
use super::release::{Releaser, Setback, words};
use super::write::write;
use super::{status, verify};
use crate::apply::apply_status;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::event::Reason;
use crate::projection::view::View;
use crate::{backend, freeze, key};

/// How often a bundle whose digest is pinned is looked at, for what it depends on.
const PINNED_LOOK: Duration = Duration::from_secs(600);
/// The longest wait between two looks at a bundle that is not signed or tested as asked for: a signature may come after the bundle.
const UNVERIFIED_LOOK_MAX: Duration = Duration::from_secs(900);

/// One look at one PromptBundle.
pub(super) struct Look<'a> {
    context: &'a Context,
    bundle: &'a PromptBundle,
    namespace: &'a str,
    project: &'a ProjectName,
    generation: i64,
    /// The status as it is to be.
    status: PromptBundleStatus,
    /// The status as it is there.
    written: PromptBundleStatus,
    /// The version of the object that it is written over.
    version: Option<String>,
    facts: Option<Arc<Facts>>,
    view: Option<Arc<View>>,
}

// === impl Look ===

impl<'a> Look<'a> {
    /// Begins with what is remembered.
    pub(super) fn new(
        context: &'a Context,
        bundle: &'a PromptBundle,
        namespace: &'a str,
        project: &'a ProjectName,
    ) -> Self {
        let written = bundle.status.clone().unwrap_or_default();
        Self {
            context,
            bundle,
            namespace,
            project,
            generation: bundle.metadata.generation.unwrap_or_default(),
            version: bundle.resource_version(),
            facts: written.digest.and_then(|digest| context.bundles.of(bundle)?.facts(digest)),
            view: context.projections.view(namespace),
            status: written.clone(),
            written,
        }
    }

    /// Goes as far as it can, and says in the status how far that is.
    pub(super) async fn run(mut self, siblings: &[Arc<PromptBundle>]) -> Result<Action> {
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
        write(self.context, self.bundle, &self.written, wanted, self.version.as_deref()).await?;
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
        self.recall().await?;
        let is_released = status::is_released(spec, &self.status, Some(digest));
        if is_released && self.facts.as_ref().is_some_and(|facts| facts.bundle == digest) {
            return Ok(());
        }
        let delivery = source.fetch(digest).await?;
        let keys = verify::keys(self.context, self.namespace, &spec.verification.signers).await?;
        let facts = verify::judge(&delivery, self.project, spec, &keys, self.context);
        // What was released was verified then; whether it would be today is no reason to say otherwise.
        if is_released {
            self.context.backends.config(self.namespace).await.found(&delivery.bundle.config.project_file);
        }
        let facts = match facts {
            Err(_) if is_released => return Ok(()),
            facts => Arc::new(facts?),
        };
        self.status.commit.clone_from(&facts.commit);
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
        // Where the control role has seen a larger number, the object was restored to what it was before.
        let holder = self.bundle.uid().unwrap_or_default();
        let seen = self.view.as_ref().map_or(0, |view| view.revision(&holder));
        let seen = i64::try_from(seen).unwrap_or(i64::MAX - 1);
        if status::is_taken_up(&self.status, self.generation, digest) && seen <= self.status.revision {
            return Ok(());
        }
        self.status.digest = Some(digest);
        self.status.observed_generation = Some(self.generation);
        self.status.project = Some(self.project.clone());
        self.status.commit = None;
        self.status.revision = self.status.revision.max(seen) + 1;
        // What was found out about another manifest says nothing about this one.
        self.facts = None;
        self.status.conditions.retain(|known| !matches!(known.type_.as_str(), VERIFIED | EVALUATED));
        let setback = Setback::later("Fetching", format!("bundle {} is fetched and verified", digest.short()));
        status::conclude(self.bundle, &mut self.status, Some(&setback), (None, None), self.context.now());
        let api = self.context.api::<PromptBundle>(self.namespace);
        let name = self.bundle.name_any();
        let written =
            apply_status(&api, &name, &self.status, self.version.as_deref()).await.map_err(Setback::Failed)?;
        self.version = written.resource_version();
        self.written = self.status.clone();
        Ok(())
    }

    /// Forgets releases that the control role has forgotten, so that they are made again.
    async fn recall(&mut self) -> Result<(), Setback> {
        let holder = self.bundle.uid().unwrap_or_default();
        let has_lost = |status: &PromptBundleStatus, view: &View| {
            status.environments.iter().any(|released| status::is_lost(released, view, &holder))
        };
        if !self.view.as_ref().is_some_and(|view| has_lost(&self.status, view)) {
            return Ok(());
        }
        // What was seen last may be from before the release.
        let control = self.context.control(self.project).ok_or_else(no_control)?;
        self.see(&control).await?;
        let Some(view) = self.view.clone() else { return Ok(()) };
        for released in &mut self.status.environments {
            if status::is_lost(released, &view, &holder) {
                let environment = released.name.as_str();
                warn!(
                    namespace = self.namespace,
                    environment, "the control role has forgotten a release; it is made again"
                );
                released.digest = None;
                released.revision = None;
            }
        }
        Ok(())
    }

    /// Asks the control role for what is not released yet. Nothing is asked for while an environment is frozen.
    async fn release(&mut self, delivery: &bowline_delivery::Delivery, digest: Digest) -> Result<(), Setback> {
        let control = self.context.control(self.project).ok_or_else(no_control)?;
        let reference = self.bundle.object_ref(&());
        self.see(&control).await?;
        let revision = u64::try_from(self.status.revision).unwrap_or_default();
        if self.view.as_ref().is_some_and(|view| view.revision(&self.bundle.uid().unwrap_or_default()) > revision) {
            return Err(Setback::later(
                "Fenced",
                "the control role has seen a later manifest of this object; it is taken up again",
            ));
        }
        // Until it is released nobody else tells the control role where providers are.
        let mut config = self.context.backends.config(self.namespace).await;
        let releaser = Releaser {
            control: &control,
            actor: format!("PromptBundle {}/{}", self.namespace, self.bundle.name_any()),
            endpoints: backend::endpoints(self.context, self.namespace).await.map_err(Setback::Failed)?,
            fence: Fence { holder: self.bundle.uid().unwrap_or_default(), revision },
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
            let base = &delivery.bundle.config.project_file;
            config.released(base, &backend::merge(base.clone(), &releaser.endpoints));
            if let Some(note) = words(name, &results) {
                let note = format!("bundle {}: {note}", digest.short());
                self.context.events.tell(&reference, Reason::Released, note).await;
            }
            let mut done = status::environment(name, Some(digest), None, None, None);
            done.revision = Some(self.status.revision);
            self.status.environments.retain(|known| known.name != *name);
            self.status.environments.push(done);
        }
        drop(config);
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
