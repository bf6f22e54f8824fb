#!/usr/bin/env python3
"""
Memory that runs out, anywhere: each command ends with an error and not by a signal, and a shim
that runs loses the session at most.

faulty-memory.c lets the n-th allocation fail, by LD_PRELOAD, for every n until there are no more;
where there are very many, those behind the first hundreds are a sample, the same every time.
"""

import json
import os
import random
import select
import shutil
import subprocess
import sys

from qmplive import DEADLINE_S, HERE, Closed, Missing, Replay, Server, Tap, check_equal, until

PROGRAM = os.path.abspath(os.environ.get("QMP_SHIM", "./qmp-shim"))
N_ALL = 200      # of the first ones each
N_SAMPLE = 100   # of those behind, with gaps that grow
MAX_GAP = 1.3

RULES = """{ "qmp-shim-rules": 1, "name": "mine", "rules": [
    { "name": "renamed", "old": { "execute": "old", "arguments": { "a": "$a" }, "return": { "x": "$x" } },
      "new": { "execute": "new", "arguments": { "b": "$a" }, "return": { "y": "$x" } } },
    { "name": "asking", "for": "old-client", "old": { "execute": "ask" }, "new": { "execute": "asked", "arguments": { "v": "$v" } },
      "ask": [ { "execute": "question", "return": { "v": "$v" } } ] },
    { "name": "event", "old": { "event": "OLD", "data": { "d": "$d" } }, "new": { "event": "NEW", "data": { "e": "$d" } } },
    { "name": "kept", "for": "old-client", "old": { "execute": "keep", "arguments": { "k": "$k", "v": "$v" } },
      "new": { "execute": "keep", "arguments": { "k": "$k" } }, "remember": { "t": { "$k": { "v": "$v" } } } } ] }"""
GREETING = json.dumps(json.loads(Server.GREETING))

tap = Tap()
test = tap.in_place


def preload(place):
    compiler = os.environ.get("CC", "cc").split()[0]
    if not shutil.which(compiler):
        raise Missing("no C compiler")
    library = os.path.join(place.directory, "faulty-memory.so")
    subprocess.run([compiler, "-D_GNU_SOURCE", "-shared", "-fPIC", "-O1", "-o", library, os.path.join(HERE, "faulty-memory.c")], check=True)
    return library


def has_a_runtime():
    """Then the program has an allocator of its own, or is counted by what dies of a lack of memory: the unit tests must do."""
    with open(PROGRAM, "rb") as file:
        text = file.read()
    return b"__asan_init" in text or b"__gcov_" in text


def numbers():
    """Which allocation is to fail, in turn."""
    yield from range(N_ALL)
    dice, n = random.Random(1), float(N_ALL)
    for _ in range(N_SAMPLE):
        n *= 1 + dice.random() * (MAX_GAP - 1)
        yield int(n)


def write(path, text):
    with open(path, "w", encoding="ascii") as file:
        file.write(text)
    return path


def environment(place, library, n, for_good, **more):
    told = place.path("told")
    values = {**os.environ, "LD_PRELOAD": library, "FAULTY_N": str(n), "FAULTY_TOLD": told, **more}
    if for_good:
        values["FAULTY_FOR_GOOD"] = "1"
    return values, told


# --- commands -----------------------------------------------------------------------------------------

