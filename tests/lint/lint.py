"""What the lints share: the sources, as text and as code, and a report in TAP.

A lint states what must hold, and gives the places where it does not.
"""

import os
import re
import sys
from pathlib import Path

TOP = Path(os.environ.get("top_srcdir", Path(__file__).resolve().parents[2]))
LAYERS = ["base", "json", "qmp", "rule", "conf", "proxy", "io", "cmd"]
PURE_LAYERS = LAYERS[: LAYERS.index("io")]


class Report:
    """Statements that hold or do not; done() ends the program."""

    def __init__(self):
        self.n = 0
        self.n_failed = 0

    def state(self, statement, faults):
        """It holds when `faults`, a list of lines, is empty."""
        self.n += 1
        for fault in faults:
            print(f"# {fault}")
        self.n_failed += bool(faults)
        print(f"{'not ok' if faults else 'ok'} {self.n} - {statement}")

    def skip(self, statement, why):
        """It cannot be judged here; where nothing may be skipped, that is a fault."""
        if os.environ.get("CI") == "true":
            self.state(statement, [why])
        else:
            self.n += 1
            print(f"ok {self.n} - {statement} # SKIP {why}")

    def done(self):
        print(f"1..{self.n}")
        sys.exit(1 if self.n_failed else 0)


def sources(*layers):
    """The paths of all C files in these layers, or in all."""
    return sorted(p for layer in layers or LAYERS for p in (TOP / "src" / layer).glob("*.[ch]"))


def place(path, text, at):
    """Path and line, as a compiler prints them, of an offset in a text."""
    return f"{path.relative_to(TOP)}:{text.count(chr(10), 0, at) + 1}"


_TOKEN = re.compile(r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])+'", re.DOTALL)


def _blank(text):
    return re.sub(r"[^\n]", " ", text)


def without_comments(text):
    """The same text, each comment replaced by blanks: offsets stay."""
    return _TOKEN.sub(lambda m: _blank(m[0]) if m[0].startswith("/") else m[0], text)


def without_strings(text):
    """The same text, comments and what stands in quotes replaced by blanks."""
    return _TOKEN.sub(lambda m: _blank(m[0]), text)
