//! A bundle from a layout to the release that it asks for, without a registry or a process.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use bowline_delivery::{Delivery, Error, Found, Signing, attach, gather, write};
use bowline_oci::Layout;
use bowline_prompt::{MemorySource, Project, check};
use bowline_registry::bundle::Bundle;
use bowline_registry::policy::{PREDICATE, Policy};
use bowline_signature::{PrivateKey, PublicKey};
use bowline_types::{EnvironmentName, Timestamp};
use serde_json::{Value, json};

/// 2026-11-25T08:00:00Z.
const NOW: Timestamp = Timestamp::from_micros(1_795_593_600_000_000);

const PROJECT: &str = "project: desk
providers:
  openai: { kind: openai, api_key: env:OPENAI_API_KEY }
models:
  fast: { provider: openai, model: gpt-5-mini }
environments:
  prod:
    source: bundle
    policy: { signers: ['file:ci.pub'], suites: [support] }
";

/// A layout with one bundle, and the key that may sign it.
struct Fixture {
    folder: tempfile::TempDir,
    delivery: Delivery,
    key: PrivateKey,
    keys: Vec<PublicKey>,
}

impl Fixture {
    fn new() -> Self {
        let suite = "prompts: [answer]\nproviders: [fast]\ntests:\n  - vars: { text: hello }\n    assert: [{ type: contains, value: hello }]\n";
        let prompt = "---\nmodel: fast\ninput:\n  schema:\n    text: string\nbowline.suite: evals/support.yaml\n---\nRepeat {{text}}.\n";
        let source: MemorySource = [
            ("bowline.yaml", PROJECT),
            ("prompts/answer.prompt", prompt),
            ("prompts/brief.prompt", "---\nmodel: fast\n---\nBe brief.\n"),
            ("evals/support.yaml", suite),
        ]
        .into_iter()
        .collect();
        let provenance =
            json!({ "commit": "0123456789abcdef0123456789abcdef01234567", "author": "Ada", "dirty": false });
        let provenance = serde_json::from_value(provenance).unwrap();
        let bundle = Bundle::build(&check(&source, &|_| Ok(())), &source, provenance, None).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::create(folder.path()).unwrap();
        let stored = write(&bundle, &layout).unwrap();
        let delivery = Delivery::open(Found::new(layout, stored.bundle)).unwrap();
        let key = PrivateKey::generate().unwrap();
        let keys = vec![key.public().unwrap()];
        Self { folder, delivery, key, keys }
    }

    /// What `bowline test` says of the bundle.
    fn report(&self) -> Value {
        let suites = self.delivery.evidence(&[]).unwrap().suites;
        let versions = self.delivery.bundle.versions.iter();
        let versions: serde_json::Map<_, _> =
            versions.map(|version| (version.name.to_string(), json!(version.digest))).collect();
        json!({
            "schema_version": 2,
            "finished_at": "2026-11-25T06:00:00Z",
            "environment": "prod",
            "gate": true,
            "versions": versions,
            "suites": [{
                "name": "evals/support.yaml", "digest": suites["evals/support.yaml"], "verdict": "pass", "cases": 1, "passed": 1,
            }],
            "simulated": false,
            "verdict": "pass",
        })
    }

    fn attach(&self, key: &PrivateKey, report: Value) {
        let Delivery { found, bundle, .. } = &self.delivery;
        let key = PrivateKey::from_pem(&key.to_pem(&password()).unwrap(), &password()).unwrap();
        let signing = Signing { key, predicates: vec![(PREDICATE, report)] };
        attach(&found.layout, &found.descriptor, bundle, Some(&signing)).unwrap();
    }

    /// Returns the lines that fail.
    fn failed(&self) -> Vec<String> {
        let here = Project::parse("bowline.yaml", PROJECT).unwrap();
        let policy = Policy::declared(&here, &self.delivery.project().unwrap(), &prod());
        let lines = self.delivery.judge(&policy, &self.keys, NOW).unwrap();
        lines.into_iter().filter(|line| !line.held).map(|line| format!("{}: {}", line.what, line.why)).collect()
    }
}

fn password() -> bowline_types::Secret {
    bowline_types::Secret::new("for the test".to_owned())
}

fn prod() -> EnvironmentName {
    "prod".parse().unwrap()
}

#[test]
fn what_signers_said_is_held_against_the_policy() {
    let fixture = Fixture::new();
    let nothing = [
        "signed by file:ci.pub: no signature by it",
        "suite support passed: no report that a signer of this policy signed",
    ];
    assert_eq!(fixture.failed(), nothing);
    fixture.attach(&PrivateKey::generate().unwrap(), fixture.report());
    let signed = "signed by file:ci.pub: no signature by it; what is signed there is signed by a key that the policy does not name";
    assert_eq!(fixture.failed(), [signed, nothing[1]], "what a stranger signs counts for nothing");
    let refused = gather(&fixture.delivery.found.layout, &fixture.delivery.found.descriptor, &fixture.keys).unwrap();
    assert_eq!((refused.refused.len(), refused.attestations.len()), (3, 0));
    fixture.attach(&fixture.key, fixture.report());
    assert_eq!(fixture.failed(), [""; 0]);
}

#[test]
fn a_release_of_a_bundle_names_it() {
    let fixture = Fixture::new();
    let request = |prompts: &[&str]| {
        let prompts: Vec<_> = prompts.iter().map(|name| name.parse().unwrap()).collect();
        fixture.delivery.request(prod(), "ada".to_owned(), &prompts)
    };
    let all = request(&[]).unwrap();
    assert_eq!((all.bundle, all.prompts.len(), all.retry), (Some(fixture.delivery.digest), 2, false));
    let one = request(&["brief"]).unwrap();
    assert_eq!(one.prompts.iter().map(|prompt| prompt.name.as_str()).collect::<Vec<_>>(), ["brief"]);
    assert_eq!(one.prompts[0].digest, fixture.delivery.bundle.version(&one.prompts[0].name).unwrap().digest);
    assert!(matches!(request(&["other"]), Err(Error::PromptUnknown(name)) if name.as_str() == "other"));
    assert!(fixture.delivery.check_project(&"desk".parse().unwrap()).is_ok());
    let other = fixture.delivery.check_project(&"shop".parse().unwrap()).unwrap_err();
    assert_eq!(other.to_string(), "the bundle is of project `desk`, not of `shop`");
}

#[test]
fn a_changed_bundle_is_not_opened() {
    let fixture = Fixture::new();
    let layout = &fixture.delivery.found.layout;
    let manifest = layout.manifest(&fixture.delivery.found.descriptor).unwrap();
    let layer = &manifest.layers()[0];
    let hex = layer.digest().to_string().replace("sha256:", "");
    let blob = fixture.folder.path().join("blobs/sha256").join(hex);
    let text = std::fs::read_to_string(&blob).unwrap().replacen("Repeat", "Forget", 1);
    std::fs::write(&blob, text).unwrap();
    let found = Found::new(layout.clone(), fixture.delivery.found.descriptor.clone());
    let error = Delivery::open(found).unwrap_err().to_string();
    assert!(error.contains("is not what was published"), "{error}");
}
