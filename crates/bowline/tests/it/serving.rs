//! Commands beside a running `bowline up`, and those that need one and do without.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::time::Duration;

use tokio::time::Instant;

use crate::project::Project;
use crate::upstream;

/// How long anything may take that happens at once.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running `bowline up`; ends with the test.
struct Up(Child);

// === impl Up ===

impl Up {
    /// Starts to serve a project, and waits until it does.
    fn start(project: &Project) -> Self {
        let mut command = project.command(&["up", "--listen", "127.0.0.1:0", "--control-listen", "127.0.0.1:0"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        let mut reader = BufReader::new(child.stdout.take().unwrap());
        while !line.starts_with("console") {
            line.clear();
            assert!(reader.read_line(&mut line).unwrap() > 0, "`bowline up` ended");
        }
        Self(child)
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Runs a command until what it prints is as wanted.
fn until(project: &Project, arguments: &[&str], wanted: impl Fn(&str) -> bool) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let ran = project.bowline(arguments);
        if wanted(&ran.stdout) {
            return ran.stdout;
        }
        assert!(Instant::now() < deadline, "{arguments:?}: {}", ran.seen());
    }
}

fn calls(project: &Project) {
    let streamed = project.bowline(&["run", "support/classify", "--var", "ticket=Charged twice"]);
    assert_eq!((streamed.code, streamed.stdout.as_str()), (0, "billing, access\n"), "{}", streamed.stderr);
    assert!(streamed.stderr.contains("12 tokens in, 3 out, `bowline inference show inf_"), "{}", streamed.stderr);

    let whole = project.json(&["run", "support/classify", "--var", "ticket=Charged twice"]);
    assert_eq!(whole["answer"]["choices"][0]["message"]["content"], "billing, access");

    let listed = until(project, &["inference", "list"], |text| text.lines().count() == 3);
    assert!(listed.lines().skip(1).all(|line| line.contains("support/classify") && line.contains("12+3")), "{listed}");

    let refused = project.bowline(&["run", "support/classify"]);
    assert_eq!((refused.code, refused.stdout.as_str()), (1, ""));
    assert!(refused.stderr.contains("`ticket`") && refused.stderr.contains("hint:"), "{}", refused.stderr);

    let keys = project.bowline(&["key", "list", "--all", "--output", "json"]).stdout;
    let keys: Vec<serde_json::Value> = serde_json::from_str(&keys).unwrap();
    let own: Vec<_> = keys.iter().filter(|key| key["name"] == "bowline run").collect();
    assert_eq!(own.len(), 3);
    assert!(own.iter().all(|key| !key["revoked_at"].is_null()), "keys of calls do not live on");
}

#[test]
fn a_prompt_is_called_without_a_server() {
    calls(&Project::with_upstream(&upstream::start()));
}

#[test]
fn a_prompt_is_called_through_a_running_server() {
    let project = Project::with_upstream(&upstream::start());
    let _up = Up::start(&project);
    calls(&project);
    let tail = project.command(&["inference", "tail"]).stdout(Stdio::piped()).spawn();
    let mut tail = Up(tail.unwrap());
    let mut lines = BufReader::new(tail.0.stdout.take().unwrap()).lines();
    let mut next = || lines.next().unwrap().unwrap();
    // The three of before, then the one to come.
    let before = [next(), next(), next()];
    assert_eq!(project.bowline(&["run", "support/classify", "--var", "ticket=Again"]).code, 0);
    let last = next();
    assert!(last.contains("support/classify") && !before.contains(&last), "{last}");
}

#[test]
fn an_unreachable_gateway_is_told() {
    let project = Project::with_upstream(&upstream::start());
    let _up = Up::start(&project);
    let arguments = ["run", "support/classify", "--var", "ticket=a", "--gateway", "127.0.0.1:1"];
    let ran = project.bowline(&arguments);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.starts_with("error: could not reach the gateway at 127.0.0.1:1: "), "{}", ran.stderr);
    assert!(ran.stderr.contains("\nhint: "), "{}", ran.stderr);
}

#[test]
fn a_rollout_is_watched_until_it_ends() {
    let project = Project::with_upstream(&upstream::start());
    project.bowline(&["release", "--env", "prod"]);
    project.edit("prompts/_tone.prompt", "brief", "short");
    project.commit("second");
    let _up = Up::start(&project);
    assert_eq!(project.bowline(&["release", "--env", "prod"]).code, 0);
    let watch = project.command(&["rollout", "watch"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let mut watch = Up(watch.unwrap());
    let mut lines = BufReader::new(watch.0.stdout.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    assert!(first.ends_with("running"), "{first}");
    assert_eq!(project.bowline(&["rollout", "abort", "1", "--why", "enough"]).code, 0);
    let last = lines.map(Result::unwrap).last().unwrap();
    assert!(last.ends_with("aborted: aborted by ada: enough"), "{last}");
    assert!(watch.0.wait().unwrap().success());
}

#[test]
fn a_store_is_copied_while_it_is_in_use() {
    let project = Project::with_upstream(&upstream::start());
    let up = Up::start(&project);
    assert_eq!(project.bowline(&["backup", "copy.db"]).code, 0);
    let restored = project.bowline(&["restore", "copy.db"]);
    assert_eq!(restored.code, 1);
    assert!(restored.stderr.contains("hint: stop the process that uses it first"), "{}", restored.stderr);
    drop(up);
    assert_eq!(project.bowline(&["restore", "copy.db"]).code, 0);
    // The folder of a control role, which has no project file.
    let restored = project.bowline(&["restore", "copy.db", "--data", "control"]);
    assert_eq!(restored.code, 0, "{}", restored.stderr);
    assert!(project.path().join("control/store/bowline.db").is_file());
}
