#!/usr/bin/env python3
"""
`qmp-shim keep`: where no systemd keeps a shim's connections, it does.  The shim is killed in
mid-command and often, and neither side notices.
"""

import os
import signal
import socket
import subprocess
import sys
import threading

from qmplive import DEADLINE_S, Server, Tap, check_equal, is_listening, until

PROGRAM = os.path.abspath(os.environ.get("QMP_SHIM", "./qmp-shim"))
tap = Tap()
test = tap.in_place


class Kept:
    """A shim under its keeper."""

    def __init__(self, place, connect, *more, command="run"):
        self.path = place.path("front") if command == "run" else connect
        words = ["--listen", self.path, "--connect", connect] if command == "run" else [connect]
        self.keeper = place.run([PROGRAM, "keep", command, *words, *(more or ["--no-rules"])], "keep")
        until(lambda: 'msg="listening"' in self.keeper.said() or not self.keeper.is_running(), "the shim to listen")

    def pid(self):
        """The shim's; 0: there is none just now."""
        with open("/proc/%d/task/%d/children" % (self.keeper.pid, self.keeper.pid), encoding="ascii") as file:
            return int((file.read().split() or [0])[0])

    def kill(self, number=signal.SIGKILL):
        pid = until(self.pid, "a shim")
        os.kill(pid, number)
        return pid

    def wait_next(self, pid):
        until(lambda: self.pid() not in (0, pid), "the next shim")

    def end(self):
        self.keeper.signal(signal.SIGTERM)
        check_equal(self.keeper.wait(), 0, self.keeper.said())


def session(place, path, server):
    client = place.client(path)
    peer = server.accept()
    peer.send(Server.GREETING)
    check_equal(client.read_line(), Server.GREETING)
    return client, peer


@test("killed in mid-command, by whatever signal: the session goes on, each byte comes once and in order")
def _(place):
    server = place.server()
    kept = Kept(place, server.path)
    client, peer = session(place, kept.path, server)
    for n, number in enumerate((signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT, signal.SIGTERM)):
        client.send(b'{"execute": "a", "id": %d}\r\n{"execute": "b"' % n)
        check_equal(peer.read_line(), b'{"execute": "a", "id": %d}\r\n' % n)
        client.wait_read()
        pid = kept.kill(number)
        peer.send(b'{"event": "E"}\r\n{"return": {}, "id": %d}\r\n{"retu' % n)
        client.send(b', "id": "x"}\r\n')
        check_equal(client.read_line(), b'{"event": "E"}\r\n')
        check_equal(client.read_line(), b'{"return": {}, "id": %d}\r\n' % n)
        check_equal(peer.read_line(), b'{"execute": "b", "id": "x"}\r\n')
        peer.send(b'rn": {}, "id": "x"}\r\n')
        check_equal(client.read_line(), b'{"return": {}, "id": "x"}\r\n')
        kept.wait_next(pid)
    other, _ = session(place, kept.path, server)
    kept.end()
    check_equal((client.read_to_end(), other.read_to_end(), peer.read_to_end()), (b"", b"", b""))
    assert not os.path.exists(kept.path)


@test("15 kills under 400 commands to a real QEMU: each is answered once")
def _(place):
    qemu = place.qemu()
    kept = Kept(place, qemu.path)
    client = place.client(kept.path).greet()
    kills = []

    def kill_often():
        pid = 0
        for _ in range(15):
            kept.wait_next(pid)
            pid = kept.kill()
            kills.append(pid)

    killer = threading.Thread(target=kill_often, daemon=True)
    killer.start()
    n = 0
    while n < 400 or killer.is_alive():
        reply = client.command("query-status", id=n)
        assert "return" in reply and reply["id"] == n, reply
        n += 1
    check_equal(len(kills), 15)
    kept.wait_next(kills[-1])
    client.close()
    kept.end()


@test("a session that ends leaves nothing in the keeper")
def _(place):
    server = place.server()
    kept = Kept(place, server.path)
    until(kept.keeper.is_asleep, "the keeper to rest")
    before = kept.keeper.fds()
    for _ in range(3):
        client, peer = session(place, kept.path, server)
        until(lambda: len(kept.keeper.fds()) > len(before), "the keeper to have its connections")
        client.close()
        peer.close()
        until(lambda: len(kept.keeper.fds()) == len(before), "the keeper to close them")
    kept.end()


@test("a shim that cannot start, or ends of itself, is the keeper's end, with its status")
def _(place):
    for words, status in ((["run", "--listen", place.path("a")], 2), (["run", "--wrong"], 2),
                          (["run", "--listen", "/nowhere/x", "--connect", "x", "--no-rules"], 1),
                          (["takeover", place.path("nobody")], 1), (["status"], 2), ([], 2), (["--help"], 0)):
        done = subprocess.run([PROGRAM, "keep", *words], capture_output=True, text=True, check=False, timeout=DEADLINE_S)
        check_equal(done.returncode, status, done.stderr)


@test("nobody else can put anything into the keeper")
def _(place):
    server = place.server()
    kept = Kept(place, server.path)
    with open("/proc/net/unix", encoding="utf-8") as table:
        names = {line.split()[-1] for line in table if "@qmp-shim-" in line and line.split()[5] == "01"}
    before = kept.keeper.fds()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        for name in names:
            s.connect("\0" + name[1:])
            socket.send_fds(s, [b"FDSTORE=1\nFDNAME=client-9"], [0])
    client, peer = session(place, kept.path, server)
    kept.wait_next(kept.kill())
    client.send(b'{"execute": "x"}\r\n')
    check_equal(peer.read_line(), b'{"execute": "x"}\r\n')
    client.close()
    peer.close()
    until(lambda: len(kept.keeper.fds()) == len(before), "the keeper to have what it had")
    kept.end()


@test("a takeover that is killed goes on, and is undone when told")
def _(place):
    qemu = place.qemu()
    kept = Kept(place, qemu.path, command="takeover")
    with place.client(qemu.path).greet() as client:
        for _ in range(3):
            kept.wait_next(kept.kill())
            client.call("query-status")
        until(lambda: is_listening(qemu.path + ".ctl"), "the control socket")
        done = subprocess.run([PROGRAM, "takeover", "--undo", qemu.path], capture_output=True, text=True, check=False,
                              timeout=DEADLINE_S)
        check_equal(done.returncode, 0, done.stderr)
        client.call("query-status")
    check_equal(kept.keeper.wait(), 0, kept.keeper.said())
    with place.client(qemu.path) as client:
        client.greet()


@test("all guests of a host outlive their shim")
def _(place):
    front, back = place.path("front"), place.path("back")
    os.mkdir(front)
    os.mkdir(back)
    servers = {name: place.keep(Server(os.path.join(back, name))) for name in "abc"}
    keeper = place.run([PROGRAM, "keep", "run", "--no-rules", "--dir", front, "--upstream-dir", back], "keep")
    until(lambda: len(os.listdir(front)) == 3, "the sockets in front")
    kept = Kept.__new__(Kept)
    kept.keeper = keeper
    sessions = [session(place, os.path.join(front, name), server) for name, server in servers.items()]
    for _ in range(3):
        kept.wait_next(kept.kill())
        for client, peer in sessions:
            client.send(b'{"execute": "x"}\r\n')
            check_equal(peer.read_line(), b'{"execute": "x"}\r\n')
    kept.end()


sys.exit(tap.run())
