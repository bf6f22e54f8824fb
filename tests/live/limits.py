#!/usr/bin/env python3
"""
The limits of the process and of its commands, at n and with one more; those of a session are in
tests/cases/limits.case.  What each limit is, and what happens at it, is in qmp-shim(1).
"""

import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time

from qmplive import DEADLINE_S, MAX_FDS, Server, Tap, check_equal, is_listening, until

ACTIVATION_MAX_FDS = 4096
ASKING_MAX_BYTES = 64 << 20
CONN_MAX_FDS = MAX_FDS
CONTROL_MAX_CLIENTS = 16
CONTROL_TIMEOUT_MS = 5000
KEEP_MAX_FAILURES = 50
KEEP_MAX_FDS = 4096
PAIR_LINGER_MS = 2000
PROBE_MAX_ANSWER_BYTES = 64 << 20
REQUEST_MAX_BYTES = 8192
RULES_MAX_FILE_BYTES = 16 << 20
TAKEOVER_MAX_WORDS = 128

PROGRAM = os.path.abspath(os.environ.get("QMP_SHIM", "./qmp-shim"))
RULES = b'{"qmp-shim-rules": 1, "name": "mine", "rules": []}'

tap = Tap()
test = tap.in_place


def program(*arguments):
    return subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, timeout=5 * DEADLINE_S, check=False)


def write(path, data):
    with open(path, "wb") as file:
        file.write(data)
    return path


def session(place, path, server):
    client = place.client(path)
    peer = server.accept()
    peer.send(Server.GREETING)
    check_equal(client.read_line(), Server.GREETING)
    return client, peer


# --- the control socket ----------------------------------------------------------------------------

def ask(place, control, text):
    client = place.client(control)
    try:
        client.send(text)
        return client.read_to_end()
    except BrokenPipeError:
        return b""  # turned away


@test("a control socket has %d clients at once, one more is turned away, and may come again" % CONTROL_MAX_CLIENTS)
def _(place):
    server, control = place.server(), place.path("control")
    place.shim(server.path, "--no-rules", "--control", control, "--no-redact")
    followers = [place.client(control) for _ in range(CONTROL_MAX_CLIENTS)]
    for follower in followers:
        follower.send(b'{"do": "trace-follow"}\n')
        follower.read_line()  # the header
    check_equal(ask(place, control, b'{"do": "status"}\n'), b"", "one more")
    followers.pop().close()
    until(lambda: b"uptime_ms" in ask(place, control, b'{"do": "status"}\n'), "room for an asker")
    for follower in followers:
        assert not follower.is_readable(), "a follower was disturbed"


@test("a request has %d bytes before its line end; with one more it is cut, and refused" % REQUEST_MAX_BYTES)
def _(place):
    server, control = place.server(), place.path("control")
    place.shim(server.path, "--no-rules", "--control", control)
    request = b'{"do": "status"}'
    for n, wanted in ((REQUEST_MAX_BYTES, "uptime_ms"), (REQUEST_MAX_BYTES + 1, "error")):
        said = ask(place, control, request.rjust(n) + b"\n")
        assert wanted in json.loads(said), "%d bytes gave %s" % (n, said)


@test("an answer of a control socket has 64 MiB, a longer one is refused")
def _(place):
    for n, is_too_long in ((ASKING_MAX_BYTES, False), (ASKING_MAX_BYTES + 1, True)):
        server = place.server()
        thread = threading.Thread(target=answer_once, args=(server, b" " * n), daemon=True)
        thread.start()
        done = program("status", server.path)
        thread.join(DEADLINE_S)
        assert done.returncode != 0, done.stdout
        check_equal("its answer is too long" in done.stderr, is_too_long, done.stderr)


def answer_once(server, data):
    with server.accept() as peer:
        try:
            peer.socket.settimeout(DEADLINE_S)
            peer.socket.sendall(data)
        except OSError:
            pass  # it was too much


def n_sockets(process):
    return sum(fd.startswith("socket:") for fd in process.fds())


