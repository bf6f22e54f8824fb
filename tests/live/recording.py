#!/usr/bin/env python3
"""
Recording that begins and ends while a shim runs, those who follow, and disks
that are full or broken: whatever becomes of the trace, sessions go on.
"""

import errno
import functools
import json
import os
import re
import resource
import shutil
import signal
import stat
import socket
import subprocess
import sys

import qmplive
import trace

tap = qmplive.Tap()
check_equal = qmplive.check_equal
until = qmplive.until
program = trace.program


def failing(*arguments):
    """A command that must fail.  Return: what it said."""
    path = os.path.abspath(os.environ.get("QMP_SHIM", "./qmp-shim"))
    done = subprocess.run([path, *arguments], capture_output=True, text=True, timeout=60, check=False)
    check_equal(done.returncode, 1, done.stdout + done.stderr)
    return done.stderr


class Stage:
    """A shim with a control socket before a real QEMU, and a client that is connected."""

    def __init__(self, place, *options, redact=("--redact", trace.REDACT), rules=tuple(trace.RULES), **more):
        os.environ.setdefault("QMP_SHIM_RULES_PATH", os.path.abspath(os.path.join(trace.TOP, "rules")))
        self.place, self.qemu = place, place.qemu()
        self.path = place.path("shim")
        self.control = self.path + ".ctl"
        argv = [os.path.abspath(os.environ.get("QMP_SHIM", "./qmp-shim")), "run", "--listen", self.path, "--connect", self.qemu.path,
                "--control", self.control, *redact, *rules, *options]
        self.shim = place.run(argv, "shim", **more)
        self.shim.wait_listening(self.path)
        self.client = place.client(self.path)
        self.client.greet()

    def status(self):
        return json.loads(program("status", "--json", self.path))["trace"]

    def end(self):
        self.client.close()
        if self.shim.is_running():
            self.shim.signal(signal.SIGTERM)
        check_equal(self.shim.wait(), 0, self.shim.said())


def with_stage(function):
    @functools.wraps(function)
    def run():
        with qmplive.Place() as place:
            stage = Stage(place)
            function(stage)
            stage.end()
    return run


def labels(records, what="came"):
    records = qmplive.spread(records)
    return [json.loads(r["text"]).get("execute") for r in records if r["what"] == what and r["side"] == "client"]


@tap.test("recording begins and ends in the midst of sessions, and the ladder of it has their rules")
@with_stage
def _(stage):
    path = stage.place.path("trace")
    stage.client.command("query-name")
    check_equal(program("trace", "start", "--file", path, stage.path), "recording to %s\n" % path)
    stage.client.command("query-cpus", id=1)
    stage.client.command("object-add", arguments={"qom-type": "secret", "id": "s", "props": {"data": "geheim"}})
    other = stage.place.client(stage.path)  # QEMU serves one, so this one waits, and is recorded from its beginning
    until(lambda: any(r["what"] == "opened" and r["session"] == 2 for r in trace.read(path)), "the other's session in the trace")
    assert stage.status()["file"] == path and stage.status()["bytes"] > 0
    check_equal(program("trace", "stop", stage.path), "recorded to %s\n" % path)
    stage.client.command("query-status")
    other.close()
    records = trace.read(path)
    check_equal(os.stat(path).st_mode & 0o777, 0o600)
    check_equal((records[0]["what"], records[0]["continued"]), ("header", True))
    check_equal(labels(records), ["query-cpus", "object-add"])
    assert "geheim" not in json.dumps(records)
    text = program("show", "--full", path)
    assert re.search(r"query-cpus -> query-cpus-fast", text) and re.search(r"rules chosen: .*query-cpus", text), text
    check_equal(stage.status(), {"followers": 0})


@tap.test("a recording without a name goes beside the control socket; a second one, and a second end, are refused")
@with_stage
def _(stage):
    check_equal(program("trace", "start", stage.control), "recording to %s.trace\n" % stage.control)
    assert "already" in failing("trace", "start", stage.control)
    stage.client.command("query-name")
    program("trace", "stop", stage.control)
    assert "nothing is written" in failing("trace", "stop", stage.control)
    check_equal(labels(trace.read(stage.control + ".trace")), ["query-name"])
    program("trace", "start", stage.control)  # again: the other is kept
    assert os.path.exists(stage.control + ".trace.1")
    program("trace", "stop", stage.control)


