use bowline_crd::condition::{READY, STALLED, VERIFIED};
use bowline_crd::{PromptBundle, PromptBundleStatus};
use kube::{Resource as _, ResourceExt as _};

use super::status;
use crate::apply::apply_status;
use crate::condition::{find, holds};
use crate::context::Context;
use crate::error::Result;
use crate::event::Reason;
use crate::metrics::KindLabel;

/// Writes a status where it says something else than the one that is there, and tells what that is.
pub(super) async fn write(
    context: &Context,
    bundle: &PromptBundle,
    before: &PromptBundleStatus,
    wanted: PromptBundleStatus,
    version: Option<&str>,
) -> Result<()> {
    if status::same(before, &wanted) {
        return Ok(());
    }
    let api = context.api::<PromptBundle>(&bundle.namespace().unwrap_or_default());
    for (reason, note) in news(before, &wanted) {
        context.events.tell(&bundle.object_ref(&()), reason, note).await;
    }
    apply_status(&api, &bundle.name_any(), &wanted, version).await?;
    context.metrics.writes.get_or_create(&KindLabel { kind: "PromptBundle" }).inc();
    Ok(())
}

/// Returns what is told of a change of status.
fn news(before: &PromptBundleStatus, after: &PromptBundleStatus) -> Vec<(Reason, String)> {
    let mut news = Vec::new();
    if holds(&after.conditions, VERIFIED) && (!holds(&before.conditions, VERIFIED) || before.digest != after.digest) {
        let digest = after.digest.map(|digest| digest.short()).unwrap_or_default();
        let message = find(&after.conditions, VERIFIED).map(|verified| verified.message.clone()).unwrap_or_default();
        news.push((Reason::Verified, format!("bundle {digest}: {message}")));
    }
    let Some(ready) = find(&after.conditions, READY) else { return news };
    if find(&before.conditions, READY).is_some_and(|known| known.reason == ready.reason)
        && before.digest == after.digest
    {
        return news;
    }
    let reason = match ready.reason.as_str() {
        "VerificationFailed" | "EvaluationFailed" => Reason::VerificationFailed,
        "RegistryUnavailable" | "RegistryRefused" | "BundleNotFound" => Reason::RegistryUnavailable,
        "ProjectMismatch" | "ProjectTaken" | "ProjectMissing" => Reason::ProjectMismatch,
        "ControlUnavailable" => Reason::ControlUnavailable,
        "Held" | "RolloutHeld" => Reason::Held,
        "SecretTaken" => Reason::SecretTaken,
        "ServiceAccountTaken" => Reason::ServiceAccountTaken,
        _ if holds(&after.conditions, STALLED) => Reason::ReleaseRefused,
        _ => return news,
    };
    news.push((reason, ready.message.clone()));
    news
}
