//! The snapshot, compiled for serving: templates parsed, contracts compiled, routes with their credentials.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bowline_prompt::{CompiledTemplate, InputSchema, Missing, Version};
use bowline_providers::ProviderSpec;
use bowline_providers::price::{Model as PricedModel, Table};
use bowline_registry::{
    ContentCapture, Endpoint, Snapshot, SnapshotEnvironment, SnapshotKey, SnapshotProject, SnapshotRollout, Target,
};
use bowline_telemetry::{Contract, Metrics, ProviderMeter};
use bowline_types::{
    ApiKeyHash, Clock, Digest, EnvironmentName, ModelAlias, ProjectName, PromptName, ProviderName, RolloutId, Secret,
    SecretRef, Subject, SuccessContract, Timestamp,
};
use tracing::error;

use crate::layers::upstream::Circuit;

/// Resolves references to secrets; the one place where a gateway learns them.
pub trait Secrets: Send + Sync + 'static {
    /// Returns the secret, `None` where the variable or the file is not there.
    fn resolve(&self, reference: &SecretRef) -> Option<Secret>;
}

/// How old what is served from is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotAge {
    /// The epoch.
    pub epoch: u64,
    /// When it was compiled.
    pub compiled_at: Timestamp,
}

/// What the gateway serves from.
pub(crate) struct Live {
    pub(crate) age: SnapshotAge,
    keys: HashMap<ApiKeyHash, Arc<SnapshotKey>>,
    /// Those of them that are no secret.
    subjects: HashMap<Subject, Arc<SnapshotKey>>,
    projects: HashMap<ProjectName, LiveProject>,
    versions: HashMap<Digest, Arc<LiveVersion>>,
    circuits: HashMap<CircuitKey, Arc<Circuit>>,
    /// Held for every provider, called or not, so that the metrics show it.
    meters: HashMap<(ProjectName, ProviderName), Arc<ProviderMeter>>,
    leases: HashMap<RolloutId, Arc<Lease>>,
    /// What the references of the snapshot stood for when it was compiled.
    resolved: BTreeMap<SecretRef, Option<Secret>>,
}

type CircuitKey = (ProjectName, EnvironmentName, ProviderName, String);

/// One project.
pub(crate) struct LiveProject {
    pub(crate) content: ContentCapture,
    pub(crate) environments: HashMap<EnvironmentName, LiveEnvironment>,
}

/// One environment.
pub(crate) struct LiveEnvironment {
    pub(crate) prompts: HashMap<PromptName, LivePrompt>,
    pub(crate) models: BTreeMap<ModelAlias, Arc<[Route]>>,
}

/// One prompt.
pub(crate) struct LivePrompt {
    pub(crate) stable: Arc<Served>,
    pub(crate) trial: Option<Trial>,
    /// Versions that a call may name by digest.
    pub(crate) pinned: HashMap<Digest, Arc<Served>>,
}

/// A running rollout. Both arms are judged by its contract.
pub(crate) struct Trial {
    pub(crate) rollout: Arc<SnapshotRollout>,
    pub(crate) lease: Arc<Lease>,
    pub(crate) stable: Arc<Served>,
    pub(crate) candidate: Arc<Served>,
}

/// Until when the candidate of a rollout may be served, in microseconds of the clock's uptime: nobody can set that, so a gateway whose
/// clock is wrong neither serves a candidate too long nor drops it too early.
#[derive(Debug, Default)]
pub(crate) struct Lease(AtomicU64);

/// A version as it is served in one environment.
pub(crate) struct Served {
    pub(crate) version: Arc<LiveVersion>,
    pub(crate) contract: Arc<Contract>,
    pub(crate) routes: Arc<[Route]>,
}

/// A version, ready to render.
pub(crate) struct LiveVersion {
    pub(crate) digest: Digest,
    pub(crate) version: Version,
    pub(crate) template: CompiledTemplate,
    /// `None` where the prompt declares no variables.
    pub(crate) input: Option<InputSchema>,
}

/// One way to a model.
#[derive(Clone)]
pub(crate) struct Route {
    pub(crate) provider: ProviderName,
    pub(crate) spec: &'static ProviderSpec,
    pub(crate) base_url: String,
    pub(crate) credential: Credential,
    pub(crate) model: String,
    pub(crate) timeout: Duration,
    pub(crate) price: Option<&'static PricedModel>,
    pub(crate) circuit: Arc<Circuit>,
    pub(crate) meter: Arc<ProviderMeter>,
    /// Whether it may be stopped and starts when it is called.
    pub(crate) starts: bool,
}

