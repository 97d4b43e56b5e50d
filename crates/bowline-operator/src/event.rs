//! Events: what happened to an object, for `kubectl describe` and whoever collects them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bowline_types::chain;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tracing::debug;

use crate::condition::cut;

/// The longest note, in bytes, as the API has it.
const NOTE_BYTES_MAX: usize = 1_024;
/// Of how many objects and reasons it is known what was said last. Beyond, it may be said again.
const SAID_MAX: usize = 1_024;
/// Who reports, in events.
const CONTROLLER: &str = "bowline-operator";

/// Why there is an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    Verified,
    VerificationFailed,
    RegistryUnavailable,
    ProjectMismatch,
    Released,
    ReleaseRefused,
    ControlUnavailable,
    RolloutStarted,
    StageAdvanced,
    RolledBack,
    Promoted,
    RolloutEnded,
    Held,
    LeverHandled,
    LeverRefused,
    KeyRotated,
    SecretTaken,
    ServiceAccountTaken,
    Scaled,
    BackendStalled,
}

/// Where events go. One that cannot be written is no reason to stop: conditions say what holds.
#[derive(Clone)]
pub(crate) struct Events {
    client: kube::Client,
    reporter: Reporter,
    said: Arc<Mutex<BTreeMap<About, Said>>>,
}

/// An object, by its UID, and a reason.
type About = (String, &'static str);

/// What was said last, and who counts it when it is said again. A recorder counts by object and reason, and would take another note for the same.
struct Said {
    note: String,
    recorder: Recorder,
}

// === impl Reason ===

impl Reason {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Verified => "Verified",
            Self::VerificationFailed => "VerificationFailed",
            Self::RegistryUnavailable => "RegistryUnavailable",
            Self::ProjectMismatch => "ProjectMismatch",
            Self::Released => "Released",
            Self::ReleaseRefused => "ReleaseRefused",
            Self::ControlUnavailable => "ControlUnavailable",
            Self::RolloutStarted => "RolloutStarted",
            Self::StageAdvanced => "StageAdvanced",
            Self::RolledBack => "RolledBack",
            Self::Promoted => "Promoted",
            Self::RolloutEnded => "RolloutEnded",
            Self::Held => "Held",
            Self::LeverHandled => "LeverHandled",
            Self::LeverRefused => "LeverRefused",
            Self::KeyRotated => "KeyRotated",
            Self::SecretTaken => "SecretTaken",
            Self::ServiceAccountTaken => "ServiceAccountTaken",
            Self::Scaled => "Scaled",
            Self::BackendStalled => "BackendStalled",
        }
    }

    const fn type_(self) -> EventType {
        match self {
            Self::Verified
            | Self::Released
            | Self::RolloutStarted
            | Self::StageAdvanced
            | Self::Promoted
            | Self::RolloutEnded
            | Self::LeverHandled
            | Self::KeyRotated
            | Self::Scaled => EventType::Normal,
            Self::VerificationFailed
            | Self::RegistryUnavailable
            | Self::ProjectMismatch
            | Self::ReleaseRefused
            | Self::ControlUnavailable
            | Self::RolledBack
            | Self::Held
            | Self::LeverRefused
            | Self::SecretTaken
            | Self::ServiceAccountTaken
            | Self::BackendStalled => EventType::Warning,
        }
    }
}

// === impl Events ===

impl Events {
    pub(crate) fn new(client: kube::Client, instance: String) -> Self {
        let reporter = Reporter { controller: CONTROLLER.to_owned(), instance: Some(instance) };
        Self { client, reporter, said: Arc::default() }
    }

    /// Tells something about an object. The same again within a few minutes is counted and not repeated.
    pub(crate) async fn tell(&self, about: &ObjectReference, reason: Reason, note: impl AsRef<str>) {
        let note = cut(note.as_ref(), NOTE_BYTES_MAX);
        let recorder = self.recorder(about, reason, &note);
        let event = Event {
            type_: reason.type_(),
            reason: reason.as_str().to_owned(),
            note: Some(note),
            action: reason.as_str().to_owned(),
            secondary: None,
        };
        if let Err(error) = recorder.publish(&event, about).await {
            debug!(
                error = chain(&error),
                reason = reason.as_str(),
                object = about.name,
                "an event could not be written"
            );
        }
    }
    /// Returns the recorder that counts this note; a new one where another was said last.
    fn recorder(&self, about: &ObjectReference, reason: Reason, note: &str) -> Recorder {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (about.uid.clone().unwrap_or_default(), reason.as_str());
        if let Some(last) = said.get(&key).filter(|last| last.note == note) {
            return last.recorder.clone();
        }
        if said.len() >= SAID_MAX {
            said.clear();
        }
        let recorder = Recorder::new(self.client.clone(), self.reporter.clone());
        said.insert(key, Said { note: note.to_owned(), recorder: recorder.clone() });
        recorder
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http::{Method, Request, Response};
    use http_body_util::BodyExt as _;
    use kube::client::Body;

    use super::*;

    /// Answers everything with what it was sent, and keeps how it was asked.
    fn client(asked: &Arc<Mutex<Vec<Method>>>) -> kube::Client {
        let asked = Arc::clone(asked);
        let server = tower::service_fn(move |request: Request<Body>| {
            asked.lock().unwrap().push(request.method().clone());
            async move {
                let body = request.into_body().collect().await.unwrap().to_bytes();
                Ok::<_, Infallible>(Response::new(Body::from(body.to_vec())))
            }
        });
        kube::Client::new(server, "desk")
    }

    #[tokio::test]
    async fn the_same_is_counted_and_something_else_is_told() {
        let asked = Arc::default();
        let events = Events::new(client(&asked), "one".to_owned());
        let about = |uid: &str| ObjectReference {
            uid: Some(uid.to_owned()),
            name: Some("llm".to_owned()),
            namespace: Some("desk".to_owned()),
            ..ObjectReference::default()
        };
        for (uid, note) in [("1", "up"), ("1", "up"), ("1", "down"), ("2", "down"), ("1", "down")] {
            events.tell(&about(uid), Reason::Scaled, note).await;
        }
        assert_eq!(*asked.lock().unwrap(), [Method::POST, Method::PATCH, Method::POST, Method::POST, Method::PATCH]);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let _entered = runtime.enter();
        let events = Events::new(client(&Arc::default()), "one".to_owned());
        for uid in 0..=SAID_MAX {
            let about = ObjectReference { uid: Some(uid.to_string()), ..ObjectReference::default() };
            events.recorder(&about, Reason::Scaled, "up");
        }
        assert_eq!(events.said.lock().unwrap().len(), 1);
    }
}
