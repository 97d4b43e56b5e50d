//! A release of a bundle to the environments of a PromptBundle, by the same API as `bowline release`.

use bowline_delivery::Delivery;
use bowline_registry::{ReleaseResult, ReleaseStatus};
use bowline_server::wire::ReleaseResponse;
use bowline_server::{Client as Control, ClientError};
use bowline_store::Fence;
use bowline_types::{EnvironmentName, chain};

use crate::backend::{Endpoint, foreign_file, merge};
use crate::condition::Why;
use crate::error::Error;

/// Why a bundle does not go on.
#[derive(Debug)]
pub(crate) enum Setback {
    /// Somebody must do something.
    Stalled(Why),
    /// It is tried again by itself.
    Later(Why),
    /// The bundle is not signed as asked for.
    Unverified(Why),
    /// The suites that are asked for did not pass.
    Unevaluated(Why),
    /// The API server refused, or cannot be reached: nothing can be said to anybody.
    Failed(Error),
}

/// Who releases, and with which number of its manifest: the control role refuses one that is smaller than the largest it has seen, as a request may
/// come late that an operator sent before it lost its lease.
pub(super) struct Releaser<'a> {
    pub(super) control: &'a Control,
    pub(super) actor: String,
    pub(super) fence: Fence,
    /// Where the providers of the project are, in this cluster.
    pub(super) endpoints: Vec<Endpoint>,
}

// === impl Setback ===

impl Setback {
    /// Somebody must do something.
    pub(crate) fn stalled(reason: &'static str, message: impl Into<String>) -> Self {
        Self::Stalled(Why::new(reason, message))
    }

    /// It is tried again by itself.
    pub(crate) fn later(reason: &'static str, message: impl Into<String>) -> Self {
        Self::Later(Why::new(reason, message))
    }
}

impl From<Error> for Setback {
    fn from(error: Error) -> Self {
        match error {
            Error::Control { .. } | Error::NoControl => Self::later("ControlUnavailable", chain(&error)),
            other => Self::Failed(other),
        }
    }
}

// === impl Releaser ===

impl Releaser<'_> {
    /// Releases a bundle to an environment; again where that was done already, which changes nothing.
    pub(super) async fn release(
        &self,
        delivery: &Delivery,
        environment: &EnvironmentName,
    ) -> Result<Vec<ReleaseResult>, Setback> {
        let request = delivery.request(environment.clone(), self.actor.clone(), &[]);
        let mut request = request.map_err(|error| Setback::stalled("BundleInvalid", chain(&error)))?;
        request.fence = Some(self.fence.clone());
        request.config = merge(request.config, &self.endpoints);
        if let Some((provider, reference)) = foreign_file(&request.config, &self.endpoints) {
            let message = format!(
                "provider `{provider}` of the bundle has the credential `{reference}`, and gateways keep keys of other namespaces in files; \
                 give it a ModelBackend with `secretRef`, and take `api_key` out of bowline.yaml"
            );
            return Err(Setback::stalled("CredentialRefused", message));
        }
        let released = self.control.post::<ReleaseResponse>("/releases", &request).await;
        released.map(|response| response.results).map_err(|error| refused(environment, &error))
    }
}

/// Returns what follows from a failure of the control role.
fn refused(environment: &EnvironmentName, error: &ClientError) -> Setback {
    match error {
        ClientError::Refused { status: 400..=499, message, .. } => {
            Setback::stalled("ReleaseRefused", format!("release to `{environment}`: {message}"))
        }
        other => Setback::later("ControlUnavailable", chain(other)),
    }
}

/// Returns what a release did, in words, for an event; `None` where it changed nothing.
pub(super) fn words(environment: &EnvironmentName, results: &[ReleaseResult]) -> Option<String> {
    let (mut moved, mut started, mut held) = (Vec::new(), Vec::new(), Vec::new());
    for ReleaseResult { prompt, status, .. } in results {
        match status {
            ReleaseStatus::Moved { .. } => moved.push(prompt.to_string()),
            ReleaseStatus::Started { number, .. } => started.push(format!("{prompt} (rollout {number})")),
            ReleaseStatus::Held { .. } => held.push(prompt.to_string()),
            ReleaseStatus::Withdrawn { number } => moved.push(format!("{prompt} (rollout {number} is withdrawn)")),
            ReleaseStatus::Unchanged | ReleaseStatus::InRollout { .. } => {}
        }
    }
    let part =
        |what: &str, prompts: &[String]| (!prompts.is_empty()).then(|| format!("{what}: {}", prompts.join(", ")));
    let parts: Vec<_> =
        [part("live", &moved), part("rolling out", &started), part("held", &held)].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| format!("{environment}: {}", parts.join("; ")))
}
