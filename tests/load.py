#!/usr/bin/env python3
"""
What `qmp-shim check` says of rule files, to the letter.

Each folder beside this file, in load/, is a case: rules.jsonc, and in expect
all that is printed about it.  Without findings expect is empty and the exit
status 0, else it is 1.
"""

import os
import subprocess
import sys
from pathlib import Path

CASES = Path(__file__).resolve().parent / "load"
PROGRAM = os.path.abspath(os.environ.get("QMP_SHIM", "./qmp-shim"))


def shim(*arguments, cwd=None):
    return subprocess.run([PROGRAM, *map(str, arguments)], cwd=cwd, capture_output=True, timeout=20, check=False)


def faults_of(case):
    """What differs from what is expected, as lines."""
    expected = (case / "expect").read_bytes()
    done = shim("check", "rules.jsonc", cwd=case)
    if done.stdout != expected:
        yield "expected:"
        yield from expected.decode(errors="replace").splitlines()
        yield "printed:"
        yield from done.stdout.decode(errors="replace").splitlines()
    if done.stderr:
        yield "on stderr: " + done.stderr.decode(errors="replace")
    if done.returncode != (1 if expected else 0):
        yield f"exit status {done.returncode}"


def all_at_once(cases):
    """One run over all files finds what the single runs find, file by file."""
    done = shim("check", *(case / "rules.jsonc" for case in cases))
    alone = b"".join(shim("check", case / "rules.jsonc").stdout for case in cases)
    if done.stdout != alone:
        yield "the findings differ from those of single runs"
    if done.returncode != 1:
        yield f"exit status {done.returncode}"


def refused_by_run(cases):
    """What has an error is refused by `run` too, with the same words."""
    for case in cases:
        try:
            # the folder for the socket is not there, so that it ends whatever it thinks of the rules
            done = shim("run", "--listen", "none/l.sock", "--connect", "none/c.sock", "--rules", "./rules.jsonc", cwd=case)
        except subprocess.TimeoutExpired:
            yield f"{case.name}: it runs"
            continue
        if done.returncode != 1:
            yield f"{case.name}: exit status {done.returncode}"
        if (case / "expect").read_text(errors="replace").splitlines()[0].removeprefix("rules.jsonc") not in done.stderr.decode(
                errors="replace"):
            yield f"{case.name}: another finding: {done.stderr.decode(errors='replace')}"


def usage():
    for arguments, words in (
        ((), "is missing"),
        (("no-such-file.jsonc",), "no-such-file.jsonc"),
        (("--client", "both", "x.jsonc"), "--client"),
        (("--schema", "no-such-schema", CASES / "clean-worked-examples/rules.jsonc"), "no-such-schema"),
        (("--against", "no-such-socket", CASES / "clean-worked-examples/rules.jsonc"), "no-such-socket"),
        (("--schema", "a", "--against", "b", "x.jsonc"), "exclude"),
    ):
        done = shim("check", *arguments)
        if done.returncode != 2 or words not in done.stderr.decode() or done.stdout:
            yield f"{arguments}: exit status {done.returncode}, {done.stderr.decode()}"


def main():
    cases = sorted(path for path in CASES.iterdir() if (path / "rules.jsonc").exists())
    first = [case for case in cases if b": error: " in (case / "expect").read_bytes()]
    examples = "example-fails"  # which run does not play
    tests = [(case.name.replace("-", " "), faults_of(case)) for case in cases]
    some = [case for case in cases if not case.name.startswith("table-")]  # whose finding is about all files together
    tests.append(("all files are checked in one run, and their findings come file by file", all_at_once(some[::7])))
    tests.append(("run refuses what check finds to be an error", refused_by_run([case for case in first if case.name != examples])))
    tests.append(("what cannot be checked is said on stderr, with exit status 2", usage()))
    n_failed = 0
    print(f"1..{len(tests)}")
    for i, (name, faults) in enumerate(tests, 1):
        faults = list(faults)
        n_failed += bool(faults)
        print(f"{'not ok' if faults else 'ok'} {i} - {name}")
        for fault in faults:
            print("#", fault)
    sys.exit(1 if n_failed else 0)


if __name__ == "__main__":
    main()
