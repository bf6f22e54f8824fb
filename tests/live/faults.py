#!/usr/bin/env python3
"""
Peers that misbehave: each has a defined outcome, costs bounded memory, and disturbs nobody else.

Beside every misbehaviour runs a session of another client, and its round trip must go on.
"""

import os
import functools
import json
import resource
import select
import socket
import sys

from qmplive import Place, Replay, Server, Tap, Timeout, check_equal, rule_file, until

tap = Tap()

RULES = """{ "qmp-shim-rules": 1, "name": "faults", "rules": [
    { "name": "renamed", "old": { "execute": "old", "return": { "a": "$a" } }, "new": { "execute": "new", "return": { "b": "$a" } } },
    { "name": "asking", "for": "old-client",
      "old": { "execute": "ask", "arguments": {} }, "new": { "execute": "asked", "arguments": { "*x": "$x" } },
      "ask": [ { "execute": "question", "return": { "x": "$x" } } ] },
    { "name": "waiting", "for": "old-client", "old": { "execute": "wait" }, "new": { "execute": "wait" },
      "until": { "event": "DONE", "data": { "id": "mine" } }, "timeout": 1 },
    { "name": "event", "old": { "event": "OLD" }, "new": { "event": "NEW" } },
    { "name": "after", "for": "old-client", "old": { "event": "STARTED" }, "new": { "event": "STARTED" }, "after-reply": [ "start" ] },
    { "name": "start", "old": { "execute": "start" }, "new": { "execute": "start" } } ] }"""


N_CONNECTIONS = 10000
next_command = Replay.next_command


class Stage:
    """A shim with rules before a scripted server, and a bystander whose session must stay well."""

    def __init__(self, place, *more, rules=RULES):
        self.place = place
        path = place.path("rules") + ".jsonc"
        with open(path, "w", encoding="ascii") as file:
            file.write(rules)
        self.server = place.server()
        self.shim = place.shim(self.server.path, "--rules", path, "--no-probe", *more)
        self.bystander = self.pair()
        self.n_checks = 0

    def pair(self):
        """A client that has negotiated, and the server's end of its session."""
        client = self.place.client(self.shim.path)
        peer = self.server.accept()
        peer.send(Server.GREETING)
        client.read_line()
        client.send(b'{"execute":"qmp_capabilities"}')
        self.answer(peer, b"{}")
        check_equal(client.read_message(), {"return": {}})
        return client, peer

    @staticmethod
    def answer(peer, value):
        """Take one command, whose reply is this."""
        asked = next_command(peer)
        id_member = b', "id": ' + json.dumps(asked["id"]).encode() if "id" in asked else b""
        peer.send(b'{"return": ' + value + id_member + b"}\r\n")
        return asked

    def check_bystander(self):
        client, peer = self.bystander
        self.n_checks += 1
        client.send(b'{"execute":"old","id":%d}\n' % self.n_checks)
        check_equal(self.answer(peer, b'{"b": 1}')["execute"], "new")
        check_equal(client.read_message(), {"return": {"a": 1}, "id": self.n_checks})


def with_stage(function):
    @functools.wraps(function)
    def run():
        with Place() as place:
            stage = Stage(place)
            function(stage)
            stage.check_bystander()
    return run


class Memory:
    """What the shim's memory grew to while something happened."""

    def __init__(self, stage, megabytes):
        self.shim, self.limit_kb = stage.shim, megabytes * 1024
        if self.shim.is_sanitized():
            self.limit_kb = self.limit_kb * 6 + 300 * 1024  # freed memory stays, for a while

    def __enter__(self):
        self.before = self.shim.status_kb("VmHWM")

    def __exit__(self, kind, value, trace):
        if kind is None:
            grown = self.shim.status_kb("VmHWM") - self.before
            assert grown <= self.limit_kb, "the shim grew by %d kB" % grown


