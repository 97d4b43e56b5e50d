//! The script that executes a tour: all of its blocks in one shell, in order, so that a variable of one is known in the next.

use super::document::{Block, Work};

/// The variable that names the folder of outputs.
pub(super) const OUTPUTS: &str = "TOUR_OUTPUTS";
/// How long a block in the background may take to print what it says.
const START_SECONDS: u32 = 60;

/// Returns a bash script that executes blocks and keeps the output of the n-th, from 0, in the file `n` of the folder of outputs.
pub(super) fn script(blocks: &[Block]) -> String {
    // `set -m` gives each block in the background a process group of its own, so that its children end with it.
    let mut script = "set -euo pipefail\nset -m\nTOUR_GROUPS=\n\
                      trap '{ for group in $TOUR_GROUPS; do kill -- \"-$group\" || true; done; wait; } 2>/dev/null' EXIT\n"
        .to_owned();
    for (index, block) in blocks.iter().enumerate() {
        let output = format!("\"${OUTPUTS}/{index}\"");
        match &block.work {
            Work::Run(commands) => script.push_str(&format!("{{\n{commands}}} >{output} 2>&1 </dev/null\n")),
            Work::RunBeside(commands) => {
                script.push_str(&format!("{{\n{commands}}} >{output} 2>&1 </dev/null &\nTOUR_GROUPS+=\" $!\"\n"));
                for text in &block.prints {
                    script.push_str(&wait(&quote(text), &output));
                }
            }
            Work::Write { path, content } => {
                script.push_str(&format!("{{ printf %s {} >{}; }} 2>{output}\n", quote(content), quote(path)));
            }
        }
    }
    script
}

/// Returns commands that wait until the output of the last block in the background contains a text.
fn wait(text: &str, output: &str) -> String {
    format!(
        "for _ in $(seq {tenths}); do grep -qsF -- {text} {output} && break; kill -0 \"$!\" 2>/dev/null || exit 1; sleep 0.1; done\n\
         grep -qF -- {text} {output}\n",
        tenths = START_SECONDS * 10
    )
}

fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests;
