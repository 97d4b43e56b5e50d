//! What a PromptBundle says when its source is not as it should be, and that it recovers by itself.

use anyhow::{Context as _, ensure};

use super::super::control_plane::{ControlPlane, until_within};
use super::repository::{Pushed, Repository};
use super::story::{self, act};
use super::{PATIENCE, desk};

/// Lets each of them happen, and be mended.
pub(super) fn each(cluster: &ControlPlane, repository: &Repository) -> anyhow::Result<()> {
    let live = story::live(cluster)?;
    for (what, key) in [("an unsigned bundle", None), ("a bundle that a stranger signed", Some("stranger"))] {
        act(what, || {
            // Only the commit is another, so that the bundle is: no version would be released by this.
            repository.touch(what)?;
            let pushed = repository.push(cluster, key)?;
            seen(cluster, &pushed)?;
            says(cluster, "Stalled", "True", "VerificationFailed")?;
            says(cluster, "Verified", "False", "VerificationFailed")?;
            ensure!(story::live(cluster)? == live, "{} is live", pushed.version);
            Ok(())
        })?;
    }
    act("the same bundle, signed", || released(cluster, repository))?;
    act("the tag is moved during a rollout", || moved(cluster, repository, &live))?;
    act("the key of the signer is replaced, and put back", || {
        key_of_signer(cluster, repository, "next")?;
        repository.touch("after the key was replaced")?;
        let pushed = repository.push(cluster, Some("ci"))?;
        seen(cluster, &pushed)?;
        says(cluster, "Stalled", "True", "VerificationFailed")?;
        key_of_signer(cluster, repository, "ci")?;
        story::bundle_ready(cluster, &pushed)
    })?;
    act("the registry is down", || {
        desk(cluster, &["scale", "deployment/registry", "--replicas=0"])?;
        says(cluster, "Reconciling", "True", "RegistryUnavailable")?;
        // What is live stays, and so the object stays ready.
        says(cluster, "Ready", "True", "RegistryUnavailable")?;
        ensure!(story::live(cluster)? == live, "what is live is another version without a registry");
        Ok(())
    })?;
    act("the registry is back", || {
        desk(cluster, &["scale", "deployment/registry", "--replicas=1"])?;
        desk(cluster, &["rollout", "status", "deployment/registry", "--timeout=60s"])?;
        released(cluster, repository)
    })
}

/// Pushes a candidate and, while that is tried, what is live again: the rollout ends, and nothing moved.
fn moved(cluster: &ControlPlane, repository: &Repository, live: &str) -> anyhow::Result<()> {
    repository.try_long()?;
    let candidate = repository.push(cluster, Some("ci"))?;
    says(cluster, "Reconciling", "True", "RollingOut")?;
    repository.revert()?;
    let back = repository.push(cluster, Some("ci"))?;
    ensure!(back.version == live, "{} is pushed, not what is live", back.version);
    story::ended(cluster, &candidate.version, "superseded")?;
    story::bundle_ready(cluster, &back)?;
    ensure!(story::live(cluster)? == live, "{} is live", story::live(cluster)?);
    let rows = story::log(cluster, repository)?;
    let ends = rows.iter().filter(|row| row["action"] == "superseded").count();
    ensure!(ends == 1, "the rollout ended {ends} times");
    Ok(())
}

/// Replaces the key in the Secret that the PromptBundle names.
fn key_of_signer(cluster: &ControlPlane, repository: &Repository, key: &str) -> anyhow::Result<()> {
    let file = format!("--from-file=cosign.pub={}", repository.public_key(key).display());
    let dry = ["--dry-run=client", "--output=yaml"];
    let secret = desk(cluster, &[&["create", "secret", "generic", "cosign", &file][..], &dry].concat())?;
    // Whoever wrote it first keeps nothing of it.
    cluster.apply("", &secret, &["--force-conflicts"])
}

/// Pushes the bundle with the right key, after which all is well.
pub(super) fn released(cluster: &ControlPlane, repository: &Repository) -> anyhow::Result<()> {
    let pushed = repository.push(cluster, Some("ci"))?;
    seen(cluster, &pushed)?;
    story::bundle_ready(cluster, &pushed)?;
    says(cluster, "Ready", "True", "Released")
}

/// Waits until the operator has seen a bundle.
pub(super) fn seen(cluster: &ControlPlane, pushed: &Pushed) -> anyhow::Result<()> {
    let digest = format!("--for=jsonpath={{.status.digest}}={}", pushed.bundle);
    desk(cluster, &["wait", "promptbundle/desk", &digest, "--timeout=60s"]).map(drop)
}

/// Waits until a condition of the PromptBundle is as told.
fn says(cluster: &ControlPlane, condition: &str, status: &str, reason: &str) -> anyhow::Result<()> {
    let mut last = String::new();
    let waited = until_within(PATIENCE, &format!("{condition} is {status} with the reason {reason}"), || {
        let bundle = story::get(cluster, "promptbundle/desk")?;
        let conditions = bundle["status"]["conditions"].as_array().cloned().unwrap_or_default();
        last = serde_json::to_string(&conditions)?;
        let found = conditions.iter().find(|found| found["type"] == condition);
        Ok(found.is_some_and(|found| found["status"] == status && found["reason"] == reason))
    });
    waited.with_context(|| format!("it says {last}"))
}
