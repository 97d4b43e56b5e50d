use std::path::Path;

use super::Problem;
use crate::commands::{test, tour};
use crate::fences::{Fence, Mark, fences};
use crate::workspace::Workspace;

/// What a reader executes, or gives to a program that does.
const EXECUTED: [&str; 9] = ["sh", "bash", "shell", "zsh", "console", "fish", "dockerfile", "ini", "systemd"];
/// Programs that an indented block calls.
const PROGRAMS: [&str; 12] =
    ["bowline", "cargo", "curl", "cosign", "docker", "export", "git", "just", "kubectl", "patch", "python", "skopeo"];
/// How a line begins that a reader types.
const PROMPT: &str = "$ ";

/// Checks that the documentation says of every block with commands who executes it.
pub(super) fn check(workspace: &Workspace) -> anyhow::Result<Vec<Problem>> {
    let steps = test::steps();
    let mut problems = Vec::new();
    for path in tour::pages(workspace)? {
        let text = workspace.text(&path)?;
        problems.extend(
            indented(&text).map(|line| {
                Problem::at_line(&path, line, "commands stand in a fenced block, so that they are executed")
            }),
        );
        match fences(&text) {
            Ok(fences) => problems.extend(fences.iter().filter_map(|fence| unexecuted(&path, fence, &steps))),
            Err(error) => problems.push(Problem::new(&path, format!("{error:#}"))),
        }
    }
    Ok(problems)
}

/// Returns what is wrong with a block that nobody executes.
fn unexecuted(path: &Path, fence: &Fence<'_>, steps: &[&str]) -> Option<Problem> {
    let has_commands =
        || EXECUTED.contains(&fence.language) || fence.lines.iter().any(|line| line.trim_start().starts_with(PROMPT));
    let message = match fence.mark {
        Mark::Step(step) if !steps.contains(&step) => format!("`cargo xtask test` has no step `{step}`"),
        Mark::Other(_) if has_commands() => {
            "nobody executes this block: mark it `sh tour`, `sh step NAME` or `sh not-run: REASON`".to_owned()
        }
        _ => return None,
    };
    Some(Problem::at_line(path, fence.line, message))
}

/// Returns the lines, counted from 1, of commands in indented blocks, which have no place for a mark.
fn indented(text: &str) -> impl Iterator<Item = usize> {
    let mut in_fence = false;
    let mut after_empty = true;
    text.lines().enumerate().filter_map(move |(index, line)| {
        in_fence ^= line.trim_start().starts_with("```");
        let starts_block = after_empty && !in_fence;
        after_empty = line.is_empty();
        let word = line.strip_prefix("    ")?.split(' ').next()?;
        (starts_block && PROGRAMS.contains(&word)).then_some(index + 1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_that_nobody_executes_is_found() {
        let check = |document: &str, expected: Option<&str>| {
            let fences = fences(document).unwrap();
            let problem = unexecuted(Path::new("a.md"), &fences[0], &["image"]).map(|problem| problem.to_string());
            match expected {
                Some(text) => {
                    assert!(problem.as_ref().is_some_and(|problem| problem.contains(text)), "{document}: {problem:?}")
                }
                None => assert_eq!(problem, None, "{document}"),
            }
        };
        check("text\n```sh\nbowline up\n```\n", Some("a.md:2: nobody executes"));
        check("```bash\nbowline up\n```\n", Some("nobody executes"));
        check("```\n$ bowline up\n```\n", Some("nobody executes"));
        check("```dockerfile\nFROM scratch\n```\n", Some("nobody executes"));
        check("```sh step imgae\ncargo xtask image\n```\n", Some("has no step `imgae`"));
        check("```sh step image\ncargo xtask image\n```\n", None);
        check("```sh tour\nbowline up\n```\n", None);
        check("```sh not-run: it takes hours\nbowline up\n```\n", None);
        check("```\nerror: nothing\n```\n", None);
        check("```yaml\na: 1\n```\n", None);
    }

    #[test]
    fn commands_in_indented_blocks_are_found() {
        let check = |text: &str, expected: &[usize]| assert_eq!(indented(text).collect::<Vec<_>>(), expected, "{text}");
        check("a:\n\n    bowline up\n    bowline check\n\nb\n\n    git add .\n", &[3, 8]);
        check("a:\n\n    applications ──▶ gateway\n", &[]);
        check("```sh tour\n\n    bowline up\n```\n- a\n    git is needed\n", &[]);
    }
}
