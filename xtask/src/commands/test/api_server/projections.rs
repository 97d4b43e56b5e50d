use serde_json::{Value, json};

use super::super::control_plane::{self, ControlPlane};
use super::{DRY, NAMESPACE, OPERATOR, digest, object, prompt, rollout, version};

/// Writes projections as the operator, tries to as somebody else, pulls levers, and reads them as people do.
pub(super) fn check(cluster: &ControlPlane) -> anyhow::Result<()> {
    // A policy acts a moment after it is there.
    control_plane::until("the policies act", || Ok(cluster.apply("", &prompt().to_string(), &DRY).is_err()))?;
    for projection in [prompt(), version(), rollout()] {
        let said = cluster.apply_refused("", &projection.to_string(), &[])?;
        let expected = " is a projection that the operator writes: change the prompt's file in Git";
        anyhow::ensure!(said.contains(expected), "{said}");
        cluster.apply(OPERATOR, &projection.to_string(), &[])?;
    }
    people_change_nothing(cluster)?;
    people_pull_levers(cluster)?;
    nothing_changes_what_is_immutable(cluster)?;
    columns(cluster)?;
    deleted(cluster)
}

fn patch(cluster: &ControlPlane, target: &str, patch: &Value, more: &[&str]) -> anyhow::Result<String> {
    let patch = patch.to_string();
    cluster.kubectl(&[&["patch", target, "--namespace", NAMESPACE, "--type=merge", "--patch", &patch], more].concat())
}

fn patch_refused(
    cluster: &ControlPlane,
    target: &str,
    patch: &Value,
    more: &[&str],
    message: &str,
) -> anyhow::Result<()> {
    let text = patch.to_string();
    let said = cluster
        .refused(&[&["patch", target, "--namespace", NAMESPACE, "--type=merge", "--patch", &text], more].concat())?;
    anyhow::ensure!(said.contains(message), "{target} with {patch}: not {message:?} but {said}");
    Ok(())
}

const PROMPT: &str = "prompt/support.answer";
const VERSION: &str = "promptversion/support.answer-aaaaaaaaaaaa";
const ROLLOUT: &str = "promptrollout/support.answer-prod-7";

fn people_change_nothing(cluster: &ControlPlane) -> anyhow::Result<()> {
    let state = json!({"status": {"state": "promoted"}});
    let act = "to act now: kubectl annotate promptrollout support.answer-prod-7 bowline.dev/abort=\"why\"";
    patch_refused(cluster, ROLLOUT, &state, &["--subresource=status"], act)?;
    let live = json!({"status": {"summary": "prod"}});
    let act = "to act now: kubectl annotate prompt support.answer bowline.dev/rollback=\"prod why\"";
    patch_refused(cluster, PROMPT, &live, &["--subresource=status"], act)?;
    let metadata = |field: &str, value: Value| json!({"metadata": {field: value}});
    let foreign = "its owner and its finalizers are the operator's";
    patch_refused(cluster, VERSION, &metadata("finalizers", json!(["example.com/mine"])), &[], foreign)?;
    let label = metadata("labels", json!({"bowline.dev/project": "other"}));
    patch_refused(cluster, PROMPT, &label, &[], "give it labels of your own")?;
    for (target, lever, levers) in [
        (ROLLOUT, "rollback", "bowline.dev/abort, bowline.dev/promote, bowline.dev/actor"),
        (PROMPT, "abort", "bowline.dev/rollback, bowline.dev/actor"),
        (VERSION, "abort", "none"),
        (PROMPT, "prompt", "bowline.dev/rollback, bowline.dev/actor"),
    ] {
        let annotation = metadata("annotations", json!({format!("bowline.dev/{lever}"): "why"}));
        patch_refused(cluster, target, &annotation, &[], &format!("has these for people: {levers}"))?;
    }
    // What the operator wrote is not taken away either.
    let label = metadata("labels", json!({"bowline.dev/project": "desk"}));
    patch(cluster, PROMPT, &label, &["--as", OPERATOR])?;
    let nothing = metadata("labels", json!({"bowline.dev/project": null}));
    patch_refused(cluster, PROMPT, &nothing, &[], "give it labels of your own")?;
    // What is somebody's own may stand there.
    patch(
        cluster,
        PROMPT,
        &json!({"metadata": {"labels": {"team": "desk"}, "annotations": {"example.com/note": "hot"}}}),
        &[],
    )?;
    Ok(())
}

fn people_pull_levers(cluster: &ControlPlane) -> anyhow::Result<()> {
    let annotate = |lever: &str, actor: Value| json!({"metadata": {"annotations": {format!("bowline.dev/{lever}"): "prod why", "bowline.dev/actor": actor}}});
    for (target, lever) in
        [(ROLLOUT, "abort"), (ROLLOUT, "promote"), (PROMPT, "rollback"), ("promptbundle/desk", "freeze")]
    {
        let (bea, on_call) = (["--as=bea", "--as-group=system:masters"], ["--as=cas", "--as-group=system:masters"]);
        patch_refused(
            cluster,
            target,
            &annotate(lever, json!("ada")),
            &bea,
            "bowline.dev/actor is \"ada\", but you are \"bea\": say so, or leave it away (bowline.dev/actor-)",
        )?;
        patch(cluster, target, &annotate(lever, json!("bea")), &bea)?;
        // Another one may do something else meanwhile, but pulls no lever in that name.
        patch(cluster, target, &json!({"metadata": {"labels": {"seen": lever}}}), &on_call)?;
        let other = json!({"metadata": {"annotations": {format!("bowline.dev/{lever}"): "prod otherwise"}}});
        patch_refused(cluster, target, &other, &on_call, "bowline.dev/actor is \"bea\", but you are \"cas\"")?;
        // The operator takes the lever away, and so may people.
        patch(cluster, target, &annotate(lever, Value::Null), &["--as", OPERATOR])?;
        patch(cluster, target, &annotate(lever, Value::Null), &on_call)?;
        patch(cluster, target, &other, &on_call)?;
        patch(
            cluster,
            target,
            &json!({"metadata": {"annotations": {format!("bowline.dev/{lever}"): null}}}),
            &on_call,
        )?;
    }
    Ok(())
}