/// What a route authenticates with.
#[derive(Clone)]
pub(crate) enum Credential {
    /// Nothing.
    None,
    /// A key.
    Key(Secret),
    /// A key that could not be resolved.
    Missing(SecretRef),
}

/// What compiling one environment needs.
struct Place<'a> {
    project: &'a ProjectName,
    environment: &'a EnvironmentName,
    models: &'a BTreeMap<ModelAlias, Vec<Target>>,
    providers: &'a BTreeMap<ProviderName, Endpoint>,
    versions: &'a BTreeMap<PromptName, BTreeSet<Digest>>,
}

// === impl Live ===

impl Live {
    /// Returns what serves nothing.
    pub(crate) fn empty() -> Self {
        let age = SnapshotAge { epoch: 0, compiled_at: Timestamp::default() };
        Self {
            age,
            keys: HashMap::new(),
            subjects: HashMap::new(),
            projects: HashMap::new(),
            versions: HashMap::new(),
            circuits: HashMap::new(),
            meters: HashMap::new(),
            leases: HashMap::new(),
            resolved: BTreeMap::new(),
        }
    }

    /// Compiles a snapshot. Versions, being immutable, circuits and leases are taken over from `before`.
    ///
    /// Leases are as long as the snapshot tells, by a clock; without one it tells nothing new, and those of `before` stay.
    ///
    /// A version that cannot be compiled is left out and logged: one broken prompt must not take the others down.
    pub(crate) fn compile(
        snapshot: &Snapshot,
        before: &Self,
        secrets: &dyn Secrets,
        metrics: &Metrics,
        clock: Option<&dyn Clock>,
    ) -> Self {
        let age = SnapshotAge { epoch: snapshot.epoch, compiled_at: snapshot.compiled_at };
        let keys: HashMap<_, _> = snapshot.keys.iter().map(|(hash, key)| (*hash, Arc::new(key.clone()))).collect();
        let subjects = keys.values().filter_map(|key| Some((key.subject.clone()?, Arc::clone(key)))).collect();
        let leases = leases(snapshot, before, clock);
        let mut live = Self { age, keys, subjects, leases, resolved: resolve(snapshot, secrets), ..Self::empty() };
        for (digest, content) in &snapshot.versions {
            let known = before.versions.get(digest).map(Arc::clone);
            match known.map_or_else(|| LiveVersion::compile(*digest, content).map(Arc::new), Ok) {
                Ok(version) => drop(live.versions.insert(*digest, version)),
                Err(reason) => error!(%digest, reason, "version cannot be served"),
            }
        }
        live.meters = meters(snapshot, metrics);
        for (name, project) in &snapshot.projects {
            let compiled = live.project(name, project, before);
            live.projects.insert(name.clone(), compiled);
        }
        live
    }

    /// Returns whether a reference of the snapshot stands for something else by now. Blocks on files.
    pub(crate) fn rotated(&self, secrets: &dyn Secrets) -> bool {
        self.resolved.iter().any(|(reference, known)| secrets.resolve(reference) != *known)
    }

    /// Moves the ends of leases; those of unknown rollouts are left out.
    pub(crate) fn renew(&self, leases: &BTreeMap<RolloutId, Duration>) {
        for (rollout, until) in leases {
            if let Some(lease) = self.leases.get(rollout) {
                lease.extend(*until);
            }
        }
    }

    /// Returns the key of this hash.
    pub(crate) fn key(&self, hash: ApiKeyHash) -> Option<&Arc<SnapshotKey>> {
        self.keys.get(&hash)
    }

    /// Returns the key of a subject.
    pub(crate) fn key_of(&self, subject: &Subject) -> Option<&Arc<SnapshotKey>> {
        self.subjects.get(subject)
    }

    /// Returns a project.
    pub(crate) fn project_of(&self, key: &SnapshotKey) -> Option<&LiveProject> {
        self.projects.get(&key.project)
    }

    fn project(&mut self, name: &ProjectName, project: &SnapshotProject, before: &Self) -> LiveProject {
        let mut environments = HashMap::new();
        for (environment_name, environment) in &project.environments {
            let place = Place {
                project: name,
                environment: environment_name,
                models: &project.models,
                providers: &environment.providers,
                versions: &project.versions,
            };
            let compiled = self.environment(&place, environment, before);
            environments.insert(environment_name.clone(), compiled);
        }
        LiveProject { content: project.content, environments }
    }

