#!/usr/bin/env python3
"""
A policy ("default": "deny") lets nothing past but what its rules mention, however it is written.

Behind the shim is a real QEMU that has not been started.  Each attack tries to start it, and a
monitor of its own tells whether it succeeded.  Behind each attack comes an allowed command, whose
reply must come: a client is refused, never left waiting.
"""

import json
import os
import socket
import sys

from qmplive import ME, Client, Place, Server, Tap, check_equal, is_same_file, rule_file, until

tap = Tap()
SYNC = b'\n{"execute": "query-name", "id": "sync"}\n'
CONT = b'{"execute":"cont"}'
NAME = b'{"execute":"query-name"}'


# --- attacks: name, bytes, and what closes what they leave open ------------------------------------

ATTACKS = [
    ("plainly", CONT),
    ("with an id", b'{"execute":"cont","id":{"a":[1]}}'),
    ("in single quotes", b"{'execute':'cont'}"),
    ("in quotes of both kinds", b"{'execute':\"cont\",\"id\":'x'}"),
    ("with white space", b' {\t"execute" \r\n:\n "cont" } '),
    ("with an escape in the name", b'{"execute":"c\\u006fnt"}'),
    ("with the name all escapes", b'{"execute":"\\u0063\\u006f\\u006e\\u0074"}'),
    ("with an escape in the key", b'{"exec\\u0075te":"cont"}'),
    ("with escapes and single quotes", b"{'exec\\u0075te':'c\\u006fnt'}"),
    ("with a key twice", b'{"execute":"query-name","execute":"cont"}'),
    ("with a key twice, the other way round", b'{"execute":"cont","execute":"query-name"}'),
    ("with a key twice, one with an escape", b'{"execute":"query-name","exec\\u0075te":"cont"}'),
    ("with a key twice, in quotes of both kinds", b"{\"execute\":\"query-name\",'execute':'cont'}"),
    ("with id twice", b'{"execute":"cont","id":1,"id":2}'),
    ("with arguments twice", b'{"execute":"qom-list","arguments":{"path":"/"},"arguments":{"path":"/"}}' + CONT),
    ("with a key twice inside", b'{"execute":"qom-list","arguments":{"path":"/","path":"/machine"}}' + CONT),
    ("with a key twice, deep inside",
     b'{"execute":"query-name","arguments":{"a":[{"b":{"c":1,"c":2}}]}}' + CONT),
    ("as exec-oob", b'{"exec-oob":"cont"}'),
    ("as execute and exec-oob", b'{"execute":"query-name","exec-oob":"cont"}'),
    ("as exec-oob and execute", b'{"exec-oob":"query-name","execute":"cont"}'),
    ("with a NUL in the name", b'{"execute":"cont\\u0000"}'),
    ("with a NUL behind an allowed name", b'{"execute":"query-name\\u0000cont"}'),
    ("with a NUL in the key", b'{"execute\\u0000":"cont"}'),
    ("with a NUL in a second key", b'{"execute":"query-name","execute\\u0000x":"cont"}'),
    ("with NUL bytes", b'{"execute":"cont\0"}\0' + CONT + b'\0'),
    ("with a capital", b'{"execute":"Cont"}{"Execute":"cont"}'),
    ("with blanks in the name", b'{"execute":" cont"}{"execute":"cont "}'),
    ("with _ and -", b'{"execute":"system_reset"}{"execute":"system-reset"}'),
    ("in a list", b'[' + CONT + b']'),
    ("in an object", b'{"x":' + CONT + b'}'),
    ("in the arguments", b'{"execute":"query-name","arguments":' + CONT + b'}'),
    ("in a string", b'{"execute":"query-name","id":"' + CONT.replace(b'"', b'\\"') + b'"}'),
    ("as a name that is no string", b'{"execute":["cont"]}{"execute":{"cont":1}}{"execute":null}{"execute":1}'),
    ("without a comma", b'{"execute":"query-name" "execute":"cont"}'),
    ("without a colon", b'{"execute" "cont"}' + CONT),
    ("with a comma too many", b'{"execute":"cont",}{,"execute":"cont"}'),
    ("behind a closing brace", b'}' + CONT),
    ("behind closing brackets", b'}]}]' + CONT),
    ("behind a stray letter", b'x' + CONT),
    ("behind @", b'@' + CONT),
    ("behind a byte order mark", b'\xef\xbb\xbf' + CONT),
    ("behind 0xFF", b'\xff' + CONT),
    ("behind control bytes", b'\x01\x1b\x7f' + CONT),
    ("behind a number", b'12' + CONT),
    ("behind a word", b'true' + CONT + b'nothing' + CONT),
    ("behind a string", b'"a"' + CONT),
    ("behind a comment", b'/* */' + CONT + b'// \n' + CONT),
    ("behind half a command", b'{"execute":"query-name"' + CONT + b'}'),
    ("behind an open string", b'{"execute":"query-name","id":"' + CONT + b'"}'),
    ("behind an open string with a control byte", b'{"execute":"query-name","id":"\x01' + CONT + b'"}'),
    ("behind an open list", b'{"execute":"query-name","id":[' + CONT + b']}'),
    ("behind a broken list", b'{"execute":"query-name","id":[@' + CONT + b']}}' + CONT),
    ("behind a mismatch", b'{"execute":"query-name"]' + CONT + b'}'),
    ("behind brackets that are never closed", b'[[[{{{' + CONT + b'}}}]]]'),
    ("behind an allowed command", NAME + CONT),
    ("in front of an allowed command", CONT + NAME),
    ("between allowed commands", NAME + CONT + NAME + CONT + NAME),
    ("behind a bad escape", b'{"execute":"query-name","id":"\\x"}' + CONT),
    ("behind a lone surrogate", b'{"execute":"query-name","id":"\\ud800"}' + CONT),
    ("behind bad UTF-8", b'{"execute":"query-name","id":"\xc0\x80"}' + CONT),
    ("too deep", b'{"execute":"query-name","id":' + b'[' * 1030 + CONT + b']' * 1030 + b'}' + CONT),
    ("just too deep", b'{"execute":"query-name","id":' + b'[' * 1024 + CONT + b']' * 1024 + b'}' + CONT),
    ("with a second qmp_capabilities", b'{"execute":"qmp_capabilities"}' + CONT),
    ("in a second qmp_capabilities", b'{"execute":"qmp_capabilities","exec\\u0075te":"cont"}'),
    ("in a second qmp_capabilities, plainly", b'{"execute":"qmp_capabilities","execute":"cont"}'),
    ("as the shim's own", b'{"execute":"cont","id":"qmp-shim:1"}{"execute":"cont","id":"qmp-shim:9"}'),
    ("as a reply", b'{"return":{},"execute":"cont"}{"return":{}}{"event":"RESUME"}{"QMP":{}}'),
    ("by another command", b'{"execute":"human-monitor-command","arguments":{"command-line":"cont"}}'),
    ("by setting a property", b'{"execute":"qom-set","arguments":{"path":"/machine","property":"x","value":1}}'),
    ("with control by a later message", b'{"execute":"xen-set-global-dirty-log","arguments":{"enable":true}}' + CONT),
    ("in UTF-16", CONT.decode().encode("utf-16")),
    ("in UTF-32", CONT.decode().encode("utf-32")),
    ("in UTF-7", b'+AHs-"execute":"cont"+AH0-' + CONT),
    ("with an overlong letter in the key", b'{"exec\xc1\xb5te":"cont"}'),
    ("with an overlong letter in the name", b'{"execute":"c\xc1\xafnt"}'),
    ("with an overlong quote", b'{"execute":"query-name\xc0\xa2,"execute":"cont"}'),
    ("with letters that look the same", '{"execute":"c\u043ent"}{"\u0435xecute":"cont"}'.encode()),
    ("with full-width letters", '{"execute":"\uff43\uff4f\uff4e\uff54"}'.encode() + CONT),
    ("with a zero-width letter", '{"execute":"co\u200bnt"}'.encode() + CONT),
    ("with capital hexadecimal digits", b'{"execute":"c\\u006Fnt"}'),
    ("with half an escape", b'{"execute":"c\\u006"}' + CONT),
    ("with an escape that is no number", b'{"execute":"c\\u00g1nt"}' + CONT),
    ("with an escaped quote", b'{"execute":"query-name\\",\\"execute\\":\\"cont"}'),
    ("with an escaped single quote", b"{'execute':'query-name\\',\\'execute\\':\\'cont'}"),
    ("with a quote of the other kind inside", b"{'execute':'query-name\",\"execute\":\"cont'}" + CONT),
    ("with an escaped slash", b'{"execute":"\\/cont"}{"\\/execute":"cont"}'),
    ("without quotes", b'{execute:"cont"}{"execute":cont}'),
    ("with a format", b'{"execute":%s}{"execute":%p}%s' + CONT),
    ("with a form feed", b'{\f"execute":"cont"}{"execute"\v:"cont"}'),
    ("with a line end in the name", b'{"execute":"co\nnt"}' + CONT),
    ("with a key twice, and a list between", b'{"execute":"query-name","id":[[[{}]]],"execute":"cont"}'),
    ("with three names", b'{"execute":"query-name","execute":"query-kvm","execute":"cont"}'),
    ("with ten thousand names", b'{"execute":"query-name"' + b',"execute":"query-name"' * 10000 + b',"execute":"cont"}'),
    ("with an empty key", b'{"":"cont","execute":"query-name"}' + CONT),
    ("with control", b'{"execute":"cont","control":{"run-oob":true}}'),
    ("as a batch", b'[{"execute":"query-name"},' + CONT + b']'),
    ("as JSON-RPC", b'{"jsonrpc":"2.0","method":"cont","id":1}' + CONT),
    ("behind half a command and 0xFF", b'{"execute":"query-name"\xff' + CONT),
    ("behind half a string and 0xFF", b'{"execute":"query-name","id":"\xff' + CONT + b'"}' + CONT),
    ("between 0xFF", b'\xff'.join(bytes([byte]) for byte in CONT) + b'\xff' + CONT),
    ("with 0xFF for a quote", CONT.replace(b'"', b'\xff') + CONT),
    ("behind a minus", b'-' + CONT),
    ("behind half a number", b'1e' + CONT + b'1.' + CONT + b'0x1' + CONT),
    ("behind half a word", b'tru' + CONT + b'nul' + CONT),
    ("behind an open single quote", b"'" + CONT + b"'" + CONT),
    ("behind a backslash", b'\\' + CONT),
    ("behind a shebang", b'#!/bin/qmp\n' + CONT),
    ("behind HTTP", b'POST /qmp HTTP/1.1\r\nContent-Length: 18\r\n\r\n' + CONT),
    ("behind telnet", b'\xff\xfb\x01\xff\xfd\x03' + CONT),
    ("behind an end of file", b'\x04\x1a' + CONT),
    ("behind 2,000 allowed commands", NAME * 2000 + CONT),
    ("by another command, nested", b'{"execute":"transaction","arguments":{"actions":[' + CONT + b']}}'),
    ("by another command's command", b'{"execute":"query-name","arguments":{"command-line":"cont","execute":"cont"}}'),
]
HARMLESS = ("in a string", "in the arguments", "behind an open list")  # allowed commands that say "cont" somewhere


