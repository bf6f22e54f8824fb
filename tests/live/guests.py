#!/usr/bin/env python3
"""
One shim for a host: a socket in front for every socket that appears in a folder, gone when it
goes; what else is there; and no guest at the cost of another.
"""

import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import threading

from qmplive import DEADLINE_S, Deadline, Place, Server, Tap, check_equal, is_listening, until

PROGRAM = os.path.abspath(os.environ.get("QMP_SHIM", "./qmp-shim"))
N_GUESTS = int(os.environ.get("QMPLIVE_GUESTS", "1000"))
tap = Tap()


class Host:
    """Two folders, the shim between them, and its status."""

    def __init__(self, place, *more):
        self.place = place
        self.front, self.back = place.path("front"), place.path("back")
        os.mkdir(self.front)
        os.mkdir(self.back)
        self.control = place.path("control")
        self.more = more

    def start(self):
        self.shim = self.place.run([PROGRAM, "run", "--dir", self.front, "--upstream-dir", self.back,
                                    "--control", self.control, *(self.more or ["--no-rules"])], "shim")
        self.shim.wait_listening(self.control)
        return self

    def server(self, name):
        return self.place.keep(Server(os.path.join(self.back, name)))

    def path(self, name):
        return os.path.join(self.front, name)

    def until_served(self, *names):
        for name in names:
            until(lambda n=name: is_listening(self.path(n)), "a socket for " + name)

    def until_gone(self, *names):
        for name in names:
            until(lambda n=name: not os.path.lexists(self.path(n)), "the socket of %s to go" % name)

    def status(self):
        done = subprocess.run([PROGRAM, "status", "--json", self.control], capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    def guests(self):
        return {g["name"]: g for g in self.status()["guests"]}

    def until_reason(self, name, words):
        until(lambda: words in self.guests().get(name, {}).get("reason", ""), "%s not to be served: %s" % (name, words))


def host(name, *more):
    """A test with a host of its own, whose shim must end well."""
    def declare(function):
        def run():
            with Place() as place:
                h = Host(place, *more)
                function(h)
                h.shim.signal(signal.SIGTERM)
                check_equal(h.shim.wait(), 0, "the exit status\n" + h.shim.said())
        return tap.test(name)(run)
    return declare


def talk(h, name, server):
    """A client of this guest reaches its server and no other."""
    client = h.place.client(h.path(name))
    peer = server.accept()
    peer.send(b'{"QMP": {"version": {}, "capabilities": [], "of": "%s"}}\r\n' % name.encode())
    check_equal(json.loads(client.read_line())["QMP"]["of"], name)
    return client, peer


@host("sockets that are there and sockets that come are served, each by its own server")
def _(h):
    before = h.server("before")
    h.start()
    h.until_served("before")
    after = h.server("after")
    h.until_served("after")
    for name, server in (("before", before), ("after", after)):
        talk(h, name, server)
    guests = h.guests()
    check_equal({n: (g["open"], g["sessions"], g["listen"]) for n, g in guests.items()},
                {n: (1, 1, h.path(n)) for n in ("before", "after")})
    check_equal(sorted(s["guest"] for s in h.status()["sessions"]), ["after", "before"])
    said = subprocess.run([PROGRAM, "status", h.control], capture_output=True, text=True, check=True).stdout
    assert "guests: 2 served, 0 passed over" in said and "guest after: 1 open, 1 in all" in said, said


@host("a socket that goes takes its front socket with it, and its sessions go on")
def _(h):
    server, other = h.server("a"), h.server("b")
    h.start()
    h.until_served("a", "b")
    client, peer = talk(h, "a", server)
    os.unlink(server.path)
    h.until_gone("a")
    peer.send(b'{"event": "X"}\r\n')
    check_equal(client.read_line(), b'{"event": "X"}\r\n')
    talk(h, "b", other)
    again = h.server("a")
    h.until_served("a")
    talk(h, "a", again)


@host("a guest that is started anew keeps its front socket")
def _(h):
    h.server("a")
    other = h.server("z")
    h.start()
    h.until_served("a", "z")
    inode = os.stat(h.path("a")).st_ino
    new = Server(os.path.join(h.back, ".new"))
    h.place.keep(new)
    os.rename(new.path, os.path.join(h.back, "a"))
    h.server("zz")
    h.until_served("zz")
    check_equal(os.stat(h.path("a")).st_ino, inode)
    talk(h, "a", new)
    talk(h, "z", other)


@host("links, files, folders, dead sockets, hidden ones and long names are passed over, with the reason")
def _(h):
    target = h.server("real")
    os.symlink(target.path, os.path.join(h.back, "link"))
    os.symlink("nothing", os.path.join(h.back, "dangling"))
    os.mkdir(os.path.join(h.back, "folder"))
    os.mkfifo(os.path.join(h.back, "pipe"))
    with open(os.path.join(h.back, "file"), "w", encoding="ascii"):
        pass
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(os.path.join(h.back, "dead"))
    h.place.keep(Server(os.path.join(h.back, ".hidden")))
    long = "n" * (108 - len(h.front) - 1)
    with open(os.path.join(h.back, long), "w", encoding="ascii"):
        pass
    h.start()
    h.until_served("real")
    reasons = {n: g.get("reason") for n, g in h.guests().items()}
    check_equal(reasons, {"real": None, "link": "a symbolic link is not followed",
                          "dangling": "a symbolic link is not followed", "folder": "it is no socket",
                          "pipe": "it is no socket", "file": "it is no socket", "dead": "nobody holds this socket",
                          long: "the path is longer than the 107 bytes of a socket address"})
    check_equal(os.listdir(h.front), ["real"])
    said = subprocess.run([PROGRAM, "status", h.control], capture_output=True, text=True, check=True).stdout
    assert "guest dead is not served: nobody holds this socket" in said, said


@host("a dead socket is served once somebody listens in its place, and each reason is logged once")
def _(h):
    path = os.path.join(h.back, "a")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path)
    h.start()
    h.until_reason("a", "nobody holds")
    for i in range(3):
        h.server("other%d" % i)
        h.until_served("other%d" % i)
    check_equal(h.shim.said().count("nobody holds"), 1)
    os.unlink(path)
    server = h.server("a")
    h.until_served("a")
    talk(h, "a", server)