@tap.test("what run --trace began can be stopped and begun anew, and a size set")
def _():
    with qmplive.Place() as place:
        path = place.path("trace")
        stage = Stage(place, "--trace", path)
        stage.client.command("query-name")
        program("trace", "stop", stage.path)
        check_equal(labels(trace.read(path)), ["qmp_capabilities", "query-name"])
        program("trace", "start", "--trace-size", "1", stage.path)
        for _ in range(14):
            stage.client.command("query-qmp-schema")
        program("trace", "stop", stage.path)
        assert os.path.getsize(path + ".1") > 1 << 20
        assert trace.read(path)[0]["continued"]
        stage.end()


@tap.test("no file is replaced that is none, and none is written where it cannot be")
@with_stage
def _(stage):
    place = stage.place
    fifo = place.path("fifo")
    os.mkfifo(fifo)
    assert "no plain file" in failing("trace", "start", "--file", fifo, stage.path)
    os.symlink("/etc/passwd", place.path("link"))
    assert "no plain file" in failing("trace", "start", "--file", place.directory + "/link.%d" % place.n_paths, stage.path)
    assert "No such file" in failing("trace", "start", "--file", place.path("none") + "/trace", stage.path)
    assert stat.S_ISFIFO(os.lstat(fifo).st_mode)
    check_equal(stage.status(), {"followers": 0})


@tap.test("nothing is recorded, by nobody, when it is not known what is secret")
def _():
    with qmplive.Place() as place:
        stage = Stage(place, redact=())
        if os.path.exists("/usr/local/share/qmp-shim/redact.jsonc") or os.path.exists("/usr/share/qmp-shim/redact.jsonc"):
            raise qmplive.Missing("this machine has an installed list of secrets")
        for command in ("start", "follow"):
            assert "secret" in failing("trace", command, stage.path)
        stage.end()


@tap.test("who follows sees what is said, without secrets, until he goes; then nothing is recorded any more")
@with_stage
def _(stage):
    path = os.path.abspath(os.environ.get("QMP_SHIM", "./qmp-shim"))
    follower = stage.place.run([path, "trace", "follow", stage.path], "follower")
    until(lambda: stage.status()["followers"] == 1, "the follower")
    stage.client.command("query-name", id=7)
    stage.client.command("object-add", arguments={"qom-type": "secret", "id": "s", "props": {"data": "geheim"}})
    until(lambda: sum(follower.said().count(what) for what in ('"sent"', '"passed"')) >= 4, "what was said")
    records = [json.loads(line) for line in follower.said().splitlines()]
    check_equal((records[0]["what"], labels(records)), ("header", ["query-name", "object-add"]))
    assert "geheim" not in follower.said()
    follower.signal(signal.SIGINT)
    check_equal(follower.wait(), -signal.SIGINT)
    until(lambda: stage.status()["followers"] == 0, "the end of the follower")
    # the file that was made of it can be shown
    copy = stage.place.path("copy")
    with open(copy, "w", encoding="ascii") as file:
        file.write(follower.said())
    assert "query-name" in program("show", copy)
    stage.client.command("query-status")


@tap.test("followers and a file get the same, each from its beginning to its end")
@with_stage
def _(stage):
    path, program_path = stage.place.path("trace"), os.path.abspath(os.environ.get("QMP_SHIM", "./qmp-shim"))
    followers = [stage.place.run([program_path, "trace", "follow", stage.control], "follower") for _ in range(3)]
    until(lambda: stage.status()["followers"] == 3, "the followers")
    stage.client.command("query-name")
    program("trace", "start", "--file", path, stage.path)
    stage.client.command("query-status")
    program("trace", "stop", stage.path)
    stage.client.command("query-version")
    for follower in followers:
        until(lambda f=follower: sum(f.said().count(what) for what in ('"sent"', '"passed"')) >= 6, "all of it")
        check_equal(labels([json.loads(line) for line in follower.said().splitlines()]), ["query-name", "query-status", "query-version"])
    check_equal(labels(trace.read(path)), ["query-status"])
    stage.end()
    for follower in followers:
        check_equal(follower.wait(), 0)


