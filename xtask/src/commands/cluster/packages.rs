use std::path::Path;
use std::process::Command;

use super::node;
use crate::environment;
use crate::process;

/// What the node needs of the system: the program, and the package of Debian that has it.
const PROGRAMS: [(&str, &str); 6] = [
    ("containerd", "containerd"),
    ("ctr", "containerd"),
    ("runc", "runc"),
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("iptables", "iptables"),
];
const PLUGINS: &str = "containernetworking-plugins";

/// Installs what is missing, where this is Debian or a relative of it and we are root.
///
/// # Errors
///
/// Fails where something is missing and cannot be installed.
pub(super) fn install() -> anyhow::Result<()> {
    let missing = missing(|program| environment::program(&[program]).is_some(), plugins().is_some());
    if missing.is_empty() {
        return Ok(());
    }
    let Some(apt) = environment::program(&["apt-get"]) else {
        anyhow::bail!(
            "a node needs what Debian has in the packages {}\nhint: install them the way of this system",
            missing.join(", ")
        );
    };
    eprintln!("installing {}", missing.join(", "));
    let apt =
        |arguments: &[&str]| process::run(Command::new(&apt).args(arguments).env("DEBIAN_FRONTEND", "noninteractive"));
    let install = [&["install", "--yes", "--quiet", "--no-install-recommends"], missing.as_slice()].concat();
    // Lists may be old or not there at all.
    let installed = apt(&["update", "--quiet"])? && apt(&install)?;
    anyhow::ensure!(installed, "`apt-get install {}` failed", missing.join(" "));
    Ok(())
}

/// Returns the folder with the plugins of pod networks.
pub(super) fn plugins() -> Option<&'static str> {
    node::CNI_FOLDERS.into_iter().find(|folder| Path::new(folder).join("bridge").is_file())
}

fn missing(is_there: impl Fn(&str) -> bool, plugins: bool) -> Vec<&'static str> {
    let absent = PROGRAMS.iter().filter(|(program, _)| !is_there(program));
    let mut packages: Vec<&str> = absent.map(|(_, package)| *package).collect();
    if !plugins {
        packages.push(PLUGINS);
    }
    packages.dedup();
    packages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_named_once() {
        assert_eq!(missing(|_| true, true), Vec::<&str>::new());
        assert_eq!(missing(|program| program == "ip", false).len(), 5);
        assert_eq!(missing(|program| program != "ctr", true), ["containerd"]);
    }
}
