#!/usr/bin/env python3
"""
A trace of 100 MB is shown, made a page of, and played again, in memory that
has nothing to do with its size.

BIGTRACE_MB is another size.
"""

import json
import os
import subprocess
import sys

import qmplive
from browser import Browser

SIZE = int(os.environ.get("BIGTRACE_MB", "100")) << 20
MAX_KB = 64 << 10
MAX_SANITIZED_KB = 600 << 10  # a sanitizer keeps what is freed for a while
HEADER = {"qmp-shim-trace": 1, "ms": 1, "us": 1700000000000000, "what": "header", "note": "made"}
GREETING = '{"QMP": {"version": {"qemu": {"micro": 0, "minor": 2, "major": 7}, "package": ""}, "capabilities": []}}\r\n'
LARGE = json.dumps([{"name": "x-command-%d" % i, "about": "x" * 80} for i in range(1500)])

tap = qmplive.Tap()
check_equal = qmplive.check_equal


def messages():
    """(side, text), for ever: commands and replies, events, now and then a long reply."""
    yield "server", GREETING
    yield "client", '{"execute": "qmp_capabilities"}\r\n'
    yield "server", '{"return": {}}\r\n'
    n = 0
    while True:
        n += 1
        yield "client", '{"execute": "query-block", "id": "libvirt-%d"}\r\n' % n
        value = LARGE if n % 200 == 0 else '[{"device": "drive%d", "locked": false, "removable": true, "type": "unknown"}]' % (n % 10)
        yield "server", '{"return": %s, "id": "libvirt-%d"}\r\n' % (value, n)
        if n % 5 == 0:
            yield "server", '{"timestamp": {"seconds": 1700000000, "microseconds": %d}, "event": "STOP"}\r\n' % (n % 1000000)


def write(path):
    """Return: how many messages there are."""
    other = {"client": "server", "server": "client"}
    with open(path, "w", encoding="ascii") as file:
        file.write(json.dumps(HEADER) + "\n")
        file.write('{"ms": 1, "us": 1700000000000000, "session": 1, "what": "opened"}\n')
        for n, (side, text) in enumerate(messages(), 1):
            quoted = json.dumps(text)
            start = '{"ms": %d, "us": %d, "session": 1, "what": ' % (n, 1700000000000000 + n * 1000)
            size = file.write('%s"came", "side": "%s", "text": %s}\n' % (start, side, quoted))
            file.write('%s"sent", "side": "%s", "text": %s}\n' % (start, other[side], quoted))
            if n % 1000 == 0 and file.tell() + size > SIZE:
                file.write('{"ms": %d, "us": %d, "session": 1, "what": "closed"}\n' % (n, 1700000000000000 + n * 1000))
                return n


def is_bounded(kb):
    with open(os.environ.get("QMP_SHIM", "./qmp-shim"), "rb") as program:
        is_sanitized = b"__asan_init" in program.read()
    return kb < (MAX_SANITIZED_KB if is_sanitized else MAX_KB)


def run(*arguments):
    """Return: (what it said, the most memory it had, in kB)"""
    path = os.path.abspath(os.environ.get("QMP_SHIM", "./qmp-shim"))
    with subprocess.Popen([path, *arguments], stdout=subprocess.PIPE) as child:
        n_lines, last = 0, b""
        for line in child.stdout:
            n_lines, last = n_lines + 1, line
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    check_equal(child.returncode, 0, " ".join(arguments))
    print("# %s: %d lines, %d MB" % (arguments[0], n_lines, usage.ru_maxrss >> 10), flush=True)
    return n_lines, last.decode(), usage.ru_maxrss


@tap.test("a trace of 100 MB is shown in bounded memory")
def _():
    with qmplive.Place() as place:
        path = place.path("trace")
        n = write(path)
        n_lines, _, kb = run("show", path)
        check_equal(n_lines, n + 3)  # a head, and the session's beginning and end
        assert is_bounded(kb), "%d kB" % kb


@tap.test("a page of it is made in bounded memory, says what it leaves out, and can be opened")
def _():
    with qmplive.Place() as place:
        path, html = place.path("trace"), place.path("page") + ".html"
        n = write(path)
        _, _, kb = run("show", "--html", html, path)
        assert is_bounded(kb), "%d kB" % kb
        assert os.path.getsize(html) < 66 << 20
        with Browser(place) as browser:
            browser.open(html)
            notice = browser.run("return document.getElementById('notice').textContent")
            if SIZE == 100 << 20:
                assert "of %d messages" % (n + 2) in notice, notice
            check_equal(browser.complaints(), [])


@tap.test("it is played again in bounded memory")
def _():
    with qmplive.Place() as place:
        path = place.path("trace")
        write(path)
        _, said, kb = run("replay", path)
        assert "1 session played, 0 differences" in said, said
        assert is_bounded(kb), "%d kB" % kb


if __name__ == "__main__":
    sys.exit(tap.run())
