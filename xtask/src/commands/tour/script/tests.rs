use std::fs;
use std::path::Path;
use std::process::Command;

use super::super::document::tours;
use super::*;

/// Runs a document's tour; returns whether it ended well and what each block printed.
fn play(document: &str) -> (bool, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let blocks = tours(Path::new("a.md"), document).unwrap().remove(0).blocks;
    let mut bash = Command::new("bash");
    bash.arg("-c").arg(script(&blocks)).env(OUTPUTS, folder.path()).current_dir(folder.path());
    let finished = bash.status().unwrap().success();
    let outputs = (0..blocks.len()).filter_map(|index| fs::read_to_string(folder.path().join(index.to_string())).ok());
    (finished, outputs.collect())
}

#[test]
fn blocks_share_a_shell() {
    let (finished, outputs) = play("```sh tour\nA=1; echo one >&2\n```\n```sh tour\necho $((A + 1))\n```\n");
    assert!(finished);
    assert_eq!(outputs, ["one\n", "2\n"]);
}

#[test]
fn a_failed_command_ends_the_tour() {
    let (finished, outputs) = play("```sh tour\nfalse\necho never\n```\n```sh tour\necho never\n```\n");
    assert!(!finished);
    assert_eq!(outputs, [""]);
}

#[test]
fn the_tour_waits_for_the_background_and_ends_it() {
    let document = "```sh tour background\necho starting\nsleep 0.2; echo \"it's ready\" | tee ready; sleep 600 & echo $! > pid; wait\n\
                    # prints: it's ready\n```\n```sh tour\ncat ready pid\n```\n";
    let (finished, outputs) = play(document);
    assert!(finished, "{outputs:?}");
    let (text, child) = outputs[1].split_once('\n').unwrap();
    assert_eq!(text, "it's ready");
    // The group was told to end; its child ends a moment later.
    let gone = (0..500).any(|_| {
        let alive = Command::new("kill").args(["-0", child.trim()]).status().unwrap().success();
        std::thread::sleep(std::time::Duration::from_millis(u64::from(alive) * 10));
        !alive
    });
    assert!(gone, "{child} still runs");
    let (finished, _) = play("```sh tour background\nexit 3\n# prints: ready\n```\n");
    assert!(!finished);
}

#[test]
fn a_file_is_written_where_the_shell_is() {
    let document = "```sh tour\nmkdir b && cd b\n```\n```yaml tour file c.yaml\na: '$HOME'\n  b: 1\n```\n```sh tour\ncat ../b/c.yaml\n```\n";
    let (finished, outputs) = play(document);
    assert!(finished, "{outputs:?}");
    assert_eq!(outputs, ["", "", "a: '$HOME'\n  b: 1\n"]);
    let (finished, _) = play("```yaml tour file none/c.yaml\na: 1\n```\n");
    assert!(!finished);
}
