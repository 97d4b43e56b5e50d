//! `bowline image`: daemonless, and the same bit for bit.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::project::Project;

/// A project with files to package, the same in every folder.
fn project() -> Project {
    let project = Project::new();
    project.write("app/run.sh", "#!/bin/sh\necho run\n");
    project.write("app/data/tickets.jsonl", "{}\n".repeat(1000));
    project.commit("app");
    project
}

/// Builds an image into a layout beside the project and returns what was printed.
fn build(project: &Project, out: &Path, arguments: &[&str]) -> Value {
    let to = format!("oci:{}", out.display());
    project.json(&[&["image", "build", "--to", &to], arguments].concat())
}

fn blob(layout: &Path, digest: &Value) -> Value {
    let hex = digest.as_str().unwrap().strip_prefix("sha256:").unwrap();
    serde_json::from_slice(&fs::read(layout.join("blobs/sha256").join(hex)).unwrap()).unwrap()
}

/// Returns the configuration of an image for one platform.
fn config(layout: &Path, built: &Value) -> Value {
    blob(layout, &blob(layout, &built["digest"])["config"]["digest"])
}

fn sha256sum(file: &Path) -> String {
    let output = Command::new("sha256sum").arg(file).output().unwrap();
    String::from_utf8(output.stdout).unwrap().split(' ').next().unwrap().to_owned()
}

#[test]
fn one_commit_in_two_folders_is_one_image() {
    let (here, there) = (project(), project());
    // What a checkout may have otherwise: times, and modes by another umask.
    let script = there.path().join("app/data/tickets.jsonl");
    fs::File::open(&script).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    let out = tempfile::tempdir().unwrap();
    let build = |project: &Project, name: &str| {
        let archive = out.path().join(name);
        let to = format!("oci-archive:{}", archive.display());
        let arguments = ["image", "build", "--add", "app:/app", "--sbom", "--tag", "example/app:1", "--to", &to];
        let built = project.json(&arguments);
        (built["digest"].clone(), sha256sum(&archive))
    };
    let (first, second) = (build(&here, "first.tar"), build(&there, "second.tar"));
    assert_eq!(first, second);
    there.write("app/run.sh", "#!/bin/sh\necho walk\n");
    assert_ne!(build(&there, "third.tar").0, first.0);
}

#[test]
fn an_image_says_how_it_is_run_and_where_it_comes_from() {
    let (project, out) = (project(), tempfile::tempdir().unwrap());
    let built = build(
        &project,
        out.path(),
        &[
            "--add=app:/app",
            "--entrypoint=/bin/sh -e",
            r#"--cmd=["/app/run.sh"]"#,
            "--env=MODE=prod",
            "--workdir=/app",
            "--label=org.opencontainers.image.version=1.2",
        ],
    );
    let config = config(out.path(), &built);
    assert_eq!(config["config"]["Entrypoint"], serde_json::json!(["/bin/sh", "-e"]));
    assert_eq!(config["config"]["Cmd"], serde_json::json!(["/app/run.sh"]));
    assert_eq!(config["config"]["User"], "65532:65532");
    assert_eq!(config["config"]["WorkingDir"], "/app");
    assert_eq!(config["config"]["Env"][1], "MODE=prod");
    assert_eq!(config["created"], "2026-01-02T03:04:05Z");
    assert_eq!(config["config"]["Labels"]["org.opencontainers.image.version"], "1.2");
    assert_eq!(config["config"]["Labels"]["org.opencontainers.image.revision"], built["revision"]);
    assert_eq!(built["revision"].as_str().unwrap().len(), 40);
    assert_eq!(built["images"][0]["files"], 2);

    project.write("app/run.sh", "#!/bin/sh\necho more\n");
    let dirty = build(&project, out.path(), &["--add=app:/app"]);
    assert!(dirty["revision"].as_str().unwrap().ends_with("-dirty"), "{dirty}");
    let at = project
        .command(&["image", "build", "--add=app:/app", "--to", "oci:out", "--output", "json"])
        .env("SOURCE_DATE_EPOCH", "0")
        .output();
    let at: Value = serde_json::from_slice(&at.unwrap().stdout).unwrap();
    assert_eq!(at["created"], "1970-01-01T00:00:00Z");
}

