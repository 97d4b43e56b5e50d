use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::process;

/// What is in an OCI archive with one image of one layer, unpacked by the system's `tar`.
pub(super) struct Contents {
    folder: TempDir,
    /// How the image is run.
    pub(super) config: Value,
    /// The size of its files, in bytes.
    pub(super) bytes: u64,
}

// === impl Contents ===

impl Contents {
    /// Unpacks an archive.
    pub(super) fn read(archive: &Path) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let layout = folder.path().join("layout");
        unpack(archive, &layout)?;
        let index = json(&layout.join("index.json"))?;
        let manifest = blob(&layout, index.pointer("/manifests/0/digest"))?;
        let config = blob(&layout, manifest.pointer("/config/digest"))?;
        let layers = manifest.get("layers").and_then(Value::as_array).map_or(0, Vec::len);
        ensure!(layers == 1, "the image has {layers} layers, not one");
        let rootfs = folder.path().join("rootfs");
        unpack(&path(&layout, manifest.pointer("/layers/0/digest"))?, &rootfs)?;
        let bytes = size(&rootfs)?;
        Ok(Self { folder, config, bytes })
    }

    /// Returns the folder of the bundle for runc, with the root file system in `rootfs`.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

fn unpack(archive: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir(to).with_context(|| format!("creating {}", to.display()))?;
    let mut tar = Command::new("tar");
    tar.arg("--extract").arg("--file").arg(archive).arg("--directory").arg(to).arg("--numeric-owner");
    process::output(&mut tar).map(drop)
}

fn path(layout: &Path, digest: Option<&Value>) -> anyhow::Result<std::path::PathBuf> {
    let hex = digest.and_then(Value::as_str).and_then(|digest| digest.strip_prefix("sha256:"));
    Ok(layout.join("blobs/sha256").join(hex.context("the archive names no blob where there should be one")?))
}

fn blob(layout: &Path, digest: Option<&Value>) -> anyhow::Result<Value> {
    json(&path(layout, digest)?)
}

fn json(path: &Path) -> anyhow::Result<Value> {
    let bytes = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    serde_json::from_slice(&bytes).with_context(|| format!("reading {}", path.display()))
}

fn size(folder: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { size(&entry.path())? } else { metadata.len() };
    }
    Ok(bytes)
}
