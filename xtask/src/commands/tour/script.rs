//! The tour of a document: its blocks, and the script that executes them.
//!
//! A block is fenced with ` ```sh tour `. All of them run in one shell, in order, so that a variable of one is known in the next.
//! A line `# prints: TEXT` in a block says that its output contains TEXT. A block fenced with ` ```sh tour background ` stands for a
//! second terminal: the tour goes on once everything is printed that the block says, and ends the block at the end.

use std::fmt::Write as _;

use anyhow::bail;

/// The variable that names the folder of outputs.
pub(super) const OUTPUTS: &str = "TOUR_OUTPUTS";
/// How long a block in the background may take to print what it says.
const START_SECONDS: u32 = 60;
const PRINTS: &str = "# prints: ";
const NEEDS: &str = "<!-- tour needs: ";

/// One block of a tour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Block {
    /// The line of its first command, counted from 1.
    pub(super) line: usize,
    /// What the output must contain.
    pub(super) prints: Vec<String>,
    commands: String,
    background: bool,
}

/// Returns the programs without which the tour of a document cannot be taken: those that a line `<!-- tour needs: NAME, NAME -->`
/// names, which readers do not see. A Debian package of the same name has each.
pub(super) fn needs(document: &str) -> Vec<&str> {
    let lists = document.lines().filter_map(|line| line.trim().strip_prefix(NEEDS)?.strip_suffix("-->"));
    lists.flat_map(|list| list.split(',').map(str::trim)).filter(|name| !name.is_empty()).collect()
}

/// Returns the blocks of a document.
///
/// # Errors
/// A mark that is not known, a block that is not closed, or one in the background that does not say when it is ready.
pub(super) fn blocks(document: &str) -> anyhow::Result<Vec<Block>> {
    let mut blocks = Vec::new();
    let mut lines = document.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        let Some(info) = line.trim_start().strip_prefix("```") else { continue };
        let mut block = Block {
            line: index + 2,
            prints: Vec::new(),
            commands: String::new(),
            background: info == "sh tour background",
        };
        let is_tour = block.background || info == "sh tour";
        if !is_tour && info.contains("tour") {
            bail!("line {}: `{info}` is neither `sh tour` nor `sh tour background`", index + 1);
        }
        let mut closed = false;
        for (_, line) in lines.by_ref() {
            if line.trim() == "```" {
                closed = true;
                break;
            }
            match line.trim_start().strip_prefix(PRINTS) {
                Some(text) => block.prints.push(text.to_owned()),
                None => writeln!(block.commands, "{line}")?,
            }
        }
        if !closed {
            bail!("line {}: the block is not closed", index + 1);
        }
        if block.background && block.prints.is_empty() {
            bail!("line {}: a block in the background needs a `{PRINTS}` line that says when it is ready", index + 1);
        }
        if is_tour {
            blocks.push(block);
        }
    }
    Ok(blocks)
}

/// Returns a bash script that executes blocks and keeps the output of the n-th, from 0, in the file `n` of the folder of outputs.
pub(super) fn script(blocks: &[Block]) -> String {
    // `set -m` gives each block in the background a process group of its own, so that its children end with it.
    let mut script = "set -euo pipefail\nset -m\nTOUR_GROUPS=\n\
                      trap '{ for group in $TOUR_GROUPS; do kill -- \"-$group\" || true; done; wait; } 2>/dev/null' EXIT\n"
        .to_owned();
    for (index, block) in blocks.iter().enumerate() {
        let output = format!("\"${OUTPUTS}/{index}\"");
        let commands = &block.commands;
        if block.background {
            script.push_str(&format!("{{\n{commands}}} >{output} 2>&1 </dev/null &\nTOUR_GROUPS+=\" $!\"\n"));
            for text in &block.prints {
                script.push_str(&wait(&quote(text), &output));
            }
        } else {
            script.push_str(&format!("{{\n{commands}}} >{output} 2>&1 </dev/null\n"));
        }
    }
    script
}

/// Returns commands that wait until the output of the last block in the background contains a text.
fn wait(text: &str, output: &str) -> String {
    format!(
        "for _ in $(seq {tenths}); do grep -qF -- {text} {output} && break; kill -0 \"$!\" 2>/dev/null || exit 1; sleep 0.1; done\n\
         grep -qF -- {text} {output}\n",
        tenths = START_SECONDS * 10
    )
}

fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests;
