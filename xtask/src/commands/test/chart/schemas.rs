use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::Context as _;
use serde_json::{Map, Value, json};

/// Where definitions refer to each other.
const REFERENCE: &str = "#/definitions/";

/// Writes the API server's own description of its kinds as JSON schemas, one file per kind, as kubeconform looks for them.
///
/// A field that is not described is refused, and a number or a text is taken where Kubernetes takes both. Returns how many kinds there are.
pub(super) fn write(description: &Value, folder: &Path) -> anyhow::Result<usize> {
    let definitions = description["definitions"].as_object().context("the API server describes its kinds")?;
    let strict: BTreeMap<&str, Value> =
        definitions.iter().map(|(name, definition)| (name.as_str(), strict(definition))).collect();
    let mut count = 0;
    for (name, definition) in definitions {
        for kind in definition["x-kubernetes-group-version-kind"].as_array().into_iter().flatten() {
            let text = |field: &str| kind[field].as_str().unwrap_or_default().to_lowercase();
            let mut needed = Map::new();
            closure(name, &strict, &mut needed);
            let schema = json!({"$ref": format!("{REFERENCE}{name}"), "definitions": needed});
            // kubeconform takes the version for the group of the kinds that have none.
            let group = if text("group").is_empty() { text("version") } else { text("group") };
            let file = folder.join(format!("{}-{group}-{}.json", text("kind"), text("version")));
            fs::write(&file, schema.to_string()).with_context(|| format!("writing {}", file.display()))?;
            count += 1;
        }
    }
    Ok(count)
}

/// Returns a definition under which fields that are not described are refused.
fn strict(definition: &Value) -> Value {
    let mut definition = definition.clone();
    // Both are described as texts.
    let is_quantity =
        definition["description"].as_str().is_some_and(|text| text.starts_with("Quantity is a fixed-point"));
    if definition["format"] == "int-or-string" || is_quantity {
        return json!({"type": ["string", "number"]});
    }
    // These say more than a schema can, in words of Kubernetes alone.
    let is_open = definition["x-kubernetes-preserve-unknown-fields"] == true;
    if let Some(fields) = definition.as_object_mut() {
        fields.remove("format");
        if let Some(Value::Object(properties)) = fields.get_mut("properties") {
            for property in properties.values_mut() {
                *property = strict(property);
            }
            if !is_open && !fields.contains_key("additionalProperties") {
                fields.insert("additionalProperties".to_owned(), json!(false));
            }
        }
        for inner in ["items", "additionalProperties"] {
            if let Some(schema @ Value::Object(_)) = fields.get_mut(inner) {
                *schema = strict(schema);
            }
        }
    }
    definition
}

/// Adds a definition and everything that it refers to.
fn closure(name: &str, definitions: &BTreeMap<&str, Value>, needed: &mut Map<String, Value>) {
    if needed.contains_key(name) {
        return;
    }
    let Some(definition) = definitions.get(name) else { return };
    needed.insert(name.to_owned(), definition.clone());
    let mut open = vec![definition];
    while let Some(value) = open.pop() {
        match value {
            Value::Object(fields) => {
                let reference = fields.get("$ref").and_then(Value::as_str);
                if let Some(other) = reference.and_then(|reference| reference.strip_prefix(REFERENCE)) {
                    closure(other, definitions, needed);
                }
                open.extend(fields.values());
            }
            Value::Array(items) => open.extend(items),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemas_are_strict_and_hold_what_they_refer_to() {
        let reference = |name: &str| json!({"$ref": format!("{REFERENCE}{name}")});
        let description = json!({"definitions": {
            "Pod": {
                "properties": {"spec": reference("Spec"), "labels": {"additionalProperties": {"type": "string"}}},
                "x-kubernetes-group-version-kind": [{"group": "", "kind": "Pod", "version": "v1"}],
            },
            "Spec": {"properties": {"port": reference("Port"), "self": reference("Spec")}, "type": "object"},
            "Port": {"format": "int-or-string", "type": "string"},
            "Other": {"type": "string"},
        }});
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(write(&description, folder.path()).unwrap(), 1);
        let text = fs::read_to_string(folder.path().join("pod-v1-v1.json")).unwrap();
        let schema: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(schema["$ref"], "#/definitions/Pod");
        let definitions = schema["definitions"].as_object().unwrap();
        let mut names: Vec<_> = definitions.keys().collect();
        names.sort();
        assert_eq!(names, ["Pod", "Port", "Spec"]);
        assert_eq!(definitions["Pod"]["additionalProperties"], false);
        assert_eq!(definitions["Pod"]["properties"]["labels"]["additionalProperties"]["type"], "string");
        assert_eq!(definitions["Port"]["type"], json!(["string", "number"]));
    }
}
