#!/usr/bin/env python3
"""
The clients of foreign.py, with all shipped rules loaded and on each QEMU at hand: qemu.qmp, its
shell, and go-qemu.  They know nothing of versions; what they say must come through as it is, and a
user of the shell may say what was gone with QEMU 6.0.

The environment: as history.py and foreign.py say.
"""

import os
import subprocess
import sys

from history import RULES, number, programs
import foreign
from qmplive import DEADLINE_S, Place, Tap, check_equal

tap = Tap()


def with_qemu(version, function, *arguments):
    kept, os.environ["QEMU"] = os.environ.get("QEMU"), programs()[version][0]
    try:
        function(*arguments)
    finally:
        del os.environ["QEMU"]
        if kept is not None:
            os.environ["QEMU"] = kept


def shell(path, lines):
    """What qmp-shell prints, given these lines."""
    foreign.import_qemu_qmp()
    ran = subprocess.run([sys.executable, "-B", "-m", "qemu.qmp.qmp_shell", "-v", path], input="".join(line + "\n" for line in lines),
                         env=dict(os.environ, PYTHONPATH=os.path.join(foreign.PEERS, "python"), HOME=os.path.dirname(path)),
                         capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    check_equal((ran.returncode, "Traceback" in ran.stderr), (0, False), ran.stderr[-1000:])
    return ran.stdout


def drive_shell(version):
    with Place() as place:
        qemu = place.qemu()
        lines = ["query-status", "query-cpus", "object-add qom-type=memory-backend-ram id=m0 props.size=1048576",
                 "qom-get path=/objects/m0 property=size", "no-such-command"]
        shim = place.shim(qemu.path, "--client-version", "5.2")
        said = shell(shim.path, lines)
        assert "Connected to QEMU %s" % version in said, said
        assert '"status": "prelaunch"' in said, said
        assert '"CPU": 0' in said, "query-cpus: " + said
        assert '"return": 1048576' in said, "object-add with props: " + said
        assert '"CommandNotFound"' in said, said
        said = shell(qemu.path, ["query-cpus"])
        assert '"CPU": 0' not in said, "the server gives it without the shim: nothing is proven"


def add(name, version, function, *arguments):
    tap.test("%s, all rules, QEMU %s" % (name, version))(lambda: with_qemu(version, function, *arguments))


for at_hand in programs():
    if number(at_hand) < number("7.2"):
        continue
    for client in ("2.12", "5.2", "11.1"):
        add("qemu.qmp as of %s" % client, at_hand, foreign.drive_qemu_qmp, ["--client-version", client])
        add("qemu.qmp, its synchronous face, as of %s" % client, at_hand, foreign.drive_qemu_qmp_legacy, ["--client-version", client])
        add("go-qemu as of %s" % client, at_hand, foreign.drive_goqemu, ["--client-version", client])
    add("qmp-shell as of 5.2", at_hand, drive_shell, at_hand)

if __name__ == "__main__":
    os.environ.setdefault("QMP_SHIM_RULES_PATH", os.path.abspath(RULES))
    sys.exit(tap.run())
