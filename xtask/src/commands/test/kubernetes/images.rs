//! The images of the story, as archives that a node loads: Bowline's own, a registry, and an application with the official SDK.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use crate::commands::image;
use crate::debian;
use crate::environment;
use crate::go::REGISTRY;
use crate::process;
use crate::tool_cache;
use crate::workspace::Workspace;

/// What the application is called, as `examples/kubernetes/app.yaml` has it.
const APP: &str = "docker.io/library/desk-app:1";
/// What the registry is called, as `examples/kubernetes/registry.yaml` has it.
const REGISTRY_NAME: &str = "docker.io/library/registry:3";
/// An interpreter with its library, without a shell.
const PACKAGES: &str = "python3-minimal,libpython3-stdlib,tzdata";
const SUITE: &str = "bookworm";
/// The version of Python that the suite has.
const PYTHON: &str = "3.11";
const REQUIREMENTS: &str = "examples/kubernetes/app/requirements.txt";
const REGISTRY_CONFIG: &str =
    "version: 0.1\nstorage: {filesystem: {rootdirectory: /var/lib/registry}}\nhttp: {addr: \":5000\"}\n";

/// The archives, and the program that made them.
pub(super) struct Images {
    /// The static program, which is also the command line of the story.
    pub(super) bowline: PathBuf,
    /// What the node loads.
    pub(super) archives: Vec<PathBuf>,
}

/// Builds what is not there yet; `Err` with why that cannot be done here.
pub(super) fn build(workspace: &Workspace, folder: &Path) -> anyhow::Result<Result<Images, String>> {
    for (program, package) in [("mmdebstrap", "mmdebstrap"), ("python3", "python3-pip"), ("git", "git")] {
        if debian::program(&[program], package)?.is_none() {
            return Ok(Err(format!("no {program}; on Debian, `apt-get install {package}`")));
        }
    }
    let Some((bowline, archive)) = image::archive(workspace)? else {
        return Ok(Err("a static program can be built on Linux with glibc, for amd64 and arm64".to_owned()));
    };
    let app = app(workspace, &bowline, folder)?;
    let registry = registry(workspace, &bowline, folder)?;
    Ok(Ok(Images { bowline, archives: vec![archive, app, registry] }))
}

fn app(workspace: &Workspace, bowline: &Path, folder: &Path) -> anyhow::Result<PathBuf> {
    let (python, packages) = (python()?, packages(workspace)?);
    let example = |path: &str| workspace.root.join("examples").join(path).display().to_string();
    let archive = folder.join("app.tar");
    let mut build = Command::new(bowline);
    build.args(["image", "build", "--tag", APP, "--entrypoint", r#"["/usr/bin/python3","/app/app.py"]"#]);
    build.args(["--env", "PYTHONPATH=/app/site", "--env", "PYTHONDONTWRITEBYTECODE=1", "--env", "PYTHONUNBUFFERED=1"]);
    build.arg("--add").arg(format!("{}/:/", python.display()));
    build.arg("--add").arg(format!("{}/:/app/site", packages.display()));
    build.arg("--add").arg(format!("{}:/app/app.py", example("kubernetes/app/app.py")));
    build.arg("--add").arg(format!("{}:/app/tickets.jsonl", example("support-desk/data/tickets.jsonl")));
    build.arg("--to").arg(format!("oci-archive:{}", archive.display())).current_dir(folder);
    process::output(&mut build).context("packaging the application")?;
    Ok(archive)
}

fn registry(workspace: &Workspace, bowline: &Path, folder: &Path) -> anyhow::Result<PathBuf> {
    let program = REGISTRY.build(workspace)?;
    let (config, archive) = (folder.join("registry.yml"), folder.join("registry.tar"));
    fs::write(&config, REGISTRY_CONFIG).context("writing the configuration of the registry")?;
    let mut build = Command::new(bowline);
    let entrypoint = r#"["/bin/registry","serve","/etc/distribution/config.yml"]"#;
    build.args(["image", "build", "--tag", REGISTRY_NAME, "--entrypoint", entrypoint]);
    build.arg("--add").arg(format!("{}:/bin/registry", program.display()));
    build.arg("--add").arg(format!("{}:/etc/distribution/config.yml", config.display()));
    build.arg("--to").arg(format!("oci-archive:{}", archive.display())).current_dir(folder);
    process::output(&mut build).context("packaging the registry")?;
    Ok(archive)
}

/// Returns a root folder with Python, unpacked from packages of Debian.
fn python() -> anyhow::Result<PathBuf> {
    let made = tool_cache::folder("python-root", &[SUITE, PACKAGES], |folder| {
        let mut command = Command::new("mmdebstrap");
        command.args(["--quiet", "--variant=extract", &format!("--include={PACKAGES}"), SUITE]);
        let unpacked = process::run(command.arg(folder.join("root")))?;
        anyhow::ensure!(unpacked, "`mmdebstrap` failed\nhint: it asks the mirrors of Debian");
        // Devices: the runtime has its own, and an image holds none.
        fs::remove_dir_all(folder.join("root/dev")).context("removing the devices of the root")
    })?;
    Ok(made.join("root"))
}

/// Returns a folder with the SDK and what it needs, for the Python of the image.
fn packages(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    let requirements = workspace.text(Path::new(REQUIREMENTS))?;
    let architecture = std::env::consts::ARCH;
    let made = tool_cache::folder("python-site", &[PYTHON, architecture, &requirements], |folder| {
        let python = environment::program(&["python3"]).context("python3 is missing")?;
        let mut install = Command::new(python);
        install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--root-user-action=ignore"]);
        install.args(["--only-binary=:all:", "--no-deps", "--require-hashes", "--implementation", "cp"]);
        install.args(["--python-version", PYTHON]);
        for line in ["manylinux2014", "manylinux_2_28"] {
            install.arg("--platform").arg(format!("{line}_{architecture}"));
        }
        install.arg("--target").arg(folder.join("site")).arg("--requirement").arg(workspace.root.join(REQUIREMENTS));
        anyhow::ensure!(process::run(&mut install)?, "`pip install` failed");
        Ok(())
    })?;
    Ok(made.join("site"))
}