class Stage:
    """A QEMU with two monitors: one behind the shim, one that tells what happened."""

    def __init__(self, place, *rules):
        self.place = place
        self.qemu = place.qemu(monitors=2)
        self.judge = place.client(self.qemu.paths[1]).greet()
        self.shim = place.shim(self.qemu.paths[0], *(rules or ["--rules", rule_file("read-only")]))

    def client(self, *capabilities):
        return self.place.client(self.shim.path).greet(*capabilities)

    def check_untouched(self, what):
        check_equal(self.judge.call("query-status")["status"], "prelaunch", what)
        check_equal([e["event"] for e in self.judge.events if e["event"] in ("RESUME", "RESET")], [], what)


def read_to_sync(client):
    """Replies before that to the allowed command behind an attack."""
    replies = []
    while True:
        reply = client.read_reply()
        if reply.get("id") == "sync":
            check_equal(reply["return"], {}, "the allowed command")
            return replies
        replies.append(reply)


def attack(stage, name, data, capabilities=(), in_pieces=False):
    with stage.client(*capabilities) as client:
        for i in range(len(data) if in_pieces else 0):
            client.send(data[i:i + 1])
            if i % 7 == 0:
                client.wait_read()
        client.send(SYNC if in_pieces else data + SYNC)
        try:
            replies = read_to_sync(client)
        except Exception as failure:
            raise AssertionError("%s: %s" % (name, failure)) from failure
    if b"cont" in data and name not in HARMLESS:
        assert any("error" in reply for reply in replies), "%s: no error in %s" % (name, replies)
    stage.check_untouched(name)


