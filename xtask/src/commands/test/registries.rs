use crate::commands::Outcome;
use crate::debian;
use crate::go::{COSIGN, REGISTRY};
use crate::process;
use crate::workspace::Workspace;

/// Runs the tests that talk to real registries, one with the referrers API and one without, and to cosign.
pub(super) fn run(workspace: &Workspace) -> anyhow::Result<Outcome> {
    let tools = REGISTRY.build(workspace).and_then(|registry| Ok((registry, COSIGN.build(workspace)?)));
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
    Ok(Outcome::Passed)
}
