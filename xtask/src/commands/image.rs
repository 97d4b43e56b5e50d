use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use serde::Deserialize;

use super::Outcome;
use crate::environment;
use crate::process;
use crate::workspace::Workspace;

mod container;
mod contents;

use contents::Contents;

/// The most that the image may have, in bytes, before compression.
const IMAGE_BYTES_MAX: u64 = 80_000_000;
/// As whom the program runs in the image: nobody that a machine knows.
const USER: u32 = 65532;
/// What the image is called.
const NAME: &str = "bowline";

/// How the image is built.
#[derive(clap::Args)]
pub(super) struct Options {
    /// The profile of the program: `release`, or `quick-release`, which builds faster.
    #[arg(long, default_value = "release")]
    profile: String,
    /// The OCI archive that is written.
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
}

/// What `bowline image build` prints.
#[derive(Deserialize, PartialEq, Eq, Debug)]
struct Built {
    digest: String,
}

/// Builds the image of Bowline and runs it.
pub(super) fn run(workspace: &Workspace, options: &Options) -> anyhow::Result<Outcome> {
    let archive = match &options.to {
        Some(file) => std::path::absolute(file)?,
        None => workspace.target.join("image/bowline.tar"),
    };
    build(workspace, &options.profile, &archive)?
        .map_or_else(|| Ok(not_here()), |()| container::run(workspace, &archive))
}

/// Builds the image from a faster build of the program, and runs it.
pub(super) fn test(workspace: &Workspace) -> anyhow::Result<Outcome> {
    run(workspace, &Options { profile: "quick-release".to_owned(), to: None })
}

fn not_here() -> Outcome {
    Outcome::NotRun("a static program can be built on Linux with glibc, for amd64 and arm64".to_owned())
}

/// Builds the static program and packages it; none where that cannot be done here.
fn build(workspace: &Workspace, profile: &str, archive: &Path) -> anyhow::Result<Option<()>> {
    let Some(target) = target() else { return Ok(None) };
    let program = compile(workspace, &target, profile)?;
    let folder = archive.parent().context("the archive is in a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    let first = package(workspace, &program, archive)?;
    // Once more, by way of another folder: nothing of the machine or the moment is in it.
    let again = tempfile::tempdir()?;
    let second = package(workspace, &program, &again.path().join("again.tar"))?;
    ensure!(first == second, "packaged twice, the image has two digests: {} and {}", first.digest, second.digest);
    let same = fs::read(archive)? == fs::read(again.path().join("again.tar"))?;
    ensure!(same, "packaged twice, the archive has different bytes");
    let contents = Contents::read(archive)?;
    let limit = IMAGE_BYTES_MAX;
    println!("{}  {}", first.digest, archive.display());
    println!("  program       {:>6.1} MB", megabytes(fs::metadata(&program)?.len()));
    println!("  image         {:>6.1} MB, at most {:.0}", megabytes(contents.bytes), megabytes(limit));
    println!("  to be pulled  {:>6.1} MB", megabytes(fs::metadata(archive)?.len()));
    ensure!(contents.bytes <= limit, "the image has {} bytes, more than {limit}", contents.bytes);
    image_for_ci(&program)?;
    Ok(Some(()))
}

/// Returns the target whose C library can be linked in.
fn target() -> Option<String> {
    let architecture = std::env::consts::ARCH;
    let is_here = cfg!(all(target_os = "linux", target_env = "gnu")) && matches!(architecture, "x86_64" | "aarch64");
    is_here.then(|| format!("{architecture}-unknown-linux-gnu"))
}

/// Builds a program that needs nothing around it; docs/adr/0008-images.md says why in this way.
fn compile(workspace: &Workspace, target: &str, profile: &str) -> anyhow::Result<PathBuf> {
    let mut flags = vec!["-C".to_owned(), "target-feature=+crt-static".to_owned()];
    // Names of functions stay, for whoever reads a backtrace; the names of folders on this machine are nobody's business.
    flags.extend(["-C".to_owned(), "strip=debuginfo".to_owned()]);
    flags.push(format!("--remap-path-prefix={}=/bowline", workspace.root.display()));
    if let Some(cargo) = environment::cargo_home() {
        flags.push(format!("--remap-path-prefix={}=/cargo", cargo.display()));
    }
    let mut command =
        workspace.cargo(&["build", "--package", "bowline", "--profile", profile, "--target", target, "--locked"]);
    // With a target given, these do not reach build scripts and macros. Nobody builds this twice, so nothing is kept for a next time.
    command.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f")).env("CARGO_INCREMENTAL", "0");
    ensure!(
        process::run(&mut command)?,
        "the static program was not built\nhint: it needs the C library as an archive, as libc6-dev of Debian has it"
    );
    Ok(workspace.target.join(target).join(profile).join("bowline"))
}

/// Packages the program with itself.
fn package(workspace: &Workspace, program: &Path, archive: &Path) -> anyhow::Result<Built> {
    let root = tempfile::tempdir()?;
    skeleton(root.path())?;
    let version = env!("CARGO_PKG_VERSION");
    let mut command = Command::new(program);
    command.args(["image", "build", "--with-bowline", "--sbom", "--output", "json"]);
    command.args(["--entrypoint", "/usr/local/bin/bowline", "--cmd", "--help", "--workdir", "/project"]);
    command.arg("--add").arg(format!("{}:/", root.path().display()));
    command.arg("--user").arg(format!("{USER}:{USER}")).arg("--tag").arg(format!("{NAME}:{version}"));
    for (name, value) in [
        ("title", "Bowline"),
        ("version", version),
        ("source", env!("CARGO_PKG_REPOSITORY")),
        ("licenses", env!("CARGO_PKG_LICENSE")),
    ] {
        command.arg("--label").arg(format!("org.opencontainers.image.{name}={value}"));
    }
    command.arg("--to").arg(format!("oci-archive:{}", archive.display())).current_dir(&workspace.root);
    serde_json::from_str(&process::output(&mut command)?).context("reading what `bowline image build` printed")
}

/// Builds the image for jobs of CI systems as docs/images.md says, over a base of ours in place of one with Git.
fn image_for_ci(program: &Path) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    skeleton(folder.path())?;
    let image = |arguments: &[&str]| {
        process::output(Command::new(program).arg("image").args(arguments).current_dir(folder.path()))
    };
    image(&["build", "--add", "etc:/etc", "--to", "oci:images:base"])?;
    image(&["build", "--base", "oci:images:base", "--with-bowline", "--user", "0:0", "--to", "oci:images:ci"])?;
    let printed = image(&["inspect", "oci:images:ci"])?;
    ensure!(printed.contains(" 0:0"), "the image for CI does not run as root: {printed}");
    Ok(())
}

/// Makes what stands in the image beside the program: a name for the user, how names are looked up, and the folders where things are mounted.
fn skeleton(root: &Path) -> anyhow::Result<()> {
    let text = |path: &str, text: String| fs::write(root.join(path), text).with_context(|| format!("writing {path}"));
    for folder in ["etc", "project", "data", "tmp"] {
        fs::create_dir(root.join(folder)).with_context(|| format!("creating {folder}"))?;
    }
    fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777))?;
    text("etc/passwd", format!("root:x:0:0:root:/:\nbowline:x:{USER}:{USER}:bowline:/data:\n"))?;
    text("etc/group", format!("root:x:0:\nbowline:x:{USER}:\n"))?;
    text("etc/nsswitch.conf", "hosts: files dns\n".to_owned())
}

#[expect(clippy::cast_precision_loss, reason = "for people, with one digit")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