@tap.test("who follows and does not read is dropped with a notice, and no session waits for him")
@with_stage
def _(stage):
    with socket.socket(socket.AF_UNIX) as lazy:
        lazy.connect(stage.control)
        lazy.sendall(b'{"do": "trace-follow"}\n')
        until(lambda: stage.status()["followers"] == 1, "the follower")
        before = stage.shim.status_kb("VmRSS")
        for _ in range(40):  # each is recorded twice, in 500 kB
            stage.client.command("query-qmp-schema")
        until(lambda: stage.status()["followers"] == 0, "the end of the follower")
        assert qmplive.Shim.is_sanitized(stage.shim) or stage.shim.status_kb("VmRSS") - before < 80 << 10
        assert stage.shim.said().count("was too slow") == 1, stage.shim.said()
        lazy.settimeout(qmplive.DEADLINE_S)
        text = b""
        while piece := lazy.recv(1 << 20):
            text += piece
    last = json.loads(text.splitlines()[-1])
    check_equal(last["what"], "lost")
    for line in text.splitlines():
        json.loads(line)


@tap.test("askers: nothing said, half a close, a status, garbage, an unknown request, too long a one")
@with_stage
def _(stage):
    def ask(text, end=False):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(qmplive.DEADLINE_S)
            s.connect(stage.control)
            s.sendall(text)
            if end:
                s.shutdown(socket.SHUT_WR)
            answer = b""
            try:
                while piece := s.recv(1 << 16):
                    answer += piece
            except ConnectionResetError:
                pass
            return json.loads(answer)

    for text, end in ((b"", False), (b"", True), (b"\n", False), (b'{"do": "status"}\n', False), (b'{"do": "status"}', True)):
        assert "uptime_ms" in ask(text, end), text
    for text in (b"garbage\n", b"[1]\n", b"{}\n", b'{"do": "fly"}\n', b'{"do": "trace-start", "file": 7}\n', b'{"do": "trace-start", "file": "x"}\n',
                 b'{"do": "trace-start", "file": "/tmp/a\\u0000b"}\n', b'{"do": "trace-start", "file": "/tmp/x", "mib": -1}\n', b"x" * 8192):
        check_equal(list(ask(text)), ["error"], text[:50])
    check_equal(stage.status(), {"followers": 0})


# --- disks ----------------------------------------------------------------------------------------

def faulty_disk(place):
    """Return: the environment of a process whose disk can fail, and the switch."""
    compiler = os.environ.get("CC") or "cc"
    if not shutil.which(compiler.split()[0]):
        raise qmplive.Missing("%s is not here" % compiler)
    library = place.path("faulty-disk") + ".so"
    subprocess.run([*compiler.split(), "-D_GNU_SOURCE", "-shared", "-fPIC", "-O1", "-o", library, os.path.join(qmplive.HERE, "faulty-disk.c"), "-ldl"],
                   check=True)
    switch = place.path("switch")
    return {"LD_PRELOAD": library, "FAULTY_SWITCH": switch, "ASAN_OPTIONS": "verify_asan_link_order=0"}, switch


def set_fault(switch, error):
    if error:
        with open(switch + ".new", "w", encoding="ascii") as file:
            file.write("%d\n" % error)
        os.rename(switch + ".new", switch)
    else:
        os.unlink(switch)


