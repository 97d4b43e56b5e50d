//! The story: a first version, a change that makes it worse and is rolled back, a change that makes it better and is promoted.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};

use anyhow::{Context as _, ensure};
use serde::Deserialize;
use serde_json::Value;

use super::super::control_plane::{ControlPlane, until_within};
use super::forward::Forward;
use super::repository::{PROMPT, Pushed, Repository};
use super::{NAMESPACE, PATIENCE, SYSTEM, desk};
use crate::stopwatch::{Stopwatch, Took};

/// The calls on the first version before it is changed.
const FIRST_CALLS: u64 = 240;
/// The object of the prompt.
const OBJECT: &str = "prompt/support.classify";

/// What the application has counted so far.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Counts {
    /// Calls that were begun.
    #[serde(default)]
    pub(super) sent: u64,
    /// Calls that had an answer whose judgement was taken.
    #[serde(default)]
    pub(super) ok: u64,
    /// Connections that broke and were made once more.
    #[serde(default)]
    pub(super) retried: u64,
    /// Calls that failed.
    pub(super) failed: u64,
    /// Why.
    pub(super) errors: BTreeMap<String, u64>,
    /// By the version that answered, as the gateway named it.
    pub(super) versions: BTreeMap<String, Tally>,
}

/// The calls that one version answered.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Tally {
    pub(super) calls: u64,
    pub(super) right: u64,
}

/// `kubectl get promptrollouts --watch`, as a person sees it.
struct Watched {
    process: Child,
    output: tempfile::NamedTempFile,
}

/// Plays it, and returns what was pushed first.
pub(super) fn play(cluster: &ControlPlane, repository: &Repository) -> anyhow::Result<Pushed> {
    let first = act("v1 is pushed, and answers", || {
        let first = repository.push(cluster, Some("ci"))?;
        bundle_ready(cluster, &first)?;
        cluster.example("app.yaml")?;
        desk(cluster, &["rollout", "status", "deployment/desk", "--timeout=120s"])?;
        let counts = wait_for_calls(cluster, &first.version, FIRST_CALLS)?;
        println!("  v1 {}", counts.versions.get(&first.version).map(Tally::line).unwrap_or_default());
        is_one_and_the_same(cluster, repository, &first)?;
        Ok(first)
    })?;

    let watched = Watched::start(cluster)?;
    let second = act("a change that makes it worse is pushed, and rolled back", || {
        repository.change("v2.patch", "shorten the definitions")?;
        let second = repository.push(cluster, Some("ci"))?;
        let rollout = ended(cluster, &second.version, "rolled_back")?;
        event(cluster, "RolledBack", &rollout)?;
        ensure!(live(cluster)? == first.version, "after the rollback {} is live, not v1", live(cluster)?);
        Ok(second)
    })?;
    let third = act("a change that makes it better is pushed, and promoted", || {
        repository.revert()?;
        repository.change("v3.patch", "add examples")?;
        let third = repository.push(cluster, Some("ci"))?;
        let rollout = ended(cluster, &third.version, "promoted")?;
        event(cluster, "Promoted", &rollout)?;
        wait_for_calls(cluster, &third.version, FIRST_CALLS)?;
        is_one_and_the_same(cluster, repository, &third)?;
        Ok(third)
    })?;
    println!("$ kubectl get promptrollouts --watch\n{}", watched.finish()?);
    let counts = counts(cluster, "desk")?;
    for (name, pushed) in [("v1", &first), ("v2", &second), ("v3", &third)] {
        println!("  {name} {}", counts.versions.get(&pushed.version).map(Tally::line).unwrap_or_default());
    }
    Ok(first)
}

/// Prints what happens and how long it took.
pub(super) fn act<T>(what: &str, work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    let stopwatch = Stopwatch::start();
    let done = work().with_context(|| what.to_owned())?;
    println!("{what}: {}", Took(stopwatch.elapsed()));
    Ok(done)
}

