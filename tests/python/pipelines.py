"""Runs the shell lines of GitHub workflows and GitLab pipelines in order, as far as ours need it: no container, no service, no matrix."""

import os
import re
import shutil
import string
import subprocess
from pathlib import Path

from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
STEP_SECONDS = 120
# What a step of GitHub with `shell: bash` is run with.
BASH = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c"]


def load(path):
    return YAML(typ="safe").load(ROOT / path)


class Failed(AssertionError):
    """A step that ended with a failure."""


# === Expressions of GitHub ===


def value(term, contexts):
    """The value of a literal, a function or a name such as `inputs.image`."""
    term = term.strip()
    if term.startswith("'"):
        return term.strip("'")
    if term == "always()":
        return True
    found = contexts
    for name in term.split("."):
        found = found.get(name, "") if isinstance(found, dict) else ""
    return found


def truth(expression, contexts):
    """Whether terms joined by `&&` hold."""
    for term in expression.split("&&"):
        if match := re.fullmatch(r"(.+?)([=!]=)(.+)", term.strip()):
            left, operator, right = match.groups()
            holds = (value(left, contexts) == value(right, contexts)) == (operator == "==")
        else:
            holds = bool(value(term, contexts))
        if not holds:
            return False
    return True


def fill(text, contexts):
    """A text with its expressions replaced."""
    return re.sub(r"\$\{\{(.+?)\}\}", lambda match: str(value(match[1], contexts)), str(text))


class Workflow:
    """The jobs of one workflow of GitHub, in one checkout."""

    def __init__(self, checkout, scratch, environment, contexts):
        self.checkout = checkout
        self.contexts = contexts
        self.environment = dict(environment)
        self.ran = []
        self.outputs = {}
        self.summary = scratch / "summary.md"
        self.files = {"GITHUB_OUTPUT": scratch / "output", "GITHUB_PATH": scratch / "path", "GITHUB_STEP_SUMMARY": self.summary}
        self.environment |= {name: str(path) for name, path in self.files.items()}
        self.environment |= {"RUNNER_TEMP": str(scratch), "GITHUB_REPOSITORY": contexts["github"]["repository"]}

    def run(self, path):
        for name, job in load(path)["jobs"].items():
            if truth(job.get("if", "always()").strip("${} "), self.contexts):
                self.steps(job["steps"], self.contexts, self.environment)

    def steps(self, steps, contexts, environment):
        failure = None
        contexts = contexts | {"steps": {}}
        for step in steps:
            condition = step.get("if", "").strip("${} ")
            if failure and "always()" not in condition or condition and not truth(condition, contexts):
                continue
            try:
                self.step(step, contexts, environment)
            except Failed as error:
                failure = failure or error
        if failure:
            raise failure

    def step(self, step, contexts, environment):
        environment = environment | {name: fill(text, contexts) for name, text in step.get("env", {}).items()}
        action = step.get("uses", "")
        if action.startswith("actions/checkout@"):
            return
        if action:
            self.action(step, contexts, environment)
            return
        name = step.get("name", step["run"])
        self.files["GITHUB_OUTPUT"].write_text("")
        shell(name, BASH, step["run"], self.checkout, environment)
        self.ran.append(name)
        if "id" in step:
            lines = self.files["GITHUB_OUTPUT"].read_text().splitlines()
            outputs = dict(line.split("=", 1) for line in lines)
            contexts["steps"][step["id"]] = {"outputs": outputs}
            self.outputs[step["id"]] = outputs

    def action(self, step, contexts, environment):
        """A composite action of this repository, whatever version of it is asked for."""
        match = re.fullmatch(r"bowline-dev/bowline/(.+)@v[0-9.]+", step["uses"])
        assert match, step["uses"]
        action = load(f"{match[1]}/action.yml")
        given = {name: fill(text, contexts) for name, text in step.get("with", {}).items()}
        assert given.keys() <= action["inputs"].keys(), given
        inputs = {name: given.get(name, fill(it.get("default", ""), contexts)) for name, it in action["inputs"].items()}
        self.steps(action["runs"]["steps"], contexts | {"inputs": inputs}, environment)


