//! What is to be done about keys. Pure.

use std::collections::{BTreeMap, BTreeSet};

use bowline_crd::PromptBundleSpec;
use bowline_store::KeyRecord;
use bowline_types::{EnvironmentName, KeyId, Timestamp};

use super::OVERLAP;

/// What a Secret has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    /// Whether the operator wrote it for this very object.
    pub(super) ours: bool,
    /// The key in it, by its id.
    pub(super) key: Option<KeyId>,
    /// The one before.
    pub(super) previous: Option<KeyId>,
    /// Whether it points to the present gateways.
    pub(super) here: bool,
    pub(super) uid: String,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A Secret of somebody else is in the way.
    Taken { secret: String },
    /// Make a key and write it.
    Issue { secret: String, environment: EnvironmentName, name: String, previous: Option<KeyId> },
    /// Point a Secret to the present gateways.
    Point { secret: String },
    /// Revoke a key: the one before after its hour, one that nobody has, one that is no longer asked for.
    Revoke { id: KeyId },
    /// Delete a Secret that is no longer asked for.
    Delete { secret: String, uid: String },
}

/// Returns what the names of an object's keys begin with.
pub(super) fn prefix(uid: &str) -> String {
    format!("kubernetes:{uid}/")
}

fn name(uid: &str, secret: &str, serial: u64) -> String {
    format!("{}{secret}/{serial}", prefix(uid))
}

/// Returns the name of the key of a service account, which has no Secret: no Secret's name has a colon, and no `/` follows.
pub(super) fn account_name(uid: &str, account: &str) -> String {
    format!("{}serviceaccount:{account}", prefix(uid))
}

/// Returns the Secret that a key is for.
pub(super) fn secret<'a>(uid: &str, name: &'a str) -> Option<&'a str> {
    Some(name.strip_prefix(&prefix(uid))?.rsplit_once('/')?.0)
}

/// Returns the how manieth of its Secret a key is.
pub(super) fn serial(uid: &str, name: &str) -> Option<u64> {
    name.strip_prefix(&prefix(uid))?.rsplit_once('/')?.1.parse().ok()
}

