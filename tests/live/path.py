#!/usr/bin/env python3
"""
What stands on the path, and who may touch it: the socket, the rule files, the log.

The shim replaces a socket that nobody uses and nothing else; nobody else can connect at any time;
it uses no rules that anybody could have written; and no peer writes lines of its own into the log.
"""

import json
import os
import re
import shlex
import socket
import stat
import subprocess
import sys

from qmplive import DEADLINE_S, Place, Server, Shim, Tap, check_equal, is_listening, rule_file, until

tap = Tap()
LINE = re.compile(r'^level=[a-z]+ msg="[^"\\]*"( [a-z_]+=("(?:[^"\\\x00-\x1f\x7f-\xff]|\\["\\nrt]|\\x[0-9a-f]{2})*"|[a-z0-9.]+))*$')


def start(place, listen, *more, umask=None):
    """Return: a process, whatever becomes of it."""
    program = os.path.abspath(os.environ.get("QMP_SHIM", "./qmp-shim"))
    command = shlex.join([program, "run", "--listen", listen, "--connect", place.path("nobody"), *(more or ["--no-rules"])])
    return place.run(["sh", "-c", "%s exec %s" % ("umask %s;" % umask if umask else "", command)], "shim")


def check_refused(place, listen, said):
    process = start(place, listen)
    check_equal(process.wait(), 1, "exit status")
    assert said in process.said(), "%r is not in %s" % (said, process.said())


def stale_socket(path):
    with socket.socket(socket.AF_UNIX) as old:
        old.bind(path)


@tap.test("a socket that nobody listens on is replaced")
def _():
    with Place() as place:
        path = place.path("socket")
        stale_socket(path)
        inode = os.stat(path).st_ino, os.stat(path).st_mtime_ns
        process = start(place, path)
        process.wait_listening(path)
        assert (os.stat(path).st_ino, os.stat(path).st_mtime_ns) != inode, "the same file"


@tap.test("a socket that somebody listens on is left alone, and gets no client of it")
def _():
    with Place() as place, socket.socket(socket.AF_UNIX) as other:
        path = place.path("socket")
        other.bind(path)
        other.listen(1)
        check_refused(place, path, "another process uses this socket")
        other.setblocking(False)
        try:
            other.accept()
            raise AssertionError("it connected")
        except BlockingIOError:
            pass
        assert os.path.exists(path)


@tap.test("files, folders, pipes and links are left alone")
def _():
    with Place() as place:
        target = place.path("target")
        with open(target, "w", encoding="ascii") as file:
            file.write("content")
        stale = place.path("stale")
        stale_socket(stale)
        folder, pipe, link, dangling, to_socket = [place.path(n) for n in ("folder", "pipe", "link", "dangling", "to-socket")]
        os.mkdir(folder)
        os.mkfifo(pipe)
        os.symlink(target, link)
        os.symlink(place.path("nothing"), dangling)
        os.symlink(stale, to_socket)
        for path in (target, folder, pipe, link, dangling, to_socket):
            before = os.lstat(path)
            check_refused(place, path, "there is a file that is no socket")
            after = os.lstat(path)
            check_equal((after.st_ino, after.st_mode), (before.st_ino, before.st_mode), path)
        with open(target, encoding="ascii") as file:
            check_equal(file.read(), "content")


@tap.test("the socket is for its owner alone, whatever the umask, before the first client")
def _():
    with Place() as place:
        for umask in ("000", "022", "077", "0777"):
            path = place.path("socket")
            process = start(place, path, umask=umask)
            # as soon as there is a file at all
            until(lambda: os.path.exists(path), "the socket")
            check_equal(stat.S_IMODE(os.stat(path).st_mode), 0o600, "umask " + umask)
            process.wait_listening(path)
            check_equal(stat.S_IMODE(os.stat(path).st_mode), 0o600, "umask " + umask)


@tap.test("the socket never has a wider mode, not for a moment")
def _():
    """strace, where there is one, tells every call that could have made it so."""
    with Place() as place:
        path = place.path("socket")
        trace = place.path("trace")
        program = os.path.abspath(os.environ.get("QMP_SHIM", "./qmp-shim"))
        try:
            process = place.run(["strace", "-D", "-f", "-o", trace, "-e", "trace=umask,bind,chmod,fchmod,fchmodat,listen", program, "run",
                                 "--listen", path, "--connect", place.path("nobody"), "--no-rules"], "strace")
        except Exception as error:
            from qmplive import Missing
            raise Missing(str(error)) from error
        process.wait_listening(path)
        with open(trace, encoding="ascii") as file:
            calls = [line.split(maxsplit=1)[1] for line in file if "sun_path" in line or "umask" in line]
        bind = next(i for i, call in enumerate(calls) if call.startswith("bind") and path in call)
        masks = [call for call in calls[:bind] if call.startswith("umask")]
        assert masks and masks[-1].startswith("umask(0177)"), calls


@tap.test("the socket goes at the end, and another one in its place does not")
def _():
    with Place() as place:
        path = place.path("socket")
        process = start(place, path)
        process.wait_listening(path)
        process.child.terminate()
        check_equal(process.wait(), 0)
        assert not os.path.exists(path)
        process = start(place, path)
        process.wait_listening(path)
        os.unlink(path)
        stale_socket(path)
        process.child.terminate()
        check_equal(process.wait(), 0)
        assert os.path.exists(path), "it removed a socket that was not its own"


# --- rule files ---------------------------------------------------------------------------------------

RULES = '{"qmp-shim-rules": 1, "name": "mine", "rules": []}'


def write(path, mode=0o644):
    with open(path, "w", encoding="ascii") as file:
        file.write(RULES)
    os.chmod(path, mode)
    return path


