use std::fs::{self, File};
use std::io::BufReader;
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use serde_json::Value;

use super::{Run, Verdict};

const REPORT: &str = "bowline.json";

/// Runs the suite of a project.
pub(super) fn run(binary: &Path, project: &Path) -> anyhow::Result<Run> {
    let mut command = Command::new(binary);
    command.args(["test", "--no-cache", "--report", &format!("json={REPORT}")]).current_dir(project);
    Run::of(&mut command, &[0, 100])
}

/// Returns what it found, case by case.
pub(super) fn verdicts(project: &Path) -> anyhow::Result<Vec<Verdict>> {
    let path = project.join(REPORT);
    let report: Value = serde_json::from_reader(BufReader::new(File::open(&path)?)).with_context(|| {
        format!("reading {} of {} bytes", path.display(), fs::metadata(&path).map_or(0, |file| file.len()))
    })?;
    let results = report["cases"].as_array().context("the report has no cases")?;
    let verdict = |result: &Value| {
        let pass = result["candidate"]["grade"]["pass"].as_bool().context("a result has no verdict")?;
        let output = result["candidate"]["subject"]["text"].as_str().unwrap_or_default().to_owned();
        Ok(Verdict { pass, output })
    };
    results.iter().map(verdict).collect()
}
