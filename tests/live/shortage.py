#!/usr/bin/env python3
"""
What the shim does with little: without fds, behind a server that has no time, with a thousand
sessions at once; and that it does nothing when there is nothing to do, in every state a session
can be stuck in.
"""

import os
import resource
import select
import socket
import sys

from qmplive import MAX_FDS, Tap, check_equal, until

COMMAND = b'{"execute":"query-name","id":1}\r\n'
LOOK_EVERY_S = 0.005  # looks at what the kernel says of the process
N_LOOKS = 40
N_ASLEEP = 30         # of them: to try again takes moments, a loop that spins never sleeps
N_SESSIONS = 1000
N_WAITING = 10
SESSION_MAX_KB = 16       # of memory, when all it had was relayed

tap = Tap()
test = tap.in_place


class Relay:
    """The shim before a scripted server."""

    def __init__(self, place, max_fds=None, backlog=N_SESSIONS):
        self.place = place
        self.listening = place.server()
        self.listening.socket.listen(backlog)
        self.shim = place.shim(self.listening.path)
        if max_fds:  # not sooner: the shim raises its own limit as far as it may
            resource.prlimit(self.shim.pid, resource.RLIMIT_NOFILE, (max_fds, max_fds))
        self.n_fds = len(self.shim.fds())

    def connect(self):
        client = self.place.client(self.shim.path)
        return client, self.listening.accept()

    def check_idle(self):
        self.shim.wait_idle(self.n_fds)


def rests(process):
    """Whether it sleeps most of the time; one that spins never does."""
    n = 0
    for _ in range(N_LOOKS):
        select.select([], [], [], LOOK_EVERY_S)
        n += process.is_asleep()
    return n >= N_ASLEEP


def check_quiet(relay, state):
    until(lambda: rests(relay.shim), "the shim to rest with %s" % state)


def stall(sender):
    """Send until nobody takes any more.  Return: bytes that were sent."""
    sender.socket.setblocking(False)
    n = 0
    while select.select([], [sender.socket], [], 0.2)[1]:
        try:
            n += sender.socket.send(COMMAND * 64)
        except BlockingIOError:
            pass
    return n


# --- nothing to do ---------------------------------------------------------------------------------

@test("a session in which nothing happens costs no time")
def _(place):
    relay = Relay(place)
    relay.connect()
    check_quiet(relay, "an idle session")


@test("a client that closed half costs no time while its server is silent, nor when it has gone")
def _(place):
    relay = Relay(place)
    client, server = relay.connect()
    client.socket.shutdown(socket.SHUT_WR)
    check_equal(server.read_to_end(), b"")
    check_quiet(relay, "half a client")
    client.close()
    check_quiet(relay, "no client and a server that does not notice")
    relay.check_idle()
    server.close()


@test("a server that closed half costs no time while its client is silent")
def _(place):
    relay = Relay(place)
    client, server = relay.connect()
    server.socket.shutdown(socket.SHUT_WR)
    check_equal(client.read_to_end(), b"")
    check_quiet(relay, "half a server")
    server.close()
    relay.check_idle()


@test("peers that stopped reading but still send cost no time, and are heard")
def _(place):
    relay = Relay(place)
    client, server = relay.connect()
    client.socket.shutdown(socket.SHUT_RD)
    server.send(COMMAND)
    server.wait_read()
    check_quiet(relay, "a deaf client")
    client.send(COMMAND)
    check_equal(server.read(len(COMMAND)), COMMAND)
    client.close()
    check_equal(server.read_to_end(), b"")
    server.close()
    relay.check_idle()


@test("both sides stalled, then one gone: no time is lost, and what it sent arrives")
def _(place):
    for gone, stays in ((0, 1), (1, 0)):
        relay = Relay(place)
        pair = relay.connect()
        n_sent = stall(pair[gone])
        stall(pair[stays])
        check_quiet(relay, "two stalled sides")
        pair[gone].close()
        check_quiet(relay, "one side stalled, the other gone")
        check_equal(len(pair[stays].read_to_end()), n_sent)
        pair[stays].close()
        relay.check_idle()


