#!/usr/bin/env python3
"""
A shim in front of a server that runs: put there and taken away while clients connect all the
time, restored when its socket is removed, gone when the server is.
"""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading

from qmplive import DEADLINE_S, Missing, Qemu, Server, Tap, check_equal, is_listening, until

PROGRAM = os.path.abspath(os.environ.get("QMP_SHIM", "./qmp-shim"))
tap = Tap()
test = tap.in_place


def take_over(place, path, *more):
    """Return: the shim that has @path now."""
    shim = place.run([PROGRAM, "takeover", path, *(more or ["--no-rules"])], "takeover")

    def is_taken():
        if not shim.is_running():
            raise AssertionError("it ended with %s\n%s" % (shim.wait(), shim.said()))
        return is_listening(path + ".ctl") and 'msg="listening"' in shim.said()
    until(is_taken, "the shim to take over")
    until(shim.is_asleep, "the shim to finish its start")
    return shim


def undo(path, status=0):
    done = subprocess.run([PROGRAM, "takeover", "--undo", path], capture_output=True, text=True, check=False,
                          timeout=2 * DEADLINE_S)
    check_equal(done.returncode, status, done.stderr)
    return done.stderr


def left_behind(path):
    folder, name = os.path.split(path)
    return sorted(n for n in os.listdir(folder) if n.startswith(name) and not n.endswith(".log"))


def ask(place, path):
    """One command of a client of its own."""
    with place.client(path) as client:
        client.greet()
        return client.call("query-status")


