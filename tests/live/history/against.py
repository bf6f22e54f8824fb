#!/usr/bin/env python3
"""
"qmp-shim check --against" a server of each version at hand: of all shipped rule files, read for an
old client and for a new one, nothing names what that server has not got.

The environment: as history.py says.
"""

import os
import subprocess
import sys

from history import RULES, Machines, programs
from qmplive import DEADLINE_S, Place, Tap, check_equal

PROGRAM = os.path.abspath(os.environ.get("QMP_SHIM", "./qmp-shim"))
tap, machines = Tap(), Machines()


def check(path, *options):
    files = sorted(os.path.join(RULES, name) for name in os.listdir(RULES) if name.endswith(".jsonc"))
    return subprocess.run([PROGRAM, "check", "--against", path, *options, *files], capture_output=True, text=True,
                          timeout=DEADLINE_S, check=False)


def find_nothing(version, client):
    done = check(machines.shared(version).path, "--client", client)
    check_equal((done.returncode, done.stdout), (0, ""), done.stderr)


def find_what_is_wrong(version):
    with Place() as place:
        path = place.path("wrong.jsonc")
        with open(path, "w", encoding="utf-8") as file:
            file.write('{"qmp-shim-rules": 1, "name": "wrong", "rules": [{"name": "r", "for": "old-client",'
                       ' "old": {"execute": "halt"}, "new": {"execute": "sotp"}}]}')
        done = check(machines.shared(version).path, path)
    assert 'the server has no command "sotp"' in done.stdout and 'did you mean "stop"?' in done.stdout, done.stdout


for at_hand in programs():
    for kind in ("old", "new"):
        tap.test("QEMU %s has all that the rules expect of it, for a client that is %s" % (at_hand, kind))(
            lambda v=at_hand, k=kind: find_nothing(v, k))
    tap.test("QEMU %s has not what is mistyped" % at_hand)(lambda v=at_hand: find_what_is_wrong(v))

if __name__ == "__main__":
    try:
        status = tap.run()
    finally:
        machines.close()
    sys.exit(status)
