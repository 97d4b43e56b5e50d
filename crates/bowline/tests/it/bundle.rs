//! Bundles on disk, and what a policy lets through.

use std::fs;
use std::path::Path;

use bowline_eval::Suite;
use bowline_prompt::MemorySource;
use serde_json::{Value, json};

use crate::project::Project;

const PROMPT: &str = "prompts/support/classify.prompt";
const PUSH_TO: &str = "127.0.0.1:9/shop/prompts:v1";

/// Returns a project whose `prod` takes bundles that a key signed and a suite passed.
pub(crate) fn with_policy() -> Project {
    let project = Project::new();
    for name in ["ci", "other"] {
        assert_eq!(project.bowline(&["bundle", "key", "generate", "--no-password", "--to", name]).code, 0);
    }
    project.write(".gitignore", ".bowline/\n*.key\n*.pub\n");
    let policy = "policy: { signers: ['file:ci.pub'], suites: [support], report_max_age: 24h }";
    project.edit(
        "bowline.yaml",
        "prod: { protected: true, rollout: {} }",
        &format!("prod: {{ source: bundle, protected: true, {policy} }}"),
    );
    project.write("evals/support.yaml", "tests: []\n");
    project.edit(PROMPT, "bowline.owners: [desk]", "bowline.owners: [desk]\nbowline.suite: evals/support.yaml");
    project.commit("policy");
    project
}

/// Writes a report of the last bundle, as `bowline test --report attestation=FILE` does.
pub(crate) fn report(project: &Project, change: impl FnOnce(&mut Value)) {
    let bundle = project.json(&["bundle", "inspect"]);
    let now = std::process::Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%SZ"]).output().unwrap();
    let mut report = json!({
        "schema_version": 2,
        "finished_at": String::from_utf8(now.stdout).unwrap().trim(),
        "environment": "prod",
        "gate": true,
        "commit": bundle["commit"],
        "dirty": false,
        "versions": bundle["versions"],
        "suites": [{
            "name": "evals/support.yaml", "digest": bundle["files"][0]["digest"], "verdict": "pass", "cases": 30, "passed": 30,
        }],
        "simulated": true,
        "verdict": "pass",
    });
    change(&mut report);
    project.write(".bowline/report.json", report.to_string());
}

/// Signs the last bundle in its layout, as a push does before it sends anything; the registry of the push is not there.
fn sign(project: &Project, arguments: &[&str]) {
    let push = ["bundle", "push", PUSH_TO, "--plain-http"];
    let ran = project.bowline(&[push.as_slice(), arguments].concat());
    assert!(ran.stderr.contains("no connection"), "{}", ran.stderr);
}

#[test]
fn the_same_commit_gives_the_same_bundle() {
    let (one, two) = (Project::new(), Project::new());
    let digests = |project: &Project| {
        let built = project.json(&["bundle", "build"]);
        (built["digest"].clone(), built["image"].clone())
    };
    let first = digests(&one);
    assert_eq!(first, digests(&two));
    assert_eq!(first, digests(&one), "building again changes nothing");
    one.edit(PROMPT, "at most {{count}}", "{{count}}");
    let dirty = one.bowline(&["bundle", "build"]);
    assert!(dirty.code == 1 && dirty.stderr.contains("--allow-dirty"), "{}", dirty.stderr);
    one.commit("second");
    assert_ne!(first, digests(&one));
}

#[test]
fn a_bundle_is_built_shown_and_compared() {
    let project = Project::new();
    let first = project.transcript(
        "bundle inspect\nbundle build --to oci:.bowline/bundles:one\nbundle inspect oci:.bowline/bundles:one",
    );
    project.edit(PROMPT, "at most {{count}}", "{{count}}");
    project.write("evals/support.yaml", "tests: []\n");
    project.commit("second");
    let second = project.transcript(
        "bundle build --to oci:.bowline/bundles:two
bundle diff oci:.bowline/bundles:one oci:.bowline/bundles:two
bundle diff oci:.bowline/bundles:one oci:.bowline/bundles:one
bundle verify oci:.bowline/bundles:two
bundle inspect oci:.bowline/bundles:one-image
bundle inspect oci:.bowline/bundles:three
bundle build --to localhost:5000/shop/prompts:v1
bundle key generate
bundle push oci:.bowline/bundles",
    );
    insta::assert_snapshot!([first, second].join("\n"));
}

#[test]
fn what_was_changed_is_refused() {
    let project = Project::new();
    project.json(&["bundle", "build"]);
    let blobs = project.path().join(".bowline/bundles/blobs/sha256");
    let is_versions =
        |path: &Path| fs::read_to_string(path).is_ok_and(|text| text.starts_with("{\"schema_version\":1,\"versions\""));
    let layer = fs::read_dir(blobs).unwrap().map(|entry| entry.unwrap().path()).find(|path| is_versions(path)).unwrap();
    let text = fs::read_to_string(&layer).unwrap();
    fs::write(&layer, text.replace("Be brief.", "Be rude!!")).unwrap();
    for command in [["bundle", "verify", "oci:.bowline/bundles:latest"], ["release", "--env", "prod"]] {
        let bundle: &[&str] = if command[0] == "release" { &["--bundle", "oci:.bowline/bundles:latest"] } else { &[] };
        let ran = project.bowline(&[command.as_slice(), bundle].concat());
        assert!(ran.code == 1 && ran.stderr.contains("is not what was published"), "{}", ran.stderr);
    }
    assert!(project.bowline(&["env", "list"]).stderr.contains("no project"), "nothing was released");
}

