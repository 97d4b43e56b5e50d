"""What the tests from outside share: the built binary and a browser. `cargo xtask test --full` runs them."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def bowline() -> Path:
    """The built `bowline`, from BOWLINE_BIN."""
    return Path(os.environ["BOWLINE_BIN"])


@pytest.fixture(scope="session")
def chromium() -> Path:
    """A headless-capable Chromium, from BOWLINE_CHROMIUM. `cargo xtask test --full` says so where there is none, and fails on CI."""
    path = os.environ.get("BOWLINE_CHROMIUM")
    if not path:
        pytest.skip("there is no Chromium")
    return Path(path)
