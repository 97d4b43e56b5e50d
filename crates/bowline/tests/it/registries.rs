//! Bundles in real registries, and signatures between cosign and us. `cargo xtask test --only registries` gives the programs.

use std::path::PathBuf;
use std::process::{Command, Output};

use bowline_testkit::RegistryProgram;
use serde_json::json;

use crate::bundle::{report, with_policy};
use crate::project::Project;

const DEBIAN: &str = "BOWLINE_TEST_DOCKER_REGISTRY";
const DISTRIBUTION: &str = "BOWLINE_TEST_REGISTRY";
const COSIGN: &str = "BOWLINE_TEST_COSIGN";
/// What asks no transparency log, and takes a registry without TLS.
const ALONE: [&str; 2] = ["--insecure-ignore-tlog=true", "--allow-http-registry"];
const REPORT: &str = "https://bowline.dev/eval-report/v1";

fn program(variable: &str) -> PathBuf {
    let program = std::env::var_os(variable).map(PathBuf::from);
    program.unwrap_or_else(|| panic!("set {variable} to the program; `cargo xtask test --only registries` does"))
}

fn cosign(project: &Project, arguments: &[&str]) -> Output {
    let mut command = Command::new(program(COSIGN));
    command.current_dir(project.path()).args(arguments).env("COSIGN_PASSWORD", "");
    command.output().unwrap()
}

/// Runs cosign, which must do it.
fn cosign_does(project: &Project, arguments: &[&str]) {
    let output = cosign(project, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Pushes the bundle of a project, signed by `ci.key` and with a report, and returns its name with the digest.
fn push(project: &Project, address: &str) -> (String, String) {
    project.json(&["bundle", "build"]);
    report(project, |_| {});
    let name = format!("{address}/shop/prompts:v1");
    let push = ["bundle", "push", &name, "--plain-http", "--key", "ci.key", "--attest", ".bowline/report.json"];
    let pushed = project.json(&push);
    assert_eq!(pushed["digest"], project.json(&["bundle", "inspect"])["digest"]);
    assert_eq!(project.json(&push), pushed, "pushing again adds nothing");
    (name, pushed["reference"].as_str().unwrap().to_owned())
}

/// cosign verifies what we sign, and refuses another key.
fn cosign_verifies(variable: &str) {
    let registry = RegistryProgram::start(&program(variable)).unwrap();
    let project = with_policy();
    let (_, pinned) = push(&project, registry.address());
    cosign_does(&project, &[["verify", "--key", "ci.pub", &pinned].as_slice(), &ALONE].concat());
    for kind in [REPORT, "cyclonedx"] {
        let verify = ["verify-attestation", "--key", "ci.pub", "--type", kind, &pinned];
        cosign_does(&project, &[verify.as_slice(), &ALONE].concat());
    }
    let wrong = cosign(&project, &[["verify", "--key", "other.pub", &pinned].as_slice(), &ALONE].concat());
    assert!(!wrong.status.success());
}

/// We verify what cosign signs with its own keys, with keys of ours, and refuse another key.
fn cosign_is_verified(variable: &str) {
    let registry = RegistryProgram::start(&program(variable)).unwrap();
    let project = with_policy();
    let (name, pinned) = push(&project, registry.address());
    cosign_does(&project, &["generate-key-pair", "--output-key-prefix", "theirs"]);
    let verify = |key: &str| project.bowline(&["bundle", "verify", &name, "--plain-http", "--key", key]);
    assert_eq!(verify("theirs.pub").code, 1);
    for key in ["theirs", "other"] {
        let file = format!("{key}.key");
        let sign =
            ["--key", &file, "--tlog-upload=false", "--use-signing-config=false", "--allow-http-registry", "--yes"];
        cosign_does(&project, &[["sign"].as_slice(), &sign, &[&pinned]].concat());
        let attest = ["--predicate", ".bowline/report.json", "--type", REPORT, &pinned];
        cosign_does(&project, &[["attest"].as_slice(), &sign, &attest].concat());
        let ran = verify(&format!("{key}.pub"));
        assert!(ran.code == 0 && ran.stdout.contains("signed") && ran.stdout.contains(REPORT), "{}", ran.seen());
    }
    // A key that cosign made signs for us too.
    let push = ["bundle", "push", &name, "--plain-http", "--key", "theirs.key"];
    assert_eq!(project.bowline(&push).code, 0);
    let ran = verify("ci.pub");
    assert_eq!(ran.code, 0, "what others attached changes nothing: {}", ran.seen());
}

/// A bundle is fetched with what is attached, and released under a policy.
fn a_bundle_is_pulled_and_released(variable: &str) {
    let registry = RegistryProgram::start(&program(variable)).unwrap();
    let project = with_policy();
    let (name, pinned) = push(&project, registry.address());
    let pulled = project.json(&["bundle", "pull", &name, "--plain-http", "--to", "oci:.bowline/pulled"]);
    assert_eq!(pulled["attached"].as_array().unwrap().len(), 4);
    let local = "oci:.bowline/pulled:v1";
    assert_eq!(project.bowline(&["bundle", "verify", local, "--key", "ci.pub"]).code, 0);
    assert_eq!(project.json(&["bundle", "diff", &name, local, "--plain-http"])["prompts"], json!([]));
    let ran = project.bowline(&["release", "--env", "prod", "--bundle", &pinned, "--plain-http"]);
    assert_eq!(ran.code, 0, "{}", ran.seen());
    let careful = project.bowline(&["bundle", "pull", &name]);
    assert!(careful.code == 1 && careful.stderr.contains("--plain-http"), "{}", careful.stderr);
}

macro_rules! registries {
    ($($name:ident),*) => {
        mod debian {
            $(#[test] #[ignore = "needs docker-registry and cosign; see `cargo xtask test --only registries`"]
            fn $name() { super::$name(super::DEBIAN); })*
        }
        mod distribution {
            $(#[test] #[ignore = "needs distribution's registry and cosign; see `cargo xtask test --only registries`"]
            fn $name() { super::$name(super::DISTRIBUTION); })*
        }
    };
}

registries!(cosign_verifies, cosign_is_verified, a_bundle_is_pulled_and_released);
