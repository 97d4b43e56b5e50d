use serde_json::{Value, json};

use super::super::control_plane::ControlPlane;
use super::{DRY, digest, object};

/// Breaks every rule, and some of the bounds, and looks at what is said. Nothing is kept.
pub(super) fn check(cluster: &ControlPlane) -> anyhow::Result<()> {
    cluster.apply("", &object("PromptBundle", "rules", &bundle()).to_string(), &DRY)?;
    let bundles = BUNDLES.iter().map(|case| ("PromptBundle", bundle(), case));
    let backends = BACKENDS.iter().map(|case| ("ModelBackend", json!({"provider": "rules"}), case));
    for (kind, mut spec, (pointer, value, message)) in bundles.chain(backends) {
        set(&mut spec, pointer, serde_json::from_str(value)?);
        let said = cluster.apply_refused("", &object(kind, "rules", &spec).to_string(), &DRY)?;
        anyhow::ensure!(said.contains(message), "{kind} with {pointer} {value}: not {message:?} but {said}");
    }
    let mut both = bundle();
    set(&mut both, "/source/digest", json!(digest("a")));
    let said = cluster.apply_refused("", &object("PromptBundle", "rules", &both).to_string(), &DRY)?;
    anyhow::ensure!(
        said.contains("name a `tag`, which is followed, or a `digest`, which is pinned; not both"),
        "{said}"
    );

    // An example of the documentation is there already.
    let mut moved = json!({"provider": "other", "endpoint": {"url": "https://api.openai.com/v1"}});
    let said =
        cluster.apply_refused("", &object("ModelBackend", "openai", &moved).to_string(), &["--force-conflicts"])?;
    anyhow::ensure!(said.contains("`provider` does not change; make another ModelBackend"), "{said}");
    set(&mut moved, "/provider", json!("openai"));
    cluster.apply("", &object("ModelBackend", "openai", &moved).to_string(), &["--force-conflicts"])
}

fn bundle() -> Value {
    json!({
        "source": {"repository": "registry.example/desk/prompts", "tag": "main"},
        "verification": {"signers": [{"name": "ci", "publicKey": "-----BEGIN PUBLIC KEY-----"}]},
        "environments": ["prod"],
    })
}

/// Sets a value by its path; null takes it away.
fn set(value: &mut Value, pointer: &str, new: Value) {
    let (parent, key) = pointer.rsplit_once('/').unwrap_or_default();
    let Some(parent) = value.pointer_mut(parent).and_then(Value::as_object_mut) else { return };
    if new.is_null() {
        parent.remove(key);
    } else {
        parent.insert(key.to_owned(), new);
    }
}

/// What is set in a sound object, and what is said of it.
type Case = (&'static str, &'static str, &'static str);

const BUNDLES: [Case; 20] = [
    ("/source/tag", "null", "name a `tag`, which is followed, or a `digest`, which is pinned"),
    ("/source/pollInterval", r#""4s""#, "a tag is looked at every 5s at most"),
    ("/source/pollInterval", r#""60000ms""#, "a tag is looked at every 5s at most"),
    ("/source/pollInterval", r#""often""#, "spec.source.pollInterval in body should match"),
    ("/source/pollInterval", r#""9999999h""#, "spec.source.pollInterval"),
    ("/source/repository", r#""https://registry.example/desk""#, "spec.source.repository in body should match"),
    ("/source/repository", r#""registry.example/desk:main""#, "spec.source.repository in body should match"),
    ("/source/tagg", r#""main""#, ".spec.source.tagg: field not declared in schema"),
    ("/verification/signers", "[]", "name at least one key in `signers`, or say `insecureUnsigned: true`"),
    (
        "/verification",
        r#"{"insecureUnsigned": true, "suites": ["support"]}"#,
        "a report of a suite proves something only if",
    ),
    ("/verification/signers", r#"[{"name": "ci"}]"#, "give the key itself in `publicKey`, or a Secret in `secretRef`"),
    ("/verification/suites", r#"["support", "support"]"#, "duplicate entries for key"),
    ("/environments", "[]", "spec.environments in body should have at least 1 items"),
    ("/environments", r#"["Prod"]"#, "in body should match"),
    ("/environments", r#"["prod", "prod"]"#, "duplicate entries for key"),
    ("/keys", r#"[{"secretName": "k", "environment": "prod", "rotateAfter": "59m"}]"#, "a key works for 1h at least"),
    ("/keys", r#"[{"secretName": "Upper", "environment": "prod"}]"#, "in body should match"),
    ("/serviceAccounts", r#"[{"name": "desk"}]"#, "spec.serviceAccounts[0].environment: Required value"),
    // Of this namespace only, so it is named as within it.
    (
        "/serviceAccounts",
        r#"[{"name": "system:serviceaccount:desk:app", "environment": "prod"}]"#,
        "in body should match",
    ),
    (
        "/serviceAccounts",
        r#"[{"name": "app", "environment": "prod"}, {"name": "app", "environment": "dev"}]"#,
        "duplicate entries for key",
    ),
];

const BACKENDS: [Case; 11] = [
    ("/endpoint", "null", "give an `endpoint` that is there, or let `serve` make one; not both"),
    ("/endpoint", "{}", "give exactly one of `url`, `service` and `inferenceService`"),
    ("/endpoint", r#"{"url": "http://api.example/v1"}"#, "spec.endpoint.url in body should match"),
    ("/endpoint", r#"{"url": "https://api.example/v1", "service": {"name": "a", "port": 80}}"#, "give exactly one of"),
    ("/endpoint", r#"{"service": {"name": "a", "port": 0}}"#, "should be greater than or equal to 1"),
    ("/serve", r#"{"image": "a", "scale": {"min": 2}}"#, "`scale.min` is at most `scale.max`"),
    ("/serve", r#"{"image": "a", "accelerator": "nvidia-l4"}"#, "`accelerator` and `acceleratorCount` go together"),
    ("/serve", r#"{"image": "a", "acceleratorCount": 1}"#, "`accelerator` and `acceleratorCount` go together"),
    ("/serve", r#"{"image": "a", "model": "http://weights.example"}"#, "spec.serve.model in body should match"),
    ("/serve", r#"{"image": "a", "cache": "much"}"#, "spec.serve.cache in body should match"),
    ("/serve", r#"{"image": "a", "gpu": 1}"#, ".spec.serve.gpu: field not declared in schema"),
];
