#!/usr/bin/env python3
"""
The same bytes to a real QEMU, directly and through the shim: the same bytes must come back, in the
same order, as soon.

Each sequence of corpus/*.txt is one test.  A line there reads

    NAME [OPTION ...]: TEXT

    \\xHH     in TEXT: this byte                raw       the test does not negotiate first
    \\|       here one write ends               early     nor does it read the greeting first
    \\*N(T)   T, N times                        oob       negotiates with out-of-band
                                               bytewise  a write for each byte
    Any other backslash is just that.          cuts      the text in two writes, for each place of the cut
                                               unordered lines may come in any order
                                               pretty    a server with pretty=on
                                               doctored  with rules, the replies list more

"As soon": what QEMU answers by itself must come through the shim while nothing more is sent.  Only
then a sentinel follows: 0xFF, which makes QEMU's parser forget what it had, and a command.  Up to
its reply both streams must be the same.

Each runs without rules and with a rule file that speaks of none of these messages (but adds to what
a server says of itself: "doctored").  A sequence begins a new connection, so several hundred
sessions are seen too.
"""

import functools
import glob
import json
import os
import re
import sys

import qmplive
from qmplive import Place, Tap, check_equal, mask_time, rule_file

SENTINEL = b'\xff{"execute":"query-name","id":"sentinel"}'
SENTINEL_REPLY = re.compile(rb'"id": "sentinel"[^\n]*\}\r\n|"id": "sentinel"(?:[^\n]*\r\n)+?\}\r\n')
RULES = "image-streaming-2011"
OPTIONS = {"raw", "early", "oob", "bytewise", "cuts", "unordered", "pretty", "doctored"}

tap = Tap()


# --- the corpus ----------------------------------------------------------------------------------

def unescape(text):
    """TEXT of a line.  Return: its writes."""
    text = re.sub(r"\\\*(\d+)\((.*?)\)", lambda m: m[2] * int(m[1]), text)
    return [re.sub(rb"\\x([0-9a-fA-F]{2})", lambda m: bytes([int(m[1], 16)]), write.encode())
            for write in text.split("\\|") if write]


def parse(line):
    head, text = line.split(": ", 1)
    name, *options = head.split()
    assert set(options) <= OPTIONS, "unknown option in: " + head
    writes = unescape(text)
    if "bytewise" in options:
        writes = [bytes([b]) for b in b"".join(writes)]
    if "cuts" in options:
        whole = b"".join(writes)
        writes = [piece for i in range(1, len(whole)) for piece in (whole[:i], whole[i:])]
    return name, frozenset(options), writes


def read_corpus():
    for path in sorted(glob.glob(os.path.join(qmplive.HERE, "corpus", "*.txt"))):
        with open(path, encoding="ascii") as lines:
            for line in lines:
                if line.strip() and not line.startswith("#"):
                    yield parse(line.rstrip("\n"))


# --- one exchange --------------------------------------------------------------------------------

def send(client, writes):
    for write in writes:
        client.send(write)
        if len(writes) > 1:
            client.wait_read()  # else the next write would be one with it


def is_whole(text):
    """Do lines end here that make a message?  A server with pretty=on writes each by itself."""
    return text.endswith(b"}\r\n") and text.count(b"{") == text.count(b"}")


def begin(client, options):
    if "early" in options:
        return
    client.read_until(is_whole, "the greeting")
    client.input = b""
    if "raw" not in options:
        arguments = b',"arguments":{"enable":["oob"]}' if "oob" in options else b""
        client.send(b'{"execute":"qmp_capabilities"%s}' % arguments)
        client.read_until(is_whole, "the reply to qmp_capabilities")
        client.input = b""


def end(client):
    """What comes after the sentinel, its reply included."""
    n_before = len(client.input)
    client.send(SENTINEL)
    client.read_until(lambda text: SENTINEL_REPLY.search(text, n_before), "the reply to the sentinel")
    return normal(client.input[n_before:])


def normal(data):
    return mask_time(data)


