#!/usr/bin/env python3
"""
What `qmp-shim check` says of rule files, to the letter.

Each folder beside this file, in load/, is a case: rules.jsonc, and in expect
all that is printed about it.  Without findings expect is empty and the exit
status 0; it is 3 if all of them tell of something incomplete, else 1.
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

CASES = Path(__file__).resolve().parent / "load"
PROGRAM = os.path.abspath(os.environ.get("QMP_SHIM", "./qmp-shim"))


def shim(*arguments, cwd=None):
    return subprocess.run([PROGRAM, *map(str, arguments)], cwd=cwd, capture_output=True, timeout=20, check=False)


def faults_of(case):
    """What differs from what is expected, as lines."""
    expected = (case / "expect").read_bytes()
    done = shim("check", "rules.jsonc", cwd=case)
    if done.stdout != expected:
        yield "expected:"
        yield from expected.decode(errors="replace").splitlines()
        yield "printed:"
        yield from done.stdout.decode(errors="replace").splitlines()
    if done.stderr:
        yield "on stderr: " + done.stderr.decode(errors="replace")
    is_wrong = b": error: " in expected or b": warning: " in expected
    if done.returncode != (1 if is_wrong else 3 if expected else 0):
        yield f"exit status {done.returncode}"


def all_at_once(cases):
    """One run over all files finds what the single runs find, file by file."""
    done = shim("check", *(case / "rules.jsonc" for case in cases))
    alone = b"".join(shim("check", case / "rules.jsonc").stdout for case in cases)
    if done.stdout != alone:
        yield "the findings differ from those of single runs"
    if done.returncode != 1:
        yield f"exit status {done.returncode}"


def refused_by_run(cases):
    """What has an error is refused by `run` too, with the same words."""
    for case in cases:
        try:
            # the folder for the socket is not there, so that it ends whatever it thinks of the rules
            done = shim("run", "--listen", "none/l.sock", "--connect", "none/c.sock", "--rules", "./rules.jsonc", cwd=case)
        except subprocess.TimeoutExpired:
            yield f"{case.name}: it runs"
            continue
        if done.returncode != 1:
            yield f"{case.name}: exit status {done.returncode}"
        if (case / "expect").read_text(errors="replace").splitlines()[0].removeprefix("rules.jsonc") not in done.stderr.decode(
                errors="replace"):
            yield f"{case.name}: another finding: {done.stderr.decode(errors='replace')}"


# a server of which the rules below expect too much
SCHEMA = [
    {"name": "start", "meta-type": "command", "arg-type": "1", "ret-type": "4"},
    {"name": "STARTED", "meta-type": "event", "arg-type": "2"},
    {"name": "1", "meta-type": "object", "members": [{"name": "device", "type": "str"}, {"name": "mode", "type": "3"},
                                                     {"name": "backend", "type": "6", "default": None}]},
    {"name": "2", "meta-type": "object", "members": [{"name": "device", "type": "str"}]},
    {"name": "3", "meta-type": "enum", "values": ["fast", "slow"]},
    {"name": "4", "meta-type": "array", "element-type": "5"},
    {"name": "5", "meta-type": "object", "members": [{"name": "id", "type": "str"}]},
    {"name": "6", "meta-type": "object", "members": [{"name": "type", "type": "7"}], "tag": "type",
     "variants": [{"case": "file", "type": "8"}, {"case": "pipe", "type": "9"}]},
    {"name": "7", "meta-type": "enum", "values": ["file", "pipe"]},
    {"name": "8", "meta-type": "object", "members": [{"name": "data", "type": "2"}]},
    {"name": "9", "meta-type": "object", "members": [{"name": "data", "type": "5"}]},
    {"name": "str", "meta-type": "builtin", "json-type": "string"},
]
RULES = """{ "qmp-shim-rules": 1, "name": "case", "rules": [
{ "name": "good", "for": "old-client", "old": { "execute": "begin", "arguments": { "mode": "quick", "x": { "$absent": true } } },
  "new": { "execute": "start", "arguments": { "mode": "fast", "backend": { "type": "pipe", "data": { "id": "a" } } }, "return": [ { "id": "a", "*size": 1 }, "..." ] } },
{ "name": "command", "old": { "execute": "halt" }, "new": { "execute": "star" } },
{ "name": "later", "new-since": "9.0", "old": { "execute": "pause" }, "new": { "execute": "hold" } },
{ "name": "argument", "for": "old-client", "old": { "execute": "run", "arguments": { "device": "a" } },
  "new": { "execute": "start", "arguments": { "devcie": "a", "mode": "fats", "backend": { "type": "file", "data": { "id": "a" } } }, "return": [ { "size": 1 }, "..." ] } },
{ "name": "event", "old": { "event": "BEGUN" }, "new": { "event": "STARTED", "data": { "speed": 1 } } },
{ "name": "unknown", "old": { "event": "OVER" }, "new": { "event": "ENDED" } },
{ "name": "elsewhere", "old": { "execute": "of-another-build", "return": { "a": 1 } }, "new": { "execute": "of-another-build", "return": { "b": 1 } } },
{ "name": "hidden", "old": null, "new": { "event": "OF_ANOTHER_MACHINE" } },
{ "name": "slip", "old": { "execute": "satrt" }, "new": { "execute": "satrt", "arguments": { "mode": "fast" } } },
{ "name": "hidden-slip", "old": null, "new": { "event": "STARTD" } },
{ "name": "awaited", "for": "old-client", "old": { "execute": "wait" }, "new": { "execute": "start" }, "until": { "event": "OF_ANOTHER_MACHINE" } },
{ "name": "errors", "command": ["end"], "old": { "error": { "class": "A" } }, "new": { "error": { "class": "B" } } } ] }
"""
FOUND = """rules.jsonc:4:59: error: the server has no command "star"
rules.jsonc:7:57: warning: the server has no argument "devcie"
rules.jsonc:7:70: warning: the server has no word "fats"
rules.jsonc:7:123: warning: the server has no argument "id"
rules.jsonc:7:156: warning: the server has no member "size"
rules.jsonc:8:97: warning: the server has no member "speed"
rules.jsonc:9:57: error: the server has no event "ENDED"
rules.jsonc:12:57: error: the server has no command "satrt"
rules.jsonc:13:46: error: the server has no event "STARTD"
rules.jsonc:14:113: error: the server has no event "OF_ANOTHER_MACHINE"
rules.jsonc:15:86: error: the server has none of the commands that this rule is for
"""
LATER = """rules.jsonc:5:78: error: the server has no command "hold"
"""
POLICY = """{ "qmp-shim-rules": 1, "name": "case", "default": "deny", "rules": [
{ "name": "slip", "old": { "execute": "star" }, "new": { "execute": "star" } } ] }
"""


@contextlib.contextmanager
def rules_in_a_folder():
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "rules.jsonc").write_text(RULES)
        Path(folder, "schema.json").write_text(json.dumps({"return": SCHEMA, "id": 1}))
        yield Path(folder)


def first_lines(text):
    return "".join(line + "\n" for line in text.decode().splitlines() if line.startswith("rules.jsonc:"))


def against_a_saved_schema():
    with rules_in_a_folder() as folder:
        done = shim("check", "--schema", "schema.json", "rules.jsonc", cwd=folder)
        found = first_lines(done.stdout)
        if sorted(found.splitlines()) != sorted((FOUND + LATER).splitlines()) or done.returncode != 1:
            yield from (found + done.stderr.decode()).splitlines()
        if b'did you mean "start"?' not in done.stdout:
            yield "no word about what may have been meant"
        done = shim("check", "--schema", "schema.json", "--client", "new", "rules.jsonc", cwd=folder)
        if b'the server has no command "halt"' not in done.stdout:
            yield "the old side is not looked at when the client is new"
        (folder / "policy.jsonc").write_text(POLICY)
        done = shim("check", "--schema", "schema.json", "policy.jsonc", cwd=folder)
        if done.returncode != 0:
            yield "what a policy lets pass is found fault with: " + done.stdout.decode()


def against_a_version():
    """Which also tells which rules are meant: "later" is for newer servers."""
    with rules_in_a_folder() as folder:
        for version, has_later in ("7.2", False), ("10.0", True):
            done = shim("check", "--schema", version, "rules.jsonc", cwd=folder)
            if b'the server has no command "star"' not in done.stdout or (b'"hold"' in first_lines(done.stdout).encode()) != has_later:
                yield from (version + ":\n" + done.stdout.decode() + done.stderr.decode()).splitlines()
        done = shim("check", "--schema", "7.3", "rules.jsonc", cwd=folder)
        if done.returncode != 2 or b"has not got version 7.3; it has " not in done.stderr:
            yield done.stderr.decode()


def serve(listener, version, greeting_first):
    """One client: greeting, negotiation with an event in between, the schema in two pieces."""
    peer, _ = listener.accept()
    with peer, peer.makefile("r") as lines:
        peer.sendall(greeting_first.encode() or json.dumps(
            {"QMP": {"version": {"qemu": dict(zip(("major", "minor", "micro"), version)), "package": ""}, "capabilities": []}}).encode())
        decoder, text = json.JSONDecoder(), ""
        for reply in ({}, SCHEMA):
            while True:
                try:
                    decoder.raw_decode(text)
                    break
                except ValueError:
                    more = peer.recv(65536).decode()
                    if not more:
                        return
                    text += more
            text = text[decoder.raw_decode(text)[1]:].lstrip()
            peer.sendall(b'{"event": "NEWS", "timestamp": {"seconds": 1, "microseconds": 2}}\r\n')
            answer = json.dumps({"return": reply}).encode() + b"\r\n"
            peer.sendall(answer[:9])
            peer.sendall(answer[9:])


def ask_server(folder, version, greeting_first=""):
    path = Path(folder, f"{version[0]}.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        thread = threading.Thread(target=serve, args=(listener, version, greeting_first), daemon=True)
        thread.start()
        done = shim("check", "--against", path, "rules.jsonc", cwd=folder)
        thread.join(20)
    return done


def against_a_live_server():
    with rules_in_a_folder() as folder:
        done = ask_server(folder, (8, 1, 0))
        if first_lines(done.stdout) != FOUND or done.returncode != 1:
            yield from (first_lines(done.stdout) + done.stderr.decode()).splitlines()
        done = ask_server(folder, (9, 0, 0))
        if sorted(first_lines(done.stdout).splitlines()) != sorted((FOUND + LATER).splitlines()):
            yield from first_lines(done.stdout).splitlines()
        done = ask_server(folder, (1, 0, 0), '{"hello": 1}')
        if done.returncode != 2 or b"no QMP server" not in done.stderr:
            yield f"what is no QMP server: {done.returncode}, {done.stderr.decode()}"


def usage():
    for arguments, words in (
        ((), "is missing"),
        (("no-such-file.jsonc",), "no-such-file.jsonc"),
        (("--client", "both", "x.jsonc"), "--client"),
        (("--schema", "no-such-schema", CASES / "clean-worked-examples/rules.jsonc"), "no-such-schema"),
        (("--against", "no-such-socket", CASES / "clean-worked-examples/rules.jsonc"), "no-such-socket"),
        (("--schema", "a", "--against", "b", "x.jsonc"), "exclude"),
    ):
        done = shim("check", *arguments)
        if done.returncode != 2 or words not in done.stderr.decode() or done.stdout:
            yield f"{arguments}: exit status {done.returncode}, {done.stderr.decode()}"


def main():
    cases = sorted(path for path in CASES.iterdir() if (path / "rules.jsonc").exists())
    first = [case for case in cases if b": error: " in (case / "expect").read_bytes()]
    examples = "example-fails"  # which run does not play
    tests = [(case.name.replace("-", " "), faults_of(case)) for case in cases]
    some = [case for case in cases if not case.name.startswith("table-")]  # whose finding is about all files together
    tests.append(("all files are checked in one run, and their findings come file by file", all_at_once(some[::7])))
    tests.append(("run refuses what check finds to be an error", refused_by_run([case for case in first if case.name != examples])))
    tests.append(("what a server has not got is found from its saved schema", against_a_saved_schema()))
    tests.append(("and from what is installed of its version", against_a_version()))
    tests.append(("a live server is asked, and its version tells which rules are meant", against_a_live_server()))
    tests.append(("what cannot be checked is said on stderr, with exit status 2", usage()))
    n_failed = 0
    print(f"1..{len(tests)}")
    for i, (name, faults) in enumerate(tests, 1):
        faults = list(faults)
        n_failed += bool(faults)
        print(f"{'not ok' if faults else 'ok'} {i} - {name}")
        for fault in faults:
            print("#", fault)
    sys.exit(1 if n_failed else 0)


if __name__ == "__main__":
    main()