@host("what is no socket of the shim's stays in front, and the guest is served once it is gone")
def _(h):
    blocked, free = h.server("blocked"), h.server("free")
    with open(h.path("blocked"), "w", encoding="ascii") as file:
        file.write("mine")
    foreign = h.place.keep(Server(h.path("foreign")))
    h.server("foreign")
    h.start()
    h.until_served("free")
    h.until_reason("blocked", "there is a file that is no socket")
    h.until_reason("foreign", "another process uses this socket")
    os.unlink(h.path("blocked"))
    h.server("news")
    h.until_served("news", "blocked")
    talk(h, "blocked", blocked)
    talk(h, "free", free)
    assert os.path.exists(foreign.path)


@host("dead sockets that a killed shim left in front are removed, and nothing else")
def _(h):
    h.server("a")
    h.start()
    h.until_served("a")
    h.shim.kill()
    os.unlink(os.path.join(h.back, "a"))
    with open(h.path("file"), "w", encoding="ascii"):
        pass
    h.server("b")
    h.start()
    h.until_served("b")
    check_equal(sorted(os.listdir(h.front)), ["b", "file"])


@host("a front socket that somebody removes is put back, also that of a single server")
def _(h):
    server = h.server("a")
    h.start()
    h.until_served("a")
    os.unlink(h.path("a"))
    until(lambda: os.path.exists(h.path("a")), "the socket to come back")
    talk(h, "a", server)
    single = h.place.server()
    shim = h.place.shim(single.path, "--no-rules", "--socket-mode", "0640")
    for _ in range(3):
        os.unlink(shim.path)
        until(lambda: os.path.exists(shim.path), "the socket to come back")
    until(lambda: os.stat(shim.path).st_mode & 0o777 == 0o640, "its mode")
    h.place.client(shim.path)
    single.accept()


