#!/usr/bin/env python3
"""
What an operator does with a shim that runs: drain it, limit who may connect, configure it
by a file, look at it from outside.
"""

import grp
import json
import os
import re
import signal
import stat
import subprocess
import sys

from manager import Service, becomes, renaming, session, write
from qmplive import DEADLINE_S, Missing, Replay, Tap, check_equal, until

PROGRAM = os.path.abspath(os.environ.get("QMP_SHIM", "./qmp-shim"))
tap = Tap()
test = tap.in_place


def start(place, *arguments):
    """Return: a shim, and the scripted server behind it."""
    server = place.server()
    return place.shim(server.path, *arguments), server


# --- drain ---------------------------------------------------------------------------------------

@test("drain: nobody can connect, a session goes on, and its end is the end")
def _(place):
    shim, server = start(place, "--no-rules", "--drain-timeout", "600")
    client, peer = session(place, shim.path, server)
    shim.signal(signal.SIGTERM)
    until(lambda: not os.path.exists(shim.path), "the front socket to go")
    for _ in range(20):
        check_equal(becomes(client, peer), "old-name")
    assert shim.is_running()
    client.close()
    peer.close()
    check_equal(shim.wait(), 0)


@test("drain: without a session it ends at once")
def _(place):
    shim, _ = start(place, "--no-rules", "--drain-timeout", "600")
    shim.signal(signal.SIGTERM)
    check_equal(shim.wait(), 0)


@test("drain: when its time is over, sessions end")
def _(place):
    shim, server = start(place, "--no-rules", "--drain-timeout", "1")
    client, peer = session(place, shim.path, server)
    shim.signal(signal.SIGTERM)
    check_equal(client.read_to_end(), b"")
    check_equal(peer.read_to_end().strip(), b"")
    check_equal(shim.wait(), 0)
    assert "the time to drain is over" in shim.said(), shim.said()


@test("drain: a second signal ends it at once, whichever it is")
def _(place):
    shim, server = start(place, "--no-rules", "--drain-timeout", "600")
    client, _ = session(place, shim.path, server)
    shim.signal(signal.SIGTERM)
    until(lambda: not os.path.exists(shim.path), "the front socket to go")
    shim.signal(signal.SIGHUP)  # nothing to reload for
    shim.signal(signal.SIGINT)
    check_equal(client.read_to_end(), b"")
    check_equal(shim.wait(), 0)


# --- who may connect -----------------------------------------------------------------------------

@test("--socket-mode and --socket-group: whom the file system lets in")
def _(place):
    shim, _ = start(place, "--no-rules", "--socket-mode", "0660", "--socket-group", str(os.getgid()),
                    "--socket-owner", str(os.getuid()))
    check_equal(oct(stat.S_IMODE(os.stat(shim.path).st_mode)), "0o660")
    if os.getuid() != 0:
        raise Missing("only root can give a socket away")
    shim, _ = start(place, "--no-rules", "--socket-owner", "12345", "--socket-group", "54321")
    check_equal((os.stat(shim.path).st_uid, os.stat(shim.path).st_gid), (12345, 54321))


@test("--allow-uid and --allow-gid: one on a list is enough, names and numbers are the same")
def _(place):
    nobody = str(os.getuid() + 1000)
    group = grp.getgrgid(os.getgid()).gr_name
    for arguments in (["--allow-uid", nobody, "--allow-uid", str(os.getuid())], ["--allow-gid", group],
                      ["--allow-uid", nobody, "--allow-gid", str(os.getgid())]):
        shim, server = start(place, *arguments)
        session(place, shim.path, server)


@test("a supplementary group of the client counts for --allow-gid")
def _(place):
    if os.getuid() != 0:
        raise Missing("only root can choose its groups")
    shim, server = start(place, "--allow-gid", "54321")
    groups = os.getgroups()
    os.setgroups([7, 54321])
    try:
        client = place.client(shim.path)
    finally:
        os.setgroups(groups)
    server.accept().send(server.GREETING)
    check_equal(client.read_line(), server.GREETING)


