#!/usr/bin/env python3
"""
The shim and a service manager: ready, status, reload, watchdog, stop, and inherited
sockets, with a manager of our own.
"""

import os
import signal
import socket
import sys
import time

from manager import Notified, Service, becomes, listening, rename, renaming, session, write
from qmplive import Client, Tap, check_equal, is_listening

tap = Tap()
test = tap.in_place


def start(place, *arguments, is_abstract=False, **environment):
    """A shim before a scripted server.  Return: it, what it tells, the server."""
    notified, server, path = Notified(place, is_abstract), place.server(), place.path("front")
    rules = arguments or ("--no-rules",)
    shim = Service(place, ["--listen", path, "--connect", server.path, *rules], path=path,
                   NOTIFY_SOCKET=notified.name, **environment)
    return shim, notified, server


# --- notify --------------------------------------------------------------------------------------

@test("READY=1 comes once clients can connect, and the status with it")
def _(place):
    shim, notified, _ = start(place)
    check_equal(notified.read("READY"), "1")
    assert is_listening(shim.path), "ready, and not listening"
    check_equal(notified.read("STATUS"), "0 sessions, 0 messages, 0 rewritten, 0 failed")


@test("an abstract NOTIFY_SOCKET is told the same")
def _(place):
    _, notified, _ = start(place, is_abstract=True)
    check_equal(notified.read("READY"), "1")


@test("a NOTIFY_SOCKET that nobody reads, or that is no address, does no harm")
def _(place):
    for name in (place.path("nobody"), "nonsense", "@" + "x" * 200, ""):
        server, path = place.server(), place.path("front")
        shim = Service(place, ["--listen", path, "--connect", server.path], path=path, NOTIFY_SOCKET=name)
        shim.wait_listening(path)
        session(place, path, server)


@test("the status counts sessions, messages and what was rewritten, at most once a second")
def _(place):
    shim, notified, server = start(place, "--rules", renaming(place, "new-name"))
    notified.read("READY")
    client, peer = session(place, shim.path, server)
    for _ in range(50):
        check_equal(becomes(client, peer), "new-name")
    notified.read("STATUS", lambda s: s.startswith("1 session, 103 messages, 50 rewritten, 0 failed"))
    client.close()
    peer.close()
    notified.read("STATUS", lambda s: s.startswith("0 sessions, 103 messages"))
    times = [at for at, name, _ in notified.said if name == "STATUS"]
    assert len(times) <= 2 + (times[-1] - times[0]) / 0.9, "too often: %s" % notified.said


@test("a rhythm of WATCHDOG=1, at half the time that the manager waits")
def _(place):
    _, notified, _ = start(place, WATCHDOG_USEC=400000, WATCHDOG_PID="own")
    for _ in range(4):
        notified.read("WATCHDOG")
    times = [at for at, name, _ in notified.said if name == "WATCHDOG"]
    assert times[3] - times[0] >= 0.3, "faster than it must be: %s" % times


@test("no WATCHDOG=1 when nobody waits for it, or somebody waits for it of another process")
def _(place):
    for environment in ({}, {"WATCHDOG_USEC": 1000, "WATCHDOG_PID": 1}):
        shim, notified, server = start(place, **environment)
        notified.read("READY")
        session(place, shim.path, server)
        notified.read("STATUS", lambda s: s.startswith("1 session"))
        assert not any(name == "WATCHDOG" for _, name, _ in notified.said), notified.said


@test("STOPPING=1 comes at the end")
def _(place):
    shim, notified, _ = start(place)
    notified.read("READY")
    shim.signal(signal.SIGTERM)
    check_equal(notified.read("STOPPING"), "1")
    check_equal(shim.wait(), 0)


# --- reload --------------------------------------------------------------------------------------

def reload(shim, notified):
    """Until the shim says that it is done."""
    begin = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    shim.signal(signal.SIGHUP)
    at = int(notified.read("MONOTONIC_USEC"))
    assert ("RELOADING", "1") in [(name, value) for _, name, value in notified.said], notified.said
    assert begin <= at <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000, "at %d" % at
    check_equal(notified.read("READY"), "1")


@test("SIGHUP: a new session has the new rules, one under way keeps those it began with")
def _(place):
    rules = renaming(place, "first-name")
    shim, notified, server = start(place, "--rules", rules)
    notified.read("READY")
    old = session(place, shim.path, server)
    check_equal(becomes(*old), "first-name")
    rename(rules, "second-name")
    reload(shim, notified)
    new = session(place, shim.path, server)
    check_equal(becomes(*new), "second-name")
    check_equal(becomes(*old), "first-name")


