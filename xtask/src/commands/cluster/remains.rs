use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;

use super::identity::Identity;
use super::image;
use super::layout::{self, Layout};
use super::node::NETWORK;
use crate::process;
use crate::stopwatch::Stopwatch;

const CGROUPS: &str = "/sys/fs/cgroup";
/// How long control groups may take until they are empty.
const GROUPS_GO: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(50);
/// Where libcni keeps what it last did, by the name of the network.
const CNI_RESULTS: &str = "/var/lib/cni/results";
/// Where the kubelet puts links to the logs of containers, whatever else it is told.
const LOG_LINKS: &str = "/var/log/containers";
/// Where containerd has a folder for every container that runs.
const BUNDLES: &str = "containerd/run/io.containerd.runtime.v2.task/k8s.io";
/// Where shims listen; each tells its socket in the state folder.
const SHIM_SOCKETS: &str = "/run/containerd/s/";
/// Where a kubelet listens for plugins of devices, whatever its folder is.
pub(super) const KUBELET_SOCKET: &str = "/var/lib/kubelet/device-plugins/kubelet.sock";
const KUBELET_CHECKPOINT: &str = "/var/lib/kubelet/device-plugins/kubelet_internal_checkpoint";
/// Folders that the kubelet and the plugins of the pod network make; removed where they are empty.
const FOLDERS: [&str; 5] =
    [LOG_LINKS, CNI_RESULTS, "/var/lib/cni", "/var/lib/kubelet/device-plugins", "/var/lib/kubelet"];

/// Returns the ids of the containers that containerd has a folder for, also after it has crashed. They are 64 random digits, so they
/// name the containers of this cluster and no other.
pub(super) fn containers(layout: &Layout) -> anyhow::Result<BTreeSet<String>> {
    let names = list(&layout.path(BUNDLES))?;
    let names = names.iter().filter_map(|path| path.file_name()?.to_str());
    Ok(names.filter(|name| is_id(name)).map(str::to_owned).collect())
}

/// Returns the processes of containers.
pub(super) fn contained(containers: &BTreeSet<String>) -> anyhow::Result<Vec<Identity>> {
    let mut found = Vec::new();
    for group in groups(containers)? {
        let text = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
        found.extend(text.lines().filter_map(|line| Identity::of(line.trim().parse().ok()?)));
    }
    found.sort_by_key(|identity| identity.pid);
    found.dedup();
    Ok(found)
}

