use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// The suite, which both tools read as it is. The model sorts by the definitions it finds here, and sometimes wrongly, so that there
/// are passes and failures.
const SUITE: &str = r#"description: sorts tickets
prompts:
  - |
    You sort the tickets of a support desk. The category is one of:
    - billing: charges, refunds, invoices, payment methods
    - access: login, password, roles, single sign-on
    - delivery: parcels, couriers, tracking, goods that are damaged or missing
    - bug: errors, crashes, wrong results, a screen or an export of the app that misbehaves
    - cancellation: terminating or closing a subscription, a contract or a trial
    - how_to: features and settings

    Ticket: {{ticket}}
providers: [openai:chat:gpt-5-mini]
defaultTest:
  assert:
    - { type: contains, value: "{{category}}" }
    - { type: not-contains, value: sorry }
    - { type: regex, value: "^[a-z_: ]+$" }
tests: file://cases.jsonl
"#;

/// Where the suite is in its project.
pub(super) const FILE: &str = "evals/tickets.yaml";

/// What the cases of a suite are checked by.
#[derive(Clone, Copy)]
pub(super) enum Assertions {
    /// What the suite says for all.
    Shared,
    /// That, and one that no other case has.
    Own,
}

/// Writes a project with a suite of so many cases, and returns its folder.
pub(super) fn write(
    folder: &Path,
    tickets: &str,
    (cases, assertions): (u32, Assertions),
    provider: &str,
) -> anyhow::Result<PathBuf> {
    fs::create_dir_all(folder.join("evals"))?;
    let project = format!(
        "project: bench\nproviders:\n  openai: {{ kind: openai, base_url: \"{provider}/v1\", identity: openai }}\nenvironments: {{ dev: {{}} }}\n"
    );
    fs::write(folder.join("bowline.yaml"), project)?;
    fs::write(folder.join(FILE), SUITE)?;
    let tickets = tickets.lines().map(serde_json::from_str::<Value>).collect::<Result<Vec<_>, _>>()?;
    let mut lines = String::new();
    for (number, ticket) in (0..cases).zip(tickets.iter().cycle()) {
        // The number makes each case another one.
        let text = format!("{} ({number})", ticket["text"].as_str().unwrap_or_default());
        let mut case = json!({ "vars": { "ticket": text, "category": ticket["category"] } });
        if let Assertions::Own = assertions {
            case["assert"] = json!([{ "type": "not-icontains", "value": format!("ticket {number}") }]);
        }
        writeln!(lines, "{case}")?;
    }
    fs::write(folder.join("evals/cases.jsonl"), lines)?;
    Ok(folder.to_owned())
}
