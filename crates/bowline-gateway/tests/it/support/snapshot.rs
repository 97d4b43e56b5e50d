use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bowline_canary::Share;
use bowline_prompt::Version;
use bowline_registry::{
    ContentCapture, Endpoint, Snapshot, SnapshotEnvironment, SnapshotKey, SnapshotProject, SnapshotPrompt,
    SnapshotRollout, Target,
};
use bowline_testkit::ManualClock;
use bowline_types::{
    ApiKey, ApiKeyHash, Clock, Digest, KeyId, RolloutId, SecretRef, Subject, SuccessContract, Timestamp,
};
use serde_json::{Value, json};

/// A snapshot of the project `shop` with the environments `dev` and `prod`, where keys belong to `prod`.
#[derive(Clone)]
pub(crate) struct SnapshotBuilder {
    pub(crate) key: ApiKey,
    providers: BTreeMap<String, Endpoint>,
    models: BTreeMap<String, Vec<Target>>,
    prompts: BTreeMap<String, SnapshotPrompt>,
    versions: BTreeMap<Digest, Arc<Value>>,
    pinnable: BTreeMap<String, BTreeSet<Digest>>,
    content: ContentCapture,
    environments: Vec<String>,
    pins: bool,
    keys: bool,
    subject: Option<Subject>,
}

/// Returns a version with this body and further fields.
pub(crate) fn version(model: &str, provider: &str, body: &str, fields: Value) -> Version {
    let mut value = json!({
        "schema_version": 1,
        "model": {"alias": model, "identities": [{"provider": provider, "model": "upstream-model"}]},
        "body": body,
    });
    value.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    serde_json::from_value(value).unwrap()
}

impl SnapshotBuilder {
    pub(crate) fn new() -> Self {
        Self {
            key: ApiKey::generate().unwrap(),
            providers: BTreeMap::new(),
            models: BTreeMap::new(),
            prompts: BTreeMap::new(),
            versions: BTreeMap::new(),
            pinnable: BTreeMap::new(),
            content: ContentCapture::Off,
            environments: Vec::new(),
            pins: false,
            keys: true,
            subject: None,
        }
    }

    /// A provider and, under the same name, a model on it.
    pub(crate) fn model(mut self, name: &str, kind: &str, url: &str) -> Self {
        let base_url = if kind == "openai" { format!("{url}/v1") } else { url.to_owned() };
        let api_key = Some("env:UPSTREAM_KEY".parse::<SecretRef>().unwrap());
        let endpoint =
            Endpoint { kind: kind.to_owned(), base_url: Some(base_url), api_key, identity: None, starts: false };
        self.providers.insert(name.to_owned(), endpoint);
        self.models.insert(name.to_owned(), vec![target(name)]);
        self
    }

    /// The provider of a model has a credential that is not there.
    pub(crate) fn without_credential(mut self, name: &str) -> Self {
        self.providers.get_mut(name).unwrap().api_key = Some("env:NOT_THERE".parse().unwrap());
        self
    }

    /// The provider of a model starts when it is called.
    pub(crate) fn starts(mut self, name: &str) -> Self {
        self.providers.get_mut(name).unwrap().starts = true;
        self
    }

    /// A model falls back to another provider.
    pub(crate) fn fallback(mut self, name: &str, to: &str) -> Self {
        self.models.get_mut(name).unwrap().push(target(to));
        self
    }

    /// Every attempt on a model may take this long.
    pub(crate) fn timeout(mut self, name: &str, timeout: Duration) -> Self {
        self.models.get_mut(name).unwrap().iter_mut().for_each(|target| target.timeout = timeout);
        self
    }

    /// A prompt that is live.
    pub(crate) fn prompt(mut self, name: &str, version: &Version, success: Value) -> Self {
        let success: SuccessContract = serde_json::from_value(success).unwrap();
        let digest = self.add(version);
        self.pinnable.entry(name.to_owned()).or_default().insert(digest);
        let prompt = SnapshotPrompt { version: digest, success, rollout: None };
        self.prompts.insert(name.to_owned(), prompt);
        self
    }

    /// A rollout of a prompt, whose lease ends so long after the start of the clock.
    pub(crate) fn rollout(mut self, name: &str, candidate: &Version, share: &str, lease: Duration) -> Self {
        let candidate = self.add(candidate);
        let prompt = self.prompts.get_mut(name).unwrap();
        prompt.rollout = Some(SnapshotRollout {
            id: RolloutId::from_uuid("0198f3d2-a1b4-7c0e-8f00-112233445566".parse().unwrap()),
            candidate,
            success: prompt.success.clone(),
            share: share.parse::<Share>().unwrap(),
            stage: 0,
            lease_until: start().after(lease),
        });
        self
    }

    /// What content is captured.
    pub(crate) fn content(self, content: ContentCapture) -> Self {
        Self { content, ..self }
    }

    /// The key may name this environment.
    pub(crate) fn may_name(mut self, environment: &str) -> Self {
        self.environments.push(environment.to_owned());
        self
    }

    /// The key may name versions.
    pub(crate) fn may_pin(self) -> Self {
        Self { pins: true, ..self }
    }

    /// The key is no secret, but a service account's.
    pub(crate) fn of_subject(self, subject: &str) -> Self {
        Self { subject: Some(subject.parse().unwrap()), ..self }
    }

    /// The key is revoked.
    pub(crate) fn revoked(self) -> Self {
        Self { keys: false, ..self }
    }

    fn add(&mut self, version: &Version) -> Digest {
        let digest = version.digest();
        self.versions.insert(digest, Arc::new(serde_json::to_value(version).unwrap()));
        digest
    }

    pub(crate) fn build(self) -> Snapshot {
        let mut snapshot = Snapshot::empty(start());
        let providers: BTreeMap<_, _> =
            self.providers.into_iter().map(|(name, endpoint)| (name.parse().unwrap(), endpoint)).collect();
        let prompts: BTreeMap<_, _> =
            self.prompts.into_iter().map(|(name, prompt)| (name.parse().unwrap(), prompt)).collect();
        let environment = |prompts| SnapshotEnvironment { providers: providers.clone(), prompts };
        let environments = BTreeMap::from([
            ("dev".parse().unwrap(), environment(BTreeMap::new())),
            ("prod".parse().unwrap(), environment(prompts)),
        ]);
        let models = self.models.into_iter().map(|(name, targets)| (name.parse().unwrap(), targets)).collect();
        let versions = self.pinnable.into_iter().map(|(name, digests)| (name.parse().unwrap(), digests)).collect();
        let project = SnapshotProject { models, environments, versions, content: self.content };
        snapshot.epoch = 1;
        snapshot.projects.insert("shop".parse().unwrap(), project);
        snapshot.versions = self.versions;
        let key = SnapshotKey {
            id: KeyId::from_uuid("0198f3d2-0000-7000-8000-000000000001".parse().unwrap()),
            project: "shop".parse().unwrap(),
            environment: "prod".parse().unwrap(),
            environments: self.environments.iter().map(|name| name.parse().unwrap()).collect(),
            versions: self.pins,
            subject: self.subject.clone(),
        };
        if self.keys {
            let hash = self.subject.as_ref().map(|subject| ApiKeyHash::of_subject(key.id, subject));
            snapshot.keys.insert(hash.unwrap_or_else(|| self.key.hash()), key);
        }
        snapshot
    }
}

fn target(provider: &str) -> Target {
    Target { provider: provider.parse().unwrap(), model: "upstream-model".to_owned(), timeout: Duration::from_secs(10) }
}

fn start() -> Timestamp {
    ManualClock::default().now()
}
