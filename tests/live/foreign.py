#!/usr/bin/env python3
"""
Clients that nobody here wrote, as they are: qemu.qmp (asyncio, and its synchronous face) and go-qemu.

They are fetched by fetch-peers into the folder that QMP_SHIM_PEERS names (./peers).
"""

import asyncio
import os
import subprocess
import sys

from qmplive import DEADLINE_S, ME, Missing, Place, Tap, check_equal, is_same_file, rule_file

PEERS = os.path.abspath(os.environ.get("QMP_SHIM_PEERS", "./peers"))
RULES = "image-streaming-2011"

tap = Tap()


def import_qemu_qmp():
    sys.path.insert(0, os.path.join(PEERS, "python"))
    try:
        import qemu.qmp
        import qemu.qmp.legacy
    except ImportError as error:
        raise Missing("qemu.qmp is not in %s: run fetch-peers" % PEERS) from error
    return qemu.qmp


def goqemu():
    program = os.path.join(PEERS, "goqemu")
    if not os.path.exists(program):
        raise Missing("there is no %s: run fetch-peers" % program)
    return program


def a_file(place):
    path = place.path("file")
    with open(path, "w", encoding="ascii") as file:
        file.write("content")
    return path


def has(qemu, fd):
    """Has QEMU the same open file?"""
    return any(is_same_file(ME, fd, qemu.pid, int(n)) for n in os.listdir("/proc/%d/fd" % qemu.pid))


# --- qemu.qmp --------------------------------------------------------------------------------------

async def qemu_qmp_session(qmp, qemu, path, file):
    client = qmp.QMPClient("live")
    await client.connect(path)
    check_equal((await client.execute("query-status"))["running"], False)
    await qemu_qmp_events(client)
    await qemu_qmp_errors(qmp, client)
    await qemu_qmp_at_once(client)
    await qemu_qmp_fds(client, qemu, file)
    check_equal(len(await client.execute("query-qmp-schema")) > 500, True, "the schema came whole")
    await client.disconnect()


async def qemu_qmp_events(client):
    with client.listener(("STOP", "RESUME")) as listener:
        await client.execute("cont")
        check_equal((await listener.get())["event"], "RESUME")
        await client.execute("stop")
        check_equal((await listener.get())["event"], "STOP")


async def qemu_qmp_errors(qmp, client):
    try:
        await client.execute("no-such-command")
    except qmp.ExecuteError as error:
        check_equal(error.error_class, "CommandNotFound")
    else:
        raise AssertionError("no-such-command went well")


async def qemu_qmp_at_once(client):
    """Several commands under way, one of them out-of-band (which qemu.qmp always enables)."""
    replies = await asyncio.gather(*(client.execute("query-status") for _ in range(50)),
                                   client.execute("migrate-pause", oob=True), return_exceptions=True)
    check_equal([r["status"] for r in replies[:50]], [replies[0]["status"]] * 50)
    assert "postcopy" in str(replies[50]), "migrate-pause gave %r" % replies[50]


async def qemu_qmp_fds(client, qemu, file):
    client.send_fd_scm(file)
    await client.execute("getfd", {"fdname": "from-python"})
    assert has(qemu, file), "QEMU has not got the file"
    await client.execute("closefd", {"fdname": "from-python"})
    assert not has(qemu, file), "QEMU still has the file"
    client.send_fd_scm(file)
    fdset = await client.execute("add-fd", {"fdset-id": 3})
    assert is_same_file(ME, file, qemu.pid, fdset["fd"]), "QEMU has another file"
    await client.execute("cont")  # else QEMU does not close what is removed
    await client.execute("remove-fd", {"fdset-id": 3})
    await client.execute("stop")
    assert not has(qemu, file), "QEMU still has the file"


def drive_qemu_qmp(arguments):
    qmp = import_qemu_qmp()
    with Place() as place:
        qemu = place.qemu()
        shim = place.shim(qemu.path, *arguments)
        file = os.open(a_file(place), os.O_RDONLY)
        for _ in range(2):
            asyncio.run(asyncio.wait_for(qemu_qmp_session(qmp, qemu, shim.path, file), DEADLINE_S))
        os.close(file)


def drive_qemu_qmp_legacy(arguments):
    qmp = import_qemu_qmp()
    with Place() as place:
        qemu = place.qemu()
        shim = place.shim(qemu.path, *arguments)
        file = os.open(a_file(place), os.O_RDONLY)
        with qmp.legacy.QEMUMonitorProtocol(shim.path) as client:
            client.settimeout(DEADLINE_S)
            client.connect()
            check_equal(client.cmd("query-status")["running"], False)
            client.cmd("cont")
            check_equal(client.pull_event(wait=DEADLINE_S)["event"], "RESUME")
            client.cmd("stop")
            check_equal(client.pull_event(wait=DEADLINE_S)["event"], "STOP")
            client.send_fd_scm(file)
            client.cmd("getfd", fdname="from-python")
            assert has(qemu, file), "QEMU has not got the file"
        os.close(file)


# --- go-qemu ---------------------------------------------------------------------------------------

def drive_goqemu(arguments):
    program = goqemu()
    with Place() as place:
        qemu = place.qemu()
        shim = place.shim(qemu.path, *arguments)
        ran = subprocess.run([program, shim.path, a_file(place)], capture_output=True, text=True,
                             timeout=DEADLINE_S * 2, check=False)
        steps = ran.stdout.splitlines()
        check_equal((ran.returncode, ran.stderr), (0, ""), "it came to %s" % steps[-1:])
        check_equal([step.split()[0] for step in steps],
                    ["connected", "status", "error", "fd", "event", "event", "disconnected"])
        assert "[oob]" in steps[0], steps[0]
        assert "no-such-command" in steps[2], steps[2]


def add(name, drive):
    tap.test(name + ", no rules")(lambda: drive(["--no-rules"]))
    tap.test(name + ", rules")(lambda: drive(["--rules", rule_file(RULES)]))


add("qemu.qmp: status, events, errors, pipelining, out-of-band, fds, schema, twice", drive_qemu_qmp)
add("qemu.qmp, its synchronous face: status, events, fds", drive_qemu_qmp_legacy)
add("go-qemu: status, errors, fds, events", drive_goqemu)

if __name__ == "__main__":
    sys.exit(tap.run())
