"""The binary starts and says who it is."""

import subprocess

from conftest import binary


def test_the_binary_says_its_version():
    printed = subprocess.run([binary(), "--version"], check=True, capture_output=True, text=True, timeout=10).stdout
    name, version = printed.split()
    assert name == "bowline"
    assert version[0].isdigit()
