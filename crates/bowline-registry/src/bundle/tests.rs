use bowline_prompt::{MemorySource, check};
use serde_json::json;

use super::*;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

fn source(change: impl FnOnce(&mut MemorySource)) -> MemorySource {
    let project = "project: desk\nproviders:\n  openai: { kind: openai, api_key: env:OPENAI_API_KEY }\nmodels:\n  fast: { provider: openai, model: gpt-5-mini }\nenvironments:\n  prod: { source: bundle }\n";
    let prompt = "---\nmodel: fast\ninput:\n  schema:\n    zebra: string\n    ant: string\nbowline.suite: evals/support.yaml\nbowline.owners: [desk]\n---\nAnswer {{zebra}} and {{ant}}.\n";
    let mut source: MemorySource = [
        ("bowline.yaml", project),
        ("prompts/answer.prompt", prompt),
        ("prompts/brief.prompt", "---\nmodel: fast\n---\nBe brief.\n"),
        ("evals/support.yaml", "tests: []\r\n"),
        ("evals/.support.yaml.swp", "x"),
        ("guards/default.yaml", "deny: []\n"),
        ("README.md", "not part of it"),
    ]
    .into_iter()
    .collect();
    source.insert("evals/data/icon.bin", vec![0xff, 0x00]);
    change(&mut source);
    source
}

fn build(source: &MemorySource) -> Bundle {
    let report = check(source, &|_| Ok(()));
    let provenance = Provenance { commit: Some(COMMIT.to_owned()), author: Some("Ada".to_owned()), dirty: false };
    Bundle::build(&report, source, provenance, Some(Timestamp::from_micros(1_790_000_000_000_000))).unwrap()
}

fn read(bundle: &Bundle, change: impl Fn(Kind, &mut String)) -> Result<Bundle> {
    let parts: Vec<_> = bundle
        .parts()
        .unwrap()
        .into_iter()
        .map(|part| {
            let mut text = String::from_utf8(part.bytes).unwrap();
            change(part.kind, &mut text);
            (part.kind.media_type(), text)
        })
        .collect();
    let layers = parts.iter().map(|(media_type, text)| (*media_type, text.as_bytes()));
    Bundle::read(&bundle.config_bytes().unwrap(), layers)
}

#[test]
fn a_bundle_holds_what_the_commit_stands_for() {
    let bundle = build(&source(|_| {}));
    let kinds: Vec<_> = bundle.parts().unwrap().iter().map(|part| part.kind).collect();
    assert_eq!(kinds, [Kind::Versions, Kind::Suites, Kind::Guards, Kind::Lock]);
    let paths: Vec<_> = bundle.files.iter().map(|(_, file)| file.path.as_str()).collect();
    assert_eq!(paths, ["evals/data/icon.bin", "evals/support.yaml", "guards/default.yaml"]);
    assert_eq!(bundle.files.suites[1].content, Content::Text("tests: []\n".to_owned()));
    assert_eq!(bundle.files.suites[0].bytes().unwrap(), [0xff, 0x00]);
    assert!(bundle.lock.contains(&format!("suite evals/support.yaml {}", bundle.files.suites[1].digest)));
    let answer = bundle.version(&"answer".parse().unwrap()).unwrap();
    assert_eq!(answer.suite.as_deref(), Some("evals/support.yaml"));
    assert_eq!(answer.owners, ["desk"]);
}

#[test]
fn what_is_written_is_read_again_and_again_the_same() {
    let bundle = build(&source(|_| {}));
    let again = read(&bundle, |_, _| {}).unwrap();
    assert_eq!(again, bundle);
    assert_eq!(again.parts().unwrap(), bundle.parts().unwrap());
    // Line ends of a checkout change nothing; the order in which an author wrote a schema is kept.
    let windows = source(|source| source.insert("evals/support.yaml", "tests: []\n"));
    assert_eq!(build(&windows).parts().unwrap(), bundle.parts().unwrap());
    let versions = String::from_utf8(bundle.parts().unwrap().remove(0).bytes).unwrap();
    assert!(versions.find("\"zebra\"").unwrap() < versions.find("\"ant\"").unwrap(), "{versions}");
}

