//! What the charts have from elsewhere, and the page about their values.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;
use serde_json::Value;

use crate::helm::{KINDS, ROLES};
use crate::workspace::Workspace;

const HEAD: &str = "\
# Values of the chart

<!-- written by `cargo xtask gen` from deploy/helm/bowline/values.schema.json and values.yaml -->

What `helm install bowline deploy/helm/bowline --values FILE` takes. A key that is not here is refused, and so is a value of another form.
[Install](install.md) says how to use them.
";

/// Returns copies of the files that tests hold against the roles; a chart can only read what is in its folder.
pub(super) fn copies(workspace: &Workspace) -> anyhow::Result<Vec<(String, String)>> {
    let copy = |from: &str, to: String| anyhow::Ok((to, workspace.text(Path::new(from))?));
    let mut files = vec![
        copy("deploy/admission.yaml", format!("{ROLES}/files/admission.yaml"))?,
        copy("deploy/rbac.yaml", format!("{ROLES}/files/rbac.yaml"))?,
        copy("deploy/rbac-namespaced.yaml", format!("{ROLES}/files/rbac-namespaced.yaml"))?,
        copy("deploy/rbac.yaml", format!("{KINDS}/files/rbac.yaml"))?,
    ];
    for manifest in bowline_crd::manifests() {
        files.push((format!("{KINDS}/files/crds/{}.yaml", manifest.plural), manifest.to_yaml()?));
    }
    Ok(files)
}

/// Returns the page about the values of the chart.
pub(super) fn values(workspace: &Workspace) -> anyhow::Result<String> {
    let schema = workspace.text(&Path::new(ROLES).join("values.schema.json"))?;
    let defaults = workspace.text(&Path::new(ROLES).join("values.yaml"))?;
    let schema = serde_json::from_str(&schema).context("reading values.schema.json")?;
    let defaults = serde_saphyr::from_str(&defaults).context("reading values.yaml")?;
    page(&schema, &defaults)
}

fn page(schema: &Value, defaults: &Value) -> anyhow::Result<String> {
    let mut text = HEAD.to_owned();
    let mut alone = Vec::new();
    let mut groups = Vec::new();
    for (name, property) in properties(schema)?.into_iter().filter(|(name, _)| *name != "global") {
        if property["properties"].is_object() { &mut groups } else { &mut alone }.push((name, property));
    }
    let mut rows = Vec::new();
    for (name, property) in alone {
        collect(name.to_owned(), property, &defaults[name], &mut rows)?;
    }
    table("Everything", "Of all roles, and of what belongs to none.", &rows, &mut text)?;
    for (name, property) in groups {
        let mut rows = Vec::new();
        collect(name.to_owned(), property, &defaults[name], &mut rows)?;
        table(name, &format!("{}.", described(name, property)?), &rows, &mut text)?;
    }
    let mut rows = Vec::new();
    for (name, property) in properties(&schema["definitions"]["acceleratorClass"])? {
        collect(format!("accelerators.NAME.{name}"), property, &Value::Null, &mut rows)?;
    }
    table("A class of accelerators", "Either `resource` or `deviceClass`.", &rows, &mut text)?;
    Ok(text)
}

/// Adds a row for a value, or for each of those in it.
fn collect(path: String, property: &Value, default: &Value, rows: &mut Vec<String>) -> anyhow::Result<()> {
    let about = described(&path, property)?;
    if property["properties"].is_object() {
        for (name, inner) in properties(property)? {
            collect(format!("{path}.{name}"), inner, &default[name], rows)?;
        }
        return Ok(());
    }
    let default = match default {
        Value::Null => String::new(),
        Value::String(text) if text.is_empty() => String::new(),
        Value::String(text) => format!("`{text}`"),
        other => format!("`{other}`"),
    };
    let choices = property["enum"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let choices: Vec<_> = choices.filter(|choice| !choice.is_empty()).map(|choice| format!("`{choice}`")).collect();
    let choices = if choices.is_empty() { String::new() } else { format!(": {}", choices.join(", ")) };
    rows.push(format!("| `{path}` | {default} | {about}{choices} |"));
    Ok(())
}

fn table(title: &str, about: &str, rows: &[String], text: &mut String) -> anyhow::Result<()> {
    writeln!(text, "\n## {title}\n\n{about}\n\n| value | default | |\n|---|---|---|")?;
    rows.iter().try_for_each(|row| writeln!(text, "{row}"))?;
    Ok(())
}

fn properties(schema: &Value) -> anyhow::Result<Vec<(&str, &Value)>> {
    let properties = schema["properties"].as_object().context("a schema of values has properties")?;
    Ok(properties.iter().map(|(name, property)| (name.as_str(), property)).collect())
}

fn described<'a>(path: &str, property: &'a Value) -> anyhow::Result<&'a str> {
    property["description"].as_str().with_context(|| format!("`{path}` has no description in values.schema.json"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema(description: &Value) -> Value {
        json!({
            "properties": {
                "global": {"type": "object"},
                "level": {"description": "What is logged", "type": "string"},
                "gateway": {"description": "The gateways", "properties": {
                    "kind": {"description": description, "enum": ["", "a", "b"]},
                    "args": {"description": "Options", "type": "array"},
                }},
            },
            "definitions": {"acceleratorClass": {"properties": {"resource": {"description": "The resource"}}}},
        })
    }

    #[test]
    fn every_value_has_a_row_with_its_default() {
        let page =
            page(&schema(&json!("Its kind")), &json!({"level": "info", "gateway": {"kind": "", "args": []}})).unwrap();
        for row in [
            "| `level` | `info` | What is logged |",
            "## gateway\n\nThe gateways.\n",
            "| `gateway.args` | `[]` | Options |",
            "| `gateway.kind` |  | Its kind: `a`, `b` |",
            "| `accelerators.NAME.resource` |  | The resource |",
        ] {
            assert!(page.contains(row), "{row} in {page}");
        }
        assert!(!page.contains("global"), "{page}");
    }

    #[test]
    fn a_value_that_nobody_describes_is_an_error() {
        let error = page(&schema(&Value::Null), &Value::Null).unwrap_err();
        assert_eq!(error.to_string(), "`gateway.kind` has no description in values.schema.json");
    }
}
