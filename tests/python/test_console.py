"""The console in a real browser that can reach nothing else."""

import subprocess


def browse(chromium, folder, *arguments):
    profile = f"--user-data-dir={folder / 'profile'}"
    # Containers run as root, and their /dev/shm is small.
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", profile]
    # No name but our own address resolves, so a page that needs another one shows it.
    offline = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
    command = [chromium, *flags, offline, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout


def test_the_first_page_shows_the_environments(bowline, chromium, tmp_path):
    page = browse(chromium, tmp_path, "--dump-dom", bowline.console)
    assert "dev" in page and "prod" in page
    assert "classify" in page


def test_the_first_page_can_be_seen(bowline, chromium, tmp_path):
    picture = tmp_path / "console.png"
    browse(chromium, tmp_path, f"--screenshot={picture}", "--window-size=1280,900", bowline.console)
    data = picture.read_bytes()
    assert data.startswith(b"\x89PNG") and len(data) > 10_000, "an empty page is smaller"