/// Returns what is to be done, in this order: what must go, then what must come.
pub(super) fn plan(
    spec: &PromptBundleSpec,
    uid: &str,
    keys: &[KeyRecord],
    secrets: &BTreeMap<String, Held>,
    now: Timestamp,
) -> Vec<Step> {
    let (mut steps, mut kept) = (Vec::new(), BTreeSet::new());
    let mut issues = Vec::new();
    for asked in &spec.keys {
        let secret_name = &asked.secret_name;
        let held = secrets.get(secret_name).cloned().unwrap_or_default();
        if secrets.contains_key(secret_name) && !held.ours {
            steps.push(Step::Taken { secret: secret_name.clone() });
            continue;
        }
        let own = |id: Option<KeyId>| keys.iter().find(|key| Some(key.id) == id);
        let current = own(held.key);
        let is_good = current
            .is_some_and(|key| key.environment == asked.environment && now.since(key.created_at) < asked.rotate_after);
        if is_good {
            // The one before works on for its hour after the present one was made.
            let overlaps = current.is_some_and(|key| now.since(key.created_at) < OVERLAP);
            kept.extend(held.key);
            kept.extend(held.previous.filter(|_| overlaps));
            if !held.here {
                steps.push(Step::Point { secret: secret_name.clone() });
            }
            continue;
        }
        // An application that has the present key keeps it for an hour.
        kept.extend(current.map(|key| key.id));
        let serials = keys
            .iter()
            .filter(|key| secret(uid, &key.name) == Some(secret_name))
            .filter_map(|key| serial(uid, &key.name));
        let next = serials.max().unwrap_or(0) + 1;
        issues.push(Step::Issue {
            secret: secret_name.clone(),
            environment: asked.environment.clone(),
            name: name(uid, secret_name, next),
            previous: current.map(|key| key.id),
        });
    }
    let of_secrets = keys.iter().filter(|key| secret(uid, &key.name).is_some());
    steps.extend(of_secrets.filter(|key| !kept.contains(&key.id)).map(|key| Step::Revoke { id: key.id }));
    for (name, held) in secrets {
        if held.ours && !spec.keys.iter().any(|asked| asked.secret_name == *name) {
            steps.push(Step::Delete { secret: name.clone(), uid: held.uid.clone() });
        }
    }
    steps.extend(issues);
    steps
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bowline_types::ApiKey;
    use serde_json::json;

    use super::*;

    const UID: &str = "0b1c";

    fn at(seconds: u64) -> Timestamp {
        Timestamp::default().after(Duration::from_secs(seconds))
    }

    fn spec(keys: serde_json::Value) -> PromptBundleSpec {
        serde_json::from_value(json!({
            "source": { "repository": "r.example/a", "tag": "v1" },
            "verification": { "insecureUnsigned": true },
            "environments": ["prod"],
            "keys": keys,
        }))
        .unwrap()
    }

    fn asked() -> PromptBundleSpec {
        spec(json!([{ "secretName": "app", "environment": "prod", "rotateAfter": "1d" }]))
    }

    fn key(secret: &str, serial: u64, environment: &str, seconds: u64) -> KeyRecord {
        KeyRecord {
            id: KeyId::generate(at(seconds)),
            hash: ApiKey::generate().unwrap().hash(),
            subject: None,
            name: name(UID, secret, serial),
            project: "desk".parse().unwrap(),
            environment: environment.parse().unwrap(),
            environments: Vec::new(),
            versions: false,
            created_at: at(seconds),
            revoked_at: None,
        }
    }

    fn held(key: Option<KeyId>, previous: Option<KeyId>) -> BTreeMap<String, Held> {
        [("app".to_owned(), Held { ours: true, key, previous, here: true, uid: "s".into() })].into()
    }

    fn issue(serial: u64, previous: Option<KeyId>) -> Step {
        Step::Issue {
            secret: "app".into(),
            environment: "prod".parse().unwrap(),
            name: name(UID, "app", serial),
            previous,
        }
    }

    #[test]
    fn a_key_is_made_once_and_replaced_when_it_is_old() {
        assert_eq!(plan(&asked(), UID, &[], &BTreeMap::new(), at(0)), [issue(1, None)]);
        let first = key("app", 1, "prod", 0);
        let keys = [first.clone()];
        assert_eq!(plan(&asked(), UID, &keys, &held(Some(first.id), None), at(86_399)), []);
        assert_eq!(plan(&asked(), UID, &keys, &held(Some(first.id), None), at(86_400)), [issue(2, Some(first.id))]);
    }

    #[test]
    fn the_key_before_works_for_an_hour_on() {
        let (first, second) = (key("app", 1, "prod", 0), key("app", 2, "prod", 86_400));
        let keys = [first.clone(), second.clone()];
        let secrets = held(Some(second.id), Some(first.id));
        assert_eq!(plan(&asked(), UID, &keys, &secrets, at(86_400 + 3_599)), []);
        assert_eq!(plan(&asked(), UID, &keys, &secrets, at(86_400 + 3_600)), [Step::Revoke { id: first.id }]);
    }

    #[test]
    fn a_key_that_no_secret_has_is_revoked() {
        // The process ended between the key and the Secret.
        let orphan = key("app", 1, "prod", 0);
        let steps = plan(&asked(), UID, std::slice::from_ref(&orphan), &BTreeMap::new(), at(10));
        assert_eq!(steps, [Step::Revoke { id: orphan.id }, issue(2, None)]);
        // In a rotation: the Secret still has the first.
        let (first, lost) = (key("app", 1, "prod", 0), key("app", 2, "prod", 86_400));
        let steps = plan(&asked(), UID, &[first.clone(), lost.clone()], &held(Some(first.id), None), at(86_401));
        assert_eq!(steps, [Step::Revoke { id: lost.id }, issue(3, Some(first.id))]);
    }

    #[test]
    fn what_is_no_longer_asked_for_goes() {
        let first = key("app", 1, "prod", 0);
        let none = spec(json!([]));
        let steps = plan(&none, UID, std::slice::from_ref(&first), &held(Some(first.id), None), at(10));
        assert_eq!(steps, [Step::Revoke { id: first.id }, Step::Delete { secret: "app".into(), uid: "s".into() }]);
        let other = spec(json!([{ "secretName": "app", "environment": "staging" }]));
        let steps = plan(&other, UID, std::slice::from_ref(&first), &held(Some(first.id), None), at(10));
        assert!(matches!(&steps[..], [Step::Issue { previous: Some(id), .. }] if *id == first.id), "{steps:?}");
    }

    #[test]
    fn a_secret_of_somebody_else_is_left_alone() {
        let secrets = [("app".to_owned(), Held::default())].into();
        assert_eq!(plan(&asked(), UID, &[], &secrets, at(0)), [Step::Taken { secret: "app".into() }]);
    }
}
