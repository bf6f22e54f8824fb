#!/usr/bin/env python3
"""
What an author of rules works with: servers compared with each other, and
with what a recorded client uses.
"""

import json
import os
import re
import subprocess
import sys

import qmplive

TOP = os.path.join(qmplive.HERE, "..", "..")
REDACT = os.path.abspath(os.path.join(TOP, "data", "redact.jsonc"))
tap = qmplive.Tap()
check_equal = qmplive.check_equal
PROGRAM = os.path.abspath(os.environ.get("QMP_SHIM", "./qmp-shim"))
os.environ.setdefault("QMP_SHIM_RULES_PATH", os.path.abspath(os.path.join(TOP, "rules")))
ENVIRONMENT = dict(os.environ, LC_ALL="C",
                   QMP_SHIM_SCHEMAS=os.path.abspath(os.path.join(TOP, "data", "schemas.json")))


def program(*arguments, status=0):
    done = subprocess.run([PROGRAM, *arguments], env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=False)
    if status is not None:
        check_equal(done.returncode, status, "status of %s\n%s%s" % (" ".join(arguments), done.stdout, done.stderr))
    return done.stdout


def record(place, talk, *rules):
    """A session through the shim, to its end.  Return: the trace's path."""
    qemu = place.qemu()
    path = place.path("trace")
    shim = place.shim(qemu.path, "--trace", path, "--redact", REDACT, *(rules or ("--no-rules",)))
    client = place.client(shim.path)
    client.greet()
    talk(client)
    client.command("quit")
    client.read_to_end()
    client.close()
    check_equal(shim.stop(), 0)
    return path


def adds_objects(client):
    for i in range(3):
        client.command("object-add", id=i, arguments={"qom-type": "memory-backend-ram", "id": "m%d" % i, "props": {"size": 1048576}})
    client.command("query-cpus")
    client.command("query-status")


def server_version(qemu_greeting):
    v = qemu_greeting["QMP"]["version"]["qemu"]
    return "%d.%d" % (v["major"], v["minor"])


def a_server(place):
    """Return: its path and its version"""
    qemu = place.qemu()
    version = server_version(place.client(qemu.path).greet().greeting)
    place.sockets.pop().close()
    return qemu.path, version


# --- diff ---------------------------------------------------------------------------------------------------

@tap.test("diff tells a client of 5.2 what 7.2 has not got, and which rule helps")
def _():
    text = program("diff", "--client", "old", "5.2", "7.2", status=1)
    for wanted in (r"^  command +query-cpus  <qemu-6\.0/query-cpus>$", r"^  argument +object-add arguments\.props  <qemu-6\.0/object-add-props>$",
                   r'^  value +blockdev-add arguments\.driver "sheepdog"$', r"^  deprecated +drive-backup$"):
        assert re.search(wanted, text, re.MULTILINE), wanted + " is not in\n" + text
    assert "A client of 7.2" not in text


@tap.test("diff compares both ways unless it is told one")
def _():
    both = program("diff", "--no-rules", "5.2", "7.2", status=1)
    assert both.startswith("A client of 5.2 on 7.2: ") and "\nA client of 7.2 on 5.2: " in both, both
    assert "  argument       block-stream arguments.bottom" in both and "<" not in both, both
    one = program("diff", "--no-rules", "--client", "new", "5.2", "7.2", status=1)
    assert both.endswith(one), one


@tap.test("diff finds nothing between a server and itself, and exits with 0")
def _():
    for version in ("2.10", "2.12", "5.2", "7.2", "10.0", "11.1"):
        text = program("diff", version, version)
        assert text.count(": 0 gaps") == 2, text