#[test]
fn a_policy_is_held_line_by_line() {
    let project = with_policy();
    project.json(&["bundle", "build"]);
    let release = "release --env prod --bundle oci:.bowline/bundles:latest";
    let cli = project.transcript("release --env prod");
    let nothing = project.transcript(release);
    sign(&project, &["--key", "other.key"]);
    let other = project.transcript(release);
    report(&project, |report| report["finished_at"] = json!("2026-01-02T03:04:05Z"));
    sign(&project, &["--key", "ci.key", "--attest", ".bowline/report.json"]);
    let old = project.transcript(release);
    report(&project, |_| {});
    sign(&project, &["--key", "ci.key", "--attest", ".bowline/report.json"]);
    let released = project.transcript(&format!("{release}\n{release} --prompt support/other\nenv log prod"));
    insta::assert_snapshot!([cli, nothing, other, old, released].join("\n"));
    let rows = project.json(&["env", "log", "prod"]);
    let bundle = project.json(&["bundle", "inspect"])["digest"].clone();
    assert!(rows.to_string().contains(&format!("{{\"bundle\":{bundle}}}")), "{rows}");
}

#[test]
fn simulated_answers_are_no_evidence_for_real_providers() {
    let project = with_policy();
    project.edit("bowline.yaml", "http://127.0.0.1:9/v1", "https://llm.example/v1");
    project.commit("real");
    project.json(&["bundle", "build"]);
    report(&project, |_| {});
    sign(&project, &["--key", "ci.key", "--attest", ".bowline/report.json"]);
    let release = ["release", "--env", "prod", "--bundle", "oci:.bowline/bundles:latest"];
    let ran = project.bowline(&release);
    assert!(ran.code == 1 && ran.stderr.contains("its answers came from the simulator"), "{}", ran.stderr);
    report(&project, |report| report["simulated"] = json!(false));
    sign(&project, &["--key", "ci.key", "--attest", ".bowline/report.json"]);
    let ran = project.bowline(&release);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
}

#[test]
fn a_report_is_of_the_suite_that_the_bundle_has() {
    let project = with_policy();
    let suite = "prompts: [\"prompt:support/classify\"]\ntests: [{ vars: { ticket: a }, assert: [{ type: contains, value: b }] }]\n";
    project.write("evals/support.yaml", suite.replace('\n', "\r\n"));
    project.commit("suite");
    project.json(&["bundle", "build"]);
    let release = ["release", "--env", "prod", "--bundle", "oci:.bowline/bundles:latest"];
    let released = |text: &str, seconds_ago: i64| {
        let source: MemorySource = [("evals/support.yaml", text)].into_iter().collect();
        let digest = Suite::read(&source, "evals/support.yaml").unwrap().digest;
        report(&project, |report| {
            // The newest one counts.
            let at: jiff::Timestamp = report["finished_at"].as_str().unwrap().parse().unwrap();
            report["finished_at"] = json!((at - jiff::SignedDuration::from_secs(seconds_ago)).to_string());
            report["suites"][0]["digest"] = json!(digest);
        });
        sign(&project, &["--key", "ci.key", "--attest", ".bowline/report.json"]);
        project.bowline(&release)
    };
    let easier = released(&suite.replace("value: b", "value: a"), 60);
    assert!(easier.code == 1 && easier.stderr.contains("of another text of this suite"), "{}", easier.stderr);
    let same = released(suite, 0);
    assert_eq!(same.code, 0, "{}", same.stderr);
}

#[test]
fn a_bundle_does_not_make_a_real_environment_a_simulated_one() {
    let project = with_policy();
    project.json(&["bundle", "build"]);
    report(&project, |_| {});
    sign(&project, &["--key", "ci.key", "--attest", ".bowline/report.json"]);
    project.edit("bowline.yaml", "http://127.0.0.1:9/v1", "https://llm.example/v1");
    let ran = project.bowline(&["release", "--env", "prod", "--bundle", "oci:.bowline/bundles:latest"]);
    assert!(ran.code == 1 && ran.stderr.contains("its answers came from the simulator"), "{}", ran.stderr);
}

#[test]
fn a_pull_request_has_its_own_environment() {
    let project = Project::new();
    assert_eq!(project.bowline(&["release", "--env", "prod"]).code, 0);
    project.edit(PROMPT, "at most {{count}}", "{{count}}");
    insta::assert_snapshot!(project.transcript(
        "env create pr-1 --from prod --ttl 3d
env create pr-1 --from prod --ttl 3d
env create pr-2 --from prd --ttl 3d
env create pr-2 --from prod --ttl 3
env create pr-2 --from prod --ttl 1s
release --env pr-1
env list
env delete prod
env delete pr-1 --why merged
env delete pr-1
release --env pr-1
env log pr-1
env list"
    ));
}

#[test]
fn keys_are_not_replaced_and_need_a_password() {
    let project = Project::new();
    let generate = ["bundle", "key", "generate", "--to", "keys/ci"];
    let ran = project.bowline(&generate);
    assert!(ran.code == 1 && ran.stderr.contains("COSIGN_PASSWORD"), "{}", ran.stderr);
    let sealed = project.command(&generate).env("COSIGN_PASSWORD", "secret").output().unwrap();
    assert!(sealed.status.success());
    let again = project.command(&generate).env("COSIGN_PASSWORD", "secret").output().unwrap();
    let said = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(again.status.code() == Some(1) && said.contains("ci.key is there already"), "{said}");
    project.json(&["bundle", "build", "--allow-dirty"]);
    let ran = project.bowline(&["bundle", "push", PUSH_TO, "--key", "keys/ci.key"]);
    assert!(ran.code == 1 && ran.stderr.contains("does not open the private key"), "{}", ran.stderr);
}
