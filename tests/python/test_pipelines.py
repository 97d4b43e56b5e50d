"""The entry points of CI: valid by the published schemas, and run in order against a real registry."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from conftest import Program, binary, manifest
from pipelines import ROOT, Failed, Pipeline, Workflow, clean_environment, clone, commit, load
from pods import Task, Template

ACTION = "ci/github/action.yml"
WORKFLOW = "examples/support-desk/.github/workflows/bowline.yml"
TEMPLATE = "ci/gitlab/bowline.gitlab-ci.yml"
PIPELINE = "examples/support-desk/.gitlab-ci.yml"
TASK = "deploy/tekton/bowline.yaml"
WORKFLOW_TEMPLATE = "deploy/argo-workflows/bowline.yaml"

# Programs that the jobs use and that are not Bowline: each writes down how it was called, and what it was given to read.
RECORDER = """\
#!/bin/sh
printf '%s\\n' "$(basename "$0") $*" >>"$RECORD"
for argument; do
  case "$argument" in
    body=@*) cat "${argument#body=@}" >"$RECORD.body" ;;
    --password-stdin) cat >/dev/null ;;
  esac
done
"""


# === Valid ===


@pytest.mark.parametrize(
    ("schema", "file", "transform"),
    [
        ("vendor.github-actions", ACTION, []),
        ("vendor.github-workflows", WORKFLOW, []),
        ("vendor.gitlab-ci", TEMPLATE, ["--data-transform", "gitlab-ci"]),
        ("vendor.gitlab-ci", PIPELINE, ["--data-transform", "gitlab-ci"]),
    ],
)
def test_the_published_schema_takes_it(schema, file, transform):
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, *transform, ROOT / file]
    checked = subprocess.run(check, capture_output=True, text=True, timeout=60)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_schema_would_refuse_a_mistake(tmp_path):
    wrong = tmp_path / "action.yml"
    wrong.write_text((ROOT / ACTION).read_text().replace("using: composite", "using: composit"))
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-actions", wrong]
    assert subprocess.run(check, capture_output=True, timeout=60).returncode == 1


def steps(file):
    document = load(file)
    if "runs" in document:
        yield from document["runs"]["steps"]
    for job in document.get("jobs", {}).values():
        yield from job["steps"]


@pytest.mark.parametrize("file", [ACTION, WORKFLOW])
def test_actions_of_others_are_pinned_and_no_input_becomes_a_command(file):
    for step in steps(file):
        action = step.get("uses", "")
        assert not action or action.startswith("bowline-dev/bowline/") or re.search(r"@[0-9a-f]{40}$", action), action
        assert "${{" not in step.get("run", ""), step["name"]


# === Run ===


def needs_commands(*commands):
    listed = subprocess.run([binary(), "--help"], capture_output=True, text=True, timeout=10).stdout
    missing = [command for command in commands if not re.search(rf"^  {command} ", listed, re.MULTILINE)]
    if missing:
        # On CI nobody reads that a test did not run.
        stop = pytest.fail if os.environ.get("CI") else pytest.skip
        stop(f"this bowline has no {' and no '.join(missing)}")


@pytest.fixture
def origin(tmp_path):
    """The example in a repository of its own, with a simulated provider, as its README says."""
    sim = Program("sim", "--listen", "127.0.0.1:0")
    try:
        address = sim.wait_for(r"(127\.0\.0\.1:\d+)")
        folder = tmp_path / "origin"
        shutil.copytree(ROOT / "examples/support-desk", folder)
        project = folder / "bowline.yaml"
        real = "openai: { kind: openai, api_key: env:OPENAI_API_KEY }"
        assert real in project.read_text()
        simulated = f'openai: {{ kind: openai, base_url: "http://{address}/v1", identity: openai }}'
        project.write_text(project.read_text().replace(real, simulated))
        commit(folder, "the example")
        yield folder
    finally:
        sim.stop()


@pytest.fixture
def environment(tmp_path):
    """What jobs see: a home of their own, bowline, and recorders for docker and gh."""
    tools, home = tmp_path / "tools", tmp_path / "home"
    tools.mkdir()
    home.mkdir()
    for name in ["docker", "gh", "curl"]:
        (tools / name).write_text(RECORDER)
        (tools / name).chmod(0o755)
    (tools / "bowline").symlink_to(binary().absolute())
    return clean_environment(home, tools) | {"RECORD": str(tmp_path / "record")} | signing_key(tmp_path)


def signing_key(folder):
    """The variables that hold a new signing key."""
    password = {"COSIGN_PASSWORD": "correct horse"}
    generate = [binary(), "bundle", "key", "generate", "--to", folder / "ci"]
    if subprocess.run(generate, env=os.environ | password, capture_output=True, timeout=60).returncode:
        return {}
    return password | {"BOWLINE_SIGNING_KEY": (folder / "ci.key").read_text()}


def workflow(origin, tmp_path, environment, registry, event):
    checkout, scratch = tmp_path / "checkout", tmp_path / "runner"
    clone(origin, checkout)
    scratch.mkdir()
    sha = subprocess.run(["git", "-C", checkout, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    github = {"event_name": event, "sha": sha, "repository": "desk/support", "token": "t", "server_url": "https://github.example"}
    github["event"] = {"pull_request": {"number": 7}}
    secrets = {name: environment.get(name, "") for name in ["BOWLINE_SIGNING_KEY", "COSIGN_PASSWORD"]}
    contexts = {"github": github, "vars": {"REGISTRY": registry}, "secrets": secrets}
    return Workflow(checkout, scratch, environment | {"GITHUB_ACTOR": "ada"}, contexts)


def test_a_pull_request_on_github_is_held_against_the_gate(origin, tmp_path, environment):
    needs_commands("check", "test")
    run = workflow(origin, tmp_path, environment, "127.0.0.1:9", "pull_request")
    run.run(WORKFLOW)
    assert run.ran == ["Find bowline", "Name the reports", "Check", "Gate", "Show the report", "Comment on the pull request"]
    report = run.summary.read_text()
    assert "support/classify" in report
    record = (tmp_path / "record").read_text()
    assert "gh api --silent --method POST repos/desk/support/issues/7/comments --field body=@" in record, record
    assert (tmp_path / "record.body").read_text() == "<!-- bowline -->\n" + report
    assert "<testsuite" in open(run.outputs["names"]["junit"]).read()


def test_a_broken_prompt_stops_the_workflow_before_anything_is_published(origin, tmp_path, environment):
    prompt = origin / "prompts/support/classify.prompt"
    prompt.write_text(prompt.read_text() + "{{nobody}}\n")
    commit(origin, "broken")
    run = workflow(origin, tmp_path, environment, "127.0.0.1:9", "push")
    with pytest.raises(Failed, match="Check ended with 1"):
        run.run(WORKFLOW)
    assert run.ran == ["Log in to the registry", "Find bowline", "Name the reports", "Show the report"]


def plain(run):
    """Lets the action speak plain HTTP, as the registry of this test does."""
    action = load(ACTION)["inputs"]["plain-http"]
    assert action["default"] == "false"
    original = run.action

    def with_plain_http(step, contexts, environment):
        original(step | {"with": step["with"] | {"plain-http": "true"}}, contexts, environment)

    run.action = with_plain_http
    return run


def test_a_push_on_github_publishes_bundle_and_image(origin, tmp_path, environment, registry):
    needs_commands("check", "test", "bundle", "image")
    run = plain(workflow(origin, tmp_path, environment, registry, "push"))
    run.run(WORKFLOW)
    assert run.ran[-2:] == ["Publish the bundle", "Build the image"]
    sha = run.contexts["github"]["sha"]
    bundle = manifest(registry, "desk/support/prompts", sha)
    assert bundle["artifactType"] == "application/vnd.bowline.bundle.v1"
    image = manifest(registry, "desk/support/desk", sha)
    assert image["annotations"]["org.opencontainers.image.revision"] == sha
    assert image["annotations"]["dev.bowline.bundle.digest"].startswith("sha256:")
    assert run.outputs["image"]["digest"].startswith("sha256:")


def test_a_pipeline_on_gitlab_publishes_bundle_and_image(origin, tmp_path, environment, registry):
    needs_commands("check", "test", "bundle", "image")
    sha = subprocess.run(["git", "-C", origin, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    variables = {
        "CI_REGISTRY_IMAGE": f"{registry}/desk/gitlab",
        "CI_COMMIT_SHA": sha,
        "CI_COMMIT_BRANCH": "main",
        "CI_DEFAULT_BRANCH": "main",
        "CI_PIPELINE_SOURCE": "push",
        "BOWLINE_REGISTRY_ARGUMENTS": "--plain-http",
    }
    run = Pipeline(origin, tmp_path / "builds", environment, variables)
    (tmp_path / "builds").mkdir()
    run.run(PIPELINE)
    assert run.ran == ["bowline:gate", "bowline:bundle", "bowline:image"]
    assert manifest(registry, "desk/gitlab/prompts", sha)["artifactType"] == "application/vnd.bowline.bundle.v1"
    image = manifest(registry, "desk/gitlab/desk", sha)
    assert image["annotations"]["dev.bowline.bundle.digest"].startswith("sha256:")


def test_a_merge_request_on_gitlab_gets_the_report_as_a_note(origin, tmp_path, environment):
    needs_commands("check", "test")
    variables = {
        "CI_DEFAULT_BRANCH": "main",
        "CI_PIPELINE_SOURCE": "merge_request_event",
        "CI_MERGE_REQUEST_IID": "7",
        "CI_PROJECT_ID": "1",
        "CI_API_V4_URL": "https://gitlab.example/api/v4",
        "BOWLINE_COMMENT_TOKEN": "secret",
    }
    run = Pipeline(origin, tmp_path / "builds", environment, variables)
    (tmp_path / "builds").mkdir()
    run.run(PIPELINE)
    assert run.ran == ["bowline:gate"]
    record = (tmp_path / "record").read_text()
    assert "https://gitlab.example/api/v4/projects/1/merge_requests/7/notes" in record


def secret(environment):
    """What is in the Secret `bowline-ci`."""
    return {name: environment[name] for name in ["BOWLINE_SIGNING_KEY", "COSIGN_PASSWORD"]}


@pytest.fixture
def folders(origin, tmp_path):
    """A clone, and an empty folder for what a pod writes."""
    checkout, scratch = tmp_path / "checkout", tmp_path / "pod"
    clone(origin, checkout)
    scratch.mkdir()
    return checkout, scratch


def test_a_task_of_tekton_publishes_a_bundle(folders, tmp_path, environment, registry):
    needs_commands("check", "test", "bundle")
    checkout, scratch = folders
    reports = tmp_path / "reports"
    reports.mkdir()
    params = {"image": "x", "bundle": f"{registry}/desk/tekton/prompts:main", "registry-arguments": ["--plain-http"]}
    run = Task(TASK, scratch, environment, params, {"source": checkout, "reports": reports}, secret(environment))
    run.run()
    assert run.ran == ["check", "gate", "publish"]
    # By the digest that it tells, it is there.
    bundle = manifest(registry, "desk/tekton/prompts", run.result("digest"))
    assert bundle["artifactType"] == "application/vnd.bowline.bundle.v1"
    assert sorted(path.name for path in reports.iterdir()) == ["attestation.json", "junit.xml", "report.md"]


def test_a_task_of_tekton_without_a_bundle_publishes_nothing(folders, environment):
    needs_commands("check", "test", "bundle")
    checkout, scratch = folders
    run = Task(TASK, scratch, environment, {"image": "x"}, {"source": checkout}, {})
    run.run()
    assert (run.ran, run.result("digest")) == (["check", "gate", "publish"], "")
    assert (scratch / "report.md").exists()


def test_a_workflow_of_argo_publishes_a_bundle(folders, environment, registry):
    needs_commands("check", "test", "bundle")
    checkout, scratch = folders
    parameters = {"image": "x", "repository": "https://git.example/desk.git", "revision": "main"}
    parameters |= {"bundle": f"{registry}/desk/argo/prompts:main", "registry-arguments": "--plain-http"}
    run = Template(WORKFLOW_TEMPLATE, scratch, checkout, environment, parameters, secret(environment))
    assert run.git == {"repo": "https://git.example/desk.git", "revision": "main"}
    run.run()
    bundle = manifest(registry, "desk/argo/prompts", run.output("digest"))
    assert bundle["artifactType"] == "application/vnd.bowline.bundle.v1"


@pytest.mark.parametrize("bundle", ["", "127.0.0.1:9/desk/prompts:main"])
def test_a_workflow_of_argo_publishes_nothing_that_it_should_not(folders, environment, bundle):
    needs_commands("check", "test", "bundle")
    checkout, scratch = folders
    parameters = {"image": "x", "repository": "https://git.example/desk.git", "bundle": bundle}
    if bundle:
        prompt = checkout / "prompts/support/classify.prompt"
        prompt.write_text(prompt.read_text() + "{{nobody}}\n")
    run = Template(WORKFLOW_TEMPLATE, scratch, checkout, environment, parameters, {})
    if bundle:
        with pytest.raises(Failed, match="script ended with 1"):
            run.run()
    else:
        run.run()
    assert run.output("digest") == ""
    assert (scratch / "report.md").exists() == (not bundle)
