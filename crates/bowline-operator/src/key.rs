//! Keys of applications: each in a Secret that the operator writes and rotates, or none but the token of a service account.
//!
//! The control role keeps a hash, the Secret keeps the key, and the name of a key there says which object, which Secret and the how manieth it
//! is. So after a crash between the two it is known which key nobody has, and it is revoked. The key of a service account is at the control role
//! alone.

mod account;
mod plan;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bowline_crd::{BundleKey, FINALIZER, KeyStatus, PromptBundle, PromptBundleStatus};
use bowline_server::wire::{KeyList, KeyRequest, KeyResponse, KeyRevoked};
use bowline_server::{Client as Control, ClientError};
use bowline_store::KeyRecord;
use bowline_types::{KeyId, ProjectName, Timestamp, chain};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, DeleteParams, Preconditions};
use kube::core::ObjectMeta;
use kube::runtime::controller::Action;
use kube::{Resource as _, ResourceExt as _};
use serde_json::json;
use tracing::{info, warn};

use crate::apply::{apply, merge};
use crate::bundle::{Setback, is_held};
use crate::condition::{time, timestamp};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::event::Reason;
use plan::{Held, Step, plan, serial};

/// How long a key works on after it was replaced.
const OVERLAP: Duration = Duration::from_secs(3_600);
/// The shortest wait until keys are looked at again.
const LOOK_MIN: Duration = Duration::from_secs(5);
/// How long a PromptBundle that is deleted waits for the control role to revoke its keys. Beyond it the object goes: a namespace must not hang on
/// a control role that is gone for good, and where that is gone no key opens anything.
const FAREWELL_MAX: Duration = Duration::from_secs(300);
/// The wait between two tries of that.
const FAREWELL_LOOK: Duration = Duration::from_secs(5);

/// The key itself, as SDKs read it.
const API_KEY: &str = "OPENAI_API_KEY";
/// Where SDKs send calls.
const BASE_URL: &str = "OPENAI_BASE_URL";
/// The label of Secrets that the operator wrote, with the UID of the object that asked for them.
const OWNER_LABEL: &str = "bowline.dev/promptbundle-uid";
/// The id at the control role of the key in a Secret.
const KEY_ANNOTATION: &str = "bowline.dev/key-id";
/// That of the key before, while it works.
const PREVIOUS_ANNOTATION: &str = "bowline.dev/previous-key-id";

/// Brings keys to what the spec asks for. `version` is that of the object, and grows where the finalizer is set.
pub(crate) async fn reconcile(
    context: &Context,
    bundle: &PromptBundle,
    control: &Control,
    status: &mut PromptBundleStatus,
    version: &mut Option<String>,
) -> Result<(), Setback> {
    let is_asked = !bundle.spec.keys.is_empty() || !bundle.spec.service_accounts.is_empty();
    if !is_asked && !is_held(bundle) {
        return Ok(());
    }
    // Before the first release the control role knows no environment that a key could have.
    if status.environments.iter().all(|environment| environment.digest.is_none()) {
        return Ok(());
    }
    if is_asked && !is_held(bundle) {
        // Before the first key: what must be undone is never there without it.
        *version = finalizer(context, bundle, true, version.as_deref()).await.map_err(Setback::from)?;
    }
    let uid = bundle.uid().unwrap_or_default();
    let keys = own_keys(control, &uid).await.map_err(Setback::from)?;
    let keyring = Keyring { context, bundle, control, namespace: bundle.namespace().unwrap_or_default(), uid };
    let secrets = keyring.secrets(status, &keys).await?;
    let accounts = account::steps(&bundle.spec, &keyring.namespace, &keys);
    let steps = plan(&bundle.spec, &keyring.uid, &keys, &secrets, context.now());
    let (mut taken, is_changed) = (None, !steps.is_empty() || !accounts.is_empty());
    let denied = keyring.admit(accounts).await?;
    for step in steps {
        match step {
            Step::Taken { secret } => taken = Some(secret),
            other => keyring.take(other).await?,
        }
    }
    let (keys, secrets) = if is_changed {
        let keys = own_keys(control, &keyring.uid).await.map_err(Setback::from)?;
        let secrets = keyring.secrets(status, &keys).await?;
        (keys, secrets)
    } else {
        (keys, secrets)
    };
    status.keys = statuses(&bundle.spec.keys, &keys, &secrets);
    status.service_accounts = account::statuses(&bundle.spec, &keyring.namespace, &keys);
    if !is_asked && keys.is_empty() && is_held(bundle) {
        *version = finalizer(context, bundle, false, version.as_deref()).await.map_err(Setback::from)?;
    }
    match taken {
        None => denied.map_or(Ok(()), Err),
        Some(secret) => {
            let message = format!(
                "Secret `{secret}` is there and was not written by the operator; delete it, or choose another secretName"
            );
            Err(Setback::stalled("SecretTaken", message))
        }
    }
}