@tap.test("nothing starts the guest, however the command is written")
def _():
    with Place() as place:
        stage = Stage(place)
        for name, data in ATTACKS:
            attack(stage, name, data)


@tap.test("nothing starts the guest in pieces of one byte")
def _():
    with Place() as place:
        stage = Stage(place)
        for name, data in ATTACKS:
            if len(data) < 200:
                attack(stage, name, data, in_pieces=True)


@tap.test("nothing starts the guest when out-of-band execution is on")
def _():
    with Place() as place:
        stage = Stage(place)
        for name, data in ATTACKS:
            attack(stage, name, data, capabilities=["oob"])


@tap.test("nothing starts the guest before qmp_capabilities, and that works afterwards")
def _():
    with Place() as place:
        stage = Stage(place)
        for name, data in ATTACKS:
            if b"qmp_capabilities" in data:
                continue
            with place.client(stage.shim.path) as client:
                client.send(data + b'\n{"execute":"qmp_capabilities","id":"now"}' + SYNC)
                client.read_line()  # the greeting
                replies = []
                while not replies or replies[-1].get("id") != "sync":
                    replies.append(client.read_reply())
            check_equal([r for r in replies if r.get("id") == "now"], [{"return": {}, "id": "now"}], name)
            check_equal(replies[-1], {"return": {}, "id": "sync"}, name)
            stage.check_untouched(name)


