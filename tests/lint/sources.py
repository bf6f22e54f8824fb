"""Makefile.am names every file, so that nothing is left out of the build or the tarball."""

import re

import lint

report = lint.Report()
words = set((lint.TOP / "Makefile.am").read_text().split())

KINDS = {
    "C files": ["src/*/*.[ch]"],
    "unit tests": ["tests/unit/*.[ch]"],
    "fuzz targets": ["tests/fuzz/*.[ch]"],
    "live tests": ["tests/live/*.py"],
    "lints": ["tests/lint/*.py"],
    "files that tests read": ["tests/cases/**/*", "tests/live/**/*", "tests/lint/*", "tests/unit/*"],
    "rule files": ["rules/*.jsonc"],
    "manual pages": ["man/*.[1-9]"],
    "scripts": ["scripts/*"],
    "unit files": ["systemd/*.service", "systemd/*.socket", "systemd/*.in"],
}

# by a build in the source tree, or by Python
MADE = re.compile(r"\.(?:o|log|trs|gcno|gcda)$|/\.|/__pycache__/")


def unnamed(patterns):
    for path in sorted(p for pattern in patterns for p in lint.TOP.glob(pattern) if p.is_file()):
        name = str(path.relative_to(lint.TOP))
        stem = name.removesuffix(".c")
        if MADE.search(name):
            continue
        # a test program is named without its suffix, which automake adds
        if name not in words and not (name.startswith("tests/") and stem in words):
            yield f"{name}: not in Makefile.am"


for kind, patterns in KINDS.items():
    report.state(f"{kind} are all in Makefile.am", list(unnamed(patterns)))
report.done()