    fn environment(&mut self, place: &Place<'_>, environment: &SnapshotEnvironment, before: &Self) -> LiveEnvironment {
        let models = place.models.iter().map(|(alias, targets)| {
            let routes = targets.iter().filter_map(|target| self.route(place, target, before));
            (alias.clone(), routes.collect())
        });
        let models: BTreeMap<ModelAlias, Arc<[Route]>> = models.collect();
        let mut prompts = HashMap::new();
        for (name, prompt) in &environment.prompts {
            let Some(stable) = self.served(place, &models, prompt.version, &prompt.success) else { continue };
            let trial = prompt.rollout.as_ref().and_then(|rollout| {
                Some(Trial {
                    lease: self.leases.get(&rollout.id).map(Arc::clone)?,
                    stable: self.served(place, &models, prompt.version, &rollout.success)?,
                    candidate: self.served(place, &models, rollout.candidate, &rollout.success)?,
                    rollout: Arc::new(rollout.clone()),
                })
            });
            let pinned = self.pinned(place, &models, name, &prompt.success);
            prompts.insert(name.clone(), LivePrompt { stable, trial, pinned });
        }
        LiveEnvironment { prompts, models }
    }

    /// Versions that a call may name by digest. One that cannot be judged by the present contract is judged by the default one.
    fn pinned(
        &self,
        place: &Place<'_>,
        models: &BTreeMap<ModelAlias, Arc<[Route]>>,
        name: &PromptName,
        success: &SuccessContract,
    ) -> HashMap<Digest, Arc<Served>> {
        let served = |digest: &Digest| {
            let judged = self.judged(place, models, *digest, success);
            let judged = judged.or_else(|_| self.judged(place, models, *digest, &SuccessContract::default()));
            Some((*digest, judged.ok()?))
        };
        place.versions.get(name).into_iter().flatten().filter_map(served).collect()
    }

    fn served(
        &self,
        place: &Place<'_>,
        models: &BTreeMap<ModelAlias, Arc<[Route]>>,
        digest: Digest,
        success: &SuccessContract,
    ) -> Option<Arc<Served>> {
        let judged = self.judged(place, models, digest, success);
        judged.inspect_err(|reason| error!(%digest, reason, "version cannot be served")).ok()
    }

    fn judged(
        &self,
        place: &Place<'_>,
        models: &BTreeMap<ModelAlias, Arc<[Route]>>,
        digest: Digest,
        success: &SuccessContract,
    ) -> Result<Arc<Served>, String> {
        let version = self.versions.get(&digest).ok_or("it is not in the snapshot")?;
        let contract = Contract::compile(success, version.version.output.schema.as_ref());
        let contract = Arc::new(contract.map_err(|error| bowline_types::chain(&error))?);
        let routes = routes_of(&version.version, place, models);
        Ok(Arc::new(Served { version: Arc::clone(version), contract, routes }))
    }

    fn route(&mut self, place: &Place<'_>, target: &Target, before: &Self) -> Option<Route> {
        let endpoint = place.providers.get(&target.provider)?;
        let spec = ProviderSpec::find(&endpoint.kind)?;
        let credential = match &endpoint.api_key {
            None => Credential::None,
            Some(reference) => {
                let found = self.resolved.get(reference).cloned().flatten();
                found.map_or_else(|| Credential::Missing(reference.clone()), Credential::Key)
            }
        };
        let key: CircuitKey =
            (place.project.clone(), place.environment.clone(), target.provider.clone(), target.model.clone());
        let circuit = self.circuits.get(&key).or_else(|| before.circuits.get(&key)).map(Arc::clone).unwrap_or_default();
        self.circuits.insert(key, Arc::clone(&circuit));
        // Where an upstream serves the models of others, their price is not that of the format's inventor.
        let own = endpoint.identity.as_ref().is_none_or(|identity| identity == spec.kind);
        let price = if own { Table::embedded().model(spec.kind, &target.model) } else { None };
        Some(Route {
            provider: target.provider.clone(),
            spec,
            base_url: endpoint.base_url.clone().unwrap_or_else(|| spec.base_url.to_owned()),
            credential,
            model: target.model.clone(),
            timeout: target.timeout,
            price,
            circuit,
            meter: self.meters.get(&(place.project.clone(), target.provider.clone())).map(Arc::clone)?,
            starts: endpoint.starts,
        })
    }
}