def each_emulator(name):
    """The machine's own, and those of other versions that are here (QEMU_VERSIONS_DIR)."""
    folder = os.path.join(os.environ.get("QEMU_VERSIONS_DIR", ""), "bin")
    others = [path for path in (os.path.join(folder, "qemu-" + version) for version in ("5.2", "10.0", "11.1")) if os.path.exists(path)]

    def declare(function):
        for emulator in [None, *others]:
            def run(emulator=emulator):
                before = os.environ.get("QEMU")
                os.environ.update({"QEMU": emulator} if emulator else {})
                try:
                    function()
                finally:
                    os.environ.pop("QEMU", None)
                    os.environ.update({"QEMU": before} if before else {})
            tap.test(name + (", " + os.path.basename(emulator) if emulator else ""))(run)
        return function
    return declare


@each_emulator("diff asks a server that is alive, and it is what is installed of its version but for how it was built")
def _():
    with qmplive.Place() as place:
        path, version = a_server(place)
        if version not in ("5.2", "7.2", "10.0", "11.1"):
            return
        found = json.loads(program("diff", "--json", "--no-rules", version, path, status=None))
        commands = {gap.get("command") for gap in found["old-client"]["gaps"] if gap["kind"] == "command"}
        assert len(commands) < 10, commands


@each_emulator("what a client of 2.12 misses on a server that is alive is what it misses on the installed data of its version")
def _():
    with qmplive.Place() as place:
        path, version = a_server(place)
        if version not in ("5.2", "7.2", "10.0", "11.1"):
            return
        missed = [{gap["command"] for gap in json.loads(program("diff", "--json", "2.12", server, status=None))["old-client"]["gaps"]
                   if gap["kind"] == "command"} for server in (version, path)]
        assert missed[0] and missed[0] <= missed[1], missed
        assert len(missed[1] - missed[0]) < 10, missed


@tap.test("diff with a trace tells only what its client uses, the most used first")
def _():
    with qmplive.Place() as place:
        trace = record(place, adds_objects)
        text = program("diff", "--trace", trace, "--no-rules", "5.2", "7.2", status=1).splitlines()
        check_equal(text[0], "A client of 5.2 on 7.2: 3 gaps, 0 bridged by rules, 2 open")
        check_equal([line.split() for line in text[1:]], [["3x", "argument", "object-add", "arguments.props"], ["1x", "unknown-value", "SHUTDOWN", "data.reason", '"snapshot-load"'],
                                                           ["1x", "command", "query-cpus"]])
        program("diff", "--trace", trace, "5.2", "7.2")


@tap.test("diff prints for programs what it prints for people")
def _():
    found = json.loads(program("diff", "--json", "5.2", "7.2", status=1))
    check_equal((found["qmp-shim-diff"], found["old"], found["new"]), (1, "5.2", "7.2"))
    check_equal([g for g in found["old-client"]["gaps"] if g.get("command") == "object-add"],
                [{"kind": "argument", "command": "object-add", "path": "arguments.props", "bridge": {"file": "qemu-6.0", "rule": "object-add-props"}}])
    text = program("diff", "5.2", "7.2", status=1)
    assert "A client of 7.2 on 5.2: %d gaps" % len(found["new-client"]["gaps"]) in text


@tap.test("diff reads what a server said from files and folders, names of commands alone, too")
def _():
    with qmplive.Place() as place:
        qemu = place.qemu()
        client = place.client(qemu.path).greet()
        folder = place.path("said")
        os.mkdir(folder)
        for command in ("query-qmp-schema", "query-commands"):
            with open(os.path.join(folder, command + ".json"), "w", encoding="utf-8") as file:
                json.dump(client.command(command), file)
        client.close()
        schema, commands = (os.path.join(folder, name + ".json") for name in ("query-qmp-schema", "query-commands"))
        assert "0 gaps" in program("diff", schema, folder)
        text = program("diff", "--client", "new", schema, commands)
        assert ", 0 open" in text, text
        with open(commands, "w", encoding="utf-8") as file:
            json.dump([{"name": "query-cpus"}], file)
        check_equal(program("diff", "--no-rules", "--client", "old", commands, "7.2", status=1).splitlines()[1:], ["  command        query-cpus"])