@host("guests beyond the limit wait until others have gone", "--no-rules", "--max-guests", "2")
def _(h):
    servers = {name: h.server(name) for name in "abc"}
    h.start()
    h.until_served("a", "b")
    h.until_reason("c", "too many guests")
    check_equal(sorted(os.listdir(h.front)), ["a", "b"])
    os.unlink(servers["a"].path)
    h.until_gone("a")
    h.until_served("c")
    talk(h, "c", servers["c"])


@host("a folder that goes and comes back is served again")
def _(h):
    h.server("a")
    h.start()
    h.until_served("a")
    os.unlink(os.path.join(h.back, "a"))
    os.rmdir(h.back)
    h.until_gone("a")
    os.mkdir(h.back)
    again = h.server("a")
    h.until_served("a")
    talk(h, "a", again)


@tap.test("folders that are missing, the same, or mixed with --listen are refused")
def _():
    with Place() as place:
        folder = place.path("folder")
        os.mkdir(folder)
        link = place.path("link")
        os.symlink(folder, link)
        for words, status, said in (
                (["--dir", folder, "--upstream-dir", place.path("no")], 1, "No such file"),
                (["--dir", folder, "--upstream-dir", PROGRAM], 1, "Not a directory"),
                (["--dir", folder, "--upstream-dir", link], 1, "the same folder"),
                (["--dir", folder, "--upstream-dir", folder], 2, "the same path"),
                (["--dir", folder], 2, "go together"),
                (["--dir", folder, "--upstream-dir", link, "--listen", "x"], 2, "excludes")):
            done = subprocess.run([PROGRAM, "run", "--no-rules", *words], capture_output=True, text=True, check=False,
                                  timeout=DEADLINE_S)
            check_equal((done.returncode, said in done.stderr), (status, True), done.stderr)


@host("clients beyond a guest's share wait, and other guests do not", "--no-rules", "--max-sessions", "2")
def _(h):
    greedy, modest = h.server("greedy"), h.server("modest")
    greedy.socket.listen(64)
    h.start()
    h.until_served("greedy", "modest")
    clients = [h.place.client(h.path("greedy")) for _ in range(20)]
    peers = [greedy.accept(), greedy.accept()]
    talk(h, "modest", modest)
    guests = h.guests()
    check_equal((guests["greedy"]["open"], guests["modest"]["open"]), (2, 1))
    for client in clients[:2]:
        client.close()
    for peer in peers:
        peer.close()
    greedy.accept()
    greedy.accept()
    until(lambda: h.guests()["greedy"]["sessions"] == 4, "the next two to come in")


@host("a guest that floods does not keep another waiting")
def _(h):
    loud, quiet = h.server("loud"), h.server("quiet")
    h.start()
    h.until_served("loud", "quiet")
    pairs = [talk(h, "loud", loud) for _ in range(4)]
    client, peer = talk(h, "quiet", quiet)
    stop = threading.Event()
    events = b'{"event": "FLOOD", "data": {"x": [1, 2, 3]}}\r\n' * 2000
    n_bytes = [0]

    def flood(source):
        while not stop.is_set():
            try:
                source.socket.settimeout(0.2)
                source.socket.send(events)
            except (TimeoutError, OSError):
                pass

    def drain(sink):
        sink.socket.settimeout(0.2)
        while not stop.is_set():
            try:
                n_bytes[0] += len(sink.socket.recv(1 << 20))
            except (TimeoutError, OSError):
                pass

    threads = [threading.Thread(target=f, args=(p,)) for c, s in pairs for f, p in ((flood, s), (drain, c))]
    for thread in threads:
        thread.start()
    try:
        until(lambda: n_bytes[0] > 1 << 22, "the flood")
        deadline = Deadline()
        for i in range(50):
            client.send(b'{"execute": "x", "id": %d}\r\n' % i)
            peer.read_until(lambda text: b"}" in text, "the command", deadline.left("the quiet guest's command"))
            peer.input = b""
            peer.send(b'{"return": {}, "id": %d}\r\n' % i)
            check_equal(client.read_line(deadline.left("the quiet guest's reply")), b'{"return": {}, "id": %d}\r\n' % i)
        flooded = n_bytes[0]
        until(lambda: n_bytes[0] > flooded, "the flood to go on")
    finally:
        stop.set()
        for thread in threads:
            thread.join()


