#!/usr/bin/env python3
"""
`qmp-shim exec` in the place of QEMU: the same process, the same descriptors, and each monitor of
its command line behind a shim that ends with it.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys

from qmplive import Missing, Place, Tap, check_equal, is_listening, until

PROGRAM = os.path.abspath(os.environ.get("QMP_SHIM", "./qmp-shim"))
QUIET = ["-M", "none", "-nodefaults", "-display", "none"]

BIN = os.path.join(os.environ.get("QEMU_VERSIONS_DIR", ""), "bin")
EMULATORS = [os.environ.get("QEMU", "qemu-system-x86_64")] + [
    path for path in (os.path.join(BIN, "qemu-" + version) for version in ("5.2", "10.0", "11.1")) if os.path.exists(path)]

emulator = EMULATORS[0]


class Tests(Tap):
    """Each with every emulator that is here; those of other versions come by QEMU_VERSIONS_DIR."""

    def test(self, name):
        def declare(function):
            for path in EMULATORS:
                super(Tests, self).test(name + ("" if path == EMULATORS[0] else ", " + os.path.basename(path)))(
                    lambda path=path: run_with(path, function))
            return function
        return declare


def run_with(path, function):
    global emulator
    emulator = path
    function()


tap = Tests()


def real_qemu():
    path = shutil.which(emulator)
    if not path:
        raise Missing("QEMU is not installed")
    return path


def start(place, *arguments, options=("--no-rules",), **more):
    return place.run([PROGRAM, "exec", *options, "--", real_qemu(), *QUIET, *arguments], "qemu", **more)


def program_of(pid):
    return os.path.basename(os.readlink("/proc/%d/exe" % pid))


def is_qemu_program(name):
    """Other versions run by a loader of their own."""
    return name.startswith(("qemu-system", "ld-"))


def until_qemu(process):
    """Until QEMU is in this process."""
    def is_qemu():
        if not process.is_running():
            raise AssertionError("it ended\n" + process.said())
        return is_qemu_program(program_of(process.pid))
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
        if words[1:2] == [b"run"] and any(path.encode() in words for path in paths):
            found.append(int(pid))
    return found


def filenames(client):
    return [c["filename"] for c in client.command("query-chardev")["return"]]


def check_behind_shim(place, path, behind):
    """A client at @path talks to a QEMU that listens @behind, be its JSON pretty or not."""
    with place.client(path) as client:
        client.read_until(lambda text: b'"QMP"' in text, "the greeting")
        client.send('{"execute": "qmp_capabilities"}\r\n{"execute": "query-chardev"}\r\n')
        said = client.read_until(lambda text: text if b'"filename"' in text and text.count(b"]") >= 2 else None,
                                 "the chardevs")
        assert behind.encode() in said, said


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


def has_monitor_object():
    """Does this QEMU have monitors as objects?"""
    done = subprocess.run([real_qemu(), "-object", "help"], capture_output=True, text=True, check=False)
    return "monitor-qmp" in done.stdout


def inherited(place, path):
    """A listening socket at @path, as a launcher makes it."""
    listening = place.keep(socket.socket(socket.AF_UNIX))
    listening.bind(path)
    listening.listen(1)
    return listening.fileno()


CHARDEV = "socket,id=c,path=%s,server=on,wait=off"
FORMS = {
    "-qmp": ["-qmp", "unix:%s,server=on,wait=off"],
    "-qmp in the old spelling": ["-qmp", "unix:%s,server,nowait"],
    "-qmp with path=": ["-qmp", "unix:path=%s,server=on,wait=off"],
    "-qmp-pretty": ["-qmp-pretty", "unix:%s,server=on,wait=off"],
    "--qmp": ["--qmp", "unix:%s,server=on,wait=off"],
    "-qmp chardev:": ["-chardev", CHARDEV, "-qmp", "chardev:c"],
    "-mon": ["-chardev", CHARDEV, "-mon", "chardev=c,mode=control"],
    "-mon without a key, before its chardev": ["-mon", "c,mode=control,pretty=on", "-chardev", CHARDEV],
    "-mon on a chardev with mux": ["-chardev", CHARDEV + ",mux=on", "-mon", "chardev=c,mode=control"],
}
INHERITED = {
    "-chardev socket,fd=": ["-chardev", "socket,id=c,fd=%s,server=on,wait=off", "-mon", "chardev=c,mode=control"],
    "-qmp unix:fd=": ["-qmp", "unix:fd=%s,server=on,wait=off"],
}
OBJECTS = {
    "-object monitor-qmp": ["-chardev", CHARDEV, "-object", "monitor-qmp,id=m,chardev=c"],
    "-object monitor-qmp before its chardev": ["-object", "monitor-qmp,chardev=c,id=m,pretty=on", "-chardev", CHARDEV],
    "-object qom-type=monitor-qmp": ["-chardev", CHARDEV, "-object", "qom-type=monitor-qmp,id=m,chardev=c"],
    "-object in JSON": ["-chardev", CHARDEV, "-object", '{"qom-type": "monitor-qmp", "id": "m", "chardev": "c"}'],
}
OBJECTS_INHERITED = {
    "-object monitor-qmp on fd=": ["-chardev", "socket,id=c,fd=%s,server=on,wait=off",
                                   "-object", '{"qom-type":"monitor-qmp","id":"m","chardev":"c"}'],
}


def filled(words, value):
    return [word.replace("%s", value) for word in words]


def check_form(words, is_inherited):
    with Place() as place:
        path = place.path("monitor")
        if is_inherited:
            n = inherited(place, path)
            qemu = start(place, *filled(words, str(n)), pass_fds=[n])
        else:
            qemu = start(place, *filled(words, path))
        until_qemu(qemu)
        check_behind_shim(place, path, path + ".qemu")
        check_equal(len(relays(path + ".qemu")), 1, "shims")
        qemu.kill()
        until(lambda: not relays(path + ".qemu"), "the shim to end")


def check_probe(words):
    """As libvirt probes an emulator: it daemonizes, and the parent's end means that it listens."""
    with Place() as place:
        path, pidfile = place.path("monitor"), place.path("pid")
        probe = start(place, "-S", "-no-user-config", *filled(words, path), "-pidfile", pidfile, "-daemonize")
        check_equal(probe.wait(), 0, "the status of the process that daemonizes\n" + probe.said())
        with open(pidfile, encoding="ascii") as file:
            pid = int(file.read())
        try:
            check_behind_shim(place, path, path + ".qemu")
        finally:
            os.kill(pid, signal.SIGTERM)
        until(lambda: not relays(path + ".qemu"), "the shim to end")


