#!/usr/bin/env python3
"""
File descriptors of every kind come out of the shim with the message they went in with.

Twice over: a real QEMU takes them with getfd and add-fd, and its /proc shows what it got; and a
scripted server that reads byte by byte sees with which byte each came, and sends them back.
"""

import fcntl
import functools
import json
import os
import select
import signal
import socket
import struct
import sys

from qmplive import LIBC, MAX_FDS, ME, Place, Server, Tap, check_equal, is_same_file, until

TUNSETIFF, IFF_TAP_NO_PI = 0x400454ca, 0x1002
COMMAND = b'{"execute":"getfd","arguments":{"fdname":"x"}}\r\n'
PLAIN = b'{"execute":"query-name"}\r\n'
REPLY = b'{"return": {}}\r\n'

tap = Tap()


# --- kinds of fd ---------------------------------------------------------------------------------

def a_file(place):
    path = place.path("file")
    with open(path, "w", encoding="ascii") as file:
        file.write("content")
    return path


def tcp_listening():
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen(1)
    return listening.detach()


def one_of(pair, which):
    """One end; the other is closed."""
    os.close(pair[1 - which])
    return pair[which]


def socket_ends(kind):
    return [end.detach() for end in socket.socketpair(socket.AF_UNIX, kind)]


def tap_device():
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", b"qmplive%d", IFF_TAP_NO_PI))
    except OSError:
        os.close(fd)
        raise
    return fd


KINDS = {
    "regular file": lambda place: os.open(a_file(place), os.O_RDWR),
    "file opened with O_PATH": lambda place: os.open(a_file(place), os.O_PATH),
    "deleted file": lambda place: deleted(a_file(place)),
    "directory": lambda place: os.open(place.directory, os.O_RDONLY | os.O_DIRECTORY),
    "/dev/null": lambda place: os.open("/dev/null", os.O_RDWR),
    "pipe, read end": lambda place: one_of(os.pipe(), 0),
    "pipe, write end": lambda place: one_of(os.pipe(), 1),
    "unix stream socket": lambda place: one_of(socket_ends(socket.SOCK_STREAM), 0),
    "unix datagram socket": lambda place: one_of(socket_ends(socket.SOCK_DGRAM), 0),
    "udp socket": lambda place: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).detach(),
    "tcp socket, listening": lambda place: tcp_listening(),
    "eventfd": lambda place: os.eventfd(0),
    "memfd": lambda place: os.memfd_create("qmplive"),
    "epoll": lambda place: LIBC.epoll_create1(0),
    "pidfd": lambda place: os.pidfd_open(ME),
    "pseudo-terminal": lambda place: one_of(os.openpty(), 0),
    "tap": lambda place: tap_device(),
    "/dev/kvm": lambda place: os.open("/dev/kvm", os.O_RDWR),
}
MAY_BE_FORBIDDEN = {"tap", "/dev/kvm"}
NOT_FOR_QEMU = {"file opened with O_PATH"}  # most versions abort: they set flags on what they receive


def deleted(path):
    fd = os.open(path, os.O_RDWR)
    os.unlink(path)
    return fd


def open_kind(place, kind):
    """Return: an fd, or None when this machine does not allow this kind, which is said."""
    try:
        return KINDS[kind](place)
    except OSError as error:
        if kind not in MAY_BE_FORBIDDEN:
            raise
        print("# %s is not allowed on this machine: %s" % (kind, error.strerror))
        return None


def fds_without_session(shim):
    """How many it has when the only socket is the one on which it listens."""
    until(lambda: sum("socket:" in fd for fd in shim.fds()) == 1, "the shim to close both connections")
    return len(shim.fds())


# --- a real QEMU ---------------------------------------------------------------------------------

class QemuStage:
    def __init__(self, place):
        self.place = place
        self.qemu = place.qemu()
        self.shim = place.shim(self.qemu.path)
        self.client = None
        self.session().close()
        self.n_fds = fds_without_session(self.shim)

    def session(self, *capabilities):
        if self.client:
            self.client.close()  # a test that failed left it
        self.client = self.place.client(self.shim.path).greet(*capabilities)
        return self.client

    def has(self, fd):
        """Which of QEMU's fds is the same open file as ours?"""
        return [int(n) for n in os.listdir("/proc/%d/fd" % self.qemu.pid)
                if is_same_file(ME, fd, self.qemu.pid, int(n))]


