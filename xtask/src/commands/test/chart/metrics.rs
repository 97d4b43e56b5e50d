use std::collections::BTreeSet;
use std::path::Path;

use crate::helm::ROLES;
use crate::workspace::Workspace;

/// Everything that gateways and the control role show, as a test of theirs has recorded it.
const PAGE: &str = "crates/bowline-telemetry/src/metrics/snapshots/\
                    bowline_telemetry__metrics__tests__the_page_after_fixed_records.snap";
/// Where the operator names its own.
const OPERATOR: &str = "crates/bowline-operator/src/metrics.rs";
const OPERATOR_PREFIX: &str = "bowline_operator_";
/// What the text format appends to a name.
const SUFFIXES: [&str; 3] = ["_total", "_bucket", "_info"];

/// Checks that alerts and dashboard ask for metrics that there are: one that is not there never fires, and nobody sees it.
pub(super) fn check(workspace: &Workspace) -> anyhow::Result<()> {
    let page = workspace.text(Path::new(PAGE))?;
    let operator = workspace.text(Path::new(OPERATOR))?;
    let mut asked = BTreeSet::new();
    let files = ["alerts.yaml", "dashboard.json"].map(|name| Path::new(ROLES).join("files").join(name));
    for file in files {
        asked.extend(names(&workspace.text(&file)?));
    }
    let is_known = |name: &String| match name.strip_prefix(OPERATOR_PREFIX) {
        Some(own) => operator.contains(&format!("\"{}\"", base(own))),
        None => page.contains(&format!("# HELP {} ", base(name))),
    };
    let unknown: Vec<_> = asked.iter().filter(|name| !is_known(name)).collect();
    anyhow::ensure!(unknown.is_empty(), "nobody shows {unknown:?}");
    anyhow::ensure!(asked.len() > 10, "only {asked:?} were found");
    println!("{} metrics in alerts and dashboard, all known", asked.len());
    Ok(())
}

/// Returns the metrics in a text with queries.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    words.filter(|word| word.starts_with("bowline_") || word.starts_with("gen_ai_client_")).map(str::to_owned).collect()
}

fn base(name: &str) -> &str {
    SUFFIXES.iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_found_in_queries() {
        let text =
            "sum(rate(bowline_records_lost_total{namespace=\"bowline-system\"}[1m])) / gen_ai_client_x_bucket > 1";
        let names: Vec<_> = names(text).into_iter().collect();
        assert_eq!(names, ["bowline_records_lost_total", "gen_ai_client_x_bucket"]);
        assert_eq!(
            names.iter().map(|name| base(name)).collect::<Vec<_>>(),
            ["bowline_records_lost", "gen_ai_client_x"]
        );
    }
}
