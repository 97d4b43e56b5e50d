"""Runs the scripts of a Tekton Task and of an Argo WorkflowTemplate in order, as far as ours need it: their folders stand in for volumes."""

import re

from pipelines import clean_environment, load, shell


class Task:
    """A TaskRun: parameters and workspaces as they are given, the others as the Task says."""

    def __init__(self, path, scratch, environment, params, workspaces, secret):
        self.spec = load(path)["spec"]
        self.scratch = scratch
        self.environment = environment
        self.secret = secret
        self.ran = []
        declared = {param["name"]: param.get("default") for param in self.spec["params"]}
        assert params.keys() <= declared.keys(), params
        self.params = declared | params
        assert None not in self.params.values(), self.params
        for workspace in self.spec["workspaces"]:
            assert workspace["name"] in workspaces or workspace.get("optional"), workspace
        self.results = {result["name"]: scratch / f"result-{result['name']}" for result in self.spec["results"]}
        known = {f"params.{name}": text for name, text in self.params.items() if isinstance(text, str)}
        known |= {f"workspaces.{it['name']}.path": str(workspaces.get(it["name"], "")) for it in self.spec["workspaces"]}
        known |= {f"results.{name}.path": str(path) for name, path in self.results.items()}
        self.known = known

    def fill(self, text):
        """A text with its variables replaced; one that is not declared is an error, as it is for Tekton."""
        return re.sub(r"\$\(([^)]+)\)", lambda match: self.known[match[1]], text)

    def arguments(self, texts):
        for text in texts:
            if match := re.fullmatch(r"\$\(params\.([a-z-]+)\[\*\]\)", text):
                yield from self.params[match[1]]
            else:
                yield self.fill(text)

    def run(self):
        template = self.spec["stepTemplate"]
        for step in self.spec["steps"]:
            environment = clean_environment(self.scratch, *self.environment["PATH"].split(":")[:1])
            environment |= variables(template["env"] + step.get("env", []), self.fill)
            if "envFrom" in step:
                environment |= self.secret
            # What the volume of the Task is.
            environment["HOME"] = str(self.scratch)
            assert step["script"].startswith("#!/bin/sh\n") and "$(" not in step["script"], step["name"]
            arguments = [step["name"], *self.arguments(step.get("args", []))]
            shell(step["name"], ["sh", "-c"], step["script"], self.fill(template["workingDir"]), environment, arguments)
            self.ran.append(step["name"])

    def result(self, name):
        return self.results[name].read_text()


class Template:
    """A Workflow of a WorkflowTemplate with one script, whose source is a folder here."""

    def __init__(self, path, scratch, source, environment, parameters, secret):
        spec = load(path)["spec"]
        declared = {parameter["name"]: parameter.get("value") for parameter in spec["arguments"]["parameters"]}
        assert parameters.keys() <= declared.keys(), parameters
        given = declared | parameters
        assert None not in given.values(), given
        [self.template] = [it for it in spec["templates"] if it["name"] == spec["entrypoint"]]
        workflow = {f"workflow.parameters.{name}": text for name, text in given.items()}
        inputs = self.template["inputs"]["parameters"]
        self.known = {f"inputs.parameters.{it['name']}": fill(it["value"], workflow) for it in inputs}
        [artifact] = self.template["inputs"]["artifacts"]
        self.git = {name: fill(text, workflow) for name, text in artifact["git"].items()}
        self.places = {artifact["path"]: str(source), "/scratch": str(scratch), "/registry": str(scratch / "registry")}
        mounted = [mount["mountPath"] for mount in self.template["script"]["volumeMounts"]]
        assert sorted(self.places) == sorted([artifact["path"], *mounted]), mounted
        self.scratch, self.environment, self.secret = scratch, environment, secret

    def run(self):
        script = self.template["script"]
        environment = clean_environment(self.scratch, *self.environment["PATH"].split(":")[:1])
        environment |= variables(script["env"], lambda text: self.place(fill(text, self.known))) | self.secret
        assert script["command"] == ["sh"] and "{{" not in script["source"]
        shell("script", ["sh", "-c"], script["source"], self.place(script["workingDir"]), environment)

    def place(self, text):
        return self.places.get(text, text)

    def output(self, name):
        [output] = [it for it in self.template["outputs"]["parameters"] if it["name"] == name]
        folder, file = output["valueFrom"]["path"].rsplit("/", 1)
        path = self.scratch / file
        assert self.places[folder] == str(self.scratch)
        return path.read_text() if path.exists() else output["valueFrom"]["default"]


def fill(text, known):
    """A text with its variables replaced; one that is not declared is an error, as it is for Argo."""
    return re.sub(r"\{\{([^}]+)\}\}", lambda match: known[match[1]], text)


def variables(entries, fill):
    return {entry["name"]: fill(entry["value"]) for entry in entries}
