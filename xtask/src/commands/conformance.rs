use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use bowline_types::conformance::{Group, Report};
use serde_json::{Value, json};

use super::Outcome;
use crate::environment;
use crate::workspace::Workspace;

/// How many failed cases of a group are printed.
const FAILED_SHOWN: usize = 20;

/// Which corpora, and how to print what came out.
#[derive(clap::Args)]
pub(super) struct Options {
    /// The folder of the corpora. Default: BOWLINE_CONFORMANCE_DATA, else ../shared/data beside the workspace.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The one corpus to run.
    #[arg(long, value_name = "NAME")]
    corpus: Option<String>,
    /// The form of the output.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Output {
    Text,
    Json,
}

/// A folder of recorded cases, and what runs them.
struct Corpus {
    name: &'static str,
    run: fn(&Path) -> io::Result<Report>,
}

const CORPORA: [Corpus; 4] = [
    Corpus { name: "dotprompt-spec", run: bowline_prompt::conformance::dotprompt },
    Corpus { name: "provider-traffic", run: bowline_providers::conformance::provider_traffic },
    Corpus { name: "prices", run: bowline_providers::conformance::prices },
    Corpus { name: "promptfoo-examples", run: bowline_eval::conformance::promptfoo_examples },
];

// === impl Options ===

impl Default for Options {
    /// Every corpus, as text.
    fn default() -> Self {
        Self { data: None, corpus: None, output: Output::Text }
    }
}

/// Runs the corpora and prints what passed, was refused and failed.
pub(super) fn run(workspace: &Workspace, options: &Options) -> anyhow::Result<Outcome> {
    let data = options.data.clone().unwrap_or_else(|| environment::conformance_data(&workspace.root));
    let wanted = |corpus: &&Corpus| options.corpus.as_ref().is_none_or(|name| name == corpus.name);
    let mut reports = Vec::new();
    for corpus in CORPORA.iter().filter(wanted) {
        let folder = data.join(corpus.name);
        let report = if folder.is_dir() {
            Some((corpus.run)(&folder).with_context(|| format!("running the corpus {}", folder.display()))?)
        } else {
            None
        };
        reports.push((corpus.name, report));
    }
    if reports.is_empty() {
        let names = CORPORA.map(|corpus| corpus.name).join(", ");
        bail!("there is no such corpus\nhint: {names}");
    }
    match options.output {
        Output::Text => print!("{}", text(&data, &reports)?),
        Output::Json => println!(
            "{:#}",
            Value::Array(reports.iter().map(|(name, report)| to_json(name, report.as_ref())).collect())
        ),
    }
    Ok(Outcome::of(reports.iter().flat_map(|(_, report)| report).all(|report| report.failed() == 0)))
}

fn text(data: &Path, reports: &[(&str, Option<Report>)]) -> anyhow::Result<String> {
    let mut text = String::new();
    for (name, report) in reports {
        let Some(report) = report else {
            writeln!(text, "{name}: absent from {}", data.display())?;
            continue;
        };
        let refused_sum: u64 = report.groups.iter().map(refused).sum();
        writeln!(text, "{name}: {} passed, {refused_sum} refused, {} failed", report.passed(), report.failed())?;
        for group in &report.groups {
            let counts =
                format!("{:>6} passed {:>6} refused {:>6} failed", group.passed, refused(group), group.failed.len());
            writeln!(text, "  {:<30} {counts}", group.name)?;
            for (reason, count) in &group.refused {
                writeln!(text, "    refused {count:>5}  {reason}")?;
            }
            for failure in group.failed.iter().take(FAILED_SHOWN) {
                writeln!(text, "    failed  {failure}")?;
            }
            if group.failed.len() > FAILED_SHOWN {
                writeln!(text, "    and {} more; `--output json` has them all", group.failed.len() - FAILED_SHOWN)?;
            }
        }
    }
    Ok(text)
}

fn to_json(name: &str, report: Option<&Report>) -> Value {
    let group = |group: &Group| json!({ "name": group.name, "passed": group.passed, "refused": group.refused, "failed": group.failed });
    let groups = report.map(|report| report.groups.iter().map(group).collect::<Vec<_>>());
    json!({ "corpus": name, "absent": report.is_none(), "groups": groups })
}

fn refused(group: &Group) -> u64 {
    group.refused.values().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_readable() {
        let mut group = Group::new("chat");
        group.passed = 2;
        group.refuse("audio");
        group.failed = (0..21).map(|line| format!("line {line}")).collect();
        let reports =
            [("traffic", Some(Report { corpus: "traffic".to_owned(), groups: vec![group] })), ("prices", None)];
        let text = text(Path::new("data"), &reports).unwrap();
        assert!(text.starts_with("traffic: 2 passed, 1 refused, 21 failed\n  chat "), "{text}");
        assert!(text.contains("    refused     1  audio\n"), "{text}");
        assert!(
            text.ends_with(
                "    failed  line 19\n    and 1 more; `--output json` has them all\nprices: absent from data\n"
            ),
            "{text}"
        );
        let json = to_json("traffic", reports[0].1.as_ref());
        assert_eq!(json["groups"][0]["failed"].as_array().unwrap().len(), 21);
        assert_eq!(to_json("prices", None)["absent"], true);
    }
}