#[test]
fn platforms_make_an_index_and_an_index_makes_a_base() {
    let (project, out) = (project(), tempfile::tempdir().unwrap());
    project.write("arm/usr/bin/app", "arm");
    project.write("amd/usr/bin/app", "amd");
    let platforms = ["--add=app:/app", "--platform=linux/arm64=arm", "--platform=linux/amd64=amd", "--tag=base:1"];
    let built = build(&project, out.path(), &platforms);
    assert_eq!(built["media_type"], "application/vnd.oci.image.index.v1+json");
    let index = blob(out.path(), &built["digest"]);
    let order: Vec<&str> = index["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["platform"]["architecture"].as_str().unwrap())
        .collect();
    assert_eq!(order, ["amd64", "arm64"]);
    assert_ne!(built["images"][0]["layer"], built["images"][1]["layer"]);

    let base = format!("--base=oci:{}:1", out.path().display());
    let above = tempfile::tempdir().unwrap();
    project.write("more/b.txt", "b");
    let built_above = build(&project, above.path(), &[&base, "--platform=linux/arm64", "--add=more:/app"]);
    assert_eq!(built_above["base"], built["digest"]);
    let config = config(above.path(), &built_above);
    assert_eq!((&config["architecture"], config["rootfs"]["diff_ids"].as_array().unwrap().len()), (&"arm64".into(), 2));
    assert_eq!(config["config"]["Labels"]["org.opencontainers.image.base.digest"], built["digest"]);

    let refused = project.bowline(&["image", "build", &base, "--platform=linux/s390x", "--to=oci:out"]);
    assert_eq!(refused.code, 1);
    assert!(
        refused.stderr.contains("has no image for linux/s390x\nhint: it has linux/amd64, linux/arm64"),
        "{}",
        refused.stderr
    );
}

#[test]
fn a_bill_of_materials_refers_to_its_image() {
    let (project, out) = (project(), tempfile::tempdir().unwrap());
    let built = build(&project, out.path(), &["--add=app:/app", "--sbom"]);
    let manifest = blob(out.path(), &built["sbom"]);
    assert_eq!(manifest["subject"]["digest"], built["digest"]);
    assert_eq!(manifest["artifactType"], "application/vnd.cyclonedx+json");
    let document = blob(out.path(), &manifest["layers"][0]["digest"]);
    let names: Vec<&str> = document["components"]
        .as_array()
        .unwrap()
        .iter()
        .map(|component| component["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["/app/data/tickets.jsonl", "/app/run.sh"]);
    let index: Value = serde_json::from_slice(&fs::read(out.path().join("index.json")).unwrap()).unwrap();
    assert_eq!(index["manifests"].as_array().unwrap().len(), 2);
}

#[test]
fn a_bundle_comes_along_with_its_digest() {
    let (project, out) = (project(), tempfile::tempdir().unwrap());
    let bundle = project.json(&["bundle", "build", "--to", "oci:.bowline/b:1"]);
    let built = build(&project, out.path(), &["--add=app:/app", "--bundle=oci:.bowline/b:1", "--sbom"]);
    let config = config(out.path(), &built);
    assert_eq!(config["config"]["Labels"]["dev.bowline.bundle.digest"], bundle["digest"]);
    let manifest = blob(out.path(), &built["sbom"]);
    let document = blob(out.path(), &manifest["layers"][0]["digest"]);
    let names: Vec<&str> = document["components"]
        .as_array()
        .unwrap()
        .iter()
        .map(|component| component["name"].as_str().unwrap())
        .collect();
    for name in
        ["/app/run.sh", "/bowline/bowline.lock", "/bowline/bundle.json", "/bowline/prompts/support/classify.json"]
    {
        assert!(names.contains(&name), "{name} is not in {names:?}");
    }
    let other = project.bowline(&["image", "build", "--to=oci:out", "--bundle=oci:.bowline/b:1-image"]);
    assert_eq!(other.code, 1);
    assert!(other.stderr.contains("not a bundle: "), "{}", other.stderr);
}

#[test]
fn what_cannot_be_packaged_is_told() {
    let project = project();
    fs::create_dir_all(project.path().join("broken")).unwrap();
    project.write("broken/.wh.etc", "");
    let check = |arguments: &[&str], code: i32, expected: &str| {
        let ran = project.bowline(&[&["image", "build", "--to=oci:out"], arguments].concat());
        assert_eq!(ran.code, code, "{arguments:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(expected), "{arguments:?}: {}", ran.stderr);
    };
    check(&["--add=absent:/app"], 1, "could not read absent");
    check(&["--add=app:/app/../etc"], 1, "it leaves the root");
    check(&["--add=app:app"], 2, "write PATH:PLACE");
    check(&["--add=app:/a", "--add=app:/a"], 1, "is added twice");
    check(&["--add=broken:/"], 1, "deletes a file of the base image");
    check(&["--tag=example/app:1"], 1, "the image would be empty");
    check(&["--add=app:/app", "--tag=oci:x"], 1, "is no name of an image");
    check(&["--user=nobody"], 2, "is no user");
    check(&["--platform=linux"], 2, "is no platform");
    check(&["--base=oci:absent"], 1, "absent is not an OCI layout");
    check(&["--bowline=/bin/sh"], 1, "needs shared libraries");
    check(&["--with-bowline"], 1, "needs shared libraries");
    let two_names =
        project.bowline(&["image", "build", "--add=app:/app", "--to=127.0.0.1:9/desk/app:1", "--tag=app:1"]);
    assert!(two_names.stderr.contains("two names for one place\nhint: "), "{}", two_names.stderr);
    let same = ["--add=app:/app", "--platform=linux/amd64", "--platform=linux/amd64"];
    check(&same, 1, "two of the images are for the same platform");
}

#[test]
fn an_image_is_shown() {
    let project = project();
    let transcript = project.transcript(
        "image build --add app:/app --entrypoint /app/run.sh --platform linux/amd64 --to oci:.bowline/image:1\n\
         image inspect oci:.bowline/image:1\n\
         image inspect oci:.bowline/image:2",
    );
    insta::assert_snapshot!(transcript);
}

#[test]
fn other_tools_read_the_archive() {
    let (project, out) = (project(), tempfile::tempdir().unwrap());
    let archive = out.path().join("app.tar");
    let to = format!("oci-archive:{}", archive.display());
    let built = project.json(&["image", "build", "--add=app:/app", "--tag=registry.example/desk/app:1.0", "--to", &to]);
    let tar = |arguments: &[&str]| {
        let output =
            Command::new("tar").args(arguments).arg("-f").arg(&archive).current_dir(out.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let listed = tar(&["-t"]);
    assert!(listed.starts_with("blobs/\nblobs/sha256/\nblobs/sha256/"), "{listed}");
    assert!(listed.ends_with("index.json\noci-layout\n"), "{listed}");
    tar(&["-x"]);
    let index: Value = serde_json::from_slice(&fs::read(out.path().join("index.json")).unwrap()).unwrap();
    let entry = &index["manifests"][0];
    assert_eq!(entry["digest"], built["digest"]);
    assert_eq!(entry["annotations"]["org.opencontainers.image.ref.name"], "1.0");
    assert_eq!(entry["annotations"]["io.containerd.image.name"], "registry.example/desk/app:1.0");
}