/// Returns the meters of every provider; those that calls under way hold are the same.
fn meters(snapshot: &Snapshot, metrics: &Metrics) -> HashMap<(ProjectName, ProviderName), Arc<ProviderMeter>> {
    let providers = snapshot.projects.iter().flat_map(|(project, content)| {
        let names = content.environments.values().flat_map(|environment| environment.providers.keys());
        names.map(move |provider| (project.clone(), provider.clone()))
    });
    let names: BTreeSet<_> = providers.collect();
    names
        .into_iter()
        .map(|(project, provider)| {
            let meter = metrics.provider(&project, &provider);
            ((project, provider), meter)
        })
        .collect()
}

/// Returns until when each candidate of a snapshot may be served. Leases only grow: what was confirmed stays confirmed.
fn leases(snapshot: &Snapshot, before: &Live, clock: Option<&dyn Clock>) -> HashMap<RolloutId, Arc<Lease>> {
    let leased = snapshot.rollouts().map(|rollout| {
        let lease = before.leases.get(&rollout.id).map(Arc::clone).unwrap_or_default();
        if let Some(clock) = clock {
            // Never longer than it was told for, whatever was done to the clock since.
            let told = rollout.lease_until.since(snapshot.compiled_at);
            lease.extend(clock.uptime() + told.min(rollout.lease_until.since(clock.now())));
        }
        (rollout.id, lease)
    });
    leased.collect()
}

/// Returns what the references of a snapshot stand for. Blocks on files.
fn resolve(snapshot: &Snapshot, secrets: &dyn Secrets) -> BTreeMap<SecretRef, Option<Secret>> {
    let environments = snapshot.projects.values().flat_map(|project| project.environments.values());
    let endpoints = environments.flat_map(|environment| environment.providers.values());
    let references: BTreeSet<_> = endpoints.filter_map(|endpoint| endpoint.api_key.clone()).collect();
    references.into_iter().map(|reference| (reference.clone(), secrets.resolve(&reference))).collect()
}

/// The routes of a version are those of its own identities, so that what was tested is what is served: an alias that points
/// elsewhere by now does not change a version.
fn routes_of(version: &Version, place: &Place<'_>, models: &BTreeMap<ModelAlias, Arc<[Route]>>) -> Arc<[Route]> {
    let identity_of = |route: &Route| {
        let endpoint = place.providers.get(&route.provider);
        endpoint.and_then(|endpoint| endpoint.identity.clone()).unwrap_or_else(|| route.spec.kind.to_owned())
    };
    let of_alias = models.get(&version.model.alias);
    // The alias first, then all others by name; each way is taken once, since two endpoints may serve the same identity.
    let mut left: Vec<&Route> = of_alias.into_iter().chain(models.values()).flat_map(|routes| routes.iter()).collect();
    let mut route = |identity: &bowline_prompt::ModelIdentity| {
        let is_provider = |route: &&Route| identity_of(route) == identity.provider;
        let exact = left.iter().position(|route| route.model == identity.model && is_provider(route));
        let found = left.remove(exact.or_else(|| left.iter().position(is_provider))?);
        let own = identity.provider == found.spec.kind;
        let price = if own { Table::embedded().model(found.spec.kind, &identity.model) } else { None };
        Some(Route { model: identity.model.clone(), price, ..found.clone() })
    };
    version.model.identities.iter().filter_map(&mut route).collect()
}

// === impl Lease ===

impl Lease {
    /// Returns whether the candidate may be served, at an uptime of the clock.
    pub(crate) fn holds(&self, uptime: Duration) -> bool {
        uptime < Duration::from_micros(self.0.load(Ordering::Relaxed))
    }

    fn extend(&self, until: Duration) {
        self.0.fetch_max(u64::try_from(until.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

// === impl LiveVersion ===

impl LiveVersion {
    fn compile(digest: Digest, content: &serde_json::Value) -> Result<Self, String> {
        let version: Version = serde_json::from_value(content.clone()).map_err(|error| error.to_string())?;
        // Where a schema has checked the variables, one that is left out is empty; without one, it is an error.
        let missing = if version.input.schema.is_some() { Missing::Empty } else { Missing::Refuse };
        let template = CompiledTemplate::compile(&version.body, &version.partials, missing);
        let template = template.map_err(|error| bowline_types::chain(&error))?;
        let schema = version.input.schema.clone();
        let input = schema.map(|schema| InputSchema::new(schema, version.input.default.clone())).transpose();
        let input = input.map_err(|error| format!("input schema, {}: {error}", error.pointer))?;
        Ok(Self { digest, version, template, input })
    }
}
