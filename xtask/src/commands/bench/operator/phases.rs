//! What is done, in order.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;

use super::changes::{self, Specs};
use super::cluster::SYSTEM;
use super::figures::Figures;
use super::role::Role;
use super::seed::{self, POLL_SECONDS, Target};
use super::{Bench, PATIENCE, cluster, phase};
use crate::commands::test::control_plane::until_within;
use crate::stopwatch::Stopwatch;

/// How long the writes must have stood still before the operator counts as done.
const QUIET: Duration = Duration::from_secs(5);
/// How often all bundles are changed at once.
const ROUNDS_TOGETHER: u32 = 10;

/// Measures everything.
pub(super) fn measure(bench: &Bench<'_>) -> anyhow::Result<Figures> {
    let ((), _) = phase("the kinds, the roles and the namespaces are there", || cluster::install(bench))?;
    let control = control(bench)?;
    let token = fs::read_to_string(bench.folder.join("control/admin.token")).context("reading the admin token")?;
    let target = Target { control: control.address("console")?, token: token.trim() };
    let (projects, _) = phase("the control role is filled", || seed::all(bench, &target))?;
    let kubeconfig = cluster::kubeconfig(bench)?;

    let operator = operator(bench, &target, &kubeconfig)?;
    until_within(PATIENCE, "the operator leads", || Ok(operator.metrics()?.sum("bowline_operator_leader", "") == 1))?;
    let (start, requests_before) = (operator.usage()?, cluster::requests(bench.cluster)?);
    let ((), projected) = phase("everything is projected for the first time", || {
        cluster::apply(bench.cluster, &projects.iter().collect::<Vec<_>>(), POLL_SECONDS)?;
        known(bench, &operator)?;
        shown(bench)
    })?;
    let projected_requests = cluster::requests(bench.cluster)? - requests_before;
    let full = operator.usage()?;
    quiet(&operator)?;

    let used = || Ok::<_, anyhow::Error>((operator.usage()?.cpu, control.usage()?.cpu));
    let ((idle_requests, idle_cpu, idle_control_cpu), idle) = phase("nothing happens", || {
        let (requests, before) = (cluster::requests(bench.cluster)?, used()?);
        thread::sleep(Duration::from_secs(bench.options.idle));
        let now = used()?;
        let requests = cluster::requests(bench.cluster)? - requests;
        Ok((requests, now.0.saturating_sub(before.0), now.1.saturating_sub(before.1)))
    })?;
    let steady = operator.usage()?;

    operator.stop()?;
    let (operator, relisted) = phase("another operator knows everything", || {
        let operator = self::operator(bench, &target, &kubeconfig)?;
        known(bench, &operator)?;
        Ok(operator)
    })?;
    quiet(&operator)?;
    let relist = operator.usage()?;
    let (mut specs, again) = phase("the API server is killed, and answered again", || {
        cluster::restart_api_server(bench.cluster)?;
        let mut specs = Specs::watch(bench, &projects)?;
        specs.change(&[projects.first().context("there is a project")?])?;
        Ok(specs)
    })?;
    quiet(&operator)?;
    let relist_again = operator.usage()?;

    let (spec_single, _) = phase("specs are changed one by one", || specs.one_at_a_time(bench.options.samples))?;
    let before = (reconciles(&operator)?, operator.usage()?.cpu);
    let (spec_together, together) = phase("specs are changed together", || specs.together(ROUNDS_TOGETHER))?;
    let together_cpu = operator.usage()?.cpu.saturating_sub(before.1);
    let reconciles = reconciles(&operator)? - before.0;
    drop(specs);
    let (rollout_end, _) = phase("rollouts end", || changes::rollouts(bench, &target, bench.options.samples))?;
    let end = operator.usage()?;
    operator.stop()?;
    control.stop()?;
    Ok(Figures {
        objects: (bench.versions(), bench.rollouts()),
        start,
        projected,
        projected_requests,
        full,
        idle,
        idle_requests,
        idle_cpu,
        idle_control_cpu,
        steady,
        relisted,
        relist,
        again,
        relist_again,
        spec_single,
        spec_together,
        reconciles,
        together,
        together_cpu,
        rollout_end,
        end,
    })
}

fn control(bench: &Bench<'_>) -> anyhow::Result<Role> {
    let mut command = Command::new(&bench.bowline);
    command.args(["serve", "--roles", "control", "--data"]).arg(bench.folder.join("control"));
    command.args(["--control-listen", "127.0.0.1:0", "--internal-listen", "127.0.0.1:0"]);
    Role::start(&mut command, &bench.folder.join("control.log"), "internal").context("starting the control role")
}

fn operator(bench: &Bench<'_>, target: &Target<'_>, kubeconfig: &Path) -> anyhow::Result<Role> {
    let mut command = Command::new(&bench.bowline);
    let token = format!("file:{}", bench.folder.join("control/admin.token").display());
    command.args(["serve", "--roles", "operator", "--admin-listen", "127.0.0.1:0", "--system-namespace", SYSTEM]);
    command.args(["--control", target.control, "--admin-token", &token]).env("KUBECONFIG", kubeconfig);
    Role::start(&mut command, &bench.folder.join("operator.log"), "metrics").context("starting the operator")
}

/// Waits until an operator knows of every object.
fn known(bench: &Bench<'_>, operator: &Role) -> anyhow::Result<()> {
    let wanted = (bench.versions(), bench.rollouts());
    let mut said = 0;
    until_within(PATIENCE, "the operator knows every object", || {
        let metrics = operator.metrics()?;
        let count = |kind: &str| metrics.sum("bowline_operator_objects", &format!("kind=\"{kind}\""));
        let known = (count("PromptVersion"), count("PromptRollout"));
        if known.0 / 2_000 > said {
            said = known.0 / 2_000;
            eprintln!("  {} of {} PromptVersions", known.0, wanted.0);
        }
        Ok(known == wanted)
    })
}

/// Waits until every rollout is shown as it is.
fn shown(bench: &Bench<'_>) -> anyhow::Result<()> {
    until_within(PATIENCE, "every PromptRollout is shown to be running", || {
        let states = bench.cluster.kubectl(&[
            "get",
            "promptrollouts",
            "--all-namespaces",
            r#"--output=jsonpath={range .items[*]}{.status.state}{"\n"}{end}"#,
        ])?;
        Ok(states.lines().filter(|state| *state == "running").count() as u64 == bench.rollouts())
    })
}

/// Waits until an operator has written nothing for a while.
fn quiet(operator: &Role) -> anyhow::Result<()> {
    let writes = || Ok::<_, anyhow::Error>(operator.metrics()?.sum("bowline_operator_writes_total", ""));
    let (mut before, mut since) = (writes()?, Stopwatch::start());
    until_within(PATIENCE, "the operator has nothing more to write", || {
        let now = writes()?;
        if now != before {
            (before, since) = (now, Stopwatch::start());
        }
        Ok(since.elapsed() >= QUIET)
    })
}

fn reconciles(operator: &Role) -> anyhow::Result<u64> {
    Ok(operator.metrics()?.sum("bowline_operator_reconciles_total", ""))
}
