use super::*;
use crate::image::{ImagePath, LayerFile, Sbom, SbomBase, SbomTarget, choose};

const BASE_CONFIG: &str = r#"{
    "architecture": "amd64", "os": "linux", "created": "2020-01-01T00:00:00Z",
    "config": { "Env": ["PATH=/bin", "LANG=C"], "Entrypoint": ["/bin/sh"], "Cmd": ["-l"], "User": "0", "Labels": { "maintainer": "them" },
                "Healthcheck": { "Test": ["NONE"] } },
    "rootfs": { "type": "layers", "diff_ids": ["sha256:1111111111111111111111111111111111111111111111111111111111111111"] },
    "history": [{ "created_by": "them" }]
}"#;
const BASE_MANIFEST: &str = r#"{
    "schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
    "config": { "mediaType": "application/vnd.docker.container.image.v1+json", "size": 1, "digest": "sha256:2222222222222222222222222222222222222222222222222222222222222222" },
    "layers": [{ "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip", "size": 9, "digest": "sha256:3333333333333333333333333333333333333333333333333333333333333333" }]
}"#;

fn platform(text: &str) -> Platform {
    text.parse().unwrap()
}

fn layer() -> Layer {
    let path = ImagePath::parse("/app/a").unwrap();
    let files = vec![LayerFile { path, size: 1, digest: Digest::of(b"a") }];
    Layer { diff_id: Digest::of(b"tar"), digest: Digest::of(b"gzip"), size: 4, files }
}

fn base() -> Base {
    Base::read("them/base:1", Digest::of(b"base"), BASE_MANIFEST.as_bytes(), BASE_CONFIG.as_bytes()).unwrap()
}

fn settings() -> Settings {
    Settings {
        env: vec![("LANG".to_owned(), "C.UTF-8".to_owned()), ("MODE".to_owned(), "prod".to_owned())],
        user: Some(Account { user: 65532, group: 65532 }),
        labels: BTreeMap::from([(annotation::REVISION.to_owned(), "abc".to_owned())]),
        created: Timestamp::from_second(1_700_000_000).unwrap(),
        ..Settings::default()
    }
}

fn json(blob: &Blob) -> Value {
    serde_json::from_slice(&blob.bytes).unwrap()
}

#[test]
fn over_a_base_its_settings_stay_unless_they_are_changed() {
    let image = Image::assemble(&platform("linux/amd64"), Some(&base()), &[layer()], &settings()).unwrap();
    let config = json(&image.config);
    assert_eq!(config["config"]["Env"], json!(["PATH=/bin", "LANG=C.UTF-8", "MODE=prod"]));
    assert_eq!(config["config"]["Entrypoint"], json!(["/bin/sh"]));
    assert_eq!(config["config"]["Cmd"], json!(["-l"]));
    assert_eq!(config["config"]["User"], "65532:65532");
    assert_eq!(config["config"]["Healthcheck"], json!({ "Test": ["NONE"] }));
    assert_eq!(config["config"]["Labels"]["maintainer"], "them");
    assert_eq!(config["config"]["Labels"][annotation::REVISION], "abc");
    assert_eq!(config["created"], "2023-11-14T22:13:20Z");
    assert_eq!(config["rootfs"]["diff_ids"][1], json!(Digest::of(b"tar")));
    assert_eq!(config["history"].as_array().unwrap().len(), 2);
    let manifest = json(&image.manifest);
    assert_eq!(manifest["layers"][0]["mediaType"], "application/vnd.oci.image.layer.v1.tar+gzip");
    assert_eq!(manifest["layers"][1]["digest"], json!(Digest::of(b"gzip")));
    assert_eq!(manifest["annotations"][annotation::BASE_DIGEST], json!(Digest::of(b"base")));

    let changed = Settings { entrypoint: Some(vec!["/app/a".to_owned()]), ..settings() };
    let image = Image::assemble(&platform("linux/amd64"), Some(&base()), &[layer()], &changed).unwrap();
    assert_eq!(json(&image.config)["config"].get("Cmd"), None, "arguments of the base's program");
}