class Pipeline:
    """The jobs of one pipeline of GitLab: each in a checkout of its own, with the artifacts of those that it needs."""

    def __init__(self, origin, scratch, environment, variables):
        self.origin = origin
        self.scratch = scratch
        self.environment = environment
        self.variables = variables
        self.ran = []
        self.artifacts = {}

    def run(self, path):
        pipeline = load(path)
        for include in pipeline.pop("include"):
            match = re.fullmatch(r"https://raw\.githubusercontent\.com/bowline-dev/bowline/v[0-9.]+/(.+)", include["remote"])
            assert match, include
            included = load(match[1])
            variables = included.pop("variables") | pipeline.get("variables", {})
            pipeline = included | pipeline | {"variables": variables}
        given = pipeline.pop("variables") | self.variables
        # Variables may name others.
        for _ in range(3):
            given = {name: expand(text, given) for name, text in given.items()}
        for name, job in pipeline.items():
            if name.startswith("."):
                continue
            job = pipeline.get(job.get("extends"), {}) | job
            if any(rule(it["if"], given) for it in job["rules"]):
                self.job(name, job, given)

    def job(self, name, job, variables):
        checkout = self.scratch / folder(name)
        clone(self.origin, checkout)
        for needed in job.get("needs", []):
            needed = {"job": needed, "artifacts": True} if isinstance(needed, str) else needed
            for path in self.artifacts.get(needed["job"], []) if needed.get("artifacts", True) else []:
                (checkout / path).parent.mkdir(exist_ok=True)
                shutil.copy(self.scratch / folder(needed["job"]) / path, checkout / path)
        environment = self.environment | variables | {"CI_PROJECT_DIR": str(checkout)}
        try:
            shell(name, BASH, "\n".join(job.get("before_script", []) + job["script"]), checkout, environment)
        finally:
            shell(name, BASH, "\n".join(job.get("after_script", [])), checkout, environment)
        paths = job.get("artifacts", {}).get("paths", [])
        self.artifacts[name] = [path for path in paths if (checkout / path).exists()]
        self.ran.append(name)


def folder(job):
    return job.replace(":", "-")


def expand(text, variables):
    return string.Template(text).safe_substitute(variables)


def rule(text, variables):
    """Whether comparisons joined by `&&` hold."""

    def side(text):
        return text[1:-1] if text.startswith('"') else variables.get(text[1:], "")

    def holds(comparison):
        left, operator, right = comparison.split()
        return (side(left) == side(right)) == (operator == "==")

    return all(holds(comparison) for comparison in text.split("&&"))


def shell(name, command, script, folder, environment, arguments=()):
    command = [*command, script, *arguments]
    ran = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=STEP_SECONDS, stdin=subprocess.DEVNULL
    )
    print(f"--- {name}: {ran.returncode}\n{ran.stdout}{ran.stderr}")
    if ran.returncode:
        raise Failed(f"{name} ended with {ran.returncode}:\n{ran.stdout}{ran.stderr}")


def clone(origin, folder):
    subprocess.run(["git", "clone", "--quiet", origin, folder], check=True, timeout=60)


def commit(folder, message):
    """Commits everything in a folder, and returns the commit."""
    git = ["git", "-C", folder, "-c", "user.name=Ada", "-c", "user.email=ada@example.com"]
    if not (Path(folder) / ".git").exists():
        subprocess.run(["git", "init", "--quiet", "--initial-branch", "main", folder], check=True, timeout=60)
    subprocess.run([*git, "add", "--all"], check=True, timeout=60)
    subprocess.run([*git, "commit", "--quiet", "--message", message], check=True, timeout=60)
    return subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True, timeout=60).stdout.strip()


def clean_environment(home, *folders):
    """What a job sees of the machine: a home of its own, and programs."""
    path = ":".join([*map(str, folders), os.environ["PATH"]])
    return {"HOME": str(home), "PATH": path, "LANG": "C.UTF-8", "CI": "true"}
