#!/usr/bin/env python3
"""
Sessions outlive the process: kill -9, restarts and other rules, with an fd store of our own
in the place of systemd's.  Neither the client nor the server may notice.
"""

import array
import json
import os
import signal
import socket
import sys
import tempfile
import threading

from manager import Service, listening, rename, renaming, write
from qmplive import DEADLINE_S, HERE, Replay, Tap, check_equal, is_same_file, until

tap = Tap()
LONG = b'{"event": "E", "data": "'
KEEP_LOG_BYTES = 16 << 20
LONG_S = 60  # until all of it has come, on a machine with other work


test = tap.in_place


class Manager:
    """Starts the program, keeps what it stores, and starts it again with that."""

    def __init__(self, place, connect, *arguments, room=64):
        self.place, self.room = place, room
        self.arguments = ["--connect", connect] + list(arguments or ("--no-rules",))
        self.front, self.path = listening(place)
        self.address = place.path("notify")
        self.notified = place.keep(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        self.notified.bind(self.address)
        self.changed = threading.Condition()
        self.store, self.n_ready, self.n_synced, self.shim, self.said = [], 0, 0, None, ""
        self.thread = threading.Thread(target=self.listen, daemon=True)
        self.thread.start()
        place.keep(self)
        self.start()

    def close(self):
        with self.changed:
            for _, fd in self.store:
                os.close(fd)
            self.store = []

    def listen(self):
        while True:
            try:
                data, control, _, _ = self.notified.recvmsg(8192, socket.CMSG_SPACE(16))
            except OSError:
                return
            fds = [fd for _, _, content in control for fd in array.array("i", content[:len(content) // 4 * 4])]
            self.take(dict(line.partition("=")[::2] for line in data.decode().split("\n")), fds)

    def take(self, said, fds):
        with self.changed:
            if said.get("FDSTORE") == "1":
                self.store += [(said["FDNAME"], fd) for fd in fds]
            elif said.get("FDSTOREREMOVE") == "1":
                for name, fd in self.store:
                    if name == said["FDNAME"]:
                        os.close(fd)
                self.store = [(name, fd) for name, fd in self.store if name != said["FDNAME"]]
            self.n_ready += said.get("READY") == "1"
            self.n_synced += said.get("SYNC") == "1"
            self.changed.notify_all()

    def wait(self, condition, what):
        with self.changed:
            if not self.changed.wait_for(condition, DEADLINE_S):
                raise AssertionError("waited in vain for %s; in the store: %s" % (what, self.names()))

    def sync(self):
        """Until all that was said has been heard."""
        n = self.n_synced
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"SYNC=1", self.address)
        self.wait(lambda: self.n_synced > n, "our own datagram")

    def names(self):
        return sorted(name for name, _ in self.store)

    def start(self):
        n, fds = self.n_ready, [("front", self.front.fileno())] + self.store
        self.shim = Service(self.place, self.arguments, fds=[fd for _, fd in fds], path=self.path,
                            LISTEN_FDNAMES=":".join(name for name, _ in fds), NOTIFY_SOCKET=self.address,
                            FDSTORE=self.room)
        self.wait(lambda: self.n_ready > n or not self.shim.is_running(), "READY=1")
        assert self.shim.is_running(), self.shim.said()

    def end(self, number=signal.SIGKILL):
        self.shim.signal(number)
        ended = self.shim.wait()
        check_equal(ended, 0 if number == signal.SIGTERM else -number)
        self.said += self.shim.said()
        self.place.processes.remove(self.shim)
        self.sync()

    def again(self, number=signal.SIGKILL):
        self.end(number)
        self.start()

    def log(self):
        return self.said + self.shim.said()


def negotiate(client, peer, *capabilities):
    peer.send(peer_greeting())
    client.read_line()
    command(client, peer, "qmp_capabilities", arguments={"enable": list(capabilities)})


def peer_greeting():
    return (b'{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": ""}, '
            b'"capabilities": ["oob"]}}\r\n')


def command(client, peer, name, **members):
    """A command there and its reply back.  Return: what the server was asked."""
    client.send(json.dumps({"execute": name, **members}) + "\r\n")
    asked = Replay.next_command(peer)
    Replay.answer(peer, asked, {"return": {}})
    check_equal(client.read_reply()["return"], {})
    peer.read_until(lambda text: text == b"\r\n", "the end of the line")
    peer.input = b""
    return asked


def scripted(place, *arguments, **more):
    """A manager before a scripted server.  Return: it, the server."""
    server = place.server()
    return Manager(place, server.path, *arguments, **more), server


def connected(place, manager, server, *capabilities):
    client = place.client(manager.path)
    peer = server.accept()
    negotiate(client, peer, *capabilities)
    return client, peer


SEEN = {"name": "seen", "old": {"execute": "old-name", "return": {"o": "$x"}},
        "new": {"execute": "new-name", "return": {"n": "$x"}}}
HOLD = {"name": "hold", "for": "old-client", "old": {"execute": "wait"}, "new": {"execute": "wait"},
        "until": {"event": "DONE"}, "hide": True}
KEEP = {"name": "keep", "for": "old-client", "old": {"execute": "keep", "arguments": {"k": "$k", "v": "$v"}},
        "new": {"execute": "keep", "arguments": {"k": "$k"}}, "remember": {"t": {"$k": {"v": "$v"}}}}
TELL = {"name": "tell", "for": "old-client", "old": {"event": "TELL", "data": {"k": "$k", "v": "$v"}},
        "new": {"event": "TELL", "data": {"k": "$k"}}, "recall": {"t": {"$k": {"v": "$v"}}}}


def rules(place, *all_rules):
    path = place.path("rules") + ".jsonc"
    write(path, json.dumps({"qmp-shim-rules": 1, "name": "mine", "rules": all_rules}))
    return path


# --- kill -9 --------------------------------------------------------------------------------------

@test("kill -9 of an idle shim: the same connections go on, and nobody notices")
def _(place):
    manager, server = scripted(place)
    client, peer = connected(place, manager, server)
    for _ in range(3):
        manager.again()
        check_equal(command(client, peer, "x", id=1e2)["id"], 1e2)
    assert not client.is_readable() and not peer.is_readable()


@test("kill -9 in mid-command: what was asked is answered once, under the client's own id")
def _(place):
    manager, server = scripted(place, "--rules", rules(place, SEEN))
    client, peer = connected(place, manager, server)
    client.send('{"execute": "old-name", "id": {"a" : 1e0}}\r\n')
    asked = Replay.next_command(peer)
    check_equal(asked["execute"], "new-name")
    manager.again()
    peer.send(b'{"event": "BEFORE"}\r\n')
    Replay.answer(peer, asked, {"return": {"n": 1}})
    check_equal(client.read_line(), b'{"event": "BEFORE"}\r\n')
    check_equal(client.read_line(), b'{"return": {"o": 1}, "id": {"a" : 1e0}}\r\n')
    command(client, peer, "x")
    assert not client.is_readable() and not peer.is_readable()


@test("what is sent while there is no shim waits for it")
def _(place):
    manager, server = scripted(place)
    client, peer = connected(place, manager, server)
    manager.end()
    client.send(b'{"execute": "a"}\r\n')
    peer.send(b'{"event": "B"}\r\n')
    manager.start()
    check_equal(peer.read_line(), b'{"execute": "a"}\r\n')
    check_equal(client.read_line(), b'{"event": "B"}\r\n')


@test("halves of messages, killed between: each arrives whole and once")
def _(place):
    manager, server = scripted(place, "--rules", rules(place, SEEN))
    client, peer = connected(place, manager, server)
    for n in (1, 5, 14, 21):
        line = b'{"execute": "old-name"}\r\n'
        client.send(line[:n])
        client.wait_read()
        manager.again()
        client.send(line[n:])
        asked = Replay.next_command(peer)
        check_equal(asked["execute"], "new-name")
        answer = json.dumps({"return": {"n": n}, "id": asked["id"]}).encode() + b"\r\n"
        peer.send(answer[:n + 5])
        peer.wait_read()
        manager.again()
        peer.send(answer[n + 5:])
        check_equal(client.read_message(), {"return": {"o": n}})


@test("what nobody reads is not lost: the rest goes out after kill -9, byte for byte")
def _(place):
    manager, server = scripted(place)
    client, peer = connected(place, manager, server)
    sent = b"".join(b'{"event": "E", "data": {"n": %d, "x": "%s"}}\r\n' % (n, b"x" * 1000) for n in range(700))
    sender = threading.Thread(target=peer.send, args=(sent,))
    sender.start()
    got = b""
    while len(got) < len(sent):
        got += client.read(min(50000, len(sent) - len(got)))
        manager.again()
    sender.join()
    assert got == sent, "other bytes"


@test("a reply that waits for its event still does, and what was remembered is known")
def _(place):
    manager, server = scripted(place, "--rules", rules(place, HOLD, KEEP, TELL))
    client, peer = connected(place, manager, server)
    command(client, peer, "keep", arguments={"k": "a", "v": 7})
    manager.again()
    client.send('{"execute": "wait", "id": "w"}\r\n')
    asked = Replay.next_command(peer)
    manager.again()
    Replay.answer(peer, asked, {"return": {}})
    peer.wait_read()
    manager.again()
    peer.send(b'{"event": "DONE"}\r\n{"event": "TELL", "data": {"k": "a"}}\r\n')
    check_equal(client.read_message(), {"return": {}, "id": "w"})
    check_equal(client.read_message(), {"event": "TELL", "data": {"k": "a", "v": 7}})


@test("fds that wait in the shim arrive, and are the same files")
def _(place):
    manager, server = scripted(place)
    client, peer = connected(place, manager, server, "oob")
    files = [tempfile.TemporaryFile() for _ in range(3)]
    for file in files:
        client.send('{"execute": "getfd", "arguments": {"fdname": "x"}}\r\n', [file.fileno()])
    asked = Replay.next_command(peer)  # the others wait for its reply
    client.wait_read()
    manager.again()
    for i in range(3):
        Replay.answer(peer, asked, {"return": {}})
        check_equal(client.read_message(), {"return": {}})
        manager.again()
        asked = Replay.next_command(peer) if i < 2 else None
    check_equal([len(fds) for _, fds in peer.fds], [1, 1, 1])
    for file, (_, fds) in zip(files, peer.fds):
        assert is_same_file(os.getpid(), file.fileno(), os.getpid(), fds[0]), "another file"
    command(client, peer, "x")
    manager.sync()
    check_equal(manager.names(), ["client-1", "journal-1", "server-1"])
    for file in files:
        file.close()


@test("a file that a rule keeps for another command is still there")
def _(place):
    handover = os.path.join(HERE, "..", "cases", "rules", "handover.jsonc")
    manager, server = scripted(place, "--rules", handover)
    client, peer = connected(place, manager, server)
    with tempfile.TemporaryFile() as file:
        file.write(b"12345")
        file.flush()
        client.send('{"execute": "take", "arguments": {"name": "a"}}\r\n', [file.fileno()])
        Replay.answer(peer, Replay.next_command(peer), {"return": {}})
        check_equal(client.read_message(), {"return": {}})
        for _ in range(2):
            manager.again()
            command(client, peer, "x")
        client.send('{"execute": "save", "arguments": {"to": "fd:a"}}\r\n')
        asked = Replay.next_command(peer)
        check_equal(asked["execute"], "add")
        manager.again()
        Replay.answer(peer, asked, {"return": {"set": 7}})
        check_equal(Replay.next_command(peer)["arguments"], {"to": "set:7,5"})
        fds = peer.fds[-1][1]
        check_equal(os.fstat(fds[0]).st_ino, os.fstat(file.fileno()).st_ino, "the file")


# --- real servers, many kills -----------------------------------------------------------------------

class Killer(threading.Thread):
    """
    Kills the shim each time the client has got a number of answers.  The thread stays, because
    a process that it has started ends with it.
    """

    def __init__(self, manager, n_kills, every):
        super().__init__(daemon=True)
        self.manager, self.n_kills, self.every = manager, n_kills, every
        self.answered, self.done = threading.Semaphore(0), threading.Event()
        self.n_done, self.failure = 0, None
        self.start()

    def run(self):
        try:
            while self.n_done < self.n_kills:
                for _ in range(self.every):
                    self.answered.acquire()
                self.manager.again()
                self.n_done += 1
        except Exception as failure:  # pylint: disable=broad-except
            self.failure = failure
        self.done.set()
        threading.Event().wait()

    def finish(self):
        for _ in range(1000 * self.every):
            self.answered.release()
        self.done.wait(10 * DEADLINE_S)
        if self.failure:
            raise self.failure
        check_equal(self.n_done, self.n_kills)


def ask_many(client, killer, n_commands, n_at_once):
    """Commands with events, so many at once.  Each is answered once, in its turn."""
    names = ["query-status", "old-name", "stop", "query-version", "cont"]
    events = []
    for first in range(0, n_commands, n_at_once):
        batch = range(first, first + n_at_once)
        client.send("".join(json.dumps({"execute": names[n % 5], "id": n}) + "\r\n" for n in batch))
        for n in batch:
            reply = client.read_reply()
            assert "return" in reply and reply["id"] == n, "%s instead of the reply to %d" % (reply, n)
            killer.answered.release()
    killer.finish()
    check_equal(client.command("query-status", id="last")["id"], "last")
    events += [e["event"] for e in client.events]
    check_equal(events, ["STOP", "RESUME"] * (n_commands // 5), "events")


@test("30 kills under 400 commands to a real QEMU, one after the other: each is answered once, all events come")
def _(place):
    qemu = place.qemu()
    manager = Manager(place, qemu.path, "--rules", renaming(place, "query-name"))
    client = place.client(manager.path).greet()
    client.call("cont")
    client.wait_event("RESUME")
    ask_many(client, Killer(manager, 30, 13), 400, 1)
    check_equal(manager.log().count("session goes on"), 30)


@test("30 kills under 400 commands, twenty at a time, sent in short")
def _(place):
    qemu = place.qemu()
    manager = Manager(place, qemu.path, "--compact", "--rules", renaming(place, "query-name"))
    client = place.client(manager.path).greet()
    client.call("cont")
    client.wait_event("RESUME")
    ask_many(client, Killer(manager, 30, 13), 400, 20)


@test("kills under a real QEMU's long replies: each is whole")
def _(place):
    qemu = place.qemu()
    manager = Manager(place, qemu.path)
    client = place.client(manager.path).greet("oob")
    whole = client.call("query-qmp-schema")
    killer = Killer(manager, 10, 2)
    for n in range(24):
        check_equal(client.command("query-qmp-schema", id=n), {"return": whole, "id": n})
        killer.answered.release()
    killer.finish()


# --- rules, restarts ---------------------------------------------------------------------------------

@test("SIGTERM leaves sessions to the next process; they keep their rules, new ones get the new")
def _(place):
    path = renaming(place, "first-name")
    manager, server = scripted(place, "--rules", path)
    client, peer = connected(place, manager, server)
    check_equal(command(client, peer, "old-name")["execute"], "first-name")
    rename(path, "second-name")
    for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGTERM):
        manager.again(number)
        check_equal(command(client, peer, "old-name")["execute"], "first-name")
    other, other_peer = connected(place, manager, server)
    check_equal(command(other, other_peer, "old-name")["execute"], "second-name")
    manager.sync()
    check_equal(len([name for name in manager.names() if name.startswith("rules-")]), 2)
    manager.again()
    check_equal(command(client, peer, "old-name")["execute"], "first-name")
    check_equal(command(other, other_peer, "old-name")["execute"], "second-name")


@test("when a session ends nothing of it stays in the store")
def _(place):
    manager, server = scripted(place, "--rules", renaming(place, "new-name"))
    for number in (None, signal.SIGKILL):
        client, peer = connected(place, manager, server)
        manager.sync()
        names = manager.names()
        check_equal([n.split("-")[0] for n in names], ["client", "journal", "rules", "server"])
        if number:
            manager.again(number)
        client.close()
        check_equal(peer.read_to_end(), b"")
        peer.close()
        manager.wait(lambda: not manager.store, "an empty store")


@test("who ended while there was no shim is found out: what it said is passed on first")
def _(place):
    manager, server = scripted(place)
    client, peer = connected(place, manager, server)
    manager.end()
    client.send(b'{"execute": "last-words"}\r\n')
    client.close()
    manager.start()
    check_equal(peer.read_to_end(), b'{"execute": "last-words"}\r\n')
    peer.close()
    manager.wait(lambda: not manager.store, "an empty store")


@test("a client that waits for a server that has no time is connected by the next process")
def _(place):
    server = place.server()
    waiting = []  # they fill the server's queue
    for _ in range(2):
        waiting.append(place.client(server.path))
    manager = Manager(place, server.path)
    client = place.client(manager.path)
    manager.wait(lambda: len(manager.store) == 2, "the client in the store")
    manager.again()
    for _ in waiting:
        server.accept()
    negotiate(client, server.accept())


# --- limits, faults ---------------------------------------------------------------------------------

@test("a store without room: the session is served, ends with the process, and the log says so")
def _(place):
    for room in (0, 7):
        manager, server = scripted(place, room=room)
        client, peer = connected(place, manager, server)
        manager.sync()
        check_equal(manager.names(), [])
        manager.again()
        check_equal((client.read_to_end(), peer.read_to_end()), (b"", b""))


@test("--fd-store 0 is stronger than what the manager says")
def _(place):
    manager, server = scripted(place, "--no-rules", "--fd-store", "0")
    connected(place, manager, server)
    manager.sync()
    check_equal(manager.names(), [])


@test("a message too long for the journal passes; killed in it, the session ends, and the log says why")
def _(place):
    manager, server = scripted(place)
    client, peer = connected(place, manager, server)
    n = KEEP_LOG_BYTES + (1 << 20)
    sender = threading.Thread(target=peer.send, args=(LONG + b"x" * n,))
    sender.start()
    client.read(n + len(LONG), seconds=LONG_S)
    sender.join()
    assert "until it is not" in manager.log(), manager.log()
    manager.again()
    check_equal((client.read_to_end(), peer.read_to_end()), (b"", b""))
    assert "more was under way than its journal could hold" in manager.log(), manager.log()
    manager.wait(lambda: not manager.store, "an empty store")


@test("once such a message is whole, the session is kept again, and its memory is given back")
def _(place):
    manager, server = scripted(place)
    client, peer = connected(place, manager, server)
    n = KEEP_LOG_BYTES + (1 << 20)
    sender = threading.Thread(target=peer.send, args=(LONG + b"x" * n + b'"}\r\n',))
    sender.start()
    client.read(n + len(LONG) + 4, seconds=LONG_S)
    sender.join()
    for _ in range(40):
        command(client, peer, "x")
    manager.sync()
    journal = dict(manager.store)["journal-1"]
    until(lambda: os.fstat(journal).st_blocks * 512 < 1 << 20, "the journal to be small")
    manager.again()
    command(client, peer, "y")


@test("a connection to the server that the store has lost: the session ends, and the log says why")
def _(place):
    manager, server = scripted(place)
    client, _ = connected(place, manager, server)
    manager.sync()
    manager.end()
    fd = dict(manager.store)["server-1"]
    manager.store.remove(("server-1", fd))
    os.close(fd)
    manager.start()
    check_equal(client.read_to_end(), b"")
    assert "the server's connection is not there" in manager.log(), manager.log()
    connected(place, manager, server)


@test("strange things in the store do no harm: they are refused, removed and logged")
def _(place):
    manager, server = scripted(place)
    client, peer = connected(place, manager, server)
    manager.end()
    null = os.open("/dev/null", os.O_RDWR)
    for name in ("journal-77", "client-77", "server-88", "ride-1-99", "ride-99-0", "rules-0123", "journal-", "client-x"):
        manager.store.append((name, os.dup(null)))
    with tempfile.TemporaryFile() as file:
        file.truncate(64 << 20)
        manager.store.append(("journal-5", os.dup(file.fileno())))
    os.close(null)
    manager.start()
    command(client, peer, "x")
    manager.sync()
    check_equal(manager.names(), ["client-1", "journal-1", "server-1"])
    assert "session=5 " in manager.log() and "session=77" in manager.log(), manager.log()


sys.exit(tap.run())