def qemu_takes(stage, kind):
    fd = open_kind(stage.place, kind)
    if fd is None:
        return
    client = stage.session()
    client.call("getfd", [fd], fdname="it")
    assert len(stage.has(fd)) == 1, "getfd: QEMU has another file"
    client.call("closefd", fdname="it")
    assert not stage.has(fd), "closefd: QEMU still has it"

    added = client.call("add-fd", [fd], fdset_id=7, opaque=kind)
    check_equal(stage.has(fd), [added["fd"]], "add-fd: which fd QEMU has")
    check_equal(client.call("query-fdsets"),
                [{"fdset-id": 7, "fds": [{"fd": added["fd"], "opaque": kind}]}], "query-fdsets")
    client.call("cont")  # else QEMU does not close what is removed
    client.call("remove-fd", fdset_id=7)
    client.call("stop")
    assert not stage.has(fd), "remove-fd: QEMU still has it"
    client.close()
    os.close(fd)


def files(place, n):
    return [os.open(a_file(place), os.O_RDWR) for _ in range(n)]


def close_all(fds):
    for fd in fds:
        os.close(fd)


def pipelined_add_fd(stage, capabilities, end, opaque=""):
    """Several add-fd, each with its own fd, while QEMU is busy: who gets which?"""
    fds = files(stage.place, 4)
    client = stage.session(*capabilities)
    client.send('{"execute":"query-qmp-schema"}' * 2)
    for i, fd in enumerate(fds):
        command = {"execute": "add-fd", "arguments": {"fdset-id": 10 + i, "opaque": opaque}, "id": i}
        client.send(json.dumps(command) + end, [fd])
    replies = [client.read_reply(), client.read_reply()] + [client.read_reply() for _ in fds]
    got = {reply["id"]: reply.get("return") for reply in replies if "id" in reply}
    for i, fd in enumerate(fds):
        assert got[i], "add-fd %d failed: %s" % (i, [r for r in replies if r.get("id") == i])
        assert is_same_file(ME, fd, stage.qemu.pid, got[i]["fd"]), "add-fd %d got the fd of another" % i
        client.call("remove-fd", fdset_id=10 + i)
    client.close()
    close_all(fds)


def fd_then_others(stage, between):
    """QEMU keeps an fd through commands that do not want it."""
    fd, = files(stage.place, 1)
    client = stage.session()
    client.send(between, [fd])
    for _ in range(between.count(b"execute")):
        check_equal(client.read_reply(), {"return": {}})
    client.call("getfd", fdname="it")
    assert len(stage.has(fd)) == 1, "QEMU has another file"
    client.call("closefd", fdname="it")
    client.close()
    os.close(fd)


def on_qemu(place, tap):
    stage = functools.cache(lambda: QemuStage(place))

    def test(name):
        return lambda function: tap.test("QEMU, " + name)(lambda: function(stage()))

    for kind in [k for k in KINDS if k not in NOT_FOR_QEMU]:
        test("%s: getfd and closefd, add-fd and remove-fd" % kind)(lambda stage, kind=kind: qemu_takes(stage, kind))
    for end, name in (("\r\n", "lines"), ("", "no line ends")):
        test("add-fd pipelined, %s: each gets its own fd" % name)(
            lambda stage, end=end: pipelined_add_fd(stage, [], end))
        test("out-of-band on, add-fd pipelined, %s: each gets its own fd" % name)(
            lambda stage, end=end: pipelined_add_fd(stage, ["oob"], end))
    test("out-of-band on, add-fd pipelined, 20 KB each: each gets its own fd")(
        lambda stage: pipelined_add_fd(stage, ["oob"], "\n", "x" * 20000))
    test("fd on a blank before getfd")(lambda stage: fd_then_others(stage, b" "))
    test("fd on a line end before getfd")(lambda stage: fd_then_others(stage, b"\n"))
    test("fd on another command before getfd")(lambda stage: fd_then_others(stage, PLAIN))
    test("fd on two commands in one write before getfd")(lambda stage: fd_then_others(stage, PLAIN + PLAIN))

    @test("getfd with three fds in one message: the first is taken, the others are closed")
    def _(stage):
        fds = files(place, 3)
        client = stage.session()
        client.call("getfd", fds, fdname="it")
        check_equal([len(stage.has(fd)) for fd in fds], [1, 0, 0])
        client.call("closefd", fdname="it")
        client.close()
        close_all(fds)

    @test("getfd without an fd after one with: told that there is none")
    def _(stage):
        fd, = files(place, 1)
        client = stage.session()
        client.call("getfd", [fd], fdname="it")
        reply = client.command("getfd", arguments={"fdname": "other"})
        check_equal(reply.get("error", {}).get("desc"), "No file descriptor supplied via SCM_RIGHTS")
        client.call("closefd", fdname="it")
        client.close()
        os.close(fd)

    @test("fd on a command that fails: QEMU closes it, with the connection at the latest")
    def _(stage):
        fd, = files(place, 1)
        client = stage.session()
        assert "error" in client.command("getfd", [fd], arguments={"fdname": "1"})
        client.close()
        stage.session().close()
        until(lambda: not stage.has(fd), "QEMU to close the fd")
        os.close(fd)

    @test("afterwards: the shim has the fds it had before")
    def _(stage):
        stage.session().close()
        stage.shim.wait_idle(stage.n_fds)