class Crowd(threading.Thread):
    """Servers of many guests, in one thread: each greets, and answers every line."""

    def __init__(self, folder, names):
        super().__init__(daemon=True)
        self.poll, self.listening, self.peers = select.epoll(), {}, {}
        self.is_over = False
        for name in names:
            s = socket.socket(socket.AF_UNIX)
            s.bind(os.path.join(folder, name))
            s.listen(1)
            self.listening[s.fileno()] = (s, name)
            self.poll.register(s, select.EPOLLIN)
        self.start()

    def run(self):
        while not self.is_over:
            for fd, _ in self.poll.poll(0.1):
                if fd in self.listening:
                    self.welcome(*self.listening[fd])
                else:
                    self.answer(*self.peers[fd])

    def welcome(self, listening, name):
        peer = listening.accept()[0]
        self.peers[peer.fileno()] = (peer, name)
        self.poll.register(peer, select.EPOLLIN)
        peer.send(b'{"QMP": {"version": {}, "capabilities": [], "of": "%s"}}\r\n' % name.encode())

    def answer(self, peer, name):
        data = peer.recv(4096)
        if data:
            for line in data.splitlines():
                peer.send(b'{"return": "%s", "id": %d}\r\n' % (name.encode(), json.loads(line)["id"]))
        else:
            self.poll.unregister(peer)
            del self.peers[peer.fileno()]
            peer.close()

    def close(self):
        self.is_over = True
        self.join()
        for s, _ in [*self.listening.values(), *self.peers.values()]:
            s.close()


@host("%d guests at once, each with its own client" % N_GUESTS, "--no-rules", "--log-level", "warning")
def _(h):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4 * N_GUESTS + 100
    if hard < wanted:
        hard = wanted
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    names = ["guest%04d" % i for i in range(N_GUESTS)]
    crowd = h.place.keep(Crowd(h.back, names[:N_GUESTS // 2]))
    h.start()
    until(lambda: len(os.listdir(h.front)) == N_GUESTS // 2, "the first half", 60)
    more = h.place.keep(Crowd(h.back, names[N_GUESTS // 2:]))
    until(lambda: len(os.listdir(h.front)) == N_GUESTS, "the second half", 60)
    h.until_served(names[-1])
    clients = {name: h.place.client(h.path(name)) for name in names}
    for name, client in clients.items():
        check_equal(json.loads(client.read_line())["QMP"]["of"], name)
    for i in range(3):
        for client in clients.values():
            client.send(b'{"execute": "x", "id": %d}\r\n' % i)
        for name, client in clients.items():
            check_equal(json.loads(client.read_line()), {"return": name, "id": i})
    guests = h.guests()
    check_equal((len(guests), {g["open"] for g in guests.values()}), (N_GUESTS, {1}))
    for client in clients.values():
        client.close()
    for name in names:
        os.unlink(os.path.join(h.back, name))
    until(lambda: not os.listdir(h.front), "all front sockets to go", 60)
    until(lambda: not h.status()["sessions"], "all sessions to end", 60)
    check_equal(h.status()["guests"], [])
    crowd.close()
    more.close()


sys.exit(tap.run())
