use std::path::Path;

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::commands::generate::argocd::SCRIPTS;
use crate::go::Package;
use crate::workspace::Workspace;

/// The interpreter of Argo CD, with the libraries that it gives to scripts.
const LUA: Package<'static> = Package { folder: "tests/go/lua", path: ".", program: "argocd-lua", values: &[] };
const KINDS: [&str; 5] = ["ModelBackend", "Prompt", "PromptBundle", "PromptRollout", "PromptVersion"];

/// A script, what it is given, and what must come of it.
struct Case {
    what: String,
    script: String,
    object: Value,
    parameters: Value,
    expected: Expected,
}

enum Expected {
    /// The value has these fields with these values, by JSON pointer; others may be there.
    Fields(Vec<(String, Value)>),
    /// The script refuses, and says this.
    Error(&'static str),
}

/// Runs the scripts on every combination of conditions that kinds can have, and on every state that decides what can be done.
pub(super) fn check(workspace: &Workspace) -> anyhow::Result<()> {
    let mut cases = Vec::new();
    for kind in KINDS {
        health(workspace, kind, &mut cases)?;
    }
    rollout_actions(workspace, &mut cases)?;
    prompt_actions(workspace, &mut cases)?;
    bundle_actions(workspace, &mut cases)?;
    let run = |case: &Case| json!({"script": case.script, "object": case.object, "parameters": case.parameters});
    let results = LUA.ask(workspace, cases.iter().map(run).collect())?;
    for (case, result) in cases.iter().zip(&results) {
        case.hold(result).with_context(|| format!("{}, {}", case.what, case.object))?;
    }
    println!("{} runs of the scripts for Argo CD", cases.len());
    Ok(())
}

fn health(workspace: &Workspace, kind: &str, cases: &mut Vec<Case>) -> anyhow::Result<()> {
    let script = workspace.text(&Path::new(SCRIPTS).join(kind).join("health.lua"))?;
    let mut add = |what: &str, object: Value, status: &str, message: &str| {
        let fields = vec![("/status".to_owned(), json!(status)), ("/message".to_owned(), json!(message))];
        let (what, expected) = (format!("health of a {kind}, {what}"), Expected::Fields(fields));
        cases.push(Case { what, script: script.clone(), object, parameters: json!({}), expected });
    };
    let unseen = "the operator has not looked at it yet";
    add("new", json!({"metadata": {"generation": 1}, "spec": {}}), "Progressing", unseen);
    add("no conditions", json!({"metadata": {"generation": 1}, "spec": {}, "status": {}}), "Progressing", unseen);
    let condition =
        |name: &str, status: &str| json!({"type": name, "status": status, "reason": "Because", "message": name});
    for ready in [None, Some("True"), Some("False"), Some("Unknown")] {
        for (reconciling, stalled) in [(false, false), (true, false), (false, true), (true, true)] {
            for (observed, suspended, held) in
                [(2, false, false), (2, true, false), (2, false, true), (2, true, true), (1, false, false)]
            {
                let mut conditions = vec![condition("LeverHandled", "True")];
                conditions.extend(ready.map(|status| condition("Ready", status)));
                conditions.extend(reconciling.then(|| condition("Reconciling", "True")));
                conditions.extend(stalled.then(|| condition("Stalled", "True")));
                let object = json!({
                    "metadata": {"generation": 2},
                    "spec": {"suspend": suspended},
                    "status": {
                        "observedGeneration": observed,
                        "conditions": conditions,
                        "state": if held { "held" } else { "running" },
                    },
                });
                let (status, message) = if observed == 1 {
                    ("Progressing", "the operator has not seen the last change yet")
                } else if stalled && kind == "PromptRollout" && held {
                    ("Suspended", "Stalled")
                } else if stalled {
                    ("Degraded", "Because: Stalled")
                } else if reconciling {
                    ("Progressing", "Reconciling")
                } else if ready == Some("True") && kind == "PromptBundle" && suspended {
                    ("Suspended", "Ready")
                } else if ready == Some("True") {
                    ("Healthy", "Ready")
                } else {
                    ("Progressing", "not ready yet")
                };
                add("with conditions", object, status, message);
            }
        }
    }
    Ok(())
}

fn rollout_actions(workspace: &Workspace, cases: &mut Vec<Case>) -> anyhow::Result<()> {
    let mut add = adder(workspace, "PromptRollout", cases);
    let states = ["running", "held", "promoted", "rolled_back", "aborted", "superseded", ""];
    for state in states {
        let over = !matches!(state, "running" | "held");
        let expected = ["abort", "promote"].map(|name| (format!("/{name}/disabled"), json!(over)));
        let why = ("/abort/params/0/name".to_owned(), json!("why"));
        let object = json!({"metadata": {}, "spec": {}, "status": {"state": state}});
        add("discovery.lua", object, json!({}), Expected::Fields([expected.to_vec(), vec![why]].concat()))?;
    }
    for name in ["abort", "promote"] {
        let script = format!("{name}/action.lua");
        for (parameters, why) in
            [(json!({}), "from Argo CD"), (json!({"why": ""}), "from Argo CD"), (json!({"why": "refunds"}), "refunds")]
        {
            let kept = json!({"metadata": {"annotations": {"team": "desk", "bowline.dev/actor": "ada"}}, "spec": {}});
            let expected = annotations(&[(&format!("bowline.dev/{name}"), json!(why)), ("team", json!("desk"))]);
            add(&script, kept, parameters.clone(), expected)?;
            let bare = json!({"metadata": {}, "spec": {}});
            add(&script, bare, parameters, annotations(&[(&format!("bowline.dev/{name}"), json!(why))]))?;
        }
    }
    Ok(())
}

fn prompt_actions(workspace: &Workspace, cases: &mut Vec<Case>) -> anyhow::Result<()> {
    let mut add = adder(workspace, "Prompt", cases);
    let live = |names: &[&str]| {
        let environments: Vec<_> = names.iter().map(|name| json!({"name": name})).collect();
        json!({"metadata": {}, "spec": {}, "status": {"environments": environments}})
    };
    for (names, over, environment) in
        [(&[][..], true, ""), (&["prod"], false, "prod"), (&["staging", "prod"], false, "")]
    {
        let fields = vec![
            ("/rollback/disabled".to_owned(), json!(over)),
            ("/rollback/params/0/default".to_owned(), json!(environment)),
        ];
        add("discovery.lua", live(names), json!({}), Expected::Fields(fields))?;
    }
    let rollback = |value: &str| annotations(&[("bowline.dev/rollback", json!(value))]);
    let script = "rollback/action.lua";
    add(script, live(&["prod"]), json!({}), rollback("prod from Argo CD"))?;
    add(script, live(&["prod"]), json!({"environment": "", "version": "", "why": ""}), rollback("prod from Argo CD"))?;
    let named = json!({"environment": "staging", "version": "sha256:1a2b", "why": "refunds"});
    add(script, live(&["prod", "staging"]), named, rollback("staging@sha256:1a2b refunds"))?;
    let one_of = Expected::Error("environment must be one of those where the prompt is live: prod, staging");
    add(script, live(&["prod", "staging"]), json!({}), one_of)?;
    add(script, live(&["prod"]), json!({"environment": "dev"}), Expected::Error("where the prompt is live: prod"))?;
    add(script, live(&[]), json!({}), Expected::Error("environment must be one of"))
}

fn bundle_actions(workspace: &Workspace, cases: &mut Vec<Case>) -> anyhow::Result<()> {
    let mut add = adder(workspace, "PromptBundle", cases);
    let bundle = |names: &[&str], annotations: Value| json!({"metadata": {"annotations": annotations}, "spec": {"environments": names}});
    let fields = |frozen: bool, environment: &str| {
        let disabled = [("freeze", frozen), ("unfreeze", !frozen)];
        let disabled = disabled.map(|(name, disabled)| (format!("/{name}/disabled"), json!(disabled)));
        let default = ("/freeze/params/0/default".to_owned(), json!(environment));
        Expected::Fields([disabled.to_vec(), vec![default]].concat())
    };
    let frozen = json!({"bowline.dev/freeze": "prod until Monday", "team": "desk"});
    add("discovery.lua", bundle(&["prod"], json!({})), json!({}), fields(false, "prod"))?;
    add("discovery.lua", bundle(&["dev", "prod"], json!({})), json!({}), fields(false, ""))?;
    add("discovery.lua", bundle(&["prod"], frozen.clone()), json!({}), fields(true, "prod"))?;
    let freeze = |value: &str| annotations(&[("bowline.dev/freeze", json!(value))]);
    add("freeze/action.lua", bundle(&["prod"], json!({})), json!({}), freeze("prod from Argo CD"))?;
    let named = json!({"environment": "dev", "why": "holiday"});
    add("freeze/action.lua", bundle(&["dev", "prod"], json!({})), named, freeze("dev holiday"))?;
    let refused = Expected::Error("environment must be one that the bundle feeds: dev, prod");
    add("freeze/action.lua", bundle(&["dev", "prod"], json!({})), json!({}), refused)?;
    let kept = annotations(&[("team", json!("desk"))]);
    add("unfreeze/action.lua", bundle(&["prod"], frozen), json!({}), kept)?;
    let bare = Expected::Fields(vec![("/metadata/name".to_owned(), json!("desk"))]);
    add("unfreeze/action.lua", json!({"metadata": {"name": "desk"}, "spec": {}}), json!({}), bare)
}

/// Returns what adds a case of an action of a kind.
fn adder<'a>(
    workspace: &'a Workspace,
    kind: &'a str,
    cases: &'a mut Vec<Case>,
) -> impl FnMut(&str, Value, Value, Expected) -> anyhow::Result<()> + 'a {
    move |name, object, parameters, expected| {
        let script = workspace.text(&Path::new(SCRIPTS).join(kind).join("actions").join(name))?;
        cases.push(Case { what: format!("{kind}/actions/{name}"), script, object, parameters, expected });
        Ok(())
    }
}

/// The object has exactly these annotations.
fn annotations(expected: &[(&str, Value)]) -> Expected {
    let expected: Value = expected.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    Expected::Fields(vec![("/metadata/annotations".to_owned(), expected)])
}

// === impl Case ===

impl Case {
    fn hold(&self, result: &Value) -> anyhow::Result<()> {
        match &self.expected {
            Expected::Error(expected) => {
                let said = result["error"].as_str().unwrap_or_default();
                anyhow::ensure!(said.contains(expected), "it says {result}, not `{expected}`");
            }
            Expected::Fields(fields) => {
                anyhow::ensure!(result["error"].is_null(), "it fails: {}", result["error"]);
                for (pointer, expected) in fields {
                    let found = result["value"].pointer(pointer);
                    anyhow::ensure!(found == Some(expected), "{pointer} is {found:?}, not {expected}");
                }
            }
        }
        Ok(())
    }
}