/// Checks why a bundle whose part was changed is refused.
fn check_changed(kind: Kind, from: &str, to: &str, expected: &str) {
    let error = read(&build(&source(|_| {})), |each, text| {
        if each == kind {
            assert!(text.contains(from), "{text}");
            *text = text.replacen(from, to, 1);
        }
    });
    let error = error.unwrap_err().to_string();
    assert!(error.contains(expected) && error.contains("hint: "), "{error}");
}

#[test]
fn what_was_changed_is_refused() {
    check_changed(Kind::Versions, "Be brief.", "Be rude.", "the version of `brief` in the bundle hashes to");
    check_changed(Kind::Versions, "\"name\":\"brief\"", "\"name\":\"short\"", "lists other versions");
    check_changed(Kind::Versions, "\"schema_version\":1", "\"schema_version\":2", "has schema 2");
    check_changed(Kind::Versions, "{", "[", "versions of the bundle cannot be read");
    check_changed(
        Kind::Suites,
        "tests: []",
        "tests: [1]",
        "`evals/support.yaml` in the bundle does not have its digest",
    );
    check_changed(Kind::Suites, "evals/support.yaml", "evals/../../x", "no place among the suites");
    check_changed(Kind::Guards, "guards/default.yaml", "/etc/passwd", "no place among the guards");
    check_changed(Kind::Lock, "prompt brief", "prompt other", "its lock names other versions");
}

#[test]
fn layers_that_are_not_of_a_bundle_are_refused() {
    let bundle = build(&source(|_| {}));
    let config = bundle.config_bytes().unwrap();
    assert!(matches!(Bundle::read(&config, [("text/plain", b"".as_slice())]), Err(Error::UnknownPart { .. })));
    assert!(matches!(Bundle::read(&config, []), Err(Error::Disagrees { .. })));
    let lock = (Kind::Lock.media_type(), b"".as_slice());
    assert!(matches!(Bundle::read(&config, [lock, lock]), Err(Error::Disagrees { .. })));
}

#[test]
fn sizes_have_bounds() {
    let large = source(|source| source.insert("evals/large.csv", vec![b'a'; FILE_BYTES_MAX + 1]));
    let report = check(&large, &|_| Ok(()));
    let provenance = Provenance { commit: None, author: None, dirty: true };
    let error = Bundle::build(&report, &large, provenance, None).unwrap_err();
    assert!(matches!(error, Error::TooLarge { limit: FILE_BYTES_MAX, .. }), "{error}");
}

#[test]
fn a_difference_names_prompts_and_files() {
    let old = build(&source(|_| {}));
    let new = build(&source(|source| {
        source.insert("prompts/brief.prompt", "---\nmodel: fast\n---\nBe kind.\n");
        source.insert("prompts/new.prompt", "---\nmodel: fast\n---\nHello.\n");
        source.insert("evals/support.yaml", "tests: [{}]\n");
        source.remove("guards/default.yaml");
    }));
    let diff = BundleDiff::between(&old, &new);
    let prompts: Vec<_> =
        diff.prompts.iter().map(|change| (change.name.as_str(), change.from.is_some(), change.to.is_some())).collect();
    assert_eq!(prompts, [("brief", true, true), ("new", false, true)]);
    assert!(diff.prompts[0].diff.to_string().contains("+ Be kind."));
    let files: Vec<_> = diff.files.iter().map(|change| (change.kind, change.to.is_some())).collect();
    assert_eq!(files, [("suites", true), ("guards", false)]);
    assert!(BundleDiff::between(&old, &old).is_empty());
}

#[test]
fn the_bill_of_materials_lists_prompts_models_and_data() {
    let bundle = build(&source(|_| {}));
    let sbom: serde_json::Value = serde_json::from_slice(&bundle.sbom().unwrap()).unwrap();
    let components: Vec<_> = sbom["components"].as_array().unwrap().iter().map(|each| &each["bom-ref"]).collect();
    let expected = [
        "prompt:answer",
        "prompt:brief",
        "model:openai/gpt-5-mini",
        "file:evals/data/icon.bin",
        "file:evals/support.yaml",
        "file:guards/default.yaml",
    ];
    assert_eq!(components, expected);
    assert_eq!(sbom["metadata"]["component"]["version"], COMMIT);
    assert_eq!(sbom["metadata"]["timestamp"], "2026-09-21T14:13:20Z");
    let depends = json!(["model:openai/gpt-5-mini", "file:evals/support.yaml"]);
    assert_eq!(sbom["dependencies"][0], json!({ "ref": "prompt:answer", "dependsOn": depends }));
}
