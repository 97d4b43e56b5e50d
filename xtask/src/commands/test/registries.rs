use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use crate::commands::{Outcome, tour};
use crate::debian;
use crate::environment;
use crate::process;
use crate::tool_cache;
use crate::workspace::Workspace;

/// A program that is built from its published Go module; `go.mod` and `go.sum` in the folder pin it and all below it.
struct Tool {
    name: &'static str,
    folder: &'static str,
    package: &'static str,
}

const REGISTRY: Tool = Tool {
    name: "registry",
    folder: "tests/go/registry",
    package: "github.com/distribution/distribution/v3/cmd/registry",
};

const COSIGN: Tool =
    Tool { name: "cosign", folder: "tests/go/cosign", package: "github.com/sigstore/cosign/v3/cmd/cosign" };

/// Runs the tests that talk to real registries, one with the referrers API and one without, and to cosign; and the tour of the
/// document that needs one.
pub(super) fn run(workspace: &Workspace, bowline: &Path) -> anyhow::Result<Outcome> {
    let Some(go) = environment::program(&["go"]) else { return Ok(Outcome::NotRun("no Go to build them".to_owned())) };
    let tools = REGISTRY.build(workspace, &go).and_then(|registry| Ok((registry, COSIGN.build(workspace, &go)?)));
    let (registry, cosign) = match tools {
        Ok(tools) => tools,
        Err(error) => return Ok(Outcome::NotRun(format!("the registry and cosign cannot be built: {error:#}"))),
    };
    let Some(debian) = debian::program(&["docker-registry"], "docker-registry")? else {
        return Ok(Outcome::NotRun("no docker-registry; on Debian, `apt-get install docker-registry`".to_owned()));
    };
    for (package, filter) in [("bowline-oci", ""), ("bowline", "registries::")] {
        let mut command = workspace.cargo(&["test", "--package", package, "--locked", "--test", "it", "--"]);
        command.args([filter, "--ignored"].iter().filter(|argument| !argument.is_empty()));
        command.env("BOWLINE_TEST_DOCKER_REGISTRY", &debian);
        command.env("BOWLINE_TEST_REGISTRY", &registry).env("BOWLINE_TEST_COSIGN", &cosign);
        if !process::run(&mut command)? {
            return Ok(Outcome::Failed);
        }
    }
    tour::execute(workspace, bowline, "docs/bundles.md".as_ref())
}

impl Tool {
    fn build(&self, workspace: &Workspace, go: &Path) -> anyhow::Result<PathBuf> {
        let folder = workspace.root.join(self.folder);
        let sums = workspace.text(&Path::new(self.folder).join("go.sum"))?;
        let version = process::output(Command::new(go).arg("version"))?;
        let built = tool_cache::folder(self.name, &[self.package, &version, &sums], |into| {
            let mut command = Command::new(go);
            command.args(["build", "-buildvcs=false", "-o"]).arg(into.join(self.name)).arg(self.package);
            let built = process::run(command.current_dir(&folder))?;
            anyhow::ensure!(built, "`go build {}` failed", self.package);
            Ok(())
        });
        Ok(built.with_context(|| format!("building {}", self.name))?.join(self.name))
    }
}