/// Returns how long until something is to be done about keys.
pub(crate) fn next(bundle: &PromptBundle, status: &PromptBundleStatus, now: Timestamp) -> Duration {
    let due = status.keys.iter().filter_map(|key| {
        let asked = bundle.spec.keys.iter().find(|asked| asked.secret_name == key.secret_name)?;
        let issued = timestamp(&key.issued_at);
        let wait = if key.previous.is_some() { OVERLAP } else { asked.rotate_after };
        Some(issued.after(wait).since(now).max(LOOK_MIN))
    });
    due.min().unwrap_or(Duration::MAX)
}

/// Revokes the keys of an object that is deleted, and lets it go.
///
/// # Errors
/// The API server refuses, or cannot be reached.
pub(crate) async fn finalize(
    context: &Context,
    bundle: &PromptBundle,
    project: Option<&ProjectName>,
) -> Result<Action> {
    if !is_held(bundle) {
        return Ok(Action::await_change());
    }
    let uid = bundle.uid().unwrap_or_default();
    let revoked = match project.and_then(|project| context.control(project)) {
        None if project.is_none() => Ok(()),
        None => Err(Error::NoControl),
        Some(control) => revoke_all(&control, &uid).await,
    };
    if let Err(error) = revoked {
        let since = bundle.metadata.deletion_timestamp.as_ref().map_or(context.now(), timestamp);
        if context.now().since(since) < FAREWELL_MAX {
            return Ok(Action::requeue(FAREWELL_LOOK));
        }
        let (namespace, name) = (bundle.namespace(), bundle.name_any());
        warn!(namespace, name, error = chain(&error), "a PromptBundle goes without its keys being revoked");
    }
    finalizer(context, bundle, false, None).await?;
    Ok(Action::await_change())
}

async fn revoke_all(control: &Control, uid: &str) -> Result<()> {
    for key in own_keys(control, uid).await? {
        revoke(control, key.id).await?;
    }
    Ok(())
}

async fn revoke(control: &Control, id: KeyId) -> Result<()> {
    match control.delete::<KeyRevoked>(&format!("/keys/{id}")).await {
        Ok(_) | Err(ClientError::Refused { status: 404, .. }) => Ok(()),
        Err(error) => Err(Error::control("revoke a key")(error)),
    }
}

/// Returns the keys of an object that work.
async fn own_keys(control: &Control, uid: &str) -> Result<Vec<KeyRecord>> {
    let listed = match control.get::<KeyList>("/keys").await {
        Err(ClientError::Refused { status: 404, .. }) => return Ok(Vec::new()),
        listed => listed.map_err(Error::control("list keys"))?,
    };
    let prefix = plan::prefix(uid);
    let own = listed.keys.into_iter().filter(|key| key.revoked_at.is_none() && key.name.starts_with(&prefix));
    Ok(own.collect())
}

/// Sets the finalizer or takes it away; returns the version of the object then.
async fn finalizer(
    context: &Context,
    bundle: &PromptBundle,
    held: bool,
    version: Option<&str>,
) -> Result<Option<String>> {
    let mut finalizers: Vec<_> = bundle.finalizers().iter().filter(|name| *name != FINALIZER).cloned().collect();
    if held {
        finalizers.push(FINALIZER.to_owned());
    }
    let api = context.api::<PromptBundle>(&bundle.namespace().unwrap_or_default());
    let mut metadata = json!({ "finalizers": finalizers });
    if let Some(version) = version {
        metadata["resourceVersion"] = version.into();
    }
    match merge(&api, &bundle.name_any(), &json!({ "metadata": metadata })).await {
        Ok(object) => Ok(object.resource_version()),
        Err(error) if error.is_gone() && !held => Ok(None),
        Err(error) => Err(error),
    }
}

/// Returns the status of the keys that were handed out.
fn statuses(asked: &[BundleKey], keys: &[KeyRecord], secrets: &BTreeMap<String, Held>) -> Vec<KeyStatus> {
    let one = |asked: &BundleKey| {
        let held = secrets.get(&asked.secret_name)?;
        let key = keys.iter().find(|key| Some(key.id) == held.key)?;
        Some(KeyStatus {
            secret_name: asked.secret_name.clone(),
            id: key.id.to_string(),
            issued_at: time(key.created_at),
            previous: held.previous.filter(|id| keys.iter().any(|key| key.id == *id)).map(|id| id.to_string()),
        })
    };
    asked.iter().filter_map(one).collect()
}

/// The keys of one PromptBundle.
struct Keyring<'a> {
    context: &'a Context,
    bundle: &'a PromptBundle,
    control: &'a Control,
    namespace: String,
    uid: String,
}

// === impl Keyring ===