# --- a scripted server ---------------------------------------------------------------------------

class Echo:
    """The shim before a server that reads byte by byte; every test has a connection of its own."""

    def __init__(self, place):
        self.place = place
        self.listening = place.server()
        self.shim = place.shim(self.listening.path)
        self.client = self.server = None
        self.connect()
        self.disconnect()
        self.n_fds = fds_without_session(self.shim)

    def connect(self):
        self.disconnect()
        self.client = self.place.client(self.shim.path)
        self.server = self.listening.accept()
        self.server.send(Server.GREETING)
        self.client.read_line()
        self.client.n_received = 0  # positions count from here on
        return self

    def disconnect(self):
        for peer in (self.client, self.server):
            if peer:
                peer.close()

    def take(self, peer, n):
        """n bytes, each by a recvmsg of its own."""
        start = peer.n_received
        while peer.n_received < start + n:
            assert peer.receive(1), "the stream ended"
        data, peer.input = peer.input, b""
        return data

    def commands(self, texts):
        """The server reads these and answers each line; the client gets the answers."""
        for text in texts:
            check_equal(self.take(self.server, len(text)), text)
            for _ in range(text.count(b"\n") if b"execute" in text else 0):
                self.server.send(REPLY)
                check_equal(self.take(self.client, len(REPLY)), REPLY)


def positions(peer):
    return [(at, len(fds)) for at, fds in peer.fds]


def close_received(peer):
    for _, fds in peer.fds:
        close_all(fds)
    peer.fds = []


def check_arrived(peer, want, sent):
    """Fds must have come at these positions, and be these, in order."""
    check_equal(positions(peer), want, "(position, number of fds)")
    got = [fd for _, fds in peer.fds for fd in fds]
    for i, (got_fd, sent_fd) in enumerate(zip(got, sent)):
        assert is_same_file(ME, got_fd, ME, sent_fd), "fd %d is another file" % i
        assert fcntl.fcntl(got_fd, fcntl.F_GETFL) == fcntl.fcntl(sent_fd, fcntl.F_GETFL), "fd %d: flags changed" % i
    assert not peer.is_truncated, "the kernel dropped some fds"
    close_received(peer)


def echo_kind(echo, kind):
    fd = open_kind(echo.place, kind)
    if fd is None:
        return
    at = echo.server.n_received
    echo.client.send(COMMAND, [fd])
    check_equal(echo.take(echo.server, len(COMMAND)), COMMAND)
    got = [f for _, fds in echo.server.fds for f in fds]
    back_at = echo.client.n_received
    echo.server.send(REPLY, got)
    check_equal(echo.take(echo.client, len(REPLY)), REPLY)
    check_arrived(echo.server, [(at, 1)], [fd])
    check_arrived(echo.client, [(back_at, 1)], [fd])
    os.close(fd)


def many(echo, n):
    fds = files(echo.place, n)
    at = echo.server.n_received
    echo.client.send(COMMAND, fds)
    echo.commands([COMMAND])
    check_arrived(echo.server, [(at, n)], fds)
    at = echo.client.n_received
    echo.server.send(REPLY, fds)
    check_equal(echo.take(echo.client, len(REPLY)), REPLY)
    check_arrived(echo.client, [(at, n)], fds)
    close_all(fds)


def sequence(echo, parts, is_glued=False, n_before=0):
    """
    parts: (text, number of fds that its sendmsg carries).  Each batch must arrive with the first
    byte of its text.  is_glued: the shim finds all of it in its socket at once.  n_before: the
    client has sent so many commands, one at a time.
    """
    for _ in range(n_before):
        echo.client.send(PLAIN)
        echo.commands([PLAIN])
    fds, want, at = [], [], echo.server.n_received
    if is_glued:
        echo.shim.signal(signal.SIGSTOP)
    try:
        for text, n in parts:
            batch = files(echo.place, n)
            echo.client.send(text, batch)
            if not is_glued:
                echo.client.wait_read()
            if n:
                want.append((at, n))
            fds += batch
            at += len(text)
    finally:
        echo.shim.signal(signal.SIGCONT)
    echo.commands([text for text, _ in parts])
    check_arrived(echo.server, want, fds)
    close_all(fds)


