use std::path::PathBuf;

use crate::debian;
use crate::environment;
use crate::go::{self, Package};
use crate::workspace::Workspace;

/// Programs that are built from Go modules where the search path has none.
const GO: [Package<'static>; 2] = [go::COSIGN, go::REGISTRY];
/// Programs whose Debian package has another name.
const PACKAGES: [(&str, &str); 2] = [("systemd-analyze", "systemd"), ("busybox", "busybox-static")];

/// Returns a program that a tour needs: the one in the search path, else one of our Go modules, else on CI that of a Debian package.
///
/// # Errors
/// Why there is none, for people.
pub(super) fn program(workspace: &Workspace, name: &str) -> Result<PathBuf, String> {
    if let Some(found) = environment::program(&[name]) {
        return Ok(found);
    }
    if let Some(package) = GO.iter().find(|package| package.program == name) {
        return package.build(workspace).map_err(|error| format!("{name}, which cannot be built: {error:#}"));
    }
    let package = PACKAGES.iter().find_map(|(program, package)| (*program == name).then_some(*package)).unwrap_or(name);
    match debian::program(&[name], package) {
        Ok(Some(found)) => Ok(found),
        Ok(None) => Err(format!("{name}; on Debian, `apt-get install {package}`")),
        Err(error) => Err(format!("{name}: {error:#}")),
    }
}
