//! Keys of service accounts, which are in no Secret: whoever has a token of the account has its key.

use std::collections::BTreeSet;

use bowline_crd::{PromptBundleSpec, ServiceAccountAccess, ServiceAccountStatus};
use bowline_server::ClientError;
use bowline_server::wire::{KeyRequest, SubjectResponse};
use bowline_store::KeyRecord;
use bowline_types::{EnvironmentName, KeyId};
use kube::Resource as _;
use tracing::info;

use super::{Keyring, plan, revoke};
use crate::bundle::Setback;
use crate::error::Error;
use crate::event::Reason;

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Make a key, in the place of one that has another environment.
    Admit { account: String, environment: EnvironmentName, replaces: Option<KeyId> },
    /// Revoke a key that is no longer asked for.
    Revoke { id: KeyId },
}

/// Returns the user name of a service account; <https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/>, read 2026-11-25.
fn user(namespace: &str, account: &str) -> String {
    format!("system:serviceaccount:{namespace}:{account}")
}

/// Returns the key of an account among those of an object.
fn find<'a>(keys: &'a [KeyRecord], namespace: &str, account: &str) -> Option<&'a KeyRecord> {
    let user = user(namespace, account);
    keys.iter().find(|key| key.subject.as_ref().is_some_and(|subject| subject.as_str() == user))
}

/// Returns what is to be done, in this order: what must go, then what must come.
pub(super) fn steps(spec: &PromptBundleSpec, namespace: &str, keys: &[KeyRecord]) -> Vec<Step> {
    let (mut kept, mut admissions) = (BTreeSet::new(), Vec::new());
    for ServiceAccountAccess { name, environment } in &spec.service_accounts {
        let known = find(keys, namespace, name);
        kept.extend(known.map(|key| key.id));
        if known.is_none_or(|key| key.environment != *environment) {
            let (account, environment) = (name.clone(), environment.clone());
            admissions.push(Step::Admit { account, environment, replaces: known.map(|key| key.id) });
        }
    }
    let gone = keys.iter().filter(|key| key.subject.is_some() && !kept.contains(&key.id));
    gone.map(|key| Step::Revoke { id: key.id }).chain(admissions).collect()
}

/// Returns the status of the accounts that have a key.
pub(super) fn statuses(spec: &PromptBundleSpec, namespace: &str, keys: &[KeyRecord]) -> Vec<ServiceAccountStatus> {
    let one = |asked: &ServiceAccountAccess| {
        let key = find(keys, namespace, &asked.name).filter(|key| key.environment == asked.environment)?;
        Some(ServiceAccountStatus { name: asked.name.clone(), id: key.id.to_string() })
    };
    spec.service_accounts.iter().filter_map(one).collect()
}

// === impl Keyring ===

impl Keyring<'_> {
    /// Does what is to be done about service accounts. One that cannot have a key is in nobody else's way: it is returned.
    pub(super) async fn admit(&self, steps: Vec<Step>) -> Result<Option<Setback>, Setback> {
        let mut setback = None;
        for step in steps {
            match step {
                Step::Revoke { id } => revoke(self.control, id).await.map_err(Setback::from)?,
                Step::Admit { account, environment, replaces } => {
                    match self.admit_one(&account, environment, replaces).await {
                        Ok(()) => {}
                        Err(Setback::Failed(error)) => return Err(Setback::Failed(error)),
                        Err(other) => setback = setback.or(Some(other)),
                    }
                }
            }
        }
        Ok(setback)
    }

    async fn admit_one(
        &self,
        account: &str,
        environment: EnvironmentName,
        replaces: Option<KeyId>,
    ) -> Result<(), Setback> {
        let subject = user(&self.namespace, account).parse();
        let subject = subject.map_err(|error| {
            Setback::stalled("KeyRefused", format!("the key of service account `{account}`: {error}"))
        })?;
        let request = KeyRequest {
            name: plan::account_name(&self.uid, account),
            environment: environment.clone(),
            environments: Vec::new(),
            versions: false,
            subject: Some(subject),
            replaces,
        };
        let made = self.control.post::<SubjectResponse>("/keys", &request).await;
        let record = made.map_err(|error| refused(account, error))?.record;
        info!(namespace = self.namespace, account, id = %record.id, "a service account has a key");
        let note = format!("tokens of service account `{account}` are a key of `{environment}`");
        self.context.events.tell(&self.bundle.object_ref(&()), Reason::KeyRotated, note).await;
        Ok(())
    }
}

