use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bowline_canary::Design;
use bowline_prompt::{ContentCapture as Capture, EnvironmentSource, Model, Project};
use bowline_store::{
    KeyRecord, LIST_ROWS_MAX, LogAction, LogFilter, PointerRecord, RolloutFilter, RolloutRecord, Store,
};
use bowline_types::{
    ApiKeyHash, Digest, EnvironmentName, KeyId, ModelAlias, PromptName, ProviderName, Scope, SuccessContract, Timestamp,
};
use serde::Deserialize as _;

use super::{
    ContentCapture, Endpoint, Snapshot, SnapshotEnvironment, SnapshotKey, SnapshotProject, SnapshotPrompt,
    SnapshotRollout, Target,
};
use crate::error::{Error, Result};
use crate::temporary::overlay;

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
            let mut config: Project =
                serde_json::from_value(record.config).map_err(|source| Error::Corrupt { noun: "project", source })?;
            overlay(&mut config, &store.environment_list(name.clone()).await?);
            let pointers = store.pointer_list(name.clone()).await?;
            let active = RolloutFilter { project: Some(name.clone()), active: true, ..RolloutFilter::default() };
            let rollouts = store.rollout_list(active).await?;
            let versions = versions(store, &config, &pointers, &rollouts).await?;
            snapshot.fetch(store, versions.values().flatten()).await?;
            let keys = store.key_list(name.clone()).await?.into_iter().filter(|key| key.revoked_at.is_none());
            snapshot.keys.extend(keys.map(|key| (key.hash, SnapshotKey::from(key))));
            snapshot.projects.insert(name, project(&config, &pointers, &rollouts, versions, &lease));
        }
        Ok(snapshot)
    }

    /// Returns a snapshot of versions that nobody released, for calls that leave nothing in a store: each prompt with the versions
    /// that a call may name by digest, of which the first is live in `environment`. The only key may name versions.
    #[must_use]
    pub fn unreleased(
        config: &Project,
        environment: &EnvironmentName,
        versions: impl IntoIterator<Item = (PromptName, Digest, Arc<serde_json::Value>)>,
        (hash, key): (ApiKeyHash, KeyId),
        compiled_at: Timestamp,
    ) -> Self {
        let mut snapshot = Self { epoch: 1, ..Self::empty(compiled_at) };
        let mut live = SnapshotEnvironment { providers: providers(config, environment), prompts: BTreeMap::new() };
        let mut known: BTreeMap<PromptName, BTreeSet<Digest>> = BTreeMap::new();
        for (name, digest, content) in versions {
            let first = SnapshotPrompt { version: digest, success: SuccessContract::default(), rollout: None };
            live.prompts.entry(name.clone()).or_insert(first);
            known.entry(name).or_default().insert(digest);
            snapshot.versions.insert(digest, content);
        }
        let key = SnapshotKey {
            id: key,
            project: config.name.clone(),
            environment: environment.clone(),
            environments: Vec::new(),
            versions: true,
            subject: None,
        };
        snapshot.keys.insert(hash, key);
        let project = SnapshotProject {
            models: models(config),
            environments: BTreeMap::from([(environment.clone(), live)]),
            versions: known,
            content: ContentCapture::Off,
        };
        snapshot.projects.insert(config.name.clone(), project);
        snapshot
    }

    async fn fetch(&mut self, store: &dyn Store, digests: impl Iterator<Item = &Digest>) -> Result<()> {
        for digest in digests {
            if !self.versions.contains_key(digest)
                && let Some(version) = store.version_fetch(*digest).await?
            {
                self.versions.insert(*digest, Arc::new(version.content));
            }
        }
        Ok(())
    }
}

/// Versions that have been live in an environment, the newest ones, which applications may still name by digest.
const PINNABLE_MAX: usize = 200;
/// The same of an environment that is served from the working tree, where every saved edit is live for a while.
const PINNABLE_WORKTREE_MAX: usize = 20;

/// Returns the versions of each prompt that a call may reach: live, tried, or live before in one of its environments.
async fn versions(
    store: &dyn Store,
    config: &Project,
    pointers: &[PointerRecord],
    rollouts: &[RolloutRecord],
) -> Result<BTreeMap<PromptName, BTreeSet<Digest>>> {
    let mut versions: BTreeMap<PromptName, BTreeSet<Digest>> = BTreeMap::new();
    for pointer in pointers {
        versions.entry(pointer.prompt.clone()).or_default().insert(pointer.version);
    }
    for rollout in rollouts {
        versions.entry(rollout.prompt.clone()).or_default().extend([rollout.stable, rollout.candidate]);
    }
    for environment in config.environments.keys() {
        let worktree = config.source(environment) == Some(EnvironmentSource::Worktree);
        let most = if worktree { PINNABLE_WORKTREE_MAX } else { PINNABLE_MAX };
        let scope = Scope { project: config.name.clone(), environment: environment.clone() };
        let filter = LogFilter { scope, prompt: None, before: None, limit: LIST_ROWS_MAX };
        let mut before: BTreeMap<PromptName, BTreeSet<Digest>> = BTreeMap::new();
        for row in store.log_list(filter).await? {
            let arrived = matches!(row.action, LogAction::Moved | LogAction::Promoted);
            if let (true, Some(prompt), Some(version)) = (arrived, row.prompt, row.to) {
                let found = before.entry(prompt).or_default();
                if found.len() < most {
                    found.insert(version);
                }
            }
        }
        for (prompt, found) in before {
            versions.entry(prompt).or_default().extend(found);
        }
    }
    Ok(versions)
}

type Lease<'a> = &'a dyn Fn(&RolloutRecord) -> Timestamp;

fn project(
    config: &Project,
    pointers: &[PointerRecord],
    rollouts: &[RolloutRecord],
    versions: BTreeMap<PromptName, BTreeSet<Digest>>,
    lease: Lease<'_>,
) -> SnapshotProject {
    let mut environments = BTreeMap::new();
    for name in config.environments.keys() {
        environments.insert(name.clone(), environment(config, name, pointers, rollouts, lease));
    }
    let content = match config.telemetry.content {
        Capture::Off => ContentCapture::Off,
        Capture::Failures => ContentCapture::Failures,
        Capture::All => ContentCapture::All,
    };
    SnapshotProject { models: models(config), environments, versions, content }
}

fn models(config: &Project) -> BTreeMap<ModelAlias, Vec<Target>> {
    let targets = |model: &Model| {
        let targets = model.targets.iter().map(|target| Target {
            provider: target.provider.clone(),
            model: target.model.clone(),
            timeout: target.timeout,
        });
        targets.collect()
    };
    config.models.iter().map(|(alias, model)| (alias.clone(), targets(model))).collect()
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
    SnapshotEnvironment { providers: providers(config, name), prompts }
}

fn providers(config: &Project, environment: &EnvironmentName) -> BTreeMap<ProviderName, Endpoint> {
    let endpoint = |provider: &bowline_prompt::Provider| Endpoint {
        kind: provider.kind.as_str().to_owned(),
        base_url: provider.base_url.as_ref().map(|url| url.as_str().to_owned()),
        api_key: provider.api_key.clone(),
        identity: provider.identity.clone(),
        starts: provider.starts,
    };
    let found = config.providers.keys().filter_map(|provider| {
        let found = config.provider_in(environment, provider)?;
        Some((provider.clone(), endpoint(&found)))
    });
    found.collect()
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
        let KeyRecord { id, project, environment, environments, versions, subject, .. } = key;
        Self { id, project, environment, environments, versions, subject }
    }
}
