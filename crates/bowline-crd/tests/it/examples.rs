//! The examples of the documentation, which the test with an API server applies as well.

use std::path::Path;

use bowline_crd::{Lever, ModelBackend, PromptBundle};
use kube::core::cel::{apply_defaults, validate_cel};
use kube::{CustomResourceExt, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub(crate) fn file(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)).unwrap()
}

fn examples() -> Vec<Value> {
    let page = file("docs/kinds.md");
    let blocks = page.split("```yaml\n").skip(1);
    blocks.map(|block| serde_saphyr::from_str(block.split("```").next().unwrap()).unwrap()).collect()
}

/// Checks that an example is taken, and that reading and writing it loses nothing.
fn check<K>(example: &Value)
where
    K: Resource<DynamicType = ()> + CustomResourceExt + schemars::JsonSchema + Serialize + DeserializeOwned,
{
    let schema = serde_json::to_value(&K::crd().spec.versions[0].schema).unwrap();
    let filled = apply_defaults(&schema["openAPIV3Schema"], example);
    let object: K = serde_json::from_value(filled.clone()).unwrap();
    assert_eq!(validate_cel(&object).map_err(|error| error.to_string()), Ok(()), "{example}");
    // What stands for nothing is left out.
    let written = apply_defaults(&schema["openAPIV3Schema"], &serde_json::to_value(&object).unwrap());
    let again: K = serde_json::from_value(written.clone()).unwrap();
    assert_eq!(serde_json::to_value(&again).unwrap(), serde_json::to_value(&object).unwrap());
    assert_eq!(without_empty(&written), without_empty(&filled));
}

fn without_empty(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let full = fields.iter().filter(|(_, value)| !value.is_null() && **value != serde_json::json!([]));
            Value::Object(full.map(|(key, value)| (key.clone(), without_empty(value))).collect())
        }
        other => other.clone(),
    }
}

#[test]
fn examples_are_taken_and_lose_nothing() {
    let examples = examples();
    for example in &examples {
        match example["kind"].as_str() {
            Some("PromptBundle") => check::<PromptBundle>(example),
            Some("ModelBackend") => check::<ModelBackend>(example),
            other => panic!("an example is of the kind {other:?}"),
        }
    }
    assert!(examples.len() >= 5, "{} examples", examples.len());
}

#[test]
fn every_lever_short_name_and_condition_is_explained() {
    let page = file("docs/kinds.md");
    for lever in Lever::ALL {
        assert!(page.contains(&format!("{}=", lever.annotation())), "{}", lever.as_str());
    }
    for manifest in bowline_crd::manifests() {
        let names = manifest.definition.spec.names;
        assert!(page.contains(&format!("| {} | `{}` |", names.kind, names.short_names.unwrap()[0])), "{}", names.kind);
    }
    use bowline_crd::condition as is;
    for condition in
        [is::READY, is::RECONCILING, is::STALLED, is::VERIFIED, is::EVALUATED, is::RELEASED, is::LEVER, is::SERVING]
    {
        assert!(page.contains(&format!("\n| {condition} |")), "{condition}");
    }
}
