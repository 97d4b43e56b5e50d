//! Each rule kept and broken, with the message that people see.

use kube::core::cel::Validator;
use serde_json::{Value, json};

fn object(spec: &Value) -> Value {
    json!({"metadata": {"name": "x", "namespace": "desk"}, "spec": spec})
}

/// Checks that an object is taken, or is refused with a message that holds `refusal`. `old` is what it was before.
fn judge(plural: &str, old: Option<&Value>, new: &Value, refusal: Option<&str>) {
    let manifest = bowline_crd::manifests().into_iter().find(|manifest| manifest.plural == plural).unwrap();
    let schema = serde_json::to_value(&manifest.definition.spec.versions[0].schema).unwrap();
    let old = old.map(object);
    let judged = Validator::new().validate(&schema["openAPIV3Schema"], &object(new), old.as_ref());
    match (judged.map_err(|error| error.to_string()), refusal) {
        (Ok(()), None) => {}
        (Err(messages), Some(refusal)) => assert!(messages.contains(refusal), "{new}: {messages}"),
        (judged, refusal) => assert_eq!(judged.err().as_deref(), refusal, "{new}"),
    }
}

fn check(plural: &str, spec: &Value, refusal: Option<&str>) {
    judge(plural, None, spec, refusal);
}

fn check_update(plural: &str, old: &Value, new: &Value, refusal: Option<&str>) {
    judge(plural, Some(old), new, refusal);
}

/// Returns the value with one key set, by its path, or removed where the new one is null.
fn with(value: &Value, pointer: &str, new: Value) -> Value {
    let mut value = value.clone();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let parent = value.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    if new.is_null() {
        parent.remove(key)
    } else {
        parent.insert(key.to_owned(), new)
    };
    value
}

fn digest(of: &str) -> String {
    format!("sha256:{}", of.repeat(64))
}

fn bundle() -> Value {
    json!({
        "source": {"repository": "registry.example/desk/prompts", "tag": "main"},
        "verification": {"signers": [{"name": "ci", "publicKey": "-----BEGIN PUBLIC KEY-----"}]},
        "environments": ["prod"],
        "keys": [{"secretName": "desk", "environment": "prod"}],
    })
}

#[test]
fn a_bundle_has_one_source() {
    let (both, neither) = (Some("name a `tag`, which is followed"), Some("not both"));
    check("promptbundles", &bundle(), None);
    check("promptbundles", &with(&bundle(), "/source/digest", json!(digest("a"))), both);
    check("promptbundles", &with(&bundle(), "/source/tag", Value::Null), neither);
    let pinned = with(&with(&bundle(), "/source/tag", Value::Null), "/source/digest", json!(digest("a")));
    check("promptbundles", &pinned, None);
}

#[test]
fn a_tag_is_not_looked_at_all_the_time() {
    let poll = |interval: &str, refusal| {
        check("promptbundles", &with(&bundle(), "/source/pollInterval", json!(interval)), refusal);
    };
    for interval in ["5s", "1m", "24h", "1d", "999999d"] {
        poll(interval, None);
    }
    for interval in ["4s", "0d", "6000ms", "0m"] {
        poll(interval, Some("a tag is looked at every 5s at most"));
    }
}

#[test]
fn a_bundle_is_signed_or_says_that_it_is_not() {
    let unsigned = with(&bundle(), "/verification/signers", json!([]));
    check("promptbundles", &unsigned, Some("name at least one key in `signers`, or say `insecureUnsigned: true`"));
    let said = with(&unsigned, "/verification/insecureUnsigned", json!(true));
    check("promptbundles", &said, None);
    let suites = with(&said, "/verification/suites", json!(["support"]));
    check(
        "promptbundles",
        &suites,
        Some("a report of a suite proves something only if one of the `signers` signed it"),
    );
    check("promptbundles", &with(&bundle(), "/verification/suites", json!(["support"])), None);
}

#[test]
fn a_signer_has_one_key() {
    let signer = |signer: Value, refusal| {
        check("promptbundles", &with(&bundle(), "/verification/signers", json!([signer])), refusal)
    };
    let refusal = Some("give the key itself in `publicKey`, or a Secret in `secretRef`");
    let reference = json!({"name": "cosign", "key": "cosign.pub"});
    signer(json!({"name": "ci", "secretRef": reference}), None);
    signer(json!({"name": "ci"}), refusal);
    signer(json!({"name": "ci", "publicKey": "-----BEGIN", "secretRef": reference}), refusal);
}

