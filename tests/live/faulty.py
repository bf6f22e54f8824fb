#!/usr/bin/env python3
"""
The kernel may be in a bad mood: short reads and writes, EINTR, EAGAIN, no room for a client.

faulty-io.c makes it so by LD_PRELOAD, with several seeds and sizes.  What a client hears must be
the same, byte for byte, as from a shim that is left in peace.
"""

import os
import shutil
import subprocess
import sys

from qmplive import HERE, Missing, Place, Server, Tap, check_equal, mask_time, rule_file

tap = Tap()

COMMANDS = b"".join(b'{"execute":"%s","id":%d}%s' % (name, i, end) for i, (name, end) in enumerate(
    [(n, e) for e in (b"\r\n", b"\n", b"") for n in (b"query-name", b"query-kvm", b"nonsense", b"query-commands", b"query-version")]))


def preload(place):
    compiler = os.environ.get("CC", "cc").split()[0]
    if not shutil.which(compiler):
        raise Missing("no C compiler")
    library = os.path.join(place.directory, "faulty-io.so")
    subprocess.run([compiler, "-D_GNU_SOURCE", "-shared", "-fPIC", "-O1", "-o", library, os.path.join(HERE, "faulty-io.c"), "-ldl"], check=True)
    return library


class Environment:
    """For what is started inside."""

    def __init__(self, **variables):
        self.variables = variables

    def __enter__(self):
        self.before = dict(os.environ)
        os.environ.update(self.variables)

    def __exit__(self, *_):
        os.environ.clear()
        os.environ.update(self.before)


def faulty_shim(place, library, connect, seed, n_bytes, *rules):
    with Environment(LD_PRELOAD=library, FAULTY_SEED=str(seed), FAULTY_BYTES=str(n_bytes), ASAN_OPTIONS="verify_asan_link_order=0"):
        return place.shim(connect, *rules)


def talk(client):
    client.greet()
    client.send(COMMANDS + b'\n{"execute":"query-name","id":"last"}\n')
    client.read_until(lambda text: b'"last"' in text and text.endswith(b"}\r\n"), "the last reply", 60)
    return mask_time(client.input)


MOODS = [(1, 0), (2, 0), (3, 0), (4, 1), (5, 2), (6, 3), (7, 13), (8, 4096)]


@tap.test("a client hears the same from QEMU, with rules and without")
def _():
    with Place() as place:
        library = preload(place)
        for rules in (["--no-rules"], ["--rules", rule_file("image-streaming-2011")], ["--rules", rule_file("read-only")]):
            qemu = place.qemu()
            with place.client(place.shim(qemu.path, *rules).path) as client:
                expected = talk(client)
            for seed, n_bytes in MOODS:
                with place.client(faulty_shim(place, library, qemu.path, seed, n_bytes, *rules).path) as client:
                    check_equal(talk(client), expected, "seed %d, %d bytes, %s" % (seed, n_bytes, rules))


@tap.test("file descriptors come once each, with the message they were sent with")
def _():
    with Place() as place:
        library = preload(place)
        for seed, n_bytes in MOODS:
            server = place.server()
            shim = faulty_shim(place, library, server.path, seed, n_bytes)
            client = place.client(shim.path)
            peer = server.accept()
            for i in range(20):
                fd = os.memfd_create("f")
                text = b'{"execute":"getfd","arguments":{"fdname":"%d"}}\n' % i
                client.send(text, [fd] if i % 3 else [])
                os.close(fd)
                peer.input, before = b"", len(peer.fds)
                check_equal(peer.read(len(text)), text, "bytes")
                check_equal(sum(len(fds) for _, fds in peer.fds[before:]), 1 if i % 3 else 0,
                            "fds of message %d, seed %d, %d bytes" % (i, seed, n_bytes))


@tap.test("many clients get in, one after the other")
def _():
    with Place() as place:
        library = preload(place)
        server = place.server()
        server.socket.listen(64)
        shim = faulty_shim(place, library, server.path, 9, 0)
        for _ in range(30):
            with place.client(shim.path) as client, server.accept() as peer:
                peer.send(Server.GREETING)
                check_equal(client.read_line(), Server.GREETING)


sys.exit(tap.run())