def push(peer, data, stalls=3):
    """Send it over and over until the other side takes no more.  Return: bytes that it took."""
    n, n_stalls = 0, 0
    peer.socket.setblocking(False)
    try:
        while n < 1 << 30 and n_stalls < stalls:
            try:
                n += peer.socket.send(data[n % len(data):] or data)
                n_stalls = 0
            except BlockingIOError:
                n_stalls += 1
                try:
                    until(lambda: writable(peer), "", 0.3)
                except Timeout:
                    break
    finally:
        peer.socket.setblocking(True)
    return n


def writable(peer):
    return select.select([], [peer.socket], [], 0)[1]


def expect_end(peer):
    try:
        return peer.read_to_end()
    except ConnectionResetError:
        return b""


# --- the server ---------------------------------------------------------------------------------------------

@tap.test("a server that stops reading stops its client, and no more")
@with_stage
def _(stage):
    client, _peer = stage.pair()
    with Memory(stage, 24):
        n = push(client, b'{"execute":"query-name"}\n' * 1000)
    assert n < 64 << 20, "%d bytes were taken" % n
    stage.check_bystander()


@tap.test("a server that never greets keeps nothing of what its client says")
@with_stage
def _(stage):
    client = stage.place.client(stage.shim.path)
    peer = stage.server.accept()
    with Memory(stage, 40):
        push(client, b'{"execute":"qmp_capabilities"}\n' + b'{}\n' * 100000)
    stage.check_bystander()
    peer.close()
    expect_end(client)


@tap.test("a reply that comes twice is passed on once as the reply, and then as it is")
@with_stage
def _(stage):
    client, peer = stage.pair()
    client.send(b'{"execute":"old","id":1}\n')
    asked = next_command(peer)
    reply = {"return": {"b": 1}, "id": asked["id"]}
    peer.send((json.dumps(reply) + "\r\n") * 2 + '{"event": "X"}\r\n')
    check_equal(client.read_message(), {"return": {"a": 1}, "id": 1})
    check_equal(client.read_message(), reply)
    check_equal(client.read_message(), {"event": "X"})


@tap.test("answers to what was not asked are passed on as they are")
@with_stage
def _(stage):
    client, peer = stage.pair()
    for text in (b'{"return": {}, "id": "qmp-shim:77"}\r\n', b'{"return": {}, "id": "qmp-shim:99999999999999999999999999"}\r\n',
                 b'{"return": {}, "id": "qmp-shim:"}\r\n', b'{"return": {}, "id": "qmp-shim:-1"}\r\n', b'{"return": {}, "id": "qmp-shim:1x"}\r\n',
                 b'{"error": {}}\r\n', b'{"return": 1, "error": 2}\r\n', b'{"id": {}}\r\n', b'{}\r\n', b'{"return": {}, "id"{}}\r\n',
                 b'{"QMP": {}}\r\n', b'{"execute": "x"}\r\n', b'garbage}}]\r\n'):
        peer.send(text)
        check_equal(client.read_line(), text)


@tap.test("a server that dies between the bytes of a message: what it said arrives, then the end")
@with_stage
def _(stage):
    for text in (b'{"return": {"b": [1, 2', b'{"event": "NEW', b'{"event": "NEW", "data": {"x": "' + b"x" * 100000, b'{"re',
                 b'{"return": {}, "id": "qmp-shim:2"', b'{"event": "OTHER", "data": "' + b"y" * 300000):
        client, peer = stage.pair()
        client.send(b'{"execute":"old","id":1}\n')
        next_command(peer)
        peer.send(text)
        peer.close()
        check_equal(expect_end(client), text)


@tap.test("a server that dies with exchanges under way: its client sees the end, at once")
@with_stage
def _(stage):
    for command in (b"ask", b"wait", b"old", b"start"):
        client, peer = stage.pair()
        client.send(b'{"execute":"%s","id":1}\n{"execute":"other","id":2}\n' % command)
        next_command(peer)
        peer.close()
        expect_end(client)


@tap.test("a server that does not answer a question: the command goes without it, in time")
@with_stage
def _(stage):
    client, peer = stage.pair()
    client.send(b'{"execute":"ask","id":1}\n')
    check_equal(next_command(peer)["execute"], "question")
    stage.check_bystander()
    check_equal(next_command(peer)["execute"], "asked")