def trace_of(place):
    lines = [{"qmp-shim-trace": 1, "ms": 1, "us": 1, "what": "header", "note": "made"}, {"ms": 1, "us": 1, "session": 1, "what": "opened"}]

    def say(what, side, text, **more):
        lines.append({"ms": 2, "us": 2, "session": 1, "what": what, "side": side, "text": text, **more})

    def pass_on(side, text):
        say("came", side, text)
        say("sent", "server" if side == "client" else "client", text)

    pass_on("server", GREETING + "\r\n")
    pass_on("client", '{"execute": "qmp_capabilities"}\r\n')
    pass_on("server", '{"return": {}}\r\n')
    for i in range(3):
        say("came", "client", '{"execute": "old", "arguments": {"a": %d}, "id": %d}\n' % (i, i))
        say("rewritten", "client", '{"execute": "old", "arguments": {"a": %d}, "id": %d}' % (i, i), rule="renamed",
            to='{"execute": "new", "arguments": {"b": %d}}' % i)
        say("sent", "server", '{"execute": "new", "arguments": {"b": %d}, "id": "qmp-shim:%d"}\n' % (i, i + 1))
        say("came", "server", '{"return": {"y": 1}, "id": "qmp-shim:%d"}\r\n' % (i + 1))
        say("sent", "client", '{"return": {"x": 1}, "id": %d}\r\n' % i)
        pass_on("server", '{"event": "OTHER", "data": {"n": "%s"}}\r\n' % ("x" * 100))
    lines.append({"ms": 9, "us": 9, "session": 1, "what": "closed"})
    return write(place.path("trace"), "".join(json.dumps(line) + "\n" for line in lines))


def schema_of(place, member):
    return write(place.path("schema"), json.dumps({"return": [
        {"name": "str", "meta-type": "builtin", "json-type": "string"}, {"name": "0", "meta-type": "object", "members": []},
        {"name": "1", "meta-type": "object", "members": [{"name": member, "type": "str"}, {"name": "e", "type": "2", "default": None}]},
        {"name": "2", "meta-type": "enum", "values": ["a", member]},
        {"name": "do", "meta-type": "command", "arg-type": "1", "ret-type": "1"},
        {"name": "only-" + member, "meta-type": "command", "arg-type": "0", "ret-type": "0"},
        {"name": "EVENT", "meta-type": "event", "arg-type": "1"}]}))


CASE = """rules: %s

case: a command and its reply
client> {"execute": "old", "arguments": {"a": 1}, "id": 1}
qemu<   {"execute": "new", "arguments": {"b": 1}, "id": "$1"}
qemu>   {"return": {"y": 2}, "id": "$1"}
client< {"return": {"x": 2}, "id": 1}
"""


def commands(place):
    rules, trace = write(place.path("rules") + ".jsonc", RULES), trace_of(place)
    one, other = schema_of(place, "m"), schema_of(place, "n")
    case = write(place.path("case") + ".case", CASE % rules)
    said = write(place.path("said"), 'C: {"execute": "old", "arguments": {"a": 1}}\nS: {"return": {"y": 2}}\nS: {"event": "NEW", "data": {"e": 1}}\n')
    config = write(place.path("config"), '{"qmp-shim-config": 1, "listen": "a", "connect": "b", "rules": ["%s"]}' % rules)
    return {
        "show": ["show", "--full", trace], "show --html": ["show", "--html", place.path("page"), trace],
        "replay": ["replay", "--rules", rules, trace], "replay --to-case": ["replay", "--to-case", "--rules", rules, trace],
        "diff": ["diff", "--rules", rules, one, other], "diff --json": ["diff", "--json", "--no-rules", one, other],
        "diff --skeleton": ["diff", "--skeleton", "--no-rules", one, other], "diff --trace": ["diff", "--no-rules", "--trace", trace, one, other],
        "check": ["check", rules], "test": ["test", case],
        "explain": ["explain", "--rules", rules, said], "list": ["list", rules],
        "run, which cannot listen": ["run", "--config", config, "--listen", "/nowhere/a"],
    }


@test("each command, when its n-th allocation fails, says so and ends")
def _(place):
    if has_a_runtime():
        return
    library = preload(place)
    for name, words in commands(place).items():
        well = subprocess.run([PROGRAM, *words], capture_output=True, timeout=DEADLINE_S, check=False)
        n_failed = 0
        for n in numbers():
            values, told = environment(place, library, n, n % 2)
            done = subprocess.run([PROGRAM, *words], capture_output=True, text=True, timeout=DEADLINE_S, check=False, env=values)
            if not os.path.exists(told):
                check_equal((done.returncode, done.stdout), (well.returncode, well.stdout.decode()), "%s, nothing failed" % name)
                break
            n_failed += 1
            assert done.returncode in (0, 1, 2), "%s ended by a signal, allocation %d: %d %s" % (name, n, done.returncode, done.stderr)
            # or it did without what it wanted the memory for
            assert done.stderr or (done.returncode, done.stdout) == (well.returncode, well.stdout.decode()), \
                "%s gave %d %s without a word, allocation %d" % (name, done.returncode, done.stdout, n)
        assert n_failed > 3, "%s has %d allocations" % (name, n_failed)
        print("# %s: %d allocations failed" % (name, n_failed))


