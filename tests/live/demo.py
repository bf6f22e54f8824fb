#!/usr/bin/env python3
"""
The demonstration shows what it says: an old client is served by the shim and
would not be without it.
"""

import os
import subprocess
import sys

import qmplive

DEMO = os.path.join(qmplive.HERE, "..", "..", "scripts", "demo.py")
tap = qmplive.Tap()


def demo(*arguments):
    if not qmplive.shutil.which("qemu-img"):
        raise qmplive.Missing("qemu-img is not installed")
    program = os.path.abspath(os.environ.get("QMP_SHIM", "./qmp-shim"))
    environment = dict(os.environ, COLUMNS="160")
    return subprocess.run([sys.executable, "-B", DEMO, "--shim", program, *arguments], env=environment,
                          capture_output=True, text=True, timeout=120, check=False)


@tap.test("the demonstration's client hears all that it was promised")
def _():
    done = demo()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "changed on the way" in done.stdout


@tap.test("the same client is refused when there is no shim")
def _():
    done = demo("--without-shim")
    assert done.returncode == 1 and "CommandNotFound" in done.stdout, done.stdout + done.stderr


@tap.test("no line of the demonstration is wider than the terminal")
def _():
    done = demo("--without-shim")
    qmplive.check_equal([line for line in done.stdout.splitlines() if len(line) > 160], [])


if __name__ == "__main__":
    sys.exit(tap.run())
