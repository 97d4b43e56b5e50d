//! The status of a ModelBackend, as it follows from what was found and done. Pure.

use bowline_crd::condition::{READY, SERVING, STALLED};
use bowline_crd::{ModelBackend, ModelBackendStatus};
use bowline_types::Timestamp;
use kube::{Resource as _, ResourceExt as _};

use super::name::served_object;
use super::render::BACKEND_LABEL;
use super::serve::Served;
use crate::bundle::Setback;
use crate::condition::{Conditions, Health, Status, Why, find, holds};

/// Returns the status of a backend that is at `endpoint`.
pub(super) fn conclude(
    backend: &ModelBackend,
    endpoint: Option<String>,
    served: Option<&Served>,
    setback: Option<&Setback>,
    now: Timestamp,
) -> ModelBackendStatus {
    let before = backend.status.clone().unwrap_or_default();
    let generation = backend.meta().generation;
    let mut conditions = Conditions::new(&before.conditions, generation, now);
    match served {
        Some(served) => {
            let (status, why) = serving(served);
            conditions.set(SERVING, status, why);
        }
        None if backend.spec.serve.is_none() => conditions.remove(SERVING),
        None => {}
    }
    conditions.health(health(&before, endpoint.as_deref(), served, setback));
    let selector = || format!("{BACKEND_LABEL}={}", served_object(&backend.name_any()));
    ModelBackendStatus {
        observed_generation: generation,
        conditions: conditions.into_vec(),
        endpoint: endpoint.or(before.endpoint),
        replicas: match served {
            Some(served) => served.ready,
            None if backend.spec.serve.is_some() => before.replicas,
            None => 0,
        },
        selector: backend.spec.serve.as_ref().map(|_| selector()),
    }
}

/// Returns whether two statuses say the same; when something began is no difference.
pub(super) fn same(before: &ModelBackendStatus, after: &ModelBackendStatus) -> bool {
    let timeless = |status: &ModelBackendStatus| {
        let mut status = status.clone();
        for condition in &mut status.conditions {
            condition.last_transition_time = crate::condition::time(Timestamp::default());
        }
        status.conditions.sort_by(|a, b| a.type_.cmp(&b.type_));
        status
    };
    timeless(before) == timeless(after)
}

/// Returns what is told of a change of status, where somebody must do something.
pub(super) fn news(before: &ModelBackendStatus, after: &ModelBackendStatus) -> Option<String> {
    let ready = find(&after.conditions, READY)?;
    let is_known = find(&before.conditions, READY).is_some_and(|known| known.reason == ready.reason);
    (holds(&after.conditions, STALLED) && !is_known).then(|| format!("{}: {}", ready.reason, ready.message))
}

fn serving(served: &Served) -> (Status, Why) {
    let Served { wanted, ready, .. } = served;
    let count = format!("{ready} of {wanted} pods are ready");
    match (*wanted, *ready) {
        (0, _) => (Status::False, Why::new("AtZero", "there is no pod, and the next call brings one")),
        (_, 0) => (Status::Unknown, Why::new("Starting", count)),
        _ => (Status::True, Why::new("Serving", count)),
    }
}