@test("an urgent byte costs no time and disturbs nothing")
def _(place):
    relay = Relay(place)
    client, server = relay.connect()
    for peer, other in ((client, server), (server, client)):
        try:
            peer.socket.send(b"!", socket.MSG_OOB)
        except OSError:
            return  # this kernel has none on unix sockets
        check_quiet(relay, "an urgent byte")
        peer.send(COMMAND)
        check_equal(other.read(len(COMMAND)), COMMAND)
    client.close()
    server.close()
    relay.check_idle()


# --- a server that has no time ---------------------------------------------------------------------

@test("%d clients before a server whose queue is full: each gets its turn but those that went" % N_WAITING)
def _(place):
    relay = Relay(place, backlog=0)
    clients = [place.client(relay.shim.path) for _ in range(N_WAITING)]
    for i, client in enumerate(clients):
        client.send(b"%d" % i)
    check_quiet(relay, "a full queue")
    # the queue has the first; the last one waits in the shim
    clients[-1].close()
    until(lambda: "gone before the server had time" in relay.shim.said(), "the shim to notice")
    heard = set()
    for _ in range(N_WAITING - 1):
        server = relay.listening.accept()
        heard.add(int(server.read(1)))
        server.close()
    check_equal(heard, set(range(N_WAITING - 1)))
    for client in clients[:-1]:
        check_equal(client.read_to_end(), b"")
    relay.check_idle()


# --- fds -------------------------------------------------------------------------------------------

@test("out of fds: clients wait, all are served in the end, the log says so once")
def _(place):
    relay = Relay(place, max_fds=20)
    clients = [place.client(relay.shim.path) for _ in range(40)]
    for i, client in enumerate(clients):
        client.send(b"%02d" % i)
    until(lambda: "cannot accept clients for now" in relay.shim.said(), "the shim to run out of fds")
    check_quiet(relay, "clients that it cannot accept")
    for _ in clients:
        server = relay.listening.accept()
        name = server.read(2)
        server.send(name)
        server.close()
        check_equal(clients[int(name)].read_to_end(), name)
        clients[int(name)].close()
    relay.check_idle()
    check_equal(relay.shim.said().count("cannot accept clients for now"), 1)


@test("fds that the shim has no room for are lost, the command is not, the log says so")
def _(place):
    relay = Relay(place, max_fds=30)
    client, server = relay.connect()
    with open("/dev/null", "rb") as null:
        client.send(COMMAND, [null.fileno()] * MAX_FDS)
    check_equal(server.read(len(COMMAND)), COMMAND)
    assert sum(len(fds) for _, fds in server.fds) < MAX_FDS
    assert "file descriptors were lost" in relay.shim.said()
    client.close()
    server.close()
    relay.check_idle()


# --- a thousand ------------------------------------------------------------------------------------

@test("%d sessions at once: each is its own, memory is bounded, all are forgotten" % N_SESSIONS)
def _(place):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    relay = Relay(place)
    before_kb = relay.shim.status_kb("VmRSS")
    pairs = [relay.connect() for _ in range(N_SESSIONS)]
    for i, (client, _) in enumerate(pairs):
        client.send(b"%04d" % i)
    for i, (_, server) in enumerate(pairs):
        check_equal(server.read(4), b"%04d" % i)
        server.send(b"%04d" % (9999 - i))
    for i, (client, _) in enumerate(pairs):
        check_equal(client.read(4), b"%04d" % (9999 - i))
    if not relay.shim.is_sanitized():
        used_kb = relay.shim.status_kb("VmRSS") - before_kb
        assert used_kb <= SESSION_MAX_KB * N_SESSIONS, "%d kB for %d sessions" % (used_kb, N_SESSIONS)
    check_quiet(relay, "idle sessions")
    for i, pair in enumerate(pairs):
        pair[i % 2].close()
        check_equal(pair[1 - i % 2].read_to_end(), b"")
        pair[1 - i % 2].close()
    relay.check_idle()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


sys.exit(tap.run())
