//! The reference of the command line, from what the binary says of itself.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::process;

const HEAD: &str = "\
# The command line

<!-- written by `cargo xtask gen --bowline FILE` from `--help` -->
";

/// Returns the help of a binary and of all its subcommands.
pub(super) fn reference(bowline: &Path) -> anyhow::Result<String> {
    let mut text = HEAD.to_owned();
    let mut open = vec![Vec::new()];
    while let Some(path) = open.pop() {
        let help = help(bowline, &path)?;
        // The last one is described next.
        let subcommands =
            subcommands(&help).into_iter().rev().map(|name| [path.clone(), vec![name.to_owned()]].concat());
        open.extend(subcommands);
        let command = [vec!["bowline".to_owned()], path].concat().join(" ");
        let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
        writeln!(text, "\n## {command}\n\n```text\n{}\n```", lines.join("\n").trim_end())?;
    }
    Ok(text)
}

fn help(bowline: &Path, path: &[String]) -> anyhow::Result<String> {
    let mut command = Command::new(bowline);
    // Without a terminal the width is that of COLUMNS.
    command.args(path).arg("--help").env("COLUMNS", "100").env("NO_COLOR", "1").stdin(Stdio::null());
    process::output(&mut command)
}

/// Returns the names under `Commands:`.
fn subcommands(help: &str) -> Vec<&str> {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    // Deeper lines go on with a description.
    let names = lines.filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')));
    names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subcommands_are_read_from_help() {
        let help = "Prompts.\n\nUsage: bowline <COMMAND>\n\nCommands:\n  env      Environments\n  release  Asks for a change\n           \
                    and more\n  help     Print this\n\nOptions:\n  -h, --help  Print help\n";
        assert_eq!(subcommands(help), ["env", "release"]);
        assert!(subcommands("Usage: bowline env list\n").is_empty());
    }
}