fn health(
    before: &ModelBackendStatus,
    endpoint: Option<&str>,
    served: Option<&Served>,
    setback: Option<&Setback>,
) -> Health {
    match setback {
        Some(Setback::Stalled(why) | Setback::Unverified(why) | Setback::Unevaluated(why)) => {
            return Health::Stalled(why.clone());
        }
        // What gateways were told before is still there.
        Some(Setback::Later(why)) => {
            let ready = holds(&before.conditions, READY);
            return Health::Reconciling { why: why.clone(), ready };
        }
        Some(Setback::Failed(_)) | None => {}
    }
    let at = format!("gateways call {}", endpoint.unwrap_or_default());
    let Some(served) = served else { return Health::Ready(Why::new("Configured", at)) };
    if let Some(stuck) = &served.stuck {
        let message = format!("the model server does not start: {stuck}; `kubectl describe` its pods to see why");
        return Health::Stalled(Why::new("Stuck", message));
    }
    let (_, why) = serving(served);
    if served.wanted > 0 && !served.current {
        return Health::Reconciling { why: Why::new("Starting", why.message), ready: served.ready > 0 };
    }
    Health::Ready(Why::new(why.reason, format!("{at}; {}", why.message)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn backend(serves: bool) -> ModelBackend {
        let spec = match serves {
            true => json!({"provider": "p", "serve": {"image": "x"}}),
            false => json!({"provider": "p", "endpoint": {"url": "https://llm.example/v1"}}),
        };
        let metadata = json!({"name": "llm", "namespace": "desk", "generation": 3});
        let object =
            json!({"apiVersion": "bowline.dev/v1alpha1", "kind": "ModelBackend", "metadata": metadata, "spec": spec});
        serde_json::from_value(object).unwrap()
    }

    fn served(wanted: i32, ready: i32, current: bool) -> Served {
        Served { wanted, ready, current, stuck: None }
    }

    /// The conditions that are there, as `Type=Status Reason`.
    fn check(served: Option<&Served>, setback: Option<&Setback>, expected: &[&str]) {
        let endpoint = Some("http://llm.desk.svc:8000/v1".to_owned());
        let status = conclude(&backend(served.is_some()), endpoint, served, setback, Timestamp::default());
        let found = status.conditions.iter().map(|found| format!("{}={} {}", found.type_, found.status, found.reason));
        assert_eq!(found.collect::<Vec<_>>(), expected);
        assert!(status.conditions.iter().all(|found| found.observed_generation == Some(3)));
    }

    #[test]
    fn conditions_follow_from_what_was_found() {
        check(None, None, &["Ready=True Configured"]);
        check(Some(&served(1, 1, true)), None, &["Ready=True Serving", "Serving=True Serving"]);
        check(Some(&served(0, 0, true)), None, &["Ready=True AtZero", "Serving=False AtZero"]);
        let starting = ["Ready=False Starting", "Reconciling=True Starting", "Serving=Unknown Starting"];
        check(Some(&served(1, 0, false)), None, &starting);
        let growing = ["Ready=True Starting", "Reconciling=True Starting", "Serving=True Serving"];
        check(Some(&served(3, 1, false)), None, &growing);
        let stuck = Served { stuck: Some("exceeded its progress deadline".to_owned()), ..served(1, 0, false) };
        check(Some(&stuck), None, &["Ready=False Stuck", "Serving=Unknown Starting", "Stalled=True Stuck"]);
        let missing = Setback::stalled("SecretMissing", "x");
        check(None, Some(&missing), &["Ready=False SecretMissing", "Stalled=True SecretMissing"]);
        let waiting = Setback::later("WaitingForBundle", "x");
        check(None, Some(&waiting), &["Ready=False WaitingForBundle", "Reconciling=True WaitingForBundle"]);
    }

    #[test]
    fn a_control_role_that_is_down_takes_no_readiness_away() {
        let mut backend = backend(false);
        backend.status = Some(conclude(&backend, None, None, None, Timestamp::default()));
        let down = Setback::later("ControlUnavailable", "x");
        let after = conclude(&backend, None, None, Some(&down), Timestamp::default());
        assert!(holds(&after.conditions, READY));
        assert!(!same(backend.status.as_ref().unwrap(), &after));
        assert_eq!(news(backend.status.as_ref().unwrap(), &after), None, "it mends itself");
        let missing = Setback::stalled("SecretMissing", "make it");
        let after = conclude(&backend, None, None, Some(&missing), Timestamp::default());
        assert_eq!(news(backend.status.as_ref().unwrap(), &after).as_deref(), Some("SecretMissing: make it"));
        assert_eq!(news(&after, &after), None);
    }
}
