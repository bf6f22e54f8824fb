"""The rules that the manual and README show pass the checker, and their examples play."""

import os
import re
import subprocess
import tempfile
from pathlib import Path

import lint

report = lint.Report()
PROGRAM = os.environ.get("QMP_SHIM", "./qmp-shim")
IN_PAGE = re.compile(r"^\.Bd -literal[^\n]*\n(.*?)^\.Ed", re.MULTILINE | re.DOTALL)
IN_README = re.compile(r"^```jsonc\n(.*?)^```", re.MULTILINE | re.DOTALL)
RULE = re.compile(r'\{\s*"name":')
FILE = re.compile(r'\{\s*"qmp-shim-rules":')


def rule_files():
    """(place, text of a rule file) of each that is shown, whole or as a rule."""
    page = lint.TOP / "man/qmp-shim-rules.5"
    readme = lint.TOP / "README.md"
    for path, pattern in [(page, IN_PAGE), (readme, IN_README)]:
        text = path.read_text()
        for m in pattern.finditer(text):
            shown = m[1].replace(r"\e", "\\").replace(r"\&", "")
            if RULE.match(shown):
                shown = f'{{"qmp-shim-rules": 1, "name": "shown", "rules": [\n{shown}]}}'
            if FILE.match(shown):
                yield lint.place(path, text, m.start(1)), shown


def faults(command, where, text):
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "shown.jsonc")
        path.write_text(text)
        done = subprocess.run([PROGRAM, command, path], capture_output=True, text=True, check=False)
    if done.returncode == 0 and not done.stderr:
        return []
    return [f"{where}: qmp-shim {command}:", *(done.stdout + done.stderr).splitlines()]


shown = list(rule_files())
for command in ["check", "test"]:
    all_faults = [fault for where, text in shown for fault in faults(command, where, text)]
    report.state(f"the rules that the documents show pass qmp-shim {command}", all_faults)
report.state("there are such rules", [] if len(shown) > 20 else [f"only {len(shown)} were found"])
report.done()
