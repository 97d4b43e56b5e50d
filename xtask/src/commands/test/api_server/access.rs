use super::super::control_plane::{self, ControlPlane};
use super::{NAMESPACE, OPERATOR, rollout};

const GATEWAY: &str = "system:serviceaccount:bowline-system:bowline-gateway";
const CONTROL: &str = "system:serviceaccount:bowline-system:bowline-control";

/// A user, what they do, where, and whether they may.
type Case<'a> = (&'a str, &'a str, &'a str, &'a str, bool);

/// Asks the API server who may do what.
pub(super) fn check(cluster: &ControlPlane) -> anyhow::Result<()> {
    bind(cluster)?;
    for (user, verb, resource, namespace, expected) in CASES {
        let may = may(cluster, user, verb, resource, namespace)?;
        anyhow::ensure!(may == expected, "{user} may {verb} {resource} in {namespace:?}: {may}");
    }
    // The one on call acts with that role alone, by a patch as kubectl sends it.
    cluster.apply(OPERATOR, &rollout().to_string(), &[])?;
    let annotate = |lever: &str| {
        let annotation = format!("bowline.dev/{lever}=worse");
        let target =
            ["promptrollout", "support.answer-prod-7", "--namespace", NAMESPACE, "--as=oscar"].map(str::to_owned);
        [&["annotate".to_owned()], &target[..], &[annotation]].concat()
    };
    let call = |arguments: Vec<String>| cluster.kubectl(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    call(annotate("abort"))?;
    let other = annotate("rollback");
    cluster.refused(&other.iter().map(String::as_str).collect::<Vec<_>>())?;

    namespaced(cluster)
}

/// Gives people the roles, and waits until those of the cluster have ours in them.
fn bind(cluster: &ControlPlane) -> anyhow::Result<()> {
    for (user, role) in [("vera", "view"), ("ed", "edit"), ("adam", "admin"), ("oscar", "bowline-levers")] {
        let (role, user_is) = (format!("--clusterrole={role}"), format!("--user={user}"));
        cluster.kubectl(&["create", "rolebinding", user, &role, &user_is, "--namespace", NAMESPACE])?;
    }
    control_plane::until("the cluster's roles have those of Bowline", || {
        Ok(may(cluster, "vera", "list", "prompts.bowline.dev", NAMESPACE)?
            && may(cluster, "ed", "create", "promptbundles.bowline.dev", NAMESPACE)?
            && may(cluster, "adam", "patch", "promptrollouts.bowline.dev", NAMESPACE)?)
    })
}

/// Takes the rules of every namespace away: those of one namespace and of its own are left.
fn namespaced(cluster: &ControlPlane) -> anyhow::Result<()> {
    cluster.kubectl(&["delete", "clusterrolebinding", "bowline-operator", "bowline-operator-namespaces"])?;
    control_plane::until("the operator has lost the other namespaces", || {
        Ok(!may(cluster, OPERATOR, "list", "promptbundles.bowline.dev", "default")?)
    })?;
    for (verb, resource, namespace, expected) in [
        ("watch", "promptbundles.bowline.dev", NAMESPACE, true),
        ("patch", "prompts.bowline.dev/status", NAMESPACE, true),
        ("get", "secrets", NAMESPACE, true),
        ("get", "secrets", "default", false),
        ("list", "namespaces", "", false),
        ("update", "leases.coordination.k8s.io", "bowline-system", true),
        ("create", "secrets", "bowline-system", true),
        ("get", "secrets/bowline-tokens", "bowline-system", true),
        ("update", "secrets/bowline-tls", "bowline-system", true),
        ("update", "secrets/others", "bowline-system", false),
        ("get", "secrets/others", "bowline-system", false),
        ("patch", "pods", "bowline-system", true),
    ] {
        let may = may(cluster, OPERATOR, verb, resource, namespace)?;
        anyhow::ensure!(
            may == expected,
            "an operator of some namespaces may {verb} {resource} in {namespace:?}: {may}"
        );
    }
    Ok(())
}

/// Asks whether a user may; `resource` is `kind`, `kind/status` or another subresource of ours, or `secrets/NAME`.
fn may(cluster: &ControlPlane, user: &str, verb: &str, resource: &str, namespace: &str) -> anyhow::Result<bool> {
    let mut arguments = vec!["auth", "can-i", "--as", user, verb];
    match resource.split_once('/') {
        Some((resource, subresource)) if resource.contains('.') => {
            arguments.extend([resource, "--subresource", subresource]);
        }
        _ => arguments.push(resource),
    }
    if namespace.is_empty() {
        arguments.push("--all-namespaces");
    } else {
        arguments.extend(["--namespace", namespace]);
    }
    let said = cluster.asked(&arguments)?;
    match said.split_whitespace().next() {
        Some("yes") => Ok(true),
        Some("no") => Ok(false),
        _ => anyhow::bail!("`kubectl {}` says {said:?}", arguments.join(" ")),
    }
}

const CASES: [Case<'static>; 39] = [
    (OPERATOR, "watch", "promptbundles.bowline.dev", "", true),
    (OPERATOR, "patch", "promptbundles.bowline.dev/status", "", true),
    (OPERATOR, "create", "promptbundles.bowline.dev", "", false),
    (OPERATOR, "delete", "modelbackends.bowline.dev", "", false),
    (OPERATOR, "create", "promptrollouts.bowline.dev", "", true),
    (OPERATOR, "update", "promptrollouts.bowline.dev", "", false),
    (OPERATOR, "get", "secrets", NAMESPACE, true),
    (OPERATOR, "list", "secrets", NAMESPACE, false),
    (OPERATOR, "watch", "secrets", NAMESPACE, false),
    (OPERATOR, "create", "secrets", NAMESPACE, true),
    (OPERATOR, "create", "events.events.k8s.io", NAMESPACE, true),
    (OPERATOR, "list", "pods", NAMESPACE, false),
    (OPERATOR, "list", "pods", "bowline-system", true),
    (OPERATOR, "delete", "pods", "bowline-system", false),
    (OPERATOR, "update", "leases.coordination.k8s.io", "bowline-system", true),
    (OPERATOR, "update", "leases.coordination.k8s.io", "kube-system", false),
    (OPERATOR, "create", "tokenreviews.authentication.k8s.io", "", false),
    (OPERATOR, "list", "namespaces", "", true),
    (OPERATOR, "delete", "namespaces", "", false),
    (GATEWAY, "create", "tokenreviews.authentication.k8s.io", "", true),
    (GATEWAY, "get", "secrets", "bowline-system", false),
    (GATEWAY, "list", "prompts.bowline.dev", "", false),
    (CONTROL, "get", "secrets", "bowline-system", false),
    (CONTROL, "list", "prompts.bowline.dev", "", false),
    ("vera", "list", "promptrollouts.bowline.dev", NAMESPACE, true),
    ("vera", "patch", "promptrollouts.bowline.dev", NAMESPACE, false),
    ("vera", "list", "promptrollouts.bowline.dev", "default", false),
    ("ed", "delete", "promptbundles.bowline.dev", NAMESPACE, true),
    ("ed", "list", "promptversions.bowline.dev", NAMESPACE, true),
    ("ed", "patch", "promptrollouts.bowline.dev", NAMESPACE, false),
    ("ed", "patch", "promptbundles.bowline.dev/status", NAMESPACE, false),
    ("adam", "patch", "prompts.bowline.dev", NAMESPACE, true),
    ("adam", "create", "modelbackends.bowline.dev", NAMESPACE, true),
    ("adam", "create", "prompts.bowline.dev", NAMESPACE, false),
    ("oscar", "patch", "promptrollouts.bowline.dev", NAMESPACE, true),
    ("oscar", "patch", "prompts.bowline.dev", NAMESPACE, true),
    ("oscar", "list", "promptbundles.bowline.dev", NAMESPACE, true),
    ("oscar", "patch", "promptbundles.bowline.dev", NAMESPACE, false),
    ("oscar", "get", "secrets", NAMESPACE, false),
];
