"""Images go to a real registry and come from it."""

import json
import subprocess

import pytest

from conftest import binary, manifest


@pytest.fixture
def image(tmp_path, registry):
    """Runs `bowline image` with the registry, and returns what it prints."""
    for folder, text in [("app", "common"), ("arm64", "arm"), ("amd64", "amd")]:
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"{folder}.txt").write_text(text)

    def run(*arguments, code=0):
        command = [binary(), "--output", "json", "image", *arguments, "--plain-http"]
        ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert ran.returncode == code, ran.stderr
        return json.loads(ran.stdout) if code == 0 else ran.stderr

    return run


def test_an_image_of_a_registry_is_built_upon(image, registry):
    base = f"{registry}/images/base:1"
    platforms = ["--platform=linux/amd64=amd64", "--platform=linux/arm64=arm64"]
    built = image("build", "--add=app:/app", *platforms, "--env=LANG=C", "--sbom", "--to", base)
    index = manifest(registry, "images/base", "1")
    assert [it["platform"]["architecture"] for it in index["manifests"]] == ["amd64", "arm64"]

    # This registry has no referrers API, so that the bill of materials is listed under a tag.
    listed = manifest(registry, "images/base", built["digest"].replace(":", "-"))
    assert [(it["digest"], it["artifactType"]) for it in listed["manifests"]] == [(built["sbom"], "application/vnd.cyclonedx+json")]

    above = image("build", "--base", base, "--platform=linux/arm64", "--add=app:/more", "--to", f"{registry}/images/above:1")
    assert above["base"] == built["digest"]
    shown = image("inspect", f"{registry}/images/above:1")
    assert shown["digest"] == above["digest"]
    (only,) = shown["images"]
    assert only["platform"] == "linux/arm64"
    assert len(only["layers"]) == 2
    assert "LANG=C" in only["config"]["Env"]
    assert only["config"]["Labels"]["org.opencontainers.image.base.name"] == base

    # The same again is the same, and nothing new is stored.
    again = image("build", "--base", base, "--platform=linux/arm64", "--add=app:/more", "--to", f"{registry}/images/above:2")
    assert again["digest"] == above["digest"]
    assert [it["platform"] for it in image("inspect", base)["images"]] == ["linux/amd64", "linux/arm64"]


def test_what_is_not_there_is_told(image, registry):
    told = image("build", "--base", f"{registry}/images/none:1", "--to", f"{registry}/images/x:1", code=1)
    assert f"could not read the manifest of `images/none` at {registry}: not found (404)" in told
    assert "\nhint: " in told