@test("who does not read the answer of a control socket is cut off, and not sooner than told")
def _(place):
    server, control = place.server(), place.path("control")
    shim = place.shim(server.path, "--no-rules", "--control", control)
    for _ in range(1200):  # their descriptions are more than a socket holds
        place.client(shim.path)
        server.accept()
    n, begin = n_sockets(shim), time.monotonic()
    client = place.client(control)
    client.send(b'{"do": "status"}\n')
    until(lambda: n_sockets(shim) > n, "the asker to be there")
    until(lambda: n_sockets(shim) == n, "the asker to be cut off")
    assert time.monotonic() - begin >= CONTROL_TIMEOUT_MS / 1000 - 0.1, "too soon"
    assert not client.read_to_end().endswith(b"}\n"), "all of it was there"


@test("a server that does not read what a client said that has gone has so long, and no longer")
def _(place):
    server = place.server()
    shim = place.shim(server.path)
    client, peer = session(place, shim.path, server)
    text = b'{"execute":"query-name"}\n' * 1000
    client.send(text)
    client.wait_read()
    client.close()
    begin = time.monotonic()
    until(lambda: "session closed" in shim.said(), "the end of the session")
    assert time.monotonic() - begin >= PAIR_LINGER_MS / 1000 - 0.1, "too soon"
    check_equal(peer.read_to_end(), text)


# --- files and words --------------------------------------------------------------------------------

@test("a rule file has 16 MiB, a longer one is refused")
def _(place):
    path = place.path("rules") + ".jsonc"
    for n, status in ((RULES_MAX_FILE_BYTES, 0), (RULES_MAX_FILE_BYTES + 1, 2)):
        done = program("check", write(path, RULES.ljust(n)))
        check_equal(done.returncode, status, done.stderr)
        check_equal("File too large" in done.stderr, bool(status), done.stderr)


@test("a server that is asked for its schema may say 64 MiB in one message, not more")
def _(place):
    path = write(place.path("rules") + ".jsonc", RULES)
    for n, is_too_long in ((PROBE_MAX_ANSWER_BYTES, False), (PROBE_MAX_ANSWER_BYTES + 1, True)):
        server = place.server()
        data = b'{"QMP": {}, "x": "%s"' % (b"x" * (16 << 20))
        data += b" " * (n - len(data) - 1) + b"}"
        check_equal(len(data), n)
        thread = threading.Thread(target=answer_once, args=(server, data), daemon=True)
        thread.start()
        done = program("check", "--against", server.path, path)
        thread.join(DEADLINE_S)
        assert done.returncode != 0, done.stdout
        check_equal("the answer is too long" in done.stderr, is_too_long, done.stderr)