/// Waits until the PromptBundle is Ready with the commit that was pushed.
pub(super) fn bundle_ready(cluster: &ControlPlane, pushed: &Pushed) -> anyhow::Result<()> {
    let commit = format!("--for=jsonpath={{.status.commit}}={}", pushed.commit);
    for condition in [commit.as_str(), "--for=condition=Ready"] {
        desk(cluster, &["wait", "promptbundle/desk", condition, "--timeout=120s"])?;
    }
    Ok(())
}

/// Waits until a version has answered a number of calls, and returns what the application counted.
pub(super) fn wait_for_calls(cluster: &ControlPlane, version: &str, calls: u64) -> anyhow::Result<Counts> {
    let mut last = Counts::default();
    until_within(PATIENCE, &format!("{version} answers {calls} calls"), || {
        last = counts(cluster, "desk")?;
        ensure!(last.failed == 0, "calls failed: {:?}", last.errors);
        Ok(last.versions.get(version).is_some_and(|tally| tally.calls >= calls))
    })?;
    Ok(last)
}

/// Reads what an application printed last.
pub(super) fn counts(cluster: &ControlPlane, deployment: &str) -> anyhow::Result<Counts> {
    let log = desk(cluster, &["logs", &format!("deployment/{deployment}"), "--tail=40"])?;
    let Some(line) = log.lines().rev().find(|line| line.starts_with('{')) else { return Ok(Counts::default()) };
    serde_json::from_str(line).with_context(|| format!("reading what the application printed: {line}"))
}

/// Waits for the end of the rollout of a candidate, which must be as told, and returns its name.
pub(super) fn ended(cluster: &ControlPlane, candidate: &str, state: &str) -> anyhow::Result<String> {
    let mut name = String::new();
    until_within(PATIENCE, &format!("a rollout of {candidate} starts"), || {
        let rollouts = list(cluster, "promptrollouts")?;
        let found = rollouts.iter().find(|rollout| rollout["spec"]["candidate"] == candidate);
        if let Some(found) = found.and_then(|rollout| rollout["metadata"]["name"].as_str()) {
            found.clone_into(&mut name);
        }
        Ok(!name.is_empty())
    })?;
    let object = format!("promptrollout/{name}");
    desk(cluster, &["wait", &object, "--for=condition=Ready", &format!("--timeout={}s", PATIENCE.as_secs())])?;
    let rollout = get(cluster, &object)?;
    let status = &rollout["status"];
    let rate = |arm: &str| status[arm]["rate"].as_str().unwrap_or("-").to_owned();
    let units = |arm: &str| status[arm]["units"].as_i64().unwrap_or(0);
    println!(
        "  {name} {} after {} units, {} of them on the candidate: {} against {} · verdict {} · {}",
        status["state"].as_str().unwrap_or("-"),
        units("stable") + units("candidate"),
        units("candidate"),
        rate("candidate"),
        rate("stable"),
        status["verdict"].as_str().unwrap_or("-"),
        status["why"].as_str().unwrap_or("-"),
    );
    ensure!(status["state"] == state, "{name} is {}, not {state}: {}", status["state"], status["why"]);
    Ok(name)
}

/// Looks for the event of what became of an object.
fn event(cluster: &ControlPlane, reason: &str, object: &str) -> anyhow::Result<()> {
    let selector = format!("--field-selector=reason={reason},involvedObject.name={object}");
    let mut note = String::new();
    until_within(PATIENCE, &format!("an event {reason} of {object}"), || {
        note =
            desk(cluster, &["get", "events", &selector, "--output=jsonpath={.items[0].message}"]).unwrap_or_default();
        Ok(!note.is_empty())
    })?;
    println!("  event {reason}: {note}");
    Ok(())
}

/// Returns the version that the Prompt says is live in `prod`.
pub(super) fn live(cluster: &ControlPlane) -> anyhow::Result<String> {
    let prompt = get(cluster, OBJECT)?;
    let environments = prompt["status"]["environments"].as_array().cloned().unwrap_or_default();
    let prod = environments.iter().find(|environment| environment["name"] == "prod");
    let version = prod.and_then(|prod| prod["version"].as_str()).context("nothing is live in prod")?;
    Ok(version.to_owned())
}