#[test]
fn a_key_is_not_replaced_before_the_one_before_it_ends() {
    let rotate = |after: &str, refusal| {
        let keys = json!([{"secretName": "desk", "environment": "prod", "rotateAfter": after}]);
        check("promptbundles", &with(&bundle(), "/keys", keys), refusal);
    };
    rotate("1h", None);
    rotate("90d", None);
    rotate("59m", Some("a key works for 1h at least"));
    rotate("999999ms", Some("a key works for 1h at least"));
}

#[test]
fn a_backend_is_there_or_is_made() {
    let there = json!({"provider": "openai", "endpoint": {"url": "https://api.openai.com/v1"}});
    let made = json!({"provider": "house", "serve": {"image": "vllm"}});
    let refusal = Some("give an `endpoint` that is there, or let `serve` make one; not both");
    check("modelbackends", &there, None);
    check("modelbackends", &made, None);
    check("modelbackends", &with(&there, "/endpoint", Value::Null), refusal);
    check("modelbackends", &with(&there, "/serve", made["serve"].clone()), refusal);
}

#[test]
fn an_endpoint_is_one_of_three() {
    let endpoint = |endpoint: Value, refusal| {
        check("modelbackends", &json!({"provider": "openai", "endpoint": endpoint}), refusal)
    };
    let refusal = Some("give exactly one of `url`, `service` and `inferenceService`");
    endpoint(json!({"service": {"name": "vllm", "port": 8000}}), None);
    endpoint(json!({"inferenceService": {"name": "llama"}}), None);
    endpoint(json!({}), refusal);
    endpoint(json!({"url": "https://a.example", "service": {"name": "vllm", "port": 8000}}), refusal);
}

#[test]
fn a_served_model_has_pods_and_accelerators_that_add_up() {
    let serve = |more: Value, refusal| {
        let mut serve = json!({"image": "vllm"});
        serve.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        check("modelbackends", &json!({"provider": "house", "serve": serve}), refusal);
    };
    serve(json!({"scale": {"min": 0, "max": 4}}), None);
    serve(json!({"scale": {"min": 2, "max": 1}}), Some("`scale.min` is at most `scale.max`"));
    serve(json!({"scale": {"min": 2}}), Some("`scale.min` is at most `scale.max`"));
    serve(json!({"accelerator": "nvidia-l4", "acceleratorCount": 1}), None);
    let together = Some("`accelerator` and `acceleratorCount` go together");
    serve(json!({"accelerator": "nvidia-l4"}), together);
    serve(json!({"acceleratorCount": 1}), together);
}

#[test]
fn a_backend_stays_with_its_provider() {
    let old = json!({"provider": "openai", "endpoint": {"url": "https://api.openai.com/v1"}});
    check_update("modelbackends", &old, &with(&old, "/endpoint/url", json!("https://eu.example/v1")), None);
    let other = with(&old, "/provider", json!("house"));
    check_update("modelbackends", &old, &other, Some("`provider` does not change; make another ModelBackend"));
}

#[test]
fn projections_do_not_change() {
    let prompt = json!({"project": "desk", "prompt": "support/answer"});
    check_update("prompts", &prompt, &prompt, None);
    let refusal = Some(
        "a Prompt is a projection that the operator writes: change the prompt's file in Git; to act now: kubectl annotate prompt NAME",
    );
    check_update("prompts", &prompt, &with(&prompt, "/prompt", json!("support/other")), refusal);

    let version = json!({"project": "desk", "prompt": "support/answer", "digest": digest("a"), "bundle": digest("b")});
    check_update("promptversions", &version, &version, None);
    let refusal = Some("a version is immutable: a change in Git is another version");
    check_update("promptversions", &version, &with(&version, "/digest", json!(digest("c"))), refusal);
    check_update("promptversions", &version, &with(&version, "/author", json!("Ada <ada@example.com>")), refusal);

    let rollout = json!({"project": "desk", "prompt": "support/answer", "environment": "prod", "number": 7,
        "stable": digest("a"), "candidate": digest("b"), "stages": ["10%"]});
    check_update("promptrollouts", &rollout, &rollout, None);
    let refusal = Some(
        "a PromptRollout is a projection that the operator writes: change the prompt's file in Git; to act now: kubectl annotate promptrollout NAME",
    );
    check_update("promptrollouts", &rollout, &with(&rollout, "/stages", json!(["100%"])), refusal);
}

#[test]
fn no_rule_is_left_out() {
    let mut rules = 0;
    for manifest in bowline_crd::manifests() {
        rules += manifest.to_yaml().unwrap().matches("rule:").count();
    }
    assert_eq!(rules, 14, "a rule was added or removed: break it in a test above, then count again");
}
