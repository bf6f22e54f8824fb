#!/usr/bin/env python3
"""
`qmp-shim exec` in the place of QEMU: the same process, the same descriptors, and each monitor of
its command line behind a shim that ends with it.
"""

import os
import shutil
import signal
import socket
import sys

from qmplive import Missing, Place, Tap, check_equal, is_listening, until

PROGRAM = os.path.abspath(os.environ.get("QMP_SHIM", "./qmp-shim"))
QUIET = ["-M", "none", "-nodefaults", "-display", "none"]

tap = Tap()


def real_qemu():
    path = shutil.which(os.environ.get("QEMU", "qemu-system-x86_64"))
    if not path:
        raise Missing("QEMU is not installed")
    return path


def start(place, *arguments, options=("--no-rules",), **more):
    return place.run([PROGRAM, "exec", *options, "--", real_qemu(), *QUIET, *arguments], "qemu", **more)


def program_of(pid):
    return os.path.basename(os.readlink("/proc/%d/exe" % pid))


def until_qemu(process):
    """Until QEMU is in this process."""
    def is_qemu():
        if not process.is_running():
            raise AssertionError("it ended\n" + process.said())
        return program_of(process.pid).startswith("qemu-system")
    until(is_qemu, "QEMU to take over the process")


def relays(*paths):
    """The processes that serve these sockets."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/cmdline" % pid, "rb") as file:
                words = file.read().split(b"\0")
        except OSError:
            continue
        if b"run" in words and any(path.encode() in words for path in paths):
            found.append(int(pid))
    return found


def filenames(client):
    return [c["filename"] for c in client.command("query-chardev")["return"]]


def check_behind_shim(place, path, behind):
    """A client at @path talks to a QEMU that listens @behind."""
    with place.client(path) as client:
        client.greet()
        assert any(behind in name for name in filenames(client)), filenames(client)


@tap.test("QEMU keeps the pid, and each of several monitors is behind a shim")
def _():
    with Place() as place:
        a, b, c = (place.path(name) for name in "abc")
        qemu = start(place, "-qmp", "unix:%s,server=on,wait=off" % a,
                     "-qmp", "unix:%s,server,nowait" % b,
                     "-mon", "chardev=m,mode=control",
                     "-chardev", "socket,id=m,path=%s,server=on,wait=off" % c)
        until_qemu(qemu)
        for path in (a, b, c):
            check_behind_shim(place, path, path + ".qemu")
        check_equal(len(relays(*(p + ".qemu" for p in (a, b, c)))), 3, "one shim for each")


@tap.test("a client that comes before QEMU listens waits for its greeting")
def _():
    with Place() as place:
        path = place.path("monitor")
        slow = place.path("slow")
        with open(slow, "w", encoding="ascii") as script:
            script.write("#!/bin/sh\nread line <%s\nexec %s \"$@\"\n" % (path + ".go", real_qemu()))
        os.chmod(slow, 0o755)
        os.mkfifo(path + ".go")
        place.run([PROGRAM, "exec", "--no-rules", "--", slow, *QUIET,
                   "-qmp", "unix:%s,server=on,wait=off" % path], "qemu")
        until(lambda: is_listening(path), "the shim to listen")
        with place.client(path) as client:
            with open(path + ".go", "w", encoding="ascii") as go:
                go.write("\n")
            client.greet()


@tap.test("everything goes when QEMU quits, and the client hears its last words")
def _():
    with Place() as place:
        path = place.path("monitor")
        qemu = start(place, "-qmp", "unix:%s,server=on,wait=off" % path)
        with place.client_when_listening(path) as client:
            client.greet()
            client.send('{"execute": "quit"}\r\n')
            client.wait_event("SHUTDOWN")
            client.read_to_end()
        check_equal(qemu.wait(), 0, "QEMU's own status")
        until(lambda: not relays(path + ".qemu"), "the shim to end")
        check_equal([p for p in (path, path + ".qemu") if os.path.lexists(p)], [], "sockets left behind")


@tap.test("a QEMU that is killed takes its shim with it")
def _():
    with Place() as place:
        path = place.path("monitor")
        qemu = start(place, "-qmp", "unix:%s,server=on,wait=off" % path)
        with place.client_when_listening(path) as client:
            client.greet()
            qemu.kill()
            client.read_to_end()
        until(lambda: not relays(path + ".qemu"), "the shim to end")
        assert not os.path.lexists(path)


@tap.test("an inherited monitor socket and every other descriptor stay at their numbers")
def _():
    with Place() as place:
        path = place.path("monitor")
        listening = place.keep(socket.socket(socket.AF_UNIX))
        listening.bind(path)
        listening.listen(1)
        early = place.client(path)  # waits in the queue before anything runs, as libvirt does
        early.send('{"execute": "qmp_capabilities"}\r\n')
        reading, writing = os.pipe()
        n = listening.fileno()
        before = os.fstat(writing).st_ino
        qemu = start(place, "-chardev", "socket,id=m,fd=%d,server=on,wait=off" % n,
                     "-mon", "chardev=m,mode=control", pass_fds=[n, writing])
        os.close(writing)
        until_qemu(qemu)
        early.read_message()
        assert "return" in early.read_message()
        assert any(path + ".qemu" in name for name in filenames(early)), filenames(early)
        check_equal(os.stat("/proc/%d/fd/%d" % (qemu.pid, writing)).st_ino, before, "the pipe at its number")
        held = [fd for pid in relays(path + ".qemu") for fd in os.listdir("/proc/%d/fd" % pid)
                if os.stat("/proc/%d/fd/%s" % (pid, fd)).st_ino == before]
        check_equal(held, [], "descriptors of QEMU's that the shim holds")
        qemu.kill()
        check_equal(os.read(reading, 1), b"", "the pipe's end, once QEMU has gone")
        os.close(reading)


@tap.test("a probe with -daemonize works, and ends by its pid file")
def _():
    with Place() as place:
        path, pidfile = place.path("monitor"), place.path("pid")
        probe = start(place, "-S", "-qmp", "unix:%s,server=on,wait=off" % path, "-pidfile", pidfile, "-daemonize")
        check_equal(probe.wait(), 0, "the status of the process that daemonizes")
        with open(pidfile, encoding="ascii") as file:
            pid = int(file.read())
        try:
            check_behind_shim(place, path, path + ".qemu")
            check_equal(program_of(pid), os.path.basename(os.path.realpath(real_qemu())))
        finally:
            os.kill(pid, signal.SIGTERM)
        until(lambda: not relays(path + ".qemu"), "the shim to end")


@tap.test("rules work, and a rule file that cannot be read keeps QEMU from starting")
def _():
    with Place() as place:
        path = place.path("monitor")
        start(place, "-qmp", "unix:%s,server=on,wait=off" % path,
              options=("--rules", "read-only", "--client", "old"))
        with place.client_when_listening(path) as client:
            client.greet()
            assert "error" in client.command("stop")
        wrong = start(place, "-qmp", "unix:%s,server=on,wait=off" % place.path("other"),
                      options=("--rules", place.path("nothing.jsonc")))
        check_equal(wrong.wait(), 1, "the exit status")
        assert "nothing" in wrong.said(), wrong.said()


@tap.test("without a monitor there is no shim and nothing is changed")
def _():
    with Place() as place:
        done = place.run([PROGRAM, "exec", "--", "sh", "-c", 'echo "$0 $* $$"', "a", "-qmp", "stdio"], "sh")
        check_equal(done.wait(), 0)
        check_equal(done.said(), "a -qmp stdio %d\n" % done.pid)


@tap.test("a path that leaves no room for a suffix is used up to its limit")
def _():
    with Place() as place:
        path = os.path.join(place.directory, "x" * (107 - len(place.directory) - 1))
        start(place, "-qmp", "unix:%s,server=on,wait=off" % path)
        with place.client_when_listening(path) as client:
            client.greet()
            assert any(path[:102] + ".qemu" in name for name in filenames(client)), filenames(client)


@tap.test("a link named after the emulator is that emulator")
def _():
    with Place() as place:
        os.symlink(real_qemu(), os.path.join(place.directory, "qemu-system-test"))
        link = os.path.join(place.directory, "qemu-system-test-shim")
        os.symlink(PROGRAM, link)
        config = place.path("conf")
        with open(config, "w", encoding="ascii") as file:
            file.write('{"qmp-shim-config": 1, "rules": ["read-only"]}')
        path = place.path("monitor")
        place.run([link, *QUIET, "-qmp", "unix:%s,server=on,wait=off" % path], "link",
                  env=dict(os.environ, QMP_SHIM_EXEC_CONFIG=config))
        with place.client_when_listening(path) as client:
            client.greet()
            assert "error" in client.command("stop")


def client_when_listening(place, path):
    until(lambda: is_listening(path), "somebody to listen on " + path)
    return place.client(path)


Place.client_when_listening = client_when_listening
sys.exit(tap.run())