@tap.test("a disk that is full or broken ends the trace with one line in the log, and no session")
def _():
    for error in (errno.ENOSPC, errno.EIO):
        with qmplive.Place() as place:
            path = place.path("trace")
            environment, switch = faulty_disk(place)
            stage = Stage(place, "--trace", path, env=dict(os.environ, FAULTY_PATH=path, **environment))
            stage.client.command("query-name")
            until(lambda: "query-name" in open(path, encoding="ascii").read(), "the trace")
            set_fault(switch, error)
            for i in range(20):
                check_equal(stage.client.command("query-name", id=i)["id"], i)
            until(lambda: stage.status().get("error"), "the failure")
            for i in range(20):
                check_equal(stage.client.command("query-name", id=i)["id"], i)
            check_equal(stage.shim.said().count("the trace ends here"), 1, stage.shim.said())
            assert os.strerror(error) in stage.shim.said()
            program("show", path)  # half a line is its end
            set_fault(switch, 0)
            program("trace", "start", stage.path)  # there is room again
            stage.client.command("query-status")
            program("trace", "stop", stage.path)
            check_equal(labels(trace.read(path)), ["query-status"])
            stage.end()


@tap.test("a trace longer than a process may write ends, and no session does")
def _():
    with qmplive.Place() as place:
        path = place.path("trace")

        def limit():
            qmplive.die_with_parent()
            resource.setrlimit(resource.RLIMIT_FSIZE, (300000, 300000))

        process = subprocess.Popen
        stage = None
        try:
            subprocess.Popen = lambda *a, **more: process(*a, **dict(more, preexec_fn=limit) if "run" in a[0] else more)
            stage = Stage(place, "--trace", path)
        finally:
            subprocess.Popen = process
        for _ in range(4):
            stage.client.command("query-qmp-schema")
        until(lambda: stage.status().get("error") == os.strerror(errno.EFBIG), "the end of the trace")
        stage.client.command("query-name")
        stage.end()


@tap.test("a log on a full disk loses lines, says how many when there is room, and no session waits for it")
def _():
    with qmplive.Place() as place:
        environment, switch = faulty_disk(place)
        log = os.path.join(place.directory, "log")
        with open(log, "ab") as stderr:
            environment["FAULTY_PATH"] = log
            argv = [os.path.abspath(os.environ.get("QMP_SHIM", "./qmp-shim")), "run", "--no-rules", "--log-level", "debug"]
            qemu, path = place.qemu(), place.path("shim")
            child = subprocess.Popen([*argv, "--listen", path, "--connect", qemu.path], stderr=stderr, stdin=subprocess.DEVNULL,
                                     env=dict(os.environ, **environment), preexec_fn=qmplive.die_with_parent)
        try:
            until(lambda: qmplive.is_listening(path), "the shim")
            client = place.client(path)
            client.greet()
            client.command("query-name")
            set_fault(switch, errno.ENOSPC)
            for i in range(20):
                check_equal(client.command("query-name", id=i)["id"], i)
            set_fault(switch, 0)
            client.command("query-name")
            client.close()
            child.terminate()
            check_equal(child.wait(qmplive.DEADLINE_S), 0)
        finally:
            child.kill()
            child.wait()
        with open(log, encoding="utf-8") as file:
            text = file.read()
        lost = re.findall(r'^level=warning msg="lines of this log were lost" lines=(\d+)$', text, re.MULTILINE)
        assert len(lost) == 1 and int(lost[0]) >= 20, text


@tap.test("a log to /dev/full is as good as none: the traffic passes")
def _():
    with qmplive.Place() as place:
        qemu, path = place.qemu(), place.path("shim")
        with open("/dev/full", "wb") as full:
            child = subprocess.Popen([os.path.abspath(os.environ.get("QMP_SHIM", "./qmp-shim")), "run", "--no-rules", "--log-level", "debug",
                                      "--listen", path, "--connect", qemu.path], stderr=full, stdout=full, preexec_fn=qmplive.die_with_parent)
        try:
            until(lambda: qmplive.is_listening(path), "the shim")
            client = place.client(path)
            client.greet()
            for i in range(50):
                check_equal(client.command("query-name", id=i)["id"], i)
            client.close()
            child.terminate()
            check_equal(child.wait(qmplive.DEADLINE_S), 0)
        finally:
            child.kill()
            child.wait()


if __name__ == "__main__":
    sys.exit(tap.run())