@tap.test("what is no server is refused with the way out, and status 2")
def _():
    with qmplive.Place() as place:
        none = place.path("none")
        for arguments in (("5.2", "3.0"), ("5.2", none), ("5.2",), (REDACT, "7.2")):
            program("diff", *arguments, status=2)


# --- skeletons ----------------------------------------------------------------------------------------------

def written(place, text):
    path = place.path("rules") + ".jsonc"
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


@tap.test("a skeleton of any two versions is a rule file, in which check finds nothing but what is to be decided")
def _():
    with qmplive.Place() as place:
        for old, new in (("2.10", "2.12"), ("2.12", "5.2"), ("5.2", "7.2"), ("7.2", "10.0"), ("10.0", "11.1"), ("2.10", "11.1")):
            for client in ("old", "new"):
                rules = written(place, program("diff", "--no-rules", "--skeleton", "--client", client, old, new))
                text = program("check", rules, status=3)
                assert re.match(r".*:\d+:\d+: incomplete: TODO: ", text) and "error" not in re.findall(r": (\w+): ", text), text


@tap.test("a skeleton has what installed rules do not bridge, and is empty when nothing is open")
def _():
    with qmplive.Place() as place:
        text = program("diff", "--skeleton", "5.2", "7.2")
        assert '"object-add"' not in text and "sheepdog" in text, text
        program("check", written(place, program("diff", "--skeleton", "7.2", "7.2")))


@tap.test("guesses stand in a skeleton as such: another name, and members one level up")
def _():
    text = program("diff", "--no-rules", "--skeleton", "5.2", "7.2")
    assert re.search(r'// TODO: is query-cpus now "query-cpus-fast"\?  A guess', text), text
    assert re.search(r'// TODO: arguments\.props .* A guess\n.*\n.*"\*props": \{ "\.\.\.": "\$props" \}', text), text


UNFINISHED = """{ "qmp-shim-rules": 1, "name": "unfinished", "rules": [ { "name": "r", /* TODO: which? */ %s
    "old": { "execute": "query-cpus" }, "new": { "execute": "query-cpus-fast" } } ] }"""


@tap.test("run refuses a rule that is not finished and says the way out, and lets it be where it rests")
def _():
    with qmplive.Place() as place:
        qemu = place.qemu()
        rules = written(place, UNFINISHED % "")
        done = subprocess.run([PROGRAM, "run", "--listen", place.path("s"), "--connect", qemu.path, "--rules", rules],
                              env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=False)
        check_equal(done.returncode, 1)
        assert 'rule "r" is not finished' in done.stderr and "take" in done.stderr, done.stderr
        resting = written(place, UNFINISHED % '"for": "new-client",')
        client = place.client(place.shim(qemu.path, "--rules", resting).path).greet()
        assert "running" in client.command("query-status")["return"]
        program("explain", "--rules", rules, REDACT, status=None)


# --- at a socket ---------------------------------------------------------------------------------------------

def dialogue(client, ids="r"):
    """Replies, an error, an event and an fd."""
    answers = [client.command("object-add", id=ids + "1", arguments={"qom-type": "memory-backend-ram", "id": "m", "size": 1048576}),
               client.command("query-version", id=ids + "2"),
               client.command("no-such-command"),
               client.command("system_reset", id=[ids])]
    with open(os.devnull, "rb") as device:
        answers.append(client.command("getfd", fds=[device.fileno()], arguments={"fdname": "n"}))
    return [{key: value for key, value in answer.items() if key != "id"} for answer in answers]


def play(place, *arguments):
    """A replay that runs, and the path of its socket."""
    path = place.path("played")
    process = place.run([PROGRAM, "replay", arguments[0], path, *arguments[1:]], "replay", env=ENVIRONMENT)
    if arguments[0] == "--as-server":
        process.wait_listening(path)
    return process, path


