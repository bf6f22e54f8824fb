#!/usr/bin/env python3
"""
How connections begin, stall and end: early data, half-closes, deaths on every side, queues, slow
readers, sockets in the file system.  Memory is measured as the highest resident size the kernel saw.
"""

import functools
import os
import select
import signal
import socket
import stat
import sys

from qmplive import Closed, Deadline, Place, Server, Tap, check_equal, is_listening, rule_file, until

COMMAND = b'{"execute":"query-name","id":1}\r\n'
REPLY = b'{"return": {}, "id": 1}\r\n'
EVENT = b'{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "NOISE", "data": {"text": "%s"}}\r\n' % (b"x" * 900)
MB = 1 << 20
FLOOD = 200 * MB
STALL_MAX = 8 * MB       # what may lie in the shim and the sockets' own buffers before a sender has to wait
RSS_MAX_KB = 24 << 10
SANITIZED_RSS_MAX_KB = 96 << 10
RULES = "image-streaming-2011"
WAYS = {"no rules": lambda: ["--no-rules"], "rules": lambda: ["--rules", rule_file(RULES)]}

# a sanitizer keeps what is freed for a while, 256 MB of it unless told otherwise
os.environ["ASAN_OPTIONS"] = ":".join(filter(None, [os.environ.get("ASAN_OPTIONS"), "quarantine_size_mb=8"]))

tap = Tap()


class Relay:
    """The shim before a scripted server."""

    def __init__(self, place, *arguments):
        self.place = place
        self.listening = place.server()
        self.shim = place.shim(self.listening.path, *arguments)

    def connect(self):
        client = self.place.client(self.shim.path)
        server = self.listening.accept()
        server.send(Server.GREETING)
        check_equal(client.read_line(), Server.GREETING)
        return client, server

    def check_works(self):
        """A new session does what it should."""
        client, server = self.connect()
        client.send(COMMAND)
        check_equal(server.read(len(COMMAND)), COMMAND)
        server.send(REPLY)
        check_equal(client.read(len(REPLY)), REPLY)
        client.close()
        check_equal(server.read_to_end(), b"")
        server.close()


def with_place(function):
    """Each test has a place of its own."""
    @functools.wraps(function)
    def run():
        with Place() as place:
            function(place)
    return run


def test(name):
    return lambda function: tap.test(name)(with_place(function))


def check_ends_well(shim):
    check_equal(shim.stop(), 0, "exit status; it said\n" + shim.said())


# --- beginnings ------------------------------------------------------------------------------------

@test("early data: what a client sends before the greeting reaches the server")
def _(place):
    relay = Relay(place)
    client = place.client(relay.shim.path)
    client.send(COMMAND)
    server = relay.listening.accept()
    server.send(Server.GREETING)
    check_equal(server.read(len(COMMAND)), COMMAND)
    check_equal(client.read_line(), Server.GREETING)


@test("early data: a client that sends and closes at once is heard by the server")
def _(place):
    relay = Relay(place)
    client = place.client(relay.shim.path)
    client.send(COMMAND * 3)
    client.close()
    server = relay.listening.accept()
    check_equal(server.read_to_end(), COMMAND * 3)


@test("no server at the other path: the client sees the end, and the next one is served once there is one")
def _(place):
    path = place.path("later")
    shim = place.shim(path)
    for _ in range(3):
        check_equal(place.client(shim.path).read_to_end(), b"")
    listening = place.keep(Server(path))
    client = place.client(shim.path)
    listening.accept().send(Server.GREETING)
    check_equal(client.read_line(), Server.GREETING)


@test("a second client waits, as at QEMU's own socket, and is greeted when the first is gone")
def _(place):
    qemu = place.qemu()
    shim = place.shim(qemu.path)
    first = place.client(shim.path).greet()
    second = place.client(shim.path)
    third = place.client(shim.path)
    for _ in range(20):
        first.call("query-status")
    assert not second.is_readable() and not third.is_readable(), "a client was greeted while another is served"
    first.close()
    second.greet().call("query-status")
    assert not third.is_readable(), "a client was greeted while another is served"
    second.close()
    third.greet().call("query-status")