#[test]
fn over_nothing_an_image_says_all_itself() {
    let image = Image::assemble(&platform("linux/arm/v7"), None, &[layer()], &settings()).unwrap();
    let config = json(&image.config);
    assert_eq!((&config["architecture"], &config["variant"]), (&json!("arm"), &json!("v7")));
    assert_eq!(config["rootfs"]["diff_ids"].as_array().unwrap().len(), 1);
    assert!(config["config"]["Env"][0].as_str().unwrap().starts_with("PATH="));
}

#[test]
fn the_same_image_has_the_same_digest() {
    let labels: BTreeMap<String, String> = (0..50).map(|n| (format!("label-{n}"), n.to_string())).collect();
    let settings = Settings { labels, ..settings() };
    let digest = || {
        // Every map that hashes has another order.
        let image = Image::assemble(&platform("linux/amd64"), Some(&base()), &[layer()], &settings).unwrap();
        index(&[image], &settings, None).unwrap().descriptor.digest().to_string()
    };
    let first = digest();
    assert!((0..20).all(|_| digest() == first));
}

#[test]
fn an_index_has_one_image_per_platform() {
    let image = |text| Image::assemble(&platform(text), None, &[layer()], &settings()).unwrap();
    let images = [image("linux/arm64"), image("linux/amd64"), image("linux/arm/v7")];
    let blob = index(&images, &settings(), None).unwrap();
    let platforms: Vec<Value> =
        json(&blob)["manifests"].as_array().unwrap().iter().map(|it| it["platform"]["architecture"].clone()).collect();
    assert_eq!(platforms, ["amd64", "arm", "arm64"]);
    let chosen = choose("x", &blob.bytes, &platform("linux/arm64")).unwrap();
    assert_eq!(chosen.digest(), images[0].manifest.descriptor.digest());
    let error = choose("x", &blob.bytes, &platform("linux/s390x")).unwrap_err().to_string();
    assert!(
        error.ends_with("has no image for linux/s390x\nhint: it has linux/amd64, linux/arm/v7, linux/arm64"),
        "{error}"
    );
    assert!(index(&[image("linux/amd64"), image("linux/amd64")], &settings(), None).is_err());
}

#[test]
fn what_is_no_base_is_refused() {
    let check = |manifest: &str, config: &str, expected: &str| {
        let error = Base::read("x", Digest::of(b""), manifest.as_bytes(), config.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    check("{", BASE_CONFIG, "its manifest cannot be read");
    check(BASE_MANIFEST, "{}", "is no container image");
    check(BASE_MANIFEST, r#"{"os":"linux","architecture":"amd64"}"#, "has 1 layers, and its configuration lists 0");
    let error = Image::assemble(&platform("linux/arm64"), Some(&base()), &[], &settings()).unwrap_err().to_string();
    assert!(error.contains("is for linux/amd64, not for linux/arm64"), "{error}");
}

#[test]
fn the_bill_of_materials_lists_files_and_base() {
    let (layer, platform) = (layer(), platform("linux/amd64"));
    let sbom = Sbom {
        name: "example/app",
        digest: Digest::of(b"image"),
        created: settings().created,
        tool_version: "0.1.0",
        base: Some(SbomBase { name: "them/base:1", digest: Digest::of(b"base") }),
        targets: vec![SbomTarget { platform: &platform, files: &layer.files }],
    };
    let blob = sbom.document().unwrap();
    let document = json(&blob);
    assert_eq!(document["components"][0]["name"], "them/base:1");
    assert_eq!(document["components"][1]["name"], "/app/a");
    assert_eq!(document["components"][1]["hashes"][0]["content"], json!(Digest::of(b"a").hex()));
}
