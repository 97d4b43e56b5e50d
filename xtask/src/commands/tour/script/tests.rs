use std::fs;
use std::process::Command;

use super::*;

/// Runs a document's tour; returns whether it ended well and what each block printed.
fn play(document: &str) -> (bool, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let blocks = blocks(document).unwrap();
    let mut bash = Command::new("bash");
    bash.arg("-c").arg(script(&blocks)).env(OUTPUTS, folder.path()).current_dir(folder.path());
    let finished = bash.status().unwrap().success();
    let outputs = (0..blocks.len()).filter_map(|index| fs::read_to_string(folder.path().join(index.to_string())).ok());
    (finished, outputs.collect())
}

fn refused(document: &str, expected: &str) {
    let error = blocks(document).unwrap_err().to_string();
    assert!(error.contains(expected), "{document}: {error}");
}

#[test]
fn blocks_of_the_tour_are_read_and_others_are_not() {
    let document = "# A\n```sh\nrm -rf x\n```\ntext\n```sh tour\necho a\n# prints: a b\n# why\n```\n";
    let expected =
        Block { line: 7, prints: vec!["a b".to_owned()], commands: "echo a\n# why\n".to_owned(), background: false };
    assert_eq!(blocks(document).unwrap(), [expected]);
    refused("```sh tuor\n```\n```bash tour\n```\n", "line 3: `bash tour` is neither");
    refused("a\n```sh tour\necho a\n", "line 2: the block is not closed");
    refused("```sh tour background\nsleep 1\n```\n", "says when it is ready");
}

#[test]
fn a_document_says_what_its_tour_needs() {
    assert_eq!(
        needs("# A\n<!-- tour needs: one, two -->\ntext\n  <!-- tour needs: three -->\n"),
        ["one", "two", "three"]
    );
    assert_eq!(needs("a tour needs: one\n<!-- tour: -->\n<!-- tour needs: -->\n<!-- tour needs: one\n"), [""; 0]);
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