@test("a client that is on no list is refused: it sees the end, the log who it was, the server nothing")
def _(place):
    control = place.path("control")
    shim, server = start(place, "--allow-uid", str(os.getuid() + 1000), "--control", control)
    check_equal(place.client(shim.path).read_to_end(), b"")
    said = 'msg="client refused" path="%s" pid=%d uid=%d gid=%d' % (shim.path, os.getpid(), os.getuid(), os.getgid())
    assert said in shim.said(), shim.said()
    check_equal(ask(control)["totals"]["refused"], 1)
    server.socket.setblocking(False)
    try:
        server.socket.accept()
        raise AssertionError("the server got a connection")
    except BlockingIOError:
        pass


@test("a user or group that this machine has not got: it does not start, and names it")
def _(place):
    for option in ("allow-uid", "allow-gid", "socket-owner", "socket-group"):
        done = run("run", "--listen", place.path("l"), "--connect", place.path("c"), "--" + option, "no-such")
        check_equal(done.returncode, 1)
        kind = "user" if option in ("allow-uid", "socket-owner") else "group"
        check_equal(done.stderr.splitlines()[-1], 'qmp-shim run: --%s: this machine has no %s "no-such"' % (option, kind))


# --- the configuration file ----------------------------------------------------------------------

def run(*arguments, **environment):
    return subprocess.run([PROGRAM, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=DEADLINE_S, check=False, env={**os.environ, **environment})


def configured(place, **keys):
    path = place.path("conf")
    write(path, "// a comment\n" + json.dumps({"qmp-shim-config": 1, **keys}))
    return path


@test("a file says all that the command line says")
def _(place):
    server, control = place.server(), place.path("control")
    listen = place.path("listen")
    config = configured(place, listen=listen, connect=server.path, client="old", rules=[renaming(place, "new-name")],
                        control=control, metrics=place.path("metrics"), limits={"max-pending": 5},
                        **{"no-probe": True, "log-level": "debug", "drain-timeout": 1, "socket-mode": "0666",
                           "allow-uid": [os.getuid()], "allow-gid": ["root", 0], "client-version": "0.1"})
    shim = Service(place, ["--config", config], path=listen)
    shim.wait_listening(listen)
    check_equal(oct(stat.S_IMODE(os.stat(listen).st_mode)), "0o666")
    check_equal(ask(control)["rules"]["rules"], 1)
    session(place, listen, server)
    assert "level=debug" in shim.said(), shim.said()


@test("the command line is stronger than the file, key by key")
def _(place):
    server = place.server()
    config = configured(place, connect=place.path("nowhere"), rules=["nothing-of-that-name"], client="new")
    listen = place.path("listen")
    shim = Service(place, ["--config", config, "--connect", server.path, "--listen", listen,
                           "--rules", renaming(place, "new-name"), "--client", "old"], path=listen)
    shim.wait_listening(listen)
    check_equal(becomes(*session(place, listen, server)), "new-name")


@test("all that is wrong in a file is told with its place and the way out")
def _(place):
    config = place.path("conf")
    write(config, '{\n "qmp-shim-config": 1,\n "listne": "x",\n "client": "odl",\n "drain-timeout": "5",\n'
                  ' "allow-uid": "root",\n "limits": {"max-pendin": 1, "max-held": 0},\n "socket-mode": "0999"\n}\n')
    done = run("run", "--config", config)
    check_equal(done.returncode, 1)
    check_equal(run("check", config).stdout, done.stderr, "check says the same")
    findings = [line[len(config) + 1:] for line in done.stderr.splitlines() if line.startswith(config)]
    check_equal(findings, ['3:2: error: unknown key "listne"', '4:12: error: "client" cannot be "odl"',
                           '5:19: error: "drain-timeout" cannot be "5"', '6:15: error: "allow-uid" cannot be "root"',
                           '7:13: error: unknown key "max-pendin"', '7:42: error: "max-held" cannot be 0',
                           '8:17: error: "socket-mode" cannot be "0999"'])
    ways_out = [line.strip(" =") for line in done.stderr.splitlines() if line.startswith(" ") and " = " in line]
    check_equal(ways_out, ['did you mean "listen"?', 'did you mean "old"?',
                           "write a whole number, of at most 2147483647", "write a list of names and numbers",
                           'did you mean "max-pending"?', "write a whole number of 1 or more",
                           "write an octal number, as 0660"])


@test("a file that is none, another version's, or not there")
def _(place):
    config = place.path("conf")
    for text, said in (('{"listen": "x"}', 'this file has no "qmp-shim-config"'), ("[]", "must be one object"),
                       ('{"qmp-shim-config": 2}', "this version reads 1"), ("{", "error: ")):
        write(config, text)
        done = run("run", "--config", config)
        check_equal((done.returncode, said in done.stderr), (1, True), done.stderr)
    done = run("run", "--config", place.path("nowhere"))
    check_equal((done.returncode, "cannot read" in done.stderr), (1, True), done.stderr)


@test("an instance: its own file, and defaults that need none")
def _(place):
    folder = place.path("etc")
    os.mkdir(folder)
    environment = {"CONFIGURATION_DIRECTORY": folder}
    done = run("run", "--instance", "no/slash", **environment)
    check_equal(done.returncode, 2)
    server, listen = place.server(), place.path("listen")
    write(os.path.join(folder, "vm1.conf"), json.dumps({"qmp-shim-config": 1, "listen": listen, "connect": server.path}))
    own = place.path("run")
    os.mkdir(own)
    shim = Service(place, ["--instance", "vm1"], path=listen, RUNTIME_DIRECTORY=own, **environment)
    shim.wait_listening(listen)
    session(place, listen, server)
    check_equal(ask(os.path.join(own, "control"))["totals"]["sessions"], 1)
    done = run("run", "--instance", "x" * 100, **environment)
    check_equal(done.returncode, 1)
    assert "/run/qmp-shim/%s.sock" % ("x" * 100) in done.stderr, done.stderr


# --- the view from outside -----------------------------------------------------------------------

def ask(path):
    """What `status --json` prints."""
    done = run("status", "--json", path)
    check_equal((done.returncode, done.stderr), (0, ""))
    return json.loads(done.stdout)


@test("status: who is connected, what passed, which rules work and why others rest")
def _(place):
    rules = place.path("rules") + ".jsonc"
    write(rules, json.dumps({"qmp-shim-rules": 1, "name": "two", "rules": [
        {"name": "works", "old": {"execute": "old-name"}, "new": {"execute": "new-name"}},
        {"name": "rests", "for": "new-client", "old": {"event": "A"}, "new": {"event": "B"}}]}))
    shim, server = start(place, "--rules", rules, "--control", place.path("x") + ".ctl")
    control = [a for a in os.listdir(place.directory) if a.endswith(".ctl")][0]
    control = os.path.join(place.directory, control)
    check_equal(oct(stat.S_IMODE(os.stat(control).st_mode)), "0o600")
    client, peer = session(place, shim.path, server)
    check_equal(becomes(client, peer), "new-name")
    status = ask(control[:-4])  # the socket in front would have this name
    check_equal((status["pid"], status["draining"], status["rules"]["files"]), (shim.pid, False, 1))
    said, = status["sessions"]
    check_equal((said["id"], said["pid"], said["uid"], said["gid"]), (1, os.getpid(), os.getuid(), os.getgid()))
    check_equal((said["messages"], said["rewritten"]), ({"client": 2, "server": 3}, 1))
    check_equal((said["bytes"]["client"], said["connect"]), (client_bytes(), server.path))
    check_equal(said["active"], ["two/works"])
    check_equal(said["resting"], [{"rule": "two/rests", "reason": "is for the other kind of client"}])
    check_equal(status["totals"]["rewritten"], 1)
    client.close()
    peer.close()
    until(lambda: not ask(control)["sessions"], "the session's end")
    check_equal(ask(control)["totals"]["messages"], {"client": 2, "server": 3})


def client_bytes():
    return sum(len(json.dumps({"execute": name}) + "\r\n") for name in ("qmp_capabilities", "old-name"))


@test("status for people says the same in words")
def _(place):
    control = place.path("control")
    shim, server = start(place, "--no-rules", "--control", control)
    session(place, shim.path, server)
    done = run("status", control)
    check_equal((done.returncode, done.stderr), (0, ""))
    assert re.match(r"qmp-shim \S+, pid %d, up \d+ ms\nrules: 0 in 0 files\n"
                    r"sessions: 1 open, 1 in all, 0 clients refused\n" % shim.pid, done.stdout), done.stdout
    assert "session 1: client pid %d, uid %d\n" % (os.getpid(), os.getuid()) in done.stdout, done.stdout


@test("status of nobody, of another program's socket, of nothing")
def _(place):
    done = run("status", place.path("nowhere"))
    check_equal((done.returncode, done.stdout), (1, ""))
    assert "it is not there; has the shim been started with --control?" in done.stderr, done.stderr
    done = run("status", "no-such-instance")
    assert "/run/qmp-shim/no-such-instance/control" in done.stderr, done.stderr
    check_equal(run("status").returncode, 2)
    check_equal(run("status", "a", "b").returncode, 2)


@test("status: 40 who ask and do not read disturb nobody, and no more than 16 are kept")
def _(place):
    control = place.path("control")
    shim, server = start(place, "--no-rules", "--control", control)
    askers = [place.client(control) for _ in range(40)]
    check_equal(becomes(*session(place, shim.path, server)), "old-name")
    for asker in askers:
        asker.read_to_end()
    ask(control)


@test("a rule that fails is counted by its name")
def _(place):
    rules, control = place.path("rules") + ".jsonc", place.path("control")
    write(rules, json.dumps({"qmp-shim-rules": 1, "name": "failing", "rules": [
        {"name": "asks", "for": "old-client", "old": {"event": "HERE", "data": {"n": "$n"}}, "new": {"event": "HERE"},
         "ask": [{"execute": "query-n", "return": {"n": "$n"}}]}]}))
    shim, server = start(place, "--rules", rules, "--control", control)
    client, peer = session(place, shim.path, server)
    for n in (1, 2):
        peer.send(b'{"event": "HERE"}\r\n')
        Replay.answer(peer, Replay.next_command(peer), {"error": {"class": "GenericError", "desc": "no"}})
        check_equal(client.read_message(), {"event": "HERE"})
        check_equal(ask(control)["failed_rules"], {"asks": n})


METRIC = re.compile(r'^[a-z_]+(\{[a-z]+="[^"]*"\})? \d+(\.\d+)?$')


def metrics(path):
    """The metrics by name and labels; the text must be whole and well formed."""
    with open(path, encoding="ascii") as file:
        lines = file.read().split("\n")
    check_equal(lines[-2:], ["# EOF", ""])
    families = set()
    for line in lines[:-2]:
        if line.startswith("# TYPE "):
            families.add(line.split()[2])
        elif not line.startswith("# HELP "):
            assert METRIC.match(line), line
            name = re.match("[a-z_]+", line)[0]
            assert name in families or re.sub("_(total|info)$", "", name) in families, line
    return dict(line.rsplit(" ", 1) for line in lines[:-2] if not line.startswith("#"))


@test("metrics: written at the start, again and again, and at the end, always whole")
def _(place):
    path = place.path("metrics")
    shim, server = start(place, "--no-rules", "--metrics", path)
    check_equal(metrics(path)["qmp_shim_sessions_total"], "0")
    client, peer = session(place, shim.path, server)
    becomes(client, peer)
    until(lambda: metrics(path)["qmp_shim_open_sessions"] == "1", "the next writing")
    shim.signal(signal.SIGTERM)
    check_equal(shim.wait(), 0)
    last = metrics(path)
    check_equal((last["qmp_shim_open_sessions"], last["qmp_shim_sessions_total"]), ("0", "1"))
    check_equal(last['qmp_shim_messages_total{from="client"}'], "2")
    check_equal(last['qmp_shim_received_bytes_total{from="client"}'], str(client_bytes()))
    check_equal([name for name in os.listdir(place.directory) if name.endswith(".new")], [])


@test("metrics that cannot be written are warned of once, and the traffic goes on")
def _(place):
    shim, server = start(place, "--no-rules", "--metrics", os.path.join(place.directory, "nowhere", "metrics"))
    check_equal(becomes(*session(place, shim.path, server)), "old-name")
    check_equal(shim.said().count("cannot write metrics"), 1)


if __name__ == "__main__":
    sys.exit(tap.run())
