//! Programs that Debian packages, for steps that need one.

use std::path::PathBuf;
use std::process::Command;

use crate::environment;
use crate::process;

/// Returns the first of the programs that is there. Where none is, on CI, and we may, the package is installed: a person's machine is left
/// as it is.
pub(crate) fn program(names: &[&str], package: &str) -> anyhow::Result<Option<PathBuf>> {
    let found = environment::program(names);
    if found.is_some() || !environment::on_ci() || environment::program(&["apt-get"]).is_none() || !is_root()? {
        return Ok(found);
    }
    let apt = |arguments: &[&str]| {
        process::run(Command::new("apt-get").arg("-qq").args(arguments).env("DEBIAN_FRONTEND", "noninteractive"))
    };
    let installed = apt(&["update"])? && apt(&["install", "--yes", "--no-install-recommends", package])?;
    Ok(if installed { environment::program(names) } else { None })
}

/// Returns whether we are root.
pub(crate) fn is_root() -> anyhow::Result<bool> {
    Ok(process::output(Command::new("id").arg("-u"))?.trim() == "0")
}