@tap.test("events without end while a reply is awaited cost bounded memory")
@with_stage
def _(stage):
    for command, event in ((b"start", b'{"event": "STARTED", "data": {"x": "%s"}}\r\n' % (b"z" * 500)),
                           (b"wait", b'{"event": "DONE", "data": {"id": "other", "x": "%s"}}\r\n' % (b"z" * 500)),
                           (b"ask", b'{"event": "NEW", "data": {"x": "%s"}}\r\n' % (b"z" * 500))):
        client, peer = stage.pair()
        client.send(b'{"execute":"%s"}\n' % command)
        next_command(peer)
        with Memory(stage, 60):
            for _ in range(300):
                transfer(peer, event * 200, client)
        stage.check_bystander()


# --- the client ----------------------------------------------------------------------------------------------

@tap.test("a client that never reads stops its server, and no more")
@with_stage
def _(stage):
    _client, peer = stage.pair()
    with Memory(stage, 24):
        n = push(peer, b'{"event": "SOMETHING", "data": {}}\r\n' * 1000)
    assert n < 64 << 20, "%d bytes were taken" % n
    with Memory(stage, 40):
        push(stage.pair()[1], b'{"event": "NEW", "data": {}}\r\n' * 1000)
    stage.check_bystander()


@tap.test("a string of 1 GiB passes in bounded memory")
@with_stage
def _(stage):
    n = 1 << 28 if stage.shim.is_sanitized() else 1 << 30
    client, peer = stage.pair()
    chunk = b"x" * (1 << 20)
    head, tail = b'{"event": "SOMETHING", "data": "', b'"}\r\n'
    with Memory(stage, 24):
        got = 0
        peer.send(head)
        for _ in range(n >> 20):
            peer.socket.setblocking(True)
            peer.socket.settimeout(20)
            got += transfer(peer, chunk, client)
        peer.send(tail)
        while got < n + len(head) + len(tail):
            got += len(client.socket.recv(1 << 20))
    check_equal(got, n + len(head) + len(tail))
    stage.check_bystander()


def transfer(sender, chunk, receiver):
    """Send a chunk and take what has come meanwhile."""
    view, n_received = memoryview(chunk), 0
    sender.socket.setblocking(False)
    receiver.socket.setblocking(False)
    while view:
        try:
            view = view[sender.socket.send(view):]
        except BlockingIOError:
            until(lambda: writable(sender) or receiver.is_readable(), "anybody")
        try:
            n_received += len(receiver.socket.recv(1 << 20))
        except BlockingIOError:
            pass
    sender.socket.setblocking(True)
    receiver.socket.setblocking(True)
    return n_received


@tap.test("a million brackets from either side pass and cost nothing")
@with_stage
def _(stage):
    brackets = b"[" * 1000000 + b"]" * 1000000
    for side in (0, 1):
        ends = stage.pair()
        sender, receiver = ends[side], ends[1 - side]
        text = (b'{"execute": "old", "arguments": %s}\n' if side == 0 else b'{"event": "NEW", "data": %s}\n') % brackets
        with Memory(stage, 60):
            got = transfer(sender, text, receiver)
            while got < len(text):
                got += len(receiver.socket.recv(1 << 20))
        check_equal(got, len(text), "bytes of side %d" % side)
    stage.check_bystander()


# more take minutes, for QEMU reads a byte at a time: N_UNREAD=1000000
N_UNREAD = int(os.environ.get("N_UNREAD", "100000"))


