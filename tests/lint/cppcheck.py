"""cppcheck has nothing to say, but for what is known to be wrong of it."""

import shutil
import subprocess

import lint

STATEMENT = "cppcheck finds no fault"
report = lint.Report()


def findings():
    done = subprocess.run(
        ["cppcheck", "--quiet", "-j2", "--std=c11", "--enable=warning,portability,performance", "-D_GNU_SOURCE",
         "--template={file}:{line}: {message} [{id}]", "--template-location=", "-I", lint.TOP / "src",
         f"--suppressions-list={lint.TOP / 'tests/lint/cppcheck-suppressions'}", lint.TOP / "src"],
        capture_output=True, text=True, check=True)
    return [line for line in done.stderr.splitlines() if line.strip()]


if shutil.which("cppcheck"):
    report.state(STATEMENT, findings())
else:
    report.skip(STATEMENT, "cppcheck is not installed")
report.done()