class Loop(threading.Thread):
    """Clients, one after the other, as fast as they are served; each must have its greeting and its answer."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.path, self.is_over, self.n, self.failures = path, False, 0, []
        self.start()

    def run(self):
        while not self.is_over:
            try:
                self.once()
            except Exception as failure:
                self.failures.append(repr(failure))
            self.n += 1

    def once(self):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(DEADLINE_S)
            s.connect(self.path)
            with s.makefile("rb") as lines:
                assert b'"QMP"' in lines.readline(), "no greeting"
                s.send(b'{"execute": "qmp_capabilities"}\r\n')
                assert b'"return"' in lines.readline(), "no answer"

    def wait_more(self, n=20):
        until_n = self.n + n
        until(lambda: self.n >= until_n or self.failures, "%d more clients" % n)

    def end(self):
        self.is_over = True
        self.join()
        check_equal(self.failures, [], "clients that were refused, of %d" % self.n)


@test("no client of a real QEMU is refused while a shim is put in front and taken away, again and again")
def _(place):
    qemu = place.qemu()
    loops = [Loop(qemu.path) for _ in range(2)]
    for _ in range(5):
        loops[0].wait_more()
        shim = take_over(place, qemu.path)
        loops[0].wait_more()
        loops[1].wait_more()
        undo(qemu.path)
        loops[0].wait_more()
        check_equal(shim.wait(), 0, "the exit status\n" + shim.said())
    for loop in loops:
        loop.end()
    check_equal(left_behind(qemu.path), [os.path.basename(qemu.path)])
    ask(place, qemu.path)


@test("a client is behind the shim then, with its rules, and status tells so by the same path")
def _(place):
    qemu = place.qemu()
    take_over(place, qemu.path, "--rules", "read-only")
    with place.client(qemu.path) as client:
        client.greet()
        assert "error" in client.command("stop")
        done = subprocess.run([PROGRAM, "status", "--json", qemu.path], capture_output=True, text=True, check=True)
        check_equal([s["connect"] for s in json.loads(done.stdout)["sessions"]], [qemu.path + ".qemu"])
    undo(qemu.path)
    with place.client(qemu.path) as client:
        client.greet()
        assert "return" in client.command("stop")


@test("a session outlives the undo, and its end is the end of the shim")
def _(place):
    server = place.server()
    shim = take_over(place, server.path)
    client = place.client(server.path)
    peer = server.accept()
    peer.send(Server.GREETING)
    check_equal(client.read_line(), Server.GREETING)
    undo(server.path)
    direct = place.client(server.path)
    server.accept()
    peer.send(b'{"event": "X"}\r\n')
    check_equal(client.read_line(), b'{"event": "X"}\r\n')
    until(lambda: "draining" in shim.said(), "it to drain")
    client.close()
    peer.close()
    check_equal(shim.wait(), 0)
    direct.close()


@test("clients that are connected before the takeover stay with the server")
def _(place):
    qemu = place.qemu()
    with place.client(qemu.path) as client:
        client.greet()
        shim = take_over(place, qemu.path)
        client.call("query-status")
        waiting = place.client(qemu.path)  # for its turn: the server has one client at a time
        undo(qemu.path)
        client.call("query-status")
    waiting.greet()
    waiting.close()
    check_equal(shim.wait(), 0)


@test("the front has the mode that the server's socket has")
def _(place):
    server = place.server()
    os.chmod(server.path, 0o751)
    take_over(place, server.path)
    check_equal(stat.S_IMODE(os.stat(server.path).st_mode), 0o751)
    undo(server.path)


@test("a front socket that is removed while the server lives is put back, with its mode")
def _(place):
    qemu = place.qemu()
    os.chmod(qemu.path, 0o770)
    take_over(place, qemu.path)
    for _ in range(3):
        os.unlink(qemu.path)
        until(lambda: os.path.exists(qemu.path) and stat.S_IMODE(os.stat(qemu.path).st_mode) == 0o770,
              "the socket to come back")
        ask(place, qemu.path)
    undo(qemu.path)


@test("a QEMU that quits ends the shim, its client hears the last words, and nothing is left")
def _(place):
    qemu = place.qemu()
    shim = take_over(place, qemu.path)
    with place.client(qemu.path) as client:
        client.greet()
        client.send('{"execute": "quit"}\r\n')
        client.wait_event("SHUTDOWN")
        client.read_to_end()
    check_equal(qemu.wait(), 0)
    check_equal(shim.wait(), 0, shim.said())
    check_equal(left_behind(qemu.path), [])


@test("so does one that is killed, or quits with no client there")
def _(place):
    for number in (signal.SIGKILL, signal.SIGTERM):
        qemu = place.qemu()
        shim = take_over(place, qemu.path)
        qemu.signal(number)
        check_equal(shim.wait(), 0, shim.said())
        check_equal(left_behind(qemu.path), [])


@test("a new QEMU that starts on the path at once has it to itself, and can be taken over again")
def _(place):
    for _ in range(3):
        old = place.qemu()
        shim = take_over(place, old.path)
        old.signal(signal.SIGTERM)
        old.wait()
        new = AnotherQemu(place, old.path)
        check_equal(shim.wait(), 0, shim.said())
        ask(place, new.path)
        check_equal(left_behind(new.path), [os.path.basename(new.path)])
        again = take_over(place, new.path)
        ask(place, new.path)
        undo(new.path)
        check_equal(again.wait(), 0)
        new.kill()


class AnotherQemu(Qemu):
    """One at a path that is given."""

    def __init__(self, place, path):
        self.given = path
        super().__init__(Given(place, path), (), 1, "")


class Given:
    """A place whose next path is given."""

    def __init__(self, place, path):
        self.directory, self.processes, self.path = place.directory, place.processes, lambda name: path


@test("a shim that was killed is replaced by calling it again, or undone without it")
def _(place):
    qemu = place.qemu()
    for again in (True, False):
        take_over(place, qemu.path).kill()
        assert os.path.exists(qemu.path + ".qemu")
        if again:
            shim = take_over(place, qemu.path)
            ask(place, qemu.path)
        undo(qemu.path)
        ask(place, qemu.path)
        if again:
            check_equal(shim.wait(), 0)
        if os.path.exists(qemu.path + ".ctl"):
            os.unlink(qemu.path + ".ctl")
    check_equal(left_behind(qemu.path), [os.path.basename(qemu.path)])


@test("a server's socket that somebody moves back by hand is theirs again")
def _(place):
    qemu = place.qemu()
    shim = take_over(place, qemu.path)
    os.rename(qemu.path + ".qemu", qemu.path)
    check_equal(shim.wait(), 0, shim.said())
    check_equal(left_behind(qemu.path), [os.path.basename(qemu.path)])
    ask(place, qemu.path)


@test("what cannot be taken over or given back is left as it is, and told")
def _(place):
    nobody, file, dead = place.path("nobody"), place.path("file"), place.path("dead")
    with open(file, "w", encoding="ascii"):
        pass
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(dead)
    live = place.server()
    link = place.path("link")
    os.symlink(live.path, link)
    for path in (nobody, file, dead, link):
        check_refused(path, "nobody listens there")
    blocked = place.server()
    with open(blocked.path + ".qemu", "w", encoding="ascii"):
        pass
    check_refused(blocked.path, "something that is no socket")
    check_equal(undo(live.path, 1).count("it is not taken over"), 1)
    check_equal(undo(dead, 1).count("it is not taken over"), 1)
    take_over(place, live.path)
    check_refused(live.path, "it is taken over already")
    undo(live.path)


def check_refused(path, said, *more, **how):
    done = subprocess.run([PROGRAM, "takeover", "--no-rules", *more, path], capture_output=True, text=True, check=False,
                          timeout=DEADLINE_S, **how)
    check_equal((done.returncode, said in done.stderr), (1, True), done.stderr)


NO_EXCHANGE = r"""
#define _GNU_SOURCE
#include <errno.h>
int renameat2(int a, const char *b, int c, const char *d, unsigned int e) {
    (void)a, (void)b, (void)c, (void)d, (void)e;
    errno = EINVAL;
    return -1;
}
"""


@test("where names cannot be exchanged it says so, and --with-gap goes without")
def _(place):
    source, library = place.path("c") + ".c", place.path("so")
    with open(source, "w", encoding="ascii") as file:
        file.write(NO_EXCHANGE)
    try:
        subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
    except FileNotFoundError as error:
        raise Missing("cc is not here") from error
    qemu = place.qemu()
    env = dict(os.environ, LD_PRELOAD=library, ASAN_OPTIONS="verify_asan_link_order=0")
    check_refused(qemu.path, "cannot exchange two names at once", env=env)
    check_equal(left_behind(qemu.path), [os.path.basename(qemu.path)])
    shim = place.run([PROGRAM, "takeover", "--no-rules", "--with-gap", qemu.path], "takeover", env=env)
    shim.wait_listening(qemu.path + ".ctl")
    ask(place, qemu.path)
    undo(qemu.path)
    check_equal(shim.wait(), 0, shim.said())
    check_equal(left_behind(qemu.path), [os.path.basename(qemu.path)])


sys.exit(tap.run())