def is_used(place, rules):
    """Return: None when the shim starts with these rules, else what it said."""
    path = place.path("socket")
    process = start(place, path, "--rules", rules)
    until(lambda: not process.is_running() or is_listening(path), "the shim to start or not")
    if process.is_running():
        process.child.terminate()
        process.wait()
        return None
    check_equal(process.child.returncode, 1, "exit status")
    return process.said()


@tap.test("a rule file that everybody can write is not used")
def _():
    with Place() as place:
        path = write(place.path("rules") + ".jsonc", 0o646)
        assert "everybody can write it" in (is_used(place, path) or ""), "used"
        link = place.path("link") + ".jsonc"
        os.symlink(path, link)
        assert "everybody can write it" in (is_used(place, link) or ""), "used by a link"
        os.chmod(path, 0o664)
        check_equal(is_used(place, path), None, "with a group that can write it, of our own")


@tap.test("a rule file that everybody can replace is not used")
def _():
    with Place() as place:
        folder = place.path("folder")
        os.mkdir(folder)
        path = write(os.path.join(folder, "a.jsonc"))
        link = place.path("link") + ".jsonc"
        os.symlink(path, link)
        os.chmod(folder, 0o777)
        for name in (path, link):
            assert "everybody can replace it" in (is_used(place, name) or ""), name
        os.chmod(folder, 0o1777)
        check_equal(is_used(place, path), None, "with the sticky bit")
        open_folder = place.path("open")
        os.mkdir(open_folder)
        good = write(place.path("good") + ".jsonc")
        os.symlink(good, os.path.join(open_folder, "b.jsonc"))
        os.chmod(open_folder, 0o777)
        assert "everybody can replace it" in (is_used(place, os.path.join(open_folder, "b.jsonc")) or ""), "the link"


@tap.test("a rule file that a group of somebody else can write is not used")
def _():
    with Place() as place:
        path = write(place.path("rules") + ".jsonc", 0o664)
        try:
            os.chown(path, 12345, -1)
        except PermissionError:
            print("# not root: nobody else's file can be made")
            return
        assert "neither root nor this user" in (is_used(place, path) or ""), "used"
        os.chmod(path, 0o644)
        check_equal(is_used(place, path), None, "without the group")


@tap.test("a configuration that everybody can write is not used, and rules may come by a pipe")
def _():
    with Place() as place:
        config = place.path("config")
        with open(config, "w", encoding="ascii") as file:
            json.dump({"qmp-shim-config": 1, "no-rules": True}, file)
        os.chmod(config, 0o666)
        process = start(place, place.path("socket"), "--config", config)
        check_equal(process.wait(), 1)
        assert "everybody can write it" in process.said(), process.said()
        program = os.path.abspath(os.environ.get("QMP_SHIM", "./qmp-shim"))
        path = place.path("socket")
        process = place.run(["bash", "-c", 'exec "$0" run --listen "$1" --connect /nowhere --rules <(echo "$2")',
                             program, path, RULES], "shim")
        process.wait_listening(path)


# --- the log --------------------------------------------------------------------------------------------

HOSTILE = ['\nlevel=error msg="forged" session=1', '"', '\\', '" rule="x', '\x1b[31m', '\r', '\t', '\x7f', 'é\U0001f600',
           'x' * 5000, 'a b=c', "'", '\\n', '\x00', '\u2028']


@tap.test("no peer writes lines or keys of its own into the log")
def _():
    with Place() as place:
        rules = place.path("rules") + ".jsonc"
        with open(rules, "w", encoding="ascii") as file:
            file.write("""{ "qmp-shim-rules": 1, "name": "r", "rules": [
                { "name": "all", "for": "old-client", "old": { "execute": "a", "arguments": { "x": "$x" } },
                  "new": { "execute": "b", "arguments": { "y": "$x" } } },
                { "name": "event", "old": { "event": "E", "data": { "x": "$x" } }, "new": { "event": "F", "data": { "y": "$x" } } } ] }""")
        server = place.server()
        shim = place.shim(server.path, "--rules", rules, "--no-probe", "--log-level", "debug")
        client = place.client(shim.path)
        peer = server.accept()
        peer.send(Server.GREETING)
        client.send(b'{"execute":"qmp_capabilities"}')
        peer.read_until(lambda text: b"}" in text)
        peer.send(b'{"return": {}, "id": "qmp-shim:1"}\r\n')
        n = 0
        for hostile in HOSTILE:
            for escaped in (True, False):
                text = json.dumps(hostile, ensure_ascii=escaped)
                client.send('{"execute":%s,"id":%s}\n{"execute":"a","arguments":{"x":%s}}\n' % (text, text, text))
                peer.send('{"event":%s,"data":{}}\r\n{"event":"F","data":{"y":%s}}\r\n{"return":%s}\r\n' % (text, text, text))
                raw = hostile.encode("utf-8", "surrogatepass")
                client.send(raw + b'{"execute":"' + raw + b'"}\n')
                if b'"' not in raw and b"\\" not in raw:  # else it says no more that could be told apart
                    peer.send(b'{"event":"' + raw + b'"}\r\n')
                n += 1
        client.read_until(lambda text: text.count(b'"E"') >= n, "the events")
        client.close()
        peer.close()
        until(lambda: "session closed" in shim.said(), "the end of the session")
        lines = shim.said().splitlines()
        assert len(lines) > 2 * n, "hardly anything was logged: %d lines" % len(lines)
        for line in lines:
            assert LINE.match(line), "not a line of the log: %r" % line
            assert not line.startswith('level=error'), "forged: %r" % line


sys.exit(tap.run())
