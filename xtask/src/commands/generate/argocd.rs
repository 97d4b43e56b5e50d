//! The scripts for Argo CD, put together as the settings that take them.

use std::path::{Component, Path};

use anyhow::Context as _;

use crate::workspace::Workspace;

/// Where the scripts are, in the layout of Argo CD's own repository: `GROUP/KIND/health.lua`, `GROUP/KIND/actions/NAME/action.lua`.
pub(crate) const SCRIPTS: &str = "deploy/argocd/bowline.dev";
const GROUP: &str = "bowline.dev";

const HEAD: &str = "\
# Written by `cargo xtask gen` from the scripts in bowline.dev. To add it to what is there:
#   kubectl patch configmap argocd-cm --namespace argocd --patch-file argocd-cm.yaml
apiVersion: v1
kind: ConfigMap
metadata:
  name: argocd-cm
  namespace: argocd
data:
";

/// A script, by where it is.
struct Script {
    kind: String,
    action: Option<String>,
    text: String,
}

/// Returns the ConfigMap.
///
/// Source: <https://argo-cd.readthedocs.io/en/latest/operator-manual/health/> and `resource_actions/`, read 2026-11-25.
pub(super) fn settings(workspace: &Workspace) -> anyhow::Result<String> {
    let scripts = scripts(workspace)?;
    let mut text = HEAD.to_owned();
    let mut kinds: Vec<&str> = scripts.iter().map(|script| script.kind.as_str()).collect();
    kinds.dedup();
    for kind in kinds {
        let of_kind = || scripts.iter().filter(|script| script.kind == kind);
        let named = |name: &str| of_kind().find(|script| script.action.as_deref() == Some(name));
        let health = of_kind().find(|script| script.action.is_none());
        let health = health.with_context(|| format!("{SCRIPTS}/{kind} has no health.lua"))?;
        block(&mut text, 2, &format!("resource.customizations.health.{GROUP}_{kind}"), &health.text);
        let Some(discovery) = named("discovery") else { continue };
        let mut actions = String::new();
        block(&mut actions, 0, "discovery.lua", &discovery.text);
        actions.push_str("definitions:\n");
        for script in of_kind() {
            let Some(action) = script.action.as_deref().filter(|action| *action != "discovery") else { continue };
            actions.push_str(&format!("  - name: {action}\n"));
            block(&mut actions, 4, "action.lua", &script.text);
        }
        block(&mut text, 2, &format!("resource.customizations.actions.{GROUP}_{kind}"), &actions);
    }
    Ok(text)
}

/// Adds a text of many lines as a value.
fn block(text: &mut String, indent: usize, key: &str, value: &str) {
    text.push_str(&format!("{:indent$}{key}: |\n", ""));
    for line in value.lines() {
        let inner = if line.is_empty() { 0 } else { indent + 2 };
        text.push_str(&format!("{:inner$}{line}\n", ""));
    }
}

/// Returns the scripts, sorted by kind.
fn scripts(workspace: &Workspace) -> anyhow::Result<Vec<Script>> {
    let mut scripts = Vec::new();
    for path in workspace.files(&["lua"])? {
        let Ok(inner) = path.strip_prefix(SCRIPTS) else { continue };
        let names: Vec<_> = inner.components().map(Component::as_os_str).filter_map(|name| name.to_str()).collect();
        let (kind, action) = match names[..] {
            [kind, "health.lua"] => (kind, None),
            [kind, "actions", "discovery.lua"] => (kind, Some("discovery")),
            [kind, "actions", action, "action.lua"] => (kind, Some(action)),
            _ => anyhow::bail!("{} is no script that Argo CD takes", path.display()),
        };
        let text = workspace.text(Path::new(&path))?;
        scripts.push(Script { kind: kind.to_owned(), action: action.map(str::to_owned), text });
    }
    Ok(scripts)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn settings_hold_the_scripts_as_they_are() {
        let workspace = Workspace::read().unwrap();
        let settings: Value = serde_saphyr::from_str(&settings(&workspace).unwrap()).unwrap();
        let data = settings["data"].as_object().unwrap();
        let text = |path: &str| workspace.text(&Path::new(SCRIPTS).join(path)).unwrap();
        for manifest in bowline_crd::manifests() {
            let kind = manifest.definition.spec.names.kind;
            let health = data[&format!("resource.customizations.health.bowline.dev_{kind}")].as_str().unwrap();
            assert_eq!(health, text(&format!("{kind}/health.lua")), "{kind}");
        }
        let actions = data["resource.customizations.actions.bowline.dev_PromptRollout"].as_str().unwrap();
        let actions: Value = serde_saphyr::from_str(actions).unwrap();
        assert_eq!(actions["discovery.lua"], text("PromptRollout/actions/discovery.lua"));
        let definitions = actions["definitions"].as_array().unwrap();
        let names: Vec<_> = definitions.iter().map(|definition| definition["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["abort", "promote"]);
        assert_eq!(definitions[1]["action.lua"], text("PromptRollout/actions/promote/action.lua"));
    }
}