@test("takeover passes on %d words of options, and refuses one more" % TAKEOVER_MAX_WORDS)
def _(place):
    nobody = place.path("nobody")
    for n, status in ((TAKEOVER_MAX_WORDS, 1), (TAKEOVER_MAX_WORDS + 1, 2)):
        words = ["--rules", "x"] * ((n - 2) // 2) + ["--no-probe"] * (n % 2)
        done = program("takeover", *words, nobody)
        check_equal(done.returncode, status, "%d words: %s" % (n, done.stderr))


# --- file descriptors -------------------------------------------------------------------------------

@test("a message brings %d file descriptors, and the kernel allows no more" % CONN_MAX_FDS)
def _(place):
    server = place.server()
    shim = place.shim(server.path)
    client = place.client(shim.path)
    peer = server.accept()
    with open("/dev/null", "rb") as null:
        client.send(b"a", [null.fileno()] * CONN_MAX_FDS)
        check_equal(peer.read(1), b"a")
        check_equal([len(fds) for _, fds in peer.fds], [CONN_MAX_FDS])
        try:
            client.send(b"b", [null.fileno()] * (CONN_MAX_FDS + 1))
            raise AssertionError("the kernel has another limit")
        except OSError:
            pass
    client.send(b"c")
    check_equal(peer.read(1), b"c")


# So many sockets, from 3 on, the first of a path, and a program that is told so.
LAUNCH = """
import os, resource, socket, sys
n = int(sys.argv[2])
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
os.closerange(3, 100)
sockets = [socket.socket(socket.AF_UNIX) for _ in range(n)]
for i, s in enumerate(sockets):
    s.bind(sys.argv[1] if i == 0 else "")
    s.listen(8)
    os.set_inheritable(s.fileno(), True)
assert [s.fileno() for s in sockets] == list(range(3, 3 + n))
os.environ.update(LISTEN_FDS=str(n), LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[3], sys.argv[3:])
"""


def may_open(n):
    """May a process of this user have so many open files?  If not there is nothing to be seen."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1] >= n


def handed(place, path, n, *words):
    """A program that inherits n sockets."""
    process = place.run([sys.executable, "-c", LAUNCH, path, str(n), PROGRAM, *words], "shim")
    until(lambda: process.said().count('msg="listening"') >= min(n, ACTIVATION_MAX_FDS) or not process.is_running(), "the shim to listen")
    return process


def kill_shim(keeper):
    with open("/proc/%d/task/%d/children" % (keeper.pid, keeper.pid), encoding="ascii") as file:
        os.kill(int(file.read().split()[0]), signal.SIGKILL)


@test("a listening socket that is inherited more than once is used once, however often it is")
def _(place):
    if not may_open(700):
        return
    path, server = place.path("front"), place.server()
    once_more = LAUNCH.replace("s.listen(8)", "s.listen(8) if i == 0 else os.dup2(3, s.fileno())").replace(
        "s.bind(sys.argv[1] if i == 0 else \"\")", "i > 0 or s.bind(sys.argv[1])")
    shim = place.run([sys.executable, "-c", once_more, path, "600", PROGRAM, "run", "--connect", server.path, "--no-rules"], "shim")
    until(lambda: "inherited more than once" in shim.said(), "the shim to say so")
    assert "times=599" in shim.said(), shim.said()
    check_equal(shim.said().count('msg="listening"'), 1)
    session(place, path, server)
    assert len(shim.fds()) < 50, shim.fds()


@test("a process inherits %d sockets, and closes what is beyond unseen" % ACTIVATION_MAX_FDS)
def _(place):
    n_fds = set()
    if not may_open(ACTIVATION_MAX_FDS + 100):
        return
    for n in (ACTIVATION_MAX_FDS, ACTIVATION_MAX_FDS + 1):
        path, server = place.path("front"), place.server()
        shim = handed(place, path, n, "run", "--connect", server.path, "--no-rules")
        session(place, path, server)
        check_equal(shim.said().count('msg="listening"'), ACTIVATION_MAX_FDS, "of %d" % n)
        n_fds.add(len(shim.fds()))
        shim.signal(signal.SIGTERM)
        check_equal(shim.wait(), 0, shim.said()[-1000:])
    check_equal(len(n_fds), 1, "numbers of fds: %s" % n_fds)


@test("a keeper keeps %d file descriptors, and not what is beyond" % KEEP_MAX_FDS)
def _(place):
    if not may_open(2 * KEEP_MAX_FDS + 100):  # each for a moment twice
        return
    for n, is_kept in ((KEEP_MAX_FDS - 3, True), (KEEP_MAX_FDS - 2, False)):  # a session has three
        path, server = place.path("front"), place.server()
        keeper = handed(place, path, n, "keep", "run", "--connect", server.path, "--no-rules")
        client, peer = session(place, path, server)
        kill_shim(keeper)
        if is_kept:
            client.send(b'{"execute": "x"}\r\n')
            check_equal(peer.read_line(), b'{"execute": "x"}\r\n')
        else:
            check_equal(client.read_to_end(), b"")
            session(place, path, server)
        keeper.signal(signal.SIGTERM)
        check_equal(keeper.wait(), 0, keeper.said()[-1000:])


@test("a shim that fails %d times in a row is the keeper's end" % KEEP_MAX_FAILURES)
def _(place):
    server, path = place.server(), place.path("front")
    rules = write(place.path("rules") + ".jsonc", RULES)
    keeper = place.run([PROGRAM, "keep", "run", "--listen", path, "--connect", server.path, "--rules", rules, "--no-probe"], "keep")
    until(lambda: is_listening(path), "the shim to listen")
    session(place, path, server)
    write(rules, b"wrong")
    kill_shim(keeper)
    check_equal(keeper.wait(5 * DEADLINE_S), 1)
    # the first one was killed, and did not fail
    check_equal(keeper.said().count("the shim has ended, the next one goes on"), KEEP_MAX_FAILURES)


sys.exit(tap.run())