@tap.test("{:,} commands without reading a reply: each gets one, in order".format(N_UNREAD))
def _():
    with Place() as place:
        qemu = place.qemu()
        path = place.path("rules") + ".jsonc"
        with open(path, "w", encoding="ascii") as file:
            file.write(RULES.replace('"new": { "execute": "new"', '"new": { "execute": "query-name"'))
        shim = place.shim(qemu.path, "--rules", path)
        client = place.client(shim.path).greet()
        n, got, text = 20000 if shim.is_sanitized() else N_UNREAD, 0, b""
        out = b"".join(b'{"execute":"%s","id":%d}\n' % (b"old" if i % 10 == 0 else b"query-name", i) for i in range(n))
        client.socket.setblocking(False)
        # as much as goes without reading a single reply
        view = memoryview(out)
        stalled = False
        while view and not stalled:
            try:
                view = view[client.socket.send(view):]
            except BlockingIOError:
                try:
                    until(lambda: writable(client), "room", 0.5)
                except Timeout:
                    stalled = True
        high = shim.status_kb("VmHWM")
        while got < n:
            try:
                while view:
                    view = view[client.socket.send(view):]
            except BlockingIOError:
                pass
            try:
                text += client.socket.recv(1 << 20)
            except BlockingIOError:
                until(client.is_readable, "replies")
            *lines, text = text.split(b"\r\n")
            for line in lines:
                check_equal(json.loads(line)["id"], got, "the next reply")
                got += 1
        assert high < (400 << 10 if shim.is_sanitized() else 60 << 10), "the shim has %d kB" % high


@tap.test("a client that floods with garbage gets the server's errors, in bounded memory")
def _():
    with Place() as place:
        qemu = place.qemu()
        stage_shim = place.shim(qemu.path, "--rules", rule_file("image-streaming-2011"))
        for garbage in (b"@\n" * 5000, b"}" * 5000, b'{"a" 1}' * 5000, b"\xff" * 5000, b'"' * 5001, b"{}" * 5000):
            with place.client(stage_shim.path).greet() as client:
                client.socket.setblocking(False)
                view = memoryview(garbage)
                while view:
                    try:
                        view = view[client.socket.send(view):]
                    except BlockingIOError:
                        until(lambda: writable(client) or client.is_readable(), "anything")
                    while client.is_readable():
                        client.receive(1 << 20)
                        client.input = client.input[-1000:]
                client.socket.setblocking(True)
                client.send(b'"\n]}]}\n{"execute":"query-name","id":"still"}\n')
                client.read_until(lambda text: b'"still"' in text, "an answer behind garbage")
        assert stage_shim.status_kb("VmHWM") < (600 << 10 if stage_shim.is_sanitized() else 60 << 10), "too much memory"


@tap.test("a client that goes in the midst of anything leaves nothing behind")
@with_stage
def _(stage):
    stage.check_bystander()
    n_fds = len(stage.shim.fds())
    for text in (b'{"execute":"ask"}', b'{"execute":"wait"}', b'{"execute":"ol', b'@', b'{"execute":"old"}' * 50, b'{"a":"' + b"x" * 100000):
        client, peer = stage.pair()
        client.send(text)
        client.close()
        peer.socket.shutdown(socket.SHUT_WR)
        expect_end(peer)
        peer.close()
    stage.shim.wait_idle(n_fds)
    stage.check_bystander()


def raise_fd_limit(n):
    """Room for n fds in this process and the shim, or as many as this user may have.  Return: the old limit."""
    old = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (n, max(n, old[1])))
    except (ValueError, PermissionError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(n, old[1]), old[1]))
    return old


@tap.test("10,000 connections at once, or as many as fds allow: a session each, and all of them end")
def _():
    old = raise_fd_limit(2 * N_CONNECTIONS + 200)
    with Place() as place:
        stage = Stage(place)  # the shim inherits the limit
        n = min(N_CONNECTIONS, (resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 200) // 2)
        n_fds = len(stage.shim.fds())
        clients, peers = [], []
        for _ in range(n):
            clients.append(stage.place.client(stage.shim.path))
            peers.append(stage.server.accept())
        stage.check_bystander()
        for i, peer in enumerate(peers):
            peer.send(b'{"event": "N%d"}\r\n' % i)
        seen = [client.read_line() for client in clients]
        check_equal(len(set(seen)), n, "sessions")
        stage.check_bystander()
        per_session = stage.shim.status_kb("VmHWM") / n
        assert stage.shim.is_sanitized() or per_session < 60, "%d kB a session" % per_session
        print("# %d sessions, %.1f kB each" % (n, per_session))
        for end in clients + peers:
            end.close()
        stage.shim.wait_idle(n_fds)
    resource.setrlimit(resource.RLIMIT_NOFILE, old)


sys.exit(tap.run())
