"""Plays the demo in a terminal of its own, and keeps what it shows there and in the console."""

import argparse
import codecs
import fcntl
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
import urllib.request
from pathlib import Path

from terminal import ESCAPE, Terminal, svg

COLUMNS, ROWS = 120, 50
# The longest time for the story, and the silence after which it is told.
STORY_SECONDS, QUIET_SECONDS = 240, 5
# The page down to its evidence; what follows is words.
PAGE = "1180,1245"
# Where a build leaves the program: the demo says what to type next with the path that it was started by.
BOWLINE = "target/release/bowline"
CONSOLE = re.compile(r"http://127\.0\.0\.1:\d+(?=\s|$)", re.MULTILINE)


class Demo:
    """A running demo in a pseudo-terminal."""

    def __init__(self, folder: Path) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        # A sequence may come in two pieces, so everything is kept and read as a whole.
        self._printed = ""
        process, main = pty.fork()
        if process == 0:
            os.environ.update(TERM="xterm-256color", COLUMNS=str(COLUMNS), LINES=str(ROWS))
            os.environ.pop("NO_COLOR", None)
            os.chdir(folder)
            os.execv(BOWLINE, [BOWLINE, "demo"])
        fcntl.ioctl(main, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        self.process, self._main = process, main

    def until_told(self) -> None:
        """Reads until the story is told: it says what to do next, and nothing more comes."""
        started = last = time.monotonic()
        while time.monotonic() - started < STORY_SECONDS:
            if self._read(0.5):
                last = time.monotonic()
            elif self._over():
                raise SystemExit(f"the demo ended before its story was told:\n{self.text()}")
            if time.monotonic() - last > QUIET_SECONDS and "rollout explain" in self.text():
                return
        raise SystemExit(f"the story was not told in {STORY_SECONDS} s:\n{self.text()}")

    def text(self) -> str:
        """Returns everything that was printed, in lines as long as they are."""
        return ESCAPE.sub("", self._printed).replace("\r\n", "\n")

    def draw(self) -> Terminal:
        """Returns the terminal with everything that was printed so far."""
        terminal = Terminal(COLUMNS)
        terminal.feed(self._printed)
        return terminal

    def stop(self) -> None:
        """Ends the demo as Ctrl-C does."""
        if not self._over():
            os.kill(self.process, signal.SIGINT)
            deadline = time.monotonic() + 30
            while not self._over() and time.monotonic() < deadline:
                self._read(0.2)
            if not self._over():
                os.kill(self.process, signal.SIGKILL)

    def _over(self) -> bool:
        if self.process < 0:
            return True
        finished, _ = os.waitpid(self.process, os.WNOHANG)
        if finished:
            self.process = -1
        return bool(finished)

    def _read(self, seconds: float) -> bool:
        ready, _, _ = select.select([self._main], [], [], seconds)
        if not ready:
            return False
        try:
            data = os.read(self._main, 65536)
        except OSError:  # The other side is closed.
            time.sleep(seconds)
            return False
        self._printed += self._decoder.decode(data)
        return bool(data)


def screenshot(browser: str, url: str, path: Path, dark: bool) -> None:
    """Takes a picture of a page."""
    with tempfile.TemporaryDirectory() as profile:
        scheme = "0" if dark else "1"
        options = ["--headless=new", "--disable-gpu", "--hide-scrollbars", "--no-first-run", f"--window-size={PAGE}"]
        options += ["--virtual-time-budget=3000", f"--blink-settings=preferredColorScheme={scheme}"]
        options += [f"--user-data-dir={profile}", f"--screenshot={path.resolve()}"]
        if os.geteuid() == 0:
            options.append("--no-sandbox")
        finished = subprocess.run([browser, *options, url], capture_output=True, text=True, timeout=120, check=False)
    if finished.returncode != 0 or not path.is_file():
        raise SystemExit(f"{browser} took no picture of {url}:\n{finished.stderr}")


def rolled_back(console: str) -> str:
    """Returns the page of the first rollout, the one of the story that is rolled back."""
    with urllib.request.urlopen(console, timeout=10) as answer:
        page = answer.read().decode()
    found = {(int(number), path) for path, number in re.findall(r'href="(/rollouts/[^"/]+/(\d+))"', page)}
    if not found:
        raise SystemExit(f"the console at {console} shows no rollout")
    return console + min(found)[1]


def main() -> None:
    """Makes the three pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bowline", type=Path, required=True)
    parser.add_argument("--browser", required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder, BOWLINE)
        program.parent.mkdir(parents=True)
        shutil.copy(arguments.bowline, program)
        play(Demo(Path(folder)), arguments.browser, arguments.out)
    print(f"made demo.svg, console.png and console-dark.png in {arguments.out}", file=sys.stderr)


def play(demo: Demo, browser: str, out: Path) -> None:
    """Keeps what a demo shows."""
    try:
        demo.until_told()
        # The gateway's address is printed too, with `/v1` behind it; the console's is the one that answers with a page.
        addresses = CONSOLE.findall(demo.text())
        if not addresses:
            raise SystemExit(f"the demo printed no address of a console:\n{demo.text()}")
        picture = svg(demo.draw(), "cargo run --release -- demo")
        page = rolled_back(addresses[-1])
        for name, dark in [("console.png", False), ("console-dark.png", True)]:
            screenshot(browser, page, out / name, dark)
    finally:
        demo.stop()
    (out / "demo.svg").write_text(picture, encoding="utf-8")


if __name__ == "__main__":
    main()
