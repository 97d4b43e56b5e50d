//! The task of a namespace: waits for news of the control role, and projects them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bowline_server::Client as Control;
use bowline_types::{Digest, ProjectName, PromptName, chain};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Resource as _;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::known::{Entries, VersionSubject};
use super::view::{self, Origin, Origins, View, changed, origins};
use super::{Desired, Setting, Space, lever, locked, prompt, prune, rollout, version, write};
use crate::bundle::Facts;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::event::Reason;
use crate::metrics::KindLabel;
use bowline_crd::{Prompt, PromptRollout, PromptVersion, version_object};

/// How often a project is looked at although nothing was told.
const FALLBACK: Duration = Duration::from_secs(30);
/// How long the control role may wait with its answer while nothing changes, in seconds.
const CHANGES_WAIT_SECONDS: u64 = 25;
/// The least time between two projections of a namespace: what changes meanwhile is projected at once.
const INTERVAL_MIN: Duration = Duration::from_millis(250);
/// The wait after a failure; it doubles up to [`RETRY_WAIT_MAX`].
const RETRY_WAIT: Duration = Duration::from_millis(500);
/// The longest such wait: whatever else of the namespace waits for the control role is woken from here once that answers.
const RETRY_WAIT_MAX: Duration = Duration::from_secs(5);
/// Versions whose origin was looked for and not found, of one project; beyond it they are looked for again.
const UNKNOWN_MAX: usize = 4_096;
/// The kinds that are listed before the first projection.
const KINDS: usize = 3;

/// Projects every namespace that wants it, until told to stop.
pub(crate) async fn run(context: Arc<Context>, stop: CancellationToken) {
    let mut tasks = JoinSet::new();
    let mut running: BTreeMap<String, ProjectName> = BTreeMap::new();
    tokio::select! {
        () = context.projections.listed(KINDS * context.scopes().len()) => {}
        () = stop.cancelled() => return,
    }
    loop {
        let more = context.projections.more.notified();
        for (namespace, project) in context.projections.wanted() {
            if running.insert(namespace.clone(), project.clone()).as_ref() == Some(&project) {
                continue;
            }
            let projector = Projector::new(Arc::clone(&context), namespace, project);
            tasks.spawn(projector.run(stop.clone()));
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = more => {}
            Some(ended) = tasks.join_next() => if let Ok(namespace) = ended {
                running.remove(&namespace);
                context.projections.more.notify_one();
            },
        }
    }
    while tasks.join_next().await.is_some() {}
}

/// What projects one namespace.
struct Projector {
    context: Arc<Context>,
    namespace: String,
    project: ProjectName,
    space: Arc<Space>,
    origins: Origins,
    /// Versions that no bundle brought.
    unknown: BTreeSet<(PromptName, Digest)>,
    /// Where the control role was when it was asked last.
    at: u64,
}

/// Why a projector goes on.
enum Wake {
    Stop,
    Look,
    Failed(Error),
}

// === impl Projector ===

impl Projector {
    fn new(context: Arc<Context>, namespace: String, project: ProjectName) -> Self {
        let space = context.projections.space(&namespace);
        Self { context, namespace, project, space, origins: Origins::new(), unknown: BTreeSet::new(), at: 0 }
    }

    /// Projects until told to stop, or until nobody wants it any more.
    async fn run(mut self, stop: CancellationToken) -> String {
        let (mut wait, mut failing, mut is_away) = (RETRY_WAIT, false, false);
        while !stop.is_cancelled() && self.is_wanted() {
            let began = Instant::now();
            let projected = self.project().await;
            let outcome = match projected {
                Ok(()) => {
                    if std::mem::take(&mut is_away) {
                        // What bundles asked for in vain they would ask for again after a wait that has become long.
                        self.context.bundles.wake(&self.namespace);
                    }
                    // News that come while it was written are not waited for.
                    self.wait(&stop).await
                }
                Err(error) => Wake::Failed(error),
            };
            match outcome {
                Wake::Stop => break,
                Wake::Look => {
                    if std::mem::take(&mut failing) {
                        info!(namespace = self.namespace, "projections are written again");
                    }
                    wait = RETRY_WAIT;
                    let pause = INTERVAL_MIN.saturating_sub(began.elapsed());
                    tokio::select! { () = stop.cancelled() => break, () = sleep(pause) => {} }
                }
                Wake::Failed(error) => {
                    is_away |= matches!(error, Error::Control { .. } | Error::NoControl);
                    self.failed(&error, std::mem::replace(&mut failing, true)).await;
                    tokio::select! {
                        () = stop.cancelled() => break,
                        () = self.space.nudge.notified() => {}
                        () = sleep(wait) => {}
                    }
                    wait = (wait * 2).min(RETRY_WAIT_MAX);
                }
            }
        }
        self.namespace
    }

