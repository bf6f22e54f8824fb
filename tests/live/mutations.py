#!/usr/bin/env python3
"""
What differential.py does, with sequences that nobody thought of: those of corpus/*.txt changed at
random, cut into writes at random, and commands of every kind (in-band, out-of-band, malformed)
pipelined in one go.

usage: mutations.py [SEQUENCES [SEED]]

Each sequence has a seed of its own, SEED and its number, and is printed when it fails, so that
"mutations.py 1 SEED:NUMBER" runs it again.  $QEMU names another server.

QEMU 7.2 aborts when more than eight requests wait while out-of-band is enabled and some of them are
malformed (handle_qmp_command: qmp_requests->length < QMP_REQ_QUEUE_LEN_MAX), with a shim or without.
A sequence at which the server ends is left out, and counted.

Unlike there, when an answer comes does not count: a bare word and the brace behind it ("xe{") are
two tokens, and QEMU hears of the brace, which ends the word, only when the shim has what follows it.
"""

import random
import re
import sys

from differential import RULES, Stage, as_seen, begin, end, normal, read_corpus, send
from qmplive import Missing, Place, Tap, Timeout, check_equal, until

N_SEQUENCES = 5000
N_PER_TEST = 500
MAX_BYTES = 20000
LASTING = re.compile(rb"cont|stop|quit|system|fd|dev|migrate-pause|set")  # what they do is seen by those that follow
SKIPPED = {"doctored", "pretty", "cuts", "bytewise"}  # their writes are made here

TOKENS = [b"{", b"}", b"[", b"]", b":", b",", b'"', b"'", b"\\", b"\\u0000", b"\\ud800", b"\\u0065", b"\xff", b"\x00", b"\x1b",
          b"\xc3", b"\xed\xa0\x80", b"\r\n", b"\n", b" ", b"\t", b"true", b"nul", b"-", b"1e999", b"0x1", b"18446744073709551616",
          b'"id":1', b'"id":"a"', b'"id":null', b'"id":{"a":[1.50]}', b'"execute":', b'"exec-oob":', b'"arguments":{}', b"/*", b"//"]
COMMANDS = [b'{"execute":"query-name","id":%d}', b'{"execute":"query-status","id":%d}\r\n', b'{ "execute" : "query-kvm", "id": %d }\n',
            b"{'execute':'query-name','id':%d}", b'{"exec-oob":"migrate-recover","arguments":{"uri":"x"},"id":%d}',
            b'{"exec-oob":"query-name","id":%d}', b'{"execute":"no-such-command","id":%d}', b'{"id":%d}', b'{"execute":%d}',
            b'{"execute":"query-name","id":%d,"id":2}', b'{"execute":"query-name","arguments":{"x":%d}}', b"[%d]", b"{%d}"]

tap = Tap()


def mutate(rng, text):
    """@text with one change."""
    at, end = sorted((rng.randint(0, len(text)), rng.randint(0, len(text))))
    end = min(end, at + 16)
    return rng.choice((
        lambda: text[:at] + bytes([rng.randrange(256)]) + text[at + 1:],
        lambda: text[:at] + rng.choice(TOKENS) + text[at:],
        lambda: text[:at] + rng.choice(TOKENS) + text[end:],
        lambda: text[:at] + text[end:],
        lambda: text[:end] + text[at:],
        lambda: text[:at] + rng.choice(COMMANDS) % rng.randrange(100) + text[at:],
    ))()


def pipeline(rng, n_max):
    """Commands in one go."""
    return b"".join(rng.choice(COMMANDS) % i for i in range(rng.randint(2, n_max)))


def cut(rng, text):
    """@text in writes; most go in one."""
    places = sorted(rng.sample(range(1, len(text)), min(rng.choice((0, 0, 0, 1, 2, 5)), len(text) - 1)))
    return [text[a:b] for a, b in zip([0] + places, places + [len(text)])]


def generate(rng, corpus):
    """Return: the options and the writes of a sequence."""
    options, writes = rng.choice(corpus)
    text, n_changes = b"".join(writes), rng.choice((1, 1, 1, 2, 4, 8))
    if rng.random() < 0.3:
        options = rng.choice((frozenset(), frozenset({"oob"})))
        text = pipeline(rng, 4 if "oob" in options else 20)
    if "oob" in options:
        options, n_changes = options | {"unordered"}, rng.choice((0, 1))
    for _ in range(n_changes):
        text = mutate(rng, text)[:MAX_BYTES]
    return options, cut(rng, LASTING.sub(b"query", text) or b" ")


def dialogue(stage, path, options, writes):
    """All that is said until the reply to the sentinel."""
    with stage.client(path) as client:
        begin(client, options)
        send(client, writes)
        end(client)
        return normal(client.input)


def compare(stage, options, writes):
    want = dialogue(stage, stage.server(options).paths[0], options, writes)
    for rules in (None, RULES):
        shape = as_seen(options, rules)
        got = dialogue(stage, stage.shim(options, rules).path, options, writes)
        check_equal(shape(got), shape(want), rules or "no rules")


class Run:
    """Sequences on a stage, which is set up anew when its server has ended."""

    def __init__(self):
        self.n_ended = 0
        self.place = self.stage = None

    def set_up(self):
        self.place = Place()
        self.stage = Stage(self.place)

    def has_ended(self, error):
        """Is it the server?  Its end is heard before the kernel has it for us."""
        def has_ended():
            return self.stage.qemu.child.poll() is not None
        try:
            return has_ended() if isinstance(error, AssertionError) else until(has_ended, "the server to end")
        except Timeout:
            return False

    def compare(self, corpus, seed):
        options, writes = generate(random.Random(seed), corpus)
        if not self.stage:
            self.set_up()
        try:
            compare(self.stage, options, writes)
        except Exception as error:
            if not self.has_ended(error):
                raise AssertionError("seed %s, %s: %r\n%s" % (seed, sorted(options), writes, error)) from error
            self.place.__exit__(None, None, None)
            self.stage = None
            self.n_ended += 1


def main(n_sequences=str(N_SEQUENCES), seed="1"):
    corpus = [(options, writes) for _, options, writes in read_corpus()
              if not options & SKIPPED and sum(map(len, writes)) <= MAX_BYTES]
    seeds = [seed] if ":" in seed else ["%s:%d" % (seed, i) for i in range(int(n_sequences))]
    run = Run()
    for i in range(0, len(seeds), N_PER_TEST):
        part = seeds[i:i + N_PER_TEST]
        tap.test("sequences %s to %s" % (part[0], part[-1]))(lambda part=part: [run.compare(corpus, s) for s in part])
    try:
        status = tap.run()
    except Missing:
        return 1
    if run.stage:
        run.place.__exit__(None, None, None)
    print("# the server ended by itself at %d of %d" % (run.n_ended, len(seeds)))
    return status


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