fn nothing_changes_what_is_immutable(cluster: &ControlPlane) -> anyhow::Result<()> {
    let operator = ["--as", OPERATOR];
    let spec = |field: &str, value: Value| json!({"spec": {field: value}});
    let message = "a version is immutable: a change in Git is another version";
    patch_refused(cluster, VERSION, &spec("digest", json!(digest("c"))), &operator, message)?;
    let message = "a Prompt is a projection that the operator writes: change the prompt's file in Git; to act now: kubectl annotate prompt NAME";
    patch_refused(cluster, PROMPT, &spec("prompt", json!("support/other")), &operator, message)?;
    patch_refused(cluster, PROMPT, &spec("prompt", json!("support/other")), &[], message)?;
    let message = "a PromptRollout is a projection that the operator writes: change the prompt's file in Git; to act now: kubectl annotate promptrollout NAME";
    patch_refused(cluster, ROLLOUT, &spec("stages", json!(["100%"])), &operator, message)
}

/// Looks at the tables that `kubectl get` prints.
fn columns(cluster: &ControlPlane) -> anyhow::Result<()> {
    let status = |target: &str, status: Value| {
        patch(cluster, target, &json!({"status": status}), &["--subresource=status", "--as", OPERATOR])
    };
    let live = |name: &str| json!({"name": name, "version": digest("a"), "short": "aaaaaaaaaaaa", "movedAt": "2026-11-25T10:00:00Z"});
    let ready = json!([{"type": "Ready", "status": "True", "reason": "Live", "message": "", "lastTransitionTime": "2026-11-25T10:00:00Z"}]);
    let summary = "prod aaaaaaaaaaaa, staging aaaaaaaaaaaa";
    status(PROMPT, json!({"environments": [live("prod"), live("staging")], "summary": summary, "conditions": ready}))?;
    let arm = |units: i64, rate: &str| json!({"units": units, "rate": rate});
    status(
        ROLLOUT,
        json!({"state": "rolled_back", "share": "10%", "stable": arm(1204, "0.883"), "candidate": arm(212, "0.861")}),
    )?;
    for (kind, head, row) in [
        ("prompts", "NAME PROMPT LIVE READY AGE", format!("support.answer support/answer {summary} True")),
        (
            "promptversions",
            "NAME PROMPT VERIFIED EVALUATED RELEASED AGE",
            "support.answer-aaaaaaaaaaaa support/answer".to_owned(),
        ),
        (
            "promptrollouts",
            "NAME PROMPT ENVIRONMENT STATE SHARE STABLE CANDIDATE UNITS AGE",
            "support.answer-prod-7 support/answer prod rolled_back 10% 0.883 0.861 212".to_owned(),
        ),
        ("promptbundles", "NAME READY REASON PROJECT TAG AGE", "desk main".to_owned()),
        ("modelbackends", "NAME PROVIDER ENDPOINT READY REASON AGE", "openai openai".to_owned()),
    ] {
        let table = cluster.kubectl(&["get", kind, "--namespace", NAMESPACE])?;
        let squeezed = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        anyhow::ensure!(table.lines().next().map(squeezed).as_deref() == Some(head), "{kind} has the columns {table}");
        anyhow::ensure!(
            table.lines().any(|line| squeezed(line).starts_with(&row)),
            "no row of {kind} is {row:?}: {table}"
        );
        anyhow::ensure!(
            table.lines().all(|line| line.trim_end().chars().count() <= 120),
            "{kind} is wider than 120: {table}"
        );
    }
    let found = |selector: &str| {
        let selector = format!("--field-selector={selector}");
        cluster.kubectl(&["get", "promptrollouts", "--namespace", NAMESPACE, "--output=name", &selector])
    };
    anyhow::ensure!(found("spec.prompt=support/answer,spec.environment=prod")?.contains("support.answer-prod-7"));
    anyhow::ensure!(found("spec.environment=staging")?.is_empty(), "a selector finds what it does not name");
    Ok(())
}

/// Deletes a Prompt: what it owns goes with it, by the garbage collector, which the policies do not stop.
fn deleted(cluster: &ControlPlane) -> anyhow::Result<()> {
    let uid = cluster.kubectl(&["get", PROMPT, "--namespace", NAMESPACE, "--output=jsonpath={.metadata.uid}"])?;
    let mut owned = object("PromptVersion", "support.answer-owned", &version()["spec"]);
    owned["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "bowline.dev/v1alpha1",
        "kind": "Prompt",
        "name": "support.answer",
        "uid": uid,
        "controller": true,
        "blockOwnerDeletion": true,
    }]);
    cluster.apply(OPERATOR, &owned.to_string(), &[])?;
    cluster.kubectl(&["delete", PROMPT, "--namespace", NAMESPACE, "--cascade=foreground", "--timeout=60s"])?;
    let left = cluster.kubectl(&["get", "promptversions", "--namespace", NAMESPACE, "--output=name"])?;
    anyhow::ensure!(!left.contains("owned"), "after its Prompt there is {left}");
    // One that nobody owns is left, and may be deleted by hand.
    cluster.kubectl(&["delete", VERSION, ROLLOUT, "--namespace", NAMESPACE, "--timeout=60s"])?;
    Ok(())
}