# --- a shim that runs -----------------------------------------------------------------------------------

def converse(place, shim, server):
    """A session with rules of all kinds, as far as it goes.  Return: did it go to its end?"""
    client = place.client(shim.path)
    until(lambda: client.is_readable() or select.select([server.socket], [], [], 0)[0], "the shim to connect, or not to")
    if not select.select([server.socket], [], [], 0)[0]:
        client.close()
        return False
    peer = server.accept()
    try:
        peer.send(Server.GREETING)
        client.read_line()
        for said, asked, answers in (
                ('{"execute": "qmp_capabilities"}', 1, ['{"return": {}%s}']),
                ('{"execute": "old", "arguments": {"a": [1, 2]}, "id": 1}', 1, ['{"return": {"y": "z"}%s}', '{"event": "NEW", "data": {"e": 1}}']),
                ('{"execute": "ask", "id": 2}', 2, ['{"return": {"v": 1}%s}', '{"return": {}%s}']),
                ('{"execute": "keep", "arguments": {"k": "a", "v": 1}, "id": 3}', 1, ['{"return": {}%s}']),
                ('{"execute": "other"}', 1, ['{"event": "THIRD"}', '{"return": {}%s}'])):
            client.send(said + "\r\n")
            for _ in range(asked):
                command = Replay.next_command(peer)
                answer, *answers = answers
                if "%s" not in answer:
                    peer.send(answer + "\r\n")
                    answer, *answers = answers
                peer.send(answer % (', "id": ' + json.dumps(command["id"]) if "id" in command else "") + "\r\n")
            for answer in answers:
                peer.send(answer + "\r\n")
            while "event" in client.read_message():
                pass
        return True
    except (Closed, ConnectionError, BrokenPipeError):
        return False
    finally:
        client.close()
        peer.close()


@test("a session, recorded or not, when the n-th allocation fails: it ends at most, and others do not")
def _(place):
    if has_a_runtime():
        return
    library = preload(place)
    rules = write(place.path("rules") + ".jsonc", RULES)
    for more in ([], ["--trace", place.path("trace"), "--no-redact"], ["--compact"]):
        n_ended = n_failed = 0
        for n in range(10000):
            begin = place.path("begin")
            server = place.server()
            values, told = environment(place, library, n, False, FAULTY_FROM=begin)
            before = dict(os.environ)
            os.environ.update(values)
            try:
                shim = place.shim(server.path, "--rules", rules, "--no-probe", *more)
            finally:
                os.environ.clear()
                os.environ.update(before)
            assert converse(place, shim, server), "a session before"
            write(begin, "")
            is_whole = converse(place, shim, server)
            until(lambda: "session closed\" session=2" in shim.said() or "turned away\" session=2" in shim.said(), "the end of the session")
            os.unlink(begin)
            has_failed = os.path.exists(told)
            if has_failed:
                is_told = "out of memory" in shim.said() or "Cannot allocate" in shim.said()
                assert is_told or is_whole, "nothing was said\n" + shim.said()
            else:
                assert is_whole, "it ended, and nothing had failed\n" + shim.said()
            assert converse(place, shim, server), "a session afterwards"
            check_equal(shim.stop(), 0, shim.said())
            server.close()
            n_failed += has_failed
            n_ended += not is_whole
            if not has_failed:
                break
        assert n_failed > 10, "there were only %d allocations" % n_failed
        print("# %s: %d allocations failed, %d sessions ended" % (" ".join(more[:1]) or "plain", n_failed, n_ended))


sys.exit(tap.run())
