#!/usr/bin/env python3
"""
--compact: what the server gets is shorter, what the client gets is the same, byte by byte.
"""

import sys

from qmplive import Place, Tap, check_equal

tap = Tap()

CAPABILITIES = '{"execute": "qmp_capabilities"}\r\n'
COMMANDS = [
    '{"execute": "query-status", "id": "libvirt-1"}\r\n',
    '{ "id" : 1.5 , "execute" : "query-name" }',
    '{"execute": "query-version", "id": {"a": [1, 2]}}\n',
    '{"execute": "query-uuid"}\r\n',
    '{"execute": "no-such-command", "id": 0}\r\n',
    '{"execute": "query-qmp-schema", "id": "long"}\r\n',
] + ['{"execute": "query-kvm", "id": %d}\r\n' % i for i in range(100, 125)]


def replies(place, path, commands):
    """What a client gets that sends all of it at once, after the greeting."""
    with place.client(path) as client:
        client.read_line()
        client.send(CAPABILITIES)
        text = client.read_line()
        client.send("".join(commands))
        for _ in commands:
            text += client.read_line()
    return text


@tap.test("a real QEMU's replies are the same, byte by byte")
def _():
    with Place() as place:
        qemu = place.qemu()
        direct = replies(place, qemu.path, COMMANDS)
        shim = place.shim(qemu.path, "--no-rules", "--compact")
        check_equal(replies(place, shim.path, COMMANDS), direct, "replies")


@tap.test("after garbage, and with out-of-band execution, all passes as it came")
def _():
    commands = ['{"execute": "query-status", "id": 1}\r\n', '{"execute": @}\r\n']
    oob = '{"execute": "qmp_capabilities", "arguments": {"enable": ["oob"]}, "id": 7}\r\n'
    with Place() as place:
        qemu = place.qemu()
        shim = place.shim(qemu.path, "--no-rules", "--compact")
        got = []
        for path in qemu.path, shim.path:
            with place.client(path) as client:
                client.read_line()
                client.send(oob)
                text = client.read_line()
                client.send("".join(commands))
                text += client.read_line() + client.read_line() + client.read_line()  # two faults
                client.send('{"exec-oob": "no-such-command", "id": 3}')
                text += client.read_line()
                got.append(text)
        check_equal(got[1], got[0], "replies")


@tap.test("the server gets no blank, no line end and one digit")
def _():
    want = b'{"execute":"query-status","id":0}{"id":1,"execute":"query-name"}'
    with Place() as place:
        server = place.server()
        shim = place.shim(server.path, "--no-rules", "--compact")
        client = place.client(shim.path)
        with server.accept() as peer:
            client.send("".join(COMMANDS[:2]))
            check_equal(peer.read(len(want)), want, "commands")
            peer.send('{"return": {}, "id": 0}\r\n{"return": {}, "id": 1}\r\n')
            check_equal(client.read_line(), b'{"return": {}, "id": "libvirt-1"}\r\n', "first reply")
            check_equal(client.read_line(), b'{"return": {}, "id": 1.5}\r\n', "second reply")


sys.exit(tap.run())