class Stage:
    """The servers, the two shims, and what QEMU itself said to each sequence."""

    def __init__(self, place):
        self.qemu = place.qemu(monitors=4)
        self.pretty = place.qemu(monitors=4, options=",pretty=on")
        self.judges = {}
        self.shims = {}
        self.place = place

    def client(self, path):
        return self.place.client(path)

    def server(self, options):
        return self.pretty if "pretty" in options else self.qemu

    def judge(self, options):
        """A client of a monitor of its own: once QEMU has answered it, it has answered all that was read before."""
        server = self.server(options)
        if server not in self.judges:
            judge = self.client(server.paths[3])
            begin(judge, options & {"pretty"})
            self.judges[server] = judge
        return self.judges[server]

    def settle(self, client, options):
        """Until QEMU has nothing more to say to this client."""
        judge = self.judge(options)
        while True:
            client.wait_read()
            for _ in range(8):
                judge.send(b'{"execute":"query-name","id":"judge"}')
                judge.read_until(lambda text: is_whole(text) and b'"judge"' in text, "the judge's reply")
                judge.input = b""
            if not client.is_readable():
                return
            while client.is_readable():
                if not client.receive():
                    return

    def direct(self, options, writes):
        with self.client(self.server(options).paths[0]) as client:
            begin(client, options)
            send(client, writes)
            self.settle(client, options)
            at_once = normal(client.input)
            return at_once, end(client)

    def shim(self, options, rules):
        key = ("pretty" in options, rules)
        if key not in self.shims:
            arguments = ["--rules", rule_file(rules)] if rules else ["--no-rules"]
            self.shims[key] = self.place.shim(self.server(options).paths[2 if rules else 1], *arguments)
        return self.shims[key]

    def through(self, options, writes, rules, is_all):
        with self.client(self.shim(options, rules).path) as client:
            begin(client, options)
            send(client, writes)
            client.read_until(lambda text: is_all(normal(text)), "what QEMU answers at once")
            at_once = normal(client.input)
            return at_once, end(client)


def compare(stage, options, writes):
    want = stage.direct(options, writes)
    for rules in (None, RULES):
        is_doctored = rules and "doctored" in options
        n_want = len(values(want[0])) if is_doctored else len(want[0])
        got = stage.through(options, writes, rules, lambda text: (
            len(values(text)) if is_doctored else len(text)) >= n_want)
        shape = as_seen(options, rules)
        for part, got_part, want_part in zip(("at once", "after the sentinel"), got, want):
            what = "%s, with %s" % (part, rules or "no rules")
            if is_doctored:
                check_equal(without_more(values(got_part), values(want_part)), values(want_part), what)
            else:
                check_equal(shape(got_part), shape(want_part), what)


def values(data):
    """The whole JSON values that these bytes are; out-of-band replies may stand anywhere, so in order of their text."""
    decoder, text, found = json.JSONDecoder(), data.decode().lstrip(), []
    while text:
        try:
            value, n = decoder.raw_decode(text)
        except ValueError:
            break
        found.append(value)
        text = text[n:].lstrip()
    return sorted(found, key=lambda value: str(value.get("id")))


def without_more(got, want):
    """Replies of a doctored server, less the entries that the server's own do not have."""
    less = []
    for got_reply, want_reply in zip(got, want):
        if isinstance(want_reply.get("return"), list) and isinstance(got_reply.get("return"), list):
            own = [entry for entry in got_reply["return"] if entry in want_reply["return"]]
            assert len(own) < len(got_reply["return"]), "nothing was added"
            got_reply = dict(got_reply, **{"return": own})
        less.append(got_reply)
    return less + got[len(want):]


def as_seen(options, rules):
    def shape(data):
        if rules:
            # newer servers count lines and columns over the connection, the shim's own questions included
            data = re.sub(rb'"desc": "\d+:\d+: ', b'"desc": "', data)
        return sorted(data.splitlines(True)) if "unordered" in options else data
    return shape


def main():
    corpus = list(read_corpus())
    assert len({name for name, _, _ in corpus}) == len(corpus), "two sequences of one name"
    try:
        with Place() as place:
            stage = functools.cache(lambda: Stage(place))
            for name, options, writes in corpus:
                tap.test(name)(lambda options=options, writes=writes: compare(stage(), options, writes))
            add_endings(stage)
            status = tap.run()
    except qmplive.Missing:
        status = 1
    return status


def add_endings(stage):
    @tap.test("half-close by the client after its last reply: the end of the stream, as from QEMU")
    def _():
        for path in (stage().qemu.paths[0], stage().shim(set(), None).path, stage().shim(set(), RULES).path):
            client = stage().client(path).greet()
            check_equal(client.command("query-name", id=1), {"return": {}, "id": 1})
            client.socket.shutdown(qmplive.socket.SHUT_WR)
            check_equal(client.read_to_end(), b"")
            client.close()

    @tap.test("the greeting is QEMU's own, byte for byte, and comes unasked")
    def _():
        want = first_line(stage(), stage().qemu.paths[0])
        for rules in (None, RULES):
            check_equal(first_line(stage(), stage().shim(set(), rules).path), want)


def first_line(stage, path):
    client = stage.client(path)
    line = client.read_line()
    client.close()
    return line


if __name__ == "__main__":
    sys.exit(main())
