//! What the API server and people ask of every schema.

use serde_json::Value;

/// Calls `see` with every schema below, and where it is. Conditions are those of Kubernetes itself.
fn walk(schema: &Value, path: &str, see: &mut impl FnMut(&Value, &str)) {
    see(schema, path);
    for (name, below) in schema["properties"].as_object().into_iter().flatten() {
        if name != "conditions" {
            walk(below, &format!("{path}.{name}"), see);
        }
    }
    if schema["items"].is_object() {
        walk(&schema["items"], &format!("{path}[]"), see);
    }
}

fn every_schema(mut see: impl FnMut(&Value, &str)) {
    for manifest in bowline_crd::manifests() {
        for version in &manifest.definition.spec.versions {
            let schema = serde_json::to_value(&version.schema).unwrap();
            for part in ["spec", "status"] {
                let schema = &schema["openAPIV3Schema"]["properties"][part];
                walk(schema, &format!("{}.{part}", manifest.plural), &mut see);
            }
        }
    }
}

#[test]
fn lists_texts_and_objects_have_bounds() {
    let mut seen = 0;
    every_schema(|schema, path| {
        seen += 1;
        assert!(schema["x-kubernetes-preserve-unknown-fields"].is_null(), "{path} takes anything");
        match schema["type"].as_str() {
            Some("string") => {
                let bounded =
                    schema["maxLength"].is_u64() || schema["format"] == "date-time" || schema["enum"].is_array();
                assert!(bounded, "{path} has no longest text");
            }
            Some("array") => {
                let conditions = path.ends_with(".conditions");
                assert!(schema["maxItems"].is_u64() || conditions, "{path} has no longest list");
                assert!(schema["x-kubernetes-list-type"].is_string(), "{path} does not say how it is merged");
            }
            Some("object") => assert!(schema["properties"].is_object(), "{path} takes any key"),
            Some("integer" | "boolean") => {}
            other => panic!("{path} is of the type {other:?}"),
        }
    });
    assert!(seen > 100, "{seen} schemas");
}

#[test]
fn everything_is_explained() {
    every_schema(|schema, path| {
        let text = schema["description"].as_str().unwrap_or_default();
        let whole = text.ends_with(['.', '`']) && text.len() > 3;
        assert!(whole || path.ends_with("[]"), "{path} is described as {text:?}");
    });
}

#[test]
fn a_kind_has_one_version_with_status_columns_and_names_of_its_own() {
    // The short names that `kubectl api-resources` of Kubernetes 1.35 lists.
    const TAKEN: [&str; 27] = [
        "cm", "cs", "csr", "crd", "crds", "cj", "deploy", "ds", "ep", "ev", "hpa", "ing", "limits", "netpol", "no",
        "ns", "pc", "pdb", "po", "pv", "pvc", "quota", "rc", "rs", "sa", "sc", "svc",
    ];
    let mut names = Vec::new();
    for manifest in bowline_crd::manifests() {
        let spec = manifest.definition.spec;
        names.extend(spec.names.short_names.clone().unwrap());
        assert_eq!(spec.names.categories, Some(vec![bowline_crd::CATEGORY.to_owned()]));
        assert_eq!(
            (spec.group.as_str(), spec.scope.as_str(), spec.versions.len()),
            (bowline_crd::GROUP, "Namespaced", 1)
        );
        let version = &spec.versions[0];
        assert!(version.served && version.storage && version.name == bowline_crd::VERSION);
        assert!(version.subresources.as_ref().is_some_and(|subresources| subresources.status.is_some()));
        let columns = version.additional_printer_columns.as_ref().unwrap();
        assert_eq!(columns.last().unwrap().name, "Age", "{}", manifest.plural);
    }
    names.sort();
    assert_eq!(names, ["mbe", "pbu", "pmt", "pro", "pver"]);
    assert!(!names.iter().any(|name| TAKEN.contains(&name.as_str())), "{names:?}");
}

#[test]
fn a_manifest_in_yaml_is_the_definition() {
    for manifest in bowline_crd::manifests() {
        let read: Value = serde_saphyr::from_str(&manifest.to_yaml().unwrap()).unwrap();
        assert_eq!(read, serde_json::to_value(&manifest.definition).unwrap(), "{}", manifest.plural);
    }
}
