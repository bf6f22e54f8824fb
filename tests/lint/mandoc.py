"""The manual pages are clean."""

import shutil
import subprocess

import lint

report = lint.Report()


def mandoc_findings(page):
    done = subprocess.run(
        ["mandoc", "-T", "lint", "-W", "warning", page], capture_output=True, text=True, check=False
    )
    return (done.stdout + done.stderr).splitlines()


for page in sorted((lint.TOP / "man").glob("*.[1-9]")):
    statement = f"mandoc finds no fault in {page.name}"
    if shutil.which("mandoc"):
        report.state(statement, mandoc_findings(page))
    else:
        report.skip(statement, "needs mandoc")
report.done()
