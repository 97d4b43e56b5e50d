use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::component::Component;

/// Sockets lie in the state folder, and the path of a socket has at most 107 bytes.
const FOLDER_BYTES_MAX: usize = 64;

/// What the state folder holds, and nothing else is ever removed from it.
pub(super) const ENTRIES: [&str; 13] = [
    "pki",
    "etcd",
    "logs",
    "containerd",
    "cni",
    "kubelet",
    "pods",
    "volume-plugins",
    "configuration",
    "kubeconfigs",
    "kubeconfig",
    "kubectl",
    "cluster.json",
];

/// The state folder of a cluster: where everything of it lies.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    folder: PathBuf,
}

// === impl Layout ===

impl Layout {
    /// Returns the layout of a folder, which need not exist.
    pub(super) const fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Returns the layout of a folder in which a cluster may be made. Nothing is made yet.
    ///
    /// # Errors
    ///
    /// Fails where it holds something that is no cluster, and where its path does not fit into the configuration of the components.
    pub(super) fn check(folder: PathBuf) -> anyhow::Result<Self> {
        check_path(&folder)?;
        if folder.is_dir() {
            for entry in fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))? {
                let name = entry?.file_name();
                let known = name == "lock" || is_part(&name) || ENTRIES.iter().any(|entry| name == *entry);
                anyhow::ensure!(
                    known,
                    "{} is no state folder of a cluster: it holds `{}`\nhint: give an empty folder with `--dir`",
                    folder.display(),
                    name.to_string_lossy()
                );
            }
        }
        Ok(Self::new(folder))
    }

    /// Makes the folder, readable by its owner only.
    pub(super) fn create(&self) -> anyhow::Result<Self> {
        for folder in ["", "pki", "etcd", "logs", "configuration", "kubeconfigs", "volume-plugins"] {
            self.make(folder)?;
        }
        let folder = fs::canonicalize(&self.folder).with_context(|| format!("finding {}", self.folder.display()))?;
        check_path(&folder)?;
        Ok(Self::new(folder))
    }

    /// Returns the state folder.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns a path in the state folder.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Returns a path in the state folder as an argument.
    pub(super) fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Returns the kubeconfig of a person.
    pub(super) fn kubeconfig(&self) -> PathBuf {
        Self::kubeconfig_in(&self.folder)
    }

    /// Returns the kubeconfig of a person in the state folder `folder`.
    pub(super) fn kubeconfig_in(folder: &Path) -> PathBuf {
        folder.join("kubeconfig")
    }

    /// Returns the kubectl of this cluster's version.
    pub(super) fn kubectl(&self) -> PathBuf {
        self.path("kubectl")
    }

    /// Returns the log of a component.
    pub(super) fn log(&self, component: Component) -> PathBuf {
        self.path("logs").join(component.name()).with_extension("log")
    }

    /// Returns the socket of containerd.
    pub(super) fn containerd_socket(&self) -> PathBuf {
        self.path("containerd/containerd.sock")
    }

    /// Makes a folder in the state folder.
    pub(super) fn make(&self, name: &str) -> anyhow::Result<()> {
        make(&self.path(name))
    }

    /// Writes a file that only its owner may read, in one piece.
    pub(super) fn write(&self, name: &str, content: &str) -> anyhow::Result<()> {
        let path = self.path(name);
        write_private(&path, content).with_context(|| format!("writing {}", path.display()))
    }
}

/// Returns whether a file is what a write that was cut off has left.
pub(super) fn is_part(name: &OsStr) -> bool {
    Path::new(name).extension() == Some(OsStr::new("part"))
}

fn make(folder: &Path) -> anyhow::Result<()> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.with_context(|| format!("creating {}", folder.display()))
}

fn write_private(path: &Path, content: &str) -> std::io::Result<()> {
    let part = path.with_extension("part");
    match fs::remove_file(&part) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part)?;
    std::io::Write::write_all(&mut file, content.as_bytes())?;
    fs::rename(&part, path)
}

/// Checks that the path can stand in every configuration file as it is, and that sockets fit below it.
fn check_path(folder: &Path) -> anyhow::Result<()> {
    let text = folder.to_str().unwrap_or_default();
    let plain = |character: char| character.is_ascii_alphanumeric() || "/._+-".contains(character);
    anyhow::ensure!(
        !text.is_empty() && text.chars().all(plain),
        "the path of the state folder, {}, may have letters, digits and /._+- only\nhint: give another with `--dir`",
        folder.display()
    );
    anyhow::ensure!(
        text.len() <= FOLDER_BYTES_MAX,
        "the path of the state folder, {}, is longer than {FOLDER_BYTES_MAX} bytes, so sockets have no place below it\n\
         hint: give a shorter one with `--dir`",
        folder.display()
    );
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn paths_that_break_a_configuration_are_refused() {
        let check = |path: &str, expected| assert_eq!(check_path(Path::new(path)).is_ok(), expected, "{path}");
        check("/root/.cache/bowline/cluster", true);
        check("/tmp/a b", false);
        check("/tmp/a\"b", false);
        check("", false);
        check(&format!("/{}", "a".repeat(FOLDER_BYTES_MAX)), false);
    }

    #[test]
    fn a_folder_with_something_else_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("cluster");
        Layout::check(place.clone()).unwrap().create().unwrap();
        Layout::check(place.clone()).unwrap().create().unwrap();
        fs::write(place.join("thesis.txt"), "").unwrap();
        let error = Layout::check(place).unwrap_err().to_string();
        assert!(error.contains("thesis.txt"), "{error}");
    }

    #[test]
    fn files_are_for_their_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path().join("cluster")).create().unwrap();
        layout.write("kubeconfig", "one").unwrap();
        layout.write("kubeconfig", "two").unwrap();
        assert_eq!(fs::read_to_string(layout.kubeconfig()).unwrap(), "two");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&layout.kubeconfig()), mode(layout.folder())), (0o600, 0o700));
    }
}
