//! Events: what happened to an object, for `kubectl describe` and whoever collects them.

use bowline_types::chain;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tracing::debug;

use crate::condition::cut;

/// The longest note, in bytes, as the API has it.
const NOTE_BYTES_MAX: usize = 1_024;
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
pub(crate) struct Events(Recorder);

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
        Self(Recorder::new(client, Reporter { controller: CONTROLLER.to_owned(), instance: Some(instance) }))
    }

    /// Tells something about an object. The same again within a few minutes is counted and not repeated.
    pub(crate) async fn tell(&self, about: &ObjectReference, reason: Reason, note: impl AsRef<str>) {
        let event = Event {
            type_: reason.type_(),
            reason: reason.as_str().to_owned(),
            note: Some(cut(note.as_ref(), NOTE_BYTES_MAX)),
            action: reason.as_str().to_owned(),
            secondary: None,
        };
        if let Err(error) = self.0.publish(&event, about).await {
            debug!(
                error = chain(&error),
                reason = reason.as_str(),
                object = about.name,
                "an event could not be written"
            );
        }
    }
}