fn is_id(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Removes the cgroups of containers, which have no process any more.
pub(super) fn remove_groups(containers: &BTreeSet<String>) -> anyhow::Result<()> {
    // A process that was killed is counted in its group for a moment longer.
    let stopwatch = Stopwatch::start();
    while let Err(error) = try_remove_groups(containers) {
        anyhow::ensure!(stopwatch.elapsed() < GROUPS_GO, error);
        thread::sleep(LOOK);
    }
    Ok(())
}

fn try_remove_groups(containers: &BTreeSet<String>) -> anyhow::Result<()> {
    for group in groups(containers)? {
        // One hierarchy may have two names.
        absent_is_fine(fs::remove_dir(&group))
            .with_context(|| format!("removing the control group {}", group.display()))?;
    }
    for parent in parents()? {
        // As long as it has groups of another containerd it is busy, and stays.
        match fs::remove_dir(&parent) {
            Err(error)
                if !matches!(
                    error.kind(),
                    ErrorKind::NotFound | ErrorKind::ResourceBusy | ErrorKind::DirectoryNotEmpty
                ) =>
            {
                return Err(error).with_context(|| format!("removing the control group {}", parent.display()));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Unmounts everything below the state folder.
pub(super) fn unmount(layout: &Layout) -> anyhow::Result<()> {
    for mount in mounts(layout)? {
        process::output(Command::new("umount").arg(&mount))
            .with_context(|| format!("unmounting {}", mount.display()))?;
    }
    Ok(())
}

/// Removes what the state folder holds, and the folder.
///
/// # Errors
///
/// Fails where something is still mounted below it: what is mounted there may be somebody's.
pub(super) fn remove_folder(layout: &Layout) -> anyhow::Result<()> {
    if let Some(mount) = mounts(layout)?.first() {
        anyhow::bail!(
            "{} is still mounted, so the state folder is not removed\nhint: unmount it, then `cluster down` again",
            mount.display()
        );
    }
    let entries = fs::read_dir(layout.folder()).with_context(|| format!("reading {}", layout.folder().display()))?;
    for entry in entries {
        let entry = entry?;
        let (name, path) = (entry.file_name(), entry.path());
        let is_ours = layout::is_part(&name) || layout::ENTRIES.iter().any(|known| name == *known);
        // The state goes last: without it nothing tells that this folder is a cluster's.
        if is_ours && name != "cluster.json" {
            let removed = if entry.file_type()?.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.with_context(|| format!("removing {}", path.display()))?;
        }
    }
    for name in ["cluster.json", "lock"] {
        remove_file(&layout.path(name))?;
    }
    // A folder in which somebody has put something stays.
    match fs::remove_dir(layout.folder()) {
        Err(error) if error.kind() != ErrorKind::DirectoryNotEmpty => {
            Err(error).with_context(|| format!("removing {}", layout.folder().display()))
        }
        _ => Ok(()),
    }
}

/// Returns the results that the plugins of the pod network keep, one for each pod whose network is there.
pub(super) fn networks() -> anyhow::Result<Vec<PathBuf>> {
    let mut results = list(Path::new(CNI_RESULTS))?;
    results.retain(|path| loopback_result(path).is_some());
    Ok(results)
}

/// Removes what the node left outside of its state folder.
pub(super) fn remove_traces(layout: &Layout) -> anyhow::Result<()> {
    for path in networks()? {
        // The loopback plugin's result for the same pod does not have the name of the network.
        if let Some(loopback) = loopback_result(&path) {
            remove_file(&loopback)?;
        }
        remove_file(&path)?;
    }
    for path in list(Path::new(LOG_LINKS))? {
        if fs::read_link(&path).is_ok_and(|target| target.starts_with(layout.folder())) {
            remove_file(&path)?;
        }
    }
    for bundle in list(&layout.path(BUNDLES))? {
        let address = fs::read_to_string(bundle.join("address")).unwrap_or_default();
        if let Some(socket) = address.trim().strip_prefix("unix://").filter(|path| path.starts_with(SHIM_SOCKETS)) {
            remove_file(Path::new(socket))?;
        }
    }
    for name in [KUBELET_SOCKET, KUBELET_CHECKPOINT] {
        remove_file(Path::new(name))?;
    }
    for folder in FOLDERS {
        // One that has something in it is used by somebody else.
        match fs::remove_dir(folder) {
            Err(error) if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::DirectoryNotEmpty) => {
                return Err(error).with_context(|| format!("removing {folder}"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Returns the file `cni-loopback-POD-lo` beside `NETWORK-POD-eth0`.
fn loopback_result(path: &Path) -> Option<PathBuf> {
    let pod = path.file_name()?.to_str()?.strip_prefix(&format!("{NETWORK}-"))?.strip_suffix("-eth0")?;
    Some(path.with_file_name(format!("cni-loopback-{pod}-lo")))
}

fn remove_file(path: &Path) -> anyhow::Result<()> {
    absent_is_fine(fs::remove_file(path)).with_context(|| format!("removing {}", path.display()))
}

/// Returns the mounts below the state folder, the last one first.
fn mounts(layout: &Layout) -> anyhow::Result<Vec<PathBuf>> {
    let path = "/proc/self/mountinfo";
    let text = fs::read_to_string(path).with_context(|| format!("reading {path}"))?;
    Ok(mounts_below(&text, layout.folder()))
}

/// Reads the fifth field, the mount point, of `/proc/self/mountinfo`. Source: proc_pid_mountinfo(5), read 2026-11-25.
fn mounts_below(mountinfo: &str, folder: &Path) -> Vec<PathBuf> {
    let points = mountinfo.lines().filter_map(|line| Some(PathBuf::from(unescape(line.split(' ').nth(4)?))));
    let mut below: Vec<PathBuf> = points.filter(|point| point.starts_with(folder)).collect();
    below.reverse();
    below
}

/// Returns a path whose blanks, tabs, line ends and backslashes the kernel wrote as three octal digits.
fn unescape(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(text.to_owned(), |text, (code, character)| text.replace(code, character))
}

/// Returns the cgroups of containers in every hierarchy, the deepest first.
fn groups(containers: &BTreeSet<String>) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for parent in parents()? {
        for container in containers {
            descend(&parent.join(container), &mut found)?;
        }
    }
    Ok(found)
}

/// Returns the cgroup of containerd's namespace in every hierarchy: version 2 has one, version 1 one per folder.
fn parents() -> anyhow::Result<Vec<PathBuf>> {
    let roots = [vec![PathBuf::from(CGROUPS)], list(Path::new(CGROUPS))?].concat();
    Ok(roots.iter().map(|root| root.join(image::NAMESPACE)).collect())
}

fn descend(group: &Path, found: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    if fs::symlink_metadata(group).is_ok_and(|metadata| metadata.is_dir()) {
        for path in list(group)? {
            descend(&path, found)?;
        }
        found.push(group.to_owned());
    }
    Ok(())
}

/// Returns what a folder holds; nothing where there is no folder.
fn list(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        entries => {
            let entries = entries.with_context(|| format!("reading {}", folder.display()))?;
            entries.map(|entry| Ok(entry?.path())).collect()
        }
    }
}

fn absent_is_fine(result: std::io::Result<()>) -> std::io::Result<()> {
    match result {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn mounts_below_the_folder_are_found_the_last_first() {
        let text = "20 1 0:1 / / rw - ext4 a rw\n21 20 0:2 / /state/a rw - tmpfs b rw\n\
                    22 20 0:2 / /statement rw - tmpfs b rw\n23 21 0:3 / /state/a/b\\040c rw shared:1 - tmpfs b rw\n";
        let found = mounts_below(text, Path::new("/state"));
        assert_eq!(found, [Path::new("/state/a/b c"), Path::new("/state/a")]);
    }

    #[test]
    fn the_folder_goes_and_what_somebody_put_into_it_stays() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path().join("cluster")).create().unwrap();
        for name in ["cluster.json", "lock", "kubeconfig.part", "etcd/data"] {
            fs::write(layout.path(name), "").unwrap();
        }
        fs::write(layout.path("notes.txt"), "").unwrap();
        remove_folder(&layout).unwrap();
        assert_eq!(list(layout.folder()).unwrap(), [layout.path("notes.txt")]);
        fs::remove_file(layout.path("notes.txt")).unwrap();
        remove_folder(&layout).unwrap();
        assert!(!layout.folder().exists());
    }

    #[test]
    fn containers_are_known_by_their_folders() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path().join("cluster")).create().unwrap();
        assert!(containers(&layout).unwrap().is_empty());
        let id = "0a".repeat(32);
        for name in [id.as_str(), "..data", "k8s"] {
            fs::create_dir_all(layout.path(BUNDLES).join(name)).unwrap();
        }
        assert_eq!(containers(&layout).unwrap(), BTreeSet::from([id]));
    }

    #[test]
    fn cgroups_are_found_the_deepest_first() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("a/b")).unwrap();
        fs::write(folder.path().join("a/cgroup.procs"), "").unwrap();
        let mut found = Vec::new();
        descend(&folder.path().join("a"), &mut found).unwrap();
        assert_eq!(found, [folder.path().join("a/b"), folder.path().join("a")]);
        let before = found.len();
        descend(&folder.path().join("nothing"), &mut found).unwrap();
        assert_eq!(found.len(), before);
    }

    #[test]
    fn the_loopback_result_of_the_same_pod_is_named() {
        let check = |name: &str, expected: Option<&str>| {
            let expected = expected.map(|name| Path::new("/results").join(name));
            assert_eq!(loopback_result(&Path::new("/results").join(name)), expected, "{name}");
        };
        check("bowline-cluster-f00-eth0", Some("cni-loopback-f00-lo"));
        check("bowline-cluster-f00-eth1", None);
        check("podman-f00-eth0", None);
    }
}
