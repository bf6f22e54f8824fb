"""systemd finds nothing to say about the units, as they are installed, and nothing much that they expose."""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import lint

EXPOSURE_MAX = 0.5  # of 10

report = lint.Report()


def analyze(*arguments):
    done = subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def write_units(folder):
    """The units as installed, but for the program's place: it must exist."""
    for path in sorted((lint.TOP / "systemd").glob("*@.*")):
        text = path.read_text().replace("@bindir@/qmp-shim", "/bin/true")
        if path.suffix == ".in" or path.suffix == ".socket":
            (folder / path.name.removesuffix(".in")).write_text(text)


def verify_findings(folder):
    # unknown keys are words on stderr and no failure
    status, _, said = analyze("verify", "--man=no", *sorted(map(str, folder.iterdir())))
    return said.splitlines() + ([f"exit status {status}"] if status else [])


def exposure_findings(folder):
    for path in folder.glob("*.service"):
        _, said, _ = analyze("security", "--offline=yes", "--no-pager", str(path))
        level = re.search(r"exposure level for .*: ([\d.]+)", said)
        if not level or float(level[1]) > EXPOSURE_MAX:
            yield f"{path.name}: {level[0] if level else said}"


def installed_findings(folder):
    """make install DESTDIR=…, then the same of the units that came of it."""
    done = subprocess.run(["make", "-s", "install", f"DESTDIR={folder}"], cwd=os.environ["top_builddir"],
                          capture_output=True, text=True, check=False,
                          env={k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")})
    if done.returncode:
        return (done.stdout + done.stderr).splitlines()
    units = list(folder.rglob("qmp-shim@.*"))
    units = [path for path in units if path.suffix in (".service", ".socket")]
    for path in units:  # the program is there, too, but below the folder
        path.write_text(re.sub(r"(?<==)/(?=\S*/qmp-shim )", f"{folder}/", path.read_text()))
    status, _, said = analyze("verify", "--man=no", *map(str, sorted(units)))
    return [] if len(units) == 2 and status == 0 and not said else [f"{len(units)} units, status {status}: {said}"]


with tempfile.TemporaryDirectory() as name:
    units = Path(name)
    write_units(units)
    for statement, findings in (
        ("systemd-analyze verify has nothing to say", verify_findings),
        (f"the services' exposure is at most {EXPOSURE_MAX}", exposure_findings),
    ):
        if shutil.which("systemd-analyze"):
            report.state(statement, list(findings(units)))
        else:
            report.skip(statement, "needs systemd-analyze (Debian: systemd)")
statement = "what make install DESTDIR=... installs verifies without a word"
if shutil.which("systemd-analyze") and "top_builddir" in os.environ:
    with tempfile.TemporaryDirectory() as name:
        report.state(statement, installed_findings(Path(name)))
else:
    report.skip(statement, "needs systemd-analyze (Debian: systemd), and a build folder")
report.done()