@tap.test("messages of any size are refused, those that are read in pieces too")
def _():
    with Place() as place:
        config = place.path("config")
        with open(config, "w", encoding="ascii") as file:
            json.dump({"qmp-shim-config": 1, "limits": {"max-message-bytes": 100000}}, file)
        stage = Stage(place, "--rules", rule_file("read-only"), "--config", config)
        for size in (99000, 100001, 300000, 1 << 20, 3 << 20):
            filler = b"A" * size
            for data in (b'{"execute":"cont","id":"' + filler + b'"}',
                         b'{"id":"' + filler + b'","execute":"cont"}',
                         b'{"arguments":{"x":["' + filler + b'",' + CONT + b']},"execute":"cont"}' + CONT,
                         b'{"id":"' + filler + b'"]' + CONT + b'}' + CONT,
                         b'{"execute":"query-name","id":"' + filler + b'","execute":"cont"}'):
                attack(stage, "%d bytes: %s" % (size, data[:30]), data)
        # brackets without end, then enough of them
        attack(stage, "two million brackets", b"[" * 2000000 + CONT + b"]" * 2000000 + CONT)


@tap.test("a refused client gets one error for each command, in order, with its id")
def _():
    with Place() as place:
        stage = Stage(place)
        with stage.client() as client:
            text = b""
            for i in range(500):
                text += b'{"execute":"%s","id":%d}\n' % (b"query-name" if i % 3 else b"cont", i)
            client.send(text)
            for i in range(500):
                reply = client.read_reply()
                check_equal((reply["id"], "return" in reply), (i, bool(i % 3)), "reply %d" % i)
            for bad in (b'{"execute":"query-name","x":1,"x":2,"id":7}', b'@', b'}', b'{"a" 1}', b'{"execute":"cont"'):
                for _ in range(3):  # each time anew, not only the first time
                    client.send(bad + (b"}" if bad.endswith(b'"') else b"") + b"\n")
                    assert "error" in client.read_reply(), bad
        stage.check_untouched("pipelined")


@tap.test("what is allowed gives what it gives without the shim")
def _():
    with Place() as place:
        stage = Stage(place)
        with stage.client() as client:
            for name in ("query-status", "query-version", "query-block", "query-commands", "query-pci", "query-cpus-fast"):
                got, want = client.call(name), stage.judge.call(name)
                if name == "query-commands":
                    got = sorted(c["name"] for c in got)
                    want = sorted(c["name"] for c in want)
                    got = [n for n in got if n in want]
                    continue
                check_equal(got, want, name)
            kind = stage.judge.call("qom-get", path="/machine", property="type")
            check_equal(client.call("qom-get", path="/machine", property="type"), kind, "qom-get")
            stage.judge.call("cont")
            client.wait_event("RESUME")