    fn is_wanted(&self) -> bool {
        self.space.project().as_ref() == Some(&self.project)
    }

    /// Waits for something to do.
    async fn wait(&mut self, stop: &CancellationToken) -> Wake {
        let Some(control) = self.context.control(&self.project) else {
            tokio::select! { () = stop.cancelled() => return Wake::Stop, () = sleep(RETRY_WAIT) => return Wake::Look }
        };
        tokio::select! {
            () = stop.cancelled() => Wake::Stop,
            () = self.space.nudge.notified() => Wake::Look,
            () = sleep(FALLBACK) => Wake::Look,
            told = told(&control, self.at) => match told {
                Ok(at) => {
                    self.at = at;
                    Wake::Look
                }
                Err(error) => Wake::Failed(error),
            },
        }
    }

    /// Tells of an outage once. Projections stay as they are: they say what was known.
    async fn failed(&self, error: &Error, is_known: bool) {
        self.context.metrics.errors.get_or_create(&KindLabel { kind: "Projection" }).inc();
        let (namespace, cause) = (self.namespace.as_str(), chain(error));
        // A namespace that goes is nobody's business; a kind that is missing is somebody's.
        if is_known || (error.is_gone() && !error.is_kind_missing()) {
            debug!(namespace, error = cause, "projections are not written");
            return;
        }
        warn!(namespace, error = cause, "projections are not written until this is over");
        if matches!(error, Error::Control { .. }) {
            for bundle in self.context.bundles.references(namespace) {
                let note = format!("projections stay as they are until the control role answers: {cause}");
                self.context.events.tell(&bundle, Reason::ControlUnavailable, note).await;
            }
        }
    }

    /// Brings the objects of the namespace to what the control role knows.
    async fn project(&mut self) -> Result<()> {
        let control = self.context.control(&self.project).ok_or(Error::NoControl)?;
        let mut view = self.look(&control).await?;
        let setting = lever::Setting {
            context: &self.context,
            space: &self.space,
            namespace: &self.namespace,
            control: &control,
        };
        if lever::handle(&setting, &view).await? {
            view = self.look(&control).await?;
        }
        let facts = self.context.bundles.facts(&self.namespace);
        self.learn(&control, &view, &facts).await?;
        self.write(&view, &facts).await?;
        self.context.metrics.reconciles.get_or_create(&KindLabel { kind: "Projection" }).inc();
        Ok(())
    }

    /// Asks the control role, and tells bundles where that says something new.
    async fn look(&self, control: &Control) -> Result<Arc<View>> {
        let before = locked(&self.space.view).clone();
        let view = View::fetch(control, before.as_deref()).await?;
        if before.as_deref().is_some_and(|before| *before == view) {
            return Ok(before.unwrap_or_default());
        }
        let moved = before.is_none_or(|before| before.environments != view.environments || !before.same_active(&view));
        let view = Arc::new(view);
        *locked(&self.space.view) = Some(Arc::clone(&view));
        if moved {
            self.context.bundles.wake(&self.namespace);
        }
        Ok(view)
    }

    /// Finds out where versions came from that have no object yet.
    async fn learn(&mut self, control: &Control, view: &View, facts: &[Arc<Facts>]) -> Result<()> {
        for facts in facts {
            for (prompt, version) in &facts.versions {
                let origin =
                    || Origin { bundle: facts.bundle, commit: facts.commit.clone(), author: facts.author.clone() };
                self.origins.entry((prompt.clone(), *version)).or_insert_with(origin);
            }
        }
        let missing = |space: &Space, origins: &Origins, unknown: &BTreeSet<_>| {
            let known = space.known();
            view.referenced()
                .into_iter()
                .filter(|one| {
                    !origins.contains_key(one)
                        && !unknown.contains(one)
                        && !known.versions.contains_key(&version_object(&one.0, &one.1))
                })
                .collect::<Vec<_>>()
        };
        if missing(&self.space, &self.origins, &self.unknown).is_empty() {
            return Ok(());
        }
        for (one, origin) in origins(control, view).await? {
            self.origins.entry(one).or_insert(origin);
        }
        if self.unknown.len() > UNKNOWN_MAX {
            self.unknown.clear();
        }
        self.unknown.extend(missing(&self.space, &self.origins, &self.unknown));
        Ok(())
    }

