//! What breaks under traffic, and what must hold all the same.

use std::collections::BTreeSet;
use std::process::Command;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::super::control_plane::{ControlPlane, until_within};
use super::repository::Repository;
use super::story::{self, Counts, act};
use super::{PATIENCE, ROLES, SYSTEM};
use crate::process;

/// The calls that must be answered after a fault before the next one.
const CALLS_BETWEEN: u64 = 120;

/// Something that breaks.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    /// The operator that leads is killed without a word.
    Operator,
    /// The control role is killed without a word.
    Control,
    /// The pod of a gateway is deleted, as by a drain of its node.
    GatewayDeleted,
    /// The process of a gateway is killed within its pod.
    GatewayKilled,
    /// The API server is killed, and started again.
    ApiServer,
}

/// Each of them once.
pub(super) const EACH: [Fault; 5] =
    [Fault::GatewayKilled, Fault::Operator, Fault::Control, Fault::GatewayDeleted, Fault::ApiServer];

// === impl Fault ===

impl Fault {
    /// Lets it happen under the traffic of the application, and waits until everything is as before.
    pub(super) fn happen(self, cluster: &ControlPlane) -> anyhow::Result<()> {
        under_traffic(cluster, &format!("{self:?}"), || self.strike(cluster))
    }

    fn strike(self, cluster: &ControlPlane) -> anyhow::Result<()> {
        let system = |arguments: &[&str]| cluster.kubectl(&[&["--namespace", SYSTEM], arguments].concat());
        let killed = ["--force", "--grace-period=0", "--wait=false"];
        match self {
            Self::Operator => {
                let holder = "--output=jsonpath={.spec.holderIdentity}";
                let leader = system(&["get", "lease", "bowline-operator", holder])?;
                let pod = leader.split('_').next().unwrap_or(&leader).to_owned();
                system(&[&["delete", "pod", &pod][..], &killed].concat())?;
                until_within(PATIENCE, "another operator leads", || {
                    let now = system(&["get", "lease", "bowline-operator", holder])?;
                    Ok(!now.is_empty() && now != leader)
                })
            }
            Self::Control => system(&[&["delete", "pod", "bowline-control-0"][..], &killed].concat()).map(drop),
            Self::GatewayDeleted => system(&["delete", "--wait=false", &gateway(cluster)?]).map(drop),
            Self::GatewayKilled => {
                let pod = gateway(cluster)?;
                let restarts =
                    || system(&["get", &pod, "--output=jsonpath={.status.containerStatuses[0].restartCount}"]);
                let id = system(&["get", &pod, "--output=jsonpath={.status.containerStatuses[0].containerID}"])?;
                let id = id.strip_prefix("containerd://").context("the container has an id")?;
                let before = restarts()?;
                let mut kill = Command::new("ctr");
                kill.arg("--address").arg(cluster.folder.join("containerd/containerd.sock"));
                process::output(kill.args(["--namespace", "k8s.io", "tasks", "kill", "--signal", "SIGKILL", id]))?;
                // It is noticed, and started again in the same pod.
                until_within(PATIENCE, "the gateway is started again", || Ok(restarts()? != before))
            }
            Self::ApiServer => {
                let status: Value = serde_json::from_str(&cluster.call("status", &["--output", "json"])?)?;
                let components = status["components"].as_array().cloned().unwrap_or_default();
                let server = components.iter().find(|component| component["component"] == "api-server");
                let pid = server.and_then(|server| server["pid"].as_u64()).context("the API server has a process")?;
                process::output(Command::new("kill").args(["-KILL", &pid.to_string()]))?;
                cluster.call("up", &[]).map(drop)
            }
        }
    }
}

/// Lets something happen under the traffic of the application, and waits until every role is ready and more calls were answered. None may fail.
pub(super) fn under_traffic(
    cluster: &ControlPlane,
    what: &str,
    happens: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let before = story::counts(cluster, "desk")?;
    act(what, || {
        happens()?;
        for object in ROLES {
            cluster.kubectl(&["rollout", "status", object, "--namespace", SYSTEM, "--timeout=120s"])?;
        }
        served(cluster, before.ok + CALLS_BETWEEN).map(drop)
    })?;
    let after = story::counts(cluster, "desk")?;
    let retried = after.retried - before.retried;
    println!("  {} calls meanwhile, {retried} connections made once more, none failed", after.ok - before.ok);
    Ok(())
}

/// Lets faults happen in an order, and after numbers of calls, that nobody chose.
pub(super) fn many(cluster: &ControlPlane, count: u32) -> anyhow::Result<()> {
    let mut draw = 0x9e37_79b9_u32;
    for number in 1..=count {
        // Marsaglia's xorshift: the same course each time.
        draw ^= draw << 13;
        draw ^= draw >> 17;
        draw ^= draw << 5;
        let fault = EACH.iter().cycle().nth(draw as usize % EACH.len()).context("there are faults")?;
        println!("fault {number} of {count}");
        let calls = story::counts(cluster, "desk")?.ok + u64::from(draw % 200);
        served(cluster, calls)?;
        fault.happen(cluster)?;
    }
    Ok(())
}

/// Returns a pod of the gateway.
fn gateway(cluster: &ControlPlane) -> anyhow::Result<String> {
    let selector = "--selector=app.kubernetes.io/component=gateway";
    let pods = cluster.kubectl(&["get", "pods", "--namespace", SYSTEM, selector, "--output=name"])?;
    Ok(pods.lines().next().context("there is no gateway")?.to_owned())
}

/// Waits until so many calls were answered, and none failed.
pub(super) fn served(cluster: &ControlPlane, calls: u64) -> anyhow::Result<Counts> {
    let mut last = Counts::default();
    until_within(PATIENCE, &format!("{calls} calls are answered"), || {
        last = story::counts(cluster, "desk")?;
        ensure!(last.failed == 0, "{} of {} calls failed: {:?}", last.failed, last.sent, last.errors);
        Ok(last.ok >= calls)
    })?;
    Ok(last)
}

/// Looks for what must not be: a decision that is there twice or not at all, and an object that belongs to nobody.
pub(super) fn nothing_is_left_over(cluster: &ControlPlane, repository: &Repository) -> anyhow::Result<()> {
    let prompts = story::list(cluster, "prompts")?;
    let known: BTreeSet<&str> = prompts.iter().filter_map(|prompt| prompt["metadata"]["uid"].as_str()).collect();
    for kind in ["promptversions", "promptrollouts"] {
        for object in story::list(cluster, kind)? {
            let owners = object["metadata"]["ownerReferences"].as_array().cloned().unwrap_or_default();
            let owned = owners.iter().any(|owner| owner["uid"].as_str().is_some_and(|uid| known.contains(uid)));
            ensure!(owned, "{} belongs to no Prompt: {owners:?}", object["metadata"]["name"]);
        }
    }
    let rows = story::log(cluster, repository)?;
    let mut decisions = BTreeSet::new();
    for row in &rows {
        let Some(rollout) = row["rollout"].as_str() else { continue };
        let decision = format!("{rollout}: {}, {}", row["action"], row["why"]);
        ensure!(decisions.insert(decision.clone()), "the log has a decision twice: {decision}");
    }
    let ended = story::list(cluster, "promptrollouts")?;
    println!(
        "  {} rows of the log, {} rollouts, no decision twice, no object without an owner",
        rows.len(),
        ended.len()
    );
    Ok(())
}