for form in FORMS:
    tap.test("%s has a shim" % form)(lambda form=form: check_form(FORMS[form], False))
for form in INHERITED:
    tap.test("%s has a shim, behind the socket that was inherited" % form)(
        lambda form=form: check_form(INHERITED[form], True))


@tap.test("monitors that are objects have shims, in every form")
def _():
    if not has_monitor_object():
        print("# this QEMU has no such objects")
        return
    for words in OBJECTS.values():
        check_form(words, False)
    for words in OBJECTS_INHERITED.values():
        check_form(words, True)


@tap.test("a probe with -daemonize has a shim, in every form")
def _():
    forms = dict(FORMS, **(OBJECTS if has_monitor_object() else {}))
    for words in forms.values():
        check_probe(words)


@tap.test("several shims do not write into one file: what is the second's has .2 behind its name")
def _():
    with Place() as place:
        a, b = place.path("a"), place.path("b")
        trace, control, config = place.path("trace"), place.path("control"), place.path("config")
        with open(config, "w", encoding="ascii") as file:
            file.write('{"qmp-shim-config": 1, "no-rules": true, "control": "%s"}' % control)
        start(place, "-qmp", "unix:%s,server=on,wait=off" % a, "-qmp", "unix:%s,server=on,wait=off" % b,
              options=("--config", config, "--trace", trace, "--no-redact"))
        for path, suffix, command in ((a, "", "query-name"), (b, ".2", "query-status")):
            with place.client_when_listening(path) as client:
                client.greet()
                client.call(command)
            until(lambda path=trace + suffix, word=command: word in open(path, encoding="utf-8").read(), command + " in the trace")
            done = subprocess.run([PROGRAM, "status", "--json", control + suffix], capture_output=True, text=True, check=False)
            check_equal(done.returncode, 0, done.stderr)
        with open(trace, encoding="utf-8") as file:
            assert "query-status" not in file.read()
        assert not os.path.exists(trace + ".1"), "one trace took the other's place"


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
            assert b'"SHUTDOWN"' in client.read_to_end()
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


def check_followed(place, **options):
    path = place.path("monitor")
    qemu = start(place, "-qmp", "unix:%s,server=on,wait=off" % path, **options)
    with place.client_when_listening(path) as client:
        client.greet()
        for n in range(10):
            client.send('{"execute": "query-status", "id": %d}\r\n{"execute": "query-name"' % n)
            for pid in relays(path + ".qemu"):
                os.kill(pid, signal.SIGKILL)
            client.send(', "id": "x"}\r\n')
            check_equal(client.read_reply()["id"], n)
            check_equal(client.read_reply()["id"], "x")
        client.send('{"execute": "quit"}\r\n')  # QEMU goes without having read the line's end
        assert b'"SHUTDOWN"' in client.read_to_end()
    check_equal(qemu.wait(), 0)
    until(lambda: not relays(path + ".qemu"), "the shim to end")
    assert not os.path.lexists(path)


@tap.test("a shim that is killed is followed by another, and neither QEMU nor its client notices")
def _():
    with Place() as place:
        check_followed(place)
        check_followed(place, options=("--no-rules", "--fd-store", "64"))


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
            assert is_qemu_program(program_of(pid)), program_of(pid)
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
