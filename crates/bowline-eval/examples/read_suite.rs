//! Reads a suite, and says how long that took and how much memory the process has needed at most.
//!
//! `cargo run --release -p bowline-eval --example read_suite -- [CASES]`: a suite of so many rows of JSON lines (default: 100,000).

#![expect(clippy::print_stdout, reason = "what it prints is what it is for")]
#![expect(clippy::disallowed_methods, reason = "it measures real time")]

use std::fs;
use std::time::Instant;

use bowline_eval::Suite;
use bowline_prompt::MemorySource;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let cases: u32 = std::env::args().nth(1).map_or(Ok(100_000), |cases| cases.parse())?;
    for (shape, row) in [
        ("label in a variable", (|n| labelled(n, "")) as fn(u32) -> String),
        ("an assertion of its own", |n| {
            labelled(n, &format!(r#", "assert": [{{"type": "contains", "value": "order {n}"}}]"#))
        }),
    ] {
        let rows: String = (0..cases).map(row).collect();
        let size = rows.len();
        let mut source = MemorySource::new();
        source.insert("evals/rows.jsonl", rows);
        source.insert(
            "evals/suite.yaml",
            "prompts: [prompt:classify]\ndefaultTest: { assert: [{ type: icontains, value: '{{label}}' }] }\ntests: file://rows.jsonl\n",
        );
        let before = resident("VmRSS:");
        let start = Instant::now();
        let suite = Suite::read(&source, "evals/suite.yaml").map_err(|found| format!("{found:?}"))?;
        let took = start.elapsed();
        println!(
            "{shape}: {} cases ({} KiB of rows) in {} ms; {} KiB more than before, {} KiB at most",
            suite.cases.len(),
            size / 1024,
            took.as_millis(),
            resident("VmRSS:").saturating_sub(before),
            resident("VmHWM:"),
        );
    }
    Ok(())
}

fn labelled(n: u32, rest: &str) -> String {
    let label = ["refund", "delivery", "account"][n as usize % 3];
    format!(r#"{{"vars": {{"text": "My order {n} has not come, what do I do now?", "label": "{label}"}}{rest}}}"#)
        + "\n"
}

/// Returns a figure of this process in KiB; 0 where the system does not tell.
fn resident(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}