fn refused(account: &str, error: ClientError) -> Setback {
    match error {
        // Of another PromptBundle of the namespace, or of one that somebody made by hand.
        ClientError::Refused { status: 409, message, .. } => {
            let happened = message.lines().next().unwrap_or_default();
            let message = format!(
                "service account `{account}`: {happened}; take it out of `serviceAccounts` here or of the PromptBundle that has it, or revoke that key with `bowline key revoke`"
            );
            Setback::stalled("ServiceAccountTaken", message)
        }
        ClientError::Refused { status: 400..=499, message, .. } => {
            Setback::stalled("KeyRefused", format!("the key of service account `{account}`: {message}"))
        }
        other => Setback::from(Error::control("make a key")(other)),
    }
}

#[cfg(test)]
mod tests {
    use bowline_types::{ApiKeyHash, Timestamp};
    use serde_json::json;

    use super::*;

    const UID: &str = "0b1c";

    fn spec(accounts: serde_json::Value) -> PromptBundleSpec {
        serde_json::from_value(json!({
            "source": { "repository": "r.example/a", "tag": "v1" },
            "verification": { "insecureUnsigned": true },
            "environments": ["prod"],
            "serviceAccounts": accounts,
        }))
        .unwrap()
    }

    fn asked() -> PromptBundleSpec {
        spec(json!([{ "name": "app", "environment": "prod" }]))
    }

    fn key(namespace: &str, account: &str, environment: &str) -> KeyRecord {
        let id = KeyId::generate(Timestamp::default());
        let subject = user(namespace, account).parse().unwrap();
        KeyRecord {
            id,
            hash: ApiKeyHash::of_subject(id, &subject),
            subject: Some(subject),
            name: plan::account_name(UID, account),
            project: "desk".parse().unwrap(),
            environment: environment.parse().unwrap(),
            environments: Vec::new(),
            versions: false,
            created_at: Timestamp::default(),
            revoked_at: None,
        }
    }

    fn admit(environment: &str, replaces: Option<KeyId>) -> Step {
        Step::Admit { account: "app".to_owned(), environment: environment.parse().unwrap(), replaces }
    }

    #[test]
    fn an_account_has_a_key_for_as_long_as_it_is_asked_for() {
        assert_eq!(steps(&asked(), "desk", &[]), [admit("prod", None)]);
        let keys = [key("desk", "app", "prod")];
        assert_eq!(steps(&asked(), "desk", &keys), []);
        assert_eq!(steps(&spec(json!([])), "desk", &keys), [Step::Revoke { id: keys[0].id }]);
        let told = statuses(&asked(), "desk", &keys);
        assert_eq!(told, [ServiceAccountStatus { name: "app".to_owned(), id: keys[0].id.to_string() }]);
    }

    #[test]
    fn another_environment_takes_the_place_of_the_one_before() {
        let keys = [key("desk", "app", "staging")];
        assert_eq!(steps(&asked(), "desk", &keys), [admit("prod", Some(keys[0].id))]);
        assert_eq!(statuses(&asked(), "desk", &keys), [], "not what is asked for");
    }

    #[test]
    fn an_account_of_another_namespace_is_another_one() {
        // The object was restored in another namespace, with its UID.
        let keys = [key("search", "app", "prod")];
        assert_eq!(steps(&asked(), "desk", &keys), [Step::Revoke { id: keys[0].id }, admit("prod", None)]);
    }

    #[test]
    fn keys_of_secrets_and_of_accounts_do_not_meet() {
        let mut of_secret = key("desk", "app", "prod");
        (of_secret.subject, of_secret.name) = (None, format!("{}app/1", plan::prefix(UID)));
        assert_eq!(steps(&asked(), "desk", std::slice::from_ref(&of_secret)), [admit("prod", None)]);
        let of_account = key("desk", "app", "prod");
        assert_eq!(plan::secret(UID, &of_secret.name), Some("app"));
        assert_eq!(plan::secret(UID, &of_account.name), None);
        assert!(of_account.name.starts_with(&plan::prefix(UID)), "it goes with its object");
    }
}