@test("two clients of a server that serves several: none sees what is the other's")
def _(place):
    relay = Relay(place)
    pairs = [relay.connect() for _ in range(2)]
    for i, (client, server) in enumerate(pairs):
        client.send(b'{"execute":"client-%d"}' % i)
        check_equal(server.read(22), b'{"execute":"client-%d"}' % i)
        server.send(b'{"return": {"server": %d}}\r\n' % i)
    for i, (client, server) in enumerate(pairs):
        check_equal(client.read_line(), b'{"return": {"server": %d}}\r\n' % i)


@test("200 connections in a row, some used and some not: all are forgotten")
def _(place):
    qemu = place.qemu()
    shim = place.shim(qemu.path)
    place.client(shim.path).greet().close()
    until(lambda: sum("socket:" in fd for fd in shim.fds()) == 1, "the first session's end")
    n_fds = len(shim.fds())
    for i in range(200):
        with place.client(shim.path) as client:
            if i % 4 == 1:
                client.read_line()
            elif i % 4 == 2:
                client.greet()
            elif i % 4 == 3:
                client.greet().call("query-status")
    place.client(shim.path).greet().close()
    shim.wait_idle(n_fds)


# --- ends ------------------------------------------------------------------------------------------

@test("half-close by the client: the server sees it, and still reaches the client")
def _(place):
    client, server = Relay(place).connect()
    client.send(COMMAND)
    client.socket.shutdown(socket.SHUT_WR)
    check_equal(server.read_to_end(), COMMAND)
    server.send(REPLY + EVENT * 100)
    server.close()
    check_equal(client.read_to_end(), REPLY + EVENT * 100)


@test("half-close by the server: the client sees it, and still reaches the server")
def _(place):
    client, server = Relay(place).connect()
    server.send(EVENT)
    server.socket.shutdown(socket.SHUT_WR)
    check_equal(client.read_to_end(), EVENT)
    client.send(COMMAND * 100)
    client.close()
    check_equal(server.read_to_end(), COMMAND * 100)


@test("half-close within a message: what is incomplete passes as it is")
def _(place):
    client, server = Relay(place).connect()
    client.send(COMMAND[:20])
    client.socket.shutdown(socket.SHUT_WR)
    check_equal(server.read_to_end(), COMMAND[:20])
    server.send(REPLY[:10])
    server.close()
    check_equal(client.read_to_end(), REPLY[:10])


@test("QEMU killed: the client sees the end, the shim lives, and serves the next QEMU at that path")
def _(place):
    qemu = place.qemu()
    shim = place.shim(qemu.path)
    client = place.client(shim.path).greet()
    client.call("query-status")
    qemu.signal(signal.SIGKILL)
    check_equal(client.read_to_end(), b"")
    qemu.wait()
    os.unlink(qemu.path)
    listening = place.keep(Server(qemu.path))
    client = place.client(shim.path)
    listening.accept().send(Server.GREETING)
    check_equal(client.read_line(), Server.GREETING)


@test("QEMU quits: its last words arrive, then the end")
def _(place):
    qemu = place.qemu()
    shim = place.shim(qemu.path)
    client = place.client(shim.path).greet()
    client.send(b'{"execute":"quit","id":"last"}')
    said = client.read_to_end()
    assert b'"SHUTDOWN"' in said and b'"id": "last"' in said, "QEMU said %r" % said
    check_equal(qemu.wait(), 0)


