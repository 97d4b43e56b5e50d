"""A small terminal: takes what a program prints and keeps the lines that stay; draws them as SVG."""

import re
from dataclasses import dataclass, field
from html import escape

CELL_WIDTH = 8.4
LINE_HEIGHT = 19
MARGIN = 18
BAR_HEIGHT = 34
BACKGROUND, FOREGROUND, DIM = "#161b22", "#d6dde6", "#8b96a5"
# The colours 30 to 37 and their bright forms, chosen to be told apart on the background.
COLOURS = ["#6e7681", "#ff7b72", "#56d364", "#e3b341", "#79c0ff", "#d2a8ff", "#56d4dd", "#d6dde6"]
ESCAPE = re.compile(r"\x1b(?:\[([?0-9;]*)([A-Za-z])|\][^\x07\x1b]*(?:\x07|\x1b\\)|[()][A-Z0-9]|[=>78])")


@dataclass(frozen=True)
class Style:
    """How a character looks."""

    colour: str | None = None
    bold: bool = False
    dim: bool = False


@dataclass
class Terminal:
    """The lines of a program that moves the cursor, with all that has scrolled away."""

    columns: int = 100
    lines: list[list[tuple[str, Style]]] = field(default_factory=lambda: [[]])
    row: int = 0
    column: int = 0
    wraps: bool = True
    style: Style = Style()

    def feed(self, text: str) -> None:
        """Takes text with its escape sequences; an incomplete one at the end is lost, so give it whole."""
        position = 0
        while position < len(text):
            match = ESCAPE.match(text, position)
            if match:
                if match.group(2):
                    self._control(match.group(1), match.group(2))
                position = match.end()
            else:
                self._put(text[position])
                position += 1

    def _put(self, character: str) -> None:
        if character == "\n":
            self._down()
        elif character == "\r":
            self.column = 0
        elif character >= " ":
            if self.column >= self.columns:
                if not self.wraps:
                    return
                self._down()
                self.column = 0
            line = self.lines[self.row]
            line.extend([(" ", Style())] * (self.column + 1 - len(line)))
            line[self.column] = (character, self.style)
            self.column += 1

    def _down(self) -> None:
        self.row += 1
        if self.row == len(self.lines):
            self.lines.append([])

    def _control(self, parameters: str, command: str) -> None:
        number = int(parameters) if parameters.isdigit() else 0
        if command == "m":
            for code in parameters.split(";"):
                self._look(int(code or 0))
        elif command == "A":
            self.row = max(0, self.row - max(1, number))
        elif command == "B":
            for _ in range(max(1, number)):
                self._down()
        elif command == "G":
            self.column = max(0, number - 1)
        elif command == "K":
            self.lines[self.row] = [] if number == 2 else self.lines[self.row][: self.column]
        elif command == "J":
            self.lines[self.row] = self.lines[self.row][: self.column]
            del self.lines[self.row + 1 :]
        elif parameters == "?7":
            self.wraps = command == "h"
        elif parameters != "?25":
            raise ValueError(f"the terminal does not know the sequence ESC [ {parameters} {command}")

    def _look(self, code: int) -> None:
        if code == 0:
            self.style = Style()
        elif code == 1:
            self.style = Style(self.style.colour, True, self.style.dim)
        elif code == 2:
            self.style = Style(self.style.colour, self.style.bold, True)
        elif code == 22:
            self.style = Style(self.style.colour)
        elif code == 39:
            self.style = Style(None, self.style.bold, self.style.dim)
        elif code % 10 < 8 and code // 10 in (3, 9):
            self.style = Style(COLOURS[code % 10], self.style.bold, self.style.dim)


def svg(terminal: Terminal, title: str) -> str:
    """Draws the lines of a terminal in a window."""
    lines = terminal.lines
    while lines and not "".join(character for character, _ in lines[-1]).strip():
        lines = lines[:-1]
    columns = max((len(line) for line in lines), default=0)
    width = round(columns * CELL_WIDTH + 2 * MARGIN)
    height = round(BAR_HEIGHT + len(lines) * LINE_HEIGHT + 2 * MARGIN)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{width}" height="{height}" rx="8" fill="{BACKGROUND}"/>',
    ]
    for index, colour in enumerate(["#ff5f57", "#febc2e", "#28c840"]):
        out.append(f'<circle cx="{MARGIN + 4 + index * 18}" cy="{BAR_HEIGHT / 2 + 3:g}" r="5.5" fill="{colour}"/>')
    middle = f'x="{width / 2:g}" y="{BAR_HEIGHT / 2 + 7:g}" text-anchor="middle" fill="{DIM}"'
    fonts = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', 'Liberation Mono', monospace"
    out.append(f'<g font-family="{fonts}" font-size="14" xml:space="preserve"><text {middle}>{escape(title)}</text>')
    for number, line in enumerate(lines):
        baseline = BAR_HEIGHT + MARGIN + number * LINE_HEIGHT + 11
        out.extend(_run(start, text, style, baseline) for start, text, style in _runs(line))
    out.append("</g></svg>")
    return "\n".join(out) + "\n"


def _runs(line: list[tuple[str, Style]]) -> list[tuple[int, str, Style]]:
    """Joins neighbours that look the same. A gap ends a run, so that what is aligned stays so in any font."""
    runs: list[tuple[int, str, Style]] = []
    for column, (character, style) in enumerate(line):
        if character == " " and column + 1 < len(line) and line[column + 1][0] == " ":
            continue
        joins = runs and runs[-1][2] == style and runs[-1][0] + len(runs[-1][1]) == column
        if joins:
            start, text, _ = runs[-1]
            runs[-1] = (start, text + character, style)
        elif character != " ":
            runs.append((column, character, style))
    return [(start, text.rstrip(), style) for start, text, style in runs]


def _run(start: int, text: str, style: Style, baseline: int) -> str:
    colour = style.colour or (DIM if style.dim else FOREGROUND)
    bold = ' font-weight="bold"' if style.bold else ""
    place = f'x="{MARGIN + start * CELL_WIDTH:.1f}" y="{baseline}" textLength="{len(text) * CELL_WIDTH:.1f}"'
    # The width is said, so that block characters of another font do not shift what follows.
    return f'<text {place} lengthAdjust="spacingAndGlyphs" fill="{colour}"{bold}>{escape(text)}</text>'
