use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bowline_canary::Design;
use bowline_prompt::{ContentCapture as Capture, Project};
use bowline_store::{KeyRecord, PointerRecord, RolloutFilter, RolloutRecord, Store};
use bowline_types::{Digest, EnvironmentName, Timestamp};
use serde::Deserialize as _;

use super::{
    ContentCapture, Endpoint, Snapshot, SnapshotEnvironment, SnapshotKey, SnapshotProject, SnapshotPrompt,
    SnapshotRollout, Target,
};
use crate::error::{Error, Result};

impl Snapshot {
    /// Compiles the state of the store into a snapshot of epoch 0. `lease` says until when the candidate of a rollout may be served.
    ///
    /// Versions are those that a pointer is on or a rollout tries, and those that were live in the project before: an application
    /// may have pinned one.
    ///
    /// # Errors
    /// Fails where the store does, or where a stored document cannot be read.
    pub async fn compile(
        store: &dyn Store,
        compiled_at: Timestamp,
        lease: impl Fn(&RolloutRecord) -> Timestamp + Send + Sync,
    ) -> Result<Self> {
        let mut snapshot = Self::empty(compiled_at);
        for record in store.project_list().await? {
            let name = record.project;
            let config: Project =
                serde_json::from_value(record.config).map_err(|source| Error::Corrupt { noun: "project", source })?;
            let pointers = store.pointer_list(name.clone()).await?;
            let active = RolloutFilter { project: Some(name.clone()), active: true, ..RolloutFilter::default() };
            let rollouts = store.rollout_list(active).await?;
            snapshot.versions(store, &pointers, &rollouts).await?;
            let keys = store.key_list(name.clone()).await?.into_iter().filter(|key| key.revoked_at.is_none());
            snapshot.keys.extend(keys.map(|key| (key.hash, SnapshotKey::from(key))));
            snapshot.projects.insert(name, project(&config, &pointers, &rollouts, &lease));
        }
        Ok(snapshot)
    }

    async fn versions(
        &mut self,
        store: &dyn Store,
        pointers: &[PointerRecord],
        rollouts: &[RolloutRecord],
    ) -> Result<()> {
        let live = pointers.iter().map(|pointer| pointer.version);
        let tried = rollouts.iter().flat_map(|rollout| [rollout.stable, rollout.candidate]);
        let mut digests: BTreeSet<Digest> = live.chain(tried).collect();
        let names: BTreeSet<_> = pointers.iter().map(|pointer| (&pointer.scope.project, &pointer.prompt)).collect();
        for (project, prompt) in names {
            let registered = store.registration_list(project.clone(), prompt.clone()).await?;
            digests.extend(registered.iter().take(PINNABLE_MAX).map(|registration| registration.version));
        }
        for digest in digests {
            if let Some(version) = store.version_fetch(digest).await? {
                self.versions.insert(digest, Arc::new(version.content));
            }
        }
        Ok(())
    }
}

/// The newest registered versions of a prompt that applications may pin by digest, besides those that are live.
const PINNABLE_MAX: usize = 20;

type Lease<'a> = &'a dyn Fn(&RolloutRecord) -> Timestamp;

fn project(
    config: &Project,
    pointers: &[PointerRecord],
    rollouts: &[RolloutRecord],
    lease: Lease<'_>,
) -> SnapshotProject {
    let mut environments = BTreeMap::new();
    for name in config.environments.keys() {
        environments.insert(name.clone(), environment(config, name, pointers, rollouts, lease));
    }
    let models = config.models.iter().map(|(alias, model)| {
        let targets = model.targets.iter().map(|target| Target {
            provider: target.provider.clone(),
            model: target.model.clone(),
            timeout: target.timeout,
        });
        (alias.clone(), targets.collect())
    });
    let content = match config.telemetry.content {
        Capture::Off => ContentCapture::Off,
        Capture::Failures => ContentCapture::Failures,
        Capture::All => ContentCapture::All,
    };
    SnapshotProject { models: models.collect(), environments, content }
}

fn environment(
    config: &Project,
    name: &EnvironmentName,
    pointers: &[PointerRecord],
    rollouts: &[RolloutRecord],
    lease: Lease<'_>,
) -> SnapshotEnvironment {
    let mut prompts = BTreeMap::new();
    for pointer in pointers.iter().filter(|pointer| pointer.scope.environment == *name) {
        let running =
            rollouts.iter().find(|rollout| rollout.scope == pointer.scope && rollout.prompt == pointer.prompt);
        let rollout = running.and_then(|rollout| self::rollout(rollout, lease(rollout)));
        let prompt = SnapshotPrompt { version: pointer.version, success: pointer.success.clone(), rollout };
        prompts.insert(pointer.prompt.clone(), prompt);
    }
    let endpoint = |provider: &bowline_prompt::Provider| Endpoint {
        kind: provider.kind.as_str().to_owned(),
        base_url: provider.base_url.as_ref().map(|url| url.as_str().to_owned()),
        api_key: provider.api_key.clone(),
        identity: provider.identity.clone(),
    };
    let providers = config.providers.keys().filter_map(|provider| {
        let found = config.provider_in(name, provider)?;
        Some((provider.clone(), endpoint(&found)))
    });
    SnapshotEnvironment { providers: providers.collect(), prompts }
}

/// Returns what a gateway must know of a rollout; `None` where its design cannot be read, since a candidate that nobody can judge
/// is not served, and no other prompt must wait for that.
fn rollout(rollout: &RolloutRecord, lease_until: Timestamp) -> Option<SnapshotRollout> {
    let design = Design::deserialize(&rollout.design).ok()?;
    let share = design.stages.get(usize::from(rollout.stage))?.share;
    Some(SnapshotRollout {
        id: rollout.id,
        candidate: rollout.candidate,
        success: rollout.success.clone(),
        share,
        stage: rollout.stage,
        lease_until,
    })
}

impl From<KeyRecord> for SnapshotKey {
    fn from(key: KeyRecord) -> Self {
        let KeyRecord { id, project, environment, environments, versions, .. } = key;
        Self { id, project, environment, environments, versions }
    }
}