@test("server gone after a megabyte: the client gets all of it, then the end")
def _(place):
    relay = Relay(place)
    client, server = relay.connect()
    client.send(COMMAND)  # it is never read, so the server's end is no orderly one
    content = EVENT * (MB // len(EVENT))
    send_all_to_reader(server, client, content)
    server.close()
    check_equal(client.read_to_end() == content, True, "the client got it all")
    relay.check_works()


def send_all_to_reader(sender, reader, content):
    """Send what does not fit into the buffers on the way: read when the sender has to wait."""
    sender.socket.setblocking(False)
    at, deadline = 0, Deadline()
    while at < len(content):
        readable, writable, _ = select.select([reader.socket], [sender.socket], [], deadline.left("the transfer"))
        if writable:
            at += sender.socket.send(content[at:at + (1 << 16)])
        if readable:
            reader.receive()


@test("client killed: the server sees the end, and the next client is served")
def _(place):
    relay = Relay(place)
    child = os.fork()
    if child == 0:
        client = socket.socket(socket.AF_UNIX)
        client.connect(relay.shim.path)
        client.sendall(COMMAND)
        signal.pause()
    server = relay.listening.accept()
    server.send(Server.GREETING + EVENT)  # unread by the client: its end is no orderly one
    check_equal(server.read(len(COMMAND)), COMMAND)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    check_equal(server.read_to_end(), b"")
    server.close()
    relay.check_works()


@test("client gone amid a flood: the server sees the end, and the next client is served")
def _(place):
    relay = Relay(place)
    client, server = relay.connect()
    stall(server, EVENT)
    client.close()
    deadline = Deadline()
    try:
        while select.select([], [server.socket], [], deadline.left("the end of the client")):
            server.socket.send(EVENT)
    except (BrokenPipeError, ConnectionResetError):
        pass
    server.close()
    relay.check_works()


@test("SIGTERM: both sides see the end, the socket's name is gone, the exit status is 0")
def _(place):
    relay = Relay(place)
    client, server = relay.connect()
    assert os.path.exists(relay.shim.path)
    check_ends_well(relay.shim)
    assert not os.path.exists(relay.shim.path), "the socket's name is still there"
    check_equal(client.read_to_end(), b"")
    check_equal(server.read_to_end(), b"")


@test("SIGINT without a session: the socket's name is gone, the exit status is 0")
def _(place):
    shim = place.shim(place.server().path)
    shim.signal(signal.SIGINT)
    check_equal(shim.wait(), 0)
    assert not os.path.exists(shim.path), "the socket's name is still there"


@test("SIGTERM while both sides are stalled: it ends all the same")
def _(place):
    relay = Relay(place)
    client, server = relay.connect()
    stall(server, EVENT)
    check_ends_well(relay.shim)


# --- slow readers and large messages ---------------------------------------------------------------

def stall(sender, message):
    """Send until nobody takes any more.  Return: bytes that were sent."""
    sender.socket.setblocking(False)
    content, n_sent = message * 64, 0
    while select.select([], [sender.socket], [], 0.3)[1]:
        try:
            n_sent += sender.socket.send(content[n_sent % len(message):])
        except BlockingIOError:
            pass
        assert n_sent < STALL_MAX, "%d bytes were taken, and nobody reads them" % n_sent
    return n_sent


def pump(sender, n_sent, message, n_total, reader):
    """Go on to n_total bytes (of whole messages) while the reader reads.  Return: bytes it got."""
    sender.socket.setblocking(False)
    content = message * (MB // len(message))
    n_total -= n_total % len(message)
    n_read, deadline, buffer = 0, Deadline(60), bytearray(MB)
    expected = memoryview(content + content)
    while n_read < n_total:
        wanted = [sender.socket] if n_sent < n_total else []
        readable, writable, _ = select.select([reader.socket], wanted, [], deadline.left("the flood's end"))
        if writable:
            at = n_sent % len(message)
            n_sent += sender.socket.send(content[at:at + min(len(content) - at, n_total - n_sent)])
        if readable:
            n = reader.socket.recv_into(buffer)
            if not n:
                raise Closed("the stream ended after %d bytes" % n_read)
            at = n_read % len(message)
            assert buffer[:n] == expected[at:at + n], "other bytes came than were sent"
            n_read += n
    return n_read


def rss_max_kb(shim):
    return SANITIZED_RSS_MAX_KB if shim.is_sanitized() else RSS_MAX_KB


def check_memory(shim):
    peak_kb = shim.status_kb("VmHWM")
    print("# at most %d kB resident" % peak_kb)
    assert peak_kb < rss_max_kb(shim), "at most %d kB were resident" % peak_kb


def flood(place, from_server, arguments):
    relay = Relay(place, *arguments())
    client, server = relay.connect()
    sender, reader = (server, client) if from_server else (client, server)
    message = EVENT if from_server else COMMAND * 20
    n_sent = stall(sender, message)
    check_memory(relay.shim)
    n_total = FLOOD if from_server else FLOOD // 8
    check_equal(pump(sender, n_sent, message, n_total, reader), n_total - n_total % len(message))
    check_memory(relay.shim)


for said, rules in WAYS.items():
    test("slow client, %s: a server that sends 200 MB of events must wait, memory stays bounded, all arrives" % said)(
        lambda place, rules=rules: flood(place, True, rules))
    test("slow server, %s: a client that sends 25 MB of commands must wait, memory stays bounded, all arrives" % said)(
        lambda place, rules=rules: flood(place, False, rules))


def large(place, from_server, n_bytes, arguments):
    relay = Relay(place, *arguments())
    client, server = relay.connect()
    sender, reader = (server, client) if from_server else (client, server)
    head = b'{"return": {"text": "' if from_server else b'{"execute":"query-name","id":"'
    tail = b'"}}\r\n' if from_server else b'"}\r\n'
    text = b"abcdefghijklmnop" * 1024
    if from_server:
        client.send(COMMAND)
        check_equal(server.read(len(COMMAND)), COMMAND)
    sender.send(head + text * 4)  # a small command may be kept until it is whole, not one that gets this long
    check_equal(reader.read(len(head) + 4 * len(text)) == head + text * 4, True, "the first bytes came")
    check_equal(pump(sender, 0, text, n_bytes, reader), n_bytes)
    sender.send(tail)
    check_equal(reader.read(len(tail)), tail)
    check_memory(relay.shim)


for said, rules in WAYS.items():
    test("a reply of 64 MiB, %s: it streams through in bounded memory" % said)(
        lambda place, rules=rules: large(place, True, 64 * MB, rules))
    test("a command of 64 MiB, %s: it streams through in bounded memory" % said)(
        lambda place, rules=rules: large(place, False, 64 * MB, rules))


@test("a slow client does not keep its commands from the server")
def _(place):
    client, server = Relay(place).connect()
    stall(server, EVENT)
    client.send(COMMAND)
    check_equal(server.read(len(COMMAND)), COMMAND)


@test("a slow server does not keep its events from the client")
def _(place):
    client, server = Relay(place).connect()
    stall(client, COMMAND)
    server.send(EVENT)
    check_equal(client.read_line(), EVENT)


# --- sockets in the file system --------------------------------------------------------------------

def listen_and_leave(path):
    """A socket's name without a socket behind it, as a killed program leaves it."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(path)
    listening.listen(1)
    listening.close()


@test("a stale socket of an earlier run is replaced")
def _(place):
    path = place.path("stale")
    listen_and_leave(path)
    server = place.server()
    shim = place.shim(server.path, listen=path)
    place.client(shim.path)
    server.accept()


@test("a killed shim's socket is replaced by the next shim's")
def _(place):
    server = place.server()
    first = place.shim(server.path)
    first.signal(signal.SIGKILL)
    first.wait()
    place.processes.remove(first)  # it was not to end well
    assert os.path.exists(first.path)
    place.shim(server.path, listen=first.path)


def start_refused(place, path):
    """A shim that must not start.  Return: what it said."""
    shim = place.run([os.path.abspath(os.environ.get("QMP_SHIM", "./qmp-shim")), "run", "--no-rules",
                      "--listen", path, "--connect", place.path("nobody")], "refused")
    status = shim.wait()
    assert status > 0, "exit status %d" % status
    assert path in shim.said(), "it does not name the path: " + shim.said()
    return shim.said()


@test("a file that is no socket is left alone, and named")
def _(place):
    path = place.path("precious")
    with open(path, "w", encoding="ascii") as file:
        file.write("precious")
    start_refused(place, path)
    with open(path, encoding="ascii") as file:
        check_equal(file.read(), "precious")


@test("a symbolic link is left alone")
def _(place):
    target, path = place.path("target"), place.path("link")
    listen_and_leave(target)
    os.symlink(target, path)
    start_refused(place, path)
    check_equal(os.readlink(path), target)
    assert os.path.exists(target)


@test("a socket that another program listens on is left alone")
def _(place):
    server = place.server()
    start_refused(place, server.path)
    assert is_listening(server.path)
    place.client(server.path)
    server.accept()


@test("a folder that does not exist, and a name too long, are named")
def _(place):
    start_refused(place, os.path.join(place.directory, "nowhere", "socket"))
    start_refused(place, os.path.join(place.directory, "x" * 200))


@test("the socket is its owner's alone")
def _(place):
    shim = place.shim(place.server().path)
    check_equal(stat.S_IMODE(os.stat(shim.path).st_mode) & 0o077, 0)


@test("at the end, a socket that took the name over is not removed")
def _(place):
    shim = place.shim(place.server().path)
    os.unlink(shim.path)
    other = place.keep(Server(shim.path))
    check_ends_well(shim)
    assert is_listening(other.path) and os.path.exists(other.path)


if __name__ == "__main__":
    sys.exit(tap.run())
