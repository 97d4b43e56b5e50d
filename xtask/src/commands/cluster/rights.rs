use std::fs;
use std::path::Path;

/// The capabilities that a node needs, by their bit. Source: capabilities(7) and `linux/capability.h` (read 2026-11-25).
const CAPABILITIES: [(u32, &str); 2] = [(12, "CAP_NET_ADMIN"), (21, "CAP_SYS_ADMIN")];

/// Checks that this machine lets us run a node; names everything that is in the way at once.
///
/// # Errors
///
/// Fails with the list of what is in the way.
pub(super) fn check() -> anyhow::Result<()> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let mut obstacles = obstacles(&read("/proc/self/status"), &read("/proc/filesystems"));
    let cgroups = Path::new("/sys/fs/cgroup");
    let writable =
        fs::metadata(cgroups).is_ok_and(|metadata| metadata.is_dir() && !is_read_only(&read("/proc/self/mounts")));
    if !writable {
        obstacles.push("the control groups in /sys/fs/cgroup cannot be written".to_owned());
    }
    anyhow::ensure!(
        obstacles.is_empty(),
        "a node cannot run here:\n  - {}\nhint: run as root on the machine itself; without `--node` the control plane needs no rights",
        obstacles.join("\n  - ")
    );
    Ok(())
}

fn obstacles(status: &str, filesystems: &str) -> Vec<String> {
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let user = field("Uid:").and_then(|users| users.split_whitespace().nth(1));
    let effective = field("CapEff:").and_then(|bits| u64::from_str_radix(bits, 16).ok()).unwrap_or(0);
    let mut obstacles = Vec::new();
    if user != Some("0") {
        obstacles.push("containers, the bridge and mounts need root".to_owned());
    } else {
        let lacking = CAPABILITIES.iter().filter(|(bit, _)| effective & (1 << bit) == 0);
        obstacles.extend(lacking.map(|(_, name)| format!("this root lacks {name}")));
    }
    if !filesystems.lines().any(|line| line.split_whitespace().last() == Some("overlay")) {
        obstacles.push("the kernel has no overlay file system (/proc/filesystems)".to_owned());
    }
    obstacles
}

/// Returns whether every mount of control groups is read-only, as in a container that was not made for this.
fn is_read_only(mounts: &str) -> bool {
    let groups = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let mut groups = groups.filter(|mount| mount.get(2).is_some_and(|kind| kind.starts_with("cgroup"))).peekable();
    let read_only =
        |mount: Vec<&str>| mount.get(3).is_some_and(|options| options.split(',').any(|option| option == "ro"));
    groups.peek().is_none() || groups.all(read_only)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_in_the_way_is_named() {
        let check = |status: &str, filesystems: &str, expected: &[&str]| {
            let found = obstacles(status, filesystems);
            assert_eq!(found.len(), expected.len(), "{found:?}");
            assert!(found.iter().zip(expected).all(|(found, expected)| found.contains(expected)), "{found:?}");
        };
        let root = "Uid:\t0\t0\t0\t0\nCapEff:\t000001fffeffffff\n";
        check(root, "nodev\toverlay\n", &[]);
        check("Uid:\t1000\t1000\t1000\t1000\nCapEff:\t0000000000000000\n", "nodev\tproc\n", &["root", "overlay"]);
        check("Uid:\t0\t0\t0\t0\nCapEff:\t00000000a80425fb\n", "nodev\toverlay\n", &["NET_ADMIN", "SYS_ADMIN"]);
    }

    #[test]
    fn control_groups_that_cannot_be_written_are_seen() {
        let check = |mounts: &str, expected| assert_eq!(is_read_only(mounts), expected, "{mounts}");
        check("cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0\n", false);
        check("cgroup2 /sys/fs/cgroup cgroup2 ro,nosuid 0 0\n", true);
        check("tmpfs /sys/fs/cgroup tmpfs ro 0 0\ncgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n", false);
        check("proc /proc proc rw 0 0\n", true);
    }
}