def end_of(client):
    client.command("quit")
    client.read_to_end()
    client.close()


@tap.test("the recorded server plays a live client what QEMU said, each reply with the id of its command")
def _():
    with qmplive.Place() as place:
        said = []
        trace = record(place, lambda client: said.extend(dialogue(client)))
        process, path = play(place, "--as-server", trace)
        client = place.client(path).greet()
        check_equal(dialogue(client, ids="other"), said)
        end_of(client)
        check_equal(process.wait(), 0, process.said())
        assert not os.path.exists(path)


@tap.test("what a live client does otherwise is told, with the place, and what it asks anew gets an error")
def _():
    with qmplive.Place() as place:
        trace = record(place, dialogue)
        process, path = play(place, "--as-server", trace, "--timeout", "5")
        client = place.client(path).greet()
        client.command("object-add", arguments={"qom-type": "memory-backend-ram", "id": "m", "size": 4096})
        assert "no answer" in client.command("query-name", id=7)["error"]["desc"]
        client.close()
        check_equal(process.wait(), 1)
        text = process.said()
        assert re.search(r"from the client, it differs at arguments\.size:\n  - .*1048576.*\n  \+ .*4096", text), text
        assert re.search(r"from the client:\n  \+ .*query-name", text), text
        assert re.search(r"from the client:\n  - .*no-such-command", text), text


@tap.test("the recorded client finds a QEMU as it was, events and fds too")
def _():
    with qmplive.Place() as place:
        trace = record(place, dialogue)
        text = program("replay", "--as-client", place.qemu().path, trace)
        assert text.endswith(" messages as recorded, 0 differences\n"), text


@tap.test("what a live QEMU answers otherwise is told, with the place")
def _():
    with qmplive.Place() as place:
        trace = record(place, dialogue)
        qemu = place.qemu(options="", monitors=1)
        client = place.client(qemu.path).greet()
        client.command("object-add", arguments={"qom-type": "memory-backend-ram", "id": "m", "size": 4096})
        client.close()
        text = program("replay", "--as-client", qemu.path, trace, status=1)
        assert re.search(r'from the server.*:\n  - \{"return": \{\}, "id": "r1"\}\n  \+ .*"error"', text), text
        assert text.endswith(", 1 difference\n"), text


@tap.test("an old client's traffic with rules is found the same through a shim with these rules, but for values that change with each run")
def _():
    with qmplive.Place() as place:
        rules = ("--client-version", "5.2", "--rules", "qemu-6.0")
        trace = record(place, adds_objects, *rules)
        path = place.shim(place.qemu().path, *rules).path
        text = program("replay", "--as-client", path, trace, status=1)
        assert "it differs at return.0.thread_id:" in text and text.endswith(", 1 difference\n"), text
        program("replay", "--as-client", place.shim(place.qemu().path, *rules).path, "--shape", trace)
        qemu = place.qemu()
        assert '"GenericError"' in program("replay", "--as-client", qemu.path, trace, status=1)


@tap.test("a peer that is silent, or does not come, is waited for as long as is said")
def _():
    with qmplive.Place() as place:
        trace = record(place, dialogue)
        process, _ = play(place, "--as-server", trace, "--timeout", "1")
        check_equal(process.wait(), 1)
        assert "no client came" in process.said(), process.said()
        process, path = play(place, "--as-server", trace, "--timeout", "1")
        client = place.client(path)
        check_equal(process.wait(), 1)
        assert re.search(r"  - .*qmp_capabilities", process.said()), process.said()
        client.close()
        program("replay", "--as-client", place.path("none"), trace, status=1)
        program("replay", "--as-client", "a", "--as-server", "b", trace, status=2)
        for timeout in ("0", "3601", "x"):
            program("replay", "--as-client", "a", "--timeout", timeout, trace, status=2)


if __name__ == "__main__":
    sys.exit(tap.run())
