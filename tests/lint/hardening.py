"""The program that was built is hardened as configure promises: PIE, RELRO, stack protector, fortify, landing pads."""

import os
import re
import shutil
import subprocess

import lint

report = lint.Report()
program = os.environ.get("QMP_SHIM", str(lint.TOP / "qmp-shim"))
STATEMENTS = ["it is position-independent", "its relocations are read-only from the start", "its stack is protected and not executable",
              "its copies are checked", "its functions begin with what a processor wants to find there, if it looks"]
LANDING = {"X86-64": b"\xf3\x0f\x1e\xfa", "AArch64": b"\x3f\x23\x03\xd5"}  # endbr64, paciasp


def readelf(*options):
    return subprocess.run(["readelf", "-W", *options, program], capture_output=True, text=True, check=True).stdout


def why_not():
    """Why nothing can be said here, or None."""
    if not shutil.which("readelf") or not os.path.exists(program):
        return "no readelf or no program"
    made = os.path.join(os.environ.get("top_builddir", "."), "config.log")
    flags = open(made, encoding="utf-8", errors="replace").read() if os.path.exists(made) else ""
    if re.search(r"\$ .*--(?:disable-hardening|enable-sanitize|enable-coverage)", flags):
        return "this build was configured otherwise"
    return None


def landing_faults(header):
    """The linker's note says so only if the C library was built that way, too; the code shows it."""
    mark = next((mark for machine, mark in LANDING.items() if machine in header), None)
    if mark is None:
        return []
    with open(program, "rb") as file:
        n = file.read().count(mark)
    return [] if n > 500 else [f"only {n} functions do"]


def report_all():
    header, segments, dynamic, symbols = readelf("-h"), readelf("-l"), readelf("-d"), readelf("--dyn-syms")
    faults = [
        [] if "DYN" in header else ["no PIE"],
        [] if "GNU_RELRO" in segments and re.search(r"BIND_NOW|\bNOW\b", dynamic) else ["no full RELRO"],
        ([] if "__stack_chk_fail" in symbols else ["no stack protector"])
        + ([] if re.search(r"GNU_STACK.* RW +", segments) else ["executable stack"]),
        [] if re.search(r"__\w+_chk\b(?<!__stack_chk)", symbols) else ["no fortified function"],
        landing_faults(header),
    ]
    for statement, found in zip(STATEMENTS, faults):
        report.state(statement, found)


reason = why_not()
if reason:
    for statement in STATEMENTS:
        report.skip(statement, reason) if os.environ.get("CI") != "true" else report.state(f"{statement} (not judged: {reason})", [])
else:
    report_all()
report.done()
