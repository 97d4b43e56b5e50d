//! The examples of the documentation, which the test with an API server applies as well.

use std::path::Path;

use bowline_crd::{Lever, Live, ModelBackend, Prompt, PromptBundle, PromptRollout, PromptVersion};
use kube::core::cel::{apply_defaults, validate_cel};
use kube::{CustomResourceExt, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

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

/// Checks that reading and writing an object that has everything gives the same JSON.
fn same<K: Resource<DynamicType = ()> + Serialize + DeserializeOwned>(spec: &Value, status: &Value) {
    let value = json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        "metadata": {"name": "x", "namespace": "desk", "uid": "u"},
        "spec": spec,
        "status": status,
    });
    let object: K = serde_json::from_value(value.clone()).unwrap();
    assert_eq!(serde_json::to_value(&object).unwrap(), value);
}

#[test]
fn what_the_operator_writes_comes_back_as_it_was() {
    let (a, b, time) =
        (format!("sha256:{}", "a".repeat(64)), format!("sha256:{}", "b".repeat(64)), "2026-11-25T10:00:00Z");
    let conditions = json!([{
        "type": "Ready", "status": "True", "reason": "Live", "message": "m", "observedGeneration": 2, "lastTransitionTime": time,
    }]);
    let live = json!({"name": "prod", "version": a, "short": "aaaaaaaaaaaa", "movedAt": time, "rollout": 7});
    same::<Prompt>(
        &json!({"project": "desk", "prompt": "Support/answer_1"}),
        &json!({"observedGeneration": 2, "conditions": conditions, "environments": [live], "summary": "prod aaaaaaaaaaaa"}),
    );
    same::<PromptVersion>(
        &json!({
            "project": "desk", "prompt": "support/answer", "digest": a, "bundle": b, "commit": "3f9a", "author": "Ada <ada@example.com>",
        }),
        &json!({"observedGeneration": 2, "conditions": conditions}),
    );
    same::<PromptRollout>(
        &json!({
            "project": "desk", "prompt": "support/answer", "environment": "prod", "number": 7, "stable": a, "candidate": b,
            "stages": ["10%", "50%"],
        }),
        &json!({
            "observedGeneration": 2, "conditions": conditions, "state": "rolled_back", "stage": 1, "share": "10%",
            "stable": {"units": 1204, "rate": "0.883"}, "candidate": {"units": 0}, "eRollback": "41.5", "ePromote": "0.02",
            "verdict": "rollback", "why": "worse", "startedAt": time, "endedAt": time,
            "lever": {"name": "abort", "actor": "ada", "why": "refunds", "at": time, "outcome": "aborted"},
        }),
    );
    same::<PromptBundle>(
        &json!({
            "source": {"repository": "r.example/desk", "digest": a, "pollInterval": "30s", "pullSecret": {"name": "s"},
                "ca": {"name": "s", "key": "ca.crt"}, "plainHttp": false},
            "verification": {"signers": [{"name": "ci", "publicKey": "k"}], "suites": ["support"], "reportMaxAge": "3d",
                "acceptSimulated": false, "insecureUnsigned": false},
            "environments": ["staging", "prod"],
            "suspend": true,
            "keys": [{"secretName": "k", "environment": "prod", "rotateAfter": "30d"}],
            "serviceAccounts": [{"name": "desk", "environment": "prod"}],
        }),
        &json!({
            "observedGeneration": 2, "conditions": conditions, "project": "desk", "digest": a, "commit": "3f9a", "revision": 4,
            "environments": [{"name": "prod", "digest": a, "live": 1, "rollingOut": 1, "held": 0, "frozen": "ada: until Monday"}],
            "keys": [{"secretName": "k", "id": "key_1", "issuedAt": time, "previous": "key_0"}],
            "serviceAccounts": [{"name": "desk", "id": "key_2"}],
        }),
    );
}

#[test]
fn what_is_live_fits_into_a_line() {
    let live = |name: &str| -> Live {
        let version = format!("sha256:{}", "a".repeat(64));
        let value =
            json!({"name": name, "version": version, "short": "aaaaaaaaaaaa", "movedAt": "2026-11-25T10:00:00Z"});
        serde_json::from_value(value).unwrap()
    };
    assert_eq!(Live::summary(&[]), "");
    assert_eq!(Live::summary(&[live("prod"), live("dev")]), "prod aaaaaaaaaaaa, dev aaaaaaaaaaaa");
    let longest = "e".repeat(64);
    let many = Live::summary(&vec![live(&longest); 64]);
    assert!(many.ends_with(", 60 more") && many.len() <= 512, "{many}");
}