@test("SIGHUP with a rule file that is wrong: the old rules stay, the status and the log say so")
def _(place):
    rules = renaming(place, "first-name")
    shim, notified, server = start(place, "--rules", rules)
    notified.read("READY")
    write(rules, '{"qmp-shim-rules": 1, "name": "renaming", "ruels": []}')
    reload(shim, notified)
    notified.read("STATUS", lambda s: s.endswith("the last reload failed, the rules are the old ones"))
    assert '1:43: error: unknown key "ruels"' in shim.said(), shim.said()
    assert 'level=error msg="reload failed, the rules stay as they were"' in shim.said(), shim.said()
    check_equal(becomes(*session(place, shim.path, server)), "first-name")
    rename(rules, "second-name")
    reload(shim, notified)
    notified.read("STATUS", lambda s: "reload" not in s)
    check_equal(becomes(*session(place, shim.path, server)), "second-name")


@test("SIGHUP reads the configuration again, too; one that is wrong changes nothing")
def _(place):
    first, second = renaming(place, "first-name"), renaming(place, "second-name")
    config = place.path("config")
    write(config, '{"qmp-shim-config": 1, "rules": ["%s"]}' % first)
    shim, notified, server = start(place, "--config", config)
    notified.read("READY")
    check_equal(becomes(*session(place, shim.path, server)), "first-name")
    for text in ('{"qmp-shim-config": 1, "rules": ["%s"], "allow-uid": ["no such user"]}' % second,
                 '{"qmp-shim-config": 1, "rules": ["%s"], "drain": 1}' % second, "", "[]"):
        write(config, text)
        reload(shim, notified)
        check_equal(becomes(*session(place, shim.path, server)), "first-name")
    write(config, '{"qmp-shim-config": 1, "rules": ["%s"], "socket-mode": "0666"}' % second)
    reload(shim, notified)
    check_equal(becomes(*session(place, shim.path, server)), "second-name")
    assert "they need a restart" in shim.said(), shim.said()


# --- inherited sockets ---------------------------------------------------------------------------

def activated(place, fds, names, *arguments, **environment):
    notified, server = Notified(place), place.server()
    shim = Service(place, ["--connect", server.path, *arguments], fds=[s.fileno() for s in fds],
                   NOTIFY_SOCKET=notified.name, LISTEN_FDNAMES=names, **environment)
    return shim, notified, server


@test("an inherited socket: who connected before the start is served, and the name stays at the end")
def _(place):
    front, path = listening(place)
    early = place.client(path)
    shim, _, server = activated(place, [front], "client")
    server.accept().send(server.GREETING)
    check_equal(early.read_line(), server.GREETING)
    early.close()
    session(place, path, server)
    shim.signal(signal.SIGTERM)
    check_equal(shim.wait(), 0)
    assert os.path.exists(path), "it removed what it did not make"
    late = Client(path)  # the manager's socket still listens, for the next shim
    late.close()


@test("two inherited sockets lead to the same server; one named control tells the status")
def _(place):
    fronts = [listening(place) for _ in range(3)]
    _, notified, server = activated(place, [front for front, _ in fronts], "client:control:")
    notified.read("READY")
    for index in (0, 2):
        session(place, fronts[index][1], server)
    status = place.client(fronts[1][1]).read_to_end()
    assert status.startswith(b'{"version": '), status


@test("inherited fds that nobody can connect to are closed, with a warning")
def _(place):
    front, path = listening(place)
    datagrams = place.keep(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
    file = place.keep(open(place.path("file"), "wb"))  # pylint: disable=consider-using-with
    shim, notified, server = activated(place, [datagrams, front, file], "a:b:c")
    notified.read("READY")
    session(place, path, server)
    assert "inherited file descriptors were closed" in shim.said(), shim.said()
    assert not any(fd.startswith(place.directory + "/file") for fd in shim.fds()), shim.fds()


@test("the environment for another process is no business of the shim's")
def _(place):
    front, _ = listening(place)
    shim, _, _ = activated(place, [front], "client", LISTEN_PID=1)
    check_equal(shim.wait(), 2)
    assert "--listen PATH is missing" in shim.said(), shim.said()
    place.processes.remove(shim)  # it was not to end well


if __name__ == "__main__":
    sys.exit(tap.run())