/// Holds the digest of the commit's lock, of the PromptVersion, of the log of the pointer and of what is served against each other.
fn is_one_and_the_same(cluster: &ControlPlane, repository: &Repository, pushed: &Pushed) -> anyhow::Result<()> {
    let versions = list(cluster, "promptversions")?;
    let version = versions.iter().find(|version| version["spec"]["digest"] == pushed.version.as_str());
    let version = version.with_context(|| format!("there is no PromptVersion of {}", pushed.version))?;
    let commit = version["spec"]["commit"].as_str().unwrap_or_default();
    ensure!(commit == pushed.commit, "the PromptVersion is of commit {commit}, not {}", pushed.commit);
    let logged = log(cluster, repository)?;
    let newest = logged.last().context("the log of prod is empty")?;
    ensure!(newest["to"] == pushed.version.as_str(), "the log's newest row is {newest}, not of {}", pushed.version);
    ensure!(live(cluster)? == pushed.version, "the Prompt says {} is live", live(cluster)?);
    let served = counts(cluster, "desk")?.versions.get(&pushed.version).is_some_and(|tally| tally.calls > 0);
    ensure!(served, "no answer named {} in x-bowline-version", pushed.version);
    println!("  bowline.lock = PromptVersion = pointer log = x-bowline-version = {}", pushed.version);
    Ok(())
}

/// Returns the log of `prod`, oldest first, as a person gets it: by the command line, through `kubectl port-forward`.
pub(super) fn log(cluster: &ControlPlane, repository: &Repository) -> anyhow::Result<Vec<Value>> {
    let printed = control(cluster, repository, &["env", "log", "prod", PROMPT, "--output", "json"])?;
    serde_json::from_str(&printed).with_context(|| format!("reading {printed}"))
}

/// Calls the command line against the control role of the cluster.
pub(super) fn control(cluster: &ControlPlane, repository: &Repository, arguments: &[&str]) -> anyhow::Result<String> {
    let way = Forward::open(cluster, SYSTEM, "statefulset/bowline-control", ":7081")?;
    let template = r#"--output=go-template={{index .data "admin.token" | base64decode}}"#;
    let token = cluster.kubectl(&["get", "secret", "bowline-tokens", "--namespace", SYSTEM, template])?;
    let mut command = repository.command();
    command.env("BOWLINE_ADMIN_TOKEN", token.trim()).args(["--control", &way.address]).args(arguments);
    crate::process::output(&mut command)
}

/// Returns the objects of a kind.
pub(super) fn list(cluster: &ControlPlane, kind: &str) -> anyhow::Result<Vec<Value>> {
    let read: Value = serde_json::from_str(&desk(cluster, &["get", kind, "--output=json"])?)?;
    Ok(read["items"].as_array().cloned().unwrap_or_default())
}

/// Returns an object.
pub(super) fn get(cluster: &ControlPlane, object: &str) -> anyhow::Result<Value> {
    Ok(serde_json::from_str(&desk(cluster, &["get", object, "--output=json"])?)?)
}

// === impl Tally ===

impl Tally {
    #[expect(clippy::cast_precision_loss, reason = "for people, with one digit")]
    fn line(&self) -> String {
        format!("{} calls, {:.1} % right", self.calls, 100.0 * self.right as f64 / self.calls.max(1) as f64)
    }
}

// === impl Watched ===

impl Watched {
    fn start(cluster: &ControlPlane) -> anyhow::Result<Self> {
        let output = tempfile::NamedTempFile::new().context("making a file for what kubectl prints")?;
        let file = File::create(output.path()).context("opening a file for what kubectl prints")?;
        let mut command = cluster.command();
        command.args(["get", "promptrollouts", "--namespace", NAMESPACE, "--watch"]);
        let process = command.stdin(Stdio::null()).stdout(file).spawn().context("starting kubectl")?;
        Ok(Self { process, output })
    }

    /// Ends it, and returns what was printed.
    fn finish(mut self) -> anyhow::Result<String> {
        self.process.kill().ok();
        self.process.wait().context("waiting for kubectl")?;
        let file = fs::File::open(self.output.path()).context("reading what kubectl printed")?;
        let lines = BufReader::new(file).lines().collect::<Result<Vec<_>, _>>()?;
        Ok(lines.join("\n"))
    }
}
