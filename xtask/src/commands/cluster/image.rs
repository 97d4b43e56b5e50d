use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use bowline_types::Digest;
use serde_json::{Value, json};

use super::layout::Layout;
use super::node::PAUSE_IMAGE;
use crate::process;

/// The namespace of containerd in which Kubernetes looks.
pub(super) const NAMESPACE: &str = "k8s.io";

/// Puts the images of OCI archives into containerd and returns their names.
pub(super) fn load(layout: &Layout, archives: &[PathBuf]) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for archive in archives {
        let mut import = ctr(layout);
        import.args(["images", "import", "--digests=false"]).arg(archive);
        let output = process::output(&mut import).with_context(|| format!("loading {}", archive.display()))?;
        let found = imported(&output);
        anyhow::ensure!(
            !found.is_empty(),
            "{} names no image that this machine can run\nhint: an archive has its image's name in `index.json`",
            archive.display()
        );
        names.extend(found);
    }
    Ok(names)
}

/// Makes the archive of the image that holds the namespaces of a pod, out of its program.
pub(super) fn pause(layout: &Layout, program: &Path) -> anyhow::Result<PathBuf> {
    let archive = layout.path("containerd/pause.tar");
    let folder = tempfile::tempdir().context("making a folder for an image")?;
    let (root, image) = (folder.path().join("root"), folder.path().join("image"));
    let blobs = image.join("blobs/sha256");
    fs::create_dir_all(&root).context("creating the root of an image")?;
    fs::create_dir_all(&blobs).context("creating the blobs of an image")?;
    fs::copy(program, root.join("pause")).with_context(|| format!("copying {}", program.display()))?;
    let layer = folder.path().join("layer.tar");
    tar(&root, &layer)?;
    let layer = blob(&blobs, &fs::read(&layer).context("reading a layer")?)?;
    let config = json!({
        "architecture": architecture(),
        "os": "linux",
        "config": {"Entrypoint": ["/pause"], "User": "65532:65532"},
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
    });
    let config = typed(blob(&blobs, config.to_string().as_bytes())?, "application/vnd.oci.image.config.v1+json");
    let layer = typed(layer, "application/vnd.oci.image.layer.v1.tar");
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({"schemaVersion": 2, "mediaType": kind, "config": config, "layers": [layer]});
    let mut manifest = typed(blob(&blobs, manifest.to_string().as_bytes())?, kind);
    manifest["annotations"] = json!({"io.containerd.image.name": PAUSE_IMAGE});
    let index =
        json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [manifest]});
    fs::write(image.join("index.json"), index.to_string()).context("writing the index of an image")?;
    fs::write(image.join("oci-layout"), json!({"imageLayoutVersion": "1.0.0"}).to_string())
        .context("writing the layout of an image")?;
    tar(&image, &archive)?;
    Ok(archive)
}

/// Returns `ctr`, set to the containerd of the cluster.
pub(super) fn ctr(layout: &Layout) -> Command {
    let mut command = Command::new("ctr");
    command.arg("--address").arg(layout.containerd_socket()).args(["--namespace", NAMESPACE]);
    command
}

/// Returns the names in what `ctr images import` prints: `unpacking NAME (DIGEST)...done`.
fn imported(output: &str) -> Vec<String> {
    let names = output.lines().filter_map(|line| line.strip_prefix("unpacking ")?.split(" (").next());
    names.map(|name| name.trim_end_matches("...").to_owned()).collect()
}

fn tar(folder: &Path, archive: &Path) -> anyhow::Result<()> {
    let mut command = Command::new("tar");
    command.args(["--create", "--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner", "--file"]);
    process::output(command.arg(archive).arg("--directory").arg(folder).arg("."))?;
    Ok(())
}

/// Writes a blob and returns its descriptor, which lacks its media type.
fn blob(folder: &Path, bytes: &[u8]) -> anyhow::Result<Value> {
    let digest = Digest::of(bytes);
    fs::write(folder.join(digest.hex()), bytes).context("writing a blob of an image")?;
    Ok(json!({"digest": digest.to_string(), "size": bytes.len()}))
}

fn typed(mut descriptor: Value, kind: &str) -> Value {
    descriptor["mediaType"] = json!(kind);
    descriptor
}

/// Returns the name of this machine's architecture as images have it.
const fn architecture() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_loaded_images_are_read() {
        let check = |output: &str, expected: &[&str]| assert_eq!(imported(output), expected, "{output}");
        check("unpacking localhost/a:1 (sha256:00)...done\n", &["localhost/a:1"]);
        check(
            "unpacking docker.io/b/c:2 (sha256:00)...done\nunpacking d (sha256:11)...done",
            &["docker.io/b/c:2", "d"],
        );
        check("", &[]);
    }
}
