"""What the tests from outside share: a running Bowline with a project, and a browser. `cargo xtask test --full` runs them."""

import json
import os
import re
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

START_SECONDS = 30

PROJECT = """\
project: outside
providers:
  openai: {{ kind: openai, base_url: "{sim}/v1", identity: simulated/openai }}
  anthropic: {{ kind: anthropic, base_url: "{sim}", identity: simulated/anthropic }}
  gemini: {{ kind: gemini, base_url: "{sim}", identity: simulated/gemini }}
  locked: {{ kind: openai, api_key: env:BOWLINE_TEST_NO_SUCH_KEY }}
  absent: {{ kind: openai, base_url: "http://127.0.0.1:1/v1", identity: simulated/absent }}
models:
  fast: {{ provider: openai, model: gpt-5-mini }}
  claude: {{ provider: anthropic, model: claude-sonnet-4-5 }}
  gemini: {{ provider: gemini, model: gemini-2.5-flash }}
  locked: {{ provider: locked, model: gpt-5-mini }}
  absent: {{ provider: absent, model: gpt-5-mini }}
environments:
  dev: {{}}
  prod: {{ source: cli }}
"""

CLASSIFY = """\
---
model: {model}
input:
  schema:
    ticket: string
output:
  format: json
  schema:
    category(enum): [billing, access, delivery]
bowline.success: [schema, complete, {{ feedback: correct }}]
---
{{{{role "system"}}}}
You sort support tickets.

The category is one of:
- billing: charges, refunds, invoices, payment methods
- access: login, password, roles, single sign-on
- delivery: parcels, couriers, tracking

Answer with a JSON object that holds `category`.
{{{{role "user"}}}}
{{{{ticket}}}}
"""

CHAT = """\
---
model: fast
input:
  schema:
    name: string
---
{{role "system"}}You talk to {{name}}.{{history}}
"""


class Program:
    """A server of the binary that runs until it is stopped; its standard output is kept line by line."""

    def __init__(self, *arguments):
        self.lines = []
        self.process = subprocess.Popen([binary(), *arguments], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def wait_for(self, pattern):
        """The first match of a pattern in what is printed."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            for line in list(self.lines):
                if found := re.search(pattern, line):
                    return found[1]
            assert self.process.poll() is None, f"ended with {self.process.returncode}: {self.lines}"
            time.sleep(0.02)
        raise AssertionError(f"{pattern!r} was not printed: {self.lines}")

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


class Bowline:
    """`bowline up` over a project whose providers are simulated."""

    def __init__(self, folder, program):
        self.folder = folder
        self.program = program
        self.gateway = program.wait_for(r"^gateway +(http://\S+)/v1$")
        self.console = program.wait_for(r"^console +(http://\S+)$")
        self.key = program.wait_for(r"^key +(bwl_\S+)$")

    def run(self, *arguments):
        """What a command on the project prints."""
        command = [binary(), "--dir", self.folder, *arguments]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=60).stdout

    def post(self, path, body, key=None):
        """Status, headers and JSON body of a call to the gateway."""
        headers = {"authorization": f"Bearer {key or self.key}", "content-type": "application/json"}
        request = urllib.request.Request(self.gateway + path, json.dumps(body).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.headers, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, error.headers, json.load(error)


def binary():
    """The built `bowline`, from BOWLINE_BIN."""
    return Path(os.environ["BOWLINE_BIN"])


@pytest.fixture(scope="session")
def bowline(tmp_path_factory):
    folder = tmp_path_factory.mktemp("outside")
    (folder / "prompts").mkdir()
    for name, model in [("classify", "fast"), ("classify-claude", "claude"), ("classify-gemini", "gemini")]:
        (folder / f"prompts/{name}.prompt").write_text(CLASSIFY.format(model=model))
    (folder / "prompts/chat.prompt").write_text(CHAT)
    sim = Program("sim", "--listen", "127.0.0.1:0")
    try:
        address = sim.wait_for(r"(127\.0\.0\.1:\d+)")
        (folder / "bowline.yaml").write_text(PROJECT.format(sim=f"http://{address}"))
        up = Program("up", str(folder), "--listen", "127.0.0.1:0", "--control-listen", "127.0.0.1:0")
        try:
            yield Bowline(folder, up)
        finally:
            up.stop()
    finally:
        sim.stop()


@pytest.fixture(scope="session")
def chromium():
    """A Chromium, from BOWLINE_CHROMIUM. `cargo xtask test --full` says so where there is none, and fails on CI."""
    path = os.environ.get("BOWLINE_CHROMIUM")
    if not path:
        pytest.skip("there is no Chromium")
    return Path(path)


@pytest.fixture(scope="session")
def registry(tmp_path_factory):
    """Debian's registry on a free port, from BOWLINE_REGISTRY."""
    program = os.environ.get("BOWLINE_REGISTRY")
    if not program:
        pytest.skip("there is no docker-registry")
    folder = tmp_path_factory.mktemp("registry")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    config = {"version": 0.1, "storage": {"filesystem": {"rootdirectory": str(folder)}}, "http": {"addr": address}}
    (folder / "config.json").write_text(json.dumps(config))
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([program, "serve", folder / "config.json"], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                urllib.request.urlopen(f"http://{address}/v2/", timeout=5).close()
                break
            except OSError:
                assert process.poll() is None and time.monotonic() < deadline, (folder / "log").read_text()
                time.sleep(0.05)
        yield address
    finally:
        process.kill()
        process.wait(timeout=30)


def manifest(registry, repository, tag):
    accept = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json"
    request = urllib.request.Request(f"http://{registry}/v2/{repository}/manifests/{tag}", headers={"accept": accept})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)
