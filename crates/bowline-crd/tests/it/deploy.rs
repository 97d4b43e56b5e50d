//! What lies in `deploy` and has to say the same as the types.

use bowline_crd::Lever;
use serde_json::{Value, json};

use crate::examples::file;

fn documents(path: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(&file(path)).unwrap()
}

fn find<'a>(documents: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let found = documents.iter().find(|document| document["kind"] == kind && document["metadata"]["name"] == name);
    found.ok_or_else(|| format!("there is no {kind} {name}")).unwrap()
}

fn rules(role: &Value) -> &Vec<Value> {
    role["rules"].as_array().unwrap()
}

#[test]
fn the_policies_name_every_lever() {
    let documents = documents("deploy/admission.yaml");
    let variable = |policy: &str| {
        let variables = &find(&documents, "ValidatingAdmissionPolicy", policy)["spec"]["variables"];
        let levers = variables.as_array().unwrap().iter().find(|variable| variable["name"] == "levers").unwrap();
        levers["expression"].as_str().unwrap().to_owned()
    };
    for lever in Lever::ALL {
        let quoted = format!("'{}'", lever.annotation());
        assert!(variable("bowline-levers").contains(&quoted), "{quoted}");
        // `freeze` is on a PromptBundle, which is no projection.
        assert_eq!(variable("bowline-projections").contains(&quoted), lever != Lever::Freeze, "{quoted}");
    }
    for policy in ["bowline-levers", "bowline-projections"] {
        assert!(variable(policy).contains(Lever::ACTOR), "{policy}");
        assert_eq!(find(&documents, "ValidatingAdmissionPolicyBinding", policy)["spec"]["policyName"], policy);
        assert_eq!(find(&documents, "ValidatingAdmissionPolicy", policy)["spec"]["failurePolicy"], "Fail");
    }
}

#[test]
fn an_operator_of_some_namespaces_has_the_same_rules_there() {
    let everywhere = documents("deploy/rbac.yaml");
    let there = documents("deploy/rbac-namespaced.yaml");
    assert_eq!(
        find(&everywhere, "ClusterRole", "bowline-operator")["rules"],
        find(&there, "Role", "bowline-operator")["rules"]
    );
}

#[test]
fn nobody_has_more_than_is_used() {
    let documents = [documents("deploy/rbac.yaml"), documents("deploy/rbac-namespaced.yaml")].concat();
    let roles = documents.iter().filter(|document| document["rules"].is_array());
    for rule in roles.flat_map(rules) {
        let has = |field: &str, value: &str| rule[field].as_array().unwrap().contains(&json!(value));
        for field in ["apiGroups", "resources", "verbs"] {
            assert!(!has(field, "*"), "{rule}");
        }
        let secrets = has("resources", "secrets");
        assert!(!secrets || !has("verbs", "list") && !has("verbs", "watch"), "{rule}");
        assert!(!secrets || !has("verbs", "update") || rule["resourceNames"].is_array(), "{rule}");
        for power in ["escalate", "bind", "impersonate"] {
            assert!(!has("verbs", power), "{rule}");
        }
    }
    let people: Vec<_> =
        ["bowline-view", "bowline-edit", "bowline-levers"].map(|name| find(&documents, "ClusterRole", name)).into();
    let groups = people.iter().flat_map(|role| rules(role)).map(|rule| &rule["apiGroups"]);
    assert!(groups.into_iter().all(|group| *group == json!(["bowline.dev"])));
}

#[test]
fn people_may_see_every_kind() {
    let documents = documents("deploy/rbac.yaml");
    let mut seen: Vec<_> =
        rules(find(&documents, "ClusterRole", "bowline-view"))[0]["resources"].as_array().unwrap().clone();
    seen.sort_by_key(ToString::to_string);
    let kinds: Vec<_> = bowline_crd::manifests().iter().map(|manifest| json!(manifest.plural)).collect();
    assert_eq!(seen, kinds);
}
