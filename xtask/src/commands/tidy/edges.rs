use super::Problem;
use crate::workspace::{Crate, Workspace};

/// A crate and the crates of the workspace that it may see.
type Row = (&'static str, &'static [&'static str]);

/// What each crate may see: `types → pure domains → traits they own → adapters → surfaces → binary`.
const EDGES: [Row; 21] = [
    ("bowline-types", &[]),
    ("bowline-canary", &["bowline-types"]),
    ("bowline-chat", &["bowline-types"]),
    // A prompt's front matter and the project file carry the plan of a rollout.
    ("bowline-prompt", &["bowline-types", "bowline-canary"]),
    ("bowline-providers", &["bowline-types", "bowline-chat"]),
    // Artifacts and registries know nothing of prompts: images of any kind go the same way.
    ("bowline-oci", &["bowline-types"]),
    ("bowline-signature", &["bowline-types"]),
    ("bowline-store", &["bowline-types"]),
    ("bowline-store-sqlite", &["bowline-types", "bowline-store"]),
    ("bowline-registry", &["bowline-types", "bowline-canary", "bowline-prompt", "bowline-store"]),
    ("bowline-telemetry", &["bowline-types", "bowline-store"]),
    // Assertions judge with the success contract's own expressions and refusals, and the gate with the rollout's own statistics.
    ("bowline-eval", &["bowline-types", "bowline-canary", "bowline-prompt", "bowline-telemetry"]),
    ("bowline-sim", &["bowline-types", "bowline-chat", "bowline-providers"]),
    (
        "bowline-gateway",
        &[
            "bowline-types",
            "bowline-canary",
            "bowline-chat",
            "bowline-prompt",
            "bowline-providers",
            "bowline-store",
            "bowline-registry",
            "bowline-telemetry",
        ],
    ),
    (
        "bowline-server",
        &[
            "bowline-types",
            "bowline-canary",
            "bowline-prompt",
            "bowline-store",
            "bowline-registry",
            "bowline-telemetry",
        ],
    ),
    // Where bundles, what is attached to them and the policy of an environment meet: one way for the command line and the operator. A release is a
    // request of the control API, and what a suite is called in a report is the digest that the suite reader gives it.
    (
        "bowline-delivery",
        &[
            "bowline-types",
            "bowline-prompt",
            "bowline-registry",
            "bowline-oci",
            "bowline-signature",
            "bowline-eval",
            "bowline-server",
        ],
    ),
    ("bowline-crd", &["bowline-types"]),
    (
        "bowline-operator",
        &[
            "bowline-types",
            // The evidence of a rollout, as projections show it.
            "bowline-canary",
            "bowline-crd",
            "bowline-prompt",
            "bowline-oci",
            "bowline-signature",
            "bowline-store",
            "bowline-registry",
            "bowline-delivery",
            // It calls the control API, as the command line does, by the same client.
            "bowline-server",
            // Its tests run a control role, which counts.
            "bowline-telemetry",
        ],
    ),
    ("bowline-testkit", &["bowline-types"]),
    ("bowline", EVERY_CRATE),
    (
        "xtask",
        // The kit of tests has the registry that a bench needs.
        &[
            "bowline-types",
            "bowline-canary",
            "bowline-crd",
            "bowline-eval",
            "bowline-prompt",
            "bowline-providers",
            "bowline-testkit",
        ],
    ),
];

/// Only the binary names every crate.
const EVERY_CRATE: &[&str] = &[
    "bowline-types",
    "bowline-canary",
    "bowline-chat",
    "bowline-prompt",
    "bowline-providers",
    "bowline-oci",
    "bowline-signature",
    "bowline-store",
    "bowline-store-sqlite",
    "bowline-registry",
    "bowline-telemetry",
    "bowline-eval",
    "bowline-sim",
    "bowline-gateway",
    "bowline-server",
    "bowline-delivery",
    "bowline-crd",
    "bowline-operator",
];

/// What the tests of any crate may see besides.
const TESTS: [&str; 3] = ["bowline-testkit", "bowline-sim", "bowline-store-sqlite"];

const NETWORK: &[&str] = &[
    "bowline-oci",
    "bowline-telemetry",
    "bowline-gateway",
    "bowline-server",
    // It asks gateways what they have under way.
    "bowline-operator",
    "bowline-sim",
    "bowline",
];

/// Libraries that not every crate may use: domains never see sockets or SQL, and only programs drop the type of an error.
const RESERVED: [Row; 11] = [
    ("anyhow", &["bowline", "xtask"]),
    ("clap", &["bowline", "xtask"]),
    ("axum", &["bowline-server", "bowline"]),
    ("rusqlite", &["bowline-store-sqlite"]),
    ("hyper", NETWORK),
    ("hyper-util", NETWORK),
    // The server has both ends of the way between gateways and control.
    ("hyper-rustls", &["bowline-oci", "bowline-telemetry", "bowline-gateway", "bowline-server"]),
    ("tower", &["bowline-server", "bowline"]),
    (
        "tokio",
        &[
            "bowline-oci",
            "bowline-telemetry",
            "bowline-gateway",
            "bowline-server",
            "bowline-sim",
            "bowline-store-sqlite",
            "bowline-operator",
            "bowline",
        ],
    ),
    ("notify", &["bowline"]),
    ("kube", &["bowline-crd", "bowline-operator"]),
];

/// Checks that no manifest asks for a crate that it may not see.
pub(super) fn check(workspace: &Workspace) -> anyhow::Result<Vec<Problem>> {
    Ok(problems(&EDGES, &workspace.crates))
}

fn problems(edges: &[Row], crates: &[Crate]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for member in crates {
        let Some((_, seen)) = edges.iter().find(|(name, _)| *name == member.name) else {
            let message =
                format!("`{}` has no row in the table of edges (xtask/src/commands/tidy/edges.rs)", member.name);
            problems.push(Problem::new("Cargo.toml", message));
            continue;
        };
        for dependency in &member.dependencies {
            let name = dependency.name.as_str();
            let in_tests = dependency.kind.as_deref() == Some("dev");
            let is_internal = crates.iter().any(|other| other.name == name);
            if is_internal && !(seen.contains(&name) || in_tests && TESTS.contains(&name)) {
                let message = format!("`{}` may not see `{name}`", member.name);
                problems.push(Problem::new(format!("crate {}", member.name), message));
            }
            let reserved = RESERVED.iter().find(|(library, _)| *library == name);
            if reserved.is_some_and(|(_, users)| !in_tests && !users.contains(&member.name.as_str())) {
                let message = format!("`{}` may not use `{name}` outside tests", member.name);
                problems.push(Problem::new(format!("crate {}", member.name), message));
            }
        }
    }
    let gone = edges.iter().filter(|(name, _)| !crates.iter().any(|member| member.name == *name));
    problems.extend(gone.map(|(name, _)| Problem::new("the table of edges", format!("there is no crate `{name}`"))));
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: [Row; 3] = [("types", &[]), ("gateway", &["types"]), ("bowline-testkit", &["types"])];

    /// Checks the problem that the manifest of `gateway` has with one entry, given as `cargo metadata` writes it.
    fn check(entry: &str, expected: Option<&str>) {
        let metadata = format!(
            r#"[{{"name": "types", "manifest_path": "/t", "dependencies": [], "targets": []}},
                {{"name": "bowline-testkit", "manifest_path": "/k", "dependencies": [], "targets": []}},
                {{"name": "gateway", "manifest_path": "/g", "dependencies": [{entry}], "targets": []}}]"#
        );
        let crates: Vec<Crate> = serde_json::from_str(&metadata).unwrap();
        let found: Vec<_> = problems(&TABLE, &crates).into_iter().map(|problem| problem.message).collect();
        assert_eq!(found, Vec::from_iter(expected), "{entry}");
    }

    #[test]
    fn an_edge_outside_the_table_is_a_problem() {
        check(r#"{"name": "types", "kind": null}"#, None);
        check(r#"{"name": "serde", "kind": null}"#, None);
        check(r#"{"name": "bowline-testkit", "kind": "dev"}"#, None);
        check(r#"{"name": "bowline-testkit", "kind": null}"#, Some("`gateway` may not see `bowline-testkit`"));
        check(r#"{"name": "gateway", "kind": "build"}"#, Some("`gateway` may not see `gateway`"));
        check(r#"{"name": "rusqlite", "kind": null}"#, Some("`gateway` may not use `rusqlite` outside tests"));
        check(r#"{"name": "rusqlite", "kind": "dev"}"#, None);
    }

    #[test]
    fn the_table_names_the_crates_that_are_there() {
        let crates: Vec<Crate> = serde_json::from_str(
            r#"[{"name": "types", "manifest_path": "/t", "dependencies": [], "targets": []},
                {"name": "new", "manifest_path": "/n", "dependencies": [], "targets": []}]"#,
        )
        .unwrap();
        let found: Vec<_> = problems(&TABLE, &crates).into_iter().map(|problem| problem.message).collect();
        assert_eq!(
            found,
            [
                "`new` has no row in the table of edges (xtask/src/commands/tidy/edges.rs)",
                "there is no crate `gateway`",
                "there is no crate `bowline-testkit`",
            ]
        );
    }
}