impl Keyring<'_> {
    fn api(&self) -> Api<Secret> {
        self.context.api(&self.namespace)
    }

    /// Reads the Secrets that the spec, the status or a key names. Secrets are never listed.
    async fn secrets(
        &self,
        status: &PromptBundleStatus,
        keys: &[KeyRecord],
    ) -> Result<BTreeMap<String, Held>, Setback> {
        let asked = self.bundle.spec.keys.iter().map(|key| key.secret_name.clone());
        let told = status.keys.iter().map(|key| key.secret_name.clone());
        let named = keys.iter().filter_map(|key| plan::secret(&self.uid, &key.name)).map(str::to_owned);
        let names: BTreeSet<String> = asked.chain(told).chain(named).collect();
        let mut secrets = BTreeMap::new();
        for name in names {
            let found = self.api().get_opt(&name).await;
            let found = found.map_err(Error::kubernetes(format!("read Secret `{name}`"))).map_err(Setback::Failed)?;
            if let Some(secret) = found {
                let held = self.held(&secret);
                secrets.insert(name, held);
            }
        }
        Ok(secrets)
    }

    fn held(&self, secret: &Secret) -> Held {
        let id = |annotation: &str| secret.annotations().get(annotation).and_then(|id| id.parse().ok());
        let text = |key: &str| {
            let bytes = secret.data.as_ref().and_then(|data| data.get(key));
            bytes.and_then(|bytes| String::from_utf8(bytes.0.clone()).ok())
        };
        Held {
            ours: secret.labels().get(OWNER_LABEL) == Some(&self.uid),
            key: id(KEY_ANNOTATION).filter(|_| text(API_KEY).is_some()),
            previous: id(PREVIOUS_ANNOTATION),
            here: text(BASE_URL).as_deref() == Some(&self.context.options.gateway_url),
            uid: secret.uid().unwrap_or_default(),
        }
    }

    async fn take(&self, step: Step) -> Result<(), Setback> {
        match step {
            Step::Taken { .. } => Ok(()),
            Step::Issue { secret, environment, name, previous } => {
                let request = KeyRequest {
                    name,
                    environment,
                    environments: Vec::new(),
                    versions: false,
                    subject: None,
                    replaces: None,
                };
                let issued = self
                    .control
                    .post::<KeyResponse>("/keys", &request)
                    .await
                    .map_err(|error| refused(&secret, error))?;
                let record = &issued.record;
                self.write(&secret, &issued.key, record.id, previous).await?;
                info!(namespace = self.namespace, secret, id = %record.id, "a key was written");
                let serial = serial(&self.uid, &record.name).unwrap_or_default();
                let note = match previous {
                    Some(_) => format!("Secret `{secret}` has key {serial}; the one before works for an hour on"),
                    None => format!("Secret `{secret}` has key {serial}"),
                };
                self.context.events.tell(&self.bundle.object_ref(&()), Reason::KeyRotated, note).await;
                Ok(())
            }
            Step::Point { secret } => {
                let url = ByteString(self.context.options.gateway_url.clone().into_bytes());
                merge(&self.api(), &secret, &json!({ "data": { (BASE_URL): url } })).await.map_err(Setback::Failed)?;
                Ok(())
            }
            Step::Revoke { id } => revoke(self.control, id).await.map_err(Setback::from),
            Step::Delete { secret, uid } => {
                let preconditions = Some(Preconditions { uid: Some(uid), resource_version: None });
                let params = DeleteParams { preconditions, ..DeleteParams::default() };
                match self.api().delete(&secret, &params).await {
                    Ok(_) => Ok(()),
                    Err(error) if crate::error::status(&error) == Some(404) => Ok(()),
                    Err(error) => Err(Setback::Failed(Error::kubernetes(format!("delete Secret `{secret}`"))(error))),
                }
            }
        }
    }

    async fn write(&self, name: &str, key: &str, id: KeyId, previous: Option<KeyId>) -> Result<(), Setback> {
        let mut annotations = BTreeMap::from([(KEY_ANNOTATION.to_owned(), id.to_string())]);
        annotations.extend(previous.map(|previous| (PREVIOUS_ANNOTATION.to_owned(), previous.to_string())));
        let text = |text: &str| ByteString(text.as_bytes().to_vec());
        let secret = Secret {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                namespace: Some(self.namespace.clone()),
                labels: Some(BTreeMap::from([
                    (OWNER_LABEL.to_owned(), self.uid.clone()),
                    ("app.kubernetes.io/managed-by".to_owned(), "bowline-operator".to_owned()),
                ])),
                annotations: Some(annotations),
                owner_references: self.bundle.owner_ref(&()).map(|owner| vec![owner]),
                ..ObjectMeta::default()
            },
            data: Some(BTreeMap::from([
                (API_KEY.to_owned(), text(key)),
                (BASE_URL.to_owned(), text(&self.context.options.gateway_url)),
            ])),
            type_: Some("Opaque".to_owned()),
            ..Secret::default()
        };
        apply(&self.api(), &secret).await.map(|_| ()).map_err(Setback::Failed)
    }
}

fn refused(secret: &str, error: ClientError) -> Setback {
    match error {
        ClientError::Refused { status: 400..=499, message, .. } => {
            Setback::stalled("KeyRefused", format!("the key of Secret `{secret}`: {message}"))
        }
        other => Setback::from(Error::control("make a key")(other)),
    }
}