def n_open(pid):
    return len(os.listdir("/proc/%d/fd" % pid))


@tap.test("file descriptors of refused commands are closed and never reach the server")
def _():
    with Place() as place:
        stage = Stage(place)
        with stage.client() as client:
            client.call("query-name")
            n_shim, n_qemu = n_open(stage.shim.pid), n_open(stage.qemu.pid)
            fd = os.memfd_create("policy")
            for data, blank in ((b'{"execute":"getfd","arguments":{"fdname":"x"}}', None),
                                (b'{"execute":"getfd","arguments":{"fdname":"x"}}', b"\n"),
                                (b'@@@', None), (b'{"a" 1}', None), (b'{"a":1,"a":1}', b" ")):
                client.send(blank or data, [fd])
                if blank:
                    client.wait_read()
                    client.send(data)
                client.send(SYNC)
                read_to_sync(client)
                until(lambda: n_open(stage.shim.pid) == n_shim, "the shim to close what it refused: %s" % data)
                check_equal(n_open(stage.qemu.pid), n_qemu, "fds of QEMU after %s" % data)
                assert not any(is_same_file(ME, fd, stage.qemu.pid, int(n))
                               for n in os.listdir("/proc/%d/fd" % stage.qemu.pid)), "QEMU has it"
            os.close(fd)


def write_rules(place, text):
    path = place.path("rules") + ".jsonc"
    with open(path, "w", encoding="ascii") as file:
        file.write(text)
    return path


@tap.test("a command with an error of its own is answered with that, however it is written")
def _():
    with Place() as place:
        path = write_rules(place, """{ "qmp-shim-rules": 1, "name": "no-cont", "rules": [
            { "name": "cont", "for": "old-client", "new": null,
              "old": { "execute": "cont", "error": { "class": "GenericError", "desc": "not from here" } } } ] }""")
        stage = Stage(place, "--rules", path)
        with stage.client("oob") as client:
            for data in (CONT, b"{'execute':'cont'}", b'{"execute":"c\\u006fnt"}', b'{"exec\\u0075te":"cont"}',
                         b'{"arguments":{},"execute":"cont"}', b'{"exec-oob":"cont"}'):
                client.send(data)
                check_equal(client.read_reply(), {"error": {"class": "GenericError", "desc": "not from here"}}, data)
            check_equal(client.call("query-status")["status"], "prelaunch")
        stage.check_untouched("null-side rules")


@tap.test("a rule that cannot finish lets nothing past")
def _():
    with Place() as place:
        path = write_rules(place, """{ "qmp-shim-rules": 1, "name": "half", "default": "deny", "rules": [
            { "name": "cont", "for": "old-client",
              "old": { "execute": "cont", "arguments": {} },
              "new": { "execute": "query-name", "arguments": { "size": "$size" } },
              "ask": [ { "execute": "query-block", "return": [ { "device": "$size" } ] } ] } ] }""")
        stage = Stage(place, "--rules", path)
        with stage.client() as client:
            assert "error" in client.command("cont"), "cont went through"
        stage.check_untouched("a rule that fails")


@tap.test("a server that never answers does not open the door")
def _():
    with Place() as place:
        server = place.server()
        shim = place.shim(server.path, "--rules", rule_file("read-only"), "--no-probe")
        client = place.client(shim.path)
        peer = server.accept()
        peer.send(Server.GREETING)
        client.send(b'{"execute":"qmp_capabilities"}')
        peer.read_until(lambda text: b"}" in text)
        taken = json.loads(peer.input)
        peer.input = b""
        peer.send(json.dumps({"return": {}, "id": taken["id"]}) + "\r\n")
        client.read_line()
        client.read_line()
        client.socket.setblocking(False)
        for _ in range(200):  # until it takes no more
            try:
                client.socket.send((CONT + NAME) * 1000)
            except BlockingIOError:
                break
        peer.read_until(lambda text: text.count(b"query-name") > 1000, "many commands")
        assert b'"cont"' not in peer.input, "cont reached the server"


sys.exit(tap.run())