    async fn write(&mut self, view: &View, facts: &[Arc<Facts>]) -> Result<()> {
        let (context, space, namespace) = (&self.context, self.space.as_ref(), self.namespace.as_str());
        let setting = Setting { project: &self.project, namespace, view, now: context.now() };
        let owners = context.bundles.owners(namespace);
        if owners.is_empty() {
            return Ok(());
        }
        let prompts = prompts(view, facts);
        let wanted: Vec<_> = {
            let known = space.known();
            prompts.iter().map(|name| prompt::desired(&setting, &owners, name, &known.prompts)).collect()
        };
        write::write_all(context, space, namespace, wanted).await?;
        let wanted = self.versions(&setting, facts);
        write::write_all(context, space, namespace, wanted).await?;
        let gone = prune::forgotten(&space.known().rollouts, view);
        write::delete_all::<PromptRollout>(context, space, namespace, gone).await?;
        let wanted: Vec<_> = {
            let known = space.known();
            let shown = shown(view);
            let one = |of: &view::Rollout| {
                Some(rollout::desired(&setting, &owner(&known.prompts, &of.prompt)?, of, &known.rollouts))
            };
            shown.into_iter().filter_map(one).collect()
        };
        write::write_all(context, space, namespace, wanted).await?;
        let referenced = view.referenced();
        let is_kept = |prompt: &PromptName, version: &Digest| {
            referenced.contains(&(prompt.clone(), *version)) || facts.iter().any(|facts| facts.has(prompt, version))
        };
        let gone = prune::versions(&space.known().versions, is_kept);
        write::delete_all::<PromptVersion>(context, space, namespace, gone).await?;
        let gone = prune::rollouts(&space.known().rollouts, view);
        write::delete_all::<PromptRollout>(context, space, namespace, gone).await?;
        // What has an object needs no origin any more.
        let known = space.known();
        self.origins.retain(|(prompt, version), _| !known.versions.contains_key(&version_object(prompt, version)));
        Ok(())
    }

    fn versions(&self, setting: &Setting<'_>, facts: &[Arc<Facts>]) -> Vec<Desired<PromptVersion>> {
        let known = self.space.known();
        let there = known.versions.values().map(|entry| entry.subject.clone());
        let new =
            self.origins.keys().map(|(prompt, version)| VersionSubject { prompt: prompt.clone(), version: *version });
        let subjects: BTreeMap<String, VersionSubject> =
            there.chain(new).map(|subject| (version_object(&subject.prompt, &subject.version), subject)).collect();
        let one = |(name, subject): (String, VersionSubject)| {
            let owner = owner(&known.prompts, &subject.prompt)?;
            let origin = self.origins.get(&(subject.prompt.clone(), subject.version));
            let facts = facts.iter().find(|facts| facts.has(&subject.prompt, &subject.version));
            let from = (origin, facts.map(Arc::as_ref));
            Some(version::desired(setting, &owner, &subject, from, known.versions.get(&name)))
        };
        subjects.into_iter().filter_map(one).collect()
    }
}

async fn told(control: &Control, at: u64) -> Result<u64> {
    match changed(control, at, CHANGES_WAIT_SECONDS).await? {
        Some(at) => Ok(at),
        // A control role of before tells nothing: the fallback is what there is.
        None => std::future::pending().await,
    }
}

/// Returns the prompts that have an object: those that are live anywhere, are tried, or are in the present bundle.
fn prompts(view: &View, facts: &[Arc<Facts>]) -> BTreeSet<PromptName> {
    let live = view.environments.iter().flat_map(|environment| &environment.pointers);
    let live = live.map(|pointer| pointer.prompt.clone());
    let tried = view.rollouts.iter().map(|rollout| rollout.prompt.clone());
    let held = facts.iter().flat_map(|facts| facts.versions.iter().map(|(prompt, _)| prompt.clone()));
    live.chain(tried).chain(held).collect()
}

/// Returns the rollouts that have an object: those that go on, and of each prompt the newest that have ended.
fn shown(view: &View) -> Vec<&view::Rollout> {
    let mut ended: Vec<_> = view.rollouts.iter().filter(|rollout| !rollout.state.is_active()).collect();
    ended.sort_by_key(|rollout| std::cmp::Reverse(rollout.number));
    let mut counts: BTreeMap<&PromptName, usize> = BTreeMap::new();
    ended.retain(|rollout| {
        let count = counts.entry(&rollout.prompt).or_default();
        *count += 1;
        *count <= prune::ROLLOUTS_KEPT
    });
    view.active().chain(ended).collect()
}

/// Returns the owner of what belongs to a prompt; `None` where that has no object.
fn owner(prompts: &Entries<Prompt>, prompt: &PromptName) -> Option<OwnerReference> {
    let name = bowline_crd::prompt_object(prompt);
    let uid = prompts.get(&name)?.uid.clone();
    Some(OwnerReference {
        api_version: Prompt::api_version(&()).into_owned(),
        kind: Prompt::kind(&()).into_owned(),
        name,
        uid,
        controller: Some(true),
        block_owner_deletion: None,
    })
}