SEQUENCES = {
    "fd on the command": [(COMMAND, 1)],
    "fd on a blank before the command": [(b" ", 1), (COMMAND, 0)],
    "fd on a line end before the command": [(b"\r\n", 1), (COMMAND, 0)],
    "fd on the second of three commands": [(PLAIN, 0), (COMMAND, 1), (PLAIN, 0)],
    "two commands with an fd each": [(COMMAND, 1), (COMMAND, 1)],
    "three commands with one, three and two fds": [(COMMAND, 1), (COMMAND, 3), (COMMAND, 2)],
    "command, blank with fd, command": [(PLAIN, 0), (b" ", 1), (COMMAND, 0)],
    "two times blank with fd and command": [(b" ", 1), (COMMAND, 0), (b" ", 1), (COMMAND, 0)],
    "plain, fd, plain, fd, plain": [(PLAIN, 0), (COMMAND, 1), (PLAIN, 0), (COMMAND, 1), (PLAIN, 0)],
    "two plain, then fd": [(PLAIN, 0), (PLAIN, 0), (COMMAND, 1)],
    "no line end before the command with fd": [(b'{"execute":"query-name"}\n', 0), (COMMAND, 1)],
    "command with fd in two writes": [(COMMAND[:20], 1), (COMMAND[20:], 0)],
    "large command with fd": [(b'{"execute":"getfd","id":"' + b"x" * 40000 + b'"}\n', 1), (PLAIN, 0)],
    "fd after a large command": [(b'{"execute":"query-name","id":"' + b"x" * 50000 + b'"}\n', 0), (COMMAND, 1)],
}


def on_echo(place, tap):
    stage = functools.cache(lambda: Echo(place))

    def test(name):
        return lambda function: tap.test("echo, " + name)(lambda: function(stage().connect()))

    for kind in KINDS:
        test("%s: with the first byte of its message, there and back" % kind)(
            lambda echo, kind=kind: echo_kind(echo, kind))
    for n in (1, 3, 200, MAX_FDS):
        test("%d in one message, there and back" % n)(lambda echo, n=n: many(echo, n))
    for name, parts in SEQUENCES.items():
        test(name)(lambda echo, parts=parts: sequence(echo, parts))
        test(name + ", all in the shim's socket at once")(
            lambda echo, parts=parts: sequence(echo, parts, is_glued=True))
        test(name + ", all in the shim's socket at once, after many commands one at a time")(
            lambda echo, parts=parts: sequence(echo, parts, is_glued=True, n_before=20))

    @test("events with fds: each with the first byte of its event")
    def _(echo):
        event = b'{"event": "STOP", "timestamp": {"seconds": 1, "microseconds": 2}}\r\n'
        fds, at = files(place, 2), echo.client.n_received
        for fd in fds:
            echo.server.send(event, [fd])
            check_equal(echo.take(echo.client, len(event)), event)
        check_arrived(echo.client, [(at, 1), (at + len(event), 1)], fds)
        close_all(fds)

    @test("no copy is kept: a pipe ends when its receiver closes it")
    def _(echo):
        read_end, write_end = os.pipe()
        echo.client.send(COMMAND, [write_end])
        os.close(write_end)
        echo.commands([COMMAND])
        check_equal(positions(echo.server)[0][1], 1)
        assert not select.select([read_end], [], [], 0)[0], "the pipe ended too early"
        close_received(echo.server)
        check_ended(read_end)

    @test("the client goes while fds wait behind a reply: the shim closes them")
    def _(echo):
        read_end, write_end = os.pipe()
        echo.client.send(COMMAND, [write_end])
        check_equal(echo.take(echo.server, len(COMMAND)), COMMAND)
        echo.client.send(COMMAND, [write_end])
        echo.client.wait_read()
        os.close(write_end)
        echo.disconnect()
        check_ended(read_end)

    @test("the server goes while fds wait behind a reply: the shim closes them")
    def _(echo):
        read_end, write_end = os.pipe()
        for _ in range(2):
            echo.client.send(COMMAND, [write_end])
            echo.client.wait_read()
        os.close(write_end)
        echo.server.close()
        check_ended(read_end)

    @test("afterwards: the shim has the fds it had before")
    def _(echo):
        echo.disconnect()
        echo.shim.wait_idle(echo.n_fds)


def check_ended(read_end):
    """Has everyone closed the other end of this pipe?"""
    assert select.select([read_end], [], [], 10)[0] and os.read(read_end, 1) == b"", "someone keeps the pipe open"
    os.close(read_end)


def main():
    with Place() as place:
        on_qemu(place, tap)
        on_echo(place, tap)
        return tap.run()


if __name__ == "__main__":
    sys.exit(main())
