use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use serde_json::Value;

use super::{Run, Verdict, suite};
use crate::environment;
use crate::process;
use crate::tool_cache;

/// The newest version that runs on Node 20.
const VERSION: &str = "0.121.20";
const REPORT: &str = "promptfoo.json";

/// Runs the suite of a project with promptfoo, whose OpenAI provider is pointed at the simulator. It keeps its state in `state`.
pub(super) fn run(project: &Path, provider: &str, state: &Path) -> anyhow::Result<Run> {
    let program = program()?;
    fs::create_dir_all(state)?;
    let mut command = Command::new(program);
    command.args(["eval", "--config", suite::FILE, "--output", REPORT, "--no-cache", "--max-concurrency", "32"]);
    command.args(["--no-table", "--no-progress-bar", "--no-write"]).current_dir(project);
    command.env("OPENAI_API_KEY", "none").env("OPENAI_BASE_URL", format!("{provider}/v1"));
    command.env("PROMPTFOO_CONFIG_DIR", state);
    for off in ["TELEMETRY", "UPDATE", "SHARING", "REMOTE_GENERATION"] {
        command.env(format!("PROMPTFOO_DISABLE_{off}"), "1");
    }
    // It ends with 100 where a case failed.
    Run::of(&mut command, &[0, 100])
}

/// Returns what it found, case by case.
pub(super) fn verdicts(project: &Path) -> anyhow::Result<Vec<Verdict>> {
    let report: Value =
        serde_json::from_reader(BufReader::new(File::open(project.join(REPORT))?)).context("reading its report")?;
    let results = report.pointer("/results/results").and_then(Value::as_array).context("its report has no results")?;
    let verdict = |result: &Value| {
        let case = result["testIdx"].as_u64().context("a result has no number")?;
        let pass = result["success"].as_bool().context("a result has no verdict")?;
        let output = result.pointer("/response/output").and_then(Value::as_str).unwrap_or_default().to_owned();
        Ok((case, Verdict { pass, output }))
    };
    let mut verdicts = results.iter().map(verdict).collect::<anyhow::Result<Vec<_>>>()?;
    // They come in the order in which they ended.
    verdicts.sort_by_key(|(case, _)| *case);
    Ok(verdicts.into_iter().map(|(_, verdict)| verdict).collect())
}

/// Returns promptfoo, installed by npm into the cache of tools.
fn program() -> anyhow::Result<PathBuf> {
    let hint = "hint: promptfoo needs Node 20 and npm; `--alone` measures without it";
    let npm = environment::program(&["npm"]).with_context(|| format!("npm is missing\n{hint}"))?;
    let node = environment::program(&["node"]).with_context(|| format!("node is missing\n{hint}"))?;
    let node_version = process::output(Command::new(node).arg("--version"))?;
    let folder = tool_cache::folder("promptfoo", &[VERSION, node_version.trim()], |folder| {
        let mut install = Command::new(npm);
        install.args(["install", "--no-audit", "--no-fund", "--prefix"]).arg(folder);
        anyhow::ensure!(process::run(install.arg(format!("promptfoo@{VERSION}")))?, "npm could not install promptfoo");
        Ok(())
    })?;
    Ok(folder.join("node_modules/.bin/promptfoo"))
}
