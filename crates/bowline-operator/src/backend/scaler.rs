//! From and to zero, where KEDA is not there: what the gateways have under way is looked at, often while somebody may wait, and not at all
//! where no backend may be at zero.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bowline_crd::condition::SERVING;
use bowline_crd::{ModelBackend, Serve};
use bowline_types::chain;
use kube::runtime::reflector::Store;
use kube::{Resource as _, ResourceExt as _};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use super::gateways;
use super::scale::{Move, Pods, Quiet, decide, wanted};
use super::serve::has_keda;
use crate::apply::merge;
use crate::condition::{find, timestamp};
use crate::context::Context;
use crate::error::Result;
use crate::event::Reason;
use crate::project::Answer;

/// How often gateways are asked while a backend is at zero, and how often it is looked whether there is one.
const LOOK_AT_ZERO: Duration = Duration::from_secs(2);
/// How often at least while backends run that may go to zero; four times within the shortest `idleAfter` where that is more often.
const LOOK_RUNNING: Duration = Duration::from_secs(15);
/// How often at most.
const LOOK_MIN: Duration = Duration::from_secs(1);

/// Scales the backends of a scope until told to stop.
pub(super) async fn run(context: Arc<Context>, backends: Store<ModelBackend>, stop: CancellationToken) {
    let mut quiet = BTreeMap::new();
    loop {
        let scaled = scaled(&backends.state());
        let waits = scaled.iter().map(|(_, serve)| match wanted(serve) {
            0 => LOOK_AT_ZERO,
            _ => LOOK_RUNNING.min(serve.scale.idle_after / 4).max(LOOK_MIN),
        });
        let wait = waits.min().unwrap_or(LOOK_AT_ZERO);
        if let Err(error) = look(&context, &scaled, &mut quiet).await {
            debug!(error = chain(&error), "model servers stay as they are for now");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Returns the backends that may be at zero.
fn scaled(backends: &[Arc<ModelBackend>]) -> Vec<(Arc<ModelBackend>, Serve)> {
    let serves = backends.iter().filter(|backend| backend.metadata.deletion_timestamp.is_none());
    let serves = serves.filter_map(|backend| Some((Arc::clone(backend), backend.spec.serve.clone()?)));
    serves.filter(|(_, serve)| serve.scale.min == 0).collect()
}

async fn look(
    context: &Arc<Context>,
    scaled: &[(Arc<ModelBackend>, Serve)],
    quiet: &mut BTreeMap<String, Quiet>,
) -> Result<()> {
    quiet.retain(|uid, _| scaled.iter().any(|(backend, _)| backend.uid().as_ref() == Some(uid)));
    if scaled.is_empty() || has_keda(context).await? {
        return Ok(());
    }
    let answers = gateways::ask(context).await?;
    for (backend, serve) in scaled {
        let namespace = backend.namespace().unwrap_or_default();
        let Answer::Project(project) = context.projects.of(&context.client, &namespace).await? else { continue };
        let look = answers.of(&project, &backend.spec.provider);
        let known = quiet.entry(backend.uid().unwrap_or_default()).or_default();
        let replicas = match decide(&serve.scale, &pods(backend, serve), &look, known, context.now()) {
            Move::Stay => continue,
            Move::Wake => 1,
            Move::Sleep => 0,
        };
        scale(context, backend, &namespace, replicas).await?;
    }
    Ok(())
}

/// Returns how the pods are, as the status of the backend tells; nothing where it was not looked at since it was scaled.
fn pods(backend: &ModelBackend, serve: &Serve) -> Pods {
    let wanted = wanted(serve);
    let status = backend.status.as_ref();
    let serving = status.and_then(|status| find(&status.conditions, SERVING));
    let since = serving.filter(|serving| wanted == 0 || serving.status != "False");
    Pods {
        wanted,
        ready: serving.is_some_and(|serving| serving.status == "True"),
        since: since.map(|serving| timestamp(&serving.last_transition_time)),
    }
}

async fn scale(context: &Context, backend: &ModelBackend, namespace: &str, replicas: i32) -> Result<()> {
    let name = backend.name_any();
    // Over the version that was decided about: whoever changed it meanwhile is heard first.
    let change = json!({
        "metadata": { "resourceVersion": backend.resource_version() }, "spec": { "serve": { "replicas": replicas } },
    });
    match merge(&context.api::<ModelBackend>(namespace), &name, &change).await {
        Err(error) if error.status() == Some(409) || error.is_gone() => return Ok(()),
        written => written?,
    };
    let note = match replicas {
        0 => "nobody calls: the last pod goes",
        _ => "a call asks for it: the first pod comes",
    };
    info!(namespace, name, replicas, "a model server is scaled");
    context.events.tell(&backend.object_ref(&()), Reason::Scaled, note).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backend(replicas: i32, serving: Option<&str>) -> (ModelBackend, Serve) {
        let condition = serving.map(|status| {
            json!({"type": SERVING, "status": status, "reason": "x", "message": "", "lastTransitionTime": "2026-11-25T08:00:00Z"})
        });
        let object = json!({
            "apiVersion": "bowline.dev/v1alpha1", "kind": "ModelBackend", "metadata": {"name": "llm", "namespace": "desk"},
            "spec": {"provider": "p", "serve": {"image": "x", "scale": {"min": 0}, "replicas": replicas}},
            "status": {"conditions": Vec::from_iter(condition), "replicas": 0},
        });
        let backend: ModelBackend = serde_json::from_value(object).unwrap();
        let serve = backend.spec.serve.clone().unwrap();
        (backend, serve)
    }

    #[test]
    fn what_the_status_does_not_tell_yet_is_not_known() {
        let check = |replicas: i32, serving: Option<&str>, ready: bool, is_known: bool| {
            let (backend, serve) = backend(replicas, serving);
            let pods = pods(&backend, &serve);
            assert_eq!((pods.wanted, pods.ready, pods.since.is_some()), (replicas, ready, is_known), "{serving:?}");
        };
        check(0, Some("False"), false, true);
        check(1, Some("Unknown"), false, true);
        check(1, Some("True"), true, true);
        // Scaled a moment ago: how long it was at zero says nothing about how long it has been starting.
        check(1, Some("False"), false, false);
        check(1, None, false, false);
    }

    #[test]
    fn only_those_that_may_be_at_zero_are_looked_at() {
        let (zero, _) = backend(0, None);
        let mut one = zero.clone();
        one.spec.serve.as_mut().unwrap().scale.min = 1;
        let mut elsewhere = zero.clone();
        elsewhere.spec.serve = None;
        let all = [zero, one, elsewhere].map(Arc::new);
        assert_eq!(scaled(&all).len(), 1);
    }
}
